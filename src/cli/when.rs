//! Times as people type them and read them: Europe/Amsterdam unless an offset is written.

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

use super::failure::{Failure, Kind};
use crate::api::pb::v1 as pb;
use crate::domain::LocalDay;
use crate::domain::time::{END_DAY, FIRST_DAY};

static AMSTERDAM: TimeZone = jiff::tz::get!("Europe/Amsterdam");

/// Why a text is no time. The parser of arguments says of which flag. No message holds anything
/// of the text: see `arguments`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// No day.
    #[error("write 2026-11-23, today, yesterday or 30-days-ago")]
    Day,
    /// No instant.
    #[error(
        "write a day and a time to the minute, as in 2026-11-23T08:15 (local) or \
         2026-11-23T08:15+01:00"
    )]
    Instant,
    /// A local time that clocks pass over in spring.
    #[error(
        "that time did not exist: clocks went forward over it; write the time before 02:00 or \
         from 03:00 on"
    )]
    Skipped,
    /// A local time that clocks show twice in autumn.
    #[error(
        "that time came twice, as clocks went back: add +02:00 if you mean the first, and +01:00 \
         if you mean the second"
    )]
    Twice,
    /// A year that no record reaches.
    #[error("the year must be 2000 to 2099")]
    Unsupported,
    /// No days.
    #[error("write 2026-10, last-month, 2-months-ago, 2026-10-03 or 2026-10-01..2026-10-14")]
    Period,
}

/// An instant from `2026-11-23T08:15`, `2026-11-23 08:15` (local) or with an offset. Hours and
/// minutes have to be there, and a local time has to be one time: what is left out or may be
/// read in two ways would be recorded as something that nobody said.
pub fn instant(text: &str) -> Result<Timestamp, InvalidTime> {
    match clock_time(text) {
        Some(time) if is_to_the_minute(time) => parsed(text),
        _ => Err(InvalidTime::Instant),
    }
}

/// As `instant`, where the hour is all that is known: `2026-11-23T08` will do, and so will
/// `2026-11-23T08+01:00`.
pub fn hour(text: &str) -> Result<Timestamp, InvalidTime> {
    match clock_time(text).and_then(|time| time.get(2..)) {
        Some(offset) if offset.is_empty() || offset.starts_with(['+', '-']) => {
            let to_the_hour = text.strip_suffix(offset).unwrap_or(text);
            parsed(&format!("{to_the_hour}:00{offset}"))
        }
        _ => instant(text),
    }
}

/// What stands after the date: `08:15` of `2026-11-23T08:15`.
fn clock_time(text: &str) -> Option<&str> {
    let (_, time) = text.split_once(['T', 't', ' '])?;
    Some(time)
}

fn is_to_the_minute(time: &str) -> bool {
    let mut bytes = time.bytes();
    let mut next_is = |matches: fn(&u8) -> bool| bytes.next().as_ref().is_some_and(matches);
    let digit = u8::is_ascii_digit;
    next_is(digit) && next_is(digit) && next_is(|byte| *byte == b':') && next_is(digit)
}

fn parsed(text: &str) -> Result<Timestamp, InvalidTime> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    // A zone in brackets would be passed over.
    if text.contains('[') {
        return Err(InvalidTime::Instant);
    }
    let local: DateTime = text.parse().map_err(|_| InvalidTime::Instant)?;
    let instant = AMSTERDAM.to_ambiguous_timestamp(local);
    match instant.offset() {
        AmbiguousOffset::Gap { .. } => Err(InvalidTime::Skipped),
        AmbiguousOffset::Fold { .. } => Err(InvalidTime::Twice),
        AmbiguousOffset::Unambiguous { .. } => {
            instant.unambiguous().map_err(|_| InvalidTime::Unsupported)
        }
    }
}

