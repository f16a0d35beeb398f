//! Tap counts in sled: dense blocks for each feed and service day.
//!
//! The scopes of a feed are numbered from 0; a *chunk* is so many of them that their counts
//! of one day fit in a block: 4,096 of a feed of days, 256 of hours, 64 of quarters. Where a
//! day has several intervals, *totals* blocks (of 4,096 scopes each) tell for each scope how
//! many of them were told and their sum, so that questions about whole days read a twentieth.
//!
//! Every block carries the place in the journal of the last change that touched it, so that
//! changes can be put again after a start without being counted twice. Blocks of one key
//! are replaced as a whole; each ends in a CRC-32C. A mark beside them tells through where in
//! the journal all of them reach, so that a store of another past is not taken for this one.

mod block;
mod mark;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::InvalidBlock;
use super::{BATCH_BLOCKS_MAX, READS_PER_BLOCK, Store, StoreError, guarded};
use crate::domain::taps::{TapInterval, Taps};
use crate::domain::{LocalDay, Position, Stamp};
use block::{Counts, Key, OneTold, Part, TOTALS_SCOPES, Told, Totals, chunk_scopes, open};
use mark::MARK_KEY;

pub use block::{DayTotal, tap_chunk};
pub use mark::TapsMark;

pub(super) const TAPS_TREE: &[u8] = b"taps";
/// Keys looked at, or removed, at once.
const KEYS_AT_ONCE: usize = 1_024;

/// A block of counts that should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TapPlace {
    /// Number of the feed.
    pub feed: u16,
    /// The service day.
    pub day: LocalDay,
    /// Number of the chunk of scopes.
    pub chunk: u16,
}

/// What a store must have of one feed's day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededTapDay {
    /// Number of the feed.
    pub feed: u16,
    /// How long its intervals are.
    pub interval: TapInterval,
    /// The service day.
    pub day: LocalDay,
    /// Chunks of scopes of which anything was told, rising.
    pub chunks: Vec<u16>,
    /// Place of the last entry that told any of it.
    pub changed: Position,
}

/// What a store must have of tap counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeededTaps {
    /// Every change through this place.
    pub through: Position,
    /// What those told, by feed and day.
    pub days: Vec<NeededTapDay>,
}

/// One count, with numbers in place of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedTaps {
    /// The service day.
    pub day: LocalDay,
    /// Number of the scope in its feed.
    pub scope: u32,
    /// Number of the interval in the day.
    pub slot: u8,
    /// How many taps.
    pub taps: Taps,
}

/// What one entry of the journal changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapChange {
    /// Counts of one feed, each replacing what was told before.
    Counts {
        /// The entry's place.
        position: Position,
        /// When it was recorded.
        stamp: Stamp,
        /// Number of the feed.
        feed: u16,
        /// How long its intervals are.
        interval: TapInterval,
        /// In the order in which they were told.
        counts: Vec<PlacedTaps>,
    },
    /// Days before this one are kept no longer, of any feed.
    Removed {
        /// The entry's place.
        position: Position,
        /// When it was recorded.
        stamp: Stamp,
        /// The first day that is kept.
        before: LocalDay,
    },
}

impl TapChange {
    /// The entry's place.
    pub fn position(&self) -> Position {
        match self {
            Self::Counts { position, .. } | Self::Removed { position, .. } => *position,
        }
    }

    /// When the entry was recorded.
    pub fn stamp(&self) -> Stamp {
        match self {
            Self::Counts { stamp, .. } | Self::Removed { stamp, .. } => *stamp,
        }
    }
}

/// A block as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapBlock {
    key: Key,
    /// The place of the last change in it.
    pub position: Position,
    bytes: Vec<u8>,
}

impl TapBlock {
    fn read(key: Key, bytes: &[u8]) -> Result<Self, StoreError> {
        let (position, _) = open(key, bytes).map_err(|source| invalid(key, source))?;
        Ok(Self {
            key,
            position,
            bytes: bytes.to_vec(),
        })
    }

    /// The service day that it tells of.
    pub fn day(&self) -> LocalDay {
        self.key.day
    }
}

// === Reading ===

/// Counts of some days in memory, as blocks of a store would have them.
#[derive(Debug, Default)]
pub struct TapBlocks(BTreeMap<TapPlace, Counts>);

