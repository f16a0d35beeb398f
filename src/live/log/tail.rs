//! The newest events, once for all watchers that are at the end of the journal.
//!
//! Where few watch, the committer hands each batch over as it is durable (`Feed`): no thread
//! has to wake to read it. What it does not hand over, the log's task reads from the journal;
//! what is not next after what is there already, neither of them adds.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Event, LogError, LogFilter, Past, Room, Shared, Stretch};
use crate::domain::Position;
use crate::domain::limits::{
    LOG_EVENTS_KEPT_MAX, LOG_EVENTS_LOOKED_AT_MAX, LOG_FED_WATCHERS_MAX,
    LOG_READ_AT_ONCE_ENTRIES_MAX, LOG_READ_ENTRIES_MAX, LOG_RETRY_MS,
};

/// The newest events, at most `LOG_EVENTS_KEPT_MAX`.
pub(super) struct Tail {
    events: VecDeque<Arc<Event>>,
    /// Every event after here, through `reached`, is among them.
    after: Position,
    reached: Position,
    /// Another number says that it was begun anew, because nobody watched for a while.
    pub generation: u64,
    /// Whether the journal could not be read.
    pub has_failed: bool,
}

/// Where a watcher is, as a tail sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Before what is kept.
    TooEarly,
    /// Where all that comes after it is kept.
    Inside,
    /// At the end, or ahead.
    AtEnd,
}

/// Everything that happened in a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Newest {
    /// The first position of the batch.
    pub first: Position,
    /// Its last.
    pub reached: Position,
    /// In order.
    pub events: Vec<Arc<Event>>,
}

/// Where the committer hands them over. The log does not live on for it.
pub(in crate::live) struct Feed(Weak<watch::Sender<Tail>>);

/// The task that reads them.
pub(super) struct Tailer {
    shared: Arc<Shared>,
    published: Arc<watch::Sender<Tail>>,
    unread: watch::Receiver<Position>,
}

// === impl Tail ===

impl Tail {
    /// Without events, at a place.
    pub fn at(position: Position) -> Self {
        Self {
            events: VecDeque::new(),
            after: position,
            reached: position,
            generation: 0,
            has_failed: false,
        }
    }

    /// How far it reaches.
    pub fn reached(&self) -> Position {
        self.reached
    }

    /// Where a watcher is that was told everything through a position.
    pub fn place(&self, position: Position) -> Place {
        if position < self.after {
            Place::TooEarly
        } else if position < self.reached {
            Place::Inside
        } else {
            Place::AtEnd
        }
    }

    /// What is wanted after a place inside, which may be nothing, and how far that goes. Looks
    /// at `LOG_EVENTS_LOOKED_AT_MAX` at most.
    pub fn since(&self, place: Position, wanted: &LogFilter) -> Stretch {
        let begin = self.events.partition_point(|event| event.position <= place);
        let mut events = Vec::new();
        let mut room = Room::MESSAGE;
        let mut last = place;
        for event in self.events.range(begin..).take(LOG_EVENTS_LOOKED_AT_MAX) {
            if room.is_full() {
                break;
            }
            last = event.position;
            if wanted.wants(event) {
                room.take(&event.facts);
                events.push(Arc::clone(event));
            }
        }
        let is_all = self
            .events
            .back()
            .is_none_or(|event| event.position <= last);
        let reached = if is_all { self.reached } else { last };
        Stretch { events, reached }
    }

    /// Adds what begins at a place, if that is next; says whether it is.
    fn extend(&mut self, first: Position, stretch: Stretch) -> bool {
        if first != self.reached.next() {
            return false;
        }
        self.events.extend(stretch.events);
        self.reached = stretch.reached;
        self.has_failed = false;
        while LOG_EVENTS_KEPT_MAX < self.events.len() {
            self.after = self.events.pop_front().map_or(self.after, |it| it.position);
        }
        true
    }

