//! What is asked of the record: which incidents, broken down by what, in which window.

use super::id::{LineId, OperatorCode, StopId};
use super::limits::DIMENSIONS_MAX;
use super::taxonomy::{CardKind, Cause, Mode, Outcome, SetOf, Signal, StaffAct, TapKind};
use super::time::{LocalDay, Window};

/// Whose reports are counted. The two are never added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// Told by travellers and staff.
    SelfReported,
    /// Observed by devices.
    Observed,
}

/// What a figure can be broken down by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Operator code.
    Operator,
    /// Line identifier.
    Line,
    /// Stop code.
    Stop,
    /// Mode.
    Mode,
    /// Claimed cause; an incident may stand under several.
    Cause,
    /// Card kind.
    CardKind,
    /// Signal.
    Signal,
    /// Staff act; an incident may stand under several.
    StaffAct,
    /// Outcome; an incident may stand under several.
    Outcome,
    /// Tap kind.
    TapKind,
    /// Local hour of day.
    HourOfDay,
    /// Weekday.
    Weekday,
    /// Local day.
    Day,
    /// Local month.
    Month,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 14] = [
        Self::Operator,
        Self::Line,
        Self::Stop,
        Self::Mode,
        Self::Cause,
        Self::CardKind,
        Self::Signal,
        Self::StaffAct,
        Self::Outcome,
        Self::TapKind,
        Self::HourOfDay,
        Self::Weekday,
        Self::Day,
        Self::Month,
    ];

    /// Short name on the command line and in downloads, as in `staff-act`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Line => "line",
            Self::Stop => "stop",
            Self::Mode => "mode",
            Self::Cause => "cause",
            Self::CardKind => "card-kind",
            Self::Signal => "signal",
            Self::StaffAct => "staff-act",
            Self::Outcome => "outcome",
            Self::TapKind => "tap-kind",
            Self::HourOfDay => "hour-of-day",
            Self::Weekday => "weekday",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// Which incidents count. An empty list or set does not restrict; within one, any value
/// suffices; all must be met. Lists are sorted and without repeats.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Whose reports.
    pub basis: Basis,
    /// Operators.
    pub operators: Vec<OperatorCode>,
    /// Lines.
    pub lines: Vec<LineId>,
    /// Stops.
    pub stops: Vec<StopId>,
    /// Modes.
    pub modes: SetOf<Mode>,
    /// Claimed causes.
    pub causes: SetOf<Cause>,
    /// Card kinds.
    pub card_kinds: SetOf<CardKind>,
    /// Signals.
    pub signals: SetOf<Signal>,
    /// Staff acts.
    pub staff_acts: SetOf<StaffAct>,
    /// Outcomes.
    pub outcomes: SetOf<Outcome>,
    /// Tap kinds.
    pub tap_kinds: SetOf<TapKind>,
    /// Local hours of day: bit n is hour n. 0 does not restrict. With a restriction,
    /// incidents known only to the day do not count.
    pub hours_of_day: u32,
    /// Weekdays: bit n is day n, 1 (Monday) to 7. 0 does not restrict.
    pub weekdays: u8,
    /// Local days that do not count, for figures without declared outages. Nobody asks for
    /// them; see `query::outages`.
    pub without_days: Vec<LocalDay>,
}

impl Filter {
    /// No restriction but whose reports.
    pub fn all(basis: Basis) -> Self {
        Self {
            basis,
            operators: Vec::new(),
            lines: Vec::new(),
            stops: Vec::new(),
            modes: SetOf::EMPTY,
            causes: SetOf::EMPTY,
            card_kinds: SetOf::EMPTY,
            signals: SetOf::EMPTY,
            staff_acts: SetOf::EMPTY,
            outcomes: SetOf::EMPTY,
            tap_kinds: SetOf::EMPTY,
            hours_of_day: 0,
            weekdays: 0,
            without_days: Vec::new(),
        }
    }

    /// Whether a local day counts, hours of day aside.
    pub fn takes_day(&self, day: LocalDay) -> bool {
        (self.weekdays == 0 || self.weekdays >> day.weekday() & 1 == 1)
            && (self.without_days.is_empty() || self.without_days.binary_search(&day).is_err())
    }

    /// Whether every local day counts.
    pub fn takes_all_days(&self) -> bool {
        self.weekdays == 0 && self.without_days.is_empty()
    }

    /// Whether incidents of an operator may count, as far as operators and lines are named.
    pub fn may_take(&self, operator: &OperatorCode) -> bool {
        let is_of_a_line = || self.lines.iter().any(|line| line.operator() == *operator);
        (self.operators.is_empty() || self.operators.binary_search(operator).is_ok())
            && (self.lines.is_empty() || is_of_a_line())
    }

    /// The same, however a tap failed: with any signal, cause and outcome, and whatever staff did.
    pub fn of_any_failure(&self) -> Self {
        Self {
            causes: SetOf::EMPTY,
            signals: SetOf::EMPTY,
            staff_acts: SetOf::EMPTY,
            outcomes: SetOf::EMPTY,
            ..self.clone()
        }
    }

    /// The same of what the other basis told.
    pub fn of_other_basis(&self) -> Self {
        Self {
            basis: match self.basis {
                Basis::SelfReported => Basis::Observed,
                Basis::Observed => Basis::SelfReported,
            },
            ..self.clone()
        }
    }
}

/// Up to three different dimensions, in the order of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Breakdown(Vec<Dimension>);

impl Breakdown {
    /// `None` if there are too many, or one twice.
    pub fn new(dimensions: Vec<Dimension>) -> Option<Self> {
        let is_repeated = |index: usize| dimensions[..index].contains(&dimensions[index]);
        if DIMENSIONS_MAX < dimensions.len() || (0..dimensions.len()).any(is_repeated) {
            return None;
        }
        Some(Self(dimensions))
    }

    /// The dimensions.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.0
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Which incidents.
    pub filter: Filter,
    /// Broken down by what.
    pub by: Breakdown,
    /// When they happened. An incident known only to the day counts if its whole day lies
    /// inside.
    pub window: Window,
}

impl Question {
    /// The local days of the window that count.
    pub fn days(&self) -> impl Iterator<Item = LocalDay> {
        let takes = |day: &LocalDay| self.filter.takes_day(*day);
        self.window.days().filter(takes)
    }
}
