//! What each request tells of its connection, and how an answer ends that connection.
//!
//! While a client leaves a stream no room, HTTP/2 asks the body of its answer for nothing: so the
//! body can neither end nor reset that stream, and what waits in it stays until the connection ends.
//! Ending the connection is therefore left to whoever finds that a stream is stuck. Clients of
//! other streams on it connect anew, and resume.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

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
}

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

    /// Fails once the connection is to end, and wakes the task when it is.
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        self.0.waker.register(context.waker());
        if self.0.is_given.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
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
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

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
