//! A block: up to 512 consecutive incidents, packed by column.
//!
//! Every column is stored as its least value and, for each row, the difference to it in as
//! few bits as the largest difference needs (frame of reference), so that a column that is
//! the same in all rows costs nothing; positions are stored as steps. Realistic rows take 8
//! to 13 bytes, and no row of the planning sizes more than 30. The header holds what a scan
//! needs to pass over a block without unpacking it, and a CRC-32C covers every byte.
//!
//! Unpacking fills column vectors that are used again for the next block, and decodes only
//! the columns that were asked for.

use crate::domain::limits::{BLOCK_BYTES_MAX, BLOCK_ROWS};
use crate::domain::{Basis, Hour, LocalDay, Position, Row, RowTime};

use super::bits::{Packed, bytes_of_column, pack_column, unpack_column};
use super::error::InvalidBlock;
use super::summary::{HEADER_BYTES, Summary, u64_at};

bitflags::bitflags! {
    /// Columns of a block.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Columns: u16 {
        /// Places in the journal.
        const POSITION = 1;
        /// Hour or day.
        const TIME = 1 << 1;
        /// Self-reported or observed.
        const BASIS = 1 << 2;
        /// Dictionary number of the operator.
        const OPERATOR = 1 << 3;
        /// Dictionary number of the line.
        const LINE = 1 << 4;
        /// Dictionary number of the stop.
        const STOP = 1 << 5;
        /// `Mode`.
        const MODE = 1 << 6;
        /// `TapKind`.
        const TAP_KIND = 1 << 7;
        /// `CardKind`.
        const CARD_KIND = 1 << 8;
        /// `Signal`.
        const SIGNAL = 1 << 9;
        /// Set of `Cause`.
        const CAUSES = 1 << 10;
        /// Set of `StaffAct`.
        const STAFF_ACTS = 1 << 11;
        /// Set of `Outcome`.
        const OUTCOMES = 1 << 12;
    }
}

const COLUMNS: usize = 13;
/// Width and least value of one column.
const COLUMN_HEADER_BYTES: usize = 9;
/// Four bytes of nothing, so that the last column can be read in words, and the checksum.
const TAIL_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
const FIXED_BYTES: usize = HEADER_BYTES + COLUMNS * COLUMN_HEADER_BYTES + TAIL_BYTES;

// A column never takes more than eight bytes a row; together they stay well below, because
// only positions and times are wider than four.
const ROW_BYTES_MAX: usize = 40;
const _: () = assert!(FIXED_BYTES + BLOCK_ROWS * ROW_BYTES_MAX <= BLOCK_BYTES_MAX);
const _: () = assert!(BLOCK_ROWS.is_multiple_of(8) && BLOCK_ROWS <= u16::MAX as usize);

/// A block's rows, by column. A column that was not asked for reads as 0 in every row
/// (`RowTime::Hour(Hour(0))`, `Basis::SelfReported`).
#[derive(Clone, Debug)]
pub struct Block {
    number: u32,
    columns: Columns,
    positions: Vec<Position>,
    times: Vec<RowTime>,
    bases: Vec<Basis>,
    operators: Vec<u16>,
    lines: Vec<u32>,
    stops: Vec<u32>,
    modes: Vec<u8>,
    tap_kinds: Vec<u8>,
    card_kinds: Vec<u8>,
    signals: Vec<u8>,
    causes: Vec<u16>,
    staff_acts: Vec<u16>,
    outcomes: Vec<u16>,
}

// === impl Block ===

impl Default for Block {
    fn default() -> Self {
        Self::new()
    }
}

