//! `mistap bench fanout`: one update to all watchers, over few connections and over as many as
//! the machine allows; what a watcher costs in memory; and what slow watchers cost others.

use std::time::{Duration, Instant};

use super::Plan;
use super::contest::{self, Better, Bound, Contest, Place};
use super::crowd::{self, Crowd, Shape};
use super::durable::{missing, rate};
use super::slow;
use super::stand::Stand;
use crate::app::files;
use crate::cli::Failure;

pub(super) const CONNECTIONS: usize = 16;
/// Who comes and goes before memory is looked at: what a server has to have at all is there then.
const EARLY: Shape = Shape {
    watchers: 64,
    connections: 1,
    slow: None,
};
/// Files that a server or this process has open besides connections.
const OTHER_FILES: usize = 256;
pub(super) const KIB: f64 = 1_024.0;
const MIB: f64 = 1_048_576.0;

/// The least ratio to tonic that is aimed at.
const TONIC_TARGET: f64 = 1.2;
const WATCHER_KIB_MAX: f64 = 3.0;
const IDLE_MIB_MAX: f64 = 256.0;

/// Runs it.
pub async fn run(plan: &Plan) -> Result<(), Failure> {
    let files_max = files::raise_limit();
    contest::say(&format!("\nwatchers: {}", crowd::NAME))?;
    on_few_connections(plan).await?;
    on_many_connections(plan, files_max).await?;
    slow::among_slow_watchers(plan).await
}

/// Who takes part.
struct Entrant {
    stand: Stand,
    place: Place,
    /// What was spent on deliveries.
    spent: Spent,
}

/// Processor time of the server, for so many deliveries.
#[derive(Clone, Copy, Default)]
struct Spent {
    cpu_seconds: f64,
    deliveries: u64,
}

/// Enters all who are there. Ours is first.
async fn enter(
    plan: &Plan,
    contest: &mut Contest,
    tonic_target: Option<f64>,
) -> Result<Vec<Entrant>, Failure> {
    let mut entrants = Vec::new();
    let mut add = |stand, place| {
        entrants.push(Entrant {
            stand,
            place,
            spent: Spent::default(),
        });
    };
    let place = contest.enter("mistap, WatchIncidents, durable before it is told", None);
    add(Stand::incidents(plan).await?, place);
    let place = contest.enter("mistap, WatchRates, counted before it is told", None);
    add(Stand::rates(plan).await?, place);
    let place = contest.enter("tonic as it comes, nothing kept", tonic_target);
    add(Stand::tonic()?, place);
    let place = contest.enter("h2 crate, a task for each connection, nothing kept", None);
    add(Stand::connections()?, place);
    let place = contest.enter("NATS core, nothing kept", None);
    let nats = if plan.with_peers {
        Stand::nats().await?
    } else {
        None
    };
    match nats {
        Some(nats) => add(nats, place),
        None => contest.skip(place, missing(plan)),
    }
    Ok(entrants)
}

async fn on_few_connections(plan: &Plan) -> Result<(), Failure> {
    let shape = Shape {
        watchers: plan.watchers,
        connections: CONNECTIONS,
        slow: None,
    };
    let title = title(shape);
    let mut contest =
        Contest::new(&title, "deliveries a second", Better::More).with_targets(plan.with_targets);
    let mut entrants = enter(plan, &mut contest, Some(TONIC_TARGET)).await?;
    let mut crowds = Vec::new();
    let mut opened = Vec::new();
    for entrant in &mut entrants {
        let (crowd, grown) = open(&mut entrant.stand, shape).await?;
        crowds.push(crowd);
        opened.push(grown);
    }
    for _ in 0..plan.rounds {
        for (entrant, crowd) in entrants.iter_mut().zip(&mut crowds) {
            contest.note(entrant.place, entrant.deliver(crowd, plan).await?);
        }
    }
    contest.print()?;
    say_spent(&contest, &entrants)?;
    let memory = |place: Place, bytes: u64, most: Option<f64>| Bound {
        name: contest.name(place).to_owned(),
        value: each(bytes, shape.watchers) / KIB,
        most,
    };
    let (mut at_first, mut in_the_end) = (Vec::new(), Vec::new());
    for (entrant, grown) in entrants.iter().zip(opened) {
        let bytes = entrant.stand.settled_bytes().await?;
        let bytes = bytes.saturating_sub(grown.before);
        let is_ours = in_the_end.len() < 2;
        at_first.push(memory(entrant.place, grown.bytes, None));
        in_the_end.push(memory(
            entrant.place,
            bytes,
            is_ours.then_some(WATCHER_KIB_MAX),
        ));
    }
    // What it took to let them in, an allocator gives back when it is next asked for much.
    let title = format!(
        "memory of a watcher, of {}, all just let in",
        shape.watchers
    );
    contest::print_bounds(&title, "KiB", &at_first, plan.with_targets)?;
    let title = format!(
        "memory of a watcher, of {}, after all updates",
        shape.watchers
    );
    contest::print_bounds(&title, "KiB", &in_the_end, plan.with_targets)
}

