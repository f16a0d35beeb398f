//! Requests on their way through the router, and clients that do not end them.
//!
//! The message of a call lies in memory until all of it has come, and may be large. So may it lie for
//! as long as a call may take, of every stream of every connection; where it is larger than most, it
//! takes one of few places until then.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;

use crate::api::status::Problem;
use crate::domain::limits::LARGE_REQUEST_BYTES_MIN;
use crate::live::{Holder, Permit, PermitBounds, Permits};

/// Bounds large requests. Clones bound the same.
#[derive(Clone)]
pub(super) struct Requests {
    large: Permits,
}

/// The body of a request.
struct RequestBody {
    body: Body,
    bytes: usize,
    holder: Holder,
    large: Permits,
    /// Once it is large, until it has ended.
    place: Option<Permit>,
}

impl Requests {
    /// With nothing on its way.
    pub fn new() -> Self {
        Self {
            large: Permits::new(PermitBounds::of_large_requests()),
        }
    }

    /// A body that takes a place once it is large. Where there is none, it ends with
    /// `RESOURCE_EXHAUSTED`, which gRPC tells.
    pub fn bounded(&self, body: Body, holder: Holder) -> Body {
        Body::new(RequestBody {
            body,
            bytes: 0,
            holder,
            large: self.large.clone(),
            place: None,
        })
    }
}

impl RequestBody {
    fn note(&mut self, bytes: usize) -> Result<(), Status> {
        self.bytes = self.bytes.saturating_add(bytes);
        if LARGE_REQUEST_BYTES_MIN <= self.bytes && self.place.is_none() {
            let place = self.large.take(self.holder);
            self.place = Some(place.map_err(Problem::too_many_large)?);
        }
        Ok(())
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            self.place = None;
            return Poll::Ready(None);
        };
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            let bytes = data.len();
            if let Err(status) = self.note(bytes) {
                self.body = Body::empty();
                return Poll::Ready(Some(Err(axum::Error::new(status))));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::body::to_bytes;
    use futures_util::FutureExt as _;
    use futures_util::stream::{self, StreamExt as _};
    use http_body::Body as _;

    use super::*;
    use crate::domain::limits::{LARGE_REQUESTS_MAX, LARGE_REQUESTS_PER_PREFIX_MAX};

    type Part = Result<Bytes, Status>;

    fn from(last: u8) -> Holder {
        Holder {
            token: None,
            address: Some(IpAddr::from([192, 0, 2, last])),
        }
    }

    /// A request of so many bytes of which more is to come.
    fn unended(requests: &Requests, bytes: usize, holder: Holder) -> Body {
        let begun = stream::iter([Part::Ok(vec![7; bytes].into())]);
        let body = Body::from_stream(begun.chain(stream::pending()));
        requests.bounded(body, holder)
    }

    /// Whether the first part of it is let in.
    fn is_let_in(body: &mut Body) -> bool {
        let next = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        let frame = next.now_or_never().flatten().expect("a part");
        frame
            .map_err(|error| {
                let status = Status::from_error(error.into_inner());
                assert_eq!(status.code(), tonic::Code::ResourceExhausted);
            })
            .is_ok()
    }

    #[tokio::test]
    async fn large_requests_of_one_address_are_few_at_once_and_small_ones_are_not_counted() {
        let requests = Requests::new();
        let [of_address, ..] = LARGE_REQUESTS_PER_PREFIX_MAX;
        assert!(of_address < LARGE_REQUESTS_MAX);
        let large = |last| unended(&requests, LARGE_REQUEST_BYTES_MIN, from(last));
        let mut open: Vec<_> = (0..of_address).map(|_| large(1)).collect();
        assert!(open.iter_mut().all(is_let_in));
        assert!(!is_let_in(&mut large(1)));
        let mut small = unended(&requests, LARGE_REQUEST_BYTES_MIN - 1, from(1));
        assert!(is_let_in(&mut small));
        assert!(is_let_in(&mut large(2)), "of another");
        open.pop();
        assert!(is_let_in(&mut large(1)), "one has gone");
    }

    #[tokio::test]
    async fn request_arrives_as_it_was_and_gives_its_place_back_when_it_has_ended() {
        let requests = Requests::new();
        let [of_address, ..] = LARGE_REQUESTS_PER_PREFIX_MAX;
        let bytes: Vec<u8> = (0..=250)
            .cycle()
            .take(3 * LARGE_REQUEST_BYTES_MIN)
            .collect();
        for _ in 0..2 * of_address {
            let body = requests.bounded(Body::from(bytes.clone()), from(1));
            let read = to_bytes(body, usize::MAX).await.expect("whole");
            assert_eq!(read, bytes);
        }
    }
}
