//! The layer as its users see it: on paused time, counted from a plain list of incidents.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, advance, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::auth::Seal;
use crate::domain::entry::Epoch;
use crate::domain::limits::{
    CHANGED_ROWS_MAX, HEARTBEAT_MS, WATCH_PACE_MS_MIN, WATCH_STATES_KEPT_MAX,
    WATCHED_QUESTIONS_MAX, WATCHED_QUESTIONS_PER_TOKEN_MAX, WATCHED_ROWS_MAX,
    WATCHED_ROWS_PER_TOKEN_MAX,
};
use crate::domain::{Basis, Row, RowTime};
use crate::query::{Counted, Figure};
use source::TapsKept;
use state::Seen;

const PACE: Duration = Duration::from_millis(1_000);
/// A watcher and its waiting for the next message.
const WATCHER_BYTES_MAX: usize = 768;
/// A key that counting cannot stand.
const UNSOUND: u8 = 255;
/// Watches over so many minutes and more are dear: counting them takes so long.
const DEAR_MINUTES: u32 = 1_200;
const DEAR: Duration = Duration::from_millis(250);
/// And from so many on they have as many rows as a watch may have.
const WIDE_MINUTES: u32 = 1_300;
/// Ten seconds into a minute.
const START: UtcMillis = UtcMillis(30_000_000 * 60_000 + 10_000);
const START_MINUTE: u32 = 30_000_000;

/// An incident with a key (its mode) in some minute.
pub fn row(position: u64, minute: u32, key: u8) -> Row {
    Row {
        position: Position(position),
        time: RowTime::Hour(Minute(minute).hour()),
        basis: Basis::SelfReported,
        operator: 0,
        line: 0,
        stop: 0,
        mode: key,
        tap_kind: 0,
        card_kind: 0,
        signal: 0,
        causes: 0,
        staff_acts: 0,
        outcomes: 0,
    }
}

/// A watch over an hour that counts incidents by key. `weekdays` of its filter, which nothing
/// else uses in here, holds the one key that counts; 0 lets all count.
fn watch(only_key: u8) -> Watch {
    let mut filter = Filter::all(Basis::SelfReported);
    filter.weekdays = only_key;
    Watch {
        filter,
        by: Breakdown::default(),
        window_minutes: 60,
        rates: None,
    }
}

fn is_counted(watch: &Watch, key: u8) -> bool {
    watch.filter.weekdays == 0 || watch.filter.weekdays == key
}

/// An incident that counts from one position up to another.
#[derive(Clone)]
struct Incident {
    minute: u32,
    key: u8,
    recorded: Position,
    withdrawn: Option<Position>,
}

/// A record in memory that knows what it was at every position.
#[derive(Clone, Default)]
struct Record {
    incidents: Vec<Incident>,
    position: Position,
    complete_from: Option<Minute>,
    work: Work,
}

/// What was counted: the windows of watches, in turn, and how long it took.
#[derive(Clone, Default)]
struct Work {
    counted: Arc<Mutex<Vec<u32>>>,
    took_ms: Arc<AtomicU64>,
}

impl Work {
    fn add(&self, minutes: u32) {
        self.counted.lock().expect("nobody panics").push(minutes);
        if DEAR_MINUTES <= minutes {
            let dear_ms = u64::try_from(DEAR.as_millis()).expect("a small number");
            self.took_ms.fetch_add(dear_ms, Ordering::Relaxed);
        }
    }
}

/// As many rows as a watch may have.
fn wide() -> Counted {
    let figure = |number| Figure {
        keys: vec![format!("{number:05}")],
        count: 1,
        rests_on_few_days: None,
    };
    Counted {
        figures: (0..WATCHED_ROWS_MAX).map(figure).collect(),
        total: WATCHED_ROWS_MAX as u64,
        left_out: 0,
    }
}

impl Record {
    fn count_at(&self, watch: &Watch, span: MinuteSpan, position: Position) -> Counted {
        let mut counts = BTreeMap::<u8, u64>::new();
        for incident in &self.incidents {
            let is_there = incident.recorded <= position
                && incident.withdrawn.is_none_or(|end| position < end);
            let minute = Minute(incident.minute);
            let is_inside = span.start <= minute && minute < span.end;
            if is_there && is_inside && is_counted(watch, incident.key) {
                *counts.entry(incident.key).or_default() += 1;
            }
        }
        let total = counts.values().sum();
        let left_out = counts.remove(&0).unwrap_or(0);
        let figure = |(key, count): (u8, u64)| Figure {
            keys: vec![format!("{key:03}")],
            count,
            rests_on_few_days: None,
        };
        Counted {
            figures: counts.into_iter().map(figure).collect(),
            total,
            left_out,
        }
    }
}

impl View for Record {
    fn see(&self, watch: &Watch, span: MinuteSpan, _kept: &TapsKept) -> Result<Seen, WatchError> {
        self.work.add(watch.window_minutes);
        let counted = match watch.window_minutes {
            WIDE_MINUTES.. => wide(),
            _ => self.count_at(watch, span, self.position),
        };
        let is_sound = !self.incidents.iter().any(|one| one.key == UNSOUND);
        assert!(is_sound, "counting fails, as a test wants it");
        if (WATCHED_ROWS_MAX as u64) < counted.total {
            return Err(WatchError::TooManyRows);
        }
        Ok(Seen {
            position: self.position,
            counted,
            rates: None,
            untimed: 0,
            complete_from: self.complete_from.filter(|from| span.start < *from),
        })
    }

