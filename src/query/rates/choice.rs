//! Which feeds a question is set against.
//!
//! A feed fits if it tells taps as finely as the question asks. Feeds of one operator that share a
//! kind of tap would count taps twice where they tell the same taps.
//!
//! Of which taps that is so, nobody can say of feeds by lines and by stops, as the same taps are
//! made on the one and at the other, nor of one that tells its operator as a whole: such feeds clash,
//! and one of them is taken. All others meet on the lines and stops that both told, of those that the
//! filter takes, and each of these is one feed's alone: that one's which tells most days of it. Of
//! what is left, each feed tells its own. Between feeds, and between those that tell as many days of
//! a line or stop, goes first which tells most days in all, then the coarsest, which reads least and
//! matches most, then the first by name.
//!
//! Who names feeds that tell the same taps is refused, as it is not known which of them was meant.
//!
//! What counts is what feeds told in the window, and not which lines they name: names are known as
//! of now alone, and an answer as of a position must stay what it was. Where it matters, feeds are
//! read for it.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::domain::taps::{Refusals, TapGrain, TapInterval};
use crate::domain::{Dimension, FeedId, Filter, Hour, LocalDay, OperatorCode, Question, TapFeed};
use crate::ledger::{Dictionary, FeedBook, TapBook, TapView};

use super::super::{QueryError, plan, row_filter::RowFilter};
use super::RatesWanted;
use super::coverage::{FeedCoverage, scopes_of};
use super::days::each_head;
use super::feeds::{FeedSet, ToldBy};

/// A feed that is used.
#[derive(Clone)]
pub(super) struct Chosen<'a> {
    /// Its place in the choice.
    place: usize,
    /// Its number.
    pub number: u16,
    /// What it is.
    pub book: &'a FeedBook,
    /// Its operator's number in the dictionary.
    pub operator: u16,
    /// Days that the window touches of which it tells the service days, and 1 if it tells none but
    /// the one before, whose night reaches into the window.
    days_reached: u64,
    /// Numbers of its scopes that are another feed's in this question.
    of_others: Arc<HashSet<u32>>,
}

impl Chosen<'_> {
    pub fn feed(&self) -> &TapFeed {
        self.book.feed()
    }

    /// Taps of it alone.
    pub fn told_by(&self) -> ToldBy {
        ToldBy {
            feeds: FeedSet::one(self.place),
            refusals: self.feed().refusals,
        }
    }

    /// Whether days of reports are its service days, because they are not calendar days.
    pub fn has_service_days(&self) -> bool {
        let feed = self.feed();
        feed.interval == TapInterval::Day && feed.day_begin.hour() != 0
    }

    /// Whether it tells its own taps of a scope, by number.
    pub fn has_scope(&self, number: u32) -> bool {
        !self.of_others.contains(&number)
    }

    /// Whether it tells its own taps of all its scopes.
    pub fn is_whole(&self) -> bool {
        self.of_others.is_empty()
    }

    /// Whether the two can be added up.
    fn meets(&self, other: &Self) -> Meeting {
        let (one, another) = (self.feed(), other.feed());
        // Days of an operator's reports can be told in one way only.
        let days_of = |feed: &Self| feed.has_service_days().then(|| feed.feed().day_begin);
        let is_other_day = days_of(self) != days_of(other);
        let shares_kind = one.kinds.set().bits() & another.kinds.set().bits() != 0;
        match () {
            () if one.operator != another.operator => Meeting::Apart,
            () if is_other_day => Meeting::Clash,
            () if !shares_kind => Meeting::Apart,
            () => match (one.grain, another.grain) {
                (TapGrain::Operator, _) | (_, TapGrain::Operator) => Meeting::Clash,
                (TapGrain::Line, TapGrain::Stop) | (TapGrain::Stop, TapGrain::Line) => {
                    Meeting::Clash
                }
                (
                    TapGrain::Line | TapGrain::Stop | TapGrain::LineStop,
                    TapGrain::Line | TapGrain::Stop | TapGrain::LineStop,
                ) => Meeting::ByScopes,
            },
        }
    }
}

/// Whether two feeds can be added up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meeting {
    Apart,
    Clash,
    /// But for lines and stops that both told.
    ByScopes,
}

