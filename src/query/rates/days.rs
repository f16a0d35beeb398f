//! For each day of a window: which hours of which columns of a tally were told, so that all
//! reports of a column and hour are matched or none is. Days of which that cannot be said are
//! left for a scan.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::domain::taps::{TapGrain, TapInterval};
use crate::domain::taxonomy::{SetOf, TapKind, Taxonomy};
use crate::domain::{Calendar, Hour, LocalDay, Question};
use crate::ledger::{Attribute, DaySummaries, DaySummary, TapView, day_bucket};

use super::super::QueryError;
use super::super::plan::Source;
use super::book::{RateBook, slots};
use super::choice::{Choice, Chosen};

/// All hours of a day.
pub(super) const ALL: u32 = u32::MAX;

/// What a column's reports must be to be matched, beside falling into a told hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    /// The line must be known.
    pub needs_scope: bool,
    /// The day suffices.
    pub is_by_day: bool,
}

/// Days of which is held at once what is known of them: of feeds by stop that is four bytes for each
/// stop and day.
const DAYS_AT_ONCE: i32 = 8;

/// One feed with its days, and its scopes as columns.
struct FeedDays<'a> {
    chosen: &'a Chosen<'a>,
    /// Of the days in hand, rising.
    heads: DaySummaries,
    /// Number of the scope and its column, by line or stop.
    scopes: Vec<(u32, u32)>,
    /// The first number of a scope that is greater than all of them.
    scopes_end: u32,
    /// Lines of its operator that are no scope of it.
    others: Vec<u32>,
    kinds: SetOf<TapKind>,
}

/// What was told of a day, by column.
pub(super) struct Told {
    pub rules: Vec<Rule>,
    /// Hours told; `ALL` where the whole day was.
    pub hours: Vec<u32>,
}

/// Tells day by day what was told.
pub(super) struct Days<'a> {
    taps: &'a TapView<'a>,
    book: &'a RateBook,
    /// The days in hand.
    at_once: Range<LocalDay>,
    end: LocalDay,
    feeds: Vec<FeedDays<'a>>,
    /// Of the day in hand. The rules are those of all days.
    pub told: Told,
    /// Whether any of the hours told may not be 0.
    touched: bool,
}

/// What can be said of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All or nothing was told of each column.
    Whole,
    /// Of some columns some hours.
    ByHour,
    /// Not by columns.
    Unclear,
}

/// The days that a question touches.
pub(super) fn days_of(question: &Question) -> Range<LocalDay> {
    let mut days = question.window.days();
    let first = days.next().unwrap_or(LocalDay(0));
    first..days.last().unwrap_or(first).next()
}

/// How many cells of memory it takes to hold what is known of the days in hand.
pub(super) fn weight(choice: &Choice<'_>) -> u64 {
    let scopes = choice.feeds.iter().map(|chosen| chosen.book.scopes().len());
    scopes.sum::<usize>() as u64 * u64::from(DAYS_AT_ONCE.unsigned_abs())
}

/// Calls `each` with what is known of each day that a feed told, rising. Few are held at once.
pub(super) fn each_head(
    taps: &TapView<'_>,
    number: u16,
    days: Range<LocalDay>,
    mut each: impl FnMut(LocalDay, &DaySummary),
) -> Result<(), QueryError> {
    let mut first = days.start;
    while first < days.end {
        let end = LocalDay(first.0 + DAYS_AT_ONCE).min(days.end);
        for (day, head) in taps.heads(number, first..end)? {
            each(day, &head);
        }
        first = end;
    }
    Ok(())
}

