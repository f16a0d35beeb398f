//! Streams whose messages are encoded before they get here, once for all who watch the same.
//!
//! tonic would encode each message for each stream, in a buffer of 8 KiB that every stream
//! keeps. So it only reads the request; the answer has a body of our own (`delivery`), which hands
//! out what others hand out as well.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{Empty, empty};
use prost::Message;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::delivery::{Opened, Sweeper};
use crate::domain::limits::MESSAGE_BYTES_MAX;

/// What stands before a message: whether it is compressed, and its length.
pub(super) const PREFIX_BYTES: usize = 5;

type Open<Q> = Box<dyn FnOnce(Request<Q>) -> Opening + Send>;
type Opening = Pin<Box<dyn Future<Output = Result<Opened, Status>> + Send>>;

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
    sweeper: &Sweeper,
    open: impl FnOnce(Request<Q>) -> F + Send + 'static,
) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    F: Future<Output = Result<Opened, Status>> + Send + 'static,
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
        Some(opened) => {
            let mut response = response.map(|_| Body::new(sweeper.watch_over(opened)));
            response.extensions_mut().insert(LooksAfterItself);
            response
        }
        None => response,
    }
}

/// Laid beside an answer that ends by itself where its client takes nothing of it.
#[derive(Clone, Copy, Debug)]
pub struct LooksAfterItself;

/// Where the stream is laid until tonic has made its answer.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Option<Opened>>>);

/// One call, as tonic sees it: with an empty stream.
struct Method<Q> {
    open: Option<Open<Q>>,
    slot: Slot,
}

// === impl Slot ===

impl Slot {
    fn put(&self, opened: Opened) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
    }

    fn take(&self) -> Option<Opened> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_framed_as_tonic_does_it() {
        let message = "a message".to_owned();
        let frame = framed(&message);
        assert_eq!(frame[..PREFIX_BYTES], [0, 0, 0, 0, 11]);
        assert_eq!(frame[PREFIX_BYTES..], message.encode_to_vec());
    }
}
