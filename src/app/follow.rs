//! Brings imported networks into use while the service runs.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::network_in_use;
use crate::ingest::{Ingest, SubmitError};
use crate::network::{PersistError, latest_on_disk};

/// Looks for newer networks in a data folder.
pub(super) struct Follower {
    /// The data folder.
    pub dir: PathBuf,
    /// What uses the network.
    pub ingest: Ingest,
    /// Between two looks.
    pub every: Duration,
}

/// Why a newer network is not in use.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("it cannot be read")]
    Read(#[from] PersistError),
    #[error("it cannot be noted in the journal")]
    Note(#[from] SubmitError),
    #[error("reading it ended in a panic")]
    Panic(#[from] JoinError),
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
            Self::Panic(_) => true,
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
        // One that is of no use is told once, and not tried again.
        let mut refused = None;
        loop {
            looks.tick().await;
            let Some(newest) = self.newest().await else {
                continue;
            };
            if newest <= self.ingest.network().version() || refused == Some(newest) {
                continue;
            }
            match self.change().await {
                Ok(version) => tracing::info!(version, "network changed"),
                Err(error) => {
                    let is_final = error.is_final();
                    refused = is_final.then_some(newest);
                    let error = &error as &dyn Error;
                    tracing::error!(
                        error,
                        is_final,
                        "imported network cannot be brought into use"
                    );
                }
            }
        }
    }

    /// The newest version in the folder.
    async fn newest(&self) -> Option<u32> {
        let dir = self.dir.clone();
        let looking = tokio::task::spawn_blocking(move || latest_on_disk(&dir));
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
    use super::*;

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
