//! Streams as their clients meet them: what is told and what is not, where a stream may begin,
//! how many may be open, and how they end.

use std::sync::Arc;

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::incident_event::Change;
use mistap::api::pb::v1::live_service_client::LiveServiceClient;
use mistap::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use mistap::api::pb::v1::watch_incidents_request::Start;
use mistap::api::pb::v1::watch_incidents_response::Update;
use mistap::client::{Bearer, Follower, Heard, Incidents};
use mistap::domain::taxonomy::CaseState;
use mistap::domain::time::HOUR_MS;
use mistap::domain::{IncidentId, IncidentSecret, Position, UtcMillis};
use mistap::ingest::Reply;
use mistap::live::PermitBounds;
use prost::Message;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::child::{PATIENCE, until_so};
use crate::support::{
    self, SECRET, START, Service, at, feed_of_gvb, founding_story, report, taps_of_line,
};

type Messages = Streaming<pb::WatchIncidentsResponse>;

async fn watch(
    channel: &Channel,
    operators: &[&str],
    start: Option<Start>,
) -> Result<Messages, Status> {
    let request = pb::WatchIncidentsRequest {
        operators: operators.iter().map(|&code| code.to_owned()).collect(),
        lines: Vec::new(),
        start,
    };
    let mut client = LiveServiceClient::new(channel.clone());
    Ok(client.watch_incidents(request).await?.into_inner())
}

async fn next(messages: &mut Messages) -> Result<pb::WatchIncidentsResponse, Status> {
    let next = tokio::time::timeout(PATIENCE, messages.message());
    let message = next.await.expect("a message in time")?;
    Ok(message.expect("the stream goes on"))
}

/// The next message that is no bookmark.
async fn next_events(messages: &mut Messages) -> (Vec<pb::IncidentEvent>, Vec<u8>) {
    loop {
        let message = next(messages).await.expect("no error");
        if let Some(Update::Events(events)) = message.update {
            return (events.events, message.resume_token);
        }
    }
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().expect("always there").reason.clone()
}

#[tokio::test]
async fn incident_and_its_withdrawal_are_told_in_order_without_anything_personal() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut all = watch(&channel, &[], None).await.expect("a stream");
    let mut others = watch(&channel, &["HTM"], None).await.expect("a stream");
    for messages in [&mut all, &mut others] {
        let first = next(messages).await.expect("no error");
        assert!(matches!(first.update, Some(Update::Heartbeat(_))));
    }
    let story = founding_story();
    let position = report(&channel, story.clone()).await.position;
    // A repeat is no event.
    assert_eq!(report(&channel, story.clone()).await.position, position);
    let id: IncidentId = story.incident_id.parse().expect("an id");
    let secret = IncidentSecret::parse(&SECRET)
        .expect("valid")
        .expect("given");
    let reply = Reply {
        state: CaseState::Repaired,
        reason: None,
        message: "repaired words".into(),
    };
    let place = Position(position);
    let answered = service.ingest().respond(place, reply).await;
    answered.expect("answered");
    for _ in 0..2 {
        let withdrawn = service.ingest().withdraw(id, &secret).await;
        withdrawn.expect("withdrawn");
    }
    let mut events = Vec::new();
    while events.len() < 3 {
        events.extend(next_events(&mut all).await.0);
    }
    assert_eq!(events.len(), 3);
    assert_eq!(events[0].position, position);
    let Some(Change::Answered(answered)) = &events[1].change else {
        panic!("{events:?}");
    };
    assert_eq!(answered.recorded_position, position);
    assert_eq!(answered.state(), pb::CaseState::Repaired);
    assert!(matches!(events[0].change, Some(Change::Recorded(_))));
    let Some(Change::Withdrawn(withdrawn)) = &events[2].change else {
        panic!("{events:?}");
    };
    assert_eq!(withdrawn.recorded_position, position);
    let facts = events[0].incident.as_ref().expect("always there");
    assert_eq!(
        (facts.operator.as_str(), facts.line.as_str()),
        ("GVB", "GVB:10")
    );
    assert_eq!(facts.precision, pb::TimePrecision::Hour as i32);
    assert_eq!(facts.staff_acts, story.staff_acts);
    let bytes = pb::IncidentEvents { events }.encode_to_vec();
    let words: [&[u8]; 2] = [b"meisje", b"repaired words"];
    for secret in [story.incident_id.as_bytes(), id.as_bytes()]
        .into_iter()
        .chain(words)
    {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret));
    }
    drop((all, others));
    service.stop().await;
}

