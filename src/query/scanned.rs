//! Answers by a scan: the columns that a question needs are read from every block that may
//! matter, and rows are counted in the cells that the tallies would be added up in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;

use crate::domain::Question;
use crate::domain::limits::CELLS_IN_USE_MAX;
use crate::ledger::{LedgerError, ScanView};
use crate::store::{Block, Columns, StoreError, Summary};

use super::axis::Axes;
use super::plan::DENSE_CELLS_MAX;
use super::sorter::{OUT, Sorter, UNKNOWN};
use super::{Cells, Counts, QueryError, check_kept};

/// Blocks are numbered from 0; the open one is not numbered yet.
const OPEN_BLOCK: u32 = u32::MAX;
/// Rows that a thread counts by itself before it adds them to what all have counted.
const POT_ROWS_MAX: usize = 65_536;
/// What a map of `QUESTION_ROWS_MAX` rows and their sorting take, in cells.
const SPARSE_WEIGHT: u64 = CELLS_IN_USE_MAX / 4 * 3;

/// How many cells of memory it takes at most to scan for an answer with these axes, on so
/// many threads.
pub(super) fn weight(axes: &Axes, threads: usize) -> u64 {
    if is_dense(axes) {
        // Each thread has cells of its own, and so has the one that asks.
        axes.cells * (threads as u64 + 1)
    } else {
        SPARSE_WEIGHT
    }
}

fn is_dense(axes: &Axes) -> bool {
    axes.cells <= DENSE_CELLS_MAX
}

/// Everything that answers a question, and how many blocks were looked at. The axes are those
/// that it is counted on, with the view's dictionary.
pub(super) fn scan(
    view: &ScanView,
    question: &Question,
    axes: Axes,
    rows_max: usize,
) -> Result<(Counts, u64), QueryError> {
    check_kept(view.ended, question.window)?;
    let scan = Scan {
        view,
        sorter: Sorter::new(question, &axes, &view.dictionary),
        dense_cells: is_dense(&axes).then_some(axes.cells),
        sparse: Mutex::default(),
        rows_max,
        has_too_many: AtomicBool::new(false),
    };
    let wants = |summary: &Summary| {
        summary.has(question.filter.basis)
            && summary.may_touch(question.window)
            && !scan.has_too_many.load(Ordering::Relaxed)
    };
    let mut columns = scan.sorter.columns;
    if !view.withdrawn.is_empty() {
        columns |= Columns::POSITION;
    }
    let mut by_thread = view
        .store
        .scan(
            view.stored.clone(),
            columns,
            wants,
            || scan.thread_counts(),
            |counts, _, block| scan.count(counts, block),
        )
        .map_err(ledger_error)?;
    let mut counts = scan.thread_counts();
    let mut block = Block::new();
    let open = (!view.open.is_empty()).then(|| Block::pack(OPEN_BLOCK, &view.open));
    let pending = view
        .pending
        .iter()
        .map(|(number, bytes)| (*number, &bytes[..]));
    for (number, bytes) in pending.chain(open.iter().map(|bytes| (OPEN_BLOCK, &bytes[..]))) {
        let invalid = |source| ledger_error(StoreError::BlockInvalid { number, source });
        if wants(&Summary::read(bytes).map_err(invalid)?) {
            block.unpack_into(number, bytes, columns).map_err(invalid)?;
            scan.count(&mut counts, &block);
        }
    }
    by_thread.push(counts);
    let counts = scan.merge(by_thread);
    let blocks = counts.blocks;
    if scan.has_too_many.into_inner() {
        return Err(QueryError::TooManyRows);
    }
    let of_all = (counts.total, counts.left_out);
    if scan.dense_cells.is_some() {
        let counted = (question, axes);
        let counts = Counts::dense(counted, &view.dictionary, counts.dense, of_all);
        return Ok((counts, blocks));
    }
    let sparse = scan.sparse.into_inner();
    let sparse = sparse.unwrap_or_else(PoisonError::into_inner);
    let counts = Counts {
        axes,
        cells: Cells::Sparse(sparse.into_iter().collect()),
        total: counts.total,
        left_out: counts.left_out,
        line_days: None,
    };
    Ok((counts, blocks))
}

