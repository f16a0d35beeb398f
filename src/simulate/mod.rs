//! A made-up country of travellers, deterministic from a seed: a daily and weekly rhythm
//! over the lines and stops of a network, single readers that break and are repaired, a
//! national outage, travellers who report late or twice, staff who help or don't, and operators
//! that tell how much was tapped.
//!
//! `Simulation` makes reports in the order in which they are sent; `drive` sends them to a
//! server through its API, `history` writes them into a data folder in bulk. No figure
//! of a simulation says anything about a real operator.

pub mod drive;
pub mod history;
mod people;
mod rhythm;
pub mod taps;
pub mod world;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Poisson};

use crate::api::pb::v1 as pb;
use crate::domain::UtcMillis;
use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use people::Tap;
use world::World;

/// One step of simulated time.
const STEP_MS: i64 = MINUTE_MS;
/// Readers that break on an average day, for each 1,000 reports of that day.
const BREAKDOWNS_PER_1000: f64 = 0.8;
/// Taps that fail and are reported at a broken reader, each minute.
const REPORTS_AT_BROKEN_PER_MINUTE: f64 = 0.05;
/// How many times as many taps fail while everything is down.
const OUTAGE_FACTOR: f64 = 12.0;
/// Days between two national outages, on average.
const OUTAGE_EVERY_DAYS: f64 = 45.0;
/// How many broken readers there are at most; further ones wait their turn.
const BROKEN_MAX: usize = 512;

/// Within how long a report that is sent twice is sent again, in milliseconds.
const SENT_AGAIN_MS: std::ops::Range<i64> = 1_000..600_000;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The same seed, world and start give the same reports.
    pub seed: u64,
    /// When it begins.
    pub start: UtcMillis,
    /// Reports on an average day, those at broken readers and in outages not counted.
    pub reports_per_day: f64,
}

/// One report on its way: when it is sent, and what it tells.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When it is sent.
    pub at: UtcMillis,
    /// What it tells.
    pub incident: pb::Incident,
}

/// An endless sequence of reports, in the order in which they are sent.
pub struct Simulation {
    world: World,
    random: StdRng,
    reports_per_day: f64,
    clock: UtcMillis,
    outage_until: UtcMillis,
    broken: BTreeMap<usize, UtcMillis>,
    on_their_way: BinaryHeap<Reverse<Queued>>,
    made: u64,
}

/// Ordered by when it is sent, then by when it was made.
struct Queued {
    at: UtcMillis,
    number: u64,
    incident: pb::Incident,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Simulation {
    /// Begins a scenario in a world.
    pub fn new(scenario: Scenario, world: World) -> Self {
        Self {
            world,
            random: StdRng::seed_from_u64(scenario.seed),
            reports_per_day: scenario.reports_per_day,
            clock: scenario.start,
            outage_until: scenario.start,
            broken: BTreeMap::new(),
            on_their_way: BinaryHeap::new(),
            made: 0,
        }
    }

    /// Whether everything is down at the simulated time.
    pub fn is_outage(&self) -> bool {
        self.clock < self.outage_until
    }

    /// The next report that is sent before an instant; `None` if no other is.
    pub fn next_before(&mut self, end: UtcMillis) -> Option<Sent> {
        loop {
            // What is sent before the clock can no longer be overtaken by what is yet to be made.
            let next = self.on_their_way.peek().map(|Reverse(queued)| queued.at);
            match next {
                Some(at) if at <= self.clock && end <= at => return None,
                Some(at) if at <= self.clock => {
                    let Reverse(queued) = self.on_their_way.pop()?;
                    return Some(Sent {
                        at: queued.at,
                        incident: queued.incident,
                    });
                }
                _ if end <= self.clock => return None,
                _ => self.step(),
            }
        }
    }

    /// Lets one minute pass.
    fn step(&mut self) {
        let share = f64::from(rhythm::weight(self.clock)) * STEP_MS as f64 / DAY_MS as f64;
        self.break_and_repair(share);
        let factor = if self.is_outage() { OUTAGE_FACTOR } else { 1.0 };
        for _ in 0..draw(self.reports_per_day * share * factor, &mut self.random) {
            let tap = Tap {
                reader: self.world.any_reader(&mut self.random),
                is_broken: false,
            };
            self.tell(tap);
        }
        let broken: Vec<usize> = self.broken.keys().copied().collect();
        for reader in broken {
            let busyness = f64::from(rhythm::weight(self.clock));
            for _ in 0..draw(REPORTS_AT_BROKEN_PER_MINUTE * busyness, &mut self.random) {
                self.tell(Tap {
                    reader,
                    is_broken: true,
                });
            }
        }
        self.clock = UtcMillis(self.clock.0 + STEP_MS);
    }

    fn break_and_repair(&mut self, share: f64) {
        let now = self.clock;
        self.broken.retain(|_, repaired| now < *repaired);
        let expected = self.reports_per_day / 1_000.0 * BREAKDOWNS_PER_1000 * share;
        let breakdowns = draw(expected, &mut self.random);
        for _ in 0..breakdowns {
            if BROKEN_MAX <= self.broken.len() {
                break;
            }
            let reader = self.world.any_reader(&mut self.random);
            let hours = self.random.random_range(1..=36);
            self.broken
                .insert(reader, UtcMillis(now.0 + hours * HOUR_MS));
        }
        let outages = draw(share / OUTAGE_EVERY_DAYS, &mut self.random);
        if !self.is_outage() && 0 < outages {
            let minutes = self.random.random_range(20..=180);
            self.outage_until = UtcMillis(now.0 + minutes * MINUTE_MS);
        }
    }

    /// Makes the report of one failed tap, and sets it on its way, some of them twice.
    fn tell(&mut self, tap: Tap) {
        let tapped = UtcMillis(self.clock.0 + self.random.random_range(0..STEP_MS));
        let is_outage = self.is_outage();
        let (delay_ms, incident) =
            people::tell(&self.world, tap, tapped, is_outage, &mut self.random);
        let at = UtcMillis(tapped.0 + delay_ms);
        if people::sends_twice(&mut self.random) {
            let again = UtcMillis(at.0 + self.random.random_range(SENT_AGAIN_MS));
            self.send(again, incident.clone());
        }
        self.send(at, incident);
    }

    fn send(&mut self, at: UtcMillis, incident: pb::Incident) {
        self.made += 1;
        self.on_their_way.push(Reverse(Queued {
            at,
            number: self.made,
            incident,
        }));
    }
}

impl Iterator for Simulation {
    type Item = Sent;

