//! What the journal says about incidents that were recorded before. Reads files: not for the
//! committer, and not for a thread that serves calls.

use super::{Accepted, GetError, Kept, SubmitError};
use crate::auth::secret_matches;
use crate::domain::incident::Match;
use crate::domain::{
    ContentDigest, Entry, Facts, IncidentId, IncidentSecret, LineId, Personal, Position, Stamp,
    StopId,
};
use crate::journal::{JournalError, Reader};
use crate::ledger::Ledger;
use crate::network::Network;

/// An incident whose id was recorded before.
pub(super) struct Repeat {
    /// Its place in the call.
    pub place: usize,
    /// Where the id was recorded.
    pub first: Position,
    /// The id.
    pub id: IncidentId,
    /// Of what the client sent now.
    pub digest: ContentDigest,
}

/// An incident as the journal has it.
struct Found {
    facts: Facts,
    personal: Option<Personal>,
    stamp: Stamp,
}

/// Whether each has the same content as what was recorded, by place in the call.
pub(super) fn repeats(
    reader: &Reader,
    network: &Network,
    repeats: Vec<Repeat>,
) -> Vec<(usize, Result<Accepted, SubmitError>)> {
    let results = repeats
        .into_iter()
        .map(|repeat| (repeat.place, compare(reader, network, &repeat)));
    results.collect()
}

/// The incident with this id, if the secret is its secret.
pub(super) fn get(
    ledger: &Ledger,
    reader: &Reader,
    id: IncidentId,
    secret: &IncidentSecret,
) -> Result<Kept, GetError> {
    let position = ledger.read().find(&id).ok_or(GetError::NotFound)?;
    let found = find(reader, position).map_err(GetError::Journal)?;
    let found = found.filter(|found| {
        let has_secret = |hash| secret_matches(secret, hash);
        found.facts.id == id && found.facts.secret_hash.as_ref().is_some_and(has_secret)
    });
    let found = found.ok_or(GetError::NotFound)?;
    Ok(Kept {
        facts: found.facts,
        personal: found.personal,
        position,
        received: found.stamp,
        withdrawn: ledger.read().is_withdrawn(position),
    })
}

fn compare(reader: &Reader, network: &Network, repeat: &Repeat) -> Result<Accepted, SubmitError> {
    let found = find(reader, repeat.first).map_err(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, position = %repeat.first, "journal cannot be read");
        SubmitError::Poisoned
    })?;
    // The ledger knows ids by a hash; the journal has them whole.
    let is_same =
        |found: &Found| found.facts.id == repeat.id && found.facts.digest == repeat.digest;
    let found = found.filter(is_same).ok_or(SubmitError::Conflict)?;
    Ok(Accepted {
        id: repeat.id,
        position: repeat.first,
        received: found.stamp,
        repeated: true,
        line: line_match(network, &found),
        stop: stop_match(network, &found),
    })
}

fn find(reader: &Reader, position: Position) -> Result<Option<Found>, JournalError> {
    let record = reader.entry(position)?;
    Ok(record.and_then(|record| match record.entry {
        Entry::Incident { facts, personal } => Some(Found {
            facts: *facts,
            personal: personal.map(|personal| *personal),
            stamp: record.stamp,
        }),
        Entry::Withdrawn { .. }
        | Entry::Tick
        | Entry::NetworkChanged { .. }
        | Entry::TapCounts(_)
        | Entry::TapCountsRemoved { .. }
        | Entry::EditionClosed(_) => None,
    }))
}

/// As it was matched then; only the name is the one in use now.
fn line_match(network: &Network, found: &Found) -> Match<LineId> {
    let facts = &found.facts;
    let line = facts.line.as_ref().and_then(|id| network.line(id.as_str()));
    Match {
        resolution: facts.line_resolution,
        id: facts.line.clone(),
        name: line.map(|line| line.name.clone()).unwrap_or_default(),
        candidates: candidates(found, |personal| &personal.line_candidates),
        outside_validity: facts.line_outside_validity,
    }
}

/// As `line_match`. Stops are listed without dates.
fn stop_match(network: &Network, found: &Found) -> Match<StopId> {
    let facts = &found.facts;
    let stop = facts.stop.as_ref().and_then(|id| network.stop(id.as_str()));
    Match {
        resolution: facts.stop_resolution,
        id: facts.stop.clone(),
        name: stop.map(|stop| stop.full_name().into()).unwrap_or_default(),
        candidates: candidates(found, |personal| &personal.stop_candidates),
        outside_validity: false,
    }
}

fn candidates<T: Clone>(found: &Found, of: impl Fn(&Personal) -> &Vec<T>) -> Vec<T> {
    found.personal.as_ref().map(of).cloned().unwrap_or_default()
}
