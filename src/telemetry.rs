//! The log: readable on a terminal, JSON elsewhere, and never with a client's text.
//!
//! Three things in libraries could carry one: the debug lines of the HTTP layers, which are
//! therefore capped unless they are asked for by name; the message of a panic, of which only the
//! place is logged; and what an error of a connection was caused by, which `app/connections.rs`
//! leaves out.

use std::io::{IsTerminal, stderr};
use std::panic::{self, PanicHookInfo};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogFormat, LogSettings};

/// Crates whose debug lines may hold headers or bodies, or drown all others.
const CAPPED: [&str; 8] = [
    "h2", "hyper", "tonic", "tower", "axum", "prost", "mio", "sled",
];

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// What to log cannot be understood.
    #[error("what to log must be a level, or levels by module as in info,mistap=debug")]
    Filter(#[source] ParseError),
    /// The process logs already.
    #[error("the log was set up before")]
    Twice(#[source] TryInitError),
}

/// Starts the log of the whole process, on standard error. `filter` holds where the settings
/// say nothing.
pub fn start(settings: &LogSettings, filter: &str) -> Result<(), TelemetryError> {
    let filter = settings.log.as_deref().unwrap_or(filter);
    let filter = EnvFilter::try_new(capped(filter)).map_err(TelemetryError::Filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let is_json = match settings.log_format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let started = if is_json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry
            .with(lines.with_ansi(stderr().is_terminal()))
            .try_init()
    };
    started.map_err(TelemetryError::Twice)?;
    log_panics_without_their_message();
    Ok(())
}

/// From now on a panic logs its place only: its message may hold a client's text.
pub fn log_panics_without_their_message() {
    panic::set_hook(Box::new(log_panic));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location();
    let file = place.map_or("", |place| place.file());
    let line = place.map_or(0, |place| place.line());
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("");
    tracing::error!(file, line, thread, "panic");
}

/// The filter with noisy crates at `info`, except those that it names itself.
fn capped(filter: &str) -> String {
    let is_named = |name: &&str| {
        filter.split(',').any(|directive| {
            let target = directive.split(['=', '[']).next().unwrap_or("").trim();
            target.strip_prefix(*name).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with("::") || rest.starts_with('_')
            })
        })
    };
    let mut text = filter.to_owned();
    for name in CAPPED.iter().filter(|name| !is_named(name)) {
        text.push_str(&format!(",{name}=info"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noisy_crates_are_capped_unless_they_are_named() {
        let filter = capped("debug");
        assert!(filter.starts_with("debug,"));
        assert!(filter.contains(",h2=info") && filter.contains(",hyper=info"));
        let filter = capped("debug,h2=trace,hyper_util::client=debug");
        assert!(!filter.contains("h2=info") && !filter.contains("hyper=info"));
        assert!(filter.contains("tonic=info"));
    }

    #[test]
    fn capped_filters_can_be_read() {
        for filter in ["", "off", "trace", "info,mistap::ingest=debug"] {
            assert!(EnvFilter::try_new(capped(filter)).is_ok(), "{filter}");
        }
    }
}
