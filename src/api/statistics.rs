//! `StatisticsService`: exact counts and rates for free questions, and editions.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::access::check_question;
use super::caller::caller;
use super::convert::compare::{parse_comparison, to_comparison};
use super::convert::edition::{EditionQuery, parse_get_edition, to_edition_page, to_editions};
use super::convert::figures::{Query, parse_query, to_answer, to_rated_answer};
use super::convert::method::to_method;
use super::convert::rank::{RankQuery, parse_rank, to_ranking};
use super::convert::staff::{StaffQuery, parse_staff, to_staff};
use super::convert::violation::{Path, Violations};
use super::counters::Counters;
use super::pb::v1 as pb;
use super::pb::v1::statistics_service_server::StatisticsService;
use super::progress::{self, Steps};
use super::status::Problem;
use crate::auth::{Citations, Principal};
use crate::domain::limits::{PAST_TAP_BYTES_MAX, QUESTIONS_MAX};
use crate::domain::question::Breakdown;
use crate::domain::{Entry, Position, Question};
use crate::edition::library::Library;
use crate::journal::{JournalError, Reader};
use crate::ledger::Ledger;
use crate::query::rates::CompareWanted;
use crate::query::{self, Effort, Page, PageToken, Past, Progress};

/// A rule about places in the journal.
const CITED: &str = "must be the position of an earlier answer";

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Statistics {
    ledger: Arc<Ledger>,
    journal: Reader,
    library: Arc<Library>,
    citations: Citations,
    counters: Counters,
    /// Room for questions being answered.
    room: Arc<Semaphore>,
}

impl Statistics {
    /// Over a ledger, the journal that it is the fold of, and editions.
    pub fn new(
        ledger: Arc<Ledger>,
        journal: Reader,
        library: Arc<Library>,
        citations: Citations,
        counters: Counters,
    ) -> Self {
        Self {
            ledger,
            journal,
            library,
            citations,
            counters,
            room: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        }
    }

    async fn answer(&self, asked: Asked) -> Result<pb::QueryFiguresResponse, Problem> {
        let room = Arc::clone(&self.room).try_acquire_owned();
        let room = room.map_err(|_| Problem::busy())?;
        let ledger = Arc::clone(&self.ledger);
        let (journal, citations) = (self.journal.clone(), self.citations.clone());
        let caller = Arc::new(());
        let waiting = Arc::downgrade(&caller);
        let answering = tokio::task::spawn_blocking(move || {
            // The answer may be abandoned by its caller; its work is then still under way.
            let _room = room;
            let tell = |_: Progress| 0 < waiting.strong_count();
            answer(&ledger, &journal, &citations, asked, &tell)
        });
        let answered = answering.await;
        drop(caller);
        answered.unwrap_or_else(|_| Err(Problem::internal()))
    }

    async fn comparison(
        &self,
        caller: Principal,
        wanted: CompareWanted,
    ) -> Result<pb::ComparePeriodsResponse, Problem> {
        let (ledger, citations) = (Arc::clone(&self.ledger), self.citations.clone());
        self.blocking(move || {
            let compared = query::rates::compare(&ledger, &wanted);
            let compared = compared.map_err(Problem::of_window)?;
            let place = citations.tell(&caller, compared.position);
            Ok(to_comparison(&compared, &wanted, place))
        })
        .await
    }

    async fn staff(&self, asked: StaffQuery) -> Result<pb::GetStaffFiguresResponse, Problem> {
        let ledger = Arc::clone(&self.ledger);
        let journal = self.journal.clone();
        self.blocking(move || {
            let begun = Instant::now();
            let within = |from, through| {
                let records = journal.facts_within(from, through);
                records.map(|record| record.map(|record| (record.position, record.entry)))
            };
            let found = query::staff::staff_figures(&ledger, within, &asked.question, asked.as_of);
            let found = found.map_err(Problem::of_window)?;
            Ok(to_staff(&found, &asked, begun.elapsed()))
        })
        .await
    }

