//! Puts closed blocks and changed tap counts into the store, on a thread of its own, so that
//! the committer never waits for sled. They wait here until they are in; how many may wait
//! is bounded.
//!
//! The store is attached when it has been opened. Changes of tap counts that are folded at the
//! start are not kept meanwhile: there may be any number of them, and they are in the journal, from
//! where they are put when the fold has ended. Until then, later ones wait here.
//!
//! If the store fails, blocks are let go (the next start makes them again from the journal), scans
//! and checkpoints are refused, and reports are still taken.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::LedgerError;
use super::state::ClosedBlock;
use crate::domain::Position;
use crate::domain::limits::{BLOCKS_PENDING_MAX, TAP_CHANGES_PENDING_MAX};
use crate::store::{Store, StoreError, TapChange};

/// Blocks put into the store at once.
const PUT_BLOCKS: usize = 64;
/// Changes of tap counts put into the store at once. Those of one block are put together.
const PUT_TAP_CHANGES: usize = 128;

/// The blocks on their way, shared by the ledger and the store's thread.
pub(super) struct StoreWriter {
    queue: Mutex<Queue>,
    /// Told whenever anything on the queue changes.
    changed: Condvar,
    /// Held for writing while tap counts are being put, so that whoever reads them sees the
    /// store and the changes on their way as of one position.
    taps: RwLock<()>,
}

/// How many may wait.
#[derive(Clone, Copy)]
pub(super) struct PendingBounds {
    pub(super) blocks: usize,
    /// Changes of tap counts.
    pub(super) tap_changes: usize,
}

impl Default for PendingBounds {
    fn default() -> Self {
        Self {
            blocks: BLOCKS_PENDING_MAX,
            tap_changes: TAP_CHANGES_PENDING_MAX,
        }
    }
}

struct Queue {
    bounds: PendingBounds,
    slot: Slot,
    /// Rising without gaps; the first is number `stored.end`.
    pending: VecDeque<ClosedBlock>,
    /// These blocks are in the store, or will be before it is attached.
    stored: Range<u32>,
    /// Blocks before this one are taken out of the store; `None` if none may be there.
    forgotten: Option<u32>,
    /// Rising in their positions.
    tap_changes: VecDeque<Arc<TapChange>>,
    folded_taps: FoldedTaps,
    is_stopping: bool,
}

/// Where the changes of tap counts are that are folded at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FoldedTaps {
    /// They are being folded, and let go: the journal has them.
    Folding,
    /// In the journal, through this place, and perhaps not in the store.
    Owed { through: Position },
    /// In the store, or on the queue.
    Put,
}

/// What is put next.
enum Work {
    Blocks(Vec<ClosedBlock>),
    Taps(Vec<Arc<TapChange>>),
    Forget(u32),
}

#[derive(Clone)]
enum Slot {
    Opening,
    Ready(Store),
    Failed,
}

/// The store and what is not yet in it, at one moment.
pub(super) struct StoreView {
    pub(super) store: Store,
    pub(super) stored: Range<u32>,
    pub(super) pending: Vec<ClosedBlock>,
}

