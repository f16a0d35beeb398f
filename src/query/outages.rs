//! Declared outages: which days of a question's window they are, and the second figures, which
//! leave those days out.
//!
//! Days of the whole network and of each operator that the question may take in are listed. The
//! second figure leaves out all of them for all rows, so that rows stay comparable: they are
//! about the same days. It is made as any figure is, of a question that takes no such day.

use crate::domain::{Filter, LocalDay, OutageDay, Outages, Position, Question, Window};
use crate::ledger::Dictionary;

use super::{Counts, Figure, rates};

/// What is left of an answer without the days of declared outages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Without {
    /// For each row what it counts on other days; `None` where there are no other days.
    pub counts: Vec<Option<u64>>,
    /// Distinct incidents on other days.
    pub total: u64,
    /// Those among them that stand in no row.
    pub left_out: u64,
}

/// The days within a window that concern a filter, as of a position.
pub fn days(outages: &Outages, filter: &Filter, window: Window, at: Position) -> Vec<OutageDay> {
    let mut days = window.days();
    let first = days.next().unwrap_or(LocalDay(0));
    let last = days.last().unwrap_or(first);
    outages.days(at, first..=last, |operator| filter.may_take(operator))
}

/// The days of a question, and the same question without them; `None` if there are none.
pub(super) struct OutageDays {
    pub days: Vec<OutageDay>,
    pub question: Question,
}

impl OutageDays {
    pub fn of(outages: &Outages, question: &Question, at: Position) -> Option<Self> {
        let days = days(outages, &question.filter, question.window, at);
        if days.is_empty() {
            return None;
        }
        let mut without: Vec<LocalDay> = days.iter().map(|one| one.day).collect();
        without.dedup();
        let filter = Filter {
            without_days: without,
            ..question.filter.clone()
        };
        let question = Question {
            filter,
            ..question.clone()
        };
        Some(Self { days, question })
    }

    /// What its counts say of the rows of a page.
    pub fn rows(&self, counts: &Counts, figures: &[Figure], dictionary: &Dictionary) -> Without {
        let days = rates::period_days(&self.question, figures, dictionary);
        let left = counts.of_rows(figures, dictionary);
        let left = left.into_iter().zip(days);
        Without {
            counts: left
                .map(|(left, days)| (days != 0).then_some(left))
                .collect(),
            total: counts.total,
            left_out: counts.left_out,
        }
    }
}
