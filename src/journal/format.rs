//! The bytes of a segment: its header, and the records in it.
//!
//! All numbers are little-endian. A segment is a file of fixed size, zeros to begin with:
//!
//! | bytes | of a segment |
//! |---|---|
//! | 8 | magic `MISTAPJ\n` |
//! | 4 | format version |
//! | 4 | CRC-32C of the twelve bytes before, so that any version can be told from damage |
//! | 16 | epoch of the journal |
//! | 8 | number of the segment, from 0 |
//! | 8 | position of its first record |
//! | 8 | size of the file |
//! | 4 | CRC of the last record of the segment before; 0 in the first |
//! | 4 | from version 2 on: CRC of the last record as it was when the next segment began |
//! | 4 | CRC-32C of all before |
//! | to 4,096 | zeros |
//! | … | records, one after the other, and zeros to the end |
//!
//! | bytes | of a record |
//! |---|---|
//! | 4 | CRC-32C, seeded by epoch and segment number, of the 28 bytes after it and the facts |
//! | 4 | CRC of the record before: the chain |
//! | 8 | position |
//! | 8 | stamp in milliseconds |
//! | 2 | length of the facts, at least 1 |
//! | 2 | length of the personal part, prefix included; 0 if there is none |
//! | 2 | place in its batch, from 0 |
//! | 2 | zero |
//! | … | facts |
//! | 1 | if there is a personal part: `0xA5` if it is whole, `0x5A` if it was erased |
//! | 4 | CRC-32C of the personal part, seeded by the record's CRC |
//! | … | personal part |
//!
//! A segment is of version 1, until entries in it are replaced because the incidents that they
//! are about are kept no longer. It is then written anew as version 2: the chain of its records
//! is another, and the segment after it continues the one that it had before.
//!
//! Each CRC holds by itself, and the one before is a field, so that a record behind a bad
//! one can still be told to be valid. The CRC of the personal part lies within it, so that
//! nothing but zeros is left of an erased part. Erasure changes the state byte first; one
//! byte cannot be written by half, so an erasure that was cut short is seen as such, and
//! finished. A state of 0 was never written.

use bytes::{Buf, BufMut};

use super::Encoded;
use crate::domain::entry::Epoch;
use crate::domain::{Position, UtcMillis};

/// Bytes before the first record: a page of its own, which no append touches again.
pub const SEGMENT_HEADER_BYTES: usize = 4_096;
/// Bytes of a record before its facts.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Bytes of a personal part before its content: state and CRC.
pub const PERSONAL_PREFIX_BYTES: usize = 5;
/// The newest format that this code reads and writes.
pub const FORMAT_VERSION: u32 = 2;

const MAGIC: &[u8; 8] = b"MISTAPJ\n";
const VERSIONED_BYTES: usize = 12;
/// Bytes of a header of version 1 without its CRC, and those that version 2 has more.
const CHECKED_BYTES: usize = 60;
const SEALED_BYTES: usize = 4;
const PERSONAL_WHOLE: u8 = 0xA5;
/// State of a personal part that was erased. Not 0, which a torn write leaves.
pub const PERSONAL_ERASED: u8 = 0x5A;

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The journal that it is part of.
    pub epoch: Epoch,
    /// Its number, from 0.
    pub number: u64,
    /// Position of its first record.
    pub first: Position,
    /// Size of the file.
    pub segment_bytes: u64,
    /// CRC of the last record of the segment before; 0 in the first.
    pub previous_crc: u32,
    /// If entries in it were replaced: CRC of its last record as it was before, which the next
    /// segment continues.
    pub sealed_crc: Option<u32>,
}

/// Why a file's beginning is no header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidHeader {
    /// A later version of this format.
    Newer(u32),
    /// Anything else.
    Damaged,
}

