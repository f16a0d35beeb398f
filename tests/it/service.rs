//! The service as its clients meet it: every call, the protocols on its one port, what it
//! refuses and how, and how it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mistap::api::origin::Callers;
use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::live_service_client::LiveServiceClient;
use mistap::api::pb::v1::network_service_client::NetworkServiceClient;
use mistap::api::pb::v1::reporting_service_client::ReportingServiceClient;
use mistap::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use mistap::domain::UtcMillis;
use mistap::domain::limits::{LARGE_REQUEST_BYTES_MIN, LARGE_REQUESTS_MAX};
use mistap::domain::time::{DAY_MS, HOUR_MS};
use mistap::ingest::ClockCheck;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::child::{PATIENCE, exchange, until_so};
use crate::support::{SECRET, START, Service, at, founding_story, new_id, that_day};

async fn report(channel: &Channel, incident: pb::Incident) -> Result<pb::Accepted, Status> {
    let request = pb::ReportIncidentRequest {
        incident: Some(incident),
        ..pb::ReportIncidentRequest::default()
    };
    let mut client = ReportingServiceClient::new(channel.clone());
    let response = client.report_incident(request).await?.into_inner();
    Ok(response.accepted.expect("always there"))
}

async fn get(channel: &Channel, id: &str, secret: &[u8]) -> Result<pb::RecordedIncident, Status> {
    let request = pb::GetIncidentRequest {
        incident_id: id.to_owned(),
        incident_secret: secret.to_vec(),
        everything: false,
    };
    let mut client = ReportingServiceClient::new(channel.clone());
    let response = client.get_incident(request).await?.into_inner();
    Ok(response.recorded.expect("always there"))
}

async fn total(channel: &Channel) -> u64 {
    let mut client = StatisticsServiceClient::new(channel.clone());
    let answer = client.query_figures(that_day(&[])).await;
    answer.expect("an answer").into_inner().total
}

async fn next<T>(messages: &mut tonic::Streaming<T>) -> Option<Result<T, Status>> {
    let next = tokio::time::timeout(PATIENCE, messages.next());
    next.await.expect("a message in time")
}

async fn page(service: &Service, path: &str, host: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let answer = exchange(service.address(), request.as_bytes()).await;
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn story_is_reported_read_back_and_counted() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let story = founding_story();
    let accepted = report(&channel, story.clone()).await.expect("accepted");
    assert_eq!(accepted.incident_id, story.incident_id);
    assert!(!accepted.repeated);
    let line = accepted.line_match.expect("always there");
    assert_eq!(line.id, "GVB:10");

    let recorded = get(&channel, &story.incident_id, &SECRET).await;
    let recorded = recorded.expect("found");
    assert_eq!(recorded.position, accepted.position);
    assert_eq!(recorded.operator_code, "GVB");
    let told = pb::Incident {
        incident_secret: Vec::new(),
        reporter: pb::ReporterKind::Traveller as i32,
        precision: pb::TimePrecision::Exact as i32,
        ..story
    };
    assert_eq!(recorded.incident, Some(told));

    let mut client = StatisticsServiceClient::new(channel.clone());
    let asked = that_day(&[pb::Dimension::Line, pb::Dimension::Signal]);
    let answer = client.query_figures(asked).await.expect("an answer");
    let answer = answer.into_inner();
    assert_eq!((answer.total, answer.left_out), (1, 0));
    let keys: Vec<_> = answer.figures[0]
        .keys
        .iter()
        .map(|key| &key.value)
        .collect();
    assert_eq!(keys, ["GVB:10", "red-beep"]);
    service.stop().await;
}

#[tokio::test]
async fn report_sent_again_counts_once_and_another_under_its_id_is_refused() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let story = founding_story();
    let first = report(&channel, story.clone()).await.expect("accepted");
    let second = report(&channel, story.clone()).await.expect("accepted");
    assert!(second.repeated);
    assert_eq!(second.position, first.position);
    assert_eq!(second.received_at, first.received_at);
    let other_words = pb::Incident {
        note: "another".into(),
        ..story.clone()
    };
    let other_secret = pb::Incident {
        incident_secret: vec![1; 32],
        ..story
    };
    for other in [other_words, other_secret] {
        let status = report(&channel, other).await.expect_err("refused");
        assert_eq!(status.code(), Code::AlreadyExists);
    }
    assert_eq!(total(&channel).await, 1);
    service.stop().await;
}

