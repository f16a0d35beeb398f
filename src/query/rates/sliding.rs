//! Rates over a window of minutes, for those who watch it.
//!
//! Taps are told when their interval is over, so that the end of a window that slides with the
//! clock never has any. Rates are therefore about its rated part alone: from the first interval
//! of a feed that lies wholly in the window and was told, to the end of the last. Reports of
//! that part are matched by the minute, so that quarters need not make up an hour; otherwise
//! all is as in a question of that part. What was told changes far less often than what is
//! reported, and is therefore kept from one count to the next.

use std::ops::RangeInclusive;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::domain::limits::{WATCH_RATED_PERCENT_MIN, WATCHED_TAP_SUMS_MAX};
use crate::domain::question::Breakdown;
use crate::domain::taps::{TapGrain, TapInterval};
use crate::domain::{
    Calendar, Filter, Hour, LocalDay, Minute, MinuteSpan, Position, Question, Row, RowTime, Stamp,
    TapFeed, UtcMillis, Window,
};
use crate::ledger::{Dictionary, LedgerError, TapView};
use crate::stats::rate::Coverage;

use super::super::row_filter::RowFilter;
use super::super::{Figure, QueryError, Recorded};
use super::choice::{Candidates, Choice, Chosen, ScopesByFeed};
use super::coverage::{When, scopes_of};
use super::feeds::ToldBy;
use super::keys::{Numbers, RowKeys, tap_numbers};
use super::matched::{Counting, Matches};
use super::periods::{ByHour, Period, Periods};
use super::refusals::AllRefusals;
use super::sums::CellTaps;
use super::{RateFigure, RatesWanted, Rules, check_feeds};

const QUARTER_MINUTES: u32 = 15;
const HOUR_MINUTES: u32 = 60;

/// What is asked of a window.
#[derive(Clone, Copy)]
pub struct Sliding<'a> {
    /// Which incidents.
    pub filter: &'a Filter,
    /// Broken down by what.
    pub by: &'a Breakdown,
    /// How rates are to be made.
    pub wanted: &'a RatesWanted,
    /// The window, of at most a day.
    pub span: MinuteSpan,
}

/// What is known of the rows of a window.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Their numbers.
    pub dictionary: &'a Dictionary,
    /// When the record began, if that is known.
    pub began: Option<Stamp>,
    /// From which minute on there are all: those of before may have been let go.
    pub complete_from: Minute,
}

/// The taps told within a window, of one filter and breakdown. Holds until a count of taps
/// changes or the window reaches another quarter of an hour.
pub struct WindowTaps {
    quarters: Quarters,
    changed: Position,
    feeds: Vec<FeedQuarters>,
    /// By what rows tell apart of taps.
    sums: HashMap<Numbers, ToldTaps>,
    total: ToldTaps,
    rated: Option<MinuteSpan>,
    is_none_fine_enough: bool,
    /// Whether any feed leaves refused taps out.
    leaves_refusals_out: bool,
    used: Vec<(TapFeed, u64)>,
}

/// The rows of a watch with their rates.
#[derive(Clone, Debug, PartialEq)]
pub struct SlidingRates {
    /// One for each row.
    pub rows: Vec<RateFigure>,
    /// Of all reports of the rated part.
    pub total: RateFigure,
    /// The feeds whose taps were used, with the number of service days each told.
    pub feeds: Vec<(TapFeed, u64)>,
    /// The part that rates are about; `None` if no taps were told.
    pub rated: Option<MinuteSpan>,
}

/// The whole quarters of an hour within a window, half-open, numbered since 1970.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Quarters {
    start: u32,
    end: u32,
}

/// Taps of one cell.
#[derive(Default)]
struct ToldTaps {
    taps: CellTaps,
    /// The quarters of which any were told, as bits from the first of the window.
    quarters: u128,
}

/// What one feed told.
struct FeedQuarters {
    operator: u16,
    kinds: u16,
    grain: TapGrain,
    /// Quarters told, as bits from the first of the window, by numbers of line and stop.
    by_scope: HashMap<(u32, u32), u128>,
}

/// A quarter of an hour as questions see it; `None` if the filter leaves it out.
type Seen = Option<When>;

/// How taps are read into sums.
struct Reading<'a> {
    taps: &'a TapView<'a>,
    by: &'a Breakdown,
    window: Window,
    quarters: Quarters,
    /// By place in `quarters`.
    times: Vec<Seen>,
    sums_max: usize,
    sums: HashMap<Numbers, ToldTaps>,
    total: ToldTaps,
}

// === impl Quarters ===

impl Quarters {
    fn within(span: MinuteSpan) -> Self {
        let start = span.start.0.div_ceil(QUARTER_MINUTES);
        Self {
            start,
            end: (span.end.0 / QUARTER_MINUTES).max(start),
        }
    }

