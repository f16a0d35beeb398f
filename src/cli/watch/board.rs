//! What a watch knows: the rows, how they went lately, and when it last heard something;
//! and how that looks in so many columns and lines of text. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::super::notice::QUIET_AFTER;
use super::super::rates::{no_rate, rounded};
use super::super::when;
use super::cited::Cited;
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::watch_rates_response::Update;
use crate::client::Moment;

const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Samples of each row, and how far they lie apart.
const SAMPLES: usize = 30;
const SAMPLE_EVERY: Duration = Duration::from_secs(2);
const KEY_WIDTH_MAX: usize = 24;
/// Narrowest that a column of keys is made where a screen is narrow.
const KEY_WIDTH_MIN: usize = 6;
/// Between columns.
const GAP: &str = "  ";
/// Columns of a count, with what stands before it.
const COUNT_WIDTH: usize = 7;
/// Columns of a rate with its interval, or of the reason why there is none.
const RATE_WIDTH: usize = 28;
/// Lines for rows that a screen must have before the citation takes any.
const ROWS_BEFORE_CITATION: usize = 5;

/// The state of a watch.
pub struct Board {
    columns: Vec<String>,
    minutes: u32,
    has_rates: bool,
    total_rate: Option<pb::Rate>,
    /// The part of the window that rates are about.
    rated: Option<(Timestamp, Timestamp)>,
    /// Who told the taps: the ids of their feeds.
    feeds: Vec<String>,
    rows: BTreeMap<Vec<String>, Row>,
    total: u64,
    total_samples: VecDeque<u64>,
    left_out: u64,
    untimed: u64,
    complete_from: Option<Timestamp>,
    as_of: Option<Timestamp>,
    cited: Cited,
    heard: Option<Moment>,
    sampled: Option<Instant>,
}

#[derive(Default)]
struct Row {
    count: u64,
    rate: Option<pb::Rate>,
    samples: VecDeque<u64>,
}

/// How rows are laid out on a screen.
struct Layout {
    /// Of the columns of keys.
    widths: Vec<usize>,
    /// Whether rates stand below their rows, since there is no room beside them.
    is_rate_below: bool,
}

impl Board {
    /// Nothing heard yet.
    pub fn new(columns: Vec<String>, minutes: u32, has_rates: bool) -> Self {
        Self {
            columns,
            minutes,
            has_rates,
            total_rate: None,
            rated: None,
            feeds: Vec::new(),
            rows: BTreeMap::new(),
            total: 0,
            total_samples: VecDeque::new(),
            left_out: 0,
            untimed: 0,
            complete_from: None,
            as_of: None,
            cited: Cited::default(),
            heard: None,
            sampled: None,
        }
    }

    /// Takes a message in.
    pub fn heard(&mut self, message: &pb::WatchRatesResponse, now: Instant) {
        self.heard = Some(Moment::at(now));
        self.total = message.total;
        self.left_out = message.left_out;
        self.untimed = message.untimed;
        self.complete_from = when::from_wire(message.complete_from.as_ref());
        self.total_rate = message.total_rate.clone();
        let from = when::from_wire(message.rated_from.as_ref());
        self.rated = from.zip(when::from_wire(message.rated_until.as_ref()));
        let feeds = message.feeds.iter().filter_map(|used| used.feed.as_ref());
        self.feeds = feeds.map(|feed| feed.feed_id.clone()).collect();
        self.as_of = when::from_wire(message.as_of.as_ref());
        self.cited.heard(message);
        match &message.update {
            Some(Update::Snapshot(all)) => {
                for row in self.rows.values_mut() {
                    row.count = 0;
                }
                self.set(&all.figures);
                self.drop_empty();
            }
            Some(Update::Changes(some)) => self.set(&some.figures),
            Some(Update::Resumed(_) | Update::Heartbeat(_)) | None => {}
        }
        self.sample(now);
    }

    fn set(&mut self, figures: &[pb::Figure]) {
        for figure in figures {
            let key: Vec<_> = figure.keys.iter().map(|key| key.value.clone()).collect();
            let row = self.rows.entry(key).or_default();
            row.count = figure.count;
            row.rate.clone_from(&figure.rate);
        }
        self.drop_empty();
    }

    fn drop_empty(&mut self) {
        self.rows.retain(|_, row| 0 < row.count);
    }

