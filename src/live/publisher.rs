//! The task that owns every push.
//!
//! It keeps one channel for each question that is watched, which holds the newest state and
//! nothing else: a slow watcher skips states and delays nobody. Of the states before, some are
//! kept that watchers were sent last, to tell these what changed. Counting happens in rounds on
//! a blocking thread, one round at a time: a new question at once; when rows changed, the
//! questions that they concern, every `WATCH_PACE_MS_MIN` at most, and after a rest as long as
//! the round before; and all questions when the clock enters another minute, because the
//! window slides also when nothing is reported.
//!
//! A round begins no further question after `WATCH_ROUND_MS_MAX`: those whose turn did not come
//! (`fair_queue`) are due in the next, which knows of new questions and of changes since.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::auth::Seal;
use crate::domain::entry::Epoch;
use crate::domain::limits::{
    CLOCK_CHECK_MS, WATCH_EARLIER_ROWS_MAX, WATCH_PACE_MS_MIN, WATCH_REQUESTS_MAX,
    WATCH_REST_MS_MAX, WATCH_RESULTS_MAX, WATCH_STATES_KEPT_MAX, WATCHED_QUESTIONS_MAX,
    WATCHED_RATES_MAX, WATCHED_ROWS_PER_TOKEN_MAX, WATCHED_ROWS_WITHOUT_TOKEN_MAX,
};
use crate::domain::{Minute, Position, UtcMillis};

use super::active::{ActiveQuestions, Joined};
use super::alarm::Alarm;
use super::counting::{Assignment, Counting, Done, Job, count};
use super::fair_queue::{Asker, Spent};
use super::hub::{Changed, Hub};
use super::pace::Pace;
use super::quota::TokenQuotas;
use super::sealed::NoToken;
use super::source::{Source, TapsKept};
use super::state::State;
use super::token::{StreamDigest, Token, Tokens};
use super::watcher::{WatchState, Watcher};
use super::{Gone, Watch, WatchError};

/// What counting is taken to cost at least, so that what was counted is told from what never was.
const COST_MIN: Duration = Duration::from_nanos(1);

/// Handle of the publisher's task. Clones are the same publisher.
#[derive(Clone)]
pub struct Publisher {
    requests: mpsc::Sender<Request>,
    joined: ActiveQuestions,
    asked: TokenQuotas,
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

/// Somebody wants to watch what nobody watches.
struct Request {
    watch: Arc<Watch>,
    asker: Asker,
    /// Others may have joined already.
    published: watch::Sender<WatchState>,
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
    joined: ActiveQuestions,
    /// Who watches which.
    asked: TokenQuotas,
    tokens: Arc<Tokens>,
    /// The running minute, as of the last look at the clock.
    minute: Minute,
    /// Whether the hub says that rows changed since they were last taken.
    is_marked: bool,
    /// Before this, changed rows and all questions but new ones wait.
    round_due: Instant,
    /// Whether any wait for that.
    is_waiting: bool,
    spent: Spent,
    /// As of when.
    spent_at: Instant,
    round: Option<Round>,
}

/// A question that is watched.
struct Question {
    stream: StreamDigest,
    published: watch::Sender<WatchState>,
    /// States before the newest that watchers have, the oldest first.
    earlier: VecDeque<State>,
    /// Who asked first. Its counting is theirs as long as they watch it and have room for it.
    asker: Asker,
    /// Since when it must be counted whatever rows change: it is new, a minute passed, or its
    /// turn did not come yet.
    due: Option<Instant>,
    /// How long it took when it was last counted; `None` if it never was.
    cost: Option<Duration>,
    /// Of its newest state.
    rows: usize,
    taps: Arc<TapsKept>,
}

/// Counting under way on a blocking thread.
struct Round {
    results: mpsc::Receiver<Done>,
    results_left: usize,
    started: Instant,
    /// Whether the next must wait as long as it takes: it is not of new questions alone.
    rests: bool,
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
        let (joined, asked) = (ActiveQuestions::default(), TokenQuotas::default());
        let tokens = Arc::new(Tokens::new(epoch, seal));
        let task = Task {
            source,
            epoch,
            hub,
            minute: minute_of(now()),
            now,
            requests: requested,
            questions: HashMap::new(),
            joined: joined.clone(),
            asked: asked.clone(),
            tokens: Arc::clone(&tokens),
            is_marked: false,
            round_due: Instant::now(),
            is_waiting: false,
            spent: Spent::default(),
            spent_at: Instant::now(),
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
            asked,
            tokens,
            bounds,
            stop,
        }
    }

