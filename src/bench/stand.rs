//! A server with what is watched in it, and how an update is sent into it: the same for all
//! who are compared.

use std::io::Write;
use std::process::ChildStdin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;

use super::Plan;
use super::children::{self, Server};
use super::crowd::{Crowd, Subject};
use super::load::{self, Mint, Templates};
use super::peers::nats::Nats;
use super::peers::notify::Notifier;
use super::peers::postgres::Postgres;
use super::wire::Wire;
use super::{broadcast, world};
use crate::api::Clock;
use crate::api::pb::v1 as pb;
use crate::cli::{Failure, Kind};
use crate::domain::UtcMillis;
use crate::domain::limits::WATCH_PACE_MS_MIN;

const INCIDENTS: &str = "/mistap.v1.LiveService/WatchIncidents";
const RATES: &str = "/mistap.v1.LiveService/WatchRates";
/// Different reports that are sent, each many times with another id.
const TEMPLATES: usize = 1_024;
/// The same where a count for each line and stop is to be a large message.
const MANY_TEMPLATES: usize = 2_700;
/// After so long, the pace of a watch of counts holds nothing back any more.
const RATES_REST: Duration = Duration::from_millis(2 * WATCH_PACE_MS_MIN + 50);

/// A part of the window that is watched.
const RENEW_EVERY_MS: i64 = 600_000;

/// Memory stays if that many looks, so far apart, find about the same.
const LOOKS_ALIKE: u32 = 5;
const LOOK_EVERY: Duration = Duration::from_millis(200);
const ALIKE_BYTES: u64 = 64 * 1024;
/// Then it is what it is.
const LOOKS_MAX: u32 = 100;

/// A server, and how to send an update into it.
pub struct Stand {
    subject: Subject,
    publisher: Publisher,
    /// The process, as the system numbers it.
    process: u32,
    /// How long to wait before each update.
    rest: Duration,
    /// Different reports that are sent.
    templates: usize,
}

enum Publisher {
    /// Reports an incident.
    Report {
        server: Server,
        wire: Wire,
        mint: Box<Mint>,
        reports: Box<Reports>,
        _folder: tempfile::TempDir,
    },
    /// Writes a line.
    Line {
        stdin: ChildStdin,
        _server: Server,
    },
    Nats(Nats),
    Notify {
        notifier: Notifier,
        _postgres: Postgres,
    },
}

/// Reports of which each is sent many times, and when all of them were made to have happened.
struct Reports {
    incidents: Vec<pb::Incident>,
    clock: Clock,
    stamped: UtcMillis,
}

impl Reports {
    /// As if they had happened now.
    fn stamped(mut incidents: Vec<pb::Incident>, clock: &Clock) -> Self {
        let stamped = clock();
        for incident in &mut incidents {
            incident.occurred_at = Some(prost_types::Timestamp {
                seconds: stamped.0.div_euclid(1_000),
                nanos: 0,
            });
            incident.precision = pb::TimePrecision::Exact.into();
        }
        Self {
            incidents,
            clock: Arc::clone(clock),
            stamped,
        }
    }

    fn mint(&self) -> Box<Mint> {
        let templates = Arc::new(Templates::unary(&self.incidents));
        Box::new(Mint::new(&templates, &self.clock))
    }

    /// The same as if they had happened now, once they would soon lie before every window that is
    /// watched.
    fn renewed(&mut self) -> Option<Box<Mint>> {
        if (self.clock)().0 < self.stamped.0 + RENEW_EVERY_MS {
            return None;
        }
        *self = Self::stamped(std::mem::take(&mut self.incidents), &self.clock);
        Some(self.mint())
    }
}

impl Stand {
    /// `WatchIncidents` of mistap.
    pub async fn incidents(plan: &Plan) -> Result<Self, Failure> {
        let request = pb::WatchIncidentsRequest::default().encode_to_vec();
        Self::mistap(plan, INCIDENTS, request, Duration::ZERO, TEMPLATES).await
    }

