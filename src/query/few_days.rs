//! Lines whose figures rest on few days: the rows of a question by line say so.
//!
//! Such a question is counted by line and by day at once, and its days are then added up, so
//! that nothing is counted or scanned twice, and both are as of one position. Whether a figure
//! rests on few days is `stats::burst`'s to say.

use crate::domain::question::Breakdown;
use crate::domain::{Dimension, Question};
use crate::ledger::Dictionary;
use crate::stats::burst::rests_on_few_days;

use super::axis::Axes;
use super::plan::DENSE_CELLS_MAX;
use super::{Cells, Counts};

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

/// The axes that a question is counted on: with its days, where lines are rows and cells for
/// each of their days are few enough.
pub(super) fn axes(question: &Question, dictionary: &Dictionary) -> Axes {
    let axes = Axes::new(&to_count(question), dictionary);
    match axes.cells <= DENSE_CELLS_MAX {
        true => axes,
        false => Axes::new(question, dictionary),
    }
}

/// How many incidents each line has on each day.
pub(super) struct LineDays {
    /// Day by day, each with all places of lines.
    cells: Vec<u32>,
    lines: usize,
}

impl LineDays {
    /// Whether the figure of the line at this place rests on few of so many days.
    pub(super) fn rests_on_few(&self, line: u32, days: usize) -> bool {
        let of_line = self.cells.iter().skip(line as usize).step_by(self.lines);
        let counts = of_line.filter(|count| **count != 0);
        let counts: Vec<u64> = counts.map(|count| u64::from(*count)).collect();
        rests_on_few_days(&counts, days)
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
                let lines = usize::try_from(axes.width).expect("dense cells are bounded");
                let mut sums = vec![0; lines];
                for day in cells.chunks_exact(lines) {
                    for (sum, count) in sums.iter_mut().zip(day) {
                        *sum += count;
                    }
                }
                let axes = Axes::new(question, dictionary);
                (axes, sums, Some(LineDays { cells, lines }))
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
