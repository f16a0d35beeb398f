//! Blocks of tap counts as bytes: counts of a chunk of scopes on one day, and their totals.

use super::super::error::InvalidBlock;
use super::TapPlace;
use crate::domain::taps::{TapInterval, Taps};
use crate::domain::{LocalDay, Position};

pub(super) const FORMAT: u8 = 1;
/// Format, interval, key, position.
pub(super) const HEADER_BYTES: usize = 2 + KEY_BYTES + 8;
pub(super) const KEY_BYTES: usize = 9;
pub(super) const CRC_BYTES: usize = 4;
/// Scopes in one block of totals, and in one block of a feed of days.
pub(super) const TOTALS_SCOPES: u32 = 4_096;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    Totals = 0,
    Counts = 1,
}

/// The place of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) feed: u16,
    pub(super) day: LocalDay,
    pub(super) part: Part,
    pub(super) chunk: u16,
}

/// A count that is to be set in a block: position, scope within the chunk, slot, taps.
pub(super) type OneTold = (Position, u32, u8, Taps);
pub(super) type Told = Vec<OneTold>;

/// How many intervals of a day were told of a scope, and their taps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayTotal {
    /// Intervals that were told; 0 if none.
    pub told: u8,
    /// Taps in them.
    pub taps: u64,
}

/// The number of the chunk in which a feed of such intervals keeps a scope.
pub fn tap_chunk(interval: TapInterval, scope: u32) -> u16 {
    u16::try_from(scope / chunk_scopes(interval)).expect("scopes are bounded, see limits")
}

pub(super) fn chunk_scopes(interval: TapInterval) -> u32 {
    match interval {
        TapInterval::Quarter => 64,
        TapInterval::Hour => 256,
        TapInterval::Day => TOTALS_SCOPES,
    }
}

/// Counts of a chunk of scopes on one day: for each scope the slots, up to the last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) position: Position,
    /// By scope within the chunk; taps plus one, 0 where nothing was told.
    pub(super) rows: Vec<Vec<u32>>,
}

/// Totals of a chunk of scopes on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) position: Position,
    pub(super) rows: Vec<DayTotal>,
}

// === impl Key ===

impl Key {
    pub(super) fn bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes[..2].copy_from_slice(&self.feed.to_be_bytes());
        // Days come after 1970, so that they sort as their bytes do.
        bytes[2..6].copy_from_slice(&self.day.0.to_be_bytes());
        bytes[6] = self.part as u8;
        bytes[7..].copy_from_slice(&self.chunk.to_be_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [f0, f1, d0, d1, d2, d3, part, c0, c1] = *bytes else {
            return None;
        };
        Some(Self {
            feed: u16::from_be_bytes([f0, f1]),
            day: LocalDay(i32::from_be_bytes([d0, d1, d2, d3])),
            part: match part {
                0 => Part::Totals,
                1 => Part::Counts,
                _ => return None,
            },
            chunk: u16::from_be_bytes([c0, c1]),
        })
    }
}

impl From<TapPlace> for Key {
    fn from(place: TapPlace) -> Self {
        Self {
            feed: place.feed,
            day: place.day,
            part: Part::Counts,
            chunk: place.chunk,
        }
    }
}

// === Blocks as bytes ===

pub(super) fn begin(key: Key, position: Position) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend([FORMAT, 0]);
    out.extend(key.bytes());
    out.extend(position.0.to_le_bytes());
    out
}

pub(super) fn finish(mut out: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&out);
    out.extend(crc.to_le_bytes());
    out
}

/// What is between header and checksum, both checked, and the position.
pub(super) fn open(key: Key, bytes: &[u8]) -> Result<(Position, &[u8]), InvalidBlock> {
    let (told, crc) = bytes
        .split_last_chunk::<CRC_BYTES>()
        .ok_or(InvalidBlock::Length)?;
    if crc32c::crc32c(told).to_le_bytes() != *crc {
        return Err(InvalidBlock::Checksum);
    }
    let (header, body) = told
        .split_at_checked(HEADER_BYTES)
        .ok_or(InvalidBlock::Length)?;
    if header[..2] != [FORMAT, 0] {
        return Err(InvalidBlock::Format);
    }
    if header[2..2 + KEY_BYTES] != key.bytes() {
        return Err(InvalidBlock::Number);
    }
    let position = header[2 + KEY_BYTES..].try_into();
    let position = position.map_err(|_| InvalidBlock::Length)?;
    Ok((Position(u64::from_le_bytes(position)), body))
}

