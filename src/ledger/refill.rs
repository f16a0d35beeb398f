//! Makes the blocks and tap counts of a lost store again from the entries of the journal,
//! while new ones go on being produced. Which entries counted, and under which numbers, is
//! asked of the state; so it costs no memory, and the bytes come out the same.

use std::sync::Arc;

use super::ended::MonthWatch;
use super::ids::IdIndex;
use super::state::ClosedBlock;
use super::{Ledger, Needed};
use crate::domain::entry::IncidentEvent;
use crate::domain::limits::BLOCK_ROWS;
use crate::domain::{Entry, Position, Record, Row, Stamp};
use crate::store::block::{self, Block};
use crate::store::{Store, StoreError, TapChange};

/// Entries looked up under one lock.
const ENTRIES_PER_LOCK: usize = 512;
/// Entries of tap counts put into the store at once. Those of one block are put together.
const PUT_TAP_ENTRIES: usize = 128;
/// Blocks put into the store at once.
const PUT_BLOCKS: usize = 64;

/// Why a store could not be refilled.
#[derive(Debug, thiserror::Error)]
pub enum RefillError<E> {
    /// The entries ended with this error.
    #[error("the journal cannot be read")]
    Journal(#[source] E),
    /// Fewer entries than were folded.
    #[error("the journal ends before the blocks that the ledger counts")]
    Short,
    /// The checkpoint was made of other entries.
    #[error(
        "the journal makes other blocks than the checkpoint counts; stop the server and run \
         `mistap rebuild`"
    )]
    Differs,
    /// The new store.
    #[error("the store does not answer")]
    Store(#[source] StoreError),
}

impl Ledger {
    /// Fills an empty store with the blocks of `blocks_needed()`, made again from the entries of
    /// the journal (from its first on; personal parts are not needed), and attaches it.
    /// Blocking: call it on a thread of its own; `apply` may go on meanwhile. After an error
    /// nothing is attached: try again, or call `give_up_store`.
    pub fn refill<E>(
        &self,
        store: Store,
        entries: impl Iterator<Item = Result<Record, E>>,
    ) -> Result<(), RefillError<E>> {
        let mut filler = Filler::new(store.clone(), self.needed);
        let mut forgotten = IdIndex::new(self.read().epoch());
        let mut entries = entries.peekable();
        let mut reached = Position(0);
        while !(filler.is_full() && self.needed.taps <= reached) && entries.peek().is_some() {
            let next = entries.by_ref().take(ENTRIES_PER_LOCK);
            let next = next.collect::<Result<Vec<_>, E>>();
            let next = next.map_err(RefillError::Journal)?;
            reached = next.last().map_or(reached, |record| record.position);
            for (stamp, row) in self.counted_rows(&next, &mut forgotten) {
                filler.push(stamp, row).map_err(RefillError::Store)?;
            }
            let changes = self.tap_changes(&next, self.needed.taps);
            store.put_taps(&changes).map_err(RefillError::Store)?;
        }
        if reached < self.needed.taps {
            return Err(RefillError::Short);
        }
        filler.finish()?;
        self.attach_store(store);
        Ok(())
    }

    /// Puts the tap counts that were folded between `begin_fold` and `end_fold` into the attached
    /// store, as far as it lacks them. `read_from` gives the entries of the journal that change tap
    /// counts, from a place on. Blocking; `apply` may go on meanwhile. After an error call
    /// `give_up_store`.
    pub fn put_folded_taps<E, I>(
        &self,
        store: &Store,
        read_from: impl FnOnce(Position) -> I,
    ) -> Result<(), RefillError<E>>
    where
        I: Iterator<Item = Result<Record, E>>,
    {
        let Some(through) = self.store_writer.folded_taps_owed() else {
            return Ok(());
        };
        let mark = store.taps_mark().map_err(RefillError::Store)?;
        let whole = mark.map_or(Position(0), |mark| mark.whole_through);
        let from = whole.max(self.needed.position).next();
        if from <= through {
            let mut entries = read_from(from).peekable();
            while entries.peek().is_some() {
                let next = entries.by_ref().take(PUT_TAP_ENTRIES);
                let next = next.collect::<Result<Vec<_>, E>>();
                let next = next.map_err(RefillError::Journal)?;
                let changes = self.tap_changes(&next, through);
                store.put_taps(&changes).map_err(RefillError::Store)?;
                // Later ones are on the queue.
                if next.last().is_some_and(|last| through <= last.position) {
                    break;
                }
            }
        }
        self.store_writer.mark_folded_taps_put();
        Ok(())
    }

    fn counted_rows(
        &self,
        entries: &[Record],
        forgotten: &mut IdIndex,
    ) -> Vec<(Stamp, Option<Row>)> {
        let state = self.read();
        let mut row = |record: &Record| match record.entry.incident_event()? {
            IncidentEvent::Reported { facts, .. } => {
                state.counted_row(record.position, facts, forgotten)
            }
            IncidentEvent::Amended(amendment) => {
                state.amended_row(record.position, &amendment.after)
            }
            IncidentEvent::Withdrawn { .. }
            | IncidentEvent::Erased { .. }
            | IncidentEvent::Answered(_) => None,
        };
        let entries = entries.iter();
        entries.map(|record| (record.stamp, row(record))).collect()
    }

