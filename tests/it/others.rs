//! What a traveller is told at once of others: the narrowest reader, place and time of which ten
//! others told something, and nothing of fewer.

use mistap::api::pb::v1 as pb;
use mistap::domain::UtcMillis;
use mistap::domain::time::HOUR_MS;
use pb::others_reported::Place;
use pb::reporting_service_client::ReportingServiceClient;
use tempfile::TempDir;
use tonic::Request;
use tonic::transport::Channel;

use crate::editions::behind_proxy;
use crate::support::{SECRET, START, Service, at, founding_story, new_id};

type Reporting = ReportingServiceClient<Channel>;

/// A report in the tram of the traveller, at her stop, ten minutes ago.
fn same() -> pb::Incident {
    pb::Incident {
        line: "GVB:10".into(),
        stop: "GVB:06061".into(),
        vehicle: "2043".into(),
        ..founding_story()
    }
}

fn in_another_tram() -> pb::Incident {
    pb::Incident {
        vehicle: "2044".into(),
        ..same()
    }
}

fn at_another_stop() -> pb::Incident {
    pb::Incident {
        stop: "GVB:02320".into(),
        ..in_another_tram()
    }
}

fn on_another_line() -> pb::Incident {
    pb::Incident {
        line: "GVB:1".into(),
        stop: "GVB:00001".into(),
        ..in_another_tram()
    }
}

/// With the number of the traveller's tram, which another operator uses as well.
fn with_another_operator() -> pb::Incident {
    pb::Incident {
        operator: "RET".into(),
        line: String::new(),
        stop: String::new(),
        ..same()
    }
}

/// At the gates of her stop.
fn at_gate() -> pb::Incident {
    pb::Incident {
        vehicle: String::new(),
        reader_kind: pb::ReaderKind::Gate as i32,
        ..same()
    }
}

fn hours_ago(hours: i64, incident: pb::Incident) -> pb::Incident {
    pb::Incident {
        occurred_at: at(UtcMillis(START.0 - hours * HOUR_MS)),
        ..incident
    }
}

async fn report(client: &mut Reporting, incident: pb::Incident) -> Option<(Place, u32)> {
    send(client, Request::new(asking(incident))).await
}

/// The same, from an address prefix of 198.51.0.0/16.
async fn report_from(
    client: &mut Reporting,
    prefix: usize,
    incident: pb::Incident,
) -> Option<(Place, u32)> {
    let mut request = Request::new(asking(incident));
    let address = format!("198.51.{prefix}.7").parse().expect("a value");
    request.metadata_mut().insert("x-forwarded-for", address);
    send(client, request).await
}

fn asking(incident: pb::Incident) -> pb::ReportIncidentRequest {
    pb::ReportIncidentRequest {
        incident: Some(incident),
        want_advice: true,
        ..pb::ReportIncidentRequest::default()
    }
}

async fn send(
    client: &mut Reporting,
    request: Request<pb::ReportIncidentRequest>,
) -> Option<(Place, u32)> {
    let answer = client.report_incident(request).await.expect("recorded");
    let others = answer.into_inner().others?;
    Some((others.place(), others.hours))
}

/// What a traveller is told after others reported, each with an installation of its own.
async fn told_after(others: Vec<pb::Incident>, own: pb::Incident) -> Option<(Place, u32)> {
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    for (number, incident) in others.into_iter().enumerate() {
        let incident = pb::Incident {
            incident_id: new_id(),
            installation_id: format!("installation-of-{number:03}"),
            ..incident
        };
        report(&mut client, incident).await;
    }
    let own = pb::Incident {
        installation_id: "installation-of-her-own".into(),
        ..own
    };
    let told = report(&mut client, own).await;
    service.stop().await;
    told
}

fn times(count: usize, incident: pb::Incident) -> Vec<pb::Incident> {
    vec![incident; count]
}

/// Nine in the same tram in the last hour, and one more.
async fn told_after_nine_and(one: pb::Incident) -> Option<(Place, u32)> {
    let others = [times(9, same()), vec![one]].concat();
    told_after(others, same()).await
}

