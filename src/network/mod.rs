//! Stops, lines and operators: what there is to choose from, and what a traveller meant.
//!
//! A `Network` is one immutable version, shared as `Arc<Network>`. It is the built-in one,
//! or a version before it overlaid by timetable feeds, and finds stops by name and by
//! position. Everything it answers is a function of its content and the question. Which
//! version is in use, and when to look for a newer one, is for others to decide.

pub mod advice;
mod builtin;
mod gtfs;
mod model;
mod names;
mod near;
mod overlay;
mod persist;
mod resolve;
mod row_reader;
mod search;

use std::collections::BTreeMap;
use std::hash::Hash;
use std::hint::black_box;

use hashbrown::HashMap;
use smol_str::SmolStr;

pub use gtfs::{FeedError, FeedReason, Progress, import_gtfs, read_gtfs};
pub use model::{Direction, Feed, Line, Operator, Stop, Validity};
pub use near::NearStop;
pub use persist::{PersistError, latest_on_disk};
pub use resolve::{Resolved, Words};
pub use row_reader::{RowReader, RowTooLong};

use crate::domain::limits::{LINES_MAX, NETWORK_STOPS_MAX, OPERATORS_MAX};
use crate::domain::{LineId, OperatorCode, StopId};
use near::Grid;
use search::SearchIndex;

/// One version of the network. Operators, lines and stops are in order of code, no code is
/// there twice, and every stop that a line names is there.
pub struct Network {
    version: u32,
    sha256: [u8; 32],
    operators: Vec<Operator>,
    lines: Vec<Line>,
    stops: Vec<Stop>,
    /// Places in `lines` by identifier.
    line_places: HashMap<LineId, u32>,
    /// By code, with what is told of a stop whose code was written: far more are looked up than
    /// fit a cache, and so each is in one place.
    known_stops: HashMap<StopId, KnownStop>,
    /// By place in `stops`: town and name.
    full_names: Vec<SmolStr>,
    /// By place in `lines`: places in `stops` of the stops that it serves, rising.
    stops_of_lines: Vec<Box<[u32]>>,
    /// Places in `operators` by what spellings of their names have in common. Where several
    /// have one name: the first.
    operators_by_name: BTreeMap<String, u32>,
    /// Lines by number on the vehicle, in capitals: places in `lines`, ascending, with their
    /// operators, of which many have the same numbers.
    lines_by_number: HashMap<Box<str>, Vec<(u32, OperatorCode)>>,
    /// Stops by platform code: places in `stops`, ascending.
    platforms: HashMap<Box<str>, Vec<u32>>,
    search: SearchIndex,
    grid: Grid,
}

/// A stop, as it is found by its code.
struct KnownStop {
    place: u32,
    full_name: SmolStr,
}

/// Why operators, lines and stops make no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Too many of something.
    #[error("more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A code twice.
    #[error("{what} {code} is there twice")]
    Twice {
        /// Of what.
        what: &'static str,
        /// The code.
        code: Box<str>,
    },
    /// A line names a stop that is not there.
    #[error("line {line} names stop {stop}, which is not there")]
    UnknownStop {
        /// The line.
        line: LineId,
        /// The stop.
        stop: StopId,
    },
}

/// Which lines to list. Empty texts stand for all.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineFilter<'a> {
    /// Only this operator's.
    pub operator: &'a str,
    /// Only those that serve this stop.
    pub stop: &'a str,
    /// Only those with this number on the vehicle, in small letters or capitals.
    pub number: &'a str,
    /// Only those that come after this identifier.
    pub after: &'a str,
}

/// Some lines, in order of identifier.
#[derive(Clone, Debug)]
pub struct LinePage<'a> {
    /// The lines.
    pub lines: Vec<&'a Line>,
    /// Whether there are more after the last.
    pub has_more: bool,
}

impl Network {
    /// The small network that is built in: version 0.
    pub fn built_in() -> Self {
        builtin::network()
    }