    /// Its place, if the quarters from it on, so many, lie inside.
    fn place(self, quarter: u32, quarters: u32) -> Option<u32> {
        let is_inside = self.start <= quarter && quarter + quarters <= self.end;
        is_inside.then(|| quarter - self.start)
    }

    /// The span from the first to the last of these bits.
    fn span(self, bits: u128) -> Option<MinuteSpan> {
        let last = 127u32.checked_sub(bits.leading_zeros())?;
        let first = bits.trailing_zeros();
        Some(MinuteSpan {
            start: Minute((self.start + first) * QUARTER_MINUTES),
            end: Minute((self.start + last + 1) * QUARTER_MINUTES),
        })
    }
}

// === impl WindowTaps ===

impl WindowTaps {
    /// Whether it is what reading the taps of this window would give, when the last change of
    /// any count is at this place.
    pub fn holds_for(&self, span: MinuteSpan, changed: Position) -> bool {
        self.quarters == Quarters::within(span) && self.changed == changed
    }

    /// Reads the taps of a window. Blocking.
    pub fn read(taps: &TapView<'_>, asked: Sliding<'_>) -> Result<Self, QueryError> {
        Self::read_within(taps, asked, WATCHED_TAP_SUMS_MAX)
    }

    fn read_within(
        taps: &TapView<'_>,
        asked: Sliding<'_>,
        sums_max: usize,
    ) -> Result<Self, QueryError> {
        let Sliding {
            filter,
            by,
            wanted,
            span,
        } = asked;
        let book = Arc::clone(&taps.book);
        check_feeds(wanted, &book)?;
        let question = question(filter, by, span).ok_or(QueryError::TooManyRows)?;
        let feeds = Candidates::sliding(&question, wanted, &book, &taps.dictionary);
        let row_filter = RowFilter::new(filter, &taps.dictionary);
        let quarters = Quarters::within(span);
        let times = (quarters.start..quarters.end).map(|quarter| seen(filter, quarter));
        let mut reading = Reading {
            taps,
            by,
            window: question.window,
            quarters,
            times: times.collect(),
            sums_max,
            sums: HashMap::new(),
            total: ToldTaps::default(),
        };
        let told = reading.scopes_told(&feeds.unclear(), &row_filter)?;
        let choice = feeds.settle(&told, wanted)?;
        let feeds = choice.feeds.iter();
        let feeds: Result<Vec<_>, _> = feeds.map(|feed| reading.feed(feed, &row_filter)).collect();
        Ok(Self {
            quarters,
            changed: book.last(),
            feeds: feeds?,
            rated: quarters.span(reading.total.quarters),
            used: choice.used(reading.total.taps.feeds(), &question),
            sums: reading.sums,
            total: reading.total,
            is_none_fine_enough: choice.is_none_fine_enough(),
            leaves_refusals_out: choice.leaves_refusals_out(),
        })
    }

    /// Sets the rows of a window against its taps. `rows` are all of the window, with their
    /// minutes; `figures` are what counting them gave. Where some of the rated part were let go, it
    /// has no rate. `None` outside the supported years.
    pub fn rates<'r>(
        &self,
        asked: Sliding<'_>,
        figures: &[Figure],
        rows: impl Iterator<Item = (Minute, &'r Row)>,
        known: Known<'_>,
    ) -> Option<SlidingRates> {
        let Sliding {
            filter,
            by,
            wanted,
            span,
        } = asked;
        let part = self.rated.unwrap_or(span);
        let question = question(filter, by, part)?;
        let keys = RowKeys::new(&question, figures, known.dictionary);
        let counted = self.count(&question, part, &keys, rows, known.dictionary);
        let has_all = known.complete_from <= part.start;
        let rules = Rules {
            basis: filter.basis,
            is_none_fine_enough: self.is_none_fine_enough,
            wanted,
            used: self.total.taps.feeds(),
        };
        let rated = periods(&question, &keys, part).within(Recorded {
            began: known.began,
            until: UtcMillis(i64::MAX),
        });
        let whole = self::question(filter, by, span)?;
        let whole = periods(&whole, &keys, span);
        let none = ToldTaps::default();
        let rate = |row: usize| {
            let told = match keys.told_part(row) {
                Some(told) => self.sums.get(&told).unwrap_or(&none),
                None => &self.total,
            };
            let coverage = Coverage::Judged(has_all && told.covers(&whole.of(row)));
            let counted = counted.of(row, &keys);
            rules.rate(&rated.of(row), (&told.taps, coverage), counted)
        };
        Some(SlidingRates {
            rows: (0..keys.total()).map(rate).collect(),
            total: rate(keys.total()),
            feeds: self.used.clone(),
            rated: self.rated,
        })
    }

