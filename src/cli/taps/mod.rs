//! `mistap taps import`: tap counts from a table, through a server.
//!
//! The whole file is checked before anything is sent, and refused whole if a line is wrong,
//! unless `--skip-refused` says otherwise. Importing again is safe: counts replace.

mod rows;
mod send;
mod source;

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::choices::choice;
use super::client::ServerArgs;
use super::failure::{Failure, Kind};
use super::output::{Card, Format, Sheet};
use super::{progress, values};
use crate::api::pb::v1 as pb;
use crate::domain::taps::{DAY_BEGIN_MAX, Refusals, TapInterval};
use crate::domain::taxonomy::{TapKind, Taxonomy};
use rows::{Columns, Refused, Rows};
use source::Source;

/// Refused lines that are listed; further ones are only counted.
const REFUSED_LISTED_MAX: usize = 200;

/// The table, what its columns are, and what the feed is.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// A CSV file with a header, or a zip archive that holds it
    file: PathBuf,
    /// Which file of the archive, if it holds several
    #[arg(long, value_name = "NAME")]
    entry: Option<String>,
    /// What stands between columns: one character
    #[arg(long, default_value = ",", value_parser = parse_delimiter)]
    delimiter: u8,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    feed: FeedArgs,
    /// Import the other lines where some are refused
    #[arg(long)]
    skip_refused: bool,
}

/// Which columns there are, by heading or by number from 1.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Columns, by heading or number from 1")]
struct ColumnArgs {
    /// The service day
    #[arg(long, value_name = "COLUMN")]
    date: String,
    /// How days are written
    #[arg(long, value_name = "FORMAT", default_value = "%Y-%m-%d")]
    date_format: String,
    /// The local hour, 0 to 47; 24 and later are hours of the next day
    #[arg(long, value_name = "COLUMN", conflicts_with = "time")]
    hour: Option<String>,
    /// The local time at which the interval begins, as 07:15
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// The stop
    #[arg(long, value_name = "COLUMN")]
    stop: Option<String>,
    /// The line: an identifier, or what follows `OPERATOR:` in it
    #[arg(long, value_name = "COLUMN")]
    line: Option<String>,
    /// The number of taps
    #[arg(long, value_name = "COLUMN")]
    count: String,
    /// Write this in place of each blank in stops and lines, which codes cannot have
    #[arg(long, value_name = "TEXT")]
    blanks_as: Option<String>,
}

/// What the counts are.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The feed")]
struct FeedArgs {
    /// Its name: small letters, digits, dots and hyphens
    #[arg(long, value_name = "NAME")]
    feed: String,
    /// Whose taps: an operator code
    #[arg(long, value_name = "CODE", value_parser = values::operator)]
    operator: String,
    /// Which taps are counted together
    #[arg(
        long,
        value_name = "KINDS",
        value_delimiter = ',',
        default_value = "check-in",
        value_parser = choice::<TapKind>()
    )]
    tap_kind: Vec<TapKind>,
    /// Whether refused taps are among them: included, excluded or unknown
    #[arg(long, default_value = "unknown", value_parser = parse_refusals)]
    refusals: Refusals,
    /// How long the intervals are: quarter, hour or day. If left out: hour where there is a
    /// column for the hour or the time, else day
    #[arg(long, value_parser = parse_interval)]
    interval: Option<TapInterval>,
    /// Local hour at which the service day begins, 0 to 11: earlier hours of a date are of
    /// the night after it
    #[arg(
        long,
        value_name = "HOUR",
        default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..=i64::from(DAY_BEGIN_MAX))
    )]
    day_begins: u32,
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("must be one character, or \\t".to_owned()),
    }
}

fn parse_refusals(text: &str) -> Result<Refusals, String> {
    Refusals::from_key(text).ok_or_else(|| "must be included, excluded or unknown".to_owned())
}

fn parse_interval(text: &str) -> Result<TapInterval, String> {
    TapInterval::from_key(text).ok_or_else(|| "must be quarter, hour or day".to_owned())
}

impl ImportArgs {
    fn interval(&self) -> TapInterval {
        let has_hours = self.columns.hour.is_some() || self.columns.time.is_some();
        let derived = if has_hours {
            TapInterval::Hour
        } else {
            TapInterval::Day
        };
        self.feed.interval.unwrap_or(derived)
    }

    fn to_feed(&self) -> pb::TapFeed {
        let grain = match (&self.columns.line, &self.columns.stop) {
            (None, None) => pb::TapGrain::Operator,
            (Some(_), None) => pb::TapGrain::Line,
            (None, Some(_)) => pb::TapGrain::Stop,
            (Some(_), Some(_)) => pb::TapGrain::LineStop,
        };
        let kinds = self.feed.tap_kind.iter();
        pb::TapFeed {
            feed_id: self.feed.feed.clone(),
            operator_code: self.feed.operator.clone(),
            grain: grain.into(),
            interval: i32::from(self.interval().number()),
            tap_kinds: kinds.map(|kind| i32::from(kind.number())).collect(),
            refusals: i32::from(self.feed.refusals.number()),
            day_begins: self.feed.day_begins,
        }
    }

    fn to_columns(&self) -> Columns {
        Columns {
            date: self.columns.date.clone(),
            date_format: self.columns.date_format.clone(),
            hour: self.columns.hour.clone(),
            time: self.columns.time.clone(),
            stop: self.columns.stop.clone(),
            line: self.columns.line.clone(),
            count: self.columns.count.clone(),
            blanks_as: self.columns.blanks_as.clone(),
            operator: self.feed.operator.clone(),
            interval: self.interval(),
            day_begins: self.feed.day_begins,
        }
    }
}

