//! From a checked incident to a durable, counted entry; and from a data folder to a running
//! ledger.
//!
//! An incident that is answered is on stable storage and counted once. The same id with the
//! same content is answered as it was the first time; with another content it is refused.
//! Nothing in here waits without a bound: a full queue refuses.

mod batch;
mod committer;
pub mod corroboration;
mod duplicates;
mod erasure;
mod folder;
pub mod follow_ups;
mod history;
mod key_maker;
mod lookup;
mod newcomers;
mod notes;
mod origins;
mod prepare;
mod queue;
mod receipts;
pub mod removal_progress;
pub mod repair;
pub mod rotation;
mod running;

mod clock_guard;
mod log_feed;
mod start;
mod store_opening;
mod taps;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

pub use clock_guard::{ClockCheck, CommandClock};
pub use follow_ups::{CaseError, CaseMarks, Later, Moment, Reply, StoredIncident, StoredReply};
pub use queue::Paused;
pub use running::{Running, StopError};
pub use start::{Options, StartError, start, start_with};
pub use taps::{TapsAccepted, TapsError};

use crate::auth::{CaseNumbers, Citations, KeyError, Keys, Limited, Limiter, ReceiptKeys, Seal};
use crate::domain::incident::{Match, is_observed};
use crate::domain::limits::{INCIDENTS_PER_CALL_MAX, JOURNAL_READS_MAX};
use crate::domain::{
    Entry, Incident, IncidentId, LineId, OperatorCode, Origin, Position, ServerTime, StopId,
    UtcMillis,
};
use crate::journal::{EndedTaps, JournalError, Reader};
use crate::ledger::{Ledger, Months};
use crate::live::Hub;
use crate::network::Network;
use clock_guard::{ServerClock, is_too_far_ahead};
use newcomers::Newcomers;
use origins::Origins;
use prepare::{Expected, Pending, Preparer};
use queue::{Decided, Delivery, Job, Queue};

/// The time, as `app` tells it.
pub(crate) type Clock = Arc<dyn Fn() -> UtcMillis + Send + Sync>;

/// How long incidents are prepared before other tasks of the same thread get their turn. One whose
/// stop has to be looked for by likeness takes as long as a hundred others.
const PREPARED_BETWEEN_YIELDS: Duration = Duration::from_millis(1);

/// Incidents whose lines and stops are looked up together before they are prepared.
const AHEAD_INCIDENTS: usize = 32;

/// What became of an accepted incident.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Which.
    pub id: IncidentId,
    /// Its place in the journal.
    pub position: Position,
    /// When it became durable.
    pub received: UtcMillis,
    /// Whether it had been recorded before, and erased since.
    pub erased: bool,
    /// Whether it tells an incident of the same reporter again that counts already, and counts
    /// nothing itself. Of one that only has the same card this says nothing.
    pub told_again: bool,
    /// Whether it had been recorded before; place, time and matches are those of then.
    pub repeated: bool,
    /// The operator that it is counted for; `None` if it is not known.
    pub operator: Option<OperatorCode>,
    /// How the line was matched.
    pub line: Match<LineId>,
    /// How the stop was matched.
    pub stop: Match<StopId>,
}

/// Why an incident is not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full, or a key ended in the midst of it.
    #[error("busy; try again later")]
    Busy,
    /// A card or an installation reports more often than may be.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// Nothing is taken in any more.
    #[error("shutting down")]
    Stopping,
    /// The same id with another content, or with another secret; or one without a secret whose
    /// words are kept no longer, so that nobody can tell whether it is the same.
    #[error("the id is taken by another report")]
    Conflict,
    /// Too little room.
    #[error("the disk is nearly full")]
    DiskReserve,
    /// The clock was far past the last entry at the start, and may be wrong.
    #[error("the clock may be wrong")]
    ClockUnsure,
    /// The journal failed; only a restart helps.
    #[error("the journal cannot be written")]
    Poisoned,
    /// There is no key for the quarter of the tap.
    #[error("the key of the quarter could not be made")]
    Keys,
}

