//! Single incidents whose time has come: what was counted of them stays, they do not, and a
//! server that is killed in the middle of it loses nothing.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mistap::api::pb::v1 as pb;
use mistap::app::{AppError, Settings};
use mistap::domain::time::{DAY_MS, HOUR_MS};
use mistap::domain::{Entry, Position, UtcMillis};
use mistap::ingest::repair::{self, Finding};
use mistap::ingest::{ClockCheck, StartError};
use mistap::journal;
use mistap::upkeep::retention::RemovalProgress;
use pb::operations_service_client::OperationsServiceClient;
use pb::reporting_service_client::ReportingServiceClient;
use pb::statistics_service_client::StatisticsServiceClient;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;

use crate::child::{PATIENCE, again, until_so};
use crate::recovery::copy_of;
use crate::reports;
use crate::support::{
    SECRET, START, Service, at, feed_of_gvb, founding_story, id_made_at, once_open, report_all,
    taps_of_line, tell_taps, that_day, until_removed,
};

/// Makes this program the server that is killed, over the folder that it names.
const FOLDER: &str = "MISTAP_TEST_ENDED";
const TEST: &str = "ended::kill_while_single_incidents_end_loses_nothing";
const READY: &str = "ends single incidents from now on";
/// November 2026 has been over for eleven months by then, and December has not.
const LATER: UtcMillis = UtcMillis(START.0 + 350 * DAY_MS);
const KILLS_MAX: usize = 60;
/// At most so long after a change of files a kill comes, in milliseconds, in turn: how long what ends
/// takes is up to the disk.
const KILL_AFTER_MS_MAX: [u64; 6] = [1, 3, 10, 30, 100, 300];
/// Looks, five in a millisecond, for a change of files before a kill.
const LOOKS_MAX: usize = 10_000;

/// Tap counts of November 2026 are kept no longer by then.
const TAP_DAYS: u32 = 320;

fn later(settings: &mut Settings) {
    settings.clock = Arc::new(|| LATER);
    settings.clock_check = ClockCheck::Never;
    settings.tap_days = TAP_DAYS;
    settings.retention_look = Duration::from_millis(1);
    settings.edition_look = Duration::from_millis(1);
}

/// Tells taps of line 12, of local days before another.
async fn tell_days(channel: &Channel, before: UtcMillis, days: std::ops::Range<i64>) {
    let midnights = days.map(|day| UtcMillis(before.0 - 15 * HOUR_MS - day * DAY_MS));
    tell_taps_of(channel, "12", midnights, 1_000).await;
}

/// Tells taps of a line, of the local days that begin then.
async fn tell_taps_of(
    channel: &Channel,
    line: &str,
    midnights: impl Iterator<Item = UtcMillis>,
    taps: u64,
) {
    let line = format!("GVB:{line}");
    let count = |midnight| taps_of_line(&line, midnight, taps);
    let feed = feed_of_gvb("gvb.lines", pb::TapGrain::Line, pb::TapInterval::Day);
    tell_taps(channel, feed, midnights.map(count)).await;
}

/// Service days of each entry of tap counts that is left in the journal.
fn tap_days(folder: &Path) -> Vec<usize> {
    let (reader, _) = journal::open_reader(&folder.join("journal")).expect("whole");
    let entries = reader.entries_from(Position(1)).expect("readable");
    let days = entries.filter_map(|record| match record.expect("whole").entry {
        Entry::TapCounts(batch) => {
            let days: BTreeSet<_> = batch.cells().iter().map(|cell| cell.slot.day).collect();
            Some(days.len())
        }
        _ => None,
    });
    days.collect()
}

