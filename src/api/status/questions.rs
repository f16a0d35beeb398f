//! Why questions about the record are not answered.

use tonic::Code;

use super::Problem;
use crate::api::convert::violation::{Path, Violations};
use crate::domain::{LocalDay, Window};
use crate::edition::library::EditionError;
use crate::ledger::LedgerError;
use crate::query::QueryError;

impl Problem {
    /// Why there is no ranking.
    pub fn of_ranking(error: QueryError, sees_places: bool) -> Self {
        match error {
            QueryError::TooManyRows => {
                let rule = "has too many scopes or days; ask for a shorter window or fewer of them";
                Self::of_fields("TOO_MANY_ROWS", Violations::one(Path::root("filter"), rule))
            }
            QueryError::UnknownFeed { place } => unknown_feed(Path::root("feeds"), place),
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
                let rates = Path::root("rates");
                unknown_feed(rates.field("feeds"), place)
            }
            QueryError::FeedsClash { place, other } => {
                let rates = Path::root("rates");
                feeds_clash(rates.field("feeds"), place, other)
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

fn ended(fields: impl IntoIterator<Item = &'static str>, first: LocalDay) -> Problem {
    ended_at(fields.into_iter().map(Path::root), first)
}

/// Windows that begin too early.
fn ended_at<'a>(windows: impl IntoIterator<Item = Path<'a>>, first: LocalDay) -> Problem {
    let mut violations = Violations::default();
    for window in windows {
        violations.add(window, ended_rule(first));
    }
    Problem::of_fields("INCIDENTS_ENDED", violations)
}

fn ended_rule(first: LocalDay) -> String {
    format!(
        "must begin on {first} or later: incidents of before are kept no longer one by one, and \
         this is not among what was counted of them"
    )
}

/// Of named feeds one never told anything: that at this place of the list.
pub(super) fn unknown_feed(list: Path<'_>, place: usize) -> Problem {
    let rule = "must be the name of a feed that told tap counts";
    Violations::one(list.at(place), rule).into()
}

/// Of named feeds two cannot be added up: those at these places of the list.
pub(super) fn feeds_clash(list: Path<'_>, place: usize, other: usize) -> Problem {
    let first = list.at(other);
    let rule = format!(
        "cannot be added up with {first}: both tell the same taps, or days that begin at \
         different hours; name one of the two"
    );
    Violations::one(list.at(place), rule).into()
}

pub(super) fn too_many_rows(field: &'static str) -> Problem {
    let rule = "has too many rows; ask for fewer dimensions, a shorter window or a narrower filter";
    Problem::of_fields("TOO_MANY_ROWS", Violations::one(Path::root(field), rule))
}
