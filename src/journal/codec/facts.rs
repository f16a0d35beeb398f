//! What is counted of an incident, and what came later of it.

use super::values::{
    digest_bytes, id_bytes, optional_bytes, optional_id, parse_id, parse_time, set, value,
};
use super::{CodecError, wire};
use crate::domain::incident::CauseClaim;
use crate::domain::taxonomy::{
    CalledBack, CardKind, Cause, ClaimSource, ExtraCost, Mode, OthersGotThrough, ReaderKind,
    Resolution, Signal, StaffMinutes, StaffPresence, TapKind, Taxonomy, WorkedLater, number_of,
};
use crate::domain::{
    Amendment, ContentDigest, Facts, LineId, OperatorCode, Position, RowTime, SecretHash, StopId,
};
use crate::journal::fields::Fields;

/// Claim sources are below this number; see `cause_claims` in the schema.
const CLAIM_SOURCES: u32 = 8;

/// Most incidents take less.
pub(super) const FACTS_BYTES: usize = 192;

pub(super) fn facts_bytes(facts: &Facts) -> Vec<u8> {
    facts_fields(facts, Fields::with_capacity(FACTS_BYTES)).into_bytes()
}

pub(super) fn facts_fields(facts: &Facts, mut fields: Fields) -> Fields {
    fields.bytes(1, facts.id.as_bytes());
    fields.bytes(2, digest_bytes(facts.digest.as_ref()));
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

pub(super) fn amendment_bytes(amendment: &Amendment) -> Vec<u8> {
    let mut fields = Fields::with_capacity(2 * FACTS_BYTES);
    fields.bytes(1, amendment.id.as_bytes());
    fields.number(2, amendment.row.0);
    fields.element(3, &facts_bytes(&amendment.before));
    fields.element(4, &facts_bytes(&amendment.after));
    fields.into_bytes()
}

fn claim_number(claim: &CauseClaim) -> u32 {
    u32::from(claim.cause.number()) * CLAIM_SOURCES + u32::from(claim.source.number())
}

pub(super) fn parse_facts(wire: &wire::IncidentFacts) -> Result<Facts, CodecError> {
    Ok(Facts {
        id: parse_id(&wire.incident_id)?,
        digest: optional_bytes(&wire.content_digest, "content_digest")?.map(ContentDigest),
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

pub(super) fn parse_amendment(wire: wire::Amended) -> Result<Amendment, CodecError> {
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

fn parse_claim(number: &u32) -> Result<CauseClaim, CodecError> {
    const FIELD: &str = "cause_claims";
    let cause = value::<Cause>(number / CLAIM_SOURCES, FIELD)?;
    let source = value::<ClaimSource>(number % CLAIM_SOURCES, FIELD)?;
    match (cause, source) {
        (Some(cause), Some(source)) => Ok(CauseClaim { cause, source }),
        _ => Err(CodecError::Field(FIELD)),
    }
}
