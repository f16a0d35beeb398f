//! `LiveService`: streams of what happens now. A message is encoded once, however many get it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Status};
use tower::Service;

use super::access::{check_asked, check_question};
use super::caller::Caller;
use super::convert::figures::{CitedBy, parse_watch, to_message};
use super::convert::log::{Sight, parse_log, to_log_message};
use super::convert::violation::Path;
use super::counters::{Counters, Open};
use super::delivery::{FramedMessage, Frames, Opened, Sweeper};
use super::frames::{self, framed};
use super::guard::Answering;
use super::origin::abort_of;
use super::pb::v1 as pb;
use super::pb::v1::live_service_server::SERVICE_NAME;
use super::status::Problem;
use crate::auth::{CaseNumbers, Citations, Principal};
use crate::live::log::{Log, LogWatcher};
use crate::live::{Form, Message, Permits, Publisher, Watcher};
use crate::query::citing::citation_of_watch;

/// The service. Cheap to clone: a clone is made for each call.
#[derive(Clone)]
pub struct Live {
    parts: Arc<LiveParts>,
    sweeper: Sweeper,
}

/// What the service is made of.
pub struct LiveParts {
    /// Ends every watch of counts when it is stopped.
    pub publisher: Publisher,
    /// Ends every watch of incidents when it is stopped.
    pub log: Log,
    /// How many streams there may be.
    pub permits: Permits,
    /// What operators call incidents by.
    pub cases: CaseNumbers,
    /// What figures are cited by.
    pub citations: Citations,
    /// Counts what is open.
    pub counters: Counters,
}

impl Live {
    /// Of its parts. Spawns a task on the current tokio runtime, which ends streams that nobody
    /// reads.
    pub fn new(parts: LiveParts) -> Self {
        Self {
            parts: Arc::new(parts),
            sweeper: Sweeper::start(),
        }
    }
}

/// What can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    WatchRates,
    WatchIncidents,
}

/// One watch of counts as its client sees it.
struct Watching {
    watcher: Watcher,
    caller: Principal,
    parts: Arc<LiveParts>,
    _open: Open,
}

/// One watch of incidents as its client sees it.
struct Following {
    watcher: LogWatcher,
    sight: Sight,
    caller: Principal,
    _open: Open,
}

impl Live {
    async fn watch_rates(self, request: Request<pb::WatchRatesRequest>) -> Result<Opened, Status> {
        let caller = Caller::of(request.extensions());
        let (holder, caller) = (caller.holder(), caller.principal);
        let connection = abort_of(request.extensions());
        let asked = parse_watch(request.into_inner()).map_err(Problem::from)?;
        let (filter, by) = (Path::root("filter"), Path::root("by"));
        check_question(&caller, filter, &asked.watch.filter, by, &asked.watch.by)?;
        let permit = self.parts.permits.take(holder).map_err(Problem::from)?;
        let publisher = &self.parts.publisher;
        let watching = publisher.watch(asked.watch, asked.pace, asked.resume_token, permit.token());
        let watching = Watching {
            watcher: watching.await.map_err(Problem::from)?,
            caller,
            _open: Open::new(&self.parts.counters.watchers),
            parts: self.parts,
        };
        let frames: Frames = Box::pin(stream::unfold(Some(Box::new(watching)), next));
        Ok(Opened {
            frames,
            permit,
            connection,
        })
    }

    async fn watch_incidents(
        self,
        request: Request<pb::WatchIncidentsRequest>,
    ) -> Result<Opened, Status> {
        let caller = Caller::of(request.extensions());
        let (holder, caller) = (caller.holder(), caller.principal);
        let connection = abort_of(request.extensions());
        let mut asked = parse_log(request.into_inner()).map_err(Problem::from)?;
        asked.filter.without_amendments = !caller.sees_staff();
        check_asked(&caller, Path::root("operators"), &asked.filter.operators)?;
        let permit = self.parts.permits.take(holder).map_err(Problem::from)?;
        let following = self
            .parts
            .log
            .watch(asked.filter, asked.start, permit.token());
        let following = Following {
            watcher: following.await.map_err(Problem::from)?,
            sight: Sight {
                is_whole: caller.sees_staff(),
                cases: self.parts.cases.clone(),
            },
            caller,
            _open: Open::new(&self.parts.counters.watchers),
        };
        let frames: Frames = Box::pin(stream::unfold(Some(Box::new(following)), next_events));
        Ok(Opened {
            frames,
            permit,
            connection,
        })
    }
}

