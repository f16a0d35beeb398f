//! Brings tokens into use and out of it while the service runs.

use std::error::Error;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::auth::Gate;

/// Looks whether the file of tokens changed, until the service stops. A look costs as much as
/// asking for the size of a file.
pub(super) async fn follow(gate: Gate, every: Duration, stop: CancellationToken) {
    stop.run_until_cancelled(look_again_and_again(gate, every))
        .await;
}

async fn look_again_and_again(gate: Gate, every: Duration) {
    let mut looks = tokio::time::interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let looking = gate.clone();
        match tokio::task::spawn_blocking(move || looking.follow()).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(live))) => tracing::info!(live, "tokens changed"),
            Ok(Err(error)) => {
                let error = &error as &dyn Error;
                tracing::error!(
                    error,
                    "tokens changed and cannot be read; the old ones hold"
                );
            }
            Err(error) => {
                tracing::error!(is_panic = error.is_panic(), "tokens cannot be looked at");
            }
        }
    }
}
