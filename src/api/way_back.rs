//! Streams to reporters who follow their report.
//!
//! A follower is told how the report is kept, and again when that has changed: state and no
//! log, so that a slow one gets the newest. What changed is looked for after the record has
//! moved on, at a bounded pace.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::pb::v1 as pb;
use super::status::Problem;
use crate::auth::Principal;
use crate::domain::limits::{FOLLOW_PACE_MS, HEARTBEAT_MS};
use crate::domain::{IncidentId, IncidentSecret, Position};
use crate::ingest::{CaseMarks, GetError, Ingest, StoredIncident};
use crate::live::Permit;

/// Messages to a follower.
pub type Followed = Pin<Box<dyn Stream<Item = Result<pb::FollowIncidentResponse, Status>> + Send>>;

/// Makes a message of an incident.
pub type Tell = fn(&Ingest, &StoredIncident) -> pb::RecordedIncident;

/// One follower.
pub struct Follower {
    /// Where to look.
    pub ingest: Ingest,
    /// Which incident.
    pub id: IncidentId,
    /// Its secret.
    pub secret: IncidentSecret,
    /// Who follows.
    pub caller: Principal,
    /// Ends the stream.
    pub stop: CancellationToken,
    /// Held as long as it follows.
    pub _permit: Permit,
    /// What it is told.
    pub tell: Tell,
}

struct Following {
    follower: Follower,
    reached: watch::Receiver<Position>,
    position: Position,
    /// Where the report is that this one tells again, if its reporter may know.
    earlier: Option<Position>,
    /// What it was told last.
    told: (CaseMarks, bool),
}

impl Follower {
    /// Begins with the incident as it is.
    pub async fn start(self) -> Result<Followed, Problem> {
        // First, so that nothing comes in between.
        let reached = self.ingest.reached();
        let kept = self.ingest.get(self.id, &self.secret).await?;
        let told = marks(&self, &kept);
        let first = self.message(&kept);
        let following = Following {
            reached,
            position: kept.position,
            earlier: kept.told.own_earlier(),
            told,
            follower: self,
        };
        let first = stream::once(std::future::ready(Ok(first)));
        let rest = stream::unfold(Some(following), next);
        Ok(Box::pin(stream::StreamExt::chain(first, rest)))
    }

    fn message(&self, kept: &StoredIncident) -> pb::FollowIncidentResponse {
        pb::FollowIncidentResponse {
            recorded: Some((self.tell)(&self.ingest, kept)),
        }
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    /// The record moved on.
    Changed,
    /// A sign of life is due.
    Due,
}

/// Waits until the record moves on, and a moment longer, so that much is looked at together. Not
/// beyond that moment after `due`, however often it moves on.
async fn woken(reached: &mut watch::Receiver<Position>, due: Instant) -> Result<Woken, Problem> {
    if due <= Instant::now() {
        return Ok(Woken::Due);
    }
    match timeout_at(due, reached.changed()).await {
        Ok(Ok(())) => {
            sleep(Duration::from_millis(FOLLOW_PACE_MS)).await;
            Ok(Woken::Changed)
        }
        // The committer is gone, and nothing will come any more.
        Ok(Err(_)) => Err(Problem::stopping()),
        Err(_) => Ok(Woken::Due),
    }
}

/// What a message depends on.
fn marks(follower: &Follower, kept: &StoredIncident) -> (CaseMarks, bool) {
    let is_asked = kept.is_call_back_asked(follower.ingest.time().now);
    (kept.marks(), is_asked)
}

type Next = Option<(
    Result<pb::FollowIncidentResponse, Status>,
    Option<Following>,
)>;

/// The next message; after an error there is none.
async fn next(following: Option<Following>) -> Next {
    let mut following = following?;
    let stop = following.follower.stop.clone();
    let message = tokio::select! {
        biased;
        () = stop.cancelled() => Err(Problem::stopping()),
        message = following.changed() => message,
    };
    match message {
        Ok(message) => Some((Ok(message), Some(following))),
        Err(problem) => Some((Err(problem.into()), None)),
    }
}

impl Following {
    /// Waits for something new, or until a sign of life is due.
    async fn changed(&mut self) -> Result<pb::FollowIncidentResponse, Problem> {
        let due = Instant::now() + Duration::from_millis(HEARTBEAT_MS);
        while let Woken::Changed = woken(&mut self.reached, due).await? {
            self.check_live()?;
            let marks = self.follower.ingest.marks(self.position, self.earlier);
            if marks != self.told.0
                && let Some(message) = self.look().await?
            {
                return Ok(message);
            }
        }
        self.check_live()?;
        let message = self.look().await?;
        Ok(message.unwrap_or_default())
    }

    /// A token may be revoked while its stream is open.
    fn check_live(&self) -> Result<(), Problem> {
        let caller = &self.follower.caller;
        if caller.is_live() {
            Ok(())
        } else {
            Err(Problem::let_in_no_more(caller))
        }
    }

    /// What is new, if anything is.
    async fn look(&mut self) -> Result<Option<pb::FollowIncidentResponse>, Problem> {
        let Follower {
            ingest, id, secret, ..
        } = &self.follower;
        let kept = match ingest.get(*id, secret).await {
            Ok(kept) => kept,
            // Looked at again when the next thing comes, or the next sign of life.
            Err(GetError::Busy) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let told = marks(&self.follower, &kept);
        if told == self.told {
            return Ok(None);
        }
        self.told = told;
        Ok(Some(self.follower.message(&kept)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sign_of_life_comes_in_time_from_a_record_that_never_rests() {
        let (record, mut reached) = watch::channel(Position(0));
        tokio::spawn(async move {
            for position in 1.. {
                let _ = record.send(Position(position));
                sleep(Duration::from_millis(FOLLOW_PACE_MS / 5)).await;
            }
        });
        let begun = Instant::now();
        let heartbeat = Duration::from_millis(HEARTBEAT_MS);
        let mut changes = 0;
        while woken(&mut reached, begun + heartbeat).await == Ok(Woken::Changed) {
            changes += 1;
            assert!(changes < HEARTBEAT_MS, "it never comes");
        }
        assert!(1 < changes);
        let latest = heartbeat + Duration::from_millis(FOLLOW_PACE_MS);
        assert!((heartbeat..=latest).contains(&begun.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn sign_of_life_comes_in_time_from_a_record_at_rest() {
        let (_record, mut reached) = watch::channel(Position(0));
        let begun = Instant::now();
        let heartbeat = Duration::from_millis(HEARTBEAT_MS);
        let woken = woken(&mut reached, begun + heartbeat).await;
        assert_eq!((woken, begun.elapsed()), (Ok(Woken::Due), heartbeat));
    }
}
