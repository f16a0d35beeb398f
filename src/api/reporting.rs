//! `ReportingService`: takes reports and gives them back to whoever holds their secret.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::Empty;
use prost::Message as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Request, Response, Status, Streaming};

use super::access::{check_incident, is_operator_vouched_for};
use super::bulk::{AT, ReportClock, StreamedReport};
use super::caller::{Caller, holder_of};
use super::convert::choices::to_choices;
use super::convert::incident::{Parsed, Remark, parse_incident, parse_key};
use super::convert::recorded::{Names, Recorded, to_recorded};
use super::convert::violation::{Path, Violations};
use super::convert::way_back::{
    parse_later, to_advice, to_everything, to_others, to_receipt, with_afterwards,
};
use super::counters::Counters;
use super::guard::Door;
use super::origin::{abort_of, origin};
use super::pb::v1 as pb;
use super::pb::v1::reporting_service_server::ReportingService;
use super::pb::{Wipe, Wiped};
use super::status::Problem;
use super::stream::{self, Results};
use super::unary;
use super::way_back::{Followed, Follower};
use crate::auth::{Gate, Limiter, Principal};
use crate::domain::limits::{
    INCIDENT_STREAMS_MAX, INCIDENT_STREAMS_PER_TOKEN_MAX, INCIDENTS_PER_CALL_MAX,
    STREAMS_IN_FLIGHT_MAX,
};
use crate::domain::{Facts, Incident, Position};
use crate::ingest::{Accepted, Ingest, StoredIncident, SubmitError};
use crate::live::Permits;
use crate::network::Network;

/// The service.
pub struct Reporting {
    reporter: Arc<Reporter>,
    /// Room for incidents of streams under way.
    in_flight: Arc<Semaphore>,
    /// Room for streams.
    streams: Permits,
    /// Leave for those who follow their report.
    permits: Permits,
    stop: CancellationToken,
}

impl Reporting {
    /// `door` knows the operators of tokens, tells where reports come from, and counts them;
    /// `permits` bounds who follows a report; `stop` ends open streams.
    pub fn new(
        ingest: Ingest,
        counters: Counters,
        door: Door,
        permits: Permits,
        stop: CancellationToken,
    ) -> Self {
        Self {
            reporter: Arc::new(Reporter::new(ingest, door.gate, door.limiter, counters)),
            in_flight: Arc::new(Semaphore::new(STREAMS_IN_FLIGHT_MAX)),
            streams: Permits::by_token(INCIDENT_STREAMS_MAX, INCIDENT_STREAMS_PER_TOKEN_MAX),
            permits,
            stop,
        }
    }

    /// Answers a stream of incidents.
    pub(super) fn stream(
        &self,
        request: Request<Streaming<StreamedReport>>,
    ) -> Result<Results, Status> {
        let caller = Caller::of(request.extensions());
        let room = self.streams.take(holder_of(&caller.principal));
        let room = room.map_err(Problem::no_room)?;
        let bulk = stream::Bulk {
            reporter: Arc::clone(&self.reporter),
            caller,
            in_flight: Arc::clone(&self.in_flight),
            stop: self.stop.clone(),
            room: Arc::new(room),
        };
        Ok(stream::start(bulk, request.into_inner()))
    }

    /// Tells the time that reports are checked against.
    pub(super) fn clock(&self) -> ReportClock {
        let ingest = self.reporter.ingest.clone();
        Arc::new(move || ingest.time())
    }

