//! Rates against a plain recount, the worked example, and what makes a rate impossible.

mod as_of;
mod both_ways;
mod clashes;
mod compared;
mod ended;
mod per_failure;
mod refusals;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::tests::{Asker, Book, DAYS, all_in, day, takes, values};
use super::*;
use crate::domain::question::{Breakdown, Filter};
use crate::domain::taps::{
    DayBegin, TapBatch, TapCount, TapFeed, TapGrain, TapInterval, TapKinds, TapScope, TapSlot, Taps,
};
use crate::domain::taxonomy::{CardKind, SetOf, TapKind, TimePrecision};
use crate::domain::testing::{blank_facts, id_made_at, id_of};
use crate::domain::{
    Dimension, Entry, Facts, Hour, LineId, LocalDay, Outage, OutageChange, Row, RowTime, UtcMillis,
    Window,
};
use crate::ledger::testing::{line_id, operator_code, tap_feed, tap_scope};
use crate::query::Order;

const QUESTIONS: usize = 60;
/// Different numbers of scopes.
const SCOPES: u32 = 12;

/// Taps of one feed.
pub(super) type Told = BTreeMap<(TapScope, TapSlot), u32>;

pub(super) fn wanted(feeds: &[&TapFeed]) -> RatesWanted {
    RatesWanted {
        feeds: feeds.iter().map(|feed| feed.id.clone()).collect(),
        estimator: Estimator::Standard,
        level: Level::P95,
    }
}

/// The four feeds, of which two count refused taps in, and one of service days by line.
pub(super) fn feeds() -> Vec<TapFeed> {
    let kinds = [TapKind::CheckIn, TapKind::CheckOut, TapKind::Transfer];
    let all = TapKinds::new(kinds.into_iter().collect()).expect("taps");
    let mut feeds: Vec<TapFeed> = (0..4).map(tap_feed).collect();
    for feed in &mut feeds[..3] {
        feed.kinds = all;
    }
    for feed in &mut feeds[1..3] {
        feed.refusals = Refusals::Included;
    }
    feeds.push(TapFeed {
        id: "feed-4".parse().expect("a name"),
        grain: TapGrain::Line,
        interval: TapInterval::Day,
        day_begin: DayBegin::new(4).expect("early"),
        ..feeds[0].clone()
    });
    feeds
}

pub(super) fn tell(book: &mut Book, feed: &TapFeed, told: &Told) {
    let counts = told.iter().map(|((scope, slot), taps)| TapCount {
        scope: scope.clone(),
        slot: *slot,
        taps: Taps::new((*taps).into()).expect("few"),
    });
    for batch in TapBatch::pack(feed, counts) {
        book.apply(Entry::TapCounts(Box::new(batch)));
    }
}

/// Random taps around the days on which incidents happen: of many scopes, on most days, whole
/// or in part.
fn made(random: &mut StdRng, feed: &TapFeed) -> Told {
    let mut told = Told::new();
    for text in DAYS {
        for shift in -3..4 {
            let day = LocalDay(day(text).0 + shift);
            for number in 0..SCOPES {
                let part = match random.random_range(0..8) {
                    0 => 0,
                    1 => 50,
                    _ => 100,
                };
                for slot in 0..feed.slots(day) {
                    if random.random_range(0..100) < part {
                        let slot = TapSlot { day, slot };
                        let taps = random.random_range(0..40);
                        told.insert((tap_scope(feed.grain, number), slot), taps);
                    }
                }
            }
        }
    }
    told
}

/// An interval as rates know it: an hour, or a service day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Hour(u32),
    Day(i32),
}

/// Taps by scope and interval, quarters added up where all four were told.
fn units(feed: &TapFeed, told: &Told) -> BTreeMap<(TapScope, Unit), u64> {
    let mut units = BTreeMap::<_, (u8, u64)>::new();
    for ((scope, slot), taps) in told {
        let start = feed.hours(slot.day).0;
        let unit = match feed.interval {
            TapInterval::Quarter => Unit::Hour(start + u32::from(slot.slot) / 4),
            TapInterval::Hour => Unit::Hour(start + u32::from(slot.slot)),
            TapInterval::Day => Unit::Day(slot.day.0),
        };
        let sum = units.entry((scope.clone(), unit)).or_default();
        *sum = (sum.0 + 1, sum.1 + u64::from(*taps));
    }
    let needed = match feed.interval {
        TapInterval::Quarter => 4,
        TapInterval::Hour | TapInterval::Day => 1,
    };
    let whole = units.into_iter().filter(|(_, (told, _))| *told == needed);
    whole.map(|(place, (_, taps))| (place, taps)).collect()
}