impl TapBlocks {
    /// Takes the counts of those days that are wanted; changes come in their order.
    pub fn apply(&mut self, change: &TapChange, wants: impl Fn(LocalDay) -> bool) {
        let mut told = BTreeMap::<TapPlace, Told>::new();
        each_told(change, |place, one| {
            if wants(place.day) {
                told.entry(place).or_default().push(one);
            }
        });
        for (place, told) in told {
            self.0.entry(place).or_default().apply(&told);
        }
    }

    /// About how many bytes of memory one block of a feed of such intervals takes at most.
    pub fn block_bytes_max(interval: TapInterval) -> u64 {
        let slots = u64::from(interval.slots_max());
        u64::from(chunk_scopes(interval)) * (ROW_BYTES + slots * size_of::<u32>() as u64)
    }
}

/// What a row of counts takes beside its slots, with what is lost between allocations.
const ROW_BYTES: u64 = 40;

/// The counts of the store with changes on their way laid over them, or counts in memory.
pub struct TapReader<'a> {
    source: Source<'a>,
    pending: BTreeMap<TapPlace, Told>,
}

enum Source<'a> {
    Store(&'a Store),
    Memory(&'a TapBlocks),
}

impl<'a> TapReader<'a> {
    /// `changes` are those that the store may not have yet, in their order.
    pub fn new(store: &'a Store, changes: &[Arc<TapChange>]) -> Self {
        Self {
            source: Source::Store(store),
            pending: laid_over(changes),
        }
    }

    /// Of these blocks alone.
    pub fn of_blocks(blocks: &'a TapBlocks) -> Self {
        Self {
            source: Source::Memory(blocks),
            pending: BTreeMap::new(),
        }
    }

    /// The totals of a day, by number of scope; scopes beyond the end told nothing. `chunks`
    /// are the chunks of counts that were ever told on that day.
    pub fn totals(
        &self,
        feed: u16,
        interval: TapInterval,
        day: LocalDay,
        chunks: &[u16],
    ) -> Result<Vec<DayTotal>, StoreError> {
        let mut all = Vec::new();
        let mut put = |first: u32, rows: &[DayTotal]| {
            let (first, end) = (first as usize, first as usize + rows.len());
            if all.len() < end {
                all.resize(end, DayTotal::default());
            }
            all[first..end].copy_from_slice(rows);
        };
        let per_total = TOTALS_SCOPES / chunk_scopes(interval);
        for same in
            chunks.chunk_by(|one, next| u32::from(*one) / per_total == u32::from(*next) / per_total)
        {
            let big = same
                .first()
                .map_or(0, |chunk| u32::from(*chunk) / per_total);
            let place = |chunk: &u16| TapPlace {
                feed,
                day,
                chunk: *chunk,
            };
            let is_pending = |chunk: &u16| self.pending.contains_key(&place(chunk));
            let store = match self.source {
                Source::Store(store) => Some(store),
                Source::Memory(_) => None,
            };
            let has_totals = interval != TapInterval::Day && !same.iter().any(is_pending);
            let Some(store) = store.filter(|_| has_totals) else {
                for chunk in same {
                    let counts = self.counts(place(chunk))?;
                    let scopes = 0..u32::try_from(counts.rows.len()).unwrap_or(0);
                    let rows: Vec<_> = scopes.map(|scope| counts.total(scope)).collect();
                    put(u32::from(*chunk) * chunk_scopes(interval), &rows);
                }
                continue;
            };
            let key = Key {
                feed,
                day,
                part: Part::Totals,
                chunk: u16::try_from(big).expect("fewer than chunks of counts"),
            };
            let totals = store.read_taps(key, Totals::unpack)?;
            put(big * TOTALS_SCOPES, &totals.ok_or(missing(key))?.rows);
        }
        Ok(all)
    }

    /// Calls `each` with scope, slot and taps of every count of a day.
    pub fn each_count(
        &self,
        feed: u16,
        interval: TapInterval,
        day: LocalDay,
        chunks: &[u16],
        mut each: impl FnMut(u32, u8, u32),
    ) -> Result<(), StoreError> {
        for chunk in chunks {
            let counts = self.counts(TapPlace {
                feed,
                day,
                chunk: *chunk,
            })?;
            let first = u32::from(*chunk) * chunk_scopes(interval);
            for (scope, row) in (first..).zip(&counts.rows) {
                for (slot, value) in (0..).zip(row) {
                    if *value != 0 {
                        each(scope, slot, value - 1);
                    }
                }
            }
        }
        Ok(())
    }

    fn counts(&self, place: TapPlace) -> Result<Cow<'_, Counts>, StoreError> {
        let store = match self.source {
            Source::Store(store) => store,
            Source::Memory(blocks) => {
                let found = blocks.0.get(&place).map(Cow::Borrowed);
                return found.ok_or(missing(place.into()));
            }
        };
        let found = store.read_taps(place.into(), Counts::unpack)?;
        match (found, self.pending.get(&place)) {
            (Some(counts), None) => Ok(Cow::Owned(counts)),
            (None, None) => Err(missing(place.into())),
            (found, Some(told)) => {
                let mut counts = found.unwrap_or_default();
                counts.apply(told);
                Ok(Cow::Owned(counts))
            }
        }
    }
}

