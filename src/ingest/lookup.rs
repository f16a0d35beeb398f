//! What the journal says about incidents that were recorded before. Reads files: not for the
//! committer, and not for a thread that serves calls.

use std::sync::Arc;

use super::{Accepted, GetError, Moment, StoredIncident, StoredReply, SubmitError};
use crate::auth::secret_matches;
use crate::domain::incident::Match;
use crate::domain::{
    ContentDigest, Entry, Facts, IncidentId, IncidentSecret, LineId, Personal, Position,
    SecretHash, Stamp, StopId,
};
use crate::journal::{JournalError, Reader, Record};
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

impl Found {
    /// Of what the client sent; `None` if there was no secret, and words are kept no longer.
    fn digest(&self) -> Option<ContentDigest> {
        let personal = self.personal.as_ref();
        self.facts.digest.or_else(|| personal?.digest)
    }
}

/// Whether each has the same content as what was recorded, by place in the call.
pub(super) fn repeats(
    ledger: &Ledger,
    reader: &Reader,
    network: &Network,
    repeats: Vec<Repeat>,
) -> Vec<(usize, Result<Accepted, SubmitError>)> {
    let results = repeats
        .into_iter()
        .map(|repeat| (repeat.place, compare(ledger, reader, network, &repeat)));
    results.collect()
}

/// The incident with this id, if the secret is its secret. An id that is not known takes about
/// as long to refuse as a secret that is wrong: something is read, and compared, in any case.
pub(super) fn get(
    ledger: &Ledger,
    reader: &Reader,
    id: IncidentId,
    secret: &IncidentSecret,
) -> Result<StoredIncident, GetError> {
    let known = ledger.read().find(&id);
    let position = known.unwrap_or_else(|| decoy(reader, &id));
    let found = find(reader, position).map_err(GetError::Journal)?;
    let hash = found.as_ref().and_then(|found| found.facts.secret_hash);
    let has_secret = secret_matches(secret, &hash.unwrap_or(NO_HASH)) && hash.is_some();
    let found = found.filter(|found| has_secret && found.facts.id == id);
    kept(ledger, reader, position, found.ok_or(GetError::NotFound)?)
}

/// What no secret is expected to have as its hash.
const NO_HASH: SecretHash = SecretHash([0; 16]);

/// Any place in the journal, the same one for the same id.
fn decoy(reader: &Reader, id: &IncidentId) -> Position {
    let (horizon, last) = (reader.horizon().0, reader.last().0);
    let number = u128::from_be_bytes(*id.as_bytes()) % u128::from(last.max(1));
    Position(u64::try_from(number).unwrap_or(0).max(horizon))
}

/// The incident recorded at a place.
pub(super) fn get_at(
    ledger: &Ledger,
    reader: &Reader,
    position: Position,
) -> Result<StoredIncident, GetError> {
    let found = find(reader, position).map_err(GetError::Journal)?;
    let is_first = |found: &Found| ledger.read().find(&found.facts.id) == Some(position);
    let found = found.filter(is_first).ok_or(GetError::NotFound)?;
    kept(ledger, reader, position, found)
}

/// What came after the report, added to it.
fn kept(
    ledger: &Ledger,
    reader: &Reader,
    position: Position,
    found: Found,
) -> Result<StoredIncident, GetError> {
    let (mut case, withdrawn) = {
        let state = ledger.read();
        // What came after it is known no more.
        if position < state.first_kept() {
            return Err(GetError::NotFound);
        }
        let mut case = state.cases().get(position).cloned().unwrap_or_default();
        // An answer to the report that this one tells again is one to this reporter as well, who
        // may know the way back to the later one alone.
        let earlier = found.facts.own_earlier().filter(|_| case.erased.is_none());
        let earlier = earlier.and_then(|earlier| state.cases().get(earlier));
        case.replies.extend(
            earlier
                .into_iter()
                .flat_map(|earlier| earlier.replies.clone()),
        );
        (case, state.is_withdrawn(position))
    };
    case.replies.sort_by_key(|reply| reply.at);
    // What was erased may lie there again: its segment may have been put back from a backup, and
    // is looked at beside the service.
    let is_erased = case.erased.is_some();
    let record = |at| reader.entry(at).map_err(GetError::Journal);
    let mut facts = found.facts.clone();
    let mut amendments = Vec::with_capacity(case.amendments.len());
    for at in case.amendments {
        let Some(record) = record(at)? else { continue };
        let stamp = record.stamp;
        if let Entry::Amended(amendment) = record.entry {
            facts = amendment.after;
            amendments.push(Moment { at, stamp });
        }
    }
    let mut replies = Vec::with_capacity(case.replies.len());
    for reply in case.replies {
        if let Some(record) = record(reply.at)? {
            replies.extend(kept_reply(record, is_erased));
        }
    }
    let erased = match case.erased {
        Some(at) => record(at)?.map(|record| moment(&record)),
        None => None,
    };
    Ok(StoredIncident {
        facts,
        told: found.facts,
        personal: found.personal.filter(|_| !is_erased),
        position,
        row: amendments.last().map_or(position, |last| last.at),
        received: found.stamp,
        withdrawn,
        amendments,
        erased,
        replies,
    })
}

