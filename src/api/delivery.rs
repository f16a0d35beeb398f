//! The body of a stream's answer, between its client and a sweeper.
//!
//! HTTP/2 asks a body for more as soon as it has the last message, whether or not its client
//! takes that; what it has then lies in memory until it is taken or the stream is gone. So messages
//! are lent: what is lent says when HTTP/2 lets go of it. While about `WATCH_AHEAD_BYTES_MAX` are
//! lent, nothing more is made. Small ones are lent as well: one that HTTP/2 has taken and finds no
//! room for says so by that. A large one is lent in parts, each a copy and each when the one before
//! it was taken: so it shows that its client takes some of it, however slowly, and it can be let go
//! of while a part still waits. It is let go of, and leave for it to wait given back, when its last
//! part is lent.
//!
//! A client that takes nothing would hold its place for ever. So a sweeper looks at all
//! streams now and then. Where what is lent waits for too long, the stream is over, and its client
//! hears so when it reads on; where that waits for as long again, the stream is to be reset, so that
//! HTTP/2 lets go of all that waits in it. In the midst of a message nothing can be said, and the
//! stream is to be reset at once. Of one whose window has no room at all HTTP/2 asks nothing more,
//! and cannot be told; where something waits for as long once more, its connection is ended. Its
//! place is counted until nothing of it is in memory any more.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::Stream;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::Instant;
use tonic::Status;

use super::connection::ConnectionAbort;
use super::register::Register;
use super::status::Problem;
use crate::domain::limits::{WATCH_AHEAD_BYTES_MAX, WATCH_PART_BYTES_MAX, WATCH_UNTAKEN_MS_MAX};
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
    /// Its place, given back when nothing of it is in memory any more.
    pub permit: Permit,
    /// Ends the connection that it goes through; `None` if it goes through none.
    pub connection: Option<ConnectionAbort>,
}

/// Ends streams whose clients take nothing. Clones are the same.
#[derive(Clone, Default)]
pub struct Sweeper(Register<Delivery>);

/// The body of an answer.
pub struct FrameBody(Arc<Delivery>);

/// One stream. It lives as long as its body or anything that is lent.
struct Delivery(Mutex<State>);

struct State {
    /// Its place, as long as it is there.
    permit: Permit,
    /// `None` once the connection was ended.
    connection: Option<ConnectionAbort>,
    stage: Stage,
    /// After what was handed out last; empty before.
    resume_token: Bytes,
    /// What is still to be lent of the last message.
    rest: Option<Box<Rest>>,
    /// Messages, and parts of them, that are lent.
    lent: u32,
    /// Bytes handed out since the first of those, it included; 0 if nothing is lent.
    ahead_bytes: usize,
    /// When something was lent or taken last, or the stage became another.
    since: Instant,
    /// Who asked last.
    waker: Option<Waker>,
    /// Whether the body waits for what is lent to be taken.
    is_waiting: bool,
    /// Whether somebody waits for more. gRPC-Web as text copies what it is lent and gives it back
    /// at once; that its client takes nothing shows by nobody asking for more.
    is_asked: bool,
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

/// A large message of which some was lent.
struct Rest {
    frame: Bytes,
    /// So many bytes were.
    at: usize,
    _hold: Option<UnreadPermit>,
}

/// What a body has to say.
enum Said {
    Part(Bytes),
    End(Status),
    Reset,
}

/// What the sweeper did to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swept {
    Ended,
    Reset,
    Disconnected,
}

/// A part that HTTP/2 has.
struct LentPart {
    bytes: Bytes,
    delivery: Arc<Delivery>,
}

// === impl Sweeper ===

impl Sweeper {
    /// Spawns its task on the current tokio runtime. It ends with the last clone.
    pub fn start() -> Self {
        let sweeper = Self::default();
        sweeper.0.look_through(sweep);
        sweeper
    }

    /// The body that tells a stream.
    pub fn watch_over(&self, opened: Opened) -> FrameBody {
        let state = State {
            permit: opened.permit,
            connection: opened.connection,
            stage: Stage::Open(opened.frames),
            resume_token: Bytes::new(),
            rest: None,
            lent: 0,
            ahead_bytes: 0,
            since: Instant::now(),
            waker: None,
            is_waiting: false,
            is_asked: true,
        };
        let delivery = Arc::new(Delivery(Mutex::new(state)));
        self.0.add(&delivery);
        FrameBody(delivery)
    }
}

fn sweep(open: &[Arc<Delivery>], now: Instant) {
    let swept: Vec<_> = open
        .iter()
        .filter_map(|delivery| delivery.sweep(now))
        .collect();
    if !swept.is_empty() {
        let count = |what| swept.iter().filter(|swept| **swept == what).count();
        tracing::info!(
            ended = count(Swept::Ended),
            reset = count(Swept::Reset),
            disconnected = count(Swept::Disconnected),
            "ended streams whose clients take nothing"
        );
    }
}

// === impl Delivery ===

