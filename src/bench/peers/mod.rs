//! Peers to compare with, each started in a folder of its own, on a free port or a socket,
//! and ended when it is dropped. One that is not installed is left out.

pub mod duckdb;
pub mod nats;
pub mod notify;
pub mod postgres;
pub mod redis;
