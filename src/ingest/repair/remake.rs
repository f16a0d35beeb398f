//! Making everything but the journal anew from it, also where the journal is a copy that was
//! brought back, or has lost entries: then it says so, and goes on under another identity.

use std::io;
use std::path::Path;

use super::{Alone, Progress, RepairError, open_alone, tell};
use crate::domain::entry::Epoch;
use crate::domain::limits::RESTORES_MAX;
use crate::domain::{Entry, Position, Record};
use crate::ingest::clock_guard::CommandClock;
use crate::ingest::history::History;
use crate::ingest::removal_progress::RemovalProgress;
use crate::ingest::start::{has_last_entry, lacks_base, lost_through};
use crate::ingest::{erasure, folder};
use crate::journal::{self, Reader, Wanted};
use crate::ledger::{Ledger, State, base, checkpoint};
use crate::store::Store;

/// What `rebuild` made.
#[derive(Clone, Copy, Debug)]
pub struct Rebuilt {
    /// Entries folded.
    pub entries: u64,
    /// The place of the last.
    pub position: Position,
    /// Digest of the state that came of it.
    pub digest: [u8; 32],
    /// Entries after that place which the checkpoint held and the journal has lost.
    pub lost: u64,
    /// Where the journal says that it goes on without them, or from a copy.
    pub restored: Option<Position>,
}

/// What `restore` made.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// Of which entries; those `lost` came after the copy, as a checkpoint that lay beside it
    /// shows.
    pub rebuilt: Rebuilt,
    /// Where the journal says that it goes on from a copy.
    pub at: Position,
}

/// Folds the whole journal into a new store and a new checkpoint. The old store is set aside. So is
/// a checkpoint that holds entries that the journal has lost: that record goes on under another
/// identity, as a copy that was brought back does.
pub fn rebuild(
    folder: &Path,
    clock: CommandClock,
    progress: Progress<'_>,
) -> Result<Rebuilt, RepairError> {
    let mut remaking = Remaking::begin(folder)?;
    match remaking.lost {
        0 => {
            let (ledger, entries) = remaking.fold_anew(progress)?;
            // As the next start would: it takes a checkpoint's erasures for done.
            erasure::finish_all(&mut remaking.journal.writer, &ledger)?;
            // For the same reason: they may count what was erased.
            checkpoint::remove_set_aside(folder).map_err(RepairError::Aside)?;
            keep(folder, &ledger, entries)
        }
        _ => Ok(remaking.go_on(clock, progress)?.rebuilt),
    }
}

/// Lets a record go on from a copy of it: gives it another identity from here on, and makes
/// everything but the journal anew, as that may be of after the copy. Positions, receipts and
/// figures stay. Whatever callers were given for a place after the copy leads nowhere then. What
/// had been taken away since the copy is taken away again by the next start.
pub fn restore(
    folder: &Path,
    clock: CommandClock,
    progress: Progress<'_>,
) -> Result<Restored, RepairError> {
    Remaking::begin(folder)?.go_on(clock, progress)
}

/// A folder in which everything but the journal is made anew.
struct Remaking<'a> {
    folder: &'a Path,
    /// Held until the end, because it locks the folder.
    journal: Alone,
    /// Entries that a checkpoint counted and the journal does not have, as far as is known.
    lost: u64,
}

impl<'a> Remaking<'a> {
    fn begin(folder: &'a Path) -> Result<Self, RepairError> {
        let journal = open_alone(folder, |_| Position(0))?;
        // Before anything is made or written: over a base of another past nothing can be.
        read_begun(folder, &journal.reader)?;
        let lost = count_lost(folder, &journal.reader);
        Ok(Self {
            folder,
            journal,
            lost,
        })
    }

    /// Lets the record go on without entries that were lost. Cut short anywhere, it is still known
    /// that they were, until the journal says so.
    fn go_on(
        mut self,
        clock: CommandClock,
        progress: Progress<'_>,
    ) -> Result<Restored, RepairError> {
        // First of all: whoever is refused keeps everything as it was.
        self.journal.check_clock(clock)?;
        if RESTORES_MAX <= count_restores(self.folder, &self.journal.reader)? {
            return Err(RepairError::RestoredTooOften);
        }
        let mut epoch = Epoch([0; 16]);
        getrandom::fill(&mut epoch.0).map_err(RepairError::Random)?;
        // It tells of the journal that was lost. Cut short after it, all is only looked through
        // again.
        RemovalProgress::begin_anew(self.folder)?;
        let (ledger, entries) = self.fold_anew(progress)?;
        if 0 < self.lost {
            take_checkpoint_out_of_use(self.folder, &self.journal.reader)?;
        }
        let record = self.say_restored(epoch, clock)?;
        let at = record.position;
        ledger.apply(&[record]);
        // Of after the copy was begun: the next start takes a checkpoint's erasures for done.
        erasure::finish_all(&mut self.journal.writer, &ledger)?;
        let rebuilt = Rebuilt {
            lost: self.lost,
            restored: Some(at),
            ..keep(self.folder, &ledger, entries + 1)?
        };
        Ok(Restored { rebuilt, at })
    }

