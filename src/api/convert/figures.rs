//! Questions, watches and figures.

use std::str::FromStr;
use std::time::Duration;

use super::outage::to_days;
use super::rates::{parse_rates, to_rate, to_used};
use super::violation::{Path, Violations};
use super::{parse_duration_ms, to_timestamp};
use crate::api::pb::v1 as pb;
use crate::domain::limits::{
    DIMENSIONS_MAX, FILTER_VALUES_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, TOKEN_BYTES_MAX,
    WATCH_PACE_MS_DEFAULT, WATCH_PACE_MS_MAX, WATCH_PACE_MS_MIN, WATCH_WINDOW_MINUTES_DEFAULT,
    WATCH_WINDOW_MINUTES_MAX, WATCH_WINDOW_MINUTES_MIN, WINDOW_HOURS_MAX,
};
use crate::domain::question::Breakdown;
use crate::domain::time::{self, HOUR_SECONDS};
use crate::domain::{Basis, Dimension, Filter, Hour, Question, Window};
use crate::ledger::FOLD_VERSION;
use crate::live::{Form, Message, Rows, Update, Watch, Watched};
use crate::query::citing::citation;
use crate::query::{
    Answer, Effort, Figure, Order, RatedAnswer, RatedWithout, RatesWanted, Without,
};
use crate::stats::interval::Level;

const HOURS_OF_DAY: std::ops::RangeInclusive<u32> = 0..=23;
const WEEKDAYS: std::ops::RangeInclusive<u32> = 1..=7;
const MINUTE_MS: u64 = time::MINUTE_MS.unsigned_abs();

/// What `QueryFigures` asks, the page's token not yet judged.
#[derive(Debug)]
pub struct Query {
    /// What is asked.
    pub question: Question,
    /// In which order.
    pub order: Order,
    /// Rows of the page.
    pub rows: usize,
    /// As sent; empty for the first page.
    pub page_token: String,
    /// How rates are to be made, if they are asked for.
    pub rates: Option<RatesWanted>,
}

/// What `WatchRates` asks, the token not yet judged.
#[derive(Debug)]
pub struct WatchRequest {
    /// What to watch.
    pub watch: Watch,
    /// The shortest time between two messages.
    pub pace: Duration,
    /// As sent; `None` if it was empty.
    pub resume_token: Option<Vec<u8>>,
}

/// Checks a query.
pub fn parse_query(request: pb::QueryFiguresRequest) -> Result<Query, Violations> {
    let mut found = Violations::default();
    let question = parse_question(request.question.as_ref(), &mut found);
    let order = match request.order {
        0 | 1 => Some(Order::Key),
        2 => Some(Order::Count),
        _ => None,
    };
    let order = found.some(Path::root("order"), order, "must be a known value of Order");
    let rows = parse_page_size(
        request.page_size,
        PAGE_ROWS_DEFAULT,
        PAGE_ROWS_MAX,
        &mut found,
    );
    check_token(
        Path::root("page_token"),
        request.page_token.len(),
        &mut found,
    );
    let rates = parse_rates(request.rates.as_ref(), &mut found);
    let query = question.zip(order).map(|(question, order)| Query {
        question,
        order,
        rows,
        page_token: request.page_token,
        rates,
    });
    found.finish(query)
}

/// Checks what to watch.
pub fn parse_watch(request: pb::WatchRatesRequest) -> Result<WatchRequest, Violations> {
    let mut found = Violations::default();
    let filter = parse_filter(Path::root("filter"), request.filter.as_ref(), &mut found);
    let by = parse_breakdown(Path::root("by"), &request.by, &mut found);
    let window_minutes = parse_watch_window(request.window.as_ref(), &mut found);
    let pace_ms = parse_pace_ms(request.pace.as_ref(), &mut found);
    let token = request.resume_token;
    check_token(Path::root("resume_token"), token.len(), &mut found);
    let rates = parse_rates(request.rates.as_ref(), &mut found);
    let watch = by.zip(window_minutes).map(|(by, window_minutes)| Watch {
        filter,
        by,
        window_minutes,
        rates,
    });
    let request = watch.zip(pace_ms).map(|(watch, pace_ms)| WatchRequest {
        watch,
        pace: Duration::from_millis(pace_ms),
        resume_token: (!token.is_empty()).then_some(token),
    });
    found.finish(request)
}

