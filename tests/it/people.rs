//! The people in it: a report's receipt, its operator's answer, and the founding story played
//! to its end.

use std::sync::Arc;

use mistap::api::Clock;
use mistap::api::origin::Callers;
use mistap::api::pb::v1 as pb;
use mistap::auth::receipts::{InvalidReceipt, parse_jwks, verify};
use mistap::domain::UtcMillis;
use mistap::domain::time::DAY_MS;
use pb::operations_service_client::OperationsServiceClient;
use pb::reporting_service_client::ReportingServiceClient;
use pb::statistics_service_client::StatisticsServiceClient;
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;

use crate::child::exchange;
use crate::editions::{behind_proxy, once_closed};
use crate::support::{SECRET, START, Service, at, founding_story, once_open, that_day};

type Reporting = ReportingServiceClient<Channel>;
type Operations = OperationsServiceClient<Channel>;

const CARD: &str = "3528 0160 4471 9359";

async fn report(client: &mut Reporting, incident: &pb::Incident) -> pb::ReportIncidentResponse {
    let request = pb::ReportIncidentRequest {
        incident: Some(incident.clone()),
        want_receipt: true,
        want_advice: true,
    };
    let answer = client.report_incident(request).await.expect("recorded");
    answer.into_inner()
}

async fn receipt(client: &mut Reporting, id: &str) -> pb::GetReceiptResponse {
    let request = pb::GetReceiptRequest {
        incident_id: id.to_owned(),
        incident_secret: SECRET.to_vec(),
        qr_code: true,
    };
    let answer = client.get_receipt(request).await.expect("a receipt");
    answer.into_inner()
}

/// The answer of a page, head and body.
async fn page(service: &Service, request: &str) -> String {
    let answer = exchange(service.address(), request.as_bytes()).await;
    String::from_utf8(answer).expect("text")
}