/// Why an incident is not shown.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// Nobody learns which of the two.
    #[error("no such incident, or another secret")]
    NotFound,
    /// Too many are being read.
    #[error("busy; try again later")]
    Busy,
    /// The journal fails.
    #[error("the journal cannot be read")]
    Journal(#[source] JournalError),
}

/// Handle for submitting and reading back. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    shared: Arc<Shared>,
}

/// What stands behind pseudonyms and receipts.
struct Secrets {
    keys: Arc<Keys>,
    receipts: ReceiptKeys,
}

/// What is read back, and who is told of it.
struct Sources {
    ledger: Arc<Ledger>,
    reader: Reader,
    hub: Hub,
}

struct Shared {
    queue: Arc<Queue>,
    clock: Arc<ServerClock>,
    keys: Arc<Keys>,
    receipts: ReceiptKeys,
    newcomers: Newcomers,
    origins: Origins,
    network: RwLock<Arc<Network>>,
    ledger: Arc<Ledger>,
    reader: Reader,
    hub: Hub,
    /// One for each call that may read the journal at the same time.
    reads: Arc<Semaphore>,
    /// How long tap counts are taken, in days after their own.
    tap_days: u32,
}

/// A part of a call that is on its way to the committer.
struct OnItsWay {
    expected: Vec<Result<Expected, SubmitError>>,
    result: oneshot::Receiver<Delivery>,
}

impl Ingest {
    fn new(
        queue: Arc<Queue>,
        secrets: Secrets,
        network: Arc<Network>,
        clock: Arc<ServerClock>,
        sources: Sources,
        tap_days: u32,
    ) -> Self {
        let shared = Shared {
            queue,
            clock,
            keys: secrets.keys,
            receipts: secrets.receipts,
            newcomers: Newcomers::default(),
            origins: Origins::default(),
            network: RwLock::new(network),
            ledger: sources.ledger,
            reader: sources.reader,
            hub: sources.hub,
            reads: Arc::new(Semaphore::new(JOURNAL_READS_MAX)),
            tap_days,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Records incidents; one result each, in order, when all of them are durable. When the
    /// queue is full, all of them (of each thousand) are refused at once.
    pub async fn submit(&self, incidents: Vec<Incident>) -> Vec<Result<Accepted, SubmitError>> {
        let incidents = incidents.into_iter().map(Box::new).collect();
        self.submit_within(incidents, None).await
    }

    /// As `submit`, of incidents in boxes, as they are passed on many times; what a card or an
    /// installation tells beyond a limit is refused by itself.
    pub async fn submit_within(
        &self,
        mut incidents: Vec<Box<Incident>>,
        limiter: Option<&Limiter>,
    ) -> Vec<Result<Accepted, SubmitError>> {
        let mut parts = Vec::with_capacity(incidents.len().div_ceil(INCIDENTS_PER_CALL_MAX));
        for part in incidents.chunks_mut(INCIDENTS_PER_CALL_MAX) {
            parts.push((part.len(), self.send(part, limiter).await));
        }
        drop(incidents);
        let mut results = Vec::new();
        for (length, part) in parts {
            match part {
                Ok(part) => results.extend(self.answer(part).await),
                Err(error) => results.extend(std::iter::repeat_n(Err(error), length)),
            }
        }
        results
    }

    /// What operators call incidents by.
    pub fn case_numbers(&self) -> CaseNumbers {
        let restores = Arc::clone(self.ledger().read().restores());
        self.shared.keys.case_numbers(&restores)
    }

    /// What operators cite figures by.
    pub fn citations(&self) -> Citations {
        let restores = Arc::clone(self.ledger().read().restores());
        self.shared.keys.citations(&restores)
    }

    /// What seals the tokens that callers keep.
    pub fn seal(&self) -> Seal {
        self.shared.keys.seal()
    }

    /// The network in use.
    pub fn network(&self) -> Arc<Network> {
        let network = self.shared.network.read();
        Arc::clone(&network.unwrap_or_else(PoisonError::into_inner))
    }

    /// Brings another network into use, once that is in the journal.
    pub async fn use_network(&self, network: Arc<Network>) -> Result<(), SubmitError> {
        let entry = Entry::NetworkChanged {
            version: network.version(),
            sha256: network.sha256(),
        };
        self.commit(entry).await?;
        let mut in_use = self
            .shared
            .network
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *in_use = network;
        Ok(())
    }

    /// What is known of the time: what comes in is to be checked against it.
    pub fn time(&self) -> ServerTime {
        self.shared.clock.time()
    }

    /// The months of receipt whose incidents are kept, and where they ended last.
    pub fn months(&self) -> Months {
        self.ledger().read().months().clone()
    }

    /// Whether nothing is taken in, as the clock was far past the last entry at the start.
    pub fn is_clock_unsure(&self) -> bool {
        self.shared.queue.is_clock_unsure()
    }

    /// Whether the store has yet to be opened or given up: until then one may be moved aside.
    pub fn store_is_opening(&self) -> bool {
        self.ledger().store_is_opening()
    }

    /// Tap counts that are kept no longer; `None` if none are.
    pub fn ended_taps(&self) -> Option<EndedTaps> {
        let ledger = self.ledger();
        let state = ledger.read();
        let feeds = state.taps().feeds().iter();
        Some(EndedTaps {
            before: state.taps().kept_from()?,
            declared: feeds.map(|book| book.declared()).collect(),
        })
    }

    /// The keys of pseudonyms.
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.shared.keys)
    }

