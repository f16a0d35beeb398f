//! What mistap is about, as checked types: identifiers, time, taxonomies, incidents,
//! journal entries and questions.
//!
//! A value of a type in here is valid by its type; nobody checks again. Nothing in here
//! reads a clock, does I/O or knows how anything travels or is stored.

pub mod address;
pub mod calendar;
pub mod case;
pub mod contact;
pub mod entry;
pub mod id;
pub mod incident;
mod keys_told;
pub mod limits;
pub mod method;
pub mod outage;
pub mod question;
pub mod reporters;
mod restores;
pub mod row;
pub mod taps;
pub mod taxonomy;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod time;

pub use address::{AddressPrefix, CountedPrefix, Origin};
pub use calendar::Calendar;
pub use case::CaseNumber;
pub use entry::{Amendment, Answer, Entry, Facts, Personal, Position, Record, Stamp};
pub use id::{
    ContentDigest, IncidentId, IncidentSecret, LineId, OperatorCode, Pseudonym, SecretHash, StopId,
};
pub use incident::{Incident, Match};
pub use keys_told::{Fingerprint, KeysTold};
pub use outage::{Outage, OutageChange, OutageDay, OutageTold, Outages};
pub use question::{Basis, Dimension, Filter, Question};
pub use restores::{Restore, Restores};
pub use row::{Row, RowTime};
pub use taps::{FeedId, TapBatch, TapCount, TapFeed, TapScope, TapSlot};
pub use time::{Hour, LocalDay, LocalMonth, Minute, MinuteSpan, ServerTime, UtcMillis, Window};
