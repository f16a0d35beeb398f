//! Taps added up by what rows tell of them, and by day.
//!
//! Where rows tell neither lines nor stops, what is known of a feed's whole days suffices; else
//! the counts of the lines and stops that rows tell are read besides.

use std::collections::BTreeMap;

use super::super::{QueryError, plan, sieve::Sieve};
use super::choice::{Choice, Chosen};
use super::keys::{RowKeys, Scope};
use super::told::{FeedReader, HOURS, When, kind_of};
use crate::domain::{Calendar, Hour, LocalDay, Question};
use crate::ledger::{Heads, TapView};

/// Taps by cell of rows and day.
pub(super) struct TapSums {
    /// Days rising.
    cells: Vec<Vec<(i32, u64)>>,
}

impl TapSums {
    /// Without taps.
    pub fn new(keys: &RowKeys) -> Self {
        Self {
            cells: vec![Vec::new(); keys.cells()],
        }
    }

    /// The days of a cell for which any taps were told, with their taps.
    pub fn days(&self, cell: u32) -> &[(i32, u64)] {
        &self.cells[cell as usize]
    }

    /// Adds taps of a day to a cell.
    pub fn add(&mut self, cell: u32, day: LocalDay, taps: u64) {
        let days = &mut self.cells[cell as usize];
        match days.last_mut() {
            Some((last, sum)) if *last == day.0 => *sum += taps,
            _ => match days.binary_search_by_key(&day.0, |(day, _)| *day) {
                Ok(place) => days[place].1 += taps,
                Err(place) => days.insert(place, (day.0, taps)),
            },
        }
    }
}

/// Adds up the taps of the window from what is known of whole days, and reads counts only of
/// lines and stops that rows tell apart, or that the filter names. For feeds whose days are
/// those of the calendar. `heads` are those of the window, in the order of the choice.
pub(super) fn sum<'c, 'h>(
    taps: &TapView<'_>,
    choice: &'c Choice<'c>,
    question: &Question,
    keys: &RowKeys,
    heads: impl Iterator<Item = &'h Heads>,
) -> Result<TapSums, QueryError> {
    let mut sums = TapSums::new(keys);
    let filter = &question.filter;
    let sieve = Sieve::new(filter, &taps.dictionary);
    let is_filtered = !filter.lines.is_empty() || !filter.stops.is_empty();
    let has_scopes = is_filtered || keys.tells_scopes();
    if has_scopes {
        let reader = taps.reader();
        let scopes = keys.scopes();
        for chosen in &choice.feeds {
            let mut feed = FeedReader::new(chosen, question, keys, &sieve);
            feed.sums_total = is_filtered;
            if !is_filtered {
                feed.keep_scopes(|scope| scopes.contains(&(scope.line, scope.stop)));
            }
            if feed.scopes.iter().any(Option::is_some) {
                feed.read(&reader, |_| true, &mut sums)?;
            }
        }
    }
    if !is_filtered {
        let by_head = ByHead {
            question,
            keys,
            has_hours: plan::needs_hours_of_day(question),
            has_rows: !has_scopes,
        };
        let taken =
            |(chosen, _): &(&Chosen<'_>, &Heads)| sieve.takes_operator(chosen.operator.into());
        by_head.add(choice.feeds.iter().zip(heads).filter(taken), &mut sums);
    }
    Ok(sums)
}

/// Adds up whole feeds.
struct ByHead<'a> {
    question: &'a Question,
    keys: &'a RowKeys,
    has_hours: bool,
    /// Whether rows tell neither lines nor stops.
    has_rows: bool,
}

/// Taps of feeds that rows do not tell apart, by hour of one day; whether any were told.
type DayTaps = [(u64, bool); HOURS];

impl ByHead<'_> {
    fn add<'c, 'h>(
        &self,
        feeds: impl Iterator<Item = (&'c Chosen<'c>, &'h Heads)>,
        sums: &mut TapSums,
    ) {
        // By what rows tell of a feed, if anything.
        let mut days = BTreeMap::<(u16, u8), BTreeMap<LocalDay, DayTaps>>::new();
        for (chosen, heads) in feeds {
            let scope = self.keys.feed_scope(chosen.operator, kind_of(chosen));
            let days = days.entry(scope).or_default();
            for (day, head) in heads {
                let hours = days.entry(*day).or_insert([(0, false); HOURS]);
                for (place, taps) in head.taps.iter().enumerate() {
                    hours[place].0 += taps;
                    hours[place].1 |= head.told >> place & 1 == 1;
                }
            }
        }
        for ((operator, kind), days) in days {
            let scope = Scope {
                operator,
                line: 0,
                stop: 0,
                kind,
            };
            for (day, hours) in days {
                if self.question.filter.takes_day(day) {
                    self.add_day(&scope, day, &hours, sums);
                }
            }
        }
    }

    fn add_day(&self, scope: &Scope, day: LocalDay, hours: &DayTaps, sums: &mut TapSums) {
        let window = self.question.window;
        if !self.has_hours && window.contains_day(day) {
            if hours.iter().any(|(_, is_told)| *is_told) {
                let taps = hours.iter().map(|(taps, _)| taps).sum();
                self.put(scope, day, None, taps, sums);
            }
            return;
        }
        let calendar = Calendar::get();
        let (start, end) = calendar.hours(day);
        for (hour, (taps, is_told)) in (start..end).map(Hour).zip(hours) {
            let hour_of_day = calendar.hour_of_day(day, hour);
            let wanted = self.question.filter.hours_of_day;
            let takes_hour = wanted == 0 || wanted >> hour_of_day & 1 == 1;
            if *is_told && takes_hour && window.contains(hour) {
                self.put(scope, day, Some(hour_of_day), *taps, sums);
            }
        }
    }

    fn put(
        &self,
        scope: &Scope,
        day: LocalDay,
        hour_of_day: Option<u8>,
        taps: u64,
        sums: &mut TapSums,
    ) {
        sums.add(self.keys.total_cell(), day, taps);
        if self.has_rows
            && let Some(cell) = self.keys.cell(scope, When { day, hour_of_day })
        {
            sums.add(cell, day, taps);
        }
    }
}
