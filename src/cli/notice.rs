//! What a command that follows a stream says of its connection, on standard error: once when
//! it is lost, now and then while it is gone, and once when it is back.

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::failure::Failure;
use crate::client::{FollowError, Lost};

/// How often it is said that the connection is still gone.
const AGAIN_EVERY: Duration = Duration::from_secs(30);
/// After so long without a message it is said that nothing is heard: a heartbeat is missed.
pub const QUIET_AFTER: Duration = Duration::from_secs(20);

/// Says it.
#[derive(Default)]
pub struct Notices {
    /// When it was last said that nothing is heard.
    said: Option<Instant>,
}

impl Notices {
    /// The connection is lost.
    pub fn lost(&mut self, lost: &Lost, heard: Option<Instant>) -> Result<(), Failure> {
        let reason = reason(lost.status.as_ref());
        self.say_sometimes(&format!("{reason}; {}; trying again", silence(heard)))
    }

    /// Nothing came for a while.
    pub fn quiet(&mut self, heard: Option<Instant>) -> Result<(), Failure> {
        let is_quiet = heard.is_some_and(|heard| QUIET_AFTER < heard.elapsed());
        if !is_quiet {
            return Ok(());
        }
        self.say_sometimes(&silence(heard))
    }

    /// A message came, for the first time since the one before.
    pub fn heard(&mut self, before: Option<Instant>, meaning: &str) -> Result<(), Failure> {
        if self.said.take().is_none() {
            return Ok(());
        }
        let seconds = before.map_or(0, |before| before.elapsed().as_secs());
        say(&format!("heard again after {seconds} s; {meaning}"))
    }

    fn say_sometimes(&mut self, text: &str) -> Result<(), Failure> {
        if self.said.is_some_and(|said| said.elapsed() < AGAIN_EVERY) {
            return Ok(());
        }
        self.said = Some(Instant::now());
        say(text)
    }
}

/// Why a connection is gone, in few words.
pub fn reason(status: Option<&Status>) -> String {
    match status {
        Some(status) if std::error::Error::source(status).is_none() => {
            // What it advises is done already, and said.
            let message = status.message();
            message
                .split("; try again")
                .next()
                .unwrap_or(message)
                .to_owned()
        }
        _ => "no connection".to_owned(),
    }
}

/// How a stream that cannot be followed is told.
pub fn failure(error: FollowError, server: &str) -> Failure {
    match error {
        FollowError::NoServer(_) => Failure::no_server(server),
        FollowError::Refused(status) => Failure::from(*status),
    }
}

fn silence(heard: Option<Instant>) -> String {
    match heard {
        Some(heard) => format!("nothing heard for {} s", heard.elapsed().as_secs()),
        None => "nothing heard yet".to_owned(),
    }
}

fn say(text: &str) -> Result<(), Failure> {
    Ok(writeln!(io::stderr(), "{text}")?)
}
