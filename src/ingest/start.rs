//! From a data folder to a running record.
//!
//! The journal is opened, the checkpoint taken if it fits (it ends with an entry that the journal
//! has), and the rest of the journal folded. One whose last place holds another entry in the
//! journal is let go.
//! A checkpoint holds only what was durable before, so that one that ends after the journal shows
//! that entries are lost, unless it is another's, and ends the start.
//! The store opens in the background: what it lacks or has wrong is made again from the
//! journal. A start never trusts a checkpoint or a store more than the journal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use tokio::sync::watch;

use super::clock_guard::{ClockCheck, ClockGuard, ServerClock};
use super::committer::{Committer, Ending, Parts};
use super::duplicates::Duplicates;
use super::history::History;
use super::key_maker::KeyMaker;
use super::queue::Queue;
use super::removal_progress::{RemovalProgress, digest};
use super::running::Running;
use super::store_opening::StoreOpening;
use super::{Ingest, Secrets, Sources, erasure, folder};
use crate::auth::{KeyError, Keys, ReceiptKeys};
use crate::domain::entry::Epoch;
use crate::domain::limits::{
    CHECKPOINT_TAP_ENTRIES, DISK_RESERVE_BYTES, MISSING_BASE_LOOK_ENTRIES_MAX, QUEUE_ENTRIES_MAX,
    SEGMENT_BYTES, TAP_DAYS_MAX,
};
use crate::domain::{Entry, Position, Record, UtcMillis};
use crate::journal::{self, JournalError, Reader, Settings, Writer};
use crate::ledger::{Ledger, State, base, checkpoint};
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
    /// How long tap counts are kept, in days; if left out, none are removed.
    pub tap_days: Option<u32>,
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
    /// What stands in the place of its oldest incidents is gone or of entries that the journal does
    /// not have, and so is the checkpoint.
    #[error(
        "the journal's file `base` is missing, damaged or another's, which holds what was counted \
         of incidents that are kept no longer; restore it from a backup"
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

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            sync: true,
            queue_entries_max: QUEUE_ENTRIES_MAX,
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            clock_check: ClockCheck::Always,
            tap_days: None,
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
    let opened = open_journal(folder, options)?;
    let opening = opened.opening;
    let secrets = open_secrets(folder, &opened.writer)?;
    let mut record = recover(folder, opened)?;
    let last = record.writer.last_stamp();
    let (clock, clock_guard, now) = begin_clock(now, begun, options.clock_check, last);
    let keys = KeyMaker::start(Arc::clone(&secrets.keys), now)?;
    record.note(folder, &network, &secrets.keys, now)?;
    record.log(opening, begun);
    let queue = Arc::new(Queue::new(options.queue_entries_max));
    queue.set_clock_unsure(clock_guard.as_ref().is_some_and(ClockGuard::is_unsure));
    let hub = Hub::new();
    let sources = Sources {
        ledger: Arc::clone(&record.ledger),
        reader: record.reader.clone(),
        hub: hub.clone(),
    };
    let is_stopping = Arc::clone(&record.threads.is_stopping);
    let parts = Parts {
        queue: Arc::clone(&queue),
        writer: record.writer,
        last,
        ledger: Arc::clone(&record.ledger),
        hub: hub.clone(),
        clock: Arc::clone(&clock),
        clock_guard,
        erased: record.folded.erased.and_then(UtcMillis::minute),
        tap_entries: record.folded.tap_entries,
        keys,
        folder: folder.to_owned(),
        checkpointed: record.checkpointed,
        disk_reserve_bytes: options.disk_reserve_bytes,
        tap_days: options.tap_days,
        checkpoint_entries: options.checkpoint_entries,
        again: record.folded.again,
    };
    let (failed, committer) = run_committer(record.threads, parts)?;
    let tap_days = options.tap_days.unwrap_or(TAP_DAYS_MAX);
    Ok(Running {
        ingest: Ingest::new(
            Arc::clone(&queue),
            secrets,
            network,
            clock,
            sources,
            tap_days,
        ),
        ledger: record.ledger,
        hub,
        reader: record.reader,
        queue,
        failed,
        committer,
        store: record.store,
        erasures: record.erasures,
        folder: folder.to_owned(),
        is_stopping,
    })
}

