//! Questions to figures. Nothing else makes a figure.
//!
//! A question is answered from the tallies in memory where they suffice, and by a scan of
//! the blocks otherwise; both give the same answer, exact as of one position of the journal.
//! Where rates are asked for, the rows are set against tap counts as of the same position.
//! Only the rows of the page asked for are ever made. Whether a figure may be shown to
//! whom is no concern of this module.

mod as_of;
mod axis;
mod budget;
pub mod cases;
pub mod citing;
mod clock;
mod counter;
mod few_days;
mod grid;
pub mod method;
pub mod outages;
mod page;
mod plan;
pub mod rates;
mod reach;
mod row_filter;
mod scanned;
mod sorter;
pub mod staff;
mod tallied;
#[cfg(test)]
mod tests;

use hashbrown::HashMap;

use crate::domain::limits::QUESTION_ROWS_MAX;
use crate::domain::{LocalDay, OutageDay, Position, Question, Stamp, Window};
use crate::journal::JournalError;
use crate::ledger::{Dictionary, Ledger, LedgerError, MonthEnd, ScanView, State};
use crate::store::StoreError;

pub use as_of::answer_as_of;
pub use counter::{Counted, Counter};
pub use outages::Without;
pub use page::{Order, Page, PageToken};
pub use rates::{
    Past, Progress, RatedAnswer, RatedWithout, RatesWanted, RecordAsOf, answer_with_rates,
    answer_with_rates_by_scan,
};

use axis::Axes;
use budget::CELLS;
use few_days::{Bounds, Left, LineDays};
use outages::OutageDays;

/// One row: as many keys as dimensions were asked for, and the count, which is never 0. A
/// question without dimensions has one row without keys, unless nothing was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Keys, as in the API: a code, a choice's key, `07`, `2026-11-23`, `2026-11`.
    pub keys: Vec<String>,
    /// Incidents.
    pub count: u64,
    /// Whether it rests on few days of the window: holding each to three times the median day, at
    /// least three, changes it by more than a fifth. Of days before the record began and after it
    /// ends only those count that have any. Told of rows by line alone, where they times days of the
    /// window are at most `LINE_DAYS_MAX`.
    pub rests_on_few_days: Option<bool>,
}

/// A page of figures, exact as of one position of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The rows of the page.
    pub figures: Vec<Figure>,
    /// Distinct incidents that the question takes in.
    pub total: u64,
    /// Those among them that stand in no row.
    pub left_out: u64,
    /// For the next page; `None` on the last.
    pub next: Option<PageToken>,
    /// The last position that is counted.
    pub position: Position,
    /// How the answer was found.
    pub effort: Effort,
    /// Days of the window on which an outage was declared, rising.
    pub outages: Vec<OutageDay>,
    /// What is left without them; `None` if there are none.
    pub without: Option<Without>,
}

/// What an answer is made from.
#[derive(Clone, Copy)]
struct Origin {
    /// The last position that is counted.
    position: Position,
    recorded: Recorded,
    effort: Effort,
}

/// The time that the record tells of. Of what was before nobody knows that nothing happened, nor of
/// what has not been yet.
#[derive(Clone, Copy, Debug)]
struct Recorded {
    /// When its first entry was committed; `None` where that is not known.
    began: Option<Stamp>,
    /// When the last one that is counted was committed.
    until: Stamp,
}

/// How an answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// From the tallies in memory.
    Tallies,
    /// By a scan.
    Scan {
        /// Blocks that were looked at, the open one included.
        blocks: u64,
    },
}

