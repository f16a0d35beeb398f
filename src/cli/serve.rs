//! `mistap serve`: the service.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::{Failure, Kind};
use crate::api::origin::Callers;
use crate::app::{self, AppError, Settings, files};
use crate::auth::{KeyError, TokenError, TokenFile};
use crate::config::{ClockSettings, ServeSettings};
use crate::edition::library::EditionError;
use crate::ingest::{ClockCheck, StartError};
use crate::journal::JournalError;
use crate::live::PermitBounds;
use crate::network::PersistError;
use crate::upkeep::retention::RetentionPeriods;

/// Serves until Ctrl-C or SIGTERM; then stops in order. Told so a second time, it ends at
/// once, which the next start repairs; so it does while it starts, when nothing is open yet.
pub async fn run(settings: ServeSettings) -> Result<(), Failure> {
    // Before anything else, so that no signal is missed.
    let mut signals = Signals::listen()?;
    // A connection is an open file.
    let connections_max = files::for_connections(files::raise_limit());
    check_proxy(&settings)?;
    let tap_days = settings.tap_days;
    let checkpoint_entries = settings.checkpoint_entries;
    let kept = RetentionPeriods {
        words_days: settings.words_days,
        personal_days: settings.personal_days,
        incident_months: settings.incident_months,
    };
    let clock_check = clock_check(settings.clock);
    let callers = Callers {
        are_behind_proxy: settings.behind_proxy,
    };
    let settings = Settings {
        clock_check,
        tap_days,
        checkpoint_entries,
        callers,
        connections: PermitBounds::of_connections(connections_max),
        kept,
        ..Settings::new(settings.data.dir, settings.listen, app::system_clock())
    };
    let mut handle = tokio::select! {
        biased;
        started = app::spawn(settings) => {
            started.map_err(|error| failure("the service cannot start", &error))?
        }
        () = signals.next() => {
            tracing::info!("told to stop while starting");
            return Ok(());
        }
    };
    announce(handle.address);
    tokio::select! {
        ended = handle.ended() => {
            return ended.map_err(|error| failure("the service ended", &error));
        }
        () = signals.next() => {}
    }
    tracing::info!("stopping");
    tokio::select! {
        biased;
        stopped = handle.stop() => {
            stopped.map_err(|error| failure("the service did not end well", &error))
        }
        () = signals.next() => Err(Failure::new(
            Kind::Unexpected,
            "told to stop a second time: ended at once; the next start takes longer",
        )),
    }
}

/// Refuses to let everybody whom a proxy lets in do everything. A folder may lack its tokens
/// because it was brought back without them, or is not the one that was meant.
fn check_proxy(settings: &ServeSettings) -> Result<(), Failure> {
    let tokens = TokenFile::path(&settings.data.dir);
    if !settings.behind_proxy || tokens.exists() {
        return Ok(());
    }
    let message = format!(
        "whoever reaches the proxy could do everything here, as there is no {}",
        tokens.display()
    );
    Err(Failure::new(Kind::Refused, message).with_hint(NO_TOKENS_BEHIND_PROXY))
}

/// What the clock is compared with.
pub(super) fn clock_check(settings: ClockSettings) -> ClockCheck {
    if settings.trust_clock {
        ClockCheck::AfterStart
    } else {
        ClockCheck::Always
    }
}

/// Tells where it listens. Nobody has to be there to read it.
fn announce(address: SocketAddr) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
}

