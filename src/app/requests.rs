//! Calls on their way through the router, and clients that do not end their requests.
//!
//! The message of a call lies in memory until all of it has come, and may be large. So may it lie for
//! as long as a call may take, of every stream of every connection; where it is larger than most, it
//! takes one of few places until then. Who has a token takes none from others. Streams of requests
//! have places of their own, and one message of each in memory.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;

use crate::api::status::Problem;
use crate::domain::limits::LARGE_REQUEST_BYTES_MIN;
use crate::live::{Holder, Permit, PermitBounds, Permits};

/// Methods with a stream of requests.
const STREAMS: [&str; 2] = ["/StreamIncidents", "/StreamTapCounts"];

/// Bounds large requests. Clones bound the same.
#[derive(Clone)]
pub(super) struct Requests {
    of_tokens: Permits,
    of_others: Permits,
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
        let permits = || Permits::new(PermitBounds::of_large_requests());
        Self {
            of_tokens: permits(),
            of_others: permits(),
        }
    }

    /// A body that takes a place once it is large. Where there is none, it ends with
    /// `RESOURCE_EXHAUSTED`, which gRPC tells.
    fn bounded(&self, body: Body, holder: Holder) -> Body {
        let large = match holder.token {
            Some(_) => &self.of_tokens,
            None => &self.of_others,
        };
        Body::new(RequestBody {
            body,
            bytes: 0,
            holder,
            large: large.clone(),
            place: None,
        })
    }
}

/// The layer that bounds calls, within the one that lays beside them whose they are.
pub(super) async fn bound(
    State(requests): State<Requests>,
    request: Request,
    next: Next,
) -> Response {
    if STREAMS
        .iter()
        .any(|stream| request.uri().path().ends_with(stream))
    {
        return next.run(request).await;
    }
    let holder = request.extensions().get().copied().unwrap_or_default();
    next.run(request.map(|body| requests.bounded(body, holder)))
        .await
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
        let of_token = Holder {
            token: Some(1),
            ..from(1)
        };
        let mut of_token = unended(&requests, LARGE_REQUEST_BYTES_MIN, of_token);
        assert!(is_let_in(&mut of_token));
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
