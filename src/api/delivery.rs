//! The body of a stream's answer, between its client and a sweeper.
//!
//! HTTP/2 asks a body for more as soon as it has the last message, whether or not its client
//! takes that; what it has then lies in memory until it is taken or the stream is gone. So messages
//! are lent: what is lent says when HTTP/2 lets go of it. While about `WATCH_AHEAD_BYTES_MAX` are
//! lent, nothing more is made; and leave for a large message to wait is given back with its bytes.
//! Small ones are lent as well: one that HTTP/2 has taken and finds no room for says so by that.
//!
//! A client that takes nothing would hold its place for ever. So a sweeper looks at all
//! streams now and then. Where what is lent waits for too long, the stream is over, and its client
//! hears so when it reads on; where that waits for as long again, its place is free, and the stream
//! is to be reset, so that HTTP/2 lets go of all that waits in it. Of one whose window has no room
//! at all HTTP/2 asks nothing more: a message or two, and some 4 KiB at most before them, stay until
//! its client reads on or its connection ends.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::Stream;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::{Instant, interval};
use tonic::Status;

use super::status::Problem;
use crate::domain::limits::{WATCH_AHEAD_BYTES_MAX, WATCH_UNTAKEN_LOOK_MS, WATCH_UNTAKEN_MS_MAX};
use crate::live::log::LogError;
use crate::live::{Permit, TooMuchUnread, UnreadPermit};

/// Messages as they travel, or why there are no more.
pub type Frames = Pin<Box<dyn Stream<Item = Result<FramedMessage, Status>> + Send>>;

/// A message as it travels. What it was made of is not kept for a client that is slow to take
/// it, and may be many times as large.
pub struct FramedMessage {
    /// Its encoding.
    pub frame: Bytes,
    /// Resumes after it.
    pub resume_token: Bytes,
}

/// A stream that is let in.
pub struct Opened {
    /// What it tells.
    pub frames: Frames,
    /// Its place, given back when nothing of it is in memory any more, or its client takes nothing
    /// for too long.
    pub permit: Permit,
}

/// Ends streams whose clients take nothing. Clones are the same.
#[derive(Clone, Default)]
pub struct Sweeper(Arc<Mutex<Vec<Weak<Delivery>>>>);

/// The body of an answer.
pub struct FrameBody(Arc<Delivery>);

/// One stream. It lives as long as its body or anything that is lent.
struct Delivery(Mutex<State>);

struct State {
    /// Its place; `None` once it was given back.
    permit: Option<Permit>,
    stage: Stage,
    /// After what was handed out last; empty before.
    resume_token: Bytes,
    /// Messages that are lent.
    lent: u32,
    /// Bytes handed out since the first of those, it included; 0 if nothing is lent.
    ahead_bytes: usize,
    /// When something was lent or taken last, or the stage became another.
    since: Instant,
    /// Who asked last.
    waker: Option<Waker>,
    /// Whether the body waits for what is lent to be taken.
    is_waiting: bool,
}

/// Where a stream is.
enum Stage {
    /// There may be more.
    Open(Frames),
    /// This is still to be said, after what waits.
    Ending(Status),
    /// It is to be reset.
    Cut,
    Ended,
}

/// What a body has to say.
enum Said {
    Message(Bytes),
    End(Status),
    Reset,
}

/// What the sweeper did to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swept {
    Ended,
    Cut,
}

/// A message that HTTP/2 has.
struct LentFrame {
    frame: Bytes,
    hold: Option<Box<UnreadPermit>>,
    hand: Arc<Delivery>,
}

// === impl Sweeper ===

impl Sweeper {
    /// Spawns its task on the current tokio runtime. It ends with the last clone.
    pub fn start() -> Self {
        let sweeper = Self::default();
        let hands = Arc::downgrade(&sweeper.0);
        tokio::spawn(async move {
            let mut looks = interval(Duration::from_millis(WATCH_UNTAKEN_LOOK_MS));
            loop {
                looks.tick().await;
                let Some(hands) = hands.upgrade() else {
                    return;
                };
                Self(hands).sweep(Instant::now());
            }
        });
        sweeper
    }

    /// The body that tells a stream.
    pub fn watch_over(&self, opened: Opened) -> FrameBody {
        let state = State {
            permit: Some(opened.permit),
            stage: Stage::Open(opened.frames),
            resume_token: Bytes::new(),
            lent: 0,
            ahead_bytes: 0,
            since: Instant::now(),
            waker: None,
            is_waiting: false,
        };
        let hand = Arc::new(Delivery(Mutex::new(state)));
        self.hands().push(Arc::downgrade(&hand));
        FrameBody(hand)
    }

    fn sweep(&self, now: Instant) {
        // Dropping a stream takes locks of its own, so not under this one.
        let mut open = Vec::new();
        self.hands().retain(|hand| {
            let hand = hand.upgrade();
            let is_open = hand.is_some();
            open.extend(hand);
            is_open
        });
        let swept: Vec<_> = open.iter().filter_map(|hand| hand.sweep(now)).collect();
        if !swept.is_empty() {
            let is_cut = |swept: &&Swept| **swept == Swept::Cut;
            let cut = swept.iter().filter(is_cut).count();
            let ended = swept.len() - cut;
            tracing::info!(ended, cut, "streams ended that nobody reads");
        }
    }

