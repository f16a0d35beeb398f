//! Streams whose messages are encoded before they get here, once for all who watch the same.
//!
//! tonic would encode each message for each stream, in a buffer of 8 KiB that every stream
//! keeps. So it only reads the request; the answer has a body of our own, which hands out what
//! others hand out as well.
//!
//! HTTP asks a body for more only when its client takes what there is. One that takes nothing
//! would hold its place for ever, and nobody would be asked; so a sweeper looks at all of them
//! now and then, and ends those whose last message waits for too long. What is left is the
//! word of its end, which the client hears when it reads on.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{Empty, Stream, empty};
use http::HeaderMap;
use http_body::Frame;
use prost::Message;
use tokio::time::{Instant, interval};
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::status::Problem;
use crate::domain::limits::{MESSAGE_BYTES_MAX, WATCH_UNTAKEN_LOOK_MS, WATCH_UNTAKEN_MS_MAX};
use crate::live::Hold;
use crate::live::log::LogError;

/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Messages as they travel, or why there are no more.
pub type Frames = Pin<Box<dyn Stream<Item = Result<Handed, Status>> + Send>>;

/// A message as it travels. What it was made of is not kept for a client that is slow to take
/// it, and may be many times as large.
pub struct Handed {
    /// Its encoding.
    pub frame: Bytes,
    /// Resumes after it.
    pub resume_token: Bytes,
    /// Leave to have it wait for its client, if it takes one.
    pub hold: Option<Hold>,
}

type Open<Q> = Box<dyn FnOnce(Request<Q>) -> Opening + Send>;
type Opening = Pin<Box<dyn Future<Output = Result<Frames, Status>> + Send>>;

/// A message as it travels. At most 4 GiB, which no message reaches.
pub fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("far below 4 GiB"));
    message.encode_raw(&mut frame);
    frame.freeze()
}

/// Ends streams whose clients take nothing. Clones are the same.
#[derive(Clone, Default)]
pub struct Sweeper(Arc<Mutex<Vec<Weak<Hand>>>>);

/// One stream, between its client and the sweeper.
struct Hand(Mutex<Stage>);

/// Where a stream is.
enum Stage {
    /// The client asks for more.
    Asked(Frames),
    /// A message was handed out then, and the client has not asked for more since.
    Handed(Frames, Instant, Waiting),
    /// This is still to be said, after what waits.
    Ending {
        status: Status,
        _waiting: Waiting,
    },
    Ended,
}

/// What is kept of a message that was handed out.
struct Waiting {
    resume_token: Bytes,
    _hold: Option<Hold>,
}

/// Answers a call whose request is one message and whose answer is a stream.
pub async fn answer<Q, F>(
    request: http::Request<Body>,
    sweeper: &Sweeper,
    open: impl FnOnce(Request<Q>) -> F + Send + 'static,
) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    F: Future<Output = Result<Frames, Status>> + Send + 'static,
{
    let slot = Slot::default();
    let method = Method::<Q> {
        open: Some(Box::new(|request| Box::pin(open(request)))),
        slot: slot.clone(),
    };
    let codec = ProstCodec::<(), Q>::default();
    let mut grpc = Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let response = grpc.server_streaming(method, request).await;
    match slot.take() {
        Some(frames) => response.map(|_| Body::new(sweeper.watch_over(frames))),
        None => response,
    }
}

/// Where the frames are laid until tonic has made its answer.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Option<Frames>>>);

/// One call, as tonic sees it: with an empty stream.
struct Method<Q> {
    open: Option<Open<Q>>,
    slot: Slot,
}

/// The body of an answer.
struct FrameBody(Arc<Hand>);

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

    fn watch_over(&self, frames: Frames) -> FrameBody {
        let hand = Arc::new(Hand(Mutex::new(Stage::Asked(frames))));
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
        let ended = open.iter().filter(|hand| hand.end_untaken(now)).count();
        if 0 < ended {
            tracing::info!(ended, "streams ended that nobody reads");
        }
    }

    fn hands(&self) -> MutexGuard<'_, Vec<Weak<Hand>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Hand ===

