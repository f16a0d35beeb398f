//! What changes, to whoever watches: counts and rates over a window that slides with the time
//! of day.
//!
//! Rates are state, not a log. A stream begins with the whole state, or says that the client
//! has it already, and from then on always arrives at the newest state; what lies between two
//! messages is skipped. A question's figures are counted once, however many watch it, and no
//! watcher delays a write or another watcher. Incidents, unlike rates, are a log: nothing of it
//! is skipped (`log`). How messages travel is left to the API.

mod active;
mod alarm;
mod counting;
mod encoded;
mod fair_queue;
mod hub;
pub mod log;
mod pace;
mod permits;
mod publisher;
mod quota;
mod rows;
mod sealed;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod unread;
mod watcher;

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::question::Breakdown;
use crate::domain::{Filter, Minute, MinuteSpan, Position, TapFeed, UtcMillis};
use crate::query::RatesWanted;
use crate::query::rates::RateFigure;

pub use encoded::{EncodedMessage, Form};
pub use hub::{Changed, ChangedRows, Hub};
pub use permits::{Holder, NoPermit, Permit, PermitBounds, Permits};
pub use publisher::Publisher;
pub use rows::{Rows, Watched};
pub use source::{LedgerSource, Source, View};
pub use unread::{TooMuchUnread, UnreadBounds, UnreadBytes, UnreadPermit};
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
    /// How rates are to be made, if they are asked for.
    pub rates: Option<RatesWanted>,
}

/// What belongs to all rates of a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRates {
    /// Of all incidents of the rated part.
    pub total: RateFigure,
    /// The feeds whose taps were used, with the number of service days each told.
    pub feeds: Vec<(TapFeed, u64)>,
    /// The part of the window that rates are about; `None` if no taps were told in it.
    pub rated: Option<MinuteSpan>,
}

/// Why a token or a time is no place to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The token is of another journal.
    OtherJournal,
    /// What came after it is not kept any more.
    TooOld,
    /// The journal does not reach that far.
    Ahead,
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
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The whole state, by key. Everything before is to be forgotten.
    Snapshot(Arc<Rows>),
    /// The state is the one that the resume token stands for.
    Resumed,
    /// The rows that are different since the last message, by key. A count of 0 removes the
    /// row.
    Changes(Arc<Rows>),
    /// Nothing changed up to the message's position and minute. A change that the pace still
    /// holds back lies after them.
    Heartbeat,
}

/// One message to a watcher.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Resumes after this message.
    pub resume_token: Bytes,
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
    /// What belongs to all rates, if they are asked for.
    pub rates: Option<Arc<WindowRates>>,
    /// How its figures are cited.
    pub cited: Cited,
    /// Whether the window is another than the client was told how to cite.
    pub is_window_new: bool,
    /// What it brings.
    pub update: Update,
}

/// What a citation says of figures, beside the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cited {
    /// The window.
    pub window: MinuteSpan,
    /// A place as of which the figures were the same, and from which on none others were.
    pub first_at: Position,
    /// The same as long as the figures are: `State::number`.
    pub number: u64,
}

/// Why a watch is refused, or ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// `WATCHED_QUESTIONS_MAX` or `WATCHED_RATES_MAX` is reached. Refused; worth another try.
    #[error("too many questions are watched")]
    Full,
    /// `WATCHED_QUESTIONS_PER_TOKEN_MAX` is reached. Refused; worth another try when others of
    /// this token have ended.
    #[error("too many different questions are watched with this token")]
    TooManyQuestions,
    /// As above, of questions with rates: `WATCHED_RATES_PER_TOKEN_MAX`.
    #[error("too many different questions with rates are watched with this token")]
    TooManyRated,
    /// The state has more than `WATCHED_ROWS_MAX` rows, or its rates need more than
    /// `WATCHED_TAP_SUMS_MAX` sums of taps.
    #[error("too many rows; ask for fewer dimensions or a narrower filter")]
    TooManyRows,
    /// All questions of whoever asked have more than `WATCHED_ROWS_PER_TOKEN_MAX` rows together, or
    /// without a token more than `WATCHED_ROWS_WITHOUT_TOKEN_MAX`, and so have those of all others
    /// who watch the same. Worth another try when others have ended.
    #[error("too many rows are watched with this token")]
    TooManyRowsOfToken,
    /// Counting this question panicked, by a bug; worth another try, as it may be of what is counted.
    #[error("this question could not be counted")]
    Uncountable,
    /// The server is shutting down, or could not count; worth another try.
    #[error("shutting down")]
    Stopping,
    /// The publisher is gone, by a bug. Only a new start of the server helps.
    #[error("nothing can be watched any more")]
    Failed,
    /// No feed of tap counts has this name.
    #[error("feed {place} of those asked for is not known")]
    UnknownFeed {
        /// Its place among those asked for.
        place: usize,
    },
    /// Two of the named feeds of one operator tell the same taps, or days that begin at different
    /// hours; as it is asked, or since more taps were told.
    #[error("feed {place} of those asked for cannot be added up with feed {other}")]
    FeedsClash {
        /// The place of the later one among those asked for.
        place: usize,
        /// That of the earlier one.
        other: usize,
    },
    /// Taps cannot be read now, as the store is opening; worth another try.
    #[error("taps cannot be read yet")]
    StoreOpening,
    /// Taps cannot be read until the next start.
    #[error("taps cannot be read any more")]
    StoreFailed,
    /// The resume token was not made by this service.
    #[error("the resume token is malformed")]
    Token,
    /// The state that the token stands for is none of this record's.
    #[error("the resume token is no place to begin")]
    Gone {
        /// Why.
        why: Gone,
        /// Begins with a snapshot.
        oldest_token: Vec<u8>,
    },
}
