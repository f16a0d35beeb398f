//! An incident's facts as one flat row, with operators, lines and stops as numbers of the
//! ledger's dictionary. Rows are what blocks pack and scans count.

use super::entry::Position;
use super::question::Basis;
use super::time::{Hour, LocalDay};

/// When an incident happened, as finely as it is known and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowTime {
    /// The hour of UTC.
    Hour(Hour),
    /// Only the local day.
    Day(LocalDay),
}

impl RowTime {
    /// The local day.
    pub fn day(self) -> LocalDay {
        match self {
            Self::Hour(hour) => hour.local_day(),
            Self::Day(day) => day,
        }
    }
}

/// One incident, flat. Numbers of taxonomies are stored numbers, 0 for "not said"; numbers
/// of the dictionary are 0 for "not known".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Place in the journal.
    pub position: Position,
    /// When.
    pub time: RowTime,
    /// Self-reported or observed.
    pub basis: Basis,
    /// Dictionary number of the operator.
    pub operator: u16,
    /// Dictionary number of the line.
    pub line: u32,
    /// Dictionary number of the stop.
    pub stop: u32,
    /// `Mode`.
    pub mode: u8,
    /// `TapKind`.
    pub tap_kind: u8,
    /// `CardKind`.
    pub card_kind: u8,
    /// `Signal`.
    pub signal: u8,
    /// Set of `Cause`, whoever claims it.
    pub causes: u16,
    /// Set of `StaffAct`.
    pub staff_acts: u16,
    /// Set of `Outcome`.
    pub outcomes: u16,
}
