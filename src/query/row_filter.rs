//! A filter, made ready to be asked about many rows: tables by number and masks.

use crate::domain::question::Basis;
use crate::domain::{Calendar, Dimension, Filter, LocalDay, Question, Row, RowTime};
use crate::ledger::Dictionary;

/// Which values the filter takes, without time. `None` and a mask of 0 do not restrict.
pub(super) struct RowFilter {
    basis: Basis,
    pub(super) operators: Option<Vec<bool>>,
    pub(super) lines: Option<Vec<bool>>,
    pub(super) stops: Option<Vec<bool>>,
    modes: u16,
    tap_kinds: u16,
    card_kinds: u16,
    signals: u16,
    causes: u16,
    staff_acts: u16,
    outcomes: u16,
}

impl RowFilter {
    pub(super) fn new(filter: &Filter, dictionary: &Dictionary) -> Self {
        let operators = filter.operators.iter();
        let lines = filter.lines.iter();
        let stops = filter.stops.iter();
        Self {
            basis: filter.basis,
            operators: table(
                operators.map(|code| dictionary.operator_number(code.as_str()).map(u32::from)),
                dictionary.operators(),
            ),
            lines: table(
                lines.map(|line| dictionary.line_number(line.as_str())),
                dictionary.lines(),
            ),
            stops: table(
                stops.map(|stop| dictionary.stop_number(stop.as_str())),
                dictionary.stops(),
            ),
            modes: filter.modes.bits(),
            tap_kinds: filter.tap_kinds.bits(),
            card_kinds: filter.card_kinds.bits(),
            signals: filter.signals.bits(),
            causes: filter.causes.bits(),
            staff_acts: filter.staff_acts.bits(),
            outcomes: filter.outcomes.bits(),
        }
    }

    /// Whether the row passes, time aside.
    pub(super) fn takes(&self, row: &Row) -> bool {
        row.basis == self.basis
            && takes_one(self.modes, row.mode)
            && takes_one(self.tap_kinds, row.tap_kind)
            && takes_one(self.card_kinds, row.card_kind)
            && takes_one(self.signals, row.signal)
            && takes_any(self.causes, row.causes)
            && takes_any(self.staff_acts, row.staff_acts)
            && takes_any(self.outcomes, row.outcomes)
            && self.takes_operator(u32::from(row.operator))
            && self.takes_line(row.line)
            && self.takes_stop(row.stop)
    }

    /// The values of a taxonomy that are taken, as bits; 0 does not restrict.
    pub(super) fn mask(&self, dimension: Dimension) -> u16 {
        match dimension {
            Dimension::Mode => self.modes,
            Dimension::Cause => self.causes,
            Dimension::CardKind => self.card_kinds,
            Dimension::Signal => self.signals,
            Dimension::StaffAct => self.staff_acts,
            Dimension::Outcome => self.outcomes,
            Dimension::TapKind => self.tap_kinds,
            _ => 0,
        }
    }

    pub(super) fn takes_operator(&self, number: u32) -> bool {
        is_listed(self.operators.as_deref(), number)
    }

    pub(super) fn takes_line(&self, number: u32) -> bool {
        is_listed(self.lines.as_deref(), number)
    }

    pub(super) fn takes_stop(&self, number: u32) -> bool {
        is_listed(self.stops.as_deref(), number)
    }
}

/// The local day on which something of this time counts; `None` if its time is not what is
/// asked for.
pub(super) fn day_of(question: &Question, time: RowTime) -> Option<LocalDay> {
    let (filter, window) = (&question.filter, question.window);
    match time {
        RowTime::Hour(hour) => {
            if !window.contains(hour) {
                return None;
            }
            let calendar = Calendar::get();
            let day = calendar.day(hour);
            let wanted = filter.hours_of_day;
            let takes_hour = wanted == 0 || wanted >> calendar.hour_of_day(day, hour) & 1 == 1;
            (takes_hour && filter.takes_day(day)).then_some(day)
        }
        RowTime::Day(day) => {
            let takes =
                window.contains_day(day) && filter.hours_of_day == 0 && filter.takes_day(day);
            takes.then_some(day)
        }
    }
}

/// Whether a mask takes a value of a taxonomy; 0 is "not said".
pub(super) fn takes_one(mask: u16, number: u8) -> bool {
    mask == 0 || mask.checked_shr(u32::from(number)).unwrap_or(0) & 1 == 1
}

fn takes_any(mask: u16, set: u16) -> bool {
    mask == 0 || mask & set != 0
}

fn is_listed(table: Option<&[bool]>, number: u32) -> bool {
    table.is_none_or(|table| table.get(number as usize).copied().unwrap_or(false))
}

/// `None` for an empty list. Values that were never recorded have no number and match nothing.
fn table(numbers: impl ExactSizeIterator<Item = Option<u32>>, size: usize) -> Option<Vec<bool>> {
    if numbers.len() == 0 {
        return None;
    }
    let mut table = vec![false; size];
    for number in numbers.flatten() {
        table[number as usize] = true;
    }
    Some(table)
}
