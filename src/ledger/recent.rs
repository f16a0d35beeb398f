//! The rows of the last 25 hours, by minute, for sliding windows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::domain::limits::{RECENT_MINUTES, RECENT_ROWS_MAX};
use crate::domain::{Hour, Minute, Position, Row, RowTime, Stamp};

/// Rows of the last 25 hours by minute (of the tap, or where that is not known as `State::untimed`
/// says); withdrawn ones are left out. Cheap to clone (minutes are shared): the publisher counts a clone, off
/// the lock. If there are more than `RECENT_ROWS_MAX`, the oldest minutes are let go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    complete_from: u32,
    /// In each minute rising by position; no minute is empty.
    minutes: BTreeMap<u32, Arc<Vec<Row>>>,
    rows: usize,
}

impl Recent {
    /// How much memory its rows take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let minutes = self.minutes.values();
        minutes.map(|rows| rows.capacity() * size_of::<Row>()).sum()
    }

    /// From which minute on it is complete.
    pub fn complete_from(&self) -> Minute {
        Minute(self.complete_from)
    }

    /// Rows of the minutes in `[from, to)`; none if that is empty.
    pub fn rows(&self, from: Minute, to: Minute) -> impl Iterator<Item = &Row> {
        let to = to.0.max(from.0);
        self.minutes
            .range(from.0..to)
            .flat_map(|(_, rows)| rows.iter())
    }

    /// As `rows`, each with its minute.
    pub fn rows_by_minute(&self, from: Minute, to: Minute) -> impl Iterator<Item = (Minute, &Row)> {
        let to = to.0.max(from.0);
        let minutes = self.minutes.range(from.0..to);
        minutes.flat_map(|(minute, rows)| rows.iter().map(|row| (Minute(*minute), row)))
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Begins empty, complete from a minute on.
    pub(super) fn begin(complete_from: Minute) -> Self {
        Self {
            complete_from: complete_from.0,
            ..Self::default()
        }
    }

    /// The minutes, rising, each with its rows.
    pub(super) fn minutes(&self) -> impl ExactSizeIterator<Item = (Minute, &[Row])> {
        let minutes = self.minutes.iter();
        minutes.map(|(minute, rows)| (Minute(*minute), rows.as_slice()))
    }

    /// Adds a row, unless its minute is too long ago.
    pub(super) fn add(&mut self, minute: Minute, row: Row) {
        if minute.0 < self.complete_from {
            return;
        }
        let rows = Arc::make_mut(self.minutes.entry(minute.0).or_default());
        // Nearly always the latest.
        let is_latest = rows.last().is_none_or(|last| last.position < row.position);
        let place = match is_latest {
            true => rows.len(),
            false => rows.partition_point(|one| one.position < row.position),
        };
        rows.insert(place, row);
        self.rows += 1;
        if RECENT_ROWS_MAX < self.rows {
            self.shed();
        }
    }

    /// Takes a row out, if it is there.
    pub(super) fn remove(&mut self, row: &Row) -> Option<(Minute, Row)> {
        let RowTime::Hour(Hour(hour)) = row.time else {
            return None;
        };
        let minutes = hour.saturating_mul(60)..hour.saturating_add(1).saturating_mul(60);
        self.remove_among(minutes, row.position)
    }

    /// Takes the row with this position out, whatever its minute, if it is there.
    pub(super) fn remove_wherever(&mut self, position: Position) -> Option<(Minute, Row)> {
        self.remove_among(0..u32::MAX, position)
    }

    fn remove_among(&mut self, minutes: Range<u32>, position: Position) -> Option<(Minute, Row)> {
        let (minute, place) = self.minutes.range(minutes).find_map(|(minute, rows)| {
            let place = position_in(rows, position)?;
            Some((*minute, place))
        })?;
        self.rows -= 1;
        let rows = self.minutes.entry(minute).or_default();
        let row = Arc::make_mut(rows).remove(place);
        if rows.is_empty() {
            self.minutes.remove(&minute);
        }
        Some((Minute(minute), row))
    }

    /// Lets go of the minutes that are more than 25 hours before the stamp.
    pub(super) fn advance(&mut self, stamp: Stamp) {
        let Some(now) = stamp.minute() else {
            return;
        };
        let from = now.0.saturating_sub(RECENT_MINUTES);
        if self.complete_from < from {
            self.drop_before(from);
        }
    }

    /// Lets go of the oldest minutes until there are no more rows than allowed.
    #[cold]
    fn shed(&mut self) {
        let mut excess = self.rows - RECENT_ROWS_MAX;
        let mut from = self.complete_from;
        for (minute, rows) in &self.minutes {
            from = minute + 1;
            excess = excess.saturating_sub(rows.len());
            if excess == 0 {
                break;
            }
        }
        self.drop_before(from);
    }

    fn drop_before(&mut self, from: u32) {
        while let Some(oldest) = self.minutes.first_entry()
            && *oldest.key() < from
        {
            self.rows -= oldest.remove().len();
        }
        self.complete_from = from;
    }
}

