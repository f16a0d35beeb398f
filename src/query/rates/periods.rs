//! The days that rows are about, and how much of each: what a row's reports scatter over,
//! whether or not taps were told.

use hashbrown::HashMap;

use super::super::Recorded;
use super::keys::{Numbers, RowKeys, date_number};
use crate::domain::time::{HOUR_MS, MINUTE_MS};
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
    edges: Edges,
}

/// How much of time is in the record: of these two days so much, and all of those between.
#[derive(Clone, Copy)]
struct Edges {
    first: PartOfDay,
    last: PartOfDay,
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
    edges: Edges,
}

// === impl Edges ===

impl Edges {
    const ALL: Self = Self {
        first: PartOfDay {
            day: i32::MIN,
            by_hour: [u8::MAX; HOURS_OF_DAY],
        },
        last: PartOfDay {
            day: i32::MAX,
            by_hour: [u8::MAX; HOURS_OF_DAY],
        },
    };

    fn of(recorded: Recorded) -> Self {
        let edge = |stamp: Stamp| {
            let day = stamp.hour()?.local_day();
            Some(PartOfDay {
                day: day.0,
                by_hour: minutes_recorded(recorded, day),
            })
        };
        Self {
            first: recorded.began.and_then(edge).unwrap_or(Self::ALL.first),
            last: edge(recorded.until).unwrap_or(Self::ALL.last),
        }
    }

    /// What is in the record of what counts of a day. Of days before the first those are, wholly, of
    /// which any was told.
    fn within(&self, part: &PartOfDay, has_any: bool) -> PartOfDay {
        let mut by_hour = part.by_hour;
        if self.last.day < part.day || (part.day < self.first.day && !has_any) {
            by_hour = ByHour::default();
        }
        for edge in [self.first, self.last] {
            if edge.day == part.day {
                for (minutes, recorded) in by_hour.iter_mut().zip(edge.by_hour) {
                    *minutes = recorded.min(*minutes);
                }
            }
        }
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
            edges: Edges::ALL,
        }
    }

    /// The same, of which no more is time without reports than what is in the record.
    pub fn within(self, recorded: Recorded) -> Self {
        Self {
            edges: Edges::of(recorded),
            ..self
        }
    }

    /// The days of a row; of the whole question after the last.
    pub fn of(&self, row: usize) -> Period<'_> {
        let (group, hour_of_day) = self.of_row[row];
        Period {
            days: group.map_or(&[], |group| &self.groups[group]),
            hour_of_day,
            edges: self.edges,
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
    /// are in the record, where a day of before is if it has any.
    pub fn scatter(&self, count: impl Fn(i32) -> u64, has_any: impl Fn(i32) -> bool) -> Dispersion {
        let days = self.days.iter().map(|part| Day {
            count: count(part.day),
            exposure: self.minutes(&self.edges.within(part, has_any(part.day))),
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

/// How many whole minutes of a day are in the record, by hour of day.
fn minutes_recorded(recorded: Recorded, day: LocalDay) -> ByHour {
    let mut by_hour = ByHour::default();
    for hour in day.window().hours() {
        let (start, end) = (hour.start().0, hour.start().0 + HOUR_MS);
        let start = recorded.began.map_or(start, |began| start.max(began.0));
        let minutes = (end.min(recorded.until.0) - start) / MINUTE_MS;
        let minutes = u8::try_from(minutes.max(0)).expect("of an hour");
        by_hour[usize::from(hour.hour_of_day())] += minutes;
    }
    by_hour
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
