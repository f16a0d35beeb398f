//! What comes after a report: amendments, answers, and everything that is kept, as JSON.

use serde_json::{Map, Value, json};

use super::incident::find_key;
use super::violation::{Path, Violations};
use super::{to_number, to_timestamp};
use crate::api::pb::v1 as pb;
use crate::auth::{Receipt, period_ends_at, qr};
use crate::domain::incident::CauseClaim;
use crate::domain::taxonomy::{CaseState, SetOf, StaffAct, Taxonomy};
use crate::domain::{
    Answer, Entry, Facts, IncidentId, IncidentSecret, Personal, Position, RowTime, UtcMillis,
};
use crate::ingest::others::{Others, Place};
use crate::ingest::{Kept, KeptReply, Later};
use crate::journal::Record;
use crate::network::advice::advice;

/// Checks what is told later.
pub fn parse_later(
    request: &pb::AmendIncidentRequest,
) -> Result<(IncidentId, IncidentSecret, Later), Violations> {
    let mut found = Violations::default();
    let key = find_key(&request.incident_id, &request.incident_secret, &mut found);
    let later = Later {
        called_back: found.choice(Path::root("called_back"), request.called_back),
        staff_acts: found.choices(
            Path::root("staff_acts"),
            &request.staff_acts,
            StaffAct::ALL.len(),
            true,
        ),
        worked_later: found.choice(Path::root("worked_later"), request.worked_later),
        extra_cost: found.choice(Path::root("extra_cost"), request.extra_cost),
    };
    found.finish(key.map(|(id, secret)| (id, secret, later)))
}

/// Adds what came after the report.
pub fn with_afterwards(
    recorded: pb::RecordedIncident,
    kept: &Kept,
    now: UtcMillis,
) -> pb::RecordedIncident {
    let amended = kept.amendments.iter();
    let disputed = |reply: &KeptReply| reply.state == CaseState::Disputed;
    pb::RecordedIncident {
        called_back: to_number(kept.facts.called_back),
        amended_at: amended.map(|moment| to_timestamp(moment.stamp)).collect(),
        erased_at: kept.erased.map(|moment| to_timestamp(moment.stamp)),
        replies: kept.replies.iter().map(to_reply).collect(),
        call_back_asked: kept.is_call_back_asked(now),
        disputed: kept.replies.iter().any(disputed),
        ..recorded
    }
}

/// A receipt.
pub fn to_receipt(receipt: Receipt, is_drawn: bool) -> pb::GetReceiptResponse {
    let drawn = is_drawn.then(|| qr::svg(&receipt.jws)).flatten();
    pb::GetReceiptResponse {
        qr_svg: drawn.unwrap_or_default(),
        receipt: receipt.jws,
        salt: receipt.salt,
        digested_json: receipt.digested,
    }
}

/// What others reported.
pub fn to_others(others: Option<Others>) -> Option<pb::OthersReported> {
    use pb::others_reported::Place as Out;
    let Others { place, hours } = others?;
    let place = match place {
        Place::Reader => Out::Reader,
        Place::Stop => Out::Stop,
        Place::Line => Out::Line,
        Place::Operator => Out::Operator,
        Place::Everywhere => Out::Everywhere,
    };
    let place = place.into();
    Some(pb::OthersReported { place, hours })
}

/// What can be done about an incident.
pub fn to_advice(facts: &Facts) -> Vec<pb::Advice> {
    let operator = facts.operator.as_ref().map(|code| code.as_str());
    let day = facts.time.day();
    let all = advice(operator, facts.tap_kind, facts.outcomes).into_iter();
    let all = all.map(|one| pb::Advice {
        topic: one.topic.clone(),
        text_nl: one.nl.clone(),
        text_en: one.en.clone(),
        deadline: one
            .deadline(day)
            .map(|day| day.to_string())
            .unwrap_or_default(),
        source: one.source.clone(),
        as_of: one.as_of.to_string(),
    });
    all.collect()
}

