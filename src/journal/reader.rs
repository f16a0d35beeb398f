//! Reads entries, as far as they are durable, while the writer appends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, RwLockReadGuard};

use super::ahead::Ahead;
use super::codec::{self, Wanted};
use super::format::{
    PERSONAL_ERASED, PersonalPart, RECORD_HEADER_BYTES, RawRecord, RecordHeader, parse_personal,
};
use super::segment::{MARK_BYTES, Segment};
use super::{JournalError, Record, Shared};
use crate::domain::entry::{Epoch, ToldOfStaff};
use crate::domain::{Entry, Position, UtcMillis};

/// Bytes that are read at a time when many entries are.
const READ_BYTES: usize = 256 * 1024;
/// Bytes that are read at a time when some entries are.
const READ_SOME_BYTES: usize = 64 * 1024;
/// Entries from which on it pays to decode them in a thread of their own.
const AHEAD_ENTRIES_MIN: u64 = 16_384;

/// Entries in order, through what was durable when they were asked for. After an error
/// there are no more.
pub type Records = Box<dyn Iterator<Item = Result<Record, JournalError>> + Send>;

/// Reads. Cheap to clone; reads while the writer appends.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What it reads.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The journal's identity.
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    /// Position of the last durable entry; 0 if there is none.
    pub fn last(&self) -> Position {
        Position(self.shared.last.load(Ordering::Acquire))
    }

    /// The oldest position whose incident can be read.
    pub fn horizon(&self) -> Position {
        let ended = Position(self.shared.ended.load(Ordering::Acquire));
        self.begin().max(ended.next())
    }

    /// The oldest position of all. Below the horizon there is no entry about a single incident,
    /// but all others are there.
    pub fn begin(&self) -> Position {
        let segments = self.shared.segments();
        segments
            .first()
            .map_or(Position(1), |segment| segment.header.first)
    }

    /// From now on entries at this position and before it are below the horizon.
    pub fn raise_horizon(&self, ended: Position) {
        self.shared.ended.fetch_max(ended.0, Ordering::AcqRel);
    }

    /// Bytes of the segments on disk, zeros still to be overwritten included.
    pub fn bytes(&self) -> u64 {
        let segments = self.shared.segments();
        segments
            .iter()
            .map(|segment| segment.header.segment_bytes)
            .sum()
    }

    /// One entry, with its personal part; `None` below the horizon and after the last.
    pub fn entry(&self, position: Position) -> Result<Option<Record>, JournalError> {
        if position < self.horizon() || self.last() < position {
            return Ok(None);
        }
        let cursor = Cursor::one(Arc::clone(&self.shared), position);
        Entries {
            cursor,
            parts: Parts::All,
            wanted: Wanted::All,
        }
        .next()
        .transpose()
    }

    /// When the entry at a position was recorded, also below the horizon; `None` where there is
    /// none.
    pub fn stamp(&self, position: Position) -> Result<Option<UtcMillis>, JournalError> {
        if position < self.begin() || self.last() < position {
            return Ok(None);
        }
        let mut cursor = Cursor::one(Arc::clone(&self.shared), position);
        let Some(header) = cursor.advance()? else {
            return Ok(None);
        };
        match cursor.record() {
            Some(_) => Ok(Some(header.stamp)),
            None => Err(cursor.damaged("a record is not whole")),
        }
    }

    /// When the first entry that there is was recorded; `None` if there is none.
    pub fn began(&self) -> Result<Option<UtcMillis>, JournalError> {
        self.stamp(self.begin())
    }

    /// Facts only (no personal parts) from a position on, in order, through what is durable
    /// now. Many entries are decoded ahead, in a thread of their own.
    pub fn facts_from(&self, from: Position) -> Result<Records, JournalError> {
        let entries = self.entries(from, Parts::Facts);
        if entries.cursor.remaining() < AHEAD_ENTRIES_MIN {
            return Ok(Box::new(entries));
        }
        let failed = |source| JournalError::io("start a thread to read", &self.shared.dir, source);
        Ok(Box::new(Ahead::start(entries).map_err(failed)?))
    }

    /// Facts only from one position through another, as far as they are there and durable
    /// now. For some thousand entries; read in the caller's thread.
    pub fn facts_within(&self, from: Position, through: Position) -> Records {
        let (from, last) = (from.max(self.horizon()), through.min(self.last()));
        let cursor = Cursor::new(Arc::clone(&self.shared), from, last, READ_SOME_BYTES);
        Self::facts_of(cursor)
    }

    /// Whether an entry at one of these positions is gone, also below the horizon. They go from the
    /// oldest on, so that the first that is gone or about a single incident tells it; where there
    /// is neither, all are looked at.
    pub fn have_gone(&self, from: Position, through: Position) -> Result<bool, JournalError> {
        let (from, last) = (from.max(self.begin()), through.min(self.last()));
        let entries = Entries {
            cursor: Cursor::new(Arc::clone(&self.shared), from, last, READ_SOME_BYTES),
            parts: Parts::Facts,
            wanted: Wanted::AllButTaps,
        };
        for record in entries {
            let entry = record?.entry;
            if entry == Entry::Gone {
                return Ok(true);
            }
            if entry.incident_event().is_some() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// As `facts_within`, for whoever wants no more than the first few: reads little ahead.
    pub fn facts_near(&self, from: Position, through: Position) -> Records {
        let (from, last) = (from.max(self.horizon()), through.min(self.last()));
        let cursor = Cursor::few(Arc::clone(&self.shared), from, last);
        Self::facts_of(cursor)
    }

    fn facts_of(cursor: Cursor) -> Records {
        Box::new(Entries {
            cursor,
            parts: Parts::Facts,
            wanted: Wanted::All,
        })
    }

    /// What the entries at these positions, which rise, tell of staff, as far as they are there
    /// and durable now; entries about something else are left out. Read in the caller's thread.
    pub fn told_of_staff(&self, positions: Vec<Position>) -> ToldOfStaffs {
        let first = positions.first().copied().unwrap_or_default();
        let last = positions.last().copied().unwrap_or_default();
        let (from, last) = (first.max(self.horizon()), last.min(self.last()));
        ToldOfStaffs {
            cursor: Cursor::new(Arc::clone(&self.shared), from, last, READ_SOME_BYTES),
            positions: positions.into_iter().peekable(),
        }
    }

    /// As `facts_from`, with the personal parts, and in the caller's thread.
    pub fn entries_from(&self, from: Position) -> Result<Records, JournalError> {
        Ok(self.wanted_from(from, Wanted::All))
    }

    /// As `entries_from`, only those that are wanted.
    pub fn wanted_from(&self, from: Position, wanted: Wanted) -> Records {
        let entries = self.entries(from, Parts::All);
        Box::new(Entries { wanted, ..entries })
    }

    /// What changed tap counts from a position on, without personal parts, through what is
    /// durable now. In the caller's thread.
    pub fn tap_changes_from(&self, from: Position) -> Records {
        Box::new(Entries {
            wanted: Wanted::TapChanges,
            ..self.entries(from, Parts::Facts)
        })
    }

    /// Whether anything is left of the personal part of an entry.
    pub fn has_personal(&self, position: Position) -> Result<bool, JournalError> {
        Ok(self.personal_place(position)?.is_some())
    }

    /// Where the personal part of an entry is; `None` if it has none, or nothing is left of it.
    pub(super) fn personal_place(
        &self,
        position: Position,
    ) -> Result<Option<PersonalPlace>, JournalError> {
        let place = self.place_of_personal(position)?;
        Ok(place.filter(|place| !place.is_erased))
    }

    /// As `personal_place`, also of one of which nothing is left.
    pub(super) fn place_of_personal(
        &self,
        position: Position,
    ) -> Result<Option<PersonalPlace>, JournalError> {
        if position < self.horizon() || self.last() < position {
            return Ok(None);
        }
        let mut cursor = Cursor::one(Arc::clone(&self.shared), position);
        let Some(header) = cursor.advance()? else {
            return Ok(None);
        };
        let record = cursor.record();
        let record = record.ok_or_else(|| cursor.damaged("a record is not whole"))?;
        let is_erased = record.personal() == PersonalPart::Erased { finished: true };
        let bytes = header.record_bytes() - header.personal_at();
        Ok((0 < bytes).then(|| PersonalPlace {
            path: cursor.path(),
            offset: cursor.offset() + header.personal_at() as u64,
            bytes,
            is_erased,
        }))
    }

    fn entries(&self, from: Position, parts: Parts) -> Entries {
        let (from, last) = (from.max(self.begin()), self.last());
        let cursor = Cursor::new(Arc::clone(&self.shared), from, last, READ_BYTES);
        Entries {
            cursor,
            parts,
            wanted: Wanted::All,
        }
    }
}

impl Shared {
    /// All segments, in order.
    pub(super) fn segments(&self) -> RwLockReadGuard<'_, Vec<Arc<Segment>>> {
        self.segments
            .read()
            .unwrap_or_else(|held| held.into_inner())
    }

    /// Nobody else rewrites personal parts while this is held.
    pub(super) fn rewriting(&self) -> MutexGuard<'_, ()> {
        let held = self.rewriting.lock();
        held.unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one at the end.
    pub(super) fn push_segment(&self, segment: Arc<Segment>) {
        let mut segments = self
            .segments
            .write()
            .unwrap_or_else(|held| held.into_inner());
        segments.push(segment);
    }

    /// Puts a segment that was written anew in the place of the one before, and `rename` its
    /// file: nobody opens one as the other.
    pub(super) fn replace_segment(
        &self,
        segment: Arc<Segment>,
        rename: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut segments = self
            .segments
            .write()
            .unwrap_or_else(|held| held.into_inner());
        rename()?;
        let first = segment.header.first;
        if let Some(place) = segments.iter_mut().find(|one| one.header.first == first) {
            *place = segment;
        }
        Ok(())
    }
}