/// Tells the threads of a start that fails to stop. It is dropped before the writer, wherever both
/// are: once that unlocks the folder, they have no business in it.
#[derive(Default)]
struct StopsThreads {
    is_stopping: Arc<AtomicBool>,
    is_started: bool,
}

impl StopsThreads {
    /// The start went well: they go on until `is_stopping` says otherwise.
    fn go_on(mut self) {
        self.is_started = true;
    }
}

impl Drop for StopsThreads {
    fn drop(&mut self) {
        if !self.is_started {
            self.is_stopping.store(true, Ordering::Relaxed);
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
    let mut begun = None;
    let checkpointed = |epoch| {
        let begun = begun.insert(begun_state(folder, epoch));
        begun.state.position().max(lost_through(folder, epoch))
    };
    let path = folder::journal(folder);
    let (writer, reader, opening) = journal::open_through(&path, options.journal(), checkpointed)?;
    let remove = || {
        checkpoint::remove_asides(folder, &path)?;
        // The journal reaches past it.
        checkpoint::remove_lost(folder)
    };
    remove().map_err(|source| StartError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    let begun = begun.unwrap_or_else(|| Begun::with(State::new(writer.epoch())));
    tell_missing_base(&begun, &reader);
    let state = of_same_past(begun.state, folder, &reader)?;
    Ok(OpenedJournal {
        writer,
        reader,
        opening,
        state,
    })
}

/// What the journal says and the ledger has counted, with what goes on in the background.
struct Recovered {
    /// First of all, so that it is dropped before the writer.
    threads: StopsThreads,
    writer: Writer,
    reader: Reader,
    ledger: Arc<Ledger>,
    /// Through where the checkpoint counts; 0 if there is none.
    checkpointed: Position,
    folded: Folded,
    /// Ends when the store is open, or made again, or given up.
    store: mpsc::Receiver<()>,
    /// Ends when all erasures have been looked at again.
    erasures: mpsc::Receiver<()>,
}

/// Folds what the checkpoint does not count, while the store opens, and finishes erasures.
fn recover(folder: &Path, opened: OpenedJournal) -> Result<Recovered, StartError> {
    let OpenedJournal {
        mut writer,
        reader,
        opening: _,
        state,
    } = opened;
    // After the writer, so that it is dropped before.
    let threads = StopsThreads::default();
    let is_stopping = &threads.is_stopping;
    let checkpointed = state.position();
    let ledger = Arc::new(Ledger::new(state));
    let (store, fold_ends) = open_store(folder, &ledger, &reader, is_stopping)?;
    let folded = fold_rest(&ledger, &reader, writer.last_stamp())?;
    // Whoever opens the store may have given it up.
    let _ = fold_ends.send(());
    reader.raise_horizon(ledger.read().months().ended_through());
    erasure::finish(&mut writer, &ledger, checkpointed)?;
    let erasures = look_at_erasures(&ledger, &reader, checkpointed, is_stopping)?;
    Ok(Recovered {
        threads,
        writer,
        reader,
        ledger,
        checkpointed,
        folded,
        store,
        erasures,
    })
}

impl Recovered {
    /// Records what is used from here on.
    fn note(
        &mut self,
        folder: &Path,
        network: &Network,
        keys: &Keys,
        now: UtcMillis,
    ) -> Result<(), JournalError> {
        note_network(&mut self.writer, &self.ledger, network, now)?;
        note_keys(&mut self.writer, &self.ledger, folder, keys, now)?;
        // Of a new record the first entry was just made.
        if let Some(began) = self.reader.began()? {
            self.ledger.set_began(began);
        }
        Ok(())
    }

    fn log(&self, opening: journal::Opening, begun: Instant) {
        tracing::info!(
            position = %self.writer.last(),
            records = opening.records,
            torn_bytes = opening.torn_bytes,
            checkpointed = %self.checkpointed,
            folded = self.folded.entries,
            elapsed_ms = begun.elapsed().as_millis(),
            "record opened"
        );
    }
}

/// The clock, what it is compared with, and the time to begin with.
fn begin_clock(
    now: impl Fn() -> UtcMillis + Send + Sync + 'static,
    begun: Instant,
    check: ClockCheck,
    last: UtcMillis,
) -> (Arc<ServerClock>, Option<ClockGuard>, UtcMillis) {
    let clock = Arc::new(ServerClock::new(Arc::new(now), begun, check));
    let mut clock_guard = ClockGuard::new(check);
    let (shown, passed) = (clock.shown(), clock.passed());
    let now = match &mut clock_guard {
        Some(clock_guard) => clock_guard.time(shown, passed, last),
        None => shown,
    };
    clock.go_by(now, passed);
    (clock, clock_guard, now)
}

fn open_secrets(folder: &Path, writer: &Writer) -> Result<Secrets, KeyError> {
    Ok(Secrets {
        keys: Arc::new(open_keys(folder, writer)?),
        receipts: open_receipt_keys(folder, writer)?,
    })
}

/// The state, if the journal has the entry that it ends with; else that of the base. A folder put
/// together of two copies of a record that both went on may hold a checkpoint of entries that its
/// journal never had.
fn of_same_past(state: State, folder: &Path, reader: &Reader) -> Result<State, StartError> {
    if has_last_entry(&state, reader)? {
        return Ok(state);
    }
    let base = base::read(&folder::journal(folder), reader.epoch());
    let base = base.ok().flatten();
    let begun = base.unwrap_or_else(|| State::new(reader.epoch()));
    if !has_last_entry(&begun, reader)? {
        return Err(StartError::BaseMissing);
    }
    tracing::warn!(
        position = %state.position(),
        from = %begun.position(),
        "checkpoint is of entries that the journal does not have; folding from the base or the \
         beginning"
    );
    Ok(begun)
}

/// Whether the last entry that a state counts is in the journal. Entries in one place are told
/// apart by their stamps, and so pasts only to the millisecond: two whose entries there are of the
/// same one are taken for the same.
pub(super) fn has_last_entry(state: &State, reader: &Reader) -> Result<bool, JournalError> {
    let last = state.position();
    Ok(last == Position(0) || reader.stamp(last)? == Some(state.stamp()))
}

fn open_keys(folder: &Path, writer: &Writer) -> Result<Keys, KeyError> {
    let is_lost = writer.last() != Position(0) && !Keys::exist(folder);
    Keys::remove_aside(folder)?;
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
/// make the whole store again. So is one that ends incidents: an earlier checkpoint still has them.
pub(super) fn count_taps<'e>(entries: impl Iterator<Item = &'e Entry>) -> u64 {
    let count = |entry: &Entry| match entry {
        Entry::TapCounts(_) => 1,
        Entry::TapCountsRemoved { .. } | Entry::IncidentsEnded { base: Some(_), .. } => {
            CHECKPOINT_TAP_ENTRIES
        }
        _ => 0,
    };
    entries.map(count).sum()
}

/// Whether entries that are to be folded have gone: the base that stands in their place is
/// missing.
pub(super) fn lacks_base(batch: &[Record]) -> bool {
    batch.iter().any(|record| record.entry == Entry::Gone)
}

/// What a start goes on with.
struct Begun {
    state: State,
    /// Through where the base stands for entries; 0 if there is none.
    based_on: Position,
}

impl Begun {
    fn with(state: State) -> Self {
        Self {
            state,
            based_on: Position(0),
        }
    }
}

/// The state to go on with: that of the checkpoint, or of the base if that is later or the
/// checkpoint is of no use, or else an empty one.
fn begun_state(folder: &Path, epoch: Epoch) -> Begun {
    let checkpointed = checkpointed_state(folder, epoch);
    match base::read(&folder::journal(folder), epoch) {
        Ok(None) => Begun::with(checkpointed),
        Ok(Some(base)) => Begun {
            based_on: base.position(),
            state: match checkpointed.months().ended_through() < base.position() {
                true => base,
                false => checkpointed,
            },
        },
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "base cannot be read; restore it from a backup");
            Begun::with(checkpointed)
        }
    }
}

/// Says so where entries have gone that a checkpoint counts, and the base that stands in their place
/// is missing or an earlier one. The service goes on, since the checkpoint has what was counted of them:
/// nothing else has, and no later base is made of it. Looks at few entries, and what it cannot read
/// ends no start: it only says something.
fn tell_missing_base(begun: &Begun, reader: &Reader) {
    let ended = begun.state.months().ended_through();
    if ended <= begun.based_on {
        return;
    }
    let looked_through = Position(begun.based_on.0 + MISSING_BASE_LOOK_ENTRIES_MAX);
    // Where the last end was cut short, they are there, and it is gone on with.
    match reader.have_gone(begun.based_on.next(), ended.min(looked_through)) {
        Ok(false) => {}
        Ok(true) => tracing::error!(
            ended_through = %ended,
            based_on = %begun.based_on,
            "the journal's file `base` is missing or an earlier one, and without it the checkpoint \
             alone has what was counted of incidents that are kept no longer; restore it from a \
             backup"
        ),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                error,
                "it cannot be seen whether the journal's file `base` is missing"
            );
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
    let begun = begun_state(folder, epoch).state.position();
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
    note(
        writer,
        ledger,
        Entry::NetworkChanged { version, sha256 },
        now,
    )
}

/// Records which keys of pseudonyms are in use, if they are not those that the journal was told of
/// last: before anything is reported under them, so that nobody who told something under others is
/// taken for two reporters.
fn note_keys(
    writer: &mut Writer,
    ledger: &Ledger,
    folder: &Path,
    keys: &Keys,
    now: UtcMillis,
) -> Result<(), JournalError> {
    let told = keys.told();
    let before = RemovalProgress::read(folder);
    let done = RemovalProgress {
        keys: Some(digest(&told)),
        ..before
    };
    if done == before {
        return Ok(());
    }
    note(writer, ledger, Entry::KeysChanged(told), now)?;
    if let Err(error) = done.write(folder) {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(
            error,
            "that keys were told to the journal is not noted; they are told again"
        );
    }
    Ok(())
}

fn note(
    writer: &mut Writer,
    ledger: &Ledger,
    entry: Entry,
    now: UtcMillis,
) -> Result<(), JournalError> {
    let (position, stamp) = writer.append(&[journal::encode(&entry)], now)?;
    ledger.apply(&[Record {
        position,
        stamp,
        entry,
    }]);
    Ok(())
}

type Committing = (watch::Receiver<bool>, mpsc::Receiver<Ending>);

/// A committer that waits for its thread. If none can be started, the others are told to stop.
struct ReadyCommitter {
    /// First of all, so that it is dropped before the committer, which has the writer.
    threads: StopsThreads,
    committer: Committer,
}

impl ReadyCommitter {
    fn run(self, has_failed: watch::Sender<bool>) -> Option<Ending> {
        self.threads.go_on();
        self.committer.run(has_failed)
    }
}

/// Runs the committer, the last thread of a start: it went well then.
fn run_committer(threads: StopsThreads, parts: Parts) -> Result<Committing, StartError> {
    let (has_failed, failed) = watch::channel(false);
    let (has_ended, ended) = mpsc::sync_channel(1);
    let committer = Committer::new(parts);
    let ready = ReadyCommitter { threads, committer };
    spawn("committer", move || {
        if let Some(ending) = ready.run(has_failed) {
            // Nobody may be waiting.
            let _ = has_ended.send(ending);
        }
    })
    .map_err(StartError::Thread)?;
    Ok((failed, ended))
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
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
pub(super) mod testing {
    use super::*;

    pub const NOW: UtcMillis = UtcMillis(1_795_442_400_000);

    /// A folder of three entries whose base ends with the first of them, as if that had come so
    /// much later than the journal has it.
    pub fn folder_over_base(later_ms: i64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder::journal(folder.path());
        let settings = Settings {
            segment_bytes: journal::SEGMENT_BYTES_MIN,
            ..Settings::default()
        };
        let (mut writer, reader, _) = journal::open(&path, settings).expect("new");
        let tick = journal::encode(&Entry::Tick);
        for _ in 0..3 {
            let appended = writer.append(std::slice::from_ref(&tick), NOW);
            appended.expect("room");
        }
        drop(writer);
        let mut state = State::new(reader.epoch());
        state.apply(Position(1), UtcMillis(NOW.0 + later_ms), &Entry::Tick);
        base::write(&state, &path).expect("written");
        folder
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::testing::{NOW, folder_over_base};
    use super::*;
    use crate::domain::testing::Log;
    use crate::domain::time::DAY_MS;
    use crate::journal::Wanted;

    /// How a folder opens over such a base.
    fn opened_over_base(later_ms: i64) -> Result<Position, StartError> {
        let folder = folder_over_base(later_ms);
        let options = Options {
            segment_bytes: journal::SEGMENT_BYTES_MIN,
            ..Options::default()
        };
        open_journal(folder.path(), options).map(|opened| opened.state.position())
    }

    #[test]
    fn entries_are_made_durable_unless_a_test_says_otherwise() {
        assert!(Options::default().journal().sync);
    }

    #[test]
    fn base_is_gone_on_with_only_if_the_journal_has_its_last_entry() {
        assert_eq!(opened_over_base(0).expect("of this past"), Position(1));
        let refused = opened_over_base(1);
        assert!(matches!(refused, Err(StartError::BaseMissing)));
    }

    #[test]
    fn damage_where_a_missing_base_is_looked_for_is_told_and_ends_no_start() {
        const JANUARY: UtcMillis = UtcMillis(NOW.0 - 300 * DAY_MS);
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            segment_bytes: journal::SEGMENT_BYTES_MIN,
            ..Settings::default()
        };
        let (mut writer, reader, _) = journal::open(folder.path(), settings).expect("new");
        let mut state = State::new(reader.epoch());
        let mut add = |entry: Entry, now| {
            let appended = writer.append(&[journal::encode(&entry)], now);
            let (position, stamp) = appended.expect("room");
            state.apply(position, stamp, &entry);
        };
        add(Entry::Tick, JANUARY);
        add(Entry::Tick, NOW);
        let ended = Entry::IncidentsEnded {
            through: Position(1),
            base: None,
        };
        add(ended, NOW);
        assert_eq!(state.months().ended_through(), Position(1));
        let begun = Begun::with(state);
        assert_eq!(log_of(|| tell_missing_base(&begun, &reader)), "");
        damage_all(folder.path());
        let log = log_of(|| tell_missing_base(&begun, &reader));
        assert!(log.contains("it cannot be seen whether"), "{log}");
    }

    /// What is logged meanwhile.
    fn log_of(look: impl FnOnce()) -> String {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, look);
        log.text()
    }

    /// Leaves no record of a journal whole.
    fn damage_all(journal: &Path) {
        for file in std::fs::read_dir(journal).expect("a folder") {
            let path = file.expect("a file").path();
            if path.extension().is_some_and(|name| name == "segment") {
                let mut bytes = std::fs::read(&path).expect("readable");
                let header = bytes.len().min(4_096);
                bytes[header..].fill(0xff);
                std::fs::write(&path, bytes).expect("written");
            }
        }
    }

    #[test]
    fn threads_of_a_start_that_fails_are_told_to_stop() {
        let threads = StopsThreads::default();
        let is_stopping = Arc::clone(&threads.is_stopping);
        drop(threads);
        assert!(is_stopping.load(Ordering::Relaxed));
    }

    #[test]
    fn threads_of_a_start_that_went_well_go_on() {
        let threads = StopsThreads::default();
        let is_stopping = Arc::clone(&threads.is_stopping);
        threads.go_on();
        assert!(!is_stopping.load(Ordering::Relaxed));
    }

    #[test]
    fn journal_is_told_of_other_keys_before_anything_is_reported_under_them() {
        let folder = tempfile::tempdir().expect("a folder");
        // The last entry of a start, and how many tell of keys by then.
        let start_and_stop = || {
            let network = Arc::new(Network::built_in());
            let running = start(folder.path(), network, || NOW).expect("started");
            let reader = running.reader.clone();
            let keys = Entry::KeysChanged(running.ingest.keys().told());
            let last = reader.entry(reader.last()).expect("readable");
            let told = reader.wanted_from(reader.begin(), Wanted::Keys).count();
            running.stop(Duration::from_secs(60)).expect("stopped");
            (last.is_some_and(|record| record.entry == keys), told)
        };
        assert_eq!(start_and_stop(), (true, 1));
        assert_eq!(start_and_stop().1, 1, "the same is not told twice");
        std::fs::remove_file(folder.path().join("keys")).expect("removed");
        assert_eq!(start_and_stop(), (true, 2));
    }
}
