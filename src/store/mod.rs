//! sled, behind a wall: blocks of incidents under their numbers, and tap counts (`taps`).
//!
//! The store is never the only copy: every block can be made again from the journal, so
//! whatever is wrong with a store is told by an error, and the caller sets it aside and
//! builds another. Opening checks every block that should be there, and `check_origin` that
//! they are of the same past. sled panics on some kinds of damage; that becomes an error too.
//!
//! sled's own `flush` does not reach the disk on Linux, so `sync` adds an `fdatasync` of a
//! handle of our own. That does not cover values that sled moves to files of their own. It
//! does so when a leaf of up to 16 blocks exceeds 128 KiB, and blocks of plausible incidents
//! have 6 KiB; should one be lost all the same, opening would notice.
//!
//! **Memory.** sled 0.34.7 spreads its pages over 256 shards and evicts from a shard only
//! when 64 accesses to it have come together, so one pass over a store, however large, never
//! fills a queue and evicts nothing: 200 MB in blocks of 10 KiB left 205 MB resident with a
//! cache of 16 MiB. We therefore ask for each block eight times. A leaf holds at least eight
//! blocks, so each visit to a leaf fills its shard's queue once. The same pass then leaves
//! 40 MB, five in a row 60 MB, at 2.3 GB/s on two threads, because asking again copies
//! nothing. 10 million plausible incidents (118 MB in blocks) leave 30 to 45 MB, however
//! often they are scanned. All scans share one set of threads, because every thread that
//! allocates costs an arena of glibc: two scans at once beside a writer left 115 MB with
//! threads of their own and leave 45 to 60 MB so.
//!
//! The summaries of all blocks are kept in memory (1 MB for 10 million incidents), so that a
//! scan reads only the blocks that may matter to it.

mod bits;
pub mod block;
mod error;
mod folder;
mod summary;
pub mod taps;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::{Range, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crate::domain::entry::Epoch;

pub use block::{Block, Columns};
pub use error::{InvalidBlock, StoreError};
pub use summary::Summary;
pub use taps::{NeededTaps, TapBlocks, TapChange, TapPlace, TapReader};

const FORMAT: u8 = 1;
const META_KEY: &[u8] = b"meta";
const BLOCKS_TREE: &[u8] = b"blocks";
/// The one file of sled that holds data.
const DATA_FILE: &str = "db";

const CACHE_BYTES: u64 = 16 * 1024 * 1024;
const FLUSH_EVERY_MS: u64 = 500;
/// Larger batches cost sled hundreds of megabytes.
const BATCH_BLOCKS_MAX: usize = 64;
/// How often a block is asked for when it is needed once, see the module's text: sled's
/// queue of 64 accesses by the 8 blocks that a leaf holds at least.
const READS_PER_BLOCK: usize = 8;

/// Blocks that a thread of a scan takes at once.
const SCAN_CHUNK_BLOCKS: usize = 64;
const SCAN_THREADS_MAX: usize = 16;

/// A process that was killed may hold its lock for some seconds more.
const LOCK_PAUSE: Duration = Duration::from_millis(50);
const LOCK_TRIES_MAX: usize = 200;

/// The open store. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    db: sled::Db,
    blocks: sled::Tree,
    taps: sled::Tree,
    data_file: File,
    threads: rayon::ThreadPool,
    /// By number, the blocks that were checked when opening or put since.
    known: RwLock<BTreeMap<u32, Known>>,
    /// Blocks with lower numbers were let go, as far as that happened since it was opened.
    forgotten_before: AtomicU32,
    /// A flush failed: what had been written since the one before may be lost, and a later
    /// flush would not say so.
    is_poisoned: AtomicBool,
}

/// A block that is there, and whole.
#[derive(Clone, Copy)]
struct Known {
    summary: Summary,
    checksum: u32,
}

/// What should be there of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededBlocks {
    /// Which.
    pub numbers: Range<u32>,
    /// The checksum of all blocks before them, see `block::chain`.
    pub before: u32,
    /// The checksum of all blocks through the last of them.
    pub through: u32,
}

// === impl Store ===

impl Store {
    /// Opens the store of the journal with this epoch and checks every block that should be
    /// there: contiguity, checksum, number. Blocks with other numbers are not looked at. If another
    /// process holds the store, waits up to ten seconds.
    pub fn open(dir: &Path, epoch: Epoch, blocks: Range<u32>) -> Result<Self, StoreError> {
        Self::open_once_free(dir, epoch, blocks, few_tries())
    }

