//! Tap counts on their way to the committer: packed into entries, refused where the feed is
//! not what it was declared to be. Durable before the answer; told again, they replace.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::prepare::Pending;
use super::queue::{Decided, Delivery, Job};
use super::{Ingest, SubmitError};
use crate::domain::limits::{
    LINES_MAX, STOPS_MAX, TAP_FEEDS_MAX, TAP_FEEDS_PER_OPERATOR_MAX, TAP_SCOPES_MAX,
};
use crate::domain::{
    Entry, LineId, LocalDay, Position, StopId, TapBatch, TapCount, TapFeed, TapScope, UtcMillis,
};
use crate::ledger::State;

/// What became of accepted tap counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapsAccepted {
    /// For each count the place of its entry in the journal.
    pub positions: Vec<Position>,
    /// When they became durable; 0 if there were none.
    pub received: UtcMillis,
}

/// Why tap counts are not recorded. None of them is, unless it is said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TapsError {
    /// They cannot be stored now; those of a call that were stored nevertheless can be told
    /// again without harm.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// So many wait for the store, which is still opening, that no more are taken.
    #[error("the store is still opening")]
    StoreOpening,
    /// The feed was declared otherwise before.
    #[error("the feed was declared otherwise before")]
    FeedDiffers {
        /// What it was declared to be.
        recorded: Box<TapFeed>,
    },
    /// More than `TAP_FEEDS_MAX`.
    #[error("there are too many feeds")]
    TooManyFeeds,
    /// More than `TAP_FEEDS_PER_OPERATOR_MAX`.
    #[error("there are too many feeds of the operator")]
    TooManyFeedsOfOperator,
    /// More than `TAP_SCOPES_MAX` of one feed, or more lines or stops than are told apart.
    #[error("there are too many lines or stops")]
    TooManyScopes,
}

impl Ingest {
    /// Records tap counts of one feed, in their order. Their scopes must be of its grain.
    pub async fn record_taps(
        &self,
        feed: &TapFeed,
        counts: Vec<TapCount>,
    ) -> Result<TapsAccepted, TapsError> {
        let batches = TapBatch::pack(feed, counts);
        check(&self.shared.ledger.read(), feed, &batches)?;
        if batches.is_empty() {
            return Ok(TapsAccepted {
                positions: Vec::new(),
                received: UtcMillis(0),
            });
        }
        if !self.shared.ledger.has_room_for_taps() {
            return Err(TapsError::StoreOpening);
        }
        let cells: Vec<usize> = batches.iter().map(|batch| batch.cells().len()).collect();
        let room = self.shared.queue.reserve(batches.len())?;
        let entries = batches
            .into_iter()
            .map(|batch| Pending::new(Entry::TapCounts(Box::new(batch))));
        let (answer, result) = oneshot::channel();
        let entries = entries.collect();
        room.send(Job { entries, answer })?;
        let answer = result.await.map(Delivery::take);
        let decided = answer.unwrap_or(Err(SubmitError::Poisoned))?;
        let mut positions = Vec::new();
        let mut received = UtcMillis(0);
        for (decided, cells) in decided.into_iter().zip(cells) {
            let Decided::Committed {
                position, stamp, ..
            } = decided
            else {
                // Another declaration came first, a moment ago.
                check(&self.shared.ledger.read(), feed, &[])?;
                return Err(TapsError::TooManyFeeds);
            };
            positions.extend(std::iter::repeat_n(position, cells));
            received = stamp;
        }
        Ok(TapsAccepted {
            positions,
            received,
        })
    }

    /// The first service day of which tap counts are taken.
    pub fn taps_kept_from(&self, now: UtcMillis) -> LocalDay {
        let today = now.hour().map_or(LocalDay(0), |hour| hour.local_day());
        let oldest = LocalDay(today.0.saturating_sub_unsigned(self.shared.tap_days));
        let removed = self.shared.ledger.read().taps().kept_from();
        removed.map_or(oldest, |from| from.max(oldest))
    }
}