    fn is_concerned(&self, watch: &Watch, rows: &[Row]) -> bool {
        rows.iter().any(|row| is_counted(watch, row.mode))
    }
}

#[derive(Clone, Default)]
struct Memory {
    record: Arc<Mutex<Record>>,
    views: Arc<AtomicUsize>,
    epoch: Arc<AtomicU8>,
    /// Positions below the horizon.
    removed: Arc<AtomicU64>,
    work: Work,
}

impl Source for Memory {
    type View = Record;

    fn epoch(&self) -> Epoch {
        Epoch([self.epoch.load(Ordering::Relaxed); 16])
    }

    fn horizon(&self) -> Position {
        Position(1 + self.removed.load(Ordering::Relaxed))
    }

    fn applied(&self) -> Position {
        self.record.lock().expect("nobody panics").position
    }

    fn view(&self) -> Record {
        self.views.fetch_add(1, Ordering::Relaxed);
        let record = self.record.lock().expect("nobody panics").clone();
        Record {
            work: self.work.clone(),
            ..record
        }
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.work.took_ms.load(Ordering::Relaxed))
    }
}

/// A publisher with a committer's side to it.
struct Service {
    memory: Memory,
    hub: Hub,
    publisher: Publisher,
    stop: CancellationToken,
    started: Instant,
}

impl Service {
    fn start() -> Self {
        Self::start_with(Memory::default())
    }

    fn start_with(memory: Memory) -> Self {
        let hub = Hub::new();
        let stop = CancellationToken::new();
        let started = Instant::now();
        let now = move || {
            let elapsed = started.elapsed().as_millis();
            UtcMillis(START.0 + i64::try_from(elapsed).expect("tests are short"))
        };
        let publisher = Publisher::start(
            memory.clone(),
            hub.clone(),
            now,
            Seal::testing(7),
            stop.clone(),
        );
        Self {
            memory,
            hub,
            publisher,
            stop,
            started,
        }
    }

    fn minute(&self) -> u32 {
        let elapsed = self.started.elapsed().as_secs() + 10;
        START_MINUTE + u32::try_from(elapsed / 60).expect("tests are short")
    }

    /// Records an incident that happened in this minute.
    fn report(&self, key: u8) {
        self.report_of(self.minute(), key);
    }

    fn report_of(&self, minute: u32, key: u8) {
        let mut record = self.memory.record.lock().expect("nobody panics");
        let position = record.position.next();
        record.position = position;
        record.incidents.push(Incident {
            minute,
            key,
            recorded: position,
            withdrawn: None,
        });
        drop(record);
        self.hub
            .mark_changed(&[row(position.0, minute, key)], position);
    }

    /// Withdraws the n-th incident, if there is one that counts.
    fn withdraw(&self, index: usize) {
        let mut record = self.memory.record.lock().expect("nobody panics");
        let position = record.position.next();
        let Some(incident) = record.incidents.get_mut(index) else {
            return;
        };
        if incident.withdrawn.is_some() {
            return;
        }
        incident.withdrawn = Some(position);
        let row = row(incident.recorded.0, incident.minute, incident.key);
        record.position = position;
        drop(record);
        self.hub.mark_changed(&[row], position);
    }

    async fn watch(&self, only_key: u8) -> Watcher {
        let watch = self
            .publisher
            .watch(watch(only_key), PACE, None, None)
            .await;
        watch.expect("there is room")
    }

    async fn resume(&self, only_key: u8, token: &[u8]) -> Result<Message, WatchError> {
        let token = Some(token.to_vec());
        let mut watcher = self
            .publisher
            .watch(watch(only_key), PACE, token, None)
            .await?;
        watcher.next().await.map(|told| Message::clone(&told))
    }

    /// Watches everything over so many minutes.
    async fn watch_over(&self, minutes: u32, token: Option<u32>) -> Result<Watcher, WatchError> {
        let watch = Watch {
            window_minutes: minutes,
            ..watch(0)
        };
        self.publisher.watch(watch, PACE, None, token).await
    }

    /// The windows of what was counted.
    fn counted(&self) -> Vec<u32> {
        let counted = self.memory.work.counted.lock();
        counted.expect("nobody panics").clone()
    }

    fn views(&self) -> usize {
        self.memory.views.load(Ordering::Relaxed)
    }
}

async fn next(watcher: &mut Watcher) -> Message {
    let told = watcher.next().await.expect("the stream goes on");
    Message::clone(&told)
}

/// Rows of a snapshot or of changes, in short.
fn rows(message: &Message) -> Vec<(&str, u64)> {
    match &message.update {
        Update::Snapshot(figures) | Update::Changes(figures) => figures
            .iter()
            .map(|figure| (figure.keys().next().expect("a key"), figure.count()))
            .collect(),
        Update::Resumed | Update::Heartbeat => Vec::new(),
    }
}

fn is_changes(message: &Message) -> bool {
    matches!(message.update, Update::Changes(_))
}

#[tokio::test(start_paused = true)]
async fn first_message_is_a_snapshot() {
    let service = Service::start();
    service.report(1);
    service.report(1);
    service.report(0);
    let message = next(&mut service.watch(0).await).await;
    assert!(matches!(message.update, Update::Snapshot(_)));
    assert_eq!(rows(&message), [("001", 2)]);
    assert_eq!((message.total, message.left_out), (3, 1));
    assert_eq!(message.position, Position(3));
    assert_eq!(message.as_of, Minute(START_MINUTE).start());
}

