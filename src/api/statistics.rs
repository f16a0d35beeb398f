//! `StatisticsService`: exact counts and rates for free questions, and editions.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::asked::{Slow, Sources, Tell, as_of};
use super::caller::caller;
use super::convert::edition::{EditionQuery, parse_get_edition, to_edition_page, to_editions};
use super::convert::method::to_method;
use super::convert::staff::{StaffQuery, parse_staff, to_staff};
use super::counters::Counters;
use super::pb::v1 as pb;
use super::pb::v1::statistics_service_server::StatisticsService;
use super::progress::{self, Listener, Steps};
use super::room::Room;
use super::status::Problem;
use crate::auth::Citations;
use crate::domain::Position;
use crate::domain::limits::{EDITION_READS_MAX, QUESTIONS_MAX};
use crate::edition::library::Library;
use crate::journal::Reader;
use crate::ledger::Ledger;
use crate::query::{self, Progress};
use pb::query_figures_with_progress_response::Step;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Statistics {
    sources: Sources,
    library: Arc<Library>,
    counters: Counters,
    /// Room for questions being answered.
    room: Room,
    /// Room for editions being read, which anybody may ask for.
    editions: Room,
    stop: CancellationToken,
}

impl Statistics {
    /// Over a ledger, the journal that it is the fold of, and editions. `stop` ends answers that take
    /// long.
    pub fn new(
        ledger: Arc<Ledger>,
        journal: Reader,
        library: Arc<Library>,
        citations: Citations,
        counters: Counters,
        stop: CancellationToken,
    ) -> Self {
        let sources = Sources {
            ledger,
            journal,
            citations,
        };
        Self {
            sources,
            library,
            counters,
            room: Room::of(QUESTIONS_MAX),
            editions: Room::of(EDITION_READS_MAX),
            stop,
        }
    }

    /// Answers what may take long, for as long as its caller waits.
    async fn answer<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&Sources, Tell<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let sources = self.sources.clone();
        let caller = Arc::new(());
        let waiting = Arc::downgrade(&caller);
        let answered = self.room.work(move || {
            let tell = |_: Progress| 0 < waiting.strong_count();
            answer(&sources, &tell)
        });
        let answered = answered.await;
        drop(caller);
        answered?
    }

    async fn staff(
        &self,
        asked: StaffQuery,
        as_of: Option<Position>,
        sees_places: bool,
    ) -> Result<pb::GetStaffFiguresResponse, Problem> {
        let Sources {
            ledger, journal, ..
        } = self.sources.clone();
        let answered = self.room.work(move || {
            let begun = Instant::now();
            let told = |positions| journal.told_of_staff(positions);
            let found = query::staff::staff_figures(&ledger, told, &asked.question, as_of);
            let found = found.map_err(|error| Problem::of_window(error, "filter", sees_places))?;
            Ok(to_staff(&found, &asked, begun.elapsed()))
        });
        answered.await?
    }

    async fn edition(&self, query: EditionQuery) -> Result<pb::GetEditionResponse, Problem> {
        let library = Arc::clone(&self.library);
        let answered = self.editions.work(move || match library.get(query.month)? {
            Some(held) => Ok(to_edition_page(&held, &query)),
            None => Err(Problem::no_edition()),
        });
        answered.await?
    }

    fn count(&self, result: Result<&pb::QueryFiguresResponse, &Problem>) {
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
        let asked = self.sources.ask_figures(caller, request.into_inner());
        let result = match asked {
            Ok(asked) => {
                let answer = move |from: &Sources, tell: Tell<'_>| from.figures(asked, tell);
                self.answer(answer).await
            }
            Err(problem) => Err(problem),
        };
        self.count(result.as_ref());
        Ok(Response::new(result?))
    }

    async fn query_figures_with_progress(
        &self,
        request: Request<pb::QueryFiguresWithProgressRequest>,
    ) -> Result<Response<Steps>, Status> {
        let caller = caller(&request);
        let asked = self
            .sources
            .ask_slowly(caller.clone(), request.into_inner())?;
        let (this, is_figures) = (self.clone(), matches!(asked, Slow::Figures(_)));
        let listener = Listener {
            shows_entries: caller.sees_places(),
            stop: self.stop.clone(),
        };
        let steps = progress::answered(self.room.place()?, listener, move |tell| {
            let tell = |progress| caller.is_live() && tell(progress);
            let answered = this.sources.slowly(asked, &tell);
            match &answered {
                Ok(Step::Answer(answer)) => this.count(Ok(answer)),
                Err(problem) if is_figures => this.count(Err(problem)),
                _ => {}
            }
            // Revoked while it was made.
            if caller.is_live() {
                answered
            } else {
                Err(Problem::let_in_no_more(&caller))
            }
        });
        Ok(Response::new(steps))
    }

    async fn compare_periods(
        &self,
        request: Request<pb::ComparePeriodsRequest>,
    ) -> Result<Response<pb::ComparePeriodsResponse>, Status> {
        let caller = caller(&request);
        let asked = self.sources.ask_comparison(caller, request.get_ref())?;
        let answer = move |from: &Sources, tell: Tell<'_>| from.comparison(asked, tell);
        Ok(Response::new(self.answer(answer).await?))
    }

    async fn get_staff_figures(
        &self,
        request: Request<pb::GetStaffFiguresRequest>,
    ) -> Result<Response<pb::GetStaffFiguresResponse>, Status> {
        let caller = caller(&request);
        let asked = parse_staff(request.get_ref()).map_err(Problem::from)?;
        let number = request.get_ref().as_of_position;
        let as_of = as_of(&self.sources.citations, &caller, number)?;
        let staff = self.staff(asked, as_of, caller.sees_places()).await?;
        Ok(Response::new(staff))
    }

    async fn rank_scopes(
        &self,
        request: Request<pb::RankScopesRequest>,
    ) -> Result<Response<pb::RankScopesResponse>, Status> {
        let caller = caller(&request);
        let asked = self.sources.ask_ranking(caller, request.get_ref())?;
        let answer = move |from: &Sources, tell: Tell<'_>| from.ranking(asked, tell);
        Ok(Response::new(self.answer(answer).await?))
    }

    async fn describe_method(
        &self,
        _: Request<pb::DescribeMethodRequest>,
    ) -> Result<Response<pb::DescribeMethodResponse>, Status> {
        let since = self.sources.ledger.began();
        Ok(Response::new(to_method(&query::method::method(), since)))
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