/// A folder with reports of one day in November, and two that were told in December.
async fn reported(november: usize) -> (TempDir, Vec<pb::Incident>) {
    let stories: Vec<_> = (0..november).map(|_| founding_story()).collect();
    let service = Service::start().await;
    let channel = service.connect().await;
    report_all(&channel, stories.clone()).await;
    // Declared by the first, so that something of it stays.
    tell_days(&channel, START, 3..5).await;
    tell_days(&channel, START, 1..3).await;
    let mut client = ReportingServiceClient::new(channel);
    client
        .withdraw_incident(pb::WithdrawIncidentRequest {
            incident_id: stories[0].incident_id.clone(),
            incident_secret: SECRET.to_vec(),
        })
        .await
        .expect("withdrawn");
    let folder = service.stop().await;

    let service = Service::start_with(folder, |settings| {
        settings.clock = Arc::new(|| UtcMillis(START.0 + 10 * DAY_MS));
    })
    .await;
    let channel = service.connect().await;
    report_all(&channel, vec![founding_story(), founding_story()]).await;
    // Some of November, too, but not told in a month that has ended.
    tell_days(&channel, START, 0..1).await;
    let mut client = ReportingServiceClient::new(channel);
    for story in &stories[1..3] {
        client
            .amend_incident(pb::AmendIncidentRequest {
                incident_id: story.incident_id.clone(),
                incident_secret: SECRET.to_vec(),
                called_back: pb::CalledBack::Yes as i32,
                ..pb::AmendIncidentRequest::default()
            })
            .await
            .expect("amended");
    }
    client
        .withdraw_incident(pb::WithdrawIncidentRequest {
            incident_id: stories[3].incident_id.clone(),
            incident_secret: SECRET.to_vec(),
        })
        .await
        .expect("withdrawn");
    // Taps of November are kept no longer before single incidents end: it is said at a minute.
    let service = Service::start_with(service.stop().await, |settings| {
        settings.clock = Arc::new(|| LATER);
        settings.tap_days = TAP_DAYS;
    })
    .await;
    until_taps_removed(&service).await;
    (service.stop().await, stories)
}

/// What tallies answer.
async fn tallied(service: &Service) -> Vec<(Vec<pb::Key>, u64)> {
    let mut client = StatisticsServiceClient::new(service.connect().await);
    let mut found = Vec::new();
    for by in [
        vec![],
        vec![pb::Dimension::Line],
        vec![pb::Dimension::Operator, pb::Dimension::Signal],
        vec![pb::Dimension::Operator, pb::Dimension::StaffAct],
    ] {
        let answer = client.query_figures(that_day(&by)).await.expect("answered");
        let figures = answer.into_inner().figures.into_iter();
        found.extend(figures.map(|figure| (figure.keys, figure.count)));
    }
    found
}

/// Until the store is open, which lists are read from.
async fn until_listed(service: &Service) {
    let mut client = OperationsServiceClient::new(service.connect().await);
    let list = async || {
        let request = pb::ListIncidentsRequest::default();
        client.list_incidents(request).await
    };
    once_open(list).await.expect("listed");
}

async fn until_ended(service: &Service) -> RemovalProgress {
    until_removed(service, |done| done.incidents != Position(0)).await
}

async fn until_taps_removed(service: &Service) {
    until_so("old tap counts are removed", async || {
        service.ledger().read().taps().kept_from().is_some()
    })
    .await;
}

/// How many entries of each kind are there: about incidents, and in the place of such.
fn entries(folder: &Path) -> (usize, usize) {
    let (reader, _) = journal::open_reader(&folder.join("journal")).expect("whole");
    let (mut kept, mut gone) = (0, 0);
    for record in reader.entries_from(Position(1)).expect("readable") {
        match record.expect("whole").entry {
            Entry::Incident { .. }
            | Entry::Withdrawn { .. }
            | Entry::Amended(_)
            | Entry::Erased { .. }
            | Entry::Answered(_) => kept += 1,
            Entry::Gone => gone += 1,
            _ => {}
        }
    }
    (kept, gone)
}

fn check_clean(folder: &Path) {
    let report = repair::verify(folder, &mut |_, _| {}).expect("readable");
    assert!(report.is_clean(), "{report:?}");
}

