//! The time that entries are stamped with: the clock's, unless it jumps ahead.
//!
//! Stamps never go back. A clock that jumps ahead for a moment would therefore hold all
//! later ones at its mistake, for as long as it was ahead. So a jump is believed only when it
//! lasts; until then the stamps go on as time passes.
//!
//! At a start the last stamp is all that a clock can be compared with, and it may be long ago. One
//! that is a month and more past it is believed only when it lasts, too: editions close and
//! keys are destroyed by the stamps, for good. Until then it is not known what time it is, and
//! nothing that would have to say so is taken in.
//!
//! What comes in is checked against the same time (`ServerClock`): else a jump would correct the
//! times of all devices by itself, for good.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use super::Clock;
use crate::domain::incident::Occurred;
use crate::domain::limits::{
    CLOCK_JUMP_HOLD_MS, CLOCK_JUMP_MS_MIN, CLOCK_START_JUMP_MS_MIN, STAMP_AHEAD_MS_MAX,
    TAP_AHEAD_MS_MAX,
};
use crate::domain::{ServerTime, Stamp, UtcMillis};

/// How often it is said that stamps are ahead, at most.
const SAID_EVERY: Duration = Duration::from_secs(600);

/// What a clock is compared with before it is gone by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockCheck {
    /// With nothing: it is made up.
    Never,
    /// With the time that passes since the start: a jump ahead is followed only if it lasts.
    AfterStart,
    /// At the start with the last entry, too: while it is far past that and has not lasted,
    /// nothing is taken in.
    Always,
}

/// The clock of a command that works while no server runs.
#[derive(Clone, Copy, Debug)]
pub struct CommandClock {
    /// What it shows.
    pub now: UtcMillis,
    /// What it is compared with.
    pub check: ClockCheck,
}

impl ClockCheck {
    /// The clock of a command, which shows `now` and is compared like this.
    pub const fn at(self, now: UtcMillis) -> CommandClock {
        CommandClock { now, check: self }
    }

    /// Whether an entry may be stamped at once with what the clock shows, where the last has the
    /// stamp `last`.
    pub(super) fn believes(self, clock: UtcMillis, last: Stamp) -> bool {
        let is_near = || clock.0.saturating_sub(last.0) < CLOCK_START_JUMP_MS_MIN;
        // The first stamp of a record is the clock's.
        self != Self::Always || last == UtcMillis(0) || is_near()
    }
}

/// The time that what comes in is checked against, also between two entries.
pub(super) struct ServerClock {
    clock: Clock,
    begun: Instant,
    /// What to add to the time since `begun`, in milliseconds; `None` if the clock is believed as
    /// it is.
    guarded_ms: Option<AtomicI64>,
}

impl ServerClock {
    /// Goes by the clock, until a guard says otherwise.
    pub fn new(clock: Clock, begun: Instant, check: ClockCheck) -> Self {
        let is_guarded = check != ClockCheck::Never;
        let clock = Self {
            clock,
            begun,
            guarded_ms: is_guarded.then(AtomicI64::default),
        };
        clock.go_by(clock.shown(), clock.passed());
        clock
    }

    /// What the clock shows, right or wrong.
    pub fn shown(&self) -> UtcMillis {
        (self.clock)()
    }

    /// What has passed since the start.
    pub fn passed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Goes by what a guard said when so much had passed, and by what passes from then on.
    pub fn go_by(&self, time: UtcMillis, passed: Duration) {
        if let Some(guarded_ms) = &self.guarded_ms {
            guarded_ms.store(time.0.saturating_sub(millis(passed)), Ordering::Relaxed);
        }
    }

    /// What is known of the time.
    pub fn time(&self) -> ServerTime {
        self.time_after(self.passed())
    }

    fn time_after(&self, passed: Duration) -> ServerTime {
        let shown = self.shown();
        let Some(guarded_ms) = &self.guarded_ms else {
            return shown.into();
        };
        let guarded_ms = guarded_ms.load(Ordering::Relaxed);
        let now = guarded_ms.saturating_add(millis(passed));
        let is_far = CLOCK_JUMP_MS_MIN <= shown.0.saturating_sub(now).saturating_abs();
        ServerTime {
            now: UtcMillis(now),
            disputed: is_far.then_some(shown),
        }
    }
}

