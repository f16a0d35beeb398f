//! When a watcher gets its next message: pure arithmetic over instants.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::limits::HEARTBEAT_MS;

/// The rhythm of one watcher. News (snapshots and changes) keep the pace asked for between
/// them; the first news after a longer quiet is due at once. A heartbeat is due after
/// `HEARTBEAT_MS` without a message, and delays no news.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    shortest: Duration,
    news_at: Option<Instant>,
    message_at: Instant,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send what changed.
    News,
    /// Say that nothing changed.
    Heartbeat,
    /// Nothing before that instant, unless something changes.
    WaitUntil(Instant),
}

impl Pace {
    /// At least `shortest` between two news.
    pub fn new(shortest: Duration, now: Instant) -> Self {
        Self {
            shortest,
            news_at: None,
            message_at: now,
        }
    }

    /// What to do now, given whether there is something new.
    pub fn step(&self, now: Instant, is_changed: bool) -> Step {
        let heartbeat_due = self.message_at + Duration::from_millis(HEARTBEAT_MS);
        let news_due = self.news_at.map_or(now, |at| at + self.shortest);
        if is_changed && news_due <= now {
            return Step::News;
        }
        if heartbeat_due <= now {
            return Step::Heartbeat;
        }
        let is_news_first = is_changed && news_due < heartbeat_due;
        Step::WaitUntil(if is_news_first {
            news_due
        } else {
            heartbeat_due
        })
    }

    /// News were sent.
    pub fn sent_news(&mut self, now: Instant) {
        self.news_at = Some(now);
        self.message_at = now;
    }

    /// A message without news was sent.
    pub fn sent_sign_of_life(&mut self, now: Instant) {
        self.message_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn news_keep_the_pace_and_come_at_once_after_quiet() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000 * MS, start);
        assert_eq!(pace.step(start, true), Step::News);
        pace.sent_news(start);
        let due = start + 1_000 * MS;
        assert_eq!(pace.step(start + MS, true), Step::WaitUntil(due));
        assert_eq!(pace.step(due, true), Step::News);
        assert_eq!(pace.step(due + 9_000 * MS, true), Step::News);
    }

    #[test]
    fn heartbeat_comes_after_silence_and_delays_no_news() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000 * MS, start);
        pace.sent_news(start);
        let due = start + Duration::from_millis(HEARTBEAT_MS);
        assert_eq!(pace.step(due - MS, false), Step::WaitUntil(due));
        assert_eq!(pace.step(due, false), Step::Heartbeat);
        pace.sent_sign_of_life(due);
        assert_eq!(pace.step(due + MS, true), Step::News);
    }

    #[test]
    fn heartbeat_comes_also_while_a_long_pace_holds_news_back() {
        let start = Instant::now();
        let mut pace = Pace::new(60_000 * MS, start);
        pace.sent_news(start);
        let due = start + Duration::from_millis(HEARTBEAT_MS);
        assert_eq!(pace.step(start, true), Step::WaitUntil(due));
        assert_eq!(pace.step(due, true), Step::Heartbeat);
    }
}
