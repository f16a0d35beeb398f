//! Which feeds of one operator are added up, which tell the same taps, and whose these are then.

use super::*;
use crate::ledger::testing::stop_id;
use crate::query::Effort;

const ROUNDS: u64 = 3;
const QUESTIONS_EACH: usize = 40;
/// Lines of the first operator, as `line_id` shares them out.
const LINES: [u32; 6] = [1, 5, 9, 13, 17, 21];

fn feed(name: &str, grain: TapGrain, kind: TapKind) -> TapFeed {
    TapFeed {
        id: name.parse().expect("a name"),
        operator: operator_code(1),
        grain,
        interval: TapInterval::Day,
        kinds: TapKinds::new([kind].into_iter().collect()).expect("taps"),
        refusals: Refusals::Excluded,
        day_begin: DayBegin::default(),
    }
}

/// A feed by line of every kind of tap, as the tallies can tell.
fn of_all_kinds(name: &str) -> TapFeed {
    let kinds = [TapKind::CheckIn, TapKind::CheckOut, TapKind::Transfer];
    TapFeed {
        kinds: TapKinds::new(kinds.into_iter().collect()).expect("taps"),
        ..feed(name, TapGrain::Line, TapKind::CheckIn)
    }
}

fn first() -> LocalDay {
    day("2026-10-05")
}

/// Ten taps on each of three days, of each scope.
fn tell_three_days(book: &mut Book, feed: &TapFeed, scopes: &[TapScope]) {
    let mut told = Told::new();
    for scope in scopes {
        for shift in 0..3 {
            let day = LocalDay(first().0 + shift);
            told.insert((scope.clone(), TapSlot { day, slot: 0 }), 10);
        }
    }
    tell(book, feed, &told);
}

fn of_line(number: u32) -> TapScope {
    TapScope::Line(line_id(number))
}

fn question(by: &[Dimension], lines: &[u32], stops: &[u32]) -> Question {
    let end = LocalDay(first().0 + 3);
    Question {
        filter: Filter {
            lines: lines.iter().map(|number| line_id(*number)).collect(),
            stops: stops.iter().map(|number| stop_id(*number)).collect(),
            ..Filter::all(Basis::SelfReported)
        },
        by: Breakdown::new(by.to_vec()).expect("few"),
        window: Window::new(first().start(), end.start()).expect("three days"),
    }
}

/// The feeds of an answer without rows, and its taps.
fn used(
    book: &Book,
    question: &Question,
    named: &[&TapFeed],
) -> Result<(Vec<String>, u64), QueryError> {
    let page = all_in(Order::Key);
    let one = answer_with_rates(&book.ledger, question, &page, &wanted(named))?;
    let other = answer_with_rates_by_scan(&book.ledger, question, &page, &wanted(named))?;
    assert_eq!((&one.feeds, &one.total), (&other.feeds, &other.total));
    let names = one.feeds.iter().map(|(feed, _)| feed.id.to_string());
    Ok((names.collect(), one.total.matching.taps))
}

#[test]
fn feeds_of_different_lines_are_added_up() {
    let mut book = Book::new(1);
    let trams = feed("trams", TapGrain::Line, TapKind::CheckIn);
    let buses = feed("buses", TapGrain::Line, TapKind::CheckIn);
    tell_three_days(&mut book, &trams, &[of_line(1)]);
    tell_three_days(&mut book, &buses, &[of_line(5), of_line(9)]);
    let check = |lines: &[u32], named: &[&TapFeed], names: &[&str], taps| {
        let found = used(&book, &question(&[], lines, &[]), named).expect("an answer");
        assert_eq!(
            found,
            (names.iter().map(|name| (*name).to_owned()).collect(), taps)
        );
    };
    check(&[], &[], &["buses", "trams"], 90);
    check(&[], &[&trams, &buses], &["buses", "trams"], 90);
    check(&[], &[&trams], &["trams"], 30);
    check(&[1], &[], &["trams"], 30);
    check(&[9], &[], &["buses"], 30);
    check(&[9], &[&trams], &[], 0);
}

