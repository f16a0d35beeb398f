//! How much is told at a time: so many events, of so many bytes as they travel at most.
//!
//! What a client is slow to take lies in memory until it does, for each watcher its own. So
//! messages are small, also where what happened has long names.

use super::Event;
use crate::domain::Facts;
use crate::domain::limits::{
    LOG_EVENT_BYTES_MAX, LOG_EVENTS_KEPT_MAX, LOG_EVENTS_PER_MESSAGE_MAX, LOG_MESSAGE_BYTES_MAX,
};

/// What an event takes at most beside its texts, causes and acts: numbers, times and the lengths
/// of its parts.
const PLAIN_BYTES: usize = 144;
/// A cause, and who says it.
const CLAIM_BYTES: usize = 7;

/// Room for events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    events: usize,
    bytes: usize,
}

impl Room {
    /// Of one message. The last event may reach beyond it.
    pub const MESSAGE: Self = Self {
        events: LOG_EVENTS_PER_MESSAGE_MAX,
        bytes: LOG_MESSAGE_BYTES_MAX - LOG_EVENT_BYTES_MAX,
    };
    /// Of what is kept for all watchers.
    pub const TAIL: Self = Self {
        events: LOG_EVENTS_KEPT_MAX,
        bytes: usize::MAX,
    };

    /// Whether nothing fits any more.
    pub fn is_full(self) -> bool {
        self.events == 0 || self.bytes == 0
    }

    /// Takes up what an event with these facts needs at most, or all that is left.
    pub fn take(&mut self, facts: &Facts) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes_max(facts));
    }

    /// The same for each.
    pub fn take_all<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        for event in events {
            self.take(&event.facts);
        }
    }
}

/// Bytes of an event as it travels, at most.
pub fn bytes_max(facts: &Facts) -> usize {
    let operator = facts
        .operator
        .as_ref()
        .map_or(0, |code| code.as_str().len());
    let line = facts.line.as_ref().map_or(0, |line| line.as_str().len());
    let stop = facts.stop.as_ref().map_or(0, |stop| stop.as_str().len());
    let claims = CLAIM_BYTES * facts.cause_claims.len();
    // Of acts and outcomes, a byte each.
    let numbers = facts.staff_acts.bits().count_ones() + facts.outcomes.bits().count_ones();
    PLAIN_BYTES + operator + line + stop + claims + numbers as usize
}