/// A line, a stop or a line at a stop of which a feed told taps.
#[derive(Clone, Copy)]
struct ToldScope {
    /// Its number within the feed.
    number: u32,
    /// Numbers of line and stop, 0 for none.
    pair: (u32, u32),
    /// Days on which any of its taps were told that count.
    days: u32,
}

/// The lines and stops of which feeds told taps, by the numbers of feeds.
#[derive(Default)]
pub(super) struct ScopesByFeed(HashMap<u16, Vec<ToldScope>>);

impl ScopesByFeed {
    /// Of feeds that were read, with what they told.
    pub fn read(choice: &Choice<'_>, told: &[FeedCoverage]) -> Self {
        let mut all = Self::default();
        for (chosen, told) in choice.feeds.iter().zip(told) {
            all.put(chosen, told.scopes_told());
        }
        all
    }

    /// The lines and stops of which a feed told taps.
    pub fn of_feed(&self, number: u16) -> impl Iterator<Item = (u32, u32)> {
        let told = self.0.get(&number).into_iter().flatten();
        told.map(|scope| scope.pair)
    }

    /// Puts what a feed told: numbers of scopes, each with the days on which it did.
    pub fn put(&mut self, chosen: &Chosen<'_>, told: impl Iterator<Item = (u32, u32)>) {
        let scopes = chosen.book.scopes();
        let told = told.map(|(number, days)| ToldScope {
            number,
            pair: scopes[number as usize],
            days,
        });
        self.0.insert(chosen.number, told.collect());
    }

    /// The same from what is known of whole days, for which no counts need be read; `None` where
    /// hours matter.
    pub fn of_days(
        choice: &Choice<'_>,
        taps: &TapView<'_>,
        question: &Question,
        row_filter: &RowFilter,
    ) -> Result<Option<Self>, QueryError> {
        let (filter, window) = (&question.filter, question.window);
        let mut days = window.days();
        let first = days.next().unwrap_or(LocalDay(0));
        let last = days.last().unwrap_or(first);
        let is_whole_days = window.contains_day(first) && window.contains_day(last);
        let is_by_calendar = |chosen: &Chosen<'_>| chosen.feed().day_begin.hour() == 0;
        if !is_whole_days || filter.hours_of_day != 0 || !choice.feeds.iter().all(is_by_calendar) {
            return Ok(None);
        }
        let mut all = Self::default();
        for chosen in &choice.feeds {
            let wanted = scopes_of(chosen, row_filter);
            let mut days = vec![0; wanted.len()];
            each_head(taps, chosen.number, first..last.next(), |day, head| {
                if filter.takes_day(day) {
                    head.told_scopes()
                        .for_each(|scope| days[scope as usize] += 1);
                }
            })?;
            let told = (0..).zip(wanted.iter().zip(days));
            let told = told.filter(|(_, (wanted, days))| wanted.is_some() && *days != 0);
            all.put(chosen, told.map(|(number, (_, days))| (number, days)));
        }
        Ok(Some(all))
    }
}

/// The lines and stops that each feed tells taps of for all.
#[derive(Default)]
struct Owned<'a>(Vec<(Chosen<'a>, HashSet<(u32, u32)>)>);

impl<'a> Owned<'a> {
    /// Of feeds that meet on lines and stops, the best first. Scopes go first that are told on most
    /// days.
    fn of(feeds: &[Chosen<'a>], told: &ScopesByFeed) -> Self {
        let mut scopes = Vec::new();
        for (rank, chosen) in feeds.iter().enumerate() {
            let told = told.0.get(&chosen.number).into_iter().flatten();
            scopes.extend(told.map(|scope| (Reverse(scope.days), rank, scope.pair)));
        }
        scopes.sort_unstable();
        let owned = feeds.iter().map(|chosen| (chosen.clone(), HashSet::new()));
        let mut owned = Self(owned.collect());
        for (_, rank, pair) in scopes {
            if owned.other(&feeds[rank], pair).is_none() {
                owned.0[rank].1.extend(parts(pair));
            }
        }
        owned
    }

    /// Which other feed tells any taps of a scope of a feed.
    fn other(&self, feed: &Chosen<'_>, (line, stop): (u32, u32)) -> Option<&Chosen<'a>> {
        let is_pair = |feed: &Chosen<'_>| feed.feed().grain == TapGrain::LineStop;
        let tells = |other: &Chosen<'_>, scopes: &HashSet<(u32, u32)>| {
            scopes.contains(&(line, stop))
                || is_pair(feed)
                    && !is_pair(other)
                    && (scopes.contains(&(line, 0)) || scopes.contains(&(0, stop)))
        };
        let mut all = self.0.iter();
        let found = all.find(|(other, scopes)| {
            other.number != feed.number
                && feed.meets(other) == Meeting::ByScopes
                && tells(other, scopes)
        });
        found.map(|(other, _)| other)
    }
}

/// A scope, and the line and the stop that it is a part of.
fn parts((line, stop): (u32, u32)) -> impl Iterator<Item = (u32, u32)> {
    let wholes = [(line, 0), (0, stop)].into_iter();
    let is_pair = line != 0 && stop != 0;
    std::iter::once((line, stop)).chain(wholes.filter(move |_| is_pair))
}

/// The feeds that fit, before it is known which of them clash.
pub(super) struct Candidates<'a> {
    /// The best first.
    fitting: Vec<Chosen<'a>>,
    has_unfit: bool,
    /// Whether the question is about some lines, stops or hours of days alone.
    is_narrow: bool,
}

