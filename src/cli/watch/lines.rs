//! A watch printed line by line, for programs and files: each message as it comes.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::super::output::{Format, csv_line, place};
use super::super::rates::{RATE_COLUMNS, rate_cells, to_feed};
use super::super::when;
use super::cited::Cited;
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::watch_rates_response::Update;

/// Prints messages.
pub struct Lines {
    columns: Vec<String>,
    has_rates: bool,
    format: Format,
    cited: Cited,
    /// The newest citation that stands beside the columns.
    told: Option<String>,
}

impl Lines {
    /// Prints the header, where the format has one.
    pub fn begin(columns: Vec<String>, has_rates: bool, format: Format) -> Result<Self, Failure> {
        if format == Format::Csv {
            let keys = columns.iter().map(String::as_str);
            let rates = RATE_COLUMNS.into_iter().filter(|_| has_rates);
            let head = ["as_of", "update"].into_iter().chain(keys);
            let head: Vec<_> = head.chain(["count", "total"]).chain(rates).collect();
            writeln!(io::stdout(), "{}", head.join(","))?;
        }
        Ok(Self {
            columns,
            has_rates,
            format,
            cited: Cited::default(),
            told: None,
        })
    }

    /// Prints a message: an object, or a line for each row and one with empty keys where there
    /// are none.
    pub fn print(&mut self, message: &pb::WatchRatesResponse) -> Result<(), Failure> {
        let (kind, figures) = match &message.update {
            Some(Update::Snapshot(all)) => ("snapshot", all.figures.as_slice()),
            Some(Update::Changes(some)) => ("changes", some.figures.as_slice()),
            Some(Update::Resumed(_)) => ("resumed", [].as_slice()),
            Some(Update::Heartbeat(_)) => ("heartbeat", [].as_slice()),
            None => return Ok(()),
        };
        self.cited.heard(message);
        let as_of = when::from_wire(message.as_of.as_ref()).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut out = io::stdout().lock();
        if self.format == Format::Json {
            writeln!(out, "{}", self.object(message, kind, as_of, figures))?;
        } else {
            let rows = figures.iter().map(|figure| self.row(figure));
            let mut rows: Vec<_> = rows.collect();
            if rows.is_empty() {
                rows.push(self.empty_row());
            }
            for (keys, count, rate) in rows {
                let head = [as_of.to_string(), kind.to_owned()];
                let cells = head.into_iter().chain(keys);
                let cells = cells.chain([count, message.total.to_string()]).chain(rate);
                let line = match self.format {
                    Format::Csv => csv_line(cells),
                    Format::Table | Format::Json => cells.collect::<Vec<_>>().join("  "),
                };
                writeln!(out, "{line}")?;
            }
        }
        out.flush()?;
        drop(out);
        match self.told {
            None => self.cite(),
            Some(_) => Ok(()),
        }
    }

    /// Columns have no room for a citation: beside them it is told how the first figures are
    /// cited, and in the end how the last are.
    pub fn end(mut self) -> Result<(), Failure> {
        self.cite()
    }

    fn cite(&mut self) -> Result<(), Failure> {
        let Some(line) = self.cited.line() else {
            return Ok(());
        };
        if self.format != Format::Json && self.told.as_ref() != Some(&line) {
            writeln!(io::stderr(), "{line}")?;
            self.told = Some(line);
        }
        Ok(())
    }

    fn row(&self, figure: &pb::Figure) -> (Vec<String>, String, Vec<String>) {
        let keys = figure.keys.iter().map(|key| key.value.clone());
        let rate = figure.rate.as_ref().map(rate_cells);
        let rate = match rate {
            Some(cells) => cells.iter().map(text).collect(),
            None => self.no_rate(),
        };
        (keys.collect(), figure.count.to_string(), rate)
    }

    fn empty_row(&self) -> (Vec<String>, String, Vec<String>) {
        let keys = vec![String::new(); self.columns.len()];
        (keys, String::new(), self.no_rate())
    }

    fn no_rate(&self) -> Vec<String> {
        match self.has_rates {
            true => vec![String::new(); RATE_COLUMNS.len()],
            false => Vec::new(),
        }
    }

    fn object(
        &self,
        message: &pb::WatchRatesResponse,
        kind: &str,
        as_of: Timestamp,
        figures: &[pb::Figure],
    ) -> Value {
        let instant = |time: &Option<prost_types::Timestamp>| {
            when::from_wire(time.as_ref()).map(|time| time.to_string())
        };
        let rows: Vec<Value> = figures.iter().map(|figure| self.figure(figure)).collect();
        let mut object = json!({
            "update": kind,
            "as_of": as_of.to_string(),
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
            object["total_rate"] = Value::Object(named(rate).collect());
            object["rated_from"] = json!(instant(&message.rated_from));
            object["rated_until"] = json!(instant(&message.rated_until));
            object["feeds"] = message.feeds.iter().map(to_feed).collect();
        }
        object
    }

    fn figure(&self, figure: &pb::Figure) -> Value {
        let keys = self.columns.iter().cloned();
        let mut row: Map<_, _> = keys
            .zip(figure.keys.iter().map(|key| json!(key.value)))
            .collect();
        row.insert("count".to_owned(), json!(figure.count));
        row.extend(figure.rate.iter().flat_map(named));
        Value::Object(row)
    }
}

fn named(rate: &pb::Rate) -> impl Iterator<Item = (String, Value)> {
    let names = RATE_COLUMNS.into_iter().map(str::to_owned);
    names.zip(rate_cells(rate))
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

    #[test]
    fn object_tells_where_the_taps_came_from_and_what_stands_in_no_row() {
        let lines = Lines {
            columns: Vec::new(),
            has_rates: true,
            format: Format::Json,
            cited: Cited::default(),
            told: None,
        };
        let feed = pb::TapFeed {
            feed_id: "gvb.lines".to_owned(),
            operator_code: "GVB".to_owned(),
            ..pb::TapFeed::default()
        };
        let message = pb::WatchRatesResponse {
            left_out: 3,
            total_rate: Some(pb::Rate::default()),
            feeds: vec![pb::FeedUsed {
                feed: Some(feed),
                days: 1,
            }],
            ..pb::WatchRatesResponse::default()
        };
        let object = lines.object(&message, "heartbeat", Timestamp::UNIX_EPOCH, &[]);
        assert_eq!(object["left_out"], 3);
        let feeds = json!([{"feed": "gvb.lines", "operator": "GVB", "days": 1}]);
        assert_eq!(object["feeds"], feeds);
        let counts = pb::WatchRatesResponse::default();
        let object = lines.object(&counts, "heartbeat", Timestamp::UNIX_EPOCH, &[]);
        assert!(object["feeds"].is_null(), "without rates there are none");
    }
}