impl Hand {
    /// Ends it if its client takes nothing for too long; says whether it did.
    fn end_untaken(&self, now: Instant) -> bool {
        let mut stage = self.stage();
        let patience = Duration::from_millis(WATCH_UNTAKEN_MS_MAX);
        let (frames, waiting) = match std::mem::replace(&mut *stage, Stage::Ended) {
            Stage::Handed(frames, at, waiting) if at + patience <= now => (frames, waiting),
            other => {
                *stage = other;
                return false;
            }
        };
        let resume_token = waiting.resume_token.to_vec();
        let status = Problem::from(LogError::Lagged { resume_token }).into();
        *stage = Stage::Ending {
            status,
            _waiting: waiting,
        };
        drop(stage);
        drop(frames);
        true
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let mut stage = self.stage();
        let mut frames = match std::mem::replace(&mut *stage, Stage::Ended) {
            Stage::Asked(frames) | Stage::Handed(frames, ..) => frames,
            Stage::Ending { status, .. } => return Poll::Ready(Some(Err(status))),
            Stage::Ended => return Poll::Ready(None),
        };
        match frames.as_mut().poll_next(context) {
            Poll::Pending => {
                *stage = Stage::Asked(frames);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(handed))) => {
                let waiting = Waiting {
                    resume_token: handed.resume_token,
                    _hold: handed.hold,
                };
                *stage = Stage::Handed(frames, Instant::now(), waiting);
                Poll::Ready(Some(Ok(handed.frame)))
            }
            Poll::Ready(Some(Err(status))) => Poll::Ready(Some(Err(status))),
            Poll::Ready(None) => Poll::Ready(Some(Err(Status::ok("")))),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Slot ===

impl Slot {
    fn put(&self, frames: Frames) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(frames);
    }

    fn take(&self) -> Option<Frames> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

// === impl Method ===

impl<Q> ServerStreamingService<Q> for Method<Q> {
    type Response = ();
    type ResponseStream = Empty<Result<(), Status>>;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let opening = self.open.take().map(|open| open(request));
        let slot = self.slot.clone();
        Box::pin(async move {
            let opening = opening.ok_or_else(|| Status::internal("called twice"))?;
            slot.put(opening.await?);
            Ok(Response::new(empty()))
        })
    }
}

// === impl FrameBody ===

impl http_body::Body for FrameBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let end = match ready!(self.0.poll(context)) {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
            Some(Err(status)) => status,
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
mod tests {
    use futures_util::{FutureExt, StreamExt, stream};
    use http_body::Body as _;

    use super::*;

    /// A message that ends at a place, of which the token is made.
    fn handed(message: &Bytes, place: u8) -> Handed {
        Handed {
            frame: message.clone(),
            resume_token: vec![place].into(),
            hold: None,
        }
    }

    fn trailer(frame: Frame<Bytes>) -> HeaderMap {
        frame.into_trailers().expect("trailers")
    }

    async fn next(body: &mut FrameBody) -> Option<Frame<Bytes>> {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        frame.await.map(|frame| frame.expect("a frame"))
    }

    #[tokio::test]
    async fn stream_ends_with_its_status_after_its_messages() {
        let check = async |end: Option<Status>, expected: &str| {
            let message = framed(&"a message".to_owned());
            let messages = stream::iter([Ok(handed(&message, 1))]);
            let messages = messages.chain(stream::iter(end.map(Err)));
            let mut body = Sweeper::default().watch_over(Box::pin(messages));
            let frame = next(&mut body).await.expect("a message");
            assert_eq!(frame.into_data().expect("data"), message);
            let frame = next(&mut body).await.expect("trailers");
            assert_eq!(trailer(frame)["grpc-status"], expected);
            assert!(next(&mut body).await.is_none());
        };
        check(None, "0").await;
        check(Some(Status::unavailable("stopping")), "14").await;
    }

    /// A stream with so many messages at once and silence after them, and what it holds.
    fn stream_of(messages: u8) -> (Frames, Arc<()>) {
        let held = Arc::new(());
        let holding = Arc::clone(&held);
        let frame = framed(&"a message".to_owned());
        let all = stream::iter(1..=messages).map(move |place| Ok(handed(&frame, place)));
        let silence = stream::poll_fn(move |_| {
            let _held = &holding;
            Poll::Pending
        });
        (Box::pin(all.chain(silence)), held)
    }

    #[tokio::test(start_paused = true)]
    async fn stream_that_nobody_reads_is_ended_with_the_token_of_its_last_message() {
        let sweeper = Sweeper::default();
        let (frames, held) = stream_of(9);
        let mut body = sweeper.watch_over(frames);
        for _ in 0..2 {
            assert!(next(&mut body).await.expect("a message").is_data());
        }
        let patience = Duration::from_millis(WATCH_UNTAKEN_MS_MAX);
        tokio::time::advance(patience - Duration::from_millis(1)).await;
        sweeper.sweep(Instant::now());
        assert_eq!(Arc::strong_count(&held), 2, "its place is held");
        tokio::time::advance(Duration::from_millis(1)).await;
        sweeper.sweep(Instant::now());
        assert_eq!(Arc::strong_count(&held), 1, "its place is free");
        let trailers = trailer(next(&mut body).await.expect("an end"));
        let status = Status::from_header_map(&trailers).expect("a status");
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        let info = tonic_types::StatusExt::get_details_error_info(&status);
        let info = info.expect("always there");
        assert_eq!(info.reason, "WATCHER_LAGGED");
        assert_eq!(info.metadata["resume_token"], "02");
        assert!(next(&mut body).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn stream_without_news_is_not_ended_and_one_that_is_gone_is_forgotten() {
        let sweeper = Sweeper::default();
        let (frames, held) = stream_of(1);
        let mut body = sweeper.watch_over(frames);
        next(&mut body).await.expect("a message");
        assert!(next(&mut body).now_or_never().is_none(), "the client asks");
        tokio::time::advance(Duration::from_millis(10 * WATCH_UNTAKEN_MS_MAX)).await;
        sweeper.sweep(Instant::now());
        assert_eq!(Arc::strong_count(&held), 2);
        drop(body);
        sweeper.sweep(Instant::now());
        assert!(sweeper.hands().is_empty());
    }

    #[test]
    fn message_is_framed_as_tonic_does_it() {
        let message = "a message".to_owned();
        let frame = framed(&message);
        assert_eq!(frame[..PREFIX_BYTES], [0, 0, 0, 0, 11]);
        assert_eq!(frame[PREFIX_BYTES..], message.encode_to_vec());
    }
}
