//! Bounds on what all questions under way take together.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::limits::{CELLS_IN_USE_MAX, OPENING_WAITERS_MAX, SCANS_MAX};
use crate::ledger::Ledger;

use super::QueryError;

/// How long a question waits for what others have taken.
pub(super) const WAIT: Duration = Duration::from_secs(2);

/// How long a question waits for a store that is being opened. A small one takes milliseconds;
/// one that has to be made again may take minutes.
const OPENING_WAIT: Duration = Duration::from_secs(5);

/// Scans.
static SCANS: Budget = Budget::new(SCANS_MAX as u64);
/// Questions that wait for a store.
static WAITING: Budget = Budget::new(OPENING_WAITERS_MAX as u64);
/// Cells that are counted in.
pub(super) static CELLS: Budget = Budget::new(CELLS_IN_USE_MAX);

/// Lets in as much as there is room for.
pub(super) struct Budget {
    taken: Mutex<u64>,
    left: Condvar,
    most: u64,
}

/// Room taken. Dropping it leaves it.
pub(super) struct BudgetShare<'a> {
    budget: &'a Budget,
    weight: u64,
}

/// Waits for the store, which a question right after the start may find opening, and takes a
/// place among the scans.
pub(super) fn scan_place(ledger: &Ledger) -> Result<BudgetShare<'static>, QueryError> {
    wait_for_store(ledger, &WAITING, OPENING_WAIT);
    SCANS.take(1, WAIT)
}

/// Where enough others wait already, not at all: a store that is made again would else take every
/// question's place, those that tallies answer included.
fn wait_for_store(ledger: &Ledger, waiting: &Budget, most: Duration) {
    if ledger.store_is_opening()
        && let Ok(_place) = waiting.take(1, Duration::ZERO)
    {
        ledger.wait_for_store(most);
    }
}

impl Budget {
    pub(super) const fn new(most: u64) -> Self {
        Self {
            taken: Mutex::new(0),
            left: Condvar::new(),
            most,
        }
    }

    /// Takes room, if it is left in time. Whoever wants more than there is gets all of it.
    pub(super) fn take(&self, weight: u64, wait: Duration) -> Result<BudgetShare<'_>, QueryError> {
        let weight = weight.min(self.most);
        let is_full = |taken: &mut u64| self.most - *taken < weight;
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, _) = self
            .left
            .wait_timeout_while(taken, wait, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        if is_full(&mut taken) {
            return Err(QueryError::Busy);
        }
        *taken += weight;
        Ok(BudgetShare {
            budget: self,
            weight,
        })
    }
}

impl Drop for BudgetShare<'_> {
    fn drop(&mut self) {
        let taken = self.budget.taken.lock();
        *taken.unwrap_or_else(PoisonError::into_inner) -= self.weight;
        self.budget.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::ledger::testing::EPOCH;
    use crate::ledger::{LedgerError, State};
    use crate::store::Store;

    const SHORT: Duration = Duration::from_millis(5);

    #[test]
    fn who_finds_no_room_in_time_is_told_that_others_are_busy() {
        let budget = Budget::new(5);
        let first = budget.take(3, SHORT).expect("empty");
        let second = budget.take(2, SHORT).expect("just enough");
        assert!(matches!(budget.take(1, SHORT), Err(QueryError::Busy)));
        drop(first);
        let third = budget.take(3, SHORT).expect("left again");
        assert!(matches!(budget.take(1, SHORT), Err(QueryError::Busy)));
        drop((second, third));
        let all = budget.take(1_000, SHORT).expect("all of it");
        assert!(matches!(budget.take(1, SHORT), Err(QueryError::Busy)));
        drop(all);
    }

    #[test]
    fn who_waits_is_let_in_when_another_leaves() {
        let budget = Budget::new(1);
        std::thread::scope(|scope| {
            let room = budget.take(1, SHORT).expect("empty");
            let waiting = scope.spawn(|| budget.take(1, Duration::from_secs(60)).is_ok());
            drop(room);
            assert!(waiting.join().expect("no panic"));
        });
    }

    #[test]
    fn who_asks_while_the_store_is_opening_waits_for_it_unless_enough_others_do() {
        const LONG: Duration = Duration::from_secs(60);
        let dir = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::new(State::new(EPOCH));
        let waiting = Budget::new(1);
        let is_waiting = || *waiting.taken.lock().expect("no panic") == 1;
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                wait_for_store(&ledger, &waiting, LONG);
                ledger.scan_view().is_ok()
            });
            while !is_waiting() {
                std::thread::yield_now();
            }
            // It is told at once that the store is opening.
            let began = Instant::now();
            wait_for_store(&ledger, &waiting, LONG);
            assert!(began.elapsed() < LONG);
            assert!(matches!(ledger.scan_view(), Err(LedgerError::StoreOpening)));
            let store = Store::create(&dir.path().join("store"), EPOCH);
            ledger.attach_store(store.expect("a new store"));
            assert!(first.join().expect("no panic"));
        });
        assert!(!is_waiting());
        assert!(scan_place(&ledger).is_ok());
    }
}
