//! The commands of `mistap`, one file for each.

mod serve;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{LogSettings, ServeSettings};
use crate::telemetry;

/// Why a command failed.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The open record of failed public-transport check-ins.
#[derive(Debug, Parser)]
#[command(name = "mistap", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// What to log, and how.
    #[command(flatten)]
    pub log: LogSettings,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service until it is told to stop (Ctrl-C or SIGTERM).
    Serve(ServeSettings),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = telemetry::start(&cli.log)
        .map_err(Failure::from)
        .and_then(|()| run(cli.command));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(failure.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(settings) => serve::run(settings),
    }
}

/// Tells a failure and all that caused it, on standard error.
#[expect(clippy::print_stderr, reason = "the answer of a command to its user")]
fn complain(failure: &(dyn Error + 'static)) {
    eprintln!("error: {failure}");
    let mut source = failure.source();
    while let Some(cause) = source {
        eprintln!("  because {cause}");
        source = cause.source();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn address_that_others_could_reach_is_refused() {
        let refused = Cli::try_parse_from(["mistap", "serve", "--listen", "0.0.0.0:7070"]);
        let message = refused.map(|_| ()).expect_err("not loopback").to_string();
        assert!(message.contains("must be a loopback address"), "{message}");
    }
}
