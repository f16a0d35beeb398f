//! What a network is made of: operators, lines with their directions, and stops.
//!
//! Plain values; what holds between them (references, order, bounds) is checked when a
//! `Network` is assembled from them.

use crate::domain::taxonomy::Mode;
use crate::domain::{LineId, LocalDay, OperatorCode, StopId};

/// An operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its code.
    pub code: OperatorCode,
    /// Its name.
    pub name: Box<str>,
    /// How many lines the network lists for it. Counted when a network is assembled.
    pub lines: u32,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its identifier, which holds its operator.
    pub id: LineId,
    /// The number or letter on the vehicle.
    pub number: Box<str>,
    /// The name, as in `Westergasfabriek - Azartplein`; may be empty.
    pub name: Box<str>,
    /// The mode.
    pub mode: Mode,
    /// For which days the network lists it.
    pub validity: Validity,
    /// Its directions; may be empty where only the line is known.
    pub directions: Vec<Direction>,
}

impl Line {
    /// The operator's code, which its identifier begins with.
    pub fn operator(&self) -> &str {
        self.id.operator_str()
    }
}

/// One direction of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direction {
    /// The sign on the vehicle; may be empty.
    pub headsign: Box<str>,
    /// Its stops in order, none twice in a row.
    pub stops: Vec<StopId>,
}

/// A stop: one place with one name, whatever number of platforms it has.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    /// Its code.
    pub id: StopId,
    /// The name without the town.
    pub name: Box<str>,
    /// The town; empty if not known.
    pub town: Box<str>,
    /// Degrees north, WGS 84.
    pub latitude: f64,
    /// Degrees east, WGS 84.
    pub longitude: f64,
    /// Codes of its platforms, in order; none of them is a stop's code of its own.
    pub platforms: Vec<Box<str>>,
    /// The lines that serve it, in order. Filled in when a network is assembled.
    pub lines: Vec<LineId>,
}

impl Stop {
    /// Town and name, as in `Amsterdam, Leidseplein`.
    pub fn full_name(&self) -> String {
        if self.town.is_empty() {
            self.name.to_string()
        } else {
            [&self.town, ", ", &self.name].concat()
        }
    }

    /// Whether the operator serves it: one of its lines stops there, or the code is the
    /// operator's.
    pub fn is_served_by(&self, operator: &str) -> bool {
        let is_of_operator =
            |id: &str| id.split_once(':').is_some_and(|(code, _)| code == operator);
        let prefix = || operator.bytes().chain([b':']);
        // Lines are in order: the operator's, if there are any, begin here.
        let place = self
            .lines
            .partition_point(|line| line.as_str().bytes().lt(prefix()));
        let line = self.lines.get(place);
        is_of_operator(self.id.as_str()) || line.is_some_and(|line| is_of_operator(line.as_str()))
    }
}

/// First and last day, where known. An end that is not known is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// The first day; `None` if not known.
    pub from: Option<LocalDay>,
    /// The last day; `None` if it still runs or is not known.
    pub until: Option<LocalDay>,
}

impl Validity {
    /// Whether the day lies inside.
    pub fn contains(self, day: LocalDay) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day <= until)
    }

    /// From the earlier first day to the later last day of both.
    pub fn union(self, other: Self) -> Self {
        Self {
            from: self.from.zip(other.from).map(|(a, b)| a.min(b)),
            until: self.until.zip(other.until).map(|(a, b)| a.max(b)),
        }
    }
}

/// What one or more timetable feeds say: the operators, lines and stops they cover.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    /// Operators that the feed names, or that its codes name.
    pub operators: Vec<Operator>,
    /// Lines.
    pub lines: Vec<Line>,
    /// Stops.
    pub stops: Vec<Stop>,
}
