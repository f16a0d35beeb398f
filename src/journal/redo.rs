//! Rewriting parts of records in place, all or nothing.
//!
//! What is to be written goes to a file beside the segments first and is synced; then it is
//! written in its places and synced; then the file is overwritten with zeros and emptied. The
//! next opening does again what the file says, if the file is whole: a crash at any moment
//! leaves either the old or the new, once the journal is open. So does whoever rewrites, erases
//! or moves a record next, if the disk failed half-way: what is in the file would else be written
//! over what has changed since.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::io::ErrorKind::{NotFound, UnexpectedEof};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::{Buf as _, BufMut as _};

use super::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::{JournalError, segment};
use crate::domain::entry::Epoch;

const FILE_NAME: &str = "redo";
const MAGIC: &[u8; 8] = b"MISTAPR\n";
const EPOCH_BYTES: usize = 16;
const CRC_BYTES: usize = 4;

/// Bytes that are to be somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The segment.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// Writes all of them in their places, durably. For whoever has called `finish`.
pub fn apply(dir: &Path, epoch: Epoch, rewrites: &[Rewrite], sync: bool) -> io::Result<()> {
    if rewrites.is_empty() {
        return Ok(());
    }
    let content = encode(epoch, rewrites);
    let file = put_down(dir, &content, sync)?;
    write_all(rewrites, sync)?;
    clear(&file, content.len(), sync)
}

/// Writes what the file is to say, durably; over the same, if that is what it says.
fn put_down(dir: &Path, content: &[u8], sync: bool) -> io::Result<File> {
    let path = dir.join(FILE_NAME);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(segment::FILE_MODE)
        .open(path)?;
    file.write_all_at(content, 0)?;
    file.set_len(content.len() as u64)?;
    if sync {
        file.sync_all()?;
        segment::sync_dir(dir)?;
    }
    Ok(file)
}

/// Does again what a crash or a failing disk may have cut short. Returns how many places were
/// rewritten. For whoever holds `Shared::rewriting`, or has the journal alone.
pub fn finish(dir: &Path, sync: bool) -> Result<u64, JournalError> {
    replay(dir, sync).map_err(|source| JournalError::io("finish a rewrite in", dir, source))
}

fn replay(dir: &Path, sync: bool) -> io::Result<u64> {
    let path = dir.join(FILE_NAME);
    let content = match fs::read(&path) {
        Err(error) if error.kind() == NotFound => return Ok(0),
        content => content?,
    };
    if content.is_empty() {
        return Ok(0);
    }
    // One that is not whole was never begun with.
    let rewrites = decode(dir, &content)?.unwrap_or_default();
    // One that is may have been read from memory, and be none after a power cut.
    let file = put_down(dir, &content, sync)?;
    write_all(&rewrites, sync)?;
    clear(&file, content.len(), sync)?;
    Ok(rewrites.len() as u64)
}

/// Whether there is something to be done again, which may look like damage until it is.
pub fn is_left(dir: &Path) -> bool {
    let content = fs::read(dir.join(FILE_NAME)).unwrap_or_default();
    let rewrites = decode(dir, &content).ok().flatten();
    rewrites.is_some_and(|rewrites| !rewrites.is_empty())
}

fn write_all(rewrites: &[Rewrite], sync: bool) -> io::Result<()> {
    for of_one in rewrites.chunk_by(|left, right| left.path == right.path) {
        let file = OpenOptions::new().write(true).open(&of_one[0].path)?;
        for rewrite in of_one {
            file.write_all_at(&rewrite.bytes, rewrite.offset)?;
        }
        if sync {
            file.sync_data()?;
        }
    }
    Ok(())
}

/// Leaves nothing of what was in the file.
fn clear(file: &File, bytes: usize, sync: bool) -> io::Result<()> {
    file.write_all_at(&vec![0; bytes], 0)?;
    if sync {
        file.sync_data()?;
    }
    file.set_len(0)?;
    if sync {
        file.sync_all()?;
    }
    Ok(())
}

/// What the file says.
pub(super) fn encode(epoch: Epoch, rewrites: &[Rewrite]) -> Vec<u8> {
    let mut content = Vec::new();
    content.put_slice(MAGIC);
    content.put_slice(&epoch.0);
    for rewrite in rewrites {
        let name = rewrite.path.file_name().unwrap_or_default();
        let name = name.as_encoded_bytes();
        content.put_u64_le(name.len() as u64);
        content.put_slice(name);
        content.put_u64_le(rewrite.offset);
        content.put_u64_le(rewrite.bytes.len() as u64);
        content.put_slice(&rewrite.bytes);
    }
    content.put_u32_le(crc32c::crc32c(&content));
    content
}