    /// Answers a single report.
    pub(super) fn answer(
        self: Arc<Self>,
        request: http::Request<Body>,
    ) -> impl Future<Output = http::Response<Body>> + Send + 'static {
        let caller = Caller::of(request.extensions());
        let connection = abort_of(request.extensions());
        let body = request.into_body();
        async move {
            let answered = async {
                let message = unary::message(body).await?;
                let single = self.reporter.read_single(&caller, message)?;
                self.report_single(&caller, single).await
            };
            match answered.await {
                Ok(response) => unary::answer(&response, connection),
                Err(problem) => Status::from(problem).into_http(),
            }
        }
    }

    async fn report_single(
        &self,
        caller: &Caller,
        single: Single,
    ) -> Result<pb::ReportIncidentResponse, Problem> {
        let mut results = self.reporter.report(caller, single.checked).await;
        let accepted = results.pop().expect("one result for one incident")?;
        let (want_receipt, want_advice) = (single.want_receipt, single.want_advice);
        let mut response = if want_receipt || want_advice {
            // In a box, or every report would carry the room for it.
            Box::pin(self.reporter.besides(&accepted, want_receipt, want_advice)).await
        } else {
            pb::ReportIncidentResponse::default()
        };
        response.accepted = Some(accepted);
        Ok(response)
    }
}

/// A single report that was checked, and what its reporter wants besides.
struct Single {
    checked: Checked,
    want_receipt: bool,
    want_advice: bool,
}

/// Checks incidents, hands them over and counts the results.
pub(super) struct Reporter {
    ingest: Ingest,
    gate: Gate,
    limiter: Limiter,
    pub(super) counters: Counters,
}

/// Incidents that were checked.
pub(super) struct Checked {
    /// Those that broke no rule.
    #[expect(clippy::vec_box, reason = "they are passed on many times")]
    incidents: Vec<Box<Incident>>,
    /// Of each that was sent, what there is to remark, or why it is refused.
    remarks: Vec<Result<Vec<Remark>, Problem>>,
}

impl Checked {
    /// So many, all refused.
    fn none(count: usize, problem: Problem) -> Self {
        Self {
            incidents: Vec::new(),
            remarks: vec![Err(problem); count],
        }
    }
}

impl Reporter {
    pub(super) fn new(ingest: Ingest, gate: Gate, limiter: Limiter, counters: Counters) -> Self {
        Self {
            ingest,
            gate,
            limiter,
            counters,
        }
    }

    /// Reads and checks a report that comes alone.
    fn read_single(&self, caller: &Caller, message: Bytes) -> Result<Single, Problem> {
        let mut request = pb::ReportIncidentRequest::default();
        let read = request.merge(message);
        let single = read.map(|()| Single {
            checked: self.check_single(caller, request.incident.as_mut()),
            want_receipt: request.want_receipt,
            want_advice: request.want_advice,
        });
        // Also of one that is broken, or that its caller may not report.
        request.incident.iter_mut().for_each(Wipe::wipe);
        single.map_err(|_| Problem::malformed())
    }

    /// Checks an incident that is a call of its own, which was counted when it was let in.
    fn check_single(&self, caller: &Caller, message: Option<&mut pb::Incident>) -> Checked {
        match self.admit(caller) {
            Ok(()) => {
                let parsed = parse_incident(AT, message, self.ingest.time());
                self.check_admitted(caller, std::iter::once(parsed), |_| AT)
            }
            Err(problem) => Checked::none(1, problem),
        }
    }