    /// Reserves room first, so that a full queue costs next to nothing.
    async fn send(
        &self,
        incidents: &mut [Box<Incident>],
        limiter: Option<&Limiter>,
    ) -> Result<OnItsWay, SubmitError> {
        let room = self.shared.queue.reserve(incidents.len())?;
        let network = self.network();
        let Shared {
            keys, newcomers, ..
        } = &*self.shared;
        let living = keys.first_living();
        let mut preparer = Preparer::new(keys, &network, newcomers, incidents.len());
        let mut expected = Vec::with_capacity(incidents.len());
        let mut entries = Vec::with_capacity(incidents.len());
        let now = self.time().now;
        let mut begun = Instant::now();
        for some in incidents.chunks_mut(AHEAD_INCIDENTS) {
            let told = some.iter();
            network.look_ahead(told.map(|one| (&*one.line_words, &*one.stop_words)));
            for incident in some {
                match prepared(&mut preparer, incident, limiter, now) {
                    Ok((entry, expects)) => {
                        entries.push(entry);
                        expected.push(Ok(expects));
                    }
                    Err(error) => expected.push(Err(error)),
                }
                if PREPARED_BETWEEN_YIELDS <= begun.elapsed() {
                    tokio::task::yield_now().await;
                    begun = Instant::now();
                }
            }
        }
        let (answer, result) = oneshot::channel();
        // Whoever ends a key looks for its pseudonyms in what was sent before, and not again.
        let sent = keys.unless_ended(living, || room.send(Job { entries, answer }));
        sent.ok_or(SubmitError::Busy)??;
        Ok(OnItsWay { expected, result })
    }

