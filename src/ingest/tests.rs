//! The whole way from an incident to a folder at rest, and back.

mod erased;
mod low_disk;
mod store_opening;
mod twice;
mod way_back;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::committer::Committer;
use super::key_maker::KeyMaker;
use super::repair::{self, Finding};
use super::*;
use crate::domain::entry::Removal;
use crate::domain::incident::{CauseClaim, Occurred};
use crate::domain::limits::{
    BATCH_ENTRIES_MAX, BLOCK_ROWS, TAP_AHEAD_MS_MAX, TAP_FEEDS_PER_OPERATOR_MAX,
};
use crate::domain::taps::{TapCount, TapFeed, TapScope, TapSlot, Taps};
use crate::domain::taxonomy::{
    Cause, ClaimSource, ExtraCost, Mode, ReporterKind, SetOf, Signal, StaffAct,
};
use crate::domain::testing::{feed_of_gvb, id_made_at};
use crate::domain::text::{CardNumber, InstallationId};
use crate::domain::time::MINUTE_MS;
use crate::domain::{IncidentSecret, LocalDay, Row, RowTime};
use crate::journal::{Remover, SEGMENT_BYTES_MIN};
use crate::ledger::State;
use crate::live::Hub;
use crate::store::{Block, Columns, Store};

/// 2026-11-23T12:00Z.
const NOON: i64 = 1_795_435_200_000;
/// Of commands.
const CLOCK: CommandClock = ClockCheck::Always.at(UtcMillis(NOON));
const DEADLINE: Duration = Duration::from_secs(60);
const CARD: &str = "3528 0123 4567 8901";

/// A data folder and its clock.
struct Place {
    folder: tempfile::TempDir,
    clock: Arc<AtomicI64>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            clock: Arc::new(AtomicI64::new(NOON)),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn start(&self) -> Running {
        self.start_with(Self::options())
    }

    /// The clock of a test jumps as it likes.
    fn options() -> Options {
        Options {
            clock_check: ClockCheck::Never,
            ..Options::default()
        }
    }

    fn start_with(&self, options: Options) -> Running {
        self.try_start_with(options).expect("started")
    }

    fn try_start(&self) -> Result<Running, StartError> {
        self.try_start_with(Self::options())
    }

    fn try_start_with(&self, options: Options) -> Result<Running, StartError> {
        let clock = Arc::clone(&self.clock);
        let now = move || {
            let now = clock.load(Ordering::Relaxed);
            assert!(now < i64::MAX, "for the test of what a panic does");
            UtcMillis(now)
        };
        let network = Arc::new(Network::built_in());
        let options = Options {
            segment_bytes: SEGMENT_BYTES_MIN.max(options.segment_bytes / 32),
            ..options
        };
        start_with(self.path(), network, now, options)
    }

    fn pass(&self, minutes: i64) {
        self.clock.fetch_add(minutes * MINUTE_MS, Ordering::Relaxed);
    }

    /// What a crash would leave: a copy of the folder while it is in use.
    fn crashed(&self) -> Self {
        let copy = Self::new();
        copy.clock
            .store(self.clock.load(Ordering::Relaxed), Ordering::Relaxed);
        copy_folder(self.path(), copy.path());
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
        }
    }
}

fn stop(running: Running) {
    running.stop(DEADLINE).expect("stopped");
}

fn id(number: u64) -> IncidentId {
    id_made_at(UtcMillis(NOON), number)
}

fn secret(byte: u8) -> IncidentSecret {
    IncidentSecret::parse(&[byte; 32])
        .expect("32 bytes")
        .expect("not empty")
}

fn installation(text: &str) -> Option<InstallationId> {
    InstallationId::parse(text).expect("an identifier")
}

/// The founding story, more or less.
fn incident(number: u64) -> Incident {
    let minutes_ago = i64::try_from(number % 3_000).expect("small");
    Incident {
        id: id(number),
        secret: Some(secret(1)),
        occurred: match number % 7 {
            0 => Occurred::Day(LocalDay::parse("2026-11-20").expect("a date")),
            _ => Occurred::Exact(UtcMillis(NOON - minutes_ago * MINUTE_MS)),
        },
        clock_correction_ms: 0,
        reporter: ReporterKind::Traveller,
        mode: Some(Mode::Tram),
        tap_kind: None,
        operator_words: "GVB".into(),
        line_words: if number % 3 == 1 { "10" } else { "nergens" }.into(),
        direction_words: "".into(),
        stop_words: "".into(),
        // Else many of them would tell the same tap again.
        vehicle: number.to_string().into(),
        reader_kind: None,
        signal: Some(Signal::RedBeep),
        found_later: false,
        display_text: "".into(),
        attempts: 2,
        others_got_through: None,
        worked_later: None,
        cause_claims: Default::default(),
        card_kind: None,
        card_number: CardNumber::parse(CARD).expect("valid"),
        installation_id: installation("an-installation-1"),
        staff_present: None,
        staff_acts: SetOf::from_iter([StaffAct::LetRideFree]),
        staff_minutes: None,
        outcomes: SetOf::EMPTY,
        extra_cost: None,
        note: "ach, meisje".into(),
        note_to_operator: false,
        is_operator_vouched_for: false,
        origin: None,
    }
}

fn incidents(numbers: std::ops::Range<u64>) -> Vec<Incident> {
    numbers.map(incident).collect()
}

async fn submit_one(running: &Running, incident: Incident) -> Result<Accepted, SubmitError> {
    let mut results = running.ingest.submit(vec![incident]).await;
    assert_eq!(results.len(), 1);
    results.remove(0)
}

async fn submit_all(running: &Running, numbers: std::ops::Range<u64>) {
    for result in running.ingest.submit(incidents(numbers)).await {
        assert!(!result.expect("accepted").repeated);
    }
}

/// How many incidents count.
fn counted(running: &Running) -> usize {
    let state = running.ledger.read();
    state.blocks() as usize * BLOCK_ROWS + state.open_rows().len() - state.withdrawn().len()
}

fn digest(running: &Running) -> [u8; 32] {
    running.ledger.read().digest()
}

