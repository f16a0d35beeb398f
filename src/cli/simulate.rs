//! `mistap simulate`: made-up reports, sent to a server or written into a data folder.

use std::io::{self, Write};
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::client::ServerArgs;
use super::failure::{Failure, Kind};
use super::serve::{self, FolderError};
use super::{day_of, progress};
use crate::api::Clock;
use crate::bench::world::{self as planned, PLANNING_SIZE};
use crate::domain::UtcMillis;
use crate::domain::time::DAY_MS;
use crate::journal;
use crate::network::Network;
use crate::simulate::drive::{Bounds, Pace, Progress, drive, world};
use crate::simulate::history::{self, HistoryError, Until};
use crate::simulate::taps::Taps;
use crate::simulate::world::World;
use crate::simulate::{Scenario, Simulation};

/// Reports on an average day that can be asked for.
const PER_DAY: RangeInclusive<f64> = 0.1..=100_000_000.0;
/// Reports that are sent at most where no number is asked for.
const SENT_REPORTS_DEFAULT: u64 = 1_000_000;
/// Reports a second that can be asked for.
const RATE: RangeInclusive<f64> = 0.001..=100_000.0;
/// How many times as fast simulated time can be asked to pass.
const SPEED_UP: RangeInclusive<f64> = 0.001..=100_000_000.0;

/// What to simulate, and where to.
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// The same seed gives the same reports, from the same moment on over the same network
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Reports on an average day
    #[arg(long, default_value_t = 800.0, value_parser = per_day)]
    per_day: f64,
    /// Send so many reports a second, evenly
    #[arg(long, conflicts_with = "speed_up", value_parser = rate)]
    rate: Option<f64>,
    /// Let simulated time pass so many times as fast
    #[arg(long, default_value_t = 60.0, value_parser = speed_up)]
    speed_up: f64,
    /// Send for so many seconds
    #[arg(long = "for", default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// At most so many reports; if left out: 1000000 where they are sent, all of its days with
    /// --into
    #[arg(long)]
    reports: Option<u64>,
    /// Write history into this data folder instead, which no server may be using
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// With --into: so many days of history, up to now
    #[arg(long, default_value_t = 365, requires = "into")]
    days: u32,
    /// With --into a new folder: give it a made-up network of planning size (20 operators, 3,400
    /// lines, 45,000 stops)
    #[arg(long, requires = "into")]
    planning_size: bool,
    /// With --into: operators tell taps as well, of each line by the hour and each stop by the
    /// day
    #[arg(long, requires = "into")]
    taps: bool,
}

impl SimulateArgs {
    /// History that is written is as long as its days, unless a number is asked for.
    fn reports_max(&self) -> u64 {
        self.reports.unwrap_or(match self.into {
            Some(_) => u64::MAX,
            None => SENT_REPORTS_DEFAULT,
        })
    }
}

/// Reports on an average day, from an argument.
pub(super) fn per_day(text: &str) -> Result<f64, String> {
    within(text, &PER_DAY)
}

/// Reports a second, from an argument.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    within(text, &RATE)
}

fn speed_up(text: &str) -> Result<f64, String> {
    within(text, &SPEED_UP)
}

fn within(text: &str, range: &RangeInclusive<f64>) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("must be a number, {} to {}", range.start(), range.end()))
}

/// Runs `mistap simulate`.
pub async fn simulate(args: &SimulateArgs, server: &ServerArgs, now: Clock) -> Result<(), Failure> {
    match &args.into {
        Some(dir) => write_history(args, dir.clone(), now()).await,
        None => send(args, server, now).await,
    }
}

async fn send(args: &SimulateArgs, server: &ServerArgs, now: Clock) -> Result<(), Failure> {
    let channel = server.connect().await?;
    let world = world(channel.clone(), day_of(now())?).await?;
    let world = world.ok_or_else(no_lines)?;
    let pace = args.rate.map_or(Pace::SpeedUp(args.speed_up), Pace::Rate);
    let bounds = Bounds {
        reports_max: args.reports_max(),
        duration_max: Duration::from_secs(args.seconds),
    };
    let scenario = Scenario {
        seed: args.seed,
        start: now(),
        reports_per_day: args.per_day,
    };
    let mut simulation = Simulation::new(scenario, world);
    let counts: Arc<Progress> = Arc::default();
    let spinner = progress::spinner("reports sent");
    let shown = tokio::spawn(show(Arc::clone(&counts), spinner.clone()));
    drive(
        channel,
        &mut simulation,
        pace,
        bounds,
        now,
        Arc::clone(&counts),
    )
    .await;
    shown.abort();
    spinner.finish_and_clear();
    tell(&counts, &server.server, &mut io::stdout())
}