    /// Never `None`.
    fn next(&mut self) -> Option<Sent> {
        self.next_before(UtcMillis(i64::MAX))
    }
}

/// How many of something there are, so many on average.
fn draw(mean: f64, random: &mut StdRng) -> u64 {
    if mean <= 0.0 {
        return 0;
    }
    let poisson = Poisson::new(mean).expect("the mean is above 0 and finite");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small count"
    )]
    let drawn = poisson.sample(random) as u64;
    drawn
}

/// One of several, each with a weight.
fn weighted<T: Copy>(choices: &[(T, u32)], random: &mut StdRng) -> T {
    let chosen = choices.choose_weighted(random, |(_, weight)| *weight);
    chosen
        .expect("the list is not empty and its weights are above 0")
        .0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LocalDay;

    fn scenario(seed: u64) -> Scenario {
        let day = LocalDay::parse("2026-10-24").expect("a day");
        Scenario {
            seed,
            start: day.start().start(),
            reports_per_day: 2_000.0,
        }
    }

    fn first(seed: u64, count: usize) -> Vec<Sent> {
        Simulation::new(scenario(seed), World::for_tests())
            .take(count)
            .collect()
    }

    #[test]
    fn same_seed_gives_the_same_reports() {
        let text = |sent: Vec<Sent>| format!("{sent:?}");
        assert_eq!(text(first(1, 500)), text(first(1, 500)));
        assert_ne!(text(first(1, 500)), text(first(2, 500)));
    }

    #[test]
    fn reports_come_in_the_order_in_which_they_are_sent() {
        let sent = first(3, 3_000);
        assert!(sent.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }

    #[test]
    fn some_report_late_and_some_twice() {
        let sent = first(4, 3_000);
        let ids: std::collections::BTreeSet<_> = sent
            .iter()
            .map(|sent| sent.incident.incident_id.clone())
            .collect();
        assert!(ids.len() < sent.len(), "nobody sent twice");
        let is_late = |sent: &Sent| {
            let occurred = sent
                .incident
                .occurred_at
                .as_ref()
                .map_or(0, |at| at.seconds);
            3_600 < sent.at.0 / 1_000 - occurred
        };
        assert!(sent.iter().any(is_late), "nobody reports late");
    }

    #[test]
    fn about_as_many_reports_as_asked_for() {
        let start = scenario(5).start.0;
        let in_week = Simulation::new(scenario(5), World::for_tests())
            .take_while(|sent| sent.at.0 < start + 7 * DAY_MS)
            .count();
        assert!((10_000..25_000).contains(&in_week), "{in_week}");
    }
}