    fn sample(&mut self, now: Instant) {
        if self
            .sampled
            .is_some_and(|sampled| now < sampled + SAMPLE_EVERY)
        {
            return;
        }
        self.sampled = Some(now);
        keep(&mut self.total_samples, self.total);
        for row in self.rows.values_mut() {
            keep(&mut row.samples, row.count);
        }
    }

    /// The text for a screen of so many columns and lines, newest state, largest rows first.
    pub fn lines(
        &mut self,
        columns: usize,
        lines: usize,
        trouble: Option<&str>,
        now: Instant,
    ) -> Vec<String> {
        self.sample(now);
        let mut text = wrapped(&self.head(columns, trouble, now), columns);
        text.extend(self.summary(columns));
        text.extend(self.rates(columns));
        text.push(String::new());
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|left, right| right.1.count.cmp(&left.1.count).then(left.0.cmp(right.0)));
        let layout = self.layout(&rows, columns);
        text.push(self.heading(&layout));
        let mut foot = wrapped(&self.cited.line().unwrap_or_default(), columns);
        if lines <= text.len() + ROWS_BEFORE_CITATION + foot.len() {
            foot.clear();
        }
        let room = lines.saturating_sub(text.len() + foot.len() + 1);
        let room = room / layout.lines_per_row();
        for (key, row) in rows.iter().take(room) {
            text.extend(self.row(key, row, &layout, columns));
        }
        let hidden = rows.len().saturating_sub(room);
        text.append(&mut foot);
        text.push(if 0 < hidden {
            format!("and {hidden} more rows; q ends")
        } else {
            "q ends".to_owned()
        });
        text.truncate(lines);
        text.into_iter()
            .map(|line| line.chars().take(columns).collect())
            .collect()
    }

    fn head(&self, columns: usize, trouble: Option<&str>, now: Instant) -> String {
        let silence = self.heard.map(|heard| Moment::at(now).since(heard));
        let state = match (trouble, silence) {
            (Some(trouble), Some(silence)) => {
                format!("{trouble}; nothing heard for {} s", silence.as_secs())
            }
            (Some(trouble), None) => trouble.to_owned(),
            (None, None) => "connecting".to_owned(),
            (None, Some(silence)) if QUIET_AFTER < silence => {
                format!("nothing heard for {} s", silence.as_secs())
            }
            (None, Some(_)) => "live".to_owned(),
        };
        let window = format!("{state} · last {} min", self.minutes);
        let Some(as_of) = self.as_of else {
            return window;
        };
        let whole = format!("{window} · {}", when::shown_day_and_minute(as_of));
        if whole.chars().count() <= columns {
            return whole;
        }
        format!("{window} · {}", when::shown_minute(as_of))
    }

    /// How many there are, and what is to be known of that; how it went, where there is room.
    fn summary(&self, columns: usize) -> Vec<String> {
        let mut text = format!("{} reported", self.total);
        if 0 < self.left_out {
            text.push_str(&format!(", {} in no row", self.left_out));
        }
        if 0 < self.untimed {
            text.push_str(&format!(", and {} without a time", self.untimed));
        }
        if let Some(from) = self.complete_from {
            text.push_str(&format!(", complete from {}", when::shown(from)));
        }
        let mut lines = wrapped(&text, columns);
        if let Some(last) = lines.last_mut() {
            append_spark(last, &self.total_samples, columns);
        }
        lines
    }

    fn layout(&self, rows: &[(&Vec<String>, &Row)], columns: usize) -> Layout {
        let width = |place: usize, name: &String| {
            let keys = rows.iter().filter_map(|(key, _)| key.get(place));
            let longest = keys.chain([name]).map(|text| text.chars().count()).max();
            longest.unwrap_or(0).min(KEY_WIDTH_MAX)
        };
        let names = self.columns.iter().enumerate();
        let widths: Vec<_> = names.map(|(place, name)| width(place, name)).collect();
        let rates = rows.iter().filter_map(|(_, row)| row.rate.as_ref());
        let longest = rates.map(|rate| shown(rate).chars().count()).max();
        let beside = GAP.len() + longest.unwrap_or(0);
        let is_rate_below = self.has_rates && columns < width_of(&widths) + COUNT_WIDTH + beside;
        Layout {
            widths: shrunk(widths, columns.saturating_sub(COUNT_WIDTH)),
            is_rate_below,
        }
    }

    fn heading(&self, layout: &Layout) -> String {
        let mut text = keys(&self.columns, &layout.widths);
        text.push_str("  count");
        if self.has_rates && !layout.is_rate_below {
            text.push_str(&format!("{GAP}{:<RATE_WIDTH$}", "rate"));
        }
        text
    }

    /// What all rates together are, of which part of the window, and against whose taps.
    fn rates(&self, columns: usize) -> Vec<String> {
        let Some(rate) = &self.total_rate else {
            return Vec::new();
        };
        let unit = match rate.unit() {
            pb::RateUnit::ReportsPer100000Taps => " reports per 100,000 taps",
            pb::RateUnit::ShareOfAttempts => " % of attempts",
            pb::RateUnit::Unspecified => "",
        };
        let none = if rate.value.is_none() {
            "no rate: "
        } else {
            ""
        };
        let mut lines = wrapped(&format!("{none}{}{unit}", shown(rate)), columns);
        if let Some((from, until)) = self.rated {
            let part = format!(
                "from {} to {}, {} of {} reports matched, taps told by {}",
                when::shown_minute(from),
                when::shown_minute(until),
                rate.matched,
                rate.reports,
                self.feeds.join(", "),
            );
            lines.append(&mut wrapped(&part, columns));
        }
        lines
    }

    fn row(&self, key: &[String], row: &Row, layout: &Layout, columns: usize) -> Vec<String> {
        let mut text = keys(key, &layout.widths);
        text.push_str(&format!("{GAP}{:>5}", row.count));
        let rate = row.rate.as_ref().map(shown).unwrap_or_default();
        if self.has_rates && !layout.is_rate_below {
            text.push_str(&format!("{GAP}{rate:<RATE_WIDTH$}"));
        }
        append_spark(&mut text, &row.samples, columns);
        let below = layout.is_rate_below.then(|| format!("{GAP}{rate}"));
        std::iter::once(text).chain(below).collect()
    }
}

