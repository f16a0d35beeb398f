//! When a stream is due to say something: one timer for as long as it is open.
//!
//! A timer that is made for each wait is put into the runtime's wheel and taken out of it again
//! with each message. This one is left where it is while the instant moves away from it: it
//! rings too early once, and is then set anew. Nor is it touched by who waits on while it is
//! set: with ten thousand streams each touch is a way to memory that is far away.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer, made when it is first waited for.
#[derive(Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    set: Option<Set>,
}

/// When it rings, and whom it wakes.
struct Set {
    at: Instant,
    waker: Waker,
}

impl Alarm {
    /// Waits for an instant, for ever if there is none. Safe to drop: the next call may wait for
    /// another.
    pub fn wait_until(&mut self, due: impl Into<Option<Instant>>) -> impl Future<Output = ()> {
        let due = due.into();
        poll_fn(move |context| match due {
            Some(due) => self.poll(due, context),
            None => Poll::Pending,
        })
    }

    fn poll(&mut self, due: Instant, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if due <= now {
            return Poll::Ready(());
        }
        let is_set =
            |set: &Set| now < set.at && set.at <= due && set.waker.will_wake(context.waker());
        if self.set.as_ref().is_some_and(is_set) {
            return Poll::Pending;
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        sleep.as_mut().reset(due);
        // Without, it only asks to be called again, and is not set.
        let is_heard = coop::has_budget_remaining();
        let rung = sleep.as_mut().poll(context);
        self.set = (is_heard && rung.is_pending()).then(|| Set {
            at: due,
            waker: context.waker().clone(),
        });
        rung
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    /// Waits for an instant, but not for ever.
    async fn rung_at(alarm: &mut Alarm, due: Instant) -> Instant {
        let patience = Duration::from_secs(1_000);
        let rung = tokio::time::timeout(patience, alarm.wait_until(due)).await;
        rung.expect("it rings");
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn rings_when_it_is_due_whatever_was_waited_for_before() {
        let mut alarm = Alarm::default();
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let given_up = tokio::time::timeout_at(after(5), alarm.wait_until(after(10)));
        assert!(given_up.await.is_err());
        for due in [after(20), after(25)] {
            assert_eq!(rung_at(&mut alarm, due).await, due, "later than before");
        }
        let given_up = tokio::time::timeout_at(after(30), alarm.wait_until(after(90)));
        assert!(given_up.await.is_err());
        let due = after(40);
        assert_eq!(rung_at(&mut alarm, due).await, due, "sooner than before");
        assert_eq!(rung_at(&mut alarm, after(30)).await, due, "past is over");
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_who_waits_last() {
        let mut alarm = Alarm::default();
        let due = Instant::now() + Duration::from_secs(10);
        let other = alarm.wait_until(due).now_or_never();
        assert_eq!(other, None, "it waited with a waker of its own");
        assert_eq!(rung_at(&mut alarm, due).await, due);
    }

    #[tokio::test(start_paused = true)]
    async fn is_set_also_by_a_task_that_did_too_much_already() {
        let due = Instant::now() + Duration::from_secs(10);
        let waits = tokio::spawn(async move {
            let mut alarm = Alarm::default();
            let spend = |context: &mut Context<'_>| -> Poll<()> {
                while let Poll::Ready(spent) = coop::poll_proceed(context) {
                    spent.made_progress();
                }
                Poll::Ready(())
            };
            poll_fn(spend).await;
            alarm.wait_until(due).await;
            Instant::now()
        });
        let waits = tokio::time::timeout(Duration::from_secs(60), waits);
        let rung = waits.await.expect("it rings").expect("no panic");
        assert_eq!(rung, due);
    }
}
