//! `mistap tail`: incidents as they are recorded, a line for each. It connects again by itself,
//! goes on where it was, and says since when it has heard nothing.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::ServerArgs;
use super::failure::Failure;
use super::output::Format;
use super::when;
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::incident_event::Change;
use crate::api::pb::v1::watch_incidents_request::Start;
use crate::api::pb::v1::watch_incidents_response::Update;
use crate::client::{Follower, Heard};
use crate::domain::taxonomy::{CardKind, Mode, Signal, Taxonomy};

/// What a line shows, but of JSON, which has more.
const COLUMNS: [&str; 9] = [
    "position",
    "received_at",
    "change",
    "operator",
    "line",
    "stop",
    "mode",
    "signal",
    "card_kind",
];

/// Which incidents to tell.
#[derive(Debug, clap::Args)]
pub struct TailArgs {
    /// Only of these operators, by code
    #[arg(long, value_delimiter = ',')]
    operator: Vec<String>,
    /// Only on these lines, by identifier: `GVB:10`
    #[arg(long, value_delimiter = ',')]
    line: Vec<String>,
    /// Begin with what was recorded at this time: 2026-11-23T08:15, local
    #[arg(long)]
    from: Option<String>,
    /// End after so many incidents
    #[arg(long)]
    events: Option<u64>,
}

/// Runs `mistap tail`.
pub async fn tail(args: &TailArgs, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let from = args.from.as_deref().map(when::instant).transpose()?;
    let request = pb::WatchIncidentsRequest {
        operators: args.operator.clone(),
        lines: args.line.clone(),
        start: from.map(|from| Start::FromTime(when::to_wire(from))),
    };
    let mut follower = Follower::new(server.endpoint()?, server.bearer()?, request);
    if format == Format::Csv {
        writeln!(io::stdout(), "{}", COLUMNS.join(","))?;
    }
    let mut left = args.events.unwrap_or(u64::MAX);
    while 0 < left {
        match follower.next().await? {
            Heard::Message(message) => {
                let Some(Update::Events(events)) = message.update else {
                    continue;
                };
                for event in events.events {
                    if 0 < left {
                        print(&event, format)?;
                        left -= 1;
                    }
                }
            }
            Heard::Lost => {
                let seconds = follower
                    .heard()
                    .map_or(0, |heard| heard.elapsed().as_secs());
                writeln!(
                    io::stderr(),
                    "no connection, nothing heard for {seconds} s; trying again"
                )?;
            }
        }
    }
    Ok(())
}

fn print(event: &pb::IncidentEvent, format: Format) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let line = to_json(event);
    match format {
        Format::Json => writeln!(out, "{line}")?,
        Format::Table | Format::Csv => {
            let separator = if format == Format::Csv { "," } else { "  " };
            let cells = COLUMNS.map(|column| match &line[column] {
                Value::String(text) if text.is_empty() && format == Format::Table => "-".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            writeln!(out, "{}", cells.join(separator))?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Without what was not said.
fn to_json(event: &pb::IncidentEvent) -> Value {
    let facts = event.incident.clone().unwrap_or_default();
    let received = when::from_wire(event.received_at.as_ref());
    let (change, recorded_position) = match &event.change {
        Some(Change::Withdrawn(withdrawn)) => ("withdrawn", Some(withdrawn.recorded_position)),
        Some(Change::Recorded(_)) => ("recorded", None),
        None => ("unknown", None),
    };
    json!({
        "position": event.position,
        "received_at": when::written(received.unwrap_or(Timestamp::UNIX_EPOCH)),
        "change": change,
        "recorded_position": recorded_position,
        "operator": facts.operator,
        "line": facts.line,
        "stop": facts.stop,
        "mode": key::<Mode>(facts.mode),
        "signal": key::<Signal>(facts.signal),
        "card_kind": key::<CardKind>(facts.card_kind),
    })
}

/// The key of a choice; empty if it was not made or is not known here.
fn key<T: Taxonomy>(number: i32) -> &'static str {
    let value = u8::try_from(number).ok().and_then(T::from_number);
    value.map_or("", Taxonomy::key)
}
