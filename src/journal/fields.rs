//! Fields of a message as protobuf writes them, straight from our own types.
//!
//! Building a generated message first means a copy of every text: a third of what a report
//! costs before it is sent to the committer. What is left out by protobuf (empty texts,
//! zeros, false) is left out here, so that the bytes are the same; a test compares them.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// Bits of a field's key below its number.
const WIRE_TYPE_BITS: u32 = 3;
/// Numbers below this are one byte as they are.
const ONE_BYTE_END: u64 = 0x80;
/// Room for what comes before a message inside: its key, and its length.
const HEADER_BYTES: usize = 1 + 3;

/// Writes the fields of one message, which have to come in the order of their numbers.
#[derive(Default)]
pub(super) struct Fields(Vec<u8>);

impl Fields {
    /// With room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// In this memory, whatever is there, with room for what `close` puts before them.
    pub fn inside(mut memory: Vec<u8>) -> Self {
        memory.clear();
        memory.extend_from_slice(&[0; HEADER_BYTES]);
        Self(memory)
    }

    /// How long they are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Ends the message begun with `inside` as a field of another, with a number below 16.
    /// Returns where that begins. Fields that follow belong to no message yet.
    pub fn close(&mut self, number: u32) -> usize {
        let length = self.0.len() - HEADER_BYTES;
        let mut header = [0; HEADER_BYTES];
        let mut room = &mut header[..];
        encode_key(number, WireType::LengthDelimited, &mut room);
        encode_varint(length as u64, &mut room);
        let begin = room.len();
        self.0[begin..HEADER_BYTES].copy_from_slice(&header[..HEADER_BYTES - begin]);
        begin
    }

    /// Bytes, a text or a message inside; nothing if they are empty.
    pub fn bytes(&mut self, number: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.element(number, bytes);
        }
    }

    /// One of several texts or messages; also if it is empty.
    pub fn element(&mut self, number: u32, bytes: &[u8]) {
        self.key(number, WireType::LengthDelimited);
        self.varint(bytes.len() as u64);
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
        self.key(number, WireType::Varint);
        self.varint(value);
    }

    /// Numbers one after the other; nothing if there is none.
    pub fn packed(&mut self, number: u32, values: impl Iterator<Item = u32> + Clone) {
        let lengths = values.clone().map(|value| encoded_len_varint(value.into()));
        let length = lengths.sum::<usize>();
        if length == 0 {
            return;
        }
        self.key(number, WireType::LengthDelimited);
        self.varint(length as u64);
        values.for_each(|value| self.varint(value.into()));
    }

    #[inline]
    fn key(&mut self, number: u32, wire_type: WireType) {
        self.varint(u64::from(number << WIRE_TYPE_BITS | wire_type as u32));
    }

    /// Most numbers are small.
    #[inline]
    fn varint(&mut self, value: u64) {
        match u8::try_from(value) {
            Ok(byte) if value < ONE_BYTE_END => self.0.push(byte),
            _ => encode_varint(value, &mut self.0),
        }
    }
}
