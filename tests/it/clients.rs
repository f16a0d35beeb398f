//! Clients that we did not write the protocol of: grpcio in Python, and Connect over gRPC-Web
//! in Node, as `examples/clients` has them. Each hears what happens, hears that the service
//! stops and when to come back, and goes on after the restart where it was.
//!
//! A client that is not ready (`make clients`) is skipped, and the output says so; with
//! `MISTAP_CLIENTS=required` its test fails instead.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::reporting_service_client::ReportingServiceClient;
use mistap::auth::{NewToken, Role, Token, TokenFile};
use mistap::domain::LocalDay;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::child::{self, PATIENCE};
use crate::support::{Service, founding_story, report};

const PYTHON_MODULES: &str = "import grpc, grpc_status, grpc_tools";
const NOT_READY: &str = "not ready: make clients";

/// The Python that has what the clients need: that of `make clients`, or else the one in the path.
fn python() -> Command {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients/bin/python3");
    let is_there = Path::new(own).exists();
    Command::new(if is_there { own } else { "python3" })
}

async fn python_has(modules: &str) -> bool {
    let output = python().args(["-c", modules]).output().await;
    output.is_ok_and(|output| output.status.success())
}

/// Says that something is skipped, or fails where it has to run.
fn skip(what: &str) {
    let required = std::env::var("MISTAP_CLIENTS").is_ok_and(|value| value == "required");
    assert!(!required, "{what}: {NOT_READY}");
    child::skip(&format!("{what}: {NOT_READY}"));
}

/// A client of ours in another language.
#[derive(Clone, Copy, Debug)]
enum Client {
    Python,
    Node,
}

impl Client {
    fn folder(self) -> &'static Path {
        Path::new(match self {
            Self::Python => concat!(env!("CARGO_MANIFEST_DIR"), "/examples/clients/python"),
            Self::Node => concat!(env!("CARGO_MANIFEST_DIR"), "/examples/clients/node"),
        })
    }

    fn command(self, address: SocketAddr, what: &str, token: &Token) -> Command {
        let mut command = match self {
            Self::Python => {
                let mut command = python();
                command.args(["watch.py", &address.to_string()]);
                command
            }
            Self::Node => {
                let mut command = Command::new("node");
                command.args(["watch.js", &format!("http://{address}")]);
                command
            }
        };
        command.arg(what).current_dir(self.folder());
        command.env("MISTAP_TOKEN", token.expose());
        command
    }

    async fn is_ready(self) -> bool {
        match self {
            Self::Python => python_has(PYTHON_MODULES).await,
            Self::Node => {
                let made = self.folder().join("generated/mistap/v1/live_service_pb.js");
                made.is_file()
            }
        }
    }
}

/// A client that runs.
struct Running {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(client: Client, address: SocketAddr, what: &str, token: &Token) -> Self {
        let mut command = client.command(address, what, token);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.kill_on_drop(true).spawn().expect("it runs");
        let stdout = process.stdout.take().expect("it is piped");
        Self {
            _process: process,
            lines: BufReader::new(stdout).lines(),
        }
    }

    /// What it tells next.
    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("a word in time").expect("it is text");
        serde_json::from_str(&line.expect("it goes on")).expect("it is JSON")
    }

    /// What it tells next of a kind, and whether it heard between that the service stops, and
    /// when to come back.
    async fn next_of(&mut self, kind: &str) -> (Value, bool) {
        let mut has_heard = false;
        loop {
            let told = self.next().await;
            if told["kind"] == kind {
                return (told, has_heard);
            }
            let is_unavailable = told["ended"] == "UNAVAILABLE";
            has_heard |= is_unavailable && told["retry_seconds"].is_number();
        }
    }
}

/// A service over this folder asks for tokens from now on, and this is one.
fn steward(folder: &TempDir) -> Token {
    let new = NewToken {
        label: "watches".into(),
        role: Role::Steward,
        operators: Default::default(),
    };
    let today = LocalDay::parse("2026-11-23").expect("a date");
    TokenFile::add(folder.path(), new, today).expect("made")
}

async fn report_to(service: &Service) -> u64 {
    let channel = service.connect().await;
    report(&channel, founding_story()).await.position
}

