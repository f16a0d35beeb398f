//! `mistap cases`: the reports that an operator works through, its answers, and how long they
//! took.

use std::io::{self, Write};

use serde_json::json;

use super::choices::{choice, key, number, numbers};
use super::client::ServerArgs;
use super::failure::Failure;
use super::output::{Card, Format, Sheet};
use super::question::{AsOfArgs, PlacesArgs};
use super::report::reply;
use super::when::{self, Day, Days};
use super::{say_aside, unknown, values};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::operations_service_client::OperationsServiceClient;
use crate::client::Connection;
use crate::domain::taxonomy::{CardKind, CaseState, ClosedReason, Mode, Signal, TapKind};

/// More than any record has.
const ROWS_MAX: usize = 1_000_000_000;

/// What to do with reports.
#[derive(Debug, clap::Subcommand)]
pub enum CasesCommand {
    /// List reports, the latest first
    List(ListArgs),
    /// Answer a report
    Respond(RespondArgs),
    /// Say how long answers and repairs took
    Times(TimesArgs),
}

/// Which reports to list.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    places: PlacesArgs,
    /// Only those of which the operator said this last
    #[arg(long, value_parser = choice::<CaseState>(), value_delimiter = ',')]
    state: Vec<CaseState>,
    /// Only those without an answer
    #[arg(long)]
    unanswered: bool,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = values::whole(1, ROWS_MAX))]
    rows: usize,
}

/// What to answer.
#[derive(Debug, clap::Args)]
pub struct RespondArgs {
    /// The case number, as `mistap cases list` shows it
    case: String,
    /// What to say
    #[arg(value_parser = choice::<CaseState>())]
    state: CaseState,
    /// Why, with `closed-unfixed`
    #[arg(long, value_parser = choice::<ClosedReason>())]
    reason: Option<ClosedReason>,
    /// To the reporter; without contact data
    #[arg(long, default_value = "", hide_default_value = true)]
    message: String,
}

/// Of whom and when.
#[derive(Debug, clap::Args)]
pub struct TimesArgs {
    /// Only of these operators, by code
    #[arg(long, value_delimiter = ',', value_parser = values::operator)]
    operator: Vec<String>,
    /// From this day on: `2026-11-01`
    #[arg(long)]
    from: Day,
    /// To the end of this day: `2026-11-30`, `today`
    #[arg(long, default_value = "today")]
    to: Day,
    #[command(flatten)]
    at: AsOfArgs,
}

/// Runs `mistap cases`.
pub async fn cases(
    command: CasesCommand,
    server: &ServerArgs,
    format: Format,
    now: jiff::Timestamp,
) -> Result<(), Failure> {
    let client = OperationsServiceClient::new(server.connect().await?);
    match command {
        CasesCommand::List(args) => {
            let places = args.places.clone();
            match list(args, client, format).await? {
                0 => unknown::warn(&places, server).await,
                _ => Ok(()),
            }
        }
        CasesCommand::Respond(args) => respond(args, client, format).await,
        CasesCommand::Times(args) => times(args, client, format, now).await,
    }
}

type Client = OperationsServiceClient<Connection>;

/// Prints them, and says how many they are.
async fn list(args: ListArgs, mut client: Client, format: Format) -> Result<usize, Failure> {
    let mut request = pb::ListIncidentsRequest {
        operators: args.places.operator,
        lines: args.places.line,
        stops: args.places.stop,
        states: numbers(&args.state),
        unanswered: args.unanswered,
        ..pb::ListIncidentsRequest::default()
    };
    let mut sheet = Sheet::new([
        "case_number",
        "received_at",
        "operator",
        "line",
        "stop",
        "mode",
        "tap_kind",
        "signal",
        "card_kind",
        "vehicle",
        "state",
        "disputed",
        "note",
    ]);
    let mut left = args.rows;
    let mut has_more = false;
    while 0 < left {
        let answer = client.list_incidents(request.clone()).await?.into_inner();
        for case in answer.cases.iter().take(left) {
            sheet.push(row(case));
        }
        has_more = left < answer.cases.len() || !answer.next_page_token.is_empty();
        left = left.saturating_sub(answer.cases.len());
        if answer.next_page_token.is_empty() {
            break;
        }
        request.page_token = answer.next_page_token;
    }
    sheet.print(format, &mut io::stdout().lock())?;
    if has_more {
        say_aside(&"more reports: raise --rows or narrow it");
    }
    Ok(args.rows - left)
}

fn row(case: &pb::Case) -> Vec<serde_json::Value> {
    let default = pb::IncidentFacts::default();
    let facts = case.incident.as_ref().unwrap_or(&default);
    let received = when::from_wire(case.received_at.as_ref()).map(when::written);
    let or = |id: &str, words: &str| json!(if id.is_empty() { words } else { id });
    vec![
        json!(case.case_number),
        json!(received),
        json!(facts.operator),
        or(&facts.line, &case.line_words),
        or(&facts.stop, &case.stop_words),
        json!(key::<Mode>(facts.mode)),
        json!(key::<TapKind>(facts.tap_kind)),
        json!(key::<Signal>(facts.signal)),
        json!(key::<CardKind>(facts.card_kind)),
        json!(case.vehicle),
        json!(key::<CaseState>(case.state)),
        json!(case.disputed),
        json!(case.note),
    ]
}

async fn respond(args: RespondArgs, mut client: Client, format: Format) -> Result<(), Failure> {
    let request = pb::RespondToIncidentRequest {
        case_number: args.case,
        state: number(Some(args.state)),
        reason: number(args.reason),
        message: args.message,
    };
    let answer = client.respond_to_incident(request).await?.into_inner();
    let case = answer.case.unwrap_or_default();
    let mut card = Card::default();
    card.push("case_number", case.case_number.clone());
    card.push("state", key::<CaseState>(case.state));
    let replies: Vec<String> = case.replies.iter().map(reply).collect();
    card.push("replies", replies);
    card.print(format, &mut io::stdout().lock())
}

async fn times(
    args: TimesArgs,
    mut client: Client,
    format: Format,
    now: jiff::Timestamp,
) -> Result<(), Failure> {
    let days = Days::new(args.from, args.to, now)?;
    let request = pb::GetReplyTimesRequest {
        operators: args.operator,
        window: Some(days.to_wire()?),
        as_of_position: args.at.as_of,
    };
    let answer = client.get_reply_times(request).await?.into_inner();
    let mut sheet = Sheet::new([
        "operator",
        "reports",
        "answered",
        "first_reply_median_seconds",
        "first_reply_p90_seconds",
        "repaired",
        "repair_median_seconds",
        "repair_p90_seconds",
        "closed_unfixed",
        "disputed",
    ]);
    for one in answer.operators {
        let (first, repair) = (
            one.first_reply.unwrap_or_default(),
            one.repair.unwrap_or_default(),
        );
        sheet.push(vec![
            json!(one.operator),
            json!(one.reports),
            json!(one.answered),
            json!(first.median_seconds),
            json!(first.p90_seconds),
            json!(one.repaired),
            json!(repair.median_seconds),
            json!(repair.p90_seconds),
            json!(one.closed_unfixed),
            json!(one.disputed),
        ]);
    }
    sheet.print(format, &mut io::stdout().lock())?;
    // Beside them, so that a program that reads them need not pass over it.
    Ok(writeln!(io::stderr().lock(), "{}", answer.citation)?)
}