/// The feeds that are used, the best first.
pub(super) struct Choice<'a> {
    pub feeds: Vec<Chosen<'a>>,
    /// Of feeds that meet, what each tells.
    owned: Owned<'a>,
    /// Whether there were feeds, but none that fits.
    has_unfit: bool,
}

impl<'a> Candidates<'a> {
    pub fn of(
        question: &Question,
        wanted: &RatesWanted,
        book: &'a TapBook,
        dictionary: &Dictionary,
    ) -> Self {
        Self::meeting(&Needs::of(question), question, wanted, book, dictionary)
    }

    /// For a window of minutes that lies within the question's: days are too coarse, and the
    /// finest comes first, of which most lies wholly inside.
    pub fn sliding(
        question: &Question,
        wanted: &RatesWanted,
        book: &'a TapBook,
        dictionary: &Dictionary,
    ) -> Self {
        let needs = Needs {
            is_whole_days: false,
            is_fine: true,
            ..Needs::of(question)
        };
        Self::meeting(&needs, question, wanted, book, dictionary)
    }

    fn meeting(
        needs: &Needs,
        question: &Question,
        wanted: &RatesWanted,
        book: &'a TapBook,
        dictionary: &Dictionary,
    ) -> Self {
        let mut has_unfit = false;
        let mut fitting = Vec::new();
        for (number, book) in (0..).zip(book.feeds()) {
            let feed = book.feed();
            if !is_wanted(feed, wanted, &question.filter) {
                continue;
            }
            if !needs.are_met(feed) {
                has_unfit = true;
                continue;
            }
            let operator = dictionary.operator_number(feed.operator.as_str());
            fitting.push(Chosen {
                place: 0,
                number,
                book,
                operator: operator.unwrap_or(0),
                days_reached: days_reached(book, question),
                of_others: Arc::default(),
            });
        }
        fitting.sort_by_key(|feed| needs.order(feed));
        let filter = &question.filter;
        let is_of_some_scopes = !filter.lines.is_empty() || !filter.stops.is_empty();
        let is_of_some_hours = !needs.is_whole_days || filter.hours_of_day != 0;
        Self {
            fitting,
            has_unfit,
            is_narrow: is_of_some_scopes || is_of_some_hours,
        }
    }