#[test]
fn what_two_feeds_tell_counts_once_and_is_refused_where_both_are_named() {
    // Ten taps a day of each scope, over three days.
    let check = |one: (TapGrain, &[TapScope]),
                 other: (TapGrain, &[TapScope]),
                 asked: &Question,
                 scopes: u64,
                 is_refused: bool| {
        let mut book = Book::new(1);
        let feeds = [("one", one.0), ("other", other.0)]
            .map(|(name, grain)| feed(name, grain, TapKind::CheckIn));
        tell_three_days(&mut book, &feeds[0], one.1);
        tell_three_days(&mut book, &feeds[1], other.1);
        let (_, taps) = used(&book, asked, &[]).expect("an answer");
        assert_eq!(taps, 30 * scopes, "{one:?} {other:?}");
        let [first, second] = &feeds;
        match used(&book, asked, &[first, second]) {
            Ok((_, both)) => assert!(!is_refused && both == taps),
            Err(QueryError::FeedsClash { place: 1, other: 0 }) => assert!(is_refused),
            Err(error) => panic!("{error}"),
        }
    };
    let at_stop = |number| TapScope::Stop(stop_id(number));
    let at_both = |line, stop| TapScope::LineStop(line_id(line), stop_id(stop));
    let (by_line, by_stop) = (TapGrain::Line, TapGrain::Stop);
    let by_both = TapGrain::LineStop;
    let all = question(&[], &[], &[]);
    // One of their lines is the same, but not always of those that are asked for.
    let lines = (by_line, &[of_line(1), of_line(5)][..]);
    let others = (by_line, &[of_line(5), of_line(9)][..]);
    check(lines, others, &all, 3, true);
    check(lines, others, &question(&[], &[1, 9], &[]), 2, false);
    check(lines, others, &question(&[], &[1, 5], &[]), 2, true);
    check(lines, lines, &all, 2, true);
    // A line at a stop is of its line and of its stop alone.
    let line = (by_line, &[of_line(1)][..]);
    check(line, (by_both, &[at_both(1, 2)]), &all, 1, true);
    check(line, (by_both, &[at_both(5, 2)]), &all, 2, false);
    check(
        line,
        (by_both, &[at_both(1, 2), at_both(5, 2)]),
        &all,
        2,
        true,
    );
    let stop = (by_stop, &[at_stop(2)][..]);
    check(stop, (by_both, &[at_both(1, 2)]), &all, 1, true);
    check(stop, (by_both, &[at_both(1, 3)]), &all, 2, false);
    // Of a whole operator, and of lines and stops, nobody knows which taps are the same.
    let whole = (TapGrain::Operator, &[TapScope::Operator][..]);
    check(line, whole, &all, 1, true);
    check(line, stop, &all, 1, true);
    check(stop, (by_stop, &[at_stop(3)]), &all, 2, false);
}

#[test]
fn line_that_two_feeds_tell_is_the_ones_that_tells_most_of_its_days() {
    let mut book = Book::new(1);
    let [one, other] = ["one", "other"].map(|name| feed(name, TapGrain::Line, TapKind::CheckIn));
    let told = |lines: &[u32], shifts: std::ops::Range<i32>, taps: u32| -> Told {
        let days = shifts.map(|shift| LocalDay(first().0 + shift));
        let days = days.flat_map(|day| lines.iter().map(move |line| (*line, day)));
        days.map(|(line, day)| ((of_line(line), TapSlot { day, slot: 0 }), taps))
            .collect()
    };
    // Of line 5 the one tells a day, though it tells all days of another line.
    tell(&mut book, &one, &told(&[1], 0..3, 10));
    tell(&mut book, &one, &told(&[5], 0..1, 10));
    tell(&mut book, &other, &told(&[5, 9], 0..2, 100));
    let by_line = question(&[Dimension::Line], &[], &[]);
    let (names, taps) = used(&book, &by_line, &[]).expect("an answer");
    assert_eq!(names, ["one", "other"]);
    assert_eq!(taps, 3 * 10 + 2 * 2 * 100);
    // Of the first day both tell as much, and the first by name goes first.
    let end = LocalDay(first().0 + 1).start();
    let of_a_day = Question {
        window: Window::new(first().start(), end).expect("a day"),
        ..by_line
    };
    let (names, taps) = used(&book, &of_a_day, &[]).expect("an answer");
    assert_eq!((names.len(), taps), (2, 10 + 10 + 100));
}

