//! Entries as bytes, after `proto/mistap/journal/v1/entry.proto`, which only ever grows.
//!
//! What this version does not know (a number of a taxonomy, a kind of entry) is an error
//! and never left out: a fold that skips what it does not understand counts wrong.

mod keys;
mod outage;
mod restore;
pub(super) mod staff;
mod taps;

use std::str::FromStr;

use bytes::BytesMut;
use prost::Message;
use prost::encoding::WireType;

use super::Encoded;
use super::fields::Fields;
use crate::domain::entry::{ClosedEdition, Removal};
use crate::domain::incident::CauseClaim;
use crate::domain::taxonomy::{
    CalledBack, CardKind, CaseState, Cause, ClaimSource, ClosedReason, ExtraCost, Mode,
    OthersGotThrough, ReaderKind, Resolution, SetOf, Signal, StaffMinutes, StaffPresence, TapKind,
    Taxonomy, WorkedLater, number_of,
};
use crate::domain::{
    Amendment, Answer, ContentDigest, Entry, Facts, Hour, IncidentId, LineId, LocalDay, LocalMonth,
    OperatorCode, Personal, Position, Pseudonym, RowTime, SecretHash, StopId, UtcMillis,
};

use wire::entry::Kind;

mod wire {
    #![allow(clippy::large_enum_variant, reason = "generated, and never kept")]
    include!(concat!(env!("OUT_DIR"), "/mistap.journal.v1.rs"));
}

/// Kinds of entries that are many, by their numbers in the schema.
const INCIDENT: u32 = 1;
const WITHDRAWN: u32 = 2;
const AMENDED: u32 = 8;
const TAP_COUNTS: u32 = 5;
const TAP_COUNTS_REMOVED: u32 = 6;
const EDITION_CLOSED: u32 = 7;
const ERASED: u32 = 9;
const ANSWERED: u32 = 10;
const PERSONAL_REMOVED: u32 = 11;
const KEYS_CHANGED: u32 = 15;
const RESTORED: u32 = 16;
/// Bits of a field's key below its number.
const WIRE_TYPE_BITS: u32 = 3;
/// What comes before the message of an entry, in bytes.
const KIND_BYTES_MAX: usize = 4;

/// The fields of a personal part for what was removed from it.
const PSEUDONYMS_REMOVED: u32 = 17;
const WORDS_REMOVED: u32 = 18;
/// The field of the personal part of an answer for the message that was removed.
const MESSAGE_REMOVED: u32 = 2;
/// Kinds of removals, by their numbers in the schema.
const WORDS: u32 = 1;
const PSEUDONYMS: u32 = 2;
const ALL: u32 = 3;

/// Claim sources are below this number; see `cause_claims` in the schema.
const CLAIM_SOURCES: u32 = 8;

/// The words that are left out because the facts have them; see `words_are_ids`.
const OPERATOR_IS_ID: u32 = 1;
const LINE_IS_ID: u32 = 2;
const STOP_IS_ID: u32 = 4;

/// Why bytes are no entry that this version understands. Never holds what was in them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CodecError {
    /// Not of the schema.
    #[error("not of the journal's schema")]
    Schema(#[from] prost::DecodeError),
    /// A kind of entry that this version does not know.
    #[error("a kind of entry that this version does not know")]
    Kind,
    /// A field has a value that this version does not know.
    #[error("field {0} has a value that this version does not know")]
    Field(&'static str),
}

/// Which entries are read. Of the others it is proved that they are whole, and they are passed
/// over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every entry.
    All,
    /// Every entry but tap counts.
    AllButTaps,
    /// Tap counts.
    Taps,
    /// Tap counts, and what says that some are kept no longer.
    TapChanges,
    /// What says that an edition was closed.
    Editions,
    /// What tells which keys are in use.
    Keys,
    /// What says that the record goes on from a copy.
    Restores,
    /// What says that personal data was taken away.
    Removals,
}

impl Wanted {
    /// Whether an entry is read, by its encoded facts.
    pub(super) fn is_met_by(self, facts: &[u8]) -> bool {
        let Some(first) = facts.first() else {
            // It cannot be decoded, which is to be told.
            return true;
        };
        let kind = kind_of(*first);
        match self {
            Self::All => true,
            Self::AllButTaps => kind != TAP_COUNTS,
            Self::Taps => kind == TAP_COUNTS,
            Self::TapChanges => kind == TAP_COUNTS || kind == TAP_COUNTS_REMOVED,
            Self::Editions => kind == EDITION_CLOSED,
            Self::Keys => kind == KEYS_CHANGED,
            Self::Restores => kind == RESTORED,
            Self::Removals => kind == PERSONAL_REMOVED,
        }
    }
}

