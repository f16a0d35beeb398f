//! `mistap network`: search stops, list lines and operators.

use std::io;

use serde_json::{Value, json};

use super::choices::key;
use super::client::ServerArgs;
use super::failure::Failure;
use super::output::{Format, Sheet};
use super::{AskNetwork, say_aside, values};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::network_service_client::NetworkServiceClient;
use crate::client::Connection;
use crate::domain::limits::{
    LINES_PER_PAGE_MAX, LINES_WITH_STOPS_PER_PAGE_MAX, RADIUS_METRES_DEFAULT, RADIUS_METRES_MAX,
    STOPS_PER_ANSWER_MAX,
};
use crate::domain::taxonomy::Mode;

/// More lines than any network has.
const ROWS_MAX: usize = 1_000_000_000;
/// Lines of a stop that a table names.
const LINES_SHOWN: usize = 6;

/// Stops by name.
#[derive(Debug, clap::Args)]
pub struct SearchArgs {
    /// What to look for: words of the name, in any order
    #[arg(required = true)]
    words: Vec<String>,
    /// At most so many stops
    #[arg(long, default_value_t = 10, value_parser = values::whole(1, STOPS_PER_ANSWER_MAX))]
    limit: usize,
}

/// Stops around a position.
#[derive(Debug, clap::Args)]
pub struct NearArgs {
    /// Degrees north
    #[arg(allow_negative_numbers = true)]
    latitude: f64,
    /// Degrees east
    #[arg(allow_negative_numbers = true)]
    longitude: f64,
    /// Metres
    #[arg(
        long,
        default_value_t = RADIUS_METRES_DEFAULT,
        value_parser = values::whole(1, RADIUS_METRES_MAX)
    )]
    radius: u32,
    /// At most so many stops
    #[arg(long, default_value_t = 10, value_parser = values::whole(1, STOPS_PER_ANSWER_MAX))]
    limit: usize,
}

/// Lines.
#[derive(Debug, clap::Args)]
pub struct LinesArgs {
    /// Only this operator's, by code
    #[arg(long, value_parser = values::operator)]
    operator: Option<String>,
    /// Only those that serve this stop, by code
    #[arg(long, default_value = "", hide_default_value = true)]
    stop: String,
    /// Only those with this number on the vehicle
    #[arg(long, default_value = "", hide_default_value = true)]
    number: String,
    /// Show the stops of each direction, in order
    #[arg(long)]
    stops: bool,
    /// At most so many lines
    #[arg(long, default_value_t = 50, value_parser = values::whole(1, ROWS_MAX))]
    limit: usize,
}

type Client = NetworkServiceClient<Connection>;

/// Asks a server and prints what it answers, and beside it whether that is not all.
pub async fn ask(ask: AskNetwork, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let mut client = NetworkServiceClient::new(server.connect().await?);
    let mut more = None;
    let sheet = match ask {
        AskNetwork::Search(args) => {
            let request = pb::SearchStopsRequest {
                query: args.words.join(" "),
                limit: u32::try_from(args.limit).unwrap_or(u32::MAX),
            };
            stops(
                client.search_stops(request).await?.into_inner().stops,
                format,
            )
        }
        AskNetwork::Near(args) => {
            let request = pb::NearbyStopsRequest {
                latitude: args.latitude,
                longitude: args.longitude,
                radius_metres: args.radius,
                limit: u32::try_from(args.limit).unwrap_or(u32::MAX),
            };
            let found = client.nearby_stops(request).await?.into_inner().stops;
            let is_full = args.limit <= found.len();
            more = is_full.then_some("there may be more stops: raise --limit or lower --radius");
            nearby(found, format)
        }
        AskNetwork::Lines(args) => {
            let with_stops = args.stops;
            let (found, has_more) = list_lines(args, &mut client).await?;
            more = has_more.then_some("more lines: raise --limit or narrow it");
            if with_stops {
                line_stops(found)
            } else {
                lines(found)
            }
        }
        AskNetwork::Operators => {
            let request = pb::ListOperatorsRequest {};
            operators(client.list_operators(request).await?.into_inner())
        }
    };
    sheet.print(format, &mut io::stdout().lock())?;
    if let Some(more) = more {
        say_aside(&more);
    }
    Ok(())
}