impl SegmentHeader {
    /// As written to the file.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CHECKED_BYTES + SEALED_BYTES + 4);
        bytes.put_slice(MAGIC);
        bytes.put_u32_le(if self.sealed_crc.is_some() { 2 } else { 1 });
        bytes.put_u32_le(crc32c::crc32c(&bytes));
        bytes.put_slice(&self.epoch.0);
        bytes.put_u64_le(self.number);
        bytes.put_u64_le(self.first.0);
        bytes.put_u64_le(self.segment_bytes);
        bytes.put_u32_le(self.previous_crc);
        if let Some(crc) = self.sealed_crc {
            bytes.put_u32_le(crc);
        }
        bytes.put_u32_le(crc32c::crc32c(&bytes));
        bytes
    }

    /// From the beginning of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidHeader> {
        if bytes.len() < CHECKED_BYTES + 4 || !bytes.starts_with(MAGIC) {
            return Err(InvalidHeader::Damaged);
        }
        let mut rest = &bytes[MAGIC.len()..];
        let version = rest.get_u32_le();
        if rest.get_u32_le() != crc32c::crc32c(&bytes[..VERSIONED_BYTES]) {
            return Err(InvalidHeader::Damaged);
        }
        if FORMAT_VERSION < version {
            return Err(InvalidHeader::Newer(version));
        }
        let checked_bytes = match version {
            ..2 => CHECKED_BYTES,
            2.. => CHECKED_BYTES + SEALED_BYTES,
        };
        if bytes.len() < checked_bytes + 4 {
            return Err(InvalidHeader::Damaged);
        }
        let mut epoch = [0; 16];
        rest.copy_to_slice(&mut epoch);
        let header = Self {
            epoch: Epoch(epoch),
            number: rest.get_u64_le(),
            first: Position(rest.get_u64_le()),
            segment_bytes: rest.get_u64_le(),
            previous_crc: rest.get_u32_le(),
            sealed_crc: (2 <= version).then(|| rest.get_u32_le()),
        };
        if rest.get_u32_le() != crc32c::crc32c(&bytes[..checked_bytes]) {
            return Err(InvalidHeader::Damaged);
        }
        Ok(header)
    }

    /// What the CRCs of its records are seeded with: a record of another journal or segment
    /// is never valid here.
    pub fn seed(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.epoch.0), &self.number.to_le_bytes())
    }
}

/// What a record says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Of all that follows and the facts.
    pub crc: u32,
    /// CRC of the record before.
    pub previous_crc: u32,
    /// Place in the journal.
    pub position: Position,
    /// When it was committed.
    pub stamp: UtcMillis,
    /// Place in its batch, from 0.
    pub batch_offset: u16,
    facts_bytes: u16,
    personal_bytes: u16,
}

impl RecordHeader {
    /// From the beginning of `bytes`; `None` if that cannot be a record. Checks no CRC.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < RECORD_HEADER_BYTES {
            return None;
        }
        let mut rest = bytes;
        let (crc, previous_crc) = (rest.get_u32_le(), rest.get_u32_le());
        let (position, stamp) = (Position(rest.get_u64_le()), UtcMillis(rest.get_i64_le()));
        let (facts_bytes, personal_bytes) = (rest.get_u16_le(), rest.get_u16_le());
        let (batch_offset, reserved) = (rest.get_u16_le(), rest.get_u16_le());
        let is_possible = 0 < facts_bytes
            && (personal_bytes == 0 || PERSONAL_PREFIX_BYTES <= usize::from(personal_bytes))
            && reserved == 0;
        is_possible.then_some(Self {
            crc,
            previous_crc,
            position,
            stamp,
            batch_offset,
            facts_bytes,
            personal_bytes,
        })
    }

    /// Bytes of the whole record.
    pub fn record_bytes(&self) -> usize {
        self.personal_at() + usize::from(self.personal_bytes)
    }

    /// Where in the record the personal part begins.
    pub fn personal_at(&self) -> usize {
        RECORD_HEADER_BYTES + usize::from(self.facts_bytes)
    }

    /// Position of the first record of its batch.
    pub fn batch_first(&self) -> Position {
        Position(self.position.0.saturating_sub(self.batch_offset.into()))
    }
}

/// A record whose facts are proved by their CRC.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// What it says about itself.
    pub header: RecordHeader,
    /// The facts, encoded.
    pub facts: &'a [u8],
    personal: &'a [u8],
}

