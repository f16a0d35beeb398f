//! The rows of a page as numbers, to find the row of a report and the rows of a tap count.

use hashbrown::{HashMap, HashSet};

use crate::domain::limits::DIMENSIONS_MAX;
use crate::domain::{Calendar, Dimension, LocalDay, Question, Row};
use crate::ledger::Dictionary;

use super::super::Figure;
use super::super::axis::number_of;
use super::super::counter::{Values, values};
use super::coverage::When;
use super::refusals;

/// Numbers of dictionary, taxonomy or calendar, in the order asked for; hours of day from 1.
pub(super) type Numbers = [u32; DIMENSIONS_MAX];

/// Where the taps of a row are added up.
pub(super) struct RowKeys {
    by: Vec<Dimension>,
    rows: HashMap<Numbers, u32>,
    /// In the order of the page.
    numbers: Vec<Numbers>,
    /// By what taps can be told of a row's numbers.
    cells: HashMap<Numbers, u32>,
    cell_of_row: Vec<u32>,
}

impl RowKeys {
    pub fn new(question: &Question, figures: &[Figure], dictionary: &Dictionary) -> Self {
        let by = question.by.dimensions().to_vec();
        let numbers = |figure: &Figure| {
            let mut numbers = Numbers::default();
            for (number, (dimension, key)) in numbers.iter_mut().zip(by.iter().zip(&figure.keys)) {
                *number = number_of(*dimension, key, dictionary);
            }
            numbers
        };
        let numbers = figures.iter().map(numbers).collect();
        Self::of(by, numbers)
    }

    fn of(by: Vec<Dimension>, numbers: Vec<Numbers>) -> Self {
        let mut cells = HashMap::new();
        let mut cell_of_row = Vec::with_capacity(numbers.len());
        for row in &numbers {
            let key = told_part(&by, row);
            let next = u32::try_from(cells.len()).expect("a page is bounded");
            cell_of_row.push(*cells.entry(key).or_insert(next));
        }
        Self {
            rows: (0..)
                .zip(&numbers)
                .map(|(row, numbers)| (*numbers, row))
                .collect(),
            by,
            numbers,
            cells,
            cell_of_row,
        }
    }

    /// What taps can be told of the rows: a row for each of their cells, in the order of cells.
    pub fn of_taps(&self) -> Self {
        let is_kept: Vec<bool> = self.by.iter().copied().map(is_told).collect();
        let kept = |place: &usize| is_kept[*place];
        let mut rows = vec![Numbers::default(); self.cells.len()];
        for (told, cell) in &self.cells {
            let row = &mut rows[*cell as usize];
            let places = (0..self.by.len()).filter(kept);
            for (number, place) in row.iter_mut().zip(places) {
                *number = told[place];
            }
        }
        let by = self.by.iter().copied();
        Self::of(by.filter(|dimension| is_told(*dimension)).collect(), rows)
    }

    /// How many cells of memory the sums of all rows take at most.
    pub fn weight(&self, question: &Question) -> u64 {
        let has_day = self.by.contains(&Dimension::Day);
        let days = if has_day {
            1
        } else {
            question.window.days().count() as u64 + 1
        };
        let all_refusals = match refusals::question_of_all(question) {
            Some(_) => self.cells.len() as u64 + 1,
            None => 0,
        };
        // A day and its taps, and a day's reports of three kinds.
        days * (7 * (self.numbers.len() as u64 + 1) + 3 * all_refusals)
    }

    /// The row of all reports, after those of the page.
    pub fn total(&self) -> usize {
        self.numbers.len()
    }

    /// The numbers of the rows, in the order of the page.
    pub fn rows(&self) -> &[Numbers] {
        &self.numbers
    }

    /// Cells of taps, that of all taps included.
    pub fn cells(&self) -> usize {
        self.cells.len() + 1
    }

    /// The cell of all taps.
    pub fn total_cell(&self) -> u32 {
        u32::try_from(self.cells.len()).expect("a page is bounded")
    }

    /// The cell of a row's taps.
    pub fn tap_cell(&self, row: usize) -> u32 {
        let cell = self.cell_of_row.get(row).copied();
        cell.unwrap_or_else(|| self.total_cell())
    }

    /// The cell of a count of taps, besides that of all; `None` if it is of no row.
    pub fn cell(&self, scope: &Scope, when: When) -> Option<u32> {
        self.cells.get(&tap_numbers(&self.by, scope, when)).copied()
    }

    /// What taps can be told of a row, as `tap_numbers` gives it; `None` for all rows
    /// together.
    pub fn told_part(&self, row: usize) -> Option<Numbers> {
        let row = self.numbers.get(row)?;
        Some(told_part(&self.by, row))
    }

