//! Times as people type them and read them: Europe/Amsterdam unless an offset is written.

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::failure::Failure;
use crate::api::pb::v1 as pb;

static AMSTERDAM: TimeZone = jiff::tz::get!("Europe/Amsterdam");

/// Why a text is no time. The parser of arguments says of which flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// No day.
    #[error("write 2026-11-23, today, yesterday or 30-days-ago")]
    Day,
    /// No instant.
    #[error("write 2026-11-23T08:15, in local time, or 2026-11-23T08:15+01:00")]
    Instant,
    /// An instant that clocks do not show.
    #[error("that time is not supported")]
    Unsupported,
    /// No days.
    #[error("write 2026-10, last-month, 2-months-ago, 2026-10-03 or 2026-10-01..2026-10-14")]
    Period,
}

/// An instant from `2026-11-23T08:15`, `2026-11-23 08:15` (local) or with an offset.
pub fn instant(text: &str) -> Result<Timestamp, InvalidTime> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let local: DateTime = text.parse().map_err(|_| InvalidTime::Instant)?;
    let instant = AMSTERDAM.to_ambiguous_timestamp(local).compatible();
    instant.map_err(|_| InvalidTime::Unsupported)
}

/// The number in `30-days-ago`; `None` if it is none that any record reaches back to.
fn ago(text: &str, unit: &str) -> Option<i64> {
    let number = text.strip_suffix("-ago")?.strip_suffix(unit)?;
    let number: u16 = number.strip_suffix('-')?.parse().ok()?;
    Some(number.into())
}

/// A local day as people type it: `2026-11-23`, `today`, `yesterday` or `30-days-ago`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// This one.
    Of(Date),
    /// So many days before today.
    DaysAgo(i64),
}

impl Day {
    /// The day that it is now.
    pub const TODAY: Self = Self::DaysAgo(0);
    /// The day before.
    pub const YESTERDAY: Self = Self::DaysAgo(1);

    /// Which day that is now.
    pub fn date(self, now: Timestamp) -> Result<Date, Failure> {
        match self {
            Self::Of(date) => Ok(date),
            Self::DaysAgo(days) => {
                let today = AMSTERDAM.to_datetime(now).date();
                let day = today.checked_sub(days.days());
                day.map_err(|error| Failure::unexpected("that day is not supported", &error))
            }
        }
    }
}

impl FromStr for Day {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        match text {
            "today" => Ok(Self::TODAY),
            "yesterday" => Ok(Self::YESTERDAY),
            _ => match ago(text, "days") {
                Some(days) => Ok(Self::DaysAgo(days)),
                None => text.parse().map(Self::Of).map_err(|_| InvalidTime::Day),
            },
        }
    }
}

/// Days as people type them: a month `2026-10`, `last-month` or `2-months-ago`, a day, or
/// `2026-10-01..2026-10-14`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// The month that begins on this day.
    Month(Date),
    /// The month that was so many months before this one.
    MonthsAgo(i64),
    /// From one day to another.
    Days(Day, Day),
}

impl FromStr for Period {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        if let Ok(first) = format!("{text}-01").parse() {
            return Ok(Self::Month(first));
        }
        let months_ago = match text {
            "this-month" => Some(0),
            "last-month" => Some(1),
            _ => ago(text, "months"),
        };
        if let Some(months) = months_ago {
            return Ok(Self::MonthsAgo(months));
        }
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let day = |text: &str| text.parse().map_err(|_| InvalidTime::Period);
        Ok(Self::Days(day(first)?, day(last)?))
    }
}

/// The first instant of a local day.
pub fn start_of(day: Date) -> Result<Timestamp, Failure> {
    AMSTERDAM
        .to_ambiguous_timestamp(day.at(0, 0, 0, 0))
        .compatible()
        .map_err(|error| Failure::unexpected("that day is not supported", &error))
}

/// Local days, first and last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub first: Date,
    /// The last, which is not before it on a command line that is accepted.
    pub last: Date,
}

impl Days {
    /// From one day to another, as they are now.
    pub fn new(first: Day, last: Day, now: Timestamp) -> Result<Self, Failure> {
        Ok(Self {
            first: first.date(now)?,
            last: last.date(now)?,
        })
    }

    /// Those of a period, as it is now.
    pub fn of(period: Period, now: Timestamp) -> Result<Self, Failure> {
        match period {
            Period::Month(first) => Ok(Self {
                first,
                last: first.last_of_month(),
            }),
            Period::MonthsAgo(months) => {
                let this = Day::TODAY.date(now)?.first_of_month();
                let first = this.checked_sub(months.months());
                let first = first
                    .map_err(|error| Failure::unexpected("that day is not supported", &error))?;
                Self::of(Period::Month(first), now)
            }
            Period::Days(first, last) => Self::new(first, last, now),
        }
    }