/// Encodes an entry, so that it can be appended. Done by whoever made the entry, not by the
/// writer, which has every other's entries to write.
pub fn encode(entry: &Entry) -> Encoded {
    let facts = match entry {
        Entry::Incident { facts, personal } => {
            return Encoder::for_entries(1).incident(facts, personal.as_deref());
        }
        Entry::Withdrawn { id, facts, row } => {
            let mut withdrawn = Fields::default();
            withdrawn.bytes(1, id.as_bytes());
            withdrawn.element(2, &facts_bytes(facts));
            withdrawn.number(3, row.0);
            kind_bytes(WITHDRAWN, &withdrawn.into_bytes())
        }
        Entry::Amended(amendment) => kind_bytes(AMENDED, &amendment_bytes(amendment)),
        Entry::Erased { id, incident } => generated(Kind::Erased(wire::Erased {
            incident_id: id.as_bytes().to_vec(),
            incident: incident.0,
        })),
        Entry::Answered(answer) => {
            let facts = Encoded::of_facts(generated(Kind::Answered(answered(answer))));
            return match message_bytes(&answer.message) {
                Some(message) => facts.with_personal(&message),
                None => facts,
            };
        }
        Entry::Tick => generated(Kind::Tick(wire::Tick {})),
        Entry::NetworkChanged { version, sha256 } => {
            generated(Kind::NetworkChanged(wire::NetworkChanged {
                version: *version,
                sha256: sha256.to_vec(),
            }))
        }
        Entry::TapCounts(batch) => generated(Kind::TapCounts(taps::to_wire(batch))),
        Entry::TapCountsRemoved { before } => {
            generated(Kind::TapCountsRemoved(wire::TapCountsRemoved {
                before_day: before.0,
            }))
        }
        Entry::EditionClosed(closed) => generated(Kind::EditionClosed(wire::EditionClosed {
            month: closed.month.0,
            through: closed.through.0,
            sha256: closed.sha256.to_vec(),
            method: closed.method,
        })),
        Entry::OutageChanged(change) => generated(Kind::OutageChanged(outage::to_wire(change))),
        Entry::PersonalRemoved { removal, through } => {
            let (what, key_period) = match removal {
                Removal::Words => (WORDS, 0),
                Removal::Pseudonyms { key_period } => (PSEUDONYMS, *key_period),
                Removal::All => (ALL, 0),
            };
            generated(Kind::PersonalRemoved(wire::PersonalRemoved {
                what,
                through: through.0,
                key_period,
            }))
        }
        Entry::IncidentsEnded { through, base } => {
            generated(Kind::IncidentsEnded(wire::IncidentsEnded {
                through: through.0,
                base_sha256: base.map(Vec::from).unwrap_or_default(),
            }))
        }
        Entry::KeysChanged(told) => generated(Kind::KeysChanged(keys::to_wire(told))),
        Entry::Restored(epoch) => generated(Kind::Restored(restore::to_wire(epoch))),
        Entry::Gone => generated(Kind::Gone(wire::Gone {})),
    };
    Encoded::of_facts(facts)
}

/// Encodes entries that go to the writer together, into the same memory.
pub struct Encoder {
    scratch: Vec<u8>,
    room: BytesMut,
}

impl Encoder {
    /// For so many entries.
    pub fn for_entries(count: usize) -> Self {
        Self {
            scratch: Vec::with_capacity(ENTRY_BYTES),
            room: BytesMut::with_capacity(count * ENTRY_BYTES_MEAN),
        }
    }

    /// As `encode`.
    pub fn encode(&mut self, entry: &Entry) -> Encoded {
        match entry {
            // Nearly all are.
            Entry::Incident { facts, personal } => self.incident(facts, personal.as_deref()),
            _ => encode(entry),
        }
    }

    fn incident(&mut self, facts: &Facts, personal: Option<&Personal>) -> Encoded {
        let scratch = std::mem::take(&mut self.scratch);
        let mut fields = facts_fields(facts, Fields::inside(scratch));
        let begin = fields.close(INCIDENT);
        let facts_end = fields.len();
        if let Some(personal) = personal {
            fields = personal_fields(personal, facts, fields);
        }
        self.scratch = fields.into_bytes();
        self.room.extend_from_slice(&self.scratch[begin..]);
        Encoded {
            bytes: self.room.split().freeze(),
            facts_bytes: facts_end - begin,
            has_personal: personal.is_some(),
        }
    }
}

/// An entry of one kind, from its message.
fn kind_bytes(kind: u32, message: &[u8]) -> Vec<u8> {
    let mut entry = Fields::with_capacity(message.len() + KIND_BYTES_MAX);
    entry.element(kind, message);
    entry.into_bytes()
}

/// An entry of a kind that is rare.
fn generated(kind: Kind) -> Vec<u8> {
    wire::Entry { kind: Some(kind) }.encode_to_vec()
}

/// Decodes an entry; without the bytes of a personal part, it has none.
pub fn decode(facts: &[u8], personal: Option<&[u8]>) -> Result<Entry, CodecError> {
    match wire::Entry::decode(facts)?.kind.ok_or(CodecError::Kind)? {
        Kind::Incident(wire) => {
            let facts = parse_facts(&wire)?;
            let personal = personal.map(|bytes| decode_personal(bytes, wire));
            Ok(Entry::Incident {
                facts: Box::new(facts),
                personal: personal.transpose()?.map(Box::new),
            })
        }
        Kind::Withdrawn(withdrawn) => Ok(Entry::Withdrawn {
            id: parse_id(&withdrawn.incident_id)?,
            facts: Box::new(parse_facts(
                &withdrawn.facts.ok_or(CodecError::Field("facts"))?,
            )?),
            row: Position(withdrawn.row),
        }),
        Kind::Amended(amended) => Ok(Entry::Amended(Box::new(parse_amendment(amended)?))),
        Kind::Erased(erased) => Ok(Entry::Erased {
            id: parse_id(&erased.incident_id)?,
            incident: Position(erased.incident),
        }),
        Kind::Answered(answered) => {
            let answer = parse_answer(&answered, personal.unwrap_or_default())?;
            Ok(Entry::Answered(Box::new(answer)))
        }
        Kind::Tick(_) => Ok(Entry::Tick),
        Kind::NetworkChanged(changed) => Ok(Entry::NetworkChanged {
            version: changed.version,
            sha256: fixed(&changed.sha256, "sha256")?,
        }),
        Kind::TapCounts(counts) => Ok(Entry::TapCounts(Box::new(taps::parse(counts)?))),
        Kind::TapCountsRemoved(removed) => Ok(Entry::TapCountsRemoved {
            before: LocalDay(removed.before_day),
        }),
        Kind::EditionClosed(closed) => Ok(Entry::EditionClosed(ClosedEdition {
            month: LocalMonth(closed.month),
            through: Position(closed.through),
            sha256: fixed(&closed.sha256, "sha256")?,
            // Before there was another, it was not written.
            method: closed.method.max(1),
        })),
        Kind::OutageChanged(changed) => Ok(Entry::OutageChanged(outage::parse(&changed)?)),
        Kind::PersonalRemoved(removed) => Ok(Entry::PersonalRemoved {
            removal: match removed.what {
                WORDS => Removal::Words,
                PSEUDONYMS => Removal::Pseudonyms {
                    key_period: removed.key_period,
                },
                ALL => Removal::All,
                _ => return Err(CodecError::Field("what")),
            },
            through: Position(removed.through),
        }),
        Kind::IncidentsEnded(ended) => Ok(Entry::IncidentsEnded {
            through: Position(ended.through),
            base: match ended.base_sha256.is_empty() {
                true => None,
                false => Some(fixed(&ended.base_sha256, "base_sha256")?),
            },
        }),
        Kind::KeysChanged(changed) => Ok(Entry::KeysChanged(keys::parse(&changed)?)),
        Kind::Restored(restored) => Ok(Entry::Restored(restore::parse(&restored)?)),
        Kind::Gone(_) => Ok(Entry::Gone),
    }
}

