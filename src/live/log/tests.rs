//! The log against a journal in memory, by the guarantees that etcd gives for its watches:
//! ordered, unique, reliable, resumable and bookmarkable.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::time::{sleep, timeout};

use super::token::LogTokens;
use super::*;
use crate::domain::entry::Epoch;
use crate::domain::limits::{
    HEARTBEAT_MS, LOG_EVENTS_KEPT_MAX, LOG_EVENTS_PER_MESSAGE_MAX, LOG_READ_ENTRIES_MAX,
    LOG_READS_PER_TOKEN_MAX,
};
use crate::ledger::testing::Maker;

const START: UtcMillis = UtcMillis(1_795_442_400_000);
const OPERATORS: [&str; 2] = ["GVB", "HTM"];

/// A horizon that nobody can stand.
const UNSOUND: u64 = u64::MAX;

/// A journal in memory: for each position, what happened to an incident, if anything did.
struct Memory {
    entries: Mutex<Vec<Option<Arc<Event>>>>,
    horizon: AtomicU64,
    is_broken: AtomicBool,
    /// Whether reading what one operator has waits.
    is_blocked: Mutex<bool>,
    unblocked: Condvar,
}

#[derive(Clone)]
struct Handle(Arc<Memory>);

impl Past for Handle {
    fn epoch(&self) -> Epoch {
        Epoch([3; 16])
    }

    fn horizon(&self) -> Position {
        let horizon = self.0.horizon.load(Ordering::Relaxed);
        assert_ne!(horizon, UNSOUND, "it fails, as a test wants it");
        Position(horizon)
    }

    fn applied(&self) -> Position {
        Position(self.0.entries.lock().expect("nobody panics").len() as u64)
    }

    fn read(
        &self,
        from: Position,
        through: Position,
        wanted: &LogFilter,
        mut most: Room,
    ) -> Result<Stretch, ReadError> {
        if self.0.is_broken.load(Ordering::Relaxed) {
            return Err(ReadError::Missing(from));
        }
        if from < self.horizon() {
            return Err(ReadError::BelowHorizon);
        }
        if !wanted.operators.is_empty() {
            let blocked = self.0.is_blocked.lock().expect("nobody panics");
            let waited = self.0.unblocked.wait_while(blocked, |blocked| *blocked);
            drop(waited.expect("nobody panics"));
        }
        let mut stretch = Stretch::default();
        for position in from.0..=through.0 {
            stretch.reached = Position(position);
            let event = self.event(Position(position));
            let event = event.filter(|event| wanted.wants(event));
            most.take_all(event.as_deref());
            stretch.events.extend(event);
            if most.is_full() {
                break;
            }
        }
        Ok(stretch)
    }

    fn first_since(&self, time: UtcMillis, through: Position) -> Result<Position, ReadError> {
        let first = (self.horizon().0..=through.0).find(|place| time <= stamp_of(*place));
        Ok(Position(first.unwrap_or(through.0 + 1)))
    }
}

impl Handle {
    fn event(&self, position: Position) -> Option<Arc<Event>> {
        let index = usize::try_from(position.0 - 1).expect("a small number");
        self.0.entries.lock().expect("nobody panics")[index].clone()
    }
}

fn stamp_of(position: u64) -> Stamp {
    UtcMillis(START.0 + i64::try_from(position).expect("a small number") * 1_000)
}

/// A log with a committer's side to it.
struct Service {
    memory: Handle,
    hub: Hub,
    log: Log,
    stop: CancellationToken,
    facts: Facts,
}

impl Service {
    fn start() -> Self {
        let memory = Memory {
            entries: Mutex::default(),
            horizon: AtomicU64::new(1),
            is_broken: AtomicBool::new(false),
            is_blocked: Mutex::default(),
            unblocked: Condvar::new(),
        };
        Self::start_with(Handle(Arc::new(memory)))
    }

    fn start_with(memory: Handle) -> Self {
        let (hub, stop) = (Hub::new(), CancellationToken::new());
        let log = Log::start(memory.clone(), &hub, Seal::testing(7), stop.clone());
        let facts = Maker::new(7).facts(START);
        Self {
            memory,
            hub,
            log,
            stop,
            facts,
        }
    }

    /// Records incidents of an operator, and tells the hub when all of them are there.
    fn record(&self, operator: usize, count: u64) {
        for _ in 0..count {
            self.append(Some((operator, Change::Recorded)));
        }
        self.mark();
    }

