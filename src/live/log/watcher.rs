//! One stream of a log: its place, and when it is due for a sign of life.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::tail::{Place, Tail};
use super::{LogError, LogFilter, LogMessage, Room, Shared, Stretch, Telling};
use crate::domain::Position;
use crate::domain::limits::{HEARTBEAT_MS, LOG_READ_ENTRIES_MAX};
use crate::live::alarm::Alarm;
use crate::live::encoded::EncodedMessage;
use crate::live::fair_queue::Asker;

/// Watchers who are told in one of these that nothing happened are told it by one message.
const BEAT_MS: u128 = 100;

/// One watcher of a log. Dropping it ends the watch.
pub struct LogWatcher {
    pub(super) shared: Arc<Shared>,
    pub(super) tail: watch::Receiver<Tail>,
    pub(super) filter: Arc<LogFilter>,
    /// Whose turn it takes where it reads the journal.
    pub(super) asker: Asker,
    /// Everything wanted through here was told.
    pub(super) cursor: Position,
    /// Whether it was at the end of the journal, and in which generation of the tail.
    pub(super) at_end: Option<u64>,
    /// When it must hear something.
    pub(super) due: Instant,
    pub(super) alarm: Alarm,
}

/// What there is to do for a watcher.
enum Step {
    /// To tell this.
    Tell(Arc<EncodedMessage<LogMessage>>),
    /// To read the journal.
    Read,
    /// To wait for what comes, or for the instant at which it must hear something.
    Wait,
}

/// What the tail has for a watcher.
enum Kept {
    /// What comes after its place, which others are told as well. It is no message if it brings
    /// nothing that is wanted.
    Next(Arc<EncodedMessage<LogMessage>>),
    /// Only what comes later.
    Later,
    /// Nothing after its place.
    Nothing,
}

impl LogWatcher {
    /// The next message, or why there are no more. The first comes at once. Safe to drop while
    /// it waits: nothing is lost.
    // Every stream has room for what is kept here over what is waited for, so that is little.
    pub async fn next(&mut self) -> Result<Arc<EncodedMessage<LogMessage>>, LogError> {
        loop {
            let is_behind = match self.step()? {
                Step::Tell(told) => return Ok(told),
                Step::Read => true,
                Step::Wait => false,
            };
            if !is_behind {
                tokio::select! {
                    biased;
                    changed = self.tail.changed() => changed.map_err(|_| self.shared.ended())?,
                    () = self.alarm.wait_until(self.due) => {}
                }
                continue;
            }
            // In a box, because most watchers never need it.
            let stretch = Box::pin(self.read()).await?;
            let read = Arc::new(EncodedMessage::new(self.shared.message(stretch)));
            if let Some(told) = self.take(read).or_else(|| self.sign_of_life()) {
                return Ok(told);
            }
        }
    }

    fn step(&mut self) -> Result<Step, LogError> {
        loop {
            if self.shared.stop.is_cancelled() {
                return Err(LogError::Stopping);
            }
            let told = match self.kept()? {
                Kept::Next(told) => self.take(told).or_else(|| self.sign_of_life()),
                Kept::Later => return Ok(Step::Read),
                Kept::Nothing => {
                    return Ok(self.sign_of_life().map_or(Step::Wait, Step::Tell));
                }
            };
            if let Some(told) = told {
                return Ok(Step::Tell(told));
            }
        }
    }

    fn kept(&mut self) -> Result<Kept, LogError> {
        let tail = self.tail.borrow_and_update();
        if tail.has_failed {
            return Err(LogError::Failed);
        }
        match tail.place(self.cursor) {
            Place::Inside => {
                self.at_end = Some(tail.generation);
                let telling = Telling {
                    after: self.cursor,
                    reached: tail.reached(),
                    filter: Arc::clone(&self.filter),
                    beat: None,
                };
                let make = || self.shared.message(tail.since(self.cursor, &self.filter));
                Ok(Kept::Next(self.shared.told.find_or_keep(telling, make)))
            }
            Place::TooEarly if self.at_end == Some(tail.generation) => Err(LogError::Lagged {
                resume_token: self.shared.token(self.cursor),
            }),
            Place::TooEarly => Ok(Kept::Later),
            Place::AtEnd => Ok(Kept::Nothing),
        }
    }

    /// Goes on by what was found; a message if anything is wanted.
    fn take(
        &mut self,
        told: Arc<EncodedMessage<LogMessage>>,
    ) -> Option<Arc<EncodedMessage<LogMessage>>> {
        self.cursor = told.position;
        if told.events.is_empty() {
            return None;
        }
        self.due = Instant::now() + Duration::from_millis(HEARTBEAT_MS);
        Some(told)
    }

    /// That nothing is wanted through its place, if it must hear something by now.
    fn sign_of_life(&mut self) -> Option<Arc<EncodedMessage<LogMessage>>> {
        let now = Instant::now();
        if now < self.due {
            return None;
        }
        self.due = now + Duration::from_millis(HEARTBEAT_MS);
        let telling = Telling {
            after: self.cursor,
            reached: self.cursor,
            filter: Arc::clone(&self.filter),
            beat: Some((now - self.shared.started).as_millis() / BEAT_MS),
        };
        let make = || {
            self.shared.message(Stretch {
                events: Vec::new(),
                reached: self.cursor,
            })
        };
        Some(self.shared.told.find_or_keep(telling, make))
    }

    /// Reads the journal from its place on.
    async fn read(&self) -> Result<Stretch, LogError> {
        let from = self.cursor.next();
        let most = Position(self.cursor.0 + LOG_READ_ENTRIES_MAX);
        let through = self.shared.applied.now().min(most);
        let filter = Arc::clone(&self.filter);
        let read = self.shared.read(self.asker, move |past| {
            past.read(from, through, &filter, Room::MESSAGE)
        });
        read.await
    }
}
