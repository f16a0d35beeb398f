//! Whose question is counted next: pure arithmetic.
//!
//! Questions are counted one at a time. Tokens take turns by the time that was spent on them
//! lately. Of one token's, the question comes next that waits longest for what it costs (highest
//! response ratio next, Brinch Hansen 1971): a cheap one never waits for all dear ones, and none
//! is left for good, as its ratio rises while it waits.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

/// Who asked for a question first: the number of a token; `None` for all who have none.
pub(super) type Asker = Option<u32>;

/// After so long half of what was spent on somebody is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(2);
/// Less than this is forgotten altogether, in seconds.
const SPENT_SECONDS_MIN: f64 = 1e-9;
/// What each is taken to have waited and to cost at least: of those that wait for the same change
/// the cheapest comes first.
const LEAST: Duration = Duration::from_micros(100);

/// The time that was spent on each asker lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Spent(HashMap<Asker, f64>);

/// A question that waits to be counted.
pub(super) struct Waiting<T> {
    /// Which.
    pub what: T,
    /// Whose.
    pub asker: Asker,
    /// For how long.
    pub waited: Duration,
    /// How long it took when it was counted last; nothing if it never was.
    pub cost: Duration,
}

/// Those that wait.
pub(super) struct FairQueue<T> {
    spent: Spent,
    /// None is empty; the next stands last.
    waiting: HashMap<Asker, Vec<Waiting<T>>>,
}

// === impl Spent ===

impl Spent {
    /// So much was spent on somebody.
    pub fn add(&mut self, asker: Asker, took: Duration) {
        *self.0.entry(asker).or_default() += took.as_secs_f64();
    }

    /// So much time passed.
    pub fn forget(&mut self, passed: Duration) {
        let kept = (-passed.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        self.0.retain(|_, seconds| {
            *seconds *= kept;
            SPENT_SECONDS_MIN < *seconds
        });
    }

    fn on(&self, asker: Asker) -> f64 {
        self.0.get(&asker).copied().unwrap_or(0.0)
    }
}

// === impl FairQueue ===

impl<T> FairQueue<T> {
    /// Of these, after so much was spent.
    pub fn new(waiting: Vec<Waiting<T>>, spent: Spent) -> Self {
        let mut by_asker = HashMap::<Asker, Vec<Waiting<T>>>::new();
        for one in waiting {
            by_asker.entry(one.asker).or_default().push(one);
        }
        for waiting in by_asker.values_mut() {
            waiting.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
        }
        Self {
            spent,
            waiting: by_asker,
        }
    }

    /// Whose turn it is.
    pub fn next(&mut self) -> Option<Waiting<T>> {
        let askers = self.waiting.iter();
        let next = askers.min_by(|one, other| self.before(*one, *other));
        let asker = *next?.0;
        let waiting = self.waiting.get_mut(&asker)?;
        let next = waiting.pop();
        if waiting.is_empty() {
            self.waiting.remove(&asker);
        }
        next
    }

    /// So much was spent on somebody meanwhile.
    pub fn spend(&mut self, asker: Asker, took: Duration) {
        self.spent.add(asker, took);
    }

    /// Those whose turn did not come.
    pub fn left(self) -> impl Iterator<Item = Waiting<T>> {
        self.waiting.into_values().flatten()
    }

    fn before(
        &self,
        (one, its): (&Asker, &Vec<Waiting<T>>),
        (other, others): (&Asker, &Vec<Waiting<T>>),
    ) -> Ordering {
        let ratio = |waiting: &Vec<Waiting<T>>| waiting.last().map_or(0.0, Waiting::ratio);
        let by_spent = self.spent.on(*one).total_cmp(&self.spent.on(*other));
        by_spent.then(ratio(others).total_cmp(&ratio(its)))
    }
}

impl<T> Waiting<T> {
    /// How often its cost it waited.
    fn ratio(&self) -> f64 {
        (self.waited + LEAST).as_secs_f64() / self.cost.max(LEAST).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn waiting(what: u32, asker: u32, waited_ms: u32, cost_ms: u32) -> Waiting<u32> {
        Waiting {
            what,
            asker: Some(asker),
            waited: MS * waited_ms,
            cost: MS * cost_ms,
        }
    }

    fn order(waiting: Vec<Waiting<u32>>) -> Vec<u32> {
        let mut turns = FairQueue::new(waiting, Spent::default());
        let next = || {
            let next = turns.next()?;
            turns.spend(next.asker, next.cost);
            Some(next.what)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn cheap_and_new_ones_come_before_dear_ones_that_wait_for_the_same() {
        let same = [(1, 50), (2, 250), (3, 0), (4, 1)];
        let same = same.map(|(what, cost)| waiting(what, 7, 100, cost));
        assert_eq!(order(same.into()), [3, 4, 1, 2]);
        let now = [(1, 50), (2, 250), (3, 1)].map(|(what, cost)| waiting(what, 7, 0, cost));
        assert_eq!(order(now.into()), [3, 1, 2]);
    }

    #[test]
    fn dear_one_that_waited_for_long_comes_before_a_cheap_one_that_did_not() {
        let both = vec![waiting(1, 7, 10_000, 250), waiting(2, 7, 20, 1)];
        assert_eq!(order(both), [1, 2]);
    }

    #[test]
    fn tokens_take_turns_however_many_questions_each_has() {
        let mut all: Vec<_> = (0..50).map(|what| waiting(what, 1, 60_000, 250)).collect();
        all.extend((100..103).map(|what| waiting(what, 2, 0, 250)));
        let order = order(all);
        let last = order.iter().rposition(|what| 100 <= *what);
        assert!(last.is_some_and(|last| last < 6), "{order:?}");
    }

    #[test]
    fn who_was_served_lately_comes_later_until_it_is_forgotten() {
        let first = |passed: Duration| {
            let mut spent = Spent::default();
            spent.add(Some(1), 250 * MS);
            spent.forget(passed);
            let both = vec![waiting(1, 1, 100, 1), waiting(2, 2, 100, 2)];
            let mut turns = FairQueue::new(both, spent);
            turns.next().expect("both wait").what
        };
        assert_eq!(first(Duration::ZERO), 2);
        assert_eq!(first(HALF_LIFE), 2);
        assert_eq!(first(HALF_LIFE * 60), 1);
    }

    #[test]
    fn what_is_left_is_all_that_had_no_turn() {
        let all = (0..5).map(|what| waiting(what, what % 2, 0, 1)).collect();
        let mut turns = FairQueue::new(all, Spent::default());
        let mut seen: Vec<u32> = (0..2)
            .filter_map(|_| turns.next())
            .map(|one| one.what)
            .collect();
        seen.extend(turns.left().map(|one| one.what));
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }
}
