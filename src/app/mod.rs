//! Puts the service together from its parts, one function for each, and takes it down
//! again. Owns the clock.
//!
//! Taking down: nothing new is accepted, streams end with `UNAVAILABLE`, calls under way are
//! answered, what was taken in is committed, and a checkpoint is written; all within
//! `DRAIN_MS_MAX`.

mod answers;
mod connections;
pub mod cork;
mod dispatch;
pub mod files;
mod follow;
mod health;
mod names;
mod pace;
mod reflection;
mod requests;
mod run;
mod tokens;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_web::GrpcWebLayer;
use tower::Layer as _;

use crate::api::Clock;
use crate::api::bulk::Reports;
use crate::api::counters::Counters;
use crate::api::guard::{Door, GuardLayer};
use crate::api::live::{Live, LiveParts};
use crate::api::network::Networks;
use crate::api::operations::Operations;
use crate::api::origin::Callers;
use crate::api::pb::v1::network_service_server::NetworkServiceServer;
use crate::api::pb::v1::operations_service_server::OperationsServiceServer;
use crate::api::pb::v1::statistics_service_server::StatisticsServiceServer;
use crate::api::reporting::Reporting;
use crate::api::statistics::Statistics;
use crate::api::status::Problem;
use crate::auth::{Gate, Limiter, TokenError};
use crate::config::{InvalidAddress, check_loopback};
use crate::domain::UtcMillis;
use crate::domain::limits::{
    CONNECTIONS_MAX, EDITION_LOOK_MS, INCIDENT_MONTHS_DEFAULT, MESSAGE_BYTES_MAX, NETWORK_LOOK_MS,
    PERSONAL_DAYS_DEFAULT, RETENTION_LOOK_MS, TAP_DAYS_DEFAULT, TCP_KEEPALIVE_MS, TOKEN_LOOK_MS,
    WORDS_DAYS_DEFAULT,
};
use crate::edition::library::{EditionError, Library};
use crate::http::{self, Pages};
use crate::ingest::{self, ClockCheck, Ingest, Options, Paused, Running, StartError, StopError};
use crate::ledger::Ledger;
use crate::live::log::{JournalPast, Log};
use crate::live::{LedgerSource, PermitBounds, Permits, Publisher};
use crate::network::{Network, PersistError};
use crate::upkeep::editions::Closer;
use crate::upkeep::retention::{Retainer, RetentionPeriods};
use answers::Answers;
use connections::Incoming;
use dispatch::{Destinations, Dispatch};
use follow::Follower;
use health::Health;
use requests::Requests;

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
    /// What the clock is compared with.
    pub clock_check: ClockCheck,
    /// How often a newer network is looked for.
    pub network_look: Duration,
    /// How long tap counts are kept, in days.
    pub tap_days: u32,
    /// Entries between two checkpoints, for tests; if left out, as many as there should be.
    pub checkpoint_entries: Option<u64>,
    /// How often it is looked whether an edition is due.
    pub edition_look: Duration,
    /// How long personal data is kept.
    pub kept: RetentionPeriods,
    /// How often it is looked whether its time has come; the first time after as long.
    pub retention_look: Duration,
    /// How often it is looked whether the tokens changed.
    pub token_look: Duration,
    /// How many streams may be open of those who watch.
    pub permits: PermitBounds,
    /// How many may be open of those who follow their own reports.
    pub follow_permits: PermitBounds,
    /// How many connections may be open.
    pub connections: PermitBounds,
    /// How addresses of callers are known.
    pub callers: Callers,
}

impl Settings {
    /// With what is usual.
    pub fn new(dir: PathBuf, listen: SocketAddr, clock: Clock) -> Self {
        Self {
            dir,
            listen,
            clock,
            clock_check: ClockCheck::Always,
            network_look: Duration::from_millis(NETWORK_LOOK_MS),
            tap_days: TAP_DAYS_DEFAULT,
            checkpoint_entries: None,
            edition_look: Duration::from_millis(EDITION_LOOK_MS),
            kept: RetentionPeriods {
                words_days: WORDS_DAYS_DEFAULT,
                personal_days: PERSONAL_DAYS_DEFAULT,
                incident_months: INCIDENT_MONTHS_DEFAULT,
            },
            retention_look: Duration::from_millis(RETENTION_LOOK_MS),
            token_look: Duration::from_millis(TOKEN_LOOK_MS),
            permits: PermitBounds::default(),
            follow_permits: PermitBounds::of_followers(),
            connections: PermitBounds::of_connections(CONNECTIONS_MAX),
            callers: Callers::default(),
        }
    }
}

