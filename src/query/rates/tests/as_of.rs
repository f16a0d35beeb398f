//! As of position N, rates are those of a record that ended at N: whatever was reported late,
//! corrected, withdrawn or told again since.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::domain::taxonomy::CaseState;
use crate::domain::{Amendment, Answer, Position, Stamp, UtcMillis};
use crate::journal::JournalError;
use crate::ledger::testing::{EPOCH, Maker};
use crate::ledger::{Ledger, State};
use crate::store::Store;

const HOUR_MS: i64 = 3_600_000;
const QUESTIONS_EACH: usize = 12;

type Placed = (Position, Stamp, Entry);

/// A report that was made: where, where it was amended last, and what counts of it.
#[derive(Clone)]
struct Recorded {
    facts: Facts,
    incident: Position,
    row: Position,
}

/// Reports around both changes of the clock and a month's end, late ones among them; some
/// withdrawn, some amended, erased or answered, some corrected, which is a withdrawal and another
/// report; taps told, told again and let go.
fn journal(seed: u64, count: usize) -> Vec<Placed> {
    let mut maker = Maker::new(seed);
    let mut random = StdRng::seed_from_u64(seed);
    let mut recorded: Vec<Recorded> = Vec::new();
    let mut placed: Vec<Placed> = Vec::new();
    let feeds = feeds();
    while placed.len() < count {
        let around = day(DAYS[random.random_range(0..DAYS.len())]);
        let shift_ms = random.random_range(-40 * HOUR_MS..64 * HOUR_MS);
        let here = Position(placed.len() as u64 + 1);
        let entry = match random.random_range(0..13) {
            0..6 => {
                let facts = maker.facts(UtcMillis(around.start().start().0 + shift_ms));
                recorded.push(Recorded {
                    facts: facts.clone(),
                    incident: here,
                    row: here,
                });
                Entry::Incident {
                    facts: Box::new(facts),
                    personal: None,
                }
            }
            6 if 2 < recorded.len() => {
                let index = random.random_range(0..recorded.len());
                let Recorded { facts, row, .. } = recorded.swap_remove(index);
                Entry::Withdrawn {
                    id: facts.id,
                    facts: Box::new(facts),
                    row,
                }
            }
            10 if 2 < recorded.len() => {
                let index = random.random_range(0..recorded.len());
                let before = recorded[index].clone();
                let after = Facts {
                    staff_acts: maker.facts(around.start().start()).staff_acts,
                    ..before.facts.clone()
                };
                recorded[index].facts = after.clone();
                recorded[index].row = here;
                Entry::Amended(Box::new(Amendment {
                    id: after.id,
                    row: before.row,
                    before: before.facts,
                    after,
                }))
            }
            11 if 2 < recorded.len() => {
                let index = random.random_range(0..recorded.len());
                afterword(&recorded[index], random.random())
            }
            7 if random.random_range(0..20) == 0 => Entry::TapCountsRemoved {
                before: LocalDay(around.0 - 2),
            },
            _ => told(&mut random, &feeds, around),
        };
        placed.push(maker.place(entry, 1));
    }
    placed
}

/// What changes no figure: an erasure, or an answer. What was erased is amended no more.
fn afterword(of: &Recorded, is_erased: bool) -> Entry {
    let (id, incident) = (of.facts.id, of.incident);
    if is_erased {
        return Entry::Erased { id, incident };
    }
    Entry::Answered(Box::new(Answer {
        id,
        incident,
        operator: operator_code(1),
        received: UtcMillis(0),
        time: of.facts.time,
        state: CaseState::Repaired,
        reason: None,
        message: "".into(),
    }))
}

fn told(random: &mut StdRng, feeds: &[TapFeed], around: LocalDay) -> Entry {
    let feed = &feeds[random.random_range(0..feeds.len())];
    let scope = tap_scope(feed.grain, random.random_range(0..SCOPES));
    let mut counts = Vec::new();
    for shift in -2..4 {
        let day = LocalDay(around.0 + shift);
        for slot in 0..feed.slots(day) {
            counts.push(TapCount {
                scope: scope.clone(),
                slot: TapSlot { day, slot },
                taps: Taps::new(random.random_range(0..40)).expect("few"),
            });
        }
    }
    Entry::TapCounts(Box::new(TapBatch::pack(feed, counts).remove(0)))
}

