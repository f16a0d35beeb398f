//! Whose taps a rate is made of: only feeds that told some of it are named.

use super::*;
use crate::ledger::testing::stop_id;

fn feed(operator: u32) -> TapFeed {
    TapFeed {
        id: format!("op{operator}.stops").parse().expect("a name"),
        operator: operator_code(operator),
        grain: TapGrain::Stop,
        interval: TapInterval::Hour,
        kinds: TapKinds::new([TapKind::CheckIn].into_iter().collect()).expect("taps"),
        refusals: Refusals::Excluded,
        day_begin: DayBegin::default(),
    }
}

/// Taps of the first operator at stop 1 in all hours of three days; and of the second one count, at
/// stop 2 on the third.
fn record() -> (Book, Window) {
    let mut book = Book::new(1);
    let first = day("2026-10-05");
    let window = Window::new(first.start(), day("2026-10-08").start()).expect("three days");
    let mut told = Told::new();
    for day in window.days() {
        for slot in 0..feed(1).slots(day) {
            told.insert((TapScope::Stop(stop_id(1)), TapSlot { day, slot }), 100);
        }
    }
    tell(&mut book, &feed(1), &told);
    let slot = TapSlot {
        day: day("2026-10-07"),
        slot: 8,
    };
    let once = Told::from([((TapScope::Stop(stop_id(2)), slot), 5)]);
    tell(&mut book, &feed(2), &once);
    for (number, at) in (0..).zip(window.days()) {
        let id = id_made_at(UtcMillis(0), number);
        book.record(Facts {
            operator: Some(operator_code(1)),
            stop: Some(stop_id(1)),
            tap_kind: Some(TapKind::CheckIn),
            ..blank_facts(id, RowTime::Hour(at.noon()), TimePrecision::Hour)
        });
    }
    (book, window)
}

fn names(feeds: &[(TapFeed, u64)]) -> Vec<&str> {
    feeds.iter().map(|(feed, _)| feed.id.as_str()).collect()
}

#[test]
fn rows_and_answers_name_only_feeds_that_told_some_of_their_taps() {
    let (book, window) = record();
    let check = |by: &[Dimension], stops: &[u32], feeds: &[&str], rows: &[&[usize]]| {
        let question = Question {
            filter: Filter {
                stops: stops.iter().map(|number| stop_id(*number)).collect(),
                ..Filter::all(Basis::SelfReported)
            },
            by: Breakdown::new(by.to_vec()).expect("few"),
            window,
        };
        let page = all_in(Order::Key);
        let wanted = wanted(&[]);
        for answer in [
            answer_with_rates(&book.ledger, &question, &page, &wanted),
            answer_with_rates_by_scan(&book.ledger, &question, &page, &wanted),
        ] {
            let answer = answer.expect("an answer");
            assert_eq!(names(&answer.feeds), feeds, "{by:?} {stops:?}");
            let places = |rate: &RateFigure| rate.feeds.places().collect::<Vec<_>>();
            let found: Vec<_> = answer.rates.iter().map(places).collect();
            assert_eq!(found, rows, "{by:?} {stops:?}");
            let all: Vec<usize> = (0..feeds.len()).collect();
            assert_eq!(places(&answer.total), all);
        }
    };
    let both = ["op1.stops", "op2.stops"];
    check(&[], &[], &both, &[&[0, 1]]);
    check(&[Dimension::Day], &[], &both, &[&[0], &[0], &[0, 1]]);
    check(&[Dimension::Stop], &[], &both, &[&[0]]);
    check(&[Dimension::Operator], &[], &both, &[&[0]]);
    check(&[Dimension::Signal], &[], &both, &[]);
    check(&[Dimension::Stop], &[1], &both[..1], &[&[0]]);
    check(&[Dimension::Stop], &[2], &both[1..], &[]);
    check(&[Dimension::Stop], &[3], &[], &[]);
}

#[test]
fn periods_over_the_taps_of_the_same_feeds_are_compared_over_taps_whatever_others_there_are() {
    let (book, _) = record();
    let day_of = |text: &str| day(text).window();
    let asked = |stops: Vec<u32>| {
        let wanted = CompareWanted {
            filter: Filter {
                stops: stops.into_iter().map(stop_id).collect(),
                ..Filter::all(Basis::SelfReported)
            },
            windows: [day_of("2026-10-07"), day_of("2026-10-06")],
            rates: wanted(&[]),
            leaves_out_outages: false,
        };
        compare(&book.ledger, None, &wanted)
            .expect("an answer")
            .over
    };
    assert_eq!(asked(vec![1]), Over::Taps);
    // On the first of the two days, another feed told some.
    assert_eq!(asked(vec![]), Over::Time);
}