    fn begin_anew(&mut self, position: Position) {
        *self = Self {
            generation: self.generation + 1,
            ..Self::at(position)
        };
    }
}

// === impl Feed ===

impl Feed {
    /// To a tail, for as long as it lives.
    pub(super) fn new(published: &Arc<watch::Sender<Tail>>) -> Self {
        Self(Arc::downgrade(published))
    }

    /// Whether so few watch that whoever hands over wakes them all in little time.
    pub fn is_wanted(&self) -> bool {
        let watchers = |tail: Arc<watch::Sender<Tail>>| watchers_of(&tail);
        (1..=LOG_FED_WATCHERS_MAX).contains(&self.0.upgrade().map_or(0, watchers))
    }

    /// Hands over; whether it was taken. It is not where something before it is still to be
    /// read.
    pub fn offer(&self, newest: Newest) -> bool {
        let Some(tail) = self.0.upgrade() else {
            return false;
        };
        let Newest {
            first,
            reached,
            events,
        } = newest;
        tail.send_if_modified(|tail| tail.extend(first, Stretch { events, reached }))
    }
}

/// One receiver is the log's own.
fn watchers_of(published: &watch::Sender<Tail>) -> usize {
    published.receiver_count().saturating_sub(1)
}

// === impl Tailer ===

impl Tailer {
    /// Ready to run.
    pub fn new(
        shared: Arc<Shared>,
        published: Arc<watch::Sender<Tail>>,
        unread: watch::Receiver<Position>,
    ) -> Self {
        Self {
            shared,
            published,
            unread,
        }
    }

    /// Reads what becomes durable, as long as somebody watches.
    pub async fn run(mut self) {
        loop {
            if !self.is_watched() {
                self.shared.arrivals.notified().await;
                self.skip_what_nobody_watched();
                continue;
            }
            self.unread.mark_unchanged();
            let reached = self.published.borrow().reached;
            let applied = self.shared.applied.now();
            if reached.next() < self.shared.past.horizon() {
                // Watchers that are no further find out by themselves that it is gone.
                self.begin_anew(applied);
            } else if reached < applied {
                self.read(reached.next(), applied).await;
            } else if self.unread.changed().await.is_err() {
                return; // There will be no more.
            }
        }
    }

    fn is_watched(&self) -> bool {
        0 < watchers_of(&self.published)
    }

    /// Gives up what is kept, if more was missed than could be kept.
    fn skip_what_nobody_watched(&self) {
        let applied = self.shared.applied.now();
        let missed = applied.0.saturating_sub(self.published.borrow().reached.0);
        if LOG_EVENTS_KEPT_MAX as u64 <= missed {
            self.begin_anew(applied);
        }
    }

    fn begin_anew(&self, position: Position) {
        self.published.send_modify(|tail| tail.begin_anew(position));
    }

    async fn read(&self, from: Position, applied: Position) {
        let through = applied.min(Position(from.0 + LOG_READ_ENTRIES_MAX - 1));
        let read =
            move |past: &dyn Past| past.read(from, through, &LogFilter::default(), Room::TAIL);
        // What is little and was written just now is in the system's memory: another thread
        // would take longer to wake than this takes.
        let read = if through.0 - from.0 < LOG_READ_AT_ONCE_ENTRIES_MAX {
            self.shared.found(read(&*self.shared.past))
        } else {
            self.shared.read_at_once(read).await
        };
        match read {
            Ok(stretch) => {
                let extend = |tail: &mut Tail| tail.extend(from, stretch);
                self.published.send_if_modified(extend);
            }
            Err(error) => self.rest_after(&error).await,
        }
    }

    /// Nobody is told less than there is: watchers are ended rather than left waiting.
    async fn rest_after(&self, error: &LogError) {
        tracing::error!(%error, "incidents cannot be watched");
        self.published.send_modify(|tail| tail.has_failed = true);
        sleep(Duration::from_millis(LOG_RETRY_MS)).await;
        self.published.send_modify(|tail| tail.has_failed = false);
    }
}
