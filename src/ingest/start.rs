//! From a data folder to a running record, and back to a folder at rest.
//!
//! The journal is opened, the checkpoint taken if it fits, and the rest of the journal folded.
//! A checkpoint holds only what was durable before, so that one ahead of the journal proves
//! that entries are lost, and ends the start.
//! The store opens in the background: what it lacks or has wrong is made again from the
//! journal. A start never trusts a checkpoint or a store more than the journal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::clock_guard::{ClockCheck, ClockGuard, ServerClock};
use super::committer::{Committer, Ending, Parts, write_checkpoint};
use super::duplicates::Duplicates;
use super::history::History;
use super::key_maker::KeyMaker;
use super::queue::{Paused, Queue};
use super::store_opening::StoreOpening;
use super::{Ingest, Secrets, Sources, erasure, folder};
use crate::auth::{KeyError, Keys, ReceiptKeys};
use crate::domain::entry::Epoch;
use crate::domain::limits::{
    CHECKPOINT_TAP_ENTRIES, DISK_RESERVE_BYTES, QUEUE_ENTRIES_MAX, SEGMENT_BYTES, TAP_DAYS_DEFAULT,
};
use crate::domain::{Entry, Position, Record, UtcMillis};
use crate::journal::{self, JournalError, Reader, Settings, Writer};
use crate::ledger::{Ledger, LedgerError, State, base};
use crate::live::Hub;
use crate::network::Network;

/// Settings of a record, for tests, measurements and made-up histories. The defaults are
/// those of `limits`.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size of the journal's segments, in bytes.
    pub segment_bytes: u64,
    /// Whether the journal is synced before anything is answered. Only the control of the
    /// power-cut test says no.
    pub sync: bool,
    /// Entries that may wait for the committer.
    pub queue_entries_max: usize,
    /// Free disk below which reports, and what else grows, are refused, in bytes.
    pub disk_reserve_bytes: u64,
    /// What the clock is compared with.
    pub clock_check: ClockCheck,
    /// How long tap counts are kept, in days.
    pub tap_days: u32,
    /// Entries between two checkpoints, so that a test meets one being written; if left out,
    /// `CHECKPOINT_ENTRIES_MIN`, or more where there are many entries.
    pub checkpoint_entries: Option<u64>,
}

/// Why a data folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder itself.
    #[error("data folder {path} cannot be used")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It held a record, whose journal is gone.
    #[error(
        "data folder {path} has no journal any more, but reports were recorded in it, as \
         {trace} shows; restore its journal from a backup, or use a new folder"
    )]
    JournalMissing {
        /// The folder.
        path: PathBuf,
        /// The file or folder in it that shows it.
        trace: &'static str,
    },
    /// What stands in the place of its oldest incidents is gone, and so is the checkpoint.
    #[error(
        "the journal's file `base` is missing or damaged, which holds what was counted of \
         incidents that are kept no longer; restore it from a backup"
    )]
    BaseMissing,
    /// Its keys.
    #[error("the keys cannot be used")]
    Keys(#[from] KeyError),
    /// Its journal.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// The system.
    #[error("no thread can be started")]
    Thread(#[source] io::Error),
}

/// Why stopping was not complete. What was answered is kept all the same.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The committer had ended before, by a failed write or by a bug.
    #[error("the journal could not be written; what was answered until then is kept")]
    Failed,
    /// Too slow.
    #[error("work under way did not end before the deadline")]
    Deadline,
    /// The next start takes longer.
    #[error("the checkpoint cannot be written")]
    Checkpoint(#[source] LedgerError),
    /// The system.
    #[error("no thread can be started")]
    Thread(#[source] io::Error),
}

/// A running record. Dropped without being stopped, it stops in the background.
pub struct Running {
    /// For submitting and reading back.
    pub ingest: Ingest,
    /// For counting.
    pub ledger: Arc<Ledger>,
    /// For watching.
    pub hub: Hub,
    /// For reading by position.
    pub reader: Reader,
    queue: Arc<Queue>,
    failed: watch::Receiver<bool>,
    committer: mpsc::Receiver<Ending>,
    /// Ends when the store is open, or made again, or given up.
    store: mpsc::Receiver<()>,
    /// Ends when all erasures have been looked at again.
    erasures: mpsc::Receiver<()>,
    folder: PathBuf,
    is_stopping: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            sync: true,
            queue_entries_max: QUEUE_ENTRIES_MAX,
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            clock_check: ClockCheck::Always,
            tap_days: TAP_DAYS_DEFAULT,
            checkpoint_entries: None,
        }
    }
}