impl Block {
    /// A block without rows, to unpack into.
    pub fn new() -> Self {
        Self {
            number: 0,
            columns: Columns::all(),
            positions: Vec::new(),
            times: Vec::new(),
            bases: Vec::new(),
            operators: Vec::new(),
            lines: Vec::new(),
            stops: Vec::new(),
            modes: Vec::new(),
            tap_kinds: Vec::new(),
            card_kinds: Vec::new(),
            signals: Vec::new(),
            causes: Vec::new(),
            staff_acts: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// Packs 1 to `BLOCK_ROWS` rows, rising by position, with a checksum.
    pub fn pack(number: u32, rows: &[Row]) -> Vec<u8> {
        assert!(
            !rows.is_empty() && rows.len() <= BLOCK_ROWS,
            "rows of a block"
        );
        let mut packer = Packer::new(rows);
        let mut out = Vec::with_capacity(FIXED_BYTES + rows.len() * ROW_BYTES_MAX / 2);
        Summary::of(number, rows).write(&mut out);

        // As if the row before stood one place earlier: rows without gaps are all steps of one.
        let mut before = rows[0].position.0.wrapping_sub(1);
        packer.column(|row| {
            let step = row.position.0.wrapping_sub(before);
            before = row.position.0;
            step.cast_signed()
        });
        packer.column(|row| time_number(row.time));
        packer.column(|row| i64::from(row.basis == Basis::Observed));
        packer.column(|row| row.operator.into());
        packer.column(|row| row.line.into());
        packer.column(|row| row.stop.into());
        packer.column(|row| row.mode.into());
        packer.column(|row| row.tap_kind.into());
        packer.column(|row| row.card_kind.into());
        packer.column(|row| row.signal.into());
        packer.column(|row| row.causes.into());
        packer.column(|row| row.staff_acts.into());
        packer.column(|row| row.outcomes.into());
        packer.write(&mut out);

        out.extend([0; TAIL_BYTES - CHECKSUM_BYTES]);
        let checksum = crc32c::crc32c(&out);
        out.extend(checksum.to_le_bytes());
        assert!(out.len() <= BLOCK_BYTES_MAX, "bytes of a block");
        out
    }

    /// Unpacks all columns, after checking the checksum and the number.
    pub fn unpack(number: u32, bytes: &[u8]) -> Result<Self, InvalidBlock> {
        let mut block = Self::new();
        block.unpack_into(number, bytes, Columns::all())?;
        Ok(block)
    }

    /// Unpacks these columns in place of what the block held, after checking the checksum
    /// and the number. After an error the block has no rows.
    pub fn unpack_into(
        &mut self,
        number: u32,
        bytes: &[u8],
        columns: Columns,
    ) -> Result<(), InvalidBlock> {
        self.clear();
        let summary = check(number, bytes)?;
        let packed = packed_columns(bytes, summary.rows)?;
        self.number = number;
        self.columns = columns;
        self.fill(summary, &packed);
        Ok(())
    }

    /// The number that it is stored under.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Places in the journal, rising.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// Hours or days.
    pub fn times(&self) -> &[RowTime] {
        &self.times
    }

    /// Self-reported or observed.
    pub fn bases(&self) -> &[Basis] {
        &self.bases
    }

    /// Dictionary numbers of the operators, 0 for not known.
    pub fn operators(&self) -> &[u16] {
        &self.operators
    }

    /// Dictionary numbers of the lines, 0 for not known.
    pub fn lines(&self) -> &[u32] {
        &self.lines
    }

    /// Dictionary numbers of the stops, 0 for not known.
    pub fn stops(&self) -> &[u32] {
        &self.stops
    }

    /// Numbers of `Mode`.
    pub fn modes(&self) -> &[u8] {
        &self.modes
    }

    /// Numbers of `TapKind`.
    pub fn tap_kinds(&self) -> &[u8] {
        &self.tap_kinds
    }

    /// Numbers of `CardKind`.
    pub fn card_kinds(&self) -> &[u8] {
        &self.card_kinds
    }

    /// Numbers of `Signal`.
    pub fn signals(&self) -> &[u8] {
        &self.signals
    }

    /// Sets of `Cause`.
    pub fn causes(&self) -> &[u16] {
        &self.causes
    }

    /// Sets of `StaffAct`.
    pub fn staff_acts(&self) -> &[u16] {
        &self.staff_acts
    }

    /// Sets of `Outcome`.
    pub fn outcomes(&self) -> &[u16] {
        &self.outcomes
    }

    /// The row at an index below `len()`.
    pub fn row(&self, index: usize) -> Row {
        Row {
            position: self.positions[index],
            time: self.times[index],
            basis: self.bases[index],
            operator: self.operators[index],
            line: self.lines[index],
            stop: self.stops[index],
            mode: self.modes[index],
            tap_kind: self.tap_kinds[index],
            card_kind: self.card_kinds[index],
            signal: self.signals[index],
            causes: self.causes[index],
            staff_acts: self.staff_acts[index],
            outcomes: self.outcomes[index],
        }
    }

    /// All rows, by position.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row> + '_ {
        (0..self.len()).map(|index| self.row(index))
    }

    fn clear(&mut self) {
        self.positions.clear();
        self.times.clear();
        self.bases.clear();
        self.operators.clear();
        self.lines.clear();
        self.stops.clear();
        self.modes.clear();
        self.tap_kinds.clear();
        self.card_kinds.clear();
        self.signals.clear();
        self.causes.clear();
        self.staff_acts.clear();
        self.outcomes.clear();
    }

    fn fill(&mut self, summary: Summary, packed: &[Packed<'_>; COLUMNS]) {
        let mut reader = Reader {
            packed: packed.iter(),
            wanted: self.columns.bits(),
            rows: summary.rows.into(),
        };
        let mut position = summary.first.0.wrapping_sub(1);
        reader.column(&mut self.positions, Position(0), |step| {
            position = position.wrapping_add(step);
            Position(position)
        });
        reader.column(&mut self.times, RowTime::Hour(Hour(0)), time_of);
        reader.column(&mut self.bases, Basis::SelfReported, basis_of);
        reader.column(&mut self.operators, 0, low_16);
        reader.column(&mut self.lines, 0, low_32);
        reader.column(&mut self.stops, 0, low_32);
        reader.column(&mut self.modes, 0, low_8);
        reader.column(&mut self.tap_kinds, 0, low_8);
        reader.column(&mut self.card_kinds, 0, low_8);
        reader.column(&mut self.signals, 0, low_8);
        reader.column(&mut self.causes, 0, low_16);
        reader.column(&mut self.staff_acts, 0, low_16);
        reader.column(&mut self.outcomes, 0, low_16);
    }
}

/// Columns on their way into a block, in the order of `Columns`.
struct Packer<'a> {
    rows: &'a [Row],
    values: Vec<i64>,
    headers: Vec<u8>,
    body: Vec<u8>,
}

impl<'a> Packer<'a> {
    fn new(rows: &'a [Row]) -> Self {
        Self {
            rows,
            values: Vec::with_capacity(rows.len()),
            headers: Vec::with_capacity(COLUMNS * COLUMN_HEADER_BYTES),
            body: Vec::with_capacity(rows.len() * ROW_BYTES_MAX / 2),
        }
    }

