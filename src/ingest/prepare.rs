//! From a checked incident to what is committed: digest, resolution, pseudonyms, encoding.
//!
//! Runs in the task that submits, so that the committer has next to nothing to do. The card
//! number ends here: its pseudonym is made, and its bytes are cleared where they lie.

use zeroize::Zeroizing;

use super::Accepted;
use super::newcomers::Newcomers;
use crate::auth::{KeyError, KeyedPseudonym, Keys, key_period, secret_hash};
use crate::domain::incident::{Match, Occurred, is_observed};
use crate::domain::limits::CAUSE_CLAIMS_MAX;
use crate::domain::taxonomy::{Taxonomy, TimePrecision, number_of};
use crate::domain::text::InstallationId;
use crate::domain::time::HOUR_MS;
use crate::domain::{
    AddressPrefix, Calendar, ContentDigest, Entry, Facts, Incident, IncidentId, LineId, LocalDay,
    OperatorCode, Personal, Position, Pseudonym, RowTime, SecretHash, StopId, UtcMillis,
};
use crate::journal::{self, Encoded, Encoder};
use crate::network::{Network, Resolved, Words};

/// Changes whenever the canonical bytes do: a digest of another version is another one.
///
/// Digests are over the secret itself, which is kept nowhere: whoever has the journal and the
/// key file cannot find out what an erased report said by trying what it may have said. That of a
/// report without a secret lies beside the words, and goes with them. It outlives the key of the
/// installation's pseudonym, and so leaves the installation out: else one could be found in it by
/// trying.
const CANONICAL_VERSION: u8 = 3;
/// The version, the id and the secret with its length.
const HEAD_BYTES_MAX: usize = 1 + 16 + 4 + 32;
/// More than the canonical bytes of an incident take without its texts; a claim takes two.
const CANONICAL_BYTES_BESIDE_TEXTS: usize = 128 + 2 * CAUSE_CLAIMS_MAX;

/// What goes to the committer.
pub(super) struct Pending {
    /// What is folded.
    pub entry: Entry,
    /// What is written.
    pub encoded: Encoded,
}

impl Pending {
    /// Encodes an entry.
    pub fn new(entry: Entry) -> Self {
        let encoded = journal::encode(&entry);
        Self { entry, encoded }
    }
}

/// What stays with the task that submits, for its answer.
pub(super) struct Expected {
    /// Which incident.
    pub id: IncidentId,
    /// Of what the client sent.
    pub digest: ContentDigest,
    /// The operator that it is counted for.
    pub operator: Option<OperatorCode>,
    /// Whether it was observed rather than told.
    pub is_observed: bool,
    /// From which address prefix it came; `None` if from this machine.
    pub prefix: Option<AddressPrefix>,
    /// How the line was matched.
    pub line: Match<LineId>,
    /// How the stop was matched.
    pub stop: Match<StopId>,
}

impl Expected {
    /// The answer, for an incident that is recorded for the first time.
    pub fn accepted(self, position: Position, received: UtcMillis) -> Accepted {
        Accepted {
            id: self.id,
            position,
            received,
            repeated: false,
            erased: false,
            told_again: false,
            operator: self.operator,
            line: self.line,
            stop: self.stop,
        }
    }
}

/// Prepares incidents, with the keys and the network in use.
pub(super) struct Preparer<'a> {
    keys: &'a Keys,
    network: &'a Network,
    newcomers: &'a Newcomers,
    head: Zeroizing<Vec<u8>>,
    canonical: Zeroizing<Vec<u8>>,
    encoder: Encoder,
}

impl<'a> Preparer<'a> {
    /// One for each batch of so many: its buffers are used again and again.
    pub fn new(
        keys: &'a Keys,
        network: &'a Network,
        newcomers: &'a Newcomers,
        count: usize,
    ) -> Self {
        Self {
            keys,
            network,
            newcomers,
            head: Zeroizing::new(Vec::with_capacity(HEAD_BYTES_MAX)),
            canonical: Zeroizing::default(),
            encoder: Encoder::for_entries(count),
        }
    }