    /// Begins to watch, with at least `pace` between two changes, from a token of an earlier
    /// stream if there is one. Where nobody watches the same, returns when there is a first state.
    pub async fn watch(
        &self,
        watch: Watch,
        pace: Duration,
        token: Option<Vec<u8>>,
        asker: Asker,
    ) -> Result<Watcher, WatchError> {
        let stream = self.tokens.stream(&watch);
        let resume = match token {
            Some(bytes) => Some(self.read(&bytes, stream)?),
            None => None,
        };
        if self.has_ended() {
            return Err(self.gone());
        }
        let asking = self.asked.ask(asker, stream, watch.rates.is_some())?;
        let (watch, mut published, is_first) = match self.joined.join(&watch) {
            Some(Joined {
                watch, published, ..
            }) => (watch, published, false),
            None => self.ask(watch, asker).await?,
        };
        // Whoever is first is refused at once where the question cannot be counted. Others wait
        // as watchers, which takes less memory than a call that is not answered.
        if is_first {
            let is_counted = |published: &WatchState| !matches!(published, WatchState::Pending);
            let first = published.wait_for(is_counted);
            // What is asked at the moment in which the task ends lies where nobody takes it.
            let first = self.stop.run_until_cancelled(first).await;
            match &*first.and_then(Result::ok).ok_or(WatchError::Stopping)? {
                WatchState::Ended(error) => return Err(error.clone()),
                WatchState::State(_) | WatchState::Pending => {}
            }
        }
        Ok(Watcher {
            watch,
            published,
            tokens: Arc::clone(&self.tokens),
            asking,
            resume: resume.map(Box::new),
            sent: None,
            cited: None,
            pace: Pace::new(pace, Instant::now()),
            alarm: Alarm::default(),
            stop: self.stop.clone(),
        })
    }