/// Why a question cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Made for another question or order, or not made here at all.
    #[error("the page token does not belong to this question")]
    PageToken,
    /// More than `QUESTION_ROWS_MAX` rows.
    #[error("too many rows; ask for a narrower window or a coarser breakdown")]
    TooManyRows,
    /// No feed of tap counts has this name.
    #[error("feed {place} of those asked for is not known")]
    UnknownFeed {
        /// Its place among those asked for.
        place: usize,
    },
    /// Two of the named feeds of one operator tell the same taps, or days that begin at different
    /// hours, and so cannot be added up.
    #[error("feed {place} of those asked for cannot be added up with feed {other}")]
    FeedsClash {
        /// The place of the later one among those asked for.
        place: usize,
        /// That of the earlier one.
        other: usize,
    },
    /// Other questions take all places for scans or all memory for counting, and none ended
    /// in time; or what it looks at went while it looked.
    #[error("busy; try again later")]
    Busy,
    /// As of a position before the first entry or after the last.
    #[error("the position is not one of {first} to {last}")]
    OutOfRange {
        /// The first that can be asked for; 0 if there is none.
        first: Position,
        /// The last; 0 if there is none.
        last: Position,
    },
    /// It needs incidents one by one that are kept in tallies alone.
    #[error(
        "single incidents of before {first} are kept no longer, and what is asked for is not \
         among what was counted of them; ask for a window from {first} on"
    )]
    Ended {
        /// The first day that can be asked for.
        first: LocalDay,
    },
    /// Nobody waits for the answer any more.
    #[error("nobody waits for the answer")]
    Abandoned,
    /// The ledger cannot be read now.
    #[error(transparent)]
    Ledger(LedgerError),
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
}

impl From<LedgerError> for QueryError {
    fn from(error: LedgerError) -> Self {
        match error {
            // As a month's incidents end.
            LedgerError::Store(StoreError::BlockForgotten { .. }) => Self::Busy,
            error => Self::Ledger(error),
        }
    }
}

/// All counts of one question, before a page is cut from them.
struct Counts {
    axes: Axes,
    cells: Cells,
    total: u64,
    left_out: u64,
    /// Of a question whose rows are lines.
    line_days: Option<LineDays>,
}

/// Counts by cell of the axes. Cells with a value that is not known (place 0 on any axis)
/// are empty.
enum Cells {
    Dense(Vec<u32>),
    Sparse(Vec<(u64, u32)>),
}

impl Counts {
    /// What it has of the rows of a page, in their order. No other row is made.
    fn of_rows(&self, figures: &[Figure], dictionary: &Dictionary) -> Vec<u64> {
        let cells = figures
            .iter()
            .map(|figure| self.axes.cell(&figure.keys, dictionary));
        match &self.cells {
            Cells::Dense(counts) => {
                let count = |cell: u64| counts[usize::try_from(cell).expect("it is dense")];
                cells.map(|cell| cell.map_or(0, count).into()).collect()
            }
            Cells::Sparse(entries) => {
                let rows = cells.enumerate();
                let rows = rows.filter_map(|(row, cell)| Some((cell?, row)));
                let rows: HashMap<u64, usize> = rows.collect();
                let mut counts = vec![0; figures.len()];
                for (cell, count) in entries {
                    if let Some(row) = rows.get(cell) {
                        counts[*row] = u64::from(*count);
                    }
                }
                counts
            }
        }
    }
}

/// Answers a question, from tallies where they suffice, else by a scan. Blocking (up to a
/// second): call it off the async threads.
pub fn answer(ledger: &Ledger, question: &Question, page: &Page) -> Result<Answer, QueryError> {
    match answer_by_tallies(ledger, question, page)? {
        Some(answer) => Ok(answer),
        None => answer_by_scan(ledger, question, page),
    }
}

/// Answers a question from tallies; `None` if they do not suffice.
pub fn answer_by_tallies(
    ledger: &Ledger,
    question: &Question,
    page: &Page,
) -> Result<Option<Answer>, QueryError> {
    // The ledger is locked while books are opened, and no longer.
    let state = ledger.read();
    let Some(book) = tallied::open(&state, question) else {
        return Ok(None);
    };
    let out = OutageDays::of(state.outages(), question, state.position());
    let out = out.map(|out| (tallied::open(&state, &out.question), out));
    let ended = state.months().ended();
    drop(state);
    let Some(axes) = axes(&book, question, ended)? else {
        return Ok(None);
    };
    let room = CELLS.take(axes.cells, budget::WAIT)?;
    let counts = book.tally(question, axes)?;
    let dictionary = book.dictionary();
    let from = book.origin(ledger.began());
    let mut answer = cut(&counts, question, page, dictionary, from);
    drop((counts, room));
    if let Some((less, out)) = out {
        // Days that do not count need the same tallies.
        let Some(less) = less else {
            return Ok(None);
        };
        let Some(axes) = self::axes(&less, &out.question, ended)? else {
            return Ok(None);
        };
        let _room = CELLS.take(axes.cells, budget::WAIT)?;
        let counts = less.tally(&out.question, axes)?;
        answer.put_without(&counts, out, dictionary);
    }
    Ok(Some(answer))
}