    /// As `open`; if another process holds the store, tries again after a pause, as often as `may_retry`
    /// says so.
    pub fn open_once_free(
        dir: &Path,
        epoch: Epoch,
        blocks: Range<u32>,
        may_retry: impl FnMut() -> bool,
    ) -> Result<Self, StoreError> {
        if !dir.join(DATA_FILE).is_file() {
            return Err(StoreError::Missing { path: dir.into() });
        }
        let store = Self::open_unchecked(dir, may_retry)?;
        store.check_meta(epoch)?;
        store.check_blocks(blocks)?;
        Ok(store)
    }

    /// Checks that the blocks with which this was opened are those that were put for the same
    /// entries: a store may come from another past of its journal, whole in itself.
    pub fn check_origin(&self, needed: &NeededBlocks) -> Result<(), StoreError> {
        let known = self.known();
        let mut checksum = needed.before;
        for number in needed.numbers.clone() {
            let block = known.get(&number);
            let block = block.ok_or(StoreError::BlockMissing { number })?;
            checksum = block::chain_checksum(checksum, block.checksum);
        }
        match checksum == needed.through {
            true => Ok(()),
            false => Err(StoreError::BlocksDiffer),
        }
    }

    /// A new, empty store; anything in the folder is moved aside first.
    pub fn create(dir: &Path, epoch: Epoch) -> Result<Self, StoreError> {
        folder::set_aside(dir)?;
        let store = Self::open_unchecked(dir, few_tries())?;
        let meta = [&[FORMAT], &epoch.0[..]].concat();
        guarded("write to", || store.0.db.insert(META_KEY, meta))?;
        store.sync()?;
        folder::sync_names(dir)?;
        Ok(store)
    }

    /// Moves a store aside, as `<folder>.aside-N`, so that a new one can be built; the two
    /// latest are kept. Returns where to; `None` if there was nothing.
    pub fn set_aside(dir: &Path) -> Result<Option<PathBuf>, StoreError> {
        folder::set_aside(dir)
    }

    /// Removes stores that were set aside: they hold what may not be kept any longer.
    pub fn remove_set_aside(dir: &Path) -> Result<(), StoreError> {
        folder::remove_set_aside(dir)
    }

    /// Writes blocks (number, bytes of `Block::pack`); the same number again replaces. They
    /// survive a power cut after the next `sync`.
    pub fn put_blocks(&self, blocks: &[(u32, Arc<[u8]>)]) -> Result<(), StoreError> {
        self.check_poison()?;
        for chunk in blocks.chunks(BATCH_BLOCKS_MAX) {
            let mut batch = sled::Batch::default();
            let mut known = Vec::with_capacity(chunk.len());
            for (number, bytes) in chunk {
                let checked = Known::check(*number, bytes);
                known.push(checked.map_err(|source| invalid(*number, source))?);
                batch.insert(&key(*number), &bytes[..]);
            }
            guarded("write to", || self.0.blocks.apply_batch(batch))?;
            for (number, _) in chunk {
                self.fetch(*number)?;
            }
            self.note(known);
        }
        Ok(())
    }

    /// Takes out the blocks with lower numbers. They are gone for whoever reads; sled writes
    /// over their bytes as it needs the room.
    pub fn forget_blocks_before(&self, first: u32) -> Result<(), StoreError> {
        self.0.forgotten_before.fetch_max(first, Ordering::AcqRel);
        let mut known = self.known_mut();
        *known = known.split_off(&first);
        drop(known);
        self.take_out(..key(first))?;
        self.sync()
    }

    /// Takes out the blocks with this number and higher ones, which are to be put anew. Where a
    /// crash brings them back, the next opening takes them out again.
    pub fn forget_blocks_from(&self, first: u32) -> Result<(), StoreError> {
        self.known_mut().split_off(&first);
        self.take_out(key(first)..)
    }

    fn take_out(&self, keys: impl RangeBounds<Key> + Clone) -> Result<(), StoreError> {
        self.check_poison()?;
        loop {
            let mut batch = sled::Batch::default();
            let keys = guarded("read", || {
                let keys = self.0.blocks.range(keys.clone()).keys();
                keys.take(BATCH_BLOCKS_MAX).collect::<Result<Vec<_>, _>>()
            })?;
            if keys.is_empty() {
                return Ok(());
            }
            keys.into_iter().for_each(|key| batch.remove(key));
            guarded("write to", || self.0.blocks.apply_batch(batch))?;
        }
    }

