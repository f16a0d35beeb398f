//! How commands print: one sheet of columns and rows, as a table for people, CSV or JSON
//! for programs. What is not known, was not told or does not apply is `null` in JSON and empty in
//! CSV, never an empty text and never zero; and no cell can be taken for a formula.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use serde_json::{Map, Value};

use super::failure::Failure;
use super::when;
use crate::domain::text::{is_card_like, without_controls};

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

/// Narrowest that a column of words is made, in characters: words longer than this may be cut,
/// unless a digit is in them.
const WORD_WIDTH_MIN: usize = 10;
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

    /// Adds a row. What says nothing is `null` in it.
    pub fn push(&mut self, row: Vec<Value>) {
        assert_eq!(
            row.len(),
            self.columns.len(),
            "a row has a cell for each column"
        );
        self.rows.push(row.into_iter().map(said).collect());
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
                match sheet.table(asked_width()) {
                    Some(table) => writeln!(out, "{table}")?,
                    None => sheet.write_row_by_row(out)?,
                }
            }
            Format::Csv => self.write_csv(true, out)?,
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
                let first = by_the_minute(column, &self.rows[0][place]);
                common.push(format!("{column}: {}", text(&first)));
            } else {
                kept.push(place);
            }
        }
        let mut sheet = Self::new(kept.iter().map(|place| self.columns[*place].clone()));
        for row in &self.rows {
            let cell = |place: &usize| by_the_minute(&self.columns[*place], &row[*place]);
            sheet.push(kept.iter().map(cell).collect());
        }
        (common.join(", "), sheet)
    }

    /// Laid out in a width, or in the terminal's: `None` where a number, a time or an identifier
    /// would have to be cut, or words become a column of letters.
    fn table(&self, width: Option<u16>) -> Option<Table> {
        let mut table = self.plain_table();
        if let Some(width) = width {
            table.set_width(width);
        }
        let Some(width) = table.width() else {
            return Some(table);
        };
        let natural = table.column_max_content_widths();
        let narrowest = (0..self.columns.len()).map(|place| self.narrowest(place));
        let widths = widths(&natural, &narrowest.collect::<Vec<_>>(), width)?;
        for (column, width) in table.column_iter_mut().zip(widths) {
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
        }
        Some(table)
    }

    fn plain_table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic);
        // Headings are longer than what stands below them, and may be broken between their words.
        let heading = |column| Cell::new(column).set_delimiter('_');
        table.set_header(self.columns.iter().map(heading));
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
        table
    }

    /// How wide a column has to be at least, in characters: whatever has a digit in it is a
    /// number, a time, a hash or an identifier, which is read wrong or cannot be copied when it
    /// is cut.
    fn narrowest(&self, place: usize) -> u16 {
        let column = &self.columns[place];
        let is_whole = is_of_ids(column);
        let width_of = |word: &str| {
            let width = word.chars().count();
            match is_whole || word.contains(|character: char| character.is_numeric()) {
                true => width,
                false => width.min(WORD_WIDTH_MIN),
            }
        };
        let cells = self.rows.iter().map(|row| text(&row[place]));
        let cells = cells.filter_map(|cell| cell.split_whitespace().map(width_of).max());
        let heading = column.split('_').map(|word| word.chars().count());
        let width = heading.chain(cells).max().unwrap_or(0);
        u16::try_from(width).unwrap_or(u16::MAX)
    }

    /// Each row as lines of a field and its value, which are never cut. What is empty is left out.
    fn write_row_by_row(&self, out: &mut impl Write) -> Result<(), Failure> {
        for (number, row) in self.rows.iter().enumerate() {
            if 0 < number {
                writeln!(out)?;
            }
            for (column, value) in self.columns.iter().zip(row) {
                let value = text(value);
                if !value.is_empty() {
                    writeln!(out, "{column}: {value}")?;
                }
            }
        }
        Ok(())
    }

    fn write_csv(&self, has_header: bool, out: &mut impl Write) -> Result<(), Failure> {
        let mut writer = csv::Writer::from_writer(out);
        if has_header {
            writer.write_record(&self.columns).map_err(csv_error)?;
        }
        for row in &self.rows {
            writer
                .write_record(row.iter().map(guarded))
                .map_err(csv_error)?;
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
    /// Adds a field.
    pub fn push(&mut self, field: &'static str, value: impl Into<Value>) {
        self.fields.push((field, said(value.into())));
    }

    /// Prints everything: in CSV as a header and one row, in JSON as one object.
    pub fn print(&self, format: Format, out: &mut impl Write) -> Result<(), Failure> {
        match format {
            Format::Table => {
                let mut sheet = Sheet::new(["field", "value"]);
                for (field, value) in self.fields.iter().filter(|(_, value)| !value.is_null()) {
                    sheet.push(vec![Value::from(*field), Value::String(text(value))]);
                }
                match sheet.table(asked_width()) {
                    Some(_) => sheet.print(format, out),
                    None => self.write_line_by_line(out),
                }
            }
            Format::Csv => self.row().write_csv(true, out),
            Format::Json => Ok(writeln!(out, "{:#}", self.object())?),
        }
    }

    /// Prints everything as one of many that come: for people with a blank line after it, in CSV
    /// with a header before the first, in JSON as one line.
    pub fn print_next(
        &self,
        is_first: bool,
        format: Format,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        match format {
            Format::Table => {
                self.print(format, out)?;
                writeln!(out)?;
            }
            Format::Csv => self.row().write_csv(is_first, out)?,
            Format::Json => writeln!(out, "{}", self.object())?,
        }
        Ok(out.flush()?)
    }

    fn row(&self) -> Sheet {
        let mut sheet = Sheet::new(self.fields.iter().map(|(field, _)| *field));
        sheet.push(self.fields.iter().map(|(_, value)| value.clone()).collect());
        sheet
    }

    fn object(&self) -> Value {
        let pairs = self.fields.iter().cloned();
        let pairs = pairs.map(|(field, value)| (field.to_owned(), value));
        Value::Object(pairs.collect())
    }

    /// A line for each field that says something, which is never cut.
    fn write_line_by_line(&self, out: &mut impl Write) -> Result<(), Failure> {
        for (field, value) in self.fields.iter().filter(|(_, value)| !value.is_null()) {
            writeln!(out, "{field}: {}", text(value))?;
        }
        Ok(())
    }
}

/// How wide each column becomes, with its padding, where all of them have so many characters: no
/// wider than its widest cell, and no narrower than it may be; `None` where that is not room
/// enough.
fn widths(natural: &[u16], narrowest: &[u16], all: u16) -> Option<Vec<u16>> {
    let mut widths: Vec<u16> = narrowest
        .iter()
        .zip(natural)
        .map(|(narrowest, natural)| (*narrowest).min(*natural).saturating_add(CELL_PADDING))
        .collect();
    let least = widths.iter().map(|width| usize::from(*width)).sum();
    let mut left = usize::from(all).checked_sub(least)?;
    // Each turn gives one character to every column that wants more.
    while 0 < left {
        let before = left;
        for (width, natural) in widths.iter_mut().zip(natural) {
            if 0 < left && *width < natural.saturating_add(CELL_PADDING) {
                *width += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    Some(widths)
}

/// What the table has in a cell: of a time its minute, in local time, which is all that people
/// look for in a row.
fn by_the_minute(column: &str, cell: &Value) -> Value {
    let time = cell.as_str().filter(|_| column.ends_with("_at"));
    match time.and_then(|time| time.parse().ok()) {
        Some(time) => Value::String(when::shown_day_and_minute(time)),
        None => cell.clone(),
    }
}

/// The error below one of the CSV writer's, so that a reader who went away is known as one.
fn csv_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
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

/// A value as it is printed: `null` if it says nothing, as an empty text and an empty list do.
fn said(value: Value) -> Value {
    let is_empty = match &value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if is_empty { Value::Null } else { value }
}

/// A value as people read it, on one line.
fn text(value: &Value) -> String {
    without_controls(&plain(value)).into_owned()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A cell that no spreadsheet takes for a formula: texts that begin like one get an
/// apostrophe in front (OWASP, CSV injection).
fn guarded(value: &Value) -> String {
    let text = plain(value);
    let is_text = value.is_string();
    if is_text && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text
    }
}

/// A line of CSV for streams, which print line by line: quoted where that is needed, and without
/// what a spreadsheet takes for a formula.
pub fn csv_line(cells: impl IntoIterator<Item = String>) -> String {
    let quoted = cells.into_iter().map(|cell| {
        let cell = guarded(&Value::String(cell));
        match cell.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell,
        }
    });
    quoted.collect::<Vec<_>>().join(",")
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
        sheet.push(vec![json!(""), json!(0)]);
        let mut out = Vec::new();
        sheet
            .print(format, &mut out)
            .expect("memory can be written");
        String::from_utf8(out).expect("what is printed is text")
    }

    #[test]
    fn csv_keeps_empty_apart_from_zero_and_guards_formulas() {
        assert_eq!(printed(Format::Csv), "stop,count\n'=cmd(),3\n,-1\n,0\n");
    }

    #[test]
    fn line_of_csv_is_read_back_as_it_was() {
        let cells = ["GVB:10", "Dam, \"oost\"", "", "12"].map(str::to_owned);
        let line = csv_line(cells.clone());
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(line.as_bytes());
        let record = reader.records().next().expect("a line").expect("CSV");
        assert_eq!(record.iter().collect::<Vec<_>>(), cells);
        assert_eq!(csv_line(["=1".to_owned()]), "'=1");
    }

    #[test]
    fn json_has_an_object_for_each_row_and_null_for_what_is_not_there() {
        let rows: Value = serde_json::from_str(&printed(Format::Json)).expect("valid JSON");
        assert_eq!(
            rows,
            json!([
                {"stop": "=cmd()", "count": 3},
                {"stop": null, "count": -1},
                {"stop": null, "count": 0},
            ])
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
        let narrow = laid_out(&sheet, 40);
        for id in ["GVB:05095", "GVB:05094", "GVB:13", "GVB:17"] {
            assert!(narrow.contains(id), "{narrow}");
        }
    }

    /// As it is printed where so many characters are in a line.
    fn laid_out(sheet: &Sheet, width: u16) -> String {
        if let Some(table) = sheet.table(Some(width)) {
            let table = table.to_string();
            let is_too_wide = |line: &str| usize::from(width) < line.trim_end().chars().count();
            assert!(
                !table.lines().any(is_too_wide),
                "wider than {width}:\n{table}"
            );
            return table;
        }
        let mut out = Vec::new();
        let written = sheet.write_row_by_row(&mut out);
        written.expect("memory can be written");
        String::from_utf8(out).expect("what is printed is text")
    }

    #[test]
    fn number_time_and_hash_are_never_cut_however_narrow_the_terminal() {
        let mut sheet = Sheet::new([
            "edition",
            "closed_at",
            "count_without_outages",
            "rate",
            "sha256",
            "note",
        ]);
        let hash = "4f".repeat(32);
        let note = "the reader was extraordinarily slow";
        let time = "2026-11-29T12:11:28+01:00";
        for count in [18_503_639, 7] {
            let cells = [json!("2026-10"), json!(time), json!(count), json!(1_850.25)];
            sheet.push([&cells[..], &[json!(hash), json!(note)]].concat());
        }
        let (_, sheet) = sheet.for_people();
        for width in [1, 20, 40, 60, 80, 100, 120, 140, 200] {
            let printed = laid_out(&sheet, width);
            for whole in ["18503639", "1850.25", "12:11", &hash, "2026-10"] {
                assert!(printed.contains(whole), "{whole} at {width}:\n{printed}");
            }
            assert!(!printed.contains("12:11:28"), "{printed}");
        }
    }

    #[test]
    fn row_that_has_no_room_is_printed_line_by_line() {
        let mut sheet = Sheet::new(["stop_id", "name", "count"]);
        sheet.push(vec![
            json!("GVB:05095"),
            json!("Centraal Station"),
            json!(3),
        ]);
        sheet.push(vec![json!("GVB:05094"), json!(""), json!(12)]);
        let narrow = laid_out(&sheet, 20);
        assert_eq!(
            narrow,
            "stop_id: GVB:05095\nname: Centraal Station\ncount: 3\n\nstop_id: GVB:05094\ncount: 12\n"
        );
        assert!(sheet.table(Some(80)).is_some());
    }

    #[test]
    fn reader_of_csv_who_went_away_is_no_failure() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut sheet = Sheet::new(["stop"]);
        // More than the writer holds back.
        for _ in 0..10_000 {
            sheet.push(vec![json!("GVB:05095")]);
        }
        for format in [Format::Csv, Format::Json, Format::Table] {
            let failed = sheet.print(format, &mut Gone).expect_err("nobody reads");
            assert!(failed.is_closed_pipe(), "{format:?}: {failed}");
        }
    }

    #[test]
    fn control_characters_reach_no_terminal_and_programs_get_all_of_a_text() {
        let mut sheet = Sheet::new(["name"]);
        sheet.push(vec![json!("Dam\u{1b}[2J\nSpui")]);
        let printed = |format| {
            let mut out = Vec::new();
            sheet.print(format, &mut out).expect("memory");
            String::from_utf8(out).expect("text")
        };
        let table = printed(Format::Table);
        assert!(table.contains("Dam [2J Spui"), "{table}");
        let csv = printed(Format::Csv);
        assert_eq!(csv, "name\n\"Dam\u{1b}[2J\nSpui\"\n");
        assert!(printed(Format::Json).contains("\\u001b[2J\\nSpui"));
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