    /// The window of their hours.
    pub fn to_wire(self) -> Result<pb::Window, Failure> {
        let after_last = self
            .last
            .checked_add(1.day())
            .map_err(|error| Failure::unexpected("that day is not supported", &error))?;
        Ok(pb::Window {
            start: Some(to_wire(start_of(self.first)?)),
            end: Some(to_wire(start_of(after_last)?)),
        })
    }
}

/// Noon of a local day.
pub fn noon_of(day: Date) -> Result<Timestamp, Failure> {
    AMSTERDAM
        .to_ambiguous_timestamp(day.at(12, 0, 0, 0))
        .compatible()
        .map_err(|error| Failure::unexpected("that day is not supported", &error))
}

/// An instant with its local offset: `2026-11-23T08:15:02+01:00`.
pub fn written(instant: Timestamp) -> String {
    let local = instant.to_zoned(AMSTERDAM.clone());
    local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// An instant as people read it: `2026-11-23 08:15:02`, local.
pub fn shown(instant: Timestamp) -> String {
    AMSTERDAM
        .to_datetime(instant)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// An instant of today as people read it: `08:15:02`, local.
pub fn shown_time(instant: Timestamp) -> String {
    let local = AMSTERDAM.to_datetime(instant);
    local.strftime("%H:%M:%S").to_string()
}

/// An instant by the minute, in local time: `2026-11-23 08:15`.
pub fn shown_day_and_minute(instant: Timestamp) -> String {
    let local = AMSTERDAM.to_datetime(instant);
    local.strftime("%Y-%m-%d %H:%M").to_string()
}

/// The same by the minute: `08:15`.
pub fn shown_minute(instant: Timestamp) -> String {
    AMSTERDAM.to_datetime(instant).strftime("%H:%M").to_string()
}

/// The wire's timestamp.
pub fn to_wire(instant: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: instant.as_second(),
        nanos: instant.subsec_nanosecond(),
    }
}

/// From the wire's timestamp; `None` if it is absent or out of range.
pub fn from_wire(instant: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let instant = instant?;
    Timestamp::new(instant.seconds, instant.nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T23:30:00Z".parse().expect("a time")
    }

    #[test]
    fn local_times_and_offsets_are_understood() {
        let check = |text, expected: &str| {
            assert_eq!(instant(text).expect(text).to_string(), expected, "{text}");
        };
        check("2026-11-23T08:15", "2026-11-23T07:15:00Z");
        check("2026-07-01 08:15:30", "2026-07-01T06:15:30Z");
        check("2026-11-23T08:15+00:00", "2026-11-23T08:15:00Z");
        assert!(instant("ten past eight").is_err());
    }

    fn day(text: &str) -> Option<Date> {
        let day = text.parse::<Day>().ok()?;
        Some(day.date(now()).expect("a day"))
    }

    #[test]
    fn today_is_the_local_day() {
        let check = |text, expected| {
            assert_eq!(day(text).expect(text), expected, "{text}");
        };
        let today = jiff::civil::date(2026, 11, 24);
        check("today", today);
        check("yesterday", jiff::civil::date(2026, 11, 23));
        let start = start_of(today).expect("an instant");
        assert_eq!(start.to_string(), "2026-11-23T23:00:00Z");
        assert_eq!(day("2026-02-30"), None);
    }

    #[test]
    fn periods_are_months_days_or_some_of_them() {
        let check = |text: &str, first: &str, last: &str| {
            let days = Days::of(text.parse().expect(text), now()).expect(text);
            assert_eq!(
                (days.first.to_string(), days.last.to_string()),
                (first.into(), last.into())
            );
        };
        check("2026-02", "2026-02-01", "2026-02-28");
        check("this-month", "2026-11-01", "2026-11-30");
        check("last-month", "2026-10-01", "2026-10-31");
        check("11-months-ago", "2025-12-01", "2025-12-31");
        check("30-days-ago..today", "2026-10-25", "2026-11-24");
        check("2026-10-03", "2026-10-03", "2026-10-03");
        check("2026-10-30..yesterday", "2026-10-30", "2026-11-23");
        for text in [
            "2026",
            "2026-13",
            "10-2026",
            "2026-10-01..",
            "..",
            "",
            "-months-ago",
            "-1-days-ago",
        ] {
            assert_eq!(text.parse::<Period>(), Err(InvalidTime::Period), "{text}");
        }
    }
}
