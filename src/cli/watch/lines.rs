//! A watch printed line by line, for programs and files: each message as it comes.
//!
//! In CSV a row has the columns of `mistap stats`, between those that tell a message from others and
//! those that tell of the whole window. Its period is the window, to the instant, its end not included.
//! In JSON rates have the names of these columns.

use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::super::output::{Format, csv_line, place};
use super::super::rates::{RATE_COLUMNS, rate_cells, to_feed};
use super::super::say_aside;
use super::super::tidy::{self, figure_cells, figure_columns};
use super::super::when;
use super::cited::Cited;
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::watch_rates_response::Update;
use crate::domain::Dimension;

/// Of a message, before the columns of its rows.
const MESSAGE: [&str; 2] = ["as_of", "update"];
/// Of the whole window, after them.
const WINDOW: [&str; 6] = [
    "total",
    "left_out",
    "untimed",
    "complete_from",
    "rated_from",
    "rated_until",
];
const MINUTE: Duration = Duration::from_secs(60);

/// What is watched.
#[derive(Clone, Debug)]
pub struct Watched {
    /// `self-reported` or `observed`.
    pub basis: &'static str,
    /// Broken down by what.
    pub by: Vec<Dimension>,
    /// The headings of the columns of keys.
    pub columns: Vec<String>,
    /// How far back the window reaches.
    pub minutes: u32,
    /// Whether rates are.
    pub has_rates: bool,
}

/// Prints messages.
pub struct Lines {
    watched: Watched,
    format: Format,
    cited: Cited,
    /// The newest citation that stands beside the columns.
    told: Option<String>,
}

impl Lines {
    /// Prints the header, where the format has one.
    pub fn begin(watched: Watched, format: Format) -> Result<Self, Failure> {
        let lines = Self {
            watched,
            format,
            cited: Cited::default(),
            told: None,
        };
        if format == Format::Csv {
            writeln!(io::stdout(), "{}", lines.heading().join(","))?;
        }
        Ok(lines)
    }

    /// Prints a message: an object, or a line for each row and one with empty keys where there
    /// are none.
    pub fn print(&mut self, message: &pb::WatchRatesResponse) -> Result<(), Failure> {
        let Some((kind, figures)) = told(message) else {
            return Ok(());
        };
        self.cited.heard(message);
        let mut out = io::stdout().lock();
        match self.format {
            Format::Json => writeln!(out, "{}", self.object(message, kind, figures))?,
            Format::Csv => {
                for row in self.tidy_rows(message, kind, figures) {
                    writeln!(out, "{}", csv_line(row))?;
                }
            }
            Format::Table => {
                for row in self.rows(message, kind, figures) {
                    writeln!(out, "{}", row.join("  "))?;
                }
            }
        }
        out.flush()?;
        drop(out);
        if self.told.is_none() {
            self.cite();
        }
        Ok(())
    }

    /// Columns have no room for a citation: beside them it is told how the first figures are
    /// cited, and in the end how the last are.
    pub fn end(mut self) {
        self.cite();
    }

    fn cite(&mut self) {
        let Some(line) = self.cited.line() else {
            return;
        };
        if self.format != Format::Json && self.told.as_ref() != Some(&line) {
            say_aside(&line);
            self.told = Some(line);
        }
    }

    fn heading(&self) -> Vec<String> {
        let before = MESSAGE.into_iter().chain(tidy::PERIOD);
        let after = figure_columns().chain(WINDOW);
        let keys = self.watched.columns.iter().cloned();
        let before = before.map(str::to_owned).chain(keys);
        before.chain(after.map(str::to_owned)).collect()
    }

    /// A cell for each heading.
    fn tidy_rows(
        &self,
        message: &pb::WatchRatesResponse,
        kind: &str,
        figures: &[pb::Figure],
    ) -> Vec<Vec<String>> {
        let begun = as_of(message);
        // The minute that runs counts.
        let end = begun.checked_add(MINUTE).unwrap_or(begun);
        let back = MINUTE * self.watched.minutes;
        let start = end.checked_sub(back).unwrap_or(end);
        let (basis, [start, end]) = (self.watched.basis, [start, end].map(|it| it.to_string()));
        let before = [
            begun.to_string(),
            kind.to_owned(),
            basis.to_owned(),
            start,
            end,
        ];
        let counts = [message.total, message.left_out, message.untimed].map(|count| json!(count));
        let instants = [
            &message.complete_from,
            &message.rated_from,
            &message.rated_until,
        ];
        let after = counts.into_iter().chain(instants.map(instant));
        let after: Vec<String> = after.map(|cell| text(&cell)).collect();
        let row = |cells: Vec<Value>| {
            let cells = cells.iter().map(text);
            let cells = before.iter().cloned().chain(cells);
            cells.chain(after.iter().cloned()).collect()
        };
        if figures.is_empty() {
            let cells = self.watched.columns.len() + figure_columns().count();
            return vec![row(vec![Value::Null; cells])];
        }
        let cells = |figure: &pb::Figure| {
            let keys = figure.keys.iter().map(|key| json!(key.value));
            keys.chain(figure_cells(&self.watched.by, figure, &message.feeds))
                .collect()
        };
        figures.iter().map(|figure| row(cells(figure))).collect()
    }

