//! The layer as its users see it: on paused time, counted from a plain list of incidents.

mod cited;
mod endings;
mod mirrors;
mod questions;
mod states;
mod tokens;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::time::{Instant, advance, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::auth::Seal;
use crate::domain::entry::Epoch;
use crate::domain::limits::{
    CHANGED_ROWS_MAX, HEARTBEAT_MS, WATCH_EARLIER_ROWS_MAX, WATCH_PACE_MS_MIN, WATCH_REQUESTS_MAX,
    WATCH_STATES_KEPT_MAX, WATCHED_QUESTIONS_MAX, WATCHED_QUESTIONS_PER_TOKEN_MAX,
    WATCHED_ROWS_MAX, WATCHED_ROWS_PER_TOKEN_MAX,
};
use crate::domain::testing::blank_row;
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
        mode: key,
        ..blank_row(Position(position), RowTime::Hour(Minute(minute).hour()))
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

/// As many rows as a watch may have, of which the first is another at each position.
fn wide(position: Position) -> Counted {
    let figure = |number| Figure {
        keys: vec![format!("{number:05}")],
        count: if number == 0 { 1 + position.0 } else { 1 },
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
            WIDE_MINUTES.. => wide(self.position),
            _ => self.count_at(watch, span, self.position),
        };
        let is_unsound = |one: &Incident| one.key == UNSOUND && is_counted(watch, UNSOUND);
        let is_sound = !self.incidents.iter().any(is_unsound);
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

fn packed(rows: &[(&str, u64)]) -> Arc<Rows> {
    let mut packing = rows::Packing::default();
    for (key, count) in rows {
        packing.push([*key].into_iter(), *count, None);
    }
    Arc::new(packing.pack())
}
