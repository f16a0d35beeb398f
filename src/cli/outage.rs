//! `mistap outage`: days on which the service of an operator, or of the whole network, was
//! down, as a steward declares them.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::ServerArgs;
use super::failure::Failure;
use super::output::{Card, Format, Sheet, place};
use super::when::{self, Day, Days};
use super::{say_aside, values};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::operations_service_client::OperationsServiceClient;
use crate::client::Connection;

/// What to do with outages.
#[derive(Debug, clap::Subcommand)]
pub enum OutageCommand {
    /// Declare days of an outage: figures list them, and have a second figure without them
    Declare(OutageArgs),
    /// Withdraw days of an outage
    Withdraw(OutageArgs),
    /// List the days that are declared
    List(ListArgs),
}

/// Whose, and which days.
#[derive(Debug, clap::Args)]
pub struct OutageArgs {
    /// The first day: `2026-11-01`, `today` or `yesterday`
    first: Day,
    /// The last day, as the first; the first if left out
    last: Option<Day>,
    /// Of this operator, by code; of the whole network if left out
    #[arg(long, value_parser = values::operator)]
    operator: Option<String>,
}

/// Whose.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only of these operators, by code, and of the whole network
    #[arg(long, value_delimiter = ',', value_parser = values::operator)]
    operator: Vec<String>,
    /// Everything that was told, withdrawals too, instead of the days that are declared
    #[arg(long)]
    told: bool,
}

type Client = OperationsServiceClient<Connection>;

/// Runs `mistap outage`.
pub async fn outage(
    command: OutageCommand,
    server: &ServerArgs,
    format: Format,
    now: Timestamp,
) -> Result<(), Failure> {
    let (args, is_withdrawal) = match command {
        OutageCommand::List(args) => return list(args, connect(server).await?, format).await,
        OutageCommand::Declare(args) => (args, false),
        OutageCommand::Withdraw(args) => (args, true),
    };
    let outage = to_wire(&args, now)?;
    if !is_withdrawal && Day::TODAY.date(now)?.to_string() < outage.last_day {
        // It may be planned; a year that was mistyped is seen here and nowhere else.
        say_aside(&format!("note: {} is still to come", outage.last_day));
    }
    let mut client = connect(server).await?;
    let position = change(&mut client, outage.clone(), is_withdrawal).await?;
    let mut card = Card::default();
    card.push("operator", json!(whose(&outage.operator_code)));
    card.push("first_day", json!(outage.first_day));
    card.push("last_day", json!(outage.last_day));
    let done = match (position, is_withdrawal) {
        (0, _) => "nothing to change",
        (_, false) => "declared",
        (_, true) => "withdrawn",
    };
    card.push("outcome", json!(done));
    card.push("position", json!(place(position)));
    card.print(format, &mut io::stdout().lock())
}

async fn connect(server: &ServerArgs) -> Result<Client, Failure> {
    Ok(OperationsServiceClient::new(server.connect().await?))
}

fn to_wire(args: &OutageArgs, now: Timestamp) -> Result<pb::Outage, Failure> {
    let Days { first, last } = Days::new(args.first, args.last.unwrap_or(args.first), now)?;
    Ok(pb::Outage {
        operator_code: args.operator.clone().unwrap_or_default(),
        first_day: first.to_string(),
        last_day: last.to_string(),
    })
}

async fn change(
    client: &mut Client,
    outage: pb::Outage,
    is_withdrawal: bool,
) -> Result<u64, Failure> {
    let outage = Some(outage);
    if is_withdrawal {
        let request = pb::WithdrawOutageRequest { outage };
        return Ok(client.withdraw_outage(request).await?.into_inner().position);
    }
    let request = pb::DeclareOutageRequest { outage };
    Ok(client.declare_outage(request).await?.into_inner().position)
}

async fn list(args: ListArgs, mut client: Client, format: Format) -> Result<(), Failure> {
    let request = pb::ListOutagesRequest {
        operators: args.operator,
    };
    let answer = client.list_outages(request).await?.into_inner();
    let sheet = if args.told {
        told(&answer.changes)
    } else {
        days(&answer.days)
    };
    sheet.print(format, &mut io::stdout().lock())
}

fn days(days: &[pb::OutageDay]) -> Sheet {
    let mut sheet = Sheet::new(["day", "operator"]);
    for one in days {
        sheet.push(vec![json!(one.day), json!(whose(&one.operator_code))]);
    }
    sheet
}

fn told(changes: &[pb::OutageChange]) -> Sheet {
    let mut sheet = Sheet::new([
        "position",
        "told_at",
        "what",
        "operator",
        "first_day",
        "last_day",
    ]);
    for change in changes {
        let outage = change.outage.clone().unwrap_or_default();
        let at = when::from_wire(change.told_at.as_ref()).map(when::written);
        sheet.push(vec![
            json!(place(change.position)),
            json!(at),
            json!(if change.withdrawn {
                "withdrawn"
            } else {
                "declared"
            }),
            json!(whose(&outage.operator_code)),
            json!(outage.first_day),
            json!(outage.last_day),
        ]);
    }
    sheet
}

/// An operator, or `network`, which is no operator code: those are written large.
fn whose(operator: &str) -> &str {
    if operator.is_empty() {
        "network"
    } else {
        operator
    }
}

/// Days in an answer.
pub(super) fn listed(days: &[pb::OutageDay]) -> Vec<Value> {
    let one = |day: &pb::OutageDay| json!({"day": day.day, "operator": whose(&day.operator_code)});
    days.iter().map(one).collect()
}

/// The same for people, with what is done with them; nothing if there are none.
pub(super) fn write_days(
    days: &[pb::OutageDay],
    how: &str,
    out: &mut impl Write,
) -> Result<(), Failure> {
    if !days.is_empty() {
        writeln!(out, "days of declared outages, {how}: {}", summary(days))?;
    }
    Ok(())
}

/// The same in one line, however many they are.
pub(super) fn summary(days: &[pb::OutageDay]) -> String {
    const SHOWN: usize = 8;
    let one = |day: &pb::OutageDay| format!("{} {}", day.day, whose(&day.operator_code));
    let mut shown: Vec<String> = days.iter().take(SHOWN).map(one).collect();
    if SHOWN < days.len() {
        shown.push(format!("and {} more", days.len() - SHOWN));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_of_many_days_stays_short() {
        let day = |number: usize| pb::OutageDay {
            day: format!("2026-10-{number:02}"),
            operator_code: if number == 1 { "" } else { "GVB" }.to_owned(),
        };
        let days: Vec<_> = (1..=10).map(day).collect();
        assert_eq!(summary(&days[..2]), "2026-10-01 network, 2026-10-02 GVB");
        assert!(summary(&days).ends_with("2026-10-08 GVB, and 2 more"));
        assert_eq!(listed(&days[..1])[0]["operator"], "network");
    }
}