    /// Calls `each` for every block of the range whose summary `wants` accepts, in any order,
    /// on all threads of the store, with these columns unpacked and a state per thread;
    /// returns the states. Every checksum is checked. A missing or damaged block makes the
    /// scan an error, whatever was called before. Leaves no more than a bounded cache in
    /// memory. Do not scan from within `each`: it runs on the threads that would do it.
    pub fn scan<S: Send>(
        &self,
        range: Range<u32>,
        columns: Columns,
        wants: impl Fn(&Summary) -> bool + Sync,
        state: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, u32, &Block) + Sync,
    ) -> Result<Vec<S>, StoreError> {
        let numbers = self.numbers_wanted(range, &wants);
        let start = || (state(), Block::new());
        let states = self.visit(&numbers, start, |(state, block), number, bytes| {
            if wants(&Summary::read(bytes)?) {
                block.unpack_into(number, bytes, columns)?;
                each(state, number, block);
            }
            Ok(())
        })?;
        Ok(states.into_iter().map(|(state, _)| state).collect())
    }

    /// Numbers of all blocks that are there, in order. Nothing else about them is looked at.
    pub fn numbers(&self) -> Result<Vec<u32>, StoreError> {
        let keys = guarded("read", || {
            let keys = self.0.blocks.iter().keys();
            keys.collect::<Result<Vec<_>, _>>()
        })?;
        let numbers = keys.iter().filter_map(|key| key[..].try_into().ok());
        Ok(numbers.map(u32::from_be_bytes).collect())
    }

    /// Makes everything that was put survive a power cut. After an error the store refuses
    /// to write: open it again, or rebuild it.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.check_poison()?;
        let flushed = guarded("flush", || self.0.db.flush()).and_then(|_| {
            let synced = self.0.data_file.sync_data();
            synced.map_err(|source| StoreError::io("sync", Path::new(DATA_FILE), source))
        });
        if flushed.is_err() {
            self.0.is_poisoned.store(true, Ordering::Release);
        }
        flushed
    }

    /// How many threads a scan runs on.
    pub fn scan_threads(&self) -> usize {
        self.0.threads.current_num_threads()
    }

    /// Bytes on disk; 0 if the file system does not tell.
    pub fn bytes(&self) -> u64 {
        self.0.db.size_on_disk().unwrap_or(0)
    }

    fn open_unchecked(dir: &Path, may_retry: impl FnMut() -> bool) -> Result<Self, StoreError> {
        let db = open_sled(dir, may_retry)?;
        let blocks = guarded("open", || db.open_tree(BLOCKS_TREE))?;
        let taps = guarded("open", || db.open_tree(taps::TAPS_TREE))?;
        let data_path = dir.join(DATA_FILE);
        let data_file =
            File::open(&data_path).map_err(|source| StoreError::io("open", &data_path, source))?;
        Ok(Self(Arc::new(Inner {
            db,
            blocks,
            taps,
            data_file,
            threads: scan_threads()?,
            known: RwLock::default(),
            forgotten_before: AtomicU32::new(0),
            is_poisoned: AtomicBool::new(false),
        })))
    }

    fn check_meta(&self, epoch: Epoch) -> Result<(), StoreError> {
        // After a power cut sled may come back empty and not know it.
        let meta = guarded("read", || self.0.db.get(META_KEY))?.ok_or(StoreError::Empty)?;
        match meta.split_first() {
            Some((&FORMAT, found)) if found == epoch.0 => Ok(()),
            Some((&FORMAT, _)) => Err(StoreError::Epoch),
            Some((&found, _)) => Err(StoreError::Format { found }),
            None => Err(StoreError::Empty),
        }
    }

    fn check_blocks(&self, blocks: Range<u32>) -> Result<(), StoreError> {
        let numbers: Vec<u32> = blocks.collect();
        let known = self.visit(&numbers, Vec::new, |known, number, bytes| {
            known.push(Known::check(number, bytes)?);
            Ok(())
        })?;
        self.note(known.concat());
        Ok(())
    }

    fn note(&self, blocks: Vec<Known>) {
        let blocks = blocks.into_iter();
        self.known_mut()
            .extend(blocks.map(|block| (block.summary.number, block)));
    }

    fn known(&self) -> RwLockReadGuard<'_, BTreeMap<u32, Known>> {
        let known = self.0.known.read();
        known.unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u32, Known>> {
        let known = self.0.known.write();
        known.unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers whose summary is accepted or, because the block may be missing, not known.
    fn numbers_wanted(&self, range: Range<u32>, wants: impl Fn(&Summary) -> bool) -> Vec<u32> {
        let known = self.known();
        range
            .filter(|number| known.get(number).is_none_or(|block| wants(&block.summary)))
            .collect()
    }

    fn check_poison(&self) -> Result<(), StoreError> {
        if self.0.is_poisoned.load(Ordering::Acquire) {
            return Err(StoreError::Poisoned);
        }
        Ok(())
    }

    /// Calls `each` with the bytes of every one of these blocks, on several threads.
    fn visit<S: Send>(
        &self,
        numbers: &[u32],
        start: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, u32, &[u8]) -> Result<(), InvalidBlock> + Sync,
    ) -> Result<Vec<S>, StoreError> {
        let chunks_taken = AtomicUsize::new(0);
        let work = || {
            let mut state = start();
            loop {
                let chunk = chunks_taken.fetch_add(1, Ordering::Relaxed);
                let Some(numbers) = numbers.chunks(SCAN_CHUNK_BLOCKS).nth(chunk) else {
                    return Ok(state);
                };
                for &number in numbers {
                    let bytes = self.fetch(number)?;
                    each(&mut state, number, &bytes).map_err(|source| invalid(number, source))?;
                }
            }
        };
        let states = self.0.threads.broadcast(|_| work());
        states.into_iter().collect()
    }

    /// A block's bytes, asked for so often that sled evicts older ones.
    fn fetch(&self, number: u32) -> Result<sled::IVec, StoreError> {
        let key = key(number);
        let found = guarded("read", || {
            for _ in 1..READS_PER_BLOCK {
                self.0.blocks.get(key)?;
            }
            self.0.blocks.get(key)
        })?;
        found.ok_or_else(|| self.not_there(number))
    }

    fn not_there(&self, number: u32) -> StoreError {
        if number < self.0.forgotten_before.load(Ordering::Acquire) {
            return StoreError::BlockForgotten { number };
        }
        StoreError::BlockMissing { number }
    }
}

