//! A running record, and back to a folder at rest.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Ingest;
use super::committer::{Ending, write_checkpoint};
use super::queue::{Paused, Queue};
use super::start::spawn;
use crate::journal::Reader;
use crate::ledger::{Ledger, LedgerError};
use crate::live::Hub;

/// Why stopping was not complete. What was answered is kept all the same.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The committer had ended before, by a failed write or by a bug.
    #[error("the journal could not be written; what was answered until then is kept")]
    Failed,
    /// Too slow.
    #[error("work under way did not end before the deadline")]
    Deadline,
    /// The next start takes longer.
    #[error("the checkpoint cannot be written")]
    Checkpoint(#[source] LedgerError),
    /// The system.
    #[error("no thread can be started")]
    Thread(#[source] io::Error),
}

/// A running record. Dropped without being stopped, it stops in the background.
pub struct Running {
    /// For submitting and reading back.
    pub ingest: Ingest,
    /// For counting.
    pub ledger: Arc<Ledger>,
    /// For watching.
    pub hub: Hub,
    /// For reading by position.
    pub reader: Reader,
    pub(super) queue: Arc<Queue>,
    pub(super) failed: watch::Receiver<bool>,
    pub(super) committer: mpsc::Receiver<Ending>,
    /// Ends when the store is open, or made again, or given up.
    pub(super) store: mpsc::Receiver<()>,
    /// Ends when all erasures have been looked at again.
    pub(super) erasures: mpsc::Receiver<()>,
    pub(super) folder: PathBuf,
    pub(super) is_stopping: Arc<AtomicBool>,
}

impl Running {
    /// Turns true when the journal can no longer be written: the service is not healthy.
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.failed.clone()
    }

    /// Whether reports are taken in, and why not.
    pub fn paused(&self) -> watch::Receiver<Option<Paused>> {
        self.queue.paused()
    }

    /// Waits until the store is open, or made again, or given up.
    pub fn wait_for_store(&self) {
        // Nothing is ever sent.
        let _ = self.store.recv();
    }

    /// Refuses new incidents, commits those that wait, writes a checkpoint. Blocks, at most
    /// until the deadline.
    pub fn stop(self, deadline: Duration) -> Result<(), StopError> {
        let end = Instant::now() + deadline;
        self.halt();
        let ending = match receive(&self.committer, end) {
            Ok(ending) => ending,
            Err(RecvTimeoutError::Disconnected) => return Err(StopError::Failed),
            Err(RecvTimeoutError::Timeout) => return Err(StopError::Deadline),
        };
        // A checkpoint counts only what is in the store. Making a store again stops early.
        for others in [&self.store, &self.erasures] {
            if let Err(RecvTimeoutError::Timeout) = receive(others, end) {
                return Err(StopError::Deadline);
            }
        }
        if ending.checkpointed < ending.writer.last() {
            self.last_checkpoint(ending.has_erased, end)?;
        }
        tracing::info!(position = %ending.writer.last(), "record closed");
        Ok(())
    }

    fn last_checkpoint(&self, follows_erasure: bool, end: Instant) -> Result<(), StopError> {
        let ledger = Arc::clone(&self.ledger);
        let folder = self.folder.clone();
        let (done, is_done) = mpsc::sync_channel(1);
        let write = move || {
            // Nobody may be waiting.
            let _ = done.send(write_checkpoint(&ledger, &folder, follows_erasure));
        };
        spawn("checkpoint", write).map_err(StopError::Thread)?;
        match receive(&is_done, end) {
            // Without a store there is nothing to count on; the next start folds more.
            Ok(Ok(_) | Err(LedgerError::StoreOpening | LedgerError::StoreFailed))
            | Err(RecvTimeoutError::Disconnected) => Ok(()),
            Ok(Err(error)) => Err(StopError::Checkpoint(error)),
            Err(RecvTimeoutError::Timeout) => Err(StopError::Deadline),
        }
    }

    fn halt(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.queue.close();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.halt();
    }
}

fn receive<T>(channel: &mpsc::Receiver<T>, end: Instant) -> Result<T, RecvTimeoutError> {
    channel.recv_timeout(end.saturating_duration_since(Instant::now()))
}
