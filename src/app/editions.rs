//! Closes editions when they are due.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::domain::LocalMonth;
use crate::edition::format::Hash;
use crate::edition::library::{Closed, EditionError, Library, Prepared};
use crate::ingest::{Ingest, SubmitError};

/// Why an edition that is due is not closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// It cannot be made or written.
    #[error("an edition cannot be made")]
    Edition(#[from] EditionError),
    /// Its hash cannot be noted.
    #[error("an edition cannot be noted in the journal")]
    Note(#[from] SubmitError),
    /// A bug.
    #[error("making an edition ended in a panic")]
    Panic(#[from] JoinError),
}

/// Closes all editions that are due, in the order of their months, and tells which.
pub async fn close_due(library: &Arc<Library>, ingest: &Ingest) -> Result<Vec<Closed>, CloseError> {
    let mut closed = Vec::new();
    let looking = Arc::clone(library);
    let due = tokio::task::spawn_blocking(move || looking.due()).await??;
    for month in due {
        closed.extend(close(library, ingest, month).await?);
    }
    Ok(closed)
}

async fn close(
    library: &Arc<Library>,
    ingest: &Ingest,
    month: LocalMonth,
) -> Result<Option<Closed>, CloseError> {
    let making = Arc::clone(library);
    let closed = match tokio::task::spawn_blocking(move || making.prepare(month)).await?? {
        Prepared::NotNow => return Ok(None),
        Prepared::Restored(closed) => closed,
        Prepared::Ready(ready) => {
            let position = ingest.note_edition(ready).await?;
            let hash = Hash(ready.sha256);
            let closed = Closed {
                month,
                hash,
                method: ready.method,
                position,
            };
            let keeping = Arc::clone(library);
            tokio::task::spawn_blocking(move || keeping.keep(closed)).await??;
            closed
        }
    };
    tracing::info!(%month, sha256 = %closed.hash, "edition closed");
    Ok(Some(closed))
}

/// Looks whether editions are due, until the service stops. What fails is told once, until
/// something else fails or it works again, and tried again.
pub(super) struct Closer {
    /// Where they are kept.
    pub library: Arc<Library>,
    /// What notes them.
    pub ingest: Ingest,
    /// Between two looks.
    pub every: Duration,
}

impl Closer {
    /// Looks until the service stops.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.look_again_and_again()).await;
    }

    async fn look_again_and_again(&self) {
        let mut looks = tokio::time::interval(self.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            looks.tick().await;
            let failure = close_due(&self.library, &self.ingest).await.err();
            let message = failure.as_ref().map(ToString::to_string);
            if let Some(error) = failure
                && told != message
            {
                let error = &error as &dyn Error;
                tracing::error!(error, "an edition is due and cannot be closed");
            }
            told = message;
        }
    }
}
