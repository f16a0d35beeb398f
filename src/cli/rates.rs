//! How commands print rates: their columns, and what is said of the rate of all rows together.

use std::io::Write;

use serde_json::{Value, json};

use super::failure::Failure;
use crate::api::pb::v1 as pb;

/// Headings of what a rate says. Coverage is days with taps of all days, and reports matched
/// of all reports; contradictions are days with more reports than taps, where refused taps are among
/// them. The last is self-reports for each refusal that devices saw.
pub const RATE_COLUMNS: [&str; 12] = [
    "matched",
    "taps",
    "rate",
    "low",
    "high",
    "unit",
    "method",
    "covered_days",
    "matched_reports",
    "contradictions",
    "no_rate",
    "reports_per_failure",
];

/// A cell for each of `RATE_COLUMNS`. Where no taps were told, there is no number of them.
pub fn rate_cells(rate: &pb::Rate) -> [Value; 12] {
    let unit = match rate.unit() {
        pb::RateUnit::Unspecified => Value::Null,
        pb::RateUnit::ReportsPer100000Taps => json!("per 100000 taps"),
        pb::RateUnit::ShareOfAttempts => json!("share of attempts"),
    };
    let number = |value: Option<f64>| value.map_or(Value::Null, |value| json!(rounded(value)));
    let method = Some(&rate.method).filter(|method| !method.is_empty());
    [
        json!(rate.matched),
        json!((0 < rate.days_with_taps).then_some(rate.taps)),
        number(rate.value),
        number(rate.low),
        number(rate.high),
        unit,
        method.map_or(Value::Null, |method| json!(method)),
        share(rate.days_with_taps.into(), rate.days.into()),
        share(rate.matched, rate.reports),
        json!(rate.contradictions),
        no_rate(rate.no_rate()).map_or(Value::Null, |reason| json!(reason)),
        number(rate.reporting.as_ref().map(|ratio| ratio.value)),
    ]
}

/// Four digits that count: more would only look exact.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

fn share(part: u64, whole: u64) -> Value {
    match whole {
        0 => Value::Null,
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        _ => json!(rounded(part as f64 / whole as f64)),
    }
}

/// Why there is no rate, in short; `None` if there is one.
pub fn no_rate(reason: pb::NoRate) -> Option<&'static str> {
    match reason {
        pb::NoRate::Unspecified => None,
        pb::NoRate::NotToldSo => Some("not-told-so"),
        pb::NoRate::NoTaps => Some("no-taps"),
        pb::NoRate::DaysNotCovered => Some("days-not-covered"),
        pb::NoRate::ReportsNotMatched => Some("reports-not-matched"),
        pb::NoRate::ZeroTaps => Some("zero-taps"),
        pb::NoRate::RefusalsUnknown => Some("refusals-unknown"),
        pb::NoRate::MoreThanTaps => Some("more-than-taps"),
    }
}

/// The rate of all rows together, and where the taps came from.
pub fn write_rate(
    rate: &pb::Rate,
    feeds: &[pb::FeedUsed],
    out: &mut impl Write,
) -> Result<(), Failure> {
    let (value, low, high) = (rate.value, rate.low, rate.high);
    let percent = 100.0 * rate.level;
    match value.zip(low).zip(high) {
        Some(((value, low), high)) => {
            let (value, low, high) = (rounded(value), rounded(low), rounded(high));
            let unit = match rate.unit() {
                pb::RateUnit::ShareOfAttempts => "of attempts failed",
                _ => "reports per 100000 taps",
            };
            let method = &rate.method;
            writeln!(
                out,
                "{value} {unit} ({low} to {high}, {percent} %, {method})"
            )?;
        }
        None => {
            let reason = no_rate(rate.no_rate()).unwrap_or("no rate");
            writeln!(out, "no rate of all: {reason}")?;
        }
    }
    writeln!(
        out,
        "{} of {} reports matched, taps on {} of {} days",
        rate.matched, rate.reports, rate.days_with_taps, rate.days
    )?;
    if 0 < rate.contradictions {
        let days = match rate.contradictions {
            1 => "1 day has".to_owned(),
            days => format!("{days} days have"),
        };
        writeln!(
            out,
            "{days} more reports than taps: one of the two counts is wrong"
        )?;
    }
    if let Some(ratio) = &rate.reporting {
        let (value, low, high) = (
            rounded(ratio.value),
            rounded(ratio.low),
            rounded(ratio.high),
        );
        writeln!(
            out,
            "{value} reports for each refusal that devices saw ({low} to {high})"
        )?;
    }
    for used in feeds {
        let feed = used.feed.as_ref();
        let (id, operator) = feed.map_or(("", ""), |feed| (&feed.feed_id, &feed.operator_code));
        writeln!(out, "taps told by {operator}: {id}, {} days", used.days)?;
    }
    if rate.unit() == pb::RateUnit::ReportsPer100000Taps {
        writeln!(
            out,
            "who reports is not who travels: this is no failure rate"
        )?;
    }
    Ok(())
}

/// A feed whose taps were used.
pub fn to_feed(used: &pb::FeedUsed) -> Value {
    let feed = used.feed.as_ref();
    json!({
        "feed": feed.map(|feed| &feed.feed_id),
        "operator": feed.map(|feed| &feed.operator_code),
        "days": used.days,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_and_readiness_to_report_are_told_in_words() {
        let rate = pb::Rate {
            reports: 50,
            matched: 48,
            taps: 1_000,
            days: 30,
            days_with_taps: 30,
            contradictions: 2,
            no_rate: pb::NoRate::MoreThanTaps.into(),
            reporting: Some(pb::ReportingRatio {
                self_reports: 50,
                observed_refusals: 200,
                value: 0.25,
                low: 0.18,
                high: 0.34,
            }),
            ..pb::Rate::default()
        };
        let mut told = Vec::new();
        write_rate(&rate, &[], &mut told).expect("room");
        let told = String::from_utf8(told).expect("text");
        for line in [
            "no rate of all: more-than-taps",
            "48 of 50 reports matched, taps on 30 of 30 days",
            "2 days have more reports than taps: one of the two counts is wrong",
            "0.25 reports for each refusal that devices saw (0.18 to 0.34)",
        ] {
            assert!(told.lines().any(|one| one == line), "{line} in {told}");
        }
        let once = pb::Rate {
            contradictions: 1,
            ..rate.clone()
        };
        let mut told = Vec::new();
        write_rate(&once, &[], &mut told).expect("room");
        let told = String::from_utf8(told).expect("text");
        assert!(told.contains("1 day has more reports than taps"), "{told}");
        let cells = rate_cells(&rate);
        let cell = |name| RATE_COLUMNS.iter().position(|column| *column == name);
        let cell = |name| cell(name).map(|place| &cells[place]);
        assert_eq!(cell("taps"), Some(&json!(1_000)));
        assert_eq!(cell("contradictions"), Some(&json!(2)));
        assert_eq!(cell("reports_per_failure"), Some(&json!(0.25)));
    }

    #[test]
    fn taps_that_nobody_told_are_no_number_and_none_told_is_zero() {
        let taps = |days_with_taps| {
            let rate = pb::Rate {
                days: 30,
                days_with_taps,
                ..pb::Rate::default()
            };
            let place = RATE_COLUMNS.iter().position(|column| *column == "taps");
            rate_cells(&rate)[place.expect("it is there")].clone()
        };
        assert_eq!(taps(0), Value::Null);
        assert_eq!(taps(1), json!(0));
    }
}