    /// Takes an incident's texts and clears its card number. Reads and writes no file. Fails
    /// only if a key is missing; nothing of the incident is kept then.
    pub fn prepare(&mut self, incident: &mut Incident) -> Result<(Pending, Expected), KeyError> {
        let secret_hash = incident.secret.as_ref().map(secret_hash);
        let digest = self.digest(incident);
        let has_secret = incident.secret.is_some();
        let time = Time::of(incident.occurred);
        let card_given = incident.card_number.is_some();
        let installation_given = incident.installation_id.is_some();
        let Pseudonyms { card, installation } = self.pseudonyms(incident, time.day)?;
        let resolved = self.network.resolve(&Words {
            operator: &incident.operator_words,
            line: &incident.line_words,
            stop: &incident.stop_words,
            mode: incident.mode,
            day: time.day,
            is_operator_vouched_for: incident.is_operator_vouched_for,
        });
        let mut facts = Facts {
            card_given,
            installation_given,
            network_version: self.network.version(),
            digest: has_secret.then_some(digest),
            ..facts(incident, secret_hash, &time, &resolved)
        };
        if let (Some(origin), None, Some(installation)) = (incident.origin, card, installation) {
            let operator = facts.operator.as_ref();
            facts.is_uncountable = self.newcomers.are_too_many(origin, operator, &installation);
        }
        let (operator, is_observed) = (facts.operator.clone(), is_observed(&facts));
        let personal = Personal {
            card,
            installation,
            digest: (!has_secret).then_some(digest),
            ..personal(incident, &time, &resolved)
        };
        let entry = Entry::Incident {
            facts: Box::new(facts),
            personal: Some(Box::new(personal)),
        };
        let expected = Expected {
            id: incident.id,
            digest,
            operator,
            is_observed,
            prefix: incident.origin.map(|origin| origin.prefix),
            line: resolved.line,
            stop: resolved.stop,
        };
        let encoded = self.encoder.encode(&entry);
        Ok((Pending { entry, encoded }, expected))
    }

    /// Of the canonical bytes, behind version, id and secret.
    fn digest(&mut self, incident: &Incident) -> ContentDigest {
        canonical_bytes(incident, &mut self.canonical);
        let secret = incident.secret.as_ref();
        let head = &mut self.head;
        head.clear();
        head.push(CANONICAL_VERSION);
        head.extend_from_slice(incident.id.as_bytes());
        push_bytes(head, secret.map_or(&[][..], |secret| secret.expose()));
        self.keys.digest(&[head, &self.canonical])
    }

    fn pseudonyms(&self, incident: &mut Incident, day: LocalDay) -> Result<Pseudonyms, KeyError> {
        let number = incident.card_number.as_ref();
        let card = number.map(|number| self.keys.card(number, day));
        // Cleared where it lies, whatever became of its pseudonym.
        incident.card_number = None;
        let installation = match &incident.installation_id {
            Some(id) => living(self.keys.installation(id.expose(), day))?,
            None => None,
        };
        let card = card.map(living).transpose()?.flatten();
        Ok(Pseudonyms { card, installation })
    }
}

/// Who told an incident, as far as that is kept.
struct Pseudonyms {
    card: Option<Pseudonym>,
    installation: Option<Pseudonym>,
}