    fn hands(&self) -> MutexGuard<'_, Vec<Weak<Delivery>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Hand ===

impl Delivery {
    /// Goes on with its end if its client takes nothing for too long.
    fn sweep(&self, now: Instant) -> Option<Swept> {
        let mut state = self.state();
        let patience = Duration::from_millis(WATCH_UNTAKEN_MS_MAX);
        if state.lent == 0 || now < state.since + patience {
            return None;
        }
        // HTTP/2 may wait for room and ask for nothing more, the end included: what it holds it
        // keeps for as long as its client likes, and a place as well if it were not given back.
        let (stage, swept, permit) = match state.stage {
            Stage::Open(_) => {
                let resume_token = state.resume_token.to_vec();
                let status = Problem::from(LogError::Lagged { resume_token }).into();
                (Stage::Ending(status), Swept::Ended, None)
            }
            Stage::Ending(_) => (Stage::Cut, Swept::Cut, state.permit.take()),
            Stage::Ended if state.permit.is_some() => {
                (Stage::Ended, Swept::Cut, state.permit.take())
            }
            Stage::Cut | Stage::Ended => return None,
        };
        let before = std::mem::replace(&mut state.stage, stage);
        state.since = now;
        let waker = state.waker.clone();
        drop(state);
        drop((before, permit));
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(swept)
    }

    fn poll(self: &Arc<Self>, context: &mut Context<'_>) -> Poll<Option<Said>> {
        let mut state = self.state();
        if state.must_wait() {
            state.is_waiting = true;
            state.listen(context);
            return Poll::Pending;
        }
        let mut frames = match std::mem::replace(&mut state.stage, Stage::Ended) {
            Stage::Open(frames) => frames,
            Stage::Ending(status) => return Poll::Ready(Some(Said::End(status))),
            Stage::Cut => return Poll::Ready(Some(Said::Reset)),
            Stage::Ended => return Poll::Ready(None),
        };
        let end = match frames.as_mut().poll_next(context) {
            Poll::Pending => {
                state.stage = Stage::Open(frames);
                state.listen(context);
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(handed))) => match state.hold(&handed.frame) {
                Ok(hold) => {
                    state.stage = Stage::Open(frames);
                    let message = self.lend(&mut state, handed, hold);
                    return Poll::Ready(Some(Said::Message(message)));
                }
                Err(error) => Problem::too_much_untaken(error, &state.resume_token).into(),
            },
            Poll::Ready(Some(Err(status))) => status,
            Poll::Ready(None) => Status::ok(""),
        };
        drop(state);
        Poll::Ready(Some(Said::End(end)))
    }

    /// Hands a message out, lent.
    fn lend(
        self: &Arc<Self>,
        state: &mut State,
        handed: FramedMessage,
        hold: Option<UnreadPermit>,
    ) -> Bytes {
        let FramedMessage {
            frame,
            resume_token,
        } = handed;
        state.resume_token = resume_token;
        state.ahead_bytes += frame.len();
        if state.lent == 0 {
            state.since = Instant::now();
        }
        state.lent += 1;
        Bytes::from_owner(LentFrame {
            frame,
            hold: hold.map(Box::new),
            hand: Arc::clone(self),
        })
    }

    /// HTTP/2 let go of something that was lent.
    fn take_back(&self) {
        let mut state = self.state();
        state.lent -= 1;
        if 0 < state.lent {
            state.since = Instant::now();
            return;
        }
        state.ahead_bytes = 0;
        let is_waiting = std::mem::take(&mut state.is_waiting);
        let waker = state.waker.as_ref().filter(|_| is_waiting).cloned();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Leave to have a message wait. The place is held as long as there may be more messages.
    fn hold(&self, frame: &Bytes) -> Result<Option<UnreadPermit>, TooMuchUnread> {
        let permit = self.permit.as_ref();
        permit.map_or(Ok(None), |permit| permit.hold(frame))
    }

    /// Whether what is lent must be taken first.
    fn must_wait(&self) -> bool {
        match self.stage {
            Stage::Open(_) => WATCH_AHEAD_BYTES_MAX <= self.ahead_bytes,
            // Or HTTP/2 would have all of it, and could not be told to let go.
            Stage::Ending(_) => 0 < self.lent,
            Stage::Cut | Stage::Ended => false,
        }
    }

    fn listen(&mut self, context: &mut Context<'_>) {
        let waker = context.waker();
        if !self.waker.as_ref().is_some_and(|it| it.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }
}

// === impl Lent ===

impl AsRef<[u8]> for LentFrame {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl Drop for LentFrame {
    fn drop(&mut self) {
        // Before anybody asks for the next.
        self.hold = None;
        self.hand.take_back();
    }
}

// === impl FrameBody ===

impl Drop for FrameBody {
    fn drop(&mut self) {
        let mut state = self.0.state();
        // What is lent may live on, and must not keep the task that polled this.
        let waker = state.waker.take();
        let stage = std::mem::replace(&mut state.stage, Stage::Ended);
        drop(state);
        drop((waker, stage));
    }
}

impl http_body::Body for FrameBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let end = match ready!(self.0.poll(context)) {
            Some(Said::Message(message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
            Some(Said::End(status)) => status,
            // gRPC tells it as `RESOURCE_EXHAUSTED`.
            Some(Said::Reset) => {
                let reason = h2::Error::from(h2::Reason::ENHANCE_YOUR_CALM);
                return Poll::Ready(Some(Err(Status::from_error(Box::new(reason)))));
            }
            None => return Poll::Ready(None),
        };
        let mut trailers = HeaderMap::new();
        let told = end
            .add_header(&mut trailers)
            .map(|()| Frame::trailers(trailers));
        Poll::Ready(Some(told))
    }
}

#[cfg(test)]
mod tests;
