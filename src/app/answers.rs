//! Answers on their way through the router, and clients that do not take them.
//!
//! HTTP has an answer in memory until its client takes it, and asks nobody how long that may be. So
//! what is said is lent: what is let go of tells that a client takes some, however slowly. Where none is
//! taken for too long, nothing can be said to that client any more, and its connection is ended. What
//! is large is lent in parts, and counted meanwhile for whoever asked, within bounds.
//!
//! Watches have their own way, `api/delivery`, and can be resumed; answers to reports that come singly
//! or on a stream are counted by connection, `api/connection`. Of what is no method of the API, health
//! and reflection can be streams for ever: they take a place each, and end when the service stops.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

use super::GRPC;
use crate::api::connection::ConnectionAbort;
use crate::api::frames::LooksAfterItself;
use crate::api::guard::Door;
use crate::api::origin::abort_of;
use crate::api::register::Register;
use crate::api::status::Problem;
use crate::domain::limits::{WATCH_PART_BYTES_MAX, WATCH_UNTAKEN_MS_MAX};
use crate::live::{Holder, Permit, PermitBounds, Permits, UnreadBounds, UnreadBytes, UnreadPermit};

/// Paths of what is no method of the API, and may be a stream.
const STREAMS: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];
const GRPC_WEB: &str = "application/grpc-web";

/// Watches over answers. Clones watch over the same.
#[derive(Clone)]
pub(super) struct Answers {
    door: Door,
    unread: Arc<UnreadBytes>,
    streams: Permits,
    stop: CancellationToken,
    /// Those on their way.
    open: Register<Answer>,
}

/// One answer. It lives as long as its body or anything that is lent.
struct Answer {
    connection: Option<ConnectionAbort>,
    progress: Mutex<Progress>,
}

/// How far a client has taken an answer.
struct Progress {
    /// Parts that are lent.
    lent: u32,
    /// Whether somebody waits for more. Nobody does while what was said last finds no room.
    is_asked: bool,
    /// When something was said, or taken, last.
    since: Instant,
}

/// Its body.
struct AnswerBody {
    body: Body,
    holder: Holder,
    unread: Arc<UnreadBytes>,
    answer: Arc<Answer>,
    /// What is still to be lent of the last piece.
    rest: Option<Rest>,
    stream: Option<OtherStream>,
}

/// A large piece, of which some was lent.
struct Rest {
    piece: Bytes,
    hold: Arc<UnreadPermit>,
}

/// A stream that is no method of the API.
struct OtherStream {
    _place: Permit,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether it ends with a status; in gRPC-Web a layer below this one says it.
    has_trailers: bool,
}

/// A part that HTTP has.
struct Lent {
    bytes: Bytes,
    answer: Arc<Answer>,
    _hold: Option<Arc<UnreadPermit>>,
}

/// Why an answer is cut off.
#[derive(Debug, thiserror::Error)]
enum Cut {
    /// gRPC tells it as `RESOURCE_EXHAUSTED`.
    #[error("too much waits for the clients of this caller")]
    TooMuchUntaken(#[source] h2::Error),
    #[error("the service stops")]
    Stopping,
}

// === impl Answers ===

impl Answers {
    /// Spawns a task on the current tokio runtime, which ends connections whose clients take nothing.
    /// It ends with the last clone.
    pub fn start(door: Door, stop: CancellationToken) -> Self {
        let open = Register::default();
        open.look_through(sweep);
        Self {
            door,
            unread: Arc::new(UnreadBytes::new(UnreadBounds::of_answers())),
            streams: Permits::new(PermitBounds::of_followers()),
            stop,
            open,
        }
    }

    /// A place for a stream that is no method of the API; `None` for all else.
    fn place(&self, path: &str, holder: Holder) -> Result<Option<Permit>, Problem> {
        if !STREAMS.iter().any(|stream| path.starts_with(stream)) {
            return Ok(None);
        }
        Ok(Some(self.streams.take(holder)?))
    }

