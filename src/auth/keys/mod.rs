//! The keys of a data folder: one for each quarter of a year, under which cards and
//! installations become pseudonyms, and one for digests of what clients send.
//!
//! Keys are made ahead, for every quarter that a report may lie in, and are on stable storage
//! before they are used; using one reads and writes nothing. Pseudonyms of different quarters cannot be joined.
//! Keys leave this module in no form, and their memory is cleared when they are dropped.

mod file;
mod period;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::cases::{Permutation, Stretches};
use super::seal::Salts;
use super::{CaseNumbers, Citations, Seal};
use crate::domain::limits::KEY_FILE_BYTES_MAX;
use crate::domain::text::CardNumber;
use crate::domain::{ContentDigest, Fingerprint, KeysTold, LocalDay, Pseudonym, Restore, Restores};
pub(super) use file::{read_checked, write_aside};
pub use period::{key_period, period_begins, period_ends_at};

const FILE_NAME: &str = "keys";
const KEY_BYTES: usize = 32;
/// What the key of case numbers is drawn from.
const CASE_NUMBERS: &[u8] = b"case numbers";
/// What the key of citations is drawn from.
const CITATIONS: &[u8] = b"citations";
/// What the key of seals is drawn from.
const SEALS: &[u8] = b"seals";
/// What fingerprints are digests of.
const FINGERPRINT: &[u8] = b"fingerprint";

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
    /// Destroyed, or never made because the last edition of the quarter had closed before.
    #[error("the quarter {period} (counted from the year 0) has ended")]
    Ended {
        /// As of `key_period`.
        period: u32,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[source] getrandom::Error),
}

/// A pseudonym, and the quarter under whose key it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedPseudonym {
    /// What stands for a card or an installation.
    pub pseudonym: Pseudonym,
    /// As of `key_period`.
    pub period: u32,
}

/// The keys of a data folder. Shared by all tasks.
pub struct Keys {
    path: PathBuf,
    digest: Key,
    salts: Salts,
    periods: RwLock<Periods>,
    /// Held while the file is written.
    writing: Mutex<()>,
}

/// The keys of quarters.
#[derive(Clone, Default)]
struct Periods {
    keys: BTreeMap<u32, Key>,
    /// Those before this one have ended: they have no key, and never will.
    first: u32,
    /// Those before this one are not made, and those that are there still live.
    made_from: u32,
}

#[derive(Clone)]
struct Key {
    bytes: [u8; KEY_BYTES],
    /// What every HMAC under it begins with: half of the work of one over a short text.
    begun: Hmac<Sha256>,
}

impl Keys {
    /// Opens `folder/keys`; makes it at the first start.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(FILE_NAME);
        match File::open(&path) {
            Ok(file) => {
                let text = read_checked(&path, file, KEY_FILE_BYTES_MAX)?;
                let (digest, periods) = file::parse(&text).map_err(|line| KeyError::Malformed {
                    path: path.clone(),
                    line,
                })?;
                Self::of(path, digest, periods)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(source) => Err(KeyError::Io { path, source }),
        }
    }

    /// Removes keys of a folder that were written aside by who was ended before they were put in
    /// place. Nobody else may write there meanwhile.
    pub fn remove_aside(folder: &Path) -> Result<(), KeyError> {
        let path = folder.join(FILE_NAME);
        file::remove_aside(&path).map_err(|source| KeyError::Io { path, source })
    }

    /// Makes the keys that are missing of all quarters from one day's through another's. If
    /// that fails, those of before go on to be used. Writes a file, if any is missing; keys
    /// are used meanwhile.
    pub fn make(&self, from: LocalDay, through: LocalDay) -> Result<(), KeyError> {
        self.change(|periods| {
            let count = periods.keys.len();
            periods.made_from = key_period(from).max(periods.first);
            for period in periods.made_from..=key_period(through) {
                if let Entry::Vacant(place) = periods.keys.entry(period) {
                    place.insert(Key::random()?);
                }
            }
            Ok(periods.keys.len() != count)
        })
    }

    /// Uses the keys of a quarter, and of all before it, no more. They are in the file until they are
    /// destroyed, and the next start uses them again where nothing was written to it since.
    pub fn end(&self, through: u32) {
        let held = self.periods.write();
        let mut periods = held.unwrap_or_else(PoisonError::into_inner);
        periods.first = periods.first.max(through + 1);
    }

    /// The first quarter whose key has not ended.
    pub fn first_living(&self) -> u32 {
        self.periods().first
    }

    /// Does something that no key can end in the midst of; `None`, and nothing done, if one has
    /// ended since a quarter was the first living one. `work` must not ask for keys.
    pub fn unless_ended<T>(&self, living: u32, work: impl FnOnce() -> T) -> Option<T> {
        let periods = self.periods();
        (periods.first == living).then(work)
    }