/// A date as `2026-11-23` and nothing more: a time of day behind it would be lost.
fn date(text: &str) -> Option<Date> {
    let is_plain = text.bytes().enumerate().all(|(place, byte)| match place {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    (is_plain && text.len() == "2026-11-23".len())
        .then(|| text.parse().ok())
        .flatten()
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
                today.checked_sub(days.days()).map_err(|_| unsupported())
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
                None => date(text).map(Self::Of).ok_or(InvalidTime::Day),
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
        if let Some(first) = date(&format!("{text}-01")) {
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
    let start = AMSTERDAM.to_ambiguous_timestamp(day.at(0, 0, 0, 0));
    start.compatible().map_err(|_| unsupported())
}

/// A day that no record reaches.
fn unsupported() -> Failure {
    Failure::new(Kind::Refused, InvalidTime::Unsupported.to_string())
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
                let first = first.map_err(|_| unsupported())?;
                Self::of(Period::Month(first), now)
            }
            Period::Days(first, last) => Self::new(first, last, now),
        }
    }

    /// The window of their hours.
    pub fn to_wire(self) -> Result<pb::Window, Failure> {
        let is_supported = |day| (FIRST_DAY..END_DAY).contains(&LocalDay::of(day));
        if !is_supported(self.first) || !is_supported(self.last) {
            return Err(unsupported());
        }
        let after_last = self.last.checked_add(1.day()).map_err(|_| unsupported())?;
        Ok(pb::Window {
            start: Some(to_wire(start_of(self.first)?)),
            end: Some(to_wire(start_of(after_last)?)),
        })
    }
}

/// Noon of a local day.
pub fn noon_of(day: Date) -> Result<Timestamp, Failure> {
    let noon = AMSTERDAM.to_ambiguous_timestamp(day.at(12, 0, 0, 0));
    noon.compatible().map_err(|_| unsupported())
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

/// The local day of an instant: `2026-11-23`.
pub fn shown_day(instant: Timestamp) -> String {
    AMSTERDAM.to_datetime(instant).date().to_string()
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

    #[test]
    fn time_without_hours_and_minutes_is_refused() {
        for text in [
            "2026-11-28",
            "2026-11-28T08",
            "2026-11-28T0815",
            "2026-11-28T08+01:00",
            "2026-11-28T08:",
            "2026-11-28T08:15[America/New_York]",
            "",
        ] {
            assert_eq!(instant(text), Err(InvalidTime::Instant), "{text}");
        }
        let morning = instant("2026-11-28T08:00");
        assert_eq!(hour("2026-11-28T08"), morning);
        assert_eq!(hour("2026-11-28 08:00"), morning);
        for text in ["2026-11-28", "2026-11-28T8", "2026-11-28Tab"] {
            assert_eq!(hour(text), Err(InvalidTime::Instant), "{text}");
        }
    }

    #[test]
    fn local_time_that_is_none_or_two_is_not_guessed() {
        let skipped = Err(InvalidTime::Skipped);
        assert_eq!(instant("2026-03-29T02:00"), skipped);
        assert_eq!(instant("2026-03-29 02:59:59"), skipped);
        assert!(instant("2026-03-29T03:00").is_ok() && instant("2026-03-29T01:59").is_ok());
        assert_eq!(hour("2026-03-29T02"), skipped);
        assert_eq!(instant("2026-10-25T02:30"), Err(InvalidTime::Twice));
        assert_eq!(hour("2026-10-25T02"), Err(InvalidTime::Twice));
        for (offset, expected) in [("+02:00", "00:30"), ("+01:00", "01:30")] {
            let one = instant(&format!("2026-10-25T02:30{offset}")).expect(offset);
            assert_eq!(one.to_string(), format!("2026-10-25T{expected}:00Z"));
            let whole = hour(&format!("2026-10-25T02{offset}"));
            assert_eq!(whole, instant(&format!("2026-10-25T02:00{offset}")));
            assert!(whole.is_ok(), "{offset}");
        }
    }

    #[test]
    fn day_with_a_time_behind_it_is_refused() {
        for text in [
            "2026-11-27T23:50",
            "2026-11-27 23:50",
            "2026-11-27T",
            "20261127",
            "+2026-11-27",
            "2026-11",
        ] {
            assert_eq!(text.parse::<Day>(), Err(InvalidTime::Day), "{text}");
        }
        let period = "2026-11-27T08:00..2026-11-28".parse::<Period>();
        assert_eq!(period, Err(InvalidTime::Period));
    }

    #[test]
    fn year_that_no_record_reaches_is_refused_with_the_rule() {
        for text in ["60000-days-ago", "9999-12-31", "1999-12-31"] {
            let day: Day = text.parse().expect(text);
            let days = Days::new(day, day, now()).and_then(Days::to_wire);
            let refused = days.expect_err(text);
            assert_eq!(refused.kind(), Kind::Refused, "{text}");
            assert!(refused.to_string().contains("2000 to 2099"), "{refused}");
        }
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
