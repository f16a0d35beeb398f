//! Room for what takes long: how many calls work at once where they block. What waits there waits
//! before all else that does, the end of the service included.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::blocking;
use super::status::Problem;

/// Room for so many calls. Clones share it.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// For at most so many at once.
    pub fn of(calls_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(calls_max)))
    }

    /// A place, as long as it is held. Never waits: where there is none, it is refused with `Busy`.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.0).try_acquire_owned();
        place.map_err(|_| Problem::busy())
    }

    /// Works where it may block, if there is room. It goes on, and keeps its place, where its caller
    /// does not wait for it any more.
    pub async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.place()?;
        let work = move || {
            let _place = place;
            work()
        };
        blocking(work).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_keeps_its_place() {
        let room = Room::of(1);
        let (go_on, told) = mpsc::sync_channel::<()>(1);
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let inner = room.clone();
        let caller = tokio::spawn(async move {
            let work = move || {
                let _ = begun.send(());
                told.recv()
            };
            inner.work(work).await.map(drop)
        });
        has_begun.await.expect("it works");
        caller.abort();
        assert!(caller.await.is_err());
        assert_eq!(room.work(|| ()).await, Err(Problem::busy()));
        go_on.send(()).expect("it still works");
        while room.place().is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(room.work(|| 7).await, Ok(7));
    }
}