#[test]
fn named_feeds_that_clash_are_told_by_their_places() {
    let mut book = Book::new(1);
    let check_ins = feed("check-ins", TapGrain::Line, TapKind::CheckIn);
    let check_outs = feed("check-outs", TapGrain::Line, TapKind::CheckOut);
    let same = feed("again", TapGrain::Line, TapKind::CheckIn);
    for feed in [&check_ins, &check_outs, &same] {
        tell_three_days(&mut book, feed, &[of_line(1)]);
    }
    let all = question(&[], &[], &[]);
    let refused = used(&book, &all, &[&same, &check_outs, &check_ins]);
    assert!(matches!(
        refused,
        Err(QueryError::FeedsClash { place: 2, other: 0 })
    ));
    // Not named, one of the two is taken, and the other kind of tap beside it.
    let (names, taps) = used(&book, &all, &[]).expect("an answer");
    assert_eq!(
        (names, taps),
        (vec!["again".into(), "check-outs".into()], 60)
    );
    // Another that told the same line until then says nothing of these days.
    let former = feed("former", TapGrain::Line, TapKind::CheckIn);
    let slot = TapSlot {
        day: LocalDay(first().0 - 1),
        slot: 0,
    };
    tell(&mut book, &former, &Told::from([((of_line(1), slot), 10)]));
    let (names, taps) = used(&book, &all, &[&former, &check_ins]).expect("an answer");
    assert_eq!((names, taps), (vec!["check-ins".into()], 30));
    let nights = TapFeed {
        id: "nights".parse().expect("a name"),
        day_begin: DayBegin::new(4).expect("early"),
        ..check_outs.clone()
    };
    tell_three_days(&mut book, &nights, &[of_line(5)]);
    let refused = used(&book, &all, &[&check_ins, &nights]);
    assert!(matches!(
        refused,
        Err(QueryError::FeedsClash { place: 1, other: 0 })
    ));
}

#[test]
fn feeds_clash_by_what_they_told_of_the_days_that_are_asked_for_alone() {
    let mut book = Book::new(1);
    let one = TapFeed {
        interval: TapInterval::Hour,
        ..feed("one", TapGrain::Line, TapKind::CheckIn)
    };
    let other = TapFeed {
        id: "other".parse().expect("a name"),
        ..one.clone()
    };
    let at = |shift: i32| TapSlot {
        day: LocalDay(first().0 + shift),
        slot: 8,
    };
    // The one told line 5 on the day before, and the other line 1 on the day after.
    let of_one = Told::from([((of_line(5), at(-1)), 10), ((of_line(1), at(0)), 10)]);
    let of_other = Told::from([((of_line(5), at(0)), 10), ((of_line(1), at(1)), 10)]);
    tell(&mut book, &one, &of_one);
    tell(&mut book, &other, &of_other);
    let check = |asked: &Question, names: &[&str]| {
        let mut found = used(&book, asked, &[]).expect("an answer").0;
        found.sort();
        assert_eq!(found, names, "{asked:?}");
        let refused = used(&book, asked, &[&one, &other]).is_err();
        assert_eq!(refused, names.len() == 1, "{asked:?}");
    };
    let all = question(&[], &[], &[]);
    check(&all, &["other"]);
    let mut asked = all.clone();
    asked.filter.without_days = vec![at(1).day];
    check(&asked, &["one", "other"]);
    let mut asked = all.clone();
    let end = LocalDay(first().0 + 1).start();
    asked.window = Window::new(first().start(), end).expect("a day");
    check(&asked, &["one", "other"]);
    // Parts of days, of which whole days say too little.
    asked.window = Window::new(Hour(first().start().0 + 4), end).expect("hours");
    check(&asked, &["one", "other"]);
}

/// Random taps of lines around the days on which incidents happen.
fn some_taps(random: &mut StdRng, feed: &TapFeed) -> Told {
    let mut told = Told::new();
    for text in DAYS {
        for shift in -3..4 {
            let day = LocalDay(day(text).0 + shift);
            for line in LINES {
                let part = [0, 50, 100, 100, 100][random.random_range(0..5)];
                for slot in 0..feed.slots(day) {
                    if random.random_range(0..100) < part {
                        let taps = random.random_range(0..40);
                        told.insert((of_line(line), TapSlot { day, slot }), taps);
                    }
                }
            }
        }
    }
    told
}