    /// Reports by row, and all refusals of their taps.
    fn count<'r>(
        &self,
        question: &Question,
        part: MinuteSpan,
        keys: &RowKeys,
        rows: impl Iterator<Item = (Minute, &'r Row)>,
        dictionary: &Dictionary,
    ) -> Matches {
        let all = AllRefusals::of(question, keys).filter(|_| self.leaves_refusals_out);
        let counting = Counting::new(question, keys, all, dictionary);
        let mut counted = counting.none();
        for (minute, row) in rows {
            if !part.contains(minute) || !takes_time(&question.filter, row.time) {
                continue;
            }
            if let Some(taken) = counting.takes(row) {
                let is_matched = !taken.is_other && self.tells(row, minute);
                counting.count(taken, (row, row.time.day()), is_matched, &mut counted);
            }
        }
        counted
    }

    /// Whether taps were told for the scope and the minute of a report.
    fn tells(&self, row: &Row, minute: Minute) -> bool {
        let Some(place) = self.quarters.place(minute.0 / QUARTER_MINUTES, 1) else {
            return false;
        };
        self.feeds.iter().any(|feed| {
            feed.operator == row.operator
                && row.tap_kind != 0
                && feed.kinds >> row.tap_kind & 1 == 1
                && feed.quarters(row) >> place & 1 == 1
        })
    }
}

// === impl ToldTaps ===

impl ToldTaps {
    fn add(&mut self, day: LocalDay, taps: u64, by: ToldBy, quarters: u128) {
        self.taps.add(day, taps, by);
        self.quarters |= quarters;
    }

    /// Whether enough was told of what a row is about of the window.
    fn covers(&self, window: &Period<'_>) -> bool {
        let told = u64::from(self.quarters.count_ones() * QUARTER_MINUTES);
        window.minutes_of_all() * WATCH_RATED_PERCENT_MIN <= told * 100
    }
}

// === impl FeedQuarters ===

impl FeedQuarters {
    fn quarters(&self, row: &Row) -> u128 {
        let scope = match self.grain {
            TapGrain::Operator => (0, 0),
            TapGrain::Line => (row.line, 0),
            TapGrain::Stop => (0, row.stop),
            TapGrain::LineStop => (row.line, row.stop),
        };
        self.by_scope.get(&scope).copied().unwrap_or(0)
    }
}

// === impl Reading ===

impl Reading<'_> {
    /// The lines and stops of which feeds told taps within the window, with on how many service
    /// days.
    fn scopes_told(
        &self,
        choice: &Choice<'_>,
        row_filter: &RowFilter,
    ) -> Result<ScopesByFeed, QueryError> {
        let mut all = ScopesByFeed::default();
        for chosen in &choice.feeds {
            let feed = chosen.feed();
            let quarters = quarters_of(feed);
            let scopes = scopes_of(chosen, row_filter);
            // With the last of these days.
            let mut days: Vec<(u32, Option<LocalDay>)> = vec![(0, None); scopes.len()];
            for (day, told) in chosen.book.days().range(self.days_reached()) {
                let start = first_quarter(feed, *day);
                let each = |scope: u32, slot: u8, _taps: u32| {
                    let scope = scope as usize;
                    let quarter = start + u32::from(slot) * quarters;
                    let place = self.quarters.place(quarter, quarters);
                    let is_seen = place.is_some_and(|place| self.times[place as usize].is_some());
                    if is_seen && scopes[scope].is_some() && days[scope].1 != Some(*day) {
                        days[scope] = (days[scope].0 + 1, Some(*day));
                    }
                };
                self.taps
                    .reader()
                    .each_count(chosen.number, feed.interval, *day, &told.chunks, each)
                    .map_err(LedgerError::from)?;
            }
            let days = (0..).zip(days).map(|(number, (days, _))| (number, days));
            all.put(chosen, days.filter(|(_, days)| *days != 0));
        }
        Ok(all)
    }

    /// The service days that the window reaches into: one earlier, too, as the night of the first
    /// day may lie in it.
    fn days_reached(&self) -> RangeInclusive<LocalDay> {
        let mut days = self.window.days();
        let first = days.next().unwrap_or(LocalDay(0));
        LocalDay(first.0 - 1)..=days.last().unwrap_or(first)
    }

    fn feed(
        &mut self,
        chosen: &Chosen<'_>,
        row_filter: &RowFilter,
    ) -> Result<FeedQuarters, QueryError> {
        let feed = chosen.feed();
        let quarters = quarters_of(feed);
        let scopes = scopes_of(chosen, row_filter);
        let numbers = chosen.book.scopes();
        let mut by_scope = HashMap::<_, u128>::new();
        for (day, told) in chosen.book.days().range(self.days_reached()) {
            let start = first_quarter(feed, *day);
            let each = |scope: u32, slot: u8, taps: u32| {
                // Too many already, which is told when the day is read.
                if self.sums_max < self.sums.len() {
                    return;
                }
                let quarter = start + u32::from(slot) * quarters;
                let Some(place) = self.quarters.place(quarter, quarters) else {
                    return;
                };
                let Some(wanted) = scopes[scope as usize] else {
                    return;
                };
                let Some(when) = self.times[place as usize] else {
                    return;
                };
                let bits = ((1u128 << quarters) - 1) << place;
                *by_scope.entry(numbers[scope as usize]).or_default() |= bits;
                let (taps, by) = (u64::from(taps), chosen.told_by());
                self.total.add(when.day, taps, by, bits);
                let key = tap_numbers(self.by.dimensions(), &wanted, when);
                let cell = self.sums.entry(key).or_default();
                cell.add(when.day, taps, by, bits);
            };
            self.taps
                .reader()
                .each_count(chosen.number, feed.interval, *day, &told.chunks, each)
                .map_err(LedgerError::from)?;
            if self.sums_max < self.sums.len() {
                return Err(QueryError::TooManyRows);
            }
        }
        Ok(FeedQuarters {
            operator: chosen.operator,
            kinds: feed.kinds.set().bits(),
            grain: feed.grain,
            by_scope,
        })
    }
}

