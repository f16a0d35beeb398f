//! `mistap bench editions`: how long closing a month takes where a whole country tells its
//! taps by the quarter of an hour, and how much memory it takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use super::Plan;
use super::children;
use super::contest::{self, Bound};
use super::taps::feed;
use super::world;
use crate::cli::progress;
use crate::cli::{Failure, Kind};
use crate::domain::taps::{
    TapBatch, TapCount, TapFeed, TapGrain, TapInterval, TapScope, TapSlot, Taps,
};
use crate::domain::{Entry, LocalDay, LocalMonth, OperatorCode, Position, UtcMillis};
use crate::edition::gather::first_at;
use crate::edition::library::{Library, Prepared};
use crate::edition::month;
use crate::journal::{self, JournalError, Reader, Settings, Writer};
use crate::network::Network;

const JOURNAL: &str = "journal";
/// Entries that are written at a time.
const CHUNK_ENTRIES: usize = 256;
const MIB: f64 = 1_048_576.0;
/// Taps of a quarter of an hour: few, as at most stops and on most lines.
const TAPS_MODULUS: u64 = 60;
/// Feeds of each operator's lines: of all taps, and of each kind.
const LINE_FEEDS: [&str; 4] = ["all", "in", "out", "transfers"];
const SECONDS_MAX: f64 = 120.0;
const MEMORY_MIB_MAX: f64 = 512.0;

/// What an operator tells.
struct Told {
    feed: TapFeed,
    scopes: Vec<TapScope>,
}

/// Runs it.
pub async fn run(plan: &Plan) -> Result<(), Failure> {
    let record = world::record(&plan.dir, plan.size, plan.incidents, (plan.now)()).await?;
    let network = world::network(plan.size)?;
    let folder = children::throw_away("mistap-bench-editions-")?;
    let month = tokio::task::block_in_place(|| write(&record, &network, folder.path()))?;
    let (reader, _) = journal::open_reader(&folder.path().join(JOURNAL)).map_err(failed)?;
    let library = Library::open(folder.path(), reader);
    let library = library.map_err(|error| Failure::unexpected("no editions", &error))?;
    let before = resident_most(true)?;
    let begun = Instant::now();
    let made = tokio::task::block_in_place(|| library.prepare(month));
    let seconds = begun.elapsed().as_secs_f64();
    let made = made.map_err(|error| Failure::unexpected("an edition was not made", &error))?;
    if !matches!(made, Prepared::Ready(_)) {
        return Err(Failure::new(Kind::Unexpected, "the month is not due"));
    }
    let bounds = [
        bound("seconds", seconds, SECONDS_MAX),
        bound(
            "MiB more in memory",
            resident_most(false)? - before,
            MEMORY_MIB_MAX,
        ),
    ];
    contest::print_bounds("closing a month", "", &bounds, plan.with_targets)
}

fn bound(name: &str, value: f64, most: f64) -> Bound {
    Bound {
        name: name.to_owned(),
        value,
        most: Some(most),
    }
}

/// Writes a journal with the record's last month that can be closed, and the taps of every
/// day in it. Returns the month.
fn write(record: &Path, network: &Network, folder: &Path) -> Result<LocalMonth, Failure> {
    let (reader, _) = journal::open_reader(&record.join(JOURNAL)).map_err(failed)?;
    let last = reader.entry(reader.last()).map_err(failed)?;
    let last = last.and_then(|record| record.stamp.hour());
    let last = last.ok_or_else(|| Failure::new(Kind::Unexpected, "the record is empty"))?;
    let month = LocalMonth(last.local_day().month().0 - 2);
    let settings = Settings {
        sync: false,
        ..Settings::default()
    };
    let (mut writer, _, _) = journal::open(&folder.join(JOURNAL), settings).map_err(failed)?;
    let told = told(network)?;
    let (first, end) = (month::first_day(month), month::closes_at(month));
    let days = (first.0..).map(LocalDay);
    let days: Vec<_> = days.take_while(|day| day.start().start() < end).collect();
    let bar = progress::bar(days.len() as u64, "days", "writing a month");
    let mut counts = 0;
    for day in days {
        let (begins, ends) = (day.start().start(), day.next().start().start());
        copy(&reader, &mut writer, (begins, ends)).map_err(failed)?;
        counts += tell(&told, day, &mut writer, UtcMillis(ends.0 - 1)).map_err(failed)?;
        bar.inc(1);
    }
    writer
        .append(&[journal::encode(&Entry::Tick)], end)
        .map_err(failed)?;
    bar.finish_and_clear();
    contest::say(&format!("{month}: {counts} tap counts until it closed"))?;
    Ok(month)
}

