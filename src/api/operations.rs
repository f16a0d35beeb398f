//! `OperationsService`: takes the tap counts of operators.
//!
//! A stream is read no further while a message of it is under way or its results are not taken:
//! of two counts for one slot the later must stand. A client that takes none holds up nobody
//! else. When the service stops, what was read is answered first; the stream then ends with
//! `UNAVAILABLE`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::access::check_told_feed;
use super::caller::{caller, holder_of};
use super::cases::Desk;
use super::convert::taps::{Taken, parse_count, parse_feed};
use super::convert::violation::{Path, Violations};
use super::counters::Counters;
use super::guard::corrected;
use super::pb::v1 as pb;
use super::pb::v1::operations_service_server::OperationsService;
use super::room::Room;
use super::status::Problem;
use crate::auth::{Limiter, Principal};
use crate::domain::ServerTime;
use crate::domain::limits::{
    CASE_LISTS_MAX, TAP_COUNTS_PER_CALL_MAX, TAP_STREAMS_MAX, TAP_STREAMS_PER_TOKEN_MAX,
};
use crate::ingest::{Ingest, TapsError};
use crate::ledger::Ledger;
use crate::live::{Permit, Permits};

/// How often a message of a stream is tried while the queue is full of reports, and how long
/// is waited in between.
const BUSY_TRIES_MAX: usize = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Results of a stream, one message after the other.
pub type Results = Pin<Box<dyn Stream<Item = Result<pb::StreamTapCountsResponse, Status>> + Send>>;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    recorder: Recorder,
    desk: Desk,
    /// Room for streams.
    streams: Permits,
    stop: CancellationToken,
}

impl Operations {
    /// `stop` ends open streams.
    pub fn new(
        ingest: Ingest,
        ledger: Arc<Ledger>,
        counters: Counters,
        limiter: Limiter,
        stop: CancellationToken,
    ) -> Self {
        Self {
            desk: Desk {
                ingest: ingest.clone(),
                ledger,
                room: Room::of(CASE_LISTS_MAX),
            },
            recorder: Recorder {
                ingest,
                counters,
                limiter,
            },
            streams: Permits::by_token(TAP_STREAMS_MAX, TAP_STREAMS_PER_TOKEN_MAX),
            stop,
        }
    }
}

/// Checks tap counts and hands them over.
#[derive(Clone)]
struct Recorder {
    ingest: Ingest,
    counters: Counters,
    limiter: Limiter,
}

type Outcome = Result<Vec<pb::TapCountResult>, Problem>;

impl Recorder {
    /// One result for each count, or why none was taken.
    async fn record(
        &self,
        caller: &Principal,
        feed: Option<&pb::TapFeed>,
        counts: &[pb::TapCount],
    ) -> Outcome {
        let at = Path::root("feed");
        let feed = parse_feed(at, feed);
        check_size(counts.len())?;
        let feed = feed?;
        check_told_feed(caller, at.field("operator_code"), &feed)?;
        let taken = self.taken();
        let mut sound = Vec::with_capacity(counts.len());
        let mut refusals = Vec::with_capacity(counts.len());
        for (index, count) in counts.iter().enumerate() {
            match parse_count(Path::root("counts").at(index), count, &feed, taken) {
                Ok(count) => {
                    sound.push(count);
                    refusals.push(None);
                }
                Err(violations) => refusals.push(Some(Problem::from(violations))),
            }
        }
        let accepted = self.ingest.record_taps(&feed, sound).await;
        let accepted = accepted.map_err(|error| match error {
            TapsError::FeedDiffers { recorded }
                if !caller.scope().holds(Some(&recorded.operator)) =>
            {
                Problem::feed_taken()
            }
            error => Problem::of_taps(error, &feed),
        })?;
        self.counters.taps_recorded(accepted.positions.len());
        let mut positions = accepted.positions.into_iter();
        let to_outcome = |refusal: Option<Problem>| match refusal {
            None => {
                let position = positions.next().expect("one for each sound count");
                let position = if caller.sees_places() { position.0 } else { 0 };
                pb::tap_count_result::Outcome::Recorded(pb::TapCountRecorded { position })
            }
            Some(problem) => pb::tap_count_result::Outcome::Refusal(problem.into_refusal()),
        };
        let results = refusals.into_iter().map(to_outcome);
        Ok(results
            .map(|outcome| pb::TapCountResult {
                outcome: Some(outcome),
            })
            .collect())
    }

