//! Exact figures in the tidy columns of the downloads: one row a figure, its period and keys,
//! the count, and the rate with everything that it was made of. Empty is never zero. Reports that
//! are taps, those matched, days with more of them than taps, what is left without the days of
//! declared outages, and reports for each observed refusal, which no edition has, come last.

use jiff::civil::Date;
use serde_json::{Value, json};

use super::rates::{no_rate, rounded};
use super::when::Days;
use crate::api::pb::v1 as pb;
use crate::domain::method::METHOD;
use crate::domain::question::Dimension;
use crate::domain::taps::{TapGrain, TapInterval};
use crate::domain::taxonomy::{TapKind, Taxonomy};
use crate::stats::dispersion::interval_told;

/// Whose reports, and the first and last day; keys follow.
pub const PERIOD: [&str; 3] = ["basis", "period_start", "period_end"];
/// How much is counted, and whether that can be taken as it is.
pub const COUNT: [&str; 2] = ["flag", "count"];
/// What is set against taps. The first eleven are those of the downloads.
pub const RATE: [&str; 14] = [
    "taps",
    "denominator_source",
    "coverage",
    "rate",
    "unit",
    "low",
    "high",
    "interval_method",
    "no_rate",
    "edition",
    "method_version",
    "reports",
    "matched",
    "contradictions",
];
/// What is left without the days of declared outages.
const WITHOUT: [&str; 4] = [
    "count_without_outages",
    "rate_without_outages",
    "low_without_outages",
    "high_without_outages",
];
/// Self-reports for each refusal that devices observed.
pub const REPORTING: [&str; 3] = [
    "reports_per_failure",
    "reports_per_failure_low",
    "reports_per_failure_high",
];
/// As in editions: the count of one class.
pub const EXACT: &str = "exact";
/// The count of a line that rests on few days.
const FEW_DAYS: &str = "few-days";

/// What all rows of one question share.
pub struct Tidy<'a> {
    /// `self-reported` or `observed`.
    pub basis: &'static str,
    /// The window.
    pub days: Days,
    /// Broken down by what.
    pub by: &'a [Dimension],
}

impl Tidy<'_> {
    /// The headings, with those of the keys given.
    pub fn columns(&self, keys: Vec<String>) -> Vec<String> {
        let before = PERIOD.map(str::to_owned).into_iter();
        let after = figure_columns().map(str::to_owned);
        before.chain(keys).chain(after).collect()
    }

    /// One row, with a cell for each heading.
    pub fn row(&self, figure: &pb::Figure, feeds: &[pb::FeedUsed]) -> Vec<Value> {
        let keys = figure.keys.iter().map(|key| json!(key.value));
        let cells = period_cells(self.basis, self.period(figure)).into_iter();
        let cells = cells.chain(keys);
        cells.chain(figure_cells(self.by, figure, feeds)).collect()
    }

    /// The days that a row is about, first and last: as many of the window as its day or
    /// month has.
    fn period(&self, figure: &pb::Figure) -> (Date, Date) {
        let (mut first, mut last) = (self.days.first, self.days.last);
        for (dimension, key) in self.by.iter().zip(&figure.keys) {
            let of_key = match dimension {
                Dimension::Day => key.value.parse::<Date>().ok().map(|day| (day, day)),
                Dimension::Month => {
                    let begin = format!("{}-01", key.value).parse::<Date>().ok();
                    begin.map(|day| (day, day.last_of_month()))
                }
                _ => None,
            };
            if let Some((from, to)) = of_key {
                (first, last) = (first.max(from), last.min(to));
            }
        }
        (first, last)
    }
}

/// The headings that come after those of the keys.
pub fn figure_columns() -> impl Iterator<Item = &'static str> {
    let columns = COUNT.into_iter().chain(RATE);
    columns.chain(WITHOUT).chain(REPORTING)
}

/// A cell for each of them; the feeds are those of the whole answer.
pub fn figure_cells(
    by: &[Dimension],
    figure: &pb::Figure,
    feeds: &[pb::FeedUsed],
) -> impl Iterator<Item = Value> {
    let rate = figure.rate.as_ref();
    let flag = flag(by, figure.rests_on_few_days);
    let cells = [flag, json!(figure.count)].into_iter();
    let cells = cells.chain(rate_cells(rate, feeds));
    let cells = cells.chain(without_cells(figure));
    cells.chain(reporting_cells(rate))
}

