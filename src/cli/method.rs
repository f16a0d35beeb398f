//! `mistap method`: how figures are made. `docs/method.md` is its output.

use std::io::{self, Write};

use super::failure::Failure;
use crate::query::method::method;

/// Prints the method of this program, as Markdown.
pub fn print() -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    Ok(out.write_all(method().to_markdown().as_bytes())?)
}
