//! A copy of a data folder that is brought back with its keys: once it is restored, nothing that
//! was given out after the copy was made is taken for something else; all of before stays.

use std::path::Path;

use mistap::api::pb::v1 as pb;
use mistap::auth::receipts::{parse_jwks, verify};
use mistap::auth::{Grant, Principal, ReceiptKeys, TokenId};
use mistap::domain::Position;
use mistap::ingest::repair::{self, RepairError, Restored};
use pb::live_service_client::LiveServiceClient;
use pb::reporting_service_client::ReportingServiceClient;
use pb::statistics_service_client::StatisticsServiceClient;
use pb::watch_incidents_request::Start;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::recovery::copy_all;
use crate::support::{SECRET, START, Service, founding_story, that_day};

/// What lies in the folder after the copy: as many reports, so that as many positions.
const LATER: usize = 3;

async fn report(channel: &Channel) -> (String, u64) {
    let incident = founding_story();
    let id = incident.incident_id.clone();
    let request = pb::ReportIncidentRequest {
        incident: Some(incident),
        ..pb::ReportIncidentRequest::default()
    };
    let mut client = ReportingServiceClient::new(channel.clone());
    let answer = client.report_incident(request).await.expect("recorded");
    let accepted = answer.into_inner().accepted.expect("always there");
    (id, accepted.position)
}

async fn receipt(channel: &Channel, id: &str) -> Result<String, Status> {
    let request = pb::GetReceiptRequest {
        incident_id: id.to_owned(),
        incident_secret: SECRET.to_vec(),
        qr_code: false,
    };
    let mut client = ReportingServiceClient::new(channel.clone());
    Ok(client.get_receipt(request).await?.into_inner().receipt)
}

/// Rows by signal as of a position, once the store is open.
async fn figures(channel: &Channel, as_of: u64) -> Vec<pb::Figure> {
    let mut client = StatisticsServiceClient::new(channel.clone());
    loop {
        let request = pb::QueryFiguresRequest {
            as_of_position: Some(as_of),
            ..that_day(&[pb::Dimension::Signal])
        };
        match client.query_figures(request).await {
            Ok(answer) => return answer.into_inner().figures,
            Err(status) if status.code() == Code::Unavailable => tokio::task::yield_now().await,
            Err(status) => panic!("{status}"),
        }
    }
}

/// Opens a log of incidents; returns the token of its first message.
async fn follow(channel: &Channel, token: Option<&[u8]>) -> Result<Vec<u8>, Status> {
    let start = token.map(|token| Start::ResumeToken(token.to_vec()));
    let request = pb::WatchIncidentsRequest {
        start,
        ..pb::WatchIncidentsRequest::default()
    };
    let mut client = LiveServiceClient::new(channel.clone());
    let mut messages = client.watch_incidents(request).await?.into_inner();
    let first = messages.message().await?.expect("a message");
    Ok(first.resume_token)
}

/// The same of counts.
async fn watch(channel: &Channel, token: &[u8]) -> Result<Vec<u8>, Status> {
    let request = pb::WatchRatesRequest {
        resume_token: token.to_vec(),
        ..pb::WatchRatesRequest::default()
    };
    let mut client = LiveServiceClient::new(channel.clone());
    let mut messages = client.watch_rates(request).await?.into_inner();
    let first = messages.message().await?.expect("a message");
    Ok(first.resume_token)
}

/// The token that comes with a refusal.
fn oldest(refused: Result<Vec<u8>, Status>) -> Vec<u8> {
    let status = refused.expect_err("of another journal");
    assert_eq!(status.code(), Code::OutOfRange);
    let details = status.get_error_details();
    let info = details.error_info().expect("always there");
    assert_eq!(info.reason, "TOKEN_OF_OTHER_JOURNAL");
    let digits = &info.metadata["resume_token"];
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    };
    digits.as_bytes().chunks(2).map(byte).collect()
}

fn operator() -> Principal {
    let own = ["GVB".parse().expect("a code")];
    Principal::Operator(Grant::new(TokenId(1), own).into())
}

fn restore(folder: &Path) -> Result<Restored, RepairError> {
    repair::restore(folder, START, &mut |_, _| {})
}

/// A folder, a copy of it, and what was given out before and after the copy was made.
struct Copied {
    folder: TempDir,
    copy: TempDir,
    /// Reports of before, with their receipts.
    before: Vec<(String, u64, String)>,
    /// The last position of the copy, and the figures as of there.
    last: u64,
    figures: Vec<pb::Figure>,
    /// Tokens of streams, each from before and from after.
    events: [Vec<u8>; 2],
    counts: [Vec<u8>; 2],
    /// Case numbers and citations, each of a position before and of one after.
    cases: [mistap::domain::CaseNumber; 2],
    citations: [u64; 2],
}

impl Copied {
    async fn new() -> Self {
        let service = Service::start().await;
        let channel = service.connect().await;
        let mut before = Vec::new();
        for _ in 0..3 {
            let (id, position) = report(&channel).await;
            let receipt = receipt(&channel, &id).await.expect("a receipt");
            before.push((id, position, receipt));
        }
        let last = before[2].1;
        let figures = figures(&channel, last).await;
        let early = [follow(&channel, None).await, watch(&channel, b"").await];
        let [early_event, early_count] = early.map(|token| token.expect("open"));
        drop(channel);
        let folder = service.stop().await;
        let copy = TempDir::new().expect("a folder");
        copy_all(folder.path(), copy.path());

        let service = Service::start_in(folder).await;
        let channel = service.connect().await;
        let mut later = 0;
        for _ in 0..LATER {
            later = report(&channel).await.1;
        }
        let late = [follow(&channel, None).await, watch(&channel, b"").await];
        let [late_event, late_count] = late.map(|token| token.expect("open"));
        let places = [last, later].map(Position);
        let (numbers, citations) = (
            service.ingest().case_numbers(),
            service.ingest().citations(),
        );
        Self {
            copy,
            before,
            last,
            figures,
            events: [early_event, late_event],
            counts: [early_count, late_count],
            cases: places.map(|place| numbers.of(place)),
            citations: places.map(|place| citations.tell(&operator(), place)),
            folder: {
                drop(channel);
                service.stop().await
            },
        }
    }

