//! `mistap keys`: shows which quarters have a key, and makes new ones.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::failure::{Failure, Kind};
use super::key_history::KeyHistory;
use super::output::{Format, Sheet};
use super::reading::read_folder;
use super::serve::{self, FolderError};
use super::{repair, status};
use crate::config::{ClockSettings, DataSettings};
use crate::domain::LocalDay;
use crate::ingest::CommandClock;
use crate::ingest::rotation::{self, RotateError, Rotated};

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
    /// is told at once; the new keys are in use from the next start on.
    ///
    /// Whoever has the old file, and the journal, can still find out which card or installation
    /// told what came before, and what comes late for quarters that are over, until the keys of
    /// those quarters are destroyed with their pseudonyms. The key that case numbers, citations and
    /// tokens of streams are made with is never replaced: whoever has it can read from those where
    /// in the journal something lies, and make some up
    Rotate {
        /// Which folder. No server may use it: stop it first.
        #[command(flatten)]
        data: DataSettings,
        /// What its clock is worth.
        #[command(flatten)]
        clock: ClockSettings,
    },
}

/// Runs `mistap keys`.
pub fn keys(command: KeysCommand, format: Format, today: LocalDay) -> Result<(), Failure> {
    match command {
        KeysCommand::List { data } => list(&data.dir, format, today),
        KeysCommand::Rotate { data, clock } => rotate(&data.dir, super::read(clock)),
    }
}

fn list(dir: &Path, format: Format, today: LocalDay) -> Result<(), Failure> {
    let sheet = read_folder(dir, || listed(dir, today))?;
    sheet.print(format, &mut io::stdout().lock())
}

fn listed(dir: &Path, today: LocalDay) -> Result<Sheet, Failure> {
    let failed = |error: &dyn FolderError| serve::unusable("the keys cannot be read", error);
    let history = KeyHistory::of_folder(dir).map_err(|error| failed(&error))?;
    let awaited = status::awaited(dir).map_err(|error| failed(&error))?;
    let told = status::keys(dir, &history, &awaited, today).map_err(|error| failed(&error))?;
    let mut sheet = Sheet::new(["quarter", "state"]);
    for (quarter, state) in told {
        sheet.push(vec![json!(quarter), json!(state)]);
    }
    Ok(sheet)
}

fn rotate(dir: &Path, clock: CommandClock) -> Result<(), Failure> {
    let rotated = rotation::rotate(dir, clock).map_err(|error| failure(&error, dir))?;
    let printed = print(&rotated);
    // What went wrong is told though nobody reads which keys are new.
    verdict(&rotated).and(printed)
}

fn print(rotated: &Rotated) -> Result<(), Failure> {
    let mut out = io::stdout();
    for period in &rotated.periods {
        writeln!(out, "{} has a new key", status::quarter(*period))?;
    }
    for period in &rotated.kept {
        writeln!(
            out,
            "{} keeps its key, for late reports, until it is destroyed",
            status::quarter(*period)
        )?;
    }
    Ok(writeln!(
        out,
        "in use from the next start on; position {} of the journal says so",
        rotated.at
    )?)
}

fn verdict(rotated: &Rotated) -> Result<(), Failure> {
    let Some(cause) = &rotated.unnoted else {
        return Ok(());
    };
    let message = "the keys are changed, and the journal says so; that it does is not noted \
                   beside it, so that the next start says it once more";
    Err(Failure::unexpected(message, cause))
}

/// Why keys are not rotated.
pub(super) fn failure(error: &RotateError, dir: &Path) -> Failure {
    match error {
        RotateError::NoReceiptKeys => {
            let message = format!("there are no keys of receipts in {}", dir.display());
            Failure::new(Kind::NotFound, message).with_hint(
                "bring the file receipt-keys back from a backup; without it, the next start makes \
                 a new one",
            )
        }
        RotateError::NoKeys => {
            let message = format!("there are no keys in {}", dir.display());
            Failure::new(Kind::NotFound, message)
        }
        RotateError::NoneInUse => Failure::new(Kind::NotFound, error.to_string()),
        RotateError::Clock => Failure::new(Kind::Refused, error.to_string()),
        RotateError::Folder(error) => repair::failure(error, dir),
        RotateError::Keys(error) => serve::unusable("the keys cannot be changed", error),
    }
}