impl Options {
    fn journal(self) -> Settings {
        Settings {
            segment_bytes: self.segment_bytes,
            sync: self.sync,
        }
    }
}

fn receive<T>(channel: &mpsc::Receiver<T>, end: Instant) -> Result<T, RecvTimeoutError> {
    channel.recv_timeout(end.saturating_duration_since(Instant::now()))
}

/// Opens a data folder, making it if there is none, and starts the committer. Blocks until
/// incidents can be taken in; the store may still be opening then.
pub fn start(
    folder: &Path,
    network: Arc<Network>,
    now: impl Fn() -> UtcMillis + Send + Sync + 'static,
) -> Result<Running, StartError> {
    start_with(folder, network, now, Options::default())
}

/// As `start`, with other settings.
pub fn start_with(
    folder: &Path,
    network: Arc<Network>,
    now: impl Fn() -> UtcMillis + Send + Sync + 'static,
    options: Options,
) -> Result<Running, StartError> {
    let begun = Instant::now();
    let OpenedJournal {
        mut writer,
        reader,
        opening,
        state,
    } = open_journal(folder, options)?;
    let checkpointed = state.position();
    let keys = Arc::new(open_keys(folder, &writer)?);
    let receipts = open_receipt_keys(folder, &writer)?;
    let ledger = Arc::new(Ledger::new(state));
    let is_stopping = Arc::new(AtomicBool::new(false));
    let mut stops_threads = StopsThreads(Some(Arc::clone(&is_stopping)));
    let (store, fold_ends) = open_store(folder, &ledger, &reader, &is_stopping)?;
    let Folded {
        entries: folded,
        tap_entries,
        again,
        erased,
    } = fold_rest(&ledger, &reader, writer.last_stamp())?;
    // Whoever opens the store may have given it up.
    let _ = fold_ends.send(());
    reader.raise_horizon(ledger.read().months().ended_through());
    erasure::finish(&mut writer, &ledger, checkpointed)?;
    let erasures = look_at_erasures(&ledger, &reader, checkpointed, &is_stopping)?;
    let clock = Arc::new(ServerClock::new(Arc::new(now), begun, options.clock_check));
    let mut clock_guard = ClockGuard::new(options.clock_check);
    let (shown, passed) = (clock.shown(), clock.passed());
    let now = match &mut clock_guard {
        Some(clock_guard) => clock_guard.time(shown, passed, writer.last_stamp()),
        None => shown,
    };
    clock.go_by(now, passed);
    let key_maker = KeyMaker::start(Arc::clone(&keys), now)?;
    note_network(&mut writer, &ledger, &network, now)?;
    tracing::info!(
        position = %writer.last(),
        records = opening.records,
        torn_bytes = opening.torn_bytes,
        %checkpointed,
        folded,
        elapsed_ms = begun.elapsed().as_millis(),
        "record opened"
    );
    let queue = Arc::new(Queue::new(options.queue_entries_max));
    queue.set_clock_unsure(clock_guard.as_ref().is_some_and(ClockGuard::is_unsure));
    let hub = Hub::new();
    let parts = Parts {
        queue: Arc::clone(&queue),
        writer,
        ledger: Arc::clone(&ledger),
        hub: hub.clone(),
        clock: Arc::clone(&clock),
        keys: key_maker,
        folder: folder.to_owned(),
        checkpointed,
        clock_guard,
        erased: erased.and_then(UtcMillis::minute),
        tap_entries,
        disk_reserve_bytes: options.disk_reserve_bytes,
        tap_days: options.tap_days,
        checkpoint_entries: options.checkpoint_entries,
        again,
    };
    let (failed, committer) = run_committer(parts)?;
    let ingest = Ingest::new(
        Arc::clone(&queue),
        Secrets { keys, receipts },
        network,
        clock,
        Sources {
            ledger: Arc::clone(&ledger),
            reader: reader.clone(),
            hub: hub.clone(),
        },
        options.tap_days,
    );
    stops_threads.0 = None;
    Ok(Running {
        ingest,
        ledger,
        hub,
        reader,
        queue,
        failed,
        committer,
        store,
        erasures,
        folder: folder.to_owned(),
        is_stopping,
    })
}

