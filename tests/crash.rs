//! Kill -9 at random moments under load, again and again: what was answered stays, and
//! counts once, however often it is sent. In half of the rounds checkpoints are written all the
//! time, so that some are cut short.
//!
//! 20 rounds, or as many as `MISTAP_CRASH_ROUNDS` says, and more until a kill has cut a checkpoint
//! short: in those it comes when one is being written.

#[allow(dead_code, reason = "each test program uses its part")]
#[path = "it/child.rs"]
mod child;
mod load;
#[path = "it/reports.rs"]
mod reports;

use std::path::Path;
use std::time::{Duration, Instant};

use load::Trial;
use rand::Rng;

const ROUNDS: u64 = 20;
/// Further ones, until a kill has cut one checkpoint short and come after another.
const ROUNDS_MORE_MAX: u64 = 100;
/// Looks, five in a millisecond, for a checkpoint that is being written before a kill.
const LOOKS_MAX: usize = 10_000;
/// Most answers in one round before the server dies.
const ANSWERS_MAX: u64 = 400;
/// Entries between two checkpoints in every other round.
const CHECKPOINT_ENTRIES: u64 = 200;
/// What the log says of each.
const CHECKPOINT_WRITTEN: &str = "checkpoint written";
/// What is there of one while it is written.
const CHECKPOINT_ASIDE: &str = "checkpoint.new";
/// Lines of log that a start writes, about.
const START_LINES: usize = 4;
/// Every so many rounds the server dies while it starts, is asked for what it holds, or is
/// told to stop instead.
const DIES_AT_START_EVERY: u64 = 3;
const ASKED_EVERY: u64 = 5;
const STOPPED_EVERY: u64 = 8;
/// Every so many rounds it is proved what was left, before the next start mends it.
const VERIFIED_EVERY: u64 = 5;
/// One in so many incidents is asked for between the rounds; all of them at the end.
const ASKED_PART: usize = 10;

/// What befell checkpoints.
#[derive(Clone, Copy, Debug, Default)]
struct Checkpoints {
    /// They were written before a kill.
    written: usize,
    /// A kill fell into their being written.
    cut_short: usize,
}

/// Waits until a checkpoint is being written, or for some seconds.
async fn until_written_to(aside: &Path) {
    let mut looks = 0;
    while !aside.exists() && looks < LOOKS_MAX {
        looks += 1;
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

/// One round: a start, a load, and an end at a random moment, or in a further round when a checkpoint
/// is being written. Says what befell checkpoints.
async fn round(trial: &mut Trial, round: u64) -> Checkpoints {
    let has_checkpoints = round.is_multiple_of(2);
    trial.checkpoint_entries = has_checkpoints.then_some(CHECKPOINT_ENTRIES);
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
    let mut checkpoints = Checkpoints::default();
    let aside = trial.folder.join(CHECKPOINT_ASIDE);
    let end = async || {
        if is_stopped {
            load::stop(server).await;
        } else {
            if rounds() <= round && has_checkpoints {
                until_written_to(&aside).await;
            }
            let end = server.kill().await;
            checkpoints.written = end.log.matches(CHECKPOINT_WRITTEN).count();
            checkpoints.cut_short = usize::from(aside.exists());
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
    let mut checkpoints = Checkpoints::default();
    let mut number = 0;
    while number < rounds() || checkpoints.written == 0 || checkpoints.cut_short == 0 {
        assert!(number < rounds() + ROUNDS_MORE_MAX, "{checkpoints:?}");
        let more = round(&mut trial, number).await;
        checkpoints.written += more.written;
        checkpoints.cut_short += more.cut_short;
        if number % VERIFIED_EVERY == 1 {
            trial.verify().await;
        }
        number += 1;
    }
    let unanswered = trial.crowd.sent().count() - trial.crowd.answered().count();
    trial.checkpoint_entries = None;
    trial.settle().await;
    trial.verify().await;
    tokio::task::block_in_place(|| trial.teller.check_taps(&trial.folder));
    reports::tell(&format!(
        "{number} rounds in {:?}: {} reports, of which {unanswered} had no answer before the end, {} \
         tap counts and {checkpoints:?}",
        begun.elapsed(),
        trial.crowd.sent().count(),
        trial.teller.tellings(),
    ));
}
