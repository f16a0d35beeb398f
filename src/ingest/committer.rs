//! The one thread that owns every write.
//!
//! It takes what waits, up to a batch, without a timer: append and sync, apply, mark, answer,
//! in that order. An id that was recorded before is answered with its place and written no
//! more. After a failed append nothing is taken in until the next start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::SubmitError;
use super::batch::{self, Batch, Fate};
use super::clock_guard::{ClockGuard, ServerClock};
use super::duplicates::Duplicates;
use super::erasure;
use super::key_maker::KeyMaker;
use super::log_feed;
use super::prepare::Pending;
use super::queue::{Decided, Delivery, Job, Queue, Taken};
use super::start::count_taps;
use crate::domain::limits::{
    BATCH_ENTRIES_MAX, CHECKPOINT_ENTRIES_MIN, CHECKPOINT_ERASED_MINUTES_MAX, CHECKPOINT_PART,
    CHECKPOINT_RETRY_ENTRIES, CHECKPOINT_TAP_ENTRIES, DISK_CHECK_BATCHES,
};
use crate::domain::{Entry, LocalDay, Minute, Position, Record, Row, Stamp, UtcMillis};
use crate::journal::{JournalError, Writer};
use crate::ledger::{Applied, CheckpointError, Ledger, LedgerError, TapsApplied, checkpoint};
use crate::live::Hub;

/// How long the committer sleeps at most before it looks at the clock.
const IDLE_WAIT: Duration = Duration::from_secs(1);
/// A tick must fit in the batch, and the end of some tap counts, too.
const TAKEN_ENTRIES_MAX: usize = BATCH_ENTRIES_MAX - 2;

/// What the committer works with.
pub(super) struct Parts {
    /// What it takes from.
    pub queue: Arc<Queue>,
    /// What it writes to.
    pub writer: Writer,
    /// The stamp of the last entry before the start, which may have noted something itself; 0 if there
    /// was none.
    pub last: Stamp,
    /// What it applies to.
    pub ledger: Arc<Ledger>,
    /// Whom it tells.
    pub hub: Hub,
    /// The time, also for those who check what comes in.
    pub clock: Arc<ServerClock>,
    /// What the clock is compared with; `None` if it is believed as it is.
    pub clock_guard: Option<ClockGuard>,
    /// The minute of the first erasure that the checkpoint does not count, if there is one.
    pub erased: Option<Minute>,
    /// Entries of tap counts that the checkpoint does not count, see `count_taps`.
    pub tap_entries: u64,
    /// What makes keys ahead.
    pub keys: KeyMaker,
    /// Where the checkpoint lies.
    pub folder: PathBuf,
    /// Through where the checkpoint counts; 0 if there is none.
    pub checkpointed: Position,
    /// Free disk below which reports and what else grows are refused, in bytes.
    pub disk_reserve_bytes: u64,
    /// How long tap counts are kept, in days; `None` if none are removed.
    pub tap_days: Option<u32>,
    /// Entries between two checkpoints; if left out, as many as there should be.
    pub checkpoint_entries: Option<u64>,
    /// Which reports tell an incident again.
    pub again: Duplicates,
}

/// The committer.
pub(super) struct Committer {
    parts: Parts,
    /// The minute of the last tick, or of the last entry before the start.
    ticked: Option<Minute>,
    checkpoint_due: Position,
    checkpoint: Option<JoinHandle<Result<Position, LedgerError>>>,
    /// The first erasure after which no checkpoint was begun.
    erased: Option<Erasure>,
    /// The same, of before the checkpoint that is being written: it stands again if that fails.
    erased_before: Option<Erasure>,
    /// Whether the last checkpoint failed which was due to an erasure.
    is_erasure_late: bool,
    /// Entries of tap counts since a checkpoint was begun, see `count_taps`.
    tap_entries: u64,
    is_disk_low: bool,
    /// The minute in which the journal had no room even for what is taken in on a low disk; `None`
    /// once something was written to it.
    stuck: Option<Minute>,
    batches: u32,
}

/// When a checkpoint is due as something was erased: by the stamps, or by what has passed, since a
/// clock that is behind the last stamp brings no tick.
#[derive(Clone, Copy)]
struct Erasure {
    due: Minute,
    due_passed: Duration,
}