    /// Those of which it takes what they told to know whether they tell the same; most often none.
    pub fn unclear(&self) -> Choice<'a> {
        let all = self.fitting.iter().filter(|feed| feed.days_reached != 0);
        let is_unclear = |feed: &&Chosen<'a>| {
            let mut others = all.clone().filter(|other| other.number != feed.number);
            others.any(|other| match feed.meets(other) {
                Meeting::Apart => false,
                // One of them may tell nothing of what is asked about.
                Meeting::Clash => self.is_narrow,
                Meeting::ByScopes => true,
            })
        };
        Choice {
            feeds: all.clone().filter(is_unclear).cloned().collect(),
            owned: Owned::default(),
            has_unfit: false,
        }
    }

    /// The feeds that are used, each with what it tells for all. Refuses named ones that tell the
    /// same.
    pub fn settle(
        self,
        told: &ScopesByFeed,
        wanted: &RatesWanted,
    ) -> Result<Choice<'a>, QueryError> {
        let is_named = !wanted.feeds.is_empty();
        let clash = |one: &Chosen<'_>, other: &Chosen<'_>| match one.meets(other) {
            Meeting::Apart => false,
            Meeting::Clash => true,
            // One that told nothing would only stand in the way of the tallies.
            Meeting::ByScopes => one.days_reached == 0,
        };
        let tells_nothing = |feed: &Chosen<'_>| told.0.get(&feed.number).is_some_and(Vec::is_empty);
        let mut feeds: Vec<Chosen<'a>> = Vec::new();
        for feed in self.fitting {
            if tells_nothing(&feed) {
                continue;
            }
            match feeds.iter().find(|other| clash(&feed, other)) {
                None => feeds.push(feed),
                // One that told nothing of these days takes nothing from the other.
                Some(other) if is_named && feed.days_reached != 0 => {
                    return Err(clash_of(wanted, [feed.feed(), other.feed()]));
                }
                Some(_) => {}
            }
        }
        let owned = Owned::of(&feeds, told);
        let mut used: Vec<Chosen<'a>> = Vec::new();
        for feed in feeds {
            let scopes = told.0.get(&feed.number).map_or(&[][..], Vec::as_slice);
            let mut of_others = HashSet::new();
            for scope in scopes {
                match owned.other(&feed, scope.pair) {
                    None => {}
                    Some(other) if is_named => {
                        return Err(clash_of(wanted, [feed.feed(), other.feed()]));
                    }
                    Some(_) => {
                        of_others.insert(scope.number);
                    }
                }
            }
            if of_others.is_empty() || of_others.len() < scopes.len() {
                used.push(Chosen {
                    place: used.len(),
                    of_others: Arc::new(of_others),
                    ..feed
                });
            }
        }
        Ok(Choice {
            has_unfit: self.has_unfit && used.is_empty(),
            feeds: used,
            owned,
        })
    }
}

impl Choice<'_> {
    /// Whether there were feeds, but none tells taps as finely as the question asks.
    pub fn is_none_fine_enough(&self) -> bool {
        self.has_unfit
    }

    /// Whether any feed leaves refused taps out.
    pub fn leaves_refusals_out(&self) -> bool {
        let mut feeds = self.feeds.iter();
        feeds.any(|chosen| chosen.feed().refusals == Refusals::Excluded)
    }

    /// Whether no line or stop is one feed's here and another's there.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let mut feeds = self.owned.0.iter();
        feeds.all(|(feed, scopes)| {
            let is_pair = feed.feed().grain == TapGrain::LineStop;
            // Not the line and the stop that a pair is a part of.
            let mut scopes = scopes
                .iter()
                .filter(|(line, stop)| !is_pair || (*line != 0 && *stop != 0));
            scopes.all(|pair| other.owned.other(feed, *pair).is_none())
        })
    }

    /// Those that told taps, each with how many service days it tells that the question's window
    /// reaches into.
    pub fn used(&self, told: FeedSet, question: &Question) -> Vec<(TapFeed, u64)> {
        let feeds = self.feeds.iter();
        let feeds = feeds.filter(|one| told.contains(one.place));
        let days = |one: &Chosen<'_>| service_days_told(one.book, question);
        feeds.map(|one| (one.feed().clone(), days(one))).collect()
    }
}

/// Whether a feed may be used, whatever it tells.
fn is_wanted(feed: &TapFeed, wanted: &RatesWanted, filter: &Filter) -> bool {
    (wanted.feeds.is_empty() || wanted.feeds.contains(&feed.id))
        && (filter.operators.is_empty() || filter.operators.contains(&feed.operator))
        && (filter.lines.is_empty() || has_line_of(filter, &feed.operator))
}

fn has_lines(grain: TapGrain) -> bool {
    matches!(grain, TapGrain::Line | TapGrain::LineStop)
}

fn has_stops(grain: TapGrain) -> bool {
    matches!(grain, TapGrain::Stop | TapGrain::LineStop)
}

/// Says which of the named feeds clash.
fn clash_of(wanted: &RatesWanted, feeds: [&TapFeed; 2]) -> QueryError {
    let place = |id: &FeedId| wanted.feeds.iter().position(|named| named == id);
    let mut places = feeds.map(|feed| place(&feed.id).unwrap_or_default());
    places.sort_unstable();
    let [other, place] = places;
    QueryError::FeedsClash { place, other }
}