    fn column(&mut self, value: impl FnMut(&Row) -> i64) {
        self.values.clear();
        self.values.extend(self.rows.iter().map(value));
        let (width, base) = pack_column(&self.values, &mut self.body);
        self.headers.push(width);
        self.headers.extend(base.to_le_bytes());
    }

    fn write(self, out: &mut Vec<u8>) {
        assert!(self.headers.len() == COLUMNS * COLUMN_HEADER_BYTES);
        out.extend(self.headers);
        out.extend(self.body);
    }
}

/// Columns on their way out of a block, in the order of `Columns`.
struct Reader<'a, 'b> {
    packed: std::slice::Iter<'b, Packed<'a>>,
    wanted: u16,
    rows: usize,
}

impl Reader<'_, '_> {
    fn column<T: Copy>(&mut self, out: &mut Vec<T>, nothing: T, value: impl FnMut(u64) -> T) {
        let packed = self.packed.next().expect("as many columns as fields");
        out.resize(self.rows, nothing);
        if self.wanted & 1 != 0 {
            unpack_column(packed, out, value);
        }
        self.wanted >>= 1;
    }
}

/// The checksum of blocks one after the other, from that of all before a block and the block's
/// bytes: the same only for the same blocks. It is made of their checksums, because bytes that
/// end in their own CRC give the same one whatever they are.
pub fn chain(before: u32, bytes: &[u8]) -> u32 {
    chain_checksum(before, checksum(bytes))
}

/// As `chain`, from a block's checksum.
pub(super) fn chain_checksum(before: u32, checksum: u32) -> u32 {
    crc32c::crc32c_append(before, &checksum.to_le_bytes())
}

/// The checksum that a block ends in; 0 if it is too short to have one.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let last = bytes.last_chunk().copied();
    last.map_or(0, u32::from_le_bytes)
}

