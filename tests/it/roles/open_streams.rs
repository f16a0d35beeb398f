//! A stream that is open ends when its token is revoked, or when one is needed.

use super::*;

#[tokio::test]
async fn stream_that_is_open_tells_and_takes_nothing_more_once_its_token_is_revoked() {
    let folder = TempDir::new().expect("a folder");
    let tokens = [Role::Operator, Role::Device].map(|role| add(&folder, role, Some("GVB")));
    let service = Service::start_with(folder, |settings| {
        settings.token_look = std::time::Duration::from_millis(1);
    })
    .await;
    let [operator, device] = &tokens;
    let with = async |token: &Token| {
        let bearer = Bearer::new(token.expose()).expect("it can be sent");
        bearer.over(service.connect().await)
    };
    let mut live = Live::new(with(operator).await);
    let events = live.watch_incidents(watch_gvb()).await.expect("open");
    let mut events = events.into_inner();
    let request = pb::WatchRatesRequest {
        filter: watch_gvb_filter(),
        ..pb::WatchRatesRequest::default()
    };
    let mut rates = live.watch_rates(request).await.expect("open").into_inner();
    events.message().await.expect("open").expect("a heartbeat");
    rates.message().await.expect("open").expect("a snapshot");
    let (sender, incidents) = tokio::sync::mpsc::channel(4);
    let incidents = tokio_stream::wrappers::ReceiverStream::new(incidents);
    let observe = async |incident_id: String| {
        let incident = pb::Incident {
            incident_id,
            reporter: pb::ReporterKind::Device as i32,
            line: "GVB:10".into(),
            ..founding_story()
        };
        let request = pb::StreamIncidentsRequest {
            incident: Some(Box::new(incident)),
            sequence: 1,
        };
        sender.send(request).await.expect("open");
    };
    let mut reporting = Reporting::new(with(device).await);
    let observed = new_id();
    observe(observed.clone()).await;
    let results = reporting.stream_incidents(incidents).await.expect("open");
    let mut results = results.into_inner();
    let code = |answer: pb::StreamIncidentsResponse| {
        use pb::result::Outcome;
        match answer.result.and_then(|result| result.outcome) {
            Some(Outcome::Accepted(_)) => Code::Ok,
            Some(Outcome::Refusal(refusal)) => Code::from_i32(refusal.code),
            None => Code::Unknown,
        }
    };
    let first = results.message().await.expect("open").expect("a result");
    assert_eq!(code(first), Code::Ok);
    // It is told of the observation, and of nothing that comes after its token is gone.
    events.message().await.expect("open").expect("an event");
    let follow = pb::FollowIncidentRequest {
        incident_id: observed,
        incident_secret: SECRET.to_vec(),
    };
    let mut holder = Reporting::new(with(operator).await);
    let followed = holder.follow_incident(follow).await.expect("open");
    let mut followed = followed.into_inner();
    followed.message().await.expect("open").expect("as it is");
    // The operator's last, by which it is seen that both were taken up.
    for id in [2, 1] {
        TokenFile::revoke(service.folder(), TokenId(id), today()).expect("it lives");
    }
    until_so("the token is revoked", async || {
        live.watch_incidents(watch_gvb()).await.is_err()
    })
    .await;
    observe(new_id()).await;
    let second = results.message().await.expect("open").expect("a result");
    assert_eq!(code(second), Code::Unauthenticated);
    let token = {
        let new = NewToken {
            label: "us".into(),
            role: Role::Steward,
            operators: Vec::new(),
        };
        TokenFile::add(service.folder(), new, today()).expect("made")
    };
    let reported = async {
        loop {
            let mut client = Reporting::new(with(&token).await);
            let incident = Some(founding_story());
            let request = pb::ReportIncidentRequest {
                incident,
                ..pb::ReportIncidentRequest::default()
            };
            if client.report_incident(request).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reported)
        .await
        .expect("in time");
    let ended = events.message().await;
    assert_eq!(reason(&ended), "TOKEN_UNKNOWN", "{ended:?}");
    let ended = tokio::time::timeout(PATIENCE, followed.message()).await;
    assert_eq!(reason(&ended.expect("in time")), "TOKEN_UNKNOWN");
    // The first change may have been on its way.
    let ended = async {
        loop {
            if let Err(status) = rates.message().await {
                return status;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("in time");
    assert_eq!(reason::<()>(&Err(ended)), "TOKEN_UNKNOWN");
}

#[tokio::test]
async fn stream_opened_before_there_were_tokens_ends_when_the_first_is_made() {
    let service = Service::start_with(TempDir::new().expect("a folder"), |settings| {
        settings.token_look = std::time::Duration::from_millis(1);
    })
    .await;
    let mut live = Live::new(Bearer::default().over(service.connect().await));
    let request = pb::WatchIncidentsRequest::default();
    let events = live.watch_incidents(request.clone()).await.expect("open");
    let mut events = events.into_inner();
    let rates = live.watch_rates(pb::WatchRatesRequest::default()).await;
    let mut rates = rates.expect("open").into_inner();
    events.message().await.expect("open").expect("a heartbeat");
    rates.message().await.expect("open").expect("a snapshot");
    let new = NewToken {
        label: "us".into(),
        role: Role::Steward,
        operators: Vec::new(),
    };
    TokenFile::add(service.folder(), new, today()).expect("made");
    until_so("a token is asked for", async || {
        live.watch_incidents(request.clone()).await.is_err()
    })
    .await;
    // The public may report, and whoever watches without a token hears nothing of it.
    let mut reporting = Reporting::new(Bearer::default().over(service.connect().await));
    let report = pb::ReportIncidentRequest {
        incident: Some(founding_story()),
        ..pb::ReportIncidentRequest::default()
    };
    reporting.report_incident(report).await.expect("recorded");
    let ended = tokio::time::timeout(PATIENCE, events.message()).await;
    assert_eq!(reason(&ended.expect("in time")), "NO_TOKEN");
    let ended = tokio::time::timeout(PATIENCE, rates.message()).await;
    assert_eq!(reason(&ended.expect("in time")), "NO_TOKEN");
    service.stop().await;
}

fn watch_gvb_filter() -> Option<pb::Filter> {
    Some(pb::Filter {
        operators: vec!["GVB".into()],
        ..pb::Filter::default()
    })
}
