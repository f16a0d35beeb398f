//! Puts the service together from its parts, one function for each, and takes it down
//! again. Owns the clock.
//!
//! Taking down: nothing new is accepted, streams end with `UNAVAILABLE`, calls under way are
//! answered, what was taken in is committed, and a checkpoint is written; all within
//! `DRAIN_MS_MAX`.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_web::GrpcWebLayer;

use crate::api::Clock;
use crate::api::counters::Counters;
use crate::api::guard::GuardLayer;
use crate::api::live::Live;
use crate::api::network::Networks;
use crate::api::pb;
use crate::api::pb::v1::live_service_server::LiveServiceServer;
use crate::api::pb::v1::network_service_server::NetworkServiceServer;
use crate::api::pb::v1::reporting_service_server::ReportingServiceServer;
use crate::api::pb::v1::statistics_service_server::StatisticsServiceServer;
use crate::api::reporting::Reporting;
use crate::api::statistics::Statistics;
use crate::config::{InvalidAddress, check_loopback};
use crate::domain::UtcMillis;
use crate::domain::limits::{
    DRAIN_MS_MAX, KEEPALIVE_ANSWER_MS_MAX, KEEPALIVE_MS, MESSAGE_BYTES_MAX, NETWORK_LOOK_MS,
    RECORD_DRAIN_MS, STREAMS_PER_CONNECTION_MAX,
};
use crate::http::{self, Pages};
use crate::ingest::{self, Ingest, Running, StartError, StopError, SubmitError};
use crate::ledger::Ledger;
use crate::live::Publisher;
use crate::network::{Network, PersistError, latest_on_disk};

/// The name under which health checks ask for the service as a whole.
const WHOLE_SERVICE: &str = "";
/// The services whose health is told, besides the whole.
const SERVICES: [&str; 4] = [
    ReportingServiceServer::<Reporting>::NAME,
    StatisticsServiceServer::<Statistics>::NAME,
    LiveServiceServer::<Live>::NAME,
    NetworkServiceServer::<Networks>::NAME,
];
const GRPC: &str = "application/grpc";

/// What a service is made of.
#[derive(Clone)]
pub struct Settings {
    /// The data folder.
    pub dir: PathBuf,
    /// Where to listen. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// The time.
    pub clock: Clock,
}

/// Why the service does not start, or did not stop well.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Others could reach the address.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The address is taken, or not this machine's.
    #[error("cannot listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The data folder cannot be opened.
    #[error("the data folder cannot be opened")]
    Start(#[from] StartError),
    /// The imported network cannot be read.
    #[error("the imported network cannot be used")]
    Network(#[from] PersistError),
    /// Another network cannot be noted in the journal.
    #[error("the network cannot be noted in the journal")]
    Note(#[from] SubmitError),
    /// Reflection cannot be built.
    #[error("the descriptors of the API are broken")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// Connections cannot be served.
    #[error("the server failed")]
    Serve(#[from] tonic::transport::Error),
    /// Stopping was not complete.
    #[error("the record was not closed well; the next start repairs it")]
    Stop(#[from] StopError),
    /// A part panicked.
    #[error("a part of the service ended in a panic")]
    Part(#[from] JoinError),
}

/// A running service. Dropping it leaves it running.
pub struct Handle {
    /// Where it listens.
    pub address: SocketAddr,
    /// To report without a connection.
    pub ingest: Ingest,
    /// To read without a connection.
    pub ledger: Arc<Ledger>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), AppError>>,
}

impl Handle {
    /// Stops the service and waits until it has.
    pub async fn stop(self) -> Result<(), AppError> {
        self.stop.cancel();
        self.task.await?
    }

    /// Waits until the service has stopped by itself, which it does only by an error.
    pub async fn ended(&mut self) -> Result<(), AppError> {
        (&mut self.task).await?
    }
}

/// The time by this machine's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that owns the clock"
        )]
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UtcMillis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    })
}

/// Starts a service. It takes calls when this returns.
pub async fn spawn(settings: Settings) -> Result<Handle, AppError> {
    let incoming = listen(settings.listen)?;
    let address = incoming.local_addr().map_err(|source| AppError::Listen {
        address: settings.listen,
        source,
    })?;
    let running = open(&settings).await?;
    let stop = CancellationToken::new();
    let parts = Parts::start(&settings, &running, stop.clone())?;
    let handle = Handle {
        address,
        ingest: running.ingest.clone(),
        ledger: Arc::clone(&running.ledger),
        stop: stop.clone(),
        task: tokio::spawn(run(incoming, parts, running, stop)),
    };
    tracing::info!(%address, "serving");
    Ok(handle)
}

