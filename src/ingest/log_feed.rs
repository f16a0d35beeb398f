//! What the log is handed of a batch that was just applied, so that it need not read it back.

use std::sync::Arc;

use crate::domain::{Entry, Record};
use crate::ledger::Applied;
use crate::live::log::{Change, Event, Newest};

/// Everything that happened in a batch with what became of each entry. `None` where something
/// happened to an incident that was there before, which the log reads for itself: its facts are
/// elsewhere in the journal. Such batches are few.
pub(super) fn newest(batch: Vec<Record>, applied: &[Applied]) -> Option<Newest> {
    let first = batch.first()?.position;
    let reached = batch.last()?.position;
    let is_plain = |record: &Record| {
        matches!(
            record.entry,
            Entry::Incident { .. } | Entry::Tick | Entry::TapCounts(_)
        )
    };
    if !batch.iter().all(is_plain) {
        return None;
    }
    let mut events = Vec::with_capacity(batch.len());
    for (record, applied) in batch.into_iter().zip(applied) {
        let Entry::Incident { facts, .. } = record.entry else {
            continue;
        };
        if facts.told_again.is_none() && matches!(applied, Applied::Recorded { .. }) {
            events.push(Arc::new(Event {
                position: record.position,
                stamp: record.stamp,
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
