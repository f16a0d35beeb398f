//! `mistap bench`: this service against each peer that is installed, in turn and in rounds,
//! at planning sizes, with its own results checked.
//!
//! An absolute figure means nothing on a shared machine. What counts is the ratio to a peer
//! that was measured in the same round, and the target beside it. Everything stays on
//! loopback and in throw-away folders (but for `--keep`), and every process started here is
//! ended here.

mod asked;
mod broadcast;
mod bulk;
mod children;
mod contest;
mod crowd;
mod durable;
mod echo;
mod editions;
mod fanout;
mod live;
mod load;
mod network;
mod peers;
mod query;
mod rates;
mod slow;
mod stand;
mod start;
mod taps;
mod wire;
pub(crate) mod world;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::Clock;
use crate::cli::Failure;
use crate::domain::limits::{LOG_EVENTS_KEPT_MAX, LOG_EVENTS_PER_MESSAGE_MAX};

/// Incidents of the small record that a large one is compared with.
const FEW_INCIDENTS: u64 = 100_000;
/// Incidents of either record in a quick run.
const QUICK_INCIDENTS: u64 = 2_000;
const QUICK_FEW_INCIDENTS: u64 = 500;
const QUICK_TEMPLATES: usize = 256;
const WATCHERS: usize = 10_000;
const QUICK_WATCHERS: usize = 40;
const SLOW_WATCHERS: usize = 1_000;
const QUICK_SLOW_WATCHERS: usize = 20;
/// More than slow watchers read while they are looked at, and none of it what all share.
const BACKLOG: usize = LOG_EVENTS_KEPT_MAX + 48 * LOG_EVENTS_PER_MESSAGE_MAX;
const QUICK_BACKLOG: usize = 2 * LOG_EVENTS_PER_MESSAGE_MAX;
const QUICK_SPAN: Duration = Duration::from_millis(200);

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Durable reports, one a call, 64 in flight
    Durable,
    /// Durable reports in bulk
    Bulk,
    /// Figures over many incidents
    Query,
    /// Start after kill -9, memory, disk
    Start,
    /// One update to many watchers, and what a watcher costs
    Fanout,
    /// From a durable report to its watcher
    Live,
    /// Closing a month over a whole country's taps
    Editions,
    /// Importing a timetable, and searching among its stops
    Network,
    /// All of it
    All,
    /// Be the no-op server that `durable` compares with
    #[value(hide = true)]
    EchoServer,
    /// Be the tonic server that `fanout` and `live` compare with
    #[value(hide = true)]
    TonicBroadcast,
    /// Be the server of one task for each connection that `fanout` compares with
    #[value(hide = true)]
    H2Broadcast,
}

/// What is measured when nothing is said. A start before questions: these tell taps of a whole country,
/// which would stand among what an incident takes.
const ALL: [What; 8] = [
    What::Durable,
    What::Bulk,
    What::Start,
    What::Query,
    What::Fanout,
    What::Live,
    What::Editions,
    What::Network,
];

/// How to measure.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum, default_value_t = What::All)]
    what: What,
    /// Rounds; in each, all are measured in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seconds that one measurement takes, where it is not given by its size
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Incidents of the large record
    #[arg(long, default_value_t = 10_000_000)]
    incidents: u64,
    /// Keep the large record in this folder, and use it again if it is there
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Timetable (GTFS) of `network`; a made-up one if none is named
    #[arg(long, value_name = "FILE")]
    feed: Option<PathBuf>,
    /// Leave the peers out
    #[arg(long)]
    no_peers: bool,
    /// Tiny sizes: proves that everything works, and measures nothing
    #[arg(long)]
    quick: bool,
}

/// The sizes of a run, and where it may write.
struct Plan {
    rounds: u32,
    /// How long one measurement takes.
    span: Duration,
    incidents: u64,
    few_incidents: u64,
    /// Folder for records, removed at the end unless it is to be kept.
    dir: PathBuf,
    size: world::Size,
    /// The timetable, if it is not made up.
    feed: Option<PathBuf>,
    /// Stops of one that is.
    feed_stops: usize,
    /// Days of taps beside the records.
    tap_days: i32,
    templates_max: usize,
    watchers: usize,
    slow_watchers: usize,
    /// Incidents that slow watchers begin with.
    backlog: usize,
    with_peers: bool,
    /// Whether targets are told: at tiny sizes they mean nothing.
    with_targets: bool,
    now: Clock,
}

impl Plan {
    /// How many different reports to send, of those that a bench asks for.
    fn templates(&self, asked: usize) -> usize {
        asked.min(self.templates_max)
    }
}

/// Runs `mistap bench`.
pub async fn run(args: BenchArgs, now: Clock) -> Result<(), Failure> {
    match args.what {
        What::EchoServer => return echo::serve().await,
        What::TonicBroadcast => return broadcast::serve_tonic().await,
        What::H2Broadcast => return broadcast::serve_connections().await,
        _ => {}
    }
    let throw_away = children::throw_away("mistap-bench-")?;
    let plan = plan(&args, throw_away.path(), now);
    std::fs::create_dir_all(&plan.dir)?;
    if args.what == What::All {
        for what in ALL {
            measure(what, &plan).await?;
        }
        return Ok(());
    }
    measure(args.what, &plan).await
}

async fn measure(what: What, plan: &Plan) -> Result<(), Failure> {
    match what {
        What::Durable => durable::run(plan).await,
        What::Bulk => bulk::run(plan).await,
        What::Query => query::run(plan).await,
        What::Start => start::run(plan).await,
        What::Fanout => fanout::run(plan).await,
        What::Live => live::run(plan).await,
        What::Editions => editions::run(plan).await,
        What::Network => network::run(plan),
        What::All | What::EchoServer | What::TonicBroadcast | What::H2Broadcast => Ok(()),
    }
}

fn plan(args: &BenchArgs, throw_away: &Path, now: Clock) -> Plan {
    let dir = args.keep.clone().unwrap_or_else(|| throw_away.to_owned());
    let full = Plan {
        rounds: args.rounds,
        span: Duration::from_secs(args.seconds),
        incidents: args.incidents,
        few_incidents: FEW_INCIDENTS.min(args.incidents),
        dir,
        size: world::PLANNING_SIZE,
        feed: args.feed.clone(),
        feed_stops: network::STOPS,
        tap_days: taps::DAYS,
        templates_max: usize::MAX,
        watchers: WATCHERS,
        slow_watchers: SLOW_WATCHERS,
        backlog: BACKLOG,
        with_peers: !args.no_peers,
        with_targets: true,
        now,
    };
    if !args.quick {
        return full;
    }
    Plan {
        rounds: 1,
        span: QUICK_SPAN,
        incidents: QUICK_INCIDENTS,
        few_incidents: QUICK_FEW_INCIDENTS,
        size: world::TINY_SIZE,
        feed_stops: network::QUICK_STOPS,
        tap_days: taps::QUICK_DAYS,
        templates_max: QUICK_TEMPLATES,
        watchers: QUICK_WATCHERS,
        slow_watchers: QUICK_SLOW_WATCHERS,
        backlog: QUICK_BACKLOG,
        with_targets: false,
        ..full
    }
}