fn scope_of(feed: &TapFeed, facts: &Facts) -> Option<TapScope> {
    if facts.operator.as_ref() != Some(&feed.operator) {
        return None;
    }
    let (line, stop) = (facts.line.clone(), facts.stop.clone());
    match feed.grain {
        TapGrain::Operator => Some(TapScope::Operator),
        TapGrain::Line => line.map(TapScope::Line),
        TapGrain::Stop => stop.map(TapScope::Stop),
        TapGrain::LineStop => line
            .zip(stop)
            .map(|(line, stop)| TapScope::LineStop(line, stop)),
    }
}

fn has_service_days(feed: &TapFeed) -> bool {
    feed.interval == TapInterval::Day && feed.day_begin.hour() != 0
}

/// The interval of a report, if its time is known as finely.
fn unit_of(feed: &TapFeed, time: RowTime) -> Option<Unit> {
    match (feed.interval, time) {
        (TapInterval::Day, RowTime::Hour(hour)) => Some(Unit::Day(feed.day_of(hour).0)),
        (TapInterval::Day, RowTime::Day(day)) if !has_service_days(feed) => Some(Unit::Day(day.0)),
        (TapInterval::Hour | TapInterval::Quarter, RowTime::Hour(hour)) => Some(Unit::Hour(hour.0)),
        _ => None,
    }
}

/// The same report, on its service day if its operator's days are such.
fn placed(feed: &TapFeed, facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    if has_service_days(feed)
        && facts.operator.as_ref() == Some(&feed.operator)
        && let RowTime::Hour(hour) = facts.time
    {
        facts.time = RowTime::Day(feed.day_of(hour));
    }
    facts
}

/// A tap as if it were a report without attributes, to ask what rows it is of.
fn as_facts(feed: &TapFeed, scope: &TapScope, unit: Unit) -> Facts {
    let (time, precision) = match unit {
        Unit::Hour(hour) => (RowTime::Hour(Hour(hour)), TimePrecision::Hour),
        Unit::Day(day) => (RowTime::Day(LocalDay(day)), TimePrecision::Day),
    };
    let mut kinds = feed.kinds.set().iter();
    Facts {
        operator: Some(feed.operator.clone()),
        line: scope.line().cloned(),
        stop: scope.stop().cloned(),
        tap_kind: kinds.next().filter(|_| kinds.next().is_none()),
        ..blank_facts(id_of([0; 16]), time, precision)
    }
}

/// A check-in on a line of the first operator that failed in an hour; under an id of its own, by
/// its number in a group of reports.
fn check_in(line: LineId, hour: Hour, (group, number): (i64, u32)) -> Facts {
    let id = id_made_at(UtcMillis(group), number.into());
    Facts {
        operator: Some(operator_code(1)),
        line: Some(line),
        tap_kind: Some(TapKind::CheckIn),
        ..blank_facts(id, RowTime::Hour(hour), TimePrecision::Hour)
    }
}

/// The question as far as it is about taps.
fn about_taps(question: &Question) -> Question {
    let filter = &question.filter;
    Question {
        filter: Filter {
            operators: filter.operators.clone(),
            lines: filter.lines.clone(),
            stops: filter.stops.clone(),
            hours_of_day: filter.hours_of_day,
            weekdays: filter.weekdays,
            without_days: filter.without_days.clone(),
            ..Filter::all(Basis::SelfReported)
        },
        ..question.clone()
    }
}

/// The question whatever was seen, caused it, came of it or was done by staff: what taps cannot be
/// told by.
fn about_any_failure(question: &Question) -> Question {
    Question {
        filter: Filter {
            signals: SetOf::EMPTY,
            causes: SetOf::EMPTY,
            outcomes: SetOf::EMPTY,
            staff_acts: SetOf::EMPTY,
            ..question.filter.clone()
        },
        ..question.clone()
    }
}

fn is_attribute(dimension: Dimension) -> bool {
    matches!(
        dimension,
        Dimension::Cause | Dimension::Signal | Dimension::StaffAct | Dimension::Outcome
    )
}

