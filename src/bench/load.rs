//! The load client: many reports at once over a few connections, from this process. Messages
//! are encoded beforehand and only get their own id, so that the client takes as little of
//! the machine as it can; of answers it reads what tells whether a report was recorded.

use std::marker::PhantomData;
use std::ops::{AddAssign, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use futures_util::StreamExt;
use http::uri::PathAndQuery;
use prost::Message;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::wire::Wire;
use crate::api::Clock;
use crate::api::pb::v1 as pb;
use crate::cli::{Failure, Kind};

/// Name of this client, for reports.
pub const NAME: &str =
    "this process, HTTP/2 with messages encoded beforehand, one task a connection";
/// Name of the client of streams, for reports.
pub const STREAMS_NAME: &str = "this process, tonic client with messages encoded beforehand";
const REPORT: &str = "/mistap.v1.ReportingService/ReportIncident";
const STREAM: &str = "/mistap.v1.ReportingService/StreamIncidents";
/// What the client looks at of a `StreamIncidentsResponse`; the rest is skipped.
#[derive(Clone, Copy, PartialEq, Message)]
struct StreamAnswer {
    #[prost(message, optional, tag = "2")]
    result: Option<ResultAnswer>,
}

/// Of its `Result`.
#[derive(Clone, Copy, PartialEq, Message)]
struct ResultAnswer {
    #[prost(message, optional, tag = "1")]
    accepted: Option<AcceptedAnswer>,
}

/// Of its `Accepted`.
#[derive(Clone, Copy, PartialEq, Message)]
struct AcceptedAnswer {
    #[prost(bool, tag = "4")]
    repeated: bool,
}

/// Stands where an id will be.
const NO_ID: &str = "00000000-0000-7000-8000-000000000000";
/// Of what cards and installations are written.
const DIGITS: &[u8; 10] = b"0123456789";
/// Ids made with one look at the clock.
const IDS_PER_LOOK: u32 = 64;

/// Random numbers that no other run has, for ids.
pub fn seeded() -> StdRng {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("a system that runs servers has random numbers");
    StdRng::from_seed(seed)
}

/// What became of the reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Recorded for the first time.
    pub recorded: u64,
    /// Anything else.
    pub others: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.recorded += other.recorded;
        self.others += other.others;
    }
}

/// Encoded messages.
pub struct Templates(Vec<Template>);

/// An encoded message, and where in it lies what each report has of its own: its id and who
/// reports. Two of one reporter and reader would be one incident.
struct Template {
    bytes: Vec<u8>,
    id: usize,
    installation: Option<Range<usize>>,
    card: Option<Range<usize>>,
}

impl Templates {
    /// Of `ReportIncident`.
    pub fn unary(incidents: &[pb::Incident]) -> Self {
        Self::encode(incidents, |incident| pb::ReportIncidentRequest {
            incident: Some(incident),
            ..pb::ReportIncidentRequest::default()
        })
    }

    /// Of `StreamIncidents`.
    pub fn streamed(incidents: &[pb::Incident]) -> Self {
        let request = |incident| pb::StreamIncidentsRequest {
            incident: Some(Box::new(incident)),
            sequence: 1,
        };
        Self::encode(incidents, request)
    }

    fn encode<M: Message>(incidents: &[pb::Incident], request: impl Fn(pb::Incident) -> M) -> Self {
        let template = |incident: &pb::Incident| {
            let mut incident = incident.clone();
            incident.incident_id = NO_ID.to_owned();
            let installation = incident.installation_id.clone();
            let card = incident.card_number.clone();
            let bytes = request(incident).encode_to_vec();
            let place = |text: &str| {
                let mut texts = bytes.windows(text.len().max(1));
                let found = texts.position(|found| found == text.as_bytes());
                found.map(|start| start..start + text.len())
            };
            Template {
                id: place(NO_ID).expect("an id was just encoded").start,
                installation: place(&installation),
                // The first four digits say that it is one.
                card: place(&card).map(|card| card.start + 4..card.end),
                bytes,
            }
        };
        Self(incidents.iter().map(template).collect())
    }

    /// The encoded messages.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|template| &template.bytes[..])
    }
}

/// Makes messages with ids of their own, from templates in turn.
pub struct Mint {
    templates: Arc<Templates>,
    random: StdRng,
    next: usize,
    clock: Clock,
    millis: u64,
    left_of_look: u32,
}

impl Mint {
    /// Of these, with ids of the time that the clock tells.
    pub fn new(templates: &Arc<Templates>, clock: &Clock) -> Self {
        let mut random = seeded();
        let next = random.next_u32() as usize % templates.0.len();
        Self {
            templates: Arc::clone(templates),
            random,
            next,
            clock: Arc::clone(clock),
            millis: 0,
            left_of_look: 0,
        }
    }