fn listen(address: SocketAddr) -> Result<TcpIncoming, AppError> {
    check_loopback(address)?;
    let incoming = TcpIncoming::bind(address);
    let incoming = incoming.map_err(|source| AppError::Listen { address, source })?;
    // tonic's own setting is ignored for listeners made outside of it.
    Ok(incoming.with_nodelay(Some(true)))
}

/// Opens the data folder, which reads what the last checkpoint does not hold.
async fn open(settings: &Settings) -> Result<Running, AppError> {
    let dir = settings.dir.clone();
    let clock = Arc::clone(&settings.clock);
    let opening = tokio::task::spawn_blocking(move || {
        let network = network_in_use(&dir)?;
        Ok(ingest::start(&dir, network, move || clock())?)
    });
    opening.await?
}

/// The newest network that was imported, or the one that is built in.
fn network_in_use(dir: &Path) -> Result<Arc<Network>, PersistError> {
    let imported = Network::load_latest(dir)?;
    Ok(Arc::new(imported.unwrap_or_else(Network::built_in)))
}

/// Everything that serves, ready to be asked.
struct Parts {
    router: Router,
    health: HealthReporter,
    is_serving: watch::Sender<bool>,
    followers: Vec<JoinHandle<()>>,
}

impl Parts {
    fn start(
        settings: &Settings,
        running: &Running,
        stop: CancellationToken,
    ) -> Result<Self, AppError> {
        let mut registry = Registry::with_prefix("mistap");
        let counters = Counters::register(&mut registry);
        let (health, health_server) = tonic_health::server::health_reporter();
        let (is_serving, serving) = watch::channel(true);
        let services = Services {
            reporting: Reporting::new(
                running.ingest.clone(),
                Arc::clone(&settings.clock),
                counters.clone(),
                stop.clone(),
            ),
            statistics: Statistics::new(Arc::clone(&running.ledger), counters.clone()),
            live: Live::new(publisher(settings, running, stop.clone()), counters.clone()),
            networks: Networks::new(running.ingest.clone()),
        };
        let grpc = services
            .routes()?
            .add_service(health_server)
            .into_axum_router()
            .layer(GuardLayer::new(counters.panics.clone()))
            .layer(GrpcWebLayer::new());
        let refresh = gauges(&mut registry, running);
        let pages = Pages {
            registry: Arc::new(registry),
            refresh,
            is_serving: serving,
        };
        let router = grpc
            .merge(http::routes(pages))
            .fallback(nothing_here)
            .layer(middleware::from_fn(refuse_foreign_names));
        let follow = follow_network(settings.dir.clone(), running.ingest.clone(), stop);
        Ok(Self {
            router,
            health,
            is_serving,
            followers: vec![tokio::spawn(follow)],
        })
    }

    /// Tells health checks and the health page.
    async fn tell_health(&self, is_serving: bool) {
        let status = if is_serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in SERVICES.into_iter().chain([WHOLE_SERVICE]) {
            self.health.set_service_status(name, status).await;
        }
        self.is_serving.send_replace(is_serving);
    }

    /// Waits for the record to fail, and then tells that for ever. Figures can still be
    /// asked for; only a person can repair the disk.
    async fn tell_failure(&self, mut failed: watch::Receiver<bool>) {
        if failed.wait_for(|failed| *failed).await.is_ok() {
            tracing::error!("reports cannot be stored any more");
            self.tell_health(false).await;
        }
        std::future::pending::<()>().await;
    }
}

/// The services of the API.
struct Services {
    reporting: Reporting,
    statistics: Statistics,
    live: Live,
    networks: Networks,
}