/// All rows, from wherever a scan finds them.
fn scanned(running: &Running) -> Vec<Row> {
    running.wait_for_store();
    let view = running.ledger.scan_view().expect("the store is open");
    let collect = |rows: &mut Vec<Row>, _: u32, block: &Block| rows.extend(block.rows());
    let stored = view
        .store
        .scan(view.stored, Columns::all(), |_| true, Vec::new, collect);
    let mut rows = stored.expect("scanned").concat();
    for (number, bytes) in view.pending {
        rows.extend(Block::unpack(number, &bytes).expect("a block").rows());
    }
    rows.extend(view.open);
    rows.sort_by_key(|row| row.position);
    rows
}

#[tokio::test]
async fn incident_with_a_seen_id_is_counted_once() {
    let place = Place::new();
    let running = place.start();
    let first = submit_one(&running, incident(1)).await.expect("accepted");
    assert!(!first.repeated);
    place.pass(5);
    let again = submit_one(&running, incident(1)).await.expect("accepted");
    assert!(again.repeated);
    assert_eq!(
        (again.position, again.received),
        (first.position, first.received)
    );
    assert_eq!((again.line, again.stop), (first.line, first.stop));
    assert_eq!(counted(&running), 1);
    stop(running);

    let running = place.start();
    let again = submit_one(&running, incident(1)).await.expect("accepted");
    assert_eq!((again.repeated, again.position), (true, first.position));
    assert_eq!(counted(&running), 1);
}

#[tokio::test]
async fn clock_of_the_device_and_card_number_do_not_make_another_report() {
    let place = Place::new();
    let running = place.start();
    submit_one(&running, incident(1)).await.expect("accepted");
    let mut again = incident(1);
    let Occurred::Exact(occurred) = again.occurred else {
        panic!("known exactly");
    };
    again.occurred = Occurred::Exact(UtcMillis(occurred.0 + 90_000));
    again.clock_correction_ms = 90_000;
    again.card_number = None;
    assert!(
        submit_one(&running, again)
            .await
            .expect("accepted")
            .repeated
    );
}

#[tokio::test]
async fn order_of_claimed_causes_does_not_make_another_report() {
    let place = Place::new();
    let running = place.start();
    let claim = |cause| CauseClaim {
        cause,
        source: ClaimSource::Traveller,
    };
    let claims = [claim(Cause::ReaderFault), claim(Cause::CardExpired)];
    let with = |claims: Vec<CauseClaim>| Incident {
        cause_claims: claims.into(),
        ..incident(1)
    };
    let first = submit_one(&running, with(claims.to_vec())).await;
    assert!(!first.expect("accepted").repeated);
    let turned = claims.iter().rev().copied().collect();
    let again = submit_one(&running, with(turned)).await;
    assert!(again.expect("accepted").repeated);
    let fewer = submit_one(&running, with(vec![claims[0]])).await;
    assert_eq!(fewer.expect_err("refused"), SubmitError::Conflict);
}

#[tokio::test]
async fn seen_id_with_other_content_or_secret_is_refused() {
    let place = Place::new();
    let running = place.start();
    submit_one(&running, incident(1)).await.expect("accepted");
    let changes: [fn(&mut Incident); 8] = [
        |incident| incident.secret = None,
        |incident| incident.secret = Some(secret(2)),
        |incident| incident.note = "meisje".into(),
        |incident| incident.attempts = 3,
        |incident| incident.staff_acts = SetOf::EMPTY,
        |incident| incident.clock_correction_ms = 1,
        |incident| incident.installation_id = None,
        |incident| std::mem::swap(&mut incident.vehicle, &mut incident.operator_words),
    ];
    for change in changes {
        let mut other = incident(1);
        change(&mut other);
        let error = submit_one(&running, other).await.expect_err("refused");
        assert_eq!(error, SubmitError::Conflict);
    }
    assert_eq!(counted(&running), 1);
}

#[tokio::test]
async fn tap_further_ahead_than_an_entry_can_tell_is_to_be_sent_again() {
    let place = Place::new();
    let running = place.start();
    let told = |number: u64, ahead_ms: i64| Incident {
        occurred: Occurred::Exact(UtcMillis(NOON + ahead_ms)),
        ..incident(number)
    };
    let sent = running.ingest.submit(vec![
        told(1, TAP_AHEAD_MS_MAX + 1),
        told(2, TAP_AHEAD_MS_MAX),
    ]);
    let mut results = sent.await;
    results.pop().expect("two").expect("accepted");
    assert_eq!(
        results.pop().expect("two").err(),
        Some(SubmitError::ClockUnsure)
    );
    // Nothing of it is kept: once the time is there, it is taken in.
    place.pass(1);
    let again = submit_one(&running, told(1, TAP_AHEAD_MS_MAX + 1)).await;
    assert!(!again.expect("accepted").repeated);
    stop(running);
}

#[tokio::test]
async fn operator_takes_no_more_than_its_part_of_all_feeds() {
    let place = Place::new();
    let running = place.start();
    running.wait_for_store();
    let count = TapCount {
        scope: TapScope::Line("GVB:10".parse().expect("a line")),
        slot: TapSlot {
            day: LocalDay::parse("2026-11-20").expect("a date"),
            slot: 0,
        },
        taps: Taps::new(10).expect("few"),
    };
    let tell = async |feed: TapFeed| running.ingest.record_taps(&feed, vec![count.clone()]).await;
    for number in 0..TAP_FEEDS_PER_OPERATOR_MAX {
        tell(feed_of_gvb(&format!("gvb.{number}")))
            .await
            .expect("recorded");
    }
    let refused = tell(feed_of_gvb("gvb.more")).await;
    assert_eq!(refused.err(), Some(TapsError::TooManyFeedsOfOperator));
    tell(feed_of_gvb("gvb.0")).await.expect("known already");
    let other = TapFeed {
        operator: "RET".parse().expect("a code"),
        ..feed_of_gvb("ret.0")
    };
    tell(other).await.expect("recorded");
    stop(running);
}

