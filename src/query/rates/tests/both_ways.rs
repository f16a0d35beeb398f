//! Tallies and a scan give the same rates, whatever was told of which days.

use super::*;
use crate::domain::taxonomy::SetOf;
use crate::ledger::testing::stop_id;
use crate::query::Effort;

const OPERATORS: u32 = 4;
const LINES: u32 = 24;
const STOPS: u32 = 60;
const ROUNDS: u64 = 6;
const QUESTIONS_EACH: usize = 120;

/// A feed of one operator, mostly of all taps and of days that begin at midnight.
fn some_feed(random: &mut StdRng, operator: u32, number: u32) -> TapFeed {
    let all = [TapKind::CheckIn, TapKind::CheckOut, TapKind::Transfer];
    let kinds: SetOf<TapKind> = match random.random_range(0..6) {
        0 => all[..2].iter().copied().collect(),
        _ => all.into_iter().collect(),
    };
    let intervals = [TapInterval::Day, TapInterval::Hour, TapInterval::Quarter];
    TapFeed {
        id: format!("op{operator}.{number}").parse().expect("a name"),
        operator: operator_code(operator),
        grain: [TapGrain::Operator, TapGrain::Line, TapGrain::Stop][number as usize],
        interval: intervals[random.random_range(0..intervals.len())],
        kinds: TapKinds::new(kinds).expect("taps"),
        refusals: match random.random_range(0..4) {
            0 => Refusals::Included,
            _ => Refusals::Excluded,
        },
        day_begin: DayBegin::new(if random.random_range(0..8) == 0 { 3 } else { 0 })
            .expect("early"),
    }
}

fn scopes(random: &mut StdRng, feed: &TapFeed, operator: u32) -> Vec<TapScope> {
    let is_left_out = |random: &mut StdRng| random.random_range(0..30) == 0;
    match feed.grain {
        TapGrain::Operator => vec![TapScope::Operator],
        TapGrain::Line => (0..LINES)
            .filter(|line| line % OPERATORS == operator && !is_left_out(random))
            .map(|line| TapScope::Line(line_id(line)))
            .collect(),
        _ => (0..STOPS)
            .filter(|stop| stop % OPERATORS == operator && !is_left_out(random))
            .map(|stop| TapScope::Stop(stop_id(stop)))
            .collect(),
    }
}

/// Most days whole, some not at all, some without their nights, some in part.
fn told(random: &mut StdRng, feed: &TapFeed, scopes: &[TapScope]) -> Told {
    let mut told = Told::new();
    for text in DAYS {
        for shift in -4..5 {
            let day = LocalDay(day(text).0 + shift);
            let slots = feed.slots(day);
            let from = match random.random_range(0..10) {
                0 => slots,
                1 => slots / 6,
                _ => 0,
            };
            let holes = random.random_range(0..8) == 0;
            for scope in scopes {
                for slot in from..slots {
                    if !holes || random.random_range(0..40) != 0 {
                        let taps = random.random_range(0..30);
                        told.insert((scope.clone(), TapSlot { day, slot }), taps);
                    }
                }
            }
        }
    }
    told
}

/// A window of whole days more often than any, and sometimes the only attributes that tallies
/// tell.
fn question(asker: &mut Asker) -> Question {
    let mut question = asker.question();
    if asker.0.random_range(0..4) != 0 {
        let around = day(DAYS[asker.0.random_range(0..DAYS.len())]);
        let first = LocalDay(around.0 - asker.0.random_range(0..3));
        let end = LocalDay(around.0 + asker.0.random_range(1..4));
        question.window = Window::new(first.start(), end.start()).expect("not empty");
    }
    question
}

/// Says how the first way found its answer.
fn check(book: &Book, question: &Question, page: &Page, wanted: &RatesWanted) -> Effort {
    let one = answer_with_rates(&book.ledger, question, page, wanted).expect("an answer");
    let other = answer_with_rates_by_scan(&book.ledger, question, page, wanted);
    let other = other.expect("an answer");
    let context = || format!("{question:?} {:?}", one.feeds);
    assert_eq!(one.answer.figures, other.answer.figures, "{}", context());
    assert_eq!(one.feeds, other.feeds);
    assert_eq!(one.total, other.total, "{}", context());
    assert_eq!(one.without, other.without, "{}", context());
    for (figure, (one, other)) in
        (one.answer.figures.iter()).zip(one.rates.iter().zip(&other.rates))
    {
        assert_eq!(one, other, "{figure:?} {question:?}");
    }
    one.answer.effort
}

