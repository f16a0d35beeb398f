//! No card number, secret or installation id is in any file, log or answer, however it was
//! sent and however much is logged.

mod everywhere;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::live_service_client::LiveServiceClient;
use mistap::api::pb::v1::network_service_client::NetworkServiceClient;
use mistap::api::pb::v1::operations_service_client::OperationsServiceClient;
use mistap::api::pb::v1::reporting_service_client::ReportingServiceClient;
use mistap::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use mistap::config::{LogFormat, LogSettings};
use mistap::telemetry;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::child::{self, Server, exchange};
use crate::reports::{self, Reporter};
use crate::support::once_open;

/// OV-chipkaart numbers with a good check digit, without one, and a bank card's.
const NUMBERS: [u64; 4] = [
    3_528_016_044_719_359,
    3_528_077_133_926_480,
    4_539_578_763_621_486,
    5_425_233_430_109_903,
];
const INSTALLATION: &str = "inst-7Qm2zR9xWc4Lk8Vb";
/// Makes this program the one that panics.
const PANICS: &str = "MISTAP_TEST_PANICS";
const PANIC_TEST: &str = "privacy::panic_is_logged_by_its_place_without_its_message";

/// How people write a number of 16 digits.
fn writings(number: u64) -> Vec<String> {
    let digits = number.to_string();
    let groups = [&digits[..4], &digits[4..8], &digits[8..12], &digits[12..]];
    let mut writings = vec![digits.clone()];
    writings.extend([" ", "-", " - ", "."].map(|between| groups.join(between)));
    writings
}

/// Everything that may be found nowhere.
struct Forbidden(Vec<(String, Vec<u8>)>);

impl Forbidden {
    fn new(secrets: &[[u8; 32]]) -> Self {
        let mut forbidden = Self(Vec::new());
        for number in NUMBERS {
            forbidden.add_number(number);
        }
        forbidden.add("installation id", INSTALLATION);
        for secret in secrets {
            forbidden.add("secret", secret);
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            forbidden.add("secret in hexadecimal", hex);
            forbidden.add(
                "secret as a list",
                format!("{secret:?}").trim_matches(['[', ']']),
            );
        }
        forbidden
    }

    fn add(&mut self, what: &str, bytes: impl AsRef<[u8]>) {
        self.0.push((what.to_owned(), bytes.as_ref().to_vec()));
    }

    fn add_number(&mut self, number: u64) {
        let digits = number.to_string();
        for writing in writings(number) {
            self.add(&format!("{number} as {writing}"), &writing);
        }
        let wide: Vec<u8> = digits.bytes().flat_map(|digit| [digit, 0]).collect();
        self.add(&format!("{number} in UTF-16"), wide);
        let value = |digit: u8| digit - b'0';
        let plain: Vec<u8> = digits.bytes().map(value).collect();
        let pairs = plain.chunks(2);
        let packed: Vec<u8> = pairs.clone().map(|pair| pair[0] << 4 | pair[1]).collect();
        let swapped: Vec<u8> = pairs.map(|pair| pair[1] << 4 | pair[0]).collect();
        self.add(&format!("{number} packed"), packed);
        self.add(&format!("{number} packed the other way"), swapped);
        self.add(&format!("{number} as plain digits"), plain);
        self.add(&format!("{number} big-endian"), &number.to_be_bytes()[1..]);
        self.add(
            &format!("{number} little-endian"),
            &number.to_le_bytes()[..7],
        );
    }

    /// What is found in the bytes.
    fn found(&self, bytes: &[u8]) -> Option<&str> {
        let is_in = |needle: &[u8]| {
            let first = needle[0];
            let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
            let mut starts = starts.map(|(start, _)| start);
            starts.any(|start| bytes[start..].starts_with(needle))
        };
        let found = self.0.iter().find(|(_, needle)| is_in(needle));
        found.map(|(what, _)| what.as_str())
    }

    fn check(&self, place: &str, bytes: &[u8]) {
        let found = self.found(bytes);
        assert!(
            found.is_none(),
            "{} is in {place}",
            found.unwrap_or_default()
        );
    }

