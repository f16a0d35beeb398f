//! What stands around every gRPC call: who calls and whether it may, a span with the method, a
//! time limit, an answer when a call panics, and the right code and words for requests that tonic
//! itself refuses.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use prometheus_client::metrics::counter::Counter;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument;

use super::caller::Caller;
use super::origin::Callers;
use super::pb;
use super::status::Problem;
use crate::auth::table::{self, Roles};
use crate::auth::{Gate, Limiter, Principal, UnknownToken};
use crate::domain::limits::CALL_MS_MAX;
use crate::live::Holder;

/// How tonic 0.14 begins the message of a status for a message past the size limit.
const TONIC_TOO_LARGE: &str = "Error, decoded message length too large";

/// How messages may be compressed, which tonic tells whoever compressed one otherwise.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// The code of a call that there is not.
const UNIMPLEMENTED: &str = "12";

/// Says how long a caller waits.
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// How long any call may take.
const LONGEST: Duration = Duration::from_millis(CALL_MS_MAX);

/// Puts a `Guard` around a service.
#[derive(Clone)]
pub struct GuardLayer {
    known: Arc<Known>,
}

/// What a guard knows.
struct Known {
    /// The API's methods by their paths. Any other path is a client's text and is not logged.
    places: HashMap<Arc<str>, Place>,
    methods: Vec<Method>,
    door: Door,
    panics: Counter,
}

/// Where a method stands among all.
type Place = usize;

/// A method of the API.
struct Method {
    path: Arc<str>,
    /// Who may call it.
    roles: Roles,
}

/// What decides who comes in.
#[derive(Clone)]
pub struct Door {
    /// Finds out who calls.
    pub gate: Gate,
    /// Counts calls.
    pub limiter: Limiter,
    /// Tells from where.
    pub callers: Callers,
}

impl GuardLayer {
    /// Puts a door before every call, and counts panics.
    pub fn new(door: Door, panics: Counter) -> Self {
        let mut methods = Vec::new();
        for file in pb::descriptors().file {
            for service in &file.service {
                for method in &service.method {
                    let name = format!("{}/{}", service.name(), method.name());
                    methods.push(Method {
                        path: format!("/{}.{name}", file.package()).into(),
                        roles: table::call(&name),
                    });
                }
            }
        }
        let places = methods.iter().zip(0..);
        Self {
            known: Arc::new(Known {
                places: places
                    .map(|(method, place)| (Arc::clone(&method.path), place))
                    .collect(),
                methods,
                door,
                panics,
            }),
        }
    }
}

impl Door {
    /// Whose an answer is, where what is untaken is counted. Whoever presents what is no token is
    /// counted like the public.
    pub fn holder<Q>(&self, request: &Request<Q>) -> Holder {
        let caller = Caller {
            principal: self.principal(request).unwrap_or(Principal::Public),
            address: self.callers.address(request),
        };
        caller.holder()
    }

    fn principal<Q>(&self, request: &Request<Q>) -> Result<Principal, UnknownToken> {
        let authorization = request.headers().get(AUTHORIZATION);
        self.gate
            .principal(authorization.map(HeaderValue::as_bytes))
    }

    /// Who calls, if it does not call too often. Whoever presents what is no token is counted
    /// like the public.
    fn admit<Q>(&self, request: &Request<Q>) -> Result<Caller, Problem> {
        let found = self.principal(request);
        let caller = found.as_ref().unwrap_or(&Principal::Public);
        let address = self.callers.address(request);
        self.limiter.calls(caller, address, 1)?;
        let principal = found.map_err(|UnknownToken| Problem::unknown_token())?;
        Ok(Caller { principal, address })
    }
}

impl Known {
    /// Lets a call in, and says which method it is of; `None` for what is no method of the
    /// API: health checks, reflection, and what there is not.
    fn admit<Q>(&self, request: &mut Request<Q>) -> Result<Option<Place>, Problem> {
        let caller = self.door.admit(request)?;
        let place = self.places.get(request.uri().path()).copied();
        if let Some(place) = place
            && !self.methods[place].roles.admits(caller.principal.role())
        {
            return Err(match caller.principal {
                Principal::Public => Problem::no_token(),
                _ => Problem::not_for_role(),
            });
        }
        request.extensions_mut().insert(caller);
        Ok(place)
    }

    fn name(&self, place: Option<Place>) -> &str {
        place.map_or("other", |place| &self.methods[place].path)
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            inner,
            known: Arc::clone(&self.known),
        }
    }
}

/// A guarded service.
#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    known: Arc<Known>,
}

/// An answer under way: never an error, whatever becomes of the call.
pub type Answering<R> = Pin<Box<dyn Future<Output = Result<Response<R>, Infallible>> + Send>>;

