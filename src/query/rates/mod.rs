//! Rates: the rows of an answer set against the tap counts of feeds.
//!
//! A report is matched if the feed of its operator told taps for its scope and its interval;
//! what is not matched stands in no rate, and taps of intervals without a report count all
//! the same. Rows, reports and taps are as of one position of the journal.
//!
//! With a feed of days that begin later than at midnight, days in rates are its service
//! days: such a window of days begins and ends at that hour.

mod as_of;
mod book;
mod choice;
mod compared;
mod coverage;
mod days;
mod feeds;
mod inputs;
mod keys;
mod matched;
mod periods;
mod picked;
mod ranked;
mod reading;
mod record;
mod refusals;
mod sliding;
mod sums;
mod tallied;

use crate::domain::limits::QUESTION_ROWS_MAX;
use crate::domain::taps::Refusals;
use crate::domain::{Basis, FeedId, Question, TapFeed};
use crate::ledger::{Dictionary, Ledger, ScanView, TapBook};
use crate::stats::comparison::RateRatio;
use crate::stats::dispersion::Dispersion;
use crate::stats::interval::Level;
use crate::stats::rate::{
    self, Coverage, Estimator, MatchedDay, Matching, NoRate, Numerator, Rate,
};

use super::budget::{self, CELLS};
use super::outages::OutageDays;
use super::{
    Answer, Counts, Effort, Figure, Order, Origin, Page, QueryError, Recorded, axes, cut, scan,
    tallied as tallied_counts,
};
use book::RateBook;
use choice::Choice;
use inputs::{RateInputs, RateJob};
use keys::RowKeys;
use matched::{Counted, OnDay, RowCounts};
use periods::{Period as RowPeriod, Periods};
use record::{RecordView, Tallied};
use sums::CellTaps;

pub use as_of::{Entries, Past, Progress, TapChanges};
pub use compared::{CompareWanted, Compared, Exposed, Over, Period, compare};
pub use feeds::FeedSet;
pub use record::RecordAsOf;
pub use sliding::{Known, Sliding, SlidingRates, WindowTaps};

pub use ranked::{Places, RankAnswer, RankBy, RankWanted, RankedScope, rank_scopes};

/// Days of the window that each row is about, and those of the window.
pub(super) fn period_days(
    question: &Question,
    figures: &[Figure],
    dictionary: &Dictionary,
) -> Vec<u64> {
    let keys = RowKeys::new(question, figures, dictionary);
    let periods = Periods::new(question, &keys);
    (0..=keys.total())
        .map(|row| periods.of(row).days())
        .collect()
}

/// How rates are to be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RatesWanted {
    /// Only over these feeds; empty for all that fit.
    pub feeds: Vec<FeedId>,
    /// Which interval.
    pub estimator: Estimator,
    /// How sure it is to be.
    pub level: Level,
}

/// Why a row has a count and no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// By the rules of a rate.
    Rule(NoRate),
    /// There are taps, but none told as finely as the question asks: by line, stop, hour, kind
    /// of tap, mode or kind of card. By mode and kind of card none ever are.
    NotToldSo,
}

impl Missing {
    /// Short name in answers and downloads.
    pub fn key(self) -> &'static str {
        match self {
            Self::Rule(rule) => rule.key(),
            Self::NotToldSo => "not-told-so",
        }
    }
}

/// The first feed asked for that nobody knows.
fn check_feeds(wanted: &RatesWanted, book: &TapBook) -> Result<(), QueryError> {
    let is_unknown = |id: &FeedId| book.find(id).is_none();
    match wanted.feeds.iter().position(is_unknown) {
        Some(place) => Err(QueryError::UnknownFeed { place }),
        None => Ok(()),
    }
}

/// The rate of one row, with what it was made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateFigure {
    /// Reports, those that were matched, taps and days. Contradictions are days with more
    /// matched reports than taps, where refused taps are among them.
    pub matching: Matching,
    /// How much more the days scatter than chance.
    pub dispersion: Dispersion,
    /// The rate, or why there is none.
    pub rate: Result<Rate, Missing>,
    /// Self-reports and observed refusals of the row, inspections left out.
    pub told: Bases,
    /// Self-reports per observed refusal: the only measure there is of how readily failures
    /// are reported. `None` without observed refusals.
    pub reports_per_failure: Option<RateRatio>,
    /// The feeds whose taps are in it, by their places in those of the answer.
    pub feeds: FeedSet,
}

