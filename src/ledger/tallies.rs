//! Counts by low-dimensional scope and bucket, of one basis: stop by day; line, and each
//! attribute by operator, by hour, by day and by month and hour of day.
//!
//! The coarser tables say nothing that the hours do not, but for incidents known only to the
//! day; they are there so that a question about years reads hundreds of rows, not thousands.

use super::cube::Cube;
use super::unmatchable::Unmatchable;
use crate::domain::taxonomy::{
    CardKind, Cause, Mode, Outcome, Signal, StaffAct, TapKind, Taxonomy,
};
use crate::domain::{Calendar, LocalDay, LocalMonth, Row, RowTime};

/// What an attribute tally counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Every incident.
    Total,
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
}

impl Attribute {
    /// Every attribute, in the order in which tallies hold them.
    pub const ALL: [Self; 8] = [
        Self::Total,
        Self::Mode,
        Self::Cause,
        Self::CardKind,
        Self::Signal,
        Self::StaffAct,
        Self::Outcome,
        Self::TapKind,
    ];

    /// How many values there are, with 0 for "not said"; 1 for the total.
    pub fn slots(self) -> usize {
        match self {
            Self::Total => 1,
            Self::Mode => Mode::slots(),
            Self::Cause => Cause::slots(),
            Self::CardKind => CardKind::slots(),
            Self::Signal => Signal::slots(),
            Self::StaffAct => StaffAct::slots(),
            Self::Outcome => Outcome::slots(),
            Self::TapKind => TapKind::slots(),
        }
    }

    /// Calls `each` with every column in which a row counts.
    #[inline]
    pub(super) fn each_column(self, row: &Row, mut each: impl FnMut(u32)) {
        let first = column(row.operator, self.slots());
        let mut values = self.values(row);
        while values != 0 {
            each(first + values.trailing_zeros());
            values &= values - 1;
        }
    }

    /// The values that a row has, as bits: bit n is the value with number n, bit 0 is "not
    /// said". The total is always bit 0.
    pub fn values(self, row: &Row) -> u16 {
        match self {
            Self::Total => 1,
            Self::Mode => 1 << row.mode,
            Self::Cause => set_values(row.causes),
            Self::CardKind => 1 << row.card_kind,
            Self::Signal => 1 << row.signal,
            Self::StaffAct => set_values(row.staff_acts),
            Self::Outcome => set_values(row.outcomes),
            Self::TapKind => 1 << row.tap_kind,
        }
    }
}

fn set_values(bits: u16) -> u16 {
    if bits == 0 { 1 } else { bits }
}

/// Counts of the same columns in buckets of three kinds.
#[derive(Clone, Debug, Default)]
pub struct Timed {
    /// Bucket: `Hour`. Without those known only to the day.
    pub hour: Cube,
    /// Bucket: `day_bucket`. All.
    pub day: Cube,
    /// Bucket: `month_hour_bucket`. Without those known only to the day.
    pub month_hour: Cube,
}

/// The tallies of one basis.
#[derive(Clone, Debug)]
pub struct Tallies {
    /// Column: line number (0: not known). By hour sparse: most lines have no report in most
    /// hours.
    pub line: Timed,
    /// Bucket `day_bucket`, column stop number. All.
    pub stop_day: Cube,
    /// In the order of `Attribute::ALL`.
    attributes: [Timed; Attribute::ALL.len()],
    /// Reports that stand in no numerator of a rate.
    pub apart: Unmatchable,
}

impl Default for Tallies {
    fn default() -> Self {
        Self {
            line: Timed {
                hour: Cube::sparse(),
                ..Timed::default()
            },
            stop_day: Cube::default(),
            attributes: Default::default(),
            apart: Unmatchable::default(),
        }
    }
}

/// The buckets in which a row counts.
#[derive(Clone, Copy)]
pub(super) struct Buckets {
    pub(super) day: u32,
    /// Hour, and month with hour of day, if the hour is known.
    pub(super) hours: Option<(u32, u32)>,
}

/// Which way a row counts.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Add,
    Take,
}

impl Change {
    #[inline]
    pub(super) fn apply(self, cube: &mut Cube, bucket: u32, column: u32) {
        match self {
            Self::Add => cube.add(bucket, column),
            Self::Take => cube.take(bucket, column),
        }
    }
}

impl Buckets {
    fn of(time: RowTime) -> Self {
        let calendar = Calendar::get();
        match time {
            RowTime::Hour(hour) => {
                let day = calendar.day(hour);
                let hour_of_day = calendar.hour_of_day(day, hour);
                let month_hour = month_hour_bucket(calendar.month(day), hour_of_day);
                Self {
                    day: day_bucket(day),
                    hours: Some((hour.0, month_hour)),
                }
            }
            RowTime::Day(day) => Self {
                day: day_bucket(day),
                hours: None,
            },
        }
    }
}

