//! The months of editions: when they begin, and when they close.

use crate::domain::limits::EDITION_CLOSES_ON_DAY;
use crate::domain::time::{END_DAY, FIRST_DAY};
use crate::domain::{LocalDay, LocalMonth, UtcMillis};

const MONTHS_PER_YEAR: i32 = 12;
const MONTHS_PER_QUARTER: i32 = 3;

/// The first day of a supported month.
pub fn first_day(month: LocalMonth) -> LocalDay {
    day_of(month, 1)
}

/// The month after.
pub fn next(month: LocalMonth) -> LocalMonth {
    LocalMonth(month.0 + 1)
}

/// When the edition of a month closes: what is recorded at this instant or later is too late.
pub fn closes_at(month: LocalMonth) -> UtcMillis {
    day_of(next(month), EDITION_CLOSES_ON_DAY).start().start()
}

/// When a day's part of its month closes: noon of the next day.
pub fn day_closes_at(day: LocalDay) -> UtcMillis {
    day.next().noon().start()
}

/// The three months of the quarter that ends with this month; `None` if none does.
pub fn quarter_ending(month: LocalMonth) -> Option<[LocalMonth; 3]> {
    let is_last = month.0.rem_euclid(MONTHS_PER_QUARTER) == MONTHS_PER_QUARTER - 1;
    is_last.then(|| [LocalMonth(month.0 - 2), LocalMonth(month.0 - 1), month])
}

/// The first month of the quarter that a month lies in.
pub fn quarter_begins(month: LocalMonth) -> LocalMonth {
    LocalMonth(quarter(month) * MONTHS_PER_QUARTER)
}

/// The quarter that a month lies in, counted from the year 0; as `auth::key_period`.
pub fn quarter(month: LocalMonth) -> i32 {
    month.0.div_euclid(MONTHS_PER_QUARTER)
}

/// From `2026-10`; `None` if it is no month whose edition closes within the supported years.
pub fn parse(text: &str) -> Option<LocalMonth> {
    let day = LocalDay::parse(&format!("{text}-01"))?;
    let month = day.month();
    let is_supported = FIRST_DAY <= day && LocalDay(day.0 + 60) < END_DAY;
    (is_supported && month.to_string() == text).then_some(month)
}

fn day_of(month: LocalMonth, day: i8) -> LocalDay {
    let year = i16::try_from(month.0.div_euclid(MONTHS_PER_YEAR)).expect("a supported year");
    let month = i8::try_from(month.0.rem_euclid(MONTHS_PER_YEAR) + 1).expect("1 to 12");
    LocalDay::of(jiff::civil::date(year, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn month_closes_at_local_midnight_of_day_22_of_the_next() {
        let closes = |text| {
            let month = parse(text).expect("a month");
            jiff::Timestamp::from_millisecond(closes_at(month).0).map(|at| at.to_string())
        };
        assert_eq!(
            closes("2026-10").as_deref().ok(),
            Some("2026-11-21T23:00:00Z")
        );
        assert_eq!(
            closes("2026-06").as_deref().ok(),
            Some("2026-07-21T22:00:00Z")
        );
        assert_eq!(
            closes("2026-12").as_deref().ok(),
            Some("2027-01-21T23:00:00Z")
        );
    }

    #[test]
    fn day_closes_at_local_noon_of_the_next_also_when_the_clock_changes() {
        let closes = |text| {
            let day = LocalDay::parse(text).expect("a day");
            jiff::Timestamp::from_millisecond(day_closes_at(day).0).map(|at| at.to_string())
        };
        assert_eq!(
            closes("2026-10-24").as_deref().ok(),
            Some("2026-10-25T11:00:00Z")
        );
        assert_eq!(
            closes("2026-10-23").as_deref().ok(),
            Some("2026-10-24T10:00:00Z")
        );
        assert_eq!(
            closes("2026-03-28").as_deref().ok(),
            Some("2026-03-29T10:00:00Z")
        );
    }

    #[test]
    fn only_the_last_month_ends_a_quarter() {
        let months = |text| {
            let quarter = quarter_ending(parse(text).expect("a month"));
            quarter.map(|months| months.map(|month| month.to_string()))
        };
        assert_eq!(
            months("2026-09"),
            Some(["2026-07", "2026-08", "2026-09"].map(String::from))
        );
        assert_eq!(months("2026-10"), None);
        assert_eq!(months("2026-11"), None);
        assert!(months("2026-12").is_some());
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13",
            "2026-1",
            "2026-10-01",
            "1999-12",
            "2099-12",
            "٢٠٢٦-10",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(parse("2099-10").is_some());
    }
}
