//! Which feeds told taps, as a set: made anew for every count that is added, and so without
//! memory of its own.

use crate::domain::limits::TAP_FEEDS_MAX;
use crate::domain::taps::Refusals;

const BITS: usize = u64::BITS as usize;

const _: () = assert!(TAP_FEEDS_MAX <= 4 * BITS);

/// Places in a list of feeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FeedSet([u64; 4]);

/// Who told taps, and what they say of refused ones: known only if all of them say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ToldBy {
    pub feeds: FeedSet,
    pub refusals: Refusals,
}

impl FeedSet {
    /// The feed at this place alone. There are no more places than feeds.
    pub fn one(place: usize) -> Self {
        let mut words = [0; 4];
        words[place / BITS] = 1 << (place % BITS);
        Self(words)
    }

    /// Whether the feed at a place is one of them.
    pub fn contains(self, place: usize) -> bool {
        self.0[place / BITS] >> (place % BITS) & 1 == 1
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut words = self.0;
        for (word, other) in words.iter_mut().zip(other.0) {
            *word |= other;
        }
        Self(words)
    }

    /// The places, rising.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..)
            .zip(self.0)
            .flat_map(|(number, mut word): (usize, u64)| {
                std::iter::from_fn(move || {
                    let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                    word &= word - 1;
                    Some(number * BITS + bit)
                })
            })
    }

    /// The same feeds by their places among some, which hold all of them.
    pub(super) fn among(self, some: Self) -> Self {
        let places = (0..).zip(some.places());
        places
            .filter(|(_, place)| self.contains(*place))
            .fold(Self::default(), |all, (place, _)| all.and(Self::one(place)))
    }
}

impl ToldBy {
    /// What is known where other taps come to some.
    pub fn together(some: Option<Self>, others: Self) -> Self {
        let Some(some) = some else { return others };
        Self {
            feeds: some.feeds.and(others.feeds),
            refusals: if some.refusals == others.refusals {
                some.refusals
            } else {
                Refusals::Unknown
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_keep_their_order_among_fewer() {
        let set = |places: &[usize]| {
            let places = places.iter();
            places.fold(FeedSet::default(), |all, place| {
                all.and(FeedSet::one(*place))
            })
        };
        let used = set(&[3, 64, 130, 255]);
        assert_eq!(used.places().collect::<Vec<_>>(), [3, 64, 130, 255]);
        assert_eq!(set(&[64, 255]).among(used), set(&[1, 3]));
        assert_eq!(used.among(used), set(&[0, 1, 2, 3]));
        assert_eq!(FeedSet::default().among(used), FeedSet::default());
    }
}