/// How a count can be taken. Empty of a line of which it is not known; rows of anything else are
/// never asked about.
pub fn flag(by: &[Dimension], rests_on_few_days: Option<bool>) -> Value {
    match (by, rests_on_few_days) {
        ([Dimension::Line], None) => Value::Null,
        _ => json!(few_days(rests_on_few_days).unwrap_or(EXACT)),
    }
}

/// What there is to be said to people of how a count can be taken.
pub fn few_days(rests_on_few_days: Option<bool>) -> Option<&'static str> {
    rests_on_few_days?.then_some(FEW_DAYS)
}

/// Of `PERIOD`.
pub fn period_cells(basis: &str, (first, last): (Date, Date)) -> [Value; 3] {
    [
        json!(basis),
        json!(first.to_string()),
        json!(last.to_string()),
    ]
}

/// Of `REPORTING`; empty where there are not both.
pub fn reporting_cells(rate: Option<&pb::Rate>) -> [Value; 3] {
    let ratio = rate.and_then(|rate| rate.reporting.as_ref());
    let value = |of: fn(&pb::ReportingRatio) -> f64| json!(ratio.map(|ratio| rounded(of(ratio))));
    [
        value(|ratio| ratio.value),
        value(|ratio| ratio.low),
        value(|ratio| ratio.high),
    ]
}

/// Without the days of outages; empty where none was declared.
fn without_cells(figure: &pb::Figure) -> [Value; 4] {
    let without = figure.without_outages.as_ref();
    let rate = without.and_then(|without| without.rate.as_ref());
    let value = |of: fn(&pb::Rate) -> Option<f64>| json!(rate.and_then(of).map(rounded));
    [
        json!(without.map(|without| without.count)),
        value(|rate| rate.value),
        value(|rate| rate.low),
        value(|rate| rate.high),
    ]
}

/// Of `RATE`; the feeds are those of the whole answer.
pub fn rate_cells(rate: Option<&pb::Rate>, feeds: &[pb::FeedUsed]) -> [Value; 14] {
    let has_taps = rate.is_some_and(|rate| 0 < rate.days_with_taps);
    let told = rate.filter(|_| has_taps);
    let number = |value: Option<f64>| json!(value.map(rounded));
    let value = |of: fn(&pb::Rate) -> Option<f64>| number(rate.and_then(of));
    let unit = rate.and_then(|rate| match rate.unit() {
        pb::RateUnit::Unspecified => None,
        pb::RateUnit::ReportsPer100000Taps => Some("per-100000-taps"),
        pb::RateUnit::ShareOfAttempts => Some("share-of-attempts"),
    });
    let coverage = rate.filter(|rate| 0 < rate.days);
    let coverage = coverage.map(|rate| f64::from(rate.days_with_taps) / f64::from(rate.days));
    [
        json!(told.map(|rate| rate.taps)),
        json!(told.and_then(|rate| sources(rate, feeds))),
        number(coverage),
        value(|rate| rate.value),
        json!(unit),
        value(|rate| rate.low),
        value(|rate| rate.high),
        json!(rate.and_then(interval_method)),
        json!(rate.and_then(|rate| no_rate(rate.no_rate()))),
        Value::Null,
        json!(METHOD),
        json!(rate.map(|rate| rate.reports)),
        json!(rate.map(|rate| rate.matched)),
        json!(rate.map(|rate| rate.contradictions)),
    ]
}

/// How the interval was computed, how sure it is and how much it was widened, as in editions.
fn interval_method(rate: &pb::Rate) -> Option<String> {
    let method = (!rate.method.is_empty()).then_some(&rate.method)?;
    let dispersion = (rate.dispersion_days != 0).then_some(rate.dispersion);
    Some(interval_told(method, rate.level, dispersion))
}

