//! What the fold keeps of tap counts: feeds, their scopes by number, and which blocks of
//! which days were ever told. The counts themselves lie in the store, and nothing of them in
//! memory: what an entry changes is handed to the store's thread, with numbers in place of names.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use super::dictionary::Dictionary;
use crate::domain::limits::{TAP_FEEDS_MAX, TAP_SCOPES_MAX};
use crate::domain::{FeedId, LocalDay, Position, Stamp, TapBatch, TapFeed, TapScope};
use crate::store::taps::{NeededTapDay, NeededTaps, PlacedTaps, TapChange, tap_chunk};

/// Numbers of a scope's line and stop in the dictionary; 0 where the grain has none.
pub type ScopeNumbers = (u32, u32);

/// All feeds, by number.
#[derive(Clone, Debug, Default)]
pub struct TapBook {
    pub(super) feeds: Vec<Arc<FeedBook>>,
    /// Days before this one are kept no longer.
    pub(super) kept_from: Option<LocalDay>,
    /// Place of the last entry that changed any count.
    pub(super) last: Position,
    /// CRC-32C of all changes, so that equal entries have equal digests.
    pub(super) crc: u32,
}

/// One feed.
#[derive(Clone, Debug)]
pub struct FeedBook {
    pub(super) feed: TapFeed,
    /// By number, from 0 up.
    pub(super) scopes: Vec<ScopeNumbers>,
    index: HashMap<ScopeNumbers, u32>,
    /// Place of the entry that declared it.
    pub(super) declared: Position,
    /// What was told on each service day.
    pub(super) days: BTreeMap<LocalDay, TapDay>,
}

/// What was told on one service day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapDay {
    /// Chunks of scopes of which anything was told, rising.
    pub chunks: Vec<u16>,
    /// Place of the last entry that told any of it.
    pub changed: Position,
}

/// What became of an entry of tap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapsApplied {
    /// Counted. Counts of days that are kept no longer, and of scopes beyond the bound, are
    /// left out.
    Told {
        /// How many were left out.
        left_out: u16,
    },
    /// The name is taken by another declaration, or there are too many feeds.
    FeedRefused,
}

// === impl TapBook ===

impl TapBook {
    /// The feeds, by number.
    pub fn feeds(&self) -> &[Arc<FeedBook>] {
        &self.feeds
    }

    /// A feed by its name, with its number.
    pub fn find(&self, id: &FeedId) -> Option<(u16, &FeedBook)> {
        let mut feeds = (0..).zip(&self.feeds);
        let (number, book) = feeds.find(|(_, book)| book.feed.id == *id)?;
        Some((number, book))
    }

    /// Days before this one are kept no longer; `None` if none were removed.
    pub fn kept_from(&self) -> Option<LocalDay> {
        self.kept_from
    }

    /// The first day of which anything is kept.
    pub fn first_day(&self) -> Option<LocalDay> {
        let first = |book: &Arc<FeedBook>| book.days.keys().next().copied();
        self.feeds.iter().filter_map(first).min()
    }

    /// Place of the last entry that changed any count; 0 if none did.
    pub fn last(&self) -> Position {
        self.last
    }

    /// What must be in the store of everything told so far.
    pub fn needed(&self) -> NeededTaps {
        let mut days = Vec::new();
        for (feed, book) in (0..).zip(&self.feeds) {
            let told = book.days.iter();
            days.extend(told.map(|(day, told)| NeededTapDay {
                feed,
                interval: book.feed.interval,
                day: *day,
                chunks: told.chunks.clone(),
                changed: told.changed,
            }));
        }
        NeededTaps {
            through: self.last,
            days,
        }
    }