#[tokio::test]
async fn incident_is_not_found_by_another_secret_just_as_if_it_were_not_there() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let story = founding_story();
    report(&channel, story.clone()).await.expect("accepted");
    let wrong = get(&channel, &story.incident_id, &[1; 32]).await;
    let unknown = get(&channel, &new_id(), &SECRET).await;
    let (wrong, unknown) = (wrong.expect_err("no"), unknown.expect_err("no"));
    assert_eq!(wrong.code(), Code::NotFound);
    assert_eq!(wrong.message(), unknown.message());
    assert_eq!(wrong.details(), unknown.details());
    service.stop().await;
}

#[tokio::test]
async fn each_of_several_reports_has_its_own_result() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let bad = pb::Incident {
        card_number: "4111 1111 1111 1111".into(),
        ..founding_story()
    };
    let request = pb::ReportIncidentsRequest {
        incidents: vec![founding_story(), bad, founding_story()],
    };
    let mut client = ReportingServiceClient::new(channel.clone());
    let response = client.report_incidents(request).await.expect("answered");
    let outcomes = response.into_inner().results.into_iter();
    let outcomes: Vec<_> = outcomes.map(|result| result.outcome).collect();
    use pb::result::Outcome::{Accepted, Refusal};
    let [Some(Accepted(_)), Some(Refusal(refusal)), Some(Accepted(_))] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(refusal.code, Code::InvalidArgument as i32);
    assert_eq!(refusal.violations[0].field, "incidents[1].card_number");
    assert_eq!(total(&channel).await, 2);

    for count in [0, 1_001] {
        let incidents = vec![pb::Incident::default(); count];
        let request = pb::ReportIncidentsRequest { incidents };
        let status = client.report_incidents(request).await;
        let status = status.expect_err("refused whole");
        assert_eq!(status.code(), Code::InvalidArgument, "{count}");
    }
    service.stop().await;
}

#[tokio::test]
async fn refusal_names_every_field_and_repeats_nothing_of_it() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let number = "3528 0000 0000 0007";
    let bad = pb::Incident {
        stop: number.into(),
        note: format!("mijn kaart {number}"),
        attempts: 21,
        ..founding_story()
    };
    let status = report(&channel, bad).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    let violations = &details.bad_request().expect("violations").field_violations;
    let fields: Vec<_> = violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(
        fields,
        ["incident.stop", "incident.attempts", "incident.note"]
    );
    assert!(!format!("{status:?} {details:?}").contains("0000"));
    assert_eq!(total(&channel).await, 0);
    service.stop().await;
}

#[tokio::test]
async fn stream_answers_every_incident_in_order() {
    const INCIDENTS: u64 = 5_000;
    let service = Service::start().await;
    let channel = service.connect().await;
    let requests = (0..INCIDENTS).map(|sequence| {
        let incident = match sequence % 1_000 {
            999 => pb::Incident::default(),
            _ => founding_story(),
        };
        pb::StreamIncidentsRequest {
            incident: Some(Box::new(incident)),
            sequence,
        }
    });
    let mut client = ReportingServiceClient::new(channel.clone());
    let stream = client.stream_incidents(tokio_stream::iter(requests)).await;
    let mut results = stream.expect("a stream").into_inner();
    for expected in 0..INCIDENTS {
        let response = next(&mut results)
            .await
            .expect("a result")
            .expect("no error");
        assert_eq!(response.sequence, expected);
        let outcome = response.result.and_then(|result| result.outcome);
        let is_accepted = matches!(outcome, Some(pb::result::Outcome::Accepted(_)));
        assert_eq!(is_accepted, expected % 1_000 != 999, "{expected}");
    }
    assert!(next(&mut results).await.is_none());
    assert_eq!(total(&channel).await, INCIDENTS - 5);
    service.stop().await;
}

