//! Incidents as a log: each, and what happens to it, once and in the order of the journal.
//!
//! Every watcher has a place in the journal and goes on from there; nothing is kept for it. At
//! the end of the journal all watchers share the newest events, which the committer hands over
//! or one task reads once (`tail`). Whoever is not that far reads the journal by itself, in
//! bounded batches off the asynchronous threads (`past`), and thereby comes to the end of it
//! without a gap or a repeat. A watcher that was at the end and falls out of what is shared is
//! ended, with a token to resume from. Only what is durable and applied is ever seen.

mod past;
mod room;
mod tail;
#[cfg(test)]
mod tests;
mod token;
mod turns;
mod watcher;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Gone;
use super::alarm::Alarm;
use super::encoded::MessageCache;
use super::fair_queue::Asker;
use super::hub::Hub;
use super::sealed::NoToken;
use crate::auth::Seal;
use crate::domain::limits::LOG_MESSAGES_KEPT_MAX;
use crate::domain::taxonomy::{CaseState, ClosedReason};
use crate::domain::{Facts, LineId, OperatorCode, Position, Stamp, UtcMillis};
use crate::journal::JournalError;

pub use past::{JournalPast, Past, Stretch};
pub use room::{Room, bytes_max};
pub use tail::Newest;
pub use watcher::LogWatcher;

pub(in crate::live) use tail::Feed;

use tail::{Tail, Tailer};
use token::LogTokens;
use turns::Turns;

/// What happened to an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the journal.
    pub position: Position,
    /// When it became durable.
    pub stamp: Stamp,
    /// What is counted of the incident.
    pub facts: Box<Facts>,
    /// What happened.
    pub change: Change,
}

/// What can happen to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was recorded.
    Recorded,
    /// Its reporter withdrew it, and it counts no more.
    Withdrawn {
        /// Where it was recorded.
        recorded: Position,
    },
    /// Its operator answered. What is told with this is the incident as it was recorded.
    Answered {
        /// Where it was recorded.
        recorded: Position,
        /// What the answer says.
        state: CaseState,
        /// Why, if it is closed without a repair.
        reason: Option<ClosedReason>,
    },
    /// Its reporter told what came later; what is told with this counts instead.
    Amended {
        /// Where it was recorded.
        recorded: Position,
    },
}

/// Which incidents are wanted. An empty list does not restrict; both must be met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Operators.
    pub operators: Vec<OperatorCode>,
    /// Lines.
    pub lines: Vec<LineId>,
    /// Whether amendments are left out as if there were none: nearly all are about staff, and
    /// even a sign of life at another time than usual would show that there was one.
    pub without_amendments: bool,
}

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After everything that is applied now.
    Now,
    /// After the message that brought this token.
    Token(Vec<u8>),
    /// With what became durable at this time or later.
    Time(UtcMillis),
}

/// One message to a watcher.
#[derive(Clone, Debug, PartialEq)]
pub struct LogMessage {
    /// Resumes after this message.
    pub resume_token: Bytes,
    /// Everything wanted through here has been told.
    pub position: Position,
    /// In the order of their positions, as many as a message has room for. None: a bookmark.
    pub events: Vec<Arc<Event>>,
}

/// Why a log cannot be watched, or ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The resume token was not made by this service.
    #[error("the resume token is malformed")]
    Token,
    /// The place to begin is not there.
    #[error("the log does not have what comes after the place to begin")]
    Gone {
        /// Why.
        why: Gone,
        /// Resumes with the oldest that there is.
        oldest_token: Vec<u8>,
    },
    /// The watcher was too slow.
    #[error("the watcher fell behind")]
    Lagged {
        /// Resumes where it is.
        resume_token: Vec<u8>,
    },
    /// The server is shutting down; worth another try.
    #[error("shutting down")]
    Stopping,
    /// The journal cannot be read, or the task is gone, by a bug.
    #[error("the log cannot be read")]
    Failed,
}

