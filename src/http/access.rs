//! Who may see which page, as `auth::table` has it.

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth::{Gate, Principal, table};

const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

/// Lets a request through to its page if its caller may see it. A route that the table does
/// not have is for stewards alone.
pub async fn check(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let authorization = request.headers().get(AUTHORIZATION);
    let Ok(caller) = gate.principal(authorization.map(HeaderValue::as_bytes)) else {
        return ask("the token is not known, or was revoked\n");
    };
    let route = request.extensions().get::<MatchedPath>();
    let roles = table::page(route.map_or("", MatchedPath::as_str));
    if roles.admits(caller.role()) {
        return next.run(request).await;
    }
    match caller {
        Principal::Public => ask("not for everybody: send a token\n"),
        _ => (StatusCode::FORBIDDEN, "not for tokens of this role\n").into_response(),
    }
}

fn ask(why: &'static str) -> Response {
    let header = [(WWW_AUTHENTICATE, BEARER)];
    (StatusCode::UNAUTHORIZED, header, why).into_response()
}
