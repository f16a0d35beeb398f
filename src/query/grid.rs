//! Passes over dense cells: what is not known is taken out, and the few cells that a page
//! can show are found without making the rest of the rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ledger::Dictionary;

use super::axis::{Axes, Axis};
use super::page::Cursor;

/// A cell that is not 0, and its count.
pub(super) type Entry = (u64, u32);

/// Sum over all cells.
pub(super) fn sum(cells: &[u32]) -> u64 {
    // Chunks whose sums fit in fewer bits are added faster.
    const CHUNK: usize = 256;
    let chunk_sum = |chunk: &[u32]| chunk.iter().map(|count| u64::from(*count)).sum::<u64>();
    cells.chunks(CHUNK).map(chunk_sum).sum()
}

/// Empties the cells whose place on this axis is 0, and returns their sum.
pub(super) fn take_unknown(cells: &mut [u32], axes: &Axes, axis: usize) -> u64 {
    let stride = narrow(axes.strides[axis]);
    let size = axes.asked[axis].size as usize;
    let mut taken = 0;
    for span in cells.chunks_exact_mut(stride * size) {
        for cell in &mut span[..stride] {
            taken += u64::from(std::mem::take(cell));
        }
    }
    taken
}

/// The cells that can stand on a page in the order of keys: those of the first values of
/// the first dimension, as many as it takes for `rows` rows after the cursor.
pub(super) fn first_by_key(
    cells: &[u32],
    axes: &Axes,
    after: Option<&Cursor>,
    rows: usize,
    dictionary: &Dictionary,
) -> Vec<Entry> {
    let Some(leading) = axes.asked.first() else {
        return (0..).zip(cells.iter().copied()).filter(is_row).collect();
    };
    let counts = rows_by_place(cells, axes);
    let places = (1..).zip(counts.iter().skip(1));
    let mut places: Vec<u32> = places
        .filter(|(_, rows)| **rows != 0)
        .map(|(place, _)| place)
        .collect();
    let begin = after.map(|cursor| cursor.keys[0].as_str());
    if let Some(begin) = begin {
        places.retain(|place| begin <= &*leading.key(*place, dictionary));
    }
    // The rows of the first place may all stand before the cursor; each other has one.
    sort_first(&mut places, leading, rows + 1, dictionary);
    let mut enough = 0;
    let mut found = 0;
    while enough < places.len() && found < rows {
        let place = places[enough];
        let is_behind = begin.is_some_and(|begin| begin == leading.key(place, dictionary));
        if !is_behind {
            found += counts[place as usize] as usize;
        }
        enough += 1;
    }
    cells_at(cells, axes, &places[..enough])
}

/// The cells that can stand on a page in the order of counts: the largest `rows` below the
/// cursor's count with all their equals, and all that have the cursor's count.
pub(super) fn first_by_count(cells: &[u32], after: Option<&Cursor>, rows: usize) -> Vec<Entry> {
    let below = after.map_or(u64::MAX, |cursor| cursor.count);
    let mut largest = BinaryHeap::new();
    let mut least = 0;
    for (_, cells) in spans(cells) {
        if greatest(cells) <= least {
            continue;
        }
        for count in cells.iter().copied() {
            if least < count && u64::from(count) < below {
                largest.push(Reverse(count));
                if rows < largest.len() {
                    largest.pop();
                    least = largest.peek().map_or(0, |Reverse(count)| *count);
                }
            }
        }
    }
    let least = match largest.peek() {
        Some(Reverse(count)) => u64::from(*count),
        // All that are left have the cursor's count.
        None => below,
    };
    let wanted = least.max(1)..=below;
    let mut found = Vec::new();
    for (start, cells) in spans(cells) {
        if wanted.start() <= &u64::from(greatest(cells)) {
            let entries = (start..).zip(cells.iter().copied());
            found.extend(entries.filter(|(_, count)| wanted.contains(&u64::from(*count))));
        }
    }
    found
}

