//! The one place that turns errors into gRPC codes. The caller learns what to do; the log
//! gets the cause.
//!
//! Every variant has its own arm, so that a new error does not compile until someone
//! chooses its code.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::convert::taps::differences;
use super::convert::to_duration;
use super::convert::violation::{Path, Violation, Violations};
use super::pb::v1 as pb;
use crate::auth::{Limited, Principal, Whose};
use crate::domain::limits::RETRY_AFTER_MS;
use crate::domain::{LocalDay, TapFeed, Window};
use crate::edition::library::EditionError;
use crate::ingest::{CaseError, GetError, SubmitError, TapsError};
use crate::ledger::LedgerError;
use crate::live::log::LogError;
use crate::live::{Gone, NoPermit, TooMuchUnread, WatchError};
use crate::query::QueryError;

/// Who speaks, in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "mistap";
/// The rule about names of feeds.
const UNKNOWN_FEED: &str = "must be the name of a feed that told tap counts";
const RETRY_AFTER: Duration = Duration::from_millis(RETRY_AFTER_MS);

/// Why a call, or one item of a call, is refused, as its caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    reason: &'static str,
    message: String,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    /// Where the caller can go on, for streams.
    resume_token: Option<Box<[u8]>>,
    /// The bound that is reached, if it is one of the caller's.
    quota: Option<&'static Quota>,
}

/// A bound that a caller has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quota {
    /// Whose bound.
    subject: &'static str,
    /// What it bounds.
    description: &'static str,
}

