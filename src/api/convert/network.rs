//! Operators, lines and stops: what is asked for, and the answers.

use smol_str::SmolStr;

use super::figures::{check_token, parse_page_size};
use super::to_number;
use super::violation::{Path, Violations};
use crate::api::pb::v1 as pb;
use crate::domain::limits::{
    LINE_CHARS_MAX, LINES_PER_PAGE_DEFAULT, LINES_PER_PAGE_MAX, LINES_WITH_STOPS_PER_PAGE_MAX,
    RADIUS_METRES_DEFAULT, RADIUS_METRES_MAX, SEARCH_CHARS_MAX, STOPS_PER_ANSWER_DEFAULT,
    STOPS_PER_ANSWER_MAX,
};
use crate::domain::{LineId, LocalDay, OperatorCode, StopId};
use crate::network::{Direction, Line, LinePage, NearStop, Network, Operator, Stop};

/// A search for stops by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Not empty.
    pub query: SmolStr,
    /// Stops at most.
    pub limit: usize,
}

/// A search for stops around a position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearby {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// How far at most.
    pub radius_metres: u32,
    /// Stops at most.
    pub limit: usize,
}

/// A page of lines. Empty texts stand for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Only this operator's.
    pub operator: String,
    /// Only those that serve this stop.
    pub stop: String,
    /// Only those with this number on the vehicle.
    pub number: String,
    /// Only those after this one.
    pub after: Option<LineId>,
    /// Whether to tell directions and stops.
    pub with_stops: bool,
    /// Lines at most.
    pub rows: usize,
}

/// Checks a search by name.
pub fn parse_search(request: &pb::SearchStopsRequest) -> Result<Search, Violations> {
    let mut found = Violations::default();
    let at = Path::root("query");
    let query = found.text(at, &request.query, SEARCH_CHARS_MAX);
    if request.query.trim().is_empty() {
        found.add(at, "must be given");
    }
    let limit = parse_limit(request.limit, &mut found);
    found.finish(Some(Search { query, limit }))
}

/// Checks a search around a position.
pub fn parse_nearby(request: &pb::NearbyStopsRequest) -> Result<Nearby, Violations> {
    let mut found = Violations::default();
    // Not a number is in no range.
    if !(-90.0..=90.0).contains(&request.latitude) {
        found.add(Path::root("latitude"), "must be -90 to 90");
    }
    if !(-180.0..=180.0).contains(&request.longitude) {
        found.add(Path::root("longitude"), "must be -180 to 180");
    }
    if RADIUS_METRES_MAX < request.radius_metres {
        let rule = format_args!("must be at most {RADIUS_METRES_MAX}");
        found.add(Path::root("radius_metres"), rule);
    }
    let radius_metres = match request.radius_metres {
        0 => RADIUS_METRES_DEFAULT,
        metres => metres,
    };
    let limit = parse_limit(request.limit, &mut found);
    found.finish(Some(Nearby {
        latitude: request.latitude,
        longitude: request.longitude,
        radius_metres,
        limit,
    }))
}

/// Checks a request for lines. Its page token is the identifier of the last line before.
pub fn parse_lines(request: pb::ListLinesRequest) -> Result<Lines, Violations> {
    let mut found = Violations::default();
    if !request.operator_code.is_empty() {
        let at = Path::root("operator_code");
        found.ok(at, request.operator_code.parse::<OperatorCode>());
    }
    if !request.stop_id.is_empty() {
        let at = Path::root("stop_id");
        found.ok(at, request.stop_id.parse::<StopId>());
    }
    let at = Path::root("public_number");
    let number = found.text(at, &request.public_number, LINE_CHARS_MAX);
    let at = Path::root("page_token");
    check_token(at, request.page_token.len(), &mut found);
    let after = match request.page_token.is_empty() {
        true => None,
        false => found.some(
            at,
            request.page_token.parse().ok(),
            "must come from the answer before",
        ),
    };
    let rows_max = if request.with_stops {
        LINES_WITH_STOPS_PER_PAGE_MAX
    } else {
        LINES_PER_PAGE_MAX
    };
    let rows_default = LINES_PER_PAGE_DEFAULT.min(rows_max);
    let rows = parse_page_size(request.page_size, rows_default, rows_max, &mut found);
    found.finish(Some(Lines {
        operator: request.operator_code,
        stop: request.stop_id,
        number: number.into(),
        after,
        with_stops: request.with_stops,
        rows,
    }))
}

