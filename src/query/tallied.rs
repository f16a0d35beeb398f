//! Answers from tallies: rows of cubes are added up into dense cells.
//!
//! `total` comes from the cells themselves where every incident of the question is in
//! exactly one of them, values that are not known included, and otherwise from tallies that
//! do not depend on what the question is broken down by.

use crate::domain::question::Breakdown;
use crate::domain::{Dimension, Filter, Hour, LocalDay, Question, Window};
use crate::ledger::{self, Attribute, Cube, Dictionary, State, Tallies};

use super::axis::Axes;
use super::calendar::Calendar;
use super::clock::{Clock, SKIP};
use super::grid;
use super::plan::{self, DENSE_CELLS_MAX, Source};
use super::sieve::{self, Sieve};
use super::{Cells, Counts};

/// Picked columns are first added up together with all others of their row if they are at
/// least this part of it, because adjacent columns are added many at a time.
const STAGED_PART: usize = 8;
/// Least buckets for each combination of times for that to pay.
const STAGED_BUCKETS_MIN: usize = 4;

/// Everything that answers a question, or `None` if tallies do not suffice.
pub(super) fn tally(state: &State, question: &Question) -> Option<Counts> {
    let source = Source::of(question)?;
    let dictionary = state.dictionary();
    let book = Book {
        tallies: state.tallies(question.filter.basis),
        dictionary,
    };
    let Some(window) = recorded_part(question.window, book.tallies) else {
        return Some(Counts {
            axes: Axes::new(question, dictionary),
            cells: Cells::Sparse(Vec::new()),
            total: 0,
            left_out: 0,
        });
    };
    let question = Question {
        window,
        ..question.clone()
    };
    let axes = Axes::new(&question, dictionary);
    if DENSE_CELLS_MAX < axes.cells {
        return None;
    }
    let mut cells = book.add_up(source, &question, &axes);
    let (total, left_out) = match source {
        Source::Attribute(attribute) if is_expanded(&question, attribute) => {
            book.take_unknown_of_set(attribute, &question, &axes, &mut cells)
        }
        _ => {
            let counted = grid::sum(&cells);
            let unknown = take_all_unknown(&mut cells, &axes);
            let total = book.total(source, &question).unwrap_or(counted);
            (total, total - (counted - unknown))
        }
    };
    Some(Counts {
        axes,
        cells: Cells::Dense(cells),
        total,
        left_out,
    })
}

/// What is left of a window, in whole days at both sides, where anything was recorded.
fn recorded_part(window: Window, tallies: &Tallies) -> Option<Window> {
    let calendar = Calendar::get();
    let total = tallies.attribute(Attribute::Total);
    let (hours, days) = (total.hour.buckets(), total.day_only.buckets());
    let of_hours = (!hours.is_empty()).then(|| {
        let day = |hour| calendar.day(Hour(hour));
        (day(hours.start), day(hours.end - 1))
    });
    let of_days = (!days.is_empty()).then(|| (day_of(days.start), day_of(days.end - 1)));
    let (first, last) = match (of_hours, of_days) {
        (Some(hours), Some(days)) => (hours.0.min(days.0), hours.1.max(days.1)),
        (one, other) => one.or(other)?,
    };
    let start = calendar.hours(first).0.max(window.start().0);
    let end = calendar.hours(last).1.min(window.end().0);
    Window::new(Hour(start), Hour(end))
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

/// Tallies of one basis and the names in them.
struct Book<'a> {
    tallies: &'a Tallies,
    dictionary: &'a Dictionary,
}

