//! Who may do what (later), and what stands for people: pseudonyms and digests. (skeleton)

use crate::domain::text::CardNumber;
use crate::domain::{ContentDigest, IncidentSecret, Pseudonym, SecretHash, UtcMillis};
use std::path::Path;

/// Why keys cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{0}")]
    Todo(String),
}

/// The keys of a data folder.
pub struct Keys;

impl Keys {
    /// Opens `dir/keys`, or makes it (mode 0600) at the first start.
    pub fn open(_dir: &Path, _now: UtcMillis) -> Result<Self, KeyError> {
        todo!()
    }
    /// Pseudonym of a card under the key of the period of `occurred` (a calendar quarter), and the period.
    pub fn card(&self, _number: &CardNumber, _occurred: UtcMillis) -> (Pseudonym, u32) {
        todo!()
    }
    pub fn installation(&self, _id: &str, _occurred: UtcMillis) -> (Pseudonym, u32) {
        todo!()
    }
    /// Keyed digest of a client's canonical input.
    pub fn digest(&self, _canonical: &[u8]) -> ContentDigest {
        todo!()
    }
    pub fn secret_hash(_secret: &IncidentSecret) -> SecretHash {
        todo!()
    }
    /// In constant time.
    pub fn secret_matches(_secret: &IncidentSecret, _hash: &SecretHash) -> bool {
        todo!()
    }
}
