//! A table of counts: a row of columns for each bucket of time.
//!
//! Rows are dense and as narrow as their largest count allows: one byte a count until it
//! overflows, then two, then four. Rows of a sparse cube hold only what is not 0, four bytes
//! each, as long as that is less. Clones share their rows, sixteen at a time, until one of
//! them writes; so a clone costs about as much as copying a pointer for every sixteen rows.

mod cells;

use std::ops::Range;
use std::sync::Arc;

use crate::domain::limits::STOPS_MAX;

pub use cells::Cells;
use cells::find;

/// Rows that are shared, and copied, together.
const CHUNK_ROWS: usize = 16;
const CHUNK_BUCKETS: u32 = 16;
const _: () = assert!(CHUNK_BUCKETS as usize == CHUNK_ROWS);
/// Rows grow by a multiple of this many columns.
const COLUMNS_STEP: usize = 64;
/// A cell of a sparse row: the count in the lower bits, the column above.
const COUNT_BITS: u32 = 14;
const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;
const COLUMN_MAX: u32 = (1 << (u32::BITS - COUNT_BITS)) - 1;
const _: () = assert!(STOPS_MAX <= COLUMN_MAX as usize);
/// Sparse rows grow by an eighth, and at least by this many cells.
const CELLS_STEP: usize = 8;

/// Counts by bucket and column.
#[derive(Clone, Debug, Default)]
pub struct Cube {
    /// The first bucket of the first chunk: a multiple of `CHUNK_ROWS`.
    first: u32,
    chunks: Vec<Arc<Chunk>>,
    is_sparse: bool,
}

type Chunk = [Counts; CHUNK_ROWS];

/// The counts of one bucket, in the narrowest width that holds them. Empty if nothing was
/// ever counted.
#[derive(Clone, Debug)]
enum Counts {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    /// Columns with their counts, rising, none of them 0.
    Sparse(Vec<u32>),
}

impl Cube {
    /// Without counts; rows hold only what is not 0, where that is less.
    pub fn sparse() -> Self {
        Self {
            is_sparse: true,
            ..Self::default()
        }
    }

    /// Counts one more.
    pub fn add(&mut self, bucket: u32, column: u32) {
        self.add_all(bucket, &[column]);
    }

    /// Counts one more in each of some columns; one may stand there several times.
    pub fn add_all(&mut self, bucket: u32, columns: &[u32]) {
        if columns.is_empty() {
            return;
        }
        let is_sparse = self.is_sparse;
        let counts = self.counts_mut(bucket);
        if is_sparse && counts.len() == 0 {
            *counts = Counts::Sparse(Vec::new());
        }
        for column in columns {
            counts.add(*column);
        }
    }

    /// Sets a count that was 0, in a dense cube.
    pub fn set(&mut self, bucket: u32, column: u32, count: u32) {
        let counts = self.counts_mut(bucket);
        if counts.len() <= column as usize {
            counts.grow(column as usize);
        }
        while !counts.set(column as usize, count) {
            counts.widen();
        }
    }

    /// Counts one less. Panics if the count is 0: only a bug takes away what was never added.
    pub fn take(&mut self, bucket: u32, column: u32) {
        let cell = self.row(bucket).map_or(0, |cells| cells.get(column));
        assert!(0 < cell, "what is taken away was counted");
        self.counts_mut(bucket).decrement(column);
    }

