//! Figures without the days of declared outages are those of a plain count that passes over
//! them, from tallies and by a scan.

use super::*;
use crate::domain::{OutageChange, OutageDay};

/// Days that were declared and not withdrawn, told one by one.
type Declared = BTreeSet<OutageDay>;

/// Declares and withdraws outages, and keeps account of them in the plainest way.
fn declare(book: &mut Book, declared: &mut Declared) {
    let around = day(DAYS[book.random.random_range(0..DAYS.len())]);
    let entry = book.maker.outage_around(around);
    let Entry::OutageChanged(OutageChange {
        outage,
        is_withdrawal,
    }) = &entry
    else {
        panic!("an outage was asked for");
    };
    for number in outage.first().0..=outage.last().0 {
        let one = OutageDay {
            day: LocalDay(number),
            operator: outage.operator().cloned(),
        };
        if *is_withdrawal {
            declared.remove(&one)
        } else {
            declared.insert(one)
        };
    }
    book.apply(entry);
}

/// Those that concern a question.
fn concerning(declared: &Declared, question: &Question) -> Vec<OutageDay> {
    let filter = &question.filter;
    let is_wanted = |one: &&OutageDay| {
        let mut hours = one.day.window().hours();
        let is_inside = hours.any(|hour| question.window.contains(hour));
        let is_taken = one.operator.as_ref().is_none_or(|operator| {
            let lines = filter.lines.iter();
            let lines: Vec<_> = lines.map(|line| line.operator()).collect();
            is_listed(&filter.operators, Some(operator)) && is_listed(&lines, Some(operator))
        });
        is_inside && is_taken
    };
    declared.iter().filter(is_wanted).cloned().collect()
}

fn check(book: &Book, declared: &Declared, question: &Question, answer: &Answer) -> bool {
    let days = concerning(declared, question);
    assert_eq!(answer.outages, days, "{question:?}");
    let Some(without) = &answer.without else {
        assert!(days.is_empty());
        return false;
    };
    let mut less = question.clone();
    less.filter.without_days = days.into_iter().map(|one| one.day).collect();
    let counted = book.count(&less);
    let counts: BTreeMap<_, _> = counted
        .figures
        .into_iter()
        .map(|figure| (figure.keys, figure.count))
        .collect();
    assert_eq!(
        (without.total, without.left_out),
        (counted.total, counted.left_out),
        "{question:?}"
    );
    for (figure, count) in answer.figures.iter().zip(&without.counts) {
        let expected = counts.get(&figure.keys).copied();
        match count {
            Some(count) => assert_eq!(*count, expected.unwrap_or(0), "{figure:?} {question:?}"),
            // No other day is of the row.
            None => assert_eq!(expected, None, "{figure:?} {question:?}"),
        }
    }
    true
}

#[test]
fn second_figures_are_a_plain_count_that_passes_over_days_of_outages() {
    let (mut asked, mut tallied, mut without, mut gone) = (0, 0, 0, 0);
    for seed in 0..6 {
        let mut book = Book::new(seed);
        let mut declared = Declared::new();
        book.grow(600);
        for _ in 0..4 {
            declare(&mut book, &mut declared);
        }
        book.grow(300);
        let mut asker = Asker(StdRng::seed_from_u64(seed));
        for number in 0..QUESTIONS {
            let question = asker.question();
            let mut page = all_in(Order::Key);
            if number % 3 == 0 {
                (page.rows, page.order) = (4, Order::Count);
            }
            let found = answer(&book.ledger, &question, &page).expect("an answer");
            let scanned = answer_by_scan(&book.ledger, &question, &page).expect("an answer");
            assert_eq!(found.without, scanned.without, "{question:?}");
            assert_eq!(found.outages, scanned.outages);
            asked += 1;
            without += usize::from(check(&book, &declared, &question, &found));
            tallied += usize::from(found.effort == Effort::Tallies);
            let counts = found.without.map(|without| without.counts);
            gone += usize::from(counts.is_some_and(|counts| counts.contains(&None)));
        }
    }
    assert!(asked / 4 < without, "{without} of {asked} with outages");
    assert!(asked / 4 < tallied, "{tallied} of {asked} from tallies");
    assert_ne!(gone, 0, "some rows have no other day");
}

#[test]
fn token_of_a_page_holds_also_when_an_outage_is_declared_meanwhile() {
    let mut book = Book::new(3);
    book.grow(300);
    let window = Window::new(day(DAYS[0]).start(), day("2026-11-30").start());
    let question = question(&[Dimension::Line], window.expect("not empty"));
    let mut declared = Declared::new();
    let one = answer_by_scan(&book.ledger, &question, &all_in(Order::Key));
    let expected = one.expect("an answer").figures;
    let paged = in_pages(&mut book, &question, (Order::Key, 3), |book| {
        declare(book, &mut declared);
    });
    assert_eq!(paged, expected);
}

#[test]
fn counts_of_the_rows_of_a_page_are_theirs_however_they_are_kept() {
    let mut book = Book::new(4);
    book.grow(900);
    let window = Window::new(day(DAYS[0]).start(), day("2026-11-30").start());
    let window = window.expect("not empty");
    for by in [
        &[][..],
        &[Dimension::Stop, Dimension::Day],
        &[Dimension::HourOfDay, Dimension::Cause],
        &[Dimension::Month, Dimension::Weekday, Dimension::Line],
    ] {
        let question = question(by, window);
        let view = book.ledger.scan_view().expect("a view");
        let (mut counts, _) = scan(&view, &question).expect("a scan");
        let mut rows = book.count(&question).figures;
        rows.truncate(20);
        let mut expected: Vec<u64> = rows.iter().map(|row| row.count).collect();
        if let Some(row) = rows.first().filter(|row| !row.keys.is_empty()) {
            // Of what nobody knows there is nothing.
            let keys = vec!["?".to_owned(); row.keys.len()];
            rows.push(Figure {
                keys,
                ..row.clone()
            });
            expected.push(0);
        }
        assert_eq!(counts.of_rows(&rows, &view.dictionary), expected, "{by:?}");
        let Cells::Dense(cells) = &counts.cells else {
            panic!("few cells");
        };
        let entries = (0..).zip(cells.iter().copied());
        counts.cells = Cells::Sparse(entries.filter(|(_, count)| *count != 0).collect());
        assert_eq!(counts.of_rows(&rows, &view.dictionary), expected, "{by:?}");
    }
}
