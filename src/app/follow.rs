//! Brings imported networks into use while the service runs.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::network_in_use;
use crate::auth::FileState;
use crate::ingest::{Ingest, SubmitError};
use crate::network::{Network, PersistError, latest_on_disk};

/// Looks for newer networks in a data folder.
pub(super) struct Follower {
    /// The data folder.
    pub dir: PathBuf,
    /// What uses the network.
    pub ingest: Ingest,
    /// Between two looks.
    pub every: Duration,
}

/// The newest network in a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Newest {
    version: u32,
    /// Tells its file from another in its place.
    file: FileState,
}

/// Why a newer network is not in use.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("it cannot be read")]
    Read(#[from] PersistError),
    #[error("it cannot be noted in the journal")]
    Note(#[from] SubmitError),
    #[error("reading it ended in a panic")]
    Panic,
}

impl From<JoinError> for FollowError {
    /// Without its message, which may hold a client's text.
    fn from(_: JoinError) -> Self {
        Self::Panic
    }
}

impl Newest {
    /// Of a data folder; `None` if it has none.
    fn of_folder(dir: &Path) -> Option<Self> {
        let version = latest_on_disk(dir)?;
        let file = FileState::of(&Network::file_of(dir, version))?;
        Some(Self { version, file })
    }
}

impl FollowError {
    /// Whether another try would end the same way.
    fn is_final(&self) -> bool {
        match self {
            Self::Read(error) => match error {
                PersistError::Damaged { .. }
                | PersistError::Invalid { .. }
                | PersistError::VersionTaken(_) => true,
                PersistError::Io { .. } => false,
            },
            Self::Note(error) => match error {
                SubmitError::Stopping | SubmitError::Poisoned | SubmitError::Conflict => true,
                SubmitError::Busy
                | SubmitError::Limited(_)
                | SubmitError::DiskReserve
                | SubmitError::ClockUnsure
                | SubmitError::Keys => false,
            },
            Self::Panic => true,
        }
    }
}

impl Follower {
    /// Looks until the service stops.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.look_again_and_again()).await;
    }

    async fn look_again_and_again(&self) {
        let mut looks = tokio::time::interval(self.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refused = None;
        loop {
            looks.tick().await;
            self.look(&mut refused).await;
        }
    }

    /// Brings the newest into use. One that is of no use is told once, and not tried again unless
    /// another takes its place.
    async fn look(&self, refused: &mut Option<Newest>) {
        let Some(newest) = self.newest().await else {
            return;
        };
        if newest.version <= self.ingest.network().version() || *refused == Some(newest) {
            return;
        }
        match self.change().await {
            Ok(version) => tracing::info!(version, "network changed"),
            Err(error) => {
                let is_final = error.is_final();
                *refused = is_final.then_some(newest);
                let error = &error as &dyn Error;
                tracing::error!(
                    error,
                    is_final,
                    "imported network cannot be brought into use"
                );
            }
        }
    }

    async fn newest(&self) -> Option<Newest> {
        let dir = self.dir.clone();
        let looking = tokio::task::spawn_blocking(move || Newest::of_folder(&dir));
        looking.await.ok().flatten()
    }

    async fn change(&self) -> Result<u32, FollowError> {
        let dir = self.dir.clone();
        let network = tokio::task::spawn_blocking(move || network_in_use(&dir)).await??;
        let version = network.version();
        self.ingest.use_network(network).await?;
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::domain::UtcMillis;
    use crate::ingest;

    #[tokio::test(flavor = "multi_thread")]
    async fn damaged_network_is_tried_once_and_a_whole_one_in_its_place_is_used() {
        let dir = tempfile::tempdir().expect("a folder");
        let base = Network::built_in();
        let newer = Network::overlay(&base, Vec::new()).expect("nothing new is wrong");
        let running = ingest::start(dir.path(), Arc::new(base), || UtcMillis(0));
        let running = running.expect("it starts");
        let follower = Follower {
            dir: dir.path().to_path_buf(),
            ingest: running.ingest.clone(),
            every: Duration::ZERO,
        };
        let path = newer.save(dir.path()).expect("saved");
        let whole = fs::read(&path).expect("there");
        fs::write(&path, b"damaged").expect("written");
        let mut refused = None;
        follower.look(&mut refused).await;
        let first = refused.expect("it is of no use");
        follower.look(&mut refused).await;
        assert_eq!(refused, Some(first));
        assert_eq!(follower.ingest.network().version(), 0);
        fs::remove_file(&path).expect("removed");
        follower.look(&mut refused).await;
        fs::write(&path, whole).expect("written");
        follower.look(&mut refused).await;
        assert_eq!(follower.ingest.network().version(), 1);
        drop(follower);
        let stopped = tokio::task::spawn_blocking(move || running.stop(Duration::from_secs(60)));
        stopped.await.expect("it ends").expect("it stops");
    }

    #[test]
    fn only_what_another_try_could_change_is_tried_again() {
        for error in [
            SubmitError::Busy,
            SubmitError::DiskReserve,
            SubmitError::ClockUnsure,
            SubmitError::Keys,
        ] {
            assert!(!FollowError::from(error.clone()).is_final(), "{error}");
        }
        let damaged = PersistError::Damaged {
            path: PathBuf::new(),
            reason: "cut off",
        };
        assert!(FollowError::from(damaged).is_final());
        assert!(FollowError::from(SubmitError::Poisoned).is_final());
    }
}
