//! From the rows of a block to the cells that they are counted in, column by column.
//!
//! Each column is turned into the part that it has in the number of a row's cell, by a
//! table made once for the question. Two bits above all cells tell that a row does not count,
//! or that it stands in no row of the answer.

use crate::domain::{Basis, Dimension, Question};
use crate::ledger::Dictionary;
use crate::store::{Block, Columns};

use super::axis::{Axes, slots};
use super::clock::{Clock, TimeTable};
use super::row_filter::{self, RowFilter};

/// Of a row that does not count.
pub(super) const OUT: u64 = 1 << 63;
/// Of a row with a value that is not known.
pub(super) const UNKNOWN: u64 = 1 << 62;
const CELL: u64 = UNKNOWN - 1;
/// Tells the cells of rows.
pub(super) struct Sorter {
    /// The columns that it needs.
    pub(super) columns: Columns,
    times: TimeTable,
    width: u64,
    basis: Basis,
    /// The part of each number in the cell, for columns that matter.
    tables: Vec<(Dimension, Vec<u64>)>,
    /// The sets that the filter restricts.
    masks: Vec<(Dimension, u16)>,
    /// The sets that are broken down, with their strides.
    expanded: Vec<(Dimension, u64)>,
}

const SETS: [Dimension; 3] = [Dimension::Cause, Dimension::StaffAct, Dimension::Outcome];
const SINGLES: [Dimension; 7] = [
    Dimension::Operator,
    Dimension::Line,
    Dimension::Stop,
    Dimension::Mode,
    Dimension::CardKind,
    Dimension::Signal,
    Dimension::TapKind,
];

impl Sorter {
    pub(super) fn new(question: &Question, axes: &Axes, dictionary: &Dictionary) -> Self {
        let filter = &question.filter;
        let row_filter = RowFilter::new(filter, dictionary);
        let mut sorter = Self {
            columns: Columns::TIME | Columns::BASIS,
            times: TimeTable::new(question.window, &Clock::new(question, axes)),
            width: axes.width,
            basis: filter.basis,
            tables: Vec::new(),
            masks: Vec::new(),
            expanded: Vec::new(),
        };
        for dimension in SINGLES {
            if let Some(table) = table(dimension, &row_filter, axes, dictionary) {
                sorter.columns |= column(dimension);
                sorter.tables.push((dimension, table));
            }
        }
        for dimension in SETS {
            let mask = row_filter.mask(dimension);
            if mask != 0 {
                sorter.columns |= column(dimension);
                sorter.masks.push((dimension, mask));
            }
            if let Some((_, stride)) = axes.find(dimension) {
                sorter.columns |= column(dimension);
                sorter.expanded.push((dimension, stride));
            }
        }
        sorter
    }

    /// The cell of each row of the block, as far as its sets do not matter.
    pub(super) fn sort(&self, block: &Block, cells: &mut Vec<u64>) {
        cells.clear();
        let rows = block.times().iter().zip(block.bases());
        cells.extend(rows.map(|(time, basis)| match self.times.cell(*time) {
            Some((cell, is_known)) if *basis == self.basis => {
                let flag = if is_known { 0 } else { UNKNOWN };
                (u64::from(cell) * self.width) | flag
            }
            _ => OUT,
        }));
        for (dimension, table) in &self.tables {
            match dimension {
                Dimension::Operator => add(cells, table, block.operators()),
                Dimension::Line => add(cells, table, block.lines()),
                Dimension::Stop => add(cells, table, block.stops()),
                Dimension::Mode => add(cells, table, block.modes()),
                Dimension::CardKind => add(cells, table, block.card_kinds()),
                Dimension::Signal => add(cells, table, block.signals()),
                _ => add(cells, table, block.tap_kinds()),
            }
        }
        for (dimension, mask) in &self.masks {
            for (cell, set) in cells.iter_mut().zip(set_column(block, *dimension)) {
                if set & mask == 0 {
                    *cell |= OUT;
                }
            }
        }
        for (dimension, _) in &self.expanded {
            for (cell, set) in cells.iter_mut().zip(set_column(block, *dimension)) {
                if *set == 0 {
                    *cell |= UNKNOWN;
                }
            }
        }
    }

