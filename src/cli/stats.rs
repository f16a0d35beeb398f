//! `mistap stats`: exact counts for a free question, and rates where taps are known.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::ServerArgs;
use super::failure::Failure;
use super::outage;
use super::output::{Format, Sheet, place};
use super::progress;
use super::question::{AsOfArgs, ByArgs, DaysArgs, FilterArgs};
use super::rates::{RATE_COLUMNS, no_rate, rate_cells, rounded, to_feed, write_rate};
use super::say_aside;
use super::tidy::{self, Tidy, few_days};
use super::unknown;
use super::values;
use super::when::{Day, Days};
use super::with_progress;
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use crate::client::Connection;
use crate::domain::limits::PAGE_ROWS_MAX;
use crate::stats::interval::Level;

/// More rows than any question has.
const ROWS_MAX: usize = 1_000_000_000;

/// The order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OrderArg {
    /// By key, rising
    Key,
    /// By count, falling
    Count,
}

/// The question.
#[derive(Debug, clap::Args)]
pub struct StatsArgs {
    #[command(flatten)]
    by: ByArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    days: DaysArgs,
    /// Set the counts against taps, where an operator told them
    #[arg(long)]
    rate: bool,
    /// Only against the taps of these feeds
    #[arg(long, value_delimiter = ',', requires = "rate")]
    feed: Vec<String>,
    /// How sure intervals of rates are to be, 0.5 to 0.999999; 0.95 if left out
    #[arg(
        long,
        requires = "rate",
        value_parser = values::fraction(Level::MIN, Level::MAX)
    )]
    level: Option<f64>,
    /// Give rates Jeffreys' intervals instead of Garwood's and Wilson's
    #[arg(long, requires = "rate")]
    jeffreys: bool,
    #[command(flatten)]
    at: AsOfArgs,
    /// The order of the rows
    #[arg(long, value_enum, default_value_t = OrderArg::Key)]
    order: OrderArg,
    /// Print at most so many rows
    #[arg(long, default_value_t = 1_000, value_parser = values::whole(1, ROWS_MAX))]
    limit: usize,
}

/// Runs `mistap stats`.
pub async fn stats(
    args: &StatsArgs,
    server: &ServerArgs,
    format: Format,
    now: Timestamp,
) -> Result<(), Failure> {
    let days = args.days.days(Day::TODAY, now)?;
    let request = to_request(args, days)?;
    let channel = server.connect().await?;
    let client = StatisticsServiceClient::new(channel);
    let tidy = (format != Format::Table).then(|| Tidy {
        basis: args.filter.basis(),
        days,
        by: args.by.dimensions(),
    });
    let found = ask(args, client, request).await?;
    let columns = match &tidy {
        Some(tidy) => tidy.columns(args.by.columns()),
        None => columns(args, &found.last),
    };
    let mut sheet = Sheet::new(columns);
    for figure in &found.figures {
        sheet.push(match &tidy {
            Some(tidy) => tidy.row(figure, &found.last.feeds),
            None => to_row(figure, &found.last),
        });
    }
    found.print(&sheet, args, format)?;
    match found.last.total {
        0 => unknown::warn(args.filter.places(), server).await,
        _ => Ok(()),
    }
}

/// Asks page by page until there are as many rows as were asked for, or no more.
async fn ask(
    args: &StatsArgs,
    mut client: StatisticsServiceClient<Connection>,
    mut request: pb::QueryFiguresRequest,
) -> Result<Found, Failure> {
    let progress = progress::spinner("asking; rows so far:");
    let mut figures = Vec::new();
    let mut rows = Rows::default();
    let last = loop {
        let mut answer = with_progress::figures(&mut client, request.clone()).await?;
        figures.append(&mut answer.figures);
        rows.note(Counted::of(&answer));
        progress.set_position(figures.len() as u64);
        if answer.next_page_token.is_empty() || args.limit <= figures.len() {
            if rows.have_moved {
                let told = "reports came in between pages: rows may be missing, or there twice";
                say_aside(&format!("warning: {told}"));
            }
            break answer;
        }
        go_on(&mut request, &answer);
    };
    drop(progress);
    let has_more = !last.next_page_token.is_empty() || args.limit < figures.len();
    figures.truncate(args.limit);
    Ok(Found {
        figures,
        last,
        has_more,
    })
}