    /// Works where it may block, if there is room.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let room = Arc::clone(&self.room).try_acquire_owned();
        let room = room.map_err(|_| Problem::busy())?;
        let working = tokio::task::spawn_blocking(move || {
            let _room = room;
            work()
        });
        working.await.unwrap_or_else(|_| Err(Problem::internal()))
    }

    async fn ranking(
        &self,
        caller: Principal,
        query: RankQuery,
    ) -> Result<pb::RankScopesResponse, Problem> {
        let (ledger, citations) = (Arc::clone(&self.ledger), self.citations.clone());
        self.blocking(move || {
            let answer = query::rates::rank_scopes(&ledger, &query.wanted);
            let answer = answer.map_err(Problem::of_ranking)?;
            let place = citations.tell(&caller, answer.position);
            Ok(to_ranking(&answer, &query, place))
        })
        .await
    }

    async fn edition(&self, query: EditionQuery) -> Result<pb::GetEditionResponse, Problem> {
        let library = Arc::clone(&self.library);
        self.blocking(move || match library.get(query.month)? {
            Some(held) => Ok(to_edition_page(&held, &query)),
            None => Err(Problem::no_edition()),
        })
        .await
    }

    /// The query, if its caller may ask it.
    fn allow(&self, caller: Principal, query: Query) -> Result<Asked, Problem> {
        let at = Path::root("question");
        let Question { filter, by, .. } = &query.question;
        check_question(&caller, at.field("filter"), filter, at.field("by"), by)?;
        let as_of = match query.as_of {
            Some(number) => {
                let place = self.citations.read(&caller, number);
                Some(place.ok_or_else(|| Violations::one(Path::root("as_of_position"), CITED))?)
            }
            None => None,
        };
        Ok(Asked {
            query,
            as_of,
            caller,
        })
    }

    fn count(&self, result: &Result<pb::QueryFiguresResponse, Problem>) {
        match result {
            Ok(answer) => {
                let effort = answer.effort.as_ref();
                let from_tallies = effort.is_some_and(|effort| effort.from_tallies);
                self.counters.answered(from_tallies);
            }
            Err(_) => self.counters.question_refused(),
        }
    }
}

#[tonic::async_trait]
impl StatisticsService for Statistics {
    type QueryFiguresWithProgressStream = Steps;

    async fn query_figures(
        &self,
        request: Request<pb::QueryFiguresRequest>,
    ) -> Result<Response<pb::QueryFiguresResponse>, Status> {
        let caller = caller(&request);
        let query = parse_query(request.into_inner()).map_err(Problem::from);
        let query = query.and_then(|query| self.allow(caller, query));
        let result = match query {
            Ok(asked) => self.answer(asked).await,
            Err(problem) => Err(problem),
        };
        self.count(&result);
        Ok(Response::new(result?))
    }

    async fn query_figures_with_progress(
        &self,
        request: Request<pb::QueryFiguresWithProgressRequest>,
    ) -> Result<Response<Steps>, Status> {
        let caller = caller(&request);
        let asked = request.into_inner().query.unwrap_or_default();
        let query = parse_query(asked).map_err(Problem::from)?;
        let asked = self.allow(caller.clone(), query)?;
        let room = Arc::clone(&self.room).try_acquire_owned();
        let room = room.map_err(|_| Problem::busy())?;
        let this = self.clone();
        let steps = progress::answered(room, caller.sees_places(), move |tell| {
            let tell = |progress| caller.is_live() && tell(progress);
            let answered = answer(&this.ledger, &this.journal, &this.citations, asked, &tell);
            this.count(&answered);
            // Revoked while it was made.
            match caller.is_live() {
                true => answered,
                false => Err(Problem::unknown_token()),
            }
        });
        Ok(Response::new(steps))
    }

    async fn compare_periods(
        &self,
        request: Request<pb::ComparePeriodsRequest>,
    ) -> Result<Response<pb::ComparePeriodsResponse>, Status> {
        let caller = caller(&request);
        let wanted = parse_comparison(request.get_ref()).map_err(Problem::from)?;
        let (at, none) = (Path::root("filter"), Breakdown::default());
        check_question(&caller, at, &wanted.filter, at, &none)?;
        Ok(Response::new(self.comparison(caller, wanted).await?))
    }

