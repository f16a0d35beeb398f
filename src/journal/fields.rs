//! Fields of a message as protobuf writes them, straight from our own types.
//!
//! Building a generated message first means a copy of every text: a third of what a report
//! costs before it is sent to the committer. What is left out by protobuf (empty texts,
//! zeros, false) is left out here, so that the bytes are the same; a test compares them.

use prost::encoding::{WireType, encode_key, encode_varint};

/// Writes the fields of one message, which have to come in the order of their numbers.
#[derive(Default)]
pub(super) struct Fields(Vec<u8>);

impl Fields {
    /// With room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// The message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Bytes, a text or a message inside; nothing if they are empty.
    pub fn bytes(&mut self, number: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.element(number, bytes);
        }
    }

    /// One of several texts or messages; also if it is empty.
    pub fn element(&mut self, number: u32, bytes: &[u8]) {
        encode_key(number, WireType::LengthDelimited, &mut self.0);
        encode_varint(bytes.len() as u64, &mut self.0);
        self.0.extend_from_slice(bytes);
    }

    /// A number, or true as 1; nothing if it is 0.
    pub fn number(&mut self, number: u32, value: impl Into<u64>) {
        let value = value.into();
        if value != 0 {
            self.told_number(number, value);
        }
    }

    /// A number that may be negative; nothing if it is 0.
    pub fn signed(&mut self, number: u32, value: i64) {
        self.number(number, value.cast_unsigned());
    }

    /// A number whose being there says something; also if it is 0.
    pub fn told_number(&mut self, number: u32, value: u64) {
        encode_key(number, WireType::Varint, &mut self.0);
        encode_varint(value, &mut self.0);
    }

    /// Numbers one after the other; nothing if there is none.
    pub fn packed(&mut self, number: u32, values: impl Iterator<Item = u32>) {
        let mut packed = Vec::new();
        for value in values {
            encode_varint(value.into(), &mut packed);
        }
        self.bytes(number, &packed);
    }
}
