//! Questions as of an earlier position: what the answer was when the entry at that position
//! was the last, to the digit, whatever was reported late or withdrawn since.

use crate::domain::limits::QUESTION_ROWS_MAX;
use crate::domain::{Position, Question};
use crate::ledger::{AsOfError, Ledger};

use super::axis::Axes;
use super::gate::{self, CELLS, SCANS};
use super::{Answer, Effort, Page, QueryError, cut, scanned};

/// Answers a question as of a position, by a scan. Blocking, as any scan; few run at once.
pub fn answer_as_of(
    ledger: &Ledger,
    question: &Question,
    page: &Page,
    at: Position,
) -> Result<Answer, QueryError> {
    let _place = SCANS.take(1, gate::WAIT)?;
    let view = ledger.scan_view_as_of(at)?;
    let axes = Axes::new(question, &view.dictionary);
    let weight = scanned::weight(&axes, view.store.scan_threads());
    let _room = CELLS.take(weight, gate::WAIT)?;
    let (counts, blocks) = scanned::scan(&view, question, axes, QUESTION_ROWS_MAX)?;
    let effort = Effort::Scan { blocks };
    Ok(cut(&counts, question, page, &view.dictionary, (at, effort)))
}

impl From<AsOfError> for QueryError {
    fn from(error: AsOfError) -> Self {
        match error {
            AsOfError::OutOfRange { first, last } => Self::OutOfRange { first, last },
            AsOfError::Ledger(error) => error.into(),
        }
    }
}