/// Checks the header, the checksum and the number.
pub(super) fn check(number: u32, bytes: &[u8]) -> Result<Summary, InvalidBlock> {
    let summary = Summary::read(bytes)?;
    if bytes.len() < FIXED_BYTES {
        return Err(InvalidBlock::Length);
    }
    let covered = &bytes[..bytes.len() - CHECKSUM_BYTES];
    if checksum(bytes) != crc32c::crc32c(covered) {
        return Err(InvalidBlock::Checksum);
    }
    if summary.number != number {
        return Err(InvalidBlock::Number);
    }
    Ok(summary)
}

/// Where each column lies. Every width and length is checked here.
fn packed_columns(bytes: &[u8], rows: u16) -> Result<[Packed<'_>; COLUMNS], InvalidBlock> {
    let mut start = HEADER_BYTES + COLUMNS * COLUMN_HEADER_BYTES;
    let mut columns = [Packed::default(); COLUMNS];
    for (index, column) in columns.iter_mut().enumerate() {
        let header = HEADER_BYTES + index * COLUMN_HEADER_BYTES;
        let width = bytes[header];
        let end = start + bytes_of_column(width, rows.into()).ok_or(InvalidBlock::Format)?;
        // The tail is left in sight, because words are read past the end of a column.
        let visible = bytes.get(start..end + TAIL_BYTES);
        *column = Packed {
            width,
            base: u64_at(bytes, header + 1),
            bytes: visible.ok_or(InvalidBlock::Length)?,
        };
        start = end;
    }
    if start + TAIL_BYTES != bytes.len() {
        return Err(InvalidBlock::Length);
    }
    Ok(columns)
}

/// Twice the hour; for a day, twice its number of hours since 1970 if all had 24, plus one:
/// near the hours of that day, so that a few days among hours do not widen the column.
fn time_number(time: RowTime) -> i64 {
    match time {
        RowTime::Hour(hour) => i64::from(hour.0) * 2,
        RowTime::Day(day) => i64::from(day.0) * 48 + 1,
    }
}

fn time_of(number: u64) -> RowTime {
    if number & 1 == 0 {
        RowTime::Hour(Hour(low_32(number >> 1)))
    } else {
        let day = number.cast_signed().div_euclid(48);
        RowTime::Day(LocalDay(low_32(day.cast_unsigned()).cast_signed()))
    }
}

fn basis_of(number: u64) -> Basis {
    if number == 0 {
        Basis::SelfReported
    } else {
        Basis::Observed
    }
}

#[expect(clippy::cast_possible_truncation, reason = "packed from this type")]
fn low_8(number: u64) -> u8 {
    number as u8
}

#[expect(clippy::cast_possible_truncation, reason = "packed from this type")]
fn low_16(number: u64) -> u16 {
    number as u16
}