impl Erasure {
    /// Of one in a minute, when so much had passed since the start.
    fn at(minute: Minute, passed: Duration) -> Self {
        const MOST: u32 = CHECKPOINT_ERASED_MINUTES_MAX;
        Self {
            due: Minute(minute.0.saturating_add(MOST)),
            due_passed: passed + Duration::from_secs(60) * MOST,
        }
    }

    fn is_due(self, ticked: Option<Minute>, passed: Duration) -> bool {
        Some(self.due) <= ticked || self.due_passed <= passed
    }
}

/// What it leaves. The folder stays locked for as long as the writer lives.
pub(super) struct Ending {
    /// What it wrote to.
    pub writer: Writer,
    /// Through where the checkpoint counts; 0 if there is none.
    pub checkpointed: Position,
    /// Whether something was erased since a checkpoint was begun.
    pub has_erased: bool,
}

/// Tells everybody when the committer ends in any way but the planned one.
struct Alarm {
    queue: Arc<Queue>,
    failed: watch::Sender<bool>,
    is_planned: bool,
}

impl Committer {
    /// Ready to run.
    pub fn new(parts: Parts) -> Self {
        let ticked = match parts.last {
            UtcMillis(0) => parts.clock.shown().minute(),
            last => last.minute(),
        };
        let passed = parts.clock.passed();
        Self {
            ticked,
            checkpoint_due: checkpoint_after(parts.checkpointed, parts.checkpoint_entries),
            checkpoint: None,
            erased: parts.erased.map(|minute| Erasure::at(minute, passed)),
            erased_before: None,
            is_erasure_late: false,
            tap_entries: parts.tap_entries,
            is_disk_low: false,
            stuck: None,
            batches: 0,
            parts,
        }
    }

