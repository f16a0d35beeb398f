//! Where each incident id was recorded, in 12 bytes an id: 56 bits of a keyed hash, then 40
//! bits of the position, in a table for each day in which ids were made.
//!
//! Two ids of one day share their 56 bits about once in 10^17 pairs; whoever needs to be sure
//! compares the whole id in the journal, at the position found. A table is one sorted run and
//! a small hash table of the latest, which is merged into the run when it outgrows it.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;

use hashbrown::HashTable;
use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher13;

use crate::domain::entry::Epoch;
use crate::domain::{IncidentId, Position};

/// Hash and position, both big-endian: sorts by hash.
pub(super) type IdEntry = [u8; ENTRY_BYTES];

/// Size of an entry.
pub(super) const ENTRY_BYTES: usize = 12;
/// Bits of a hash that are kept.
const HASH_BITS: u32 = 56;
/// Bits of a position: enough for a trillion entries.
const POSITION_BITS: u32 = 40;
/// The latest ids of a day are merged when there are more than this, and more than a quarter
/// of the sorted run. A search there looks at one place, and in the run at three or four, each
/// as far away as memory is; as many as this take 14 MB, and only while their day lasts.
const RECENT_MIN: usize = 917_504;
/// A day with more ids than this gets room for `RECENT_MIN` at once: growing by doubling moved
/// nearly every id once more.
const RECENT_GROWN: usize = 114_688;
/// About how many ids a shard has.
const SHARD_IDS: usize = 65_536;
/// Shortest sorted run that has a filter, and ids for each of its words. Only days with far more
/// reports than the country has taps that fail have one.
const FILTERED_MIN: usize = 262_144;
const FILTER_WORD_IDS: usize = 5;
/// Steps of interpolation after which a search halves instead.
const INTERPOLATIONS_MAX: u32 = 8;

/// Where each id was recorded. Cheap to clone: tables are shared until one writes.
#[derive(Clone, Debug)]
pub struct IdIndex {
    key: (u64, u64),
    days: BTreeMap<u32, DayTable>,
}

/// The ids that were made in one day.
#[derive(Clone, Debug, Default)]
struct DayTable {
    sorted: Arc<Vec<IdEntry>>,
    /// Of the sorted run, if it is long; else empty.
    filter: Arc<Filter>,
    /// Its order is never looked at.
    recent: Arc<HashTable<IdEntry>>,
}

/// Says of nearly every hash that is not there that it is not, by looking at one place in less
/// than a tenth of the memory: a Bloom filter in which all bits of a hash lie in one word.
#[derive(Debug, Default)]
struct Filter(Vec<u64>);

/// Some ids of one day: those of the sorted run and, sorted too, the latest.
#[derive(Debug)]
pub(super) struct Shard<'a> {
    /// The day.
    pub(super) day: u32,
    /// How many ids the whole day has.
    pub(super) day_ids: usize,
    /// From the sorted run.
    pub(super) sorted: &'a [IdEntry],
    /// The latest; to be merged.
    pub(super) recent: Vec<IdEntry>,
}

impl IdIndex {
    /// An empty index, keyed by the journal's identity.
    pub fn new(epoch: Epoch) -> Self {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(b"mistap ids")
            .chain_update(epoch.0)
            .finalize()
            .into();
        let word = |at: usize| {
            let bytes = digest[at..at + 8].try_into().expect("eight bytes");
            u64::from_le_bytes(bytes)
        };
        Self {
            key: (word(0), word(8)),
            days: BTreeMap::new(),
        }
    }

    /// Where an id was recorded.
    pub fn find(&self, id: &IncidentId) -> Option<Position> {
        self.days.get(&id.day())?.find(self.hash(id))
    }

    /// Records an id at a position, unless it is there already: then says where.
    pub fn insert(&mut self, id: &IncidentId, position: Position) -> Result<(), Position> {
        let hash = self.hash(id);
        let table = self.days.entry(id.day()).or_default();
        match table.find(hash) {
            Some(first) => Err(first),
            None => {
                table.insert(entry(hash, position));
                Ok(())
            }
        }
    }

    /// Lets go of the ids made before a day.
    pub fn drop_days_before(&mut self, day: u32) {
        self.days = self.days.split_off(&day);
    }