/// As after a kill: a store or a checkpoint that the next start makes again is no harm.
fn check_whole(folder: &Path) {
    let report = repair::verify(folder, &mut |_, _| {}).expect("readable");
    assert!(report.journal.problems.is_empty(), "{report:?}");
    let fold = report.fold.as_ref().expect("folded");
    for finding in [&fold.checkpoint, &fold.store] {
        let is_wrong = matches!(finding, Finding::Differs | Finding::Ahead(_));
        assert!(!is_wrong, "{report:?}");
    }
}

#[tokio::test]
async fn restore_is_known_after_the_entries_around_it_have_ended() {
    let (folder, _) = reported(20).await;
    let restored = repair::restore(
        folder.path(),
        ClockCheck::AfterStart.at(LATER),
        &mut |_, _| {},
    )
    .expect("restored");
    let service = Service::start_with(folder, later).await;
    let before = tallied(&service).await;
    let done = until_ended(&service).await;
    let folder = service.stop().await;
    check_clean(folder.path());
    // December ends, too, and with it what lies around the restore; the base has it then.
    let much_later = UtcMillis(LATER.0 + 420 * DAY_MS);
    let service = Service::start_with(folder, |settings| {
        later(settings);
        settings.clock = Arc::new(move || much_later);
    })
    .await;
    until_removed(&service, |done| restored.at <= done.incidents).await;
    assert!(done.incidents < restored.at);
    let folder = service.stop().await;
    check_clean(folder.path());
    // Nothing but the base and what comes after it is there to tell.
    std::fs::remove_file(folder.path().join("checkpoint")).expect("removed");
    let service = Service::start_with(folder, |settings| {
        settings.clock = Arc::new(move || much_later);
    })
    .await;
    let at = |service: &Service| {
        let state = service.ledger().read();
        let restores = state.restores().all();
        restores.iter().map(|one| one.at).collect::<Vec<_>>()
    };
    assert_eq!(at(&service), [restored.at]);
    assert_eq!(tallied(&service).await, before);
    let folder = service.stop().await;
    // Another counts them all.
    let again = repair::restore(
        folder.path(),
        ClockCheck::AfterStart.at(much_later),
        &mut |_, _| {},
    )
    .expect("restored");
    // What had ended is ended once more, which changes nothing.
    assert_eq!(RemovalProgress::read(folder.path()).incidents, Position(0));
    let service = Service::start_with(folder, |settings| {
        later(settings);
        settings.clock = Arc::new(move || much_later);
    })
    .await;
    until_ended(&service).await;
    assert_eq!(at(&service), [restored.at, again.at]);
    assert_eq!(tallied(&service).await, before);
    check_clean(service.stop().await.path());
}