impl Known {
    fn check(number: u32, bytes: &[u8]) -> Result<Self, InvalidBlock> {
        Ok(Self {
            summary: block::check(number, bytes)?,
            checksum: block::checksum(bytes),
        })
    }
}

fn open_sled(dir: &Path, mut may_retry: impl FnMut() -> bool) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(dir)
        .mode(sled::Mode::LowSpace)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    loop {
        match guarded("open", || config.open()) {
            Err(StoreError::Locked) if may_retry() => std::thread::sleep(LOCK_PAUSE),
            opened => return opened,
        }
    }
}

/// Says yes until it has been asked too often.
fn few_tries() -> impl FnMut() -> bool {
    let mut tries_left = LOCK_TRIES_MAX;
    move || {
        tries_left = tries_left.saturating_sub(1);
        tries_left > 0
    }
}

/// Turns sled's errors and panics into ours.
fn guarded<T>(
    action: &'static str,
    call: impl FnOnce() -> Result<T, sled::Error>,
) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|source| error::of_sled(action, source)),
        Err(_) => Err(StoreError::Panicked { action }),
    }
}

fn invalid(number: u32, source: InvalidBlock) -> StoreError {
    StoreError::BlockInvalid { number, source }
}

/// Threads of all scans of one store. Scans at the same time take turns on them.
fn scan_threads() -> Result<rayon::ThreadPool, StoreError> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    rayon::ThreadPoolBuilder::new()
        .num_threads(processors.min(SCAN_THREADS_MAX))
        .thread_name(|index| format!("store-scan-{index}"))
        .build()
        .map_err(|source| StoreError::Threads {
            source: source.into(),
        })
}

/// Keys sort like the numbers.
type Key = [u8; 4];

