//! Case numbers: what an operator calls an incident by.
//!
//! A case number is an incident's position under a keyed permutation of the numbers of 60
//! bits: ten rounds of a balanced Feistel network, as many as FF1 in NIST SP 800-38G, with
//! SipHash-2-4 as round function. So it is stable, no two incidents share one, nothing is
//! kept for it, and whoever lacks the key learns neither position, time nor order from one,
//! nor can make one up that leads anywhere. The key comes from that of digests, and so lives
//! as long as the instance: with the key file, case numbers are lost.

use std::fmt;

use siphasher::sip::SipHasher24;
use zeroize::ZeroizeOnDrop;

use crate::domain::{CaseNumber, Position};

const ROUNDS: u64 = 10;
const HALF_BITS: u32 = CaseNumber::BITS / 2;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;

/// Turns positions into case numbers and back.
#[derive(Clone, ZeroizeOnDrop)]
pub struct CaseNumbers([u8; 16]);

impl CaseNumbers {
    /// Under a key.
    pub(super) fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// The case number of the incident that was recorded at a position.
    pub fn of(&self, position: Position) -> CaseNumber {
        let (mut left, mut right) = halves(position.0);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.round(round, right));
        }
        CaseNumber::new(left << HALF_BITS | right)
    }

    /// The position that a case number stands for. A number that was made up stands for one
    /// that no journal reaches.
    pub fn position(&self, case: CaseNumber) -> Position {
        let (mut left, mut right) = halves(case.number());
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left), left);
        }
        Position(left << HALF_BITS | right)
    }

    fn round(&self, round: u64, half: u64) -> u64 {
        let hasher = SipHasher24::new_with_key(&self.0);
        // A half leaves more than enough bits free for the round.
        hasher.hash(&(round << HALF_BITS | half).to_le_bytes()) & HALF_MASK
    }
}

impl fmt::Debug for CaseNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CaseNumbers(..)")
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
        let cases = CaseNumbers::new([7; 16]);
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
        let one = CaseNumbers::new([7; 16]).of(Position(1));
        assert_ne!(one, CaseNumbers::new([8; 16]).of(Position(1)));
    }

    #[test]
    fn made_up_numbers_lead_beyond_every_journal() {
        let cases = CaseNumbers::new([7; 16]);
        let reached = (0..100_000_u64).filter(|number| {
            let position = cases.position(CaseNumber::new(number << 20));
            position.0 < 1 << 40
        });
        assert!(reached.count() <= 2);
    }

    proptest! {
        #[test]
        fn case_number_leads_back_to_its_position(
            key: [u8; 16],
            position in 0..=CaseNumber::MAX,
        ) {
            let cases = CaseNumbers::new(key);
            let case = cases.of(Position(position));
            prop_assert_eq!(cases.position(case), Position(position));
            let read: CaseNumber = case.to_string().parse().expect("as it is shown");
            prop_assert_eq!(read, case);
        }
    }
}