/// Why a stretch of the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It begins below the horizon.
    #[error("the journal begins later")]
    BelowHorizon,
    /// An entry is not where it should be.
    #[error("entry {0} is missing")]
    Missing(Position),
    /// The journal.
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
}

/// The log that is watched. Clones are the same log.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

/// What the log's task and its watchers share.
struct Shared {
    past: Arc<dyn Past>,
    tokens: LogTokens,
    started: Instant,
    /// For watchers to come.
    tail: watch::Receiver<Tail>,
    /// Messages of the tail.
    told: MessageCache<Telling, LogMessage>,
    /// Told when a watcher comes.
    arrivals: Notify,
    turns: Turns,
    applied: Applied,
    stop: CancellationToken,
    /// Cancelled when the task has ended, also by a panic.
    ended: CancellationToken,
}

/// Equal for equal messages of the tail.
#[derive(Clone, Debug, PartialEq)]
struct Telling {
    /// Where the watcher was.
    after: Position,
    /// How far the tail reached.
    reached: Position,
    filter: Arc<LogFilter>,
    /// Of a bookmark, when it is told: two of one place must differ, or they would show that
    /// nothing was recorded in between.
    beat: Option<u128>,
}

/// Through where everything is durable and applied.
#[derive(Clone)]
struct Applied {
    at_start: Position,
    hub: watch::Receiver<Position>,
}

// === impl LogFilter ===

impl LogFilter {
    /// Whether an event is wanted.
    fn wants(&self, event: &Event) -> bool {
        let is_left_out = self.without_amendments && matches!(event.change, Change::Amended { .. });
        !is_left_out && self.matches(&event.facts)
    }

    /// Whether an incident with these facts is wanted.
    pub fn matches(&self, facts: &Facts) -> bool {
        is_among(&self.operators, facts.operator.as_ref())
            && is_among(&self.lines, facts.line.as_ref())
    }
}

fn is_among<T: PartialEq>(wanted: &[T], value: Option<&T>) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.contains(value))
}

// === impl Log ===

impl Log {
    /// Spawns the log's task on the current tokio runtime. It learns from `hub` how far the
    /// journal is applied, gives out tokens under `seal`, and ends all streams when `stop` is
    /// cancelled. Call it before serving: what is applied is looked up once.
    pub fn start(past: impl Past, hub: &Hub, seal: Seal, stop: CancellationToken) -> Self {
        let unread = hub.unread();
        let at_start = past.applied();
        let (published, tail) = watch::channel(Tail::at(at_start));
        let shared = Arc::new(Shared {
            tokens: LogTokens::new(past.epoch(), seal),
            started: Instant::now(),
            past: Arc::new(past),
            tail,
            told: MessageCache::new(LOG_MESSAGES_KEPT_MAX),
            arrivals: Notify::new(),
            turns: Turns::default(),
            applied: Applied {
                at_start,
                hub: hub.reached(),
            },
            stop: stop.clone(),
            ended: CancellationToken::new(),
        });
        let ended = shared.ended.clone().drop_guard();
        let published = Arc::new(published);
        hub.feed(Feed::new(&published));
        let tailer = Tailer::new(Arc::clone(&shared), published, unread);
        tokio::spawn(async move {
            let _ended = ended;
            // Dropping the task drops its channel, which ends every stream.
            stop.run_until_cancelled(tailer.run()).await;
        });
        Self(shared)
    }

    /// Waits until the task has ended: it was stopped, or a bug made it panic. Then nothing can
    /// be watched any more.
    pub async fn ended(&self) {
        self.0.ended.cancelled().await;
    }

    /// Whether the task has ended.
    pub fn has_ended(&self) -> bool {
        self.0.ended.is_cancelled()
    }