fn position_in(rows: &[Row], position: Position) -> Option<usize> {
    rows.binary_search_by_key(&position, |row| row.position)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UtcMillis;
    use crate::domain::testing::blank_row;

    const NOON: Minute = Minute(29_882_160);

    fn row(position: u64, minute: Minute) -> Row {
        blank_row(Position(position), RowTime::Hour(minute.hour()))
    }

    fn later(minutes: u32) -> Minute {
        Minute(NOON.0 + minutes)
    }

    fn positions(recent: &Recent) -> Vec<u64> {
        let rows = recent.rows(Minute(0), Minute(u32::MAX));
        rows.map(|row| row.position.0).collect()
    }

    #[test]
    fn minutes_older_than_25_hours_are_let_go() {
        let mut recent = Recent::default();
        recent.add(NOON, row(1, NOON));
        recent.add(later(1), row(2, later(1)));
        recent.advance(later(RECENT_MINUTES).start());
        assert_eq!(positions(&recent), [1, 2]);
        recent.advance(UtcMillis(later(RECENT_MINUTES + 1).start().0 + 59_999));
        assert_eq!(positions(&recent), [2]);
        assert_eq!(recent.complete_from(), later(1));
        recent.add(NOON, row(3, NOON));
        assert_eq!(positions(&recent), [2]);
    }

    #[test]
    fn rows_are_told_by_minute_of_the_tap() {
        let mut recent = Recent::default();
        recent.add(later(2), row(1, later(2)));
        recent.add(NOON, row(2, NOON));
        let of = |from, to| recent.rows(from, to).count();
        assert_eq!(of(NOON, later(2)), 1);
        assert_eq!(of(NOON, later(3)), 2);
        assert_eq!(of(later(2), NOON), 0);
    }

    #[test]
    fn removed_rows_are_gone_from_this_copy_only() {
        let mut recent = Recent::default();
        recent.add(later(7), row(1, later(7)));
        recent.add(later(7), row(2, later(7)));
        let before = recent.clone();
        recent.remove(&row(1, later(7)));
        recent.remove(&row(9, later(7)));
        assert_eq!(positions(&recent), [2]);
        assert_eq!(positions(&before), [1, 2]);
        recent.remove(&row(2, later(7)));
        assert!(recent.is_empty() && recent.minutes.is_empty());
    }

    #[test]
    fn oldest_minutes_are_let_go_when_there_are_too_many_rows() {
        let mut recent = Recent::default();
        recent.add(NOON, row(1, NOON));
        recent.add(NOON, row(2, NOON));
        let many: Vec<_> = (0..RECENT_ROWS_MAX as u64 - 2)
            .map(|number| row(3 + number, later(1)))
            .collect();
        recent.rows += many.len();
        recent.minutes.insert(later(1).0, Arc::new(many));
        recent.add(later(2), row(3_000_000, later(2)));
        assert_eq!(recent.complete_from(), later(1));
        assert_eq!(recent.len(), RECENT_ROWS_MAX - 1);
    }
}
