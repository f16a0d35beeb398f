//! What is learnt from whether there are rates: of how many reports taps were told. And that rates
//! and their intervals follow from published rows and taps alone.

use std::collections::{BTreeMap, BTreeSet};

use mistap::domain::taxonomy::{TapKind, Taxonomy as _};
use serde_json::Value;

use super::bounds::{Known, Statement};
use super::data::{Data, Feed};
use super::published::{Cells, Days, Key, Row};
use super::record::{days_of, feed_id, lines, taps_on};
use crate::by_hand;

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
    fn is_enough_without(&self, missed: &BTreeSet<usize>, days: &Days) -> bool {
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
    /// How many have an interval that days widen.
    pub widened: usize,
}

/// Days of a row's period with their taps: by month and day, counted from its first.
struct TapDays {
    taps: BTreeMap<(usize, usize), f64>,
    days: usize,
}

impl TapDays {
    fn of(feed: &Feed, row: &Row, place: usize) -> Self {
        let mut taps = BTreeMap::new();
        for month in row.months() {
            let missed = feed.missed(month, place);
            let told = (0..days_of(month)).filter(|day| !missed.contains(day));
            taps.extend(told.map(|day| ((month, day), taps_on(feed, day) as f64)));
        }
        let days = row.months().map(days_of).sum();
        Self { taps, days }
    }

    fn taps(&self) -> f64 {
        self.taps.values().sum()
    }

    fn check(&self, row: &Row) {
        let taps = row.value["taps"].as_u64().expect("taps");
        assert_eq!(taps as f64, self.taps(), "{row:?}");
        let coverage = row.value["coverage"].as_f64().expect("a part");
        is_close(row, coverage, self.taps.len() as f64 / self.days as f64);
    }

    /// How much a row's interval is widened, of published rows and of taps alone: days without a
    /// part of their own share the rest as their taps are. `None` if too little is published.
    fn scatter(&self, data: &Data, editions: &[Value], row: &Row) -> Option<f64> {
        let operator = row.value["operator_code"].as_str().expect("a code");
        let mut days = Vec::new();
        let mut known = 0;
        for month in row.months() {
            let published = Days::of(&editions[month], operator);
            let first = (month, 0);
            let with_taps = || self.taps.range(first..(month + 1, 0));
            let is_joined = |day: usize| !published.parts.contains_key(&day);
            let joined = with_taps().filter(|((_, day), _)| is_joined(*day));
            let in_rest: f64 = joined.map(|(_, taps)| taps).sum();
            if published.parts.is_empty() {
                continue;
            }
            let rest = published.rest.unwrap_or(0) as f64;
            days.extend(with_taps().map(|((_, day), taps)| {
                let part = published.parts.get(day);
                (
                    part.map_or(rest * taps / in_rest, |part| *part as f64),
                    *taps,
                )
            }));
            known += with_taps().filter(|((_, day), _)| !is_joined(*day)).count();
            known += usize::from(0.0 < in_rest);
        }
        let (count, taps) = days.iter().fold((0.0, 0.0), |(count, taps), day| {
            (count + day.0, taps + day.1)
        });
        if known < 2 || count == 0.0 {
            return None;
        }
        let scatter = if data.are_observed {
            by_hand::scatter_of_shares(&days)
        } else {
            by_hand::scatter_of_counts(&days)
        };
        let share = row.count as f64 / (count * self.taps() / taps);
        Some(1.0 + (scatter - 1.0) * share.min(1.0))
    }
}

fn is_close(row: &Row, found: f64, expected: f64) {
    let is_close = (found - expected).abs() <= expected * 1e-5;
    assert!(is_close, "{row:?}: {found} is not {expected}");
}

/// An interval follows from the count, the taps and the published days.
fn check_interval(is_observed: bool, row: &Row, taps: f64, scatter: Option<f64>) {
    let (count, factor) = (row.count as f64, scatter.unwrap_or(1.0));
    let (name, (low, high)) = match is_observed {
        true => ("wilson", by_hand::wilson(count, taps, factor)),
        false => {
            let (low, high) = by_hand::garwood(count, factor);
            ("garwood", (low * 100_000.0 / taps, high * 100_000.0 / taps))
        }
    };
    for (end, expected) in [("low", low), ("high", high)] {
        let found = row.value[end].as_f64();
        is_close(row, found.expect("a rate has an interval"), expected);
    }
    let widened = scatter.map_or("not estimated".to_owned(), |by| format!("{by:.2}"));
    let method = format!("{name} 0.95 dispersion {widened}");
    assert_eq!(row.value["interval_method"], method, "{row:?}");
}

/// Rows with taps say what the rule says, and nothing but their count over their taps.
pub fn check_rates(data: &Data, editions: &[Value], rows: &[Row], truth: &[u64]) -> Rated {
    let mut rated = Rated::default();
    for row in rows.iter().filter(|row| row.value["taps"].is_u64()) {
        let feed = feed_of(data, row);
        let line = row.value["key"].as_str().unwrap_or_default();
        let mut lines = lines(data, feed).into_iter();
        let place = lines.position(|known| known.as_str() == line).unwrap_or(0);
        let judge = |month: usize| {
            let days = Days::of(&editions[month], data.operators[feed.operator]);
            let judged = judge(data, rows, truth, feed, month);
            let is_enough = judged.is_enough_without(&feed.missed(month, place), &days);
            (judged, is_enough)
        };
        let judged: Vec<_> = row.months().map(judge).collect();
        let told = TapDays::of(feed, row, place);
        told.check(row);
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
            let per = if data.are_observed { 1.0 } else { 100_000.0 };
            is_close(row, rate, row.count as f64 * per / told.taps());
            let scatter = told.scatter(data, editions, row);
            check_interval(data.are_observed, row, told.taps(), scatter);
            rated.widened += usize::from(scatter.is_some_and(|factor| 1.0 < factor));
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