/// What a row's rate is made of, counted in the plainest way; all rows if there are no keys.
fn recount(
    kept: &[(Facts, Row)],
    feed: &TapFeed,
    units: &BTreeMap<(TapScope, Unit), u64>,
    question: &Question,
    keys: Option<&[String]>,
) -> Matching {
    let by = question.by.dimensions();
    let is_of_row = |facts: &Facts, skips: bool| {
        let Some(keys) = keys else { return true };
        by.iter().zip(keys).all(|(dimension, key)| {
            skips && is_attribute(*dimension) || values(*dimension, facts).contains(key)
        })
    };
    let taps_only = about_taps(question);
    let mut days = BTreeMap::<i32, (u64, u64)>::new();
    for ((scope, unit), taps) in units {
        let facts = as_facts(feed, scope, *unit);
        if takes(&taps_only, &facts) && is_of_row(&facts, true) {
            days.entry(facts.time.day().0).or_default().1 += taps;
        }
    }
    let mut matching = Matching::default();
    let all = about_any_failure(question);
    for (facts, _) in kept {
        let report = placed(feed, facts);
        let is_tap = facts.tap_kind != Some(TapKind::Inspection);
        let is_counted = takes(question, &report) && is_of_row(&report, false);
        let is_left_out = feed.refusals == Refusals::Excluded;
        let is_refused = match is_left_out && question.filter.basis == Basis::Observed {
            true => takes(&all, &report) && is_of_row(&report, true),
            false => is_counted,
        };
        if !is_tap || !is_refused {
            continue;
        }
        matching.reports += u64::from(is_counted);
        let is_of_kind = facts
            .tap_kind
            .is_some_and(|kind| feed.kinds.set().contains(kind));
        let scope = scope_of(feed, facts).filter(|_| is_of_kind);
        let place = scope.zip(unit_of(feed, facts.time));
        if place.is_some_and(|place| units.contains_key(&place)) {
            matching.refused += 1;
            if !is_counted {
                continue;
            }
            matching.matched += 1;
            if let Some(day) = days.get_mut(&report.time.day().0) {
                day.0 += 1;
            }
        }
    }
    matching.days = days_of(question, feed, keys);
    matching.days_with_taps = days.len() as u64;
    matching.taps = days.values().map(|(_, taps)| taps).sum();
    matching.contradictions = days
        .values()
        .filter(|(reports, taps)| feed.refusals == Refusals::Included && taps < reports)
        .count() as u64;
    matching
}

/// Days with an hour that the question takes and that a row is about.
fn days_of(question: &Question, feed: &TapFeed, keys: Option<&[String]>) -> u64 {
    let filter = &question.filter;
    let about_time = Question {
        filter: Filter {
            hours_of_day: filter.hours_of_day,
            weekdays: filter.weekdays,
            without_days: filter.without_days.clone(),
            ..Filter::all(Basis::SelfReported)
        },
        ..question.clone()
    };
    let is_time = |dimension: Dimension| {
        matches!(
            dimension,
            Dimension::HourOfDay | Dimension::Day | Dimension::Weekday | Dimension::Month
        )
    };
    let counts = |hour: Hour| {
        let facts = as_facts(feed, &TapScope::Operator, Unit::Hour(hour.0));
        let by = question.by.dimensions().iter();
        let mut keys = by.zip(keys.into_iter().flatten());
        takes(&about_time, &facts)
            && keys.all(|(dimension, key)| {
                !is_time(*dimension) || values(*dimension, &facts).contains(key)
            })
    };
    let days = question.window.days();
    days.filter(|day| day.window().hours().any(counts)).count() as u64
}

