//! Observed refusals over the taps of feeds that say different things of refused ones.

use super::*;
use crate::domain::incident::CauseClaim;
use crate::domain::taxonomy::{Cause, ClaimSource, Outcome, ReporterKind, Signal, StaffAct};

const DAY: &str = "2026-09-30";

/// A feed of an operator's lines by day.
fn feed(operator: u32, kind: TapKind, refusals: Refusals) -> TapFeed {
    TapFeed {
        id: format!("op{operator}.{}", kind as u8)
            .parse()
            .expect("a name"),
        operator: operator_code(operator),
        grain: TapGrain::Line,
        interval: TapInterval::Day,
        kinds: TapKinds::new([kind].into_iter().collect()).expect("taps"),
        refusals,
        day_begin: DayBegin::default(),
    }
}

fn tell_day(book: &mut Book, feed: &TapFeed, line: u32, (at, taps): (LocalDay, u32)) {
    let place = (TapScope::Line(line_id(line)), TapSlot { day: at, slot: 0 });
    tell(book, feed, &Told::from([(place, taps)]));
}

/// Ten refusals and 990 taps of a line of each of two operators, of which one counts refused taps
/// in; and what neither day nor row has.
fn record() -> Book {
    let mut book = Book::new(1);
    let at = day(DAY);
    for (operator, refusals) in [(1, Refusals::Included), (2, Refusals::Excluded)] {
        let feed = feed(operator, TapKind::CheckIn, refusals);
        tell_day(&mut book, &feed, operator, (at, 990));
        for number in 0..10u32 {
            book.record(Facts {
                operator: Some(operator_code(operator)),
                reporter: ReporterKind::Device,
                ..check_in(line_id(operator), at.noon(), (operator.into(), number))
            });
        }
    }
    // Of another day, by which no row of this one is any less sure.
    let other = feed(1, TapKind::CheckOut, Refusals::Unknown);
    tell_day(&mut book, &other, 1, (at.next(), 50));
    book
}

fn attempts(figure: &RateFigure) -> Result<u64, &'static str> {
    match figure.rate {
        Ok(Rate::Failures { attempts, .. }) => Ok(attempts),
        Ok(Rate::Reports { .. }) => Err("reports"),
        Err(missing) => Err(missing.key()),
    }
}

#[test]
fn each_row_goes_by_the_feeds_whose_taps_are_in_it() {
    let book = record();
    let unknown = Err("refusals-unknown");
    let check = |by: &[Dimension], operators: &[u32], rows: &[Result<u64, _>], total| {
        let operators = operators.iter().map(|number| operator_code(*number));
        let question = Question {
            filter: Filter {
                operators: operators.collect(),
                ..Filter::all(Basis::Observed)
            },
            by: Breakdown::new(by.to_vec()).expect("few"),
            window: day(DAY).window(),
        };
        let (page, wanted) = (all_in(Order::Key), wanted(&[]));
        let now = answer_with_rates(&book.ledger, &question, &page, &wanted);
        let scanned = answer_with_rates_by_scan(&book.ledger, &question, &page, &wanted);
        for found in [now, scanned] {
            let found = found.expect("an answer");
            let each: Vec<_> = found.rates.iter().map(attempts).collect();
            assert_eq!(each, rows, "{question:?}");
            assert_eq!(attempts(&found.total), total, "{question:?}");
        }
    };
    check(&[Dimension::Operator], &[], &[Ok(990), Ok(1_000)], unknown);
    check(&[Dimension::Line], &[], &[Ok(990), Ok(1_000)], unknown);
    // Taps of both, which cannot be told apart.
    check(&[Dimension::Day], &[], &[unknown], unknown);
    check(&[Dimension::Day], &[1], &[Ok(990)], Ok(990));
    check(&[], &[2], &[Ok(1_000)], Ok(1_000));
}

/// What was seen of a refused tap, what caused it, how it ended and what staff did.
type Kind = (Signal, Cause, Outcome, StaffAct);

const KINDS: [(Kind, u32); 2] = [
    (
        (
            Signal::RedBeep,
            Cause::CardUnreadable,
            Outcome::FreeRide,
            StaffAct::LetRideFree,
        ),
        30,
    ),
    (
        (
            Signal::DeadScreen,
            Cause::ReaderFault,
            Outcome::MissedRide,
            StaffAct::CouldNotHelp,
        ),
        20,
    ),
];

