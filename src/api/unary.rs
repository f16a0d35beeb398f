//! Calls of one message that are answered by one, read and answered where they lie.
//!
//! For such a call tonic's server makes two buffers of 8 KiB and half a dozen boxes, and moves the
//! message and what is made of it three dozen times: a tenth of all that is done for a report. So
//! single reports alone come here; everything else is called seldom, and is tonic's.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body as _, Frame};
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::GRPC_CONTENT_TYPE;

use super::connection::{ConnectionAbort, awaited};
use super::frames::{PREFIX_BYTES, framed};
use super::status::Problem;
use crate::domain::limits::REPORT_BYTES_MAX;

/// How the message of a call is compressed.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const IDENTITY: &str = "identity";
/// The code of a call that went well.
const OK: HeaderValue = HeaderValue::from_static("0");

/// The body of an answer: its message, and then that all is well.
struct Answer {
    frame: Option<Bytes>,
    is_ended: bool,
}

/// Whether the message of a call comes as it is. tonic refuses all others.
pub fn is_plain<B>(request: &Request<B>) -> bool {
    let encoding = request.headers().get(ENCODING);
    encoding.is_none_or(|encoding| encoding == IDENTITY)
}

/// The one message of a call. No room is made for more than has come, whatever length it says.
///
/// # Errors
///
/// It is larger than the service takes, compressed or cut short, or there is none or more than one;
/// tonic passes over what follows the first. A client that resets its stream before it has ended its
/// message has cut it short.
pub async fn message(mut body: Body) -> Result<Bytes, Problem> {
    let mut read = Bytes::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Problem::malformed())?;
        let Ok(data) = frame.into_data() else {
            // Trailers, of which none matters.
            continue;
        };
        read = joined(read, data);
        if length(&read)?.is_some_and(|length| length < read.len()) {
            return Err(Problem::malformed());
        }
    }
    match length(&read)? {
        Some(length) if length == read.len() => Ok(read.split_off(PREFIX_BYTES)),
        Some(_) | None => Err(Problem::malformed()),
    }
}