#[test]
fn rates_are_made_of_what_a_plain_recount_gives() {
    let mut compared = BTreeMap::<String, usize>::new();
    let mut missing = BTreeSet::new();
    let mut second = 0;
    for seed in 0..3 {
        let mut book = Book::new(seed);
        let mut random = StdRng::seed_from_u64(seed);
        book.grow(700);
        let mut all = Vec::new();
        for feed in feeds() {
            let told = made(&mut random, &feed);
            tell(&mut book, &feed, &told);
            all.push((units(&feed, &told), feed));
        }
        for text in DAYS {
            let around = LocalDay(day(text).0 + 1);
            let outage = Outage::new(None, around, around).expect("a day");
            book.apply(Entry::OutageChanged(OutageChange {
                outage,
                is_withdrawal: false,
            }));
        }
        let mut asker = Asker(random);
        for number in 0..QUESTIONS {
            let question = asker.question();
            let (units, feed) = &all[number % all.len()];
            let page = all_in(Order::Key);
            let rated = answer_with_rates(&book.ledger, &question, &page, &wanted(&[feed]));
            let rated = rated.expect("an answer");
            let plain = super::super::answer(&book.ledger, &question, &page).expect("an answer");
            assert_eq!(rated.answer.figures, plain.figures);
            if rated.feeds.is_empty() {
                assert!(rated.total.rate.is_err());
                missing.insert(rated.total.rate.map_err(Missing::key).err());
                continue;
            }
            let observed = |question: &Question| question.filter.basis == Basis::Observed;
            let check = |question: &Question, figure: &RateFigure, keys: Option<&[String]>| {
                let mut other = question.clone();
                other.filter.basis = if observed(question) {
                    Basis::SelfReported
                } else {
                    Basis::Observed
                };
                let others = recount(&book.kept, feed, units, &other, keys).reports;
                let told = if observed(question) {
                    figure.told.self_reports
                } else {
                    figure.told.observed_refusals
                };
                assert_eq!(told, others, "{seed} {feed:?} {question:?} {keys:?}");
                let expected = recount(&book.kept, feed, units, question, keys);
                assert_eq!(
                    figure.matching, expected,
                    "{seed} {feed:?} {question:?} {keys:?}"
                );
            };
            check(&question, &rated.total, None);
            for (figure, rate) in rated.answer.figures.iter().zip(&rated.rates).take(15) {
                check(&question, rate, Some(&figure.keys));
                *compared.entry(feed.id.to_string()).or_default() += 1;
            }
            let Some(without) = &rated.without else {
                continue;
            };
            let mut less = question.clone();
            less.filter.without_days = rated.answer.outages.iter().map(|one| one.day).collect();
            check(&less, &without.total, None);
            for (figure, rate) in rated.answer.figures.iter().zip(&without.rates).take(15) {
                if let Some(rate) = rate {
                    check(&less, rate, Some(&figure.keys));
                    second += 1;
                }
            }
        }
    }
    assert_eq!(compared.len(), 5, "each feed is compared: {compared:?}");
    assert!(missing.contains(&Some("not-told-so")), "{missing:?}");
    assert!(
        100 < second,
        "{second} figures without outages are compared"
    );
}

/// GVB line 10 with 300,000 taps in a month, and so many reports on as many days.
fn line_ten(reports: u32) -> (Book, Question, TapFeed) {
    line_ten_with(Refusals::Excluded, reports)
}

/// The same by a feed that says this of refused taps.
fn line_ten_with(refusals: Refusals, reports: u32) -> (Book, Question, TapFeed) {
    let mut book = Book::new(1);
    let feed = TapFeed {
        refusals,
        grain: TapGrain::Line,
        interval: TapInterval::Hour,
        day_begin: DayBegin::default(),
        ..tap_feed(0)
    };
    let line = line_id(1);
    let first = day("2026-10-01");
    let window = Window::new(first.start(), day("2026-11-01").start()).expect("a month");
    let mut told = Told::new();
    for day in window.days() {
        for slot in 0..feed.slots(day) {
            // 75 more on the first day, which make it even.
            let taps = match slot {
                7 if day == first => 720,
                7..22 => 645,
                _ => 0,
            };
            told.insert((TapScope::Line(line.clone()), TapSlot { day, slot }), taps);
        }
    }
    assert_eq!(told.values().sum::<u32>(), 300_000);
    tell(&mut book, &feed, &told);
    for number in 0..reports {
        let at = LocalDay(first.0 + i32::try_from(number % 31).expect("small"));
        let hour = Hour(at.start().0 + 9);
        book.record(check_in(line.clone(), hour, (0, number)));
    }
    let by = Breakdown::new(vec![Dimension::Line]).expect("one");
    let filter = Filter::all(Basis::SelfReported);
    (book, Question { filter, by, window }, feed)
}

fn rated(book: &Book, question: &Question) -> RatedAnswer {
    let page = all_in(Order::Key);
    answer_with_rates(&book.ledger, question, &page, &wanted(&[])).expect("an answer")
}