#[tokio::test]
async fn report_without_a_secret_is_known_again_as_long_as_its_words_are_kept() {
    let place = Place::new();
    let running = place.start();
    let told = |number| Incident {
        secret: None,
        ..incident(number)
    };
    submit_one(&running, told(1)).await.expect("accepted");
    submit_one(&running, incident(2)).await.expect("accepted");
    let again = async |incident| {
        submit_one(&running, incident)
            .await
            .map(|told| told.repeated)
    };
    assert_eq!(again(told(1)).await, Ok(true));
    let other = Incident {
        note: "iets anders".into(),
        ..told(1)
    };
    assert_eq!(again(other).await, Err(SubmitError::Conflict));
    let last = running.reader.last();
    let removed = Remover::new(&running.reader).remove(Position(1), last, Removal::Words);
    removed.expect("taken away");
    // From here on nothing is left by which anybody could find out what it said.
    assert_eq!(again(told(1)).await, Err(SubmitError::Conflict));
    assert_eq!(again(incident(2)).await, Ok(true), "nobody has the secret");
    assert_eq!(counted(&running), 2);
    stop(running);
}

#[tokio::test]
async fn repeats_and_conflicts_within_one_call_are_told_apart() {
    let place = Place::new();
    let running = place.start();
    let mut other = incident(1);
    other.attempts = 9;
    let call = vec![incident(1), incident(2), incident(1), other];
    let results = running.ingest.submit(call).await;
    let repeated: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().map(|accepted| accepted.repeated))
        .collect();
    assert_eq!(
        repeated,
        [Ok(false), Ok(false), Ok(true), Err(&SubmitError::Conflict)]
    );
    assert_eq!(counted(&running), 2);
}

#[tokio::test]
async fn full_queue_refuses_at_once_and_loses_nothing() {
    let place = Place::new();
    let running = place.start_with(Options {
        queue_entries_max: 8,
        ..Place::options()
    });
    let refused = running.ingest.submit(incidents(0..9)).await;
    assert!(
        refused
            .iter()
            .all(|result| matches!(result, Err(SubmitError::Busy)))
    );
    assert_eq!(counted(&running), 0);
    let calls = (0..40_u64).map(|call| {
        let ingest = running.ingest.clone();
        tokio::spawn(async move {
            loop {
                let results = ingest.submit(incidents(call * 5..call * 5 + 5)).await;
                if results.iter().all(Result::is_ok) {
                    return;
                }
                assert!(
                    results
                        .iter()
                        .all(|result| matches!(result, Err(SubmitError::Busy)))
                );
                tokio::task::yield_now().await;
            }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("accepted in the end");
    }
    assert_eq!(counted(&running), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_commits_what_waits_and_refuses_the_rest() {
    let place = Place::new();
    let running = place.start();
    let calls: Vec<_> = (0..100_u64)
        .map(|call| {
            let ingest = running.ingest.clone();
            tokio::spawn(async move { ingest.submit(incidents(call * 20..call * 20 + 20)).await })
        })
        .collect();
    tokio::task::spawn_blocking(|| stop(running))
        .await
        .expect("stopped");
    let mut accepted = 0;
    for call in calls {
        for result in call.await.expect("answered") {
            match result {
                Ok(_) => accepted += 1,
                Err(error) => assert_eq!(error, SubmitError::Stopping),
            }
        }
    }
    assert_eq!(counted(&place.start()), accepted);
}

#[tokio::test]
async fn restart_gives_the_same_state_with_and_without_a_checkpoint() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 0..1_500).await;
    place.pass(26 * 60);
    submit_all(&running, 1_500..1_600).await;
    let before = digest(&running);
    let crashed = place.crashed();
    stop(running);
    for (place, has_checkpoint) in [(place, true), (crashed, false)] {
        let epoch = journal_epoch(&place);
        let checkpoint = Ledger::read_checkpoint(place.path(), epoch).expect("read");
        assert_eq!(checkpoint.is_some(), has_checkpoint);
        let running = place.start();
        assert_eq!(digest(&running), before);
        assert_eq!(counted(&running), 1_600);
    }
}

fn journal_epoch(place: &Place) -> crate::domain::entry::Epoch {
    let (reader, _) =
        crate::journal::open_reader(&folder::journal(place.path())).expect("a journal");
    reader.epoch()
}

#[tokio::test]
async fn checkpoint_that_is_missing_damaged_or_of_another_journal_changes_nothing() {
    let other = Place::new();
    let running = other.start();
    submit_all(&running, 5_000..5_010).await;
    stop(running);

    let place = Place::new();
    let running = place.start();
    submit_all(&running, 0..700).await;
    let before = digest(&running);
    stop(running);
    let file = checkpoint_file(place.path());
    let spoil: [&dyn Fn(); 4] = [
        &|| fs::remove_file(&file).expect("removed"),
        &|| flip_middle(&file),
        &|| fs::write(&file, b"").expect("written"),
        &|| {
            fs::copy(checkpoint_file(other.path()), &file).expect("copied");
        },
    ];
    for spoil in spoil {
        spoil();
        let running = place.start();
        assert_eq!(digest(&running), before);
        assert_eq!(scanned(&running).len(), 700);
        stop(running);
    }
}

#[tokio::test]
async fn what_was_written_of_a_checkpoint_and_not_put_in_place_is_gone_after_a_start() {
    let place = Place::new();
    stop(place.start());
    let asides = [
        place.path().join("checkpoint.new"),
        folder::journal(place.path()).join("base.new"),
    ];
    for aside in &asides {
        fs::write(aside, b"begun").expect("written");
    }
    stop(place.start());
    assert!(asides.iter().all(|aside| !aside.exists()));
}

#[tokio::test]
async fn checkpoint_of_entries_that_came_back_after_all_is_gone_after_a_start() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 0..3).await;
    stop(running);
    let lost = folder::lost_checkpoint(place.path());
    fs::copy(checkpoint_file(place.path()), &lost).expect("copied");
    stop(place.start());
    assert!(!lost.exists());
}

#[tokio::test]
async fn checkpoint_of_the_end_leaves_none_that_counts_what_was_erased() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 1..2).await;
    stop(running);
    let aside = folder::checkpoint_set_aside(place.path());
    fs::copy(checkpoint_file(place.path()), &aside).expect("copied");
    stop(place.start());
    assert!(aside.exists(), "nothing was erased");
    let running = place.start();
    let erased = running.ingest.erase(id(1), &secret(1)).await;
    erased.expect("erased");
    stop(running);
    assert!(!aside.exists());
}