/// A message as the whole answer, which its connection waits for until it is taken.
pub fn answer(message: &impl Message, connection: Option<ConnectionAbort>) -> Response<Body> {
    let answer = Answer {
        frame: Some(framed(message)),
        is_ended: false,
    };
    let mut response = Response::new(awaited(answer, connection));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

fn joined(before: Bytes, after: Bytes) -> Bytes {
    if before.is_empty() {
        return after;
    }
    let mut joined = BytesMut::from(before);
    joined.extend_from_slice(&after);
    joined.freeze()
}

/// How long a message is with what stands before it; `None` before that is known.
fn length(read: &[u8]) -> Result<Option<usize>, Problem> {
    let Some(mut prefix) = read.get(..PREFIX_BYTES) else {
        return Ok(None);
    };
    if prefix.get_u8() != 0 {
        return Err(Problem::malformed());
    }
    let length = prefix.get_u32() as usize;
    if REPORT_BYTES_MAX < length {
        return Err(Problem::too_large());
    }
    Ok(Some(PREFIX_BYTES + length))
}

// === impl Answer ===

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match self.frame.take() {
            Some(frame) => Frame::data(frame),
            None if self.is_ended => return Poll::Ready(None),
            None => {
                self.is_ended = true;
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(Status::GRPC_STATUS, OK);
                Frame::trailers(trailers)
            }
        };
        Poll::Ready(Some(Ok(frame)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::stream::{self, Stream, StreamExt as _};
    use proptest::prelude::*;

    use super::*;

    type Part = Result<Bytes, Status>;

    /// What is read of a call whose bytes come in these parts.
    async fn read(parts: impl Stream<Item = Part> + Send + 'static) -> Result<Bytes, Problem> {
        message(Body::new(axum::body::Body::from_stream(parts))).await
    }

    fn in_parts(bytes: &[u8], length: usize) -> impl Stream<Item = Part> + Send + 'static {
        let parts: Vec<_> = bytes.chunks(length).map(Bytes::copy_from_slice).collect();
        stream::iter(parts).map(Ok)
    }

    fn prefix(length: usize) -> Bytes {
        let length = u32::try_from(length).expect("four bytes");
        [&[0][..], &length.to_be_bytes()].concat().into()
    }

    proptest! {
        #[test]
        fn message_is_the_same_in_whatever_parts_it_comes(text in ".{0,300}", length in 1_usize..400) {
            let read = read(in_parts(&framed(&text), length)).now_or_never();
            prop_assert_eq!(read, Some(Ok(text.encode_to_vec().into())));
        }

        #[test]
        fn only_what_is_as_long_as_it_says_is_a_message(
            said in 0_usize..9,
            bytes in prop::collection::vec(any::<u8>(), 0..9),
            length in 1_usize..9,
        ) {
            let whole = [&prefix(said)[..], &bytes].concat();
            let read = read(in_parts(&whole, length)).now_or_never().expect("all is there");
            let expected = if said == bytes.len() {
                Ok(bytes.into())
            } else {
                Err(Problem::malformed())
            };
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn whatever_bytes_come_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let read = read(in_parts(&bytes, 7)).now_or_never();
            prop_assert!(read.is_some());
        }
    }

    #[tokio::test]
    async fn call_without_one_whole_message_is_malformed() {
        let whole = framed(&"a message".to_owned());
        let two = [&whole[..], &whole[..]].concat();
        let longer = [&whole[..], &[0]].concat();
        let compressed = [&[1], &whole[1..]].concat();
        let shorter = &whole[..whole.len() - 1];
        for bytes in [
            &[],
            &whole[..3],
            &whole[..5],
            shorter,
            &longer,
            &two,
            &compressed,
        ] {
            for length in [1, 5, 100] {
                let read = read(in_parts(bytes, length)).await;
                assert_eq!(read, Err(Problem::malformed()), "{bytes:?}");
            }
        }
        let with_empty = [&whole[..4], &[], &whole[4..], &[]].map(Bytes::copy_from_slice);
        let read_anyway = read(stream::iter(with_empty.map(Ok))).await;
        assert_eq!(
            read_anyway,
            Ok("a message".to_owned().encode_to_vec().into())
        );
        let broken = in_parts(&whole, 100).chain(stream::iter([Err(Status::cancelled("gone"))]));
        assert_eq!(read(broken).await, Err(Problem::malformed()));
    }

    #[tokio::test]
    async fn message_past_the_bound_is_refused_before_it_comes() {
        let check = async |length: usize, expected: Option<Problem>| {
            let begins = in_parts(&prefix(length), 100).chain(stream::pending());
            let read = read(begins).now_or_never();
            assert_eq!(read.and_then(Result::err), expected, "{length}");
        };
        check(REPORT_BYTES_MAX, None).await;
        check(REPORT_BYTES_MAX + 1, Some(Problem::too_large())).await;
        check(u32::MAX as usize, Some(Problem::too_large())).await;
    }

    #[tokio::test]
    async fn answer_is_a_message_and_then_that_all_is_well() {
        let connection = ConnectionAbort::default();
        let mut response = answer(&"a message".to_owned(), Some(connection.clone()));
        assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
        let body = response.body_mut();
        let mut next = async || poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        let data = next()
            .await
            .expect("a frame")
            .expect("no error")
            .into_data();
        assert_eq!(data.ok(), Some(framed(&"a message".to_owned())));
        assert_eq!(connection.waiting(), 0, "HTTP has let go of it");
        let trailers = next().await.expect("a frame").expect("no error");
        let trailers = trailers.into_trailers().expect("trailers");
        assert_eq!(trailers[Status::GRPC_STATUS], "0");
        assert!(next().await.is_none());
    }

    #[test]
    fn compressed_calls_are_left_to_others() {
        let check = |encoding: Option<&str>, expected: bool| {
            let request = Request::builder();
            let request = match encoding {
                Some(encoding) => request.header(ENCODING, encoding),
                None => request,
            };
            assert_eq!(is_plain(&request.body(()).expect("a request")), expected);
        };
        check(None, true);
        check(Some("identity"), true);
        check(Some("gzip"), false);
        check(Some(""), false);
    }
}
