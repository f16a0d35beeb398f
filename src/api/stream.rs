//! Streams of incidents: what has arrived is reported together, several batches at once,
//! and results go out in the order of the requests.
//!
//! A stream is read no further while `STREAM_IN_FLIGHT_MAX` of its incidents are under way
//! or answered and not taken, or `STREAMS_IN_FLIGHT_MAX` of all streams are under way. Every
//! batch is a task of its own that ends whatever the client does, so that a client that
//! takes no results holds up nobody else; after `STREAM_UNTAKEN_MS_MAX` its stream is ended. What is
//! still waiting then has its place until the connection lets go of it.
//! When the service stops, what was read is answered first, and the stream then ends with
//! `UNAVAILABLE`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{Stream, StreamExt};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument;

use super::bulk::{AT, Answers, StreamedReport};
use super::caller::Caller;
use super::counters::Open;
use super::guard::corrected;
use super::reporting::Reporter;
use super::status::Problem;
use crate::domain::limits::{
    STREAM_BATCH_MAX, STREAM_IN_FLIGHT_MAX, STREAM_UNTAKEN_MS_MAX, STREAM_UNTAKEN_STOPPING_MS_MAX,
};
use crate::live::Permit;

/// Batches of results that wait for the client to take them.
const RESULT_BATCHES_MAX: usize = 4;

type Batch = Vec<StreamedReport>;
/// How a stream ends.
type End = Result<(), Status>;

/// What a stream needs.
pub(super) struct Bulk {
    pub reporter: Arc<Reporter>,
    /// Who reports.
    pub caller: Caller,
    /// Shared by all streams, one permit for each incident under way.
    pub in_flight: Arc<Semaphore>,
    pub stop: CancellationToken,
    /// Held as long as the stream is open, or something of it waits.
    pub room: Arc<Permit>,
}

/// Results of a stream, one by one.
pub struct Results {
    ready: Answers,
    batches: mpsc::Receiver<Answers>,
    /// Says how the stream ends; closed without a word, its task panicked. `None` once told.
    end: Option<oneshot::Receiver<End>>,
    taken: Arc<AtomicU64>,
    _room: Arc<Permit>,
    panics: Counter,
}

impl Stream for Results {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(result) = self.ready.pop() {
                self.taken.fetch_add(1, Ordering::Relaxed);
                return Poll::Ready(Some(Ok(result)));
            }
            match ready!(self.batches.poll_recv(context)) {
                Some(batch) => self.ready = batch,
                None => break,
            }
        }
        let Some(end) = &mut self.end else {
            return Poll::Ready(None);
        };
        let end = ready!(end.poll_unpin(context));
        self.end = None;
        Poll::Ready(match end {
            Ok(Ok(())) => None,
            Ok(Err(status)) => Some(Err(status)),
            Err(_) => {
                self.panics.inc();
                tracing::error!("stream of incidents panicked");
                Some(Err(Problem::internal().into()))
            }
        })
    }
}

/// Starts the task that reads the stream. It ends with the stream, when the client is gone
/// or takes no results, or when the service stops.
pub(super) fn start<R>(bulk: Bulk, requests: R) -> Results
where
    R: Stream<Item = Result<StreamedReport, Status>> + Send + Unpin + 'static,
{
    let (results, batches) = mpsc::channel(RESULT_BATCHES_MAX);
    let (ends, end) = oneshot::channel();
    let taken = Arc::<AtomicU64>::default();
    let panics = bulk.reporter.counters.panics.clone();
    let way = UnderWay::new(Arc::clone(&taken));
    let room = Arc::clone(&bulk.room);
    let task = async move {
        let end = way.run(&bulk, requests, results).await;
        // A client that is gone needs no answer.
        let _ = ends.send(end);
    };
    tokio::spawn(task.in_current_span());
    Results {
        ready: Answers::default(),
        batches,
        end: Some(end),
        taken,
        _room: room,
        panics,
    }
}

/// What a stream has on its way.
struct UnderWay {
    /// In the order of the requests.
    reports: VecDeque<JoinHandle<Answers>>,
    /// Incidents that are reported, or whose results wait for the client.
    incidents: usize,
    /// Read, but without permits yet.
    waiting: Batch,
    /// The oldest results, while there is no place for them.
    answered: Option<Answers>,
    /// Counts results that went to the client.
    taken: Arc<AtomicU64>,
    /// As of the last look.
    taken_before: u64,
    /// Since when the oldest results wait.
    untaken_since: Instant,
    is_stopping: bool,
    /// How reading ended: `None` while it goes on.
    end: Option<End>,
}

impl UnderWay {
    fn new(taken: Arc<AtomicU64>) -> Self {
        Self {
            reports: VecDeque::new(),
            incidents: 0,
            waiting: Batch::new(),
            answered: None,
            taken,
            taken_before: 0,
            untaken_since: Instant::now(),
            is_stopping: false,
            end: None,
        }
    }

