//! One server after the other over one folder, those who report to it, and those who watch.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::live_service_client::LiveServiceClient;
use mistap::api::pb::v1::reporting_service_client::ReportingServiceClient;
use mistap::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use mistap::domain::{Entry, IncidentId, Position, UtcMillis};
use mistap::journal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::child::{self, Server};
use crate::history::{Happening, Kind, between};
use crate::incidents::Watcher;
use crate::rates::{Mirror, counts};
use crate::reports::Reporter;
use crate::validators;

/// How long something may take that should come at once, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a watcher waits in a round for a message that may not come.
const SHORT: Duration = Duration::from_millis(20);
/// After what time a refused question is asked again.
const RETRY: Duration = Duration::from_millis(20);
/// One in so many rounds kills the server, and one stops it.
const KILLED_EVERY: u32 = 50;
const STOPPED_EVERY: u32 = 120;
/// Most reports of a round.
const REPORTS_MAX: usize = 4;
/// Reports that are under way when the server is killed.
const REPORTS_AT_KILL: usize = 12;
const HOUR_MS: i64 = 3_600_000;
const DAY_SECONDS: i64 = 86_400;

/// Everything.
pub struct Trial {
    folder: PathBuf,
    server: Option<Server>,
    address: SocketAddr,
    rng: StdRng,
    teller: Teller,
    watchers: Vec<Watcher>,
    raters: Vec<Rater>,
    counts: Figures,
}

/// What happened, for whoever reads the log of a test.
#[derive(Default)]
struct Figures {
    kills: u64,
    stops: u64,
    disconnects: u64,
}

/// Those who report, in one.
struct Teller {
    rng: StdRng,
    reporter: Reporter,
    now: UtcMillis,
    sent: Vec<pb::Incident>,
    /// Sent, and never answered.
    open: Vec<pb::Incident>,
}

/// A watcher of rates.
struct Rater {
    by: Vec<i32>,
    mirror: Mirror,
    messages: Option<Streaming<pb::WatchRatesResponse>>,
    is_first: bool,
    taken: u64,
}

// === impl Trial ===

impl Trial {
    pub async fn start(folder: &Path, seed: u64) -> Self {
        let started = Server::start(child::serve(folder)).await;
        let server = started.expect("it starts");
        let clock = mistap::app::system_clock();
        let watchers: [&[&str]; 5] = [&[], &[], &["GVB"], &["HTM", "RET"], &[]];
        let line = pb::Dimension::Line as i32;
        let operator = pb::Dimension::Operator as i32;
        let mode = pb::Dimension::Mode as i32;
        let raters = [vec![line], vec![operator, mode], vec![]];
        Self {
            folder: folder.to_owned(),
            address: server.address,
            server: Some(server),
            rng: StdRng::seed_from_u64(seed),
            teller: Teller {
                rng: StdRng::seed_from_u64(seed ^ 1),
                reporter: Reporter::new(seed, clock()),
                now: clock(),
                sent: Vec::new(),
                open: Vec::new(),
            },
            watchers: watchers.into_iter().map(Watcher::new).collect(),
            raters: raters.into_iter().map(Rater::new).collect(),
            counts: Figures::default(),
        }
    }

    /// Some report and some watch at once; some break off; now and then the server dies.
    pub async fn round(&mut self) {
        if self.rng.random_ratio(1, KILLED_EVERY) {
            self.end_server(true).await;
        } else if self.rng.random_ratio(1, STOPPED_EVERY) {
            self.end_server(false).await;
        }
        let channel = self.channel().await;
        for place in 0..self.watchers.len() {
            // The last one reads seldom, and then all that there is.
            let reads = place + 1 < self.watchers.len() || self.rng.random_ratio(1, 20);
            if !reads {
                continue;
            }
            if self.rng.random_ratio(1, 4) {
                self.watchers[place].disconnect();
                self.counts.disconnects += 1;
            }
            if !self.watchers[place].is_connected() {
                let channel = self.new_channel().await;
                let connected = self.watchers[place].connect(channel).await;
                connected.expect("the server runs");
            }
        }
        for place in 0..self.raters.len() {
            if self.rng.random_ratio(1, 6) {
                self.raters[place].messages = None;
                self.counts.disconnects += 1;
            }
            if self.raters[place].messages.is_none() {
                let channel = self.new_channel().await;
                self.raters[place]
                    .connect(channel)
                    .await
                    .expect("the server runs");
            }
        }
        let reports = self.rng.random_range(0..=REPORTS_MAX);
        let reads: Vec<u32> = (0..8).map(|_| self.rng.random_range(0..3)).collect();
        let (watchers, raters) = (&mut self.watchers, &mut self.raters);
        let watch = async {
            let slow = watchers.len() - 1;
            for (watcher, reads) in watchers[..slow].iter_mut().zip(&reads) {
                for _ in 0..*reads {
                    watcher.read(SHORT).await;
                }
            }
            for (rater, reads) in raters.iter_mut().zip(&reads) {
                for _ in 0..*reads {
                    rater.read(SHORT).await;
                }
            }
        };
        let tell = self.teller.tell(&channel, reports);
        let ((), told) = tokio::join!(watch, tell);
        told.expect("the server runs");
        if self.rng.random_ratio(1, 30) {
            let slow = self.watchers.last_mut().expect("there are some");
            while slow.read(SHORT).await {}
        }
    }