impl Problem {
    fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            violations: Vec::new(),
            retry_after: None,
            resume_token: None,
            quota: None,
        }
    }

    fn retry(self) -> Self {
        Self {
            retry_after: Some(RETRY_AFTER),
            ..self
        }
    }

    /// Something broke that is not the caller's fault. The cause belongs in the log.
    pub fn internal() -> Self {
        Self::new(Code::Internal, "INTERNAL", "internal error")
    }

    /// The service stops; another try finds it, or another one.
    pub fn stopping() -> Self {
        Self::new(Code::Unavailable, "STOPPING", "shutting down; try again").retry()
    }

    /// A bound of the service is reached.
    pub fn busy() -> Self {
        Self::new(Code::ResourceExhausted, "BUSY", "busy; try again later").retry()
    }

    /// Whether it is over soon, so that a stream waits for it instead of ending.
    pub fn is_soon_over(&self) -> bool {
        *self == Self::busy() || *self == LedgerError::StoreOpening.into()
    }

    /// There is no room for a stream of reports or tap counts.
    pub fn no_room(error: NoPermit) -> Self {
        match error {
            NoPermit::Total => Self::busy(),
            // By prefix these streams are not bounded.
            NoPermit::Token | NoPermit::Prefix => {
                let message = "too many streams are open with this token; close some, or send \
                               more in each";
                let code = Code::ResourceExhausted;
                let problem = Self::new(code, "TOO_MANY_STREAMS", message).retry();
                Self {
                    quota: Some(&Quota {
                        subject: "token",
                        description: "open streams with one token",
                    }),
                    ..problem
                }
            }
        }
    }

    /// So many outages were told that no more are taken.
    pub fn too_many_outages() -> Self {
        let message = "no more declarations and withdrawals of outages are taken";
        Self::new(Code::ResourceExhausted, "TOO_MANY_OUTAGES", message)
    }

    /// The request is larger than the service takes. Trying again does not help.
    pub fn too_large() -> Self {
        let message = "the message is larger than 4 MiB";
        Self::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message)
    }

    /// The request's bytes are no message of its type.
    pub fn malformed() -> Self {
        let message = "the request is not a valid message of its type";
        Self::new(Code::InvalidArgument, "MALFORMED", message)
    }

    /// The call took too long.
    pub fn too_late() -> Self {
        let message = "the call took too long; a report may have been recorded, and can \
                       be sent again safely";
        Self::new(Code::DeadlineExceeded, "TOO_LATE", message)
    }

    /// A stream's client does not take its results.
    pub fn untaken() -> Self {
        let message = "results were not taken; incidents without a result may have been \
                       recorded, and can be sent again safely";
        Self::new(Code::DeadlineExceeded, "UNTAKEN", message)
    }

    /// Who calls presents a token that is none.
    pub fn unknown_token() -> Self {
        let message = "the token is not known, or was revoked";
        Self::new(Code::Unauthenticated, "TOKEN_UNKNOWN", message)
    }

    /// Who was let in is let in no more: its token was revoked, or it came without one before
    /// tokens were asked for.
    pub fn let_in_no_more(caller: &Principal) -> Self {
        match caller.token() {
            Some(_) => Self::unknown_token(),
            None => Self::no_token(),
        }
    }

    /// Who calls presents no token, and not everybody may call the method.
    pub fn no_token() -> Self {
        let message = "not everybody may call this: send `authorization: Bearer` and a token";
        Self::new(Code::Unauthenticated, "NO_TOKEN", message)
    }

    /// Who calls has a token of a role that may not call the method.
    pub fn not_for_role() -> Self {
        let message = "tokens of this role may not call this";
        Self::new(Code::PermissionDenied, "ROLE", message)
    }

    /// Who calls may call the method, but not with these fields.
    pub fn not_allowed(violations: Violations) -> Self {
        let message = "the token does not allow this; the fields tell what it allows";
        Self {
            violations: violations.into_told(),
            ..Self::new(Code::PermissionDenied, "NOT_ALLOWED", message)
        }
    }

    /// A name of a feed that somebody else declared otherwise. Tells nothing of theirs.
    pub fn feed_taken() -> Self {
        let message = "the feed was declared otherwise before; choose another feed_id";
        let rule = "must not be the name of another feed";
        let violations = Violations::one(Path::root("feed").field("feed_id"), rule);
        Self {
            violations: violations.into_told(),
            ..Self::new(Code::AlreadyExists, "FEED_DIFFERS", message)
        }
    }

    /// Tap counts that come with another declaration of their feed than the one before.
    pub fn feed_differs(recorded: &TapFeed, declared: &TapFeed) -> Self {
        let message = "the feed was declared otherwise before; choose another feed_id";
        let violations = differences(Path::root("feed"), recorded, declared);
        Self {
            violations: violations.into_told(),
            ..Self::new(Code::AlreadyExists, "FEED_DIFFERS", message)
        }
    }

    /// Why tap counts that came with a declaration are not recorded.
    pub fn of_taps(error: TapsError, declared: &TapFeed) -> Self {
        match error {
            TapsError::Submit(error) => error.into(),
            TapsError::StoreOpening => LedgerError::StoreOpening.into(),
            TapsError::FeedDiffers { recorded } => Self::feed_differs(&recorded, declared),
            TapsError::TooManyFeeds => {
                let message = "there are 256 feeds of tap counts already";
                Self::new(Code::ResourceExhausted, "TOO_MANY_FEEDS", message)
            }
            TapsError::TooManyScopes => {
                let message = "there are more lines or stops than can be told apart";
                Self::new(Code::ResourceExhausted, "TOO_MANY_SCOPES", message)
            }
        }
    }

    /// Why there is no ranking.
    pub fn of_ranking(error: QueryError, sees_places: bool) -> Self {
        match error {
            QueryError::TooManyRows => {
                let rule = "has too many scopes or days; ask for a shorter window or fewer of them";
                Self {
                    reason: "TOO_MANY_ROWS",
                    ..Violations::one(Path::root("filter"), rule).into()
                }
            }
            QueryError::UnknownFeed { place } => {
                Violations::one(Path::root("feeds").at(place), UNKNOWN_FEED).into()
            }
            QueryError::FeedsClash { place, other } => {
                feeds_clash(Path::root("feeds"), place, other)
            }
            other => Self::of_window(other, "filter", sees_places),
        }
    }

    /// Why there is no answer. Whoever is not told places in the journal is not told which
    /// there are.
    pub fn of_question(error: QueryError, sees_places: bool) -> Self {
        match error {
            QueryError::OutOfRange { .. } if !sees_places => {
                let message = "as_of_position is not within what is kept";
                Self::new(Code::OutOfRange, "POSITION_OUT_OF_RANGE", message)
            }
            other => other.into(),
        }
    }

    /// Why there is no answer to a request whose window stands by itself, where `rows` is what
    /// there can be too many of.
    pub fn of_window(error: QueryError, rows: &'static str, sees_places: bool) -> Self {
        match error {
            QueryError::Ended { first } => ended(["window"], first),
            QueryError::TooManyRows => too_many_rows(rows),
            other => Self::of_question(other, sees_places),
        }
    }

    /// Why there is no comparison of two windows.
    pub fn of_comparison(error: QueryError, windows: &[Window; 2], sees_places: bool) -> Self {
        match error {
            QueryError::Ended { first } => {
                let named = windows.iter().zip(["window", "with_window"]);
                let too_early = named.filter(|(window, _)| window.start() < first.start());
                ended(too_early.map(|(_, field)| field), first)
            }
            other => Self::of_window(other, "filter", sees_places),
        }
    }

    /// There is no edition of the month.
    pub fn no_edition() -> Self {
        let message = "there is no edition of this month; ListEditions has those that there are";
        Self::new(Code::NotFound, "NO_EDITION", message)
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// As the result of one item of many.
    pub fn into_refusal(self) -> pb::Refusal {
        let to_violation = |one: Violation| pb::Violation {
            field: one.field,
            description: one.rule,
        };
        pb::Refusal {
            code: self.code as i32,
            message: self.message,
            violations: self.violations.into_iter().map(to_violation).collect(),
            retry_after: self.retry_after.map(to_duration),
        }
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let token = problem.resume_token.as_deref();
        let token = token.map(base16ct::lower::encode_string);
        let metadata = token.map(|token| ("resume_token".to_owned(), token));
        let metadata: HashMap<_, _> = metadata.into_iter().collect();
        let mut details = ErrorDetails::with_error_info(problem.reason, DOMAIN, metadata);
        if let Some(quota) = problem.quota {
            details.add_quota_failure_violation(quota.subject, quota.description);
        }
        if !problem.violations.is_empty() {
            let to_violation = |one: Violation| FieldViolation::new(one.field, one.rule);
            let violations: Vec<_> = problem.violations.into_iter().map(to_violation).collect();
            details.set_bad_request(violations);
        }
        if problem.retry_after.is_some() {
            details.set_retry_info(problem.retry_after);
        }
        Status::with_error_details(problem.code, problem.message, details)
    }
}

