//! Those who report, add to it and take it back, operators who answer, and a feed of taps: all
//! that watchers hear of.

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::operations_service_client::OperationsServiceClient;
use mistap::api::pb::v1::reporting_service_client::ReportingServiceClient;
use mistap::domain::UtcMillis;
use mistap::domain::time::HOUR_MS;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::callers::Caller;
use crate::reports::Reporter;

/// A flood is so many calls of so many reports: more than is kept for all watchers.
const FLOOD_CALLS: usize = 10;
const FLOOD_REPORTS: usize = 1_000;
/// Taps are told of so many hours before now, and this many at most.
const TAP_HOURS: i64 = 24;
const TAPS_MAX: u64 = 50_000;

/// All of them in one.
pub struct Teller {
    rng: StdRng,
    caller: Caller,
    reporter: Reporter,
    /// When it began; everything is told as of then.
    pub now: UtcMillis,
    sent: Vec<pb::Incident>,
    /// Sent, and never answered.
    open: Vec<pb::Incident>,
}

// === impl Teller ===

impl Teller {
    /// One that begins now, and calls as a steward.
    pub fn new(seed: u64, now: UtcMillis, steward: &Caller) -> Self {
        Self {
            caller: steward.clone(),
            rng: StdRng::seed_from_u64(seed ^ 1),
            reporter: Reporter::new(seed, now),
            now,
            sent: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Tells some, some of them again, and takes some back or adds to them. What has no answer
    /// is told again later.
    pub async fn tell(&mut self, channel: &Channel, reports: usize) -> Result<(), Status> {
        let mut client = ReportingServiceClient::new(self.caller.over(channel.clone()));
        for _ in 0..reports {
            let incident = match self.open.pop() {
                Some(incident) => incident,
                None => self.next(),
            };
            let request = pb::ReportIncidentRequest {
                incident: Some(incident.clone()),
                ..pb::ReportIncidentRequest::default()
            };
            if let Err(status) = client.report_incident(request).await {
                self.open.push(incident);
                return Err(status);
            }
            self.sent.push(incident);
            let earlier = self.rng.random_range(0..self.sent.len());
            let earlier = &self.sent[earlier];
            match self.rng.random_range(0..10) {
                0 | 1 => {
                    let request = pb::WithdrawIncidentRequest {
                        incident_id: earlier.incident_id.clone(),
                        incident_secret: earlier.incident_secret.clone(),
                    };
                    client.withdraw_incident(request).await?;
                }
                2 => {
                    let request = pb::ReportIncidentRequest {
                        incident: Some(earlier.clone()),
                        ..pb::ReportIncidentRequest::default()
                    };
                    client.report_incident(request).await?;
                }
                3 => {
                    let costs = [pb::ExtraCost::Nothing, pb::ExtraCost::Under5];
                    let request = pb::AmendIncidentRequest {
                        incident_id: earlier.incident_id.clone(),
                        incident_secret: earlier.incident_secret.clone(),
                        extra_cost: costs[self.rng.random_range(0..costs.len())].into(),
                        ..pb::AmendIncidentRequest::default()
                    };
                    unless_withdrawn(client.amend_incident(request).await)?;
                }
                4 => self.answer(channel).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// An operator answers one of the newest.
    async fn answer(&mut self, channel: &Channel) -> Result<(), Status> {
        let mut client = OperationsServiceClient::new(self.caller.over(channel.clone()));
        let request = pb::ListIncidentsRequest {
            page_size: 10,
            ..pb::ListIncidentsRequest::default()
        };
        let listed = match client.list_incidents(request).await {
            Err(status) if status.code() == Code::Unavailable => return Ok(()),
            listed => listed?.into_inner().cases,
        };
        let Some(case) = listed.get(self.rng.random_range(0..listed.len().max(1))) else {
            return Ok(());
        };
        let request = pb::RespondToIncidentRequest {
            case_number: case.case_number.clone(),
            state: pb::CaseState::Received.into(),
            ..pb::RespondToIncidentRequest::default()
        };
        unless_withdrawn(client.respond_to_incident(request).await)
    }

    /// A feed tells so many taps of each of the last hours; what it told before is replaced.
    pub async fn tell_taps(&mut self, channel: &Channel) {
        let hour = self.now.0 / HOUR_MS;
        let counts = (1..=TAP_HOURS).map(|ago| pb::TapCount {
            line_id: "GVB:10".into(),
            start: Some(prost_types::Timestamp {
                seconds: (hour - ago) * HOUR_MS / 1_000,
                nanos: 0,
            }),
            taps: self.rng.random_range(1_000..TAPS_MAX),
            ..pb::TapCount::default()
        });
        let request = pb::RecordTapCountsRequest {
            counts: counts.collect(),
            feed: Some(pb::TapFeed {
                feed_id: "gvb.lines".into(),
                operator_code: "GVB".into(),
                grain: pb::TapGrain::Line.into(),
                interval: pb::TapInterval::Hour.into(),
                tap_kinds: vec![pb::TapKind::CheckIn.into()],
                refusals: pb::Refusals::Excluded.into(),
                day_begins: 0,
            }),
        };
        let mut client = OperationsServiceClient::new(self.caller.over(channel.clone()));
        let told = client.record_tap_counts(request).await;
        told.expect("the server runs");
    }

    /// Many at once.
    pub async fn flood(&mut self, channel: &Channel) {
        let mut client = ReportingServiceClient::new(self.caller.over(channel.clone()));
        for _ in 0..FLOOD_CALLS {
            let incidents = (0..FLOOD_REPORTS).map(|_| self.next()).collect();
            let request = pb::ReportIncidentsRequest { incidents };
            let told = client.report_incidents(request).await;
            told.expect("the server runs");
        }
    }

    /// Exact, and within the last hour, so that a window of a day has it as a question has.
    fn next(&mut self) -> pb::Incident {
        let mut incident = self.reporter.next();
        let at = self.now.0 - self.rng.random_range(0..HOUR_MS);
        incident.occurred_at = Some(prost_types::Timestamp {
            seconds: at / 1_000,
            nanos: 0,
        });
        incident.precision = pb::TimePrecision::Exact as i32;
        incident.reporter = pb::ReporterKind::Traveller as i32;
        incident
    }

    /// Tells all that has no answer yet, and then one report more; says where that lies.
    pub async fn settle(&mut self, channel: &Channel) -> u64 {
        let open = self.open.len();
        self.tell(channel, open + 1).await.expect("the server runs");
        let request = pb::ReportIncidentRequest {
            incident: Some(self.next()),
            ..pb::ReportIncidentRequest::default()
        };
        let mut client = ReportingServiceClient::new(self.caller.over(channel.clone()));
        let told = client.report_incident(request).await;
        let accepted = told.expect("the server runs").into_inner().accepted;
        accepted.expect("always there").position
    }
}

/// What may be asked of an incident that its reporter took back meanwhile.
fn unless_withdrawn<T>(answer: Result<T, Status>) -> Result<(), Status> {
    match answer {
        Err(status) if status.code() == Code::FailedPrecondition => Ok(()),
        answer => answer.map(|_| ()),
    }
}
