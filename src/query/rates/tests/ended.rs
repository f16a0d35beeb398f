//! Where single incidents have ended, and tap counts that are kept no longer have gone from the
//! journal with them: figures and rates as of a position are still those of a record that ended
//! there, and what cannot be told any more is refused.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::super::tests::counted;
use super::as_of::Kept;
use super::*;
use crate::domain::time::HOUR_MS;
use crate::domain::{Position, Record};
use crate::ledger::Ledger;
use crate::ledger::testing::{Maker, ledger_of};
use crate::query::{QueryError, answer_as_of};

/// Some fifty days, so that two months of receipt end.
const ENTRIES: usize = 900;
const QUESTIONS_EACH: usize = 12;

/// Random entries of all kinds, with pauses.
fn history(maker: &mut Maker, count: usize) -> Vec<Record> {
    let entry = |number: usize| match number % 6 {
        0 => maker.place(Entry::Tick, 8 * HOUR_MS),
        _ => maker.entry(),
    };
    (0..count).map(entry).collect()
}

/// The journal when entries have gone: those about incidents at and before a position, and those
/// of tap counts there that are of days before one. Of those that declared a feed its declaration
/// is left.
fn gone(entries: &[Record], ledger: &Ledger, through: Position) -> Vec<Record> {
    let state = ledger.read();
    let kept_from = state.taps().kept_from();
    let feeds = state.taps().feeds().iter();
    let declared: BTreeSet<_> = feeds.map(|book| book.declared()).collect();
    let left = |record: &Record| {
        let entry = match &record.entry {
            _ if through < record.position => record.entry.clone(),
            Entry::Incident { .. }
            | Entry::Withdrawn { .. }
            | Entry::Amended(_)
            | Entry::Erased { .. }
            | Entry::Answered(_) => Entry::Gone,
            Entry::TapCounts(batch) => {
                let mut cells = batch.cells().iter();
                let ends = kept_from.is_some_and(|from| cells.all(|cell| cell.slot.day < from));
                match ends {
                    true if declared.contains(&record.position) => {
                        let scopes = batch.scopes().to_vec();
                        let batch = TapBatch::new(batch.feed().clone(), scopes, Vec::new());
                        Entry::TapCounts(Box::new(batch.expect("of its grain")))
                    }
                    true => Entry::Gone,
                    false => record.entry.clone(),
                }
            }
            other => other.clone(),
        };
        Record {
            position: record.position,
            stamp: record.stamp,
            entry,
        }
    };
    entries.iter().map(left).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn as_of_a_position_after_those_that_ended_nothing_has_changed(seed: u64) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut maker = Maker::new(seed);
        let mut random = StdRng::seed_from_u64(seed);
        let mut entries = history(&mut maker, ENTRIES);
        let probe = ledger_of(&entries, &dir.path().join("probe"));
        let ends = probe.read().months().ends().to_vec();
        let end = ends[random.random_range(0..ends.len())];
        let through = end.through;
        let first = end.until.hour().expect("a supported year").local_day().next();
        let before = LocalDay(first.0 - 3);
        entries.push(maker.place(Entry::TapCountsRemoved { before }, 0));
        entries.push(maker.place(Entry::IncidentsEnded { through, base: None }, 0));
        entries.extend(history(&mut maker, 60));
        let whole = ledger_of(&entries, &dir.path().join("whole"));
        let journal = gone(&entries, &whole, through);
        let taps_gone = journal.iter().zip(&entries).filter(|(left, told)| {
            matches!(told.entry, Entry::TapCounts(_)) && left != told
        });
        // Now and then nothing is old enough, and nothing is tested.
        prop_assume!(0 < taps_gone.count());

        let kept = Kept::new(&journal);
        let mut asker = Asker(StdRng::seed_from_u64(seed));
        let page = all_in(Order::Key);
        let wanted = wanted(&[]);
        let last = Position(entries.len() as u64);
        let stamp = |at: Position| Ok(Some(entries[usize::try_from(at.0).expect("few") - 1].stamp));
        for round in 0..3 {
            let at = match round {
                0 => through.next(),
                1 => last,
                _ => Position(random.random_range(through.0 + 1..=last.0)),
            };
            let place = usize::try_from(at.0).expect("few");
            let stopped = ledger_of(&entries[..place], &dir.path().join(round.to_string()));
            for _ in 0..QUESTIONS_EACH {
                let day = LocalDay(first.0 + random.random_range(0..20));
                let end = LocalDay(day.0 + random.random_range(1..20));
                let question = Question {
                    window: Window::new(day.start(), end.start()).expect("some days"),
                    ..asker.question()
                };
                let expected = answer_with_rates(&stopped, &question, &page, &wanted);
                let expected = expected.expect("an answer");
                let then = kept.then(&whole, at, u64::MAX);
                let found = answer_with_rates(then, &question, &page, &wanted);
                let found = found.expect("an answer");
                prop_assert_eq!(&found.feeds, &expected.feeds);
                prop_assert_eq!(&found.total, &expected.total, "{} {:?}", at, &question);
                prop_assert_eq!(&found.rates, &expected.rates, "{} {:?}", at, &question);
                let found = answer_as_of(&whole, &question, &page, at, stamp).expect("an answer");
                prop_assert_eq!(counted(found), counted(expected.answer), "{} {:?}", at, &question);

                // Not through the end of what has ended, nor of days of before.
                let refused = answer_as_of(&whole, &question, &page, through, stamp);
                let is_refused = matches!(refused, Err(QueryError::OutOfRange { .. }));
                prop_assert!(is_refused);
                let early = Question {
                    window: Window::new(LocalDay(first.0 - 1).start(), end.start()).expect("days"),
                    ..question
                };
                let then = kept.then(&whole, at, u64::MAX);
                let refused = answer_with_rates(then, &early, &page, &wanted);
                let is_refused = matches!(refused, Err(QueryError::Ended { .. }));
                prop_assert!(is_refused);
            }
        }
    }
}