    /// The counts of a bucket; `None` if nothing was ever counted in it.
    pub fn row(&self, bucket: u32) -> Option<Cells<'_>> {
        let index = bucket.checked_sub(self.first)? as usize;
        let cells = self.chunks.get(index / CHUNK_ROWS)?[index % CHUNK_ROWS].cells();
        (!cells.is_empty()).then_some(cells)
    }

    /// The buckets that may have rows.
    pub fn buckets(&self) -> Range<u32> {
        let rows = u32::try_from(self.chunks.len() * CHUNK_ROWS).expect("buckets have 32 bits");
        self.first..self.first + rows
    }

    /// From the first bucket that has a row to the last; empty if none has.
    pub fn used(&self) -> Range<u32> {
        let has_row = |bucket: &u32| self.row(*bucket).is_some();
        let first = self.buckets().find(has_row);
        let last = self.buckets().rfind(has_row);
        first.unwrap_or(0)..last.map_or(0, |last| last + 1)
    }

    /// A clone of the rows of these buckets, and perhaps of some next to them.
    pub fn part(&self, buckets: Range<u32>) -> Self {
        let chunk = |bucket: u32| bucket.saturating_sub(self.first) as usize / CHUNK_ROWS;
        let end = buckets.end.saturating_add(CHUNK_BUCKETS - 1);
        let end = chunk(end).min(self.chunks.len());
        let start = chunk(buckets.start).min(end);
        let skipped = u32::try_from(start * CHUNK_ROWS).expect("buckets have 32 bits");
        Self {
            first: self.first + skipped,
            chunks: self.chunks[start..end].to_vec(),
            is_sparse: self.is_sparse,
        }
    }

    /// The buckets that have rows, rising, each with its counts.
    pub fn rows(&self) -> impl Iterator<Item = (u32, Cells<'_>)> {
        self.buckets()
            .filter_map(|bucket| Some((bucket, self.row(bucket)?)))
    }

    /// Puts a whole row, replacing what was there. The counts are given as wide as can be,
    /// and kept as narrow as can be.
    pub(super) fn put_row(&mut self, bucket: u32, counts: &[u32]) {
        *self.counts_mut(bucket) = Counts::narrow(counts);
    }

    /// Moves the rows of another cube in. Where both have rows within the same sixteen
    /// buckets, the other's replace.
    pub(super) fn absorb(&mut self, other: Self) {
        let starts = (other.first..).step_by(CHUNK_ROWS);
        for (start, mut chunk) in starts.zip(other.chunks) {
            self.counts_mut(start);
            if self.is_sparse {
                Arc::make_mut(&mut chunk)
                    .iter_mut()
                    .for_each(Counts::thin_out);
            }
            self.chunks[(start - self.first) as usize / CHUNK_ROWS] = chunk;
        }
    }

    /// How much memory its rows take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let row = |counts: &Counts| match counts {
            Counts::U8(counts) => counts.capacity(),
            Counts::U16(counts) => counts.capacity() * size_of::<u16>(),
            Counts::U32(counts) | Counts::Sparse(counts) => counts.capacity() * size_of::<u32>(),
        };
        let chunk = |chunk: &Arc<Chunk>| size_of::<Chunk>() + chunk.iter().map(row).sum::<usize>();
        self.chunks.iter().map(chunk).sum()
    }

    fn counts_mut(&mut self, bucket: u32) -> &mut Counts {
        let is_inside = self.first <= bucket
            && ((bucket - self.first) as usize) < self.chunks.len() * CHUNK_ROWS;
        if !is_inside {
            self.reach(bucket);
        }
        let index = (bucket - self.first) as usize;
        &mut Arc::make_mut(&mut self.chunks[index / CHUNK_ROWS])[index % CHUNK_ROWS]
    }

    /// Makes room for a bucket, at whichever end it is missing.
    #[cold]
    fn reach(&mut self, bucket: u32) {
        let start = bucket - bucket % CHUNK_BUCKETS;
        if self.chunks.is_empty() {
            self.first = start;
        }
        if start < self.first {
            let missing = (self.first - start) as usize / CHUNK_ROWS;
            let empty = std::iter::repeat_with(Arc::<Chunk>::default).take(missing);
            self.chunks.splice(0..0, empty);
            self.first = start;
        }
        let index = (bucket - self.first) as usize / CHUNK_ROWS;
        if self.chunks.len() <= index {
            self.chunks.resize_with(index + 1, Arc::default);
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::U8(Vec::new())
    }
}

