//! The bounded way to the committer: room is reserved in entries before any work is done,
//! and when there is none, the caller is told at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::SubmitError;
use super::prepare::Pending;
use crate::domain::{Position, Stamp};

/// What became of one entry of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decided {
    /// It is in the journal, and applied.
    Committed {
        /// Its place.
        position: Position,
        /// When.
        stamp: Stamp,
        /// Whether it tells an incident of the same reporter again that was told before.
        told_again: bool,
    },
    /// Its id was recorded before, at this place.
    Repeated(Position),
    /// It is in the journal, and changed nothing: what it was made of had changed meanwhile, or
    /// another declaration took its feed's name a moment before.
    Outdated,
    /// It is not in the journal: what it is about has changed or gone, or there is no room for
    /// more.
    Refused,
}

/// What became of each entry of a job, or why none was taken in.
pub(super) type Answer = Result<Vec<Decided>, SubmitError>;

/// The answer to a caller. The answers of a batch travel together, to the first caller, which
/// hands the others theirs: one wake-up across threads instead of one for each.
pub(super) struct Delivery {
    own: Answer,
    others: Vec<(oneshot::Sender<Delivery>, Answer)>,
}

impl Delivery {
    /// Sends all answers of a batch.
    pub fn send(answers: Vec<(oneshot::Sender<Self>, Answer)>) {
        let mut answers = answers.into_iter();
        let Some((first, own)) = answers.next() else {
            return;
        };
        let others = answers.collect();
        // To a caller that went away it comes back, and is dropped here.
        let _ = first.send(Self { own, others });
    }

    /// The caller's own.
    pub fn take(mut self) -> Answer {
        std::mem::replace(&mut self.own, Err(SubmitError::Poisoned))
    }
}

/// Whatever becomes of the first caller, the others get theirs.
impl Drop for Delivery {
    fn drop(&mut self) {
        for (caller, own) in self.others.drain(..) {
            let others = Vec::new();
            // A caller that went away needs no answer; what it sent is kept.
            let _ = caller.send(Self { own, others });
        }
    }
}

/// Entries of one caller, and where to answer. At most `BATCH_ENTRIES_MAX` entries.
pub(super) struct Job {
    /// In the caller's order.
    pub entries: Vec<Pending>,
    /// Gets one result for each, or is dropped if they could not be written.
    pub answer: oneshot::Sender<Delivery>,
}

/// What the committer finds.
pub(super) enum Taken {
    /// At least one job.
    Jobs(Vec<Job>),
    /// Nothing came in time.
    Nothing,
    /// Nothing will come any more.
    Ended,
}

/// Why no reports are taken in for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// The disk is nearly full.
    DiskLow,
    /// It is not known what time it is.
    ClockUnsure,
}

/// Jobs on their way, bounded in entries.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    entries_max: usize,
    paused: watch::Sender<Option<Paused>>,
}

struct State {
    jobs: VecDeque<Job>,
    /// Entries that wait, or for which room is reserved.
    entries: usize,
    /// Why nothing is taken in any more.
    end: Option<SubmitError>,
    /// Whether only what hardly grows is taken in.
    is_disk_low: bool,
    /// Whether it is not known what time it is.
    is_clock_unsure: bool,
    /// Whether the committer waits for jobs. To notify nobody costs a system call, too.
    is_waited_for: bool,
}

/// Room for entries of one job. Given back when dropped.
pub(super) struct Reservation {
    queue: Arc<Queue>,
    entries: usize,
}

