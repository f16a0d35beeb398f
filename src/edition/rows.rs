//! Published tables as rows. Nothing but what was screened comes in here.

use super::denominators::{method, rounded};
use super::format::Row;
use super::month;
use super::tables::{LINE, LINE_PREFIX, NO, STATION_PREFIX, YES};
use crate::domain::{Basis, LocalMonth};
use crate::stats::dispersion::Dispersion;
use crate::stats::interval::{Level, Proportion};
use crate::stats::screening::{
    Group, Published, PublishedGroup, PublishedPart, PublishedQuarter, PublishedTable,
};

const TOTAL: &str = "total";
const STATION: &str = "station";
/// The table of operators.
pub const OPERATOR: &str = "operator";
const EXACT: &str = "exact";
/// The flag of all that is not published apart, together.
pub const REST: &str = "rest";
const SHARE: &str = "share";
const NO_DENOMINATOR: &str = "no denominator";
/// Dimensions whose counts are set against taps.
const HAVE_RATES: [&str; 4] = [TOTAL, OPERATOR, LINE, STATION];

/// The rows of a month.
pub fn month_rows(basis: Basis, month: LocalMonth, published: &Published) -> Vec<Row> {
    let blank = blank(basis, month, month);
    let division = published.division();
    let mut rows = vec![total(&blank, division.reports())];
    for part in division.parts() {
        rows.push(Row {
            operator_code: part.key().to_owned(),
            ..counted(&blank, OPERATOR, part.reports())
        });
    }
    if 0 < division.rest() && !division.parts().is_empty() {
        rows.push(rest(&blank, OPERATOR, division.rest()));
    }
    for group in published.groups() {
        group_rows(&blank, group, &mut rows);
    }
    rows
}

/// All rows that a month could have, were everything published that is known of its reports. Not to
/// be shown: no count of an edition can be larger.
pub fn largest_rows(groups: &[Group]) -> Vec<Row> {
    let blank = Row::default();
    let all = groups.iter().map(|group| group.sheet.reports() as u64);
    let mut rows = vec![total(&blank, all.sum())];
    for group in groups {
        let blank = Row {
            operator_code: group.key.to_string(),
            ..blank.clone()
        };
        let reports = group.sheet.reports() as u64;
        rows.push(counted(&blank, OPERATOR, reports));
        rows.push(total(&blank, reports));
        let classes = group.sheet.counts();
        rows.extend(classes.map(|(table, key, count)| class_of(&blank, table, key, count)));
    }
    rows
}

/// The rows of a quarter's ladder.
pub fn quarter_rows(
    basis: Basis,
    months: [LocalMonth; 3],
    quarters: &[PublishedQuarter],
) -> Vec<Row> {
    let blank = blank(basis, months[0], months[2]);
    let mut rows = Vec::new();
    for quarter in quarters {
        let blank = Row {
            operator_code: quarter.group().to_owned(),
            ..blank.clone()
        };
        let parts = quarter.parts().iter();
        rows.extend(parts.map(|part| class(&blank, LINE, part)));
        rows.push(rest(&blank, LINE, quarter.rest()));
    }
    rows
}

fn group_rows(blank: &Row, group: &PublishedGroup, rows: &mut Vec<Row>) {
    let blank = Row {
        operator_code: group.key().to_owned(),
        ..blank.clone()
    };
    rows.push(total(&blank, group.reports()));
    for table in group.tables() {
        let parts = table.parts().iter();
        rows.extend(parts.map(|part| with_share(class(&blank, table.name(), part), table)));
        if 0 < table.rest() && !table.parts().is_empty() {
            rows.push(rest(&blank, table.name(), table.rest()));
        }
    }
}

/// What rows call a basis.
pub fn basis_key(basis: Basis) -> &'static str {
    match basis {
        Basis::SelfReported => "self-reported",
        Basis::Observed => "observed",
    }
}

fn blank(basis: Basis, first: LocalMonth, last: LocalMonth) -> Row {
    let after = month::first_day(month::next(last));
    Row {
        basis: basis_key(basis).to_owned(),
        period_start: month::first_day(first).to_string(),
        period_end: crate::domain::LocalDay(after.0 - 1).to_string(),
        flag: EXACT.to_owned(),
        ..Row::default()
    }
}

fn counted(blank: &Row, dimension: &str, count: u64) -> Row {
    Row {
        dimension: dimension.to_owned(),
        count,
        no_rate: HAVE_RATES
            .contains(&dimension)
            .then(|| NO_DENOMINATOR.to_owned()),
        ..blank.clone()
    }
}

fn total(blank: &Row, count: u64) -> Row {
    counted(blank, TOTAL, count)
}

fn rest(blank: &Row, table: &str, count: u64) -> Row {
    let (dimension, inner) = names(table);
    let mut row = Row {
        flag: REST.to_owned(),
        ..counted(blank, dimension, count)
    };
    inner_name(&mut row, inner);
    row
}

fn class(blank: &Row, table: &str, part: &PublishedPart) -> Row {
    class_of(blank, table, part.key(), part.reports())
}

fn class_of(blank: &Row, table: &str, key: &str, reports: u64) -> Row {
    let (dimension, inner) = names(table);
    let mut row = counted(blank, dimension, reports);
    inner_name(&mut row, inner);
    if let Some(line) = key.strip_prefix(LINE_PREFIX) {
        row.key = line.to_owned();
    } else if let Some(station) = key.strip_prefix(STATION_PREFIX) {
        row.dimension = STATION.to_owned();
        row.key = station.to_owned();
    } else if row.key.is_empty() {
        row.key = key.to_owned();
    } else {
        row.answer = key.to_owned();
    }
    row
}

/// The name of a table, and of what it is one of several.
fn names(table: &str) -> (&str, &str) {
    table.split_once('/').unwrap_or((table, ""))
}

/// Causes have a source; acts and outcomes are asked about one by one.
fn inner_name(row: &mut Row, inner: &str) {
    if row.dimension == "cause" {
        row.source = inner.to_owned();
    } else {
        row.key = inner.to_owned();
    }
}

/// Of an act or an outcome: its share of all that answered, with its interval, which is as wide as
/// chance alone has it: shares of days are not published.
fn with_share(row: Row, table: &PublishedTable) -> Row {
    let is_yes = row.answer == YES && table.base().is_some();
    if !is_yes || table.part(NO).is_none() {
        return row;
    }
    let Some(proportion) = Proportion::new(row.count, table.reports()) else {
        return row;
    };
    let interval = proportion.wilson(Level::P95, Dispersion::NONE);
    Row {
        rate: Some(rounded(proportion.estimate())),
        unit: Some(SHARE.to_owned()),
        low: Some(rounded(interval.low())),
        high: Some(rounded(interval.high())),
        interval_method: Some(method(&interval, Dispersion::NONE)),
        no_rate: None,
        ..row
    }
}