/// How many quarters one count of a feed is of.
fn quarters_of(feed: &TapFeed) -> u32 {
    match feed.interval {
        TapInterval::Quarter => 1,
        TapInterval::Hour | TapInterval::Day => HOUR_MINUTES / QUARTER_MINUTES,
    }
}

fn first_quarter(feed: &TapFeed, day: LocalDay) -> u32 {
    feed.hours(day).0 * (HOUR_MINUTES / QUARTER_MINUTES)
}

/// The question of the hours that a span touches; `None` outside the supported years.
fn question(filter: &Filter, by: &Breakdown, span: MinuteSpan) -> Option<Question> {
    let end = Hour(span.end.0.div_ceil(HOUR_MINUTES));
    Some(Question {
        filter: filter.clone(),
        by: by.clone(),
        window: Window::new(span.start.hour(), end)?,
    })
}

/// What rows are about of a span.
fn periods(question: &Question, keys: &RowKeys, span: MinuteSpan) -> Periods {
    let minutes = |day| minutes_of(&question.filter, span, day);
    Periods::of_parts(question, keys, minutes)
}

/// How many minutes of a span the filter takes on one day, by hour of day.
fn minutes_of(filter: &Filter, span: MinuteSpan, day: LocalDay) -> ByHour {
    let mut by_hour = ByHour::default();
    for (when, minutes) in parts(filter, span) {
        if when.day == day
            && let Some(hour) = when.hour_of_day
        {
            by_hour[usize::from(hour)] += u8::try_from(minutes).unwrap_or(u8::MAX);
        }
    }
    by_hour
}

/// The quarters of a span that the filter takes, with how many minutes of each lie inside.
fn parts(filter: &Filter, span: MinuteSpan) -> impl Iterator<Item = (When, u32)> {
    let quarters = span.start.0 / QUARTER_MINUTES..span.end.0.div_ceil(QUARTER_MINUTES);
    quarters.filter_map(move |quarter| {
        let start = (quarter * QUARTER_MINUTES).max(span.start.0);
        let end = ((quarter + 1) * QUARTER_MINUTES).min(span.end.0);
        Some((seen(filter, quarter)?, end - start))
    })
}

fn seen(filter: &Filter, quarter: u32) -> Seen {
    let hour = Hour(quarter * QUARTER_MINUTES / HOUR_MINUTES);
    let calendar = Calendar::get();
    let day = calendar.day(hour);
    takes_time(filter, RowTime::Hour(hour)).then(|| When {
        day,
        hour_of_day: Some(calendar.hour_of_day(day, hour)),
    })
}

fn takes_time(filter: &Filter, time: RowTime) -> bool {
    let calendar = Calendar::get();
    let (day, hour_of_day) = match time {
        RowTime::Hour(hour) => {
            let day = calendar.day(hour);
            (day, Some(calendar.hour_of_day(day, hour)))
        }
        RowTime::Day(day) => (day, None),
    };
    let takes_hour = filter.hours_of_day == 0
        || hour_of_day.is_some_and(|hour| filter.hours_of_day >> hour & 1 == 1);
    takes_hour && filter.takes_day(day)
}

#[cfg(test)]
mod tests;
