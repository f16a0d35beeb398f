//! Rates of a window against those of a question, and against a plain recount by the minute.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::super::tests::{Asker, Book, DAYS, all_in, day};
use super::super::tests::{Told, feeds, tell, wanted};
use super::super::{Missing, NoRate, Rate, answer_with_rates};
use super::*;
use crate::domain::taps::{DayBegin, Refusals, TapScope, TapSlot};
use crate::domain::taxonomy::{ReporterKind, Signal, TapKind, Taxonomy, TimePrecision};
use crate::domain::testing::{blank_facts, id_of};
use crate::domain::{Basis, Dimension, Facts};
use crate::ledger::testing::{line_id, operator_code, tap_scope};
use crate::query::{Order, answer};

const SCOPES: u32 = 12;
/// Fewer than any day has: what is known only to the day is in no such window.
const HOURS: u32 = 22;
/// After all days on which incidents happen.
const LATER_MS: i64 = 5 * 24 * 3_600_000;

/// Taps by the hour or quarter of many scopes on three days; an hour is told wholly, or in one
/// of `parts` so many parts.
fn made(random: &mut StdRng, feed: &TapFeed, first: LocalDay, parts: u8) -> Told {
    let mut told = Told::new();
    for day in (first.0 - 1..first.0 + 2).map(LocalDay) {
        for number in 0..SCOPES {
            let per_hour = match feed.interval {
                TapInterval::Quarter => 4 / parts,
                TapInterval::Hour | TapInterval::Day => 1,
            };
            for unit in 0..feed.slots(day) / per_hour {
                if random.random_range(0..10) == 0 {
                    continue;
                }
                for slot in unit * per_hour..(unit + 1) * per_hour {
                    let taps = random.random_range(0..40);
                    let slot = TapSlot { day, slot };
                    told.insert((tap_scope(feed.grain, number), slot), taps);
                }
            }
        }
    }
    told
}

fn minutes(start: u32, end: u32) -> MinuteSpan {
    MinuteSpan {
        start: Minute(start),
        end: Minute(end),
    }
}

/// The book's rows with minutes within their hours; those known to the day have none.
fn rows(book: &Book) -> Vec<(Minute, Row)> {
    let minute = |row: &Row| match row.time {
        RowTime::Hour(hour) => {
            let within = u32::try_from(row.position.0 * 7 % 60).expect("below 60");
            Some((Minute(hour.0 * 60 + within), *row))
        }
        RowTime::Day(_) => None,
    };
    book.kept
        .iter()
        .filter_map(|(_, row)| minute(row))
        .collect()
}

fn within(all: &[(Minute, Row)], span: MinuteSpan) -> impl Iterator<Item = (Minute, &Row)> {
    let inside = all.iter().filter(move |(minute, _)| span.contains(*minute));
    inside.map(|(minute, row)| (*minute, row))
}

/// None of its rows were let go.
fn all_of(dictionary: &Dictionary) -> Known<'_> {
    Known {
        dictionary,
        began: None,
        complete_from: Minute(0),
    }
}

fn read(book: &Book, asked: Sliding<'_>) -> WindowTaps {
    let (taps, ()) = book.ledger.tap_view(|_| ()).expect("a store");
    WindowTaps::read(&taps, asked).expect("few sums")
}

#[test]
fn line_that_two_feeds_tell_counts_once_for_a_watch_and_their_other_lines_count_too() {
    let mut book = Book::new(1);
    let first = day(DAYS[2]);
    let mut tell_lines = |name: &str, lines: &[u32], at: LocalDay, taps: u32| {
        let feed = TapFeed {
            id: name.parse().expect("a name"),
            operator: operator_code(1),
            grain: TapGrain::Line,
            interval: TapInterval::Hour,
            ..feeds()[0].clone()
        };
        let slot = TapSlot { day: at, slot: 8 };
        let told = lines
            .iter()
            .map(|line| ((TapScope::Line(line_id(*line)), slot), taps));
        tell(&mut book, &feed, &told.collect());
    };
    tell_lines("one", &[1, 5], first, 10);
    tell_lines("other", &[5, 9], first, 100);
    // A line that was the one's until the month before, and is the other's now.
    tell_lines("one", &[13], LocalDay(first.0 - 30), 10);
    tell_lines("other", &[13], first, 100);
    let wanted = wanted(&[]);
    let by = Breakdown::new(Vec::new()).expect("few");
    let start = first.start().0;
    let taps = |lines: &[u32]| {
        let filter = Filter {
            lines: lines.iter().map(|line| line_id(*line)).collect(),
            ..Filter::all(Basis::SelfReported)
        };
        let asked = Sliding {
            filter: &filter,
            by: &by,
            wanted: &wanted,
            span: minutes((start + 6) * 60, (start + 12) * 60),
        };
        let read = read(&book, asked);
        let days = read.total.taps.days();
        let taps = days.iter().map(|(_, taps)| taps).sum::<u64>();
        (read.used.len(), taps)
    };
    assert_eq!(taps(&[]), (2, 10 + 10 + 100 + 100));
    assert_eq!(taps(&[1, 9]), (2, 10 + 100));
    assert_eq!(taps(&[5]), (1, 10));
    assert_eq!(taps(&[13]), (1, 100));
}