    async fn run<R>(mut self, bulk: &Bulk, mut requests: R, results: mpsc::Sender<Answers>) -> End
    where
        R: Stream<Item = Result<StreamedReport, Status>> + Unpin,
    {
        let _open = Open::new(&bulk.reporter.counters.streams);
        let _room = &bulk.room;
        while !self.is_over() {
            let may_read = self.may_read();
            let is_answered = self.answered.is_some();
            let untaken_due = self.untaken_due();
            tokio::select! {
                biased;
                place = results.reserve(), if is_answered => match place {
                    Ok(place) => self.hand_out(place),
                    // The client is gone; what is under way ends without it.
                    Err(_) => return Ok(()),
                },
                answered = next(&mut self.reports), if !is_answered => {
                    self.answered = Some(answered.map_err(|error| panicked(bulk, &error))?);
                    self.untaken_since = Instant::now();
                }
                permits = acquire(&bulk.in_flight, self.waiting.len()),
                    if !self.waiting.is_empty() => self.report(bulk, permits),
                () = bulk.stop.cancelled(), if !self.is_stopping => self.begin_to_stop(),
                () = sleep_until(untaken_due), if is_answered => self.check_taken()?,
                first = requests.next(), if may_read => {
                    self.end = read(first, &mut requests, &mut self.waiting);
                }
            }
        }
        self.end.unwrap_or(Ok(()))
    }

    fn is_over(&self) -> bool {
        let is_empty = self.waiting.is_empty() && self.reports.is_empty();
        self.end.is_some() && is_empty && self.answered.is_none()
    }

    fn may_read(&self) -> bool {
        let has_room = self.incidents + STREAM_BATCH_MAX <= STREAM_IN_FLIGHT_MAX;
        self.end.is_none() && self.waiting.is_empty() && has_room
    }

    fn report(&mut self, bulk: &Bulk, permits: OwnedSemaphorePermit) {
        let batch = std::mem::take(&mut self.waiting);
        self.incidents += batch.len();
        let report = report(
            Arc::clone(&bulk.reporter),
            bulk.caller.clone(),
            batch,
            permits,
        );
        self.reports
            .push_back(tokio::spawn(report.in_current_span()));
    }

    fn hand_out(&mut self, place: mpsc::Permit<'_, Answers>) {
        if let Some(answered) = self.answered.take() {
            self.incidents -= answered.len();
            place.send(answered);
        }
    }

    fn begin_to_stop(&mut self) {
        self.is_stopping = true;
        self.untaken_since = Instant::now();
        if self.end.is_none() {
            self.end = Some(Err(Problem::stopping().into()));
        }
    }

    /// When to look whether the client took anything, if results wait.
    fn untaken_due(&self) -> Instant {
        let patience_ms = if self.is_stopping {
            STREAM_UNTAKEN_STOPPING_MS_MAX
        } else {
            STREAM_UNTAKEN_MS_MAX
        };
        self.untaken_since + Duration::from_millis(patience_ms)
    }

    /// An error if the client took nothing since the last look. When the service stops,
    /// there is only one.
    fn check_taken(&mut self) -> End {
        if self.is_stopping {
            return Err(Problem::stopping().into());
        }
        let taken = self.taken.load(Ordering::Relaxed);
        if taken == self.taken_before {
            tracing::warn!("stream of incidents ended: its client takes no results");
            return Err(Problem::untaken().into());
        }
        self.taken_before = taken;
        self.untaken_since = Instant::now();
        Ok(())
    }
}

/// The results of the oldest report; waits for ever if there is none. Safe to drop.
async fn next(reports: &mut VecDeque<JoinHandle<Answers>>) -> Result<Answers, JoinError> {
    let Some(oldest) = reports.front_mut() else {
        return std::future::pending().await;
    };
    let answered = oldest.await;
    reports.pop_front();
    answered
}

fn panicked(bulk: &Bulk, error: &JoinError) -> Status {
    bulk.reporter.counters.panics.inc();
    tracing::error!(is_panic = error.is_panic(), "report of a stream failed");
    Problem::internal().into()
}