    /// The network that `base` becomes when feeds replace, operator by operator, what it
    /// knows. Its version is the next one.
    pub fn overlay(base: &Self, feeds: Vec<Feed>) -> Result<Self, InvalidNetwork> {
        let next = overlay::overlay(base.content(), feeds);
        Self::assemble(base.version + 1, next)
    }

    /// Counts up from 0, which is the built-in network.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// SHA-256 of its content, the version number left out.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// All operators, in order of code.
    pub fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// All lines, in order of identifier.
    pub fn all_lines(&self) -> &[Line] {
        &self.lines
    }

    /// All stops, in order of code.
    pub fn all_stops(&self) -> &[Stop] {
        &self.stops
    }

    /// The operator with this code.
    pub fn operator(&self, code: &str) -> Option<&Operator> {
        let place = self
            .operators
            .binary_search_by(|operator| operator.code.as_str().cmp(code));
        place.ok().map(|place| &self.operators[place])
    }

    /// The line with this identifier.
    pub fn line(&self, id: &str) -> Option<&Line> {
        let place = self.line_places.get(id)?;
        Some(&self.lines[*place as usize])
    }

    /// The stop with this code. Codes of platforms are none.
    pub fn stop(&self, id: &str) -> Option<&Stop> {
        let known = self.known_stops.get(id)?;
        Some(&self.stops[known.place as usize])
    }

    /// Looks up lines and stops that are told by their codes, one after the other with nothing
    /// between, so that they wait for memory together. Changes nothing.
    pub fn look_ahead<'t>(&self, told: impl Iterator<Item = (&'t str, &'t str)> + Clone) {
        for (_, stop) in told.clone() {
            black_box(self.known_stops.get(stop));
        }
        for (line, _) in told {
            black_box(self.line(line).map(|line| line.validity));
        }
    }

    /// The first `limit` lines that pass the filter.
    pub fn lines(&self, filter: &LineFilter<'_>, limit: usize) -> LinePage<'_> {
        let first = self
            .lines
            .partition_point(|line| line.id.as_str() <= filter.after);
        let mut rest = self.lines[first..]
            .iter()
            .filter(|line| filter.passes(line));
        let lines: Vec<_> = rest.by_ref().take(limit).collect();
        LinePage {
            lines,
            has_more: rest.next().is_some(),
        }
    }

    /// Up to `limit` stops whose names fit the query, best first. Forgives accents,
    /// abbreviations, word order, unfinished words and one or two typing errors a word.
    pub fn search(&self, query: &str, limit: usize) -> Vec<&Stop> {
        let hits = self.search.find(query, limit, &self.stops, |_| true);
        hits.iter().map(|hit| &self.stops[hit.stop]).collect()
    }

    /// Up to `limit` stops within `radius_metres` of a position, nearest first.
    pub fn nearby(
        &self,
        latitude: f64,
        longitude: f64,
        radius_metres: u32,
        limit: usize,
    ) -> Vec<NearStop<'_>> {
        let mut near = self
            .grid
            .within(&self.stops, latitude, longitude, radius_metres);
        near.truncate(limit);
        near
    }

    /// Puts a network together: sorts, checks, counts, and builds the indexes.
    fn assemble(version: u32, content: Feed) -> Result<Self, InvalidNetwork> {
        let Feed {
            mut operators,
            mut lines,
            mut stops,
            ..
        } = content;
        operators.sort_by(|a, b| a.code.cmp(&b.code));
        lines.sort_by(|a, b| a.id.cmp(&b.id));
        stops.sort_by(|a, b| a.id.cmp(&b.id));
        check_codes("operator", OPERATORS_MAX, &operators, |operator| {
            operator.code.as_str()
        })?;
        check_codes("line", LINES_MAX, &lines, |line| line.id.as_str())?;
        check_codes("stop", NETWORK_STOPS_MAX, &stops, |stop| stop.id.as_str())?;
        serve_stops(&mut lines, &mut stops)?;
        count_lines(&lines, &mut operators);
        let full_names: Vec<SmolStr> = stops.iter().map(|stop| stop.full_name().into()).collect();
        Ok(Self {
            version,
            sha256: persist::content_sha256(&operators, &lines, &stops),
            line_places: places_of_codes(lines.iter().map(|line| &line.id)),
            stops_of_lines: stops_of_lines(&lines, &stops),
            known_stops: known_stops(&stops, &full_names),
            full_names,
            operators_by_name: places_of_names(&operators),
            lines_by_number: lines_by_number(&lines),
            platforms: places(stops.iter().map(|stop| stop.platforms.clone())),
            search: SearchIndex::build(&stops),
            grid: Grid::build(&stops),
            operators,
            lines,
            stops,
        })
    }

    /// A copy of its content.
    fn content(&self) -> Feed {
        Feed {
            operators: self.operators.clone(),
            lines: self.lines.clone(),
            stops: self.stops.clone(),
        }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("version", &self.version)
            .field("operators", &self.operators.len())
            .field("lines", &self.lines.len())
            .field("stops", &self.stops.len())
            .finish_non_exhaustive()
    }
}

