//! The fold of journal entries into tallies, blocks and the index of ids; the lock around it,
//! and the blocks' way to the store.
//!
//! An entry is applied whole, and an incident id counts once, however often it arrives.
//! Everything here can be made again from the journal. Questions, rates and privacy are no
//! concern of this module.

mod as_of;
pub mod base;
pub mod cases;
pub mod checkpoint;
pub mod cube;
mod day_summaries;
pub mod dictionary;
mod ended;
mod ids;
mod memory;
mod parts;
mod past_taps;
mod recent;
mod refill;
mod restore;
mod state;
mod store_writer;
pub mod tallies;
pub mod taps;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod unmatchable;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::domain::entry::Epoch;
use crate::domain::{Outages, Position, Record, Row, Stamp};
use crate::store::{NeededBlocks, NeededTaps, Store, StoreError, TapChange, TapReader};
use day_summaries::SummaryCache;
use store_writer::{PendingBounds, StoreWriter};

pub use as_of::AsOfError;
pub use base::BaseMaker;
pub use cases::{About, Case, Cases, Reply};
pub use checkpoint::{
    CheckpointError, FILE as CHECKPOINT_FILE, LOST_FILE as LOST_CHECKPOINT_FILE,
    SET_ASIDE_FILE as SET_ASIDE_CHECKPOINT_FILE,
};
pub use cube::{Cells, Cube};
pub use day_summaries::{DaySummaries, DaySummary, ToldScopes};
pub use dictionary::Dictionary;
pub use ended::{MonthEnd, Months, ends_at};
pub use past_taps::{PastPart, PastTaps};
pub use recent::Recent;
pub use refill::RefillError;
pub use state::{Applied, ClosedBlock, FOLD_VERSION, State, Withdrawal};
pub use tallies::{Attribute, Tallies, Timed, day_bucket, month_hour_bucket};
pub use taps::{FeedBook, ScopeNumbers, TapBook, TapDay, TapsApplied};
pub use unmatchable::{Less, Reason};

/// Why something cannot be answered now.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Not yet attached.
    #[error("the store is still opening")]
    StoreOpening,
    /// Let go, until the next start.
    #[error("the store failed and answers nothing until the next start")]
    StoreFailed,
    /// An error of its own.
    #[error("the store does not answer")]
    Store(#[from] StoreError),
    /// The file beside the journal.
    #[error("the checkpoint cannot be written")]
    Checkpoint(#[from] CheckpointError),
}

/// Everything that a scan needs, as of one position: blocks `stored` are in the store,
/// `pending` follow them, and the rows of `open` come last.
pub struct ScanView {
    /// The store.
    pub store: Store,
    /// Numbers of the blocks to be scanned in it.
    pub stored: Range<u32>,
    /// Blocks on their way to it.
    pub pending: Vec<ClosedBlock>,
    /// Rows of the open block.
    pub open: Vec<Row>,
    /// Positions to be passed over.
    pub withdrawn: Arc<BTreeSet<Position>>,
    /// What was told about outages, perhaps after the position, too.
    pub outages: Arc<Outages>,
    /// Numbers of operators, lines and stops.
    pub dictionary: Arc<Dictionary>,
    /// Where single incidents ended last: rows of before are not there.
    pub ended: Option<MonthEnd>,
    /// The last position applied.
    pub position: Position,
}

/// Tap counts as of one position: the store and what is not yet in it. While it lives, no
/// counts are put into the store.
pub struct TapView<'a> {
    store: Store,
    changes: Vec<Arc<TapChange>>,
    heads: &'a SummaryCache,
    /// Feeds, scopes and days.
    pub book: Arc<TapBook>,
    /// Numbers of operators, lines and stops.
    pub dictionary: Arc<Dictionary>,
    /// The last position applied.
    pub position: Position,
    _held: RwLockReadGuard<'a, ()>,
}

impl TapView<'_> {
    /// Reads the counts.
    pub fn reader(&self) -> TapReader<'_> {
        TapReader::new(&self.store, &self.changes)
    }
}

/// The state with its lock, the store beside it and the blocks on their way to it.
pub struct Ledger {
    state: RwLock<State>,
    store_writer: Arc<StoreWriter>,
    heads: SummaryCache,
    thread: Option<JoinHandle<()>>,
    needed: Needed,
    began: OnceLock<Stamp>,
}

