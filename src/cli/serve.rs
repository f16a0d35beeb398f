//! `mistap serve`: the service.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::app::{self, AppError, Settings};
use crate::config::ServeSettings;

/// Serves until Ctrl-C or SIGTERM; then stops in order.
pub async fn run(settings: ServeSettings) -> Result<(), Failure> {
    // Before anything else, so that no signal is missed.
    let stop = stop_signal()?;
    let settings = Settings::new(settings.data.dir, settings.listen, app::system_clock());
    let mut handle = app::spawn(settings)
        .await
        .map_err(|error| cannot("the service cannot start", &error))?;
    announce(handle.address);
    tokio::select! {
        ended = handle.ended() => {
            return ended.map_err(|error| cannot("the service ended", &error));
        }
        () = stop => {}
    }
    tracing::info!("stopping");
    let stopped = handle.stop().await;
    stopped.map_err(|error| cannot("the service did not end well", &error))
}

#[expect(clippy::print_stdout, reason = "the answer of a command to its user")]
fn announce(address: std::net::SocketAddr) {
    println!("listening on http://{address}");
}

/// Ends at the first Ctrl-C or SIGTERM.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn cannot(what: &str, error: &AppError) -> Failure {
    Failure::unexpected(what, error)
}