impl Counts {
    fn narrow(counts: &[u32]) -> Self {
        let used = counts.iter().rposition(|count| 0 < *count);
        let counts = &counts[..used.map_or(0, |last| last + 1)];
        let largest = counts.iter().copied().max().unwrap_or(0);
        if largest <= u8::MAX.into() {
            return Self::U8(counts.iter().copied().map(low_byte).collect());
        }
        if largest <= u16::MAX.into() {
            return Self::U16(counts.iter().copied().map(low_bytes).collect());
        }
        Self::U32(counts.to_vec())
    }

    /// Counts one more.
    #[inline]
    fn add(&mut self, column: u32) {
        if self.increment_sparse(column) {
            return;
        }
        let column = column as usize;
        if self.len() <= column {
            self.grow(column);
        }
        if !self.increment(column) {
            self.widen();
            let is_counted = self.increment(column);
            assert!(is_counted, "a wider count has room");
        }
    }

    fn cells(&self) -> Cells<'_> {
        match self {
            Self::U8(counts) => Cells::U8(counts),
            Self::U16(counts) => Cells::U16(counts),
            Self::U32(counts) => Cells::U32(counts),
            Self::Sparse(cells) => Cells::Sparse(cells),
        }
    }

    /// Counts one more in a sparse row; says `false` if it is none, or is none any more.
    #[inline]
    fn increment_sparse(&mut self, column: u32) -> bool {
        let Self::Sparse(cells) = self else {
            return false;
        };
        match find(cells, column) {
            Ok(place) if cells[place] & COUNT_MAX < COUNT_MAX => cells[place] += 1,
            Err(place) if column <= COLUMN_MAX && pays(cells, column) => {
                if cells.len() == cells.capacity() {
                    cells.reserve_exact(cells.len() / 8 + CELLS_STEP);
                }
                cells.insert(place, column << COUNT_BITS | 1);
            }
            Ok(_) | Err(_) => {
                *self = self.dense();
                return false;
            }
        }
        true
    }

    /// The same as a dense row.
    #[cold]
    fn dense(&self) -> Self {
        let mut wide = vec![0; self.len()];
        self.cells().add_to(&mut wide);
        Self::narrow(&wide)
    }

    /// Makes a row sparse, where that is less.
    fn thin_out(&mut self) {
        let mut cells = Vec::new();
        let mut fits = true;
        self.cells().for_each_nonzero(|column, count| {
            fits = fits && column <= COLUMN_MAX && count <= COUNT_MAX;
            cells.push(column << COUNT_BITS | count & COUNT_MAX);
        });
        let bytes = match self {
            Self::U16(counts) => counts.len() * size_of::<u16>(),
            Self::U8(counts) => counts.len(),
            Self::U32(_) | Self::Sparse(_) => 0,
        };
        if fits && cells.len() * size_of::<u32>() < bytes {
            cells.shrink_to_fit();
            *self = Self::Sparse(cells);
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.cells().len()
    }

    /// Counts one more in a column within the row; says `false` if the width does not allow.
    #[inline]
    fn increment(&mut self, column: usize) -> bool {
        match self {
            Self::U8(counts) => step(&mut counts[column], u8::checked_add, 1),
            Self::U16(counts) => step(&mut counts[column], u16::checked_add, 1),
            Self::U32(counts) => step(&mut counts[column], u32::checked_add, 1),
            Self::Sparse(_) => false,
        }
    }

    /// Sets a count in a column within the row; says `false` if the width does not allow.
    fn set(&mut self, column: usize, count: u32) -> bool {
        match self {
            Self::U8(counts) => put(&mut counts[column], count),
            Self::U16(counts) => put(&mut counts[column], count),
            Self::U32(counts) => put(&mut counts[column], count),
            Self::Sparse(_) => false,
        }
    }

    fn decrement(&mut self, column: u32) {
        let index = column as usize;
        match self {
            Self::U8(counts) => counts[index] -= 1,
            Self::U16(counts) => counts[index] -= 1,
            Self::U32(counts) => counts[index] -= 1,
            Self::Sparse(cells) => {
                let place = find(cells, column).expect("the count is not 0");
                cells[place] -= 1;
                if cells[place] & COUNT_MAX == 0 {
                    cells.remove(place);
                }
            }
        }
    }

    #[cold]
    fn widen(&mut self) {
        *self = match self {
            Self::U8(counts) => Self::U16(counts.iter().copied().map(u16::from).collect()),
            Self::U16(counts) => Self::U32(counts.iter().copied().map(u32::from).collect()),
            Self::U32(_) => panic!("more incidents than positions"),
            Self::Sparse(_) => self.dense(),
        };
    }

    /// Makes the row long enough for a column.
    #[cold]
    fn grow(&mut self, column: usize) {
        let len = (column + 1).next_multiple_of(COLUMNS_STEP);
        match self {
            Self::U8(counts) => lengthen(counts, len),
            Self::U16(counts) => lengthen(counts, len),
            Self::U32(counts) => lengthen(counts, len),
            Self::Sparse(_) => {}
        }
    }
}