    /// Checks all that a refusal tells.
    fn check_status(&self, status: &Status) {
        self.check("a refusal", format!("{status:?}").as_bytes());
        self.check("the details of a refusal", status.details());
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Without the zeros at the end of preallocated files.
fn content(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).expect("a file");
    let used = bytes.iter().rposition(|byte| *byte != 0);
    bytes.truncate(used.map_or(0, |last| last + 1));
    bytes
}

fn check_folder(folder: &Path, forbidden: &Forbidden) {
    for path in files(folder) {
        forbidden.check(&path.display().to_string(), &content(&path));
    }
}

/// Puts a text into each field that takes one.
fn in_every_text(incident: &pb::Incident, text: &str) -> Vec<pb::Incident> {
    let set = |change: fn(&mut pb::Incident, String)| {
        let mut incident = incident.clone();
        change(&mut incident, text.to_owned());
        incident
    };
    vec![
        set(|incident, text| incident.operator = text),
        set(|incident, text| incident.line = text),
        set(|incident, text| incident.direction = text),
        set(|incident, text| incident.stop = text),
        set(|incident, text| incident.vehicle = text),
        set(|incident, text| incident.display_text = text),
        set(|incident, text| incident.note = format!("mijn kaart is {text}, en nu?")),
        set(|incident, text| incident.incident_id = text),
        set(|incident, text| incident.incident_secret = text.into_bytes()),
        set(|incident, text| incident.installation_id = format!("{text}\n")),
    ]
}

/// Sends every number in every way and place; checks the answers.
async fn send_all(channel: &Channel, base: &pb::Incident, forbidden: &Forbidden) -> u32 {
    let mut client = ReportingServiceClient::new(channel.clone());
    let mut accepted = 0;
    let mut reporter = Reporter::new(reports::seed(), mistap::app::system_clock()());
    for writing in NUMBERS.into_iter().flat_map(writings) {
        let mut incidents = in_every_text(base, &writing);
        for text in [
            writing.clone(),
            format!("{writing}7"),
            writing.replace('3', "٣"),
        ] {
            let mut incident = base.clone();
            incident.card_number = text;
            incidents.push(incident);
        }
        for mut incident in incidents {
            // Another id each, unless it is the id that holds the number.
            if incident.incident_id == base.incident_id {
                incident.incident_id = reporter.next().incident_id;
            }
            let request = pb::ReportIncidentRequest {
                incident: Some(incident),
                ..pb::ReportIncidentRequest::default()
            };
            match client.report_incident(request).await {
                Ok(answer) => {
                    accepted += 1;
                    let answer = format!("{:?}", answer.into_inner());
                    forbidden.check("an answer", answer.as_bytes());
                }
                Err(status) => {
                    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
                    forbidden.check_status(&status);
                }
            }
        }
    }
    accepted
}

/// Asks everything else with a number in it.
async fn ask_all(channel: &Channel, forbidden: &Forbidden) {
    for writing in NUMBERS.into_iter().flat_map(writings) {
        let mut reporting = ReportingServiceClient::new(channel.clone());
        let mut request = Request::new(pb::GetIncidentRequest {
            incident_id: writing.clone(),
            incident_secret: writing.clone().into_bytes(),
            everything: false,
        });
        let value = writing.parse().expect("plain text");
        request.metadata_mut().insert("x-card", value);
        let refused = reporting.get_incident(request).await;
        forbidden.check_status(&refused.expect_err("no id"));

        let question = pb::Question {
            filter: Some(pb::Filter {
                operators: vec![writing.clone()],
                lines: vec![writing.clone()],
                stops: vec![writing.clone()],
                ..pb::Filter::default()
            }),
            ..pb::Question::default()
        };
        let query = pb::QueryFiguresRequest {
            question: Some(question.clone()),
            page_token: writing.clone(),
            ..pb::QueryFiguresRequest::default()
        };
        let mut statistics = StatisticsServiceClient::new(channel.clone());
        let refused = statistics.query_figures(query).await;
        forbidden.check_status(&refused.expect_err("no window"));
        let watch = pb::WatchRatesRequest {
            filter: question.filter,
            resume_token: writing.clone().into_bytes(),
            ..pb::WatchRatesRequest::default()
        };
        let mut live = LiveServiceClient::new(channel.clone());
        let refused = live.watch_rates(watch).await;
        forbidden.check_status(&refused.expect_err("no identifiers"));
        let search = pb::SearchStopsRequest {
            query: writing.clone(),
            ..pb::SearchStopsRequest::default()
        };
        let mut network = NetworkServiceClient::new(channel.clone());
        if let Err(status) = network.search_stops(search).await {
            forbidden.check_status(&status);
        }
    }
}

/// Sends a number by HTTP, in the path, a header and the body.
async fn send_by_http(server: &Server, forbidden: &Forbidden) {
    let number = NUMBERS[0];
    for method in ["GET", "POST", "BREW"] {
        let mut connection = TcpStream::connect(server.address)
            .await
            .expect("it listens");
        let request = format!(
            "{method} /{number}?card={number} HTTP/1.1\r\nhost: localhost\r\nx-card: {number}\r\n\
             content-length: 16\r\nconnection: close\r\n\r\n{number}"
        );
        connection
            .write_all(request.as_bytes())
            .await
            .expect("sent");
        let mut answer = Vec::new();
        // It may be cut off instead of answered.
        let _ = connection.read_to_end(&mut answer).await;
        forbidden.check("an answer by HTTP", &answer);
    }
}

/// Ends a connection of HTTP/2 with an error that is explained by a number.
async fn send_in_farewell(server: &Server, forbidden: &Forbidden) {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // GOAWAY with 24 bytes: of no stream, a protocol error, and why.
    const FAREWELL: [u8; 17] = [0, 0, 24, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let why = NUMBERS[0].to_string();
    assert_eq!(why.len(), 16);
    let mut connection = TcpStream::connect(server.address)
        .await
        .expect("it listens");
    let sent = [PREFACE, &SETTINGS, &FAREWELL, why.as_bytes()].concat();
    connection.write_all(&sent).await.expect("sent");
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer).await;
    forbidden.check("an answer to a farewell", &answer);
}

/// Tells a report with every secret in it, and everything that can be done with it and to it.
async fn go_the_way_back(server: &Server, base: &pb::Incident, forbidden: &Forbidden) {
    let channel = server.connect().await;
    let mut client = ReportingServiceClient::new(channel.clone());
    let mut desk = OperationsServiceClient::new(channel);
    let mut reporter = Reporter::new(reports::seed() + 1, mistap::app::system_clock()());
    let incident = pb::Incident {
        incident_id: reporter.next().incident_id,
        card_number: NUMBERS[0].to_string(),
        operator: "GVB".into(),
        line: "10".into(),
        ..base.clone()
    };
    let (incident_id, incident_secret) =
        (incident.incident_id.clone(), base.incident_secret.clone());
    let check = |answer: &dyn std::fmt::Debug| {
        forbidden.check("an answer", format!("{answer:?}").as_bytes());
    };
    let request = pb::ReportIncidentRequest {
        incident: Some(incident),
        want_receipt: true,
        want_advice: true,
    };
    check(
        &client
            .report_incident(request)
            .await
            .expect("recorded")
            .into_inner(),
    );
    macro_rules! ask {
        ($call:ident, $request:ident { $($rest:tt)* }) => {{
            let request = pb::$request {
                incident_id: incident_id.clone(),
                incident_secret: incident_secret.clone(),
                $($rest)*
            };
            let answer = client.$call(request.clone()).await.expect("answered").into_inner();
            // With a number for an id, and with another secret.
            let wrong = pb::$request { incident_id: NUMBERS[1].to_string(), ..request.clone() };
            forbidden.check_status(&client.$call(wrong).await.expect_err("no id"));
            let wrong = pb::$request { incident_secret: vec![9; 32], ..request };
            forbidden.check_status(&client.$call(wrong).await.expect_err("no secret"));
            answer
        }};
    }
    check(&ask!(
        amend_incident,
        AmendIncidentRequest {
            extra_cost: 1,
            ..Default::default()
        }
    ));
    check(&ask!(get_incident, GetIncidentRequest { everything: true }));
    check(&ask!(get_receipt, GetReceiptRequest { qr_code: true }));
    let mut stream = ask!(follow_incident, FollowIncidentRequest {});
    check(&stream.message().await.expect("open"));
    let hex: String = incident_secret
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for (secret, status) in [(hex.as_str(), "200"), (&hex[2..], "4")] {
        let body = format!("id={incident_id}&secret={secret}");
        let request = format!(
            "POST /receipt HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: \
             {}\r\ncontent-type: application/x-www-form-urlencoded\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(server.address, request.as_bytes()).await;
        assert!(answer.starts_with(format!("HTTP/1.1 {status}").as_bytes()));
        forbidden.check("the receipt as a page", &answer);
    }
    answer_all(&mut desk, forbidden).await;
    tell_taps(&mut desk, forbidden).await;
    check(&stream.message().await.expect("open"));
    check(&ask!(erase_incident, EraseIncidentRequest {}));
    check(&ask!(withdraw_incident, WithdrawIncidentRequest {}));
    check(&ask!(get_incident, GetIncidentRequest { everything: true }));
}

type Desk = OperationsServiceClient<Channel>;

/// Lists and answers reports, with numbers where words belong, which is refused.
async fn answer_all(desk: &mut Desk, forbidden: &Forbidden) {
    let page = once_open(async || {
        desk.list_incidents(pb::ListIncidentsRequest::default())
            .await
    });
    let cases = page.await.expect("a list").cases;
    assert!(!cases.is_empty());
    forbidden.check("a list", format!("{cases:?}").as_bytes());
    let answer = |case_number: &str, message: &str| pb::RespondToIncidentRequest {
        case_number: case_number.to_owned(),
        state: pb::CaseState::Received.into(),
        reason: 0,
        message: message.to_owned(),
    };
    let number = &cases[0].case_number;
    for writing in NUMBERS.into_iter().flat_map(writings) {
        for request in [answer(number, &writing), answer(&writing, "")] {
            let refused = desk.respond_to_incident(request).await;
            forbidden.check_status(&refused.expect_err("no such words"));
        }
        let request = pb::ListIncidentsRequest {
            lines: vec![writing.clone()],
            page_token: writing.into_bytes(),
            ..pb::ListIncidentsRequest::default()
        };
        let refused = desk.list_incidents(request).await;
        forbidden.check_status(&refused.expect_err("no token"));
    }
    for case in &cases {
        // Those without an operator can be answered by nobody.
        let answered = desk
            .respond_to_incident(answer(&case.case_number, "gezien"))
            .await;
        match answered {
            Ok(answer) => forbidden.check("an answer", format!("{answer:?}").as_bytes()),
            Err(status) => forbidden.check_status(&status),
        }
    }
}

/// Tells tap counts with numbers where identifiers belong.
async fn tell_taps(desk: &mut Desk, forbidden: &Forbidden) {
    for writing in NUMBERS.into_iter().flat_map(writings) {
        let request = pb::RecordTapCountsRequest {
            feed: Some(pb::TapFeed {
                feed_id: format!("{writing} "),
                operator_code: writing.clone(),
                ..pb::TapFeed::default()
            }),
            counts: vec![pb::TapCount {
                line_id: writing.clone(),
                stop_id: writing,
                ..pb::TapCount::default()
            }],
        };
        let refused = desk.record_tap_counts(request).await;
        forbidden.check_status(&refused.expect_err("nothing of it fits"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn card_numbers_secrets_and_installations_are_in_no_file_log_or_answer() {
    let now = mistap::app::system_clock()();
    let mut rng = StdRng::seed_from_u64(reports::seed());
    let secret: [u8; 32] = rng.random();
    let forbidden = Forbidden::new(&[secret]);
    let base = pb::Incident {
        incident_secret: secret.to_vec(),
        installation_id: INSTALLATION.into(),
        ..Reporter::new(1, now).next()
    };
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let mut command = child::serve(&data);
    command.env("MISTAP_LOG", "trace");
    let server = Server::start(command).await.expect("it starts");
    let channel = server.connect().await;

    let accepted = send_all(&channel, &base, &forbidden).await;
    // Two numbers, each in four of five writings.
    assert!(accepted >= 8, "cards were taken: {accepted}");
    ask_all(&channel, &forbidden).await;
    send_by_http(&server, &forbidden).await;
    send_in_farewell(&server, &forbidden).await;
    go_the_way_back(&server, &base, &forbidden).await;
    check_folder(&data, &forbidden);
    drop(channel);
    let end = server.terminate().await;
    assert!(end.status.success(), "{end:?}");
    assert!(end.log.contains("DEBUG"), "all is logged: {}", end.log);
    forbidden.check("the log", end.log.as_bytes());
    check_folder(&data, &forbidden);
    check_modes(&data);
}

fn check_modes(folder: &Path) {
    let mode = |path: &Path| {
        let found = fs::metadata(path).expect("it is there");
        found.permissions().mode() & 0o777
    };
    assert_eq!(mode(folder), 0o700);
    assert_eq!(mode(&folder.join("keys")), 0o600);
}

#[test]
fn search_finds_a_number_in_every_form() {
    let forbidden = Forbidden::new(&[[7; 32]]);
    for (what, bytes) in &forbidden.0 {
        let hidden = [&b"33"[..], bytes, b"55"].concat();
        assert!(forbidden.found(&hidden).is_some(), "{what}");
    }
    assert_eq!(forbidden.found(b"3528 0160 4471 9358"), None);
}

#[test]
fn panic_is_logged_by_its_place_without_its_message() {
    if std::env::var_os(PANICS).is_some() {
        let settings = LogSettings {
            log: None,
            log_format: LogFormat::Json,
        };
        telemetry::start(&settings, "trace").expect("the first in this process");
        let panicked = std::thread::spawn(|| panic!("card {}", NUMBERS[0])).join();
        assert!(panicked.is_err());
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["--exact", PANIC_TEST, "--nocapture"]);
    let output = command.env(PANICS, "1").output().expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("\"message\":\"panic\""), "{log}");
    assert!(log.contains("privacy/mod.rs"), "{log}");
    let forbidden = Forbidden::new(&[]);
    forbidden.check("the log", &output.stderr);
    forbidden.check("the output", &output.stdout);
}