/// What a table holds.
#[derive(Debug, Default)]
struct Checked {
    lines: u64,
    counts: u64,
    taps: u64,
    refused: Vec<Refused>,
    refused_count: u64,
}

impl Checked {
    fn refuse(&mut self, refused: Refused) {
        self.refused_count += 1;
        if self.refused.len() < REFUSED_LISTED_MAX {
            self.refused.push(refused);
        }
    }
}

/// Runs `mistap taps import`.
pub async fn import(args: ImportArgs, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let source = Source::find(&args.file, args.entry.as_deref(), args.delimiter)?;
    let columns = args.to_columns();
    let mut checked = check(&source, &columns)?;
    if 0 < checked.refused_count && !args.skip_refused {
        let printed = match format {
            Format::Table => print_refused(&checked, format),
            Format::Csv | Format::Json => print(&args, &checked, 0, format),
        };
        // That nothing is imported is told though nobody reads which lines are wrong.
        return nothing_imported(&checked).and(printed);
    }
    let channel = server.connect().await?;
    let feed = args.to_feed();
    let sent = send::send(channel, feed, source, columns, checked.counts).await;
    let (recorded, failure) = match sent {
        Ok(sent) => {
            sent.refused
                .into_iter()
                .for_each(|refused| checked.refuse(refused));
            (sent.recorded, None)
        }
        Err(broken) => (broken.recorded, Some(broken.failure)),
    };
    let printed = print(&args, &checked, recorded, format);
    // What is missing is told though nobody reads the summary.
    verdict(&checked, recorded, failure).and(printed)
}

/// Whether all counts are recorded, or why sending them ended.
fn verdict(checked: &Checked, recorded: u64, failure: Option<Failure>) -> Result<(), Failure> {
    let told = format!("{recorded} of {} counts recorded", checked.counts);
    match failure {
        None if recorded == checked.counts => Ok(()),
        None => Err(Failure::new(Kind::Refused, told)
            .with_hint("mend the refused lines and import again: what is there is replaced")),
        Some(failure) => {
            let failure = failure.with_detail(told);
            // Where the same can go well later, nothing is lost by sending all of it.
            Err(if failure.is_worth_another_try() {
                failure.with_hint("import again: what is there is replaced")
            } else {
                failure
            })
        }
    }
}

/// Reads the whole table once.
fn check(source: &Source, columns: &Columns) -> Result<Checked, Failure> {
    let bar = progress::bytes(source.bytes(), "checking");
    let mut checked = Checked::default();
    let mut rows = Rows::open(source, columns)?;
    while let Some(row) = rows.next()? {
        checked.lines += 1;
        bar.set_position(rows.bytes());
        match row {
            Ok(row) => {
                checked.counts += 1;
                checked.taps += row.count.taps;
            }
            Err(refused) => checked.refuse(refused),
        }
    }
    bar.finish_and_clear();
    Ok(checked)
}

fn nothing_imported(checked: &Checked) -> Result<(), Failure> {
    let message = format!(
        "{} of {} lines are refused; nothing is imported",
        checked.refused_count, checked.lines
    );
    Err(Failure::new(Kind::Refused, message)
        .with_hint("mend them, or leave them out with --skip-refused"))
}

fn print_refused(checked: &Checked, format: Format) -> Result<(), Failure> {
    let mut sheet = Sheet::new(["line", "column", "reason"]);
    for refused in &checked.refused {
        sheet.push(vec![
            Value::from(refused.line),
            Value::from(refused.column.clone()),
            Value::from(refused.reason.clone()),
        ]);
    }
    sheet.print(format, &mut io::stdout().lock())?;
    let more = checked.refused_count - checked.refused.len() as u64;
    if 0 < more {
        writeln!(io::stderr(), "and {more} more")?;
    }
    Ok(())
}

fn print(
    args: &ImportArgs,
    checked: &Checked,
    recorded: u64,
    format: Format,
) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if format == Format::Json {
        let to_object = |refused: &Refused| {
            json!({
                "line": refused.line,
                "column": refused.column,
                "reason": refused.reason,
            })
        };
        let object = json!({
            "feed": args.feed.feed,
            "lines": checked.lines,
            "counts": checked.counts,
            "recorded": recorded,
            "taps": checked.taps,
            "refused": checked.refused_count,
            "refused_lines": checked.refused.iter().map(to_object).collect::<Vec<_>>(),
        });
        writeln!(out, "{object:#}")?;
        return Ok(());
    }
    drop(out);
    let mut card = Card::default();
    card.push("feed", args.feed.feed.clone());
    card.push("lines", checked.lines);
    card.push("counts", checked.counts);
    card.push("recorded", recorded);
    card.push("taps", checked.taps);
    card.push("refused", checked.refused_count);
    if format == Format::Csv {
        // One table alone, which is of lines.
        print_refused(checked, format)?;
        return card.print(Format::Table, &mut io::stderr().lock());
    }
    card.print(format, &mut io::stdout().lock())?;
    match checked.refused_count {
        0 => Ok(()),
        _ => print_refused(checked, format),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: ImportArgs,
    }

    #[test]
    fn code_of_an_operator_may_be_written_small() {
        let words = "import taps.csv --date day --count taps --feed gvb.days --operator gvb";
        let typed = Typed::try_parse_from(words.split(' ')).expect("flags");
        assert_eq!(typed.args.to_feed().operator_code, "GVB");
        assert_eq!(typed.args.to_columns().operator, "GVB");
    }
}
