//! Zeroes the personal parts of an erased incident: its own, and those of its answers.
//!
//! The entry that says so is durable and applied first. If a crash comes in between, the next
//! start zeroes again. Before it takes reports in, it looks at those erasures that a checkpoint may
//! have counted too early: the committer zeroes at the end of a batch, so that only the last batch
//! that a checkpoint counts can lack it. All others are looked at beside the service, since a
//! segment may have been put back from a backup of before them.
//!
//! In the journals of earlier versions a report whose id came twice in one batch lies there
//! twice. The second counts nothing, but has words: it goes with the first.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::entry::Removal;
use crate::domain::limits::BATCH_ENTRIES_MAX;
use crate::domain::{Entry, IncidentId, Position};
use crate::journal::{JournalError, Reader, Remover, Writer};
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
    let places = all_places(writer, ledger, incidents)?;
    writer.erase_all_personal(&places)
}

/// Where these incidents have words, as far as the ledger has them as erased.
fn all_places(
    writer: &Writer,
    ledger: &Ledger,
    incidents: &[Position],
) -> Result<Vec<Position>, JournalError> {
    let mut left = Vec::new();
    for incident in incidents {
        let places = {
            let state = ledger.read();
            let case = state.cases().get(*incident);
            case.map_or(Vec::new(), |case| places(*incident, case))
        };
        if !places.is_empty() {
            left.extend(places);
            left.extend(twins(&writer.reader(), *incident)?);
        }
    }
    Ok(left)
}

/// Zeroes what a crash, or a disk that failed, may have left of erased incidents, if a checkpoint counts
/// entries through this place.
pub(super) fn finish(
    writer: &mut Writer,
    ledger: &Ledger,
    checkpointed: Position,
) -> Result<(), JournalError> {
    let late = erased_where(ledger, |at| !is_settled(at, checkpointed));
    let places = all_places(writer, ledger, &late)?;
    writer.erase_all_personal_again(&places)
}

/// Zeroes what is left of all erased incidents.
pub(super) fn finish_all(writer: &mut Writer, ledger: &Ledger) -> Result<(), JournalError> {
    let erased = erased_where(ledger, |_| true);
    erase(writer, ledger, &erased)
}