async fn check(client: Client) {
    if !client.is_ready().await {
        skip(&format!("{client:?}"));
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let token = steward(&folder);
    let service = Service::start_in(folder).await;
    let address = service.address();
    let mut incidents = Running::start(client, address, "incidents", &token);
    let mut rates = Running::start(client, address, "rates", &token);
    incidents.next_of("heartbeat").await;
    let (told, _) = rates.next_of("snapshot").await;
    assert_eq!(told["total"], json!(0));
    let first = report_to(&service).await;
    let (told, _) = incidents.next_of("events").await;
    assert_eq!(told["events"], json!([first.to_string()]));
    let (told, _) = rates.next_of("changes").await;
    assert_eq!(told["total"], json!(1));

    let dir = service.stop().await;
    let service = Service::start_with(dir, |settings| settings.listen = address).await;
    // Nothing happened that they had not heard.
    let (_, has_heard) = rates.next_of("resumed").await;
    assert!(has_heard, "{client:?}, rates");
    let second = report_to(&service).await;
    let (told, has_heard) = incidents.next_of("events").await;
    assert_eq!(told["events"], json!([second.to_string()]));
    assert!(has_heard, "{client:?}, incidents");
    let (told, _) = rates.next_of("changes").await;
    assert_eq!(told["total"], json!(2));
    drop((incidents, rates));
    service.stop().await;
}

#[tokio::test]
async fn grpcio_watches_hears_the_drain_and_resumes() {
    check(Client::Python).await;
}

#[tokio::test]
async fn connect_over_grpc_web_watches_hears_the_drain_and_resumes() {
    check(Client::Node).await;
}

/// The founding story as JSON, by the names of the API.
fn founding_story_in_json(occurred_at: &str) -> Value {
    json!({
        "occurredAt": occurred_at,
        "mode": "MODE_TRAM",
        "tapKind": "TAP_KIND_CHECK_IN",
        "operator": "GVB",
        "line": "10",
        "signal": "SIGNAL_RED_BEEP",
        "cardKind": "CARD_KIND_STUDENT",
        "staffPresent": "STAFF_PRESENCE_YES",
        "staffActs": [
            "STAFF_ACT_LET_RIDE_FREE",
            "STAFF_ACT_WAITED_OR_HELPED",
            "STAFF_ACT_SYMPATHISED",
            "STAFF_ACT_KNEW_THE_PROBLEM",
        ],
        "staffMinutes": "STAFF_MINUTES_ONE_TO_FIVE",
        "outcomes": ["OUTCOME_FREE_RIDE"],
        "note": "ach, meisje, you may ride for free, those stupid student cards",
    })
}

#[tokio::test]
async fn client_that_knows_us_by_reflection_alone_tells_the_founding_story_and_gets_it_whole() {
    if !python_has("import grpc, grpc_reflection").await {
        skip("reflection");
        return;
    }
    // Its ids are of now, as those of every client.
    let folder = TempDir::new().expect("a folder");
    let clock = mistap::app::system_clock();
    let service = Service::start_with(folder, |settings| settings.clock = clock.clone()).await;
    let story = founding_story_in_json(&clock().to_string());
    let mut command = python();
    command.args(["report.py", &service.address().to_string()]);
    command
        .current_dir(Client::Python.folder())
        .kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().expect("it runs");
    let mut input = process.stdin.take().expect("it is piped");
    let written = input.write_all(story.to_string().as_bytes()).await;
    written.expect("it is read");
    drop(input);
    let output = tokio::time::timeout(PATIENCE, process.wait_with_output()).await;
    let output = output.expect("in time").expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("text");
    let said: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(said[0]["accepted"]["lineMatch"]["id"], "GVB:10");
    let kept = said[1]["recorded"]["incident"]
        .as_object()
        .expect("a report");
    for (field, value) in story.as_object().expect("fields") {
        let kept = kept.get(field).unwrap_or(&Value::Null);
        let is_same = match (kept.as_array(), value.as_array()) {
            (Some(kept), Some(told)) => {
                kept.len() == told.len() && told.iter().all(|one| kept.contains(one))
            }
            _ => kept == value,
        };
        assert!(is_same, "{field}: {kept} for {value}");
    }
    assert_eq!(kept["reporter"], "REPORTER_KIND_TRAVELLER");
    service.stop().await;
}

/// Another receipt at each place: one bit of one letter is another. The bit is one that no
/// decoder may pass over, as some do with the last ones.
fn changed(receipt: &str) -> Vec<String> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let other = |letter: u8| {
        let number = LETTERS.iter().position(|one| *one == letter);
        number.map_or(b'A', |number| LETTERS[number ^ 0b10_0000])
    };
    let change = |place: usize| {
        let mut bytes = receipt.as_bytes().to_vec();
        bytes[place] = other(bytes[place]);
        String::from_utf8(bytes).expect("letters")
    };
    (0..receipt.len()).map(change).collect()
}

#[tokio::test]
async fn library_that_knows_nothing_of_us_checks_receipts_and_refuses_each_changed_byte() {
    if !python_has("import jwcrypto").await {
        skip("jwcrypto");
        return;
    }
    let service = Service::start().await;
    let mut client = ReportingServiceClient::new(service.connect().await);
    let incident = founding_story();
    let request = pb::ReportIncidentRequest {
        incident: Some(incident.clone()),
        want_receipt: true,
        ..pb::ReportIncidentRequest::default()
    };
    let answer = client.report_incident(request).await.expect("recorded");
    let receipt = answer.into_inner().receipt;
    let folder = service.stop().await;
    let keys = mistap::auth::ReceiptKeys::open(folder.path()).expect("kept");
    let jwks = folder.path().join("jwks.json");
    std::fs::write(&jwks, keys.jwks()).expect("written");
    let lines: Vec<String> = std::iter::once(receipt.clone())
        .chain(changed(&receipt))
        .collect();
    let receipts = folder.path().join("receipts");
    std::fs::write(&receipts, lines.join("\n")).expect("written");
    let mut command = python();
    command.arg("receipt.py").arg(&jwks);
    command.current_dir(Client::Python.folder());
    command.stdin(std::fs::File::open(&receipts).expect("there"));
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("in time").expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("text");
    let said: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(said.len(), lines.len());
    let checks = mistap::auth::receipts::parse_jwks(&keys.jwks()).expect("keys");
    let claims = mistap::auth::receipts::verify(&receipt, &checks).expect("signed");
    assert_eq!(said[0]["claims"], claims);
    assert_eq!(claims["incident_id"], incident.incident_id);
    for (place, said) in said[1..].iter().enumerate() {
        assert!(said["refused"].is_string(), "{place}: {said}");
    }
}
