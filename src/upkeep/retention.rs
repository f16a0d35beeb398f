//! Takes personal data away when its time has come, and destroys keys of quarters that ended.
//! What the time is, the stamps of the journal say, which follow no clock that is wrong for a moment.
//!
//! Notes and words go first, then all personal parts, by the day on which a report came in.
//! Pseudonyms of a quarter go, and its key is destroyed, once its last edition has closed. Each
//! is in the journal before it is done, and done again from the last that was finished if it
//! was cut short. Single incidents go last of all, a month of receipt at a time: what was
//! counted of them is kept in a base, and their entries are replaced, and with them those of tap
//! counts of days that are kept no longer. What was finished last stands in a file in the data
//! folder; without the file all is done again, which changes nothing.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::auth::{KeyError, key_period, period_begins, period_ends_at};
use crate::domain::entry::Removal;
use crate::domain::limits::{EDITION_WAIT_MS, TAP_AHEAD_MS_MAX};
use crate::domain::{Entry, LocalDay, LocalMonth, Position, UtcMillis};
use crate::edition::gather::first_at;
use crate::edition::library::{EditionError, Library};
use crate::edition::month;
pub use crate::ingest::removal_progress::RemovalProgress;
use crate::ingest::removal_progress::{ProgressError, digest};
use crate::ingest::{Ingest, SubmitError};
use crate::journal::{JournalError, Reader, Remover};
use crate::ledger::{BaseMaker, CheckpointError, MonthEnd, State, base, checkpoint, ends_at};
use crate::store::{Store, StoreError};

/// How long personal data is kept, in days since it came in.
#[derive(Clone, Copy, Debug)]
pub struct RetentionPeriods {
    /// Notes and words.
    pub words_days: u32,
    /// All else of personal parts.
    pub personal_days: u32,
    /// Single incidents, in whole months after the one in which they came in.
    pub incident_months: u32,
}

