//! The commands of `mistap`, one file for each.

mod arguments;
mod cases;
mod choices;
mod client;
mod compare;
mod demo;
mod edition;
mod failure;
mod flags;
mod import;
mod key_history;
mod keys;
mod method;
mod network;
mod notice;
mod outage;
mod output;
pub(crate) mod progress;
mod question;
mod rank;
mod rates;
mod reading;
mod receipt;
mod repair;
mod report;
mod sending;
mod serve;
mod simulate;
mod staff;
mod stats;
mod status;
mod tail;
mod taps;
mod tidy;
mod token;
mod unknown;
mod values;
mod watch;
mod way_back;
mod when;
mod with_progress;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use jiff::Timestamp;

use crate::app;
use crate::bench::{self, BenchArgs};
use crate::config::{ClockSettings, DataSettings, EVERYWHERE, LogSettings, ServeSettings};
use crate::domain::text::without_controls;
use crate::domain::{Hour, LocalDay, UtcMillis};
use crate::ingest::CommandClock;
use crate::telemetry;
use client::ServerArgs;
pub use failure::{Failure, Kind};
pub use output::{Format, Sheet};

/// The open record of failed public-transport check-ins.
#[derive(Debug, Parser)]
#[command(name = "mistap", version, about, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 unexpected, 2 wrong usage, 3 refused, 4 not found, \
                        5 id taken, 6 no server or busy, 7 damage found."
)]
pub struct Cli {
    /// What to log, and how.
    #[command(flatten)]
    pub log: LogSettings,
    /// How to print
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value_t = Format::Table,
        help_heading = EVERYWHERE
    )]
    pub format: Format,
    /// Whom to ask.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service until it is told to stop (Ctrl-C or SIGTERM)
    Serve(ServeSettings),
    /// Run a throw-away record with simulated history and live traffic
    Demo(demo::DemoArgs),
    /// Tell of a failed check-in
    Report(Box<report::ReportArgs>),
    /// Show a report again, with its secret
    Get(report::GetArgs),
    /// Add what came later to a report, with its secret
    Amend(way_back::AmendArgs),
    /// Withdraw a report, with its secret: it counts no more
    Withdraw(way_back::KeyArgs),
    /// Erase the words, the time and the card of a report for ever, with its secret
    Erase(way_back::KeyArgs),
    /// Proof of a report: get it, draw it, check it offline
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// Reports as their operator works through them: list, answer, how long it took
    #[command(subcommand)]
    Cases(cases::CasesCommand),
    /// Follow a report, with its secret, and what its operator answers
    Follow(way_back::FollowArgs),
    /// List the choices that a report can make, in Dutch and English
    Choices,
    /// Count what was reported
    Stats(Box<stats::StatsArgs>),
    /// Say whether one period differs from another
    Compare(Box<compare::CompareArgs>),
    /// Tell what staff did: help, harm, promises kept, and each act
    Staff(Box<staff::StaffArgs>),
    /// Say which operators, lines or stops stand out, if any does
    Rank(Box<rank::RankArgs>),
    /// Print how figures are made
    Method,
    /// Published figures: list them, show them, close them, prove them
    #[command(subcommand)]
    Edition(edition::EditionCommand),
    /// Watch counts as they change
    Watch(Box<watch::WatchArgs>),
    /// Print incidents as they are recorded, a line for each
    Tail(tail::TailArgs),
    /// Search stops, list lines, import a feed
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Tell how many taps there were
    #[command(subcommand)]
    Taps(TapsCommand),
    /// Days of outages: declare them, withdraw them, list them
    #[command(subcommand)]
    Outage(outage::OutageCommand),
    /// Make, list and revoke the tokens that tell who calls
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Keys of pseudonyms: list their quarters, make new ones
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Say what a data folder holds, and when what in it ends
    Status {
        /// Which folder.
        #[command(flatten)]
        data: DataSettings,
    },
    /// Send made-up reports to a server, or write made-up history
    Simulate(simulate::SimulateArgs),
    /// Prove that the journal is whole and every figure is what it says. Stop the server first: what
    /// it has open is not compared, nor a store where nothing may be written, and that is said
    Verify {
        /// Which folder.
        #[command(flatten)]
        data: DataSettings,
    },
    /// Make everything but the journal anew from it
    Rebuild {
        /// Which folder.
        #[command(flatten)]
        data: DataSettings,
        /// What its clock is worth.
        #[command(flatten)]
        clock: ClockSettings,
    },
    /// Let a record go on from a copy of it that was brought back: what was given out for places
    /// after the copy leads nowhere from then on
    Restore {
        /// Which folder. No server may use it.
        #[command(flatten)]
        data: DataSettings,
        /// Do not ask first. Where there is no terminal to ask at, nothing is done without it
        #[arg(long)]
        yes: bool,
        /// What its clock is worth.
        #[command(flatten)]
        clock: ClockSettings,
    },
    /// Compare with the peers that are installed: takes minutes
    Bench(BenchArgs),
    /// Print what a shell needs to complete commands
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// What to do with the network.
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Make a timetable feed (GTFS) the next version of a data folder's network
    Import {
        /// Which folder.
        #[command(flatten)]
        data: DataSettings,
        /// Which feed.
        #[command(flatten)]
        args: import::ImportArgs,
    },
    /// What a server answers.
    #[command(flatten)]
    Ask(AskNetwork),
}