async fn jwks(service: &Service) -> String {
    let request = format!(
        "GET /.well-known/jwks.json HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        service.address()
    );
    let answer = page(service, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

async fn post(service: &Service, body: &str) -> String {
    let request = format!(
        "POST /receipt HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
        service.address(),
        body.len()
    );
    page(service, &request).await
}

fn secret_hex() -> String {
    SECRET.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn receipt_is_the_same_at_any_later_time_and_says_so_when_all_is_erased() {
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    let mut incident = founding_story();
    incident.card_number = CARD.into();
    let id = incident.incident_id.clone();
    let first = report(&mut client, &incident).await.receipt;
    assert_eq!(
        report(&mut client, &incident).await.receipt,
        first,
        "a repeat"
    );
    let told = receipt(&mut client, &id).await;
    assert_eq!(told.receipt, first);
    assert!(told.qr_svg.starts_with("<svg"));
    assert!(told.digested_json.contains("meisje") && !told.receipt.contains(CARD));

    let service = Service::start_in(service.stop().await).await;
    let mut client = Reporting::new(service.connect().await);
    assert_eq!(receipt(&mut client, &id).await.receipt, first, "a restart");
    let keys = parse_jwks(&jwks(&service).await).expect("keys");
    let claims = verify(&first, &keys).expect("it can be trusted");
    assert_eq!(claims["incident_id"], id);
    assert_eq!(claims["told"]["line"], "GVB:10");
    let text = claims.to_string();
    for hidden in ["meisje", "let-ride-free", "free-ride", "3528"] {
        assert!(!text.contains(hidden), "{hidden}");
    }

    let erase = pb::EraseIncidentRequest {
        incident_id: id.clone(),
        incident_secret: SECRET.to_vec(),
    };
    let erased = client.erase_incident(erase).await.expect("erased");
    let erased = erased.into_inner().receipt;
    assert_eq!(receipt(&mut client, &id).await.receipt, erased);
    let claims = verify(&erased, &keys).expect("it can be trusted");
    assert_eq!(claims["kind"], "erasure");
    let good = format!("id={id}&secret={}&lang=en", secret_hex());
    let shown = post(&service, &good).await;
    assert!(shown.contains("proves that it was erased"), "{shown}");
    assert!(!shown.contains("received like this"), "{shown}");
    assert!(!shown.contains("What now?"), "{shown}");
    let mut changed = erased.into_bytes();
    changed[40] = if changed[40] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).expect("ASCII");
    let refused = verify(&changed, &keys).expect_err("changed");
    assert_ne!(refused, InvalidReceipt::Algorithm);
    service.stop().await;
}

#[tokio::test]
async fn page_to_print_needs_the_secret_in_its_body_and_is_kept_by_nobody() {
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    let mut incident = founding_story();
    incident.stop = "<script>alert(1)</script>".into();
    incident.outcomes = vec![pb::Outcome::Surcharged as i32];
    incident.card_number = CARD.into();
    let jws = report(&mut client, &incident).await.receipt;
    let id = &incident.incident_id;
    let good = format!("id={id}&secret={}&lang=en", secret_hex());
    let answer = post(&service, &good).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let head = answer.to_lowercase();
    for word in ["no-store", "no-referrer", "default-src 'none'", "<svg"] {
        assert!(head.contains(word), "{word}");
    }
    assert!(answer.contains(&jws) && answer.contains("What now?"));
    assert!(answer.contains("&lt;script&gt;") && !answer.contains("<script>"));
    assert!(!answer.contains(&secret_hex()) && !answer.contains("3528"));
    let dutch = post(&service, &good.replace("lang=en", "lang=nl")).await;
    assert!(dutch.contains("Wat nu?") && dutch.contains("lang=\"nl\""));

    let wrong = format!("id={id}&secret={}", "00".repeat(32));
    assert!(post(&service, &wrong).await.starts_with("HTTP/1.1 404"));
    for nonsense in ["", "id=1&secret=%ff%fe", "id=é&secret=é", "a=b&lang=xx"] {
        let answer = post(&service, nonsense).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let long = format!("id={id}&secret={}", "0".repeat(10_000));
    assert!(post(&service, &long).await.starts_with("HTTP/1.1 4"));
    service.stop().await;
}

#[tokio::test]
async fn page_to_print_shows_all_that_its_receipt_shows_and_no_time_that_is_not_known() {
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    let mut incident = founding_story();
    incident.precision = pb::TimePrecision::Day as i32;
    incident.stop = "Leidseplein".into();
    incident.vehicle = "2041".into();
    incident.display_text = "kaart niet leesbaar".into();
    incident.reader_kind = pb::ReaderKind::OnboardValidator as i32;
    incident.attempts = 7;
    incident.others_got_through = pb::OthersGotThrough::Yes as i32;
    incident.outcomes = vec![pb::Outcome::Surcharged as i32];
    let jws = report(&mut client, &incident).await.receipt;
    let body = format!("id={}&secret={}", incident.incident_id, secret_hex());
    let keys = parse_jwks(&jwks(&service).await).expect("keys");
    let claims = verify(&jws, &keys).expect("it can be trusted");
    let told = claims["told"].as_object().expect("what was told");
    let english = post(&service, &format!("{body}&lang=en")).await;
    let rows = english.matches("<dt>").count();
    // Id, place, received, happened and precision beside them.
    assert_eq!(rows, told.len() + 5, "{english}");
    assert!(!english.contains("Told as well"), "{english}");
    for shown in [
        "GVB:10 (",
        "<dd>kaart niet leesbaar</dd>",
        "<dt>Vehicle</dt><dd>2041</dd>",
        "<dt>Attempts</dt><dd>7</dd>",
        "<dt>Others got through</dt>",
        "<dt>Reader</dt>",
        "<dt>Happened (Dutch time)</dt><dd>2026-11-23</dd>",
        "<dt>Received (Dutch time)</dt><dd>2026-11-23 15:00:00 (UTC+01:00)</dd>",
    ] {
        assert!(english.contains(shown), "{shown}: {english}");
    }
    let dutch = post(&service, &format!("{body}&lang=nl")).await;
    assert_eq!(dutch.matches("<dt>").count(), rows);
    assert!(dutch.contains("<dt>Gebeurd (Nederlandse tijd)</dt><dd>2026-11-23</dd>"));
    service.stop().await;
}

#[tokio::test]
async fn whether_staff_called_back_is_what_was_told_last_in_whichever_way() {
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    let mut incident = founding_story();
    incident.staff_acts = vec![pb::StaffAct::PromisedToCallBack as i32];
    report(&mut client, &incident).await;
    let (no, yes) = (pb::CalledBack::No as i32, pb::CalledBack::Yes as i32);
    let act = vec![pb::StaffAct::CalledBack as i32];
    for (called_back, staff_acts, expected) in [
        (no, vec![], no),
        (0, act.clone(), yes),
        (no, act.clone(), no),
        (yes, vec![], yes),
        (0, act, yes),
        (no, vec![], no),
    ] {
        let request = pb::AmendIncidentRequest {
            incident_id: incident.incident_id.clone(),
            incident_secret: SECRET.to_vec(),
            called_back,
            staff_acts,
            ..pb::AmendIncidentRequest::default()
        };
        let amended = client.amend_incident(request).await.expect("taken");
        let recorded = amended.into_inner().recorded.expect("as it is kept");
        assert_eq!(recorded.called_back, expected);
        let acts = recorded.incident.expect("what was told").staff_acts;
        let has_act = acts.contains(&(pb::StaffAct::CalledBack as i32));
        assert_eq!(has_act, expected == yes, "{acts:?}");
    }
    service.stop().await;
}

async fn list(client: &mut Operations, size: u32, token: Vec<u8>) -> pb::ListIncidentsResponse {
    let request = pb::ListIncidentsRequest {
        operators: vec!["GVB".into()],
        page_size: size,
        page_token: token,
        ..pb::ListIncidentsRequest::default()
    };
    once_open(async || client.list_incidents(request.clone()).await)
        .await
        .expect("an answer")
}

#[tokio::test]
async fn answer_reaches_whoever_told_the_same_tap_again_and_nobody_who_only_knows_the_card() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut client = Reporting::new(channel.clone());
    let mut operations = Operations::new(channel);
    let first = pb::Incident {
        installation_id: "an-installation-of-hers".into(),
        card_number: CARD.into(),
        ..founding_story()
    };
    report(&mut client, &first).await;
    let again = pb::Incident {
        incident_id: founding_story().incident_id,
        ..first.clone()
    };
    let told = report(&mut client, &again).await;
    assert!(told.accepted.expect("recorded").same_as_earlier);
    let other_secret = vec![7; 32];
    let stranger = pb::Incident {
        incident_id: founding_story().incident_id,
        incident_secret: other_secret.clone(),
        installation_id: String::new(),
        ..first.clone()
    };
    report(&mut client, &stranger).await;

    let follow = pb::FollowIncidentRequest {
        incident_id: again.incident_id.clone(),
        incident_secret: SECRET.to_vec(),
    };
    let followed = client.follow_incident(follow).await.expect("open");
    let mut followed = followed.into_inner();
    let state = followed.message().await.expect("goes on").expect("told");
    assert_eq!(state.recorded.expect("its state").replies, []);
    // The latest first: the stranger's stands before hers, and the one told again in no list.
    let cases = list(&mut operations, 10, Vec::new()).await.cases;
    assert_eq!(cases.len(), 2);
    let respond = pb::RespondToIncidentRequest {
        case_number: cases[1].case_number.clone(),
        state: pb::CaseState::Repaired as i32,
        message: "de lezer is vervangen".into(),
        ..pb::RespondToIncidentRequest::default()
    };
    operations
        .respond_to_incident(respond)
        .await
        .expect("taken");
    let replies = loop {
        let message = followed.message().await.expect("goes on").expect("told");
        if let Some(recorded) = message.recorded {
            break recorded.replies;
        }
    };
    assert_eq!(replies[0].message, "de lezer is vervangen");
    for (incident, secret, expected) in [
        (&first, SECRET.to_vec(), 1),
        (&again, SECRET.to_vec(), 1),
        (&stranger, other_secret, 0),
    ] {
        let request = pb::GetIncidentRequest {
            incident_id: incident.incident_id.clone(),
            incident_secret: secret,
            everything: true,
        };
        let kept = client
            .get_incident(request)
            .await
            .expect("kept")
            .into_inner();
        let recorded = kept.recorded.expect("as it is kept");
        assert_eq!(recorded.replies.len(), expected);
        assert_eq!(kept.everything_json.contains("vervangen"), 0 < expected);
    }
    drop(followed);
    service.stop().await;
}

#[tokio::test]
async fn operator_that_answers_nothing_is_told_beside_those_that_do() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut reporting = Reporting::new(channel.clone());
    let mut operations = Operations::new(channel);
    for (operator, count) in [("GVB", 2), ("RET", 3)] {
        for _ in 0..count {
            let incident = pb::Incident {
                operator: operator.into(),
                line: String::new(),
                ..founding_story()
            };
            report(&mut reporting, &incident).await;
        }
    }
    let listed = list(&mut operations, 1, Vec::new()).await;
    let answer = pb::RespondToIncidentRequest {
        case_number: listed.cases[0].case_number.clone(),
        state: pb::CaseState::Investigating.into(),
        ..pb::RespondToIncidentRequest::default()
    };
    operations.respond_to_incident(answer).await.expect("taken");
    let times = async |operations: &mut Operations, operators: &[&str]| {
        let request = pb::GetReplyTimesRequest {
            operators: operators.iter().map(|code| (*code).to_owned()).collect(),
            window: that_day(&[]).question.and_then(|question| question.window),
            ..pb::GetReplyTimesRequest::default()
        };
        let told = operations.get_reply_times(request).await.expect("told");
        let told = told.into_inner().operators.into_iter();
        told.map(|one| {
            let median = one.first_reply.and_then(|times| times.median_seconds);
            (one.operator, one.reports, one.answered, median)
        })
        .collect::<Vec<_>>()
    };
    let whole = async |operations: &mut Operations, as_of_position: Option<u64>| {
        let request = pb::GetReplyTimesRequest {
            window: that_day(&[]).question.and_then(|question| question.window),
            as_of_position,
            ..pb::GetReplyTimesRequest::default()
        };
        let told = operations.get_reply_times(request).await;
        told.map(tonic::Response::into_inner)
    };
    let before = whole(&mut operations, None).await.expect("told");
    let gvb = ("GVB".to_owned(), 2, 1, Some(0));
    let ret = ("RET".to_owned(), 3, 0, None);
    assert_eq!(times(&mut operations, &[]).await, [gvb, ret.clone()]);
    assert_eq!(times(&mut operations, &["RET"]).await, [ret]);
    // Answers, reports and withdrawals that come later change nothing of before.
    for listed in &list(&mut operations, 0, Vec::new()).await.cases {
        let answer = pb::RespondToIncidentRequest {
            case_number: listed.case_number.clone(),
            state: pb::CaseState::Repaired.into(),
            ..pb::RespondToIncidentRequest::default()
        };
        operations.respond_to_incident(answer).await.expect("taken");
    }
    report(&mut reporting, &founding_story()).await;
    let now = whole(&mut operations, None).await.expect("told");
    assert_ne!(now.operators, before.operators);
    let then = whole(&mut operations, Some(before.position)).await;
    assert_eq!(then.expect("told"), before);
    let refused = whole(&mut operations, Some(now.position + 9)).await;
    assert_eq!(refused.expect_err("not yet").code(), Code::OutOfRange);
    service.stop().await;
}

#[tokio::test]
async fn times_to_reply_are_of_what_people_told_alone() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut reporting = Reporting::new(channel.clone());
    let mut operations = Operations::new(channel);
    // More than a block, so that some are in it and some are not.
    let observed = (0..600).map(|_| pb::Incident {
        reporter: pb::ReporterKind::Device.into(),
        staff_present: 0,
        staff_acts: Vec::new(),
        ..founding_story()
    });
    let observed = pb::ReportIncidentsRequest {
        incidents: observed.collect(),
    };
    reporting.report_incidents(observed).await.expect("taken");
    report(&mut reporting, &founding_story()).await;
    let listed = list(&mut operations, 200, Vec::new()).await.cases;
    // One that was told, and two that were observed.
    for place in [0, 1, 150] {
        let answer = pb::RespondToIncidentRequest {
            case_number: listed[place].case_number.clone(),
            state: pb::CaseState::Disputed.into(),
            message: "de lezer werkte".into(),
            ..pb::RespondToIncidentRequest::default()
        };
        operations.respond_to_incident(answer).await.expect("taken");
    }
    let request = pb::GetReplyTimesRequest {
        window: that_day(&[]).question.and_then(|question| question.window),
        ..pb::GetReplyTimesRequest::default()
    };
    let told = operations.get_reply_times(request).await.expect("told");
    let told = &told.into_inner().operators[..];
    assert!(
        matches!(told, [of_gvb] if (of_gvb.reports, of_gvb.answered, of_gvb.disputed) == (1, 1, 1)),
        "{told:?}"
    );
    service.stop().await;
}