impl Running {
    /// Turns true when the journal can no longer be written: the service is not healthy.
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.failed.clone()
    }

    /// Whether reports are taken in, and why not.
    pub fn paused(&self) -> watch::Receiver<Option<Paused>> {
        self.queue.paused()
    }

    /// Waits until the store is open, or made again, or given up.
    pub fn wait_for_store(&self) {
        // Nothing is ever sent.
        let _ = self.store.recv();
    }

    /// Refuses new incidents, commits those that wait, writes a checkpoint. Blocks, at most
    /// until the deadline.
    pub fn stop(self, deadline: Duration) -> Result<(), StopError> {
        let end = Instant::now() + deadline;
        self.halt();
        let ending = match receive(&self.committer, end) {
            Ok(ending) => ending,
            Err(RecvTimeoutError::Disconnected) => return Err(StopError::Failed),
            Err(RecvTimeoutError::Timeout) => return Err(StopError::Deadline),
        };
        // A checkpoint counts only what is in the store. Making a store again stops early.
        for others in [&self.store, &self.erasures] {
            if let Err(RecvTimeoutError::Timeout) = receive(others, end) {
                return Err(StopError::Deadline);
            }
        }
        if ending.checkpointed < ending.writer.last() {
            self.last_checkpoint(end)?;
        }
        tracing::info!(position = %ending.writer.last(), "record closed");
        Ok(())
    }

    fn last_checkpoint(&self, end: Instant) -> Result<(), StopError> {
        let ledger = Arc::clone(&self.ledger);
        let folder = self.folder.clone();
        let (done, is_done) = mpsc::sync_channel(1);
        let write = move || {
            // Nobody may be waiting.
            let _ = done.send(write_checkpoint(&ledger, &folder));
        };
        spawn("checkpoint", write).map_err(StopError::Thread)?;
        match receive(&is_done, end) {
            // Without a store there is nothing to count on; the next start folds more.
            Ok(Ok(_) | Err(LedgerError::StoreOpening | LedgerError::StoreFailed))
            | Err(RecvTimeoutError::Disconnected) => Ok(()),
            Ok(Err(error)) => Err(StopError::Checkpoint(error)),
            Err(RecvTimeoutError::Timeout) => Err(StopError::Deadline),
        }
    }

    fn halt(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.queue.close();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Ends the threads of a start that fails: the folder is locked no more then, and they have no
/// business in it.
struct StopsThreads(Option<Arc<AtomicBool>>);

impl Drop for StopsThreads {
    fn drop(&mut self) {
        if let Some(is_stopping) = &self.0 {
            is_stopping.store(true, Ordering::Relaxed);
        }
    }
}

/// The journal, and the state to go on with.
struct OpenedJournal {
    /// It locks the folder for as long as it lives.
    writer: Writer,
    reader: Reader,
    opening: journal::Opening,
    state: State,
}

/// Opens the journal before anything else is made: it locks the folder, and what lies in a folder
/// without a journal proves a loss.
fn open_journal(folder: &Path, options: Options) -> Result<OpenedJournal, StartError> {
    folder::prepare(folder).map_err(|source| StartError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    if let Some(trace) = folder::trace_of_lost_journal(folder)? {
        let path = folder.to_owned();
        return Err(StartError::JournalMissing { path, trace });
    }
    let mut state = None;
    let checkpointed = |epoch| {
        let state = state.insert(begun_state(folder, epoch));
        state.position().max(lost_through(folder, epoch))
    };
    let path = folder::journal(folder);
    let (writer, reader, opening) = journal::open_through(&path, options.journal(), checkpointed)?;
    let state = state.unwrap_or_else(|| State::new(writer.epoch()));
    Ok(OpenedJournal {
        writer,
        reader,
        opening,
        state,
    })
}

fn open_keys(folder: &Path, writer: &Writer) -> Result<Keys, KeyError> {
    let is_lost = writer.last() != Position(0) && !Keys::exist(folder);
    let keys = Keys::open(folder)?;
    if is_lost {
        tracing::warn!(
            "keys were lost and new ones made: reports from before that are sent again are \
             refused, and cards from before cannot be joined with later ones"
        );
    }
    Ok(keys)
}

fn open_receipt_keys(folder: &Path, writer: &Writer) -> Result<ReceiptKeys, KeyError> {
    let is_lost = writer.last() != Position(0) && !ReceiptKeys::exist(folder);
    let keys = ReceiptKeys::open(folder)?;
    if is_lost {
        tracing::warn!(
            "keys of receipts were lost and a new one made: receipts from before cannot be \
             checked any more, unless their file comes back from a backup, and are made anew \
             with other bytes"
        );
    }
    Ok(keys)
}

/// The state of the checkpoint, or an empty one if it is of no use.
fn checkpointed_state(folder: &Path, epoch: Epoch) -> State {
    match Ledger::read_checkpoint(folder, epoch) {
        Ok(Some(state)) => return state,
        Ok(None) => {}
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "checkpoint is of no use; folding the whole journal");
        }
    }
    State::new(epoch)
}

