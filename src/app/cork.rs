//! Lets a connection write the answers of several calls at once.
//!
//! A call that is answered wakes the task of its connection, and the runtime runs next what
//! was woken last: each answer would be a system call, and a packet, of its own. So a flush
//! waits until the connection is polled once more: by a server after another turn of its streams, by
//! a client after a round of the runtime. What came meanwhile goes with it. Where nothing did, as on
//! a connection with one watch, the flushes after it are not held, ever more of them, so that waiting
//! in vain costs neither time nor work.
//!
//! What is read at once is bounded as well, if who polls the connection says when more may be read. A
//! client that opens hundreds of streams at once would otherwise have all of them read before the
//! first is begun, in a queue that HTTP/2 keeps at its largest for as long as the connection is open.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use crate::domain::limits::{CORKED_BYTES_MAX, READ_BYTES_PER_TURN};

/// A buffer larger than this is given back as soon as it is empty, in bytes.
const KEPT_BYTES_MAX: usize = 4 * 1024;
/// After so many holds in vain in a row, `4^n - 1` flushes are not held; more do not count.
const BARREN_MAX: u8 = 3;

/// A connection that holds back what is written, at most `CORKED_BYTES_MAX` bytes and until it is polled
/// once more.
pub struct Corked<S> {
    inner: S,
    /// What bounds reading, if anything does.
    turns: Option<Turns>,
    /// The turn in which bytes were read last, and how many.
    read: (usize, usize),
    waiting: BytesMut,
    hold: Hold,
    /// Holds in a row in which nothing was added, at most `BARREN_MAX`.
    barren: u8,
    /// Flushes that are not held before the next that is.
    passes: u8,
}

/// Counts the turns in which a connection reads, and the bytes that it read in all of them. Clones count
/// together.
#[derive(Clone, Default)]
pub struct Turns(Arc<Counts>);

#[derive(Default)]
struct Counts {
    turns: AtomicUsize,
    bytes: AtomicUsize,
}

/// Whether a flush waits.
#[derive(Clone, Copy)]
enum Hold {
    /// There is no flush.
    Idle,
    /// One began with so many bytes.
    Held(usize),
    /// It need not wait any more.
    Over,
}

impl Turns {
    /// The next one begins.
    pub fn next(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn number(&self) -> usize {
        self.0.turns.load(Ordering::Relaxed)
    }

    /// How many bytes were read.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

impl<S> Corked<S> {
    /// Nothing is held back yet.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            turns: None,
            read: (0, 0),
            waiting: BytesMut::new(),
            hold: Hold::Idle,
            barren: 0,
            passes: 0,
        }
    }
}

impl<S> Corked<S> {
    /// Begins to read as long as less than `READ_BYTES_PER_TURN` were read in a turn.
    pub fn reading_in(mut self, turns: Turns) -> Self {
        self.turns = Some(turns);
        self
    }

    /// Whether no more is to be read in this turn.
    fn has_read_enough(&mut self) -> bool {
        let Some(turns) = &self.turns else {
            return false;
        };
        let turn = turns.number();
        if self.read.0 != turn {
            self.read = (turn, 0);
        }
        READ_BYTES_PER_TURN <= self.read.1
    }