#[tokio::test(start_paused = true)]
async fn first_change_after_quiet_goes_out_at_once_and_then_at_the_pace() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    sleep(PACE * 5).await;
    let quiet_end = Instant::now();
    service.report(1);
    let message = next(&mut watcher).await;
    assert_eq!(quiet_end.elapsed(), Duration::ZERO);
    assert_eq!(rows(&message), [("001", 1)]);
    service.report(2);
    let message = next(&mut watcher).await;
    assert_eq!(quiet_end.elapsed().as_millis(), PACE.as_millis());
    assert_eq!(rows(&message), [("002", 1)]);
}

#[tokio::test(start_paused = true)]
async fn slow_watcher_skips_to_the_newest_figure() {
    let service = Service::start();
    let mut slow = service.watch(0).await;
    let mut quick = service.watch(0).await;
    next(&mut slow).await;
    next(&mut quick).await;
    for count in 1..=5 {
        sleep(PACE).await;
        service.report(1);
        assert_eq!(rows(&next(&mut quick).await), [("001", count)]);
    }
    assert_eq!(rows(&next(&mut slow).await), [("001", 5)]);
}

#[tokio::test(start_paused = true)]
async fn states_that_blocked_watchers_have_are_kept_up_to_a_number_and_the_others_told_anew() {
    let service = Service::start();
    service.report(2);
    let mut blocked = vec![service.watch(0).await];
    next(&mut blocked[0]).await;
    // Each stays at a state of its own; the last at the newest.
    for _ in 0..=WATCH_STATES_KEPT_MAX {
        service.report(1);
        sleep(PACE).await;
        let mut watcher = service.watch(0).await;
        next(&mut watcher).await;
        blocked.push(watcher);
    }
    let states = blocked.iter().map(|watcher| watcher.sent.as_ref());
    let is_kept = |sent: Option<&state::Sent>| sent.is_some_and(|sent| sent.state().is_some());
    let kept: Vec<_> = states.map(is_kept).collect();
    assert!(!kept[0], "the oldest state is gone");
    assert!(kept[1..].iter().all(|is_kept| *is_kept));
    service.withdraw(0);
    service.report(3);
    sleep(PACE).await;
    let asked = next(&mut service.watch(0).await).await;
    let count = WATCH_STATES_KEPT_MAX as u64 + 1;
    assert_eq!(rows(&asked), [("001", count), ("003", 1)]);
    let told = next(&mut blocked[0]).await;
    assert_eq!(
        told.update, asked.update,
        "all of it, as a question gives it"
    );
    assert_eq!((told.total, told.position), (asked.total, asked.position));
    for watcher in &mut blocked[2..] {
        assert!(is_changes(&next(watcher).await));
    }
    service.report(3);
    assert!(
        is_changes(&next(&mut blocked[0]).await),
        "from then on changes"
    );
}

#[tokio::test(start_paused = true)]
async fn heartbeat_of_a_state_that_is_gone_is_still_of_that_state() {
    let service = Service::start();
    let pace = Duration::from_secs(40);
    let slow = service.publisher.watch(watch(0), pace, None, None);
    let mut slow = slow.await.expect("there is room");
    let first = next(&mut slow).await;
    let mut blocked = Vec::new();
    for _ in 0..=WATCH_STATES_KEPT_MAX {
        service.report(1);
        sleep(Duration::from_millis(WATCH_PACE_MS_MIN)).await;
        let mut watcher = service.watch(0).await;
        next(&mut watcher).await;
        blocked.push(watcher);
    }
    let heartbeat = next(&mut slow).await;
    assert!(
        slow.sent
            .as_ref()
            .is_some_and(|sent| sent.state().is_none())
    );
    assert_eq!(heartbeat.update, Update::Heartbeat);
    assert_eq!((heartbeat.position, heartbeat.total), (Position(0), 0));
    assert_eq!(heartbeat.resume_token, first.resume_token);
    let mut message = next(&mut slow).await;
    while message.update == Update::Heartbeat {
        message = next(&mut slow).await;
    }
    assert!(matches!(message.update, Update::Snapshot(_)), "{message:?}");
}

#[tokio::test(start_paused = true)]
async fn state_that_no_watcher_has_any_more_is_not_kept_nor_a_message_of_an_older_one() {
    let service = Service::start();
    service.report(1);
    let mut blocked = service.watch(0).await;
    let mut quick = service.watch(0).await;
    let told = blocked.next().await.expect("the stream goes on");
    let snapshot = Arc::downgrade(&told);
    drop(told);
    let mut states = Vec::new();
    for _ in 0..3 {
        let message = next(&mut quick).await;
        let state = quick.sent.as_ref().and_then(state::Sent::state);
        states.push(Arc::downgrade(state.expect("the newest").figures()));
        drop(message);
        service.report(1);
        sleep(PACE).await;
    }
    next(&mut quick).await;
    service.report(1);
    next(&mut quick).await;
    let is_kept = |state: &std::sync::Weak<Rows>| state.upgrade().is_some();
    let kept: Vec<_> = states.iter().map(is_kept).collect();
    assert_eq!(
        kept,
        [true, false, false],
        "the blocked watcher has the first"
    );
    assert!(snapshot.upgrade().is_none());
    drop(blocked);
}

