//! Tap counts are durable before they are answered, counted once, and replaced when told
//! again; what is lost of them beside the journal is made again.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mistap::api::pb::v1 as pb;
use mistap::app::Settings;
use mistap::domain::time::{HOUR_MS, MINUTE_MS};
use mistap::domain::{LocalDay, UtcMillis};
use mistap::ingest::ClockCheck;
use mistap::ingest::repair;
use pb::operations_service_client::OperationsServiceClient;
use prost_types::Timestamp;
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use crate::child::{until, until_so};
use crate::reports::feed_of_stops;
use crate::support::{START, Service};

/// Hours before `START` that are told of each stop.
const HOURS: i64 = 60;
const STOPS: usize = 400;

/// Taps by stop and hour before `START`.
pub type Told = BTreeMap<(String, i64), u64>;

fn count(stop: &str, hours_ago: i64, taps: u64) -> pb::TapCount {
    let start = UtcMillis(START.0 - hours_ago * HOUR_MS);
    pb::TapCount {
        stop_id: stop.into(),
        start: Some(Timestamp {
            seconds: start.0 / 1_000,
            nanos: 0,
        }),
        taps,
        ..pb::TapCount::default()
    }
}

fn counts(told: &Told) -> Vec<pb::TapCount> {
    let one = |((stop, hours_ago), taps): (&(String, i64), &u64)| count(stop, *hours_ago, *taps);
    told.iter().map(one).collect()
}

/// Taps of many stops, each time others.
fn made(round: u64) -> Told {
    let mut told = Told::new();
    for stop in 0..STOPS {
        for hours_ago in 1..=HOURS {
            let seed = stop as u64 * 1_000 + hours_ago.unsigned_abs() + round * 77_777;
            told.insert((format!("stop-{stop}"), hours_ago), seed * 7_919 % 100_000);
        }
    }
    told
}

/// Tells counts, all of which are recorded.
pub async fn stream(channel: &Channel, told: &Told) {
    let counts = counts(told);
    let requests: Vec<_> = (0..)
        .zip(counts.chunks(1_000))
        .map(|(sequence, counts)| pb::StreamTapCountsRequest {
            feed: (sequence == 0).then(feed_of_stops),
            counts: counts.to_vec(),
            sequence,
        })
        .collect();
    let mut client = OperationsServiceClient::new(channel.clone());
    let results = client.stream_tap_counts(futures_util::stream::iter(requests));
    let mut results = results.await.expect("the stream opens").into_inner();
    let mut recorded = 0;
    let mut sequence = 0;
    while let Some(answer) = results.message().await.expect("the stream goes on") {
        assert_eq!(
            answer.sequence, sequence,
            "results come in the order of requests"
        );
        sequence += 1;
        recorded += answer.results.iter().filter(|one| is_recorded(one)).count();
    }
    assert_eq!(recorded, told.len());
}

fn is_recorded(result: &pb::TapCountResult) -> bool {
    matches!(
        result.outcome,
        Some(pb::tap_count_result::Outcome::Recorded(_))
    )
}

/// What the service has, once its store is open.
pub async fn kept(service: &Service) -> Told {
    let ledger = service.ledger();
    let view = until("the store is open", async || ledger.tap_view(|_| ()).ok());
    let (view, ()) = view.await;
    let mut told = Told::new();
    let reader = view.reader();
    for (number, book) in (0..).zip(view.book.feeds()) {
        let feed = book.feed();
        for (day, told_on) in book.days() {
            let start = i64::from(feed.hours(*day).0) * HOUR_MS;
            let each = |scope: u32, slot: u8, taps: u32| {
                let (_, stop) = book.scopes()[scope as usize];
                let stop = view.dictionary.stop(stop).expect("a stop").to_string();
                let hours_ago = (START.0 - start) / HOUR_MS - i64::from(slot);
                told.insert((stop, hours_ago), taps.into());
            };
            reader
                .each_count(number, feed.interval, *day, &told_on.chunks, each)
                .expect("whole");
        }
    }
    told
}