/// Why the service does not start, or did not stop well.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Others could reach the address.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// Who may call cannot be found out.
    #[error("the tokens cannot be used")]
    Tokens(#[from] TokenError),
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
    /// The editions cannot be read.
    #[error("the editions cannot be used")]
    Editions(#[from] EditionError),
    /// Reflection cannot be built.
    #[error("the descriptors of the API are broken")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The publisher ended before the service.
    #[error("counts could not be watched any more, by a bug; the record is complete")]
    Publisher,
    /// The task of the log of incidents ended before the service.
    #[error("incidents could not be watched any more, by a bug; the record is complete")]
    Log,
    /// Stopping was not complete.
    #[error("the record was not closed well; the next start repairs it")]
    Stop(#[from] StopError),
    /// A part panicked.
    #[error("a part of the service ended in a panic")]
    Part,
}

impl From<JoinError> for AppError {
    /// Without its message, which may hold a client's text.
    fn from(_: JoinError) -> Self {
        Self::Part
    }
}

/// A running service. Dropping it leaves it running.
pub struct Handle {
    /// Where it listens.
    pub address: SocketAddr,
    /// To report without a connection.
    pub ingest: Ingest,
    /// To read without a connection.
    pub ledger: Arc<Ledger>,
    /// To read editions without a connection.
    pub library: Arc<Library>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), AppError>>,
}

impl Handle {
    /// Stops the service and waits until it has.
    pub async fn stop(self) -> Result<(), AppError> {
        self.stop.cancel();
        self.task.await?
    }

    /// Waits until the service has stopped by itself, which it does only when it can serve no
    /// connections. A record that fails does not stop it: health checks tell that, reports
    /// are refused, questions are answered, and `stop` returns the error.
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
    let door = Door {
        gate: Gate::open(&settings.dir)?,
        limiter: Limiter::new().map_err(TokenError::Random)?,
        callers: settings.callers,
    };
    let incoming = listen(settings.listen, &door.gate)?;
    let address = incoming.local_addr().map_err(|source| AppError::Listen {
        address: settings.listen,
        source,
    })?;
    let (running, library) = open(&settings).await?;
    let stop = CancellationToken::new();
    let incoming = Incoming {
        listener: incoming,
        places: Permits::new(settings.connections),
    };
    let parts = match Parts::start(&settings, &running, &library, &door, stop.clone()) {
        Ok(parts) => parts,
        Err(error) => {
            stop.cancel();
            run::close(running, Instant::now()).await?;
            return Err(error);
        }
    };
    let handle = Handle {
        address,
        ingest: running.ingest.clone(),
        ledger: Arc::clone(&running.ledger),
        library,
        stop: stop.clone(),
        task: tokio::spawn(run::run(incoming, parts, running, stop)),
    };
    tell_who_may_call(&door.gate);
    tracing::info!(%address, "serving");
    Ok(handle)
}

/// Says so where whoever reaches the service may do everything.
fn tell_who_may_call(gate: &Gate) {
    if gate.asks() {
        tracing::info!("tokens are asked for");
    } else {
        tracing::warn!(
            "there are no tokens: every program on this machine may do everything here, and no \
             other machine is listened to; mistap token new makes the first token"
        );
    }
}

fn listen(address: SocketAddr, gate: &Gate) -> Result<TcpIncoming, AppError> {
    if !gate.asks() {
        check_loopback(address)?;
    }
    let incoming = TcpIncoming::bind(address);
    let incoming = incoming.map_err(|source| AppError::Listen { address, source })?;
    // tonic's own setting is ignored for listeners made outside of it.
    let keepalive = Duration::from_millis(TCP_KEEPALIVE_MS);
    Ok(incoming
        .with_nodelay(Some(true))
        .with_keepalive(Some(keepalive)))
}

/// Opens the data folder, which reads what the last checkpoint does not hold.
async fn open(settings: &Settings) -> Result<(Running, Arc<Library>), AppError> {
    let dir = settings.dir.clone();
    let clock = Arc::clone(&settings.clock);
    let options = Options {
        tap_days: Some(settings.tap_days),
        clock_check: settings.clock_check,
        checkpoint_entries: settings.checkpoint_entries,
        ..Options::default()
    };
    let opening = tokio::task::spawn_blocking(move || {
        let network = network_in_use(&dir)?;
        let running = ingest::start_with(&dir, network, move || clock(), options)?;
        let library = Library::open(&dir, running.reader.clone())?;
        Ok((running, Arc::new(library)))
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
    dispatch: Dispatch,
    health: Health,
    publisher: Publisher,
    log: Log,
    followers: Vec<JoinHandle<()>>,
}

impl Parts {
    fn start(
        settings: &Settings,
        running: &Running,
        library: &Arc<Library>,
        door: &Door,
        stop: CancellationToken,
    ) -> Result<Self, AppError> {
        let mut registry = Registry::with_prefix("mistap");
        let counters = Counters::register(&mut registry);
        let (health, health_server) = tonic_health::server::health_reporter();
        let health = Health::new(health);
        let publisher = publisher(running, stop.clone());
        let log = log(running, stop.clone());
        let watched = Watched {
            publisher: &publisher,
            log: &log,
        };
        let services = Services::start(settings, running, library, watched, &counters, door, &stop);
        let guard = GuardLayer::new(door.clone(), counters.panics.clone());
        let reports = guard.layer(services.reports());
        let live = guard.layer(services.live.clone());
        let grpc = services
            .routes()?
            .add_service(health_server)
            .into_axum_router()
            .layer(guard)
            // Within the one for browsers, which tells no error of a body as it is.
            .layer(middleware::from_fn_with_state(
                Requests::new(),
                requests::bound,
            ))
            .layer(GrpcWebLayer::new());
        let refresh = gauges(&mut registry, running);
        let pages = Pages {
            registry: Arc::new(registry),
            refresh,
            trouble: health.trouble(),
        };
        let router = grpc
            .merge(http::routes(
                pages,
                library,
                running.ingest.clone(),
                &door.gate,
            ))
            .fallback(nothing_here)
            .layer(middleware::from_fn_with_state(door.clone(), pace::count))
            .layer(middleware::from_fn_with_state(
                door.gate.clone(),
                names::refuse_foreign_names,
            ))
            .layer(middleware::from_fn_with_state(
                Answers::start(door.clone(), stop.clone()),
                answers::watch_over,
            ));
        Ok(Self {
            dispatch: Dispatch::new(Destinations {
                reports,
                live,
                router,
            }),
            health,
            publisher,
            log,
            followers: followers(settings, running, library, &door.gate, stop),
        })
    }
}

/// What looks now and then whether there is something to do.
fn followers(
    settings: &Settings,
    running: &Running,
    library: &Arc<Library>,
    gate: &Gate,
    stop: CancellationToken,
) -> Vec<JoinHandle<()>> {
    let follower = Follower {
        dir: settings.dir.clone(),
        ingest: running.ingest.clone(),
        every: settings.network_look,
    };
    let retainer = Retainer {
        dir: settings.dir.clone(),
        ingest: running.ingest.clone(),
        reader: running.reader.clone(),
        library: Arc::clone(library),
        kept: settings.kept,
        every: settings.retention_look,
    };
    let closer = Closer {
        library: Arc::clone(library),
        ingest: running.ingest.clone(),
        every: settings.edition_look,
    };
    vec![
        tokio::spawn(follower.run(stop.clone())),
        tokio::spawn(closer.run(stop.clone())),
        tokio::spawn(retainer.run(stop.clone())),
        tokio::spawn(tokens::follow(gate.clone(), settings.token_look, stop)),
    ]
}

/// What can be watched.
#[derive(Clone, Copy)]
struct Watched<'a> {
    publisher: &'a Publisher,
    log: &'a Log,
}

/// The services of the API.
struct Services {
    reporting: Arc<Reporting>,
    statistics: Statistics,
    live: Live,
    networks: Networks,
    operations: Operations,
}

impl Services {
    fn start(
        settings: &Settings,
        running: &Running,
        library: &Arc<Library>,
        watched: Watched<'_>,
        counters: &Counters,
        door: &Door,
        stop: &CancellationToken,
    ) -> Self {
        let ingest = || running.ingest.clone();
        let ledger = Arc::clone(&running.ledger);
        Self {
            reporting: Arc::new(Reporting::new(
                ingest(),
                counters.clone(),
                door.clone(),
                Permits::new(settings.follow_permits),
                stop.clone(),
            )),
            statistics: Statistics::new(
                ledger,
                running.reader.clone(),
                Arc::clone(library),
                running.ingest.citations(),
                counters.clone(),
                stop.clone(),
            ),
            live: Live::new(LiveParts {
                publisher: watched.publisher.clone(),
                log: watched.log.clone(),
                permits: Permits::new(settings.permits),
                cases: running.ingest.case_numbers(),
                citations: running.ingest.citations(),
                counters: counters.clone(),
            }),
            networks: Networks::new(ingest()),
            operations: Operations::new(
                ingest(),
                Arc::clone(&running.ledger),
                counters.clone(),
                door.limiter.clone(),
                stop.clone(),
            ),
        }
    }

    fn reports(&self) -> Reports {
        Reports::new(Arc::clone(&self.reporting))
    }

    fn routes(self) -> Result<Routes, AppError> {
        // Not tonic's own, which answers every unknown path as gRPC.
        let routes = Routes::from(reflection::routes()?);
        let reporting = self.reports();
        let statistics = StatisticsServiceServer::new(self.statistics);
        let networks = NetworkServiceServer::new(self.networks);
        let operations = OperationsServiceServer::new(self.operations);
        Ok(routes
            .add_service(reporting)
            .add_service(statistics.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(self.live)
            .add_service(networks.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(operations.max_decoding_message_size(MESSAGE_BYTES_MAX)))
    }
}

fn publisher(running: &Running, stop: CancellationToken) -> Publisher {
    let source = LedgerSource::new(Arc::clone(&running.ledger), running.reader.clone());
    let (ingest, seal) = (running.ingest.clone(), running.ingest.seal());
    // A clock that jumps ahead would move all windows past everything that was told.
    let now = move || ingest.time().now;
    Publisher::start(source, running.hub.clone(), now, seal, stop)
}

fn log(running: &Running, stop: CancellationToken) -> Log {
    let past = JournalPast::new(running.reader.clone(), Arc::clone(&running.ledger));
    Log::start(past, &running.hub, running.ingest.seal(), stop)
}

/// Gauges of the record. Returns what brings them up to date.
fn gauges(registry: &mut Registry, running: &Running) -> Arc<dyn Fn() + Send + Sync> {
    let position = Gauge::<i64>::default();
    let blocks = Gauge::<i64>::default();
    let journal_bytes = Gauge::<i64>::default();
    let store_failed = Gauge::<i64>::default();
    let reports_paused = Gauge::<i64>::default();
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
    registry.register(
        "reports_paused",
        "Whether reports are refused for now: 1 as the disk is nearly full, 2 as the clock may be wrong",
        reports_paused.clone(),
    );
    let ledger = Arc::clone(&running.ledger);
    let reader = running.reader.clone();
    let paused = running.paused();
    Arc::new(move || {
        let state = ledger.read();
        position.set(i64::try_from(state.position().0).unwrap_or(i64::MAX));
        blocks.set(i64::from(state.blocks()));
        drop(state);
        journal_bytes.set(i64::try_from(reader.bytes()).unwrap_or(i64::MAX));
        store_failed.set(i64::from(ledger.store_failed()));
        reports_paused.set(match *paused.borrow() {
            None => 0,
            Some(Paused::DiskLow) => 1,
            Some(Paused::ClockUnsure) => 2,
        });
    })
}

/// Answers what no route knows, in the caller's own protocol.
async fn nothing_here(request: Request) -> Response {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.filter(|kind| kind.as_bytes().starts_with(GRPC.as_bytes()));
    let Some(kind) = kind else {
        return (StatusCode::NOT_FOUND, "nothing here\n").into_response();
    };
    let status = Status::from(Problem::no_such_method());
    let mut response = status.into_http::<axum::body::Body>();
    response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    response
}