/// The record's incidents of a span of time, as they were.
fn copy(
    reader: &Reader,
    writer: &mut Writer,
    (begins, ends): (UtcMillis, UtcMillis),
) -> Result<(), JournalError> {
    let from = first_at(reader, begins)?;
    let through = Position(first_at(reader, ends)?.0 - 1);
    let mut chunk = Vec::new();
    for record in reader.entries_from(from)? {
        let record = record?;
        if through < record.position {
            break;
        }
        if matches!(record.entry, Entry::Incident { .. }) {
            chunk.push(journal::encode(&record.entry));
        }
        if CHUNK_ENTRIES <= chunk.len() {
            writer.append(&chunk, record.stamp)?;
            chunk.clear();
        }
    }
    writer.append(&chunk, begins)?;
    Ok(())
}

/// The taps of one day, told at once. Returns how many counts those are.
fn tell(
    told: &[Told],
    day: LocalDay,
    writer: &mut Writer,
    at: UtcMillis,
) -> Result<u64, JournalError> {
    let mut all = 0;
    for Told { feed, scopes } in told {
        let slots = feed.slots(day);
        let count = |(scope, slot): (&TapScope, u8)| TapCount {
            scope: scope.clone(),
            slot: TapSlot { day, slot },
            taps: Taps::new(u64::from(slot) * 7 % TAPS_MODULUS).expect("below the modulus"),
        };
        let cells = scopes
            .iter()
            .flat_map(|scope| (0..slots).map(move |slot| (scope, slot)));
        let batches = TapBatch::pack(feed, cells.map(count));
        all += scopes.len() as u64 * u64::from(slots);
        let entries: Vec<_> = batches
            .into_iter()
            .map(|batch| journal::encode(&Entry::TapCounts(Box::new(batch))))
            .collect();
        writer.append(&entries, at)?;
    }
    Ok(all)
}

/// Every stop by the quarter of an hour, and every line in four feeds: 5.6 million counts a
/// day at planning size.
fn told(network: &Network) -> Result<Vec<Told>, Failure> {
    let mut scopes = BTreeMap::<OperatorCode, (Vec<TapScope>, Vec<TapScope>)>::new();
    for line in network.all_lines() {
        let (lines, stops) = scopes.entry(line.id.operator()).or_default();
        lines.push(TapScope::Line(line.id.clone()));
        let of_line = line.directions.iter().flat_map(|one| one.stops.iter());
        stops.extend(of_line.cloned().map(TapScope::Stop));
    }
    let mut told = Vec::new();
    for (operator, (lines, mut stops)) in scopes {
        stops.sort();
        stops.dedup();
        told.push(Told {
            feed: feed(&operator, "stops", TapGrain::Stop, TapInterval::Quarter)?,
            scopes: stops,
        });
        for name in LINE_FEEDS {
            told.push(Told {
                feed: feed(&operator, name, TapGrain::Line, TapInterval::Quarter)?,
                scopes: lines.clone(),
            });
        }
    }
    Ok(told)
}

/// The most memory that this process has had, in MiB; from now on, if it is to begin anew.
fn resident_most(begins_anew: bool) -> Result<f64, Failure> {
    if begins_anew {
        // What `proc(5)` gives for this; without the right to it the figure is an older one.
        let _ = fs::write("/proc/self/clear_refs", "5");
    }
    let bytes = children::resident_bytes_most(std::process::id());
    let bytes = bytes.ok_or_else(|| Failure::new(Kind::Unexpected, "memory is not told"))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let mib = bytes as f64 / MIB;
    Ok(mib)
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn failed(error: JournalError) -> Failure {
    Failure::unexpected("the journal of the bench failed", &error)
}
