//! Black-box tests: one module for each promise.

mod tidy;