/// Rows of a page: 0 is the default.
pub fn parse_page_size(
    size: u32,
    rows_default: usize,
    rows_max: usize,
    found: &mut Violations,
) -> usize {
    let rows = usize::try_from(size).unwrap_or(usize::MAX);
    if rows_max < rows {
        let at = Path::root("page_size");
        found.add(at, format_args!("must be at most {rows_max}"));
    }
    if rows == 0 { rows_default } else { rows }
}

/// Checks a token's length; its owner checks the rest.
pub fn check_token(at: Path<'_>, len: usize, found: &mut Violations) {
    if TOKEN_BYTES_MAX < len {
        found.add(at, "must come from an earlier answer");
    }
}

/// An answer. `place` is how its caller is told the answer's position.
pub fn to_answer(
    answer: Answer,
    question: &Question,
    place: u64,
    elapsed: Duration,
) -> pb::QueryFiguresResponse {
    let (from_tallies, blocks_scanned) = match answer.effort {
        Effort::Tallies => (true, 0),
        Effort::Scan { blocks } => (false, blocks),
    };
    pb::QueryFiguresResponse {
        figures: to_figures(&answer, &question.by),
        total: answer.total,
        left_out: answer.left_out,
        next_page_token: answer
            .next
            .map(|token| token.as_str().to_owned())
            .unwrap_or_default(),
        position: place,
        effort: Some(pb::Effort {
            from_tallies,
            blocks_scanned,
            elapsed_micros: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        }),
        total_rate: None,
        feeds: Vec::new(),
        fold_version: FOLD_VERSION,
        citation: citation(&question.filter, question.window, place),
        outage_days: to_days(&answer.outages),
        without_outages: answer.without.as_ref().map(to_without),
    }
}

fn to_without(without: &Without) -> pb::WithoutOutages {
    pb::WithoutOutages {
        total: without.total,
        left_out: without.left_out,
        total_rate: None,
    }
}

/// Puts rates without the days of outages to the counts.
fn put_rates_without(answer: &mut pb::QueryFiguresResponse, without: &RatedWithout, level: Level) {
    for (figure, rate) in answer.figures.iter_mut().zip(&without.rates) {
        if let Some(figure) = &mut figure.without_outages {
            figure.rate = rate.as_ref().map(|rate| to_rate(rate, level));
        }
    }
    if let Some(all) = &mut answer.without_outages {
        all.total_rate = Some(to_rate(&without.total, level));
    }
}

/// An answer with rates.
pub fn to_rated_answer(
    rated: RatedAnswer,
    level: Level,
    question: &Question,
    place: u64,
    elapsed: Duration,
) -> pb::QueryFiguresResponse {
    let mut answer = to_answer(rated.answer, question, place, elapsed);
    for (figure, rate) in answer.figures.iter_mut().zip(&rated.rates) {
        figure.rate = Some(to_rate(rate, level));
    }
    if let Some(without) = &rated.without {
        put_rates_without(&mut answer, without, level);
    }
    pb::QueryFiguresResponse {
        total_rate: Some(to_rate(&rated.total, level)),
        feeds: to_used(&rated.feeds),
        ..answer
    }
}

/// What the figures of a message to a watcher are cited by.
pub struct CitedBy {
    /// A number that stands for a place in the journal.
    pub place: u64,
    /// The whole citation, where it is told.
    pub line: Option<String>,
}

/// A message to a watcher, with what it is cited by. Who is told a part is not told the place.
pub fn to_message(
    message: &Message,
    watch: &Watch,
    form: Form,
    cited: CitedBy,
) -> pb::WatchRatesResponse {
    use pb::watch_rates_response::Update as Out;
    let by = &watch.by;
    let level = watch.rates.as_ref().map_or(Level::P95, |rates| rates.level);
    let to_rows = |figures: &Rows| {
        let figures = figures.iter();
        figures
            .map(|figure| to_watched(figure, by, level))
            .collect()
    };
    let update = match &message.update {
        Update::Snapshot(figures) => Out::Snapshot(pb::Snapshot {
            figures: to_rows(figures),
        }),
        Update::Resumed => Out::Resumed(pb::Resumed {}),
        Update::Changes(figures) => Out::Changes(pb::Changes {
            figures: to_rows(figures),
        }),
        Update::Heartbeat => Out::Heartbeat(pb::Heartbeat {}),
    };
    let rates = message.rates.as_deref();
    let rated = rates.and_then(|rates| rates.rated);
    pb::WatchRatesResponse {
        total_rate: rates.map(|rates| to_rate(&rates.total, level)),
        feeds: rates.map_or_else(Vec::new, |rates| to_used(&rates.feeds)),
        rated_from: rated.map(|span| to_timestamp(span.start.start())),
        rated_until: rated.map(|span| to_timestamp(span.end.start())),
        resume_token: message.resume_token.to_vec(),
        position: match form {
            Form::Full => message.position.0,
            Form::Redacted => 0,
        },
        as_of: Some(to_timestamp(message.as_of)),
        total: message.total,
        left_out: message.left_out,
        untimed: message.untimed,
        complete_from: message.complete_from.map(to_timestamp),
        citation: cited.line.unwrap_or_default(),
        cited_position: cited.place,
        update: Some(update),
    }
}