    fn block(&self, is_blocked: bool) {
        *self.memory.0.is_blocked.lock().expect("nobody panics") = is_blocked;
        self.memory.0.unblocked.notify_all();
    }

    /// A minute passes.
    fn tick(&self) {
        self.append(None);
        self.mark();
    }

    fn mark(&self) {
        self.hub.mark_changed(&[], self.memory.applied());
    }

    /// As `record`, and hands over what happened, as the committer does where few watch.
    fn hand_over(&self, operator: usize, count: u64) {
        let first = self.memory.applied().next();
        for _ in 0..count {
            self.append(Some((operator, Change::Recorded)));
        }
        self.hand_over_from(first);
    }

    fn hand_over_from(&self, first: Position) {
        let reached = self.memory.applied();
        let events = (first.0..=reached.0).filter_map(|at| self.memory.event(Position(at)));
        let newest = Newest {
            first,
            reached,
            events: events.collect(),
        };
        self.hub.mark_told(&[], newest);
    }

    fn append(&self, change: Option<(usize, Change)>) {
        let position = self.memory.applied().next();
        let event = change.map(|(operator, change)| {
            Arc::new(Event {
                position,
                stamp: stamp_of(position.0),
                facts: Box::new(Facts {
                    operator: OPERATORS[operator].parse().ok(),
                    ..self.facts.clone()
                }),
                change,
            })
        });
        let mut entries = self.memory.0.entries.lock().expect("nobody panics");
        entries.push(event);
    }

    async fn try_watch(&self, operators: &[&str], start: Start) -> Result<LogWatcher, LogError> {
        self.log.watch(filter(operators), start, None).await
    }

    async fn watch(&self, operators: &[&str], start: Start) -> LogWatcher {
        let watcher = self.try_watch(operators, start).await;
        watcher.expect("there is room")
    }

    /// Positions of all events that a filter takes in, after one place and through another.
    fn expected(&self, operators: &[&str], after: Position, through: Position) -> Vec<Position> {
        let filter = filter(operators);
        (after.0 + 1..=through.0)
            .filter_map(|position| self.memory.event(Position(position)))
            .filter(|event| filter.matches(&event.facts))
            .map(|event| event.position)
            .collect()
    }
}

fn filter(operators: &[&str]) -> LogFilter {
    let codes = operators.iter().map(|code| code.parse().expect("a code"));
    LogFilter {
        operators: codes.collect(),
        ..LogFilter::default()
    }
}

async fn next(watcher: &mut LogWatcher) -> LogMessage {
    let told = watcher.next().await.expect("the stream goes on");
    LogMessage::clone(&told)
}

/// The next message that is no bookmark.
async fn next_events(watcher: &mut LogWatcher) -> LogMessage {
    loop {
        let message = next(watcher).await;
        if !message.events.is_empty() {
            return message;
        }
    }
}

