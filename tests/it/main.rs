//! Black-box tests: one module for each promise.

mod service;
mod support;
mod tidy;