    /// Lets go of the ids made before a day that were recorded where `goes` says so.
    pub fn forget(&mut self, day: u32, goes: impl Fn(Position) -> bool) {
        for (_, table) in self.days.range_mut(..day) {
            table.merge();
            if table.sorted.iter().any(|entry| goes(position_of(entry))) {
                Arc::make_mut(&mut table.sorted).retain(|entry| !goes(position_of(entry)));
            }
        }
        self.days.retain(|_, table| 0 < table.len());
    }

    /// Packs the tables of the days before one: no more ids are to be expected there.
    pub fn settle_days_before(&mut self, day: u32) {
        for (_, table) in self.days.range_mut(..day) {
            if !table.recent.is_empty() {
                table.merge();
            }
        }
    }

    /// How many ids there are.
    pub fn count(&self) -> usize {
        self.days.values().map(DayTable::len).sum()
    }

    /// How much memory they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let day = |table: &DayTable| {
            let sorted = table.sorted.capacity() * ENTRY_BYTES;
            sorted + size_of_val(&table.filter.0[..]) + table.recent.allocation_size()
        };
        self.days.values().map(day).sum()
    }

    /// All ids, by day and hash, in shards of some ten thousand. How they are cut depends on
    /// the number of ids alone.
    pub(super) fn shards(&self) -> impl Iterator<Item = Shard<'_>> {
        let days = self.days.iter();
        days.flat_map(|(day, table)| table.shards(*day))
    }

    /// Puts the whole sorted table of a day. Refused, as `false`, unless it is sorted.
    pub(super) fn put_day(&mut self, day: u32, sorted: Vec<IdEntry>) -> bool {
        if !sorted.is_sorted_by(|a, b| a < b) {
            return false;
        }
        let table = DayTable {
            filter: Arc::new(Filter::of(&sorted)),
            sorted: Arc::new(sorted),
            recent: Arc::default(),
        };
        self.days.insert(day, table);
        true
    }

    fn hash(&self, id: &IncidentId) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(id.as_bytes());
        hasher.finish() >> (u64::BITS - HASH_BITS)
    }
}

impl DayTable {
    fn len(&self) -> usize {
        self.sorted.len() + self.recent.len()
    }

    fn find(&self, hash: u64) -> Option<Position> {
        let is_same = |entry: &IdEntry| hash_of(entry) == hash;
        let found = self.recent.find(spread(hash), is_same).copied();
        let in_sorted = || match self.filter.may_have(hash) {
            true => find_sorted(&self.sorted, hash),
            false => None,
        };
        found.or_else(in_sorted).map(|entry| position_of(&entry))
    }

    fn insert(&mut self, entry: IdEntry) {
        let recent = Arc::make_mut(&mut self.recent);
        if recent.len() == RECENT_GROWN {
            let more = RECENT_MIN - RECENT_GROWN;
            recent.reserve(more, |entry| spread(hash_of(entry)));
        }
        recent.insert_unique(spread(hash_of(&entry)), entry, |entry| {
            spread(hash_of(entry))
        });
        if RECENT_MIN.max(self.sorted.len() / 4) < self.recent.len() {
            self.merge();
        }
    }

    /// Merges the recent entries into the sorted run, from its end on, in place.
    fn merge(&mut self) {
        let recent = sorted_entries(&std::mem::take::<Arc<_>>(&mut self.recent));
        let sorted = Arc::make_mut(&mut self.sorted);
        let mut left = sorted.len();
        sorted.reserve_exact(recent.len());
        sorted.extend_from_slice(&recent);
        let mut to = sorted.len();
        for entry in recent.iter().rev() {
            while 0 < left && *entry < sorted[left - 1] {
                (to, left) = (to - 1, left - 1);
                sorted[to] = sorted[left];
            }
            to -= 1;
            sorted[to] = *entry;
        }
        self.filter = Arc::new(Filter::of(sorted));
    }

    fn shards(&self, day: u32) -> impl Iterator<Item = Shard<'_>> {
        let bits = self.len().div_ceil(SHARD_IDS).next_power_of_two().ilog2();
        let mut sorted = self.sorted.as_slice();
        let recent = sorted_entries(&self.recent);
        let mut taken = 0;
        (1..=1u64 << bits).map(move |next| {
            let is_before = |entry: &IdEntry| hash_of(entry) >> (HASH_BITS - bits) < next;
            let (shard, rest) = sorted.split_at(sorted.partition_point(is_before));
            sorted = rest;
            let later = &recent[taken..];
            let recent = later[..later.partition_point(is_before)].to_vec();
            taken += recent.len();
            Shard {
                day,
                day_ids: self.len(),
                sorted: shard,
                recent,
            }
        })
    }
}