fn to_figures(answer: &Answer, by: &Breakdown) -> Vec<pb::Figure> {
    let without = answer.without.iter();
    let mut without = without.flat_map(|without| without.counts.iter().copied());
    let to_figure = |figure: &Figure| pb::Figure {
        keys: to_keys(figure.keys.iter().map(String::as_str), by),
        count: figure.count,
        rate: None,
        without_outages: without
            .next()
            .flatten()
            .map(|count| pb::FigureWithoutOutages { count, rate: None }),
        rests_on_few_days: figure.rests_on_few_days,
    };
    answer.figures.iter().map(to_figure).collect()
}

fn to_watched(row: Watched<'_>, by: &Breakdown, level: Level) -> pb::Figure {
    pb::Figure {
        keys: to_keys(row.keys(), by),
        count: row.count(),
        rate: row.rate().map(|rate| to_rate(rate, level)),
        without_outages: None,
        rests_on_few_days: None,
    }
}

fn to_keys<'a>(keys: impl Iterator<Item = &'a str>, by: &Breakdown) -> Vec<pb::Key> {
    let keys = by.dimensions().iter().zip(keys);
    let to_key = |(dimension, key): (&Dimension, &str)| pb::Key {
        dimension: to_dimension(*dimension),
        value: key.to_owned(),
    };
    keys.map(to_key).collect()
}

/// The API's number of a dimension: its place among all, from 1 up.
pub(super) fn to_dimension(dimension: Dimension) -> i32 {
    dimension as i32 + 1
}

fn parse_dimension(number: i32) -> Option<Dimension> {
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    Dimension::ALL.get(index).copied()
}

fn parse_question(question: Option<&pb::Question>, found: &mut Violations) -> Option<Question> {
    let at = Path::root("question");
    let question = found.some(at, question, "must be given")?;
    let filter = parse_filter(at.field("filter"), question.filter.as_ref(), found);
    let by = parse_breakdown(at.field("by"), &question.by, found);
    let window = parse_window(at.field("window"), question.window.as_ref(), found);
    by.zip(window)
        .map(|(by, window)| Question { filter, by, window })
}

fn parse_breakdown(at: Path<'_>, numbers: &[i32], found: &mut Violations) -> Option<Breakdown> {
    if !found.bounded(at, numbers.len(), DIMENSIONS_MAX) {
        return None;
    }
    let mut dimensions = Vec::new();
    for (index, number) in numbers.iter().enumerate() {
        let at = at.at(index);
        let dimension = parse_dimension(*number);
        let Some(dimension) = found.some(at, dimension, "must be a known value of Dimension")
        else {
            continue;
        };
        if dimensions.contains(&dimension) {
            found.add(at, "must not come twice");
        } else {
            dimensions.push(dimension);
        }
    }
    Breakdown::new(dimensions)
}

