//! Rates as of an earlier position: rows, reports and taps as they stood when the entry at
//! that position was the last, to the digit.
//!
//! Reports are scanned as for any such question. Of taps the store has only what was told last:
//! days of which nothing was told since are read from it, and the others are made again from the
//! journal, part by part, so that it takes no more memory however many there are. That may take
//! as long as reading the journal twice, or longer where days were told again much later; so no
//! place among the scans is held meanwhile, and whoever asks is told how far it is.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::domain::limits::{CELLS_IN_USE_MAX, PAST_QUESTIONS_MAX};
use crate::domain::{Entry, LocalDay, Position, Question};
use crate::journal::JournalError;
use crate::ledger::{Ledger, PastTaps};

use super::super::gate::{self, Gate};
use super::super::{Page, QueryError};
use super::choice::Choice;
use super::keys::RowKeys;
use super::made::Made;
use super::reading::Reading;
use super::{
    Asked, RatedAnswer, RatesWanted, Rows, check_feeds, made, put_together, rows, without,
};

/// Questions that read the journal.
static PASTS: Gate = Gate::new(PAST_QUESTIONS_MAX as u64);
/// Entries between two looks at whether anybody still waits for the answer.
const TOLD_EVERY: u64 = 1_024;

/// How often a place is waited for when much was done already.
const PLACE_TRIES_MAX: usize = 60;

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries of the journal that were passed.
    pub read: u64,
    /// Entries to be passed, as far as is known.
    pub to_read: u64,
}

/// What a question as of a position reads, and whom it tells how far it is.
pub struct Past<'a, E> {
    /// Reads what changed tap counts, in order, from a position of the journal on.
    pub entries: E,
    /// Is told how far it is; says whether to go on.
    pub tell: &'a dyn Fn(Progress) -> bool,
    /// How many bytes of tap counts are made again at once; see `PAST_TAP_BYTES_MAX`.
    pub bytes_max: u64,
}

/// Answers a question with rates as of a position. Blocking, as long as it takes to read the
/// journal since the first feed was declared, and perhaps again.
pub fn answer_with_rates_as_of<E, I>(
    ledger: &Ledger,
    past: &Past<'_, E>,
    question: &Question,
    page: &Page,
    wanted: &RatesWanted,
    at: Position,
) -> Result<RatedAnswer, QueryError>
where
    E: Fn(Position) -> Result<I, JournalError>,
    I: Iterator<Item = Result<(Position, Entry), JournalError>>,
{
    let passes = Passes {
        past,
        at,
        read: Cell::new(0),
        to_read: Cell::new(0),
    };
    let view = ledger.scan_view_as_of(at)?;
    let days = days(question);
    let known = ledger.read().taps().unchanged_since(at, &days);
    let taps = match known {
        Some(book) => PastTaps::known(view.dictionary.clone(), days, book),
        None => passes.told(ledger, PastTaps::new(view.dictionary.clone(), days))?,
    };
    check_feeds(wanted, taps.book())?;
    let rows = {
        let _place = gate::scan_place(ledger)?;
        rows(&view, Asked::by_scan(&view, question), question, page)?
    };
    let choice = Choice::of(question, wanted, taps.book(), &view.dictionary);
    answer(ledger, &passes, &taps, (question, wanted), rows, &choice)
}

/// The answer, when its rows are known and the feeds are chosen.
fn answer<E, I>(
    ledger: &Ledger,
    passes: &Passes<'_, E>,
    taps: &PastTaps,
    (question, wanted): (&Question, &RatesWanted),
    rows: Rows,
    choice: &Choice<'_>,
) -> Result<RatedAnswer, QueryError>
where
    E: Fn(Position) -> Result<I, JournalError>,
    I: Iterator<Item = Result<(Position, Entry), JournalError>>,
{
    let less = rows.less.as_ref().map(|(question, _)| question.clone());
    let questions: Vec<&Question> = less.iter().chain([question]).collect();
    let weights = questions.iter();
    let weights = weights.map(|question| made::weight(choice, question, &rows.keys));
    // Together if there is room for both, so that the journal is read once.
    let at_once = match CELLS_IN_USE_MAX < weights.sum() {
        true => 1,
        false => questions.len(),
    };
    let mut made = Vec::new();
    for questions in questions.chunks(at_once) {
        made.extend(passes.make(ledger, taps, questions, choice, &rows.keys)?);
    }
    let all = made.pop().expect("one for each question");
    let less = less.as_ref().zip(made.pop());
    let less = less.map(|(question, made)| without(&rows, question, wanted, choice, &made));
    Ok(put_together(rows, question, wanted, choice, &all, less))
}

/// The days that the window touches and one on either side, as service days begin and end later
/// than those of the calendar.
fn days(question: &Question) -> RangeInclusive<LocalDay> {
    let mut days = question.window.days();
    let first = days.next().unwrap_or(LocalDay(0));
    let last = days.last().unwrap_or(first);
    LocalDay(first.0 - 1)..=last.next()
}

/// Passes over the journal, for one question.
struct Passes<'a, E> {
    past: &'a Past<'a, E>,
    at: Position,
    read: Cell<u64>,
    to_read: Cell<u64>,
}

