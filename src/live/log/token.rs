//! The bytes from which a log is resumed: of which journal, and up to where.

use crate::auth::Seal;
use crate::domain::Position;
use crate::domain::entry::Epoch;
use crate::live::sealed::{NoToken, Sealed};

/// Unlike that of rates, so that neither is taken for the other.
const KIND: u8 = 4;

/// Makes and reads the tokens of one journal.
pub struct LogTokens(Sealed);

impl LogTokens {
    /// Of a journal.
    pub fn new(epoch: Epoch, seal: Seal) -> Self {
        Self(Sealed::new(KIND, epoch, seal))
    }

    /// Resumes after a place, through which everything was told.
    pub fn token(&self, position: Position) -> Vec<u8> {
        self.0.to_bytes(&position.0.to_be_bytes())
    }

    /// The place that a client's token stands for.
    pub fn position(&self, bytes: &[u8]) -> Result<Position, NoToken> {
        let number = self.0.open(bytes)?;
        Ok(Position(u64::from_be_bytes(number)))
    }
}
