//! Sends a table's counts to a server in a stream, and collects the results.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::failure::Failure;
use super::super::progress;
use super::rows::{Columns, Refused, Rows};
use super::source::Source;
use crate::api::pb::v1 as pb;
use crate::client::Connection;
use crate::domain::limits::TAP_COUNTS_PER_CALL_MAX;
use pb::operations_service_client::OperationsServiceClient;

/// Messages that wait to be sent.
const MESSAGES_AHEAD: usize = 4;
/// Messages whose results may be waited for. More wait to be read.
const LINES_AHEAD: usize = 256;

/// What a server recorded, and what it refused.
pub struct Sent {
    /// Counts recorded.
    pub recorded: u64,
    /// Lines that the server refused.
    pub refused: Vec<Refused>,
}

/// Sending ended before the end.
pub struct Broken {
    /// Counts recorded until then, as far as the server told.
    pub recorded: u64,
    /// Why.
    pub failure: Failure,
}

/// Sends all counts of a table; lines that are none are left out. `counts` is how many there
/// are.
pub async fn send(
    channel: Connection,
    feed: pb::TapFeed,
    source: Source,
    columns: Columns,
    counts: u64,
) -> Result<Sent, Broken> {
    let (messages, outgoing) = mpsc::channel(MESSAGES_AHEAD);
    let (lines, mut sent_lines) = mpsc::channel(LINES_AHEAD);
    let reading =
        tokio::task::spawn_blocking(move || read(&feed, &source, &columns, &messages, &lines));
    let mut sent = Sent {
        recorded: 0,
        refused: Vec::new(),
    };
    let bar = progress::bar(counts, "counts", "sending");
    let mut client = OperationsServiceClient::new(channel);
    let received = async {
        let results = client.stream_tap_counts(ReceiverStream::new(outgoing));
        let mut results = results.await?.into_inner();
        while let Some(answer) = results.message().await? {
            let lines: Vec<u64> = sent_lines.recv().await.unwrap_or_default();
            for (result, line) in answer.results.into_iter().zip(lines) {
                sent.note(result, line);
            }
            bar.set_position(sent.recorded);
        }
        Ok::<_, tonic::Status>(())
    };
    let received = received.await;
    bar.finish_and_clear();
    let recorded = sent.recorded;
    let broken = |failure| Broken { recorded, failure };
    received.map_err(|status| broken(status.into()))?;
    match reading.await {
        Ok(Ok(())) => Ok(sent),
        Ok(Err(failure)) => Err(broken(failure)),
        Err(error) => Err(broken(Failure::unexpected("reading ended", &error))),
    }
}

impl Sent {
    fn note(&mut self, result: pb::TapCountResult, line: u64) {
        use pb::tap_count_result::Outcome;
        match result.outcome {
            Some(Outcome::Recorded(_)) => self.recorded += 1,
            Some(Outcome::Refusal(refusal)) => {
                let first = refusal.violations.into_iter().next();
                let (column, reason) = match first {
                    Some(violation) => (field(&violation.field), violation.description),
                    None => (String::new(), refusal.message),
                };
                self.refused.push(Refused {
                    line,
                    column,
                    reason,
                });
            }
            None => {}
        }
    }
}

/// The last part of a path.
fn field(path: &str) -> String {
    path.rsplit('.').next().unwrap_or_default().to_owned()
}

/// Reads the table again and hands it over, until nobody takes it.
fn read(
    feed: &pb::TapFeed,
    source: &Source,
    columns: &Columns,
    messages: &mpsc::Sender<pb::StreamTapCountsRequest>,
    lines: &mpsc::Sender<Vec<u64>>,
) -> Result<(), Failure> {
    let mut rows = Rows::open(source, columns)?;
    let mut sequence = 0;
    loop {
        let mut request = pb::StreamTapCountsRequest {
            feed: (sequence == 0).then(|| feed.clone()),
            counts: Vec::with_capacity(TAP_COUNTS_PER_CALL_MAX),
            sequence,
        };
        let mut numbers = Vec::with_capacity(TAP_COUNTS_PER_CALL_MAX);
        let mut is_last = false;
        while request.counts.len() < TAP_COUNTS_PER_CALL_MAX {
            match rows.next()? {
                Some(Ok(row)) => {
                    numbers.push(row.line);
                    request.counts.push(row.count);
                }
                Some(Err(_)) => {}
                None => {
                    is_last = true;
                    break;
                }
            }
        }
        let is_empty = request.counts.is_empty();
        let is_taken = is_empty
            || (lines.blocking_send(numbers).is_ok() && messages.blocking_send(request).is_ok());
        if is_last || !is_taken {
            return Ok(());
        }
        sequence += 1;
    }
}
