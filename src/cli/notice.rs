//! What a command that follows a stream says of its connection, on standard error: once when
//! it is lost, now and then while it is gone, and once when it is back.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;
use tonic_types::StatusExt;

use super::client::ServerArgs;
use super::failure::Failure;
use super::say_aside;
use crate::client::{FollowError, Lost, Moment};

/// How often it is said that the connection is still gone.
const AGAIN_EVERY: Duration = Duration::from_secs(30);
/// How often a command looks whether anything is heard.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After so long without a message it is said that nothing is heard: a heartbeat is missed.
pub const QUIET_AFTER: Duration = Duration::from_secs(20);

/// How a server's sentence ends that advises another try.
const ADVICE: [&str; 2] = ["; try again", "; try again later"];

/// Says it.
#[derive(Default)]
pub struct Notices {
    /// When it was last said that nothing is heard.
    said: Option<Instant>,
}

impl Notices {
    /// The connection is lost.
    pub fn lost(&mut self, lost: &Lost, heard: Option<Moment>) {
        let reason = reason(lost.status.as_ref());
        self.say_sometimes(&format!("{reason}; {}; trying again", silence(heard)));
    }

    /// Nothing came for a while.
    pub fn quiet(&mut self, heard: Option<Moment>) {
        if heard.is_some_and(|heard| QUIET_AFTER < heard.elapsed()) {
            self.say_sometimes(&silence(heard));
        }
    }

    /// A message came, for the first time since the one before.
    pub fn heard(&mut self, before: Option<Moment>, meaning: &str) {
        if self.said.take().is_some() {
            let seconds = before.map_or(0, |before| before.elapsed().as_secs());
            say_aside(&format!("heard again after {seconds} s; {meaning}"));
        }
    }

    fn say_sometimes(&mut self, text: &str) {
        if self.said.is_none_or(|said| AGAIN_EVERY <= said.elapsed()) {
            self.said = Some(Instant::now());
            say_aside(&text);
        }
    }
}

/// Why a connection is gone, in few words.
pub fn reason(status: Option<&Status>) -> String {
    match status {
        Some(status) if std::error::Error::source(status).is_none() => {
            let message = status.message();
            // What it advises in the end is done already, and said, where it is worth it.
            let is_retried = status.get_details_retry_info().is_some();
            let advice = ADVICE.iter().filter(|_| is_retried);
            let short = advice
                .filter_map(|advice| message.strip_suffix(advice))
                .next();
            short.unwrap_or(message).to_owned()
        }
        _ => "no connection".to_owned(),
    }
}

/// How a stream that cannot be followed is told.
pub fn failure(error: FollowError, server: &ServerArgs) -> Failure {
    match error {
        FollowError::NoServer(status) => server.unreached(&*status),
        FollowError::Refused(status) => Failure::from(*status),
    }
}

fn silence(heard: Option<Moment>) -> String {
    match heard {
        Some(heard) => format!("nothing heard for {} s", heard.elapsed().as_secs()),
        None => "nothing heard yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn server_s_sentence_stays_whole_but_for_the_advice_that_is_followed() {
        let check = |message: &str, is_retried: bool, expected: &str| {
            let mut details = ErrorDetails::new();
            if is_retried {
                details.set_retry_info(Some(Duration::from_secs(1)));
            }
            let status = Status::with_error_details(Code::Unavailable, message, details);
            assert_eq!(reason(Some(&status)), expected);
        };
        check("shutting down; try again", true, "shutting down");
        check("busy; try again later", true, "busy");
        check("busy; try again later", false, "busy; try again later");
        let whole = "the store failed; try again after a new start; the log says why";
        check(whole, true, whole);
        assert_eq!(reason(None), "no connection");
    }
}
