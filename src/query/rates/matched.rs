//! Counts the reports of a question by row and day, those of them that are matched, and those
//! of the other basis.

use std::collections::BTreeSet;

use crate::domain::taxonomy::{TapKind, Taxonomy};
use crate::domain::{Calendar, Dimension, Hour, LocalDay, Question, Row, RowTime, Window};
use crate::ledger::{LedgerError, ScanView};
use crate::store::{Block, Columns, StoreError, Summary};

use super::super::row_filter::{RowFilter, day_of};
use super::super::{QueryError, check_kept};
use super::choice::Choice;
use super::coverage::FeedCoverage;
use super::inputs::RateJob;
use super::keys::RowKeys;

/// Reports of one row.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub reports: u64,
    pub matched: u64,
    /// Those of the other basis: observed refusals for self-reports, and the reverse.
    pub others: u64,
    /// The first day with any of them, and how many each day has from there on.
    first: i32,
    days: Vec<OnDay>,
}

/// The same of one day.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OnDay {
    pub reports: u32,
    pub matched: u32,
    pub others: u32,
}

impl Counted {
    /// What a day has.
    pub fn on(&self, day: i32) -> OnDay {
        let place = usize::try_from(i64::from(day) - i64::from(self.first));
        let found = place.ok().and_then(|place| self.days.get(place));
        found.copied().unwrap_or_default()
    }

    /// Adds reports of one day, matched ones among them.
    pub fn add_many(&mut self, day: LocalDay, reports: u32, matched: u32) {
        self.add_sums(day, reports.into(), matched.into());
    }

    /// The same.
    pub fn add_sums(&mut self, day: LocalDay, reports: u64, matched: u64) {
        self.reports += reports;
        self.matched += matched;
        if 0 < reports || 0 < matched {
            self.day_mut(day.0).add(OnDay {
                reports: few(reports),
                matched: few(matched),
                others: 0,
            });
        }
    }

    /// Adds those of the other basis of one day.
    pub fn add_others(&mut self, day: LocalDay, others: u64) {
        self.others += others;
        if 0 < others {
            self.day_mut(day.0).add(OnDay {
                others: few(others),
                ..OnDay::default()
            });
        }
    }

    /// Adds a report.
    pub fn add(&mut self, day: LocalDay, is_matched: bool) {
        self.add_sums(day, 1, is_matched.into());
    }

    fn day_mut(&mut self, day: i32) -> &mut OnDay {
        if self.days.is_empty() {
            self.first = day;
        }
        if day < self.first {
            let missing = usize::try_from(self.first - day).expect("it is earlier");
            self.days
                .splice(0..0, std::iter::repeat_n(OnDay::default(), missing));
            self.first = day;
        }
        let place = usize::try_from(day - self.first).expect("it is not earlier");
        if self.days.len() <= place {
            self.days.resize(place + 1, OnDay::default());
        }
        &mut self.days[place]
    }

    fn merge(&mut self, other: Self) {
        self.reports += other.reports;
        self.matched += other.matched;
        self.others += other.others;
        for (day, some) in (other.first..).zip(other.days) {
            if 0 < some.reports || 0 < some.matched || 0 < some.others {
                self.day_mut(day).add(some);
            }
        }
    }
}

impl OnDay {
    fn add(&mut self, some: Self) {
        self.reports = self.reports.saturating_add(some.reports);
        self.matched = self.matched.saturating_add(some.matched);
        self.others = self.others.saturating_add(some.others);
    }
}

/// Reports of one day: never as many as that.
fn few(reports: u64) -> u32 {
    u32::try_from(reports).unwrap_or(u32::MAX)
}

/// Reports by row; those of all rows, and of none, come last.
pub(super) struct Matches {
    pub rows: Vec<Counted>,
}

impl Matches {
    /// Of so many rows, without reports.
    pub fn new(rows: usize) -> Self {
        Self {
            rows: vec![Counted::default(); rows],
        }
    }

    /// Adds what was counted elsewhere of the same rows.
    pub fn merge(&mut self, other: Self) {
        for (row, other) in self.rows.iter_mut().zip(other.rows) {
            row.merge(other);
        }
    }
}

struct Scan<'a> {
    view: &'a ScanView,
    question: &'a Question,
    row_filter: RowFilter,
    /// The same for the other basis.
    others: RowFilter,
    told: &'a [FeedCoverage],
    /// Places in `told` by operator number.
    by_operator: Vec<Vec<usize>>,
    keys: &'a RowKeys,
    /// Only these days of the calendar count.
    only: Option<&'a BTreeSet<LocalDay>>,
}

/// Counts the reports of the question by a scan, or only those of some days if no feed has
/// service days. Says how many blocks were looked at.
pub(super) fn scan(
    view: &ScanView,
    job: &RateJob<'_>,
    told: &[FeedCoverage],
    only: Option<&BTreeSet<LocalDay>>,
) -> Result<(Matches, u64), QueryError> {
    let RateJob {
        question,
        choice,
        keys,
        ..
    } = *job;
    let mut by_operator = vec![Vec::new(); view.dictionary.operators()];
    for (place, feed) in told.iter().enumerate() {
        by_operator[usize::from(feed.operator())].push(place);
    }
    let others = question.filter.of_other_basis();
    let scan = Scan {
        view,
        question,
        row_filter: RowFilter::new(&question.filter, &view.dictionary),
        others: RowFilter::new(&others, &view.dictionary),
        told,
        by_operator,
        keys,
        only,
    };
    let windows = match only {
        Some(days) => runs(days, question.window),
        None => vec![reached(question.window, choice, told)],
    };
    for window in &windows {
        check_kept(view.ended, *window)?;
    }
    scan.run(&windows)
}