    /// Of what times counts are taken. Where it is not known which of two clocks is right, what
    /// either allows is taken.
    fn taken(&self) -> Taken {
        let ServerTime { now, disputed } = self.ingest.time();
        let other = disputed.unwrap_or(now);
        Taken {
            from: self.ingest.taps_kept_from(now.min(other)),
            now: now.max(other),
        }
    }

    /// Answers one message of a stream, which is a call as any other. Panics end the stream, not
    /// the service.
    async fn answer(
        self,
        caller: Principal,
        feed: Option<pb::TapFeed>,
        request: pb::StreamTapCountsRequest,
    ) -> Result<pb::StreamTapCountsResponse, Status> {
        if !caller.is_live() {
            return Err(Problem::let_in_no_more(&caller).into());
        }
        let admitted = self.limiter.calls(&caller, None, 1);
        admitted.map_err(Problem::from)?;
        let panics = self.counters.panics.clone();
        let sequence = request.sequence;
        let record = tokio::spawn(async move {
            for _ in 1..BUSY_TRIES_MAX {
                match self.record(&caller, feed.as_ref(), &request.counts).await {
                    Err(problem) if problem.is_soon_over() => sleep(BUSY_PAUSE).await,
                    outcome => return outcome,
                }
            }
            self.record(&caller, feed.as_ref(), &request.counts).await
        });
        let results = match record.await {
            Ok(outcome) => outcome?,
            Err(_) => {
                panics.inc();
                tracing::error!("message of tap counts panicked");
                return Err(Problem::internal().into());
            }
        };
        Ok(pb::StreamTapCountsResponse { sequence, results })
    }
}

fn check_size(counts: usize) -> Result<(), Problem> {
    if (1..=TAP_COUNTS_PER_CALL_MAX).contains(&counts) {
        return Ok(());
    }
    let rule = format_args!("must have 1 to {TAP_COUNTS_PER_CALL_MAX} values");
    Err(Violations::one(Path::root("counts"), rule).into())
}

#[tonic::async_trait]
impl OperationsService for Operations {
    type StreamTapCountsStream = Results;

    async fn record_tap_counts(
        &self,
        request: Request<pb::RecordTapCountsRequest>,
    ) -> Result<Response<pb::RecordTapCountsResponse>, Status> {
        let caller = caller(&request);
        let request = request.get_ref();
        let recorded = self
            .recorder
            .record(&caller, request.feed.as_ref(), &request.counts);
        let results = recorded.await?;
        Ok(Response::new(pb::RecordTapCountsResponse { results }))
    }

    async fn list_incidents(
        &self,
        request: Request<pb::ListIncidentsRequest>,
    ) -> Result<Response<pb::ListIncidentsResponse>, Status> {
        let caller = caller(&request);
        let listed = self.desk.list(&caller, request.get_ref()).await?;
        Ok(Response::new(listed))
    }

    async fn respond_to_incident(
        &self,
        request: Request<pb::RespondToIncidentRequest>,
    ) -> Result<Response<pb::RespondToIncidentResponse>, Status> {
        let caller = caller(&request);
        let responded = self.desk.respond(&caller, request.get_ref()).await?;
        Ok(Response::new(responded))
    }

    async fn get_reply_times(
        &self,
        request: Request<pb::GetReplyTimesRequest>,
    ) -> Result<Response<pb::GetReplyTimesResponse>, Status> {
        let caller = caller(&request);
        let times = self.desk.times(&caller, request.get_ref()).await?;
        Ok(Response::new(times))
    }

    async fn declare_outage(
        &self,
        request: Request<pb::DeclareOutageRequest>,
    ) -> Result<Response<pb::DeclareOutageResponse>, Status> {
        let outage = request.get_ref().outage.as_ref();
        let position = self.desk.change_outage(outage, false).await?;
        Ok(Response::new(pb::DeclareOutageResponse { position }))
    }

    async fn withdraw_outage(
        &self,
        request: Request<pb::WithdrawOutageRequest>,
    ) -> Result<Response<pb::WithdrawOutageResponse>, Status> {
        let outage = request.get_ref().outage.as_ref();
        let position = self.desk.change_outage(outage, true).await?;
        Ok(Response::new(pb::WithdrawOutageResponse { position }))
    }

