//! Time as mistap counts it: UTC milliseconds, minutes and hours, and days and months of
//! Europe/Amsterdam, right across both clock changes.
//!
//! Offsets of Europe/Amsterdam are whole hours for all supported years, so an hour of UTC
//! lies in exactly one local day and one local hour of day. Local days have 23, 24 or 25
//! hours.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;

static AMSTERDAM: TimeZone = jiff::tz::get!("Europe/Amsterdam");

/// Milliseconds of a minute.
pub const MINUTE_MS: i64 = 60_000;
/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds of a day of UTC, and of most local ones.
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// Seconds of an hour.
pub const HOUR_SECONDS: i64 = HOUR_MS / 1_000;
/// Seconds of a day of UTC, and of most local ones.
pub const DAY_SECONDS: i64 = DAY_MS / 1_000;

/// First supported day: nothing in mistap is older.
pub const FIRST_DAY: LocalDay = LocalDay(10_957); // 2000-01-01
/// The day after the last supported one.
pub const END_DAY: LocalDay = LocalDay(47_482); // 2100-01-01
/// Their first hours, which every instant that comes in is compared with.
const FIRST_HOUR: Hour = Hour(262_967); // 1999-12-31T23:00Z
const END_HOUR: Hour = Hour(1_139_567); // 2099-12-31T23:00Z

/// Milliseconds since 1970-01-01T00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcMillis(pub i64);

impl UtcMillis {
    /// The hour that it lies in; `None` outside the supported years.
    pub fn hour(self) -> Option<Hour> {
        let hour = Hour(u32::try_from(self.0.div_euclid(HOUR_MS)).ok()?);
        (FIRST_HOUR <= hour && hour < END_HOUR).then_some(hour)
    }

    /// The minute that it lies in; `None` before 1970 or after the year 10000.
    pub fn minute(self) -> Option<Minute> {
        Some(Minute(u32::try_from(self.0.div_euclid(MINUTE_MS)).ok()?))
    }
}

/// What a server knows of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerTime {
    /// The time to go by.
    pub now: UtcMillis,
    /// What the clock shows where it jumped far away from `now`, and it is not known yet which of
    /// the two is right; else `None`.
    pub disputed: Option<UtcMillis>,
}

/// As a clock shows it that nobody doubts.
impl From<UtcMillis> for ServerTime {
    fn from(now: UtcMillis) -> Self {
        let disputed = None;
        Self { now, disputed }
    }
}

/// As RFC 3339 in UTC: `2026-11-23T07:15:00Z`. What no calendar has, as milliseconds.
impl fmt::Display for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// A minute of UTC: minutes since 1970-01-01T00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(pub u32);

impl Minute {
    /// Its first instant.
    pub fn start(self) -> UtcMillis {
        UtcMillis(i64::from(self.0) * MINUTE_MS)
    }

    /// The hour that it lies in.
    pub fn hour(self) -> Hour {
        Hour(self.0 / 60)
    }
}

/// A half-open span of minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MinuteSpan {
    /// The first.
    pub start: Minute,
    /// The one after the last.
    pub end: Minute,
}

impl MinuteSpan {
    /// Whether the minute lies inside.
    pub fn contains(self, minute: Minute) -> bool {
        self.start <= minute && minute < self.end
    }
}

/// An hour of UTC: hours since 1970-01-01T00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub u32);

impl Hour {
    /// Its first instant.
    pub fn start(self) -> UtcMillis {
        UtcMillis(i64::from(self.0) * HOUR_MS)
    }

    /// Its first minute.
    pub fn first_minute(self) -> Minute {
        Minute(self.0.saturating_mul(60))
    }

    /// The local day that it lies in.
    pub fn local_day(self) -> LocalDay {
        LocalDay::of(self.local().date())
    }

    /// The local hour of day, 0 to 23.
    pub fn hour_of_day(self) -> u8 {
        u8::try_from(self.local().hour()).expect("0 to 23")
    }