impl From<Violations> for Problem {
    fn from(violations: Violations) -> Self {
        let count = violations.count();
        let told = violations.into_told();
        let message = match count {
            1 => "1 field breaks a rule".to_owned(),
            count if count == told.len() => format!("{count} fields break a rule"),
            count => format!(
                "{count} fields break a rule; the first {} are told",
                told.len()
            ),
        };
        Self {
            violations: told,
            ..Self::new(Code::InvalidArgument, "INVALID", message)
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Busy => Self::busy(),
            SubmitError::Limited(limited) => limited.into(),
            SubmitError::Stopping => Self::stopping(),
            SubmitError::Conflict => {
                let message = "the id is taken by a report with other content or another secret";
                Self::new(Code::AlreadyExists, "ID_TAKEN", message)
            }
            SubmitError::DiskReserve => {
                let message = "the disk is nearly full; try again later";
                Self::new(Code::ResourceExhausted, "DISK_RESERVE", message).retry()
            }
            SubmitError::ClockUnsure => {
                let message = "the server has just started and waits until its clock can be \
                               believed, which takes some minutes; try again later";
                Self::new(Code::Unavailable, "CLOCK_UNSURE", message).retry()
            }
            // The log has both from where they happened. A client that keeps its report
            // and tries again loses nothing.
            SubmitError::Poisoned | SubmitError::Keys => {
                let message = "reports cannot be stored now; try again later";
                Self::new(Code::Unavailable, "CANNOT_STORE", message).retry()
            }
        }
    }
}

impl From<Limited> for Problem {
    fn from(limited: Limited) -> Self {
        let quota = match limited.whose {
            Whose::Address => &Quota {
                subject: "address",
                description: "calls without a token from one IPv4 address or IPv6 /64",
            },
            Whose::Network => &Quota {
                subject: "network",
                description: "calls without a token from one IPv4 /24 or /16, or IPv6 /48 or /32",
            },
            Whose::Token => &Quota {
                subject: "token",
                description: "calls and observed incidents with one token",
            },
            Whose::Reporter => &Quota {
                subject: "reporter",
                description: "reports of one installation, or of one card from one address prefix",
            },
        };
        let message = "too many calls or reports; try again later";
        Self {
            retry_after: Some(limited.retry_after),
            quota: Some(quota),
            ..Self::new(Code::ResourceExhausted, "RATE_LIMITED", message)
        }
    }
}

