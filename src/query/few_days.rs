//! Lines whose figures rest on few days: the rows of a question by line say so.
//!
//! Such a question is counted by line and by day at once where all lines that are known and all
//! days of the window are few, and its days are then added up; else by line alone first, and then
//! by day those lines that have any. Both are as of one position. Whether it is told rests on
//! nothing but the rows and the window, so that it stays the same when more lines are known
//! later. Whether a figure rests on few days is `stats::burst`'s to say.

use crate::domain::limits::{LINE_DAYS_MAX, LINES_MAX, WINDOW_HOURS_MAX};
use crate::domain::question::Breakdown;
use crate::domain::{Dimension, Filter, Hour, LocalDay, Question, Stamp, Window};
use crate::ledger::Dictionary;
use crate::stats::burst::rests_on_few_days;

use super::axis::Axes;
use super::plan::DENSE_CELLS_MAX;
use super::{Cells, Counts, Recorded};

/// Days of the longest window, those that it touches and one for "not known".
const WINDOW_DAYS_MAX: u64 = WINDOW_HOURS_MAX as u64 / 24 + 3;

// With a place for "not known" on both axes, what is counted later is dense.
const _: () = assert!(LINE_DAYS_MAX + LINES_MAX as u64 + WINDOW_DAYS_MAX <= DENSE_CELLS_MAX);

/// How much is counted by line and by day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most cells of all lines and days that are counted at once.
    pub at_once: u64,
    /// Most lines with any, times days of the window, of which it is told.
    pub told: u64,
}

impl Bounds {
    pub(super) const USUAL: Self = Self {
        at_once: DENSE_CELLS_MAX,
        told: LINE_DAYS_MAX,
    };
}

/// What is counted for a question: itself, or the same by day as well if its rows are lines.
pub(super) fn to_count(question: &Question) -> Question {
    let by = match question.by.dimensions() {
        [Dimension::Line] => Breakdown::new(vec![Dimension::Line, Dimension::Day]),
        _ => None,
    };
    Question {
        by: by.unwrap_or_else(|| question.by.clone()),
        ..question.clone()
    }
}

/// The axes that a question is counted on first: with its days, where lines are rows and cells
/// for each of their days are few enough.
pub(super) fn axes(question: &Question, dictionary: &Dictionary, bounds: Bounds) -> Axes {
    let axes = Axes::new(&to_count(question), dictionary);
    if axes.cells <= bounds.at_once {
        axes
    } else {
        Axes::new(question, dictionary)
    }
}

/// The days of lines that are still to be counted.
pub(super) struct Left {
    /// By line and by day, of those lines alone that have any.
    pub question: Question,
    pub axes: Axes,
    /// Where those lines stand among the counts, rising.
    places: Vec<u32>,
}

impl Left {
    /// What is still to be counted for the counts of a question, if anything. Where it is not to
    /// be told, days that were counted are let go.
    pub(super) fn of(
        counts: &mut Counts,
        question: &Question,
        dictionary: &Dictionary,
        bounds: Bounds,
    ) -> Option<Self> {
        let ([Dimension::Line], Cells::Dense(cells)) = (question.by.dimensions(), &counts.cells)
        else {
            return None;
        };
        let with_any = (0..).zip(cells).skip(1).filter(|(_, count)| **count != 0);
        let places: Vec<u32> = with_any.map(|(place, _)| place).collect();
        let days = question.window.days().count() as u64;
        if bounds.told < places.len() as u64 * days {
            counts.line_days = None;
            return None;
        }
        if counts.line_days.is_some() || places.is_empty() {
            return None;
        }
        let axis = counts.axes.asked.first()?;
        let lines = places.iter();
        let lines = lines.filter_map(|place| dictionary.line(axis.number(*place)).cloned());
        let question = Question {
            filter: Filter {
                lines: lines.collect(),
                ..question.filter.clone()
            },
            ..to_count(question)
        };
        Some(Self {
            axes: Axes::new(&question, dictionary),
            question,
            places,
        })
    }

