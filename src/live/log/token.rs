//! The opaque bytes from which a log is resumed: of which journal, and up to where.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::domain::Position;
use crate::domain::entry::Epoch;

/// Unlike that of rates, so that neither is taken for the other.
const FORMAT: u8 = 2;
const BODY_BYTES: usize = 17;
const TOKEN_BYTES: usize = BODY_BYTES + 4;

/// A resume token, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogToken {
    /// Digest of the journal's identity, keyed with it.
    epoch: u64,
    position: Position,
}

impl LogToken {
    /// Stands for a place in a journal.
    pub fn new(epoch: Epoch, position: Position) -> Self {
        Self {
            epoch: digest(epoch),
            position,
        }
    }

    /// Everything through here was told.
    pub fn position(self) -> Position {
        self.position
    }

    /// Whether it is of this journal.
    pub fn is_of(self, epoch: Epoch) -> bool {
        self.epoch == digest(epoch)
    }

    /// The bytes that a client keeps.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.push(FORMAT);
        bytes.extend(self.epoch.to_be_bytes());
        bytes.extend(self.position.0.to_be_bytes());
        bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// Takes apart what a client sent; `None` unless `to_bytes` made it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; TOKEN_BYTES] = bytes.try_into().ok()?;
        let (body, checksum) = bytes.split_at(BODY_BYTES);
        if crc32c::crc32c(body).to_be_bytes() != *checksum || body[0] != FORMAT {
            return None;
        }
        let (numbers, _) = body[1..].as_chunks::<8>();
        Some(Self {
            epoch: u64::from_be_bytes(numbers[0]),
            position: Position(u64::from_be_bytes(numbers[1])),
        })
    }
}

fn digest(epoch: Epoch) -> u64 {
    let mut hasher = SipHasher13::new_with_key(&epoch.0);
    hasher.write(&epoch.0);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn token_survives_the_way_out_and_back_and_no_flipped_bit(
            epoch: [u8; 16],
            position: u64,
            bit in 0..TOKEN_BYTES * 8,
        ) {
            let token = LogToken::new(Epoch(epoch), Position(position));
            let mut bytes = token.to_bytes();
            prop_assert_eq!(LogToken::parse(&bytes), Some(token));
            prop_assert!(token.is_of(Epoch(epoch)));
            let mut other = epoch;
            other[0] ^= 1;
            prop_assert!(!token.is_of(Epoch(other)));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(LogToken::parse(&bytes), None);
        }

        #[test]
        fn garbage_is_no_token(bytes: Vec<u8>) {
            prop_assert_eq!(LogToken::parse(&bytes), None);
        }
    }
}
