//! How often pages may be asked for.

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::GRPC;
use crate::api::guard::Door;
use crate::auth::{Principal, table};

/// Counts what is no call of gRPC, which the guard counts, by address, where tokens are asked
/// for. Too often: refused with how many seconds to wait.
pub(super) async fn count(State(door): State<Door>, request: Request, next: Next) -> Response {
    if !door.gate.asks() || is_call(&request) {
        return next.run(request).await;
    }
    let from = door.callers.address(&request);
    match door.limiter.calls(&Principal::Public, from, 1) {
        Ok(()) => next.run(request).await,
        Err(limited) => {
            let seconds = limited.retry_after.as_secs() + 1;
            let header = [(RETRY_AFTER, HeaderValue::from(seconds))];
            (StatusCode::TOO_MANY_REQUESTS, header, "too many requests\n").into_response()
        }
    }
}

/// Whether the guard of the calls gets it. What it says of itself is not enough: a page that is
/// asked for as if it were a call is a page.
fn is_call(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(GRPC.as_bytes()));
    let route = request.extensions().get::<MatchedPath>();
    let is_service = route.is_some_and(|route| {
        let mut pages = table::PAGES.iter();
        pages.all(|(page, _)| *page != route.as_str())
    });
    is_grpc && is_service && request.method() == Method::POST
}
