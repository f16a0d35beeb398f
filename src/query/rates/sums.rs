//! Taps added up by what rows tell of them, and by day.
//!
//! Where rows tell neither lines nor stops, what is known of a feed's whole days suffices; else
//! the counts of the lines and stops that rows tell are read besides.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{QueryError, plan, row_filter::RowFilter};
use super::choice::Chosen;
use super::coverage::{FeedReader, HOURS, When, kind_of};
use super::feeds::{FeedSet, ToldBy};
use super::inputs::RateJob;
use super::keys::{RowKeys, Scope};
use crate::domain::taps::Refusals;
use crate::domain::{Calendar, Hour, LocalDay, Question};
use crate::ledger::{DaySummary, TapView};

/// Taps of one cell, by day.
#[derive(Clone, Debug, Default)]
pub(super) struct CellTaps {
    /// The days for which any taps were told, rising, with their taps.
    days: Vec<(i32, u64)>,
    /// Who told them; `None` if nobody did.
    told_by: Option<ToldBy>,
}

/// Taps by cell of rows and day.
pub(super) struct TapSums {
    cells: Vec<CellTaps>,
}

impl CellTaps {
    /// Adds taps of a day.
    pub fn add(&mut self, day: LocalDay, taps: u64, by: ToldBy) {
        self.told_by = Some(ToldBy::together(self.told_by, by));
        match self.days.last_mut() {
            Some((last, sum)) if *last == day.0 => *sum += taps,
            _ => match self.days.binary_search_by_key(&day.0, |(day, _)| *day) {
                Ok(place) => self.days[place].1 += taps,
                Err(place) => self.days.insert(place, (day.0, taps)),
            },
        }
    }

    /// The days for which any taps were told, rising, with their taps.
    pub fn days(&self) -> &[(i32, u64)] {
        &self.days
    }

    /// Whether these taps include the refused ones: known only if all feeds that told any of
    /// them say the same.
    pub fn refusals(&self) -> Refusals {
        self.told_by.map_or(Refusals::Unknown, |by| by.refusals)
    }

    /// The feeds that told any of them, by their places in the choice.
    pub fn feeds(&self) -> FeedSet {
        self.told_by.map_or(FeedSet::default(), |by| by.feeds)
    }
}

impl TapSums {
    /// Without taps.
    pub fn new(keys: &RowKeys) -> Self {
        Self {
            cells: vec![CellTaps::default(); keys.cells()],
        }
    }

    /// The taps of a cell.
    pub fn of(&self, cell: u32) -> &CellTaps {
        &self.cells[cell as usize]
    }

    /// The feeds that told any taps of the question, by their places in the choice.
    pub fn feeds(&self, keys: &RowKeys) -> FeedSet {
        self.of(keys.total_cell()).feeds()
    }

    /// Adds taps of a day to a cell.
    pub fn add(&mut self, cell: u32, day: LocalDay, taps: u64, by: ToldBy) {
        self.cells[cell as usize].add(day, taps, by);
    }
}

/// Adds up the taps of the window from what is known of whole days, and reads counts only of
/// lines and stops that rows tell apart, or that the filter names. For feeds whose days are
/// those of the calendar.
pub(super) struct DaySums<'a> {
    question: &'a Question,
    keys: &'a RowKeys,
    row_filter: RowFilter,
    has_hours: bool,
    /// Whether rows tell neither lines nor stops.
    has_rows: bool,
    /// Whether the filter names any.
    is_filtered: bool,
    sums: TapSums,
}

/// Taps of feeds that rows do not tell apart, by hour of one day; and who told any.
type DayTaps = [(u64, Option<ToldBy>); HOURS];

/// Taps that were told of a time.
#[derive(Clone, Copy)]
struct ToldTaps {
    when: When,
    taps: u64,
    by: ToldBy,
}

