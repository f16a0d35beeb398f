//! What the committer writes at once, and what it need not write.
//!
//! Each entry is judged by what is applied and by what was put into the batch before it: what
//! the fold would pass over may hold words, and those that no case tells of, nobody would zero.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::erasure;
use super::prepare::Pending;
use crate::domain::{Answer, Entry, IncidentId, Position};
use crate::journal::Encoded;
use crate::ledger::State;

/// What becomes of an entry that a caller sent.
pub(super) enum Fate {
    /// Not written: its id is known, or will be once the batch is written.
    Known(Position),
    /// Not written: what it is about has changed or gone.
    Refused,
    /// Written, at this place in the batch.
    Appended(usize),
}

/// One batch on its way.
pub(super) struct Batch {
    /// What is written.
    pub encoded: Vec<Encoded>,
    /// The same, to be applied.
    pub entries: Vec<Entry>,
    /// For each job, what became of its entries.
    pub fates: Vec<Vec<Fate>>,
    /// Where its first entry will lie.
    first: Position,
    hasher: DefaultHashBuilder,
    /// Places of its reports, by id. Its order is never looked at.
    reports: HashTable<usize>,
}

impl Batch {
    /// An empty one whose first entry will lie at a position, with room for some entries.
    pub fn new(first: Position, entries: usize) -> Self {
        Self {
            encoded: Vec::with_capacity(entries),
            entries: Vec::with_capacity(entries),
            fates: Vec::new(),
            first,
            hasher: DefaultHashBuilder::default(),
            reports: HashTable::with_capacity(entries),
        }
    }

    /// Where the next entry will lie.
    pub fn next(&self) -> Position {
        Position(self.first.0 + self.entries.len() as u64)
    }

    /// What becomes of an entry that is not written; `None` for one that is. An incident whose
    /// id is known, a second withdrawal (whoever watches hears of one) and a second erasure are
    /// answered with the incident's place; what was made of something that has changed or gone
    /// is refused. `recorded` is where its id was recorded, if it is a report.
    pub fn judge(&self, state: &State, entry: &Entry, recorded: Option<Position>) -> Option<Fate> {
        match entry {
            Entry::Incident { facts, .. } => {
                let known = recorded.or_else(|| self.recorded(&facts.id));
                known.map(Fate::Known)
            }
            Entry::Withdrawn { id, .. } | Entry::Erased { id, .. }
                if state.find(id).is_some_and(|first| state.has_ended(first)) =>
            {
                Some(Fate::Refused)
            }
            Entry::Withdrawn { id, .. } => {
                let first = state.find(id).filter(|first| state.is_withdrawn(*first));
                first.map(Fate::Known)
            }
            Entry::Erased { id, .. } => {
                let first = state.find(id);
                let first = first.filter(|first| state.cases().is_erased(*first));
                first.map(Fate::Known)
            }
            Entry::Amended(amendment) => {
                let row = state.find(&amendment.id);
                let row = row.map(|first| state.cases().row_of(first));
                let is_outdated = row.is_none_or(|row| {
                    row != amendment.row || row <= state.months().ended_through()
                });
                is_outdated.then_some(Fate::Refused)
            }
            Entry::Answered(answer) => self.is_too_late(state, answer).then_some(Fate::Refused),
            Entry::OutageChanged(_) => (!state.outages().has_room()).then_some(Fate::Refused),
            Entry::Tick
            | Entry::NetworkChanged { .. }
            | Entry::TapCounts(_)
            | Entry::TapCountsRemoved { .. }
            | Entry::EditionClosed(_)
            | Entry::PersonalRemoved { .. }
            | Entry::IncidentsEnded { .. }
            | Entry::KeysChanged(_)
            | Entry::Restored(_)
            | Entry::Gone => None,
        }
    }

    /// Adds entries.
    pub fn push_all(&mut self, all: impl IntoIterator<Item = Pending>) {
        for pending in all {
            self.push(pending);
        }
    }

    /// As `push`, but of withdrawals and of erasures of one incident only the first is added.
    pub fn push_once(&mut self, pending: Pending) -> usize {
        let place = match &pending.entry {
            Entry::Withdrawn { id, row, .. } => self.entries.iter().position(|entry| {
                matches!(entry, Entry::Withdrawn { id: other, row: of, .. }
                    if (other, of) == (id, row))
            }),
            Entry::Erased { id, .. } => erasure::place_in(&self.entries, id),
            _ => None,
        };
        place.unwrap_or_else(|| self.push(pending))
    }

