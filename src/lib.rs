//! The open record of failed public-transport check-ins. `ARCHITECTURE.md` has the map.

pub mod api;
pub mod app;
pub mod auth;
pub mod bench;
pub mod cli;
pub mod client;
pub mod config;
pub mod domain;
pub mod edition;
pub mod http;
pub mod ingest;
pub mod journal;
pub mod ledger;
pub mod live;
pub mod network;
pub mod query;
pub mod simulate;
pub mod stats;
pub mod store;
pub mod telemetry;
pub mod upkeep;