async fn on_many_connections(plan: &Plan, files_max: usize) -> Result<(), Failure> {
    let connections = plan.watchers.min(files_max.saturating_sub(OTHER_FILES));
    let shape = Shape {
        watchers: connections,
        connections,
        slow: None,
    };
    let title = title(shape);
    let mut contest =
        Contest::new(&title, "deliveries a second", Better::More).with_targets(plan.with_targets);
    let mut entrants = enter(plan, &mut contest, None).await?;
    let mut bounds = Vec::new();
    for round in 0..plan.rounds {
        for entrant in &mut entrants {
            // One crowd at a time: each takes a file for every connection.
            let (mut crowd, grown) = open(&mut entrant.stand, shape).await?;
            contest.note(entrant.place, entrant.deliver(&mut crowd, plan).await?);
            if round == 0 {
                let is_ours = bounds.len() < 2;
                bounds.push(Bound {
                    name: contest.name(entrant.place).to_owned(),
                    value: rate(grown.bytes, MIB),
                    most: is_ours.then_some(IDLE_MIB_MAX),
                });
            }
        }
    }
    contest.print()?;
    say_spent(&contest, &entrants)?;
    let title = format!("memory of {connections} watchers with their connections");
    contest::print_bounds(&title, "MiB", &bounds, plan.with_targets)
}

fn title(shape: Shape) -> String {
    let Shape {
        watchers,
        connections,
        ..
    } = shape;
    format!("one update to {watchers} watchers on {connections} connections")
}

/// How memory grew.
#[derive(Clone, Copy)]
struct Grown {
    /// What there was, in bytes.
    before: u64,
    /// How much more there is.
    bytes: u64,
}

/// Opens watches, and tells how much more memory the server has then, all of them having got a
/// first update.
async fn open(stand: &mut Stand, shape: Shape) -> Result<(Crowd, Grown), Failure> {
    let before = warm(stand).await?;
    let mut crowd = Crowd::open(stand.subject(), shape).await?;
    crowd.settle().await?;
    stand.update(&mut crowd).await?;
    let bytes = stand.settled_bytes().await?.saturating_sub(before);
    Ok((crowd, Grown { before, bytes }))
}

/// Lets some watch and go, of counts as well where there are any; tells how much memory the server
/// has then.
pub(super) async fn warm(stand: &mut Stand) -> Result<u64, Failure> {
    for subject in [stand.subject().clone(), stand.rates_subject()] {
        let mut early = Crowd::open(&subject, EARLY).await?;
        early.settle().await?;
        stand.update(&mut early).await?;
    }
    stand.settled_bytes().await
}

impl Entrant {
    /// Deliveries a second, one update in flight.
    async fn deliver(&mut self, crowd: &mut Crowd, plan: &Plan) -> Result<f64, Failure> {
        let before = self.stand.cpu_seconds();
        let begun = Instant::now();
        let (mut deliveries, mut took) = (0, Duration::ZERO);
        while deliveries == 0 || begun.elapsed() < plan.span {
            let delays = self.stand.update(crowd).await?;
            deliveries += delays.len() as u64;
            took += delays.last().copied().unwrap_or_default();
        }
        self.spent.cpu_seconds += self.stand.cpu_seconds() - before;
        self.spent.deliveries += deliveries;
        Ok(rate(deliveries, took.as_secs_f64()))
    }
}

fn say_spent(contest: &Contest, entrants: &[Entrant]) -> Result<(), Failure> {
    contest::say("processor time of the server, microseconds a delivery:")?;
    for Entrant { place, spent, .. } in entrants {
        let micros = 1e6 / rate(spent.deliveries, spent.cpu_seconds);
        contest::say(&format!("  {micros:.2} {}", contest.name(*place)))?;
    }
    Ok(())
}

pub(super) fn each(bytes: u64, watchers: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let watchers = watchers.max(1) as f64;
    rate(bytes, watchers)
}
