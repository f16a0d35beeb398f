//! An answer that may take longer than a call may, and how far it is until it is there.
//!
//! The work is done in a thread of its own, which tells how far it is and looks whether anybody
//! still listens. Of what it tells only what is taken in time goes out; the last place is kept
//! for the answer.

use std::cell::Cell;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::stream::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::pb::v1 as pb;
use super::status::Problem;
use crate::domain::limits::{PROGRESS_MESSAGES_MAX, PROGRESS_PACE_MS};
use crate::query::Progress;
use pb::query_figures_with_progress_response::Step;

/// The whole, in thousandths.
const WHOLE: u64 = 1_000;

/// How far an answer is, then the answer.
pub type Steps =
    Pin<Box<dyn Stream<Item = Result<pb::QueryFiguresWithProgressResponse, Status>> + Send>>;

/// Who is told how far an answer is.
pub struct Listener {
    /// Without, it is told in thousandths: how many entries there are between two places says how
    /// much others recorded.
    pub shows_entries: bool,
    /// Ends the work, and the stream with `UNAVAILABLE`.
    pub stop: CancellationToken,
}

/// Makes an answer, which tells how far it is and asks whether to go on.
pub fn answered(
    room: OwnedSemaphorePermit,
    listener: Listener,
    answer: impl FnOnce(&dyn Fn(Progress) -> bool) -> Result<Step, Problem> + Send + 'static,
) -> Steps {
    let (sender, receiver) = mpsc::channel(PROGRESS_MESSAGES_MAX);
    let last = sender.clone();
    let answering = tokio::task::spawn_blocking(move || {
        let _room = room;
        let teller = Teller::new(sender, listener);
        let answered = answer(&|progress| teller.tell(progress));
        teller.finish(answered);
    });
    tokio::spawn(async move {
        if answering.await.is_err() {
            // Else the stream would end as if nothing was wrong.
            let _ = last.try_send(Err(Problem::internal().into()));
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

type Message = Result<pb::QueryFiguresWithProgressResponse, Status>;

struct Teller {
    sender: Sender<Message>,
    listener: Listener,
    told: Cell<Option<Instant>>,
    /// The most that was told, if not in entries.
    thousandths: Cell<u64>,
}

impl Teller {
    fn new(sender: Sender<Message>, listener: Listener) -> Self {
        Self {
            sender,
            listener,
            told: Cell::new(None),
            thousandths: Cell::new(0),
        }
    }

    fn shown(&self, progress: Progress) -> pb::QueryProgress {
        if self.listener.shows_entries {
            return pb::QueryProgress {
                entries_read: progress.read,
                entries_to_read: progress.to_read,
            };
        }
        let part = progress.read.saturating_mul(WHOLE) / progress.to_read.max(1);
        // More may turn out to be left; what was told never falls.
        let part = part.min(WHOLE).max(self.thousandths.get());
        self.thousandths.set(part);
        pb::QueryProgress {
            entries_read: part,
            entries_to_read: WHOLE,
        }
    }

    /// Tells how far it is, if that is due; says whether anybody listens, and the service goes on.
    fn tell(&self, progress: Progress) -> bool {
        let now = Instant::now();
        let pace = Duration::from_millis(PROGRESS_PACE_MS);
        let is_due = self.told.get().is_none_or(|told| told + pace <= now);
        // One place is left for the answer.
        if is_due && 1 < self.sender.capacity() {
            self.told.set(Some(now));
            let step = Step::Progress(self.shown(progress));
            // If it cannot be sent, nobody listens, which is asked next.
            let _ = self.sender.try_send(Ok(message(step)));
        }
        !self.sender.is_closed() && !self.listener.stop.is_cancelled()
    }

    fn finish(self, answered: Result<Step, Problem>) {
        let last = answered.map(message).map_err(|problem| {
            if self.listener.stop.is_cancelled() {
                Problem::stopping()
            } else {
                problem
            }
        });
        // If it cannot be sent, nobody listens.
        let _ = self.sender.try_send(last.map_err(Status::from));
    }
}

fn message(step: Step) -> pb::QueryFiguresWithProgressResponse {
    pb::QueryFiguresWithProgressResponse { step: Some(step) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(shows_entries: bool) -> Listener {
        Listener {
            shows_entries,
            stop: CancellationToken::new(),
        }
    }

    fn progress(read: u64) -> Progress {
        Progress { read, to_read: 10 }
    }

    #[test]
    fn who_sees_no_places_is_told_parts_that_never_fall_and_no_entries() {
        let (sender, mut receiver) = mpsc::channel(PROGRESS_MESSAGES_MAX);
        let teller = Teller::new(sender, listener(false));
        let mut check = |read, to_read, expected| {
            teller.told.set(None);
            assert!(teller.tell(Progress { read, to_read }));
            let told = receiver.try_recv().expect("told").expect("no error").step;
            let Some(Step::Progress(told)) = told else {
                panic!("{told:?}");
            };
            assert_eq!((told.entries_read, told.entries_to_read), (expected, WHOLE));
        };
        check(0, 4_321, 0);
        check(2_161, 4_321, 500);
        check(2_200, 8_642, 500);
        check(8_642, 8_642, 1_000);
        check(0, 0, 1_000);
    }

    #[test]
    fn answer_finds_a_place_however_much_is_told_before_and_the_work_ends_when_nobody_listens() {
        let (sender, mut receiver) = mpsc::channel(PROGRESS_MESSAGES_MAX);
        let teller = Teller::new(sender, listener(true));
        for read in 0..100 {
            // As if enough time had passed.
            teller.told.set(None);
            assert!(teller.tell(progress(read)));
        }
        teller.finish(Ok(Step::Answer(pb::QueryFiguresResponse::default())));
        let mut steps = Vec::new();
        while let Ok(message) = receiver.try_recv() {
            steps.push(message.expect("no error").step.expect("a step"));
        }
        assert_eq!(steps.len(), PROGRESS_MESSAGES_MAX);
        assert!(matches!(steps.last(), Some(Step::Answer(_))));
        assert!(matches!(
            steps[0],
            Step::Progress(pb::QueryProgress {
                entries_read: 0,
                ..
            })
        ));

        let (sender, receiver) = mpsc::channel(PROGRESS_MESSAGES_MAX);
        let teller = Teller::new(sender, listener(true));
        assert!(teller.tell(progress(1)));
        drop(receiver);
        assert!(!teller.tell(progress(2)));
    }

    #[test]
    fn work_ends_when_the_service_stops_and_says_so() {
        let (sender, mut receiver) = mpsc::channel(PROGRESS_MESSAGES_MAX);
        let listener = listener(true);
        let stop = listener.stop.clone();
        let teller = Teller::new(sender, listener);
        assert!(teller.tell(progress(1)));
        stop.cancel();
        assert!(!teller.tell(progress(2)));
        teller.finish(Err(Problem::internal()));
        receiver.try_recv().expect("progress").expect("no error");
        let end = receiver.try_recv().expect("an end").expect_err("no answer");
        assert_eq!(end.code(), tonic::Code::Unavailable);
    }
}
