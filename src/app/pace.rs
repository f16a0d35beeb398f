//! How often pages may be asked for.

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::GRPC;
use crate::api::guard::Door;
use crate::auth::Principal;

/// Counts what is no call of gRPC, which the guard counts, by address, where tokens are asked
/// for. Too often: refused with how many seconds to wait.
pub(super) async fn count(State(door): State<Door>, request: Request, next: Next) -> Response {
    let kind = request
        .headers()
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes);
    let is_call = kind.is_some_and(|kind| kind.starts_with(GRPC.as_bytes()));
    if is_call || !door.gate.asks() {
        return next.run(request).await;
    }
    let from = door.callers.address_of(&request);
    match door.limiter.calls(&Principal::Public, from, 1) {
        Ok(()) => next.run(request).await,
        Err(limited) => {
            let seconds = limited.retry_after.as_secs() + 1;
            let header = [(RETRY_AFTER, HeaderValue::from(seconds))];
            (StatusCode::TOO_MANY_REQUESTS, header, "too many requests\n").into_response()
        }
    }
}
