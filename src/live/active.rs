//! Questions that are watched already, for whoever wants to watch the same: they join at once. Ten
//! thousand calls that come together would otherwise all lie in memory until the publisher's task
//! has answered each, and the allocator keeps what that took.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Watch;
use super::watcher::WatchState;

/// A question, and where its states are published.
pub(super) type Joining = (Arc<Watch>, watch::Receiver<WatchState>);

/// Kept by the publisher's task, read by all. Clones are the same. It holds receivers alone, so
/// that channels close when the task lets go of them.
#[derive(Clone, Default)]
pub(super) struct ActiveQuestions(Arc<Mutex<HashMap<Arc<Watch>, watch::Receiver<WatchState>>>>);

impl ActiveQuestions {
    /// To watch what is watched already.
    pub fn join(&self, watch: &Watch) -> Option<Joining> {
        let questions = self.questions();
        let (watch, published) = questions.get_key_value(watch)?;
        Some((Arc::clone(watch), published.clone()))
    }

    /// Lets others join.
    pub fn add(&self, watch: &Arc<Watch>, published: watch::Receiver<WatchState>) {
        self.questions().insert(Arc::clone(watch), published);
    }

    /// Nobody can join any more.
    pub fn remove(&self, watch: &Watch) {
        self.questions().remove(watch);
    }

    /// As `remove`, if nobody watches; says whether. Nobody joins meanwhile.
    pub fn remove_unwatched(&self, watch: &Watch, published: &watch::Sender<WatchState>) -> bool {
        let mut questions = self.questions();
        let own = usize::from(questions.contains_key(watch));
        let is_unwatched = published.receiver_count() <= own;
        if is_unwatched {
            questions.remove(watch);
        }
        is_unwatched
    }

    fn questions(&self) -> MutexGuard<'_, HashMap<Arc<Watch>, watch::Receiver<WatchState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
