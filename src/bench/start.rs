//! `mistap bench start`: how long after a `kill -9` reports are taken again, how much memory a
//! server of many incidents needs, and how much disk an incident.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost_types::Timestamp;
use tonic::Code;
use tonic::transport::Channel;

use super::Plan;
use super::children::Server;
use super::contest::{self, Better, Bound, Contest};
use super::durable::{IN_FLIGHT, check_count, contest_total, rate};
use super::load::{self, Templates};
use super::world;
use crate::api::pb::v1 as pb;
use crate::cli::{Failure, Kind};
use crate::domain::time::{DAY_SECONDS, HOUR_SECONDS};
use pb::operations_service_client::OperationsServiceClient;
use pb::statistics_service_client::StatisticsServiceClient;

const TEMPLATES: usize = 4_096;
const STORE_WAIT: Duration = Duration::from_secs(120);
const STORE_LOOK: Duration = Duration::from_millis(50);
const MIB: f64 = 1_048_576.0;
const SCANS: usize = 3;

/// Calls with tap counts before each kill, of which the store has put few by then, and counts in
/// each: more than may wait for a store in memory.
const TAP_CALLS: i64 = 1_000;
const TAPS_PER_CALL: i64 = 100;
/// Hours that are told of, one after the other.
const TAP_HOURS: i64 = 48;

const START_SECONDS_MAX: f64 = 2.0;
const RESIDENT_MIB_MAX: f64 = 512.0;
const DISK_BYTES_MAX: f64 = 260.0;

/// Runs it.
pub async fn run(plan: &Plan) -> Result<(), Failure> {
    let data = world::record(&plan.dir, plan.size, plan.incidents, (plan.now)()).await?;
    let network = world::network(plan.size)?;
    let incidents = world::incidents(&network, plan.templates(TEMPLATES), (plan.now)())?;
    let templates = Arc::new(Templates::unary(&incidents));
    let mut contest = Contest::new(
        "start after kill -9 with 100,000 tap counts unsaved, until a report is answered",
        "seconds",
        Better::Less,
    );
    let ours = contest.enter("mistap", None);
    let store = contest.enter("the same, until a scan is answered", None);
    let mut server = Server::serve(&data)?;
    let mut channels = server.connect(1).await?;
    let mut wires = server.wires(1).await?;
    let mut recorded = contest_total(&channels[0], plan).await?;
    for _ in 0..plan.rounds {
        let (tally, _) = load::unary(&wires, &templates, IN_FLIGHT, plan.span, &plan.now).await?;
        recorded += tally.recorded;
        tell_taps(&channels[0], plan).await?;
        server.process.kill();
        let begun = Instant::now();
        server = Server::serve(&data)?;
        wires = server.wires(1).await?;
        let (tally, _) = load::unary(&wires, &templates, 1, Duration::ZERO, &plan.now).await?;
        contest.note(ours, begun.elapsed().as_secs_f64());
        recorded += tally.recorded;
        channels = server.connect(1).await?;
        wait_for_store(&channels[0], plan).await?;
        contest.note(store, begun.elapsed().as_secs_f64());
        check_count("mistap", recorded, contest_total(&channels[0], plan).await?)?;
    }
    contest.print()?;
    let start = Bound {
        name: "slowest start".to_owned(),
        value: contest.most(ours).unwrap_or(0.0),
        most: Some(START_SECONDS_MAX),
    };
    contest::print_bounds("start", "seconds", &[start], plan.with_targets)?;
    let memory = memory(&server, &channels[0], plan).await?;
    contest::print_bounds("resident memory", "MiB", &memory, plan.with_targets)?;
    contest::print_bounds(
        "disk",
        "bytes an incident",
        &disk(&data, recorded)?,
        plan.with_targets,
    )
}