#[tokio::test]
async fn folder_whose_journal_is_gone_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 0..600).await;
    stop(running);
    fs::create_dir(place.path().join("network")).expect("made");
    let journal = folder::journal(place.path());
    for file in fs::read_dir(&journal).expect("a folder") {
        let path = file.expect("an entry").path();
        if path.extension().is_some_and(|suffix| suffix == "segment") {
            fs::remove_file(path).expect("removed");
        }
    }
    // Each trace is enough, whatever else is lost.
    for (trace, next) in [
        ("journal/LOCK", &journal),
        ("checkpoint", &checkpoint_file(place.path())),
        ("store", &folder::store(place.path())),
        ("keys", &place.path().join("keys")),
    ] {
        match place.try_start().err().expect("refused") {
            StartError::JournalMissing { path, trace: found } => {
                assert_eq!((&*path, found), (place.path(), trace));
            }
            error => panic!("{error}"),
        }
        assert!(matches!(
            repair::rebuild(place.path(), CLOCK, &mut |_, _| {}),
            Err(repair::RepairError::NoJournal)
        ));
        if next.is_dir() {
            fs::remove_dir_all(next).expect("removed");
        } else {
            fs::remove_file(next).expect("removed");
        }
    }
    assert_eq!(counted(&place.start()), 0, "a network alone is no record");
}

#[tokio::test]
async fn first_start_that_was_cut_short_can_be_made_again() {
    let left: [&[&str]; 4] = [
        &["journal/"],
        &["journal/", "journal/LOCK"],
        &["journal/", "journal/LOCK", "journal/spare.tmp"],
        &["network/"],
    ];
    for names in left {
        let place = Place::new();
        for name in names {
            match name.strip_suffix('/') {
                Some(name) => fs::create_dir(place.path().join(name)).expect("made"),
                None => fs::write(place.path().join(name), b"").expect("written"),
            }
        }
        let running = place.start();
        submit_all(&running, 0..1).await;
    }
}

#[tokio::test]
async fn record_that_never_got_its_keys_gets_them() {
    let place = Place::new();
    let settings = crate::journal::Settings {
        segment_bytes: SEGMENT_BYTES_MIN,
        sync: true,
    };
    let journal = folder::journal(place.path());
    drop(crate::journal::open(&journal, settings).expect("new"));
    submit_all(&place.start(), 0..1).await;
}

#[tokio::test]
async fn checkpoint_ahead_of_the_journal_proves_a_loss_that_only_a_person_accepts() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 0..10).await;
    let older = place.crashed();
    submit_all(&running, 10..20).await;
    stop(running);
    fs::copy(checkpoint_file(place.path()), checkpoint_file(older.path())).expect("copied");

    let segments = || {
        let mut files = Vec::new();
        visit_files(&folder::journal(older.path()), &mut |_, bytes| {
            files.push(bytes.to_vec());
        });
        files
    };
    let there = segments();
    for _ in 0..2 {
        match older.try_start().err().expect("refused") {
            StartError::Journal(JournalError::Lost { last, durable, .. }) => {
                assert_eq!((last, durable), (Position(12), Position(22)));
            }
            error => panic!("{error}"),
        }
    }
    assert!(segments() == there, "nothing is changed");
    let report = repair::verify(older.path(), &mut |_, _| {}).expect("verified");
    assert!(!report.is_clean() && report.is_journal_short());

    let rebuilt = repair::rebuild(older.path(), CLOCK, &mut |_, _| {}).expect("rebuilt");
    assert_eq!(rebuilt.lost, 10);
    assert_eq!(
        (rebuilt.position, rebuilt.restored),
        (Position(13), Some(Position(13)))
    );
    // Positions that were given out before are given out again, under another identity.
    let rebuilt = older.start();
    assert_eq!(rebuilt.ledger.read().restores().all().len(), 1);
    assert_eq!(counted(&rebuilt), 10);
    let again = repair::rebuild(place.path(), CLOCK, &mut |_, _| {}).expect("rebuilt");
    assert_eq!((again.lost, again.restored), (0, None));
}

#[tokio::test]
async fn checkpoint_never_holds_more_than_is_durable() {
    let place = Place::new();
    let running = place.start();
    running.wait_for_store();
    for number in 0..50 {
        submit_all(&running, number * 20..number * 20 + 20).await;
        let (ledger, path) = (Arc::clone(&running.ledger), place.path().to_owned());
        let writing = tokio::task::spawn_blocking(move || ledger.checkpoint(&path));
        submit_all(&running, 10_000 + number..10_001 + number).await;
        let durable = running.reader.last();
        let position = writing.await.expect("no panic").expect("written");
        assert!(position <= durable);
    }
}

fn checkpoint_file(folder: &Path) -> std::path::PathBuf {
    folder.join("checkpoint")
}

fn flip_middle(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("written");
}

/// Flips a bit in every page of sled's file.
fn flip_store(path: &Path) {
    let file = path.join("db");
    let mut bytes = fs::read(&file).expect("read");
    for byte in bytes.iter_mut().step_by(512).skip(1) {
        *byte ^= 1;
    }
    fs::write(file, bytes).expect("written");
}

#[tokio::test]
async fn store_that_is_deleted_emptied_cut_or_flipped_is_made_again() {
    let place = Place::new();
    let running = place.start();
    for thousand in 0..3 {
        submit_all(&running, thousand * 1_000..thousand * 1_000 + 1_000).await;
    }
    let before = scanned(&running);
    assert_eq!(before.len(), 3_000);
    stop(running);
    let store = folder::store(place.path());
    let spoil: [&dyn Fn(); 4] = [
        &|| fs::remove_dir_all(&store).expect("removed"),
        &|| {
            fs::remove_dir_all(&store).expect("removed");
            fs::create_dir(&store).expect("made");
        },
        &|| {
            let db = fs::OpenOptions::new().write(true).open(store.join("db"));
            db.expect("there").set_len(5_000).expect("cut");
        },
        &|| flip_store(&store),
    ];
    for spoil in spoil {
        spoil();
        let running = place.start();
        assert_eq!(scanned(&running), before);
        stop(running);
    }
}