impl Watching {
    /// How a message's figures are cited. The same for all who are told them, also where others
    /// reported something else meanwhile: or it would show that.
    fn cited_by(&self, message: &Message) -> CitedBy {
        let cited = message.cited;
        let place = if self.caller.sees_places() {
            message.position.0
        } else {
            self.parts
                .citations
                .tell_stably(&self.caller, cited.number, cited.first_at)
        };
        let filter = &self.watcher.watch().filter;
        let line = || citation_of_watch(filter, cited.window, place);
        CitedBy {
            place,
            line: message.is_window_new.then(line),
        }
    }
}

/// Who may see different things is told different things.
fn form(is_whole: bool) -> Form {
    if is_whole { Form::Full } else { Form::Redacted }
}

impl NamedService for Live {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for Live {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering<Body>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let live = self.clone();
        let sweeper = self.sweeper.clone();
        Box::pin(async move {
            Ok(match Method::at(request.uri().path()) {
                Some(Method::WatchRates) => {
                    let open = |request| live.watch_rates(request);
                    frames::answer(request, &sweeper, open).await
                }
                Some(Method::WatchIncidents) => {
                    let open = |request| live.watch_incidents(request);
                    frames::answer(request, &sweeper, open).await
                }
                None => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

impl Method {
    fn at(path: &str) -> Option<Self> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        match method {
            _ if service != SERVICE_NAME => None,
            "WatchRates" => Some(Self::WatchRates),
            "WatchIncidents" => Some(Self::WatchIncidents),
            _ => None,
        }
    }
}

/// What comes next, and what goes on after it. In a box, because a stream has room for it in
/// three places, as long as it is open.
type Next<T> = Option<(Result<FramedMessage, Status>, Option<Box<T>>)>;

/// The next message; after an error there is none.
async fn next(watching: Option<Box<Watching>>) -> Next<Watching> {
    let mut watching = watching?;
    match watching.watcher.next().await {
        // Revoked while it waited.
        Ok(_) if !watching.caller.is_live() => over(&watching.caller),
        Ok(told) => {
            let watch = watching.watcher.watch();
            let form = form(watching.caller.sees_places());
            let frame = told.encoded(form, |message| {
                framed(&to_message(
                    message,
                    watch,
                    form,
                    watching.cited_by(message),
                ))
            });
            let handed = FramedMessage {
                frame,
                resume_token: told.resume_token.clone(),
            };
            Some((Ok(handed), Some(watching)))
        }
        Err(error) => Some((Err(Problem::from(error).into()), None)),
    }
}

/// The end of a stream whose caller is let in no more.
fn over<T>(caller: &Principal) -> Next<T> {
    Some((Err(Problem::let_in_no_more(caller).into()), None))
}

/// The next message; after an error there is none.
async fn next_events(following: Option<Box<Following>>) -> Next<Following> {
    let mut following = following?;
    match following.watcher.next().await {
        Ok(_) if !following.caller.is_live() => over(&following.caller),
        Ok(told) => {
            let frame = told.encoded(form(following.sight.is_whole), |message| {
                framed(&to_log_message(message, &following.sight))
            });
            let handed = FramedMessage {
                frame,
                resume_token: told.resume_token.clone(),
            };
            Some((Ok(handed), Some(following)))
        }
        Err(error) => Some((Err(Problem::from(error).into()), None)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, Weak};

    use futures_util::StreamExt;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::api::pb;
    use crate::auth::Seal;
    use crate::domain::entry::Epoch;
    use crate::domain::limits::{LINE_ID_BYTES_MAX, LOG_MESSAGE_BYTES_MAX, STOP_ID_BYTES_MAX};
    use crate::domain::{Facts, Position, UtcMillis};
    use crate::ledger::testing::Maker;
    use crate::live::Hub;
    use crate::live::log::{Change, Event, LogFilter, Past, ReadError, Room, Start, Stretch};

    /// What a stream's future keeps while it waits.
    const WAITING_BYTES_MAX: usize = 512;
    /// What a watch is kept in: classes of the allocator, which has none between this one and 224.
    const WATCH_BYTES_MAX: usize = 192;
    const LOG_WATCH_BYTES_MAX: usize = 192;

    #[test]
    fn waiting_for_the_next_message_takes_little_memory() {
        let check = |bytes: usize, most: usize| assert!(bytes <= most, "{bytes}");
        check(size_of_val(&next(None)), WAITING_BYTES_MAX);
        check(size_of_val(&next_events(None)), WAITING_BYTES_MAX);
        check(size_of::<Watching>(), WATCH_BYTES_MAX);
        check(size_of::<Following>(), LOG_WATCH_BYTES_MAX);
    }

    /// A journal of incidents with the longest names, which remembers what it told.
    #[derive(Clone, Default)]
    struct Remembering(Arc<Mutex<Vec<Weak<Event>>>>);

    const INCIDENTS: u64 = 1_000;

    impl Past for Remembering {
        fn epoch(&self) -> Epoch {
            Epoch([3; 16])
        }

        fn horizon(&self) -> Position {
            Position(1)
        }

        fn applied(&self) -> Position {
            Position(INCIDENTS)
        }

        fn read(
            &self,
            from: Position,
            through: Position,
            _wanted: &LogFilter,
            mut most: Room,
        ) -> Result<Stretch, ReadError> {
            let stamp = UtcMillis(1_795_442_400_000);
            let line = format!("{:1<1$}", "GVB:10", LINE_ID_BYTES_MAX);
            let facts = Facts {
                line: Some(line.parse().expect("valid")),
                stop: Some("s".repeat(STOP_ID_BYTES_MAX).parse().expect("valid")),
                ..Maker::new(7).facts(stamp)
            };
            let mut stretch = Stretch::default();
            for place in from.0..=through.0 {
                stretch.reached = Position(place);
                most.take(&facts);
                stretch.events.push(Arc::new(Event {
                    position: stretch.reached,
                    stamp,
                    facts: Box::new(facts.clone()),
                    change: Change::Recorded,
                }));
                if most.is_full() {
                    break;
                }
            }
            let told = stretch.events.iter().map(Arc::downgrade);
            self.0.lock().expect("nobody panics").extend(told);
            Ok(stretch)
        }

        fn first_since(&self, _: UtcMillis, _: Position) -> Result<Position, ReadError> {
            Ok(Position(1))
        }
    }

    #[tokio::test]
    async fn message_that_waits_for_its_client_is_small_and_all_that_is_kept_of_its_incidents() {
        let (past, hub) = (Remembering::default(), Hub::new());
        let seal = Seal::testing(7);
        let log = Log::start(past.clone(), &hub, seal, CancellationToken::new());
        let start = Start::Time(UtcMillis(0));
        let watching = log.watch(LogFilter::default(), start, None);
        let following = Following {
            watcher: watching.await.expect("there is a past"),
            sight: Sight {
                is_whole: true,
                cases: CaseNumbers::testing(7),
            },
            caller: Principal::Public,
            _open: Open::new(&Counters::default().watchers),
        };
        let following = Some(Box::new(following));
        let mut frames: Frames = Box::pin(stream::unfold(following, next_events));
        let mut told = 0;
        while told < usize::try_from(INCIDENTS).expect("few") {
            let handed = frames.next().await.expect("a message").expect("no error");
            assert!(handed.frame.len() <= LOG_MESSAGE_BYTES_MAX);
            let mut events = past.0.lock().expect("nobody panics");
            told += events.len();
            let kept = events.drain(..).filter(|event| event.upgrade().is_some());
            assert_eq!(kept.count(), 0, "beside its frame");
        }
    }

    #[test]
    fn every_method_of_the_contract_is_there() {
        let set = pb::descriptors();
        let services = set.file.iter().flat_map(|file| &file.service);
        let live = services.filter(|service| service.name() == "LiveService");
        for method in live.flat_map(|live| &live.method) {
            let path = format!("/{SERVICE_NAME}/{}", method.name());
            assert!(Method::at(&path).is_some(), "{path}");
        }
        let check = |path| assert_eq!(Method::at(path), None, "{path}");
        check("/mistap.v1.LiveService/Watch");
        check("/mistap.v1.Other/WatchRates");
    }
}
