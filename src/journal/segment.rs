//! The files of a journal: names, creation, locking, and what is known of each segment.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::JournalError;
use super::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::domain::Position;

/// How long to wait for another process to let go of the journal: one that was killed may
/// linger until its memory is freed.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Bytes of records from one mark of a segment's index to the next, at least. One entry is
/// read by reading this much; a mark takes 16 bytes of memory.
pub const MARK_BYTES: u64 = 8 * 1024;

const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// Of every file of a journal: it is its owner's alone wherever it is copied.
pub const FILE_MODE: u32 = 0o600;
const LOCK_NAME: &str = "LOCK";
/// What the lock's file holds once the journal has a segment. Without a segment it proves
/// that all of them are lost.
const MARK: &[u8] = b"a journal begins here\n";
const SPARE_NAME: &str = "spare.tmp";
const SEGMENT_SUFFIX: &str = ".segment";
/// Zeros are written and synced in pieces, so that an append never waits for a whole
/// segment of them.
const ZEROS_BYTES: usize = 1024 * 1024;

/// One segment, as far as its records are durable.
#[derive(Debug)]
pub struct Segment {
    /// Its file.
    pub path: PathBuf,
    /// What it says about itself.
    pub header: SegmentHeader,
    extent: RwLock<Extent>,
}

/// How far a segment is written, and where its records lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of the file that are written, header included.
    pub end: u64,
    marks: Vec<Mark>,
}

/// Where one record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    position: Position,
    offset: u64,
}

impl Segment {
    /// A segment that is written as far as `extent` says.
    pub fn new(path: PathBuf, header: SegmentHeader, extent: Extent) -> Self {
        Self {
            path,
            header,
            extent: RwLock::new(extent),
        }
    }

    /// How far it is written.
    pub fn extent(&self) -> RwLockReadGuard<'_, Extent> {
        self.extent.read().unwrap_or_else(|held| held.into_inner())
    }

    /// For its writer.
    pub fn extent_mut(&self) -> RwLockWriteGuard<'_, Extent> {
        self.extent.write().unwrap_or_else(|held| held.into_inner())
    }
}

impl Default for Extent {
    fn default() -> Self {
        Self {
            end: SEGMENT_HEADER_BYTES as u64,
            marks: Vec::new(),
        }
    }
}

impl Extent {
    /// Takes note of a record of this length at the end.
    pub fn push(&mut self, position: Position, bytes: usize) {
        let is_due = self
            .marks
            .last()
            .is_none_or(|mark| mark.offset + MARK_BYTES <= self.end);
        if is_due {
            let offset = self.end;
            self.marks.push(Mark { position, offset });
        }
        self.end += bytes as u64;
    }

    /// The last marked position that lies so many bytes before the record at another; `None` if none
    /// does.
    pub fn marked_before(&self, position: Position, bytes: u64) -> Option<Position> {
        let end = self.seek(position);
        let marks = self.marks.iter().rev();
        let mut far = marks.filter(|mark| mark.offset + bytes <= end);
        far.next().map(|mark| mark.position)
    }

    /// Where to begin reading to come upon the record at `position`.
    pub fn seek(&self, position: Position) -> u64 {
        let after = self.marks.partition_point(|mark| mark.position <= position);
        let mark = after.checked_sub(1).and_then(|index| self.marks.get(index));
        mark.map_or(SEGMENT_HEADER_BYTES as u64, |mark| mark.offset)
    }
}

/// Holds the journal's lock until dropped; refused with `Locked` if another process still
/// holds it after `wait`.
pub fn lock(dir: &Path, wait: Duration) -> Result<File, JournalError> {
    let path = dir.join(LOCK_NAME);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(|source| JournalError::io("open", &path, source))?;
    let asked = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => {
                return Err(JournalError::io("lock", &path, source));
            }
            Err(TryLockError::WouldBlock) if wait <= asked.elapsed() => {
                return Err(JournalError::Locked { dir: dir.into() });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
        }
    }
}

/// Whether a process holds the journal's lock at this moment. Writes nothing, so that it can be asked of
/// a snapshot.
pub fn is_locked(dir: &Path) -> Result<bool, JournalError> {
    let path = dir.join(LOCK_NAME);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file.map_err(|source| JournalError::io("open", &path, source))?,
    };
    // Shared, so that two who ask take each other for nobody.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(JournalError::io("lock", &path, source)),
    }
}

