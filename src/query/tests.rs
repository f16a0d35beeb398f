//! Tallies, scan, counter and a plain count over facts give the same answer.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

mod as_of;
mod few_days;
mod outages;
mod staff;

use super::*;
use crate::domain::question::Breakdown;
use crate::domain::taxonomy::{SetOf, Taxonomy};
use crate::domain::time::HOUR_MS;
use crate::domain::{
    Basis, Dimension, Entry, Facts, Filter, Hour, LocalDay, Row, RowTime, UtcMillis, Window,
};
use crate::ledger::testing::{EPOCH, Maker, NOON, line_id, operator_code, stop_id};
use crate::ledger::{Applied, Ledger, State};
use crate::stats::burst::rests_on_few_days;
use crate::store::Store;

const HOURS_IN_TEN_YEARS: u32 = 87_000;
/// Questions asked of each random state.
const QUESTIONS: usize = 80;
/// Days around which incidents happen: both changes of the clock, and an ordinary one.
pub(super) const DAYS: [&str; 3] = ["2026-03-29", "2026-10-25", "2026-09-30"];

/// A ledger, and beside it what should be counted.
pub(super) struct Book {
    maker: Maker,
    random: StdRng,
    pub(super) ledger: Ledger,
    pub(super) kept: Vec<(Facts, Row)>,
    _dir: tempfile::TempDir,
}

impl Book {
    pub(super) fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::create(&dir.path().join("store"), EPOCH).expect("a new store");
        let ledger = Ledger::new(State::new(EPOCH));
        ledger.attach_store(store);
        Self {
            maker: Maker::new(seed),
            random: StdRng::seed_from_u64(seed),
            ledger,
            kept: Vec::new(),
            _dir: dir,
        }
    }

    /// Records random incidents, and withdraws some.
    pub(super) fn grow(&mut self, count: usize) {
        for _ in 0..count {
            let day = day(DAYS[self.random.random_range(0..DAYS.len())]);
            let shift_ms = self.random.random_range(-40 * HOUR_MS..64 * HOUR_MS);
            let facts = self
                .maker
                .facts(UtcMillis(day.start().start().0 + shift_ms));
            self.record(facts);
            if self.random.random_range(0..20) == 0 {
                let index = self.random.random_range(0..self.kept.len());
                let (facts, _) = self.kept.swap_remove(index);
                self.apply(Entry::Withdrawn {
                    id: facts.id,
                    facts: Box::new(facts),
                    row: Position(0),
                });
            }
        }
    }

    pub(super) fn declare_outage(&mut self, around: LocalDay) {
        let entry = self.maker.outage_around(around);
        self.apply(entry);
    }

    pub(super) fn record(&mut self, facts: Facts) {
        let applied = self.apply(Entry::Incident {
            facts: Box::new(facts.clone()),
            personal: None,
        });
        let Applied::Recorded { row } = applied else {
            panic!("ids of the maker are all different");
        };
        self.kept.push((facts, row));
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, pause_ms: i64) {
        let placed = self.maker.place(Entry::Tick, pause_ms);
        self.ledger.apply(&[placed]);
    }

    pub(super) fn apply(&mut self, entry: Entry) -> Applied {
        let placed = self.maker.place(entry, 1);
        let mut applied = self.ledger.apply(&[placed]);
        applied.pop().expect("one for each entry")
    }

    /// What the question asks for, counted in the plainest way.
    fn count(&self, question: &Question) -> Counted {
        let mut rows = BTreeMap::<Vec<String>, u64>::new();
        let (mut total, mut left_out) = (0, 0);
        for (facts, _) in &self.kept {
            if !takes(question, facts) {
                continue;
            }
            total += 1;
            let mut keys = vec![Vec::new()];
            for dimension in question.by.dimensions() {
                let values = values(*dimension, facts);
                let longer = |key: &Vec<String>| {
                    let with = |value| [&key[..], std::slice::from_ref(value)].concat();
                    values.iter().map(with).collect::<Vec<_>>()
                };
                keys = keys.iter().flat_map(longer).collect();
            }
            left_out += u64::from(keys.is_empty());
            for key in keys {
                *rows.entry(key).or_default() += 1;
            }
        }
        let figure = |(keys, count): (Vec<String>, u64)| Figure {
            rests_on_few_days: self.rests_on_few_days(question, &keys),
            keys,
            count,
        };
        Counted {
            figures: rows.into_iter().map(figure).collect(),
            total,
            left_out,
        }
    }

    /// Of a row by line: whether the counts of its days say so.
    fn rests_on_few_days(&self, question: &Question, keys: &[String]) -> Option<bool> {
        if question.by.dimensions() != [Dimension::Line] {
            return None;
        }
        let mut days = BTreeMap::<LocalDay, u64>::new();
        for (facts, _) in &self.kept {
            if takes(question, facts) && values(Dimension::Line, facts) == keys {
                *days.entry(facts.time.day()).or_default() += 1;
            }
        }
        let of = |stamp: Stamp| stamp.hour().expect("a supported year").local_day();
        let today = of(self.ledger.read().stamp());
        let first = self.ledger.began().map(of);
        let in_record = |day: &LocalDay| first.is_none_or(|first| first <= *day) && *day <= today;
        let known = question
            .days()
            .filter(|day| in_record(day) || days.contains_key(day));
        let known = known.count();
        let counts: Vec<u64> = days.into_values().collect();
        Some(rests_on_few_days(&counts, known))
    }

    fn count_rows(&self, question: &Question) -> Counted {
        let state = self.ledger.read();
        let mut counter = Counter::new(&question.filter, &question.by, state.dictionary());
        for (facts, row) in &self.kept {
            if lies_in(question.window, facts) {
                assert_eq!(counter.matches(row), takes(question, facts));
                counter.count(row);
            }
        }
        let counted = counter.finish(state.dictionary(), usize::MAX);
        counted.expect("any number of rows is allowed")
    }
}

