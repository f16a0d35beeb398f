//! `mistap bench fanout`: one update to all watchers, over few connections and over as many as
//! the machine allows; what a watcher costs in memory; and what slow watchers cost others.

use std::time::{Duration, Instant};

use super::Plan;
use super::contest::{self, Better, Bound, Contest, Place};
use super::crowd::{self, Crowd, Shape, Slow};
use super::durable::{missing, rate};
use super::stand::Stand;
use crate::app::files;
use crate::cli::Failure;

const CONNECTIONS: usize = 16;
/// Watchers on few connections that slow ones are among, and their connections.
const HEALTHY: usize = 100;
const HEALTHY_CONNECTIONS: usize = 4;
/// Between two updates while there are slow watchers.
const SLOW_REST: Duration = Duration::from_millis(20);
/// What slow watchers let the server send before they read: some small messages, so that it is
/// soon full, and what HTTP/2 begins with.
const SLOW_WINDOW: u32 = 2_048;
const USUAL_WINDOW: u32 = 65_535;
/// Between two watchers of counts who each are told another state.
const RATERS_REST: Duration = Duration::from_millis(300);
/// Of slow watchers, one in so many watches counts so: each has a connection, and is to be looked
/// at before the server ends it for reading nothing.
const RATERS_SHARE: usize = 8;
/// Who comes and goes before memory is looked at: what a server has to have at all is there then.
const EARLY: Shape = Shape {
    watchers: 64,
    connections: 1,
    slow: None,
};
/// Files that a server or this process has open besides connections.
const OTHER_FILES: usize = 256;
const KIB: f64 = 1_024.0;
const MIB: f64 = 1_048_576.0;

/// The least ratio to tonic that is aimed at.
const TONIC_TARGET: f64 = 1.2;
const WATCHER_KIB_MAX: f64 = 3.0;
const IDLE_MIB_MAX: f64 = 256.0;
const SLOW_KIB_MAX: f64 = 64.0;
/// The 99th percentile of others' delay with slow watchers, to that without.
const SLOW_RATIO_MAX: f64 = 1.1;