pub(super) fn parse_filter(
    at: Path<'_>,
    filter: Option<&pb::Filter>,
    found: &mut Violations,
) -> Filter {
    let Some(filter) = filter else {
        return Filter::all(Basis::SelfReported);
    };
    let max = FILTER_VALUES_MAX;
    Filter {
        basis: parse_basis(at.field("basis"), filter.basis, found),
        operators: parse_ids(at.field("operators"), &filter.operators, found),
        lines: parse_ids(at.field("lines"), &filter.lines, found),
        stops: parse_ids(at.field("stops"), &filter.stops, found),
        modes: found.choices(at.field("modes"), &filter.modes, max, false),
        causes: found.choices(at.field("causes"), &filter.causes, max, false),
        card_kinds: found.choices(at.field("card_kinds"), &filter.card_kinds, max, false),
        signals: found.choices(at.field("signals"), &filter.signals, max, false),
        staff_acts: found.choices(at.field("staff_acts"), &filter.staff_acts, max, false),
        outcomes: found.choices(at.field("outcomes"), &filter.outcomes, max, false),
        tap_kinds: found.choices(at.field("tap_kinds"), &filter.tap_kinds, max, false),
        hours_of_day: parse_bits(
            at.field("hours_of_day"),
            &filter.hours_of_day,
            &HOURS_OF_DAY,
            found,
        ),
        weekdays: u8::try_from(parse_bits(
            at.field("weekdays"),
            &filter.weekdays,
            &WEEKDAYS,
            found,
        ))
        .expect("bits 1 to 7"),
        without_days: Vec::new(),
    }
}

fn parse_basis(at: Path<'_>, number: i32, found: &mut Violations) -> Basis {
    let basis = match number {
        0 | 1 => Some(Basis::SelfReported),
        2 => Some(Basis::Observed),
        _ => None,
    };
    found
        .some(at, basis, "must be a known value of Basis")
        .unwrap_or(Basis::SelfReported)
}

/// Identifiers of a filter, sorted and without repeats.
pub fn parse_ids<T>(at: Path<'_>, texts: &[String], found: &mut Violations) -> Vec<T>
where
    T: FromStr<Err: std::fmt::Display> + Ord,
{
    if !found.bounded(at, texts.len(), FILTER_VALUES_MAX) {
        return Vec::new();
    }
    let mut ids = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        ids.extend(found.ok(at.at(index), text.parse::<T>()));
    }
    ids.sort();
    ids.dedup();
    ids
}

/// Bit n stands for the number n. The range must lie within 0 to 31.
fn parse_bits(
    at: Path<'_>,
    numbers: &[u32],
    range: &std::ops::RangeInclusive<u32>,
    found: &mut Violations,
) -> u32 {
    let mut bits = 0;
    if !found.bounded(at, numbers.len(), FILTER_VALUES_MAX) {
        return bits;
    }
    for (index, number) in numbers.iter().enumerate() {
        if range.contains(number) {
            bits |= 1 << number;
        } else {
            let rule = format_args!("must be {} to {}", range.start(), range.end());
            found.add(at.at(index), rule);
        }
    }
    bits
}

pub(super) fn parse_window(
    at: Path<'_>,
    window: Option<&pb::Window>,
    found: &mut Violations,
) -> Option<Window> {
    let window = found.some(at, window, "must be given")?;
    let start = parse_hour(at.field("start"), window.start.as_ref(), found);
    let end = parse_hour(at.field("end"), window.end.as_ref(), found);
    let (start, end) = start.zip(end)?;
    if end <= start {
        found.add(at.field("end"), "must be after start");
        return None;
    }
    if WINDOW_HOURS_MAX < end.0 - start.0 {
        found.add(at.field("end"), "must be at most 10 years after start");
        return None;
    }
    found.some(
        at,
        Window::new(start, end),
        "must lie in the years 2000 to 2099",
    )
}

fn parse_hour(
    at: Path<'_>,
    timestamp: Option<&prost_types::Timestamp>,
    found: &mut Violations,
) -> Option<Hour> {
    let timestamp = found.some(at, timestamp, "must be given")?;
    if timestamp.nanos != 0 || timestamp.seconds % HOUR_SECONDS != 0 {
        found.add(at, "must be a whole hour");
        return None;
    }
    let hour = u32::try_from(timestamp.seconds / HOUR_SECONDS).ok();
    found.some(at, hour.map(Hour), "must lie in the years 2000 to 2099")
}

fn parse_watch_window(
    window: Option<&prost_types::Duration>,
    found: &mut Violations,
) -> Option<u32> {
    let Some(window) = window else {
        return Some(WATCH_WINDOW_MINUTES_DEFAULT);
    };
    let whole = parse_duration_ms(window).filter(|ms| ms % MINUTE_MS == 0);
    let minutes = whole.and_then(|ms| u32::try_from(ms / MINUTE_MS).ok());
    let range = WATCH_WINDOW_MINUTES_MIN..=WATCH_WINDOW_MINUTES_MAX;
    let minutes = minutes.filter(|minutes| range.contains(minutes));
    let rule = "must be whole minutes, 5 minutes to 24 hours";
    found.some(Path::root("window"), minutes, rule)
}

