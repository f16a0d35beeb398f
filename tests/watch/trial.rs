//! One server after the other over one folder, those who report to it, and those who watch.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mistap::api::pb::v1 as pb;
use mistap::domain::limits::WATCH_UNTAKEN_MS_MAX;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::ROUNDS_MIN;
use crate::callers::Caller;
use crate::child::{self, PATIENCE, Server};
use crate::history::{Happening, History, Kind, between};
use crate::incidents::Watcher;
use crate::past::{self, Lost};
use crate::rater::{Rater, position};
use crate::stuck;
use crate::teller::Teller;
use crate::truth::read_journal;
use crate::unsealed::Unsealed;
use crate::validators;

/// How long a watcher waits in a round for a message that may not come.
const SHORT: Duration = Duration::from_millis(20);
/// One in so many rounds kills the server, and one stops it.
const KILLED_EVERY: u32 = 50;
const STOPPED_EVERY: u32 = 120;
/// And so do these rounds, so that every trial of some length has seen both.
const KILLED_AT: u64 = 12;
const STOPPED_AT: u64 = 30;
/// Most reports of a round.
const REPORTS_MAX: usize = 4;
/// Reports that are under way when the server is killed.
const REPORTS_AT_KILL: usize = 12;
/// In this round, and each so many after it, so much is told at once that a watcher that reads
/// nothing falls out of what is kept for all.
const FLOOD_AT: u64 = 20;
const FLOOD_EVERY: u64 = 2_500;
/// In this round, and each so many after it, watchers of rates stay behind.
const STUCK_AT: u64 = 25;
const STUCK_EVERY: u64 = 1_000;
/// In this round, and each so many after it, some offer tokens that lead nowhere.
const LOST_AT: u64 = 10;
const LOST_EVERY: u64 = 500;
/// Bytes that a server may send to it before it reads, the least that HTTP/2 begins with.
const SLOW_WINDOW: u32 = 65_535;
/// Taps are told in one of so many rounds.
const TAPS_EVERY: u32 = 12;

/// Everything.
pub struct Trial {
    folder: TempDir,
    lost: [Lost; 2],
    steward: Caller,
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
    lost: u64,
    /// States that were told whole to watchers of rates who had stayed behind.
    snapshots_midway: u64,
}

// === impl Trial ===

impl Trial {
    pub async fn start(seed: u64) -> Self {
        let (folder, lost) = past::record(seed).await;
        let steward = Caller::new(folder.path(), &[]);
        let gvb = Caller::new(folder.path(), &["GVB"]);
        let both = Caller::new(folder.path(), &["HTM", "RET"]);
        let started = Server::start(child::serve(folder.path())).await;
        let server = started.expect("it starts");
        let unsealed = Unsealed::of(folder.path());
        let clock = mistap::app::system_clock();
        let watchers: [(&Caller, &[&str]); 8] = [
            (&steward, &[]),
            (&steward, &[]),
            (&steward, &["GVB"]),
            (&steward, &["HTM", "RET"]),
            (&gvb, &["GVB"]),
            (&both, &["HTM", "RET"]),
            (&both, &["RET"]),
            (&steward, &[]),
        ];
        let watcher = |(caller, operators)| Watcher::new(caller, operators, &unsealed);
        use pb::Dimension::{Line, Mode, Operator};
        let raters: [(&Caller, &[pb::Dimension], bool); 7] = [
            (&steward, &[Line], false),
            (&steward, &[Operator, Mode], false),
            (&steward, &[], false),
            (&steward, &[Line], true),
            (&gvb, &[Line], true),
            (&both, &[Operator, Mode], false),
            (&both, &[], false),
        ];
        let rater = |(caller, by, is_rated)| Rater::new(caller, by, is_rated);
        Self {
            address: server.address,
            server: Some(server),
            rng: StdRng::seed_from_u64(seed),
            teller: Teller::new(seed, clock(), &steward),
            watchers: watchers.into_iter().map(watcher).collect(),
            raters: raters.into_iter().map(rater).collect(),
            counts: Figures::default(),
            folder,
            lost,
            steward,
        }
    }