/// Prints what became of the reports. That some were given up is told though nobody reads that.
fn tell(counts: &Progress, server: &str, out: &mut impl Write) -> Result<(), Failure> {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let printed = writeln!(
        out,
        "{} recorded, {} recorded before, {} refused, {} given up; {} tries again",
        count(&counts.recorded),
        count(&counts.repeated),
        count(&counts.refused),
        count(&counts.given_up),
        count(&counts.tried_again),
    );
    match count(&counts.given_up) {
        0 => Ok(printed?),
        given_up => Err(Failure::new(
            Kind::TryAgain,
            format!("{given_up} reports were given up: the server at {server} is away or busy"),
        )),
    }
}

async fn show(counts: Arc<Progress>, spinner: indicatif::ProgressBar) {
    loop {
        spinner.set_position(counts.answered.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn write_history(args: &SimulateArgs, dir: PathBuf, now: UtcMillis) -> Result<(), Failure> {
    let network = network_of(&dir, args.planning_size)?;
    let world = World::from_network_on(&network, day_of(now)?).ok_or_else(no_lines)?;
    let start = UtcMillis(now.0 - i64::from(args.days) * DAY_MS);
    let scenario = Scenario {
        seed: args.seed,
        start,
        reports_per_day: args.per_day,
    };
    let taps = args.taps.then(|| Taps::new(scenario, &world));
    let mut simulation = Simulation::new(scenario, world);
    let reports_max = args.reports_max();
    let until = Until {
        end: now,
        reports_max,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    let expected = (args.per_day * f64::from(args.days)) as u64;
    let bar = progress::bar(expected.min(reports_max), "reports", "writing history");
    let written = history::write(
        &dir,
        Arc::clone(&network),
        &mut simulation,
        taps.as_ref(),
        until,
        |written| {
            bar.set_position(written.reports);
            ControlFlow::Continue(())
        },
    )
    .await
    .map_err(|error| unwritten(&dir, &error))?;
    bar.finish_and_clear();
    let mut out = io::stdout();
    let printed = writeln!(
        out,
        "{} reports written, {} refused",
        written.reports, written.refused
    );
    // Closed though nobody reads that.
    let closed = history::close_editions(&dir, network, now)
        .await
        .map_err(|error| Failure::unexpected("editions could not be closed", &error))?;
    printed?;
    Ok(writeln!(out, "{closed} editions closed")?)
}

/// Why there is no history.
fn unwritten(dir: &Path, error: &HistoryError) -> Failure {
    match error {
        HistoryError::Start(error) => serve::unopened(dir, error),
        error => Failure::unexpected("history could not be written", error),
    }
}

/// The network of a folder, or one of planning size, which is for a folder without a record: what
/// was told before would be of other operators and lines.
fn network_of(dir: &Path, is_planning_size: bool) -> Result<Arc<Network>, Failure> {
    let unusable = |error: &dyn FolderError| serve::unusable_folder(dir, error);
    let own = Network::load_latest(dir).map_err(|error| unusable(&error))?;
    if !is_planning_size {
        return Ok(Arc::new(own.unwrap_or_else(Network::built_in)));
    }
    let has_record = journal::exists(&dir.join("journal")).map_err(|error| unusable(&error))?;
    if own.is_some() || has_record {
        let message = "the folder has a network or a record already";
        return Err(Failure::new(Kind::Refused, message)
            .with_hint("name a new folder, or leave out --planning-size"));
    }
    planned::network(PLANNING_SIZE)
}

fn no_lines() -> Failure {
    Failure::new(
        Kind::Refused,
        "the network lists no line with stops that runs today",
    )
    .with_hint("import one with `mistap network import FEED.zip`")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: SimulateArgs,
    }

    #[test]
    fn history_has_all_of_its_days_unless_a_number_is_asked_for() {
        let reports_max = |typed: &[&str]| {
            let words = ["simulate"].iter().chain(typed);
            Typed::parse_from(words).args.reports_max()
        };
        assert_eq!(reports_max(&[]), 1_000_000);
        assert_eq!(reports_max(&["--into", "here"]), u64::MAX);
        assert_eq!(reports_max(&["--into", "here", "--reports", "9"]), 9);
    }

    #[test]
    fn number_out_of_range_is_refused_with_its_range() {
        for wrong in ["0", "-1", "NaN", "inf", "1e9", "many", ""] {
            let refusal = per_day(wrong).expect_err(wrong);
            assert_eq!(refusal, "must be a number, 0.1 to 100000000");
        }
        assert_eq!(per_day("0.5"), Ok(0.5));
        assert_eq!(rate("0"), Err("must be a number, 0.001 to 100000".into()));
    }

    #[test]
    fn reports_that_were_given_up_are_told_though_nobody_reads_how_many() {
        let told = |given_up| {
            let (_, mut nobody) = io::pipe().expect("a pipe");
            let counts = Progress {
                given_up: AtomicU64::new(given_up),
                ..Progress::default()
            };
            tell(&counts, "http://127.0.0.1:1", &mut nobody).expect_err("nobody reads")
        };
        assert!(told(0).is_closed_pipe());
        assert!(!told(1).is_closed_pipe());
        assert_eq!(told(1).kind(), Kind::TryAgain);
        assert!(told(1).to_string().contains("away or busy"), "{}", told(1));
    }
}