impl LineFilter<'_> {
    fn passes(&self, line: &Line) -> bool {
        let is_operators = || {
            line.id
                .as_str()
                .strip_prefix(self.operator)
                .is_some_and(|rest| rest.starts_with(':'))
        };
        let serves = |stop: &StopId| stop.as_str() == self.stop;
        let mut stops = line
            .directions
            .iter()
            .flat_map(|direction| &direction.stops);
        (self.operator.is_empty() || is_operators())
            && (self.number.is_empty() || line.number.eq_ignore_ascii_case(self.number))
            && (self.stop.is_empty() || stops.any(serves))
    }
}

fn check_codes<T>(
    what: &'static str,
    max: usize,
    sorted: &[T],
    code: impl Fn(&T) -> &str,
) -> Result<(), InvalidNetwork> {
    if max < sorted.len() {
        return Err(InvalidNetwork::TooMany { what, max });
    }
    match sorted
        .windows(2)
        .find(|pair| code(&pair[0]) == code(&pair[1]))
    {
        Some(pair) => Err(InvalidNetwork::Twice {
            what,
            code: code(&pair[0]).into(),
        }),
        None => Ok(()),
    }
}

/// Tells each stop which lines serve it; lines then share its code's text. Lines and stops are
/// in order.
fn serve_stops(lines: &mut [Line], stops: &mut [Stop]) -> Result<(), InvalidNetwork> {
    for stop in stops.iter_mut() {
        stop.lines.clear();
    }
    for line in lines {
        let directions = line.directions.iter_mut();
        for id in directions.flat_map(|direction| &mut direction.stops) {
            let place = stops
                .binary_search_by(|stop| stop.id.cmp(id))
                .map_err(|_| InvalidNetwork::UnknownStop {
                    line: line.id.clone(),
                    stop: id.clone(),
                })?;
            let stop = &mut stops[place];
            id.clone_from(&stop.id);
            if stop.lines.last() != Some(&line.id) {
                stop.lines.push(line.id.clone());
            }
        }
    }
    Ok(())
}

fn count_lines(lines: &[Line], operators: &mut [Operator]) {
    let mut counts = BTreeMap::<OperatorCode, u32>::new();
    for line in lines {
        *counts.entry(line.id.operator()).or_default() += 1;
    }
    for operator in operators {
        operator.lines = counts.get(&operator.code).copied().unwrap_or(0);
    }
}

/// The place of each code, found at once. Its order is never looked at.
fn places_of_codes<'a, T: Clone + Eq + Hash + 'a>(
    codes: impl Iterator<Item = &'a T>,
) -> HashMap<T, u32> {
    codes.cloned().zip(0..).collect()
}

/// Every stop by its code. Its order is never looked at.
fn known_stops(stops: &[Stop], full_names: &[SmolStr]) -> HashMap<StopId, KnownStop> {
    let known = |(place, (stop, full_name)): (u32, (&Stop, &SmolStr))| {
        let full_name = full_name.clone();
        (stop.id.clone(), KnownStop { place, full_name })
    };
    (0..).zip(stops.iter().zip(full_names)).map(known).collect()
}