#[test]
fn feed_that_ended_long_ago_keeps_nobody_from_the_tallies() {
    let mut book = Book::new(1);
    book.grow(900);
    let long_ago = TapSlot {
        day: LocalDay(first().0 - 60),
        slot: 0,
    };
    tell(
        &mut book,
        &of_all_kinds("former"),
        &Told::from([((of_line(1), long_ago), 10)]),
    );
    tell_three_days(&mut book, &of_all_kinds("later"), &[of_line(1), of_line(5)]);
    let question = question(&[Dimension::Signal], &[], &[]);
    let page = all_in(Order::Key);
    let answer = answer_with_rates(&book.ledger, &question, &page, &wanted(&[]));
    let answer = answer.expect("an answer");
    assert_eq!(answer.answer.effort, Effort::Tallies);
    assert_eq!(answer.feeds.len(), 1);
}

#[test]
fn daily_feeds_of_other_days_are_told_apart_by_the_lines_that_are_asked_for() {
    let mut book = Book::new(1);
    let trams = TapFeed {
        day_begin: DayBegin::new(4).expect("early"),
        ..feed("trams", TapGrain::Line, TapKind::CheckIn)
    };
    let buses = feed("buses", TapGrain::Line, TapKind::CheckIn);
    tell_three_days(&mut book, &trams, &[of_line(1), of_line(5)]);
    tell_three_days(&mut book, &buses, &[of_line(9)]);
    let check = |lines: &[u32], names: &[&str]| {
        let found = used(&book, &question(&[], lines, &[]), &[]).expect("an answer");
        assert_eq!(found.0, names);
    };
    check(&[9], &["buses"]);
    check(&[1], &["trams"]);
    // Of both, days cannot be told in one way.
    check(&[1, 9], &["buses"]);
}

#[test]
fn line_that_moved_to_another_feed_is_matched_by_the_one_that_told_it_then() {
    let mut book = Book::new(1);
    book.grow(900);
    let told = some_taps(&mut StdRng::seed_from_u64(1), &of_all_kinds("all"));
    let (mut former, mut later) = (Told::new(), Told::new());
    for ((scope, slot), taps) in told {
        let is_former = match scope == of_line(5) {
            true => slot.day < day("2026-06-01"),
            false => scope == of_line(1),
        };
        let own = if is_former { &mut former } else { &mut later };
        own.insert((scope, slot), taps);
    }
    tell(&mut book, &of_all_kinds("former"), &former);
    tell(&mut book, &of_all_kinds("later"), &later);
    let (start, end) = (day("2026-03-27").start(), day("2026-04-01").start());
    let question = Question {
        window: Window::new(start, end).expect("days"),
        ..question(&[Dimension::Line], &[], &[])
    };
    let page = all_in(Order::Key);
    let tallied = answer_with_rates(&book.ledger, &question, &page, &wanted(&[]));
    let tallied = tallied.expect("an answer");
    assert_eq!(tallied.answer.effort, Effort::Tallies);
    assert_eq!(tallied.feeds.len(), 2);
    let scan = answer_with_rates_by_scan(&book.ledger, &question, &page, &wanted(&[]));
    let scan = scan.expect("an answer");
    assert_eq!((tallied.rates, tallied.total), (scan.rates, scan.total));
}

/// Without the names of feeds.
fn bare(figure: &RateFigure) -> RateFigure {
    RateFigure {
        feeds: FeedSet::default(),
        ..*figure
    }
}

