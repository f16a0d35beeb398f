//! What callers keep for the service, and can neither read nor make up: seals of tokens, and
//! the numbers by which operators cite a state of the record.
//!
//! A seal is made as SIV is (Rogaway and Shrimpton, "A Provable-Security Treatment of the
//! Key-Wrap Problem", 2006) out of HMAC-SHA-256: the tag is a keyed digest of what is sealed,
//! and the text is hidden under a stream that is drawn from the tag. Beside the text lies a
//! number that no other seal has, so that two seals do not show whether they hold the same,
//! unless they may.
//! The keys come from that of digests, and so live as long as the instance.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::ZeroizeOnDrop;

use super::cases::Stretches;
use super::secret::are_equal;
use super::{KeyError, Principal};
use crate::domain::{CaseNumber, Position};

const TAG_BYTES: usize = 16;
const SALT_BYTES: usize = 8;
/// As much as one digest hides.
const HIDDEN_BYTES_MAX: usize = 32;
/// What a seal takes beside its text.
pub const SEAL_BYTES: usize = TAG_BYTES + SALT_BYTES;
/// What can be sealed at most.
pub const SEALED_TEXT_BYTES_MAX: usize = HIDDEN_BYTES_MAX - SALT_BYTES;
/// Begin what is digested for a tag, and for a stream.
const OF_TAG: u8 = 1;
const OF_STREAM: u8 = 2;
/// Begins what is digested to tell keys apart.
const OF_KEY: u8 = 3;

/// Places that citations can tell: more than sixty billion.
const PLACE_BITS: u32 = 36;
/// So that two citations of one state differ, nearly always.
const SALT_BITS: u32 = 12;
/// Zeros, by which one that was made up is known.
const CHECK_BITS: u32 = CaseNumber::BITS - PLACE_BITS - SALT_BITS;
/// Numbers from here on are citations, and those below are places.
const FIRST_CITATION: u64 = 1 << CaseNumber::BITS;

/// Numbers that differ for as long as a process runs, from a beginning that nobody knows.
/// Clones go on together.
#[derive(Clone)]
pub(super) struct Salts {
    first: u64,
    next: Arc<AtomicU64>,
}

/// Seals what callers keep. Clones are the same seal.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Seal {
    key: [u8; 16],
    #[zeroize(skip)]
    salts: Salts,
}

/// Tells places in the journal to callers: stewards the place itself, all others a number that
/// leads back to it and shows neither which it is, nor whether another is earlier or the same.
#[derive(Clone, Debug)]
pub struct Citations {
    /// From each restore on another, as with case numbers.
    numbers: Stretches,
    salts: Salts,
}

// === impl Salts ===

impl Salts {
    /// From a random number on.
    pub fn random() -> Result<Self, KeyError> {
        let first = getrandom::u64().map_err(KeyError::Random)?;
        let next = Arc::new(AtomicU64::new(first));
        Ok(Self { first, next })
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl fmt::Debug for Salts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salts(..)")
    }
}

// === impl Seal ===

impl Seal {
    /// Under a key.
    pub(super) fn new(key: [u8; 16], salts: Salts) -> Self {
        Self { key, salts }
    }

    /// Under a key that anybody can guess.
    #[cfg(test)]
    pub fn testing(key: u8) -> Self {
        Self::new([key; 16], Salts::random().expect("random bytes"))
    }

    /// Seals at most `SEALED_TEXT_BYTES_MAX` bytes. It opens with the same `about` alone, which
    /// tells what it is for, and stands next to it or is known; at most 255 bytes.
    pub fn seal(&self, about: &[u8], text: &[u8]) -> Vec<u8> {
        self.seal_with(self.salts.next(), about, text)
    }

    /// As `seal`, within a process always into the same bytes for the same number: they show
    /// that number and text are the same as before, and nothing else.
    pub fn seal_stably(&self, number: u64, about: &[u8], text: &[u8]) -> Vec<u8> {
        self.seal_with(self.salts.first.wrapping_add(number), about, text)
    }

    fn seal_with(&self, salt: u64, about: &[u8], text: &[u8]) -> Vec<u8> {
        assert!(text.len() <= SEALED_TEXT_BYTES_MAX, "tokens are small");
        let mut sealed = Vec::with_capacity(SEAL_BYTES + text.len());
        sealed.extend([0; TAG_BYTES]);
        sealed.extend(salt.to_le_bytes());
        sealed.extend(text);
        let (place, hidden) = sealed.split_at_mut(TAG_BYTES);
        let tag = self.tag(about, hidden);
        place.copy_from_slice(&tag);
        self.hide(&tag, hidden);
        sealed
    }

    /// Tells this key from others, also after a restart, and leads to none.
    pub fn fingerprint(&self, about: &[u8]) -> [u8; HIDDEN_BYTES_MAX] {
        self.digest(&[&[OF_KEY], about])
    }

