//! The taps of the chosen feeds: added up by row and day, and remembered as told or not, so
//! that reports can be matched.
//!
//! Where a service day lies wholly in the window and is a calendar day, and hours of day do
//! not matter, its totals suffice; else its counts are read. Quarters are added up to hours, and
//! an hour of which not all four were told counts as not told, because figures know reports to the
//! hour.

use hashbrown::HashMap;

use crate::domain::taps::{TapGrain, TapInterval};
use crate::domain::taxonomy::Taxonomy;
use crate::domain::{Calendar, Hour, LocalDay, Question, Row, RowTime};
use crate::ledger::{LedgerError, TapDay};
use crate::store::TapReader;

use super::super::{QueryError, plan, row_filter::RowFilter};
use super::choice::Chosen;
use super::keys::{RowKeys, Scope};
use super::sums::TapSums;

const QUARTERS: u8 = 4;
/// Hours of the longest service day.
pub(super) const HOURS: usize = 25;

/// When taps were made, as far as rows tell it apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    pub day: LocalDay,
    pub hour_of_day: Option<u8>,
}

/// How much of a scope was told on a day; 0 stands for nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ScopeCoverage {
    /// Some of its hours: `partial` says which.
    Partly = 1,
    Wholly = 2,
}

/// Beside it: whether any taps of the scope and day count in the question, as more is read than it
/// asks about.
const COUNTS: u8 = 4;

/// Which counts a feed told within the window.
pub(super) struct FeedCoverage {
    operator: u16,
    kinds: u16,
    grain: TapGrain,
    interval: TapInterval,
    has_service_days: bool,
    /// Number of a scope plus one, by line or stop; 0 for none.
    by_name: Vec<u32>,
    by_pair: HashMap<(u32, u32), u32>,
    first_day: i32,
    /// First hour of each service day, and the hour after the last.
    starts: Vec<u32>,
    days: usize,
    /// By scope, then by day; empty where nothing is to be remembered.
    told: Vec<u8>,
    /// Hours told, as bits, of scopes and days.
    partial: HashMap<(u32, u32), u32>,
}

/// The kind of tap of a feed, if it tells only one; else 0.
pub(super) fn kind_of(chosen: &Chosen<'_>) -> u8 {
    let mut kinds = chosen.feed().kinds.set().iter();
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) => kind.number(),
        _ => 0,
    }
}

/// The scopes of a feed, by number; `None` where the filter leaves one out, or it is another
/// feed's.
pub(super) fn scopes_of(chosen: &Chosen<'_>, row_filter: &RowFilter) -> Vec<Option<Scope>> {
    let kind = kind_of(chosen);
    let scope = |(number, &(line, stop)): (u32, &(u32, u32))| {
        let is_wanted = chosen.has_scope(number)
            && row_filter.takes_operator(chosen.operator.into())
            && row_filter.takes_line(line)
            && row_filter.takes_stop(stop);
        is_wanted.then_some(Scope {
            operator: chosen.operator,
            line,
            stop,
            kind,
        })
    };
    (0..).zip(chosen.book.scopes()).map(scope).collect()
}

/// Reads the counts of one feed.
pub(super) struct FeedReader<'a> {
    pub chosen: &'a Chosen<'a>,
    question: &'a Question,
    keys: &'a RowKeys,
    pub told: FeedCoverage,
    /// By number, as `scopes_of` gives them.
    pub scopes: Vec<Option<Scope>>,
    /// Whether rows tell hours of day apart.
    has_hours: bool,
    /// Whether the taps of all rows together are added up.
    pub sums_total: bool,
    /// Whether none are added up at all.
    pub sums_none: bool,
}

impl<'a> FeedReader<'a> {
    pub fn new(
        chosen: &'a Chosen<'a>,
        question: &'a Question,
        keys: &'a RowKeys,
        row_filter: &RowFilter,
    ) -> Self {
        Self {
            chosen,
            question,
            keys,
            told: FeedCoverage::new(chosen, question),
            scopes: scopes_of(chosen, row_filter),
            has_hours: plan::needs_hours_of_day(question),
            sums_total: true,
            sums_none: false,
        }
    }