#[tokio::test]
async fn single_incidents_go_after_their_time_and_what_was_counted_of_them_stays() {
    let (folder, stories) = reported(700).await;
    let service = Service::start_in(folder).await;
    let before = tallied(&service).await;
    let folder = service.stop().await;
    assert_eq!(entries(folder.path()), (701 + 2 + 3, 0));
    assert_eq!(tap_days(folder.path()), [2, 2, 1]);

    let service = Service::start_with(folder, later).await;
    let done = until_ended(&service).await;
    let from = done.incidents_from.expect("told").to_string();
    assert_eq!(from, "2026-12-01");
    assert_eq!(tallied(&service).await, before);
    // December's are there still: two reports, two amendments, one withdrawal. Of taps those that
    // were told in December, and the declaration of their feed.
    assert_eq!(entries(service.folder()), (5, 701 + 1));
    assert_eq!(tap_days(service.folder()), [0, 1]);

    // What is not in the tallies cannot be told any more, and that is said.
    let mut client = StatisticsServiceClient::new(service.connect().await);
    let by = [pb::Dimension::Line, pb::Dimension::Signal];
    let refused = client.query_figures(that_day(&by)).await.expect_err("gone");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = tonic_types::StatusExt::get_details_bad_request(&refused).expect("told");
    let rule = &details.field_violations[0].description;
    assert!(rule.contains("2026-12-02"), "{rule}");

    // Its reporter finds it no more, and the operator's list goes on without it.
    let mut client = ReportingServiceClient::new(service.connect().await);
    for story in &stories[..3] {
        let asked = client.get_incident(pb::GetIncidentRequest {
            incident_id: story.incident_id.clone(),
            incident_secret: SECRET.to_vec(),
            ..pb::GetIncidentRequest::default()
        });
        assert_eq!(asked.await.expect_err("gone").code(), Code::NotFound);
    }
    let mut client = OperationsServiceClient::new(service.connect().await);
    let listed = client.list_incidents(pb::ListIncidentsRequest::default());
    let listed = listed.await.expect("listed").into_inner().cases;
    assert_eq!(listed.len(), 2);
    let folder = service.stop().await;
    check_clean(folder.path());
    let journal = written(folder.path());
    for story in &stories {
        let id: mistap::domain::IncidentId = story.incident_id.parse().expect("an id");
        let mut places = journal.windows(16);
        let is_there = places.any(|bytes| bytes == id.as_bytes());
        // Ids of those that were amended or withdrawn in December go with that month.
        assert_eq!(is_there, stories[1..4].contains(story));
    }

    // Whatever can be made again is made of the base and the rest.
    let rebuilt = repair::rebuild(folder.path(), ClockCheck::Always.at(START), &mut |_, _| {})
        .expect("rebuilt");
    assert_ne!(rebuilt.entries, 0);
    check_clean(folder.path());
    std::fs::remove_file(folder.path().join("checkpoint")).expect("removed");
    std::fs::remove_dir_all(folder.path().join("store")).expect("removed");
    let service = Service::start_with(folder, later).await;
    assert_eq!(tallied(&service).await, before);
    report_all(&service.connect().await, vec![new_story()]).await;
    // A checkpoint counts only what is in the store, which is made again meanwhile.
    until_listed(&service).await;
    let folder = service.stop().await;
    check_clean(folder.path());

    // Without the base there is nothing to begin with, and that is said.
    std::fs::remove_file(folder.path().join("checkpoint")).expect("removed");
    let base = folder.path().join("journal/base");
    let content = std::fs::read(&base).expect("there");
    std::fs::remove_file(&base).expect("removed");
    let refused = start_later(folder.path()).await;
    assert!(
        matches!(refused, Err(AppError::Start(StartError::BaseMissing))),
        "{refused:?}"
    );
    assert!(repair::verify(folder.path(), &mut |_, _| {}).is_err());
    let mut damaged = content.clone();
    damaged[content.len() / 2] ^= 1;
    std::fs::write(&base, damaged).expect("written");
    let refused = start_later(folder.path()).await;
    assert!(
        matches!(refused, Err(AppError::Start(StartError::BaseMissing))),
        "{refused:?}"
    );
    std::fs::write(&base, content).expect("written");
    let service = Service::start_with(folder, later).await;
    assert_eq!(tallied(&service).await, before);
    check_clean(service.stop().await.path());
}

/// In December, when figures are asked for that are asked for again when November is gone.
const DECEMBER: UtcMillis = UtcMillis(START.0 + 20 * DAY_MS);
/// Days before `LATER` that keep the taps of December, and none of those of November.
const DECEMBERS_TAP_DAYS: u32 = 343;

