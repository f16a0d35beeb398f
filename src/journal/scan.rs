//! Proves the segments of a journal: that every record is whole, and that each continues
//! the one before. Tells a torn tail from damage.
//!
//! Segments are proved in parallel, each by itself, and then their joints. Only frames and
//! CRCs are looked at; what the entries say is not decoded.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;

use super::format::{
    FORMAT_VERSION, InvalidHeader, PersonalPart, RawRecord, SEGMENT_HEADER_BYTES, SegmentHeader,
    is_zero,
};
use super::segment::{self, Extent, Segment};
use super::{JournalError, Opening, SEGMENT_BYTES_MAX, Shared};
use crate::domain::entry::Epoch;
use crate::domain::{Position, Stamp, UtcMillis};

/// What a disk writes whole or not at all, at least.
const SECTOR_BYTES: usize = 512;
/// Bytes that are read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// What is in a journal, segment by segment.
#[derive(Debug)]
pub struct Report {
    /// The journal's identity; `None` if no segment can be read.
    pub epoch: Option<Epoch>,
    /// The segments that can be read, in order.
    pub segments: Vec<SegmentReport>,
    /// Entries that are whole.
    pub records: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Bytes of a torn tail, which the next opening cuts off.
    pub torn_bytes: u64,
    /// All that is wrong, in order. Empty if the journal is whole.
    pub problems: Vec<JournalError>,
}

/// What is in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its file.
    pub file: PathBuf,
    /// Position of its first entry.
    pub first: Position,
    /// Entries that are whole.
    pub records: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Personal parts that were erased.
    pub erased: u64,
}

/// Proves the journal in `dir`, reading all of it and changing nothing.
pub fn verify(dir: &Path) -> Result<Report, JournalError> {
    let survey = survey_shared(dir)?;
    let segments: Vec<_> = survey.scans.iter().map(Scan::report).collect();
    Ok(Report {
        epoch: survey.scans.first().map(|scan| scan.header.epoch),
        records: segments.iter().map(|segment| segment.records).sum(),
        bytes: segments.iter().map(|segment| segment.bytes).sum(),
        torn_bytes: survey.opening().torn_bytes,
        segments,
        problems: survey.problems,
    })
}

/// All that opening has to know.
pub struct Survey {
    dir: PathBuf,
    scans: Vec<Scan>,
    problems: Vec<JournalError>,
}

/// Where the writer goes on.
pub struct Tail {
    /// The last segment.
    pub segment: Arc<Segment>,
    /// The last entry's CRC, or the one that its segment's header continues.
    pub crc: u32,
    /// The last entry's stamp; 1970 if there is none.
    pub stamp: Stamp,
    /// Bytes of the file; fewer than its header says if it was cut.
    pub file_bytes: u64,
    /// Where the last batch of the segment begins; where the segment ends if it has none.
    pub last_batch: u64,
    /// Where the bytes that a torn tail left behind end; at or before the segment's extent if
    /// there are none.
    pub torn_end: u64,
}

/// One segment, proved by itself.
struct Scan {
    path: PathBuf,
    header: SegmentHeader,
    file_bytes: u64,
    extent: Extent,
    /// Where the last batch begins, if there is one.
    last_batch: Option<u64>,
    records: u64,
    last_crc: u32,
    last_stamp: Option<Stamp>,
    erased: u64,
    /// Positions of erasures that were cut short.
    unfinished: Vec<Position>,
    end: End,
}

/// What follows the last whole record of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing.
    Clean,
    /// What a crash left of a batch, up to this offset.
    Torn(u64),
    /// Something else.
    Damaged(&'static str),
}

/// As `survey`, of a journal that a server may be appending to: what is read while it is
/// written can look like damage, but not twice.
pub fn survey_shared(dir: &Path) -> Result<Survey, JournalError> {
    let first = survey(dir)?;
    if first.problems.is_empty() {
        return Ok(first);
    }
    survey(dir)
}

/// Proves all segments in `dir`.
pub fn survey(dir: &Path) -> Result<Survey, JournalError> {
    let results = scan_all(&segment::list(dir)?);
    let mut survey = Survey {
        dir: dir.into(),
        scans: Vec::new(),
        problems: Vec::new(),
    };
    let mut is_before_known = true;
    for result in results {
        let is_known = result.is_ok();
        match result {
            Ok(scan) => survey.take(scan, is_before_known),
            Err(problem) => survey.problems.push(problem),
        }
        is_before_known = is_known;
    }
    if survey.scans.is_empty() && survey.problems.is_empty() {
        survey.problems.push(survey.missing(Position(1)));
    }
    Ok(survey)
}

