//! What is noted in the journal beside reports and tap counts: what the instance does, and what
//! operators tell of outages.

use super::queue::Decided;
use super::{Ingest, SubmitError};
use crate::domain::entry::{ClosedEdition, Removal};
use crate::domain::{Entry, KeysTold, OutageChange, Position};

impl Ingest {
    /// Notes in the journal that an edition was closed, and says where.
    pub async fn note_edition(&self, closed: ClosedEdition) -> Result<Position, SubmitError> {
        self.commit(Entry::EditionClosed(closed)).await
    }

    /// Declares days of an outage, or withdraws them, and says where; `None`, and nothing is
    /// written, if so many were told that there is no room for more.
    pub async fn note_outage(&self, change: OutageChange) -> Result<Option<Position>, SubmitError> {
        if !self.shared.ledger.read().outages().has_room() {
            return Ok(None);
        }
        Ok(match self.decide(Entry::OutageChanged(change)).await? {
            Decided::Committed { position, .. } => Some(position),
            // Another took the last place a moment ago.
            Decided::Repeated(_) | Decided::Outdated | Decided::Refused => None,
        })
    }

    /// Notes in the journal that something is taken away from the personal parts of all entries
    /// before, and says where.
    pub async fn note_removal(
        &self,
        removal: Removal,
        through: Position,
    ) -> Result<Position, SubmitError> {
        self.commit(Entry::PersonalRemoved { removal, through })
            .await
    }

    /// Notes in the journal which keys are in use.
    pub async fn note_keys(&self, told: KeysTold) -> Result<Position, SubmitError> {
        self.commit(Entry::KeysChanged(told)).await
    }

    /// Notes in the journal that single incidents through the end of a month are kept no longer,
    /// and the SHA-256 of the base that stands in their place, once it is made.
    pub async fn note_ended(
        &self,
        through: Position,
        base: Option<[u8; 32]>,
    ) -> Result<Position, SubmitError> {
        self.commit(Entry::IncidentsEnded { through, base }).await
    }

    /// Commits an entry that is always written, and says where.
    pub(super) async fn commit(&self, entry: Entry) -> Result<Position, SubmitError> {
        match self.decide(entry).await? {
            Decided::Committed { position, .. } => Ok(position),
            Decided::Repeated(_) | Decided::Outdated | Decided::Refused => {
                unreachable!("what is about no incident and no tap counts is always written")
            }
        }
    }
}
