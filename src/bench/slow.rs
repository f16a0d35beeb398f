//! What slow watchers cost: the server, in memory, and others, in time. A part of
//! `mistap bench fanout`.

use std::time::{Duration, Instant};

use super::Plan;
use super::contest::{self, Bound};
use super::crowd::{Crowd, Reads, Shape, Slow};
use super::durable::rate;
use super::fanout::{CONNECTIONS, KIB, each, warm};
use super::stand::Stand;
use crate::cli::Failure;
use crate::domain::limits::WATCH_STATES_KEPT_MAX;

/// Watchers on few connections that slow ones are among, and their connections.
const HEALTHY: usize = 100;
const HEALTHY_CONNECTIONS: usize = 4;
/// Between two updates while there are slow watchers.
const SLOW_REST: Duration = Duration::from_millis(20);
/// What slow watchers let the server send before they read: some small messages, so that it is
/// soon full, what HTTP/2 begins with, and as much as there may be.
const SLOW_WINDOW: u32 = 2_048;
const USUAL_WINDOW: u32 = 65_535;
const WINDOW_MAX: u32 = u32::MAX >> 1;
/// Between two watchers of counts who each are told another state.
const RATERS_REST: Duration = Duration::from_millis(300);
/// Of slow watchers, one in so many watches counts so: each has a connection, and is to be looked
/// at before the server ends it for reading nothing.
const RATERS_SHARE: usize = 10;
/// So many come first: what a question keeps for all of them is there then.
const EARLY_RATERS: usize = 2 * WATCH_STATES_KEPT_MAX;

const SLOW_KIB_MAX: f64 = 64.0;
/// The 99th percentile of others' delay with slow watchers, to that without.
const SLOW_RATIO_MAX: f64 = 1.1;

/// Measures and prints it.
pub async fn among_slow_watchers(plan: &Plan) -> Result<(), Failure> {
    let mut stand = Stand::incidents(plan).await?;
    warm(&mut stand).await?;
    let shape = Shape {
        watchers: HEALTHY,
        connections: HEALTHY_CONNECTIONS,
        slow: None,
    };
    let mut healthy = Crowd::open(stand.subject(), shape).await?;
    healthy.settle().await?;
    delay(&mut stand, &mut healthy, plan.span).await?;
    let (mut alone, mut among, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reads, mut bytes) = (0.0, 0);
    for _ in 0..plan.rounds {
        let before = delay(&mut stand, &mut healthy, plan.span).await?;
        let bytes_before = stand.resident_bytes()?;
        stand.forget_most();
        let slow = slow_crowds(&stand, plan.slow_watchers).await?;
        // Until their windows are full.
        delay(&mut stand, &mut healthy, 2 * plan.span).await?;
        let (begun, read) = (Instant::now(), messages(&slow));
        let with = delay(&mut stand, &mut healthy, plan.span).await?;
        reads = rate(messages(&slow) - read, begun.elapsed().as_secs_f64());
        bytes = bytes.max(stand.resident_bytes_most()?.saturating_sub(bytes_before));
        ratios.push(with.as_secs_f64() / before.as_secs_f64());
        alone.push(before.as_secs_f64() * 1e3);
        among.push(with.as_secs_f64() * 1e3);
    }
    let mut bounds = vec![
        Bound {
            name: "memory of each of them at its most, KiB".to_owned(),
            value: each(bytes, plan.slow_watchers) / KIB,
            most: Some(SLOW_KIB_MAX),
        },
        told("messages that they read, a second in all", reads),
        told("p99 of others without them, ms", median(&alone)),
        told("p99 of others with them, ms", median(&among)),
        Bound {
            name: "with them to without".to_owned(),
            value: median(&ratios),
            most: Some(SLOW_RATIO_MAX),
        },
    ];
    bounds.extend(past_memory(plan).await?);
    bounds.extend(rater_memory(plan).await?);
    let title = format!(
        "{} watchers that read one message a second, half of them counts, beside {HEALTHY} others; \
         as many of the past; and some that take nothing",
        plan.slow_watchers
    );
    contest::print_bounds(&title, "see each", &bounds, plan.with_targets)
}

fn median(values: &[f64]) -> f64 {
    contest::median(values).unwrap_or_default()
}

/// A figure without a target.
fn told(name: &str, value: f64) -> Bound {
    Bound {
        name: name.to_owned(),
        value,
        most: None,
    }
}

/// Memory, with a target.
fn held(name: &str, kib: f64) -> Bound {
    Bound {
        most: Some(SLOW_KIB_MAX),
        ..told(name, kib)
    }
}

