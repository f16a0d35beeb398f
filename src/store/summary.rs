//! A block's header: what a scan needs to pass over the block without unpacking it.

use crate::domain::limits::BLOCK_ROWS;
use crate::domain::{Basis, Hour, LocalDay, Position, Row, RowTime, Window};

use super::error::InvalidBlock;

pub(super) const FORMAT: u8 = 1;
pub(super) const HEADER_BYTES: usize = 40;

const HAS_SELF_REPORTED: u8 = 1;
const HAS_OBSERVED: u8 = 2;
const HAS_HOURS: u8 = 4;
const HAS_DAYS: u8 = 8;

/// What a block's header tells about its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The block's number.
    pub number: u32,
    /// How many rows it has, from 1 up.
    pub rows: u16,
    /// Position of the first row.
    pub first: Position,
    /// Position of the last row.
    pub last: Position,
    /// Earliest and latest hour of the rows whose hour is known.
    pub hours: Option<(Hour, Hour)>,
    /// Earliest and latest day of the rows of which only the day is known.
    pub days: Option<(LocalDay, LocalDay)>,
    bases: u8,
}

// === impl Summary ===

impl Summary {
    /// Reads a block's header. The checksum is not looked at.
    pub fn read(bytes: &[u8]) -> Result<Self, InvalidBlock> {
        if bytes.len() < HEADER_BYTES {
            return Err(InvalidBlock::Length);
        }
        if bytes[0] != FORMAT {
            return Err(InvalidBlock::Format);
        }
        let flags = bytes[1];
        let hours = (Hour(u32_at(bytes, 24)), Hour(u32_at(bytes, 28)));
        let days = (
            LocalDay(u32_at(bytes, 32).cast_signed()),
            LocalDay(u32_at(bytes, 36).cast_signed()),
        );
        let summary = Self {
            number: u32_at(bytes, 4),
            rows: u16::from_le_bytes([bytes[2], bytes[3]]),
            first: Position(u64_at(bytes, 8)),
            last: Position(u64_at(bytes, 16)),
            hours: (flags & HAS_HOURS != 0).then_some(hours),
            days: (flags & HAS_DAYS != 0).then_some(days),
            bases: flags & (HAS_SELF_REPORTED | HAS_OBSERVED),
        };
        if summary.rows == 0 || usize::from(summary.rows) > BLOCK_ROWS {
            return Err(InvalidBlock::Length);
        }
        Ok(summary)
    }

    /// Whether a row of this basis is in the block.
    pub fn has(&self, basis: Basis) -> bool {
        self.bases & basis_flag(basis) != 0
    }

    /// Whether a row of the block may lie in the window; `false` is certain.
    pub fn may_touch(&self, window: Window) -> bool {
        let hours_touch = self
            .hours
            .is_some_and(|(first, last)| first < window.end() && window.start() <= last);
        hours_touch
            || self.days.is_some_and(|(first, last)| {
                let last_hour = Hour(window.end().0 - 1);
                first <= last_hour.local_day() && window.start().local_day() <= last
            })
    }

    /// Of 1 to `BLOCK_ROWS` rows.
    pub(super) fn of(number: u32, rows: &[Row]) -> Self {
        let mut summary = Self {
            number,
            rows: u16::try_from(rows.len()).expect("asserted by the caller"),
            first: rows[0].position,
            last: rows[rows.len() - 1].position,
            hours: None,
            days: None,
            bases: 0,
        };
        for row in rows {
            summary.bases |= basis_flag(row.basis);
            match row.time {
                RowTime::Hour(hour) => widen(&mut summary.hours, hour),
                RowTime::Day(day) => widen(&mut summary.days, day),
            }
        }
        summary
    }

    /// Appends `HEADER_BYTES`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut flags = self.bases;
        if self.hours.is_some() {
            flags |= HAS_HOURS;
        }
        if self.days.is_some() {
            flags |= HAS_DAYS;
        }
        let hours = self.hours.unwrap_or((Hour(0), Hour(0)));
        let days = self.days.unwrap_or((LocalDay(0), LocalDay(0)));
        out.extend([FORMAT, flags]);
        out.extend(self.rows.to_le_bytes());
        out.extend(self.number.to_le_bytes());
        out.extend(self.first.0.to_le_bytes());
        out.extend(self.last.0.to_le_bytes());
        out.extend(hours.0.0.to_le_bytes());
        out.extend(hours.1.0.to_le_bytes());
        out.extend(days.0.0.to_le_bytes());
        out.extend(days.1.0.to_le_bytes());
    }
}

fn basis_flag(basis: Basis) -> u8 {
    match basis {
        Basis::SelfReported => HAS_SELF_REPORTED,
        Basis::Observed => HAS_OBSERVED,
    }
}

fn widen<T: Copy + Ord>(range: &mut Option<(T, T)>, value: T) {
    let (first, last) = range.unwrap_or((value, value));
    *range = Some((first.min(value), last.max(value)));
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes[at..at + 4].try_into();
    u32::from_le_bytes(word.expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let word = bytes[at..at + 8].try_into();
    u64::from_le_bytes(word.expect("eight bytes"))
}
