//! Reads the taps that a question is set against: all of them, those of some days, or part by
//! part, where they do not fit in memory together.

use std::collections::BTreeSet;

use crate::domain::taps::TapInterval;
use crate::domain::{LocalDay, Question};
use crate::ledger::{ScanView, TapView};
use crate::store::TapReader;

use super::super::{QueryError, row_filter::RowFilter};
use super::choice::{Choice, Chosen};
use super::coverage::{FeedCoverage, FeedReader};
use super::inputs::RateJob;
use super::sums::TapSums;

/// Cells that the hours of one scope and day take while their table grows.
const PARTIAL_CELLS: u64 = 6;

/// How many cells of memory it takes at most to remember what was told.
pub(super) fn weight(choice: &Choice<'_>, question: &Question) -> u64 {
    let days = question.window.days().count() as u64 + 2;
    let feed = |chosen: &Chosen<'_>| {
        let scopes = chosen.book.scopes().len() as u64;
        let scope_days = scopes * days;
        // A byte each; of parts of days the hours that were told, in a hash table.
        scopes
            + match chosen.feed().interval {
                TapInterval::Day => scope_days / 4,
                TapInterval::Hour | TapInterval::Quarter => scope_days * PARTIAL_CELLS,
            }
    };
    choice.feeds.iter().map(feed).sum()
}

/// Taps that were read.
pub(super) struct TapsRead {
    /// What was told, feed by feed.
    pub told: Vec<FeedCoverage>,
    pub sums: TapSums,
}

/// Reads all taps of the window.
pub(super) fn read(
    reader: &TapReader<'_>,
    view: &ScanView,
    job: &RateJob<'_>,
) -> Result<TapsRead, QueryError> {
    let mut all = Reading::new(view, job);
    all.read(reader, |_, _| true)?;
    Ok(all.finish())
}

/// Reads the taps of the window part by part: of each, some days of some feeds.
pub(super) struct Reading<'a> {
    feeds: Vec<FeedReader<'a>>,
    sums: TapSums,
}

impl<'a> Reading<'a> {
    pub fn new(view: &ScanView, job: &RateJob<'a>) -> Self {
        let RateJob {
            question,
            choice,
            keys,
            ..
        } = *job;
        let row_filter = RowFilter::new(&question.filter, &view.dictionary);
        let feeds = choice.feeds.iter();
        Self {
            feeds: feeds
                .map(|chosen| FeedReader::new(chosen, question, keys, &row_filter))
                .collect(),
            sums: TapSums::new(keys),
        }
    }

    /// Reads the days of feeds that are wanted.
    pub fn read(
        &mut self,
        reader: &TapReader<'_>,
        wants: impl Fn(u16, LocalDay) -> bool,
    ) -> Result<(), QueryError> {
        for feed in &mut self.feeds {
            let number = feed.chosen.number;
            feed.read(reader, |day| wants(number, day), &mut self.sums)?;
        }
        Ok(())
    }

    /// What was told, and its sums.
    pub fn finish(self) -> TapsRead {
        TapsRead {
            told: self.feeds.into_iter().map(|feed| feed.told).collect(),
            sums: self.sums,
        }
    }
}

/// Reads which counts were told of some days.
pub(super) fn read_days(
    taps: &TapView<'_>,
    job: &RateJob<'_>,
    days: &BTreeSet<LocalDay>,
) -> Result<Vec<FeedCoverage>, QueryError> {
    let RateJob {
        question,
        choice,
        keys,
        ..
    } = *job;
    let mut sums = TapSums::new(keys);
    let reader = taps.reader();
    let row_filter = RowFilter::new(&question.filter, &taps.dictionary);
    let mut all = Vec::with_capacity(choice.feeds.len());
    for chosen in &choice.feeds {
        let mut feed = FeedReader::new(chosen, question, keys, &row_filter);
        feed.sums_none = true;
        feed.read(&reader, |day| days.contains(&day), &mut sums)?;
        all.push(feed.told);
    }
    Ok(all)
}
