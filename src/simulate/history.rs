//! Writes simulated history into a data folder in bulk: through the same checks, the same
//! committer and the same fold as a server's reports, but without a network in between and
//! with simulated time. The folder must not be in use.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::taps::{TapCall, Taps};
use super::{Sent, Simulation};
use crate::api::convert::incident::parse_incident;
use crate::api::convert::taps::{Taken, parse_count, parse_feed};
use crate::api::convert::violation::Path;
use crate::domain::limits::INCIDENTS_PER_CALL_MAX;
use crate::domain::time::HOUR_MS;
use crate::domain::{Hour, LocalDay, TapCount, TapFeed, UtcMillis};
use crate::edition::library::{EditionError, Library};
use crate::ingest::{
    self, ClockCheck, Ingest, Options, StartError, StopError, SubmitError, TapsError,
};
use crate::network::{Network, PersistError, latest_on_disk};
use crate::upkeep::editions::{CloseError, close_due};

/// Simulated time within one batch: its reports are all committed at the last one's time, or at that of
/// a batch that begins within as much of it.
const BATCH_MS_MAX: i64 = 6 * HOUR_MS;
/// Batches under way at once.
const BATCHES_IN_FLIGHT: usize = 4;
/// How long the last checkpoint may take.
const STOP_WAIT: Duration = Duration::from_secs(600);