/// Whether the chosen feeds are such that days can be told by columns.
pub(super) fn suits(source: Source, choice: &Choice<'_>) -> bool {
    let taps: u16 = [TapKind::CheckIn, TapKind::CheckOut, TapKind::Transfer]
        .into_iter()
        .collect::<SetOf<TapKind>>()
        .bits();
    let mut operators = BTreeSet::new();
    choice.feeds.iter().all(|chosen| {
        let feed = chosen.feed();
        let suits_grain = match source {
            Source::Line => feed.grain == TapGrain::Line,
            Source::Stop => feed.grain == TapGrain::Stop,
            Source::Attribute(_) => matches!(feed.grain, TapGrain::Operator | TapGrain::Line),
        };
        let suits_kinds = source == Source::Attribute(Attribute::TapKind)
            || feed.kinds.set().bits() & taps == taps;
        // Lines and stops are told by one feed each, and values of an attribute by all together.
        let is_first = operators.insert(chosen.operator);
        let is_clear = is_first || !matches!(source, Source::Attribute(_));
        suits_grain && suits_kinds && is_clear && feed.day_begin.hour() == 0
    })
}

impl Told {
    /// Of so many columns, nothing.
    pub fn none(width: usize) -> Self {
        Self {
            rules: vec![Rule::default(); width],
            hours: vec![0; width],
        }
    }

    /// The same by operator, of which each has so many columns.
    pub fn by_operator(&self, columns: usize) -> Self {
        Self {
            rules: self.rules.iter().step_by(columns).copied().collect(),
            hours: self.hours.iter().step_by(columns).copied().collect(),
        }
    }
}

impl<'a> Days<'a> {
    /// What the feeds told within the window, of which nothing is in hand yet.
    pub fn new(
        taps: &'a TapView<'a>,
        book: &'a RateBook,
        choice: &'a Choice<'_>,
        question: &Question,
    ) -> Result<Self, QueryError> {
        let days = days_of(question);
        let mut told = Told::none(book.width(book.source));
        let mut feeds = Vec::with_capacity(choice.feeds.len());
        for chosen in &choice.feeds {
            let rule = Rule {
                needs_scope: chosen.feed().grain != TapGrain::Operator,
                is_by_day: chosen.feed().interval == TapInterval::Day,
            };
            let mut feed = FeedDays::new(chosen, book);
            let mut others = choice.feeds.iter();
            if others.any(|one| one.number != chosen.number && one.operator == chosen.operator) {
                feed.keep_told(taps, question)?;
            }
            match book.source {
                Source::Attribute(attribute) => {
                    for column in operator_columns(chosen, attribute) {
                        told.rules[column] = rule;
                    }
                }
                Source::Line | Source::Stop => {
                    for (_, column) in &feed.scopes {
                        if feed.is_own(book, *column) {
                            told.rules[*column as usize] = rule;
                        }
                    }
                }
            }
            feeds.push(feed);
        }
        Ok(Self {
            taps,
            book,
            at_once: days.start..days.start,
            end: days.end,
            feeds,
            told,
            touched: false,
        })
    }

    /// Reads a day, and some after it; days must be asked for rising.
    pub fn read(&mut self, day: LocalDay) -> Result<(), QueryError> {
        if self.at_once.contains(&day) {
            return Ok(());
        }
        self.at_once = day..LocalDay(day.0 + DAYS_AT_ONCE).min(self.end);
        for feed in &mut self.feeds {
            // What was held is let go first.
            feed.heads = DaySummaries::new();
            feed.heads = self.taps.heads(feed.chosen.number, self.at_once.clone())?;
        }
        Ok(())
    }

    /// What is known of a day that was read, of each feed that told it.
    pub fn heads(&self, day: LocalDay) -> impl Iterator<Item = (&'a Chosen<'a>, Arc<DaySummary>)> {
        let feeds = self.feeds.iter();
        feeds.filter_map(move |feed| Some((feed.chosen, feed.head(day)?)))
    }

