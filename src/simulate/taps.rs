//! Taps of the simulated world, as its operators tell them: of each line by the hour, and of
//! each stop by the day. How many there are follows from the seed and the time alone, whatever
//! was made before, so that history and live traffic go on where the other ended.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::world::World;
use super::{Scenario, draw, rhythm};
use crate::api::pb::v1 as pb;
use crate::domain::Hour;
use crate::domain::limits::TAP_COUNTS_PER_CALL_MAX;
use pb::{Refusals, TapGrain, TapInterval, TapKind};

/// Taps for each report of an average day, on a line where as many fail as on all together: 20
/// reports per 100,000 taps.
const TAPS_PER_REPORT: f64 = 5_000.0;
/// How much more or less is tapped on a line than its reports let expect: some lines fail more.
const UNLIKE: std::ops::Range<f64> = 0.6..1.5;
const HOURS_OF_DAY: f64 = 24.0;

/// What an operator tells in one call.
#[derive(Clone, Debug, PartialEq)]
pub struct TapCall {
    /// Of which feed.
    pub feed: pb::TapFeed,
    /// At most as many as a call takes.
    pub counts: Vec<pb::TapCount>,
}

/// A line or stop, and its taps on an average day.
struct Place {
    id: String,
    per_day: f64,
}

/// Lines and stops of one operator.
#[derive(Default)]
struct Places {
    lines: Vec<Place>,
    stops: Vec<Place>,
}

/// How often is tapped where.
pub struct Taps {
    seed: u64,
    of_operators: BTreeMap<String, Places>,
}

impl Taps {
    /// Of a scenario in a world.
    pub fn new(scenario: Scenario, world: &World) -> Self {
        let mut random = StdRng::seed_from_u64(scenario.seed);
        let mut of_operators = BTreeMap::<String, Places>::new();
        let mut of_stops = BTreeMap::<(String, String), f64>::new();
        for (line, share) in world.shares() {
            let unlike = random.random_range(UNLIKE);
            let per_day = scenario.reports_per_day * TAPS_PER_REPORT * share * unlike;
            let places = of_operators.entry(line.operator.clone()).or_default();
            places.lines.push(Place {
                id: line.id.clone(),
                per_day,
            });
            for (stop, _) in &line.stops {
                let place = (line.operator.clone(), stop.clone());
                *of_stops.entry(place).or_default() += per_day / line.stops.len() as f64;
            }
        }
        for ((operator, id), per_day) in of_stops {
            let places = of_operators.entry(operator).or_default();
            places.stops.push(Place { id, per_day });
        }
        Self {
            seed: scenario.seed,
            of_operators,
        }
    }

    /// What is told when an hour is over: of the lines in that hour, and where the day is over
    /// with it, of the stops on that day.
    pub fn of(&self, hour: Hour) -> Vec<TapCall> {
        let next = Hour(hour.0 + 1);
        let day = hour.local_day();
        let is_last = next == day.next().start();
        let mut random = StdRng::seed_from_u64(self.seed ^ u64::from(hour.0));
        let mut told = Vec::new();
        for (operator, places) in &self.of_operators {
            let lines = feed(operator, "lines", TapGrain::Line, TapInterval::Hour);
            let of_line = |place: &Place, taps| pb::TapCount {
                line_id: place.id.clone(),
                ..count(hour, taps)
            };
            let busyness = busyness(hour);
            told.extend(calls(&lines, &places.lines, busyness, &mut random, of_line));
            if is_last {
                let stops = feed(operator, "stops", TapGrain::Stop, TapInterval::Day);
                let of_stop = |place: &Place, taps| pb::TapCount {
                    stop_id: place.id.clone(),
                    ..count(day.start(), taps)
                };
                let busyness = day.window().hours().map(self::busyness).sum();
                told.extend(calls(&stops, &places.stops, busyness, &mut random, of_stop));
            }
        }
        told
    }
}

/// The part of an average day's taps that an hour has.
fn busyness(hour: Hour) -> f64 {
    f64::from(rhythm::weight(hour.start())) / HOURS_OF_DAY
}

fn calls(
    feed: &pb::TapFeed,
    places: &[Place],
    busyness: f64,
    random: &mut StdRng,
    count: impl Fn(&Place, u64) -> pb::TapCount,
) -> Vec<TapCall> {
    let mut told = Vec::new();
    for places in places.chunks(TAP_COUNTS_PER_CALL_MAX) {
        let counts = places.iter();
        let counts = counts.map(|place| count(place, draw(place.per_day * busyness, random)));
        told.push(TapCall {
            feed: feed.clone(),
            counts: counts.collect(),
        });
    }
    told
}

fn count(start: Hour, taps: u64) -> pb::TapCount {
    pb::TapCount {
        start: Some(Timestamp {
            seconds: start.start().0 / 1_000,
            nanos: 0,
        }),
        taps,
        ..pb::TapCount::default()
    }
}

fn feed(operator: &str, name: &str, grain: TapGrain, interval: TapInterval) -> pb::TapFeed {
    let kinds = [TapKind::CheckIn, TapKind::CheckOut, TapKind::Transfer];
    pb::TapFeed {
        feed_id: format!("{}.{name}", operator.to_lowercase()),
        operator_code: operator.to_owned(),
        grain: grain.into(),
        interval: interval.into(),
        tap_kinds: kinds.into_iter().map(Into::into).collect(),
        refusals: Refusals::Excluded.into(),
        day_begins: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LocalDay;

    fn taps(seed: u64) -> Taps {
        let scenario = Scenario {
            seed,
            start: crate::domain::UtcMillis(0),
            reports_per_day: 2_000.0,
        };
        Taps::new(scenario, &World::for_tests())
    }

    fn day(text: &str) -> LocalDay {
        LocalDay::parse(text).expect("a day")
    }

    #[test]
    fn hour_tells_the_same_whatever_was_told_before() {
        let hour = day("2026-11-18").hour_at(8);
        let told = taps(1).of(hour);
        assert_eq!(taps(1).of(hour), told);
        assert_ne!(taps(2).of(hour), told);
    }

    #[test]
    fn lines_are_told_every_hour_and_stops_when_their_day_is_over() {
        let taps = taps(1);
        // The clock goes back on this day.
        for hour in day("2026-10-25").window().hours() {
            let told = taps.of(hour);
            let of = |grain: TapGrain| {
                let is_of = |told: &&TapCall| told.feed.grain == i32::from(grain);
                let of = told.iter().filter(is_of);
                of.map(|told| told.counts.len()).sum::<usize>()
            };
            let stops = match hour.hour_of_day() {
                23 => 60,
                _ => 0,
            };
            assert_eq!((of(TapGrain::Line), of(TapGrain::Stop)), (10, stops));
        }
    }

    #[test]
    fn about_twenty_reports_are_told_for_every_100_000_taps() {
        let hours = day("2026-11-18").window().hours();
        let told = hours.flat_map(|hour| taps(1).of(hour));
        let lines = told.filter(|told| told.feed.grain == i32::from(TapGrain::Line));
        let counts = lines.flat_map(|told| told.counts);
        let sum: u64 = counts.map(|count| count.taps).sum();
        assert!((6_000_000..15_000_000).contains(&sum), "{sum}");
    }
}