/// Zeroes what is left of those that `finish` did not look at: nothing, unless a segment was put
/// back. For a thread of its own. Returns of how many incidents something was left, or the first
/// error: whatever cannot be read keeps nothing else from being zeroed.
pub(super) fn finish_settled(
    reader: &Reader,
    ledger: &Ledger,
    checkpointed: Position,
    is_stopping: &AtomicBool,
) -> Result<u64, JournalError> {
    let remover = Remover::new(reader);
    let (mut found, mut failed) = (0, None);
    for incident in erased_where(ledger, |at| is_settled(at, checkpointed)) {
        if is_stopping.load(Ordering::Relaxed) {
            break;
        }
        match erase_again(reader, ledger, &remover, incident) {
            Ok(was_left) => found += u64::from(was_left),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(found), Err)
}

/// Zeroes what is left of an erased incident. Returns whether something was.
fn erase_again(
    reader: &Reader,
    ledger: &Ledger,
    remover: &Remover,
    incident: Position,
) -> Result<bool, JournalError> {
    let mut left = left_of(reader, ledger, incident)?;
    if left.is_empty() {
        return Ok(false);
    }
    left.extend(twins(reader, incident)?);
    for place in left {
        remover.remove(place, place, Removal::All)?;
    }
    Ok(true)
}

/// Entries before the last that a checkpoint counts, among which its last batch lies, with a tick
/// and an end of tap counts.
const LAST_BATCH_ENTRIES: u64 = 2 * BATCH_ENTRIES_MAX as u64;

/// Whether an erasure noted at a place was zeroed before a checkpoint counted it.
fn is_settled(at: Position, checkpointed: Position) -> bool {
    at.0 + LAST_BATCH_ENTRIES <= checkpointed.0
}

/// Erased incidents, by where that is noted.
fn erased_where(ledger: &Ledger, is_wanted: impl Fn(Position) -> bool) -> Vec<Position> {
    let state = ledger.read();
    let cases = state.cases().iter();
    let wanted = cases.filter(|(_, case)| case.erased.is_some_and(&is_wanted));
    wanted.map(|(incident, _)| incident).collect()
}

/// Places of an erased incident that have a personal part.
fn left_of(
    reader: &Reader,
    ledger: &Ledger,
    incident: Position,
) -> Result<Vec<Position>, JournalError> {
    let mut places = {
        let state = ledger.read();
        let case = state.cases().get(incident);
        case.map_or(Vec::new(), |case| places(incident, case))
    };
    let mut failed = None;
    places.retain(|place| match reader.has_personal(*place) {
        Ok(has) => has,
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    failed.map_or(Ok(places), Err)
}

fn places(incident: Position, case: &Case) -> Vec<Position> {
    if case.erased.is_none() {
        return Vec::new();
    }
    let replies = case.replies.iter().map(|reply| reply.at);
    std::iter::once(incident).chain(replies).collect()
}

/// Where the report recorded at a place lies again. Entries of a batch have one stamp.
fn twins(reader: &Reader, incident: Position) -> Result<Vec<Position>, JournalError> {
    let through = Position(incident.0 + BATCH_ENTRIES_MAX as u64);
    let mut records = reader.facts_near(incident, through);
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
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicI64;
    use std::time::Duration;

    use super::*;
    use crate::domain::limits::CHECKPOINT_ERASED_MINUTES_MAX;
    use crate::domain::taxonomy::TimePrecision;
    use crate::domain::testing::{blank_facts, id_made_at, personal};
    use crate::domain::{Record, RowTime, UtcMillis};
    use crate::ingest::{ClockCheck, lookup, repair};
    use crate::journal::{self, Settings};
    use crate::ledger::State;
    use crate::network::Network;

    const NOON: UtcMillis = UtcMillis(1_795_435_200_000);

    fn told(id: IncidentId) -> Entry {
        let hour = RowTime::Hour(NOON.hour().expect("a supported year"));
        Entry::Incident {
            facts: Box::new(blank_facts(id, hour, TimePrecision::Exact)),
            personal: Some(Box::new(personal(NOON))),
        }
    }

    /// A journal of two reports that were erased, of which nothing is zeroed, with so many ticks
    /// between the two erasures.
    fn cut_short(folder: &Path, ticks: u64) -> (Writer, Ledger) {
        let (mut writer, reader, _) =
            journal::open(&folder.join("journal"), Settings::default()).expect("new");
        let ids = [7, 8].map(|number| id_made_at(NOON, number));
        let erased = |place: usize| Entry::Erased {
            id: ids[place],
            incident: Position(place as u64 + 1),
        };
        let mut entries = vec![told(ids[0]), told(ids[1]), erased(0)];
        entries.extend((0..ticks).map(|_| Entry::Tick));
        entries.push(erased(1));
        let encoded: Vec<_> = entries.iter().map(journal::encode).collect();
        writer.append(&encoded, NOON).expect("room");
        let ledger = Ledger::new(State::new(reader.epoch()));
        let placed = (1..).zip(entries);
        let placed: Vec<_> = placed
            .map(|(at, entry)| Record {
                position: Position(at),
                stamp: NOON,
                entry,
            })
            .collect();
        ledger.apply(&placed);
        (writer, ledger)
    }

    fn has_words(reader: &Reader) -> [bool; 2] {
        [1, 2].map(|at| reader.has_personal(Position(at)).expect("readable"))
    }

    #[test]
    fn start_looks_at_the_erasures_of_the_last_batch_and_at_all_others_beside_the_service() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut writer, ledger) = cut_short(folder.path(), LAST_BATCH_ENTRIES);
        let (reader, checkpointed) = (writer.reader(), writer.last());
        assert_eq!(has_words(&reader), [true, true], "the control");
        finish(&mut writer, &ledger, checkpointed).expect("zeroed");
        assert_eq!(has_words(&reader), [true, false]);
        let stopping = AtomicBool::new(true);
        let look = |is_stopping| finish_settled(&reader, &ledger, checkpointed, is_stopping);
        assert_eq!(look(&stopping).expect("readable"), 0);
        let going_on = AtomicBool::new(false);
        assert_eq!(look(&going_on).expect("readable"), 1);
        assert_eq!(has_words(&reader), [false, false]);
        assert_eq!(look(&going_on).expect("readable"), 0);
    }

    #[test]
    fn erased_report_whose_words_are_there_again_is_told_without_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let (writer, ledger) = cut_short(folder.path(), 0);
        let reader = writer.reader();
        assert_eq!(has_words(&reader), [true, true], "the control");
        let kept = lookup::get_at(&ledger, &reader, Position(1)).expect("kept");
        assert!(kept.erased.is_some() && kept.personal.is_none());
        let records = lookup::records(&ledger, &reader, &kept).expect("readable");
        let first = records.first().map(|record| &record.entry);
        let is_bare = |entry: &Entry| matches!(entry, Entry::Incident { personal: None, .. });
        assert!(first.is_some_and(is_bare), "{first:?}");
    }

    #[test]
    fn without_a_checkpoint_the_start_looks_at_every_erasure() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut writer, ledger) = cut_short(folder.path(), LAST_BATCH_ENTRIES);
        finish(&mut writer, &ledger, Position(0)).expect("zeroed");
        assert_eq!(has_words(&writer.reader()), [false, false]);
    }

    #[test]
    fn what_makes_a_checkpoint_of_a_copy_erases_first() {
        let clock = ClockCheck::Never.at(NOON);
        for is_copy in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let (writer, _) = cut_short(folder.path(), LAST_BATCH_ENTRIES);
            let reader = writer.reader();
            drop(writer);
            if is_copy {
                drop(repair::restore(folder.path(), clock, &mut |_, _| ()));
            } else {
                drop(repair::rebuild(folder.path(), clock, &mut |_, _| ()));
            }
            assert!(folder.path().join("checkpoint").exists());
            assert_eq!(has_words(&reader), [false, false], "{is_copy}");
        }
    }

    #[tokio::test]
    async fn erased_tap_is_in_no_checkpoint_some_minutes_after() {
        let folder = tempfile::tempdir().expect("a folder");
        let id = id_made_at(NOON, 7);
        let incident = told(id);
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
            clock_check: ClockCheck::Never,
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