#[tokio::test(start_paused = true)]
async fn what_several_watchers_are_told_is_one_message() {
    let service = Service::start();
    let mut watchers = [service.watch(0).await, service.watch(0).await];
    let mut other = service.watch(1).await;
    for _ in 0..3 {
        let mut told = Vec::new();
        for watcher in watchers.iter_mut().chain([&mut other]) {
            told.push(watcher.next().await.expect("the stream goes on"));
        }
        assert!(Arc::ptr_eq(&told[0], &told[1]));
        assert!(!Arc::ptr_eq(&told[0], &told[2]));
        sleep(PACE).await;
        service.report(1);
    }
}

#[tokio::test(start_paused = true)]
async fn removed_row_comes_with_a_count_of_zero() {
    let service = Service::start();
    service.report(1);
    service.report(2);
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    service.withdraw(0);
    let message = next(&mut watcher).await;
    assert_eq!(rows(&message), [("001", 0)]);
    assert_eq!(message.total, 1);
}

#[tokio::test(start_paused = true)]
async fn window_slides_when_nothing_is_reported() {
    let service = Service::start();
    service.report(1);
    let mut watcher = service.watch(0).await;
    let begun = Instant::now();
    next(&mut watcher).await;
    let message = loop {
        let message = next(&mut watcher).await;
        if is_changes(&message) {
            break message;
        }
    };
    assert_eq!(rows(&message), [("001", 0)]);
    // The minute of the report leaves a window of 60 minutes when the 60th after it begins.
    assert_eq!(begun.elapsed().as_secs(), 60 * 60 - 10);
    assert_eq!(message.as_of, Minute(START_MINUTE + 60).start());
}

#[tokio::test(start_paused = true)]
async fn incident_ahead_of_the_clock_counts_when_its_minute_begins() {
    let service = Service::start();
    service.report_of(START_MINUTE + 1, 1);
    let mut watcher = service.watch(0).await;
    assert_eq!(next(&mut watcher).await.total, 0);
    let mut message = next(&mut watcher).await;
    while !is_changes(&message) {
        message = next(&mut watcher).await;
    }
    assert_eq!(rows(&message), [("001", 1)]);
    assert_eq!(message.as_of, Minute(START_MINUTE + 1).start());
}

#[tokio::test(start_paused = true)]
async fn idle_stream_has_heartbeats_that_are_up_to_date() {
    let service = Service::start();
    let mut watcher = service.watch(1).await;
    let first = next(&mut watcher).await;
    let begun = Instant::now();
    service.report(2);
    let heartbeat = next(&mut watcher).await;
    assert_eq!(heartbeat.update, Update::Heartbeat);
    assert_eq!(begun.elapsed().as_millis(), u128::from(HEARTBEAT_MS));
    assert_eq!(
        (first.position, heartbeat.position),
        (Position(0), Position(1))
    );
    for _ in 0..4 {
        let message = next(&mut watcher).await;
        assert_eq!(message.update, Update::Heartbeat);
        assert_eq!(message.as_of, Minute(service.minute()).start());
    }
}

#[tokio::test(start_paused = true)]
async fn token_of_a_heartbeat_does_not_hide_a_change_that_the_pace_holds_back() {
    let service = Service::start();
    let pace = Duration::from_secs(40);
    let slow = service.publisher.watch(watch(0), pace, None, None).await;
    let mut slow = slow.expect("there is room");
    next(&mut slow).await;
    service.report(1);
    let heartbeat = next(&mut slow).await;
    assert_eq!(heartbeat.update, Update::Heartbeat);
    assert_eq!((heartbeat.position, heartbeat.total), (Position(0), 0));
    let message = service.resume(0, &heartbeat.resume_token).await;
    assert_eq!(rows(&message.expect("a stream")), [("001", 1)]);
}

#[tokio::test(start_paused = true)]
async fn stream_is_resumed_if_nothing_changed_and_starts_anew_if_something_did() {
    let service = Service::start();
    service.report(1);
    let token = next(&mut service.watch(1).await).await.resume_token;
    service.report(2);
    sleep(PACE).await;
    let resumed = service.resume(1, &token).await.expect("a stream");
    assert_eq!(resumed.update, Update::Resumed);
    assert_eq!((resumed.position, resumed.total), (Position(2), 1));
    service.report(1);
    sleep(PACE).await;
    let message = service.resume(1, &token).await.expect("a stream");
    assert_eq!(message.update, Update::Snapshot(packed(&[("001", 2)])));
}

#[tokio::test(start_paused = true)]
async fn stream_is_resumed_after_a_restart() {
    let service = Service::start();
    service.report(1);
    let token = next(&mut service.watch(0).await).await.resume_token;
    service.stop.cancel();
    let again = Service::start_with(service.memory.clone());
    let resumed = again.resume(0, &token).await.expect("a stream");
    assert_eq!(resumed.update, Update::Resumed);
}

#[tokio::test(start_paused = true)]
async fn token_of_another_question_starts_anew_and_garbage_is_refused() {
    let service = Service::start();
    let token = next(&mut service.watch(0).await).await.resume_token;
    let message = service.resume(1, &token).await.expect("a stream");
    assert_eq!(message.update, Update::Snapshot(packed(&[])));
    let refused = service.resume(0, b"garbage").await;
    assert_eq!(refused, Err(WatchError::Token));
}

fn packed(rows: &[(&str, u64)]) -> Arc<Rows> {
    let mut packing = rows::Packing::default();
    for (key, count) in rows {
        packing.push([*key].into_iter(), *count, None);
    }
    Arc::new(packing.pack())
}