    /// Checks incidents, to be reported together. `path` tells where in the request each
    /// stands.
    pub(super) fn check<'m>(
        &self,
        caller: &Caller,
        messages: impl ExactSizeIterator<Item = Option<&'m mut pb::Incident>>,
        path: fn(usize) -> Path<'static>,
    ) -> Checked {
        let time = self.ingest.time();
        let parse = |(index, message)| parse_incident(path(index), message, time);
        self.check_parsed(caller, messages.enumerate().map(parse), path)
    }

    /// As `check`, of incidents that were read before.
    pub(super) fn check_parsed(
        &self,
        caller: &Caller,
        parsed: impl ExactSizeIterator<Item = Result<Parsed, Violations>>,
        path: fn(usize) -> Path<'static>,
    ) -> Checked {
        let count = parsed.len();
        match self.admit_many(caller, count) {
            Ok(()) => self.check_admitted(caller, parsed, path),
            Err(problem) => Checked::none(count, problem),
        }
    }

    fn check_admitted(
        &self,
        caller: &Caller,
        parsed: impl ExactSizeIterator<Item = Result<Parsed, Violations>>,
        path: fn(usize) -> Path<'static>,
    ) -> Checked {
        let Caller { principal, address } = caller;
        let origin = origin(*address, self.ingest.time().now);
        let mut incidents = Vec::with_capacity(parsed.len());
        let check = |(index, parsed): (usize, Result<Parsed, Violations>)| {
            let Parsed {
                mut incident,
                remarks,
            } = parsed?;
            check_incident(principal, path(index), &incident)?;
            incident.is_operator_vouched_for =
                is_operator_vouched_for(&self.gate, principal, &incident);
            incident.origin = origin;
            incidents.push(incident);
            Ok(remarks)
        };
        let remarks = parsed.enumerate().map(check).collect();
        Checked { incidents, remarks }
    }

    /// Reports what was checked. One result each, in their order, when all of them are durable.
    pub(super) async fn report(
        &self,
        caller: &Caller,
        checked: Checked,
    ) -> Vec<Result<pb::Accepted, Problem>> {
        let recorded = self.record(caller, checked).await;
        let told = recorded.map(|result| result.map(Recorded::into_accepted));
        told.collect()
    }

    /// As `report`, of what has no message yet.
    pub(super) async fn record(
        &self,
        caller: &Caller,
        checked: Checked,
    ) -> impl ExactSizeIterator<Item = Result<Recorded, Problem>> {
        let Checked { incidents, remarks } = checked;
        let submitted = self.submit(&caller.principal, incidents).await;
        let mut submitted = submitted.into_iter();
        remarks.into_iter().map(move |remarks| {
            let result = remarks.and_then(|remarks| {
                let accepted = submitted.next().expect("one result for each incident")?;
                Ok(Recorded { accepted, remarks })
            });
            self.count(&result);
            result
        })
    }

    /// Whether a caller may report so many, besides the call or the stream that they come by.
    fn admit_many(&self, caller: &Caller, count: usize) -> Result<(), Problem> {
        if caller.principal.is_live() {
            self.limiter
                .calls(&caller.principal, caller.address, count)?;
        }
        self.admit(caller)
    }

    /// Whether a caller may report: a stream may be open for longer than its token lives.
    fn admit(&self, caller: &Caller) -> Result<(), Problem> {
        if !caller.principal.is_live() {
            return Err(Problem::let_in_no_more(&caller.principal));
        }
        // Else times would be called wrong that may be right.
        if self.ingest.is_clock_unsure() {
            return Err(SubmitError::ClockUnsure.into());
        }
        Ok(())
    }

    #[expect(clippy::vec_box, reason = "they are passed on many times")]
    async fn submit(
        &self,
        principal: &Principal,
        incidents: Vec<Box<Incident>>,
    ) -> Vec<Result<Accepted, SubmitError>> {
        if incidents.is_empty() {
            return Vec::new();
        }
        let count = incidents.len();
        let begun = Instant::now();
        let limiter = match principal {
            Principal::Steward(_) => None,
            _ => Some(&self.limiter),
        };
        let results = self.ingest.submit_within(incidents, limiter).await;
        self.counters.submitted(count, begun.elapsed());
        results
    }

    /// What a reporter is told at once besides. What cannot be had now is left out: the report
    /// is recorded all the same.
    async fn besides(
        &self,
        accepted: &pb::Accepted,
        want_receipt: bool,
        want_advice: bool,
    ) -> pb::ReportIncidentResponse {
        let incident = Position(accepted.position);
        let mut told = pb::ReportIncidentResponse::default();
        let Ok(kept) = self.ingest.get_at(incident).await else {
            return told;
        };
        if want_receipt {
            told.receipt = self.ingest.receipt_of(&kept).jws;
        }
        if want_advice {
            // Once: else whoever asks again and again sees when one more reports.
            if !accepted.repeated {
                told.others = to_others(self.ingest.others(incident).await.ok().flatten());
            }
            told.advice = to_advice(&kept.facts, self.ingest.time().now);
        }
        told
    }

    /// An incident as its reporter is told.
    fn tell(&self, kept: &StoredIncident) -> pb::RecordedIncident {
        tell(&self.ingest, kept)
    }

    fn count(&self, result: &Result<Recorded, Problem>) {
        match result {
            Ok(recorded) => self.counters.accepted(recorded.accepted.repeated),
            Err(problem) => self.counters.refused(problem),
        }
    }
}

