//! Which names of this machine a browser may use.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth::Gate;

/// Refuses requests of browsers under a name that is not this machine's: a page from
/// elsewhere whose name was pointed at this machine could else act as its user. Browsers
/// speak HTTP/1.1 without TLS, so only that is looked at. Where tokens are asked for, such a
/// page has none, and whoever serves the public has a name.
pub(super) async fn refuse_foreign_names(
    State(gate): State<Gate>,
    request: Request,
    next: Next,
) -> Response {
    let is_browser = request.version() <= Version::HTTP_11;
    if !gate.asks() && is_browser && !is_local_name(request.headers()) {
        return (StatusCode::MISDIRECTED_REQUEST, "unknown host name\n").into_response();
    }
    next.run(request).await
}

fn is_local_name(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).map_or(Ok(""), HeaderValue::to_str);
    let Ok(authority) = host.unwrap_or_default().parse::<Authority>() else {
        return false;
    };
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        let check = |host: &'static str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            assert_eq!(is_local_name(&headers), expected, "{host}");
        };
        for host in [
            "localhost",
            "LOCALHOST:7070",
            "127.0.0.1:7070",
            "[::1]:7070",
            "127.9.9.9",
        ] {
            check(host, true);
        }
        for host in [
            "",
            "example.org",
            "127.0.0.1.example.org",
            "10.0.0.1:7070",
            "localhost.evil",
        ] {
            check(host, false);
        }
        assert!(!is_local_name(&HeaderMap::new()));
    }
}