/// What tells the process to stop.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they end nothing by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next Ctrl-C or SIGTERM.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Why a service did not start, or did not end well, in words and with an exit code. Every
/// error has its own arm, so that a new one does not compile until someone chooses.
pub(super) fn failure(what: &str, error: &AppError) -> Failure {
    let (kind, hint) = match error {
        AppError::Address(_) => (Kind::Refused, Some(NO_TOKENS)),
        AppError::Tokens(error) => match error {
            TokenError::Malformed { .. } => (Kind::Damage, None),
            TokenError::Exposed { .. } | TokenError::Refused(_) => (Kind::Refused, None),
            TokenError::Locked { .. } => (Kind::TryAgain, None),
            TokenError::Io { .. } | TokenError::Random(_) => (Kind::Unexpected, None),
        },
        AppError::Listen { source, .. } => match source.kind() {
            io::ErrorKind::AddrInUse => (Kind::TryAgain, Some(PORT_IN_USE)),
            _ => (Kind::Unexpected, None),
        },
        AppError::Start(error) => error.advised(),
        AppError::Network(error) => error.advised(),
        AppError::Editions(error) => error.advised(),
        AppError::Reflection(_)
        | AppError::Publisher
        | AppError::Log
        | AppError::Stop(_)
        | AppError::Part => (Kind::Unexpected, None),
    };
    let failure = Failure::caused(kind, what, error);
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

const NO_TOKENS: &str = "make a token first, with mistap token new and the same --data; or \
                         listen at 127.0.0.1 alone";
const NO_TOKENS_BEHIND_PROXY: &str = "make a token first, with mistap token new and the same --data, \
                                      or bring the file back; without --behind-proxy, only this \
                                      machine is listened to";
const PORT_IN_USE: &str = "another program listens there, maybe another mistap; stop it, or \
                           choose another address with --listen (port 0 takes any free one)";
const FOLDER_IN_USE: &str =
    "another mistap uses the folder; stop it, or name another folder with --data";
const STOP_IT_FIRST: &str = "another mistap uses the folder; stop it first";
const NEWER_VERSION: &str = "the folder was written by a newer mistap; use that one";

/// Why a command cannot open a data folder, with the exit codes and hints that a service has.
pub(super) fn unopened(dir: &Path, error: &StartError) -> Failure {
    let failure = unusable_folder(dir, error);
    match error {
        // The folder was chosen by a flag of the command's own.
        StartError::Journal(JournalError::Locked { .. }) => failure.with_hint(STOP_IT_FIRST),
        _ => failure,
    }
}

/// Why a command cannot use a data folder that it has opened.
pub(super) fn unusable_folder(dir: &Path, error: &dyn FolderError) -> Failure {
    unusable(format!("{} cannot be used", dir.display()), error)
}

/// What a data folder, or a part of it, cannot be used for.
pub(super) fn unusable(message: impl Into<String>, error: &dyn FolderError) -> Failure {
    let (kind, hint) = error.advised();
    let failure = Failure::caused(kind, message, error).of_journal(error.is_of_journal());
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// Why a data folder, or a part of it, cannot be used: with the same exit code and hint, whatever
/// the command. The errors themselves say how damage is repaired.
pub(super) trait FolderError: Error {
    /// What it is to a script, and what to do about it.
    fn advised(&self) -> (Kind, Option<&'static str>);

    /// Whether it is of the journal itself, which looks damaged while a part of it is written anew.
    fn is_of_journal(&self) -> bool {
        false
    }
}

impl FolderError for StartError {
    fn advised(&self) -> (Kind, Option<&'static str>) {
        match self {
            Self::JournalMissing { .. } | Self::BaseMissing => (Kind::Damage, None),
            Self::Keys(error) => error.advised(),
            Self::Journal(error) => error.advised(),
            Self::Folder { .. } | Self::Thread(_) => (Kind::Unexpected, None),
        }
    }

    fn is_of_journal(&self) -> bool {
        matches!(self, Self::Journal(_))
    }
}

impl FolderError for JournalError {
    fn advised(&self) -> (Kind, Option<&'static str>) {
        match self {
            Self::Locked { .. } => (Kind::TryAgain, Some(FOLDER_IN_USE)),
            Self::Damaged { .. }
            | Self::MissingSegment { .. }
            | Self::Lost { .. }
            | Self::WrongEpoch { .. } => (Kind::Damage, None),
            Self::NewerFormat { .. } | Self::Undecodable { .. } => {
                (Kind::Unexpected, Some(NEWER_VERSION))
            }
            Self::Permission { .. }
            | Self::Io { .. }
            | Self::NoSegment { .. }
            | Self::TooLarge { .. }
            | Self::Poisoned
            | Self::SegmentBytes(_) => (Kind::Unexpected, None),
        }
    }

    fn is_of_journal(&self) -> bool {
        true
    }
}

impl FolderError for KeyError {
    fn advised(&self) -> (Kind, Option<&'static str>) {
        match self {
            Self::Malformed { path, .. } if path.ends_with("receipt-keys") => {
                (Kind::Damage, Some(RESTORE_RECEIPT_KEYS))
            }
            Self::Malformed { .. } => (Kind::Damage, Some(LOSE_KEYS)),
            Self::Exposed { .. }
            | Self::Io { .. }
            | Self::Missing { .. }
            | Self::Ended { .. }
            | Self::Random(_) => (Kind::Unexpected, None),
        }
    }
}

impl FolderError for PersistError {
    fn advised(&self) -> (Kind, Option<&'static str>) {
        match self {
            Self::Damaged { .. } | Self::Invalid { .. } => (Kind::Damage, None),
            Self::Io { .. } | Self::VersionTaken(_) => (Kind::Unexpected, None),
        }
    }
}

impl FolderError for EditionError {
    fn advised(&self) -> (Kind, Option<&'static str>) {
        match self {
            Self::Damaged { .. } | Self::Lost { .. } | Self::Unnoted { .. } => (Kind::Damage, None),
            Self::Journal(error) => error.advised(),
            Self::Io { .. } | Self::Format(_) => (Kind::Unexpected, None),
        }
    }

    fn is_of_journal(&self) -> bool {
        matches!(self, Self::Journal(_))
    }
}

const RESTORE_RECEIPT_KEYS: &str =
    "restore it from a backup: without it, receipts can be neither checked nor made again";
const LOSE_KEYS: &str = "keys are in no backup. Move the file away, and new ones are made: then \
                         cards and installations of before cannot be joined with later ones, and \
                         reports that are sent again are refused";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser;

    use super::*;

    #[test]
    fn what_can_be_tried_again_and_damage_have_codes_of_their_own() {
        let check = |error: AppError, kind: Kind, text: &str| {
            let failure = failure("the service cannot start", &error);
            assert_eq!(failure.kind(), kind, "{failure}");
            assert!(failure.to_string().contains(text), "{failure}");
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 7070));
        let listen = |kind| AppError::Listen {
            address,
            source: io::Error::from(kind),
        };
        check(listen(io::ErrorKind::AddrInUse), Kind::TryAgain, "--listen");
        let other = listen(io::ErrorKind::AddrNotAvailable);
        check(other, Kind::Unexpected, "cannot listen");
        let journal = |error| AppError::Start(StartError::Journal(error));
        let dir = PathBuf::from("here");
        let locked = JournalError::Locked { dir: dir.clone() };
        check(journal(locked), Kind::TryAgain, "--data");
        let damaged = JournalError::WrongEpoch { file: dir.clone() };
        check(journal(damaged), Kind::Damage, "another journal");
        let missing = StartError::JournalMissing {
            path: dir,
            trace: "keys",
        };
        check(AppError::Start(missing), Kind::Damage, "backup");
    }

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        settings: ServeSettings,
    }

    #[test]
    fn nobody_is_let_in_through_a_proxy_where_there_are_no_tokens() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |flags: &[&str]| {
            let data = folder.path().to_str().expect("text");
            let words = ["serve", "--data", data];
            let typed = Typed::try_parse_from(words.iter().chain(flags)).expect("flags");
            check_proxy(&typed.settings)
        };
        assert!(check(&[]).is_ok());
        let refused = check(&["--behind-proxy"]).expect_err("refused");
        assert_eq!(refused.kind(), Kind::Refused);
        assert!(
            refused.to_string().contains("mistap token new"),
            "{refused}"
        );
        std::fs::write(TokenFile::path(folder.path()), "").expect("written");
        assert!(
            check(&["--behind-proxy"]).is_ok(),
            "what is in it is looked at later"
        );
    }
}