impl Timed {
    fn add_all(&mut self, buckets: Buckets, columns: &[u32]) {
        self.day.add_all(buckets.day, columns);
        if let Some((hour, month_hour)) = buckets.hours {
            self.hour.add_all(hour, columns);
            self.month_hour.add_all(month_hour, columns);
        }
    }

    fn take(&mut self, buckets: Buckets, column: u32) {
        self.day.take(buckets.day, column);
        if let Some((hour, month_hour)) = buckets.hours {
            self.hour.take(hour, column);
            self.month_hour.take(month_hour, column);
        }
    }

    fn cubes(&self) -> [&Cube; 3] {
        [&self.hour, &self.day, &self.month_hour]
    }

    fn cubes_mut(&mut self) -> [&mut Cube; 3] {
        [&mut self.hour, &mut self.day, &mut self.month_hour]
    }

    /// How much memory its rows take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.cubes().into_iter().map(Cube::bytes).sum()
    }
}

impl Tallies {
    /// The tally of an attribute. Column: operator number × slots + value number; value 0 is
    /// "not said" (for sets: empty).
    pub fn attribute(&self, attribute: Attribute) -> &Timed {
        &self.attributes[attribute as usize]
    }

    /// Counts rows of one hour, or of one day, together: their places are looked for once. What
    /// stands apart depends on the order in which rows come, and is counted by `add_apart`.
    pub(super) fn add_all(&mut self, rows: &[Row]) {
        let Some(first) = rows.first() else {
            return;
        };
        let buckets = Buckets::of(first.time);
        let mut columns: Vec<u32> = rows.iter().map(|row| row.line).collect();
        self.line.add_all(buckets, &columns);
        columns.clear();
        columns.extend(rows.iter().map(|row| row.stop));
        self.stop_day.add_all(buckets.day, &columns);
        for (timed, attribute) in self.attributes.iter_mut().zip(Attribute::ALL) {
            columns.clear();
            for row in rows {
                attribute.each_column(row, |column| columns.push(column));
            }
            timed.add_all(buckets, &columns);
        }
    }

    /// Counts a row that `add_all` counts too, if it stands apart.
    pub(super) fn add_apart(&mut self, row: &Row) {
        self.apart.change(row, Buckets::of(row.time), Change::Add);
    }

    /// Counts a row no more, anywhere. Panics if it was not counted.
    pub(super) fn take(&mut self, row: &Row) {
        let buckets = Buckets::of(row.time);
        self.line.take(buckets, row.line);
        self.stop_day.take(buckets.day, row.stop);
        for (timed, attribute) in self.attributes.iter_mut().zip(Attribute::ALL) {
            attribute.each_column(row, |column| timed.take(buckets, column));
        }
        self.apart.change(row, buckets, Change::Take);
    }

    /// How much memory the tallies of all attributes take, in bytes.
    pub(super) fn attribute_bytes(&self) -> usize {
        self.attributes.iter().map(Timed::bytes).sum()
    }

    /// Every cube, in an order that never changes.
    pub(super) fn cubes(&self) -> impl Iterator<Item = &Cube> {
        let attributes = self.attributes.iter().flat_map(Timed::cubes);
        let lines = self.line.cubes().into_iter();
        lines
            .chain([&self.stop_day])
            .chain(attributes)
            .chain(self.apart.cubes())
    }

    /// The cube at a place in the order of `cubes`.
    pub(super) fn cube_mut(&mut self, index: usize) -> Option<&mut Cube> {
        let attributes = self.attributes.iter_mut().flat_map(Timed::cubes_mut);
        let lines = self.line.cubes_mut().into_iter();
        let cubes = lines.chain([&mut self.stop_day]).chain(attributes);
        cubes.chain(self.apart.cubes_mut()).nth(index)
    }
}

/// The first column of an operator in a tally with so many slots.
fn column(operator: u16, slots: usize) -> u32 {
    let column = usize::from(operator) * slots;
    u32::try_from(column).expect("16 bits times a few slots")
}

/// A day as a bucket.
pub fn day_bucket(day: LocalDay) -> u32 {
    u32::try_from(day.0).expect("supported days come after 1970")
}

/// A month with an hour of day, 0 to 23, as a bucket.
pub fn month_hour_bucket(month: LocalMonth, hour_of_day: u8) -> u32 {
    let month = u32::try_from(month.0).expect("supported months come after 1970");
    month * 24 + u32::from(hour_of_day)
}