impl From<GetError> for Problem {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => {
                let message = "no such incident, or another secret";
                Self::new(Code::NotFound, "NOT_FOUND", message)
            }
            GetError::Busy => Self::busy(),
            GetError::Journal(error) => {
                tracing::error!(%error, "incident cannot be read");
                Self::internal()
            }
        }
    }
}

impl From<CaseError> for Problem {
    fn from(error: CaseError) -> Self {
        let refused = |reason, message| Self::new(Code::FailedPrecondition, reason, message);
        match error {
            CaseError::Get(error) => error.into(),
            CaseError::Submit(error) => error.into(),
            CaseError::NoStaff => refused("NO_STAFF", "the report says that no staff were there"),
            CaseError::Gone => refused("GONE", "the report was withdrawn or erased"),
            CaseError::Full => refused("FULL", "nothing more can be told about this report"),
            CaseError::Over => refused("WAY_BACK_OVER", &CaseError::Over.to_string()),
            CaseError::NoOperator => refused(
                "NO_OPERATOR",
                "it is not known which operator the report is about",
            ),
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::StoreOpening => {
                let message = "the store is still opening; try again later";
                Self::new(Code::Unavailable, "STORE_OPENING", message).retry()
            }
            LedgerError::Store(error) => {
                tracing::error!(%error, "store cannot be read");
                Self::internal()
            }
            // The log has the cause from where it happened.
            LedgerError::StoreFailed => {
                let message = "the store failed; only what tallies hold can be answered";
                Self::new(Code::Unavailable, "STORE_FAILED", message)
            }
            LedgerError::Checkpoint(error) => {
                tracing::error!(%error, "checkpoint cannot be written");
                Self::internal()
            }
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::PageToken => {
                let rule = "must come from the answer before, with the same question and order";
                Violations::one(Path::root("page_token"), rule).into()
            }
            QueryError::TooManyRows => too_many_rows("question"),
            QueryError::UnknownFeed { place } => {
                let at = Path::root("rates");
                Violations::one(at.field("feeds").at(place), UNKNOWN_FEED).into()
            }
            QueryError::FeedsClash { place, other } => {
                let at = Path::root("rates");
                feeds_clash(at.field("feeds"), place, other)
            }
            QueryError::Busy => Self::busy(),
            QueryError::OutOfRange { first, last } => {
                let message = format!("as_of_position must be {first} to {last}");
                Self::new(Code::OutOfRange, "POSITION_OUT_OF_RANGE", message)
            }
            QueryError::Ended { first } => {
                let question = Path::root("question");
                ended_at([question.field("window")], first)
            }
            QueryError::Abandoned => {
                Self::new(Code::Cancelled, "ABANDONED", "nobody waits for the answer")
            }
            QueryError::Ledger(error) => error.into(),
            QueryError::Journal(error) => {
                tracing::error!(%error, "journal not read for a question");
                Self::internal()
            }
        }
    }
}

fn ended(fields: impl IntoIterator<Item = &'static str>, first: LocalDay) -> Problem {
    ended_at(fields.into_iter().map(Path::root), first)
}

/// Windows that begin too early.
fn ended_at<'a>(windows: impl IntoIterator<Item = Path<'a>>, first: LocalDay) -> Problem {
    let mut violations = Violations::default();
    for window in windows {
        violations.add(window, ended_rule(first));
    }
    Problem {
        reason: "INCIDENTS_ENDED",
        ..violations.into()
    }
}

fn ended_rule(first: LocalDay) -> String {
    format!(
        "must begin on {first} or later: incidents of before are kept no longer one by one, and \
         this is not among what was counted of them"
    )
}

