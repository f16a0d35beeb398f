//! How long to wait before another try: pure arithmetic over durations and chance.

use std::time::Duration;

/// First wait of its own.
const FIRST: Duration = Duration::from_millis(250);
/// Longest wait of its own.
const LONGEST: Duration = Duration::from_secs(5);
/// Longest wait that a server can ask for.
const ADVICE_MAX: Duration = Duration::from_secs(300);

/// Waits that double until something is heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Begins with the first wait.
    pub fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next wait: between half and one and a half of a time that doubles, but at least what the
    /// server advises, and up to half as much again. `chance` is 0 to 1, and lets clients that lost
    /// their server together come back one by one.
    pub fn wait(&mut self, advice: Option<Duration>, chance: f64) -> Duration {
        let own = self.next.mul_f64(0.5 + chance);
        self.next = (self.next * 2).min(LONGEST);
        let advised = advice.unwrap_or_default().min(ADVICE_MAX);
        own.max(advised.mul_f64(1.0 + chance / 2.0))
    }

    /// Something was heard.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_until_something_is_heard() {
        let mut backoff = Backoff::new();
        let mut waits = (0..8).map(|_| backoff.wait(None, 0.5).as_millis());
        let expected = [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000];
        assert!(waits.by_ref().eq(expected));
        backoff.reset();
        assert_eq!(backoff.wait(None, 0.5), FIRST);
    }

    #[test]
    fn clients_come_back_one_by_one_and_never_before_the_server_says() {
        let check = |advice, chance, expected_ms| {
            let wait = Backoff::new().wait(advice, chance);
            assert_eq!(wait, Duration::from_millis(expected_ms));
        };
        check(None, 0.0, 125);
        check(None, 1.0, 375);
        let advice = Some(Duration::from_secs(2));
        check(advice, 0.0, 2_000);
        check(advice, 1.0, 3_000);
        check(Some(Duration::MAX), 0.0, 300_000);
    }

    #[test]
    fn server_that_advises_no_wait_is_not_asked_without_one() {
        let mut backoff = Backoff::new();
        let mut wait = || backoff.wait(Some(Duration::ZERO), 0.5);
        assert_eq!(wait(), FIRST);
        assert_eq!(wait(), 2 * FIRST);
    }
}