    /// What was sealed; `None` unless this seal made it, with this `about`.
    pub fn open(&self, about: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (tag, hidden) = sealed.split_first_chunk::<TAG_BYTES>()?;
        if !(SALT_BYTES..=HIDDEN_BYTES_MAX).contains(&hidden.len()) {
            return None;
        }
        let mut text = hidden.to_vec();
        self.hide(tag, &mut text);
        are_equal(tag, &self.tag(about, &text)).then(|| text.split_off(SALT_BYTES))
    }

    fn tag(&self, about: &[u8], text: &[u8]) -> [u8; TAG_BYTES] {
        let length = u8::try_from(about.len()).expect("at most 255 bytes");
        let digest = self.digest(&[&[OF_TAG, length], about, text]);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&digest[..TAG_BYTES]);
        tag
    }

    /// Hides what is bare, and bares what is hidden.
    fn hide(&self, tag: &[u8; TAG_BYTES], bytes: &mut [u8]) {
        let stream = self.digest(&[&[OF_STREAM], tag]);
        for (byte, hiding) in bytes.iter_mut().zip(stream) {
            *byte ^= hiding;
        }
    }

    fn digest(&self, parts: &[&[u8]]) -> [u8; HIDDEN_BYTES_MAX] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any length of key will do");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

// === impl Citations ===

impl Citations {
    pub(super) fn new(numbers: Stretches, salts: Salts) -> Self {
        Self { numbers, salts }
    }

    /// How a caller is told a place.
    pub fn tell(&self, caller: &Principal, place: Position) -> u64 {
        if caller.sees_places() {
            place.0
        } else {
            self.cite(place)
        }
    }

    /// As `tell`, within a process always the same for the same number and place: only where
    /// the caller knows that both are the same.
    pub fn tell_stably(&self, caller: &Principal, number: u64, place: Position) -> u64 {
        if caller.sees_places() {
            place.0
        } else {
            self.cite_with(self.salts.first.wrapping_add(number), place)
        }
    }

    /// The place that a caller means. Stewards may also give what an operator was told; `None`
    /// if the caller was told no such number.
    pub fn read(&self, caller: &Principal, number: u64) -> Option<Position> {
        let cited = number.checked_sub(FIRST_CITATION);
        let cited = cited.and_then(|number| self.cited(number));
        cited.or_else(|| caller.sees_places().then_some(Position(number)))
    }

    fn cite(&self, place: Position) -> u64 {
        self.cite_with(self.salts.next(), place)
    }

    fn cite_with(&self, salt: u64, place: Position) -> u64 {
        assert!(place.0 >> PLACE_BITS == 0, "journals are shorter");
        let salt = salt & ((1 << SALT_BITS) - 1);
        FIRST_CITATION | self.numbers.of(place).of(place.0 << SALT_BITS | salt)
    }

    fn cited(&self, number: u64) -> Option<Position> {
        if FIRST_CITATION <= number {
            return None;
        }
        let mut places = self.numbers.each(|permutation| {
            let place = permutation.back(number) >> SALT_BITS;
            (Position(place), place)
        });
        let place = places.find(|place| place >> PLACE_BITS == 0);
        place.map(Position)
    }
}

