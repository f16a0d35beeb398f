//! What came after a report: amendments, answers, an erasure. Only incidents of which there is
//! any have a case, of some hundred bytes.
//!
//! A case holds places in the journal and no words. When something was amended, the row that
//! counts lies at the amendment's place, and the one before is struck out like a withdrawn one.

use std::collections::BTreeMap;

use crate::domain::taxonomy::CaseState;
use crate::domain::{Answer, Position, RowTime, Stamp};

/// Everything that came after one report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Places of the amendments, rising. The last holds the facts that count.
    pub amendments: Vec<Position>,
    /// Where it was erased.
    pub erased: Option<Position>,
    /// What is known of the report since its first answer.
    pub about: Option<About>,
    /// The operator's answers, in their order.
    pub replies: Vec<Reply>,
}

/// What figures of answers need of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Number of its operator.
    pub operator: u16,
    /// When it was received.
    pub received: Stamp,
    /// Its hour or day.
    pub time: RowTime,
}

/// One answer of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its place in the journal, which has its words.
    pub at: Position,
    /// When.
    pub stamp: Stamp,
    /// What it says.
    pub state: CaseState,
}

/// All cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cases {
    by_incident: BTreeMap<Position, Case>,
    /// The incident of each amendment.
    amended: BTreeMap<Position, Position>,
}

// === impl Case ===

impl Case {
    /// What its operator said last; `None` before the first answer.
    pub fn state(&self) -> Option<CaseState> {
        self.replies.last().map(|reply| reply.state)
    }

    /// Its operator's answers that had come by a position.
    pub fn replies_by(&self, at: Position) -> &[Reply] {
        let by_then = self.replies.partition_point(|reply| reply.at <= at);
        &self.replies[..by_then]
    }
}

// === impl Cases ===

impl Cases {
    /// The case of the incident recorded at a place.
    pub fn get(&self, incident: Position) -> Option<&Case> {
        self.by_incident.get(&incident)
    }

    /// All of them, by the incident's place.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Position, &Case)> {
        let cases = self.by_incident.iter();
        cases.map(|(incident, case)| (*incident, case))
    }

    /// Where the row lies that counts of an incident.
    pub fn row_of(&self, incident: Position) -> Position {
        let case = self.get(incident);
        let last = case.and_then(|case| case.amendments.last());
        last.copied().unwrap_or(incident)
    }

    /// Where the row lay that counted of an incident as of a position.
    pub fn row_as_of(&self, incident: Position, as_of: Position) -> Position {
        let amendments = self.get(incident).map_or(&[][..], |case| &case.amendments);
        let mut by_then = amendments.iter().rev().filter(|at| **at <= as_of);
        by_then.next().copied().unwrap_or(incident)
    }

    /// The incident that a row is of.
    pub fn incident_of(&self, row: Position) -> Position {
        self.amended.get(&row).copied().unwrap_or(row)
    }

    /// Whether an incident's personal part was erased.
    pub fn is_erased(&self, incident: Position) -> bool {
        self.get(incident).is_some_and(|case| case.erased.is_some())
    }

    /// How much memory they take, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        let case = |case: &Case| {
            size_of::<(Position, Case)>()
                + case.amendments.capacity() * size_of::<Position>()
                + case.replies.capacity() * size_of::<Reply>()
        };
        let cases: usize = self.by_incident.values().map(case).sum();
        cases + self.amended.len() * size_of::<[Position; 2]>()
    }

    /// Whether a row is an amendment's that counted when it came.
    pub(super) fn is_amendment(&self, row: Position) -> bool {
        self.amended.contains_key(&row)
    }

    /// Puts a whole case, as read back.
    pub(super) fn put(&mut self, incident: Position, case: Case) {
        let amended = case.amendments.iter().map(|at| (*at, incident));
        self.amended.extend(amended);
        self.by_incident.insert(incident, case);
    }

    /// Lets go of the cases of some incidents.
    pub(super) fn forget(&mut self, goes: impl Fn(Position) -> bool) {
        self.by_incident.retain(|incident, _| !goes(*incident));
        self.amended.retain(|_, incident| !goes(*incident));
    }

    pub(super) fn amend(&mut self, incident: Position, at: Position) {
        self.case(incident).amendments.push(at);
        self.amended.insert(at, incident);
    }

    /// Whether it was not erased before.
    pub(super) fn erase(&mut self, incident: Position, at: Position) -> bool {
        let case = self.case(incident);
        let is_first = case.erased.is_none();
        case.erased = case.erased.or(Some(at));
        is_first
    }

    pub(super) fn answer(&mut self, at: Position, stamp: Stamp, answer: &Answer, operator: u16) {
        let case = self.case(answer.incident);
        case.about.get_or_insert(About {
            operator,
            received: answer.received,
            time: answer.time,
        });
        let state = answer.state;
        case.replies.push(Reply { at, stamp, state });
    }

    fn case(&mut self, incident: Position) -> &mut Case {
        self.by_incident.entry(incident).or_default()
    }
}