    /// Destroys the keys of a quarter, and of all before it: in memory, and in the file, whose
    /// bytes of before are overwritten.
    pub fn destroy(&self, through: u32) -> Result<(), KeyError> {
        self.change(|periods| {
            periods.keys = periods.keys.split_off(&(through + 1));
            periods.first = periods.first.max(through + 1);
            Ok(true)
        })
    }

    /// Makes new keys in place of those from a quarter on: what was reported before under the
    /// old cannot be joined with what comes. Not while another process uses the folder.
    pub fn rotate(&self, from: LocalDay) -> Result<Vec<u32>, KeyError> {
        let from = key_period(from);
        let mut rotated = Vec::new();
        self.change(|periods| {
            for (period, key) in periods.keys.range_mut(from..) {
                *key = Key::random()?;
                rotated.push(*period);
            }
            Ok(true)
        })?;
        Ok(rotated)
    }

    /// Changes keys in memory, and before that in the file if `change` says so. Those of before
    /// are used meanwhile, and are kept if it fails.
    fn change(
        &self,
        change: impl FnOnce(&mut Periods) -> Result<bool, KeyError>,
    ) -> Result<(), KeyError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = self.periods().clone();
        if change(&mut changed)? {
            file::write(&self.path, &self.digest, &changed)?;
        }
        let held = self.periods.write();
        let mut periods = held.unwrap_or_else(PoisonError::into_inner);
        // What was ended meanwhile stays so.
        changed.first = changed.first.max(periods.first);
        *periods = changed;
        Ok(())
    }

    /// The quarters that have a key, rising.
    pub fn known_periods(&self) -> Vec<u32> {
        self.periods().keys.keys().copied().collect()
    }

    /// Fingerprints of all keys.
    pub fn told(&self) -> KeysTold {
        let periods = self.periods();
        let keys = periods.keys.iter();
        KeysTold {
            digest: self.digest.fingerprint(),
            periods: keys
                .map(|(period, key)| (*period, key.fingerprint()))
                .collect(),
        }
    }

    fn periods(&self) -> RwLockReadGuard<'_, Periods> {
        self.periods.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the folder has a key file.
    pub fn exist(folder: &Path) -> bool {
        folder.join(FILE_NAME).exists()
    }

    fn create(path: PathBuf) -> Result<Self, KeyError> {
        let digest = Key::random()?;
        let periods = Periods::default();
        file::write(&path, &digest, &periods)?;
        Self::of(path, digest, periods)
    }

    fn of(path: PathBuf, digest: Key, periods: Periods) -> Result<Self, KeyError> {
        Ok(Self {
            path,
            digest,
            salts: Salts::random()?,
            periods: RwLock::new(periods),
            writing: Mutex::default(),
        })
    }

    /// Pseudonym of a card under the key of the quarter that the day of the tap lies in.
    pub fn card(&self, number: &CardNumber, day: LocalDay) -> Result<KeyedPseudonym, KeyError> {
        self.pseudonym(key_period(day), b"ovc:", number.expose())
    }

    /// As `card`, for the identifier that an installation made for itself.
    pub fn installation(&self, id: &[u8], day: LocalDay) -> Result<KeyedPseudonym, KeyError> {
        self.pseudonym(key_period(day), b"ins:", id)
    }

    /// Keyed digest of what a client sent, in parts, one after the other.
    pub fn digest(&self, canonical: &[&[u8]]) -> ContentDigest {
        ContentDigest(self.digest.mac(canonical))
    }

    /// What makes case numbers. They last as long as the key of digests.
    pub fn case_numbers(&self, restores: &Restores) -> CaseNumbers {
        CaseNumbers::new(self.stretches(CASE_NUMBERS, restores))
    }

    /// What makes the numbers by which operators cite figures. They last as long.
    pub fn citations(&self, restores: &Restores) -> Citations {
        Citations::new(self.stretches(CITATIONS, restores), self.salts.clone())
    }

    /// Numbers for a use that begins with these bytes.
    fn stretches(&self, what_for: &[u8], restores: &Restores) -> Stretches {
        // What clients send begins with the version of its canonical form, never with this.
        let first = Permutation::new(self.digest.mac(&[what_for]));
        let others = restores.all().iter().map(|Restore { at, epoch }| {
            let key = self.digest.mac(&[what_for, &epoch.0]);
            (*at, Permutation::new(key))
        });
        Stretches::new(first, others)
    }

    /// What seals tokens. They last as long.
    pub fn seal(&self) -> Seal {
        Seal::new(self.digest.mac(&[SEALS]), self.salts.clone())
    }

    fn pseudonym(
        &self,
        period: u32,
        domain: &[u8],
        name: &[u8],
    ) -> Result<KeyedPseudonym, KeyError> {
        let periods = self.periods();
        let has_ended = period < periods.first;
        let key = periods.keys.get(&period).filter(|_| !has_ended);
        let Some(key) = key else {
            return Err(if has_ended || period < periods.made_from {
                KeyError::Ended { period }
            } else {
                KeyError::Missing { period }
            });
        };
        Ok(KeyedPseudonym {
            pseudonym: Pseudonym(key.mac(&[domain, name])),
            period,
        })
    }
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self {
            bytes: *bytes,
            begun: begun(bytes),
        }
    }

    fn random() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(&mut *bytes).map_err(KeyError::Random)?;
        Ok(Self::new(&bytes))
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut short = [0; 8];
        short.copy_from_slice(&self.mac(&[FINGERPRINT])[..8]);
        Fingerprint(short)
    }

    /// HMAC-SHA-256 over the parts one after the other, cut to 16 bytes.
    fn mac(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = self.begun.clone();
        for part in parts {
            mac.update(part);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        short
    }
}

