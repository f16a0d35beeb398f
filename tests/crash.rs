//! Kill -9 at random moments under load, again and again: what was answered stays, and
//! counts once, however often it is sent. In half of the rounds checkpoints are written all the
//! time, so that some are cut short.
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
/// Entries between two checkpoints in every other round.
const CHECKPOINT_ENTRIES: u64 = 200;
/// What the log says of each.
const CHECKPOINT_WRITTEN: &str = "checkpoint written";
/// Lines of log that a start writes, about.
const START_LINES: usize = 4;
/// Every so many rounds the server dies while it starts, is asked for what it holds, or is
/// told to stop instead.
const DIES_AT_START_EVERY: u64 = 3;
const ASKED_EVERY: u64 = 5;
const STOPPED_EVERY: u64 = 8;
/// One in so many incidents is asked for between the rounds; all of them at the end.
const ASKED_PART: usize = 10;

/// One round: a start, a load, and an end at a random moment. Says how many checkpoints were
/// written before a kill.
async fn round(trial: &mut Trial, round: u64) -> usize {
    trial.checkpoint_entries = round.is_multiple_of(2).then_some(CHECKPOINT_ENTRIES);
    if round % DIES_AT_START_EVERY == 1 {
        let lines = trial.rng.random_range(0..=START_LINES);
        child::kill_while_starting(trial.serve(), lines).await;
    }
    let (server, channel) = trial.start().await;
    if round % ASKED_EVERY == ASKED_EVERY - 1 {
        trial.crowd.look_back(&channel, ASKED_PART).await;
        trial.teller.look_back(&channel, ASKED_PART).await;
        trial.check_total(&channel).await;
    }
    let target = trial.rng.random_range(0..=ANSWERS_MAX);
    let is_stopped = round % STOPPED_EVERY == STOPPED_EVERY - 1;
    let mut checkpoints = 0;
    let end = async || {
        if is_stopped {
            load::stop(server).await;
        } else {
            let end = server.kill().await;
            checkpoints = end.log.matches(CHECKPOINT_WRITTEN).count();
        }
    };
    let Trial { crowd, teller, .. } = trial;
    tokio::join!(
        crowd.report_until(&channel, target, end),
        teller.go_on(&channel)
    );
    checkpoints
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
    let mut checkpoints = 0;
    for number in 0..rounds() {
        checkpoints += round(&mut trial, number).await;
        if number == 1 {
            trial.verify().await;
        }
    }
    let unanswered = trial.crowd.sent().count() - trial.crowd.answered().count();
    assert!(0 < checkpoints, "none was ever under way at a kill");
    trial.checkpoint_entries = None;
    trial.settle().await;
    trial.verify().await;
    tokio::task::block_in_place(|| trial.teller.check_taps(&trial.folder));
    reports::tell(&format!(
        "{} rounds in {:?}: {} reports, of which {unanswered} had no answer before the end, {} \
         tap counts and {checkpoints} checkpoints",
        rounds(),
        begun.elapsed(),
        trial.crowd.sent().count(),
        trial.teller.tellings(),
    ));
}
