//! Rankings against the rules of `stats::ranking` on plainly counted numbers.

use super::super::super::tests::{Book, day};
use super::super::choice::{Candidates, ScopesByFeed};
use super::*;
use crate::domain::taps::{
    TapBatch, TapCount, TapFeed, TapGrain, TapInterval, TapScope, TapSlot, Taps,
};
use crate::domain::taxonomy::{ReporterKind, TapKind, TimePrecision};
use crate::domain::testing::{blank_facts, id_made_at};
use crate::domain::{Entry, Facts, Hour, LineId, LocalDay, RowTime, UtcMillis};
use crate::ledger::testing::{operator_code, tap_feed};

/// Lines with taps on every day.
const LINES: u32 = 26;
/// The line that is six times as bad as the others.
const BAD: u32 = 11;
/// The line without a single report.
const SILENT: u32 = 5;
const TAPS_A_DAY: u32 = 1_000;
const FIRST_DAY: &str = "2026-10-01";

fn line(number: u32) -> LineId {
    format!("OP1:{number}").parse().expect("a line")
}

fn window() -> Window {
    let end = day("2026-11-01").start();
    Window::new(day(FIRST_DAY).start(), end).expect("a month")
}

fn feed() -> TapFeed {
    TapFeed {
        id: "op1.lines".parse().expect("a name"),
        grain: TapGrain::Line,
        interval: TapInterval::Day,
        ..tap_feed(0)
    }
}

fn tell(book: &mut Book, number: u32, taps: u32) {
    let counts = window().days().map(|day| TapCount {
        scope: TapScope::Line(line(number)),
        slot: TapSlot { day, slot: 0 },
        taps: Taps::new(taps.into()).expect("few"),
    });
    for batch in TapBatch::pack(&feed(), counts.collect::<Vec<_>>()) {
        book.apply(Entry::TapCounts(Box::new(batch)));
    }
}

fn report(book: &mut Book, number: u32, count: u32, reporter: ReporterKind) {
    for one in 0..count {
        let scope = u64::from(number) << 8 | reporter as u64;
        let id = id_made_at(UtcMillis(0), scope << 32 | u64::from(one));
        let at = LocalDay(day(FIRST_DAY).0 + i32::try_from(one % 31).expect("small"));
        let time = RowTime::Hour(Hour(at.start().0 + 9));
        book.record(Facts {
            operator: Some(operator_code(1)),
            line: Some(line(number)),
            tap_kind: Some(TapKind::CheckIn),
            reporter,
            ..blank_facts(id, time, TimePrecision::Hour)
        });
    }
}

fn reports_of(number: u32) -> u32 {
    match number {
        BAD => 186,
        SILENT => 0,
        _ => 31,
    }
}

/// All lines with taps and reports; line 90 with few taps, line 91 with reports and no taps.
fn book(reporter: ReporterKind) -> Book {
    let mut book = Book::new(1);
    for number in 0..LINES {
        tell(&mut book, number, TAPS_A_DAY);
        report(&mut book, number, reports_of(number), reporter);
    }
    tell(&mut book, 90, 10);
    report(&mut book, 90, 2, reporter);
    report(&mut book, 91, 40, reporter);
    book
}

fn wanted(basis: Basis, by: RankBy) -> RankWanted {
    RankWanted {
        by,
        filter: Filter::all(basis),
        window: window(),
        feeds: Vec::new(),
        level: Level::P95,
        leaves_out_outages: false,
    }
}

fn key_of(scopes: &[RankedScope]) -> Vec<&str> {
    scopes.iter().map(|scope| scope.key.as_str()).collect()
}

