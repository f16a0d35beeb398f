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

use std::time::Instant;

use load::Trial;
use rand::Rng;

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

/// One round: a start, a load, and an end at a random moment.
async fn round(trial: &mut Trial, round: u64) {
    if round % DIES_AT_START_EVERY == 1 {
        let lines = trial.rng.random_range(0..=START_LINES);
        child::kill_while_starting(child::serve(&trial.folder), lines).await;
    }
    let (server, channel) = trial.start().await;
    if round % ASKED_EVERY == ASKED_EVERY - 1 {
        trial.crowd.look_back(&channel, ASKED_PART).await;
        trial.check_total(&channel).await;
    }
    let target = trial.rng.random_range(0..=ANSWERS_MAX);
    let is_stopped = round % STOPPED_EVERY == STOPPED_EVERY - 1;
    let end = async || {
        if is_stopped {
            load::stop(server).await;
        } else {
            server.kill().await;
        }
    };
    trial.crowd.report_until(&channel, target, end).await;
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
    for number in 0..rounds() {
        round(&mut trial, number).await;
        if number == 1 {
            trial.verify().await;
        }
    }
    let unanswered = trial.crowd.sent().count() - trial.crowd.answered().count();
    trial.settle().await;
    trial.verify().await;
    reports::tell(&format!(
        "{} rounds in {:?}: {} reports, of which {unanswered} had no answer before the end",
        rounds(),
        begun.elapsed(),
        trial.crowd.sent().count(),
    ));
}