/// Notes in the lock's file, if it is not noted there, that the journal has a segment.
pub fn mark(dir: &Path, lock: &File, sync: bool) -> Result<(), JournalError> {
    let path = dir.join(LOCK_NAME);
    let failed = |source| JournalError::io("write", &path, source);
    if 0 < lock.metadata().map_err(failed)?.len() {
        return Ok(());
    }
    lock.write_all_at(MARK, 0).map_err(failed)?;
    if sync {
        lock.sync_all().map_err(failed)?;
    }
    Ok(())
}

/// Whether `mark` was here.
pub fn is_marked(dir: &Path) -> Result<bool, JournalError> {
    let path = dir.join(LOCK_NAME);
    match fs::metadata(&path) {
        Ok(metadata) => Ok(0 < metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(JournalError::io("read", &path, error)),
    }
}

/// The segments in a folder, in order, each with the first position that its name says.
pub fn list(dir: &Path) -> Result<Vec<(Position, PathBuf)>, JournalError> {
    let failed = |source| JournalError::io("list", dir, source);
    let mut segments = Vec::new();
    for file in fs::read_dir(dir).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        if let Some(first) = parse_name(&path) {
            segments.push((first, path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// The file of the segment whose first record has this position: its name sorts like it.
pub fn path_of(dir: &Path, first: Position) -> PathBuf {
    dir.join(format!("{:020}{SEGMENT_SUFFIX}", first.0))
}

fn parse_name(path: &Path) -> Option<Position> {
    let digits = path.file_name()?.to_str()?.strip_suffix(SEGMENT_SUFFIX)?;
    digits.parse().ok().map(Position)
}

/// Makes a file of a journal, or empties the one that there is.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    options.mode(FILE_MODE).open(path)
}

/// Makes the file of a segment to come: all zeros, and written, so that an append overwrites
/// blocks that are already allocated. Leaves nothing behind if there is no room.
pub fn prepare(dir: &Path, segment_bytes: u64, sync: bool) -> io::Result<File> {
    let path = dir.join(SPARE_NAME);
    let file = create(&path)?;
    let prepared = check_room(dir, segment_bytes).and_then(|()| {
        fill(&file, 0, segment_bytes, sync)?;
        if sync {
            file.sync_all()?;
        }
        Ok(())
    });
    if let Err(error) = prepared {
        // One that stays is emptied by the next preparation.
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    Ok(file)
}

/// Whether there is room for so many bytes: better none of them is written than a part.
fn check_room(dir: &Path, bytes: u64) -> io::Result<()> {
    let space = rustix::fs::statvfs(dir)?;
    if space.f_bavail.saturating_mul(space.f_frsize) < bytes {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

/// Removes what a preparation left behind.
pub fn remove_spare(dir: &Path) -> Result<(), JournalError> {
    let path = dir.join(SPARE_NAME);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(JournalError::io("remove", &path, source))
        }
        _ => Ok(()),
    }
}

/// Makes a prepared file the segment that its header says it is. It gets its name when the
/// header is durable, so that no segment is ever without one. The name is durable after
/// `sync_dir`; after an error there is no such segment.
pub fn name(dir: &Path, file: &File, header: SegmentHeader, sync: bool) -> io::Result<PathBuf> {
    file.write_all_at(&header.to_bytes(), 0)?;
    if sync {
        file.sync_data()?;
    }
    let path = path_of(dir, header.first);
    fs::rename(dir.join(SPARE_NAME), &path)?;
    Ok(path)
}

/// Makes the names in a folder durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes zeros from one offset to another.
pub fn fill(file: &File, from: u64, to: u64, sync: bool) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut offset = from;
    while offset < to {
        let bytes = usize::try_from(to - offset).map_or(ZEROS_BYTES, |rest| rest.min(ZEROS_BYTES));
        file.write_all_at(&zeros[..bytes], offset)?;
        if sync {
            file.sync_data()?;
        }
        offset += bytes as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_so_many_bytes_before_another_is_the_last_that_is_far_enough() {
        const RECORD_BYTES: usize = 1_000;
        let mut extent = Extent::default();
        for number in 1..=1_000 {
            extent.push(Position(number), RECORD_BYTES);
        }
        let between = |position: Position| (900 - position.0) * RECORD_BYTES as u64;
        let before = extent.marked_before(Position(900), 100_000);
        let before = before.expect("there are more than so many bytes");
        let marks = 2 * MARK_BYTES;
        assert!((100_000 - MARK_BYTES..100_000 + marks).contains(&between(before)));
        assert_eq!(extent.marked_before(Position(900), 1_000_000), None);
        assert_eq!(Extent::default().marked_before(Position(1), 1), None);
    }
}