async fn withdraw(client: &mut Reporting, incident_id: String) {
    let request = pb::WithdrawIncidentRequest {
        incident_id,
        incident_secret: SECRET.to_vec(),
    };
    client.withdraw_incident(request).await.expect("withdrawn");
}

#[tokio::test]
async fn amended_report_stays_where_it_is_in_the_list_of_its_operator() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut reporting = Reporting::new(channel.clone());
    let mut operations = Operations::new(channel);
    let incidents: Vec<_> = (0..5).map(|_| founding_story()).collect();
    for incident in &incidents {
        report(&mut reporting, incident).await;
    }
    let numbers = async |operations: &mut Operations| -> Vec<String> {
        let listed = list(operations, 0, Vec::new()).await;
        let cases = listed.cases.into_iter();
        cases.map(|case| case.case_number).collect()
    };
    let before = numbers(&mut operations).await;
    assert_eq!(before.len(), 5);
    for called_back in [pb::CalledBack::No, pb::CalledBack::Yes] {
        let request = pb::AmendIncidentRequest {
            incident_id: incidents[1].incident_id.clone(),
            incident_secret: SECRET.to_vec(),
            called_back: called_back.into(),
            ..pb::AmendIncidentRequest::default()
        };
        reporting.amend_incident(request).await.expect("amended");
        assert_eq!(numbers(&mut operations).await, before);
    }
    withdraw(&mut reporting, incidents[1].incident_id.clone()).await;
    let mut rest = before;
    rest.remove(3);
    assert_eq!(numbers(&mut operations).await, rest, "withdrawn as amended");
    service.stop().await;
}