#[tokio::test]
async fn ten_at_the_same_reader_are_told_of_as_that() {
    assert_eq!(
        told_after(times(10, same()), same()).await,
        Some((Place::Reader, 1))
    );
    // Wherever the tram was.
    let elsewhere = pb::Incident {
        vehicle: "2043".into(),
        ..on_another_line()
    };
    assert_eq!(
        told_after(times(10, elsewhere), same()).await,
        Some((Place::Reader, 1))
    );
    let gates = told_after(times(10, at_gate()), at_gate()).await;
    assert_eq!(gates, Some((Place::Reader, 1)));
}

#[tokio::test]
async fn nine_at_the_same_reader_are_told_of_as_nothing() {
    assert_eq!(told_after(times(9, same()), same()).await, None);
}

#[tokio::test]
async fn where_the_tenth_was_elsewhere_the_answer_is_widened_to_where_ten_were() {
    let check = async |one, expected| assert_eq!(told_after_nine_and(one).await, Some(expected));
    check(in_another_tram(), (Place::Stop, 1)).await;
    check(at_another_stop(), (Place::Line, 1)).await;
    check(on_another_line(), (Place::Operator, 1)).await;
}

#[tokio::test]
async fn where_the_tenth_was_earlier_the_answer_is_widened_to_the_day() {
    let check = async |one, expected| assert_eq!(told_after_nine_and(one).await, Some(expected));
    check(hours_ago(3, same()), (Place::Reader, 24)).await;
    check(hours_ago(3, in_another_tram()), (Place::Stop, 24)).await;
    check(hours_ago(3, at_another_stop()), (Place::Line, 24)).await;
    check(hours_ago(3, on_another_line()), (Place::Operator, 24)).await;
    check(hours_ago(23, same()), (Place::Reader, 24)).await;
}

#[tokio::test]
async fn tram_of_the_same_number_of_another_operator_is_another_reader() {
    let told = told_after_nine_and(with_another_operator()).await;
    assert_eq!(told, Some((Place::Everywhere, 24)));
}

#[tokio::test]
async fn readers_of_another_kind_at_the_same_stop_are_others() {
    let posts = pb::Incident {
        reader_kind: pb::ReaderKind::PlatformPost as i32,
        ..at_gate()
    };
    let others = [times(9, at_gate()), vec![posts]].concat();
    assert_eq!(told_after(others, at_gate()).await, Some((Place::Stop, 1)));
}

#[tokio::test]
async fn where_no_reader_is_told_the_stop_is_the_narrowest() {
    let unsaid = pb::Incident {
        vehicle: String::new(),
        ..same()
    };
    let told = told_after(times(10, same()), unsaid.clone()).await;
    assert_eq!(told, Some((Place::Stop, 1)));
    assert_eq!(
        told_after(times(10, unsaid), same()).await,
        Some((Place::Stop, 1))
    );
}

#[tokio::test]
async fn what_is_older_than_a_day_is_not_told_of() {
    assert_eq!(told_after_nine_and(hours_ago(25, same())).await, None);
}

#[tokio::test]
async fn reports_that_count_no_more_are_nobodys() {
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    let mut first = None;
    for number in 0..10 {
        let incident = pb::Incident {
            installation_id: format!("installation-of-{number:03}"),
            ..same()
        };
        first.get_or_insert(incident.incident_id.clone());
        report(&mut client, incident).await;
    }
    let request = pb::WithdrawIncidentRequest {
        incident_id: first.expect("ten"),
        incident_secret: SECRET.to_vec(),
    };
    client.withdraw_incident(request).await.expect("withdrawn");
    let own = |installation: &str| pb::Incident {
        installation_id: installation.into(),
        ..same()
    };
    // Nine are left, and her own does not make them ten.
    assert_eq!(
        report(&mut client, own("installation-of-her-own")).await,
        None
    );
    // To another there are ten now.
    let told = report(&mut client, own("installation-of-another")).await;
    assert_eq!(told, Some((Place::Reader, 1)));
    service.stop().await;
}

