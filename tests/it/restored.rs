//! A copy of a data folder that is brought back with its keys: once it is restored, nothing that
//! was given out after the copy was made is taken for something else; all of before stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mistap::api::pb::v1 as pb;
use mistap::auth::receipts::{parse_jwks, verify};
use mistap::auth::{Grant, Principal, ReceiptKeys, TokenId};
use mistap::domain::entry::Epoch;
use mistap::domain::limits::RESTORES_MAX;
use mistap::domain::time::DAY_MS;
use mistap::domain::{Entry, Position, UtcMillis};
use mistap::ingest::ClockCheck;
use mistap::ingest::repair::{self, RepairError, Restored};
use mistap::journal;
use mistap::upkeep::retention::RemovalProgress;
use pb::live_service_client::LiveServiceClient;
use pb::reporting_service_client::ReportingServiceClient;
use pb::statistics_service_client::StatisticsServiceClient;
use pb::watch_incidents_request::Start;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::child::{mistap, said};
use crate::recovery::copy_all;
use crate::support::{
    SECRET, START, Service, files_with, founding_story, once_open, report, that_day, until_removed,
};

/// What lies in the folder after the copy: as many reports, so that as many positions.
const LATER: usize = 3;

async fn report_one(channel: &Channel) -> (String, u64) {
    let incident = founding_story();
    let id = incident.incident_id.clone();
    (id, report(channel, incident).await.position)
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
    let request = pb::QueryFiguresRequest {
        as_of_position: Some(as_of),
        ..that_day(&[pb::Dimension::Signal])
    };
    let answer = once_open(async || client.query_figures(request.clone()).await).await;
    answer.expect("an answer").figures
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
    repair::restore(folder, ClockCheck::Always.at(START), &mut |_, _| {})
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
            let (id, position) = report_one(&channel).await;
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
            later = report_one(&channel).await.1;
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
            report_one(&channel).await;
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
    bring_back_journal(copied.copy.path(), copied.folder.path());
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

/// Puts the journal of a copy into the place of a later one.
fn bring_back_journal(copy: &Path, folder: &Path) {
    let journal = folder.join("journal");
    std::fs::remove_dir_all(&journal).expect("removed");
    std::fs::create_dir(&journal).expect("a folder");
    copy_all(&copy.join("journal"), &journal);
}

#[tokio::test]
async fn words_that_were_taken_away_since_the_copy_are_taken_away_again() {
    const WORDS: &[u8] = "ach, meisje".as_bytes();
    let later = UtcMillis(START.0 + 95 * DAY_MS);
    let words_gone = async |folder: TempDir| {
        let service = Service::start_with(folder, |settings| {
            settings.clock = Arc::new(move || later);
            settings.retention_look = Duration::from_millis(1);
        })
        .await;
        until_removed(&service, |done| done.words_from.is_some()).await;
        service.stop().await
    };
    let copied = Copied::new().await;
    let folder = words_gone(copied.folder).await;
    assert_eq!(files_with(folder.path(), WORDS), 0);
    let set = RemovalProgress::read(folder.path()).words_days;
    assert!(set.is_some());
    bring_back_journal(copied.copy.path(), folder.path());
    assert_ne!(files_with(folder.path(), WORDS), 0);
    repair::restore(
        folder.path(),
        ClockCheck::AfterStart.at(later),
        &mut |_, _| {},
    )
    .expect("restored");
    let done = RemovalProgress::read(folder.path());
    assert_eq!((done.words_from, done.words_days), (None, set));
    let folder = words_gone(folder).await;
    assert_eq!(files_with(folder.path(), WORDS), 0);
}

#[tokio::test]
async fn backup_without_keys_is_restored_and_only_what_rests_on_them_is_lost() {
    let copied = Copied::new().await;
    let backup = TempDir::new().expect("a folder");
    for name in ["journal", "editions", "network", "receipt-keys"] {
        let (from, to) = (copied.copy.path().join(name), backup.path().join(name));
        if from.is_dir() {
            std::fs::create_dir(&to).expect("a folder");
            copy_all(&from, &to);
        } else if from.exists() {
            std::fs::copy(&from, &to).expect("copied");
        }
    }
    let mut command = mistap();
    command.arg("restore").arg("--data").arg(backup.path());
    let before = all_files(backup.path());
    let refused = said(&mut command).await;
    assert_eq!(refused.code, 3, "nobody could be asked: {}", refused.errors);
    assert!(refused.errors.contains("--yes"), "{}", refused.errors);
    assert!(all_files(backup.path()) == before, "nothing is changed");
    let output = command.arg("--yes").output().await;
    let output = output.expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("text");
    for word in [
        "erased since",
        "withdrew",
        "no keys of pseudonyms",
        "no file of tokens",
    ] {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    assert!(!said.contains("NO keys of receipts"), "{said}");

    let service = Service::start_in(backup).await;
    let channel = service.connect().await;
    assert_eq!(figures(&channel, copied.last).await, copied.figures);
    for (id, _, before) in &copied.before {
        let again = receipt(&channel, id).await.expect("a receipt");
        assert_eq!(again, *before, "the same bytes");
    }
    for token in &copied.events {
        let refused = follow(&channel, Some(token)).await;
        assert!(refused.is_err(), "sealed under a key that is gone");
    }
    for citation in copied.citations {
        let read = service.ingest().citations().read(&operator(), citation);
        assert_ne!(read, Some(Position(copied.last)));
    }
    // It goes on: what is told now is counted and has its receipt.
    let (id, position) = report_one(&channel).await;
    assert!(copied.last < position);
    receipt(&channel, &id).await.expect("a receipt");
    drop(channel);
    service.stop().await;
}

/// Every file below a folder, with its bytes, but those that a lock is held by.
fn all_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.append(&mut all_files(&path));
        } else if !path.ends_with("LOCK") {
            found.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
    found
}

#[tokio::test]
async fn record_that_was_restored_as_often_as_may_be_is_refused_with_nothing_changed() {
    let copied = Copied::new().await;
    let folder = copied.folder.path();
    let opened = journal::open(&folder.join("journal"), journal::Settings::default());
    let (mut writer, ..) = opened.expect("it opens");
    let entry = |number: usize| {
        let byte = u8::try_from(number).expect("few");
        journal::encode(&Entry::Restored(Epoch([byte; 16])))
    };
    let entries: Vec<_> = (1..RESTORES_MAX).map(entry).collect();
    writer.append(&entries, START).expect("room");
    drop(writer);
    restore(folder).expect("the last that may be");
    let before = all_files(folder);
    let refused = restore(folder);
    assert!(
        matches!(refused, Err(RepairError::RestoredTooOften)),
        "{refused:?}"
    );
    assert!(all_files(folder) == before, "something was changed");
}
