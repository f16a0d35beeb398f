//! Editions end to end: the service closes them by itself, and gives them to everybody over
//! gRPC and over HTTP.

use std::io::{Cursor, Read as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mistap::api::Clock;
use mistap::api::origin::Callers;
use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::operations_service_client::OperationsServiceClient;
use mistap::api::pb::v1::reporting_service_client::ReportingServiceClient;
use mistap::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use mistap::auth::receipts::{parse_jwks, verify};
use mistap::domain::UtcMillis;
use mistap::domain::time::DAY_MS;
use mistap::edition::format::{Edition, Hash};
use mistap::network::Network;
use mistap::simulate::history::{self, Until};
use mistap::simulate::world::World;
use mistap::simulate::{Scenario, Simulation};
use tempfile::TempDir;
use tonic::Code;

use crate::child::{exchange, until, until_so};
use crate::support::{
    START, Service, files_with, founding_story, new_id, once_open, until_removed,
};

const DAYS: i64 = 60;
const HONEST: usize = 12;
const FLOOD: usize = 1_000;

/// A folder with two months of history up to `START`, of which no edition is closed.
pub async fn history() -> TempDir {
    history_until(START).await
}

/// The same, up to another time.
pub async fn history_until(end: UtcMillis) -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    let network = Arc::new(Network::built_in());
    let world = World::from_network(&network).expect("lines");
    let scenario = Scenario {
        seed: 3,
        start: UtcMillis(end.0 - DAYS * DAY_MS),
        reports_per_day: 120.0,
    };
    let until = Until {
        end,
        reports_max: u64::MAX,
    };
    let mut simulation = Simulation::new(scenario, world);
    history::write(dir.path(), network, &mut simulation, None, until, |_| {
        ControlFlow::Continue(())
    })
    .await
    .expect("written");
    dir
}

/// A service that has closed all editions that are due.
async fn service() -> (Service, Vec<pb::Edition>) {
    let dir = history().await;
    let often = Duration::from_millis(50);
    let service = Service::start_with(dir, |settings| settings.edition_look = often).await;
    let mut client = StatisticsServiceClient::new(service.connect().await);
    let editions = until("both editions are closed", async || {
        let request = pb::ListEditionsRequest {};
        let answer = client.list_editions(request).await.expect("an answer");
        Some(answer.into_inner().editions).filter(|editions| editions.len() == 2)
    });
    let editions = editions.await;
    (service, editions)
}

/// An edition, once it is closed.
pub async fn once_closed(
    service: &Service,
    request: pb::GetEditionRequest,
) -> pb::GetEditionResponse {
    let mut client = StatisticsServiceClient::new(service.connect().await);
    let edition = until("the edition is closed", async || {
        match client.get_edition(request.clone()).await {
            Err(error) if error.code() == Code::NotFound => None,
            answer => Some(answer.expect("an edition").into_inner()),
        }
    });
    edition.await
}

/// Waits for a page of an edition, and gives its text.
pub async fn text_once_closed(service: &Service, path: &str) -> String {
    until_so("the edition is closed", async || {
        get(service, path, "").await.0 == 200
    })
    .await;
    text(service, path).await
}

/// A service behind a proxy, at some time.
pub async fn behind_proxy(dir: TempDir, now: UtcMillis) -> Service {
    let clock: Clock = Arc::new(move || now);
    Service::start_with(dir, |settings| {
        settings.clock = clock;
        settings.edition_look = Duration::from_millis(50);
        settings.callers = Callers {
            are_behind_proxy: true,
        };
    })
    .await
}

/// Reports of an operator, each of an installation of its own, through the proxy.
async fn report_from(service: &Service, address: &str, operator: &str, installations: Vec<String>) {
    let mut client = ReportingServiceClient::new(service.connect().await);
    let incident = |installation_id| pb::Incident {
        incident_id: new_id(),
        operator: operator.into(),
        installation_id,
        ..founding_story()
    };
    let count = installations.len();
    let incidents = installations.into_iter().map(incident).collect();
    let mut request = tonic::Request::new(pb::ReportIncidentsRequest { incidents });
    let from = format!("203.0.113.1, {address}").parse().expect("a value");
    request.metadata_mut().insert("x-forwarded-for", from);
    let answer = client.report_incidents(request).await.expect("an answer");
    let results = answer.into_inner().results;
    let accepted = results
        .iter()
        .filter(|result| matches!(result.outcome, Some(pb::result::Outcome::Accepted(_))));
    assert_eq!(accepted.count(), count);
}

