//! Where every request comes in. Single reports, streams of them and watches over gRPC go straight
//! to their service; all else, and the same in any other way, goes through the router and its
//! layers.
//!
//! The router costs a report as much as all that is done with it: the layers for browsers,
//! and a box for each layer, which a stream keeps as long as it is open. Only what is plainly
//! native gRPC is let past it: browsers, and pages that a name was pointed at this machine for,
//! cannot speak it.

use std::sync::Arc;

use axum::Router;
use http::header::CONTENT_TYPE;
use http::{Request, Version};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::GRPC;
use crate::api::bulk::Reports;
use crate::api::guard::{Answering, Guard};
use crate::api::live::Live;

/// Methods whose requests and answers are short, or streams that look after themselves. Those of
/// others may be large and wait for long for a client, which only the router looks after.
const SHORT: [&str; 2] = ["ReportIncident", "StreamIncidents"];
const GRPC_PROTO: &str = "application/grpc+proto";

/// The way of each request to who answers it. Clones are the same.
#[derive(Clone)]
pub(super) struct Dispatch(Arc<Destinations>);

/// Where requests go.
pub(super) struct Destinations {
    /// For reports.
    pub reports: Guard<Reports>,
    /// For watches.
    pub live: Guard<Live>,
    /// For all else.
    pub router: Router,
}

impl Dispatch {
    /// To these.
    pub fn new(destinations: Destinations) -> Self {
        Self(Arc::new(destinations))
    }

    /// Answers a request. None of those who do is ever busy: bounds lie behind them.
    pub fn answer(&self, request: Request<Body>) -> Answering<Body> {
        match native_call(&request) {
            Some((Reports::NAME, method)) if SHORT.contains(&method) => {
                return self.0.reports.answer(request);
            }
            Some((Live::NAME, _)) => return self.0.live.answer(request),
            Some(_) | None => {}
        }
        let answering = self.0.router.clone().call(request);
        Box::pin(async move { answering.await.map(|response| response.map(Body::new)) })
    }
}

/// The names of the service and the method that are called, if the call is plainly native gRPC.
fn native_call<B>(request: &Request<B>) -> Option<(&str, &str)> {
    let kind = request.headers().get(CONTENT_TYPE);
    let is_native = request.version() == Version::HTTP_2
        && kind.is_some_and(|kind| kind == GRPC || kind == GRPC_PROTO);
    let path = request.uri().path().strip_prefix('/');
    path.filter(|_| is_native)?.split_once('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "/mistap.v1.ReportingService/ReportIncident";

    fn check(version: Version, path: &str, kind: &str, expected: Option<&str>) {
        let request = Request::builder().version(version).uri(path);
        let request = request.header(CONTENT_TYPE, kind).body(());
        let request = request.expect("a request");
        assert_eq!(
            native_call(&request).map(|(service, _)| service),
            expected,
            "{version:?} {path} {kind}"
        );
    }

    #[test]
    fn only_native_calls_go_past_the_router() {
        let reports = Some(Reports::NAME);
        check(Version::HTTP_2, REPORT, "application/grpc", reports);
        check(Version::HTTP_2, REPORT, "application/grpc+proto", reports);
        check(Version::HTTP_2, REPORT, "application/grpc-web", None);
        check(Version::HTTP_2, REPORT, "application/grpc-web+proto", None);
        check(Version::HTTP_11, REPORT, "application/grpc", None);
        check(Version::HTTP_2, "/", "application/grpc", None);
        check(
            Version::HTTP_2,
            "/mistap.v1.LiveService/WatchRates",
            "application/grpc",
            Some(Live::NAME),
        );
        let request = Request::builder()
            .version(Version::HTTP_2)
            .uri(REPORT)
            .body(());
        assert_eq!(native_call(&request.expect("a request")), None);
    }
}