    fn local(self) -> jiff::civil::DateTime {
        let instant = jiff::Timestamp::from_second(i64::from(self.0) * HOUR_SECONDS)
            .expect("hours in 32 bits are within the years that jiff knows, see END_DAY");
        AMSTERDAM.to_datetime(instant)
    }
}

/// A day of Europe/Amsterdam: days from 1970-01-01 to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDay(pub i32);

impl LocalDay {
    /// The day of a civil date.
    pub fn of(date: Date) -> Self {
        let epoch = jiff::civil::date(1970, 1, 1);
        Self((date - epoch).get_days())
    }

    /// The civil date.
    pub fn date(self) -> Date {
        jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(self.0))
            .expect("a day within the supported years")
    }

    /// From `2026-11-23`; `None` if it is no date, is written in any other way, or lies outside
    /// the supported years.
    pub fn parse(text: &str) -> Option<Self> {
        let date: Date = text.parse().ok()?;
        let day = Self::of(date);
        // What parses dates also takes a time after them, and days written together.
        let is_plain = text == date.to_string();
        (is_plain && FIRST_DAY <= day && day < END_DAY).then_some(day)
    }

    /// The first hour of UTC in it.
    pub fn start(self) -> Hour {
        self.hour_at(0)
    }

    /// The hour that begins at twelve, also on days when the clock changes.
    pub fn noon(self) -> Hour {
        self.hour_at(12)
    }

    /// The hour that begins at an hour of day, 0 to 23. The first of the two where clocks
    /// go back, the one after where they skip it.
    pub fn hour_at(self, hour_of_day: u8) -> Hour {
        let hour_of_day = i8::try_from(hour_of_day).expect("0 to 23");
        let instant = AMSTERDAM
            .to_ambiguous_timestamp(self.date().at(hour_of_day, 0, 0, 0))
            .compatible()
            .expect("a day within the supported years");
        Hour(u32::try_from(instant.as_second() / HOUR_SECONDS).expect("after 1970"))
    }

    /// The next day.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Its hours of UTC: 23, 24 or 25.
    pub fn window(self) -> Window {
        Window {
            start: self.start(),
            end: self.next().start(),
        }
    }

    /// 1 (Monday) to 7.
    pub fn weekday(self) -> u8 {
        u8::try_from((self.0 + 3).rem_euclid(7) + 1).expect("1 to 7")
    }

    /// The month that it lies in.
    pub fn month(self) -> LocalMonth {
        let date = self.date();
        LocalMonth(i32::from(date.year()) * 12 + i32::from(date.month()) - 1)
    }
}

impl fmt::Display for LocalDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

/// A month of Europe/Amsterdam: twelve times the year, plus 0 for January to 11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalMonth(pub i32);

impl LocalMonth {
    /// Its first day; `END_DAY` if it lies after the supported years.
    pub fn first_day(self) -> LocalDay {
        let year = i16::try_from(self.0.div_euclid(12)).ok();
        let month = i8::try_from(self.0.rem_euclid(12) + 1).ok();
        let date = year
            .zip(month)
            .and_then(|(year, month)| Date::new(year, month, 1).ok());
        date.map_or(END_DAY, LocalDay::of).min(END_DAY)
    }
}

impl fmt::Display for LocalMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}",
            self.0.div_euclid(12),
            self.0.rem_euclid(12) + 1
        )
    }
}

/// A half-open span of hours. Invariant: `start < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    start: Hour,
    end: Hour,
}

impl Window {
    /// From the first hour to the one after the last; `None` if that is empty or outside
    /// the supported years.
    pub fn new(start: Hour, end: Hour) -> Option<Self> {
        let is_supported = FIRST_HOUR <= start && end <= END_HOUR;
        (start < end && is_supported).then_some(Self { start, end })
    }

    /// The first hour.
    pub fn start(self) -> Hour {
        self.start
    }

    /// The hour after the last.
    pub fn end(self) -> Hour {
        self.end
    }

    /// Whether the hour lies inside.
    pub fn contains(self, hour: Hour) -> bool {
        self.start <= hour && hour < self.end
    }

