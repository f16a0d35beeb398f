//! The task that owns every push.
//!
//! It keeps one channel for each question that is watched, which holds the newest state and
//! nothing else: a slow watcher skips states and delays nobody. Counting happens in rounds on
//! a blocking thread, one round at a time: a new question at once; when rows changed, the
//! questions that they concern, every `WATCH_PACE_MS_MIN` at most, and after a rest as long as
//! the round before; and all questions when the clock enters another minute, because the
//! window slides also when nothing is reported.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::auth::Seal;
use crate::domain::entry::Epoch;
use crate::domain::limits::{
    CLOCK_CHECK_MS, WATCH_PACE_MS_MIN, WATCH_REQUESTS_MAX, WATCH_REST_MS_MAX, WATCH_RESULTS_MAX,
    WATCHED_QUESTIONS_MAX, WATCHED_RATES_MAX,
};
use crate::domain::{Minute, Position, UtcMillis};

use super::alarm::Alarm;
use super::hub::{Changed, ChangedRows, Hub};
use super::joined::Joined;
use super::pace::Pace;
use super::permits::Permit;
use super::sealed::NoToken;
use super::source::{Source, TapsKept, View};
use super::state::State;
use super::token::{StreamDigest, Token, Tokens};
use super::watcher::{Published, Watcher};
use super::{Gone, Watch, WatchError};

/// Handle of the publisher's task. Clones are the same publisher.
#[derive(Clone)]
pub struct Publisher {
    requests: mpsc::Sender<Request>,
    joined: Joined,
    tokens: Arc<Tokens>,
    bounds: Arc<dyn Bounds>,
    stop: CancellationToken,
}

/// How far back and ahead the journal reaches.
trait Bounds: Send + Sync {
    fn horizon(&self) -> Position;
    fn applied(&self) -> Position;
}

impl<S: Source> Bounds for S {
    fn horizon(&self) -> Position {
        Source::horizon(self)
    }

    fn applied(&self) -> Position {
        Source::applied(self)
    }
}

/// Somebody wants to watch.
struct Request {
    watch: Watch,
    answer: oneshot::Sender<Result<Admitted, WatchError>>,
}

/// Who is let in.
struct Admitted {
    watch: Arc<Watch>,
    published: watch::Receiver<Published>,
    /// Whether nobody else watches this question.
    is_first: bool,
}

/// What the task owns.
struct Task<S, N> {
    source: Arc<S>,
    epoch: Epoch,
    hub: Hub,
    now: N,
    requests: mpsc::Receiver<Request>,
    questions: HashMap<Arc<Watch>, Question>,
    /// All of them.
    joined: Joined,
    /// The running minute, as of the last look at the clock.
    minute: Minute,
    /// Whether the hub says that rows changed since they were last taken.
    is_marked: bool,
    /// Before this, changed rows wait.
    changed_due: Instant,
    round: Option<Round>,
}

/// A question that is watched.
struct Question {
    published: watch::Sender<Published>,
    /// Whether it must be counted whatever rows changed: it is new, or a minute passed.
    is_stale: bool,
    taps: Arc<TapsKept>,
}

/// Counting under way on a blocking thread.
struct Round {
    results: mpsc::Receiver<(Arc<Watch>, Counting)>,
    results_left: usize,
    started: Instant,
    /// Whether changed rows began it, and not only new questions or the clock.
    is_of_changes: bool,
}

/// What a round is to count, and for when.
struct Assignment {
    jobs: Vec<Job>,
    changed: Changed,
    minute: Minute,
    epoch: Epoch,
    results: mpsc::Sender<(Arc<Watch>, Counting)>,
}

struct Job {
    watch: Arc<Watch>,
    is_stale: bool,
    taps: Arc<TapsKept>,
}

/// What became of a job.
enum Counting {
    State(State),
    /// It cannot be watched any more.
    Ended(WatchError),
    /// No changed row concerns it: what it was holds up to this position.
    Unconcerned(Position),
}

// === impl Publisher ===

