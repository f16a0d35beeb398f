//! One server after the other over one folder, those who report to it, and those who watch.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::live_service_client::LiveServiceClient;
use mistap::api::pb::v1::statistics_service_client::StatisticsServiceClient;
use mistap::domain::UtcMillis;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::child::{self, Server};
use crate::history::{Happening, Kind, between};
use crate::incidents::Watcher;
use crate::rates::{Mirror, counts, rates};
use crate::teller::Teller;
use crate::truth::read_journal;
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
/// In this round, and each so many after it, so much is told at once that a watcher that reads
/// nothing falls out of what is kept for all.
const FLOOD_AT: u64 = 20;
const FLOOD_EVERY: u64 = 2_500;
/// Bytes that a server may send to it before it reads, the least that HTTP/2 begins with.
const SLOW_WINDOW: u32 = 65_535;
/// Taps are told in one of so many rounds.
const TAPS_EVERY: u32 = 12;
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
    rounds: u64,
    taps_told: u64,
}

/// A watcher of rates.
struct Rater {
    by: Vec<i32>,
    /// Whether it asks for rates beside counts.
    is_rated: bool,
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
        let raters = [
            (vec![line], false),
            (vec![operator, mode], false),
            (vec![], false),
            (vec![line], true),
        ];
        Self {
            folder: folder.to_owned(),
            address: server.address,
            server: Some(server),
            rng: StdRng::seed_from_u64(seed),
            teller: Teller::new(seed, clock()),
            watchers: watchers.into_iter().map(Watcher::new).collect(),
            raters: raters
                .into_iter()
                .map(|(by, is_rated)| Rater::new(by, is_rated))
                .collect(),
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
        if self.counts.rounds == 0 || self.rng.random_ratio(1, TAPS_EVERY) {
            self.teller.tell_taps(&channel).await;
            self.counts.taps_told += 1;
        }
        if self.counts.rounds % FLOOD_EVERY == FLOOD_AT {
            self.flood(&channel).await;
        }
        self.counts.rounds += 1;
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

    /// Tells more at once than is kept for all, while a watcher that has all reads nothing: it is
    /// told so, with the token to go on from.
    async fn flood(&mut self, channel: &Channel) {
        let address = format!("http://{}", self.address);
        let endpoint = Endpoint::from_shared(address).expect("an address");
        let endpoint = endpoint.initial_stream_window_size(SLOW_WINDOW);
        let narrow = endpoint.connect().await.expect("the server runs");
        let slow = self.watchers.last_mut().expect("there are some");
        slow.disconnect();
        slow.connect(narrow).await.expect("the server runs");
        let now = position(channel, self.teller.now).await;
        while slow.history.end() < now {
            assert!(slow.read(PATIENCE).await, "it comes to the end");
        }
        let lags = slow.lags;
        self.teller.flood(channel).await;
        while slow.read(PATIENCE).await {}
        assert_eq!(slow.lags, lags + 1, "it is told that it fell behind");
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
            if rater.is_rated {
                rater.compare_rates(&channel).await;
            }
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
        let lags: u64 = self.watchers.iter().map(|it| it.lags).sum();
        let taken: u64 = self.raters.iter().map(|it| it.taken).sum();
        let events: usize = self
            .watchers
            .iter()
            .map(|it| it.history.events().count())
            .sum();
        let of = |is: fn(&Kind) -> bool| all.iter().filter(|(_, one)| is(&one.kind)).count();
        let withdrawn = of(|kind| matches!(kind, Kind::Withdrawn(_)));
        let amended = of(|kind| matches!(kind, Kind::Amended(_)));
        let answered = of(|kind| matches!(kind, Kind::Answered(_)));
        assert!(0 < withdrawn && 0 < amended && 0 < answered && 0 < lags);
        format!(
            "{} kills, {} stops, {} disconnects, {lags} lags; taps told {} times; {} things \
             happened, {withdrawn} of them withdrawals, {amended} amendments, {answered} answers; \
             {streams} streams of incidents saw {events} events; {taken} messages of rates",
            self.counts.kills,
            self.counts.stops,
            self.counts.disconnects,
            self.counts.taps_told,
            all.len(),
        )
    }
}

// === impl Rater ===

impl Rater {
    fn new(by: Vec<i32>, is_rated: bool) -> Self {
        Self {
            by,
            is_rated,
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
            rates: self.is_rated.then(pb::RatesRequest::default),
            ..pb::WatchRatesRequest::default()
        };
        let mut client = LiveServiceClient::new(channel);
        let opened = client.watch_rates(request).await;
        self.messages = match opened {
            // The store with its taps is still being opened.
            Err(status) if self.is_rated && status.code() == Code::Unavailable => None,
            opened => Some(opened?.into_inner()),
        };
        self.is_first = true;
        Ok(())
    }

    /// Its rates are those of a question over the same hours.
    async fn compare_rates(&self, channel: &Channel) {
        let window = self.mirror.rated.expect("taps were told");
        let answer = ask_of(channel, &self.by, window, true).await;
        assert_eq!(self.mirror.total_rate, answer.total_rate);
        let asked = rates(&answer.figures);
        assert!(asked.values().any(|rate| 0 < rate.taps), "{asked:?}");
        for (key, rate) in &asked {
            assert_eq!(self.mirror.rates.get(key), Some(rate), "{key:?}");
        }
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

/// Where the journal is.
async fn position(channel: &Channel, now: UtcMillis) -> u64 {
    ask(channel, &[], now).await.position
}

/// What a question gives of everything.
async fn ask(channel: &Channel, by: &[i32], now: UtcMillis) -> pb::QueryFiguresResponse {
    let midnight = now.0 / 1_000 / 3_600 * 3_600 - 2 * DAY_SECONDS;
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let window = pb::Window {
        start: at(midnight),
        end: at(midnight + 4 * DAY_SECONDS),
    };
    ask_of(channel, by, window, false).await
}

async fn ask_of(
    channel: &Channel,
    by: &[i32],
    window: pb::Window,
    is_rated: bool,
) -> pb::QueryFiguresResponse {
    let request = pb::QueryFiguresRequest {
        question: Some(pb::Question {
            by: by.to_vec(),
            window: Some(window),
            ..pb::Question::default()
        }),
        rates: is_rated.then(pb::RatesRequest::default),
        page_size: 10_000,
        ..pb::QueryFiguresRequest::default()
    };
    let mut client = StatisticsServiceClient::new(channel.clone());
    let asking = async {
        loop {
            match client.query_figures(request.clone()).await {
                Ok(answer) => break answer.into_inner(),
                Err(status) if status.code() == Code::Unavailable => {
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
