//! Who may do what, and what stands for people and incidents: roles, tokens, pseudonyms,
//! digests, case numbers and seals.

mod cases;
mod gate;
mod keys;
mod limiter;
pub mod qr;
pub mod receipts;
mod role;
mod seal;
mod secret;
pub mod table;
mod tokens;

pub use cases::CaseNumbers;
pub use gate::{Gate, UnknownToken};
pub use keys::{KeyError, KeyedPseudonym, Keys, key_period, period_begins, period_ends_at};
pub use limiter::{Limited, Limiter, PREFIX_BYTES, Whose, prefix_of};
pub use receipts::{Receipt, ReceiptKeys};
pub use role::{Grant, Principal, Role, Scope, TokenId};
pub use seal::{Citations, SEAL_BYTES, SEALED_TEXT_BYTES_MAX, Seal};
pub use secret::{secret_hash, secret_matches};
pub use tokens::{
    FileState, KnownToken, NewToken, TOKEN_BYTES, TOKEN_PREFIX, Token, TokenError, TokenFile,
    TokenRefused,
};