fn sorted_entries(table: &HashTable<IdEntry>) -> Vec<IdEntry> {
    let mut entries: Vec<IdEntry> = table.iter().copied().collect();
    entries.sort_unstable();
    entries
}

impl Filter {
    fn of(run: &[IdEntry]) -> Self {
        if run.len() < FILTERED_MIN {
            return Self::default();
        }
        let mut filter = Self(vec![0; run.len() / FILTER_WORD_IDS + 1]);
        for hash in run.iter().map(hash_of) {
            let (word, bits) = filter.place(hash);
            filter.0[word] |= bits;
        }
        filter
    }

    fn may_have(&self, hash: u64) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let (word, bits) = self.place(hash);
        self.0[word] & bits == bits
    }

    /// A word by the upper half of the hash, four bits of it by the lower.
    fn place(&self, hash: u64) -> (usize, u64) {
        let (upper, lower) = (hash >> 24, hash);
        let word = (upper * self.0.len() as u64) >> u32::BITS;
        let word = usize::try_from(word).expect("fewer than there are words");
        let bit = |place: u32| 1_u64 << (lower >> (6 * place) & 63);
        (word, bit(0) | bit(1) | bit(2) | bit(3))
    }
}

/// Looks a hash up in a sorted run. Hashes are spread evenly, so the place is guessed from the
/// hash, and guessed again between the neighbours found.
fn find_sorted(run: &[IdEntry], hash: u64) -> Option<IdEntry> {
    let (mut start, mut end) = (0, run.len());
    let (mut low, mut high) = (0, 1u64 << HASH_BITS);
    for _ in 0..INTERPOLATIONS_MAX {
        if start == end || hash < low || high <= hash {
            break;
        }
        let part = u128::from(hash - low) * (end - start) as u128 / u128::from(high - low);
        let middle = start + part as usize;
        let found = hash_of(&run[middle]);
        if found == hash {
            return Some(run[middle]);
        }
        if found < hash {
            (start, low) = (middle + 1, found + 1);
        } else {
            (end, high) = (middle, found);
        }
    }
    let rest = &run[start..end];
    let index = rest.binary_search_by_key(&hash, hash_of).ok()?;
    Some(rest[index])
}

fn entry(hash: u64, position: Position) -> IdEntry {
    assert!(position.0 >> POSITION_BITS == 0, "positions have 40 bits");
    let bits = (u128::from(hash) << POSITION_BITS) | u128::from(position.0);
    let mut entry = [0; ENTRY_BYTES];
    entry.copy_from_slice(&bits.to_be_bytes()[4..]);
    entry
}

/// The hash that an entry holds.
fn hash_of(entry: &IdEntry) -> u64 {
    bits_of(entry) >> 8
}

fn bits_of(entry: &IdEntry) -> u64 {
    u64::from_be_bytes(entry[..8].try_into().expect("eight of twelve bytes"))
}

/// The position that an entry holds.
fn position_of(entry: &IdEntry) -> Position {
    let mut bytes = [0; 8];
    bytes[3..].copy_from_slice(&entry[7..]);
    Position(u64::from_be_bytes(bytes))
}

