//! The simulated world: lines with their stops, and readers, each in a vehicle of a line
//! (bus, tram, ferry) or at a stop (train, metro).

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::api::pb::v1 as pb;
use crate::domain::taxonomy::{Mode, Taxonomy};
use crate::domain::{LocalDay, StopId};
use crate::network::{Line, Network, Validity};

/// Vehicles of a line, each with one reader that counts.
const VEHICLES_PER_LINE: u32 = 8;
/// Lines are chosen as often as the inverse of their rank to this power: a few busy ones,
/// many quiet ones.
const RANK_POWER: f64 = 0.7;

/// A line.
#[derive(Clone, Debug)]
pub struct WorldLine {
    /// Identifier, as in `GVB:10`.
    pub id: String,
    /// The operator's code.
    pub operator: String,
    /// The number on the vehicle.
    pub number: String,
    /// The mode.
    pub mode: Mode,
    /// Codes and names of its stops.
    pub stops: Vec<(String, String)>,
}

/// A reader.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// Its line, by place.
    pub line: usize,
    /// The number painted in its vehicle, for lines whose readers are in vehicles.
    pub vehicle: Option<u32>,
}

/// Lines and readers.
#[derive(Clone, Debug)]
pub struct World {
    lines: Vec<WorldLine>,
    readers: Vec<Reader>,
    /// Rising sums of the lines' weights.
    weights: Vec<f64>,
}

impl World {
    /// From lines with at least one stop each; `None` if there are none.
    pub fn new(lines: Vec<WorldLine>) -> Option<Self> {
        let lines: Vec<_> = lines
            .into_iter()
            .filter(|line| !line.stops.is_empty())
            .collect();
        if lines.is_empty() {
            return None;
        }
        let mut readers = Vec::new();
        let mut weights = Vec::new();
        let mut sum = 0.0;
        for (place, line) in lines.iter().enumerate() {
            sum += 1.0 / f64::powf(place as f64 + 1.0, RANK_POWER);
            weights.push(sum);
            let is_in_vehicle = !matches!(line.mode, Mode::Train | Mode::Metro);
            let first = 1_000 + u32::try_from(place).unwrap_or(0) * VEHICLES_PER_LINE;
            readers.extend((0..VEHICLES_PER_LINE).map(|vehicle| Reader {
                line: place,
                vehicle: is_in_vehicle.then_some(first + vehicle),
            }));
        }
        Some(Self {
            lines,
            readers,
            weights,
        })
    }

    /// From what a server lists: the lines that run on a day. One that was imported always has a
    /// last day, which lies ahead while it runs.
    pub fn from_wire(lines: &[pb::Line], day: LocalDay) -> Option<Self> {
        let runs = |line: &&pb::Line| {
            let validity = Validity {
                from: LocalDay::parse(&line.valid_from),
                until: LocalDay::parse(&line.valid_until),
            };
            validity.contains(day)
        };
        let stops = |line: &pb::Line| {
            let direction = line.directions.first()?;
            let stop = |stop: &pb::Stop| (stop.stop_id.clone(), stop.name.clone());
            Some(direction.stops.iter().map(stop).collect::<Vec<_>>())
        };
        Self::new(
            lines
                .iter()
                .filter(runs)
                .map(|line| WorldLine {
                    id: line.line_id.clone(),
                    operator: line.operator_code.clone(),
                    number: line.public_number.clone(),
                    mode: u8::try_from(line.mode)
                        .ok()
                        .and_then(Mode::from_number)
                        .unwrap_or(Mode::Unknown),
                    stops: stops(line).unwrap_or_default(),
                })
                .collect(),
        )
    }

    /// From a network in memory: the lines that have no last day, as those that are made up have
    /// none, and all but a few that are built in.
    pub fn from_network(network: &Network) -> Option<Self> {
        Self::of_lines(network, |line| line.validity.until.is_none())
    }

    /// From a network in memory: the lines that run on a day.
    pub fn from_network_on(network: &Network, day: LocalDay) -> Option<Self> {
        Self::of_lines(network, |line| line.validity.contains(day))
    }

    fn of_lines(network: &Network, is_wanted: impl Fn(&Line) -> bool) -> Option<Self> {
        let lines = network.all_lines().iter().filter(|line| is_wanted(line));
        let name = |stop: &StopId| {
            network
                .stop(stop.as_str())
                .map(|stop| stop.name.to_string())
        };
        Self::new(
            lines
                .map(|line| WorldLine {
                    id: line.id.to_string(),
                    operator: line.id.operator().to_string(),
                    number: line.number.to_string(),
                    mode: line.mode,
                    stops: line
                        .directions
                        .first()
                        .into_iter()
                        .flat_map(|direction| direction.stops.iter())
                        .map(|stop| (stop.to_string(), name(stop).unwrap_or_default()))
                        .collect(),
                })
                .collect(),
        )
    }