    /// Asks the task to let a question be watched, or joins who did so meanwhile; says whether it
    /// asked.
    async fn ask(
        &self,
        watch: Watch,
        asker: Asker,
    ) -> Result<(Arc<Watch>, watch::Receiver<WatchState>, bool), WatchError> {
        // Before others can join, so that nobody joins what is never asked for.
        let room = self.requests.reserve().await;
        let room = room.map_err(|_| self.gone())?;
        let Joined {
            watch,
            published,
            sender,
        } = self.joined.join_or_begin(watch);
        let is_first = sender.is_some();
        if let Some(sender) = sender {
            room.send(Request {
                watch: Arc::clone(&watch),
                asker,
                published: sender,
            });
        }
        Ok((watch, published, is_first))
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
                    Some(done) => self.publish(done),
                    None => self.end_round(),
                },
                Some(request) = self.requests.recv() => self.admit(request),
                () = self.hub.marked(), if !self.is_marked => self.is_marked = true,
                () = sleep_until(wake) => {}
            }
        }
    }

    fn admit(&mut self, request: Request) {
        let Request {
            watch,
            asker,
            published,
        } = request;
        if self.is_full_for(&watch) {
            self.drop_unwatched();
        }
        if self.is_full_for(&watch) {
            self.joined.remove(&watch);
            published.send_replace(WatchState::Ended(WatchError::Full));
            return;
        }
        let question = Question {
            stream: self.tokens.stream(&watch),
            published,
            earlier: VecDeque::new(),
            asker,
            due: Some(Instant::now()),
            cost: None,
            rows: 0,
            taps: Arc::default(),
        };
        // If the watcher is gone meanwhile, the next round drops the question.
        self.questions.insert(watch, question);
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

    /// Lets the counting of what whoever asked for it watches no more be another's, of one with room
    /// for it if there is any.
    fn hand_over(&mut self) {
        let left = |(watch, question): (&Arc<Watch>, &Question)| {
            let is_watched = self.asked.is_watched_by(question.asker, question.stream);
            (!is_watched).then(|| Arc::clone(watch))
        };
        let left: Vec<_> = self.questions.iter().filter_map(left).collect();
        for watch in left {
            let Some(own) = self.questions.get(&watch) else {
                continue;
            };
            let others = self.asked.askers_of(own.stream);
            let has_room = |other: &&Asker| self.have_room(own, **other, own.rows);
            let other = others.iter().find(has_room).or(others.first()).copied();
            if let (Some(own), Some(other)) = (self.questions.get_mut(&watch), other) {
                own.asker = other;
            }
        }
    }

    /// When to look again, if nothing happens before.
    fn wake(&self) -> Instant {
        let next_minute = Minute(self.minute.0.saturating_add(1)).start();
        let left_ms = u64::try_from(next_minute.0.saturating_sub((self.now)().0)).unwrap_or(0);
        let clock_check = Instant::now() + Duration::from_millis(left_ms.clamp(1, CLOCK_CHECK_MS));
        if (self.is_marked || self.is_waiting) && self.round.is_none() {
            return clock_check.min(self.round_due);
        }
        clock_check
    }

    /// Begins a round if none is under way and something is to be counted.
    fn begin_round(&mut self) {
        if self.round.is_some() {
            return;
        }
        let now = Instant::now();
        let minute = minute_of((self.now)());
        if minute != self.minute {
            self.minute = minute;
            for question in self.questions.values_mut() {
                question.due.get_or_insert(now);
            }
        }
        let is_time = self.round_due <= now;
        let changed = if is_time {
            self.take_changed(now)
        } else {
            Changed::default()
        };
        let jobs = self.jobs(&changed, is_time, now);
        let is_waiting = |question: &Question| question.due.is_some() && question.cost.is_some();
        self.is_waiting = !is_time && self.questions.values().any(is_waiting);
        if jobs.is_empty() {
            return;
        }
        self.spent.forget(now - self.spent_at);
        self.spent_at = now;
        let (sender, results) = mpsc::channel(WATCH_RESULTS_MAX);
        self.round = Some(Round {
            results,
            results_left: jobs.len(),
            started: now,
            rests: is_time && !jobs.iter().all(|job| job.cost.is_zero()),
        });
        let assignment = Assignment {
            jobs,
            changed,
            spent: self.spent.clone(),
            minute,
            epoch: self.epoch,
            results: sender,
        };
        let source = Arc::clone(&self.source);
        tokio::task::spawn_blocking(move || count(&*source, assignment));
    }

    /// What changed, if it is time for it. Taken before the round's view, which therefore
    /// includes all of it.
    fn take_changed(&mut self, now: Instant) -> Changed {
        if !self.is_marked {
            return Changed::default();
        }
        self.is_marked = false;
        let changed = self.hub.take();
        if changed.is_any() {
            self.round_due = now + Duration::from_millis(WATCH_PACE_MS_MIN);
        }
        changed
    }

    /// Every question if rows changed, else those that are due; those with rates also if taps
    /// changed. Before it is time, new ones alone.
    fn jobs(&mut self, changed: &Changed, is_time: bool, now: Instant) -> Vec<Job> {
        self.drop_unwatched();
        self.hand_over();
        let mut jobs = Vec::new();
        for (watch, question) in &mut self.questions {
            if changed.taps && watch.rates.is_some() {
                question.due.get_or_insert(now);
            }
            let is_new = question.cost.is_none();
            let is_wanted = !changed.rows.is_none() || question.due.is_some();
            if is_wanted && (is_time || is_new) {
                jobs.push(Job {
                    watch: Arc::clone(watch),
                    asker: question.asker,
                    waited: question.due.map(|since| now - since),
                    cost: question.cost.unwrap_or_default(),
                    taps: Arc::clone(&question.taps),
                });
            }
        }
        jobs
    }

    fn publish(&mut self, done: Done) {
        let Done {
            watch,
            asker,
            took,
            counting,
        } = done;
        if let Some(round) = &mut self.round {
            round.results_left -= 1;
        }
        self.spent.add(asker, took);
        let counting = self.within_rows(&watch, counting);
        let Some(question) = self.questions.get_mut(&watch) else {
            return;
        };
        match counting {
            Counting::State(state) => {
                question.due = None;
                question.cost = Some(took.max(COST_MIN));
                question.rows = state.figures().len();
                question.publish(state);
            }
            Counting::Left => {
                question.due.get_or_insert_with(Instant::now);
            }
            Counting::Unconcerned(position) => {
                question
                    .published
                    .send_if_modified(|published| reach(published, position));
            }
            Counting::Ended(error) => {
                self.joined.remove(&watch);
                question.published.send_replace(WatchState::Ended(error));
                self.questions.remove(&watch);
            }
        }
    }

    /// A state, unless all who watch it would then have more rows than they may. Where only
    /// whoever asked for it would, its counting becomes another's.
    fn within_rows(&mut self, watch: &Watch, counting: Counting) -> Counting {
        let (Counting::State(state), Some(own)) = (&counting, self.questions.get(watch)) else {
            return counting;
        };
        let rows = state.figures().len();
        if self.have_room(own, own.asker, rows) {
            return counting;
        }
        let others = self.asked.askers_of(own.stream);
        let mut others = others.into_iter();
        let Some(asker) = others.find(|other| self.have_room(own, *other, rows)) else {
            return Counting::Ended(WatchError::TooManyRowsOfToken);
        };
        if let Some(own) = self.questions.get_mut(watch) {
            own.asker = asker;
        }
        counting
    }

    /// Whether one may have a question with so many rows among all others that are theirs.
    fn have_room(&self, own: &Question, asker: Asker, rows: usize) -> bool {
        let rows_max = match asker {
            Some(_) => WATCHED_ROWS_PER_TOKEN_MAX,
            None => WATCHED_ROWS_WITHOUT_TOKEN_MAX,
        };
        let same = self.questions.values().filter(|it| it.asker == asker);
        let of_others: usize = same
            .filter(|it| !std::ptr::eq(*it, own))
            .map(|it| it.rows)
            .sum();
        of_others + rows <= rows_max
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
        if round.rests {
            // It rests as long as it took, so that counting leaves half of the time to others.
            let now = Instant::now();
            let rest_max = Duration::from_millis(WATCH_REST_MS_MAX);
            let rest = (now - round.started).min(rest_max);
            self.round_due = self.round_due.max(now + rest);
        }
    }
}

