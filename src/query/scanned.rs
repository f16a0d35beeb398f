//! Answers by a scan: the columns that a question needs are read from every block that may
//! matter, and rows are counted in the cells that the tallies would be added up in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;

use crate::domain::Question;
use crate::domain::limits::{QUESTION_ROWS_MAX, SCANS_MAX};
use crate::ledger::ScanView;
use crate::store::{Block, Columns, StoreError, Summary};

use super::axis::Axes;
use super::plan::DENSE_CELLS_MAX;
use super::sorter::{OUT, Sorter, UNKNOWN};
use super::{Cells, Counts, QueryError};

/// How long a scan waits for a place.
const PLACE_WAIT: Duration = Duration::from_secs(2);
/// Blocks are numbered from 0; the open one is not numbered yet.
const OPEN_BLOCK: u32 = u32::MAX;

static PLACES_TAKEN: Mutex<usize> = Mutex::new(0);
static PLACE_LEFT: Condvar = Condvar::new();

/// One of the places for scans. Dropping it leaves it.
pub(super) struct Place(());

impl Place {
    /// Takes a place, if one is left in time.
    pub(super) fn take() -> Result<Self, QueryError> {
        let taken = PLACES_TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, wait) = PLACE_LEFT
            .wait_timeout_while(taken, PLACE_WAIT, |taken| SCANS_MAX <= *taken)
            .unwrap_or_else(PoisonError::into_inner);
        if wait.timed_out() && SCANS_MAX <= *taken {
            return Err(QueryError::Busy);
        }
        *taken += 1;
        Ok(Self(()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *PLACES_TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        PLACE_LEFT.notify_one();
    }
}

/// Everything that answers a question, and how many blocks were looked at.
pub(super) fn scan(view: &ScanView, question: &Question) -> Result<(Counts, u64), QueryError> {
    let dictionary = &view.dictionary;
    let axes = Axes::new(question, dictionary);
    let scan = Scan {
        view,
        sorter: Sorter::new(question, &axes, dictionary),
        dense_cells: (axes.cells <= DENSE_CELLS_MAX).then_some(axes.cells),
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
    let mut pots = view
        .store
        .scan(
            view.stored.clone(),
            columns,
            wants,
            || scan.pot(),
            |pot, _, block| scan.count(pot, block),
        )
        .map_err(ledger_error)?;
    let mut pot = scan.pot();
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
            scan.count(&mut pot, &block);
        }
    }
    pots.push(pot);
    let pot = scan.merge(pots)?;
    let blocks = pot.blocks;
    let counts = Counts {
        axes,
        total: pot.total,
        left_out: pot.left_out,
        cells: if scan.dense_cells.is_some() {
            Cells::Dense(pot.dense)
        } else {
            Cells::Sparse(pot.sparse.into_iter().collect())
        },
    };
    Ok((counts, blocks))
}

fn ledger_error(error: StoreError) -> QueryError {
    QueryError::Ledger(error.into())
}

/// A scan under way.
struct Scan<'a> {
    view: &'a ScanView,
    sorter: Sorter,
    dense_cells: Option<u64>,
    has_too_many: AtomicBool,
}

/// What one thread has counted.
struct Pot {
    dense: Vec<u32>,
    sparse: HashMap<u64, u32>,
    total: u64,
    left_out: u64,
    blocks: u64,
    /// Cells of the rows of the block in hand.
    cells: Vec<u64>,
}

impl Scan<'_> {
    fn pot(&self) -> Pot {
        Pot {
            dense: vec![0; index_of(self.dense_cells.unwrap_or(0))],
            sparse: HashMap::new(),
            total: 0,
            left_out: 0,
            blocks: 0,
            cells: Vec::new(),
        }
    }

    fn count(&self, pot: &mut Pot, block: &Block) {
        pot.blocks += 1;
        let mut cells = std::mem::take(&mut pot.cells);
        self.sorter.sort(block, &mut cells);
        self.strike_withdrawn(block, &mut cells);
        for (index, cell) in cells.iter().enumerate() {
            if cell & OUT != 0 {
                continue;
            }
            pot.total += 1;
            if cell & UNKNOWN != 0 {
                pot.left_out += 1;
                continue;
            }
            self.sorter.expand(block, index, *cell, &mut |cell| {
                if self.dense_cells.is_some() {
                    pot.dense[index_of(cell)] += 1;
                } else {
                    *pot.sparse.entry(cell).or_default() += 1;
                }
            });
        }
        pot.cells = cells;
        if QUESTION_ROWS_MAX < pot.sparse.len() {
            self.has_too_many.store(true, Ordering::Relaxed);
            pot.sparse.clear();
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

    fn merge(&self, pots: Vec<Pot>) -> Result<Pot, QueryError> {
        let mut pots = pots.into_iter();
        let mut merged = pots.next().unwrap_or_else(|| self.pot());
        for pot in pots {
            merged.total += pot.total;
            merged.left_out += pot.left_out;
            merged.blocks += pot.blocks;
            for (sum, count) in merged.dense.iter_mut().zip(&pot.dense) {
                *sum += count;
            }
            for (cell, count) in pot.sparse {
                *merged.sparse.entry(cell).or_default() += count;
            }
        }
        let has_too_many = self.has_too_many.load(Ordering::Relaxed);
        if has_too_many || QUESTION_ROWS_MAX < merged.sparse.len() {
            return Err(QueryError::TooManyRows);
        }
        Ok(merged)
    }
}

fn index_of(cell: u64) -> usize {
    usize::try_from(cell).expect("dense cells are bounded")
}
