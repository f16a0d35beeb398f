//! The whole state in one file beside the journal, so that a start folds only what came after.
//!
//! A file is a header (magic, format, fold version, epoch, number of parts, checksum) and
//! parts, each with its kind, length and a CRC-32C. It is written aside, synced and renamed,
//! so that there is always a whole one or none. Whatever is wrong with a file is an error
//! that says so; the caller then folds from the base. Parts are encoded and decoded on all
//! cores, a few megabytes at a time.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind::{IsADirectory, NotFound};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rayon::prelude::*;

use super::base;
use super::parts::{self, END, GROUP_PARTS};
use super::restore::{self, Builder};
use super::state::{FOLD_VERSION, State};
use crate::domain::entry::Epoch;

/// The name of the file.
pub const FILE: &str = "checkpoint";
/// The name of one that counts entries which the journal has lost, and is in use no more.
pub const LOST_FILE: &str = "checkpoint.lost";
/// The name of one that was of use no more once the journal said that such entries are lost.
pub const SET_ASIDE_FILE: &str = "checkpoint.aside";
/// A checkpoint is its owner's alone wherever it is copied.
const FILE_MODE: u32 = 0o600;
/// What is added to a name while the file is written.
const ASIDE: &str = ".new";
/// The oldest fold whose states can still be gone on with as a base.
const BASE_FOLD_MIN: u32 = 7;

const MAGIC: [u8; 8] = *b"mistapCP";
/// In format 1 the checksum of blocks told no more than how long they are.
const FORMAT: u32 = 2;
/// The oldest in which a base can still be gone on with.
const BASE_FORMAT_MIN: u32 = 1;
const HEADER_BYTES: usize = 40;
/// Kind and length of a part.
const PART_HEADER_BYTES: usize = 9;
const CRC_BYTES: usize = 4;
const BUFFER_BYTES: usize = 256 * 1024;

/// Why a checkpoint cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refuses.
    #[error("the checkpoint cannot be read or written")]
    Io(#[from] io::Error),
    /// Not what was written, or not by us.
    #[error("the checkpoint is damaged: {0}")]
    Damaged(&'static str),
    /// Of another version of this program.
    #[error("the checkpoint is of another format or fold")]
    Format,
    /// Of another journal.
    #[error("the checkpoint is of another journal")]
    Epoch,
}

/// Writes the state into a folder, replacing an earlier checkpoint. Survives a power cut.
pub fn write(state: &State, dir: &Path) -> Result<(), CheckpointError> {
    write_named(state, dir, FILE)
}

/// As `write`, under another name.
pub(super) fn write_named(state: &State, dir: &Path, name: &str) -> Result<(), CheckpointError> {
    let aside = dir.join(format!("{name}{ASIDE}"));
    let write = || {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(FILE_MODE)
            .open(&aside)?;
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
        write_parts(state, &mut file)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&aside, dir.join(name))?;
        File::open(dir)?.sync_all()
    };
    let written = write();
    if written.is_err() {
        // Else it takes the room that whatever comes next is refused for, and keeps minutes of taps
        // that are erased meanwhile.
        let _ = remove_unfinished(dir, name);
    }
    Ok(written?)
}

/// Removes what was written of a checkpoint or base of this name and not put in place.
fn remove_unfinished(dir: &Path, name: &str) -> io::Result<()> {
    remove_if_there(&dir.join(format!("{name}{ASIDE}")))
}

/// Removes what was written of a folder's checkpoint and its journal's base and not put in place, as its
/// writer was ended. For whoever has the folder alone.
pub fn remove_asides(dir: &Path, journal: &Path) -> io::Result<()> {
    remove_unfinished(dir, FILE)?;
    remove_unfinished(journal, base::FILE)
}

/// Removes a folder's checkpoint, durably, and what was written of another or set aside.
pub fn remove(dir: &Path) -> io::Result<()> {
    remove_if_there(&dir.join(FILE))?;
    remove_unfinished(dir, FILE)?;
    remove_set_aside(dir)
}

