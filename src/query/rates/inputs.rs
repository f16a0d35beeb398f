//! From rows to what their rates are made of: feeds, taps and matched reports, from tallies where
//! they suffice.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use crate::domain::limits::CELLS_IN_USE_MAX;
use crate::domain::{LocalDay, Question};
use crate::ledger::{ScanView, TapView};

use super::super::QueryError;
use super::super::budget::{self, CELLS};
use super::book::RateBook;
use super::choice::Choice;
use super::days::{self, Days};
use super::keys::RowKeys;
use super::matched::{self, Matches};
use super::reading::{self, TapsRead};
use super::refusals::AllRefusals;
use super::sums::{DaySums, TapSums};
use super::tallied;

/// What rates of the rows are made of.
pub(super) struct RateInputs {
    pub sums: TapSums,
    pub matches: Matches,
    /// Blocks that were looked at.
    pub blocks: u64,
}

/// Rates that are to be made: the rows of a question, and the feeds that they are set against.
#[derive(Clone, Copy)]
pub(super) struct RateJob<'a> {
    pub question: &'a Question,
    pub choice: &'a Choice<'a>,
    pub keys: &'a RowKeys,
    /// What tallies tell, if they suffice.
    pub book: Option<&'a RateBook>,
}

impl RateJob<'_> {
    /// Counts reports and adds up taps for rows, as of one position. Without a book, or where
    /// tallies do not suffice, by a scan. Taps that are handed over are let go as soon as may be.
    pub fn compute<'t>(
        &self,
        taps: impl Borrow<TapView<'t>>,
        view: &ScanView,
    ) -> Result<RateInputs, QueryError> {
        let book = self.book;
        match book.filter(|book| days::suits(book.source, self.choice)) {
            Some(book) => self.by_tallies(taps, view, book),
            None => self.by_scan(taps, view),
        }
    }

    /// The same, by a scan alone.
    fn by_scan<'t>(
        &self,
        taps: impl Borrow<TapView<'t>>,
        view: &ScanView,
    ) -> Result<RateInputs, QueryError> {
        let _room = room(self.weight())?;
        let read = reading::read(&taps.borrow().reader(), view, self)?;
        // Tap counts may be put into the store again.
        drop(taps);
        self.scanned(read, view)
    }

    /// Counts the reports by a scan, of taps that were read.
    pub fn scanned(&self, read: TapsRead, view: &ScanView) -> Result<RateInputs, QueryError> {
        let (matches, blocks) = matched::scan(view, self, &read.told, None)?;
        Ok(RateInputs {
            sums: read.sums,
            matches,
            blocks,
        })
    }

    fn by_tallies<'t>(
        &self,
        taps: impl Borrow<TapView<'t>>,
        view: &ScanView,
        book: &RateBook,
    ) -> Result<RateInputs, QueryError> {
        let columns = book.width(book.source) as u64;
        let weight = COLUMN_WEIGHT * columns + days::weight(self.choice);
        let counting = room(self.keys.weight(self.question) + weight)?;
        let mut days = Days::new(taps.borrow(), book, self.choice, self.question)?;
        let mut sums = DaySums::of_scopes(taps.borrow(), self)?;
        let (mut matches, unclear) = tallied::count(book, self, &mut days, &mut sums)?;
        let sums = sums.finish();
        drop(days);
        if unclear.is_empty() {
            return Ok(RateInputs {
                sums,
                matches,
                blocks: 0,
            });
        }
        drop(counting);
        let unclear: BTreeSet<LocalDay> = unclear.into_iter().collect();
        let _room = room(self.weight())?;
        let told = reading::read_days(taps.borrow(), self, &unclear)?;
        drop(taps);
        let (scanned, blocks) = matched::scan(view, self, &told, Some(&unclear))?;
        matches.merge(scanned);
        Ok(RateInputs {
            sums,
            matches,
            blocks,
        })
    }

    /// All refusals of its taps, if a feed leaves them out and its rows are about some of them.
    pub fn all_refusals(&self) -> Option<AllRefusals> {
        AllRefusals::of(self.question, self.keys).filter(|_| self.choice.leaves_refusals_out())
    }

    /// How many cells of memory it takes at most to read all its taps.
    pub fn weight(&self) -> u64 {
        reading::weight(self.choice, self.question) + self.keys.weight(self.question)
    }
}

/// Cells that one column takes while it is counted.
const COLUMN_WEIGHT: u64 = 6;

pub(super) fn room(weight: u64) -> Result<budget::BudgetShare<'static>, QueryError> {
    if CELLS_IN_USE_MAX < weight {
        return Err(QueryError::TooManyRows);
    }
    CELLS.take(weight, budget::WAIT)
}
