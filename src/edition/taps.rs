//! The denominators of an edition: tap counts of its month, as the journal had them when it
//! closed.
//!
//! Rates are drawn from what is published and from taps, and from nothing else, so that they
//! tell no more of anybody than the counts do: the numerator is the published count, the
//! scatter of days is that of the published days, and how many reports could be matched with
//! taps is judged for the operator as a whole, and told by whether there is a rate.

use std::collections::BTreeMap;

use super::format::Row;
use super::month;
use crate::domain::limits::{EDITION_RATED_REPORTS_MIN, EDITION_TAP_CELLS_MAX};
use crate::domain::taps::{TapBatch, TapFeed, TapGrain, TapInterval, TapScope};
use crate::domain::{FeedId, LocalDay, LocalMonth};
use crate::stats::dispersion::{Day, Dispersion};
use crate::stats::interval::{Interval, Level};
use crate::stats::rate::{Estimator, Matching, NoRate, Numerator, Rate, dispersion, rate};

/// In place of a slot for which no count came.
const NOT_TOLD: u32 = u32::MAX;

/// Why an operator has no rates, besides the reasons of `stats::rate`.
const TOO_FEW_REPORTS: &str = "too-few-reports";
/// Why nobody has any.
const TOO_MANY_TAP_COUNTS: &str = "too-many-tap-counts";

/// The feeds of a month.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    days: Vec<LocalDay>,
    feeds: BTreeMap<FeedId, Feed>,
    /// Slots that are kept, over all feeds.
    cells: usize,
    /// Whether there were more than could be kept: then there are no rates.
    is_full: bool,
}

/// The counts of one feed, the last that was told for each slot.
#[derive(Clone, Debug, PartialEq)]
struct Feed {
    declared: TapFeed,
    told: BTreeMap<TapScope, BTreeMap<LocalDay, Vec<u32>>>,
}

/// Taps of one scope by day; days for which none were told are not there.
type ByDay = BTreeMap<LocalDay, u64>;

/// How finely the time of a report is known, and its kind.
pub struct Known {
    /// Whether only the day is known.
    pub is_day: bool,
    /// Whether it is known to the minute.
    pub is_exact: bool,
    /// Bit of its kind of tap; 0 if nobody said.
    pub kind: u16,
}

impl Taps {
    /// Of a month, as yet without any.
    pub fn new(month: LocalMonth) -> Self {
        let (first, end) = (
            month::first_day(month),
            month::first_day(month::next(month)),
        );
        Self {
            days: (first.0..end.0).map(LocalDay).collect(),
            feeds: BTreeMap::new(),
            cells: 0,
            is_full: false,
        }
    }

    /// Takes in what an operator told. Later counts replace earlier ones; another declaration
    /// under the same name counts nothing.
    pub fn add(&mut self, batch: &TapBatch) {
        let declared = batch.feed();
        // Nothing is set against pairs of a line and a stop.
        if declared.grain == TapGrain::LineStop {
            return;
        }
        let feed = self.feeds.entry(declared.id.clone());
        let feed = feed.or_insert_with(|| Feed {
            declared: declared.clone(),
            told: BTreeMap::new(),
        });
        if feed.declared != *declared {
            return;
        }
        for cell in batch.cells() {
            let day = cell.slot.day;
            if self.days.binary_search(&day).is_err() {
                continue;
            }
            let scope = &batch.scopes()[usize::from(cell.scope)];
            let days = feed.told.entry(scope.clone()).or_default();
            let slots = days.entry(day).or_insert_with(|| {
                let slots = usize::from(declared.slots(day));
                self.cells += slots;
                vec![NOT_TOLD; slots]
            });
            slots[usize::from(cell.slot.slot)] = cell.taps.get();
            if EDITION_TAP_CELLS_MAX < self.cells {
                self.is_full = true;
                self.feeds.clear();
                return;
            }
        }
    }
}

/// The feeds of a month, or of the three of a quarter, in order.
pub struct Denominators<'a>(Vec<&'a Taps>);

impl<'a> Denominators<'a> {
    /// Of these months.
    pub fn new(months: Vec<&'a Taps>) -> Self {
        Self(months)
    }