/// One result of several.
pub(super) fn to_result(result: Result<pb::Accepted, Problem>) -> pb::Result {
    let outcome = match result {
        Ok(accepted) => pb::result::Outcome::Accepted(accepted),
        Err(problem) => pb::result::Outcome::Refusal(problem.into_refusal()),
    };
    pb::Result {
        outcome: Some(outcome),
    }
}

#[tonic::async_trait]
impl ReportingService for Reporting {
    type StreamIncidentsStream = Empty<Result<pb::StreamIncidentsResponse, Status>>;
    type FollowIncidentStream = Followed;

    /// Never called: `bulk::Reports` answers it, or lets tonic refuse it.
    async fn report_incident(
        &self,
        _request: Request<pb::ReportIncidentRequest>,
    ) -> Result<Response<pb::ReportIncidentResponse>, Status> {
        Err(Problem::internal().into())
    }

    async fn report_incidents(
        &self,
        request: Request<pb::ReportIncidentsRequest>,
    ) -> Result<Response<pb::ReportIncidentsResponse>, Status> {
        let caller = Caller::of(request.extensions());
        // Cleared also if there are too many of them.
        let mut incidents = Wiped::from(request.into_inner().incidents);
        check_size(incidents.len())?;
        let path = |index| Path::root("incidents").at(index);
        let messages = incidents.iter_mut().map(Some);
        let checked = self.reporter.check(&caller, messages, path);
        drop(incidents);
        let results = self.reporter.report(&caller, checked).await;
        Ok(Response::new(pb::ReportIncidentsResponse {
            results: results.into_iter().map(to_result).collect(),
        }))
    }

    /// Never called: `bulk::Reports` answers it.
    async fn stream_incidents(
        &self,
        _request: Request<Streaming<pb::StreamIncidentsRequest>>,
    ) -> Result<Response<Self::StreamIncidentsStream>, Status> {
        Err(Problem::internal().into())
    }

    async fn get_incident(
        &self,
        request: Request<pb::GetIncidentRequest>,
    ) -> Result<Response<pb::GetIncidentResponse>, Status> {
        let request = request.get_ref();
        let key = parse_key(&request.incident_id, &request.incident_secret);
        let (id, secret) = key.map_err(Problem::from)?;
        let ingest = &self.reporter.ingest;
        let kept = ingest.get(id, &secret).await.map_err(Problem::from)?;
        let mut everything_json = String::new();
        if request.everything {
            let records = ingest.everything(id, &secret).await;
            everything_json = to_everything(&records.map_err(Problem::from)?);
        }
        Ok(Response::new(pb::GetIncidentResponse {
            recorded: Some(self.reporter.tell(&kept)),
            everything_json,
        }))
    }

    async fn amend_incident(
        &self,
        request: Request<pb::AmendIncidentRequest>,
    ) -> Result<Response<pb::AmendIncidentResponse>, Status> {
        let (id, secret, later) = parse_later(request.get_ref()).map_err(Problem::from)?;
        let amended = self.reporter.ingest.amend(id, &secret, later).await;
        let kept = amended.map_err(Problem::from)?;
        Ok(Response::new(pb::AmendIncidentResponse {
            recorded: Some(self.reporter.tell(&kept)),
        }))
    }