fn millis(passed: Duration) -> i64 {
    i64::try_from(passed.as_millis()).unwrap_or(i64::MAX / 2)
}

/// Whether a tap is further ahead of the time that stamps go by than an entry can tell, as readers of
/// a month begin no earlier before it. So may one be that a clock allowed which is not believed yet:
/// whoever tells it again once it is known what time it is, is right or refused.
pub(super) fn is_too_far_ahead(occurred: Occurred, now: UtcMillis) -> bool {
    let begins = match occurred {
        Occurred::Exact(at) => at,
        Occurred::Hour(at) => at.hour().map_or(at, |hour| hour.start()),
        Occurred::Day(day) => day.start().start(),
    };
    now.0.saturating_add(TAP_AHEAD_MS_MAX) < begins.0
}

/// Compares the clock with the time that has passed.
#[derive(Debug)]
pub(super) struct ClockGuard {
    check: ClockCheck,
    /// The clock when it was believed last, and the time that had passed then.
    believed: Option<(UtcMillis, Duration)>,
    jump: Option<Jump>,
    /// Whether it has not been believed since the start.
    is_unsure: bool,
    /// When it was said last that stamps are ahead.
    said: Option<Duration>,
}

/// A jump that is not believed yet.
#[derive(Debug)]
struct Jump {
    since: Duration,
    ahead_ms: i64,
}

impl ClockGuard {
    /// Nothing is known yet. `None` where nothing is compared.
    pub fn new(check: ClockCheck) -> Option<Self> {
        (check != ClockCheck::Never).then_some(Self {
            check,
            believed: None,
            jump: None,
            is_unsure: false,
            said: None,
        })
    }