impl<'a> DaySums<'a> {
    /// With the taps of lines and stops of which counts must be read.
    pub fn of_scopes(taps: &TapView<'_>, job: &RateJob<'a>) -> Result<Self, QueryError> {
        let RateJob {
            question,
            choice,
            keys,
            ..
        } = *job;
        let mut sums = TapSums::new(keys);
        let filter = &question.filter;
        let row_filter = RowFilter::new(filter, &taps.dictionary);
        let is_filtered = !filter.lines.is_empty() || !filter.stops.is_empty();
        let has_scopes = is_filtered || keys.tells_scopes();
        // Of a feed some of whose lines or stops are another's, only the others count.
        let by_scope = |chosen: &&Chosen<'_>| has_scopes || !chosen.is_whole();
        if choice.feeds.iter().any(|chosen| by_scope(&chosen)) {
            let reader = taps.reader();
            let scopes = keys.scopes();
            for chosen in choice.feeds.iter().filter(by_scope) {
                let is_whole = chosen.is_whole();
                let mut feed = FeedReader::new(chosen, question, keys, &row_filter);
                feed.sum_only();
                feed.sums_total = is_filtered || !is_whole;
                if !is_filtered && is_whole {
                    feed.keep_scopes(|scope| scopes.contains(&(scope.line, scope.stop)));
                }
                if feed.scopes.iter().any(Option::is_some) {
                    feed.read(&reader, |_| true, &mut sums)?;
                }
            }
        }
        Ok(Self {
            question,
            keys,
            row_filter,
            has_hours: plan::needs_hours_of_day(question),
            has_rows: !has_scopes,
            is_filtered,
            sums,
        })
    }

    /// Adds what feeds told of a day, of those that count as wholes.
    pub fn add_day<'c>(
        &mut self,
        day: LocalDay,
        heads: impl Iterator<Item = (&'c Chosen<'c>, Arc<DaySummary>)>,
    ) {
        if self.is_filtered {
            return;
        }
        // By what rows tell of a feed, if anything.
        let mut scopes = BTreeMap::<(u16, u8), DayTaps>::new();
        for (chosen, head) in heads {
            if !chosen.is_whole() || !self.row_filter.takes_operator(chosen.operator.into()) {
                continue;
            }
            let scope = self.keys.feed_scope(chosen.operator, kind_of(chosen));
            let hours = scopes.entry(scope).or_insert([(0, None); HOURS]);
            let by = chosen.told_by();
            for (place, taps) in head.taps.iter().enumerate() {
                hours[place].0 += taps;
                if head.told >> place & 1 == 1 {
                    hours[place].1 = Some(ToldBy::together(hours[place].1, by));
                }
            }
        }
        for ((operator, kind), hours) in scopes {
            let scope = Scope {
                operator,
                line: 0,
                stop: 0,
                kind,
            };
            self.add_hours(&scope, day, &hours);
        }
    }

    /// The sums.
    pub fn finish(self) -> TapSums {
        self.sums
    }

    fn add_hours(&mut self, scope: &Scope, day: LocalDay, hours: &DayTaps) {
        let window = self.question.window;
        if !self.has_hours && window.contains_day(day) {
            let by = hours.iter().filter_map(|(_, by)| *by);
            if let Some(by) = by.reduce(|one, other| ToldBy::together(Some(one), other)) {
                let when = When {
                    day,
                    hour_of_day: None,
                };
                let taps = hours.iter().map(|(taps, _)| taps).sum();
                self.put(scope, ToldTaps { when, taps, by });
            }
            return;
        }
        let calendar = Calendar::get();
        let (start, end) = calendar.hours(day);
        for (hour, (taps, by)) in (start..end).map(Hour).zip(hours) {
            let hour_of_day = calendar.hour_of_day(day, hour);
            let wanted = self.question.filter.hours_of_day;
            let takes_hour = wanted == 0 || wanted >> hour_of_day & 1 == 1;
            if let Some(by) = by
                && takes_hour
                && window.contains(hour)
            {
                let when = When {
                    day,
                    hour_of_day: Some(hour_of_day),
                };
                let (taps, by) = (*taps, *by);
                self.put(scope, ToldTaps { when, taps, by });
            }
        }
    }

    fn put(&mut self, scope: &Scope, told: ToldTaps) {
        let ToldTaps { when, taps, by } = told;
        self.sums.add(self.keys.total_cell(), when.day, taps, by);
        if self.has_rows
            && let Some(cell) = self.keys.cell(scope, when)
        {
            self.sums.add(cell, when.day, taps, by);
        }
    }
}
