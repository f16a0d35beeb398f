//! What rates set apart: reports that stand in no numerator, by the same scopes and buckets
//! as the tallies, sparse.
//!
//! A report can be set against taps only if it is about a tap of a known kind, at a scope and
//! in an interval that a feed tells. Most are. Those that are not are counted here once more,
//! each in the first class that holds, so that a numerator is a tally less some of these.

use super::cube::Cube;
use super::tallies::{Attribute, Buckets, Change};
use crate::domain::taxonomy::{TapKind, Taxonomy};
use crate::domain::{Row, RowTime};

/// Why a report is set apart; of several that hold, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is about an inspection, which is no tap.
    Inspection,
    /// Its kind of tap is not known.
    KindUnknown,
    /// Its scope is not known: of attributes the line, of stops the operator that most often
    /// stands there. It is known to the hour.
    ScopeUnknown,
    /// The same, and only the day is known.
    ScopeAndHourUnknown,
    /// Only its day is known.
    HourUnknown,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Inspection,
        Self::KindUnknown,
        Self::ScopeUnknown,
        Self::ScopeAndHourUnknown,
        Self::HourUnknown,
    ];

    /// Why a report is set apart; `None` if it is not.
    fn of(row: &Row, knows_scope: bool) -> Option<Self> {
        let knows_hour = matches!(row.time, RowTime::Hour(_));
        if row.tap_kind == TapKind::Inspection.number() {
            return Some(Self::Inspection);
        }
        match (row.tap_kind, knows_scope, knows_hour) {
            (0, ..) => Some(Self::KindUnknown),
            (_, false, true) => Some(Self::ScopeUnknown),
            (_, false, false) => Some(Self::ScopeAndHourUnknown),
            (_, true, false) => Some(Self::HourUnknown),
            (_, true, true) => None,
        }
    }
}

/// Reports set apart for one reason, with the columns of the tally beside which it stands.
#[derive(Clone, Debug)]
pub struct Less {
    /// Bucket: `Hour`. Without those known only to the day. Not kept by stop.
    pub hour: Cube,
    /// Bucket: `day_bucket`. All.
    pub day: Cube,
}

impl Default for Less {
    fn default() -> Self {
        Self {
            hour: Cube::sparse(),
            day: Cube::sparse(),
        }
    }
}

/// Reports set apart, of one basis.
#[derive(Clone, Debug, Default)]
pub struct Unmatchable {
    lines: [Less; Reason::ALL.len()],
    stops: [Less; Reason::ALL.len()],
    /// In the order of `Attribute::ALL`.
    attributes: [[Less; Attribute::ALL.len()]; Reason::ALL.len()],
    /// One bucket, 0: by stop the number of its operator, which is the first that was
    /// reported there; 0 if none was.
    stop_operators: Cube,
}

impl Unmatchable {
    /// By line.
    pub fn line(&self, reason: Reason) -> &Less {
        &self.lines[reason as usize]
    }

    /// By stop, and day only.
    pub fn stop(&self, reason: Reason) -> &Less {
        &self.stops[reason as usize]
    }

    /// By operator and value.
    pub fn attribute(&self, attribute: Attribute, reason: Reason) -> &Less {
        &self.attributes[reason as usize][attribute as usize]
    }

    /// By stop the operator's number.
    pub fn stop_operators(&self) -> &Cube {
        &self.stop_operators
    }

    /// Counts a row, or counts it no more.
    pub(super) fn change(&mut self, row: &Row, buckets: Buckets, change: Change) {
        // Whether a line is known is told by its column.
        if let Some(reason) = Reason::of(row, true) {
            let less = &mut self.lines[reason as usize];
            put(less, buckets, row.line, change);
        }
        let is_at_home = self.is_at_home(row);
        if let Some(reason) = Reason::of(row, is_at_home) {
            let less = &mut self.stops[reason as usize];
            change.apply(&mut less.day, buckets.day, row.stop);
        }
        let Some(reason) = Reason::of(row, row.line != 0) else {
            return;
        };
        let lesses = &mut self.attributes[reason as usize];
        for (less, attribute) in lesses.iter_mut().zip(Attribute::ALL) {
            attribute.each_column(row, |column| put(less, buckets, column, change));
        }
    }

    /// Whether a report is of the operator of its stop. The first that is reported there
    /// stays it for ever, so that the answer for one report never changes.
    fn is_at_home(&mut self, row: &Row) -> bool {
        let known = self.stop_operators.row(0);
        let known = known.map_or(0, |cells| cells.get(row.stop));
        if known == 0 && row.operator != 0 && row.stop != 0 {
            self.stop_operators.set(0, row.stop, row.operator.into());
            return true;
        }
        row.operator != 0 && known == u32::from(row.operator)
    }

    /// How much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.cubes().map(Cube::bytes).sum()
    }

    /// Every cube, in an order that never changes.
    pub(super) fn cubes(&self) -> impl Iterator<Item = &Cube> {
        let attributes = self.attributes.iter().flatten();
        let lesses = self.lines.iter().chain(&self.stops).chain(attributes);
        let cubes = lesses.flat_map(|less| [&less.hour, &less.day]);
        cubes.chain([&self.stop_operators])
    }

    /// The same, to be changed.
    pub(super) fn cubes_mut(&mut self) -> impl Iterator<Item = &mut Cube> {
        let attributes = self.attributes.iter_mut().flatten();
        let lesses = self.lines.iter_mut().chain(&mut self.stops);
        let cubes = lesses
            .chain(attributes)
            .flat_map(|less| [&mut less.hour, &mut less.day]);
        cubes.chain([&mut self.stop_operators])
    }
}

#[inline]
fn put(less: &mut Less, buckets: Buckets, column: u32, change: Change) {
    change.apply(&mut less.day, buckets.day, column);
    if let Some((hour, _)) = buckets.hours {
        change.apply(&mut less.hour, hour, column);
    }
}