    /// Says in the journal that the record goes on without what was lost. That is asked for no more then,
    /// whatever cuts short what follows.
    fn say_restored(&mut self, epoch: Epoch, clock: CommandClock) -> Result<Record, RepairError> {
        let entry = Entry::Restored(epoch);
        let writer = &mut self.journal.writer;
        let (position, stamp) = writer.append(&[journal::encode(&entry)], clock.now)?;
        set_lost_checkpoint_aside(self.folder)?;
        Ok(Record {
            position,
            stamp,
            entry,
        })
    }

    /// The fold of the whole journal, over a new store, and of how many entries.
    fn fold_anew(&self, progress: Progress<'_>) -> Result<(Ledger, u64), RepairError> {
        let (folder, reader) = (self.folder, &self.journal.reader);
        let begun = read_begun(folder, reader)?;
        let from = begun.position().next();
        let ledger = Ledger::new(begun);
        let store = Store::create(&folder::store(folder), reader.epoch())?;
        // Of what the base counts, tap counts lie in the journal still.
        ledger.refill(store, History::facts(reader, reader.begin())?)?;
        let total = reader.last().0;
        let history = History::whole(reader, from)?;
        let entries = history.for_each_batch::<RepairError>(|batch| {
            if lacks_base(batch) {
                return Err(RepairError::BaseMissing);
            }
            ledger.apply(batch);
            tell(progress, batch, total);
            Ok(())
        })?;
        Ok((ledger, entries))
    }
}

/// The state that a fold of the whole journal begins with: that of the base, or else an empty one.
/// Refuses a base whose last entry the journal does not have, as the start does.
fn read_begun(folder: &Path, reader: &Reader) -> Result<State, RepairError> {
    let base = base::read(&folder::journal(folder), reader.epoch())?;
    let begun = base.unwrap_or_else(|| State::new(reader.epoch()));
    match has_last_entry(&begun, reader)? {
        true => Ok(begun),
        false => Err(RepairError::BaseMissing),
    }
}

/// How often a record was restored.
fn count_restores(folder: &Path, reader: &Reader) -> Result<usize, RepairError> {
    let base = base::read(&folder::journal(folder), reader.epoch())?;
    let before = base.as_ref().map_or(0, |base| base.restores().all().len());
    let from = base.map_or(reader.begin(), |base| base.position().next());
    let mut count = before;
    for record in reader.wanted_from(from, Wanted::Restores) {
        record?;
        count += 1;
    }
    Ok(count)
}

/// Writes the checkpoint of a fold of so many entries.
fn keep(folder: &Path, ledger: &Ledger, entries: u64) -> Result<Rebuilt, RepairError> {
    let position = ledger.checkpoint(folder)?;
    let digest = ledger.read().digest();
    Ok(Rebuilt {
        entries,
        position,
        digest,
        lost: 0,
        restored: None,
    })
}

/// Takes a checkpoint that counts lost entries out of use, under a name by which it still tells of
/// them.
fn take_checkpoint_out_of_use(folder: &Path, reader: &Reader) -> Result<(), RepairError> {
    if reader.last() < lost_through(folder, reader.epoch()) {
        // It was, before this was cut short.
        return Ok(());
    }
    rename_if_there(
        &folder::checkpoint(folder),
        &folder::lost_checkpoint(folder),
    )
}

/// Sets it aside once the journal says that they are lost.
fn set_lost_checkpoint_aside(folder: &Path) -> Result<(), RepairError> {
    rename_if_there(
        &folder::lost_checkpoint(folder),
        &folder::checkpoint_set_aside(folder),
    )
}

fn rename_if_there(from: &Path, to: &Path) -> Result<(), RepairError> {
    let rename = || {
        match std::fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }
        let folder = from.parent().unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()
    };
    rename().map_err(RepairError::SetAside)
}