    /// The server dies under reports, or stops in order; another takes its place.
    async fn end_server(&mut self, is_killed: bool) {
        let channel = self.channel().await;
        let server = self.server.take().expect("one always runs");
        if is_killed {
            let telling = self.teller.tell(&channel, REPORTS_AT_KILL);
            // Some answers may come before; after it, none.
            let (_, end) = tokio::join!(telling, server.kill());
            assert!(!end.status.success());
            self.counts.kills += 1;
        } else {
            let end = server.terminate().await;
            assert!(end.status.success(), "{}", end.log);
            self.counts.stops += 1;
        }
        let mut command = child::mistap();
        let listen = self.address.to_string();
        command
            .args(["serve", "--listen", &listen, "--data"])
            .arg(&self.folder)
            .env("MISTAP_LOG", "info");
        let started = Server::start(command).await;
        self.server = Some(started.unwrap_or_else(|end| panic!("it does not start: {end:?}")));
        // A few more messages may lie in what was received before the end.
        for watcher in &mut self.watchers {
            while watcher.read(PATIENCE).await {}
            watcher.disconnect();
        }
        for rater in &mut self.raters {
            while rater.read(PATIENCE).await {}
            rater.messages = None;
        }
    }

    async fn channel(&self) -> Channel {
        self.new_channel().await
    }

    async fn new_channel(&self) -> Channel {
        self.server.as_ref().expect("one runs").connect().await
    }

    /// Lets everybody come to the end, compares, and tells in short what happened.
    pub async fn end(mut self) -> String {
        let channel = self.channel().await;
        self.teller.settle(&channel).await;
        let answer = ask(&channel, &[], self.teller.now).await;
        let target = answer.position;
        for place in 0..self.raters.len() {
            let channel = self.new_channel().await;
            let rater = &mut self.raters[place];
            rater.settle(&channel, target).await;
            let answer = ask(&channel, &rater.by, self.teller.now).await;
            assert_eq!(rater.mirror.counts, counts(&answer.figures));
            let totals = (rater.mirror.total, rater.mirror.left_out);
            assert_eq!(totals, (answer.total, answer.left_out));
        }
        for place in 0..self.watchers.len() {
            while self.watchers[place].history.end() < target {
                let channel = self.new_channel().await;
                let watcher = &mut self.watchers[place];
                watcher.disconnect();
                watcher.connect(channel).await.expect("the server runs");
                watcher.read(PATIENCE).await;
                while watcher.read(SHORT).await {}
            }
        }
        let end = self.server.take().expect("one runs").terminate().await;
        assert!(end.status.success(), "{}", end.log);
        let all = read_journal(&self.folder);
        for watcher in &self.watchers {
            let of_operator = |(operator, _): &&(String, Happening)| {
                watcher.operators.is_empty() || watcher.operators.contains(operator)
            };
            let truth = all.iter().filter(of_operator);
            let truth: Vec<_> = truth.map(|(_, happening)| *happening).collect();
            assert!(!between(&truth, 0, target).is_empty());
            for (name, validate) in validators::ALL {
                let verdict = validate(&truth, &watcher.history);
                assert_eq!(verdict, Ok(()), "{name}, {:?}", watcher.operators);
            }
        }
        let streams: usize = self
            .watchers
            .iter()
            .map(|it| it.history.streams.len())
            .sum();
        let taken: u64 = self.raters.iter().map(|it| it.taken).sum();
        let events: usize = self
            .watchers
            .iter()
            .map(|it| it.history.events().count())
            .sum();
        format!(
            "{} kills, {} stops, {} disconnects; {} things happened; {streams} streams of \
             incidents saw {events} events; {taken} messages of rates",
            self.counts.kills,
            self.counts.stops,
            self.counts.disconnects,
            all.len(),
        )
    }
}

// === impl Teller ===

