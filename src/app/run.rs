//! Serves, and takes everything down again.

use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connections::{self, Incoming};
use super::{AppError, Parts};
use crate::domain::limits::{DRAIN_MS_MAX, RECORD_DRAIN_MS};
use crate::ingest::{Paused, Running, StopError};

/// Serves until told to stop, or until connections can be served no more; then takes
/// everything down. A part that fails does not end the service: health checks and the log
/// tell it, the others go on, and the result says so in the end.
pub(super) async fn run(
    incoming: Incoming,
    parts: Parts,
    running: Running,
    stop: CancellationToken,
) -> Result<(), AppError> {
    let server = connections::serve(incoming, parts.dispatch.clone(), stop.clone());
    let mut serving = tokio::spawn(server);
    // Else it would be told for a moment that reports are taken in.
    let paused = *running.paused().borrow();
    parts
        .health
        .note(|state| {
            state.is_up = true;
            state.paused = paused;
        })
        .await;
    let served = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        served = &mut serving => Some(served),
        () = tell_trouble(&parts, running.failed(), running.paused()) => None,
    };
    let watched = if stop.is_cancelled() {
        Ok(())
    } else {
        still_watched(&parts)
    };
    let begun = Instant::now();
    stop.cancel();
    parts.health.note(|state| state.is_up = false).await;
    let served = match served {
        Some(served) => served.map_err(AppError::from),
        None => drained(serving, begun).await,
    };
    let followed = ended(parts.followers, begun).await;
    // Whatever happened before: what was taken in is committed.
    let closed = close(running, begun).await;
    first_error([closed, served, followed, watched])
}

/// Whether everything can be watched that could be when the service began.
fn still_watched(parts: &Parts) -> Result<(), AppError> {
    if parts.publisher.has_ended() {
        return Err(AppError::Publisher);
    }
    if parts.log.has_ended() {
        return Err(AppError::Log);
    }
    Ok(())
}

/// Tells for ever what fails, and while no reports are taken in. Only a person can repair the disk,
/// and only a new start makes another publisher or log; whatever else there is goes on.
async fn tell_trouble(
    parts: &Parts,
    mut failed: watch::Receiver<bool>,
    mut paused: watch::Receiver<Option<Paused>>,
) {
    let health = &parts.health;
    let record = async {
        if failed.wait_for(|failed| *failed).await.is_ok() {
            tracing::error!("reports cannot be stored any more; questions are still answered");
            health.note(|state| state.has_record_failed = true).await;
        }
    };
    let pauses = async {
        paused.mark_changed();
        while paused.changed().await.is_ok() {
            let now = *paused.borrow_and_update();
            health.note(|state| state.paused = now).await;
        }
    };
    let publisher = async {
        parts.publisher.ended().await;
        tracing::error!("counts cannot be watched any more; all else goes on");
        health.note(|state| state.has_live_failed = true).await;
    };
    let log = async {
        parts.log.ended().await;
        tracing::error!("incidents cannot be watched any more; all else goes on");
        health.note(|state| state.has_live_failed = true).await;
    };
    tokio::join!(record, pauses, publisher, log);
    std::future::pending::<()>().await;
}

/// The first error; further ones are only logged.
fn first_error(results: impl IntoIterator<Item = Result<(), AppError>>) -> Result<(), AppError> {
    let mut errors = results.into_iter().filter_map(Result::err);
    let first = errors.next();
    for error in errors {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "another part did not end well");
    }
    first.map_or(Ok(()), Err)
}

/// When what is not the record must have ended.
fn drain_end(begun: Instant) -> Instant {
    begun + Duration::from_millis(DRAIN_MS_MAX - RECORD_DRAIN_MS)
}

/// Waits until connections have ended, but leaves time for the record. What is still open
/// then ends with the process.
async fn drained(mut serving: JoinHandle<()>, begun: Instant) -> Result<(), AppError> {
    match tokio::time::timeout_at(drain_end(begun), &mut serving).await {
        Ok(served) => Ok(served?),
        Err(_) => {
            tracing::warn!("connections were still open at the end, and are cut off");
            serving.abort();
            Ok(())
        }
    }
}

/// Waits for followers, but not for ever.
async fn ended(followers: Vec<JoinHandle<()>>, begun: Instant) -> Result<(), AppError> {
    let mut result = Ok(());
    for mut follower in followers {
        match tokio::time::timeout_at(drain_end(begun), &mut follower).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => result = Err(error.into()),
            Err(_) => follower.abort(),
        }
    }
    result
}

/// Closes the record within what is left of the time.
pub(super) async fn close(running: Running, begun: Instant) -> Result<(), AppError> {
    let left = Duration::from_millis(DRAIN_MS_MAX).saturating_sub(begun.elapsed());
    let (closed, is_closed) = oneshot::channel();
    // On a thread of its own: what waits where work may block would come before it.
    let closing = std::thread::Builder::new().name("close".to_owned());
    let close = move || {
        // Whoever waited may be gone.
        let _ = closed.send(running.stop(left));
    };
    closing.spawn(close).map_err(StopError::Thread)?;
    Ok(is_closed.await.map_err(|_| AppError::Part)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_of_several_errors_is_told() {
        assert!(first_error([Ok(()), Ok(())]).is_ok());
        let result = first_error([
            Ok(()),
            Err(AppError::Publisher),
            Err(AppError::Stop(StopError::Deadline)),
        ]);
        assert!(matches!(result, Err(AppError::Publisher)), "{result:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn follower_that_does_not_end_is_cut_off() {
        let begun = Instant::now();
        let followers = vec![tokio::spawn(std::future::pending())];
        assert!(ended(followers, begun).await.is_ok());
        let limit = Duration::from_millis(DRAIN_MS_MAX - RECORD_DRAIN_MS);
        assert_eq!(begun.elapsed(), limit);
    }
}