impl Services {
    fn routes(self) -> Result<Routes, AppError> {
        let set = pb::descriptors();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_file_descriptor_set(set.clone())
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // An empty router, because tonic's own answers every unknown path as gRPC.
        let routes = Routes::from(Router::new());
        let reporting = ReportingServiceServer::new(self.reporting);
        let statistics = StatisticsServiceServer::new(self.statistics);
        let live = LiveServiceServer::new(self.live);
        let networks = NetworkServiceServer::new(self.networks);
        Ok(routes
            .add_service(reporting.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(statistics.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(live.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(networks.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?))
    }
}

fn publisher(settings: &Settings, running: &Running, stop: CancellationToken) -> Publisher {
    let clock = Arc::clone(&settings.clock);
    let ledger = Arc::clone(&running.ledger);
    Publisher::start(ledger, running.hub.clone(), move || clock(), stop)
}

/// Gauges of the record. Returns what brings them up to date.
fn gauges(registry: &mut Registry, running: &Running) -> Arc<dyn Fn() + Send + Sync> {
    let position = Gauge::<i64>::default();
    let blocks = Gauge::<i64>::default();
    let journal_bytes = Gauge::<i64>::default();
    let store_failed = Gauge::<i64>::default();
    registry.register("position", "Entries in the journal", position.clone());
    registry.register("blocks", "Closed blocks of incidents", blocks.clone());
    registry.register(
        "journal_bytes",
        "Bytes of the journal on disk",
        journal_bytes.clone(),
    );
    registry.register(
        "store_failed",
        "Whether the store failed",
        store_failed.clone(),
    );
    let ledger = Arc::clone(&running.ledger);
    let reader = running.reader.clone();
    Arc::new(move || {
        let state = ledger.read();
        position.set(i64::try_from(state.position().0).unwrap_or(i64::MAX));
        blocks.set(i64::from(state.blocks()));
        drop(state);
        journal_bytes.set(i64::try_from(reader.bytes()).unwrap_or(i64::MAX));
        store_failed.set(i64::from(ledger.store_failed()));
    })
}

/// Answers what no route knows, in the caller's own protocol.
async fn nothing_here(request: Request) -> Response {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.filter(|kind| kind.as_bytes().starts_with(GRPC.as_bytes()));
    let Some(kind) = kind else {
        return (StatusCode::NOT_FOUND, "nothing here\n").into_response();
    };
    let mut response = Status::unimplemented("no such service").into_http::<axum::body::Body>();
    response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    response
}

/// Refuses requests of browsers under a name that is not this machine's: a page from
/// elsewhere whose name was pointed at this machine could else act as its user. Browsers
/// speak HTTP/1.1 without TLS, so only that is looked at.
async fn refuse_foreign_names(request: Request, next: Next) -> Response {
    let is_browser = request.version() <= Version::HTTP_11;
    if is_browser && !is_local_name(request.headers()) {
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

/// Looks for newer networks until the service stops, and brings them into use.
async fn follow_network(dir: PathBuf, ingest: Ingest, stop: CancellationToken) {
    let mut looks = tokio::time::interval(Duration::from_millis(NETWORK_LOOK_MS));
    // One that cannot be read is told once, and not tried again.
    let mut refused = None;
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        let newest = latest_on_disk(&dir);
        if newest <= Some(ingest.network().version()) || newest == refused {
            continue;
        }
        match change_network(dir.clone(), &ingest).await {
            Ok(version) => tracing::info!(version, "network changed"),
            Err(error) => {
                refused = newest;
                let error = &error as &dyn Error;
                tracing::error!(error, "imported network cannot be brought into use");
            }
        }
    }
}

async fn change_network(dir: PathBuf, ingest: &Ingest) -> Result<u32, AppError> {
    let loading = tokio::task::spawn_blocking(move || network_in_use(&dir));
    let network = loading.await??;
    let version = network.version();
    ingest.use_network(network).await?;
    Ok(version)
}

/// Serves until told to stop or until the record fails; then takes everything down.
async fn run(
    incoming: TcpIncoming,
    parts: Parts,
    running: Running,
    stop: CancellationToken,
) -> Result<(), AppError> {
    let stopping = stop.clone().cancelled_owned();
    let server = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_keepalive_interval(Some(Duration::from_millis(KEEPALIVE_MS)))
        .http2_keepalive_timeout(Some(Duration::from_millis(KEEPALIVE_ANSWER_MS_MAX)))
        .serve_with_incoming_shutdown(parts.router.clone(), incoming, stopping);
    let mut serving = tokio::spawn(server);
    parts.tell_health(true).await;
    let served = tokio::select! {
        served = &mut serving => Some(served),
        () = stop.cancelled() => None,
        () = parts.tell_failure(running.failed()) => None,
    };
    let begun = Instant::now();
    stop.cancel();
    parts.tell_health(false).await;
    let served = match served {
        Some(served) => served?.map_err(AppError::from),
        None => drained(serving, begun).await,
    };
    for follower in parts.followers {
        follower.await?;
    }
    close(running, begun).await?;
    served
}

/// Waits until connections have ended, but leaves time for the record. What is still open
/// then is cut off.
async fn drained(
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    begun: Instant,
) -> Result<(), AppError> {
    let limit = Duration::from_millis(DRAIN_MS_MAX - RECORD_DRAIN_MS);
    match tokio::time::timeout_at(begun + limit, serving).await {
        Ok(served) => Ok(served??),
        Err(_) => {
            tracing::warn!("connections were still open at the end, and are cut off");
            Ok(())
        }
    }
}

async fn close(running: Running, begun: Instant) -> Result<(), AppError> {
    let left = Duration::from_millis(DRAIN_MS_MAX).saturating_sub(begun.elapsed());
    let closing = tokio::task::spawn_blocking(move || running.stop(left));
    Ok(closing.await??)
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