/// Changes by the block that they belong in.
fn laid_over(changes: &[Arc<TapChange>]) -> BTreeMap<TapPlace, Told> {
    let mut pending = BTreeMap::<_, Told>::new();
    for change in changes {
        each_told(change, |place, told| {
            pending.entry(place).or_default().push(told);
        });
    }
    pending
}

fn missing(key: Key) -> StoreError {
    StoreError::TapsMissing { day: key.day }
}

// === Writing and checking ===

/// Calls `each` with every count of a change and the block that it belongs in.
fn each_told(change: &TapChange, mut each: impl FnMut(TapPlace, OneTold)) {
    let TapChange::Counts {
        position,
        feed,
        interval,
        counts,
        ..
    } = change
    else {
        return;
    };
    for count in counts {
        let place = TapPlace {
            feed: *feed,
            day: count.day,
            chunk: tap_chunk(*interval, count.scope),
        };
        let within = count.scope % chunk_scopes(*interval);
        each(place, (*position, within, count.slot, count.taps));
    }
}

/// Which blocks of a feed: those of one day, of so many scopes as one block of totals has.
#[derive(Clone, Copy)]
struct DayPlace {
    feed: u16,
    interval: TapInterval,
    day: LocalDay,
    /// Number of the block of totals.
    big: u32,
}

impl Store {
    /// Puts changes, in their order. Changes that a block has already are left out of it. They
    /// survive a power cut after the next `sync`.
    pub fn put_taps(&self, changes: &[Arc<TapChange>]) -> Result<(), StoreError> {
        self.check_poison()?;
        let is_removal = |change: &Arc<TapChange>| matches!(**change, TapChange::Removed { .. });
        for run in changes.chunk_by(|one, next| is_removal(one) == is_removal(next)) {
            let Some(last) = run.last() else { continue };
            let mark = self.taps_mark()?.unwrap_or(TapsMark::NONE);
            let mark = mark.begin(last.position(), last.stamp());
            match &**last {
                TapChange::Removed { before, .. } => {
                    Batch::new(self, mark).write()?;
                    self.remove_taps(*before)?;
                }
                TapChange::Counts { .. } => self.put_counts(run, mark)?,
            }
            Batch::new(self, mark.finish(last.position())).write()?;
        }
        Ok(())
    }

    /// Puts counts, each batch with the mark, so that no block is ever ahead of it.
    fn put_counts(&self, changes: &[Arc<TapChange>], mark: TapsMark) -> Result<(), StoreError> {
        // By block of totals, so that each is made once.
        let mut told = BTreeMap::<(u16, LocalDay, u32), BTreeMap<u16, Told>>::new();
        let mut intervals = BTreeMap::new();
        for change in changes {
            let TapChange::Counts { feed, interval, .. } = &**change else {
                continue;
            };
            intervals.insert(*feed, *interval);
            each_told(change, |place, one| {
                let big = u32::from(place.chunk) * chunk_scopes(*interval) / TOTALS_SCOPES;
                let blocks = told.entry((place.feed, place.day, big)).or_default();
                blocks.entry(place.chunk).or_default().push(one);
            });
        }
        let mut batch = Batch::new(self, mark);
        for ((feed, day, big), blocks) in told {
            let place = DayPlace {
                feed,
                interval: intervals[&feed],
                day,
                big,
            };
            self.put_day(&mut batch, place, blocks)?;
        }
        batch.write()
    }