/// Overwritten where it lies: the library's states do not clear themselves.
impl Drop for Key {
    fn drop(&mut self) {
        self.bytes.zeroize();
        self.begun = begun(&self.bytes);
        // Else nobody reads it any more, and it need not be written.
        std::hint::black_box(&self.begun);
    }
}

/// An HMAC under a key, over nothing yet.
fn begun(key: &[u8; KEY_BYTES]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("any length of key will do")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn day(text: &str) -> LocalDay {
        LocalDay::parse(text).expect("a date")
    }

    fn number() -> CardNumber {
        CardNumber::parse("3528 0000 0000 0007")
            .expect("valid")
            .expect("not empty")
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_file_holds_is_read_or_refused(
            mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
            is_begun_well: bool,
        ) {
            let folder = tempfile::tempdir().expect("a folder");
            let keys = open(folder.path());
            drop(keys);
            let path = folder.path().join("keys");
            if is_begun_well {
                let mut whole = std::fs::read(&path).expect("written");
                whole.append(&mut bytes);
                bytes = whole;
            }
            std::fs::write(&path, &bytes).expect("written");
            if let Ok(keys) = Keys::open(folder.path()) {
                // What was read can be used.
                let today = day("2026-11-23");
                let _ = keys.card(&number(), today);
                proptest::prop_assert!(keys.installation(b"an-installation", today).is_ok() || !is_begun_well);
            }
            for name in ["keys", "receipt-keys"] {
                std::fs::write(folder.path().join(name), &bytes).expect("written");
            }
            if let Ok(receipts) = crate::auth::ReceiptKeys::open(folder.path()) {
                assert!(receipts.jwks().contains("keys"));
            }
        }
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
    fn destroyed_key_is_nowhere_and_is_not_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = open(folder.path());
        let (old, new) = (day("2026-09-30"), day("2026-10-01"));
        let path = folder.path().join(FILE_NAME);
        let before = File::open(&path).expect("there");
        let line = |text: &str| {
            let prefix = format!("period {} ", key_period(old));
            let found = text.lines().find(|line| line.starts_with(&prefix));
            found.map(str::to_owned)
        };
        let secret = line(&std::fs::read_to_string(&path).expect("text")).expect("made");
        let kept = keys.card(&number(), new).expect("one");
        keys.destroy(key_period(old)).expect("written");
        let ended = |keys: &Keys| matches!(keys.card(&number(), old), Err(KeyError::Ended { .. }));
        assert!(ended(&keys));
        keys.make(day("2025-10-01"), new).expect("made");
        assert!(ended(&keys) && ended(&open(folder.path())));
        assert_eq!(keys.card(&number(), new).expect("one"), kept);
        assert_eq!(line(&std::fs::read_to_string(&path).expect("text")), None);
        // The file of before is nothing but zeros.
        let mut bytes = Vec::new();
        (&before).read_to_end(&mut bytes).expect("read");
        assert!(secret.len() < bytes.len() && bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn key_is_not_destroyed_where_the_file_that_has_it_cannot_be_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = open(folder.path());
        keys.make(day("2026-01-01"), day("2026-11-23"))
            .expect("made");
        let path = folder.path().join(FILE_NAME);
        // Whoever runs as root may write to any file, but not to one that leads to itself.
        std::fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(&path, &path).expect("made");
        let period = key_period(day("2026-01-01"));
        assert!(matches!(keys.destroy(period), Err(KeyError::Io { .. })));
        assert!(path.is_symlink(), "left as it was");
    }

    #[test]
    fn nothing_is_left_of_keys_that_were_written_aside_and_not_put_in_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = open(folder.path());
        let path = folder.path().join(FILE_NAME);
        let aside = path.with_extension("new");
        for remove in [
            &|| Keys::remove_aside(folder.path()).expect("removed"),
            &|| keys.destroy(0).expect("written") as (),
        ] as [&dyn Fn(); 2]
        {
            std::fs::copy(&path, &aside).expect("copied");
            let before = File::open(&aside).expect("there");
            remove();
            assert!(!aside.exists());
            let mut bytes = Vec::new();
            (&before).read_to_end(&mut bytes).expect("read");
            assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == 0));
        }
        Keys::remove_aside(folder.path()).expect("there is none");
    }

    #[test]
    fn what_was_made_before_a_key_ended_is_sent_before_that_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = open(folder.path());
        let period = key_period(day("2026-09-30"));
        let living = keys.first_living();
        assert_eq!(keys.unless_ended(living, || "sent"), Some("sent"));
        let has_ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sent = keys.unless_ended(living, || {
                scope.spawn(|| {
                    keys.end(period);
                    has_ended.store(true, Ordering::Relaxed);
                });
                assert!(!has_ended.load(Ordering::Relaxed), "it waits");
            });
            sent.expect("none has ended");
        });
        assert_eq!(keys.unless_ended(living, || "sent"), None);
        assert_eq!(keys.first_living(), period + 1);
    }

    #[test]
    fn quarter_that_ends_while_keys_are_made_stays_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = open(folder.path());
        let (old, new) = (day("2026-09-30"), day("2026-10-01"));
        let made = keys.change(|_| {
            keys.end(key_period(old));
            Ok(true)
        });
        made.expect("written");
        let ended = keys.card(&number(), old);
        assert!(matches!(ended, Err(KeyError::Ended { .. })));
        keys.card(&number(), new).expect("it lives");
    }

    #[test]
    fn rotated_key_joins_nothing_with_what_was_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = open(folder.path());
        let (old, new) = (day("2026-09-30"), day("2026-10-01"));
        let of = |day| keys.card(&number(), day).expect("one");
        let before = (of(old), of(new));
        let told = keys.told();
        assert_eq!(keys.rotate(new).expect("written"), [key_period(new)]);
        let rotated = keys.told();
        assert_eq!(rotated.digest, told.digest);
        let replaced = rotated
            .periods
            .iter()
            .filter(|(period, fingerprint)| told.periods.get(*period) != Some(*fingerprint));
        assert_eq!(
            replaced.map(|(period, _)| *period).collect::<Vec<_>>(),
            [key_period(new)]
        );
        assert_eq!(open(folder.path()).told(), rotated);
        assert_eq!(of(old), before.0);
        assert_ne!(of(new), before.1);
        assert_eq!(
            of(new),
            open(folder.path()).card(&number(), new).expect("one")
        );
    }

    #[test]
    fn keys_are_the_same_after_a_restart_and_differ_between_folders() {
        let folder = tempfile::tempdir().expect("a folder");
        let day = day("2026-11-23");
        let keys = open(folder.path());
        let card = keys.card(&number(), day).expect("a pseudonym");
        let again = open(folder.path());
        assert_eq!(again.card(&number(), day).expect("a pseudonym"), card);
        assert_eq!(again.digest(&[b"text"]), keys.digest(&[b"te", b"xt"]));

        let other = tempfile::tempdir().expect("a folder");
        let other = open(other.path());
        assert_ne!(other.card(&number(), day).expect("a pseudonym"), card);
        assert_ne!(other.digest(&[b"text"]), keys.digest(&[b"text"]));
    }

    #[test]
    fn pseudonyms_of_different_quarters_cannot_be_joined() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = open(folder.path());
        let card = |text| keys.card(&number(), day(text)).expect("a pseudonym");
        assert_eq!(card("2026-10-01"), card("2026-12-31"));
        let pseudonym = |text| card(text).pseudonym;
        assert_ne!(pseudonym("2026-09-30"), pseudonym("2026-10-01"));
        assert_ne!(pseudonym("2025-10-01"), pseudonym("2026-10-01"));
        assert_eq!(card("2026-09-30").period + 1, card("2026-10-01").period);
    }

    #[test]
    fn card_and_installation_of_the_same_name_have_different_pseudonyms() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = open(folder.path());
        let day = day("2026-11-23");
        let installation = keys.installation(b"3528000000000007", day).expect("one");
        let card = keys.card(&number(), day).expect("one");
        assert_ne!(card.pseudonym, installation.pseudonym);
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
}