    /// Adds an entry and returns its place.
    pub fn push(&mut self, pending: Pending) -> usize {
        let place = self.entries.len();
        if let Entry::Incident { facts, .. } = &pending.entry {
            let (hasher, entries) = (&self.hasher, &self.entries);
            let hash_at = |place: &usize| hasher.hash_one(report_id(&entries[*place]));
            let hash = hasher.hash_one(Some(&facts.id));
            self.reports.insert_unique(hash, place, hash_at);
        }
        self.encoded.push(pending.encoded);
        self.entries.push(pending.entry);
        place
    }

    /// Where a report with this id will lie, if there is one.
    fn recorded(&self, id: &IncidentId) -> Option<Position> {
        let is_same = |place: &usize| report_id(&self.entries[*place]) == Some(id);
        let place = self.reports.find(self.hasher.hash_one(Some(id)), is_same)?;
        Some(Position(self.first.0 + *place as u64))
    }

    /// Whether an answer comes after what took its report away, or may have.
    fn is_too_late(&self, state: &State, answer: &Answer) -> bool {
        let takes_away = |entry: &Entry| match entry {
            Entry::Withdrawn { id, .. } | Entry::Erased { id, .. } => *id == answer.id,
            _ => false,
        };
        state.cases().is_erased(answer.incident)
            || state.is_withdrawn(answer.incident)
            || state.has_ended(answer.incident)
            || self.entries.iter().any(takes_away)
    }
}

/// Whether an entry is refused while the disk is nearly full. Those that take away, and those
/// that only the instance itself makes, are small and few, and never are.
pub(super) fn heeds_disk_reserve(entry: &Entry) -> bool {
    match entry {
        Entry::Incident { .. }
        | Entry::Amended(_)
        | Entry::Answered(_)
        | Entry::TapCounts(_)
        | Entry::OutageChanged(_) => true,
        Entry::Withdrawn { .. }
        | Entry::Erased { .. }
        | Entry::Tick
        | Entry::NetworkChanged { .. }
        | Entry::TapCountsRemoved { .. }
        | Entry::EditionClosed(_)
        | Entry::PersonalRemoved { .. }
        | Entry::IncidentsEnded { .. }
        | Entry::KeysChanged(_)
        | Entry::Restored(_)
        | Entry::Gone => false,
    }
}

/// Where a report was recorded before; `None` if it was not, or is none.
pub(super) fn recorded(state: &State, entry: &Entry) -> Option<Position> {
    state.find(report_id(entry)?)
}

fn report_id(entry: &Entry) -> Option<&IncidentId> {
    match entry {
        Entry::Incident { facts, .. } => Some(&facts.id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UtcMillis;
    use crate::domain::entry::Epoch;
    use crate::domain::taxonomy::{CaseState, TimePrecision};
    use crate::domain::testing::{blank_facts, id_of};
    use crate::domain::{Facts, Hour, RowTime};

    const AT: Position = Position(1);

    fn facts() -> Box<Facts> {
        let time = RowTime::Hour(Hour(500_000));
        Box::new(blank_facts(id_of([0x77; 16]), time, TimePrecision::Exact))
    }

    /// Where one report lies.
    fn state() -> State {
        let (facts, personal) = (facts(), None);
        let mut state = State::new(Epoch([0; 16]));
        state.apply(AT, UtcMillis(0), &Entry::Incident { facts, personal });
        state
    }

    fn withdrawn() -> Entry {
        Entry::Withdrawn {
            id: facts().id,
            facts: facts(),
            row: AT,
        }
    }

    fn answered() -> Entry {
        let facts = facts();
        Entry::Answered(Box::new(Answer {
            id: facts.id,
            incident: AT,
            operator: "GVB".parse().expect("a code"),
            received: UtcMillis(0),
            time: facts.time,
            state: CaseState::Received,
            reason: None,
            message: "het spijt ons".into(),
            is_message_gone: false,
        }))
    }

    #[test]
    fn answer_is_not_written_behind_what_takes_its_report_away_in_the_same_batch() {
        let state = state();
        let erased = Entry::Erased {
            id: facts().id,
            incident: AT,
        };
        for before in [withdrawn(), erased] {
            let mut batch = Batch::new(AT.next(), 2);
            assert!(batch.judge(&state, &answered(), None).is_none());
            batch.push_once(Pending::new(before));
            let fate = batch.judge(&state, &answered(), None);
            assert!(matches!(fate, Some(Fate::Refused)));
        }
    }
}
