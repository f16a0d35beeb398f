//! Rates as of an earlier position: rows, reports and taps as they stood when the entry at
//! that position was the last, to the digit.
//!
//! Reports are scanned as for any such question. Of taps the store has only what was told last:
//! days of which nothing was told since are read from it, and the others are made again from the
//! journal, part by part, so that it takes no more memory however many there are. That may take
//! as long as reading the journal twice: to find what was told of which day, and for the counts.
//! In between it is read once more where several feeds of an operator may tell the same line or
//! stop, to choose among them for all periods of an answer at once; and it takes longer where days
//! were told again much later. So no place among the scans is held meanwhile, and whoever asks is
//! told how far it is.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::domain::limits::{CELLS_IN_USE_MAX, PAST_QUESTIONS_MAX};
use crate::domain::{Entry, LocalDay, Position, Stamp, Window};
use crate::journal::{JournalError, Reader};
use crate::ledger::{Dictionary, Ledger, PastTaps, ScanView};

use super::super::QueryError;
use super::super::budget::{self, Budget};
use super::choice::ScopesByFeed;
use super::inputs::{self, RateInputs, RateJob};
use super::reading::Reading;

/// Questions that read the journal.
static PASTS: Budget = Budget::new(PAST_QUESTIONS_MAX as u64);
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

/// What questions as of a position read of the journal.
pub trait Entries {
    /// What changed tap counts, in order, from a position on.
    fn tap_changes(&self, from: Position) -> TapChanges<'_>;

    /// When the entry at a position was committed; `None` if it is not there any more.
    fn stamp(&self, of: Position) -> Result<Option<Stamp>, JournalError>;
}

/// Entries, or why there are no more.
pub type TapChanges<'a> = Box<dyn Iterator<Item = Result<(Position, Entry), JournalError>> + 'a>;

impl Entries for Reader {
    fn tap_changes(&self, from: Position) -> TapChanges<'_> {
        let records = self.tap_changes_from(from);
        Box::new(records.map(|record| record.map(|record| (record.position, record.entry))))
    }

    fn stamp(&self, of: Position) -> Result<Option<Stamp>, JournalError> {
        Self::stamp(self, of)
    }
}

/// What a question as of a position reads, and whom it tells how far it is.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    /// The journal.
    pub entries: &'a dyn Entries,
    /// Is told how far it is; says whether to go on.
    pub tell: &'a dyn Fn(Progress) -> bool,
    /// How many bytes of tap counts are made again at once; see `PAST_TAP_BYTES_MAX`.
    pub bytes_max: u64,
}

/// Passes over the journal, for one answer. Blocking, as long as it takes to read the journal as
/// often as it must be.
pub(super) struct Passes<'a> {
    ledger: &'a Ledger,
    past: Past<'a>,
    at: Position,
    read: Cell<u64>,
    to_read: Cell<u64>,
}

impl<'a> Passes<'a> {
    pub fn new(ledger: &'a Ledger, past: Past<'a>, at: Position) -> Self {
        Self {
            ledger,
            past,
            at,
            read: Cell::new(0),
            to_read: Cell::new(0),
        }
    }

    /// The record as a scan finds it, and when its last entry was committed.
    pub fn view(&self) -> Result<(ScanView, Stamp), QueryError> {
        let view = self.ledger.scan_view_as_of(self.at)?;
        let stamp = self.past.entries.stamp(self.at)?;
        // Its month ended meanwhile: asked again, the question is told so.
        Ok((view, stamp.ok_or(QueryError::Busy)?))
    }

    /// What was told of the days of some windows.
    pub fn taps(&self, view: &ScanView, windows: &[Window]) -> Result<PastTaps, QueryError> {
        let days: Vec<_> = windows.iter().map(|window| days(*window)).collect();
        let known = self.ledger.read().taps().unchanged_since(self.at, &days);
        let dictionary = Arc::clone(&view.dictionary);
        match known {
            Some(book) => Ok(PastTaps::known(dictionary, days, book)),
            None => self.told(dictionary, days),
        }
    }

    /// Finds what was told of which day by the position.
    fn told(
        &self,
        dictionary: Arc<Dictionary>,
        days: Vec<RangeInclusive<LocalDay>>,
    ) -> Result<PastTaps, QueryError> {
        let _place = PASTS.take(1, budget::WAIT)?;
        let later = Arc::clone(self.ledger.read().taps());
        let mut taps = PastTaps::unread(dictionary, days, &later, self.at);
        if let Some(first) = later.first_change().filter(|first| *first <= self.at) {
            self.expect(first, self.at);
            self.each(first, self.at, |position, entry| {
                taps.apply(position, entry);
            })?;
        }
        Ok(taps)
    }

