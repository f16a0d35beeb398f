//! What is learnt from whether there are rates: of how many reports taps were told.

use mistap::domain::taxonomy::{TapKind, Taxonomy as _};
use serde_json::Value;

use super::bounds::{Known, Statement};
use super::data::{Data, Feed, MONTHS};
use super::published::{Cells, Days, Key, Row};
use super::record::{feed_id, lines};

/// Reports from which on an operator has rates, as the method page tells.
const RATED_MIN: u64 = 50;
/// Of five reports, one may be unmatched.
const UNMATCHED_SHARE: u64 = 5;
/// Of what no table tells, fewer count as so many.
const HIDDEN_MIN: u64 = 10;

/// The rule of rates for one feed and month, applied by somebody who knows the reports.
pub struct Judged {
    /// Whether there are enough reports.
    pub is_asked: bool,
    /// Whether enough of them are matched, as far as days are no matter.
    pub is_enough: bool,
    /// How many may be unmatched.
    bound: u64,
    /// How many are, as far as it is published, and at least.
    at_least: u64,
    all: u64,
    /// What that tells, if it tells anything that is not published.
    pub told: Option<Statement>,
}

/// Cells of reports that a feed does not tell the kind of, and the time of if it must.
fn unmatched(data: &Data, feed: &Feed, month: usize, kind: bool, time: bool) -> Vec<usize> {
    let is_unmatched = |profile: usize| {
        let attributes = &data.universe.profiles[profile].attributes;
        let is_kind = attributes.tap_kind.is_some_and(|kind| feed.tells(kind));
        (kind && !is_kind) || (time && attributes.hour.is_none())
    };
    Cells(data).find(month, |operator| operator == feed.operator, is_unmatched)
}

fn needs_time(feed: &Feed) -> bool {
    !feed.is_of_lines || feed.day_begins != 0
}

fn sum(truth: &[u64], cells: &[usize]) -> u64 {
    cells.iter().map(|cell| truth[*cell]).sum()
}

/// Judges by what is published and, of what is hidden, by a count that is never below ten.
pub fn judge(data: &Data, rows: &[Row], truth: &[u64], feed: &Feed, month: usize) -> Judged {
    let all = Cells(data).find(month, |operator| operator == feed.operator, |_| true);
    let all = sum(truth, &all);
    let parts = |table: &str| -> Vec<&Row> {
        let is_part = |row: &&Row| {
            (row.month, row.operator, row.table.as_str())
                == (Some(month), Some(feed.operator), table)
                && matches!(row.key, Key::Class(_))
        };
        rows.iter().filter(is_part).collect()
    };
    let key = |row: &Row| row.value["key"].as_str().unwrap_or_default().to_owned();
    let is_kind = |row: &&&Row| TapKind::from_key(&key(row)).is_some_and(|kind| feed.tells(kind));
    let is_timed = |row: &&&Row| key(row) != "not-said";
    let count = |row: &&Row| row.count;
    let (kinds, times) = (parts("tap-kind"), parts("part-of-day"));
    let needs_time = needs_time(feed);
    let mut published = 0;
    if !kinds.is_empty() {
        published += all - kinds.iter().filter(is_kind).map(count).sum::<u64>();
    }
    if needs_time && !times.is_empty() {
        published += all - times.iter().filter(is_timed).map(count).sum::<u64>();
    }
    let (kind, time) = (kinds.is_empty(), needs_time && times.is_empty());
    let hidden = unmatched(data, feed, month, kind, time);
    let bound = (all / UNMATCHED_SHARE).checked_sub(published);
    let at_least = if kind || time { HIDDEN_MIN } else { 0 };
    let is_enough = bound.is_some_and(|bound| sum(truth, &hidden).max(at_least) <= bound);
    let told = bound.filter(|bound| (kind || time) && HIDDEN_MIN <= *bound);
    Judged {
        is_asked: RATED_MIN <= all,
        is_enough,
        bound: all / UNMATCHED_SHARE,
        at_least: published + at_least,
        all,
        told: told
            .filter(|_| RATED_MIN <= all && !hidden.is_empty())
            .map(|bound| Statement {
                cells: hidden,
                known: if is_enough {
                    Known::AtMost
                } else {
                    Known::AtLeast
                },
                sum: bound + u64::from(!is_enough),
            }),
    }
}

