//! Appends batches and makes them durable. The one owner of every write to the journal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use super::durable;
use super::format::{self, Frame, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::reader::{PersonalPlace, Reader};
use super::scan::Tail;
use super::segment::{self, Extent, Segment};
use super::{Encoded, JournalError, Settings, Shared, ended, redo};
use crate::domain::entry::Epoch;
use crate::domain::limits::{BATCH_ENTRIES_MAX, RECORD_BYTES_MAX};
use crate::domain::{Position, Stamp, UtcMillis};

const _: () = assert!(BATCH_ENTRIES_MAX <= u16::MAX as usize);

/// Bytes that the buffer keeps from one batch to the next; a larger one is given back.
const BUFFER_BYTES_KEPT: usize = 4 * 1024 * 1024;

/// Appends. One owner: the committer.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    settings: Settings,
    file: File,
    segment: Arc<Segment>,
    /// Bytes of the segment that are written.
    end: u64,
    last: Position,
    last_stamp: Stamp,
    last_crc: u32,
    buffer: Vec<u8>,
    /// The file of the next segment, once it is in the making.
    spare: Option<JoinHandle<io::Result<File>>>,
    is_poisoned: bool,
    _lock: File,
}

/// Makes the first segment of a new journal, under a new epoch.
pub fn create(dir: &Path, settings: Settings) -> Result<(), JournalError> {
    let failed = |source| JournalError::io("create a journal in", dir, source);
    let mut epoch = [0; 16];
    getrandom::fill(&mut epoch).map_err(|error| failed(io::Error::from(error)))?;
    let header = SegmentHeader {
        epoch: Epoch(epoch),
        number: 0,
        first: Position(1),
        segment_bytes: settings.segment_bytes,
        previous_crc: 0,
        sealed_crc: None,
    };
    let file = segment::prepare(dir, settings.segment_bytes, settings.sync).map_err(failed)?;
    segment::name(dir, &file, header, settings.sync).map_err(failed)?;
    if settings.sync {
        segment::sync_dir(dir).map_err(failed)?;
        segment::sync_dir(dir.parent().unwrap_or(dir)).map_err(failed)?;
    }
    Ok(())
}

/// Writes what lies between two places once more. Where the disk refused a batch, the system may still
/// show all of it, as written: a sync would then write nothing, and fail no more. Only the last batch of
/// a journal can be one: after it nothing is taken in.
fn write_again(file: &File, from: u64, to: u64) -> io::Result<()> {
    let bytes = usize::try_from(to.saturating_sub(from)).map_err(io::Error::other)?;
    let mut batch = vec![0; bytes];
    file.read_exact_at(&mut batch, from)?;
    file.write_all_at(&batch, from)
}

