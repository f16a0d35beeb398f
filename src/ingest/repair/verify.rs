//! Proving a data folder: its journal by itself, and checkpoint and store against the fold of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Progress, RepairError, tell};
use crate::domain::entry::Epoch;
use crate::domain::{Entry, LocalDay, Position, Row};
use crate::ingest::folder;
use crate::ingest::history::History;
use crate::ingest::start::lacks_base;
use crate::journal::{self, Reader};
use crate::ledger::{Applied, CheckpointError, ClosedBlock, Ledger, State, base};
use crate::store::taps::TapBlock;
use crate::store::{Block, Columns, Store, StoreError, TapChange};

/// What `verify` found.
#[derive(Debug)]
pub struct Report {
    /// About the journal, by itself.
    pub journal: journal::Report,
    /// About what is made of it; `None` if the journal is not whole.
    pub fold: Option<FoldReport>,
}

/// What a fold of the whole journal showed.
#[derive(Debug)]
pub struct FoldReport {
    /// Entries folded.
    pub entries: u64,
    /// The place of the last.
    pub position: Position,
    /// Incidents counted, those that were withdrawn later included.
    pub incidents: u64,
    /// Digest of the state that came of it.
    pub digest: [u8; 32],
    /// Whether the checkpoint is what the fold gives at its place.
    pub checkpoint: Finding,
    /// Whether the blocks in the store are what the fold gives, be they counted by the
    /// checkpoint or not.
    pub store: Finding,
    /// Blocks in the store that were compared.
    pub blocks_compared: u64,
    /// Blocks that the fold gives.
    pub blocks: u64,
    /// Blocks of tap counts in the store that were compared.
    pub tap_blocks_compared: u64,
    /// Blocks of tap counts that the fold gives.
    pub tap_blocks: u64,
}

/// What was found about something that can be made again.
#[derive(Debug)]
pub enum Finding {
    /// There is none; the next start makes it.
    Missing,
    /// It is what the journal gives.
    Equal,
    /// What is there is what the journal gives, but not all of it is: so a store is left by a
    /// kill. The next start adds the rest.
    Partial,
    /// A server has it open.
    InUse,
    /// It can only be opened where it can be written to, and here it cannot, as in a snapshot.
    ReadOnly,
    /// It is whole, but not what the journal gives: `rebuild` mends it.
    Differs,
    /// It counts entries through this place, which the journal does not have any more.
    Ahead(Position),
    /// It cannot be read; the next start makes it again.
    Unusable(Box<dyn std::error::Error + Send + Sync>),
}

impl Report {
    /// Whether nothing is wrong. What is missing or unusable is made again by the next
    /// start, but is not how a server leaves a folder.
    pub fn is_clean(&self) -> bool {
        let is_fold_clean = self
            .fold
            .as_ref()
            .is_some_and(|fold| fold.checkpoint.is_harmless() && fold.store.is_harmless());
        self.journal.problems.is_empty() && is_fold_clean
    }
}

impl Report {
    /// Whether all that there is was compared. What a server has open is not, nor is what nothing may
    /// be written in.
    pub fn is_all_compared(&self) -> bool {
        let store = self.fold.as_ref().map(|fold| &fold.store);
        !matches!(store, Some(Finding::InUse | Finding::ReadOnly))
    }

    /// Whether the checkpoint counts entries that the journal does not have.
    pub fn is_journal_short(&self) -> bool {
        let checkpoint = self.fold.as_ref().map(|fold| &fold.checkpoint);
        matches!(checkpoint, Some(Finding::Ahead(_)))
    }
}

impl Finding {
    /// Whether it needs no mending.
    pub fn is_harmless(&self) -> bool {
        match self {
            Self::Missing | Self::Equal | Self::Partial | Self::InUse | Self::ReadOnly => true,
            Self::Differs | Self::Ahead(_) | Self::Unusable(_) => false,
        }
    }
}

/// Reads the whole journal, folds it, and compares checkpoint and store with what comes out. Where
/// a server has the folder open, anything wrong is looked at again: single incidents may have ended
/// meanwhile, which writes the base and whole segments anew.
pub fn verify(folder: &Path, progress: Progress<'_>) -> Result<Report, RepairError> {
    let path = folder::journal(folder);
    if !journal::exists(&path)? && !path.is_dir() {
        return Err(RepairError::NoJournal);
    }
    let found = verify_once(folder, progress);
    let is_clean = found.as_ref().is_ok_and(Report::is_clean);
    if is_clean || !journal::is_in_use(&path)? {
        found
    } else {
        verify_once(folder, progress)
    }
}