/// Feeds of one operator by line and hour, each with lines of which it tells all hours of two days.
fn tell_lines_of_two_days(
    book: &mut Book,
    first: LocalDay,
    begin: DayBegin,
    told: &[(&str, &[u32])],
) {
    for (name, lines) in told {
        let feed = TapFeed {
            day_begin: begin,
            ..line_feed(name)
        };
        let mut counts = Told::new();
        for day in [first, first.next()] {
            for slot in 0..feed.slots(day) {
                let each = lines.iter().map(|line| TapScope::Line(line_id(*line)));
                counts.extend(each.map(|scope| ((scope, TapSlot { day, slot }), 10)));
            }
        }
        tell(book, &feed, &counts);
    }
}

fn line_feed(name: &str) -> TapFeed {
    TapFeed {
        id: name.parse().expect("a name"),
        operator: operator_code(1),
        grain: TapGrain::Line,
        interval: TapInterval::Hour,
        ..feeds()[0].clone()
    }
}

/// Feeds that were used, each with its service days, the rates of rows and that of all; or why there are none.
type Rated = Result<(Vec<(TapFeed, u64)>, Vec<RateFigure>, RateFigure), String>;

/// What a watch by line and a question of the same hours tell of named feeds.
fn watched_and_asked(book: &Book, window: Window, named: &[&TapFeed]) -> [Rated; 2] {
    watched_and_asked_by(Dimension::Line, book, window, named)
}

fn watched_and_asked_by(
    dimension: Dimension,
    book: &Book,
    window: Window,
    named: &[&TapFeed],
) -> [Rated; 2] {
    let (filter, wanted) = (Filter::all(Basis::SelfReported), wanted(named));
    let by = Breakdown::new(vec![dimension]).expect("one");
    let question = Question {
        filter: filter.clone(),
        by: by.clone(),
        window,
    };
    let page = all_in(Order::Key);
    let asked = answer_with_rates(&book.ledger, &question, &page, &wanted);
    let figures = answer(&book.ledger, &question, &page).expect("an answer");
    let sliding = Sliding {
        filter: &filter,
        by: &by,
        wanted: &wanted,
        span: minutes(window.start().0 * 60, window.end().0 * 60),
    };
    let (taps, ()) = book.ledger.tap_view(|_| ()).expect("a store");
    let all = rows(book);
    let watched = WindowTaps::read(&taps, sliding).map(|read| {
        let rows = within(&all, sliding.span);
        let rates = read.rates(sliding, &figures.figures, rows, all_of(&taps.dictionary));
        rates.expect("a supported year")
    });
    let refused = |error: QueryError| format!("{error:?}");
    [
        watched
            .map(|it| (it.feeds, it.rows, it.total))
            .map_err(refused),
        asked
            .map(|it| (it.feeds, it.rates, it.total))
            .map_err(refused),
    ]
}

fn hours_from(day: LocalDay, hours: u32) -> Window {
    let start = day.start();
    Window::new(start, Hour(start.0 + hours)).expect("hours")
}

/// Tells the same taps of line 5 in some intervals of a day.
fn tell_line(book: &mut Book, feed: &TapFeed, day: LocalDay, slots: impl Iterator<Item = u8>) {
    let scope = TapScope::Line(line_id(5));
    let told = slots.map(|slot| ((scope.clone(), TapSlot { day, slot }), 10));
    tell(book, feed, &told.collect());
}