/// Days as windows, adjacent ones together, as far as they lie in the window.
fn runs(days: &BTreeSet<LocalDay>, within: Window) -> Vec<Window> {
    let days: Vec<LocalDay> = days.iter().copied().collect();
    let run = |run: &[LocalDay]| {
        let (first, last) = (run.first()?, run.last()?);
        let start = first.start().max(within.start());
        Window::new(start, last.next().start().min(within.end()))
    };
    days.chunk_by(|one, next| one.next() == *next)
        .filter_map(run)
        .collect()
}

/// The window, longer by the night after it where days are service days.
fn reached(window: Window, choice: &Choice<'_>, told: &[FeedCoverage]) -> Window {
    let service = choice.feeds.iter().zip(told);
    let ends = service
        .filter(|(chosen, _)| chosen.has_service_days())
        .map(|(_, told)| told.hours_read().1);
    let end = ends.max().unwrap_or(0).max(window.end().0);
    Window::new(window.start(), Hour(end)).unwrap_or(window)
}

impl Scan<'_> {
    fn run(&self, windows: &[Window]) -> Result<(Matches, u64), QueryError> {
        let rows = || (Matches::new(self.keys.total() + 1), 0);
        let wants = |summary: &Summary| windows.iter().any(|window| summary.may_touch(*window));
        let view = self.view;
        let scanned = view.store.scan(
            view.stored.clone(),
            self.columns(),
            wants,
            rows,
            |(matches, blocks): &mut (Matches, u64), _, block| {
                *blocks += 1;
                let rows = block.rows();
                rows.for_each(|row| self.count(&row, &mut matches.rows));
            },
        );
        let (mut merged, mut blocks) = rows();
        for (matches, some) in scanned.map_err(LedgerError::from)? {
            merged.merge(matches);
            blocks += some;
        }
        for (number, bytes) in &view.pending {
            let invalid = |source| StoreError::BlockInvalid {
                number: *number,
                source,
            };
            let block = Block::unpack(*number, bytes).map_err(invalid);
            let block = block.map_err(LedgerError::from)?;
            block
                .rows()
                .for_each(|row| self.count(&row, &mut merged.rows));
            blocks += 1;
        }
        for row in &view.open {
            self.count(row, &mut merged.rows);
        }
        Ok((merged, blocks + u64::from(!view.open.is_empty())))
    }

    /// What it takes to place a report, and to find its taps.
    fn columns(&self) -> Columns {
        let mut columns = Columns::all();
        if self.view.withdrawn.is_empty() {
            columns -= Columns::POSITION;
        }
        let filter = &self.question.filter;
        let by = self.question.by.dimensions();
        for (column, dimension, is_filtered) in [
            (Columns::MODE, Dimension::Mode, !filter.modes.is_empty()),
            (
                Columns::CARD_KIND,
                Dimension::CardKind,
                !filter.card_kinds.is_empty(),
            ),
            (
                Columns::SIGNAL,
                Dimension::Signal,
                !filter.signals.is_empty(),
            ),
            (Columns::CAUSES, Dimension::Cause, !filter.causes.is_empty()),
            (
                Columns::STAFF_ACTS,
                Dimension::StaffAct,
                !filter.staff_acts.is_empty(),
            ),
            (
                Columns::OUTCOMES,
                Dimension::Outcome,
                !filter.outcomes.is_empty(),
            ),
        ] {
            if !is_filtered && !by.contains(&dimension) {
                columns -= column;
            }
        }
        columns
    }

    fn count(&self, row: &Row, rows: &mut [Counted]) {
        let is_tap = row.tap_kind != TapKind::Inspection.number();
        let is_other = self.others.takes(row);
        let is_taken = is_other || self.row_filter.takes(row);
        if !is_tap || !is_taken || self.is_withdrawn(row) {
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
        if self.only.is_some_and(|only| !only.contains(&day)) {
            return;
        }
        let placed = Row { time, ..*row };
        if is_other {
            rows[self.keys.total()].add_others(day, 1);
            self.keys
                .each_row(&placed, |place| rows[place as usize].add_others(day, 1));
            return;
        }
        let is_matched = feeds.iter().any(|place| self.told[*place].tells(row));
        rows[self.keys.total()].add(day, is_matched);
        self.keys
            .each_row(&placed, |place| rows[place as usize].add(day, is_matched));
    }

    fn is_withdrawn(&self, row: &Row) -> bool {
        !self.view.withdrawn.is_empty() && self.view.withdrawn.contains(&row.position)
    }

    /// When a report counts; `None` if it does not.
    fn time(&self, row: &Row, feeds: &[usize]) -> Option<RowTime> {
        let service_day = |hour| {
            let mut feeds = feeds.iter();
            feeds.find_map(|place| self.told[*place].service_day(hour))
        };
        if let RowTime::Hour(hour) = row.time
            && let Some(day) = service_day(hour)
        {
            let Question { filter, window, .. } = self.question;
            let takes = window.contains_day(day) && filter.takes_day(day);
            return takes.then_some(RowTime::Day(day));
        }
        day_of(self.question, row.time).map(|_| row.time)
    }
}