/// Why history could not be written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The data folder cannot be opened.
    #[error("the data folder cannot be opened")]
    Start(#[from] StartError),
    /// The network is not in the folder.
    #[error("the network could not be written into the data folder")]
    Network(#[from] PersistError),
    /// A report was not recorded.
    #[error("a simulated report was not recorded")]
    Submit(#[from] SubmitError),
    /// Tap counts that no server would take.
    #[error("simulated tap counts were refused")]
    Refused,
    /// Tap counts were not recorded.
    #[error("simulated tap counts were not recorded")]
    Taps(#[from] TapsError),
    /// A task ended before its time.
    #[error("a task ended before its time")]
    Task(#[from] tokio::task::JoinError),
    /// The editions cannot be opened.
    #[error("the editions cannot be used")]
    Editions(#[from] EditionError),
    /// An edition was not closed.
    #[error("an edition was not closed")]
    Close(#[from] CloseError),
    /// The last checkpoint was not written.
    #[error("the folder could not be closed")]
    Stop(#[from] StopError),
}

/// Where history ends.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    /// No report sent at or after this.
    pub end: UtcMillis,
    /// At most so many reports.
    pub reports_max: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Reports sent.
    pub reports: u64,
    /// Reports refused for what they tell.
    pub refused: u64,
}

/// Writes the simulation's reports into the folder, each committed at its simulated time, and
/// the taps of each hour when it is over, if any are told; and first of all the network, if the
/// folder has an older one or none. `told` hears how many reports there are so far, and may end it
/// there.
pub async fn write(
    dir: &path::Path,
    network: Arc<Network>,
    simulation: &mut Simulation,
    taps: Option<&Taps>,
    until: Until,
    mut told: impl FnMut(Written) -> ControlFlow<()>,
) -> Result<Written, HistoryError> {
    let clock = Arc::new(AtomicI64::new(0));
    let mut written = Written::default();
    let mut reports = std::iter::from_fn(|| simulation.next_before(until.end))
        .take(usize::try_from(until.reports_max).unwrap_or(usize::MAX))
        .peekable();
    let begun = reports.peek().map_or(until.end, |first| first.at);
    clock.store(begun.0, Ordering::Relaxed);
    let shared_clock = Arc::clone(&clock);
    let now = move || UtcMillis(shared_clock.load(Ordering::Relaxed));
    let options = Options {
        clock_check: ClockCheck::Never,
        ..Options::default()
    };
    let running = ingest::start_with(dir, Arc::clone(&network), now, options)?;
    // Only once the folder is nobody else's: a server would take it up.
    if latest_on_disk(dir).unwrap_or(0) < network.version() {
        network.save(dir)?;
    }
    let mut under_way = VecDeque::<(UtcMillis, _)>::new();
    let mut told_until = begun;
    let mut is_ended = false;
    while let Some(first) = reports.next().filter(|_| !is_ended) {
        // What is still under way would be committed at a time to come, however long it takes.
        while let Some((_, task)) =
            under_way.pop_front_if(|(begun, _)| begun.0 + BATCH_MS_MAX <= first.at.0)
        {
            written.refused += finish(task).await?;
        }
        clock.fetch_max(first.at.0, Ordering::Relaxed);
        tell(&running.ingest, taps, told_until..first.at).await?;
        told_until = first.at;
        let (begun, end) = (first.at, UtcMillis(first.at.0 + BATCH_MS_MAX));
        let rest = std::iter::from_fn(|| reports.next_if(|sent| sent.at < end));
        let batch = std::iter::once(first).chain(rest);
        let batch: Vec<_> = batch.take(INCIDENTS_PER_CALL_MAX).collect();
        let now = batch.last().map_or(end, |last| last.at);
        clock.store(now.0, Ordering::Relaxed);
        written.reports += batch.len() as u64;
        let task = tokio::spawn(submit(running.ingest.clone(), batch, now));
        under_way.push_back((begun, task));
        if BATCHES_IN_FLIGHT <= under_way.len()
            && let Some((_, task)) = under_way.pop_front()
        {
            written.refused += finish(task).await?;
        }
        is_ended = told(written).is_break();
    }
    for (_, task) in under_way {
        written.refused += finish(task).await?;
    }
    // Where there are as many reports as were asked for, nobody would report later taps.
    if !is_ended && written.reports < until.reports_max {
        clock.fetch_max(until.end.0, Ordering::Relaxed);
        tell(&running.ingest, taps, told_until..until.end).await?;
    }
    tokio::task::spawn_blocking(move || running.stop(STOP_WAIT)).await??;
    Ok(written)
}

/// Closes all editions that are due in a folder with history, by the time of its last entry.
/// Returns how many.
pub async fn close_editions(
    dir: &path::Path,
    network: Arc<Network>,
    now: UtcMillis,
) -> Result<usize, HistoryError> {
    let options = Options {
        clock_check: ClockCheck::Never,
        ..Options::default()
    };
    let running = ingest::start_with(dir, network, move || now, options)?;
    let library = Arc::new(Library::open(dir, running.reader.clone())?);
    let closing = close_due(&library, &running.ingest).await;
    tokio::task::spawn_blocking(move || running.stop(STOP_WAIT)).await??;
    let closing = closing?;
    match closing.failed.into_iter().next() {
        Some((_, error)) => Err(error.into()),
        None => Ok(closing.closed.len()),
    }
}

/// Checks and records one batch, and says how many of it were refused.
async fn submit(ingest: Ingest, batch: Vec<Sent>, now: UtcMillis) -> Result<u64, SubmitError> {
    let sent = batch.len();
    let parse = |mut sent: Sent| {
        parse_incident(Path::root("incident"), Some(&mut sent.incident), now)
            .map(|parsed| *parsed.incident)
    };
    let incidents: Vec<_> = batch
        .into_iter()
        .filter_map(|sent| parse(sent).ok())
        .collect();
    let refused = sent - incidents.len();
    for result in ingest.submit(incidents).await {
        result?;
    }
    Ok(refused as u64)
}

/// Checks and records the taps of the hours that end between two instants.
async fn tell(
    ingest: &Ingest,
    taps: Option<&Taps>,
    times: Range<UtcMillis>,
) -> Result<(), HistoryError> {
    let hours = times.start.hour().zip(times.end.hour());
    let (Some(taps), Some((first, end))) = (taps, hours) else {
        return Ok(());
    };
    for hour in (first.0..end.0).map(Hour) {
        for told in taps.of(hour) {
            let (feed, counts) = parsed(&told, times.end).ok_or(HistoryError::Refused)?;
            ingest.record_taps(&feed, counts).await?;
        }
    }
    Ok(())
}

fn parsed(told: &TapCall, now: UtcMillis) -> Option<(TapFeed, Vec<TapCount>)> {
    let feed = parse_feed(Path::root("feed"), Some(&told.feed)).ok()?;
    let counts = told.counts.iter().map(|count| {
        let from = LocalDay(i32::MIN);
        let taken = Taken { from, now };
        parse_count(Path::root("counts"), count, &feed, taken).ok()
    });
    let counts = counts.collect::<Option<_>>()?;
    Some((feed, counts))
}

/// Waits for a batch.
async fn finish(task: JoinHandle<Result<u64, SubmitError>>) -> Result<u64, HistoryError> {
    Ok(task.await??)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::Scenario;
    use super::super::world::World;
    use super::*;
    use crate::domain::time::DAY_MS;
    use crate::domain::{Entry, Position};
    use crate::journal;

    /// The last day of which taps are told, and that of the last report.
    async fn last_days(reports_max: u64) -> (LocalDay, LocalDay) {
        let dir = tempfile::tempdir().expect("a folder");
        let network = Arc::new(Network::built_in());
        let world = World::from_network(&network).expect("it has lines");
        let start = LocalDay::parse("2026-10-20").expect("a day").start();
        let scenario = Scenario {
            seed: 1,
            start: start.start(),
            reports_per_day: 20.0,
        };
        let taps = Taps::new(scenario, &world);
        let until = Until {
            end: UtcMillis(scenario.start.0 + 10 * DAY_MS),
            reports_max,
        };
        let mut simulation = Simulation::new(scenario, world);
        let written = write(
            dir.path(),
            Arc::clone(&network),
            &mut simulation,
            Some(&taps),
            until,
            |_| ControlFlow::Continue(()),
        );
        written.await.expect("it is written");
        let options = Options {
            clock_check: ClockCheck::Never,
            ..Options::default()
        };
        // Its stamps do not go back, so that the last stays the last.
        let running = ingest::start_with(dir.path(), network, || UtcMillis(0), options);
        let running = running.expect("it starts");
        let last = {
            let state = running.ledger.read();
            let feeds = state.taps().feeds().iter();
            let days = feeds.filter_map(|feed| feed.days().keys().next_back().copied());
            let last = state.stamp().hour().expect("a time").local_day();
            (days.max().expect("some were told"), last)
        };
        let stopped = tokio::task::spawn_blocking(move || running.stop(STOP_WAIT)).await;
        stopped.expect("it ends").expect("it stops");
        last
    }

    #[tokio::test]
    async fn reports_are_committed_soon_after_they_were_sent_however_busy_the_machine_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let network = Arc::new(Network::built_in());
        let world = || World::from_network(&network).expect("it has lines");
        let start = LocalDay::parse("2026-10-20").expect("a day").start();
        let scenario = Scenario {
            seed: 1,
            start: start.start(),
            reports_per_day: 20.0,
        };
        let end = UtcMillis(scenario.start.0 + 10 * DAY_MS);
        let mut simulation = Simulation::new(scenario, world());
        let sent = std::iter::from_fn(|| simulation.next_before(end));
        let sent: HashMap<_, _> = sent
            .map(|sent| (sent.incident.incident_id, sent.at))
            .collect();
        let until = Until {
            end,
            reports_max: u64::MAX,
        };
        let mut simulation = Simulation::new(scenario, world());
        let told = |_| ControlFlow::Continue(());
        let written = write(
            dir.path(),
            Arc::clone(&network),
            &mut simulation,
            None,
            until,
            told,
        );
        written.await.expect("it is written");
        let (reader, _) = journal::open_reader(&dir.path().join("journal")).expect("a journal");
        let mut reports = 0;
        for record in reader.entries_from(Position(1)).expect("readable") {
            let record = record.expect("whole");
            let Entry::Incident { facts, .. } = record.entry else {
                continue;
            };
            reports += 1;
            let late_ms = record.stamp.0 - sent[&facts.id.to_string()].0;
            assert!((0..=2 * BATCH_MS_MAX).contains(&late_ms), "{late_ms}");
        }
        assert!(100 < reports);
    }

    /// Writes a few reports into a folder, of a network that is in none yet.
    async fn write_new(dir: &path::Path) -> Result<Written, HistoryError> {
        let network = Network::overlay(&Network::built_in(), Vec::new()).expect("a network");
        let scenario = Scenario {
            seed: 1,
            start: LocalDay::parse("2026-10-20")
                .expect("a day")
                .start()
                .start(),
            reports_per_day: 20.0,
        };
        let world = World::from_network(&network).expect("it has lines");
        let mut simulation = Simulation::new(scenario, world);
        let until = Until {
            end: UtcMillis(scenario.start.0 + DAY_MS),
            reports_max: 10,
        };
        write(dir, Arc::new(network), &mut simulation, None, until, |_| {
            ControlFlow::Continue(())
        })
        .await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn network_is_written_with_its_history_unless_another_uses_the_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let network = Arc::new(Network::built_in());
        let server = ingest::start(dir.path(), network, || UtcMillis(0)).expect("it starts");
        let refused = write_new(dir.path()).await;
        assert!(matches!(refused, Err(HistoryError::Start(_))));
        assert_eq!(latest_on_disk(dir.path()), None);
        let stopped = tokio::task::spawn_blocking(move || server.stop(STOP_WAIT)).await;
        stopped.expect("it ends").expect("it stops");
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(write_new(dir.path()).await.expect("written").reports, 10);
        assert_eq!(latest_on_disk(dir.path()), Some(1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn taps_are_told_to_the_end_or_to_the_last_report_that_was_asked_for() {
        let end = LocalDay::parse("2026-10-30").expect("a day");
        let (taps, _) = last_days(u64::MAX).await;
        assert_eq!(taps.next(), end);
        let (taps, reports) = last_days(30).await;
        assert!(taps <= reports && reports < end, "{taps} {reports}");
    }
}