impl Publisher {
    /// Spawns the task on the current tokio runtime. It counts from `source`, learns from
    /// `hub` what changed, tells the time by `now`, gives out tokens under `seal`, and ends
    /// all streams when `stop` is cancelled. Reads the source once, so call it before serving.
    pub fn start(
        source: impl Source,
        hub: Hub,
        now: impl Fn() -> UtcMillis + Send + Sync + 'static,
        seal: Seal,
        stop: CancellationToken,
    ) -> Self {
        let (requests, requested) = mpsc::channel(WATCH_REQUESTS_MAX);
        let epoch = source.epoch();
        let source = Arc::new(source);
        let bounds = Arc::clone(&source) as Arc<dyn Bounds>;
        let joined = Joined::default();
        let task = Task {
            source,
            epoch,
            hub,
            minute: minute_of(now()),
            now,
            requests: requested,
            questions: HashMap::new(),
            joined: joined.clone(),
            is_marked: false,
            changed_due: Instant::now(),
            round: None,
        };
        let stopped = stop.clone();
        tokio::spawn(async move {
            // Dropping the task drops the channels, which ends every stream.
            stopped.run_until_cancelled(task.run()).await;
        });
        Self {
            requests,
            joined,
            tokens: Arc::new(Tokens::new(epoch, seal)),
            bounds,
            stop,
        }
    }

    /// Begins to watch, with at least `pace` between two changes, from a token of an earlier
    /// stream if there is one. Where nobody watches the same, returns when there is a first state. The
    /// permit is held as long as the watcher lives.
    pub async fn watch(
        &self,
        watch: Watch,
        pace: Duration,
        token: Option<Vec<u8>>,
        permit: Permit,
    ) -> Result<Watcher, WatchError> {
        let stream = self.tokens.stream(&watch);
        let resume = match token {
            Some(bytes) => Some(self.read(&bytes, stream)?),
            None => None,
        };
        if self.has_ended() {
            return Err(self.gone());
        }
        let Admitted {
            watch,
            mut published,
            is_first,
        } = match self.joined.join(&watch) {
            Some((watch, published)) => Admitted {
                watch,
                published,
                is_first: false,
            },
            None => self.ask(watch).await?,
        };
        // Whoever is first is refused at once where the question cannot be counted. Others wait
        // as watchers, which takes less memory than a call that is not answered.
        if is_first {
            let is_counted = |published: &Published| !matches!(published, Published::Pending);
            let first = published.wait_for(is_counted).await;
            match &*first.map_err(|_| WatchError::Stopping)? {
                Published::Ended(error) => return Err(error.clone()),
                Published::State(_) | Published::Pending => {}
            }
        }
        Ok(Watcher {
            watch,
            published,
            tokens: Arc::clone(&self.tokens),
            stream,
            resume: resume.map(Box::new),
            sent: None,
            cited: None,
            pace: Pace::new(pace, Instant::now()),
            alarm: Alarm::default(),
            stop: self.stop.clone(),
            _permit: permit,
        })
    }

    /// Asks the task to let somebody in.
    async fn ask(&self, watch: Watch) -> Result<Admitted, WatchError> {
        let (answer, answered) = oneshot::channel();
        let request = Request { watch, answer };
        let sent = self.requests.send(request).await;
        sent.map_err(|_| self.gone())?;
        answered.await.map_err(|_| self.gone())?
    }

    /// A token, if it can be of any state of this journal.
    fn read(&self, bytes: &[u8], stream: StreamDigest) -> Result<Token, WatchError> {
        let horizon = self.bounds.horizon();
        let why = match self.tokens.parse(bytes) {
            Err(NoToken::Malformed) => return Err(WatchError::Token),
            Err(NoToken::OtherJournal) => Gone::OtherJournal,
            Ok(token) if self.bounds.applied() < token.position => Gone::Ahead,
            Ok(token) if token.position.next() < horizon => Gone::TooOld,
            Ok(token) => return Ok(token),
        };
        Err(WatchError::Gone {
            why,
            oldest_token: self.tokens.before_all(stream, Position(horizon.0 - 1)),
        })
    }

    /// Why the task does not answer.
    fn gone(&self) -> WatchError {
        if self.stop.is_cancelled() {
            WatchError::Stopping
        } else {
            WatchError::Failed
        }
    }