/// Removes checkpoints that are in use no more, durably. For whoever has a folder whose journal reaches
/// past them.
pub fn remove_set_aside(dir: &Path) -> io::Result<()> {
    remove_if_there(&dir.join(SET_ASIDE_FILE))?;
    remove_lost(dir)?;
    File::open(dir)?.sync_all()
}

/// Removes one that counts entries which the journal had lost, and has again.
pub fn remove_lost(dir: &Path) -> io::Result<()> {
    remove_if_there(&dir.join(LOST_FILE))
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if !matches!(error.kind(), NotFound | IsADirectory) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The state in a folder's checkpoint; `None` if there is none.
pub fn read(dir: &Path, epoch: Epoch) -> Result<Option<State>, CheckpointError> {
    read_file(dir, FILE, epoch, Oldest::CHECKPOINT)
}

/// The state in a checkpoint that is in use no more; `None` if there is none.
pub fn read_lost(dir: &Path, epoch: Epoch) -> Result<Option<State>, CheckpointError> {
    read_file(dir, LOST_FILE, epoch, Oldest::CHECKPOINT)
}

/// The state in a base of this name; `None` if there is none.
pub(super) fn read_named(
    dir: &Path,
    name: &str,
    epoch: Epoch,
) -> Result<Option<State>, CheckpointError> {
    read_file(dir, name, epoch, Oldest::BASE)
}

/// The oldest file that is of use.
#[derive(Clone, Copy)]
struct Oldest {
    format: u32,
    fold: u32,
}

impl Oldest {
    const CHECKPOINT: Self = Self {
        format: FORMAT,
        fold: FOLD_VERSION,
    };
    const BASE: Self = Self {
        format: BASE_FORMAT_MIN,
        fold: BASE_FOLD_MIN,
    };
}

fn read_file(
    dir: &Path,
    name: &str,
    epoch: Epoch,
    oldest: Oldest,
) -> Result<Option<State>, CheckpointError> {
    let file = match File::open(dir.join(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let len = file.metadata()?.len();
    let file = BufReader::with_capacity(BUFFER_BYTES, file);
    read_parts(file, len, epoch, oldest).map(Some)
}

fn write_parts(state: &State, out: &mut impl Write) -> io::Result<()> {
    let parts = parts::parts(state);
    out.write_all(&header(state.epoch()))?;
    let mut count = 0u64;
    for group in parts.chunks(GROUP_PARTS) {
        let encode = |part: &parts::Part<'_>| (part.kind(), part.encode(state));
        let encoded: Vec<_> = group.par_iter().map(encode).collect();
        for (kind, bytes) in encoded.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            write_part(out, *kind, bytes)?;
            count += 1;
        }
    }
    write_part(out, END, &count.to_le_bytes())
}

fn write_part(out: &mut impl Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let head = part_header(kind, bytes.len());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head), bytes);
    out.write_all(&head)?;
    out.write_all(bytes)?;
    out.write_all(&crc.to_le_bytes())
}

fn part_header(kind: u8, len: usize) -> [u8; PART_HEADER_BYTES] {
    let mut head = [kind; PART_HEADER_BYTES];
    head[1..].copy_from_slice(&(len as u64).to_le_bytes());
    head
}

fn header(epoch: Epoch) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..16].copy_from_slice(&FOLD_VERSION.to_le_bytes());
    header[16..32].copy_from_slice(&epoch.0);
    let crc = crc32c::crc32c(&header[..HEADER_BYTES - CRC_BYTES]);
    header[HEADER_BYTES - CRC_BYTES..].copy_from_slice(&crc.to_le_bytes());
    header
}