impl Layout {
    fn lines_per_row(&self) -> usize {
        1 + usize::from(self.is_rate_below)
    }
}

/// A rate and its interval, or why there is none. Shares in percent.
fn shown(rate: &pb::Rate) -> String {
    let factor = match rate.unit() {
        pb::RateUnit::ShareOfAttempts => 100.0,
        pb::RateUnit::ReportsPer100000Taps | pb::RateUnit::Unspecified => 1.0,
    };
    let number = |value: f64| rounded(value * factor);
    match (rate.value, rate.low, rate.high) {
        (Some(value), Some(low), Some(high)) => {
            let (low, high) = (number(low), number(high));
            format!("{} ({low} to {high})", number(value))
        }
        _ => no_rate(rate.no_rate()).unwrap_or("").to_owned(),
    }
}

/// In lines of so many columns, cut between words.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn keep(samples: &mut VecDeque<u64>, value: u64) {
    if samples.len() == SAMPLES {
        samples.pop_front();
    }
    samples.push_back(value);
}

/// In columns of these widths; what is cut ends in a sign that it is.
fn keys(key: &[String], widths: &[usize]) -> String {
    let cell = |(text, width): (&String, &usize)| {
        if text.chars().count() <= *width {
            return format!("{text:<width$}");
        }
        let short = text.chars().take(width.saturating_sub(1));
        short.chain(['…']).take(*width).collect()
    };
    let cells: Vec<String> = key.iter().zip(widths).map(cell).collect();
    cells.join(GAP)
}

/// Of columns of keys beside each other.
fn width_of(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1)
}

/// Made narrower, the widest first, until they fit: what comes after them must not be cut off.
fn shrunk(mut widths: Vec<usize>, room: usize) -> Vec<usize> {
    while room < width_of(&widths)
        && let Some(widest) = widths.iter_mut().max()
        && KEY_WIDTH_MIN < *widest
    {
        *widest -= 1;
    }
    widths
}

/// Behind a line, as much of it as there is room for, the newest.
fn append_spark(line: &mut String, samples: &VecDeque<u64>, columns: usize) {
    line.push_str(GAP);
    let room = columns.saturating_sub(line.chars().count());
    let spark = sparkline(samples);
    let skip = spark.chars().count().saturating_sub(room);
    line.extend(spark.chars().skip(skip));
}