    /// Puts the blocks of one day and block of totals.
    fn put_day(
        &self,
        batch: &mut Batch<'_>,
        place: DayPlace,
        blocks: BTreeMap<u16, Told>,
    ) -> Result<(), StoreError> {
        let DayPlace {
            feed,
            interval,
            day,
            big,
        } = place;
        let key = |part, chunk| Key {
            feed,
            day,
            part,
            chunk,
        };
        let has_totals = interval != TapInterval::Day;
        let totals_key = key(Part::Totals, u16::try_from(big).expect("few scopes"));
        let mut totals = match has_totals {
            true => self
                .read_taps(totals_key, Totals::unpack)?
                .unwrap_or_default(),
            false => Totals::default(),
        };
        for (chunk, cells) in blocks {
            let key = key(Part::Counts, chunk);
            let mut counts = self.read_taps(key, Counts::unpack)?.unwrap_or_default();
            counts.apply(&cells);
            let first = u32::from(chunk) * chunk_scopes(interval) % TOTALS_SCOPES;
            for (_, scope, ..) in &cells {
                totals.set(first + scope, counts.total(*scope));
            }
            totals.position = totals.position.max(counts.position);
            batch.put(key, counts.pack(key))?;
        }
        if has_totals {
            batch.put(totals_key, totals.pack(totals_key))?;
        }
        Ok(())
    }

    /// Removes all days before this one.
    fn remove_taps(&self, before: LocalDay) -> Result<(), StoreError> {
        let taps = &self.0.taps;
        let mut feed = self.first_tap_key(0)?.map(|key| key.feed);
        while let Some(of) = feed {
            let key = |day| {
                Key {
                    feed: of,
                    day,
                    part: Part::Totals,
                    chunk: 0,
                }
                .bytes()
            };
            let range = key(LocalDay(0))..key(before);
            loop {
                let keys = guarded("read", || {
                    let keys = taps.range(range.clone()).keys().take(KEYS_AT_ONCE);
                    keys.collect::<Result<Vec<_>, _>>()
                })?;
                if keys.is_empty() {
                    break;
                }
                let mut batch = sled::Batch::default();
                keys.into_iter().for_each(|key| batch.remove(key));
                guarded("write to", || taps.apply_batch(batch))?;
            }
            feed = match of.checked_add(1) {
                Some(next) => self.first_tap_key(next)?.map(|key| key.feed),
                None => None,
            };
        }
        Ok(())
    }

    /// The first key of a feed or of any after it.
    fn first_tap_key(&self, feed: u16) -> Result<Option<Key>, StoreError> {
        let found = guarded("read", || {
            let from = self.0.taps.range(feed.to_be_bytes()..);
            from.keys().next().transpose()
        })?;
        Ok(found.as_deref().and_then(Key::parse))
    }

    /// Through where in the journal the tap counts reach; `None` if none were ever put.
    pub fn taps_mark(&self) -> Result<Option<TapsMark>, StoreError> {
        let found = guarded("read", || self.0.taps.get(MARK_KEY))?;
        if let Some(bytes) = found {
            return TapsMark::unpack(&bytes).map(Some);
        }
        let is_empty = guarded("read", || Ok(self.0.taps.is_empty()))?;
        match is_empty {
            true => Ok(None),
            // As earlier versions left it: what it knows of cannot be told.
            false => Err(StoreError::TapsUnmarked),
        }
    }

    /// Checks that every change that is needed is in, and that each block which tells of them
    /// is there and whole, with the totals that it needs.
    pub fn check_taps(&self, needed: &NeededTaps) -> Result<(), StoreError> {
        let mark = self.taps_mark()?.unwrap_or(TapsMark::NONE);
        if mark.whole_through < needed.through {
            return Err(StoreError::TapsBehind);
        }
        for day in &needed.days {
            self.check_tap_day(day)?;
        }
        Ok(())
    }

