//! Accepts connections, and serves each of them in one task.
//!
//! HTTP/2 makes a future of each stream, and would have each be a task of its own: an update to a
//! thousand watchers of one connection wakes a thousand tasks, on all threads, that all wait for
//! the lock of that connection. Here a connection polls its streams itself, some at a time, and
//! writes what they have before it goes on: hardly anything waits for a lock or is woken, and what is
//! read and not begun, or said and not written, stays small. So a stream must not keep its thread:
//! what counts, or reads the journal, is done elsewhere; what is checked or encoded in the stream is
//! bounded by what a message may be, and a round by its time.

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, Stream};
use http::{Request, Response};
use hyper::rt::Executor;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::task::coop;
use tokio::time::Sleep;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::transport::server::{Connected, TcpConnectInfo, TcpIncoming};

use super::cork::{Corked, Turns};
use super::dispatch::Dispatch;
use crate::api::connection::{Abortable, ConnectionInfo, Connections};
use crate::api::guard::Answering;
use crate::domain::limits::{
    GREETING_MS_MAX, KEEPALIVE_ANSWER_MS_MAX, KEEPALIVE_MS, ROUND_MICROS_MAX,
    STREAMS_PER_CONNECTION_MAX, STREAMS_PER_TURN,
};
use crate::live::{Holder, Permit, Permits};

/// How long a connection goes on before others are served, if it has something to do.
const ROUND: Duration = Duration::from_micros(ROUND_MICROS_MAX);
/// How long to wait before connections are accepted again where that fails, in milliseconds: for
/// want of files, it would fail again at once.
const ACCEPT_AGAIN_MS: u64 = 50;
/// What a client says at most before it is known which HTTP it speaks: the beginning of HTTP/2 (RFC 9113,
/// section 3.4), in bytes.
const GREETING_BYTES: usize = 24;

/// What comes in.
pub(super) struct Incoming {
    /// Where.
    pub listener: TcpIncoming,
    /// For how many connections there is room.
    pub places: Permits,
}

/// Serves what comes in, until told to stop; then waits until all connections have ended.
pub(super) async fn serve(mut incoming: Incoming, dispatch: Dispatch, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let looked_at = Connections::start();
    let mut is_failing = false;
    while !stop.is_cancelled() {
        match stop.run_until_cancelled(incoming.listener.next()).await {
            Some(Some(Ok(tcp))) => {
                is_failing = false;
                let Some(place) = incoming.place(&tcp) else {
                    continue;
                };
                bound_unsent(&tcp);
                // Of its own: what is asked in each round would take a lock that all share.
                let stop = stop.child_token();
                let dispatch = dispatch.clone();
                let looked_at = looked_at.clone();
                connections.spawn(async move {
                    connection(tcp, dispatch, stop, looked_at).await;
                    drop(place);
                });
            }
            Some(Some(Err(error))) if is_of_one_connection(&error) => {}
            Some(Some(Err(error))) => {
                if !is_failing {
                    tracing::warn!(%error, "no connection can be accepted for now");
                }
                is_failing = true;
                let wait = tokio::time::sleep(Duration::from_millis(ACCEPT_AGAIN_MS));
                stop.run_until_cancelled(wait).await;
            }
            Some(None) | None => break,
        }
    }
    // Nobody may wait for an answer that never comes.
    drop(incoming);
    connections.close();
    connections.wait().await;
}

impl Incoming {
    /// A place for a connection; `None` where it has to be closed, as no answer to it can be known to
    /// be understood.
    fn place(&self, tcp: &TcpStream) -> Option<Permit> {
        let holder = Holder {
            token: None,
            address: tcp.peer_addr().ok().map(|peer| peer.ip()),
        };
        let place = self.places.take(holder);
        place
            .inspect_err(|error| tracing::debug!(%error, "connection closed as it came"))
            .ok()
    }
}

/// Keeps short what the kernel has taken and not sent. It says that there is room again when a third of
/// its room is free, which with megabytes of it takes a slow client minutes.
#[cfg(target_os = "linux")]
fn bound_unsent(tcp: &TcpStream) {
    use crate::domain::limits::UNSENT_BYTES_MAX;
    let socket = socket2::SockRef::from(tcp);
    if let Err(error) = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX) {
        tracing::debug!(%error, "a connection keeps the room that the kernel gives it");
    }
}

#[cfg(not(target_os = "linux"))]
fn bound_unsent(_tcp: &TcpStream) {}

/// Whether an error is of the connection that would have come, and not of those that may.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | Interrupted | TimedOut
    )
}

