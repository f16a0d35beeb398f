//! Questions to figures. Nothing else makes a figure. (skeleton)

use crate::domain::question::Breakdown;
use crate::domain::{Filter, Position, Question, Row};
use crate::ledger::{Dictionary, Ledger};

/// One value of one dimension, by number: dictionary number, taxonomy number, hour, weekday,
/// `LocalDay` or `LocalMonth` as a number.
pub type KeyNumber = i32;

/// One row: as many keys as dimensions were asked for, and the count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    pub keys: Vec<String>,
    pub count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Key,
    Count,
}

/// Which rows of the answer.
#[derive(Clone, Debug)]
pub struct Page {
    pub rows: usize,
    pub order: Order,
    pub after: Option<PageToken>,
}

/// Where a page ended. Opaque outside; stays valid while incidents arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(String);

impl PageToken {
    pub fn parse(_text: &str, _question: &Question, _order: Order) -> Result<Self, QueryError> {
        todo!()
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub struct Answer {
    pub figures: Vec<Figure>,
    pub total: u64,
    pub left_out: u64,
    pub next: Option<PageToken>,
    pub position: Position,
    pub effort: Effort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    Tallies,
    Scan { blocks: u64 },
}

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("the page token does not belong to this question")]
    PageToken,
    #[error("too many rows; ask for a narrower window or a coarser breakdown")]
    TooManyRows,
    #[error("too many scans at once")]
    Busy,
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
}

/// Answers a question, from tallies where they suffice, else by a scan. Blocking (up to a second): call
/// it off the async threads.
pub fn answer(_ledger: &Ledger, _question: &Question, _page: &Page) -> Result<Answer, QueryError> {
    todo!()
}

/// Counts rows one by one by a filter (without window) and breakdown: what scans and live windows share.
pub struct Counter;
/// A finished count: rows by key in rising order of key text, each with its count.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Counted {
    pub figures: Vec<Figure>,
    pub total: u64,
    pub left_out: u64,
}

impl Counter {
    pub fn new(_filter: &Filter, _by: &Breakdown, _dictionary: &Dictionary) -> Self {
        todo!()
    }
    pub fn count(&mut self, _row: &Row) {
        todo!()
    }
    /// `None` if there are more than `rows_max` rows.
    pub fn finish(self, _dictionary: &Dictionary, _rows_max: usize) -> Option<Counted> {
        todo!()
    }
    /// Whether a row would be counted.
    pub fn matches(&self, _row: &Row) -> bool {
        todo!()
    }
}
