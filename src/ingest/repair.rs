//! Proving a data folder against its journal, and making again what can be made again.
//!
//! `verify` changes nothing in the journal and may run beside a server (the store, which only
//! one process can open, is left out then). `rebuild` and `restore` need the folder for
//! themselves.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::done::{Done, DoneError};
use super::folder;
use super::history::{History, Placed};
use super::start::lacks_base;
use crate::domain::entry::Epoch;
use crate::domain::limits::RESTORES_MAX;
use crate::domain::{Entry, LocalDay, Position, Row, UtcMillis};
use crate::journal::{self, JournalError, Reader, Settings, Wanted, Writer};
use crate::ledger::{
    Applied, CheckpointError, ClosedBlock, Ledger, LedgerError, RefillError, State, base,
};
use crate::store::taps::TapBlock;
use crate::store::{Block, Columns, Store, StoreError, TapChange};

/// Told how many entries are done, of how many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

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
    /// It is whole, but not what the journal gives: `rebuild` mends it.
    Differs,
    /// It counts entries through this place, which the journal does not have any more.
    Ahead(Position),
    /// It cannot be read; the next start makes it again.
    Unusable(Box<dyn std::error::Error + Send + Sync>),
}

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

/// Why a folder can be neither proven nor rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Nothing to work on.
    #[error("there is no journal in this folder")]
    NoJournal,
    /// Not while a server runs.
    #[error("a server has this folder open; stop it first")]
    InUse,
    /// As often as may be.
    #[error("this record was restored {RESTORES_MAX} times already, which is as often as may be")]
    RestoredTooOften,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// The journal fails.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// The store cannot be made.
    #[error("the store cannot be made")]
    Store(#[from] StoreError),
    /// Incidents have gone, and so has what was counted of them.
    #[error("the journal's file `base` is missing; restore it from a backup")]
    BaseMissing,
    /// The file is not what was written.
    #[error("the journal's file `base` is not the one that was noted; restore it from a backup")]
    BaseDiffers,
    /// What stands in the place of the oldest incidents.
    #[error("the journal's file `base` cannot be read; restore it from a backup")]
    Base(#[from] CheckpointError),
    /// Tap counts of before the base.
    #[error("the store cannot be filled")]
    Refill(#[from] RefillError<JournalError>),
    /// There is no room to make tap counts again.
    #[error("no folder can be made for tap counts to compare with")]
    Scratch(#[source] std::io::Error),
    /// What was taken away from the lost journal is still said to be.
    #[error("what was taken away is still noted")]
    Done(#[from] DoneError),
    /// The old checkpoint stays in the way.
    #[error("the checkpoint cannot be set aside")]
    SetAside(#[source] std::io::Error),
    /// The new state cannot be kept.
    #[error("what was made cannot be kept")]
    Ledger(#[from] LedgerError),
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
            Self::Missing | Self::Equal | Self::Partial | Self::InUse => true,
            Self::Differs | Self::Ahead(_) | Self::Unusable(_) => false,
        }
    }
}

/// Reads the whole journal, folds it, and compares checkpoint and store with what comes out.
pub fn verify(folder: &Path, progress: Progress<'_>) -> Result<Report, RepairError> {
    let path = folder::journal(folder);
    if !path.is_dir() {
        return Err(RepairError::NoJournal);
    }
    let journal = journal::verify(&path)?;
    let Some(epoch) = journal.epoch.filter(|_| journal.problems.is_empty()) else {
        return Ok(Report {
            journal,
            fold: None,
        });
    };
    // Before the journal is opened: a server may write a newer one meanwhile.
    let checkpoint = Ledger::read_checkpoint(folder, epoch);
    let (reader, _) = journal::open_reader(&path)?;
    let base = base::read(&path, epoch)?;
    let fold = Some(verify_fold(folder, &reader, (base, checkpoint), progress)?);
    Ok(Report { journal, fold })
}

/// Folds the whole journal into a new store and a new checkpoint. The old store is set aside. So is
/// a checkpoint that holds entries that the journal has lost: that record goes on under another
/// identity, as a copy that was brought back does.
pub fn rebuild(
    folder: &Path,
    now: UtcMillis,
    progress: Progress<'_>,
) -> Result<Rebuilt, RepairError> {
    // The writer is held until the end, because it locks the folder.
    let opened = open_alone(folder, |_| Position(0))?;
    let reader = &opened.1;
    match count_lost(folder, reader) {
        0 => {
            let (ledger, entries) = fold_anew(folder, reader, progress)?;
            keep(folder, &ledger, entries)
        }
        lost => Ok(go_on(folder, opened, (lost, now), progress)?.rebuilt),
    }
}

/// Lets a record go on from a copy of it: gives it another identity from here on, and makes
/// everything but the journal anew, as that may be of after the copy. Positions, receipts and
/// figures stay. Whatever callers were given for a place after the copy leads nowhere then. What
/// had been taken away since the copy is taken away again by the next start.
pub fn restore(
    folder: &Path,
    now: UtcMillis,
    progress: Progress<'_>,
) -> Result<Restored, RepairError> {
    let opened = open_alone(folder, |_| Position(0))?;
    let lost = count_lost(folder, &opened.1);
    go_on(folder, opened, (lost, now), progress)
}

/// Lets a record go on without entries that were lost, as many as are known of.
fn go_on(
    folder: &Path,
    (mut writer, reader): (Writer, Reader),
    (lost, now): (u64, UtcMillis),
    progress: Progress<'_>,
) -> Result<Restored, RepairError> {
    // First of all: whoever is refused keeps everything as it was.
    if RESTORES_MAX <= count_restores(folder, &reader)? {
        return Err(RepairError::RestoredTooOften);
    }
    let mut epoch = Epoch([0; 16]);
    getrandom::fill(&mut epoch.0).map_err(RepairError::Random)?;
    // It tells of the journal that was lost. Cut short after it, all is only looked through again.
    Done::begin_anew(folder)?;
    let (ledger, entries) = fold_anew(folder, &reader, progress)?;
    if 0 < lost {
        let path = folder::checkpoint(folder);
        std::fs::rename(&path, path.with_extension("aside")).map_err(RepairError::SetAside)?;
    }
    let entry = Entry::Restored(epoch);
    let (at, stamp) = writer.append(&[journal::encode(&entry)], now)?;
    ledger.apply(&[(at, stamp, entry)]);
    let rebuilt = Rebuilt {
        lost,
        restored: Some(at),
        ..keep(folder, &ledger, entries + 1)?
    };
    Ok(Restored { rebuilt, at })
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

/// Opens the journal of a folder that nobody else uses, unless it ends before the entry that
/// `durable` names for its epoch.
pub(super) fn open_alone(
    folder: &Path,
    durable: impl FnOnce(Epoch) -> Position,
) -> Result<(Writer, Reader), RepairError> {
    let path = folder::journal(folder);
    if !journal::exists(&path)? {
        return Err(RepairError::NoJournal);
    }
    if journal::is_in_use(&path)? {
        return Err(RepairError::InUse);
    }
    let (writer, reader, _) = journal::open_through(&path, Settings::default(), durable)?;
    Ok((writer, reader))
}

/// The fold of the whole journal, over a new store, and of how many entries.
fn fold_anew(
    folder: &Path,
    reader: &Reader,
    progress: Progress<'_>,
) -> Result<(Ledger, u64), RepairError> {
    let epoch = reader.epoch();
    let begun = base::read(&folder::journal(folder), epoch)?;
    let begun = begun.unwrap_or_else(|| State::new(epoch));
    let from = begun.position().next();
    let ledger = Ledger::new(begun);
    let store = Store::create(&folder::store(folder), epoch)?;
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

/// How many entries the checkpoint is ahead of the journal.
fn count_lost(folder: &Path, reader: &Reader) -> u64 {
    match Ledger::read_checkpoint(folder, reader.epoch()) {
        Ok(Some(state)) => state.position().0.saturating_sub(reader.last().0),
        // One that cannot be read proves nothing.
        Ok(None) | Err(_) => 0,
    }
}

fn tell(progress: Progress<'_>, batch: &[Placed], total: u64) {
    if let Some((position, ..)) = batch.last() {
        progress(position.0, total);
    }
}

fn verify_fold(
    folder: &Path,
    reader: &Reader,
    (base, checkpoint): (Option<State>, Result<Option<State>, CheckpointError>),
    progress: Progress<'_>,
) -> Result<FoldReport, RepairError> {
    let based_on = base.as_ref().map_or(Position(0), State::position);
    // One from before the base is passed over, as the next start does.
    let is_later = |state: &&State| based_on <= state.months().ended_through();
    let checkpointed = checkpoint.as_ref().ok().and_then(Option::as_ref);
    let checkpointed = checkpointed.filter(is_later);
    let compared_at = checkpointed.map(State::position);
    let mut digest_there = None;
    let mut blocks = Blocks::default();
    let mut taps = Taps::begin(base.as_ref(), reader)?;
    let mut state = base.unwrap_or_else(|| State::new(reader.epoch()));
    let mut noted_base = None;
    if compared_at == Some(state.position()) {
        digest_there = Some(state.digest());
    }
    let total = reader.last().0;
    let history = History::whole(reader, based_on.next())?;
    let entries = history.for_each_batch::<RepairError>(|batch| {
        if lacks_base(batch) {
            return Err(RepairError::BaseMissing);
        }
        for (position, stamp, entry) in batch {
            if let Entry::IncidentsEnded {
                through,
                base: Some(sha256),
            } = entry
            {
                noted_base = Some((*through, *sha256));
            }
            if let Applied::Recorded { .. } = state.apply(*position, *stamp, entry) {
                blocks.rows += 1;
            }
            blocks.close(state.take_closed());
            if compared_at == Some(*position) {
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
    let checkpoint_blocks =
        checkpointed.map_or(0..0, |at| at.first_block().max(blocks.first)..at.blocks());
    let checkpoint_position = compared_at.unwrap_or_default();
    let checkpoint = match checkpoint {
        Ok(None) => Finding::Missing,
        // From before the base.
        Ok(Some(old)) if old.months().ended_through() < based_on => Finding::Missing,
        Ok(Some(ahead)) if state.position() < ahead.position() => Finding::Ahead(ahead.position()),
        Ok(Some(state)) if Some(state.digest()) == digest_there => Finding::Equal,
        Ok(Some(_)) => Finding::Differs,
        Err(error) => Finding::Unusable(error.into()),
    };
    let (store, compared) = verify_store(
        folder,
        reader,
        (checkpoint_blocks, checkpoint_position),
        &blocks,
        &taps,
    );
    Ok(FoldReport {
        entries,
        position: state.position(),
        incidents: blocks.rows,
        digest: state.digest(),
        checkpoint,
        store,
        blocks_compared: compared.incidents,
        blocks: blocks.digests.len() as u64,
        tap_blocks_compared: compared.taps,
        tap_blocks: taps.blocks,
    })
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
    match found == noted {
        true => Ok(()),
        false => Err(RepairError::BaseDiffers),
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
    (checkpoint_blocks, checkpointed): (Range<u32>, Position),
    expected: &Blocks,
    taps: &Taps,
) -> (Finding, Compared) {
    let path = folder::store(folder);
    if !path.exists() {
        return (Finding::Missing, Compared::default());
    }
    if let Ok(true) = journal::is_in_use(&folder::journal(folder)) {
        return (Finding::InUse, Compared::default());
    }
    let compared = Store::open(&path, reader.epoch(), checkpoint_blocks).and_then(|store| {
        let blocks = compare_blocks(&store, expected)?;
        Ok((blocks, compare_taps(&store, checkpointed, taps)?))
    });
    let ((equal, found), of_taps) = match compared {
        Ok(compared) => compared,
        Err(StoreError::Locked) => return (Finding::InUse, Compared::default()),
        Err(error) => return (Finding::Unusable(error.into()), Compared::default()),
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
