//! The base: the fold through the end of a month, without single incidents. It stands in the
//! place of the entries about them, once these are gone, and every later fold begins with it.
//!
//! It lies with the journal, as a checkpoint does beside it: it is part of the truth, and
//! belongs in each backup. Fold versions may raise while a base lies there, so whoever changes
//! the fold must see that bases of `checkpoint::BASE_FOLD_MIN` on are still read.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::checkpoint::{self, CheckpointError};
use super::state::State;
use crate::domain::entry::{Epoch, IncidentEvent};
use crate::domain::{Entry, Position, Stamp};

/// The name of the file, in the journal's folder.
pub const FILE: &str = "base";

/// The state to begin a fold with, from the base in a journal's folder; `None` if there is none.
pub fn read(journal: &Path, epoch: Epoch) -> Result<Option<State>, CheckpointError> {
    let mut state = checkpoint::read_named(journal, FILE, epoch)?;
    if let Some(state) = &mut state {
        state.begin_as_base();
    }
    Ok(state)
}

/// Writes a base into a journal's folder, replacing an earlier one; survives a power cut.
/// Returns its SHA-256.
pub fn write(state: &State, journal: &Path) -> Result<[u8; 32], CheckpointError> {
    checkpoint::write_named(state, journal, FILE)?;
    Ok(sha256(journal)?)
}

/// SHA-256 of the base in a journal's folder.
pub fn sha256(journal: &Path) -> io::Result<[u8; 32]> {
    let mut file = std::fs::File::open(journal.join(FILE))?;
    let mut sha256 = Sha256::new();
    io::copy(&mut file, &mut sha256)?;
    Ok(sha256.finalize().into())
}

/// Makes a base out of the one before and the entries after it.
pub struct BaseMaker {
    state: State,
    through: Position,
    /// Incidents that entries after the base are about.
    kept: BTreeSet<Position>,
}

impl BaseMaker {
    /// Begins with an empty state, or with the base before, to make the base through the end
    /// of a month.
    pub fn new(before: State, through: Position) -> Self {
        Self {
            state: before,
            through,
            kept: BTreeSet::new(),
        }
    }

    /// The first entry to take.
    pub fn next(&self) -> Position {
        self.state.position().next()
    }

    /// Takes the next entry. Returns the base at the one that says that single incidents are
    /// kept no longer: nothing later is about them.
    pub fn take(&mut self, position: Position, stamp: Stamp, entry: &Entry) -> Option<State> {
        if position <= self.through {
            self.state.apply(position, stamp, entry);
            // They are in the store, or are going from it.
            self.state.take_closed();
            self.state.take_tap_changes();
            return None;
        }
        self.state.turn_month(stamp);
        if matches!(entry, Entry::IncidentsEnded { through, .. } if *through == self.through) {
            let mut base = self.state.clone();
            base.forget_all_but(&self.kept, stamp);
            return Some(base);
        }
        let about = match entry.incident_event() {
            Some(IncidentEvent::Withdrawn { id, .. } | IncidentEvent::Erased { id, .. }) => {
                Some(id)
            }
            Some(IncidentEvent::Amended(amendment)) => Some(amendment.id),
            Some(IncidentEvent::Answered(answer)) => Some(answer.id),
            // Reported after the end: nothing of it is in the base.
            Some(IncidentEvent::Reported { .. }) | None => None,
        };
        let incident = about.and_then(|id| self.state.find(&id));
        self.kept.extend(incident);
        None
    }
}
