//! Rates: what is asked for, and what the rows say.

use super::taps::to_feed;
use super::violation::{Path, Violations};
use crate::api::pb::v1 as pb;
use crate::domain::FeedId;
use crate::domain::limits::FILTER_VALUES_MAX;
use crate::query::RatesWanted;
use crate::query::rates::{FeedSet, Missing, RateFigure};
use crate::stats::interval::Level;
use crate::stats::rate::{Estimator, NoRate, Rate};

/// Checks how rates are to be made; `None` if none are asked for or a rule is broken.
pub fn parse_rates(
    request: Option<&pb::RatesRequest>,
    found: &mut Violations,
) -> Option<RatesWanted> {
    let request = request?;
    let root = Path::root("rates");
    let feeds = parse_feeds(root.field("feeds"), &request.feeds, found);
    let estimator = match request.estimator {
        0 | 1 => Some(Estimator::Standard),
        2 => Some(Estimator::Jeffreys),
        _ => None,
    };
    let rule = "must be a known value of Estimator";
    let estimator = found.some(root.field("estimator"), estimator, rule);
    let level = parse_level(root.field("level"), request.level, found);
    Some(RatesWanted {
        feeds,
        estimator: estimator?,
        level: level?,
    })
}

/// Checks names of feeds of tap counts.
pub(super) fn parse_feeds(at: Path<'_>, names: &[String], found: &mut Violations) -> Vec<FeedId> {
    let mut feeds = Vec::new();
    if found.bounded(at, names.len(), FILTER_VALUES_MAX) {
        for (index, feed) in names.iter().enumerate() {
            feeds.extend(found.ok(at.at(index), feed.parse()));
        }
    }
    feeds
}

/// Checks how sure an interval is to be: 0 is the default.
pub(super) fn parse_level(at: Path<'_>, level: f64, found: &mut Violations) -> Option<Level> {
    let level = match level {
        0.0 => Some(Level::P95),
        level => Level::new(level),
    };
    found.some(at, level, "must be 0.5 to 0.999999, or 0")
}

/// A rate, or why there is none.
pub fn to_rate(figure: &RateFigure, level: Level) -> pb::Rate {
    let matching = &figure.matching;
    let few = |days: u64| u32::try_from(days).expect("a window has few days");
    let made = pb::Rate {
        reports: matching.reports,
        matched: matching.matched,
        taps: matching.taps,
        days: few(matching.days),
        days_with_taps: few(matching.days_with_taps),
        contradictions: few(matching.contradictions),
        dispersion: figure.dispersion.factor(),
        dispersion_days: figure.dispersion.days(),
        feeds: to_places(figure.feeds),
        level: level.get(),
        reporting: to_reporting(figure),
        ..pb::Rate::default()
    };
    let (unit, value, interval, attempts) = match figure.rate {
        Ok(Rate::Reports {
            per_100_000,
            interval,
        }) => (pb::RateUnit::ReportsPer100000Taps, per_100_000, interval, 0),
        Ok(Rate::Failures {
            share,
            interval,
            attempts,
        }) => (pb::RateUnit::ShareOfAttempts, share, interval, attempts),
        Err(missing) => {
            return pb::Rate {
                no_rate: to_no_rate(missing).into(),
                ..made
            };
        }
    };
    pb::Rate {
        unit: unit.into(),
        value: Some(value),
        low: Some(interval.low()),
        high: Some(interval.high()),
        method: interval.method().key().to_owned(),
        attempts,
        ..made
    }
}

fn to_places(feeds: FeedSet) -> Vec<u32> {
    let few = |place| u32::try_from(place).expect("feeds are few");
    feeds.places().map(few).collect()
}

fn to_reporting(figure: &RateFigure) -> Option<pb::ReportingRatio> {
    let ratio = figure.reports_per_failure.as_ref()?;
    Some(pb::ReportingRatio {
        self_reports: figure.told.self_reports,
        observed_refusals: figure.told.observed_refusals,
        value: ratio.estimate?,
        low: ratio.low,
        high: ratio.high.unwrap_or(f64::INFINITY),
    })
    .filter(|ratio| 0 < ratio.self_reports)
}

/// The feeds that were used.
pub fn to_used(feeds: &[(crate::domain::TapFeed, u64)]) -> Vec<pb::FeedUsed> {
    let to_used = |(feed, days): &(crate::domain::TapFeed, u64)| pb::FeedUsed {
        feed: Some(to_feed(feed)),
        days: u32::try_from(*days).expect("a window has few days"),
    };
    feeds.iter().map(to_used).collect()
}

fn to_no_rate(missing: Missing) -> pb::NoRate {
    match missing {
        Missing::NotToldSo => pb::NoRate::NotToldSo,
        Missing::Rule(NoRate::NoTaps) => pb::NoRate::NoTaps,
        Missing::Rule(NoRate::DaysNotCovered) => pb::NoRate::DaysNotCovered,
        Missing::Rule(NoRate::ReportsNotMatched) => pb::NoRate::ReportsNotMatched,
        Missing::Rule(NoRate::ZeroTaps) => pb::NoRate::ZeroTaps,
        Missing::Rule(NoRate::RefusalsUnknown) => pb::NoRate::RefusalsUnknown,
        Missing::Rule(NoRate::MoreThanTaps) => pb::NoRate::MoreThanTaps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_of_a_request_for_rates_is_told() {
        let check = |request: &pb::RatesRequest, expected: &[&str]| {
            let mut found = Violations::default();
            let parsed = parse_rates(Some(request), &mut found);
            let told = found.into_told().into_iter();
            let fields: Vec<_> = told.map(|one| one.field).collect();
            assert_eq!(fields, expected);
            parsed
        };
        let parsed = check(&pb::RatesRequest::default(), &[]).expect("the defaults");
        assert_eq!(parsed.level, Level::P95);
        let wrong = pb::RatesRequest {
            feeds: vec!["gvb.lines".into(), "GVB".into()],
            estimator: 3,
            level: f64::NAN,
        };
        check(
            &wrong,
            &["rates.feeds[1]", "rates.estimator", "rates.level"],
        );
        let many = pb::RatesRequest {
            feeds: vec!["a".into(); 65],
            ..pb::RatesRequest::default()
        };
        check(&many, &["rates.feeds"]);
    }
}
