//! Questions as of an earlier position: what the answer was when the entry at that position
//! was the last, to the digit, whatever was reported late or withdrawn since.

use crate::domain::{Position, Question, Stamp};
use crate::journal::JournalError;
use crate::ledger::{AsOfError, Ledger};

use super::budget;
use super::{Answer, Page, QueryError, Recorded, scan_both};

/// Answers a question as of a position, by a scan. `stamp` says when the entry there was committed.
/// Blocking, as any scan; few run at once.
pub fn answer_as_of(
    ledger: &Ledger,
    question: &Question,
    page: &Page,
    at: Position,
    stamp: impl FnOnce(Position) -> Result<Option<Stamp>, JournalError>,
) -> Result<Answer, QueryError> {
    let _place = budget::scan_place(ledger)?;
    let view = ledger.scan_view_as_of(at)?;
    // Its month ended meanwhile: asked again, the question is told so.
    let recorded = Recorded {
        began: ledger.began(),
        until: stamp(at)?.ok_or(QueryError::Busy)?,
    };
    scan_both((&view, recorded), question, page)
}

impl From<AsOfError> for QueryError {
    fn from(error: AsOfError) -> Self {
        match error {
            AsOfError::OutOfRange { first, last } => Self::OutOfRange { first, last },
            AsOfError::Ledger(error) => error.into(),
        }
    }
}
