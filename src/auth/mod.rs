//! Who may do what (later), and what stands for people: pseudonyms and digests.

mod keys;

pub use keys::{KeyError, Keys, key_period, secret_hash, secret_matches};
