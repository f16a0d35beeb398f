//! How commands print: one sheet of columns and rows, as a table for people, CSV or JSON
//! for programs. Empty is never zero, and no cell can be taken for a formula.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use serde_json::{Map, Value};

use super::failure::Failure;
use crate::domain::text::is_card_like;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// Comma-separated values with a header; sums and the line to cite go to standard error.
    Csv,
    /// A JSON array of objects; streams print an object a line.
    Json,
}

/// Widest identifier that is kept whole where a terminal is narrow. Wider: broken like words.
const ID_WIDTH_MAX: u16 = 20;
/// What stands beside a cell's text, left and right together.
const CELL_PADDING: u16 = 2;
/// A table with more columns is too wide for most terminals.
const COLUMNS_MANY: usize = 6;

/// Columns and rows. Every row has as many cells as there are columns.
#[derive(Debug, Default)]
pub struct Sheet {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Sheet {
    /// Without rows.
    pub fn new(columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<Value>) {
        assert_eq!(
            row.len(),
            self.columns.len(),
            "a row has a cell for each column"
        );
        self.rows.push(row);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints everything.
    pub fn print(&self, format: Format, out: &mut impl Write) -> Result<(), Failure> {
        match format {
            Format::Table if self.rows.is_empty() => writeln!(out, "nothing found")?,
            Format::Table => {
                let (common, sheet) = self.for_people();
                if !common.is_empty() {
                    writeln!(out, "{common}\n")?;
                }
                writeln!(out, "{}", sheet.table(asked_width()))?;
            }
            Format::Csv => self.write_csv(out)?,
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, &self.objects())
                    .map_err(io::Error::from)?;
                writeln!(out)?;
            }
        }
        Ok(())
    }

    /// The rows as JSON objects.
    pub fn objects(&self) -> Value {
        Value::Array(self.rows.iter().map(|row| self.object(row)).collect())
    }

    /// What stands in all of many rows of a wide sheet, and the sheet without it and without
    /// columns that are empty: a terminal is narrow, and nobody reads a column of equal cells.
    fn for_people(&self) -> (String, Self) {
        let is_wide = COLUMNS_MANY < self.columns.len() && 1 < self.rows.len();
        let mut common = Vec::new();
        let mut kept = Vec::new();
        for (place, column) in self.columns.iter().enumerate() {
            let mut cells = self.rows.iter().map(|row| text(&row[place]));
            let first = cells.next().unwrap_or_default();
            let is_same = cells.all(|cell| cell == first);
            if is_same && first.is_empty() {
                continue;
            }
            if is_same && is_wide {
                common.push(format!("{column}: {first}"));
            } else {
                kept.push(place);
            }
        }
        let mut sheet = Self::new(kept.iter().map(|place| self.columns[*place].clone()));
        for row in &self.rows {
            sheet.push(kept.iter().map(|place| row[*place].clone()).collect());
        }
        (common.join(", "), sheet)
    }

    fn table(&self, width: Option<u16>) -> Table {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic);
        if let Some(width) = width {
            table.set_width(width);
        }
        table.set_header(&self.columns);
        for row in &self.rows {
            table.add_row(row.iter().map(|value| {
                let cell = Cell::new(text(value));
                if value.is_number() {
                    cell.set_alignment(CellAlignment::Right)
                } else {
                    cell
                }
            }));
        }
        for (place, column) in self.columns.iter().enumerate() {
            if let Some(width) = self.id_width(place, column)
                && let Some(column) = table.column_mut(place)
            {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
            }
        }
        table
    }

    /// How wide a column of identifiers has to be, so that none is cut in pieces.
    fn id_width(&self, place: usize, column: &str) -> Option<u16> {
        let cells = self.rows.iter().map(|row| text(&row[place]));
        let lengths = cells.flat_map(|cell| {
            let words = cell.split_whitespace();
            words.map(|word| word.chars().count()).max()
        });
        let width = u16::try_from(lengths.max()?).ok()?;
        (is_of_ids(column) && width <= ID_WIDTH_MAX).then_some(width + CELL_PADDING)
    }

    fn write_csv(&self, out: &mut impl Write) -> Result<(), Failure> {
        let mut writer = csv::Writer::from_writer(out);
        writer
            .write_record(&self.columns)
            .map_err(io::Error::from)?;
        for row in &self.rows {
            writer
                .write_record(row.iter().map(guarded))
                .map_err(io::Error::from)?;
        }
        writer.flush()?;
        Ok(())
    }

    fn object(&self, row: &[Value]) -> Value {
        let pairs = self.columns.iter().cloned().zip(row.iter().cloned());
        Value::Object(pairs.collect::<Map<_, _>>())
    }
}

/// One thing: fields and values. Fields that say nothing are left out of the table.
#[derive(Debug, Default)]
pub struct Card {
    fields: Vec<(&'static str, Value)>,
}

impl Card {
    /// Adds a field. `Null`, an empty text and an empty list say nothing.
    pub fn push(&mut self, field: &'static str, value: impl Into<Value>) {
        let value = value.into();
        let is_empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        let value = if is_empty { Value::Null } else { value };
        self.fields.push((field, value));
    }