impl Writer {
    /// Goes on after the last whole record, having cut off what is left of a torn batch.
    pub(super) fn open(
        shared: Arc<Shared>,
        tail: Tail,
        settings: Settings,
        lock: File,
    ) -> Result<Self, JournalError> {
        let path = &tail.segment.path;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|source| JournalError::io("open", path, source))?;
        let end = tail.segment.extent().end;
        let repair = || {
            segment::fill(&file, end, tail.torn_end, settings.sync)?;
            let segment_bytes = tail.segment.header.segment_bytes;
            segment::fill(&file, tail.file_bytes, segment_bytes, settings.sync)?;
            // What was written but never synced counts as durable from now on.
            if settings.sync {
                write_again(&file, tail.last_batch, end)?;
                file.sync_all()?;
                segment::sync_dir(&shared.dir)?;
            }
            Ok(())
        };
        repair().map_err(|source| JournalError::io("repair", path, source))?;
        Ok(Self {
            last: Position(shared.last.load(Ordering::Acquire)),
            shared,
            settings,
            file,
            end,
            last_stamp: tail.stamp,
            last_crc: tail.crc,
            segment: tail.segment,
            buffer: Vec::new(),
            spare: None,
            is_poisoned: false,
            _lock: lock,
        })
    }

    /// The journal's identity.
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    /// Reads what it wrote.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Position of the last entry; 0 if there is none.
    pub fn last(&self) -> Position {
        self.last
    }

    /// Stamp of the last entry; 1970 if there is none.
    pub fn last_stamp(&self) -> Stamp {
        self.last_stamp
    }

    /// Appends and makes durable. Returns the position of the first and the stamp given to
    /// all (the later of `now` and the stamp before); of an empty batch, those that the next
    /// would get. After an error the writer is poisoned, unless it is `TooLarge` or
    /// `NoSegment`: then nothing was written.
    ///
    /// Takes any number of entries; each `BATCH_ENTRIES_MAX` of them, or as many as an empty
    /// segment holds, are a batch and a durable write of their own.
    pub fn append(
        &mut self,
        batch: &[Encoded],
        now: UtcMillis,
    ) -> Result<(Position, Stamp), JournalError> {
        if self.is_poisoned {
            return Err(JournalError::Poisoned);
        }
        let largest = batch.iter().map(format::record_bytes).max().unwrap_or(0);
        if RECORD_BYTES_MAX < largest {
            return Err(JournalError::TooLarge { bytes: largest });
        }
        let first = self.last.next();
        let stamp = now.max(self.last_stamp);
        let mut rest = batch;
        while !rest.is_empty() {
            let (part, bytes) = self.whole_part(rest);
            let is_begun = rest.len() < batch.len();
            self.append_part(part, bytes, stamp)
                .map_err(|error| self.poison(error, is_begun))?;
            rest = &rest[part.len()..];
        }
        Ok((first, stamp))
    }

    /// Zeroes the personal part of an entry in place, and makes that durable. Does nothing
    /// if there is none, or if it was erased before. After an error the writer is poisoned.
    pub fn erase_personal(&mut self, position: Position) -> Result<(), JournalError> {
        self.erase_all_personal(&[position])
    }

    /// As `erase_personal`, of these entries, in their order. What may be left to rewrite is looked
    /// for once.
    pub fn erase_all_personal(&mut self, positions: &[Position]) -> Result<(), JournalError> {
        self.erase_places(positions, |place| !place.is_erased)
    }

    /// As `erase_all_personal`, also of what shows as zeroed: where the disk refused the zeros, the
    /// system may show them all the same.
    pub fn erase_all_personal_again(&mut self, positions: &[Position]) -> Result<(), JournalError> {
        self.erase_places(positions, |_| true)
    }

    fn erase_places(
        &mut self,
        positions: &[Position],
        is_wanted: impl Fn(&PersonalPlace) -> bool,
    ) -> Result<(), JournalError> {
        if self.is_poisoned {
            return Err(JournalError::Poisoned);
        }
        if positions.is_empty() {
            return Ok(());
        }
        // Before it is looked where it is: a segment may be written anew meanwhile.
        let _alone = self.shared.rewriting();
        let dir = &self.shared.dir;
        redo::finish(dir, self.settings.sync)
            .and_then(|_| ended::remove_aside_with_words(dir))
            .inspect_err(|_| self.is_poisoned = true)?;
        let reader = self.reader();
        for position in positions {
            let place = reader.place_of_personal(*position)?;
            let Some(place) = place.filter(&is_wanted) else {
                continue;
            };
            place.erase(self.settings.sync).map_err(|source| {
                self.is_poisoned = true;
                JournalError::io("erase in", &place.path, source)
            })?;
        }
        Ok(())
    }

    /// Goes on in a new segment if this one holds entries at or before a position, so that
    /// they can be replaced. After `NoSegment` nothing was changed.
    pub fn leave_segment_of(&mut self, position: Position) -> Result<(), JournalError> {
        if self.is_poisoned {
            return Err(JournalError::Poisoned);
        }
        if position < self.segment.header.first || self.last < self.segment.header.first {
            return Ok(());
        }
        self.begin_segment()
            .map_err(|error| self.poison(error, false))
    }

    /// Poisons the writer, unless nothing was written. Returns the error to tell.
    fn poison(&mut self, error: JournalError, is_begun: bool) -> JournalError {
        match error {
            JournalError::NoSegment { .. } if !is_begun => error,
            JournalError::NoSegment { dir, source } => {
                self.is_poisoned = true;
                JournalError::io("prepare a segment in", &dir, source)
            }
            error => {
                self.is_poisoned = true;
                error
            }
        }
    }

    /// As many of the entries as make one batch, and the bytes of their records.
    fn whole_part<'a>(&self, entries: &'a [Encoded]) -> (&'a [Encoded], u64) {
        // What does not fit into this segment goes to the next, unless this one is empty: that would
        // have its name.
        let is_empty = self.last < self.segment.header.first;
        let space = if is_empty {
            self.segment.header.segment_bytes
        } else {
            self.settings.segment_bytes
        };
        let space = space - SEGMENT_HEADER_BYTES as u64;
        let (mut count, mut bytes) = (0, 0);
        for encoded in entries.iter().take(BATCH_ENTRIES_MAX) {
            let record_bytes = format::record_bytes(encoded) as u64;
            if space < bytes + record_bytes {
                break;
            }
            count += 1;
            bytes += record_bytes;
        }
        (&entries[..count], bytes)
    }

    /// Appends one batch to one segment, with one durable write.
    fn append_part(
        &mut self,
        part: &[Encoded],
        bytes: u64,
        stamp: Stamp,
    ) -> Result<(), JournalError> {
        if self.segment.header.segment_bytes < self.end + bytes {
            self.begin_segment()?;
        }
        self.fill_buffer(part, stamp);
        self.write_buffer()
            .map_err(|source| JournalError::io("append to", &self.segment.path, source))?;
        self.publish(part, stamp);
        self.prepare_next();
        Ok(())
    }

    fn fill_buffer(&mut self, part: &[Encoded], stamp: Stamp) {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        let seed = self.segment.header.seed();
        let mut position = self.last;
        for (batch_offset, encoded) in (0..).zip(part) {
            position = position.next();
            let frame = Frame {
                seed,
                previous_crc: self.last_crc,
                position,
                stamp,
                batch_offset,
            };
            self.last_crc = format::push_record(&mut self.buffer, frame, encoded);
        }
    }

    fn write_buffer(&self) -> io::Result<()> {
        if self.settings.sync {
            durable::write_all_at(&self.file, &self.buffer, self.end)
        } else {
            self.file.write_all_at(&self.buffer, self.end)
        }
    }

    /// Lets readers see a batch, which is durable by now.
    fn publish(&mut self, part: &[Encoded], stamp: Stamp) {
        let mut extent = self.segment.extent_mut();
        for encoded in part {
            self.last = self.last.next();
            extent.push(self.last, format::record_bytes(encoded));
        }
        self.end = extent.end;
        drop(extent);
        self.last_stamp = stamp;
        self.shared.last.store(self.last.0, Ordering::Release);
    }

    /// Has the next segment made while this one fills up, in a thread of its own.
    fn prepare_next(&mut self) {
        if self.spare.is_some() || self.end < self.segment.header.segment_bytes / 2 {
            return;
        }
        let dir = self.shared.dir.clone();
        let Settings {
            segment_bytes,
            sync,
        } = self.settings;
        // Without a thread, the segment is made when it is needed.
        self.spare = std::thread::Builder::new()
            .name("journal-spare".into())
            .spawn(move || segment::prepare(&dir, segment_bytes, sync))
            .ok();
    }

    /// Goes on in a new segment. It has no entry, so that only a name that may or may not
    /// survive a power cut poisons.
    fn begin_segment(&mut self) -> Result<(), JournalError> {
        let spare = self.spare.take();
        let dir = &self.shared.dir;
        let header = SegmentHeader {
            epoch: self.shared.epoch,
            number: self.segment.header.number + 1,
            first: self.last.next(),
            segment_bytes: self.settings.segment_bytes,
            previous_crc: self.last_crc,
            sealed_crc: None,
        };
        let named = take_spare(dir, self.settings, spare).and_then(|file| {
            let path = segment::name(dir, &file, header, self.settings.sync)?;
            Ok((file, path))
        });
        let (file, path) = named.map_err(|source| {
            let dir = dir.clone();
            JournalError::NoSegment { dir, source }
        })?;
        if self.settings.sync {
            segment::sync_dir(dir)
                .map_err(|source| JournalError::io("begin a segment in", dir, source))?;
        }
        let segment = Arc::new(Segment::new(path, header, Extent::default()));
        self.use_segment(segment, file);
        Ok(())
    }

    fn use_segment(&mut self, segment: Arc<Segment>, file: File) {
        self.end = segment.extent().end;
        self.shared.push_segment(Arc::clone(&segment));
        self.segment = segment;
        self.file = file;
    }
}

#[cfg(test)]
impl Writer {
    /// Makes every write from now on fail.
    pub(crate) fn use_read_only_file(&mut self) {
        self.file = File::open(&self.segment.path).expect("the segment is there");
    }
}

impl Drop for Writer {
    /// Waits for the thread that prepares a segment, so that the lock is not let go before.
    fn drop(&mut self) {
        if let Some(spare) = self.spare.take() {
            // Whether it could be made matters to nobody now; the next opening removes it.
            let _ = spare.join();
        }
    }
}

/// The file for the next segment: the one in the making, or else a new one.
fn take_spare(
    dir: &Path,
    settings: Settings,
    spare: Option<JoinHandle<io::Result<File>>>,
) -> io::Result<File> {
    match spare.map(JoinHandle::join) {
        Some(Ok(Ok(file))) => Ok(file),
        _ => segment::prepare(dir, settings.segment_bytes, settings.sync),
    }
}