    /// A body that is watched over.
    fn watched(
        &self,
        body: Body,
        holder: Holder,
        connection: Option<ConnectionAbort>,
        stream: Option<OtherStream>,
    ) -> AnswerBody {
        let answer = Arc::new(Answer {
            connection,
            progress: Mutex::new(Progress {
                lent: 0,
                is_asked: false,
                since: Instant::now(),
            }),
        });
        self.open.add(&answer);
        AnswerBody {
            body,
            holder,
            unread: Arc::clone(&self.unread),
            answer,
            rest: None,
            stream,
        }
    }
}

/// The outermost layer of the router. Lays beside a request whose it is.
pub(super) async fn watch_over(
    State(answers): State<Answers>,
    mut request: Request,
    next: Next,
) -> Response {
    let holder = answers.door.holder(&request);
    let connection = abort_of(request.extensions());
    let place = match answers.place(request.uri().path(), holder) {
        Ok(place) => place,
        Err(problem) => return Status::from(problem).into_http(),
    };
    request.extensions_mut().insert(holder);
    let response = next.run(request).await;
    if response.extensions().get::<LooksAfterItself>().is_some() {
        return response;
    }
    let kind = response.headers().get(CONTENT_TYPE);
    let is_kind =
        |start: &str| kind.is_some_and(|kind| kind.as_bytes().starts_with(start.as_bytes()));
    let stream = place.map(|place| OtherStream {
        _place: place,
        stop: Box::pin(answers.stop.clone().cancelled_owned()),
        has_trailers: is_kind(GRPC) && !is_kind(GRPC_WEB),
    });
    response.map(|body| Body::new(answers.watched(body, holder, connection, stream)))
}

/// Ends connections whose clients do not take their answers.
fn sweep(open: &[Arc<Answer>], now: Instant) {
    let stuck: Vec<_> = open.iter().filter(|answer| answer.is_stuck(now)).collect();
    if !stuck.is_empty() {
        let count = stuck.len();
        tracing::info!(count, "ended connections whose clients do not take answers");
    }
    for answer in stuck {
        if let Some(connection) = &answer.connection {
            connection.abort();
        }
    }
}

// === impl Answer ===

impl Answer {
    fn is_stuck(&self, now: Instant) -> bool {
        let patience = Duration::from_millis(WATCH_UNTAKEN_MS_MAX);
        let progress = self.progress();
        let is_waiting = 0 < progress.lent || !progress.is_asked;
        is_waiting && progress.since + patience <= now
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl AnswerBody ===

impl AnswerBody {
    /// The next part of a large piece.
    fn next_part(&mut self) -> Option<Bytes> {
        let rest = self.rest.as_mut()?;
        let bytes = rest
            .piece
            .split_to(rest.piece.len().min(WATCH_PART_BYTES_MAX));
        let hold = Arc::clone(&rest.hold);
        if rest.piece.is_empty() {
            self.rest = None;
        }
        Some(self.lend(bytes, Some(hold)))
    }

    fn lend(&self, bytes: Bytes, hold: Option<Arc<UnreadPermit>>) -> Bytes {
        let mut progress = self.answer.progress();
        if progress.lent == 0 {
            progress.since = Instant::now();
        }
        progress.lent += 1;
        progress.is_asked = false;
        drop(progress);
        Bytes::from_owner(Lent {
            bytes,
            answer: Arc::clone(&self.answer),
            _hold: hold,
        })
    }

    /// A piece of the answer, or its first part.
    fn begin(&mut self, piece: Bytes) -> Result<Bytes, Cut> {
        let hold = self.unread.hold(self.holder, &piece);
        let Some(hold) =
            hold.map_err(|_| Cut::TooMuchUntaken(h2::Reason::ENHANCE_YOUR_CALM.into()))?
        else {
            return Ok(self.lend(piece, None));
        };
        let hold = Arc::new(hold);
        self.rest = Some(Rest { piece, hold });
        Ok(self.next_part().expect("it is not empty"))
    }

    /// The end of a stream once the service stops.
    fn end(&mut self, context: &mut Context<'_>) -> Option<Result<Frame<Bytes>, Cut>> {
        let stream = self.stream.as_mut()?;
        if stream.stop.as_mut().poll(context).is_pending() {
            return None;
        }
        let has_trailers = stream.has_trailers;
        self.stream = None;
        self.body = Body::empty();
        if !has_trailers {
            return Some(Err(Cut::Stopping));
        }
        let mut trailers = HeaderMap::new();
        let told = Status::from(Problem::stopping()).add_header(&mut trailers);
        Some(
            told.map(|()| Frame::trailers(trailers))
                .map_err(|_| Cut::Stopping),
        )
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.answer.progress().is_asked = true;
        if let Some(part) = self.next_part() {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        if let Some(end) = self.end(context) {
            return Poll::Ready(Some(end.map_err(axum::Error::new)));
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let piece = match frame.map(Frame::into_data) {
            Ok(Ok(piece)) if !piece.is_empty() => piece,
            Ok(Ok(_)) => return Poll::Ready(Some(Ok(Frame::data(Bytes::new())))),
            Ok(Err(trailers)) => return Poll::Ready(Some(Ok(trailers))),
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        let begun = self.begin(piece).map_err(|cut| {
            self.body = Body::empty();
            axum::Error::new(cut)
        });
        Poll::Ready(Some(begun.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.piece.len() as u64);
        let hint = self.body.size_hint();
        let mut whole = SizeHint::new();
        whole.set_lower(rest + hint.lower());
        if let Some(upper) = hint.upper() {
            whole.set_upper(rest + upper);
        }
        whole
    }
}

// === impl Lent ===

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut progress = self.answer.progress();
        progress.lent -= 1;
        progress.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::Router;
    use axum::body::to_bytes;
    use axum::middleware;
    use axum::routing::get;
    use futures_util::FutureExt;
    use http_body::Body as _;
    use tower::ServiceExt;

    use super::*;
    use crate::api::origin::Callers;
    use crate::auth::{Gate, Limiter};
    use crate::domain::limits::{
        ANSWER_UNTAKEN_BYTES_MIN, WATCH_UNTAKEN_BYTES_ON_LOOPBACK_MAX,
        WATCH_UNTAKEN_BYTES_PER_PREFIX_MAX,
    };

    const PATIENCE: Duration = Duration::from_millis(WATCH_UNTAKEN_MS_MAX);
    const LARGE: usize = 3 * WATCH_PART_BYTES_MAX + 1;

    fn answers(stop: CancellationToken) -> Answers {
        let folder = tempfile::tempdir().expect("a folder");
        let door = Door {
            gate: Gate::open(folder.path()).expect("nothing to read"),
            limiter: Limiter::new().expect("random bytes"),
            callers: Callers::default(),
        };
        Answers::start(door, stop)
    }

    fn body(answers: &Answers, bytes: Vec<u8>, from: u8) -> AnswerBody {
        let holder = Holder {
            token: None,
            address: Some(IpAddr::from([192, 0, 2, from])),
        };
        answers.watched(
            Body::from(bytes),
            holder,
            Some(ConnectionAbort::default()),
            None,
        )
    }

    type Next = Option<Result<Frame<Bytes>, axum::Error>>;

    /// The next frame.
    async fn next<B>(body: &mut B) -> Next
    where
        B: http_body::Body<Data = Bytes, Error = axum::Error> + Unpin,
    {
        std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
    }

    /// Whether there is none yet.
    fn is_waiting<B>(body: &mut B) -> bool
    where
        B: http_body::Body<Data = Bytes, Error = axum::Error> + Unpin,
    {
        next(body).now_or_never().is_none()
    }

    async fn data(body: &mut AnswerBody) -> Bytes {
        let frame = next(body).await.expect("more").expect("no error");
        frame.into_data().expect("a piece")
    }

    #[tokio::test]
    async fn answer_arrives_as_it_was_whatever_its_size() {
        let answers = answers(CancellationToken::new());
        for size in [0, 1, ANSWER_UNTAKEN_BYTES_MIN, LARGE, 1_000_000] {
            let bytes: Vec<_> = (0..=250).cycle().take(size).collect();
            let body = body(&answers, bytes.clone(), 1);
            assert_eq!(body.size_hint().exact(), Some(size as u64));
            let read = to_bytes(Body::new(body), usize::MAX).await.expect("whole");
            assert_eq!(read, bytes);
        }
        assert_eq!(answers.open.open().len(), 0);
    }

    #[tokio::test]
    async fn size_of_what_is_still_to_come_is_told() {
        let answers = answers(CancellationToken::new());
        let mut body = body(&answers, vec![7; LARGE], 1);
        for left in [2 * WATCH_PART_BYTES_MAX + 1, WATCH_PART_BYTES_MAX + 1, 1, 0] {
            assert!(!body.is_end_stream());
            data(&mut body).await;
            assert_eq!(body.size_hint().exact(), Some(left as u64));
        }
        assert!(body.is_end_stream());
    }

    #[tokio::test(start_paused = true)]
    async fn connection_ends_whose_client_takes_nothing_for_too_long() {
        let answers = answers(CancellationToken::new());
        for size in [1, LARGE] {
            let mut body = body(&answers, vec![7; size], 1);
            let answer = Arc::clone(&body.answer);
            let mut lent = data(&mut body).await;
            for _ in 1..size.div_ceil(WATCH_PART_BYTES_MAX) {
                tokio::time::advance(PATIENCE - Duration::from_millis(1)).await;
                assert!(!answer.is_stuck(Instant::now()), "it takes some");
                let next = data(&mut body).await;
                lent = next;
            }
            drop(body);
            tokio::time::advance(PATIENCE - Duration::from_millis(1)).await;
            assert!(!answer.is_stuck(Instant::now()));
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(answer.is_stuck(Instant::now()));
            drop(lent);
            assert!(!answer.is_stuck(Instant::now()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answer_that_has_nothing_to_say_waits_for_ever_and_one_that_nobody_asks_does_not() {
        let answers = answers(CancellationToken::new());
        let holder = Holder::default();
        let silent = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Cut>>());
        let mut silent = answers.watched(silent, holder, None, None);
        assert!(is_waiting(&mut silent));
        let unasked = body(&answers, vec![7], 1);
        tokio::time::advance(PATIENCE).await;
        assert!(!silent.answer.is_stuck(Instant::now()));
        assert!(unasked.answer.is_stuck(Instant::now()));
    }

    #[tokio::test]
    async fn what_waits_for_one_address_is_bounded_until_it_is_taken() {
        let answers = answers(CancellationToken::new());
        let [of_address, ..] = WATCH_UNTAKEN_BYTES_PER_PREFIX_MAX;
        assert!(of_address <= WATCH_UNTAKEN_BYTES_ON_LOOPBACK_MAX);
        let mut first = body(&answers, vec![7; of_address - LARGE], 1);
        let part = data(&mut first).await;
        let mut second = body(&answers, vec![7; LARGE], 1);
        let last = data(&mut second).await;
        let mut third = body(&answers, vec![7; LARGE], 1);
        let refused = next(&mut third).await.expect("an end");
        let refused = refused.expect_err("cut off").into_inner();
        let reason = refused
            .source()
            .and_then(|source| source.downcast_ref::<h2::Error>());
        let reason = reason.and_then(h2::Error::reason);
        assert_eq!(reason, Some(h2::Reason::ENHANCE_YOUR_CALM));
        assert!(next(&mut third).await.is_none());
        let mut small = body(&answers, vec![7; ANSWER_UNTAKEN_BYTES_MIN - 1], 1);
        data(&mut small).await;
        data(&mut body(&answers, vec![7; LARGE], 2)).await;
        // A part is in memory with the whole.
        drop(first);
        let mut fourth = body(&answers, vec![7; LARGE], 1);
        assert!(next(&mut fourth).await.expect("an end").is_err());
        drop(part);
        data(&mut body(&answers, vec![7; LARGE], 1)).await;
        drop(last);
    }

    #[tokio::test]
    async fn streams_that_are_no_method_of_the_api_are_bounded_and_end_when_the_service_stops() {
        let stop = CancellationToken::new();
        let mut answers = answers(stop.clone());
        answers.streams = Permits::new(PermitBounds {
            on_loopback: 1,
            ..PermitBounds::of_followers()
        });
        let kind = |path: &str| match path.contains("web") {
            true => "application/grpc-web+proto",
            false => "application/grpc",
        };
        let open = async |path: &'static str| {
            let silent = move || async move {
                let silent = futures_util::stream::pending::<Result<Bytes, Cut>>();
                ([(CONTENT_TYPE, kind(path))], Body::from_stream(silent))
            };
            let layer = middleware::from_fn_with_state(answers.clone(), watch_over);
            let router = Router::new().route(path, get(silent)).layer(layer);
            let request = Request::builder().uri(path).body(Body::empty());
            router
                .oneshot(request.expect("a request"))
                .await
                .expect("an answer")
        };
        let code = |headers: &HeaderMap| headers.get("grpc-status").cloned();
        let health = open("/grpc.health.v1.Health/Watch").await;
        assert_eq!(code(health.headers()), None);
        let refused = open("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").await;
        assert_eq!(code(refused.headers()).expect("refused"), "8");
        let mut page = open("/editions").await.into_body();
        assert!(is_waiting(&mut page));
        drop(health);
        let mut web = open("/grpc.health.v1.Health/Web").await.into_body();
        assert!(is_waiting(&mut web));
        drop(web);
        let mut health = open("/grpc.health.v1.Health/Watch").await.into_body();
        assert!(is_waiting(&mut health));
        stop.cancel();
        let end = next(&mut health).now_or_never().flatten();
        let end = end.expect("an end").expect("a status");
        let trailers = end.into_trailers().expect("its trailers");
        assert_eq!(code(&trailers).expect("a code"), "14");
        assert!(next(&mut health).await.is_none());
        assert!(is_waiting(&mut page), "it is none of these");
    }
}
