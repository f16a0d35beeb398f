//! Tap counts of a whole country beside a record's incidents: of every line by the hour, and
//! of every stop by the day. How many taps there are follows from line or stop and time by a
//! plain formula, so that a peer can make the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::world::{self, Size};
use crate::cli::progress;
use crate::cli::{Failure, Kind};
use crate::domain::taps::{
    DayBegin, Refusals, TapCount, TapFeed, TapGrain, TapInterval, TapKinds, TapScope, TapSlot, Taps,
};
use crate::domain::taxonomy::TapKind;
use crate::domain::{LineId, LocalDay, OperatorCode, StopId, UtcMillis};
use crate::ingest::{self, ClockCheck, Ingest, Options, Running};
use crate::ledger::Dictionary;
use crate::network::Network;

const STOP_WAIT: Duration = Duration::from_secs(600);
/// Days told of before the last day of the record: as many as are kept, but a few.
pub const DAYS: i32 = 540;
/// Days told of in a quick run.
pub const QUICK_DAYS: i32 = 40;

/// Taps of a line in an hour: its number in the dictionary times the first, the hour times the
/// second, modulo the third.
pub const LINE_TAPS: [u32; 3] = [31, 17, 197];
/// Taps of a stop on a day: the same.
pub const STOP_TAPS: [u32; 3] = [13, 7, 401];

/// Taps by the formula.
pub fn taps([first, second, modulo]: [u32; 3], number: u32, time: u32) -> u32 {
    (number.wrapping_mul(first) + time.wrapping_mul(second)) % modulo
}

/// The lines and stops of one operator.
#[derive(Default)]
struct Scopes {
    lines: Vec<LineId>,
    stops: BTreeSet<StopId>,
}

/// Tells taps of the days before the record's last, unless it is done already.
pub async fn tell(data: &Path, size: Size, days: i32) -> Result<(), Failure> {
    let done = data.with_file_name("taps-done");
    if done.exists() {
        return Ok(());
    }
    let network = world::network(size)?;
    let running = open(data, &network)?;
    let today = running.ledger.read().stamp().hour();
    let today = today
        .ok_or_else(|| Failure::new(Kind::Unexpected, "the record is empty"))?
        .local_day();
    let of_operators = scopes(&network);
    let total = u64::from(days.unsigned_abs() + 1) * of_operators.len() as u64;
    let bar = progress::bar(total, "days", "telling taps");
    for (operator, scopes) in &of_operators {
        let feed = feed(operator, "lines", TapGrain::Line, TapInterval::Hour)?;
        let by_stop = self::feed(operator, "stops", TapGrain::Stop, TapInterval::Day)?;
        let first = LocalDay(today.0 - days);
        // The first day once more, as then all lines and stops have their numbers.
        for day in std::iter::once(first).chain((first.0..today.0).map(LocalDay)) {
            record(
                &running.ingest,
                &feed,
                of_lines(&running, &feed, scopes, day),
            )
            .await?;
            record(&running.ingest, &by_stop, of_stops(&running, scopes, day)).await?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    tokio::task::block_in_place(|| running.stop(STOP_WAIT))
        .map_err(|error| Failure::unexpected("the record cannot be closed", &error))?;
    fs::write(done, b"")?;
    Ok(())
}

fn open(data: &Path, network: &Arc<Network>) -> Result<Running, Failure> {
    let options = Options {
        clock_check: ClockCheck::Never,
        ..Options::default()
    };
    // Stamps never go back: the record's last is taken.
    let running = ingest::start_with(data, Arc::clone(network), || UtcMillis(0), options);
    let running =
        running.map_err(|error| Failure::unexpected("the record cannot be opened", &error))?;
    running.wait_for_store();
    Ok(running)
}

fn scopes(network: &Network) -> BTreeMap<OperatorCode, Scopes> {
    let mut all = BTreeMap::<OperatorCode, Scopes>::new();
    for line in network.all_lines() {
        let scopes = all.entry(line.id.operator()).or_default();
        scopes.lines.push(line.id.clone());
        let stops = line.directions.iter().flat_map(|one| one.stops.iter());
        scopes.stops.extend(stops.cloned());
    }
    all
}

/// A feed of the bench, which tells taps of every kind.
pub(super) fn feed(
    operator: &OperatorCode,
    name: &str,
    grain: TapGrain,
    interval: TapInterval,
) -> Result<TapFeed, Failure> {
    let invalid = |_| Failure::new(Kind::Unexpected, "a feed of the bench is none");
    let id = format!("op.{}.{name}", operator.as_str().to_lowercase());
    let kinds = [TapKind::CheckIn, TapKind::CheckOut, TapKind::Transfer];
    Ok(TapFeed {
        id: id.parse().map_err(invalid)?,
        operator: operator.clone(),
        grain,
        interval,
        kinds: TapKinds::new(kinds.into_iter().collect()).map_err(invalid)?,
        refusals: Refusals::Excluded,
        day_begin: DayBegin::default(),
    })
}

fn of_lines(running: &Running, feed: &TapFeed, scopes: &Scopes, day: LocalDay) -> Vec<TapCount> {
    let dictionary = dictionary(running);
    let start = feed.hours(day).0;
    let mut counts = Vec::new();
    for line in &scopes.lines {
        let number = dictionary.line_number(line.as_str()).unwrap_or(0);
        for slot in 0..feed.slots(day) {
            let taps = taps(LINE_TAPS, number, start + u32::from(slot));
            counts.push(count(TapScope::Line(line.clone()), day, slot, taps));
        }
    }
    counts
}

fn of_stops(running: &Running, scopes: &Scopes, day: LocalDay) -> Vec<TapCount> {
    let dictionary = dictionary(running);
    let of_stop = |stop: &StopId| {
        let number = dictionary.stop_number(stop.as_str()).unwrap_or(0);
        let taps = taps(STOP_TAPS, number, day.0.cast_unsigned());
        count(TapScope::Stop(stop.clone()), day, 0, taps)
    };
    scopes.stops.iter().map(of_stop).collect()
}

fn dictionary(running: &Running) -> Arc<Dictionary> {
    Arc::clone(running.ledger.read().dictionary())
}

fn count(scope: TapScope, day: LocalDay, slot: u8, taps: u32) -> TapCount {
    TapCount {
        scope,
        slot: TapSlot { day, slot },
        taps: Taps::new(taps.into()).expect("below the modulus"),
    }
}

async fn record(ingest: &Ingest, feed: &TapFeed, counts: Vec<TapCount>) -> Result<(), Failure> {
    let told = ingest.record_taps(feed, counts).await;
    told.map_err(|error| Failure::unexpected("taps were not recorded", &error))?;
    Ok(())
}