fn verify_once(folder: &Path, progress: Progress<'_>) -> Result<Report, RepairError> {
    let path = folder::journal(folder);
    let journal = journal::verify(&path)?;
    let Some(epoch) = journal.epoch.filter(|_| journal.problems.is_empty()) else {
        return Ok(Report {
            journal,
            fold: None,
        });
    };
    // Before the journal is opened: a server may write a newer one meanwhile.
    let checkpoint = match Ledger::read_checkpoint(folder, epoch) {
        // A rebuild that was cut short took it out of use.
        Ok(None) => Ledger::read_lost_checkpoint(folder, epoch),
        read => read,
    };
    let (reader, _) = journal::open_reader(&path)?;
    let base = base::read(&path, epoch)?;
    let beside = Beside { base, checkpoint };
    let fold = Some(verify_fold(folder, &reader, beside, progress)?);
    Ok(Report { journal, fold })
}

/// What lies beside a journal, as it was read.
struct Beside {
    base: Option<State>,
    checkpoint: Result<Option<State>, CheckpointError>,
}

/// What a checkpoint counts.
struct Checkpointed {
    /// Blocks, as far as the fold keeps them.
    blocks: Range<u32>,
    /// The last entry.
    position: Position,
}

fn verify_fold(
    folder: &Path,
    reader: &Reader,
    beside: Beside,
    progress: Progress<'_>,
) -> Result<FoldReport, RepairError> {
    let Beside { base, checkpoint } = beside;
    let based_on = base.as_ref().map_or(Position(0), State::position);
    // One from before the base is passed over, as the next start does.
    let is_later = |state: &&State| based_on <= state.months().ended_through();
    let read = checkpoint.as_ref().ok().and_then(Option::as_ref);
    let usable = read.filter(is_later);
    let compared_at = usable.map(State::position);
    let mut blocks = Blocks::default();
    let mut taps = Taps::begin(base.as_ref(), reader)?;
    let mut state = base.unwrap_or_else(|| State::new(reader.epoch()));
    let mut noted_base = None;
    let is_there = |position| compared_at == Some(position);
    let mut digest_there = is_there(state.position()).then(|| state.digest());
    let total = reader.last().0;
    let history = History::whole(reader, based_on.next())?;
    let entries = history.for_each_batch::<RepairError>(|batch| {
        if lacks_base(batch) {
            return Err(RepairError::BaseMissing);
        }
        for record in batch {
            if let Entry::IncidentsEnded {
                through,
                base: Some(sha256),
            } = &record.entry
            {
                noted_base = Some((*through, *sha256));
            }
            if let Applied::Recorded { .. } =
                state.apply(record.position, record.stamp, &record.entry)
            {
                blocks.rows += 1;
            }
            blocks.close(state.take_closed());
            if is_there(record.position) {
                digest_there = Some(state.digest());
            }
        }
        taps.put(&state.take_tap_changes(), reader.epoch())?;
        tell(progress, batch, total);
        Ok(())
    })?;
    check_base(folder, based_on, noted_base)?;
    taps.finish(state.taps().kept_from())?;
    blocks.first = state.first_block();
    blocks.digests = blocks.digests.split_off(&blocks.first);
    // Blocks of incidents that ended after the checkpoint may have gone from the store.
    let checkpointed = Checkpointed {
        blocks: usable.map_or(0..0, |at| at.first_block().max(blocks.first)..at.blocks()),
        position: compared_at.unwrap_or_default(),
    };
    let (store, compared) = verify_store(folder, reader, checkpointed, &blocks, &taps);
    Ok(FoldReport {
        entries,
        position: state.position(),
        incidents: blocks.rows,
        digest: state.digest(),
        checkpoint: compare(checkpoint, based_on, (state.position(), digest_there)),
        store,
        blocks_compared: compared.incidents,
        blocks: blocks.digests.len() as u64,
        tap_blocks_compared: compared.taps,
        tap_blocks: taps.blocks,
    })
}