/// Whether a sparse row with one more cell is less than a dense one.
fn pays(cells: &[u32], column: u32) -> bool {
    let last = cells
        .last()
        .map_or(0, |cell| cell >> COUNT_BITS)
        .max(column);
    size_of_val(cells) <= last as usize
}

fn low_byte(count: u32) -> u8 {
    count.to_le_bytes()[0]
}

fn low_bytes(count: u32) -> u16 {
    let [low, high, ..] = count.to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[inline]
fn step<T: Copy>(cell: &mut T, add: impl Fn(T, T) -> Option<T>, one: T) -> bool {
    let sum = add(*cell, one);
    if let Some(sum) = sum {
        *cell = sum;
    }
    sum.is_some()
}

fn put<T: TryFrom<u32>>(cell: &mut T, count: u32) -> bool {
    let narrow = T::try_from(count).ok();
    let fits = narrow.is_some();
    if let Some(narrow) = narrow {
        *cell = narrow;
    }
    fits
}

fn lengthen<T: Copy + Default>(counts: &mut Vec<T>, len: usize) {
    counts.reserve_exact(len - counts.len());
    counts.resize(len, T::default());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_beyond_a_byte_and_beyond_two_are_kept() {
        let mut cube = Cube::default();
        let mut expected = [0; 3];
        for (column, count) in [(0, 255), (1, 256), (2, 65_536)] {
            (0..count).for_each(|_| cube.add(500_000, column));
            expected[column as usize] = count;
        }
        let mut sums = [0; 3];
        let row = cube.row(500_000).expect("counted");
        row.add_to(&mut sums);
        assert_eq!(sums, expected);
        assert_eq!(row.total(), 255 + 256 + 65_536);
        assert!(matches!(row, Cells::U32(_)));
    }

    #[test]
    fn clone_does_not_see_what_comes_later() {
        let mut cube = Cube::default();
        cube.add(100, 3);
        let before = cube.clone();
        cube.add(100, 3);
        cube.add(90, 1);
        assert_eq!(before.row(100).map(|cells| cells.get(3)), Some(1));
        assert!(before.row(90).is_none());
        assert_eq!(cube.row(100).map(|cells| cells.get(3)), Some(2));
    }

    #[test]
    fn sparse_rows_become_dense_where_that_is_less_or_a_count_is_too_great() {
        let mut cube = Cube::sparse();
        let check = |cube: &Cube, is_sparse: bool, counted: &[(u32, u32)]| {
            let row = cube.row(9).expect("counted");
            assert_eq!(matches!(row, Cells::Sparse(_)), is_sparse);
            let mut found = Vec::new();
            row.for_each_nonzero(|column, count| found.push((column, count)));
            assert_eq!(found, counted);
        };
        cube.add(9, 200_000);
        cube.add(9, 7);
        check(&cube, true, &[(7, 1), (200_000, 1)]);
        (0..COUNT_MAX).for_each(|_| cube.add(9, 7));
        check(&cube, false, &[(7, COUNT_MAX + 1), (200_000, 1)]);
        let mut cube = Cube::sparse();
        (0..50).for_each(|column| cube.add(9, column));
        let all: Vec<_> = (0..50).map(|column| (column, 1)).collect();
        check(&cube, false, &all);
    }

    #[test]
    fn what_is_taken_off_sums_is_what_is_in_the_row_where_the_mask_is_set() {
        for (mut cube, width) in [
            (Cube::sparse(), 300),
            (Cube::default(), 300),
            (Cube::default(), 70_000),
        ] {
            // One, two or four bytes a count.
            let counts = [(0, 1), (7, width / 2), (290, 3)];
            for (column, count) in counts {
                (0..count).for_each(|_| cube.add(9, column));
            }
            let row = cube.row(9).expect("counted");
            // The sums end before the row does.
            let mut sums = vec![100_000; 290];
            row.take_from(&mut sums);
            assert_eq!((sums[0], sums[7]), (100_000 - 1, 100_000 - width / 2));
            assert_eq!(sums.iter().filter(|sum| **sum == 100_000).count(), 288);
            let mut masks = vec![u32::MAX; 200];
            masks[0] = 0;
            let mut sums = vec![100_000; 300];
            row.take_masked(&mut sums, &masks);
            assert_eq!((sums[0], sums[7]), (100_000, 100_000 - width / 2));
            assert_eq!(sums.iter().filter(|sum| **sum == 100_000).count(), 299);
        }
    }

    #[test]
    #[should_panic(expected = "was counted")]
    fn taking_what_was_never_added_panics() {
        let mut cube = Cube::default();
        cube.add(7, 1);
        cube.take(7, 2);
    }

    proptest! {
        #[test]
        fn cube_counts_as_a_map_does(
            steps in prop::collection::vec((400u32..430, 0u32..300, any::<bool>()), 0..1_600),
            is_sparse: bool,
        ) {
            let mut cube = if is_sparse { Cube::sparse() } else { Cube::default() };
            let mut map = BTreeMap::<(u32, u32), u32>::new();
            for (bucket, column, is_add) in steps {
                let count = map.entry((bucket, column)).or_default();
                if is_add {
                    *count += 1;
                    cube.add(bucket, column);
                } else if 0 < *count {
                    *count -= 1;
                    cube.take(bucket, column);
                }
            }
            map.retain(|_, count| 0 < *count);
            let mut counted = BTreeMap::new();
            for (bucket, cells) in cube.rows() {
                cells.for_each_nonzero(|column, count| {
                    counted.insert((bucket, column), count);
                });
            }
            prop_assert_eq!(&counted, &map);
            for ((bucket, column), count) in map {
                prop_assert_eq!(cube.row(bucket).map(|row| row.get(column)), Some(count));
            }
            let mut back = Cube::sparse();
            back.absorb(cube.clone());
            for (bucket, cells) in cube.rows() {
                let mut sums = [vec![0; 300], vec![0; 300]];
                cells.add_to(&mut sums[0]);
                if let Some(row) = back.row(bucket) {
                    row.add_to(&mut sums[1]);
                }
                prop_assert_eq!(&sums[0], &sums[1]);
                prop_assert_eq!(cells.total(), back.row(bucket).map_or(0, Cells::total));
            }
        }

        #[test]
        fn rows_put_whole_are_read_back(counts in prop::collection::vec(0u32..70_000, 0..200)) {
            let mut cube = Cube::default();
            cube.put_row(33, &counts);
            let expected = counts.iter().map(|count| u64::from(*count)).sum::<u64>();
            prop_assert_eq!(cube.row(33).map_or(0, Cells::total), expected);
        }
    }
}