/// What both bases told of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bases {
    /// By travellers and staff.
    pub self_reports: u64,
    /// By devices.
    pub observed_refusals: u64,
}

/// Rows with their rates.
#[derive(Clone, Debug, PartialEq)]
pub struct RatedAnswer {
    /// The rows of the page.
    pub answer: Answer,
    /// One for each row.
    pub rates: Vec<RateFigure>,
    /// Of all incidents of the question.
    pub total: RateFigure,
    /// The feeds whose taps were used, with the number of service days each told.
    pub feeds: Vec<(TapFeed, u64)>,
    /// The same over the same feeds without the days of declared outages; `None` if there are
    /// none.
    pub without: Option<RatedWithout>,
}

/// Rates without the days of declared outages.
#[derive(Clone, Debug, PartialEq)]
pub struct RatedWithout {
    /// One for each row; `None` where there are no other days.
    pub rates: Vec<Option<RateFigure>>,
    /// Of all incidents of the question.
    pub total: RateFigure,
}

/// Answers a question with rates, as of now or of a position. Blocking, up to some seconds, or as
/// long as it takes to read the journal: call it off the async threads.
pub fn answer_with_rates<'a>(
    of: impl Into<RecordAsOf<'a>>,
    question: &Question,
    page: &Page,
    wanted: &RatesWanted,
) -> Result<RatedAnswer, QueryError> {
    let (ground, asked) = of.into().open(&[question.window], |opened| Asked {
        books: opened.tallied(question),
        out: opened.outage_days(question).map(|out| {
            let books = opened.tallied(&out.question);
            (books, out)
        }),
    })?;
    rated(ground, asked, question, page, wanted)
}

/// Answers a question with rates by a scan, even where tallies would suffice.
pub fn answer_with_rates_by_scan(
    ledger: &Ledger,
    question: &Question,
    page: &Page,
    wanted: &RatesWanted,
) -> Result<RatedAnswer, QueryError> {
    let of = RecordAsOf::Now(ledger);
    let (ground, asked) = of.open(&[question.window], |opened| Asked {
        books: Tallied::default(),
        out: opened
            .outage_days(question)
            .map(|out| (Tallied::default(), out)),
    })?;
    rated(ground, asked, question, page, wanted)
}

/// What tallies tell of a question, and of the same without the days of declared outages.
struct Asked {
    books: Tallied,
    out: Option<(Tallied, OutageDays)>,
}

/// The rows of a question, with what they count without the days of outages, and that question.
fn rows(
    (view, recorded): (&ScanView, Recorded),
    asked: Asked,
    question: &Question,
    page: &Page,
) -> Result<Rows, QueryError> {
    let (counts, effort) = count(view, question, asked.books.counts)?;
    let from = Origin {
        position: view.position,
        recorded,
        effort,
    };
    let mut answer = cut(&counts, question, page, &view.dictionary, from);
    drop(counts);
    let mut less = None;
    if let Some((books, out)) = asked.out {
        let (counts, _) = count(view, &out.question, books.counts)?;
        less = Some((out.question.clone(), books.rates));
        answer.put_without(&counts, out, &view.dictionary);
    }
    Ok(Rows {
        keys: RowKeys::new(question, &answer.figures, &view.dictionary),
        answer,
        book: asked.books.rates,
        less,
    })
}

/// All rows of a question, by key.
fn all_rows(
    (view, recorded): (&ScanView, Recorded),
    question: &Question,
    book: Option<tallied_counts::Book>,
) -> Result<Vec<Figure>, QueryError> {
    let page = Page {
        rows: QUESTION_ROWS_MAX,
        order: Order::Key,
        after: None,
    };
    let (counts, effort) = count(view, question, book)?;
    let from = Origin {
        position: view.position,
        recorded,
        effort,
    };
    Ok(cut(&counts, question, &page, &view.dictionary, from).figures)
}

