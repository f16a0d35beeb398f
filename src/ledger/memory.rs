//! How much memory each part of a state takes, for whoever measures.

use super::state::State;
use super::tallies::Tallies;
use crate::domain::Row;

impl State {
    /// The parts and their bytes, those of both bases together. What an allocator adds is
    /// left out.
    pub fn memory(&self) -> Vec<(&'static str, usize)> {
        let of_tallies = |bytes: fn(&Tallies) -> usize| self.tallies.iter().map(bytes).sum();
        vec![
            ("lines", of_tallies(|tallies| tallies.line.bytes())),
            (
                "stops by day",
                of_tallies(|tallies| tallies.stop_day.bytes()),
            ),
            (
                "attributes by operator",
                of_tallies(Tallies::attribute_bytes),
            ),
            (
                "what rates set apart",
                of_tallies(|tallies| tallies.apart.bytes()),
            ),
            ("ids", self.ids.bytes()),
            ("last 25 hours", self.recent.bytes()),
            ("dictionary", self.dictionary.bytes()),
            ("tap counts", self.taps.bytes()),
            ("cases", self.cases.bytes()),
            ("open block", self.open.capacity() * size_of::<Row>()),
        ]
    }
}