    /// So many operators, lines and stops, evenly shared out.
    #[cfg(test)]
    fn of_size(operators: usize, lines: usize, stops: usize) -> Self {
        let stops_per_line = (stops / lines).max(1);
        let lines = (0..lines).map(|place| {
            let operator = format!("OP{:02}", place % operators);
            let stop = |number: usize| {
                let number = (place * stops_per_line + number) % stops;
                (format!("NL:S:{number:08}"), format!("Halte {number}"))
            };
            WorldLine {
                id: format!("{operator}:{place}"),
                number: format!("{place}"),
                operator,
                mode: [Mode::Bus, Mode::Tram, Mode::Metro, Mode::Train][place % 4],
                stops: (0..stops_per_line).map(stop).collect(),
            }
        });
        Self::new(lines.collect()).expect("at least one line with a stop")
    }

    /// Ten lines of two operators.
    #[cfg(test)]
    pub fn for_tests() -> Self {
        Self::of_size(2, 10, 60)
    }

    /// How many lines there are.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Each line, and the part of all reports that is told of it.
    pub(super) fn shares(&self) -> impl Iterator<Item = (&WorldLine, f64)> {
        let sum = self.weights.last().copied().unwrap_or(1.0);
        let before = std::iter::once(0.0).chain(self.weights.iter().copied());
        let shares = self.weights.iter().zip(before);
        let shares = shares.map(move |(through, before)| (through - before) / sum);
        self.lines.iter().zip(shares)
    }

    /// A reader, those of busy lines more often.
    pub(super) fn any_reader(&self, random: &mut StdRng) -> usize {
        let sum = self.weights.last().copied().unwrap_or(1.0);
        let drawn = random.random_range(0.0..sum);
        let line = self.weights.partition_point(|weight| *weight <= drawn);
        let vehicles = VEHICLES_PER_LINE as usize;
        line.min(self.lines.len() - 1) * vehicles + random.random_range(0..vehicles)
    }

    /// The reader, and its line.
    pub(super) fn reader(&self, reader: usize) -> (Reader, &WorldLine) {
        let reader = self.readers[reader];
        (reader, &self.lines[reader.line])
    }

    /// One of a line's stops.
    pub(super) fn any_stop<'a>(line: &'a WorldLine, random: &mut StdRng) -> &'a (String, String) {
        line.stops
            .choose(random)
            .expect("lines without stops are left out")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::convert::network::to_lines;
    use crate::network::{Direction, Feed, LineFilter, Operator, Stop};

    fn day(text: &str) -> LocalDay {
        LocalDay::parse(text).expect("a day")
    }

    /// A network with a line of an imported feed, which has a first and a last day.
    fn imported() -> Network {
        let stop: StopId = "NEW:a".parse().expect("a code");
        let feed = Feed {
            operators: vec![Operator {
                code: "NEW".parse().expect("a code"),
                name: "Nieuw".into(),
                lines: 0,
            }],
            lines: vec![Line {
                id: "NEW:1".parse().expect("a code"),
                number: "1".into(),
                name: "".into(),
                mode: Mode::Bus,
                validity: Validity {
                    from: Some(day("2026-11-16")),
                    until: Some(day("2026-12-12")),
                },
                directions: vec![Direction {
                    headsign: "".into(),
                    stops: vec![stop.clone()],
                }],
            }],
            stops: vec![Stop {
                id: stop,
                name: "Begin".into(),
                town: "".into(),
                latitude: 52.0,
                longitude: 5.0,
                platforms: Vec::new(),
                lines: Vec::new(),
            }],
        };
        Network::overlay(&Network::built_in(), vec![feed]).expect("a network")
    }

    #[test]
    fn line_with_a_last_day_is_simulated_while_it_runs() {
        let network = imported();
        let page = network.lines(&LineFilter::default(), usize::MAX);
        let listed = to_lines(&page, &network, true).lines;
        let check = |text, is_simulated| {
            let of_memory = World::from_network_on(&network, day(text));
            for world in [of_memory, World::from_wire(&listed, day(text))] {
                let world = world.expect("it has lines");
                let has = |id: &str| world.lines.iter().any(|line| line.id == id);
                assert_eq!(has("NEW:1"), is_simulated, "{text}");
                assert!(has("GVB:19"), "it has no last day");
                assert!(!has("GVB:16"), "it ended in 2018");
            }
        };
        check("2026-11-15", false);
        check("2026-11-16", true);
        check("2026-12-12", true);
        check("2026-12-13", false);
    }
}