impl<S> Guard<S> {
    /// Answers by a service that is always ready.
    pub fn answer<Q, R>(&self, request: Request<Q>) -> Answering<R>
    where
        S: Service<Request<Q>, Response = Response<R>, Error = Infallible> + Clone,
        S: Send + 'static,
        S::Future: Send,
        Q: Send + 'static,
        R: Body<Data = Bytes> + Default + Send + 'static,
    {
        self.answer_by(self.inner.clone(), request)
    }

    fn answer_by<Q, R>(&self, mut inner: S, mut request: Request<Q>) -> Answering<R>
    where
        S: Service<Request<Q>, Response = Response<R>, Error = Infallible> + Send + 'static,
        S::Future: Send,
        Q: Send + 'static,
        R: Body<Data = Bytes> + Default + Send + 'static,
    {
        let known = Arc::clone(&self.known);
        let method = match known.admit(&mut request) {
            Ok(method) => method,
            Err(problem) => {
                tracing::debug!("call not admitted");
                return Box::pin(std::future::ready(Ok(refusal(problem.into()))));
            }
        };
        let limit = time_limit(request.headers());
        // A span that is on costs as much as checking a report, so it is off unless asked for.
        let span = tracing::debug_span!("request", method = known.name(method));
        let call = async move {
            let answering = AssertUnwindSafe(async move { inner.call(request).await });
            match tokio::time::timeout(limit, answering.catch_unwind()).await {
                Ok(Ok(Ok(response))) => Ok(with_right_code(response)),
                Ok(Err(_)) => {
                    known.panics.inc();
                    tracing::error!(method = known.name(method), "call panicked");
                    Ok(refusal(Problem::internal().into()))
                }
                Err(_) if limit < LONGEST => {
                    tracing::debug!(
                        method = known.name(method),
                        limit_ms = limit.as_millis(),
                        "caller waits no longer"
                    );
                    Ok(refusal(Problem::too_late().into()))
                }
                Err(_) => {
                    tracing::warn!(
                        method = known.name(method),
                        limit_ms = limit.as_millis(),
                        "call took too long"
                    );
                    Ok(refusal(Problem::too_late().into()))
                }
            }
        };
        Box::pin(call.instrument(span))
    }
}

impl<S, Q, R> Service<Request<Q>> for Guard<S>
where
    S: Service<Request<Q>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
    R: Body<Data = Bytes> + Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Answering<R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        // The clone takes the place of the service that is ready, see tower's `Service`.
        let inner = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, inner);
        self.answer_by(inner, request)
    }
}

/// How long a call may take: as long as its caller waits for it, and no longer than any call may.
fn time_limit(headers: &HeaderMap) -> Duration {
    let asked = headers.get(TIMEOUT).and_then(timeout);
    asked.map_or(LONGEST, |asked| asked.min(LONGEST))
}

