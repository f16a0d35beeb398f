//! Through where in the journal the tap counts of a store reach.
//!
//! Blocks leave out every change at or before their own place. So a store that knows of
//! entries which its journal has lost would leave out what is told at their places later, and
//! one from before a checkpoint lacks what no fold tells it again. The mark shows both; it is
//! written in the same batch of sled as the blocks.

use super::super::StoreError;
use super::super::error::InvalidBlock;
use crate::domain::{Position, Stamp, UtcMillis};

/// Sorts after the keys of all blocks: their days come after 1970.
pub(super) const MARK_KEY: [u8; 3] = [0xff; 3];

const FORMAT: u8 = 1;
const BODY_BYTES: usize = 1 + 3 * size_of::<u64>();

/// Through where in the journal the tap counts of a store reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapsMark {
    /// The place of the last change that any block may know of.
    pub last: Position,
    /// When that was recorded. Places are used again after entries were lost, and are told
    /// apart by it.
    pub stamp: Stamp,
    /// Every change through this place is in the store.
    pub whole_through: Position,
}

impl TapsMark {
    /// Of a store without tap counts.
    pub(super) const NONE: Self = Self {
        last: Position(0),
        stamp: UtcMillis(0),
        whole_through: Position(0),
    };

    /// When a change is being put.
    pub(super) fn begin(self, position: Position, stamp: Stamp) -> Self {
        if position <= self.last {
            return self;
        }
        Self {
            last: position,
            stamp,
            ..self
        }
    }

    /// When all changes through this place have been put.
    pub(super) fn finish(self, through: Position) -> Self {
        Self {
            whole_through: self.whole_through.max(through),
            ..self
        }
    }

    pub(super) fn pack(self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend(self.last.0.to_le_bytes());
        out.extend(self.stamp.0.to_le_bytes());
        out.extend(self.whole_through.0.to_le_bytes());
        super::block::finish(out)
    }

    pub(super) fn unpack(bytes: &[u8]) -> Result<Self, StoreError> {
        let invalid = |source| StoreError::TapsMarkInvalid { source };
        let split = bytes.split_last_chunk();
        let (body, crc) = split.ok_or(invalid(InvalidBlock::Length))?;
        if crc32c::crc32c(body).to_le_bytes() != *crc {
            return Err(invalid(InvalidBlock::Checksum));
        }
        if body.len() != BODY_BYTES || body[0] != FORMAT {
            return Err(invalid(InvalidBlock::Format));
        }
        let number = |index: usize| {
            let mut bytes = [0; size_of::<u64>()];
            bytes.copy_from_slice(&body[1 + index * size_of::<u64>()..][..size_of::<u64>()]);
            bytes
        };
        Ok(Self {
            last: Position(u64::from_le_bytes(number(0))),
            stamp: UtcMillis(i64::from_le_bytes(number(1))),
            whole_through: Position(u64::from_le_bytes(number(2))),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn mark_is_read_back_and_any_change_in_it_is_found(
            last: u64,
            stamp: i64,
            whole: u64,
            at in 0..BODY_BYTES + 4,
            bits in 1u8..,
        ) {
            let mark = TapsMark {
                last: Position(last),
                stamp: UtcMillis(stamp),
                whole_through: Position(whole),
            };
            let mut bytes = mark.pack();
            prop_assert_eq!(TapsMark::unpack(&bytes).expect("as packed"), mark);
            bytes[at] ^= bits;
            prop_assert!(TapsMark::unpack(&bytes).is_err());
            prop_assert!(TapsMark::unpack(&bytes[..at]).is_err());
        }
    }
}
