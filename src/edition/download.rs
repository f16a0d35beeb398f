//! Editions as downloads: tidy tables as CSV and JSON, and a whole edition as a Frictionless
//! data package. The same edition gives the same bytes, whenever it is asked for.
//!
//! Empty is never zero, and no text can be taken for a formula by a spreadsheet.

use std::collections::BTreeSet;
use std::io::{self, Cursor, Write as _};

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::columns::{self, Column, Kind};
use super::format::{Edition, Hash, Row, citation, path};
use super::library::Held;
use super::tables::LINE;
use crate::domain::limits::OPERATOR_CODE_BYTES_MAX;

/// Version of the form of tables and packages: part of their entity tags.
pub const DOWNLOAD_FORMAT: u32 = 4;
/// In an address, the whole table: the rows of every operator, and of all together.
pub const ALL_OPERATORS: &str = "all";
/// The last column of CSV files, which have nowhere else to say it.
const CITATION: Column = Column {
    name: "citation",
    kind: Kind::String,
    about: "One line that names the source of the row: its edition with its method, licence and \
            SHA-256, and where its canonical bytes are.",
};
/// What can be asked for, each a table of the package.
pub const DIMENSIONS: [&str; 12] = [
    "total",
    "operator",
    "line",
    "cause",
    "card-kind",
    "signal",
    "tap-kind",
    "day",
    "part-of-day",
    "staff-answered",
    "staff-act",
    "outcome",
];
/// Dimensions whose rows stand in the table of another.
const JOINED: [(&str, &str); 2] = [("station", LINE), ("outcome-answered", "outcome")];
const PUBLIC_DOMAIN: &str = "https://creativecommons.org/publicdomain/zero/1.0/";
const FEW: &str = "some, maybe of fewer than ten reporters";
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Which rows to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Lower-case operator code; `None` for all rows.
    pub operator: Option<String>,
    /// One of `DIMENSIONS`.
    pub dimension: &'static str,
}

/// The operators that an edition tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operators(BTreeSet<String>);

impl Selection {
    /// From two parts of an address; `None` if there is no such dimension, or if the operator
    /// cannot be one.
    pub fn parse(operator: &str, dimension: &str) -> Option<Self> {
        let is_code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if OPERATOR_CODE_BYTES_MAX < operator.len() || !operator.bytes().all(is_code) {
            return None;
        }
        let dimension = DIMENSIONS.into_iter().find(|known| *known == dimension)?;
        Some(Self {
            operator: (operator != ALL_OPERATORS).then(|| operator.to_owned()),
            dimension,
        })
    }

    /// Whether an edition says anything of the operator asked for.
    pub fn is_known(&self, operators: &Operators) -> bool {
        match &self.operator {
            Some(code) => operators.0.contains(code),
            None => !operators.0.is_empty(),
        }
    }

    /// Whether a row stands in the table asked for.
    pub(super) fn has(&self, row: &Row) -> bool {
        let dimension = row.dimension.as_str();
        let mut joined = JOINED.into_iter();
        let table = joined.find(|(own, _)| *own == dimension);
        let table = table.map_or(dimension, |(_, table)| table);
        table == self.dimension && self.is_of_operator(row)
    }

    fn is_of_operator(&self, row: &Row) -> bool {
        let operator = self.operator.as_deref();
        operator.is_none_or(|code| row.operator_code.to_lowercase() == code)
    }
}

impl Operators {
    /// Of an edition.
    pub fn of(edition: &Edition) -> Self {
        let rows = edition.rows.iter();
        Self(rows.map(|row| row.operator_code.to_lowercase()).collect())
    }
}

/// The first line of a CSV file.
pub fn csv_header() -> Vec<u8> {
    let names: Vec<_> = csv_columns().map(|column| column.name).collect();
    format!("{}\n", names.join(",")).into_bytes()
}

/// The lines of one edition in a CSV file.
pub fn csv_rows(held: &Held, selection: &Selection) -> Vec<u8> {
    let edition = &held.edition;
    let citation = json!(cited(held));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in edition.rows.iter().filter(|row| selection.has(row)) {
        let mut values = columns::values(row, &edition.month, edition.method);
        values.push(citation.clone());
        writer
            .write_record(values.iter().map(cell))
            .expect("a row has a value for each column, and memory takes all");
    }
    writer.into_inner().expect("memory takes all")
}