/// Proves segments, each by itself, in as many threads as there are processors.
fn scan_all(files: &[(Position, PathBuf)]) -> Vec<Result<Scan, JournalError>> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let taken = AtomicUsize::new(0);
    let work = || {
        let (mut buffer, mut scans) = (Vec::new(), Vec::new());
        loop {
            let index = taken.fetch_add(1, Ordering::Relaxed);
            let Some((first, path)) = files.get(index) else {
                return scans;
            };
            let is_last = index + 1 == files.len();
            scans.push((index, scan(path, *first, is_last, &mut buffer)));
        }
    };
    let mut scans = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers.min(files.len()))
            .map(|_| scope.spawn(work))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    scans.sort_by_key(|(index, _)| *index);
    scans.into_iter().map(|(_, scan)| scan).collect()
}

impl Survey {
    /// How opening goes, if there is no problem.
    pub fn opening(&self) -> Opening {
        let torn_bytes = self.scans.last().map_or(0, |scan| match scan.end {
            End::Torn(end) => end - scan.extent.end,
            _ => 0,
        });
        Opening {
            records: self.scans.iter().map(|scan| scan.records).sum(),
            segments: self.scans.len() as u64,
            torn_bytes,
            erasures_finished: 0,
        }
    }

    /// Erasures to finish, where to write on, and what to read; the first problem, if any.
    pub fn into_parts(self) -> Result<(Vec<Position>, Tail, Arc<Shared>), JournalError> {
        let missing = self.missing(Position(1));
        if let Some(problem) = self.problems.into_iter().next() {
            return Err(problem);
        }
        let stamp = self.scans.iter().rev().find_map(|scan| scan.last_stamp);
        let unfinished = self.scans.iter().flat_map(|scan| scan.unfinished.clone());
        let unfinished = unfinished.collect();
        let segments: Vec<_> = self.scans.iter().map(Scan::segment).collect();
        let (Some(segment), Some(scan)) = (segments.last(), self.scans.last()) else {
            return Err(missing);
        };
        let tail = Tail {
            segment: Arc::clone(segment),
            crc: scan.last_crc,
            stamp: stamp.unwrap_or(UtcMillis(0)),
            file_bytes: scan.file_bytes,
            last_batch: scan.last_batch.unwrap_or(scan.extent.end),
            torn_end: match scan.end {
                End::Torn(end) => end,
                _ => 0,
            },
        };
        let shared = Shared {
            dir: self.dir,
            epoch: scan.header.epoch,
            last: AtomicU64::new(scan.next().0 - 1),
            ended: AtomicU64::new(0),
            rewriting: std::sync::Mutex::default(),
            segments: RwLock::new(segments),
        };
        Ok((unfinished, tail, Arc::new(shared)))
    }

    /// Adds the next segment, and what is wrong with it. How it continues the one before can
    /// be told only if that could be read.
    fn take(&mut self, scan: Scan, is_before_known: bool) {
        if is_before_known {
            let problem = self.joint(&scan);
            self.problems.extend(problem);
        }
        if let End::Damaged(what) = scan.end {
            self.problems.push(scan.damaged(what));
        }
        self.scans.push(scan);
    }

    /// What is wrong between the last segment and the next.
    fn joint(&self, next: &Scan) -> Option<JournalError> {
        let Some(before) = self.scans.last() else {
            return (next.header.number != 0).then(|| self.missing(Position(1)));
        };
        if before.header.epoch != next.header.epoch {
            let file = next.path.clone();
            return Some(JournalError::WrongEpoch { file });
        }
        if before.header.number + 1 != next.header.number {
            return Some(self.missing(before.next()));
        }
        let continued_crc = before.header.sealed_crc.unwrap_or(before.last_crc);
        let is_continued =
            before.next() == next.header.first && continued_crc == next.header.previous_crc;
        (before.end == End::Clean && !is_continued)
            .then(|| before.damaged("its last entries are missing"))
    }

    fn missing(&self, position: Position) -> JournalError {
        JournalError::MissingSegment {
            dir: self.dir.clone(),
            position,
        }
    }
}

impl Scan {
    /// The position after its last record.
    fn next(&self) -> Position {
        Position(self.header.first.0 + self.records)
    }

    fn damaged(&self, what: &'static str) -> JournalError {
        JournalError::Damaged {
            file: self.path.clone(),
            offset: self.extent.end,
            position: self.next(),
            what,
        }
    }

    fn segment(&self) -> Arc<Segment> {
        let (path, extent) = (self.path.clone(), self.extent.clone());
        Arc::new(Segment::new(path, self.header, extent))
    }

    fn report(&self) -> SegmentReport {
        SegmentReport {
            file: self.path.clone(),
            first: self.header.first,
            records: self.records,
            bytes: self.extent.end - SEGMENT_HEADER_BYTES as u64,
            erased: self.erased,
        }
    }