#[tokio::test(start_paused = true)]
async fn token_of_another_journal_too_old_or_ahead_is_refused_with_one_that_begins_anew() {
    let service = Service::start();
    for _ in 0..5 {
        service.report(1);
    }
    let token = next(&mut service.watch(0).await).await.resume_token;
    service.report(1);
    service.report(1);
    let check = async |expected: Gone| {
        let again = Service::start_with(service.memory.clone());
        let refused = again.resume(0, &token).await;
        let Err(WatchError::Gone { why, oldest_token }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(why, expected);
        let message = again.resume(0, &oldest_token).await.expect("a stream");
        assert!(matches!(message.update, Update::Snapshot(_)), "{message:?}");
    };
    service.memory.removed.store(6, Ordering::Relaxed);
    check(Gone::TooOld).await;
    service.memory.removed.store(5, Ordering::Relaxed);
    assert!(
        service.resume(0, &token).await.is_ok(),
        "the last below the horizon"
    );
    service.memory.epoch.store(9, Ordering::Relaxed);
    check(Gone::OtherJournal).await;
    service.memory.epoch.store(0, Ordering::Relaxed);
    service.memory.removed.store(0, Ordering::Relaxed);
    let shorter = Record {
        position: Position(4),
        ..Record::default()
    };
    *service.memory.record.lock().expect("nobody panics") = shorter;
    check(Gone::Ahead).await;
}

#[tokio::test(start_paused = true)]
async fn thousand_watchers_of_one_question_cost_one_count() {
    let service = Service::start();
    let mut watchers = Vec::new();
    for _ in 0..1_000 {
        watchers.push(service.watch(0).await);
    }
    assert_eq!(service.views(), 1);
    for watcher in &mut watchers {
        next(watcher).await;
    }
    service.report(1);
    let mut shared = Vec::new();
    for watcher in &mut watchers {
        match next(watcher).await.update {
            Update::Changes(figures) => shared.push(figures),
            other => panic!("changes were due, not {other:?}"),
        }
    }
    assert_eq!(service.views(), 2);
    assert!(
        shared
            .iter()
            .all(|figures| Arc::ptr_eq(figures, &shared[0]))
    );
}

#[tokio::test(start_paused = true)]
async fn steady_changes_are_counted_at_the_shortest_pace() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    let before = service.views();
    for _ in 0..1_000 {
        service.report(1);
        sleep(Duration::from_millis(1)).await;
    }
    let rounds = service.views() - before;
    let expected = 1_000 / usize::try_from(WATCH_PACE_MS_MIN).expect("a small number");
    assert!((expected..=expected + 1).contains(&rounds), "{rounds}");
}

#[tokio::test(start_paused = true)]
async fn more_changes_than_there_is_room_for_miss_nothing() {
    let service = Service::start();
    let mut watcher = service.watch(3).await;
    next(&mut watcher).await;
    service.report(3);
    for _ in 0..CHANGED_ROWS_MAX {
        service.report(2);
    }
    assert_eq!(rows(&next(&mut watcher).await), [("003", 1)]);
}

#[tokio::test(start_paused = true)]
async fn question_beyond_the_limit_is_refused_and_unwatched_ones_are_dropped() {
    let service = Service::start();
    let question = |number: usize| Watch {
        window_minutes: 5 + u32::try_from(number).expect("a small number"),
        ..watch(0)
    };
    let mut watchers = Vec::new();
    for number in 0..WATCHED_QUESTIONS_MAX {
        let watcher = service
            .publisher
            .watch(question(number), PACE, None, None)
            .await;
        watchers.push(watcher.expect("there is room"));
    }
    let another = question(WATCHED_QUESTIONS_MAX);
    let refused = service
        .publisher
        .watch(another.clone(), PACE, None, None)
        .await;
    assert_eq!(refused.err(), Some(WatchError::Full));
    watchers.pop();
    let admitted = service.publisher.watch(another, PACE, None, None).await;
    assert!(admitted.is_ok());
}

#[tokio::test(start_paused = true)]
async fn cheap_question_waits_for_no_more_than_one_or_two_dear_ones() {
    let service = Service::start();
    let mut dear = Vec::new();
    for minutes in DEAR_MINUTES..DEAR_MINUTES + 20 {
        dear.push(
            service
                .watch_over(minutes, None)
                .await
                .expect("there is room"),
        );
    }
    let mut cheap = service.watch(0).await;
    next(&mut cheap).await;
    for new in 100..105 {
        let before = service.counted().len();
        service.report(1);
        let opened = service.watch_over(new, None).await;
        let message = next(&mut cheap).await;
        assert!(is_changes(&message), "{message:?}");
        let counted = service.counted().split_off(before);
        for minutes in [60, new] {
            let turn = counted.iter().position(|one| *one == minutes);
            let waited = &counted[..turn.expect("it was counted")];
            let dear = waited.iter().filter(|one| DEAR_MINUTES <= **one).count();
            assert!(dear <= 2, "{minutes} after {waited:?}");
        }
        drop(opened);
    }
}