/// A folder at rest, with what was told last.
async fn recorded() -> (TempDir, Told) {
    let service = Service::start().await;
    let channel = service.connect().await;
    let mut told = made(1);
    stream(&channel, &told).await;
    // Late, and in another order: a third of them once more.
    let again: Told = made(2)
        .into_iter()
        .filter(|((_, hour), _)| hour % 3 == 0)
        .collect();
    stream(&channel, &again).await;
    told.extend(again);
    assert!(kept(&service).await == told);
    (service.stop().await, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_survive_restart_rebuild_and_damage_of_everything_but_the_journal() {
    let (folder, told) = recorded().await;
    let service = Service::start_in(folder).await;
    assert!(kept(&service).await == told, "after a restart");
    let folder = service.stop().await;

    let report = repair::verify(folder.path(), &mut |_, _| ()).expect("readable");
    let fold = report.fold.as_ref().expect("a whole journal");
    assert!(report.is_clean(), "{fold:?}");
    assert!(matches!(fold.store, repair::Finding::Equal), "{fold:?}");
    assert!(2 < fold.tap_blocks);
    assert_eq!(fold.tap_blocks_compared, fold.tap_blocks);

    let rebuilt = repair::rebuild(folder.path(), ClockCheck::Always.at(START), &mut |_, _| ())
        .expect("possible");
    assert_eq!(rebuilt.digest, fold.digest);
    let service = Service::start_in(folder).await;
    assert!(kept(&service).await == told, "after a rebuild");
    let folder = service.stop().await;

    let store = folder.path().join("store/db");
    let mut bytes = fs::read(&store).expect("at rest");
    for part in 1..16 {
        let place = bytes.len() * part / 16;
        for byte in &mut bytes[place..place + 64] {
            *byte ^= 0x55;
        }
    }
    fs::write(&store, bytes).expect("room");
    let service = Service::start_in(folder).await;
    assert!(kept(&service).await == told, "after damage");
    let folder = service.stop().await;

    fs::remove_dir_all(folder.path().join("store")).expect("at rest");
    let service = Service::start_in(folder).await;
    assert!(kept(&service).await == told, "after a loss of the store");
    let folder = service.stop().await;

    fs::remove_file(folder.path().join("checkpoint")).expect("at rest");
    let service = Service::start_in(folder).await;
    assert!(
        kept(&service).await == told,
        "after a loss of the checkpoint"
    );
    service.end().await.expect("stops well");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_tells_a_count_that_the_journal_does_not_give() {
    let (folder, _) = recorded().await;
    let (path, epoch) = (folder.path().join("store"), epoch(&folder).await);
    let store = mistap::store::Store::open(&path, epoch, 0..0).expect("at rest");
    let change = mistap::store::TapChange::Counts {
        position: mistap::domain::Position(u64::MAX),
        stamp: START,
        feed: 0,
        interval: mistap::domain::taps::TapInterval::Hour,
        counts: vec![mistap::store::taps::PlacedTaps {
            day: LocalDay(START.hour().expect("supported").local_day().0),
            scope: 0,
            slot: 0,
            taps: mistap::domain::taps::Taps::new(1).expect("few"),
        }],
    };
    store.put_taps(&[Arc::new(change)]).expect("room");
    store.sync().expect("room");
    drop(store);
    let report = repair::verify(folder.path(), &mut |_, _| ()).expect("readable");
    let fold = report.fold.as_ref().expect("a whole journal");
    assert!(matches!(fold.store, repair::Finding::Differs), "{fold:?}");
    // The next start knows that it cannot be, and makes the store again.
    let service = Service::start_in(folder).await;
    kept(&service).await;
    let folder = service.stop().await;
    let report = repair::verify(folder.path(), &mut |_, _| ()).expect("readable");
    assert!(report.is_clean(), "{report:?}");
}

async fn epoch(folder: &TempDir) -> mistap::domain::entry::Epoch {
    let copy = TempDir::new().expect("a temporary folder");
    crate::recovery::copy_all(folder.path(), copy.path());
    let service = Service::start_in(copy).await;
    let epoch = service.ledger().read().epoch();
    service.end().await.expect("stops well");
    epoch
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_by_field_and_changes_nothing() {
    let service = Service::start().await;
    let mut client = OperationsServiceClient::new(service.connect().await);
    let request = pb::RecordTapCountsRequest {
        feed: Some(feed_of_stops()),
        counts: vec![
            count("a", 1, 5),
            count("a b", 1, 5),
            count("a", 0, 5),
            count("a", 24 * 549, 5),
            pb::TapCount::default(),
            pb::TapCount {
                line_id: "GVB:10".into(),
                ..count("a", 2, u64::MAX)
            },
        ],
    };
    let answer = client
        .record_tap_counts(request)
        .await
        .expect("some are fine");
    let results = answer.into_inner().results;
    let fields: Vec<Vec<String>> = results
        .into_iter()
        .map(|result| match result.outcome {
            Some(pb::tap_count_result::Outcome::Refusal(refusal)) => {
                assert_eq!(refusal.code, Code::InvalidArgument as i32);
                let violations = refusal.violations.into_iter();
                violations.map(|violation| violation.field).collect()
            }
            _ => Vec::new(),
        })
        .collect();
    let expected: [&[&str]; 6] = [
        &[],
        &["counts[1].stop_id"],
        &["counts[2].start"],
        &["counts[3].start"],
        &["counts[4].stop_id", "counts[4].start"],
        &["counts[5].line_id", "counts[5].taps"],
    ];
    assert_eq!(fields, expected);
    assert_eq!(kept(&service).await, Told::from([(("a".into(), 1), 5)]));

    let mut refused = async |feed, counts| {
        let request = pb::RecordTapCountsRequest { feed, counts };
        let status = client
            .record_tap_counts(request)
            .await
            .expect_err("refused");
        let details = status.get_details_bad_request().expect("told");
        let violations = details.field_violations.into_iter();
        let fields: Vec<_> = violations.map(|violation| violation.field).collect();
        (status.code(), fields)
    };
    let invalid = Code::InvalidArgument;
    assert_eq!(
        refused(None, vec![count("a", 1, 6)]).await,
        (invalid, vec!["feed".into()])
    );
    assert_eq!(
        refused(Some(feed_of_stops()), vec![]).await,
        (invalid, vec!["counts".into()])
    );
    let too_many = vec![count("a", 1, 6); 1_001];
    assert_eq!(
        refused(Some(feed_of_stops()), too_many).await,
        (invalid, vec!["counts".into()])
    );
    let other = pb::TapFeed {
        interval: pb::TapInterval::Quarter.into(),
        day_begins: 0,
        ..feed_of_stops()
    };
    let differs = vec!["feed.interval".into(), "feed.day_begins".into()];
    let taken = (Code::AlreadyExists, differs);
    assert_eq!(refused(Some(other), vec![count("a", 1, 6)]).await, taken);
    assert_eq!(kept(&service).await, Told::from([(("a".into(), 1), 5)]));
    service.end().await.expect("stops well");
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_let_go_when_they_were_kept_long_enough() {
    let service = Service::start().await;
    let channel = service.connect().await;
    let told: Told = [1, 24 * 9, 24 * 11]
        .map(|ago| (("a".to_owned(), ago), 7))
        .into();
    stream(&channel, &told).await;
    let folder = service.stop().await;
    // Twenty-five days later, with a shorter time.
    let clock = Arc::new(AtomicI64::new(START.0 + 25 * 24 * HOUR_MS));
    let shown = Arc::clone(&clock);
    let change = |settings: &mut Settings| {
        settings.clock = Arc::new(move || UtcMillis(shown.load(Ordering::Relaxed)));
        settings.tap_days = 35;
    };
    let service = Service::start_with(folder, change).await;
    // They go with the next tick.
    clock.fetch_add(MINUTE_MS, Ordering::Relaxed);
    let expected: Told = told
        .into_iter()
        .filter(|((_, ago), _)| *ago < 24 * 10)
        .collect();
    until_so("older counts are removed", async || {
        kept(&service).await == expected
    })
    .await;
    let folder = service.stop().await;
    let report = repair::verify(folder.path(), &mut |_, _| ()).expect("readable");
    assert!(report.is_clean(), "{report:?}");
}
