//! Sets published counts against taps.
//!
//! Rates are drawn from what is published and from taps, and from nothing else, so that they
//! tell no more of anybody than the counts do: the numerator is the published count, the
//! scatter of days is what is published of it (`dispersion`), and whether enough reports could be
//! matched with taps is judged for the operator as a whole (`matched`), and told by whether there
//! is a rate.
//!
//! Feeds are chosen much as for exact figures: the one that tells most days of what a row is about,
//! then the coarsest, then the first by name, and beside it those of other kinds of tap. But here
//! those of one kind are not added up, even if they tell different lines; and only days count that
//! all of them tell whole, so that one which would leave too few is left out.

use std::collections::{BTreeMap, HashMap};

use super::dispersion::PublishedDays;
use super::format::Row;
use super::matched::{Matched, Tells};
use super::rows::basis_key;
use super::taps::{ByDay, Taps, scope};
use crate::domain::limits::COVERED_DAYS_PERCENT_MIN;
use crate::domain::taps::{Refusals, TapFeed, TapInterval, TapScope};
use crate::domain::taxonomy::Taxonomy;
use crate::domain::{Basis, FeedId};
use crate::stats::dispersion::{Dispersion, interval_told};
use crate::stats::interval::{Interval, Level};
use crate::stats::rate::{Coverage, Estimator, Matching, NoRate, Numerator, Rate, rate};

/// Why an operator has no rates, besides the reasons of `stats::rate`.
const TOO_FEW_REPORTS: &str = "too-few-reports";
pub(super) const TOO_MANY_TAP_COUNTS: &str = "too-many-tap-counts";

/// The feeds of a month, or of the three of a quarter, in order.
pub struct Denominators<'a>(Vec<&'a Taps>);

/// What a row is set against.
struct Chosen<'a> {
    /// One at least, all of one operator.
    feeds: Vec<&'a TapFeed>,
    /// Days that all of them tell, with the taps of all.
    taps: ByDay,
}

/// A rate and how it was made.
struct Made {
    value: f64,
    unit: &'static str,
    interval: Interval,
    scatter: Dispersion,
}

// === impl Denominators ===

impl<'a> Denominators<'a> {
    /// Of these months.
    pub fn new(months: Vec<&'a Taps>) -> Self {
        Self(months)
    }

    /// Gives rows their rates. `published` are the rows that hold the days, `matched` says of a
    /// basis how many of an operator's counted reports feeds match, month by month.
    pub fn rate(
        &self,
        rows: &mut [Row],
        published: &[Row],
        matched: impl Fn(&str, &Tells) -> Vec<Matched>,
    ) {
        let days = PublishedDays::of(published);
        let mut known: HashMap<_, Vec<Matched>> = HashMap::new();
        for row in rows.iter_mut() {
            if self.has_let_go(row) {
                row.no_rate = Some(TOO_MANY_TAP_COUNTS.to_owned());
                continue;
            }
            let Some(chosen) = self.chosen(row) else {
                continue;
            };
            let tells = Tells::of(&chosen.feeds);
            let months = known
                .entry((row.basis.clone(), tells))
                .or_insert_with_key(|(basis, tells)| matched(basis, tells));
            let made = self.made(row, &chosen, months, &days);
            row.taps = Some(chosen.taps.values().sum());
            row.denominator_source = Some(chosen.source());
            row.coverage = Some(rounded(chosen.taps.len() as f64 / self.days() as f64));
            match made {
                Ok(made) => {
                    row.rate = Some(rounded(made.value));
                    row.unit = Some(made.unit.to_owned());
                    row.low = Some(rounded(made.interval.low()));
                    row.high = Some(rounded(made.interval.high()));
                    row.interval_method = Some(method(&made.interval, made.scatter));
                    row.no_rate = None;
                }
                Err(reason) => row.no_rate = Some(reason.to_owned()),
            }
        }
    }

    /// Whether there were more taps than could be kept, in any month, of the operator that a row is
    /// about.
    fn has_let_go(&self, row: &Row) -> bool {
        let mut months = self.0.iter();
        scope(row).is_some() && months.any(|month| month.has_let_go(&row.operator_code))
    }

    fn days(&self) -> u64 {
        self.0.iter().map(|month| month.days().len() as u64).sum()
    }

    /// Taps of a scope by one feed, over all months in which it was declared alike.
    fn by_day(&self, declared: &TapFeed, scope: &TapScope) -> ByDay {
        let months = self.0.iter();
        months
            .flat_map(|month| month.by_day(declared, scope))
            .collect()
    }

