//! What a scan needs as of an earlier position: the blocks whose rows were all there, the rows
//! of the block that was then being filled, and the withdrawals that had come by then.
//!
//! Rows lie in blocks by position and are never changed, and every withdrawal is kept with
//! the position at which it came. So nothing is folded again, nothing is read from the
//! journal, and the state is locked as briefly as for any other scan. Names have the numbers
//! that they had: numbers are given out once.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::state::{State, Withdrawal};
use super::{Ledger, LedgerError, ScanView};
use crate::domain::{Position, Row};
use crate::store::{Block, Columns, StoreError};

/// Why nothing can be told as of a position.
#[derive(Debug, thiserror::Error)]
pub enum AsOfError {
    /// Before the first entry that was folded, or after the last.
    #[error("the position is not one of {first} to {last}")]
    OutOfRange {
        /// The first position that can be asked for; 0 if there is none.
        first: Position,
        /// The last; 0 if there is none.
        last: Position,
    },
    /// The ledger cannot be read now.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Ledger {
    /// Everything that a scan needs, as it was when the entry at this position had been
    /// applied and no later one.
    pub fn scan_view_as_of(&self, at: Position) -> Result<ScanView, AsOfError> {
        let state = self.read();
        state.check_as_of(at)?;
        let view = self.scan_of(&state)?;
        let withdrawals = Arc::clone(state.withdrawals());
        drop(state);
        Ok(cut(view, &withdrawals, at).map_err(LedgerError::from)?)
    }
}

impl State {
    /// Refuses a position as of which nothing can be told.
    pub fn check_as_of(&self, at: Position) -> Result<(), AsOfError> {
        let (first, last) = (self.first_kept(), self.position());
        if at < first || last < at || at == Position(0) {
            return Err(AsOfError::OutOfRange { first, last });
        }
        Ok(())
    }
}

fn cut(view: ScanView, withdrawals: &[Withdrawal], at: Position) -> Result<ScanView, StoreError> {
    let (stored, pending, rows) = whole_blocks(&view, at)?;
    let by_then = withdrawals.partition_point(|withdrawal| withdrawal.at <= at);
    let withdrawn: BTreeSet<Position> = withdrawals[..by_then].iter().map(|one| one.of).collect();
    Ok(ScanView {
        stored: view.stored.start..stored,
        pending: view.pending[..pending].to_vec(),
        open: rows.into_iter().filter(|row| row.position <= at).collect(),
        withdrawn: Arc::new(withdrawn),
        position: at,
        ..view
    })
}

/// How many stored and how many pending blocks lie wholly at or before the position, and the
/// rows of what follows them.
fn whole_blocks(view: &ScanView, at: Position) -> Result<(u32, usize, Vec<Row>), StoreError> {
    let (mut low, mut high) = (view.stored.start, view.stored.end);
    let mut following = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let rows = stored_rows(view, middle)?;
        if rows.last().is_some_and(|last| last.position <= at) {
            low = middle + 1;
        } else {
            high = middle;
            following = Some(rows);
        }
    }
    if let Some(rows) = following {
        return Ok((low, 0, rows));
    }
    for (count, (number, bytes)) in view.pending.iter().enumerate() {
        let block = Block::unpack(*number, bytes).map_err(|source| StoreError::BlockInvalid {
            number: *number,
            source,
        })?;
        if block.positions().last().is_none_or(|last| at < *last) {
            return Ok((low, count, block.rows().collect()));
        }
    }
    Ok((low, view.pending.len(), view.open.clone()))
}

fn stored_rows(view: &ScanView, number: u32) -> Result<Vec<Row>, StoreError> {
    let found = view.store.scan(
        number..number + 1,
        Columns::all(),
        |_| true,
        Vec::new,
        |rows: &mut Vec<Row>, _, block| rows.extend(block.rows()),
    )?;
    Ok(found.into_iter().flatten().collect())
}
