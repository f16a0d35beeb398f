//! Comparisons of two periods: what is asked for, and what is said.

use super::figures::{parse_filter, parse_window};
use super::outage::to_days;
use super::rates::{parse_rates, to_rate, to_used};
use super::to_timestamp;
use super::violation::{Path, Violations};
use crate::api::pb::v1 as pb;
use crate::domain::Window;
use crate::ledger::FOLD_VERSION;
use crate::query::citing::citation_of_comparison;
use crate::query::rates::{CompareWanted, Compared, Over, Period};
use crate::stats::comparison::RateRatio;
use crate::stats::interval::Level;

/// Checks what is to be compared.
pub fn parse_comparison(request: &pb::ComparePeriodsRequest) -> Result<CompareWanted, Violations> {
    let mut found = Violations::default();
    let filter = parse_filter(Path::root("filter"), request.filter.as_ref(), &mut found);
    let window = parse_window(Path::root("window"), request.window.as_ref(), &mut found);
    let at = Path::root("with_window");
    let with = parse_window(at, request.with_window.as_ref(), &mut found);
    let asked = request.rates.clone().unwrap_or_default();
    let rates = parse_rates(Some(&asked), &mut found);
    let windows = window.zip(with).map(|(window, with)| [window, with]);
    if windows.is_some_and(|[one, other]| one.start() < other.end() && other.start() < one.end()) {
        found.add(at, "must share no hour with window");
    }
    let wanted = windows.zip(rates).map(|(windows, rates)| CompareWanted {
        filter,
        windows,
        rates,
        leaves_out_outages: request.without_outages,
    });
    found.finish(wanted)
}

/// A comparison; `place` is what its caller is told of the position.
pub fn to_comparison(
    compared: &Compared,
    wanted: &CompareWanted,
    place: u64,
) -> pb::ComparePeriodsResponse {
    let level = wanted.rates.level;
    let [period, with_period] = &compared.periods;
    let [window, with_window] = wanted.windows;
    let over = match compared.over {
        Over::Taps => pb::ComparedOver::Taps,
        Over::Time => pb::ComparedOver::Time,
    };
    pb::ComparePeriodsResponse {
        period: Some(to_period(period, window, level)),
        with_period: Some(to_period(with_period, with_window, level)),
        verdict: to_verdict(compared.ratio.as_ref()).into(),
        over: over.into(),
        ratio: compared.ratio.as_ref().map(to_ratio),
        level: level.get(),
        position: place,
        fold_version: FOLD_VERSION,
        citation: citation_of_comparison(
            &wanted.filter,
            wanted.windows,
            wanted.leaves_out_outages,
            place,
        ),
    }
}

fn to_period(period: &Period, window: Window, level: Level) -> pb::ComparedPeriod {
    pb::ComparedPeriod {
        window: Some(pb::Window {
            start: Some(to_timestamp(window.start().start())),
            end: Some(to_timestamp(window.end().start())),
        }),
        count: period.count,
        rate: Some(to_rate(&period.rate, level)),
        feeds: to_used(&period.feeds),
        outage_days: to_days(&period.outages),
        compared: period.compared.events,
        exposure: period.compared.exposure,
    }
}

fn to_verdict(ratio: Option<&RateRatio>) -> pb::ComparisonVerdict {
    match ratio {
        Some(ratio) if !ratio.shows_a_difference() => pb::ComparisonVerdict::NoDifference,
        Some(ratio) if 1.0 < ratio.low => pb::ComparisonVerdict::Higher,
        Some(_) => pb::ComparisonVerdict::Lower,
        None => pb::ComparisonVerdict::NoHours,
    }
}

fn to_ratio(ratio: &RateRatio) -> pb::PeriodRatio {
    pb::PeriodRatio {
        value: ratio.estimate,
        low: ratio.low,
        high: ratio.high,
        p_value: ratio.p_value,
        dispersion: ratio.dispersion.factor(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> Option<pb::Window> {
        let hour = |hour: i64| {
            Some(prost_types::Timestamp {
                seconds: (480_000 + hour) * 3_600,
                nanos: 0,
            })
        };
        Some(pb::Window {
            start: hour(start),
            end: hour(end),
        })
    }

    #[test]
    fn every_wrong_field_of_a_request_to_compare_is_told() {
        let check = |request: &pb::ComparePeriodsRequest, expected: &[&str]| {
            let told = parse_comparison(request).expect_err("refused").into_told();
            let fields: Vec<_> = told.into_iter().map(|one| one.field).collect();
            assert_eq!(fields, expected);
        };
        check(
            &pb::ComparePeriodsRequest::default(),
            &["window", "with_window"],
        );
        let right = pb::ComparePeriodsRequest {
            window: window(24, 48),
            with_window: window(0, 24),
            ..pb::ComparePeriodsRequest::default()
        };
        let parsed = parse_comparison(&right).expect("accepted");
        assert_eq!(parsed.rates.level, Level::P95);
        for (start, end) in [(24, 48), (47, 49), (0, 25), (30, 31), (0, 100)] {
            let overlapping = pb::ComparePeriodsRequest {
                with_window: window(start, end),
                ..right.clone()
            };
            check(&overlapping, &["with_window"]);
        }
        let wrong = pb::ComparePeriodsRequest {
            with_window: window(5, 5),
            rates: Some(pb::RatesRequest {
                level: 2.0,
                ..pb::RatesRequest::default()
            }),
            ..right
        };
        check(&wrong, &["with_window.end", "rates.level"]);
    }
}
