//! An edition as people read it: each rate with its interval and with what it is of, and once,
//! below all rows, where taps come from, how much of the period they cover and how intervals are
//! made.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use indicatif::HumanCount;
use serde_json::json;

use crate::api::pb::v1 as pb;
use crate::cli::failure::Failure;
use crate::cli::output::Sheet;

const PERCENT: f64 = 100.0;
/// More would only look exact.
const DECIMALS_MAX: usize = 6;
/// Columns of a narrow terminal.
const WIDTH: usize = 80;
/// Between the method of an interval and how much it was widened.
const WIDENED: &str = " dispersion ";

/// The rows; where there is no rate, why.
pub fn sheet(rows: &[pb::EditionRow]) -> Sheet {
    let columns = ["basis", "period", "operator", "of", "key", "flag", "count"];
    let mut sheet = Sheet::new(columns.into_iter().chain(["rate"]));
    let answered = answered(rows);
    for row in rows {
        let key = [key(row), row.answer.clone()].join(" ");
        sheet.push(vec![
            json!(row.basis),
            json!(months(&row.period_start, &row.period_end)),
            json!(row.operator_code),
            json!(row.dimension),
            json!(key.trim()),
            json!(row.flag),
            json!(row.count),
            json!(rate(row, &answered)),
        ]);
    }
    sheet
}

/// What is to be known of the rates of all rows; nothing if there are none.
pub fn write_notes(rows: &[pb::EditionRow], out: &mut impl Write) -> Result<(), Failure> {
    let with_rate: Vec<_> = rows.iter().filter(|row| row.rate.is_some()).collect();
    let units: BTreeSet<_> = with_rate
        .iter()
        .filter_map(|row| row.unit.as_deref())
        .collect();
    for unit in units {
        let line = match unit {
            "share" => "%: of so many reports that answered (and the interval)",
            "share-of-attempts" => "%: taps that were refused, of so many taps (and the interval)",
            _ => "rates: reports per 100,000 taps (and the interval) of so many taps",
        };
        writeln!(out, "{line}")?;
    }
    let sources = rows
        .iter()
        .filter_map(|row| row.denominator_source.as_deref());
    // Several feeds are told in one text.
    let sources: BTreeSet<_> = sources.flat_map(|source| source.split("; ")).collect();
    for source in sources {
        let line = format!("taps: {source}");
        match line.rsplit_once(": ") {
            Some((feed, what)) if WIDTH < line.chars().count() => {
                writeln!(out, "{feed}:\n      {what}")?;
            }
            _ => writeln!(out, "{line}")?,
        }
    }
    let covered = rows.iter().filter_map(|row| row.coverage);
    if let Some((least, most)) = ends(covered.map(|part| PERCENT * part)) {
        let days = range(&format!("{least:.0}"), &format!("{most:.0}"));
        writeln!(out, "taps were told on {days} % of the days")?;
    }
    let methods = methods(&with_rate);
    if !methods.is_empty() {
        writeln!(out, "intervals: {}", methods.join("; "))?;
    }
    Ok(())
}

/// How intervals were made and how sure they are, and by how much their rows were widened.
fn methods(rows: &[&pb::EditionRow]) -> Vec<String> {
    let mut widened = BTreeMap::<&str, Vec<f64>>::new();
    for method in rows.iter().filter_map(|row| row.interval_method.as_deref()) {
        let (named, by) = method.split_once(WIDENED).unwrap_or((method, ""));
        match by.parse::<f64>() {
            Ok(by) => widened.entry(named).or_default().push(by),
            // By nothing, or not estimated.
            Err(_) => drop(widened.entry(method).or_default()),
        }
    }
    let one = |(method, by): (&str, Vec<f64>)| match ends(by.into_iter()) {
        Some((least, most)) => {
            let by = range(&format!("{least:.2}"), &format!("{most:.2}"));
            format!("{method}{WIDENED}{by}")
        }
        None => method.to_owned(),
    };
    widened.into_iter().map(one).collect()
}

/// The least and the most.
fn ends(numbers: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    numbers.fold(None, |ends, number| match ends {
        None => Some((number, number)),
        Some((least, most)) => Some((number.min(least), number.max(most))),
    })
}

