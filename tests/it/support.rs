//! A service on a port of its own with a data folder of its own, and what tests say to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mistap::api::pb::v1 as pb;
use mistap::app::{self, AppError, Handle, Settings};
use mistap::domain::UtcMillis;
use mistap::domain::time::{DAY_MS, HOUR_MS};
use mistap::ingest::{ClockCheck, Ingest};
use mistap::ledger::Ledger;
use mistap::upkeep::retention::RemovalProgress;
use pb::operations_service_client::OperationsServiceClient;
use pb::query_figures_with_progress_response::Step;
use pb::reporting_service_client::ReportingServiceClient;
use pb::statistics_service_client::StatisticsServiceClient;
use prost_types::Timestamp;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::child::until;

/// 2026-11-23T14:00Z, a Monday: when tests begin.
pub const START: UtcMillis = UtcMillis(1_795_442_400_000);
/// The secret of every incident made here.
pub const SECRET: [u8; 32] = [42; 32];

/// Incidents that are reported in one call.
const PER_CALL: usize = 500;

/// A running service.
pub struct Service {
    handle: Handle,
    dir: TempDir,
}

impl Service {
    /// A new one with an empty record.
    pub async fn start() -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        Self::start_in(dir).await
    }

    /// One over a folder, in a record that began so many days before `START`.
    pub async fn start_later(dir: TempDir, days: i64) -> Self {
        let began = UtcMillis(START.0 - days * DAY_MS);
        let first = Self::start_with(dir, |settings| settings.clock = Arc::new(move || began));
        Self::start_in(first.await.stop().await).await
    }

    /// One over a folder.
    pub async fn start_in(dir: TempDir) -> Self {
        Self::start_with(dir, |_| ()).await
    }

    /// One over a folder, with other settings than the usual.
    pub async fn start_with(dir: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut settings = Settings::new(dir.path().to_owned(), listen, Arc::new(|| START));
        settings.clock_check = ClockCheck::Never;
        change(&mut settings);
        let handle = app::spawn(settings).await.expect("the service starts");
        Self { handle, dir }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.handle.address
    }

    /// A new connection.
    pub async fn connect(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address()))
            .expect("a valid address")
            .connect()
            .await
            .expect("the service listens")
    }

    /// To report without a connection.
    pub fn ingest(&self) -> &Ingest {
        &self.handle.ingest
    }

    /// To read without a connection.
    pub fn ledger(&self) -> &Ledger {
        &self.handle.ledger
    }

    /// The version of the network in use.
    pub fn network_version(&self) -> u32 {
        self.handle.ingest.network().version()
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Stops, and tells how that went.
    pub async fn end(self) -> Result<(), AppError> {
        self.handle.stop().await
    }

    /// Stops in order, and gives the folder back.
    pub async fn stop(self) -> TempDir {
        self.handle.stop().await.expect("the service stops well");
        self.dir
    }
}

/// An id made at `START`, unlike all others of this process.
pub fn new_id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut rest = [0; 10];
    rest[6..].copy_from_slice(&count.to_be_bytes());
    id_made_at(START, rest)
}

/// An id that was made then; `rest` tells it from others of that time.
pub fn id_made_at(made: UtcMillis, rest: [u8; 10]) -> String {
    let millis = u64::try_from(made.0).expect("after 1970");
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &rest);
    id.into_uuid().to_string()
}

/// A point in time for a message.
pub fn at(time: UtcMillis) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: time.0.div_euclid(1_000),
        nanos: 0,
    })
}

/// The founding story: tram 10 of GVB, a student card, red and a beep, and a free ride.
pub fn founding_story() -> pb::Incident {
    pb::Incident {
        incident_id: new_id(),
        incident_secret: SECRET.to_vec(),
        occurred_at: at(UtcMillis(START.0 - 10 * 60_000)),
        mode: pb::Mode::Tram as i32,
        tap_kind: pb::TapKind::CheckIn as i32,
        operator: "GVB".into(),
        line: "10".into(),
        signal: pb::Signal::RedBeep as i32,
        card_kind: pb::CardKind::Student as i32,
        staff_present: pb::StaffPresence::Yes as i32,
        staff_acts: vec![
            pb::StaffAct::LetRideFree as i32,
            pb::StaffAct::WaitedOrHelped as i32,
        ],
        outcomes: vec![pb::Outcome::FreeRide as i32],
        note: "ach, meisje".into(),
        ..pb::Incident::default()
    }
}

/// All self-reports of the day of `START`, by some dimensions.
pub fn that_day(by: &[pb::Dimension]) -> pb::QueryFiguresRequest {
    let midnight = UtcMillis(START.0 - 15 * HOUR_MS);
    let window = pb::Window {
        start: at(midnight),
        end: at(UtcMillis(midnight.0 + 24 * HOUR_MS)),
    };
    pb::QueryFiguresRequest {
        question: Some(pb::Question {
            filter: None,
            by: by.iter().map(|dimension| *dimension as i32).collect(),
            window: Some(window),
        }),
        ..pb::QueryFiguresRequest::default()
    }
}

