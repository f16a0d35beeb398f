//! `mistap rank`: which operators, lines or stops stand out, and whether any does.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::ServerArgs;
use super::failure::Failure;
use super::outage;
use super::output::{Format, Sheet, place};
use super::question::{AsOfArgs, DaysArgs, FilterArgs, LevelArgs, TapsArgs};
use super::rates::rounded;
use super::tidy;
use super::unknown;
use super::values;
use super::when::{Day, Days};
use super::with_progress;
use crate::api::pb::v1 as pb;
use crate::domain::limits::PAGE_ROWS_MAX;
use crate::domain::question::Dimension;

const PERCENT: f64 = 100.0;

/// What to rank by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RankByArg {
    /// Operators
    Operator,
    /// Lines
    Line,
    /// Stops
    Stop,
}

/// What to rank.
#[derive(Debug, clap::Args)]
pub struct RankArgs {
    /// What to rank
    #[arg(value_enum)]
    by: RankByArg,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    days: DaysArgs,
    #[command(flatten)]
    taps: TapsArgs,
    #[command(flatten)]
    at: AsOfArgs,
    #[command(flatten)]
    sure: LevelArgs,
    /// Print at most so many scopes of each kind
    #[arg(long, default_value_t = 1_000, value_parser = values::whole(1, PAGE_ROWS_MAX))]
    limit: usize,
}

/// Runs `mistap rank`.
pub async fn rank(
    args: &RankArgs,
    server: &ServerArgs,
    format: Format,
    now: Timestamp,
) -> Result<(), Failure> {
    let days = args.days.days(Day::YESTERDAY, now)?;
    let request = to_request(args, days)?;
    let channel = server.connect().await?;
    let mut client = pb::statistics_service_client::StatisticsServiceClient::new(channel);
    let answer = with_progress::ranking(&mut client, request).await?;
    print(args, days, &answer, format)?;
    match is_nothing(&answer) {
        true => unknown::warn(args.filter.places(), server).await,
        false => Ok(()),
    }
}

/// Whether no scope has a report.
fn is_nothing(answer: &pb::RankScopesResponse) -> bool {
    let reports = |one: &Listed<'_>| one.scope.rate.as_ref().map_or(0, |rate| rate.reports);
    listed(answer).iter().all(|one| reports(one) == 0)
}

fn print(
    args: &RankArgs,
    days: Days,
    answer: &pb::RankScopesResponse,
    format: Format,
) -> Result<(), Failure> {
    let sheet = match format {
        Format::Table => table(answer),
        Format::Csv | Format::Json => tidy_sheet(args, days, answer),
    };
    let mut out = io::stdout().lock();
    match format {
        Format::Table => write_for_people(&sheet, args, answer, &mut out),
        Format::Csv => {
            sheet.print(format, &mut out)?;
            write_summary(args, answer, &mut io::stderr().lock())
        }
        Format::Json => {
            let object = json!({
                "verdict": verdict(answer),
                "ranked": answer.scopes_ranked,
                "enough": answer.scopes_enough,
                "too_little": answer.scopes_too_little,
                "without_rate": answer.scopes_without_rate,
                "network_rate": answer.network_rate.map(rounded),
                "spread": answer.spread.map(rounded),
                "dispersion": rounded(answer.dispersion),
                "level": answer.level,
                "position": place(answer.position),
                "fold_version": answer.fold_version,
                "citation": answer.citation,
                "outage_days": outage::listed(&answer.outage_days),
                "without_outages": args.taps.without_outages,
                "scopes": sheet.objects(),
            });
            Ok(writeln!(out, "{object:#}")?)
        }
    }
}

fn to_request(args: &RankArgs, days: Days) -> Result<pb::RankScopesRequest, Failure> {
    let by = match args.by {
        RankByArg::Operator => pb::Dimension::Operator,
        RankByArg::Line => pb::Dimension::Line,
        RankByArg::Stop => pb::Dimension::Stop,
    };
    Ok(pb::RankScopesRequest {
        filter: Some(args.filter.to_wire()),
        by: by.into(),
        window: Some(days.to_wire()?),
        feeds: args.taps.feed.clone(),
        level: args.sure.level,
        limit: u32::try_from(args.limit).unwrap_or(u32::MAX),
        without_outages: args.taps.without_outages,
        as_of_position: args.at.as_of,
    })
}

/// What a ranking adds to a scope's own rate.
const RANKED: [&str; 6] = [
    "above_network",
    "shrunken_rate",
    "shrunken_low",
    "shrunken_high",
    "expected_rank",
    "reversing_ratio",
];