/// Tells taps of some stops, hour by hour. None were tapped at, so that what else is measured over
/// a record that is kept counts the same as without them.
async fn tell_taps(channel: &Channel, plan: &Plan) -> Result<(), Failure> {
    let mut client = OperationsServiceClient::new(channel.clone());
    let hour = (plan.now)().0.div_euclid(1_000 * HOUR_SECONDS);
    for call in 0..TAP_CALLS {
        let begins = Timestamp {
            seconds: (hour - 2 - call % TAP_HOURS) * HOUR_SECONDS,
            nanos: 0,
        };
        let count = |stop: i64| pb::TapCount {
            stop_id: format!("bench-{stop}"),
            start: Some(begins),
            taps: 0,
            ..Default::default()
        };
        let request = pb::RecordTapCountsRequest {
            feed: Some(pb::TapFeed {
                feed_id: "bench.start".to_owned(),
                operator_code: "BENCH".to_owned(),
                grain: pb::TapGrain::Stop.into(),
                interval: pb::TapInterval::Hour.into(),
                tap_kinds: vec![pb::TapKind::CheckIn.into()],
                refusals: pb::Refusals::Excluded.into(),
                day_begins: 0,
            }),
            counts: (0..TAPS_PER_CALL).map(count).collect(),
        };
        client.record_tap_counts(request).await?;
    }
    Ok(())
}

/// Until the store answers a scan.
async fn wait_for_store(channel: &Channel, plan: &Plan) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        match ask(channel, plan, &SCAN).await {
            Err(status) if status.code() == Code::Unavailable && begun.elapsed() < STORE_WAIT => {
                tokio::time::sleep(STORE_LOOK).await;
            }
            result => return Ok(result?),
        }
    }
}

const SCAN: [pb::Dimension; 3] = [
    pb::Dimension::Signal,
    pb::Dimension::CardKind,
    pb::Dimension::Weekday,
];
const QUESTIONS: [&[pb::Dimension]; 3] = [
    &[pb::Dimension::Line, pb::Dimension::Day],
    &[pb::Dimension::Stop],
    &[pb::Dimension::Signal, pb::Dimension::HourOfDay],
];

/// Asks over two years.
async fn ask(channel: &Channel, plan: &Plan, by: &[pb::Dimension]) -> Result<(), tonic::Status> {
    let today = (plan.now)().0.div_euclid(1_000) / DAY_SECONDS;
    let day = |day: i64| {
        Some(Timestamp {
            seconds: day * DAY_SECONDS,
            nanos: 0,
        })
    };
    let window = pb::Window {
        start: day(today - world::HISTORY_DAYS),
        end: day(today),
    };
    let request = pb::QueryFiguresRequest {
        question: Some(pb::Question {
            by: by.iter().map(|dimension| (*dimension).into()).collect(),
            window: Some(window),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut client = StatisticsServiceClient::new(channel.clone());
    client.query_figures(request).await?;
    Ok(())
}

async fn memory(server: &Server, channel: &Channel, plan: &Plan) -> Result<Vec<Bound>, Failure> {
    let mut bounds = vec![resident("after start, store open", server)?];
    for by in QUESTIONS {
        ask(channel, plan, by).await?;
    }
    bounds.push(resident("after three questions", server)?);
    for _ in 0..SCANS {
        ask(channel, plan, &SCAN).await?;
    }
    bounds.push(resident("after three scans of everything", server)?);
    Ok(bounds)
}

fn resident(name: &str, server: &Server) -> Result<Bound, Failure> {
    let bytes = server
        .resident_bytes()
        .ok_or_else(|| Failure::new(Kind::Unexpected, "the system does not tell memory"))?;
    Ok(Bound {
        name: name.to_owned(),
        value: rate(bytes, MIB),
        most: Some(RESIDENT_MIB_MAX),
    })
}

/// What lies in a data folder, for each incident.
fn disk(data: &Path, incidents: u64) -> Result<Vec<Bound>, Failure> {
    let mut bounds = Vec::new();
    let mut sum = 0.0;
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let value = bytes_below(&path)? as f64 / incidents.max(1) as f64;
        sum += value;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        bounds.push(Bound {
            name: name.unwrap_or_default(),
            value,
            most: None,
        });
    }
    bounds.sort_by(|a, b| b.value.total_cmp(&a.value));
    bounds.push(Bound {
        name: "all".to_owned(),
        value: sum,
        most: Some(DISK_BYTES_MAX),
    });
    Ok(bounds)
}

/// As the disk has them, with what is allocated beforehand.
fn bytes_below(path: &Path) -> Result<u64, Failure> {
    const SECTOR_BYTES: u64 = 512;
    if !path.is_dir() {
        return Ok(fs::metadata(path)?.blocks() * SECTOR_BYTES);
    }
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        sum += bytes_below(&entry?.path())?;
    }
    Ok(sum)
}