#[tokio::test]
async fn stream_is_resumed_after_a_restart_and_refused_over_another_record() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut messages = watch(&channel, &[], None).await.expect("a stream");
    let first = report(&channel, founding_story()).await.position;
    let (events, token) = next_events(&mut messages).await;
    assert_eq!(events[0].position, first);
    drop(messages);
    let second = report(&channel, founding_story()).await.position;
    let dir = service.stop().await;
    let service = Service::start_in(dir).await;
    let channel = service.connect().await;
    let third = report(&channel, founding_story()).await.position;
    let start = || Some(Start::ResumeToken(token.clone()));
    let mut resumed = watch(&channel, &[], start()).await.expect("a stream");
    let mut positions = Vec::new();
    while positions.len() < 2 {
        let (events, _) = next_events(&mut resumed).await;
        positions.extend(events.iter().map(|event| event.position));
    }
    assert_eq!(positions, [second, third]);
    drop(resumed);
    service.stop().await;

    let other = Service::start().await;
    let refused = watch(&other.connect().await, &[], start()).await;
    let status = refused.expect_err("refused");
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(reason(&status), "TOKEN_OF_OTHER_JOURNAL");
    let details = status.get_error_details();
    let info = details.error_info().expect("always there");
    assert!(info.metadata.contains_key("resume_token"));
    other.stop().await;
}

#[tokio::test]
async fn stream_beyond_the_bound_is_refused_and_one_that_ends_gives_its_place_back() {
    let dir = TempDir::new().expect("a temporary folder");
    let service = Service::start_with(dir, |settings| {
        settings.permits = PermitBounds {
            on_loopback: 2,
            ..PermitBounds::default()
        };
    })
    .await;
    let channel = service.connect().await;
    let mut incidents = watch(&channel, &[], None).await.expect("a stream");
    next(&mut incidents).await.expect("no error");
    let mut client = LiveServiceClient::new(channel.clone());
    let rates = client.watch_rates(pb::WatchRatesRequest::default()).await;
    let rates = rates.expect("a stream").into_inner();
    let status = watch(&channel, &[], None).await.expect_err("refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "TOO_MANY_WATCHERS");
    let details = status.get_error_details();
    assert!(details.retry_info().is_some() && details.quota_failure().is_some());
    drop(rates);
    until_so("there is a place again", async || {
        watch(&channel, &[], None).await.is_ok()
    })
    .await;
    drop(incidents);
    service.stop().await;
}

#[tokio::test]
async fn service_that_stops_ends_streams_with_advice_to_try_again() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut incidents = watch(&channel, &[], None).await.expect("a stream");
    next(&mut incidents).await.expect("no error");
    let mut client = LiveServiceClient::new(channel.clone());
    let rates = client.watch_rates(pb::WatchRatesRequest::default()).await;
    let rates = rates.expect("a stream").into_inner();
    let ended = [tokio::spawn(end_of(incidents)), tokio::spawn(end_of(rates))];
    service.stop().await;
    for ended in ended {
        let status = ended.await.expect("no panic");
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.get_error_details().retry_info().is_some());
    }
}

