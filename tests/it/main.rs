//! Black-box tests: one module for each promise.

mod bench;
mod service;
mod support;
mod tidy;
