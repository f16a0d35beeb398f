//! `mistap rank`: which operators, lines or stops stand out, and whether any does.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::ServerArgs;
use super::failure::Failure;
use super::outage;
use super::output::{Format, Sheet};
use super::progress;
use super::stats::{FilterArgs, rounded};
use super::when;
use crate::api::pb::v1 as pb;

const DAYS_DEFAULT: i64 = 30;
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
    /// First day: `2026-11-01`, `today` or `yesterday`; 30 days ago if left out
    #[arg(long)]
    from: Option<String>,
    /// Last day, as `--from`; yesterday if left out
    #[arg(long)]
    to: Option<String>,
    /// Only against the taps of these feeds
    #[arg(long, value_delimiter = ',')]
    feed: Vec<String>,
    /// Leave out days on which an outage was declared
    #[arg(long)]
    without_outages: bool,
    /// How sure to be, 0.5 to 0.999999
    #[arg(long, default_value_t = 0.95)]
    level: f64,
    /// Print at most so many scopes of each kind
    #[arg(long, default_value_t = 1_000)]
    limit: u32,
}

/// Runs `mistap rank`.
pub async fn rank(
    args: &RankArgs,
    server: &ServerArgs,
    format: Format,
    now: Timestamp,
) -> Result<(), Failure> {
    let request = to_request(args, now)?;
    let channel = server.connect().await?;
    let mut client = pb::statistics_service_client::StatisticsServiceClient::new(channel);
    let progress = progress::spinner("ranking");
    let answer = client.rank_scopes(request).await?.into_inner();
    progress.finish_and_clear();
    let sheet = sheet(&answer);
    let mut out = io::stdout().lock();
    match format {
        Format::Table => {
            sheet.print(format, &mut out)?;
            write_summary(args, &answer, &mut out)
        }
        Format::Csv => {
            sheet.print(format, &mut out)?;
            write_summary(args, &answer, &mut io::stderr().lock())
        }
        Format::Json => {
            let object = json!({
                "verdict": verdict(&answer),
                "ranked": answer.scopes_ranked,
                "too_little": answer.scopes_too_little,
                "without_rate": answer.scopes_without_rate,
                "network_rate": answer.network_rate.map(rounded),
                "spread": answer.spread.map(rounded),
                "dispersion": rounded(answer.dispersion),
                "level": answer.level,
                "position": answer.position,
                "fold_version": answer.fold_version,
                "citation": answer.citation,
                "outage_days": outage::listed(&answer.outage_days),
                "without_outages": args.without_outages,
                "scopes": sheet.objects(),
            });
            Ok(writeln!(out, "{object:#}")?)
        }
    }
}

fn to_request(args: &RankArgs, now: Timestamp) -> Result<pb::RankScopesRequest, Failure> {
    let from = (args.from.as_deref(), DAYS_DEFAULT);
    let days = when::Days::parse(from, (args.to.as_deref(), "yesterday"), now)?;
    let by = match args.by {
        RankByArg::Operator => pb::Dimension::Operator,
        RankByArg::Line => pb::Dimension::Line,
        RankByArg::Stop => pb::Dimension::Stop,
    };
    Ok(pb::RankScopesRequest {
        filter: Some(args.filter.to_wire()),
        by: by.into(),
        window: Some(days.to_wire()?),
        feeds: args.feed.clone(),
        level: args.level,
        limit: args.limit,
        without_outages: args.without_outages,
    })
}

/// Every scope in one table: those ranked in their order, then those with too little data,
/// then those without a rate.
fn sheet(answer: &pb::RankScopesResponse) -> Sheet {
    const COLUMNS: [&str; 13] = [
        "scope",
        "place",
        "matched",
        "taps",
        "rate",
        "low",
        "high",
        "above_network",
        "shrunken_rate",
        "shrunken_low",
        "shrunken_high",
        "expected_rank",
        "reversing_ratio",
    ];
    let mut sheet = Sheet::new(COLUMNS.map(str::to_owned).to_vec());
    let number = |value: Option<f64>| value.map_or(Value::Null, |value| json!(rounded(value)));
    for (place, one) in (1..).zip(&answer.scopes) {
        let mut row = own_cells(one.scope.as_ref(), &json!(place));
        row.push(json!(rounded(one.probability_above)));
        row.extend(
            [
                one.shrunken_rate,
                one.low,
                one.high,
                one.expected_rank,
                one.reversing_ratio,
            ]
            .map(number),
        );
        sheet.push(row);
    }
    let too_little = answer.too_little.iter().map(|one| (one, "too little data"));
    let no_rate = answer.without_rate.iter().map(|one| (one, "no rate"));
    for (scope, why) in too_little.chain(no_rate) {
        let mut row = own_cells(Some(scope), &json!(why));
        row.resize(COLUMNS.len(), Value::Null);
        sheet.push(row);
    }
    sheet
}

fn own_cells(scope: Option<&pb::ScopeRate>, place: &Value) -> Vec<Value> {
    let key = scope.and_then(|scope| scope.key.as_ref());
    let rate = scope.and_then(|scope| scope.rate.as_ref());
    let number = |value: Option<f64>| value.map_or(Value::Null, |value| json!(rounded(value)));
    vec![
        json!(key.map(|key| &key.value)),
        place.clone(),
        json!(rate.map(|rate| rate.matched)),
        json!(rate.map(|rate| rate.taps)),
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

fn write_summary(
    args: &RankArgs,
    answer: &pb::RankScopesResponse,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match answer.verdict() {
        pb::RankingVerdict::Shown => writeln!(
            out,
            "{} scopes differ by more than chance, at {}% confidence",
            answer.scopes_ranked,
            rounded(answer.level * PERCENT)
        )?,
        pb::RankingVerdict::NoDifference => writeln!(
            out,
            "no difference can be shown: the scopes scatter no more than chance has them"
        )?,
        pb::RankingVerdict::TooFewScopes | pb::RankingVerdict::Unspecified => {
            writeln!(out, "no ranking: too few scopes have enough data")?;
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
    if !answer.outage_days.is_empty() {
        let how = match args.without_outages {
            true => "left out",
            false => "counted in: leave them out with --without-outages",
        };
        let days = outage::summary(&answer.outage_days);
        writeln!(out, "days of declared outages {how}: {days}")?;
    }
    writeln!(out, "{}", answer.citation)?;
    Ok(())
}