    /// Adds up and remembers nothing of what was told, which may take more memory than all sums.
    pub fn sum_only(&mut self) {
        self.told.told = Vec::new();
    }

    /// Leaves out all other scopes.
    pub fn keep_scopes(&mut self, keeps: impl Fn(&Scope) -> bool) {
        for scope in &mut self.scopes {
            *scope = scope.filter(&keeps);
        }
    }

    /// Reads the days that are wanted.
    pub fn read(
        &mut self,
        reader: &TapReader<'_>,
        wants: impl Fn(LocalDay) -> bool,
        sums: &mut TapSums,
    ) -> Result<(), QueryError> {
        let first = LocalDay(self.told.first_day);
        let end = LocalDay(self.told.first_day + i32::try_from(self.told.days).unwrap_or(0));
        let book = self.chosen.book;
        for (day, TapDay { chunks, .. }) in book.days().range(first..end) {
            if !wants(*day) {
                continue;
            }
            let is_read =
                self.may_use_totals(*day) && self.read_totals(reader, *day, chunks, sums)?;
            if !is_read && self.chosen.feed().interval != TapInterval::Day {
                self.read_counts(reader, *day, chunks, sums)?;
            }
        }
        Ok(())
    }

    /// Whether all of a service day counts in the window, and on the same day of the answer.
    fn may_use_totals(&self, day: LocalDay) -> bool {
        let (start, end) = self.told.hours(day);
        let window = self.question.window;
        let is_inside = window.start().0 <= start && end <= window.end().0;
        match self.told.interval {
            TapInterval::Day => is_inside || self.chosen.has_service_days(),
            TapInterval::Hour | TapInterval::Quarter => {
                is_inside && !self.has_hours && self.chosen.feed().day_begin.hour() == 0
            }
        }
    }

    /// Says whether the totals sufficed; if not, nothing was added.
    fn read_totals(
        &mut self,
        reader: &TapReader<'_>,
        day: LocalDay,
        chunks: &[u16],
        sums: &mut TapSums,
    ) -> Result<bool, QueryError> {
        let feed = self.chosen.feed();
        let totals = reader
            .totals(self.chosen.number, feed.interval, day, chunks)
            .map_err(LedgerError::from)?;
        let slots = feed.slots(day);
        let wanted = |(scope, total): &(usize, &crate::store::taps::DayTotal)| {
            total.told != 0 && self.scopes[*scope].is_some()
        };
        let some = || totals.iter().enumerate().filter(wanted);
        if some().any(|(_, total)| total.told < slots) {
            return Ok(false);
        }
        if !self.takes_day(day) {
            return Ok(true);
        }
        let when = When {
            day,
            hour_of_day: None,
        };
        let mut all = None;
        for (number, total) in totals.iter().enumerate() {
            let Some(scope) = self.scopes[number].filter(|_| total.told != 0) else {
                continue;
            };
            self.told.set(number, day, ScopeCoverage::Wholly);
            self.told.count(number, day);
            *all.get_or_insert(0) += total.taps;
            self.sum_row(&scope, when, total.taps, sums);
        }
        if let Some(taps) = all {
            self.sum_total(day, taps, sums);
        }
        Ok(true)
    }

    fn read_counts(
        &mut self,
        reader: &TapReader<'_>,
        day: LocalDay,
        chunks: &[u16],
        sums: &mut TapSums,
    ) -> Result<(), QueryError> {
        let interval = self.told.interval;
        let per_hour = match interval {
            TapInterval::Quarter => QUARTERS,
            TapInterval::Hour | TapInterval::Day => 1,
        };
        let mut scope_hours = ScopeHours::default();
        let mut before = None;
        let number = self.chosen.number;
        let each = |scope: u32, slot: u8, taps: u32| {
            // Counts come scope by scope.
            if before != Some(scope) {
                if let Some(before) = before.replace(scope) {
                    self.finish_scope(before, day, &scope_hours, sums, per_hour);
                }
                scope_hours = ScopeHours::default();
            }
            let hour = usize::from(slot / per_hour);
            scope_hours.told[hour] += 1;
            scope_hours.taps[hour] += u64::from(taps);
        };
        reader
            .each_count(number, interval, day, chunks, each)
            .map_err(LedgerError::from)?;
        if let Some(before) = before {
            self.finish_scope(before, day, &scope_hours, sums, per_hour);
        }
        Ok(())
    }