    /// What a row is set against; `None` if there are no taps of what it is about.
    fn chosen(&self, row: &Row) -> Option<Chosen<'_>> {
        let scope = scope(row)?;
        let feeds = self.0.iter().flat_map(|month| month.declared());
        let feeds = feeds.filter(|declared| {
            declared.operator.as_str() == row.operator_code && declared.grain == scope.grain()
        });
        let feeds: BTreeMap<&FeedId, &TapFeed> = feeds.map(|feed| (&feed.id, feed)).collect();
        let with_taps = feeds
            .into_values()
            .map(|feed| (feed, self.by_day(feed, &scope)));
        let mut with_taps: Vec<_> = with_taps.filter(|(_, taps)| !taps.is_empty()).collect();
        with_taps.sort_by_key(|(feed, taps)| {
            let coarseness = u8::MAX - feed.interval.number();
            (usize::MAX - taps.len(), coarseness, feed.id.clone())
        });
        let mut with_taps = with_taps.into_iter();
        let (first, taps) = with_taps.next()?;
        let feeds = vec![first];
        let first = Chosen { feeds, taps };
        Some(with_taps.fold(first, |chosen, (feed, taps)| self.with(chosen, feed, &taps)))
    }

    /// With one more feed, if it tells other kinds of tap of the same days.
    fn with<'b>(&self, mut chosen: Chosen<'b>, feed: &'b TapFeed, taps: &ByDay) -> Chosen<'b> {
        if chosen.feeds.iter().any(|other| is_clash(feed, other)) {
            return chosen;
        }
        let together = chosen.taps.iter();
        let together = together.filter_map(|(day, own)| Some((*day, own + taps.get(day)?)));
        let together: ByDay = together.collect();
        if COVERED_DAYS_PERCENT_MIN * self.days() <= 100 * together.len() as u64 {
            chosen.feeds.push(feed);
            chosen.taps = together;
        }
        chosen
    }

    fn made(
        &self,
        row: &Row,
        chosen: &Chosen<'_>,
        months: &[Matched],
        published: &PublishedDays,
    ) -> Result<Made, &'static str> {
        // Below this, that a rate is there would tell of fewer than ten reports that they
        // could not be matched.
        if months.iter().any(Matched::is_too_few) {
            return Err(TOO_FEW_REPORTS);
        }
        let numerator = if row.basis == basis_key(Basis::Observed) {
            Numerator::ObservedRefusals
        } else {
            Numerator::SelfReports
        };
        let refusals = chosen.refusals();
        let scatter = published.dispersion(row, numerator, refusals, &chosen.taps);
        // What is published is a count of reports, all of which are matched or none is.
        let matching = Matching {
            days: self.days(),
            days_with_taps: chosen.taps.len() as u64,
            reports: row.count,
            matched: row.count,
            refused: row.count,
            taps: chosen.taps.values().sum(),
            contradictions: 0,
        };
        let (estimator, level) = (Estimator::Standard, Level::P95);
        let made = rate(
            numerator,
            refusals,
            (&matching, Coverage::OfDays),
            estimator,
            level,
            scatter,
        );
        let made = match made {
            Err(NoRate::NoTaps | NoRate::DaysNotCovered) => made,
            _ if !self.is_matched(chosen, months) => Err(NoRate::ReportsNotMatched),
            made => made,
        };
        let (value, unit, interval) = match made.map_err(NoRate::key)? {
            Rate::Reports {
                per_100_000,
                interval,
            } => (per_100_000, "per-100000-taps", interval),
            Rate::Failures {
                share, interval, ..
            } => (share, "share-of-attempts", interval),
        };
        Ok(Made {
            value,
            unit,
            interval,
            scatter,
        })
    }

    /// Whether enough reports are matched in each month of a quarter by itself: all together would
    /// tell of one month beside the others.
    fn is_matched(&self, chosen: &Chosen<'_>, months: &[Matched]) -> bool {
        self.0.iter().zip(months).all(|(taps, matched)| {
            let days = taps.days().iter().copied();
            let without_taps = days.filter(|day| !chosen.taps.contains_key(day));
            matched.is_enough(&without_taps.collect::<Vec<_>>())
        })
    }
}

// === impl Chosen ===

impl Chosen<'_> {
    /// Whether refused taps are among the taps, if that is so of all feeds or of none.
    fn refusals(&self) -> Refusals {
        let first = self.feeds[0].refusals;
        if self.feeds.iter().all(|feed| feed.refusals == first) {
            first
        } else {
            Refusals::Unknown
        }
    }

    /// As exact figures name it.
    fn source(&self) -> String {
        let source = |feed: &&TapFeed| {
            let kinds: Vec<_> = feed.kinds.set().iter().map(Taxonomy::key).collect();
            let (id, grain, interval) = (&feed.id, feed.grain.key(), feed.interval.key());
            let kinds = kinds.join(" and ");
            format!("feed {id}: {kinds} by {grain} and {interval}")
        };
        let mut sources: Vec<_> = self.feeds.iter().map(source).collect();
        sources.sort();
        sources.join("; ")
    }
}

/// Whether two feeds of one operator cannot be added up: they share a kind of tap, or have days of
/// their own.
fn is_clash(one: &TapFeed, other: &TapFeed) -> bool {
    let is_by_day = [one, other].map(|feed| feed.interval == TapInterval::Day);
    let is_other_day = one.day_begin != other.day_begin;
    let mut kinds = one.kinds.set().iter();
    kinds.any(|kind| other.kinds.set().contains(kind))
        || (is_by_day.contains(&true) && is_other_day)
}

/// How an interval was made, how sure it is, and how much the days scatter.
pub fn method(interval: &Interval, scatter: Dispersion) -> String {
    let factor = (scatter.degrees_of_freedom() != 0).then(|| scatter.factor());
    interval_told(interval.method().key(), interval.level().get(), factor)
}

/// To six digits, so that the last bits of a machine's arithmetic do not show.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.5e}")
        .parse()
        .expect("a number that was printed")
}