    /// The changes of tap counts through a place. Days that were removed since are left out.
    fn tap_changes(&self, entries: &[Record], through: Position) -> Vec<Arc<TapChange>> {
        let state = self.read();
        let change = |record: &Record| match &record.entry {
            Entry::TapCounts(batch) => {
                let at = (record.position, record.stamp);
                state.taps().again(at, batch, state.dictionary())
            }
            // A store that is made again has nothing to be removed, but its mark must get there.
            Entry::TapCountsRemoved { before } => Some(TapChange::Removed {
                position: record.position,
                stamp: record.stamp,
                before: *before,
            }),
            _ => None,
        };
        let needed = entries.iter();
        let needed = needed.filter(|record| record.position <= through);
        needed.filter_map(change).map(Arc::new).collect()
    }
}

/// Packs rows and puts them, until there are as many blocks as needed.
struct Filler {
    store: Store,
    needed: Needed,
    made: Needed,
    rows: Vec<Row>,
    months: MonthWatch,
    blocks: Vec<ClosedBlock>,
}

impl Filler {
    fn new(store: Store, needed: Needed) -> Self {
        Self {
            store,
            needed,
            made: Needed {
                blocks: needed.first,
                crc: needed.first_crc,
                taps: Position(0),
                ..needed
            },
            months: MonthWatch::default(),
            rows: Vec::with_capacity(BLOCK_ROWS),
            blocks: Vec::with_capacity(PUT_BLOCKS),
        }
    }

    fn is_full(&self) -> bool {
        self.made.blocks == self.needed.blocks
    }

    /// Takes what is counted of an entry of this stamp. Rows after the last block needed are
    /// left out.
    fn push(&mut self, stamp: Stamp, row: Option<Row>) -> Result<(), StoreError> {
        if self.months.turns(stamp) && !self.rows.is_empty() {
            self.close()?;
        }
        if self.is_full() {
            self.rows.clear();
            return Ok(());
        }
        self.rows.extend(row);
        if self.rows.len() < BLOCK_ROWS {
            return Ok(());
        }
        self.close()
    }

    fn close(&mut self) -> Result<(), StoreError> {
        let bytes: Arc<[u8]> = Block::pack(self.made.blocks, &self.rows).into();
        self.rows.clear();
        self.made.crc = block::chain(self.made.crc, &bytes);
        self.blocks.push((self.made.blocks, bytes));
        self.made.blocks += 1;
        if self.blocks.len() == PUT_BLOCKS {
            self.put()?;
        }
        Ok(())
    }

    fn put(&mut self) -> Result<(), StoreError> {
        self.store.put_blocks(&self.blocks)?;
        self.blocks.clear();
        Ok(())
    }

    fn finish<E>(mut self) -> Result<(), RefillError<E>> {
        if !self.is_full() {
            return Err(RefillError::Short);
        }
        if self.made.crc != self.needed.crc {
            return Err(RefillError::Differs);
        }
        self.put().map_err(RefillError::Store)?;
        self.store.sync().map_err(RefillError::Store)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::path::Path;

    use super::super::testing::{EPOCH, Maker};
    use super::super::{LedgerError, State};
    use super::*;
    use crate::domain::taxonomy::CardKind;
    use crate::store::Columns;

    fn read_back(entries: &[Record]) -> impl Iterator<Item = Result<Record, Infallible>> {
        entries.iter().cloned().map(Ok)
    }

    /// Every row that a scan would see, in the order of positions.
    fn scanned(ledger: &Ledger) -> Vec<Row> {
        let view = ledger.scan_view().expect("the store is attached");
        let keep = |rows: &mut Vec<Row>, _, block: &Block| rows.extend(block.rows());
        let states = view
            .store
            .scan(view.stored, Columns::all(), |_| true, Vec::new, keep)
            .expect("whole blocks");
        let mut rows = states.concat();
        for (number, bytes) in &view.pending {
            rows.extend(Block::unpack(*number, bytes).expect("packed here").rows());
        }
        rows.extend(view.open);
        rows.sort_by_key(|row| row.position);
        rows
    }

    fn folded(entries: &[Record]) -> (State, Vec<Row>) {
        let mut state = State::new(EPOCH);
        let mut rows = Vec::new();
        for record in entries {
            use super::super::Applied;
            match state.apply(record.position, record.stamp, &record.entry) {
                Applied::Recorded { row } | Applied::Amended { after: row, .. } => rows.push(row),
                _ => {}
            }
        }
        state.take_closed();
        (state, rows)
    }

    fn store(dir: &Path) -> Store {
        Store::create(dir, EPOCH).expect("an empty store")
    }

    #[test]
    fn scan_sees_each_row_once_wherever_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let entries = Maker::new(1).entries(4_000);
        let ledger = Ledger::new(State::new(EPOCH));
        let (early, late) = entries.split_at(2_500);
        ledger.apply(early);
        assert!(matches!(ledger.scan_view(), Err(LedgerError::StoreOpening)));
        assert_ne!(ledger.blocks_pending(), 0);
        ledger.attach_store(store(dir.path()));
        ledger.flush_blocks().expect("a working store");
        assert_eq!(ledger.blocks_pending(), 0);
        ledger.apply(late);
        assert!(scanned(&ledger) == folded(&entries).1);
    }