const _: () = assert!(8 <= CHECK_BITS);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::super::cases::Permutation;
    use super::*;
    use crate::auth::Grant;

    fn citations(key: u8) -> Citations {
        let salts = Salts::random().expect("random bytes");
        Citations::new(Stretches::testing(key), salts)
    }

    fn operator() -> Principal {
        let own = ["GVB".parse().expect("a code")];
        Principal::Operator(Arc::new(Grant::new(crate::auth::TokenId(1), own)))
    }

    #[test]
    fn two_seals_of_the_same_have_nothing_in_common() {
        let seal = Seal::testing(7);
        let seals: Vec<_> = (0..1_000).map(|_| seal.seal(b"x", &[0; 24])).collect();
        // Half of the bits change from one to the next, within six standard deviations.
        let bytes = u32::try_from(seals[0].len()).expect("few");
        let bits = f64::from(bytes) * 8.0 * 999.0;
        let changed = seals.windows(2).map(|two| {
            let both = two[0].iter().zip(&two[1]);
            both.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
        });
        let changed = f64::from(changed.sum::<u32>());
        assert!((changed - bits / 2.0).abs() < 6.0 * (bits / 4.0).sqrt());
    }

    #[test]
    fn stable_seal_shows_that_a_text_is_the_same_and_opens_like_any() {
        let seal = Seal::testing(7);
        let of = |about: &[u8], text: &[u8]| seal.seal_stably(1, about, text);
        assert_eq!(of(b"x", b"place"), of(b"x", b"place"));
        for other in [
            of(b"x", b"other"),
            of(b"y", b"place"),
            seal.seal_stably(2, b"x", b"place"),
            Seal::testing(7).seal_stably(1, b"x", b"place"),
            seal.seal(b"x", b"place"),
        ] {
            let one = of(b"x", b"place");
            let same = one.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(same < 6, "{same} of {} bytes", one.len());
        }
        assert_eq!(
            seal.open(b"x", &of(b"x", b"place")).as_deref(),
            Some(&b"place"[..])
        );
    }

    #[test]
    fn seal_opens_under_its_own_key_and_for_its_own_use_alone() {
        let sealed = Seal::testing(7).seal(b"rates", b"place");
        let open = |key, about: &[u8]| Seal::testing(key).open(about, &sealed);
        assert_eq!(open(7, b"rates").as_deref(), Some(&b"place"[..]));
        assert_eq!(open(8, b"rates"), None);
        assert_eq!(open(7, b"cases"), None);
        assert_eq!(open(7, b"rate"), None);
    }

    #[test]
    fn citation_tells_neither_place_nor_order_nor_that_nothing_happened() {
        let citations = citations(7);
        let told = |place| citations.tell(&operator(), Position(place));
        let same: HashSet<_> = (0..1_000).map(|_| told(5)).collect();
        assert_eq!(same.len(), 1_000);
        let rising = (0..10_000).filter(|place| told(*place) < told(place + 1));
        assert!((4_700..5_300).contains(&rising.count()));
    }

    #[test]
    fn citation_is_the_same_for_the_same_number_and_leads_to_its_place() {
        let citations = citations(7);
        let told = |number, place| citations.tell_stably(&operator(), number, Position(place));
        assert_eq!(told(1, 5), told(1, 5));
        for other in [
            told(2, 5),
            told(1, 6),
            citations.tell(&operator(), Position(5)),
        ] {
            assert_ne!(told(1, 5), other);
        }
        for number in 0..10 {
            let read = citations.read(&operator(), told(number, 5));
            assert_eq!(read, Some(Position(5)));
        }
        let steward = Principal::Steward(Grant::without_token().into());
        assert_eq!(citations.tell_stably(&steward, 1, Position(5)), 5);
    }

    #[test]
    fn operator_gives_citations_alone_and_a_steward_both() {
        let citations = citations(7);
        let steward = Principal::Steward(Grant::without_token().into());
        let told = citations.tell(&operator(), Position(5));
        for caller in [&operator(), &steward] {
            assert_eq!(citations.read(caller, told), Some(Position(5)));
        }
        assert_eq!(citations.tell(&steward, Position(5)), 5);
        assert_eq!(citations.read(&steward, 5), Some(Position(5)));
        for place in [0, 5, FIRST_CITATION - 1] {
            assert_eq!(citations.read(&operator(), place), None);
        }
        assert_eq!(self::citations(8).read(&operator(), told), None);
        // No place lies there, which a steward is told.
        assert_eq!(citations.read(&steward, u64::MAX), Some(Position(u64::MAX)));
    }

    #[test]
    fn citation_of_what_came_after_the_copy_leads_nowhere_and_those_of_before_stay() {
        let before = citations(7);
        let other = (Position(11), Permutation::new([8; 16]));
        let numbers = Stretches::new(Permutation::new([7; 16]), [other].into_iter());
        let after = Citations::new(numbers, Salts::random().expect("random bytes"));
        for place in (1..=30).map(Position) {
            let old = after.read(&operator(), before.tell(&operator(), place));
            assert_eq!(old, Some(place).filter(|place| place.0 < 11));
            let told = after.tell(&operator(), place);
            assert_eq!(after.read(&operator(), told), Some(place));
        }
    }

    #[test]
    fn made_up_citations_lead_nowhere() {
        let citations = citations(7);
        let made_up = (0..100_000_u64).map(|number| FIRST_CITATION | number << 20);
        let read = made_up.filter(|number| citations.read(&operator(), *number).is_some());
        // One of 4,096 has the zeros; of these, one of thousands is a place that there is.
        assert!(read.count() < 100);
        assert_eq!(citations.read(&operator(), u64::MAX), None);
    }

    proptest! {
        #[test]
        fn what_was_sealed_comes_back_and_no_flipped_bit_does(
            text in prop::collection::vec(any::<u8>(), 0..=SEALED_TEXT_BYTES_MAX),
            about in prop::collection::vec(any::<u8>(), 0..40),
            bit: prop::sample::Index,
        ) {
            let seal = Seal::testing(7);
            let mut sealed = seal.seal(&about, &text);
            prop_assert_eq!(sealed.len(), SEAL_BYTES + text.len());
            prop_assert_eq!(seal.open(&about, &sealed), Some(text));
            let bit = bit.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(seal.open(&about, &sealed), None);
        }

        #[test]
        fn garbage_is_no_seal(about: Vec<u8>, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(Seal::testing(7).open(&about[..about.len().min(255)], &bytes), None);
        }

        #[test]
        fn citation_leads_back_to_its_place(place in 0..1_u64 << PLACE_BITS, number: u64) {
            let citations = citations(7);
            let told = citations.tell(&operator(), Position(place));
            prop_assert_eq!(citations.read(&operator(), told), Some(Position(place)));
            // Only that it returns is asked here.
            let _ = citations.read(&operator(), number);
        }
    }
}
