//! What of a window is read from which tables: its middle in the coarsest buckets that tell
//! all that a question asks about time, and what is left on both sides by the hour.

use std::ops::Range;

use crate::domain::{Calendar, Dimension, Hour, LocalDay, Question, Window};
use crate::ledger::{Cells, Cube, Timed, day_bucket, month_hour_bucket};

use super::clock::{Clock, SKIP};
use super::plan;

const HOURS_PER_DAY: u8 = 24;

/// The buckets that suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    /// Whole days: hours of day do not matter.
    Days,
    /// Months with hours of day: only those two matter.
    MonthHours,
    /// Hours: they and the day matter.
    Hours,
}

impl Grain {
    pub(super) fn of(question: &Question) -> Self {
        let needs_days = !question.filter.takes_all_days()
            || plan::has(question, Dimension::Day)
            || plan::has(question, Dimension::Weekday);
        match (plan::needs_hours_of_day(question), needs_days) {
            (false, _) => Self::Days,
            (true, false) => Self::MonthHours,
            (true, true) => Self::Hours,
        }
    }
}

/// A window, split.
pub(super) struct Reach {
    grain: Grain,
    window: Window,
    /// Read in the buckets of the grain: days, whole months of days, or none.
    middle: Range<LocalDay>,
}

impl Reach {
    pub(super) fn new(window: Window, grain: Grain) -> Self {
        let calendar = Calendar::get();
        let mut first = calendar.day(window.start());
        if calendar.hours(first).0 < window.start().0 {
            first = first.next();
        }
        // The day that the hour after the window lies in, as that may be the first beyond
        // all supported days.
        let mut end = calendar.day(Hour(window.end().0 - 1));
        if calendar.hours(end).1 == window.end().0 {
            end = end.next();
        }
        match grain {
            Grain::Days => {}
            Grain::MonthHours => {
                while first < end && !calendar.starts_month(first) {
                    first = first.next();
                }
                while first < end && !calendar.starts_month(end) {
                    end = LocalDay(end.0 - 1);
                }
            }
            Grain::Hours => end = first,
        }
        Self {
            grain,
            window,
            middle: first..end,
        }
    }

    /// Before and after the middle.
    fn hours(&self) -> [(u32, u32); 2] {
        let (start, end) = (self.window.start().0, self.window.end().0);
        if self.middle.end <= self.middle.start {
            return [(start, end), (end, end)];
        }
        let calendar = Calendar::get();
        let first = calendar.hours(self.middle.start).0;
        let last = LocalDay(self.middle.end.0 - 1);
        [(start, first), (calendar.hours(last).1, end)]
    }

    /// At most so many rows are read.
    pub(super) fn rows(&self) -> usize {
        let hours: u32 = self.hours().iter().map(|(start, end)| end - start).sum();
        let days = self.middle.end.0.saturating_sub(self.middle.start.0);
        hours as usize + usize::try_from(days).unwrap_or(0)
    }
}

/// The tables of one tally, as far as a window needs them, shared with the ledger.
pub(super) struct Shared {
    day: Cube,
    month_hour: Cube,
    hours: [Cube; 2],
}

impl Shared {
    /// What it takes to answer the question whose window is split here, and the same one
    /// without hours of day.
    pub(super) fn new(timed: &Timed, reach: &Reach) -> Self {
        let month_hour = match reach.grain {
            Grain::MonthHours => timed.month_hour.clone(),
            Grain::Days | Grain::Hours => Cube::default(),
        };
        Self {
            month_hour,
            hours: reach
                .hours()
                .map(|(start, end)| timed.hour.part(start..end)),
            ..Self::of_days(&timed.day, reach)
        }
    }

    /// What it takes if the window is one of whole days and hours of day do not matter.
    pub(super) fn of_days(day: &Cube, reach: &Reach) -> Self {
        let calendar = Calendar::get();
        let first = calendar.day(reach.window.start());
        let last = calendar.day(Hour(reach.window.end().0 - 1));
        Self {
            day: day.part(day_bucket(first)..day_bucket(last) + 1),
            month_hour: Cube::default(),
            hours: [Cube::default(), Cube::default()],
        }
    }

    /// Calls `each` with every row of the window and the combination of times that it counts
    /// in.
    pub(super) fn read(
        &self,
        reach: &Reach,
        clock: &Clock<'_>,
        mut each: impl FnMut(usize, Cells<'_>),
    ) {
        let mut read = |row: Option<Cells<'_>>, cell: u32| {
            if let Some(row) = row.filter(|_| cell != SKIP) {
                each(cell as usize, row);
            }
        };
        for day in (reach.middle.start.0..reach.middle.end.0).map(LocalDay) {
            let is_of_month = reach.grain == Grain::MonthHours;
            if !is_of_month {
                read(self.day.row(day_bucket(day)), clock.day(day));
            } else if Calendar::get().starts_month(day) {
                let (month, day_cell) = (Calendar::get().month(day), clock.day(day));
                for hour in 0..HOURS_PER_DAY {
                    let row = self.month_hour.row(month_hour_bucket(month, hour));
                    read(row, clock.hour_of_day(day_cell, hour));
                }
            }
        }
        let by_hour = |hour| self.hours.iter().find_map(|cube| cube.row(hour));
        for hours in reach.hours() {
            clock.each_hour(hours, |hour, cell| read(by_hour(hour), cell));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> LocalDay {
        LocalDay::parse(text).expect("a date")
    }

    fn reach(first: &str, end: &str, shift: u32, grain: Grain) -> Reach {
        let (start, end) = (day(first).start().0, day(end).start().0);
        let window = Window::new(Hour(start + shift), Hour(end + shift));
        Reach::new(window.expect("not empty"), grain)
    }

    #[test]
    fn whole_months_are_the_middle_where_only_months_and_hours_of_day_matter() {
        let split = reach("2026-01-15", "2026-04-02", 0, Grain::MonthHours);
        assert_eq!(split.middle, day("2026-02-01")..day("2026-04-01"));
        let [before, after] = split.hours();
        assert_eq!(
            before,
            (day("2026-01-15").start().0, day("2026-02-01").start().0)
        );
        assert_eq!(
            after,
            (day("2026-04-01").start().0, day("2026-04-02").start().0)
        );
        let within = reach("2026-01-15", "2026-02-20", 0, Grain::MonthHours);
        assert!(within.middle.is_empty());
        assert_eq!(within.hours()[0].1, day("2026-02-20").start().0);
    }

    #[test]
    fn whole_days_are_the_middle_where_hours_of_day_do_not_matter() {
        let whole = reach("2026-03-29", "2026-10-25", 0, Grain::Days);
        assert_eq!(whole.middle, day("2026-03-29")..day("2026-10-25"));
        assert!(whole.hours().iter().all(|(start, end)| start == end));
        let shifted = reach("2026-03-29", "2026-10-25", 5, Grain::Days);
        assert_eq!(shifted.middle, day("2026-03-30")..day("2026-10-25"));
        let within = reach("2026-03-29", "2026-03-30", 5, Grain::Days);
        assert_eq!(within.rows(), 23);
    }

    #[test]
    fn last_supported_day_can_be_reached() {
        let last = LocalDay(crate::domain::time::END_DAY.0 - 1);
        for grain in [Grain::Days, Grain::MonthHours, Grain::Hours] {
            let split = Reach::new(last.window(), grain);
            assert!(split.rows() <= 24);
        }
    }
}
