//! How a command fails: a sentence, what to do next, and an exit code for scripts.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | something unexpected |
//! | 2 | wrong usage (printed by the parser of arguments) |
//! | 3 | refused: the input breaks a rule |
//! | 4 | not found, or another secret |
//! | 5 | the id is taken by another report |
//! | 6 | no server, or it is busy: try again |
//! | 7 | damage was found |

use std::fmt;
use std::io;
use std::process::ExitCode;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::flags;
use crate::client::{advice, is_local};
use crate::domain::text::without_controls;

const NO_ANSWER: &str = "the connection broke, or what answers there is no mistap";

/// What went wrong, by what a script would do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something unexpected.
    Unexpected,
    /// The input breaks a rule.
    Refused,
    /// Not found, or another secret.
    NotFound,
    /// The id is taken by another report.
    Taken,
    /// No server, or it is busy.
    TryAgain,
    /// Damage was found.
    Damage,
}

impl Kind {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Unexpected => 1,
            Self::Refused => 3,
            Self::NotFound => 4,
            Self::Taken => 5,
            Self::TryAgain => 6,
            Self::Damage => 7,
        }
    }
}

/// Why a command failed, in words for whoever typed it.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
    details: Vec<String>,
    hint: Option<String>,
    is_closed_pipe: bool,
    is_of_journal: bool,
}

impl Failure {
    /// With a sentence.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            details: Vec::new(),
            hint: None,
            is_closed_pipe: false,
            is_of_journal: false,
        }
    }

    /// Adds a line below the sentence.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// From an error and the causes below it.
    pub fn unexpected(message: impl Into<String>, error: &dyn std::error::Error) -> Self {
        Self::caused(Kind::Unexpected, message, error)
    }

    /// Of a kind, from an error and the causes below it.
    pub fn caused(kind: Kind, message: impl Into<String>, error: &dyn std::error::Error) -> Self {
        let mut failure = Self::new(kind, message).with_detail(error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            failure = failure.with_detail(error.to_string());
            cause = error.source();
        }
        failure
    }

    /// No server answers at this address.
    pub fn no_server(server: &str) -> Self {
        Self::new(Kind::TryAgain, format!("no server answers at {server}"))
            .with_hint("start one with `mistap serve`, or name another with --server")
    }

    /// Whether whoever read the output wants no more of it, which is no failure.
    pub fn is_closed_pipe(&self) -> bool {
        self.is_closed_pipe
    }

    /// Says it also where nobody reads the output any more: something else is lost then.
    #[must_use]
    pub fn said_in_any_case(mut self) -> Self {
        self.is_closed_pipe = false;
        self
    }

    /// Whether the same may succeed later.
    pub fn is_worth_another_try(&self) -> bool {
        self.kind == Kind::TryAgain
    }

    /// Says that it is of the journal itself.
    #[must_use]
    pub fn of_journal(mut self, is_of_journal: bool) -> Self {
        self.is_of_journal = is_of_journal;
        self
    }

    /// Whether damage was found in the journal itself.
    pub fn is_of_damaged_journal(&self) -> bool {
        self.kind == Kind::Damage && self.is_of_journal
    }

    /// Adds the lines below the sentence of another.
    #[must_use]
    pub fn with_details_of(mut self, other: Self) -> Self {
        self.details.extend(other.details);
        self
    }

    /// What went wrong.
    #[cfg(test)]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.code())
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let (kind, hint) = advised(&status);
        let mut failure = match is_local(&status) {
            // Told by the libraries below, in words for those who write them.
            true => Self::new(kind, NO_ANSWER).with_detail(status.message()),
            false => Self::new(kind, flags::in_words(status.message())),
        };
        failure.hint = hint;
        if let Some(request) = status.get_details_bad_request() {
            failure.details = request
                .field_violations
                .into_iter()
                .map(|violation| flags::told(&violation.field, &violation.description))
                .collect();
        }
        failure
    }
}

