//! What staff did, exactly: help rate, harm rate, promises kept, and the share of each act.
//!
//! Rows tell what staff did, but not whether they were there; that stands in the journal, from
//! which it is read of those reports alone that tell of staff. Whether a figure may be shown to
//! whom is no concern of this module: shares of few reports tell of single incidents.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::entry::ToldOfStaff;
use crate::domain::{Basis, LocalDay, OutageDay, Position, Question, Row};
use crate::journal::JournalError;
use crate::ledger::{Ledger, LedgerError, ScanView};
use crate::stats::staff::{StaffAnswer, StaffCounts};
use crate::store::{Block, Columns, StoreError, Summary};

use super::outages::OutageDays;
use super::row_filter::{RowFilter, day_of};
use super::{QueryError, budget, check_kept};

/// What the reports of a question tell of staff.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaffDays {
    /// Distinct reports of the question, whatever they tell.
    pub total: u64,
    /// By local day, rising: what those tell that tell of staff.
    pub days: BTreeMap<LocalDay, StaffCounts>,
}

impl StaffDays {
    /// All days together.
    pub fn sum(&self) -> StaffCounts {
        let mut sum = StaffCounts::default();
        self.days.values().for_each(|day| sum.merge(day));
        sum
    }

    fn merge(&mut self, other: Self) {
        self.total += other.total;
        for (day, counts) in other.days {
            self.days.entry(day).or_default().merge(&counts);
        }
    }
}

/// What staff did, as of one position of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaffFigures {
    /// Every day of the window.
    pub all: StaffDays,
    /// Days of the window on which an outage was declared, rising.
    pub outages: Vec<OutageDay>,
    /// What is left without them; `None` if there are none.
    pub without: Option<StaffDays>,
    /// The last position that is counted.
    pub position: Position,
    /// Blocks that were looked at.
    pub blocks: u64,
}

/// Counts what the reports of a question tell of staff; its breakdown does not matter. As of a
/// position, or of now. `told` reads in the journal what the entries at some positions, which
/// rise, tell of staff, in their order. Blocking, as any scan; few run at once.
pub fn staff_figures<I>(
    ledger: &Ledger,
    told: impl Fn(Vec<Position>) -> I + Sync,
    question: &Question,
    at: Option<Position>,
) -> Result<StaffFigures, QueryError>
where
    I: Iterator<Item = Result<(Position, ToldOfStaff), JournalError>>,
{
    let _place = budget::scan_place(ledger)?;
    let view = match at {
        Some(at) => ledger.scan_view_as_of(at)?,
        None => ledger.scan_view()?,
    };
    let (all, blocks) = count(&view, &told, question)?;
    let out = OutageDays::of(&view.outages, question, view.position);
    let without = out
        .as_ref()
        .map(|out| count(&view, &told, &out.question).map(|(days, _)| days));
    Ok(StaffFigures {
        all,
        without: without.transpose()?,
        outages: out.map_or_else(Vec::new, |out| out.days),
        position: view.position,
        blocks,
    })
}

/// What is counted by one thread, and how many blocks it looked at.
type Pot = (StaffDays, u64);

struct Count<'a, F> {
    view: &'a ScanView,
    question: &'a Question,
    row_filter: RowFilter,
    told: &'a F,
    /// The first error of any thread.
    failed: Mutex<Option<QueryError>>,
}

fn count<F, I>(view: &ScanView, told: &F, question: &Question) -> Result<Pot, QueryError>
where
    F: Fn(Vec<Position>) -> I + Sync,
    I: Iterator<Item = Result<(Position, ToldOfStaff), JournalError>>,
{
    check_kept(view.ended, question.window)?;
    let count = Count {
        view,
        question,
        row_filter: RowFilter::new(&question.filter, &view.dictionary),
        told,
        failed: Mutex::new(None),
    };
    let wants = |summary: &Summary| {
        summary.has(Basis::SelfReported)
            && summary.may_touch(question.window)
            && count.failure().is_none()
    };
    let take = |pot: &mut Pot, block: &Block| {
        pot.1 += 1;
        count.take(&block.rows().collect::<Vec<_>>(), &mut pot.0);
    };
    let stored = view.stored.clone();
    let scanned = view.store.scan(
        stored,
        Columns::all(),
        wants,
        Pot::default,
        |pot, _, block| take(pot, block),
    );
    let scanned = scanned.map_err(LedgerError::from)?;
    let mut all = Pot::default();
    for (number, bytes) in &view.pending {
        let invalid = |source| StoreError::BlockInvalid {
            number: *number,
            source,
        };
        let block = Block::unpack(*number, bytes).map_err(invalid);
        take(&mut all, &block.map_err(LedgerError::from)?);
    }
    count.take(&view.open, &mut all.0);
    for (days, blocks) in scanned {
        all.0.merge(days);
        all.1 += blocks;
    }
    let failed = count.failed.into_inner();
    match failed.unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(all),
    }
}

impl<F, I> Count<'_, F>
where
    F: Fn(Vec<Position>) -> I + Sync,
    I: Iterator<Item = Result<(Position, ToldOfStaff), JournalError>>,
{
    fn failure(&self) -> MutexGuard<'_, Option<QueryError>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the rows of a block, or those that are in none yet.
    fn take(&self, rows: &[Row], sums: &mut StaffDays) {
        let withdrawn = &self.view.withdrawn;
        let mut telling = Vec::new();
        for row in rows {
            if !self.row_filter.takes(row) || withdrawn.contains(&row.position) {
                continue;
            }
            let Some(day) = day_of(self.question, row.time) else {
                continue;
            };
            sums.total += 1;
            if row.staff_acts != 0 {
                telling.push((row.position, day));
            }
        }
        if let Err(error) = self.read(&telling, sums) {
            self.failure().get_or_insert(error);
        }
    }

    /// Reads what the reports at these places tell, which rise.
    fn read(
        &self,
        telling: &[(Position, LocalDay)],
        sums: &mut StaffDays,
    ) -> Result<(), QueryError> {
        if telling.is_empty() {
            return Ok(());
        }
        let mut left = telling.iter();
        let positions = telling.iter().map(|(position, _)| *position).collect();
        for told in (self.told)(positions) {
            let (position, told) = told?;
            // One is not there any more: its month ended meanwhile.
            let Some((_, day)) = left.next().filter(|(at, _)| *at == position) else {
                return Err(QueryError::Busy);
            };
            sums.days.entry(*day).or_default().add(StaffAnswer {
                present: told.present,
                acts: told.acts,
                outcomes: told.outcomes,
                called_back: told.called_back,
            });
        }
        match left.next() {
            // Asked again, the question is told so.
            Some(_) => Err(QueryError::Busy),
            None => Ok(()),
        }
    }
}
