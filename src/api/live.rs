//! `LiveService`: streams of what happens now.

use std::pin::Pin;

use futures_util::stream::{self, Stream};
use tonic::{Request, Response, Status};

use super::access::{check_asked, check_question};
use super::caller::caller;
use super::convert::figures::{parse_watch, to_message};
use super::convert::log::{Sight, parse_log, to_log_message};
use super::convert::violation::Path;
use super::counters::{Counters, Open};
use super::origin::Callers;
use super::pb::v1 as pb;
use super::pb::v1::live_service_server::LiveService;
use super::status::Problem;
use crate::auth::CaseNumbers;
use crate::domain::question::Breakdown;
use crate::live::log::{Log, LogWatcher};
use crate::live::{Permits, Publisher, Watcher};
use crate::stats::interval::Level;

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    publisher: Publisher,
    log: Log,
    permits: Permits,
    callers: Callers,
    cases: CaseNumbers,
    counters: Counters,
}

impl Live {
    /// Over a publisher and a log, which end every watch when they are stopped.
    /// `callers` tells who opens streams.
    pub fn new(
        publisher: Publisher,
        log: Log,
        permits: Permits,
        callers: Callers,
        cases: CaseNumbers,
        counters: Counters,
    ) -> Self {
        Self {
            publisher,
            log,
            permits,
            callers,
            cases,
            counters,
        }
    }
}

/// One watch of counts as its client sees it.
struct Watching {
    watcher: Watcher,
    by: Breakdown,
    level: Level,
    _open: Open,
}

/// One watch of incidents as its client sees it.
struct Following {
    watcher: LogWatcher,
    sight: Sight,
    _open: Open,
}

#[tonic::async_trait]
impl LiveService for Live {
    type WatchRatesStream = Messages<pb::WatchRatesResponse>;
    type WatchIncidentsStream = Messages<pb::WatchIncidentsResponse>;

    async fn watch_rates(
        &self,
        request: Request<pb::WatchRatesRequest>,
    ) -> Result<Response<Self::WatchRatesStream>, Status> {
        let address = self.callers.address(&request);
        let caller = caller(&request);
        let asked = parse_watch(request.into_inner()).map_err(Problem::from)?;
        let (filter, by) = (Path::root("filter"), Path::root("by"));
        check_question(&caller, filter, &asked.watch.filter, by, &asked.watch.by)?;
        let by = asked.watch.by.clone();
        let rates = asked.watch.rates.as_ref();
        let level = rates.map_or(Level::P95, |rates| rates.level);
        let permit = self.permits.take(address).map_err(Problem::from)?;
        let watching = self
            .publisher
            .watch(asked.watch, asked.pace, asked.resume_token, permit);
        let watching = Watching {
            watcher: watching.await.map_err(Problem::from)?,
            by,
            level,
            _open: Open::new(&self.counters.watchers),
        };
        let messages = stream::unfold(Some(watching), next);
        Ok(Response::new(Box::pin(messages)))
    }

    async fn watch_incidents(
        &self,
        request: Request<pb::WatchIncidentsRequest>,
    ) -> Result<Response<Self::WatchIncidentsStream>, Status> {
        let address = self.callers.address(&request);
        let caller = caller(&request);
        let asked = parse_log(request.into_inner()).map_err(Problem::from)?;
        check_asked(&caller, Path::root("operators"), &asked.filter.operators)?;
        let permit = self.permits.take(address).map_err(Problem::from)?;
        let following = self.log.watch(asked.filter, asked.start, permit);
        let following = Following {
            watcher: following.await.map_err(Problem::from)?,
            sight: Sight {
                is_whole: caller.sees_staff(),
                cases: self.cases.clone(),
            },
            _open: Open::new(&self.counters.watchers),
        };
        let messages = stream::unfold(Some(following), next_events);
        Ok(Response::new(Box::pin(messages)))
    }
}

/// The next message; after an error there is none.
async fn next(
    watching: Option<Watching>,
) -> Option<(Result<pb::WatchRatesResponse, Status>, Option<Watching>)> {
    let mut watching = watching?;
    match watching.watcher.next().await {
        Ok(message) => {
            let message = to_message(message, &watching.by, watching.level);
            Some((Ok(message), Some(watching)))
        }
        Err(error) => Some((Err(Problem::from(error).into()), None)),
    }
}

/// The next message; after an error there is none.
async fn next_events(
    following: Option<Following>,
) -> Option<(
    Result<pb::WatchIncidentsResponse, Status>,
    Option<Following>,
)> {
    let mut following = following?;
    match following.watcher.next().await {
        Ok(message) => {
            let message = to_log_message(&message, &following.sight);
            Some((Ok(message), Some(following)))
        }
        Err(error) => Some((Err(Problem::from(error).into()), None)),
    }
}
