//! Figures as of a position stay what they were, through the API and over a restart.

use mistap::api::pb::v1 as pb;
use mistap::domain::{IncidentId, IncidentSecret};
use pb::statistics_service_client::StatisticsServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{SECRET, Service, founding_story, once_open, report, that_day};

async fn report_one(channel: &Channel) -> IncidentId {
    let incident = founding_story();
    let id = incident.incident_id.parse().expect("made here");
    report(channel, incident).await;
    id
}

/// Total by signal and the position, once the store is open.
async fn ask(channel: &Channel, as_of: Option<u64>) -> Result<(u64, u64), Status> {
    let mut client = StatisticsServiceClient::new(channel.clone());
    let request = pb::QueryFiguresRequest {
        as_of_position: as_of,
        ..that_day(&[pb::Dimension::Signal])
    };
    let answer = once_open(async || client.query_figures(request.clone()).await).await?;
    let rows: u64 = answer.figures.iter().map(|row| row.count).sum();
    assert_eq!(rows, answer.total);
    assert_ne!(answer.fold_version, 0);
    Ok((answer.total, answer.position))
}

#[tokio::test]
async fn figures_as_of_a_position_stay_after_late_reports_withdrawals_and_a_restart() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut known = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(report_one(&channel).await);
        known.push(ask(&channel, None).await.expect("an answer"));
    }
    let secret = IncidentSecret::parse(&SECRET).expect("32 bytes");
    let secret = secret.expect("not empty");
    for id in &ids[..2] {
        let withdrawn = service.ingest().withdraw(*id, &secret).await;
        withdrawn.expect("it is there");
        known.push(ask(&channel, None).await.expect("an answer"));
    }
    report_one(&channel).await;
    let totals: Vec<u64> = known.iter().map(|(total, _)| *total).collect();
    assert_eq!(totals, [1, 2, 3, 2, 1]);
    for (total, position) in &known {
        let found = ask(&channel, Some(*position)).await;
        assert_eq!(found.expect("an answer"), (*total, *position));
    }
    let again = Service::start_in(service.stop().await).await;
    let channel = again.connect().await;
    for (total, position) in &known {
        let found = ask(&channel, Some(*position)).await;
        assert_eq!(found.expect("an answer"), (*total, *position));
    }
    again.stop().await;
}

#[tokio::test]
async fn pages_that_follow_can_be_asked_for_as_of_the_first() {
    let service = Service::start().await;
    let channel = service.connect().await;
    for signal in [pb::Signal::RedBeep, pb::Signal::Green] {
        let incident = pb::Incident {
            signal: signal.into(),
            found_later: false,
            ..founding_story()
        };
        report(&channel, incident).await;
    }
    let mut client = StatisticsServiceClient::new(channel.clone());
    let mut request = pb::QueryFiguresRequest {
        page_size: 1,
        ..that_day(&[pb::Dimension::Signal])
    };
    let first = once_open(async || client.query_figures(request.clone()).await).await;
    let first = first.expect("a page");
    report_one(&channel).await;
    request.page_token.clone_from(&first.next_page_token);
    request.as_of_position = Some(first.position);
    let second = client.query_figures(request).await.expect("a page");
    let second = second.into_inner();
    assert_eq!((first.total, second.total), (2, 2));
    assert_eq!(first.position, second.position);
    assert_eq!(second.figures.len(), 1);
    assert_eq!(second.next_page_token, "");
    service.stop().await;
}

#[tokio::test]
async fn positions_that_are_not_there_are_refused_with_the_bounds() {
    let service = Service::start().await;
    let channel = service.connect().await;
    report_one(&channel).await;
    let (_, last) = ask(&channel, None).await.expect("an answer");
    for position in [0, last + 100, u64::MAX] {
        let refused = ask(&channel, Some(position)).await.expect_err("refused");
        assert_eq!(refused.code(), Code::OutOfRange);
        let bounds = format!("must be 1 to {last}");
        assert!(refused.message().ends_with(&bounds), "{refused}");
    }
    service.stop().await;
}
