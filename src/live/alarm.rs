//! When a stream is due to say something: one timer for as long as it is open.
//!
//! A timer that is made for each wait is put into the runtime's wheel and taken out of it again
//! with each message. This one is left where it is while the instant moves away from it: it
//! rings too early once, and is then set anew.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer, made when it is first waited for.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Waits for an instant. Safe to drop: the next call may wait for another.
    pub async fn wait_until(&mut self, due: Instant) {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < sleep.deadline() {
            sleep.as_mut().reset(due);
        }
        loop {
            sleep.as_mut().await;
            if due <= Instant::now() {
                return;
            }
            sleep.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rings_when_it_is_due_whatever_was_waited_for_before() {
        let mut alarm = Alarm::default();
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let first = alarm.wait_until(after(10)).now_or_never();
        assert_eq!(first, None, "it is dropped while it waits");
        for due in [after(20), after(25)] {
            alarm.wait_until(due).await;
            assert_eq!(Instant::now(), due);
        }
        let far = alarm.wait_until(after(90)).now_or_never();
        assert_eq!(far, None);
        alarm.wait_until(after(40)).await;
        assert_eq!(Instant::now(), after(40), "sooner than before");
        alarm.wait_until(after(30)).await;
        assert_eq!(Instant::now(), after(40), "what is past is over");
    }
}
