//! Redis with an append-only file that is synced before every answer.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::super::children::{self, Process};
use crate::cli::{Failure, Kind};

const CLIENTS: &str = "64";
/// About what a report has.
const PAYLOAD_BYTES: usize = 200;
/// Entries in one measurement, for each second that it may take.
const ENTRIES_PER_SECOND: f64 = 30_000.0;

/// A running server.
pub struct Redis {
    benchmark: PathBuf,
    port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Redis {
    /// Starts one; `None` if it is not installed.
    pub fn start() -> Result<Option<Self>, Failure> {
        let server = children::program("redis-server", &[]);
        let Some((server, benchmark)) = server.zip(children::program("redis-benchmark", &[]))
        else {
            return Ok(None);
        };
        let folder = children::throw_away("mistap-bench-redis-")?;
        let port = children::free_port()?;
        let mut command = Command::new(server);
        command
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--save",
                "",
            ])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::spawn(&mut command)?;
        children::wait_for_port(port, "Redis")?;
        Ok(Some(Self {
            benchmark,
            port,
            _process: process,
            _folder: folder,
        }))
    }

    /// Entries appended to a stream, a second.
    pub fn appends(&mut self, span: Duration) -> Result<f64, Failure> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count"
        )]
        let entries = (span.as_secs_f64() * ENTRIES_PER_SECOND) as u64;
        let port = self.port.to_string();
        let entries = entries.to_string();
        let payload = "x".repeat(PAYLOAD_BYTES);
        let text = children::output(
            Command::new(&self.benchmark)
                .args([
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &port,
                    "-c",
                    CLIENTS,
                    "-n",
                    &entries,
                    "--csv",
                ])
                .args(["XADD", "reports", "*", "report", &payload]),
        )?;
        let row = csv_row(&text);
        row.ok_or_else(|| Failure::new(Kind::Unexpected, "redis-benchmark told no rate"))
    }
}

/// The second field of the last line.
fn csv_row(text: &str) -> Option<f64> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let last = reader.records().filter_map(Result::ok).last()?;
    last.get(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_read_from_the_last_line() {
        let text = "\"test\",\"rps\"\n\"XADD reports * report xx\",\"36900.37\",\"1.7\"\n";
        assert_eq!(csv_row(text), Some(36_900.37));
        assert_eq!(csv_row(""), None);
    }
}
