//! `mistap keys`: shows which quarters have a key, and makes new ones.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::failure::{Failure, Kind};
use super::key_history::KeyHistory;
use super::output::{Format, Sheet};
use super::status;
use crate::auth::Keys;
use crate::config::DataSettings;
use crate::domain::LocalDay;
use crate::journal;

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
    /// Who reported before and reports again counts as another reporter from then on. The next
    /// start notes it in the journal
    Rotate {
        /// Which folder. No server may use it.
        #[command(flatten)]
        data: DataSettings,
    },
}

/// Runs `mistap keys`.
pub fn keys(command: KeysCommand, format: Format, today: LocalDay) -> Result<(), Failure> {
    match command {
        KeysCommand::List { data } => list(&data.dir, format, today),
        KeysCommand::Rotate { data } => rotate(&data.dir, today),
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

fn rotate(dir: &Path, today: LocalDay) -> Result<(), Failure> {
    if !Keys::exist(dir) {
        let message = format!("there are no keys in {}", dir.display());
        return Err(Failure::new(Kind::NotFound, message));
    }
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::unexpected("the keys cannot be changed", error)
    };
    let journal_dir = dir.join("journal");
    if journal::is_in_use(&journal_dir).map_err(|error| failed(&error))? {
        let message = "a server uses the folder; stop it first";
        return Err(Failure::new(Kind::TryAgain, message));
    }
    let keys = Keys::open(dir).map_err(|error| failed(&error))?;
    for period in keys.rotate(today).map_err(|error| failed(&error))? {
        writeln!(io::stdout(), "{} has a new key", status::quarter(period))?;
    }
    Ok(())
}