    /// Commits until the queue ends. After a failed append it ends at once, without an ending,
    /// and `failed` turns true; so it does if a bug makes it panic.
    pub fn run(mut self, failed: watch::Sender<bool>) -> Option<Ending> {
        let mut alarm = Alarm {
            queue: Arc::clone(&self.parts.queue),
            failed,
            is_planned: false,
        };
        loop {
            let jobs = match self.parts.queue.take(TAKEN_ENTRIES_MAX, IDLE_WAIT) {
                Taken::Jobs(jobs) => jobs,
                Taken::Nothing => Vec::new(),
                Taken::Ended => break,
            };
            self.check_disk(jobs.is_empty());
            if let Err(error) = self.commit(jobs) {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "journal cannot be written; nothing is taken in any more"
                );
                return None;
            }
            self.keep_checkpoint();
        }
        if let Some(thread) = self.checkpoint.take() {
            self.note_checkpoint(thread);
        }
        alarm.is_planned = true;
        Some(Ending {
            writer: self.parts.writer,
            checkpointed: self.parts.checkpointed,
            has_erased: self.erased.is_some(),
        })
    }

    /// Commits jobs, and a tick if one is due. After an error the jobs are dropped.
    fn commit(&mut self, jobs: Vec<Job>) -> Result<(), JournalError> {
        let now = self.now();
        let (mut batch, answers) = self.sort_out(jobs, now);
        let tick = now.minute();
        // One for which there was no room is tried again in another minute, also of a clock that was set
        // back: nothing is taken in until one is written.
        let is_due = |minute: &Minute| match self.stuck {
            Some(stuck) => stuck != *minute,
            None => self.ticked < Some(*minute),
        };
        let tick = tick.filter(is_due);
        if tick.is_some() {
            batch.push(Pending::new(Entry::Tick));
            batch.push_all(self.tap_days_ended(now));
        }
        let mut written = Vec::new();
        if !batch.entries.is_empty() {
            match self.parts.writer.append(&batch.encoded, now) {
                Ok((first, stamp)) => {
                    self.stuck = None;
                    let erased = erasure::incidents(&batch.entries);
                    let ended = batch.entries.iter().find_map(ended_through);
                    self.tap_entries += count_taps(batch.entries.iter());
                    written = self.apply(first, stamp, batch.entries);
                    // Before anybody is told; the next start finishes what is cut short.
                    let Parts {
                        writer,
                        ledger,
                        clock,
                        ..
                    } = &mut self.parts;
                    erasure::erase(writer, ledger, &erased)?;
                    if !erased.is_empty() {
                        let at = |minute| Erasure::at(minute, clock.passed());
                        self.erased = self.erased.or(stamp.minute().map(at));
                    }
                    if let Some(through) = ended {
                        // What came after a report is known no more once the fold has let it go.
                        let months_ended = ledger.read().months().ended_through();
                        writer.reader().raise_horizon(months_ended);
                        leave_segment_of(writer, through)?;
                    }
                }
                Err(error @ JournalError::NoSegment { .. }) => {
                    let next = self.parts.writer.last().next();
                    self.parts.again.forget_from(next);
                    self.refuse(answers, &error, now.minute().unwrap_or(Minute(0)));
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            self.ticked = self.ticked.max(tick);
        }
        let decided = |fate| match fate {
            Fate::Known(first) => Decided::Repeated(first),
            Fate::Refused => Decided::Refused,
            Fate::Appended(place) => written[place],
        };
        let answered = answers.into_iter().zip(batch.fates).map(|(caller, fates)| {
            let decided = fates.into_iter().map(decided);
            (caller, Ok(decided.collect()))
        });
        Delivery::send(answered.collect());
        Ok(())
    }

    /// The time to go by. Keys that it calls for are made.
    fn now(&mut self) -> UtcMillis {
        let Parts {
            clock,
            clock_guard,
            keys,
            writer,
            queue,
            ..
        } = &mut self.parts;
        let (shown, passed) = (clock.shown(), clock.passed());
        let Some(clock_guard) = clock_guard else {
            keys.keep(shown);
            return shown;
        };
        let was_unsure = clock_guard.is_unsure();
        let now = clock_guard.time(shown, passed, writer.last_stamp());
        // Before a report can need them.
        keys.keep(now);
        clock.go_by(now, passed);
        if was_unsure && !clock_guard.is_unsure() {
            queue.set_clock_unsure(false);
        }
        now
    }

    /// The entry that ends the oldest tap counts, if some were kept long enough.
    fn tap_days_ended(&self, now: UtcMillis) -> Option<Pending> {
        let tap_days = self.parts.tap_days?;
        let today = now.hour()?.local_day();
        let before = LocalDay(today.0.checked_sub_unsigned(tap_days)?);
        let first = self.parts.ledger.read().taps().first_day()?;
        (first < before).then(|| Pending::new(Entry::TapCountsRemoved { before }))
    }

    /// Parts what is written from what is known already.
    fn sort_out(
        &mut self,
        jobs: Vec<Job>,
        now: UtcMillis,
    ) -> (Batch, Vec<oneshot::Sender<Delivery>>) {
        let entries = jobs.iter().map(|job| job.entries.len()).sum::<usize>() + 2;
        let mut answers = Vec::with_capacity(jobs.len());
        let Parts {
            writer,
            ledger,
            again,
            ..
        } = &mut self.parts;
        let (next, stamp) = (writer.last().next(), now.max(writer.last_stamp()));
        let mut batch = Batch::new(next, entries);
        let state = ledger.read();
        // One after the other with nothing between, they wait for memory together.
        let pending = jobs.iter().flat_map(|job| &job.entries);
        let recorded: Vec<_> = pending
            .map(|one| batch::recorded(&state, &one.entry))
            .collect();
        let mut recorded = recorded.into_iter();
        for job in jobs {
            let fates = job.entries.into_iter().map(|pending| {
                let known = recorded.next().expect("one for each");
                let fate = batch.judge(&state, &pending.entry, known);
                fate.unwrap_or_else(|| {
                    let pending = again.mark(pending, batch.next(), stamp, &state);
                    Fate::Appended(batch.push_once(pending))
                })
            });
            let fates = fates.collect();
            batch.fates.push(fates);
            answers.push(job.answer);
        }
        (batch, answers)
    }

    /// Applies what is durable, and tells the hub.
    fn apply(&self, first: Position, stamp: Stamp, entries: Vec<Entry>) -> Vec<Decided> {
        let positions = (first.0..).map(Position);
        let batch: Vec<_> = positions
            .zip(entries)
            .map(|(position, entry)| Record {
                position,
                stamp,
                entry,
            })
            .collect();
        let applied = self.parts.ledger.apply(&batch);
        let rows: Vec<Row> = applied.iter().flat_map(changed_rows).flatten().collect();
        applied.iter().for_each(tell_taps_left_out);
        let last = Position(first.0 + batch.len() as u64 - 1);
        // Marked after the sync: a watcher must never see what a crash could take back.
        let is_of_taps = |applied: &Applied| matches!(applied, Applied::Taps(_));
        if applied.iter().any(is_of_taps) {
            self.parts.hub.mark_taps();
        }
        let is_log_fed = self.parts.hub.is_log_fed();
        let newest = is_log_fed
            .then(|| log_feed::newest(batch, &applied))
            .flatten();
        match newest {
            Some(newest) => self.parts.hub.mark_told(&rows, newest),
            None => self.parts.hub.mark_changed(&rows, last),
        }
        let positions = (first.0..).map(Position);
        let decided = positions
            .zip(applied)
            .map(|(position, applied)| match applied {
                Applied::Repeated { first } => Decided::Repeated(first),
                Applied::ToldAgain { is_own } => Decided::Committed {
                    position,
                    stamp,
                    told_again: is_own,
                },
                Applied::Recorded { .. }
                | Applied::Withdrawn { .. }
                | Applied::Amended { .. }
                | Applied::Erased { .. }
                | Applied::Answered
                | Applied::Nothing
                | Applied::Noted
                | Applied::Taps(TapsApplied::Told { .. }) => Decided::Committed {
                    position,
                    stamp,
                    told_again: false,
                },
                Applied::Outdated | Applied::Taps(TapsApplied::FeedRefused) => Decided::Outdated,
            });
        decided.collect()
    }

    /// Refuses what could not be written, and further reports until something can be: for want of
    /// files there is no room either, however free the disk is.
    fn refuse(
        &mut self,
        answers: Vec<oneshot::Sender<Delivery>>,
        error: &JournalError,
        minute: Minute,
    ) {
        // Once: what is still taken in then may come as often as it likes.
        if self.stuck.is_none() {
            let error = error as &dyn std::error::Error;
            tracing::error!(error, "journal has no room; reports are refused");
        }
        self.is_disk_low = true;
        self.stuck = Some(minute);
        self.parts.queue.set_disk_low(true);
        let refused = |caller| (caller, Err(SubmitError::DiskReserve));
        Delivery::send(answers.into_iter().map(refused).collect());
    }

    /// Looks at the free disk now and then, and each time while there is too little or
    /// nothing else to do.
    fn check_disk(&mut self, is_idle: bool) {
        self.batches = self.batches.wrapping_add(1);
        if !is_idle && !self.is_disk_low && !self.batches.is_multiple_of(DISK_CHECK_BATCHES) {
            return;
        }
        let is_low = match free_disk_bytes(&self.parts.folder) {
            Ok(free_bytes) => free_bytes < self.parts.disk_reserve_bytes,
            Err(error) => {
                tracing::warn!(%error, "free disk space is not known");
                false
            }
        };
        let is_low = is_low || self.stuck.is_some();
        if is_low != self.is_disk_low {
            self.is_disk_low = is_low;
            self.parts.queue.set_disk_low(is_low);
            if is_low {
                tracing::error!("disk is nearly full; reports are refused");
            } else {
                tracing::info!("disk has room again; reports are taken in");
            }
        }
    }

    /// Begins a checkpoint when one is due, and notes how the one before it ended.
    fn keep_checkpoint(&mut self) {
        if let Some(thread) = self.checkpoint.take_if(|thread| thread.is_finished()) {
            self.note_checkpoint(thread);
        }
        let is_due = self.checkpoint_due <= self.parts.writer.last()
            || CHECKPOINT_TAP_ENTRIES <= self.tap_entries
            || self.is_erasure_due();
        if self.checkpoint.is_some() || !is_due {
            return;
        }
        let ledger = Arc::clone(&self.parts.ledger);
        // It counts only what is in the store.
        if ledger.store_is_opening() {
            if self.is_erasure_due() {
                self.miss_erasure();
            }
            return;
        }
        let folder = self.parts.folder.clone();
        let follows_erasure = self.erased.is_some();
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || write_checkpoint(&ledger, &folder, follows_erasure));
        match thread {
            Ok(thread) => {
                self.checkpoint = Some(thread);
                self.erased_before = self.erased.take();
                self.tap_entries = 0;
            }
            Err(error) => tracing::warn!(%error, "checkpoint not begun"),
        }
    }

    /// Whether a checkpoint has held the minute of an erased tap for as long as it may.
    fn is_erasure_due(&self) -> bool {
        let passed = self.parts.clock.passed();
        let is_due = |erased: Erasure| erased.is_due(self.ticked, passed);
        self.erased.is_some_and(is_due)
    }

    fn note_checkpoint(&mut self, thread: JoinHandle<Result<Position, LedgerError>>) {
        let result = match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        match result {
            Ok(position) => {
                self.parts.checkpointed = position;
                self.checkpoint_due = checkpoint_after(position, self.parts.checkpoint_entries);
                self.erased_before = None;
                self.is_erasure_late = false;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "checkpoint not written");
                let last = self.parts.writer.last();
                self.checkpoint_due = Position(last.0 + CHECKPOINT_RETRY_ENTRIES);
                self.tap_entries = CHECKPOINT_TAP_ENTRIES / 2;
                if self.erased_before.take().or(self.erased).is_some() {
                    self.miss_erasure();
                }
            }
        }
    }

    /// Tries again later to replace a checkpoint that counts what was erased: what failed may fail
    /// again. The second time it is removed: without one, a start takes longer.
    fn miss_erasure(&mut self) {
        let passed = self.parts.clock.passed();
        self.erased = self.ticked.map(|minute| Erasure::at(minute, passed));
        if !std::mem::replace(&mut self.is_erasure_late, true) {
            return;
        }
        match checkpoint::remove(&self.parts.folder) {
            Ok(()) => {
                tracing::warn!(
                    "checkpoint removed: it counts what was erased, and cannot be replaced"
                );
                self.parts.checkpointed = Position(0);
                self.erased = None;
                self.is_erasure_late = false;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "checkpoint that counts what was erased not removed");
            }
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if !self.is_planned {
            self.queue.fail();
            self.failed.send_replace(true);
        }
    }
}

