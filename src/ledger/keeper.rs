//! Puts closed blocks into the store, on a thread of its own, so that the committer never
//! waits for sled. Blocks wait here until they are in; how many may wait is bounded.
//!
//! The store is attached when it has been opened. If it fails, blocks are let go (the next
//! start makes them again from the journal), scans and checkpoints are refused, and reports
//! are still taken.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::LedgerError;
use super::state::ClosedBlock;
use crate::domain::limits::BLOCKS_PENDING_MAX;
use crate::store::Store;

/// Blocks put into the store at once.
const PUT_BLOCKS: usize = 64;

/// The blocks on their way, shared by the ledger and the keeper's thread.
pub(super) struct Keeper {
    desk: Mutex<Desk>,
    /// Told whenever anything on the desk changes.
    changed: Condvar,
}

struct Desk {
    slot: Slot,
    /// Rising without gaps; the first is number `stored`.
    pending: VecDeque<ClosedBlock>,
    /// Blocks `0..stored` are in the store, or will be before it is attached.
    stored: u32,
    is_stopping: bool,
}

#[derive(Clone)]
enum Slot {
    Opening,
    Ready(Store),
    Failed,
}

/// The store and what is not yet in it, at one moment.
pub(super) struct Kept {
    pub(super) store: Store,
    pub(super) stored: u32,
    pub(super) pending: Vec<ClosedBlock>,
}

impl Keeper {
    /// With no store yet, which when attached will hold blocks `0..stored`.
    pub(super) fn new(stored: u32) -> Arc<Self> {
        Arc::new(Self {
            desk: Mutex::new(Desk {
                slot: Slot::Opening,
                pending: VecDeque::new(),
                stored,
                is_stopping: false,
            }),
            changed: Condvar::new(),
        })
    }

    /// Waits until fewer than `BLOCKS_PENDING_MAX` blocks are pending.
    pub(super) fn wait_for_room(&self) {
        let is_full = |desk: &Desk| BLOCKS_PENDING_MAX <= desk.pending.len() && !desk.is_stopping;
        drop(self.wait_while(is_full));
    }

    /// Takes closed blocks, which follow those taken before.
    pub(super) fn take(&self, closed: Vec<ClosedBlock>) {
        if closed.is_empty() {
            return;
        }
        let mut desk = self.desk();
        if matches!(desk.slot, Slot::Failed) {
            return;
        }
        desk.pending.extend(closed);
        self.changed.notify_all();
    }

    /// Hands over the opened store.
    pub(super) fn attach(&self, store: Store) {
        self.desk().slot = Slot::Ready(store);
        self.changed.notify_all();
    }

    /// There is no store any more.
    pub(super) fn fail(&self) {
        let mut desk = self.desk();
        desk.slot = Slot::Failed;
        desk.pending.clear();
        self.changed.notify_all();
    }

    /// Whether there is no store any more.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.desk().slot, Slot::Failed)
    }

    /// How many blocks wait to be put.
    pub(super) fn pending(&self) -> usize {
        self.desk().pending.len()
    }

    /// The store, and the blocks that are not yet in it.
    pub(super) fn kept(&self) -> Result<Kept, LedgerError> {
        let desk = self.desk();
        Ok(Kept {
            store: desk.store()?,
            stored: desk.stored,
            pending: desk.pending.iter().cloned().collect(),
        })
    }

    /// Waits until blocks `0..blocks` are in the store, and syncs it.
    pub(super) fn flush(&self, blocks: u32) -> Result<(), LedgerError> {
        let is_waiting = |desk: &Desk| {
            let is_ready = matches!(desk.slot, Slot::Ready(_));
            is_ready && desk.stored < blocks && !desk.is_stopping
        };
        let desk = self.wait_while(is_waiting);
        let store = desk.store()?;
        if desk.stored < blocks {
            return Err(LedgerError::StoreFailed);
        }
        drop(desk);
        store.sync().inspect_err(|_| self.fail())?;
        Ok(())
    }

    /// Ends `run`. Pending blocks are left where they are.
    pub(super) fn stop(&self) {
        self.desk().is_stopping = true;
        self.changed.notify_all();
    }

    /// Puts blocks into the store until told to stop.
    pub(super) fn run(&self) {
        while let Some((store, blocks)) = self.next_blocks() {
            match store.put_blocks(&blocks) {
                Ok(()) => self.mark_stored(blocks.len()),
                Err(error) => {
                    tracing::error!(%error, "store failed");
                    self.fail();
                }
            }
        }
    }

    /// Waits for blocks to put; `None` when stopping. They stay pending until they are in.
    fn next_blocks(&self) -> Option<(Store, Vec<ClosedBlock>)> {
        let is_idle = |desk: &Desk| {
            let has_work = matches!(desk.slot, Slot::Ready(_)) && !desk.pending.is_empty();
            !has_work && !desk.is_stopping
        };
        let desk = self.wait_while(is_idle);
        if desk.is_stopping {
            return None;
        }
        let blocks = desk.pending.iter().take(PUT_BLOCKS).cloned().collect();
        Some((desk.store().ok()?, blocks))
    }

    fn mark_stored(&self, count: usize) {
        let mut desk = self.desk();
        if matches!(desk.slot, Slot::Failed) {
            return;
        }
        desk.pending.drain(..count);
        desk.stored += u32::try_from(count).expect("at most PUT_BLOCKS");
        self.changed.notify_all();
    }

    fn wait_while(&self, condition: impl Fn(&Desk) -> bool) -> MutexGuard<'_, Desk> {
        self.changed
            .wait_while(self.desk(), |desk| condition(desk))
            .unwrap_or_else(PoisonError::into_inner)
    }

    // Nothing panics between two changes of the desk that belong together.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn store(&self) -> Result<Store, LedgerError> {
        match &self.slot {
            Slot::Opening => Err(LedgerError::StoreOpening),
            Slot::Ready(store) => Ok(store.clone()),
            Slot::Failed => Err(LedgerError::StoreFailed),
        }
    }
}
