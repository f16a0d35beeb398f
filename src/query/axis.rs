//! The axes of an answer: places for the values of each dimension asked for, and the
//! arithmetic from places to cells.
//!
//! Place 0 of every axis stands for "not known". Cells are stored with the dimensions of
//! time outermost and lines or stops innermost, whatever order was asked for, so that a row
//! of a cube is added to adjacent cells.

use std::borrow::Cow;

use crate::domain::limits::DIMENSIONS_MAX;
use crate::domain::taxonomy::{
    CardKind, Cause, Mode, Outcome, Signal, StaffAct, TapKind, Taxonomy,
};
use crate::domain::time::LocalMonth;
use crate::domain::{Calendar, Dimension, Hour, LocalDay, Question, Window};
use crate::ledger::Dictionary;

use super::row_filter::RowFilter;

const HOURS_OF_DAY: u32 = 24;
const WEEKDAYS: u32 = 7;

/// The place of a value on each axis, in the order asked for; 0 beyond the last axis.
pub(super) type Places = [u32; DIMENSIONS_MAX];

/// The values of one dimension.
pub(super) struct Axis {
    pub(super) dimension: Dimension,
    /// Number of places, place 0 included.
    pub(super) size: u32,
    /// Day or month of place 1.
    first: i32,
    /// The numbers at places 1.., if the filter leaves only some; else place and number
    /// are the same.
    picked: Option<Vec<u32>>,
    /// Place by number, if only some are left.
    places: Vec<u32>,
}

impl Axis {
    fn new(
        dimension: Dimension,
        dictionary: &Dictionary,
        row_filter: &RowFilter,
        window: Window,
    ) -> Self {
        let mut axis = Self {
            dimension,
            size: 0,
            first: 0,
            picked: None,
            places: Vec::new(),
        };
        axis.size = match dimension {
            Dimension::Operator => count(dictionary.operators()),
            Dimension::Line => count(dictionary.lines()),
            Dimension::Stop => count(dictionary.stops()),
            Dimension::HourOfDay => 1 + HOURS_OF_DAY,
            Dimension::Weekday => 1 + WEEKDAYS,
            Dimension::Day | Dimension::Month => axis.spread_over(window),
            _ => count(slots(dimension)),
        };
        let numbers = 1..axis.size;
        match dimension {
            Dimension::Operator if row_filter.operators.is_some() => {
                axis.pick(numbers.filter(|number| row_filter.takes_operator(*number)));
            }
            Dimension::Line if row_filter.lines.is_some() || row_filter.operators.is_some() => {
                axis.pick(numbers.filter(|line| {
                    row_filter.takes_line(*line)
                        && row_filter.takes_operator(u32::from(dictionary.operator_of_line(*line)))
                }));
            }
            Dimension::Stop if row_filter.stops.is_some() => {
                axis.pick(numbers.filter(|number| row_filter.takes_stop(*number)));
            }
            _ => {}
        }
        axis
    }

    fn spread_over(&mut self, window: Window) -> u32 {
        let calendar = Calendar::get();
        let first = calendar.day(window.start());
        let last = calendar.day(Hour(window.end().0 - 1));
        let last = if self.dimension == Dimension::Day {
            self.first = first.0;
            last.0
        } else {
            self.first = calendar.month(first).0;
            calendar.month(last).0
        };
        u32::try_from(last - self.first).expect("a window is not empty") + 2
    }

    fn pick(&mut self, numbers: impl Iterator<Item = u32>) {
        let picked: Vec<u32> = numbers.collect();
        self.places = vec![0; self.size as usize];
        for (place, number) in (1..).zip(&picked) {
            self.places[*number as usize] = place;
        }
        self.size = count(picked.len()) + 1;
        self.picked = Some(picked);
    }

    /// The place of a number of the dictionary or of a taxonomy. Numbers that the filter
    /// leaves out, or that are beyond the axis, have place 0.
    pub(super) fn place(&self, number: u32) -> u32 {
        match &self.picked {
            Some(_) => self.places.get(number as usize).copied().unwrap_or(0),
            None if number < self.size => number,
            None => 0,
        }
    }

    /// The day or month at place 1.
    pub(super) fn first_date(&self) -> i32 {
        self.first
    }

