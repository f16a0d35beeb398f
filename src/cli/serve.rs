//! `mistap serve`: the service.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::app::{self, Settings};
use crate::config::ServeSettings;

/// Serves until Ctrl-C or SIGTERM; then stops in order.
pub fn run(settings: ServeSettings) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(serve(settings));
    // Connections that did not end in time are not waited for.
    runtime.shutdown_background();
    result
}

async fn serve(settings: ServeSettings) -> Result<(), Failure> {
    // Before anything else, so that no signal is missed.
    let stop = stop_signal()?;
    let mut handle = app::spawn(Settings {
        dir: settings.data.dir,
        listen: settings.listen,
        clock: app::system_clock(),
    })
    .await?;
    announce(handle.address);
    tokio::select! {
        ended = handle.ended() => return Ok(ended?),
        () = stop => {}
    }
    tracing::info!("stopping");
    handle.stop().await?;
    Ok(())
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