    /// The same of a part of the window that has all that was recorded.
    pub(super) fn within(self, window: Window, dictionary: &Dictionary) -> Self {
        let question = Question {
            window,
            ..self.question
        };
        Self {
            axes: Axes::new(&question, dictionary),
            question,
            ..self
        }
    }

    /// Puts what was counted in the cells of the axes beside the counts.
    pub(super) fn put(self, cells: Vec<u32>, counts: &mut Counts) {
        counts.line_days = Some(LineDays::new(&self.axes, cells, Some(self.places)));
    }
}

/// How many incidents each line has on each day.
pub(super) struct LineDays {
    /// Day by day, each with all places of lines.
    cells: Vec<u32>,
    lines: usize,
    /// The day of the second of them: the first is for days that are not known.
    first_day: i32,
    /// The lines at place 1 and those after it, by their places among the counts; `None` if
    /// places are the same.
    places: Option<Vec<u32>>,
}

impl LineDays {
    fn new(axes: &Axes, cells: Vec<u32>, places: Option<Vec<u32>>) -> Self {
        let days = axes.find(Dimension::Day);
        Self {
            cells,
            lines: width(axes),
            first_day: days.map_or(0, |(days, _)| days.first_date()),
            places,
        }
    }

    /// Whether the figure of the line at this place rests on few days: of those that are in the
    /// record, and others on which it has any.
    pub(super) fn rests_on_few(&self, line: u32, recorded: &RecordedDays) -> bool {
        let place = match &self.places {
            None => line as usize,
            // A line without any has none on any day, as has place 0.
            Some(places) => places.binary_search(&line).map_or(0, |place| place + 1),
        };
        let of_line = self.cells.iter().skip(place).step_by(self.lines);
        let with_any = (self.first_day - 1..)
            .zip(of_line)
            .filter(|(_, count)| **count != 0);
        let (mut counts, mut quiet) = (Vec::new(), recorded.count);
        for (day, count) in with_any {
            counts.push(u64::from(*count));
            quiet = quiet.saturating_sub(recorded.has(LocalDay(day)).into());
        }
        let days = counts.len() + quiet;
        rests_on_few_days(&counts, days)
    }
}

/// The days of a question that the record tells of: others are none without reports.
pub(super) struct RecordedDays {
    first: LocalDay,
    last: LocalDay,
    /// How many the question takes of them.
    count: usize,
}

impl RecordedDays {
    pub(super) fn of(question: &Question, recorded: Recorded) -> Self {
        let day = |stamp: Stamp| stamp.hour().map(Hour::local_day);
        let mut days = Self {
            first: recorded.began.and_then(day).unwrap_or(LocalDay(i32::MIN)),
            last: day(recorded.until).unwrap_or(LocalDay(i32::MAX)),
            count: 0,
        };
        days.count = question.days().filter(|day| days.has(*day)).count();
        days
    }

    fn has(&self, day: LocalDay) -> bool {
        self.first <= day && day <= self.last
    }
}

impl Counts {
    /// Counts in dense cells of a question, on the axes that `axes` gave for it. Incidents whose
    /// line is not known stand in no cell by now.
    pub(super) fn dense(
        (question, axes): (&Question, Axes),
        dictionary: &Dictionary,
        cells: Vec<u32>,
        (total, left_out): (u64, u64),
    ) -> Self {
        let has_days = axes.asked.len() != question.by.dimensions().len();
        let (axes, cells, line_days) = match has_days {
            false => (axes, cells, None),
            true => {
                let lines = width(&axes);
                let mut sums = vec![0; lines];
                for day in cells.chunks_exact(lines) {
                    for (sum, count) in sums.iter_mut().zip(day) {
                        *sum += count;
                    }
                }
                let line_days = LineDays::new(&axes, cells, None);
                (Axes::new(question, dictionary), sums, Some(line_days))
            }
        };
        Self {
            axes,
            cells: Cells::Dense(cells),
            total,
            left_out,
            line_days,
        }
    }
}

/// Cells of each day.
fn width(axes: &Axes) -> usize {
    usize::try_from(axes.width).expect("dense cells are bounded")
}