    fn message(&mut self) -> Bytes {
        if self.left_of_look == 0 {
            self.left_of_look = IDS_PER_LOOK;
            self.millis = u64::try_from((self.clock)().0).unwrap_or(0);
        }
        self.left_of_look -= 1;
        let template = &self.templates.0[self.next];
        self.next = (self.next + 1) % self.templates.0.len();
        let mut message = template.bytes.clone();
        let mut bytes = [0; 10];
        self.random.fill_bytes(&mut bytes);
        let id = uuid::Builder::from_unix_timestamp_millis(self.millis, &bytes).into_uuid();
        id.hyphenated().encode_lower(&mut message[template.id..]);
        for place in [&template.installation, &template.card]
            .into_iter()
            .flatten()
        {
            for byte in &mut message[place.clone()] {
                *byte = DIGITS[self.random.next_u32() as usize % DIGITS.len()];
            }
        }
        message.into()
    }
}

/// Reports one a call, `in_flight` at once over all connections, for so long, at least one a
/// connection. Returns what became of them and how many seconds that took.
pub async fn unary(
    wires: &[Wire],
    templates: &Arc<Templates>,
    in_flight: usize,
    span: Duration,
    clock: &Clock,
) -> Result<(Tally, f64), Failure> {
    let begun = Instant::now();
    let end = begun + span;
    let mut tasks = JoinSet::new();
    for wire in wires.iter().take(in_flight) {
        let mint = Mint::new(templates, clock);
        let share = in_flight / wires.len().min(in_flight);
        tasks.spawn(unary_task(wire.clone(), mint, share, end));
    }
    let tally = collect(tasks).await?;
    Ok((tally, begun.elapsed().as_secs_f64()))
}

/// Reports one, and waits for its answer. Spawns nothing.
pub async fn once(wire: &Wire, mint: &mut Mint) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let count = |answer: pb::ReportIncidentResponse| {
        tally += told(answer.accepted.map(|accepted| accepted.repeated));
    };
    let messages = std::iter::once(mint.message());
    wire.call(REPORT, 1, messages, count).await?;
    Ok(tally)
}

async fn unary_task(
    wire: Wire,
    mut mint: Mint,
    in_flight: usize,
    end: Instant,
) -> Result<Tally, Failure> {
    let mut is_first = true;
    let messages = std::iter::from_fn(|| {
        let is_due = std::mem::take(&mut is_first) || Instant::now() < end;
        is_due.then(|| mint.message())
    });
    let mut tally = Tally::default();
    let count = |answer: pb::ReportIncidentResponse| {
        tally += told(answer.accepted.map(|accepted| accepted.repeated));
    };
    wire.call(REPORT, in_flight, messages, count).await?;
    Ok(tally)
}

/// Reports `count` in all, over one stream a channel, as fast as they are taken. Returns what
/// became of them and how many seconds that took.
pub async fn streamed(
    channels: &[Channel],
    templates: &Arc<Templates>,
    count: u64,
    clock: &Clock,
) -> Result<(Tally, f64), Failure> {
    let begun = Instant::now();
    let share = usize::try_from(count).unwrap_or(usize::MAX) / channels.len();
    let mut tasks = JoinSet::new();
    for channel in channels {
        let mint = Mint::new(templates, clock);
        tasks.spawn(stream_task(channel.clone(), mint, share));
    }
    let tally = collect(tasks).await?;
    Ok((tally, begun.elapsed().as_secs_f64()))
}

async fn stream_task(channel: Channel, mut mint: Mint, count: usize) -> Result<Tally, Failure> {
    let mut client = Grpc::new(channel);
    ready(&mut client).await?;
    let messages = std::iter::repeat_with(move || mint.message()).take(count);
    let request = Request::new(futures_util::stream::iter(messages));
    let codec = Encoded::<StreamAnswer>(PhantomData);
    let path = PathAndQuery::from_static(STREAM);
    let mut answers = client.streaming(request, path, codec).await?.into_inner();
    let mut tally = Tally::default();
    while let Some(answer) = answers.next().await {
        let accepted = answer?.result.and_then(|result| result.accepted);
        tally += told(accepted.map(|accepted| accepted.repeated));
    }
    Ok(tally)
}

/// Of a report that was accepted, whether it repeats another.
fn told(repeated: Option<bool>) -> Tally {
    let is_new = repeated == Some(false);
    Tally {
        recorded: u64::from(is_new),
        others: u64::from(!is_new),
    }
}

async fn ready(client: &mut Grpc<Channel>) -> Result<(), Failure> {
    let ready = client.ready().await;
    ready.map_err(|error| Failure::unexpected("a connection was lost", &error))
}

async fn collect(mut tasks: JoinSet<Result<Tally, Failure>>) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    while let Some(ended) = tasks.join_next().await {
        let part =
            ended.map_err(|error| Failure::unexpected("a part of the client ended", &error))?;
        tally += part?;
    }
    if 0 < tally.others {
        let text = format!("{} reports were not recorded as new", tally.others);
        return Err(Failure::new(Kind::Unexpected, text));
    }
    Ok(tally)
}

/// Sends bytes as they are, and decodes answers.
struct Encoded<R>(PhantomData<R>);

impl<R: Message + Default + Send + 'static> Codec for Encoded<R> {
    type Encode = Bytes;
    type Decode = R;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<R> Encoder for Encoded<R> {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl<R: Message + Default> Decoder for Encoded<R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        let message = R::decode(buffer.copy_to_bytes(buffer.remaining()));
        message
            .map(Some)
            .map_err(|_| Status::internal("an answer cannot be read"))
    }
}
