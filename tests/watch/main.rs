//! Random disconnects, slow readers, restarts, kills, and tokens that lead nowhere: what every
//! watcher of incidents saw, pieced together, is the journal's own sequence, or its operator's
//! part of it and nothing of another's; and every watcher of rates ends at the state that a
//! question gives. Each promise has a validator with its name.
//!
//! As many rounds as `ROUNDS` and `TIME_MAX` let through, or as many as `MISTAP_WATCH_ROUNDS` says,
//! however long they take.

mod callers;
#[allow(dead_code, reason = "each test program uses its part")]
#[path = "../it/child.rs"]
mod child;
mod history;
mod incidents;
mod past;
mod rater;
mod rates;
#[allow(dead_code, reason = "each test program uses its part")]
#[path = "../it/reports.rs"]
mod reports;
mod sight;
mod stuck;
#[allow(dead_code, reason = "each test program uses its part")]
#[path = "../it/support.rs"]
mod support;
mod teller;
mod trial;
mod truth;
mod unsealed;
mod validators;

use std::time::{Duration, Instant};

use trial::Trial;

/// With some five streams broken off in each.
const ROUNDS: u64 = 2_000;
const TIME_MAX: Duration = Duration::from_secs(180);
/// Fewer would show nothing.
pub const ROUNDS_MIN: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_watchers_see_what_the_journal_has() {
    let asked = std::env::var("MISTAP_WATCH_ROUNDS").ok();
    let asked: Option<u64> = asked.map(|rounds| rounds.parse().expect("a number of rounds"));
    let begun = Instant::now();
    let mut trial = Trial::start(reports::seed()).await;
    let mut rounds = 0;
    while rounds < asked.unwrap_or(ROUNDS) {
        if asked.is_none() && ROUNDS_MIN <= rounds && TIME_MAX < begun.elapsed() {
            break;
        }
        trial.round().await;
        rounds += 1;
    }
    let told = trial.end().await;
    reports::tell(&format!("{rounds} rounds in {:?}: {told}", begun.elapsed()));
}
