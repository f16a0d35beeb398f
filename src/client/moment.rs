//! How long ago something was, with the time that the machine slept through.
//!
//! The clock by which programs wait stands still while a machine is suspended: a connection that was
//! silent all night would be taken for one that was heard a moment ago.

use std::time::Duration;

use tokio::time::Instant;

/// When something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    at: Instant,
    /// How long the machine had slept by then, since it was started.
    asleep: Duration,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self::at(Instant::now())
    }

    /// The same, of a look at the clock just before.
    pub fn at(now: Instant) -> Self {
        Self {
            at: now,
            asleep: asleep(),
        }
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// The moment so long before.
    #[cfg(test)]
    pub fn earlier(self, by: Duration) -> Self {
        Self {
            at: self.at - by,
            ..self
        }
    }

    /// How long it was after another; nothing if it was before.
    pub fn since(self, other: Self) -> Duration {
        let awake = self.at.saturating_duration_since(other.at);
        awake + self.asleep.saturating_sub(other.asleep)
    }
}

/// How long the machine has slept since it was started.
#[cfg(target_os = "linux")]
fn asleep() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    // In this order, so that what passes between the two looks is no sleep.
    let boot = read(ClockId::Boottime);
    boot.saturating_sub(read(ClockId::Monotonic))
}

/// Not known elsewhere.
#[cfg(not(target_os = "linux"))]
fn asleep() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_slept_through_has_passed_as_well() {
        let heard = Moment::now();
        let night = Duration::from_secs(8 * 3_600);
        let later = Moment {
            at: heard.at + Duration::from_secs(2),
            asleep: heard.asleep + night,
        };
        assert_eq!(later.since(heard), night + Duration::from_secs(2));
        assert_eq!(heard.since(later), Duration::ZERO);
    }
}