#[tokio::test]
async fn pages_of_a_list_stay_while_reports_arrive_and_others_are_withdrawn() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut reporting = Reporting::new(channel.clone());
    let mut operations = Operations::new(channel);
    let incidents: Vec<_> = (0..7).map(|_| founding_story()).collect();
    for incident in &incidents {
        report(&mut reporting, incident).await;
    }
    let whole = list(&mut operations, 0, Vec::new()).await;
    assert_eq!((whole.cases.len(), whole.next_page_token.len()), (7, 0));
    let mut numbers = Vec::new();
    let mut token = Vec::new();
    loop {
        let page = list(&mut operations, 3, token).await;
        assert_eq!(page.as_of_position, whole.as_of_position);
        numbers.extend(page.cases.into_iter().map(|case| case.case_number));
        report(&mut reporting, &founding_story()).await;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let expected: Vec<_> = whole
        .cases
        .iter()
        .map(|case| case.case_number.clone())
        .collect();
    assert_eq!(numbers, expected);
    // One that is withdrawn on the way is on no page, and moves none of the others.
    let first = list(&mut operations, 3, Vec::new()).await;
    let all = list(&mut operations, 0, Vec::new()).await;
    let gone = incidents[2].incident_id.clone();
    withdraw(&mut reporting, gone).await;
    let rest = list(&mut operations, 200, first.next_page_token).await;
    let numbers = first.cases.into_iter().chain(rest.cases);
    let numbers: Vec<_> = numbers.map(|case| case.case_number).collect();
    let mut expected: Vec<_> = all.cases.into_iter().map(|case| case.case_number).collect();
    expected.remove(expected.len() - 3);
    assert_eq!(numbers, expected);
    let request = pb::ListIncidentsRequest {
        page_token: vec![1; 24],
        ..pb::ListIncidentsRequest::default()
    };
    let refused = operations
        .list_incidents(request)
        .await
        .expect_err("no token");
    assert_eq!(refused.code(), Code::InvalidArgument);
    service.stop().await;
}