    /// Goes on with a flush; says whether it must wait first.
    fn begins_to_wait(&mut self) -> bool {
        let bytes = self.waiting.len();
        self.hold = match self.hold {
            _ if bytes == 0 => return false,
            Hold::Idle if self.passes == 0 => Hold::Held(bytes),
            Hold::Idle => {
                self.passes -= 1;
                Hold::Over
            }
            Hold::Held(before) => {
                let is_vain = bytes <= before;
                let barren = if is_vain { self.barren + 1 } else { 0 };
                self.barren = barren.min(BARREN_MAX);
                self.passes = (1 << (2 * self.barren)) - 1;
                Hold::Over
            }
            Hold::Over => return false,
        };
        matches!(self.hold, Hold::Held(_))
    }
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    /// Writes what was held back.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
        }
        self.hold = Hold::Idle;
        // `advance` keeps the space in front, which `capacity` does not count; it is taken back if
        // all is small, and given up if not.
        if self.waiting.try_reclaim(KEPT_BYTES_MAX + 1) || !self.waiting.try_reclaim(1) {
            self.waiting = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_read_enough() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        self.read.1 += bytes;
        if let Some(turns) = &self.turns {
            turns.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if CORKED_BYTES_MAX <= self.waiting.len() {
            // So much came together that holding is worth it.
            self.barren = 0;
            ready!(self.poll_drain(context))?;
        }
        let mut taken = 0;
        for part in parts {
            let room = CORKED_BYTES_MAX - self.waiting.len();
            let length = part.len().min(room);
            self.waiting.extend_from_slice(&part[..length]);
            taken += length;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.begins_to_wait() {
            // A task that wakes itself while it runs comes after all that is ready, if it is not polled
            // again before.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: Connected> Connected for Corked<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.inner.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Counts what reaches the connection.
    struct Counted {
        inner: tokio::io::DuplexStream,
        writes: usize,
    }

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.writes += 1;
            Pin::new(&mut self.inner).poll_write(context, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_flush(context)
        }

        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_shutdown(context)
        }
    }

    fn counted(buffer_bytes: usize) -> (Corked<Counted>, tokio::io::DuplexStream) {
        let (inner, other) = tokio::io::duplex(buffer_bytes);
        (Corked::new(Counted { inner, writes: 0 }), other)
    }

    #[tokio::test]
    async fn what_is_added_while_a_flush_waits_goes_with_it_in_one_write() {
        let (mut corked, mut other) = counted(1_024);
        corked.write_all(b"one ").await.expect("room");
        let flush = std::future::poll_fn(|context| {
            Poll::Ready(Pin::new(&mut corked).poll_flush(context).is_pending())
        });
        assert!(flush.await, "the first flush waits for a round");
        corked.write_all(b"two").await.expect("room");
        corked.flush().await.expect("an open connection");
        assert_eq!(corked.inner.writes, 1);
        let mut read = [0; 7];
        other.read_exact(&mut read).await.expect("what was flushed");
        assert_eq!(&read, b"one two");
    }

    #[tokio::test]
    async fn flushes_are_held_ever_less_while_nothing_is_added() {
        let (mut corked, _other) = counted(1_024);
        let mut held = Vec::new();
        for flush in 0..30 {
            corked.write_all(b"news").await.expect("room");
            let first = std::future::poll_fn(|context| {
                Poll::Ready(Pin::new(&mut corked).poll_flush(context).is_pending())
            });
            if first.await {
                held.push(flush);
            }
            if flush == 20 {
                corked.write_all(b"and more").await.expect("room");
            }
            corked.flush().await.expect("an open connection");
        }
        // The one that something was added to is followed by another.
        assert_eq!(held, [0, 4, 20, 21, 25]);
    }

    #[tokio::test]
    async fn what_a_client_sends_at_once_is_read_in_several_turns() {
        let (corked, mut other) = counted(4 * READ_BYTES_PER_TURN);
        let sent = vec![7; 3 * READ_BYTES_PER_TURN];
        other.write_all(&sent).await.expect("room");
        drop(other);
        let turns = Turns::default();
        let mut corked = corked.reading_in(turns.clone());
        let mut read = Vec::new();
        let all = std::future::poll_fn(|context| {
            turns.next();
            read.push(0);
            loop {
                let mut bytes = [0; 512];
                let mut buffer = ReadBuf::new(&mut bytes);
                let part = ready!(Pin::new(&mut corked).poll_read(context, &mut buffer));
                part.expect("an open connection");
                match buffer.filled().len() {
                    0 => return Poll::Ready(()),
                    length => *read.last_mut().expect("begun") += length,
                }
            }
        });
        all.await;
        let each = READ_BYTES_PER_TURN;
        assert_eq!(read, [each, each, each, 0]);
    }

    #[tokio::test]
    async fn shutting_down_loses_nothing() {
        let (mut corked, mut other) = counted(1_024);
        corked.write_all(b"last words").await.expect("room");
        corked.shutdown().await.expect("an open connection");
        let mut read = Vec::new();
        other.read_to_end(&mut read).await.expect("all of it");
        assert_eq!(read, b"last words");
    }

    #[tokio::test]
    async fn buffer_that_was_large_is_given_back() {
        let check = async |bytes: usize| {
            let (mut corked, _other) = counted(CORKED_BYTES_MAX);
            corked.write_all(&vec![7; bytes]).await.expect("room");
            corked.flush().await.expect("an open connection");
            // Beside what is told as its capacity, it may have as much in front.
            let is_large = corked.waiting.try_reclaim(KEPT_BYTES_MAX + 1);
            assert!(!is_large, "{bytes}: {}", corked.waiting.capacity());
        };
        check(9).await;
        check(KEPT_BYTES_MAX).await;
        check(4 * KEPT_BYTES_MAX + 9).await;
        check(CORKED_BYTES_MAX).await;
    }

    #[tokio::test]
    async fn holds_back_no_more_than_the_bound() {
        let (mut corked, other) = counted(16);
        let large = vec![7; 2 * CORKED_BYTES_MAX];
        let mut context = Context::from_waker(std::task::Waker::noop());
        let taken = Pin::new(&mut corked).poll_write(&mut context, &large);
        assert!(matches!(taken, Poll::Ready(Ok(CORKED_BYTES_MAX))));
        let taken = Pin::new(&mut corked).poll_write(&mut context, &large);
        assert!(taken.is_pending());
        drop(other);
        assert!(corked.flush().await.is_err(), "the other side is gone");
    }

    proptest! {
        #[test]
        fn every_byte_arrives_in_order(
            parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), any::<bool>()), 0..50),
            buffer_bytes in 1_usize..300,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let expected: Vec<u8> = parts.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
            let read = runtime.block_on(async move {
                let (mut corked, mut other) = counted(buffer_bytes);
                let writing = async move {
                    for (bytes, is_flushed) in parts {
                        corked.write_all(&bytes).await?;
                        if is_flushed {
                            corked.flush().await?;
                        }
                    }
                    corked.shutdown().await
                };
                let mut read = Vec::new();
                let (written, reading) = tokio::join!(writing, other.read_to_end(&mut read));
                written.and(reading).map(|_| read)
            });
            prop_assert_eq!(read.expect("an open connection"), expected);
        }
    }
}
