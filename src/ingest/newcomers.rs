//! Which reports an edition may count, by where they came from: of one address prefix, operator
//! and day only those of the first few installations that told no card.
//!
//! Anybody can invent installations; addresses are harder to come by. What is remembered is
//! hashed under a key of the day, lives in memory, and is forgotten with the day or a restart.
//! The day is that on which reports come in, so that nobody gets around it by dates. Of one prefix
//! only so many operators are remembered, so that no prefix takes the room of all others.

use std::collections::HashMap;
use std::hash::{Hash, Hasher as _};
use std::sync::{Mutex, PoisonError};

use siphasher::sip::SipHasher13;

use crate::domain::limits::{
    NEW_INSTALLATIONS_PER_PREFIX_MAX, NEWCOMER_OPERATORS_PER_PREFIX_MAX, NEWCOMER_PREFIXES_MAX,
};
use crate::domain::{LocalDay, OperatorCode, Origin, Pseudonym};

/// The installations of today, by prefix and operator. Shared by all tasks.
#[derive(Default)]
pub(super) struct Newcomers(Mutex<Today>);

#[derive(Default)]
struct Today {
    /// `None` before the first report.
    day: Option<LocalDay>,
    key: [u8; 16],
    /// The first installations of each prefix and operator; nothing but hashes.
    admitted: HashMap<u64, [Option<u64>; NEW_INSTALLATIONS_PER_PREFIX_MAX]>,
    /// For how many operators each prefix stands in `admitted`, by its hash.
    operators: HashMap<u64, usize>,
}

impl Newcomers {
    /// Whether a report of an installation, without a card, comes from one more than its
    /// prefix may have. An installation that was among the first stays so for the day.
    pub fn are_too_many(
        &self,
        origin: Origin,
        operator: Option<&OperatorCode>,
        installation: &Pseudonym,
    ) -> bool {
        let mut today = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if today.has_passed(origin.day) && !today.begin(origin.day) {
            return true;
        }
        let place = today.hash(&(origin.prefix, operator));
        let installation = today.hash(&installation.0);
        if !today.admitted.contains_key(&place) && !today.take_room(origin) {
            return true;
        }
        let admitted = today.admitted.entry(place).or_default();
        let room = admitted
            .iter_mut()
            .find(|known| known.is_none_or(|known| known == installation));
        match room {
            Some(room) => {
                *room = Some(installation);
                false
            }
            None => true,
        }
    }
}

impl Today {
    /// Whether another day is there. A clock that goes back a little begins none; by more than
    /// a day, it had been ahead, and the day that it was ahead to would last until it is there.
    fn has_passed(&self, day: LocalDay) -> bool {
        self.day
            .is_none_or(|today| today < day || day.0 + 1 < today.0)
    }

    /// Forgets the day before. False if the system gives no random bytes for a key.
    fn begin(&mut self, day: LocalDay) -> bool {
        let mut key = [0; 16];
        if getrandom::fill(&mut key).is_err() {
            return false;
        }
        *self = Self {
            day: Some(day),
            key,
            admitted: HashMap::new(),
            operators: HashMap::new(),
        };
        true
    }

    /// Takes room for one more operator of a prefix. False if there is none.
    fn take_room(&mut self, origin: Origin) -> bool {
        if NEWCOMER_PREFIXES_MAX <= self.admitted.len() {
            return false;
        }
        let prefix = self.hash(&origin.prefix);
        let operators = self.operators.entry(prefix).or_default();
        let has_room = *operators < NEWCOMER_OPERATORS_PER_PREFIX_MAX;
        *operators += usize::from(has_room);
        has_room
    }

    fn hash(&self, value: &impl Hash) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        value.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AddressPrefix;

    fn origin(place: u8, day: i32) -> Origin {
        Origin {
            prefix: AddressPrefix::V4([192, 0, place]),
            day: LocalDay(20_000 + day),
        }
    }

    fn are_too_many(newcomers: &Newcomers, from: Origin, operator: &str, number: u8) -> bool {
        let operator = operator.parse().expect("a code");
        newcomers.are_too_many(from, Some(&operator), &Pseudonym([number; 16]))
    }

    #[test]
    fn first_three_installations_of_a_prefix_and_operator_count_for_the_day() {
        let newcomers = Newcomers::default();
        let check = |place, day, operator, number, expected| {
            let found = are_too_many(&newcomers, origin(place, day), operator, number);
            assert_eq!(found, expected, "{place} {day} {operator} {number}");
        };
        for number in 1..=3 {
            check(2, 0, "GVB", number, false);
        }
        check(2, 0, "GVB", 4, true);
        check(2, 0, "GVB", 2, false);
        check(2, 0, "HTM", 4, false);
        check(3, 0, "GVB", 4, false);
        // A clock that goes back does not begin another day.
        check(2, -1, "GVB", 5, true);
        check(2, 1, "GVB", 4, false);
    }

    #[test]
    fn prefix_that_names_many_operators_leaves_the_room_to_others() {
        let newcomers = Newcomers::default();
        for operator in 0..2 * NEWCOMER_OPERATORS_PER_PREFIX_MAX {
            let code = format!("ZZ{operator}");
            let expected = NEWCOMER_OPERATORS_PER_PREFIX_MAX <= operator;
            assert_eq!(
                are_too_many(&newcomers, origin(2, 0), &code, 1),
                expected,
                "{code}"
            );
        }
        let remembered = newcomers.0.lock().expect("not poisoned").admitted.len();
        assert_eq!(remembered, NEWCOMER_OPERATORS_PER_PREFIX_MAX);
        assert!(!are_too_many(&newcomers, origin(2, 0), "ZZ0", 2));
        assert!(!are_too_many(&newcomers, origin(3, 0), "ZZ999", 1));
    }

    #[test]
    fn day_that_the_clock_was_ahead_to_for_a_moment_ends_with_that_moment() {
        let newcomers = Newcomers::default();
        for number in 1..=3 {
            assert!(!are_too_many(&newcomers, origin(2, 3_650), "GVB", number));
        }
        for day in 0..3 {
            for number in 4..=6 {
                assert!(!are_too_many(&newcomers, origin(2, day), "GVB", number));
            }
            assert!(are_too_many(&newcomers, origin(2, day), "GVB", 7));
        }
    }

    #[test]
    fn what_does_not_fit_in_memory_does_not_count() {
        let newcomers = Newcomers::default();
        assert!(!are_too_many(&newcomers, origin(2, 0), "GVB", 1));
        let mut today = newcomers.0.lock().expect("not poisoned");
        let fillers = (0..).take(NEWCOMER_PREFIXES_MAX - 1);
        today
            .admitted
            .extend(fillers.map(|number| (number, Default::default())));
        drop(today);
        assert!(are_too_many(&newcomers, origin(9, 0), "GVB", 1));
        assert!(!are_too_many(&newcomers, origin(2, 0), "GVB", 2));
        assert!(!are_too_many(&newcomers, origin(9, 1), "GVB", 1));
    }
}