impl From<EditionError> for Problem {
    fn from(error: EditionError) -> Self {
        match error {
            EditionError::Journal(_)
            | EditionError::Io { .. }
            | EditionError::Damaged { .. }
            | EditionError::Lost { .. }
            | EditionError::Unnoted { .. }
            | EditionError::Format(_) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "edition cannot be read");
                Self::internal()
            }
        }
    }
}

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Full => {
                let message = "too many questions are watched; try again later";
                let quota = &Quota {
                    subject: "service",
                    description: "different questions watched at once",
                };
                Self {
                    quota: Some(quota),
                    ..Self::new(Code::ResourceExhausted, "TOO_MANY_WATCHERS", message).retry()
                }
            }
            WatchError::TooManyQuestions => too_many_questions(
                "64 different questions are watched with this token already; close some, or try \
                 again later",
                &Quota {
                    subject: "token",
                    description: "different questions watched with one token",
                },
            ),
            WatchError::TooManyRated => too_many_questions(
                "8 different questions with rates are watched with this token already; close \
                 some, ask without rates, or try again later",
                &Quota {
                    subject: "token",
                    description: "different questions with rates watched with one token",
                },
            ),
            WatchError::TooManyRows => too_many_rows("by"),
            WatchError::TooManyRowsOfToken => too_many_questions(
                "too many rows are watched with this token together; close some questions, or try \
                 again later",
                &Quota {
                    subject: "token",
                    description: "rows of all questions watched with one token",
                },
            ),
            WatchError::Stopping => Self::stopping(),
            // The log has the cause from where it happened.
            WatchError::Failed => {
                let message = "counts cannot be watched until the service is started again";
                Self::new(Code::Unavailable, "LIVE_FAILED", message)
            }
            WatchError::UnknownFeed { place } => {
                let at = Path::root("rates");
                Violations::one(at.field("feeds").at(place), UNKNOWN_FEED).into()
            }
            WatchError::FeedsClash { place, other } => {
                let at = Path::root("rates");
                feeds_clash(at.field("feeds"), place, other)
            }
            WatchError::StoreOpening => LedgerError::StoreOpening.into(),
            WatchError::StoreFailed => LedgerError::StoreFailed.into(),
            WatchError::Token => {
                let rule = "must come from an earlier message";
                Violations::one(Path::root("resume_token"), rule).into()
            }
            WatchError::Gone { why, oldest_token } => gone(why, oldest_token),
        }
    }
}

/// Of named feeds two cannot be added up: those at these places of the list.
fn feeds_clash(list: Path<'_>, place: usize, other: usize) -> Problem {
    let first = list.at(other);
    let rule = format!(
        "cannot be added up with {first}: both tell the same taps, or days that begin at \
         different hours; name one of the two"
    );
    Violations::one(list.at(place), rule).into()
}

fn too_many_questions(message: &str, quota: &'static Quota) -> Problem {
    let problem = Problem::new(Code::ResourceExhausted, "TOO_MANY_QUESTIONS", message).retry();
    Problem {
        quota: Some(quota),
        ..problem
    }
}

impl From<NoPermit> for Problem {
    fn from(error: NoPermit) -> Self {
        let (message, quota) = match error {
            NoPermit::Total => (
                "too many watchers; try again later",
                &Quota {
                    subject: "service",
                    description: "open streams in total",
                },
            ),
            NoPermit::Token => (
                "too many watchers with this token; close some, or try again later",
                &Quota {
                    subject: "token",
                    description: "open streams with one token",
                },
            ),
            NoPermit::Prefix => (
                "too many watchers from this address or its network; close some, or try again later",
                &Quota {
                    subject: "address",
                    description: "open streams from one address, or from a prefix that it lies in",
                },
            ),
        };
        let problem = Self::new(Code::ResourceExhausted, "TOO_MANY_WATCHERS", message).retry();
        Self {
            quota: Some(quota),
            ..problem
        }
    }
}

