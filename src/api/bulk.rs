//! What travels on a stream of incidents. tonic's own codec makes a new message of each report,
//! with a dozen allocations, and encodes each answer when all of it has left the caches; here
//! every report is read into the same message and checked at once, and answers are encoded as
//! soon as they are known.
//!
//! Nothing of a report outlives the next in the message that they share: what leads back to a
//! person is cleared as soon as it was read.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt as _;
use prost::encoding::{DecodeContext, decode_key, message, skip_field, uint64};
use prost::{DecodeError, Message};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use super::connection::awaited;
use super::convert::incident::{Parsed, parse_incident};
use super::convert::recorded::Recorded;
use super::convert::violation::{Path, Violations};
use super::guard::Answering;
use super::origin::abort_of;
use super::pb::Wipe;
use super::pb::v1 as pb;
use super::pb::v1::reporting_service_server::ReportingServiceServer;
use super::pb::v1::result::Outcome;
use super::reporting::Reporting;
use super::status::Problem;
use super::stream::Results;
use super::unary;
use crate::domain::ServerTime;
use crate::domain::limits::{MESSAGE_BYTES_MAX, REPORT_BYTES_MAX};

/// The fields of a request, by their numbers in the schema.
const INCIDENT: u32 = 1;
const SEQUENCE: u32 = 2;
/// The paths of the calls that are not answered as generated.
const STREAM: &str = "/mistap.v1.ReportingService/StreamIncidents";
const REPORT: &str = "/mistap.v1.ReportingService/ReportIncident";
/// More than most answers take.
const ANSWER_BYTES: usize = 192;
/// The longest request whose memory is used again, and more than an honest one takes. Each field
/// keeps the room of the longest that was in it, for as long as the stream is open.
const KEPT_REQUEST_BYTES_MAX: usize = 4_096;

/// Where an incident stands in its request.
pub(super) const AT: Path<'static> = Path::root("incident");

/// The reporting service: streams of incidents by a codec of their own, single reports as `unary`
/// does it, all else as generated.
#[derive(Clone)]
pub struct Reports {
    generated: ReportingServiceServer<Reporting>,
    reporting: Arc<Reporting>,
}

/// Tells the time that reports are checked against.
pub(super) type ReportClock = Arc<dyn Fn() -> ServerTime + Send + Sync>;

/// A report of a stream, as it was read.
pub(super) struct StreamedReport {
    /// Chosen by the client.
    pub sequence: u64,
    /// What it says, or what is wrong with it.
    pub parsed: Result<Parsed, Violations>,
}

/// Encoded answers, in order.
#[derive(Default)]
pub(super) struct Answers {
    bytes: BytesMut,
    lengths: VecDeque<usize>,
}

/// Reads reports, and writes answers that are encoded.
struct StreamCodec {
    clock: ReportClock,
}

/// Reads reports, one after the other into the same message.
struct Reader {
    clock: ReportClock,
    incident: Box<pb::Incident>,
}

/// Writes answers as they are.
struct Writer;

/// The call, as tonic sees it.
struct Method(Arc<Reporting>);

impl Reports {
    /// Of a service.
    pub fn new(reporting: Arc<Reporting>) -> Self {
        let generated = ReportingServiceServer::from_arc(Arc::clone(&reporting));
        Self {
            generated: generated.max_decoding_message_size(MESSAGE_BYTES_MAX),
            reporting,
        }
    }
}

impl NamedService for Reports {
    const NAME: &'static str = ReportingServiceServer::<Reporting>::NAME;
}

impl Service<http::Request<Body>> for Reports {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering<Body>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering<Body> {
        let reporting = Arc::clone(&self.reporting);
        match request.uri().path() {
            REPORT if unary::is_plain(&request) => Box::pin(reporting.answer(request).map(Ok)),
            STREAM => Box::pin(async move {
                let codec = StreamCodec {
                    clock: reporting.clock(),
                };
                let mut grpc = Grpc::new(codec).max_decoding_message_size(REPORT_BYTES_MAX);
                let connection = abort_of(request.extensions());
                let results = grpc.streaming(Method(reporting), request).await;
                Ok(results.map(|results| awaited(results, connection)))
            }),
            _ => self.generated.call(request),
        }
    }
}