    /// What the rates of some questions are made of.
    pub fn make(
        &self,
        taps: &PastTaps,
        asked: &[RateJob<'_>],
    ) -> Result<Vec<RateInputs>, QueryError> {
        let mut made = Vec::with_capacity(asked.len());
        for asked in at_once(asked) {
            made.extend(self.make_at_once(taps, asked)?);
        }
        Ok(made)
    }

    fn make_at_once(
        &self,
        taps: &PastTaps,
        asked: &[RateJob<'_>],
    ) -> Result<Vec<RateInputs>, QueryError> {
        let _room = inputs::room(asked.iter().map(RateJob::weight).sum())?;
        let view = self.ledger.scan_view_as_of(self.at)?;
        let readings = self.read_at_once(taps, &view, asked)?;
        let _place = self.patiently(|| budget::scan_place(self.ledger))?;
        // Months may have ended meanwhile, which is to be told.
        let view = self.ledger.scan_view_as_of(self.at)?;
        let made = readings.into_iter().zip(asked);
        let made = made.map(|(reading, one)| one.scanned(reading.finish(), &view));
        made.collect()
    }

    /// What feeds told, for which the taps of some jobs are read: of each no more is kept than
    /// that.
    pub fn scopes(
        &self,
        taps: &PastTaps,
        view: &ScanView,
        jobs: &[RateJob<'_>],
    ) -> Result<Vec<ScopesByFeed>, QueryError> {
        let mut scopes = Vec::with_capacity(jobs.len());
        for jobs in at_once(jobs) {
            let _room = inputs::room(jobs.iter().map(RateJob::weight).sum())?;
            let readings = self.read_at_once(taps, view, jobs)?;
            for (reading, job) in readings.into_iter().zip(jobs) {
                scopes.push(ScopesByFeed::read(job.choice, &reading.finish().told));
            }
        }
        Ok(scopes)
    }

    fn read_at_once<'j>(
        &self,
        taps: &PastTaps,
        view: &ScanView,
        jobs: &[RateJob<'j>],
    ) -> Result<Vec<Reading<'j>>, QueryError> {
        let mut readings: Vec<_> = jobs.iter().map(|job| Reading::new(view, job)).collect();
        let feeds = jobs.iter().flat_map(|job| &job.choice.feeds);
        let feeds = feeds.map(|chosen| chosen.number).collect();
        self.read(taps, &feeds, &mut readings)?;
        Ok(readings)
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
        taps: &PastTaps,
        feeds: &BTreeSet<u16>,
        readings: &mut [Reading<'_>],
    ) -> Result<(), QueryError> {
        let (mut stored, ()) = self.ledger.tap_view(|_| ())?;
        let again;
        let mut taps = taps;
        if !taps.is_whole_with(&stored.book, self.at) {
            // Days were told again since it was found that none had been.
            drop(stored);
            again = self.told(Arc::clone(taps.dictionary()), taps.days().to_vec())?;
            taps = &again;
            stored = self.ledger.tap_view(|_| ())?.0;
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
        let parts = taps.parts(feeds, self.past.bytes_max, is_stored);
        let _place = match parts.is_empty() {
            true => None,
            false => Some(self.patiently(|| PASTS.take(1, budget::WAIT))?),
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
        for entry in self.past.entries.tap_changes(from) {
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

/// All together if there is room for them, so that the journal is read once; else one by one.
fn at_once<'j, 'q>(jobs: &'j [RateJob<'q>]) -> std::slice::Chunks<'j, RateJob<'q>> {
    let has_room = jobs.iter().map(RateJob::weight).sum::<u64>() <= CELLS_IN_USE_MAX;
    jobs.chunks(if has_room { jobs.len().max(1) } else { 1 })
}

/// The days that a window touches and one on either side, as service days begin and end later
/// than those of the calendar.
fn days(window: Window) -> RangeInclusive<LocalDay> {
    let mut days = window.days();
    let first = days.next().unwrap_or(LocalDay(0));
    let last = days.last().unwrap_or(first);
    LocalDay(first.0 - 1)..=last.next()
}