    /// The place of a day or month.
    pub(super) fn place_of_date(&self, date: i32) -> u32 {
        u32::try_from(date - self.first + 1).expect("inside the window of this axis")
    }

    /// The place of a key that an answer gave; `None` if it is not on this axis.
    fn place_of_key(&self, key: &str, dictionary: &Dictionary) -> Option<u32> {
        let number = number_of(self.dimension, key, dictionary);
        let place = match self.dimension {
            Dimension::Day | Dimension::Month => {
                let place = i64::from(number.cast_signed()) - i64::from(self.first) + 1;
                u32::try_from(place).ok().filter(|place| *place < self.size)
            }
            _ => Some(self.place(number)),
        };
        place.filter(|place| *place != 0)
    }

    /// The number of the dictionary or of a taxonomy at a place other than 0.
    pub(super) fn number(&self, place: u32) -> u32 {
        match &self.picked {
            Some(picked) => picked[place as usize - 1],
            None => place,
        }
    }

    /// Whether places rise as the texts of their keys do.
    pub(super) fn is_sorted(&self) -> bool {
        is_time(self.dimension)
    }

    /// The key at a place other than 0.
    pub(super) fn key<'a>(&self, place: u32, dictionary: &'a Dictionary) -> Cow<'a, str> {
        let number = self.number(place);
        match self.dimension {
            Dimension::Day | Dimension::Month => {
                let offset = i32::try_from(place).expect("days and months are few");
                date_key(self.dimension, self.first + offset - 1)
            }
            dimension => key(dimension, number, dictionary),
        }
    }
}

/// The axes of one question.
pub(super) struct Axes {
    /// In the order asked for.
    pub(super) asked: Vec<Axis>,
    /// Distance between cells of adjacent places, for each.
    pub(super) strides: Vec<u64>,
    /// Cells in all.
    pub(super) cells: u64,
    /// Cells for each combination of times.
    pub(super) width: u64,
}

impl Axes {
    pub(super) fn new(question: &Question, dictionary: &Dictionary) -> Self {
        let row_filter = RowFilter::new(&question.filter, dictionary);
        let axis =
            |dimension: &Dimension| Axis::new(*dimension, dictionary, &row_filter, question.window);
        let asked: Vec<Axis> = question.by.dimensions().iter().map(axis).collect();
        let mut outermost_first: Vec<usize> = (0..asked.len()).collect();
        outermost_first.sort_by_key(|axis| nesting(asked[*axis].dimension));
        let mut strides = vec![0; asked.len()];
        let (mut cells, mut width) = (1, 1);
        for axis in outermost_first.iter().rev() {
            strides[*axis] = cells;
            cells *= u64::from(asked[*axis].size);
            if !is_time(asked[*axis].dimension) {
                width = cells;
            }
        }
        Self {
            asked,
            strides,
            cells,
            width,
        }
    }

    /// The axis of a dimension, with its stride.
    pub(super) fn find(&self, dimension: Dimension) -> Option<(&Axis, u64)> {
        let mut axes = self.asked.iter().zip(&self.strides);
        let (axis, stride) = axes.find(|(axis, _)| axis.dimension == dimension)?;
        Some((axis, *stride))
    }

    /// The cell of a row with these keys; `None` if no incident of it can have been counted.
    pub(super) fn cell(&self, keys: &[String], dictionary: &Dictionary) -> Option<u64> {
        let mut cell = 0;
        for (key, (axis, stride)) in keys.iter().zip(self.asked.iter().zip(&self.strides)) {
            let place = axis.place_of_key(key, dictionary)?;
            cell += u64::from(place) * stride;
        }
        Some(cell)
    }

    /// The places of a cell.
    pub(super) fn places(&self, cell: u64) -> Places {
        let mut places = [0; DIMENSIONS_MAX];
        for (place, (axis, stride)) in places.iter_mut().zip(self.asked.iter().zip(&self.strides)) {
            let wide = cell / stride % u64::from(axis.size);
            *place = u32::try_from(wide).expect("less than the axis' size");
        }
        places
    }
}

/// Whether a dimension is one of time.
pub(super) fn is_time(dimension: Dimension) -> bool {
    matches!(
        dimension,
        Dimension::HourOfDay | Dimension::Weekday | Dimension::Day | Dimension::Month
    )
}