    /// Takes in further records, as far as they are whole and continue each other. `bytes`
    /// are those of the file from its beginning.
    fn take_records(&mut self, bytes: &[u8]) {
        let seed = self.header.seed();
        let mut rest = bytes.get(offset_of(self.extent.end)..).unwrap_or_default();
        while let Some(raw) = RawRecord::parse(rest, seed) {
            let header = raw.header;
            let personal = raw.personal();
            let is_next = header.position == self.next() && header.previous_crc == self.last_crc;
            if !is_next || personal == PersonalPart::Bad {
                break;
            }
            if let PersonalPart::Erased { finished } = personal {
                self.erased += 1;
                self.unfinished
                    .extend((!finished).then_some(header.position));
            }
            if header.batch_offset == 0 {
                self.last_batch = Some(self.extent.end);
            }
            self.extent.push(header.position, header.record_bytes());
            self.records += 1;
            self.last_crc = header.crc;
            self.last_stamp = Some(header.stamp);
            rest = &rest[header.record_bytes()..];
        }
    }
}

/// Reads and proves one segment. `buffer` is used again for the next.
fn scan(
    path: &Path,
    named: Position,
    is_last: bool,
    buffer: &mut Vec<u8>,
) -> Result<Scan, JournalError> {
    let failed = |source| JournalError::io("read", path, source);
    let mut file = File::open(path).map_err(|source| JournalError::io("open", path, source))?;
    let file_bytes = file.metadata().map_err(failed)?.len();
    buffer.clear();
    read_piece(&mut file, SEGMENT_HEADER_BYTES, buffer).map_err(failed)?;
    let header = parse_header(path, named, buffer)?;
    let segment_bytes = usize::try_from(header.segment_bytes.min(SEGMENT_BYTES_MAX))
        .map_err(|error| failed(io::Error::other(error)))?;
    let mut scan = Scan {
        path: path.into(),
        header,
        file_bytes,
        extent: Extent::default(),
        last_batch: None,
        records: 0,
        last_crc: header.previous_crc,
        last_stamp: None,
        erased: 0,
        unfinished: Vec::new(),
        end: End::Clean,
    };
    buffer.reserve(segment_bytes - buffer.len());
    let mut seen = 0;
    while seen < buffer.len() {
        seen = buffer.len();
        // Records are proved while their bytes are still in the processor's cache.
        read_piece(&mut file, PIECE_BYTES.min(segment_bytes - seen), buffer).map_err(failed)?;
        scan.take_records(buffer);
    }
    buffer.resize(segment_bytes, 0);
    scan.end = judge(
        buffer,
        offset_of(scan.extent.end),
        scan.next(),
        header.seed(),
        is_last,
    );
    Ok(scan)
}

/// Reads up to `bytes` bytes more.
fn read_piece(file: &mut File, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    file.take(bytes as u64).read_to_end(buffer).map(drop)
}

/// An offset within a segment that is in memory.
fn offset_of(offset: u64) -> usize {
    usize::try_from(offset).expect("no offset is beyond what is in memory")
}

fn parse_header(path: &Path, named: Position, bytes: &[u8]) -> Result<SegmentHeader, JournalError> {
    let damaged = |what| JournalError::Damaged {
        file: path.into(),
        offset: 0,
        position: named,
        what,
    };
    let header = SegmentHeader::parse(bytes).map_err(|error| match error {
        InvalidHeader::Newer(found) => JournalError::NewerFormat {
            file: path.into(),
            found,
            known: FORMAT_VERSION,
        },
        InvalidHeader::Damaged => damaged("its header is not whole"),
    })?;
    if header.first != named {
        return Err(damaged("its name is not the one that it was given"));
    }
    Ok(header)
}

/// Says what follows the last whole record, which ends at `end`; `expected` is the position
/// that comes next. See the module's documentation for the rule.
fn judge(bytes: &[u8], end: usize, expected: Position, seed: u32, is_last: bool) -> End {
    let rest = &bytes[end..];
    let Some(written) = rest.iter().rposition(|byte| *byte != 0) else {
        return End::Clean;
    };
    if !is_last {
        return End::Damaged("a record is not whole, and later ones follow");
    }
    let out_of_chain = RawRecord::parse(rest, seed)
        .is_some_and(|raw| raw.header.position != expected || raw.personal() != PersonalPart::Bad);
    if out_of_chain {
        return End::Damaged("a record does not continue the one before");
    }
    let torn = End::Torn((end + written + 1) as u64);
    let mut later = (1..=written)
        .filter_map(|at| Some((at, RawRecord::parse(&rest[at..], seed)?.header)))
        .filter(|(_, header)| expected < header.position)
        .peekable();
    let Some((nearest, _)) = later.peek().copied() else {
        return torn;
    };
    if later.any(|(_, header)| expected < header.batch_first()) {
        return End::Damaged("a record is not whole, and later batches follow");
    }
    if !has_unwritten_sector(bytes, end, end + nearest) {
        return End::Damaged("a record of the last batch is not whole, but was written");
    }
    torn
}

/// Whether a sector, or the part of one that lies after `from`, is still zero before the
/// sector in which `to` lies: a torn write leaves at least one.
fn has_unwritten_sector(bytes: &[u8], from: usize, to: usize) -> bool {
    let mut start = from;
    loop {
        let next = (start / SECTOR_BYTES + 1) * SECTOR_BYTES;
        if to < next {
            return false;
        }
        if is_zero(&bytes[start..next]) {
            return true;
        }
        start = next;
    }
}