    /// Takes counts in, and gives what they change in the store.
    pub(super) fn tell(
        &mut self,
        (position, stamp): (Position, Stamp),
        batch: &TapBatch,
        dictionary: &mut Arc<Dictionary>,
    ) -> (TapsApplied, Option<TapChange>) {
        let number = match self.find(&batch.feed().id) {
            Some((number, book)) if book.feed == *batch.feed() => number,
            Some(_) => return (TapsApplied::FeedRefused, None),
            None if TAP_FEEDS_MAX <= self.feeds.len() => return (TapsApplied::FeedRefused, None),
            None => self.begin(position, batch.feed(), dictionary),
        };
        let book = Arc::make_mut(&mut self.feeds[usize::from(number)]);
        let scopes: Vec<_> = batch
            .scopes()
            .iter()
            .map(|scope| book.learn(scope, dictionary))
            .collect();
        let counts = placed(batch, &scopes, self.kept_from);
        let left_out = batch.cells().len() - counts.len();
        let left_out = u16::try_from(left_out).expect("an entry is bounded in bytes");
        let applied = TapsApplied::Told { left_out };
        if counts.is_empty() {
            return (applied, None);
        }
        book.note(position, &counts);
        let change = TapChange::Counts {
            position,
            stamp,
            feed: number,
            interval: book.feed.interval,
            counts,
        };
        self.changed(&change);
        (applied, Some(change))
    }

    /// Removes days, and gives what that changes in the store. Nothing if they were removed
    /// before.
    pub(super) fn remove(
        &mut self,
        (position, stamp): (Position, Stamp),
        before: LocalDay,
    ) -> Option<TapChange> {
        if self.kept_from.is_some_and(|from| before <= from) {
            return None;
        }
        self.kept_from = Some(before);
        for book in &mut self.feeds {
            if book.days.keys().next().is_some_and(|first| *first < before) {
                let book = Arc::make_mut(book);
                book.days = book.days.split_off(&before);
            }
        }
        let change = TapChange::Removed {
            position,
            stamp,
            before,
        };
        self.changed(&change);
        Some(change)
    }

    /// The change that an entry made when it was folded, as far as it still matters.
    pub(super) fn again(
        &self,
        (position, stamp): (Position, Stamp),
        batch: &TapBatch,
        dictionary: &Dictionary,
    ) -> Option<TapChange> {
        let (number, book) = self.find(&batch.feed().id)?;
        if book.feed != *batch.feed() {
            return None;
        }
        let scopes: Vec<_> = batch
            .scopes()
            .iter()
            .map(|scope| book.find(scope, dictionary))
            .collect();
        let counts = placed(batch, &scopes, self.kept_from);
        (!counts.is_empty()).then_some(TapChange::Counts {
            position,
            stamp,
            feed: number,
            interval: book.feed.interval,
            counts,
        })
    }

    fn begin(
        &mut self,
        position: Position,
        feed: &TapFeed,
        dictionary: &mut Arc<Dictionary>,
    ) -> u16 {
        if dictionary.operator_number(feed.operator.as_str()).is_none() {
            Arc::make_mut(dictionary).learn_operator(&feed.operator);
        }
        let book = FeedBook::new(feed.clone(), position);
        self.feeds.push(Arc::new(book));
        u16::try_from(self.feeds.len() - 1).expect("TAP_FEEDS_MAX is small")
    }

    fn changed(&mut self, change: &TapChange) {
        self.last = change.position();
        let mut add = |bytes: &[u8]| self.crc = crc32c::crc32c_append(self.crc, bytes);
        match change {
            TapChange::Counts {
                position,
                feed,
                counts,
                ..
            } => {
                add(&position.0.to_le_bytes());
                add(&feed.to_le_bytes());
                for count in counts {
                    add(&count.day.0.to_le_bytes());
                    add(&count.scope.to_le_bytes());
                    add(&[count.slot]);
                    add(&count.taps.get().to_le_bytes());
                }
            }
            TapChange::Removed {
                position, before, ..
            } => {
                add(&position.0.to_le_bytes());
                add(&before.0.to_le_bytes());
            }
        }
    }

    /// How much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let book = |book: &Arc<FeedBook>| {
            let days = book.days.values().map(|day| day.chunks.capacity() * 2 + 48);
            book.scopes.capacity() * size_of::<ScopeNumbers>()
                + book.index.allocation_size()
                + days.sum::<usize>()
        };
        self.feeds.iter().map(book).sum()
    }
}