    /// Takes a day in hand that was read.
    pub fn take(&mut self, day: LocalDay) -> Verdict {
        if std::mem::take(&mut self.touched) {
            self.told.hours.fill(0);
        }
        let mut verdict = Verdict::Whole;
        for place in 0..self.feeds.len() {
            let Some(head) = self.feeds[place].head(day) else {
                continue;
            };
            self.touched = true;
            let of_feed = match self.book.source {
                Source::Attribute(attribute) => self.take_attributes(place, day, &head, attribute),
                Source::Line => self.take_lines(place, day, &head),
                Source::Stop => self.take_stops(place, day, &head),
            };
            match of_feed {
                Verdict::Whole => {}
                Verdict::ByHour => verdict = Verdict::ByHour,
                Verdict::Unclear => return Verdict::Unclear,
            }
        }
        verdict
    }

    fn take_attributes(
        &mut self,
        place: usize,
        day: LocalDay,
        head: &DaySummary,
        attribute: Attribute,
    ) -> Verdict {
        let feed = &self.feeds[place];
        let hours = match feed.chosen.feed().grain {
            TapGrain::Operator => normal(head.scopes.hours(0, head.all()), head),
            _ if feed.tells_all_reported(self.book, day, head) => ALL,
            _ => return Verdict::Unclear,
        };
        for column in operator_columns(feed.chosen, attribute) {
            let value = column % attribute.slots();
            let is_kind = attribute != Attribute::TapKind
                || u8::try_from(value)
                    .ok()
                    .and_then(TapKind::from_number)
                    .is_some_and(|kind| feed.kinds.contains(kind));
            self.told.hours[column] = if is_kind { hours } else { 0 };
        }
        verdict(hours)
    }

    fn take_lines(&mut self, place: usize, day: LocalDay, head: &DaySummary) -> Verdict {
        let feed = &self.feeds[place];
        let all = head.all();
        let mut is_whole = true;
        for (scope, line) in &feed.scopes {
            let hours = normal(head.scopes.hours(*scope, all), head);
            if verdict(hours) == Verdict::ByHour && has_reports(&self.book.lines.day, day, *line) {
                is_whole = false;
            }
            // Another feed may have told hours that the question does not take.
            self.told.hours[*line as usize] |= hours;
        }
        match is_whole {
            true => Verdict::Whole,
            false => Verdict::ByHour,
        }
    }

    fn take_stops(&mut self, place: usize, day: LocalDay, head: &DaySummary) -> Verdict {
        let feed = &self.feeds[place];
        let all = head.all();
        for (scope, stop) in &feed.scopes {
            let hours = normal(head.scopes.hours(*scope, all), head);
            let is_own = feed.is_own(self.book, *stop);
            let is_clear = match hours {
                0 => true,
                ALL => is_own,
                _ => false,
            };
            if !is_clear && has_reports(&self.book.own.day, day, *stop) {
                return Verdict::Unclear;
            }
            if is_own {
                self.told.hours[*stop as usize] |= hours;
            }
        }
        Verdict::Whole
    }
}

impl<'a> FeedDays<'a> {
    fn new(chosen: &'a Chosen<'a>, book: &RateBook) -> Self {
        let feed = chosen.feed();
        let scopes: Vec<(u32, u32)> = match feed.grain {
            // Those of other operators match no report of this one.
            TapGrain::Line => numbered(chosen, |(line, _)| line)
                .into_iter()
                .filter(|(_, line)| book.dictionary.operator_of_line(*line) == chosen.operator)
                .collect(),
            TapGrain::Stop => numbered(chosen, |(_, stop)| stop),
            TapGrain::Operator | TapGrain::LineStop => Vec::new(),
        };
        let mut others = Vec::new();
        if feed.grain == TapGrain::Line && book.source != Source::Line {
            let mut is_told = vec![false; book.dictionary.lines()];
            for (_, line) in &scopes {
                is_told[*line as usize] = true;
            }
            let lines = 1..u32::try_from(is_told.len()).expect("lines are bounded");
            others = lines
                .filter(|line| !is_told[*line as usize])
                .filter(|line| book.dictionary.operator_of_line(*line) == chosen.operator)
                .collect();
        }
        Self {
            chosen,
            heads: DaySummaries::new(),
            scopes_end: scopes.iter().map(|(scope, _)| scope + 1).max().unwrap_or(0),
            scopes,
            others,
            kinds: feed.kinds.set(),
        }
    }

