//! Reflection: what can be called, told to clients that do not know it yet.
//!
//! What tonic refuses repeats the name that was asked for, which is a client's own text; here it
//! is told without.

use axum::Router;
use axum::body::Body;
use axum::middleware;
use axum::response::Response;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tonic::Status;
use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

use crate::api::pb;

/// The code of a name that nothing has.
const NOT_FOUND: &str = "5";
const UNKNOWN_NAME: HeaderValue = HeaderValue::from_static("there is nothing of this name");

/// Both versions of the service.
pub(super) fn routes() -> Result<Router, Error> {
    let set = pb::descriptors();
    let reflection = || {
        Builder::configure()
            .register_file_descriptor_set(set.clone())
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::from(Router::new())
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let router = routes.into_axum_router();
    Ok(router.route_layer(middleware::map_response(without_names)))
}

async fn without_names(response: Response) -> Response {
    response.map(|body| Body::new(body.map_frame(without_name)))
}

fn without_name<T>(frame: Frame<T>) -> Frame<T> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(told(trailers)),
        Err(data) => data,
    }
}

/// How a stream ended, in words of our own where it is for a name.
fn told(mut trailers: HeaderMap) -> HeaderMap {
    let code = trailers.get(Status::GRPC_STATUS);
    if code.is_some_and(|code| code == NOT_FOUND) {
        trailers.insert(Status::GRPC_MESSAGE, UNKNOWN_NAME);
    }
    trailers
}