impl<E, I> Passes<'_, E>
where
    E: Fn(Position) -> Result<I, JournalError>,
    I: Iterator<Item = Result<(Position, Entry), JournalError>>,
{
    /// Finds what was told of which day by the position, from the declaration of the first feed
    /// on.
    fn told(&self, ledger: &Ledger, taps: PastTaps) -> Result<PastTaps, QueryError> {
        let _place = PASTS.take(1, gate::WAIT)?;
        let (later, has_gone) = {
            let state = ledger.read();
            (Arc::clone(state.taps()), state.months().ended().is_some())
        };
        let first = later.feeds().iter().map(|feed| feed.declared()).min();
        // Only then may the journal lack what first told of a scope.
        let mut taps = match has_gone {
            true => taps.numbered_as(&later, self.at),
            false => taps,
        };
        if let Some(first) = first.filter(|first| *first <= self.at) {
            self.expect(first, self.at);
            self.each(first, self.at, |position, entry| {
                taps.apply(position, entry);
            })?;
        }
        Ok(taps)
    }

    /// What the rates of some questions are made of.
    fn make(
        &self,
        ledger: &Ledger,
        taps: &PastTaps,
        questions: &[&Question],
        choice: &Choice<'_>,
        keys: &RowKeys,
    ) -> Result<Vec<Made>, QueryError> {
        let weights = questions.iter();
        let weights = weights.map(|question| made::weight(choice, question, keys));
        let _room = made::room(weights.sum())?;
        let view = ledger.scan_view_as_of(self.at)?;
        let mut readings: Vec<_> = questions
            .iter()
            .map(|question| Reading::new(&view, choice, question, keys))
            .collect();
        self.read(ledger, taps, choice, &mut readings)?;
        let _place = self.patiently(|| gate::scan_place(ledger))?;
        // Months may have ended meanwhile, which is to be told.
        let view = ledger.scan_view_as_of(self.at)?;
        let made = readings.into_iter().zip(questions);
        let made = made.map(|(reading, question)| {
            made::scanned(reading.finish(), &view, question, choice, keys)
        });
        made.collect()
    }

    /// Waits for a place longer than others do: much was done already.
    fn patiently<T>(&self, take: impl Fn() -> Result<T, QueryError>) -> Result<T, QueryError> {
        for _ in 1..PLACE_TRIES_MAX {
            match take() {
                Err(QueryError::Busy) => self.tell()?,
                other => return other,
            }
        }
        take()
    }

    /// Reads the taps of the chosen feeds: from the store those days that are there as they
    /// were, the others from the journal.
    fn read(
        &self,
        ledger: &Ledger,
        taps: &PastTaps,
        choice: &Choice<'_>,
        readings: &mut [Reading<'_>],
    ) -> Result<(), QueryError> {
        let (mut stored, ()) = ledger.tap_view(|_| ())?;
        let again;
        let mut taps = taps;
        if !taps.is_whole_with(&stored.book, self.at) {
            // Days were told again since it was found that none had been.
            drop(stored);
            again = self.told(ledger, taps.anew())?;
            taps = &again;
            stored = ledger.tap_view(|_| ())?.0;
        }
        let later = Arc::clone(&stored.book);
        let is_stored = |feed, day| PastTaps::is_stored(&later, self.at, feed, day);
        let reader = stored.reader();
        for reading in readings.iter_mut() {
            reading.read(&reader, is_stored)?;
        }
        // Tap counts may be put into the store again.
        drop(reader);
        drop(stored);
        let feeds: BTreeSet<u16> = choice.feeds.iter().map(|chosen| chosen.number).collect();
        let parts = taps.parts(&feeds, self.past.bytes_max, is_stored);
        let _place = match parts.is_empty() {
            true => None,
            false => Some(self.patiently(|| PASTS.take(1, gate::WAIT))?),
        };
        for part in &parts {
            self.expect(part.from, part.through);
        }
        for mut part in parts {
            let (from, through) = (part.from, part.through);
            self.each(from, through, |position, entry| {
                part.apply(position, entry);
            })?;
            let reader = part.reader();
            for reading in readings.iter_mut() {
                reading.read(&reader, |feed, day| part.has(feed, day))?;
            }
        }
        Ok(())
    }

    /// Says that these entries will be passed.
    fn expect(&self, from: Position, through: Position) {
        let entries = (through.0 + 1).saturating_sub(from.0);
        self.to_read.set(self.to_read.get() + entries);
    }

    /// Passes over entries, and tells how far it is.
    fn each(
        &self,
        from: Position,
        through: Position,
        mut take: impl FnMut(Position, &Entry),
    ) -> Result<(), QueryError> {
        let before = self.read.get();
        let mut told = from;
        self.tell()?;
        for entry in (self.past.entries)(from)? {
            let (position, entry) = entry?;
            if through < position {
                break;
            }
            take(position, &entry);
            if told.0 + TOLD_EVERY <= position.0 {
                told = position;
                self.read.set(before + position.0 - from.0);
                self.tell()?;
            }
        }
        self.read
            .set(before + (through.0 + 1).saturating_sub(from.0));
        self.tell()
    }

    fn tell(&self) -> Result<(), QueryError> {
        let progress = Progress {
            read: self.read.get(),
            to_read: self.to_read.get(),
        };
        match (self.past.tell)(progress) {
            true => Ok(()),
            false => Err(QueryError::Abandoned),
        }
    }
}