/// Compares a checkpoint with a fold that begins with a base, reaches so far, and had a digest
/// where the checkpoint ends, if it came there.
fn compare(
    checkpoint: Result<Option<State>, CheckpointError>,
    based_on: Position,
    (last, digest_there): (Position, Option<[u8; 32]>),
) -> Finding {
    match checkpoint {
        Ok(None) => Finding::Missing,
        // From before the base.
        Ok(Some(old)) if old.months().ended_through() < based_on => Finding::Missing,
        Ok(Some(ahead)) if last < ahead.position() => Finding::Ahead(ahead.position()),
        Ok(Some(state)) if Some(state.digest()) == digest_there => Finding::Equal,
        Ok(Some(_)) => Finding::Differs,
        Err(error) => Finding::Unusable(error.into()),
    }
}

/// Refuses a base that is not the one that the journal noted.
fn check_base(
    folder: &Path,
    based_on: Position,
    noted: Option<(Position, [u8; 32])>,
) -> Result<(), RepairError> {
    let Some((_, noted)) = noted.filter(|(through, _)| *through == based_on) else {
        return Ok(());
    };
    let found = base::sha256(&folder::journal(folder)).map_err(CheckpointError::from)?;
    if found == noted {
        Ok(())
    } else {
        Err(RepairError::BaseDiffers)
    }
}

/// Digests of the blocks that the fold gives.
#[derive(Default)]
struct Blocks {
    /// Number of the first that is kept.
    first: u32,
    digests: BTreeMap<u32, [u8; 32]>,
    rows: u64,
}

impl Blocks {
    fn close(&mut self, closed: Vec<ClosedBlock>) {
        let digests = closed
            .into_iter()
            .map(|(number, bytes)| (number, Sha256::digest(bytes).into()));
        self.digests.extend(digests);
    }
}

fn block_digest(number: u32, rows: &[Row]) -> [u8; 32] {
    Sha256::digest(Block::pack(number, rows)).into()
}

/// Tap counts as the fold gives them, in a store of their own that is thrown away.
#[derive(Default)]
struct Taps {
    /// Made when the first counts come.
    scratch: Option<(Store, tempfile::TempDir)>,
    blocks: u64,
    kept_from: Option<LocalDay>,
}

impl Taps {
    /// With those of before the base.
    fn begin(base: Option<&State>, reader: &Reader) -> Result<Self, RepairError> {
        let mut taps = Self::default();
        if let Some(base) = base.filter(|base| base.taps().last() != Position(0)) {
            let dir = tempfile::tempdir().map_err(RepairError::Scratch)?;
            let store = Store::create(&dir.path().join("store"), reader.epoch())?;
            let ledger = Ledger::new(base.clone());
            ledger.refill(store.clone(), History::facts(reader, reader.begin())?)?;
            taps.scratch = Some((store, dir));
        }
        Ok(taps)
    }