/// The segment that holds a position at or above that of the first.
fn segment_of(segments: &[Arc<Segment>], position: Position) -> Arc<Segment> {
    let after = segments.partition_point(|segment| segment.header.first <= position);
    Arc::clone(&segments[after.saturating_sub(1)])
}

/// Where a personal part is.
#[derive(Debug)]
pub struct PersonalPlace {
    /// The segment's file.
    pub path: PathBuf,
    /// Whether nothing is left of it.
    pub is_erased: bool,
    offset: u64,
    bytes: usize,
}

impl PersonalPlace {
    /// Erases it: first its state says so, and when that is durable, the rest is zeroed.
    pub fn erase(&self, sync: bool) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        let zeros = vec![0; self.bytes - 1];
        for (bytes, offset) in [
            (&[PERSONAL_ERASED][..], self.offset),
            (&zeros[..], self.offset + 1),
        ] {
            file.write_all_at(bytes, offset)?;
            if sync {
                file.sync_data()?;
            }
        }
        Ok(())
    }
}

/// Which parts of entries are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    Facts,
    All,
}

/// Decoded entries.
struct Entries {
    cursor: Cursor,
    parts: Parts,
    wanted: Wanted,
}

impl Iterator for Entries {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_wanted();
        if next.is_err() {
            self.cursor.stop();
        }
        next.transpose()
    }
}

