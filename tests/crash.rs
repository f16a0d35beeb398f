//! Kill -9 at random moments under load, again and again: what was answered stays, and
//! counts once, however often it is sent.
//!
//! 20 rounds, or as many as `MISTAP_CRASH_ROUNDS` says.

#[allow(dead_code, reason = "each test program uses its part")]
#[path = "it/child.rs"]
mod child;
mod load;
#[path = "it/reports.rs"]
mod reports;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use child::Server;
use load::{Answers, Crowd};
use mistap::domain::UtcMillis;
use mistap::ingest::repair;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tonic::transport::Channel;

const ROUNDS: u64 = 20;
/// Most answers in one round before the server dies.
const ANSWERS_MAX: u64 = 400;
/// Lines of log that a start writes, about.
const START_LINES: usize = 4;
/// Every so many rounds the server dies while it starts, is asked for what it holds, or is
/// told to stop instead.
const DIES_AT_START_EVERY: u64 = 3;
const ASKED_EVERY: u64 = 5;
const STOPPED_EVERY: u64 = 8;
/// One in so many incidents is asked for between the rounds; all of them at the end.
const ASKED_PART: usize = 10;
/// How long a server may take to stop.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// What goes on from round to round.
struct Trial {
    folder: PathBuf,
    rng: StdRng,
    now: UtcMillis,
    crowd: Crowd,
}

impl Trial {
    fn new(folder: &Path, seed: u64) -> Self {
        let now = mistap::app::system_clock()();
        Self {
            folder: folder.to_owned(),
            rng: StdRng::seed_from_u64(seed),
            now,
            crowd: Crowd::new(seed, now),
        }
    }

    async fn start(&self) -> (Server, Channel) {
        let server = Server::start(child::serve(&self.folder)).await;
        let server = server.expect("it starts, whatever the kill left");
        let channel = server.connect().await;
        (server, channel)
    }

    async fn round(&mut self, round: u64) {
        if round % DIES_AT_START_EVERY == 1 {
            let lines = self.rng.random_range(0..=START_LINES);
            child::kill_while_starting(child::serve(&self.folder), lines).await;
        }
        let (server, channel) = self.start().await;
        if round % ASKED_EVERY == ASKED_EVERY - 1 {
            self.crowd.look_back(&channel, ASKED_PART).await;
            self.check_total(&channel).await;
        }
        let target = self.rng.random_range(0..=ANSWERS_MAX);
        let answers = Arc::new(Answers::default());
        let mut reporting = pin!(self.crowd.report(&channel, &answers));
        tokio::select! {
            () = answers.reach(target) => {}
            noticed = &mut reporting => panic!("all gave up while the server ran: {noticed:?}"),
        }
        let dies = async {
            if round % STOPPED_EVERY == STOPPED_EVERY - 1 {
                stop(server).await;
            } else {
                server.kill().await;
            }
        };
        tokio::join!(dies, reporting);
    }

    /// Those that were sent without an answer may have been recorded, or not.
    async fn check_total(&self, channel: &Channel) {
        let figures = reports::ask(channel, self.now).await.expect("figures");
        let total = reports::total(&figures);
        let answered = self.crowd.answered().count() as u64;
        let sent = self.crowd.sent().count() as u64;
        assert!(
            (answered..=sent).contains(&total),
            "{answered} of {sent} answered, {total} counted"
        );
    }

    /// Everything is sent until it is answered, is there, and counts once.
    async fn settle(&mut self) {
        let (server, channel) = self.start().await;
        self.crowd.finish(&channel).await;
        self.crowd.look_back(&channel, 1).await;
        let figures = reports::ask(&channel, self.now).await.expect("figures");
        assert_eq!(figures, reports::count(self.crowd.sent()));
        drop(channel);
        stop(server).await;
    }

    fn verify(&self) {
        let report = repair::verify(&self.folder, &mut |_, _| {}).expect("it can be read");
        assert!(report.is_clean(), "{report:?}");
    }
}

/// Stops in order, and in time.
async fn stop(server: Server) {
    let begun = Instant::now();
    let end = server.terminate().await;
    assert!(end.status.success(), "{end:?}");
    assert!(begun.elapsed() < DRAIN_MAX, "{:?}", begun.elapsed());
}

fn rounds() -> u64 {
    match std::env::var("MISTAP_CRASH_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("MISTAP_CRASH_ROUNDS is a number"),
        Err(_) => ROUNDS,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_server_has_all_that_it_answered_and_counts_it_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut trial = Trial::new(&folder.path().join("data"), reports::seed());
    let begun = Instant::now();
    for round in 0..rounds() {
        trial.round(round).await;
        if round == 1 {
            trial.verify();
        }
    }
    let unanswered = trial.crowd.sent().count() - trial.crowd.answered().count();
    trial.settle().await;
    trial.verify();
    println!(
        "{} rounds in {:?}: {} reports, of which {unanswered} had no answer before the end",
        rounds(),
        begun.elapsed(),
        trial.crowd.sent().count(),
    );
}