/// The columns of CSV files: those of rows, and the line to cite.
pub fn csv_columns() -> impl Iterator<Item = &'static Column> {
    columns::all().iter().chain([&CITATION])
}

/// The source of an edition's figures, where its address is not told besides.
fn cited(held: &Held) -> String {
    let month = &held.edition.month;
    citation(month, held.edition.method, held.closed.hash, &path(month))
}

/// The rows of one edition as JSON objects, with a comma before each but the first of all.
pub fn json_rows(edition: &Edition, selection: &Selection, is_first: bool) -> Vec<u8> {
    let mut text = String::new();
    for row in edition.rows.iter().filter(|row| selection.has(row)) {
        if !(is_first && text.is_empty()) {
            text.push(',');
        }
        let values = columns::values(row, &edition.month, edition.method);
        let pairs = columns::all().iter().zip(values);
        let pairs: Vec<_> = pairs
            .map(|(column, value)| format!("{}:{value}", json!(column.name)))
            .collect();
        text.push_str(&format!("\n{{{}}}", pairs.join(",")));
    }
    text.into_bytes()
}

/// What stands before the rows in a JSON file.
pub fn json_head(editions: &[String], citation: &str) -> Vec<u8> {
    let (editions, citation) = (json!(editions), json!(citation));
    format!("{{\"editions\":{editions},\"citation\":{citation},\"rows\":[").into_bytes()
}

/// What stands after them.
pub fn json_tail() -> Vec<u8> {
    b"\n]}\n".to_vec()
}