/// An answer of an operator.
pub fn to_reply(reply: &KeptReply) -> pb::Reply {
    pb::Reply {
        replied_at: Some(to_timestamp(reply.moment.stamp)),
        operator: reply.operator.to_string(),
        state: to_number(Some(reply.state)),
        reason: to_number(reply.reason),
        message: reply.message.to_string(),
        message_kept_no_longer: reply.is_message_gone,
    }
}

/// Entries of the journal as a JSON array, with all that they hold: what the law calls access
/// by the data subject. Bytes are in hexadecimal, taxonomies are told by their keys, and what
/// was not said is left out.
pub fn to_everything(records: &[Record]) -> String {
    Value::Array(records.iter().map(to_json).collect()).to_string()
}

fn to_json(record: &Record) -> Value {
    let mut all = Map::new();
    put(&mut all, "position", place(record.position));
    put(&mut all, "received_at", instant(record.stamp));
    match &record.entry {
        Entry::Incident { facts, personal } => {
            put(&mut all, "entry", json!("report"));
            put(&mut all, "facts", facts_json(facts));
            let personal = personal.as_deref();
            put(
                &mut all,
                "personal",
                personal.map_or(Value::Null, personal_json),
            );
        }
        Entry::Amended(amendment) => {
            put(&mut all, "entry", json!("amendment"));
            put(&mut all, "facts", facts_json(&amendment.after));
        }
        Entry::Withdrawn { facts, .. } => {
            put(&mut all, "entry", json!("withdrawal"));
            put(&mut all, "facts", facts_json(facts));
        }
        Entry::Erased { incident, .. } => {
            put(&mut all, "entry", json!("erasure"));
            put(&mut all, "of", place(*incident));
        }
        Entry::Answered(answer) => {
            put(&mut all, "entry", json!("answer"));
            put_answer(&mut all, answer);
        }
        // About no incident.
        Entry::Tick
        | Entry::NetworkChanged { .. }
        | Entry::TapCounts(_)
        | Entry::TapCountsRemoved { .. }
        | Entry::EditionClosed(_)
        | Entry::OutageChanged(_)
        | Entry::PersonalRemoved { .. }
        | Entry::IncidentsEnded { .. }
        | Entry::KeysChanged(_)
        | Entry::Restored(_)
        | Entry::Gone => {}
    }
    Value::Object(all)
}

/// As a text, as the JSON mapping of protobuf has numbers of 64 bits.
fn place(position: Position) -> Value {
    json!(position.0.to_string())
}

fn put_answer(all: &mut Map<String, Value>, answer: &Answer) {
    put(all, "of", place(answer.incident));
    put(all, "operator", json!(answer.operator.as_str()));
    put(all, "state", json!(answer.state.key()));
    put(all, "reason", choice(answer.reason));
    put(all, "message", json!(answer.message));
    if answer.is_message_gone {
        put(all, "message_kept_no_longer", json!(true));
    }
}

fn facts_json(facts: &Facts) -> Value {
    let mut all = Map::new();
    put(&mut all, "incident_id", json!(facts.id.to_string()));
    put(
        &mut all,
        "content_digest",
        hexadecimal(Some(&facts.digest.0)),
    );
    let secret_hash = facts.secret_hash.as_ref().map(|hash| &hash.0);
    put(&mut all, "secret_hash", hexadecimal(secret_hash));
    match facts.time {
        RowTime::Hour(hour) => put(&mut all, "hour", instant(hour.start())),
        RowTime::Day(day) => put(&mut all, "day", json!(day.to_string())),
    }
    put(&mut all, "precision", choice(Some(facts.precision)));
    put(&mut all, "reporter", choice(Some(facts.reporter)));
    put(&mut all, "mode", choice(facts.mode));
    put(&mut all, "tap_kind", choice(facts.tap_kind));
    let operator = facts.operator.as_ref().map(|code| code.as_str());
    put(&mut all, "operator", json!(operator));
    put(
        &mut all,
        "line",
        json!(facts.line.as_ref().map(|line| line.as_str())),
    );
    put(&mut all, "line_resolution", choice(facts.line_resolution));
    put(
        &mut all,
        "line_outside_validity",
        json!(facts.line_outside_validity),
    );
    put(
        &mut all,
        "stop",
        json!(facts.stop.as_ref().map(|stop| stop.as_str())),
    );
    put(&mut all, "stop_resolution", choice(facts.stop_resolution));
    put(&mut all, "network_version", json!(facts.network_version));
    put_seen(&mut all, facts);
    Value::Object(all)
}