    fn check_tap_day(&self, needed: &NeededTapDay) -> Result<(), StoreError> {
        let key = |part, chunk| Key {
            feed: needed.feed,
            day: needed.day,
            part,
            chunk,
        };
        let mut newest = Position(0);
        let mut totals_before = None;
        for chunk in &needed.chunks {
            let counts_key = key(Part::Counts, *chunk);
            let counts = self.read_taps(counts_key, Counts::unpack)?;
            newest = newest.max(counts.ok_or(missing(counts_key))?.position);
            let big = u32::from(*chunk) * chunk_scopes(needed.interval) / TOTALS_SCOPES;
            let big = u16::try_from(big).expect("fewer than chunks of counts");
            if needed.interval != TapInterval::Day && totals_before != Some(big) {
                let totals_key = key(Part::Totals, big);
                let totals = self.read_taps(totals_key, Totals::unpack)?;
                totals.ok_or(missing(totals_key))?;
                totals_before = Some(big);
            }
        }
        if newest < needed.changed {
            Err(StoreError::TapsBehind)
        } else {
            Ok(())
        }
    }

    /// Calls `each` for every block of tap counts, in the order of the keys. Checks every
    /// checksum.
    pub fn each_tap_block(
        &self,
        mut each: impl FnMut(&TapBlock) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut from: Vec<u8> = Vec::new();
        loop {
            let found = guarded("read", || {
                let blocks = self.0.taps.range(from.clone()..MARK_KEY.to_vec());
                let blocks = blocks.take(BATCH_BLOCKS_MAX);
                blocks.collect::<Result<Vec<_>, _>>()
            })?;
            let Some((last, _)) = found.last() else {
                return Ok(());
            };
            from = [last, &[0][..]].concat();
            for (key, bytes) in &found {
                let key = Key::parse(key).ok_or(StoreError::TapsKey)?;
                each(&TapBlock::read(key, bytes)?)?;
            }
        }
    }

    /// The block under the key of another, which may be of another store.
    pub fn same_tap_block(&self, other: &TapBlock) -> Result<Option<TapBlock>, StoreError> {
        let key = other.key;
        let found = guarded("read", || self.0.taps.get(key.bytes()))?;
        found.map(|bytes| TapBlock::read(key, &bytes)).transpose()
    }

    fn read_taps<T>(
        &self,
        key: Key,
        unpack: impl FnOnce(Key, &[u8]) -> Result<T, InvalidBlock>,
    ) -> Result<Option<T>, StoreError> {
        let bytes = key.bytes();
        let found = guarded("read", || {
            // Asked for so often that sled evicts others, see the module above.
            for _ in 1..READS_PER_BLOCK {
                self.0.taps.get(bytes)?;
            }
            self.0.taps.get(bytes)
        })?;
        let unpacked = found.map(|found| unpack(key, &found)).transpose();
        unpacked.map_err(|source| invalid(key, source))
    }
}

fn invalid(key: Key, source: InvalidBlock) -> StoreError {
    StoreError::TapsInvalid {
        day: key.day,
        source,
    }
}

/// Blocks on their way into sled, a bounded number at a time.
struct Batch<'a> {
    store: &'a Store,
    mark: TapsMark,
    batch: sled::Batch,
    blocks: usize,
}

impl<'a> Batch<'a> {
    fn new(store: &'a Store, mark: TapsMark) -> Self {
        Self {
            store,
            mark,
            batch: sled::Batch::default(),
            blocks: 0,
        }
    }

    fn put(&mut self, key: Key, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.batch.insert(&key.bytes(), bytes);
        self.blocks += 1;
        if self.blocks < BATCH_BLOCKS_MAX {
            return Ok(());
        }
        self.blocks = 0;
        self.apply()
    }

    fn write(mut self) -> Result<(), StoreError> {
        self.apply()
    }

