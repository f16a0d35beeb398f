//! `LiveService`: streams of what happens now.

use std::pin::Pin;

use futures_util::stream::{self, Stream};
use tonic::{Request, Response, Status};

use super::convert::figures::{parse_watch, to_message};
use super::counters::{Counters, Open};
use super::pb::v1 as pb;
use super::pb::v1::live_service_server::LiveService;
use super::status::Problem;
use crate::domain::question::Breakdown;
use crate::live::{Publisher, Watcher};

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    publisher: Publisher,
    counters: Counters,
}

impl Live {
    /// Over a publisher, which ends every watch when it is stopped.
    pub fn new(publisher: Publisher, counters: Counters) -> Self {
        Self {
            publisher,
            counters,
        }
    }
}

/// One watch as its client sees it.
struct Watching {
    watcher: Watcher,
    by: Breakdown,
    _open: Open,
}

#[tonic::async_trait]
impl LiveService for Live {
    type WatchRatesStream =
        Pin<Box<dyn Stream<Item = Result<pb::WatchRatesResponse, Status>> + Send>>;

    async fn watch_rates(
        &self,
        request: Request<pb::WatchRatesRequest>,
    ) -> Result<Response<Self::WatchRatesStream>, Status> {
        let asked = parse_watch(request.into_inner()).map_err(Problem::from)?;
        let by = asked.watch.by.clone();
        let watching = self
            .publisher
            .watch(asked.watch, asked.pace, asked.resume_token);
        let watching = Watching {
            watcher: watching.await.map_err(Problem::from)?,
            by,
            _open: Open::new(&self.counters.watchers),
        };
        let messages = stream::unfold(Some(watching), next);
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
            let message = to_message(message, &watching.by);
            Some((Ok(message), Some(watching)))
        }
        Err(error) => Some((Err(Problem::from(error).into()), None)),
    }
}