/// A feed of GVB that tells taps of every kind, attempts that were refused left out.
pub fn feed_of_gvb(feed_id: &str, grain: pb::TapGrain, interval: pb::TapInterval) -> pb::TapFeed {
    pb::TapFeed {
        feed_id: feed_id.into(),
        operator_code: "GVB".into(),
        grain: grain.into(),
        interval: interval.into(),
        tap_kinds: vec![
            pb::TapKind::CheckIn.into(),
            pb::TapKind::CheckOut.into(),
            pb::TapKind::Transfer.into(),
        ],
        refusals: pb::Refusals::Excluded.into(),
        day_begins: 0,
    }
}

/// Asks until the store is open, as it is soon after the start, and gives what is answered then.
pub async fn once_open<T>(
    mut ask: impl AsyncFnMut() -> Result<tonic::Response<T>, Status>,
) -> Result<T, Status> {
    let answered = until("the store is open", async || match ask().await {
        Err(status) if status.code() == Code::Unavailable => None,
        answer => Some(answer.map(tonic::Response::into_inner)),
    });
    answered.await
}

/// Waits until so much is taken away of a service's record, and tells what is.
pub async fn until_removed(
    service: &Service,
    is_done: impl Fn(&RemovalProgress) -> bool,
) -> RemovalProgress {
    let removed = until("what is to be taken away is", async || {
        Some(RemovalProgress::read(service.folder())).filter(&is_done)
    });
    removed.await
}

/// Reports an incident, which is accepted.
pub async fn report(channel: &Channel, incident: pb::Incident) -> pb::Accepted {
    let request = pb::ReportIncidentRequest {
        incident: Some(incident),
        ..pb::ReportIncidentRequest::default()
    };
    let mut client = ReportingServiceClient::new(channel.clone());
    let answer = client.report_incident(request).await.expect("accepted");
    answer.into_inner().accepted.expect("always there")
}

/// Reports incidents, all of which are new and accepted.
pub async fn report_all(channel: &Channel, incidents: impl IntoIterator<Item = pb::Incident>) {
    let incidents: Vec<_> = incidents.into_iter().collect();
    let mut client = ReportingServiceClient::new(channel.clone());
    for some in incidents.chunks(PER_CALL) {
        let incidents = some.to_vec();
        let request = pb::ReportIncidentsRequest { incidents };
        let answer = client.report_incidents(request).await.expect("an answer");
        for result in answer.into_inner().results {
            match result.outcome {
                Some(pb::result::Outcome::Accepted(accepted)) => assert!(!accepted.repeated),
                refused => panic!("{refused:?}"),
            }
        }
    }
}

/// So many taps of a line in an interval that begins then.
pub fn taps_of_line(line_id: &str, start: UtcMillis, taps: u64) -> pb::TapCount {
    pb::TapCount {
        line_id: line_id.into(),
        start: at(start),
        taps,
        ..pb::TapCount::default()
    }
}

/// Tells counts of a feed, which are recorded.
pub async fn tell_taps(
    channel: &Channel,
    feed: pb::TapFeed,
    counts: impl IntoIterator<Item = pb::TapCount>,
) {
    let request = pb::RecordTapCountsRequest {
        feed: Some(feed),
        counts: counts.into_iter().collect(),
    };
    let mut client = OperationsServiceClient::new(channel.clone());
    client.record_tap_counts(request).await.expect("recorded");
}

/// In how many files below a folder these bytes are.
pub fn files_with(dir: &Path, bytes: &[u8]) -> usize {
    let files = std::fs::read_dir(dir).expect("a folder");
    let paths = files.map(|file| file.expect("a file").path());
    let counts = paths.map(|path| {
        if path.is_dir() {
            return files_with(&path, bytes);
        }
        let content = std::fs::read(path).expect("read");
        // Segments are as long as they may become from the beginning.
        let zeros = content.iter().rev().take_while(|byte| **byte == 0).count();
        let end = (content.len() - zeros + bytes.len()).min(content.len());
        let mut windows = content[..end].windows(bytes.len());
        usize::from(windows.any(|window| window == bytes))
    });
    counts.sum()
}

/// What is told of how far an answer is, and the answer.
pub async fn with_progress(
    channel: &Channel,
    request: pb::QueryFiguresWithProgressRequest,
) -> Result<(Vec<pb::QueryProgress>, Step), Status> {
    let mut client = StatisticsServiceClient::new(channel.clone());
    let steps = client.query_figures_with_progress(request).await?;
    let mut steps = steps.into_inner();
    let mut told = Vec::new();
    while let Some(message) = steps.message().await? {
        match message.step.expect("a step") {
            Step::Progress(progress) => told.push(progress),
            answer => {
                assert_eq!(steps.message().await?, None, "the answer ends the stream");
                return Ok((told, answer));
            }
        }
    }
    panic!("the stream ended without an answer");
}