    /// The time to go by, when the clock shows `clock`, `passed` has passed since any fixed
    /// moment, and the last entry has the stamp `last`.
    pub fn time(&mut self, clock: UtcMillis, passed: Duration, last: Stamp) -> UtcMillis {
        self.tell_if_ahead(clock, passed, last);
        let Some((then, passed_then)) = self.believed else {
            return self.begin(clock, passed, last);
        };
        let expected = then.0 + millis(passed.saturating_sub(passed_then));
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

    /// The time at the start.
    fn begin(&mut self, clock: UtcMillis, passed: Duration, last: Stamp) -> UtcMillis {
        let ahead_ms = clock.0.saturating_sub(last.0);
        if self.check.believes(clock, last) {
            return self.believe(clock, passed);
        }
        tracing::error!(
            ahead_ms,
            hold_ms = CLOCK_JUMP_HOLD_MS,
            "clock is far past the last entry; nothing is taken in until it has stayed so, or the \
             service is started with --trust-clock"
        );
        self.believed = Some((last, passed));
        self.jump = Some(Jump {
            since: passed,
            ahead_ms,
        });
        self.is_unsure = true;
        last
    }

    /// Whether the clock may be wrong by months, as it was far past the last entry at the start:
    /// what came in now would have a stamp of long ago.
    pub fn is_unsure(&self) -> bool {
        self.is_unsure
    }

    fn believe(&mut self, clock: UtcMillis, passed: Duration) -> UtcMillis {
        self.believed = Some((clock, passed));
        self.jump = None;
        self.is_unsure = false;
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::domain::time::{DAY_MS, MINUTE_MS};
    use crate::ingest::{Running, SubmitError};

    const NOON: i64 = 1_795_435_200_000;

    fn checked() -> ClockGuard {
        ClockGuard::new(ClockCheck::Always).expect("it is checked")
    }

    #[test]
    fn what_passed_before_the_clock_was_read_is_counted_once() {
        let noon: Clock = Arc::new(|| UtcMillis(NOON));
        let clock = ServerClock::new(noon, Instant::now(), ClockCheck::Always);
        let passed = Duration::from_secs(100);
        clock.go_by(UtcMillis(NOON), passed);
        assert_eq!(clock.time_after(passed).now, UtcMillis(NOON));
        let later = passed + Duration::from_secs(1);
        assert_eq!(clock.time_after(later).now, UtcMillis(NOON + 1_000));
    }

    /// A clock that goes wrong, and what stamps come of it.
    struct Trial {
        steady: ClockGuard,
        passed_ms: i64,
        wrong_ms: i64,
        last: UtcMillis,
    }

    impl Trial {
        fn new() -> Self {
            Self {
                steady: checked(),
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
    fn first_time_after_a_start_is_believed_within_a_month_of_the_last_entry() {
        for (last, days) in [(NOON, 34), (0, 365)] {
            let mut steady = checked();
            let clock = UtcMillis(NOON + days * DAY_MS);
            let time = steady.time(clock, Duration::ZERO, UtcMillis(last));
            assert_eq!(time, clock);
            assert!(!steady.is_unsure());
        }
    }

    #[test]
    fn start_that_trusts_the_clock_believes_it_however_far_it_is_ahead() {
        let mut steady = ClockGuard::new(ClockCheck::AfterStart).expect("it is checked");
        let clock = UtcMillis(NOON + 365 * DAY_MS);
        assert_eq!(steady.time(clock, Duration::ZERO, UtcMillis(NOON)), clock);
        assert!(!steady.is_unsure());
        // Jumps are none the less held.
        let jumped = UtcMillis(clock.0 + 365 * DAY_MS);
        let minute = Duration::from_secs(60);
        let time = steady.time(jumped, minute, clock);
        assert_eq!(time.0, clock.0 + MINUTE_MS);
    }

    #[test]
    fn first_time_after_a_start_that_is_far_ahead_is_believed_when_it_lasts() {
        let mut trial = Trial::new();
        trial.wrong_ms = 60 * DAY_MS;
        let hold_ms = i64::try_from(CLOCK_JUMP_HOLD_MS).expect("small");
        // Stamps go on from the last entry, a second behind.
        assert_eq!(trial.pass(hold_ms), -1_000);
        assert!(trial.steady.is_unsure());
        assert_eq!(trial.pass(MINUTE_MS), 60 * DAY_MS);
        assert!(!trial.steady.is_unsure());
    }

    #[tokio::test]
    async fn nothing_is_taken_in_after_a_start_whose_clock_cannot_be_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(AtomicI64::new(NOON));
        let start = || {
            let now = Arc::clone(&clock);
            let now = move || UtcMillis(now.load(Ordering::SeqCst));
            let network = Arc::new(crate::network::Network::built_in());
            crate::ingest::start(folder.path(), network, now).expect("started")
        };
        let stop = |running: Running| {
            tokio::task::spawn_blocking(move || running.stop(Duration::from_secs(60)))
        };
        stop(start()).await.expect("no panic").expect("stopped");
        clock.fetch_add(60 * DAY_MS, Ordering::SeqCst);
        let running = start();
        let told = running.ingest.keys().told();
        let refused = running.ingest.note_keys(told).await;
        assert_eq!(refused, Err(SubmitError::ClockUnsure));
        stop(running).await.expect("no panic").expect("stopped");
    }

    #[test]
    fn tap_is_too_far_ahead_only_if_its_beginning_is() {
        let now = UtcMillis(NOON);
        let far = UtcMillis(NOON + TAP_AHEAD_MS_MAX);
        let later = UtcMillis(far.0 + 1);
        assert!(!is_too_far_ahead(Occurred::Exact(far), now));
        assert!(is_too_far_ahead(Occurred::Exact(later), now));
        assert!(!is_too_far_ahead(Occurred::Hour(later), now));
        let day = later.hour().expect("supported").local_day();
        assert!(!is_too_far_ahead(Occurred::Day(day), now));
        assert!(is_too_far_ahead(Occurred::Day(day.next()), now));
    }

    #[test]
    fn start_with_a_clock_that_is_set_right_soon_leaves_no_trace() {
        let mut trial = Trial::new();
        trial.wrong_ms = 3_650 * DAY_MS;
        assert_eq!(trial.pass(5 * MINUTE_MS), -1_000);
        assert!(trial.steady.is_unsure());
        trial.wrong_ms = 0;
        assert_eq!(trial.pass(MINUTE_MS), 0);
        assert!(!trial.steady.is_unsure());
    }
}