/// Serves one connection until it ends, or until told to stop and all its streams have ended.
async fn connection(
    tcp: TcpStream,
    dispatch: Dispatch,
    stop: CancellationToken,
    looked_at: Connections,
) {
    let mut streams = Streams::default();
    let io = Abortable::new(Corked::new(tcp).reading_in(streams.reads.clone()));
    let info = io.connect_info();
    looked_at.add(&info.abort);
    drop(looked_at);
    let http = builder(Beginning(Arc::downgrade(&streams.turn)));
    let mut http = pin!(http.serve_connection(TokioIo::new(io), Calls { dispatch, info }));
    let mut stopping = pin!(stop.cancelled().fuse());
    let mut greeting = Greeting::awaited();
    // What tokio lets a task do at once would be spent by the first of many streams. What each does is
    // bounded by the room that its client leaves, and all of them together by the time of a round.
    let serving = std::future::poll_fn(|context| {
        if stopping.as_mut().poll(context).is_ready() {
            http.as_mut().graceful_shutdown();
        }
        if greeting.is_overdue(&streams.reads, context) {
            tracing::debug!("connection ended, as its client said nothing");
            return Poll::Ready(());
        }
        let begun = Instant::now();
        while begun.elapsed() < ROUND {
            let has_moved = streams.take_turn(context);
            if let Poll::Ready(ended) = http.as_mut().poll(context) {
                if let Err(error) = ended {
                    // Its sources may have a client's text.
                    tracing::debug!(%error, "connection ended");
                }
                return Poll::Ready(());
            }
            if !streams.has_begun() && !has_moved {
                return Poll::Pending;
            }
        }
        // However many streams still wait for their turn: their clients may have made room.
        streams.reads.next();
        context.waker().wake_by_ref();
        Poll::Pending
    });
    coop::unconstrained(serving).await;
}

/// What tells HTTP/1.1 from HTTP/2, and speaks either.
fn builder(streams: Beginning) -> Builder<Beginning> {
    let mut builder = Builder::new(streams);
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .keep_alive_interval(Some(Duration::from_millis(KEEPALIVE_MS)))
        .keep_alive_timeout(Duration::from_millis(KEEPALIVE_ANSWER_MS_MAX));
    builder
}

/// What a client says first. Until it did, HTTP looks at no clock, and whoever only connects would have
/// a file of the server for ever.
struct Greeting(Option<Pin<Box<Sleep>>>);

impl Greeting {
    /// From now on.
    fn awaited() -> Self {
        let longest = Duration::from_millis(GREETING_MS_MAX);
        Self(Some(Box::pin(tokio::time::sleep(longest))))
    }

    /// Whether it has not come in time. Wakes the task when it has not.
    fn is_overdue(&mut self, reads: &Turns, context: &mut Context<'_>) -> bool {
        if GREETING_BYTES <= reads.bytes() {
            self.0 = None;
        }
        let end = self.0.as_mut();
        end.is_some_and(|end| end.as_mut().poll(context).is_ready())
    }
}

/// The calls of one connection.
struct Calls {
    dispatch: Dispatch,
    info: ConnectionInfo<TcpConnectInfo>,
}

impl Service<Request<hyper::body::Incoming>> for Calls {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Answering<Body>;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Answering<Body> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.info.clone());
        self.dispatch.answer(request)
    }
}

// === Streams ===

/// What HTTP/2 makes of a stream.
type HttpStream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The open streams of one connection.
#[derive(Default)]
struct Streams {
    open: FuturesUnordered<InTurn>,
    turn: Arc<Turn>,
    reads: Turns,
}

/// What a connection shares with its streams, all of which are polled by its task.
#[derive(Default)]
struct Turn {
    /// Streams that HTTP/2 has begun, and that are not among the open ones yet.
    begun: Mutex<Vec<HttpStream>>,
    /// How many streams may still be polled in this turn.
    left: AtomicUsize,
}

/// Takes the streams that HTTP/2 begins. Each has a clone of it, and would keep itself if that held
/// what it lies in.
#[derive(Clone)]
struct Beginning(Weak<Turn>);

/// A stream that is polled if there is room in the turn, and else comes later. One that panics ends
/// alone.
struct InTurn {
    stream: HttpStream,
    turn: Arc<Turn>,
}

impl Streams {
    /// Polls streams that have been woken, `STREAMS_PER_TURN` at most. Says whether there were any.
    fn take_turn(&mut self, context: &mut Context<'_>) -> bool {
        for stream in std::mem::take(&mut *self.turn.begun()) {
            let turn = Arc::clone(&self.turn);
            self.open.push(InTurn { stream, turn });
        }
        self.turn.left.store(STREAMS_PER_TURN, Ordering::Relaxed);
        while let Poll::Ready(Some(())) = Pin::new(&mut self.open).poll_next(context) {}
        let left = self.turn.left.load(Ordering::Relaxed);
        if 0 < left {
            // Or calls would be read faster than they are begun.
            self.reads.next();
        }
        left < STREAMS_PER_TURN
    }

    fn has_begun(&self) -> bool {
        !self.turn.begun().is_empty()
    }
}