impl Book<'_> {
    /// The total, where it is not the sum of all cells.
    fn total(&self, source: Source, question: &Question) -> Option<u64> {
        let filter = &question.filter;
        // Incidents known only to the day are in no cube by line and hour.
        let misses_days = filter.hours_of_day == 0 && plan::has(question, Dimension::HourOfDay);
        // An incident may have an operator and no line.
        let misses_lines = filter.lines.is_empty() && !filter.operators.is_empty();
        if source != Source::Line || !(misses_days || misses_lines) {
            return None;
        }
        let source = if filter.lines.is_empty() {
            Source::Attribute(Attribute::Total)
        } else {
            Source::Line
        };
        let whole = Question {
            by: Breakdown::default(),
            ..question.clone()
        };
        let axes = Axes::new(&whole, self.dictionary);
        Some(grid::sum(&self.add_up(source, &whole, &axes)))
    }

    /// Empties the cells of incidents with a value that is not known. Returns the total and
    /// how many of it stand in no row, if an incident may stand in several.
    fn take_unknown_of_set(
        &self,
        attribute: Attribute,
        question: &Question,
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
        let dimensions = question.by.dimensions().iter().copied();
        let rest = dimensions
            .filter(|other| Some(*other) != dimension)
            .collect();
        let without = Question {
            by: Breakdown::new(rest).expect("part of a valid one"),
            ..question.clone()
        };
        let axes = Axes::new(&without, self.dictionary);
        let mut once = self.add_up(Source::Attribute(Attribute::Total), &without, &axes);
        let total = grid::sum(&once);
        let unknown = take_all_unknown(&mut once, &axes);
        (total, unknown + empty)
    }

    /// The counts of a question by cell, place 0 of each axis included.
    fn add_up(&self, source: Source, question: &Question, axes: &Axes) -> Vec<u32> {
        let clock = Clock::new(question, axes);
        let sieve = Sieve::new(&question.filter, self.dictionary);
        let columns = match source {
            Source::Line => self.line_columns(&sieve, axes),
            Source::Stop => self.stop_columns(&sieve, axes),
            Source::Attribute(attribute) => {
                self.attribute_columns(attribute, &question.filter, &sieve, axes)
            }
        };
        let cubes = match source {
            Source::Line if plan::needs_hours_of_day(question) => Cubes::Hours {
                hour: &self.tallies.line_hour,
            },
            Source::Line => Cubes::WholeDays {
                day: &self.tallies.line_day,
                hour: Some(&self.tallies.line_hour),
            },
            Source::Stop => Cubes::WholeDays {
                day: &self.tallies.stop_day,
                hour: None,
            },
            Source::Attribute(attribute) => {
                let tally = self.tallies.attribute(attribute);
                Cubes::HoursAndDays {
                    hour: &tally.hour,
                    day_only: &tally.day_only,
                }
            }
        };
        let width = usize::try_from(axes.width).expect("dense cells are bounded");
        columns.add_up(&cubes, &clock, width)
    }

    fn line_columns(&self, sieve: &Sieve, axes: &Axes) -> Columns {
        let line = axes.find(Dimension::Line);
        let operator = axes.find(Dimension::Operator);
        let takes_all = sieve.lines.is_none() && sieve.operators.is_none();
        if takes_all && line.is_some() && operator.is_none() {
            return Columns::All;
        }
        let operator_of = |line| u32::from(self.dictionary.operator_of_line(line));
        let wanted = (0..bound(self.dictionary.lines()))
            .filter(|line| sieve.takes_line(*line) && sieve.takes_operator(operator_of(*line)));
        let cell = |number| offset(line, number) + offset(operator, operator_of(number));
        Columns::Picked {
            columns: wanted.map(|number| (number, cell(number))).collect(),
            width: self.dictionary.lines(),
        }
    }

    fn stop_columns(&self, sieve: &Sieve, axes: &Axes) -> Columns {
        let stop = axes.find(Dimension::Stop);
        if sieve.stops.is_none() && stop.is_some() {
            return Columns::All;
        }
        let wanted = (0..bound(self.dictionary.stops())).filter(|stop| sieve.takes_stop(*stop));
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
        sieve: &Sieve,
        axes: &Axes,
    ) -> Columns {
        let slots = bound(self.tallies.attribute(attribute).slots);
        let mask = plan::mask(filter, attribute);
        let operator = axes.find(Dimension::Operator);
        let value = plan::dimension_of(attribute).and_then(|dimension| axes.find(dimension));
        let has_all_axes = operator.is_some() && (value.is_some() || slots == 1);
        if has_all_axes && mask == 0 && sieve.operators.is_none() {
            return Columns::All;
        }
        let mut columns = Vec::new();
        for number in 0..bound(self.dictionary.operators()) {
            if !sieve.takes_operator(number) {
                continue;
            }
            let wanted = (0..slots).filter(|slot| {
                sieve::takes_one(mask, u8::try_from(*slot).expect("taxonomies are short"))
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
fn offset(axis: Option<(&super::axis::Axis, u64)>, number: u32) -> usize {
    axis.map_or(0, |(axis, stride)| {
        usize::try_from(u64::from(axis.place(number)) * stride).expect("dense cells are bounded")
    })
}

/// Which cubes hold the incidents of a window, each incident once.
enum Cubes<'a> {
    /// Those known to the hour.
    Hours { hour: &'a Cube },
    /// Whole days from the one, the hours of other days from the other.
    WholeDays {
        day: &'a Cube,
        hour: Option<&'a Cube>,
    },
    /// Those known to the hour, and those known only to the day.
    HoursAndDays { hour: &'a Cube, day_only: &'a Cube },
}

impl Cubes<'_> {
    /// Calls `each` with every row and the combination of times that it counts in.
    fn read(&self, clock: &Clock, mut each: impl FnMut(usize, ledger::Cells<'_>)) {
        let mut read = |cube: &Cube, bucket: u32, cell: u32| {
            if cell == SKIP {
                return;
            }
            if let Some(row) = cube.row(bucket) {
                each(cell as usize, row);
            }
        };
        for day in &clock.days {
            let bucket = day.day.0.cast_unsigned();
            let hour = match self {
                Self::WholeDays { day: cube, .. } if day.is_whole => {
                    read(cube, bucket, day.cell);
                    continue;
                }
                Self::WholeDays { hour, .. } => *hour,
                Self::Hours { hour } => Some(*hour),
                Self::HoursAndDays { hour, day_only } => {
                    if day.is_whole {
                        read(day_only, bucket, day.cell);
                    }
                    Some(*hour)
                }
            };
            for (cube, hour) in hour.into_iter().flat_map(|cube| {
                let hours = day.hours.0..day.hours.1;
                hours.map(move |hour| (cube, hour))
            }) {
                read(cube, hour, clock.hour(hour));
            }
        }
    }
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
    fn add_up(&self, cubes: &Cubes<'_>, clock: &Clock, width: usize) -> Vec<u32> {
        let mut cells = vec![0; clock.cells * width];
        match self {
            Self::All => cubes.read(clock, |cell, row| {
                row.add_to(&mut cells[cell * width..][..width]);
            }),
            Self::Picked {
                columns,
                width: all,
            } if self.pays_to_stage(clock) => {
                let mut staged = vec![0; clock.cells * all];
                cubes.read(clock, |cell, row| {
                    row.add_to(&mut staged[cell * all..][..*all]);
                });
                let times = staged.chunks_exact(*all).zip(cells.chunks_exact_mut(width));
                for (staged, cells) in times {
                    for (column, cell) in columns {
                        cells[*cell] += staged[*column as usize];
                    }
                }
            }
            Self::Picked { columns, .. } => cubes.read(clock, |time, row| {
                let cells = &mut cells[time * width..][..width];
                for (column, cell) in columns {
                    cells[*cell] += row.get(*column);
                }
            }),
        }
        cells
    }

    fn pays_to_stage(&self, clock: &Clock) -> bool {
        let Self::Picked { columns, width } = self else {
            return false;
        };
        let buckets = clock.hours_and_days();
        *width <= columns.len() * STAGED_PART
            && clock.cells * STAGED_BUCKETS_MIN <= buckets
            && (clock.cells * width) as u64 <= DENSE_CELLS_MAX
    }
}