fn ended_through(entry: &Entry) -> Option<Position> {
    match entry {
        Entry::IncidentsEnded { through, .. } => Some(*through),
        _ => None,
    }
}

/// Goes on in another segment, so that entries that go can be taken out of this one. Without
/// room for it, it is tried again at the next look.
fn leave_segment_of(writer: &mut Writer, through: Position) -> Result<(), JournalError> {
    match writer.leave_segment_of(through) {
        Err(error @ JournalError::NoSegment { .. }) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "incidents whose time has come stay until there is room"
            );
            Ok(())
        }
        left => left,
    }
}

fn changed_rows(applied: &Applied) -> [Option<Row>; 2] {
    match applied {
        Applied::Recorded { row } | Applied::Withdrawn { row } => [Some(*row), None],
        Applied::Amended { before, after } => [Some(*before), Some(*after)],
        Applied::Erased { row } => [*row, None],
        Applied::Repeated { .. }
        | Applied::ToldAgain { .. }
        | Applied::Answered
        | Applied::Nothing
        | Applied::Outdated
        | Applied::Noted
        | Applied::Taps(_) => [None; 2],
    }
}

/// Whoever sends tap counts is refused before; only calls at the same time get this far.
fn tell_taps_left_out(applied: &Applied) {
    if let Applied::Taps(TapsApplied::Told { left_out }) = applied
        && 0 < *left_out
    {
        tracing::warn!(left_out, "tap counts left out: too old, or too many scopes");
    }
}

