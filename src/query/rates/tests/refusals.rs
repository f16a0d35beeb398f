//! Observed refusals over the taps of feeds that say different things of refused ones.

use super::*;
use crate::domain::taxonomy::ReporterKind;

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
