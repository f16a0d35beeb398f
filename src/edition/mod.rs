//! Editions: what the public gets. One covers a calendar month in Europe/Amsterdam, closes at
//! the beginning of day 22 of the next, and is never changed.
//!
//! The way of an edition: the journal is read (`gather`), reporters are told apart (`keys`) and
//! counted (`reporters`), reports are divided by one-way tables (`tables`), screened
//! (`stats::screening`), written as rows (`rows`), set against taps (`taps`, `denominators`,
//! `dispersion`) and written as canonical bytes (`format`). The bytes are kept in a file for ever,
//! and their SHA-256 is an entry of the journal (`library`). Whether one that comes out otherwise
//! later does so for what was taken away meanwhile, is `missing`'s.
//!
//! Who asks for an edition, and when it is closed, is no concern of this module.

mod close;
pub mod columns;
mod denominators;
mod dispersion;
pub mod download;
pub mod format;
pub mod gather;
mod keys;
pub mod library;
mod matched;
mod missing;
pub mod month;
#[cfg(feature = "parquet")]
pub mod parquet;
mod reporters;
mod rows;
mod tables;
mod taps;
#[cfg(test)]
mod tests;

pub use tables::NOT_SAID;
