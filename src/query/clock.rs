//! Which cell each hour and each day of a window is counted in, as far as time decides.
//!
//! An incident known only to the day counts in its day, if the whole day lies inside the
//! window and no hours of day are asked for; its place on the axis of hours is 0.

use crate::domain::{Calendar, Dimension, Filter, Hour, LocalDay, Question, RowTime, Window};

use super::axis::Axes;

/// In place of a cell: does not count.
pub(super) const SKIP: u32 = u32::MAX;

/// Tells the cells of days and hours: numbers of combinations of times, to be multiplied by
/// `Axes::width`.
pub(super) struct Clock<'a> {
    axes: &'a Axes,
    /// Combinations of times.
    pub(super) cells: usize,
    hours_of_day: u32,
    filter: &'a Filter,
    hour_step: u32,
}

impl<'a> Clock<'a> {
    /// The axes are those of the question.
    pub(super) fn new(question: &'a Question, axes: &'a Axes) -> Self {
        let hour_axis = axes.find(Dimension::HourOfDay);
        Self {
            axes,
            cells: usize::try_from(axes.cells / axes.width).expect("times are few"),
            hours_of_day: question.filter.hours_of_day,
            filter: &question.filter,
            hour_step: hour_axis.map_or(0, |(_, stride)| step(stride, axes)),
        }
    }

    /// The cell of a day, at place 0 of the axis of hours, or `SKIP`.
    pub(super) fn day(&self, day: LocalDay) -> u32 {
        if !self.filter.takes_day(day) {
            return SKIP;
        }
        let mut cell = 0;
        for (axis, stride) in self.axes.asked.iter().zip(&self.axes.strides) {
            let place = match axis.dimension {
                Dimension::Day => axis.place_of_date(day.0),
                Dimension::Month => axis.place_of_date(Calendar::get().month(day).0),
                Dimension::Weekday => u32::from(day.weekday()),
                _ => continue,
            };
            cell += place * step(*stride, self.axes);
        }
        cell
    }

    /// The cell of an hour of day within a day that has this cell, or `SKIP`.
    pub(super) fn hour_of_day(&self, day_cell: u32, hour_of_day: u8) -> u32 {
        let wanted = self.hours_of_day;
        if day_cell == SKIP || (wanted != 0 && wanted >> hour_of_day & 1 == 0) {
            return SKIP;
        }
        day_cell + self.hour_step * (u32::from(hour_of_day) + 1)
    }

    /// Calls `each` with every one of these hours, half-open, and its cell.
    pub(super) fn each_hour(&self, hours: (u32, u32), mut each: impl FnMut(u32, u32)) {
        let calendar = Calendar::get();
        let (mut next, end) = hours;
        while next < end {
            let day = calendar.day(Hour(next));
            let day_cell = self.day(day);
            let day_end = calendar.hours(day).1.min(end);
            for hour in next..day_end {
                let hour_of_day = calendar.hour_of_day(day, Hour(hour));
                each(hour, self.hour_of_day(day_cell, hour_of_day));
            }
            next = day_end;
        }
    }
}

/// The cells of all hours and days of a window, to look rows up in.
pub(super) struct TimeTable {
    start: u32,
    hours: Vec<u32>,
    first_day: i32,
    /// Where incidents known only to the day count, or `SKIP`.
    days: Vec<u32>,
    has_hours_of_day: bool,
}

impl TimeTable {
    pub(super) fn new(window: Window, clock: &Clock<'_>) -> Self {
        let calendar = Calendar::get();
        let (start, end) = (window.start().0, window.end().0);
        let first = calendar.day(window.start());
        let last = calendar.day(Hour(end - 1));
        let day_cell = |day| {
            let (day_start, day_end) = calendar.hours(day);
            let is_whole = start <= day_start && day_end <= end;
            if is_whole && clock.hours_of_day == 0 {
                clock.day(day)
            } else {
                SKIP
            }
        };
        let mut hours = Vec::with_capacity((end - start) as usize);
        clock.each_hour((start, end), |_, cell| hours.push(cell));
        Self {
            start,
            hours,
            first_day: first.0,
            days: (first.0..=last.0).map(LocalDay).map(day_cell).collect(),
            has_hours_of_day: clock.hour_step != 0,
        }
    }

    /// Where a row counts, and whether that is known for every dimension of time; `None` if
    /// it does not count.
    pub(super) fn cell(&self, time: RowTime) -> Option<(u32, bool)> {
        let (cell, is_known) = match time {
            RowTime::Hour(hour) => {
                let place = hour.0.checked_sub(self.start)?;
                (*self.hours.get(place as usize)?, true)
            }
            RowTime::Day(day) => {
                let place = usize::try_from(day.0.checked_sub(self.first_day)?).ok()?;
                (*self.days.get(place)?, !self.has_hours_of_day)
            }
        };
        (cell != SKIP).then_some((cell, is_known))
    }
}

/// A stride in combinations of times.
fn step(stride: u64, axes: &Axes) -> u32 {
    u32::try_from(stride / axes.width).expect("times are few")
}