/// What rows depend on, page by page. A position is none of it: it goes on with each minute in which
/// nothing is told, and to operators it is another number with each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    total: u64,
    left_out: u64,
}

/// Whether rows moved between pages.
#[derive(Debug, Default)]
struct Rows {
    /// Of the page before.
    before: Option<Counted>,
    have_moved: bool,
}

impl Rows {
    /// Once they have moved they have, also where later counts are those of the first page again.
    fn note(&mut self, counted: Counted) {
        let before = self.before.replace(counted);
        self.have_moved |= before.is_some_and(|before| before != counted);
    }
}

impl Counted {
    fn of(answer: &pb::QueryFiguresResponse) -> Self {
        Self {
            total: answer.total,
            left_out: answer.left_out,
        }
    }
}

/// Makes the request ask for the next page, of the same record as the page before where that can be
/// had: what comes in between moves rows. Tallies know no earlier record, and may be of months whose
/// incidents nobody can look through any more; taps of an earlier record are made again for each page.
fn go_on(request: &mut pb::QueryFiguresRequest, answer: &pb::QueryFiguresResponse) {
    request.page_token.clone_from(&answer.next_page_token);
    let effort = answer.effort.as_ref();
    let is_scanned = effort.is_some_and(|effort| !effort.from_tallies);
    if is_scanned && request.rates.is_none() && answer.position != 0 {
        request.as_of_position.get_or_insert(answer.position);
    }
}

/// The headings of the table that people read.
fn columns(args: &StatsArgs, answer: &pb::QueryFiguresResponse) -> Vec<String> {
    let mut columns = args.by.columns();
    columns.push("count".to_owned());
    columns.push("flag".to_owned());
    if args.rate {
        columns.extend(RATE_COLUMNS.map(str::to_owned));
    }
    if !answer.outage_days.is_empty() {
        columns.push("count_without_outages".to_owned());
        if args.rate {
            columns.push("rate_without_outages".to_owned());
        }
    }
    columns
}

/// The rows that were asked for, and the last answer.
struct Found {
    figures: Vec<pb::Figure>,
    /// Without its figures.
    last: pb::QueryFiguresResponse,
    has_more: bool,
}

impl Found {
    fn print(&self, sheet: &Sheet, args: &StatsArgs, format: Format) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match format {
            Format::Table => {
                sheet.print(format, &mut out)?;
                self.write_summary(args, &mut out)
            }
            Format::Csv => {
                sheet.print(format, &mut out)?;
                self.write_summary(args, &mut io::stderr().lock())
            }
            Format::Json => {
                let object = self.object(sheet, args);
                writeln!(out, "{object:#}")?;
                Ok(())
            }
        }
    }

    /// Everything as one object, which always has the same fields.
    fn object(&self, sheet: &Sheet, args: &StatsArgs) -> Value {
        let answer = &self.last;
        let total_rate = answer.total_rate.as_ref().map(|rate| {
            let cells = tidy::RATE
                .into_iter()
                .zip(tidy::rate_cells(Some(rate), &answer.feeds));
            let reporting = tidy::REPORTING
                .into_iter()
                .zip(tidy::reporting_cells(Some(rate)));
            let cells = cells.chain(reporting);
            let cells = cells.map(|(column, cell)| (column.to_owned(), cell));
            cells.collect::<serde_json::Map<_, _>>()
        });
        let without = answer.without_outages.as_ref().map(|without| {
            let rate = without.total_rate.as_ref();
            json!({
                "total": without.total,
                "left_out": without.left_out,
                "rate": rate.and_then(|rate| rate.value.map(rounded)),
            })
        });
        json!({
            "basis": args.filter.basis(),
            "total": answer.total,
            "left_out": answer.left_out,
            "position": place(answer.position),
            "fold_version": answer.fold_version,
            "citation": answer.citation,
            "has_more": self.has_more,
            "figures": sheet.objects(),
            "total_rate": total_rate,
            "feeds": answer.feeds.iter().map(to_feed).collect::<Vec<_>>(),
            "outage_days": outage::listed(&answer.outage_days),
            "without_outages": without,
        })
    }

    fn write_summary(&self, args: &StatsArgs, out: &mut impl Write) -> Result<(), Failure> {
        let answer = &self.last;
        let told = match args.filter.observed {
            true => "observed",
            false => "reported",
        };
        writeln!(out, "{} {told}", answer.total)?;
        if 0 < answer.left_out {
            writeln!(
                out,
                "{} of them in no row: value not known",
                answer.left_out
            )?;
        }
        if self.has_more {
            writeln!(out, "more rows: raise --limit or narrow it")?;
        }
        match &answer.total_rate {
            Some(rate) => write_rate(rate, &answer.feeds, out)?,
            None => writeln!(out, "counts, not rates: ask for those with --rate")?,
        }
        if let Some(without) = &answer.without_outages {
            write_without(without, &answer.outage_days, out)?;
        }
        writeln!(out, "{}", answer.citation)?;
        if let Some(effort) = &answer.effort {
            let how = if effort.from_tallies {
                "from tallies".to_owned()
            } else {
                format!("scanned {} blocks", effort.blocks_scanned)
            };
            let (whole, rest) = (
                effort.elapsed_micros / 1_000,
                effort.elapsed_micros % 1_000 / 100,
            );
            writeln!(
                out,
                "position {}, {how}, {whole}.{rest} ms",
                answer.position
            )?;
        }
        Ok(())
    }
}