fn check_header(
    found: &[u8; HEADER_BYTES],
    epoch: Epoch,
    oldest: Oldest,
) -> Result<(), CheckpointError> {
    let (told, crc) = found.split_at(HEADER_BYTES - CRC_BYTES);
    if found[..8] != MAGIC || crc32c::crc32c(told).to_le_bytes() != crc {
        return Err(CheckpointError::Damaged("the header"));
    }
    let expected = header(epoch);
    let number = |at: usize| found[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
    let is_known = (oldest.format..=FORMAT).contains(&number(8))
        && (oldest.fold..=FOLD_VERSION).contains(&number(12));
    if !is_known {
        return Err(CheckpointError::Format);
    }
    if found[16..32] != expected[16..32] {
        return Err(CheckpointError::Epoch);
    }
    Ok(())
}

/// A part as it stands in the file, its checksum not looked at yet.
struct RawPart {
    kind: u8,
    bytes: Vec<u8>,
    crc: [u8; CRC_BYTES],
}

fn read_parts(
    file: impl Read + Send,
    len: u64,
    epoch: Epoch,
    oldest: Oldest,
) -> Result<State, CheckpointError> {
    let mut file = PartReader { file, left: len };
    check_header(&file.take()?, epoch, oldest)?;
    let mut builder = Builder::new(State::new(epoch));
    let mut group = file.group()?;
    while !group.is_empty() {
        // The next parts are read while these are decoded.
        let decode = || {
            group
                .into_par_iter()
                .map(decode)
                .collect::<Result<Vec<_>, _>>()
        };
        let (decoded, next) = rayon::join(decode, || file.group());
        for part in decoded? {
            builder.put(part).map_err(CheckpointError::Damaged)?;
        }
        group = next?;
    }
    builder.finish().map_err(CheckpointError::Damaged)
}

fn decode(part: RawPart) -> Result<restore::Read, CheckpointError> {
    let head = part_header(part.kind, part.bytes.len());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head), &part.bytes);
    if crc.to_le_bytes() != part.crc {
        return Err(CheckpointError::Damaged("the checksum of a part is wrong"));
    }
    restore::read(part.kind, part.bytes).map_err(CheckpointError::Damaged)
}

/// Reads no further than the file is long, and makes no room for what it does not hold.
struct PartReader<R> {
    file: R,
    left: u64,
}

impl<R: Read> PartReader<R> {
    /// The next parts; none at the end of the file.
    fn group(&mut self) -> Result<Vec<RawPart>, CheckpointError> {
        let mut group = Vec::with_capacity(GROUP_PARTS);
        while 0 < self.left && group.len() < GROUP_PARTS {
            group.push(self.part()?);
        }
        Ok(group)
    }

