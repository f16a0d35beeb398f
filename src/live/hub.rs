//! Where the committer says what became durable, and the publisher learns it.
//!
//! Telling never waits for anybody who watches: it costs a short lock, which the other side
//! holds only to take everything away.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, watch};

use super::log::{Feed, Newest};
use crate::domain::limits::CHANGED_ROWS_MAX;
use crate::domain::{Position, Row};

/// Told by the committer after each durable batch, read by the publisher. Clones are the
/// same hub.
#[derive(Clone, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Default)]
struct Shared {
    changed: Mutex<Changed>,
    notify: Notify,
    /// The last position that was told.
    reached: watch::Sender<Position>,
    /// The last position of those that the log must read by itself.
    unread: watch::Sender<Position>,
    /// The log's side, once there is one.
    feed: OnceLock<Feed>,
}

/// What changed since it was last taken.
#[derive(Debug, Default)]
pub struct Changed {
    /// Incidents that count now and did not, or the other way round.
    pub rows: ChangedRows,
    /// Whether any count of taps changed.
    pub taps: bool,
    /// Everything up to here is included.
    pub position: Position,
}

/// Changed rows, as far as there is room for them.
#[derive(Debug, PartialEq)]
pub enum ChangedRows {
    /// These; at most `CHANGED_ROWS_MAX`.
    These(Vec<Row>),
    /// More than there is room for.
    Everything,
}

// === impl Hub ===

impl Hub {
    /// A hub that was told nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that these rows began or ceased to count, and that everything up to `position` is
    /// durable and applied. Positions rise from call to call. Never blocks for long; past
    /// `CHANGED_ROWS_MAX` rows it remembers only that everything changed.
    pub fn mark_changed(&self, rows: &[Row], position: Position) {
        self.mark(rows, None, position);
    }

    /// As `mark_changed`, with everything that happened since the call before it, so that the
    /// log need not read it.
    pub fn mark_told(&self, rows: &[Row], newest: Newest) {
        let reached = newest.reached;
        self.mark(rows, Some(newest), reached);
    }

    /// Whether the log would take what happens as it happens, rather than read it.
    pub fn is_log_fed(&self) -> bool {
        self.0.feed.get().is_some_and(Feed::is_wanted)
    }

    fn mark(&self, rows: &[Row], newest: Option<Newest>, position: Position) {
        self.changed().add(rows, position);
        // Before the log has it, because no watcher may be ahead of this.
        self.0.reached.send_replace(position);
        let feed = self.0.feed.get();
        let is_taken = feed.zip(newest).is_some_and(|(feed, it)| feed.offer(it));
        if !is_taken {
            self.0.unread.send_replace(position);
        }
        if !rows.is_empty() {
            self.0.notify.notify_one();
        }
    }

    /// Says that counts of taps changed. To be followed by `mark_changed`, with the position.
    pub fn mark_taps(&self) {
        self.changed().taps = true;
        self.0.notify.notify_one();
    }

    /// The position through which everything is durable and applied, as it moves up; 0 until
    /// the first call of `mark_changed`.
    pub fn reached(&self) -> watch::Receiver<Position> {
        self.0.reached.subscribe()
    }

    /// Where the log learns that there is something to read: the last position of it, as it
    /// moves up.
    pub(super) fn unread(&self) -> watch::Receiver<Position> {
        self.0.unread.subscribe()
    }

    /// Hands what happens to a log from now on. A hub has one log.
    pub(super) fn feed(&self, feed: Feed) {
        let is_first = self.0.feed.set(feed).is_ok();
        assert!(is_first, "a hub has one log");
    }

    /// Takes what changed. What is marked from now on is for the next call.
    pub(super) fn take(&self) -> Changed {
        let mut changed = self.changed();
        let position = changed.position;
        let rows = std::mem::take(&mut changed.rows);
        let taps = std::mem::take(&mut changed.taps);
        Changed {
            rows,
            taps,
            position,
        }
    }

    /// Waits until rows or taps were marked since the last wait. May end once too often, never once
    /// too seldom. Safe to drop.
    pub(super) async fn marked(&self) {
        self.0.notify.notified().await;
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        let poisoned = PoisonError::into_inner;
        self.0.changed.lock().unwrap_or_else(poisoned)
    }
}

// === impl Changed ===

impl Changed {
    /// Whether anything changed.
    pub(super) fn is_any(&self) -> bool {
        self.taps || !self.rows.is_none()
    }

    fn add(&mut self, rows: &[Row], position: Position) {
        self.position = self.position.max(position);
        match &mut self.rows {
            ChangedRows::These(known) if known.len() + rows.len() <= CHANGED_ROWS_MAX => {
                known.extend_from_slice(rows);
            }
            rows => *rows = ChangedRows::Everything,
        }
    }
}

// === impl ChangedRows ===

impl ChangedRows {
    /// Whether nothing changed.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::These(rows) if rows.is_empty())
    }
}

impl Default for ChangedRows {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::tests::row;

    #[test]
    fn what_was_marked_is_taken_once() {
        let hub = Hub::new();
        hub.mark_changed(&[row(1, 7, 1)], Position(1));
        hub.mark_changed(&[], Position(2));
        let changed = hub.take();
        assert_eq!(changed.rows, ChangedRows::These(vec![row(1, 7, 1)]));
        assert_eq!(changed.position, Position(2));
        let nothing = hub.take();
        assert!(nothing.rows.is_none());
        assert_eq!(nothing.position, Position(2));
    }

    #[test]
    fn past_the_limit_everything_changed() {
        let hub = Hub::new();
        let rows = vec![row(1, 7, 1); CHANGED_ROWS_MAX];
        hub.mark_changed(&rows, Position(1));
        hub.mark_changed(&[], Position(2));
        assert_eq!(hub.take().rows, ChangedRows::These(rows.clone()));
        hub.mark_changed(&rows, Position(3));
        hub.mark_changed(&rows[..1], Position(4));
        hub.mark_changed(&rows[..1], Position(5));
        assert_eq!(hub.take().rows, ChangedRows::Everything);
    }
}
