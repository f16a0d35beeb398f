//! What of the tallies it takes to count the reports of a question for its rates, taken from
//! the ledger under its lock, without copying rows.

use std::ops::Range;
use std::sync::Arc;

use crate::domain::{Calendar, Dimension, Hour, LocalDay, Question, Window};
use crate::ledger::{
    Attribute, Cells, Cube, Dictionary, Less, Reason, State, Tallies, Timed, day_bucket,
};

use super::super::plan::{self, Source};

/// Reports of one tally by column: all of them, and those set apart.
#[derive(Clone, Default)]
pub(super) struct Columns {
    pub hour: Cube,
    pub day: Cube,
    /// In the order of `Reason::ALL`.
    pub less: [Less; Reason::ALL.len()],
}

/// Both bases of the tally that answers a question, as of one position.
pub(super) struct RateBook {
    pub source: Source,
    pub dictionary: Arc<Dictionary>,
    /// Of the question's basis.
    pub own: Columns,
    /// Every report of its basis, by operator.
    pub own_total: Columns,
    /// Of the other basis.
    pub others: Columns,
    /// Every report of the other basis, by operator.
    pub others_total: Columns,
    /// Reports of the question's basis by line, whatever they are about.
    pub lines: Columns,
    /// By stop its operator, as the question's basis knows it.
    pub stop_operators: Cube,
}

/// Takes what is needed; `None` if tallies do not suffice. Cheap: to be called under the lock.
pub(super) fn open(state: &State, question: &Question) -> Option<RateBook> {
    let source = Source::of(question)?;
    let other = question.filter.of_other_basis().basis;
    let (own, others) = (state.tallies(question.filter.basis), state.tallies(other));
    let part = Part::of(question.window);
    let total = Source::Attribute(Attribute::Total);
    Some(RateBook {
        source,
        dictionary: Arc::clone(state.dictionary()),
        own: part.columns(own, source),
        own_total: part.columns(own, total),
        others: part.columns(others, source),
        others_total: part.columns(others, total),
        lines: Columns {
            less: Default::default(),
            ..part.columns(own, Source::Line)
        },
        stop_operators: own.apart.stop_operators().clone(),
    })
}

/// The buckets of a window.
struct Part {
    days: Range<u32>,
    hours: Range<u32>,
}

impl Part {
    fn of(window: Window) -> Self {
        let calendar = Calendar::get();
        let first = calendar.day(window.start());
        let last = calendar.day(Hour(window.end().0 - 1));
        Self {
            days: day_bucket(first)..day_bucket(last) + 1,
            hours: window.start().0..window.end().0,
        }
    }

    fn columns(&self, tallies: &Tallies, source: Source) -> Columns {
        let less = |reason: Reason| match source {
            Source::Line => tallies.apart.line(reason),
            Source::Stop => tallies.apart.stop(reason),
            Source::Attribute(attribute) => tallies.apart.attribute(attribute, reason),
        };
        let timed = |timed: &Timed| (self.hours_of(&timed.hour), self.days_of(&timed.day));
        let (hour, day) = match source {
            Source::Line => timed(&tallies.line),
            Source::Stop => (Cube::default(), self.days_of(&tallies.stop_day)),
            Source::Attribute(attribute) => timed(tallies.attribute(attribute)),
        };
        Columns {
            hour,
            day,
            less: Reason::ALL.map(|reason| Less {
                hour: self.hours_of(&less(reason).hour),
                day: self.days_of(&less(reason).day),
            }),
        }
    }

    fn hours_of(&self, cube: &Cube) -> Cube {
        cube.part(self.hours.clone())
    }

    fn days_of(&self, cube: &Cube) -> Cube {
        cube.part(self.days.clone())
    }
}

// === impl Columns ===

impl Columns {
    /// Adds the reports of a day, those of inspections left out.
    pub fn add_day(&self, day: LocalDay, sums: &mut [u32]) {
        let bucket = day_bucket(day);
        add(self.day.row(bucket), sums);
        take(self.less[Reason::Inspection as usize].day.row(bucket), sums);
    }

    /// Adds the reports of an hour, those of inspections left out.
    pub fn add_hour(&self, hour: Hour, sums: &mut [u32]) {
        add(self.hour.row(hour.0), sums);
        take(
            self.less[Reason::Inspection as usize].hour.row(hour.0),
            sums,
        );
    }

    /// Whether anything is there of a day.
    pub fn has_day(&self, day: LocalDay) -> bool {
        self.day.row(day_bucket(day)).is_some()
    }

    /// Reports of a day that are set apart.
    pub fn less_of_day(&self, reason: Reason, day: LocalDay) -> Option<Cells<'_>> {
        self.less[reason as usize].day.row(day_bucket(day))
    }

    /// Reports of an hour that are set apart.
    pub fn less_of_hour(&self, reason: Reason, hour: Hour) -> Option<Cells<'_>> {
        self.less[reason as usize].hour.row(hour.0)
    }
}

fn add(row: Option<Cells<'_>>, sums: &mut [u32]) {
    if let Some(row) = row {
        row.add_to(sums);
    }
}

/// Takes away what is there.
pub(super) fn take(row: Option<Cells<'_>>, sums: &mut [u32]) {
    if let Some(row) = row {
        row.take_from(sums);
    }
}

/// Takes away what is in the columns that count.
pub(super) fn take_where(row: Option<Cells<'_>>, sums: &mut [u32], counts: impl Fn(usize) -> bool) {
    if let Some(row) = row {
        row.for_each_nonzero(|column, count| {
            let column = column as usize;
            if counts(column)
                && let Some(sum) = sums.get_mut(column)
            {
                *sum -= count;
            }
        });
    }
}

// === impl RateBook ===

impl RateBook {
    /// The same of every report by operator, whatever else it is about.
    pub fn of_operators(&self) -> Self {
        Self {
            source: Source::Attribute(Attribute::Total),
            dictionary: Arc::clone(&self.dictionary),
            own: self.own_total.clone(),
            own_total: self.own_total.clone(),
            others: self.others_total.clone(),
            others_total: self.others_total.clone(),
            lines: self.lines.clone(),
            stop_operators: self.stop_operators.clone(),
        }
    }

    /// How many columns the tally of a source has.
    pub fn width(&self, source: Source) -> usize {
        match source {
            Source::Line => self.dictionary.lines(),
            Source::Stop => self.dictionary.stops(),
            Source::Attribute(attribute) => self.dictionary.operators() * attribute.slots(),
        }
    }

    /// The number of a column for a dimension other than of time; 0 for another.
    pub fn number(&self, column: u32, dimension: Dimension) -> u32 {
        match (self.source, dimension) {
            (Source::Line, Dimension::Line) | (Source::Stop, Dimension::Stop) => column,
            (source, Dimension::Operator) => self.operator(source, column),
            (Source::Attribute(attribute), dimension)
                if plan::dimension_of(attribute) == Some(dimension) =>
            {
                column % slots(attribute)
            }
            _ => 0,
        }
    }

    /// The operator of a column; 0 if it is not known.
    pub fn operator(&self, source: Source, column: u32) -> u32 {
        match source {
            Source::Line => self.dictionary.operator_of_line(column).into(),
            Source::Stop => self
                .stop_operators
                .row(0)
                .map_or(0, |cells| cells.get(column)),
            Source::Attribute(attribute) => column / slots(attribute),
        }
    }
}

/// How many values an attribute has, with that for "not said".
pub(super) fn slots(attribute: Attribute) -> u32 {
    u32::try_from(attribute.slots()).expect("taxonomies are short")
}