#[test]
fn line_of_which_two_feeds_told_no_whole_hour_counts_once_for_a_watch() {
    let today = day(DAYS[2]);
    let mut book = Book::new(1);
    for name in ["one", "other"] {
        let feed = TapFeed {
            interval: TapInterval::Quarter,
            ..line_feed(name)
        };
        tell_line(&mut book, &feed, today, 33..34);
    }
    let [watched, _] = watched_and_asked(&book, hours_from(today, 12), &[]);
    let (used, _, total) = watched.expect("rates, or why there are none");
    assert_eq!((used.len(), total.matching.taps), (1, 10));
}

#[test]
fn line_that_moved_to_another_feed_this_morning_is_the_others_from_then_on() {
    let today = day(DAYS[2]);
    let yesterday = LocalDay(today.0 - 1);
    let mut book = Book::new(1);
    book.grow(900);
    tell_line(&mut book, &line_feed("before"), yesterday, 0..24);
    tell_line(&mut book, &line_feed("before"), today, 0..6);
    tell_line(&mut book, &line_feed("since"), today, 6..12);
    let start = Hour(today.start().0 + 8);
    let window = Window::new(start, Hour(start.0 + 3)).expect("hours");
    let [watched, asked] = watched_and_asked(&book, window, &[]);
    let (used, _, total) = watched.as_ref().expect("rates");
    assert_eq!((used[0].0.id.as_str(), total.matching.taps), ("since", 30));
    assert_eq!(watched, asked);
}

#[test]
fn operator_whose_feed_was_replaced_this_morning_goes_by_the_other_from_then_on() {
    let today = day(DAYS[2]);
    let mut book = Book::new(1);
    book.grow(900);
    let [before, since] = ["before", "since"].map(|name| TapFeed {
        grain: TapGrain::Operator,
        ..line_feed(name)
    });
    for (feed, hours) in [(&before, 0..6), (&since, 6..12)] {
        let slot = |slot| (TapScope::Operator, TapSlot { day: today, slot });
        tell(
            &mut book,
            feed,
            &hours.map(|hour| (slot(hour), 10)).collect(),
        );
    }
    let start = Hour(today.start().0 + 8);
    let window = Window::new(start, Hour(start.0 + 3)).expect("hours");
    for named in [&[][..], &[&before, &since]] {
        let [watched, asked] = watched_and_asked_by(Dimension::Operator, &book, window, named);
        let (used, _, total) = watched.as_ref().expect("rates");
        assert_eq!((used[0].0.id.as_str(), total.matching.taps), ("since", 30));
        assert_eq!(watched, asked);
    }
    // The same of those hours of whole days.
    let question = Question {
        filter: Filter {
            hours_of_day: 1 << 8 | 1 << 9 | 1 << 10,
            ..Filter::all(Basis::SelfReported)
        },
        by: Breakdown::default(),
        window: hours_from(today, 24),
    };
    let page = all_in(Order::Key);
    let asked = answer_with_rates(&book.ledger, &question, &page, &wanted(&[]));
    let asked = asked.expect("an answer");
    assert_eq!(asked.feeds[0].0.id.as_str(), "since");
    assert_eq!(asked.total.matching.taps, 30);
}

#[test]
fn night_of_a_service_day_counts_for_each_feed_although_its_day_is_over() {
    let today = day(DAYS[2]);
    let mut book = Book::new(1);
    book.grow(900);
    // None of today.
    let two_days_ago = LocalDay(today.0 - 2);
    let begin = DayBegin::new(4).expect("early");
    let told: [(_, &[_]); 2] = [("one", &[1]), ("other", &[5])];
    tell_lines_of_two_days(&mut book, two_days_ago, begin, &told);
    let [watched, asked] = watched_and_asked(&book, hours_from(today, 4), &[]);
    let (used, _, total) = watched.as_ref().expect("rates");
    assert_eq!((used.len(), total.matching.taps), (2, 2 * 10 * 4));
    assert_eq!(watched, asked);
    let days = |window| {
        let [watched, asked] = watched_and_asked(&book, window, &[]);
        assert_eq!(watched, asked);
        let (used, ..) = watched.expect("rates");
        used.iter().map(|used| used.1).collect::<Vec<_>>()
    };
    // The night of the day before, and that night with what follows it.
    assert_eq!(days(hours_from(today, 4)), [1, 1]);
    assert_eq!(days(hours_from(LocalDay(today.0 - 1), 5)), [2, 2]);
}