#[test]
fn too_many_cells_of_months_that_ended_are_refused_for_what_they_are() {
    let mut book = Book::new(1);
    let (first, last) = (day("2025-05-05"), day("2026-10-25"));
    for (number, at) in [first, last].into_iter().enumerate() {
        let number = u32::try_from(number).expect("few");
        book.record(check_in(line_id(1), at.noon(), (0, number)));
    }
    let lines = (0..400).map(|number| {
        let line = format!("OP1:X{number}").parse().expect("a line");
        let slot = TapSlot { day: last, slot: 0 };
        ((TapScope::Line(line), slot), 1)
    });
    let feed = TapFeed {
        grain: TapGrain::Line,
        ..tap_feed(0)
    };
    tell(&mut book, &feed, &lines.collect());
    book.wait(70 * 24 * HOUR_MS);
    let end = book.ledger.read().months().ends()[0];
    book.apply(Entry::IncidentsEnded {
        through: end.through,
        base: None,
    });
    let ask = |by: &[Dimension]| {
        let question = Question {
            filter: Filter::all(Basis::SelfReported),
            by: Breakdown::new(by.to_vec()).expect("few"),
            window: Window::new(first.start(), last.next().start()).expect("some days"),
        };
        let page = all_in(Order::Key);
        let counts = crate::query::answer(&book.ledger, &question, &page).map(|_| ());
        let rates = answer_with_rates(&book.ledger, &question, &page, &wanted(&[])).map(|_| ());
        [counts, rates].map(Result::err)
    };
    // Tallies have every day and hour of a line, but not in one answer.
    for error in ask(&[Dimension::Line, Dimension::Day, Dimension::HourOfDay]) {
        assert!(matches!(error, Some(QueryError::TooManyRows)), "{error:?}");
    }
    let [counts, _] = ask(&[Dimension::Line, Dimension::Day]);
    assert!(counts.is_none(), "{counts:?}");
}
