//! Who may do what, and what stands for people and incidents: pseudonyms, digests and case
//! numbers.

mod cases;
mod keys;
mod role;

pub use cases::CaseNumbers;
pub use keys::{KeyError, Keys, key_period, secret_hash, secret_matches};
pub use role::{Grant, Principal, Role, Scope, TokenId};