// === impl Question ===

impl Question {
    fn publish(&mut self, newest: State) {
        let mut replaced = None;
        self.published
            .send_if_modified(|published| replace(published, newest, &mut replaced));
        if let Some(state) = replaced {
            self.keep(state);
        }
    }

    /// Keeps a state that is the newest no more, and lets go of those that nobody has, and of the
    /// oldest where they are too many or have too many rows.
    fn keep(&mut self, state: State) {
        self.earlier.push_back(state);
        self.earlier.retain(State::is_sent);
        // A watcher that was about to tell one of them may have left something there.
        self.earlier.iter().for_each(State::forget_messages);
        while WATCH_STATES_KEPT_MAX < self.earlier.len()
            || WATCH_EARLIER_ROWS_MAX < self.earlier_rows()
        {
            self.earlier.pop_front();
        }
    }

    fn earlier_rows(&self) -> usize {
        self.earlier.iter().map(|state| state.figures().len()).sum()
    }
}

// === On the way of a result ===

/// Waits for ever if there is no round; `None` if it is over.
async fn next_result(round: &mut Option<Round>) -> Option<Done> {
    match round {
        Some(round) => round.results.recv().await,
        None => std::future::pending().await,
    }
}

/// Puts the newest state in place; says whether watchers have to know. `replaced` gets the one of
/// before where it has other figures, since letting go of it takes time.
fn replace(published: &mut WatchState, mut newest: State, replaced: &mut Option<State>) -> bool {
    let is_news = match published {
        WatchState::State(known) => !newest.share(known),
        WatchState::Pending | WatchState::Ended(_) => true,
    };
    let before = std::mem::replace(published, WatchState::State(newest));
    if is_news && let WatchState::State(before) = before {
        *replaced = Some(before);
    }
    is_news
}

/// The state holds up to this position as well; nobody has to be woken for that.
fn reach(published: &mut WatchState, position: Position) -> bool {
    if let WatchState::State(state) = published {
        let outline = Arc::make_mut(&mut state.outline);
        outline.position = outline.position.max(position);
    }
    false
}

/// The running minute. A clock outside of all years that have one stands at the first.
fn minute_of(now: UtcMillis) -> Minute {
    now.minute().unwrap_or(Minute(0))
}