    async fn get_staff_figures(
        &self,
        request: Request<pb::GetStaffFiguresRequest>,
    ) -> Result<Response<pb::GetStaffFiguresResponse>, Status> {
        let caller = caller(&request);
        let mut asked = parse_staff(request.get_ref()).map_err(Problem::from)?;
        let as_of = asked.as_of;
        asked.as_of = as_of.and_then(|at| self.citations.read(&caller, at.0));
        Ok(Response::new(self.staff(asked).await?))
    }

    async fn rank_scopes(
        &self,
        request: Request<pb::RankScopesRequest>,
    ) -> Result<Response<pb::RankScopesResponse>, Status> {
        let caller = caller(&request);
        let query = parse_rank(&request.into_inner()).map_err(Problem::from)?;
        let (at, by) = (Path::root("filter"), Path::root("by"));
        let filter = &query.wanted.filter;
        check_question(&caller, at, filter, by, &Breakdown::default())?;
        Ok(Response::new(self.ranking(caller, query).await?))
    }

    async fn describe_method(
        &self,
        _: Request<pb::DescribeMethodRequest>,
    ) -> Result<Response<pb::DescribeMethodResponse>, Status> {
        Ok(Response::new(to_method(&query::method::method())))
    }

    async fn list_editions(
        &self,
        _: Request<pb::ListEditionsRequest>,
    ) -> Result<Response<pb::ListEditionsResponse>, Status> {
        Ok(Response::new(to_editions(&self.library.list())))
    }

    async fn get_edition(
        &self,
        request: Request<pb::GetEditionRequest>,
    ) -> Result<Response<pb::GetEditionResponse>, Status> {
        let query = parse_get_edition(request.into_inner()).map_err(Problem::from)?;
        Ok(Response::new(self.edition(query).await?))
    }
}

/// A query that its caller may ask.
struct Asked {
    query: Query,
    as_of: Option<Position>,
    caller: Principal,
}

/// What changed tap counts, from a position of the journal on.
fn tap_changes(
    journal: &Reader,
    from: Position,
) -> impl Iterator<Item = Result<(Position, Entry), JournalError>> {
    let records = journal.tap_changes_from(from);
    records.map(|record| record.map(|record| (record.position, record.entry)))
}

/// Answers a query. `tell` is told how far it is, and says whether to go on.
fn answer(
    ledger: &Ledger,
    journal: &Reader,
    citations: &Citations,
    Asked {
        query,
        as_of,
        caller,
    }: Asked,
    tell: &dyn Fn(Progress) -> bool,
) -> Result<pb::QueryFiguresResponse, Problem> {
    let asked = Instant::now();
    let Query {
        question, order, ..
    } = query;
    let token = query.page_token;
    let after = match token.is_empty() {
        true => None,
        false => Some(PageToken::parse(&token, &question, order)?),
    };
    let page = Page {
        rows: query.rows,
        order,
        after,
    };
    let refuse = |error| Problem::of_question(error, caller.sees_places());
    if let Some(wanted) = query.rates {
        let rated = match as_of {
            Some(at) => {
                let entries = |from| Ok(tap_changes(journal, from));
                let past = Past {
                    entries,
                    tell,
                    bytes_max: PAST_TAP_BYTES_MAX,
                };
                query::answer_with_rates_as_of(ledger, &past, &question, &page, &wanted, at)
            }
            None => query::answer_with_rates(ledger, &question, &page, &wanted),
        };
        let rated = rated.map_err(refuse)?;
        let place = citations.tell(&caller, rated.answer.position);
        let (level, elapsed) = (wanted.level, asked.elapsed());
        let answer = to_rated_answer(rated, level, &question, place, elapsed);
        return Ok(without_volume(answer, &caller));
    }
    let answer = match as_of {
        Some(at) => query::answer_as_of(ledger, &question, &page, at),
        None => query::answer(ledger, &question, &page),
    };
    let answer = answer.map_err(refuse)?;
    let place = citations.tell(&caller, answer.position);
    let elapsed = asked.elapsed();
    if let Effort::Scan { blocks } = answer.effort {
        let elapsed_ms = elapsed.as_millis();
        tracing::debug!(blocks, elapsed_ms, "blocks scanned");
    }
    let answer = to_answer(answer, &question, place, elapsed);
    Ok(without_volume(answer, &caller))
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