impl Queue {
    /// An empty one.
    pub fn new(entries_max: usize) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            entries: 0,
            end: None,
            is_disk_low: false,
            is_clock_unsure: false,
            is_waited_for: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            entries_max,
            paused: watch::Sender::new(None),
        }
    }

    /// Room for some entries, or why there is none. Never waits.
    pub fn reserve(self: &Arc<Self>, entries: usize) -> Result<Reservation, SubmitError> {
        self.reserve_if(entries, |state| match state.is_disk_low {
            true => Err(SubmitError::DiskReserve),
            false => Ok(()),
        })
    }

    /// As `reserve`, also while the disk is nearly full: for what the reserve is kept for.
    pub fn reserve_on_low_disk(
        self: &Arc<Self>,
        entries: usize,
    ) -> Result<Reservation, SubmitError> {
        self.reserve_if(entries, |_| Ok(()))
    }

    fn reserve_if(
        self: &Arc<Self>,
        entries: usize,
        check: impl FnOnce(&State) -> Result<(), SubmitError>,
    ) -> Result<Reservation, SubmitError> {
        let mut state = self.lock();
        if let Some(refusal) = state.refusal() {
            return Err(refusal);
        }
        check(&state)?;
        if self.entries_max < state.entries + entries {
            return Err(SubmitError::Busy);
        }
        state.entries += entries;
        Ok(Reservation {
            queue: Arc::clone(self),
            entries,
        })
    }

    /// Waits for jobs, at most this long, and takes all that fit in a batch.
    pub fn take(&self, entries_max: usize, wait: Duration) -> Taken {
        let is_idle =
            |state: &mut State| state.jobs.is_empty() && !(state.is_closed() && state.entries == 0);
        let mut state = self.lock();
        state.is_waited_for = true;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, wait, is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        state.is_waited_for = false;
        let mut jobs = Vec::new();
        let mut entries = 0;
        while let Some(job) = state.jobs.front() {
            if !jobs.is_empty() && entries_max < entries + job.entries.len() {
                break;
            }
            entries += job.entries.len();
            jobs.extend(state.jobs.pop_front());
        }
        state.entries -= entries;
        if !jobs.is_empty() {
            Taken::Jobs(jobs)
        } else if state.is_closed() && state.entries == 0 {
            Taken::Ended
        } else {
            Taken::Nothing
        }
    }

    /// Takes nothing in any more; what waits, and what has room reserved, can still pass.
    pub fn close(&self) {
        let mut state = self.lock();
        if !state.is_closed() {
            state.end = Some(SubmitError::Stopping);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Takes nothing in any more, and drops what waits: nobody is left to commit it.
    pub fn fail(&self) {
        let mut state = self.lock();
        state.end = Some(SubmitError::Poisoned);
        let dropped = std::mem::take(&mut state.jobs);
        state.entries -= dropped.iter().map(|job| job.entries.len()).sum::<usize>();
        drop(state);
        self.changed.notify_all();
    }

    /// Takes little in while the disk is nearly full.
    pub fn set_disk_low(&self, is_low: bool) {
        let mut state = self.lock();
        state.is_disk_low = is_low;
        self.paused.send_replace(state.paused());
    }

    /// Takes nothing in while it is not known what time it is.
    pub fn set_clock_unsure(&self, is_unsure: bool) {
        let mut state = self.lock();
        state.is_clock_unsure = is_unsure;
        self.paused.send_replace(state.paused());
    }

    /// Whether reports are taken in, and why not.
    pub fn paused(&self) -> watch::Receiver<Option<Paused>> {
        self.paused.subscribe()
    }

    /// Whether it is not known what time it is.
    pub fn is_clock_unsure(&self) -> bool {
        self.lock().is_clock_unsure
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_closed(&self) -> bool {
        self.end.is_some()
    }

    fn paused(&self) -> Option<Paused> {
        if self.is_clock_unsure {
            Some(Paused::ClockUnsure)
        } else {
            self.is_disk_low.then_some(Paused::DiskLow)
        }
    }

    /// Why nothing at all is taken in.
    fn refusal(&self) -> Option<SubmitError> {
        let clock = self.is_clock_unsure.then_some(SubmitError::ClockUnsure);
        self.end.clone().or(clock)
    }
}

impl Reservation {
    /// Sends a job of at most as many entries as there is room for.
    pub fn send(mut self, job: Job) -> Result<(), SubmitError> {
        let entries = job.entries.len();
        assert!(entries <= self.entries, "room was reserved for the job");
        let mut state = self.queue.lock();
        if matches!(state.end, Some(SubmitError::Poisoned)) {
            return Err(SubmitError::Poisoned);
        }
        state.jobs.push_back(job);
        // Once is enough: when it comes, it takes all that is there.
        let is_waited_for = std::mem::take(&mut state.is_waited_for);
        drop(state);
        // These entries are given back when the committer takes them.
        self.entries -= entries;
        if is_waited_for {
            self.queue.changed.notify_one();
        }
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.entries == 0 {
            return;
        }
        let mut state = self.queue.lock();
        state.entries -= self.entries;
        drop(state);
        self.queue.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Entry, UtcMillis};

    fn job(entries: usize) -> (Job, oneshot::Receiver<Delivery>) {
        let (answer, result) = oneshot::channel();
        let pending = || Pending {
            entry: Entry::Tick,
            encoded: crate::journal::encode(&Entry::Tick),
        };
        let entries = (0..entries).map(|_| pending()).collect();
        (Job { entries, answer }, result)
    }

    fn taken(queue: &Queue, entries_max: usize) -> Vec<usize> {
        match queue.take(entries_max, Duration::ZERO) {
            Taken::Jobs(jobs) => jobs.iter().map(|job| job.entries.len()).collect(),
            Taken::Nothing => vec![],
            Taken::Ended => vec![usize::MAX],
        }
    }

    fn refusal(queue: &Arc<Queue>) -> Option<String> {
        queue.reserve(1).err().map(|error| error.to_string())
    }

    #[test]
    fn full_queue_refuses_and_room_that_is_not_used_is_given_back() {
        let queue = Arc::new(Queue::new(10));
        let room = queue.reserve(10).expect("room");
        assert!(matches!(queue.reserve(1), Err(SubmitError::Busy)));
        drop(room);
        let room = queue.reserve(8).expect("room");
        let (job, _result) = job(3);
        room.send(job).expect("sent");
        assert!(matches!(queue.reserve(8), Err(SubmitError::Busy)));
        assert!(queue.reserve(7).is_ok());
        assert_eq!(taken(&queue, 10), [3]);
        assert!(queue.reserve(10).is_ok());
    }

    #[test]
    fn batch_takes_whole_jobs_that_fit_in_order() {
        let queue = Arc::new(Queue::new(100));
        for entries in [3, 4, 5, 1] {
            let room = queue.reserve(entries).expect("room");
            room.send(job(entries).0).expect("sent");
        }
        assert_eq!(taken(&queue, 8), [3, 4]);
        assert_eq!(taken(&queue, 4), [5]);
        assert_eq!(taken(&queue, 4), [1]);
        assert!(taken(&queue, 4).is_empty());
    }

    #[test]
    fn closed_queue_ends_only_after_all_that_had_room() {
        let queue = Arc::new(Queue::new(10));
        let room = queue.reserve(2).expect("room");
        let unused = queue.reserve(1).expect("room");
        queue.close();
        assert!(matches!(queue.reserve(1), Err(SubmitError::Stopping)));
        assert!(taken(&queue, 4).is_empty());
        room.send(job(2).0).expect("sent");
        assert_eq!(taken(&queue, 4), [2]);
        assert!(taken(&queue, 4).is_empty());
        drop(unused);
        assert_eq!(taken(&queue, 4), [usize::MAX]);
    }

    #[test]
    fn failed_queue_drops_what_waits_so_that_nobody_waits_for_ever() {
        let queue = Arc::new(Queue::new(10));
        let room = queue.reserve(1).expect("room");
        let (waiting, mut result) = job(2);
        queue.reserve(2).expect("room").send(waiting).expect("sent");
        queue.fail();
        assert!(matches!(
            result.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        ));
        assert!(matches!(room.send(job(1).0), Err(SubmitError::Poisoned)));
        queue.close();
        queue.set_disk_low(false);
        assert!(matches!(queue.reserve(1), Err(SubmitError::Poisoned)));
        assert_eq!(taken(&queue, 4), [usize::MAX]);
    }

    #[test]
    fn low_disk_refuses_until_there_is_room_again_and_never_what_it_is_kept_for() {
        let queue = Arc::new(Queue::new(10));
        let paused = queue.paused();
        queue.set_disk_low(true);
        assert_eq!(*paused.borrow(), Some(Paused::DiskLow));
        assert_eq!(refusal(&queue).as_deref(), Some("the disk is nearly full"));
        assert!(queue.reserve_on_low_disk(10).is_ok());
        let too_many = queue.reserve_on_low_disk(11).err();
        assert_eq!(too_many, Some(SubmitError::Busy));
        queue.set_disk_low(false);
        assert_eq!(refusal(&queue), None);
        queue.set_disk_low(true);
        queue.close();
        let closed = queue.reserve_on_low_disk(1).err();
        assert_eq!(closed, Some(SubmitError::Stopping));
    }

    #[test]
    fn answers_of_a_batch_reach_everybody_also_if_the_first_went_away() {
        let committed = |position| {
            let position = Position(position);
            let stamp = UtcMillis(0);
            Ok(vec![Decided::Committed {
                position,
                stamp,
                told_again: false,
            }])
        };
        for gone in 0..4_usize {
            let (callers, mut results): (Vec<_>, Vec<_>) =
                (0..3).map(|_| oneshot::channel::<Delivery>()).unzip();
            let answers = callers.into_iter().zip((0..3).map(committed)).collect();
            if gone < 3 {
                drop(results.remove(gone));
            }
            Delivery::send(answers);
            // Dropped unread, the first one's still hands out the rest.
            let mut left = results.into_iter();
            drop(left.next());
            for mut result in left {
                let delivery = result.try_recv().expect("an answer");
                assert!(delivery.take().is_ok());
            }
        }
    }
}