impl StreamingService<StreamedReport> for Method {
    type Response = Bytes;
    type ResponseStream = Results;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Results>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<StreamedReport>>) -> Self::Future {
        let results = self.0.stream(request);
        Box::pin(std::future::ready(results.map(Response::new)))
    }
}

// === impl Answers ===

impl Answers {
    /// To the requests with these sequences.
    pub fn encode(
        results: impl ExactSizeIterator<Item = (u64, Result<Recorded, Problem>)>,
    ) -> Self {
        let mut bytes = BytesMut::with_capacity(results.len() * ANSWER_BYTES);
        let mut lengths = VecDeque::with_capacity(results.len());
        // Of those that are accepted all are told by the same message: one after the other.
        let mut accepted = answer(0, Outcome::Accepted(pb::Accepted::default()));
        for (sequence, result) in results {
            let before = bytes.len();
            match result {
                Ok(recorded) => {
                    accepted.sequence = sequence;
                    recorded.write(told_in(&mut accepted));
                    accepted.encode_raw(&mut bytes);
                }
                Err(problem) => {
                    let refusal = Outcome::Refusal(problem.into_refusal());
                    answer(sequence, refusal).encode_raw(&mut bytes);
                }
            }
            lengths.push_back(bytes.len() - before);
        }
        Self { bytes, lengths }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<Bytes> {
        let length = self.lengths.pop_front()?;
        Some(self.bytes.split_to(length).freeze())
    }
}

fn answer(sequence: u64, outcome: Outcome) -> pb::StreamIncidentsResponse {
    pb::StreamIncidentsResponse {
        sequence,
        result: Some(pb::Result {
            outcome: Some(outcome),
        }),
    }
}

fn told_in(answer: &mut pb::StreamIncidentsResponse) -> &mut pb::Accepted {
    let outcome = answer
        .result
        .as_mut()
        .and_then(|result| result.outcome.as_mut());
    match outcome {
        Some(Outcome::Accepted(accepted)) => accepted,
        _ => unreachable!("it was made with one"),
    }
}

// === impl StreamCodec ===

impl Codec for StreamCodec {
    type Encode = Bytes;
    type Decode = StreamedReport;
    type Encoder = Writer;
    type Decoder = Reader;

    fn encoder(&mut self) -> Writer {
        Writer
    }

    fn decoder(&mut self) -> Reader {
        Reader {
            clock: Arc::clone(&self.clock),
            incident: Box::default(),
        }
    }
}

impl Encoder for Writer {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, answer: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&answer);
        Ok(())
    }
}

impl Decoder for Reader {
    type Item = StreamedReport;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<StreamedReport>, Status> {
        // The whole message lies in one piece, whatever it came in.
        let told = self.read(buffer.chunk());
        self.clean(buffer.remaining());
        buffer.advance(buffer.remaining());
        match told {
            Ok(told) => Ok(Some(told)),
            Err(_) => Err(Problem::malformed().into()),
        }
    }
}

impl Reader {
    fn read(&mut self, mut bytes: &[u8]) -> Result<StreamedReport, DecodeError> {
        self.incident.clear();
        let mut sequence = 0;
        let mut has_incident = false;
        while bytes.has_remaining() {
            let (field, wire_type) = decode_key(&mut bytes)?;
            let context = DecodeContext::default();
            match field {
                INCIDENT => {
                    message::merge(wire_type, &mut *self.incident, &mut bytes, context)?;
                    has_incident = true;
                }
                SEQUENCE => uint64::merge(wire_type, &mut sequence, &mut bytes, context)?,
                _ => skip_field(wire_type, field, &mut bytes, context)?,
            }
        }
        let incident = has_incident.then_some(&mut *self.incident);
        Ok(StreamedReport {
            sequence,
            parsed: parse_incident(AT, incident, (self.clock)()),
        })
    }

