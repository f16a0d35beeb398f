//! Which feeds of one operator are added up, and which tell the same taps twice.

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
fn feeds_that_may_tell_the_same_taps_clash_and_are_refused_where_both_are_named() {
    let check = |one: (TapGrain, &[TapScope]), other: (TapGrain, &[TapScope]), asked: &Question| {
        let mut book = Book::new(1);
        let feeds = [("one", one.0), ("other", other.0)]
            .map(|(name, grain)| feed(name, grain, TapKind::CheckIn));
        tell_three_days(&mut book, &feeds[0], one.1);
        tell_three_days(&mut book, &feeds[1], other.1);
        let (names, _) = used(&book, asked, &[]).expect("an answer");
        let [first, second] = &feeds;
        let refused = used(&book, asked, &[first, second]);
        match &names[..] {
            [_, _] => assert!(refused.is_ok()),
            _ => assert!(matches!(
                refused,
                Err(QueryError::FeedsClash { place: 1, other: 0 })
            )),
        }
        names.len()
    };
    let at_stop = |number| TapScope::Stop(stop_id(number));
    let at_both = |line, stop| TapScope::LineStop(line_id(line), stop_id(stop));
    let (by_line, by_stop) = (TapGrain::Line, TapGrain::Stop);
    let by_both = TapGrain::LineStop;
    let all = question(&[], &[], &[]);
    // Some of their lines are the same; but not of those that are asked for.
    let lines = (by_line, &[of_line(1), of_line(5)][..]);
    let others = (by_line, &[of_line(5), of_line(9)][..]);
    assert_eq!(check(lines, others, &all), 1);
    assert_eq!(check(lines, others, &question(&[], &[1, 9], &[])), 2);
    assert_eq!(check(lines, others, &question(&[], &[1, 5], &[])), 1);
    // By different grains, the one may tell what the other tells.
    let line = (by_line, &[of_line(1)][..]);
    assert_eq!(check(line, (by_both, &[at_both(1, 2)]), &all), 1);
    assert_eq!(check(line, (by_both, &[at_both(5, 2)]), &all), 1);
    assert_eq!(
        check(line, (TapGrain::Operator, &[TapScope::Operator]), &all),
        1
    );
    assert_eq!(check(line, (by_stop, &[at_stop(2)]), &all), 1);
    assert_eq!(
        check((by_stop, &[at_stop(2)]), (by_stop, &[at_stop(3)]), &all),
        2
    );
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
fn line_that_moved_to_another_feed_is_matched_by_the_one_that_told_it_then() {
    let kinds = [TapKind::CheckIn, TapKind::CheckOut, TapKind::Transfer];
    let of = |name: &str| TapFeed {
        kinds: TapKinds::new(kinds.into_iter().collect()).expect("taps"),
        ..feed(name, TapGrain::Line, TapKind::CheckIn)
    };
    let mut book = Book::new(1);
    book.grow(900);
    let told = some_taps(&mut StdRng::seed_from_u64(1), &of("all"));
    let (mut former, mut later) = (Told::new(), Told::new());
    for ((scope, slot), taps) in told {
        let is_former = match scope == of_line(5) {
            true => slot.day < day("2026-06-01"),
            false => scope == of_line(1),
        };
        let own = if is_former { &mut former } else { &mut later };
        own.insert((scope, slot), taps);
    }
    tell(&mut book, &of("former"), &former);
    tell(&mut book, &of("later"), &later);
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
    let kinds = [TapKind::CheckIn, TapKind::CheckOut, TapKind::Transfer];
    let (mut tallied, mut added_up) = (0, 0);
    for seed in 0..ROUNDS {
        let mut random = StdRng::seed_from_u64(seed);
        let intervals = [TapInterval::Day, TapInterval::Hour, TapInterval::Quarter];
        let of = |name: &str| TapFeed {
            interval: intervals[usize::try_from(seed).expect("small") % intervals.len()],
            kinds: TapKinds::new(kinds.into_iter().collect()).expect("taps"),
            ..feed(name, TapGrain::Line, TapKind::CheckIn)
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