/// Where the taps of a rate come from, as in editions.
fn sources(rate: &pb::Rate, feeds: &[pb::FeedUsed]) -> Option<String> {
    let source = |feed: &pb::TapFeed| {
        let kinds = feed.tap_kinds.iter();
        let kinds: Vec<_> = kinds
            .filter_map(|kind| TapKind::from_number(u8::try_from(*kind).ok()?))
            .map(Taxonomy::key)
            .collect();
        let grain = u8::try_from(feed.grain)
            .ok()
            .and_then(TapGrain::from_number);
        let interval = u8::try_from(feed.interval).ok();
        let interval = interval.and_then(TapInterval::from_number);
        format!(
            "feed {}: {} by {} and {}",
            feed.feed_id,
            kinds.join(" and "),
            grain.map_or("", TapGrain::key),
            interval.map_or("", TapInterval::key),
        )
    };
    let used = |place: &u32| feeds.get(usize::try_from(*place).ok()?);
    let feeds = rate.feeds.iter().filter_map(used);
    let feeds = feeds.filter_map(|used| used.feed.as_ref());
    let sources = feeds.map(source).collect::<Vec<_>>();
    (!sources.is_empty()).then(|| sources.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days() -> Days {
        Days {
            first: "2026-10-20".parse().expect("a date"),
            last: "2026-11-10".parse().expect("a date"),
        }
    }

    fn figure(keys: &[&str], rate: Option<pb::Rate>) -> pb::Figure {
        let keys = keys.iter().map(|value| pb::Key {
            value: (*value).to_owned(),
            ..pb::Key::default()
        });
        pb::Figure {
            keys: keys.collect(),
            count: 40,
            rate,
            without_outages: None,
            rests_on_few_days: None,
        }
    }

    #[test]
    fn columns_are_those_of_the_downloads_with_the_keys_of_the_question() {
        let keys_of_downloads = ["operator_code", "dimension", "source", "key", "answer"];
        let columns = crate::edition::columns::all().iter();
        let names = columns.map(|column| column.name);
        let names = names.filter(|name| !keys_of_downloads.contains(name));
        let tidy = PERIOD.into_iter().chain(COUNT).chain(RATE).take(16);
        assert_eq!(names.collect::<Vec<_>>(), tidy.collect::<Vec<_>>());
    }

    #[test]
    fn row_of_a_day_or_month_is_about_as_much_of_the_window() {
        let check = |by: &[Dimension], keys: &[&str], period: (&str, &str)| {
            let tidy = Tidy {
                basis: "self-reported",
                days: days(),
                by,
            };
            let row = tidy.row(&figure(keys, None), &[]);
            let columns = tidy.columns(keys.iter().map(|key| (*key).to_owned()).collect());
            assert_eq!(row.len(), columns.len());
            assert_eq!((&row[1], &row[2]), (&json!(period.0), &json!(period.1)));
        };
        check(&[], &[], ("2026-10-20", "2026-11-10"));
        check(
            &[Dimension::Line],
            &["GVB:10"],
            ("2026-10-20", "2026-11-10"),
        );
        check(
            &[Dimension::Day],
            &["2026-10-25"],
            ("2026-10-25", "2026-10-25"),
        );
        check(
            &[Dimension::Month],
            &["2026-10"],
            ("2026-10-20", "2026-10-31"),
        );
        check(
            &[Dimension::Month],
            &["2026-11"],
            ("2026-11-01", "2026-11-10"),
        );
    }

    #[test]
    fn line_is_flagged_by_what_is_known_of_its_days_and_other_rows_are_exact() {
        let told = |by: &[Dimension], rests_on_few_days| {
            let tidy = Tidy {
                basis: "self-reported",
                days: days(),
                by,
            };
            let figure = pb::Figure {
                rests_on_few_days,
                ..figure(&["GVB:10", "2026-10-25"][..by.len()], None)
            };
            tidy.row(&figure, &[])[3 + by.len()].clone()
        };
        let line = [Dimension::Line];
        assert_eq!(told(&line, Some(true)), FEW_DAYS);
        assert_eq!(told(&line, Some(false)), EXACT);
        assert_eq!(told(&line, None), Value::Null);
        assert_eq!(told(&[], None), EXACT);
        assert_eq!(told(&[Dimension::Operator], None), EXACT);
        assert_eq!(told(&[Dimension::Line, Dimension::Day], None), EXACT);
    }

    #[test]
    fn source_of_a_row_is_the_feeds_whose_taps_are_in_it() {
        let used = |id: &str| pb::FeedUsed {
            feed: Some(pb::TapFeed {
                feed_id: id.into(),
                ..pb::TapFeed::default()
            }),
            days: 31,
        };
        let feeds = ["gvb.in", "gvb.out", "htm.in"].map(used);
        let check = |places: &[u32], expected: &[&str]| {
            let rate = pb::Rate {
                days: 31,
                days_with_taps: 31,
                feeds: places.to_vec(),
                ..pb::Rate::default()
            };
            let [_, source, ..] = rate_cells(Some(&rate), &feeds);
            let source = source.as_str().unwrap_or_default();
            let names = source.split("; ").filter_map(|one| one.split_once(": "));
            let names: Vec<_> = names.map(|(feed, _)| feed).collect();
            assert_eq!(names, expected, "{places:?}");
        };
        check(&[0, 2], &["feed gvb.in", "feed htm.in"]);
        check(&[1], &["feed gvb.out"]);
        check(&[], &[]);
    }

    #[test]
    fn rate_is_told_with_its_source_and_without_one_cells_are_empty() {
        let tidy = Tidy {
            basis: "observed",
            days: days(),
            by: &[],
        };
        let columns = tidy.columns(Vec::new());
        let rate = pb::Rate {
            reports: 41,
            matched: 40,
            taps: 300_000,
            days: 31,
            days_with_taps: 31,
            dispersion: 1.0,
            dispersion_days: 31,
            feeds: vec![0],
            unit: pb::RateUnit::ReportsPer100000Taps.into(),
            value: Some(13.333_333),
            low: Some(9.525_6),
            high: Some(18.156_4),
            method: "garwood".into(),
            level: 0.95,
            reporting: Some(pb::ReportingRatio {
                self_reports: 40,
                observed_refusals: 160,
                value: 0.25,
                low: 0.172_3,
                high: 0.355_4,
            }),
            ..pb::Rate::default()
        };
        let feed = pb::FeedUsed {
            feed: Some(pb::TapFeed {
                feed_id: "gvb.lines".into(),
                grain: pb::TapGrain::Line.into(),
                interval: pb::TapInterval::Hour.into(),
                tap_kinds: vec![pb::TapKind::CheckIn.into()],
                ..pb::TapFeed::default()
            }),
            days: 31,
        };
        let cell = |row: &[Value], name: &str| {
            let place = columns.iter().position(|column| column == name);
            row[place.expect("a column")].clone()
        };
        let one_day = pb::Rate {
            dispersion_days: 0,
            ..rate.clone()
        };
        let row = tidy.row(&figure(&[], Some(one_day)), std::slice::from_ref(&feed));
        assert_eq!(
            cell(&row, "interval_method"),
            "garwood 0.95 dispersion not estimated"
        );
        let row = tidy.row(&figure(&[], Some(rate)), &[feed]);
        assert_eq!(cell(&row, "taps"), 300_000);
        assert_eq!(cell(&row, "rate"), 13.33);
        assert_eq!(cell(&row, "unit"), "per-100000-taps");
        assert_eq!(cell(&row, "coverage"), 1.0);
        assert_eq!(
            cell(&row, "interval_method"),
            "garwood 0.95 dispersion 1.00"
        );
        let source = cell(&row, "denominator_source");
        assert_eq!(source, "feed gvb.lines: check-in by line and hour");
        assert_eq!(cell(&row, "edition"), Value::Null);
        assert_eq!(cell(&row, "method_version"), METHOD);
        assert_eq!(cell(&row, "reports"), 41);
        assert_eq!(cell(&row, "matched"), 40);
        assert_eq!(cell(&row, "reports_per_failure"), 0.25);
        assert_eq!(cell(&row, "reports_per_failure_high"), 0.3554);
        let bare = tidy.row(&figure(&[], None), &[]);
        for name in [
            "taps",
            "rate",
            "low",
            "high",
            "coverage",
            "reports",
            "matched",
            "no_rate",
            "reports_per_failure",
        ] {
            assert_eq!(cell(&bare, name), Value::Null, "{name}");
        }
        assert_eq!(cell(&bare, "count"), 40);
    }
}
