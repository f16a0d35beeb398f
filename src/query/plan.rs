//! Which tallies suffice for a question, if any do.

use crate::domain::limits::QUESTION_ROWS_MAX;
use crate::domain::{Dimension, Filter, Question};
use crate::ledger::Attribute;

/// Most cells that are kept densely; more than this are counted in a map.
pub(super) const DENSE_CELLS_MAX: u64 = QUESTION_ROWS_MAX as u64;

/// The tallies from which a question can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// By line.
    Line,
    /// By stop and day.
    Stop,
    /// By operator and value.
    Attribute(Attribute),
}

/// The attributes that are tallied, with their dimensions.
const ATTRIBUTES: [(Attribute, Dimension); 7] = [
    (Attribute::Mode, Dimension::Mode),
    (Attribute::Cause, Dimension::Cause),
    (Attribute::CardKind, Dimension::CardKind),
    (Attribute::Signal, Dimension::Signal),
    (Attribute::StaffAct, Dimension::StaffAct),
    (Attribute::Outcome, Dimension::Outcome),
    (Attribute::TapKind, Dimension::TapKind),
];

impl Source {
    /// `None` if only a scan can answer.
    pub(super) fn of(question: &Question) -> Option<Self> {
        let filter = &question.filter;
        let uses_line = has(question, Dimension::Line) || !filter.lines.is_empty();
        let uses_stop = has(question, Dimension::Stop) || !filter.stops.is_empty();
        let mut attributes = ATTRIBUTES.iter().filter(|(attribute, dimension)| {
            has(question, *dimension) || mask(filter, *attribute) != 0
        });
        match (uses_line, uses_stop, attributes.next(), attributes.next()) {
            (true, false, None, None) => Some(Self::Line),
            (false, true, None, None) => suits_stops(question).then_some(Self::Stop),
            (false, false, None, None) => Some(Self::Attribute(Attribute::Total)),
            (false, false, Some((attribute, dimension)), None) => {
                let suits = suits_attribute(question, *attribute, *dimension);
                suits.then_some(Self::Attribute(*attribute))
            }
            _ => None,
        }
    }
}

/// Whether the question is broken down by the dimension.
pub(super) fn has(question: &Question, dimension: Dimension) -> bool {
    question.by.dimensions().contains(&dimension)
}

/// Whether it matters at what hour of day an incident happened.
pub(super) fn needs_hours_of_day(question: &Question) -> bool {
    question.filter.hours_of_day != 0 || has(question, Dimension::HourOfDay)
}

/// The dimension of an attribute; `None` for `Total`.
pub(super) fn dimension_of(attribute: Attribute) -> Option<Dimension> {
    let mut known = ATTRIBUTES.iter();
    Some(known.find(|(other, _)| *other == attribute)?.1)
}

/// Whether an incident can have several values of the attribute.
pub(super) fn is_set(attribute: Attribute) -> bool {
    matches!(
        attribute,
        Attribute::Cause | Attribute::StaffAct | Attribute::Outcome
    )
}

/// The values of the attribute that the filter takes, as bits; 0 does not restrict.
pub(super) fn mask(filter: &Filter, attribute: Attribute) -> u16 {
    match attribute {
        Attribute::Total => 0,
        Attribute::Mode => filter.modes.bits(),
        Attribute::Cause => filter.causes.bits(),
        Attribute::CardKind => filter.card_kinds.bits(),
        Attribute::Signal => filter.signals.bits(),
        Attribute::StaffAct => filter.staff_acts.bits(),
        Attribute::Outcome => filter.outcomes.bits(),
        Attribute::TapKind => filter.tap_kinds.bits(),
    }
}

/// Stops are tallied by whole days, and without operators.
fn suits_stops(question: &Question) -> bool {
    let window = question.window;
    let mut days = window.days();
    let first = days.next();
    let last = days.last().or(first);
    let is_whole = |day: Option<_>| day.is_some_and(|day| window.contains_day(day));
    question.filter.operators.is_empty()
        && !has(question, Dimension::Operator)
        && !needs_hours_of_day(question)
        && is_whole(first)
        && is_whole(last)
}

/// Values of a set are tallied one by one, so that neither incidents with any of several
/// values nor other values of the same incidents can be told.
fn suits_attribute(question: &Question, attribute: Attribute, dimension: Dimension) -> bool {
    let mask = mask(&question.filter, attribute);
    if !is_set(attribute) || mask == 0 {
        return true;
    }
    mask.count_ones() == 1 && !has(question, dimension)
}
