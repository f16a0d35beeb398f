//! Which keys of pseudonyms are in use, as the journal is told: by fingerprints, which tell keys
//! apart and lead to none.

use std::collections::BTreeMap;

/// Keyed digest of a constant under a key, cut to 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 8]);

/// The keys of a data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysTold {
    /// The key of digests, which lives as long as the key file: another one means another file.
    pub digest: Fingerprint,
    /// The key of each quarter that has one, by `auth::key_period`.
    pub periods: BTreeMap<u32, Fingerprint>,
}