#[expect(clippy::cast_possible_truncation, reason = "packed from this type")]
fn low_32(number: u64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Window;
    use crate::store::summary::FORMAT;

    fn any_row() -> impl Strategy<Value = Row> {
        let time = prop_oneof![
            any::<u32>().prop_map(|hour| RowTime::Hour(Hour(hour))),
            (480_000_u32..480_400).prop_map(|hour| RowTime::Hour(Hour(hour))),
            any::<i32>().prop_map(|day| RowTime::Day(LocalDay(day))),
            (20_000_i32..20_020).prop_map(|day| RowTime::Day(LocalDay(day))),
        ];
        let places = (any::<bool>(), any::<u16>(), any::<u32>(), any::<u32>());
        let numbers = (any::<[u8; 4]>(), any::<[u16; 3]>());
        (time, places, numbers).prop_map(|(time, places, ([mode, tap, card, signal], sets))| Row {
            position: Position(0),
            time,
            basis: if places.0 {
                Basis::Observed
            } else {
                Basis::SelfReported
            },
            operator: places.1,
            line: places.2,
            stop: places.3,
            mode,
            tap_kind: tap,
            card_kind: card,
            signal,
            causes: sets[0],
            staff_acts: sets[1],
            outcomes: sets[2],
        })
    }

    prop_compose! {
        fn any_rows()(
            first in prop_oneof![Just(1), any::<u64>()],
            rows in prop::collection::vec(
                (any_row(), prop_oneof![9 => 1_u64..4, 1 => any::<u64>()]),
                1..=BLOCK_ROWS,
            ),
            same in prop_oneof![Just(0), 0..BLOCK_ROWS],
        ) -> Vec<Row> {
            let mut position = first;
            let pattern = rows[0].0;
            let rows = rows.into_iter().enumerate().map(|(index, (row, step))| {
                position = position.saturating_add(step);
                let row = if index < same { pattern } else { row };
                Row { position: Position(position), ..row }
            });
            rows.collect()
        }
    }

    /// A row as the generator of demonstration data makes them: several lines of several
    /// operators within an hour or two, now and then one of three weeks ago.
    fn plausible_row(index: u32) -> Row {
        let mixed = index.wrapping_mul(2_654_435_761) >> 7;
        let is_old = mixed.is_multiple_of(50);
        Row {
            position: Position(1_000_000 + u64::from(index + index / 40)),
            time: if is_old {
                RowTime::Day(LocalDay(
                    20_400 + low_32(u64::from(mixed % 21)).cast_signed(),
                ))
            } else {
                RowTime::Hour(Hour(490_080 + mixed % 2))
            },
            basis: if mixed % 10 < 3 {
                Basis::SelfReported
            } else {
                Basis::Observed
            },
            operator: low_16(u64::from(mixed % 20)),
            line: mixed % 3_400,
            stop: (mixed * 13) % 45_000,
            mode: low_8(u64::from(mixed % 9)),
            tap_kind: low_8(u64::from(mixed % 4)),
            card_kind: low_8(u64::from(mixed % 13)),
            signal: low_8(u64::from(mixed % 14)),
            causes: 1 << (mixed % 15),
            staff_acts: 1 << (mixed % 11),
            outcomes: 1 << (mixed % 7),
        }
    }

    fn plausible_rows(rows: usize) -> Vec<Row> {
        (0..).take(rows).map(plausible_row).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn block_gives_back_the_rows_that_were_packed(rows in any_rows(), number: u32) {
            let bytes = Block::pack(number, &rows);
            let block = Block::unpack(number, &bytes).expect("just packed");
            prop_assert_eq!(block.rows().collect::<Vec<_>>(), rows);
        }

        #[test]
        fn flipped_byte_is_noticed(rows in any_rows(), at: prop::sample::Index, flip in 1_u8..) {
            let mut bytes = Block::pack(7, &rows);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(Block::unpack(7, &bytes).is_err());
        }

        #[test]
        fn chained_checksums_tell_any_two_blocks_apart(
            before: u32, one in any_rows(), other in any_rows()
        ) {
            let (one, other) = (Block::pack(7, &one), Block::pack(7, &other));
            let is_same = chain(before, &one) == chain(before, &other);
            prop_assert_eq!(is_same, one == other);
        }

        #[test]
        fn bytes_of_anything_are_refused_without_a_panic(bytes: Vec<u8>) {
            let mut signed = bytes;
            signed.resize(signed.len().max(FIXED_BYTES), 0);
            signed[0] = FORMAT;
            let covered = signed.len() - CHECKSUM_BYTES;
            let checksum = crc32c::crc32c(&signed[..covered]);
            signed[covered..].copy_from_slice(&checksum.to_le_bytes());
            prop_assert!(Block::unpack(u32::MAX, &signed).is_err());
        }

        #[test]
        fn summary_never_denies_a_row_that_a_window_holds(
            rows in prop::collection::vec((480_000_u32..480_096, any::<bool>()), 1..9),
            start in 480_000_u32..480_090,
            hours in 1_u32..72,
        ) {
            let rows: Vec<Row> = rows.into_iter().map(|(hour, is_day)| Row {
                time: if is_day {
                    RowTime::Day(Hour(hour).local_day())
                } else {
                    RowTime::Hour(Hour(hour))
                },
                ..plausible_row(0)
            }).collect();
            let window = Window::new(Hour(start), Hour(start + hours)).expect("not empty");
            let holds_one = rows.iter().any(|row| match row.time {
                RowTime::Hour(hour) => window.contains(hour),
                RowTime::Day(day) => window.contains_day(day),
            });
            let summary = Summary::read(&Block::pack(0, &rows)).expect("just packed");
            prop_assert!(summary.may_touch(window) || !holds_one);
        }
    }

    #[test]
    fn every_flipped_bit_of_a_small_block_is_noticed() {
        let bytes = Block::pack(3, &plausible_rows(9));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Block::unpack(3, &damaged).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(
                Block::unpack(3, &bytes[..length]).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn another_number_is_refused() {
        let bytes = Block::pack(3, &plausible_rows(9));
        assert_eq!(Block::unpack(4, &bytes).err(), Some(InvalidBlock::Number));
    }

    #[test]
    fn only_the_columns_asked_for_are_unpacked() {
        let rows = plausible_rows(100);
        let bytes = Block::pack(0, &rows);
        let mut block = Block::unpack(0, &Block::pack(0, &plausible_rows(512))).expect("packed");
        block
            .unpack_into(0, &bytes, Columns::LINE | Columns::OUTCOMES)
            .expect("just packed");
        assert_eq!(block.len(), 100);
        for (row, expected) in block.rows().zip(&rows) {
            assert_eq!((row.line, row.outcomes), (expected.line, expected.outcomes));
            assert_eq!((row.stop, row.mode, row.causes), (0, 0, 0));
        }
    }

    #[test]
    fn block_that_failed_to_unpack_has_no_rows() {
        let bytes = Block::pack(0, &plausible_rows(100));
        let mut block = Block::unpack(0, &bytes).expect("just packed");
        assert!(block.unpack_into(1, &bytes, Columns::all()).is_err());
        assert!(block.is_empty());
    }

    #[test]
    fn summary_tells_rows_positions_times_and_bases() {
        let rows = plausible_rows(512);
        let summary = Summary::read(&Block::pack(9, &rows)).expect("just packed");
        assert_eq!((summary.number, summary.rows), (9, 512));
        assert_eq!(summary.first, rows[0].position);
        assert_eq!(summary.last, rows[511].position);
        assert_eq!(summary.hours, Some((Hour(490_080), Hour(490_081))));
        assert!(summary.days.is_some());
        assert!(summary.has(Basis::Observed) && summary.has(Basis::SelfReported));
    }

    #[test]
    fn plausible_rows_take_at_most_twenty_bytes_and_equal_ones_almost_nothing() {
        let bytes = Block::pack(0, &plausible_rows(BLOCK_ROWS)).len();
        assert!(bytes <= 20 * BLOCK_ROWS, "{bytes} bytes");
        let equal: Vec<Row> = (0..512)
            .map(|index| Row {
                position: Position(1 + index),
                ..plausible_row(1)
            })
            .collect();
        assert_eq!(Block::pack(0, &equal).len(), FIXED_BYTES);
    }

    #[test]
    fn row_of_the_planning_sizes_never_takes_more_than_thirty_bytes() {
        use crate::domain::limits::{LINES_MAX, OPERATORS_MAX, STOPS_MAX};

        let rows: Vec<Row> = (0..512_u32)
            .map(|index| {
                let most = index % 2 == 1;
                let of = |value: u32| if most { value } else { 0 };
                Row {
                    position: Position(u64::from(index / 2) << 32 | u64::from(most)),
                    time: RowTime::Hour(Hour(263_000 + of(876_000))),
                    basis: if most {
                        Basis::Observed
                    } else {
                        Basis::SelfReported
                    },
                    operator: u16::try_from(of(u32::try_from(OPERATORS_MAX).expect("small")))
                        .expect("small"),
                    line: of(u32::try_from(LINES_MAX).expect("small")),
                    stop: of(u32::try_from(STOPS_MAX).expect("small")),
                    mode: low_8(of(15).into()),
                    tap_kind: low_8(of(15).into()),
                    card_kind: low_8(of(15).into()),
                    signal: low_8(of(15).into()),
                    causes: low_16(of(0xffff).into()),
                    staff_acts: low_16(of(0xffff).into()),
                    outcomes: low_16(of(0xffff).into()),
                }
            })
            .collect();
        let bytes = Block::pack(u32::MAX, &rows).len();
        assert!(bytes <= 30 * BLOCK_ROWS, "{bytes} bytes");
    }
}