/// How far inside the cells a dimension is stored.
fn nesting(dimension: Dimension) -> u8 {
    match dimension {
        Dimension::HourOfDay | Dimension::Weekday | Dimension::Day | Dimension::Month => 0,
        Dimension::Operator => 1,
        Dimension::Stop => 3,
        Dimension::Line => 4,
        _ => 2,
    }
}

/// Numbers of a dimension that is a taxonomy, 0 included; 0 for other dimensions.
pub(super) fn slots(dimension: Dimension) -> usize {
    match dimension {
        Dimension::Mode => Mode::slots(),
        Dimension::Cause => Cause::slots(),
        Dimension::CardKind => CardKind::slots(),
        Dimension::Signal => Signal::slots(),
        Dimension::StaffAct => StaffAct::slots(),
        Dimension::Outcome => Outcome::slots(),
        Dimension::TapKind => TapKind::slots(),
        _ => 0,
    }
}

/// The key of a number, other than 0, of any dimension but day and month. Hours of day are
/// numbered from 1.
pub(super) fn key(dimension: Dimension, number: u32, dictionary: &Dictionary) -> Cow<'_, str> {
    let narrow = u8::try_from(number).unwrap_or(0);
    match dimension {
        Dimension::Operator => named(
            u16::try_from(number)
                .ok()
                .and_then(|number| dictionary.operator(number))
                .map(|code| code.as_str()),
        ),
        Dimension::Line => named(dictionary.line(number).map(|line| line.as_str())),
        Dimension::Stop => named(dictionary.stop(number).map(|stop| stop.as_str())),
        Dimension::Mode => chosen::<Mode>(narrow),
        Dimension::Cause => chosen::<Cause>(narrow),
        Dimension::CardKind => chosen::<CardKind>(narrow),
        Dimension::Signal => chosen::<Signal>(narrow),
        Dimension::StaffAct => chosen::<StaffAct>(narrow),
        Dimension::Outcome => chosen::<Outcome>(narrow),
        Dimension::TapKind => chosen::<TapKind>(narrow),
        Dimension::HourOfDay => format!("{:02}", number - 1).into(),
        Dimension::Weekday | Dimension::Day | Dimension::Month => number.to_string().into(),
    }
}

/// The number of a key that an answer gave, days and months as since 1970; 0 if it is none.
pub(super) fn number_of(dimension: Dimension, key: &str, dictionary: &Dictionary) -> u32 {
    match dimension {
        Dimension::Operator => dictionary.operator_number(key).map_or(0, u32::from),
        Dimension::Line => dictionary.line_number(key).unwrap_or(0),
        Dimension::Stop => dictionary.stop_number(key).unwrap_or(0),
        Dimension::Mode => number_in::<Mode>(key),
        Dimension::Cause => number_in::<Cause>(key),
        Dimension::CardKind => number_in::<CardKind>(key),
        Dimension::Signal => number_in::<Signal>(key),
        Dimension::StaffAct => number_in::<StaffAct>(key),
        Dimension::Outcome => number_in::<Outcome>(key),
        Dimension::TapKind => number_in::<TapKind>(key),
        Dimension::HourOfDay => key.parse::<u32>().map_or(0, |hour| hour + 1),
        Dimension::Weekday => key.parse().unwrap_or(0),
        Dimension::Day => LocalDay::parse(key).map_or(0, |day| day.0.cast_unsigned()),
        Dimension::Month => {
            let first = LocalDay::parse(&format!("{key}-01"));
            first.map_or(0, |day| day.month().0.cast_unsigned())
        }
    }
}

fn number_in<T: Taxonomy>(key: &str) -> u32 {
    T::from_key(key).map_or(0, |value| value.number().into())
}

/// The key of a day or month.
pub(super) fn date_key(dimension: Dimension, date: i32) -> Cow<'static, str> {
    if dimension == Dimension::Day {
        LocalDay(date).to_string().into()
    } else {
        LocalMonth(date).to_string().into()
    }
}

fn named(text: Option<&str>) -> Cow<'_, str> {
    text.expect("only numbers of this dictionary are counted")
        .into()
}

fn chosen<T: Taxonomy>(number: u8) -> Cow<'static, str> {
    T::from_number(number)
        .expect("only values of the taxonomy are counted")
        .key()
        .into()
}

fn count(places: usize) -> u32 {
    u32::try_from(places).expect("dictionaries are bounded, see limits")
}
