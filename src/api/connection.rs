//! What each request tells of its connection, and how an answer ends that connection.
//!
//! While a client leaves a stream no room, HTTP/2 asks the body of its answer for nothing: so the
//! body can neither end nor reset that stream, and what waits in it stays until the connection ends.
//! Ending the connection is therefore left to whoever finds that a stream is stuck. Clients of
//! other streams on it connect anew, and resume.
//!
//! Answers to reports are short and many, so nobody looks at each: a connection counts the pieces that
//! its client has not taken by when they were said, and ends where one of them waits for too long.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::server::Connected;

use super::register::Register;
use crate::domain::limits::{WATCH_UNTAKEN_LOOK_MS, WATCH_UNTAKEN_MS_MAX};

/// Looks at a connection before an answer that was said in the first of them has waited too long.
const LOOKS: usize = (WATCH_UNTAKEN_MS_MAX / WATCH_UNTAKEN_LOOK_MS) as usize + 1;

/// What is laid beside each request of a connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo<I> {
    /// Whom the connection is with.
    pub peer: I,
    /// Ends it.
    pub abort: ConnectionAbort,
}

/// Ends a connection. Clones end the same one.
#[derive(Clone, Debug, Default)]
pub struct ConnectionAbort(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    is_given: AtomicBool,
    /// Of the task that reads and writes.
    waker: AtomicWaker,
    /// Pieces of answers that wait, by the look after which they were said. A place is used again
    /// when all others were.
    untaken: [AtomicU32; LOOKS],
    looks: AtomicUsize,
}

/// A piece of an answer, which waits for its client until HTTP has let go of it.
struct Lent {
    bytes: Bytes,
    connection: Arc<Signal>,
    place: usize,
}

/// Ends connections whose clients do not take short answers. Clones look at the same.
#[derive(Clone, Default)]
pub struct Connections(Register<Signal>);

/// A connection that can be ended from elsewhere. What was written and not sent by then is lost.
pub struct Abortable<S> {
    inner: S,
    abort: ConnectionAbort,
}

// === impl ConnectionAbort ===

