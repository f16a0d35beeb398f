//! Where every request comes in. Reports over gRPC go straight to their service; all else, and
//! reports in any other way, goes through the router and its layers.
//!
//! The router costs a report as much as all that is done with it: the layers for browsers,
//! and a box for each layer. Only what is plainly native gRPC is let past it: browsers, and
//! pages that a name was pointed at this machine for, cannot speak it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use http::header::CONTENT_TYPE;
use http::{Request, Response, Version};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::GRPC;
use crate::api::guard::Guard;
use crate::api::pb::v1::reporting_service_server::ReportingServiceServer;
use crate::api::reporting::Reporting;

const GRPC_PROTO: &str = "application/grpc+proto";

type Reports = ReportingServiceServer<Reporting>;

/// The service of a connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Front {
    /// For reports.
    pub reports: Guard<Reports>,
    /// For all else.
    pub router: Router,
}

impl Service<Request<Body>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Neither is ever busy: bounds lie behind them.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_native_report(&request) {
            return self.reports.call(request);
        }
        let answering = self.router.call(request);
        Box::pin(async move { answering.await.map(|response| response.map(Body::new)) })
    }
}

fn is_native_report<B>(request: &Request<B>) -> bool {
    let path = request.uri().path().strip_prefix('/');
    let method = path.and_then(|path| path.strip_prefix(Reports::NAME));
    let kind = request.headers().get(CONTENT_TYPE);
    request.version() == Version::HTTP_2
        && method.is_some_and(|method| method.starts_with('/'))
        && kind.is_some_and(|kind| kind == GRPC || kind == GRPC_PROTO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "/mistap.v1.ReportingService/ReportIncident";

    fn check(version: Version, path: &str, kind: &str, expected: bool) {
        let request = Request::builder().version(version).uri(path);
        let request = request.header(CONTENT_TYPE, kind).body(());
        let request = request.expect("a request");
        assert_eq!(
            is_native_report(&request),
            expected,
            "{version:?} {path} {kind}"
        );
    }

    #[test]
    fn only_native_reports_go_past_the_router() {
        check(Version::HTTP_2, REPORT, "application/grpc", true);
        check(Version::HTTP_2, REPORT, "application/grpc+proto", true);
        check(Version::HTTP_2, REPORT, "application/grpc-web", false);
        check(Version::HTTP_2, REPORT, "application/grpc-web+proto", false);
        check(Version::HTTP_11, REPORT, "application/grpc", false);
        check(Version::HTTP_2, "/", "application/grpc", false);
        check(
            Version::HTTP_2,
            "/mistap.v1.ReportingServiceX/Y",
            "application/grpc",
            false,
        );
        check(
            Version::HTTP_2,
            "/mistap.v1.LiveService/WatchRates",
            "application/grpc",
            false,
        );
        let request = Request::builder()
            .version(Version::HTTP_2)
            .uri(REPORT)
            .body(());
        assert!(!is_native_report(&request.expect("a request")));
    }
}
