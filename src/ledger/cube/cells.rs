//! Reading a row of a cube, however wide its counts are.

use super::{COUNT_BITS, COUNT_MAX};

/// The columns of one bucket; those beyond the end are 0.
#[derive(Clone, Copy, Debug)]
pub enum Cells<'a> {
    /// Counts up to 255.
    U8(&'a [u8]),
    /// Counts up to 65,535.
    U16(&'a [u16]),
    /// Greater counts.
    U32(&'a [u32]),
    /// Only those that are not 0, each packed with its column.
    Sparse(&'a [u32]),
}

impl<'a> Cells<'a> {
    /// How many columns are told; those beyond are 0.
    pub fn len(self) -> usize {
        match self {
            Self::U8(cells) => cells.len(),
            Self::U16(cells) => cells.len(),
            Self::U32(cells) => cells.len(),
            Self::Sparse(cells) => cells
                .last()
                .map_or(0, |cell| (cell >> COUNT_BITS) as usize + 1),
        }
    }

    /// Whether no columns are told.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The count in one column.
    pub fn get(self, column: u32) -> u32 {
        let column = column as usize;
        match self {
            Self::U8(cells) => cells.get(column).map_or(0, |count| u32::from(*count)),
            Self::U16(cells) => cells.get(column).map_or(0, |count| u32::from(*count)),
            Self::U32(cells) => cells.get(column).copied().unwrap_or(0),
            Self::Sparse(cells) => {
                let wanted = u32::try_from(column).expect("it was 32 bits");
                find(cells, wanted).map_or(0, |place| cells[place] & COUNT_MAX)
            }
        }
    }

    /// Adds each column to the sum of the same index; columns beyond the sums are left out.
    pub fn add_to(self, sums: &mut [u32]) {
        match self {
            Self::U8(cells) => add_cells(cells, sums),
            Self::U16(cells) => add_cells(cells, sums),
            Self::U32(cells) => add_cells(cells, sums),
            Self::Sparse(cells) => {
                for cell in cells {
                    if let Some(sum) = sums.get_mut((cell >> COUNT_BITS) as usize) {
                        *sum += cell & COUNT_MAX;
                    }
                }
            }
        }
    }

    /// Takes each column off the sum of the same index; columns beyond the sums are left out.
    pub fn take_from(self, sums: &mut [u32]) {
        match self {
            Self::U8(cells) => take_cells(cells, sums),
            Self::U16(cells) => take_cells(cells, sums),
            Self::U32(cells) => take_cells(cells, sums),
            Self::Sparse(cells) => {
                for cell in cells {
                    if let Some(sum) = sums.get_mut((cell >> COUNT_BITS) as usize) {
                        *sum -= cell & COUNT_MAX;
                    }
                }
            }
        }
    }

    /// The same of the columns whose mask has every bit; that of the others has none, or is
    /// not there.
    pub fn take_masked(self, sums: &mut [u32], masks: &[u32]) {
        match self {
            Self::U8(cells) => take_masked_cells(cells, sums, masks),
            Self::U16(cells) => take_masked_cells(cells, sums, masks),
            Self::U32(cells) => take_masked_cells(cells, sums, masks),
            Self::Sparse(cells) => {
                for cell in cells {
                    let column = (cell >> COUNT_BITS) as usize;
                    if let (Some(sum), Some(mask)) = (sums.get_mut(column), masks.get(column)) {
                        *sum -= cell & COUNT_MAX & mask;
                    }
                }
            }
        }
    }

    /// Sum over all columns.
    pub fn total(self) -> u64 {
        match self {
            Self::U8(cells) => sum_cells(cells),
            Self::U16(cells) => sum_cells(cells),
            Self::U32(cells) => sum_cells(cells),
            Self::Sparse(cells) => cells.iter().map(|cell| u64::from(cell & COUNT_MAX)).sum(),
        }
    }

    /// Calls `each` for the columns that are not 0, rising, with their counts.
    pub fn for_each_nonzero(self, mut each: impl FnMut(u32, u32)) {
        match self {
            Self::U8(cells) => each_nonzero(cells, each),
            Self::U16(cells) => each_nonzero(cells, each),
            Self::U32(cells) => each_nonzero(cells, each),
            Self::Sparse(cells) => {
                for cell in cells {
                    each(cell >> COUNT_BITS, cell & COUNT_MAX);
                }
            }
        }
    }
}

fn take_cells<T: Copy + Into<u32>>(cells: &[T], sums: &mut [u32]) {
    for (sum, cell) in sums.iter_mut().zip(cells) {
        *sum -= (*cell).into();
    }
}

fn take_masked_cells<T: Copy + Into<u32>>(cells: &[T], sums: &mut [u32], masks: &[u32]) {
    for ((sum, cell), mask) in sums.iter_mut().zip(cells).zip(masks) {
        let count: u32 = (*cell).into();
        *sum -= count & mask;
    }
}

fn each_nonzero<T: Copy + Into<u32>>(cells: &[T], mut each: impl FnMut(u32, u32)) {
    for (column, cell) in (0..).zip(cells) {
        let count: u32 = (*cell).into();
        if 0 < count {
            each(column, count);
        }
    }
}

// Plain loops over slices of one width, which the compiler turns into vector instructions.
fn add_cells<T: Copy + Into<u32>>(cells: &[T], sums: &mut [u32]) {
    for (sum, cell) in sums.iter_mut().zip(cells) {
        *sum += (*cell).into();
    }
}

/// Cells summed at once in 32 bits: so few that even the greatest counts of 16 bits fit.
const SUM_CELLS: usize = 4_096;

fn sum_cells<T: Copy + Into<u32>>(cells: &[T]) -> u64 {
    if size_of::<u32>() <= size_of::<T>() {
        return cells.iter().map(|cell| u64::from((*cell).into())).sum();
    }
    let sum = |cells: &[T]| cells.iter().map(|cell| (*cell).into()).sum::<u32>();
    cells
        .chunks(SUM_CELLS)
        .map(|cells| u64::from(sum(cells)))
        .sum()
}

/// The place of a column in a sparse row, or where it would be.
pub(super) fn find(cells: &[u32], column: u32) -> Result<usize, usize> {
    cells.binary_search_by_key(&column, |cell| cell >> COUNT_BITS)
}
