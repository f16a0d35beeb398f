//! The API's wire types, generated from `proto/mistap/v1`, with servers and clients.
//!
//! Nothing outside `api/` and the clients of the last layer may use them.

/// Package `mistap.v1`.
#[allow(clippy::all, missing_docs, unused_qualifications)]
pub mod v1 {
    tonic::include_proto!("mistap.v1");
}

use std::fmt;

use prost::Message;
use prost_types::FileDescriptorSet;
use zeroize::Zeroize;

/// Every compiled `.proto` file, those of the journal included.
const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Package of the journal's own schema, which is no part of the API.
const JOURNAL_PACKAGE: &str = "mistap.journal.v1";

/// The descriptors of the API, for reflection.
pub fn descriptors() -> FileDescriptorSet {
    let mut set = FileDescriptorSet::decode(COMPILED).expect("written by build.rs");
    set.file.retain(|file| file.package() != JOURNAL_PACKAGE);
    set
}

/// Shows only which one it is: everything else of an incident can lead back to a person.
impl fmt::Debug for v1::Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incident")
            .field("incident_id", &self.incident_id)
            .finish_non_exhaustive()
    }
}

/// Requests with an incident's secret: shown without it.
macro_rules! shows_no_secret {
    ($($name:ident)*) => {$(
        impl fmt::Debug for v1::$name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("incident_id", &self.incident_id)
                    .finish_non_exhaustive()
            }
        }
    )*};
}

shows_no_secret! {
    GetIncidentRequest
    AmendIncidentRequest
    WithdrawIncidentRequest
    EraseIncidentRequest
    FollowIncidentRequest
    GetReceiptRequest
}

/// Incidents of a request. They are cleared of what leads back to a person when this is dropped.
pub(super) struct Wiped<T: Wipe>(Vec<T>);

/// What holds an incident.
pub(super) trait Wipe {
    /// Clears what leads back to a person, where it lies.
    fn wipe(&mut self);
}

impl<T: Wipe> Wiped<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each of them, to be read and cleared.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }
}

impl<T: Wipe> From<Vec<T>> for Wiped<T> {
    fn from(all: Vec<T>) -> Self {
        Self(all)
    }
}

impl<T: Wipe> Drop for Wiped<T> {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(T::wipe);
    }
}

impl Wipe for v1::Incident {
    fn wipe(&mut self) {
        self.card_number.zeroize();
        self.installation_id.zeroize();
        self.incident_secret.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_back_to_a_person_is_neither_shown_nor_left_behind() {
        let mut incident = v1::Incident {
            incident_id: "an id".into(),
            incident_secret: vec![77; 32],
            card_number: "3528 0000 0000 0007".into(),
            installation_id: "0123456789abcdef".into(),
            note: "ach, meisje".into(),
            ..v1::Incident::default()
        };
        let request = v1::ReportIncidentsRequest {
            incidents: vec![incident.clone()],
        };
        let shown = format!("{request:?}");
        assert!(shown.contains("an id"), "{shown}");
        for hidden in ["0000", "77", "abcdef", "meisje"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        let get = v1::GetIncidentRequest {
            incident_id: "an id".into(),
            incident_secret: vec![77; 32],
            everything: false,
        };
        assert!(!format!("{get:?}").contains("77"));
        let erase = v1::EraseIncidentRequest {
            incident_id: "an id".into(),
            incident_secret: vec![77; 32],
        };
        assert!(!format!("{erase:?}").contains("77"));
        incident.wipe();
        assert!(incident.card_number.is_empty() && incident.installation_id.is_empty());
        assert!(incident.incident_secret.is_empty());
    }

    #[test]
    fn reflection_shows_the_api_and_not_the_journal() {
        let set = descriptors();
        let packages: Vec<_> = set.file.iter().map(|file| file.package()).collect();
        assert!(packages.contains(&"mistap.v1"));
        assert!(!packages.contains(&JOURNAL_PACKAGE));
    }
}
