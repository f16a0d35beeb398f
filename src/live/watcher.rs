//! One stream: what its client was sent last, and when it is due for more.
//!
//! A watcher knows the state that it sent last, and copies and holds nothing of its rows: where
//! these are kept no more it tells the whole state again. While it waits it owns one timer, and
//! nobody waits for it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::alarm::Alarm;
use super::encoded::EncodedMessage;
use super::pace::{Pace, Step};
use super::quota::QuotaSlot;
use super::state::{Kind, Outline, Sent, State};
use super::token::{Token, Tokens};
use super::{Cited, Message, Update, Watch, WatchError};
use crate::domain::Minute;

/// What the publisher last said about a question.
#[derive(Clone)]
pub(super) enum WatchState {
    /// Not counted yet.
    Pending,
    /// Its newest state.
    State(State),
    /// It is watched no more.
    Ended(WatchError),
}

/// One watcher. Dropping it ends the watch and frees its place.
pub struct Watcher {
    /// What is watched; the same for all who watch it.
    pub(super) watch: Arc<Watch>,
    pub(super) published: watch::Receiver<WatchState>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) asking: QuotaSlot,
    /// What the client says that it has; looked at once, so in a box.
    pub(super) resume: Option<Box<Token>>,
    /// The newest state with the figures that the client has.
    pub(super) sent: Option<Sent>,
    /// The minute of the window that the client was told how to cite.
    pub(super) cited: Option<Minute>,
    pub(super) pace: Pace,
    pub(super) alarm: Alarm,
    pub(super) stop: CancellationToken,
}

/// What there is to do for a watcher.
enum Next {
    /// To send this.
    Told(Arc<EncodedMessage<Message>>),
    /// To wait for the instant, deaf to further changes: they would wake it for nothing.
    Rest(Instant),
    /// To wait for a change, or for the instant if there is one.
    Listen(Option<Instant>),
}

impl Watcher {
    /// What is watched.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The next message, or why there are no more. It holds the newest state at the time it
    /// is returned. Safe to drop while it waits: nothing is lost.
    pub async fn next(&mut self) -> Result<Arc<EncodedMessage<Message>>, WatchError> {
        loop {
            // Every stream has room for what is kept here over what is waited for, so that is
            // little.
            let (due, is_deaf) = match self.step()? {
                Next::Told(told) => return Ok(told),
                Next::Rest(due) => (Some(due), true),
                Next::Listen(due) => (due, false),
            };
            if is_deaf {
                tokio::select! {
                    biased;
                    () = self.alarm.wait_until(due) => {}
                    () = self.stop.cancelled() => {}
                }
            } else {
                tokio::select! {
                    biased;
                    // A publisher that stops lets go of the channel.
                    changed = self.published.changed() => {
                        changed.map_err(|_| WatchError::Stopping)?;
                    }
                    () = self.alarm.wait_until(due) => {}
                }
            }
        }
    }

    fn step(&mut self) -> Result<Next, WatchError> {
        let Some(newest) = self.newest()? else {
            return Ok(Next::Listen(None));
        };
        let now = Instant::now();
        let Some(sent) = self.sent.clone() else {
            return Ok(Next::Told(self.first(&newest, now)));
        };
        let is_changed = newest.outline.digest() != sent.outline.digest();
        Ok(match self.pace.step(now, is_changed) {
            Step::News => Next::Told(self.changes(&sent, &newest, now)),
            Step::Heartbeat => Next::Told(self.heartbeat(&sent, now)),
            Step::WaitUntil(due) if is_changed => Next::Rest(due),
            Step::WaitUntil(due) => Next::Listen(Some(due)),
        })
    }

    /// The newest state, if there is one. If it has the figures that the client has, it takes
    /// the place of the one that was sent, so that heartbeats and tokens are up to date.
    fn newest(&mut self) -> Result<Option<State>, WatchError> {
        if self.stop.is_cancelled() {
            return Err(WatchError::Stopping);
        }
        let newest = match &*self.published.borrow_and_update() {
            WatchState::State(state) => state.clone(),
            WatchState::Ended(error) => return Err(error.clone()),
            WatchState::Pending => return Ok(None),
        };
        if let Some(sent) = &mut self.sent
            && sent.outline.digest() == newest.outline.digest()
        {
            *sent = newest.sent();
        }
        Ok(Some(newest))
    }

    fn first(&mut self, newest: &State, now: Instant) -> Arc<EncodedMessage<Message>> {
        let is_known = self.resume.take().is_some_and(|token| {
            token.stream == self.asking.stream() && token.state_digest == newest.outline.digest()
        });
        self.sent = Some(newest.sent());
        if is_known {
            self.pace.sent_sign_of_life(now);
            return self.message(newest, Kind::Resumed, || Update::Resumed);
        }
        self.pace.sent_news(now);
        self.snapshot(newest)
    }

    fn snapshot(&mut self, newest: &State) -> Arc<EncodedMessage<Message>> {
        self.message(newest, Kind::Snapshot, || {
            Update::Snapshot(Arc::clone(newest.figures()))
        })
    }

    /// All of it, if what the client has is kept no more.
    fn changes(
        &mut self,
        sent: &Sent,
        newest: &State,
        now: Instant,
    ) -> Arc<EncodedMessage<Message>> {
        let message = match sent.state() {
            Some(earlier) => {
                let from_digest = earlier.outline.digest();
                self.message(newest, Kind::Changes { from_digest }, || {
                    Update::Changes(newest.since(&earlier))
                })
            }
            None => self.snapshot(newest),
        };
        self.sent = Some(newest.sent());
        self.pace.sent_news(now);
        message
    }

    /// Of the state that the client has, also when the pace holds a newer one back: resumed
    /// from a heartbeat's token, a stream must tell that change.
    fn heartbeat(&mut self, sent: &Sent, now: Instant) -> Arc<EncodedMessage<Message>> {
        self.pace.sent_sign_of_life(now);
        if let Some(state) = sent.state() {
            return self.message(&state, Kind::Heartbeat, || Update::Heartbeat);
        }
        let is_window_new = self.is_window_new(&sent.outline);
        Arc::new(EncodedMessage::new(self.about(
            &sent.outline,
            is_window_new,
            Update::Heartbeat,
        )))
    }

    /// The same for all watchers of a question that are told the same: the digest of the
    /// stream is the question's. It is cited in full once for each window, as the line is twice as
    /// long as what else a message of few rows has.
    fn message(
        &mut self,
        state: &State,
        kind: Kind,
        update: impl FnOnce() -> Update,
    ) -> Arc<EncodedMessage<Message>> {
        let is_window_new = self.is_window_new(&state.outline);
        state.told(kind, is_window_new, || {
            self.about(&state.outline, is_window_new, update())
        })
    }

    fn is_window_new(&mut self, state: &Outline) -> bool {
        self.cited.replace(state.minute) != Some(state.minute)
    }

    fn about(&self, state: &Outline, is_window_new: bool, update: Update) -> Message {
        let stream = self.asking.stream();
        Message {
            resume_token: self.tokens.of_state(stream, state).into(),
            position: state.position,
            as_of: state.as_of(),
            total: state.total(),
            left_out: state.left_out(),
            untimed: state.untimed(),
            complete_from: state.complete_from(),
            rates: state.rates().cloned(),
            cited: Cited {
                window: self.watch.span(state.minute),
                first_at: state.first_at(),
                number: state.number(),
            },
            is_window_new,
            update,
        }
    }
}
