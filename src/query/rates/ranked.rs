//! Rankings of operators, lines or stops: every scope with reports or taps, set against its
//! taps as in any rate, and ordered by the rules of `stats::ranking`.
//!
//! A scope without a single report is ranked as well: that nothing failed there is known
//! from its taps. A scope without a rate is not ranked, and told with its reason.

use std::collections::BTreeSet;

use crate::domain::limits::RANKED_SCOPES_MAX;
use crate::domain::question::Breakdown;
use crate::domain::{
    Basis, Dimension, FeedId, Filter, OutageDay, Position, Question, TapFeed, Window,
};
use crate::ledger::Dictionary;
use crate::stats::dispersion::Dispersion;
use crate::stats::interval::{EventRate, Level};
use crate::stats::ranking::{self, Prior, Ranked, Scope, Suspected, Verdict};
use crate::stats::rate::{Estimator, REPORTS_PER_TAPS, Rate};

use super::super::row_filter::RowFilter;
use super::super::{Figure, QueryError};
use super::choice::{Choice, Chosen, ScopesByFeed};
use super::inputs::RateJob;
use super::keys::RowKeys;
use super::record::{RecordAsOf, Tallied};
use super::{RateFigure, Rated, RatesWanted, all_rows, check_feeds};

/// What is ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankBy {
    /// Operators.
    Operator,
    /// Lines.
    Line,
    /// Stops.
    Stop,
}

/// What is to be ranked.
#[derive(Clone, Debug, PartialEq)]
pub struct RankWanted {
    /// Which scopes.
    pub by: RankBy,
    /// Which incidents count.
    pub filter: Filter,
    /// When.
    pub window: Window,
    /// Only over these feeds; empty for all that fit.
    pub feeds: Vec<FeedId>,
    /// How sure intervals and the verdict are to be.
    pub level: Level,
    /// Whether days of declared outages are left out. Feeds are chosen by all days.
    pub leaves_out_outages: bool,
}

/// One scope with its own rate.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedScope {
    /// The code of the operator, line or stop.
    pub key: String,
    /// Its own rate, as in any other answer, or why it has none.
    pub figure: RateFigure,
    /// As in any other answer.
    pub rests_on_few_days: Option<bool>,
}

/// The scopes in their order, by what is counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Places {
    /// Too few scopes have enough data.
    TooFewScopes,
    /// No difference can be shown.
    NoDifference,
    /// By observed refusals, worst first.
    Observed(Prior, Vec<(RankedScope, Ranked)>),
    /// By how likely they lie above the network, with self-reports.
    SelfReported(Prior, Vec<(RankedScope, Suspected)>),
}

/// A ranking. Rates are in the unit of the scopes' own rates.
#[derive(Clone, Debug, PartialEq)]
pub struct RankAnswer {
    /// What can be said.
    pub places: Places,
    /// How many scopes have enough data to be ranked.
    pub enough: usize,
    /// Scopes with a rate but too little data to be ranked, by key.
    pub too_little: Vec<RankedScope>,
    /// Scopes without a rate, by key.
    pub without_rate: Vec<RankedScope>,
    /// The rate of all scopes that have one, together; `None` if none has.
    pub network_rate: Option<f64>,
    /// The dispersion of all scopes together.
    pub dispersion: Dispersion,
    /// The feeds whose taps were used, with the number of service days each told.
    pub feeds: Vec<(TapFeed, u64)>,
    /// The last position that is counted.
    pub position: Position,
    /// Days of the window on which an outage was declared, rising.
    pub outages: Vec<OutageDay>,
}