#[test]
fn observed_refusals_are_ranked_with_silent_lines_and_small_ones_apart() {
    let book = book(ReporterKind::Device);
    let answer = rank_scopes(&book.ledger, &wanted(Basis::Observed, RankBy::Line));
    let answer = answer.expect("an answer");
    let Places::Observed(_, places) = &answer.places else {
        panic!("a difference is there");
    };
    assert_eq!(places.len(), LINES as usize);
    assert_eq!(answer.enough, places.len());
    assert_eq!(places[0].0.key, line(BAD).as_str());
    assert!(places[0].1.expected_rank < 1.01 && 0.999 < places[0].1.probability_above);
    let (last, ranked) = places.last().expect("not empty");
    assert_eq!(last.key, line(SILENT).as_str());
    assert_eq!(last.figure.matching.matched, 0);
    assert!(0.0 < ranked.shrunken_rate && ranked.low < ranked.shrunken_rate);
    assert_eq!(key_of(&answer.too_little), ["OP1:90"]);
    assert_eq!(key_of(&answer.without_rate), ["OP1:91"]);
    // The feed leaves refused taps out, so that attempts are taps and refusals.
    let refusals: u32 = (0..LINES).map(reports_of).sum::<u32>() + 2;
    let taps = 31 * (TAPS_A_DAY * LINES + 10);
    let expected = f64::from(refusals) / f64::from(taps + refusals);
    let found = answer.network_rate.expect("there are rates");
    assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
    // The same numbers, counted plainly, in the same order of lines.
    let scopes: Vec<_> = places.iter().map(|(scope, _)| scope.clone()).collect();
    let plain: Vec<Scope> = (scopes.iter().chain(&answer.too_little))
        .map(|scope| {
            let number = scope.key[4..].parse::<u32>().expect("a number");
            let (refusals, taps) = match number {
                90 => (2, 310),
                number => (reports_of(number), 31 * TAPS_A_DAY),
            };
            let attempts = f64::from(taps + refusals);
            Scope {
                rate: EventRate::new(refusals.into(), attempts).expect("attempts"),
                dispersion: scope.figure.dispersion,
            }
        })
        .collect();
    let ranking = ranking::rank_observed(&plain, Level::P95);
    let Verdict::Shown { scopes: ranked, .. } = ranking.verdict else {
        panic!("a difference is there");
    };
    for one in ranked {
        let near = |one: f64, other: f64| (one - other).abs() <= 1e-9 * other.abs();
        let found = &places[one.scope].1;
        assert!(near(found.shrunken_rate, one.shrunken_rate));
        assert!(near(found.high, one.high));
    }
}

#[test]
fn self_reports_are_told_with_the_ratio_that_reverses_them() {
    let book = book(ReporterKind::Traveller);
    let answer = rank_scopes(&book.ledger, &wanted(Basis::SelfReported, RankBy::Line));
    let answer = answer.expect("an answer");
    let Places::SelfReported(_, places) = &answer.places else {
        panic!("a difference is there");
    };
    let (first, suspected) = &places[0];
    assert_eq!(first.key, line(BAD).as_str());
    let Ok(Rate::Reports { per_100_000, .. }) = first.figure.rate else {
        panic!("it has a rate");
    };
    assert!((per_100_000 - 600.0).abs() < 1e-9);
    let network = answer.network_rate.expect("there are rates");
    // Its own rate over the network's, but for shrinkage.
    let own = per_100_000 / network;
    assert!(
        (0.8 * own..own).contains(&suspected.reversing_ratio),
        "{suspected:?}"
    );
    let order: Vec<f64> = places
        .iter()
        .map(|(_, one)| one.probability_above)
        .collect();
    assert!(order.is_sorted_by(|one, next| next <= one));
}

#[test]
fn one_operator_is_too_few_and_equal_lines_show_no_difference() {
    let mut book = Book::new(2);
    for number in 0..LINES {
        tell(&mut book, number, TAPS_A_DAY);
        report(&mut book, number, 31, ReporterKind::Traveller);
    }
    let rank = |by| rank_scopes(&book.ledger, &wanted(Basis::SelfReported, by));
    let by_line = rank(RankBy::Line).expect("an answer");
    assert_eq!(by_line.places, Places::NoDifference);
    assert_eq!(by_line.enough, LINES as usize);
    let by_operator = rank(RankBy::Operator).expect("an answer");
    assert_eq!(
        (by_operator.places, by_operator.enough),
        (Places::TooFewScopes, 1)
    );
    // No feed tells taps by stop, and no report knows its stop.
    let by_stop = rank(RankBy::Stop).expect("an answer");
    assert_eq!(by_stop.places, Places::TooFewScopes);
    assert!(by_stop.too_little.is_empty() && by_stop.network_rate.is_none());
}