impl ConnectionAbort {
    /// Ends the connection: its task reads and writes no more, and lets go of all its streams.
    pub fn abort(&self) {
        self.0.is_given.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    /// A piece of an answer that is said now. Where it waits for `WATCH_UNTAKEN_MS_MAX`, the
    /// connection ends, if it is looked at.
    fn lend(&self, bytes: Bytes) -> Bytes {
        let place = self.0.looks.load(Ordering::Relaxed) % LOOKS;
        self.0.untaken[place].fetch_add(1, Ordering::Relaxed);
        Bytes::from_owner(Lent {
            bytes,
            connection: Arc::clone(&self.0),
            place,
        })
    }

    /// Pieces that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u32 {
        let waiting = self.0.untaken.iter();
        waiting.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Fails once the connection is to end, and wakes the task when it is.
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        self.0.waker.register(context.waker());
        if self.0.is_given.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

/// The body of an answer that goes through a connection, if through any: each piece of it is waited
/// for.
pub fn awaited<B>(body: B, connection: Option<ConnectionAbort>) -> Body
where
    B: http_body::Body<Data = Bytes, Error = Status> + Send + 'static,
{
    match connection {
        Some(connection) => {
            Body::new(body.map_frame(move |frame| frame.map_data(|bytes| connection.lend(bytes))))
        }
        None => Body::new(body),
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
        self.connection.untaken[self.place].fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Connections ===

impl Connections {
    /// Spawns its task on the current tokio runtime. It ends with the last clone.
    pub fn start() -> Self {
        let connections = Self::default();
        connections.0.look_through(look);
        connections
    }

    /// Looks at this one, too, for as long as it is there.
    pub fn add(&self, connection: &ConnectionAbort) {
        self.0.add(&connection.0);
    }
}

fn look(open: &[Arc<Signal>], _now: Instant) {
    let stuck: Vec<_> = open.iter().filter(|signal| signal.is_stuck()).collect();
    if !stuck.is_empty() {
        let count = stuck.len();
        tracing::info!(count, "ended connections whose clients take no results");
    }
    for signal in stuck {
        ConnectionAbort(Arc::clone(signal)).abort();
    }
}

impl Signal {
    /// Whether an answer waits that was said before all looks but this. Counts this one.
    fn is_stuck(&self) -> bool {
        let place = (self.looks.load(Ordering::Relaxed) + 1) % LOOKS;
        let is_stuck = self.untaken[place].load(Ordering::Relaxed) != 0;
        self.looks.store(place, Ordering::Relaxed);
        is_stuck
    }
}

// === impl Abortable ===

impl<S> Abortable<S> {
    /// Over a connection that one task reads and writes.
    pub fn new(inner: S) -> Self {
        let abort = ConnectionAbort::default();
        Self { inner, abort }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Abortable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.abort.check(context)?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Abortable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.abort.check(context)?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.abort.check(context)?;
        Pin::new(&mut self.inner).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.abort.check(context)?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.abort.check(context)?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: Connected> Connected for Abortable<S> {
    type ConnectInfo = ConnectionInfo<S::ConnectInfo>;

    fn connect_info(&self) -> Self::ConnectInfo {
        ConnectionInfo {
            peer: self.inner.connect_info(),
            abort: self.abort.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::OnceLock;
    use std::time::Duration;

    use futures_util::stream::{self, StreamExt as _};
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;
    use tonic::transport::Server;

    use super::*;

    #[test]
    fn connection_is_stuck_once_one_answer_waits_for_too_long_however_many_are_taken() {
        let connection = ConnectionAbort::default();
        let is_stuck = || connection.0.is_stuck();
        for _ in 0..2 {
            let waiting = connection.lend(Bytes::from_static(b"a"));
            for look in 1..LOOKS {
                drop(connection.lend(Bytes::new()));
                assert!(!is_stuck(), "{look}");
            }
            assert!(is_stuck());
            drop(waiting);
            (0..2 * LOOKS).for_each(|_| assert!(!is_stuck()));
        }
    }

    /// HTTP/2 hands on all of a piece as soon as there is room for one byte of it.
    #[tokio::test(start_paused = true)]
    async fn piece_waits_until_a_client_has_made_room_for_all_of_it() {
        const BYTES: u32 = 100;
        let waiting = async |window: u32| {
            let (near, far) = tokio::io::duplex(64);
            let connection = Arc::new(OnceLock::new());
            let abort = Arc::clone(&connection);
            let answer = move |request: http::Request<Body>| {
                let info = request.extensions().get::<ConnectionInfo<()>>();
                let abort = abort.get_or_init(|| info.expect("its connection").abort.clone());
                let body = Full::from(vec![7; BYTES as usize]).map_err(|never| match never {});
                let body = awaited(body, Some(abort.clone()));
                std::future::ready(Ok::<_, Infallible>(http::Response::new(body)))
            };
            let incoming = stream::iter([Ok::<_, io::Error>(Abortable::new(far))]);
            let serving = Server::builder()
                .serve_with_incoming(tower::service_fn(answer), incoming.chain(stream::pending()));
            tokio::spawn(serving);
            let mut builder = h2::client::Builder::new();
            builder.initial_window_size(window);
            let shaken = builder.handshake::<_, Bytes>(near).await;
            let (client, driving) = shaken.expect("a server");
            tokio::spawn(driving);
            let mut ready = client.ready().await.expect("an open connection");
            let request = http::Request::post("http://here/").body(()).expect("valid");
            let (response, _) = ready
                .send_request(request, true)
                .expect("an open connection");
            let response: http::Response<h2::RecvStream> = response.await.expect("an answer");
            // Until nothing happens any more: time that is paused goes on only then.
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(response);
            connection.get().expect("a call").waiting()
        };
        for (window, expected) in [(0, 1), (1, 1), (BYTES - 1, 1), (BYTES, 0)] {
            assert_eq!(waiting(window).await, expected, "{window}");
        }
    }

    #[test]
    fn no_answer_is_waited_for_less_long_than_it_may_wait() {
        let looks = LOOKS as u64 - 1;
        assert!(WATCH_UNTAKEN_MS_MAX <= looks * WATCH_UNTAKEN_LOOK_MS);
    }

    #[tokio::test]
    async fn connection_ends_for_who_waits_to_read_and_for_who_waits_to_write() {
        let check = async |is_reading: bool| {
            let (near, mut far) = tokio::io::duplex(8);
            let mut connection = Abortable::new(near);
            let abort = connection.connect_info().abort;
            let waiting = tokio::spawn(async move {
                if is_reading {
                    connection.read_u8().await.map(|_| ())
                } else {
                    connection.write_all(&[7; 9]).await
                }
            });
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            abort.abort();
            let ended = timeout(Duration::from_secs(10), waiting).await;
            let error = ended
                .expect("in time")
                .expect("no panic")
                .expect_err("it ended");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
            let mut left = Vec::new();
            far.read_to_end(&mut left).await.expect("its end");
        };
        check(true).await;
        check(false).await;
    }
}