pub(super) fn day(text: &str) -> LocalDay {
    LocalDay::parse(text).expect("a date")
}

fn lies_in(window: Window, facts: &Facts) -> bool {
    match facts.time {
        RowTime::Hour(hour) => window.contains(hour),
        RowTime::Day(day) => window.contains_day(day),
    }
}

pub(super) fn takes(question: &Question, facts: &Facts) -> bool {
    let filter = &question.filter;
    let is_observed = crate::domain::incident::is_observed(facts);
    let takes_hour = match facts.time {
        _ if filter.hours_of_day == 0 => true,
        RowTime::Hour(hour) => filter.hours_of_day >> hour.hour_of_day() & 1 == 1,
        RowTime::Day(_) => false,
    };
    let weekday = facts.time.day().weekday();
    let causes: SetOf<_> = facts.cause_claims.iter().map(|claim| claim.cause).collect();
    lies_in(question.window, facts)
        && is_observed == (filter.basis == Basis::Observed)
        && takes_hour
        && (filter.weekdays == 0 || filter.weekdays >> weekday & 1 == 1)
        && !filter.without_days.contains(&facts.time.day())
        && is_listed(&filter.operators, facts.operator.as_ref())
        && is_listed(&filter.lines, facts.line.as_ref())
        && is_listed(&filter.stops, facts.stop.as_ref())
        && is_in(filter.modes, facts.mode.into_iter().collect())
        && is_in(filter.card_kinds, facts.card_kind.into_iter().collect())
        && is_in(filter.signals, facts.signal.into_iter().collect())
        && is_in(filter.tap_kinds, facts.tap_kind.into_iter().collect())
        && is_in(filter.causes, causes)
        && is_in(filter.staff_acts, facts.staff_acts)
        && is_in(filter.outcomes, facts.outcomes)
}