#[tokio::test(start_paused = true)]
async fn dear_questions_all_have_their_turn_however_often_rows_change() {
    const QUESTIONS: u32 = 20;
    let service = Service::start();
    let mut dear = Vec::new();
    for minutes in DEAR_MINUTES..DEAR_MINUTES + QUESTIONS {
        dear.push(
            service
                .watch_over(minutes, None)
                .await
                .expect("there is room"),
        );
    }
    let before = service.counted().len();
    for _ in 0..10 * QUESTIONS {
        service.report(1);
        sleep(Duration::from_millis(WATCH_PACE_MS_MIN)).await;
    }
    let counted = service.counted().split_off(before);
    let turns = |minutes| counted.iter().filter(|one| **one == minutes).count();
    let turns: Vec<_> = (DEAR_MINUTES..DEAR_MINUTES + QUESTIONS)
        .map(turns)
        .collect();
    let (least, most) = (turns.iter().min(), turns.iter().max());
    assert!(
        Some(&5) <= least && most <= least.map(|least| least + 3).as_ref(),
        "{turns:?}"
    );
    // When rows change no more, all arrive at the newest state.
    sleep(PACE * 10).await;
    for watcher in &mut dear {
        let message = next(watcher).await;
        assert_eq!(message.total, u64::from(10 * QUESTIONS));
    }
}

#[tokio::test(start_paused = true)]
async fn token_with_many_dear_questions_does_not_delay_those_of_another() {
    let service = Service::start();
    let mut open = Vec::new();
    let (many, few) = (
        DEAR_MINUTES..DEAR_MINUTES + 40,
        DEAR_MINUTES + 40..DEAR_MINUTES + 43,
    );
    for (token, minutes) in [(1, many), (2, few.clone())] {
        for minutes in minutes {
            let watcher = service.watch_over(minutes, Some(token)).await;
            open.push(watcher.expect("there is room"));
        }
    }
    sleep(PACE * 20).await;
    let before = service.counted().len();
    service.report(1);
    sleep(PACE * 20).await;
    let counted = service.counted().split_off(before);
    let last = counted.iter().rposition(|minutes| few.contains(minutes));
    assert!(
        last.is_some_and(|last| last < 2 * few.len() + 1),
        "{counted:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_token_has_so_many_questions_and_rows_and_takes_none_of_another() {
    let service = Service::start();
    let mut open = Vec::new();
    for minutes in (5..).take(WATCHED_QUESTIONS_PER_TOKEN_MAX) {
        let watcher = service.watch_over(minutes, Some(1)).await;
        open.push(watcher.expect("there is room"));
    }
    let refused = service.watch_over(100, Some(1)).await;
    assert_eq!(refused.err(), Some(WatchError::TooManyQuestions));
    assert!(
        service.watch_over(5, Some(1)).await.is_ok(),
        "it is watched"
    );
    assert!(service.watch_over(100, Some(2)).await.is_ok());
    drop(open);
    let mut open = Vec::new();
    for minutes in (WIDE_MINUTES..).take(WATCHED_ROWS_PER_TOKEN_MAX / WATCHED_ROWS_MAX) {
        let watcher = service.watch_over(minutes, Some(1)).await;
        open.push(watcher.expect("there is room"));
    }
    let refused = service.watch_over(WIDE_MINUTES + 100, Some(1)).await;
    assert_eq!(refused.err(), Some(WatchError::TooManyRowsOfToken));
    let other = service.watch_over(WIDE_MINUTES + 100, Some(2)).await;
    assert!(other.is_ok());
    open.pop();
    let again = service.watch_over(WIDE_MINUTES + 101, Some(1)).await;
    assert!(again.is_ok(), "what is watched no more counts no more");
}

#[tokio::test(start_paused = true)]
async fn rows_of_one_token_do_not_end_what_another_watches_as_well() {
    let service = Service::start();
    let shared = [
        service.watch_over(5, Some(1)).await,
        service.watch_over(5, Some(2)).await,
    ];
    let mut shared = shared.map(|watcher| watcher.expect("there is room"));
    let mut open = Vec::new();
    for minutes in (WIDE_MINUTES..).take(WATCHED_ROWS_PER_TOKEN_MAX / WATCHED_ROWS_MAX) {
        let watcher = service.watch_over(minutes, Some(1)).await;
        open.push(watcher.expect("there is room"));
    }
    for watcher in &mut shared {
        next(watcher).await;
    }
    service.report(1);
    for watcher in &mut shared {
        assert_eq!(rows(&next(watcher).await), [("001", 1)]);
    }
    let refused = service.watch_over(6, Some(1)).await;
    let expected = Some(WatchError::TooManyRowsOfToken);
    assert_eq!(refused.err(), expected, "nobody else watches it");
}

#[tokio::test(start_paused = true)]
async fn question_with_too_many_rows_is_refused_or_ended() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    for _ in 0..=WATCHED_ROWS_MAX {
        service.report(1);
    }
    assert_eq!(watcher.next().await, Err(WatchError::TooManyRows));
    assert_eq!(watcher.next().await, Err(WatchError::TooManyRows));
    let refused = service.publisher.watch(watch(0), PACE, None, None).await;
    assert_eq!(refused.err(), Some(WatchError::TooManyRows));
}

