//! What changes, to whoever watches. (skeleton)

use crate::domain::question::Breakdown;
use crate::domain::{Filter, Position, Row, UtcMillis};
use crate::ledger::Ledger;
use crate::query::Figure;
use std::sync::Arc;

/// Told by the committer after each durable batch; never blocks.
#[derive(Clone)]
pub struct Hub;
impl Hub {
    pub fn new() -> Self {
        todo!()
    }
    /// Marks rows (recorded or withdrawn) as changed, up to `position`. Bounded: past a limit it marks "everything".
    pub fn mark_changed(&self, _rows: &[Row], _position: Position) {
        todo!()
    }
}

/// What a watcher asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    pub filter: Filter,
    pub by: Breakdown,
    pub window_minutes: u32,
}

#[derive(Clone, Debug)]
pub enum Update {
    Snapshot(Arc<[Figure]>),
    Resumed,
    Changes(Arc<[Figure]>),
    Heartbeat,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub resume_token: Vec<u8>,
    pub position: Position,
    pub as_of: UtcMillis,
    pub total: u64,
    pub left_out: u64,
    pub update: Update,
}

#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("too many watchers")]
    Full,
    #[error("too many rows; ask for fewer dimensions or a narrower filter")]
    TooManyRows,
    #[error("shutting down")]
    Stopping,
    #[error("the resume token is malformed")]
    Token,
}

/// Handle of the publisher task.
#[derive(Clone)]
pub struct Publisher;
impl Publisher {
    /// Spawns the task that owns every push.
    pub fn start(
        _ledger: Arc<Ledger>,
        _hub: Hub,
        _now: impl Fn() -> UtcMillis + Send + Sync + 'static,
        _stop: tokio_util::sync::CancellationToken,
    ) -> Self {
        todo!()
    }
    pub async fn watch(
        &self,
        _watch: Watch,
        _pace: std::time::Duration,
        _token: Option<Vec<u8>>,
    ) -> Result<Watcher, WatchError> {
        todo!()
    }
}
/// One watcher. Dropping it ends the watch.
pub struct Watcher;
impl Watcher {
    /// The next message, or why there are no more.
    pub async fn next(&mut self) -> Result<Message, WatchError> {
        todo!()
    }
}