/// When the checkpoint after one at this position is due.
fn checkpoint_after(position: Position, entries: Option<u64>) -> Position {
    let usual = CHECKPOINT_ENTRIES_MIN.max(position.0 / CHECKPOINT_PART);
    Position(position.0 + entries.unwrap_or(usual))
}

/// Writes a checkpoint, and says so. Blocks; the committer goes on meanwhile. It holds only
/// what is durable, because nothing is applied before. After an erasure those that were set aside
/// go first: they may count what was erased, and nobody would know of it later.
pub(super) fn write_checkpoint(
    ledger: &Ledger,
    folder: &Path,
    follows_erasure: bool,
) -> Result<Position, LedgerError> {
    let begun = Instant::now();
    if follows_erasure {
        checkpoint::remove_set_aside(folder).map_err(CheckpointError::from)?;
    }
    let position = ledger.checkpoint(folder)?;
    let elapsed_ms = begun.elapsed().as_millis();
    tracing::info!(%position, elapsed_ms, "checkpoint written");
    Ok(position)
}

fn free_disk_bytes(folder: &Path) -> std::io::Result<u64> {
    let space = rustix::fs::statvfs(folder)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::auth::Keys;
    use crate::domain::entry::Epoch;
    use crate::domain::testing::Log;
    use crate::domain::time::DAY_MS;
    use crate::ingest::folder;
    use crate::ingest::history::History;
    use crate::ingest::{Clock, ClockCheck};
    use crate::journal::{self, Settings};
    use crate::ledger::State;
    use crate::store::Store;

    const NOON: UtcMillis = UtcMillis(1_795_435_200_000);

    /// One over a new record, whose store is open.
    fn committer(dir: &Path) -> Committer {
        committer_by(dir, Arc::new(|| NOON))
    }

    fn committer_by(dir: &Path, clock: Clock) -> Committer {
        let begun = Instant::now();
        let opened = journal::open(&folder::journal(dir), Settings::default());
        let (writer, reader, _) = opened.expect("new");
        let epoch: Epoch = writer.epoch();
        let ledger = Ledger::new(State::new(epoch));
        let store = Store::create(&folder::store(dir), epoch).expect("made");
        let facts = History::facts(&reader, reader.begin()).expect("readable");
        ledger.refill(store, facts).expect("refilled");
        let keys = Arc::new(Keys::open(dir).expect("made"));
        Committer::new(Parts {
            queue: Arc::new(Queue::new(100)),
            last: writer.last_stamp(),
            writer,
            ledger: Arc::new(ledger),
            hub: Hub::new(),
            clock: Arc::new(ServerClock::new(clock, begun, ClockCheck::Always)),
            clock_guard: None,
            erased: None,
            tap_entries: 0,
            keys: KeyMaker::start(keys, NOON).expect("made"),
            folder: dir.to_owned(),
            checkpointed: Position(0),
            disk_reserve_bytes: 0,
            tap_days: Some(548),
            checkpoint_entries: None,
            again: Duplicates::default(),
        })
    }

    impl Committer {
        /// Something was erased at this moment.
        fn erase(&mut self) {
            let minute = self.ticked.expect("a time");
            self.erased = Some(Erasure::at(minute, self.parts.clock.passed()));
        }

        /// Lets minutes pass without a tick, as where the clock is behind the last stamp.
        fn pass_without_ticks(&mut self, minutes: u32) -> bool {
            if let Some(erased) = &mut self.erased {
                let passed = Duration::from_secs(60) * minutes;
                erased.due_passed = erased.due_passed.saturating_sub(passed);
            }
            self.pass(0)
        }

        /// Lets minutes pass, and ends the checkpoint that is begun, if one is.
        fn pass(&mut self, minutes: u32) -> bool {
            self.ticked = self.ticked.map(|ticked| Minute(ticked.0 + minutes));
            self.keep_checkpoint();
            let thread = self.checkpoint.take();
            let is_begun = thread.is_some();
            if let Some(thread) = thread {
                self.note_checkpoint(thread);
            }
            is_begun
        }
    }

    #[test]
    fn everything_is_taken_in_again_once_the_clock_is_seen_to_be_right() {
        const DAYS_MS: i64 = 60 * DAY_MS;
        let dir = tempfile::tempdir().expect("a folder");
        let wrong_ms = Arc::new(AtomicI64::new(DAYS_MS));
        let clock = Arc::clone(&wrong_ms);
        let clock = move || UtcMillis(NOON.0 + clock.load(Ordering::Relaxed));
        let mut committer = committer_by(dir.path(), Arc::new(clock));
        let tick = journal::encode(&Entry::Tick);
        committer.parts.writer.append(&[tick], NOON).expect("room");
        // As a start does.
        committer.parts.clock_guard = ClockGuard::new(ClockCheck::Always);
        assert_eq!(committer.now(), NOON);
        let queue = Arc::clone(&committer.parts.queue);
        queue.set_clock_unsure(true);
        committer.now();
        let refused = queue.reserve_on_low_disk(1);
        assert!(matches!(refused, Err(SubmitError::ClockUnsure)));
        wrong_ms.store(0, Ordering::Relaxed);
        assert_eq!(committer.now(), NOON);
        assert!(queue.reserve(1).is_ok());
    }

    /// With a checkpoint that cannot be replaced, since what another would be written to is taken, by
    /// the folder that is told.
    fn stuck_checkpoint(dir: &Path) -> (Committer, PathBuf) {
        let mut committer = committer(dir);
        committer.erase();
        assert!(committer.pass(CHECKPOINT_ERASED_MINUTES_MAX));
        assert!(folder::checkpoint(dir).exists());
        let aside = dir.join("checkpoint.new");
        std::fs::create_dir(&aside).expect("made");
        committer.erase();
        (committer, aside)
    }

    #[test]
    fn checkpoint_is_due_after_an_erasure_however_far_the_clock_is_behind_the_last_stamp() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut committer = committer(dir.path());
        committer.erase();
        assert!(!committer.pass_without_ticks(CHECKPOINT_ERASED_MINUTES_MAX - 1));
        assert!(committer.pass_without_ticks(1));
        assert!(!committer.pass_without_ticks(1), "once");
        // One that fails is tried again after as long.
        let aside = dir.path().join("checkpoint.new");
        std::fs::create_dir(&aside).expect("made");
        committer.erase();
        assert!(committer.pass_without_ticks(CHECKPOINT_ERASED_MINUTES_MAX));
        assert!(!committer.pass_without_ticks(CHECKPOINT_ERASED_MINUTES_MAX - 1));
        assert!(committer.pass_without_ticks(1));
        assert!(!folder::checkpoint(dir.path()).exists(), "the second time");
    }

    #[test]
    fn checkpoint_that_follows_an_erasure_leaves_none_that_was_set_aside() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut committer = committer(dir.path());
        let old = [
            folder::checkpoint_set_aside(dir.path()),
            folder::lost_checkpoint(dir.path()),
        ];
        let set_aside = || {
            for path in &old {
                std::fs::write(path, "of before").expect("written");
            }
        };
        let are_there = || old.each_ref().map(|path| path.exists());
        set_aside();
        committer.tap_entries = CHECKPOINT_TAP_ENTRIES;
        assert!(committer.pass(0));
        assert_eq!(are_there(), [true; 2], "nothing was erased");
        committer.erase();
        assert!(committer.pass(CHECKPOINT_ERASED_MINUTES_MAX));
        assert_eq!(are_there(), [false; 2]);
        set_aside();
        checkpoint::remove(dir.path()).expect("removed");
        assert_eq!(are_there(), [false; 2]);
    }

    #[test]
    fn checkpoint_that_is_due_to_an_erasure_and_fails_is_tried_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut committer, aside) = stuck_checkpoint(dir.path());
        assert!(!committer.pass(CHECKPOINT_ERASED_MINUTES_MAX - 1));
        assert!(committer.pass(1));
        assert!(!committer.pass(0), "not at once");
        std::fs::remove_dir(&aside).expect("removed");
        assert!(committer.pass(CHECKPOINT_ERASED_MINUTES_MAX));
        assert!(folder::checkpoint(dir.path()).exists());
        assert!(!committer.pass(CHECKPOINT_ERASED_MINUTES_MAX));
        // One that fails after that is again the first.
        std::fs::create_dir(&aside).expect("made");
        committer.erase();
        assert!(committer.pass(CHECKPOINT_ERASED_MINUTES_MAX));
        assert!(folder::checkpoint(dir.path()).exists());
    }

    #[test]
    fn checkpoint_that_counts_what_was_erased_and_cannot_be_replaced_is_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut committer, _) = stuck_checkpoint(dir.path());
        committer.parts.checkpointed = Position(7);
        assert!(committer.pass(CHECKPOINT_ERASED_MINUTES_MAX));
        assert!(folder::checkpoint(dir.path()).exists());
        assert!(committer.pass(CHECKPOINT_ERASED_MINUTES_MAX));
        assert!(!folder::checkpoint(dir.path()).exists());
        assert_eq!(committer.parts.checkpointed, Position(0));
        assert!(
            !committer.pass(CHECKPOINT_ERASED_MINUTES_MAX),
            "none is owed"
        );
    }

    #[test]
    fn checkpoint_that_counts_what_was_erased_is_removed_while_the_store_does_not_open() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut committer, _) = stuck_checkpoint(dir.path());
        let state = State::new(committer.parts.writer.epoch());
        committer.parts.ledger = Arc::new(Ledger::new(state));
        assert!(!committer.pass(CHECKPOINT_ERASED_MINUTES_MAX));
        assert!(folder::checkpoint(dir.path()).exists());
        assert!(!committer.pass(CHECKPOINT_ERASED_MINUTES_MAX));
        assert!(!folder::checkpoint(dir.path()).exists());
    }

    #[test]
    fn checkpoint_is_due_after_so_many_entries_of_tap_counts_as_well() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut committer = committer(dir.path());
        committer.tap_entries = CHECKPOINT_TAP_ENTRIES - 1;
        assert!(!committer.pass(0));
        committer.tap_entries += 1;
        assert!(committer.pass(0));
        assert!(!committer.pass(0), "once");
    }

    #[test]
    fn checkpoint_is_due_at_once_when_old_tap_counts_have_ended() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut committer = committer(dir.path());
        let before = LocalDay(20_000);
        committer.tap_entries += count_taps([Entry::TapCountsRemoved { before }].iter());
        assert!(committer.pass(0));
        assert!(!committer.pass(0), "once");
    }

    #[test]
    fn reports_are_taken_again_once_something_was_written_and_no_sooner() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut committer = committer(dir.path());
        let minute = NOON.minute().expect("a time");
        let full = JournalError::NoSegment {
            dir: dir.path().into(),
            source: io::ErrorKind::StorageFull.into(),
        };
        let tick = |committer: &mut Committer, before: u32, stuck| {
            committer.ticked = Some(Minute(minute.0 - before));
            committer.refuse(Vec::new(), &full, stuck);
            committer.commit(Vec::new()).expect("written, if at all");
            committer.check_disk(true);
            assert_eq!(committer.is_disk_low, committer.stuck.is_some());
            committer.parts.writer.last()
        };
        // There is room on the disk all the time.
        assert_eq!(tick(&mut committer, 0, minute), Position(0), "none is due");
        assert!(committer.is_disk_low);
        let tried = tick(&mut committer, 1, minute);
        assert_eq!(tried, Position(0), "not again in the same minute");
        assert!(committer.is_disk_low);
        let before = Minute(minute.0 - 1);
        assert_ne!(tick(&mut committer, 1, before), Position(0));
        assert!(!committer.is_disk_low);
        // The clock was set back since.
        let later = Minute(minute.0 + 60);
        committer.ticked = Some(later);
        committer.refuse(Vec::new(), &full, later);
        committer.commit(Vec::new()).expect("written");
        assert_eq!(committer.stuck, None);
        assert_eq!(committer.ticked, Some(later));
    }

    #[test]
    fn journal_without_room_is_told_once_however_often_something_asks_for_some() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut committer = committer(dir.path());
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish();
        let full = || JournalError::NoSegment {
            dir: dir.path().into(),
            source: io::ErrorKind::StorageFull.into(),
        };
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..3 {
                committer.refuse(Vec::new(), &full(), Minute(7));
            }
            // There was room, and then none again.
            committer.stuck = None;
            committer.refuse(Vec::new(), &full(), Minute(7));
        });
        let log = log.text();
        assert_eq!(log.matches("journal has no room").count(), 2, "{log}");
    }
}