    fn put(&mut self, changes: &[Arc<TapChange>], epoch: Epoch) -> Result<(), RepairError> {
        if changes.is_empty() {
            return Ok(());
        }
        let scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => {
                let dir = tempfile::tempdir().map_err(RepairError::Scratch)?;
                (Store::create(&dir.path().join("store"), epoch)?, dir)
            }
        };
        let (store, _) = self.scratch.insert(scratch);
        Ok(store.put_taps(changes)?)
    }

    /// Counts the blocks that were made; of those, days before this one were removed.
    fn finish(&mut self, kept_from: Option<LocalDay>) -> Result<(), StoreError> {
        self.kept_from = kept_from;
        let blocks = &mut self.blocks;
        if let Some((store, _)) = &self.scratch {
            store.each_tap_block(|_| {
                *blocks += 1;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The block that should be where another is.
    fn same(&self, block: &TapBlock) -> Result<Option<TapBlock>, StoreError> {
        let scratch = self.scratch.as_ref();
        scratch.map_or(Ok(None), |(store, _)| store.same_tap_block(block))
    }
}

/// How many blocks of each kind were compared.
#[derive(Clone, Copy, Default)]
struct Compared {
    incidents: u64,
    taps: u64,
}

/// Compares all blocks in the store, of which there must be as many as the checkpoint counts,
/// and says how many those are.
fn verify_store(
    folder: &Path,
    reader: &Reader,
    checkpointed: Checkpointed,
    expected: &Blocks,
    taps: &Taps,
) -> (Finding, Compared) {
    let path = folder::store(folder);
    if let Ok(true) = journal::is_in_use(&folder::journal(folder)) {
        return (Finding::InUse, Compared::default());
    }
    if !path.exists() {
        return (Finding::Missing, Compared::default());
    }
    let compared = Store::open(&path, reader.epoch(), checkpointed.blocks).and_then(|store| {
        let blocks = compare_blocks(&store, expected)?;
        Ok((blocks, compare_taps(&store, checkpointed.position, taps)?))
    });
    let ((equal, found), of_taps) = match compared {
        Ok(compared) => compared,
        Err(error) => return (not_compared(error), Compared::default()),
    };
    let compared = Compared {
        incidents: found,
        taps: of_taps.equal,
    };
    let all = expected.digests.len() as u64;
    let finding = match of_taps.differs || equal < found {
        true => Finding::Differs,
        false if equal < all || of_taps.equal < taps.blocks => Finding::Partial,
        false => Finding::Equal,
    };
    (finding, compared)
}

/// What is found of a store that cannot be read.
fn not_compared(error: StoreError) -> Finding {
    match error {
        StoreError::Locked => Finding::InUse,
        error if error.is_of_read_only() => Finding::ReadOnly,
        error => Finding::Unusable(error.into()),
    }
}

/// What a comparison of tap counts showed.
#[derive(Default)]
struct TapsCompared {
    /// Blocks that are as the fold gives them.
    equal: u64,
    /// Whether any is otherwise, though everything that the checkpoint counts is in it.
    differs: bool,
}

/// Compares every block of tap counts. One that lacks what came after the checkpoint is only
/// behind: the next start adds it.
fn compare_taps(
    store: &Store,
    checkpointed: Position,
    expected: &Taps,
) -> Result<TapsCompared, StoreError> {
    let mut compared = TapsCompared::default();
    store.each_tap_block(|block| {
        match expected.same(block)? {
            Some(same) if same == *block => compared.equal += 1,
            Some(same) => {
                let is_behind = block.position < same.position && checkpointed < same.position;
                compared.differs |= !is_behind;
            }
            // Days that were removed since are removed again by the next start.
            None => compared.differs |= expected.kept_from.is_none_or(|from| from <= block.day()),
        }
        Ok(())
    })?;
    if let Some((scratch, _)) = &expected.scratch {
        scratch.each_tap_block(|block| {
            let is_missing = store.same_tap_block(block)?.is_none();
            compared.differs |= is_missing && block.position <= checkpointed;
            Ok(())
        })?;
    }
    Ok(compared)
}

/// How many blocks are as expected, of how many.
fn compare_blocks(store: &Store, expected: &Blocks) -> Result<(u64, u64), StoreError> {
    let compare = |equal: &mut u64, number: u32, block: &Block| {
        let rows: Vec<Row> = block.rows().collect();
        let is_equal = expected.digests.get(&number) == Some(&block_digest(number, &rows));
        *equal += u64::from(is_equal);
    };
    let mut numbers = store.numbers()?;
    // Of incidents that are kept no longer: the next start takes them out.
    numbers.retain(|number| expected.first <= *number);
    let mut equal = 0;
    for run in numbers.chunk_by(|number, next| number + 1 == *next) {
        if let (Some(&first), Some(&last)) = (run.first(), run.last()) {
            let counts = store.scan(first..last + 1, Columns::all(), |_| true, || 0, compare)?;
            equal += counts.iter().sum::<u64>();
        }
    }
    Ok((equal, numbers.len() as u64))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::domain::limits::{BATCH_ENTRIES_MAX, REPLAY_BATCHES_AHEAD};
    use crate::domain::taxonomy::TimePrecision;
    use crate::domain::testing::{blank_facts, id_made_at, personal};
    use crate::domain::time::DAY_MS;
    use crate::domain::{RowTime, UtcMillis};
    use crate::journal::{Remover, SEGMENT_BYTES_MIN, Settings, Writer};
    use crate::ledger::testing::miscount;
    use crate::ledger::{BaseMaker, checkpoint};

    /// 2026-11-23T14:00Z.
    const NOW: UtcMillis = UtcMillis(1_795_442_400_000);
    /// More than is read ahead, in many segments.
    const INCIDENTS: u64 = 2 * (REPLAY_BATCHES_AHEAD * BATCH_ENTRIES_MAX) as u64;

    #[test]
    fn store_that_may_not_be_written_to_is_not_compared_and_no_damage() {
        for kind in [
            io::ErrorKind::ReadOnlyFilesystem,
            io::ErrorKind::PermissionDenied,
        ] {
            let error = StoreError::Io {
                action: "open",
                path: "store".into(),
                source: kind.into(),
            };
            let found = not_compared(error);
            assert!(matches!(found, Finding::ReadOnly) && found.is_harmless());
        }
        let found = not_compared(StoreError::Empty);
        assert!(matches!(found, Finding::Unusable(_)));
    }

    fn incident(number: u64) -> Entry {
        let id = id_made_at(NOW, number);
        let hour = RowTime::Hour(NOW.hour().expect("a supported year"));
        Entry::Incident {
            facts: Box::new(blank_facts(id, hour, TimePrecision::Exact)),
            personal: Some(Box::new(personal(NOW))),
        }
    }

    /// As retention does it.
    fn end_incidents(path: &Path, writer: &mut Writer, reader: &Reader) {
        let through = Position(INCIDENTS);
        let mut note = |base| {
            let ended = Entry::IncidentsEnded { through, base };
            let later = UtcMillis(NOW.0 + 31 * DAY_MS);
            writer
                .append(&[journal::encode(&ended)], later)
                .expect("room");
            writer.leave_segment_of(through).expect("room");
        };
        note(None);
        let mut maker = BaseMaker::new(State::new(reader.epoch()), through);
        let records = reader.facts_from(Position(1)).expect("readable");
        let base = records
            .map(|record| record.expect("whole"))
            .find_map(|record| maker.take(record.position, record.stamp, &record.entry));
        let base = base.expect("it was noted");
        note(Some(base::write(&base, path).expect("written")));
        let replaced = Remover::new(reader).end_incidents(through, None);
        assert_eq!(replaced.expect("written"), INCIDENTS);
    }

    /// A folder at rest with some incidents, and what the fold makes of them.
    fn folder_at_rest() -> (tempfile::TempDir, State) {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            segment_bytes: SEGMENT_BYTES_MIN,
            sync: false,
        };
        let path = folder::journal(folder.path());
        let (mut writer, reader, _) = journal::open(&path, settings).expect("new");
        let mut state = State::new(reader.epoch());
        for number in 1..=20 {
            let entry = incident(number);
            writer
                .append(&[journal::encode(&entry)], NOW)
                .expect("room");
            state.apply(Position(number), NOW, &entry);
        }
        (folder, state)
    }

    fn checkpoint_of(folder: &Path) -> Finding {
        let report = verify(folder, &mut |_, _| {}).expect("the journal is whole");
        let is_clean = report.is_clean();
        let found = report.fold.expect("the journal is whole").checkpoint;
        assert_eq!(is_clean, found.is_harmless());
        found
    }

    #[test]
    fn checkpoint_with_one_count_too_many_differs_from_the_fold() {
        let (folder, mut state) = folder_at_rest();
        checkpoint::write(&state, folder.path()).expect("written");
        let found = checkpoint_of(folder.path());
        assert!(matches!(found, Finding::Equal), "{found:?}");
        miscount(&mut state);
        checkpoint::write(&state, folder.path()).expect("written");
        let found = checkpoint_of(folder.path());
        assert!(matches!(found, Finding::Differs), "{found:?}");
    }

    #[test]
    fn incidents_that_end_beside_a_server_while_it_is_verified_are_no_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder::journal(folder.path());
        let settings = Settings {
            segment_bytes: SEGMENT_BYTES_MIN,
            sync: false,
        };
        let (mut writer, reader, _) = journal::open(&path, settings).expect("new");
        let entries: Vec<_> = (1..=INCIDENTS)
            .map(|number| journal::encode(&incident(number)))
            .collect();
        for some in entries.chunks(BATCH_ENTRIES_MAX / 8) {
            writer.append(some, NOW).expect("room");
        }
        let mut has_ended = false;
        let found = verify(folder.path(), &mut |_, _| {
            if !has_ended {
                has_ended = true;
                end_incidents(&path, &mut writer, &reader);
            }
        });
        let report = found.expect("it is whole");
        assert!(report.is_clean(), "{report:?}");
        // The base was read, and what came after it.
        assert!(has_ended && report.fold.as_ref().is_some_and(|fold| fold.entries == 2));
        let once = verify(folder.path(), &mut |_, _| {}).expect("it is whole");
        assert_eq!(
            report.fold.map(|fold| fold.digest),
            once.fold.map(|fold| fold.digest)
        );
    }
}
