//! The record that a question is put to: as it stands, or as it stood at a position. Whoever
//! makes figures with rates asks here for rows and for what their rates are made of, and need
//! not know which of the two it is.

use std::sync::Arc;

use super::super::budget::{self, BudgetShare};
use super::super::outages::OutageDays;
use super::super::row_filter::RowFilter;
use super::super::{QueryError, Recorded, tallied as tallied_counts};
use super::RatesWanted;
use super::as_of::{Passes, Past};
use super::book::{self, RateBook};
use super::choice::{Candidates, Choice, ScopesByFeed};
use super::inputs::{self, RateInputs, RateJob};
use super::keys::RowKeys;
use super::reading;
use crate::domain::{Outages, Position, Question, Window};
use crate::ledger::{Ledger, PastTaps, ScanView, State, TapBook, TapView};

/// As of when.
pub enum RecordAsOf<'a> {
    /// Now: the last position.
    Now(&'a Ledger),
    /// An earlier one, to the digit as it was then.
    Then(&'a Ledger, Past<'a>, Position),
}

impl<'a> From<&'a Ledger> for RecordAsOf<'a> {
    fn from(ledger: &'a Ledger) -> Self {
        Self::Now(ledger)
    }
}

/// What is known of the record when it is opened.
pub(super) struct Opened<'a> {
    pub outages: &'a Outages,
    pub position: Position,
    pub recorded: Recorded,
    /// Has tallies, which know no earlier position.
    state: Option<&'a State>,
}

/// The record, opened. It stands still: everything is told as of one position.
pub(super) struct RecordView<'a> {
    ledger: &'a Ledger,
    pub view: ScanView,
    pub recorded: Recorded,
    taps: Taps<'a>,
}

enum Taps<'a> {
    /// With a place among the scans.
    Now(TapView<'a>, BudgetShare<'static>),
    Then(Passes<'a>, PastTaps),
}

// === impl RecordAsOf ===

impl<'a> RecordAsOf<'a> {
    /// Opens the record for questions about some windows, and takes of it what `ask` says.
    pub(super) fn open<T>(
        self,
        windows: &[Window],
        ask: impl FnOnce(&Opened<'_>) -> T,
    ) -> Result<(RecordView<'a>, T), QueryError> {
        let (Self::Now(ledger) | Self::Then(ledger, ..)) = self;
        let began = ledger.began();
        let (view, recorded, taps, asked) = match self {
            Self::Now(_) => {
                let place = budget::scan_place(ledger)?;
                let (taps, view, (asked, recorded)) = ledger.rate_view(|state| {
                    let until = state.stamp();
                    let recorded = Recorded { began, until };
                    let asked = ask(&Opened {
                        outages: state.outages(),
                        position: state.position(),
                        recorded,
                        state: Some(state),
                    });
                    (asked, recorded)
                })?;
                (view, recorded, Taps::Now(taps, place), asked)
            }
            Self::Then(_, past, at) => {
                let passes = Passes::new(ledger, past, at);
                let (view, until) = passes.view()?;
                let recorded = Recorded { began, until };
                let asked = ask(&Opened {
                    outages: &view.outages,
                    position: at,
                    recorded,
                    state: None,
                });
                let taps = passes.taps(&view, windows)?;
                (view, recorded, Taps::Then(passes, taps), asked)
            }
        };
        let record = RecordView {
            ledger,
            view,
            recorded,
            taps,
        };
        Ok((record, asked))
    }
}

// === impl Opened ===

impl Opened<'_> {
    /// What tallies tell of a question.
    pub fn tallied(&self, question: &Question) -> Tallied {
        self.state.map_or_else(Tallied::default, |state| Tallied {
            counts: tallied_counts::open(state, question),
            rates: book::open(state, question),
        })
    }

    /// The days of outages that concern a question, if there are any.
    pub fn outage_days(&self, question: &Question) -> Option<OutageDays> {
        OutageDays::of(self.outages, question, self.position)
    }
}

/// What tallies tell of a question, if they suffice: the rows, and what their rates are made
/// of.
#[derive(Default)]
pub(super) struct Tallied {
    pub counts: Option<tallied_counts::Book>,
    pub rates: Option<RateBook>,
}

// === impl RecordView ===

