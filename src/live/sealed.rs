//! Bytes that a client keeps to resume from: which kind they are and of which journal and keys,
//! which shows, and where the client was, which is sealed. So a watcher learns nothing about what it
//! was not told, and what was made up is refused; and where a record was brought back without
//! its keys, which no backup holds, the client is told that, and not that its token is broken.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::auth::{SEAL_BYTES, Seal};
use crate::domain::entry::Epoch;

const HEAD_BYTES: usize = 9;

/// Makes and reads the bytes of one kind and journal.
pub(super) struct Sealed {
    head: [u8; HEAD_BYTES],
    seal: Seal,
}

/// Why a client's bytes lead nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoToken {
    /// They were not made by this service.
    Malformed,
    /// They say that they are of another journal, or of this one under keys that are lost.
    OtherJournal,
}

impl Sealed {
    /// Of a kind, a journal and its keys.
    pub fn new(kind: u8, epoch: Epoch, seal: Seal) -> Self {
        let mut head = [kind; HEAD_BYTES];
        head[1..].copy_from_slice(&digest(epoch, &seal).to_be_bytes());
        Self { head, seal }
    }

    /// The bytes that a client keeps; others each time.
    pub fn to_bytes<const N: usize>(&self, text: &[u8; N]) -> Vec<u8> {
        let sealed = self.seal.seal(&self.head, text);
        [&self.head[..], &sealed].concat()
    }

    /// The bytes that a client keeps, the same for the same number and text: only where the
    /// client knows that both are the same.
    pub fn to_stable_bytes<const N: usize>(&self, number: u64, text: &[u8; N]) -> Vec<u8> {
        let sealed = self.seal.seal_stably(number, &self.head, text);
        [&self.head[..], &sealed].concat()
    }

    /// What a client's bytes hold.
    pub fn open<const N: usize>(&self, bytes: &[u8]) -> Result<[u8; N], NoToken> {
        let (head, sealed) = bytes.split_first_chunk().ok_or(NoToken::Malformed)?;
        let is_kind = head[0] == self.head[0] && sealed.len() == SEAL_BYTES + N;
        if !is_kind {
            return Err(NoToken::Malformed);
        }
        if *head != self.head {
            return Err(NoToken::OtherJournal);
        }
        let text = self.seal.open(head, sealed).ok_or(NoToken::Malformed)?;
        text.try_into().map_err(|_| NoToken::Malformed)
    }
}

/// Digest of a journal's identity and of what its keys seal, which shows neither.
fn digest(epoch: Epoch, seal: &Seal) -> u64 {
    let mut hasher = SipHasher13::new_with_key(&epoch.0);
    hasher.write(&epoch.0);
    hasher.write(&seal.fingerprint(&epoch.0));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES: usize = HEAD_BYTES + SEAL_BYTES + 8;

    fn of(epoch: [u8; 16], key: u8) -> Sealed {
        Sealed::new(1, Epoch(epoch), Seal::testing(key))
    }

    #[test]
    fn nothing_but_the_journal_shows_nor_that_another_holds_the_same() {
        let sealed = of([7; 16], 7);
        let text = *b"position";
        let [one, two] = [(); 2].map(|()| sealed.to_bytes(&text));
        let ((shown, hidden), (again, other)) = (one.split_at(9), two.split_at(9));
        assert_eq!(shown, again);
        assert_ne!(hidden, other);
        let has = |part: &[u8]| one.windows(part.len()).any(|window| window == part);
        assert!(!text.windows(3).any(has));
        assert!(
            !Epoch([7; 16]).0.windows(3).any(has),
            "the journal's identity is no secret's"
        );
    }

    #[test]
    fn bytes_of_another_kind_are_none_and_those_of_another_key_are_of_another_journal() {
        let bytes = of([7; 16], 8).to_bytes(b"position");
        let open = |kind| {
            let sealed = Sealed::new(kind, Epoch([7; 16]), Seal::testing(7));
            sealed.open::<8>(&bytes)
        };
        assert_eq!(open(1), Err(NoToken::OtherJournal));
        assert_eq!(open(2), Err(NoToken::Malformed));
        assert_eq!(of([7; 16], 8).open::<7>(&bytes), Err(NoToken::Malformed));
    }

    proptest! {
        #[test]
        fn bytes_survive_the_way_out_and_back_and_no_flipped_bit(
            epoch: [u8; 16],
            text: [u8; 8],
            bit in 0..BYTES * 8,
        ) {
            let own = of(epoch, 7);
            let mut bytes = own.to_bytes(&text);
            prop_assert_eq!(own.open(&bytes), Ok(text));
            let mut other = epoch;
            other[0] ^= 1;
            prop_assert_eq!(of(other, 7).open::<8>(&bytes), Err(NoToken::OtherJournal));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(own.open::<8>(&bytes).is_err());
        }

        #[test]
        fn garbage_leads_nowhere(
            bytes: Vec<u8>,
            mut long in prop::collection::vec(any::<u8>(), BYTES),
        ) {
            let own = of([7; 16], 7);
            // What begins like one, and is as long, could be another journal's.
            let is_like_one = bytes.len() == BYTES && bytes[0] == own.head[0];
            let refusal = if is_like_one { NoToken::OtherJournal } else { NoToken::Malformed };
            prop_assert_eq!(own.open::<8>(&bytes), Err(refusal));
            long[..HEAD_BYTES].copy_from_slice(&own.head);
            prop_assert_eq!(own.open::<8>(&long), Err(NoToken::Malformed));
        }
    }
}
