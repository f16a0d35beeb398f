//! Why reports, tap counts and what follows them are refused.

use tonic::Code;

use super::Problem;
use crate::api::convert::taps::differences;
use crate::api::convert::violation::{Path, Violations};
use crate::domain::TapFeed;
use crate::domain::limits::{TAP_FEEDS_MAX, TAP_FEEDS_PER_OPERATOR_MAX};
use crate::ingest::{CaseError, GetError, SubmitError, TapsError};
use crate::ledger::LedgerError;

impl Problem {
    /// So many outages were told that no more are taken.
    pub fn too_many_outages() -> Self {
        let message = "no more declarations and withdrawals of outages are taken";
        Self::new(Code::ResourceExhausted, "TOO_MANY_OUTAGES", message)
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
                let message = format!("there are {TAP_FEEDS_MAX} feeds of tap counts already");
                Self::new(Code::ResourceExhausted, "TOO_MANY_FEEDS", &message)
            }
            TapsError::TooManyFeedsOfOperator => {
                let message = format!(
                    "the operator has {TAP_FEEDS_PER_OPERATOR_MAX} feeds of tap counts already"
                );
                Self::new(Code::ResourceExhausted, "TOO_MANY_FEEDS", &message)
            }
            TapsError::TooManyScopes => {
                let message = "there are more lines or stops than can be told apart";
                Self::new(Code::ResourceExhausted, "TOO_MANY_SCOPES", message)
            }
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
                let message = "the id is taken by a report with other content or another secret, \
                               or by one without a secret of which the words are kept no longer";
                Self::new(Code::AlreadyExists, "ID_TAKEN", message)
            }
            SubmitError::DiskReserve => {
                let message = "the disk is nearly full; try again later";
                Self::new(Code::ResourceExhausted, "DISK_RESERVE", message).retry()
            }
            SubmitError::ClockUnsure => {
                let message = "the server waits until its clock can be believed, which takes some \
                               minutes; try again later";
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

impl Problem {
    /// Why a report that was asked for by its case number cannot be had, or answered. One of
    /// another operator is none.
    pub fn of_case(error: CaseError) -> Self {
        match error {
            CaseError::Get(GetError::NotFound) => {
                let message = "no such case, or one of another operator";
                Self::new(Code::NotFound, "NO_CASE", message)
            }
            error => error.into(),
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
