//! Rates as of an earlier position: rows, reports and taps as they stood when the entry at
//! that position was the last, to the digit.
//!
//! Reports are scanned as for any such question. Taps are remade from the entries that told
//! them, from the declaration of the first feed on, as the store has only what was told last.

use crate::domain::{Entry, LocalDay, Position, Question};
use crate::journal::JournalError;
use crate::ledger::{Ledger, PastTaps, ScanView, TooManyTaps};

use super::super::gate;
use super::super::{Page, QueryError};
use super::choice::Choice;
use super::{Asked, RatedAnswer, RatesWanted, check_feeds, made, put_together, rows, without};

/// Answers a question with rates as of a position. `entries` reads the journal from a position
/// on, in order. Blocking, as long as it takes to read the journal since the first feed was
/// declared.
pub fn answer_with_rates_as_of<I>(
    ledger: &Ledger,
    entries: impl FnOnce(Position) -> Result<I, JournalError>,
    question: &Question,
    page: &Page,
    wanted: &RatesWanted,
    at: Position,
) -> Result<RatedAnswer, QueryError>
where
    I: Iterator<Item = Result<(Position, Entry), JournalError>>,
{
    let _place = gate::scan_place(ledger)?;
    let view = ledger.scan_view_as_of(at)?;
    let feeds = ledger.read().taps().feeds().to_vec();
    let declared = feeds.iter().map(|book| book.declared()).min();
    let from = declared.filter(|declared| *declared <= at);
    let taps = match from {
        Some(from) => remade(entries(from)?, &view, question, at)?,
        None => nothing(&view, question),
    };
    check_feeds(wanted, taps.book())?;
    let rows = rows(&view, Asked::by_scan(&view, question), question, page)?;
    let choice = Choice::of(question, wanted, taps.book(), &view.dictionary);
    let made = |question| made::of_the_past(&taps, &view, question, &choice, &rows.keys);
    let mut less = None;
    if let Some((question, _)) = &rows.less {
        less = Some(without(&rows, question, wanted, &choice, &made(question)?));
    }
    let made = made(question)?;
    Ok(put_together(rows, question, wanted, &choice, &made, less))
}

fn remade(
    entries: impl Iterator<Item = Result<(Position, Entry), JournalError>>,
    view: &ScanView,
    question: &Question,
    at: Position,
) -> Result<PastTaps, QueryError> {
    let mut taps = nothing(view, question);
    for entry in entries {
        let (position, entry) = entry?;
        if at < position {
            break;
        }
        taps.apply(position, &entry)?;
    }
    Ok(taps)
}

/// No taps yet, of the days that the window touches and of one on either side, as service days
/// begin and end later than those of the calendar.
fn nothing(view: &ScanView, question: &Question) -> PastTaps {
    let mut days = question.window.days();
    let first = days.next().unwrap_or(LocalDay(0));
    let last = days.last().unwrap_or(first);
    PastTaps::new(view.dictionary.clone(), LocalDay(first.0 - 1)..=last.next())
}

impl From<TooManyTaps> for QueryError {
    fn from(_: TooManyTaps) -> Self {
        Self::TooManyTaps
    }
}
