//! What can go wrong with a store or a block, and what it calls for.

use std::io;
use std::path::{Path, PathBuf};

use crate::domain::LocalDay;

/// Why bytes are not the block that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// Cut short, or longer than its header says.
    #[error("wrong length")]
    Length,
    /// Written by another version.
    #[error("unknown format")]
    Format,
    /// Bytes have changed since it was written.
    #[error("wrong checksum")]
    Checksum,
    /// Another block than was looked for.
    #[error("number of another block")]
    Number,
}

/// Why the store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store in the folder.
    #[error("no store in {}", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// Another process has it open, or is just ending.
    #[error("the store is in use by another process")]
    Locked,
    /// sled opened it, but what every store holds is not there.
    #[error("the store has come back empty")]
    Empty,
    /// Written by another version.
    #[error("the store has the unknown format {found}")]
    Format {
        /// The format's number.
        found: u8,
    },
    /// It was made from another journal.
    #[error("the store belongs to another journal")]
    Epoch,
    /// A block that should be there is not.
    #[error("block {number} is missing from the store")]
    BlockMissing {
        /// The first one noticed.
        number: u32,
    },
    /// A block was let go after it was asked for: whoever asks again is not led to it.
    #[error("block {number} is kept no longer")]
    BlockForgotten {
        /// The first one noticed.
        number: u32,
    },
    /// A block is not what was put.
    #[error("block {number} is damaged")]
    BlockInvalid {
        /// The first one noticed.
        number: u32,
        /// What is wrong with it.
        source: InvalidBlock,
    },
    /// The blocks are whole, and not those that the checkpoint counts.
    #[error("blocks come from other entries than those that the checkpoint counts")]
    BlocksDiffer,
    /// Tap counts that should be there are not.
    #[error("tap counts of {day} are missing from the store")]
    TapsMissing {
        /// Of the first block noticed.
        day: LocalDay,
    },
    /// Tap counts are not what was put.
    #[error("tap counts of {day} are damaged")]
    TapsInvalid {
        /// Of the first block noticed.
        day: LocalDay,
        /// What is wrong with it.
        source: InvalidBlock,
    },
    /// Tap counts stand under a key that is none.
    #[error("tap counts stand under an unknown key")]
    TapsKey,
    /// Tap counts come from entries that the journal does not have.
    #[error("tap counts come from entries that the journal does not have")]
    TapsAhead,
    /// Tap counts lack entries that the checkpoint counts.
    #[error("tap counts are from before the checkpoint")]
    TapsBehind,
    /// A store of an earlier version.
    #[error("it cannot be told which entries tap counts come from")]
    TapsUnmarked,
    /// What tells which entries tap counts come from is not what was put.
    #[error("it is damaged which entries tap counts come from")]
    TapsMarkInvalid {
        /// What is wrong with it.
        source: InvalidBlock,
    },
    /// sled found its own files damaged.
    #[error("cannot {action} the store")]
    Damaged {
        /// What was tried.
        action: &'static str,
        /// What sled says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// sled panicked, as it does on some kinds of damage.
    #[error("cannot {action} the store: sled panicked")]
    Panicked {
        /// What was tried.
        action: &'static str,
    },
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system gave no threads to scan with.
    #[error("cannot start the threads of the store")]
    Threads {
        /// What the system says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A flush failed before.
    #[error("the store refuses to write, because a flush has failed")]
    Poisoned,
}

impl StoreError {
    /// Whether a store rebuilt from the journal would be free of it. Not so for a store in
    /// use and where the system refuses: the store may be whole, and is found so by a later start.
    pub fn calls_for_rebuild(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::Empty
            | Self::Format { .. }
            | Self::Epoch
            | Self::BlockMissing { .. }
            | Self::BlockInvalid { .. }
            | Self::BlocksDiffer
            | Self::TapsMissing { .. }
            | Self::TapsInvalid { .. }
            | Self::TapsKey
            | Self::TapsAhead
            | Self::TapsBehind
            | Self::TapsUnmarked
            | Self::TapsMarkInvalid { .. }
            | Self::Damaged { .. }
            | Self::Panicked { .. } => true,
            Self::BlockForgotten { .. }
            | Self::Locked
            | Self::Io { .. }
            | Self::Threads { .. }
            | Self::Poisoned => false,
        }
    }

    /// Whether it was refused as nothing may be written there, whatever the store holds.
    pub fn is_of_read_only(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        let refused = [PermissionDenied, ReadOnlyFilesystem];
        matches!(self, Self::Io { source, .. } if refused.contains(&source.kind()))
    }

    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }
}

pub(super) fn of_sled(action: &'static str, error: sled::Error) -> StoreError {
    match error {
        // sled tells a lock apart by its words only.
        sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
            StoreError::Locked
        }
        sled::Error::Io(source) if is_of_the_system(&source) => {
            StoreError::io(action, Path::new("the store"), source)
        }
        // A file cut short, one that the disk cannot give back, or something sled cannot make
        // sense of.
        error => StoreError::Damaged {
            action,
            source: error.into(),
        },
    }
}

/// Whether another store in the same place would meet the same.
fn is_of_the_system(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let number = Errno::from_io_error(error);
    matches!(number, Some(Errno::MFILE | Errno::NFILE))
        || matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied
                | io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::OutOfMemory
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::Interrupted
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_is_made_again_only_where_that_would_help() {
        let check = |error: io::Error, calls_for_rebuild| {
            let told = format!("{error:?}");
            let error = of_sled("open", sled::Error::Io(error));
            assert_eq!(error.calls_for_rebuild(), calls_for_rebuild, "{told}");
        };
        for kind in [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::InvalidData,
            io::ErrorKind::InvalidInput,
            io::ErrorKind::NotFound,
            io::ErrorKind::Other,
        ] {
            check(kind.into(), true);
        }
        for kind in [
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::StorageFull,
            io::ErrorKind::ReadOnlyFilesystem,
            io::ErrorKind::OutOfMemory,
        ] {
            check(kind.into(), false);
        }
        let too_many_open_files = rustix::io::Errno::MFILE.raw_os_error();
        check(io::Error::from_raw_os_error(too_many_open_files), false);
        let unreadable_sector = rustix::io::Errno::IO.raw_os_error();
        check(io::Error::from_raw_os_error(unreadable_sector), true);
        let locked = io::Error::other("could not acquire lock on the store");
        check(locked, false);
    }
}