/// Rows without their rates.
struct Rows {
    answer: Answer,
    keys: RowKeys,
    book: Option<RateBook>,
    /// The question without the days of outages.
    less: Option<(Question, Option<RateBook>)>,
}

impl Rows {
    /// What the rates of the rows are to be made of: of the question without the days of outages
    /// first, if there are any.
    fn jobs<'a>(&'a self, question: &'a Question, choice: &'a Choice<'a>) -> Vec<RateJob<'a>> {
        let job = |(question, book): (&'a Question, &'a Option<RateBook>)| RateJob {
            question,
            choice,
            keys: &self.keys,
            book: book.as_ref(),
        };
        let less = self.less.iter().map(|(question, book)| (question, book));
        less.chain([(question, &self.book)]).map(job).collect()
    }
}

fn rated(
    ground: RecordView<'_>,
    asked: Asked,
    question: &Question,
    page: &Page,
    wanted: &RatesWanted,
) -> Result<RatedAnswer, QueryError> {
    let feeds = ground.feeds();
    check_feeds(wanted, &feeds)?;
    let recorded = ground.recorded;
    let rows = ground.scan(|view| rows((view, recorded), asked, question, page))?;
    let choice = &ground.choose(&[question], wanted, &feeds)?[0];
    let mut made = ground.make(&rows.jobs(question, choice))?;
    let all = made.pop().expect("one for each question");
    let used = all.sums.feeds(&rows.keys);
    let less = rows.less.as_ref().zip(made.pop());
    let less = less.map(|((question, _), made)| {
        let rated = Rated::new((question, recorded), wanted, choice, &rows.keys, &made);
        without(&rows, &Rated { used, ..rated })
    });
    let asked = (question, recorded);
    Ok(put_together(rows, asked, wanted, choice, &all, less))
}

/// The answer, when everything is made that its rates are of.
fn put_together(
    rows: Rows,
    asked: (&Question, Recorded),
    wanted: &RatesWanted,
    choice: &Choice<'_>,
    made: &RateInputs,
    without: Option<RatedWithout>,
) -> RatedAnswer {
    let Rows {
        mut answer, keys, ..
    } = rows;
    if answer.effort == Effort::Tallies && 0 < made.blocks {
        answer.effort = Effort::Scan {
            blocks: made.blocks,
        };
    }
    let rated = Rated::new(asked, wanted, choice, &keys, made);
    RatedAnswer {
        rates: (0..keys.total()).map(|row| rated.rate(row)).collect(),
        total: rated.rate(keys.total()),
        feeds: choice.used(rated.used, asked.0),
        answer,
        without,
    }
}

/// Rates of a question without the days of outages.
fn without(rows: &Rows, rated: &Rated<'_>) -> RatedWithout {
    let has_days = |row: &usize| rated.periods.of(*row).days() != 0;
    RatedWithout {
        rates: (0..rows.keys.total())
            .map(|row| Some(row).filter(has_days).map(|row| rated.rate(row)))
            .collect(),
        total: rated.rate(rows.keys.total()),
    }
}

/// The counts of the question, from tallies where they suffice.
fn count(
    view: &ScanView,
    question: &Question,
    book: Option<tallied_counts::Book>,
) -> Result<(Counts, Effort), QueryError> {
    if let Some(book) = book
        && let Some(axes) = axes(&book, question, view.ended)?
    {
        let _room = CELLS.take(axes.cells, budget::WAIT)?;
        return Ok((book.tally(question, axes)?, Effort::Tallies));
    }
    scan(view, question)
}

/// Everything that rates are made of.
struct Rated<'a> {
    question: &'a Question,
    wanted: &'a RatesWanted,
    choice: &'a Choice<'a>,
    keys: &'a RowKeys,
    made: &'a RateInputs,
    periods: Periods,
    /// The feeds of the answer, by their places in the choice.
    used: FeedSet,
}

