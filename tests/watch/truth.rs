//! What the journal of a server that ended says of incidents.

use std::collections::HashMap;
use std::path::Path;

use mistap::domain::{Entry, Facts, IncidentId, Position};
use mistap::journal;

use crate::history::{Happening, Kind};

/// Everything that happened, in the order of the journal, with the incident's operator: an id
/// counts where it first stands, and is withdrawn once.
pub fn read_journal(folder: &Path) -> Vec<(String, Happening)> {
    let (reader, _) = journal::open_reader(&folder.join("journal")).expect("a journal");
    let mut recorded = HashMap::<IncidentId, Known>::new();
    let mut all = Vec::new();
    for record in reader.entries_from(Position(1)).expect("readable") {
        let record = record.expect("sound");
        let position = record.position.0;
        let (facts, kind) = match record.entry {
            Entry::Incident { facts, .. } => {
                if recorded.contains_key(&facts.id) {
                    continue;
                }
                let known = Known {
                    first: position,
                    row: position,
                    counts: true,
                    facts: facts.clone(),
                };
                recorded.insert(facts.id, known);
                (facts, Kind::Recorded)
            }
            Entry::Withdrawn { id, facts, row } => {
                let Some(known) = recorded.get_mut(&id).filter(|it| it.is_now(row)) else {
                    continue;
                };
                known.counts = false;
                (facts, Kind::Withdrawn(known.first))
            }
            Entry::Amended(amendment) => {
                let known = recorded.get_mut(&amendment.id);
                let Some(known) = known.filter(|it| it.is_now(amendment.row)) else {
                    continue;
                };
                known.row = position;
                (Box::new(amendment.after), Kind::Amended(known.first))
            }
            Entry::Answered(answer) => match recorded.get(&answer.id) {
                Some(known) if known.counts => (known.facts.clone(), Kind::Answered(known.first)),
                _ => continue,
            },
            _ => continue,
        };
        let operator = facts.operator.as_ref().map(ToString::to_string);
        let happening = Happening {
            position,
            stamp: record.stamp.0,
            kind,
        };
        all.push((operator.unwrap_or_default(), happening));
    }
    all
}

/// An incident as the journal has it so far.
struct Known {
    first: u64,
    /// Where what counts of it lies.
    row: u64,
    counts: bool,
    facts: Box<Facts>,
}

impl Known {
    /// Whether something about this row is about what counts now.
    fn is_now(&self, row: Position) -> bool {
        self.counts && row.0 == self.row
    }
}
