//! Nobody takes more than a share: of reports, of pages, of streams.

use super::pages::answered;
use super::*;

/// Reports in one call, as the public.
async fn report(guarded: &Guarded, incidents: Vec<pb::Incident>) -> Vec<i32> {
    let mut client = Reporting::new(guarded.of(Role::Public).await);
    let request = pb::ReportIncidentsRequest { incidents };
    let answer = client.report_incidents(request).await.expect("one call");
    let code = |result: pb::Result| match result.outcome {
        Some(pb::result::Outcome::Refusal(refusal)) => {
            assert!(refusal.retry_after.is_some(), "{refusal:?}");
            refusal.code
        }
        _ => 0,
    };
    answer.into_inner().results.into_iter().map(code).collect()
}

fn of_installation(number: usize) -> pb::Incident {
    pb::Incident {
        incident_id: new_id(),
        installation_id: format!("inst-{number:020}"),
        ..founding_story()
    }
}

#[tokio::test]
async fn one_reporter_cannot_flood_and_is_told_how_long_to_wait() {
    let guarded = Guarded::start().await;
    let burst = usize::try_from(REPORTER_BURST_MAX).expect("small");
    let many = |count| (0..count).map(|_| of_installation(1)).collect();
    assert_eq!(report(&guarded, many(burst)).await, vec![0; burst]);
    let exhausted = Code::ResourceExhausted as i32;
    assert_eq!(report(&guarded, many(2)).await, [exhausted; 2]);
    assert_eq!(report(&guarded, vec![of_installation(2)]).await, [0]);
}

#[tokio::test]
async fn one_address_cannot_flood_and_tokens_are_not_held_up_by_it() {
    let guarded = Guarded::start().await;
    let mut refused = None;
    for _ in 0..=PREFIX_BURST_MAX / 1_000 {
        let incidents = (0..1_000).map(|_| pb::Incident::default()).collect();
        let mut client = Reporting::new(guarded.of(Role::Public).await);
        let request = pb::ReportIncidentsRequest { incidents };
        if let Ok(answer) = client.report_incidents(request).await {
            let first = answer.into_inner().results.swap_remove(0).outcome;
            if let Some(pb::result::Outcome::Refusal(refusal)) = first {
                refused = (refusal.code == Code::ResourceExhausted as i32).then_some(refusal);
            }
        }
    }
    let refusal = refused.expect("the last thousand are too many");
    assert!(refusal.retry_after.is_some());
    let mut client = Statistics::new(guarded.of(Role::Steward).await);
    assert_eq!(reason(&client.query_figures(that_day(&[])).await), "OK");
}

/// Uses up what this address may ask for without a token.
async fn flood(guarded: &Guarded) {
    for _ in 0..PREFIX_BURST_MAX / 1_000 {
        let incidents = (0..1_000).map(|_| pb::Incident::default()).collect();
        let mut client = Reporting::new(guarded.of(Role::Public).await);
        let request = pb::ReportIncidentsRequest { incidents };
        let _ = client.report_incidents(request).await;
    }
}

#[tokio::test]
async fn report_that_comes_alone_is_counted_once() {
    const LEFT: u32 = 90;
    let guarded = Guarded::start().await;
    let mut client = Reporting::new(guarded.of(Role::Public).await);
    // Each call of many is one besides.
    let mut left = PREFIX_BURST_MAX;
    while LEFT < left {
        let many = (left - LEFT).min(1_000);
        let incidents = (1..many).map(|_| pb::Incident::default()).collect();
        let request = pb::ReportIncidentsRequest { incidents };
        let answer = client.report_incidents(request).await.expect("one call");
        let results = answer.into_inner().results.len();
        assert_eq!(u32::try_from(results), Ok(many - 1));
        left -= many;
    }
    for number in 0..LEFT {
        let refused = client.report_incident(pb::ReportIncidentRequest::default());
        let code = refused.await.expect_err("nothing is told").code();
        assert_eq!(code, Code::InvalidArgument, "{number}");
    }
}

#[tokio::test]
async fn page_is_counted_whatever_kind_of_request_it_says_it_is() {
    let guarded = Guarded::start().await;
    flood(&guarded).await;
    let grpc = "content-type: application/grpc\r\n";
    for start in [
        "GET /healthz HTTP/1.1\r\n".to_owned(),
        format!("GET /healthz HTTP/1.1\r\n{grpc}"),
        format!("POST /receipt HTTP/1.1\r\n{grpc}"),
        format!("POST /nothing/here HTTP/1.1\r\n{grpc}"),
    ] {
        let mut last = (0, String::new());
        // What was left of the last thousand, and what is let in as time passes.
        for _ in 0..2_000 {
            last = answered(&guarded, &start).await;
            if last.0 == 429 {
                break;
            }
        }
        assert_eq!(last.0, 429, "{start}");
        assert!(last.1.contains("retry-after: "), "{}", last.1);
    }
}

#[tokio::test]
async fn one_token_cannot_take_every_stream_of_tap_counts_or_of_incidents() {
    let folder = TempDir::new().expect("a folder");
    let tokens = [
        add(&folder, Role::Device, Some("GVB")),
        add(&folder, Role::Device, Some("RET")),
    ];
    let service = Service::start_in(folder).await;
    let [one, other] = [&tokens[0], &tokens[1]];
    let with = async |token: &Token| {
        let bearer = Bearer::new(token.expose()).expect("it can be sent");
        bearer.over(service.connect().await)
    };
    let refused = |status: &Status| {
        let details = status.get_error_details();
        let quota = details.quota_failure().expect("always there");
        let info = details.error_info().expect("always there");
        assert_eq!(info.reason, "TOO_MANY_STREAMS");
        assert_eq!(quota.violations[0].subject, "token");
        status.code()
    };
    let mut open = Vec::new();
    let mut operations = Operations::new(with(one).await);
    for _ in 0..TAP_STREAMS_PER_TOKEN_MAX {
        let stream = operations.stream_tap_counts(tokio_stream::pending()).await;
        open.push(stream.expect("open").into_inner());
    }
    let more = operations.stream_tap_counts(tokio_stream::pending()).await;
    let code = refused(&more.expect_err("as many as may be"));
    assert_eq!(code, Code::ResourceExhausted);
    let mut others = Operations::new(with(other).await);
    let stream = others.stream_tap_counts(tokio_stream::pending()).await;
    stream.expect("another token has room");
    drop(open);

    let mut open = Vec::new();
    let mut reporting = Reporting::new(with(one).await);
    for _ in 0..INCIDENT_STREAMS_PER_TOKEN_MAX {
        let stream = reporting.stream_incidents(tokio_stream::pending()).await;
        open.push(stream.expect("open").into_inner());
    }
    let more = reporting.stream_incidents(tokio_stream::pending()).await;
    let code = refused(&more.expect_err("as many as may be"));
    assert_eq!(code, Code::ResourceExhausted);
    let mut others = Reporting::new(with(other).await);
    let stream = others.stream_incidents(tokio_stream::pending()).await;
    stream.expect("another token has room");
    drop(open);
    service.end().await.expect("it stops");
}
