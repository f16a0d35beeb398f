//! Whose turn it is to read the journal. So many read at once; of one asker fewer, and the further
//! ones wait among themselves, so that nobody who reads all of the past delays others for long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::limits::{LOG_READS_MAX, LOG_READS_PER_TOKEN_MAX};
use crate::live::fair_queue::Asker;

/// Gives turns.
pub(super) struct Turns {
    all: Arc<Semaphore>,
    /// Of those who read or wait; some that do neither any more.
    by_asker: Mutex<HashMap<Asker, Weak<Semaphore>>>,
}

/// Leave to read. Dropping it gives it back. It goes with the reading, which goes on when whoever asked
/// for it is gone.
pub(super) struct Turn {
    _among_all: OwnedSemaphorePermit,
    _among_own: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(LOG_READS_MAX)),
            by_asker: Mutex::default(),
        }
    }
}

impl Turns {
    /// Waits for a turn of somebody; `None` never comes while this is there.
    pub async fn take(&self, asker: Asker) -> Option<Turn> {
        let own = self.of(asker);
        // First, so that at most a few of one asker wait among all.
        let among_own = own.acquire_owned().await.ok()?;
        Some(Turn {
            _among_all: Arc::clone(&self.all).acquire_owned().await.ok()?,
            _among_own: among_own,
        })
    }

    fn of(&self, asker: Asker) -> Arc<Semaphore> {
        let mut known = self.by_asker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = known.get(&asker).and_then(Weak::upgrade) {
            return own;
        }
        known.retain(|_, own| 0 < own.strong_count());
        let own = Arc::new(Semaphore::new(LOG_READS_PER_TOKEN_MAX));
        known.insert(asker, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn nobody_takes_all_turns_and_who_waits_for_their_own_holds_no_other() {
        let turns = Turns::default();
        let take = |asker| turns.take(asker).now_or_never().flatten();
        for asker in [Some(1), None] {
            let first: Vec<_> = (0..LOG_READS_PER_TOKEN_MAX).map(|_| take(asker)).collect();
            assert!(first.iter().all(Option::is_some));
            let waiting: Vec<_> = (0..9).map(|_| Box::pin(turns.take(asker))).collect();
            let waiting = waiting
                .into_iter()
                .map(|mut it| (it.as_mut().now_or_never(), it));
            let waiting: Vec<_> = waiting.collect();
            assert!(waiting.iter().all(|(turn, _)| turn.is_none()));
            assert!(take(Some(2)).is_some(), "another");
        }
    }

    #[tokio::test]
    async fn who_reads_no_more_is_forgotten() {
        let turns = Turns::default();
        for asker in 0..9 {
            drop(turns.take(Some(asker)).await);
        }
        let known = turns.by_asker.lock().expect("nobody panics").len();
        assert_eq!(known, 1, "the last");
    }
}
