//! Answers from tallies: rows of cubes are added up into dense cells.
//!
//! `total` comes from the cells themselves where every incident of the question is in
//! exactly one of them, values that are not known included, and otherwise from tallies that
//! do not depend on what the question is broken down by.

use std::ops::Range;
use std::sync::Arc;

use crate::domain::question::Breakdown;
use crate::domain::{
    Calendar, Dimension, Filter, Hour, LocalDay, Position, Question, Stamp, Window,
};
use crate::ledger::{Attribute, Dictionary, State};

use super::axis::{Axes, Axis};
use super::budget::{self, CELLS};
use super::clock::Clock;
use super::few_days::{self, Bounds, Left};
use super::grid;
use super::plan::{self, DENSE_CELLS_MAX, Source};
use super::reach::{Grain, Reach, Shared};
use super::row_filter::{self, RowFilter};
use super::{Counts, Effort, Origin, QueryError, Recorded};

/// Picked columns are first added up together with all others of their row if they are at
/// least this part of it, because adjacent columns are added many at a time.
const STAGED_PART: usize = 8;
/// Least buckets for each combination of times for that to pay.
const STAGED_BUCKETS_MIN: usize = 4;
/// Most cells that are added up so.
const STAGED_CELLS_MAX: usize = 1 << 18;
/// The tally of every incident.
const ALL: Source = Source::Attribute(Attribute::Total);

/// What a question needs of the tallies, shared with the ledger, so that adding up does not
/// keep the ledger from changing.
pub(super) struct Book {
    question: Question,
    source: Source,
    /// In which buckets the tallies are shared.
    grain: Grain,
    dictionary: Arc<Dictionary>,
    position: Position,
    stamp: Stamp,
    /// The tally of the source.
    counts: Shared,
    /// How many days of lines are counted.
    pub(super) bounds: Bounds,
    /// Every incident, which some totals are made of.
    all: Shared,
}

/// Takes from the ledger what a question needs; `None` if tallies do not suffice. Cheap: to
/// be called under its lock.
pub(super) fn open(state: &State, question: &Question) -> Option<Book> {
    let source = Source::of(question)?;
    let tallies = state.tallies(question.filter.basis);
    let all = tallies.attribute(Attribute::Total);
    let grain = Grain::of(&few_days::to_count(question));
    let window = recorded_part(question.window, grain, all.day.used());
    // Where nothing was recorded, any hour is as good.
    let window = window.unwrap_or(first_hour(question.window));
    let reach = Reach::new(window, grain);
    let counts = match source {
        Source::Line => Shared::new(&tallies.line, &reach),
        Source::Stop => Shared::of_days(&tallies.stop_day, &reach),
        Source::Attribute(attribute) => Shared::new(tallies.attribute(attribute), &reach),
    };
    Some(Book {
        question: Question {
            window,
            ..question.clone()
        },
        source,
        grain,
        dictionary: Arc::clone(state.dictionary()),
        position: state.position(),
        stamp: state.stamp(),
        counts,
        bounds: Bounds::USUAL,
        all: Shared::new(all, &reach),
    })
}

/// What is left of a window where anything was recorded, in whole days, or in whole months if
/// that is how they are read. `days` are buckets.
fn recorded_part(window: Window, grain: Grain, days: Range<u32>) -> Option<Window> {
    if days.is_empty() {
        return None;
    }
    let calendar = Calendar::get();
    let (mut first, mut last) = (day_of(days.start), day_of(days.end - 1));
    let (start, end) = (calendar.hours(first).0, calendar.hours(last).1);
    if grain == Grain::MonthHours {
        while !calendar.starts_month(first) {
            first = LocalDay(first.0 - 1);
        }
        while !calendar.starts_month(last.next()) {
            last = last.next();
        }
    }
    let start = if window.start().0 <= start {
        calendar.hours(first).0
    } else {
        window.start().0
    };
    let end = if end <= window.end().0 {
        calendar.hours(last).1
    } else {
        window.end().0
    };
    Window::new(Hour(start), Hour(end))
}

fn first_hour(window: Window) -> Window {
    let start = window.start();
    Window::new(start, Hour(start.0 + 1)).expect("the first of its hours")
}

fn day_of(bucket: u32) -> LocalDay {
    LocalDay(bucket.cast_signed())
}

/// Whether an incident may stand in several rows.
fn is_expanded(question: &Question, attribute: Attribute) -> bool {
    plan::is_set(attribute)
        && plan::dimension_of(attribute).is_some_and(|dimension| plan::has(question, dimension))
}

fn take_all_unknown(cells: &mut [u32], axes: &Axes) -> u64 {
    let take = |axis| grid::take_unknown(cells, axes, axis);
    (0..axes.asked.len()).map(take).sum()
}

impl Book {
    /// The names.
    pub(super) fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// As of when it is, of a record that began then.
    pub(super) fn origin(&self, began: Option<Stamp>) -> Origin {
        Origin {
            position: self.position,
            recorded: Recorded {
                began,
                until: self.stamp,
            },
            effort: Effort::Tallies,
        }
    }

