//! Says on standard error where a code that was typed is none that the server's network has, or a
//! stop that none of its lines serves: a misspelt operator, line or stop has no reports, and a zero
//! that looks like a figure would be all that is seen of it.

use super::client::ServerArgs;
use super::failure::Failure;
use super::question::PlacesArgs;
use super::say_aside;
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::network_service_client::NetworkServiceClient;
use crate::client::Connection;
use crate::domain::text::is_card_like;

/// Lines asked for at once, and how often at most: more than any operator has.
const LINES_PER_PAGE: u32 = 1_000;
const PAGES_MAX: usize = 10;

type Client = NetworkServiceClient<Connection>;

/// Warns of codes that the network has not. Where there is no network, or it cannot be asked,
/// nothing is said.
pub(super) async fn warn(places: &PlacesArgs, server: &ServerArgs) -> Result<(), Failure> {
    if places.is_everywhere() {
        return Ok(());
    }
    let mut client = NetworkServiceClient::new(server.connect().await?);
    let Ok(answer) = client.list_operators(pb::ListOperatorsRequest {}).await else {
        return Ok(());
    };
    let operators = answer.into_inner().operators;
    if operators.is_empty() {
        return Ok(());
    }
    let has_operator = |code: &str| operators.iter().any(|one| one.operator_code == code);
    for code in &places.operator {
        if !has_operator(code) {
            say(
                "the network has no operator",
                code,
                "`mistap network operators` lists those that it has",
            );
        }
    }
    for line in &places.line {
        let code = line.split(':').next().unwrap_or_default();
        if !has_operator(code) || !has_line(&mut client, code, line).await {
            let hint = format!("`mistap network lines --operator {code}` lists those that it has");
            say("the network has no line", line, &hint);
        }
    }
    for stop in &places.stop {
        if !has_stop(&mut client, stop).await {
            say(
                "no line of the network serves stop",
                stop,
                "`mistap network search NAME` finds the stops that it has",
            );
        }
    }
    Ok(())
}

async fn has_line(client: &mut Client, operator: &str, line: &str) -> bool {
    let mut request = pb::ListLinesRequest {
        operator_code: operator.to_owned(),
        page_size: LINES_PER_PAGE,
        ..pb::ListLinesRequest::default()
    };
    for _ in 0..PAGES_MAX {
        let Ok(answer) = client.list_lines(request.clone()).await else {
            return true;
        };
        let answer = answer.into_inner();
        if answer.lines.iter().any(|one| one.line_id == line) {
            return true;
        }
        if answer.next_page_token.is_empty() {
            return false;
        }
        request.page_token = answer.next_page_token;
    }
    true
}

/// Whether a line serves it: a stop that none does is in no figure by line either.
async fn has_stop(client: &mut Client, stop: &str) -> bool {
    let request = pb::ListLinesRequest {
        stop_id: stop.to_owned(),
        page_size: 1,
        ..pb::ListLinesRequest::default()
    };
    let answer = client.list_lines(request).await;
    answer.map_or(true, |answer| !answer.into_inner().lines.is_empty())
}

fn say(unknown: &str, code: &str, hint: &str) {
    // Codes of stops may be as long as a card's number.
    let name = if is_card_like(code) {
        "with this code"
    } else {
        code
    };
    say_aside(&format!("warning: {unknown} {name}; {hint}"));
}