fn ledger_of(entries: &[Placed], dir: &std::path::Path) -> Ledger {
    let store = Store::create(dir, EPOCH).expect("a new store");
    let ledger = Ledger::new(State::new(EPOCH));
    ledger.attach_store(store);
    for batch in entries.chunks(50) {
        ledger.apply(batch);
    }
    ledger
}

/// The entries from a position on, as the journal has them.
fn from(
    entries: &[Placed],
    first: Position,
) -> Result<impl Iterator<Item = Result<(Position, Entry), JournalError>>, JournalError> {
    let entries = entries
        .iter()
        .filter(move |(position, ..)| first <= *position);
    Ok(entries.map(|(position, _, entry)| Ok((*position, entry.clone()))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn rates_as_of_a_position_are_those_of_a_record_that_ended_there(
        seed: u64,
        size in 1..1_200_usize,
    ) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let entries = journal(seed, size);
        let whole = ledger_of(&entries, &dir.path().join("whole"));
        let mut random = StdRng::seed_from_u64(seed);
        let mut asker = Asker(StdRng::seed_from_u64(seed));
        for round in 0..3 {
            let end = match round {
                0 => size,
                _ => random.random_range(1..=size),
            };
            let stopped = ledger_of(&entries[..end], &dir.path().join(round.to_string()));
            let at = entries[end - 1].0;
            let page = all_in(Order::Key);
            for _ in 0..QUESTIONS_EACH {
                let question = asker.question();
                let wanted = wanted(&[]);
                let expected = answer_with_rates(&stopped, &question, &page, &wanted);
                let expected = expected.expect("an answer");
                let read = |first| from(&entries, first);
                let found = answer_with_rates_as_of(&whole, read, &question, &page, &wanted, at);
                let found = found.expect("an answer");
                prop_assert_eq!(found.answer.position, at);
                prop_assert_eq!(found.answer.figures, expected.answer.figures);
                prop_assert_eq!(found.feeds, expected.feeds);
                prop_assert_eq!(found.total, expected.total, "{} {:?}", at, &question);
                prop_assert_eq!(found.rates, expected.rates, "{} {:?}", at, &question);
            }
        }
    }
}

#[test]
fn counts_told_later_and_feeds_declared_later_do_not_matter_as_of_a_position() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut maker = Maker::new(1);
    let feed = tap_feed(1);
    let at = day("2026-10-25");
    let count = |taps| {
        let counts = (0..feed.slots(at)).map(|slot| TapCount {
            scope: TapScope::Line(line_id(1)),
            slot: TapSlot { day: at, slot },
            taps: Taps::new(taps).expect("few"),
        });
        Entry::TapCounts(Box::new(TapBatch::pack(&feed, counts).remove(0)))
    };
    let entries: Vec<Placed> = [Entry::Tick, count(5), count(7)]
        .into_iter()
        .map(|entry| maker.place(entry, 1))
        .collect();
    let ledger = ledger_of(&entries, dir.path());
    let question = Question {
        filter: Filter::all(Basis::SelfReported),
        by: Breakdown::default(),
        window: at.window(),
    };
    let taps = |position: u64| {
        let read = |first| from(&entries, first);
        let page = all_in(Order::Key);
        let wanted = wanted(&[]);
        let position = Position(position);
        let answer = answer_with_rates_as_of(&ledger, read, &question, &page, &wanted, position);
        answer.expect("an answer").total.matching.taps
    };
    // A service day of this feed begins at one, and an hour of it lies in the next day.
    assert_eq!(taps(1), 0);
    assert_eq!(taps(2) * 7, taps(3) * 5);
    assert!(0 < taps(2));
}
