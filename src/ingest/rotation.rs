//! New keys in place of those that may be known to others, while no server uses the folder. Of
//! those of pseudonyms the journal is told at once, so that what it says of keys is never behind
//! the file. One of receipts joins those of before.

use std::path::Path;

use super::clock_guard::CommandClock;
use super::removal_progress::{ProgressError, RemovalProgress, digest};
use super::repair::{RepairError, open_alone};
use super::start::durable_through;
use crate::auth::{KeyError, Keys, ReceiptKeys};
use crate::domain::{Entry, Position, UtcMillis};
use crate::journal;

/// Why keys are not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// Nothing to rotate.
    #[error("there are no keys in this folder")]
    NoKeys,
    /// Its receipts cannot be checked any more, which a new file would hide.
    #[error("there are no keys of receipts in this folder")]
    NoReceiptKeys,
    /// None that is in use now or later.
    #[error("there is no key of this quarter or a later one; the next start makes them")]
    NoneInUse,
    /// The clock.
    #[error("the clock is not within the supported years")]
    Clock,
    /// The folder, or its journal.
    #[error(transparent)]
    Folder(#[from] RepairError),
    /// The keys.
    #[error("the keys cannot be changed")]
    Keys(#[from] KeyError),
}

/// What was rotated.
#[derive(Debug)]
pub struct Rotated {
    /// The quarters that have a new key, rising.
    pub periods: Vec<u32>,
    /// Those that keep theirs, as they are over and only late reports come under it, rising.
    pub kept: Vec<u32>,
    /// Where the journal says so.
    pub at: Position,
    /// Why it is not noted beside the journal; the next start says the same there once more then.
    pub unnoted: Option<ProgressError>,
}

/// Makes new keys for the quarter of the clock's time and for those after it. They are in use
/// from the next start on. A crash half-way leaves the new keys; the next start tells the journal
/// then. Of the month in which a key is replaced an edition counts what was told under one of both
/// keys, so that nobody is two people. Quarters that are over keep theirs until it is destroyed: for
/// them it would only leave out who reports late.
pub fn rotate(folder: &Path, clock: CommandClock) -> Result<Rotated, RotateError> {
    if !Keys::exist(folder) {
        return Err(RotateError::NoKeys);
    }
    let today = clock.now.hour().ok_or(RotateError::Clock)?.local_day();
    // First, because it locks the folder. A journal that lost entries is refused, as by a start:
    // what is written after them would take their places, and hide the loss.
    let mut alone = open_alone(folder, |epoch| durable_through(folder, epoch))?;
    alone.check_clock(clock)?;
    let keys = Keys::open(folder)?;
    let periods = keys.rotate(today)?;
    if periods.is_empty() {
        return Err(RotateError::NoneInUse);
    }
    let told = keys.told();
    let done = RemovalProgress {
        keys: Some(digest(&told)),
        ..RemovalProgress::read(folder)
    };
    let entry = journal::encode(&Entry::KeysChanged(told));
    let (at, _) = alone
        .writer
        .append(&[entry], clock.now)
        .map_err(RepairError::from)?;
    let unnoted = done.write(folder).err();
    let known = keys.known_periods().into_iter();
    let kept = known.filter(|period| !periods.contains(period)).collect();
    Ok(Rotated {
        periods,
        kept,
        at,
        unnoted,
    })
}

/// Which key of receipts was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptKeyMade {
    /// What is received from here on is signed with it.
    pub from: UtcMillis,
    /// How many keys there are with it.
    pub keys: usize,
}

/// Makes another key of receipts, which signs what is received from the clock's time on, and from
/// after the last entry on in any case: whatever was received has been signed with the key of its
/// time, and is again whenever its receipt is asked for.
pub fn rotate_receipts(folder: &Path, clock: CommandClock) -> Result<ReceiptKeyMade, RotateError> {
    // First, because it locks the folder: a server that runs would go on to sign with the old key.
    let alone = open_alone(folder, |epoch| durable_through(folder, epoch))?;
    alone.check_clock(clock)?;
    if !ReceiptKeys::exist(folder) {
        return Err(RotateError::NoReceiptKeys);
    }
    let mut keys = ReceiptKeys::open(folder)?;
    let after_last = UtcMillis(alone.writer.last_stamp().0.saturating_add(1));
    let from = keys.add(folder, clock.now.max(after_last))?;
    Ok(ReceiptKeyMade {
        from,
        keys: keys.count(),
    })
}