#[test]
fn silent_lines_say_of_their_days_what_lines_with_reports_do() {
    let mut book = Book::new(3);
    for number in 0..3 {
        tell(&mut book, number, TAPS_A_DAY);
    }
    let state = book.ledger.read();
    let check = |by, reported: &[Option<bool>], expected: Option<bool>| {
        let wanted = wanted(Basis::SelfReported, by);
        let question = Question {
            filter: wanted.filter.clone(),
            by: Breakdown::new(vec![by.dimension()]).expect("one dimension"),
            window: wanted.window,
        };
        let rates = RatesWanted {
            feeds: Vec::new(),
            estimator: Estimator::Standard,
            level: Level::P95,
        };
        let dictionary = state.dictionary();
        let feeds = Candidates::of(&question, &rates, state.taps(), dictionary);
        let choice = feeds.settle(&ScopesByFeed::default(), &rates);
        let choice = choice.expect("nothing is named");
        let reported = (90..).zip(reported).map(|(number, flag)| Figure {
            keys: vec![line(number).to_string()],
            count: 1,
            rests_on_few_days: *flag,
        });
        let silent = Silent {
            wanted: &wanted,
            choice: &choice,
            dictionary,
            known: BTreeSet::new(),
        };
        let silent = silent.keys(|| panic!("few scopes")).expect("few scopes");
        let all = all_scopes(reported.collect(), silent, &wanted);
        let silent: Vec<_> = all.iter().filter(|row| row.count == 0).collect();
        assert!(!silent.is_empty());
        for row in silent {
            assert_eq!(row.rests_on_few_days, expected, "{by:?} {row:?}");
        }
    };
    check(RankBy::Line, &[Some(true), Some(false)], Some(false));
    check(RankBy::Line, &[None, None], None);
    check(RankBy::Line, &[], Some(false));
    check(RankBy::Operator, &[], None);
}

#[test]
fn scopes_of_other_months_take_no_place_in_a_ranking() {
    let mut book = book(ReporterKind::Device);
    let wanted = wanted(Basis::Observed, RankBy::Line);
    let before = rank_scopes(&book.ledger, &wanted).expect("an answer");
    let mut tell_on = |text: &str| {
        let slot = TapSlot {
            day: day(text),
            slot: 0,
        };
        let lines = 100..100 + u32::try_from(RANKED_SCOPES_MAX).expect("few");
        let counts = lines.map(|number| TapCount {
            scope: TapScope::Line(line(number)),
            slot,
            taps: Taps::new(1).expect("few"),
        });
        for batch in TapBatch::pack(&feed(), counts.collect::<Vec<_>>()) {
            book.apply(Entry::TapCounts(Box::new(batch)));
        }
        rank_scopes(&book.ledger, &wanted)
    };
    let after = tell_on("2026-09-05").expect("an answer");
    assert_eq!(after.places, before.places);
    assert_eq!(after.too_little, before.too_little);
    assert_eq!(after.without_rate, before.without_rate);
    let refused = tell_on("2026-10-05");
    assert!(matches!(refused, Err(QueryError::TooManyRows)));
}

#[test]
fn feed_that_is_not_known_is_refused_by_its_place() {
    let book = book(ReporterKind::Traveller);
    let wanted = RankWanted {
        feeds: vec![feed().id, "other".parse().expect("a name")],
        ..wanted(Basis::SelfReported, RankBy::Line)
    };
    let refused = rank_scopes(&book.ledger, &wanted);
    assert!(matches!(refused, Err(QueryError::UnknownFeed { place: 1 })));
}