#[tokio::test]
async fn withdrawn_incident_counts_no_more_also_after_a_restart() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 0..10).await;
    let wrong = running.ingest.withdraw(id(3), &secret(2)).await;
    assert!(matches!(wrong, Err(CaseError::Get(GetError::NotFound))));
    assert_eq!(counted(&running), 10);
    for _ in 0..2 {
        running
            .ingest
            .withdraw(id(3), &secret(1))
            .await
            .expect("withdrawn");
        assert_eq!(counted(&running), 9);
    }
    let kept = running.ingest.get(id(3), &secret(1)).await.expect("kept");
    assert!(kept.withdrawn);
    let again = submit_one(&running, incident(3)).await.expect("accepted");
    assert!(again.repeated);
    let before = digest(&running);
    stop(running);
    let running = place.start();
    assert_eq!((counted(&running), digest(&running)), (9, before));
}

#[tokio::test]
async fn incident_is_shown_whole_to_whoever_has_its_secret() {
    let place = Place::new();
    let running = place.start();
    let accepted = submit_one(&running, incident(1)).await.expect("accepted");
    let mut without = incident(2);
    without.secret = None;
    submit_one(&running, without).await.expect("accepted");

    let kept = running.ingest.get(id(1), &secret(1)).await.expect("kept");
    assert_eq!(
        (kept.position, kept.received),
        (accepted.position, accepted.received)
    );
    assert!(!kept.withdrawn && kept.facts.card_given);
    let line = kept.facts.line.expect("GVB had one line 10");
    assert_eq!(kept.facts.operator, Some(line.operator()));
    let hour = UtcMillis(NOON - MINUTE_MS).hour().expect("supported");
    assert_eq!(kept.facts.time, RowTime::Hour(hour));
    let personal = kept.personal.expect("not erased");
    assert_eq!(&*personal.note, "ach, meisje");
    assert_eq!(personal.occurred, UtcMillis(NOON - MINUTE_MS));
    assert!(personal.card.is_some() && personal.installation.is_some());

    for (number, byte) in [(1, 2), (2, 1), (3, 1)] {
        let result = running.ingest.get(id(number), &secret(byte)).await;
        assert!(matches!(result, Err(GetError::NotFound)), "{number}");
    }
}

#[tokio::test]
async fn more_readers_of_the_journal_than_there_may_be_are_refused_at_once() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 1..2).await;
    let reads = Arc::clone(&running.ingest.shared.reads);
    let all = u32::try_from(JOURNAL_READS_MAX).expect("small");
    let taken = reads.acquire_many(all).await.expect("open");
    let got = running.ingest.get(id(1), &secret(1)).await;
    assert!(matches!(got, Err(GetError::Busy)));
    let results = running.ingest.submit(incidents(1..3)).await;
    let errors: Vec<_> = results.into_iter().map(Result::err).collect();
    assert_eq!(errors, [Some(SubmitError::Busy), None]);
    drop(taken);
    assert!(running.ingest.get(id(1), &secret(1)).await.is_ok());
    let again = submit_one(&running, incident(1)).await.expect("accepted");
    assert!(again.repeated);
    assert_eq!(reads.available_permits(), JOURNAL_READS_MAX);
}

#[tokio::test]
async fn card_number_is_nowhere_in_the_folder() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 0..600).await;
    let while_running = place.crashed();
    stop(running);
    let digits: String = CARD.chars().filter(char::is_ascii_digit).collect();
    let number: u64 = digits.parse().expect("a number");
    let packed = u64::from_str_radix(&digits, 16)
        .expect("digits")
        .to_be_bytes();
    let traces = [
        CARD.as_bytes().to_vec(),
        digits.as_bytes().to_vec(),
        // Without the part that all cards share.
        digits.as_bytes()[4..].to_vec(),
        packed.to_vec(),
        number.to_le_bytes().to_vec(),
        number.to_be_bytes().to_vec(),
    ];
    for place in [place, while_running] {
        let mut files = 0;
        visit_files(place.path(), &mut |path, bytes| {
            files += 1;
            for trace in &traces {
                let is_there = bytes.windows(trace.len()).any(|window| window == trace);
                assert!(!is_there, "in {}", path.display());
            }
        });
        assert!(3 <= files);
    }
}

fn visit_files(folder: &Path, each: &mut impl FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            visit_files(&path, each);
        } else {
            match fs::read(&path) {
                Ok(bytes) => each(&path, &bytes),
                // A checkpoint is put in its place under another name.
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
            }
        }
    }
}

#[tokio::test]
async fn folder_is_its_owners_alone() {
    let place = Place::new();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("set");
    stop(place.start());
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(place.path()), 0o700);
    let keys = place.path().join("keys");
    assert_eq!(mode(&keys), 0o600);
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).expect("set");
    let started = start(place.path(), Arc::new(Network::built_in()), || {
        UtcMillis(NOON)
    });
    assert!(matches!(started, Err(StartError::Keys(_))));
}

#[tokio::test]
async fn copy_of_a_journal_is_its_owners_alone() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 0..10).await;
    stop(running);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let journal = folder::journal(place.path());
    assert_eq!(mode(&journal), 0o700);
    let in_journal = fs::read_dir(&journal).expect("a folder");
    let mut files: Vec<_> = in_journal
        .map(|file| file.expect("a file").path())
        .collect();
    assert!(2 <= files.len(), "{files:?}");
    files.push(checkpoint_file(place.path()));
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    // One that an earlier version left open.
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o755)).expect("set");
    stop(place.start());
    assert_eq!(mode(&journal), 0o700);
}

#[tokio::test]
async fn minute_that_passes_is_an_entry_and_the_network_one_only_when_it_changes() {
    let place = Place::new();
    let running = place.start();
    let first = submit_one(&running, incident(1))
        .await
        .expect("accepted")
        .position;
    assert_eq!(first, Position(3), "after the network and the keys");
    place.pass(3);
    submit_all(&running, 2..3).await;
    submit_all(&running, 3..4).await;
    assert_eq!(
        running.ledger.read().position(),
        Position(6),
        "with one tick"
    );
    stop(running);
    let running = place.start();
    assert_eq!(running.ledger.read().position(), Position(6));
    let network = running.ingest.network();
    running.ingest.use_network(network).await.expect("noted");
    assert_eq!(running.ledger.read().position(), Position(7));
}

