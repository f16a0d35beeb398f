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
pub mod register;
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
        // Its message may hold a client's text.
        tracing::error!(is_panic = error.is_panic(), "work for a call failed");
        Problem::internal()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::Log;

    #[tokio::test]
    async fn message_of_a_panic_in_what_a_call_asked_for_is_not_logged() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let logging = tracing::subscriber::set_default(subscriber.finish());
        let worked = blocking(|| panic!("no end of 3528 0100 0000 0012")).await;
        drop(logging);
        assert_eq!(worked, Err::<(), _>(Problem::internal()));
        let text = log.text();
        assert!(text.contains("is_panic=true"), "{text}");
        assert!(!text.contains("3528"), "{text}");
    }
}