#[test]
fn feeds_of_a_watch_are_those_of_a_question_of_its_window() {
    let first = day(DAYS[2]);
    let earlier = LocalDay(first.0 - 9);
    let window = hours_from(first, HOURS);
    let feeds = ["one", "other"].map(line_feed);
    let named = feeds.each_ref();
    let book = |told: &[(&str, &[u32])]| {
        let mut book = Book::new(1);
        book.grow(900);
        // A line that was told by both feeds, long ago.
        let begin = DayBegin::default();
        let before: [(_, &[_]); 2] = [("one", &[1, 5]), ("other", &[5])];
        tell_lines_of_two_days(&mut book, earlier, begin, &before);
        tell_lines_of_two_days(&mut book, first, begin, told);
        book
    };
    let apart = book(&[("one", &[1, 5]), ("other", &[9, 13])]);
    for named in [&[][..], &named] {
        let [watched, asked] = watched_and_asked(&apart, window, named);
        let (used, _, total) = watched.as_ref().expect("rates");
        assert_eq!(
            (used.len(), total.matching.taps),
            (2, 4 * 10 * u64::from(HOURS))
        );
        assert_eq!(watched, asked);
    }
    let both = book(&[("one", &[1, 5]), ("other", &[5, 9])]);
    let [watched, asked] = watched_and_asked(&both, window, &[]);
    assert_eq!(watched, asked);
    let [watched, asked] = watched_and_asked(&both, window, &named);
    let refused = watched.expect_err("they clash");
    assert!(refused.starts_with("FeedsClash"), "{refused}");
    assert_eq!(Err(refused), asked);
}

#[test]
fn rates_of_whole_hours_are_those_of_a_question() {
    let (mut compared, mut with_rate) = (0, 0);
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut book = Book::new(seed);
        book.grow(900);
        let first = day(DAYS[usize::try_from(seed).expect("small") % DAYS.len()]);
        // What is watched has been.
        book.wait(LATER_MS);
        let of_hours = |feed: &TapFeed| feed.interval != TapInterval::Day;
        let feeds: Vec<_> = feeds().into_iter().filter(of_hours).collect();
        for feed in &feeds {
            let told = made(&mut random, feed, first, 1);
            tell(&mut book, feed, &told);
        }
        let all = rows(&book);
        let mut asker = Asker(random);
        for number in 0..60 {
            let mut question = asker.question();
            let feed = &feeds[number % feeds.len()];
            let wanted = wanted(&[feed]);
            let start = first.start().0 + u32::try_from(number % 20).expect("small");
            let asked = Sliding {
                filter: &question.filter,
                by: &question.by,
                wanted: &wanted,
                span: minutes(start * 60, (start + HOURS) * 60),
            };
            let taps = read(&book, asked);
            let Some(part) = taps.rated else { continue };
            question.window = Window::new(part.start.hour(), part.end.hour()).expect("hours");
            let page = all_in(Order::Key);
            let rated = answer_with_rates(&book.ledger, &question, &page, &wanted);
            let rated = rated.expect("an answer");
            let asked = Sliding {
                filter: &question.filter,
                by: &question.by,
                ..asked
            };
            let (taken, _) = book.ledger.tap_view(|_| ()).expect("a store");
            let rows = within(&all, asked.span);
            let figures = &rated.answer.figures;
            let found = taps.rates(asked, figures, rows, all_of(&taken.dictionary));
            let found = found.expect("a supported year");
            let pairs = rated.rates.iter().zip(&found.rows);
            for (asked, watched) in pairs.chain([(&rated.total, &found.total)]) {
                // How much was told is judged otherwise.
                let coverage = Err(Missing::Rule(NoRate::DaysNotCovered));
                let is_judged = [asked.rate, watched.rate].contains(&coverage);
                let rate = if is_judged { watched.rate } else { asked.rate };
                let expected = RateFigure { rate, ..*asked };
                assert_eq!(*watched, expected, "{seed} {question:?}");
            }
            with_rate += usize::from(found.total.rate.is_ok());
            assert_eq!(found.feeds[0].0, rated.feeds[0].0);
            compared += found.rows.len();
        }
    }
    assert!(1_000 < compared && 10 < with_rate, "{compared} {with_rate}");
}