#[tokio::test]
async fn clock_that_jumps_ahead_for_a_moment_does_not_hold_up_later_stamps() {
    let place = Place::new();
    let running = place.start_with(Options {
        clock_check: ClockCheck::Always,
        ..Place::options()
    });
    let year = 365 * 24 * 60;
    let mut received = Vec::new();
    for (number, jump) in (1..).zip([0, year, -year]) {
        place.pass(jump);
        let accepted = submit_one(&running, incident(number)).await;
        received.push(accepted.expect("accepted").received.0);
    }
    assert!(received.is_sorted());
    assert_eq!(
        (received[0], received[2] / MINUTE_MS),
        (NOON, NOON / MINUTE_MS)
    );
}

#[tokio::test]
async fn preparing_a_report_writes_no_file() {
    let place = Place::new();
    let running = place.start();
    // What a new key file would be written to is taken, by a folder.
    fs::create_dir(place.path().join("keys.new")).expect("made");
    let call = ["2025-10-20", "2026-06-30", "2026-11-23"];
    let call = call.iter().zip(1..).map(|(text, number)| Incident {
        occurred: Occurred::Day(LocalDay::parse(text).expect("a date")),
        ..incident(number)
    });
    for result in running.ingest.submit(call.collect()).await {
        result.expect("accepted");
    }
}

#[tokio::test]
async fn key_that_cannot_be_made_refuses_only_what_needs_it_until_it_can() {
    let place = Place::new();
    let running = place.start();
    let aside = place.path().join("keys.new");
    fs::create_dir(&aside).expect("made");
    place.pass(60 * 24 * 60);
    let of_this_quarter = |number| Incident {
        occurred: Occurred::Day(LocalDay::parse("2027-01-20").expect("a date")),
        ..incident(number)
    };
    let without = Incident {
        card_number: None,
        installation_id: None,
        ..of_this_quarter(2)
    };
    let call = vec![of_this_quarter(1), without, incident(3)];
    let results = running.ingest.submit(call).await;
    let errors: Vec<_> = results.into_iter().map(Result::err).collect();
    assert_eq!(errors, [Some(SubmitError::Keys), None, None]);
    assert_eq!(counted(&running), 2);
    fs::remove_dir(&aside).expect("removed");
    place.pass(1);
    // The committer makes it when it looks at the clock.
    submit_all(&running, 4..5).await;
    let result = submit_one(&running, of_this_quarter(1)).await;
    assert!(!result.expect("accepted").repeated);
}

#[tokio::test]
async fn segment_that_cannot_be_prepared_refuses_reports_until_it_can() {
    let place = Place::new();
    let running = place.start();
    let spare = folder::journal(place.path()).join("spare.tmp");
    fs::create_dir(&spare).expect("made");
    let refused =
        |result: &Result<Accepted, SubmitError>| matches!(result, Err(SubmitError::DiskReserve));
    let mut number = 0;
    loop {
        let results = running.ingest.submit(incidents(number..number + 500)).await;
        if results.iter().any(Result::is_err) {
            assert!(results.iter().all(refused));
            break;
        }
        number += 500;
        assert!(number < 100_000);
    }
    assert_eq!(counted(&running) as u64, number);
    fs::remove_dir(&spare).expect("removed");
    // It is tried again with the next tick.
    place.pass(1);
    while refused(&submit_one(&running, incident(number)).await) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(counted(&running) as u64, number + 1);
    assert!(!*running.failed().borrow());
    stop(running);
    assert_eq!(counted(&place.start()) as u64, number + 1);
}