/// Whether the filter takes any line of an operator.
fn has_line_of(filter: &Filter, operator: &OperatorCode) -> bool {
    let mut lines = filter.lines.iter();
    lines.any(|line| line.operator_str() == operator.as_str())
}

/// What a feed must tell to answer a question.
struct Needs {
    lines: bool,
    stops: bool,
    hours: bool,
    /// Bits of the kinds of tap that it may tell; 0 for all.
    kinds: u16,
    one_kind: bool,
    modes: bool,
    cards: bool,
    is_whole_days: bool,
    /// Whether of several that fit the finest is best.
    is_fine: bool,
}

impl Needs {
    fn of(question: &Question) -> Self {
        let filter = &question.filter;
        let by = |dimension| plan::has(question, dimension);
        let window = question.window;
        let is_whole_day = |day: Option<LocalDay>| day.is_some_and(|day| window.contains_day(day));
        let mut days = window.days();
        let first = days.next();
        Self {
            lines: by(Dimension::Line) || !filter.lines.is_empty(),
            stops: by(Dimension::Stop) || !filter.stops.is_empty(),
            hours: plan::needs_hours_of_day(question),
            kinds: filter.tap_kinds.bits(),
            one_kind: by(Dimension::TapKind),
            modes: by(Dimension::Mode) || !filter.modes.is_empty(),
            cards: by(Dimension::CardKind) || !filter.card_kinds.is_empty(),
            is_whole_days: is_whole_day(first) && is_whole_day(days.last().or(first)),
            is_fine: false,
        }
    }

    /// Which feed comes first: the least.
    fn order(&self, chosen: &Chosen<'_>) -> impl Ord + use<> {
        let TapFeed {
            id,
            grain,
            interval,
            ..
        } = chosen.feed();
        let coarseness = match self.is_fine {
            true => interval.number(),
            false => u8::MAX - interval.number(),
        };
        (
            Reverse(chosen.days_reached),
            coarseness,
            grain.number(),
            id.clone(),
        )
    }

    fn are_met(&self, feed: &TapFeed) -> bool {
        let kinds = feed.kinds.set();
        let is_by_day = feed.interval == TapInterval::Day;
        // A tap has a mode and a card as much as a report has, but no feed tells them.
        !self.modes
            && !self.cards
            && (!self.lines || has_lines(feed.grain))
            && (!self.stops || has_stops(feed.grain))
            && (!is_by_day || (!self.hours && self.is_whole_days))
            && (self.kinds == 0 || kinds.bits() & !self.kinds == 0)
            && (!self.one_kind || kinds.iter().count() == 1)
    }
}

/// Service days that a feed tells, of those that the window reaches into: of one whose days begin
/// later than at midnight, and are not told as a whole, it may reach into the night of one more.
fn service_days_told(book: &FeedBook, question: &Question) -> u64 {
    let (feed, window) = (book.feed(), question.window);
    if feed.interval == TapInterval::Day {
        return days_told(book, question);
    }
    let last = Hour(window.end().0.saturating_sub(1));
    let days = feed.day_of(window.start())..=feed.day_of(last.max(window.start()));
    book.days().range(days).count() as u64
}

/// Days that the window touches of which a feed tells the service days.
fn days_told(book: &FeedBook, question: &Question) -> u64 {
    let days = first_and_last(question);
    days.map_or(0, |(first, last)| {
        book.days().range(first..=last).count() as u64
    })
}

/// The same; if there are none, 1 if the night of the day before is told and lies in the window.
/// Days that are told as a whole have none.
fn days_reached(book: &FeedBook, question: &Question) -> u64 {
    let days = days_told(book, question);
    let feed = book.feed();
    let has_night = |first: LocalDay| {
        let before = LocalDay(first.0 - 1);
        feed.interval != TapInterval::Day
            && question.window.start().0 < feed.hours(before).1
            && book.days().contains_key(&before)
    };
    let night = || first_and_last(question).is_some_and(|(first, _)| has_night(first));
    if days == 0 { u64::from(night()) } else { days }
}

/// The days that the window touches.
fn first_and_last(question: &Question) -> Option<(LocalDay, LocalDay)> {
    let mut days = question.window.days();
    let first = days.next()?;
    Some((first, days.last().unwrap_or(first)))
}