/// One scope of any list.
struct Listed<'a> {
    scope: &'a pb::ScopeRate,
    /// Its place, from 1 up, or why it has none.
    place: Result<usize, Unranked>,
    /// If it is ranked.
    ranked: Option<&'a pb::RankedScope>,
}

/// Why a scope has no place.
#[derive(Clone, Copy)]
enum Unranked {
    TooLittleData,
    NoRate,
}

impl Unranked {
    /// In CSV and JSON.
    fn key(self) -> &'static str {
        match self {
            Self::TooLittleData => "too-little-data",
            Self::NoRate => "no-rate",
        }
    }

    /// For people.
    fn words(self) -> &'static str {
        match self {
            Self::TooLittleData => "too little data",
            Self::NoRate => "no rate",
        }
    }
}

/// Every scope: those ranked in their order, then those with too little data, then those without
/// a rate.
fn listed(answer: &pb::RankScopesResponse) -> Vec<Listed<'_>> {
    let ranked = (1..).zip(&answer.scopes).filter_map(|(place, one)| {
        Some(Listed {
            scope: one.scope.as_ref()?,
            place: Ok(place),
            ranked: Some(one),
        })
    });
    let without_place = |why| {
        move |scope| Listed {
            scope,
            place: Err(why),
            ranked: None,
        }
    };
    let too_little = answer.too_little.iter();
    let too_little = too_little.map(without_place(Unranked::TooLittleData));
    let no_rate = answer.without_rate.iter();
    let no_rate = no_rate.map(without_place(Unranked::NoRate));
    ranked.chain(too_little).chain(no_rate).collect()
}

/// For people.
fn table(answer: &pb::RankScopesResponse) -> Sheet {
    const OWN: [&str; 8] = [
        "scope", "place", "matched", "flag", "taps", "rate", "low", "high",
    ];
    let mut sheet = Sheet::new(OWN.into_iter().chain(RANKED));
    for one in listed(answer) {
        let cells = own_cells(&one).into_iter();
        sheet.push(cells.chain(ranked_cells(&one)).collect());
    }
    sheet
}

/// In the tidy columns; the count is of the reports that the rate is about.
fn tidy_sheet(args: &RankArgs, days: Days, answer: &pb::RankScopesResponse) -> Sheet {
    let by = match args.by {
        RankByArg::Operator => Dimension::Operator,
        RankByArg::Line => Dimension::Line,
        RankByArg::Stop => Dimension::Stop,
    };
    let columns = tidy::PERIOD.into_iter().chain([by.key()]);
    let columns = columns.chain(tidy::COUNT).chain(tidy::RATE);
    let columns = columns.chain(tidy::REPORTING).chain(["place", "unranked"]);
    let mut sheet = Sheet::new(columns.chain(RANKED));
    for one in listed(answer) {
        let rate = one.scope.rate.as_ref();
        let key = one.scope.key.as_ref().map(|key| &key.value);
        let cells = tidy::period_cells(args.filter.basis(), (days.first, days.last)).into_iter();
        let cells = cells.chain([
            json!(key),
            tidy::flag(&[by], one.scope.rests_on_few_days),
            json!(rate.map(|rate| rate.reports)),
        ]);
        let cells = cells.chain(tidy::rate_cells(rate, &answer.feeds));
        let cells = cells.chain(tidy::reporting_cells(rate));
        let (place, unranked) = (one.place.ok(), one.place.err().map(Unranked::key));
        let cells = cells.chain([json!(place), json!(unranked)]);
        sheet.push(cells.chain(ranked_cells(&one)).collect());
    }
    sheet
}

fn ranked_cells(one: &Listed<'_>) -> [Value; 6] {
    let value = |of: fn(&pb::RankedScope) -> Option<f64>| number(one.ranked.and_then(of));
    [
        value(|one| Some(one.probability_above)),
        value(|one| one.shrunken_rate),
        value(|one| one.low),
        value(|one| one.high),
        value(|one| one.expected_rank),
        value(|one| one.reversing_ratio),
    ]
}

fn number(value: Option<f64>) -> Value {
    value.map_or(Value::Null, |value| json!(rounded(value)))
}

