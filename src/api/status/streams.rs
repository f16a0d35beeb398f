//! Why streams are not opened, and why they end.

use tonic::Code;

use super::Problem;
use super::questions::{feeds_clash, too_many_rows, unknown_feed};
use super::quotas::{self, Quota};
use crate::api::convert::violation::{Path, Violations};
use crate::ledger::LedgerError;
use crate::live::log::LogError;
use crate::live::{Gone, NoPermit, TooMuchUnread, WatchError};

impl Problem {
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
                problem.of_quota(&quotas::STREAMS_OF_TOKEN)
            }
        }
    }

    /// There is no room for another large request.
    pub fn too_many_large(error: NoPermit) -> Self {
        let quota = match error {
            NoPermit::Total => return Self::busy(),
            NoPermit::Token => &quotas::LARGE_OF_TOKEN,
            NoPermit::Prefix => &quotas::LARGE_OF_PREFIX,
        };
        let message =
            "too many large requests are on their way; send fewer at once, or less in each";
        let code = Code::ResourceExhausted;
        let problem = Self::new(code, "TOO_MANY_LARGE_REQUESTS", message).retry();
        problem.of_quota(quota)
    }

    /// A stream's client does not take its results.
    pub fn untaken() -> Self {
        let message = "results were not taken; incidents without a result may have been \
                       recorded, and can be sent again safely";
        Self::new(Code::DeadlineExceeded, "UNTAKEN", message)
    }

    /// A message is not handed out, as too much waits; the stream can be resumed after the one
    /// before, if there was one.
    pub fn too_much_untaken(error: TooMuchUnread, resume_token: &[u8]) -> Self {
        let quota = match error {
            TooMuchUnread::Token => &quotas::UNTAKEN_OF_TOKEN,
            TooMuchUnread::Prefix => &quotas::UNTAKEN_OF_PREFIX,
        };
        let message = "too much waits for your watchers, who do not take it; try again later";
        let problem = Self::new(Code::ResourceExhausted, "TOO_MUCH_UNTAKEN", message).retry();
        Self {
            resume_token: (!resume_token.is_empty()).then(|| resume_token.into()),
            ..problem.of_quota(quota)
        }
    }
}

impl From<NoPermit> for Problem {
    fn from(error: NoPermit) -> Self {
        let (message, quota) = match error {
            NoPermit::Total => ("too many watchers; try again later", &quotas::STREAMS),
            NoPermit::Token => (
                "too many watchers with this token; close some, or try again later",
                &quotas::STREAMS_OF_TOKEN,
            ),
            NoPermit::Prefix => (
                "too many watchers from this address or its network; close some, or try again later",
                &quotas::STREAMS_OF_PREFIX,
            ),
        };
        let problem = Self::new(Code::ResourceExhausted, "TOO_MANY_WATCHERS", message).retry();
        problem.of_quota(quota)
    }
}

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Full => {
                let message = "too many questions are watched; try again later";
                let code = Code::ResourceExhausted;
                let problem = Self::new(code, "TOO_MANY_WATCHERS", message).retry();
                problem.of_quota(&quotas::QUESTIONS)
            }
            WatchError::TooManyQuestions => too_many_questions(
                "64 different questions are watched with this token already; close some, or try \
                 again later",
                &quotas::QUESTIONS_OF_TOKEN,
            ),
            WatchError::TooManyRated => too_many_questions(
                "8 different questions with rates are watched with this token already; close \
                 some, ask without rates, or try again later",
                &quotas::RATED_QUESTIONS_OF_TOKEN,
            ),
            WatchError::TooManyRows => too_many_rows("by"),
            WatchError::TooManyRowsOfToken => too_many_questions(
                "too many rows are watched with this token together; close some questions, or try \
                 again later",
                &quotas::ROWS_OF_TOKEN,
            ),
            WatchError::Uncountable => {
                let message = "this question could not be counted; the server's log says where it \
                               failed; try again later";
                Self::new(Code::Unavailable, "COUNTING_FAILED", message).retry()
            }
            WatchError::Stopping => Self::stopping(),
            // The log has the cause from where it happened.
            WatchError::Failed => {
                let message = "counts cannot be watched until the service is started again";
                Self::new(Code::Unavailable, "LIVE_FAILED", message)
            }
            WatchError::UnknownFeed { place } => {
                let rates = Path::root("rates");
                unknown_feed(rates.field("feeds"), place)
            }
            WatchError::FeedsClash { place, other } => {
                let rates = Path::root("rates");
                feeds_clash(rates.field("feeds"), place, other)
            }
            WatchError::StoreOpening => LedgerError::StoreOpening.into(),
            WatchError::StoreFailed => LedgerError::StoreFailed.into(),
            WatchError::Token => not_of_ours(),
            WatchError::Gone { why, oldest_token } => gone(why, oldest_token),
        }
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Token => not_of_ours(),
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

/// A token to resume with that no stream gave.
fn not_of_ours() -> Problem {
    let rule = "must come from an earlier message";
    Violations::one(Path::root("resume_token"), rule).into()
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

fn too_many_questions(message: &str, quota: &'static Quota) -> Problem {
    let problem = Problem::new(Code::ResourceExhausted, "TOO_MANY_QUESTIONS", message).retry();
    problem.of_quota(quota)
}