    /// Waits until the task has ended: it was stopped, or a bug made it panic. Then nothing
    /// can be watched any more.
    pub async fn ended(&self) {
        self.requests.closed().await;
    }

    /// Whether the task has ended.
    pub fn has_ended(&self) -> bool {
        self.requests.is_closed()
    }
}

// === impl Task ===

impl<S: Source, N: Fn() -> UtcMillis> Task<S, N> {
    async fn run(mut self) {
        loop {
            self.begin_round();
            let wake = self.wake();
            tokio::select! {
                result = next_result(&mut self.round) => match result {
                    Some((watch, counting)) => self.publish(&watch, counting),
                    None => self.end_round(),
                },
                Some(request) = self.requests.recv() => self.admit(request),
                () = self.hub.marked(), if !self.is_marked => self.is_marked = true,
                () = sleep_until(wake) => {}
            }
        }
    }

    fn admit(&mut self, request: Request) {
        if let Some((watch, question)) = self.questions.get_key_value(&request.watch) {
            let admitted = Admitted {
                watch: Arc::clone(watch),
                published: question.published.subscribe(),
                is_first: false,
            };
            let _ = request.answer.send(Ok(admitted));
            return;
        }
        if self.is_full_for(&request.watch) {
            self.drop_unwatched();
        }
        if self.is_full_for(&request.watch) {
            let _ = request.answer.send(Err(WatchError::Full));
            return;
        }
        let (sender, published) = watch::channel(Published::Pending);
        let question = Question {
            published: sender,
            is_stale: true,
            taps: Arc::default(),
        };
        let watch = Arc::new(request.watch);
        self.joined.add(&watch, published.clone());
        self.questions.insert(Arc::clone(&watch), question);
        // If the watcher is gone meanwhile, the next round drops the question.
        let admitted = Admitted {
            watch,
            published,
            is_first: true,
        };
        let _ = request.answer.send(Ok(admitted));
    }

    fn is_full_for(&self, watch: &Watch) -> bool {
        let rated = || self.questions.keys().filter(|watch| watch.rates.is_some());
        WATCHED_QUESTIONS_MAX <= self.questions.len()
            || watch.rates.is_some() && WATCHED_RATES_MAX <= rated().count()
    }

    fn drop_unwatched(&mut self) {
        let joined = &self.joined;
        self.questions
            .retain(|watch, question| !joined.remove_unwatched(watch, &question.published));
    }

    /// When to look again, if nothing happens before.
    fn wake(&self) -> Instant {
        let next_minute = Minute(self.minute.0.saturating_add(1)).start();
        let left_ms = u64::try_from(next_minute.0.saturating_sub((self.now)().0)).unwrap_or(0);
        let clock_check = Instant::now() + Duration::from_millis(left_ms.clamp(1, CLOCK_CHECK_MS));
        if self.is_marked && self.round.is_none() {
            return clock_check.min(self.changed_due);
        }
        clock_check
    }

    /// Begins a round if none is under way and something is to be counted.
    fn begin_round(&mut self) {
        if self.round.is_some() {
            return;
        }
        let minute = minute_of((self.now)());
        let is_another_minute = minute != self.minute;
        self.minute = minute;
        if is_another_minute {
            self.questions
                .values_mut()
                .for_each(|question| question.is_stale = true);
        }
        let started = Instant::now();
        let changed = self.take_changed(started);
        let is_of_changes = changed.is_any();
        let jobs = self.jobs(&changed);
        if jobs.is_empty() {
            return;
        }
        let (sender, results) = mpsc::channel(WATCH_RESULTS_MAX);
        self.round = Some(Round {
            results,
            results_left: jobs.len(),
            started,
            is_of_changes,
        });
        let assignment = Assignment {
            jobs,
            changed,
            minute,
            epoch: self.epoch,
            results: sender,
        };
        let source = Arc::clone(&self.source);
        tokio::task::spawn_blocking(move || count(&*source, &assignment));
    }

    /// What changed, if it is time for it. Taken before the round's view, which therefore
    /// includes all of it.
    fn take_changed(&mut self, now: Instant) -> Changed {
        if !self.is_marked || now < self.changed_due {
            return Changed::default();
        }
        self.is_marked = false;
        let changed = self.hub.take();
        if changed.is_any() {
            self.changed_due = now + Duration::from_millis(WATCH_PACE_MS_MIN);
        }
        changed
    }

