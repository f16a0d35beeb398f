//! Which columns of tallies count for a question, and in which rows of its page.

use hashbrown::HashMap;

use crate::domain::Question;

use super::super::axis::is_time;
use super::super::plan::{self, Source};
use super::super::row_filter::{self, RowFilter};
use super::book::RateBook;
use super::keys::Numbers;

/// Which columns count, and in which rows.
pub(super) struct Picked {
    /// Whether all columns count.
    is_all: bool,
    /// Those that count.
    columns: Vec<u32>,
    /// Those that count in rows, with their group: what rows tell of them beside time.
    grouped: Vec<(u32, u32)>,
    pub groups: usize,
    /// Where all operators count alike: columns of each, and how many of `grouped` are the
    /// first's. Then they are added up many at a time.
    pub alike: Option<(usize, usize)>,
}

impl Picked {
    pub fn new(
        book: &RateBook,
        question: &Question,
        row_filter: &RowFilter,
        groups: &HashMap<Numbers, u32>,
    ) -> Self {
        let width = u32::try_from(book.width(book.source)).expect("tallies are bounded");
        let columns: Vec<u32> = (0..width)
            .filter(|column| takes(book, question, row_filter, *column))
            .collect();
        let by = question.by.dimensions();
        let group = |column: u32| {
            let mut numbers = Numbers::default();
            for (number, dimension) in numbers.iter_mut().zip(by) {
                if !is_time(*dimension) {
                    *number = book.number(column, *dimension);
                    if *number == 0 {
                        return None;
                    }
                }
            }
            groups.get(&numbers).copied()
        };
        let grouped = columns.iter();
        let grouped: Vec<_> = grouped
            .filter_map(|column| Some((*column, group(*column)?)))
            .collect();
        Self {
            is_all: columns.len() == width as usize,
            alike: alike(book, &grouped),
            grouped,
            columns,
            groups: groups.len(),
        }
    }

    /// Adds up columns by group. `values` is as wide as the columns of an operator.
    pub fn add_up(&self, of: &[u32], values: &mut [u32], sums: &mut [u32]) {
        sums.fill(0);
        let (of, grouped) = match self.alike {
            None => (of, &self.grouped[..]),
            Some((slots, first)) => {
                values.fill(0);
                for operator in of.chunks_exact(slots) {
                    for (value, count) in values.iter_mut().zip(operator) {
                        *value += count;
                    }
                }
                (&*values, &self.grouped[..first])
            }
        };
        for (column, group) in grouped {
            sums[*group as usize] += of[*column as usize];
        }
    }

    pub fn sum(&self, of: &[u32]) -> u64 {
        if self.is_all {
            return of.iter().map(|count| u64::from(*count)).sum();
        }
        let columns = self.columns.iter();
        columns.map(|column| u64::from(of[*column as usize])).sum()
    }
}

/// See `Picked::alike`. Columns rise.
fn alike(book: &RateBook, grouped: &[(u32, u32)]) -> Option<(usize, usize)> {
    let Source::Attribute(attribute) = book.source else {
        return None;
    };
    let slots = u32::try_from(attribute.slots()).expect("taxonomies are short");
    let first = grouped.partition_point(|(column, _)| *column < slots);
    if first == 0 || grouped.len() != first * book.dictionary.operators() {
        return None;
    }
    let mut operators = (0..).zip(grouped.chunks_exact(first));
    let are_alike = operators.all(|(operator, columns): (u32, _)| {
        let mut pairs = columns.iter().zip(grouped);
        pairs.all(|((column, group), one)| (*column, *group) == (operator * slots + one.0, one.1))
    });
    are_alike.then_some((attribute.slots(), first))
}

/// Whether the filter takes a column.
fn takes(book: &RateBook, question: &Question, row_filter: &RowFilter, column: u32) -> bool {
    match book.source {
        Source::Line => {
            row_filter.takes_line(column)
                && row_filter.takes_operator(book.operator(Source::Line, column))
        }
        Source::Stop => row_filter.takes_stop(column),
        Source::Attribute(attribute) => {
            let slots = u32::try_from(attribute.slots()).expect("taxonomies are short");
            let value = u8::try_from(column % slots).expect("taxonomies are short");
            row_filter.takes_operator(column / slots)
                && row_filter::takes_one(plan::mask(&question.filter, attribute), value)
        }
    }
}
