//! Whether rows say that they rest on few days, however they are counted.

use std::ops::Range;
use std::sync::Arc;

use super::*;
use crate::domain::LineId;
use crate::domain::incident::is_observed;
use crate::domain::limits::LINE_DAYS_MAX;
use crate::domain::taxonomy::TimePrecision;
use crate::domain::testing::{blank_facts, id_of};

fn by_line() -> Question {
    let year = Window::new(day("2026-01-01").start(), day("2027-01-01").start());
    question(&[Dimension::Line], year.expect("not empty"))
}

fn figures(counts: &Counts, asked: (&Question, Recorded), dictionary: &Dictionary) -> Vec<Figure> {
    page::cut(counts, asked, &all_in(Order::Key), dictionary).0
}

fn from_tallies(ledger: &Ledger, question: &Question, bounds: Bounds) -> Vec<Figure> {
    let book = tallied::open(&ledger.read(), question);
    let mut book = book.expect("tallies suffice");
    book.bounds = bounds;
    let axes = book.axes().expect("few cells");
    let counts = book.tally(question, axes).expect("room");
    let from = book.origin(ledger.began());
    figures(&counts, (question, from.recorded), book.dictionary())
}

fn by_scan(
    (view, recorded): (&ScanView, Recorded),
    question: &Question,
    bounds: Bounds,
) -> Vec<Figure> {
    let (counts, _) = scan_within(view, question, bounds).expect("a scan");
    figures(&counts, (question, recorded), &view.dictionary)
}

fn recorded(ledger: &Ledger) -> Recorded {
    Recorded {
        began: ledger.began(),
        until: ledger.read().stamp(),
    }
}

/// The cells of all lines and days.
fn cells(ledger: &Ledger, question: &Question) -> u64 {
    let dictionary = Arc::clone(ledger.read().dictionary());
    Axes::new(&super::super::few_days::to_count(question), &dictionary).cells
}

/// Records a self-report again and again, under other ids and of other lines.
fn more(book: &mut Book, numbers: Range<u32>, line: impl Fn(u32) -> LineId) {
    let mut reports = book.kept.iter().map(|(facts, _)| facts);
    let facts = reports.find(|facts| !is_observed(facts)).expect("some");
    let facts = facts.clone();
    for number in numbers {
        let mut id = *facts.id.as_bytes();
        id[12..].copy_from_slice(&number.to_be_bytes());
        let line = line(number);
        book.record(Facts {
            id: id_of(id),
            operator: Some(line.operator()),
            line: Some(line),
            ..facts.clone()
        });
    }
}

#[test]
fn rows_say_it_up_to_the_bound_and_not_beyond_from_tallies_and_by_a_scan() {
    let mut book = Book::new(11);
    book.grow(900);
    // Some of the days that have any lie before.
    book.ledger.set_began(day("2026-06-01").noon().start());
    // Many of one line on one day.
    more(&mut book, 0..30, |_| line_id(2));
    let mut question = by_line();
    for operators in [vec![], vec![operator_code(1), operator_code(2)]] {
        question.filter.operators = operators;
        let expected = book.count(&question).figures;
        for flag in [true, false] {
            let has = |row: &Figure| row.rests_on_few_days == Some(flag);
            assert!(expected.iter().any(has), "{flag}");
        }
        let unsaid: Vec<Figure> = expected.iter().map(without_days).collect();
        let told = expected.len() as u64 * 365;
        let view = book.ledger.scan_view().expect("a view");
        let recorded = recorded(&book.ledger);
        for at_once in [0, cells(&book.ledger, &question) - 1, u64::MAX] {
            for (told, expected) in [(told, &expected), (told - 1, &unsaid)] {
                let bounds = Bounds { at_once, told };
                let found = from_tallies(&book.ledger, &question, bounds);
                assert_eq!(&found, expected, "tallies: {bounds:?}");
                let found = by_scan((&view, recorded), &question, bounds);
                assert_eq!(&found, expected, "{bounds:?}");
            }
        }
    }
}

#[test]
fn days_before_the_record_began_are_no_days_without_reports() {
    // Five reports of one line on each of the last eleven days of September.
    let mut book = Book::new(13);
    let first = day("2026-09-20");
    let line = line_id(2);
    for number in 0..55 {
        let time = RowTime::Day(LocalDay(first.0 + i32::from(number % 11)));
        book.record(Facts {
            operator: Some(line.operator()),
            line: Some(line.clone()),
            ..blank_facts(id_of([number; 16]), time, TimePrecision::Day)
        });
    }
    let month = Window::new(day("2026-09-01").start(), day("2026-10-01").start());
    let question = question(&[Dimension::Line], month.expect("not empty"));
    let flag = || {
        let view = book.ledger.scan_view().expect("a view");
        let found = [0, u64::MAX].map(|at_once| {
            let told = LINE_DAYS_MAX;
            let bounds = Bounds { at_once, told };
            let rows = from_tallies(&book.ledger, &question, bounds);
            let scanned = by_scan((&view, recorded(&book.ledger)), &question, bounds);
            assert_eq!(rows, scanned);
            rows[0].rests_on_few_days
        });
        assert_eq!(found[0], found[1]);
        found[0]
    };
    // The median day of thirty has none.
    assert_eq!(flag(), Some(true));
    book.ledger.set_began(first.noon().start());
    assert_eq!(flag(), Some(false));
}

#[test]
fn lines_that_are_known_later_do_not_change_what_rows_say_as_of_before() {
    let mut book = Book::new(12);
    book.grow(600);
    let question = by_line();
    let expected = book.count(&question).figures;
    let bounds = Bounds {
        at_once: cells(&book.ledger, &question),
        told: expected.len() as u64 * 365,
    };
    let (at, recorded) = (book.ledger.read().position(), recorded(&book.ledger));
    assert_eq!(from_tallies(&book.ledger, &question, bounds), expected);
    more(&mut book, 1_000..1_040, line_id);
    assert!(bounds.at_once < cells(&book.ledger, &question));
    let view = book.ledger.scan_view_as_of(at).expect("a view");
    assert_eq!(by_scan((&view, recorded), &question, bounds), expected);
}

#[test]
fn bound_is_the_one_that_the_api_tells() {
    let proto = include_str!("../../../proto/mistap/v1/statistics_service.proto");
    let words: Vec<&str> = proto
        .split_whitespace()
        .filter(|word| *word != "//")
        .collect();
    let digits = LINE_DAYS_MAX.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    let told = format!("times days of the window are at most {}", groups.join(","));
    let found = words.join(" ").matches(&told).count();
    assert_eq!(found, 2, "of figures and of rankings: {told}");
}