    fn apply(&mut self) -> Result<(), StoreError> {
        let mut batch = std::mem::take(&mut self.batch);
        batch.insert(&MARK_KEY, self.mark.pack());
        guarded("write to", || self.store.0.taps.apply_batch(batch))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::block::{HEADER_BYTES, begin, finish};
    use super::*;
    use crate::domain::UtcMillis;
    use crate::domain::entry::Epoch;
    use crate::domain::limits::{BLOCK_BYTES_MAX, TAPS_PER_COUNT_MAX};

    const EPOCH: Epoch = Epoch([7; 16]);
    const DAY: LocalDay = LocalDay(20_000);

    fn key(part: Part) -> Key {
        Key {
            feed: 3,
            day: DAY,
            part,
            chunk: 9,
        }
    }

    fn taps(taps: u32) -> Taps {
        Taps::new(taps.into()).expect("in range")
    }

    /// Of the entry at a place.
    fn stamp(position: u64) -> Stamp {
        UtcMillis(i64::try_from(position).expect("small") * 1_000)
    }

    fn change(position: u64, interval: TapInterval, counts: &[(u32, u8, u32)]) -> Arc<TapChange> {
        let count = |&(scope, slot, number): &(u32, u8, u32)| PlacedTaps {
            day: DAY,
            scope,
            slot,
            taps: taps(number),
        };
        Arc::new(TapChange::Counts {
            position: Position(position),
            stamp: stamp(position),
            feed: 3,
            interval,
            counts: counts.iter().map(count).collect(),
        })
    }

    #[test]
    fn fullest_block_of_each_interval_is_within_its_bound() {
        for interval in TapInterval::ALL.iter().copied() {
            let mut counts = Counts::default();
            let mut totals = Totals::default();
            for scope in 0..chunk_scopes(interval) {
                for slot in 0..interval.slots_max() {
                    counts.set(scope, slot, taps(TAPS_PER_COUNT_MAX));
                }
            }
            for scope in 0..TOTALS_SCOPES {
                totals.set(scope, counts.total(scope % chunk_scopes(interval)));
            }
            assert!(counts.pack(key(Part::Counts)).len() <= BLOCK_BYTES_MAX);
            assert!(totals.pack(key(Part::Totals)).len() <= BLOCK_BYTES_MAX);
        }
    }

    proptest! {
        #[test]
        fn blocks_are_read_back_and_any_change_of_a_byte_is_noticed(
            cells in prop::collection::vec((0u32..64, 0u8..100, 0u32..=1_000_000_000), 1..200),
            at in any::<prop::sample::Index>(),
            bits in 1u8..,
        ) {
            let mut counts = Counts { position: Position(5), rows: Vec::new() };
            let mut totals = Totals { position: Position(6), rows: Vec::new() };
            for (scope, slot, number) in cells {
                counts.set(scope, slot, taps(number));
                totals.set(scope, counts.total(scope));
            }
            let (counts_key, totals_key) = (key(Part::Counts), key(Part::Totals));
            let mut bytes = counts.pack(counts_key);
            let back = Counts::unpack(counts_key, &bytes).expect("as packed");
            prop_assert_eq!(back.pack(counts_key), bytes.clone());
            for scope in 0..64 {
                prop_assert_eq!(back.total(scope), counts.total(scope));
            }
            let totals_bytes = totals.pack(totals_key);
            prop_assert_eq!(Totals::unpack(totals_key, &totals_bytes).expect("as packed"), totals);
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            prop_assert!(Counts::unpack(counts_key, &bytes).is_err());
        }

        #[test]
        fn bodies_with_a_right_checksum_and_random_content_do_not_panic(
            body in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            for part in [Part::Counts, Part::Totals] {
                let mut bytes = begin(key(part), Position(1));
                bytes.extend(&body);
                let bytes = finish(bytes);
                let _ = Counts::unpack(key(part), &bytes);
                let _ = Totals::unpack(key(part), &bytes);
            }
        }

        #[test]
        fn keys_sort_as_feeds_days_and_chunks_do(
            one in (0u16..300, 10_000i32..40_000, 0u16..70),
            other in (0u16..300, 10_000i32..40_000, 0u16..70),
        ) {
            let key = |(feed, day, chunk)| Key { feed, day: LocalDay(day), part: Part::Counts, chunk };
            prop_assert_eq!(one.cmp(&other), key(one).bytes().cmp(&key(other).bytes()));
            prop_assert_eq!(Key::parse(&key(one).bytes()), Some(key(one)));
        }
    }

    #[test]
    fn changes_put_again_count_once_and_older_ones_never_win() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::create(&dir.path().join("store"), EPOCH).expect("an empty folder");
        let first = change(1, TapInterval::Hour, &[(0, 0, 5), (300, 24, 9)]);
        let second = change(2, TapInterval::Hour, &[(0, 0, 6)]);
        store.put_taps(&[Arc::clone(&first), second]).expect("room");
        store.put_taps(&[first]).expect("room");
        let reader = TapReader::new(&store, &[]);
        let totals = reader
            .totals(3, TapInterval::Hour, DAY, &[0, 1])
            .expect("whole");
        assert_eq!(totals[0], DayTotal { told: 1, taps: 6 });
        assert_eq!(totals[300], DayTotal { told: 1, taps: 9 });
    }

