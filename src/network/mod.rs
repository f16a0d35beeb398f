//! Stops, lines and operators: what there is to choose from, and what a traveller meant. (skeleton)

use crate::domain::incident::Match;
use crate::domain::taxonomy::Mode;
use crate::domain::{LineId, LocalDay, OperatorCode, StopId};

/// One version of the network. Immutable; shared as `Arc<Network>`.
pub struct Network;

/// What a traveller wrote about where it happened.
pub struct Words<'a> {
    pub operator: &'a str,
    pub line: &'a str,
    pub stop: &'a str,
    pub mode: Option<Mode>,
    pub day: LocalDay,
}

/// What was found.
pub struct Resolved {
    pub operator: Option<OperatorCode>,
    pub line: Match<LineId>,
    pub stop: Match<StopId>,
}

impl Network {
    /// The small network that is built in.
    pub fn built_in() -> Self {
        todo!()
    }
    pub fn version(&self) -> u32 {
        todo!()
    }
    pub fn sha256(&self) -> [u8; 32] {
        todo!()
    }
    pub fn resolve(&self, _words: &Words<'_>) -> Resolved {
        todo!()
    }
}
