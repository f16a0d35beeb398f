//! What staff did is what a plain count over the journal's facts says, now and as of a position.

use super::*;
use crate::domain::entry::ToldOfStaff;
use crate::domain::taxonomy::{CalledBack, Outcome, StaffAct, StaffPresence};
use crate::domain::{Amendment, Record};
use crate::journal::JournalError;
use crate::ledger::testing::ledger_of;
use crate::query::staff::{StaffDays, staff_figures};
use crate::stats::staff::{StaffAnswer, StaffCounts};

/// Reports that tell of staff, some amended later, some withdrawn, and outages.
fn journal(seed: u64, count: usize) -> Vec<Record> {
    let mut maker = Maker::new(seed);
    let mut random = StdRng::seed_from_u64(seed);
    let mut kept: Vec<(Facts, Position)> = Vec::new();
    let mut placed: Vec<Record> = Vec::new();
    while placed.len() < count {
        let next = Position(placed.len() as u64 + 1);
        let entry = match random.random_range(0..12) {
            0 if !kept.is_empty() => {
                let (facts, row) = kept.swap_remove(random.random_range(0..kept.len()));
                Entry::Withdrawn {
                    id: facts.id,
                    facts: Box::new(facts),
                    row,
                }
            }
            1 | 2 if !kept.is_empty() => {
                let index = random.random_range(0..kept.len());
                let (before, row) = kept[index].clone();
                let mut after = telling(before.clone(), &mut random);
                after.staff_present = before.staff_present;
                kept[index] = (after.clone(), next);
                Entry::Amended(Box::new(Amendment {
                    id: before.id,
                    row,
                    before,
                    after,
                }))
            }
            3 if random.random_range(0..6) == 0 => {
                maker.outage_around(day(DAYS[random.random_range(0..DAYS.len())]))
            }
            4 => Entry::Tick,
            _ => {
                let day = day(DAYS[random.random_range(0..DAYS.len())]);
                let shift_ms = random.random_range(-40 * HOUR_MS..64 * HOUR_MS);
                let facts = maker.facts(UtcMillis(day.start().start().0 + shift_ms));
                let facts = telling(facts, &mut random);
                kept.push((facts.clone(), next));
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

/// The same, telling something else of staff, or nothing.
fn telling(facts: Facts, random: &mut StdRng) -> Facts {
    let acts = StaffAct::ALL.iter().copied();
    let outcomes = Outcome::ALL.iter().copied();
    let present = [
        None,
        Some(StaffPresence::Yes),
        Some(StaffPresence::Yes),
        Some(StaffPresence::No),
        Some(StaffPresence::NotSeen),
    ];
    let called_back = [None, None, Some(CalledBack::Yes), Some(CalledBack::No)];
    Facts {
        staff_present: present[random.random_range(0..present.len())],
        called_back: called_back[random.random_range(0..called_back.len())],
        staff_acts: acts.filter(|_| random.random_range(0..4) == 0).collect(),
        outcomes: outcomes
            .filter(|_| random.random_range(0..4) == 0)
            .collect(),
        ..facts
    }
}

/// What counts when the last of these entries has been applied.
fn counted(entries: &[Record]) -> Vec<Facts> {
    let mut counted = BTreeMap::new();
    for record in entries {
        match &record.entry {
            Entry::Incident { facts, .. } => {
                counted.insert(facts.id, (**facts).clone());
            }
            Entry::Amended(amendment) => {
                counted.insert(amendment.id, amendment.after.clone());
            }
            Entry::Withdrawn { id, .. } => {
                counted.remove(id);
            }
            _ => {}
        }
    }
    counted.into_values().collect()
}

/// The plainest count.
fn plain(facts: &[Facts], question: &Question) -> StaffDays {
    let mut plain = StaffDays::default();
    for facts in facts.iter().filter(|facts| takes(question, facts)) {
        plain.total += 1;
        if facts.staff_acts.is_empty() {
            continue;
        }
        let counts = plain.days.entry(facts.time.day()).or_default();
        counts.add(StaffAnswer {
            present: facts.staff_present,
            acts: facts.staff_acts,
            outcomes: facts.outcomes,
            called_back: facts.called_back,
        });
    }
    plain
}

/// What entries at some positions tell, as the journal reads it.
fn told(
    entries: &[Record],
    positions: Vec<Position>,
) -> impl Iterator<Item = Result<(Position, ToldOfStaff), JournalError>> {
    let told = |position: Position| {
        let mut entries = entries.iter();
        let record = entries.find(|record| record.position == position)?;
        let facts = match &record.entry {
            Entry::Incident { facts, .. } => facts.of_staff(),
            Entry::Amended(amendment) => amendment.after.of_staff(),
            _ => return None,
        };
        Some(Ok((position, facts)))
    };
    positions.into_iter().filter_map(told)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn staff_figures_are_those_of_a_plain_count_at_every_position(
        seed: u64,
        size in 1..1_500_usize,
        is_put: bool,
    ) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let entries = journal(seed, size);
        let ledger = ledger_of(&entries, dir.path());
        if is_put {
            ledger.flush_blocks().expect("the store is attached");
        }
        let mut random = StdRng::seed_from_u64(seed);
        let mut asker = Asker(StdRng::seed_from_u64(seed));
        for round in 0..QUESTIONS / 4 {
            let mut question = asker.question();
            question.filter.basis = Basis::SelfReported;
            let end = if round == 0 { size } else { random.random_range(1..=size) };
            let at = (0 < round).then(|| entries[end - 1].position);
            let read = |positions| told(&entries, positions);
            let found = staff_figures(&ledger, read, &question, at).expect("an answer");
            let facts = counted(&entries[..end]);
            prop_assert_eq!(&found.all, &plain(&facts, &question), "{:?}", &question);
            prop_assert_eq!(found.position, entries[end - 1].position);
            prop_assert_eq!(found.without.is_some(), !found.outages.is_empty());
            if let Some(without) = found.without {
                let mut less = question.clone();
                less.filter.without_days = found.outages.iter().map(|one| one.day).collect();
                less.filter.without_days.dedup();
                prop_assert_eq!(without, plain(&facts, &less));
            }
        }
    }
}

#[test]
fn reports_that_cannot_be_read_make_no_figure() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let entries = journal(7, 300);
    let ledger = ledger_of(&entries, dir.path());
    let question = Question {
        filter: Filter::all(Basis::SelfReported),
        by: Breakdown::default(),
        window: Window::new(day("2026-01-01").start(), day("2026-12-31").start())
            .expect("not empty"),
    };
    let whole = staff_figures(
        &ledger,
        |positions| told(&entries, positions),
        &question,
        None,
    );
    let counts = whole.expect("an answer").all.sum();
    assert_ne!(counts, StaffCounts::default());
    for gone in [0, 1, usize::MAX] {
        let missing = |mut positions: Vec<Position>| {
            positions.remove(gone.min(positions.len() - 1));
            told(&entries, positions)
        };
        let missing = staff_figures(&ledger, missing, &question, None);
        assert!(matches!(missing, Err(QueryError::Busy)), "{missing:?}");
    }
    let broken = |_| std::iter::once(Err(JournalError::Poisoned));
    let broken = staff_figures(&ledger, broken, &question, None);
    assert!(matches!(broken, Err(QueryError::Journal(_))), "{broken:?}");
}