/// The kind of an entry, by the first byte of its facts. An entry is one field, whose number is
/// its kind. From 16 on, where a second byte follows, the mark of that stands for the 16; so it
/// tells kinds up to 31.
fn kind_of(first: u8) -> u32 {
    u32::from(first) >> WIRE_TYPE_BITS
}

/// Whether an entry is about one incident, by its encoded facts: such an entry goes when single
/// incidents are kept no longer.
pub(super) fn is_of_incident(facts: &[u8]) -> bool {
    let kind = facts.first().map_or(0, |first| kind_of(*first));
    [INCIDENT, WITHDRAWN, AMENDED, ERASED, ANSWERED].contains(&kind)
}

/// What is left of an entry of tap counts all of which are of days before one; `None` if any is
/// not, if there are no counts in it, or if it is another entry. What declared its feed is left
/// as the declaration.
pub(super) fn without_taps(
    facts: &[u8],
    before: LocalDay,
    declares_feed: bool,
) -> Result<Option<Entry>, CodecError> {
    let kind = facts
        .first()
        .map_or(0, |first| u32::from(*first) >> WIRE_TYPE_BITS);
    if kind != TAP_COUNTS {
        return Ok(None);
    }
    let Some(Kind::TapCounts(mut counts)) = wire::Entry::decode(facts)?.kind else {
        return Ok(None);
    };
    let ends = counts.days.iter().all(|day| day.day < before.0);
    Ok(match ends && !counts.days.is_empty() {
        true if declares_feed => {
            counts.days.clear();
            Some(Entry::TapCounts(Box::new(taps::parse(counts)?)))
        }
        true => Some(Entry::Gone),
        false => None,
    })
}

fn decode_personal(bytes: &[u8], facts: wire::IncidentFacts) -> Result<Personal, CodecError> {
    let mut wire = wire::IncidentPersonal::decode(bytes)?;
    restore_words(&mut wire, facts)?;
    parse_personal(wire)
}

/// What is left of the personal part of an entry without some of it, in as many bytes; `None`
/// if there is nothing of it to take away. Incidents have words and pseudonyms, answers have words.
pub(super) fn without(
    facts: &[u8],
    personal: &[u8],
    removal: Removal,
) -> Result<Option<Vec<u8>>, CodecError> {
    match wire::Entry::decode(facts)?.kind {
        Some(Kind::Incident(_)) => without_of_incident(personal, removal),
        Some(Kind::Answered(_)) if removal == Removal::Words => without_message(personal),
        _ => Ok(None),
    }
}

