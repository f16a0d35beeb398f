//! Entries as bytes, after `proto/mistap/journal/v1/entry.proto`, which only ever grows.
//!
//! What this version does not know (a number of a taxonomy, a kind of entry) is an error
//! and never left out: a fold that skips what it does not understand counts wrong.

mod facts;
mod keys;
mod kind;
mod outage;
mod personal;
mod removal;
mod restore;
pub(super) mod staff;
mod taps;
mod values;

use bytes::BytesMut;
use prost::Message;

use super::Encoded;
use super::fields::Fields;
use crate::domain::entry::{ClosedEdition, Removal};
use crate::domain::{Entry, Facts, LocalDay, LocalMonth, Personal, Position};

pub use kind::Wanted;
pub(super) use kind::is_of_incident;
pub(super) use removal::{without, without_taps};

use facts::{
    FACTS_BYTES, amendment_bytes, facts_bytes, facts_fields, parse_amendment, parse_facts,
};
use kind::{AMENDED, INCIDENT, WITHDRAWN};
use personal::{answered, decode_personal, message_bytes, parse_answer, personal_fields};
use values::{fixed, parse_id};
use wire::entry::Kind;

mod wire {
    #![allow(clippy::large_enum_variant, reason = "generated, and never kept")]
    include!(concat!(env!("OUT_DIR"), "/mistap.journal.v1.rs"));
}

/// What comes before the message of an entry, in bytes.
const KIND_BYTES_MAX: usize = 4;

/// Kinds of removals, by their numbers in the schema.
const WORDS: u32 = 1;
const PSEUDONYMS: u32 = 2;
const ALL: u32 = 3;

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

/// The same of a whole entry.
const ENTRY_BYTES: usize = 2 * FACTS_BYTES;
/// A little more than the mean of many.
const ENTRY_BYTES_MEAN: usize = 256;

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

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use proptest::prelude::*;
    use proptest::sample::select;
    use smol_str::SmolStr;

    use super::personal::LINE_IS_ID;
    use super::*;
    use crate::domain::incident::CauseClaim;
    use crate::domain::taxonomy::{
        CaseState, Cause, ClaimSource, Outcome, SetOf, StaffAct, Taxonomy,
    };
    use crate::domain::testing::id_of;
    use crate::domain::{
        Amendment, Answer, ContentDigest, Hour, IncidentId, LineId, OperatorCode, Pseudonym,
        RowTime, SecretHash, StopId, UtcMillis,
    };

    fn said<T: Taxonomy>() -> impl Strategy<Value = Option<T>> {
        proptest::option::of(select(T::ALL))
    }

    fn set_of<T: Taxonomy>() -> impl Strategy<Value = SetOf<T>> {
        proptest::collection::vec(select(T::ALL), 0..4).prop_map(|all| all.into_iter().collect())
    }

    fn incident_id() -> impl Strategy<Value = IncidentId> {
        any::<[u8; 16]>().prop_map(id_of)
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
                (incident_id(), any::<Option<[u8; 16]>>(), any::<Option<[u8; 16]>>(), time()),
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
                id, digest: digest.map(ContentDigest), secret_hash: secret.map(SecretHash), time,
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
            [card, installation, digest] in any::<[Option<[u8; 16]>; 3]>(),
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
                digest: digest.map(ContentDigest),
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
            prop_assert!(left.content_digest.is_empty());
            let removed = left.removed.iter().chain(left.words_removed.iter().flatten());
            let removed = removed.chain(&left.digest_removed);
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