    /// The same, of incidents at as many places as a count for each is to have rows.
    pub async fn incidents_of_many_places(plan: &Plan) -> Result<Self, Failure> {
        let request = pb::WatchIncidentsRequest::default().encode_to_vec();
        Self::mistap(plan, INCIDENTS, request, Duration::ZERO, MANY_TEMPLATES).await
    }

    /// `WatchRates` of mistap, as often as it may be told.
    pub async fn rates(plan: &Plan) -> Result<Self, Failure> {
        Self::mistap(plan, RATES, rates_request(&[]), RATES_REST, TEMPLATES).await
    }

    async fn mistap(
        plan: &Plan,
        path: &'static str,
        request: Vec<u8>,
        rest: Duration,
        templates: usize,
    ) -> Result<Self, Failure> {
        let network = world::network(plan.size)?;
        let incidents = world::incidents(&network, plan.templates(templates), (plan.now)())?;
        let reports = Reports::stamped(incidents, &plan.now);
        let folder = children::throw_away("mistap-bench-live-")?;
        let data = folder.path().join("data");
        world::save(&network, &data)?;
        let server = Server::serve(&data)?;
        let wire = server.wire().await?;
        Ok(Self {
            subject: server.subject(path, request),
            process: server.process.id(),
            rest,
            templates: reports.incidents.len(),
            publisher: Publisher::Report {
                server,
                wire,
                mint: reports.mint(),
                reports: Box::new(reports),
                _folder: folder,
            },
        })
    }

    /// tonic as it comes.
    pub fn tonic() -> Result<Self, Failure> {
        Self::broadcaster("tonic-broadcast")
    }

    /// The h2 crate, with one task for each connection.
    pub fn connections() -> Result<Self, Failure> {
        Self::broadcaster("h2-broadcast")
    }

    fn broadcaster(what: &str) -> Result<Self, Failure> {
        let (server, stdin) = Server::broadcast(what)?;
        let request = pb::WatchIncidentsRequest::default().encode_to_vec();
        Ok(Self {
            subject: server.subject(INCIDENTS, request),
            process: server.process.id(),
            rest: Duration::ZERO,
            templates: 0,
            publisher: Publisher::Line {
                stdin,
                _server: server,
            },
        })
    }

    /// NATS core, with messages of the same size; `None` if it is not installed.
    pub async fn nats() -> Result<Option<Self>, Failure> {
        let nats = Nats::start(broadcast::update().encoded_len()).await?;
        Ok(nats.map(|nats| Self {
            subject: nats.subject(),
            process: nats.id(),
            rest: Duration::ZERO,
            templates: 0,
            publisher: Publisher::Nats(nats),
        }))
    }

    /// PostgreSQL, which notifies of each insert; `None` if it is not installed.
    pub async fn notify() -> Result<Option<Self>, Failure> {
        let Some(postgres) = Postgres::start()? else {
            return Ok(None);
        };
        let notifier = Notifier::connect(&postgres.socket()).await?;
        Ok(Some(Self {
            subject: Subject::Notify(postgres.socket()),
            process: postgres.id(),
            rest: Duration::ZERO,
            templates: 0,
            publisher: Publisher::Notify {
                notifier,
                _postgres: postgres,
            },
        }))
    }

    /// What to watch.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// `WatchRates` of the same server; as it is where that is no mistap.
    pub fn rates_subject(&self) -> Subject {
        self.another(RATES, rates_request(&[]))
    }

    /// `WatchRates` with a row for each line and stop.
    pub fn large_rates_subject(&self) -> Subject {
        let by = [pb::Dimension::Line, pb::Dimension::Stop];
        self.another(RATES, rates_request(&by))
    }

    /// `WatchIncidents` from the beginning on, in messages as large as there are.
    pub fn past_subject(&self) -> Subject {
        let start = pb::watch_incidents_request::Start::FromTime(prost_types::Timestamp::default());
        let request = pb::WatchIncidentsRequest {
            start: Some(start),
            ..Default::default()
        };
        self.another(INCIDENTS, request.encode_to_vec())
    }

    fn another(&self, path: &'static str, request: Vec<u8>) -> Subject {
        match &self.publisher {
            Publisher::Report { server, .. } => server.subject(path, request),
            Publisher::Line { .. } | Publisher::Nats(_) | Publisher::Notify { .. } => {
                self.subject.clone()
            }
        }
    }

