//! Times as people type them and read them: Europe/Amsterdam unless an offset is written.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::failure::{Failure, Kind};
use crate::api::pb::v1 as pb;

static AMSTERDAM: TimeZone = jiff::tz::get!("Europe/Amsterdam");

/// An instant from `2026-11-23T08:15`, `2026-11-23 08:15` (local) or with an offset.
pub fn instant(text: &str) -> Result<Timestamp, Failure> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let local: DateTime = text.parse().map_err(|_| {
        Failure::new(Kind::Refused, "that is no time")
            .with_hint("write 2026-11-23T08:15, in local time, or 2026-11-23T08:15+01:00")
    })?;
    AMSTERDAM
        .to_ambiguous_timestamp(local)
        .compatible()
        .map_err(|error| Failure::unexpected("that time does not exist", &error))
}

/// A local day from `2026-11-23`, `today` or `yesterday`.
pub fn day(text: &str, now: Timestamp) -> Result<Date, Failure> {
    let today = AMSTERDAM.to_datetime(now).date();
    let day = match text {
        "today" => Ok(today),
        "yesterday" => today.yesterday(),
        _ => text.parse(),
    };
    day.map_err(|_| {
        Failure::new(Kind::Refused, "that is no day")
            .with_hint("write 2026-11-23, today or yesterday")
    })
}

/// The first instant of a local day.
pub fn start_of(day: Date) -> Result<Timestamp, Failure> {
    AMSTERDAM
        .to_ambiguous_timestamp(day.at(0, 0, 0, 0))
        .compatible()
        .map_err(|error| Failure::unexpected("that day is not supported", &error))
}

/// The window from the beginning of one local day to the end of another.
pub fn window_of_days(first: Date, last: Date) -> Result<crate::api::pb::v1::Window, Failure> {
    let after_last = last
        .checked_add(1.day())
        .map_err(|error| Failure::unexpected("that day is not supported", &error))?;
    Ok(crate::api::pb::v1::Window {
        start: Some(to_wire(start_of(first)?)),
        end: Some(to_wire(start_of(after_last)?)),
    })
}

/// So many local days before today.
pub fn days_ago(days: i64, now: Timestamp) -> Result<Date, Failure> {
    let today = AMSTERDAM.to_datetime(now).date();
    today
        .checked_sub(days.days())
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
    /// From `--from`, or so many days before today, and `--to`, or what stands for it.
    pub fn parse(
        (from, days_before): (Option<&str>, i64),
        (to, otherwise): (Option<&str>, &str),
        now: Timestamp,
    ) -> Result<Self, Failure> {
        Ok(Self {
            first: match from {
                Some(text) => day(text, now)?,
                None => days_ago(days_before, now)?,
            },
            last: day(to.unwrap_or(otherwise), now)?,
        })
    }

    /// A month `2026-10`, a day `2026-10-03`, or days `2026-10-01..2026-10-14`.
    pub fn of_period(text: &str, now: Timestamp) -> Result<Self, Failure> {
        if let Some((first, last)) = text.split_once("..") {
            return Ok(Self {
                first: day(first, now)?,
                last: day(last, now)?,
            });
        }
        if let Ok(first) = format!("{text}-01").parse::<Date>() {
            return Ok(Self {
                first,
                last: first.last_of_month(),
            });
        }
        let one = day(text, now).map_err(|_| {
            Failure::new(Kind::Refused, "that is no period")
                .with_hint("write 2026-10, 2026-10-03 or 2026-10-01..2026-10-14")
        })?;
        Ok(Self {
            first: one,
            last: one,
        })
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
    fn today_is_the_local_day() {
        assert_eq!(
            day("today", now()).expect("a day").to_string(),
            "2026-11-24"
        );
        assert_eq!(
            day("yesterday", now()).expect("a day").to_string(),
            "2026-11-23"
        );
        assert_eq!(
            start_of(day("today", now()).expect("a day"))
                .expect("an instant")
                .to_string(),
            "2026-11-23T23:00:00Z"
        );
        assert!(day("2026-02-30", now()).is_err());
    }

    #[test]
    fn periods_are_months_days_or_some_of_them() {
        let check = |text, first: &str, last: &str| {
            let days = Days::of_period(text, now()).expect(text);
            assert_eq!(
                (days.first.to_string(), days.last.to_string()),
                (first.into(), last.into())
            );
        };
        check("2026-02", "2026-02-01", "2026-02-28");
        check("2026-10-03", "2026-10-03", "2026-10-03");
        check("2026-10-30..yesterday", "2026-10-30", "2026-11-23");
        for text in ["2026", "2026-13", "10-2026", "2026-10-01..", "..", ""] {
            assert!(Days::of_period(text, now()).is_err(), "{text}");
        }
    }
}
