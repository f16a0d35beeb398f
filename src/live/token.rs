//! The bytes from which a stream of counts is resumed.
//!
//! They stand for a state: of which journal, of which question, up to where, and a digest of
//! its figures. Rates are state, so no history is needed to resume; equal digests suffice.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use crate::auth::Seal;
use crate::domain::Position;
use crate::domain::entry::Epoch;

use super::Watch;
use super::sealed::{NoToken, Sealed};
use super::state::Outline;

const KIND: u8 = 3;
const TEXT_BYTES: usize = 24;

/// Makes and reads the tokens of one journal.
pub struct Tokens {
    epoch: Epoch,
    sealed: Sealed,
}

/// A resume token, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The stream that it belongs to.
    pub stream: StreamDigest,
    /// A place in the journal that the state includes: as of which it had these figures first in
    /// its minute.
    pub position: Position,
    /// Digest of the state's figures.
    pub state_digest: u64,
}

/// Digest of a question, keyed with the identity of the journal that it is put to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamDigest(u64);

#[cfg(test)]
impl StreamDigest {
    /// Of no question.
    pub fn testing(number: u64) -> Self {
        Self(number)
    }
}

impl Tokens {
    /// Of a journal.
    pub fn new(epoch: Epoch, seal: Seal) -> Self {
        let sealed = Sealed::new(KIND, epoch, seal);
        Self { epoch, sealed }
    }

    /// What tells the stream of a question.
    pub fn stream(&self, watch: &Watch) -> StreamDigest {
        let mut hasher = SipHasher13::new_with_key(&self.epoch.0);
        watch.hash(&mut hasher);
        StreamDigest(hasher.finish())
    }

    /// Stands for a state of a stream: the same bytes within a minute as long as its figures are
    /// the same, so that they show nothing of what else is recorded.
    pub fn of_state(&self, stream: StreamDigest, state: &Outline) -> Vec<u8> {
        let token = Token {
            stream,
            position: state.first_at(),
            state_digest: state.digest(),
        };
        self.sealed.to_stable_bytes(state.number(), &token.text())
    }

    /// Stands for no state that can still be the newest: its stream begins with a snapshot.
    pub fn before_all(&self, stream: StreamDigest, position: Position) -> Vec<u8> {
        let token = Token {
            stream,
            position,
            state_digest: 0,
        };
        self.sealed.to_bytes(&token.text())
    }

    /// Takes apart what a client sent; refused unless it was made here.
    pub fn parse(&self, bytes: &[u8]) -> Result<Token, NoToken> {
        let text: [u8; TEXT_BYTES] = self.sealed.open(bytes)?;
        let (numbers, _) = text.as_chunks::<8>();
        let number = |index: usize| u64::from_be_bytes(numbers[index]);
        Ok(Token {
            stream: StreamDigest(number(0)),
            position: Position(number(1)),
            state_digest: number(2),
        })
    }
}

impl Token {
    fn text(self) -> [u8; TEXT_BYTES] {
        let mut text = [0; TEXT_BYTES];
        let numbers = [self.stream.0, self.position.0, self.state_digest];
        for (place, number) in text.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *place = number.to_be_bytes();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn token_survives_the_way_out_and_back(numbers: [u64; 3], epoch: [u8; 16]) {
            let token = Token {
                stream: StreamDigest(numbers[0]),
                position: Position(numbers[1]),
                state_digest: numbers[2],
            };
            let tokens = Tokens::new(Epoch(epoch), Seal::testing(7));
            let bytes = tokens.sealed.to_bytes(&token.text());
            prop_assert_eq!(tokens.parse(&bytes), Ok(token));
        }

        #[test]
        fn garbage_is_no_token(bytes: Vec<u8>) {
            let tokens = Tokens::new(Epoch([7; 16]), Seal::testing(7));
            // What begins like one, and is as long, could be another journal's.
            let length = tokens.sealed.to_bytes(&[0; TEXT_BYTES]).len();
            let is_like_one = bytes.len() == length && bytes[0] == KIND;
            let refusal = if is_like_one { NoToken::OtherJournal } else { NoToken::Malformed };
            prop_assert_eq!(tokens.parse(&bytes), Err(refusal));
        }
    }
}
