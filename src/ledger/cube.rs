//! A table of counts: a row of columns for each bucket of time. (skeleton)

/// Counts by bucket and column. Rows are shared between clones until written, and as narrow as
/// their largest count allows.
#[derive(Clone)]
pub struct Cube;

/// The columns of one bucket; those beyond the end are 0.
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