fn range(least: &str, most: &str) -> String {
    if least == most {
        least.to_owned()
    } else {
        format!("{least} to {most}")
    }
}

/// What a question was asked about, whose answers are rows of their own.
type Asked<'a> = [&'a str; 5];

fn asked(row: &pb::EditionRow) -> Asked<'_> {
    [
        &row.basis,
        &row.period_start,
        &row.operator_code,
        &row.dimension,
        &row.key,
    ]
}

/// How many answered each question: what its shares are of.
fn answered(rows: &[pb::EditionRow]) -> BTreeMap<Asked<'_>, u64> {
    let mut answered = BTreeMap::new();
    for row in rows {
        *answered.entry(asked(row)).or_default() += row.count;
    }
    answered
}

/// A rate with its interval and what it is of, or why there is none.
fn rate<'a>(row: &'a pb::EditionRow, answered: &BTreeMap<Asked<'_>, u64>) -> Option<Cow<'a, str>> {
    let (Some(rate), Some(low), Some(high)) = (row.rate, row.low, row.high) else {
        return row.no_rate.as_deref().map(Cow::from);
    };
    let unit = row.unit.as_deref().unwrap_or_default();
    let (factor, sign) = match unit {
        "share" | "share-of-attempts" => (PERCENT, " %"),
        _ => (1.0, ""),
    };
    let [rate, low, high] = shown([rate, low, high].map(|number| number * factor));
    let base = match unit {
        "share" => answered.get(&asked(row)).copied(),
        _ => row.taps,
    };
    let base = base.map_or_else(String::new, |base| format!(" of {}", HumanCount(base)));
    Some(format!("{rate}{sign} ({low} to {high}){base}").into())
}

/// A rate and the ends of its interval, all to as many digits as the rate deserves: one behind the
/// point, or two that count.
fn shown(numbers: [f64; 3]) -> [String; 3] {
    let [rate, _, high] = numbers;
    let leading = if 0.0 < rate { rate } else { high };
    let mut decimals = 1;
    let mut least = 1.0;
    while 0.0 < leading && leading < least && decimals < DECIMALS_MAX {
        decimals += 1;
        least /= 10.0;
    }
    numbers.map(|number| format!("{number:.decimals$}"))
}

/// What a row is about: of causes, also who says so.
fn key(row: &pb::EditionRow) -> String {
    let key = [row.source.as_str(), &row.key].join(" ");
    key.trim().to_owned()
}

