//! A block: consecutive incidents, packed by column. (skeleton)

use super::StoreError;
use crate::domain::Row;

/// A block, unpacked.
pub struct Block {
    pub rows: Vec<Row>,
}

impl Block {
    /// Packs up to `BLOCK_ROWS` rows, rising by position, with a checksum.
    pub fn pack(_number: u32, _rows: &[Row]) -> Vec<u8> {
        todo!()
    }
    /// Unpacks, checking the checksum and the number.
    pub fn unpack(_number: u32, _bytes: &[u8]) -> Result<Self, StoreError> {
        todo!()
    }
}