/// What the ledger had not counted.
struct Folded {
    entries: u64,
    /// Those of them that tell tap counts, see `count_taps`.
    tap_entries: u64,
    /// The latest reports, which are read with them.
    again: Duplicates,
    /// When the first of them that erases an incident came: a checkpoint may hold its minute.
    erased: Option<UtcMillis>,
}

/// Folds what the ledger has not counted yet.
fn fold_rest(ledger: &Ledger, reader: &Reader, last: UtcMillis) -> Result<Folded, StartError> {
    let from = ledger.read().position().next();
    let mut again = Duplicates::read_back(reader, &ledger.read())?;
    let latest = Duplicates::begins(reader.last());
    let history = History::for_fold(reader, from, last, latest)?;
    let mut erased = None;
    let mut tap_entries = 0;
    ledger.begin_fold();
    let entries = history.for_each_batch(|batch| {
        if lacks_base(batch) {
            return Err(StartError::BaseMissing);
        }
        let is_erasure = |record: &&Record| matches!(record.entry, Entry::Erased { .. });
        erased = erased.or(batch.iter().find(is_erasure).map(|record| record.stamp));
        tap_entries += count_taps(batch.iter().map(|record| &record.entry));
        let applied = ledger.apply(batch);
        again.follow(latest, batch, &applied);
        Ok(())
    })?;
    ledger.end_fold();
    Ok(Folded {
        entries,
        tap_entries,
        again,
        erased,
    })
}

/// How many entries tell tap counts. One that ends old counts is as many as a checkpoint waits for:
/// an earlier checkpoint needs days that the store then has no more, and a start with it would
/// make the whole store again.
pub(super) fn count_taps<'e>(entries: impl Iterator<Item = &'e Entry>) -> u64 {
    let count = |entry: &Entry| match entry {
        Entry::TapCounts(_) => 1,
        Entry::TapCountsRemoved { .. } => CHECKPOINT_TAP_ENTRIES,
        _ => 0,
    };
    entries.map(count).sum()
}

/// Whether entries that are to be folded have gone: the base that stands in their place is
/// missing.
pub(super) fn lacks_base(batch: &[Record]) -> bool {
    batch.iter().any(|record| record.entry == Entry::Gone)
}

/// The state to go on with: that of the checkpoint, or of the base if that is later or the
/// checkpoint is of no use, or else an empty one.
pub(super) fn begun_state(folder: &Path, epoch: Epoch) -> State {
    let checkpointed = checkpointed_state(folder, epoch);
    match base::read(&folder::journal(folder), epoch) {
        Ok(Some(base)) if checkpointed.months().ended_through() < base.position() => base,
        Ok(_) => checkpointed,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "base cannot be read; restore it from a backup");
            checkpointed
        }
    }
}