#[test]
fn rows_of_operators_that_count_refused_taps_in_different_ways_have_rates() {
    let mut book = Book::new(1);
    let at = day(DAYS[2]);
    for (operator, refusals) in [(1u8, Refusals::Included), (2, Refusals::Excluded)] {
        let feed = TapFeed {
            id: format!("op{operator}").parse().expect("a name"),
            operator: operator_code(operator.into()),
            grain: TapGrain::Line,
            interval: TapInterval::Hour,
            refusals,
            ..feeds().remove(1)
        };
        let line = line_id(operator.into());
        let slot = |slot| TapSlot { day: at, slot };
        let told = (0..feed.slots(at)).map(|hour| ((TapScope::Line(line.clone()), slot(hour)), 99));
        tell(&mut book, &feed, &told.collect());
        let id = id_of([operator; 16]);
        book.record(Facts {
            operator: Some(operator_code(operator.into())),
            line: Some(line),
            tap_kind: Some(TapKind::CheckIn),
            reporter: ReporterKind::Device,
            ..blank_facts(id, RowTime::Hour(at.noon()), TimePrecision::Hour)
        });
    }
    let (start, wanted) = (at.noon(), wanted(&[]));
    let question = Question {
        filter: Filter::all(Basis::Observed),
        by: Breakdown::new(vec![Dimension::Operator]).expect("one"),
        window: Window::new(start, Hour(start.0 + 1)).expect("an hour"),
    };
    let figures = answer(&book.ledger, &question, &all_in(Order::Key)).expect("an answer");
    let asked = Sliding {
        filter: &question.filter,
        by: &question.by,
        wanted: &wanted,
        span: minutes(start.0 * 60, (start.0 + 1) * 60),
    };
    let taps = read(&book, asked);
    let (all, state) = (rows(&book), book.ledger.read());
    let rows = within(&all, asked.span);
    let found = taps.rates(asked, &figures.figures, rows, all_of(state.dictionary()));
    let found = found.expect("a supported year");
    let attempts = |figure: &RateFigure| match figure.rate {
        Ok(Rate::Failures { attempts, .. }) => Ok(attempts),
        Ok(Rate::Reports { .. }) => Err("reports"),
        Err(missing) => Err(missing.key()),
    };
    let each: Vec<_> = found.rows.iter().map(attempts).collect();
    assert_eq!(each, [Ok(99), Ok(100)]);
    assert_eq!(attempts(&found.total), Err("refusals-unknown"));
}

/// Tells 100 taps of lines in each of these hours of a day, by a feed that leaves refused taps out.
fn tell_hours(book: &mut Book, at: LocalDay, told: &[(u32, std::ops::Range<u8>)]) {
    let feed = TapFeed {
        interval: TapInterval::Hour,
        grain: TapGrain::Line,
        ..feeds().remove(0)
    };
    for (line, hours) in told {
        let slot = |slot| TapSlot { day: at, slot };
        let scope = TapScope::Line(line_id(*line));
        let told = hours.clone().map(|hour| ((scope.clone(), slot(hour)), 100));
        tell(book, &feed, &told.collect());
    }
}

/// The rates of a watch whose rows are those of its window.
fn watched(book: &Book, filter: &Filter, by: Dimension, span: MinuteSpan) -> SlidingRates {
    let by = Breakdown::new(vec![by]).expect("one");
    let asked = Sliding {
        filter,
        by: &by,
        wanted: &wanted(&[]),
        span,
    };
    let question = question(filter, &by, span).expect("a supported year");
    let figures = answer(&book.ledger, &question, &all_in(Order::Key)).expect("an answer");
    let (taps, all) = (read(book, asked), rows(book));
    let state = book.ledger.read();
    let rates = taps.rates(
        asked,
        &figures.figures,
        within(&all, span),
        Known {
            began: book.ledger.began(),
            ..all_of(state.dictionary())
        },
    );
    rates.expect("a supported year")
}

/// A tap of a line that failed.
fn failed(line: u32, hour: Hour, number: u8) -> Facts {
    let id = id_of([number; 16]);
    Facts {
        operator: Some(operator_code(1)),
        line: Some(line_id(line)),
        tap_kind: Some(TapKind::CheckIn),
        ..blank_facts(id, RowTime::Hour(hour), TimePrecision::Hour)
    }
}