    /// What people look at.
    fn rows(
        &self,
        message: &pb::WatchRatesResponse,
        kind: &str,
        figures: &[pb::Figure],
    ) -> Vec<Vec<String>> {
        let head = [as_of(message).to_string(), kind.to_owned()];
        let row = |keys: Vec<String>, count: String, rate: Vec<String>| {
            let cells = head.iter().cloned().chain(keys);
            let cells = cells.chain([count, message.total.to_string()]);
            cells.chain(rate).collect()
        };
        let no_rate = || match self.watched.has_rates {
            true => vec![String::new(); RATE_COLUMNS.len()],
            false => Vec::new(),
        };
        if figures.is_empty() {
            let keys = vec![String::new(); self.watched.columns.len()];
            return vec![row(keys, String::new(), no_rate())];
        }
        let of = |figure: &pb::Figure| {
            let keys = figure.keys.iter().map(|key| key.value.clone()).collect();
            let rate = figure.rate.as_ref().map(rate_cells);
            let rate = rate.map_or_else(no_rate, |cells| cells.iter().map(text).collect());
            row(keys, figure.count.to_string(), rate)
        };
        figures.iter().map(of).collect()
    }

    fn object(
        &self,
        message: &pb::WatchRatesResponse,
        kind: &str,
        figures: &[pb::Figure],
    ) -> Value {
        let row = |figure: &pb::Figure| self.figure(figure, &message.feeds);
        let rows: Vec<Value> = figures.iter().map(row).collect();
        let mut object = json!({
            "update": kind,
            "as_of": as_of(message).to_string(),
            "position": place(message.position),
            "total": message.total,
            "left_out": message.left_out,
            "untimed": message.untimed,
            "complete_from": instant(&message.complete_from),
            "figures": rows,
        });
        if let Some(line) = self.cited.line() {
            object["citation"] = json!(line);
        }
        if let Some(rate) = &message.total_rate {
            object["total_rate"] = Value::Object(named(rate, &message.feeds).collect());
            object["rated_from"] = instant(&message.rated_from);
            object["rated_until"] = instant(&message.rated_until);
            object["feeds"] = message.feeds.iter().map(to_feed).collect();
        }
        object
    }

    fn figure(&self, figure: &pb::Figure, feeds: &[pb::FeedUsed]) -> Value {
        let keys = self.watched.columns.iter().cloned();
        let mut row: Map<_, _> = keys
            .zip(figure.keys.iter().map(|key| json!(key.value)))
            .collect();
        row.insert("count".to_owned(), json!(figure.count));
        row.extend(figure.rate.iter().flat_map(|rate| named(rate, feeds)));
        Value::Object(row)
    }
}

/// What a message is, and its rows.
fn told(message: &pb::WatchRatesResponse) -> Option<(&'static str, &[pb::Figure])> {
    Some(match message.update.as_ref()? {
        Update::Snapshot(all) => ("snapshot", all.figures.as_slice()),
        Update::Changes(some) => ("changes", some.figures.as_slice()),
        Update::Resumed(_) => ("resumed", [].as_slice()),
        Update::Heartbeat(_) => ("heartbeat", [].as_slice()),
    })
}