/// One character for each sample, from the lowest to the highest among them; a flat row is
/// drawn low.
fn sparkline(samples: &VecDeque<u64>) -> String {
    let low = samples.iter().min().copied().unwrap_or(0);
    let high = samples.iter().max().copied().unwrap_or(0);
    let span = high - low;
    let steps = SPARKS.len() as u64 - 1;
    let spark = |sample: &u64| {
        let step = ((sample - low) * steps).checked_div(span).unwrap_or(0);
        SPARKS[usize::try_from(step).expect("at most seven")]
    };
    samples.iter().map(spark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(update: Update, total: u64) -> pb::WatchRatesResponse {
        pb::WatchRatesResponse {
            total,
            update: Some(update),
            ..Default::default()
        }
    }

    fn figure(key: &str, count: u64) -> pb::Figure {
        let key = pb::Key {
            dimension: 2,
            value: key.to_owned(),
        };
        pb::Figure {
            keys: vec![key],
            count,
            rate: Some(pb::Rate {
                no_rate: pb::NoRate::NoTaps.into(),
                ..pb::Rate::default()
            }),
            without_outages: None,
            rests_on_few_days: None,
        }
    }

    fn board() -> (Board, Instant) {
        let now = Instant::now();
        let mut board = Board::new(vec!["line".to_owned()], 60, true);
        let figures = vec![figure("GVB:1", 3), figure("GVB:10", 7)];
        board.heard(
            &message(Update::Snapshot(pb::Snapshot { figures }), 10),
            now,
        );
        (board, now)
    }

    #[test]
    fn largest_row_stands_first_and_a_removed_one_is_gone() {
        let (mut board, now) = board();
        let lines = board.lines(80, 24, None, now);
        assert!(lines[4].starts_with("GVB:10"), "{lines:?}");
        let figures = vec![figure("GVB:10", 0)];
        board.heard(&message(Update::Changes(pb::Changes { figures }), 3), now);
        let lines = board.lines(80, 24, None, now);
        assert!(
            lines.iter().all(|line| !line.starts_with("GVB:10")),
            "{lines:?}"
        );
    }

    #[test]
    fn text_fits_a_narrow_and_low_screen() {
        let (mut board, now) = board();
        for (columns, height) in [(20, 5), (1, 1), (80, 24), (0, 0)] {
            let lines = board.lines(columns, height, Some("no connection"), now);
            assert!(lines.len() <= height);
            assert!(lines.iter().all(|line| line.chars().count() <= columns));
        }
    }

    #[test]
    fn rate_stands_with_its_interval_and_a_missing_one_with_the_reason() {
        let (mut board, now) = board();
        let lines = board.lines(80, 24, None, now);
        assert!(lines[4].contains("no-taps"), "{lines:?}");
        let rate = pb::Rate {
            unit: pb::RateUnit::ReportsPer100000Taps.into(),
            value: Some(13.333_333),
            low: Some(9.5),
            high: Some(18.2),
            ..pb::Rate::default()
        };
        let changed = pb::Figure {
            rate: Some(rate.clone()),
            ..figure("GVB:10", 7)
        };
        let changes = pb::Changes {
            figures: vec![changed],
        };
        let message = pb::WatchRatesResponse {
            total_rate: Some(rate),
            ..message(Update::Changes(changes), 10)
        };
        board.heard(&message, now);
        let lines = board.lines(80, 24, None, now);
        let is_there = |text: &str| lines.iter().any(|line| line.contains(text));
        assert!(is_there("7  13.33 (9.5 to 18.2)"), "{lines:?}");
        assert!(
            is_there("(9.5 to 18.2) reports per 100,000 taps"),
            "{lines:?}"
        );
    }

    #[test]
    fn rate_says_of_which_part_it_is_and_where_the_taps_came_from_within_80_columns() {
        let (mut board, now) = board();
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let used = |number| pb::FeedUsed {
            feed: Some(pb::TapFeed {
                feed_id: format!("gvb.lines-of-garage-{number}"),
                ..pb::TapFeed::default()
            }),
            days: 1,
        };
        let told = pb::WatchRatesResponse {
            total_rate: Some(pb::Rate {
                reports: 50,
                matched: 48,
                ..pb::Rate::default()
            }),
            rated_from: at(0),
            rated_until: at(3_600),
            feeds: (0..3).map(used).collect(),
            ..message(Update::Heartbeat(pb::Heartbeat {}), 10)
        };
        board.heard(&told, now);
        let lines = board.lines(80, 24, None, now);
        let expected = [
            "from 01:00 to 02:00, 48 of 50 reports matched, taps told by",
            "gvb.lines-of-garage-0, gvb.lines-of-garage-1, gvb.lines-of-garage-2",
        ];
        assert_eq!(lines[3..5], expected, "{lines:?}");
    }

    #[test]
    fn narrow_screen_shows_all_of_the_summary_and_every_count_and_rate() {
        let now = Instant::now();
        let columns = ["line", "stop"].map(str::to_owned);
        let mut board = Board::new(columns.to_vec(), 180, true);
        let rate = |value| pb::Rate {
            unit: pb::RateUnit::ReportsPer100000Taps.into(),
            value: Some(value),
            low: Some(9.5),
            high: Some(18.2),
            ..pb::Rate::default()
        };
        let figure = |line: &str, stop: &str, count| pb::Figure {
            keys: [line, stop]
                .map(|value| pb::Key {
                    value: value.to_owned(),
                    ..pb::Key::default()
                })
                .to_vec(),
            count,
            rate: Some(rate(13.33)),
            ..pb::Figure::default()
        };
        let figures = vec![
            figure("GVB:10", "NL:S:30001234", 12_345),
            figure("CONNEXXION:N170", "NL:S:30005678-platform", 7),
        ];
        let told = pb::WatchRatesResponse {
            as_of: Some(prost_types::Timestamp::default()),
            left_out: 3,
            untimed: 12,
            complete_from: Some(prost_types::Timestamp::default()),
            total_rate: Some(rate(13.33)),
            ..message(Update::Snapshot(pb::Snapshot { figures }), 12_355)
        };
        board.heard(&told, now);
        let lines = board.lines(40, 24, Some("shutting down"), now);
        let expected = [
            "shutting down; nothing heard for 0 s ·",
            "last 180 min · 01:00",
            "12355 reported, 3 in no row, and 12",
            "without a time, complete from 1970-01-01",
            "01:00:00  ▁",
            "13.33 (9.5 to 18.2) reports per 100,000",
            "taps",
            "",
            "line             stop              count",
            "GVB:10           NL:S:30001234     12345",
            "  13.33 (9.5 to 18.2)",
            "CONNEXXION:N170  NL:S:30005678-p…      7",
            "  13.33 (9.5 to 18.2)",
            "q ends",
        ];
        let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn citation_stands_below_the_rows_where_there_is_room_and_is_that_of_the_newest_figures() {
        let (mut board, now) = board();
        let told = |citation: &str, cited_position| pb::WatchRatesResponse {
            citation: citation.to_owned(),
            cited_position,
            ..message(Update::Heartbeat(pb::Heartbeat {}), 10)
        };
        let citation = "mistap, live figures as of position 7: failed check-ins";
        board.heard(&told(citation, 7), now);
        board.heard(&told("", 7), now);
        let lines = board.lines(80, 24, None, now);
        assert_eq!(lines[lines.len() - 2..], [citation, "q ends"]);
        let lines = board.lines(30, 24, None, now);
        let expected = [
            "mistap, live figures as of",
            "position 7: failed check-ins",
            "q ends",
        ];
        assert_eq!(lines[lines.len() - 3..], expected);
        let figures = vec![figure("GVB:10", 8)];
        let changes = pb::WatchRatesResponse {
            cited_position: 9,
            ..message(Update::Changes(pb::Changes { figures }), 11)
        };
        board.heard(&changes, now);
        let lines = board.lines(80, 24, None, now);
        let newer = "mistap, live figures as of position 9: failed check-ins";
        assert_eq!(lines[lines.len() - 2..], [newer, "q ends"]);
        let lines = board.lines(80, 8, None, now);
        assert!(
            lines.iter().all(|line| !line.contains("mistap")),
            "{lines:?}"
        );
    }

    #[test]
    fn silence_is_said() {
        let (mut board, now) = board();
        let later = now + Duration::from_secs(42);
        assert!(board.lines(80, 24, None, later)[0].contains("nothing heard for 42 s"));
        assert!(board.lines(80, 24, None, now)[0].contains("live"));
    }

    #[test]
    fn sparkline_reaches_from_low_to_high() {
        assert_eq!(sparkline(&VecDeque::from([1, 4, 8])), "▁▄█");
        assert_eq!(sparkline(&VecDeque::from([5, 5])), "▁▁");
        assert_eq!(sparkline(&VecDeque::new()), "");
    }
}