    /// Waits for the committer, and looks up what was recorded before.
    async fn answer(&self, part: OnItsWay) -> Vec<Result<Accepted, SubmitError>> {
        let answer = part.result.await.map(Delivery::take);
        let decided = match answer.unwrap_or(Err(SubmitError::Poisoned)) {
            Ok(decided) => decided,
            Err(error) => return vec![Err(error); part.expected.len()],
        };
        let mut decided = decided.into_iter();
        let (mut repeats, mut origins) = (Vec::new(), Vec::new());
        let mut results = Vec::with_capacity(part.expected.len());
        for expected in part.expected {
            let result = match expected {
                Err(error) => Err(error),
                Ok(expected) => match decided.next().expect("one for each that was sent") {
                    Decided::Committed {
                        position,
                        stamp,
                        told_again,
                    } => {
                        if !expected.is_observed {
                            origins.push((position, stamp, expected.prefix));
                        }
                        Ok(Accepted {
                            told_again,
                            ..expected.accepted(position, stamp)
                        })
                    }
                    Decided::Repeated(first) => {
                        repeats.push(lookup::Repeat {
                            place: results.len(),
                            first,
                            id: expected.id,
                            digest: expected.digest,
                        });
                        // Until the journal tells more.
                        Err(SubmitError::Busy)
                    }
                    // No report ends so.
                    Decided::Outdated | Decided::Refused => Err(SubmitError::Conflict),
                },
            };
            results.push(result);
        }
        self.shared.origins.remember(origins);
        if !repeats.is_empty() {
            let reader = self.shared.reader.clone();
            let (ledger, network) = (self.ledger(), self.network());
            let look_up = move || lookup::repeats(&ledger, &reader, &network, repeats);
            for (place, result) in self.read(look_up).await.unwrap_or_default() {
                results[place] = result;
            }
        }
        results
    }

    /// Runs what reads the journal where it holds up nobody; `None`, and not run, if as many
    /// as may are being run.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(&self.shared.reads).try_acquire_owned().ok()?;
        let work = move || {
            // Goes with the work, which a caller that went away does not end.
            let _permit = permit;
            work()
        };
        Some(blocking(work).await)
    }

    /// Sends one entry to the committer, and waits.
    async fn decide(&self, entry: Entry) -> Result<Decided, SubmitError> {
        let queue = &self.shared.queue;
        let room = match batch::heeds_disk_reserve(&entry) {
            true => queue.reserve(1)?,
            false => queue.reserve_on_low_disk(1)?,
        };
        let (answer, result) = oneshot::channel();
        let entries = vec![Pending::new(entry)];
        room.send(Job { entries, answer })?;
        let answer = result.await.map(Delivery::take);
        let decided = answer.unwrap_or(Err(SubmitError::Poisoned))?;
        Ok(*decided.first().expect("one for the one that was sent"))
    }

    fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.shared.ledger)
    }

    fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    fn hub(&self) -> &Hub {
        &self.shared.hub
    }
}

/// An incident on its way to the committer, unless it is refused by itself.
fn prepared(
    preparer: &mut Preparer<'_>,
    incident: &mut Incident,
    limiter: Option<&Limiter>,
    now: UtcMillis,
) -> Result<(Pending, Expected), SubmitError> {
    if is_too_far_ahead(incident.occurred, now) {
        return Err(SubmitError::ClockUnsure);
    }
    let prepared = preparer.prepare(incident);
    let (pending, expected) = prepared.map_err(|error| key_failure(&error))?;
    within(limiter, incident.origin, &pending)?;
    Ok((pending, expected))
}

/// Counts what people report, by whom they name; see `auth::Limiter`. Observations count by token
/// alone: a bad card fails at many devices.
fn within(
    limiter: Option<&Limiter>,
    origin: Option<Origin>,
    pending: &Pending,
) -> Result<(), Limited> {
    let Some(limiter) = limiter else {
        return Ok(());
    };
    let Entry::Incident { facts, personal } = &pending.entry else {
        return Ok(());
    };
    let Some(personal) = personal.as_ref().filter(|_| !is_observed(facts)) else {
        return Ok(());
    };
    match (&personal.installation, &personal.card) {
        (Some(installation), _) => limiter.report(installation, None),
        (None, Some(card)) => limiter.report(card, origin.map(|origin| origin.prefix)),
        (None, None) => Ok(()),
    }
}

fn key_failure(error: &KeyError) -> SubmitError {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "no key for a report"
    );
    SubmitError::Keys
}

/// Runs what reads files where it holds up nobody. A panic in it goes on in the caller.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests;
