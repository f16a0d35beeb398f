//! From a checked incident to a durable, counted entry; and from a data folder to a running
//! ledger. (skeleton)

use crate::domain::incident::Match;
use crate::domain::{
    Facts, Incident, IncidentId, IncidentSecret, LineId, Personal, Position, StopId, UtcMillis,
};
use crate::ledger::Ledger;
use crate::live::Hub;
use crate::network::Network;
use std::path::Path;
use std::sync::Arc;

/// What became of an accepted incident.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub id: IncidentId,
    pub position: Position,
    pub received: UtcMillis,
    pub repeated: bool,
    pub line: Match<LineId>,
    pub stop: Match<StopId>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    #[error("busy; try again later")]
    Busy,
    #[error("shutting down")]
    Stopping,
    #[error("the id is taken by another report")]
    Conflict,
    #[error("the disk is nearly full")]
    DiskReserve,
    #[error("the journal cannot be written")]
    Poisoned,
    #[error("the key file cannot be written")]
    Keys,
}

/// An incident as it is kept.
pub struct Kept {
    pub facts: Facts,
    pub personal: Option<Personal>,
    pub position: Position,
    pub received: UtcMillis,
    pub withdrawn: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum GetError {
    #[error("no such incident, or another secret")]
    NotFound,
    #[error("the journal cannot be read")]
    Journal(#[source] crate::journal::JournalError),
}

/// Handle for submitting and reading back. Cheap to clone.
#[derive(Clone)]
pub struct Ingest;
impl Ingest {
    /// Records incidents; one result each, in order, when all of them are durable.
    pub async fn submit(&self, _incidents: Vec<Incident>) -> Vec<Result<Accepted, SubmitError>> {
        todo!()
    }
    pub async fn get(&self, _id: IncidentId, _secret: &IncidentSecret) -> Result<Kept, GetError> {
        todo!()
    }
    pub fn network(&self) -> Arc<Network> {
        todo!()
    }
    /// Brings another network into use, once that is in the journal.
    pub async fn use_network(&self, _network: Arc<Network>) -> Result<(), SubmitError> {
        todo!()
    }
    /// Withdraws an incident; it counts no more. Again: changes nothing.
    pub async fn withdraw(
        &self,
        _id: IncidentId,
        _secret: &IncidentSecret,
    ) -> Result<(), WithdrawError> {
        todo!()
    }
}

/// Why an incident is not withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    #[error(transparent)]
    Get(#[from] GetError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// A running record.
pub struct Running {
    pub ingest: Ingest,
    pub ledger: Arc<Ledger>,
    pub hub: Hub,
}

impl Running {
    /// Turns true when the journal can no longer be written: the service is not healthy.
    pub fn failed(&self) -> tokio::sync::watch::Receiver<bool> {
        todo!()
    }
    /// Refuses new incidents, commits those that wait, writes a checkpoint. Blocks, at most
    /// until the deadline.
    pub fn stop(self, _deadline: std::time::Duration) -> Result<(), StopError> {
        todo!()
    }
}

/// Why stopping was not complete.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("work under way did not end before the deadline")]
    Deadline,
    #[error("the checkpoint cannot be written")]
    Checkpoint(#[source] crate::ledger::LedgerError),
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Todo(String),
}

/// Opens a data folder (lock, keys, journal, checkpoint, replay, store in the background) and starts the committer.
pub fn start(
    _dir: &Path,
    _network: Arc<Network>,
    _now: impl Fn() -> UtcMillis + Send + Sync + Clone + 'static,
) -> Result<Running, StartError> {
    todo!()
}