    fn finish_scope(
        &mut self,
        number: u32,
        day: LocalDay,
        hours: &ScopeHours,
        sums: &mut TapSums,
        per_hour: u8,
    ) {
        let Some(scope) = self.scopes[number as usize] else {
            return;
        };
        let calendar = Calendar::get();
        let (start, end) = self.told.hours(day);
        let mut bits = 0u32;
        for (place, hour) in (start..end).enumerate() {
            if hours.told[place] != per_hour {
                continue;
            }
            bits |= 1 << place;
            if !self.question.window.contains(Hour(hour)) {
                continue;
            }
            let local_day = calendar.day(Hour(hour));
            let hour_of_day = calendar.hour_of_day(local_day, Hour(hour));
            let wanted = self.question.filter.hours_of_day;
            let takes_hour = wanted == 0 || wanted >> hour_of_day & 1 == 1;
            if !takes_hour || !self.takes_day(local_day) {
                continue;
            }
            let when = When {
                day: local_day,
                hour_of_day: Some(hour_of_day),
            };
            self.told.count(number as usize, local_day);
            self.sum_total(local_day, hours.taps[place], sums);
            self.sum_row(&scope, when, hours.taps[place], sums);
        }
        let whole = (1u32 << (end - start)) - 1;
        if bits == whole {
            self.told.set(number as usize, day, ScopeCoverage::Wholly);
        } else if bits != 0 {
            self.told.set(number as usize, day, ScopeCoverage::Partly);
            self.told.set_hours(number, day, bits);
        }
    }

    fn sum_row(&self, scope: &Scope, when: When, taps: u64, sums: &mut TapSums) {
        if !self.sums_none
            && let Some(cell) = self.keys.cell(scope, when)
        {
            sums.add(cell, when.day, taps, self.chosen.told_by());
        }
    }

    fn sum_total(&self, day: LocalDay, taps: u64, sums: &mut TapSums) {
        if self.sums_total && !self.sums_none {
            let by = self.chosen.told_by();
            sums.add(self.keys.total_cell(), day, taps, by);
        }
    }

    fn takes_day(&self, day: LocalDay) -> bool {
        self.question.filter.takes_day(day)
    }
}

/// Counts of one scope on one day by hour: how many were told, and their taps.
#[derive(Clone, Copy, Default)]
struct ScopeHours {
    told: [u8; HOURS],
    taps: [u64; HOURS],
}

impl FeedCoverage {
    fn new(chosen: &Chosen<'_>, question: &Question) -> Self {
        let feed = chosen.feed();
        let window = question.window;
        // One day earlier, as the night of the first day may lie in the service day before.
        let mut days = window.days();
        let first = days.next().map_or(0, |day| day.0);
        let last = days.last().map_or(first, |day| day.0);
        let first = match chosen.has_service_days() {
            true => first,
            false => first - 1,
        };
        let starts: Vec<u32> = (first..=last + 1)
            .map(|day| feed.hours(LocalDay(day)).0)
            .collect();
        let days = starts.len() - 1;
        let scopes = chosen.book.scopes();
        let mut by_name = Vec::new();
        let mut by_pair = HashMap::new();
        for (number, (line, stop)) in (1..).zip(scopes) {
            let name = match feed.grain {
                TapGrain::Operator => 0,
                TapGrain::Line => *line as usize,
                TapGrain::Stop => *stop as usize,
                TapGrain::LineStop => {
                    by_pair.insert((*line, *stop), number);
                    continue;
                }
            };
            if by_name.len() <= name {
                by_name.resize(name + 1, 0);
            }
            by_name[name] = number;
        }
        Self {
            operator: chosen.operator,
            kinds: feed.kinds.set().bits(),
            grain: feed.grain,
            interval: feed.interval,
            has_service_days: chosen.has_service_days(),
            by_name,
            by_pair,
            first_day: first,
            starts,
            days,
            told: vec![0; scopes.len() * days],
            partial: HashMap::new(),
        }
    }

