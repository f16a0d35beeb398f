//! What the log is handed of a batch that was just applied, so that it need not read it back.

use std::sync::Arc;

use crate::domain::{Entry, Position, Stamp};
use crate::ledger::Applied;
use crate::live::log::{Change, Event, Newest};

/// Everything that happened in a batch with what became of each entry. `None` where something
/// happened to an incident that was there before, which the log reads for itself: its facts are
/// elsewhere in the journal. Such batches are few.
pub(super) fn newest(batch: Vec<(Position, Stamp, Entry)>, applied: &[Applied]) -> Option<Newest> {
    let first = batch.first()?.0;
    let reached = batch.last()?.0;
    let is_plain = |(_, _, entry): &(_, _, Entry)| {
        matches!(
            entry,
            Entry::Incident { .. } | Entry::Tick | Entry::TapCounts(_)
        )
    };
    if !batch.iter().all(is_plain) {
        return None;
    }
    let mut events = Vec::with_capacity(batch.len());
    for ((position, stamp, entry), applied) in batch.into_iter().zip(applied) {
        let Entry::Incident { facts, .. } = entry else {
            continue;
        };
        if facts.told_again.is_none() && matches!(applied, Applied::Recorded { .. }) {
            events.push(Arc::new(Event {
                position,
                stamp,
                facts,
                change: Change::Recorded,
            }));
        }
    }
    Some(Newest {
        first,
        reached,
        events,
    })
}