#[test]
fn taps_told_by_two_feeds_of_different_lines_give_the_rates_of_one_feed_of_all() {
    let (mut tallied, mut added_up) = (0, 0);
    for seed in 0..ROUNDS {
        let mut random = StdRng::seed_from_u64(seed);
        let intervals = [TapInterval::Day, TapInterval::Hour, TapInterval::Quarter];
        let of = |name: &str| TapFeed {
            interval: intervals[usize::try_from(seed).expect("small") % intervals.len()],
            ..of_all_kinds(name)
        };
        let told = some_taps(&mut random, &of("all"));
        let mut books = [Book::new(seed), Book::new(seed)];
        books[0].grow(250);
        books[1].grow(250);
        tell(&mut books[0], &of("all"), &told);
        let is_some = |((scope, _), _): &(&(TapScope, TapSlot), &u32)| {
            LINES[..4].iter().any(|line| of_line(*line) == *scope)
        };
        let part = |wanted: bool| -> Told {
            let told = told.iter().filter(|one| is_some(one) == wanted);
            told.map(|(place, taps)| (place.clone(), *taps)).collect()
        };
        tell(&mut books[1], &of("some"), &part(true));
        tell(&mut books[1], &of("others"), &part(false));
        for (text, book) in DAYS.iter().flat_map(|text| [(text, 0), (text, 1)]) {
            books[book].declare_outage(day(text));
        }
        let mut asker = Asker(random);
        for number in 0..QUESTIONS_EACH {
            let mut question = asker.question();
            if number % 2 == 0 {
                let basis = question.filter.basis;
                question.filter = Filter::all(basis);
                question.by = Breakdown::new(vec![Dimension::Line]).expect("one");
            }
            let page = all_in(Order::Key);
            let answer =
                |book: &Book| answer_with_rates(&book.ledger, &question, &page, &wanted(&[]));
            let [one, two] = books
                .each_ref()
                .map(|book| answer(book).expect("an answer"));
            let scan = answer_with_rates_by_scan(&books[1].ledger, &question, &page, &wanted(&[]));
            assert_eq!(scan.expect("an answer").total, two.total, "{question:?}");
            assert_eq!(bare(&one.total), bare(&two.total), "{seed} {question:?}");
            let rates = |of: &RatedAnswer| of.rates.iter().map(bare).collect::<Vec<_>>();
            assert_eq!(rates(&one), rates(&two), "{seed} {question:?}");
            let without = |of: &RatedAnswer| of.without.as_ref().map(|less| bare(&less.total));
            assert_eq!(without(&one), without(&two), "{seed} {question:?}");
            added_up += usize::from(two.feeds.len() == 2);
            tallied += usize::from(two.feeds.len() == 2 && two.answer.effort == Effort::Tallies);
        }
    }
    assert!(30 < added_up, "{added_up} rates are over both feeds");
    assert!(5 < tallied, "{tallied} of them are from tallies");
}

/// A feed, what it told, and the same as rates know it.
struct Teller {
    feed: TapFeed,
    told: Told,
    units: BTreeMap<(TapScope, Unit), u64>,
}

/// Feeds of one operator that tell some lines each, some of them the same.
fn overlapping(random: &mut StdRng) -> Vec<Teller> {
    let intervals = [TapInterval::Day, TapInterval::Hour, TapInterval::Quarter];
    ["a", "b", "c"]
        .map(|name| {
            let feed = TapFeed {
                interval: intervals[random.random_range(0..intervals.len())],
                ..of_all_kinds(name)
            };
            let mut told = some_taps(random, &feed);
            for line in LINES {
                if random.random_range(0..3) == 0 {
                    told.retain(|(scope, _), _| *scope != of_line(line));
                }
            }
            let units = units(&feed, &told);
            Teller { feed, told, units }
        })
        .into()
}

/// Whether a feed by line tells taps as finely as a question asks.
fn fits(feed: &TapFeed, question: &Question) -> bool {
    let Filter {
        stops,
        modes,
        card_kinds,
        tap_kinds,
        hours_of_day,
        ..
    } = &question.filter;
    let by = |dimension| question.by.dimensions().contains(&dimension);
    let is_fine_enough = feed.interval != TapInterval::Day
        || *hours_of_day == 0
            && !by(Dimension::HourOfDay)
            && question.window.start() == question.window.start().local_day().start()
            && question.window.end() == question.window.end().local_day().start();
    let is_of_all_kinds = tap_kinds.bits() == 0 || feed.kinds.set().bits() & !tap_kinds.bits() == 0;
    is_fine_enough
        && is_of_all_kinds
        && stops.is_empty()
        && modes.bits() == 0
        && card_kinds.bits() == 0
        && [
            Dimension::Stop,
            Dimension::Mode,
            Dimension::CardKind,
            Dimension::TapKind,
        ]
        .into_iter()
        .all(|dimension| !by(dimension))
}

