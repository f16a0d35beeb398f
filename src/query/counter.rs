//! Counting rows one by one, without a window: what watchers of a sliding window need, and
//! what tests compare the faster ways with.

use hashbrown::HashMap;

use crate::domain::limits::DIMENSIONS_MAX;
use crate::domain::question::Breakdown;
use crate::domain::{Calendar, Dimension, Filter, Row, RowTime};
use crate::ledger::Dictionary;

use super::Figure;
use super::axis;
use super::row_filter::RowFilter;

/// Numbers of dictionary, taxonomy or calendar; hours of day are numbered from 1. 0 is "not
/// known" and beyond the last dimension.
type Numbers = [u32; DIMENSIONS_MAX];

/// Counts rows by a filter (without window) and breakdown.
pub struct Counter {
    row_filter: RowFilter,
    hours_of_day: u32,
    weekdays: u8,
    dimensions: Vec<Dimension>,
    rows: HashMap<Numbers, u64>,
    total: u64,
    left_out: u64,
}

/// A finished count.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Counted {
    /// Rows in the order of `Order::Key`, each with its count.
    pub figures: Vec<Figure>,
    /// Distinct incidents.
    pub total: u64,
    /// Those among them that stand in no row.
    pub left_out: u64,
}

impl Counter {
    /// Names in the filter that the dictionary does not have match nothing.
    pub fn new(filter: &Filter, by: &Breakdown, dictionary: &Dictionary) -> Self {
        Self {
            row_filter: RowFilter::new(filter, dictionary),
            hours_of_day: filter.hours_of_day,
            weekdays: filter.weekdays,
            dimensions: by.dimensions().to_vec(),
            rows: HashMap::new(),
            total: 0,
            left_out: 0,
        }
    }

    /// Whether a row would be counted.
    pub fn matches(&self, row: &Row) -> bool {
        self.row_filter.takes(row) && self.takes_time(row.time)
    }

    /// Counts a row, if it matches.
    pub fn count(&mut self, row: &Row) {
        if !self.matches(row) {
            return;
        }
        self.total += 1;
        let is_known = |dimension: &Dimension| !values(*dimension, row).is_none();
        if self.dimensions.iter().all(is_known) {
            let mut numbers = Numbers::default();
            count_from(0, &self.dimensions, row, &mut numbers, &mut self.rows);
        } else {
            self.left_out += 1;
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The count; `None` if it has more than `rows_max` rows. The dictionary is the one that
    /// it began with, or a later one.
    pub fn finish(self, dictionary: &Dictionary, rows_max: usize) -> Option<Counted> {
        if rows_max < self.rows.len() {
            return None;
        }
        let key = |(dimension, number): (&Dimension, u32)| match dimension {
            Dimension::Day | Dimension::Month => {
                axis::date_key(*dimension, number.cast_signed()).into_owned()
            }
            dimension => axis::key(*dimension, number, dictionary).into_owned(),
        };
        let figure = |(numbers, count): (&Numbers, &u64)| Figure {
            keys: self.dimensions.iter().zip(*numbers).map(key).collect(),
            count: *count,
            rests_on_few_days: None,
        };
        let mut figures: Vec<Figure> = self.rows.iter().map(figure).collect();
        figures.sort_unstable_by(|one, other| one.keys.cmp(&other.keys));
        Some(Counted {
            figures,
            total: self.total,
            left_out: self.left_out,
        })
    }

    fn takes_time(&self, time: RowTime) -> bool {
        let takes_hour = self.hours_of_day == 0
            || hour_of_day(time).is_some_and(|hour| self.hours_of_day >> hour & 1 == 1);
        takes_hour && (self.weekdays == 0 || self.weekdays >> day(time).weekday() & 1 == 1)
    }
}

/// The numbers of a row's values of one dimension.
#[derive(Clone, Copy)]
pub(super) enum Values {
    /// One; 0 if it is not known.
    One(u32),
    /// Those whose bits are set.
    Set(u16),
}

impl Values {
    fn is_none(self) -> bool {
        matches!(self, Self::One(0) | Self::Set(0))
    }
}

/// Counts a row in each combination of its values of the dimensions from this place on.
fn count_from(
    place: usize,
    dimensions: &[Dimension],
    row: &Row,
    numbers: &mut Numbers,
    rows: &mut HashMap<Numbers, u64>,
) {
    let Some(dimension) = dimensions.get(place) else {
        *rows.entry(*numbers).or_default() += 1;
        return;
    };
    match values(*dimension, row) {
        Values::One(number) => {
            numbers[place] = number;
            count_from(place + 1, dimensions, row, numbers, rows);
        }
        Values::Set(mut bits) => {
            while bits != 0 {
                numbers[place] = bits.trailing_zeros();
                count_from(place + 1, dimensions, row, numbers, rows);
                bits &= bits - 1;
            }
        }
    }
}

/// The numbers of a row's values of a dimension; 0 or none if it is not known.
pub(super) fn values(dimension: Dimension, row: &Row) -> Values {
    match dimension {
        Dimension::Operator => Values::One(row.operator.into()),
        Dimension::Line => Values::One(row.line),
        Dimension::Stop => Values::One(row.stop),
        Dimension::Mode => Values::One(row.mode.into()),
        Dimension::Cause => Values::Set(row.causes),
        Dimension::CardKind => Values::One(row.card_kind.into()),
        Dimension::Signal => Values::One(row.signal.into()),
        Dimension::StaffAct => Values::Set(row.staff_acts),
        Dimension::Outcome => Values::Set(row.outcomes),
        Dimension::TapKind => Values::One(row.tap_kind.into()),
        Dimension::HourOfDay => Values::One(hour_of_day(row.time).map_or(0, |hour| hour + 1)),
        Dimension::Weekday => Values::One(day(row.time).weekday().into()),
        Dimension::Day => Values::One(day(row.time).0.cast_unsigned()),
        Dimension::Month => Values::One(Calendar::get().month(day(row.time)).0.cast_unsigned()),
    }
}

fn day(time: RowTime) -> crate::domain::LocalDay {
    match time {
        RowTime::Hour(hour) => Calendar::get().day(hour),
        RowTime::Day(day) => day,
    }
}

fn hour_of_day(time: RowTime) -> Option<u32> {
    match time {
        RowTime::Hour(hour) => {
            let calendar = Calendar::get();
            Some(calendar.hour_of_day(calendar.day(hour), hour).into())
        }
        RowTime::Day(_) => None,
    }
}
