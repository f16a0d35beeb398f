//! Local days, months and hours of day of any supported hour, looked up rather than
//! calculated: the time zone is asked once per day of the supported years, at first use.

use std::sync::LazyLock;

use super::time::{END_DAY, FIRST_DAY, Hour, LocalDay, LocalMonth};

static CALENDAR: LazyLock<Calendar> = LazyLock::new(Calendar::new);

const HOURS_PER_DAY: u32 = 24;

/// The supported days.
#[derive(Debug)]
pub struct Calendar {
    /// First hour of each day from `FIRST_DAY` to `END_DAY`.
    starts: Vec<u32>,
    /// `LocalMonth` of each.
    months: Vec<i32>,
}

impl Calendar {
    /// The one calendar.
    pub fn get() -> &'static Self {
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
    pub fn hours(&self, day: LocalDay) -> (u32, u32) {
        let place = place(day);
        (self.starts[place], self.starts[place + 1])
    }

    /// The month of a day.
    pub fn month(&self, day: LocalDay) -> LocalMonth {
        LocalMonth(self.months[place(day)])
    }

    /// Whether a day is the first of its month.
    pub fn starts_month(&self, day: LocalDay) -> bool {
        day <= FIRST_DAY || self.months[place(day)] != self.months[place(day) - 1]
    }

    /// The local day of a supported hour.
    pub fn day(&self, hour: Hour) -> LocalDay {
        // Days begin as late as the first one, or up to an hour earlier, so that this is
        // the day or the one before.
        let days = (hour.0 - self.starts[0]) / HOURS_PER_DAY;
        let next = self.starts.get(days as usize + 1);
        let days = days + u32::from(next.is_some_and(|next| *next <= hour.0));
        LocalDay(FIRST_DAY.0 + days.cast_signed())
    }

    /// The local hour of day of an hour in a day.
    pub fn hour_of_day(&self, day: LocalDay, hour: Hour) -> u8 {
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
        let texts = [
            "2026-03-29",
            "2026-10-25",
            "2026-07-01",
            "2000-01-01",
            "2099-12-29",
        ];
        for text in texts {
            let day = LocalDay::parse(text).expect("a date");
            let first = day.start().0;
            for hour in (first..first + 49).map(Hour) {
                let found = calendar.day(hour);
                assert_eq!(found, hour.local_day(), "{hour:?}");
                assert_eq!(calendar.hour_of_day(found, hour), hour.hour_of_day());
                assert_eq!(calendar.month(found), found.month());
                let is_first = found.date().day() == 1;
                assert_eq!(calendar.starts_month(found), is_first);
            }
        }
    }
}