#[tokio::test]
async fn digest_of_a_report_differs_by_its_secret_alone() {
    let place = Place::new();
    let running = place.start();
    let digest = |byte| {
        let (keys, network) = (running.ingest.keys(), running.ingest.network());
        let newcomers = Newcomers::default();
        let mut preparer = Preparer::new(&keys, &network, &newcomers, 1);
        let mut told = Incident {
            secret: Some(secret(byte)),
            ..incident(1)
        };
        let (pending, _) = preparer.prepare(&mut told).expect("there are keys");
        match pending.entry {
            Entry::Incident { facts, .. } => facts.digest,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
    stop(running);
}

#[tokio::test]
async fn digest_of_a_report_covers_its_installation_only_with_a_secret() {
    let place = Place::new();
    let running = place.start();
    let digest = |byte: Option<u8>, name| {
        let (keys, network) = (running.ingest.keys(), running.ingest.network());
        let newcomers = Newcomers::default();
        let mut preparer = Preparer::new(&keys, &network, &newcomers, 1);
        let mut told = Incident {
            secret: byte.map(secret),
            installation_id: installation(name),
            ..incident(1)
        };
        let (_, expected) = preparer.prepare(&mut told).expect("there are keys");
        expected.digest
    };
    let [one, other] = ["an-installation-1", "an-installation-2"];
    assert_eq!(digest(None, one), digest(None, other));
    assert_ne!(digest(Some(1), one), digest(Some(1), other));
    stop(running);
}

#[tokio::test]
async fn journal_that_fails_ends_the_committer_and_says_so() {
    let place = Place::new();
    let settings = crate::journal::Settings::default();
    let opened = crate::journal::open(&folder::journal(place.path()), settings);
    let (mut writer, reader, _) = opened.expect("new");
    writer.use_read_only_file();
    let keys = Arc::new(Keys::open(place.path()).expect("made"));
    let ledger = Arc::new(Ledger::new(State::new(writer.epoch())));
    let queue = Arc::new(Queue::new(100));
    let begun = Instant::now();
    let clock: Clock = Arc::new(|| UtcMillis(NOON));
    let clock = Arc::new(ServerClock::new(clock, begun, ClockCheck::Never));
    let parts = committer::Parts {
        tap_days: Some(548),
        tap_entries: 0,
        checkpoint_entries: None,
        queue: Arc::clone(&queue),
        last: writer.last_stamp(),
        writer,
        ledger: Arc::clone(&ledger),
        hub: Hub::new(),
        clock: Arc::clone(&clock),
        clock_guard: None,
        keys: KeyMaker::start(Arc::clone(&keys), UtcMillis(NOON)).expect("made"),
        folder: place.path().to_owned(),
        checkpointed: Position(0),
        erased: None,
        disk_reserve_bytes: 0,
        again: Default::default(),
    };
    let (sender, failed) = tokio::sync::watch::channel(false);
    let committer = std::thread::spawn(|| Committer::new(parts).run(sender));
    let network = Arc::new(Network::built_in());
    let hub = Hub::new();
    let receipts = ReceiptKeys::open(place.path()).expect("made");
    let secrets = Secrets { keys, receipts };
    let ingest = Ingest::new(
        queue,
        secrets,
        network,
        clock,
        Sources {
            ledger: Arc::clone(&ledger),
            reader,
            hub,
        },
        548,
    );
    for _ in 0..2 {
        for result in ingest.submit(incidents(0..10)).await {
            assert_eq!(result.expect_err("refused"), SubmitError::Poisoned);
        }
    }
    assert!(committer.join().expect("no panic").is_none());
    assert!(*failed.borrow());
    assert_eq!(ledger.read().position(), Position(0));
}

#[tokio::test]
async fn committer_that_died_makes_stopping_fail() {
    let place = Place::new();
    let running = place.start();
    let mut failed = running.failed();
    // A time at which the test's clock panics.
    place.clock.store(i64::MAX, Ordering::Relaxed);
    let network = running.ingest.network();
    let error = running.ingest.use_network(network).await;
    assert_eq!(error.expect_err("refused"), SubmitError::Poisoned);
    assert!(failed.wait_for(|failed| *failed).await.is_ok());
    assert!(matches!(running.stop(DEADLINE), Err(StopError::Failed)));
}

#[tokio::test]
async fn verify_finds_nothing_wrong_and_tells_a_changed_store() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 0..1_000).await;
    running
        .ingest
        .withdraw(id(3), &secret(1))
        .await
        .expect("withdrawn");
    let before = digest(&running);
    stop(running);

    let mut told = BTreeSet::new();
    let report = repair::verify(place.path(), &mut |done, _| {
        told.insert(done);
    });
    let report = report.expect("verified");
    assert!(report.is_clean(), "{report:?}");
    let fold = report.fold.expect("the journal is whole");
    assert_eq!((fold.digest, fold.incidents), (before, 1_000));
    assert!(matches!(
        (fold.checkpoint, fold.store),
        (Finding::Equal, Finding::Equal)
    ));
    assert_eq!(told.last(), Some(&fold.position.0));

    flip_store(&folder::store(place.path()));
    let report = repair::verify(place.path(), &mut |_, _| {}).expect("verified");
    assert!(!report.is_clean());

    let rebuilt = repair::rebuild(place.path(), CLOCK, &mut |_, _| {}).expect("rebuilt");
    assert_eq!(rebuilt.digest, before);
    let report = repair::verify(place.path(), &mut |_, _| {}).expect("verified");
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn verify_compares_every_block_whether_a_checkpoint_counts_it_or_not() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 0..600).await;
    running.wait_for_store();
    running.ledger.checkpoint(place.path()).expect("written");
    let early = fs::read(checkpoint_file(place.path())).expect("read");
    submit_all(&running, 600..1_600).await;
    let rows = scanned(&running)[..BLOCK_ROWS].to_vec();
    stop(running);
    let blocks = |finding: fn(&Finding) -> bool, compared| {
        let report = repair::verify(place.path(), &mut |_, _| {}).expect("verified");
        let fold = report.fold.as_ref().expect("the journal is whole");
        assert!(finding(&fold.store), "{report:?}");
        assert_eq!((fold.blocks_compared, fold.blocks), (compared, 3));
        assert_eq!(report.is_clean(), fold.store.is_harmless());
    };
    let is_equal = |finding: &Finding| matches!(finding, Finding::Equal);
    let is_partial = |finding: &Finding| matches!(finding, Finding::Partial);
    let differs = |finding: &Finding| matches!(finding, Finding::Differs);
    blocks(is_equal, 3);
    fs::write(checkpoint_file(place.path()), &early).expect("written");
    blocks(is_equal, 3);

    let (path, epoch) = (folder::store(place.path()), journal_epoch(&place));
    let put = |store: &Store, number: u32| {
        let bytes: Arc<[u8]> = Block::pack(number, &rows).into();
        store.put_blocks(&[(number, bytes)]).expect("room");
        store.sync().expect("room");
    };
    let store = Store::open(&path, epoch, 0..1).expect("whole");
    put(&store, 2);
    drop(store);
    blocks(differs, 3);

    fs::remove_file(checkpoint_file(place.path())).expect("removed");
    blocks(differs, 3);
    let store = Store::create(&path, epoch).expect("room");
    put(&store, 0);
    drop(store);
    blocks(is_partial, 1);
    let store = Store::open(&path, epoch, 0..1).expect("whole");
    put(&store, 3);
    drop(store);
    blocks(differs, 2);
}

#[tokio::test]
async fn folder_that_is_in_use_is_neither_opened_nor_rebuilt() {
    let place = Place::new();
    let running = place.start();
    submit_all(&running, 0..10).await;
    let report = repair::verify(place.path(), &mut |_, _| {}).expect("verified beside a server");
    assert!(report.is_clean(), "{report:?}");
    let rebuilt = repair::rebuild(place.path(), CLOCK, &mut |_, _| {});
    assert!(matches!(rebuilt, Err(repair::RepairError::InUse)));
    let empty = tempfile::tempdir().expect("a folder");
    let nothing = repair::verify(empty.path(), &mut |_, _| {});
    assert!(matches!(nothing, Err(repair::RepairError::NoJournal)));
}

#[test]
fn journal_that_cannot_be_looked_into_is_not_told_as_none() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(folder::journal(dir.path()), "no folder").expect("written");
    let unread = repair::verify(dir.path(), &mut |_, _| {});
    assert!(
        matches!(unread, Err(repair::RepairError::Journal(_))),
        "{unread:?}"
    );
}

#[tokio::test]
async fn call_larger_than_a_batch_is_recorded_in_order() {
    let place = Place::new();
    let running = place.start();
    let count = BATCH_ENTRIES_MAX as u64 + 500;
    let results = running.ingest.submit(incidents(0..count)).await;
    let positions: Vec<_> = results
        .into_iter()
        .map(|result| result.expect("accepted").position)
        .collect();
    assert!(positions.is_sorted());
    assert_eq!(counted(&running) as u64, count);
}