impl Counts {
    /// For each scope how many slots follow, and, if any do, how many bytes each takes.
    pub(super) fn pack(&self, key: Key) -> Vec<u8> {
        let mut out = begin(key, self.position);
        for row in &self.rows {
            let used = row.iter().rposition(|value| *value != 0);
            let row = &row[..used.map_or(0, |last| last + 1)];
            out.push(u8::try_from(row.len()).expect("at most 100 slots"));
            let width = match row.iter().max() {
                None => continue,
                Some(..=0xff) => 1,
                Some(..=0xffff) => 2,
                Some(_) => size_of::<u32>(),
            };
            out.push(u8::try_from(width).expect("at most 4"));
            for value in row {
                out.extend(&value.to_le_bytes()[..width]);
            }
        }
        finish(out)
    }

    pub(super) fn unpack(key: Key, bytes: &[u8]) -> Result<Self, InvalidBlock> {
        let (position, mut body) = open(key, bytes)?;
        let mut rows = Vec::new();
        while let [len, rest @ ..] = body {
            body = rest;
            if *len == 0 {
                rows.push(Vec::new());
                continue;
            }
            let [width @ (1 | 2 | 4), rest @ ..] = body else {
                return Err(InvalidBlock::Format);
            };
            let width = usize::from(*width);
            let (values, rest) = rest
                .split_at_checked(usize::from(*len) * width)
                .ok_or(InvalidBlock::Length)?;
            body = rest;
            rows.push(values.chunks_exact(width).map(read_value).collect());
        }
        Ok(Self { position, rows })
    }

    pub(super) fn set(&mut self, scope: u32, slot: u8, taps: Taps) {
        let (scope, slot) = (scope as usize, usize::from(slot));
        if self.rows.len() <= scope {
            self.rows.resize(scope + 1, Vec::new());
        }
        let row = &mut self.rows[scope];
        if row.len() <= slot {
            row.resize(slot + 1, 0);
        }
        row[slot] = taps.get() + 1;
    }

    /// Sets what comes after what is there already.
    pub(super) fn apply(&mut self, told: &[OneTold]) {
        let had = self.position;
        for (position, scope, slot, taps) in told {
            if had < *position {
                self.set(*scope, *slot, *taps);
                self.position = self.position.max(*position);
            }
        }
    }

    pub(super) fn total(&self, scope: u32) -> DayTotal {
        let row = self.rows.get(scope as usize).map_or(&[][..], Vec::as_slice);
        row.iter()
            .filter(|value| **value != 0)
            .fold(DayTotal::default(), |total, value| DayTotal {
                told: total.told + 1,
                taps: total.taps + u64::from(value - 1),
            })
    }
}

pub(super) fn read_value(bytes: &[u8]) -> u32 {
    let mut value = [0; 4];
    value[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(value)
}

impl Totals {
    pub(super) fn pack(&self, key: Key) -> Vec<u8> {
        let mut out = begin(key, self.position);
        for row in &self.rows {
            out.push(row.told);
            if row.told != 0 {
                put(&mut out, row.taps);
            }
        }
        finish(out)
    }

    pub(super) fn unpack(key: Key, bytes: &[u8]) -> Result<Self, InvalidBlock> {
        let (position, mut body) = open(key, bytes)?;
        let mut rows = Vec::with_capacity(body.len() / 2);
        while let [told, rest @ ..] = body {
            body = rest;
            let taps = match told {
                0 => 0,
                _ => take(&mut body).ok_or(InvalidBlock::Length)?,
            };
            rows.push(DayTotal { told: *told, taps });
        }
        Ok(Self { position, rows })
    }

    pub(super) fn set(&mut self, scope: u32, total: DayTotal) {
        let scope = scope as usize;
        if self.rows.len() <= scope {
            self.rows.resize(scope + 1, DayTotal::default());
        }
        self.rows[scope] = total;
    }
}

/// Writes a varint.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while 0x7f < value {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(super) fn take(body: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = body.split_first()?;
        *body = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}