/// What is found in the place of a personal part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonalPart<'a> {
    /// There never was one.
    Absent,
    /// It is there, and proved by its CRC.
    Whole(&'a [u8]),
    /// It was erased; `finished` says whether every byte of it is gone.
    Erased {
        /// Whether all after the state is zeros.
        finished: bool,
    },
    /// Neither.
    Bad,
}

impl<'a> RawRecord<'a> {
    /// The record at the beginning of `bytes`; `None` unless it is whole and its CRC, under
    /// this seed, is right.
    pub fn parse(bytes: &'a [u8], seed: u32) -> Option<Self> {
        let header = RecordHeader::parse(bytes)?;
        let record = bytes.get(..header.record_bytes())?;
        let (checked, personal) = record.split_at(header.personal_at());
        let facts = &checked[RECORD_HEADER_BYTES..];
        (crc32c::crc32c_append(seed, &checked[4..]) == header.crc).then_some(Self {
            header,
            facts,
            personal,
        })
    }

    /// The personal part.
    pub fn personal(&self) -> PersonalPart<'a> {
        parse_personal(self.personal, self.header.crc)
    }
}

/// What lies in the place of a personal part of a record with this CRC.
pub fn parse_personal(part: &[u8], record_crc: u32) -> PersonalPart<'_> {
    let Some((mut prefix, content)) = part.split_at_checked(PERSONAL_PREFIX_BYTES) else {
        return PersonalPart::Absent;
    };
    match prefix.get_u8() {
        PERSONAL_WHOLE if prefix.get_u32_le() == crc32c::crc32c_append(record_crc, content) => {
            PersonalPart::Whole(content)
        }
        PERSONAL_ERASED => PersonalPart::Erased {
            finished: is_zero(&part[1..]),
        },
        _ => PersonalPart::Bad,
    }
}

/// The bytes of a whole personal part of a record with this CRC.
pub fn whole_personal(content: &[u8], record_crc: u32) -> Vec<u8> {
    let mut part = Vec::with_capacity(PERSONAL_PREFIX_BYTES + content.len());
    part.put_u8(PERSONAL_WHOLE);
    part.put_u32_le(crc32c::crc32c_append(record_crc, content));
    part.put_slice(content);
    part
}

/// The bytes of an erased one, of this length.
pub fn erased_personal(bytes: usize) -> Vec<u8> {
    let mut part = vec![0; bytes];
    part[0] = PERSONAL_ERASED;
    part
}

/// What a record is framed with, beside its content.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Of the segment.
    pub seed: u32,
    /// Of the record before.
    pub previous_crc: u32,
    /// Place in the journal.
    pub position: Position,
    /// When it is committed.
    pub stamp: UtcMillis,
    /// Place in its batch, from 0.
    pub batch_offset: u16,
}

/// Bytes that the record of an entry takes.
pub fn record_bytes(encoded: &Encoded) -> usize {
    let personal_bytes = encoded
        .personal()
        .map_or(0, |personal| PERSONAL_PREFIX_BYTES + personal.len());
    RECORD_HEADER_BYTES + encoded.facts().len() + personal_bytes
}

