//! Counts the reports of a question by row and day, those of them that are matched, and those
//! of the other basis.

use hashbrown::HashMap;

use crate::domain::taxonomy::{TapKind, Taxonomy};
use crate::domain::{Calendar, Hour, LocalDay, Question, Row, RowTime, Window};
use crate::ledger::{LedgerError, ScanView};
use crate::store::{Block, Columns, StoreError, Summary};

use super::super::QueryError;
use super::super::sieve::Sieve;
use super::choice::Choice;
use super::keys::RowKeys;
use super::told::FeedTold;

/// Reports of one row.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub reports: u64,
    pub matched: u64,
    /// Those of the other basis: observed refusals for self-reports, and the reverse.
    pub others: u64,
    days: HashMap<i32, u64>,
}

impl Counted {
    /// Matched reports of a day.
    pub fn on(&self, day: i32) -> u64 {
        self.days.get(&day).copied().unwrap_or(0)
    }

    pub fn add(&mut self, day: LocalDay, is_matched: bool) {
        self.reports += 1;
        if is_matched {
            self.matched += 1;
            *self.days.entry(day.0).or_default() += 1;
        }
    }

    fn merge(&mut self, other: Self) {
        self.reports += other.reports;
        self.matched += other.matched;
        self.others += other.others;
        for (day, matched) in other.days {
            *self.days.entry(day).or_default() += matched;
        }
    }
}

/// Reports by row; those of all rows, and of none, come last.
pub(super) struct Matches {
    pub rows: Vec<Counted>,
}

struct Scan<'a> {
    view: &'a ScanView,
    question: &'a Question,
    sieve: Sieve,
    /// The same for the other basis.
    others: Sieve,
    told: &'a [FeedTold],
    /// Places in `told` by operator number.
    by_operator: Vec<Vec<usize>>,
    keys: &'a RowKeys,
}

pub(super) fn scan(
    view: &ScanView,
    question: &Question,
    choice: &Choice<'_>,
    told: &[FeedTold],
    keys: &RowKeys,
) -> Result<Matches, QueryError> {
    let mut by_operator = vec![Vec::new(); view.dictionary.operators()];
    for (place, feed) in told.iter().enumerate() {
        by_operator[usize::from(feed.operator())].push(place);
    }
    let others = question.filter.of_other_basis();
    let scan = Scan {
        view,
        question,
        sieve: Sieve::new(&question.filter, &view.dictionary),
        others: Sieve::new(&others, &view.dictionary),
        told,
        by_operator,
        keys,
    };
    scan.run(reached(question.window, choice, told))
}

/// The window, longer by the night after it where days are service days.
fn reached(window: Window, choice: &Choice<'_>, told: &[FeedTold]) -> Window {
    let service = choice.feeds.iter().zip(told);
    let ends = service
        .filter(|(chosen, _)| chosen.has_service_days())
        .map(|(_, told)| told.hours_read().1);
    let end = ends.max().unwrap_or(0).max(window.end().0);
    Window::new(window.start(), Hour(end)).unwrap_or(window)
}

impl Scan<'_> {
    fn run(&self, window: Window) -> Result<Matches, QueryError> {
        let rows = || vec![Counted::default(); self.keys.total() + 1];
        let wants = |summary: &Summary| summary.may_touch(window);
        let view = self.view;
        let mut all = view
            .store
            .scan(
                view.stored.clone(),
                Columns::all(),
                wants,
                rows,
                |rows, _, block| block.rows().for_each(|row| self.count(&row, rows)),
            )
            .map_err(LedgerError::from)?;
        let mut rest = rows();
        for (number, bytes) in &view.pending {
            let invalid = |source| StoreError::BlockInvalid {
                number: *number,
                source,
            };
            let block = Block::unpack(*number, bytes).map_err(invalid);
            let block = block.map_err(LedgerError::from)?;
            block.rows().for_each(|row| self.count(&row, &mut rest));
        }
        for row in &view.open {
            self.count(row, &mut rest);
        }
        all.push(rest);
        let mut merged = rows();
        for rows in all {
            for (row, other) in merged.iter_mut().zip(rows) {
                row.merge(other);
            }
        }
        Ok(Matches { rows: merged })
    }

    fn count(&self, row: &Row, rows: &mut [Counted]) {
        let is_tap = row.tap_kind != TapKind::Inspection.number();
        let is_other = self.others.takes(row);
        let is_taken = is_other || self.sieve.takes(row);
        if !is_tap || !is_taken || self.view.withdrawn.contains(&row.position) {
            return;
        }
        let feeds = self.by_operator.get(usize::from(row.operator));
        let feeds = feeds.map_or(&[][..], Vec::as_slice);
        let Some(time) = self.time(row, feeds) else {
            return;
        };
        let day = match time {
            RowTime::Hour(hour) => Calendar::get().day(hour),
            RowTime::Day(day) => day,
        };
        let placed = Row { time, ..*row };
        if is_other {
            rows[self.keys.total()].others += 1;
            self.keys
                .each_row(&placed, |place| rows[place as usize].others += 1);
            return;
        }
        let is_matched = feeds.iter().any(|place| self.told[*place].tells(row));
        rows[self.keys.total()].add(day, is_matched);
        self.keys
            .each_row(&placed, |place| rows[place as usize].add(day, is_matched));
    }

    /// When a report counts; `None` if it does not.
    fn time(&self, row: &Row, feeds: &[usize]) -> Option<RowTime> {
        let service_day = |hour| {
            let mut feeds = feeds.iter();
            feeds.find_map(|place| self.told[*place].service_day(hour))
        };
        let filter = &self.question.filter;
        let window = self.question.window;
        let takes_day =
            |day: LocalDay| filter.weekdays == 0 || filter.weekdays >> day.weekday() & 1 == 1;
        match row.time {
            RowTime::Hour(hour) => {
                if let Some(day) = service_day(hour) {
                    let takes = window.contains_day(day) && takes_day(day);
                    return takes.then_some(RowTime::Day(day));
                }
                if !window.contains(hour) {
                    return None;
                }
                let calendar = Calendar::get();
                let day = calendar.day(hour);
                let wanted = filter.hours_of_day;
                let takes_hour = wanted == 0 || wanted >> calendar.hour_of_day(day, hour) & 1 == 1;
                (takes_hour && takes_day(day)).then_some(row.time)
            }
            RowTime::Day(day) => {
                let takes = window.contains_day(day) && filter.hours_of_day == 0 && takes_day(day);
                takes.then_some(row.time)
            }
        }
    }
}
