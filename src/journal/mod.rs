//! The ordered log of everything that happened: the only truth.
//!
//! Entries are appended in batches, each with one write that is durable when it returns
//! (`durable`), to files that were written with zeros beforehand (`format` has their bytes).
//! What `append` returned for
//! is on stable storage, and only that can be read. After any failed write or sync the
//! writer is poisoned: what is on the disk is known again only after the next opening. If
//! there is no room for another segment, nothing was written, and nothing is poisoned.
//!
//! A batch lies in one segment, and is durable before anything is written after it. Hence,
//! at opening, what to do about a record that is not whole can be told:
//!
//! - no valid record lies after it: a *torn tail*, cut short by a crash; it is cut off, and
//!   reported;
//! - only later records of its own batch lie after it, and between them a sector that was
//!   never written: a torn tail too, for a power cut writes the pages of a batch that nobody
//!   was told about in any order;
//! - anything else, which includes a valid record of a later batch or a later segment:
//!   *damage*. Acknowledged entries are gone; the journal does not open.
//!
//! What the entries mean is no concern of this module.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::Position;
use crate::domain::entry::Epoch;
use crate::domain::limits::{RECORD_BYTES_MAX, SEGMENT_BYTES};

pub use crate::domain::Record;

mod ahead;
mod codec;
mod durable;
mod ended;
mod fields;
mod format;
mod reader;
mod redo;
mod removal;
mod scan;
mod segment;
mod writer;

pub use codec::{CodecError, Encoder, Wanted, encode};
pub use ended::EndedTaps;
pub use reader::{Reader, Records, ToldOfStaffs};
pub use removal::Remover;
pub use scan::{Report, SegmentReport, verify};
pub use writer::Writer;

use segment::Segment;

const FOLDER_MODE: u32 = 0o700;

/// Why the journal cannot be opened, read or appended to.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it.
    #[error("{dir}: another process has this journal open; two servers cannot share a folder")]
    Locked {
        /// The journal's folder.
        dir: PathBuf,
    },
    /// The operating system does not allow it.
    #[error("not allowed to {action} {path}; is it owned by the user that runs mistap?")]
    Permission {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system cannot do it.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Bytes are not what was written: acknowledged entries may be gone.
    #[error(
        "{file}: damaged at byte {offset}, where entry {position} should be ({what}); \
         `mistap verify` lists all damage; restore this file from a backup, and run `mistap restore`"
    )]
    Damaged {
        /// The segment.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// Of the first entry that is not whole.
        position: Position,
        /// What is wrong there.
        what: &'static str,
    },
    /// A segment is not there.
    #[error(
        "{dir}: the segment file that begins with entry {position} is missing; \
         restore it from a backup, and run `mistap restore`"
    )]
    MissingSegment {
        /// The journal's folder.
        dir: PathBuf,
        /// Of the first entry in it.
        position: Position,
    },
    /// It ends before an entry that is known to have been durable.
    #[error(
        "{dir}: ends with entry {last}, but entries through {durable} had been recorded and \
         are counted in the checkpoint; restore the journal's files from a backup, or, if they are \
         a copy that was brought back or the lost ones are gone for good, run `mistap restore` to \
         go on without them"
    )]
    Lost {
        /// The journal's folder.
        dir: PathBuf,
        /// The last entry that is there.
        last: Position,
        /// The last that was.
        durable: Position,
    },
    /// A segment is of another journal.
    #[error("{file}: belongs to another journal than the segments before it")]
    WrongEpoch {
        /// The segment.
        file: PathBuf,
    },
    /// Written by a later version.
    #[error(
        "{file}: has format {found}, and this version of mistap reads {known}; use a newer one"
    )]
    NewerFormat {
        /// The segment.
        file: PathBuf,
        /// The version in it.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// An entry holds something that this version does not understand.
    #[error("entry {position} cannot be read; was it written by a newer version of mistap?")]
    Undecodable {
        /// Of the entry.
        position: Position,
        /// What is wrong with it.
        source: CodecError,
    },
    /// No room, or no leave, for the next segment. Nothing was written; it can be tried again.
    #[error("cannot prepare a segment in {dir}")]
    NoSegment {
        /// The journal's folder.
        dir: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// An entry is larger than a record may be. Nothing was written.
    #[error("an entry of {bytes} bytes is larger than {RECORD_BYTES_MAX}")]
    TooLarge {
        /// As it would be written.
        bytes: usize,
    },
    /// An earlier write failed, so nothing more is written.
    #[error("a write to the journal failed; it takes nothing more until it is opened again")]
    Poisoned,
    /// The size of segments is out of range.
    #[error("segments of {0} bytes; must be from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}")]
    SegmentBytes(u64),
}

impl JournalError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.into();
        if source.kind() == io::ErrorKind::PermissionDenied {
            return Self::Permission {
                action,
                path,
                source,
            };
        }
        Self::Io {
            action,
            path,
            source,
        }
    }
}

/// Smallest size of a segment, in bytes: it holds the largest record.
pub const SEGMENT_BYTES_MIN: u64 = (format::SEGMENT_HEADER_BYTES + RECORD_BYTES_MAX) as u64;
/// Largest size of a segment, in bytes: one is read whole at opening.
pub const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

const _: () = assert!(SEGMENT_BYTES_MIN <= SEGMENT_BYTES && SEGMENT_BYTES <= SEGMENT_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_MAX <= u16::MAX as usize);

/// Settings of a journal.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Size of segments to come, `SEGMENT_BYTES_MIN` to `SEGMENT_BYTES_MAX`. Those that are
    /// there keep theirs.
    pub segment_bytes: u64,
    /// False only for the control of the power-cut test, which must lose entries.
    pub sync: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            sync: true,
        }
    }
}

