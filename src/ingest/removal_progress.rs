//! What was taken away from the journal so far, in a file beside it.
//!
//! It is a note, never a proof: without it all is taken away again, which changes nothing. Of
//! another journal, as of a copy that was brought back, it says nothing.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest as _, Sha256};

use crate::domain::{KeysTold, LocalDay, Position};

const FILE_MODE: u32 = 0o600;
const FILE_NAME: &str = "retention";
/// Through where words and messages of operators are gone.
const WORDS: &str = "words-and-messages";
const FILE_NAME_ASIDE: &str = "retention.new";

/// What was taken away so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemovalProgress {
    /// Words, messages of operators among them, through this entry.
    pub words: Position,
    /// The first local day on which words that are still there came in.
    pub words_from: Option<LocalDay>,
    /// Everything, through this entry.
    pub all: Position,
    /// The first local day on which personal parts that are still there came in.
    pub all_from: Option<LocalDay>,
    /// The last key period whose key and pseudonyms are gone.
    pub key_period: Option<u32>,
    /// Single incidents, through this entry.
    pub incidents: Position,
    /// The first local day on which single incidents that are still there came in.
    pub incidents_from: Option<LocalDay>,
    /// Digest of what the journal was told about keys last.
    pub keys: Option<u64>,
    /// How many days words are kept, as it was set last.
    pub words_days: Option<u32>,
    /// How many days all else is kept, as it was set last.
    pub personal_days: Option<u32>,
    /// How many months single incidents are kept, as it was set last.
    pub incident_months: Option<u32>,
}

/// The file of it cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be written")]
pub struct ProgressError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl RemovalProgress {
    /// What was done in a data folder, as far as it is known.
    pub fn read(dir: &Path) -> Self {
        let text = fs::read_to_string(dir.join(FILE_NAME)).unwrap_or_default();
        let value = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(' ').map(str::to_owned))
        };
        let position = |key| {
            let number = value(key).and_then(|text| text.parse().ok());
            Position(number.unwrap_or_default())
        };
        let day = |key| value(key).and_then(|text| LocalDay::parse(&text));
        let number = |key| value(key).and_then(|text| text.parse().ok());
        // Of earlier versions, `words` says nothing of messages of operators.
        let has_messages = value(WORDS).is_some();
        Self {
            words: position(WORDS),
            words_from: day("words-from").filter(|_| has_messages),
            all: position("all"),
            all_from: day("all-from"),
            key_period: number("key-period"),
            incidents: position("incidents"),
            incidents_from: day("incidents-from"),
            keys: value("keys").and_then(|text| u64::from_str_radix(&text, 16).ok()),
            words_days: number("words-days"),
            personal_days: number("personal-days"),
            incident_months: number("incident-months"),
        }
    }

    /// Keeps it: aside, synced, and renamed.
    pub fn write(&self, dir: &Path) -> Result<(), ProgressError> {
        let (words, all, incidents) = (self.words, self.all, self.incidents);
        let mut text = format!("{WORDS} {words}\nall {all}\nincidents {incidents}\n");
        for (key, day) in [
            ("words-from", self.words_from),
            ("all-from", self.all_from),
            ("incidents-from", self.incidents_from),
        ] {
            text.extend(day.map(|day| format!("{key} {day}\n")));
        }
        for (key, number) in [
            ("key-period", self.key_period),
            ("words-days", self.words_days),
            ("personal-days", self.personal_days),
            ("incident-months", self.incident_months),
        ] {
            text.extend(number.map(|number| format!("{key} {number}\n")));
        }
        text.extend(self.keys.map(|keys| format!("keys {keys:016x}\n")));
        let (path, aside) = (dir.join(FILE_NAME), dir.join(FILE_NAME_ASIDE));
        let write = || {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(FILE_MODE)
                .open(&aside)?;
            io::Write::write_all(&mut file, text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            fs::File::open(dir)?.sync_all()
        };
        write().map_err(|source| ProgressError { path, source })
    }

    /// Forgets how far things were taken away, as the journal that it was said of may be another
    /// one now: all is looked through again. How long they are kept stays as it was set.
    pub fn begin_anew(dir: &Path) -> Result<(), ProgressError> {
        let before = Self::read(dir);
        let anew = Self {
            words_days: before.words_days,
            personal_days: before.personal_days,
            incident_months: before.incident_months,
            ..Self::default()
        };
        if anew == before {
            return Ok(());
        }
        anew.write(dir)
    }
}

/// What is kept of keys that the journal was told of: the same for the same keys, whatever program
/// this becomes.
pub fn digest(told: &KeysTold) -> u64 {
    let mut hash = Sha256::new();
    hash.update(told.digest.0);
    for (period, fingerprint) in &told.periods {
        hash.update(period.to_be_bytes());
        hash.update(fingerprint.0);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn note_of_a_version_that_left_messages_of_operators_says_nothing_of_words() {
        let dir = tempfile::tempdir().expect("a folder");
        let text = "words 7\nall 5\nincidents 0\nwords-from 2026-08-25\nall-from 2026-05-24\n\
                    words-days 90\n";
        fs::write(dir.path().join(FILE_NAME), text).expect("written");
        let done = RemovalProgress::read(dir.path());
        let all_from = LocalDay::parse("2026-05-24");
        assert_eq!((done.words, done.words_from), (Position(0), None));
        assert_eq!((done.all, done.all_from), (Position(5), all_from));
        assert_eq!(done.words_days, Some(90));
        let gone = RemovalProgress {
            words: Position(9),
            words_from: all_from,
            ..done
        };
        gone.write(dir.path()).expect("written");
        assert_eq!(RemovalProgress::read(dir.path()), gone);
    }

    #[test]
    fn note_is_its_owners_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let done = RemovalProgress::default();
        done.write(dir.path()).expect("written");
        let file = fs::metadata(dir.path().join(FILE_NAME)).expect("there");
        assert_eq!(file.mode() & 0o777, 0o600);
    }
}