    /// The hour of day that a row is about, if rows tell it.
    pub fn hour_of_day(&self, row: usize) -> Option<u8> {
        let is_hour = |dimension: &Dimension| *dimension == Dimension::HourOfDay;
        let place = self.by.iter().position(is_hour)?;
        let hour = self.numbers.get(row)?[place].checked_sub(1)?;
        u8::try_from(hour).ok()
    }

    /// Whether rows tell lines or stops apart.
    pub fn tells_scopes(&self) -> bool {
        self.by.contains(&Dimension::Line) || self.by.contains(&Dimension::Stop)
    }

    /// The lines and stops of all rows; 0 where rows do not tell them.
    pub fn scopes(&self) -> HashSet<(u32, u32)> {
        let number = |numbers: &Numbers, wanted| {
            let place = self.by.iter().position(|dimension| *dimension == wanted);
            place.map_or(0, |place| numbers[place])
        };
        let rows = self.numbers.iter();
        rows.map(|row| (number(row, Dimension::Line), number(row, Dimension::Stop)))
            .collect()
    }

    /// What rows tell of a feed: its operator and its kind of tap; 0 for what they do not.
    pub fn feed_scope(&self, operator: u16, kind: u8) -> (u16, u8) {
        let tells = |dimension| self.by.contains(&dimension);
        (
            if tells(Dimension::Operator) {
                operator
            } else {
                0
            },
            if tells(Dimension::TapKind) { kind } else { 0 },
        )
    }

    /// Calls `each` with the row of all reports, and every row of the page that a report stands in.
    pub fn each_row(&self, row: &Row, mut each: impl FnMut(usize)) {
        each(self.total());
        let mut numbers = Numbers::default();
        self.each_from(0, row, &mut numbers, &mut each);
    }

    fn each_from(
        &self,
        place: usize,
        row: &Row,
        numbers: &mut Numbers,
        each: &mut impl FnMut(usize),
    ) {
        let Some(dimension) = self.by.get(place) else {
            if let Some(row) = self.rows.get(numbers) {
                each(*row as usize);
            }
            return;
        };
        match values(*dimension, row) {
            Values::One(0) | Values::Set(0) => {}
            Values::One(number) => {
                numbers[place] = number;
                self.each_from(place + 1, row, numbers, each);
            }
            Values::Set(mut bits) => {
                while bits != 0 {
                    numbers[place] = bits.trailing_zeros();
                    self.each_from(place + 1, row, numbers, each);
                    bits &= bits - 1;
                }
            }
        }
    }

    /// Numbers with those of dates alone.
    pub fn dates(&self, number: impl Fn(usize, Dimension) -> u32) -> Numbers {
        let mut numbers = Numbers::default();
        for (place, dimension) in self.by.iter().enumerate() {
            if matches!(
                dimension,
                Dimension::Weekday | Dimension::Day | Dimension::Month
            ) {
                numbers[place] = number(place, *dimension);
            }
        }
        numbers
    }
}

/// Whose taps, as numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub operator: u16,
    pub line: u32,
    pub stop: u32,
    /// The kind of tap, if it is of one only.
    pub kind: u8,
}

/// What rows can tell apart of a count of taps.
pub(super) fn tap_numbers(by: &[Dimension], scope: &Scope, when: When) -> Numbers {
    let mut numbers = Numbers::default();
    for (number, dimension) in numbers.iter_mut().zip(by) {
        *number = match dimension {
            Dimension::Operator => scope.operator.into(),
            Dimension::Line => scope.line,
            Dimension::Stop => scope.stop,
            Dimension::TapKind => scope.kind.into(),
            Dimension::HourOfDay => when.hour_of_day.map_or(0, |hour| u32::from(hour) + 1),
            Dimension::Weekday | Dimension::Day | Dimension::Month => {
                date_number(*dimension, when.day)
            }
            _ => 0,
        };
    }
    numbers
}

/// A row's numbers without those that taps cannot be told by.
fn told_part(by: &[Dimension], row: &Numbers) -> Numbers {
    let mut told = *row;
    for (number, dimension) in told.iter_mut().zip(by) {
        if !is_told(*dimension) {
            *number = 0;
        }
    }
    told
}

/// Whether taps can be told by this dimension. By the others, which are about reports alone,
/// all rows share their taps.
pub(super) fn is_told(dimension: Dimension) -> bool {
    matches!(
        dimension,
        Dimension::Operator
            | Dimension::Line
            | Dimension::Stop
            | Dimension::TapKind
            | Dimension::HourOfDay
            | Dimension::Weekday
            | Dimension::Day
            | Dimension::Month
    )
}

/// The number of a day for a dimension of dates.
pub(super) fn date_number(dimension: Dimension, day: LocalDay) -> u32 {
    match dimension {
        Dimension::Weekday => day.weekday().into(),
        Dimension::Day => day.0.cast_unsigned(),
        _ => Calendar::get().month(day).0.cast_unsigned(),
    }
}