    /// Gives rows their rates. `published` are the rows that hold the days, `are_matched` says
    /// of how many of an operator's counted reports a feed tells the interval and the kind,
    /// and how many those are.
    pub fn rate(
        &self,
        rows: &mut [Row],
        published: &[Row],
        are_matched: impl Fn(&Row, &TapFeed) -> (u64, u64),
    ) {
        if self.0.iter().any(|month| month.is_full) {
            for row in rows.iter_mut().filter(|row| row.no_rate.is_some()) {
                row.no_rate = Some(TOO_MANY_TAP_COUNTS.to_owned());
            }
            return;
        }
        let days = published_days(published);
        let mut known = BTreeMap::new();
        for row in rows.iter_mut() {
            let Some((feed, taps)) = self.denominator(row) else {
                continue;
            };
            let (matched, all) = *known
                .entry((row.basis.clone(), feed.id.clone()))
                .or_insert_with(|| are_matched(row, feed));
            let made = self.made(row, feed, &taps, (matched, all), &days);
            row.taps = Some(taps.values().sum());
            row.denominator_source = Some(source(feed));
            row.coverage = Some(rounded(taps.len() as f64 / self.days() as f64));
            match made {
                Ok((value, unit, interval, scatter)) => {
                    row.rate = Some(rounded(value));
                    row.unit = Some(unit.to_owned());
                    row.low = Some(rounded(interval.low()));
                    row.high = Some(rounded(interval.high()));
                    row.interval_method = Some(method(&interval, scatter));
                    row.no_rate = None;
                }
                Err(reason) => row.no_rate = Some(reason.to_owned()),
            }
        }
    }

    fn days(&self) -> u64 {
        self.0.iter().map(|month| month.days.len() as u64).sum()
    }

    /// Taps of the scope of a row by one feed, over all months in which it was declared alike.
    fn by_day(&self, declared: &TapFeed, row: &Row) -> ByDay {
        let feeds = self
            .0
            .iter()
            .filter_map(|month| month.feeds.get(&declared.id));
        let same = feeds.filter(|feed| feed.declared == *declared);
        same.flat_map(|feed| feed.by_day(row)).collect()
    }

    /// The feed that a row is set against, with its taps by day.
    fn denominator(&self, row: &Row) -> Option<(&TapFeed, ByDay)> {
        let grain = match row.dimension.as_str() {
            // Only what is told of the whole: parts that were told may not be all there are.
            "total" | "operator" => TapGrain::Operator,
            "line" => TapGrain::Line,
            "station" => TapGrain::Stop,
            _ => return None,
        };
        let is_class = !row.key.is_empty() || row.dimension != "line";
        let feeds = self.0.iter().flat_map(|month| month.feeds.values());
        let feeds = feeds.map(|feed| &feed.declared).filter(|declared| {
            declared.operator.as_str() == row.operator_code && declared.grain == grain && is_class
        });
        let with_taps = feeds.map(|declared| (declared, self.by_day(declared, row)));
        let with_taps = with_taps.filter(|(_, taps)| !taps.is_empty());
        // The most days, then the coarsest interval, then the first by name.
        with_taps.min_by_key(|(declared, taps)| {
            (
                usize::MAX - taps.len(),
                u8::MAX - declared.interval.number(),
                declared.id.clone(),
            )
        })
    }

