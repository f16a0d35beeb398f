//! Questions that their callers may ask, and how they are answered: figures, rankings and
//! comparisons, as of now or of an earlier position.

use std::sync::Arc;
use std::time::Instant;

use super::access::check_question;
use super::convert::compare::{parse_comparison, to_comparison};
use super::convert::figures::{Query, parse_query, to_answer, to_rated_answer};
use super::convert::rank::{RankQuery, parse_rank, to_ranking};
use super::convert::violation::{Path, Violations};
use super::pb::v1 as pb;
use super::status::Problem;
use crate::auth::{Citations, Principal};
use crate::domain::limits::PAST_TAP_BYTES_MAX;
use crate::domain::question::Breakdown;
use crate::domain::{Position, Question};
use crate::journal::Reader;
use crate::ledger::Ledger;
use crate::query::rates::{CompareWanted, compare, rank_scopes};
use crate::query::{self, Effort, Page, PageToken, Past, Progress, RatesWanted, RecordAsOf};
use pb::query_figures_with_progress_response::Step;

/// A rule about places in the journal.
const CITED: &str = "must be the position of an earlier answer";
/// A rule about what is asked with progress.
const ONE_OF: &str = "must be given, or `ranking` or `comparison`, and no more than one of them";

/// Is told how far an answer is; says whether to go on.
pub(super) type Tell<'a> = &'a dyn Fn(Progress) -> bool;

/// A question that its caller may ask.
pub(super) struct Asked<T> {
    what: T,
    /// As of when; `None` for now.
    as_of: Option<Position>,
    caller: Principal,
}

/// What answers may take as long as it takes to read the record.
pub(super) enum Slow {
    Figures(Asked<Query>),
    Ranking(Asked<RankQuery>),
    Comparison(Asked<CompareWanted>),
}

/// What questions are answered from.
#[derive(Clone)]
pub(super) struct Sources {
    pub ledger: Arc<Ledger>,
    pub journal: Reader,
    pub citations: Citations,
}

/// As of when a caller asks, by a position or by what it was told in its place.
pub(super) fn as_of(
    citations: &Citations,
    caller: &Principal,
    number: Option<u64>,
) -> Result<Option<Position>, Problem> {
    let Some(number) = number else {
        return Ok(None);
    };
    match citations.read(caller, number) {
        Some(place) => Ok(Some(place)),
        None => Err(Violations::one(Path::root("as_of_position"), CITED).into()),
    }
}

impl Sources {
    fn asked<T>(
        &self,
        caller: Principal,
        what: T,
        number: Option<u64>,
    ) -> Result<Asked<T>, Problem> {
        Ok(Asked {
            what,
            as_of: as_of(&self.citations, &caller, number)?,
            caller,
        })
    }

    /// The query, if its caller may ask it.
    pub fn ask_figures(
        &self,
        caller: Principal,
        request: pb::QueryFiguresRequest,
    ) -> Result<Asked<Query>, Problem> {
        let number = request.as_of_position;
        let query = parse_query(request)?;
        let at = Path::root("question");
        let Question { filter, by, .. } = &query.question;
        check_question(&caller, at.field("filter"), filter, at.field("by"), by)?;
        self.asked(caller, query, number)
    }

    /// What is to be ranked, if the caller may ask for it.
    pub fn ask_ranking(
        &self,
        caller: Principal,
        request: &pb::RankScopesRequest,
    ) -> Result<Asked<RankQuery>, Problem> {
        let query = parse_rank(request)?;
        let (at, by) = (Path::root("filter"), Path::root("by"));
        let filter = &query.wanted.filter;
        check_question(&caller, at, filter, by, &Breakdown::default())?;
        self.asked(caller, query, request.as_of_position)
    }

    /// What is to be compared, if the caller may ask for it.
    pub fn ask_comparison(
        &self,
        caller: Principal,
        request: &pb::ComparePeriodsRequest,
    ) -> Result<Asked<CompareWanted>, Problem> {
        let wanted = parse_comparison(request)?;
        let (at, none) = (Path::root("filter"), Breakdown::default());
        check_question(&caller, at, &wanted.filter, at, &none)?;
        self.asked(caller, wanted, request.as_of_position)
    }

    /// One of the three.
    pub fn ask_slowly(
        &self,
        caller: Principal,
        request: pb::QueryFiguresWithProgressRequest,
    ) -> Result<Slow, Problem> {
        match (request.query, request.ranking, request.comparison) {
            (Some(query), None, None) => self.ask_figures(caller, query).map(Slow::Figures),
            (None, Some(ranking), None) => self.ask_ranking(caller, &ranking).map(Slow::Ranking),
            (None, None, Some(comparison)) => {
                let asked = self.ask_comparison(caller, &comparison);
                asked.map(Slow::Comparison)
            }
            _ => Err(Violations::one(Path::root("query"), ONE_OF).into()),
        }
    }