fn kept_reply(record: Record, is_erased: bool) -> Option<StoredReply> {
    let moment = moment(&record);
    let Entry::Answered(answer) = without_words(record, is_erased).entry else {
        return None;
    };
    Some(StoredReply {
        moment,
        operator: answer.operator,
        state: answer.state,
        reason: answer.reason,
        message: answer.message,
        is_message_gone: answer.is_message_gone,
    })
}

/// A record about an incident, as it is if that was erased.
fn without_words(mut record: Record, is_erased: bool) -> Record {
    match &mut record.entry {
        _ if !is_erased => {}
        Entry::Incident { personal, .. } => *personal = None,
        Entry::Answered(answer) => {
            answer.is_message_gone |= !answer.message.is_empty();
            answer.message = Box::default();
        }
        _ => {}
    }
    record
}

fn moment(record: &Record) -> Moment {
    Moment {
        at: record.position,
        stamp: record.stamp,
    }
}

/// Every entry about an incident, in order.
pub(super) fn records(
    ledger: &Ledger,
    reader: &Reader,
    kept: &StoredIncident,
) -> Result<Vec<Record>, GetError> {
    let mut places = vec![kept.position];
    places.extend(kept.amendments.iter().map(|moment| moment.at));
    places.extend(kept.replies.iter().map(|reply| reply.moment.at));
    places.extend(kept.erased.map(|moment| moment.at));
    let withdrawals = Arc::clone(ledger.read().withdrawals());
    let mut withdrawals = withdrawals.iter().rev();
    let withdrawal = withdrawals.find(|one| one.of == kept.row);
    places.extend(withdrawal.map(|one| one.at));
    places.sort_unstable();
    let is_erased = kept.erased.is_some();
    let records = places
        .into_iter()
        .filter_map(|at| reader.entry(at).transpose())
        .map(|record| record.map(|record| without_words(record, is_erased)));
    records.collect::<Result<_, _>>().map_err(GetError::Journal)
}

fn compare(
    ledger: &Ledger,
    reader: &Reader,
    network: &Network,
    repeat: &Repeat,
) -> Result<Accepted, SubmitError> {
    let found = find(reader, repeat.first).map_err(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, position = %repeat.first, "journal cannot be read");
        SubmitError::Poisoned
    })?;
    // The ledger knows ids by a hash; the journal has them whole.
    let is_same =
        |found: &Found| found.facts.id == repeat.id && found.digest() == Some(repeat.digest);
    let found = found.filter(is_same).ok_or(SubmitError::Conflict)?;
    Ok(Accepted {
        id: repeat.id,
        position: repeat.first,
        received: found.stamp,
        repeated: true,
        told_again: found.facts.own_earlier().is_some(),
        erased: ledger.read().cases().is_erased(repeat.first),
        operator: found.facts.operator.clone(),
        line: line_match(network, &found),
        stop: stop_match(network, &found),
    })
}

/// The report that was recorded at a position; `None` if something else lies there.
fn find(reader: &Reader, position: Position) -> Result<Option<Found>, JournalError> {
    let record = reader.entry(position)?;
    Ok(record.and_then(|record| match record.entry {
        Entry::Incident { facts, personal } => Some(Found {
            facts: *facts,
            personal: personal.map(|personal| *personal),
            stamp: record.stamp,
        }),
        _ => None,
    }))
}

/// As it was matched then; only the name is the one in use now.
fn line_match(network: &Network, found: &Found) -> Match<LineId> {
    let facts = &found.facts;
    let line = facts.line.as_ref().and_then(|id| network.line(id.as_str()));
    Match {
        resolution: facts.line_resolution,
        id: facts.line.clone(),
        name: line.map(|line| (&*line.name).into()).unwrap_or_default(),
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