    /// The numbers of scopes of which anything was told that counts, with on how many days.
    pub fn scopes_told(&self) -> impl Iterator<Item = (u32, u32)> {
        let scopes = (0..).zip(self.told.chunks_exact(self.days));
        let days = scopes.map(|(number, days)| {
            let days = days.iter().filter(|told| **told & COUNTS != 0);
            (number, u32::try_from(days.count()).expect("days are few"))
        });
        days.filter(|(_, days)| *days != 0)
    }

    /// The operator whose taps it tells.
    pub fn operator(&self) -> u16 {
        self.operator
    }

    /// The service day of a report's hour, if days of reports are service days.
    pub fn service_day(&self, hour: Hour) -> Option<LocalDay> {
        if !self.has_service_days {
            return None;
        }
        // Before the first and after the last, any day outside the window will do.
        let days = self.starts.partition_point(|start| *start <= hour.0);
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        Some(LocalDay(self.first_day + days - 1))
    }

    /// The hours that its service days within the window have.
    pub fn hours_read(&self) -> (u32, u32) {
        (self.starts[0], self.starts[self.days])
    }

    /// Whether taps were told for the scope and the interval of a report.
    pub fn tells(&self, row: &Row) -> bool {
        if row.tap_kind == 0 || self.kinds >> row.tap_kind & 1 == 0 {
            return false;
        }
        let Some(scope) = self.scope(row) else {
            return false;
        };
        let (place, hour) = match row.time {
            RowTime::Hour(hour) => {
                let days = self.starts.partition_point(|start| *start <= hour.0);
                let Some(place) = days.checked_sub(1).filter(|place| *place < self.days) else {
                    return false;
                };
                (place, hour.0 - self.starts[place])
            }
            RowTime::Day(day) => {
                if self.interval != TapInterval::Day || self.has_service_days {
                    return false;
                }
                let place = usize::try_from(day.0 - self.first_day).unwrap_or(usize::MAX);
                if self.days <= place {
                    return false;
                }
                (place, 0)
            }
        };
        let told = self.told[scope as usize * self.days + place] & !COUNTS;
        if told == ScopeCoverage::Partly as u8 {
            let place = u32::try_from(place).expect("days are few");
            let bits = self.partial.get(&(scope, place)).copied().unwrap_or(0);
            return bits >> hour & 1 == 1;
        }
        told == ScopeCoverage::Wholly as u8
    }

    fn scope(&self, row: &Row) -> Option<u32> {
        let number = match self.grain {
            TapGrain::Operator => self.by_name.first().copied(),
            TapGrain::Line => self.by_name.get(row.line as usize).copied(),
            TapGrain::Stop => self.by_name.get(row.stop as usize).copied(),
            TapGrain::LineStop => self.by_pair.get(&(row.line, row.stop)).copied(),
        };
        number?.checked_sub(1)
    }

    fn hours(&self, day: LocalDay) -> (u32, u32) {
        let place = self.place(day) as usize;
        (self.starts[place], self.starts[place + 1])
    }

    fn place(&self, day: LocalDay) -> u32 {
        u32::try_from(day.0 - self.first_day).expect("only days of the window are read")
    }

    fn set(&mut self, scope: usize, day: LocalDay, told: ScopeCoverage) {
        if let Some(place) = self.told_of(scope, day) {
            *place = told as u8 | *place & COUNTS;
        }
    }

    /// Says which hours were told of a scope and day.
    fn set_hours(&mut self, scope: u32, day: LocalDay, bits: u32) {
        let place = self.place(day);
        if self.told_of(scope as usize, day).is_some() {
            self.partial.insert((scope, place), bits);
        }
    }

    /// Says that taps of a scope and day count.
    fn count(&mut self, scope: usize, day: LocalDay) {
        if let Some(place) = self.told_of(scope, day) {
            *place |= COUNTS;
        }
    }

    /// What is known of a scope and day; `None` if nothing is to be remembered.
    fn told_of(&mut self, scope: usize, day: LocalDay) -> Option<&mut u8> {
        let place = scope * self.days + self.place(day) as usize;
        self.told.get_mut(place)
    }
}