/// A tap of one of three reporters at one of three readers, within ten minutes.
fn nearby_tap(number: u64, random: &mut StdRng) -> (Incident, (u64, u64, i64)) {
    let (reporter, reader) = (random.random_range(0..3), random.random_range(0..3));
    let seconds = random.random_range(0..600);
    let incident = Incident {
        occurred: Occurred::Exact(UtcMillis(NOON - seconds * 1_000)),
        card_number: None,
        installation_id: installation(&format!("an-installation-{reporter}")),
        line_words: "10".into(),
        vehicle: format!("220{reader}").into(),
        ..incident(number)
    };
    (incident, (reporter, reader, seconds))
}

#[tokio::test]
async fn same_tap_told_again_counts_once_as_a_plain_list_would_have_it_across_crashes() {
    for seed in 0..6_u64 {
        let random = &mut StdRng::seed_from_u64(seed);
        let mut place = Place::new();
        let mut running = place.start();
        // Number, what was told, and where it lies, of all that count.
        let mut counting: Vec<(u64, (u64, u64, i64), Position)> = Vec::new();
        let mut next = 1;
        for _ in 0..40 {
            match random.random_range(0..10) {
                0 => {
                    let crashed = place.crashed();
                    stop(running);
                    place = crashed;
                    running = place.start();
                }
                1 if !counting.is_empty() => {
                    let gone = counting.remove(random.random_range(0..counting.len()));
                    let withdrawn = running.ingest.withdraw(id(gone.0), &secret(1)).await;
                    withdrawn.expect("it counts");
                }
                _ => {
                    let numbers = next..next + random.random_range(1..5);
                    next = numbers.end;
                    let told: Vec<_> = numbers.clone().map(|it| nearby_tap(it, random)).collect();
                    let (batch, told): (Vec<_>, Vec<_>) = told.into_iter().unzip();
                    let results = running.ingest.submit(batch).await;
                    for ((number, told), result) in numbers.zip(told).zip(results) {
                        let accepted = result.expect("recorded");
                        let is_same = |(_, first, _): &(u64, (u64, u64, i64), Position)| {
                            (first.0, first.1) == (told.0, told.1)
                                && first.2.abs_diff(told.2) <= 120
                        };
                        let expected = counting.iter().any(is_same);
                        assert_eq!(accepted.told_again, expected, "seed {seed}, {number}");
                        if !expected {
                            counting.push((number, told, accepted.position));
                        }
                    }
                }
            }
        }
        let places: BTreeSet<_> = counting.iter().map(|(.., position)| *position).collect();
        let struck = Arc::new(running.ledger.read().withdrawn().clone());
        let rows = scanned(&running).into_iter().map(|row| row.position);
        let found: BTreeSet<_> = rows.filter(|at| !struck.contains(at)).collect();
        assert_eq!(found, places, "seed {seed}");
        let folded = digest(&running);
        stop(running);
        fs::remove_file(place.path().join("checkpoint")).expect("written at the end");
        let report = repair::verify(place.path(), &mut |_, _| {}).expect("readable");
        assert!(report.is_clean(), "{report:?}");
        let running = place.start();
        assert_eq!(digest(&running), folded, "seed {seed}");
        stop(running);
    }
}

#[tokio::test]
async fn two_reports_of_one_tap_that_race_are_one_incident() {
    let place = Place::new();
    let running = place.start();
    let tap = |number| Incident {
        occurred: Occurred::Exact(UtcMillis(NOON)),
        line_words: "10".into(),
        vehicle: "2203".into(),
        ..incident(number)
    };
    let racing = (1..=16).map(|number| submit_one(&running, tap(number)));
    let results = futures_util::future::join_all(racing).await;
    let counted_ones = results
        .into_iter()
        .filter(|result| !result.as_ref().expect("recorded").told_again);
    assert_eq!(counted_ones.count(), 1);
    assert_eq!(counted(&running), 1);
    stop(running);
}

#[tokio::test]
async fn what_came_after_a_report_that_counts_nothing_changes_no_figure() {
    let place = Place::new();
    let running = place.start();
    let tap = |number| Incident {
        occurred: Occurred::Day(LocalDay::parse("2026-11-20").expect("a date")),
        line_words: "10".into(),
        vehicle: "2203".into(),
        ..incident(number)
    };
    let told_again = async |number| {
        let accepted = submit_one(&running, tap(number)).await.expect("recorded");
        accepted.told_again
    };
    assert!(!told_again(1).await);
    place.pass(1);
    assert!(told_again(2).await);
    assert_eq!(counted(&running), 1);
    let later = Later {
        extra_cost: Some(ExtraCost::Under5),
        ..Later::default()
    };
    let amended = running.ingest.amend(id(2), &secret(1), later).await;
    let amended = amended.expect("taken");
    assert_eq!(
        (amended.facts.extra_cost, counting(&running)),
        (later.extra_cost, 1)
    );
    running
        .ingest
        .withdraw(id(2), &secret(1))
        .await
        .expect("taken");
    assert_eq!(counting(&running), 1);
    // Not within two minutes; and then one that comes after the first has gone.
    place.pass(2);
    assert!(!told_again(3).await);
    for number in [1, 3] {
        running
            .ingest
            .withdraw(id(number), &secret(1))
            .await
            .expect("taken");
    }
    assert_eq!(counting(&running), 0);
    assert!(!told_again(4).await);
    assert_eq!(counting(&running), 1);
    let folded = digest(&running);
    stop(running);
    let report = repair::verify(place.path(), &mut |_, _| {}).expect("readable");
    assert!(report.is_clean(), "{report:?}");
    fs::remove_file(place.path().join("checkpoint")).expect("written at the end");
    let running = place.start();
    assert_eq!(digest(&running), folded);
    stop(running);
}

/// How many self-reports the tallies have, and the rows that are not struck.
fn counting(running: &Running) -> usize {
    let struck = running.ledger.read().withdrawn().clone();
    let rows = scanned(running);
    rows.iter()
        .filter(|row| !struck.contains(&row.position))
        .count()
}