/// Puts what has arrived into the batch. Tells how reading ended, if it did.
fn read<R>(
    first: Option<Result<StreamedReport, Status>>,
    requests: &mut R,
    batch: &mut Batch,
) -> Option<End>
where
    R: Stream<Item = Result<StreamedReport, Status>> + Unpin,
{
    let mut next = first;
    loop {
        match next {
            Some(Ok(request)) => batch.push(request),
            Some(Err(status)) => return Some(Err(corrected(status))),
            None => return Some(Ok(())),
        }
        if batch.len() == STREAM_BATCH_MAX {
            return None;
        }
        next = requests.next().now_or_never()?;
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, incidents: usize) -> OwnedSemaphorePermit {
    let permits = u32::try_from(incidents).expect("at most STREAM_BATCH_MAX");
    Arc::clone(semaphore)
        .acquire_many_owned(permits)
        .await
        .expect("never closed")
}

async fn report(
    reporter: Arc<Reporter>,
    caller: Caller,
    batch: Batch,
    permits: OwnedSemaphorePermit,
) -> Answers {
    let sequences: Vec<_> = batch.iter().map(|told| told.sequence).collect();
    let parsed = batch.into_iter().map(|told| told.parsed);
    let checked = reporter.check_parsed(&caller, parsed, |_| AT);
    let results = reporter.record(&caller, checked).await;
    drop(permits);
    Answers::encode(sequences.into_iter().zip(results))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::api::convert::violation::Violations;
    use crate::api::counters::Counters;
    use crate::auth::{Gate, Grant, Limiter, Principal};
    use crate::domain::UtcMillis;
    use crate::domain::limits::STREAMS_IN_FLIGHT_MAX;
    use crate::ingest::{self, Running};
    use crate::live::{Holder, Permits};
    use crate::network::Network;

    const NOW: UtcMillis = UtcMillis(1_795_442_400_000); // 2026-11-23T14:00Z
    /// More than fit on the way and in the channel.
    const MANY: usize = 2 * STREAM_IN_FLIGHT_MAX + RESULT_BATCHES_MAX * STREAM_BATCH_MAX;

    struct Service {
        running: Running,
        counters: Counters,
        in_flight: Arc<Semaphore>,
        stop: CancellationToken,
        folder: TempDir,
    }

    impl Service {
        fn start() -> Self {
            let folder = TempDir::new().expect("a temporary folder");
            let network = Arc::new(Network::built_in());
            let running = ingest::start(folder.path(), network, || NOW);
            Self {
                running: running.expect("an empty folder"),
                counters: Counters::default(),
                in_flight: Arc::new(Semaphore::new(STREAMS_IN_FLIGHT_MAX)),
                stop: CancellationToken::new(),
                folder,
            }
        }

        fn bulk(&self) -> Bulk {
            let room = Permits::by_token(1, 1).take(Holder::default());
            Bulk {
                reporter: Arc::new(Reporter::new(
                    self.running.ingest.clone(),
                    Gate::open(self.folder.path()).expect("nobody has a token"),
                    Limiter::new().expect("random bytes"),
                    self.counters.clone(),
                )),
                caller: Caller {
                    principal: Principal::Steward(Grant::without_token().into()),
                    address: None,
                },
                in_flight: Arc::clone(&self.in_flight),
                stop: self.stop.clone(),
                room: Arc::new(room.expect("nobody else")),
            }
        }

        /// A stream that sends many requests, and then waits for ever.
        fn stream(&self) -> Results {
            let request = |sequence| Ok(told(sequence));
            let requests = futures_util::stream::iter((0..MANY as u64).map(request));
            let requests = requests.chain(futures_util::stream::pending());
            start(self.bulk(), Box::pin(requests))
        }
    }

    /// A request without an incident.
    fn told(sequence: u64) -> StreamedReport {
        StreamedReport {
            sequence,
            parsed: Err(Violations::one(AT, "must be given")),
        }
    }

    /// How a stream ends, and how many results came before.
    async fn ended(mut results: Results) -> (usize, Option<Status>) {
        let mut count = 0;
        while let Some(result) = results.next().await {
            match result {
                Ok(_) => count += 1,
                Err(status) => return (count, Some(status)),
            }
        }
        (count, None)
    }

    #[tokio::test(start_paused = true)]
    async fn stream_whose_client_takes_nothing_gives_its_permits_back_and_is_ended() {
        let service = Service::start();
        let results = service.stream();
        tokio::time::sleep(Duration::from_millis(STREAM_UNTAKEN_MS_MAX / 2)).await;
        assert_eq!(service.in_flight.available_permits(), STREAMS_IN_FLIGHT_MAX);
        assert_eq!(service.counters.streams.get(), 1);
        tokio::time::sleep(Duration::from_millis(STREAM_UNTAKEN_MS_MAX)).await;
        assert_eq!(service.counters.streams.get(), 0);
        let (count, status) = ended(results).await;
        assert!(count < MANY, "{count}");
        assert_eq!(
            status.map(|status| status.code()),
            Some(tonic::Code::DeadlineExceeded)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn slow_client_is_not_ended() {
        let service = Service::start();
        let mut results = service.stream();
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(STREAM_UNTAKEN_MS_MAX - 1)).await;
            results.next().await.expect("a result").expect("no error");
        }
        assert_eq!(service.counters.streams.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_ends_also_a_stream_whose_client_takes_nothing() {
        let service = Service::start();
        let results = service.stream();
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        service.stop.cancel();
        tokio::time::sleep(Duration::from_millis(STREAM_UNTAKEN_STOPPING_MS_MAX + 1)).await;
        assert_eq!(service.counters.streams.get(), 0);
        let (_, status) = ended(results).await;
        assert_eq!(
            status.map(|status| status.code()),
            Some(tonic::Code::Unavailable)
        );
    }

    #[tokio::test]
    async fn panic_in_the_task_ends_the_stream_with_internal_and_is_counted() {
        let service = Service::start();
        let mut count = 0;
        let requests = futures_util::stream::poll_fn(move |_| {
            count += 1;
            match count {
                1 => Poll::Ready(Some(Ok(told(1)))),
                _ => panic!("a bug"),
            }
        });
        let (_, status) = ended(start(service.bulk(), requests)).await;
        assert_eq!(
            status.map(|status| status.code()),
            Some(tonic::Code::Internal)
        );
        assert_eq!(service.counters.panics.get(), 1);
    }
}