    fn part(&mut self) -> Result<RawPart, CheckpointError> {
        let [kind, len @ ..] = self.take::<PART_HEADER_BYTES>()?;
        let len = u64::from_le_bytes(len);
        self.claim(len)?;
        let mut bytes = Vec::new();
        (&mut self.file).take(len).read_to_end(&mut bytes)?;
        let crc = self.take()?;
        Ok(RawPart { kind, bytes, crc })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], CheckpointError> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn claim(&mut self, len: u64) -> Result<(), CheckpointError> {
        let left = self.left.checked_sub(len);
        self.left = left.ok_or(CheckpointError::Damaged("it is too short"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{EPOCH, Maker, entries};
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn folded(count: usize) -> State {
        let mut state = State::new(EPOCH);
        for record in Maker::new(1).entries(count) {
            state.apply(record.position, record.stamp, &record.entry);
        }
        state.take_closed();
        state
    }

    fn bytes_of(state: &State) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_parts(state, &mut bytes).expect("memory can be written");
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<State, CheckpointError> {
        read_parts(bytes, bytes.len() as u64, EPOCH, Oldest::CHECKPOINT)
    }

    #[test]
    fn checkpoint_written_to_a_folder_is_read_back() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(read(dir.path(), EPOCH).expect("no file").is_none());
        let state = folded(2_000);
        write(&folded(10), dir.path()).expect("written");
        write(&state, dir.path()).expect("written again");
        let back = read(dir.path(), EPOCH).expect("whole").expect("there");
        assert_eq!(back.digest(), state.digest());
        assert_eq!(back.recent(), state.recent());
        assert_eq!(bytes_of(&back), bytes_of(&state));
        assert!(!dir.path().join(format!("{FILE}{ASIDE}")).exists());
    }

    #[test]
    fn checkpoint_is_its_owners_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        write(&folded(10), dir.path()).expect("written");
        let file = fs::metadata(dir.path().join(FILE)).expect("there");
        assert_eq!(file.mode() & 0o777, 0o600);
    }

    #[test]
    fn checkpoint_that_cannot_be_put_in_place_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let taken = dir.path().join(FILE);
        fs::create_dir(&taken).expect("made");
        write(&folded(10), dir.path()).expect_err("its name is taken");
        fs::remove_dir(&taken).expect("empty");
        let left = fs::read_dir(dir.path()).expect("a folder").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn checkpoint_of_another_journal_or_format_is_refused() {
        let mut bytes = bytes_of(&folded(10));
        let (len, other) = (bytes.len() as u64, Epoch([8; 16]));
        let other = read_parts(&bytes[..], len, other, Oldest::CHECKPOINT);
        assert!(matches!(other, Err(CheckpointError::Epoch)));
        let mut put = |at: usize, number: u32| {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
            let crc = crc32c::crc32c(&bytes[..36]);
            bytes[36..40].copy_from_slice(&crc.to_le_bytes());
            let base = read_parts(&bytes[..], len, EPOCH, Oldest::BASE);
            (parse(&bytes), base)
        };
        let (fold, base) = put(12, FOLD_VERSION + 1);
        assert!(matches!(fold, Err(CheckpointError::Format)));
        assert!(matches!(base, Err(CheckpointError::Format)));
        let (later, base) = put(8, FORMAT + 1);
        assert!(matches!(later, Err(CheckpointError::Format)));
        assert!(matches!(base, Err(CheckpointError::Format)));
        let _ = put(12, FOLD_VERSION);
        let (earlier, base) = put(8, BASE_FORMAT_MIN);
        assert!(matches!(earlier, Err(CheckpointError::Format)));
        assert!(base.is_ok(), "a base is for ever");
    }

    #[test]
    fn empty_state_is_read_back() {
        let state = State::new(EPOCH);
        let back = parse(&bytes_of(&state)).expect("whole");
        assert_eq!(back.digest(), state.digest());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn going_on_from_a_checkpoint_equals_never_having_stopped(
            entries in entries(1..900), cut in any::<prop::sample::Index>()
        ) {
            let (before, after) = entries.split_at(cut.index(entries.len()));
            let mut state = State::new(EPOCH);
            for record in before {
                state.apply(record.position, record.stamp, &record.entry);
            }
            state.take_closed();
            let mut back = parse(&bytes_of(&state)).expect("whole");
            for record in after {
                let applied = state.apply(record.position, record.stamp, &record.entry);
                prop_assert_eq!(back.apply(record.position, record.stamp, &record.entry), applied);
            }
            prop_assert_eq!(back.take_closed(), state.take_closed());
            prop_assert_eq!(back.digest(), state.digest());
            prop_assert_eq!(back.recent(), state.recent());
        }

        #[test]
        fn changed_bytes_are_refused(at in any::<prop::sample::Index>(), bits in 1u8..) {
            let mut bytes = bytes_of(&folded(300));
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            prop_assert!(parse(&bytes).is_err());
        }

        #[test]
        fn cut_or_longer_files_are_refused(len in any::<prop::sample::Index>()) {
            let bytes = bytes_of(&folded(300));
            let len = len.index(bytes.len());
            prop_assert!(parse(&bytes[..len]).is_err());
            prop_assert!(parse(&[&bytes, &bytes[len..]].concat()).is_err());
        }

        #[test]
        fn parts_with_right_checksums_and_random_content_do_not_panic(
            kind in 0u8..12, content in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            let mut bytes = header(EPOCH).to_vec();
            for kind in 0..kind {
                write_part(&mut bytes, kind, &[0, 0, 0, 0]).expect("memory");
            }
            write_part(&mut bytes, kind, &content).expect("memory");
            let _ = parse(&bytes);
            let mut builder = Builder::new(State::new(EPOCH));
            if let Ok(read) = restore::read(kind, content) {
                let _ = builder.put(read);
            }
        }
    }
}