/// What to do with tap counts.
#[derive(Debug, Subcommand)]
pub enum TapsCommand {
    /// Send the tap counts of a CSV file to a server; sent again, they replace
    Import(Box<taps::ImportArgs>),
}

/// A question about the network, and the server that answers it.
#[derive(Debug, Subcommand)]
pub enum AskNetwork {
    /// Find stops by name
    Search(network::SearchArgs),
    /// Find stops around a position
    Near(network::NearArgs),
    /// List lines, or the stops of a line in order
    Lines(network::LinesArgs),
    /// List operators
    Operators,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = match arguments::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let filter = if matches!(cli.command, Command::Serve(_)) {
        "info"
    } else {
        "warn"
    };
    let result = telemetry::start(&cli.log, filter)
        .map_err(|error| Failure::unexpected("the log cannot be started", &error))
        .and_then(|()| run(cli.command, &cli.server, cli.format));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            say_aside(&failure);
            failure.exit_code()
        }
    }
}

/// What the clock shows, and what that is compared with.
fn read(clock: ClockSettings) -> CommandClock {
    serve::clock_check(clock).at(app::system_clock()())
}

fn run(command: Command, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    match command {
        Command::Verify { data } => repair::verify(&data.dir, format),
        Command::Rebuild { data, clock } => repair::rebuild(&data.dir, read(clock)),
        Command::Restore { data, yes, clock } => repair::restore(&data.dir, yes, read(clock)),
        Command::Network(NetworkCommand::Import { data, args }) => import::import(&args, &data.dir),
        Command::Method => method::print(),
        Command::Receipt(receipt::ReceiptCommand::Verify(args)) => receipt::check(&args),
        Command::Receipt(receipt::ReceiptCommand::Rotate { data, clock }) => {
            receipt::rotate(&data.dir, read(clock))
        }
        Command::Token(command) => token::token(command, format, today()?),
        Command::Keys(command) => keys::keys(command, format, today()?),
        Command::Status { data } => status::status(&data.dir, format, today()?),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "mistap", &mut script);
            Ok(io::stdout().write_all(&script)?)
        }
        command => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(|error| Failure::unexpected("no threads can be started", &error))?;
            let result = runtime.block_on(run_async(command, server, format));
            // Connections and reads of the keyboard that did not end in time are not waited for.
            runtime.shutdown_background();
            result
        }
    }
}

fn today() -> Result<LocalDay, Failure> {
    day_of(app::system_clock()())
}

fn day_of(now: UtcMillis) -> Result<LocalDay, Failure> {
    let day = now.hour().map(Hour::local_day);
    day.ok_or_else(|| Failure::new(Kind::Unexpected, "this machine's clock is out of range"))
}

async fn run_async(command: Command, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let clock = app::system_clock();
    let now = Timestamp::from_millisecond(clock().0).unwrap_or(Timestamp::UNIX_EPOCH);
    match command {
        Command::Serve(settings) => serve::run(settings).await,
        Command::Demo(args) => demo::demo(args, clock).await,
        Command::Bench(args) => bench::run(args, clock).await,
        Command::Report(args) => report::report(&args, server, format, now).await,
        Command::Get(args) => report::get(args, server, format).await,
        Command::Amend(args) => way_back::amend(args, server, format).await,
        Command::Withdraw(key) => way_back::withdraw(key, server, format).await,
        Command::Erase(key) => way_back::erase(key, server, format).await,
        Command::Follow(args) => way_back::follow(args, server, format).await,
        Command::Receipt(receipt::ReceiptCommand::Get(args)) => receipt::get(args, server).await,
        Command::Cases(command) => cases::cases(command, server, format, now).await,
        Command::Choices => report::choices(server, format).await,
        Command::Stats(args) => stats::stats(&args, server, format, now).await,
        Command::Compare(args) => compare::compare(&args, server, format, now).await,
        Command::Staff(args) => staff::staff(&args, server, format, now).await,
        Command::Rank(args) => rank::rank(&args, server, format, now).await,
        Command::Edition(command) => edition::edition(command, server, format, clock).await,
        Command::Watch(args) => watch::watch(&args, server, format).await,
        Command::Tail(args) => tail::tail(&args, server, format, now).await,
        Command::Taps(TapsCommand::Import(args)) => taps::import(*args, server, format).await,
        Command::Outage(command) => outage::outage(command, server, format, now).await,
        Command::Simulate(args) => simulate::simulate(&args, server, clock).await,
        Command::Network(NetworkCommand::Ask(ask)) => network::ask(ask, server, format).await,
        Command::Network(NetworkCommand::Import { .. })
        | Command::Verify { .. }
        | Command::Rebuild { .. }
        | Command::Restore { .. }
        | Command::Method
        | Command::Receipt(_)
        | Command::Token(_)
        | Command::Keys(_)
        | Command::Status { .. }
        | Command::Completions { .. } => unreachable!("run without a runtime"),
    }
}

/// Says something beside the output, on standard error. What a command does never hangs on
/// whether anybody hears it.
fn say_aside(words: &dyn Display) {
    let words = words.to_string();
    let lines: Vec<_> = words.split('\n').map(without_controls).collect();
    // There is nobody left to tell where it cannot be said.
    let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
