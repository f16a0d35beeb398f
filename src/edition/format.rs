//! An edition as it is kept for ever: rows, and all that made them, as canonical bytes.
//!
//! The bytes are JSON with the fields in the order below, without spaces, and with a line
//! feed at the end: the same edition always gives the same bytes, and anybody can read them
//! and check their SHA-256 without this program.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::month;
pub use crate::domain::method::METHOD;
use crate::domain::{LocalMonth, Position};

/// Version of the form of editions.
pub const FORMAT: u32 = 1;
/// What may be done with an edition: everything.
pub const LICENCE: &str = "CC0-1.0";

/// The published figures of one month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edition {
    /// `FORMAT`.
    pub format: u32,
    /// `METHOD`.
    pub method: u32,
    /// As in `2026-10`.
    pub month: String,
    /// When it closed, in UTC.
    pub closed_at: String,
    /// `LICENCE`.
    pub licence: String,
    /// The last position of the journal that it counts.
    pub through: u64,
    /// Versions of the network that matched lines and stops.
    pub networks: Vec<u32>,
    /// When the record began, in UTC, if that was after the month had: then it is told in part
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_since: Option<String>,
    /// Reports that are not countable and were left out; `None` if they are of 1 to 9
    /// reporters.
    pub left_out: Option<u64>,
    /// Reports of earlier months that came after their editions had closed, since the edition
    /// before; `None` if they may be of 1 to 9 reporters.
    pub too_late: Option<u64>,
    /// Days of the month on which an outage was declared, rising. Every figure counts them in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outages: Vec<OutageDay>,
    /// The figures, in a fixed order.
    pub rows: Vec<Row>,
}

/// One day of a declared outage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutageDay {
    /// As in `2026-10-03`.
    pub day: String,
    /// Operator code; empty for the whole network.
    pub operator_code: String,
}

/// One figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `self-reported` or `observed`.
    pub basis: String,
    /// First day.
    pub period_start: String,
    /// Last day.
    pub period_end: String,
    /// Operator code, `not-said`, or empty for all together.
    pub operator_code: String,
    /// What is divided, as in `line` or `staff-act`; `total` if nothing.
    pub dimension: String,
    /// Whose word it is, for causes; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The class; empty for a rest and for a total.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// `yes` or `no`, where the key was asked about; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer: String,
    /// `exact`; `rest` for all that is not published apart, together.
    pub flag: String,
    /// Reports.
    pub count: u64,
    /// Taps that they are set against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taps: Option<u64>,
    /// Where the taps come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denominator_source: Option<String>,
    /// Part of the days for which taps were told, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// The rate, or the share of `yes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Of the rate: `share`, `per-100000-taps` or `share-of-attempts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Lower end of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// How the interval was computed, how sure it is, and how much the days scatter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_method: Option<String>,
    /// Why there is no rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_rate: Option<String>,
}

/// SHA-256 of an edition's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base16ct::lower::encode_string(&self.0))
    }
}

/// Why bytes are no edition that this version reads.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Not of the form.
    #[error("not an edition")]
    Json(#[from] serde_json::Error),
    /// Made by a later version.
    #[error("an edition of format {0}, which this version does not know")]
    Newer(u32),
    /// Of no month.
    #[error("an edition of no month")]
    Month,
}

impl Edition {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("rows and numbers are always JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the bytes of an edition.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let edition: Self = serde_json::from_slice(bytes)?;
        if FORMAT < edition.format {
            return Err(FormatError::Newer(edition.format));
        }
        month::parse(&edition.month).ok_or(FormatError::Month)?;
        Ok(edition)
    }

    /// The month.
    pub fn local_month(&self) -> LocalMonth {
        month::parse(&self.month).expect("checked when it was read or made")
    }

    /// The last position of the journal that it counts.
    pub fn through(&self) -> Position {
        Position(self.through)
    }
}

/// Where the canonical bytes of a month's edition are, over HTTP.
pub fn path(month: &str) -> String {
    format!("/editions/{month}.json")
}

/// One line that names the source of figures.
pub fn citation(month: &str, method: u32, hash: Hash, path: &str) -> String {
    format!(
        "mistap, edition {month}: failed check-ins as reported or observed, method {method}, \
         {LICENCE}, sha256 {hash}, {path}"
    )
}