/// The same of an answer: nothing is left but that there was a message.
fn without_message(personal: &[u8]) -> Result<Option<Vec<u8>>, CodecError> {
    if wire::AnsweredPersonal::decode(personal)?.message.is_empty() {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(personal.len());
    push_removed(&mut bytes, MESSAGE_REMOVED, personal.len());
    Ok(Some(bytes))
}

fn without_of_incident(personal: &[u8], removal: Removal) -> Result<Option<Vec<u8>>, CodecError> {
    let before = wire::IncidentPersonal::decode(personal)?;
    let mut left = before.clone();
    let field = match removal {
        Removal::All => return Ok(None),
        Removal::Words => {
            for words in [
                &mut left.display_text,
                &mut left.operator_words,
                &mut left.line_words,
                &mut left.direction_words,
                &mut left.stop_words,
                &mut left.note,
            ] {
                words.clear();
            }
            WORDS_REMOVED
        }
        Removal::Pseudonyms { key_period } => {
            if left.key_period <= key_period {
                left.card_pseudonym.clear();
                left.installation_pseudonym.clear();
            }
            PSEUDONYMS_REMOVED
        }
    };
    // What is taken away once is not there a second time: each field is written once.
    if left == before {
        return Ok(None);
    }
    let mut bytes = left.encode_to_vec();
    push_removed(&mut bytes, field, personal.len());
    Ok(Some(bytes))
}

/// Fills a personal part up to so many bytes, at least three more than it has, with zeros in
/// a field for what was removed.
fn push_removed(bytes: &mut Vec<u8>, field: u32, length: usize) {
    const SHORT_MAX: usize = 127;
    prost::encoding::encode_key(field, WireType::LengthDelimited, bytes);
    let gap = length - bytes.len();
    if gap - 1 <= SHORT_MAX {
        bytes.push(u8::try_from(gap - 1).expect("at most 127"));
    } else {
        // In two bytes, also where one would do: it must come out even.
        let zeros = gap - 2;
        bytes.push(u8::try_from(zeros & SHORT_MAX).expect("seven bits") | 0x80);
        bytes.push(u8::try_from(zeros >> 7).expect("a record is smaller than 16 KiB"));
    }
    bytes.resize(length, 0);
}

/// Puts in the words that were left out.
fn restore_words(
    wire: &mut wire::IncidentPersonal,
    facts: wire::IncidentFacts,
) -> Result<(), CodecError> {
    const FIELD: &str = "words_are_ids";
    let mut left = wire.words_are_ids;
    for (bit, words, id) in [
        (OPERATOR_IS_ID, &mut wire.operator_words, facts.operator),
        (LINE_IS_ID, &mut wire.line_words, facts.line),
        (STOP_IS_ID, &mut wire.stop_words, facts.stop),
    ] {
        if left & bit == 0 {
            continue;
        }
        if id.is_empty() || !words.is_empty() {
            return Err(CodecError::Field(FIELD));
        }
        *words = id;
        left &= !bit;
    }
    if left != 0 {
        return Err(CodecError::Field(FIELD));
    }
    Ok(())
}

// === Entries to bytes ===

/// Most incidents take less.
const FACTS_BYTES: usize = 192;
/// The same of a whole entry.
const ENTRY_BYTES: usize = 2 * FACTS_BYTES;
/// A little more than the mean of many.
const ENTRY_BYTES_MEAN: usize = 256;

fn facts_bytes(facts: &Facts) -> Vec<u8> {
    facts_fields(facts, Fields::with_capacity(FACTS_BYTES)).into_bytes()
}

fn facts_fields(facts: &Facts, mut fields: Fields) -> Fields {
    fields.bytes(1, facts.id.as_bytes());
    fields.bytes(2, &facts.digest.0);
    fields.bytes(
        3,
        facts.secret_hash.as_ref().map_or(&[], |hash| &hash.0[..]),
    );
    match facts.time {
        RowTime::Hour(hour) => fields.told_number(4, hour.0.into()),
        RowTime::Day(day) => fields.told_number(5, i64::from(day.0).cast_unsigned()),
    }
    fields.number(6, facts.precision.number());
    fields.number(7, facts.reporter.number());
    fields.number(8, number_of(facts.mode));
    fields.number(9, number_of(facts.tap_kind));
    fields.bytes(
        10,
        id_bytes(facts.operator.as_ref().map(OperatorCode::as_str)),
    );
    fields.bytes(11, id_bytes(facts.line.as_ref().map(LineId::as_str)));
    fields.number(12, number_of(facts.line_resolution));
    fields.bytes(13, id_bytes(facts.stop.as_ref().map(StopId::as_str)));
    fields.number(14, number_of(facts.stop_resolution));
    fields.number(15, facts.network_version);
    fields.number(16, number_of(facts.reader_kind));
    fields.number(17, number_of(facts.signal));
    fields.number(18, facts.found_later);
    fields.number(19, facts.attempts);
    fields.number(20, number_of(facts.others_got_through));
    fields.number(21, number_of(facts.worked_later));
    fields.packed(22, facts.cause_claims.iter().map(claim_number));
    fields.number(23, number_of(facts.card_kind));
    fields.number(24, number_of(facts.staff_present));
    fields.number(25, facts.staff_acts.bits());
    fields.number(26, number_of(facts.staff_minutes));
    fields.number(27, facts.outcomes.bits());
    fields.number(28, number_of(facts.extra_cost));
    fields.number(29, facts.card_given);
    fields.number(30, facts.installation_given);
    fields.number(31, facts.line_outside_validity);
    fields.number(32, facts.is_uncountable);
    fields.number(33, number_of(facts.called_back));
    fields.number(34, facts.told_again.map_or(0, |first| first.0));
    fields.number(35, facts.is_told_again_by_card);
    fields
}

fn amendment_bytes(amendment: &Amendment) -> Vec<u8> {
    let mut fields = Fields::with_capacity(2 * FACTS_BYTES);
    fields.bytes(1, amendment.id.as_bytes());
    fields.number(2, amendment.row.0);
    fields.element(3, &facts_bytes(&amendment.before));
    fields.element(4, &facts_bytes(&amendment.after));
    fields.into_bytes()
}

fn answered(answer: &Answer) -> wire::Answered {
    let (hour, day) = match answer.time {
        RowTime::Hour(hour) => (Some(hour.0), None),
        RowTime::Day(day) => (None, Some(day.0)),
    };
    wire::Answered {
        incident_id: answer.id.as_bytes().to_vec(),
        incident: answer.incident.0,
        operator: answer.operator.as_str().to_owned(),
        received_ms: answer.received.0,
        hour,
        day,
        state: answer.state.number().into(),
        reason: number_of(answer.reason).into(),
        message_given: !answer.message.is_empty() || answer.is_message_gone,
    }
}

/// None for no message.
fn message_bytes(message: &str) -> Option<Vec<u8>> {
    let mut fields = Fields::default();
    fields.bytes(1, message.as_bytes());
    (!message.is_empty()).then(|| fields.into_bytes())
}

fn claim_number(claim: &CauseClaim) -> u32 {
    u32::from(claim.cause.number()) * CLAIM_SOURCES + u32::from(claim.source.number())
}

fn personal_fields(personal: &Personal, facts: &Facts, mut fields: Fields) -> Fields {
    let operator = facts.operator.as_ref().map(OperatorCode::as_str);
    let line = facts.line.as_ref().map(LineId::as_str);
    let stop = facts.stop.as_ref().map(StopId::as_str);
    let mut words_are_ids = 0;
    let mut words = |words: &'_ str, id: Option<&str>, bit| {
        let is_id = id == Some(words);
        words_are_ids |= if is_id { bit } else { 0_u32 };
        !is_id
    };
    let has_operator_words = words(&personal.operator_words, operator, OPERATOR_IS_ID);
    let has_line_words = words(&personal.line_words, line, LINE_IS_ID);
    let has_stop_words = words(&personal.stop_words, stop, STOP_IS_ID);
    fields.signed(1, personal.occurred.0);
    fields.signed(2, personal.clock_correction_ms);
    fields.bytes(3, pseudonym_bytes(personal.card.as_ref()));
    fields.bytes(4, pseudonym_bytes(personal.installation.as_ref()));
    fields.number(5, personal.key_period);
    fields.bytes(6, personal.vehicle.as_bytes());
    fields.bytes(7, personal.display_text.as_bytes());
    for (number, words, has_words) in [
        (8, &personal.operator_words, has_operator_words),
        (9, &personal.line_words, has_line_words),
        (10, &personal.direction_words, true),
        (11, &personal.stop_words, has_stop_words),
    ] {
        if has_words {
            fields.bytes(number, words.as_bytes());
        }
    }
    fields.bytes(12, personal.note.as_bytes());
    fields.number(13, personal.note_to_operator);
    for line in &personal.line_candidates {
        fields.element(14, line.as_str().as_bytes());
    }
    for stop in &personal.stop_candidates {
        fields.element(15, stop.as_str().as_bytes());
    }
    fields.number(16, words_are_ids);
    fields
}

