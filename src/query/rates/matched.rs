//! Counts the reports of a question by row and day, those of them that are matched, and those
//! of the other basis.

use std::collections::BTreeSet;

use crate::domain::taxonomy::{TapKind, Taxonomy};
use crate::domain::{Calendar, Dimension, Filter, Hour, LocalDay, Question, Row, RowTime, Window};
use crate::ledger::{Dictionary, LedgerError, ScanView};
use crate::store::{Block, Columns, StoreError, Summary};

use super::super::row_filter::{RowFilter, day_of};
use super::super::{QueryError, check_kept};
use super::choice::Choice;
use super::coverage::FeedCoverage;
use super::inputs::RateJob;
use super::keys::RowKeys;
use super::refusals::AllRefusals;

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

/// What was counted for one row.
#[derive(Clone, Copy)]
pub(super) struct RowCounts<'a> {
    pub own: &'a Counted,
    /// All refusals of its taps; the same where it is about no fewer.
    pub refusals: &'a Counted,
}

/// What was counted.
pub(super) struct Matches {
    /// Reports by row; those of all rows, and of none, come last.
    pub rows: Vec<Counted>,
    /// All refusals by cell of taps, where rows are about some of them; those of all cells come last.
    pub refusals: Option<Vec<Counted>>,
}

impl Matches {
    /// Without reports.
    pub fn new(keys: &RowKeys, all: Option<&AllRefusals>) -> Self {
        let none = |keys: &RowKeys| vec![Counted::default(); keys.total() + 1];
        Self {
            rows: none(keys),
            refusals: all.map(|all| none(&all.keys)),
        }
    }

    /// What was counted for a row.
    pub fn of(&self, row: usize, keys: &RowKeys) -> RowCounts<'_> {
        let own = &self.rows[row];
        let cells = self.refusals.as_ref();
        RowCounts {
            own,
            refusals: cells.map_or(own, |cells| &cells[keys.tap_cell(row) as usize]),
        }
    }

    /// Adds what was counted elsewhere of the same rows.
    pub fn merge(&mut self, other: Self) {
        let refusals = self.refusals.iter_mut().flatten();
        let of_others = other.refusals.into_iter().flatten();
        let rows = self.rows.iter_mut().zip(other.rows);
        for (row, other) in rows.chain(refusals.zip(of_others)) {
            row.merge(other);
        }
    }
}

/// Which reports are counted, and in which rows.
pub(super) struct Counting<'a> {
    keys: &'a RowKeys,
    own: RowFilter,
    /// The same for the other basis.
    others: RowFilter,
    /// What is counted besides, with its filter.
    all: Option<(AllRefusals, RowFilter)>,
}

/// As what a report counts.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    is_own: bool,
    /// Of the other basis, which is not matched.
    pub is_other: bool,
    is_of_all: bool,
}

impl<'a> Counting<'a> {
    pub fn new(
        question: &Question,
        keys: &'a RowKeys,
        all: Option<AllRefusals>,
        dictionary: &Dictionary,
    ) -> Self {
        let row_filter = |filter: &Filter| RowFilter::new(filter, dictionary);
        Self {
            keys,
            own: row_filter(&question.filter),
            others: row_filter(&question.filter.of_other_basis()),
            all: all.map(|all| {
                let of_all = row_filter(&all.question.filter);
                (all, of_all)
            }),
        }
    }

    /// Without reports.
    pub fn none(&self) -> Matches {
        Matches::new(self.keys, self.all.as_ref().map(|(all, _)| all))
    }

    /// Time aside; `None` if it does not count.
    pub fn takes(&self, row: &Row) -> Option<Taken> {
        let all = self.all.as_ref();
        let taken = Taken {
            is_own: self.own.takes(row),
            is_other: self.others.takes(row),
            is_of_all: all.is_some_and(|(_, of_all)| of_all.takes(row)),
        };
        let is_tap = row.tap_kind != TapKind::Inspection.number();
        let is_any = taken.is_own || taken.is_other || taken.is_of_all;
        (is_tap && is_any).then_some(taken)
    }

    /// Counts a report, on the day on which it counts.
    pub fn count(
        &self,
        taken: Taken,
        (row, day): (&Row, LocalDay),
        is_matched: bool,
        matches: &mut Matches,
    ) {
        let rows = &mut matches.rows;
        if taken.is_other {
            self.keys
                .each_row(row, |place| rows[place].add_others(day, 1));
            return;
        }
        if taken.is_own {
            self.keys
                .each_row(row, |place| rows[place].add(day, is_matched));
        }
        if let (Some((all, _)), Some(cells)) = (&self.all, &mut matches.refusals)
            && taken.is_of_all
        {
            all.keys
                .each_row(row, |cell| cells[cell].add(day, is_matched));
        }
    }
}

struct Scan<'a> {
    view: &'a ScanView,
    question: &'a Question,
    counting: Counting<'a>,
    told: &'a [FeedCoverage],
    /// Places in `told` by operator number.
    by_operator: Vec<Vec<usize>>,
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
    let scan = Scan {
        view,
        question,
        counting: Counting::new(question, keys, job.all_refusals(), &view.dictionary),
        told,
        by_operator,
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
        let rows = || (self.counting.none(), 0);
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
                rows.for_each(|row| self.count(&row, matches));
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
            block.rows().for_each(|row| self.count(&row, &mut merged));
            blocks += 1;
        }
        for row in &view.open {
            self.count(row, &mut merged);
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

    fn count(&self, row: &Row, matches: &mut Matches) {
        let taken = self.counting.takes(row);
        let Some(taken) = taken.filter(|_| !self.is_withdrawn(row)) else {
            return;
        };
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
        let is_matched = !taken.is_other && feeds.iter().any(|place| self.told[*place].tells(row));
        self.counting
            .count(taken, (&placed, day), is_matched, matches);
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
