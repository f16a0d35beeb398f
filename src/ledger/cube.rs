//! A table of counts: a row of columns for each bucket of time. (skeleton)

/// Counts by bucket and column. Rows are shared between clones until written, and as narrow as
/// their largest count allows.
#[derive(Clone)]
pub struct Cube;

/// The columns of one bucket; those beyond the end are 0.
#[derive(Clone, Copy, Debug)]
pub enum Cells<'a> {
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
}

impl Cube {
    pub fn add(&mut self, _bucket: u32, _column: u32) {
        todo!()
    }
    /// Panics if the cell is 0: only a bug takes away what was never added.
    pub fn take(&mut self, _bucket: u32, _column: u32) {
        todo!()
    }
    /// `None` if nothing was ever counted in that bucket.
    pub fn row(&self, _bucket: u32) -> Option<Cells<'_>> {
        todo!()
    }
    /// The buckets that may have rows.
    pub fn buckets(&self) -> std::ops::Range<u32> {
        todo!()
    }
}

impl<'a> Cells<'a> {
    /// How many columns are told; those beyond are 0.
    pub fn len(self) -> usize {
        todo!()
    }
    pub fn is_empty(self) -> bool {
        todo!()
    }
    /// The count in one column.
    pub fn get(self, _column: u32) -> u32 {
        todo!()
    }
    /// The columns of a range, cut where the row ends; column `range.start` becomes column 0.
    pub fn columns(self, _range: std::ops::Range<usize>) -> Cells<'a> {
        todo!()
    }
    /// Adds each column to the sum of the same index; columns beyond the sums are left out.
    pub fn add_to(self, _sums: &mut [u32]) {
        todo!()
    }
    /// Sum over all columns.
    pub fn total(self) -> u64 {
        todo!()
    }
}