/// Status, headers and body of a page, asked for with one more header.
pub async fn get(service: &Service, path: &str, header: &str) -> (u16, String, Vec<u8>) {
    request(service, "GET", path, header).await
}

/// The same by any method.
async fn request(
    service: &Service,
    method: &str,
    path: &str,
    header: &str,
) -> (u16, String, Vec<u8>) {
    let request =
        format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n");
    let mut answer = exchange(service.address(), request.as_bytes()).await;
    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .expect("headers");
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).expect("text");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), head.to_lowercase(), body)
}

pub async fn text(service: &Service, path: &str) -> String {
    let (status, head, body) = get(service, path, "").await;
    assert_eq!(status, 200, "{path}: {head}");
    String::from_utf8(body).expect("text")
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {name} in {head}"))
}

#[tokio::test]
async fn service_closes_editions_by_itself_and_publishes_them() {
    let (service, editions) = service().await;
    let months: Vec<_> = editions
        .iter()
        .map(|edition| edition.month.as_str())
        .collect();
    assert_eq!(months, ["2026-09", "2026-10"]);
    let october = &editions[1];

    let bytes = text(&service, &october.path).await.into_bytes();
    assert_eq!(Hash::of(&bytes).to_string(), october.sha256);
    let edition = Edition::from_bytes(&bytes).expect("an edition");

    let mut client = StatisticsServiceClient::new(service.connect().await);
    let mut rows = Vec::new();
    let mut request = pb::GetEditionRequest {
        month: "2026-10".into(),
        page_size: 7,
        ..pb::GetEditionRequest::default()
    };
    loop {
        let page = client
            .get_edition(request.clone())
            .await
            .expect("a page")
            .into_inner();
        assert!(page.rows.len() <= 7);
        rows.extend(page.rows);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(100 < rows.len(), "{}", rows.len());
    let same = rows.iter().zip(&edition.rows).all(|(wire, row)| {
        (&wire.operator_code, &wire.dimension, &wire.key, wire.count)
            == (&row.operator_code, &row.dimension, &row.key, row.count)
    });
    assert!(same && rows.len() == edition.rows.len());

    let refused = |month: &str, page_token: &str| pb::GetEditionRequest {
        month: month.into(),
        page_token: page_token.into(),
        ..pb::GetEditionRequest::default()
    };
    for (request, code) in [
        (refused("2026-08", ""), Code::NotFound),
        (refused("October", ""), Code::InvalidArgument),
        (refused("2026-10", "x"), Code::InvalidArgument),
    ] {
        let error = client.get_edition(request).await.expect_err("refused");
        assert_eq!(error.code(), code, "{error}");
    }
    drop(client);

    // After a restart they are the same, and nothing is closed again.
    let service = Service::start_in(service.stop().await).await;
    assert_eq!(text(&service, &october.path).await.into_bytes(), bytes);
    service.stop().await;
}

#[tokio::test]
async fn editions_are_downloads_at_addresses_that_do_not_change() {
    let (service, _) = service().await;
    let table = text(&service, "/editions/2026-10/gvb/line.csv").await;
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("basis,period_start,period_end,operator_code,dimension"));
    assert!(
        3 < lines.len() && lines[1..].iter().all(|line| line.contains(",GVB,")),
        "{table}"
    );
    assert!(
        lines.iter().any(|line| line.contains(",GVB:12,")),
        "{table}"
    );

    let both = text(&service, "/editions/2026-09..2026-10/gvb/line.csv").await;
    let september = text(&service, "/editions/2026-09/gvb/line.csv").await;
    assert_eq!(
        both.lines().count(),
        lines.len() + september.lines().count() - 1
    );

    let every = text(&service, "/editions/2026-10/all/line.csv").await;
    let is_there = |line: &&str| every.contains(*line);
    assert!(lines.len() < every.lines().count(), "{every}");
    assert!(lines.iter().all(is_there), "{every}");
    assert!(lines[1].contains("edition 2026-10: failed check-ins"));

    let json = text(&service, "/editions/2026-09..2026-10/gvb/line.json").await;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        json["rows"].as_array().map(Vec::len),
        Some(both.lines().count() - 1)
    );

    let (_, head, _) = get(&service, "/editions/2026-10/gvb/line.csv", "").await;
    assert_eq!(header(&head, "content-type"), "text/csv; charset=utf-8");
    // Another version may give tables another form, but never a month other bytes.
    assert!(!header(&head, "cache-control").contains("immutable"));
    let (_, whole, _) = get(&service, "/editions/2026-10.json", "").await;
    assert!(header(&whole, "cache-control").contains("immutable"));
    let (_, packed, _) = get(&service, "/editions/2026-10.zip", "").await;
    assert!(!header(&packed, "cache-control").contains("immutable"));
    assert!(header(&head, "x-citation").contains("edition 2026-10"));
    let known = format!("If-None-Match: {}\r\n", header(&head, "etag"));
    let (status, _, body) = get(&service, "/editions/2026-10/gvb/line.csv", &known).await;
    assert_eq!((status, body.len()), (304, 0));
    let (status, _, _) = get(&service, "/editions/2026-09/gvb/line.csv", &known).await;
    assert_eq!(status, 200);
    let path = "/editions/2026-10/gvb/line.csv";
    let (status, asked, body) = request(&service, "HEAD", path, "").await;
    assert_eq!((status, body.len()), (200, 0));
    assert_eq!(header(&asked, "etag"), header(&head, "etag"));
    assert_eq!(header(&asked, "x-citation"), header(&head, "x-citation"));
    let (status, _, body) = request(&service, "HEAD", path, &known).await;
    assert_eq!((status, body.len()), (304, 0));
    let path = "/editions/2026-09..2026-10/gvb/line.csv";
    let (_, span, _) = get(&service, path, "").await;
    assert_ne!(header(&span, "etag"), header(&head, "etag"));
    // More editions may come into a span.
    assert!(!header(&span, "cache-control").contains("immutable"));
    assert!(header(&span, "x-citation").contains("editions 2026-09 to 2026-10 (2)"));

    let (status, head, parquet) = get(&service, "/editions/2026-10/gvb/line.parquet", "").await;
    if cfg!(feature = "parquet") {
        assert_eq!((status, &parquet[..4]), (200, b"PAR1".as_slice()), "{head}");
        assert!(header(&head, "content-type").ends_with("parquet"));
        assert!(header(&head, "x-citation").contains("edition 2026-10"));
    } else {
        assert_eq!(status, 404);
        let refusal = String::from_utf8(parquet).expect("text");
        assert!(refusal.contains("without Parquet"), "{refusal}");
    }

    let (status, _, package) = get(&service, "/editions/2026-10.zip", "").await;
    assert_eq!(status, 200);
    let mut package = zip::ZipArchive::new(Cursor::new(package)).expect("an archive");
    let mut description = String::new();
    let mut file = package.by_name("datapackage.json").expect("in the package");
    file.read_to_string(&mut description).expect("text");
    assert!(description.contains("CC0-1.0"));

    let list = text(&service, "/editions.json").await;
    assert!(list.contains("/editions/2026-10.zip"), "{list}");
    for path in [
        "/editions/2026-08.json",
        "/editions/2026-10.exe",
        "/editions/2026-10/gvb/secrets.csv",
        "/editions/2026-10/nobody/line.csv",
        "/editions/2026-10/GVB%0d%0a/line.csv",
        "/editions/2026-08/gvb/line.csv",
        "/editions/2026-08..2026-10/nobody/line.csv",
    ] {
        for known in ["", known.as_str(), "If-None-Match: *\r\n"] {
            let (status, head, _) = get(&service, path, known).await;
            assert_eq!(status, 404, "{path}: {head}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn flood_from_one_address_prefix_moves_no_figure_by_more_than_three() {
    let service = behind_proxy(TempDir::new().expect("a folder"), START).await;
    for (place, operator) in ["GVB", "HTM"].into_iter().enumerate() {
        for person in 0..HONEST {
            let address = format!("198.51.{}.7", 20 * place + person);
            let installation = format!("an-honest-installation-{operator}-{person}");
            report_from(&service, &address, operator, vec![installation]).await;
        }
    }
    let invented = (0..FLOOD).map(|number| format!("invented-installation-{number:06}"));
    let invented: Vec<_> = invented.collect();
    for (place, part) in invented.chunks(FLOOD / 4).enumerate() {
        report_from(&service, &format!("192.0.2.{place}"), "GVB", part.to_vec()).await;
    }
    let dir = service.stop().await;

    let service = behind_proxy(dir, UtcMillis(START.0 + 30 * DAY_MS)).await;
    let request = pb::GetEditionRequest {
        month: "2026-11".into(),
        ..pb::GetEditionRequest::default()
    };
    let edition = once_closed(&service, request).await;
    let count = |operator: &str| {
        let mut rows = edition.rows.iter();
        let total = rows.find(|row| row.operator_code == operator && row.dimension == "total");
        total.map(|row| row.count)
    };
    let honest = HONEST as u64;
    assert_eq!(count("GVB"), Some(honest + 3));
    assert_eq!(count("HTM"), Some(honest));
    assert_eq!(count(""), Some(2 * honest + 3));
    assert_eq!(edition.left_out, Some(FLOOD as u64 - 3));
    service.stop().await;
}

#[tokio::test]
async fn words_and_keys_go_by_themselves_when_their_time_has_come() {
    const NOTE: &[u8] = "ach, meisje".as_bytes();
    let service = behind_proxy(TempDir::new().expect("a folder"), START).await;
    for person in 0..HONEST {
        let installation = format!("an-honest-installation-{person}");
        report_from(
            &service,
            &format!("198.51.{person}.7"),
            "GVB",
            vec![installation],
        )
        .await;
    }
    let story = pb::Incident {
        note: String::new(),
        direction: "naar het Azartplein".into(),
        ..founding_story()
    };
    let first = proof(&service, Some(&story), &story).await;
    assert!(first["words"].is_null() && first["told"]["direction"].is_string());
    let dir = service.stop().await;
    let has_key = |dir: &TempDir| {
        let keys = std::fs::read_to_string(dir.path().join("keys")).expect("keys");
        keys.lines().any(|line| line.starts_with("period 8107 "))
    };
    assert!(has_key(&dir));
    assert_eq!(files_with(dir.path(), NOTE), 1);

    // A day after the last edition of the quarter has closed, which is 90 days at least after.
    let now = UtcMillis(START.0 + 91 * DAY_MS);
    let clock: Clock = Arc::new(move || now);
    let often = Duration::from_millis(50);
    let service = Service::start_with(dir, |settings| {
        settings.clock = clock;
        settings.edition_look = often;
        settings.retention_look = often;
    })
    .await;
    until_removed(&service, |done| done.key_period.is_some()).await;
    // A receipt tells less now, says so, and contradicts the first in nothing.
    let left = proof(&service, None, &story).await;
    assert_eq!(left["words"], "kept no longer");
    assert!(left["told"]["direction"].is_null());
    for claim in ["incident_id", "position", "received_at", "occurred_at"] {
        assert_eq!(left[claim], first[claim], "{claim}");
    }
    let dir = service.stop().await;
    assert!(!has_key(&dir));
    assert_eq!(files_with(dir.path(), NOTE), 0);
    let journal = mistap::journal::verify(&dir.path().join("journal")).expect("readable");
    assert!(journal.problems.is_empty(), "{:?}", journal.problems);
    // The edition is what it was, and cannot be made again: nobody knows who told what.
    let (reader, _) = mistap::journal::open_reader(&dir.path().join("journal")).expect("whole");
    let library = mistap::edition::library::Library::open(dir.path(), reader).expect("whole");
    let november = library.list()[0].month;
    let verdict = library.verify(november).expect("its hash is right");
    let erased = HONEST as u64;
    assert_eq!(
        verdict,
        Some(mistap::edition::library::Verdict::Erased(erased))
    );
    // It starts again, and takes reports of the quarter without a pseudonym.
    let service = behind_proxy(dir, now).await;
    report_from(
        &service,
        "198.51.100.7",
        "GVB",
        vec!["an-installation-too-late".into()],
    )
    .await;
    service.stop().await;
}

/// What a receipt says, of a report that is made now or was made before.
async fn proof(
    service: &Service,
    report: Option<&pb::Incident>,
    of: &pb::Incident,
) -> serde_json::Value {
    let mut client = ReportingServiceClient::new(service.connect().await);
    if let Some(incident) = report {
        let request = pb::ReportIncidentRequest {
            incident: Some(incident.clone()),
            ..pb::ReportIncidentRequest::default()
        };
        client.report_incident(request).await.expect("recorded");
    }
    let request = pb::GetReceiptRequest {
        incident_id: of.incident_id.clone(),
        incident_secret: of.incident_secret.clone(),
        qr_code: false,
    };
    let answer = client.get_receipt(request).await.expect("a receipt");
    let jws = answer.into_inner().receipt;
    let keys = parse_jwks(&text(service, "/.well-known/jwks.json").await).expect("keys");
    verify(&jws, &keys).expect("signed")
}

/// How often staff did something, by an edition: reports with a yes, and the share.
fn kindness(edition: &Edition, what: &str) -> Option<(u64, f64)> {
    let mut rows = edition.rows.iter();
    let row = rows.find(|row| (&*row.key, &*row.answer) == (what, "yes"))?;
    Some((row.count, row.rate?))
}

async fn rides(service: &Service) -> u64 {
    let mut client = StatisticsServiceClient::new(service.connect().await);
    let asked = crate::support::that_day(&[pb::Dimension::StaffAct]);
    let answer = once_open(async || client.query_figures(asked.clone()).await).await;
    let figures = answer.expect("an answer").figures;
    let mut rides = figures.iter();
    let ride = rides.find(|one| one.keys[0].value == "let-ride-free");
    ride.map_or(0, |one| one.count)
}

/// The founding story, with what came of it: reported, proved, answered, published, withdrawn.
#[tokio::test]
async fn kindness_is_in_the_edition_of_the_month_and_a_later_withdrawal_or_erasure_changes_no_edition()
 {
    let service = behind_proxy(TempDir::new().expect("a folder"), START).await;
    let mut client = ReportingServiceClient::new(service.connect().await);
    let story = founding_story();
    // As many are let ride with it as she was, are not helped, are let travel on, do not tell
    // how it ended, met no staff, and met none and do not tell how it ended. With fewer kinds of answers,
    // differences of what is published would tell of fewer than ten, and it would be withheld.
    let of_another = |number: usize| {
        use pb::{Outcome, StaffAct, StaffPresence};
        let (acts, outcome) = match number / HONEST {
            0 => (&story.staff_acts[..], Some(Outcome::FreeRide)),
            1 => (
                &[StaffAct::CouldNotHelp as i32][..],
                Some(Outcome::Surcharged),
            ),
            2 => (&story.staff_acts[..], Some(Outcome::TravelledOn)),
            3 => (&[StaffAct::Referred as i32][..], None),
            4 => (&[][..], Some(Outcome::TravelledOn)),
            _ => (&[][..], None),
        };
        let staff_present = if acts.is_empty() {
            StaffPresence::No
        } else {
            StaffPresence::Yes
        };
        pb::Incident {
            incident_id: new_id(),
            installation_id: format!("an-honest-installation-{number:03}"),
            staff_present: staff_present as i32,
            staff_acts: acts.to_vec(),
            outcomes: outcome.map(|outcome| outcome as i32).into_iter().collect(),
            ..founding_story()
        }
    };
    let others: Vec<_> = (1..HONEST * 6).map(of_another).collect();
    let told: Vec<_> = std::iter::once(&story).chain(&others).cloned().collect();
    for (number, incident) in told.into_iter().enumerate() {
        let request = pb::ReportIncidentRequest {
            incident: Some(incident),
            want_receipt: true,
            ..pb::ReportIncidentRequest::default()
        };
        // Nobody is left out for coming from where others come from.
        let mut request = tonic::Request::new(request);
        let from = format!("203.0.113.1, 198.51.{number}.7");
        let from = from.parse().expect("a value");
        request.metadata_mut().insert("x-forwarded-for", from);
        let answer = client.report_incident(request).await.expect("recorded");
        assert!(!answer.into_inner().receipt.is_empty());
    }
    drop(client);
    assert_eq!(rides(&service).await, 2 * HONEST as u64);

    let later = behind_proxy(service.stop().await, UtcMillis(START.0 + 40 * DAY_MS)).await;
    let path = "/editions/2026-11.json";
    let published = text_once_closed(&later, path).await;
    let edition = Edition::from_bytes(published.as_bytes()).expect("an edition");
    let (count, share) = kindness(&edition, "let-ride-free").expect("published");
    assert_eq!(count, 2 * HONEST as u64);
    assert!((share - 1.0 / 2.0).abs() < 1e-6, "{share}");
    // The help rate stands on the reports that tell both what staff did and how it ended.
    let (count, share) = kindness(&edition, "any-that-helps").expect("published");
    assert_eq!(count, 2 * HONEST as u64);
    assert!((share - 2.0 / 3.0).abs() < 1e-6, "{share}");
    let (count, share) = kindness(&edition, "any-that-harms").expect("published");
    assert_eq!(count, HONEST as u64);
    assert!((share - 1.0 / 3.0).abs() < 1e-6, "{share}");

    // Her operator answers, she sees it, and takes it all back.
    let mut client = ReportingServiceClient::new(later.connect().await);
    let follow = pb::FollowIncidentRequest {
        incident_id: story.incident_id.clone(),
        incident_secret: story.incident_secret.clone(),
    };
    let mut stream = client
        .follow_incident(follow)
        .await
        .expect("open")
        .into_inner();
    stream.message().await.expect("open").expect("as it is");
    let mut desk = OperationsServiceClient::new(later.connect().await);
    let listed = pb::ListIncidentsRequest {
        page_size: 200,
        ..pb::ListIncidentsRequest::default()
    };
    let cases = desk
        .list_incidents(listed)
        .await
        .expect("listed")
        .into_inner()
        .cases;
    assert_eq!(cases.len(), HONEST * 6);
    for case in cases {
        let request = pb::RespondToIncidentRequest {
            case_number: case.case_number,
            state: pb::CaseState::Repaired.into(),
            reason: 0,
            message: "de lezer is vervangen".into(),
        };
        desk.respond_to_incident(request).await.expect("taken");
    }
    let replies = loop {
        let message = stream.message().await.expect("open").expect("it goes on");
        if let Some(recorded) = message.recorded
            && !recorded.replies.is_empty()
        {
            break recorded.replies;
        }
    };
    assert_eq!(replies[0].message, "de lezer is vervangen");
    let withdraw = pb::WithdrawIncidentRequest {
        incident_id: story.incident_id.clone(),
        incident_secret: story.incident_secret.clone(),
    };
    client.withdraw_incident(withdraw).await.expect("withdrawn");
    let erase = pb::EraseIncidentRequest {
        incident_id: others[0].incident_id.clone(),
        incident_secret: others[0].incident_secret.clone(),
    };
    client.erase_incident(erase).await.expect("erased");
    assert_eq!(rides(&later).await, 2 * HONEST as u64 - 1);
    assert_eq!(text(&later, path).await, published);
    drop((stream, client, desk));

    let again = behind_proxy(later.stop().await, UtcMillis(START.0 + 41 * DAY_MS)).await;
    assert_eq!(text(&again, path).await, published, "after a restart");
    assert_eq!(rides(&again).await, 2 * HONEST as u64 - 1);
    let dir = again.stop().await;
    let report = mistap::ingest::repair::verify(dir.path(), &mut |_, _| {}).expect("readable");
    assert!(report.is_clean(), "{report:?}");
}
