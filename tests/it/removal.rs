//! Words that are taken away when their time has come, while the server is killed again and
//! again: what is left is whole, and nothing else is lost.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mistap::api::pb::v1 as pb;
use mistap::domain::time::DAY_MS;
use mistap::domain::{Entry, Position, UtcMillis};
use mistap::ingest::{ClockCheck, repair};
use mistap::journal;
use pb::operations_service_client::OperationsServiceClient;
use pb::reporting_service_client::ReportingServiceClient;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::child::{PATIENCE, again};
use crate::recovery::copy_of;
use crate::reports;
use crate::support::{
    START, Service, files_with, founding_story, once_open, report_all, until_removed,
};

/// Makes this program the server that is killed, over the folder that it names.
const FOLDER: &str = "MISTAP_TEST_REMOVAL";
const TEST: &str = "removal::kill_in_the_middle_of_taking_words_away_loses_nothing";
const READY: &str = "takes words away from now on";
/// Several times what is rewritten at once.
const REPORTS: usize = 2_500;
/// So many kills, and further ones until one has left a part of the words.
const KILLS: usize = 12;
const KILLS_MAX: usize = 60;

fn note(number: usize) -> String {
    format!("woorden van {number:04} einde")
}

/// A service for which ninety days have passed.
async fn serve_later(folder: &Path) -> ! {
    let mut settings = mistap::app::Settings::new(
        folder.to_owned(),
        std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        std::sync::Arc::new(|| UtcMillis(START.0 + 95 * DAY_MS)),
    );
    settings.clock_check = ClockCheck::Never;
    settings.retention_look = Duration::from_millis(1);
    let _handle = mistap::app::spawn(settings).await.expect("it starts");
    writeln!(std::io::stdout(), "{READY}").expect("told");
    // Its parent kills it, long before; if it cannot, nothing stays behind.
    tokio::time::sleep(PATIENCE).await;
    std::process::exit(1);
}

/// Which reports have their words; all else of each must be there.
fn with_words(folder: &Path) -> Vec<bool> {
    // As a start finds it: what was cut short is finished then.
    let opened = journal::open(&folder.join("journal"), journal::Settings::default());
    let (_writer, reader, _) = opened.expect("it opens");
    let mut found = Vec::new();
    for record in reader.entries_from(Position(1)).expect("readable") {
        let Entry::Incident { personal, .. } = record.expect("whole").entry else {
            continue;
        };
        let personal = personal.expect("only words are taken away");
        let number = found.len();
        assert_eq!(&*personal.vehicle, format!("{number:04}").as_str());
        let is_there = !personal.note.is_empty();
        let words = if is_there {
            note(number)
        } else {
            String::new()
        };
        assert_eq!(&*personal.note, words.as_str(), "all or nothing");
        found.push(is_there);
    }
    assert_eq!(found.len(), REPORTS);
    found
}

async fn report_with_words(folder: TempDir) -> TempDir {
    let service = Service::start_in(folder).await;
    let incidents = (0..REPORTS).map(|number| pb::Incident {
        vehicle: format!("{number:04}"),
        note: note(number),
        ..founding_story()
    });
    report_all(&service.connect().await, incidents).await;
    service.stop().await
}

#[tokio::test]
async fn kill_in_the_middle_of_taking_words_away_loses_nothing() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        serve_later(Path::new(&folder)).await;
    }
    let mut random = StdRng::seed_from_u64(reports::seed());
    let whole = report_with_words(TempDir::new().expect("a folder")).await;
    assert!(with_words(whole.path()).iter().all(|is_there| *is_there));
    let mut folder = copy_of(whole.path());
    let (mut kills, mut halves) = (0, 0);
    while kills < KILLS || halves == 0 {
        assert!(kills < KILLS_MAX, "no kill left a part of the words");
        kills += 1;
        let (mut child, _output) = again(TEST, (FOLDER, folder.path()), READY);
        // Not to wait for anything, but to kill at no particular moment.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..60_000))).await;
        child.kill().expect("it runs");
        child.wait().expect("it ended");
        let left = with_words(folder.path()).iter().filter(|it| **it).count();
        halves += usize::from(0 < left && left < REPORTS);
        let report = repair::verify(folder.path(), &mut |_, _| {}).expect("readable");
        assert!(report.is_clean(), "{report:?}");
        if left == 0 {
            folder = copy_of(whole.path());
        }
    }
    reports::tell(&format!(
        "{halves} of {kills} kills left a part of the words"
    ));

    let service = Service::start_with(folder, |settings| {
        settings.clock = std::sync::Arc::new(|| UtcMillis(START.0 + 95 * DAY_MS));
        settings.retention_look = Duration::from_millis(1);
    })
    .await;
    until_removed(&service, |done| done.words_from.is_some()).await;
    let folder = service.stop().await;
    assert!(!with_words(folder.path()).contains(&true));
    let report = repair::verify(folder.path(), &mut |_, _| {}).expect("readable");
    assert!(report.is_clean(), "{report:?}");
}

