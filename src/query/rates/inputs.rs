//! The way from rows to what their rates are made of: feeds, taps and matched reports, from
//! tallies where they suffice.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use crate::domain::limits::CELLS_IN_USE_MAX;
use crate::domain::{LocalDay, Question};
use crate::ledger::{ScanView, TapView};

use super::super::QueryError;
use super::super::budget::{self, CELLS};
use super::book::RateBook;
use super::choice::Choice;
use super::coverage::FeedCoverage;
use super::days::{self, Days};
use super::keys::RowKeys;
use super::matched::{self, Matches};
use super::reading;
use super::record::ToMake;
use super::sums::{self, TapSums};
use super::tallied;

/// What rates of the rows are made of.
pub(super) struct RateInputs {
    pub sums: TapSums,
    pub matches: Matches,
    /// Blocks that were looked at.
    pub blocks: u64,
}

/// Counts reports and adds up taps for rows, as of one position. Without a book, or where
/// tallies do not suffice, by a scan. Taps that are handed over are let go as soon as may be.
pub(super) fn compute<'t>(
    taps: impl Borrow<TapView<'t>>,
    view: &ScanView,
    ToMake {
        question,
        choice,
        keys,
        book,
    }: &ToMake<'_>,
) -> Result<RateInputs, QueryError> {
    match book.filter(|book| days::suits(book.source, choice)) {
        Some(book) => by_tallies(taps, view, book, question, choice, keys),
        None => by_scan(taps, view, question, choice, keys),
    }
}

/// The same, by a scan alone.
fn by_scan<'t>(
    taps: impl Borrow<TapView<'t>>,
    view: &ScanView,
    question: &Question,
    choice: &Choice<'_>,
    keys: &RowKeys,
) -> Result<RateInputs, QueryError> {
    let _room = room(weight(choice, question, keys))?;
    let told = reading::read(&taps.borrow().reader(), view, choice, question, keys)?;
    // Tap counts may be put into the store again.
    drop(taps);
    scanned(told, view, question, choice, keys)
}

/// Counts the reports by a scan, of taps that were read.
pub(super) fn scanned(
    (told, sums): (Vec<FeedCoverage>, TapSums),
    view: &ScanView,
    question: &Question,
    choice: &Choice<'_>,
    keys: &RowKeys,
) -> Result<RateInputs, QueryError> {
    let (matches, blocks) = matched::scan(view, question, choice, &told, keys, None)?;
    Ok(RateInputs {
        sums,
        matches,
        blocks,
    })
}

fn by_tallies<'t>(
    taps: impl Borrow<TapView<'t>>,
    view: &ScanView,
    book: &RateBook,
    question: &Question,
    choice: &Choice<'_>,
    keys: &RowKeys,
) -> Result<RateInputs, QueryError> {
    let columns = book.width(book.source) as u64;
    let counting = room(keys.weight(question) + COLUMN_WEIGHT * columns)?;
    let mut days = Days::read(taps.borrow(), book, choice, question)?;
    let sums = sums::sum(taps.borrow(), choice, question, keys, days.heads())?;
    let (mut matches, unclear) = tallied::count(book, question, keys, &mut days);
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
    let _room = room(reading::weight(choice, question) + keys.weight(question))?;
    let told = reading::read_days(taps.borrow(), choice, question, keys, &unclear)?;
    drop(taps);
    let (scanned, blocks) = matched::scan(view, question, choice, &told, keys, Some(&unclear))?;
    matches.merge(scanned);
    Ok(RateInputs {
        sums,
        matches,
        blocks,
    })
}

/// Cells that one column takes while it is counted.
const COLUMN_WEIGHT: u64 = 6;

/// How many cells of memory it takes at most to read all taps of a question.
pub(super) fn weight(choice: &Choice<'_>, question: &Question, keys: &RowKeys) -> u64 {
    reading::weight(choice, question) + keys.weight(question)
}

pub(super) fn room(weight: u64) -> Result<budget::BudgetShare<'static>, QueryError> {
    if CELLS_IN_USE_MAX < weight {
        return Err(QueryError::TooManyRows);
    }
    CELLS.take(weight, budget::WAIT)
}
