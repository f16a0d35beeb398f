//! The fold of journal entries into tallies, blocks and the filter of ids. (skeleton)

pub mod cube;
pub mod dictionary;
pub mod tallies;
#[cfg(test)]
pub(crate) mod testing;

use crate::domain::entry::Epoch;
use crate::domain::{Entry, IncidentId, Position, Row, Stamp};
use crate::store::Store;
use std::path::Path;
use std::sync::{Arc, RwLockReadGuard};

pub use cube::{Cells, Cube};
pub use dictionary::Dictionary;
pub use tallies::{Attribute, AttributeTally, Tallies};

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Counted. The row is what was counted.
    Recorded { row: Row },
    /// The id had been recorded before, at this position; nothing was counted. (Whether the content
    /// is the same is decided by comparing digests in the journal.)
    Repeated { first: Position },
    /// Withdrawn: this row (with the position at which it was recorded) counts no more.
    Withdrawn { row: Row },
    /// A withdrawal of an incident that is unknown or withdrawn already: nothing changed.
    Nothing,
    /// A tick or a change of network.
    Noted,
}

/// The state: a pure function of the entries applied. Cloning is cheap (rows are shared).
#[derive(Clone)]
pub struct State;

impl State {
    pub fn new(_epoch: Epoch) -> Self {
        todo!()
    }
    /// Applies the entry at the next position.
    pub fn apply(&mut self, _position: Position, _stamp: Stamp, _entry: &Entry) -> Applied {
        todo!()
    }
    /// The identity of the journal that is folded.
    pub fn epoch(&self) -> Epoch {
        todo!()
    }
    /// The last position applied.
    pub fn position(&self) -> Position {
        todo!()
    }
    pub fn stamp(&self) -> Stamp {
        todo!()
    }
    /// The network last noted in the journal: its version and SHA-256.
    pub fn network(&self) -> Option<(u32, [u8; 32])> {
        todo!()
    }
    /// Where an incident was recorded.
    pub fn find(&self, _id: &IncidentId) -> Option<Position> {
        todo!()
    }
    pub fn is_withdrawn(&self, _position: Position) -> bool {
        todo!()
    }
    pub fn tallies(&self, _basis: crate::domain::Basis) -> &Tallies {
        todo!()
    }
    pub fn dictionary(&self) -> &Arc<Dictionary> {
        todo!()
    }
    /// Closed blocks so far: numbers 0..n.
    pub fn blocks(&self) -> u32 {
        todo!()
    }
    /// Rows of the open block.
    pub fn open_rows(&self) -> &[Row] {
        todo!()
    }
    /// Withdrawn positions, rising.
    pub fn withdrawn(&self) -> &std::collections::BTreeSet<Position> {
        todo!()
    }
    /// Rows of the last 25 hours known at least to the minute, by minute, withdrawn ones left out.
    pub fn recent(&self) -> &Recent {
        todo!()
    }
    /// Digest of everything that the fold made, for `verify`: equal states have equal digests.
    pub fn digest(&self) -> [u8; 32] {
        todo!()
    }
}

/// Rows of the last 25 hours, by minute of the tap. Cheap to clone (minutes are shared): the
/// publisher counts a clone, off the lock.
#[derive(Clone)]
pub struct Recent;
impl Recent {
    /// From which minute on it is complete.
    pub fn complete_from(&self) -> crate::domain::Minute {
        todo!()
    }
    /// Rows of the minutes in `[from, to)`.
    pub fn rows(
        &self,
        _from: crate::domain::Minute,
        _to: crate::domain::Minute,
    ) -> impl Iterator<Item = &Row> {
        [].iter()
    }
}

/// The state with its lock, the store beside it and the blocks on their way to it.
pub struct Ledger;

/// Why something cannot be answered now.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the store is still opening")]
    StoreOpening,
    #[error("the store failed and answers nothing until the next start")]
    StoreFailed,
    #[error("the store does not answer")]
    Store(#[from] crate::store::StoreError),
    #[error("the checkpoint cannot be written")]
    Checkpoint(#[from] CheckpointError),
}

/// Why a checkpoint cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("the checkpoint cannot be read or written")]
    Io(#[from] std::io::Error),
    #[error("the checkpoint is damaged: {0}")]
    Damaged(&'static str),
    #[error("the checkpoint is of another format or fold")]
    Format,
    #[error("the checkpoint is of another journal")]
    Epoch,
}

/// Everything that a scan needs, as of one position.
pub struct ScanView {
    pub store: Store,
    pub stored: std::ops::Range<u32>,
    pub pending: Vec<(u32, Arc<[u8]>)>,
    pub open: Vec<Row>,
    pub withdrawn: Arc<std::collections::BTreeSet<Position>>,
    pub dictionary: Arc<Dictionary>,
    pub position: Position,
}

impl Ledger {
    /// Begins with a state (empty, or of `read_checkpoint`) and starts the keeper thread. Blocks
    /// that the state counts are taken to be in the store that will be attached, or refilled.
    pub fn new(_state: State) -> Self {
        todo!()
    }
    /// The state of the checkpoint in a folder; `None` if there is none.
    pub fn read_checkpoint(_dir: &Path, _epoch: Epoch) -> Result<Option<State>, CheckpointError> {
        todo!()
    }
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        todo!()
    }
    /// Applies a batch under one lock; closed blocks go to the keeper thread, which puts them
    /// into the store; waits when `BLOCKS_PENDING_MAX` of them are pending.
    pub fn apply(&self, _batch: &[(Position, Stamp, Entry)]) -> Vec<Applied> {
        todo!()
    }
    /// Blocks that must be in a store before it is attached: numbers 0..n. (Those closed later
    /// wait for it in the ledger.)
    pub fn blocks_needed(&self) -> u32 {
        todo!()
    }
    /// Hands over the opened store: pending blocks go into it, scans can be answered.
    pub fn attach_store(&self, _store: Store) {
        todo!()
    }
    /// Fills an empty store with blocks `0..blocks_needed()`, made again from the entries of
    /// the journal (from its first on, personal parts not needed), and attaches it. Blocking:
    /// call it on a thread of its own; `apply` may go on meanwhile. Stops early with the
    /// error that the entries end with.
    pub fn refill<E>(
        &self,
        _store: Store,
        _entries: impl Iterator<Item = Result<(Position, Stamp, Entry), E>>,
    ) -> Result<(), RefillError<E>> {
        todo!()
    }
    /// There will be no store (opening and refilling failed): blocks are let go, scans and
    /// checkpoints are refused, everything else goes on.
    pub fn give_up_store(&self) {
        todo!()
    }
    /// Whether the store failed, by an error of its own or by `give_up_store`.
    pub fn store_failed(&self) -> bool {
        todo!()
    }
    pub fn scan_view(&self) -> Result<ScanView, LedgerError> {
        todo!()
    }
    /// Waits until all blocks closed so far are in the store, and syncs it.
    pub fn flush_blocks(&self) -> Result<(), LedgerError> {
        todo!()
    }
    /// Flushes the blocks, then writes a checkpoint into the folder (aside, synced, renamed).
    /// Returns the position that it holds. Blocking; `apply` may go on meanwhile.
    pub fn checkpoint(&self, _dir: &Path) -> Result<Position, LedgerError> {
        todo!()
    }
}

/// Why a store could not be refilled.
#[derive(Debug, thiserror::Error)]
pub enum RefillError<E> {
    #[error("the journal cannot be read")]
    Journal(#[source] E),
    #[error("the journal ends before the blocks that the ledger counts")]
    Short,
    #[error("the store does not answer")]
    Store(#[source] crate::store::StoreError),
}
