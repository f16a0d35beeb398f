//! A round of counting, on a blocking thread: who is not concerned by what changed is told so, and
//! the others are counted in turn, all on the same view, until the round's time is over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::fair_queue::{Asker, FairQueue, Spent, Waiting};
use super::hub::{Changed, ChangedRows};
use super::source::{Source, TapsKept, View};
use super::state::State;
use super::{Watch, WatchError};
use crate::domain::entry::Epoch;
use crate::domain::limits::WATCH_ROUND_MS_MAX;
use crate::domain::{Minute, Position};

/// What a round is to count, and for when.
pub struct Assignment {
    pub jobs: Vec<Job>,
    pub changed: Changed,
    pub spent: Spent,
    pub minute: Minute,
    pub epoch: Epoch,
    pub results: mpsc::Sender<Done>,
}

pub struct Job {
    pub watch: Arc<Watch>,
    pub asker: Asker,
    /// For how long it is due; `None` if that depends on the changed rows.
    pub waited: Option<Duration>,
    pub cost: Duration,
    pub taps: Arc<TapsKept>,
}

/// A job that is done with.
pub struct Done {
    pub watch: Arc<Watch>,
    pub asker: Asker,
    /// How long counting took.
    pub took: Duration,
    pub counting: Counting,
}

/// What became of a job.
pub enum Counting {
    State(State),
    /// Its turn did not come.
    Left,
    /// It cannot be watched any more.
    Ended(WatchError),
    /// No changed row concerns it: what it was holds up to this position.
    Unconcerned(Position),
}

/// Tells whom the changes do not concern, and counts the others in turn, all on the same view,
/// until the round's time is over.
pub fn count<S: Source>(source: &S, mut assignment: Assignment) {
    let view = source.view();
    let jobs = std::mem::take(&mut assignment.jobs);
    let spent = std::mem::take(&mut assignment.spent);
    let mut waiting = Vec::new();
    for job in jobs {
        if job.waited.is_none() && !assignment.concerns(&view, &job.watch) {
            let position = assignment.changed.position;
            let counting = Counting::Unconcerned(position);
            if !assignment.tell(&job, Duration::ZERO, counting) {
                return; // The publisher stopped.
            }
            continue;
        }
        waiting.push(Waiting {
            asker: job.asker,
            waited: job.waited.unwrap_or_default(),
            cost: job.cost,
            what: job,
        });
    }
    let mut turns = FairQueue::new(waiting, spent);
    let begun = source.elapsed();
    while source.elapsed() - begun < Duration::from_millis(WATCH_ROUND_MS_MAX)
        && let Some(Waiting { what: job, .. }) = turns.next()
    {
        let before = source.elapsed();
        let counting = assignment.count(&view, &job);
        let took = source.elapsed() - before;
        turns.spend(job.asker, took);
        if !assignment.tell(&job, took, counting) {
            return;
        }
    }
    for Waiting { what: job, .. } in turns.left() {
        if !assignment.tell(&job, Duration::ZERO, Counting::Left) {
            return;
        }
    }
}

impl Assignment {
    fn concerns(&self, view: &impl View, watch: &Watch) -> bool {
        match &self.changed.rows {
            ChangedRows::These(rows) => view.is_concerned(watch, rows),
            ChangedRows::Everything => true,
        }
    }

    /// A bug that makes one question panic ends its streams and nobody else's: whoever watches it
    /// asks again, and would else end all streams each time.
    fn count(&self, view: &impl View, job: &Job) -> Counting {
        let span = job.watch.span(self.minute);
        // What a panic leaves behind are the taps that were read before, at most.
        let seen = catch_unwind(AssertUnwindSafe(|| view.see(&job.watch, span, &job.taps)));
        match seen {
            Ok(Ok(seen)) => Counting::State(State::new(seen, self.minute, &self.epoch.0)),
            Ok(Err(error)) => Counting::Ended(error),
            Err(_) => {
                tracing::error!("counting a question for watchers panicked");
                Counting::Ended(WatchError::Uncountable)
            }
        }
    }

    /// Says whether anybody hears it.
    fn tell(&self, job: &Job, took: Duration, counting: Counting) -> bool {
        let done = Done {
            watch: Arc::clone(&job.watch),
            asker: job.asker,
            took,
            counting,
        };
        self.results.blocking_send(done).is_ok()
    }
}