fn is_listed<T: PartialEq>(list: &[T], value: Option<&T>) -> bool {
    list.is_empty() || value.is_some_and(|value| list.contains(value))
}

fn is_in<T: Taxonomy>(wanted: SetOf<T>, values: SetOf<T>) -> bool {
    wanted.is_empty() || values.iter().any(|value| wanted.contains(value))
}

pub(super) fn values(dimension: Dimension, facts: &Facts) -> Vec<String> {
    fn keys<T: Taxonomy>(values: impl IntoIterator<Item = T>) -> Vec<String> {
        values
            .into_iter()
            .map(|value| value.key().to_owned())
            .collect()
    }
    fn names<T: ToString>(value: Option<&T>) -> Vec<String> {
        value.into_iter().map(ToString::to_string).collect()
    }
    let day = facts.time.day();
    match dimension {
        Dimension::Operator => names(facts.operator.as_ref()),
        Dimension::Line => names(facts.line.as_ref()),
        Dimension::Stop => names(facts.stop.as_ref()),
        Dimension::Mode => keys(facts.mode),
        Dimension::Cause => {
            let causes: SetOf<_> = facts.cause_claims.iter().map(|claim| claim.cause).collect();
            keys(causes.iter())
        }
        Dimension::CardKind => keys(facts.card_kind),
        Dimension::Signal => keys(facts.signal),
        Dimension::StaffAct => keys(facts.staff_acts.iter()),
        Dimension::Outcome => keys(facts.outcomes.iter()),
        Dimension::TapKind => keys(facts.tap_kind),
        Dimension::HourOfDay => match facts.time {
            RowTime::Hour(hour) => vec![format!("{:02}", hour.hour_of_day())],
            RowTime::Day(_) => Vec::new(),
        },
        Dimension::Weekday => vec![day.weekday().to_string()],
        Dimension::Day => vec![day.to_string()],
        Dimension::Month => vec![day.month().to_string()],
    }
}

/// Random questions; half of them of a kind that tallies can mostly answer.
pub(super) struct Asker(pub(super) StdRng);

impl Asker {
    pub(super) fn question(&mut self) -> Question {
        if self.0.random() {
            return self.question_about_one();
        }
        let dimensions = self.dimensions();
        Question {
            filter: self.filter(),
            by: Breakdown::new(dimensions).expect("at most three, all different"),
            window: self.window(),
        }
    }

    /// About one thing besides operators and time.
    fn question_about_one(&mut self) -> Question {
        let about = Dimension::ALL[self.0.random_range(0..Dimension::ALL.len())];
        let mut dimensions = vec![about];
        for other in [
            Dimension::Operator,
            Dimension::Day,
            Dimension::HourOfDay,
            Dimension::Weekday,
        ] {
            if dimensions.len() < 3 && other != about && self.0.random_range(0..4) == 0 {
                dimensions.push(other);
            }
        }
        if self.0.random_range(0..4) == 0 {
            dimensions.remove(0);
        }
        let any = self.filter();
        let mut filter = Filter {
            hours_of_day: any.hours_of_day,
            weekdays: any.weekdays,
            ..Filter::all(any.basis)
        };
        if self.0.random_range(0..3) == 0 {
            let number = self.0.random_range(0..4);
            match about {
                Dimension::Line => filter.lines = vec![line_id(number), line_id(number + 4)],
                Dimension::Stop => filter.stops = vec![stop_id(number), stop_id(number + 4)],
                Dimension::Signal => filter.signals = self.value(),
                Dimension::Cause => filter.causes = self.value(),
                Dimension::StaffAct => filter.staff_acts = self.value(),
                Dimension::Mode => filter.modes = self.value(),
                _ => filter.operators = vec![operator_code(number)],
            }
        }
        if self.is_rare() {
            filter.operators = vec![operator_code(1), operator_code(2)];
        }
        Question {
            filter,
            by: Breakdown::new(dimensions).expect("at most three, all different"),
            window: self.window(),
        }
    }

