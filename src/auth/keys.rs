//! The keys of a data folder: one for each quarter of a year, under which cards and
//! installations become pseudonyms, and one for digests of what clients send.
//!
//! Keys are made ahead, for every quarter that a report may lie in, and are on stable storage
//! before they are used; using one reads and writes nothing. Pseudonyms of different quarters cannot be joined.
//! Keys leave this module in no form, and their memory is cleared when they are dropped.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::CaseNumbers;
use crate::domain::limits::KEY_FILE_BYTES_MAX;
use crate::domain::text::CardNumber;
use crate::domain::{ContentDigest, IncidentSecret, LocalDay, Pseudonym, SecretHash};

const FILE_NAME: &str = "keys";
const ASIDE: &str = "new";
/// Only the owner reads and writes.
const FILE_MODE: u32 = 0o600;
/// The bits that nobody but the owner may have.
const FILE_MODE_OTHERS: u32 = 0o077;
const FIRST_LINE: &str = "mistap keys 1";
const KEY_BYTES: usize = 32;
/// What the key of case numbers is drawn from.
const CASE_NUMBERS: &[u8] = b"case numbers";

/// Why keys cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Others than the owner could read the keys.
    #[error("{path} is open to other users (mode {mode:o}): run chmod 600 on it")]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is not one that this version wrote.
    #[error("{path} is damaged or of another version, at line {line}")]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// From 1 up.
        line: usize,
    },
    /// The file cannot be read or written.
    #[error("{path} cannot be read or written")]
    Io {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not made ahead.
    #[error("there is no key for the quarter {period} (counted from the year 0)")]
    Missing {
        /// As of `key_period`.
        period: u32,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[source] getrandom::Error),
}

/// The keys of a data folder. Shared by all tasks.
pub struct Keys {
    path: PathBuf,
    digest: Key,
    periods: RwLock<BTreeMap<u32, Key>>,
}

#[derive(Clone, ZeroizeOnDrop)]
struct Key([u8; KEY_BYTES]);

