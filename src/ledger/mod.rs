//! The fold of journal entries into tallies, blocks and the filter of ids. (skeleton)

pub mod cube;
pub mod dictionary;
pub mod tallies;

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
    /// Withdrawn: this row counts no more.
    Withdrawn { first: Position },
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
    ) -> Box<dyn Iterator<Item = &Row> + '_> {
        todo!()
    }
}

/// The state with its lock, the store beside it and the blocks on their way to it.
pub struct Ledger;

/// Why something cannot be answered now.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the store is still opening")]
    StoreOpening,
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error("{0}")]
    Todo(String),
}

/// Everything that a scan needs, as of one position.
pub struct ScanView {
    pub store: Store,
    pub stored: std::ops::Range<u32>,
    pub pending: Vec<(u32, Arc<[u8]>)>,
    pub open: Vec<Row>,
    pub withdrawn: std::collections::BTreeSet<Position>,
    pub dictionary: Arc<Dictionary>,
    pub position: Position,
}

impl Ledger {
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        todo!()
    }
    /// Applies a batch under one lock; closed blocks go to the keeper thread, which puts them
    /// into the store; waits when `BLOCKS_PENDING_MAX` of them are pending.
    pub fn apply(&self, _batch: &[(Position, Stamp, Entry)]) -> Vec<Applied> {
        todo!()
    }
    pub fn scan_view(&self) -> Result<ScanView, LedgerError> {
        todo!()
    }
    /// Writes a checkpoint beside the journal (aside, synced, renamed). Needs the store synced first.
    pub fn checkpoint(&self, _dir: &Path) -> Result<(), LedgerError> {
        todo!()
    }
}