    fn made(
        &self,
        row: &Row,
        feed: &TapFeed,
        taps: &ByDay,
        (matched, all): (u64, u64),
        days: &BTreeMap<(String, String), BTreeMap<String, u64>>,
    ) -> Result<(f64, &'static str, Interval, Dispersion), &'static str> {
        // Below this, that a rate is there would tell of fewer than ten reports that they
        // could not be matched.
        if all < EDITION_RATED_REPORTS_MIN {
            return Err(TOO_FEW_REPORTS);
        }
        let numerator = match row.basis.as_str() {
            "observed" => Numerator::ObservedRefusals,
            _ => Numerator::SelfReports,
        };
        // First the rule for the operator, then the rate of the row.
        let matching = |reports, matched| Matching {
            days: self.days(),
            days_with_taps: taps.len() as u64,
            reports,
            matched,
            taps: taps.values().sum(),
            contradictions: 0,
        };
        let (estimator, level) = (Estimator::Standard, Level::P95);
        let told = |matching: Matching, scatter| {
            rate(
                numerator,
                feed.refusals,
                &matching,
                estimator,
                level,
                scatter,
            )
        };
        if let Err(NoRate::ReportsNotMatched) = told(matching(all, matched), Dispersion::NONE) {
            return Err(NoRate::ReportsNotMatched.key());
        }
        let key = (row.basis.clone(), row.operator_code.clone());
        let published = days.get(&key);
        let by_day = |(day, count): (&String, &u64)| {
            let day = LocalDay::parse(day)?;
            let exposure = *taps.get(&day)?;
            let count = *count;
            Some(Day { count, exposure })
        };
        let by_day: Vec<Day> = published.into_iter().flatten().filter_map(by_day).collect();
        let scatter = dispersion(numerator, feed.refusals, &by_day);
        match told(matching(row.count, row.count), scatter).map_err(NoRate::key)? {
            Rate::Reports {
                per_100_000,
                interval,
            } => Ok((per_100_000, "per-100000-taps", interval, scatter)),
            Rate::Failures {
                share, interval, ..
            } => Ok((share, "share-of-attempts", interval, scatter)),
        }
    }
}

impl Feed {
    /// Taps of the scope of a row, by day. A day counts if all of it was told: of no other is
    /// it known how many taps its reports stand against.
    fn by_day(&self, row: &Row) -> ByDay {
        let is_asked = |scope: &TapScope| match row.dimension.as_str() {
            "line" => scope.line().is_some_and(|line| line.as_str() == row.key),
            "station" => scope.stop().is_some_and(|stop| stop.as_str() == row.key),
            _ => true,
        };
        let mut by_day = ByDay::new();
        let scopes = self.told.iter().filter(|(scope, _)| is_asked(scope));
        let days = scopes.flat_map(|(_, days)| days);
        for (day, slots) in days.filter(|(_, slots)| !slots.contains(&NOT_TOLD)) {
            let taps = slots.iter().copied().map(u64::from);
            *by_day.entry(*day).or_default() += taps.sum::<u64>();
        }
        by_day
    }
}

/// Whether a feed tells the interval and the kind of a report.
pub fn is_matched(feed: &TapFeed, known: &Known) -> bool {
    let is_timed = match feed.interval {
        TapInterval::Day => feed.day_begin.hour() == 0 || !known.is_day,
        TapInterval::Hour => !known.is_day,
        TapInterval::Quarter => known.is_exact,
    };
    is_timed && known.kind & feed.kinds.set().bits() != 0
}

/// The published counts of days, by basis and operator.
fn published_days(rows: &[Row]) -> BTreeMap<(String, String), BTreeMap<String, u64>> {
    let mut days: BTreeMap<_, BTreeMap<String, u64>> = BTreeMap::new();
    for row in rows
        .iter()
        .filter(|row| row.dimension == "day" && !row.key.is_empty())
    {
        let key = (row.basis.clone(), row.operator_code.clone());
        days.entry(key)
            .or_default()
            .insert(row.key.clone(), row.count);
    }
    days
}

fn source(feed: &TapFeed) -> String {
    let kinds: Vec<_> = feed
        .kinds
        .set()
        .iter()
        .map(crate::domain::taxonomy::Taxonomy::key)
        .collect();
    let (id, grain, interval) = (&feed.id, feed.grain.key(), feed.interval.key());
    format!(
        "feed {id}: {} by {grain} and {interval}",
        kinds.join(" and ")
    )
}

fn method(interval: &Interval, scatter: Dispersion) -> String {
    let (method, level) = (interval.method().key(), interval.level().get());
    format!("{method} {level} dispersion {:.2}", scatter.factor())
}

/// To six digits, so that the last bits of a machine's arithmetic do not show.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.5e}")
        .parse()
        .expect("a number that was printed")
}