/// Through where entries were counted by a checkpoint that a `rebuild` took out of use, and did not
/// live to say in the journal what it had lost; 0 if there is none.
pub(super) fn lost_through(folder: &Path, epoch: Epoch) -> Position {
    let lost = Ledger::read_lost_checkpoint(folder, epoch).ok().flatten();
    lost.map_or(Position(0), |state| state.position())
}

/// Through where a folder's journal must reach.
pub(super) fn durable_through(folder: &Path, epoch: Epoch) -> Position {
    let begun = begun_state(folder, epoch).position();
    begun.max(lost_through(folder, epoch))
}

/// Records the network in use, if it is not the one that the journal noted last.
fn note_network(
    writer: &mut Writer,
    ledger: &Ledger,
    network: &Network,
    now: UtcMillis,
) -> Result<(), JournalError> {
    let (version, sha256) = (network.version(), network.sha256());
    if ledger.read().network() == Some((version, sha256)) {
        return Ok(());
    }
    let entry = Entry::NetworkChanged { version, sha256 };
    let (position, stamp) = writer.append(&[journal::encode(&entry)], now)?;
    ledger.apply(&[Record {
        position,
        stamp,
        entry,
    }]);
    Ok(())
}

type Committing = (watch::Receiver<bool>, mpsc::Receiver<Ending>);

fn run_committer(parts: Parts) -> Result<Committing, StartError> {
    let (has_failed, failed) = watch::channel(false);
    let (has_ended, ended) = mpsc::sync_channel(1);
    let committer = Committer::new(parts);
    spawn("committer", move || {
        if let Some(ending) = committer.run(has_failed) {
            // Nobody may be waiting.
            let _ = has_ended.send(ending);
        }
    })
    .map_err(StartError::Thread)?;
    Ok((failed, ended))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map(drop)
}

/// Opens the store on a thread of its own, and attaches it. Gives what ends when that is done, and
/// what is to be told when the fold has ended.
fn open_store(
    folder: &Path,
    ledger: &Arc<Ledger>,
    reader: &Reader,
    is_stopping: &Arc<AtomicBool>,
) -> Result<(mpsc::Receiver<()>, mpsc::SyncSender<()>), StartError> {
    let (fold_ends, fold_ended) = mpsc::sync_channel(1);
    let opening = StoreOpening {
        path: folder::store(folder),
        ledger: Arc::clone(ledger),
        reader: reader.clone(),
        is_stopping: Arc::clone(is_stopping),
        taps: ledger.taps_needed(),
        last: reader.last(),
        fold_ended,
    };
    let opened = spawn_awaited("store", move || opening.run())?;
    Ok((opened, fold_ends))
}

/// Looks again at the erasures that need not be looked at before reports are taken in, on a thread
/// of its own.
fn look_at_erasures(
    ledger: &Arc<Ledger>,
    reader: &Reader,
    checkpointed: Position,
    is_stopping: &Arc<AtomicBool>,
) -> Result<mpsc::Receiver<()>, StartError> {
    let (ledger, reader) = (Arc::clone(ledger), reader.clone());
    let is_stopping = Arc::clone(is_stopping);
    spawn_awaited("erasures", move || {
        match erasure::finish_settled(&reader, &ledger, checkpointed, &is_stopping) {
            Ok(0) => {}
            Ok(incidents) => tracing::warn!(incidents, "erased reports were back; erased again"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "it cannot be seen whether erased reports are gone");
            }
        }
    })
}

/// Starts a thread. What it gives ends with it.
fn spawn_awaited(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<mpsc::Receiver<()>, StartError> {
    let (ends, ended) = mpsc::sync_channel(1);
    spawn(name, move || {
        work();
        drop::<mpsc::SyncSender<()>>(ends);
    })
    .map_err(StartError::Thread)?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_start_that_fails_are_told_to_stop() {
        let is_stopping = Arc::new(AtomicBool::new(false));
        drop(StopsThreads(Some(Arc::clone(&is_stopping))));
        assert!(is_stopping.load(Ordering::Relaxed));
    }
}