impl Judged {
    /// Whether enough are matched where some days have no taps: by what is published alone.
    fn is_enough_without(&self, missed: &[usize], days: &Days) -> bool {
        let apart = missed.iter().filter_map(|day| days.parts.get(day));
        let in_parts: u64 = apart.clone().sum();
        let joined = (missed.len() - apart.count()) as u64;
        let smallest = days.parts.values().copied();
        let smallest = smallest.chain((0 < days.later).then_some(days.later)).min();
        // Only a day with few reporters is in a rest that is larger than any day and ten.
        let rest = days.rest.unwrap_or(self.all);
        let is_of_few = smallest.is_some_and(|smallest| smallest + HIDDEN_MIN <= rest);
        let in_rest = match (joined, is_of_few) {
            (0, _) => 0,
            (_, true) => rest.min(HIDDEN_MIN * joined),
            (_, false) => rest,
        };
        let in_time = self.all - days.later;
        let of_days = ((in_parts + in_rest) * self.all).div_ceil(in_time.max(1));
        self.is_enough && self.at_least + of_days <= self.bound
    }
}

/// What would be told if the rule were asked of the record itself: the control.
pub fn judge_by_record(data: &Data, truth: &[u64], feed: &Feed, month: usize) -> Option<Statement> {
    let all = Cells(data).find(month, |operator| operator == feed.operator, |_| true);
    let bound = sum(truth, &all) / UNMATCHED_SHARE;
    let cells = unmatched(data, feed, month, true, needs_time(feed));
    let is_enough = sum(truth, &cells) <= bound;
    (RATED_MIN <= sum(truth, &all) && !cells.is_empty()).then(|| Statement {
        cells,
        known: if is_enough {
            Known::AtMost
        } else {
            Known::AtLeast
        },
        sum: bound + u64::from(!is_enough),
    })
}

/// What rows with taps say.
#[derive(Default)]
pub struct Rated {
    /// How many have a rate.
    pub rates: usize,
    /// How many have none for days without taps.
    pub for_days: usize,
    /// How many are set against several feeds.
    pub of_several: usize,
}

/// Rows with taps say what the rule says, and nothing but their count over their taps.
pub fn check_rates(data: &Data, editions: &[Value], rows: &[Row], truth: &[u64]) -> Rated {
    let mut rated = Rated::default();
    for row in rows.iter().filter(|row| row.value["taps"].is_u64()) {
        let feed = feed_of(data, row);
        let line = row.value["key"].as_str().unwrap_or_default();
        let mut lines = lines(data, feed).into_iter();
        let place = lines.position(|known| known.as_str() == line).unwrap_or(0);
        let months = match row.month {
            Some(month) => month..month + 1,
            None => 0..MONTHS,
        };
        let judge = |month: usize| {
            let days = Days::of(&editions[month], data.operators[feed.operator]);
            let judged = judge(data, rows, truth, feed, month);
            let is_enough = judged.is_enough_without(feed.missed(place), &days);
            (judged, is_enough)
        };
        let judged: Vec<_> = months.map(judge).collect();
        let reason = if judged.iter().any(|(month, _)| !month.is_asked) {
            Some("too-few-reports")
        } else if judged.iter().any(|(_, is_enough)| !is_enough) {
            rated.for_days += usize::from(judged.iter().all(|(month, _)| month.is_enough));
            Some("reports-not-matched")
        } else {
            None
        };
        assert_eq!(row.value["no_rate"].as_str(), reason, "{row:?} {feed:?}");
        let rate = row.value["rate"].as_f64();
        assert_eq!(rate.is_some(), reason.is_none(), "{row:?}");
        rated.of_several += usize::from(1 < feed.kinds.len());
        if let Some(rate) = rate {
            rated.rates += 1;
            let taps = row.value["taps"].as_u64().expect("taps") as f64;
            let per = if data.are_observed { 1.0 } else { 100_000.0 };
            let expected = row.count as f64 * per / taps;
            assert!(
                (rate - expected).abs() <= expected * 1e-5,
                "{row:?}: {expected}"
            );
        }
    }
    rated
}

/// The feed whose parts are all named by a row.
fn feed_of<'a>(data: &'a Data, row: &Row) -> &'a Feed {
    let source = row.value["denominator_source"].as_str();
    let source = source.expect("taps have a source");
    let is_named =
        |feed: &Feed, part| source.contains(&format!("feed {}:", feed_id(data, feed, part)));
    let mut feeds = data.feeds.iter();
    let feed = feeds.find(|feed| is_named(feed, 0)).expect("a feed");
    assert!(
        (0..feed.kinds.len()).all(|part| is_named(feed, part)),
        "{source}"
    );
    feed
}

/// Shares of answers are of published counts. Returns how many there are.
pub fn check_shares(rows: &[Row]) -> usize {
    let mut shares = 0;
    for row in rows.iter().filter(|row| row.value["unit"] == "share") {
        let is_other = |other: &&Row| {
            (other.month, other.operator, &other.table) == (row.month, row.operator, &row.table)
        };
        let base: u64 = rows.iter().filter(is_other).map(|other| other.count).sum();
        let (rate, expected) = (row.value["rate"].as_f64(), row.count as f64 / base as f64);
        let rate = rate.expect("a share");
        assert!((rate - expected).abs() <= 1e-5, "{row:?}: {expected}");
        shares += 1;
    }
    shares
}