    async fn withdraw_incident(
        &self,
        request: Request<pb::WithdrawIncidentRequest>,
    ) -> Result<Response<pb::WithdrawIncidentResponse>, Status> {
        let request = request.get_ref();
        let key = parse_key(&request.incident_id, &request.incident_secret);
        let (id, secret) = key.map_err(Problem::from)?;
        let ingest = &self.reporter.ingest;
        let withdrawn = ingest.withdraw(id, &secret).await;
        withdrawn.map_err(Problem::from)?;
        let kept = ingest.get(id, &secret).await.map_err(Problem::from)?;
        Ok(Response::new(pb::WithdrawIncidentResponse {
            recorded: Some(self.reporter.tell(&kept)),
        }))
    }

    async fn erase_incident(
        &self,
        request: Request<pb::EraseIncidentRequest>,
    ) -> Result<Response<pb::EraseIncidentResponse>, Status> {
        let request = request.get_ref();
        let key = parse_key(&request.incident_id, &request.incident_secret);
        let (id, secret) = key.map_err(Problem::from)?;
        let erased = self.reporter.ingest.erase(id, &secret).await;
        let kept = erased.map_err(Problem::from)?;
        let ingest = &self.reporter.ingest;
        let receipt = kept.erased.map(|_| ingest.receipt_of(&kept).jws);
        Ok(Response::new(pb::EraseIncidentResponse {
            recorded: Some(self.reporter.tell(&kept)),
            receipt: receipt.unwrap_or_default(),
        }))
    }

    async fn get_receipt(
        &self,
        request: Request<pb::GetReceiptRequest>,
    ) -> Result<Response<pb::GetReceiptResponse>, Status> {
        let request = request.get_ref();
        let key = parse_key(&request.incident_id, &request.incident_secret);
        let (id, secret) = key.map_err(Problem::from)?;
        let (_, receipt) = self
            .reporter
            .ingest
            .receipt(id, &secret)
            .await
            .map_err(Problem::from)?;
        Ok(Response::new(to_receipt(receipt, request.qr_code)))
    }

    async fn follow_incident(
        &self,
        request: Request<pb::FollowIncidentRequest>,
    ) -> Result<Response<Followed>, Status> {
        let caller = Caller::of(request.extensions());
        let request = request.get_ref();
        let key = parse_key(&request.incident_id, &request.incident_secret);
        let (id, secret) = key.map_err(Problem::from)?;
        let permit = self.permits.take(caller.holder());
        let follower = Follower {
            ingest: self.reporter.ingest.clone(),
            id,
            secret,
            caller: caller.principal,
            stop: self.stop.clone(),
            _permit: permit.map_err(Problem::from)?,
            tell,
        };
        Ok(Response::new(follower.start().await?))
    }

    async fn list_choices(
        &self,
        _request: Request<pb::ListChoicesRequest>,
    ) -> Result<Response<pb::ListChoicesResponse>, Status> {
        Ok(Response::new(to_choices()))
    }
}

fn tell(ingest: &Ingest, kept: &StoredIncident) -> pb::RecordedIncident {
    let recorded = to_recorded(kept, names(&kept.facts, &ingest.network()));
    with_afterwards(recorded, kept, ingest.time().now)
}

/// Names of what an incident was matched to, in the network in use now.
fn names(facts: &Facts, network: &Network) -> Names {
    let line = facts.line.as_ref().and_then(|id| network.line(id.as_str()));
    let stop = facts.stop.as_ref().and_then(|id| network.stop(id.as_str()));
    Names {
        line: line.map(|line| (&*line.name).into()).unwrap_or_default(),
        stop: stop.map(|stop| stop.full_name().into()).unwrap_or_default(),
    }
}

fn check_size(incidents: usize) -> Result<(), Problem> {
    if (1..=INCIDENTS_PER_CALL_MAX).contains(&incidents) {
        return Ok(());
    }
    let rule = format_args!("must have 1 to {INCIDENTS_PER_CALL_MAX} values");
    Err(Violations::one(Path::root("incidents"), rule).into())
}