#[test]
fn forty_reports_over_three_hundred_thousand_taps_are_thirteen_per_hundred_thousand() {
    let (book, question, feed) = line_ten(40);
    let rated = rated(&book, &question);
    assert_eq!(rated.feeds, [(feed, 31)]);
    let figure = &rated.rates[0];
    assert_eq!(rated.answer.figures[0].count, 40);
    assert_eq!(
        (figure.matching.matched, figure.matching.taps),
        (40, 300_000)
    );
    assert_eq!(
        (figure.matching.days, figure.matching.days_with_taps),
        (31, 31)
    );
    let Ok(Rate::Reports {
        per_100_000,
        interval,
    }) = figure.rate
    else {
        panic!("{figure:?}");
    };
    let shown = |value: f64| format!("{value:.1}");
    assert_eq!(shown(per_100_000), "13.3");
    assert_eq!(
        (shown(interval.low()), shown(interval.high())),
        ("9.5".into(), "18.2".into())
    );
    assert_eq!(interval.method().key(), "garwood");
}

#[test]
fn reports_that_come_on_one_day_widen_the_interval() {
    let (mut book, question, _) = line_ten(20);
    for number in 0..20u32 {
        let hour = Hour(day("2026-10-09").start().0 + 9);
        book.record(check_in(line_id(1), hour, (1, number)));
    }
    let figure = rated(&book, &question).rates[0];
    assert!(1.5 < figure.dispersion.factor(), "{figure:?}");
    let Ok(Rate::Reports { interval, .. }) = figure.rate else {
        panic!("{figure:?}");
    };
    assert!(
        interval.low() < 9.5 && 18.2 < interval.high(),
        "{interval:?}"
    );
}

#[test]
fn what_keeps_a_rate_from_being_made_is_told() {
    let (mut book, question, _) = line_ten(40);
    let reason = |book: &Book, question: &Question| {
        let rated = rated(book, question);
        rated.total.rate.map_err(Missing::key).err()
    };
    assert_eq!(reason(&book, &question), None);
    let ask = |by: &[Dimension], change: &dyn Fn(&mut Filter)| {
        let mut question = question.clone();
        question.by = Breakdown::new(by.to_vec()).expect("different ones");
        change(&mut question.filter);
        question
    };
    let none = |_: &mut Filter| ();
    let by_stop = ask(&[Dimension::Stop], &none);
    let by_mode = ask(&[Dimension::Mode], &none);
    let other = ask(&[], &|filter| filter.operators = vec![operator_code(2)]);
    let observed = ask(&[], &|filter| filter.basis = Basis::Observed);
    assert_eq!(reason(&book, &by_stop), Some("not-told-so"));
    assert_eq!(reason(&book, &by_mode), Some("not-told-so"));
    let by_card = ask(&[Dimension::CardKind], &none);
    let of_cards = ask(&[], &|filter| {
        filter.card_kinds = [CardKind::Student].into_iter().collect();
    });
    assert_eq!(reason(&book, &by_card), Some("not-told-so"));
    assert_eq!(reason(&book, &of_cards), Some("not-told-so"));
    assert_eq!(reason(&book, &other), Some("no-taps"));
    // No refusal was observed, and the feed leaves refused taps out.
    assert_eq!(reason(&book, &observed), None);
    let longer = Question {
        window: Window::new(day("2026-09-25").start(), question.window.end()).expect("longer"),
        ..question.clone()
    };
    assert_eq!(reason(&book, &longer), Some("days-not-covered"));
    // Twelve of another line make 40 of 52 matched, which is below 80 %.
    for number in 0..12u32 {
        let hour = Hour(question.window.start().0 + 9);
        book.record(check_in(line_id(5), hour, (2, number)));
    }
    assert_eq!(reason(&book, &question), Some("reports-not-matched"));
    let unknown = RatesWanted {
        feeds: vec!["no-such-feed".parse().expect("a name")],
        ..wanted(&[])
    };
    let refused = answer_with_rates(&book.ledger, &question, &all_in(Order::Key), &unknown);
    assert!(matches!(refused, Err(QueryError::UnknownFeed { place: 0 })));
}

#[test]
fn rows_by_hour_have_the_days_on_which_their_hour_is_asked_about() {
    let (book, question, _) = line_ten(40);
    let check = |from: u32, hours: u32, of_row: u64, of_all: u64| {
        let start = day("2026-10-05").start().0 + from;
        let question = Question {
            by: Breakdown::new(vec![Dimension::HourOfDay]).expect("one"),
            window: Window::new(Hour(start), Hour(start + hours)).expect("some hours"),
            ..question.clone()
        };
        let rated = rated(&book, &question);
        // All reports are of the hour from nine.
        let [row] = &rated.rates[..] else {
            panic!("{:?}", rated.answer.figures);
        };
        let days = |figure: &RateFigure| (figure.matching.days, figure.matching.days_with_taps);
        assert_eq!(days(row), (of_row, of_row));
        assert!(row.rate.is_ok(), "{row:?}");
        assert_eq!(days(&rated.total), (of_all, of_all));
    };
    check(0, 7 * 24, 7, 7);
    // From noon to noon.
    check(12, 7 * 24, 7, 8);
    check(12, 24, 1, 2);
}