impl Entries {
    fn next_wanted(&mut self) -> Result<Option<Record>, JournalError> {
        while let Some(header) = self.cursor.advance()? {
            if let Some(record) = self.decode(header)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Decodes the record that the cursor stands at, if it is wanted, and steps over it.
    fn decode(&mut self, header: RecordHeader) -> Result<Option<Record>, JournalError> {
        let position = header.position;
        let raw = self
            .cursor
            .record()
            .ok_or_else(|| self.cursor.damaged("a record is not whole"))?;
        if !self.wanted.is_met_by(raw.facts) {
            self.cursor.step(header);
            return Ok(None);
        }
        let mut again = Vec::new();
        let personal = match self.parts {
            Parts::Facts => None,
            Parts::All => self.cursor.personal(&raw, &mut again)?,
        };
        let entry = codec::decode(raw.facts, personal)
            .map_err(|source| JournalError::Undecodable { position, source })?;
        self.cursor.step(header);
        Ok(Some(Record {
            position,
            stamp: header.stamp,
            entry,
        }))
    }
}

/// What entries at some positions tell of staff. All others are passed over unproved.
pub struct ToldOfStaffs {
    cursor: Cursor,
    positions: std::iter::Peekable<std::vec::IntoIter<Position>>,
}

impl Iterator for ToldOfStaffs {
    type Item = Result<(Position, ToldOfStaff), JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_told();
        if next.is_err() {
            self.cursor.stop();
        }
        next.transpose()
    }
}

impl ToldOfStaffs {
    fn next_told(&mut self) -> Result<Option<(Position, ToldOfStaff)>, JournalError> {
        while let Some(header) = self.cursor.advance()? {
            let position = header.position;
            while self.positions.next_if(|one| *one < position).is_some() {}
            if self.positions.next_if_eq(&position).is_none() {
                self.cursor.step(header);
                continue;
            }
            let raw = self.cursor.record();
            let raw = raw.ok_or_else(|| self.cursor.damaged("a record is not whole"))?;
            let told = codec::staff::decode(raw.facts)
                .map_err(|source| JournalError::Undecodable { position, source })?;
            self.cursor.step(header);
            if let Some(told) = told {
                return Ok(Some((position, told)));
            }
        }
        Ok(None)
    }
}

/// Steps through records, reading their bytes in large pieces.
pub(super) struct Cursor {
    shared: Arc<Shared>,
    /// The position to come to next.
    next: Position,
    /// The last to come to.
    last: Position,
    read_bytes: usize,
    source: Option<Source>,
    buffer: Vec<u8>,
    /// Where in the buffer it stands.
    at: usize,
}

/// The segment that is being read.
struct Source {
    segment: Arc<Segment>,
    seed: u32,
    file: File,
    /// Offset in the file of what comes after the buffer.
    read_to: u64,
    /// Offset of the end of what is durable.
    end: u64,
}

impl Cursor {
    fn new(shared: Arc<Shared>, next: Position, last: Position, read_bytes: usize) -> Self {
        Self {
            shared,
            next,
            last,
            read_bytes,
            source: None,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// For one entry.
    fn one(shared: Arc<Shared>, position: Position) -> Self {
        Self::few(shared, position, position)
    }

    /// For few entries: reads about as much at once as there is from one mark to the next.
    fn few(shared: Arc<Shared>, next: Position, last: Position) -> Self {
        let read_bytes = usize::try_from(MARK_BYTES).unwrap_or(READ_BYTES) + RECORD_HEADER_BYTES;
        Self::new(shared, next, last, read_bytes)
    }

    /// For some entries, from one position through another.
    pub(super) fn some(shared: Arc<Shared>, from: Position, through: Position) -> Self {
        let segments = shared.segments();
        let horizon = segments.first().map_or(from, |first| first.header.first);
        drop(segments);
        let last = Position(shared.last.load(Ordering::Acquire));
        Self::new(
            shared,
            from.max(horizon),
            through.min(last),
            READ_SOME_BYTES,
        )
    }

    fn remaining(&self) -> u64 {
        (self.last.0 + 1).saturating_sub(self.next.0)
    }

    fn stop(&mut self) {
        self.next = self.last.next();
    }

    /// Goes to the next record, and has all of it in the buffer.
    pub(super) fn advance(&mut self) -> Result<Option<RecordHeader>, JournalError> {
        while self.next <= self.last {
            if self
                .source
                .as_ref()
                .is_none_or(|source| self.offset() == source.end)
            {
                self.open()?;
            }
            self.fill(RECORD_HEADER_BYTES)?;
            let header = RecordHeader::parse(&self.buffer[self.at..])
                .ok_or_else(|| self.damaged("a record is not whole"))?;
            self.fill(header.record_bytes())?;
            if self.buffer.len() - self.at < header.record_bytes() {
                return Err(self.damaged("a record is not whole"));
            }
            if header.position == self.next {
                return Ok(Some(header));
            }
            if self.next < header.position {
                return Err(self.damaged("a record is missing"));
            }
            self.at += header.record_bytes();
        }
        Ok(None)
    }

    /// The record that it stands at, if its facts are proved.
    pub(super) fn record(&self) -> Option<RawRecord<'_>> {
        RawRecord::parse(&self.buffer[self.at..], self.source.as_ref()?.seed)
    }

    /// Goes on after the record that it stands at.
    pub(super) fn step(&mut self, header: RecordHeader) {
        self.at += header.record_bytes();
        self.next = header.position.next();
    }

    /// The personal part of the record that it stands at. One that is neither whole nor
    /// erased may just have been caught in the middle of an erasure: then it is read again.
    fn personal<'a>(
        &self,
        raw: &RawRecord<'a>,
        again: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, JournalError> {
        let part = match (raw.personal(), &self.source) {
            (PersonalPart::Bad, Some(source)) => {
                let (at, end) = (raw.header.personal_at(), raw.header.record_bytes());
                again.resize(end - at, 0);
                let _alone = self.shared.rewriting();
                source
                    .file
                    .read_exact_at(again, self.offset() + at as u64)
                    .map_err(|error| JournalError::io("read", &source.segment.path, error))?;
                parse_personal(again, raw.header.crc)
            }
            (part, _) => part,
        };
        match part {
            PersonalPart::Whole(content) => Ok(Some(content)),
            PersonalPart::Absent | PersonalPart::Erased { .. } => Ok(None),
            PersonalPart::Bad => Err(self.damaged("its personal part is not whole")),
        }
    }

    /// Opens the segment that holds the next position, at the nearest mark before it.
    fn open(&mut self) -> Result<(), JournalError> {
        // A segment must not be written anew between the two.
        let segments = self.shared.segments();
        let segment = segment_of(&segments, self.next);
        let is_same = |source: &Source| source.segment.header.first == segment.header.first;
        if self.source.as_ref().is_some_and(is_same) {
            return Err(self.damaged("a record is missing"));
        }
        let file = File::open(&segment.path)
            .map_err(|source| JournalError::io("open", &segment.path, source))?;
        drop(segments);
        let extent = segment.extent();
        let (read_to, end) = (extent.seek(self.next), extent.end);
        drop(extent);
        self.buffer.clear();
        self.at = 0;
        self.source = Some(Source {
            seed: segment.header.seed(),
            segment,
            file,
            read_to,
            end,
        });
        Ok(())
    }

    /// Has at least `bytes` bytes in the buffer from where it stands, or as many as there are.
    fn fill(&mut self, bytes: usize) -> Result<(), JournalError> {
        let Some(source) = &mut self.source else {
            return Ok(());
        };
        if bytes <= self.buffer.len() - self.at {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let kept = self.buffer.len();
        let rest = usize::try_from(source.end - source.read_to).unwrap_or(usize::MAX);
        self.buffer
            .resize(kept + rest.min(self.read_bytes.max(bytes)), 0);
        source
            .file
            .read_exact_at(&mut self.buffer[kept..], source.read_to)
            .map_err(|error| JournalError::io("read", &source.segment.path, error))?;
        source.read_to += (self.buffer.len() - kept) as u64;
        Ok(())
    }

    /// Offset in the file of where it stands.
    pub(super) fn offset(&self) -> u64 {
        let ahead = (self.buffer.len() - self.at) as u64;
        self.source
            .as_ref()
            .map_or(0, |source| source.read_to - ahead)
    }

    pub(super) fn path(&self) -> PathBuf {
        let path = self
            .source
            .as_ref()
            .map(|source| source.segment.path.clone());
        path.unwrap_or_else(|| self.shared.dir.clone())
    }

    pub(super) fn damaged(&self, what: &'static str) -> JournalError {
        JournalError::Damaged {
            file: self.path(),
            offset: self.offset(),
            position: self.next,
            what,
        }
    }
}