/// Why something was not taken away.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The journal.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// It must be in the journal first.
    #[error("it cannot be noted in the journal")]
    Note(#[from] SubmitError),
    /// Whether an edition is due is not known.
    #[error("the editions cannot be read")]
    Edition(#[from] EditionError),
    /// The key file.
    #[error("a key cannot be destroyed")]
    Keys(#[from] KeyError),
    /// The file of what was done.
    #[error(transparent)]
    File(#[from] ProgressError),
    /// Stores that were set aside.
    #[error("a store that was set aside cannot be removed")]
    Store(#[from] StoreError),
    /// A checkpoint that was.
    #[error("a checkpoint that was set aside cannot be removed")]
    Checkpoint(#[source] io::Error),
    /// What stands in the place of incidents.
    #[error("what was counted of incidents cannot be kept")]
    Base(#[from] CheckpointError),
    /// It cannot be made without the one before.
    #[error(
        "the journal's file `base` is missing or of before incidents that are kept no longer, so \
         that the next cannot be made; restore it from a backup"
    )]
    BaseMissing,
    /// The journal does not have what was just noted: a bug.
    #[error("the end of single incidents is not in the journal")]
    NotNoted,
    /// A bug.
    #[error("taking it away ended in a panic")]
    Panic,
}

impl From<JoinError> for RetentionError {
    /// Without its message, which may hold a client's text.
    fn from(_: JoinError) -> Self {
        Self::Panic
    }
}

/// Looks now and then whether something's time has come.
pub struct Retainer {
    /// The data folder.
    pub dir: PathBuf,
    /// What notes it.
    pub ingest: Ingest,
    /// Where it is.
    pub reader: Reader,
    /// Whether editions are due.
    pub library: Arc<Library>,
    /// How long it is kept.
    pub kept: RetentionPeriods,
    /// Before the first look, and between two.
    pub every: Duration,
}

/// What waits for editions that are due.
#[derive(Debug, Default)]
struct Waits {
    /// Since when personal parts do that an edition needs.
    personal_since: Option<Instant>,
    awaited: Awaited,
}

/// What was waited for at the last look.
#[derive(Debug, Default)]
struct Awaited {
    /// The months of the editions, rising.
    months: Vec<LocalMonth>,
    /// Whether that was told.
    is_told: bool,
}

impl Waits {
    /// Whether personal parts wait on, where an edition may need them.
    fn for_edition(&mut self, is_needed: bool) -> bool {
        if !is_needed {
            self.personal_since = None;
            return false;
        }
        let since = self.personal_since.get_or_insert_with(Instant::now);
        since.elapsed() < Duration::from_millis(EDITION_WAIT_MS)
    }

    /// Says so once where the same editions are awaited at two looks.
    fn tell(&mut self, awaited: &[LocalMonth]) {
        if self.awaited.months != awaited {
            self.awaited = Awaited {
                months: awaited.to_vec(),
                is_told: false,
            };
            return;
        }
        if let Some(first) = awaited.first().filter(|_| !self.awaited.is_told) {
            tracing::warn!(
                month = %first,
                editions = awaited.len(),
                "editions that are due are not closed yet; keys of quarters that ended and single \
                 incidents whose time has come wait for them"
            );
            self.awaited.is_told = true;
        }
    }
}

/// What may need personal parts.
struct Needing<'a> {
    /// The editions that are awaited; `None` if they are not known.
    awaited: Option<&'a [LocalMonth]>,
    waits: &'a mut Waits,
}

impl Retainer {
    /// Looks until the service stops.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.look_again_and_again()).await;
    }

    async fn look_again_and_again(&self) {
        if let Err(error) = self.note_settings() {
            let error = &error as &dyn Error;
            tracing::warn!(error, "how long personal data is kept is not noted");
        }
        if let Err(error) = self.note_keys().await {
            let error = &error as &dyn Error;
            tracing::warn!(error, "which keys are in use is not noted yet");
        }
        if let Err(error) = self.look_for_what_is_back().await {
            let error = &error as &dyn Error;
            tracing::warn!(
                error,
                "whether what was taken away is there again is not known"
            );
        }
        let mut looks = tokio::time::interval_at(Instant::now() + self.every, self.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        let mut waits = Waits::default();
        loop {
            looks.tick().await;
            let failure = self.look(&mut waits).await.err();
            let message = failure.as_ref().map(ToString::to_string);
            if let Some(error) = failure
                && told != message
            {
                let error = &error as &dyn Error;
                tracing::error!(error, "personal data whose time has come is still there");
            }
            told = message;
        }
    }

    /// For `mistap status`, which does not know how the server is set.
    fn note_settings(&self) -> Result<(), RetentionError> {
        let before = RemovalProgress::read(&self.dir);
        let done = RemovalProgress {
            words_days: Some(self.kept.words_days),
            personal_days: Some(self.kept.personal_days),
            incident_months: Some(self.kept.incident_months),
            ..before
        };
        if done == before {
            return Ok(());
        }
        Ok(done.write(&self.dir)?)
    }

    /// Notes in the journal which keys are in use, where it was told of others: quarters come
    /// and go, keys are replaced, and their file can be lost.
    async fn note_keys(&self) -> Result<(), RetentionError> {
        let told = self.ingest.keys().told();
        let keys = Some(digest(&told));
        let before = RemovalProgress::read(&self.dir);
        if before.keys == keys {
            return Ok(());
        }
        self.ingest.note_keys(told).await?;
        Ok(RemovalProgress { keys, ..before }.write(&self.dir)?)
    }

    /// Has all taken away again where a part of the journal was put back from a backup of before.
    async fn look_for_what_is_back(&self) -> Result<(), RetentionError> {
        let done = RemovalProgress::read(&self.dir);
        // Those of a quarter lie among what came in before it ended.
        let of_quarter = match done.key_period {
            Some(ended) => {
                let ended_at = period_begins(ended + 1).start().start();
                self.last_before(ended_at).await?
            }
            None => Position(0),
        };
        let remover = Remover::new(&self.reader);
        let look = move || {
            let pseudonyms_are = |key_period| {
                let removal = Removal::Pseudonyms { key_period };
                remover.is_any_back(of_quarter, removal)
            };
            Ok::<_, JournalError>(
                remover.is_any_back(done.words, Removal::Words)?
                    || remover.is_any_back(done.all, Removal::All)?
                    || done.key_period.map_or(Ok(false), pseudonyms_are)?
                    || remover.is_any_incident_back(done.incidents)?,
            )
        };
        if tokio::task::spawn_blocking(look).await?? {
            tracing::warn!(
                "a part of the journal is of before personal data was taken away from it; all is \
                 taken away again"
            );
            RemovalProgress::begin_anew(&self.dir)?;
        }
        Ok(())
    }

    async fn look(&self, waits: &mut Waits) -> Result<(), RetentionError> {
        // By the stamps, and never by the clock: one wrong reading of it would take away for good
        // what is to be kept. A tick keeps the last stamp within a minute.
        let Some(now) = self.reader.stamp(self.reader.last())? else {
            return Ok(());
        };
        let Some(today) = now.hour().map(|hour| hour.local_day()) else {
            return Ok(());
        };
        let mut done = RemovalProgress::read(&self.dir);
        self.remove_words(today, &mut done).await?;
        // After the time was read: what is due by then is known.
        let awaited = self.awaited().await;
        let needing = Needing {
            awaited: awaited.as_deref().ok(),
            waits,
        };
        self.remove_personal_parts(today, needing, &mut done)
            .await?;
        let awaited = awaited?;
        waits.tell(&awaited);
        if awaited.is_empty() {
            self.end_periods(now, &mut done).await?;
        }
        self.note_keys().await
    }

    /// Takes notes and words away.
    async fn remove_words(
        &self,
        today: LocalDay,
        done: &mut RemovalProgress,
    ) -> Result<(), RetentionError> {
        let from = days_before(today, self.kept.words_days);
        if is_done(done.words_from, from, today) {
            return Ok(());
        }
        let last = self.last_before(from.start().start()).await?;
        done.words = self.take_away(Removal::Words, done.words, last).await?;
        done.words_from = Some(from);
        Ok(done.write(&self.dir)?)
    }

    /// Takes whole personal parts away, unless an edition needs them.
    async fn remove_personal_parts(
        &self,
        today: LocalDay,
        needing: Needing<'_>,
        done: &mut RemovalProgress,
    ) -> Result<(), RetentionError> {
        let from = days_before(today, self.kept.personal_days);
        if is_done(done.all_from, from, today) {
            return Ok(());
        }
        let last = self.last_before(from.start().start()).await?;
        if done.all < last && self.is_needed(last, needing).await? {
            return Ok(());
        }
        done.all = self.take_away(Removal::All, done.all, last).await?;
        done.all_from = Some(from);
        Ok(done.write(&self.dir)?)
    }

    /// Ends quarters and months that no edition needs any more.
    async fn end_periods(
        &self,
        now: UtcMillis,
        done: &mut RemovalProgress,
    ) -> Result<(), RetentionError> {
        self.end_key_periods(now, done).await?;
        self.end_incidents(now, done).await
    }

    /// Takes something away of what came after one entry, through another. Returns through where it
    /// is gone then.
    async fn take_away(
        &self,
        removal: Removal,
        done: Position,
        last: Position,
    ) -> Result<Position, RetentionError> {
        if last <= done {
            return Ok(done);
        }
        self.ingest.note_removal(removal, last).await?;
        self.remove(done.next(), last, removal).await?;
        Ok(last)
    }

    /// The months whose editions are due and still to be closed. One that was closed, and whose
    /// file is gone, needs nothing any more that is to be taken away, and nothing waits for one that
    /// can be closed no more.
    async fn awaited(&self) -> Result<Vec<LocalMonth>, RetentionError> {
        let library = Arc::clone(&self.library);
        Ok(tokio::task::spawn_blocking(move || library.awaited()).await??)
    }

    /// Whether an edition that is about to be closed needs personal parts through an entry: it
    /// cannot be, once it is not known any more who told what. After a while they go all the same.
    async fn is_needed(
        &self,
        through: Position,
        needing: Needing<'_>,
    ) -> Result<bool, RetentionError> {
        let first = needing.awaited.and_then(<[_]>::first);
        let is_reached = match first {
            Some(month) => self.last_before(begins(*month)).await? < through,
            None => false,
        };
        Ok(needing.waits.for_edition(is_reached))
    }

    /// Lets single incidents go of months of receipt that have been over for long enough.
    async fn end_incidents(
        &self,
        now: UtcMillis,
        done: &mut RemovalProgress,
    ) -> Result<(), RetentionError> {
        // Stores that were set aside go with the incidents, and none must be set aside after that.
        if self.ingest.store_is_opening() {
            return Ok(());
        }
        let months = self.ingest.months();
        let is_due = |end: &&MonthEnd| ends_at(end, self.kept.incident_months) <= now;
        let end = months.ends().iter().rev().find(is_due).copied();
        // What was begun, and may have been cut short.
        let Some(end) = end.or(months.ended()) else {
            return Ok(());
        };
        if end.through <= done.incidents {
            return Ok(());
        }
        // Before anything is noted: without the base before it, no month ends.
        let (dir, reader) = (self.dir.join("journal"), self.reader.clone());
        let ended_before = months.ended_through();
        let read = move || read_base(&dir, &reader, ended_before);
        let before = tokio::task::spawn_blocking(read).await??;
        self.ingest.note_ended(end.through, None).await?;
        // Without room for another segment: it is tried again at the next look.
        let remover = Remover::new(&self.reader);
        if remover.is_written_to(end.through) {
            return Ok(());
        }
        let (dir, reader) = (self.dir.join("journal"), self.reader.clone());
        let make = move || make_base(before, &dir, &reader, end.through);
        let base = tokio::task::spawn_blocking(make).await??;
        self.ingest.note_ended(end.through, Some(base)).await?;
        let taps = self.ingest.ended_taps();
        let (dir, store) = (self.dir.clone(), self.dir.join("store"));
        let replace = move || {
            let replaced = remover.end_incidents(end.through, taps.as_ref())?;
            Store::remove_set_aside(&store)?;
            checkpoint::remove_set_aside(&dir).map_err(RetentionError::Checkpoint)?;
            Ok::<_, RetentionError>(replaced)
        };
        let replaced = tokio::task::spawn_blocking(replace).await??;
        done.incidents = end.through;
        done.incidents_from = end.until.hour().map(|hour| hour.local_day());
        done.write(&self.dir)?;
        tracing::info!(replaced, through = %end.through, "single incidents now count in tallies");
        Ok(())
    }

    /// Ends the quarters whose editions have all closed.
    async fn end_key_periods(
        &self,
        now: UtcMillis,
        done: &mut RemovalProgress,
    ) -> Result<(), RetentionError> {
        let Some(key_period) = last_ended(now) else {
            return Ok(());
        };
        let keys = self.ingest.keys();
        let first_key = keys.known_periods().first().copied();
        let has_key = first_key.is_some_and(|first| first <= key_period);
        // By the date, and not by which keys are there: a folder may come back without its keys.
        if !has_key && (Some(key_period) <= done.key_period || self.began_after(key_period)?) {
            return Ok(());
        }
        keys.end(key_period);
        let removal = Removal::Pseudonyms { key_period };
        let through = self
            .ingest
            .note_removal(removal, self.reader.last())
            .await?;
        let from = match done.key_period {
            Some(before) => {
                // Nothing lies in a quarter that came in long before it began.
                let begins = period_begins(before + 1).start().start();
                self.last_before(UtcMillis(begins.0 - TAP_AHEAD_MS_MAX))
                    .await?
                    .next()
            }
            None => self.reader.horizon(),
        };
        self.remove(from, through, removal).await?;
        // Last of all: while the key is there, it is known that something is left to be done.
        tokio::task::spawn_blocking(move || keys.destroy(key_period)).await??;
        done.key_period = Some(key_period);
        done.write(&self.dir)?;
        tracing::info!(key_period, "key of a quarter and its pseudonyms destroyed");
        Ok(())
    }

    /// Whether nothing can have been told under a quarter's key, as it had ended before the first
    /// entry that is there.
    fn began_after(&self, key_period: u32) -> Result<bool, JournalError> {
        let first = self.reader.entry(self.reader.horizon())?;
        Ok(first.is_none_or(|first| period_ends_at(key_period) <= first.stamp))
    }

    /// The last entry before an instant; 0 if there is none.
    async fn last_before(&self, instant: UtcMillis) -> Result<Position, RetentionError> {
        let reader = self.reader.clone();
        let first = tokio::task::spawn_blocking(move || first_at(&reader, instant)).await??;
        Ok(Position(first.0 - 1))
    }

    async fn remove(
        &self,
        from: Position,
        through: Position,
        removal: Removal,
    ) -> Result<(), RetentionError> {
        let remover = Remover::new(&self.reader);
        let removing = move || remover.remove(from, through, removal);
        let removed = tokio::task::spawn_blocking(removing).await??;
        tracing::info!(?removal, removed, %through, "personal data taken away");
        Ok(())
    }
}

/// The first day of which something is kept for so many days.
fn days_before(today: LocalDay, days: u32) -> LocalDay {
    LocalDay(today.0.saturating_sub_unsigned(days))
}

/// Whether all of before a day was taken away, where that was done last of before `done_from`.
fn is_done(done_from: Option<LocalDay>, from: LocalDay, today: LocalDay) -> bool {
    // One that lies ahead was noted by a clock that was wrong.
    done_from.is_some_and(|done_from| from <= done_from && done_from <= today)
}

/// No entry before this instant tells of a tap of a month.
fn begins(month: LocalMonth) -> UtcMillis {
    UtcMillis(month::first_day(month).start().start().0 - TAP_AHEAD_MS_MAX)
}

/// The last quarter whose editions are all due to be closed.
fn last_ended(now: UtcMillis) -> Option<u32> {
    let today = now.hour()?.local_day();
    let mut period = key_period(today);
    while now < period_ends_at(period) {
        period = period.checked_sub(1)?;
    }
    Some(period)
}

/// The base that there is, or else an empty state. Refuses one that lacks entries which have gone of
/// those that ended: what was counted of them would be lost. Where their end was cut short they are there,
/// and it is gone on with.
fn read_base(journal: &Path, reader: &Reader, ended: Position) -> Result<State, RetentionError> {
    let epoch = reader.epoch();
    let before = base::read(journal, epoch)?.unwrap_or_else(|| State::new(epoch));
    let is_earlier = before.position() < ended;
    if is_earlier && reader.have_gone(before.position().next(), ended)? {
        return Err(RetentionError::BaseMissing);
    }
    Ok(before)
}

/// Makes the base through the end of a month out of the one before, if it is not there yet. Returns its
/// SHA-256.
fn make_base(
    before: State,
    journal: &Path,
    reader: &Reader,
    through: Position,
) -> Result<[u8; 32], RetentionError> {
    if before.position() == through {
        return Ok(base::sha256(journal).map_err(CheckpointError::from)?);
    }
    let mut maker = BaseMaker::new(before, through);
    for record in reader.facts_from(maker.next())? {
        let record = record?;
        if record.entry == Entry::Gone {
            return Err(RetentionError::BaseMissing);
        }
        if let Some(base) = maker.take(record.position, record.stamp, &record.entry) {
            return Ok(base::write(&base, journal)?);
        }
    }
    Err(RetentionError::NotNoted)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::domain::RowTime;
    use crate::domain::taxonomy::TimePrecision;
    use crate::domain::testing::{Log, blank_facts, id_made_at, personal};
    use crate::domain::time::DAY_MS;
    use crate::ingest::Running;
    use crate::journal::{self, Settings, Wanted};
    use crate::network::Network;

    const YEARS_MS: i64 = 5 * 365 * DAY_MS;
    const KEPT: RetentionPeriods = RetentionPeriods {
        words_days: 90,
        personal_days: 183,
        incident_months: 12,
    };

    fn at(day: &str) -> UtcMillis {
        LocalDay::parse(day).expect("a date").start().start()
    }

    /// A report with a note, told at a time.
    fn report(number: u8, told: UtcMillis) -> Entry {
        let id = id_made_at(told, number.into());
        let hour = RowTime::Hour(told.hour().expect("a supported year"));
        let mut personal = personal(told);
        personal.note = "a note".into();
        Entry::Incident {
            facts: Box::new(blank_facts(id, hour, TimePrecision::Exact)),
            personal: Some(Box::new(personal)),
        }
    }

    /// A record with a clock that can be set.
    struct Trial {
        clock: Arc<AtomicI64>,
        running: Running,
        retainer: Retainer,
    }

    impl Trial {
        /// Over a journal of reports told on these days, started on another.
        fn new(dir: &Path, told: &[&str], today: &str) -> Self {
            let opened = journal::open(&dir.join("journal"), Settings::default());
            let (mut writer, ..) = opened.expect("new");
            for (number, day) in told.iter().enumerate() {
                let number = u8::try_from(number).expect("few");
                let entry = journal::encode(&report(number, at(day)));
                writer.append(&[entry], at(day)).expect("room");
            }
            drop(writer);
            Self::over(dir, today)
        }

        /// Over a record that is there.
        fn over(dir: &Path, today: &str) -> Self {
            let clock = Arc::new(AtomicI64::new(at(today).0));
            let now = Arc::clone(&clock);
            let now = move || UtcMillis(now.load(Ordering::SeqCst));
            let network = Arc::new(Network::built_in());
            let running = crate::ingest::start(dir, network, now).expect("started");
            let library = Library::open(dir, running.reader.clone()).expect("readable");
            let retainer = Retainer {
                dir: dir.to_owned(),
                ingest: running.ingest.clone(),
                reader: running.reader.clone(),
                library: Arc::new(library),
                kept: KEPT,
                every: Duration::ZERO,
            };
            Self {
                clock,
                running,
                retainer,
            }
        }

        /// Which reports have their notes.
        fn notes(&self) -> Vec<bool> {
            let reader = &self.running.reader;
            let records = reader.wanted_from(Position(1), Wanted::AllButTaps);
            let entries = records.map(|record| record.expect("whole").entry);
            let notes = entries.filter_map(|entry| match entry {
                Entry::Incident { personal, .. } => {
                    Some(personal.is_some_and(|personal| !personal.note.is_empty()))
                }
                _ => None,
            });
            notes.collect()
        }

        /// How many reports have any of theirs.
        fn personal_parts(&self) -> usize {
            let records = self.running.reader.entries_from(Position(1));
            let entries = records
                .expect("readable")
                .map(|record| record.expect("whole").entry);
            let has_any = |entry: &Entry| {
                matches!(
                    entry,
                    Entry::Incident {
                        personal: Some(_),
                        ..
                    }
                )
            };
            entries.filter(has_any).count()
        }

        async fn look(&self) -> Result<(), RetentionError> {
            self.retainer.look(&mut Waits::default()).await
        }

        async fn stop(self) {
            let stop = move || self.running.stop(Duration::from_secs(60));
            let stopping = tokio::task::spawn_blocking(stop);
            stopping.await.expect("no panic").expect("stopped");
        }
    }

    /// Ends the months that are over for so long on a day.
    async fn end_incidents(trial: &Trial, day: &str) -> Result<(), RetentionError> {
        let mut done = RemovalProgress::read(&trial.retainer.dir);
        trial.retainer.end_incidents(at(day), &mut done).await
    }

    #[tokio::test]
    async fn no_base_is_made_over_incidents_that_have_gone_without_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = ["2026-01-10", "2026-02-10", "2026-03-10", "2027-04-14"];
        let trial = Trial::new(folder.path(), &told, "2027-04-15");
        trial.running.wait_for_store();
        let base = folder.path().join("journal/base");
        let refused = async |day| {
            let noted = || {
                let ended = trial.running.ingest.months().ended_through();
                (trial.running.reader.last(), ended)
            };
            let before = noted();
            let ended = end_incidents(&trial, day).await;
            assert!(
                matches!(ended, Err(RetentionError::BaseMissing)),
                "{ended:?}"
            );
            assert_eq!(noted(), before, "no month ends without it");
        };
        end_incidents(&trial, "2027-02-01").await.expect("ended");
        let january = std::fs::read(&base).expect("made");
        std::fs::remove_file(&base).expect("there");
        refused("2027-03-01").await;
        assert!(!base.exists());
        std::fs::write(&base, &january).expect("written");
        end_incidents(&trial, "2027-03-01").await.expect("ended");
        let february = std::fs::read(&base).expect("made");
        std::fs::write(&base, &january).expect("written");
        refused("2027-04-01").await;
        assert_eq!(std::fs::read(&base).expect("there"), january);
        std::fs::write(&base, &february).expect("written");
        end_incidents(&trial, "2027-04-01").await.expect("ended");
        assert_ne!(std::fs::read(&base).expect("made"), february);
        trial.stop().await;
    }

    /// What a start of a folder logs.
    fn log_of_start(dir: &Path) -> String {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish();
        let network = Arc::new(Network::built_in());
        let start = || crate::ingest::start(dir, network, || at("2027-04-15")).expect("started");
        let running = tracing::subscriber::with_default(subscriber, start);
        running.stop(Duration::from_secs(60)).expect("stopped");
        log.text()
    }

    #[tokio::test]
    async fn start_with_a_checkpoint_and_without_the_base_goes_on_and_says_so() {
        const SAID: &str = "is missing or an earlier one";
        let folder = tempfile::tempdir().expect("a folder");
        let told = ["2026-01-10", "2026-02-10", "2027-04-14"];
        let trial = Trial::new(folder.path(), &told, "2027-04-15");
        trial.running.wait_for_store();
        let ends = trial.running.ingest.months().ends()[0].through;
        // Cut short: nothing has gone yet.
        let noted = trial.running.ingest.note_ended(ends, None).await;
        noted.expect("noted");
        trial.stop().await;
        let dir = folder.path().to_owned();
        let look = async || {
            let dir = dir.clone();
            let look = move || log_of_start(&dir);
            tokio::task::spawn_blocking(look).await.expect("no panic")
        };
        assert!(!look().await.contains(SAID));

        let trial = Trial::over(folder.path(), "2027-04-15");
        trial.running.wait_for_store();
        end_incidents(&trial, "2027-02-01").await.expect("ended");
        trial.stop().await;
        assert!(!look().await.contains(SAID));
        std::fs::remove_file(dir.join("journal/base")).expect("there");
        let log = look().await;
        assert!(log.contains("ERROR") && log.contains(SAID), "{log}");
    }

    #[tokio::test]
    async fn clock_that_jumps_for_one_look_takes_nothing_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let trial = Trial::new(folder.path(), &["2026-11-22"], "2026-11-23");
        trial.look().await.expect("a look");
        let before = RemovalProgress::read(folder.path());
        assert_eq!(before.words_from, LocalDay::parse("2026-08-25"));
        trial.clock.fetch_add(YEARS_MS, Ordering::SeqCst);
        // So that it is seen: an entry of that moment.
        let told = trial.running.ingest.keys().told();
        let noted = trial.running.ingest.note_keys(told).await;
        noted.expect("noted");
        trial.look().await.expect("a look");
        let jumped = RemovalProgress::read(folder.path());
        trial.clock.fetch_sub(YEARS_MS, Ordering::SeqCst);
        trial.look().await.expect("a look");
        assert_eq!(trial.notes(), [true]);
        for done in [jumped, RemovalProgress::read(folder.path())] {
            assert_eq!(
                (done.words_from, done.all_from),
                (before.words_from, before.all_from)
            );
        }
        trial.stop().await;
    }

    #[tokio::test]
    async fn day_noted_by_a_clock_that_was_wrong_holds_up_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = ["2026-05-01", "2026-08-01", "2026-11-22"];
        let trial = Trial::new(folder.path(), &told, "2026-11-23");
        let ahead = LocalDay::parse("2031-08-25");
        let hit = RemovalProgress {
            words: Position(1),
            words_from: ahead,
            all: Position(1),
            all_from: ahead,
            ..RemovalProgress::default()
        };
        hit.write(folder.path()).expect("written");
        trial.look().await.expect("a look");
        assert_eq!(trial.notes(), [true, false, true]);
        let done = RemovalProgress::read(folder.path());
        assert_eq!(done.words_from, LocalDay::parse("2026-08-25"));
        assert_eq!(done.all_from, LocalDay::parse("2026-05-24"));
        trial.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn personal_parts_wait_an_hour_for_an_edition_that_needs_them_and_go_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let trial = Trial::new(folder.path(), &["2026-05-10", "2026-11-22"], "2026-11-23");
        let mut waits = Waits::default();
        let may = month::parse("2026-05").expect("a month");
        for hours in 0..4 {
            trial.retainer.look(&mut waits).await.expect("a look");
            let is_kept = hours == 0;
            let (left, library) = (trial.personal_parts(), &trial.retainer.library);
            assert_eq!(left, 1 + usize::from(is_kept), "{hours}");
            assert_eq!(library.awaited().expect("readable").contains(&may), is_kept);
            tokio::time::advance(Duration::from_millis(EDITION_WAIT_MS)).await;
        }
        // The others are awaited still, which is told once it has been so at two looks.
        assert!(waits.awaited.is_told);
        trial.stop().await;
    }
}
