//! The network that is built in, so that a first run has stops: operators of the
//! Netherlands; trams, metros, some buses and ferries of Amsterdam, with old lines and
//! their last days; trams of The Hague; trams and metros of Rotterdam.
//!
//! Written down as facts in `builtin/*.csv`. Codes are those of the operators, so an
//! imported feed carries them on. Positions are rounded to some ten metres; of busy lines
//! all stops are there, of others the main ones; no direction is told apart. A first day
//! before 2000 is left out.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::model::{Direction, Feed, Line, Operator, Stop, Validity};
use super::{Network, names};
use crate::domain::taxonomy::{Mode, Taxonomy};
use crate::domain::{LocalDay, OperatorCode};

/// Columns: code, name, other names.
const OPERATORS: &str = include_str!("builtin/operators.csv");
/// Columns: identifier, number, mode, name, first day, last day, codes of stops.
const LINES: &str = include_str!("builtin/lines.csv");
/// Columns: code, town, name, degrees north, degrees east.
const STOPS: &str = include_str!("builtin/stops.csv");
/// Between the parts of a field with several.
const SEPARATOR: char = '|';

static CODES_BY_NAME: LazyLock<BTreeMap<String, OperatorCode>> = LazyLock::new(|| {
    let named = |row: &Vec<String>| {
        let code: OperatorCode = row[0].parse().expect(CHECKED);
        let names = std::iter::once(&*row[1]).chain(parts(&row[2]));
        names
            .map(|name| (names::key(name), code.clone()))
            .collect::<Vec<_>>()
    };
    rows(OPERATORS).iter().flat_map(named).collect()
});

const CHECKED: &str = "the data is part of the program, and a test reads all of it";

/// The network.
pub(super) fn network() -> Network {
    let content = Feed {
        operators: rows(OPERATORS).iter().map(|row| operator(row)).collect(),
        lines: rows(LINES).iter().map(|row| line(row)).collect(),
        stops: rows(STOPS).iter().map(|row| stop(row)).collect(),
    };
    Network::assemble(0, content).expect(CHECKED)
}

/// The operator that goes by a name, whatever network is in use.
pub(super) fn operator_by_name(name: &str) -> Option<OperatorCode> {
    CODES_BY_NAME.get(&names::key(name)).cloned()
}

/// Whether the code is in the table of operators.
pub(super) fn is_operator(code: &OperatorCode) -> bool {
    CODES_BY_NAME.values().any(|known| known == code)
}

/// The name of an operator in the table.
pub(super) fn operator_name(code: &OperatorCode) -> Option<String> {
    let rows = rows(OPERATORS);
    let row = rows.into_iter().find(|row| row[0] == code.as_str())?;
    row.into_iter().nth(1)
}

/// For each operator of which lines are written down, a day on which those without a last day
/// ran: the latest on which one began.
pub(super) fn known_days() -> BTreeMap<OperatorCode, LocalDay> {
    let lines: Vec<Line> = rows(LINES).iter().map(|row| line(row)).collect();
    let first_days = lines.iter().filter_map(|line| line.validity.from);
    let latest = first_days.max().expect(CHECKED);
    let operators = lines.iter().map(|line| line.id.operator());
    operators.map(|operator| (operator, latest)).collect()
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.deserialize().collect::<Result<_, _>>();
    rows.expect(CHECKED)
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(SEPARATOR).filter(|part| !part.is_empty())
}

fn operator(row: &[String]) -> Operator {
    Operator {
        code: row[0].parse().expect(CHECKED),
        name: row[1].as_str().into(),
        lines: 0,
    }
}

fn line(row: &[String]) -> Line {
    let day = |text: &str| (!text.is_empty()).then(|| LocalDay::parse(text).expect(CHECKED));
    Line {
        id: row[0].parse().expect(CHECKED),
        number: row[1].as_str().into(),
        mode: Mode::from_key(&row[2]).expect(CHECKED),
        name: row[3].as_str().into(),
        validity: Validity {
            from: day(&row[4]),
            until: day(&row[5]),
        },
        directions: directions(&row[3], &row[6]),
    }
}

/// There and back. The signs are the ends of the line's name.
fn directions(name: &str, stops: &str) -> Vec<Direction> {
    let there: Vec<_> = parts(stops)
        .map(|code| code.parse().expect(CHECKED))
        .collect();
    if there.is_empty() {
        return Vec::new();
    }
    let back = there.iter().rev().cloned().collect();
    let (first, last) = name.split_once(" - ").unwrap_or(("", ""));
    let direction = |headsign: &str, stops| Direction {
        headsign: headsign.into(),
        stops,
    };
    vec![direction(last, there), direction(first, back)]
}

fn stop(row: &[String]) -> Stop {
    Stop {
        id: row[0].parse().expect(CHECKED),
        town: row[1].as_str().into(),
        name: row[2].as_str().into(),
        latitude: row[3].parse().expect(CHECKED),
        longitude: row[4].parse().expect(CHECKED),
        platforms: Vec::new(),
        lines: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::near::distance;

    /// Between two stops that follow one another; the metro to Hoek van Holland has longer
    /// ways, of which not all stops are listed.
    const METRES_BETWEEN_STOPS_MAX: f64 = 8_000.0;

    #[test]
    fn built_in_network_has_what_a_first_run_needs() {
        let network = network();
        assert_eq!(network.version(), 0);
        let lines_of = |code| network.operator(code).map_or(0, |operator| operator.lines);
        assert!(25 <= lines_of("GVB"));
        assert!(10 <= lines_of("HTM"));
        assert!(8 <= lines_of("RET"));
        assert!(network.operator("NS").is_some());
        assert!(300 <= network.all_stops().len());
    }

    #[test]
    fn line_10_goes_from_the_westergasfabriek_to_azartplein() {
        let network = network();
        let line = network
            .line("GVB:10")
            .expect("the line of the founding story");
        let last_day = line.validity.until.map(|day| day.to_string());
        assert_eq!(last_day.as_deref(), Some("2018-07-21"));
        let stops: Vec<_> = line.directions[0]
            .stops
            .iter()
            .filter_map(|id| network.stop(id.as_str()))
            .map(|stop| &*stop.name)
            .collect();
        assert_eq!(stops.len(), 21);
        assert_eq!(
            (stops[0], stops[8], stops[20]),
            ("Van Hallstraat", "Leidseplein", "Azartplein")
        );
    }

    #[test]
    fn every_line_has_directions_whose_stops_lie_along_a_way() {
        let network = network();
        for line in network.all_lines() {
            assert_eq!(line.directions.len(), 2, "{}", line.id);
            let stops = line.directions[0].stops.iter();
            let stops: Vec<_> = stops.filter_map(|id| network.stop(id.as_str())).collect();
            for pair in stops.windows(2) {
                let (one, next) = (pair[0], pair[1]);
                assert_ne!(one.id, next.id, "{}", line.id);
                let metres = distance(one.latitude, one.longitude, next.latitude, next.longitude);
                assert!(
                    metres < METRES_BETWEEN_STOPS_MAX,
                    "{}: {} to {}",
                    line.id,
                    one.name,
                    next.name
                );
            }
        }
    }
}