/// Ranks scopes, as of now or of a position. Blocking, up to some seconds, or as long as it takes
/// to read the journal: call it off the async threads.
pub fn rank_scopes<'a>(
    of: impl Into<RecordAsOf<'a>>,
    wanted: &RankWanted,
) -> Result<RankAnswer, QueryError> {
    let asked = Question {
        filter: wanted.filter.clone(),
        by: Breakdown::new(vec![wanted.by.dimension()]).expect("one dimension"),
        window: wanted.window,
    };
    let rates = RatesWanted {
        feeds: wanted.feeds.clone(),
        estimator: Estimator::Standard,
        level: wanted.level,
    };
    let (ground, (question, outages, books)) = of.into().open(&[wanted.window], |opened| {
        let out = opened.outage_days(&asked);
        let (days, less) = out.map(|out| (out.days, out.question)).unzip();
        let less = less.filter(|_| wanted.leaves_out_outages);
        let question = less.unwrap_or_else(|| asked.clone());
        let books = opened.tallied(&question);
        (question, days.unwrap_or_default(), books)
    })?;
    let position = ground.view.position;
    let feeds = ground.feeds();
    check_feeds(&rates, &feeds)?;
    let Tallied {
        counts,
        rates: book,
    } = books;
    let recorded = ground.recorded;
    let reported = ground.scan(|view| all_rows((view, recorded), &question, counts))?;
    let dictionary = &ground.view.dictionary;
    let choice = &ground.choose(&[&asked], &rates, &feeds)?[0];
    let known = reported.iter().flat_map(|row| row.keys.first());
    let silent = Silent {
        wanted,
        choice,
        dictionary,
        known: known.cloned().collect(),
    };
    let silent = silent.keys(|| ground.told(choice, &question))?;
    let figures = all_scopes(reported, silent, wanted);
    let keys = RowKeys::new(&question, &figures, dictionary);
    let job = RateJob {
        question: &question,
        choice,
        keys: &keys,
        book: book.as_ref(),
    };
    let asked = (&question, recorded);
    let mut made = ground.make(&[job])?;
    let made = made.pop().expect("one for each question");
    let rated = Rated::new(asked, &rates, choice, &keys, &made);
    let scopes = figures.iter().enumerate().map(|(row, figure)| RankedScope {
        key: figure.keys.join(" "),
        figure: rated.rate(row),
        rests_on_few_days: figure.rests_on_few_days,
    });
    // Feeds name scopes of which they may tell nothing in this window.
    let is_told = |scope: &RankedScope| {
        let matching = &scope.figure.matching;
        0 < matching.reports || 0 < matching.days_with_taps
    };
    let answer = placed(scopes.filter(is_told).collect(), wanted);
    Ok(RankAnswer {
        feeds: choice.used(made.sums.feeds(&keys), &question),
        position,
        outages,
        ..answer
    })
}

impl RankBy {
    fn dimension(self) -> Dimension {
        match self {
            Self::Operator => Dimension::Operator,
            Self::Line => Dimension::Line,
            Self::Stop => Dimension::Stop,
        }
    }
}

/// Scopes without reports.
struct Silent<'a> {
    wanted: &'a RankWanted,
    choice: &'a Choice<'a>,
    dictionary: &'a Dictionary,
    /// Scopes with reports.
    known: BTreeSet<String>,
}

impl Silent<'_> {
    /// Those of which feeds tell taps. Feeds name scopes as of now, of which they may tell nothing in
    /// the window; where they name too many, it is read what they told.
    fn keys(
        &self,
        told: impl FnOnce() -> Result<ScopesByFeed, QueryError>,
    ) -> Result<BTreeSet<String>, QueryError> {
        let has_too_many =
            |keys: &BTreeSet<String>| RANKED_SCOPES_MAX < self.known.len() + keys.len();
        let named = self.among(|chosen| chosen.book.scopes().to_vec());
        if !has_too_many(&named) {
            return Ok(named);
        }
        let told = told()?;
        let told = self.among(|chosen| told.of_feed(chosen.number).collect());
        match has_too_many(&told) {
            true => Err(QueryError::TooManyRows),
            false => Ok(told),
        }
    }

    fn among(&self, scopes: impl Fn(&Chosen<'_>) -> Vec<(u32, u32)>) -> BTreeSet<String> {
        let row_filter = RowFilter::new(&self.wanted.filter, self.dictionary);
        let mut keys = BTreeSet::new();
        for chosen in &self.choice.feeds {
            if !row_filter.takes_operator(chosen.operator.into()) {
                continue;
            }
            for (line, stop) in scopes(chosen) {
                if !row_filter.takes_line(line) || !row_filter.takes_stop(stop) {
                    continue;
                }
                let key = match self.wanted.by {
                    RankBy::Operator => Some(chosen.feed().operator.as_str()),
                    RankBy::Line => self.dictionary.line(line).map(|line| line.as_str()),
                    RankBy::Stop => self.dictionary.stop(stop).map(|stop| stop.as_str()),
                };
                let key = key.filter(|key| !self.known.contains(*key));
                keys.extend(key.map(str::to_owned));
            }
        }
        keys
    }
}