    fn value<T: Taxonomy>(&mut self) -> SetOf<T> {
        let value = T::ALL[self.0.random_range(0..T::ALL.len())];
        [value].into_iter().collect()
    }

    fn dimensions(&mut self) -> Vec<Dimension> {
        const TIMES: [Dimension; 4] = [
            Dimension::Day,
            Dimension::HourOfDay,
            Dimension::Weekday,
            Dimension::Month,
        ];
        let mut dimensions = BTreeSet::new();
        for _ in 0..self.0.random_range(0..4) {
            dimensions.insert(if self.0.random() {
                TIMES[self.0.random_range(0..TIMES.len())]
            } else {
                Dimension::ALL[self.0.random_range(0..Dimension::ALL.len())]
            });
        }
        let mut dimensions: Vec<_> = dimensions.into_iter().collect();
        if self.0.random() {
            dimensions.reverse();
        }
        dimensions
    }

    fn filter(&mut self) -> Filter {
        let mut filter = Filter::all(if self.0.random_range(0..4) == 0 {
            Basis::Observed
        } else {
            Basis::SelfReported
        });
        // Each of these restrictions is rare, so that many questions have one or two.
        filter.operators = self.some(5, operator_code);
        filter.lines = self.some(26, line_id);
        filter.stops = self.some(62, stop_id);
        filter.modes = self.set();
        filter.causes = self.set();
        filter.card_kinds = self.set();
        filter.signals = self.set();
        filter.staff_acts = self.set();
        filter.outcomes = self.set();
        filter.tap_kinds = self.set();
        if self.is_rare() {
            filter.hours_of_day = self.0.random_range(1..1 << 24);
        }
        if self.is_rare() {
            filter.weekdays = self.0.random_range(1..128_u8) << 1;
        }
        filter
    }

    fn window(&mut self) -> Window {
        let around = day(DAYS[self.0.random_range(0..DAYS.len())]);
        let first = LocalDay(around.0 + self.0.random_range(-3..2));
        match self.0.random_range(0..8) {
            0 => {
                let start = first.start().0;
                Window::new(Hour(start), Hour(start + HOURS_IN_TEN_YEARS))
            }
            1..5 => {
                let last = LocalDay(first.0 + self.0.random_range(1..250));
                Window::new(first.start(), last.start())
            }
            _ => {
                let start = first.start().0 + self.0.random_range(0..48);
                Window::new(Hour(start), Hour(start + self.0.random_range(1..120)))
            }
        }
        .expect("a window within the supported years")
    }

    fn is_rare(&mut self) -> bool {
        self.0.random_range(0..12) == 0
    }

    fn some<T: Ord>(&mut self, below: u32, name: impl Fn(u32) -> T) -> Vec<T> {
        if !self.is_rare() {
            return Vec::new();
        }
        let count = self.0.random_range(1..4);
        let names: BTreeSet<T> = (0..count)
            .map(|_| name(self.0.random_range(0..below)))
            .collect();
        names.into_iter().collect()
    }

    fn set<T: Taxonomy>(&mut self) -> SetOf<T> {
        if !self.is_rare() {
            return SetOf::EMPTY;
        }
        let count = self.0.random_range(1..3);
        (0..count)
            .map(|_| T::ALL[self.0.random_range(0..T::ALL.len())])
            .collect()
    }
}

/// As a watch tells it.
fn without_days(figure: &Figure) -> Figure {
    Figure {
        rests_on_few_days: None,
        ..figure.clone()
    }
}

pub(super) fn all_in(order: Order) -> Page {
    Page {
        rows: usize::MAX,
        order,
        after: None,
    }
}

pub(super) fn counted(answer: Answer) -> Counted {
    assert_eq!(answer.next, None);
    Counted {
        figures: answer.figures,
        total: answer.total,
        left_out: answer.left_out,
    }
}

