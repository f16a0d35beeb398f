//! What changes, to whoever watches: counts over a window that slides with the time of day.
//!
//! Rates are state, not a log. A stream begins with the whole state, or says that the client
//! has it already, and from then on always arrives at the newest state; what lies between two
//! messages is skipped. A question's figures are counted once, however many watch it, and no
//! watcher delays a write or another watcher. Incidents, unlike rates, are a log: nothing of it
//! is skipped (`log`). How messages travel is left to the API.

mod hub;
pub mod log;
mod pace;
mod permits;
mod publisher;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod watcher;

use std::sync::Arc;

use crate::domain::question::Breakdown;
use crate::domain::{Filter, Minute, Position, UtcMillis};
use crate::query::Figure;

pub use hub::{Changed, ChangedRows, Hub};
pub use permits::{NoPermit, Permit, PermitBounds, Permits};
pub use publisher::Publisher;
pub use source::{MinuteSpan, Source, View};
pub use watcher::Watcher;

/// What a watcher asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    /// Which incidents.
    pub filter: Filter,
    /// Broken down by what.
    pub by: Breakdown,
    /// How many minutes the window has, the running one included;
    /// `WATCH_WINDOW_MINUTES_MIN` to `WATCH_WINDOW_MINUTES_MAX`.
    pub window_minutes: u32,
}

impl Watch {
    /// Its window while `minute` is running. That minute counts, so that an incident is seen
    /// at once.
    pub fn span(&self, minute: Minute) -> MinuteSpan {
        let end = Minute(minute.0.saturating_add(1));
        MinuteSpan {
            start: Minute(end.0.saturating_sub(self.window_minutes)),
            end,
        }
    }
}

/// What a message brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The whole state, by key. Everything before is to be forgotten.
    Snapshot(Arc<[Figure]>),
    /// The state is the one that the resume token stands for.
    Resumed,
    /// The rows that are different since the last message, by key. A count of 0 removes the
    /// row.
    Changes(Arc<[Figure]>),
    /// Nothing changed up to the message's position and minute. A change that the pace still
    /// holds back lies after them.
    Heartbeat,
}

/// One message to a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Resumes after this message.
    pub resume_token: Vec<u8>,
    /// The last place in the journal that the state includes.
    pub position: Position,
    /// Start of the window's last minute, which counts.
    pub as_of: UtcMillis,
    /// Distinct incidents in the window.
    pub total: u64,
    /// Those among them that stand in no row.
    pub left_out: u64,
    /// Incidents recorded in the window's minutes that are known only to the hour or day, and
    /// are therefore neither in the rows nor in the total.
    pub untimed: u64,
    /// From when on the window is complete, because too many reports came in to keep all of
    /// it; `None` if all of it is.
    pub complete_from: Option<UtcMillis>,
    /// What it brings.
    pub update: Update,
}

/// Why a watch is refused, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// `WATCHED_QUESTIONS_MAX` is reached. Refused; worth another try.
    #[error("too many questions are watched")]
    Full,
    /// The state has more than `WATCHED_ROWS_MAX` rows.
    #[error("too many rows; ask for fewer dimensions or a narrower filter")]
    TooManyRows,
    /// The server is shutting down, or could not count; worth another try.
    #[error("shutting down")]
    Stopping,
    /// The publisher is gone, by a bug. Only a new start of the server helps.
    #[error("nothing can be watched any more")]
    Failed,
    /// The resume token was not made by this service.
    #[error("the resume token is malformed")]
    Token,
}
