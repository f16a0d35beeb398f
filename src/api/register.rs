//! What is open now, for who looks through it now and then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::domain::limits::WATCH_UNTAKEN_LOOK_MS;

/// What is open. It keeps nothing that nobody else keeps. Clones are the same.
pub struct Register<T>(Arc<Mutex<Vec<Weak<T>>>>);

impl<T> Default for Register<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Register<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Register<T> {
    /// Puts something in.
    pub fn add(&self, one: &Arc<T>) {
        self.entries().push(Arc::downgrade(one));
    }

    /// All that is still open.
    pub fn open(&self) -> Vec<Arc<T>> {
        // What is dropped may take locks of its own, so nothing is under this one.
        let mut open = Vec::new();
        self.entries().retain(|entry| {
            let one = entry.upgrade();
            let is_open = one.is_some();
            open.extend(one);
            is_open
        });
        open
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Weak<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + Sync + 'static> Register<T> {
    /// Spawns a task on the current tokio runtime that looks through what is open every
    /// `WATCH_UNTAKEN_LOOK_MS`. It ends with the last clone.
    pub fn look_through(&self, look: fn(&[Arc<T>], Instant)) {
        let entries = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let mut looks = interval(Duration::from_millis(WATCH_UNTAKEN_LOOK_MS));
            loop {
                looks.tick().await;
                let Some(entries) = entries.upgrade() else {
                    return;
                };
                look(&Self(entries).open(), Instant::now());
            }
        });
    }
}