#[tokio::test]
async fn watch_begins_with_a_snapshot_and_tells_what_changes() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut client = LiveServiceClient::new(channel.clone());
    let request = pb::WatchRatesRequest {
        by: vec![pb::Dimension::Line as i32],
        ..pb::WatchRatesRequest::default()
    };
    let stream = client.watch_rates(request).await.expect("a stream");
    let mut messages = stream.into_inner();
    use pb::watch_rates_response::Update;
    let first = next(&mut messages)
        .await
        .expect("a message")
        .expect("no error");
    assert!(
        matches!(first.update, Some(Update::Snapshot(_))),
        "{first:?}"
    );
    report(&channel, founding_story()).await.expect("accepted");
    loop {
        let message = next(&mut messages)
            .await
            .expect("a message")
            .expect("no error");
        let Some(Update::Changes(changes)) = message.update else {
            continue;
        };
        assert_eq!(changes.figures[0].keys[0].value, "GVB:10");
        assert_eq!(message.total, 1);
        break;
    }
    drop(messages);
    service.stop().await;
}

#[tokio::test]
async fn network_is_listed_and_searched() {
    let service = Service::start().await;
    let mut client = NetworkServiceClient::new(service.connect().await);
    let operators = client.list_operators(pb::ListOperatorsRequest {}).await;
    let operators = operators.expect("an answer").into_inner().operators;
    assert!(operators.iter().any(|one| one.operator_code == "GVB"));
    let request = pb::ListLinesRequest {
        operator_code: "GVB".into(),
        page_size: 1,
        with_stops: true,
        ..pb::ListLinesRequest::default()
    };
    let page = client.list_lines(request).await.expect("an answer");
    assert_eq!(page.into_inner().lines.len(), 1);
    let status = client.search_stops(pb::SearchStopsRequest::default()).await;
    assert_eq!(status.expect_err("refused").code(), Code::InvalidArgument);
    let nowhere = pb::NearbyStopsRequest {
        latitude: f64::NAN,
        longitude: f64::INFINITY,
        ..pb::NearbyStopsRequest::default()
    };
    let status = client.nearby_stops(nowhere).await;
    assert_eq!(status.expect_err("refused").code(), Code::InvalidArgument);
    service.stop().await;
}

#[tokio::test]
async fn choices_are_listed_with_labels() {
    let service = Service::start().await;
    let mut client = ReportingServiceClient::new(service.connect().await);
    let response = client.list_choices(pb::ListChoicesRequest {}).await;
    let taxonomies = response.expect("an answer").into_inner().taxonomies;
    let signal = taxonomies.iter().find(|one| one.name == "Signal");
    assert_eq!(signal.expect("listed").choices[0].key, "red-beep");
    service.stop().await;
}

#[tokio::test]
async fn message_past_the_bound_and_bytes_that_are_none_have_codes_of_their_own() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let large = pb::Incident {
        note: "x".repeat(5 * 1024 * 1024),
        ..founding_story()
    };
    let status = report(&channel, large).await.expect_err("refused");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    // Field 1, a message of 127 bytes, of which none follows.
    let answer = grpc_web(&service, "ReportIncident", &[0x0a, 0x7f]).await;
    assert!(
        answer.contains("grpc-status: 3") || answer.contains("grpc-status:3"),
        "{answer}"
    );
    service.stop().await;
}

#[tokio::test]
async fn report_that_says_it_is_compressed_is_refused_and_not_read() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let check = async |encoding: &'static str, expected: Option<Code>| {
        let mut request = Request::new(pb::ReportIncidentRequest {
            incident: Some(founding_story()),
            ..Default::default()
        });
        let encoding = encoding.parse().expect("a value");
        request.metadata_mut().insert("grpc-encoding", encoding);
        let reported = ReportingServiceClient::new(channel.clone())
            .report_incident(request)
            .await;
        assert_eq!(reported.err().map(|status| status.code()), expected);
    };
    check("gzip", Some(Code::Unimplemented)).await;
    assert_eq!(total(&channel).await, 0);
    check("identity", None).await;
    assert_eq!(total(&channel).await, 1);
    service.stop().await;
}

