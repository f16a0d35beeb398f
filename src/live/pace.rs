//! When a watcher gets its next message: pure arithmetic over instants.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::limits::HEARTBEAT_MS;

/// The rhythm of one watcher. News (snapshots and changes) keep the pace asked for between
/// them; the first news after a longer quiet is due at once. A heartbeat is due after
/// `HEARTBEAT_MS` without a message, and delays no news. Every watcher has one, so it is small.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    message_at: Instant,
    /// In milliseconds.
    shortest_ms: u32,
    /// How long before that message the last news were sent, in milliseconds; as long as can be told
    /// if there were none.
    news_before_ms: u32,
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
            message_at: now,
            shortest_ms: in_ms(shortest),
            news_before_ms: u32::MAX,
        }
    }

    /// What to do now, given whether there is something new.
    pub fn step(&self, now: Instant, is_changed: bool) -> Step {
        let heartbeat_due = self.message_at + Duration::from_millis(HEARTBEAT_MS);
        let left_ms = self.shortest_ms.saturating_sub(self.news_before_ms);
        let news_due = self.message_at + Duration::from_millis(left_ms.into());
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
        self.news_before_ms = 0;
        self.message_at = now;
    }

    /// A message without news was sent.
    pub fn sent_sign_of_life(&mut self, now: Instant) {
        let since = in_ms(now.saturating_duration_since(self.message_at));
        self.news_before_ms = self.news_before_ms.saturating_add(since);
        self.message_at = now;
    }
}

/// As many whole milliseconds as can be told.
fn in_ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
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
        for heartbeat in 1..=3 {
            pace.sent_sign_of_life(start + heartbeat * Duration::from_millis(HEARTBEAT_MS));
        }
        let now = start + 50_000 * MS;
        let due = start + 60_000 * MS;
        assert_eq!(pace.step(now, true), Step::WaitUntil(due));
        assert_eq!(pace.step(due, true), Step::News);
    }
}