/// What a stream ends with.
async fn end_of<T>(mut messages: Streaming<T>) -> Status {
    loop {
        let message = tokio::time::timeout(PATIENCE, messages.message()).await;
        match message.expect("in time") {
            Ok(message) => assert!(message.is_some(), "it ends without a word"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn follower_goes_on_after_a_restart_without_a_gap_or_a_repeat() {
    let service = Service::start().await;
    let address = service.address();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let mut follower = Follower::<Incidents>::new(
        endpoint,
        Bearer::default(),
        pb::WatchIncidentsRequest::default(),
    );
    assert!(matches!(follower.next().await, Ok(Heard::Message(_))));
    let (mut expected, mut seen) = (Vec::new(), Vec::new());
    let channel = service.connect().await;
    expected.push(report(&channel, founding_story()).await.position);
    let heard = tokio::time::timeout(PATIENCE, follower.next()).await;
    let Ok(Ok(Heard::Message(message))) = heard else {
        panic!("{heard:?}");
    };
    seen.extend(positions(&message));
    expected.push(report(&channel, founding_story()).await.position);
    let dir = service.stop().await;
    let service = Service::start_with(dir, |settings| settings.listen = address).await;
    expected.push(
        report(&service.connect().await, founding_story())
            .await
            .position,
    );
    let mut lost = 0;
    while seen.len() < expected.len() {
        let heard = tokio::time::timeout(PATIENCE, follower.next()).await;
        match heard.expect("in time").expect("worth another try") {
            Heard::Message(message) => seen.extend(positions(&message)),
            Heard::Lost(_) => lost += 1,
        }
    }
    assert_eq!(seen, expected);
    assert!(0 < lost);
    drop(follower);
    service.stop().await;
}

fn positions(message: &pb::WatchIncidentsResponse) -> Vec<u64> {
    match &message.update {
        Some(Update::Events(events)) => events.events.iter().map(|one| one.position).collect(),
        Some(Update::Heartbeat(_)) | None => Vec::new(),
    }
}

/// Hours before `START` of which taps are told; nothing is told of the hour after it.
const HOURS_TOLD: i64 = 5;

/// A feed of line GVB:10 by the hour tells so many taps of each hour.
async fn tell_taps(channel: &Channel, taps: u64) {
    let start = |hours_ago| UtcMillis(START.0 - hours_ago * HOUR_MS);
    let count = |hours_ago| taps_of_line("GVB:10", start(hours_ago), taps);
    let feed = pb::TapFeed {
        tap_kinds: vec![pb::TapKind::CheckIn.into()],
        ..feed_of_gvb("gvb.lines", pb::TapGrain::Line, pb::TapInterval::Hour)
    };
    support::tell_taps(channel, feed, (1..=HOURS_TOLD).map(count)).await;
}

fn rates_by_line(feeds: &[&str]) -> pb::WatchRatesRequest {
    pb::WatchRatesRequest {
        by: vec![pb::Dimension::Line.into()],
        window: Some(prost_types::Duration {
            seconds: (HOURS_TOLD + 1) * 3_600,
            nanos: 0,
        }),
        rates: Some(pb::RatesRequest {
            feeds: feeds.iter().map(|&feed| feed.to_owned()).collect(),
            ..pb::RatesRequest::default()
        }),
        ..pb::WatchRatesRequest::default()
    }
}

/// What a question gives of the hours that taps were told of.
async fn asked(channel: &Channel) -> pb::QueryFiguresResponse {
    let request = pb::QueryFiguresRequest {
        question: Some(pb::Question {
            by: vec![pb::Dimension::Line.into()],
            window: Some(pb::Window {
                start: at(UtcMillis(START.0 - HOURS_TOLD * HOUR_MS)),
                end: at(START),
            }),
            ..pb::Question::default()
        }),
        rates: Some(pb::RatesRequest::default()),
        ..pb::QueryFiguresRequest::default()
    };
    let mut client = StatisticsServiceClient::new(channel.clone());
    let answer = client.query_figures(request).await.expect("an answer");
    answer.into_inner()
}

/// The first message that is for the state as of this position or later, and its rows.
async fn state_of(
    messages: &mut Streaming<pb::WatchRatesResponse>,
    position: u64,
) -> (pb::WatchRatesResponse, Vec<pb::Figure>) {
    use pb::watch_rates_response::Update;
    loop {
        let message = tokio::time::timeout(PATIENCE, messages.message()).await;
        let message = message.expect("in time").expect("no error");
        let message = message.expect("the stream goes on");
        let rows = match &message.update {
            Some(Update::Snapshot(all)) => all.figures.clone(),
            Some(Update::Changes(some)) => some.figures.clone(),
            _ => Vec::new(),
        };
        if position <= message.position {
            return (message, rows);
        }
    }
}

#[tokio::test]
async fn rates_follow_reports_and_taps_and_are_those_of_a_question() {
    let dir = TempDir::new().expect("a temporary folder");
    // The last minute of the hour after `START`, so that the window is six whole hours.
    let now = UtcMillis(START.0 + HOUR_MS - 30_000);
    let service = Service::start_with(dir, |settings| settings.clock = Arc::new(move || now)).await;
    let channel = service.connect().await;
    let mut client = LiveServiceClient::new(channel.clone());
    let opened = async {
        loop {
            match client.watch_rates(rates_by_line(&[])).await {
                Ok(opened) => break opened.into_inner(),
                Err(status) => assert_eq!(reason(&status), "STORE_OPENING"),
            }
        }
    };
    let opened = tokio::time::timeout(PATIENCE, opened).await;
    let mut messages = opened.expect("the store opens in time");
    let (first, _) = state_of(&mut messages, 0).await;
    let total = first.total_rate.expect("asked for");
    assert_eq!(total.no_rate(), pb::NoRate::NoTaps);
    assert_eq!((first.rated_from, first.rated_until), (None, None));

    tell_taps(&channel, 10_000).await;
    for _ in 0..3 {
        report(&channel, founding_story()).await;
    }
    for taps in [10_000, 30_000] {
        tell_taps(&channel, taps).await;
        let question = asked(&channel).await;
        let (message, rows) = state_of(&mut messages, question.position).await;
        assert_eq!(message.rated_until, at(START));
        assert_eq!(
            message.rated_from,
            at(UtcMillis(START.0 - HOURS_TOLD * HOUR_MS))
        );
        assert_eq!(message.total_rate, question.total_rate);
        // A window that moves tells nothing of days.
        let of_window = question.figures.iter().cloned().map(|figure| pb::Figure {
            rests_on_few_days: None,
            ..figure
        });
        let of_window: Vec<_> = of_window.collect();
        assert_eq!(
            rows, of_window,
            "the count of a window without other reports"
        );
        let rate = rows[0].rate.as_ref().expect("asked for");
        assert_eq!(rate.taps, 5 * taps);
        let per_100_000 = 3.0 / (5.0 * taps as f64) * 100_000.0;
        assert!((rate.value.expect("a rate") - per_100_000).abs() < 1e-9);
        assert_eq!(message.feeds, question.feeds);
    }

    let refused = client
        .watch_rates(rates_by_line(&["gvb.lines", "none"]))
        .await;
    let status = refused.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    let violation = &details
        .bad_request()
        .expect("always there")
        .field_violations[0];
    assert_eq!(violation.field, "rates.feeds[1]");
    drop(messages);
    service.stop().await;
}

#[tokio::test]
async fn tokens_of_rates_over_another_record_are_refused_with_one_that_begins_anew() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut client = LiveServiceClient::new(channel.clone());
    let messages = client.watch_rates(pb::WatchRatesRequest::default()).await;
    let mut messages = messages.expect("a stream").into_inner();
    let token = state_of(&mut messages, 0).await.0.resume_token;
    drop(messages);
    service.stop().await;

    let other = Service::start().await;
    let mut client = LiveServiceClient::new(other.connect().await);
    let with = |resume_token| pb::WatchRatesRequest {
        resume_token,
        ..pb::WatchRatesRequest::default()
    };
    let refused = client.watch_rates(with(token)).await;
    let status = refused.expect_err("refused");
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(reason(&status), "TOKEN_OF_OTHER_JOURNAL");
    let details = status.get_error_details();
    let info = details.error_info().expect("always there");
    let digits = info.metadata["resume_token"].as_bytes();
    let oldest = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    });
    let messages = client.watch_rates(with(oldest.collect())).await;
    let mut messages = messages.expect("a stream").into_inner();
    let (message, _) = state_of(&mut messages, 0).await;
    let update = message.update.expect("always there");
    assert!(matches!(
        update,
        pb::watch_rates_response::Update::Snapshot(_)
    ));
    drop(messages);
    other.stop().await;
}