fn key(number: u32) -> Key {
    number.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::domain::{Basis, Hour, Position, Row, RowTime};

    const EPOCH: Epoch = Epoch([7; 16]);

    fn rows(number: u32) -> Vec<Row> {
        let row = |index: u32| Row {
            position: Position(u64::from(number * 512 + index + 1)),
            time: RowTime::Hour(Hour(490_000 + number)),
            basis: Basis::SelfReported,
            operator: 1,
            line: index.wrapping_mul(2_654_435_761) >> 20,
            stop: index.wrapping_mul(0x9e37_79b9) >> 15,
            mode: 3,
            tap_kind: 1,
            card_kind: 3,
            signal: 13,
            causes: 1 << 2,
            staff_acts: 1 << 1,
            outcomes: 1 << 1,
        };
        (0..512).map(row).collect()
    }

    fn packed(numbers: Range<u32>) -> Vec<(u32, Arc<[u8]>)> {
        numbers
            .map(|number| (number, Block::pack(number, &rows(number)).into()))
            .collect()
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder for temporary files")
    }

    /// A closed store of this many blocks.
    fn make(dir: &Path, blocks: u32) {
        let store = Store::create(dir, EPOCH).expect("an empty folder");
        store.put_blocks(&packed(0..blocks)).expect("room");
        store.sync().expect("room");
    }

    fn open_error(dir: &Path, blocks: u32) -> StoreError {
        let error = Store::open(dir, EPOCH, 0..blocks).err();
        error.expect("there is something wrong with it")
    }

    fn numbers_of(store: &Store, range: Range<u32>) -> Vec<u32> {
        let note = |seen: &mut Vec<u32>, number, block: &Block| {
            assert_eq!(block.number(), number);
            assert_eq!(block.len(), 512);
            seen.push(number);
        };
        let states = store.scan(range, Columns::all(), |_| true, Vec::new, note);
        let mut seen = states.expect("all there").concat();
        seen.sort_unstable();
        seen
    }

    #[test]
    fn reopened_store_has_what_was_put() {
        let folder = folder();
        let dir = folder.path().join("store");
        make(&dir, 70);
        let store = Store::open(&dir, EPOCH, 0..70).expect("just closed");
        let compare = |(): &mut (), number, block: &Block| {
            assert!(block.rows().eq(rows(number)), "block {number}");
        };
        store
            .scan(0..70, Columns::all(), |_| true, || (), compare)
            .expect("all there");
        assert!(store.bytes() > 0);
    }

    #[test]
    fn scan_visits_every_block_of_the_range_once() {
        let folder = folder();
        let dir = folder.path().join("store");
        make(&dir, 200);
        let store = Store::open(&dir, EPOCH, 0..200).expect("just closed");
        for range in [0..200, 0..0, 63..65, 199..200, 10..150] {
            assert_eq!(numbers_of(&store, range.clone()), range.collect::<Vec<_>>());
        }
    }

    #[test]
    fn scan_passes_over_blocks_that_are_not_wanted() {
        let folder = folder();
        let dir = folder.path().join("store");
        make(&dir, 20);
        let store = Store::open(&dir, EPOCH, 0..20).expect("just closed");
        let wants = |summary: &Summary| summary.hours == Some((Hour(490_005), Hour(490_005)));
        let note = |seen: &mut Vec<u32>, number, _: &Block| seen.push(number);
        let seen = store.scan(0..20, Columns::empty(), wants, Vec::new, note);
        assert_eq!(seen.expect("all there").concat(), [5]);
    }

    #[test]
    fn scan_reads_only_blocks_that_are_wanted() {
        let folder = folder();
        let dir = folder.path().join("store");
        make(&dir, 20);
        let store = Store::open(&dir, EPOCH, 0..20).expect("just closed");
        store.0.blocks.remove(key(3)).expect("there is room");
        let scan = |wants: fn(&Summary) -> bool| {
            store.scan(0..20, Columns::all(), wants, || (), |(), _, _| {})
        };
        assert!(scan(|summary| summary.number != 3).is_ok());
        assert!(matches!(
            scan(|_| true),
            Err(StoreError::BlockMissing { number: 3 })
        ));
    }

    #[test]
    fn scan_beyond_the_last_block_names_the_missing_one() {
        let folder = folder();
        let dir = folder.path().join("store");
        make(&dir, 3);
        let store = Store::open(&dir, EPOCH, 0..3).expect("just closed");
        let scanned = store.scan(0..4, Columns::all(), |_| true, || (), |(), _, _| {});
        assert!(matches!(
            scanned,
            Err(StoreError::BlockMissing { number: 3 })
        ));
    }

    #[test]
    fn block_that_was_let_go_after_it_was_asked_for_is_not_missing() {
        let folder = folder();
        let dir = folder.path().join("store");
        make(&dir, 3);
        let store = Store::open(&dir, EPOCH, 0..3).expect("just closed");
        let asked = 0..3;
        store.forget_blocks_before(2).expect("room");
        let scan = |range| store.scan(range, Columns::all(), |_| true, || (), |(), _, _| {});
        assert!(matches!(
            scan(asked),
            Err(StoreError::BlockForgotten { number: 0 | 1 })
        ));
        assert!(scan(2..3).is_ok());
    }

    #[test]
    fn block_put_again_replaces() {
        let folder = folder();
        let dir = folder.path().join("store");
        make(&dir, 3);
        let store = Store::open(&dir, EPOCH, 0..3).expect("just closed");
        let other = Block::pack(1, &rows(9));
        store.put_blocks(&[(1, other.into())]).expect("room");
        let note = |seen: &mut Vec<Row>, _, block: &Block| seen.extend(block.rows());
        let seen = store.scan(1..2, Columns::all(), |_| true, Vec::new, note);
        assert_eq!(seen.expect("all there").concat(), rows(9));
    }

    #[test]
    fn damaged_block_is_not_put() {
        let folder = folder();
        let dir = folder.path().join("store");
        let store = Store::create(&dir, EPOCH).expect("an empty folder");
        let mut bytes = Block::pack(0, &rows(0));
        bytes[100] ^= 1;
        assert!(matches!(
            store.put_blocks(&[(0, bytes.into())]),
            Err(StoreError::BlockInvalid {
                number: 0,
                source: InvalidBlock::Checksum
            })
        ));
        assert!(matches!(
            store.put_blocks(&[(1, Block::pack(0, &rows(0)).into())]),
            Err(StoreError::BlockInvalid {
                number: 1,
                source: InvalidBlock::Number
            })
        ));
    }

    #[test]
    fn store_that_is_missing_empty_or_of_another_journal_is_told_apart() {
        let folder = folder();
        let dir = folder.path().join("store");
        assert!(matches!(open_error(&dir, 0), StoreError::Missing { .. }));
        fs::create_dir(&dir).expect("room");
        assert!(matches!(open_error(&dir, 0), StoreError::Missing { .. }));
        drop(sled::open(&dir).expect("an empty folder"));
        assert!(matches!(open_error(&dir, 0), StoreError::Empty));
        make(&dir, 2);
        let other = Store::open(&dir, Epoch([8; 16]), 0..2).err();
        assert!(matches!(other, Some(StoreError::Epoch)));
    }

    /// What the first blocks must be if they were put as here.
    fn needed(numbers: Range<u32>) -> NeededBlocks {
        let of = |numbers: Range<u32>| {
            let blocks = packed(numbers);
            blocks
                .iter()
                .fold(0, |before, (_, bytes)| block::chain(before, bytes))
        };
        NeededBlocks {
            before: of(0..numbers.start),
            through: of(0..numbers.end),
            numbers,
        }
    }

    #[test]
    fn whole_blocks_of_another_past_are_told() {
        let folder = folder();
        let dir = folder.path().join("store");
        make(&dir, 5);
        let store = Store::open(&dir, EPOCH, 0..5).expect("just closed");
        for numbers in [0..5, 0..0, 0..2, 2..5, 5..5] {
            store
                .check_origin(&needed(numbers))
                .expect("as they were put");
        }
        // As long as the one before, and whole.
        let other: Vec<Row> = rows(3)
            .into_iter()
            .map(|row| Row { signal: 12, ..row })
            .collect();
        let other = Block::pack(3, &other);
        assert_eq!(other.len(), Block::pack(3, &rows(3)).len());
        store.put_blocks(&[(3, other.into())]).expect("room");
        drop(store);
        let store = Store::open(&dir, EPOCH, 0..5).expect("whole");
        store
            .check_origin(&needed(0..3))
            .expect("before the other one");
        let error = store.check_origin(&needed(0..5)).expect_err("another");
        assert!(matches!(error, StoreError::BlocksDiffer));
        assert!(error.calls_for_rebuild());
    }

    #[test]
    fn blocks_from_one_on_are_taken_out() {
        let folder = folder();
        let dir = folder.path().join("store");
        make(
            &dir,
            2 * u32::try_from(BATCH_BLOCKS_MAX).expect("small") + 7,
        );
        let store = Store::open(&dir, EPOCH, 0..3).expect("just closed");
        store.forget_blocks_from(3).expect("room");
        assert_eq!(store.numbers().expect("read"), [0, 1, 2]);
        assert_eq!(numbers_of(&store, 0..3), [0, 1, 2]);
        store.forget_blocks_from(3).expect("there are none");
        assert_eq!(store.numbers().expect("read"), [0, 1, 2]);
    }

    #[test]
    fn store_of_another_format_is_refused() {
        let folder = folder();
        let dir = folder.path().join("store");
        let db = sled::open(&dir).expect("an empty folder");
        let meta = [&[FORMAT + 1], &EPOCH.0[..]].concat();
        db.insert(META_KEY, meta).expect("room");
        drop(db);
        assert!(matches!(
            open_error(&dir, 0),
            StoreError::Format { found: 2 }
        ));
    }

    #[test]
    fn store_with_too_few_blocks_names_the_first_missing() {
        let folder = folder();
        let dir = folder.path().join("store");
        make(&dir, 5);
        assert!(matches!(
            open_error(&dir, 6),
            StoreError::BlockMissing { number: 5 }
        ));
        let store = Store::open(&dir, EPOCH, 0..4).expect("more blocks than needed are no harm");
        assert_eq!(store.numbers().expect("read"), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn damaged_store_calls_for_a_rebuild_or_is_whole() {
        let folder = folder();
        let dir = folder.path().join("store");
        let mut refused = 0;
        for part in 1..8 {
            make(&dir, 40);
            let path = dir.join(DATA_FILE);
            let mut bytes = fs::read(&path).expect("just closed");
            let used = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .expect("not empty");
            for byte in &mut bytes[used * part / 8..][..2_000] {
                *byte ^= 0x55;
            }
            fs::write(&path, bytes).expect("room");
            refused += usize::from(is_refused(&dir, 40));
        }
        assert!(0 < refused, "no damage was noticed");
    }

    /// Whether a damaged store is refused, and calls for a rebuild; if not, the damage lies in
    /// space that is no longer used, and every block must be whole.
    fn is_refused(dir: &Path, blocks: u32) -> bool {
        match Store::open(dir, EPOCH, 0..blocks) {
            Ok(store) => {
                let numbers: Vec<_> = (0..blocks).collect();
                assert_eq!(numbers_of(&store, 0..blocks), numbers);
                false
            }
            Err(error) => {
                assert!(error.calls_for_rebuild(), "{error}");
                true
            }
        }
    }

    #[test]
    fn truncated_store_calls_for_a_rebuild_or_is_whole() {
        let folder = folder();
        let dir = folder.path().join("store");
        let mut refused = 0;
        for part in 0..4 {
            make(&dir, 40);
            let path = dir.join(DATA_FILE);
            let mut bytes = fs::read(&path).expect("just closed");
            let used = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .expect("not empty");
            bytes.truncate(used * part / 4);
            fs::write(&path, bytes).expect("room");
            refused += usize::from(is_refused(&dir, 40));
        }
        assert!(0 < refused, "no damage was noticed");
    }

    #[test]
    fn opening_waits_for_a_lock_and_then_gives_up() {
        let folder = folder();
        let dir = folder.path().join("store");
        let mut held = Some(Store::create(&dir, EPOCH).expect("an empty folder"));
        let refused = Store::open_unchecked(&dir, || false);
        assert!(matches!(refused, Err(StoreError::Locked)));
        let let_go = || {
            held.take();
            true
        };
        Store::open_unchecked(&dir, let_go).expect("let go at the first pause");
    }

    #[test]
    fn two_stores_set_aside_are_kept() {
        let folder = folder();
        let dir = folder.path().join("store");
        assert_eq!(Store::set_aside(&dir).expect("nothing to do"), None);
        for number in 1..=4 {
            make(&dir, 1);
            let aside = folder.path().join(format!("store.aside-{number}"));
            assert_eq!(Store::set_aside(&dir).expect("room"), Some(aside));
        }
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .expect("made above")
            .map(|entry| entry.expect("made above").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["store.aside-3", "store.aside-4"]);
    }

    #[test]
    fn new_store_moves_an_old_one_aside() {
        let folder = folder();
        let dir = folder.path().join("store");
        make(&dir, 3);
        make(&dir, 0);
        assert!(matches!(
            open_error(&dir, 1),
            StoreError::BlockMissing { number: 0 }
        ));
        Store::open(&folder.path().join("store.aside-1"), EPOCH, 0..3).expect("as it was");
    }
}