fn own_cells(one: &Listed<'_>) -> [Value; 8] {
    let rate = one.scope.rate.as_ref();
    let key = one.scope.key.as_ref();
    [
        json!(key.map(|key| &key.value)),
        match one.place {
            Ok(place) => json!(place),
            Err(why) => json!(why.words()),
        },
        json!(rate.map(|rate| rate.matched)),
        json!(tidy::few_days(one.scope.rests_on_few_days)),
        json!(
            rate.filter(|rate| 0 < rate.days_with_taps)
                .map(|rate| rate.taps)
        ),
        number(rate.and_then(|rate| rate.value)),
        number(rate.and_then(|rate| rate.low)),
        number(rate.and_then(|rate| rate.high)),
    ]
}

fn verdict(answer: &pb::RankScopesResponse) -> &'static str {
    match answer.verdict() {
        pb::RankingVerdict::Unspecified => "unknown",
        pb::RankingVerdict::TooFewScopes => "too-few-scopes",
        pb::RankingVerdict::NoDifference => "no-difference",
        pb::RankingVerdict::Shown => "shown",
    }
}

/// Without a table where nothing is listed: what follows says why.
fn write_for_people(
    sheet: &Sheet,
    args: &RankArgs,
    answer: &pb::RankScopesResponse,
    out: &mut impl Write,
) -> Result<(), Failure> {
    if !sheet.is_empty() {
        sheet.print(Format::Table, out)?;
    }
    write_summary(args, answer, out)
}

fn write_summary(
    args: &RankArgs,
    answer: &pb::RankScopesResponse,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match answer.verdict() {
        // That is all that is shown: how sure any one of them lies above the others stands beside it.
        pb::RankingVerdict::Shown => writeln!(
            out,
            "the {} ranked scopes together scatter more than chance has them, at {} % confidence;\n\
             how likely each of them lies above all together is above_network",
            answer.scopes_ranked,
            rounded(answer.level * PERCENT)
        )?,
        pb::RankingVerdict::NoDifference => writeln!(
            out,
            "no difference can be shown among {}: the scopes scatter no more than chance has them",
            answer.scopes_enough
        )?,
        pb::RankingVerdict::TooFewScopes | pb::RankingVerdict::Unspecified => {
            let enough = answer.scopes_enough;
            writeln!(
                out,
                "no ranking: too few scopes have enough data, {enough} of them"
            )?;
        }
    }
    if let Some(rate) = answer.network_rate {
        let factor = rounded(answer.dispersion);
        writeln!(out, "all together {}, dispersion {factor}", rounded(rate))?;
    }
    writeln!(
        out,
        "{} with too little data, {} without a rate; position {}",
        answer.scopes_too_little, answer.scopes_without_rate, answer.position
    )?;
    outage::write_days(&answer.outage_days, args.taps.how_outages(), out)?;
    writeln!(out, "{}", answer.citation)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: RankArgs,
    }

    #[test]
    fn taps_that_nobody_told_are_no_zero() {
        let taps = |days_with_taps| {
            let rate = pb::Rate {
                days_with_taps,
                ..pb::Rate::default()
            };
            let scope = pb::ScopeRate {
                rate: Some(rate),
                ..pb::ScopeRate::default()
            };
            let answer = pb::RankScopesResponse {
                without_rate: vec![scope],
                ..pb::RankScopesResponse::default()
            };
            assert!(is_nothing(&answer));
            own_cells(&listed(&answer)[0])[4].clone()
        };
        assert_eq!(taps(0), Value::Null);
        assert_eq!(taps(1), json!(0));
    }

    #[test]
    fn ranking_says_that_all_together_scatter_and_not_that_each_differs() {
        let typed = Typed::parse_from(["rank", "line"]);
        let said = |verdict: pb::RankingVerdict| {
            let answer = pb::RankScopesResponse {
                verdict: verdict.into(),
                scopes_ranked: 54,
                scopes_enough: 54,
                level: 0.95,
                ..pb::RankScopesResponse::default()
            };
            let mut out = Vec::new();
            let sheet = table(&answer);
            write_for_people(&sheet, &typed.args, &answer, &mut out).expect("room");
            String::from_utf8(out).expect("text")
        };
        let shown = said(pb::RankingVerdict::Shown);
        let first = shown.lines().next().expect("a line");
        assert_eq!(
            first,
            "the 54 ranked scopes together scatter more than chance has them, at 95 % confidence;"
        );
        assert!(!shown.contains("differ"), "{shown}");
        assert!(shown.contains("above_network"), "{shown}");
        let none = said(pb::RankingVerdict::NoDifference);
        assert!(
            none.starts_with("no difference can be shown among 54: "),
            "{none}"
        );
        let few = said(pb::RankingVerdict::TooFewScopes);
        assert!(
            few.starts_with("no ranking: too few scopes have enough data, 54 of them\n"),
            "{few}"
        );
    }
}