#[tokio::test]
async fn others_are_told_of_only_where_ten_reported() {
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    for number in 0..12 {
        let mut incident = founding_story();
        incident.installation_id = format!("installation-of-{number:02}");
        let told = report(&mut client, &incident).await;
        assert_eq!(told.others.is_some(), 10 <= number, "{number}");
        if let Some(others) = told.others {
            assert_eq!(others.place(), pb::others_reported::Place::Line);
            assert_eq!(others.hours, 1);
        }
        assert_eq!(told.advice.last().expect("help").topic, "help");
    }
    // One more reporter who says it often is still one.
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    for _ in 0..12 {
        let mut incident = founding_story();
        incident.installation_id = "installation-of-one".into();
        assert_eq!(report(&mut client, &incident).await.others, None);
    }
    service.stop().await;
}

#[tokio::test]
async fn invented_installations_of_one_place_tell_nothing_of_a_single_other() {
    let clock: Clock = Arc::new(move || START);
    let service = Service::start_with(TempDir::new().expect("a folder"), |settings| {
        settings.clock = clock;
        settings.callers = Callers {
            are_behind_proxy: true,
        };
    })
    .await;
    let mut client = Reporting::new(service.connect().await);
    for number in 0..24 {
        let incident = pb::Incident {
            installation_id: format!("invented-installation-{number:02}"),
            ..founding_story()
        };
        let mut request = tonic::Request::new(pb::ReportIncidentRequest {
            incident: Some(incident),
            want_advice: true,
            ..pb::ReportIncidentRequest::default()
        });
        let from = "203.0.113.1, 198.51.100.7".parse().expect("a value");
        request.metadata_mut().insert("x-forwarded-for", from);
        let told = client.report_incident(request).await.expect("recorded");
        assert_eq!(told.into_inner().others, None, "{number}");
    }
    service.stop().await;
}