/// What gRPC's protocol calls a timeout: at most eight digits and a unit. What is none is passed
/// over.
fn timeout(value: &HeaderValue) -> Option<Duration> {
    let (digits, unit) = value
        .to_str()
        .ok()?
        .split_at_checked(value.len().checked_sub(1)?)?;
    let is_number =
        !digits.is_empty() && digits.len() <= 8 && digits.bytes().all(|it| it.is_ascii_digit());
    let count = digits.parse().ok().filter(|_| is_number)?;
    Some(match unit {
        "H" => Duration::from_secs(3_600 * count),
        "M" => Duration::from_secs(60 * count),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The status with the code and the words that this API promises, where tonic chose others: see
/// `correction`.
pub(super) fn corrected(status: Status) -> Status {
    correction(&status).unwrap_or(status)
}

/// What is told in place of a status of tonic's: a message past the size limit is
/// RESOURCE_EXHAUSTED, bytes that are no message are INVALID_ARGUMENT, and how a message is
/// compressed is not repeated. Statuses of our own have details and stay as they are.
fn correction(status: &Status) -> Option<Status> {
    let is_own = !status.details().is_empty();
    match status.code() {
        Code::OutOfRange if status.message().starts_with(TONIC_TOO_LARGE) => {
            Some(Problem::too_large().into())
        }
        Code::Internal if !is_own => Some(Problem::malformed().into()),
        Code::Unimplemented if !is_own => Some(unimplemented(status)),
        _ => None,
    }
}

/// What tonic does not do, without its words, and with how messages may be compressed where it
/// is about that.
fn unimplemented(status: &Status) -> Status {
    let Some(accepted) = status.metadata().get(ACCEPT_ENCODING) else {
        return Problem::no_such_method().into();
    };
    let mut told = Status::from(Problem::compressed());
    told.metadata_mut()
        .insert(ACCEPT_ENCODING, accepted.clone());
    told
}

fn with_right_code<R: Default>(mut response: Response<R>) -> Response<R> {
    let Some(status) = response.extensions_mut().remove::<Status>() else {
        return if is_of_no_method(response.headers()) {
            refusal(Problem::no_such_method().into())
        } else {
            response
        };
    };
    tracing::debug!(code = ?status.code(), "request refused");
    correction(&status).map_or(response, refusal)
}

/// Whether a service of tonic's answers so that it has no such method: by a code alone.
fn is_of_no_method(headers: &HeaderMap) -> bool {
    let code = headers.get(Status::GRPC_STATUS);
    code.is_some_and(|code| code == UNIMPLEMENTED) && !headers.contains_key(Status::GRPC_MESSAGE)
}

fn refusal<R: Default>(status: Status) -> Response<R> {
    status.into_http()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::time::Instant;
    use tower::ServiceExt;
    use tower::service_fn;

    use super::*;
    use crate::api::origin::tests::connection_with;
    use crate::auth::Role;

    /// Where no tokens are asked for, behind a proxy.
    fn guard() -> GuardLayer {
        let folder = tempfile::tempdir().expect("a folder");
        let door = Door {
            gate: Gate::open(folder.path()).expect("no tokens"),
            limiter: Limiter::new().expect("random bytes"),
            callers: Callers {
                are_behind_proxy: true,
            },
        };
        GuardLayer::new(door, Counter::default())
    }

    async fn answer<F>(answer: fn() -> F) -> Status
    where
        F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
    {
        answer_to(Request::new(Body::empty()), answer).await
    }

    async fn answer_to<F>(request: Request<Body>, answer: fn() -> F) -> Status
    where
        F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
    {
        let service = service_fn(move |_: Request<Body>| answer());
        let response = guard().layer(service).oneshot(request).await;
        let response = response.expect("infallible");
        Status::from_header_map(response.headers()).expect("a status")
    }

    #[tokio::test]
    async fn who_calls_and_from_where_is_laid_beside_the_call() {
        let mut request = Request::new(Body::empty());
        let headers = request.headers_mut();
        headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        let connection = connection_with("127.0.0.1:9");
        request.extensions_mut().insert(connection);
        let service = service_fn(async |request: Request<Body>| {
            let mut response = Response::new(Body::empty());
            let caller = Caller::of(request.extensions());
            response.extensions_mut().insert(caller);
            Ok(response)
        });
        let response = guard().layer(service).oneshot(request).await;
        let response = response.expect("infallible");
        let caller = Caller::of(response.extensions());
        assert_eq!(caller.address, "192.0.2.1".parse().ok());
        assert_eq!(caller.principal.role(), Role::Steward);
    }

    #[tokio::test]
    async fn panic_is_answered_with_internal_and_without_its_message() {
        let status = answer(|| async { panic!("3528 0000 0000 0007") }).await;
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.message(), "internal error");
    }

    #[tokio::test(start_paused = true)]
    async fn call_that_never_ends_is_ended_when_its_caller_waits_no_longer_or_after_a_while() {
        let check = async |timeout: Option<&'static str>, expected: Duration| {
            let mut request = Request::new(Body::empty());
            let timeout = timeout.map(HeaderValue::from_static);
            request
                .headers_mut()
                .extend(timeout.map(|it| (TIMEOUT, it)));
            let begun = Instant::now();
            let status = answer_to(request, || async {
                std::future::pending::<()>().await;
                Ok(Response::new(Body::empty()))
            });
            assert_eq!(status.await.code(), Code::DeadlineExceeded);
            assert_eq!(begun.elapsed(), expected);
        };
        check(None, LONGEST).await;
        check(Some("7m"), Duration::from_millis(7)).await;
        check(Some("1H"), LONGEST).await;
    }

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let check = |text: &str, millis: Option<u64>| {
            let value = HeaderValue::from_str(text).expect("a header");
            let expected = millis.map(Duration::from_millis);
            assert_eq!(timeout(&value), expected, "{text:?}");
        };
        check("2H", Some(7_200_000));
        check("3M", Some(180_000));
        check("4S", Some(4_000));
        check("99999999m", Some(99_999_999));
        check("5000u", Some(5));
        check("6000000n", Some(6));
        for not_one in [
            "",
            "m",
            "5",
            "5x",
            "+5m",
            "-5m",
            "5 m",
            "123456789m",
            "5mm",
            "5é",
        ] {
            check(not_one, None);
        }
    }

    #[tokio::test]
    async fn what_tonic_refuses_gets_the_promised_code() {
        let large = || async {
            let message = format!("{TONIC_TOO_LARGE}: found 9 bytes, the limit is: 4 bytes");
            Ok(Status::out_of_range(message).into_http())
        };
        assert_eq!(answer(large).await.code(), Code::ResourceExhausted);
        let malformed = || async { Ok(Status::internal("failed to decode").into_http()) };
        assert_eq!(answer(malformed).await.code(), Code::InvalidArgument);
        let own = || async { Ok(Status::from(Problem::internal()).into_http()) };
        assert_eq!(answer(own).await.code(), Code::Internal);
    }
}