fn to_row(figure: &pb::Figure, answer: &pb::QueryFiguresResponse) -> Vec<Value> {
    let keys = figure.keys.iter().map(|key| json!(key.value));
    let rate = figure.rate.iter().flat_map(rate_cells);
    let counted = [
        json!(figure.count),
        json!(few_days(figure.rests_on_few_days)),
    ];
    let mut row: Vec<Value> = keys.chain(counted).chain(rate).collect();
    if !answer.outage_days.is_empty() {
        let without = figure.without_outages.as_ref();
        row.push(json!(without.map(|without| without.count)));
        if figure.rate.is_some() {
            let rate = without.and_then(|without| without.rate.as_ref());
            row.push(json!(rate.and_then(|rate| rate.value.map(rounded))));
        }
    }
    row
}

/// What is left without the days of outages, and which those are.
fn write_without(
    without: &pb::WithoutOutages,
    days: &[pb::OutageDay],
    out: &mut impl Write,
) -> Result<(), Failure> {
    writeln!(out, "days of declared outages: {}", outage::summary(days))?;
    write!(out, "without them {}", without.total)?;
    if let Some(rate) = &without.total_rate {
        match (rate.value, rate.low, rate.high) {
            (Some(value), Some(low), Some(high)) => {
                let (value, low, high) = (rounded(value), rounded(low), rounded(high));
                write!(out, ", rate {value} ({low} to {high})")?;
            }
            _ => {
                let reason = no_rate(rate.no_rate()).unwrap_or("no rate");
                write!(out, ", no rate: {reason}")?;
            }
        }
    }
    writeln!(out)?;
    Ok(())
}