    /// Whether sets are broken down, so that a row may count in several cells.
    pub(super) fn has_sets(&self) -> bool {
        !self.expanded.is_empty()
    }

    /// Calls `each` for every combination of values of the sets that are broken down.
    pub(super) fn expand(
        &self,
        block: &Block,
        index: usize,
        cell: u64,
        each: &mut impl FnMut(u64),
    ) {
        expand(&self.expanded, block, index, cell, each);
    }
}

fn expand(
    sets: &[(Dimension, u64)],
    block: &Block,
    index: usize,
    cell: u64,
    each: &mut impl FnMut(u64),
) {
    let Some(((dimension, stride), rest)) = sets.split_first() else {
        return each(cell);
    };
    let mut values = set_column(block, *dimension)[index];
    while values != 0 {
        let number = u64::from(values.trailing_zeros());
        expand(rest, block, index, cell + number * stride, each);
        values &= values - 1;
    }
}

/// Adds the parts of a column. Flags stay as they are or are set.
fn add<N: Copy + Into<u32>>(cells: &mut [u64], table: &[u64], numbers: &[N]) {
    for (cell, number) in cells.iter_mut().zip(numbers) {
        let number: u32 = (*number).into();
        let part = table.get(number as usize).copied().unwrap_or(OUT);
        *cell = ((*cell & CELL) + (part & CELL)) | ((*cell | part) & !CELL);
    }
}

/// The part of each number of a column in a row's cell; `None` if the column does not
/// matter.
fn table(
    dimension: Dimension,
    row_filter: &RowFilter,
    axes: &Axes,
    dictionary: &Dictionary,
) -> Option<Vec<u64>> {
    let axis = axes.find(dimension);
    let numbers = match dimension {
        Dimension::Operator => dictionary.operators(),
        Dimension::Line => dictionary.lines(),
        Dimension::Stop => dictionary.stops(),
        _ => slots(dimension),
    };
    let takes = |number: u32| match dimension {
        Dimension::Operator => row_filter.takes_operator(number),
        Dimension::Line => row_filter.takes_line(number),
        Dimension::Stop => row_filter.takes_stop(number),
        _ => row_filter::takes_one(
            row_filter.mask(dimension),
            u8::try_from(number).unwrap_or(0),
        ),
    };
    let part = |number: u32| {
        let Some((axis, stride)) = axis else {
            return 0;
        };
        match axis.place(number) {
            0 => UNKNOWN,
            place => u64::from(place) * stride,
        }
    };
    let numbers = 0..u32::try_from(numbers).expect("dictionaries are bounded");
    let takes_all = numbers.clone().all(takes);
    let matters = axis.is_some() || !takes_all;
    matters.then(|| {
        numbers
            .map(|number| if takes(number) { part(number) } else { OUT })
            .collect()
    })
}

fn set_column(block: &Block, dimension: Dimension) -> &[u16] {
    match dimension {
        Dimension::Cause => block.causes(),
        Dimension::StaffAct => block.staff_acts(),
        _ => block.outcomes(),
    }
}

fn column(dimension: Dimension) -> Columns {
    match dimension {
        Dimension::Operator => Columns::OPERATOR,
        Dimension::Line => Columns::LINE,
        Dimension::Stop => Columns::STOP,
        Dimension::Mode => Columns::MODE,
        Dimension::Cause => Columns::CAUSES,
        Dimension::CardKind => Columns::CARD_KIND,
        Dimension::Signal => Columns::SIGNAL,
        Dimension::StaffAct => Columns::STAFF_ACTS,
        Dimension::Outcome => Columns::OUTCOMES,
        Dimension::TapKind => Columns::TAP_KIND,
        Dimension::HourOfDay | Dimension::Weekday | Dimension::Day | Dimension::Month => {
            Columns::TIME
        }
    }
}