/// The rows of scopes with reports, and rows without any for the other scopes.
fn all_scopes(reported: Vec<Figure>, silent: BTreeSet<String>, wanted: &RankWanted) -> Vec<Figure> {
    // As of all rows by line, or of none.
    let is_told = reported.iter().all(|row| row.rests_on_few_days.is_some());
    let is_told = is_told && wanted.by == RankBy::Line;
    let silent = silent.into_iter().map(|key| Figure {
        keys: vec![key],
        count: 0,
        rests_on_few_days: is_told.then_some(false),
    });
    let mut all = reported;
    all.extend(silent);
    all.sort_by(|one, other| one.keys.cmp(&other.keys));
    all
}

/// Orders scopes by key into those ranked, those with too little data and those without a
/// rate. Feeds and position are left for the caller.
fn placed(scopes: Vec<RankedScope>, wanted: &RankWanted) -> RankAnswer {
    let (rated, without_rate): (Vec<_>, Vec<_>) = scopes
        .into_iter()
        .partition(|scope| scope.to_rank().is_some());
    let to_rank: Vec<Scope> = rated.iter().filter_map(RankedScope::to_rank).collect();
    let of = |places: &[usize]| -> Vec<RankedScope> {
        places.iter().map(|place| rated[*place].clone()).collect()
    };
    let (places, too_little, network_rate, dispersion) = match wanted.filter.basis {
        Basis::Observed => {
            let ranking = ranking::rank_observed(&to_rank, wanted.level);
            let places = match ranking.verdict {
                Verdict::TooFewScopes => Places::TooFewScopes,
                Verdict::NoDifference => Places::NoDifference,
                Verdict::Shown { prior, scopes } => {
                    let with_rate = |one: Ranked| (rated[one.scope].clone(), one);
                    Places::Observed(prior, scopes.into_iter().map(with_rate).collect())
                }
            };
            let too_little = of(&ranking.too_little);
            (places, too_little, ranking.network_rate, ranking.dispersion)
        }
        Basis::SelfReported => {
            let ranking = ranking::rank_self_reported(&to_rank, wanted.level);
            let places = match ranking.verdict {
                Verdict::TooFewScopes => Places::TooFewScopes,
                Verdict::NoDifference => Places::NoDifference,
                Verdict::Shown { prior, scopes } => {
                    let with_rate = |one: Suspected| (rated[one.scope].clone(), one);
                    Places::SelfReported(prior, scopes.into_iter().map(with_rate).collect())
                }
            };
            let too_little = of(&ranking.too_little);
            (places, too_little, ranking.network_rate, ranking.dispersion)
        }
    };
    RankAnswer {
        places,
        enough: rated.len() - too_little.len(),
        too_little,
        without_rate,
        network_rate,
        dispersion,
        feeds: Vec::new(),
        position: Position(0),
        outages: Vec::new(),
    }
}

impl RankedScope {
    /// Events over exposure, in the unit of its rate; `None` without a rate.
    #[expect(
        clippy::cast_precision_loss,
        reason = "taps beyond 2^53 are centuries away"
    )]
    fn to_rank(&self) -> Option<Scope> {
        let matching = &self.figure.matching;
        let exposure = match self.figure.rate {
            Ok(Rate::Reports { .. }) => matching.taps as f64 / REPORTS_PER_TAPS,
            Ok(Rate::Failures { attempts, .. }) => attempts as f64,
            Err(_) => return None,
        };
        Some(Scope {
            rate: EventRate::new(matching.matched, exposure)?,
            dispersion: self.figure.dispersion,
        })
    }
}

#[cfg(test)]
mod tests;
