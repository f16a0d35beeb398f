//! Plain pages on the port of the API: a start page, whether the service is well, the
//! metrics, and editions as downloads.

mod access;
pub mod editions;
mod receipt_rows;
mod receipts;
mod start;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::auth::Gate;
use crate::edition::library::Library;
use crate::ingest::Ingest;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// What is counted.
    pub registry: Arc<Registry>,
    /// Brings gauges up to date before they are read. May wait for a lock, so it is not run on
    /// async threads.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
    /// Why not all is well; `None` if it is.
    pub trouble: watch::Receiver<Option<&'static str>>,
}

/// Every route, each for those that may see it.
pub fn routes(pages: Pages, library: &Arc<Library>, ingest: Ingest, gate: &Gate) -> Router {
    let check = middleware::from_fn_with_state(gate.clone(), access::check);
    page_routes(pages)
        .merge(editions::routes(Arc::clone(library)))
        .merge(receipts::routes(ingest))
        .route_layer(check)
}

fn page_routes(pages: Pages) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .with_state(pages)
}

async fn health(State(pages): State<Pages>) -> impl IntoResponse {
    match *pages.trouble.borrow() {
        None => (StatusCode::OK, "serving\n".to_owned()),
        Some(trouble) => {
            let text = format!("not serving: {trouble}\n");
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    let written = blocking(move || {
        (pages.refresh)();
        let mut text = String::new();
        encode(&mut text, &pages.registry).map(|()| text)
    });
    match written.await {
        Ok(Ok(text)) => {
            (StatusCode::OK, [(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response()
        }
        Ok(Err(error)) => no_metrics(&error),
        Err(error) => no_metrics(&error),
    }
}

/// Work that ended in a panic. Its message is left out, since it may hold a client's text.
#[derive(Debug, thiserror::Error)]
#[error("it ended in a panic")]
struct Panicked;

/// Runs what takes long or reads files where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(|_| Panicked)
}

fn no_metrics(error: &(dyn std::error::Error + 'static)) -> Response {
    tracing::error!(error, "metrics cannot be written");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use prometheus_client::metrics::counter::Counter;
    use tower::ServiceExt;

    use super::*;

    const BODY_BYTES_MAX: usize = 64 * 1024;

    async fn get_page(path: &str, trouble: Option<&'static str>) -> (StatusCode, String) {
        let mut registry = Registry::default();
        registry.register("things", "Things", Counter::<u64>::default());
        let pages = Pages {
            registry: Arc::new(registry),
            refresh: Arc::new(|| ()),
            trouble: watch::channel(trouble).1,
        };
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = page_routes(pages)
            .oneshot(request)
            .await
            .expect("infallible");
        let status = response.status();
        let body = to_bytes(response.into_body(), BODY_BYTES_MAX).await;
        let text = String::from_utf8(body.expect("a short body").to_vec());
        (status, text.expect("text"))
    }

    #[tokio::test]
    async fn health_page_says_whether_all_is_well_and_why_not() {
        assert_eq!(get_page("/healthz", None).await.0, StatusCode::OK);
        let (status, text) = get_page("/healthz", Some("the disk is nearly full")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "not serving: the disk is nearly full\n");
    }

    #[tokio::test]
    async fn metrics_are_told_as_text() {
        let (status, text) = get_page("/metrics", None).await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("things_total 0"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn metrics_that_cannot_be_read_are_a_failure_and_no_panic() {
        let pages = Pages {
            registry: Arc::default(),
            refresh: Arc::new(|| panic!("the lock is poisoned")),
            trouble: watch::channel(None).1,
        };
        let response = metrics(State(pages)).await.into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