    async fn list_outages(
        &self,
        request: Request<pb::ListOutagesRequest>,
    ) -> Result<Response<pb::ListOutagesResponse>, Status> {
        let caller = caller(&request);
        let listed = self.desk.outages(&caller, request.get_ref())?;
        Ok(Response::new(listed))
    }

    async fn stream_tap_counts(
        &self,
        request: Request<Streaming<pb::StreamTapCountsRequest>>,
    ) -> Result<Response<Results>, Status> {
        let caller = caller(&request);
        let room = self.streams.take(holder_of(&caller));
        let room = room.map_err(Problem::no_room)?;
        let results = answers(
            self.recorder.clone(),
            caller,
            request.into_inner(),
            self.stop.clone(),
            room,
        );
        Ok(Response::new(Box::pin(results)))
    }
}

/// The results of a stream. `room` is held until it ends.
fn answers<R>(
    recorder: Recorder,
    caller: Principal,
    requests: R,
    stop: CancellationToken,
    room: Permit,
) -> impl Stream<Item = Result<pb::StreamTapCountsResponse, Status>> + Send
where
    R: Stream<Item = Result<pb::StreamTapCountsRequest, Status>> + Send,
{
    let requests = requests.take_until(stop.clone().cancelled_owned());
    let declared = requests.scan(None::<pb::TapFeed>, |feed, request| {
        let request = request.map_err(corrected).map(|mut request| {
            let declared = request.feed.take();
            *feed = declared.or(feed.take());
            (feed.clone(), request)
        });
        std::future::ready(Some(request))
    });
    // One after the other, because of two counts for the same slot the later one stands.
    let answered = declared.then(move |request| {
        let recorder = recorder.clone();
        let caller = caller.clone();
        async move {
            let (feed, request) = request?;
            recorder.answer(caller, feed, request).await
        }
    });
    let last = stream::once(async move {
        let _room = room;
        stop.is_cancelled()
    });
    let last = last.filter_map(|is_stopping| {
        let end = is_stopping.then(|| Err(Problem::stopping().into()));
        std::future::ready(end)
    });
    answered.chain(last)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::domain::UtcMillis;
    use crate::domain::time::DAY_MS;
    use crate::network::Network;

    const NOW: UtcMillis = UtcMillis(1_795_442_400_000);

    fn recorder(ingest: Ingest) -> Recorder {
        Recorder {
            ingest,
            counters: Counters::default(),
            limiter: Limiter::new().expect("random bytes"),
        }
    }

    #[tokio::test]
    async fn clock_that_jumped_refuses_no_count_that_was_taken_before() {
        const JUMP_MS: i64 = 40 * DAY_MS;
        let folder = tempfile::tempdir().expect("a folder");
        let ahead_ms = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&ahead_ms);
        let clock = move || UtcMillis(NOW.0 + clock.load(Ordering::Relaxed));
        let network = Arc::new(Network::built_in());
        let running = crate::ingest::start(folder.path(), network, clock).expect("started");
        let recorder = recorder(running.ingest.clone());
        let before = recorder.taken();
        ahead_ms.store(JUMP_MS, Ordering::Relaxed);
        let taken = recorder.taken();
        assert_eq!(taken.from, before.from);
        assert_eq!(taken.now, UtcMillis(NOW.0 + JUMP_MS));
    }

    #[tokio::test]
    async fn each_message_of_a_stream_is_counted_as_a_call() {
        let folder = tempfile::tempdir().expect("a folder");
        let network = Arc::new(Network::built_in());
        let running = crate::ingest::start(folder.path(), network, || NOW).expect("started");
        let recorder = recorder(running.ingest.clone());
        let told = || {
            let request = pb::StreamTapCountsRequest::default();
            recorder.clone().answer(Principal::Public, None, request)
        };
        let first = told().await.expect_err("nothing is in it");
        assert_eq!(first.code(), tonic::Code::InvalidArgument);
        while recorder.limiter.calls(&Principal::Public, None, 1).is_ok() {}
        // One comes back every twentieth of a second.
        let mut refused = 0;
        for _ in 0..100 {
            let code = told().await.expect_err("one or the other").code();
            refused += usize::from(code == tonic::Code::ResourceExhausted);
        }
        assert!(0 < refused);
    }
}