    /// The axes that it is counted on; `None` if it has more cells than tallies are added up in.
    pub(super) fn axes(&self) -> Option<Axes> {
        let axes = few_days::axes(&self.question, &self.dictionary, self.bounds);
        (axes.cells <= DENSE_CELLS_MAX).then_some(axes)
    }

    /// Everything that answers the question, which is the one that this was opened with.
    pub(super) fn tally(&self, question: &Question, axes: Axes) -> Result<Counts, QueryError> {
        let mut counts = self.tally_first(axes);
        let left = Left::of(&mut counts, question, &self.dictionary, self.bounds);
        let Some(mut left) = left else {
            return Ok(counts);
        };
        // Of the days in which anything was recorded alone.
        left = left.within(self.question.window, &self.dictionary);
        let _room = CELLS.take(left.axes.cells, budget::WAIT)?;
        let cells = self.add_up(self.source, &left.question, &left.axes);
        left.put(cells, &mut counts);
        Ok(counts)
    }

    fn tally_first(&self, axes: Axes) -> Counts {
        let mut cells = self.add_up(self.source, &self.question, &axes);
        let (counted, unknown) = match self.source {
            Source::Attribute(attribute) if is_expanded(&self.question, attribute) => {
                self.take_unknown_of_set(attribute, &axes, &mut cells)
            }
            _ => (grid::sum(&cells), take_all_unknown(&mut cells, &axes)),
        };
        let total = self.total().unwrap_or(counted);
        let of_all = (total, total - (counted - unknown));
        Counts::dense((&self.question, axes), &self.dictionary, cells, of_all)
    }

    /// The total, where it is not the sum of all cells.
    fn total(&self) -> Option<u64> {
        let filter = &self.question.filter;
        // Incidents known only to the day have no hour of day.
        let misses_days =
            filter.hours_of_day == 0 && plan::has(&self.question, Dimension::HourOfDay);
        // An incident may have an operator and no line.
        let misses_lines =
            self.source == Source::Line && filter.lines.is_empty() && !filter.operators.is_empty();
        if !misses_days && !misses_lines {
            return None;
        }
        let is_filtered = match self.source {
            Source::Line => !filter.lines.is_empty(),
            Source::Stop => !filter.stops.is_empty(),
            Source::Attribute(attribute) => plan::mask(filter, attribute) != 0,
        };
        let source = if is_filtered { self.source } else { ALL };
        let whole = self.without(|_| true);
        let axes = Axes::new(&whole, &self.dictionary);
        Some(grid::sum(&self.add_up(source, &whole, &axes)))
    }

    /// Empties the cells of incidents with a value that is not known, if an incident may
    /// stand in several cells. Returns how many incidents were counted, and how many of them
    /// stand in no row.
    fn take_unknown_of_set(
        &self,
        attribute: Attribute,
        axes: &Axes,
        cells: &mut [u32],
    ) -> (u64, u64) {
        let dimension = plan::dimension_of(attribute);
        let is_of_set = |axis: &usize| Some(axes.asked[*axis].dimension) == dimension;
        let (of_set, others): (Vec<_>, Vec<_>) = (0..axes.asked.len()).partition(is_of_set);
        for axis in others {
            grid::take_unknown(cells, axes, axis);
        }
        let empty: u64 = of_set
            .into_iter()
            .map(|axis| grid::take_unknown(cells, axes, axis))
            .sum();

        // Without the set every incident is counted once.
        let without = self.without(|other| Some(other) == dimension);
        let axes = Axes::new(&without, &self.dictionary);
        let mut once = self.add_up(ALL, &without, &axes);
        let counted = grid::sum(&once);
        let unknown = take_all_unknown(&mut once, &axes);
        (counted, unknown + empty)
    }

    /// The question, not broken down by some of its dimensions.
    fn without(&self, is_dropped: impl Fn(Dimension) -> bool) -> Question {
        let dimensions = self.question.by.dimensions().iter().copied();
        let rest = dimensions.filter(|other| !is_dropped(*other)).collect();
        Question {
            by: Breakdown::new(rest).expect("part of a valid one"),
            ..self.question.clone()
        }
    }

    /// The counts of a question by cell, place 0 of each axis included.
    fn add_up(&self, source: Source, question: &Question, axes: &Axes) -> Vec<u32> {
        let row_filter = RowFilter::new(&question.filter, &self.dictionary);
        let columns = match source {
            Source::Line => self.line_columns(&row_filter, axes),
            Source::Stop => self.stop_columns(&row_filter, axes),
            Source::Attribute(attribute) => {
                self.attribute_columns(attribute, &question.filter, &row_filter, axes)
            }
        };
        let counts = if source == ALL {
            &self.all
        } else {
            &self.counts
        };
        // Coarser buckets than those shared are not at hand, but those of days.
        let grain = match Grain::of(question) {
            Grain::Days => Grain::Days,
            Grain::MonthHours | Grain::Hours => self.grain,
        };
        let times = Times {
            reach: Reach::new(question.window, grain),
            clock: Clock::new(question, axes),
        };
        let width = usize::try_from(axes.width).expect("dense cells are bounded");
        columns.add_up(counts, &times, width)
    }

