//! sled, behind a wall: blocks of incidents, packed by column. Can always be rebuilt from the
//! journal. (skeleton)

mod bits;
pub mod block;

use crate::domain::entry::Epoch;
use std::ops::Range;
use std::path::Path;

/// Why the store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{0}")]
    Todo(String),
    #[error("block {number} of the store is damaged")]
    Block { number: u32, source: InvalidBlock },
}

pub use block::{Block, Columns, InvalidBlock, Summary};

/// The open store. Cheap to clone.
#[derive(Clone)]
pub struct Store;

impl Store {
    /// Opens the store of the journal with this epoch and checks every block that should be
    /// there (`blocks` of them, numbers 0..blocks): checksum, number, contiguity. A store of
    /// another epoch or format, with fewer blocks, or damaged, is an error that says so; the
    /// caller moves it aside (`set_aside`) and rebuilds.
    pub fn open(_dir: &Path, _epoch: Epoch, _blocks: u32) -> Result<Self, StoreError> {
        todo!()
    }
    /// A new, empty store; anything in the folder is moved aside first.
    pub fn create(_dir: &Path, _epoch: Epoch) -> Result<Self, StoreError> {
        todo!()
    }
    /// Moves a store aside, so that a new one can be built. Returns where to.
    pub fn set_aside(_dir: &Path) -> Result<Option<std::path::PathBuf>, StoreError> {
        todo!()
    }
    /// Writes blocks (number, bytes of `Block::pack`); the same number again replaces.
    pub fn put_blocks(&self, _blocks: &[(u32, std::sync::Arc<[u8]>)]) -> Result<(), StoreError> {
        todo!()
    }
    /// Calls `each` for every block of the range that `wants` its summary, in any order, on
    /// several threads, with these columns unpacked and a state per thread; returns the
    /// states. Leaves no more than a bounded cache in memory.
    pub fn scan<S: Send>(
        &self,
        _range: Range<u32>,
        _columns: Columns,
        _wants: impl Fn(&Summary) -> bool + Sync,
        _state: impl Fn() -> S + Sync,
        _each: impl Fn(&mut S, u32, &Block) + Sync,
    ) -> Result<Vec<S>, StoreError> {
        todo!()
    }
    /// flush + fdatasync of the file below: after it, what was put survives a power cut.
    pub fn sync(&self) -> Result<(), StoreError> {
        todo!()
    }
    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
}