impl Problem {
    /// A message is not handed out, as too much waits; the stream can be resumed after the one
    /// before, if there was one.
    pub fn too_much_untaken(error: TooMuchUnread, resume_token: &[u8]) -> Self {
        let quota = match error {
            TooMuchUnread::Token => &Quota {
                subject: "token",
                description: "bytes of whole states that clients with one token have not taken",
            },
            TooMuchUnread::Prefix => &Quota {
                subject: "address",
                description: "bytes of whole states that clients of one address, or of a prefix \
                              that it lies in, have not taken",
            },
        };
        let message = "too much waits for your watchers, who do not take it; try again later";
        let problem = Self::new(Code::ResourceExhausted, "TOO_MUCH_UNTAKEN", message).retry();
        Self {
            quota: Some(quota),
            resume_token: (!resume_token.is_empty()).then(|| resume_token.into()),
            ..problem
        }
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Token => {
                let rule = "must come from an earlier message";
                Violations::one(Path::root("resume_token"), rule).into()
            }
            LogError::Gone { why, oldest_token } => gone(why, oldest_token),
            LogError::Lagged { resume_token } => {
                let message = "the stream was read too slowly; resume with the token";
                Self {
                    resume_token: Some(resume_token.into()),
                    ..Self::new(Code::ResourceExhausted, "WATCHER_LAGGED", message).retry()
                }
            }
            LogError::Stopping => Self::stopping(),
            // The log has the cause from where it happened.
            LogError::Failed => {
                let message = "incidents cannot be watched now; try again later";
                Self::new(Code::Unavailable, "LOG_FAILED", message).retry()
            }
        }
    }
}

/// A token is no place to begin; the other one is.
fn gone(why: Gone, oldest_token: Vec<u8>) -> Problem {
    let (reason, message) = match why {
        Gone::OtherJournal => (
            "TOKEN_OF_OTHER_JOURNAL",
            "the resume token is of another record, or of before it was restored; begin anew",
        ),
        Gone::TooOld => (
            "TOKEN_TOO_OLD",
            "what came next is kept no longer; begin with the oldest that there is",
        ),
        Gone::Ahead => (
            "TOKEN_AHEAD",
            "the record does not reach as far as the resume token; begin anew",
        ),
    };
    Problem {
        resume_token: Some(oldest_token.into()),
        ..Problem::new(Code::OutOfRange, reason, message)
    }
}

