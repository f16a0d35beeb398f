//! Case numbers: what an operator calls an incident by.
//!
//! A case number is an incident's position under a keyed permutation of the numbers of 60
//! bits: ten rounds of a balanced Feistel network, as many as FF1 in NIST SP 800-38G, with
//! SipHash-2-4 as round function. So it is stable, no two incidents share one, nothing is
//! kept for it, and whoever lacks the key learns neither position, time nor order from one,
//! nor can make one up that leads anywhere. The key comes from that of digests, and so lives
//! as long as the instance: with the key file, case numbers are lost.
//!
//! From each restore on there is another key, so that a number of what came after the copy,
//! and is gone, leads to nothing that has its position now.

use std::fmt;
use std::sync::Arc;

use siphasher::sip::SipHasher24;
use zeroize::ZeroizeOnDrop;

use crate::domain::{CaseNumber, Position};

const ROUNDS: u64 = 10;
const HALF_BITS: u32 = CaseNumber::BITS / 2;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;
/// No journal reaches it.
const NOWHERE: Position = Position(CaseNumber::MAX);

/// Turns positions into case numbers and back.
#[derive(Clone, Debug)]
pub struct CaseNumbers(Stretches);

/// Numbers of 60 bits, one for each other under a key.
#[derive(ZeroizeOnDrop)]
pub(super) struct Permutation([u8; 16]);

/// A permutation for each stretch of the record from one restore to the next.
#[derive(Clone, Debug)]
pub(super) struct Stretches(Arc<[(Position, Permutation)]>);

// === impl CaseNumbers ===

impl CaseNumbers {
    pub(super) fn new(stretches: Stretches) -> Self {
        Self(stretches)
    }

    /// Under a key that anybody can guess.
    #[cfg(test)]
    pub fn testing(key: u8) -> Self {
        Self(Stretches::testing(key))
    }

    /// The case number of the incident that was recorded at a position.
    pub fn of(&self, position: Position) -> CaseNumber {
        CaseNumber::new(self.0.of(position).of(position.0))
    }

    /// The position that a case number stands for. A number that was made up stands for one
    /// that no journal reaches.
    pub fn position(&self, case: CaseNumber) -> Position {
        let mut positions = self.0.each(|permutation| {
            let position = Position(permutation.back(case.number()));
            (position, position)
        });
        positions.next().unwrap_or(NOWHERE)
    }
}

// === impl Stretches ===

impl Stretches {
    /// Each with its first position, rising; the first begins with the record.
    pub fn new(first: Permutation, others: impl Iterator<Item = (Position, Permutation)>) -> Self {
        Self(
            std::iter::once((Position(0), first))
                .chain(others)
                .collect(),
        )
    }

    #[cfg(test)]
    pub fn testing(key: u8) -> Self {
        Self::new(Permutation::new([key; 16]), std::iter::empty())
    }

    /// That of a position.
    pub fn of(&self, position: Position) -> &Permutation {
        let before = self.0.partition_point(|(first, _)| *first <= position);
        // The first stretch holds every position from 0 on.
        &self.0[before.max(1) - 1].1
    }

    /// What `read` makes of each permutation, if the position that comes with it lies in its
    /// own stretch.
    pub fn each<T>(&self, read: impl Fn(&Permutation) -> (Position, T)) -> impl Iterator<Item = T> {
        self.0.iter().filter_map(move |(_, permutation)| {
            let (position, found) = read(permutation);
            std::ptr::eq(self.of(position), permutation).then_some(found)
        })
    }
}

// === impl Permutation ===

impl Permutation {
    /// Under a key.
    pub fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// The number for another.
    pub fn of(&self, number: u64) -> u64 {
        let (mut left, mut right) = halves(number);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.round(round, right));
        }
        left << HALF_BITS | right
    }

    /// The number that this one stands for.
    pub fn back(&self, number: u64) -> u64 {
        let (mut left, mut right) = halves(number);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left), left);
        }
        left << HALF_BITS | right
    }

    fn round(&self, round: u64, half: u64) -> u64 {
        let hasher = SipHasher24::new_with_key(&self.0);
        // A half leaves more than enough bits free for the round.
        hasher.hash(&(round << HALF_BITS | half).to_le_bytes()) & HALF_MASK
    }
}

impl fmt::Debug for Permutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permutation(..)")
    }
}

fn halves(number: u64) -> (u64, u64) {
    (number >> HALF_BITS & HALF_MASK, number & HALF_MASK)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_numbers_of_neighbours_have_nothing_in_common() {
        let cases = CaseNumbers::testing(7);
        let numbers: Vec<u64> = (1..=10_000)
            .map(|position| cases.of(Position(position)).number())
            .collect();
        let different: HashSet<_> = numbers.iter().collect();
        assert_eq!(different.len(), numbers.len());
        // Half of the bits change from one to the next, and half go up: a chance of one in a
        // billion to lie outside of six standard deviations.
        let changed: u32 = numbers
            .windows(2)
            .map(|two| (two[0] ^ two[1]).count_ones())
            .sum();
        let bits = f64::from(CaseNumber::BITS) * 9_999.0;
        let expected = bits / 2.0;
        assert!((f64::from(changed) - expected).abs() < 6.0 * (bits / 4.0).sqrt());
        let rising = numbers.windows(2).filter(|two| two[0] < two[1]).count();
        assert!((4_700..5_300).contains(&rising), "{rising}");
    }

    #[test]
    fn key_decides() {
        let one = CaseNumbers::testing(7).of(Position(1));
        assert_ne!(one, CaseNumbers::testing(8).of(Position(1)));
    }

    #[test]
    fn made_up_numbers_lead_beyond_every_journal() {
        let cases = CaseNumbers::testing(7);
        let reached = (0..100_000_u64).filter(|number| {
            let position = cases.position(CaseNumber::new(number << 20));
            position.0 < 1 << 40
        });
        assert!(reached.count() <= 2);
    }

    /// A record restored from a copy that ended before position 11, and again before 21.
    fn restored() -> CaseNumbers {
        let others = [(11, 8), (21, 9)];
        let others = others.map(|(at, key)| (Position(at), Permutation::new([key; 16])));
        CaseNumbers::new(Stretches::new(
            Permutation::new([7; 16]),
            others.into_iter(),
        ))
    }

    #[test]
    fn case_of_what_came_after_the_copy_leads_nowhere_and_those_of_before_stay() {
        let (before, after) = (CaseNumbers::testing(7), restored());
        for position in (1..=30).map(Position) {
            let old = after.position(before.of(position));
            match position.0 {
                ..11 => assert_eq!(old, position),
                // As one that was made up.
                11.. => assert!(1 << 40 < old.0, "{old}"),
            }
            assert_eq!(after.position(after.of(position)), position);
        }
    }

    proptest! {
        #[test]
        fn case_number_leads_back_to_its_position(
            key: u8,
            position in 0..=CaseNumber::MAX,
        ) {
            let cases = CaseNumbers::testing(key);
            let case = cases.of(Position(position));
            prop_assert_eq!(cases.position(case), Position(position));
            let read: CaseNumber = case.to_string().parse().expect("as it is shown");
            prop_assert_eq!(read, case);
        }
    }
}
