//! The `mistap` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    mistap::cli::main()
}