#[test]
fn line_without_counts_at_night_keeps_its_rate_after_midnight() {
    let mut book = Book::new(1);
    let at = day(DAYS[2]);
    tell_hours(
        &mut book,
        at,
        &[(1, 5..24), (5, 8..18), (9, 8..18), (13, 0..24)],
    );
    // So that some is told of both days.
    tell_hours(&mut book, at.next(), &[(13, 0..1)]);
    for (number, line) in (1..).zip([1, 5]) {
        book.record(failed(line, at.noon(), number));
    }
    // Not matched, which is told only where enough is covered.
    book.record(failed(9, Hour(at.start().0 + 20), 3));
    let midnight = at.next().start().0 * 60;
    let span = minutes(midnight + 80 - 1_440, midnight + 80);
    let filter = Filter::all(Basis::SelfReported);
    let rates = watched(&book, &filter, Dimension::Line, span);
    let reasons = rates.rows.iter().map(|row| row.rate.map_err(Missing::key));
    let reasons: Vec<_> = reasons.map(Result::err).collect();
    let too_little = Some("days-not-covered");
    assert_eq!(reasons, [None, too_little, too_little]);
    let not_matched = rates.total.rate.map_err(Missing::key).err();
    assert_eq!(not_matched, Some("reports-not-matched"));
}

#[test]
fn hours_before_the_record_began_are_no_hours_without_reports_for_a_watch() {
    let mut book = Book::new(1);
    let at = day(DAYS[2]);
    tell_hours(&mut book, at, &[(1, 0..24)]);
    tell_hours(&mut book, at.next(), &[(1, 0..5)]);
    let midnight = at.next().start().0;
    let began = Hour(midnight - 1);
    // Five of both in each of six hours.
    for (number, place) in (1..).zip(0..6 * 5 * 2) {
        let reporters = [ReporterKind::Device, ReporterKind::Traveller];
        book.record(Facts {
            reporter: reporters[place as usize % 2],
            ..failed(1, Hour(began.0 + place / 10), number)
        });
    }
    let span = minutes((midnight - 19) * 60, (midnight + 5) * 60);
    let filter = Filter::all(Basis::SelfReported);
    let factor = |book: &Book| {
        let rates = watched(book, &filter, Dimension::Line, span);
        let ratio = rates.total.reports_per_failure.expect("there are both");
        assert_eq!(ratio.estimate, Some(1.0));
        ratio.dispersion.factor()
    };
    assert!(2.0 < factor(&book));
    book.ledger.set_began(began.start());
    assert!(factor(&book) < 1.001);
}

#[test]
fn watched_failure_rates_of_one_signal_are_over_all_attempts() {
    let mut book = Book::new(1);
    let at = day(DAYS[2]);
    tell_hours(&mut book, at, &[(1, 10..14)]);
    for (signal, numbers) in [(Signal::RedBeep, 1..4), (Signal::DeadScreen, 4..6)] {
        for number in numbers {
            book.record(Facts {
                reporter: ReporterKind::Device,
                signal: Some(signal),
                ..failed(1, at.noon(), number)
            });
        }
    }
    let start = at.noon().0 * 60;
    let attempts = |filter: &Filter, by| {
        let rates = watched(&book, filter, by, minutes(start, start + 60));
        let attempts = |figure: &RateFigure| match figure.rate {
            Ok(Rate::Failures { attempts, .. }) => (figure.matching.matched, attempts),
            _ => panic!("{figure:?}"),
        };
        let rows: Vec<_> = rates.rows.iter().map(attempts).collect();
        (rows, attempts(&rates.total))
    };
    let any = Filter::all(Basis::Observed);
    let rows = vec![(2, 105), (3, 105)];
    assert_eq!(attempts(&any, Dimension::Signal), (rows, (5, 105)));
    let beeps = Filter {
        signals: [Signal::RedBeep].into_iter().collect(),
        ..any
    };
    let rows = vec![(3, 105)];
    assert_eq!(attempts(&beeps, Dimension::Line), (rows, (3, 105)));
}