#[test]
fn of_feeds_that_count_the_same_taps_one_is_used() {
    let (mut book, question, feed) = line_ten(40);
    let shorter = TapFeed {
        id: "a-shorter-one".parse().expect("a name"),
        ..feed.clone()
    };
    let count = (
        (
            TapScope::Line(line_id(1)),
            TapSlot {
                day: day("2026-10-05"),
                slot: 9,
            },
        ),
        1_000_000,
    );
    tell(&mut book, &shorter, &Told::from([count]));
    let rated = rated(&book, &question);
    assert_eq!(rated.feeds.len(), 1);
    assert_eq!(rated.rates[0].matching.taps, 300_000);
}

#[test]
fn feeds_of_operators_of_which_no_line_is_asked_for_are_not_used() {
    let (mut book, mut question, feed) = line_ten(40);
    let other = TapFeed {
        id: "of-another".parse().expect("a name"),
        operator: operator_code(2),
        ..feed.clone()
    };
    let slot = TapSlot {
        day: day("2026-10-05"),
        slot: 9,
    };
    let count = ((TapScope::Line(line_id(2)), slot), 1_000);
    tell(&mut book, &other, &Told::from([count]));
    assert_eq!(rated(&book, &question).feeds.len(), 2);
    question.filter.lines = vec![line_id(1)];
    assert_eq!(rated(&book, &question).feeds, [(feed, 31)]);
}

#[test]
fn observed_refusals_give_a_share_of_attempts_unless_nobody_knows_what_was_counted() {
    let check = |refusals: Refusals, expected: Result<(u64, f64), &str>| {
        let (mut book, mut question, feed) = line_ten(0);
        question.filter.basis = Basis::Observed;
        let feed = TapFeed {
            id: "another".parse().expect("a name"),
            refusals,
            ..feed
        };
        let slot = |slot| TapSlot {
            day: day("2026-10-09"),
            slot,
        };
        question.window = day("2026-10-09").window();
        let line = TapScope::Line(line_id(1));
        let told = [((line.clone(), slot(9)), 990), ((line, slot(10)), 0)].into();
        tell(&mut book, &feed, &told);
        for number in 0..10u32 {
            let hour = Hour(question.window.start().0 + 9);
            book.record(Facts {
                reporter: crate::domain::taxonomy::ReporterKind::Device,
                ..check_in(line_id(1), hour, (3, number))
            });
        }
        let page = all_in(Order::Key);
        let rated = answer_with_rates(&book.ledger, &question, &page, &wanted(&[&feed]));
        let made = match rated.expect("an answer").rates[0].rate {
            Ok(Rate::Failures {
                share, attempts, ..
            }) => Ok((attempts, share)),
            Ok(Rate::Reports { .. }) => Err("reports"),
            Err(missing) => Err(missing.key()),
        };
        assert_eq!(made, expected);
    };
    check(Refusals::Excluded, Ok((1_000, 0.01)));
    check(Refusals::Included, Ok((990, 10.0 / 990.0)));
    check(Refusals::Unknown, Err("refusals-unknown"));
}

#[test]
fn day_with_more_reports_than_taps_is_told_where_refused_taps_are_among_them() {
    let check = |refusals, contradictions| {
        let (mut book, question, feed) = line_ten_with(refusals, 40);
        let at = day("2026-10-09");
        let none = |slot| {
            let slot = TapSlot { day: at, slot };
            ((TapScope::Line(line_id(1)), slot), 0)
        };
        tell(&mut book, &feed, &(0..feed.slots(at)).map(none).collect());
        let matching = rated(&book, &question).rates[0].matching;
        assert_eq!(matching.contradictions, contradictions, "{refusals:?}");
        // Nothing is cut down to fit.
        assert_eq!(matching.matched, 40);
    };
    check(Refusals::Included, 1);
    // On a day of an outage nothing else is to be expected.
    check(Refusals::Excluded, 0);
    check(Refusals::Unknown, 0);
}