    /// Prints everything: in CSV as a header and one row, in JSON as one object.
    pub fn print(&self, format: Format, out: &mut impl Write) -> Result<(), Failure> {
        match format {
            Format::Table => {
                let mut sheet = Sheet::new(["field", "value"]);
                for (field, value) in self.fields.iter().filter(|(_, value)| !value.is_null()) {
                    sheet.push(vec![Value::from(*field), Value::String(text(value))]);
                }
                sheet.print(format, out)
            }
            Format::Csv => {
                let mut sheet = Sheet::new(self.fields.iter().map(|(field, _)| *field));
                sheet.push(self.fields.iter().map(|(_, value)| value.clone()).collect());
                sheet.print(format, out)
            }
            Format::Json => {
                let pairs = self.fields.iter().cloned();
                let object: Map<_, _> = pairs
                    .map(|(field, value)| (field.to_owned(), value))
                    .collect();
                serde_json::to_writer_pretty(&mut *out, &object).map_err(io::Error::from)?;
                writeln!(out)?;
                Ok(())
            }
        }
    }
}

/// Whether a column's cells are copied into other commands, so that none may be cut in pieces.
fn is_of_ids(column: &str) -> bool {
    column.ends_with("_id")
        || [
            "case_number",
            "edition",
            "line",
            "lines",
            "operator",
            "stop",
        ]
        .contains(&column)
}

/// The width that `COLUMNS` asks for where there is no terminal to ask.
fn asked_width() -> Option<u16> {
    if io::stdout().is_terminal() {
        return None;
    }
    std::env::var("COLUMNS").ok()?.parse().ok()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A cell that no spreadsheet takes for a formula: texts that begin like one get an
/// apostrophe in front (OWASP, CSV injection).
fn guarded(value: &Value) -> String {
    let text = text(value);
    let is_text = value.is_string();
    if is_text && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text
    }
}

/// A place in the journal, or the number that stands for one, as a text: so the JSON mapping of
/// protobuf has numbers of 64 bits, because JavaScript and others round what is beyond 2^53, as
/// the numbers are that operators cite by. Nothing for operators where they are told 0.
pub fn place(position: u64) -> Option<String> {
    (position != 0).then(|| position.to_string())
}

/// A file as an error names it: not at all where its name could hold a card's number, typed in
/// the wrong place.
pub fn file_name(path: &Path) -> String {
    let name = path.display().to_string();
    match is_card_like(&name) {
        true => "with this name".to_owned(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(format: Format) -> String {
        let mut sheet = Sheet::new(["stop", "count"]);
        sheet.push(vec![json!("=cmd()"), json!(3)]);
        sheet.push(vec![Value::Null, json!(-1)]);
        let mut out = Vec::new();
        sheet
            .print(format, &mut out)
            .expect("memory can be written");
        String::from_utf8(out).expect("what is printed is text")
    }

    #[test]
    fn csv_keeps_empty_apart_from_zero_and_guards_formulas() {
        assert_eq!(printed(Format::Csv), "stop,count\n'=cmd(),3\n,-1\n");
    }

    #[test]
    fn json_has_an_object_for_each_row() {
        let rows: Value = serde_json::from_str(&printed(Format::Json)).expect("valid JSON");
        assert_eq!(
            rows,
            json!([{"stop": "=cmd()", "count": 3}, {"stop": null, "count": -1}])
        );
    }

    #[test]
    fn card_is_one_object_and_leaves_empty_fields_out_of_the_table() {
        let mut card = Card::default();
        card.push("position", 7);
        card.push("note", "");
        card.push("acts", vec!["waited", "helped"]);
        let printed = |format| {
            let mut out = Vec::new();
            card.print(format, &mut out).expect("memory can be written");
            String::from_utf8(out).expect("what is printed is text")
        };
        let object: Value = serde_json::from_str(&printed(Format::Json)).expect("valid JSON");
        assert_eq!(
            object,
            json!({"position": 7, "note": null, "acts": ["waited", "helped"]})
        );
        assert_eq!(
            printed(Format::Csv),
            "position,note,acts\n7,,\"waited, helped\"\n"
        );
        assert!(!printed(Format::Table).contains("note"));
    }

    #[test]
    fn wide_table_tells_once_what_is_the_same_in_all_rows_and_leaves_empty_columns_out() {
        let mut sheet = Sheet::new(["a", "b", "c", "d", "e", "f", "same", "empty"]);
        for row in 0..2 {
            let mut cells: Vec<Value> = (0..6).map(|column| json!(10 * row + column)).collect();
            cells.extend([json!("month"), Value::Null]);
            sheet.push(cells);
        }
        let mut out = Vec::new();
        sheet
            .print(Format::Table, &mut out)
            .expect("memory can be written");
        let table = String::from_utf8(out).expect("what is printed is text");
        assert!(table.starts_with("same: month\n"), "{table}");
        assert!(!table.contains("empty"), "{table}");
        assert!(table.contains("15"), "{table}");
        let mut out = Vec::new();
        sheet
            .print(Format::Csv, &mut out)
            .expect("memory can be written");
        assert!(out.starts_with(b"a,b,c,d,e,f,same,empty\n"));
    }

    #[test]
    fn identifier_stays_whole_on_a_narrow_terminal() {
        let mut sheet = Sheet::new(["stop_id", "name", "town", "lines"]);
        for stop in ["GVB:05095", "GVB:05094"] {
            let lines = "GVB:13 GVB:14 GVB:17 and 4 more";
            sheet.push(vec![
                json!(stop),
                json!("Centraal Station"),
                json!("Amsterdam"),
                json!(lines),
            ]);
        }
        let narrow = sheet.table(Some(30)).to_string();
        for id in ["GVB:05095", "GVB:05094", "GVB:13", "GVB:17"] {
            assert!(narrow.contains(id), "{narrow}");
        }
    }

    #[test]
    fn table_shows_every_cell() {
        let table = printed(Format::Table);
        assert!(
            table.contains("=cmd()") && table.contains("count"),
            "{table}"
        );
    }
}