/// A service at a time when words of the first reports are kept no longer, until they are gone.
async fn take_words_away(folder: TempDir, days: i64) -> TempDir {
    let service = Service::start_with(folder, |settings| {
        settings.clock = std::sync::Arc::new(move || UtcMillis(START.0 + days * DAY_MS));
        settings.retention_look = Duration::from_millis(1);
    })
    .await;
    let first_kept = UtcMillis(START.0 + (days - 90) * DAY_MS).hour();
    let first_kept = first_kept.map(|hour| hour.local_day());
    until_removed(&service, |done| done.words_from == first_kept).await;
    service.stop().await
}

#[tokio::test]
async fn words_that_come_back_with_a_part_of_the_journal_are_taken_away_again() {
    let folder = report_with_words(TempDir::new().expect("a folder")).await;
    let journal = folder.path().join("journal");
    let files = std::fs::read_dir(&journal).expect("a folder");
    let files = files.map(|file| file.expect("a file").path());
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|it| it == "segment");
    let segment = files.into_iter().find(is_segment).expect("a segment");
    let mut before = std::fs::read(&segment).expect("read");
    let end = before.iter().rposition(|byte| *byte != 0).expect("entries");
    before.truncate(end + 1);
    let folder = take_words_away(folder, 95).await;
    assert!(!with_words(folder.path()).contains(&true));
    // What came after stays, as it does where one file of several is put back.
    let file = std::fs::OpenOptions::new().write(true).open(&segment);
    let written = file.expect("there").write_all_at(&before, 0);
    written.expect("written");
    assert!(!with_words(folder.path()).contains(&false));
    let folder = take_words_away(folder, 96).await;
    assert!(!with_words(folder.path()).contains(&true));
}

#[tokio::test]
async fn reply_says_later_that_its_message_is_kept_no_longer() {
    const MESSAGE: &str = "de lezer is vervangen, dank voor uw melding";
    let service = Service::start().await;
    let channel = service.connect().await;
    let incident = founding_story();
    let (id, secret) = (
        incident.incident_id.clone(),
        incident.incident_secret.clone(),
    );
    let request = pb::ReportIncidentRequest {
        incident: Some(incident),
        ..pb::ReportIncidentRequest::default()
    };
    let mut reporter = ReportingServiceClient::new(channel.clone());
    reporter.report_incident(request).await.expect("recorded");
    let mut desk = OperationsServiceClient::new(channel);
    let case = listed(&mut desk).await;
    for message in ["", MESSAGE] {
        let request = pb::RespondToIncidentRequest {
            case_number: case.case_number.clone(),
            state: pb::CaseState::Received.into(),
            reason: 0,
            message: message.into(),
        };
        desk.respond_to_incident(request).await.expect("answered");
    }
    drop((reporter, desk));
    let folder = service.stop().await;
    assert_eq!(files_with(folder.path(), MESSAGE.as_bytes()), 1);

    let service = Service::start_with(folder, |settings| {
        settings.clock = std::sync::Arc::new(|| UtcMillis(START.0 + 95 * DAY_MS));
        settings.retention_look = Duration::from_millis(1);
    })
    .await;
    let channel = service.connect().await;
    until_removed(&service, |done| done.words != Position(0)).await;
    let request = pb::GetIncidentRequest {
        incident_id: id,
        incident_secret: secret,
        everything: true,
    };
    let mut reporter = ReportingServiceClient::new(channel.clone());
    let answer = reporter.get_incident(request).await.expect("kept");
    let answer = answer.into_inner();
    let recorded = answer.recorded.clone().expect("an incident");
    let case = listed(&mut OperationsServiceClient::new(channel)).await;
    for replies in [&recorded.replies, &case.replies] {
        let gone: Vec<_> = replies
            .iter()
            .map(|one| one.message_kept_no_longer)
            .collect();
        assert_eq!(gone, [false, true]);
        assert!(replies.iter().all(|one| one.message.is_empty()));
        let is_told = |one: &pb::Reply| one.replied_at.is_some() && one.operator == "GVB";
        assert!(replies.iter().all(is_told));
    }
    assert_eq!(
        answer
            .everything_json
            .matches("message_kept_no_longer")
            .count(),
        1
    );
    drop(reporter);
    let folder = service.stop().await;
    assert_eq!(files_with(folder.path(), MESSAGE.as_bytes()), 0);
}

/// The only case, once the store is open.
async fn listed(desk: &mut OperationsServiceClient<Channel>) -> pb::Case {
    let page = once_open(async || {
        desk.list_incidents(pb::ListIncidentsRequest::default())
            .await
    });
    page.await.expect("a list").cases.remove(0)
}