#[tokio::test(start_paused = true)]
async fn window_that_is_not_complete_is_said_to_be_so_until_it_is_again() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    assert_eq!(next(&mut watcher).await.complete_from, None);
    let from = Minute(service.minute() - 30);
    let set = |from| {
        let mut record = service.memory.record.lock().expect("nobody panics");
        record.complete_from = from;
    };
    set(Some(from));
    service.report(1);
    let message = next(&mut watcher).await;
    assert_eq!(message.complete_from, Some(from.start()));
    sleep(Duration::from_secs(31 * 60)).await;
    let mut message = next(&mut watcher).await;
    while message.complete_from.is_some() {
        message = next(&mut watcher).await;
    }
    assert!(matches!(message.update, Update::Changes(_)), "{message:?}");
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_every_stream_and_refuses_new_ones() {
    let service = Service::start();
    let mut idle = service.watch(0).await;
    let mut held_back = service.watch(0).await;
    let mut unread = service.watch(0).await;
    next(&mut idle).await;
    next(&mut held_back).await;
    service.report(1);
    let begun = Instant::now();
    let stop = service.stop.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(10)).await;
        stop.cancel();
    });
    assert_eq!(held_back.next().await, Err(WatchError::Stopping));
    assert_eq!(idle.next().await, Err(WatchError::Stopping));
    assert_eq!(unread.next().await, Err(WatchError::Stopping));
    assert_eq!(begun.elapsed(), Duration::from_millis(10));
    let refused = service.publisher.watch(watch(0), PACE, None, None).await;
    assert_eq!(refused.err(), Some(WatchError::Stopping));
}

#[tokio::test(start_paused = true)]
async fn failure_of_counting_ends_the_streams_but_not_the_publisher() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    service.report(UNSOUND);
    assert_eq!(watcher.next().await, Err(WatchError::Stopping));
    let sound = Record::default();
    *service.memory.record.lock().expect("nobody panics") = sound;
    assert_eq!(next(&mut service.watch(0).await).await.total, 0);
}

#[tokio::test]
async fn publisher_that_panics_has_ended_and_refuses_with_another_word_than_stopping() {
    let is_broken = Arc::new(AtomicUsize::new(0));
    let clock = Arc::clone(&is_broken);
    let now = move || {
        assert_eq!(clock.load(Ordering::Relaxed), 0, "the clock is broken");
        START
    };
    let (memory, hub, stop) = (Memory::default(), Hub::new(), CancellationToken::new());
    let publisher = Publisher::start(memory, hub.clone(), now, Seal::testing(7), stop);
    assert!(publisher.watch(watch(0), PACE, None, None).await.is_ok());
    assert!(!publisher.has_ended());
    is_broken.store(1, Ordering::Relaxed);
    hub.mark_changed(&[row(1, START_MINUTE, 1)], Position(1));
    publisher.ended().await;
    assert!(publisher.has_ended());
    let refused = publisher.watch(watch(0), PACE, None, None).await;
    assert_eq!(refused.err(), Some(WatchError::Failed));
}

#[tokio::test(start_paused = true)]
async fn idle_watcher_is_small() {
    let service = Service::start();
    let mut watcher = service.watch(0).await;
    next(&mut watcher).await;
    let waiting = size_of_val(&watcher.next());
    assert!(size_of::<Watcher>() + waiting <= WATCHER_BYTES_MAX);
}

/// What a client makes of a stream.
#[derive(Clone, Default)]
struct Mirror {
    counts: BTreeMap<Vec<String>, u64>,
    token: Option<Vec<u8>>,
}

impl Mirror {
    /// Takes a message in, and demands that the mirror then is what the record was at the
    /// position and minute that the message names.
    fn take(&mut self, message: &Message, record: &Record, watch: &Watch) {
        let changes = match &message.update {
            Update::Snapshot(figures) => {
                self.counts.clear();
                Some(figures)
            }
            Update::Changes(figures) => Some(figures),
            Update::Resumed | Update::Heartbeat => None,
        };
        for figure in changes.into_iter().flat_map(|figures| figures.iter()) {
            let keys = figure.keys().map(str::to_owned).collect();
            self.counts.insert(keys, figure.count());
        }
        self.counts.retain(|_, count| *count != 0);
        self.token = Some(message.resume_token.to_vec());
        let minute = message.as_of.minute().expect("after 1970");
        let expected = record.count_at(watch, watch.span(minute), message.position);
        let figures = self.counts.iter().map(|(keys, count)| Figure {
            keys: keys.clone(),
            count: *count,
            rests_on_few_days: None,
        });
        let mirrored = Counted {
            figures: figures.collect(),
            total: message.total,
            left_out: message.left_out,
        };
        assert_eq!(mirrored, expected, "{message:?}");
    }
}

#[derive(Clone, Debug)]
enum Action {
    Report { key: u8, minutes_ago: u32 },
    Withdraw(usize),
    Sleep { ms: u64 },
    Yield,
    Read(usize),
    Reconnect(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0u8..4, 0u32..8).prop_map(|(key, minutes_ago)| Action::Report { key, minutes_ago }),
        2 => (0usize..20).prop_map(Action::Withdraw),
        3 => prop_oneof![0u64..400, 0u64..90_000].prop_map(|ms| Action::Sleep { ms }),
        1 => Just(Action::Yield),
        6 => (0usize..4).prop_map(Action::Read),
        2 => (0usize..4).prop_map(Action::Reconnect),
    ]
}

/// A client that reads, breaks off and resumes.
struct Client {
    watch: Watch,
    pace: Duration,
    watcher: Watcher,
    mirror: Mirror,
}

impl Client {
    async fn connect(service: &Service, number: u64) -> Self {
        let watch = Watch {
            window_minutes: 5,
            ..watch(u8::try_from(number / 2).expect("a small number"))
        };
        let pace = Duration::from_millis(100 + 400 * number);
        let watcher = service
            .publisher
            .watch(watch.clone(), pace, None, None)
            .await;
        Self {
            watch,
            pace,
            watcher: watcher.expect("there is room"),
            mirror: Mirror::default(),
        }
    }

