//! New keys of pseudonyms in place of those that may be known to others, while no server uses the
//! folder. The journal is told at once, so that what it says of keys is never behind the file.

use std::path::Path;

use super::repair::{RepairError, open_alone};
use crate::auth::{KeyError, Keys};
use crate::domain::{Entry, Position, UtcMillis};
use crate::journal;

/// Why keys are not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// Nothing to rotate.
    #[error("there are no keys in this folder")]
    NoKeys,
    /// The folder, or its journal.
    #[error(transparent)]
    Folder(#[from] RepairError),
    /// The keys.
    #[error("the keys cannot be changed")]
    Keys(#[from] KeyError),
}

/// What was rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The quarters that have a new key, rising.
    pub periods: Vec<u32>,
    /// Where the journal says so.
    pub at: Position,
}

/// Makes new keys for the quarter that `now` lies in and for those after it. They are in use
/// from the next start on. A crash half-way leaves the new keys; the next start tells the journal
/// then.
pub fn rotate(folder: &Path, now: UtcMillis) -> Result<Rotated, RotateError> {
    if !Keys::exist(folder) {
        return Err(RotateError::NoKeys);
    }
    // First, because it locks the folder.
    let (mut writer, _) = open_alone(folder)?;
    let keys = Keys::open(folder)?;
    let today = now.hour().map(|hour| hour.local_day());
    let periods = match today {
        Some(today) => keys.rotate(today)?,
        None => Vec::new(),
    };
    let entry = journal::encode(&Entry::KeysChanged(keys.told()));
    let (at, _) = writer.append(&[entry], now).map_err(RepairError::from)?;
    Ok(Rotated { periods, at })
}