impl Turn {
    fn begun(&self) -> MutexGuard<'_, Vec<HttpStream>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Beginning {
    fn execute(&self, stream: F) {
        // Without, its connection has ended.
        if let Some(turn) = self.0.upgrade() {
            turn.begun().push(Box::pin(stream));
        }
    }
}

impl Future for InTurn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let left = self.turn.left.load(Ordering::Relaxed);
        if left == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.turn.left.store(left - 1, Ordering::Relaxed);
        let stream = self.stream.as_mut();
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| stream.poll(context)));
        // What is dropped then resets the stream; the panic itself was logged where it was.
        polled.unwrap_or(Poll::Ready(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    /// Takes a turn that nobody waits for.
    fn take_turn(streams: &mut Streams) -> bool {
        streams.take_turn(&mut Context::from_waker(Waker::noop()))
    }

    fn begin(streams: &Streams, stream: impl Future<Output = ()> + Send + 'static) {
        Beginning(Arc::downgrade(&streams.turn)).execute(stream);
    }

    #[test]
    fn stream_that_panics_ends_alone() {
        let mut streams = Streams::default();
        let (go_on, told) = oneshot::channel::<()>();
        let (end, mut ended) = oneshot::channel();
        begin(&streams, async { panic!("of one stream") });
        begin(&streams, async move {
            told.await.expect("told");
            end.send(()).expect("somebody waits");
        });
        assert!(take_turn(&mut streams));
        assert_eq!(streams.open.len(), 1);
        go_on.send(()).expect("it waits");
        assert!(take_turn(&mut streams));
        assert_eq!(ended.try_recv(), Ok(()));
        assert!(!take_turn(&mut streams), "none is left");
    }

    #[test]
    fn streams_that_no_turn_came_for_go_with_their_connection() {
        let streams = Streams::default();
        let beginning = Beginning(Arc::downgrade(&streams.turn));
        let held = Arc::new(());
        let holds = (beginning.clone(), Arc::clone(&held));
        begin(&streams, async move {
            std::future::pending::<()>().await;
            drop(holds);
        });
        drop(streams);
        assert_eq!(Arc::strong_count(&held), 1);
        let late = Arc::clone(&held);
        beginning.execute(async move { drop(late) });
        assert_eq!(Arc::strong_count(&held), 1, "one that begins after it");
    }

    #[test]
    fn all_streams_get_their_turn_and_nothing_is_read_before() {
        const STREAMS: usize = 2 * STREAMS_PER_TURN + 9;
        let mut streams = Streams::default();
        let polled = Arc::new(AtomicUsize::new(0));
        for _ in 0..STREAMS {
            let polled = Arc::clone(&polled);
            begin(&streams, async move {
                polled.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            });
        }
        assert!(streams.has_begun());
        let reads = |streams: &Streams| streams.reads.number();
        let before = reads(&streams);
        let mut expected = [STREAMS_PER_TURN, 2 * STREAMS_PER_TURN, STREAMS].into_iter();
        while take_turn(&mut streams) {
            assert_eq!(Some(polled.load(Ordering::Relaxed)), expected.next());
            assert_eq!(before < reads(&streams), expected.len() == 0);
        }
        assert_eq!(expected.next(), None);
        assert!(!streams.has_begun());
        assert_eq!(streams.open.len(), STREAMS);
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_says_too_little_for_too_long_is_waited_for_no_more() {
        let said = async |bytes: usize| {
            let (server, mut client) = tokio::io::duplex(64);
            let reads = Turns::default();
            let mut corked = Corked::new(server).reading_in(reads.clone());
            let mut greeting = Greeting::awaited();
            client.write_all(&vec![b'P'; bytes]).await.expect("room");
            let mut buffer = [0; 64];
            let read = corked.read(&mut buffer).now_or_never();
            assert_eq!(read.map_or(0, |read| read.expect("open")), bytes);
            let context = &mut Context::from_waker(Waker::noop());
            assert!(!greeting.is_overdue(&reads, context));
            tokio::time::advance(Duration::from_millis(GREETING_MS_MAX)).await;
            greeting.is_overdue(&reads, context)
        };
        assert!(said(0).await);
        assert!(said(GREETING_BYTES - 1).await);
        assert!(!said(GREETING_BYTES).await);
    }

    #[test]
    fn only_errors_of_a_single_connection_are_passed_over() {
        let check = |kind: io::ErrorKind, expected: bool| {
            assert_eq!(is_of_one_connection(&kind.into()), expected, "{kind}");
        };
        check(io::ErrorKind::ConnectionAborted, true);
        check(io::ErrorKind::ConnectionReset, true);
        check(io::ErrorKind::PermissionDenied, false);
        let no_files = io::Error::from_raw_os_error(24);
        assert!(!is_of_one_connection(&no_files), "{no_files}");
    }
}
