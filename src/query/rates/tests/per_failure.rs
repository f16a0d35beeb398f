//! Self-reports for each refusal that devices saw: one figure, whoever asks for it.

use super::*;
use crate::domain::taxonomy::{Mode, ReporterKind};
use crate::ledger::testing::NOON;

/// Has a device see one refusal in each of some hours.
fn observe(book: &mut Book, hours: impl Iterator<Item = Hour>) {
    for (number, hour) in (0..).zip(hours) {
        book.record(Facts {
            mode: Some(Mode::Tram),
            reporter: ReporterKind::Device,
            ..check_in(line_id(1), hour, (4, number))
        });
    }
}

fn ratio(figure: &RateFigure) -> RateRatio {
    figure.reports_per_failure.expect("there are both")
}

#[test]
fn reports_are_set_against_refusals_that_devices_saw() {
    let (mut book, question, _) = line_ten(40);
    let before = rated(&book, &question).rates[0];
    assert!(before.reports_per_failure.is_none());
    let start = question.window.start().0;
    observe(&mut book, (start..start + 400).map(Hour));
    let figure = rated(&book, &question).rates[0];
    assert_eq!(
        (figure.told.self_reports, figure.told.observed_refusals),
        (40, 400)
    );
    assert_eq!(ratio(&figure).estimate, Some(0.1));
    assert_eq!(figure.matching.reports, 40, "the two are never added up");
}

#[test]
fn reports_for_each_failure_are_the_same_whichever_basis_breakdown_and_taps_are_asked_for() {
    let (mut book, question, _) = line_ten(40);
    let start = question.window.start();
    observe(&mut book, (0..40).map(|_| Hour(start.0 + 9)));
    // Two reports on each of four days, and all refusals on the first: X² is (30² + 3 · 10²) / 10
    // on three degrees of freedom.
    let four_days = Window::new(start, day("2026-10-05").start()).expect("four days");
    let mut all = Vec::new();
    for basis in [Basis::SelfReported, Basis::Observed] {
        for by in [vec![], vec![Dimension::Mode], vec![Dimension::Line]] {
            let question = Question {
                filter: Filter::all(basis),
                by: Breakdown::new(by).expect("few"),
                window: four_days,
            };
            let rates = rated(&book, &question);
            let page = all_in(Order::Key);
            let scanned = answer_with_rates_by_scan(&book.ledger, &question, &page, &wanted(&[]));
            assert_eq!(
                ratio(&scanned.expect("an answer").total),
                ratio(&rates.total)
            );
            all.push(ratio(&rates.total));
            if question.by.dimensions() == [Dimension::Line] {
                all.push(ratio(&rates.rates[0]));
            }
        }
    }
    assert_eq!(all.len(), 8);
    for one in &all {
        assert_eq!(one.dispersion.factor(), 40.0);
        assert_eq!(one, &all[0]);
    }
    assert_eq!(all[0].estimate, Some(0.2));
    // What was told of before the record began scatters all the same.
    book.ledger.set_began(four_days.end().start());
    let later = Question {
        window: four_days,
        ..question
    };
    assert_eq!(ratio(&rated(&book, &later).rates[0]), all[0]);
}

#[test]
fn part_of_a_day_is_not_taken_for_a_quiet_day() {
    let (mut book, question, _) = line_ten(40);
    let start = Hour(question.window.start().0 + 18);
    let end = day("2026-10-03").start();
    observe(&mut book, (start.0..end.0).map(Hour));
    let check = |hours_of_day: u32, by: Vec<Dimension>, refusals| {
        let question = Question {
            filter: Filter {
                hours_of_day,
                ..Filter::all(Basis::Observed)
            },
            by: Breakdown::new(by).expect("few"),
            window: Window::new(start, end).expect("thirty hours"),
        };
        let rates = rated(&book, &question);
        let evenly = |figure: &RateFigure| ratio(figure).dispersion.factor() == 1.0;
        assert_eq!(rates.total.told.observed_refusals, refusals);
        assert!(evenly(&rates.total) && rates.rates.iter().all(evenly));
    };
    check(0, vec![], 30);
    check(0, vec![Dimension::HourOfDay], 30);
    check(0x00ff_0000, vec![], 14);
}

#[test]
fn time_that_has_not_been_yet_is_no_time_without_reports() {
    let mut book = Book::new(1);
    let now = NOON.hour().expect("a supported year");
    let start = LocalDay(now.local_day().0 - 2).start();
    // As many in each hour so far.
    observe(&mut book, (start.0..now.0).map(Hour));
    for (number, hour) in (0..).zip(start.0..now.0) {
        book.record(check_in(line_id(1), Hour(hour), (5, number)));
    }
    for basis in [Basis::SelfReported, Basis::Observed] {
        for by in [vec![], vec![Dimension::Line], vec![Dimension::HourOfDay]] {
            let question = Question {
                filter: Filter::all(basis),
                by: Breakdown::new(by).expect("few"),
                window: Window::new(start, Hour(start.0 + 40 * 24)).expect("some days"),
            };
            let page = all_in(Order::Key);
            let scanned = answer_with_rates_by_scan(&book.ledger, &question, &page, &wanted(&[]));
            for found in [rated(&book, &question), scanned.expect("an answer")] {
                for figure in found.rates.iter().chain([&found.total]) {
                    let dispersion = ratio(figure).dispersion;
                    assert!(dispersion.factor() < 1.001, "{question:?} {dispersion:?}");
                }
            }
        }
    }
}

#[test]
fn days_before_the_record_began_are_no_days_without_reports() {
    let mut book = Book::new(1);
    let now = NOON.hour().expect("a supported year");
    // Two days and six hours ago.
    let began = Hour(LocalDay(now.local_day().0 - 2).start().0 + 6);
    observe(&mut book, (began.0..now.0).map(Hour));
    for (number, hour) in (0..).zip(began.0..now.0) {
        book.record(check_in(line_id(1), Hour(hour), (5, number)));
    }
    let question = Question {
        filter: Filter::all(Basis::SelfReported),
        by: Breakdown::default(),
        window: Window::new(Hour(began.0 - 20 * 24), now).expect("some days"),
    };
    let factor = |book: &Book| {
        let page = all_in(Order::Key);
        let scanned = answer_with_rates_by_scan(&book.ledger, &question, &page, &wanted(&[]));
        let scanned = ratio(&scanned.expect("an answer").total);
        assert_eq!(scanned, ratio(&rated(book, &question).total));
        scanned.dispersion.factor()
    };
    assert!(2.0 < factor(&book));
    book.ledger.set_began(began.start());
    assert!(factor(&book) < 1.001);
}
