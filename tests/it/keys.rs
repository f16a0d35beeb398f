//! Keys of pseudonyms: the journal is told of each, by a fingerprint, and a lost file stays in
//! sight.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mistap::api::pb::v1 as pb;
use mistap::auth::Keys;
use mistap::domain::time::DAY_MS;
use mistap::domain::{Entry, KeysTold, LocalDay, UtcMillis};
use mistap::ingest::repair::{self, RepairError};
use mistap::ingest::rotation::{self, RotateError};
use mistap::ingest::{ClockCheck, CommandClock};
use mistap::journal::{self, JournalError, Wanted};
use pb::reporting_service_client::ReportingServiceClient;
use tempfile::TempDir;

use crate::child::{mistap, until_so};
use crate::recovery::copy_all;
use crate::support::{SECRET, START, Service, founding_story, until_removed};

/// Of commands that are run when tests begin.
const CLOCK: CommandClock = ClockCheck::Always.at(START);
/// How long words are kept unless it is set otherwise.
const WORDS_DAYS: i32 = 90;

/// Runs a service over a folder until it has noted which keys are in use.
async fn serve(folder: TempDir, now: UtcMillis) -> TempDir {
    let expected = |folder: &Path| Keys::open(folder).expect("readable").told();
    let today = now.hour().expect("a supported year").local_day();
    let words_from = LocalDay(today.0 - WORDS_DAYS);
    let service = Service::start_with(folder, |settings| {
        settings.clock = Arc::new(move || now);
        settings.retention_look = Duration::from_millis(1);
    })
    .await;
    until_so("keys are noted", async || {
        told(service.folder()).last() == Some(&expected(service.folder()))
    })
    .await;
    // By the first look it has noted all that there is to note.
    until_removed(&service, |done| done.words_from == Some(words_from)).await;
    service.stop().await
}

/// What the journal of a folder was told of keys.
fn told(folder: &Path) -> Vec<KeysTold> {
    let (reader, _) = journal::open_reader(&folder.join("journal")).expect("readable");
    let records = reader.wanted_from(reader.horizon(), Wanted::Keys);
    let entries = records.map(|record| record.expect("whole").entry);
    let keys = entries.filter_map(|entry| match entry {
        Entry::KeysChanged(keys) => Some(keys),
        _ => None,
    });
    keys.collect()
}

/// What `mistap status` says of keys.
fn status(folder: &Path) -> String {
    let mut command = mistap().into_std();
    let command = command.args(["status", "--data"]).arg(folder);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let keys = text.lines().filter(|line| line.contains("key"));
    keys.collect::<Vec<_>>().join("\n")
}

fn new_folder() -> TempDir {
    TempDir::new().expect("a folder")
}

#[tokio::test]
async fn journal_is_told_of_keys_once_and_again_when_one_is_made() {
    let folder = serve(new_folder(), START).await;
    let folder = serve(folder, UtcMillis(START.0 + DAY_MS)).await;
    let first = told(folder.path());
    assert_eq!(first.len(), 1, "the same is not told twice");
    // The key of the next quarter is made a month before.
    let folder = serve(folder, UtcMillis(START.0 + 20 * DAY_MS)).await;
    let second = told(folder.path());
    assert_eq!(second.len(), 2);
    assert_eq!(second[1].digest, first[0].digest);
    let periods = |told: &KeysTold| told.periods.keys().copied().collect::<Vec<_>>();
    let [before, after] = [periods(&first[0]), periods(&second[1])];
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), before.len() + 1);
    let report = repair::verify(folder.path(), &mut |_, _| {}).expect("readable");
    assert!(report.is_clean(), "{report:?}");
    let said = status(folder.path());
    assert!(
        said.contains("made by 2026-11-23") && said.contains("made by 2026-12-13"),
        "{said}"
    );
    assert!(!said.contains("LOST"), "{said}");
}

#[tokio::test]
async fn rotated_key_is_told_as_replaced() {
    let folder = serve(new_folder(), START).await;
    let at = UtcMillis(START.0 + DAY_MS);
    let rotated = rotation::rotate(folder.path(), ClockCheck::Always.at(at)).expect("rotated");
    assert!(!rotated.periods.is_empty());
    // Before any server starts again.
    let now = told(folder.path());
    assert_eq!(now.len(), 2);
    assert_eq!(now[0].digest, now[1].digest);
    assert_ne!(now[0].periods, now[1].periods);
    assert_eq!(
        now.last(),
        Some(&Keys::open(folder.path()).expect("readable").told())
    );
    let folder = serve(folder, at).await;
    assert_eq!(told(folder.path()), now, "it is not told again");
    let said = status(folder.path());
    assert!(said.contains("replaced by 2026-11-24"), "{said}");
    assert!(!said.contains("LOST"), "{said}");
}