impl StoreWriter {
    /// With no store yet, which when attached will hold these blocks.
    pub(super) fn new(stored: Range<u32>, bounds: PendingBounds) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::new(Queue {
                bounds,
                slot: Slot::Opening,
                pending: VecDeque::new(),
                // What a crash left of earlier ones.
                forgotten: (0 < stored.start).then_some(stored.start),
                stored,
                tap_changes: VecDeque::new(),
                folded_taps: FoldedTaps::Put,
                is_stopping: false,
            }),
            changed: Condvar::new(),
            taps: RwLock::new(()),
        })
    }

    /// From now on changes of tap counts are let go until `end_fold`: the journal has them.
    pub(super) fn begin_fold(&self) {
        self.queue().folded_taps = FoldedTaps::Folding;
    }

    /// Changes of tap counts are kept again. Those that were let go, through this place, are put
    /// into the store by somebody else, who says so by `mark_folded_taps_put`; `None` if there are
    /// none.
    pub(super) fn end_fold(&self, through: Option<Position>) {
        self.queue().folded_taps =
            through.map_or(FoldedTaps::Put, |through| FoldedTaps::Owed { through });
        self.changed.notify_all();
    }

    /// The place of the last change that was let go and may not be in the store.
    pub(super) fn folded_taps_owed(&self) -> Option<Position> {
        match self.queue().folded_taps {
            FoldedTaps::Owed { through } => Some(through),
            FoldedTaps::Folding | FoldedTaps::Put => None,
        }
    }

    /// What was let go is in the attached store.
    pub(super) fn mark_folded_taps_put(&self) {
        self.queue().folded_taps = FoldedTaps::Put;
        self.changed.notify_all();
    }

    /// Waits until fewer blocks are pending than may be and, if the store takes them, fewer changes
    /// of tap counts.
    pub(super) fn wait_for_room(&self) {
        let is_full = |queue: &Queue| {
            let has_room = queue.pending.len() < queue.bounds.blocks
                && (queue.has_room_for_taps() || !queue.takes_taps());
            !has_room && !queue.is_stopping
        };
        drop(self.wait_while(is_full));
    }

    /// Whether changes of tap counts may come: with the store opening, nothing else keeps them
    /// from growing without a bound.
    pub(super) fn has_room_for_taps(&self) -> bool {
        let queue = self.queue();
        queue.takes_taps() || queue.has_room_for_taps()
    }

    /// Takes closed blocks and changes of tap counts, which follow those taken before.
    pub(super) fn take(&self, closed: Vec<ClosedBlock>, tap_changes: Vec<Arc<TapChange>>) {
        if closed.is_empty() && tap_changes.is_empty() {
            return;
        }
        let mut queue = self.queue();
        if matches!(queue.slot, Slot::Failed) {
            return;
        }
        queue.pending.extend(closed);
        if queue.folded_taps != FoldedTaps::Folding {
            queue.tap_changes.extend(tap_changes);
        }
        self.changed.notify_all();
    }

    /// Takes blocks before one out of the store. Those of them on their way go there first.
    pub(super) fn forget_before(&self, first: u32) {
        let mut queue = self.queue();
        if queue.stored.start < first {
            queue.stored.start = first;
            queue.forgotten = Some(first);
            self.changed.notify_all();
        }
    }

    /// Hands over the opened store.
    pub(super) fn attach(&self, store: Store) {
        self.queue().slot = Slot::Ready(store);
        self.changed.notify_all();
    }

    /// There is no store any more.
    pub(super) fn fail(&self) {
        let mut queue = self.queue();
        queue.slot = Slot::Failed;
        queue.pending.clear();
        queue.tap_changes.clear();
        self.changed.notify_all();
    }

    /// Waits until the store has been opened or given up, at most this long.
    pub(super) fn wait_for_store(&self, most: Duration) {
        let is_opening = |queue: &mut Queue| queue.is_opening() && !queue.is_stopping;
        drop(
            self.changed
                .wait_timeout_while(self.queue(), most, is_opening),
        );
    }

    /// Whether the store has yet to be opened, with all tap counts that were folded, or given up.
    pub(super) fn is_opening(&self) -> bool {
        self.queue().is_opening()
    }

    /// Whether there is no store any more.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.queue().slot, Slot::Failed)
    }

    /// How many blocks wait to be put.
    pub(super) fn pending(&self) -> usize {
        self.queue().pending.len()
    }

    /// The store, and the blocks that are not yet in it.
    pub(super) fn kept(&self) -> Result<StoreView, LedgerError> {
        let queue = self.queue();
        Ok(StoreView {
            store: queue.store()?,
            stored: queue.stored.clone(),
            pending: queue.pending.iter().cloned().collect(),
        })
    }

    /// Keeps tap counts in the store as they are, as long as it is held. Never to be asked
    /// for with the state locked: putting takes a while.
    pub(super) fn hold_taps(&self) -> RwLockReadGuard<'_, ()> {
        self.taps.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, and the changes of tap counts that are not yet in it. Stays so while
    /// `hold_taps` is held.
    pub(super) fn kept_taps(&self) -> Result<(Store, Vec<Arc<TapChange>>), LedgerError> {
        let queue = self.queue();
        if queue.is_opening() {
            return Err(LedgerError::StoreOpening);
        }
        Ok((queue.store()?, queue.tap_changes.iter().cloned().collect()))
    }

    /// Waits until blocks `0..blocks` and all changes of tap counts through this position are
    /// in the store, and syncs it.
    pub(super) fn flush(&self, blocks: u32, taps: Position) -> Result<(), LedgerError> {
        let lacks = |queue: &Queue| {
            let lacks_taps = |change: &Arc<TapChange>| change.position() <= taps;
            queue.stored.end < blocks || queue.tap_changes.front().is_some_and(lacks_taps)
        };
        let is_waiting = |queue: &Queue| {
            let is_ready = matches!(queue.slot, Slot::Ready(_)) && !queue.is_opening();
            is_ready && lacks(queue) && !queue.is_stopping
        };
        let queue = self.wait_while(is_waiting);
        let store = queue.store()?;
        if queue.is_opening() {
            return Err(LedgerError::StoreOpening);
        }
        if lacks(&queue) {
            return Err(LedgerError::StoreFailed);
        }
        drop(queue);
        store.sync().inspect_err(|_| self.fail())?;
        Ok(())
    }

    /// Ends `run`. Queue blocks are left where they are.
    pub(super) fn stop(&self) {
        self.queue().is_stopping = true;
        self.changed.notify_all();
    }

    /// Puts blocks and tap counts into the store until told to stop.
    pub(super) fn run(&self) {
        while let Some((store, work)) = self.next_work() {
            if let Err(error) = self.put(&store, &work) {
                tracing::error!(%error, "store failed");
                self.fail();
            }
        }
    }

    fn put(&self, store: &Store, work: &Work) -> Result<(), StoreError> {
        match work {
            Work::Blocks(blocks) => {
                store.put_blocks(blocks)?;
                self.mark_stored(blocks.len());
            }
            Work::Taps(changes) => {
                let _alone = self.taps.write().unwrap_or_else(PoisonError::into_inner);
                store.put_taps(changes)?;
                self.mark_taps_stored(changes.len());
            }
            Work::Forget(first) => {
                store.forget_blocks_before(*first)?;
                let mut queue = self.queue();
                queue.forgotten = queue.forgotten.filter(|due| first < due);
                self.changed.notify_all();
            }
        }
        Ok(())
    }

    /// Waits for something to put; `None` when stopping. It stays pending until it is in.
    /// Blocks come first: there are few of them.
    fn next_work(&self) -> Option<(Store, Work)> {
        let is_idle = |queue: &Queue| {
            let is_empty = queue.pending.is_empty()
                && (queue.tap_changes.is_empty() || !queue.takes_taps())
                && queue.forgotten.is_none();
            let has_work = matches!(queue.slot, Slot::Ready(_)) && !is_empty;
            !has_work && !queue.is_stopping
        };
        let queue = self.wait_while(is_idle);
        if queue.is_stopping {
            return None;
        }
        let work = if let Some(first) = queue.forgotten.filter(|_| queue.pending.is_empty()) {
            Work::Forget(first)
        } else if queue.pending.is_empty() {
            let changes = queue.tap_changes.iter().take(PUT_TAP_CHANGES);
            Work::Taps(changes.cloned().collect())
        } else {
            Work::Blocks(queue.pending.iter().take(PUT_BLOCKS).cloned().collect())
        };
        Some((queue.store().ok()?, work))
    }

    fn mark_stored(&self, count: usize) {
        let mut queue = self.queue();
        if matches!(queue.slot, Slot::Failed) {
            return;
        }
        queue.pending.drain(..count);
        queue.stored.end += u32::try_from(count).expect("at most PUT_BLOCKS");
        self.changed.notify_all();
    }

    fn mark_taps_stored(&self, count: usize) {
        let mut queue = self.queue();
        if matches!(queue.slot, Slot::Failed) {
            return;
        }
        queue.tap_changes.drain(..count);
        self.changed.notify_all();
    }

    fn wait_while(&self, condition: impl Fn(&Queue) -> bool) -> MutexGuard<'_, Queue> {
        self.changed
            .wait_while(self.queue(), |queue| condition(queue))
            .unwrap_or_else(PoisonError::into_inner)
    }

    // Nothing panics between two changes of the queue that belong together.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_opening(&self) -> bool {
        match self.slot {
            Slot::Opening => true,
            Slot::Ready(_) => self.folded_taps != FoldedTaps::Put,
            Slot::Failed => false,
        }
    }

    /// Whether changes of tap counts are put, or let go.
    fn takes_taps(&self) -> bool {
        !self.is_opening()
    }

    fn has_room_for_taps(&self) -> bool {
        self.tap_changes.len() < self.bounds.tap_changes
    }

    fn store(&self) -> Result<Store, LedgerError> {
        match &self.slot {
            Slot::Opening => Err(LedgerError::StoreOpening),
            Slot::Ready(store) => Ok(store.clone()),
            Slot::Failed => Err(LedgerError::StoreFailed),
        }
    }
}