impl Keys {
    /// Opens `folder/keys`; makes it at the first start.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(FILE_NAME);
        match File::open(&path) {
            Ok(file) => {
                let text = read_checked(&path, file, KEY_FILE_BYTES_MAX)?;
                let (digest, periods) = parse(&text).map_err(|line| KeyError::Malformed {
                    path: path.clone(),
                    line,
                })?;
                Ok(Self {
                    path,
                    digest,
                    periods: RwLock::new(periods),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(source) => Err(KeyError::Io { path, source }),
        }
    }

    /// Makes the keys that are missing of all quarters from one day's through another's. If
    /// that fails, those of before go on to be used. Writes a file, if any is missing; keys
    /// are used meanwhile. For one thread at a time.
    pub fn make(&self, from: LocalDay, through: LocalDay) -> Result<(), KeyError> {
        let mut periods = self.periods().clone();
        let count = periods.len();
        for period in key_period(from)..=key_period(through) {
            if let Entry::Vacant(place) = periods.entry(period) {
                place.insert(Key::random()?);
            }
        }
        if periods.len() == count {
            return Ok(());
        }
        write(&self.path, &self.digest, &periods)?;
        *self.periods.write().unwrap_or_else(PoisonError::into_inner) = periods;
        Ok(())
    }

    fn periods(&self) -> RwLockReadGuard<'_, BTreeMap<u32, Key>> {
        self.periods.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the folder has a key file.
    pub fn exist(folder: &Path) -> bool {
        folder.join(FILE_NAME).exists()
    }

    fn create(path: PathBuf) -> Result<Self, KeyError> {
        let digest = Key::random()?;
        let periods = BTreeMap::new();
        write(&path, &digest, &periods)?;
        Ok(Self {
            path,
            digest,
            periods: RwLock::new(periods),
        })
    }

    /// Pseudonym of a card under the key of the quarter that the day of the tap lies in, and
    /// that key's period.
    pub fn card(&self, number: &CardNumber, day: LocalDay) -> Result<(Pseudonym, u32), KeyError> {
        let period = key_period(day);
        let pseudonym = self.pseudonym(period, b"ovc:", number.expose())?;
        Ok((pseudonym, period))
    }

    /// As `card`, for the identifier that an installation made for itself.
    pub fn installation(&self, id: &str, day: LocalDay) -> Result<(Pseudonym, u32), KeyError> {
        let period = key_period(day);
        let pseudonym = self.pseudonym(period, b"ins:", id.as_bytes())?;
        Ok((pseudonym, period))
    }

    /// Keyed digest of what a client sent.
    pub fn digest(&self, canonical: &[u8]) -> ContentDigest {
        ContentDigest(self.digest.mac(&[canonical]))
    }

    /// What makes case numbers. They last as long as the key of digests.
    pub fn case_numbers(&self) -> CaseNumbers {
        // What clients send begins with the version of its canonical form, never with this.
        CaseNumbers::new(self.digest.mac(&[CASE_NUMBERS]))
    }

    fn pseudonym(&self, period: u32, domain: &[u8], name: &[u8]) -> Result<Pseudonym, KeyError> {
        let periods = self.periods();
        let key = periods.get(&period).ok_or(KeyError::Missing { period })?;
        Ok(Pseudonym(key.mac(&[domain, name])))
    }
}

impl Key {
    fn random() -> Result<Self, KeyError> {
        let mut key = Self([0; KEY_BYTES]);
        getrandom::fill(&mut key.0).map_err(KeyError::Random)?;
        Ok(key)
    }

    /// HMAC-SHA-256 over the parts one after the other, cut to 16 bytes.
    fn mac(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length of key will do");
        for part in parts {
            mac.update(part);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        short
    }
}

/// The key period that a day lies in: its quarter of a year, counted from the year 0.
pub fn key_period(day: LocalDay) -> u32 {
    u32::try_from(day.month().0 / 3).expect("supported days are after 1970")
}

/// SHA-256 of an incident's secret, cut to 16 bytes.
pub fn secret_hash(secret: &IncidentSecret) -> SecretHash {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(secret.expose())[..16]);
    SecretHash(short)
}

/// Whether a secret has this hash, in a time that does not depend on either.
pub fn secret_matches(secret: &IncidentSecret, hash: &SecretHash) -> bool {
    secret_hash(secret).0.ct_eq(&hash.0).into()
}

/// Reads the key file, unless others than its owner could, too.
pub(super) fn read_checked(
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
fn parse(text: &str) -> Result<(Key, BTreeMap<u32, Key>), usize> {
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
    let mut periods = BTreeMap::new();
    for (line, number) in lines {
        let (period, key) = parse_period(line).ok_or(number)?;
        if periods.insert(period, key).is_some() {
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
    if hexadecimal.len() != 2 * KEY_BYTES || !hexadecimal.is_ascii() {
        return None;
    }
    let mut key = Key([0; KEY_BYTES]);
    for (byte, place) in key.0.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&hexadecimal[place..place + 2], 16).ok()?;
    }
    Some(key)
}

/// Writes the key file aside, synced, and puts it in place of the one before.
fn write(path: &Path, digest: &Key, periods: &BTreeMap<u32, Key>) -> Result<(), KeyError> {
    write_aside(path, &format_keys(digest, periods)).map_err(|source| KeyError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file that only its owner reads, aside, synced, and puts it in place.
pub(super) fn write_aside(path: &Path, text: &str) -> io::Result<()> {
    let aside = path.with_extension(ASIDE);
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
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

fn format_keys(digest: &Key, periods: &BTreeMap<u32, Key>) -> Zeroizing<String> {
    const LINE_BYTES_MAX: usize = 2 * KEY_BYTES + 32;
    let room = (2 + periods.len()) * LINE_BYTES_MAX;
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str(FIRST_LINE);
    text.push_str("\ndigest ");
    push_key(&mut text, digest);
    for (period, key) in periods {
        write!(text, "period {period} ").expect("a string takes any text");
        push_key(&mut text, key);
    }
    text
}

fn push_key(text: &mut String, key: &Key) {
    for byte in key.0 {
        write!(text, "{byte:02x}").expect("a string takes any text");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn day(text: &str) -> LocalDay {
        LocalDay::parse(text).expect("a date")
    }

    fn number() -> CardNumber {
        CardNumber::parse("3528 0000 0000 0007")
            .expect("valid")
            .expect("not empty")
    }

    /// The keys of a folder, with those of the quarters that the tests use.
    fn open(folder: &Path) -> Keys {
        let keys = Keys::open(folder).expect("made or read");
        keys.make(day("2025-10-01"), day("2026-11-23"))
            .expect("made");
        keys
    }

    #[test]
    fn key_that_was_not_made_is_missing_and_a_failure_keeps_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = open(folder.path());
        let next = day("2027-01-01");
        let missing = |keys: &Keys| matches!(keys.card(&number(), next), Err(KeyError::Missing { period }) if period == key_period(next));
        assert!(missing(&keys));
        let aside = folder.path().join("keys.new");
        std::fs::create_dir(&aside).expect("made");
        assert!(matches!(keys.make(next, next), Err(KeyError::Io { .. })));
        assert!(missing(&keys));
        let card = keys.card(&number(), day("2026-11-23")).expect("one");
        std::fs::remove_dir(&aside).expect("removed");
        keys.make(next, next).expect("made");
        assert!(!missing(&keys));
        let again = Keys::open(folder.path()).expect("read");
        assert!(!missing(&again));
        assert_eq!(again.card(&number(), day("2026-11-23")).expect("one"), card);
    }

    #[test]
    fn keys_are_the_same_after_a_restart_and_differ_between_folders() {
        let folder = tempfile::tempdir().expect("a folder");
        let day = day("2026-11-23");
        let keys = open(folder.path());
        let card = keys.card(&number(), day).expect("a pseudonym");
        let again = open(folder.path());
        assert_eq!(again.card(&number(), day).expect("a pseudonym"), card);
        assert_eq!(again.digest(b"text"), keys.digest(b"text"));

        let other = tempfile::tempdir().expect("a folder");
        let other = open(other.path());
        assert_ne!(other.card(&number(), day).expect("a pseudonym"), card);
        assert_ne!(other.digest(b"text"), keys.digest(b"text"));
    }

    #[test]
    fn pseudonyms_of_different_quarters_cannot_be_joined() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = open(folder.path());
        let card = |text| keys.card(&number(), day(text)).expect("a pseudonym");
        assert_eq!(card("2026-10-01"), card("2026-12-31"));
        assert_ne!(card("2026-09-30").0, card("2026-10-01").0);
        assert_ne!(card("2025-10-01").0, card("2026-10-01").0);
        assert_eq!(card("2026-09-30").1 + 1, card("2026-10-01").1);
    }

    #[test]
    fn card_and_installation_of_the_same_name_have_different_pseudonyms() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = open(folder.path());
        let day = day("2026-11-23");
        let installation = keys.installation("3528000000000007", day).expect("one");
        assert_ne!(keys.card(&number(), day).expect("one").0, installation.0);
    }

    #[test]
    fn key_file_is_the_owners_alone_and_refused_otherwise() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE_NAME);
        open(folder.path());
        let mode = std::fs::metadata(&path).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
            let error = Keys::open(folder.path()).err().expect("refused");
            assert!(matches!(error, KeyError::Exposed { mode: is, .. } if is == mode));
            assert!(error.to_string().contains("chmod 600"));
        }
    }

    #[test]
    fn damaged_key_file_is_refused_by_line_without_showing_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE_NAME);
        let keys = Keys::open(folder.path()).expect("made");
        let day = day("2026-11-23");
        keys.make(day, day).expect("made");
        let good = std::fs::read_to_string(&path).expect("read");
        let check = |text: String, expected: usize| {
            std::fs::write(&path, text).expect("written");
            let error = Keys::open(folder.path()).err().expect("refused");
            assert!(matches!(error, KeyError::Malformed { line, .. } if line == expected));
        };
        check(String::new(), 1);
        check(good.replace("keys 1", "keys 2"), 1);
        check(good.replace("digest ", "digest g"), 2);
        check(good.replace("period ", "period -"), 3);
        check(good.clone() + "period 1 00\n", 4);
        let twice = good.lines().last().expect("a period").to_owned();
        check(good.clone() + &twice, 4);
    }

    #[test]
    fn secret_matches_only_its_own_hash() {
        let secret = |byte| {
            IncidentSecret::parse(&[byte; 32])
                .expect("32 bytes")
                .expect("not empty")
        };
        assert!(secret_matches(&secret(1), &secret_hash(&secret(1))));
        assert!(!secret_matches(&secret(1), &secret_hash(&secret(2))));
    }
}
