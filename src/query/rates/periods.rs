//! The days that rows are about, and how much of each: what a row's reports scatter over,
//! whether or not taps were told.

use std::cmp::Ordering;

use hashbrown::HashMap;

use super::keys::{Numbers, RowKeys, date_number};
use crate::domain::time::MINUTE_MS;
use crate::domain::{Calendar, LocalDay, Question, Stamp};
use crate::stats::dispersion::{Day, Dispersion};

/// Hours of day.
const HOURS_OF_DAY: usize = 24;

const HOUR_MINUTES: u8 = 60;

/// Minutes of each hour of a day that count. The repeated hour of October is one hour of day, of
/// twice as many.
pub(super) type ByHour = [u8; HOURS_OF_DAY];

/// The days of a question that its rows are about.
pub(super) struct Periods {
    /// Days of the same dates, as rows tell them; those of the whole question come first.
    groups: Vec<Vec<PartOfDay>>,
    /// The group of each row, and its hour of day if it tells one; `None` if it is about no day.
    of_row: Vec<(Option<usize>, Option<u8>)>,
    passed: Passed,
}

/// How much of time has been: all of days before today, and of today so many minutes.
#[derive(Clone, Copy)]
struct Passed {
    today: i32,
    by_hour: ByHour,
}

#[derive(Clone, Copy)]
struct PartOfDay {
    day: i32,
    by_hour: ByHour,
}

/// The days that one row is about.
pub(super) struct Period<'a> {
    days: &'a [PartOfDay],
    hour_of_day: Option<u8>,
    passed: Passed,
}

// === impl Passed ===

impl Passed {
    const ALL: Self = Self {
        today: i32::MAX,
        by_hour: [0; HOURS_OF_DAY],
    };

    fn until(now: Stamp) -> Self {
        let Some(this_hour) = now.hour() else {
            return Self::ALL;
        };
        let today = this_hour.local_day();
        let mut by_hour = ByHour::default();
        for hour in today.window().hours() {
            let minutes = (now.0 - hour.start().0) / MINUTE_MS;
            let minutes = minutes.clamp(0, HOUR_MINUTES.into());
            by_hour[usize::from(hour.hour_of_day())] += u8::try_from(minutes).expect("few");
        }
        Self {
            today: today.0,
            by_hour,
        }
    }

    /// What has been of what counts of a day.
    fn of(&self, part: &PartOfDay) -> PartOfDay {
        let by_hour = match part.day.cmp(&self.today) {
            Ordering::Less => part.by_hour,
            Ordering::Equal => {
                let mut by_hour = part.by_hour;
                for (minutes, passed) in by_hour.iter_mut().zip(self.by_hour) {
                    *minutes = passed.min(*minutes);
                }
                by_hour
            }
            Ordering::Greater => ByHour::default(),
        };
        PartOfDay { by_hour, ..*part }
    }
}

// === impl Periods ===

impl Periods {
    /// With all that the question takes of its days.
    pub fn new(question: &Question, keys: &RowKeys) -> Self {
        Self::of_parts(question, keys, |day| taken(question, day))
    }

    /// With what is given of each day.
    pub fn of_parts(
        question: &Question,
        keys: &RowKeys,
        part: impl Fn(LocalDay) -> ByHour,
    ) -> Self {
        let mut groups = vec![Vec::new()];
        let mut places = HashMap::<Numbers, usize>::new();
        for day in question.days() {
            let by_hour = part(day);
            let dates = keys.dates(|_, dimension| date_number(dimension, day));
            let part = PartOfDay {
                day: day.0,
                by_hour,
            };
            groups[0].push(part);
            // Without dates, all rows are about the same days.
            if dates != Numbers::default() {
                let next = groups.len();
                let place = *places.entry(dates).or_insert(next);
                if place == next {
                    groups.push(Vec::new());
                }
                groups[place].push(part);
            }
        }
        let of_row = |(row, numbers): (usize, &Numbers)| {
            let dates = keys.dates(|place, _| numbers[place]);
            let group = if dates == Numbers::default() {
                Some(0)
            } else {
                places.get(&dates).copied()
            };
            (group, keys.hour_of_day(row))
        };
        let of_row = keys.rows().iter().enumerate().map(of_row);
        Self {
            of_row: of_row.chain([(Some(0), None)]).collect(),
            groups,
            passed: Passed::ALL,
        }
    }

    /// The same as of a time: what has not been yet is no time without reports.
    pub fn until(self, now: Stamp) -> Self {
        Self {
            passed: Passed::until(now),
            ..self
        }
    }

    /// The days of a row; of the whole question after the last.
    pub fn of(&self, row: usize) -> Period<'_> {
        let (group, hour_of_day) = self.of_row[row];
        Period {
            days: group.map_or(&[], |group| &self.groups[group]),
            hour_of_day,
            passed: self.passed,
        }
    }
}

// === impl Period ===

impl Period<'_> {
    /// How many days: those with any time that counts. The hour that a row tells may lie outside
    /// the window on some, and the clock passes it over on one.
    pub fn days(&self) -> u64 {
        let with_time = self.days.iter().filter(|part| 0 < self.minutes(part));
        with_time.count() as u64
    }

    /// How many minutes, of all days together.
    pub fn minutes_of_all(&self) -> u64 {
        self.days.iter().map(|part| self.minutes(part)).sum()
    }

    /// How much more what is counted by day scatters than chance, against one rate at all times that
    /// have been.
    pub fn scatter(&self, count: impl Fn(i32) -> u64) -> Dispersion {
        let days = self.days.iter().map(|part| Day {
            count: count(part.day),
            exposure: self.minutes(&self.passed.of(part)),
        });
        Dispersion::of_counts(&days.collect::<Vec<_>>())
    }

    /// How much of a day counts in the row.
    fn minutes(&self, part: &PartOfDay) -> u64 {
        match self.hour_of_day {
            Some(hour) => part.by_hour[usize::from(hour)].into(),
            None => part.by_hour.iter().copied().map(u64::from).sum(),
        }
    }
}

/// What a question takes of a day.
fn taken(question: &Question, day: LocalDay) -> ByHour {
    let calendar = Calendar::get();
    let wanted = question.filter.hours_of_day;
    let takes = |hour: u8| wanted == 0 || wanted >> hour & 1 == 1;
    let (start, end) = calendar.hours(day);
    let is_plain = usize::try_from(end - start) == Ok(HOURS_OF_DAY);
    let mut by_hour = ByHour::default();
    if is_plain && question.window.contains_day(day) {
        for (hour, part) in (0..).zip(&mut by_hour) {
            *part = if takes(hour) { HOUR_MINUTES } else { 0 };
        }
        return by_hour;
    }
    for hour in day.window().hours() {
        let hour_of_day = calendar.hour_of_day(day, hour);
        if question.window.contains(hour) && takes(hour_of_day) {
            by_hour[usize::from(hour_of_day)] += HOUR_MINUTES;
        }
    }
    by_hour
}