    /// Some report and some watch at once; some break off; now and then the server dies.
    pub async fn round(&mut self) {
        let rounds = self.counts.rounds;
        if rounds == KILLED_AT || self.rng.random_ratio(1, KILLED_EVERY) {
            self.end_server(true).await;
        } else if rounds == STOPPED_AT || self.rng.random_ratio(1, STOPPED_EVERY) {
            self.end_server(false).await;
        }
        let channel = self.channel().await;
        for place in 0..self.watchers.len() {
            // The last one reads seldom, and then all that there is.
            let reads = place + 1 < self.watchers.len() || self.rng.random_ratio(1, 20);
            if !reads {
                continue;
            }
            if self.rng.random_ratio(1, 3) {
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
            if self.rng.random_ratio(1, 3) {
                self.raters[place].disconnect();
                self.counts.disconnects += 1;
            }
            if !self.raters[place].is_connected() {
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
        if self.counts.rounds % STUCK_EVERY == STUCK_AT {
            let begun = Instant::now();
            let told = stuck::fall_behind(&mut self.teller, &self.steward, self.address).await;
            // On a machine that takes longer the server may end them, and they begin anew.
            let is_quick = begun.elapsed() < Duration::from_millis(WATCH_UNTAKEN_MS_MAX);
            assert!(0 < told || !is_quick, "some are told the whole state again");
            self.counts.snapshots_midway += told;
        }
        if self.counts.rounds % LOST_EVERY == LOST_AT {
            self.offer_lost().await;
        }
        self.counts.rounds += 1;
        let reports = self.rng.random_range(0..=REPORTS_MAX);
        let reads: Vec<u32> = (0..8).map(|_| self.rng.random_range(0..3)).collect();
        let (watchers, raters) = (&mut self.watchers, &mut self.raters);
        let watch = async {
            let slow = watchers.len() - 1;
            let watchers = watchers[..slow].iter_mut().zip(&reads);
            let of_incidents = watchers.map(async |(watcher, reads)| {
                for _ in 0..*reads {
                    watcher.read(SHORT).await;
                }
            });
            let raters = raters.iter_mut().zip(&reads);
            let of_rates = raters.map(async |(rater, reads)| {
                for _ in 0..*reads {
                    rater.read(SHORT).await;
                }
            });
            tokio::join!(join_all(of_incidents), join_all(of_rates));
        };
        let tell = self.teller.tell(&channel, reports);
        let ((), told) = tokio::join!(watch, tell);
        told.expect("the server runs");
        if self.rng.random_ratio(1, 30) {
            let slow = self.watchers.last_mut().expect("there are some");
            while slow.read(SHORT).await {}
        }
    }

    /// Of those who see everything and of operators one each offers each token that leads nowhere.
    async fn offer_lost(&mut self) {
        let operators = self.watchers.iter().position(|it| it.caller.is_operator());
        for watcher in [0, operators.expect("some are")] {
            for Lost {
                reason, incidents, ..
            } in &self.lost
            {
                let channel = self.new_channel().await;
                let watcher = &mut self.watchers[watcher];
                watcher.offer(channel, incidents, reason).await;
                self.counts.lost += 1;
            }
        }
        for rater in [0, self.raters.len() - 1] {
            for Lost { reason, rates, .. } in &self.lost {
                let channel = self.new_channel().await;
                self.raters[rater].offer(channel, rates, reason).await;
                self.counts.lost += 1;
            }
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
        let now = position(&self.steward, channel, self.teller.now).await;
        while slow.place() < now {
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
            .arg(self.folder.path())
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
            rater.disconnect();
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
        let last = self.teller.settle(&channel).await;
        let target = position(&self.steward, &channel, self.teller.now).await;
        for place in 0..self.raters.len() {
            let channel = self.new_channel().await;
            let rater = &mut self.raters[place];
            rater.settle(&channel, self.teller.now, last).await;
        }
        for place in 0..self.watchers.len() {
            while self.watchers[place].place() < target {
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
        let all = read_journal(self.folder.path());
        for watcher in &mut self.watchers {
            hold(watcher, &all, target);
        }
        let streams: usize = self
            .watchers
            .iter()
            .flat_map(histories)
            .map(|it| it.streams.len())
            .sum();
        let lags: u64 = self.watchers.iter().map(|it| it.lags).sum();
        let taken: u64 = self.raters.iter().map(|it| it.taken).sum();
        let resumed: u64 = self.raters.iter().map(|it| it.resumed).sum();
        // Those that went on after something that an earlier stream had told.
        let continued: usize = self
            .watchers
            .iter()
            .flat_map(histories)
            .map(History::continued)
            .sum();
        let events: usize = self
            .watchers
            .iter()
            .flat_map(histories)
            .map(|it| it.events().count())
            .sum();
        let of = |is: fn(&Kind) -> bool| all.iter().filter(|(_, one)| is(&one.kind)).count();
        let withdrawn = of(|kind| matches!(kind, Kind::Withdrawn(_)));
        let amended = of(|kind| matches!(kind, Kind::Amended(_)));
        let answered = of(|kind| matches!(kind, Kind::Answered(_)));
        assert!(0 < withdrawn && 0 < amended && 0 < answered && 0 < lags);
        let has_both = 0 < self.counts.kills && 0 < self.counts.stops;
        assert!(has_both || self.counts.rounds <= KILLED_AT.max(STOPPED_AT));
        assert!(0 < self.counts.lost || self.counts.rounds <= LOST_AT);
        // Far fewer than come about by chance.
        if ROUNDS_MIN <= self.counts.rounds {
            let (rounds, disconnects) = (self.counts.rounds, self.counts.disconnects);
            assert!(2 * rounds < disconnects, "{disconnects} in {rounds}");
            assert!(0 < resumed && 0 < continued, "{resumed}, {continued}");
        }
        format!(
            "{} kills, {} stops, {} disconnects, {lags} lags, {} lost tokens; taps told {} times; {} things \
             happened, {withdrawn} of them withdrawals, {amended} amendments, {answered} answers; \
             {streams} streams of incidents, {continued} of them resumed, saw {events} events; {taken} \
             messages of rates, of which {resumed} resumed; {} states told again",
            self.counts.kills,
            self.counts.stops,
            self.counts.disconnects,
            self.counts.lost,
            self.counts.taps_told,
            all.len(),
            self.counts.snapshots_midway,
        )
    }
}

fn histories(watcher: &Watcher) -> impl Iterator<Item = &History> {
    watcher.earlier.iter().chain([&watcher.history])
}

/// What a watcher saw, from each of its beginnings on, is its part of what happened.
fn hold(watcher: &mut Watcher, all: &[(String, Happening)], target: u64) {
    let is_operator = watcher.caller.is_operator();
    let is_its = |(operator, happening): &&(String, Happening)| {
        let is_asked = watcher.operators.is_empty() || watcher.operators.contains(operator);
        // No operator is told of amendments, which may be about staff.
        is_asked && !(is_operator && matches!(happening.kind, Kind::Amended(_)))
    };
    let truth = all.iter().filter(is_its);
    let truth: Vec<_> = truth.map(|(_, happening)| *happening).collect();
    assert!(!between(&truth, 0, target).is_empty());
    for history in watcher.earlier.iter_mut().chain([&mut watcher.history]) {
        history.place(&truth);
        for (name, validate) in validators::ALL {
            let verdict = validate(&truth, history);
            let operators = (is_operator, &watcher.operators);
            assert_eq!(verdict, Ok(()), "{name}, {operators:?}");
        }
    }
    assert!(target <= watcher.history.end());
}