/// The blocks that the state counted when the ledger began.
#[derive(Clone, Copy)]
struct Needed {
    /// Number of the first of them that is kept, and the checksum of all before it.
    first: u32,
    first_crc: u32,
    blocks: u32,
    crc: u32,
    /// Changes of tap counts through this position.
    taps: Position,
    /// The last entry that the state counted.
    position: Position,
}

impl Ledger {
    /// Begins with a state (empty, or of `read_checkpoint`) and starts the store's thread.
    /// Blocks that the state counts are taken to be in the store that will be attached, or
    /// refilled.
    pub fn new(state: State) -> Self {
        Self::with_bounds(state, PendingBounds::default())
    }

    fn with_bounds(state: State, bounds: PendingBounds) -> Self {
        let store_writer = StoreWriter::new(state.first_block()..state.blocks(), bounds);
        let needed = Needed {
            first: state.first_block(),
            first_crc: state.first_block_crc(),
            blocks: state.blocks(),
            crc: state.blocks_crc,
            taps: state.taps().last(),
            position: state.position(),
        };
        let shared = Arc::clone(&store_writer);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || shared.run())
            .expect("a process at its start can have one more thread");
        Self {
            state: RwLock::new(state),
            store_writer,
            heads: SummaryCache::default(),
            thread: Some(thread),
            needed,
            began: OnceLock::new(),
        }
    }

    /// The state of the checkpoint in a folder; `None` if there is none.
    pub fn read_checkpoint(dir: &Path, epoch: Epoch) -> Result<Option<State>, CheckpointError> {
        checkpoint::read(dir, epoch)
    }

    /// The same of one that counts entries which the journal has lost, and is in use no more.
    pub fn read_lost_checkpoint(
        dir: &Path,
        epoch: Epoch,
    ) -> Result<Option<State>, CheckpointError> {
        checkpoint::read_lost(dir, epoch)
    }

    /// Says when the first entry of all was committed, which the state does not know. It stays so.
    pub fn set_began(&self, began: Stamp) {
        self.began.get_or_init(|| began);
    }

    /// When the first entry of all was committed; `None` where nobody said so.
    pub fn began(&self) -> Option<Stamp> {
        self.began.get().copied()
    }

    /// The state. Held only briefly: the committer waits meanwhile.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect(FOLD_HOLDS)
    }

    /// Applies a batch under one lock. Closed blocks go to the store's thread. Waits while
    /// `BLOCKS_PENDING_MAX` of them are pending, be it that the store is still opening or that
    /// it is slow, and while `TAP_CHANGES_PENDING_MAX` changes of tap counts are, if it is slow.
    pub fn apply(&self, batch: &[Record]) -> Vec<Applied> {
        self.store_writer.wait_for_room();
        let mut state = self.state.write().expect(FOLD_HOLDS);
        let applied = state.apply_all(batch);
        // Under the lock: a scan must find each row either open or pending.
        let closed = state.take_closed();
        self.store_writer.take(closed, state.take_tap_changes());
        self.store_writer.forget_before(state.first_block());
        applied
    }

    /// What is applied from now on, until `end_fold`, is in the journal already, so that changes
    /// of tap counts need not wait for the store here: `put_folded_taps` puts them.
    pub fn begin_fold(&self) {
        self.store_writer.begin_fold();
    }

    /// What is applied from now on is kept until it is in the store.
    pub fn end_fold(&self) {
        let last = self.read().taps().last();
        let owed = (self.needed.taps < last).then_some(last);
        self.store_writer.end_fold(owed);
    }

    /// Whether tap counts can be taken in. Not so while the store opens and
    /// `TAP_CHANGES_PENDING_MAX` changes of them wait for it.
    pub fn has_room_for_taps(&self) -> bool {
        self.store_writer.has_room_for_taps()
    }

    /// The blocks that must be in a store before it is attached. (Those closed later wait for it
    /// here.)
    pub fn blocks_needed(&self) -> NeededBlocks {
        NeededBlocks {
            numbers: self.needed.first..self.needed.blocks,
            before: self.needed.first_crc,
            through: self.needed.crc,
        }
    }

    /// What must be in a store of tap counts before it is attached. To be asked for before
    /// anything is applied.
    pub fn taps_needed(&self) -> NeededTaps {
        self.read().taps().needed()
    }

    /// Hands over the opened store: pending blocks go into it, scans can be answered.
    pub fn attach_store(&self, store: Store) {
        self.store_writer.attach(store);
    }

    /// There will be no store (opening and refilling failed): blocks are let go, scans and
    /// checkpoints are refused, everything else goes on.
    pub fn give_up_store(&self) {
        self.store_writer.fail();
    }

    /// Whether the store has yet to be opened, with all that was folded, or given up: until then
    /// one may be moved aside.
    pub fn store_is_opening(&self) -> bool {
        self.store_writer.is_opening()
    }

    /// Whether the store failed, by an error of its own or by `give_up_store`.
    pub fn store_failed(&self) -> bool {
        self.store_writer.has_failed()
    }

    /// Blocks on their way to the store.
    pub fn blocks_pending(&self) -> usize {
        self.store_writer.pending()
    }

    /// About how much memory is taken by what was read of tap counts, in bytes.
    pub fn heads_bytes(&self) -> usize {
        self.heads.bytes()
    }

    /// Waits until the store has been opened or given up, at most this long. Blocking.
    pub fn wait_for_store(&self, most: Duration) {
        self.store_writer.wait_for_store(most);
    }

    /// Everything that a scan needs, as of one position.
    pub fn scan_view(&self) -> Result<ScanView, LedgerError> {
        self.scan_of(&self.read())
    }

    /// Tap counts, everything that a scan needs, and what `with` takes of the state, all as
    /// of one position.
    pub fn rate_view<T>(
        &self,
        with: impl FnOnce(&State) -> T,
    ) -> Result<(TapView<'_>, ScanView, T), LedgerError> {
        let (taps, (scan, other)) = self.tap_view(|state| (self.scan_of(state), with(state)))?;
        Ok((taps, scan?, other))
    }

    fn scan_of(&self, state: &State) -> Result<ScanView, LedgerError> {
        let kept = self.store_writer.kept()?;
        Ok(ScanView {
            store: kept.store,
            stored: kept.stored,
            pending: kept.pending,
            open: state.open_rows().to_vec(),
            withdrawn: Arc::clone(state.withdrawn()),
            outages: Arc::clone(state.outages()),
            ended: state.months().ended(),
            dictionary: Arc::clone(state.dictionary()),
            position: state.position(),
        })
    }

    /// Tap counts, and whatever else `with` takes of the state, as of one position.
    pub fn tap_view<T>(
        &self,
        with: impl FnOnce(&State) -> T,
    ) -> Result<(TapView<'_>, T), LedgerError> {
        let held = self.store_writer.hold_taps();
        let state = self.read();
        let (store, changes) = self.store_writer.kept_taps()?;
        let other = with(&state);
        let view = TapView {
            store,
            changes,
            heads: &self.heads,
            book: Arc::clone(state.taps()),
            dictionary: Arc::clone(state.dictionary()),
            position: state.position(),
            _held: held,
        };
        Ok((view, other))
    }

    /// Waits until all blocks closed and all tap counts told so far are in the store, and
    /// syncs it.
    pub fn flush_blocks(&self) -> Result<(), LedgerError> {
        let state = self.read();
        let (blocks, taps) = (state.blocks(), state.taps().last());
        drop(state);
        self.store_writer.flush(blocks, taps)
    }

    /// Flushes the blocks, then writes a checkpoint into the folder (aside, synced, renamed).
    /// Returns the position that it holds. Blocking; `apply` may go on meanwhile.
    pub fn checkpoint(&self, dir: &Path) -> Result<Position, LedgerError> {
        let state = self.read().clone();
        self.store_writer
            .flush(state.blocks(), state.taps().last())?;
        checkpoint::write(&state, dir)?;
        Ok(state.position())
    }
}

/// Why the lock is never poisoned.
const FOLD_HOLDS: &str = "the fold panics only on a bug, and then nothing may go on";

impl Drop for Ledger {
    fn drop(&mut self) {
        self.store_writer.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the store's thread has been printed already; there is nothing left to save.
            let _ = thread.join();
        }
    }
}