/// How many entries a checkpoint is ahead of the journal, be it in use or not any more.
fn count_lost(folder: &Path, reader: &Reader) -> u64 {
    let epoch = reader.epoch();
    // One that cannot be read proves nothing.
    let in_use = Ledger::read_checkpoint(folder, epoch).ok().flatten();
    let counted = in_use.map_or(Position(0), |state| state.position());
    let counted = counted.max(lost_through(folder, epoch));
    counted.0.saturating_sub(reader.last().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UtcMillis;
    use crate::domain::time::DAY_MS;
    use crate::ingest::ClockCheck;
    use crate::ingest::start::testing::folder_over_base;
    use crate::journal::{JournalError, Settings};

    const NOW: UtcMillis = UtcMillis(1_795_442_400_000);
    const CLOCK: CommandClock = ClockCheck::Always.at(NOW);

    /// A folder whose journal has lost three of five entries, all of which a checkpoint counts.
    fn folder_that_lost_three() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder::journal(folder.path());
        let copy = tempfile::tempdir().expect("a folder");
        let copy_all = |from: &Path, to: &Path| {
            for file in std::fs::read_dir(from).expect("a folder") {
                let file = file.expect("a file");
                std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
            }
        };
        let settings = Settings {
            segment_bytes: journal::SEGMENT_BYTES_MIN,
            ..Settings::default()
        };
        let (mut writer, reader, _) = journal::open(&path, settings).expect("new");
        let mut state = State::new(reader.epoch());
        for number in 0..5 {
            if number == 2 {
                copy_all(&path, copy.path());
            }
            let entry = Entry::Tick;
            let appended = writer.append(&[journal::encode(&entry)], NOW);
            let (position, stamp) = appended.expect("room");
            state.apply(position, stamp, &entry);
        }
        drop(writer);
        checkpoint::write(&state, folder.path()).expect("written");
        copy_all(copy.path(), &path);
        folder
    }

    #[test]
    fn nothing_is_made_over_a_base_whose_last_entry_the_journal_does_not_have() {
        let folder = folder_over_base(1);
        let noted = RemovalProgress {
            words: Position(1),
            ..RemovalProgress::default()
        };
        noted.write(folder.path()).expect("written");
        let rebuilt = rebuild(folder.path(), CLOCK, &mut |_, _| {});
        assert!(matches!(rebuilt, Err(RepairError::BaseMissing)));
        let restored = restore(folder.path(), CLOCK, &mut |_, _| {});
        assert!(matches!(restored, Err(RepairError::BaseMissing)));
        assert_eq!(RemovalProgress::read(folder.path()), noted);
        assert!(!folder::store(folder.path()).exists());
        let (_, reader, _) =
            journal::open(&folder::journal(folder.path()), Settings::default()).expect("whole");
        assert_eq!(reader.last(), Position(3));
    }

    #[test]
    fn clock_far_past_the_last_entry_makes_nothing_anew_unless_it_is_said_to_be_right() {
        let folder = folder_that_lost_three();
        let noted = RemovalProgress {
            words: Position(1),
            ..RemovalProgress::default()
        };
        noted.write(folder.path()).expect("written");
        let year_ahead = UtcMillis(NOW.0 + 365 * DAY_MS);
        let unsure = ClockCheck::Always.at(year_ahead);
        let rebuilt = rebuild(folder.path(), unsure, &mut |_, _| {});
        assert!(matches!(rebuilt, Err(RepairError::ClockUnsure)));
        let restored = restore(folder.path(), unsure, &mut |_, _| {});
        assert!(matches!(restored, Err(RepairError::ClockUnsure)));
        assert_eq!(RemovalProgress::read(folder.path()), noted);
        let (_, reader, _) =
            journal::open(&folder::journal(folder.path()), Settings::default()).expect("whole");
        assert_eq!(reader.last(), Position(2));
        let sure = ClockCheck::AfterStart.at(year_ahead);
        restore(folder.path(), sure, &mut |_, _| {}).expect("restored");
    }

    #[test]
    fn restore_that_is_cut_short_once_the_journal_says_so_is_not_asked_for_again() {
        let folder = folder_that_lost_three();
        let mut remaking = Remaking::begin(folder.path()).expect("opened");
        take_checkpoint_out_of_use(folder.path(), &remaking.journal.reader).expect("renamed");
        let said = remaking.say_restored(Epoch([7; 16]), CLOCK).expect("said");
        assert_eq!(said.position, Position(3));
        drop(remaking);
        let rebuilt = rebuild(folder.path(), CLOCK, &mut |_, _| {}).expect("rebuilt");
        assert_eq!((rebuilt.lost, rebuilt.restored), (0, None));
    }

    #[test]
    fn rebuild_that_is_cut_short_before_the_journal_says_so_leaves_it_known_that_entries_were_lost()
    {
        let folder = folder_that_lost_three();
        let remaking = Remaking::begin(folder.path()).expect("opened");
        assert_eq!(remaking.lost, 3);
        take_checkpoint_out_of_use(folder.path(), &remaking.journal.reader).expect("renamed");
        drop(remaking);
        assert!(!folder::checkpoint(folder.path()).exists());
        let refused = open_alone(folder.path(), |epoch| {
            crate::ingest::start::durable_through(folder.path(), epoch)
        });
        assert!(matches!(
            refused.err(),
            Some(RepairError::Journal(JournalError::Lost { .. }))
        ));
        let report = crate::ingest::repair::verify(folder.path(), &mut |_, _| {});
        assert!(report.expect("readable").is_journal_short());
        let rebuilt = rebuild(folder.path(), CLOCK, &mut |_, _| {}).expect("rebuilt");
        assert_eq!((rebuilt.lost, rebuilt.restored), (3, Some(Position(3))));
        assert!(!folder::lost_checkpoint(folder.path()).exists());
        assert!(folder.path().join("checkpoint.aside").exists());
        let again = rebuild(folder.path(), CLOCK, &mut |_, _| {}).expect("rebuilt");
        assert_eq!((again.lost, again.restored), (0, None), "it is said once");
        let is_kept = folder.path().join("checkpoint.aside").exists();
        assert!(
            !is_kept,
            "no later start removes what it counts of the erased"
        );
    }
}