fn ledger_error(error: StoreError) -> QueryError {
    LedgerError::from(error).into()
}

/// A scan under way.
struct Scan<'a> {
    view: &'a ScanView,
    sorter: Sorter,
    dense_cells: Option<u64>,
    /// What all threads have counted, if not densely.
    sparse: Mutex<HashMap<u64, u32>>,
    rows_max: usize,
    has_too_many: AtomicBool,
}

/// What one thread has counted.
#[derive(Default)]
struct ThreadCounts {
    dense: Vec<u32>,
    /// What is not yet added to that of all.
    sparse: HashMap<u64, u32>,
    total: u64,
    left_out: u64,
    blocks: u64,
    /// Cells of the rows of the block in hand.
    cells: Vec<u64>,
}

impl ThreadCounts {
    /// Counts one more in a cell.
    #[inline]
    fn add(&mut self, cell: u64) {
        if self.dense.is_empty() {
            *self.sparse.entry(cell).or_default() += 1;
        } else {
            self.dense[index_of(cell)] += 1;
        }
    }
}

impl Scan<'_> {
    fn thread_counts(&self) -> ThreadCounts {
        ThreadCounts {
            dense: vec![0; index_of(self.dense_cells.unwrap_or(0))],
            ..ThreadCounts::default()
        }
    }

    fn count(&self, counts: &mut ThreadCounts, block: &Block) {
        counts.blocks += 1;
        let mut cells = std::mem::take(&mut counts.cells);
        self.sorter.sort(block, &mut cells);
        self.strike_withdrawn(block, &mut cells);
        for (index, cell) in cells.iter().enumerate() {
            if cell & OUT != 0 {
                continue;
            }
            counts.total += 1;
            if cell & UNKNOWN != 0 {
                counts.left_out += 1;
                continue;
            }
            if self.sorter.has_sets() {
                self.sorter
                    .expand(block, index, *cell, &mut |cell| counts.add(cell));
            } else {
                counts.add(*cell);
            }
        }
        counts.cells = cells;
        if POT_ROWS_MAX <= counts.sparse.len() {
            self.pour(counts);
        }
    }

    /// Adds what one thread has counted in its map to what all have.
    fn pour(&self, counts: &mut ThreadCounts) {
        let mut all = self.sparse.lock().unwrap_or_else(PoisonError::into_inner);
        for (cell, count) in counts.sparse.drain() {
            *all.entry(cell).or_default() += count;
        }
        if self.rows_max < all.len() {
            self.has_too_many.store(true, Ordering::Relaxed);
            *all = HashMap::new();
        }
    }

    fn strike_withdrawn(&self, block: &Block, cells: &mut [u64]) {
        if self.view.withdrawn.is_empty() {
            return;
        }
        let positions = block.positions();
        let (Some(first), Some(last)) = (positions.first(), positions.last()) else {
            return;
        };
        for withdrawn in self.view.withdrawn.range(*first..=*last) {
            if let Ok(index) = positions.binary_search(withdrawn) {
                cells[index] |= OUT;
            }
        }
    }

    fn merge(&self, by_thread: Vec<ThreadCounts>) -> ThreadCounts {
        let mut merged = ThreadCounts::default();
        for mut counts in by_thread {
            self.pour(&mut counts);
            merged.total += counts.total;
            merged.left_out += counts.left_out;
            merged.blocks += counts.blocks;
            if merged.dense.is_empty() {
                merged.dense = counts.dense;
            } else {
                for (sum, count) in merged.dense.iter_mut().zip(&counts.dense) {
                    *sum += count;
                }
            }
        }
        merged
    }
}

fn index_of(cell: u64) -> usize {
    usize::try_from(cell).expect("dense cells are bounded")
}