/// The counts of a batch, as far as their scopes have numbers and their days are kept.
fn placed(
    batch: &TapBatch,
    scopes: &[Option<u32>],
    kept_from: Option<LocalDay>,
) -> Vec<PlacedTaps> {
    let cells = batch.cells().iter();
    let place = |cell: &crate::domain::taps::TapCell| {
        let scope = scopes[usize::from(cell.scope)]?;
        let is_kept = kept_from.is_none_or(|from| from <= cell.slot.day);
        is_kept.then_some(PlacedTaps {
            day: cell.slot.day,
            scope,
            slot: cell.slot.slot,
            taps: cell.taps,
        })
    };
    cells.filter_map(place).collect()
}

// === impl FeedBook ===

impl FeedBook {
    pub(super) fn new(feed: TapFeed, declared: Position) -> Self {
        Self {
            feed,
            declared,
            scopes: Vec::new(),
            index: HashMap::new(),
            days: BTreeMap::new(),
        }
    }

    /// The same feed with the same scopes, of which nothing was told.
    pub(super) fn without_days(&self) -> Self {
        Self {
            scopes: self.scopes.clone(),
            index: self.index.clone(),
            ..Self::new(self.feed.clone(), self.declared)
        }
    }

    /// What it declares.
    pub fn feed(&self) -> &TapFeed {
        &self.feed
    }

    /// Its scopes by number, from 0 up.
    pub fn scopes(&self) -> &[ScopeNumbers] {
        &self.scopes
    }

    /// Place of the entry that declared it.
    pub fn declared(&self) -> Position {
        self.declared
    }

    /// The service days of which anything was told.
    pub fn days(&self) -> &BTreeMap<LocalDay, TapDay> {
        &self.days
    }

    /// Adds the scope with these numbers; says whether it is new.
    pub(super) fn add(&mut self, numbers: ScopeNumbers) -> bool {
        let number = u32::try_from(self.scopes.len()).expect("TAP_SCOPES_MAX is small");
        if self.index.insert(numbers, number).is_some() {
            return false;
        }
        self.scopes.push(numbers);
        true
    }

    /// The number of a scope, given out now if need be; `None` if there are none left.
    fn learn(&mut self, scope: &TapScope, dictionary: &mut Arc<Dictionary>) -> Option<u32> {
        let numbers = match numbers(scope, dictionary) {
            Some(numbers) => numbers,
            None => {
                Arc::make_mut(dictionary).learn_scope(scope);
                numbers(scope, dictionary)?
            }
        };
        if let Some(number) = self.index.get(&numbers) {
            return Some(*number);
        }
        if TAP_SCOPES_MAX <= self.scopes.len() {
            return None;
        }
        self.add(numbers);
        self.index.get(&numbers).copied()
    }

    /// Whether a scope has a number.
    pub fn knows(&self, scope: &TapScope, dictionary: &Dictionary) -> bool {
        self.find(scope, dictionary).is_some()
    }

    fn find(&self, scope: &TapScope, dictionary: &Dictionary) -> Option<u32> {
        self.index.get(&numbers(scope, dictionary)?).copied()
    }

    fn note(&mut self, position: Position, counts: &[PlacedTaps]) {
        for run in counts.chunk_by(|one, next| one.day == next.day) {
            let Some(first) = run.first() else { continue };
            let TapDay { chunks, changed } = self.days.entry(first.day).or_default();
            *changed = position;
            for count in run {
                let chunk = tap_chunk(self.feed.interval, count.scope);
                if let Err(place) = chunks.binary_search(&chunk) {
                    chunks.insert(place, chunk);
                }
            }
        }
    }
}