#[test]
fn reports_are_matched_by_the_quarter_in_windows_that_begin_and_end_at_any_minute() {
    let feed = feeds().remove(1);
    assert_eq!(feed.interval, TapInterval::Quarter);
    let (mut with_taps, mut matched) = (0, 0);
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut book = Book::new(seed);
        book.grow(900);
        let first = day(DAYS[0]);
        let told = made(&mut random, &feed, first, 4);
        tell(&mut book, &feed, &told);
        let all = rows(&book);
        let (taken, _) = book.ledger.tap_view(|_| ()).expect("a store");
        let dictionary = Arc::clone(&taken.dictionary);
        drop(taken);
        for _ in 0..40 {
            let start = first.start().0 * 60 + random.random_range(0..600);
            let span = minutes(start, start + random.random_range(5..=1_440));
            let filter = Filter::all(Basis::SelfReported);
            let wanted = wanted(&[&feed]);
            let asked = Sliding {
                filter: &filter,
                by: &Breakdown::default(),
                wanted: &wanted,
                span,
            };
            let found =
                read(&book, asked).rates(asked, &[], within(&all, span), all_of(&dictionary));
            let found = found.expect("a supported year");
            let begins = |slot: &TapSlot| feed.hours(slot.day).0 * 60 + u32::from(slot.slot) * 15;
            let inside: Vec<_> = told
                .iter()
                .map(|((scope, slot), taps)| (scope, begins(slot), u64::from(*taps)))
                .filter(|(_, at, _)| span.start.0 <= *at && at + 15 <= span.end.0)
                .collect();
            let ends = inside.iter().map(|(_, at, _)| at + 15).max();
            let starts = inside.iter().map(|(_, at, _)| *at).min();
            let part = starts.zip(ends).map(|(start, end)| minutes(start, end));
            assert_eq!(found.rated, part);
            let taps: u64 = inside.iter().map(|(_, _, taps)| *taps).sum();
            assert_eq!(found.total.matching.taps, taps);
            let is_told = |minute: Minute, row: &Row| {
                let is_of_kind =
                    row.tap_kind != 0 && feed.kinds.set().bits() >> row.tap_kind & 1 == 1;
                let of_line = |scope: &TapScope| match scope {
                    TapScope::Line(line) => dictionary.line_number(line.as_str()) == Some(row.line),
                    _ => false,
                };
                let holds = |at: u32| at <= minute.0 && minute.0 < at + 15;
                is_of_kind
                    && inside
                        .iter()
                        .any(|(scope, at, _)| holds(*at) && of_line(scope))
            };
            let expected = within(&all, span)
                .filter(|(minute, row)| row.basis == Basis::SelfReported && is_told(*minute, row));
            let expected = expected.count() as u64;
            assert_eq!(found.total.matching.matched, expected, "{seed} {span:?}");
            with_taps += u64::from(part.is_some());
            matched += expected;
        }
    }
    assert!(100 < with_taps && 100 < matched, "{with_taps} {matched}");
}

/// Line 1 with 100 taps a quarter through some minutes of a day, and one report in each.
fn line_one(told_minutes: u32) -> (Book, Vec<(Minute, Row)>, u32) {
    let feed = feeds().remove(1);
    let mut book = Book::new(1);
    let day = day(DAYS[0]);
    let start = feed.hours(day).0 * 60;
    let scope = TapScope::Line(line_id(1));
    let slots = u8::try_from(told_minutes / 15).expect("a day");
    let before = TapSlot {
        day: LocalDay(day.0 - 1),
        slot: 0,
    };
    let told = (0..slots).map(|slot| TapSlot { day, slot });
    let told = told
        .chain([before])
        .map(|slot| ((scope.clone(), slot), 100));
    tell(&mut book, &feed, &told.collect());
    let (taken, _) = book.ledger.tap_view(|_| ()).expect("a store");
    let line = taken.dictionary.line_number("OP1:1").expect("told");
    let operator = taken.dictionary.operator_number("OP1").expect("told");
    drop(taken);
    let report = |minute: u32| Row {
        position: Position(u64::from(minute)),
        time: RowTime::Hour(Minute(minute).hour()),
        basis: Basis::SelfReported,
        operator,
        line,
        stop: 0,
        mode: 0,
        tap_kind: TapKind::CheckIn.number(),
        card_kind: 0,
        signal: 0,
        causes: 0,
        staff_acts: 0,
        outcomes: 0,
    };
    let minutes = (0..96).map(|quarter| start + quarter * 15 + 7);
    let rows = minutes.map(|minute| (Minute(minute), report(minute)));
    (book, rows.collect(), start)
}

fn rated(told_minutes: u32, window_minutes: u32) -> SlidingRates {
    rated_of(told_minutes, window_minutes, |dictionary, _| {
        all_of(dictionary)
    })
}

