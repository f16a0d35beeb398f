//! One column of a block as bits: numbers as differences to the least of them, each in the
//! same number of bits, eight numbers at a time.

/// Numbers that are packed together: eight of `width` bits fill `width` bytes.
const GROUP: usize = 8;
/// Widest difference that can be read out of one word of eight bytes at any bit. Wider ones
/// take whole words.
const SHIFTED_WIDTH_MAX: u8 = 57;
const WORD_BYTES: usize = 8;

/// A column as it lies in a block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Packed<'a> {
    /// Bits of each difference: 0 to 57, or 64.
    pub width: u8,
    /// The least number.
    pub base: u64,
    /// The column's bytes and at least eight more, which do not matter.
    pub bytes: &'a [u8],
}

/// Bytes that a column takes; `None` if there is no such width.
pub(super) fn bytes_of_column(width: u8, rows: usize) -> Option<usize> {
    let is_known = width <= SHIFTED_WIDTH_MAX || width == 64;
    is_known.then(|| rows.div_ceil(GROUP) * usize::from(width))
}

/// Appends the numbers to `out`; returns their width and the least of them.
pub(super) fn pack_column(values: &[i64], out: &mut Vec<u8>) -> (u8, u64) {
    let least = values.iter().copied().min().unwrap_or(0);
    let most = values.iter().copied().max().unwrap_or(0);
    let width = width_of(most.wrapping_sub(least).cast_unsigned());
    for group in values.chunks(GROUP) {
        let start = out.len();
        out.resize(start + usize::from(width), 0);
        for (index, value) in group.iter().enumerate() {
            let difference = value.wrapping_sub(least).cast_unsigned();
            put_bits(&mut out[start..], index * usize::from(width), difference);
        }
    }
    (width, least.cast_unsigned())
}

/// Puts a number into every place of `out`, each as `value` makes it, in order. The column
/// must be as long as `bytes_of_column` says for as many rows.
pub(super) fn unpack_column<T>(column: &Packed<'_>, out: &mut [T], value: impl FnMut(u64) -> T) {
    macro_rules! by_width {
        ($($width:literal)+) => {
            match column.width {
                $($width => unpack_groups::<$width, T>(column, out, value),)+
                _ => unpack_words(column, out, value),
            }
        };
    }
    by_width!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29
        30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57);
}

/// Unpacks with a width known to the compiler, so that the eight shifts of a group are
/// constants.
fn unpack_groups<const WIDTH: usize, T>(
    column: &Packed<'_>,
    out: &mut [T],
    mut value: impl FnMut(u64) -> T,
) {
    let mask = (1_u64 << WIDTH) - 1;
    let numbers_of = |group: usize| -> [u64; GROUP] {
        let start = group * WIDTH;
        let bytes = &column.bytes[start..start + WIDTH + WORD_BYTES];
        std::array::from_fn(|index| {
            let bit = index * WIDTH;
            let difference = word_at(bytes, bit / 8) >> (bit % 8) & mask;
            column.base.wrapping_add(difference)
        })
    };
    let (whole, rest) = out.as_chunks_mut::<GROUP>();
    for (group, places) in whole.iter_mut().enumerate() {
        *places = numbers_of(group).map(&mut value);
    }
    if !rest.is_empty() {
        for (place, number) in rest.iter_mut().zip(numbers_of(whole.len())) {
            *place = value(number);
        }
    }
}

fn unpack_words<T>(column: &Packed<'_>, out: &mut [T], mut value: impl FnMut(u64) -> T) {
    for (row, place) in out.iter_mut().enumerate() {
        let difference = word_at(column.bytes, row * WORD_BYTES);
        *place = value(column.base.wrapping_add(difference));
    }
}

fn width_of(difference: u64) -> u8 {
    let bits = u8::try_from(u64::BITS - difference.leading_zeros()).expect("at most 64");
    if bits <= SHIFTED_WIDTH_MAX { bits } else { 64 }
}

/// Sets the bits of `difference` from this bit on.
fn put_bits(out: &mut [u8], bit: usize, difference: u64) {
    let shifted = u128::from(difference) << (bit % 8);
    for (target, byte) in out[bit / 8..].iter_mut().zip(shifted.to_le_bytes()) {
        *target |= byte;
    }
}

fn word_at(bytes: &[u8], at: usize) -> u64 {
    let word = bytes[at..at + WORD_BYTES].try_into();
    u64::from_le_bytes(word.expect("eight bytes"))
}