    /// A service over the copy, in which the positions of after the copy are taken again.
    async fn go_on(&mut self) -> (Service, Channel) {
        let empty = TempDir::new().expect("a folder");
        let copy = std::mem::replace(&mut self.copy, empty);
        let service = Service::start_in(copy).await;
        let channel = service.connect().await;
        for _ in 0..2 * LATER {
            report(&channel).await;
        }
        (service, channel)
    }
}

#[tokio::test]
async fn restored_copy_refuses_what_was_given_out_after_it_and_keeps_what_was_before() {
    let mut copied = Copied::new().await;
    let restored = restore(copied.copy.path()).expect("restored");
    assert!(copied.last < restored.at.0);
    assert_eq!(
        restored.rebuilt.lost, 0,
        "no checkpoint of later lies there"
    );
    let report = repair::verify(copied.copy.path(), &mut |_, _| {}).expect("readable");
    assert!(report.is_clean(), "{report:?}");

    let (service, channel) = copied.go_on().await;
    for token in &copied.events {
        let oldest = oldest(follow(&channel, Some(token)).await);
        follow(&channel, Some(&oldest)).await.expect("goes on");
    }
    for token in &copied.counts {
        let oldest = oldest(watch(&channel, token).await);
        watch(&channel, &oldest).await.expect("goes on");
    }
    let (numbers, citations) = (
        service.ingest().case_numbers(),
        service.ingest().citations(),
    );
    let of_case = |case| numbers.position(case).0;
    let cited = |number| citations.read(&operator(), number);
    let reached = service.ledger().read().position();
    assert_eq!(of_case(copied.cases[0]), copied.last);
    assert!(reached.0 < of_case(copied.cases[1]), "no such case");
    assert_eq!(cited(copied.citations[0]), Some(Position(copied.last)));
    assert_eq!(cited(copied.citations[1]), None);
    // What is given out now is good.
    let told = citations.tell(&operator(), reached);
    assert_eq!(cited(told), Some(reached));
    assert_eq!(numbers.position(numbers.of(reached)), reached);

    let keys = ReceiptKeys::open(service.folder()).expect("readable");
    let keys = parse_jwks(&keys.jwks()).expect("keys");
    for (id, _, before) in &copied.before {
        let again = receipt(&channel, id).await.expect("a receipt");
        assert_eq!(again, *before, "the same bytes");
        verify(&again, &keys).expect("it is sound");
    }
    assert_eq!(figures(&channel, copied.last).await, copied.figures);
    // Once more, after it went on.
    drop(channel);
    let folder = service.stop().await;
    let again = restore(folder.path()).expect("restored");
    assert!(restored.at < again.at);
    let service = Service::start_in(folder).await;
    let channel = service.connect().await;
    assert_eq!(figures(&channel, copied.last).await, copied.figures);
    let numbers = service.ingest().case_numbers();
    assert_eq!(numbers.position(copied.cases[0]).0, copied.last);
    assert_eq!(service.ledger().read().restores().all().len(), 2);
    drop(channel);
    service.stop().await;
}

/// Why a copy is to be restored: else tokens and numbers of what is gone are taken as good.
#[tokio::test]
async fn copy_that_is_not_restored_cannot_tell_what_was_given_out_after_it() {
    let mut copied = Copied::new().await;
    let (service, channel) = copied.go_on().await;
    let wrong = follow(&channel, Some(&copied.events[1])).await;
    wrong.expect("taken as good");
    let number = copied.citations[1];
    let wrong = service.ingest().citations().read(&operator(), number);
    assert!(wrong.is_some());
    drop(channel);
    service.stop().await;
}

#[tokio::test]
async fn journal_brought_back_below_a_later_checkpoint_is_restored_and_says_what_is_gone() {
    let copied = Copied::new().await;
    let journal = copied.folder.path().join("journal");
    std::fs::remove_dir_all(&journal).expect("removed");
    std::fs::create_dir(&journal).expect("a folder");
    copy_all(&copied.copy.path().join("journal"), &journal);
    let refused = repair::verify(copied.folder.path(), &mut |_, _| {}).expect("readable");
    assert!(refused.is_journal_short(), "{refused:?}");
    let restored = restore(copied.folder.path()).expect("restored");
    assert!(LATER as u64 <= restored.rebuilt.lost, "{restored:?}");
    assert!(copied.folder.path().join("checkpoint.aside").exists());
    let service = Service::start_in(copied.folder).await;
    let channel = service.connect().await;
    assert_eq!(figures(&channel, copied.last).await, copied.figures);
    oldest(follow(&channel, Some(&copied.events[1])).await);
    drop(channel);
    service.stop().await;
}

#[tokio::test]
async fn nothing_is_restored_while_a_server_runs_or_where_there_is_no_journal() {
    let empty = TempDir::new().expect("a folder");
    assert!(matches!(restore(empty.path()), Err(RepairError::NoJournal)));
    let service = Service::start().await;
    assert!(matches!(restore(service.folder()), Err(RepairError::InUse)));
    service.stop().await;
}
