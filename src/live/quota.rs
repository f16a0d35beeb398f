//! How many different questions are watched with each token, so that no token takes every place:
//! whoever watches what it watches already, or what others do, costs nothing more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::WatchError;
use super::token::StreamDigest;
use crate::domain::limits::{WATCHED_QUESTIONS_PER_TOKEN_MAX, WATCHED_RATES_PER_TOKEN_MAX};

/// Counts them. Clones count together.
#[derive(Clone, Default)]
pub(super) struct TokenQuotas(Arc<Mutex<HashMap<u32, Questions>>>);

/// Of one token; never empty.
type Questions = HashMap<StreamDigest, Question>;

struct Question {
    watchers: usize,
    is_rated: bool,
}

/// Who watches a question. Dropping it is to watch it no more.
pub(super) struct QuotaSlot {
    asked: TokenQuotas,
    /// `None` is counted nowhere: where nobody has a token, all are one and have all places.
    token: Option<u32>,
    stream: StreamDigest,
}

// === impl Asked ===

impl TokenQuotas {
    /// One more watcher with this token of this question, with rates or without. Never waits.
    pub fn ask(
        &self,
        token: Option<u32>,
        stream: StreamDigest,
        is_rated: bool,
    ) -> Result<QuotaSlot, WatchError> {
        if let Some(token) = token {
            let mut tokens = self.tokens();
            if let Some(error) = tokens
                .get(&token)
                .and_then(|known| refusal(known, stream, is_rated))
            {
                return Err(error);
            }
            let known = tokens.entry(token).or_default().entry(stream);
            let question = known.or_insert(Question {
                watchers: 0,
                is_rated,
            });
            question.watchers += 1;
        }
        Ok(QuotaSlot {
            asked: self.clone(),
            token,
            stream,
        })
    }

    /// The tokens with which a question is watched.
    pub fn tokens_of(&self, stream: StreamDigest) -> Vec<u32> {
        let tokens = self.tokens();
        let watching = tokens
            .iter()
            .filter(|(_, known)| known.contains_key(&stream));
        watching.map(|(token, _)| *token).collect()
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<u32, Questions>> {
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

// === impl Asking ===

impl QuotaSlot {
    /// Of which question.
    pub fn stream(&self) -> StreamDigest {
        self.stream
    }
}

impl Drop for QuotaSlot {
    fn drop(&mut self) {
        let Some(token) = self.token else {
            return;
        };
        let mut tokens = self.asked.tokens();
        let Some(known) = tokens.get_mut(&token) else {
            return;
        };
        if let Some(question) = known.get_mut(&self.stream) {
            question.watchers -= 1;
            if question.watchers == 0 {
                known.remove(&self.stream);
            }
        }
        if known.is_empty() {
            tokens.remove(&token);
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
        assert!(asked.tokens().is_empty());
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
        assert_eq!(asked.tokens()[&1].len(), 1);
        drop(one);
        assert!(asked.tokens().is_empty());
    }
}