    /// Whether the whole local day lies inside.
    pub fn contains_day(self, day: LocalDay) -> bool {
        self.start <= day.start() && day.next().start() <= self.end
    }

    /// The local days that it touches, first to last.
    pub fn days(self) -> impl Iterator<Item = LocalDay> + Clone {
        let first = self.start.local_day().0;
        let last = Hour(self.end.0 - 1).local_day().0;
        (first..=last).map(LocalDay)
    }

    /// Its hours.
    pub fn hours(self) -> impl Iterator<Item = Hour> + Clone {
        (self.start.0..self.end.0).map(Hour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> LocalDay {
        LocalDay::parse(text).expect("a date")
    }

    #[test]
    fn days_have_23_hours_in_spring_and_25_in_autumn() {
        for (text, hours) in [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-24", 24)] {
            let window = day(text).window();
            assert_eq!(window.end().0 - window.start().0, hours, "{text}");
            assert!(
                window.hours().all(|hour| hour.local_day() == day(text)),
                "{text}"
            );
        }
    }

    #[test]
    fn day_is_written_in_one_way() {
        assert_eq!(day("2026-11-23").to_string(), "2026-11-23");
        for text in [
            "2026-11-23T08:15",
            "2026-11-23 08:15",
            "2026-11-23[Europe/Amsterdam]",
            "20261123",
            "+002026-11-23",
            " 2026-11-23",
            "2026-11-31",
            "1999-12-31",
            "2100-01-01",
            "",
        ] {
            assert_eq!(LocalDay::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn noon_is_twelve_o_clock_also_when_clocks_change() {
        for text in ["2026-03-29", "2026-10-25", "2026-11-23"] {
            let noon = day(text).noon();
            assert_eq!((noon.hour_of_day(), noon.local_day()), (12, day(text)));
        }
    }

    #[test]
    fn the_repeated_hour_counts_twice_and_the_skipped_one_never() {
        let hours = |text| {
            day(text)
                .window()
                .hours()
                .map(Hour::hour_of_day)
                .collect::<Vec<_>>()
        };
        assert_eq!(hours("2026-10-25")[..5], [0, 1, 2, 2, 3]);
        assert_eq!(hours("2026-03-29")[..4], [0, 1, 3, 4]);
    }

    #[test]
    fn offsets_are_whole_hours_in_all_supported_years() {
        let mut day = FIRST_DAY;
        while day < END_DAY {
            let midnight = AMSTERDAM.to_ambiguous_timestamp(day.date().at(0, 0, 0, 0));
            let second = midnight.compatible().expect("supported").as_second();
            assert_eq!(second % HOUR_SECONDS, 0, "{day}");
            day = day.next();
        }
    }

    #[test]
    fn first_and_end_day_are_what_their_comments_say() {
        assert_eq!(FIRST_DAY.to_string(), "2000-01-01");
        assert_eq!(END_DAY.to_string(), "2100-01-01");
        assert_eq!((FIRST_DAY.start(), END_DAY.start()), (FIRST_HOUR, END_HOUR));
        assert_eq!(UtcMillis(-1).hour(), None);
        assert_eq!(UtcMillis(i64::MAX).hour(), None);
    }

    #[test]
    fn weekdays_and_months_are_those_of_the_calendar() {
        let monday = day("2026-11-23");
        assert_eq!(monday.weekday(), 1);
        assert_eq!(monday.month().to_string(), "2026-11");
        assert_eq!(LocalDay(monday.0 - 1).weekday(), 7);
        assert_eq!(day("2026-01-01").month().0 - day("2025-12-31").month().0, 1);
    }

    #[test]
    fn window_holds_a_day_only_whole() {
        let day = day("2026-10-25");
        let whole = day.window();
        assert!(whole.contains_day(day));
        let short = Window::new(whole.start(), Hour(whole.end().0 - 1)).expect("24 hours");
        assert!(!short.contains_day(day));
        assert_eq!(short.days().collect::<Vec<_>>(), [day]);
        assert_eq!(Window::new(whole.end(), whole.start()), None);
    }
}