impl Teller {
    /// Tells some, some of them again, and takes some back or adds to them. What has no answer
    /// is told again later.
    async fn tell(&mut self, channel: &Channel, reports: usize) -> Result<(), Status> {
        let mut client = ReportingServiceClient::new(channel.clone());
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
                _ => {}
            }
        }
        Ok(())
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

    async fn settle(&mut self, channel: &Channel) {
        let open = self.open.len();
        self.tell(channel, open + 1).await.expect("the server runs");
    }
}

// === impl Rater ===

impl Rater {
    fn new(by: Vec<i32>) -> Self {
        Self {
            by,
            mirror: Mirror::default(),
            messages: None,
            is_first: true,
            taken: 0,
        }
    }

    async fn connect(&mut self, channel: Channel) -> Result<(), Status> {
        let request = pb::WatchRatesRequest {
            by: self.by.clone(),
            window: Some(prost_types::Duration {
                seconds: DAY_SECONDS,
                nanos: 0,
            }),
            pace: Some(prost_types::Duration {
                seconds: 0,
                nanos: 100_000_000,
            }),
            resume_token: self.mirror.token.clone(),
            ..pb::WatchRatesRequest::default()
        };
        let mut client = LiveServiceClient::new(channel);
        self.messages = Some(client.watch_rates(request).await?.into_inner());
        self.is_first = true;
        Ok(())
    }

    /// Takes one message, if one comes in time. A stream that ended is given up.
    async fn read(&mut self, patience: Duration) -> bool {
        let Some(messages) = &mut self.messages else {
            return false;
        };
        match tokio::time::timeout(patience, messages.message()).await {
            Err(_) => false,
            Ok(Ok(Some(message))) => {
                let verdict = self.mirror.take(&message, self.is_first);
                assert_eq!(verdict, Ok(()), "{message:?}");
                self.is_first = false;
                self.taken += 1;
                true
            }
            Ok(Ok(None) | Err(_)) => {
                self.messages = None;
                false
            }
        }
    }

    /// Reads until its state has everything through a position.
    async fn settle(&mut self, channel: &Channel, target: u64) {
        let reading = async {
            while self.mirror.position < target {
                if self.messages.is_none() {
                    let connected = self.connect(channel.clone()).await;
                    connected.expect("the server runs");
                }
                // Where no row changed, only a new stream says so at once.
                if !self.read(SHORT).await {
                    self.messages = None;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading)
            .await
            .expect("in time");
    }
}

// === What should have been seen ===

/// What a question gives of everything.
async fn ask(channel: &Channel, by: &[i32], now: UtcMillis) -> pb::QueryFiguresResponse {
    let midnight = now.0 / 1_000 / 3_600 * 3_600 - 2 * DAY_SECONDS;
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let request = pb::QueryFiguresRequest {
        question: Some(pb::Question {
            by: by.to_vec(),
            window: Some(pb::Window {
                start: at(midnight),
                end: at(midnight + 4 * DAY_SECONDS),
            }),
            ..pb::Question::default()
        }),
        page_size: 10_000,
        ..pb::QueryFiguresRequest::default()
    };
    let mut client = StatisticsServiceClient::new(channel.clone());
    let asking = async {
        loop {
            match client.query_figures(request.clone()).await {
                Ok(answer) => break answer.into_inner(),
                Err(status) if status.code() == tonic::Code::Unavailable => {
                    tokio::time::sleep(RETRY).await;
                }
                Err(status) => panic!("{status:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("in time")
}

/// Everything that happened, in the order of the journal, with the incident's operator: an id
/// counts where it first stands, and is withdrawn once.
fn read_journal(folder: &Path) -> Vec<(String, Happening)> {
    let (reader, _) = journal::open_reader(&folder.join("journal")).expect("a journal");
    let mut recorded = HashMap::<IncidentId, (u64, bool)>::new();
    let mut all = Vec::new();
    for record in reader.entries_from(Position(1)).expect("readable") {
        let record = record.expect("sound");
        let position = record.position.0;
        let (facts, kind) = match record.entry {
            Entry::Incident { facts, .. } => {
                if recorded.contains_key(&facts.id) {
                    continue;
                }
                recorded.insert(facts.id, (position, true));
                (facts, Kind::Recorded)
            }
            Entry::Withdrawn { id, facts, .. } => {
                let Some((first, counts)) = recorded.get_mut(&id) else {
                    continue;
                };
                if !std::mem::take(counts) {
                    continue;
                }
                (facts, Kind::Withdrawn(*first))
            }
            _ => continue,
        };
        let operator = facts.operator.as_ref().map(ToString::to_string);
        all.push((operator.unwrap_or_default(), Happening { position, kind }));
    }
    all
}