    #[test]
    fn blocks_that_are_missing_damaged_or_behind_are_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::create(&dir.path().join("store"), EPOCH).expect("an empty folder");
        let interval = TapInterval::Hour;
        store
            .put_taps(&[change(4, interval, &[(0, 0, 5)])])
            .expect("room");
        let place = |chunk| TapPlace {
            feed: 3,
            day: DAY,
            chunk,
        };
        let check_since = |chunk, changed, through| {
            store.check_taps(&NeededTaps {
                through: Position(through),
                days: vec![NeededTapDay {
                    feed: 3,
                    interval,
                    day: DAY,
                    chunks: vec![chunk],
                    changed: Position(changed),
                }],
            })
        };
        let check = |chunk, through| check_since(chunk, 4, through);
        assert!(check(0, 4).is_ok());
        assert!(matches!(check(0, 5), Err(StoreError::TapsBehind)));
        assert!(matches!(check_since(0, 5, 4), Err(StoreError::TapsBehind)));
        assert!(matches!(
            check(1, 4),
            Err(StoreError::TapsMissing { day: DAY })
        ));
        let totals = Key {
            part: Part::Totals,
            ..place(0).into()
        }
        .bytes();
        let whole = store
            .0
            .taps
            .remove(totals)
            .expect("room")
            .expect("was there");
        assert!(matches!(check(0, 4), Err(StoreError::TapsMissing { .. })));
        store.0.taps.insert(totals, whole).expect("room");
        let key = Key::from(place(0)).bytes();
        let mut bytes = store
            .0
            .taps
            .get(key)
            .expect("read")
            .expect("there")
            .to_vec();
        bytes[HEADER_BYTES] ^= 1;
        store.0.taps.insert(key, bytes).expect("room");
        let error = check(0, 4).expect_err("damaged");
        assert!(matches!(
            error,
            StoreError::TapsInvalid {
                source: InvalidBlock::Checksum,
                ..
            }
        ));
        assert!(error.calls_for_rebuild());
        assert!(store.each_tap_block(|_| Ok(())).is_err());
    }

    #[test]
    fn mark_goes_with_what_was_put_and_a_store_without_one_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::create(&dir.path().join("store"), EPOCH).expect("an empty folder");
        assert_eq!(store.taps_mark().expect("readable"), None);
        let mark = |position| TapsMark {
            last: Position(position),
            stamp: stamp(position),
            whole_through: Position(position),
        };
        let put = |changes: &[Arc<TapChange>]| {
            store.put_taps(changes).expect("room");
            store.taps_mark().expect("readable")
        };
        let told = |position| change(position, TapInterval::Hour, &[(0, 0, 5)]);
        assert_eq!(put(&[told(4), told(7)]), Some(mark(7)));
        assert_eq!(put(&[told(5)]), Some(mark(7)), "put again");
        let removed = TapChange::Removed {
            position: Position(9),
            stamp: stamp(9),
            before: LocalDay(DAY.0 + 1),
        };
        assert_eq!(put(&[told(8), Arc::new(removed)]), Some(mark(9)));
        assert_eq!(put(&[told(10)]), Some(mark(10)));
        store.0.taps.remove(MARK_KEY).expect("room");
        let unmarked = store.taps_mark().expect_err("as earlier versions left it");
        assert!(matches!(unmarked, StoreError::TapsUnmarked));
        assert!(unmarked.calls_for_rebuild());
    }

    #[test]
    fn days_before_one_are_removed_of_every_feed() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::create(&dir.path().join("store"), EPOCH).expect("an empty folder");
        let count = |day| PlacedTaps {
            day: LocalDay(day),
            scope: 0,
            slot: 0,
            taps: taps(1),
        };
        let changes = [0, 7, u16::MAX].map(|feed| {
            Arc::new(TapChange::Counts {
                position: Position(1),
                stamp: stamp(1),
                feed,
                interval: TapInterval::Hour,
                counts: (20_000..20_600).map(count).collect(),
            })
        });
        store.put_taps(&changes).expect("room");
        let removed = TapChange::Removed {
            position: Position(2),
            stamp: stamp(2),
            before: LocalDay(20_599),
        };
        store.put_taps(&[Arc::new(removed)]).expect("room");
        let mut days = Vec::new();
        store
            .each_tap_block(|block| {
                days.push(block.day().0);
                Ok(())
            })
            .expect("whole");
        assert_eq!(days, [20_599; 6]);
    }
}
