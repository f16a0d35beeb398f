//! Secrets of incidents: what is kept of one, and comparing in constant time.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::domain::{IncidentSecret, SecretHash};

/// SHA-256 of an incident's secret, cut to 16 bytes.
pub fn secret_hash(secret: &IncidentSecret) -> SecretHash {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(secret.expose())[..16]);
    SecretHash(short)
}

/// Whether two texts of the same length are the same, in a time that depends on their length
/// alone.
pub(super) fn are_equal(told: &[u8], kept: &[u8]) -> bool {
    told.ct_eq(kept).into()
}

/// Whether a secret has this hash, in a time that does not depend on either.
pub fn secret_matches(secret: &IncidentSecret, hash: &SecretHash) -> bool {
    are_equal(&secret_hash(secret).0, &hash.0)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    proptest::proptest! {
        #[test]
        fn secret_of_any_bytes_is_refused_or_compared(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            hash: [u8; 16],
        ) {
            let parsed = IncidentSecret::parse(&bytes);
            proptest::prop_assert_eq!(parsed.is_ok(), [0, 32].contains(&bytes.len()));
            if let Ok(Some(secret)) = parsed {
                proptest::prop_assert!(!secret_matches(&secret, &SecretHash(hash)));
                proptest::prop_assert!(secret_matches(&secret, &secret_hash(&secret)));
            }
        }
    }

    #[test]
    fn secret_matches_only_its_own_hash() {
        let secret = |byte| {
            IncidentSecret::parse(&[byte; 32])
                .expect("32 bytes")
                .expect("not empty")
        };
        assert!(secret_matches(&secret(1), &secret_hash(&secret(1))));
        assert!(!secret_matches(&secret(1), &secret_hash(&secret(2))));
    }

    /// The least time that a comparison took, of some that each of several pairs was given in
    /// turn, so that whatever else the machine does falls on all of them.
    fn least_times(pairs: &[(&[u8], &[u8])]) -> Vec<Duration> {
        let mut least = vec![Duration::MAX; pairs.len()];
        for _ in 0..60 {
            for (least, (told, kept)) in least.iter_mut().zip(pairs) {
                let begun = Instant::now();
                std::hint::black_box(are_equal(std::hint::black_box(told), kept));
                *least = (*least).min(begun.elapsed());
            }
        }
        least
    }

    #[test]
    fn comparing_takes_as_long_whatever_the_common_prefix() {
        // Long enough that to stop at the first difference would be thousands of times faster.
        let kept = vec![7_u8; 1 << 16];
        let differs_at = |at: usize| {
            let mut told = kept.clone();
            told[at] ^= 1;
            told
        };
        let (early, late) = (differs_at(0), differs_at(kept.len() - 1));
        assert!(!are_equal(&early, &kept) && !are_equal(&late, &kept));
        assert!(are_equal(&kept.clone(), &kept));
        let times = least_times(&[(&early, &kept), (&late, &kept), (&kept.clone(), &kept)]);
        let longest = times.iter().max().expect("three");
        let shortest = times.iter().min().expect("three");
        assert!(*longest < 4 * *shortest, "{times:?}");
    }
}