/// Places of the stops of each line. Lines and stops are in order.
fn stops_of_lines(lines: &[Line], stops: &[Stop]) -> Vec<Box<[u32]>> {
    let mut places = vec![Vec::new(); lines.len()];
    for (place, stop) in (0..).zip(stops) {
        for id in &stop.lines {
            let line = lines.binary_search_by(|line| line.id.cmp(id));
            places[line.expect("lines told their stops")].push(place);
        }
    }
    places.into_iter().map(Vec::into_boxed_slice).collect()
}

fn places_of_names(operators: &[Operator]) -> BTreeMap<String, u32> {
    let mut places = BTreeMap::new();
    for (place, operator) in (0..).zip(operators) {
        places.entry(names::key(&operator.name)).or_insert(place);
    }
    places
}

fn lines_by_number(lines: &[Line]) -> HashMap<Box<str>, Vec<(u32, OperatorCode)>> {
    let mut by_number = HashMap::<Box<str>, Vec<_>>::new();
    for (place, line) in (0..).zip(lines) {
        let number = line.number.to_uppercase().into();
        let same = by_number.entry(number).or_default();
        same.push((place, line.id.operator()));
    }
    by_number
}

/// For each key, the places of the items that have it.
fn places<K: Into<Box<str>>>(
    keys_of_items: impl Iterator<Item = impl IntoIterator<Item = K>>,
) -> HashMap<Box<str>, Vec<u32>> {
    let mut places = HashMap::<Box<str>, Vec<u32>>::new();
    for (place, keys) in (0..).zip(keys_of_items) {
        for key in keys {
            places.entry(key.into()).or_default().push(place);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<'a>(page: &LinePage<'a>) -> Vec<&'a str> {
        page.lines.iter().map(|line| line.id.as_str()).collect()
    }

    #[test]
    fn pages_of_lines_follow_one_another_without_gap_or_repeat() {
        let network = Network::built_in();
        let all = network.all_lines().iter().map(|line| line.id.as_str());
        let mut listed = Vec::new();
        loop {
            let filter = LineFilter {
                after: listed.last().copied().unwrap_or(""),
                ..LineFilter::default()
            };
            let page = network.lines(&filter, 7);
            listed.extend(ids(&page));
            if !page.has_more {
                break;
            }
        }
        assert_eq!(listed, all.collect::<Vec<_>>());
    }

    #[test]
    fn lines_are_listed_by_operator_number_and_stop() {
        let network = Network::built_in();
        let check = |operator, number, stop, expected: &[&str]| {
            let filter = LineFilter {
                operator,
                number,
                stop,
                after: "",
            };
            assert_eq!(ids(&network.lines(&filter, 100)), expected);
        };
        check("", "10", "", &["GVB:10", "HTM:10"]);
        check("HTM", "10", "", &["HTM:10"]);
        check("RET", "e", "", &["RET:E"]);
        check(
            "",
            "",
            "GVB:06061",
            &[
                "GVB:1", "GVB:10", "GVB:12", "GVB:19", "GVB:2", "GVB:5", "GVB:7",
            ],
        );
        check("", "", "nowhere", &[]);
        check("G", "", "", &[]);
    }

    #[test]
    fn content_that_does_not_fit_together_is_no_network() {
        let network = Network::built_in();
        let mut content = network.content();
        content.lines.push(content.lines[0].clone());
        let twice = Network::assemble(1, content).map(|network| network.version());
        assert!(matches!(
            twice,
            Err(InvalidNetwork::Twice { what: "line", .. })
        ));

        let mut content = network.content();
        content.stops.retain(|stop| stop.id.as_str() != "GVB:06061");
        let missing = Network::assemble(1, content).map(|network| network.version());
        assert!(matches!(missing, Err(InvalidNetwork::UnknownStop { .. })));
    }
}