/// A tap of line 1 that was refused so.
fn refused((signal, cause, outcome, act): Kind, at: LocalDay, of: (i64, u32)) -> Facts {
    let claim = CauseClaim {
        cause,
        source: ClaimSource::Display,
    };
    Facts {
        reporter: ReporterKind::Device,
        signal: Some(signal),
        cause_claims: [claim].into_iter().collect(),
        outcomes: [outcome].into_iter().collect(),
        staff_acts: [act].into_iter().collect(),
        ..check_in(line_id(1), at.noon(), of)
    }
}

/// Two days with so many taps each, by a feed that leaves refused ones out, of which 30 of one kind
/// and 20 of another were observed on each.
pub(super) fn two_kinds_of_refusal(grain: TapGrain, taps: u32) -> (Book, Window) {
    let mut book = Book::new(1);
    let kinds = [TapKind::CheckIn, TapKind::CheckOut, TapKind::Transfer];
    let feed = TapFeed {
        grain,
        kinds: TapKinds::new(kinds.into_iter().collect()).expect("taps"),
        ..feed(1, TapKind::CheckIn, Refusals::Excluded)
    };
    let first = day(DAY);
    let days = [first, first.next()];
    let scope = match grain {
        TapGrain::Line => TapScope::Line(line_id(1)),
        _ => TapScope::Operator,
    };
    let told = days.map(|day| ((scope.clone(), TapSlot { day, slot: 0 }), taps));
    tell(&mut book, &feed, &Told::from(told));
    let mut group = 0;
    for at in days {
        for (kind, count) in KINDS {
            group += 1;
            (0..count).for_each(|number| book.record(refused(kind, at, (group, number))));
        }
    }
    let window = Window::new(first.start(), days[1].next().start());
    (book, window.expect("two days"))
}

/// Takes some refusals alone.
type Narrow<'a> = &'a dyn Fn(&mut Filter);

#[test]
fn failure_rates_of_one_kind_are_over_all_attempts() {
    let taken: [(Dimension, Narrow<'_>); 4] = [
        (Dimension::Signal, &|filter| {
            filter.signals = [Signal::RedBeep].into_iter().collect();
        }),
        (Dimension::Cause, &|filter| {
            filter.causes = [Cause::CardUnreadable].into_iter().collect();
        }),
        (Dimension::Outcome, &|filter| {
            filter.outcomes = [Outcome::FreeRide].into_iter().collect();
        }),
        (Dimension::StaffAct, &|filter| {
            filter.staff_acts = [StaffAct::LetRideFree].into_iter().collect();
        }),
    ];
    for grain in [TapGrain::Operator, TapGrain::Line] {
        for taps in [60, 0] {
            let (book, window) = two_kinds_of_refusal(grain, taps);
            let all = u64::from(2 * taps) + 100;
            let check = |by: &[Dimension], narrow: Narrow<'_>, rows: &[u64]| {
                let mut filter = Filter::all(Basis::Observed);
                narrow(&mut filter);
                let by = Breakdown::new(by.to_vec()).expect("few");
                let question = Question { filter, by, window };
                let (page, wanted) = (all_in(Order::Count), wanted(&[]));
                let now = answer_with_rates(&book.ledger, &question, &page, &wanted);
                let scanned = answer_with_rates_by_scan(&book.ledger, &question, &page, &wanted);
                for found in [now, scanned] {
                    let found = found.expect("an answer");
                    let each: Vec<_> = found.rates.iter().map(attempts).collect();
                    let expected: Vec<_> = rows.iter().map(|attempts| Ok(*attempts)).collect();
                    assert_eq!(each, expected, "{question:?}");
                    assert_eq!(attempts(&found.total), Ok(all), "{question:?}");
                    let scatter = found.rates[0].dispersion;
                    // As much failed on both days, where a row is about both.
                    let is_of_one = question.by.dimensions().contains(&Dimension::Day);
                    let days = if is_of_one { 0 } else { 2 };
                    assert_eq!((scatter.days(), scatter.factor()), (days, 1.0));
                }
            };
            for (dimension, narrow) in taken {
                check(&[dimension], &|_| (), &[all, all]);
                check(&[], narrow, &[all]);
                check(&[Dimension::Day], narrow, &[all / 2, all / 2]);
                check(&[Dimension::Day, dimension], &|_| (), &[all / 2; 4]);
            }
        }
    }
}
