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
pub mod statistics;
pub mod status;
mod stream;
mod way_back;

use std::sync::Arc;

use crate::domain::UtcMillis;

/// Tells the time. The application owns the clock.
pub type Clock = Arc<dyn Fn() -> UtcMillis + Send + Sync>;
