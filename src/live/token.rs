//! The opaque bytes from which a stream of counts is resumed.
//!
//! They stand for a state: of which journal, of which question, up to where, and a digest of
//! its figures. Rates are state, so no history is needed to resume; equal digests suffice.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use crate::domain::Position;
use crate::domain::entry::Epoch;

use super::state::State;
use super::{Watch, WatchError};

const FORMAT: u8 = 1;
const BODY_BYTES: usize = 33;
const TOKEN_BYTES: usize = BODY_BYTES + 4;

/// A resume token, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The stream that it belongs to.
    pub stream: StreamDigest,
    /// The last place in the journal that the state includes.
    pub position: Position,
    /// Digest of the state's figures.
    pub state_digest: u64,
}

/// Digests of a journal's identity and of a question, keyed with that identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamDigest {
    epoch: u64,
    question: u64,
}

impl StreamDigest {
    /// Of a question to a journal.
    pub fn of(epoch: Epoch, watch: &Watch) -> Self {
        let mut of_epoch = SipHasher13::new_with_key(&epoch.0);
        of_epoch.write(&epoch.0);
        let mut of_question = SipHasher13::new_with_key(&epoch.0);
        watch.hash(&mut of_question);
        Self {
            epoch: of_epoch.finish(),
            question: of_question.finish(),
        }
    }

    /// Whether both are of one journal.
    pub fn is_of_journal(self, other: Self) -> bool {
        self.epoch == other.epoch
    }
}

impl Token {
    /// Stands for a state of a stream.
    pub fn of(stream: StreamDigest, state: &State) -> Self {
        Self {
            stream,
            position: state.position,
            state_digest: state.digest(),
        }
    }

    /// Stands for no state that can still be the newest: its stream begins with a snapshot.
    pub fn before_all(stream: StreamDigest, position: Position) -> Self {
        Self {
            stream,
            position,
            state_digest: 0,
        }
    }

    /// The bytes that a client keeps.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.push(FORMAT);
        bytes.extend(self.stream.epoch.to_be_bytes());
        bytes.extend(self.stream.question.to_be_bytes());
        bytes.extend(self.position.0.to_be_bytes());
        bytes.extend(self.state_digest.to_be_bytes());
        bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// Takes apart what a client sent; refused unless `to_bytes` made it.
    pub fn parse(bytes: &[u8]) -> Result<Self, WatchError> {
        let bytes: &[u8; TOKEN_BYTES] = bytes.try_into().map_err(|_| WatchError::Token)?;
        let (body, checksum) = bytes.split_at(BODY_BYTES);
        if crc32c::crc32c(body).to_be_bytes() != *checksum || body[0] != FORMAT {
            return Err(WatchError::Token);
        }
        let (numbers, _) = body[1..].as_chunks::<8>();
        let number = |index: usize| u64::from_be_bytes(numbers[index]);
        Ok(Self {
            stream: StreamDigest {
                epoch: number(0),
                question: number(1),
            },
            position: Position(number(2)),
            state_digest: number(3),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn token_survives_the_way_out_and_back_and_no_flipped_bit(
            numbers: [u64; 4],
            bit in 0..TOKEN_BYTES * 8,
        ) {
            let token = Token {
                stream: StreamDigest { epoch: numbers[0], question: numbers[1] },
                position: Position(numbers[2]),
                state_digest: numbers[3],
            };
            let mut bytes = token.to_bytes();
            prop_assert_eq!(Token::parse(&bytes), Ok(token));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Token::parse(&bytes), Err(WatchError::Token));
        }

        #[test]
        fn garbage_is_no_token(bytes: Vec<u8>) {
            prop_assert_eq!(Token::parse(&bytes), Err(WatchError::Token));
        }
    }
}