    fn line_columns(&self, row_filter: &RowFilter, axes: &Axes) -> Columns {
        let line = axes.find(Dimension::Line);
        let operator = axes.find(Dimension::Operator);
        let takes_all = row_filter.lines.is_none() && row_filter.operators.is_none();
        if takes_all && line.is_some() && operator.is_none() {
            return Columns::All;
        }
        let operator_of = |line| u32::from(self.dictionary.operator_of_line(line));
        let wanted = (0..bound(self.dictionary.lines())).filter(|line| {
            row_filter.takes_line(*line) && row_filter.takes_operator(operator_of(*line))
        });
        let cell = |number| offset(line, number) + offset(operator, operator_of(number));
        Columns::Picked {
            columns: wanted.map(|number| (number, cell(number))).collect(),
            width: self.dictionary.lines(),
        }
    }

    fn stop_columns(&self, row_filter: &RowFilter, axes: &Axes) -> Columns {
        let stop = axes.find(Dimension::Stop);
        if row_filter.stops.is_none() && stop.is_some() {
            return Columns::All;
        }
        let wanted =
            (0..bound(self.dictionary.stops())).filter(|stop| row_filter.takes_stop(*stop));
        Columns::Picked {
            columns: wanted
                .map(|number| (number, offset(stop, number)))
                .collect(),
            width: self.dictionary.stops(),
        }
    }

    fn attribute_columns(
        &self,
        attribute: Attribute,
        filter: &Filter,
        row_filter: &RowFilter,
        axes: &Axes,
    ) -> Columns {
        let slots = bound(attribute.slots());
        let mask = plan::mask(filter, attribute);
        let operator = axes.find(Dimension::Operator);
        let value = plan::dimension_of(attribute).and_then(|dimension| axes.find(dimension));
        let has_all_axes = operator.is_some() && (value.is_some() || slots == 1);
        if has_all_axes && mask == 0 && row_filter.operators.is_none() {
            return Columns::All;
        }
        let mut columns = Vec::new();
        for number in 0..bound(self.dictionary.operators()) {
            if !row_filter.takes_operator(number) {
                continue;
            }
            let wanted = (0..slots).filter(|slot| {
                row_filter::takes_one(mask, u8::try_from(*slot).expect("taxonomies are short"))
            });
            columns.extend(wanted.map(|slot| {
                let cell = offset(operator, number) + offset(value, slot);
                (number * slots + slot, cell)
            }));
        }
        Columns::Picked {
            columns,
            width: self.dictionary.operators() * slots as usize,
        }
    }
}

fn bound(numbers: usize) -> u32 {
    u32::try_from(numbers).expect("dictionaries and taxonomies are bounded")
}

/// How far a number of a dimension that may not be asked for is from place 0.
fn offset(axis: Option<(&Axis, u64)>, number: u32) -> usize {
    axis.map_or(0, |(axis, stride)| {
        usize::try_from(u64::from(axis.place(number)) * stride).expect("dense cells are bounded")
    })
}

/// Which buckets are read, and where they count.
struct Times<'a> {
    reach: Reach,
    clock: Clock<'a>,
}

/// Which columns of a cube are counted in which cells of a combination of times.
enum Columns {
    /// Each in the cell of its own number.
    All,
    /// Columns with their cells; several may share one.
    Picked {
        columns: Vec<(u32, usize)>,
        /// Columns of the cube.
        width: usize,
    },
}

impl Columns {
    fn add_up(&self, counts: &Shared, times: &Times<'_>, width: usize) -> Vec<u32> {
        let Times { reach, clock } = times;
        let mut cells = vec![0; clock.cells * width];
        match self {
            Self::All => counts.read(reach, clock, |cell, row| {
                row.add_to(&mut cells[cell * width..][..width]);
            }),
            Self::Picked {
                columns,
                width: all,
            } if self.pays_to_stage(times) => {
                let mut staged = vec![0; clock.cells * all];
                counts.read(reach, clock, |cell, row| {
                    row.add_to(&mut staged[cell * all..][..*all]);
                });
                let times = staged.chunks_exact(*all).zip(cells.chunks_exact_mut(width));
                for (staged, cells) in times {
                    for (column, cell) in columns {
                        cells[*cell] += staged[*column as usize];
                    }
                }
            }
            Self::Picked { columns, .. } => counts.read(reach, clock, |time, row| {
                let cells = &mut cells[time * width..][..width];
                for (column, cell) in columns {
                    cells[*cell] += row.get(*column);
                }
            }),
        }
        cells
    }

    fn pays_to_stage(&self, times: &Times<'_>) -> bool {
        let Self::Picked { columns, width } = self else {
            return false;
        };
        let cells = times.clock.cells;
        *width <= columns.len() * STAGED_PART
            && cells * STAGED_BUCKETS_MIN <= times.reach.rows()
            && cells * width <= STAGED_CELLS_MAX
    }
}