impl<'a> RecordView<'a> {
    /// Feeds, scopes and days.
    pub fn feeds(&self) -> Arc<TapBook> {
        match &self.taps {
            Taps::Now(taps, _) => Arc::clone(&taps.book),
            Taps::Then(_, taps) => Arc::new(taps.book().clone()),
        }
    }

    /// The feeds that each question is set against. Reads those of which it takes what they told,
    /// where what is known of whole days does not say it: for all questions at once.
    pub fn choose<'b>(
        &self,
        questions: &[&Question],
        wanted: &RatesWanted,
        feeds: &'b TapBook,
    ) -> Result<Vec<Choice<'b>>, QueryError> {
        let dictionary = &self.view.dictionary;
        let mut candidates = Vec::with_capacity(questions.len());
        let mut unclear = Vec::new();
        for (place, question) in questions.iter().enumerate() {
            let some = Candidates::of(question, wanted, feeds, dictionary);
            let of_some = some.unclear();
            let told = match of_some.feeds.is_empty() {
                true => Some(ScopesByFeed::default()),
                false => self.known(&of_some, question)?,
            };
            if told.is_none() {
                unclear.push((place, of_some, RowKeys::new(question, &[], dictionary)));
            }
            candidates.push((some, told));
        }
        let jobs = unclear.iter().map(|(place, choice, keys)| RateJob {
            question: questions[*place],
            choice,
            keys,
            book: None,
        });
        let read = self.read(&jobs.collect::<Vec<_>>())?;
        for ((place, ..), told) in unclear.iter().zip(read) {
            candidates[*place].1 = Some(told);
        }
        let settled = candidates
            .into_iter()
            .map(|(some, told)| some.settle(&told.unwrap_or_default(), wanted));
        settled.collect()
    }

    /// What the feeds of a choice told of a question.
    pub fn told(
        &self,
        choice: &Choice<'_>,
        question: &Question,
    ) -> Result<ScopesByFeed, QueryError> {
        if let Some(told) = self.known(choice, question)? {
            return Ok(told);
        }
        let keys = RowKeys::new(question, &[], &self.view.dictionary);
        let job = RateJob {
            question,
            choice,
            keys: &keys,
            book: None,
        };
        let mut read = self.read(&[job])?;
        Ok(read.pop().expect("one for each question"))
    }

    /// What feeds told, if it is known without reading any counts.
    fn known(
        &self,
        choice: &Choice<'_>,
        question: &Question,
    ) -> Result<Option<ScopesByFeed>, QueryError> {
        let Taps::Now(taps, _) = &self.taps else {
            return Ok(None);
        };
        let row_filter = RowFilter::new(&question.filter, &self.view.dictionary);
        ScopesByFeed::of_days(choice, taps, question, &row_filter)
    }

    /// What feeds told, for which the taps of jobs are read: of each no more is kept than that.
    fn read(&self, jobs: &[RateJob<'_>]) -> Result<Vec<ScopesByFeed>, QueryError> {
        match &self.taps {
            Taps::Now(taps, _) => {
                let read = |job: &RateJob<'_>| {
                    let _room = inputs::room(job.weight())?;
                    let read = reading::read(&taps.reader(), &self.view, job);
                    read.map(|read| ScopesByFeed::read(job.choice, &read.told))
                };
                jobs.iter().map(read).collect()
            }
            Taps::Then(passes, taps) => passes.scopes(taps, &self.view, jobs),
        }
    }

    /// Looks at rows, with a place among the scans. Such a place is never held while the journal is
    /// read.
    pub fn scan<T>(
        &self,
        look: impl FnOnce(&ScanView) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let _place = match &self.taps {
            Taps::Now(..) => None,
            Taps::Then(..) => Some(budget::scan_place(self.ledger)?),
        };
        look(&self.view)
    }

    /// What the rates of each question are made of. Taps are let go as soon as may be, so that
    /// others can be told.
    pub fn make(self, jobs: &[RateJob<'_>]) -> Result<Vec<RateInputs>, QueryError> {
        let (taps, _place) = match self.taps {
            Taps::Now(taps, place) => (taps, place),
            Taps::Then(passes, taps) => return passes.make(&taps, jobs),
        };
        let view = &self.view;
        let Some((last, others)) = jobs.split_last() else {
            return Ok(Vec::new());
        };
        let mut all = Vec::with_capacity(jobs.len());
        for one in others {
            all.push(one.compute(&taps, view)?);
        }
        all.push(last.compute(taps, view)?);
        Ok(all)
    }
}
