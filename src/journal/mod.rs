//! The ordered log of everything that happened: the only truth. (skeleton)

use crate::domain::entry::Epoch;
use crate::domain::{Entry, Position, Stamp, UtcMillis};
use std::path::Path;

/// Why the journal cannot be opened, read or appended to.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{0}")]
    Todo(String),
}

/// An entry, encoded by `encode`: done in the task that made it, not in the committer.
pub struct Encoded {
    pub facts: Vec<u8>,
    pub personal: Vec<u8>,
}

/// Encodes an entry.
pub fn encode(_entry: &Entry) -> Encoded {
    todo!()
}

/// One entry as read back.
pub struct Record {
    pub position: Position,
    pub stamp: Stamp,
    pub entry: Entry,
}

/// How opening went.
pub struct Opening {
    pub records: u64,
    pub torn_bytes: u64,
}

/// Appends. One owner: the committer.
pub struct Writer;
/// Reads. Cheap to clone; reads while the writer appends.
#[derive(Clone)]
pub struct Reader;

/// Settings of a journal.
#[derive(Clone, Copy)]
pub struct Settings {
    pub segment_bytes: u64,
    /// false only for the control of the power-cut test
    pub sync: bool,
}

/// Opens the journal in `dir`, creating it if there is none; cuts a torn tail; refuses damage.
pub fn open(_dir: &Path, _settings: Settings) -> Result<(Writer, Reader, Opening), JournalError> {
    todo!()
}

impl Writer {
    pub fn epoch(&self) -> Epoch {
        todo!()
    }
    /// Position of the last entry; 0 if there is none.
    pub fn last(&self) -> Position {
        todo!()
    }
    /// Stamp of the last entry.
    pub fn last_stamp(&self) -> Stamp {
        todo!()
    }
    /// Appends and makes durable. Returns the position of the first and the stamp given to all
    /// (the later of `now` and the stamp before). After an error the writer is poisoned.
    pub fn append(
        &mut self,
        _batch: &[Encoded],
        _now: UtcMillis,
    ) -> Result<(Position, Stamp), JournalError> {
        todo!()
    }
}

impl Reader {
    pub fn epoch(&self) -> Epoch {
        todo!()
    }
    pub fn last(&self) -> Position {
        todo!()
    }
    /// The oldest position that can be read.
    pub fn horizon(&self) -> Position {
        todo!()
    }
    /// One entry.
    pub fn entry(&self, _position: Position) -> Result<Option<Record>, JournalError> {
        todo!()
    }
    /// Facts only (personal = None) from a position on, in order, through what is durable now.
    pub fn facts_from(
        &self,
        _from: Position,
    ) -> Result<Box<dyn Iterator<Item = Result<Record, JournalError>> + Send>, JournalError> {
        todo!()
    }
    /// As `facts_from`, with the personal parts.
    pub fn entries_from(
        &self,
        _from: Position,
    ) -> Result<Box<dyn Iterator<Item = Result<Record, JournalError>> + Send>, JournalError> {
        todo!()
    }
    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
}