#[tokio::test]
async fn nothing_half_known_is_told_of_an_incident_that_ends_while_its_entries_are_there() {
    let (folder, stories) = reported(5).await;
    let service = Service::start_with(folder, |settings| {
        settings.clock = Arc::new(|| UtcMillis(START.0 + 10 * DAY_MS));
    })
    .await;
    let ends = service.ingest().months();
    let november = ends.ends().first().expect("it is over").through;
    let channel = service.connect().await;
    let mut client = ReportingServiceClient::new(channel);
    let withdrawn = &stories[0];
    let get = |story: &pb::Incident| pb::GetIncidentRequest {
        incident_id: story.incident_id.clone(),
        incident_secret: SECRET.to_vec(),
        everything: false,
    };
    let kept = client.get_incident(get(withdrawn)).await.expect("kept");
    let kept = kept.into_inner().recorded.expect("always there");
    assert!(kept.withdrawn);
    let noted = service.ingest().note_ended(november, None).await;
    noted.expect("noted");
    let refused = client.get_incident(get(withdrawn)).await;
    assert_eq!(refused.expect_err("it has ended").code(), Code::NotFound);
    let erased = client
        .erase_incident(pb::EraseIncidentRequest {
            incident_id: stories[4].incident_id.clone(),
            incident_secret: SECRET.to_vec(),
        })
        .await;
    assert_eq!(erased.expect_err("it has ended").code(), Code::NotFound);
    service.stop().await;
}

/// Midnight, so many days before the day of `DECEMBER`.
fn midnight(days: i64) -> UtcMillis {
    UtcMillis(DECEMBER.0 - 15 * HOUR_MS - days * DAY_MS)
}

fn of_days(first: i64, end: i64) -> Option<pb::Window> {
    Some(pb::Window {
        start: at(midnight(first)),
        end: at(midnight(end)),
    })
}

/// Tells taps of a line, of days before the day of `DECEMBER`.
async fn tell_line(channel: &Channel, line: &str, days: std::ops::Range<i64>, taps: u64) {
    tell_taps_of(channel, line, days.map(midnight), taps).await;
}

/// A report of line 7, of eight days before the day of `DECEMBER` on.
fn decembers(number: u8) -> pb::Incident {
    let time = midnight(8 - i64::from(number) % 8).0 + 9 * HOUR_MS;
    pb::Incident {
        incident_id: id_made_at(UtcMillis(time), [number; 10]),
        occurred_at: at(UtcMillis(time)),
        precision: pb::TimePrecision::Hour.into(),
        line: "7".into(),
        ..founding_story()
    }
}

/// Figures with rates, a ranking and a comparison of days of December. Waits for the store.
async fn decembers_figures(
    channel: &Channel,
    as_of_position: Option<u64>,
) -> Result<
    (
        pb::QueryFiguresResponse,
        pb::RankScopesResponse,
        pb::ComparePeriodsResponse,
    ),
    tonic::Status,
> {
    let mut client = StatisticsServiceClient::new(channel.clone());
    let asked = pb::QueryFiguresRequest {
        question: Some(pb::Question {
            by: vec![pb::Dimension::Line.into()],
            window: of_days(8, 0),
            ..pb::Question::default()
        }),
        rates: Some(pb::RatesRequest::default()),
        as_of_position,
        ..pb::QueryFiguresRequest::default()
    };
    let figures = once_open(async || client.query_figures(asked.clone()).await).await?;
    let rank = pb::RankScopesRequest {
        by: pb::Dimension::Line.into(),
        window: of_days(8, 0),
        as_of_position,
        ..pb::RankScopesRequest::default()
    };
    let compare = pb::ComparePeriodsRequest {
        window: of_days(4, 0),
        with_window: of_days(8, 4),
        as_of_position,
        ..pb::ComparePeriodsRequest::default()
    };
    let ranking = client.rank_scopes(rank).await?.into_inner();
    let comparison = client.compare_periods(compare).await?.into_inner();
    let figures = pb::QueryFiguresResponse {
        effort: None,
        ..figures
    };
    Ok((figures, ranking, comparison))
}

