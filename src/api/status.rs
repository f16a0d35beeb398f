//! The one place that turns errors into gRPC codes. The caller learns what to do; the log
//! gets the cause.
//!
//! Here is what a problem is, and how it is told; the errors are in `callers`, `reports`,
//! `questions` and `streams`. Every variant has its own arm, so that a new error does not compile
//! until someone chooses its code.

mod callers;
mod questions;
mod quotas;
mod reports;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use self::quotas::Quota;
use super::convert::to_duration;
use super::convert::violation::{Violation, Violations};
use super::pb::v1 as pb;
use crate::domain::limits::RETRY_AFTER_MS;
use crate::ledger::LedgerError;

/// Who speaks, in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "mistap";
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

    fn of_quota(self, quota: &'static Quota) -> Self {
        Self {
            quota: Some(quota),
            ..self
        }
    }

    /// Fields that break a rule whose reason has a name of its own.
    fn of_fields(reason: &'static str, violations: Violations) -> Self {
        Self {
            reason,
            ..violations.into()
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

    /// The request is larger than the service takes. Trying again does not help.
    pub fn too_large() -> Self {
        let message = "the message is larger than this call takes";
        Self::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message)
    }

    /// The request's bytes are no message of its type.
    pub fn malformed() -> Self {
        let message = "the request is not a valid message of its type";
        Self::new(Code::InvalidArgument, "MALFORMED", message)
    }

    /// The message is compressed in a way that the service does not read. How is the caller's own
    /// text, which is not repeated.
    pub fn compressed() -> Self {
        let message = "the message is compressed in a way that this call does not take";
        Self::new(Code::Unimplemented, "COMPRESSED", message)
    }

    /// What is called is no method of any service here.
    pub fn no_such_method() -> Self {
        let message = "there is no such method";
        Self::new(Code::Unimplemented, "NO_SUCH_METHOD", message)
    }

    /// The call took too long.
    pub fn too_late() -> Self {
        let message = "the call took too long; a report may have been recorded, and can \
                       be sent again safely";
        Self::new(Code::DeadlineExceeded, "TOO_LATE", message)
    }

    /// Whether it is a bound of the caller's own that is reached.
    pub fn is_of_caller(&self) -> bool {
        self.quota.is_some()
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