#[tokio::test]
async fn keys_are_not_rotated_under_a_running_server_nor_where_there_are_none() {
    let service = Service::start().await;
    let keys = |folder: &Path| std::fs::read(folder.join("keys")).expect("there");
    let before = keys(service.folder());
    let refused = rotation::rotate(service.folder(), CLOCK);
    let in_use = RotateError::Folder(RepairError::InUse);
    assert_eq!(
        refused.expect_err("a server runs").to_string(),
        in_use.to_string()
    );
    assert_eq!(keys(service.folder()), before);
    service.stop().await;
    let empty = new_folder();
    let refused = rotation::rotate(empty.path(), CLOCK);
    assert!(matches!(refused, Err(RotateError::NoKeys)), "{refused:?}");
}

#[tokio::test]
async fn keys_are_not_rotated_over_a_journal_that_lost_entries() {
    let folder = serve(new_folder(), START).await;
    let copy = new_folder();
    copy_all(folder.path(), copy.path());
    let folder = serve(folder, UtcMillis(START.0 + 20 * DAY_MS)).await;
    let journal = folder.path().join("journal");
    std::fs::remove_dir_all(&journal).expect("removed");
    std::fs::create_dir(&journal).expect("a folder");
    copy_all(&copy.path().join("journal"), &journal);
    let before = std::fs::read(folder.path().join("keys")).expect("there");
    let refused = rotation::rotate(folder.path(), CLOCK).expect_err("a start refuses it, too");
    assert!(
        matches!(
            refused,
            RotateError::Folder(RepairError::Journal(JournalError::Lost { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(
        std::fs::read(folder.path().join("keys")).expect("there"),
        before
    );
}

#[tokio::test]
async fn keys_are_rotated_after_a_long_rest_only_by_whoever_says_that_the_clock_is_right() {
    let folder = serve(new_folder(), START).await;
    let files =
        || ["keys", "receipt-keys"].map(|name| std::fs::read(folder.path().join(name)).ok());
    let before = (told(folder.path()), files());
    let later = UtcMillis(START.0 + 35 * DAY_MS);
    let is_refused = |error| {
        let refused = matches!(error, RotateError::Folder(RepairError::ClockUnsure));
        assert!(refused, "{error:?}");
    };
    let unsure = ClockCheck::Always.at(later);
    is_refused(rotation::rotate(folder.path(), unsure).expect_err("a wrong clock"));
    is_refused(rotation::rotate_receipts(folder.path(), unsure).expect_err("a wrong clock"));
    assert_eq!((told(folder.path()), files()), before);
    let sure = ClockCheck::AfterStart.at(later);
    rotation::rotate_receipts(folder.path(), sure).expect("rotated");
    rotation::rotate(folder.path(), sure).expect("rotated");
    assert_eq!(told(folder.path()).len(), before.0.len() + 1);
    // What is near needs no word.
    rotation::rotate(folder.path(), unsure).expect("rotated");
}

#[tokio::test]
async fn nothing_is_noted_where_no_key_is_rotated() {
    let folder = serve(new_folder(), START).await;
    let before = told(folder.path());
    let refused = rotation::rotate(folder.path(), ClockCheck::Always.at(UtcMillis(i64::MAX)));
    assert!(matches!(refused, Err(RotateError::Clock)), "{refused:?}");
    let later = UtcMillis(START.0 + 800 * DAY_MS);
    let refused = rotation::rotate(folder.path(), ClockCheck::AfterStart.at(later));
    assert!(
        matches!(refused, Err(RotateError::NoneInUse)),
        "{refused:?}"
    );
    assert_eq!(told(folder.path()), before);
}

/// Reports the founding story; its id.
async fn told_once(service: &Service) -> String {
    let mut client = ReportingServiceClient::new(service.connect().await);
    let incident = founding_story();
    let id = incident.incident_id.clone();
    let request = pb::ReportIncidentRequest {
        incident: Some(incident),
        ..pb::ReportIncidentRequest::default()
    };
    client.report_incident(request).await.expect("recorded");
    id
}

async fn receipt(service: &Service, id: &str) -> pb::GetReceiptResponse {
    let mut client = ReportingServiceClient::new(service.connect().await);
    let request = pb::GetReceiptRequest {
        incident_id: id.to_owned(),
        incident_secret: SECRET.to_vec(),
        qr_code: false,
    };
    let answer = client.get_receipt(request).await.expect("a receipt");
    answer.into_inner()
}

#[tokio::test]
async fn receipts_stay_as_they_are_when_their_key_is_rotated_whatever_the_clock_shows() {
    let service = Service::start().await;
    let mut told = vec![told_once(&service).await];
    let mut given = vec![receipt(&service, &told[0]).await];
    let mut folder = service.stop().await;
    let mut from = START;
    for clock in [UtcMillis(START.0 - DAY_MS), START, UtcMillis(0)] {
        let made = rotation::rotate_receipts(folder.path(), ClockCheck::Always.at(clock))
            .expect("rotated");
        assert!(from < made.from);
        from = made.from;
        let service = Service::start_with(folder, |settings| {
            settings.clock = Arc::new(move || from);
        })
        .await;
        told.push(told_once(&service).await);
        given.push(receipt(&service, &told[given.len()]).await);
        for (id, given) in told.iter().zip(&given) {
            assert_eq!(receipt(&service, id).await, *given, "the same bytes");
        }
        folder = service.stop().await;
    }
    let header =
        |given: &pb::GetReceiptResponse| given.receipt.split('.').next().map(str::to_owned);
    let keys: std::collections::BTreeSet<_> = given.iter().map(header).collect();
    assert_eq!(keys.len(), given.len(), "each key came into use");
}

#[tokio::test]
async fn keys_of_receipts_are_rotated_neither_under_a_server_nor_where_there_are_none() {
    let service = Service::start().await;
    let path = service.folder().join("receipt-keys");
    let before = std::fs::read(&path).expect("there");
    let refused = rotation::rotate_receipts(service.folder(), CLOCK);
    assert!(
        matches!(refused, Err(RotateError::Folder(RepairError::InUse))),
        "{refused:?}"
    );
    assert_eq!(std::fs::read(&path).expect("there"), before);
    let folder = service.stop().await;
    // That they are lost stays in sight.
    std::fs::remove_file(&path).expect("removed");
    let refused = rotation::rotate_receipts(folder.path(), CLOCK);
    assert!(
        matches!(refused, Err(RotateError::NoReceiptKeys)),
        "{refused:?}"
    );
    let empty = new_folder();
    let refused = rotation::rotate_receipts(empty.path(), CLOCK);
    assert!(
        matches!(refused, Err(RotateError::Folder(RepairError::NoJournal))),
        "{refused:?}"
    );
    assert!(!path.exists() && !empty.path().join("receipt-keys").exists());
    assert!(status(folder.path()).contains("LOST: receipts can be neither"));
}

#[tokio::test]
async fn pseudonyms_of_an_ended_quarter_go_also_where_its_key_is_not_there() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let incident = pb::Incident {
        installation_id: "an-installation-of-its-own".into(),
        ..founding_story()
    };
    let request = pb::ReportIncidentRequest {
        incident: Some(incident),
        ..pb::ReportIncidentRequest::default()
    };
    let mut client = ReportingServiceClient::new(channel);
    client.report_incident(request).await.expect("recorded");
    drop(client);
    let folder = service.stop().await;
    let pseudonyms = |folder: &Path| {
        let (reader, _) = journal::open_reader(&folder.join("journal")).expect("readable");
        let entries = reader.entries_from(reader.horizon()).expect("readable");
        let personal = entries.filter_map(|record| match record.expect("whole").entry {
            Entry::Incident { personal, .. } => personal?.installation,
            _ => None,
        });
        personal.count()
    };
    assert_eq!(pseudonyms(folder.path()), 1);
    // As the README tells to back up.
    std::fs::remove_file(folder.path().join("keys")).expect("there");
    repair::restore(folder.path(), CLOCK, &mut |_, _| {}).expect("restored");
    // The last edition of its quarter closes on day 22 of January 2027.
    let service = Service::start_with(folder, |settings| {
        settings.clock = Arc::new(|| UtcMillis(START.0 + 62 * DAY_MS));
        settings.retention_look = Duration::from_millis(1);
        settings.edition_look = Duration::from_millis(1);
    })
    .await;
    until_removed(&service, |done| done.key_period.is_some()).await;
    let folder = service.stop().await;
    assert_eq!(pseudonyms(folder.path()), 0);
}

#[tokio::test]
async fn lost_key_file_stays_in_sight_until_it_comes_back() {
    let folder = serve(new_folder(), START).await;
    let path = folder.path().join("keys");
    let kept = std::fs::read(&path).expect("there");
    std::fs::remove_file(&path).expect("removed");
    let said = status(folder.path());
    assert!(said.contains("LOST: cards and installations"), "{said}");
    assert!(said.contains("the next start makes new keys"), "{said}");
    let folder = serve(folder, UtcMillis(START.0 + DAY_MS)).await;
    // Also months later, when a start has long made new ones.
    let folder = serve(folder, UtcMillis(START.0 + 100 * DAY_MS)).await;
    let said = status(folder.path());
    assert!(
        said.contains("LOST by 2026-11-24, and new ones made"),
        "{said}"
    );
    assert!(said.contains("case numbers"), "{said}");
    // The file comes back from somewhere.
    std::fs::write(&path, kept).expect("written");
    let said = status(folder.path());
    assert!(said.contains("LOST: the file is another one"), "{said}");
    let folder = serve(folder, UtcMillis(START.0 + 101 * DAY_MS)).await;
    let said = status(folder.path());
    assert!(said.contains("came back by 2027-03-04"), "{said}");
    assert!(!said.contains("another one than"), "{said}");
}