/// Cells that are passed over together where none of them can stand on a page: most, and to find
/// the greatest of many is one vector instruction for several of them, while a branch for each cell
/// costs as much as all else that a question does.
const SPAN_CELLS: usize = 64;

/// The cells, some at a time, each time with the number of the first.
fn spans(cells: &[u32]) -> impl Iterator<Item = (u64, &[u32])> {
    (0..).step_by(SPAN_CELLS).zip(cells.chunks(SPAN_CELLS))
}

fn greatest(cells: &[u32]) -> u32 {
    cells.iter().copied().max().unwrap_or(0)
}

/// Puts the places in the order of their keys, as far as the first few; drops the rest.
fn sort_first(places: &mut Vec<u32>, axis: &Axis, few: usize, dictionary: &Dictionary) {
    if axis.is_sorted() {
        places.truncate(few);
        return;
    }
    let mut keyed: Vec<_> = places
        .iter()
        .map(|place| (axis.key(*place, dictionary), *place))
        .collect();
    if few < keyed.len() {
        keyed.select_nth_unstable(few);
        keyed.truncate(few);
    }
    keyed.sort_unstable();
    places.clear();
    places.extend(keyed.into_iter().map(|(_, place)| place));
}

/// How many cells are not 0, for each place of the first dimension asked for.
fn rows_by_place(cells: &[u32], axes: &Axes) -> Vec<u32> {
    let stride = narrow(axes.strides[0]);
    let size = axes.asked[0].size as usize;
    let mut rows = vec![0; size];
    if stride == 1 {
        for span in cells.chunks_exact(size) {
            for (rows, cell) in rows.iter_mut().zip(span) {
                *rows += u32::from(*cell != 0);
            }
        }
    } else {
        for (index, span) in cells.chunks_exact(stride).enumerate() {
            let filled: u32 = span.iter().map(|cell| u32::from(*cell != 0)).sum();
            rows[index % size] += filled;
        }
    }
    rows
}

/// The cells, other than 0, at these places of the first dimension asked for.
fn cells_at(cells: &[u32], axes: &Axes, places: &[u32]) -> Vec<Entry> {
    let stride = narrow(axes.strides[0]);
    let span = stride * axes.asked[0].size as usize;
    let mut found = Vec::new();
    for start in (0..cells.len()).step_by(span) {
        for place in places {
            let start = start + *place as usize * stride;
            let entries = (start as u64..).zip(cells[start..start + stride].iter().copied());
            found.extend(entries.filter(is_row));
        }
    }
    found
}

fn is_row(entry: &Entry) -> bool {
    entry.1 != 0
}

fn narrow(stride: u64) -> usize {
    usize::try_from(stride).expect("dense cells are bounded")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn largest_counts_are_found_with_all_their_equals_and_all_of_the_cursors(
            cells in prop::collection::vec(
                prop_oneof![8 => 0u32..4, 1 => 0u32..300], 0..5 * SPAN_CELLS
            ),
            rows in 1usize..30,
            after in prop::option::of(0u64..300),
        ) {
            let cursor = after.map(|count| Cursor { keys: Vec::new(), count });
            let below = after.unwrap_or(u64::MAX);
            let mut counts: Vec<u64> = cells.iter().map(|count| u64::from(*count)).collect();
            counts.retain(|count| 0 < *count && *count < below);
            counts.sort_unstable_by_key(|count| Reverse(*count));
            let least = counts.get(rows - 1).or(counts.last()).copied().unwrap_or(below);
            let wanted = |(_, count): &Entry| {
                *count != 0 && least <= u64::from(*count) && u64::from(*count) <= below
            };
            let expected: Vec<Entry> =
                (0..).zip(cells.iter().copied()).filter(wanted).collect();
            prop_assert_eq!(first_by_count(&cells, cursor.as_ref(), rows), expected);
        }
    }
}
