//! Quarters of a year, each with a key of its own.

use crate::domain::limits::EDITION_CLOSES_ON_DAY;
use crate::domain::{LocalDay, LocalMonth, UtcMillis};

/// The key period that a day lies in: its quarter of a year, counted from the year 0.
pub fn key_period(day: LocalDay) -> u32 {
    u32::try_from(day.month().0 / 3).expect("supported days are after 1970")
}

/// The first day of a key period.
pub fn period_begins(period: u32) -> LocalDay {
    let month = period.saturating_mul(3);
    LocalMonth(i32::try_from(month).unwrap_or(i32::MAX)).first_day()
}

/// When a key period ends: when the edition of its last month closes.
pub fn period_ends_at(period: u32) -> UtcMillis {
    let first = period_begins(period.saturating_add(1));
    let days = i32::from(EDITION_CLOSES_ON_DAY) - 1;
    LocalDay(first.0 + days).start().start()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::END_DAY;

    #[test]
    fn quarter_ends_when_its_last_edition_closes() {
        let day = |text| LocalDay::parse(text).expect("a date");
        let ends = |text| period_ends_at(key_period(day(text)));
        assert_eq!(ends("2026-12-31"), day("2027-01-22").start().start());
        assert_eq!(ends("2026-07-01"), day("2026-10-22").start().start());
        assert_eq!(
            period_begins(key_period(day("2026-12-31"))),
            day("2026-10-01")
        );
        // Nobody lives to see it, but a clock can be wrong.
        let last = LocalDay(END_DAY.0 + 21);
        assert_eq!(ends("2099-12-31"), last.start().start());
        assert_eq!(period_ends_at(u32::MAX), last.start().start());
    }
}