fn parse_pace_ms(pace: Option<&prost_types::Duration>, found: &mut Violations) -> Option<u64> {
    let Some(pace) = pace else {
        return Some(WATCH_PACE_MS_DEFAULT);
    };
    let range = WATCH_PACE_MS_MIN..=WATCH_PACE_MS_MAX;
    let ms = parse_duration_ms(pace).filter(|ms| range.contains(ms));
    let rule = "must be whole milliseconds, 100 milliseconds to 60 seconds";
    found.some(Path::root("pace"), ms, rule)
}

#[cfg(test)]
mod tests {
    use prost_types::{Duration as PbDuration, Timestamp};

    use super::*;
    use crate::api::pb::descriptors;
    use crate::domain::taxonomy::Signal;

    fn hour(hour: i64) -> Option<Timestamp> {
        Some(Timestamp {
            seconds: hour * 3_600,
            nanos: 0,
        })
    }

    fn question() -> pb::Question {
        pb::Question {
            filter: None,
            by: vec![pb::Dimension::Line as i32, pb::Dimension::Day as i32],
            window: Some(pb::Window {
                start: hour(480_000),
                end: hour(480_024),
            }),
        }
    }

    fn query(question: pb::Question) -> pb::QueryFiguresRequest {
        pb::QueryFiguresRequest {
            question: Some(question),
            ..pb::QueryFiguresRequest::default()
        }
    }

    fn refused<T: std::fmt::Debug>(result: Result<T, Violations>) -> Vec<String> {
        let told = result.expect_err("refused").into_told();
        told.into_iter().map(|one| one.field).collect()
    }

    #[test]
    fn plain_question_is_about_self_reports_by_key_in_pages_of_a_thousand() {
        let parsed = parse_query(query(question())).expect("accepted");
        assert_eq!(parsed.question.filter, Filter::all(Basis::SelfReported));
        let by = parsed.question.by.dimensions();
        assert_eq!(by, [Dimension::Line, Dimension::Day]);
        assert_eq!(parsed.order, Order::Key);
        assert_eq!(parsed.rows, PAGE_ROWS_DEFAULT);
    }

    #[test]
    fn every_violation_of_a_question_comes_back_with_its_path() {
        let filter = pb::Filter {
            basis: 7,
            operators: vec!["GVB".into(), "gvb".into()],
            lines: vec!["10".into()],
            stops: vec![String::new()],
            modes: vec![0],
            signals: vec![99],
            hours_of_day: vec![23, 24],
            weekdays: vec![0, 7, 8],
            causes: vec![1; 65],
            ..pb::Filter::default()
        };
        let request = pb::QueryFiguresRequest {
            question: Some(pb::Question {
                filter: Some(filter),
                by: vec![2, 2, 0],
                window: Some(pb::Window {
                    start: Some(Timestamp {
                        seconds: 1,
                        nanos: 0,
                    }),
                    end: None,
                }),
            }),
            order: 3,
            page_size: 10_001,
            page_token: "x".repeat(TOKEN_BYTES_MAX + 1),
            rates: None,
            as_of_position: None,
        };
        let expected = [
            "question.filter.basis",
            "question.filter.operators[1]",
            "question.filter.lines[0]",
            "question.filter.stops[0]",
            "question.filter.modes[0]",
            "question.filter.causes",
            "question.filter.signals[0]",
            "question.filter.hours_of_day[1]",
            "question.filter.weekdays[0]",
            "question.filter.weekdays[2]",
            "question.by[1]",
            "question.by[2]",
            "question.window.start",
            "question.window.end",
            "order",
            "page_size",
            "page_token",
        ];
        assert_eq!(refused(parse_query(request)), expected);
    }

    #[test]
    fn windows_are_whole_hours_in_order_and_at_most_ten_years() {
        let check = |start, end, expected: &[&str]| {
            let window = Some(pb::Window { start, end });
            let result = parse_query(query(pb::Question {
                window,
                ..question()
            }));
            assert_eq!(refused(result), expected);
        };
        check(hour(480_000), hour(480_000), &["question.window.end"]);
        check(hour(480_001), hour(480_000), &["question.window.end"]);
        check(hour(400_000), hour(500_000), &["question.window.end"]);
        check(hour(0), hour(1), &["question.window"]);
        check(hour(-1), hour(1), &["question.window.start"]);
        check(hour(i64::MAX / 3_600), hour(1), &["question.window.start"]);
        let no_window = parse_query(query(pb::Question {
            window: None,
            ..question()
        }));
        assert_eq!(refused(no_window), ["question.window"]);
    }

