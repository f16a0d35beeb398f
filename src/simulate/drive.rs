//! Sends simulated reports to a server through its API, in real time: at a steady rate, or
//! with simulated time passing so many times as fast. Bounded in count and time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Code, Status};

use super::taps::{TapCall, Taps};
use super::world::World;
use super::{SENT_AGAIN_MS, Sent, Simulation};
use crate::api::Clock;
use crate::api::pb::v1 as pb;
use crate::client::{Backoff, Connection, advice, chance};
use crate::domain::{Hour, LocalDay, UtcMillis};
use pb::network_service_client::NetworkServiceClient;
use pb::operations_service_client::OperationsServiceClient;
use pb::reporting_service_client::ReportingServiceClient;

/// Reports under way at once. More wait.
const IN_FLIGHT_MAX: usize = 64;
/// How often one report is tried before it is given up.
const TRIES_MAX: u32 = 8;
const LINES_PER_PAGE: u32 = 50;
const LINES_MAX: usize = 5_000;

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many reports a second, evenly.
    Rate(f64),
    /// Simulated time passes so many times as fast; the rhythm stays.
    SpeedUp(f64),
}

/// How long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// At most so many reports.
    pub reports_max: u64,
    /// At most so long.
    pub duration_max: Duration,
}

/// What became of the reports, counted while they are sent.
#[derive(Debug, Default)]
pub struct Progress {
    /// Sent and answered, one way or the other.
    pub answered: AtomicU64,
    /// Recorded for the first time.
    pub recorded: AtomicU64,
    /// Recorded before.
    pub repeated: AtomicU64,
    /// Refused for what they tell.
    pub refused: AtomicU64,
    /// Tried again because the server was busy or away.
    pub tried_again: AtomicU64,
    /// Given up.
    pub given_up: AtomicU64,
}

impl Progress {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The world that a server's network describes on a day; `None` if it lists no line with stops.
pub async fn world(channel: Connection, day: LocalDay) -> Result<Option<World>, Status> {
    let mut client = NetworkServiceClient::new(channel);
    let mut lines = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListLinesRequest {
            with_stops: true,
            page_size: LINES_PER_PAGE,
            page_token,
            ..Default::default()
        };
        let page = client.list_lines(request).await?.into_inner();
        lines.extend(page.lines);
        page_token = page.next_page_token;
        if page_token.is_empty() || LINES_MAX <= lines.len() {
            return Ok(World::from_wire(&lines, day));
        }
    }
}

/// Sends until a bound is reached, or the server refuses to be reached at all.
pub async fn drive(
    channel: Connection,
    simulation: &mut Simulation,
    pace: Pace,
    bounds: Bounds,
    now: Clock,
    progress: Arc<Progress>,
) {
    let begun = Instant::now();
    let end = begun + bounds.duration_max;
    let mut first_sent = None;
    let mut restamper = Restamper::default();
    let mut under_way = JoinSet::new();
    for number in 0..bounds.reports_max {
        let Some(sent) = simulation.next() else { break };
        let first_sent = *first_sent.get_or_insert(sent.at);
        let due = begun + due(pace, number, sent.at.0 - first_sent.0);
        if end <= due.max(Instant::now()) {
            break;
        }
        sleep_until(due).await;
        if IN_FLIGHT_MAX <= under_way.len() {
            under_way.join_next().await;
        }
        let client = ReportingServiceClient::new(channel.clone());
        under_way.spawn(report(
            client,
            restamper.restamp(sent, now()),
            Arc::clone(&progress),
        ));
    }
    while under_way.join_next().await.is_some() {}
}

/// Tells the taps of each hour when it is over, from one on. What a server does not take, or not
/// in time, is left out.
pub async fn tell(channel: Connection, taps: Taps, from: UtcMillis, now: Clock) {
    let mut client = OperationsServiceClient::new(channel);
    let first = from.hour().map_or(u32::MAX, |hour| hour.0);
    for hour in (first..u32::MAX).map(Hour) {
        let over = Hour(hour.0 + 1).start();
        while now() < over {
            let left = u64::try_from(over.0 - now().0).unwrap_or(0);
            sleep(Duration::from_millis(left)).await;
        }
        for told in taps.of(hour) {
            record(&mut client, told).await;
        }
    }
}

async fn record(client: &mut OperationsServiceClient<Connection>, told: TapCall) {
    let request = pb::RecordTapCountsRequest {
        feed: Some(told.feed),
        counts: told.counts,
    };
    let mut tries = Tries::default();
    while let Err(status) = client.record_tap_counts(request.clone()).await {
        if !is_busy(&status) || !tries.wait(&status).await {
            return;
        }
    }
}

/// How long after the beginning a report is sent.
fn due(pace: Pace, number: u64, simulated_ms: i64) -> Duration {
    let seconds = match pace {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Pace::Rate(per_second) => number as f64 / per_second,
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Pace::SpeedUp(factor) => simulated_ms as f64 / 1_000.0 / factor,
    };
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 4)
}

/// Moves reports to the time at which they are sent.
#[derive(Default)]
struct Restamper {
    /// By how much each report that may come again was moved, in milliseconds.
    shifts: HashMap<String, i64>,
    /// When each of those was sent in simulated time, rising.
    sent: VecDeque<(UtcMillis, String)>,
}

impl Restamper {
    /// The same report as if it were sent now. One that comes again tells what it told before:
    /// with another id, or another time, it would be another report.
    fn restamp(&mut self, sent: Sent, now: UtcMillis) -> pb::Incident {
        let is_over = |at: UtcMillis| SENT_AGAIN_MS.end < sent.at.0 - at.0;
        while let Some((_, id)) = self.sent.pop_front_if(|(at, _)| is_over(*at)) {
            self.shifts.remove(&id);
        }
        let id = sent.incident.incident_id.clone();
        let shift_ms = *self.shifts.entry(id.clone()).or_insert(now.0 - sent.at.0);
        self.sent.push_back((sent.at, id));
        shifted(sent.incident, shift_ms)
    }
}