#[tokio::test]
async fn figures_as_of_a_position_stay_when_what_came_before_it_is_gone() {
    let service = Service::start().await;
    let channel = service.connect().await;
    report_all(&channel, (0..5).map(|_| founding_story())).await;
    tell_days(&channel, START, 3..5).await;
    // What first tells of line 2 goes, and lines of later feeds keep their numbers all the same.
    tell_line(&channel, "2", 22..24, 1_000).await;
    let december = |settings: &mut Settings| settings.clock = Arc::new(|| DECEMBER);
    let service = Service::start_with(service.stop().await, december).await;
    let channel = service.connect().await;
    report_all(&channel, (0..20).map(decembers)).await;
    tell_line(&channel, "7", 1..9, 5_000).await;
    tell_line(&channel, "2", 1..9, 3_000).await;
    let before = decembers_figures(&channel, None).await.expect("answered");
    let rate = before.0.total_rate.as_ref().expect("asked for");
    assert_eq!((rate.matched, rate.taps), (20, 8 * 8_000));
    // Late, withdrawn, and told again: but not all of the days, so that some are in the store.
    report_all(&channel, (20..25).map(decembers)).await;
    let mut client = ReportingServiceClient::new(channel.clone());
    let withdrawn = client.withdraw_incident(pb::WithdrawIncidentRequest {
        incident_id: decembers(3).incident_id,
        incident_secret: SECRET.to_vec(),
    });
    withdrawn.await.expect("withdrawn");
    tell_line(&channel, "7", 5..7, 9_000).await;

    let kept = |settings: &mut Settings| {
        settings.clock = Arc::new(|| LATER);
        settings.tap_days = DECEMBERS_TAP_DAYS;
    };
    let service = Service::start_with(service.stop().await, kept).await;
    until_taps_removed(&service).await;
    let ends = |settings: &mut Settings| {
        later(settings);
        settings.tap_days = DECEMBERS_TAP_DAYS;
    };
    let service = Service::start_with(service.stop().await, ends).await;
    until_ended(&service).await;
    let check = async |service: &Service| {
        let channel = service.connect().await;
        let now = decembers_figures(&channel, None).await.expect("answered");
        assert_ne!(now.0.figures, before.0.figures);
        let place = Some(before.0.position);
        let then = decembers_figures(&channel, place).await.expect("answered");
        assert_eq!(then, before);
        let refused = decembers_figures(&channel, Some(1)).await;
        let refused = refused.expect_err("it is gone");
        assert_eq!(refused.code(), Code::OutOfRange);
        let first = service.ledger().read().first_kept();
        let expected = format!("as_of_position must be {first} to ");
        assert!(refused.message().starts_with(&expected), "{refused}");
    };
    check(&service).await;
    let folder = service.stop().await;
    // The declaration is left of the first, nothing of the second.
    assert_eq!(tap_days(folder.path()), [0, 8, 8, 2]);
    let service = Service::start_with(folder, ends).await;
    check(&service).await;
    check_clean(service.stop().await.path());
}

/// A report of the day on which the service is then.
fn new_story() -> pb::Incident {
    pb::Incident {
        incident_id: id_made_at(LATER, [7; 10]),
        occurred_at: at(UtcMillis(LATER.0 - 60_000)),
        ..founding_story()
    }
}

async fn start_later(folder: &Path) -> Result<(), AppError> {
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = Settings::new(folder.to_owned(), listen, Arc::new(|| LATER));
    later(&mut settings);
    mistap::app::spawn(settings).await.map(drop)
}

/// All bytes of the journal's files, without the zeros at their ends.
fn written(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder.join("journal")).expect("a folder");
    let contents = files.map(|file| {
        let mut content = std::fs::read(file.expect("a file").path()).expect("readable");
        let end = content.iter().rposition(|byte| *byte != 0);
        content.truncate(end.map_or(0, |end| end + 1));
        content
    });
    contents.collect::<Vec<_>>().concat()
}

