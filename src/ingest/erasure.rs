//! Zeroes the personal parts of an erased incident: its own, and those of its answers.
//!
//! The entry that says so is durable and applied first. If a crash comes in between, the next
//! start zeroes again: it looks at every erased incident, and leaves those alone of which
//! nothing is left.

use crate::domain::{Entry, IncidentId, Position};
use crate::journal::{JournalError, Writer};
use crate::ledger::{Case, Ledger};

/// Places of the incidents that entries erase.
pub(super) fn incidents(entries: &[Entry]) -> Vec<Position> {
    let incident = |entry: &Entry| match entry {
        Entry::Erased { incident, .. } => Some(*incident),
        _ => None,
    };
    entries.iter().filter_map(incident).collect()
}

/// The place, among entries, of an erasure of this incident.
pub(super) fn place_in(entries: &[Entry], id: &IncidentId) -> Option<usize> {
    let mut entries = entries.iter();
    entries.position(|entry| matches!(entry, Entry::Erased { id: other, .. } if other == id))
}

/// Zeroes what is left of these incidents, as far as the ledger has them as erased.
pub(super) fn erase(
    writer: &mut Writer,
    ledger: &Ledger,
    incidents: &[Position],
) -> Result<(), JournalError> {
    for incident in incidents {
        let places = {
            let state = ledger.read();
            let case = state.cases().get(*incident);
            case.map_or(Vec::new(), |case| places(*incident, case))
        };
        for place in places {
            writer.erase_personal(place)?;
        }
    }
    Ok(())
}

/// Zeroes what a crash left of erased incidents.
pub(super) fn finish(writer: &mut Writer, ledger: &Ledger) -> Result<(), JournalError> {
    let erased: Vec<Position> = {
        let state = ledger.read();
        let cases = state.cases().iter();
        let erased = cases.filter(|(_, case)| case.erased.is_some());
        erased.map(|(incident, _)| incident).collect()
    };
    erase(writer, ledger, &erased)
}

fn places(incident: Position, case: &Case) -> Vec<Position> {
    if case.erased.is_none() {
        return Vec::new();
    }
    let replies = case.replies.iter().map(|reply| reply.at);
    std::iter::once(incident).chain(replies).collect()
}
