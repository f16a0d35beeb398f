//! Events read back from the journal, by position.
//!
//! The journal has each incident that was sent; whether one counted or was a repeat is the
//! fold's decision, which the ledger remembers.

use std::sync::Arc;

use super::{Change, Event, LogFilter, ReadError, Room};
use crate::domain::entry::Epoch;
use crate::domain::limits::LOG_IDS_PER_LOCK_MAX;
use crate::domain::taxonomy::{CaseState, ClosedReason};
use crate::domain::{Amendment, Entry, Facts, IncidentId, Position, Stamp, UtcMillis};
use crate::journal::{Reader, Record};
use crate::ledger::{Ledger, Withdrawal};

/// What a log is read from.
pub trait Past: Send + Sync + 'static {
    /// The journal's identity as of now.
    fn epoch(&self) -> Epoch;

    /// The oldest position that can be read, from 1 up.
    fn horizon(&self) -> Position;

    /// Everything through here is applied. May wait for a lock.
    fn applied(&self) -> Position;

    /// The events that are wanted from a position on, through one that is applied, and how far
    /// that goes: shorter where there is no room for more. Blocks.
    fn read(
        &self,
        from: Position,
        through: Position,
        wanted: &LogFilter,
        most: Room,
    ) -> Result<Stretch, ReadError>;

    /// The first position, through one that is applied, that became durable at a time or
    /// later; the one after it if there is none. Blocks.
    fn first_since(&self, time: UtcMillis, through: Position) -> Result<Position, ReadError>;
}

/// A stretch of the journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stretch {
    /// What is wanted of it, in order.
    pub events: Vec<Arc<Event>>,
    /// Its last position.
    pub reached: Position,
}

/// The journal, and the ledger that is its fold.
pub struct JournalPast {
    reader: Reader,
    ledger: Arc<Ledger>,
}

/// An entry that may be an event.
struct Candidate {
    position: Position,
    stamp: Stamp,
    id: IncidentId,
    facts: Box<Facts>,
    kind: Kind,
}

/// What an entry would do to its incident.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Record,
    Withdraw,
    Amend,
    Answer {
        state: CaseState,
        reason: Option<ClosedReason>,
    },
}

// === impl JournalPast ===

impl JournalPast {
    /// Of a running record.
    pub fn new(reader: Reader, ledger: Arc<Ledger>) -> Self {
        Self { reader, ledger }
    }

    /// What it means that an entry is not there: it may just have gone below the horizon.
    fn missing(&self, position: Position) -> ReadError {
        if position < self.horizon() {
            return ReadError::BelowHorizon;
        }
        ReadError::Missing(position)
    }

    /// Keeps what the fold counted. An incident counted where its id was first seen; a
    /// withdrawal or an amendment, where the fold let a row count no more. Fails where the fold has
    /// meanwhile let go what it knew of them.
    fn decide(
        &self,
        candidates: &mut Vec<Candidate>,
        events: &mut Vec<Arc<Event>>,
    ) -> Result<(), ReadError> {
        let state = self.ledger.read();
        let kept = state.first_kept();
        if candidates.first().is_some_and(|one| one.position < kept) {
            return Err(ReadError::BelowHorizon);
        }
        let decide = |one: &Candidate| {
            let recorded = state.find(&one.id)?;
            let withdrawals = state.withdrawals();
            match one.kind {
                Kind::Record => (recorded == one.position).then_some(Change::Recorded),
                Kind::Withdraw => {
                    let at = |withdrawal: &Withdrawal| withdrawal.at;
                    let is_counted = withdrawals.binary_search_by_key(&one.position, at).is_ok();
                    is_counted.then_some(Change::Withdrawn { recorded })
                }
                Kind::Answer {
                    state: said,
                    reason,
                } => {
                    let replies = state.cases().get(recorded).map(|case| &case.replies);
                    let is_counted = replies?.iter().any(|reply| reply.at == one.position);
                    is_counted.then_some(Change::Answered {
                        recorded,
                        state: said,
                        reason,
                    })
                }
                Kind::Amend => {
                    let is_counted = state.cases().incident_of(one.position) != one.position;
                    is_counted.then_some(Change::Amended { recorded })
                }
            }
        };
        let changes: Vec<_> = candidates.iter().map(decide).collect();
        drop(state);
        for (candidate, change) in candidates.drain(..).zip(changes) {
            let Some(change) = change else {
                continue;
            };
            events.push(Arc::new(Event {
                position: candidate.position,
                stamp: candidate.stamp,
                facts: candidate.facts,
                change,
            }));
        }
        Ok(())
    }

