//! `mistap staff`: what staff did after failed check-ins, exactly. For stewards.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::ServerArgs;
use super::failure::Failure;
use super::outage;
use super::output::{Format, Sheet, place};
use super::question::{AsOfArgs, DaysArgs, FilterArgs, LevelArgs};
use super::rates::rounded;
use super::tidy;
use super::unknown;
use super::when::{Day, Days};
use super::with_progress;
use crate::api::pb::v1 as pb;
use crate::domain::method::METHOD;
use crate::domain::taxonomy::{StaffAct, Taxonomy};
use crate::stats::dispersion::interval_told;

/// The question.
#[derive(Debug, clap::Args)]
pub struct StaffArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    days: DaysArgs,
    #[command(flatten)]
    at: AsOfArgs,
    #[command(flatten)]
    sure: LevelArgs,
}

/// In place of taps and a rate: of how many reports it is a share.
const SHARE: [&str; 5] = ["base", "share", "low", "high", "interval_method"];
const WITHOUT: [&str; 5] = [
    "count_without_outages",
    "base_without_outages",
    "share_without_outages",
    "low_without_outages",
    "high_without_outages",
];

/// Runs `mistap staff`.
pub async fn staff(
    args: &StaffArgs,
    server: &ServerArgs,
    format: Format,
    now: Timestamp,
) -> Result<(), Failure> {
    let days = args.days.days(Day::TODAY, now)?;
    let request = pb::GetStaffFiguresRequest {
        filter: Some(args.filter.to_wire()),
        window: Some(days.to_wire()?),
        level: args.sure.level,
        as_of_position: args.at.as_of,
    };
    let channel = server.connect().await?;
    let mut client = pb::statistics_service_client::StatisticsServiceClient::new(channel);
    let call = client.get_staff_figures(request);
    let answer = with_progress::at_once("reading what staff did", call).await?;
    print(args, days, &answer, format)?;
    match answer.figures.unwrap_or_default().reports {
        0 => unknown::warn(args.filter.places(), server).await,
        _ => Ok(()),
    }
}

fn print(
    args: &StaffArgs,
    days: Days,
    answer: &pb::GetStaffFiguresResponse,
    format: Format,
) -> Result<(), Failure> {
    let figures = answer.figures.clone().unwrap_or_default();
    let mut out = io::stdout().lock();
    match format {
        Format::Table => {
            table(answer).print(format, &mut out)?;
            write_summary(answer, &mut out)
        }
        Format::Csv => {
            sheet(args, days, answer).print(format, &mut out)?;
            write_summary(answer, &mut io::stderr().lock())
        }
        Format::Json => {
            let object = json!({
                "reports": figures.reports,
                "acts_told": figures.acts_told,
                "both_told": figures.both_told,
                "promised": figures.promised,
                "level": answer.level,
                "position": place(answer.position),
                "fold_version": answer.fold_version,
                "citation": answer.citation,
                "outage_days": outage::listed(&answer.outage_days),
                "figures": sheet(args, days, answer).objects(),
            });
            Ok(writeln!(out, "{object:#}")?)
        }
    }
}

/// Each figure by its name: the rates, then the acts by their keys.
fn named(figures: Option<&pb::StaffFigures>) -> Vec<(String, Option<pb::StaffShare>)> {
    let figures = figures.cloned().unwrap_or_default();
    let mut named = vec![
        ("help".to_owned(), figures.help),
        ("harm".to_owned(), figures.harm),
        ("promises-kept".to_owned(), figures.promises_kept),
    ];
    for act in figures.acts {
        let number = u8::try_from(act.act).ok();
        let key = number.and_then(StaffAct::from_number).map(StaffAct::key);
        named.push((format!("act/{}", key.unwrap_or("unknown")), act.share));
    }
    named
}

fn numbers(share: Option<&pb::StaffShare>) -> [Value; 5] {
    let number = |of: fn(&pb::StaffShare) -> f64| json!(share.map(|share| rounded(of(share))));
    [
        json!(share.map(|share| share.count)),
        json!(share.map(|share| share.base)),
        number(|share| share.value),
        number(|share| share.low),
        number(|share| share.high),
    ]
}

/// For people.
fn table(answer: &pb::GetStaffFiguresResponse) -> Sheet {
    let mut sheet = Sheet::new(["figure", "count", "of", "share", "low", "high"]);
    for (name, share) in named(answer.figures.as_ref()) {
        let cells = numbers(share.as_ref()).into_iter();
        sheet.push([json!(name)].into_iter().chain(cells).collect());
    }
    sheet
}

/// In the tidy columns, as far as there are any of them for a share.
fn sheet(args: &StaffArgs, days: Days, answer: &pb::GetStaffFiguresResponse) -> Sheet {
    let columns = tidy::PERIOD.into_iter().chain(["figure"]);
    let columns = columns.chain(tidy::COUNT).chain(SHARE);
    let mut sheet = Sheet::new(columns.chain(["edition", "method_version"]).chain(WITHOUT));
    let without = named(answer.without_outages.as_ref());
    for (place, (name, share)) in named(answer.figures.as_ref()).into_iter().enumerate() {
        let share = share.as_ref();
        let less = without.get(place).and_then(|(_, share)| share.as_ref());
        let [count, rest @ ..] = numbers(share);
        let method = share.map(|share| {
            let dispersion = (share.dispersion_days != 0).then_some(share.dispersion);
            interval_told(&share.method, answer.level, dispersion)
        });
        let cells = tidy::period_cells(args.filter.basis(), (days.first, days.last));
        let cells = cells
            .into_iter()
            .chain([json!(name), json!(tidy::EXACT), count]);
        let cells = cells
            .chain(rest)
            .chain([json!(method), Value::Null, json!(METHOD)]);
        sheet.push(cells.chain(numbers(less)).collect());
    }
    sheet
}

fn write_summary(
    answer: &pb::GetStaffFiguresResponse,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let figures = answer.figures.clone().unwrap_or_default();
    writeln!(
        out,
        "{} reported; {} tell what staff did, {} of them how it ended as well",
        figures.reports, figures.acts_told, figures.both_told
    )?;
    writeln!(
        out,
        "{} were promised a call; who never told what became of it stands in no share",
        figures.promised
    )?;
    outage::write_days(&answer.outage_days, "counted in", out)?;
    writeln!(out, "{}", answer.citation)?;
    writeln!(out, "position {}", answer.position)?;
    Ok(())
}
