//! What entries tell of staff, and nothing else of them: a fifth of the work of decoding all.

use prost::Message;

use super::CodecError;
use super::values::{set, value};
use crate::domain::entry::ToldOfStaff;

/// An entry, of which only the facts of incidents are read.
#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    incident: Option<Facts>,
    #[prost(message, optional, tag = "8")]
    amended: Option<Amended>,
}

#[derive(Clone, PartialEq, Message)]
struct Amended {
    #[prost(message, optional, tag = "4")]
    after: Option<Facts>,
}

/// `IncidentFacts`, of which only these fields are read.
#[derive(Clone, Copy, PartialEq, Message)]
struct Facts {
    #[prost(uint32, tag = "24")]
    staff_present: u32,
    #[prost(uint32, tag = "25")]
    staff_acts: u32,
    #[prost(uint32, tag = "27")]
    outcomes: u32,
    #[prost(uint32, tag = "33")]
    called_back: u32,
}

/// What counts of an incident from this entry on; `None` if it is about something else.
pub(in crate::journal) fn decode(facts: &[u8]) -> Result<Option<ToldOfStaff>, CodecError> {
    let entry = Entry::decode(facts)?;
    let told = entry.incident.or(entry.amended.and_then(|one| one.after));
    let parse = |told: Facts| {
        Ok(ToldOfStaff {
            present: value(told.staff_present, "staff_present")?,
            acts: set(told.staff_acts, "staff_acts")?,
            outcomes: set(told.outcomes, "outcomes")?,
            called_back: value(told.called_back, "called_back")?,
        })
    };
    told.map(parse).transpose()
}