fn too_many_rows(field: &'static str) -> Problem {
    let rule = "has too many rows; ask for fewer dimensions, a shorter window or a narrower filter";
    Problem {
        reason: "TOO_MANY_ROWS",
        ..Violations::one(Path::root(field), rule).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits::{WATCHED_QUESTIONS_PER_TOKEN_MAX, WATCHED_RATES_PER_TOKEN_MAX};

    /// Code, reason, and whether another try is worth it, as a client sees them.
    fn told(problem: impl Into<Problem>) -> (Code, String, bool) {
        let status = Status::from(problem.into());
        let details = status.get_error_details();
        let info = details.error_info().expect("always there");
        assert_eq!(info.domain, DOMAIN);
        let is_retry = details.retry_info().is_some();
        (status.code(), info.reason.clone(), is_retry)
    }

    #[test]
    fn each_error_has_its_code_reason_and_advice() {
        let check = |problem: Problem, code, reason: &str, is_retry| {
            assert_eq!(told(problem), (code, reason.to_owned(), is_retry));
        };
        let exhausted = Code::ResourceExhausted;
        let invalid = Code::InvalidArgument;
        check(SubmitError::Busy.into(), exhausted, "BUSY", true);
        check(
            SubmitError::Stopping.into(),
            Code::Unavailable,
            "STOPPING",
            true,
        );
        check(
            SubmitError::Conflict.into(),
            Code::AlreadyExists,
            "ID_TAKEN",
            false,
        );
        check(
            SubmitError::DiskReserve.into(),
            exhausted,
            "DISK_RESERVE",
            true,
        );
        check(
            SubmitError::ClockUnsure.into(),
            Code::Unavailable,
            "CLOCK_UNSURE",
            true,
        );
        check(
            SubmitError::Poisoned.into(),
            Code::Unavailable,
            "CANNOT_STORE",
            true,
        );
        check(
            SubmitError::Keys.into(),
            Code::Unavailable,
            "CANNOT_STORE",
            true,
        );
        check(
            GetError::NotFound.into(),
            Code::NotFound,
            "NOT_FOUND",
            false,
        );
        let refused = Code::FailedPrecondition;
        check(CaseError::NoStaff.into(), refused, "NO_STAFF", false);
        check(CaseError::Gone.into(), refused, "GONE", false);
        check(CaseError::Full.into(), refused, "FULL", false);
        check(CaseError::Over.into(), refused, "WAY_BACK_OVER", false);
        check(CaseError::NoOperator.into(), refused, "NO_OPERATOR", false);
        check(
            CaseError::Get(GetError::NotFound).into(),
            Code::NotFound,
            "NOT_FOUND",
            false,
        );
        let opening = LedgerError::StoreOpening;
        check(opening.into(), Code::Unavailable, "STORE_OPENING", true);
        check(QueryError::PageToken.into(), invalid, "INVALID", false);
        check(
            QueryError::TooManyRows.into(),
            invalid,
            "TOO_MANY_ROWS",
            false,
        );
        check(QueryError::Busy.into(), exhausted, "BUSY", true);
        check(
            WatchError::Full.into(),
            exhausted,
            "TOO_MANY_WATCHERS",
            true,
        );
        for error in [
            WatchError::TooManyQuestions,
            WatchError::TooManyRated,
            WatchError::TooManyRowsOfToken,
        ] {
            check(error.into(), exhausted, "TOO_MANY_QUESTIONS", true);
        }
        check(
            WatchError::TooManyRows.into(),
            invalid,
            "TOO_MANY_ROWS",
            false,
        );
        check(
            WatchError::Stopping.into(),
            Code::Unavailable,
            "STOPPING",
            true,
        );
        check(
            WatchError::Failed.into(),
            Code::Unavailable,
            "LIVE_FAILED",
            false,
        );
        let gone = |why| LogError::Gone {
            why,
            oldest_token: vec![2],
        };
        let range = Code::OutOfRange;
        check(
            gone(Gone::OtherJournal).into(),
            range,
            "TOKEN_OF_OTHER_JOURNAL",
            false,
        );
        check(gone(Gone::TooOld).into(), range, "TOKEN_TOO_OLD", false);
        check(gone(Gone::Ahead).into(), range, "TOKEN_AHEAD", false);
        check(LogError::Token.into(), invalid, "INVALID", false);
        check(
            LogError::Stopping.into(),
            Code::Unavailable,
            "STOPPING",
            true,
        );
        check(
            LogError::Failed.into(),
            Code::Unavailable,
            "LOG_FAILED",
            true,
        );
        check(NoPermit::Total.into(), exhausted, "TOO_MANY_WATCHERS", true);
        check(
            Problem::too_much_untaken(TooMuchUnread::Token, b"after"),
            exhausted,
            "TOO_MUCH_UNTAKEN",
            true,
        );
        check(Problem::untaken(), Code::DeadlineExceeded, "UNTAKEN", false);
        check(WatchError::Token.into(), invalid, "INVALID", false);
        let unknown = WatchError::UnknownFeed { place: 1 };
        check(unknown.into(), invalid, "INVALID", false);
        let clash = WatchError::FeedsClash { place: 2, other: 0 };
        check(clash.into(), invalid, "INVALID", false);
        check(
            WatchError::StoreOpening.into(),
            Code::Unavailable,
            "STORE_OPENING",
            true,
        );
        let gone = WatchError::Gone {
            why: Gone::TooOld,
            oldest_token: vec![2],
        };
        check(gone.into(), range, "TOKEN_TOO_OLD", false);
        check(Problem::internal(), Code::Internal, "INTERNAL", false);
        check(Problem::too_large(), exhausted, "MESSAGE_TOO_LARGE", false);
        check(Problem::malformed(), invalid, "MALFORMED", false);
        check(
            Problem::too_late(),
            Code::DeadlineExceeded,
            "TOO_LATE",
            false,
        );
    }

    /// The fields that a refused question names.
    fn fields(problem: Problem) -> Vec<String> {
        let told = problem.violations.into_iter();
        told.map(|one| one.field).collect()
    }

    #[test]
    fn refused_comparison_names_the_windows_that_begin_too_early() {
        let first = LocalDay::parse("2026-10-01").expect("a day");
        let day = |shift: i32| LocalDay(first.0 + shift).window();
        let check = |shifts: [i32; 2], expected: &[&str]| {
            let error = QueryError::Ended { first };
            let problem = Problem::of_comparison(error, &shifts.map(day), true);
            assert_eq!(told(problem.clone()).1, "INCIDENTS_ENDED");
            assert_eq!(fields(problem), expected);
        };
        check([-1, 0], &["window"]);
        check([1, -1], &["with_window"]);
        check([-2, -1], &["window", "with_window"]);
        let error = QueryError::Ended { first };
        assert_eq!(
            fields(Problem::of_window(error, "filter", true)),
            ["window"]
        );
        let error = QueryError::Ended { first };
        assert_eq!(fields(error.into()), ["question.window"]);
    }

    #[test]
    fn too_many_rows_are_told_of_a_field_that_the_request_has() {
        let windows = [LocalDay(20_000).window(), LocalDay(20_001).window()];
        let comparison = Problem::of_comparison(QueryError::TooManyRows, &windows, true);
        let staff = Problem::of_window(QueryError::TooManyRows, "filter", true);
        let times = Problem::of_window(QueryError::TooManyRows, "operators", true);
        for (problem, field) in [
            (comparison, "filter"),
            (staff, "filter"),
            (times, "operators"),
            (QueryError::TooManyRows.into(), "question"),
        ] {
            assert_eq!(told(problem.clone()).1, "TOO_MANY_ROWS");
            assert_eq!(fields(problem), [field]);
        }
    }

    #[test]
    fn watcher_that_is_ended_is_told_where_to_resume() {
        let resume_token = vec![2, 0, 255];
        let lagged = Problem::from(LogError::Lagged { resume_token });
        let details = Status::from(lagged).get_error_details();
        let info = details.error_info().expect("always there");
        assert_eq!(info.reason, "WATCHER_LAGGED");
        assert_eq!(info.metadata["resume_token"], "0200ff");
        assert!(details.retry_info().is_some());
    }

    #[test]
    fn bound_of_streams_is_told_as_the_quota_of_whom_it_is_for() {
        let check = |problem: Problem, subject: &str| {
            let status = Status::from(problem);
            let details = status.get_error_details();
            let quota = details.quota_failure().expect("a quota");
            assert_eq!(quota.violations[0].subject, subject);
            assert!(details.retry_info().is_some());
        };
        for (error, bound) in [
            (
                WatchError::TooManyQuestions,
                WATCHED_QUESTIONS_PER_TOKEN_MAX,
            ),
            (WatchError::TooManyRated, WATCHED_RATES_PER_TOKEN_MAX),
        ] {
            let status = Status::from(Problem::from(error));
            let details = status.get_error_details();
            let quota = details.quota_failure().expect("a quota");
            assert_eq!(quota.violations[0].subject, "token");
            let begin = format!("{bound} different questions ");
            assert!(status.message().starts_with(&begin), "{status:?}");
        }
        check(WatchError::Full.into(), "service");
        check(WatchError::TooManyRowsOfToken.into(), "token");
        check(NoPermit::Total.into(), "service");
        check(NoPermit::Token.into(), "token");
        check(NoPermit::Prefix.into(), "address");
        let untaken = |error| Problem::too_much_untaken(error, b"");
        check(untaken(TooMuchUnread::Token), "token");
        check(untaken(TooMuchUnread::Prefix), "address");
    }

    #[test]
    fn violations_travel_with_their_paths_in_both_forms() {
        let mut violations = Violations::one(Path::root("a"), "must be short");
        violations.add(Path::root("b").at(1), "must not come twice");
        let problem = Problem::from(violations);
        let refusal = problem.clone().into_refusal();
        assert_eq!(refusal.code, Code::InvalidArgument as i32);
        assert_eq!(refusal.violations[1].field, "b[1]");
        let status = Status::from(problem);
        let details = status.get_error_details();
        let told = &details.bad_request().expect("violations").field_violations;
        assert_eq!(told[0].field, "a");
        assert_eq!(told[1].description, "must not come twice");
    }

    #[test]
    fn most_violations_that_can_be_told_fit_a_header() {
        const HEADER_BYTES_MAX: usize = 8 * 1024;
        let mut violations = Violations::default();
        let incident = Path::root("incidents").at(999);
        for index in 0..10_000 {
            let claim = incident.field("others_got_through").at(index);
            violations.add(claim, "must be a known value of OthersGotThrough");
        }
        let status = Status::from(Problem::from(violations));
        let base64_bytes = status.details().len().div_ceil(3) * 4;
        assert!(base64_bytes < HEADER_BYTES_MAX, "{base64_bytes}");
        assert!(status.message().contains("10000"));
    }
}