/// Of those who read the past in the largest messages that there are, each its own: all of it lies
/// before what is shared in memory. Those who do not read their sockets let the server send as much
/// as there may be.
async fn past_memory(plan: &Plan) -> Result<Vec<Bound>, Failure> {
    let mut stand = Stand::incidents(plan).await?;
    for _ in 0..plan.backlog {
        stand.publish().await?;
    }
    let watchers = plan.slow_watchers / 2;
    let shape = |window, reads| Shape {
        watchers,
        connections: CONNECTIONS / 2,
        slow: Some(Slow { window, reads }),
    };
    let before = warm(&mut stand).await?;
    stand.forget_most();
    let shape_slow = shape(USUAL_WINDOW, Reads::OneASecond);
    let slow = Crowd::open(&stand.past_subject(), shape_slow).await?;
    go_on(&mut stand, 2 * plan.span).await?;
    let bytes = stand.resident_bytes_most()?.saturating_sub(before);
    let mut bounds = vec![
        held(
            "memory of each of the past at its most, KiB",
            each(bytes, watchers) / KIB,
        ),
        told(
            "largest message of incidents, KiB",
            f64::from(slow.largest_bytes()) / KIB,
        ),
        told(
            "windows of the past that were full, %",
            percent(slow.full(), watchers),
        ),
    ];
    drop(slow);
    let before = stand.settled_bytes().await?.min(before);
    stand.forget_most();
    let shape_deaf = shape(WINDOW_MAX, Reads::NotTheSocket);
    let _deaf = Crowd::open(&stand.past_subject(), shape_deaf).await?;
    go_on(&mut stand, 2 * plan.span).await?;
    let bytes = stand.resident_bytes_most()?.saturating_sub(before);
    bounds.push(held(
        "memory of each of the past that does not read its socket, KiB",
        each(bytes, watchers) / KIB,
    ));
    Ok(bounds)
}

/// Of those who take nothing of a count for each line and stop, while reports go on: each was sent the
/// whole state as it was when it came, on a connection of its own.
async fn rater_memory(plan: &Plan) -> Result<Vec<Bound>, Failure> {
    let mut stand = Stand::incidents_of_many_places(plan).await?;
    stand.publish_each().await?;
    let watchers = plan.slow_watchers.div_ceil(RATERS_SHARE);
    let connection = connection_bytes(&mut stand, watchers).await?;
    let subject = stand.large_rates_subject();
    // Tells how large a snapshot is: those who take nothing never see its end.
    let shape = shape_alone(WINDOW_MAX, Reads::OneASecond);
    let reader = Crowd::open(&subject, shape).await?;
    go_on(&mut stand, RATERS_REST).await?;
    let snapshot = f64::from(reader.largest_bytes()) / KIB;
    let before = stand.settled_bytes().await?;
    let early = raters(&mut stand, EARLY_RATERS).await?;
    let between = stand.settled_bytes().await?;
    stand.forget_most();
    let late = raters(&mut stand, watchers).await?;
    let bytes = stand.resident_bytes_most()?.saturating_sub(between);
    let full = early.iter().chain(&late).map(Crowd::full).sum();
    let own = each(bytes, watchers) / KIB;
    let connection = each(connection, watchers) / KIB;
    let of_early = each(between.saturating_sub(before), EARLY_RATERS) / KIB;
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let once = (of_early - own) * EARLY_RATERS as f64;
    Ok(vec![
        told("memory of each of counts that takes nothing, KiB", own),
        told(
            "the snapshot that it was sent, of a state of its own, KiB",
            snapshot,
        ),
        told(
            "its connection, with a watcher that has taken all, KiB",
            connection,
        ),
        held("what it has beside, KiB", (own - connection).max(0.0)),
        told("once for all of them, KiB", once.max(0.0)),
        told(
            "windows of counts that were full, %",
            percent(full, watchers + EARLY_RATERS),
        ),
    ])
}

/// What a connection takes that has one watcher, and nothing waiting for it: of so many together.
async fn connection_bytes(stand: &mut Stand, connections: usize) -> Result<u64, Failure> {
    let before = warm(stand).await?;
    let shape = Shape {
        watchers: connections,
        connections,
        slow: None,
    };
    let mut crowd = Crowd::open(&stand.rates_subject(), shape).await?;
    crowd.settle().await?;
    stand.update(&mut crowd).await?;
    let bytes = stand.settled_bytes().await?.saturating_sub(before);
    drop(crowd);
    stand.settled_bytes().await?;
    Ok(bytes)
}

fn shape_alone(window: u32, reads: Reads) -> Shape {
    Shape {
        watchers: 1,
        connections: 1,
        slow: Some(Slow { window, reads }),
    }
}

/// So many who take nothing, one after the other.
async fn raters(stand: &mut Stand, count: usize) -> Result<Vec<Crowd>, Failure> {
    let subject = stand.large_rates_subject();
    let shape = shape_alone(USUAL_WINDOW, Reads::Nothing);
    let mut raters = Vec::new();
    for _ in 0..count {
        raters.push(Crowd::open(&subject, shape).await?);
        go_on(stand, RATERS_REST).await?;
    }
    Ok(raters)
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
            reads: Reads::OneASecond,
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