    /// The record as of when the caller asks.
    fn standing<'a>(&'a self, as_of: Option<Position>, tell: Tell<'a>) -> RecordAsOf<'a> {
        let past = Past {
            entries: &self.journal,
            tell,
            bytes_max: PAST_TAP_BYTES_MAX,
        };
        match as_of {
            Some(at) => RecordAsOf::Then(&self.ledger, past, at),
            None => RecordAsOf::Now(&self.ledger),
        }
    }

    /// Blocking, as are the others.
    pub fn figures(
        &self,
        Asked {
            what: query,
            as_of,
            caller,
        }: Asked<Query>,
        tell: Tell<'_>,
    ) -> Result<pb::QueryFiguresResponse, Problem> {
        let asked = Instant::now();
        let (token, question) = (&query.page_token, &query.question);
        let after = if token.is_empty() {
            None
        } else {
            Some(PageToken::parse(token, question, query.order)?)
        };
        let page = Page {
            rows: query.rows,
            order: query.order,
            after,
        };
        let refuse = |error| Problem::of_question(error, caller.sees_places());
        let answer = if let Some(wanted) = &query.rates {
            let standing = self.standing(as_of, tell);
            let rated = query::answer_with_rates(standing, question, &page, wanted);
            let rated = rated.map_err(refuse)?;
            let place = self.citations.tell(&caller, rated.answer.position);
            let RatesWanted { level, .. } = *wanted;
            to_rated_answer(rated, level, question, place, asked.elapsed())
        } else {
            let answer = match as_of {
                Some(at) => {
                    let stamp = |at| self.journal.stamp(at);
                    query::answer_as_of(&self.ledger, question, &page, at, stamp)
                }
                None => query::answer(&self.ledger, question, &page),
            };
            let answer = answer.map_err(refuse)?;
            let place = self.citations.tell(&caller, answer.position);
            let elapsed = asked.elapsed();
            if let Effort::Scan { blocks } = answer.effort {
                let elapsed_ms = elapsed.as_millis();
                tracing::debug!(blocks, elapsed_ms, "blocks scanned");
            }
            to_answer(answer, question, place, elapsed)
        };
        Ok(without_volume(answer, &caller))
    }

    pub fn ranking(
        &self,
        asked: Asked<RankQuery>,
        tell: Tell<'_>,
    ) -> Result<pb::RankScopesResponse, Problem> {
        let Asked {
            what: query,
            as_of,
            caller,
        } = asked;
        let answer = rank_scopes(self.standing(as_of, tell), &query.wanted);
        let answer = answer.map_err(|error| Problem::of_ranking(error, caller.sees_places()))?;
        let place = self.citations.tell(&caller, answer.position);
        Ok(to_ranking(&answer, &query, place))
    }

    pub fn comparison(
        &self,
        asked: Asked<CompareWanted>,
        tell: Tell<'_>,
    ) -> Result<pb::ComparePeriodsResponse, Problem> {
        let Asked {
            what: wanted,
            as_of,
            caller,
        } = asked;
        let compared = compare(self.standing(as_of, tell), self.ledger.began(), &wanted);
        let refuse = |error| Problem::of_comparison(error, &wanted.windows, caller.sees_places());
        let compared = compared.map_err(refuse)?;
        let place = self.citations.tell(&caller, compared.position);
        Ok(to_comparison(&compared, &wanted, place))
    }

    /// The last step of a stream.
    pub fn slowly(&self, asked: Slow, tell: Tell<'_>) -> Result<Step, Problem> {
        match asked {
            Slow::Figures(asked) => self.figures(asked, tell).map(Step::Answer),
            Slow::Ranking(asked) => self.ranking(asked, tell).map(Step::Ranking),
            Slow::Comparison(asked) => self.comparison(asked, tell).map(Step::Comparison),
        }
    }
}

/// How many blocks were scanned says how much everybody recorded, so that only those who see
/// places in the journal are told.
fn without_volume(
    mut answer: pb::QueryFiguresResponse,
    caller: &Principal,
) -> pb::QueryFiguresResponse {
    if let Some(effort) = answer.effort.as_mut().filter(|_| !caller.sees_places()) {
        effort.blocks_scanned = 0;
    }
    answer
}