/// Asks page by page until there are as many lines as were asked for, or no more; tells whether
/// there are.
async fn list_lines(
    args: LinesArgs,
    client: &mut Client,
) -> Result<(Vec<pb::Line>, bool), Failure> {
    let page_max = match args.stops {
        true => LINES_WITH_STOPS_PER_PAGE_MAX,
        false => LINES_PER_PAGE_MAX,
    };
    let mut request = pb::ListLinesRequest {
        operator_code: args.operator.unwrap_or_default(),
        stop_id: args.stop,
        public_number: args.number,
        with_stops: args.stops,
        ..pb::ListLinesRequest::default()
    };
    let mut lines = Vec::new();
    while lines.len() < args.limit {
        let wanted = page_max.min(args.limit - lines.len());
        request.page_size = u32::try_from(wanted).unwrap_or(u32::MAX);
        let mut answer = client.list_lines(request.clone()).await?.into_inner();
        lines.append(&mut answer.lines);
        request.page_token = answer.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    Ok((lines, !request.page_token.is_empty()))
}

/// The lines that serve a stop: all of them for programs, some for people.
fn serving(lines: &[String], format: Format) -> Value {
    let shown = if format == Format::Table {
        LINES_SHOWN
    } else {
        lines.len()
    };
    let some = lines
        .iter()
        .take(shown)
        .cloned()
        .collect::<Vec<_>>()
        .join(" ");
    match lines.len().saturating_sub(shown) {
        0 => json!(some),
        more => json!(format!("{some} and {more} more")),
    }
}

fn stops(stops: Vec<pb::Stop>, format: Format) -> Sheet {
    let mut sheet = Sheet::new(["stop_id", "name", "town", "lines"]);
    for stop in stops {
        sheet.push(vec![
            json!(stop.stop_id),
            json!(stop.name),
            json!(stop.town),
            serving(&stop.line_ids, format),
        ]);
    }
    sheet
}

fn nearby(stops: Vec<pb::NearbyStop>, format: Format) -> Sheet {
    let mut sheet = Sheet::new(["metres", "stop_id", "name", "town", "lines"]);
    for near in stops {
        let stop = near.stop.unwrap_or_default();
        sheet.push(vec![
            json!(near.distance_metres),
            json!(stop.stop_id),
            json!(stop.name),
            json!(stop.town),
            serving(&stop.line_ids, format),
        ]);
    }
    sheet
}

fn lines(lines: Vec<pb::Line>) -> Sheet {
    let mut sheet = Sheet::new([
        "line_id",
        "number",
        "mode",
        "name",
        "valid_from",
        "valid_until",
    ]);
    for line in lines {
        sheet.push(vec![
            json!(line.line_id),
            json!(line.public_number),
            json!(key::<Mode>(line.mode)),
            json!(line.name),
            json!(line.valid_from),
            json!(line.valid_until),
        ]);
    }
    sheet
}

fn line_stops(lines: Vec<pb::Line>) -> Sheet {
    let mut sheet = Sheet::new(["line_id", "direction", "place", "stop_id", "name"]);
    for line in lines {
        for direction in line.directions {
            for (place, stop) in direction.stops.into_iter().enumerate() {
                sheet.push(vec![
                    json!(line.line_id),
                    json!(direction.headsign),
                    json!(place + 1),
                    json!(stop.stop_id),
                    json!(stop.name),
                ]);
            }
        }
    }
    sheet
}

fn operators(response: pb::ListOperatorsResponse) -> Sheet {
    let mut sheet = Sheet::new(["operator", "name", "lines"]);
    for operator in response.operators {
        sheet.push(vec![
            json!(operator.operator_code),
            json!(operator.name),
            json!(operator.lines),
        ]);
    }
    sheet
}