fn to_request(args: &StatsArgs, days: Days) -> Result<pb::QueryFiguresRequest, Failure> {
    let order = match args.order {
        OrderArg::Key => pb::Order::Key,
        OrderArg::Count => pb::Order::Count,
    };
    Ok(pb::QueryFiguresRequest {
        question: Some(pb::Question {
            filter: Some(args.filter.to_wire()),
            by: args.by.to_wire(),
            window: Some(days.to_wire()?),
        }),
        order: order.into(),
        page_size: u32::try_from(args.limit.clamp(1, PAGE_ROWS_MAX)).expect("bounded"),
        page_token: String::new(),
        as_of_position: args.at.as_of,
        rates: args.rate.then(|| pb::RatesRequest {
            feeds: args.feed.clone(),
            level: args.level.unwrap_or_default(),
            estimator: match args.jeffreys {
                true => pb::Estimator::Jeffreys.into(),
                false => pb::Estimator::Standard.into(),
            },
        }),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: StatsArgs,
    }

    #[test]
    fn pages_that_follow_are_of_the_record_of_the_first_where_that_is_scanned() {
        let made = |from_tallies, position, token: &str| pb::QueryFiguresResponse {
            position,
            next_page_token: token.to_owned(),
            effort: Some(pb::Effort {
                from_tallies,
                ..pb::Effort::default()
            }),
            ..pb::QueryFiguresResponse::default()
        };
        let answer = |position, token: &str| made(false, position, token);
        let mut request = pb::QueryFiguresRequest::default();
        go_on(&mut request, &answer(7, "a"));
        go_on(&mut request, &answer(8, "b"));
        assert_eq!(request.as_of_position, Some(7));
        assert_eq!(request.page_token, "b");
        let mut untold = pb::QueryFiguresRequest::default();
        go_on(&mut untold, &answer(0, "a"));
        assert_eq!(untold.as_of_position, None);
        let mut summed = pb::QueryFiguresRequest::default();
        go_on(&mut summed, &made(true, 7, "a"));
        assert_eq!(summed.as_of_position, None, "tallies are of now");
    }

    #[test]
    fn rows_have_moved_where_counts_have_and_not_where_a_minute_passed() {
        let made = |position, total, left_out| {
            Counted::of(&pb::QueryFiguresResponse {
                position,
                total,
                left_out,
                ..pb::QueryFiguresResponse::default()
            })
        };
        assert_eq!(made(7, 40, 2), made(8, 40, 2));
        assert_ne!(made(7, 40, 2), made(8, 41, 2));
        assert_ne!(made(7, 40, 2), made(7, 40, 3));
    }

    #[test]
    fn rows_that_have_moved_once_have_whatever_is_counted_later() {
        let have_moved = |totals: &[u64]| {
            let mut rows = Rows::default();
            for total in totals {
                let left_out = 0;
                rows.note(Counted {
                    total: *total,
                    left_out,
                });
            }
            rows.have_moved
        };
        assert!(!have_moved(&[40, 40, 40]));
        assert!(have_moved(&[40, 40, 41]));
        assert!(have_moved(&[40, 41, 41]));
        // One came in and one was withdrawn.
        assert!(have_moved(&[40, 41, 40]));
    }

    #[test]
    fn rates_are_asked_for_as_sure_and_by_the_interval_that_was_typed() {
        let days = Days {
            first: "2026-10-01".parse().expect("a date"),
            last: "2026-10-31".parse().expect("a date"),
        };
        let asked = |typed: &[&str]| {
            let typed = Typed::try_parse_from(["stats"].iter().chain(typed)).ok()?;
            to_request(&typed.args, days).expect("a request").rates
        };
        let plain = asked(&["--rate"]).expect("rates");
        assert_eq!(
            (plain.level, plain.estimator()),
            (0.0, pb::Estimator::Standard)
        );
        let typed = ["--rate", "--level", "0.9", "--jeffreys"];
        let sure = asked(&typed).expect("rates");
        assert_eq!(
            (sure.level, sure.estimator()),
            (0.9, pb::Estimator::Jeffreys)
        );
        assert_eq!(asked(&[]), None);
        for alone in [&typed[1..3], &typed[3..]] {
            let refused = Typed::try_parse_from(["stats"].iter().chain(alone));
            assert!(refused.is_err(), "{alone:?} without --rate");
        }
    }

    #[test]
    fn object_has_the_same_fields_whatever_was_asked_and_null_for_what_was_not() {
        let fields = |typed: &[&str], last: pb::QueryFiguresResponse| {
            let typed = Typed::try_parse_from(["stats"].iter().chain(typed)).expect("flags");
            let found = Found {
                figures: Vec::new(),
                last,
                has_more: false,
            };
            found.object(&Sheet::new(["count"]), &typed.args)
        };
        let plain = fields(&[], pb::QueryFiguresResponse::default());
        assert_eq!(plain["total_rate"], Value::Null);
        assert_eq!(plain["without_outages"], Value::Null);
        assert_eq!(
            (&plain["feeds"], &plain["outage_days"]),
            (&json!([]), &json!([]))
        );
        let rated = fields(
            &["--rate"],
            pb::QueryFiguresResponse {
                total_rate: Some(pb::Rate::default()),
                without_outages: Some(pb::WithoutOutages::default()),
                ..pb::QueryFiguresResponse::default()
            },
        );
        let names = |object: &Value| {
            let fields = object.as_object().expect("an object");
            fields.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&plain), names(&rated));
        assert_eq!(rated["without_outages"]["rate"], Value::Null);
        assert_eq!(rated["total_rate"]["taps"], Value::Null);
    }
}