/// How many of the reports that tell what staff did and how it ended were helped, and how many of
/// them there are; as a steward sees it.
async fn helped(service: &Service) -> Option<(u64, u64)> {
    let mut client = StatisticsServiceClient::new(service.connect().await);
    let request = pb::GetStaffFiguresRequest {
        window: that_day(&[]).question.and_then(|question| question.window),
        ..pb::GetStaffFiguresRequest::default()
    };
    let answer = once_open(async || client.get_staff_figures(request.clone()).await).await;
    let figures = answer.expect("an answer").figures.expect("there are some");
    figures.help.map(|help| (help.count, help.base))
}

async fn free_rides(service: &Service) -> u64 {
    let mut client = StatisticsServiceClient::new(service.connect().await);
    let asked = that_day(&[pb::Dimension::StaffAct]);
    let answer = once_open(async || client.query_figures(asked.clone()).await).await;
    let figures = answer.expect("an answer").figures;
    let mut rides = figures.iter();
    let ride = rides.find(|one| one.keys[0].value == "let-ride-free");
    ride.map_or(0, |one| one.count)
}

#[tokio::test]
async fn founding_story_is_played_to_its_end() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut reporting = Reporting::new(channel.clone());
    let mut operations = Operations::new(channel);
    let mut story = founding_story();
    story.occurred_at = at(UtcMillis(START.0 - 60 * 60_000));
    let told = report(&mut reporting, &story).await;
    assert!(!told.receipt.is_empty());
    assert_eq!(free_rides(&service).await, 1, "the kindness is counted");
    assert_eq!(helped(&service).await, Some((1, 1)));

    let follow = pb::FollowIncidentRequest {
        incident_id: story.incident_id.clone(),
        incident_secret: SECRET.to_vec(),
    };
    let stream = reporting.follow_incident(follow).await.expect("open");
    let mut stream = stream.into_inner();
    stream.message().await.expect("open").expect("as it is");

    let listed = list(&mut operations, 0, Vec::new()).await.cases;
    let [case] = &listed[..] else {
        panic!("one case: {listed:?}");
    };
    assert!(case.note.is_empty(), "she did not let the operator read it");
    let mut answers = vec![
        (pb::CaseState::Received, ""),
        (pb::CaseState::Disputed, "de lezer werkte die dag"),
        (pb::CaseState::Repaired, "de lezer is vervangen"),
    ];
    for (state, message) in answers.drain(..) {
        let request = pb::RespondToIncidentRequest {
            case_number: case.case_number.clone(),
            state: state.into(),
            reason: 0,
            message: message.into(),
        };
        let answer = operations.respond_to_incident(request).await;
        let answered = answer.expect("taken").into_inner().case.expect("there");
        assert_eq!(answered.state(), state);
    }
    let seen = loop {
        let message = stream.message().await.expect("open").expect("it goes on");
        let Some(recorded) = message.recorded else {
            continue;
        };
        if recorded.replies.len() == 3 {
            break recorded;
        }
    };
    assert!(seen.disputed && !seen.withdrawn, "a dispute stands beside");
    assert_eq!(seen.replies[2].message, "de lezer is vervangen");
    assert_eq!(free_rides(&service).await, 1);

    let window = that_day(&[]).question.expect("always there").window;
    let request = pb::GetReplyTimesRequest {
        operators: Vec::new(),
        window,
        ..pb::GetReplyTimesRequest::default()
    };
    let times = operations.get_reply_times(request).await.expect("told");
    let times = &times.into_inner().operators[0];
    assert_eq!(
        (
            times.reports,
            times.answered,
            times.repaired,
            times.disputed
        ),
        (1, 1, 1, 1)
    );
    assert_eq!(
        times
            .first_reply
            .as_ref()
            .and_then(|one| one.median_seconds),
        Some(0)
    );

    withdraw(&mut reporting, story.incident_id.clone()).await;
    assert_eq!(free_rides(&service).await, 0);
    assert_eq!(helped(&service).await, None);
    assert!(list(&mut operations, 0, Vec::new()).await.cases.is_empty());
    drop(stream);
    service.stop().await;
}