    /// Every question if rows changed, else the stale ones; those with rates also if taps
    /// changed.
    fn jobs(&mut self, changed: &Changed) -> Vec<Job> {
        self.drop_unwatched();
        let mut jobs = Vec::new();
        for (watch, question) in &mut self.questions {
            question.is_stale |= changed.taps && watch.rates.is_some();
            if !changed.rows.is_none() || question.is_stale {
                jobs.push(Job {
                    watch: Arc::clone(watch),
                    is_stale: std::mem::take(&mut question.is_stale),
                    taps: Arc::clone(&question.taps),
                });
            }
        }
        jobs
    }

    fn publish(&mut self, watch: &Watch, counting: Counting) {
        if let Some(round) = &mut self.round {
            round.results_left -= 1;
        }
        let Some(question) = self.questions.get(watch) else {
            return;
        };
        match counting {
            Counting::State(state) => {
                question
                    .published
                    .send_if_modified(|published| replace(published, state));
            }
            Counting::Unconcerned(position) => {
                question
                    .published
                    .send_if_modified(|published| reach(published, position));
            }
            Counting::Ended(error) => {
                self.joined.remove(watch);
                question.published.send_replace(Published::Ended(error));
                self.questions.remove(watch);
            }
        }
    }

    fn end_round(&mut self) {
        let Some(round) = self.round.take() else {
            return;
        };
        if 0 < round.results_left {
            tracing::error!(
                results_left = round.results_left,
                "counting for watchers failed"
            );
            for watch in self.questions.keys() {
                self.joined.remove(watch);
            }
            self.questions.clear();
        }
        if round.is_of_changes {
            // It rests as long as it took, so that counting leaves half of the time to others.
            let now = Instant::now();
            let rest_max = Duration::from_millis(WATCH_REST_MS_MAX);
            let rest = (now - round.started).min(rest_max);
            self.changed_due = self.changed_due.max(now + rest);
        }
    }
}

// === On the way of a result ===

/// Waits for ever if there is no round; `None` if it is over.
async fn next_result(round: &mut Option<Round>) -> Option<(Arc<Watch>, Counting)> {
    match round {
        Some(round) => round.results.recv().await,
        None => std::future::pending().await,
    }
}

/// Puts the newest state in place; says whether watchers have to know.
fn replace(published: &mut Published, mut newest: State) -> bool {
    let is_news = match published {
        Published::State(known) => !newest.share(known),
        Published::Pending | Published::Ended(_) => true,
    };
    *published = Published::State(newest);
    is_news
}

/// The state holds up to this position as well; nobody has to be woken for that.
fn reach(published: &mut Published, position: Position) -> bool {
    if let Published::State(state) = published {
        state.position = state.position.max(position);
    }
    false
}

// === On the blocking thread ===

/// Counts one question after the other, all on the same view.
fn count<S: Source>(source: &S, assignment: &Assignment) {
    let view = source.view();
    for job in &assignment.jobs {
        let counting = assignment.count(&view, job);
        let result = (Arc::clone(&job.watch), counting);
        if assignment.results.blocking_send(result).is_err() {
            return; // The publisher stopped.
        }
    }
}

impl Assignment {
    fn count(&self, view: &impl View, job: &Job) -> Counting {
        let span = job.watch.span(self.minute);
        let is_concerned = match &self.changed.rows {
            ChangedRows::These(rows) => view.is_concerned(&job.watch, rows),
            ChangedRows::Everything => true,
        };
        if !job.is_stale && !is_concerned {
            return Counting::Unconcerned(self.changed.position);
        }
        match view.see(&job.watch, span, &job.taps) {
            Ok(seen) => Counting::State(State::new(seen, self.minute, &self.epoch.0)),
            Err(error) => Counting::Ended(error),
        }
    }
}

/// The running minute. A clock outside of all years that have one stands at the first.
fn minute_of(now: UtcMillis) -> Minute {
    now.minute().unwrap_or(Minute(0))
}