/// Stops, in the order given.
pub fn to_stops(stops: &[&Stop]) -> pb::SearchStopsResponse {
    pb::SearchStopsResponse {
        stops: stops.iter().map(|stop| to_stop(stop)).collect(),
    }
}

/// Stops with their distances, in the order given.
pub fn to_near_stops(stops: &[NearStop<'_>]) -> pb::NearbyStopsResponse {
    let to_near = |near: &NearStop<'_>| pb::NearbyStop {
        stop: Some(to_stop(near.stop)),
        distance_metres: near.distance_metres,
    };
    pb::NearbyStopsResponse {
        stops: stops.iter().map(to_near).collect(),
    }
}

/// A page of lines.
pub fn to_lines(page: &LinePage<'_>, network: &Network, with_stops: bool) -> pb::ListLinesResponse {
    let next = page.lines.last().filter(|_| page.has_more);
    pb::ListLinesResponse {
        lines: page
            .lines
            .iter()
            .map(|line| to_line(line, network, with_stops))
            .collect(),
        next_page_token: next.map(|line| line.id.to_string()).unwrap_or_default(),
    }
}

/// All operators.
pub fn to_operators(network: &Network) -> pb::ListOperatorsResponse {
    let to_operator = |operator: &Operator| pb::Operator {
        operator_code: operator.code.to_string(),
        name: operator.name.to_string(),
        lines: operator.lines,
    };
    pb::ListOperatorsResponse {
        operators: network.operators().iter().map(to_operator).collect(),
        network_version: network.version(),
    }
}

fn parse_limit(limit: u32, found: &mut Violations) -> usize {
    match usize::try_from(limit).unwrap_or(usize::MAX) {
        0 => STOPS_PER_ANSWER_DEFAULT,
        limit => {
            if STOPS_PER_ANSWER_MAX < limit {
                let rule = format_args!("must be at most {STOPS_PER_ANSWER_MAX}");
                found.add(Path::root("limit"), rule);
            }
            limit
        }
    }
}

fn to_stop(stop: &Stop) -> pb::Stop {
    pb::Stop {
        stop_id: stop.id.to_string(),
        name: stop.name.to_string(),
        town: stop.town.to_string(),
        latitude: stop.latitude,
        longitude: stop.longitude,
        line_ids: stop.lines.iter().map(ToString::to_string).collect(),
    }
}

fn to_line(line: &Line, network: &Network, with_stops: bool) -> pb::Line {
    let directions = if with_stops {
        &line.directions[..]
    } else {
        &[]
    };
    let to_day = |day: Option<LocalDay>| day.map(|day| day.to_string()).unwrap_or_default();
    pb::Line {
        line_id: line.id.to_string(),
        operator_code: line.id.operator().to_string(),
        public_number: line.number.to_string(),
        name: line.name.to_string(),
        mode: to_number(Some(line.mode)),
        valid_from: to_day(line.validity.from),
        valid_until: to_day(line.validity.until),
        directions: directions
            .iter()
            .map(|direction| to_direction(direction, network))
            .collect(),
    }
}

fn to_direction(direction: &Direction, network: &Network) -> pb::Direction {
    let stops = direction.stops.iter();
    pb::Direction {
        headsign: direction.headsign.to_string(),
        stops: stops
            .filter_map(|id| network.stop(id.as_str()))
            .map(to_stop)
            .collect(),
    }
}
