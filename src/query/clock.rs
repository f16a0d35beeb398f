//! Which cell each hour and each day of a window is counted in, as far as time decides.
//!
//! An incident known only to the day counts in its day, if the whole day lies inside the
//! window and no hours of day are asked for; its place on the axis of hours is 0.

use crate::domain::{Dimension, Hour, LocalDay, Question, RowTime};

use super::axis::Axes;
use super::calendar::Calendar;

/// In place of a cell: does not count.
pub(super) const SKIP: u32 = u32::MAX;

/// A local day that the window touches.
pub(super) struct Day {
    pub(super) day: LocalDay,
    /// Whether all of it lies inside.
    pub(super) is_whole: bool,
    /// Where its incidents known only to the day count, or `SKIP`.
    pub(super) cell: u32,
    /// Its hours inside the window, half-open.
    pub(super) hours: (u32, u32),
}

/// The cells of a window's hours and days: numbers of combinations of times, to be
/// multiplied by `Axes::width`.
pub(super) struct Clock {
    pub(super) days: Vec<Day>,
    /// Combinations of times.
    pub(super) cells: usize,
    start: u32,
    hours: Vec<u32>,
    has_hours_of_day: bool,
}

impl Clock {
    /// The window of the axes is that of the question, or what is left of it where there
    /// is anything to count.
    pub(super) fn new(question: &Question, axes: &Axes) -> Self {
        let window = question.window;
        let calendar = Calendar::get();
        let (first, last) = (
            calendar.day(window.start()).0,
            calendar.day(Hour(window.end().0 - 1)).0,
        );
        let mut clock = Self {
            days: Vec::new(),
            cells: usize::try_from(axes.cells / axes.width).expect("times are few"),
            start: window.start().0,
            hours: Vec::with_capacity((window.end().0 - window.start().0) as usize),
            has_hours_of_day: axes.find(Dimension::HourOfDay).is_some(),
        };
        let hour_step = axes
            .find(Dimension::HourOfDay)
            .map_or(0, |(_, stride)| step(stride, axes));
        for day in (first..=last).map(LocalDay) {
            let (start, end) = calendar.hours(day);
            let hours = (start.max(window.start().0), end.min(window.end().0));
            let is_whole = hours == (start, end);
            let base = day_cell(day, question, axes);
            let takes_day_only = is_whole && question.filter.hours_of_day == 0;
            clock.days.push(Day {
                day,
                is_whole,
                cell: if takes_day_only { base } else { SKIP },
                hours,
            });
            for hour in hours.0..hours.1 {
                let hour_of_day = u32::from(calendar.hour_of_day(day, Hour(hour)));
                let wanted = question.filter.hours_of_day;
                let is_wanted = wanted == 0 || wanted >> hour_of_day & 1 == 1;
                clock.hours.push(if is_wanted && base != SKIP {
                    base + hour_step * (hour_of_day + 1)
                } else {
                    SKIP
                });
            }
        }
        clock
    }

    /// How many hours and days the window touches.
    pub(super) fn hours_and_days(&self) -> usize {
        self.hours.len() + self.days.len()
    }

    /// Where an hour inside the window counts, or `SKIP`.
    pub(super) fn hour(&self, hour: u32) -> u32 {
        self.hours[(hour - self.start) as usize]
    }

    /// Where a row counts, and whether that is known for every dimension of time; `None` if
    /// it does not count.
    pub(super) fn cell(&self, time: RowTime) -> Option<(u32, bool)> {
        let (cell, is_known) = match time {
            RowTime::Hour(hour) => {
                let place = hour.0.checked_sub(self.start)?;
                (*self.hours.get(place as usize)?, true)
            }
            RowTime::Day(day) => {
                let first = self.days.first()?.day.0;
                let place = usize::try_from(day.0.checked_sub(first)?).ok()?;
                (self.days.get(place)?.cell, !self.has_hours_of_day)
            }
        };
        (cell != SKIP).then_some((cell, is_known))
    }
}

fn day_cell(day: LocalDay, question: &Question, axes: &Axes) -> u32 {
    let wanted = question.filter.weekdays;
    if wanted != 0 && wanted >> day.weekday() & 1 == 0 {
        return SKIP;
    }
    let mut cell = 0;
    for (axis, stride) in axes.asked.iter().zip(&axes.strides) {
        let place = match axis.dimension {
            Dimension::Day => axis.place_of_date(day.0),
            Dimension::Month => axis.place_of_date(Calendar::get().month(day)),
            Dimension::Weekday => u32::from(day.weekday()),
            _ => continue,
        };
        cell += place * step(*stride, axes);
    }
    cell
}

/// A stride in combinations of times.
fn step(stride: u64, axes: &Axes) -> u32 {
    u32::try_from(stride / axes.width).expect("times are few")
}
