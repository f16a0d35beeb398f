//! All refusals of the taps that rows are about, where rows tell or a filter takes only some of them.
//!
//! A failure rate of one signal, cause, outcome or staff act is over all attempts, and no tap that
//! failed otherwise is any less an attempt. Where a feed leaves refused taps out, they are therefore
//! counted besides, by what taps can be told of: so that what stands below the line is the same for all
//! rows that share their taps.

use crate::domain::question::Breakdown;
use crate::domain::{Basis, Question};

use super::keys::{RowKeys, is_told};

/// What is counted beside the rows of a question.
pub(super) struct AllRefusals {
    pub question: Question,
    /// A row for each cell of taps.
    pub keys: RowKeys,
}

impl AllRefusals {
    /// Of the rows of a question; `None` if they suffice.
    pub fn of(question: &Question, keys: &RowKeys) -> Option<Self> {
        Some(Self {
            question: question_of_all(question)?,
            keys: keys.of_taps(),
        })
    }
}

/// The same question without what no tap can be told by; `None` if that is all it asks about, or if
/// it is not about refusals.
pub(super) fn question_of_all(question: &Question) -> Option<Question> {
    if question.filter.basis != Basis::Observed {
        return None;
    }
    let by = question.by.dimensions().iter().copied();
    let all = Question {
        filter: question.filter.of_any_failure(),
        by: Breakdown::new(by.filter(|dimension| is_told(*dimension)).collect())
            .expect("some of a valid one"),
        window: question.window,
    };
    (all != *question).then_some(all)
}