    /// Leaves nothing of a report that lay in a request so long.
    fn clean(&mut self, request_bytes: usize) {
        self.incident.wipe();
        if KEPT_REQUEST_BYTES_MAX < request_bytes {
            *self.incident = pb::Incident::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::convert::incident::Remark;
    use crate::domain::incident::Match;
    use crate::domain::taxonomy::Resolution;
    use crate::domain::{LineId, Position, StopId, UtcMillis};
    use crate::ingest::Accepted;

    const NOW: UtcMillis = UtcMillis(1_795_442_400_000); // 2026-11-23T14:00Z
    const ID: &str = "019ab0f0-6e80-7000-8000-000000000001";

    fn reader() -> Reader {
        let mut codec = StreamCodec {
            clock: Arc::new(|| NOW.into()),
        };
        codec.decoder()
    }

    fn request(incident: Option<pb::Incident>) -> pb::StreamIncidentsRequest {
        pb::StreamIncidentsRequest {
            incident: incident.map(Box::new),
            sequence: 7,
        }
    }

    fn incident() -> pb::Incident {
        pb::Incident {
            incident_id: ID.to_owned(),
            occurred_at: Some(prost_types::Timestamp {
                seconds: NOW.0 / 1_000,
                nanos: 0,
            }),
            ..pb::Incident::default()
        }
    }

    /// What was read, as far as it can be compared.
    fn shown(told: &Result<Parsed, Violations>) -> String {
        format!("{told:?}")
    }

    proptest! {
        #[test]
        fn report_is_read_as_if_there_were_none_before_it(
            reports in prop::collection::vec((any::<[bool; 6]>(), "[a-z]{0,30}", 0_i32..20), 1..8),
        ) {
            let mut reader = reader();
            for (has, words, number) in reports {
                let [has_incident, has_id, has_words, has_lists, has_card, has_time] = has;
                let mut told = pb::Incident::default();
                if has_id {
                    told.incident_id = ID.to_owned();
                    told.incident_secret = vec![1; 32];
                }
                if has_words {
                    told.stop = words.clone();
                    told.note = words.clone();
                    told.mode = number;
                }
                if has_lists {
                    told.staff_acts = vec![number, 1];
                    told.cause_claims = vec![pb::CauseClaim { cause: number, source: 1 }];
                }
                if has_card {
                    told.card_number = "3528 0000 0000 0007".to_owned();
                    told.installation_id = format!("an-installation-{words}");
                }
                if has_time {
                    told.occurred_at = incident().occurred_at;
                }
                let mut request = request(has_incident.then_some(told));
                let bytes = request.encode_to_vec();
                let read = reader.read(&bytes).expect("a message");
                prop_assert_eq!(read.sequence, 7);
                let alone = parse_incident(AT, request.incident.as_deref_mut(), NOW);
                prop_assert_eq!(shown(&read.parsed), shown(&alone));
            }
        }

        #[test]
        fn whatever_bytes_come_nothing_panics_and_the_next_report_is_read(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            cut in 0_usize..60,
        ) {
            let mut reader = reader();
            let whole = request(Some(incident())).encode_to_vec();
            for broken in [&bytes[..], &whole[..cut.min(whole.len())]] {
                let read = reader.read(broken).map(|told| told.sequence);
                let decoded = pb::StreamIncidentsRequest::decode(broken);
                prop_assert_eq!(read.ok(), decoded.ok().map(|request| request.sequence));
            }
            prop_assert!(reader.read(&whole).is_ok_and(|told| told.parsed.is_ok()));
        }
    }

    #[test]
    fn request_without_an_incident_is_another_than_one_with_nothing_in_it() {
        let mut reader = reader();
        let mut fields = |incident| {
            let bytes = request(incident).encode_to_vec();
            let told = reader.read(&bytes).expect("a message");
            let violations = told.parsed.expect_err("there is no id");
            let told = violations.into_told().into_iter();
            told.map(|one| one.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(None), ["incident"]);
        let empty = fields(Some(pb::Incident::default()));
        assert_eq!(empty, ["incident.incident_id", "incident.occurred_at"]);
        assert_eq!(fields(None), ["incident"]);
    }

    #[test]
    fn nothing_that_leads_back_to_a_person_stays_in_the_message() {
        let mut reader = reader();
        let told = pb::Incident {
            incident_secret: vec![77; 32],
            card_number: "3528 0000 0000 0007".to_owned(),
            installation_id: "an-installation-1".to_owned(),
            ..incident()
        };
        let whole = request(Some(told)).encode_to_vec();
        for length in [whole.len(), whole.len() - 1] {
            // Also of one that is cut off after them.
            let _ = reader.read(&whole[..length]);
            reader.clean(length);
            let kept = &reader.incident;
            assert!(kept.card_number.is_empty() && kept.installation_id.is_empty());
            assert!(kept.incident_secret.is_empty());
        }
    }

    #[test]
    fn long_request_leaves_none_of_its_memory_and_a_short_one_all_of_it() {
        let mut reader = reader();
        let mut kept_bytes = |bytes: usize| {
            let words = "x".repeat(bytes);
            let reports = [
                pb::Incident {
                    note: words.clone(),
                    ..incident()
                },
                pb::Incident {
                    stop: words.clone(),
                    card_number: words,
                    ..incident()
                },
                pb::Incident {
                    incident_secret: vec![1; bytes],
                    staff_acts: vec![1; bytes],
                    cause_claims: vec![pb::CauseClaim::default(); bytes],
                    ..incident()
                },
            ];
            for report in reports {
                let whole = request(Some(report)).encode_to_vec();
                reader.read(&whole).expect("a message");
                reader.clean(whole.len());
            }
            let kept = &reader.incident;
            let texts = [&kept.note, &kept.stop, &kept.card_number];
            let texts = texts.map(String::capacity).iter().sum::<usize>();
            let claims = kept.cause_claims.capacity() * size_of::<pb::CauseClaim>();
            let acts = kept.staff_acts.capacity() * size_of::<i32>();
            texts + claims + acts + kept.incident_secret.capacity()
        };
        assert_eq!(kept_bytes(KEPT_REQUEST_BYTES_MAX), 0);
        assert!(5 * 100 <= kept_bytes(100));
        // Whatever came before.
        assert_eq!(kept_bytes(1_000_000), 0);
    }

    /// Accepted, with something in each field if it is rich, and in none but the id if not.
    fn recorded(position: u64, is_rich: bool) -> Recorded {
        let line: LineId = "GVB:10".parse().expect("a line");
        let stop: StopId = "stop-1".parse().expect("a stop");
        let accepted = Accepted {
            id: ID.parse().expect("an id"),
            position: Position(position),
            received: UtcMillis(NOW.0 + 1_234),
            erased: is_rich,
            told_again: is_rich,
            repeated: is_rich,
            operator: is_rich.then(|| line.operator()),
            line: Match {
                resolution: is_rich.then_some(Resolution::UniqueMatch),
                id: is_rich.then(|| line.clone()),
                name: if is_rich { "Tram 10".into() } else { "".into() },
                candidates: if is_rich { vec![line] } else { Vec::new() },
                outside_validity: is_rich,
            },
            stop: Match {
                id: is_rich.then_some(stop),
                ..Match::nothing()
            },
        };
        let remark = Remark {
            field: "incident.card_number".to_owned(),
            reason: "CARD_NUMBER_CHECK_DIGIT",
            description: "of which it would take more",
        };
        Recorded {
            accepted,
            remarks: if is_rich { vec![remark] } else { Vec::new() },
        }
    }

    #[test]
    fn answers_are_messages_in_their_order_and_nothing_of_one_stays_in_the_next() {
        let results = || {
            [
                (5, Ok(recorded(1, true))),
                (6, Err(Problem::busy())),
                (9, Ok(recorded(2, false))),
                (4, Ok(recorded(3, true))),
            ]
        };
        let mut answers = Answers::encode(results().into_iter());
        assert_eq!(answers.len(), 4);
        for (sequence, result) in results() {
            let told = answers.pop().expect("an answer each");
            let told = pb::StreamIncidentsResponse::decode(told).expect("a message");
            let outcome = match result {
                Ok(recorded) => Outcome::Accepted(recorded.into_accepted()),
                Err(problem) => Outcome::Refusal(problem.into_refusal()),
            };
            assert_eq!(told, answer(sequence, outcome));
        }
        assert!(answers.pop().is_none());
    }
}