/// What a refusal is to a script, and what to do about it: by its reason where another one has
/// the same code; to try again only where the server says when.
fn advised(status: &Status) -> (Kind, Option<String>) {
    if let Some(wait) = advice(status) {
        let hint = match wait.as_secs() {
            0 | 1 => "try again in a moment".to_owned(),
            seconds => format!("try again in {seconds} s"),
        };
        return (Kind::TryAgain, Some(hint));
    }
    if is_local(status) {
        let hint = "see whether the server still runs, and whether --server names it";
        return (Kind::TryAgain, Some(hint.to_owned()));
    }
    let info = status.get_details_error_info();
    let reason = info.map(|info| info.reason).unwrap_or_default();
    let (kind, hint) = match status.code() {
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => {
            (Kind::Refused, None)
        }
        Code::NotFound if reason == "NO_EDITION" => (
            Kind::NotFound,
            Some("`mistap edition list` has those that there are"),
        ),
        Code::NotFound if reason == "NO_CASE" => (
            Kind::NotFound,
            Some("`mistap cases list` has the case numbers"),
        ),
        Code::NotFound => (Kind::NotFound, Some("check the id and the secret")),
        Code::AlreadyExists if reason == "FEED_DIFFERS" => (
            Kind::Taken,
            Some("name another feed with --feed, or declare this one as it was declared before"),
        ),
        Code::AlreadyExists => (
            Kind::Taken,
            Some("leave out --id, and a new one is made for you"),
        ),
        // A bound that waiting does not move.
        Code::ResourceExhausted if !reason.is_empty() => (Kind::Refused, None),
        // What only whoever runs the server can mend.
        Code::Unavailable if !reason.is_empty() => (Kind::Unexpected, None),
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => {
            (Kind::TryAgain, None)
        }
        Code::Unauthenticated => (
            Kind::Refused,
            Some("say who you are with --token-file, or ask whoever runs the server for a token"),
        ),
        Code::PermissionDenied => (Kind::Refused, None),
        Code::Unimplemented => (
            Kind::Unexpected,
            Some("the server is older than this program, or no mistap"),
        ),
        _ => (Kind::Unexpected, None),
    };
    (kind, hint.map(str::to_owned))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            is_closed_pipe: error.kind() == io::ErrorKind::BrokenPipe,
            ..Self::unexpected("could not read or write", &error)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names of files, and what a server says, may hold anything.
        write!(f, "error: {}", without_controls(&self.message))?;
        for detail in &self.details {
            write!(f, "\n  {}", without_controls(detail))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {}", without_controls(hint))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use tonic_types::{ErrorDetails, FieldViolation};

    use super::*;

    #[test]
    fn refusal_names_every_field() {
        let details = ErrorDetails::with_bad_request(vec![
            FieldViolation::new("incident.stop", "must be at most 100 characters"),
            FieldViolation::new("incident.occurred_at", "must be given"),
        ]);
        let status =
            Status::with_error_details(Code::InvalidArgument, "2 fields are wrong", details);
        let failure = Failure::from(status);
        assert_eq!(failure.kind, Kind::Refused);
        assert_eq!(
            failure.to_string(),
            "error: 2 fields are wrong\n  --stop: must be at most 100 characters\n  \
             the time (--at, --hour or --day): must be given"
        );
    }

    #[test]
    fn what_a_server_says_or_a_file_is_called_moves_no_cursor() {
        let failure = Failure::from(Status::not_found("gone\u{1b}[2J\nerror: all is well"))
            .with_detail("a\u{9b}b")
            .with_hint("c\rd");
        assert_eq!(
            failure.to_string(),
            "error: gone [2J error: all is well\n  a b\nhint: c d"
        );
    }

    #[test]
    fn advice_is_by_reason_and_another_try_only_where_the_server_says_when() {
        let check = |code, reason: &str, wait_s: Option<u64>, kind: Kind, hint: Option<&str>| {
            let mut details = ErrorDetails::with_error_info(reason, "mistap", HashMap::new());
            if let Some(wait_s) = wait_s {
                details.set_retry_info(Some(Duration::from_secs(wait_s)));
            }
            let status = Status::with_error_details(code, "no", details);
            let failure = Failure::from(status);
            assert_eq!(failure.kind, kind, "{reason}");
            match hint {
                Some(hint) => assert!(failure.to_string().contains(hint), "{failure}"),
                None => assert_eq!(failure.hint, None, "{reason}"),
            }
        };
        let exhausted = Code::ResourceExhausted;
        check(exhausted, "BUSY", Some(1), Kind::TryAgain, Some("a moment"));
        let long = Some("try again in 90 s");
        check(exhausted, "RATE_LIMITED", Some(90), Kind::TryAgain, long);
        for reason in ["TOO_MANY_FEEDS", "TOO_MANY_OUTAGES", "MESSAGE_TOO_LARGE"] {
            check(exhausted, reason, None, Kind::Refused, None);
        }
        check(
            Code::Unavailable,
            "LIVE_FAILED",
            None,
            Kind::Unexpected,
            None,
        );
        let editions = Some("mistap edition list");
        check(Code::NotFound, "NO_EDITION", None, Kind::NotFound, editions);
        let cases = Some("mistap cases list");
        check(Code::NotFound, "NO_CASE", None, Kind::NotFound, cases);
        check(
            Code::NotFound,
            "NOT_FOUND",
            None,
            Kind::NotFound,
            Some("the secret"),
        );
        let feed = Some("--feed");
        check(Code::AlreadyExists, "FEED_DIFFERS", None, Kind::Taken, feed);
        check(
            Code::AlreadyExists,
            "ID_TAKEN",
            None,
            Kind::Taken,
            Some("--id"),
        );
    }

    #[test]
    fn every_kind_has_an_exit_code_of_its_own() {
        let kinds = [
            Kind::Unexpected,
            Kind::Refused,
            Kind::NotFound,
            Kind::Taken,
            Kind::TryAgain,
            Kind::Damage,
        ];
        let codes: std::collections::BTreeSet<_> = kinds.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), kinds.len());
        assert!(!codes.contains(&0) && !codes.contains(&2));
    }
}
