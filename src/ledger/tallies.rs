//! Counts by low-dimensional scope and bucket, of one basis: line by hour and by day, stop by
//! day, and each attribute by operator and hour.

use super::cube::Cube;
use crate::domain::taxonomy::{
    CardKind, Cause, Mode, Outcome, Signal, StaffAct, TapKind, Taxonomy,
};
use crate::domain::{LocalDay, Row, RowTime};

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

/// Counts by operator and value. Column: operator number × `slots` + value number; value 0 is
/// "not said" (for sets: empty). `Total` has one slot.
#[derive(Clone, Debug)]
pub struct AttributeTally {
    /// How many values there are, 0 included.
    pub slots: usize,
    /// Bucket: `Hour`. Without those known only to the day.
    pub hour: Cube,
    /// Incidents known only to the day. Bucket: `LocalDay`.
    pub day_only: Cube,
}

/// The tallies of one basis.
#[derive(Clone, Debug)]
pub struct Tallies {
    /// Bucket `Hour`, column line number (0: not known). Without those known only to the day.
    pub line_hour: Cube,
    /// Bucket `LocalDay`, column line number. All.
    pub line_day: Cube,
    /// Bucket `LocalDay`, column stop number. All.
    pub stop_day: Cube,
    /// In the order of `Attribute::ALL`.
    attributes: [AttributeTally; Attribute::ALL.len()],
}

/// Which way a row counts.
#[derive(Clone, Copy)]
enum Change {
    Add,
    Take,
}

impl Change {
    #[inline]
    fn apply(self, cube: &mut Cube, bucket: u32, column: u32) {
        match self {
            Self::Add => cube.add(bucket, column),
            Self::Take => cube.take(bucket, column),
        }
    }
}

impl Default for Tallies {
    fn default() -> Self {
        let attribute = |attribute: Attribute| AttributeTally {
            slots: attribute.slots(),
            hour: Cube::default(),
            day_only: Cube::default(),
        };
        Self {
            line_hour: Cube::default(),
            line_day: Cube::default(),
            stop_day: Cube::default(),
            attributes: Attribute::ALL.map(attribute),
        }
    }
}

impl Tallies {
    /// The tally of an attribute.
    pub fn attribute(&self, attribute: Attribute) -> &AttributeTally {
        &self.attributes[attribute as usize]
    }

    /// Counts a row.
    pub(super) fn add(&mut self, row: &Row) {
        self.change(row, Change::Add);
    }

    /// Counts a row no more. Panics if it was not counted.
    pub(super) fn take(&mut self, row: &Row) {
        self.change(row, Change::Take);
    }

    fn change(&mut self, row: &Row, change: Change) {
        let day = day_bucket(row.time.day());
        change.apply(&mut self.line_day, day, row.line);
        change.apply(&mut self.stop_day, day, row.stop);
        if let RowTime::Hour(hour) = row.time {
            change.apply(&mut self.line_hour, hour.0, row.line);
        }
        for (tally, attribute) in self.attributes.iter_mut().zip(Attribute::ALL) {
            let (cube, bucket) = match row.time {
                RowTime::Hour(hour) => (&mut tally.hour, hour.0),
                RowTime::Day(_) => (&mut tally.day_only, day),
            };
            let first = column(row.operator, tally.slots);
            let mut values = attribute.values(row);
            while values != 0 {
                change.apply(cube, bucket, first + values.trailing_zeros());
                values &= values - 1;
            }
        }
    }

    /// How much memory the tallies of all attributes take, in bytes.
    pub(super) fn attribute_bytes(&self) -> usize {
        let bytes = |tally: &AttributeTally| tally.hour.bytes() + tally.day_only.bytes();
        self.attributes.iter().map(bytes).sum()
    }

    /// Every cube, in an order that never changes.
    pub(super) fn cubes(&self) -> impl Iterator<Item = &Cube> {
        let scopes = [&self.line_hour, &self.line_day, &self.stop_day];
        let attributes = self.attributes.iter();
        let attributes = attributes.flat_map(|tally| [&tally.hour, &tally.day_only]);
        scopes.into_iter().chain(attributes)
    }

    /// The cube at a place in the order of `cubes`.
    pub(super) fn cube_mut(&mut self, index: usize) -> Option<&mut Cube> {
        match index {
            0 => Some(&mut self.line_hour),
            1 => Some(&mut self.line_day),
            2 => Some(&mut self.stop_day),
            _ => {
                let tally = self.attributes.get_mut((index - 3) / 2)?;
                Some(match index % 2 {
                    1 => &mut tally.hour,
                    _ => &mut tally.day_only,
                })
            }
        }
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
