//! Which questions are watched with each token, and by all who have none, and how many different
//! ones may be, so that no token takes every place: to watch what it watches already costs it nothing
//! more. What others watch costs it a place all the same: they may leave it there alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::WatchError;
use super::fair_queue::Asker;
use super::token::StreamDigest;
use crate::domain::limits::{WATCHED_QUESTIONS_PER_TOKEN_MAX, WATCHED_RATES_PER_TOKEN_MAX};

/// Counts them. Clones count together.
#[derive(Clone, Default)]
pub(super) struct TokenQuotas(Arc<Mutex<HashMap<Asker, Questions>>>);

/// Of one asker; never empty.
type Questions = HashMap<StreamDigest, Question>;

struct Question {
    watchers: usize,
    is_rated: bool,
}

/// Who watches a question. Dropping it is to watch it no more.
pub(super) struct QuotaSlot {
    asked: TokenQuotas,
    asker: Asker,
    stream: StreamDigest,
}

// === impl TokenQuotas ===

impl TokenQuotas {
    /// One more watcher of this question, with rates or without. Those without a token have no
    /// bound of their own: where nobody has one, all are one and have all places. Never waits.
    pub fn ask(
        &self,
        asker: Asker,
        stream: StreamDigest,
        is_rated: bool,
    ) -> Result<QuotaSlot, WatchError> {
        let mut askers = self.askers();
        let bounded = askers.get(&asker).filter(|_| asker.is_some());
        if let Some(error) = bounded.and_then(|known| refusal(known, stream, is_rated)) {
            return Err(error);
        }
        let known = askers.entry(asker).or_default().entry(stream);
        let question = known.or_insert(Question {
            watchers: 0,
            is_rated,
        });
        question.watchers += 1;
        drop(askers);
        Ok(QuotaSlot {
            asked: self.clone(),
            asker,
            stream,
        })
    }

    /// Whether somebody watches a question with this token, or without any.
    pub fn is_watched_by(&self, asker: Asker, stream: StreamDigest) -> bool {
        let askers = self.askers();
        let known = askers.get(&asker);
        known.is_some_and(|known| known.contains_key(&stream))
    }

    /// Who watches a question.
    pub fn askers_of(&self, stream: StreamDigest) -> Vec<Asker> {
        let askers = self.askers();
        let watching = askers
            .iter()
            .filter(|(_, known)| known.contains_key(&stream));
        watching.map(|(asker, _)| *asker).collect()
    }

    fn askers(&self) -> MutexGuard<'_, HashMap<Asker, Questions>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a question is one too many beside those that are watched.
fn refusal(known: &Questions, stream: StreamDigest, is_rated: bool) -> Option<WatchError> {
    if known.contains_key(&stream) {
        return None;
    }
    if WATCHED_QUESTIONS_PER_TOKEN_MAX <= known.len() {
        return Some(WatchError::TooManyQuestions);
    }
    let rated = || known.values().filter(|known| known.is_rated).count();
    let is_full = is_rated && WATCHED_RATES_PER_TOKEN_MAX <= rated();
    is_full.then_some(WatchError::TooManyRated)
}

// === impl QuotaSlot ===

impl QuotaSlot {
    /// Of which question.
    pub fn stream(&self) -> StreamDigest {
        self.stream
    }
}

impl Drop for QuotaSlot {
    fn drop(&mut self) {
        let mut askers = self.asked.askers();
        let Some(known) = askers.get_mut(&self.asker) else {
            return;
        };
        if let Some(question) = known.get_mut(&self.stream) {
            question.watchers -= 1;
            if question.watchers == 0 {
                known.remove(&self.stream);
            }
        }
        if known.is_empty() {
            askers.remove(&self.asker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        asked: &TokenQuotas,
        token: u32,
        number: usize,
        is_rated: bool,
    ) -> Result<QuotaSlot, WatchError> {
        let number = u64::try_from(number).expect("a small number");
        asked.ask(Some(token), StreamDigest::testing(number), is_rated)
    }

    #[test]
    fn one_token_has_so_many_different_questions_and_others_as_many() {
        let asked = TokenQuotas::default();
        let open = |number| ask(&asked, 1, number, false).expect("there is room");
        let mut held: Vec<_> = (0..WATCHED_QUESTIONS_PER_TOKEN_MAX).map(open).collect();
        let further = WATCHED_QUESTIONS_PER_TOKEN_MAX;
        let refused = ask(&asked, 1, further, false).err();
        assert_eq!(refused, Some(WatchError::TooManyQuestions));
        assert!(ask(&asked, 1, 0, false).is_ok(), "it has this one already");
        assert!(ask(&asked, 2, further, false).is_ok(), "another token");
        held.pop();
        assert!(ask(&asked, 1, further, false).is_ok());
        drop(held);
        assert!(asked.askers().is_empty());
    }

    #[test]
    fn questions_with_rates_have_a_bound_of_their_own() {
        let asked = TokenQuotas::default();
        let open = |number| ask(&asked, 1, number, true).expect("there is room");
        let held: Vec<_> = (0..WATCHED_RATES_PER_TOKEN_MAX).map(open).collect();
        let further = WATCHED_RATES_PER_TOKEN_MAX;
        let refused = ask(&asked, 1, further, true).err();
        assert_eq!(refused, Some(WatchError::TooManyRated));
        assert!(ask(&asked, 1, further, false).is_ok(), "without rates");
        assert!(ask(&asked, 1, 0, true).is_ok(), "it has this one already");
        assert!(ask(&asked, 2, further, true).is_ok(), "another token");
        drop(held);
        assert!(ask(&asked, 1, further, true).is_ok());
    }

    #[test]
    fn question_is_counted_until_its_last_watcher_goes() {
        let asked = TokenQuotas::default();
        let one = ask(&asked, 1, 0, false);
        drop(ask(&asked, 1, 0, false));
        assert_eq!(asked.askers()[&Some(1)].len(), 1);
        drop(one);
        assert!(asked.askers().is_empty());
    }

    #[test]
    fn those_without_a_token_are_known_and_have_no_bound() {
        let asked = TokenQuotas::default();
        let ask = |number| asked.ask(None, StreamDigest::testing(number), true);
        let further = u64::try_from(2 * WATCHED_QUESTIONS_PER_TOKEN_MAX).expect("a small number");
        let held: Vec<_> = (0..further).map(ask).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(asked.askers_of(StreamDigest::testing(0)), [None]);
        drop(held);
        assert!(asked.askers().is_empty());
    }
}