/// The months from one day to another: `2026-09`, or `2026-07/2026-09`.
fn months<'a>(start: &'a str, end: &'a str) -> Cow<'a, str> {
    let month = |day: &'a str| day.rsplit_once('-').map_or(day, |(month, _)| month);
    if month(start) == month(end) {
        return month(start).into();
    }
    format!("{}/{}", month(start), month(end)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;

    fn line(name: &str, count: u64, rate: [f64; 3], coverage: f64) -> pb::EditionRow {
        let [rate, low, high] = rate;
        pb::EditionRow {
            basis: "self-reported".into(),
            period_start: "2026-10-01".into(),
            period_end: "2026-10-31".into(),
            operator_code: "GVB".into(),
            dimension: "line".into(),
            key: name.into(),
            flag: "exact".into(),
            count,
            taps: Some(300_000),
            denominator_source: Some("feed gvb.lines: check-in by line and hour".into()),
            coverage: Some(coverage),
            rate: Some(rate),
            unit: Some("per-100000-taps".into()),
            low: Some(low),
            high: Some(high),
            interval_method: Some("garwood 0.95 dispersion 1.00".into()),
            ..pb::EditionRow::default()
        }
    }

    fn act(answer: &str, count: u64, share: Option<[f64; 3]>) -> pb::EditionRow {
        let share = |place: usize| share.map(|share| share[place]);
        pb::EditionRow {
            basis: "self-reported".into(),
            period_start: "2026-10-01".into(),
            period_end: "2026-10-31".into(),
            operator_code: "GVB".into(),
            dimension: "staff-act".into(),
            key: "let-ride-free".into(),
            answer: answer.into(),
            flag: "exact".into(),
            count,
            rate: share(0),
            low: share(1),
            high: share(2),
            unit: share(0).map(|_| "share".into()),
            interval_method: share(0).map(|_| "wilson 0.95 dispersion not estimated".into()),
            ..pb::EditionRow::default()
        }
    }

    fn rows() -> Vec<pb::EditionRow> {
        let bare = pb::EditionRow {
            operator_code: "NS".into(),
            dimension: "station".into(),
            key: "stop:amsterdam-centraal".into(),
            no_rate: Some("reports-not-matched".into()),
            rate: None,
            ..line("", 12, [0.0; 3], 0.5)
        };
        vec![
            line("GVB:10", 40, [13.333_3, 9.525_6, 18.156_4], 1.0),
            pb::EditionRow {
                interval_method: Some("garwood 0.95 dispersion 1.42".into()),
                ..line("GVB:2", 39, [0.013, 0.009_6, 0.017_8], 0.94)
            },
            pb::EditionRow {
                basis: "observed".into(),
                unit: Some("share-of-attempts".into()),
                interval_method: Some("wilson 0.95 dispersion 1.00".into()),
                ..line("GVB:3", 600, [0.002, 0.001_8, 0.002_2], 1.0)
            },
            act("yes", 28, Some([0.451_6, 0.334, 0.575])),
            act("no", 34, None),
            bare,
        ]
    }

    #[test]
    fn rate_stands_with_its_interval_and_what_it_is_of() {
        let rows = rows();
        let answered = answered(&rows);
        let cells: Vec<_> = rows.iter().map(|row| rate(row, &answered)).collect();
        let cells: Vec<_> = cells.iter().map(Option::as_deref).collect();
        assert_eq!(
            cells,
            [
                Some("13.3 (9.5 to 18.2) of 300,000"),
                Some("0.013 (0.010 to 0.018) of 300,000"),
                Some("0.20 % (0.18 to 0.22) of 300,000"),
                Some("45.2 % (33.4 to 57.5) of 62"),
                None,
                Some("reports-not-matched"),
            ]
        );
        assert_eq!(shown([0.0, 0.0, 0.004]), ["0.0000", "0.0000", "0.0040"]);
        assert_eq!(shown([0.0; 3]), ["0.0", "0.0", "0.0"]);
    }

    #[test]
    fn what_taps_and_intervals_are_is_told_once_below_the_rows() {
        let rows = rows();
        let mut out = Vec::new();
        write_notes(&rows, &mut out).expect("room");
        let notes = String::from_utf8(out).expect("text");
        assert_eq!(
            notes,
            "rates: reports per 100,000 taps (and the interval) of so many taps\n\
             %: of so many reports that answered (and the interval)\n\
             %: taps that were refused, of so many taps (and the interval)\n\
             taps: feed gvb.lines: check-in by line and hour\n\
             taps were told on 50 to 100 % of the days\n\
             intervals: garwood 0.95 dispersion 1.00 to 1.42; wilson 0.95 dispersion 1.00; \
             wilson 0.95 dispersion not estimated\n"
        );
        let mut out = Vec::new();
        write_notes(&rows[4..5], &mut out).expect("room");
        assert_eq!(out, b"", "nothing to be said");
    }

    #[test]
    fn lines_of_an_operator_fit_a_narrow_terminal() {
        let kinds = "check-in and check-out and transfer by line and stop and quarter";
        let row = pb::EditionRow {
            denominator_source: Some(format!("feed gvb.lines-and-stops: {kinds}")),
            ..line("GVB:10", 40, [13.333_3, 9.525_6, 18.156_4], 1.0)
        };
        let rows = [row, line("GVB:2", 39, [1_234.5, 1_100.1, 1_400.9], 0.94)];
        let mut out = Vec::new();
        sheet(&rows).print(Format::Table, &mut out).expect("room");
        write_notes(&rows, &mut out).expect("room");
        let text = String::from_utf8(out).expect("text");
        let widest = text
            .lines()
            .map(|line| line.trim_end().chars().count())
            .max();
        assert!(widest <= Some(WIDTH), "{text}");
        assert!(text.contains("of 300,000"), "{text}");
    }
}