async fn serve_later(folder: &Path) -> ! {
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = Settings::new(folder.to_owned(), listen, Arc::new(|| LATER));
    later(&mut settings);
    let _handle = mistap::app::spawn(settings).await.expect("it starts");
    writeln!(std::io::stdout(), "{READY}").expect("told");
    // Its parent kills it, long before; if it cannot, nothing stays behind.
    tokio::time::sleep(PATIENCE).await;
    std::process::exit(1);
}

/// The files in which single incidents end, with their sizes.
fn files(folder: &Path) -> BTreeSet<(PathBuf, u64)> {
    let journal = std::fs::read_dir(folder.join("journal")).expect("a folder");
    let mut paths: Vec<_> = journal.map(|file| file.expect("a file").path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains("segment") || name.contains("base")
    });
    // One may be renamed meanwhile.
    let sized = |path: PathBuf| std::fs::metadata(&path).map(|meta| (path, meta.len()));
    paths.into_iter().map(sized).flat_map(Result::ok).collect()
}

/// Waits until a file comes, goes or grows, or for some seconds.
async fn until_something_changes(folder: &Path) {
    let before = files(folder);
    let mut looks = 0;
    while files(folder) == before && looks < LOOKS_MAX {
        looks += 1;
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

#[tokio::test]
async fn kill_while_single_incidents_end_loses_nothing() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        serve_later(Path::new(&folder)).await;
    }
    let mut random = StdRng::seed_from_u64(reports::seed());
    let (folder, _) = reported(600).await;
    let service = Service::start_in(folder).await;
    let before = tallied(&service).await;
    let whole = service.stop().await;
    let at_first = entries(whole.path());
    let mut folder = copy_of(whole.path());
    let (mut states, mut kills, mut halves) = (BTreeSet::new(), 0, 0);
    loop {
        assert!(kills < KILLS_MAX, "no kill fell between: {states:?}");
        let after_ms_max = KILL_AFTER_MS_MAX[kills % KILL_AFTER_MS_MAX.len()];
        kills += 1;
        let (mut child, _output) = again(TEST, (FOLDER, folder.path()), READY);
        until_something_changes(folder.path()).await;
        // Not to wait for anything, but to kill at no particular moment.
        let after_us = random.random_range(0..1_000 * after_ms_max);
        tokio::time::sleep(Duration::from_micros(after_us)).await;
        child.kill().expect("it runs");
        child.wait().expect("it ended");
        let has_base = folder.path().join("journal/base").exists();
        let left = entries(folder.path());
        states.insert((has_base, left));
        check_whole(folder.path());
        let is_done = RemovalProgress::read(folder.path()).incidents != Position(0);
        halves += usize::from(has_base && !is_done);
        if is_done && 0 < halves {
            break;
        }
        if is_done {
            folder = copy_of(whole.path());
        }
    }
    reports::tell(&format!(
        "whether there was a base, and how many entries were kept and gone, after {kills} kills, of \
         {at_first:?}, {halves} of them in between: {states:?}"
    ));
    // All is done once more, which changes nothing, so that what the last kill left goes, too.
    let done = folder.path().join("retention");
    if done.exists() {
        std::fs::remove_file(done).expect("removed");
    }
    // Set aside by a `rebuild`, it has minutes of taps.
    std::fs::write(folder.path().join("checkpoint.aside"), "of before").expect("written");
    let service = Service::start_with(folder, later).await;
    until_ended(&service).await;
    assert_eq!(tallied(&service).await, before);
    let folder = service.stop().await;
    assert_eq!(entries(folder.path()), (5, 601 + 1));
    assert_eq!(tap_days(folder.path()), [0, 1]);
    let mut names = std::fs::read_dir(folder.path()).expect("a folder");
    let is_aside = |name: &std::ffi::OsStr| name.to_string_lossy().contains("aside");
    assert!(!names.any(|name| is_aside(&name.expect("a file").file_name())));
    check_clean(folder.path());
}