    #[test]
    fn refilled_store_holds_the_same_rows_while_new_ones_arrive() {
        let dir = tempfile::tempdir().expect("a folder");
        let entries = Maker::new(2).entries(5_000);
        let (before, after) = entries.split_at(3_000);
        let mut state = folded(before).0;
        // Dropped ids must not make a repeat count twice.
        state.drop_ids_before(first_id(before).day() + 1);
        let ledger = Ledger::new(state);
        assert!(!ledger.blocks_needed().numbers.is_empty());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for batch in after.chunks(100) {
                    ledger.apply(batch);
                }
            });
            let refilled = ledger.refill(store(dir.path()), read_back(&entries));
            refilled.expect("the journal is whole");
        });
        ledger.flush_blocks().expect("a working store");
        let scanned = scanned(&ledger);
        assert!(scanned[..2_000] == folded(&entries).1[..2_000]);
    }

    fn first_id(entries: &[Record]) -> crate::domain::IncidentId {
        let id = |record: &Record| match &record.entry {
            Entry::Incident { facts, .. } => Some(facts.id),
            _ => None,
        };
        entries.iter().find_map(id).expect("an incident")
    }

    #[test]
    fn refill_from_another_or_a_shorter_journal_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let entries = Maker::new(3).entries(2_000);
        let ledger = Ledger::new(folded(&entries).0);
        let short = ledger.refill(store(dir.path()), read_back(&entries[..500]));
        assert!(matches!(short, Err(RefillError::Short)));
        assert!(matches!(ledger.scan_view(), Err(LedgerError::StoreOpening)));
        // Blocks as long, in which a card kind is another.
        let mut other = entries.clone();
        let first = other.iter_mut().find_map(|record| match &mut record.entry {
            Entry::Incident { facts, .. } => Some(facts),
            _ => None,
        });
        let first = first.expect("an incident");
        first.card_kind = match first.card_kind {
            Some(CardKind::Student) => Some(CardKind::Anonymous),
            _ => Some(CardKind::Student),
        };
        let differs = ledger.refill(store(&dir.path().join("other")), read_back(&other));
        assert!(matches!(differs, Err(RefillError::Differs)));
        let broken = read_back(&entries[..500]).map(|entry| entry.map_err(|never| match never {}));
        let broken = broken.chain(std::iter::once(Err("unreadable")));
        let failed = ledger.refill(store(dir.path()), broken);
        assert!(matches!(failed, Err(RefillError::Journal("unreadable"))));
    }

    #[test]
    fn without_a_store_reports_are_still_counted() {
        let entries = Maker::new(4).entries(3_000);
        let ledger = Ledger::new(State::new(EPOCH));
        ledger.apply(&entries[..1_500]);
        ledger.give_up_store();
        ledger.apply(&entries[1_500..]);
        assert!(ledger.store_failed());
        assert_eq!(ledger.blocks_pending(), 0);
        assert!(matches!(ledger.scan_view(), Err(LedgerError::StoreFailed)));
        let dir = tempfile::tempdir().expect("a folder");
        let refused = ledger.checkpoint(dir.path());
        assert!(matches!(refused, Err(LedgerError::StoreFailed)));
        let digest = ledger.read().digest();
        assert_eq!(digest, folded(&entries).0.digest());
    }

    #[test]
    fn checkpoint_counts_only_blocks_that_the_store_holds() {
        let dir = tempfile::tempdir().expect("a folder");
        let (kept, files) = (dir.path().join("store"), dir.path());
        let entries = Maker::new(5).entries(4_000);
        {
            let ledger = Ledger::new(State::new(EPOCH));
            ledger.apply(&entries[..2_000]);
            ledger.attach_store(store(&kept));
            let position = ledger.checkpoint(files).expect("written");
            assert_eq!(position, Position(2_000));
            ledger.apply(&entries[2_000..3_000]);
        }
        let state = Ledger::read_checkpoint(files, EPOCH)
            .expect("whole")
            .expect("there");
        let ledger = Ledger::new(state);
        ledger.apply(&entries[2_000..]);
        let store = Store::open(&kept, EPOCH, ledger.blocks_needed().numbers).expect("whole");
        ledger.attach_store(store);
        assert!(scanned(&ledger) == folded(&entries).1);
    }
}
