//! The time that entries are stamped with: the clock's, unless it jumps ahead.
//!
//! Stamps never go back. A clock that jumps ahead for a moment would therefore hold all
//! later ones at its mistake, for as long as it was ahead. So a jump is believed only when it
//! lasts; until then the stamps go on as time passes.

use std::time::Duration;

use crate::domain::limits::{CLOCK_JUMP_HOLD_MS, CLOCK_JUMP_MS_MIN, STAMP_AHEAD_MS_MAX};
use crate::domain::{Stamp, UtcMillis};

/// How often it is said that stamps are ahead, at most.
const SAID_EVERY: Duration = Duration::from_secs(600);

/// Compares the clock with the time that has passed.
#[derive(Debug, Default)]
pub(super) struct Steady {
    /// The clock when it was believed last, and the time that had passed then.
    believed: Option<(UtcMillis, Duration)>,
    jump: Option<Jump>,
    /// When it was said last that stamps are ahead.
    said: Option<Duration>,
}

/// A jump that is not believed yet.
#[derive(Debug)]
struct Jump {
    since: Duration,
    ahead_ms: i64,
}

impl Steady {
    /// The time to go by, when the clock shows `clock`, `passed` has passed since any fixed
    /// moment, and the last entry has the stamp `last`.
    pub fn time(&mut self, clock: UtcMillis, passed: Duration, last: Stamp) -> UtcMillis {
        self.tell_if_ahead(clock, passed, last);
        let Some((then, passed_then)) = self.believed else {
            return self.believe(clock, passed);
        };
        let passed_ms = passed.saturating_sub(passed_then).as_millis();
        let expected = then.0 + i64::try_from(passed_ms).unwrap_or(i64::MAX / 2);
        let ahead_ms = clock.0 - expected.max(last.0);
        if ahead_ms < CLOCK_JUMP_MS_MIN {
            if self.jump.is_some() {
                tracing::warn!("clock is right again");
            }
            return self.believe(clock, passed);
        }
        let is_same = |jump: &&Jump| (jump.ahead_ms - ahead_ms).abs() < CLOCK_JUMP_MS_MIN;
        let Some(jump) = self.jump.as_ref().filter(is_same) else {
            tracing::error!(
                ahead_ms,
                "clock jumped ahead; entries are stamped as if it had not, unless it stays"
            );
            let since = passed;
            self.jump = Some(Jump { since, ahead_ms });
            return UtcMillis(expected);
        };
        if passed.saturating_sub(jump.since) < Duration::from_millis(CLOCK_JUMP_HOLD_MS) {
            return UtcMillis(expected);
        }
        tracing::error!(ahead_ms, "clock stays ahead; entries are stamped by it");
        self.believe(clock, passed)
    }

    fn believe(&mut self, clock: UtcMillis, passed: Duration) -> UtcMillis {
        self.believed = Some((clock, passed));
        self.jump = None;
        clock
    }

    fn tell_if_ahead(&mut self, clock: UtcMillis, passed: Duration, last: Stamp) {
        let ahead_ms = last.0 - clock.0;
        let is_said = |said: Duration| passed.saturating_sub(said) < SAID_EVERY;
        if ahead_ms <= STAMP_AHEAD_MS_MAX || self.said.is_some_and(is_said) {
            return;
        }
        tracing::warn!(
            ahead_ms,
            "clock is behind the last entry; all get its stamp until the clock is there"
        );
        self.said = Some(passed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_795_435_200_000;
    const MINUTE_MS: i64 = 60_000;
    const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

    /// A clock that goes wrong, and what stamps come of it.
    struct Trial {
        steady: Steady,
        passed_ms: i64,
        wrong_ms: i64,
        last: UtcMillis,
    }

    impl Trial {
        fn new() -> Self {
            Self {
                steady: Steady::default(),
                passed_ms: 0,
                wrong_ms: 0,
                last: UtcMillis(NOON),
            }
        }

        /// Lets time pass, with an entry each second. Returns how far the last stamp is ahead.
        fn pass(&mut self, ms: i64) -> i64 {
            for _ in 0..ms / 1_000 {
                self.passed_ms += 1_000;
                let passed = u64::try_from(self.passed_ms).expect("forwards");
                let clock = UtcMillis(NOON + self.passed_ms + self.wrong_ms);
                let passed = Duration::from_millis(passed);
                let time = self.steady.time(clock, passed, self.last);
                self.last = self.last.max(time);
            }
            self.last.0 - NOON - self.passed_ms
        }
    }

    #[test]
    fn jump_that_is_taken_back_leaves_no_trace() {
        let mut trial = Trial::new();
        assert_eq!(trial.pass(MINUTE_MS), 0);
        trial.wrong_ms = 3_650 * DAY_MS;
        assert_eq!(trial.pass(5 * MINUTE_MS), 0);
        trial.wrong_ms = 0;
        assert_eq!(trial.pass(MINUTE_MS), 0);
    }

    #[test]
    fn jump_that_lasts_is_believed() {
        let mut trial = Trial::new();
        trial.pass(MINUTE_MS);
        trial.wrong_ms = DAY_MS;
        let hold_ms = i64::try_from(CLOCK_JUMP_HOLD_MS).expect("small");
        assert_eq!(trial.pass(hold_ms), 0);
        assert_eq!(trial.pass(MINUTE_MS), DAY_MS);
    }

    #[test]
    fn another_jump_must_last_anew() {
        let mut trial = Trial::new();
        trial.pass(MINUTE_MS);
        let hold_ms = i64::try_from(CLOCK_JUMP_HOLD_MS).expect("small");
        for days in 1..4 {
            trial.wrong_ms = days * DAY_MS;
            assert_eq!(trial.pass(hold_ms), 0);
        }
        assert_eq!(trial.pass(MINUTE_MS), 3 * DAY_MS);
    }

    #[test]
    fn small_steps_and_a_clock_that_goes_back_are_followed() {
        let mut trial = Trial::new();
        trial.pass(MINUTE_MS);
        trial.wrong_ms = CLOCK_JUMP_MS_MIN - 1;
        assert_eq!(trial.pass(MINUTE_MS), CLOCK_JUMP_MS_MIN - 1);
        trial.wrong_ms = -DAY_MS;
        trial.pass(MINUTE_MS);
        assert_eq!(trial.last.0, NOON + 2 * MINUTE_MS + CLOCK_JUMP_MS_MIN - 1);
        // Back to where the stamps are is no jump.
        trial.wrong_ms = 0;
        trial.pass(10 * MINUTE_MS);
        assert_eq!(trial.last.0, NOON + 13 * MINUTE_MS);
    }

    #[test]
    fn first_time_after_a_start_is_believed() {
        let mut steady = Steady::default();
        let clock = UtcMillis(NOON + 30 * DAY_MS);
        let time = steady.time(clock, Duration::ZERO, UtcMillis(NOON));
        assert_eq!(time, clock);
    }
}
