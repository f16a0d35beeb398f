//! The personal parts of incidents and of answers: all that can be erased.

use prost::Message;

use super::values::{
    digest_bytes, ids, optional_bytes, optional_id, parse_id, parse_time, pseudonym_bytes, value,
};
use super::{CodecError, wire};
use crate::domain::taxonomy::{CaseState, ClosedReason, Taxonomy, number_of};
use crate::domain::{
    Answer, ContentDigest, Facts, LineId, OperatorCode, Personal, Position, Pseudonym, RowTime,
    StopId, UtcMillis,
};
use crate::journal::fields::Fields;

/// The words that are left out because the facts have them; see `words_are_ids`.
pub(super) const OPERATOR_IS_ID: u32 = 1;
pub(super) const LINE_IS_ID: u32 = 2;
pub(super) const STOP_IS_ID: u32 = 4;

pub(super) fn personal_fields(personal: &Personal, facts: &Facts, mut fields: Fields) -> Fields {
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
    fields.bytes(19, digest_bytes(personal.digest.as_ref()));
    fields
}

pub(super) fn decode_personal(
    bytes: &[u8],
    facts: wire::IncidentFacts,
) -> Result<Personal, CodecError> {
    let mut wire = wire::IncidentPersonal::decode(bytes)?;
    restore_words(&mut wire, facts)?;
    parse_personal(wire)
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
        digest: optional_bytes(&wire.content_digest, "content_digest")?.map(ContentDigest),
    })
}

pub(super) fn answered(answer: &Answer) -> wire::Answered {
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
pub(super) fn message_bytes(message: &str) -> Option<Vec<u8>> {
    let mut fields = Fields::default();
    fields.bytes(1, message.as_bytes());
    (!message.is_empty()).then(|| fields.into_bytes())
}

pub(super) fn parse_answer(wire: &wire::Answered, personal: &[u8]) -> Result<Answer, CodecError> {
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