fn id_bytes(id: Option<&str>) -> &[u8] {
    id.unwrap_or_default().as_bytes()
}

fn pseudonym_bytes(pseudonym: Option<&Pseudonym>) -> &[u8] {
    pseudonym.map_or(&[], |pseudonym| &pseudonym.0)
}

// === Wire types to entries ===

fn parse_facts(wire: &wire::IncidentFacts) -> Result<Facts, CodecError> {
    Ok(Facts {
        id: parse_id(&wire.incident_id)?,
        digest: ContentDigest(fixed(&wire.content_digest, "content_digest")?),
        secret_hash: optional_bytes(&wire.secret_hash, "secret_hash")?.map(SecretHash),
        time: parse_time(wire.hour, wire.day)?,
        precision: value(wire.precision, "precision")?.ok_or(CodecError::Field("precision"))?,
        reporter: value(wire.reporter, "reporter")?.ok_or(CodecError::Field("reporter"))?,
        mode: value::<Mode>(wire.mode, "mode")?,
        tap_kind: value::<TapKind>(wire.tap_kind, "tap_kind")?,
        operator: optional_id(&wire.operator, "operator")?,
        line: optional_id(&wire.line, "line")?,
        line_resolution: value::<Resolution>(wire.line_resolution, "line_resolution")?,
        line_outside_validity: wire.line_outside_validity,
        stop: optional_id(&wire.stop, "stop")?,
        stop_resolution: value::<Resolution>(wire.stop_resolution, "stop_resolution")?,
        network_version: wire.network_version,
        reader_kind: value::<ReaderKind>(wire.reader_kind, "reader_kind")?,
        signal: value::<Signal>(wire.signal, "signal")?,
        found_later: wire.found_later,
        attempts: u8::try_from(wire.attempts).map_err(|_| CodecError::Field("attempts"))?,
        others_got_through: value::<OthersGotThrough>(
            wire.others_got_through,
            "others_got_through",
        )?,
        worked_later: value::<WorkedLater>(wire.worked_later, "worked_later")?,
        cause_claims: wire
            .cause_claims
            .iter()
            .map(parse_claim)
            .collect::<Result<_, _>>()?,
        card_kind: value::<CardKind>(wire.card_kind, "card_kind")?,
        staff_present: value::<StaffPresence>(wire.staff_present, "staff_present")?,
        staff_acts: set(wire.staff_acts, "staff_acts")?,
        staff_minutes: value::<StaffMinutes>(wire.staff_minutes, "staff_minutes")?,
        outcomes: set(wire.outcomes, "outcomes")?,
        extra_cost: value::<ExtraCost>(wire.extra_cost, "extra_cost")?,
        card_given: wire.card_given,
        installation_given: wire.installation_given,
        is_uncountable: wire.uncountable,
        called_back: value::<CalledBack>(wire.called_back, "called_back")?,
        told_again: (wire.told_again != 0).then_some(Position(wire.told_again)),
        is_told_again_by_card: wire.told_again_by_card,
    })
}

fn parse_amendment(wire: wire::Amended) -> Result<Amendment, CodecError> {
    let facts = |wire: Option<wire::IncidentFacts>, field| {
        parse_facts(&wire.ok_or(CodecError::Field(field))?)
    };
    Ok(Amendment {
        id: parse_id(&wire.incident_id)?,
        row: Position(wire.row),
        before: facts(wire.before, "before")?,
        after: facts(wire.after, "after")?,
    })
}

fn parse_answer(wire: &wire::Answered, personal: &[u8]) -> Result<Answer, CodecError> {
    let state = value::<CaseState>(wire.state, "state")?;
    let operator = optional_id(&wire.operator, "operator")?;
    let wire::AnsweredPersonal { message, removed } = wire::AnsweredPersonal::decode(personal)?;
    let is_message_gone = message.is_empty() && (wire.message_given || removed.is_some());
    Ok(Answer {
        id: parse_id(&wire.incident_id)?,
        incident: Position(wire.incident),
        operator: operator.ok_or(CodecError::Field("operator"))?,
        received: UtcMillis(wire.received_ms),
        time: parse_time(wire.hour, wire.day)?,
        state: state.ok_or(CodecError::Field("state"))?,
        reason: value::<ClosedReason>(wire.reason, "reason")?,
        message: message.into(),
        is_message_gone,
    })
}

fn parse_personal(wire: wire::IncidentPersonal) -> Result<Personal, CodecError> {
    Ok(Personal {
        occurred: UtcMillis(wire.occurred_ms),
        clock_correction_ms: wire.clock_correction_ms,
        card: optional_bytes(&wire.card_pseudonym, "card_pseudonym")?.map(Pseudonym),
        installation: optional_bytes(&wire.installation_pseudonym, "installation_pseudonym")?
            .map(Pseudonym),
        key_period: wire.key_period,
        vehicle: wire.vehicle.into(),
        display_text: wire.display_text.into(),
        operator_words: wire.operator_words.into(),
        line_words: wire.line_words.into(),
        direction_words: wire.direction_words.into(),
        stop_words: wire.stop_words.into(),
        note: wire.note.into(),
        note_to_operator: wire.note_to_operator,
        line_candidates: ids(&wire.line_candidates, "line_candidates")?,
        stop_candidates: ids(&wire.stop_candidates, "stop_candidates")?,
        words_removed: wire.words_removed.is_some(),
    })
}

fn parse_id(bytes: &[u8]) -> Result<IncidentId, CodecError> {
    const FIELD: &str = "incident_id";
    IncidentId::from_bytes(fixed(bytes, FIELD)?).ok_or(CodecError::Field(FIELD))
}

fn parse_time(hour: Option<u32>, day: Option<i32>) -> Result<RowTime, CodecError> {
    match (hour, day) {
        (Some(hour), None) => Ok(RowTime::Hour(Hour(hour))),
        (None, Some(day)) => Ok(RowTime::Day(LocalDay(day))),
        _ => Err(CodecError::Field("hour")),
    }
}