/// An entry, encoded by `encode`: done in the task that made it, not in the committer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The facts, then the personal part: one piece of memory, because it goes to another
    /// thread. Those of one `Encoder` lie in one piece, too.
    bytes: Bytes,
    facts_bytes: usize,
    has_personal: bool,
}

impl Encoded {
    /// Of facts alone.
    fn of_facts(facts: Vec<u8>) -> Self {
        Self {
            facts_bytes: facts.len(),
            bytes: facts.into(),
            has_personal: false,
        }
    }

    /// The same with a personal part.
    fn with_personal(self, personal: &[u8]) -> Self {
        Self {
            bytes: [self.facts(), personal].concat().into(),
            has_personal: true,
            ..self
        }
    }

    fn facts(&self) -> &[u8] {
        &self.bytes[..self.facts_bytes]
    }

    fn personal(&self) -> Option<&[u8]> {
        self.has_personal.then(|| &self.bytes[self.facts_bytes..])
    }

    /// Bytes that it takes in the journal.
    pub fn record_bytes(&self) -> usize {
        format::record_bytes(self)
    }
}

/// How opening went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Entries that are there.
    pub records: u64,
    /// Segments that they are in.
    pub segments: u64,
    /// Bytes of a torn tail that were cut off; 0 if there was none.
    pub torn_bytes: u64,
    /// Erasures that a crash had cut short, and that were finished.
    pub erasures_finished: u64,
}

/// Whether there is a journal in `dir`, whole or not: any segment of one.
pub fn exists(dir: &Path) -> Result<bool, JournalError> {
    match segment::list(dir) {
        Ok(segments) => Ok(!segments.is_empty()),
        Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Whether a journal was created in `dir` once, be it there still or not.
pub fn has_begun(dir: &Path) -> Result<bool, JournalError> {
    segment::is_marked(dir)
}

/// Opens the journal in `dir`, creating it (and the folder) if there never was one; cuts a
/// torn tail; refuses damage. Waits some seconds for a lock that another process still holds.
pub fn open(dir: &Path, settings: Settings) -> Result<(Writer, Reader, Opening), JournalError> {
    open_through(dir, settings, |_| Position(0))
}

/// As `open`, but refuses a journal that ends before the entry that `durable` names for its
/// epoch: one that is known to have been there. No entry is added, cut off or erased then; only
/// what a crash had left half-done beside the entries, or in their personal parts, is finished.
pub fn open_through(
    dir: &Path,
    settings: Settings,
    durable: impl FnOnce(Epoch) -> Position,
) -> Result<(Writer, Reader, Opening), JournalError> {
    if settings.segment_bytes < SEGMENT_BYTES_MIN || SEGMENT_BYTES_MAX < settings.segment_bytes {
        return Err(JournalError::SegmentBytes(settings.segment_bytes));
    }
    let made = DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(dir);
    made.map_err(|source| JournalError::io("create", dir, source))?;
    let lock = segment::lock(dir, segment::LOCK_WAIT)?;
    segment::remove_spare(dir)?;
    ended::remove_aside(dir)?;
    if segment::list(dir)?.is_empty() {
        if segment::is_marked(dir)? {
            let (dir, position) = (dir.into(), Position(1));
            return Err(JournalError::MissingSegment { dir, position });
        }
        writer::create(dir, settings)?;
    }
    // Only now: a creation that was cut short may be begun again.
    segment::mark(dir, &lock, settings.sync)?;
    let rewritten = redo::finish(dir, settings.sync)?;
    let survey = scan::survey(dir)?;
    let mut opening = survey.opening();
    opening.erasures_finished += rewritten;
    let (unfinished, tail, shared) = survey.into_parts()?;
    let reader = Reader::new(Arc::clone(&shared));
    let (last, durable) = (reader.last(), durable(reader.epoch()));
    if last < durable {
        let dir = dir.into();
        return Err(JournalError::Lost { dir, last, durable });
    }
    let mut writer = Writer::open(shared, tail, settings, lock)?;
    for position in unfinished {
        writer.erase_personal(position)?;
        opening.erasures_finished += 1;
    }
    Ok((writer, reader, opening))
}

/// Opens the journal in `dir` for reading only: changes nothing and takes no lock, so that a
/// server may have it open. Reads what was there at this moment, without a torn tail.
pub fn open_reader(dir: &Path) -> Result<(Reader, Opening), JournalError> {
    let survey = scan::survey_shared(dir)?;
    let opening = survey.opening();
    let (_, _, shared) = survey.into_parts()?;
    Ok((Reader::new(shared), opening))
}

/// Whether a process has the journal in `dir` open for writing at this moment.
pub fn is_in_use(dir: &Path) -> Result<bool, JournalError> {
    segment::is_locked(dir)
}

/// Whether a removal was cut short in the journal in `dir`: until the next opening finishes it, that may
/// look like damage to whoever only reads.
pub fn is_removal_cut_short(dir: &Path) -> bool {
    redo::is_left(dir)
}

/// What the writer and all readers know.
#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    epoch: Epoch,
    /// Position of the last durable entry.
    last: std::sync::atomic::AtomicU64,
    /// Through here single incidents are kept no longer; 0 if nowhere.
    ended: std::sync::atomic::AtomicU64,
    /// Held while segments with personal parts that stay are replaced, or personal parts are
    /// rewritten or erased in place, and by whoever finds one that is not whole, to read it again.
    rewriting: std::sync::Mutex<()>,
    /// In order; never empty.
    segments: std::sync::RwLock<Vec<Arc<Segment>>>,
}

#[cfg(test)]
mod tests;