/// Numbers of a scope's line and stop; `None` if one has none.
fn numbers(scope: &TapScope, dictionary: &Dictionary) -> Option<ScopeNumbers> {
    let line = match scope.line() {
        Some(line) => dictionary.line_number(line.as_str())?,
        None => 0,
    };
    let stop = match scope.stop() {
        Some(stop) => dictionary.stop_number(stop.as_str())?,
        None => 0,
    };
    Some((line, stop))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::testing::{EPOCH, Maker, NOON, entries, tap_feed, tap_scope};
    use super::super::{Applied, Ledger, LedgerError, State};
    use super::*;
    use crate::domain::limits::TAP_CHANGES_PENDING_MAX;
    use crate::domain::taps::{TapCount, TapSlot, Taps};
    use crate::domain::{Entry, Record};
    use crate::store::Store;
    use crate::store::taps::DayTotal;

    /// Feed, scope, slot.
    type Place = (String, TapScope, TapSlot);

    /// What a plain map says of the same entries.
    fn mapped(entries: &[Record]) -> BTreeMap<Place, u32> {
        let mut map = BTreeMap::new();
        let mut kept_from = LocalDay(0);
        for record in entries {
            match &record.entry {
                Entry::TapCounts(batch) => {
                    for cell in batch.cells() {
                        let scope = batch.scopes()[usize::from(cell.scope)].clone();
                        if kept_from <= cell.slot.day {
                            let place = (batch.feed().id.to_string(), scope, cell.slot);
                            map.insert(place, cell.taps.get());
                        }
                    }
                }
                Entry::TapCountsRemoved { before } => {
                    kept_from = kept_from.max(*before);
                    map.retain(|(_, _, slot), _| kept_from <= slot.day);
                }
                _ => {}
            }
        }
        map
    }

    /// What the ledger says, and whether its totals are the sums of its counts.
    fn read(ledger: &Ledger) -> BTreeMap<Place, u32> {
        let (view, ()) = ledger.tap_view(|_| ()).expect("the store is attached");
        let reader = view.reader();
        let mut map = BTreeMap::new();
        for (number, book) in (0..).zip(view.book.feeds()) {
            let interval = book.feed.interval;
            let scope = |scope: u32| {
                let (line, stop) = book.scopes[scope as usize];
                let line = view.dictionary.line(line).cloned();
                match (line, view.dictionary.stop(stop).cloned()) {
                    (None, None) => TapScope::Operator,
                    (Some(line), None) => TapScope::Line(line),
                    (None, Some(stop)) => TapScope::Stop(stop),
                    (Some(line), Some(stop)) => TapScope::LineStop(line, stop),
                }
            };
            for (day, TapDay { chunks, .. }) in &book.days {
                let mut sums = BTreeMap::<u32, DayTotal>::new();
                let each = |number, slot, taps| {
                    let slot = TapSlot { day: *day, slot };
                    map.insert((book.feed.id.to_string(), scope(number), slot), taps);
                    let sum = sums.entry(number).or_default();
                    sum.told += 1;
                    sum.taps += u64::from(taps);
                };
                reader
                    .each_count(number, interval, *day, chunks, each)
                    .expect("whole");
                let totals = reader
                    .totals(number, interval, *day, chunks)
                    .expect("whole");
                let told = (0..).zip(totals).filter(|(_, total)| total.told != 0);
                assert_eq!(told.collect::<BTreeMap<_, _>>(), sums);
            }
        }
        map
    }

    fn store(dir: &tempfile::TempDir, name: &str) -> Store {
        Store::create(&dir.path().join(name), EPOCH).expect("an empty store")
    }

    /// Many tap counts, few other entries.
    fn made(seed: u64, count: usize) -> Vec<Record> {
        let mut maker = Maker::new(seed);
        let mut made = Vec::new();
        for number in 0..count {
            let entry = match number % 5 {
                0 => maker.incident(),
                _ => maker.tap_counts(),
            };
            made.push(maker.place(entry, 60_000));
        }
        made
    }

    fn one(day: LocalDay, taps: u64) -> Entry {
        let feed = tap_feed(2);
        let count = TapCount {
            scope: tap_scope(feed.grain, 7),
            slot: TapSlot { day, slot: 3 },
            taps: Taps::new(taps).expect("few"),
        };
        Entry::TapCounts(Box::new(TapBatch::pack(&feed, [count]).remove(0)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn counts_are_those_of_a_plain_map_in_any_batching_and_after_any_restart(
            seed in any::<u64>(),
            batch in 1usize..60,
            cut in 0usize..200,
            late in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().expect("a folder");
            let entries = made(seed, 200);
            let ledger = Ledger::new(State::new(EPOCH));
            if !late {
                ledger.attach_store(store(&dir, "store"));
            }
            entries[..cut].chunks(batch).for_each(|some| drop(ledger.apply(some)));
            if late {
                ledger.attach_store(store(&dir, "store"));
            }
            prop_assert_eq!(read(&ledger), mapped(&entries[..cut]));
            ledger.checkpoint(dir.path()).expect("written");
            // Put once more than the checkpoint knows, as before a kill.
            let state = Ledger::read_checkpoint(dir.path(), EPOCH).expect("whole").expect("there");
            ledger.apply(&entries[cut..]);
            ledger.flush_blocks().expect("a working store");
            drop(ledger);
            let needed = state.taps().needed();
            let ledger = Ledger::new(state);
            let kept = Store::open(&dir.path().join("store"), EPOCH, ledger.blocks_needed().numbers);
            let kept = kept.expect("whole");
            if !entries[cut..].iter().any(|record| matches!(record.entry, Entry::TapCountsRemoved { .. })) {
                kept.check_taps(&needed).expect("all there");
            }
            ledger.attach_store(kept);
            entries[cut..].chunks(batch).for_each(|some| drop(ledger.apply(some)));
            prop_assert_eq!(read(&ledger), mapped(&entries));
            ledger.flush_blocks().expect("a working store");
            prop_assert_eq!(read(&ledger), mapped(&entries));
            let refilled = Ledger::new(ledger.read().clone());
            let back = entries.iter().cloned().map(Ok::<_, std::convert::Infallible>);
            refilled.refill(store(&dir, "refilled"), back).expect("the journal is whole");
            prop_assert_eq!(read(&refilled), mapped(&entries));
        }

        #[test]
        fn digest_tells_tap_counts_apart(entries in entries(50..300)) {
            let fold = |entries: &[Record]| {
                let mut state = State::new(EPOCH);
                for record in entries {
                    state.apply(record.position, record.stamp, &record.entry);
                }
                state.digest()
            };
            let mut other = entries.clone();
            let taps = other.iter_mut().rfind(|record| matches!(record.entry, Entry::TapCounts(_)));
            if let Some(record) = taps {
                record.entry = one(NOON.hour().expect("supported").local_day(), 5);
                prop_assert_ne!(fold(&other), fold(&entries));
            }
        }
    }

    #[test]
    fn later_count_replaces_and_also_after_the_day_was_stored() {
        let dir = tempfile::tempdir().expect("a folder");
        let day = LocalDay(20_000);
        let ledger = Ledger::new(State::new(EPOCH));
        ledger.attach_store(store(&dir, "store"));
        let mut expected = BTreeMap::new();
        let place = (
            "feed-2".to_owned(),
            tap_scope(tap_feed(2).grain, 7),
            TapSlot { day, slot: 3 },
        );
        for (position, taps) in [(1, 90_000), (2, 7), (3, 0), (4, 1_000_000_000)] {
            let record = Record {
                position: Position(position),
                stamp: NOON,
                entry: one(day, taps),
            };
            ledger.apply(&[record]);
            expected.insert(place.clone(), u32::try_from(taps).expect("few"));
            assert_eq!(read(&ledger), expected);
            ledger.flush_blocks().expect("a working store");
            assert_eq!(read(&ledger), expected);
        }
    }

    /// More than may wait for the store.
    const MANY: u64 = TAP_CHANGES_PENDING_MAX as u64 + 100;

    fn record(position: u64, entry: Entry) -> Record {
        Record {
            position: Position(position),
            stamp: NOON,
            entry,
        }
    }

    fn many(from: u64) -> Vec<Record> {
        let records = (from..from + MANY).map(|position| {
            let day = LocalDay(20_000 + i32::try_from(position % 50).expect("few"));
            record(position, one(day, position))
        });
        records.collect()
    }

    #[test]
    fn fold_at_the_start_never_waits_for_the_store_which_gets_its_counts_from_the_journal() {
        let dir = tempfile::tempdir().expect("a folder");
        let entries = many(1);
        let ledger = Ledger::new(State::new(EPOCH));
        ledger.begin_fold();
        // Without a store nothing makes room: it would wait for ever.
        entries.chunks(64).for_each(|some| drop(ledger.apply(some)));
        ledger.attach_store(store(&dir, "store"));
        ledger.end_fold();
        assert!(ledger.store_is_opening());
        let late = record(MANY + 1, one(LocalDay(20_001), 5));
        ledger.apply(std::slice::from_ref(&late));
        let refused = ledger.tap_view(|_| ()).err();
        assert!(matches!(refused, Some(LedgerError::StoreOpening)));
        assert!(matches!(
            ledger.flush_blocks(),
            Err(LedgerError::StoreOpening)
        ));
        // A part of them is in already, as after a kill.
        let store = ledger.scan_view().expect("attached").store;
        let mut state = State::new(EPOCH);
        for record in &entries[..200] {
            state.apply(record.position, record.stamp, &record.entry);
        }
        store.put_taps(&state.take_tap_changes()).expect("room");
        let all: Vec<_> = entries.iter().chain([&late]).cloned().collect();
        let read_from = |from: Position| {
            assert_eq!(from, Position(201), "what is in is not put again");
            let rest = all
                .clone()
                .into_iter()
                .filter(move |record| from <= record.position);
            rest.map(Ok::<_, std::convert::Infallible>)
        };
        ledger.put_folded_taps(&store, read_from).expect("room");
        assert!(!ledger.store_is_opening());
        assert_eq!(read(&ledger), mapped(&all));
        ledger.flush_blocks().expect("a working store");
        assert_eq!(read(&ledger), mapped(&all));
    }

    #[test]
    fn reports_never_wait_for_taps_that_wait_for_a_store_which_is_opening() {
        let dir = tempfile::tempdir().expect("a folder");
        let entries = many(1);
        let ledger = Ledger::new(State::new(EPOCH));
        ledger.apply(&entries[..1]);
        assert!(ledger.has_room_for_taps());
        // What had come to the queue before it was full is taken in, too.
        ledger.apply(&entries[1..]);
        assert!(!ledger.has_room_for_taps());
        let next = Position(MANY + 1);
        ledger.apply(&[record(next.0, Entry::Tick)]);
        assert_eq!(ledger.read().position(), next);
        ledger.attach_store(store(&dir, "store"));
        assert!(ledger.has_room_for_taps());
        assert_eq!(read(&ledger), mapped(&entries));
    }

    #[test]
    fn feed_that_is_declared_otherwise_counts_nothing() {
        let day = LocalDay(20_000);
        let mut state = State::new(EPOCH);
        state.apply(Position(1), NOON, &one(day, 1));
        let before = state.taps().crc;
        let mut feed = tap_feed(2);
        feed.refusals = crate::domain::taps::Refusals::Unknown;
        let count = TapCount {
            scope: tap_scope(feed.grain, 7),
            slot: TapSlot { day, slot: 3 },
            taps: Taps::default(),
        };
        let batch = TapBatch::pack(&feed, [count]).remove(0);
        let applied = state.apply(Position(2), NOON, &Entry::TapCounts(Box::new(batch)));
        assert_eq!(applied, Applied::Taps(TapsApplied::FeedRefused));
        assert_eq!(state.taps().crc, before);
        assert_eq!(state.take_tap_changes().len(), 1);
    }

    #[test]
    fn counts_of_days_that_are_kept_no_longer_are_left_out() {
        let mut state = State::new(EPOCH);
        state.apply(Position(1), NOON, &one(LocalDay(20_000), 1));
        state.apply(Position(2), NOON, &one(LocalDay(20_001), 1));
        let before = LocalDay(20_001);
        state.apply(Position(3), NOON, &Entry::TapCountsRemoved { before });
        assert_eq!(state.taps().first_day(), Some(before));
        let applied = state.apply(Position(4), NOON, &one(LocalDay(20_000), 1));
        assert_eq!(applied, Applied::Taps(TapsApplied::Told { left_out: 1 }));
        assert_eq!(state.taps().first_day(), Some(before));
    }
}