fn as_of(message: &pb::WatchRatesResponse) -> Timestamp {
    when::from_wire(message.as_of.as_ref()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn instant(time: &Option<prost_types::Timestamp>) -> Value {
    json!(when::from_wire(time.as_ref()).map(|time| time.to_string()))
}

/// What a rate says, by the names of the columns of `mistap stats`.
fn named(rate: &pb::Rate, feeds: &[pb::FeedUsed]) -> impl Iterator<Item = (String, Value)> {
    let names = tidy::RATE.into_iter().chain(tidy::REPORTING);
    let cells = tidy::rate_cells(Some(rate), feeds).into_iter();
    let cells = cells.chain(tidy::reporting_cells(Some(rate)));
    names.map(str::to_owned).zip(cells)
}

fn text(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(by: &[Dimension], format: Format) -> Lines {
        Lines {
            watched: Watched {
                basis: "self-reported",
                by: by.to_vec(),
                columns: by.iter().map(|it| it.key().to_owned()).collect(),
                minutes: 60,
                has_rates: true,
            },
            format,
            cited: Cited::default(),
            told: None,
        }
    }

    fn message() -> pb::WatchRatesResponse {
        let feed = pb::TapFeed {
            feed_id: "gvb.lines".to_owned(),
            operator_code: "GVB".to_owned(),
            grain: pb::TapGrain::Line.into(),
            interval: pb::TapInterval::Hour.into(),
            tap_kinds: vec![pb::TapKind::CheckIn.into()],
            ..pb::TapFeed::default()
        };
        pb::WatchRatesResponse {
            as_of: Some(prost_types::Timestamp {
                seconds: 7_200,
                nanos: 0,
            }),
            total: 10,
            left_out: 3,
            untimed: 2,
            total_rate: Some(pb::Rate::default()),
            rated_from: Some(prost_types::Timestamp {
                seconds: 3_600,
                nanos: 0,
            }),
            feeds: vec![pb::FeedUsed {
                feed: Some(feed),
                days: 1,
            }],
            ..pb::WatchRatesResponse::default()
        }
    }

    fn figure(line: &str) -> pb::Figure {
        pb::Figure {
            keys: vec![pb::Key {
                value: line.to_owned(),
                ..pb::Key::default()
            }],
            count: 7,
            rate: Some(pb::Rate {
                matched: 7,
                taps: 1_000,
                days: 1,
                days_with_taps: 1,
                feeds: vec![0],
                ..pb::Rate::default()
            }),
            ..pb::Figure::default()
        }
    }

    #[test]
    fn object_tells_where_the_taps_came_from_and_what_stands_in_no_row() {
        let lines = lines(&[], Format::Json);
        let object = lines.object(&message(), "heartbeat", &[]);
        assert_eq!(object["left_out"], 3);
        let feeds = json!([{"feed": "gvb.lines", "operator": "GVB", "days": 1}]);
        assert_eq!(object["feeds"], feeds);
        let counts = pb::WatchRatesResponse::default();
        let object = lines.object(&counts, "heartbeat", &[]);
        assert!(object["feeds"].is_null(), "without rates there are none");
    }

    #[test]
    fn object_tells_of_rates_by_the_names_that_a_question_has() {
        let lines = lines(&[Dimension::Line], Format::Json);
        let object = lines.object(&message(), "changes", &[figure("GVB:10")]);
        let (row, total) = (&object["figures"][0], &object["total_rate"]);
        for rate in [row, total] {
            for name in tidy::RATE.into_iter().chain(tidy::REPORTING) {
                assert!(rate.get(name).is_some(), "{name}");
            }
            for name in ["method", "covered_days", "matched_reports"] {
                assert!(rate.get(name).is_none(), "{name}");
            }
        }
        for (name, expected) in [
            ("line", json!("GVB:10")),
            ("count", json!(7)),
            ("matched", json!(7)),
            ("taps", json!(1_000)),
            ("coverage", json!(1.0)),
            (
                "denominator_source",
                json!("feed gvb.lines: check-in by line and hour"),
            ),
            ("edition", Value::Null),
        ] {
            assert_eq!(row[name], expected, "{name}");
        }
        assert_eq!(total["taps"], Value::Null, "nobody told any");
    }

    #[test]
    fn row_of_csv_has_the_columns_of_a_question_and_tells_of_its_window() {
        let lines = lines(&[Dimension::Line], Format::Csv);
        let heading = lines.heading();
        let tidy = tidy::Tidy {
            basis: "self-reported",
            days: when::Days {
                first: "2026-10-20".parse().expect("a date"),
                last: "2026-10-20".parse().expect("a date"),
            },
            by: &[Dimension::Line],
        };
        let columns = tidy.columns(vec!["line".to_owned()]);
        assert_eq!(heading[2..heading.len() - WINDOW.len()], columns);
        let figures = [figure("GVB:10"), figure("GVB:13")];
        let rows = lines.tidy_rows(&message(), "changes", &figures);
        assert_eq!(rows.len(), 2);
        let cell = |row: &Vec<String>, name: &str| {
            let place = heading.iter().position(|column| column == name);
            row[place.expect("a column")].clone()
        };
        let check = |row: &Vec<String>, name, expected: &str| {
            assert_eq!(row.len(), heading.len());
            assert_eq!(cell(row, name), expected, "{name}");
        };
        for (name, expected) in [
            ("as_of", "1970-01-01T02:00:00Z"),
            ("period_start", "1970-01-01T01:01:00Z"),
            ("period_end", "1970-01-01T02:01:00Z"),
            ("basis", "self-reported"),
            ("line", "GVB:13"),
            ("count", "7"),
            ("taps", "1000"),
            (
                "denominator_source",
                "feed gvb.lines: check-in by line and hour",
            ),
            ("total", "10"),
            ("left_out", "3"),
            ("untimed", "2"),
            ("complete_from", ""),
            ("rated_from", "1970-01-01T01:00:00Z"),
        ] {
            check(&rows[1], name, expected);
        }
        let rows = lines.tidy_rows(&message(), "heartbeat", &[]);
        assert_eq!(rows.len(), 1);
        for (name, expected) in [("update", "heartbeat"), ("line", ""), ("count", "")] {
            check(&rows[0], name, expected);
        }
        check(&rows[0], "left_out", "3");
    }
}