fn check(state: &State, feed: &TapFeed, batches: &[TapBatch]) -> Result<(), TapsError> {
    let book = state.taps();
    let known = book.find(&feed.id).map(|(_, known)| known);
    // No operator takes the room of all others.
    let is_own = |other: &&TapFeed| other.operator == feed.operator;
    let own = book.feeds().iter().map(|other| other.feed()).filter(is_own);
    match known {
        Some(known) if known.feed() != feed => {
            let recorded = Box::new(known.feed().clone());
            return Err(TapsError::FeedDiffers { recorded });
        }
        None if TAP_FEEDS_MAX <= book.feeds().len() => return Err(TapsError::TooManyFeeds),
        None if TAP_FEEDS_PER_OPERATOR_MAX <= own.count() => {
            return Err(TapsError::TooManyFeedsOfOperator);
        }
        _ => {}
    }
    let dictionary = state.dictionary();
    let scopes = batches.iter().flat_map(TapBatch::scopes);
    let is_new = |scope: &&TapScope| known.is_none_or(|known| !known.knows(scope, dictionary));
    let new: BTreeSet<&TapScope> = scopes.filter(is_new).collect();
    let lines: BTreeSet<&LineId> = new.iter().filter_map(|scope| scope.line()).collect();
    let stops: BTreeSet<&StopId> = new.iter().filter_map(|scope| scope.stop()).collect();
    let lacks_line = |line: &&&LineId| dictionary.line_number(line.as_str()).is_none();
    let lacks_stop = |stop: &&&StopId| dictionary.stop_number(stop.as_str()).is_none();
    let has_room = known.map_or(0, |known| known.scopes().len()) + new.len() <= TAP_SCOPES_MAX
        && dictionary.lines() + lines.iter().filter(lacks_line).count() <= LINES_MAX + 1
        && dictionary.stops() + stops.iter().filter(lacks_stop).count() <= STOPS_MAX + 1;
    has_room.then_some(()).ok_or(TapsError::TooManyScopes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::taps::{TapGrain, TapSlot, Taps};
    use crate::domain::testing::feed_of_gvb;
    use crate::ledger::Applied;
    use crate::ledger::taps::TapsApplied;
    use crate::ledger::testing::{EPOCH, NOON};

    fn batches(feed: &TapFeed, scopes: impl Iterator<Item = TapScope>) -> Vec<TapBatch> {
        let count = |scope| TapCount {
            scope,
            slot: TapSlot {
                day: LocalDay::parse("2026-10-24").expect("a date"),
                slot: 0,
            },
            taps: Taps::new(10).expect("few"),
        };
        TapBatch::pack(feed, scopes.map(count))
    }

    fn line(number: usize) -> LineId {
        format!("GVB:{number}").parse().expect("a line")
    }

    fn stop(number: usize) -> StopId {
        format!("stop:{number}").parse().expect("a stop")
    }

    #[test]
    fn feed_beyond_those_that_there_may_be_is_refused_and_no_fold_takes_it() {
        let mut state = State::new(EPOCH);
        let feed_of = |operator: usize, number: usize| TapFeed {
            operator: format!("OP{operator}").parse().expect("a code"),
            grain: TapGrain::Operator,
            ..feed_of_gvb(&format!("feed-{number}"))
        };
        let told = |feed: &TapFeed| batches(feed, std::iter::once(TapScope::Operator));
        let mut fold = |feed: &TapFeed| {
            let entry = Entry::TapCounts(Box::new(told(feed).remove(0)));
            let applied = state.apply(state.position().next(), NOON, &entry);
            let checked = |feed: &TapFeed| check(&state, feed, &told(feed));
            let next = feed_of(999, 999);
            (applied, checked(feed), checked(&next))
        };
        for number in 0..TAP_FEEDS_MAX {
            let feed = feed_of(number / TAP_FEEDS_PER_OPERATOR_MAX, number);
            let (applied, again, next) = fold(&feed);
            assert!(matches!(applied, Applied::Taps(TapsApplied::Told { .. })));
            assert_eq!(again, Ok(()));
            let is_last = number + 1 == TAP_FEEDS_MAX;
            assert_eq!(next.err(), is_last.then_some(TapsError::TooManyFeeds));
        }
        let (applied, ..) = fold(&feed_of(999, 999));
        assert!(matches!(applied, Applied::Taps(TapsApplied::FeedRefused)));
    }

    #[test]
    fn more_scopes_lines_or_stops_than_there_may_be_are_refused() {
        let state = State::new(EPOCH);
        let check_all = |grain: TapGrain, scopes: &dyn Fn(usize) -> TapScope, max: usize| {
            let feed = TapFeed {
                grain,
                ..feed_of_gvb("feed")
            };
            let mut told = batches(&feed, (0..max).map(scopes));
            assert_eq!(check(&state, &feed, &told), Ok(()), "{grain:?}");
            told.extend(batches(&feed, std::iter::once(scopes(max))));
            let refused = check(&state, &feed, &told);
            assert_eq!(refused, Err(TapsError::TooManyScopes), "{grain:?}");
        };
        let pair = |number| TapScope::LineStop(line(number % 512), stop(number / 512));
        check_all(TapGrain::LineStop, &pair, TAP_SCOPES_MAX);
        check_all(
            TapGrain::Line,
            &|number| TapScope::Line(line(number)),
            LINES_MAX,
        );
        check_all(
            TapGrain::Stop,
            &|number| TapScope::Stop(stop(number)),
            STOPS_MAX,
        );
    }
}