/// A hash of 56 bits for a table that tells a place by the lowest of 64 and, before it looks
/// there, entries apart by the highest seven: the two must have nothing in common.
fn spread(hash: u64) -> u64 {
    hash << (u64::BITS - HASH_BITS) | hash >> 40 & 0xff
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::testing::EPOCH;
    use super::*;
    use crate::domain::UtcMillis;
    use crate::domain::testing::id_made_at;
    use crate::domain::time::DAY_MS;

    fn id(day: u32, number: u64) -> IncidentId {
        id_made_at(UtcMillis(i64::from(day) * DAY_MS), number)
    }

    #[test]
    fn entries_at_one_place_of_the_table_are_told_apart_without_reading_them() {
        let index = IdIndex::new(EPOCH);
        let mut seen: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for number in 0..65_536 {
            let spread = spread(index.hash(&id(20_000, number)));
            let (place, told_by) = (spread & 0xff, spread >> 57);
            seen.entry(place).or_default().insert(told_by);
        }
        assert_eq!(seen.len(), 256);
        // Of 128, in 256 tries each: a few are missing by chance.
        assert!(seen.values().all(|told_by| 90 < told_by.len()));
    }

    #[test]
    fn every_id_is_found_where_it_was_recorded_first() {
        let mut ids = IdIndex::new(EPOCH);
        for number in 0..20_000 {
            let day = 20_000 + (number % 3) as u32;
            assert_eq!(ids.insert(&id(day, number), Position(number)), Ok(()));
        }
        for number in 0..20_000 {
            let id = id(20_000 + (number % 3) as u32, number);
            assert_eq!(ids.find(&id), Some(Position(number)));
            let again = ids.insert(&id, Position(99_999));
            assert_eq!(again, Err(Position(number)));
        }
        assert_eq!(ids.find(&id(20_000, 20_000)), None);
        assert_eq!(ids.find(&id(19_999, 0)), None);
        assert_eq!(ids.count(), 20_000);
    }

    #[test]
    fn filter_has_all_that_is_there_and_little_else() {
        let ids = IdIndex::new(EPOCH);
        let hash = |number| ids.hash(&id(20_000, number));
        let count = FILTERED_MIN as u64;
        let run: Vec<_> = (0..count).map(|n| entry(hash(n), Position(n))).collect();
        let filter = Filter::of(&run);
        assert!((0..count).all(|number| filter.may_have(hash(number))));
        let others = (count..count + 10_000).filter(|number| filter.may_have(hash(*number)));
        let found = others.count();
        assert!(found < 300, "{found}");
        let without = Filter::of(&run[1..]);
        assert!(without.may_have(hash(count)), "short runs have none");
    }

    #[test]
    fn dropped_days_are_forgotten_and_later_ones_kept() {
        let mut ids = IdIndex::new(EPOCH);
        for day in 1..=3 {
            ids.insert(&id(day, 0), Position(u64::from(day)))
                .expect("new");
        }
        ids.drop_days_before(2);
        assert_eq!(ids.find(&id(1, 0)), None);
        assert_eq!(ids.find(&id(2, 0)), Some(Position(2)));
    }

    #[test]
    fn settled_days_are_one_sorted_run() {
        let mut ids = IdIndex::new(EPOCH);
        for number in 0..100 {
            ids.insert(&id(5, number), Position(number)).expect("new");
        }
        let before = sorted_entries(&ids.days[&5].recent);
        ids.settle_days_before(6);
        assert!(ids.days[&5].recent.is_empty());
        assert_eq!(ids.days[&5].sorted.capacity(), 100);
        assert_eq!(*ids.days[&5].sorted, before);
    }

    #[test]
    fn shards_hold_every_id_of_a_great_day_in_order() {
        let mut ids = IdIndex::new(EPOCH);
        for number in 0..150_000 {
            ids.insert(&id(5, number), Position(number)).expect("new");
        }
        let shards: Vec<_> = ids.shards().collect();
        assert_eq!(shards.len(), 4);
        let sorted = shards.iter().flat_map(|shard| shard.sorted);
        assert!(sorted.eq(ids.days[&5].sorted.iter()));
        let recent = shards.iter().flat_map(|shard| &shard.recent);
        assert!(recent.eq(&sorted_entries(&ids.days[&5].recent)));
    }

    proptest! {
        #[test]
        fn merging_keeps_order_and_content(
            first in prop::collection::btree_set(any::<[u8; 12]>(), 0..200),
            second in prop::collection::btree_set(any::<[u8; 12]>(), 0..200),
        ) {
            let mut table = DayTable {
                filter: Arc::default(),
                sorted: Arc::new(first.iter().copied().collect()),
                recent: Arc::default(),
            };
            let recent = Arc::make_mut(&mut table.recent);
            for entry in second.difference(&first) {
                let hash = |entry: &IdEntry| spread(hash_of(entry));
                recent.insert_unique(hash(entry), *entry, hash);
            }
            let expected: Vec<_> = first.union(&second).copied().collect();
            table.merge();
            prop_assert_eq!(&*table.sorted, &expected);
        }

        #[test]
        fn search_in_unevenly_spread_runs_finds_what_is_there(
            hashes in prop::collection::btree_set(
                prop_oneof![0..1_000u64, any::<u64>().prop_map(|hash| hash >> 8)], 0..300),
            other in any::<u64>(),
        ) {
            let run: Vec<_> = hashes.iter().map(|hash| entry(*hash, Position(1))).collect();
            for hash in &hashes {
                prop_assert_eq!(find_sorted(&run, *hash), Some(entry(*hash, Position(1))));
            }
            prop_assume!(!hashes.contains(&(other >> 8)));
            prop_assert_eq!(find_sorted(&run, other >> 8), None);
        }
    }
}
