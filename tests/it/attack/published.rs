//! What a reader of editions knows: their rows, and nothing else.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::data::{Data, MONTHS};
use super::record::NAMES;

/// One row, as its columns tell it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its month, from the first of the quarter; `None`: of all three.
    pub month: Option<usize>,
    /// Of `Data::operators`; `None` for all together.
    pub operator: Option<usize>,
    /// Name of its table; empty for a total.
    pub table: String,
    /// Its class.
    pub key: Key,
    /// Reports.
    pub count: u64,
    /// Everything.
    pub value: Value,
}

impl Row {
    /// The months of its period.
    pub fn months(&self) -> Range<usize> {
        match self.month {
            Some(month) => month..month + 1,
            None => 0..MONTHS,
        }
    }
}

/// The class that a row counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// All.
    Total,
    /// All that has no row of its own.
    Rest,
    /// One class, in `Data::universe`.
    Class(usize),
    /// An operator, in the table of operators.
    Operator(usize),
}

/// What an edition says of the days of an operator's reports.
#[derive(Clone, Debug, Default)]
pub struct Days {
    /// Reports of each day that stands apart, from the first of the month.
    pub parts: BTreeMap<usize, u64>,
    /// Those that were recorded later, if that stands apart.
    pub later: u64,
    /// Those of all others; `None` if nothing is told of days.
    pub rest: Option<u64>,
}

impl Days {
    /// What the edition of one month says.
    pub fn of(edition: &Value, operator: &str) -> Self {
        let mut days = Self::default();
        let rows = edition["rows"].as_array().expect("rows").iter();
        for row in rows.filter(|row| row["dimension"] == "day" && row["operator_code"] == operator)
        {
            let count = row["count"].as_u64().expect("a count");
            let rest = days.rest.get_or_insert(0);
            match row["key"].as_str().unwrap_or_default() {
                "" => *rest = count,
                "recorded-later" => days.later = count,
                day => {
                    let day: usize = day[8..].parse().expect("a date");
                    days.parts.insert(day - 1, count);
                }
            }
        }
        days
    }
}

/// Cells of a data set: by month, operator and profile.
pub struct Cells<'a>(pub &'a Data);

impl Cells<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.cell(MONTHS, 0, 0)
    }

    /// The number of one.
    pub fn cell(&self, month: usize, operator: usize, profile: usize) -> usize {
        let data = self.0;
        (month * data.operators.len() + operator) * data.universe.profiles.len() + profile
    }

    /// Those of some operators in one month whose profile fits.
    pub fn find(
        &self,
        month: usize,
        is_operator: impl Fn(usize) -> bool,
        fits: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let operators = (0..self.0.operators.len()).filter(|operator| is_operator(*operator));
        let profiles = 0..self.0.universe.profiles.len();
        let fitting: Vec<_> = profiles.filter(|profile| fits(*profile)).collect();
        let cells = operators.flat_map(|operator| {
            let cell = move |profile: &usize| self.cell(month, operator, *profile);
            fitting.iter().map(cell).collect::<Vec<_>>()
        });
        cells.collect()
    }
}

/// The rows of all editions. Days are left out where the data set has none.
pub fn rows(data: &Data, editions: &[Value]) -> Vec<Row> {
    let rows = editions.iter().flat_map(|edition| {
        let rows = edition["rows"].as_array().expect("rows");
        rows.iter()
            .map(|value| row(data, value))
            .collect::<Vec<_>>()
    });
    let has_days = data.universe.find("day", "0").is_some();
    rows.filter(|row| has_days || row.table != "day").collect()
}

fn row(data: &Data, value: &Value) -> Row {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let basis = if data.are_observed {
        "observed"
    } else {
        "self-reported"
    };
    assert_eq!(text("basis"), basis, "{value}");
    let (start, end) = (text("period_start"), text("period_end"));
    let month = NAMES.iter().position(|name| end.starts_with(name));
    let is_month = start[..7] == end[..7];
    let code = |code: &str| data.operators.iter().position(|operator| *operator == code);
    let (table, key) = match text("dimension") {
        "total" => (String::new(), Key::Total),
        "operator" => {
            let key = code(text("operator_code")).map_or(Key::Rest, Key::Operator);
            ("operator".to_owned(), key)
        }
        _ => class(data, value),
    };
    let is_national = table == "operator";
    Row {
        month: month.filter(|_| is_month),
        operator: code(text("operator_code")).filter(|_| !is_national),
        table,
        key,
        count: value["count"].as_u64().expect("a count"),
        value: value.clone(),
    }
}

/// The table of a row, and its class.
fn class(data: &Data, value: &Value) -> (String, Key) {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let (dimension, key, answer) = (text("dimension"), text("key"), text("answer"));
    let (_, own) = key.split_once(':').unwrap_or(("", key));
    let (table, class) = match dimension {
        "line" => ("line".to_owned(), own.to_owned()),
        "station" => ("line".to_owned(), format!("at {own}")),
        "cause" => (format!("cause/{}", text("source")), key.to_owned()),
        "day" if key.starts_with("2026") => {
            let day: usize = key[8..].parse().expect("a day");
            ("day".to_owned(), (day - 1).to_string())
        }
        _ if answer.is_empty() => (dimension.to_owned(), key.to_owned()),
        _ => (format!("{dimension}/{key}"), answer.to_owned()),
    };
    if text("flag") == "rest" {
        return (table, Key::Rest);
    }
    let is_left_out = table == "day" && data.universe.find("day", "0").is_none();
    let found = data.universe.find(&table, &class);
    let found = found.or(is_left_out.then_some(0));
    let found = found.unwrap_or_else(|| panic!("nobody told what is published: {value}"));
    (table, Key::Class(found))
}

/// All that rows say, for whoever knows what each row counts.
pub fn statements(data: &Data, rows: &[Row]) -> Vec<(Vec<usize>, u64)> {
    let said = rows.iter().map(|row| (cells(data, rows, row), row.count));
    said.filter(|(cells, _)| !cells.is_empty()).collect()
}

/// The cells that a row counts.
fn cells(data: &Data, rows: &[Row], row: &Row) -> Vec<usize> {
    let cells = Cells(data);
    let is_operator = |operator: usize| row.operator.is_none_or(|own| own == operator);
    let counted = row.months().flat_map(|month| match &row.key {
        Key::Total => cells.find(month, is_operator, |_| true),
        Key::Operator(own) => cells.find(month, |operator| operator == *own, |_| true),
        Key::Class(class) => {
            let fits = |profile: usize| data.universe.profiles[profile].classes.contains(class);
            cells.find(month, is_operator, fits)
        }
        Key::Rest if row.table == "operator" => {
            let shown = classes(rows, row, month);
            let is_joined = |operator: usize| !shown.contains(&Key::Operator(operator));
            cells.find(month, is_joined, |_| true)
        }
        Key::Rest => {
            let shown = classes(rows, row, month);
            let is_joined = |profile: usize| {
                let class = data.universe.class_in(profile, &row.table);
                class.is_some_and(|class| !shown.contains(&Key::Class(class)))
            };
            cells.find(month, is_operator, is_joined)
        }
    });
    counted.collect()
}

/// The classes of a row's table that have a row: in this month, and for a quarter's row in the
/// quarter, too.
fn classes(rows: &[Row], row: &Row, month: usize) -> Vec<Key> {
    let alike = rows.iter().filter(|other| {
        (&other.table, other.operator) == (&row.table, row.operator)
            && (other.month == Some(month) || other.month.is_none() && row.month.is_none())
    });
    alike.map(|other| other.key.clone()).collect()
}
