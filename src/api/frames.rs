//! Streams whose messages are encoded before they get here, once for all who watch the same.
//!
//! tonic would encode each message for each stream, in a buffer of 8 KiB that every stream
//! keeps. So it only reads the request; the answer has a body of our own, which hands out what
//! others hand out as well.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{Empty, Stream, empty};
use http::HeaderMap;
use http_body::Frame;
use prost::Message;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::domain::limits::MESSAGE_BYTES_MAX;

/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Messages as they travel, or why there are no more.
pub type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

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

/// Answers a call whose request is one message and whose answer is a stream.
pub async fn answer<Q, F>(
    request: http::Request<Body>,
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
        Some(frames) => response.map(|_| Body::new(FrameBody(Some(frames)))),
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
struct FrameBody(Option<Frames>);

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
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(frames) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let end = match ready!(frames.as_mut().poll_next(context)) {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.0 = None;
        let mut trailers = HeaderMap::new();
        let told = end
            .add_header(&mut trailers)
            .map(|()| Frame::trailers(trailers));
        Poll::Ready(Some(told))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body::Body as _;

    use super::*;

    async fn next(body: &mut FrameBody) -> Option<Frame<Bytes>> {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        frame.await.map(|frame| frame.expect("a frame"))
    }

    #[tokio::test]
    async fn stream_ends_with_its_status_after_its_messages() {
        let check = async |end: Option<Status>, expected: &str| {
            let message = framed(&"a message".to_owned());
            let messages = stream::iter([Ok(message.clone())]).chain(stream::iter(end.map(Err)));
            let mut body = FrameBody(Some(Box::pin(messages)));
            let frame = next(&mut body).await.expect("a message");
            assert_eq!(frame.into_data().expect("data"), message);
            let frame = next(&mut body).await.expect("trailers");
            let trailers = frame.into_trailers().expect("trailers");
            assert_eq!(trailers["grpc-status"], expected);
            assert!(next(&mut body).await.is_none());
        };
        check(None, "0").await;
        check(Some(Status::unavailable("stopping")), "14").await;
    }

    #[test]
    fn message_is_framed_as_tonic_does_it() {
        let message = "a message".to_owned();
        let frame = framed(&message);
        assert_eq!(frame[..PREFIX_BYTES], [0, 0, 0, 0, 11]);
        assert_eq!(frame[PREFIX_BYTES..], message.encode_to_vec());
    }
}