#[tokio::test]
async fn how_a_call_is_compressed_is_never_repeated_to_whoever_compressed_it() {
    let service = Service::start().await;
    let mut request = Request::new(pb::ReportIncidentRequest::default());
    let encoding = "3528010123456789".parse().expect("a value");
    request.metadata_mut().insert("grpc-encoding", encoding);
    let mut client = ReportingServiceClient::new(service.connect().await);
    let refused = client.report_incident(request).await.expect_err("refused");
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(!refused.message().contains("3528"), "{refused:?}");
    let details = refused.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    assert_eq!(reason.as_deref(), Some("COMPRESSED"));
    let taken = refused.metadata().get("grpc-accept-encoding");
    assert_eq!(taken.expect("what is taken"), "identity");
    let request = "POST /mistap.v1.ReportingService/ReportIncident HTTP/1.1\r\nhost: localhost\r\n\
                   content-type: application/grpc-web+proto\r\ngrpc-encoding: 3528010123456789\r\n\
                   content-length: 5\r\nconnection: close\r\n\r\n\0\0\0\0\0";
    let answer = exchange(service.address(), request.as_bytes()).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("3528"), "{answer}");
    assert!(answer.contains("grpc-status: 12"), "{answer}");
    service.stop().await;
}

#[tokio::test]
async fn address_that_a_client_adds_after_its_message_is_not_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_with(folder, |settings| {
        settings.callers = Callers {
            are_behind_proxy: true,
        };
        settings.permits.per_prefix = settings.permits.per_prefix.map(|_| 1);
    })
    .await;
    let tcp = TcpStream::connect(service.address()).await;
    let (mut requests, connection) = h2::client::handshake(tcp.expect("connected"))
        .await
        .expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let uri = format!(
        "http://{}/mistap.v1.LiveService/WatchRates",
        service.address()
    );
    let mut watch = async |invented: &'static str| {
        let request = http::Request::post(&uri)
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("x-forwarded-for", "198.51.100.7")
            .body(())
            .expect("a request");
        let (answer, mut sending) = requests.send_request(request, false).expect("sent");
        let empty = Bytes::from_static(&[0; 5]);
        sending.send_data(empty, false).expect("sent");
        let mut after = http::HeaderMap::new();
        after.insert("x-forwarded-for", invented.parse().expect("a value"));
        sending.send_trailers(after).expect("sent");
        answer.await.expect("an answer")
    };
    let first = watch("192.0.2.1").await;
    assert_eq!(first.headers().get("grpc-status"), None);
    let second = watch("203.0.113.1").await;
    assert_eq!(second.headers()["grpc-status"], "8", "of the same address");
    drop((first, second, requests));
    connection.abort();
    service.stop().await;
}

#[tokio::test]
async fn connections_beyond_those_that_one_address_may_have_are_closed_as_they_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let service =
        Service::start_with(folder, |settings| settings.connections.on_loopback = 2).await;
    let open = async || {
        TcpStream::connect(service.address())
            .await
            .expect("accepted")
    };
    let mut held = vec![open().await, open().await];
    let closed = async |tcp: &mut TcpStream| {
        let read = tcp.read(&mut [0]).await;
        // It may be told by a reset.
        assert_eq!(read.unwrap_or(0), 0);
    };
    closed(&mut open().await).await;
    let mut one = held.pop().expect("two");
    one.shutdown().await.expect("open");
    closed(&mut one).await;
    let served = async {
        loop {
            let mut tcp = open().await;
            let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            let mut answer = Vec::new();
            if tcp.write_all(request).await.is_ok()
                && tcp.read_to_end(&mut answer).await.is_ok()
                && answer.starts_with(b"HTTP/1.1 200")
            {
                return;
            }
        }
    };
    let served = tokio::time::timeout(PATIENCE, served).await;
    served.expect("the place of one that has ended is another's");
    drop(held);
    service.stop().await;
}