    async fn reconnect(&mut self, service: &Service) {
        let token = self.mirror.token.clone();
        let watch = self.watch.clone();
        let watcher = service.publisher.watch(watch, self.pace, token, None).await;
        self.watcher = watcher.expect("there is room");
    }

    /// Reads one message if there is one within some milliseconds.
    async fn read(&mut self, service: &Service, patience_ms: u64) -> Option<Message> {
        let patience = Duration::from_millis(patience_ms);
        let message = timeout(patience, self.watcher.next()).await.ok()?;
        let message = message.expect("the stream goes on");
        let record = service.memory.record.lock().expect("nobody panics").clone();
        self.mirror.take(&message, &record, &self.watch);
        Some(Message::clone(&message))
    }
}

async fn act(service: &Service, clients: &mut [Client], action: Action) {
    match action {
        Action::Report { key, minutes_ago } => {
            // Some lie ahead of the clock by a minute or two.
            service.report_of(service.minute() + 2 - minutes_ago, key);
        }
        Action::Withdraw(index) => service.withdraw(index),
        Action::Sleep { ms } => advance(Duration::from_millis(ms)).await,
        Action::Yield => tokio::task::yield_now().await,
        Action::Read(index) => {
            clients[index].read(service, 50).await;
        }
        Action::Reconnect(index) => clients[index].reconnect(service).await,
    }
}

/// Every message must fit what its client has, and every stream must end at the newest state.
async fn check_that_mirrors_follow(actions: Vec<Action>) {
    let service = Service::start();
    let mut clients = Vec::new();
    for number in 0..4 {
        clients.push(Client::connect(&service, number).await);
    }
    for action in actions {
        act(&service, &mut clients, action).await;
    }
    // The round under way comes to its end, rests, and the last one follows.
    sleep(2 * PACE).await;
    let last = service
        .memory
        .record
        .lock()
        .expect("nobody panics")
        .position;
    for client in &mut clients {
        let mut message = client.read(&service, 2 * HEARTBEAT_MS).await;
        while message
            .as_ref()
            .is_some_and(|message| message.update != Update::Heartbeat)
        {
            message = client.read(&service, 2 * HEARTBEAT_MS).await;
        }
        assert_eq!(message.map(|message| message.position), Some(last));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn snapshots_and_changes_always_lead_to_the_state_counted_directly(
        actions in prop::collection::vec(action(), 0..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        let runtime = runtime.expect("a runtime without I/O needs nothing");
        runtime.block_on(check_that_mirrors_follow(actions));
    }
}

#[tokio::test(start_paused = true)]
async fn figures_are_cited_first_and_once_for_each_window_however_often_they_change() {
    let service = Service::start();
    service.report(1);
    let mut watcher = service.watch(0).await;
    let first = next(&mut watcher).await;
    let cited = first.cited;
    assert!(first.is_window_new, "the first is cited in full");
    assert_eq!(cited.window, watch(0).span(Minute(START_MINUTE)));
    assert_eq!(cited.first_at, Position(1));
    for position in 2..5 {
        sleep(PACE).await;
        service.report(1);
        let message = next(&mut watcher).await;
        assert!(!message.is_window_new);
        let cited = message.cited;
        assert_eq!(cited.first_at, Position(position), "as the figures are");
    }
    sleep(Duration::from_secs(60)).await;
    let mut cited = Vec::new();
    for _ in 0..5 {
        let message = next(&mut watcher).await;
        cited.extend(message.is_window_new.then_some(message.cited.window.end.0));
    }
    assert_eq!(cited, [START_MINUTE + 2, START_MINUTE + 3]);
}

#[tokio::test(start_paused = true)]
async fn citation_does_not_show_that_something_else_was_recorded() {
    let service = Service::start();
    service.report(1);
    let mut others = service.watch(1).await;
    let before = next(&mut others).await.cited;
    service.report(2);
    sleep(PACE).await;
    let after = next(&mut service.watch(1).await).await;
    assert_eq!((after.cited, after.position), (before, Position(2)));
    service.report(1);
    sleep(PACE).await;
    let after = next(&mut service.watch(1).await).await.cited;
    assert_ne!(after, before);
}

#[tokio::test(start_paused = true)]
async fn figures_of_another_window_are_cited_as_of_a_place_that_has_them() {
    let service = Service::start();
    let watch = Watch {
        window_minutes: 5,
        ..watch(1)
    };
    // One stands in the oldest minute of the window.
    service.report_of(START_MINUTE - 4, 1);
    let watching = service.publisher.watch(watch.clone(), PACE, None, None);
    let mut watcher = watching.await.expect("there is room");
    assert_eq!(next(&mut watcher).await.total, 1);
    // Another comes as that minute ends: the same count, in the next window.
    advance(Duration::from_millis(49_990)).await;
    service.report(1);
    advance(Duration::from_millis(20)).await;
    let message = loop {
        let message = next(&mut watcher).await;
        if message.is_window_new {
            break message;
        }
    };
    assert_eq!(message.total, 1);
    let record = service.memory.record.lock().expect("nobody panics").clone();
    let cited = message.cited;
    let asked = record.count_at(&watch, cited.window, cited.first_at);
    assert_eq!(asked.total, 1, "as of {:?}", cited.first_at);
}