/// What the file says, if it is whole and of this journal.
fn decode(dir: &Path, content: &[u8]) -> io::Result<Option<Vec<Rewrite>>> {
    let Some((epoch, rewrites)) = parse(dir, content) else {
        return Ok(None);
    };
    for of_one in rewrites.chunk_by(|left, right| left.path == right.path) {
        if epoch_of(&of_one[0].path)? != Some(epoch) {
            return Ok(None);
        }
    }
    Ok(Some(rewrites))
}

fn parse(dir: &Path, content: &[u8]) -> Option<(Epoch, Vec<Rewrite>)> {
    let (checked, mut crc) = content.split_at_checked(content.len().checked_sub(CRC_BYTES)?)?;
    if crc32c::crc32c(checked) != crc.get_u32_le() {
        return None;
    }
    let rest = checked.strip_prefix(MAGIC)?;
    let (epoch, mut rest) = rest.split_at_checked(EPOCH_BYTES)?;
    let mut rewrites: Vec<Rewrite> = Vec::new();
    while !rest.is_empty() {
        let name = take(&mut rest)?;
        let path = dir.join(std::str::from_utf8(&name).ok()?);
        let offset = rest.try_get_u64_le().ok()?;
        let bytes = take(&mut rest)?;
        rewrites.push(Rewrite {
            path,
            offset,
            bytes,
        });
    }
    Some((Epoch(epoch.try_into().ok()?), rewrites))
}

fn take(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(rest.try_get_u64_le().ok()?).ok()?;
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken.to_vec())
}

/// Of which journal a segment is; `None` if it is not there, or is none. What cannot be read for now is
/// an error: it may be that of the journal.
fn epoch_of(segment: &Path) -> io::Result<Option<Epoch>> {
    let mut header = vec![0; SEGMENT_HEADER_BYTES];
    let read = File::open(segment).and_then(|file| file.read_exact_at(&mut header, 0));
    match read {
        Ok(()) => Ok(SegmentHeader::parse(&header)
            .ok()
            .map(|header| header.epoch)),
        Err(error) if matches!(error.kind(), NotFound | UnexpectedEof) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn removal_is_cut_short_while_its_file_is_whole_and_of_the_journal() {
        let dir = tempfile::tempdir().expect("a folder");
        let settings = crate::journal::Settings::default();
        let (writer, reader, _) = crate::journal::open(dir.path(), settings).expect("new");
        drop(writer);
        let files = fs::read_dir(dir.path()).expect("a folder");
        let mut paths = files.map(|file| file.expect("a file").path());
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "segment");
        let rewrite = Rewrite {
            path: paths.find(is_segment).expect("there"),
            offset: SEGMENT_HEADER_BYTES as u64,
            bytes: vec![0; 3],
        };
        let check = |content: &[u8], expected| {
            fs::write(dir.path().join(FILE_NAME), content).expect("written");
            assert_eq!(is_left(dir.path()), expected);
        };
        assert!(!is_left(dir.path()));
        let of_another = encode(Epoch([7; EPOCH_BYTES]), std::slice::from_ref(&rewrite));
        check(&of_another, false);
        let whole = encode(reader.epoch(), &[rewrite]);
        check(&whole[..whole.len() - 1], false);
        check(&whole, true);
        finish(dir.path(), false).expect("written");
        assert!(!is_left(dir.path()));
    }

    #[test]
    fn file_of_a_rewrite_is_its_owners_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = put_down(dir.path(), b"told", false).expect("room");
        assert_eq!(file.metadata().expect("there").mode() & 0o777, 0o600);
    }

    #[test]
    fn what_cannot_be_looked_at_for_now_is_not_taken_for_what_was_never_begun() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("1.segment");
        let rewrite = Rewrite {
            path: path.clone(),
            offset: 7,
            bytes: vec![1, 2, 3],
        };
        let content = encode(Epoch([7; EPOCH_BYTES]), &[rewrite]);
        let decoded = || decode(dir.path(), &content);
        assert_eq!(decoded().expect("no segment"), None);
        fs::write(&path, b"of nothing").expect("written");
        assert_eq!(decoded().expect("no segment"), None);
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        decoded().expect_err("it cannot be read");
    }
}
