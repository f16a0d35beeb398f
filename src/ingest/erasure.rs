//! Zeroes the personal parts of an erased incident: its own, and those of its answers.
//!
//! The entry that says so is durable and applied first. If a crash comes in between, the next
//! start zeroes again: it looks at every erased incident, and leaves those alone of which
//! nothing is left.
//!
//! In the journals of earlier versions a report whose id came twice in one batch lies there
//! twice. The second counts nothing, but has words: it goes with the first.

use crate::domain::limits::BATCH_ENTRIES_MAX;
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
    let mut left = Vec::new();
    for incident in incidents {
        let places = {
            let state = ledger.read();
            let case = state.cases().get(*incident);
            case.map_or(Vec::new(), |case| places(*incident, case))
        };
        if !places.is_empty() {
            left.extend(places);
            left.extend(twins(writer, *incident)?);
        }
    }
    writer.erase_all_personal(&left)
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

/// Where the report recorded at a place lies again. Entries of a batch have one stamp.
fn twins(writer: &Writer, incident: Position) -> Result<Vec<Position>, JournalError> {
    let through = Position(incident.0 + BATCH_ENTRIES_MAX as u64);
    let mut records = writer.reader().facts_near(incident, through);
    let first = records.next().transpose()?;
    let Some(first) = first.filter(|first| first.position == incident) else {
        return Ok(Vec::new());
    };
    let mut places = Vec::new();
    for record in records {
        let record = record?;
        if record.stamp != first.stamp {
            break;
        }
        if let (Entry::Incident { facts, .. }, Entry::Incident { facts: twin, .. }) =
            (&first.entry, &record.entry)
            && facts.id == twin.id
        {
            places.push(record.position);
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::domain::limits::CHECKPOINT_ERASED_MINUTES_MAX;
    use crate::domain::taxonomy::TimePrecision;
    use crate::domain::testing::{blank_facts, personal};
    use crate::domain::{RowTime, UtcMillis};
    use crate::journal::{self, Settings};
    use crate::network::Network;

    const NOON: UtcMillis = UtcMillis(1_795_435_200_000);

    #[tokio::test]
    async fn erased_tap_is_in_no_checkpoint_some_minutes_after() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut id = [0x77; 16];
        id[8] = 0x80;
        let id = IncidentId::from_bytes(id).expect("version 7");
        let hour = RowTime::Hour(NOON.hour().expect("a supported year"));
        let incident = Entry::Incident {
            facts: Box::new(blank_facts(id, hour, TimePrecision::Exact)),
            personal: Some(Box::new(personal(NOON))),
        };
        let path = folder.path().join("journal");
        let (mut writer, ..) = journal::open(&path, Settings::default()).expect("new");
        let appended = writer.append(&[journal::encode(&incident)], NOON);
        let (incident, _) = appended.expect("room");
        drop(writer);
        let clock = Arc::new(AtomicI64::new(NOON.0));
        let now = Arc::clone(&clock);
        let now = move || UtcMillis(now.load(Ordering::SeqCst));
        let network = Arc::new(Network::built_in());
        let options = crate::ingest::Options {
            clock_check: crate::ingest::ClockCheck::Never,
            ..Default::default()
        };
        let running = crate::ingest::start_with(folder.path(), network, now, options);
        let running = running.expect("started");
        let erased = Entry::Erased { id, incident };
        let erased_at = running.ingest.commit(erased).await.expect("noted");
        // Minute by minute, as a clock goes.
        let mut checkpointed = Position(0);
        for _ in 0..3_000 {
            let epoch = running.reader.epoch();
            let state = Ledger::read_checkpoint(folder.path(), epoch).expect("readable");
            if let Some(state) = state {
                assert!(state.cases().is_erased(incident));
                checkpointed = state.position();
                break;
            }
            let over_ms = clock.load(Ordering::SeqCst) - NOON.0;
            if over_ms < i64::from(CHECKPOINT_ERASED_MINUTES_MAX) * 60_000 {
                clock.fetch_add(60_000, Ordering::SeqCst);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(erased_at <= checkpointed, "{checkpointed}");
        let stopping = tokio::task::spawn_blocking(move || running.stop(Duration::from_secs(60)));
        stopping.await.expect("no panic").expect("stopped");
    }
}
