//! Questions that are watched, or that the publisher's task is asked to let be watched, for whoever
//! wants to watch the same: they join at once. Ten thousand calls that come together would otherwise
//! all lie in memory until that task has answered each, and the allocator keeps what that took.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Watch;
use super::watcher::WatchState;

/// A question, and where its states are published.
pub(super) struct Joined {
    pub watch: Arc<Watch>,
    pub published: watch::Receiver<WatchState>,
    /// For who is the first: publishes the states, and is to be handed to the task.
    pub sender: Option<watch::Sender<WatchState>>,
}

/// Begun by whoever asks first, ended by the publisher's task. Clones are the same. It holds
/// receivers alone, so that channels close when the task lets go of them.
#[derive(Clone, Default)]
pub(super) struct ActiveQuestions(Arc<Mutex<Questions>>);

type Questions = HashMap<Arc<Watch>, watch::Receiver<WatchState>>;

impl ActiveQuestions {
    /// To watch what is watched already.
    pub fn join(&self, watch: &Watch) -> Option<Joined> {
        join(&self.questions(), watch)
    }

    /// The same; and where nobody watches it, lets others join whoever asks.
    pub fn join_or_begin(&self, watch: Watch) -> Joined {
        let mut questions = self.questions();
        if let Some(joined) = join(&questions, &watch) {
            return joined;
        }
        let watch = Arc::new(watch);
        let (sender, published) = watch::channel(WatchState::Pending);
        questions.insert(Arc::clone(&watch), published.clone());
        Joined {
            watch,
            published,
            sender: Some(sender),
        }
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

    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn join(questions: &Questions, watch: &Watch) -> Option<Joined> {
    let (watch, published) = questions.get_key_value(watch)?;
    Some(Joined {
        watch: Arc::clone(watch),
        published: published.clone(),
        sender: None,
    })
}
