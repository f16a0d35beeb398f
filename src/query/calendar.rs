//! Local days, months and hours of day of any supported hour, looked up rather than
//! calculated: the time zone is asked once per day of the supported years, at first use.

use std::sync::LazyLock;

use crate::domain::time::{END_DAY, FIRST_DAY};
use crate::domain::{Hour, LocalDay};

static CALENDAR: LazyLock<Calendar> = LazyLock::new(Calendar::new);

const HOURS_PER_DAY: u32 = 24;

/// The supported days.
pub(super) struct Calendar {
    /// First hour of each day from `FIRST_DAY` to `END_DAY`.
    starts: Vec<u32>,
    /// `LocalMonth` of each.
    months: Vec<i32>,
}

impl Calendar {
    /// The one calendar.
    pub(super) fn get() -> &'static Self {
        &CALENDAR
    }

    fn new() -> Self {
        let days = || (FIRST_DAY.0..=END_DAY.0).map(LocalDay);
        Self {
            starts: days().map(|day| day.start().0).collect(),
            months: days().map(|day| day.month().0).collect(),
        }
    }

    /// The hours in a day, half-open.
    pub(super) fn hours(&self, day: LocalDay) -> (u32, u32) {
        let place = place(day);
        (self.starts[place], self.starts[place + 1])
    }

    /// The month of a day, as the number in `LocalMonth`.
    pub(super) fn month(&self, day: LocalDay) -> i32 {
        self.months[place(day)]
    }

    /// The local day of an hour.
    pub(super) fn day(&self, hour: Hour) -> LocalDay {
        let days = self.starts.partition_point(|start| *start <= hour.0);
        let days = i32::try_from(days).expect("as many as days are supported");
        LocalDay(FIRST_DAY.0 + days - 1)
    }

    /// The local hour of day of an hour in a day.
    pub(super) fn hour_of_day(&self, day: LocalDay, hour: Hour) -> u8 {
        let (start, end) = self.hours(day);
        if end - start == HOURS_PER_DAY {
            u8::try_from(hour.0 - start).expect("an hour of that day")
        } else {
            // The clock changes within this day.
            hour.hour_of_day()
        }
    }
}

fn place(day: LocalDay) -> usize {
    usize::try_from(day.0 - FIRST_DAY.0).expect("nothing is older than the first day")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_agrees_with_the_time_zone_around_both_clock_changes() {
        let calendar = Calendar::get();
        for text in ["2026-03-29", "2026-10-25", "2026-07-01", "2000-01-01"] {
            let day = LocalDay::parse(text).expect("a date");
            let first = day.start().0;
            for hour in (first..first + 49).map(Hour) {
                let found = calendar.day(hour);
                assert_eq!(found, hour.local_day(), "{hour:?}");
                assert_eq!(calendar.hour_of_day(found, hour), hour.hour_of_day());
                assert_eq!(calendar.month(found), found.month().0);
            }
        }
    }
}