fn question(by: &[Dimension], window: Window) -> Question {
    Question {
        filter: Filter::all(Basis::SelfReported),
        by: Breakdown::new(by.to_vec()).expect("at most three, all different"),
        window,
    }
}

/// All rows in pages of this size; something may happen between pages.
fn in_pages(
    book: &mut Book,
    question: &Question,
    (order, rows): (Order, usize),
    mut between: impl FnMut(&mut Book),
) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut page = Page {
        rows,
        order,
        after: None,
    };
    loop {
        let answer = answer(&book.ledger, question, &page).expect("an answer");
        assert!(answer.figures.len() <= rows);
        assert!(answer.next.is_none() || answer.figures.len() == rows);
        figures.extend(answer.figures);
        let Some(next) = answer.next else {
            return figures;
        };
        let read = PageToken::parse(next.as_str(), question, order).expect("our own token");
        assert_eq!(read, next);
        page.after = Some(read);
        between(book);
    }
}

fn sort_by_count(figures: &mut [Figure]) {
    figures.sort_by(|one, other| {
        let by_count = other.count.cmp(&one.count);
        by_count.then_with(|| one.keys.cmp(&other.keys))
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn tallies_scan_counter_and_plain_count_agree(seed: u64, size in 1..1_400_usize) {
        let mut book = Book::new(seed);
        book.grow(size);
        let mut asker = Asker(StdRng::seed_from_u64(seed));
        let mut tallied_count = 0;
        for _ in 0..QUESTIONS {
            let question = asker.question();
            let expected = book.count(&question);
            let one_by_one = Counted {
                figures: expected.figures.iter().map(without_days).collect(),
                ..expected.clone()
            };
            prop_assert_eq!(&book.count_rows(&question), &one_by_one, "counter: {:?}", &question);
            let scanned = answer_by_scan(&book.ledger, &question, &all_in(Order::Key));
            let scanned = counted(scanned.expect("a scan"));
            prop_assert_eq!(&scanned, &expected, "scan: {:?}", &question);
            let tallied = answer_by_tallies(&book.ledger, &question, &all_in(Order::Key));
            if let Some(tallied) = tallied.expect("room for an answer") {
                prop_assert_eq!(&counted(tallied), &expected, "tallies: {:?}", &question);
                tallied_count += 1;
            }
        }
        prop_assert!(QUESTIONS / 4 < tallied_count, "too few: {}", tallied_count);
    }

    #[test]
    fn pages_give_every_row_once_in_order(seed: u64, rows in 1..40_usize) {
        let mut book = Book::new(seed);
        book.grow(500);
        let mut asker = Asker(StdRng::seed_from_u64(seed));
        for _ in 0..20 {
            let question = asker.question();
            let mut expected = book.count(&question).figures;
            let by_key = in_pages(&mut book, &question, (Order::Key, rows), |_| {});
            prop_assert_eq!(&by_key, &expected, "by key: {:?}", &question);
            sort_by_count(&mut expected);
            let by_count = in_pages(&mut book, &question, (Order::Count, rows), |_| {});
            prop_assert_eq!(&by_count, &expected, "by count: {:?}", &question);
        }
    }

    #[test]
    fn rows_that_were_there_come_once_while_incidents_arrive(seed: u64) {
        let mut book = Book::new(seed);
        book.grow(100);
        let window = Window::new(day("2026-03-01").start(), day("2026-12-01").start());
        let question = question(
            &[Dimension::Line, Dimension::Day],
            window.expect("not empty"),
        );
        let before = book.count(&question).figures;
        let arrive = |book: &mut Book| {
            let facts = book.maker.facts(day("2026-10-25").start().start());
            book.record(facts);
        };
        let figures = in_pages(&mut book, &question, (Order::Key, 7), arrive);
        let keys: Vec<_> = figures.iter().map(|figure| &figure.keys).collect();
        prop_assert!(keys.is_sorted_by(|one, other| one < other));
        prop_assert!(before.iter().all(|figure| keys.contains(&&figure.keys)));
    }

    #[test]
    fn garbage_is_no_token(text in "[0-9a-f]{0,80}|.{0,40}") {
        let question = question(&[Dimension::Line], day("2026-10-25").window());
        prop_assert!(PageToken::parse(&text, &question, Order::Key).is_err());
    }
}

#[test]
fn token_of_another_question_or_order_or_with_a_changed_digit_is_refused() {
    let mut book = Book::new(1);
    book.grow(200);
    let window = Window::new(day("2026-03-01").start(), day("2026-12-01").start());
    let by_line = question(&[Dimension::Line], window.expect("not empty"));
    let page = Page {
        rows: 1,
        order: Order::Key,
        after: None,
    };
    let answer = answer(&book.ledger, &by_line, &page).expect("an answer");
    let token = answer.next.expect("more than one line");
    let by_stop = question(&[Dimension::Stop], by_line.window);
    let is_refused = |text: &str, question, order| {
        matches!(
            PageToken::parse(text, question, order),
            Err(QueryError::PageToken)
        )
    };
    assert!(!is_refused(token.as_str(), &by_line, Order::Key));
    assert!(is_refused(token.as_str(), &by_stop, Order::Key));
    assert!(is_refused(token.as_str(), &by_line, Order::Count));
    assert!(is_refused("", &by_line, Order::Key));
    for index in 0..token.as_str().len() {
        let mut bytes = token.as_str().as_bytes().to_vec();
        bytes[index] = if bytes[index] == b'0' { b'1' } else { b'0' };
        let text = String::from_utf8(bytes).expect("digits");
        assert!(is_refused(&text, &by_line, Order::Key), "{text}");
    }
}

#[test]
fn token_made_by_an_earlier_program_is_still_read() {
    let week = Window::new(day("2026-10-19").start(), day("2026-10-26").start());
    let mut question = question(&[Dimension::Line, Dimension::Day], week.expect("not empty"));
    question.filter.operators = vec![operator_code(1)];
    question.filter.weekdays = 0b10;
    let token = "010000000000000005054f50313a360a323032362d31302d31396eb0ac9d1d57cf80";
    let read = PageToken::parse(token, &question, Order::Count);
    assert_eq!(read.expect("our own token").as_str(), token);
}

#[test]
fn repeated_hour_is_one_row_and_the_skipped_one_none() {
    let mut book = Book::new(2);
    for text in ["2026-03-29", "2026-10-25"] {
        for hour in day(text).window().hours() {
            let mut facts = book.maker.facts(hour.start());
            facts.time = RowTime::Hour(hour);
            facts.reporter = crate::domain::taxonomy::ReporterKind::Traveller;
            book.record(facts);
        }
    }
    let hours = |text| {
        let question = question(&[Dimension::HourOfDay], day(text).window());
        let answer = answer(&book.ledger, &question, &all_in(Order::Key)).expect("an answer");
        assert_eq!(answer.effort, Effort::Tallies);
        answer.figures
    };
    let spring = hours("2026-03-29");
    assert_eq!(spring.len(), 23);
    assert!(
        spring
            .iter()
            .all(|figure| figure.count == 1 && figure.keys != ["02"])
    );
    let autumn = hours("2026-10-25");
    assert_eq!(autumn.len(), 24);
    for figure in autumn {
        let expected = if figure.keys == ["02"] { 2 } else { 1 };
        assert_eq!(figure.count, expected, "{figure:?}");
    }
}

/// Reports of two lines within a week: of one they all came on one day, of the other not.
fn steady_and_sudden() -> (Book, Window) {
    let mut book = Book::new(6);
    let first = day("2026-10-19");
    for number in 0..7 {
        let today = LocalDay(first.0 + number);
        let sudden = if number == 3 { 14 } else { 0 };
        let lines = std::iter::repeat_n(line_id(2), sudden).chain([line_id(1), line_id(1)]);
        for line in lines {
            let mut facts = book.maker.facts(today.start().start());
            facts.time = RowTime::Hour(today.start());
            facts.reporter = crate::domain::taxonomy::ReporterKind::Traveller;
            (facts.operator, facts.line) = (Some(line.operator()), Some(line));
            book.record(facts);
        }
    }
    let window = Window::new(first.start(), LocalDay(first.0 + 7).start());
    (book, window.expect("not empty"))
}

#[test]
fn days_that_have_not_been_yet_are_no_days_without_reports() {
    let mut book = Book::new(7);
    let now = NOON;
    let today = now.hour().expect("a supported year").local_day();
    for number in 0..20 {
        let mut facts = book.maker.facts(now);
        facts.time = RowTime::Day(LocalDay(today.0 - number % 5));
        facts.reporter = crate::domain::taxonomy::ReporterKind::Traveller;
        (facts.operator, facts.line) = (Some(operator_code(1)), Some(line_id(1)));
        book.record(facts);
    }
    let window = Window::new(
        LocalDay(today.0 - 4).start(),
        LocalDay(today.0 + 30).start(),
    );
    let by_line = question(&[Dimension::Line], window.expect("not empty"));
    let page = all_in(Order::Key);
    let tallied = answer_by_tallies(&book.ledger, &by_line, &page).expect("room");
    let scanned = answer_by_scan(&book.ledger, &by_line, &page).expect("an answer");
    let last = book.ledger.read().position();
    let then = answer_as_of(&book.ledger, &by_line, &page, last, |_| Ok(Some(now)));
    for found in [
        tallied.expect("from tallies"),
        scanned,
        then.expect("an answer"),
    ] {
        let [row] = &found.figures[..] else {
            panic!("{found:?}");
        };
        // Four on each of five days.
        assert_eq!((row.count, row.rests_on_few_days), (20, Some(false)));
    }
}

#[test]
fn line_whose_reports_came_on_one_day_is_told_as_such_whichever_way_it_is_counted() {
    let (book, week) = steady_and_sudden();
    let by_line = question(&[Dimension::Line], week);
    let told = |answer: Answer| -> Vec<_> {
        let rows = answer.figures.into_iter();
        rows.map(|row| (row.count, row.rests_on_few_days)).collect()
    };
    let expected = [(14, Some(false)), (14, Some(true))];
    let page = all_in(Order::Key);
    let tallied = answer_by_tallies(&book.ledger, &by_line, &page).expect("room");
    assert_eq!(told(tallied.expect("from tallies")), expected);
    let scanned = answer_by_scan(&book.ledger, &by_line, &page);
    assert_eq!(told(scanned.expect("a scan")), expected);
    let (last, stamp) = (book.ledger.read().position(), book.ledger.read().stamp());
    let then = answer_as_of(&book.ledger, &by_line, &page, last, |_| Ok(Some(stamp)));
    assert_eq!(told(then.expect("a scan")), expected);
    // Without that day nothing is left of the other.
    let mut other_days = by_line.clone();
    other_days.filter.without_days = vec![day("2026-10-22")];
    let less = answer(&book.ledger, &other_days, &page).expect("an answer");
    assert_eq!(told(less), [(12, Some(false))]);
    // Rows that are not lines alone say nothing of days.
    for by in [
        &[Dimension::Operator][..],
        &[Dimension::Line, Dimension::Day],
    ] {
        let answer = answer(&book.ledger, &question(by, week), &page).expect("an answer");
        assert!(
            told(answer).iter().all(|(_, told)| told.is_none()),
            "{by:?}"
        );
    }
}

/// Whole months of hours of day are no days: what is asked of both must be read by the hour.
#[test]
fn lines_of_an_operator_in_some_hours_of_months_are_counted_whole() {
    let mut book = Book::new(7);
    book.grow(1_200);
    let months = Window::new(day("2026-01-01").start(), day("2027-01-01").start());
    for by in [&[Dimension::Line][..], &[Dimension::Line, Dimension::Day]] {
        let mut question = question(by, months.expect("not empty"));
        question.filter.operators = vec![operator_code(1), operator_code(2)];
        question.filter.hours_of_day = 0b1111 << 6;
        let tallied = answer_by_tallies(&book.ledger, &question, &all_in(Order::Key));
        let tallied = counted(tallied.expect("room").expect("from tallies"));
        assert_eq!(tallied, book.count(&question), "{by:?}");
        assert!(0 < tallied.total, "{by:?}");
    }
}

#[test]
fn named_questions_are_answered_from_tallies() {
    let mut book = Book::new(3);
    book.grow(50);
    let week = Window::new(day("2026-10-19").start(), day("2026-10-26").start());
    let week = week.expect("not empty");
    let is_tallied = |by: &[Dimension], change: &dyn Fn(&mut Filter)| {
        let mut question = question(by, week);
        change(&mut question.filter);
        let answer = answer(&book.ledger, &question, &all_in(Order::Key)).expect("an answer");
        answer.effort == Effort::Tallies
    };
    let as_is = |_: &mut Filter| {};
    let one_operator = |filter: &mut Filter| filter.operators = vec![operator_code(1)];
    assert!(is_tallied(&[Dimension::Line, Dimension::Day], &as_is));
    assert!(is_tallied(&[Dimension::Stop], &as_is));
    assert!(is_tallied(
        &[Dimension::Signal, Dimension::HourOfDay],
        &as_is
    ));
    assert!(is_tallied(
        &[Dimension::Line, Dimension::HourOfDay],
        &one_operator
    ));
    assert!(is_tallied(
        &[Dimension::StaffAct, Dimension::Operator],
        &as_is
    ));
    assert!(!is_tallied(&[Dimension::Stop], &one_operator));
    assert!(!is_tallied(&[Dimension::Line, Dimension::Signal], &as_is));
}

#[test]
fn more_rows_than_are_allowed_are_refused_however_they_are_counted() {
    let mut book = Book::new(5);
    book.grow(600);
    let window = Window::new(day("2020-01-01").start(), day("2029-01-01").start());
    let by = [Dimension::Stop, Dimension::Day, Dimension::Line];
    let question = question(&by, window.expect("not empty"));
    let rows = book.count(&question).figures.len();
    let scan = |rows_max| {
        let view = book.ledger.scan_view().expect("a view");
        let axes = Axes::new(&question, &view.dictionary);
        assert!(plan::DENSE_CELLS_MAX < axes.cells);
        scanned::scan(&view, &question, axes, rows_max)
    };
    assert!(scan(rows).is_ok());
    assert!(matches!(scan(rows - 1), Err(QueryError::TooManyRows)));
}

#[test]
fn nothing_recorded_gives_no_rows() {
    let book = Book::new(4);
    let window = day("2026-10-25").window();
    for by in [
        &[][..],
        &[Dimension::Line],
        &[Dimension::Line, Dimension::Signal],
    ] {
        let answer = answer(&book.ledger, &question(by, window), &all_in(Order::Count));
        let answer = answer.expect("an answer");
        assert_eq!(
            (answer.figures.len(), answer.total, answer.left_out),
            (0, 0, 0)
        );
    }
}

#[test]
fn who_asks_as_a_block_is_let_go_is_told_to_ask_again() {
    let error = |error: StoreError| QueryError::from(LedgerError::from(error));
    let forgotten = error(StoreError::BlockForgotten { number: 1 });
    assert!(matches!(forgotten, QueryError::Busy));
    let missing = error(StoreError::BlockMissing { number: 1 });
    assert!(matches!(missing, QueryError::Ledger(_)));
}