fn parse_claim(number: &u32) -> Result<CauseClaim, CodecError> {
    const FIELD: &str = "cause_claims";
    let cause = value::<Cause>(number / CLAIM_SOURCES, FIELD)?;
    let source = value::<ClaimSource>(number % CLAIM_SOURCES, FIELD)?;
    match (cause, source) {
        (Some(cause), Some(source)) => Ok(CauseClaim { cause, source }),
        _ => Err(CodecError::Field(FIELD)),
    }
}

fn value<T: Taxonomy>(number: u32, field: &'static str) -> Result<Option<T>, CodecError> {
    if number == 0 {
        return Ok(None);
    }
    let known = u8::try_from(number).ok().and_then(T::from_number);
    known.map(Some).ok_or(CodecError::Field(field))
}

fn set<T: Taxonomy>(bits: u32, field: &'static str) -> Result<SetOf<T>, CodecError> {
    let bits = u16::try_from(bits).map_err(|_| CodecError::Field(field))?;
    let set = SetOf::from_bits(bits);
    if set.bits() == bits {
        Ok(set)
    } else {
        Err(CodecError::Field(field))
    }
}

fn fixed<const N: usize>(bytes: &[u8], field: &'static str) -> Result<[u8; N], CodecError> {
    bytes.try_into().map_err(|_| CodecError::Field(field))
}

fn optional_bytes<const N: usize>(
    bytes: &[u8],
    field: &'static str,
) -> Result<Option<[u8; N]>, CodecError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    fixed(bytes, field).map(Some)
}

fn optional_id<T: FromStr>(text: &str, field: &'static str) -> Result<Option<T>, CodecError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| CodecError::Field(field))
}