/// A text that changes whenever one of these editions does, or the form of what is made of them.
pub fn entity_tag(hashes: &[Hash]) -> String {
    let all: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
    format!("\"{}-{DOWNLOAD_FORMAT}\"", Hash::of(&all))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(FORMULA_STARTS) => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

// === The package ===

/// A whole edition as a Frictionless data package, zipped.
pub fn package(held: &Held) -> io::Result<Vec<u8>> {
    let mut files = vec![("edition.json".to_owned(), held.bytes.clone())];
    for dimension in DIMENSIONS {
        let selection = Selection {
            operator: None,
            dimension,
        };
        let mut bytes = csv_header();
        bytes.extend(csv_rows(held, &selection));
        files.push((format!("tables/{dimension}.csv"), bytes));
    }
    files.push(("DICTIONARY.md".to_owned(), dictionary().into_bytes()));
    files.push(("README.md".to_owned(), readme(held).into_bytes()));
    let description = description(held, &files);
    files.insert(0, ("datapackage.json".to_owned(), description));
    files.push(("SHA256SUMS".to_owned(), sums(&files)));
    zipped(&files)
}

fn zipped(files: &[(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
    // Without the time of day, which would make other bytes each time.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default());
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(name, options)?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

fn description(held: &Held, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let month = &held.edition.month;
    let tables = files.iter().filter(|(name, _)| name.ends_with(".csv"));
    let resources: Vec<_> = tables
        .map(|(name, bytes)| {
            json!({
                "name": name.trim_start_matches("tables/").trim_end_matches(".csv"),
                "path": name,
                "profile": "tabular-data-resource",
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "bytes": bytes.len(),
                "hash": format!("sha256:{}", Hash::of(bytes)),
                "schema": {
                    "fields": csv_columns().map(field).collect::<Vec<_>>(),
                    "missingValues": [""],
                },
            })
        })
        .collect();
    let package = json!({
        "profile": "tabular-data-package",
        "name": format!("mistap-{month}"),
        "id": held.closed.hash.to_string(),
        "title": format!("Failed check-ins, {month}"),
        "description": cited(held),
        "version": format!("{}.0.0", held.edition.method),
        "created": held.edition.closed_at,
        "licenses": [{ "name": held.edition.licence, "path": PUBLIC_DOMAIN }],
        "resources": resources,
    });
    format!("{package:#}\n").into_bytes()
}

fn field(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": kind(column),
        "description": column.about,
    })
}

/// What a column is called in the schema of a table.
fn kind(column: &Column) -> &'static str {
    match column.kind {
        Kind::String if ["period_start", "period_end"].contains(&column.name) => "date",
        Kind::String if column.name == "edition" => "yearmonth",
        Kind::String => "string",
        Kind::Uint32 | Kind::Uint64 => "integer",
        Kind::Double => "number",
    }
}

fn dictionary() -> String {
    let mut text = String::from(
        "# Columns\n\nThe same in every table. An empty cell means that there is nothing, \
         never zero.\n\n| column | type | meaning |\n|---|---|---|\n",
    );
    for column in csv_columns() {
        let (name, kind, about) = (column.name, kind(column), column.about);
        text.push_str(&format!("| `{name}` | {kind} | {about} |\n"));
    }
    text
}

fn readme(held: &Held) -> String {
    let edition = &held.edition;
    let told = |count: Option<u64>| count.map_or(FEW.to_owned(), |count| count.to_string());
    format!(
        "# Failed check-ins, {month}\n\n{citation}\n\n\
         `edition.json` holds the canonical bytes; its SHA-256 is {hash}. The tables in \
         `tables/` are made from it, and `DICTIONARY.md` explains their columns.\n\n\
         Counts are of reports that travellers, staff and devices made: they say how often a \
         failure was told, not how often one happened. A class with fewer than ten reporters, or \
         of what devices observed ten refused taps, is in the rest of its table.\n\n\
         {since}{outages}Left out as not countable: {left_out}. Recorded too late for earlier editions, since \
         the one before: {too_late}.\n\n\
         {licence}: {PUBLIC_DOMAIN}\n",
        month = edition.month,
        citation = cited(held),
        since = edition
            .counted_since
            .as_deref()
            .map_or_else(String::new, |since| format!(
                "**The record began at {since}: this month is told in part only.**\n\n"
            )),
        outages = outages(edition),
        hash = held.closed.hash,
        left_out = told(edition.left_out),
        too_late = told(edition.too_late),
        licence = edition.licence,
    )
}

/// Days of declared outages as a paragraph; nothing if there are none.
fn outages(edition: &Edition) -> String {
    if edition.outages.is_empty() {
        return String::new();
    }
    let whose = |code: &str| match code {
        "" => "the whole network".to_owned(),
        code => code.to_owned(),
    };
    let days = edition.outages.iter();
    let days: Vec<String> = days
        .map(|one| format!("{} ({})", one.day, whose(&one.operator_code)))
        .collect();
    let days = days.join(", ");
    format!("Days of declared outages, counted in every figure: {days}.\n\n")
}

fn sums(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let lines = files
        .iter()
        .map(|(name, bytes)| format!("{}  {name}\n", Hash::of(bytes)));
    lines.collect::<String>().into_bytes()
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::domain::{LocalMonth, Position};
    use crate::edition::format::{FORMAT, LICENCE, METHOD};
    use crate::edition::library::Closed;

    fn row(operator: &str, dimension: &str, key: &str, count: u64) -> Row {
        Row {
            basis: "self-reported".into(),
            period_start: "2026-10-01".into(),
            period_end: "2026-10-31".into(),
            operator_code: operator.into(),
            dimension: dimension.into(),
            key: key.into(),
            flag: "exact".into(),
            count,
            ..Row::default()
        }
    }

    pub fn held() -> Held {
        let edition = Edition {
            format: FORMAT,
            method: METHOD,
            month: "2026-10".into(),
            closed_at: "2026-11-21T23:00:00Z".into(),
            licence: LICENCE.into(),
            through: 99,
            networks: vec![1],
            counted_since: None,
            left_out: Some(0),
            too_late: None,
            outages: Vec::new(),
            rows: vec![
                row("", "total", "", 90),
                row("GVB", "operator", "", 50),
                row("GVB", "total", "", 50),
                row("GVB", "line", "GVB:10", 20),
                row("GVB", "station", "=cmd,\"x\"", 30),
                row("NS", "card-kind", "student", 40),
            ],
        };
        let bytes = edition.to_bytes();
        Held {
            closed: Closed {
                month: LocalMonth(2026 * 12 + 9),
                hash: Hash::of(&bytes),
                method: edition.method,
                position: Position(100),
            },
            edition,
            bytes,
        }
    }

    fn csv(operator: &str, dimension: &str) -> String {
        let selection = Selection::parse(operator, dimension).expect("known");
        String::from_utf8(csv_rows(&held(), &selection)).expect("text")
    }

    #[test]
    fn table_has_a_line_for_each_row_and_no_formula_and_no_zero_for_nothing() {
        let header = String::from_utf8(csv_header()).expect("text");
        assert!(
            header.starts_with("basis,period_start,period_end,operator_code,"),
            "{header}"
        );
        assert!(header.ends_with(",citation\n"), "{header}");
        let cited = format!("2026-10,{METHOD},\"{}\"\n", cited(&held()));
        assert_eq!(
            csv("gvb", "line"),
            format!(
                "self-reported,2026-10-01,2026-10-31,GVB,line,,GVB:10,,exact,20,,,,,,,,,,{cited}\
                 self-reported,2026-10-01,2026-10-31,GVB,station,,\"'=cmd,\"\"x\"\"\",,exact,30,,,,,,,,,,{cited}"
            )
        );
        assert_eq!(csv("gvb", "total").lines().count(), 1);
        assert_eq!(csv("ns", "line"), "");
        assert_eq!(Selection::parse("gvb", "passwd"), None);
        assert_eq!(Selection::parse("../etc", "line"), None);
        let unknown = Selection::parse("ret", "line").expect("known");
        let operators = Operators::of(&held().edition);
        assert!(!unknown.is_known(&operators));
        let known = Selection::parse("gvb", "line").expect("known");
        assert!(known.is_known(&operators));
    }

    #[test]
    fn whole_table_has_the_rows_of_every_operator() {
        let operators = |dimension| {
            let csv = csv("all", dimension);
            let operator = |line: &str| line.split(',').nth(3).map(str::to_owned);
            csv.lines().filter_map(operator).collect::<Vec<_>>()
        };
        assert_eq!(operators("total"), ["", "GVB"]);
        assert_eq!(operators("operator"), ["GVB"]);
        assert_eq!(operators("line"), ["GVB", "GVB"]);
        assert_eq!(operators("card-kind"), ["NS"]);
    }

    #[test]
    fn json_is_whole_over_several_editions() {
        let edition = held().edition;
        let selection = Selection::parse("gvb", "line").expect("known");
        let mut bytes = json_head(&["2026-10".into(), "2026-11".into()], "cite");
        bytes.extend(json_rows(&edition, &selection, true));
        bytes.extend(json_rows(&edition, &selection, false));
        bytes.extend(json_tail());
        let value: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(value["rows"].as_array().map(Vec::len), Some(4));
        assert_eq!(value["rows"][0]["count"], json!(20));
        assert_eq!(value["rows"][1]["key"], json!("=cmd,\"x\""));
        assert_eq!(value["rows"][0]["taps"], Value::Null);
    }

    #[test]
    fn every_row_stands_in_exactly_one_table_of_the_package() {
        let held = held();
        let lines = |dimension| {
            let operator = None;
            let selection = Selection {
                operator,
                dimension,
            };
            csv_rows(&held, &selection)
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
        };
        assert_eq!(
            DIMENSIONS.into_iter().map(lines).sum::<usize>(),
            held.edition.rows.len()
        );
    }

    #[test]
    fn package_is_the_same_each_time_and_its_checksums_are_right() {
        let held = held();
        let bytes = package(&held).expect("memory");
        assert_eq!(package(&held).expect("memory"), bytes);
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).expect("an archive");
        let mut read = |name: &str| {
            let mut bytes = Vec::new();
            let mut file = archive.by_name(name).expect("in the package");
            file.read_to_end(&mut bytes).expect("whole");
            bytes
        };
        assert_eq!(read("edition.json"), held.bytes);
        let sums = String::from_utf8(read("SHA256SUMS")).expect("text");
        assert_eq!(sums.lines().count(), DIMENSIONS.len() + 4);
        for line in sums.lines() {
            let (sum, name) = line.split_once("  ").expect("a sum and a name");
            assert_eq!(Hash::of(&read(name)).to_string(), sum, "{name}");
        }
        let package: Value = serde_json::from_slice(&read("datapackage.json")).expect("JSON");
        let resources = package["resources"].as_array().expect("a list");
        assert_eq!(resources.len(), DIMENSIONS.len());
        for resource in resources {
            let path = resource["path"].as_str().expect("a path");
            let hash = format!("sha256:{}", Hash::of(&read(path)));
            assert_eq!(resource["hash"], json!(hash));
            let fields = resource["schema"]["fields"].as_array().map(Vec::len);
            assert_eq!(fields, Some(csv_columns().count()));
        }
        assert_eq!(package["licenses"][0]["name"], json!("CC0-1.0"));
        let dictionary = String::from_utf8(read("DICTIONARY.md")).expect("text");
        assert!(dictionary.contains("| `count` | integer | Reports: of self-reports one at most"));
        assert!(dictionary.contains("| `period_end` | date | "));
        assert!(dictionary.contains("| `edition` | yearmonth | "));
        assert!(dictionary.contains("| `citation` | string | One line that names"));
    }
}
