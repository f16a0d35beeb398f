//! What words were found to mean lately: most reports name the same lines and stops, and to
//! find them anew takes a third of the work that a report is.
//!
//! A network never changes, so what was found stays true, as long as the day lies where the
//! same lines run. Words that mean nothing are not kept: they may be anything.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::Equivalent;
use quick_cache::sync::Cache;

use super::model::Validity;
use super::resolve::{Resolved, Words};
use crate::domain::LocalDay;
use crate::domain::limits::{RESOLVED_KEPT_MAX, RESOLVED_WORDS_BYTES_MAX};
use crate::domain::taxonomy::{Mode, Resolution};

/// What was found lately. When it is full, what nobody asked for again makes room.
pub(super) struct Lately(Cache<Key, Found>);

/// What was found, and on which days the same would be.
#[derive(Clone)]
struct Found {
    days: Days,
    resolved: Arc<Resolved>,
}

/// Some days without a gap, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Days {
    from: LocalDay,
    until: LocalDay,
}

#[derive(PartialEq, Eq)]
struct Key {
    operator: Box<str>,
    line: Box<str>,
    stop: Box<str>,
    mode: Option<Mode>,
}

impl Lately {
    pub(super) fn new() -> Self {
        Self(Cache::new(RESOLVED_KEPT_MAX))
    }

    /// What the words were found to mean, if that is known and holds on their day.
    pub(super) fn recall(&self, words: &Words<'_>) -> Option<Arc<Resolved>> {
        let found = self.0.get(words)?;
        found.days.contains(words.day).then_some(found.resolved)
    }

    /// Keeps what the words were found to mean on these days.
    pub(super) fn keep(&self, words: &Words<'_>, days: Days, resolved: &Arc<Resolved>) {
        let Words {
            operator,
            line,
            stop,
            mode,
            day: _,
        } = *words;
        let bytes = operator.len() + line.len() + stop.len();
        let found = [resolved.line.resolution, resolved.stop.resolution];
        if RESOLVED_WORDS_BYTES_MAX < bytes || found.contains(&Some(Resolution::Unresolved)) {
            return;
        }
        let key = Key {
            operator: operator.into(),
            line: line.into(),
            stop: stop.into(),
            mode,
        };
        let resolved = Arc::clone(resolved);
        self.0.insert(key, Found { days, resolved });
    }
}

impl Days {
    /// Every day there is.
    pub(super) const ALL: Self = Self {
        from: LocalDay(i32::MIN),
        until: LocalDay(i32::MAX),
    };

    /// Those of these days, around one of them, on which a line runs as it does on that one: all
    /// or none.
    pub(super) fn like(self, day: LocalDay, validity: Validity) -> Self {
        let Self { from, until } = self;
        let first = validity.from.unwrap_or(LocalDay(i32::MIN));
        let last = validity.until.unwrap_or(LocalDay(i32::MAX));
        if day < first {
            let until = until.min(LocalDay(first.0 - 1));
            Self { from, until }
        } else if last < day {
            let from = from.max(LocalDay(last.0 + 1));
            Self { from, until }
        } else {
            Self {
                from: from.max(first),
                until: until.min(last),
            }
        }
    }

    fn contains(self, day: LocalDay) -> bool {
        self.from <= day && day <= self.until
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&*self.operator, &*self.line, &*self.stop, self.mode).hash(state);
    }
}

/// Words are found under what was written; the day is looked at afterwards.
impl Hash for Words<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.operator, self.line, self.stop, self.mode).hash(state);
    }
}

impl Equivalent<Key> for Words<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        let written = (self.operator, self.line, self.stop, self.mode);
        written == (&*key.operator, &*key.line, &*key.stop, key.mode)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::Network;

    fn validity(from: Option<i32>, until: Option<i32>) -> Validity {
        Validity {
            from: from.map(LocalDay),
            until: until.map(LocalDay),
        }
    }

    #[test]
    fn same_days_are_those_between_the_ends_of_lines() {
        let lines = [
            validity(Some(10), Some(20)),
            validity(None, Some(12)),
            validity(Some(18), None),
        ];
        let days = |day| {
            let like = |days: Days, validity| days.like(LocalDay(day), validity);
            let days = lines.into_iter().fold(Days::ALL, like);
            (days.from.0, days.until.0)
        };
        assert_eq!(days(9), (i32::MIN, 9));
        assert_eq!(days(10), (10, 12));
        assert_eq!(days(15), (13, 17));
        assert_eq!(days(20), (18, 20));
        assert_eq!(days(21), (21, i32::MAX));
    }

    #[test]
    fn words_that_mean_nothing_are_not_kept() {
        let network = Network::built_in();
        let mut words = Words {
            operator: "GVB",
            line: "10",
            stop: "",
            mode: None,
            day: LocalDay(14_000),
        };
        network.resolve(&words);
        assert!(network.lately.recall(&words).is_some());
        words.stop = "where my aunt lives";
        network.resolve(&words);
        assert!(network.lately.recall(&words).is_none());
    }

    proptest! {
        #[test]
        fn what_is_recalled_is_what_would_be_found(
            asked in prop::collection::vec(
                (
                    prop::sample::select(vec!["", "GVB", "gvb", "HTM"]),
                    prop::sample::select(vec!["", "10", "tram 10", "GVB:10", "2", "52", "99"]),
                    prop::sample::select(vec!["", "Dam", "Keizersgracht", "Leidseplein"]),
                    prop::option::of(prop::sample::select(vec![Mode::Tram, Mode::Metro])),
                    12_000..22_000_i32,
                ),
                1..200,
            ),
        ) {
            let network = Network::built_in();
            for (operator, line, stop, mode, day) in asked {
                let day = LocalDay(day);
                let words = Words { operator, line, stop, mode, day };
                let (anew, days) = network.find_meaning(&words);
                prop_assert!(days.contains(day));
                prop_assert_eq!(&*network.resolve(&words), &anew);
            }
        }
    }
}
