//! From the store as it lies in a data folder to one that is attached and lacks nothing.
//!
//! It is opened beside the fold, and taken only if it is whole, of this journal and of the same past
//! as the checkpoint; else it is set aside and made again. What comes after the checkpoint is put
//! anew in any case. Where another process has it, it is waited for. Where the system refuses, it may be
//! whole: then it stays where it is, and is given up until the next start. Tap counts that were folded
//! meanwhile are put from the journal, so that the fold never waits for the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use super::history::History;
use crate::domain::Position;
use crate::journal::{JournalError, Reader, Record};
use crate::ledger::{Ledger, RefillError};
use crate::store::{NeededBlocks, NeededTaps, Store, StoreError};

/// What the store's opening works with.
pub(super) struct StoreOpening {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is attached to.
    pub ledger: Arc<Ledger>,
    /// What it is made again from.
    pub reader: Reader,
    /// Turns true when nobody needs it any more.
    pub is_stopping: Arc<AtomicBool>,
    /// What should be there of tap counts.
    pub taps: NeededTaps,
    /// The last entry of the journal before anything was appended: what is recorded now may
    /// stand in the place of what was lost.
    pub last: Position,
    /// Is told when the fold has ended, and ends without that if the start failed.
    pub fold_ended: mpsc::Receiver<()>,
}

/// Why a store is not taken as it lies there.
#[derive(Debug, thiserror::Error)]
enum UnfitStore {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
enum OpeningError {
    #[error("the store cannot be opened now, and may be whole")]
    Refused(#[source] StoreError),
    #[error("the store cannot be made")]
    Store(#[from] StoreError),
    #[error("the store cannot be filled")]
    Refill(#[from] RefillError<ReadError>),
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
}

/// Why the journal is read no further.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the journal cannot be read")]
    Journal(#[source] JournalError),
    #[error("shutting down")]
    Stopping,
}

impl StoreOpening {
    /// Attaches a store, or gives it up.
    pub fn run(self) {
        let begun = Instant::now();
        let needed = self.ledger.blocks_needed();
        let blocks = needed.numbers.clone();
        let attached = self.attach(&needed);
        let result = attached.and_then(|store| self.put_folded_taps(&store));
        let elapsed_ms = begun.elapsed().as_millis();
        match result {
            Ok(()) => tracing::info!(?blocks, elapsed_ms, "store opened"),
            // Given up, too: the committer must not wait for a store that nobody makes.
            Err(OpeningError::Refill(RefillError::Journal(ReadError::Stopping))) => {
                self.ledger.give_up_store();
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "there is no store until the next start; questions that need it fail"
                );
                self.ledger.give_up_store();
            }
        }
    }

    fn attach(&self, needed: &NeededBlocks) -> Result<Store, OpeningError> {
        match self.open(needed)? {
            Some(store) => {
                self.ledger.attach_store(store.clone());
                Ok(store)
            }
            None => self.remake(),
        }
    }

    /// The store as it lies there; `None` if another is to be made in its place.
    fn open(&self, needed: &NeededBlocks) -> Result<Option<Store>, OpeningError> {
        let blocks = &needed.numbers;
        let is_first = blocks.is_empty() && !self.path.exists();
        match self.open_checked(needed) {
            Ok(store) => Ok(Some(store)),
            Err(_) if is_first => Ok(None),
            Err(UnfitStore::Store(error)) if error.calls_for_rebuild() => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, ?blocks, "store is made again from the journal");
                Ok(None)
            }
            Err(UnfitStore::Store(StoreError::Locked)) => {
                Err(RefillError::Journal(ReadError::Stopping).into())
            }
            Err(UnfitStore::Store(error)) => Err(OpeningError::Refused(error)),
            Err(UnfitStore::Journal(error)) => Err(error.into()),
        }
    }

    /// Says yes until nobody needs the store any more: `mistap verify` may hold it for long.
    fn waits_for_lock(&self) -> impl FnMut() -> bool {
        let mut is_told = false;
        move || {
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!("store is held by another process, and waited for");
            }
            !self.is_stopping.load(Ordering::Relaxed)
        }
    }

    fn open_checked(&self, needed: &NeededBlocks) -> Result<Store, UnfitStore> {
        let blocks = needed.numbers.clone();
        let waits = self.waits_for_lock();
        let store = Store::open_once_free(&self.path, self.reader.epoch(), blocks, waits)?;
        store.check_origin(needed)?;
        store.check_taps(&self.taps)?;
        if let Some(mark) = store.taps_mark()? {
            let stamp = match mark.last <= self.last {
                true => self.reader.stamp(mark.last)?,
                false => None,
            };
            if stamp != Some(mark.stamp) {
                return Err(StoreError::TapsAhead.into());
            }
        }
        store.forget_blocks_from(needed.numbers.end)?;
        Ok(store)
    }

    /// Sets aside what lies there, and fills a new store from the journal.
    fn remake(&self) -> Result<Store, OpeningError> {
        if let Some(path) = Store::set_aside(&self.path)? {
            tracing::warn!(path = %path.display(), "store set aside; it may be deleted");
        }
        let store = Store::create(&self.path, self.reader.epoch())?;
        let history = History::facts(&self.reader, self.reader.begin())?;
        self.ledger
            .refill(store.clone(), self.until_stopping(history))?;
        Ok(store)
    }

    /// Puts tap counts that were folded, once all are.
    fn put_folded_taps(&self, store: &Store) -> Result<(), OpeningError> {
        if self.fold_ended.recv().is_err() {
            return Err(RefillError::Journal(ReadError::Stopping).into());
        }
        let read_from = |from| self.until_stopping(self.reader.tap_changes_from(from));
        Ok(self.ledger.put_folded_taps(store, read_from)?)
    }

    fn until_stopping(
        &self,
        entries: impl Iterator<Item = Result<Record, JournalError>>,
    ) -> impl Iterator<Item = Result<Record, ReadError>> {
        entries.map(|entry| {
            if self.is_stopping.load(Ordering::Relaxed) {
                return Err(ReadError::Stopping);
            }
            entry.map_err(ReadError::Journal)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entry::Epoch;
    use crate::ledger::State;

    #[test]
    fn store_that_another_holds_is_waited_for_until_nobody_needs_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        let settings = crate::journal::Settings::default();
        let opened = crate::journal::open(&folder.path().join("journal"), settings);
        let (_writer, reader, _) = opened.expect("new");
        let epoch: Epoch = reader.epoch();
        let held = Store::create(&path, epoch).expect("an empty folder");
        let ledger = Arc::new(Ledger::new(State::new(epoch)));
        let is_stopping = Arc::new(AtomicBool::new(true));
        let (_fold_ends, fold_ended) = mpsc::sync_channel(1);
        let opening = StoreOpening {
            path,
            taps: ledger.taps_needed(),
            ledger,
            reader,
            is_stopping: Arc::clone(&is_stopping),
            last: Position(0),
            fold_ended,
        };
        let needed = opening.ledger.blocks_needed();
        let stopped = opening.open(&needed);
        let is_stopped = matches!(
            stopped,
            Err(OpeningError::Refill(RefillError::Journal(
                ReadError::Stopping
            )))
        );
        assert!(is_stopped, "{:?}", stopped.err());
        is_stopping.store(false, Ordering::Relaxed);
        let mut waits = opening.waits_for_lock();
        assert!(waits() && waits());
        drop((waits, held));
        assert!(opening.open(&needed).expect("free").is_some());
    }
}