/// Adds the record of an entry, which takes at most `RECORD_BYTES_MAX` bytes, to `buffer`.
/// Returns its CRC.
pub fn push_record(buffer: &mut Vec<u8>, frame: Frame, encoded: &Encoded) -> u32 {
    let start = buffer.len();
    let facts_bytes = encoded.facts().len();
    let personal_bytes = record_bytes(encoded) - RECORD_HEADER_BYTES - facts_bytes;
    let length = |bytes| u16::try_from(bytes).expect("within RECORD_BYTES_MAX");
    buffer.put_u32_le(0);
    buffer.put_u32_le(frame.previous_crc);
    buffer.put_u64_le(frame.position.0);
    buffer.put_i64_le(frame.stamp.0);
    buffer.put_u16_le(length(facts_bytes));
    buffer.put_u16_le(length(personal_bytes));
    buffer.put_u16_le(frame.batch_offset);
    buffer.put_u16_le(0);
    buffer.put_slice(encoded.facts());
    let crc = crc32c::crc32c_append(frame.seed, &buffer[start + 4..]);
    buffer[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    if let Some(personal) = encoded.personal() {
        buffer.put_u8(PERSONAL_WHOLE);
        buffer.put_u32_le(crc32c::crc32c_append(crc, personal));
        buffer.put_slice(personal);
    }
    crc
}

/// Whether there is nothing but zeros.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<64>();
    words.iter().all(|word| word == &[0; 64]) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        epoch: Epoch([7; 16]),
        number: 3,
        first: Position(42),
        segment_bytes: 65_536,
        previous_crc: 99,
        sealed_crc: None,
    };

    fn record(personal: Option<&[u8]>) -> Vec<u8> {
        let encoded = Encoded::of_facts(vec![1, 2, 3]);
        let encoded = match personal {
            Some(personal) => encoded.with_personal(personal),
            None => encoded,
        };
        let frame = Frame {
            seed: HEADER.seed(),
            previous_crc: 5,
            position: Position(42),
            stamp: UtcMillis(1_000),
            batch_offset: 2,
        };
        let mut bytes = Vec::new();
        push_record(&mut bytes, frame, &encoded);
        assert_eq!(bytes.len(), record_bytes(&encoded));
        bytes
    }

    #[test]
    fn segment_header_reads_back_and_any_flipped_bit_is_seen() {
        let sealed = SegmentHeader {
            sealed_crc: Some(77),
            ..HEADER
        };
        for header in [HEADER, sealed] {
            let bytes = header.to_bytes();
            assert_eq!(SegmentHeader::parse(&bytes), Ok(header));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let parsed = SegmentHeader::parse(&flipped);
                assert_eq!(parsed, Err(InvalidHeader::Damaged), "bit {bit}");
            }
        }
    }

    #[test]
    fn newer_format_is_told_from_damage() {
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32_le(FORMAT_VERSION + 1);
        bytes.put_u32_le(crc32c::crc32c(&bytes));
        bytes.resize(SEGMENT_HEADER_BYTES, 0xff);
        assert_eq!(
            SegmentHeader::parse(&bytes),
            Err(InvalidHeader::Newer(FORMAT_VERSION + 1))
        );
    }

    #[test]
    fn record_reads_back_with_and_without_a_personal_part() {
        for personal in [None, Some(&[][..]), Some(&[4, 5][..])] {
            let bytes = record(personal);
            let raw = RawRecord::parse(&bytes, HEADER.seed()).expect("valid");
            assert_eq!(raw.facts, [1, 2, 3]);
            assert_eq!(raw.header.batch_first(), Position(40));
            let expected = personal.map(PersonalPart::Whole);
            assert_eq!(raw.personal(), expected.unwrap_or(PersonalPart::Absent));
        }
    }

    #[test]
    fn record_of_another_segment_is_not_valid() {
        let bytes = record(None);
        let other = SegmentHeader {
            number: 4,
            ..HEADER
        };
        assert!(RawRecord::parse(&bytes, other.seed()).is_none());
    }

    #[test]
    fn no_single_flipped_bit_of_a_record_goes_unseen() {
        let bytes = record(Some(&[4, 5]));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let is_whole = RawRecord::parse(&flipped, HEADER.seed())
                .is_some_and(|raw| raw.personal() != PersonalPart::Bad);
            assert!(!is_whole, "bit {bit}");
        }
    }

    #[test]
    fn personal_part_that_was_never_written_is_not_taken_for_an_erased_one() {
        let mut bytes = record(Some(&[4, 5]));
        for start in (RECORD_HEADER_BYTES + 3..bytes.len()).rev() {
            bytes[start..].fill(0);
            let raw = RawRecord::parse(&bytes, HEADER.seed()).expect("facts are untouched");
            assert_eq!(raw.personal(), PersonalPart::Bad);
        }
    }

    #[test]
    fn erasure_that_was_cut_short_is_seen() {
        let mut bytes = record(Some(&[4, 5]));
        let part = RECORD_HEADER_BYTES + 3;
        bytes[part] = PERSONAL_ERASED;
        for end in part + 1..=bytes.len() {
            bytes[part + 1..end].fill(0);
            let raw = RawRecord::parse(&bytes, HEADER.seed()).expect("facts are untouched");
            let finished = end == bytes.len();
            assert_eq!(raw.personal(), PersonalPart::Erased { finished });
        }
    }
}