/// The pseudonym; none under a key that has ended.
fn living(made: Result<KeyedPseudonym, KeyError>) -> Result<Option<Pseudonym>, KeyError> {
    match made {
        Ok(made) => Ok(Some(made.pseudonym)),
        Err(KeyError::Ended { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An incident's time, as it is counted and as it is kept.
struct Time {
    counted: RowTime,
    precision: TimePrecision,
    occurred: UtcMillis,
    day: LocalDay,
}

impl Time {
    fn of(occurred: Occurred) -> Self {
        let (instant, precision) = match occurred {
            Occurred::Exact(instant) => (instant, TimePrecision::Exact),
            Occurred::Hour(instant) => (instant, TimePrecision::Hour),
            Occurred::Day(day) => {
                return Self {
                    counted: RowTime::Day(day),
                    precision: TimePrecision::Day,
                    occurred: day.noon().start(),
                    day,
                };
            }
        };
        let hour = instant
            .hour()
            .expect("an incident is checked against the years that are supported");
        Self {
            counted: RowTime::Hour(hour),
            precision,
            occurred: instant,
            day: Calendar::get().day(hour),
        }
    }
}

/// The facts, but for the digest and those that depend on pseudonyms and on the network's version.
fn facts(
    incident: &mut Incident,
    secret_hash: Option<SecretHash>,
    time: &Time,
    resolved: &Resolved,
) -> Facts {
    let line = &resolved.line;
    let operator_of_line = line.id.as_ref().map(LineId::operator);
    Facts {
        id: incident.id,
        digest: None,
        secret_hash,
        time: time.counted,
        precision: time.precision,
        reporter: incident.reporter,
        mode: incident.mode,
        tap_kind: incident.tap_kind,
        operator: operator_of_line.or_else(|| resolved.operator.clone()),
        line: line.id.clone(),
        line_resolution: line.resolution,
        line_outside_validity: line.outside_validity,
        stop: resolved.stop.id.clone(),
        stop_resolution: resolved.stop.resolution,
        network_version: 0,
        reader_kind: incident.reader_kind,
        signal: incident.signal,
        found_later: incident.found_later,
        attempts: incident.attempts,
        others_got_through: incident.others_got_through,
        worked_later: incident.worked_later,
        cause_claims: std::mem::take(&mut incident.cause_claims),
        card_kind: incident.card_kind,
        staff_present: incident.staff_present,
        staff_acts: incident.staff_acts,
        staff_minutes: incident.staff_minutes,
        outcomes: incident.outcomes,
        extra_cost: incident.extra_cost,
        card_given: false,
        installation_given: false,
        is_uncountable: false,
        called_back: None,
        told_again: None,
        is_told_again_by_card: false,
    }
}

/// The personal part, but for the pseudonyms and the digest.
fn personal(incident: &mut Incident, time: &Time, resolved: &Resolved) -> Personal {
    use std::mem::take;
    Personal {
        occurred: time.occurred,
        clock_correction_ms: incident.clock_correction_ms,
        card: None,
        installation: None,
        key_period: key_period(time.day),
        vehicle: take(&mut incident.vehicle),
        display_text: take(&mut incident.display_text),
        operator_words: take(&mut incident.operator_words),
        line_words: take(&mut incident.line_words),
        direction_words: take(&mut incident.direction_words),
        stop_words: take(&mut incident.stop_words),
        note: take(&mut incident.note),
        note_to_operator: incident.note_to_operator,
        line_candidates: resolved.line.candidates.clone(),
        stop_candidates: resolved.stop.candidates.clone(),
        words_removed: false,
        digest: None,
    }
}

/// What a client sent, as bytes, but for id and secret: two incidents have the same ones if, and
/// only if, all of it is the same, card number and the device's clock left out, and without a
/// secret the installation, too. The time is the one that was sent, before it was corrected.
fn canonical_bytes(incident: &Incident, out: &mut Zeroizing<Vec<u8>>) {
    let texts = [
        &incident.operator_words,
        &incident.line_words,
        &incident.direction_words,
        &incident.stop_words,
        &incident.vehicle,
        &incident.display_text,
        &incident.note,
    ];
    let text_bytes = texts.iter().map(|text| text.len()).sum::<usize>();
    let has_secret = incident.secret.is_some();
    let installation = incident.installation_id.as_ref();
    let installation = installation.filter(|_| has_secret);
    let installation = installation.map_or(&[][..], InstallationId::expose);
    let room = CANONICAL_BYTES_BESIDE_TEXTS + text_bytes + installation.len();
    if out.capacity() < room {
        // The bytes must not move while they are written: what is left behind is not cleared.
        *out = Zeroizing::new(Vec::with_capacity(room));
    }
    out.clear();
    let (precision, value) = match incident.occurred {
        Occurred::Exact(at) => (TimePrecision::Exact, at.0 - incident.clock_correction_ms),
        Occurred::Hour(at) => {
            let told_ms = at.0 - incident.clock_correction_ms;
            // The hour alone counts: correcting begins at its middle.
            let hour = told_ms.div_euclid(HOUR_MS);
            (TimePrecision::Hour, hour)
        }
        Occurred::Day(day) => (TimePrecision::Day, i64::from(day.0)),
    };
    out.push(precision.number());
    out.extend_from_slice(&value.to_le_bytes());
    for text in texts {
        push_bytes(out, text.as_bytes());
    }
    push_bytes(out, installation);
    out.extend_from_slice(&[
        incident.reporter.number(),
        number_of(incident.mode),
        number_of(incident.tap_kind),
        number_of(incident.reader_kind),
        number_of(incident.signal),
        u8::from(incident.found_later),
        incident.attempts,
        number_of(incident.others_got_through),
        number_of(incident.worked_later),
        number_of(incident.card_kind),
        number_of(incident.staff_present),
        number_of(incident.staff_minutes),
        number_of(incident.extra_cost),
        u8::from(incident.note_to_operator),
    ]);
    out.extend_from_slice(&incident.staff_acts.bits().to_le_bytes());
    out.extend_from_slice(&incident.outcomes.bits().to_le_bytes());
    // Claims are a set: in which order they are named says nothing.
    let claims = incident.cause_claims.iter();
    let mut claims: Vec<_> = claims
        .map(|claim| [claim.cause.number(), claim.source.number()])
        .collect();
    claims.sort_unstable();
    out.extend_from_slice(claims.as_flattened());
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("bounded by the limits of an incident");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_be_moved_from_one_field_to_the_next() {
        let bytes = |texts: [&str; 2]| {
            let mut out = Vec::new();
            for text in texts {
                push_bytes(&mut out, text.as_bytes());
            }
            out
        };
        assert_ne!(bytes(["ab", "c"]), bytes(["a", "bc"]));
        assert_ne!(bytes(["", "abc"]), bytes(["abc", ""]));
    }
}
