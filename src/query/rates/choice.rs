//! Which feeds a question is set against.
//!
//! A feed fits if it tells taps as finely as the question asks. Of feeds of one operator that
//! share a kind of tap, and so would count taps twice, one is taken: the one that tells most
//! days, then the coarsest, which reads least and matches most, then the first by name.

use crate::domain::taps::{TapGrain, TapInterval};
use crate::domain::{Dimension, Filter, LocalDay, OperatorCode, Question, TapFeed};
use crate::ledger::{Dictionary, FeedBook, TapBook};

use super::super::plan;
use super::RatesWanted;
use super::feeds::{FeedSet, ToldBy};

/// A feed that is used.
pub(super) struct Chosen<'a> {
    /// Its place in the choice.
    place: usize,
    /// Its number.
    pub number: u16,
    /// What it is.
    pub book: &'a FeedBook,
    /// Its operator's number in the dictionary.
    pub operator: u16,
    /// Service days within the window that it tells.
    pub days: u64,
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
}

/// The feeds that are used, by operator and name.
pub(super) struct Choice<'a> {
    pub feeds: Vec<Chosen<'a>>,
    /// Whether there were feeds, but none that fits.
    has_unfit: bool,
}

impl<'a> Choice<'a> {
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
        let filter = &question.filter;
        let is_wanted = |feed: &TapFeed| {
            (wanted.feeds.is_empty() || wanted.feeds.contains(&feed.id))
                && (filter.operators.is_empty() || filter.operators.contains(&feed.operator))
                && (filter.lines.is_empty() || has_line_of(filter, &feed.operator))
        };
        let mut has_unfit = false;
        let mut fitting = Vec::new();
        for (number, book) in (0..).zip(book.feeds()) {
            if !is_wanted(book.feed()) {
                continue;
            }
            if !needs.are_met(book.feed()) {
                has_unfit = true;
                continue;
            }
            let operator = dictionary.operator_number(book.feed().operator.as_str());
            fitting.push(Chosen {
                place: 0,
                number,
                book,
                operator: operator.unwrap_or(0),
                days: days_told(book, question),
            });
        }
        fitting.sort_by_key(|feed| {
            let TapFeed {
                id,
                grain,
                interval,
                ..
            } = feed.feed();
            let coarseness = match needs.is_fine {
                true => interval.number(),
                false => u8::MAX - interval.number(),
            };
            (u64::MAX - feed.days, coarseness, grain.number(), id.clone())
        });
        let mut feeds: Vec<Chosen<'a>> = Vec::new();
        for feed in fitting {
            let clashes = |other: &Chosen<'_>| {
                let (one, other) = (feed.feed(), other.feed());
                let is_shared = one.kinds.set().bits() & other.kinds.set().bits() != 0;
                // Days of reports can be told in one way only.
                let is_other_day = (one.interval == TapInterval::Day
                    || other.interval == TapInterval::Day)
                    && one.day_begin != other.day_begin;
                one.operator == other.operator && (is_shared || is_other_day)
            };
            if !feeds.iter().any(clashes) {
                let place = feeds.len();
                feeds.push(Chosen { place, ..feed });
            }
        }
        Self {
            has_unfit: has_unfit && feeds.is_empty(),
            feeds,
        }
    }

    /// Whether there were feeds, but none tells taps as finely as the question asks.
    pub fn is_none_fine_enough(&self) -> bool {
        self.has_unfit
    }

    /// Those that told taps, with the days that they tell.
    pub fn used(&self, told: FeedSet) -> Vec<(TapFeed, u64)> {
        let feeds = self.feeds.iter();
        let feeds = feeds.filter(|one| told.contains(one.place));
        feeds.map(|one| (one.feed().clone(), one.days)).collect()
    }
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

    fn are_met(&self, feed: &TapFeed) -> bool {
        let has_lines = matches!(feed.grain, TapGrain::Line | TapGrain::LineStop);
        let has_stops = matches!(feed.grain, TapGrain::Stop | TapGrain::LineStop);
        let kinds = feed.kinds.set();
        let is_by_day = feed.interval == TapInterval::Day;
        // A tap has a mode and a card as much as a report has, but no feed tells them.
        !self.modes
            && !self.cards
            && (!self.lines || has_lines)
            && (!self.stops || has_stops)
            && (!is_by_day || (!self.hours && self.is_whole_days))
            && (self.kinds == 0 || kinds.bits() & !self.kinds == 0)
            && (!self.one_kind || kinds.iter().count() == 1)
    }
}

/// Service days that a feed tells, of those that the window touches.
fn days_told(book: &FeedBook, question: &Question) -> u64 {
    let mut days = question.window.days();
    let first = days.next();
    let last = days.last().or(first);
    let Some((first, last)) = first.zip(last) else {
        return 0;
    };
    book.days().range(first..=last).count() as u64
}