#[tokio::test]
async fn whoever_watches_the_health_is_told_when_the_service_stops() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let service = Service::start().await;
    let mut client = HealthClient::new(service.connect().await);
    let watch = client.watch(HealthCheckRequest::default()).await;
    let mut watch = watch.expect("open").into_inner();
    watch.message().await.expect("open").expect("how it is");
    let stopping = tokio::spawn(service.stop());
    let ended = async {
        loop {
            if let Err(status) = watch.message().await {
                return status;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("told");
    assert_eq!(ended.code(), Code::Unavailable, "{ended}");
    assert_eq!(ended.message(), "shutting down; try again");
    drop((watch, client));
    stopping.await.expect("it ends");
}

/// Calls a method of `ReportingService` over gRPC-Web and HTTP/1.1.
async fn grpc_web(service: &Service, method: &str, message: &[u8]) -> String {
    let mut request = format!(
        "POST /mistap.v1.ReportingService/{method} HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n\0",
        message.len() + 5
    )
    .into_bytes();
    let length = u32::try_from(message.len()).expect("a short message");
    request.extend(length.to_be_bytes());
    request.extend(message);
    let answer = exchange(service.address(), &request).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// However it is called, and though a layer for browsers stands before the one that refuses.
#[tokio::test]
async fn large_request_that_finds_no_place_is_told_to_come_again() {
    let service = Service::start().await;
    let head = "POST /mistap.v1.ReportingService/ReportIncidents HTTP/1.1\r\nhost: localhost\r\n\
                content-type: application/grpc-web+proto\r\ncontent-length: 200000\r\n\r\n\
                \0\0\x02\0\0";
    let mut unended = Vec::new();
    for _ in 0..LARGE_REQUESTS_MAX {
        let stream = TcpStream::connect(service.address()).await;
        let mut stream = stream.expect("a server");
        stream.write_all(head.as_bytes()).await.expect("read");
        let part = vec![0x0a; LARGE_REQUEST_BYTES_MIN];
        stream.write_all(&part).await.expect("read");
        unended.push(stream);
    }
    let large = pb::ReportIncidentsRequest {
        incidents: vec![pb::Incident::default(); LARGE_REQUEST_BYTES_MIN],
    };
    let refused = async || {
        let answer = grpc_web(&service, "ReportIncidents", &large.encode_to_vec()).await;
        let mut client = ReportingServiceClient::new(service.connect().await);
        let status = client.report_incidents(large.clone()).await;
        (answer, status.expect_err("too many incidents"))
    };
    let told = async |expected: Code| {
        let begun = Instant::now();
        loop {
            let (answer, status) = refused().await;
            let is_told = answer.contains(&format!("grpc-status:{}", expected as i32))
                || answer.contains(&format!("grpc-status: {}", expected as i32));
            if status.code() == expected && is_told {
                return status;
            }
            // What was sent or closed is noticed soon.
            assert!(begun.elapsed() < PATIENCE, "{status} {answer}");
        }
    };
    let status = told(Code::ResourceExhausted).await;
    assert!(status.get_details_retry_info().is_some(), "{status}");
    drop(unended);
    told(Code::InvalidArgument).await;
    service.stop().await;
}

#[tokio::test]
async fn browsers_are_served_over_http_1_on_the_same_port() {
    let service = Service::start().await;
    let story = founding_story();
    let request = pb::ReportIncidentRequest {
        incident: Some(story.clone()),
        ..pb::ReportIncidentRequest::default()
    };
    let answer = grpc_web(&service, "ReportIncident", &request.encode_to_vec()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(&story.incident_id), "{answer}");
    assert!(answer.contains("grpc-status:0"), "{answer}");
    let health = page(&service, "/healthz", "localhost").await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    let metrics = page(&service, "/metrics", "127.0.0.1").await;
    assert!(
        metrics.contains("mistap_reports_total{result=\"Recorded\"} 1"),
        "{metrics}"
    );
    let start = page(&service, "/", "localhost:7070").await;
    assert!(start.contains("<h1>mistap</h1>"), "{start}");
    let nothing = page(&service, "/nothing", "localhost").await;
    assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");
    let foreign = page(&service, "/", "example.org").await;
    assert!(foreign.starts_with("HTTP/1.1 421"), "{foreign}");
    service.stop().await;
}

#[tokio::test]
async fn pages_of_anybody_may_read_what_is_published_and_nothing_else() {
    let service = Service::start().await;
    for (path, is_published) in [
        ("/editions.json", true),
        ("/editions/2026-10.json", true),
        ("/editions/2026-10/all/line.csv", true),
        ("/.well-known/jwks.json", true),
        ("/", false),
        ("/healthz", false),
        ("/metrics", false),
        ("/receipt", false),
    ] {
        let answer = page(&service, path, "localhost").await;
        let is_open = answer.contains("access-control-allow-origin: *");
        assert_eq!(is_open, is_published, "{path}: {answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn editions_can_be_found_from_the_start_page() {
    let service = Service::start().await;
    let there = page(&service, "/editions", "localhost").await;
    assert!(there.starts_with("HTTP/1.1 308"), "{there}");
    assert!(there.contains("location: /#editions"), "{there}");
    let start = page(&service, "/", "localhost").await;
    assert!(start.contains("None is published yet"), "{start}");
    assert!(start.contains("<code>operator</code>"), "{start}");
    for (path, told) in [
        ("/editions/2026-10/GVB/line.csv", "lower case"),
        ("/editions/2026-10/gvb/lines.csv", "names of tables"),
        ("/editions/soon/gvb/line.csv", "/editions/MONTH/OPERATOR"),
    ] {
        let answer = page(&service, path, "localhost").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(answer.contains(told), "{answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn unknown_calls_are_unimplemented() {
    let service = Service::start().await;
    let channel = service.connect().await;
    for path in ["/mistap.v1.ReportingService/Nothing", "/no.Service/Nothing"] {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.expect("connected");
        let path = path.parse().expect("a path");
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let status = client.unary(Request::new(()), path, codec).await;
        let status = status.expect_err("refused");
        assert_eq!(status.code(), Code::Unimplemented);
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        assert_eq!(reason.as_deref(), Some("NO_SUCH_METHOD"));
        assert_eq!(status.message(), "there is no such method");
    }
    service.stop().await;
}

#[tokio::test]
async fn name_that_reflection_does_not_know_is_not_repeated() {
    use tonic_reflection::pb::{v1, v1alpha};

    let service = Service::start().await;
    let channel = service.connect().await;
    let name = || "3528010123456789".to_owned();
    let check = |refused: Status| {
        assert_eq!(refused.code(), Code::NotFound);
        assert_eq!(refused.message(), "there is nothing of this name");
    };
    {
        use v1::server_reflection_request::MessageRequest;
        for asked in [
            MessageRequest::FileByFilename(name()),
            MessageRequest::FileContainingSymbol(name()),
        ] {
            let request = v1::ServerReflectionRequest {
                host: String::new(),
                message_request: Some(asked),
            };
            let mut client =
                v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
            let request = tokio_stream::once(request);
            let answers = client.server_reflection_info(request).await;
            let mut answers = answers.expect("a stream").into_inner();
            let answer = next(&mut answers).await.expect("an answer");
            check(answer.expect_err("unknown"));
        }
    }
    use v1alpha::server_reflection_request::MessageRequest;
    for asked in [
        MessageRequest::FileByFilename(name()),
        MessageRequest::FileContainingSymbol(name()),
    ] {
        let request = v1alpha::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(asked),
        };
        let mut client =
            v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let request = tokio_stream::once(request);
        let answers = client.server_reflection_info(request).await;
        let mut answers = answers.expect("a stream").into_inner();
        let answer = next(&mut answers).await.expect("an answer");
        check(answer.expect_err("unknown"));
    }
    service.stop().await;
}

#[tokio::test]
async fn health_and_reflection_answer() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

    let service = Service::start().await;
    let channel = service.connect().await;
    let mut client = HealthClient::new(channel.clone());
    for name in ["", "mistap.v1.ReportingService", "mistap.v1.LiveService"] {
        let service = name.to_owned();
        let response = client.check(HealthCheckRequest { service }).await;
        let status = response.expect("known").into_inner().status;
        assert_eq!(status, ServingStatus::Serving as i32, "{name}");
    }
    let mut client = ServerReflectionClient::new(channel);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let stream = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let mut answers = stream.expect("a stream").into_inner();
    let answer = next(&mut answers)
        .await
        .expect("an answer")
        .expect("no error");
    let text = format!("{answer:?}");
    assert!(text.contains("mistap.v1.StatisticsService"), "{text}");
    assert!(!text.contains("mistap.journal"), "{text}");
    service.stop().await;
}

#[tokio::test]
async fn stopping_ends_streams_with_unavailable_and_when_to_come_back() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut live = LiveServiceClient::new(channel.clone());
    let watch = live.watch_rates(pb::WatchRatesRequest::default()).await;
    let mut watch = watch.expect("a stream").into_inner();
    next(&mut watch)
        .await
        .expect("a snapshot")
        .expect("no error");
    let mut reporting = ReportingServiceClient::new(channel);
    let bulk = reporting.stream_incidents(tokio_stream::pending()).await;
    let mut bulk = bulk.expect("a stream").into_inner();

    let stopping = tokio::spawn(service.stop());
    let ended = next(&mut bulk).await.expect("an error");
    check_stopped(&ended.expect_err("an error"));
    let ended = loop {
        match next(&mut watch).await.expect("an error") {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    check_stopped(&ended);
    drop((watch, bulk, live, reporting));
    stopping.await.expect("stopped");
}

fn check_stopped(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = status.get_error_details();
    let retry = details.retry_info().and_then(|info| info.retry_delay);
    assert!(
        retry.is_some_and(|delay| Duration::ZERO < delay),
        "{status:?}"
    );
}

#[tokio::test]
async fn restarted_service_knows_what_it_was_told() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let story = founding_story();
    report(&channel, story.clone()).await.expect("accepted");
    drop(channel);
    let service = Service::start_in(service.stop().await).await;
    let channel = service.connect().await;
    let again = report(&channel, story.clone()).await.expect("accepted");
    assert!(again.repeated);
    assert_eq!(total(&channel).await, 1);
    get(&channel, &story.incident_id, &SECRET)
        .await
        .expect("found");
    assert!(service.folder().exists());
    drop(channel);
    service.stop().await;
}

#[tokio::test]
async fn clients_that_take_no_results_hold_up_nobody_else() {
    const UNREAD: u64 = 10_000;
    const READ: u64 = 2_000;
    let service = Service::start().await;
    let requests = |count| {
        let request = |sequence| pb::StreamIncidentsRequest {
            incident: Some(Box::new(founding_story())),
            sequence,
        };
        tokio_stream::iter((0..count).map(request))
    };
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = ReportingServiceClient::new(service.connect().await);
        let stream = client.stream_incidents(requests(UNREAD)).await;
        held.push((client, stream.expect("a stream")));
    }
    // Until they are stuck.
    let channel = service.connect().await;
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = total(&channel).await;
        if 0 < now && now == before {
            break;
        }
        before = now;
    }
    let mut client = ReportingServiceClient::new(channel);
    let stream = client.stream_incidents(requests(READ)).await;
    let mut results = stream.expect("a stream").into_inner();
    for expected in 0..READ {
        let response = next(&mut results).await.expect("a result");
        assert_eq!(response.expect("no error").sequence, expected);
    }
    drop((held, results, client));
    service.stop().await;
}

#[tokio::test]
async fn network_that_is_imported_while_the_service_runs_is_used() {
    use mistap::network::Network;
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let often = Duration::from_millis(20);
    let service = Service::start_with(dir, |settings| settings.network_look = often).await;
    let channel = service.connect().await;
    let first = report(&channel, founding_story()).await.expect("accepted");
    let base = Network::built_in();
    let newer = Network::overlay(&base, Vec::new()).expect("nothing new is wrong");
    newer.save(service.folder()).expect("saved");
    // The journal notes it, at one more position.
    let mut reports = 0;
    until_so("the newer network is used", async || {
        reports += 1;
        let next = report(&channel, founding_story()).await.expect("accepted");
        first.position + reports < next.position && service.network_version() == 1
    })
    .await;
    drop(channel);
    service.stop().await;
}

#[tokio::test]
async fn clock_that_jumps_corrects_no_device_and_makes_no_key() {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let wrong_ms = Arc::new(AtomicI64::new(0));
    let wrong = Arc::clone(&wrong_ms);
    let clock = move || UtcMillis(START.0 + wrong.load(Ordering::Relaxed));
    let service = Service::start_with(dir, |settings| {
        settings.clock = Arc::new(clock);
        settings.clock_check = ClockCheck::Always;
    })
    .await;
    let channel = service.connect().await;
    let told_by = |device: UtcMillis| pb::Incident {
        device_time: at(device),
        ..founding_story()
    };
    // What a report takes on its way may be corrected, a jump may not.
    let as_told = async |incident: pb::Incident| {
        report(&channel, incident.clone()).await.expect("accepted");
        let recorded = get(&channel, &incident.incident_id, &SECRET).await;
        let moved_ms = 1_000 * recorded.expect("its own").clock_correction_seconds;
        assert!(moved_ms.abs() < HOUR_MS, "{moved_ms} ms");
    };
    as_told(told_by(START)).await;
    let periods = service.ingest().keys().known_periods();
    // Far enough for the quarter after the next.
    wrong_ms.store(40 * DAY_MS, Ordering::Relaxed);
    for _ in 0..2 {
        as_told(told_by(START)).await;
    }
    // Whoever has the same time as the clock may be right as well.
    let later = |days: i64| UtcMillis(START.0 + days * DAY_MS);
    let tapped = |days: i64| pb::Incident {
        occurred_at: at(later(days)),
        ..told_by(later(40))
    };
    as_told(tapped(1)).await;
    // But an entry of now cannot tell a tap of so much later: it is to be sent again.
    let refused = report(&channel, tapped(37))
        .await
        .expect_err("too far ahead");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(service.ingest().keys().known_periods(), periods);
    let corrected = pb::Incident {
        occurred_at: at(later(-4)),
        ..told_by(later(-3))
    };
    let id = corrected.incident_id.clone();
    report(&channel, corrected).await.expect("accepted");
    let recorded = get(&channel, &id, &SECRET).await.expect("its own");
    let moved_ms = 1_000 * recorded.clock_correction_seconds;
    assert!((moved_ms - 3 * DAY_MS).abs() < HOUR_MS, "{moved_ms} ms");
    service.stop().await;
}

#[tokio::test]
async fn clock_that_jumps_moves_no_window_that_is_watched() {
    use pb::watch_rates_response::Update;

    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let wrong_ms = Arc::new(AtomicI64::new(0));
    let wrong = Arc::clone(&wrong_ms);
    let service = Service::start_with(dir, |settings| {
        let clock = move || UtcMillis(START.0 + wrong.load(Ordering::Relaxed));
        settings.clock = Arc::new(clock);
        settings.clock_check = ClockCheck::Always;
    })
    .await;
    let channel = service.connect().await;
    let timed = || pb::Incident {
        precision: pb::TimePrecision::Exact as i32,
        ..founding_story()
    };
    report(&channel, timed()).await.expect("accepted");
    let mut client = LiveServiceClient::new(channel.clone());
    let stream = client.watch_rates(pb::WatchRatesRequest::default()).await;
    let mut messages = stream.expect("a stream").into_inner();
    let mut next = async || {
        let message = next(&mut messages).await.expect("the stream goes on");
        message.expect("no error")
    };
    let first = next().await;
    assert!(matches!(first.update, Some(Update::Snapshot(_))));
    assert_eq!(first.total, 1);
    wrong_ms.store(DAY_MS, Ordering::Relaxed);
    report(&channel, timed()).await.expect("accepted");
    assert_eq!(next().await.total, 2);
    service.stop().await;
}

#[tokio::test]
async fn record_that_fails_refuses_reports_and_answers_questions_until_it_is_stopped() {
    use mistap::app::AppError;
    use mistap::ingest::StopError;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;

    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let is_broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&is_broken);
    let clock = move || {
        let is_committer = std::thread::current().name() == Some("committer");
        assert!(!is_committer || !breaks.load(Ordering::Relaxed), "a bug");
        START
    };
    let service = Service::start_with(dir, |settings| settings.clock = Arc::new(clock)).await;
    let channel = service.connect().await;
    report(&channel, founding_story()).await.expect("accepted");
    is_broken.store(true, Ordering::Relaxed);
    let refused = report(&channel, founding_story()).await;
    let refused = refused.expect_err("nobody commits it");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert_eq!(total(&channel).await, 1);
    let mut client = HealthClient::new(channel.clone());
    let mut status = async |name: &str| {
        let service = name.to_owned();
        let response = client.check(HealthCheckRequest { service }).await;
        response.expect("known").into_inner().status()
    };
    until_so("it is told", async || {
        status("").await != ServingStatus::Serving
    })
    .await;
    let reporting = status("mistap.v1.ReportingService").await;
    assert_eq!(reporting, ServingStatus::NotServing);
    let statistics = status("mistap.v1.StatisticsService").await;
    assert_eq!(statistics, ServingStatus::Serving);
    let health = page(&service, "/healthz", "localhost").await;
    assert!(health.starts_with("HTTP/1.1 503"), "{health}");
    drop(channel);
    let ended = service.end().await;
    assert!(
        matches!(ended, Err(AppError::Stop(StopError::Failed))),
        "{ended:?}"
    );
}