#[tokio::test]
async fn ten_of_whom_one_is_the_traveller_are_nine_others() {
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    let by = |number: usize, incident: pb::Incident| pb::Incident {
        installation_id: format!("installation-of-{number:03}"),
        ..incident
    };
    for number in 0..10 {
        report(&mut client, by(number, hours_ago(2, same()))).await;
    }
    assert_eq!(report(&mut client, by(3, same())).await, None);
    assert_eq!(
        report(&mut client, by(10, same())).await,
        Some((Place::Reader, 24))
    );
    service.stop().await;
}

fn with_card(number: usize) -> pb::Incident {
    pb::Incident {
        incident_id: new_id(),
        card_number: format!("3528{number:012}"),
        ..same()
    }
}

fn with_installation(number: usize) -> pb::Incident {
    pb::Incident {
        incident_id: new_id(),
        installation_id: format!("installation-of-{number:03}"),
        ..same()
    }
}

#[tokio::test]
async fn cards_and_installations_of_one_address_tell_nothing_of_a_single_other() {
    let service = behind_proxy(TempDir::new().expect("a folder"), START).await;
    let mut client = Reporting::new(service.connect().await);
    for number in 0..9 {
        for invented in [with_card(number), with_installation(number)] {
            assert_eq!(report_from(&mut client, 1, invented).await, None);
        }
    }
    let her = with_card(100);
    assert_eq!(report_from(&mut client, 2, her).await, None);
    for number in 10..20 {
        // Neither from there nor from where nothing was invented.
        for prefix in [1, 3] {
            let asker = with_card(100 * prefix + number);
            assert_eq!(report_from(&mut client, prefix, asker).await, None);
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn three_of_each_address_prefix_count_and_none_of_the_askers_own() {
    let service = behind_proxy(TempDir::new().expect("a folder"), START).await;
    let mut client = Reporting::new(service.connect().await);
    for number in 0..9 {
        let told = report_from(&mut client, 1 + number / 3, with_card(number)).await;
        assert_eq!(told, None, "{number}");
    }
    let asker = with_installation(5);
    assert_eq!(report_from(&mut client, 5, asker.clone()).await, None);
    // To the next that asker is the tenth.
    let tenth = report_from(&mut client, 4, with_card(10)).await;
    assert_eq!(tenth, Some((Place::Reader, 1)));
    // To the asker there are ten others by now. Who asks again and again is not told, nor who is a neighbour of three.
    assert_eq!(report_from(&mut client, 5, asker).await, None);
    assert_eq!(report_from(&mut client, 1, with_card(11)).await, None);
    let anew = report_from(&mut client, 5, with_installation(6)).await;
    assert_eq!(anew, Some((Place::Reader, 1)));
    service.stop().await;
}

#[tokio::test]
async fn reports_of_before_a_restart_are_of_one_reporter_together() {
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    for number in 0..12 {
        report(&mut client, with_card(number)).await;
    }
    let service = Service::start_in(service.stop().await).await;
    let mut client = Reporting::new(service.connect().await);
    for number in 12..22 {
        let told = report(&mut client, with_card(number)).await;
        // The one, and nine more.
        assert_eq!(told.is_some(), number == 21, "{number}");
    }
    service.stop().await;
}

#[tokio::test]
async fn five_people_are_five_by_whatever_card_and_installation_they_report() {
    let service = Service::start().await;
    let mut client = Reporting::new(service.connect().await);
    // Both first, so that the latest reports alone do not tell whose they are.
    for (minutes_ago, has_card, has_installation) in
        [(30, true, true), (20, true, false), (10, false, true)]
    {
        for number in 0..5 {
            let mut incident = with_card(number);
            if has_installation {
                incident.installation_id = with_installation(number).installation_id;
            }
            if !has_card {
                incident.card_number.clear();
            }
            incident.occurred_at = at(UtcMillis(START.0 - minutes_ago * 60_000));
            report(&mut client, incident).await;
        }
    }
    assert_eq!(report(&mut client, with_card(100)).await, None);
    service.stop().await;
}