fn positions(message: &LogMessage) -> Vec<u64> {
    message
        .events
        .iter()
        .map(|event| event.position.0)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_several_watchers_are_told_is_one_message() {
    let service = Service::start();
    let mut watchers = Vec::new();
    for operators in [&[][..], &[], &[OPERATORS[0]]] {
        watchers.push(service.watch(operators, Start::Now).await);
    }
    for watcher in &mut watchers {
        next(watcher).await;
    }
    for _ in 0..3 {
        service.record(0, 2);
        let mut told = Vec::new();
        for watcher in &mut watchers {
            told.push(watcher.next().await.expect("the stream goes on"));
        }
        assert!(Arc::ptr_eq(&told[0], &told[1]));
        assert!(!Arc::ptr_eq(&told[0], &told[2]));
    }
}

#[tokio::test(start_paused = true)]
async fn first_message_is_a_bookmark_at_once_where_nothing_has_happened_since() {
    let service = Service::start();
    service.record(0, 3);
    let begun = Instant::now();
    let message = next(&mut service.watch(&[], Start::Now).await).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!((message.position, message.events.len()), (Position(3), 0));
    let token = Start::Token(message.resume_token.into());
    let mut resumed = service.watch(&[], token).await;
    assert_eq!(next(&mut resumed).await.position, Position(3));
}

#[tokio::test(start_paused = true)]
async fn events_come_as_soon_as_they_are_applied_and_not_before() {
    let service = Service::start();
    let mut watcher = service.watch(&[], Start::Now).await;
    next(&mut watcher).await;
    service.append(Some((0, Change::Recorded)));
    tokio::select! {
        message = next(&mut watcher) => panic!("too early: {message:?}"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    let marked = Instant::now();
    service.mark();
    assert_eq!(positions(&next_events(&mut watcher).await), [1]);
    assert_eq!(marked.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_over_is_read_by_nobody_unless_something_before_it_is_missing() {
    let service = Service::start();
    assert!(!service.hub.is_log_fed(), "nobody watches");
    let mut watcher = service.watch(&[], Start::Now).await;
    next(&mut watcher).await;
    assert!(service.hub.is_log_fed());
    // Whoever reads now fails.
    service.memory.0.is_broken.store(true, Ordering::Relaxed);
    service.hand_over(0, 3);
    assert_eq!(positions(&next_events(&mut watcher).await), [1, 2, 3]);
    service.append(Some((1, Change::Recorded)));
    service.hand_over(0, 1);
    service.memory.0.is_broken.store(false, Ordering::Relaxed);
    // Position 4 was told to nobody: it is read, and so is 5.
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(positions(&next_events(&mut watcher).await));
    }
    assert_eq!(told, [4, 5]);
}

#[tokio::test(start_paused = true)]
async fn withdrawal_is_told_with_the_place_of_its_incident() {
    let service = Service::start();
    let mut watcher = service.watch(&[], Start::Now).await;
    next(&mut watcher).await;
    service.record(0, 1);
    let recorded = Position(1);
    service.append(Some((0, Change::Withdrawn { recorded })));
    service.mark();
    let mut changes = Vec::new();
    while changes.len() < 2 {
        let message = next(&mut watcher).await;
        changes.extend(message.events.iter().map(|event| event.change));
    }
    assert_eq!(changes, [Change::Recorded, Change::Withdrawn { recorded }]);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_told_of_amendments_hears_nothing_at_another_time_than_usual() {
    let service = Service::start();
    let filter = LogFilter {
        without_amendments: true,
        ..LogFilter::default()
    };
    let watching = service.log.watch(filter, Start::Now, None);
    let mut watcher = watching.await.expect("there is room");
    let mut others = service.watch(&[], Start::Now).await;
    next(&mut watcher).await;
    next(&mut others).await;
    let begun = Instant::now();
    sleep(Duration::from_millis(HEARTBEAT_MS / 2)).await;
    service.append(Some((
        0,
        Change::Amended {
            recorded: Position(1),
        },
    )));
    service.mark();
    assert_eq!(positions(&next_events(&mut others).await), [1]);
    let message = next(&mut watcher).await;
    assert!(message.events.is_empty());
    assert_eq!(begun.elapsed(), Duration::from_millis(HEARTBEAT_MS));
    service.record(0, 1);
    assert_eq!(positions(&next_events(&mut watcher).await), [2]);
}

#[tokio::test(start_paused = true)]
async fn bookmarkable_filtered_out_and_idle_streams_have_bookmarks_that_move_on() {
    let service = Service::start();
    let mut watcher = service.watch(&["HTM"], Start::Now).await;
    next(&mut watcher).await;
    let begun = Instant::now();
    for round in 1..=3 {
        service.record(0, 10);
        service.tick();
        let bookmark = next(&mut watcher).await;
        assert!(bookmark.events.is_empty());
        assert_eq!(bookmark.position, Position(round * 11));
        let elapsed = u64::try_from(begun.elapsed().as_millis()).expect("short");
        assert_eq!(elapsed, round * HEARTBEAT_MS);
    }
}

#[tokio::test(start_paused = true)]
async fn stream_from_a_time_begins_with_what_became_durable_then() {
    let service = Service::start();
    service.record(0, 100);
    let check = async |time, expected: u64| {
        let mut watcher = service.watch(&[], Start::Time(time)).await;
        let message = next_events(&mut watcher).await;
        assert_eq!(positions(&message)[0], expected);
    };
    check(UtcMillis(0), 1).await;
    check(stamp_of(40), 40).await;
    check(UtcMillis(stamp_of(40).0 + 1), 41).await;
    let ahead = Start::Time(stamp_of(1_000));
    let message = next(&mut service.watch(&[], ahead).await).await;
    assert_eq!((message.position, message.events.len()), (Position(100), 0));
}

#[tokio::test(start_paused = true)]
async fn history_runs_into_the_present_without_a_gap_or_a_repeat() {
    let before = Service::start();
    let many = 3 * LOG_READ_ENTRIES_MAX;
    before.record(0, many);
    // What is kept for all begins after the history, which is read from the journal.
    let service = Service::start_with(before.memory.clone());
    let mut watcher = service.watch(&[], Start::Time(START)).await;
    let mut seen = Vec::new();
    while (seen.len() as u64) < many + 500 {
        let message = next(&mut watcher).await;
        assert!(message.events.len() <= LOG_EVENTS_PER_MESSAGE_MAX);
        seen.extend(message.events.iter().map(|event| event.position));
        service.record(0, 7);
    }
    let last = *seen.last().expect("some");
    assert_eq!(seen, service.expected(&[], Position(0), last));
}

#[tokio::test]
async fn readers_of_the_past_with_one_token_do_not_delay_those_with_another() {
    let before = Service::start();
    before.record(0, 10);
    let service = Service::start_with(before.memory.clone());
    let watch = async |operators: &[&str], token| {
        let start = Start::Time(START);
        let watching = service.log.watch(filter(operators), start, token).await;
        watching.expect("there is room")
    };
    service.block(true);
    let mut slow = Vec::new();
    for _ in 0..9 {
        slow.push(watch(&["GVB"], Some(1)).await);
    }
    let slow = slow
        .into_iter()
        .map(|mut watcher| tokio::spawn(async move { watcher.next().await }));
    let slow: Vec<_> = slow.collect();
    // Each reads, or waits for its turn.
    tokio::task::yield_now().await;
    let other = async {
        let mut watcher = watch(&[], Some(2)).await;
        next(&mut watcher).await
    };
    let told = timeout(Duration::from_secs(10), other).await;
    service.block(false);
    let told = told.expect("nobody is in its way");
    assert_eq!(told.events.len(), 10);
    for watcher in slow {
        let told = watcher.await.expect("no panic").expect("it reads on");
        assert_eq!(told.events.len(), 10);
    }
}

#[tokio::test]
async fn turn_of_who_went_away_lasts_as_long_as_what_is_read_for_them() {
    let before = Service::start();
    before.record(0, 10);
    let service = Service::start_with(before.memory.clone());
    service.block(true);
    for _ in 0..LOG_READS_PER_TOKEN_MAX {
        let mut watcher = service.watch(&["GVB"], Start::Time(START)).await;
        let told = watcher.next().now_or_never();
        assert!(told.is_none(), "it reads");
    }
    let turns = &service.log.0.turns;
    let next = turns.take(None).now_or_never();
    service.block(false);
    assert!(next.is_none(), "as many are read for as may be");
    assert!(turns.take(None).await.is_some(), "in the end");
}

#[tokio::test(start_paused = true)]
async fn watcher_that_falls_behind_is_ended_with_a_token_that_misses_nothing() {
    let service = Service::start();
    let mut slow = service.watch(&[], Start::Now).await;
    let mut quick = service.watch(&[], Start::Now).await;
    next(&mut slow).await;
    next(&mut quick).await;
    service.record(0, 1);
    assert_eq!(positions(&next_events(&mut slow).await), [1]);
    let mut heard = 0;
    while heard < 2 * LOG_EVENTS_KEPT_MAX {
        service.record(0, 1_000);
        loop {
            let message = next(&mut quick).await;
            heard += message.events.len();
            if message.position == service.memory.applied() {
                break;
            }
        }
    }
    let Err(LogError::Lagged { resume_token }) = slow.next().await else {
        panic!("it is far behind");
    };
    let mut resumed = service.watch(&[], Start::Token(resume_token)).await;
    assert_eq!(positions(&next_events(&mut resumed).await)[0], 2);
}

#[tokio::test(start_paused = true)]
async fn two_bookmarks_of_one_place_do_not_show_that_nothing_was_recorded_in_between() {
    let service = Service::start();
    service.record(0, 1);
    let mut watcher = service.watch(&["HTM"], Start::Now).await;
    let mut other = service.watch(&["HTM"], Start::Now).await;
    let first = next(&mut watcher).await;
    // Who is told at the same time is told the same, so that it is made once.
    assert_eq!(next(&mut other).await.resume_token, first.resume_token);
    let second = next(&mut watcher).await;
    assert!(second.events.is_empty() && second.position == first.position);
    let same = first.resume_token.iter().zip(&second.resume_token).skip(9);
    assert!(same.filter(|(a, b)| a == b).count() < 6);
    for token in [first.resume_token, second.resume_token] {
        let mut resumed = service.watch(&[], Start::Token(token.into())).await;
        assert_eq!(next(&mut resumed).await.position, first.position);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_lags_because_nobody_watched_for_a_while() {
    let service = Service::start();
    let mut first = service.watch(&[], Start::Now).await;
    let token = next(&mut first).await.resume_token;
    drop(first);
    service.record(0, 3 * LOG_EVENTS_KEPT_MAX as u64);
    let mut late = service.watch(&[], Start::Now).await;
    let mut resumed = service.watch(&[], Start::Token(token.into())).await;
    next(&mut late).await;
    service.record(0, 1);
    assert_eq!(next(&mut late).await.events.len(), 1);
    let mut heard = 0;
    while heard <= 3 * LOG_EVENTS_KEPT_MAX {
        heard += next(&mut resumed).await.events.len();
    }
}

#[tokio::test(start_paused = true)]
async fn token_that_is_no_place_to_begin_is_refused_with_the_oldest() {
    let service = Service::start();
    service.record(0, 10);
    service.memory.0.horizon.store(5, Ordering::Relaxed);
    let epoch = service.memory.epoch();
    let check = async |start: Start, expected: Gone| {
        let refused = service.try_watch(&[], start).await.err();
        let Some(LogError::Gone { why, oldest_token }) = refused else {
            panic!("{expected:?} was due, not {refused:?}");
        };
        assert_eq!(why, expected);
        let mut oldest = service.watch(&[], Start::Token(oldest_token)).await;
        assert_eq!(positions(&next_events(&mut oldest).await)[0], 5);
    };
    let token = |epoch, position| {
        let tokens = LogTokens::new(epoch, Seal::testing(7));
        Start::Token(tokens.token(Position(position)))
    };
    check(token(Epoch([4; 16]), 7), Gone::OtherJournal).await;
    check(token(epoch, 3), Gone::TooOld).await;
    check(token(epoch, 11), Gone::Ahead).await;
    check(token(epoch, u64::MAX), Gone::Ahead).await;
    check(Start::Time(stamp_of(4)), Gone::TooOld).await;
    let garbage = service.try_watch(&[], Start::Token(vec![1, 2, 3])).await;
    assert_eq!(garbage.err(), Some(LogError::Token));
    for position in [4, 10] {
        assert!(service.try_watch(&[], token(epoch, position)).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn horizon_that_passes_a_reader_ends_it_instead_of_leaving_a_gap() {
    let service = Service::start();
    service.record(0, 2 * LOG_READ_ENTRIES_MAX);
    // What is read by itself, not what is kept for all.
    let mut watcher = Service::start_with(service.memory.clone())
        .watch(&[], Start::Time(START))
        .await;
    assert_eq!(positions(&next_events(&mut watcher).await)[0], 1);
    service.memory.0.horizon.store(1_000, Ordering::Relaxed);
    let ended = watcher.next().await;
    assert!(
        matches!(
            ended,
            Err(LogError::Gone {
                why: Gone::TooOld,
                ..
            })
        ),
        "{ended:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn journal_that_cannot_be_read_ends_streams_until_it_can() {
    let service = Service::start();
    let mut watcher = service.watch(&[], Start::Now).await;
    let token = next(&mut watcher).await.resume_token;
    service.memory.0.is_broken.store(true, Ordering::Relaxed);
    service.record(0, 1);
    assert_eq!(watcher.next().await.err(), Some(LogError::Failed));
    drop(watcher);
    service.memory.0.is_broken.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(2)).await;
    let mut again = service.watch(&[], Start::Token(token.into())).await;
    assert_eq!(positions(&next_events(&mut again).await), [1]);
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_every_stream_and_refuses_new_ones() {
    let service = Service::start();
    let mut watcher = service.watch(&[], Start::Now).await;
    next(&mut watcher).await;
    let stop = service.stop.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(10)).await;
        stop.cancel();
    });
    assert_eq!(watcher.next().await.err(), Some(LogError::Stopping));
    let refused = service.try_watch(&[], Start::Now).await;
    assert_eq!(refused.err(), Some(LogError::Stopping));
}

/// What a watcher wants, and what it was told so far, over all of its connections.
struct Told {
    wanted: &'static [&'static str],
    watcher: Option<LogWatcher>,
    begun: Option<Position>,
    token: Option<Vec<u8>>,
    reached: Position,
    events: Vec<Position>,
}

impl Told {
    fn new(wanted: &'static [&'static str]) -> Self {
        Self {
            wanted,
            watcher: None,
            begun: None,
            token: None,
            reached: Position(0),
            events: Vec::new(),
        }
    }

    /// Takes one message, connecting if it has to; nothing if none comes at once.
    async fn step(&mut self, service: &Service) {
        if self.watcher.is_none() {
            let start = self.token.clone().map_or(Start::Now, Start::Token);
            self.watcher = Some(service.watch(self.wanted, start).await);
        }
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let message = timeout(Duration::from_millis(1), watcher.next()).await;
        match message {
            Ok(Ok(message)) => self.take(&message),
            Ok(Err(LogError::Lagged { resume_token })) => {
                self.token = Some(resume_token);
                self.watcher = None;
            }
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => {}
        }
    }

    fn take(&mut self, message: &LogMessage) {
        assert!(self.reached <= message.position, "bookmarkable");
        let mut last = self.reached;
        for event in &message.events {
            assert!(last < event.position, "ordered and unique");
            last = event.position;
        }
        assert!(last <= message.position, "bookmarkable");
        if self.begun.is_none() {
            assert!(message.events.is_empty(), "from now");
            self.begun = Some(message.position);
        }
        self.reached = message.position;
        self.token = Some(message.resume_token.to_vec());
        self.events
            .extend(message.events.iter().map(|event| event.position));
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Record(usize, u64),
    HandOver(usize, u64),
    Tick,
    Take(usize, u8),
    Disconnect(usize),
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..2_usize, 1..40_u64).prop_map(|(operator, count)| Deed::Record(operator, count)),
        1 => (0..2_usize, 4_000..9_000_u64).prop_map(|(operator, count)| Deed::Record(operator, count)),
        4 => (0..2_usize, 1..40_u64).prop_map(|(operator, count)| Deed::HandOver(operator, count)),
        1 => Just(Deed::Tick),
        8 => (0..3_usize, 1..6_u8).prop_map(|(who, count)| Deed::Take(who, count)),
        3 => (0..3_usize).prop_map(Deed::Disconnect),
        1 => Just(Deed::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Ordered, unique and bookmarkable are demanded of each message; reliable and resumable
    /// by what all of them come to.
    #[test]
    fn pieced_together_what_watchers_were_told_is_the_journal(
        deeds in prop::collection::vec(deed(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut service = Service::start();
            let mut all = [Told::new(&[]), Told::new(&["GVB"]), Told::new(&["HTM"])];
            for deed in deeds {
                match deed {
                    Deed::Record(operator, count) => service.record(operator, count),
                    Deed::HandOver(operator, count) => service.hand_over(operator, count),
                    Deed::Tick => service.tick(),
                    Deed::Take(who, count) => {
                        for _ in 0..count {
                            all[who].step(&service).await;
                        }
                    }
                    Deed::Disconnect(who) => all[who].watcher = None,
                    Deed::Restart => {
                        all.iter_mut().for_each(|told| told.watcher = None);
                        service.stop.cancel();
                        service = Service::start_with(service.memory.clone());
                    }
                }
            }
            let end = service.memory.applied();
            for told in &mut all {
                let Some(begun) = told.begun else { continue };
                while told.reached < end {
                    told.step(&service).await;
                    sleep(Duration::from_millis(HEARTBEAT_MS / 2)).await;
                }
                let expected = service.expected(told.wanted, begun, end);
                assert_eq!(told.events, expected, "reliable and resumable");
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn log_whose_task_panics_has_ended_and_says_so_to_everybody() {
    let service = Service::start();
    let mut watcher = service.watch(&[], Start::Now).await;
    next(&mut watcher).await;
    assert!(!service.log.has_ended());
    service.memory.0.horizon.store(UNSOUND, Ordering::Relaxed);
    service.record(0, 1);
    assert_eq!(watcher.next().await.err(), Some(LogError::Failed));
    service.log.ended().await;
    assert!(service.log.has_ended());
    let refused = service.try_watch(&[], Start::Now).await;
    assert_eq!(refused.err(), Some(LogError::Failed));
}
