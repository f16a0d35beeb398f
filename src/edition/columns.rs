//! The columns of downloads: those of `EditionRow` in the API, with its comments.

use serde_json::{Value, json};

use super::format::Row;

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Of its values.
    pub kind: Kind,
    /// What it means.
    pub about: &'static str,
}

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// Whole numbers from 0 up.
    Uint32,
    /// Whole numbers from 0 up.
    Uint64,
    /// Decimal numbers.
    Double,
}

include!(concat!(env!("OUT_DIR"), "/edition_columns.rs"));

/// All columns, in their order.
pub fn all() -> &'static [Column] {
    COLUMNS
}

/// The values of a row of the edition of a month, one for each column; null where there is nothing.
pub fn values(row: &Row, month: &str, method: u32) -> Vec<Value> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    vec![
        json!(row.basis),
        json!(row.period_start),
        json!(row.period_end),
        json!(text(&row.operator_code)),
        json!(row.dimension),
        json!(text(&row.source)),
        json!(text(&row.key)),
        json!(text(&row.answer)),
        json!(row.flag),
        json!(row.count),
        json!(row.taps),
        json!(row.denominator_source),
        json!(row.coverage),
        json!(row.rate),
        json!(row.unit),
        json!(row.low),
        json!(row.high),
        json!(row.interval_method),
        json!(row.no_rate),
        json!(month),
        json!(method),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_value_and_says_what_it_means() {
        let of_blank = values(&Row::default(), "2026-10", 1);
        assert_eq!(of_blank.len(), all().len());
        for column in all() {
            assert!(column.about.ends_with('.'), "{column:?}");
        }
        let named = |name: &str| all().iter().position(|column| column.name == name);
        let row = Row {
            count: 7,
            no_rate: Some("because".into()),
            ..Row::default()
        };
        let values = values(&row, "2026-10", 1);
        assert_eq!(named("count").map(|at| &values[at]), Some(&json!(7)));
        assert_eq!(
            named("no_rate").map(|at| &values[at]),
            Some(&json!("because"))
        );
        assert_eq!(
            named("edition").map(|at| &values[at]),
            Some(&json!("2026-10"))
        );
        assert_eq!(named("taps").map(|at| &values[at]), Some(&Value::Null));
    }
}