    /// Sends an update and waits until all have got it. Tells how long that took each, in
    /// order.
    pub async fn update(&mut self, crowd: &mut Crowd) -> Result<Vec<Duration>, Failure> {
        tokio::time::sleep(self.rest).await;
        if let Publisher::Report { mint, reports, .. } = &mut self.publisher
            && let Some(renewed) = reports.renewed()
        {
            *mint = renewed;
        }
        crowd.begin();
        let begun = Instant::now();
        self.publish().await?;
        let arrived = crowd.all().await?;
        Ok(arrived.iter().map(|at| *at - begun).collect())
    }

    /// Sends an update.
    pub async fn publish(&mut self) -> Result<(), Failure> {
        match &mut self.publisher {
            Publisher::Report { wire, mint, .. } => {
                load::once(wire, mint).await?;
            }
            Publisher::Line { stdin, .. } => writeln!(stdin)?,
            Publisher::Nats(nats) => nats.publish().await?,
            Publisher::Notify { notifier, .. } => notifier.insert().await?,
        }
        Ok(())
    }

    /// Sends each of the different reports once.
    pub async fn publish_each(&mut self) -> Result<(), Failure> {
        for _ in 0..self.templates {
            self.publish().await?;
        }
        Ok(())
    }

    /// Resident memory of the server, in bytes.
    pub fn resident_bytes(&self) -> Result<u64, Failure> {
        let told = children::resident_bytes(self.process);
        told.ok_or_else(|| Failure::new(Kind::Unexpected, "the system does not tell memory"))
    }

    /// The same once it stays: a server that has just started, or from which many watchers went,
    /// is on its way.
    pub async fn settled_bytes(&self) -> Result<u64, Failure> {
        let (mut settled, mut looks_alike) = (self.resident_bytes()?, 0);
        for _ in 0..LOOKS_MAX {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.resident_bytes()?;
            let is_alike = now.abs_diff(settled) <= ALIKE_BYTES;
            looks_alike = if is_alike { looks_alike + 1 } else { 0 };
            settled = now;
            if looks_alike == LOOKS_ALIKE {
                break;
            }
        }
        Ok(settled)
    }

    /// Takes what is resident now for the most that was.
    pub fn forget_most(&self) {
        children::forget_most(self.process);
    }

    /// The most that was resident since, in bytes.
    pub fn resident_bytes_most(&self) -> Result<u64, Failure> {
        let told = children::resident_bytes_most(self.process);
        told.ok_or_else(|| Failure::new(Kind::Unexpected, "the system does not tell memory"))
    }

    /// Processor time of the server so far, in seconds; 0 where the system does not tell.
    pub fn cpu_seconds(&self) -> f64 {
        children::cpu_seconds(&self.process.to_string()).unwrap_or(0.0)
    }
}

/// All self-reports of the last hour.
fn rates_request(by: &[pb::Dimension]) -> Vec<u8> {
    let pace_ms = i32::try_from(WATCH_PACE_MS_MIN).expect("a part of a second");
    let request = pb::WatchRatesRequest {
        pace: Some(prost_types::Duration {
            seconds: 0,
            nanos: pace_ms * 1_000_000,
        }),
        by: by.iter().map(|dimension| *dimension as i32).collect(),
        ..Default::default()
    };
    request.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[test]
    fn reports_are_made_to_have_happened_anew_before_no_window_has_them() {
        let now = Arc::new(AtomicI64::new(1_790_000_000_000));
        let told = Arc::clone(&now);
        let clock: Clock = Arc::new(move || UtcMillis(told.load(Ordering::Relaxed)));
        let mut reports = Reports::stamped(vec![pb::Incident::default()], &clock);
        assert!(reports.renewed().is_none());
        now.fetch_add(RENEW_EVERY_MS, Ordering::Relaxed);
        assert!(reports.renewed().is_some());
        let at = reports.incidents[0].occurred_at.expect("stamped");
        assert_eq!(at.seconds, 1_790_000_600);
    }
}