fn ids<T: FromStr>(texts: &[String], field: &'static str) -> Result<Vec<T>, CodecError> {
    texts
        .iter()
        .map(|text| text.parse().map_err(|_| CodecError::Field(field)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use smol_str::SmolStr;

    use super::*;
    use crate::domain::taxonomy::{Outcome, StaffAct};

    fn said<T: Taxonomy>() -> impl Strategy<Value = Option<T>> {
        proptest::option::of(select(T::ALL))
    }

    fn set_of<T: Taxonomy>() -> impl Strategy<Value = SetOf<T>> {
        proptest::collection::vec(select(T::ALL), 0..4).prop_map(|all| all.into_iter().collect())
    }

    fn incident_id() -> impl Strategy<Value = IncidentId> {
        any::<[u8; 16]>().prop_map(|mut bytes| {
            bytes[6] = 0x70 | bytes[6] & 0x0f;
            bytes[8] = 0x80 | bytes[8] & 0x3f;
            IncidentId::from_bytes(bytes).expect("version 7")
        })
    }

    fn identifier<T: FromStr<Err: std::fmt::Debug> + std::fmt::Debug>(
        pattern: &'static str,
    ) -> impl Strategy<Value = T> {
        pattern.prop_map(|text: String| text.parse().expect("made to fit"))
    }

    fn line() -> impl Strategy<Value = LineId> {
        identifier("[A-Z0-9]{2,10}:[!-~]{1,30}")
    }

    fn stop() -> impl Strategy<Value = StopId> {
        identifier("[!-~]{1,64}")
    }

    fn time() -> impl Strategy<Value = RowTime> {
        prop_oneof![
            any::<u32>().prop_map(|hour| RowTime::Hour(Hour(hour))),
            any::<i32>().prop_map(|day| RowTime::Day(LocalDay(day))),
        ]
    }

    fn claim() -> impl Strategy<Value = CauseClaim> {
        (select(Cause::ALL), select(ClaimSource::ALL))
            .prop_map(|(cause, source)| CauseClaim { cause, source })
    }

    prop_compose! {
        fn facts()(
            (id, digest, secret, time) in
                (incident_id(), any::<[u8; 16]>(), any::<Option<[u8; 16]>>(), time()),
            (precision, reporter, mode, tap_kind) in
                (select(Taxonomy::ALL), select(Taxonomy::ALL), said(), said()),
            (operator, line, line_resolution, stop, stop_resolution) in (
                proptest::option::of(identifier::<OperatorCode>("[A-Z0-9]{2,10}")),
                proptest::option::of(line()), said(), proptest::option::of(stop()), said(),
            ),
            (reader_kind, signal, others_got_through, worked_later, card_kind) in
                (said(), said(), said(), said(), said()),
            (staff_present, staff_minutes, extra_cost, called_back, told_again) in
                (said(), said(), said(), said(), any::<Option<std::num::NonZeroU64>>()),
            cause_claims in proptest::collection::vec(claim(), 0..5),
            (staff_acts, outcomes) in (set_of::<StaffAct>(), set_of::<Outcome>()),
            (network_version, attempts, flags) in (any::<u32>(), any::<u8>(), any::<[bool; 6]>()),
        ) -> Facts {
            Facts {
                id, digest: ContentDigest(digest), secret_hash: secret.map(SecretHash), time,
                precision, reporter, mode, tap_kind, operator, line, line_resolution,
                line_outside_validity: flags[0], stop, stop_resolution, network_version,
                reader_kind, signal, found_later: flags[1], attempts, others_got_through,
                worked_later, cause_claims: cause_claims.into(), card_kind, staff_present, staff_acts, staff_minutes,
                outcomes, extra_cost, card_given: flags[2], installation_given: flags[3],
                is_uncountable: flags[4],
                called_back,
                told_again: told_again.map(|first| Position(first.get())),
                is_told_again_by_card: flags[5],
            }
        }
    }

    prop_compose! {
        fn personal()(
            (occurred, clock_correction_ms, key_period) in any::<(i64, i64, u32)>(),
            (card, installation) in any::<(Option<[u8; 16]>, Option<[u8; 16]>)>(),
            words in any::<[String; 7]>(),
            note_to_operator in any::<bool>(),
            line_candidates in proptest::collection::vec(line(), 0..3),
            stop_candidates in proptest::collection::vec(stop(), 0..3),
        ) -> Personal {
            let [vehicle, display_text, operator, line, direction, stop, note] =
                words.map(SmolStr::from);
            Personal {
                occurred: UtcMillis(occurred), clock_correction_ms, key_period,
                card: card.map(Pseudonym), installation: installation.map(Pseudonym),
                vehicle, display_text, operator_words: operator, line_words: line,
                direction_words: direction, stop_words: stop, note, note_to_operator,
                line_candidates, stop_candidates, words_removed: false,
            }
        }
    }

    fn entry() -> impl Strategy<Value = Entry> {
        prop_oneof![
            8 => (facts(), proptest::option::of(personal())).prop_map(|(facts, personal)| {
                Entry::Incident { facts: Box::new(facts), personal: personal.map(Box::new) }
            }),
            1 => (incident_id(), facts(), any::<u64>()).prop_map(|(id, facts, row)| {
                Entry::Withdrawn { id, facts: Box::new(facts), row: Position(row) }
            }),
            1 => (incident_id(), any::<u64>(), facts(), facts()).prop_map(
                |(id, row, before, after)| {
                    let row = Position(row);
                    Entry::Amended(Box::new(Amendment { id, row, before, after }))
                },
            ),
            1 => (incident_id(), any::<u64>()).prop_map(|(id, incident)| {
                Entry::Erased { id, incident: Position(incident) }
            }),
            1 => answer().prop_map(|answer| Entry::Answered(Box::new(answer))),
            1 => Just(Entry::Tick),
            1 => any::<(u32, [u8; 32])>()
                .prop_map(|(version, sha256)| Entry::NetworkChanged { version, sha256 }),
            1 => (0..3, any::<u32>(), any::<u64>()).prop_map(|(what, key_period, through)| {
                let removal = match what {
                    0 => Removal::Words,
                    1 => Removal::Pseudonyms { key_period },
                    _ => Removal::All,
                };
                Entry::PersonalRemoved { removal, through: Position(through) }
            }),
            1 => any::<(i32, u64, [u8; 32])>().prop_map(|(month, through, sha256)| {
                let method = u32::from(sha256[0]).max(1);
                let (month, through) = (LocalMonth(month), Position(through));
                Entry::EditionClosed(ClosedEdition { month, through, sha256, method })
            }),
        ]
    }

    prop_compose! {
        fn answer()(
            id in incident_id(),
            incident in any::<u64>(),
            operator in identifier("[A-Z0-9]{2,10}"),
            received in any::<i64>(),
            time in time(),
            state in select(CaseState::ALL),
            reason in said(),
            message in any::<String>(),
        ) -> Answer {
            let (incident, received) = (Position(incident), UtcMillis(received));
            let message = message.into();
            Answer {
                id, incident, operator, received, time, state, reason, message,
                is_message_gone: false,
            }
        }
    }

    fn wire_facts(facts: &Facts) -> wire::IncidentFacts {
        wire::IncidentFacts::decode(&facts_bytes(facts)[..]).expect("of the schema")
    }

    fn wire_personal(personal: &Personal, facts: &Facts) -> wire::IncidentPersonal {
        let bytes = personal_fields(personal, facts, Fields::default()).into_bytes();
        wire::IncidentPersonal::decode(&bytes[..]).expect("of the schema")
    }

    fn check_written_as_generated(entry: &Entry) {
        let encoded = encode(entry);
        let wire = wire::Entry::decode(encoded.facts()).expect("of the schema");
        assert_eq!(encoded.facts(), wire.encode_to_vec());
        if let Some(personal) = encoded.personal() {
            let wire = wire::IncidentPersonal::decode(personal).expect("of the schema");
            assert_eq!(personal, &wire.encode_to_vec());
        }
    }

    proptest! {
        #[test]
        fn what_is_left_of_a_personal_part_takes_as_much_room_and_holds_nothing_removed(
            (facts, personal) in (facts(), personal()),
        ) {
            let entry = Entry::Incident {
                facts: Box::new(facts),
                personal: Some(Box::new(personal.clone())),
            };
            let encoded = encode(&entry);
            let mut bytes = encoded.personal().expect("it has one").to_vec();
            let length = bytes.len();
            let key_period = personal.key_period;
            for removal in [Removal::Words, Removal::Pseudonyms { key_period }] {
                if let Some(left) = without(encoded.facts(), &bytes, removal).expect("readable") {
                    prop_assert_eq!(left.len(), length);
                    bytes = left;
                }
                // Nothing is left to be taken away.
                prop_assert_eq!(without(encoded.facts(), &bytes, removal).expect("readable"), None);
            }
            let left = wire::IncidentPersonal::decode(&bytes[..]).expect("of the schema");
            prop_assert!(left.note.is_empty() && left.display_text.is_empty());
            prop_assert!(left.stop_words.is_empty() && left.direction_words.is_empty());
            prop_assert!(left.card_pseudonym.is_empty() && left.installation_pseudonym.is_empty());
            let removed = left.removed.iter().chain(left.words_removed.iter().flatten());
            prop_assert!(removed.into_iter().all(|byte| *byte == 0));
            let had_words = [
                &personal.display_text,
                &personal.operator_words,
                &personal.line_words,
                &personal.direction_words,
                &personal.stop_words,
                &personal.note,
            ];
            prop_assert!(left.words_removed.is_none() || had_words.iter().any(|it| !it.is_empty()));
            prop_assert!(left.words_removed.is_some() || personal.note.is_empty());
            prop_assert_eq!(left.occurred_ms, personal.occurred.0);
            prop_assert!(decode(encoded.facts(), Some(&bytes)).is_ok());
        }
    }

    proptest! {
        #[test]
        fn message_of_an_answer_goes_with_the_words_and_it_stays_known_that_there_was_one(
            answer in answer(),
        ) {
            let entry = Entry::Answered(Box::new(answer.clone()));
            let encoded = encode(&entry);
            let Some(personal) = encoded.personal() else {
                prop_assert!(answer.message.is_empty());
                return Ok(());
            };
            let remove = |bytes: &[u8], removal| {
                without(encoded.facts(), bytes, removal).expect("readable")
            };
            let pseudonyms = Removal::Pseudonyms { key_period: u32::MAX };
            prop_assert_eq!(remove(personal, pseudonyms), None);
            let left = remove(personal, Removal::Words).expect("it has words");
            prop_assert_eq!(left.len(), personal.len());
            let message = answer.message.as_bytes();
            prop_assert!(message == [0] || !left.windows(message.len()).any(|it| it == message));
            prop_assert_eq!(remove(&left, Removal::Words), None);
            let expected = Answer { message: "".into(), is_message_gone: true, ..answer };
            let expected = Entry::Answered(Box::new(expected));
            for personal in [Some(&left[..]), None] {
                prop_assert_eq!(&decode(encoded.facts(), personal).expect("whole"), &expected);
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_are_those_that_generated_messages_are_written_as(
            facts in facts(), personal in personal(), version in any::<u32>(),
        ) {
            let (id, facts) = (facts.id, Box::new(facts));
            let personal = Some(Box::new(personal));
            let row = Position(version.into());
            check_written_as_generated(&Entry::Withdrawn { id, facts: facts.clone(), row });
            check_written_as_generated(&Entry::Amended(Box::new(Amendment {
                id,
                row,
                before: (*facts).clone(),
                after: (*facts).clone(),
            })));
            check_written_as_generated(&Entry::Incident { facts, personal });
            check_written_as_generated(&Entry::NetworkChanged { version, sha256: [7; 32] });
            check_written_as_generated(&Entry::Tick);
        }

        #[test]
        fn what_an_entry_tells_of_staff_is_what_it_tells_decoded_whole(entry in entry()) {
            let expected = match &entry {
                Entry::Incident { facts, .. } => Some(facts.of_staff()),
                Entry::Amended(amendment) => Some(amendment.after.of_staff()),
                _ => None,
            };
            prop_assert_eq!(staff::decode(encode(&entry).facts()), Ok(expected));
        }

        #[test]
        fn every_entry_reads_back_as_it_was(entry in entry()) {
            let encoded = encode(&entry);
            prop_assert!(!encoded.facts().is_empty());
            prop_assert_eq!(decode(encoded.facts(), encoded.personal()), Ok(entry));
        }

        #[test]
        fn words_that_are_identifiers_are_written_once_and_read_back(
            facts in facts(), personal in personal(), same in any::<[bool; 3]>(),
        ) {
            let text = |id: Option<String>| SmolStr::from(id.unwrap_or_default());
            let mut said = personal;
            if same[0] {
                said.operator_words = text(facts.operator.as_ref().map(ToString::to_string));
            }
            if same[1] {
                said.line_words = text(facts.line.as_ref().map(ToString::to_string));
            }
            if same[2] {
                said.stop_words = text(facts.stop.as_ref().map(ToString::to_string));
            }
            let wire = wire_personal(&said, &facts);
            prop_assert!(!same[2] || wire.stop_words.is_empty());
            let entry = Entry::Incident {
                facts: Box::new(facts),
                personal: Some(Box::new(said)),
            };
            let encoded = encode(&entry);
            prop_assert_eq!(decode(encoded.facts(), encoded.personal()), Ok(entry));
        }

        #[test]
        fn words_that_the_facts_do_not_have_are_an_error(
            facts in facts(), personal in personal(), bits in 8_u32..,
        ) {
            let facts = Facts { line: None, ..facts };
            let entry = encode(&Entry::Incident { facts: Box::new(facts.clone()), personal: None });
            for bits in [bits, LINE_IS_ID] {
                let mut wire = wire_personal(&personal, &facts);
                wire.words_are_ids = bits;
                let error = decode(entry.facts(), Some(&wire.encode_to_vec()));
                prop_assert_eq!(error, Err(CodecError::Field("words_are_ids")));
            }
        }

        #[test]
        fn facts_read_back_without_the_personal_part(facts in facts(), personal in personal()) {
            let facts = Box::new(facts);
            let whole = Entry::Incident {
                facts: facts.clone(),
                personal: Some(Box::new(personal)),
            };
            let bare = Entry::Incident { facts, personal: None };
            prop_assert_eq!(decode(encode(&whole).facts(), None), Ok(bare));
        }

        #[test]
        fn no_bytes_make_it_panic(
            facts in any::<Vec<u8>>(),
            personal in any::<Option<Vec<u8>>>(),
        ) {
            // Only that it returns is asked here.
            let _ = decode(&facts, personal.as_deref());
        }

        #[test]
        fn value_that_is_not_known_is_an_error(facts in facts(), number in 14_u32..) {
            let check = |change: fn(&mut wire::IncidentFacts, u32), field| {
                let mut wire = wire_facts(&facts);
                change(&mut wire, number);
                let kind = Some(Kind::Incident(wire));
                let bytes = wire::Entry { kind }.encode_to_vec();
                assert_eq!(decode(&bytes, None), Err(CodecError::Field(field)));
            };
            check(|wire, number| wire.signal = number, "signal");
            check(|wire, number| wire.precision = number, "precision");
            check(|wire, _| wire.reporter = 0, "reporter");
            check(|wire, number| wire.cause_claims = vec![number % 64 * 8 + 120], "cause_claims");
            check(|wire, _| wire.staff_acts = 1, "staff_acts");
            check(|wire, _| wire.outcomes = 1 << 15, "outcomes");
            check(|wire, _| wire.incident_id.truncate(15), "incident_id");
            check(|wire, _| wire.stop = "two words".into(), "stop");
            check(|wire, _| (wire.hour, wire.day) = (Some(1), Some(1)), "hour");
        }
    }

    #[test]
    fn kind_that_is_not_known_is_an_error() {
        // Field 31, which no version has, as an empty message.
        assert_eq!(decode(&[0xfa, 0x01, 0], None), Err(CodecError::Kind));
        assert_eq!(decode(&[], None), Err(CodecError::Kind));
    }
}