impl Delivery {
    /// Goes on with its end if its client takes nothing for too long.
    fn sweep(&self, now: Instant) -> Option<Swept> {
        let mut state = self.state();
        let patience = Duration::from_millis(WATCH_UNTAKEN_MS_MAX);
        if state.lent == 0 && state.is_asked || now < state.since + patience {
            return None;
        }
        let (stage, swept) = match state.stage {
            // Trailers in the midst of a message are no status.
            Stage::Open(_) if state.rest.is_some() => (Stage::Cut, Swept::Reset),
            Stage::Open(_) => {
                let resume_token = state.resume_token.to_vec();
                let status = Problem::from(LogError::Lagged { resume_token }).into();
                (Stage::Ending(status), Swept::Ended)
            }
            Stage::Ending(_) => (Stage::Cut, Swept::Reset),
            // HTTP/2 waits for room, and asks for nothing before there is some.
            Stage::Cut | Stage::Ended => {
                let connection = state.connection.take()?;
                drop(state);
                connection.abort();
                return Some(Swept::Disconnected);
            }
        };
        let before = std::mem::replace(&mut state.stage, stage);
        let rest = state.rest.take();
        state.since = now;
        let waker = state.waker.clone();
        drop(state);
        drop((before, rest));
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(swept)
    }

    fn poll(self: &Arc<Self>, context: &mut Context<'_>) -> Poll<Option<Said>> {
        let mut state = self.state();
        state.is_asked = true;
        if state.must_wait() {
            state.is_waiting = true;
            state.listen(context);
            return Poll::Pending;
        }
        if let Some(part) = state.next_part() {
            return Poll::Ready(Some(Said::Part(self.lend(&mut state, part))));
        }
        let mut frames = match std::mem::replace(&mut state.stage, Stage::Ended) {
            Stage::Open(frames) => frames,
            Stage::Ending(status) => {
                state.await_end();
                return Poll::Ready(Some(Said::End(status)));
            }
            Stage::Cut => return Poll::Ready(Some(Said::Reset)),
            Stage::Ended => return Poll::Ready(None),
        };
        let end = match frames.as_mut().poll_next(context) {
            Poll::Pending => {
                state.stage = Stage::Open(frames);
                state.listen(context);
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(message))) => match state.hold(&message.frame) {
                Ok(hold) => {
                    state.stage = Stage::Open(frames);
                    let part = state.begin(message, hold);
                    return Poll::Ready(Some(Said::Part(self.lend(&mut state, part))));
                }
                Err(error) => Problem::too_much_untaken(error, &state.resume_token).into(),
            },
            Poll::Ready(Some(Err(status))) => status,
            Poll::Ready(None) => Status::ok(""),
        };
        state.await_end();
        drop(state);
        Poll::Ready(Some(Said::End(end)))
    }

    /// Hands a part out, lent.
    fn lend(self: &Arc<Self>, state: &mut State, bytes: Bytes) -> Bytes {
        state.ahead_bytes += bytes.len();
        if state.lent == 0 {
            state.since = Instant::now();
        }
        state.is_asked = false;
        state.lent += 1;
        Bytes::from_owner(LentPart {
            bytes,
            delivery: Arc::clone(self),
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
    /// Leave to have a message wait.
    fn hold(&self, frame: &Bytes) -> Result<Option<UnreadPermit>, TooMuchUnread> {
        self.permit.hold(frame)
    }

    /// The end is said, and may still wait where a layer makes a message of it, as for gRPC-Web.
    fn await_end(&mut self) {
        self.is_asked = false;
        self.since = Instant::now();
    }

    /// Whether what is lent must be taken first.
    fn must_wait(&self) -> bool {
        match self.stage {
            Stage::Open(_) if self.rest.is_some() => 0 < self.lent,
            Stage::Open(_) => WATCH_AHEAD_BYTES_MAX <= self.ahead_bytes,
            // Or HTTP/2 would have all of it, and could not be told to let go.
            Stage::Ending(_) => 0 < self.lent,
            Stage::Cut | Stage::Ended => false,
        }
    }

    /// What is lent first of a message.
    fn begin(&mut self, message: FramedMessage, hold: Option<UnreadPermit>) -> Bytes {
        let FramedMessage {
            frame,
            resume_token,
        } = message;
        self.resume_token = resume_token;
        if frame.len() <= WATCH_PART_BYTES_MAX {
            return frame;
        }
        let whole = Rest {
            frame,
            at: 0,
            _hold: hold,
        };
        let (part, rest) = whole.split();
        self.rest = rest.map(Box::new);
        part
    }

    /// What is lent next of a message; `None` if all of it was.
    fn next_part(&mut self) -> Option<Bytes> {
        let (part, rest) = self.rest.take()?.split();
        self.rest = rest.map(Box::new);
        Some(part)
    }

    fn listen(&mut self, context: &mut Context<'_>) {
        let waker = context.waker();
        if !self.waker.as_ref().is_some_and(|it| it.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }
}

// === impl Rest ===

impl Rest {
    /// The next part, and what is left then.
    fn split(mut self) -> (Bytes, Option<Self>) {
        let end = self.frame.len().min(self.at + WATCH_PART_BYTES_MAX);
        // A copy, or the part that waits would keep all of the message.
        let bytes = Bytes::copy_from_slice(&self.frame[self.at..end]);
        self.at = end;
        let is_last = end == self.frame.len();
        (bytes, (!is_last).then_some(self))
    }
}

// === impl LentPart ===

impl AsRef<[u8]> for LentPart {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for LentPart {
    fn drop(&mut self) {
        self.delivery.take_back();
    }
}

// === impl FrameBody ===

impl Drop for FrameBody {
    fn drop(&mut self) {
        let mut state = self.0.state();
        // What is lent may live on, and must not keep the task that polled this.
        let waker = state.waker.take();
        let stage = std::mem::replace(&mut state.stage, Stage::Ended);
        let rest = state.rest.take();
        drop(state);
        drop((waker, stage, rest));
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
            Some(Said::Part(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
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
