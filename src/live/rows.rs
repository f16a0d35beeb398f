//! Rows of a watch, packed. A question may have thousands, and as many earlier states as watchers
//! have; a text for each key and a list for each row would take three times as much, in thousands
//! of pieces that leave holes when they go.

use std::fmt;

use crate::query::rates::RateFigure;

/// Rows by key, each with as many keys as dimensions.
#[derive(Clone, PartialEq)]
pub struct Rows {
    /// All keys, one after the other.
    keys: Box<str>,
    /// Where each of them ends.
    ends: Box<[u32]>,
    counts: Box<[u64]>,
    /// Of each row, or empty if none has one.
    rates: Box<[Option<RateFigure>]>,
}

/// One row of a watch.
#[derive(Clone, Copy)]
pub struct Watched<'a> {
    rows: &'a Rows,
    place: usize,
}

/// Rows while they are put together.
#[derive(Default)]
pub(super) struct Packing {
    keys: String,
    ends: Vec<u32>,
    counts: Vec<u64>,
    rates: Vec<Option<RateFigure>>,
}

// === impl Rows ===

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Each, by key.
    pub fn iter(&self) -> impl Iterator<Item = Watched<'_>> {
        (0..self.len()).map(|place| Watched { rows: self, place })
    }

    fn keys_per_row(&self) -> usize {
        self.ends.len().checked_div(self.len()).unwrap_or(0)
    }

    fn key(&self, place: usize) -> &str {
        let end = |place: usize| self.ends[place] as usize;
        let begin = place.checked_sub(1).map_or(0, end);
        &self.keys[begin..end(place)]
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

// === impl Watched ===

impl<'a> Watched<'a> {
    /// As many as dimensions.
    pub fn keys(self) -> impl ExactSizeIterator<Item = &'a str> {
        let per_row = self.rows.keys_per_row();
        let first = self.place * per_row;
        (first..first + per_row).map(|place| self.rows.key(place))
    }

    /// Incidents; 0 removes the row.
    pub fn count(self) -> u64 {
        self.rows.counts[self.place]
    }

    /// If rates are asked for.
    pub fn rate(self) -> Option<&'a RateFigure> {
        self.rows.rates.get(self.place)?.as_ref()
    }
}

impl PartialEq for Watched<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.count() == other.count() && self.keys().eq(other.keys()) && self.rate() == other.rate()
    }
}

impl fmt::Debug for Watched<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.keys().collect();
        (keys, self.count(), self.rate()).fmt(formatter)
    }
}

// === impl Packing ===

impl Packing {
    /// Adds a row, which comes after those that there are. All have as many keys.
    pub fn push<'a>(
        &mut self,
        keys: impl Iterator<Item = &'a str>,
        count: u64,
        rate: Option<RateFigure>,
    ) {
        for key in keys {
            self.keys.push_str(key);
            let end = u32::try_from(self.keys.len()).expect("rows are few and keys short");
            self.ends.push(end);
        }
        self.counts.push(count);
        self.rates.push(rate);
    }

    /// Adds a row of others.
    pub fn push_row(&mut self, row: Watched<'_>) {
        self.push(row.keys(), row.count(), row.rate().copied());
    }

    /// As many as there are now.
    pub fn pack(mut self) -> Rows {
        if self.rates.iter().all(Option::is_none) {
            self.rates = Vec::new();
        }
        Rows {
            keys: self.keys.into(),
            ends: self.ends.into(),
            counts: self.counts.into(),
            rates: self.rates.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_was_packed_however_many_keys_each_has() {
        let check = |rows: &[(&[&str], u64)]| {
            let mut packing = Packing::default();
            for (keys, count) in rows {
                packing.push(keys.iter().copied(), *count, None);
            }
            let packed = packing.pack();
            let told = packed.iter().map(|row| (row.keys().collect(), row.count()));
            let told: Vec<(Vec<&str>, u64)> = told.collect();
            let expected: Vec<_> = rows
                .iter()
                .map(|(keys, count)| (keys.to_vec(), *count))
                .collect();
            assert_eq!(told, expected);
            assert_eq!(
                (packed.len(), packed.is_empty()),
                (rows.len(), rows.is_empty())
            );
            assert!(packed.iter().all(|row| row.rate().is_none()));
        };
        check(&[]);
        check(&[(&[], 7)]);
        check(&[(&["a"], 1), (&[""], 2), (&["bus"], 0)]);
        check(&[(&["GVB", "10"], 1), (&["GVB", ""], 2), (&["", "é"], 3)]);
    }

    #[test]
    fn rows_that_are_cut_otherwise_are_others() {
        let pack = |keys: [&str; 2]| {
            let mut packing = Packing::default();
            packing.push(keys.into_iter(), 1, None);
            packing.pack()
        };
        assert_eq!(pack(["ab", "c"]), pack(["ab", "c"]));
        assert_ne!(pack(["ab", "c"]), pack(["a", "bc"]));
    }
}