fn put_seen(all: &mut Map<String, Value>, facts: &Facts) {
    put(all, "reader_kind", choice(facts.reader_kind));
    put(all, "signal", choice(facts.signal));
    put(all, "found_later", json!(facts.found_later));
    put(all, "attempts", json!(facts.attempts));
    put(all, "others_got_through", choice(facts.others_got_through));
    put(all, "worked_later", choice(facts.worked_later));
    let claim = |claim: &CauseClaim| format!("{}:{}", claim.cause.key(), claim.source.key());
    let claims: Vec<String> = facts.cause_claims.iter().map(claim).collect();
    put(all, "cause_claims", json!(claims));
    put(all, "card_kind", choice(facts.card_kind));
    put(all, "staff_present", choice(facts.staff_present));
    put(all, "staff_acts", choices(facts.staff_acts));
    put(all, "staff_minutes", choice(facts.staff_minutes));
    put(all, "called_back", choice(facts.called_back));
    put(all, "outcomes", choices(facts.outcomes));
    put(all, "extra_cost", choice(facts.extra_cost));
    let told_again = facts.own_earlier().map(place);
    put(all, "tells_again", told_again.unwrap_or_default());
    put(all, "card_given", json!(facts.card_given));
    put(all, "installation_given", json!(facts.installation_given));
}

fn personal_json(personal: &Personal) -> Value {
    let mut all = Map::new();
    put(&mut all, "occurred_at", instant(personal.occurred));
    let correction_ms = personal.clock_correction_ms;
    put(&mut all, "clock_correction_ms", json!(correction_ms));
    for (name, pseudonym) in [
        ("card_pseudonym", personal.card),
        ("installation_pseudonym", personal.installation),
    ] {
        // Never the pseudonym itself: with it, whoever has an old copy of the journal and
        // somebody's card number would find what was reported with that card.
        let until = instant(period_ends_at(personal.key_period));
        let kept = pseudonym.map(|_| json!({ "is_kept": true, "until": until }));
        put(&mut all, name, kept.unwrap_or_default());
    }
    put(&mut all, "key_period", json!(personal.key_period));
    for (name, words) in [
        ("vehicle", &personal.vehicle),
        ("display_text", &personal.display_text),
        ("operator_words", &personal.operator_words),
        ("line_words", &personal.line_words),
        ("direction_words", &personal.direction_words),
        ("stop_words", &personal.stop_words),
        ("note", &personal.note),
    ] {
        put(&mut all, name, json!(words.as_str()));
    }
    put(
        &mut all,
        "note_to_operator",
        json!(personal.note_to_operator),
    );
    let lines = personal.line_candidates.iter().map(ToString::to_string);
    put(&mut all, "line_candidates", lines.collect());
    let stops = personal.stop_candidates.iter().map(ToString::to_string);
    put(&mut all, "stop_candidates", stops.collect());
    Value::Object(all)
}

/// Adds a value, unless nothing was said.
fn put(all: &mut Map<String, Value>, name: &str, value: Value) {
    let is_empty = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if !is_empty {
        all.insert(name.to_owned(), value);
    }
}

fn choice<T: Taxonomy>(value: Option<T>) -> Value {
    value.map_or(Value::Null, |value| json!(value.key()))
}

fn choices<T: Taxonomy>(set: SetOf<T>) -> Value {
    set.iter().map(T::key).collect()
}

fn instant(at: UtcMillis) -> Value {
    json!(at.to_string())
}

fn hexadecimal(bytes: Option<&[u8; 16]>) -> Value {
    json!(bytes.map(|bytes| base16ct::lower::encode_string(bytes)))
}