/// The founding story, and as many reports of the same month as it takes to publish how many were
/// helped: of each kind at least ten, so that nothing follows of fewer.
fn month_of_the_story() -> Vec<pb::Incident> {
    use pb::{Outcome, StaffAct, StaffPresence};
    const EACH: usize = 12;
    let told: [(usize, &[StaffAct], Option<Outcome>); 6] = [
        (EACH - 1, &[StaffAct::LetRideFree], Some(Outcome::FreeRide)),
        (
            EACH,
            &[StaffAct::WaitedOrHelped],
            Some(Outcome::TravelledOn),
        ),
        (EACH, &[StaffAct::CouldNotHelp], Some(Outcome::Surcharged)),
        (EACH, &[StaffAct::Referred], None),
        (EACH, &[], Some(Outcome::TravelledOn)),
        (EACH, &[], None),
    ];
    let mut all = vec![founding_story()];
    for (count, acts, outcome) in told {
        let present = if acts.is_empty() {
            StaffPresence::No
        } else {
            StaffPresence::Yes
        };
        all.extend((0..count).map(|_| pb::Incident {
            staff_present: present.into(),
            staff_acts: acts.iter().map(|act| *act as i32).collect(),
            outcomes: outcome.iter().map(|outcome| *outcome as i32).collect(),
            ..founding_story()
        }));
    }
    for (number, incident) in all.iter_mut().enumerate() {
        incident.installation_id = format!("installation-of-{number:02}");
    }
    all
}

#[tokio::test]
async fn kindness_of_the_founding_story_is_in_the_published_help_rate_of_its_month() {
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    let request = pb::ReportIncidentsRequest {
        incidents: month_of_the_story(),
    };
    client.report_incidents(request).await.expect("recorded");
    let closed = UtcMillis(START.0 + 30 * DAY_MS);
    let service = behind_proxy(service.stop().await, closed).await;
    let request = pb::GetEditionRequest {
        month: "2026-11".into(),
        page_size: 1_000,
        ..pb::GetEditionRequest::default()
    };
    let rows = once_closed(&service, request).await.rows;
    let help = rows.iter().find(|row| {
        (&*row.operator_code, &*row.key, &*row.answer) == ("GVB", "any-that-helps", "yes")
    });
    let help = help.expect("published");
    // She, eleven more who rode free, and twelve who were helped, of 36 who told how it ended.
    assert_eq!(help.count, 24);
    let rate = help.rate.expect("of those who answered");
    assert!((rate - 24.0 / 36.0).abs() < 1e-5, "{rate}");
    service.stop().await;
}
