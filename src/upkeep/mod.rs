//! What a record has done to it when the time has come, without being asked: personal data is taken
//! away, keys of quarters that ended are destroyed, single incidents end, and editions are closed.
//!
//! Each looks now and then, by the stamps of the journal, and does again what was cut short.

pub mod editions;
pub mod retention;
