//! Receipts of reports: made when they are asked for, from the journal.
//!
//! Signing costs about as much as all else that is done with a report, and most receipts are
//! never looked at. Since a receipt follows from the journal's entry, nothing is lost by not
//! making it at once: each accepted report has one, with the same bytes at any later time
//! until words are removed from the journal, and from then on one that says so.

use super::{GetError, Ingest, StoredIncident};
use crate::auth::receipts::{Erasure, Reported};
use crate::auth::{Receipt, ReceiptKeys};
use crate::domain::{IncidentId, IncidentSecret};

impl Ingest {
    /// The keys that sign receipts.
    pub fn receipt_keys(&self) -> &ReceiptKeys {
        &self.shared.receipts
    }

    /// The receipt of an incident: of its report, or of its erasure.
    pub fn receipt_of(&self, kept: &StoredIncident) -> Receipt {
        let keys = self.receipt_keys();
        if let Some(erased) = kept.erased {
            return keys.erasure(&Erasure {
                id: kept.told.id,
                position: kept.position,
                received: kept.received,
                erased_at: erased.at,
                erased: erased.stamp,
            });
        }
        keys.report(&Reported {
            facts: &kept.told,
            personal: kept.personal.as_ref(),
            position: kept.position,
            received: kept.received,
        })
    }

    /// The receipt of an incident and how it is kept, for whoever has its secret.
    pub async fn receipt(
        &self,
        id: IncidentId,
        secret: &IncidentSecret,
    ) -> Result<(StoredIncident, Receipt), GetError> {
        let kept = self.get(id, secret).await?;
        let receipt = self.receipt_of(&kept);
        Ok((kept, receipt))
    }
}
