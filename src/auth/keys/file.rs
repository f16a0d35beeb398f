//! The file of keys, which only its owner reads: its text, and replacing it so that nothing of it is
//! left.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::{KEY_BYTES, Key, KeyError, Periods};

const ASIDE: &str = "new";
/// Only the owner reads and writes.
const FILE_MODE: u32 = 0o600;
/// The bits that nobody but the owner may have.
const FILE_MODE_OTHERS: u32 = 0o077;
const FIRST_LINE: &str = "mistap keys 1";
/// Before the first quarter whose key may live.
const FIRST_PERIOD: &str = "first ";

/// Reads the key file, unless others than its owner could, too.
pub fn read_checked(
    path: &Path,
    mut file: File,
    bytes_max: u64,
) -> Result<Zeroizing<String>, KeyError> {
    let io_error = |source| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    let metadata = file.metadata().map_err(io_error)?;
    let mode = metadata.mode() & 0o777;
    if mode & FILE_MODE_OTHERS != 0 {
        let path = path.to_owned();
        return Err(KeyError::Exposed { path, mode });
    }
    if bytes_max < metadata.len() {
        let path = path.to_owned();
        return Err(KeyError::Malformed { path, line: 1 });
    }
    // Room from the beginning: a text that grows would leave copies behind.
    let room = usize::try_from(metadata.len()).unwrap_or(0) + 1;
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.read_to_string(&mut text).map_err(io_error)?;
    Ok(text)
}

/// The digest key and the keys of periods, or the line that is wrong.
pub fn parse(text: &str) -> Result<(Key, Periods), usize> {
    let mut lines = text.lines().zip(1..);
    match lines.next() {
        Some((FIRST_LINE, _)) => {}
        _ => return Err(1),
    }
    let (line, number) = lines.next().ok_or(2_usize)?;
    let digest = line
        .strip_prefix("digest ")
        .and_then(parse_key)
        .ok_or(number)?;
    let mut periods = Periods::default();
    for (line, number) in lines {
        if let Some(first) = line.strip_prefix(FIRST_PERIOD) {
            periods.first = first.parse().map_err(|_| number)?;
            continue;
        }
        let (period, key) = parse_period(line).ok_or(number)?;
        if periods.keys.insert(period, key).is_some() {
            return Err(number);
        }
    }
    Ok((digest, periods))
}

fn parse_period(line: &str) -> Option<(u32, Key)> {
    let (period, key) = line.strip_prefix("period ")?.split_once(' ')?;
    Some((period.parse().ok()?, parse_key(key)?))
}

fn parse_key(hexadecimal: &str) -> Option<Key> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    let read = base16ct::mixed::decode(hexadecimal, &mut *bytes)
        .ok()?
        .len();
    (read == KEY_BYTES).then(|| Key::new(&bytes))
}

/// Writes the key file aside, synced, and puts it in place of the one before.
pub fn write(path: &Path, digest: &Key, periods: &Periods) -> Result<(), KeyError> {
    let write = || {
        // Of one that cannot be written to, the keys would be left on the disk.
        let before = match OpenOptions::new().write(true).open(path) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        write_aside(path, &format_keys(digest, periods))?;
        before.as_ref().map_or(Ok(()), zero)
    };
    write().map_err(|source| KeyError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file that only its owner reads, aside, synced, and puts it in place.
pub fn write_aside(path: &Path, text: &str) -> io::Result<()> {
    remove_aside(path)?;
    let aside = path.with_extension(ASIDE);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Removes what was written aside and not put in place, as its writer was ended: it has secrets, too.
pub fn remove_aside(path: &Path) -> io::Result<()> {
    let aside = path.with_extension(ASIDE);
    match OpenOptions::new().write(true).open(&aside) {
        Ok(file) => {
            zero(&file)?;
            std::fs::remove_file(&aside)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Nothing of a file is left, as far as a file system can promise that.
fn zero(file: &File) -> io::Result<()> {
    let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    file.write_all_at(&vec![0; bytes], 0)?;
    file.sync_all()
}

fn format_keys(digest: &Key, periods: &Periods) -> Zeroizing<String> {
    const LINE_BYTES_MAX: usize = 2 * KEY_BYTES + 32;
    let room = (3 + periods.keys.len()) * LINE_BYTES_MAX;
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str(FIRST_LINE);
    text.push_str("\ndigest ");
    push_key(&mut text, digest);
    if 0 < periods.first {
        let first = periods.first;
        writeln!(text, "{FIRST_PERIOD}{first}").expect("a string takes any text");
    }
    for (period, key) in &periods.keys {
        write!(text, "period {period} ").expect("a string takes any text");
        push_key(&mut text, key);
    }
    text
}

fn push_key(text: &mut String, key: &Key) {
    let mut digits = Zeroizing::new([0; 2 * KEY_BYTES]);
    let digits = base16ct::lower::encode_str(&key.bytes, &mut digits[..]);
    text.push_str(digits.expect("two digits a byte"));
    text.push('\n');
}
