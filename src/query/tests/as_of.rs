//! As of position N, a ledger answers as one whose journal ended at N.

use super::*;
use crate::domain::{Amendment, Record};
use crate::ledger::testing::ledger_of;

/// A random journal: late reports on days of both changes of the clock and at the end of a
/// month, repeats, withdrawals and amendments of what came long before, taps and ticks.
fn journal(seed: u64, count: usize) -> Vec<Record> {
    let mut maker = Maker::new(seed);
    let mut random = StdRng::seed_from_u64(seed);
    let mut recorded: Vec<(Facts, Position)> = Vec::new();
    let mut placed = Vec::new();
    while placed.len() < count {
        let entry = match random.random_range(0..12) {
            0 | 1 if !recorded.is_empty() => {
                // Some are withdrawn twice; the second time changes nothing.
                let (facts, row) = recorded[random.random_range(0..recorded.len())].clone();
                Entry::Withdrawn {
                    id: facts.id,
                    facts: Box::new(facts),
                    row,
                }
            }
            5 if !recorded.is_empty() => {
                // Of those withdrawn before it changes nothing.
                let index = random.random_range(0..recorded.len());
                let (before, row) = recorded[index].clone();
                let after = Facts {
                    staff_acts: maker.facts(before_all()).staff_acts,
                    ..before.clone()
                };
                recorded[index] = (after.clone(), Position(placed.len() as u64 + 1));
                Entry::Amended(Box::new(Amendment {
                    id: before.id,
                    row,
                    before,
                    after,
                }))
            }
            2 if !recorded.is_empty() => {
                let (facts, _) = recorded[random.random_range(0..recorded.len())].clone();
                Entry::Incident {
                    facts: Box::new(facts),
                    personal: None,
                }
            }
            3 => maker.tap_counts(),
            4 if random.random() => {
                maker.outage_around(day(DAYS[random.random_range(0..DAYS.len())]))
            }
            4 => Entry::Tick,
            _ => {
                let day = day(DAYS[random.random_range(0..DAYS.len())]);
                let shift_ms = random.random_range(-40 * HOUR_MS..64 * HOUR_MS);
                let facts = maker.facts(UtcMillis(day.start().start().0 + shift_ms));
                recorded.push((facts.clone(), Position(placed.len() as u64 + 1)));
                Entry::Incident {
                    facts: Box::new(facts),
                    personal: None,
                }
            }
        };
        placed.push(maker.place(entry, 1));
    }
    placed
}

/// A time for facts of which only the acts are taken.
fn before_all() -> UtcMillis {
    day(DAYS[0]).start().start()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn as_of_a_position_is_as_if_the_journal_ended_there(
        seed: u64,
        size in 1..2_400_usize,
        is_put: bool,
    ) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let entries = journal(seed, size);
        let whole = ledger_of(&entries, &dir.path().join("whole"));
        if is_put {
            // Else some blocks are still on their way to the store.
            whole.flush_blocks().expect("the store is attached");
        }
        let mut random = StdRng::seed_from_u64(seed);
        let mut asker = Asker(StdRng::seed_from_u64(seed));
        for round in 0..4 {
            let end = match round {
                0 => size,
                1 => 1,
                _ => random.random_range(1..=size),
            };
            let folder = dir.path().join(round.to_string());
            let stopped = ledger_of(&entries[..end], &folder);
            let at = entries[end - 1].position;
            let stamp = entries[end - 1].stamp;
            for _ in 0..QUESTIONS / 4 {
                let question = asker.question();
                let page = all_in(Order::Count);
                let expected = answer(&stopped, &question, &page).expect("an answer");
                let found = answer_as_of(&whole, &question, &page, at, |_| Ok(Some(stamp)));
                let found = found.expect("an answer");
                prop_assert_eq!(found.position, at);
                prop_assert_eq!(&found.next, &expected.next);
                prop_assert_eq!(&found.outages, &expected.outages);
                prop_assert_eq!(&found.without, &expected.without, "{} {:?}", at, &question);
                prop_assert_eq!(counted(found), counted(expected), "{} {:?}", at, &question);
            }
        }
    }
}

#[test]
fn positions_before_the_first_entry_and_after_the_last_are_refused_with_the_bounds() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut entries = journal(5, 40);
    // As after a horizon.
    entries.drain(..10);
    let ledger = ledger_of(&entries, dir.path());
    let question = Asker(StdRng::seed_from_u64(1)).question();
    let (page, stamp) = (all_in(Order::Key), |_| Ok(Some(ledger.read().stamp())));
    for at in [0, 10, 41, u64::MAX] {
        let refused = answer_as_of(&ledger, &question, &page, Position(at), stamp);
        let Err(QueryError::OutOfRange { first, last }) = refused else {
            panic!("{at} is out of range");
        };
        assert_eq!((first, last), (Position(11), Position(40)));
    }
    for at in [11, 40] {
        let answer = answer_as_of(&ledger, &question, &page, Position(at), stamp);
        assert!(answer.is_ok(), "{at}");
    }
}

#[test]
fn bounds_and_withdrawals_outlive_a_checkpoint() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let entries = journal(6, 900);
    let ledger = ledger_of(&entries, &dir.path().join("store"));
    ledger
        .checkpoint(dir.path())
        .expect("the store is attached");
    let read = Ledger::read_checkpoint(dir.path(), EPOCH).expect("it can be read");
    let state = read.expect("it is there");
    assert_eq!(state.first(), Position(1));
    assert!(!state.withdrawals().is_empty());
    assert_eq!(state.withdrawals(), ledger.read().withdrawals());
    assert_eq!(state.withdrawn(), ledger.read().withdrawn());
}
