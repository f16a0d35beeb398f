//! Makes the blocks of a lost store again from the entries of the journal, while new ones go
//! on being produced. Which entries counted, and under which numbers, is asked of the state;
//! so it costs no memory, and the bytes come out the same.

use std::sync::Arc;

use super::ids::IdIndex;
use super::state::ClosedBlock;
use super::{Ledger, Needed};
use crate::domain::limits::BLOCK_ROWS;
use crate::domain::{Entry, Position, Row, Stamp};
use crate::store::block::Block;
use crate::store::{Store, StoreError};

/// Entries looked up under one lock.
const ENTRIES_PER_LOCK: usize = 512;
/// Blocks put into the store at once.
const PUT_BLOCKS: usize = 64;

/// Why a store could not be refilled.
#[derive(Debug, thiserror::Error)]
pub enum RefillError<E> {
    /// The entries ended with this error.
    #[error("the journal cannot be read")]
    Journal(#[source] E),
    /// Fewer entries than were folded.
    #[error("the journal ends before the blocks that the ledger counts")]
    Short,
    /// The checkpoint was made of other entries.
    #[error("the journal makes other blocks than the ledger counts")]
    Differs,
    /// The new store.
    #[error("the store does not answer")]
    Store(#[source] StoreError),
}

impl Ledger {
    /// Fills an empty store with blocks `0..blocks_needed()`, made again from the entries of
    /// the journal (from its first on; personal parts are not needed), and attaches it.
    /// Blocking: call it on a thread of its own; `apply` may go on meanwhile. After an error
    /// nothing is attached: try again, or call `give_up_store`.
    pub fn refill<E>(
        &self,
        store: Store,
        entries: impl Iterator<Item = Result<(Position, Stamp, Entry), E>>,
    ) -> Result<(), RefillError<E>> {
        let mut filler = Filler::new(store.clone(), self.needed);
        let mut forgotten = IdIndex::new(self.read().epoch());
        let mut entries = entries.peekable();
        while !filler.is_full() && entries.peek().is_some() {
            let next = entries.by_ref().take(ENTRIES_PER_LOCK);
            let next = next.collect::<Result<Vec<_>, E>>();
            for row in self.counted_rows(&next.map_err(RefillError::Journal)?, &mut forgotten) {
                filler.push(row).map_err(RefillError::Store)?;
            }
        }
        filler.finish()?;
        self.attach_store(store);
        Ok(())
    }

    fn counted_rows(
        &self,
        entries: &[(Position, Stamp, Entry)],
        forgotten: &mut IdIndex,
    ) -> Vec<Row> {
        let state = self.read();
        let row = |(position, _, entry): &(Position, Stamp, Entry)| match entry {
            Entry::Incident { facts, .. } => state.counted_row(*position, facts, forgotten),
            Entry::Withdrawn { .. } | Entry::Tick | Entry::NetworkChanged { .. } => None,
        };
        entries.iter().filter_map(row).collect()
    }
}

/// Packs rows and puts them, until there are as many blocks as needed.
struct Filler {
    store: Store,
    needed: Needed,
    made: Needed,
    rows: Vec<Row>,
    blocks: Vec<ClosedBlock>,
}

impl Filler {
    fn new(store: Store, needed: Needed) -> Self {
        Self {
            store,
            needed,
            made: Needed { blocks: 0, crc: 0 },
            rows: Vec::with_capacity(BLOCK_ROWS),
            blocks: Vec::with_capacity(PUT_BLOCKS),
        }
    }

    fn is_full(&self) -> bool {
        self.made.blocks == self.needed.blocks
    }

    /// Rows after the last block needed are left out.
    fn push(&mut self, row: Row) -> Result<(), StoreError> {
        if self.is_full() {
            return Ok(());
        }
        self.rows.push(row);
        if self.rows.len() < BLOCK_ROWS {
            return Ok(());
        }
        let bytes: Arc<[u8]> = Block::pack(self.made.blocks, &self.rows).into();
        self.rows.clear();
        self.made.crc = crc32c::crc32c_append(self.made.crc, &bytes);
        self.blocks.push((self.made.blocks, bytes));
        self.made.blocks += 1;
        if self.blocks.len() == PUT_BLOCKS {
            self.put()?;
        }
        Ok(())
    }

    fn put(&mut self) -> Result<(), StoreError> {
        self.store.put_blocks(&self.blocks)?;
        self.blocks.clear();
        Ok(())
    }

    fn finish<E>(mut self) -> Result<(), RefillError<E>> {
        if !self.is_full() {
            return Err(RefillError::Short);
        }
        if self.made.crc != self.needed.crc {
            return Err(RefillError::Differs);
        }
        self.put().map_err(RefillError::Store)?;
        self.store.sync().map_err(RefillError::Store)
    }
}
