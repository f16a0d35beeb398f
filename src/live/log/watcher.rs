//! One stream of a log: its place, and when it is due for a sign of life.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::tail::{Found, Tail};
use super::{LogError, LogFilter, LogMessage, Shared, Stretch};
use crate::domain::Position;
use crate::domain::limits::{HEARTBEAT_MS, LOG_EVENTS_PER_MESSAGE_MAX, LOG_READ_ENTRIES_MAX};
use crate::live::permits::Permit;

/// One watcher of a log. Dropping it ends the watch.
pub struct LogWatcher {
    pub(super) shared: Arc<Shared>,
    pub(super) tail: watch::Receiver<Tail>,
    pub(super) filter: Arc<LogFilter>,
    /// Everything wanted through here was told.
    pub(super) cursor: Position,
    /// Whether it was at the end of the journal, and in which generation of the tail.
    pub(super) at_end: Option<u64>,
    /// When it must hear something.
    pub(super) due: Instant,
    pub(super) _permit: Permit,
}

/// What there is to do for a watcher.
enum Step {
    Take(Stretch),
    /// Read the journal.
    Read,
    Wait,
}

impl LogWatcher {
    /// The next message, or why there are no more. The first comes at once. Safe to drop while
    /// it waits: nothing is lost.
    pub async fn next(&mut self) -> Result<LogMessage, LogError> {
        loop {
            if self.shared.stop.is_cancelled() {
                return Err(LogError::Stopping);
            }
            let is_waiting = match self.step()? {
                Step::Take(stretch) => {
                    if let Some(message) = self.take(stretch) {
                        return Ok(message);
                    }
                    false
                }
                Step::Read => {
                    let stretch = self.read().await?;
                    if let Some(message) = self.take(stretch) {
                        return Ok(message);
                    }
                    false
                }
                Step::Wait => true,
            };
            if self.due <= Instant::now() {
                return Ok(self.message(Stretch {
                    events: Vec::new(),
                    reached: self.cursor,
                }));
            }
            if is_waiting {
                self.wait().await?;
            }
        }
    }

    fn step(&mut self) -> Result<Step, LogError> {
        let tail = self.tail.borrow_and_update();
        if tail.has_failed {
            return Err(LogError::Failed);
        }
        match tail.since(self.cursor, &self.filter) {
            Found::Events(stretch) => {
                self.at_end = Some(tail.generation);
                Ok(Step::Take(stretch))
            }
            Found::TooEarly if self.at_end == Some(tail.generation) => Err(LogError::Lagged {
                resume_token: self.shared.token(self.cursor),
            }),
            Found::TooEarly => Ok(Step::Read),
            Found::Nothing => Ok(Step::Wait),
        }
    }

    /// Goes on by what was found; a message if anything is wanted.
    fn take(&mut self, stretch: Stretch) -> Option<LogMessage> {
        if stretch.events.is_empty() {
            self.cursor = stretch.reached;
            return None;
        }
        Some(self.message(stretch))
    }

    fn message(&mut self, stretch: Stretch) -> LogMessage {
        self.cursor = stretch.reached;
        self.due = Instant::now() + Duration::from_millis(HEARTBEAT_MS);
        LogMessage {
            resume_token: self.shared.token(self.cursor),
            position: self.cursor,
            events: stretch.events,
        }
    }

    /// Reads the journal from its place on.
    async fn read(&self) -> Result<Stretch, LogError> {
        let from = self.cursor.next();
        let most = Position(self.cursor.0 + LOG_READ_ENTRIES_MAX);
        let through = self.shared.applied.now().min(most);
        let filter = Arc::clone(&self.filter);
        let read = self
            .shared
            .read(move |past| past.read(from, through, &filter, LOG_EVENTS_PER_MESSAGE_MAX));
        read.await
    }

    async fn wait(&mut self) -> Result<(), LogError> {
        tokio::select! {
            changed = self.tail.changed() => changed.map_err(|_| self.shared.ended()),
            () = sleep_until(self.due) => Ok(()),
        }
    }
}