    fn candidate(
        &self,
        record: Record,
        wanted: &LogFilter,
    ) -> Result<Option<Candidate>, ReadError> {
        let Record {
            position, stamp, ..
        } = record;
        let Entry::Answered(answer) = record.entry else {
            return Ok(candidate(record, wanted));
        };
        let facts = self.recorded_at(answer.incident)?;
        let facts = facts.filter(|facts| facts.id == answer.id && wanted.matches(facts));
        Ok(facts.map(|facts| Candidate {
            position,
            stamp,
            id: answer.id,
            facts,
            kind: Kind::Answer {
                state: answer.state,
                reason: answer.reason,
            },
        }))
    }

    /// The facts of an incident; `None` if none was recorded there, or is kept no longer.
    fn recorded_at(&self, position: Position) -> Result<Option<Box<Facts>>, ReadError> {
        if position < self.reader.horizon() {
            return Ok(None);
        }
        let record = self.reader.facts_within(position, position).next();
        Ok(match record.transpose()?.map(|record| record.entry) {
            Some(Entry::Incident { facts, .. }) => Some(facts),
            Some(_) | None => None,
        })
    }

    fn stamp(&self, position: Position) -> Result<Stamp, ReadError> {
        let mut records = self.reader.facts_within(position, position);
        match records.next().transpose()? {
            Some(record) if record.position == position => Ok(record.stamp),
            Some(_) | None => Err(ReadError::BelowHorizon),
        }
    }
}

impl Past for JournalPast {
    fn epoch(&self) -> Epoch {
        self.ledger.read().epoch_now()
    }

    fn horizon(&self) -> Position {
        self.reader.horizon()
    }

    fn applied(&self) -> Position {
        self.ledger.read().position()
    }

    fn read(
        &self,
        from: Position,
        through: Position,
        wanted: &LogFilter,
        most: Room,
    ) -> Result<Stretch, ReadError> {
        if from < self.horizon() {
            return Err(ReadError::BelowHorizon);
        }
        let mut records = self.reader.facts_within(from, through);
        let mut events = Vec::new();
        let mut candidates = Vec::new();
        let mut next = from;
        let mut left = most;
        while next <= through && !left.is_full() {
            // Not all that may be an event is one.
            let mut room = left;
            while next <= through && !room.is_full() && candidates.len() < LOG_IDS_PER_LOCK_MAX {
                let record = records.next().transpose()?;
                let record = record.filter(|record| record.position == next);
                let record = record.ok_or_else(|| self.missing(next))?;
                let candidate = self.candidate(record, wanted)?;
                candidate.iter().for_each(|one| room.take(&one.facts));
                candidates.extend(candidate);
                next = next.next();
            }
            let decided = events.len();
            self.decide(&mut candidates, &mut events)?;
            left.take_all(events[decided..].iter().map(|event| &**event));
        }
        let reached = Position(next.0 - 1);
        Ok(Stretch { events, reached })
    }

    fn first_since(&self, time: UtcMillis, through: Position) -> Result<Position, ReadError> {
        // Stamps never fall, so what is below `low` is earlier, and from `high` on it is not.
        let (mut low, mut high) = (self.horizon(), through.next());
        while low < high {
            let middle = Position(low.0 + (high.0 - low.0) / 2);
            if self.stamp(middle)? < time {
                low = middle.next();
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

fn candidate(record: Record, wanted: &LogFilter) -> Option<Candidate> {
    let (id, facts, kind) = match record.entry {
        Entry::Incident { facts, .. } => (facts.id, facts, Kind::Record),
        Entry::Withdrawn { id, facts, .. } => (id, facts, Kind::Withdraw),
        Entry::Amended(amendment) => {
            let Amendment { id, after, .. } = *amendment;
            (id, Box::new(after), Kind::Amend)
        }
        Entry::Erased { .. }
        | Entry::Answered(_)
        | Entry::Tick
        | Entry::NetworkChanged { .. }
        | Entry::TapCounts(_)
        | Entry::TapCountsRemoved { .. }
        | Entry::EditionClosed(_)
        | Entry::OutageChanged(_)
        | Entry::PersonalRemoved { .. }
        | Entry::IncidentsEnded { .. }
        | Entry::KeysChanged(_)
        | Entry::Restored(_)
        | Entry::Gone => return None,
    };
    // What tells an incident again is none of its own.
    let is_left_out = wanted.without_amendments && matches!(kind, Kind::Amend);
    let is_wanted = facts.told_again.is_none() && !is_left_out && wanted.matches(&facts);
    is_wanted.then_some(Candidate {
        position: record.position,
        stamp: record.stamp,
        id,
        facts,
        kind,
    })
}