#[test]
fn tallies_and_a_scan_give_the_same_rates() {
    let (mut tallied, mut asked) = (0, 0);
    for seed in 0..ROUNDS {
        let mut random = StdRng::seed_from_u64(seed);
        let mut book = Book::new(seed);
        book.grow(600);
        for operator in 0..OPERATORS {
            for number in 0..3 {
                if random.random_range(0..4) == 0 {
                    continue;
                }
                let feed = some_feed(&mut random, operator, number);
                let scopes = scopes(&mut random, &feed, operator);
                let told = told(&mut random, &feed, &scopes);
                tell(&mut book, &feed, &told);
            }
        }
        book.grow(300);
        for text in DAYS {
            book.declare_outage(day(text));
        }
        let mut asker = Asker(random);
        for number in 0..QUESTIONS_EACH {
            let question = question(&mut asker);
            let mut page = all_in(Order::Key);
            if number % 3 == 0 {
                (page.rows, page.order) = (4, Order::Count);
            }
            let effort = check(&book, &question, &page, &wanted(&[]));
            tallied += usize::from(effort == Effort::Tallies);
            asked += 1;
        }
    }
    assert!(asked / 8 < tallied, "{tallied} of {asked} from tallies");
    assert!(tallied < asked * 7 / 8, "{tallied} of {asked} from tallies");
}

/// A feed of all kinds of tap of line 10, with one tap in each hour of the month.
fn tell_all_taps(book: &mut Book, question: &Question, feed: TapFeed) -> TapFeed {
    let kinds = [TapKind::CheckIn, TapKind::CheckOut, TapKind::Transfer];
    let feed = TapFeed {
        id: "all-taps".parse().expect("a name"),
        kinds: TapKinds::new(kinds.into_iter().collect()).expect("taps"),
        ..feed
    };
    let mut told = Told::new();
    for day in question.window.days() {
        for slot in 0..feed.slots(day) {
            told.insert((TapScope::Line(line_id(1)), TapSlot { day, slot }), 1);
        }
    }
    tell(book, &feed, &told);
    feed
}

#[test]
fn counts_told_again_are_seen_by_the_next_question() {
    let (mut book, question, feed) = line_ten(40);
    let feed = tell_all_taps(&mut book, &question, feed);
    let page = all_in(Order::Key);
    let taps = |book: &Book| {
        let wanted = wanted(&[&feed]);
        assert_eq!(check(book, &question, &page, &wanted), Effort::Tallies);
        let rated = answer_with_rates(&book.ledger, &question, &page, &wanted);
        rated.expect("an answer").total.matching.taps
    };
    // The clock goes back in this month.
    assert_eq!(taps(&book), 31 * 24 + 1);
    let slot = TapSlot {
        day: day("2026-10-09"),
        slot: 9,
    };
    let again = [((TapScope::Line(line_id(1)), slot), 1_001)].into();
    tell(&mut book, &feed, &again);
    assert_eq!(taps(&book), 31 * 24 + 1 + 1_000);
}

#[test]
fn withdrawn_and_inspected_reports_stand_in_no_rate_of_tallies() {
    let (mut book, mut question, feed) = line_ten(40);
    let page = all_in(Order::Key);
    let others = tell_all_taps(&mut book, &question, feed);
    let mut number = 0;
    let mut record = |book: &mut Book, kind| {
        number += 1;
        let hour = Hour(day("2026-10-09").start().0 + 9);
        let facts = Facts {
            tap_kind: kind,
            ..check_in(line_id(1), hour, (9, number))
        };
        book.record(facts.clone());
        facts
    };
    record(&mut book, Some(TapKind::Inspection));
    record(&mut book, None);
    let taken = record(&mut book, Some(TapKind::CheckOut));
    question.by = Breakdown::new(vec![]).expect("none");
    for (by, reports) in [(vec![], 42), (vec![Dimension::Line], 42)] {
        question.by = Breakdown::new(by).expect("few");
        let effort = check(&book, &question, &page, &wanted(&[&others]));
        assert_eq!(effort, Effort::Tallies);
        let rated = answer_with_rates(&book.ledger, &question, &page, &wanted(&[&others]));
        let matching = rated.expect("an answer").total.matching;
        assert_eq!((matching.reports, matching.matched), (reports, reports - 1));
    }
    book.apply(Entry::Withdrawn {
        id: taken.id,
        facts: Box::new(taken),
        row: crate::domain::Position(0),
    });
    let rated = answer_with_rates(&book.ledger, &question, &page, &wanted(&[&others]));
    assert_eq!(rated.expect("an answer").total.matching.reports, 41);
}