/// A report whose times lie so much later, or earlier.
fn shifted(mut incident: pb::Incident, shift_ms: i64) -> pb::Incident {
    if let Some(at) = &mut incident.occurred_at {
        let ms = at.seconds * 1_000 + i64::from(at.nanos) / 1_000_000 + shift_ms;
        at.seconds = ms.div_euclid(1_000);
        at.nanos = i32::try_from(ms.rem_euclid(1_000) * 1_000_000).unwrap_or(0);
    }
    if let Ok(id) = uuid::Uuid::try_parse(&incident.incident_id) {
        let mut bytes = id.into_bytes();
        let made = made_later(&bytes, shift_ms).to_be_bytes();
        bytes[..6].copy_from_slice(&made[2..]);
        incident.incident_id = uuid::Uuid::from_bytes(bytes).to_string();
    }
    incident
}

/// When an id was made, moved by so much.
fn made_later(id: &[u8; 16], shift_ms: i64) -> u64 {
    let mut made = [0; 8];
    made[2..].copy_from_slice(&id[..6]);
    u64::from_be_bytes(made).saturating_add_signed(shift_ms)
}

async fn report(
    mut client: ReportingServiceClient<Connection>,
    incident: pb::Incident,
    progress: Arc<Progress>,
) {
    let mut tries = Tries::default();
    loop {
        let request = pb::ReportIncidentRequest {
            incident: Some(incident.clone()),
            ..pb::ReportIncidentRequest::default()
        };
        let status = match client.report_incident(request).await {
            Ok(response) => {
                let accepted = response.into_inner().accepted;
                let repeated = accepted.is_some_and(|told| told.repeated);
                Progress::add(if repeated {
                    &progress.repeated
                } else {
                    &progress.recorded
                });
                return Progress::add(&progress.answered);
            }
            Err(status) => status,
        };
        if !is_busy(&status) {
            Progress::add(&progress.refused);
            return Progress::add(&progress.answered);
        }
        if !tries.wait(&status).await {
            return Progress::add(&progress.given_up);
        }
        Progress::add(&progress.tried_again);
    }
}

/// Whether the same may be taken later.
fn is_busy(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted)
}

/// When to try again.
struct Tries {
    left: u32,
    backoff: Backoff,
}

impl Default for Tries {
    fn default() -> Self {
        Self {
            left: TRIES_MAX,
            backoff: Backoff::new(),
        }
    }
}

impl Tries {
    /// Waits as long as the server asks for, or longer each time; `false` if it was tried often
    /// enough.
    async fn wait(&mut self, status: &Status) -> bool {
        self.left -= 1;
        if self.left == 0 {
            return false;
        }
        sleep(self.backoff.wait(advice(status), chance())).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::super::Scenario;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn server_is_asked_again_when_it_says_and_not_for_ever() {
        let wait = Duration::from_secs(90);
        let details = ErrorDetails::with_retry_info(Some(wait));
        let status = Status::with_error_details(Code::ResourceExhausted, "busy", details);
        let mut tries = Tries::default();
        for _ in 1..TRIES_MAX {
            let begun = Instant::now();
            assert!(tries.wait(&status).await);
            assert!(wait <= begun.elapsed());
        }
        assert!(!tries.wait(&status).await);
    }

    #[test]
    fn restamped_report_keeps_how_late_it_is() {
        let scenario = Scenario {
            seed: 1,
            start: UtcMillis(1_760_000_000_000),
            reports_per_day: 5_000.0,
        };
        let now = UtcMillis(1_790_000_000_123);
        for sent in Simulation::new(scenario, World::for_tests()).take(100) {
            let ms = |at: &pb::Incident| {
                at.occurred_at
                    .as_ref()
                    .map_or(0, |at| at.seconds * 1_000 + i64::from(at.nanos) / 1_000_000)
            };
            let late = sent.at.0 - ms(&sent.incident);
            let again = Restamper::default().restamp(sent, now);
            assert_eq!(now.0 - ms(&again), late);
            assert!(
                again
                    .incident_id
                    .parse::<crate::domain::IncidentId>()
                    .is_ok()
            );
        }
    }

    #[test]
    fn report_that_is_sent_twice_is_the_same_whenever_it_is_sent() {
        let scenario = Scenario {
            seed: 1,
            start: UtcMillis(1_760_000_000_000),
            reports_per_day: 5_000.0,
        };
        let mut restamper = Restamper::default();
        let mut told = HashMap::new();
        let mut twice = 0;
        for (number, sent) in (0..).zip(Simulation::new(scenario, World::for_tests()).take(1_000)) {
            let incident = restamper.restamp(sent, UtcMillis(1_790_000_000_000 + 250 * number));
            let id = incident.incident_id.clone();
            if let Some(before) = told.insert(id, incident.clone()) {
                assert_eq!(before, incident);
                twice += 1;
            }
        }
        assert!(10 < twice, "{twice}");
        let kept = restamper.shifts.len();
        assert!(kept < 500, "{kept} are kept, of those that may come again");
    }

    #[test]
    fn reports_are_due_evenly_or_as_simulated() {
        assert_eq!(due(Pace::Rate(4.0), 10, 0), Duration::from_millis(2_500));
        assert_eq!(
            due(Pace::SpeedUp(60.0), 10, 90_000),
            Duration::from_millis(1_500)
        );
    }
}