impl<'a> Rated<'a> {
    /// Of a question, in what the record tells of.
    fn new(
        (question, recorded): (&'a Question, Recorded),
        wanted: &'a RatesWanted,
        choice: &'a Choice<'a>,
        keys: &'a RowKeys,
        made: &'a RateInputs,
    ) -> Self {
        Self {
            question,
            wanted,
            choice,
            keys,
            made,
            periods: Periods::new(question, keys).within(recorded),
            used: made.sums.feeds(keys),
        }
    }

    fn rate(&self, row: usize) -> RateFigure {
        let rules = Rules {
            basis: self.question.filter.basis,
            is_none_fine_enough: self.choice.is_none_fine_enough(),
            wanted: self.wanted,
            used: self.used,
        };
        let taps = self.made.sums.of(self.keys.tap_cell(row));
        let counted = self.made.matches.of(row, self.keys);
        rules.rate(&self.periods.of(row), (taps, Coverage::OfDays), counted)
    }
}

/// What a rate follows, besides the figures that it is made of.
struct Rules<'a> {
    basis: Basis,
    /// Whether there are feeds, but none tells taps as finely as the question asks.
    is_none_fine_enough: bool,
    wanted: &'a RatesWanted,
    /// The feeds of the answer, by their places in the choice.
    used: FeedSet,
}

impl Rules<'_> {
    /// The rate of reports over taps by day, of a period.
    fn rate(
        &self,
        period: &RowPeriod<'_>,
        (taps, coverage): (&CellTaps, Coverage),
        of_row: RowCounts<'_>,
    ) -> RateFigure {
        let refusals = taps.refusals();
        let counted = of_row.own;
        let day = |(day, taps): &(i32, u64)| MatchedDay {
            matched: counted.on(*day).matched.into(),
            refused: of_row.refusals.on(*day).matched.into(),
            taps: *taps,
        };
        let days = taps.days().iter().map(day);
        let matching = Matching {
            days: period.days(),
            days_with_taps: days.len() as u64,
            reports: counted.reports,
            matched: counted.matched,
            refused: of_row.refusals.matched,
            taps: days.clone().map(|day| day.taps).sum(),
            contradictions: contradictions(refusals, days.clone()),
        };
        let (numerator, told) = match self.basis {
            Basis::SelfReported => (
                Numerator::SelfReports,
                Bases {
                    self_reports: counted.reports,
                    observed_refusals: counted.others,
                },
            ),
            Basis::Observed => (
                Numerator::ObservedRefusals,
                Bases {
                    self_reports: counted.others,
                    observed_refusals: counted.reports,
                },
            ),
        };
        let dispersion = rate::dispersion(numerator, refusals, days);
        let RatesWanted {
            estimator, level, ..
        } = *self.wanted;
        let rate = if self.is_none_fine_enough {
            Err(Missing::NotToldSo)
        } else {
            let made = (&matching, coverage);
            rate::rate(numerator, refusals, made, estimator, level, dispersion)
                .map_err(Missing::Rule)
        };
        RateFigure {
            matching,
            dispersion,
            rate,
            told,
            reports_per_failure: reports_per_failure(told, period, counted, level),
            feeds: taps.feeds().among(self.used),
        }
    }
}

/// Days with more matched reports than taps, where refused taps are among the taps. Of a feed that
/// leaves them out, a day of an outage has fewer taps and is right.
fn contradictions(refusals: Refusals, days: impl Iterator<Item = MatchedDay>) -> u64 {
    let is_one = |day: &MatchedDay| refusals == Refusals::Included && day.taps < day.matched;
    days.filter(is_one).count() as u64
}

/// Self-reports for each observed refusal. What devices and what people told scatters over the
/// days of the period, matched or not, so that it is the same whichever of the two is asked for,
/// and whatever taps were told.
fn reports_per_failure(
    told: Bases,
    period: &RowPeriod<'_>,
    counted: &Counted,
    level: Level,
) -> Option<RateRatio> {
    if told.observed_refusals == 0 {
        return None;
    }
    let has_any = |day| {
        let on = counted.on(day);
        on.reports != 0 || on.others != 0
    };
    let scatter = |of: fn(OnDay) -> u32| period.scatter(|day| of(counted.on(day)).into(), has_any);
    let dispersion = scatter(|day| day.reports).or_wider(scatter(|day| day.others));
    rate::reports_per_observed_failure(told.self_reports, told.observed_refusals, level, dispersion)
}

#[cfg(test)]
mod tests;
