//! `mistap keys`: shows which quarters have a key, and makes new ones.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::failure::{Failure, Kind};
use super::key_history::KeyHistory;
use super::output::{Format, Sheet};
use super::{repair, status};
use crate::config::DataSettings;
use crate::domain::{LocalDay, UtcMillis};
use crate::ingest::rotation::{self, RotateError};

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// List the quarters that have a key, and when it is destroyed; no key is shown
    List {
        /// Which folder.
        #[command(flatten)]
        data: DataSettings,
    },
    /// Make new keys for this quarter and later ones, because the old may be known to others.
    /// Who reported before and reports again counts as another reporter from then on. The journal
    /// is told at once; the new keys are in use from the next start on
    Rotate {
        /// Which folder. No server may use it: stop it first.
        #[command(flatten)]
        data: DataSettings,
    },
}

/// Runs `mistap keys`.
pub fn keys(
    command: KeysCommand,
    format: Format,
    (now, today): (UtcMillis, LocalDay),
) -> Result<(), Failure> {
    match command {
        KeysCommand::List { data } => list(&data.dir, format, today),
        KeysCommand::Rotate { data } => rotate(&data.dir, now),
    }
}

fn list(dir: &Path, format: Format, today: LocalDay) -> Result<(), Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::unexpected("the keys cannot be read", error)
    };
    let history = KeyHistory::of_folder(dir).map_err(|error| failed(&error))?;
    let told = status::keys(dir, &history, today).map_err(|error| failed(&error))?;
    let mut sheet = Sheet::new(["quarter", "state"]);
    for (quarter, state) in told {
        sheet.push(vec![json!(quarter), json!(state)]);
    }
    sheet.print(format, &mut io::stdout().lock())
}

fn rotate(dir: &Path, now: UtcMillis) -> Result<(), Failure> {
    let rotated = rotation::rotate(dir, now).map_err(|error| failure(&error, dir))?;
    let mut out = io::stdout();
    for period in rotated.periods {
        writeln!(out, "{} has a new key", status::quarter(period))?;
    }
    writeln!(
        out,
        "in use from the next start on; position {} of the journal says so",
        rotated.at
    )?;
    Ok(())
}

fn failure(error: &RotateError, dir: &Path) -> Failure {
    match error {
        RotateError::NoKeys => {
            let message = format!("there are no keys in {}", dir.display());
            Failure::new(Kind::NotFound, message)
        }
        RotateError::NoneInUse => Failure::new(Kind::NotFound, error.to_string()),
        RotateError::Clock => Failure::new(Kind::Refused, error.to_string()),
        RotateError::Folder(error) => repair::failure(error, dir),
        RotateError::Keys(error) => Failure::unexpected("the keys cannot be changed", error),
        RotateError::Done(cause) => Failure::unexpected(error.to_string(), cause),
    }
}
