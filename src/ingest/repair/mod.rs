//! Proving a data folder against its journal, and making again what can be made again.
//!
//! `verify` changes nothing in the journal and may run beside a server (the store, which only
//! one process can open, is left out then). `rebuild` and `restore` need the folder for
//! themselves.

mod remake;
mod verify;

use std::path::Path;

use super::clock_guard::CommandClock;
use super::folder;
use super::removal_progress::ProgressError;
use crate::domain::entry::Epoch;
use crate::domain::limits::RESTORES_MAX;
use crate::domain::{Position, Record};
use crate::journal::{self, JournalError, Reader, Settings, Writer};
use crate::ledger::{CheckpointError, LedgerError, RefillError};
use crate::store::StoreError;

pub use remake::{Rebuilt, Restored, rebuild, restore};
pub use verify::{Finding, FoldReport, Report, verify};

/// Told how many entries are done, of how many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Why a folder can be neither proven nor rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Nothing to work on.
    #[error("there is no journal in this folder")]
    NoJournal,
    /// Not while a server runs.
    #[error("a server has this folder open; stop it first")]
    InUse,
    /// Whatever it stamps, no later stamp could be before that.
    #[error("the clock is more than 35 days past the last entry, and may be wrong")]
    ClockUnsure,
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
    /// Incidents have gone, and so has what was counted of them, or it is of entries that the
    /// journal does not have.
    #[error("the journal's file `base` is missing, damaged or another's; restore it from a backup")]
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
    StillNoted(#[from] ProgressError),
    /// The old checkpoint stays in the way.
    #[error("the checkpoint cannot be set aside")]
    SetAside(#[source] std::io::Error),
    /// One that was set aside stays.
    #[error("a checkpoint that was set aside cannot be removed")]
    Aside(#[source] std::io::Error),
    /// The new state cannot be kept.
    #[error("what was made cannot be kept")]
    Ledger(#[from] LedgerError),
}

/// The journal of a folder that nobody else uses.
pub(super) struct Alone {
    /// It locks the folder for as long as it lives.
    pub writer: Writer,
    /// The same journal's.
    pub reader: Reader,
}

/// Opens the journal of a folder that nobody else uses, unless it ends before the entry that
/// `durable` names for its epoch.
pub(super) fn open_alone(
    folder: &Path,
    durable: impl FnOnce(Epoch) -> Position,
) -> Result<Alone, RepairError> {
    let path = folder::journal(folder);
    if !journal::exists(&path)? {
        return Err(RepairError::NoJournal);
    }
    if journal::is_in_use(&path)? {
        return Err(RepairError::InUse);
    }
    let (writer, reader, _) = journal::open_through(&path, Settings::default(), durable)?;
    Ok(Alone { writer, reader })
}

impl Alone {
    /// Refuses a clock that is not believed at once: what is destroyed by the stamps is gone for
    /// good, and here nothing waits until it has lasted.
    pub fn check_clock(&self, clock: CommandClock) -> Result<(), RepairError> {
        if clock.check.believes(clock.now, self.writer.last_stamp()) {
            Ok(())
        } else {
            Err(RepairError::ClockUnsure)
        }
    }
}

fn tell(progress: Progress<'_>, batch: &[Record], total: u64) {
    if let Some(record) = batch.last() {
        progress(record.position.0, total);
    }
}