    /// Leaves out what it names and did not tell: another feed may have told it.
    fn keep_told(&mut self, taps: &TapView<'_>, question: &Question) -> Result<(), QueryError> {
        let mut is_told = vec![false; self.scopes.len()];
        each_head(taps, self.chosen.number, days_of(question), |day, head| {
            if question.filter.takes_day(day) {
                for (is_told, (scope, _)) in is_told.iter_mut().zip(&self.scopes) {
                    *is_told |= head.tells(*scope);
                }
            }
        })?;
        let mut is_told = is_told.into_iter();
        self.scopes.retain(|_| is_told.next() == Some(true));
        Ok(())
    }

    fn head(&self, day: LocalDay) -> Option<Arc<DaySummary>> {
        let place = self.heads.binary_search_by_key(&day, |(day, _)| *day);
        Some(Arc::clone(&self.heads[place.ok()?].1))
    }

    /// Whether a line or stop is of the feed's operator.
    fn is_own(&self, book: &RateBook, column: u32) -> bool {
        book.operator(book.source, column) == u32::from(self.chosen.operator)
    }

    /// Whether every hour of every line of its operator in which anything was reported was
    /// told.
    fn tells_all_reported(&self, book: &RateBook, day: LocalDay, head: &DaySummary) -> bool {
        let reported = |line: u32| has_reports(&book.lines.day, day, line);
        let all = head.all();
        let is_told = |(scope, line): &(u32, u32)| {
            let hours = normal(head.scopes.hours(*scope, all), head);
            match hours {
                ALL => true,
                _ if !reported(*line) => true,
                0 => false,
                hours => {
                    let (start, end) = Calendar::get().hours(day);
                    let mut places = (start..end).enumerate();
                    places.all(|(place, hour)| {
                        let row = book.lines.hour.row(hour);
                        hours >> place & 1 == 1 || row.is_none_or(|row| row.get(*line) == 0)
                    })
                }
            }
        };
        let is_whole = matches!(head.scopes, crate::ledger::ToldScopes::All(end)
            if self.scopes_end <= end);
        !self.others.iter().any(|line| reported(*line))
            && (is_whole || self.scopes.iter().all(is_told))
    }
}

/// Those of its scopes that are its own.
fn numbered(chosen: &Chosen<'_>, of: impl Fn((u32, u32)) -> u32) -> Vec<(u32, u32)> {
    let scopes = (0..).zip(chosen.book.scopes());
    scopes
        .filter(|(scope, _)| chosen.has_scope(*scope))
        .map(|(scope, numbers)| (scope, of(*numbers)))
        .collect()
}

/// The columns of a feed's operator.
fn operator_columns(chosen: &Chosen<'_>, attribute: Attribute) -> Range<usize> {
    let slots = slots(attribute) as usize;
    let first = usize::from(chosen.operator) * slots;
    first..first + slots
}

/// Hours as bits, with `ALL` for all there are.
fn normal(hours: u32, head: &DaySummary) -> u32 {
    if hours == head.all() { ALL } else { hours }
}

fn verdict(hours: u32) -> Verdict {
    match hours {
        0 | ALL => Verdict::Whole,
        _ => Verdict::ByHour,
    }
}

fn has_reports(cube: &crate::ledger::Cube, day: LocalDay, column: u32) -> bool {
    let row = cube.row(day_bucket(day));
    row.is_some_and(|row| row.get(column) != 0)
}

/// Whether a column was told at the hour with this place in its day.
pub(super) fn is_told(hours: u32, place: usize) -> bool {
    hours >> place & 1 == 1
}

/// The hours of a day with their places.
pub(super) fn hours_of(day: LocalDay) -> impl Iterator<Item = (usize, Hour)> {
    let (start, end) = Calendar::get().hours(day);
    (start..end).map(Hour).enumerate()
}