/// The axes that tallies of a question are added up on; `None` if they have too many cells, and it
/// is to be scanned. Of months that ended a scan has nothing, and what tallies have is too much.
fn axes(
    book: &tallied::Book,
    question: &Question,
    ended: Option<MonthEnd>,
) -> Result<Option<Axes>, QueryError> {
    let axes = book.axes();
    match check_kept(ended, question.window) {
        Err(_) if axes.is_none() => Err(QueryError::TooManyRows),
        _ => Ok(axes),
    }
}

/// Answers a question by a scan, even where tallies would suffice.
pub fn answer_by_scan(
    ledger: &Ledger,
    question: &Question,
    page: &Page,
) -> Result<Answer, QueryError> {
    let _place = budget::scan_place(ledger)?;
    let (taps, view, until) = ledger.rate_view(State::stamp)?;
    drop(taps);
    let recorded = Recorded {
        began: ledger.began(),
        until,
    };
    scan_both((&view, recorded), question, page)
}

/// Answers a question by a scan, and again without the days of outages.
fn scan_both(
    (view, recorded): (&ScanView, Recorded),
    question: &Question,
    page: &Page,
) -> Result<Answer, QueryError> {
    let (counts, effort) = scan(view, question)?;
    let from = Origin {
        position: view.position,
        recorded,
        effort,
    };
    let mut answer = cut(&counts, question, page, &view.dictionary, from);
    drop(counts);
    if let Some(out) = OutageDays::of(&view.outages, question, view.position) {
        let (less, _) = scan(view, &out.question)?;
        answer.put_without(&less, out, &view.dictionary);
    }
    Ok(answer)
}

/// The counts of a question by a scan.
fn scan(view: &ScanView, question: &Question) -> Result<(Counts, Effort), QueryError> {
    scan_within(view, question, Bounds::USUAL)
}

fn scan_within(
    view: &ScanView,
    question: &Question,
    bounds: Bounds,
) -> Result<(Counts, Effort), QueryError> {
    let scan = |question: &Question, axes: Axes| {
        let weight = scanned::weight(&axes, view.store.scan_threads());
        let _room = CELLS.take(weight, budget::WAIT)?;
        scanned::scan(view, question, axes, QUESTION_ROWS_MAX)
    };
    let dictionary = &view.dictionary;
    let axes = few_days::axes(question, dictionary, bounds);
    let (mut counts, mut blocks) = scan(question, axes)?;
    if let Some(left) = Left::of(&mut counts, question, dictionary, bounds) {
        let (of_days, again) = scan(&left.question, Axes::new(&left.question, dictionary))?;
        blocks += again;
        if let Cells::Dense(cells) = of_days.cells {
            left.put(cells, &mut counts);
        }
    }
    Ok((counts, Effort::Scan { blocks }))
}

/// Refuses a window in which rows are missing. Taps may be told of up to five minutes ahead, so
/// that the first day after the months that ended is not whole either.
fn check_kept(ended: Option<MonthEnd>, window: Window) -> Result<(), QueryError> {
    let until = ended.and_then(|end| end.until.hour());
    let first = until.map(|hour| hour.local_day().next());
    match first {
        Some(first) if window.start() < first.start() => Err(QueryError::Ended { first }),
        _ => Ok(()),
    }
}

fn cut(
    counts: &Counts,
    question: &Question,
    page: &Page,
    dictionary: &Dictionary,
    from: Origin,
) -> Answer {
    let Origin {
        position,
        recorded,
        effort,
    } = from;
    let (figures, next) = page::cut(counts, (question, recorded), page, dictionary);
    Answer {
        figures,
        total: counts.total,
        left_out: counts.left_out,
        next,
        position,
        effort,
        outages: Vec::new(),
        without: None,
    }
}

impl Answer {
    fn put_without(&mut self, less: &Counts, out: OutageDays, dictionary: &Dictionary) {
        self.without = Some(out.rows(less, &self.figures, dictionary));
        self.outages = out.days;
    }
}