/// Runs it.
pub async fn run(plan: &Plan) -> Result<(), Failure> {
    let files_max = files::raise_limit();
    contest::say(&format!("\nwatchers: {}", crowd::NAME))?;
    on_few_connections(plan).await?;
    on_many_connections(plan, files_max).await?;
    among_slow_watchers(plan).await
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
    let mut bounds = Vec::new();
    for entrant in &mut entrants {
        let (crowd, bytes) = open(&mut entrant.stand, shape).await?;
        crowds.push(crowd);
        let is_ours = bounds.len() < 2;
        bounds.push(Bound {
            name: contest.name(entrant.place).to_owned(),
            value: each(bytes, shape.watchers) / KIB,
            most: is_ours.then_some(WATCHER_KIB_MAX),
        });
    }
    for _ in 0..plan.rounds {
        for (entrant, crowd) in entrants.iter_mut().zip(&mut crowds) {
            contest.note(entrant.place, entrant.deliver(crowd, plan).await?);
        }
    }
    contest.print()?;
    say_spent(&contest, &entrants)?;
    let title = format!("memory of a watcher, of {}", shape.watchers);
    contest::print_bounds(&title, "KiB", &bounds, plan.with_targets)
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
            let (mut crowd, bytes) = open(&mut entrant.stand, shape).await?;
            contest.note(entrant.place, entrant.deliver(&mut crowd, plan).await?);
            if round == 0 {
                let is_ours = bounds.len() < 2;
                bounds.push(Bound {
                    name: contest.name(entrant.place).to_owned(),
                    value: rate(bytes, MIB),
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

/// Opens watches, and tells how much more memory the server has then, all of them having got a
/// first update.
async fn open(stand: &mut Stand, shape: Shape) -> Result<(Crowd, u64), Failure> {
    let before = warm(stand).await?;
    let mut crowd = Crowd::open(stand.subject(), shape).await?;
    crowd.settle().await?;
    stand.update(&mut crowd).await?;
    let bytes = stand.settled_bytes().await?.saturating_sub(before);
    Ok((crowd, bytes))
}

/// Lets some watch and go; tells how much memory the server has then.
async fn warm(stand: &mut Stand) -> Result<u64, Failure> {
    let mut early = Crowd::open(stand.subject(), EARLY).await?;
    early.settle().await?;
    stand.update(&mut early).await?;
    drop(early);
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

fn each(bytes: u64, watchers: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let watchers = watchers.max(1) as f64;
    rate(bytes, watchers)
}

// === Slow watchers ===

async fn among_slow_watchers(plan: &Plan) -> Result<(), Failure> {
    let mut stand = Stand::incidents(plan).await?;
    let shape = Shape {
        watchers: HEALTHY,
        connections: HEALTHY_CONNECTIONS,
        slow: None,
    };
    let mut healthy = Crowd::open(stand.subject(), shape).await?;
    healthy.settle().await?;
    delay(&mut stand, &mut healthy, plan.span).await?;
    let (mut alone, mut among, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut reads = 0.0;
    for _ in 0..plan.rounds {
        let before = delay(&mut stand, &mut healthy, plan.span).await?;
        let slow = slow_crowds(&stand, plan.slow_watchers).await?;
        // Until their windows are full.
        delay(&mut stand, &mut healthy, 2 * plan.span).await?;
        let (begun, read) = (Instant::now(), messages(&slow));
        let with = delay(&mut stand, &mut healthy, plan.span).await?;
        reads = rate(messages(&slow) - read, begun.elapsed().as_secs_f64());
        ratios.push(with.as_secs_f64() / before.as_secs_f64());
        alone.push(before.as_secs_f64() * 1e3);
        among.push(with.as_secs_f64() * 1e3);
    }
    let mut bounds = slow_memory(plan).await?;
    bounds.extend([
        bound(
            "messages that they read, a second in all",
            Some(reads),
            None,
        ),
        bound(
            "p99 of others without them, ms",
            contest::median(&alone),
            None,
        ),
        bound("p99 of others with them, ms", contest::median(&among), None),
        bound(
            "with them to without",
            contest::median(&ratios),
            Some(SLOW_RATIO_MAX),
        ),
    ]);
    let title = format!(
        "{} watchers that read one message a second, half of them counts, beside {HEALTHY} others; \
         the same alone, of the past; and some that read nothing of counts",
        plan.slow_watchers
    );
    contest::print_bounds(&title, "see each", &bounds, plan.with_targets)
}

fn bound(name: &str, value: Option<f64>, most: Option<f64>) -> Bound {
    Bound {
        name: name.to_owned(),
        value: value.unwrap_or(0.0),
        most,
    }
}

/// What slow watchers take at the most that they can.
async fn slow_memory(plan: &Plan) -> Result<Vec<Bound>, Failure> {
    let mut bounds = past_memory(plan).await?;
    bounds.extend(rater_memory(plan).await?);
    Ok(bounds)
}

/// Of those who read the past in the largest messages that there are, each its own: all of it lies
/// before what is shared in memory.
async fn past_memory(plan: &Plan) -> Result<Vec<Bound>, Failure> {
    let mut stand = Stand::incidents(plan).await?;
    for _ in 0..plan.backlog {
        stand.publish().await?;
    }
    let before = warm(&mut stand).await?;
    stand.forget_most();
    let watchers = plan.slow_watchers / 2;
    let shape = Shape {
        watchers,
        connections: CONNECTIONS / 2,
        slow: Some(Slow {
            window: USUAL_WINDOW,
            is_stuck: false,
        }),
    };
    let slow = Crowd::open(&stand.past_subject(), shape).await?;
    go_on(&mut stand, 2 * plan.span).await?;
    let bytes = stand.resident_bytes_most()?.saturating_sub(before);
    Ok(vec![
        bound(
            "memory of each of the past at its most, KiB",
            Some(each(bytes, watchers) / KIB),
            Some(SLOW_KIB_MAX),
        ),
        bound(
            "largest message of incidents, KiB",
            Some(f64::from(slow.largest_bytes()) / KIB),
            None,
        ),
        bound(
            "windows of the past that were full, %",
            Some(percent(slow.full(), watchers)),
            None,
        ),
    ])
}

/// Of those who take nothing of a count for each line and stop, while reports go on: each has the
/// whole state as it was when it came, on a connection of its own.
async fn rater_memory(plan: &Plan) -> Result<Vec<Bound>, Failure> {
    let mut stand = Stand::incidents_of_many_places(plan).await?;
    stand.publish_each().await?;
    let before = warm(&mut stand).await?;
    let watchers = plan.slow_watchers.div_ceil(RATERS_SHARE);
    let shape = |window, is_stuck| Shape {
        watchers: 1,
        connections: 1,
        slow: Some(Slow { window, is_stuck }),
    };
    let subject = stand.large_rates_subject();
    // Tells how large a snapshot is: those who are stuck never see its end.
    let reader = Crowd::open(&subject, shape(u32::MAX >> 1, false)).await?;
    go_on(&mut stand, RATERS_REST).await?;
    stand.forget_most();
    let mut raters = Vec::new();
    for _ in 0..watchers {
        raters.push(Crowd::open(&subject, shape(USUAL_WINDOW, true)).await?);
        go_on(&mut stand, RATERS_REST).await?;
    }
    let bytes = stand.resident_bytes_most()?.saturating_sub(before);
    let full = raters.iter().map(Crowd::full).sum();
    let own = each(bytes, watchers) / KIB;
    let snapshot = f64::from(reader.largest_bytes()) / KIB;
    Ok(vec![
        bound(
            "memory of each of counts at its most, with its connection, KiB",
            Some(own),
            None,
        ),
        bound(
            "its snapshot, of a state of its own, KiB",
            Some(snapshot),
            None,
        ),
        bound(
            "the rest, KiB",
            Some((own - snapshot).max(0.0)),
            Some(SLOW_KIB_MAX),
        ),
        bound(
            "windows of counts that were full, %",
            Some(percent(full, watchers)),
            None,
        ),
    ])
}

/// Reports go on.
async fn go_on(stand: &mut Stand, span: Duration) -> Result<(), Failure> {
    let begun = Instant::now();
    while begun.elapsed() < span {
        tokio::time::sleep(SLOW_REST).await;
        stand.publish().await?;
    }
    Ok(())
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * each(part as u64, whole)
}

/// Half watch incidents, half counts.
async fn slow_crowds(stand: &Stand, watchers: usize) -> Result<[Crowd; 2], Failure> {
    let shape = Shape {
        watchers: watchers / 2,
        connections: CONNECTIONS / 2,
        slow: Some(Slow {
            window: SLOW_WINDOW,
            is_stuck: false,
        }),
    };
    let incidents = Crowd::open(stand.subject(), shape).await?;
    let rates = Crowd::open(&stand.rates_subject(), shape).await?;
    Ok([incidents, rates])
}

fn messages(crowds: &[Crowd]) -> u64 {
    crowds.iter().map(Crowd::messages).sum()
}

/// The 99th percentile of how long an update takes to a watcher.
async fn delay(stand: &mut Stand, crowd: &mut Crowd, span: Duration) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let mut delays = Vec::new();
    while delays.is_empty() || begun.elapsed() < span {
        tokio::time::sleep(SLOW_REST).await;
        delays.extend(stand.update(crowd).await?);
    }
    Ok(contest::percentile(&mut delays, 99))
}
