//! Streams of incidents: what has arrived is reported together, several batches at once,
//! and results go out in the order of the requests.
//!
//! A stream is read no further while `STREAM_IN_FLIGHT_MAX` of its incidents are under way,
//! or `STREAMS_IN_FLIGHT_MAX` of all streams. When the service stops, what was read is
//! answered first, and the stream then ends with `UNAVAILABLE`.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::stream::{FuturesOrdered, Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::Instrument;

use super::convert::violation::Path;
use super::counters::Open;
use super::guard::corrected;
use super::pb::v1 as pb;
use super::reporting::{Reporter, to_result};
use super::status::Problem;
use crate::domain::limits::{STREAM_BATCH_MAX, STREAM_IN_FLIGHT_MAX};

/// Batches of results that wait for the client to take them.
const RESULT_BATCHES_MAX: usize = 4;

type Batch = Vec<pb::StreamIncidentsRequest>;
type Answered = Vec<pb::StreamIncidentsResponse>;

/// What a stream needs.
pub(super) struct Bulk {
    pub reporter: Reporter,
    /// Shared by all streams, one permit for each incident under way.
    pub in_flight: Arc<Semaphore>,
    pub stop: CancellationToken,
    /// Held as long as the stream is open.
    pub room: OwnedSemaphorePermit,
}

/// Results of a stream, one by one.
pub struct Results {
    ready: VecDeque<pb::StreamIncidentsResponse>,
    batches: mpsc::Receiver<Result<Answered, Status>>,
}

impl Stream for Results {
    type Item = Result<pb::StreamIncidentsResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(result) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(result)));
            }
            match ready!(self.batches.poll_recv(context)) {
                Some(Ok(batch)) => self.ready = batch.into(),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// Starts the task that reads the stream. It ends with the stream, when the client is gone
/// or when the service stops.
pub(super) fn start(bulk: Bulk, requests: Streaming<pb::StreamIncidentsRequest>) -> Results {
    let (results, batches) = mpsc::channel(RESULT_BATCHES_MAX);
    tokio::spawn(run(bulk, requests, results).in_current_span());
    Results {
        ready: VecDeque::new(),
        batches,
    }
}

/// What a stream has on its way.
struct UnderWay<F: Future> {
    reports: FuturesOrdered<F>,
    incidents: usize,
    /// Read, but without permits yet.
    waiting: Batch,
    /// How reading ended: `None` while it goes on.
    end: Option<Result<(), Status>>,
}

async fn run(
    bulk: Bulk,
    mut requests: Streaming<pb::StreamIncidentsRequest>,
    results: mpsc::Sender<Result<Answered, Status>>,
) {
    let _open = Open::new(&bulk.reporter.counters.streams);
    let _room = &bulk.room;
    let mut way = UnderWay {
        reports: FuturesOrdered::new(),
        incidents: 0,
        waiting: Batch::new(),
        end: None,
    };
    loop {
        let has_room = way.incidents + STREAM_BATCH_MAX <= STREAM_IN_FLIGHT_MAX;
        let may_read = way.end.is_none() && way.waiting.is_empty() && has_room;
        tokio::select! {
            biased;
            Some(answered) = way.reports.next() => {
                let answered: Answered = answered;
                way.incidents -= answered.len();
                if results.send(Ok(answered)).await.is_err() {
                    return;
                }
            }
            permits = acquire(&bulk.in_flight, way.waiting.len()), if !way.waiting.is_empty() => {
                let batch = std::mem::take(&mut way.waiting);
                way.incidents += batch.len();
                way.reports.push_back(report(bulk.reporter.clone(), batch, permits));
            }
            () = bulk.stop.cancelled(), if way.end.is_none() => {
                way.end = Some(Err(Problem::stopping().into()));
            }
            first = requests.next(), if may_read => {
                way.end = read(first, &mut requests, &mut way.waiting);
            }
            else => break,
        }
    }
    if let Some(Err(status)) = way.end {
        // A client that is gone needs no answer.
        let _ = results.send(Err(status)).await;
    }
}

/// Puts what has arrived into the batch. Tells how reading ended, if it did.
fn read(
    first: Option<Result<pb::StreamIncidentsRequest, Status>>,
    requests: &mut Streaming<pb::StreamIncidentsRequest>,
    batch: &mut Batch,
) -> Option<Result<(), Status>> {
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

async fn report(reporter: Reporter, batch: Batch, permits: OwnedSemaphorePermit) -> Answered {
    let (sequences, incidents): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|request| (request.sequence, request.incident))
        .unzip();
    let results = reporter.report(incidents, |_| Path::root("incident")).await;
    drop(permits);
    let answer = |(sequence, result)| pb::StreamIncidentsResponse {
        sequence,
        result: Some(to_result(result)),
    };
    sequences.into_iter().zip(results).map(answer).collect()
}