    /// Begins to watch. Of one asker, which is a token or all who have none, few read the journal at
    /// once.
    pub async fn watch(
        &self,
        filter: LogFilter,
        start: Start,
        asker: Asker,
    ) -> Result<LogWatcher, LogError> {
        let shared = &self.0;
        if shared.stop.is_cancelled() {
            return Err(LogError::Stopping);
        }
        if self.has_ended() {
            return Err(LogError::Failed);
        }
        // First of all, so that the task runs when the watcher looks at what it brings.
        let tail = shared.tail.clone();
        shared.arrivals.notify_one();
        let cursor = match start {
            Start::Now => shared.applied.now(),
            Start::Token(bytes) => shared.resume(&bytes)?,
            Start::Time(time) => shared.before(time, asker).await?,
        };
        Ok(LogWatcher {
            shared: Arc::clone(shared),
            tail,
            filter: Arc::new(filter),
            asker,
            cursor,
            at_end: None,
            due: Instant::now(),
            alarm: Alarm::default(),
        })
    }
}

impl Shared {
    /// The place that a token stands for.
    fn resume(&self, bytes: &[u8]) -> Result<Position, LogError> {
        let position = self.tokens.position(bytes).map_err(|error| match error {
            NoToken::Malformed => LogError::Token,
            NoToken::OtherJournal => self.gone(Gone::OtherJournal),
        })?;
        // First, because nothing comes after the last position.
        if self.applied.now() < position {
            return Err(self.gone(Gone::Ahead));
        }
        if position.next() < self.past.horizon() {
            return Err(self.gone(Gone::TooOld));
        }
        Ok(position)
    }

    /// The place before everything from a time on.
    async fn before(self: &Arc<Self>, time: UtcMillis, asker: Asker) -> Result<Position, LogError> {
        let applied = self.applied.now();
        let first = self
            .read(asker, move |past| past.first_since(time, applied))
            .await?;
        let horizon = self.past.horizon();
        // What was there before the horizon may have been of that time as well.
        if first == horizon && Position(1) < horizon {
            return Err(self.gone(Gone::TooOld));
        }
        Ok(Position(first.0 - 1))
    }

    fn gone(&self, why: Gone) -> LogError {
        let oldest = Position(self.past.horizon().0 - 1);
        LogError::Gone {
            why,
            oldest_token: self.token(oldest),
        }
    }

    fn message(&self, stretch: Stretch) -> LogMessage {
        LogMessage {
            resume_token: self.token(stretch.reached).into(),
            position: stretch.reached,
            events: stretch.events,
        }
    }

    fn token(&self, position: Position) -> Vec<u8> {
        self.tokens.token(position)
    }

    /// Reads for somebody off the asynchronous threads, when it is their turn.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        asker: Asker,
        read: impl FnOnce(&dyn Past) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, LogError> {
        let turn = self.turns.take(asker).await;
        let turn = turn.ok_or(LogError::Stopping)?;
        self.read_at_once(move |past| {
            let _turn = turn;
            read(past)
        })
        .await
    }

    /// As `read`, without waiting for a turn.
    async fn read_at_once<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&dyn Past) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, LogError> {
        let past = Arc::clone(&self.past);
        match tokio::task::spawn_blocking(move || read(&*past)).await {
            Ok(found) => self.found(found),
            Err(error) => {
                // Its message may hold a client's text.
                tracing::error!(is_panic = error.is_panic(), "reading for watchers failed");
                Err(LogError::Failed)
            }
        }
    }

    /// What was read, or what watchers are told instead.
    fn found<T>(&self, found: Result<T, ReadError>) -> Result<T, LogError> {
        match found {
            Ok(found) => Ok(found),
            Err(ReadError::BelowHorizon) => Err(self.gone(Gone::TooOld)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "journal cannot be read for watchers");
                Err(LogError::Failed)
            }
        }
    }

    /// Why the log's task does not answer.
    fn ended(&self) -> LogError {
        if self.stop.is_cancelled() {
            LogError::Stopping
        } else {
            LogError::Failed
        }
    }
}

impl Applied {
    fn now(&self) -> Position {
        self.at_start.max(*self.hub.borrow())
    }
}