    #[test]
    fn filter_lists_are_sorted_and_without_repeats() {
        let filter = pb::Filter {
            basis: 2,
            operators: vec!["NS".into(), "GVB".into(), "NS".into()],
            signals: vec![13, 13],
            hours_of_day: vec![0, 23, 0],
            weekdays: vec![1, 7],
            ..pb::Filter::default()
        };
        let parsed = parse_query(query(pb::Question {
            filter: Some(filter),
            ..question()
        }));
        let filter = parsed.expect("accepted").question.filter;
        let operators: Vec<_> = filter.operators.iter().map(|one| one.as_str()).collect();
        assert_eq!(operators, ["GVB", "NS"]);
        assert!(filter.signals.contains(Signal::RedBeep));
        assert_eq!(filter.hours_of_day, 1 | 1 << 23);
        assert_eq!(filter.weekdays, 1 << 1 | 1 << 7);
        assert_eq!(filter.basis, Basis::Observed);
    }

    #[test]
    fn watch_has_defaults_and_bounds() {
        let parsed = parse_watch(pb::WatchRatesRequest::default()).expect("accepted");
        assert_eq!(parsed.watch.window_minutes, WATCH_WINDOW_MINUTES_DEFAULT);
        assert_eq!(parsed.pace, Duration::from_millis(WATCH_PACE_MS_DEFAULT));
        assert_eq!(parsed.resume_token, None);
        let check = |window_s, pace_nanos, expected: &[&str]| {
            let request = pb::WatchRatesRequest {
                window: Some(PbDuration {
                    seconds: window_s,
                    nanos: 0,
                }),
                pace: Some(PbDuration {
                    seconds: 0,
                    nanos: pace_nanos,
                }),
                ..pb::WatchRatesRequest::default()
            };
            match parse_watch(request) {
                Ok(_) => assert!(expected.is_empty()),
                result => assert_eq!(refused(result), expected),
            }
        };
        check(300, 100_000_000, &[]);
        check(24 * 3_600, 999_000_000, &[]);
        check(299, 99_000_000, &["window", "pace"]);
        check(301, 100_000_001, &["window", "pace"]);
        check(24 * 3_600 + 60, -1, &["window", "pace"]);
        check(-300, i32::MAX, &["window", "pace"]);
    }

    #[test]
    fn dimensions_have_the_numbers_of_the_api() {
        let set = descriptors();
        let enums = set.file.iter().flat_map(|file| &file.enum_type);
        let mut names = enums
            .filter(|one| one.name() == "Dimension")
            .flat_map(|one| &one.value);
        assert_eq!(names.next().map(|zero| zero.number()), Some(0));
        for dimension in Dimension::ALL {
            let value = names.next().expect("one for each dimension");
            assert_eq!(value.number(), to_dimension(dimension));
            assert_eq!(parse_dimension(value.number()), Some(dimension));
            let key = dimension.key().replace('-', "_").to_uppercase();
            assert_eq!(value.name(), format!("DIMENSION_{key}"));
        }
        assert!(names.next().is_none());
        // By name as well, because a number once given stays for ever.
        let numbers = [
            (Dimension::Operator, 1),
            (Dimension::Line, 2),
            (Dimension::Stop, 3),
            (Dimension::Mode, 4),
            (Dimension::Cause, 5),
            (Dimension::CardKind, 6),
            (Dimension::Signal, 7),
            (Dimension::StaffAct, 8),
            (Dimension::Outcome, 9),
            (Dimension::TapKind, 10),
            (Dimension::HourOfDay, 11),
            (Dimension::Weekday, 12),
            (Dimension::Day, 13),
            (Dimension::Month, 14),
        ];
        assert_eq!(numbers.len(), Dimension::ALL.len());
        for (dimension, number) in numbers {
            assert_eq!(to_dimension(dimension), number, "{dimension:?}");
        }
        assert_eq!(parse_dimension(i32::MIN), None);
    }
}
