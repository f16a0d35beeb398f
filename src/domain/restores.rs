//! Restores: where a record went on from a copy, and the epoch that it has from there on.
//!
//! What came after the copy had positions, too, that other entries have now. So whatever stands
//! for a position has to tell on which side of a restore it was given out.

use super::entry::{Epoch, Position};

/// A record went on from a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Where the journal says so: all before this position was in the copy.
    pub at: Position,
    /// The journal's identity from there on.
    pub epoch: Epoch,
}

/// All restores of a record, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restores(Vec<Restore>);

impl Restores {
    /// Adds the next. False, and not added, if it does not come after the last.
    pub fn tell(&mut self, restore: Restore) -> bool {
        let is_later = self.0.last().is_none_or(|last| last.at < restore.at);
        if is_later {
            self.0.push(restore);
        }
        is_later
    }

    /// Each of them.
    pub fn all(&self) -> &[Restore] {
        &self.0
    }

    /// The journal's identity now; `None` if it is that of its creation.
    pub fn epoch(&self) -> Option<Epoch> {
        self.0.last().map(|last| last.epoch)
    }
}
