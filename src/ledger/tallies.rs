//! Counts by low-dimensional scope and bucket, of one basis. (skeleton)

use super::cube::Cube;

/// What an attribute tally counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    Total,
    Mode,
    Cause,
    CardKind,
    Signal,
    StaffAct,
    Outcome,
    TapKind,
}

/// Counts by operator and value. Column: operator number × `slots` + value number; value 0 is
/// "not said" (for sets: empty). `Total` has one slot.
#[derive(Clone)]
pub struct AttributeTally {
    pub slots: usize,
    /// Bucket: `Hour`.
    pub hour: Cube,
    /// Incidents known only to the day. Bucket: `LocalDay`.
    pub day_only: Cube,
}

#[derive(Clone)]
pub struct Tallies {
    /// Bucket `Hour`, column line number (0: not known). Without those known only to the day.
    pub line_hour: Cube,
    /// Bucket `LocalDay`, column line number. All.
    pub line_day: Cube,
    /// Bucket `LocalDay`, column stop number. All.
    pub stop_day: Cube,
}

impl Tallies {
    pub fn attribute(&self, _attribute: Attribute) -> &AttributeTally {
        todo!()
    }
}