/// `known` is told when the day begins.
fn rated_of(
    told_minutes: u32,
    window_minutes: u32,
    known: impl FnOnce(&Dictionary, u32) -> Known<'_>,
) -> SlidingRates {
    let (book, all, start) = line_one(told_minutes);
    let filter = Filter::all(Basis::SelfReported);
    let by = Breakdown::new(vec![Dimension::Line]).expect("one");
    let asked = Sliding {
        filter: &filter,
        by: &by,
        wanted: &wanted(&[]),
        span: minutes(start, start + window_minutes),
    };
    let taps = read(&book, asked);
    let (taken, _) = book.ledger.tap_view(|_| ()).expect("a store");
    let figures = [Figure {
        keys: vec!["OP1:1".into()],
        count: u64::from(window_minutes / 15),
        rests_on_few_days: None,
    }];
    let rows = within(&all, asked.span);
    let rates = taps.rates(asked, &figures, rows, known(&taken.dictionary, start));
    rates.expect("a supported year")
}

#[test]
fn rate_is_about_the_part_of_the_window_that_was_told() {
    let rates = rated(45, 60);
    let part = rates.rated.expect("taps were told");
    assert_eq!(part.end.0 - part.start.0, 45);
    let matching = rates.rows[0].matching;
    assert_eq!(
        (matching.reports, matching.matched, matching.taps),
        (3, 3, 300)
    );
    let Ok(Rate::Reports { per_100_000, .. }) = rates.rows[0].rate else {
        panic!("{rates:?}");
    };
    assert!((per_100_000 - 1_000.0).abs() < 1e-9, "{per_100_000}");
}

#[test]
fn window_of_which_rows_were_let_go_has_no_rate_unless_the_rated_part_has_all() {
    let complete_from = |minute: u32| {
        rated_of(45, 60, |dictionary, start| Known {
            complete_from: Minute(start + minute),
            ..all_of(dictionary)
        })
    };
    assert_eq!(complete_from(0), rated(45, 60));
    let rates = complete_from(1);
    let reason = Err(Missing::Rule(NoRate::DaysNotCovered));
    assert_eq!((rates.total.rate, rates.rows[0].rate), (reason, reason));
    assert_eq!(rates.total.matching, rated(45, 60).total.matching);
}

#[test]
fn less_than_half_of_the_window_gives_no_rate_and_the_reason() {
    assert!(rated(30, 60).total.rate.is_ok());
    let rates = rated(15, 60);
    let reason = Err(Missing::Rule(NoRate::DaysNotCovered));
    assert_eq!(rates.total.rate, reason);
    assert_eq!(rates.rows[0].rate, reason);
    assert_eq!(rates.rows[0].matching.taps, 100);
    let rates = rated(0, 60);
    assert_eq!(rates.rated, None);
    assert_eq!(rates.total.matching.reports, 4);
}

#[test]
fn taps_hold_until_one_changes_or_a_quarter_passes() {
    let (book, _, start) = line_one(60);
    let filter = Filter::all(Basis::SelfReported);
    let asked = Sliding {
        filter: &filter,
        by: &Breakdown::default(),
        wanted: &wanted(&[]),
        span: minutes(start + 1, start + 61),
    };
    let taps = read(&book, asked);
    let changed = book.ledger.read().taps().last();
    assert!(taps.holds_for(minutes(start + 14, start + 74), changed));
    assert!(!taps.holds_for(minutes(start + 15, start + 75), changed));
    assert!(!taps.holds_for(minutes(start + 16, start + 76), changed));
    assert!(!taps.holds_for(asked.span, changed.next()));
}

#[test]
fn watch_that_needs_more_sums_of_taps_than_may_be_is_refused() {
    let mut book = Book::new(1);
    let first = day(DAYS[2]);
    let feed = &feeds()[1];
    let line = |number: u32| TapScope::Line(line_id(4 * number + 1));
    let slot = TapSlot {
        day: first,
        slot: 8,
    };
    let told = (0..5).map(|number| ((line(number), slot), 10));
    tell(&mut book, feed, &told.collect());
    let read = |sums_max| {
        let wanted = wanted(&[feed]);
        let start = first.start().0;
        let asked = Sliding {
            filter: &Filter::all(Basis::SelfReported),
            by: &Breakdown::new(vec![Dimension::Line]).expect("few"),
            wanted: &wanted,
            span: minutes(start * 60, (start + 22) * 60),
        };
        let (taps, ()) = book.ledger.tap_view(|_| ()).expect("a store");
        WindowTaps::read_within(&taps, asked, sums_max).map(|read| read.sums.len())
    };
    assert_eq!(read(5).ok(), Some(5));
    assert!(matches!(read(4), Err(QueryError::TooManyRows)));
}
