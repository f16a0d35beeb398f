//! `mistap bench live`: how long from sending a report until the one watcher has it, durable
//! before it is told.

use std::time::{Duration, Instant};

use super::Plan;
use super::contest::{self, Better, Contest, Place};
use super::crowd::{self, Crowd, Shape};
use super::durable::missing;
use super::stand::Stand;
use crate::cli::Failure;

/// The least ratio to PostgreSQL that is aimed at.
const NOTIFY_TARGET: f64 = 1.0;
const ONE: Shape = Shape {
    watchers: 1,
    connections: 1,
    slow: None,
};

/// Runs it.
pub async fn run(plan: &Plan) -> Result<(), Failure> {
    contest::say(&format!("\nwatcher: {}", crowd::NAME))?;
    let title = "a report until its watcher has it, one in flight";
    let contest = |percent: &str| {
        Contest::new(format!("{title}, {percent}"), "microseconds", Better::Less)
            .with_targets(plan.with_targets)
    };
    let (mut middle, mut high) = (contest("median"), contest("99th percentile"));
    let mut watched = Vec::new();
    let mut enter = |name: &str, target| {
        let place = middle.enter(name, target);
        high.enter(name, None);
        place
    };
    let ours = enter("mistap, durable, WatchIncidents", None);
    let notify = enter("PostgreSQL insert + NOTIFY, durable", Some(NOTIFY_TARGET));
    let tonic = enter("tonic as it comes, nothing kept", None);
    let nats = enter("NATS core, nothing kept", None);
    watched.push(watch(ours, Stand::incidents(plan).await?).await?);
    watched.push(watch(tonic, Stand::tonic()?).await?);
    for (place, stand) in [
        (notify, stand_if(plan, Stand::notify()).await?),
        (nats, stand_if(plan, Stand::nats()).await?),
    ] {
        match stand {
            Some(stand) => watched.push(watch(place, stand).await?),
            None => {
                middle.skip(place, missing(plan));
                high.skip(place, missing(plan));
            }
        }
    }
    for one in &mut watched {
        one.delays(plan.span / 4).await?;
    }
    for _ in 0..plan.rounds {
        for _ in 0..watched.len() {
            // On a thread of the runtime, so that nobody's report has to be handed to one.
            let mut one = watched.remove(0);
            let span = plan.span;
            let measured = tokio::spawn(async move { (one.delays(span).await, one) }).await;
            let (delays, one) =
                measured.map_err(|error| Failure::unexpected("a measurement ended", &error))?;
            let mut delays = delays?;
            let micros = |delay: Duration| delay.as_secs_f64() * 1e6;
            middle.note(one.place, micros(contest::percentile(&mut delays, 50)));
            high.note(one.place, micros(contest::percentile(&mut delays, 99)));
            watched.push(one);
        }
    }
    middle.print()?;
    high.print()
}

async fn stand_if(
    plan: &Plan,
    stand: impl Future<Output = Result<Option<Stand>, Failure>>,
) -> Result<Option<Stand>, Failure> {
    if plan.with_peers {
        stand.await
    } else {
        Ok(None)
    }
}

struct Watched {
    place: Place,
    stand: Stand,
    crowd: Crowd,
}

async fn watch(place: Place, stand: Stand) -> Result<Watched, Failure> {
    let mut crowd = Crowd::open(stand.subject(), ONE).await?;
    crowd.settle().await?;
    Ok(Watched {
        place,
        stand,
        crowd,
    })
}

impl Watched {
    /// Of one update after the other, for so long.
    async fn delays(&mut self, span: Duration) -> Result<Vec<Duration>, Failure> {
        let begun = Instant::now();
        let mut delays = Vec::new();
        while delays.is_empty() || begun.elapsed() < span {
            delays.extend(self.stand.update(&mut self.crowd).await?);
        }
        Ok(delays)
    }
}
