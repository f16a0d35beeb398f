//! The API over gRPC: one thin file for each service. Messages are checked and turned into
//! domain types in `convert`, errors into codes in `status`.
//!
//! Nothing that a client sends may panic the server; where it does nevertheless, `guard`
//! answers `INTERNAL`.

mod access;
mod asked;
pub mod bulk;
pub mod caller;
mod cases;
pub mod connection;
pub mod convert;
pub mod counters;
mod delivery;
pub mod frames;
pub mod guard;
pub mod live;
pub mod network;
pub mod operations;
pub mod origin;
mod outages;
pub mod pb;
mod progress;
pub mod reporting;
mod room;
pub mod statistics;
pub mod status;
mod stream;
mod unary;
mod way_back;

use std::sync::Arc;

use crate::domain::UtcMillis;
use status::Problem;

/// Tells the time. The application owns the clock.
pub type Clock = Arc<dyn Fn() -> UtcMillis + Send + Sync>;

/// Runs what takes long or reads files where it holds up nobody. It goes on where its caller
/// does not wait for it any more.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "work for a call ended in a panic");
        Problem::internal()
    })
}