/// Taps of the feeds together and reports that are matched, each line by the feed that goes first.
fn recount_all(
    kept: &[(Facts, Row)],
    tellers: &[Teller],
    question: &Question,
    keys: Option<&[String]>,
) -> (u64, u64) {
    let fitting = tellers.iter().filter(|teller| fits(&teller.feed, question));
    let fitting: Vec<_> = fitting.collect();
    let taps_only = about_taps(question);
    let asked: BTreeSet<_> = question.window.days().collect();
    let mut best = BTreeMap::new();
    for (place, Teller { feed, told, units }) in fitting.iter().enumerate() {
        let in_all = told.keys().map(|(_, slot)| slot.day);
        let in_all: BTreeSet<_> = in_all.filter(|day| asked.contains(day)).collect();
        let mut days = BTreeMap::<&TapScope, BTreeSet<LocalDay>>::new();
        for (scope, unit) in units.keys() {
            let facts = as_facts(feed, scope, *unit);
            if takes(&taps_only, &facts) {
                days.entry(scope).or_default().insert(facts.time.day());
            }
        }
        for (scope, days) in days {
            let most = (days.len(), in_all.len(), feed.interval.number());
            let rank = (std::cmp::Reverse(most), place);
            let before = best.entry(scope).or_insert(rank);
            *before = (*before).min(rank);
        }
    }
    let (mut taps, mut matched) = (0, 0);
    for (place, Teller { feed, units, .. }) in fitting.iter().enumerate() {
        let mut own = units.clone();
        own.retain(|(scope, _), _| best.get(scope).is_some_and(|(_, owner)| *owner == place));
        let of_feed = recount(kept, feed, &own, question, keys);
        taps += of_feed.taps;
        matched += of_feed.matched;
    }
    (taps, matched)
}

#[test]
fn each_line_counts_by_one_feed_whichever_others_tell_it_and_all_lines_count() {
    let (mut several, mut tallied, mut shared) = (0, 0, 0);
    for seed in 0..2 * ROUNDS {
        let mut random = StdRng::seed_from_u64(seed);
        let tellers = overlapping(&mut random);
        let mut book = Book::new(seed);
        book.grow(300);
        for Teller { feed, told, .. } in &tellers {
            tell(&mut book, feed, told);
        }
        let mut asker = Asker(random);
        for number in 0..QUESTIONS_EACH / 2 {
            let mut question = asker.question();
            if number % 2 == 0 {
                let basis = question.filter.basis;
                question.filter = Filter::all(basis);
                question.by = Breakdown::new(vec![Dimension::Line]).expect("one");
            }
            let page = all_in(Order::Key);
            let answer = answer_with_rates(&book.ledger, &question, &page, &wanted(&[]));
            let answer = answer.expect("an answer");
            let scan = answer_with_rates_by_scan(&book.ledger, &question, &page, &wanted(&[]));
            let scan = scan.expect("an answer");
            let context = format!("{seed} {question:?}");
            assert_eq!(answer.feeds, scan.feeds, "{context}");
            assert_eq!(answer.total, scan.total, "{context}");
            assert_eq!(answer.rates, scan.rates, "{context}");
            let check = |figure: &RateFigure, keys: Option<&[String]>| {
                let Matching { taps, matched, .. } = figure.matching;
                let expected = recount_all(&book.kept, &tellers, &question, keys);
                assert_eq!((taps, matched), expected, "{context} {keys:?}");
            };
            check(&answer.total, None);
            for (figure, rate) in answer.answer.figures.iter().zip(&answer.rates).take(4) {
                check(rate, Some(&figure.keys));
            }
            let is_several = 1 < answer.feeds.len();
            several += usize::from(is_several);
            tallied += usize::from(is_several && answer.answer.effort == Effort::Tallies);
            // Named, they are refused where any line is told twice.
            let all: Vec<_> = tellers.iter().map(|teller| &teller.feed).collect();
            let named = answer_with_rates(&book.ledger, &question, &page, &wanted(&all));
            shared += usize::from(matches!(named, Err(QueryError::FeedsClash { .. })));
        }
    }
    assert!(30 < several, "{several} rates are over several feeds");
    assert!(5 < tallied, "{tallied} of them are from tallies");
    assert!(
        30 < shared,
        "{shared} questions are about lines of several feeds"
    );
}
