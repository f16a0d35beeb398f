//! What comes after a report: amendments, answers, and everything that is kept, as JSON.

use serde_json::{Map, Value, json};

use super::incident::find_key;
use super::violation::{Path, Violations};
use super::{to_number, to_timestamp};
use crate::api::pb::v1 as pb;
use crate::auth::receipts::put;
use crate::auth::{Receipt, period_ends_at, qr};
use crate::domain::entry::IncidentEvent;
use crate::domain::incident::CauseClaim;
use crate::domain::taxonomy::{CaseState, SetOf, StaffAct, Taxonomy};
use crate::domain::{
    Answer, Facts, Hour, IncidentId, IncidentSecret, Personal, Position, RowTime, UtcMillis,
};
use crate::ingest::corroboration::{Corroboration, Place};
use crate::ingest::{Later, StoredIncident, StoredReply};
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
    kept: &StoredIncident,
    now: UtcMillis,
) -> pb::RecordedIncident {
    let amended = kept.amendments.iter();
    let disputed = |reply: &StoredReply| reply.state == CaseState::Disputed;
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
pub fn to_others(others: Option<Corroboration>) -> Option<pb::OthersReported> {
    use pb::others_reported::Place as Out;
    let Corroboration { place, hours } = others?;
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

/// What can be done now about an incident.
pub fn to_advice(facts: &Facts, now: UtcMillis) -> Vec<pb::Advice> {
    let operator = facts.operator.as_ref().map(|code| code.as_str());
    let day = facts.time.day();
    let today = now.hour().map_or(day, Hour::local_day);
    let all = advice(operator, facts.tap_kind, facts.outcomes).into_iter();
    let all = all.map(|one| {
        let told = one.told(day, today);
        let deadline = told.deadline.map(|day| day.to_string());
        pb::Advice {
            topic: one.topic.clone(),
            text_nl: told.nl,
            text_en: told.en,
            deadline: deadline.unwrap_or_default(),
            source: one.source.clone(),
            as_of: one.as_of.to_string(),
        }
    });
    all.collect()
}

/// An answer of an operator.
pub fn to_reply(reply: &StoredReply) -> pb::Reply {
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
    match record.entry.incident_event() {
        Some(IncidentEvent::Reported { facts, personal }) => {
            put(&mut all, "entry", json!("report"));
            put(&mut all, "facts", facts_json(facts));
            put(
                &mut all,
                "personal",
                personal.map_or(Value::Null, personal_json),
            );
        }
        Some(IncidentEvent::Amended(amendment)) => {
            put(&mut all, "entry", json!("amendment"));
            put(&mut all, "facts", facts_json(&amendment.after));
        }
        Some(IncidentEvent::Withdrawn { facts, .. }) => {
            put(&mut all, "entry", json!("withdrawal"));
            put(&mut all, "facts", facts_json(facts));
        }
        Some(IncidentEvent::Erased { incident, .. }) => {
            put(&mut all, "entry", json!("erasure"));
            put(&mut all, "of", place(incident));
        }
        Some(IncidentEvent::Answered(answer)) => {
            put(&mut all, "entry", json!("answer"));
            put_answer(&mut all, answer);
        }
        None => {}
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

/// Each field is named, so that a new one does not compile until someone decides how it is told.
fn facts_json(facts: &Facts) -> Value {
    let Facts {
        id,
        digest,
        secret_hash,
        time,
        precision,
        reporter,
        mode,
        tap_kind,
        operator,
        line,
        line_resolution,
        line_outside_validity,
        stop,
        stop_resolution,
        network_version,
        // Told as `tells_again`, together; where nothing but the card tells it, kept back, as it tells
        // of another's report.
        told_again: _,
        is_told_again_by_card: _,
        // Kept back: it tells whether others in the neighbourhood reported the same operator that
        // day, and theirs it is (GDPR, article 15(4)).
        is_uncountable: _,
        card_given,
        installation_given,
        // Told by `put_seen` and `put_staff`.
        reader_kind: _,
        signal: _,
        found_later: _,
        attempts: _,
        others_got_through: _,
        worked_later: _,
        cause_claims: _,
        card_kind: _,
        staff_present: _,
        staff_acts: _,
        staff_minutes: _,
        outcomes: _,
        extra_cost: _,
        called_back: _,
    } = facts;
    let mut all = Map::new();
    put(&mut all, "incident_id", json!(id.to_string()));
    let digest = digest.as_ref().map(|digest| &digest.0);
    put(&mut all, "content_digest", hexadecimal(digest));
    let secret_hash = secret_hash.as_ref().map(|hash| &hash.0);
    put(&mut all, "secret_hash", hexadecimal(secret_hash));
    match time {
        RowTime::Hour(hour) => put(&mut all, "hour", instant(hour.start())),
        RowTime::Day(day) => put(&mut all, "day", json!(day.to_string())),
    }
    put(&mut all, "precision", choice(Some(*precision)));
    put(&mut all, "reporter", choice(Some(*reporter)));
    put(&mut all, "mode", choice(*mode));
    put(&mut all, "tap_kind", choice(*tap_kind));
    let operator = operator.as_ref().map(|code| code.as_str());
    put(&mut all, "operator", json!(operator));
    let line = line.as_ref().map(|line| line.as_str());
    put(&mut all, "line", json!(line));
    put(&mut all, "line_resolution", choice(*line_resolution));
    put(
        &mut all,
        "line_outside_validity",
        json!(line_outside_validity),
    );
    let stop = stop.as_ref().map(|stop| stop.as_str());
    put(&mut all, "stop", json!(stop));
    put(&mut all, "stop_resolution", choice(*stop_resolution));
    put(&mut all, "network_version", json!(network_version));
    put_seen(&mut all, facts);
    put_staff(&mut all, facts);
    let told_again = facts.own_earlier().map(place);
    put(&mut all, "tells_again", told_again.unwrap_or_default());
    put(&mut all, "card_given", json!(card_given));
    put(&mut all, "installation_given", json!(installation_given));
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
}

fn put_staff(all: &mut Map<String, Value>, facts: &Facts) {
    put(all, "staff_present", choice(facts.staff_present));
    put(all, "staff_acts", choices(facts.staff_acts));
    put(all, "staff_minutes", choice(facts.staff_minutes));
    put(all, "called_back", choice(facts.called_back));
    put(all, "outcomes", choices(facts.outcomes));
    put(all, "extra_cost", choice(facts.extra_cost));
}

/// Each field is named, as above.
fn personal_json(personal: &Personal) -> Value {
    let Personal {
        occurred,
        clock_correction_ms,
        card,
        installation,
        key_period,
        vehicle,
        display_text,
        operator_words,
        line_words,
        direction_words,
        stop_words,
        note,
        note_to_operator,
        line_candidates,
        stop_candidates,
        words_removed,
        digest,
    } = personal;
    let mut all = Map::new();
    put(&mut all, "occurred_at", instant(*occurred));
    put(&mut all, "clock_correction_ms", json!(clock_correction_ms));
    for (name, pseudonym) in [
        ("card_pseudonym", card),
        ("installation_pseudonym", installation),
    ] {
        // Never the pseudonym itself: with it, whoever has an old copy of the journal and
        // somebody's card number would find what was reported with that card.
        let until = instant(period_ends_at(*key_period));
        let kept = pseudonym.map(|_| json!({ "is_kept": true, "until": until }));
        put(&mut all, name, kept.unwrap_or_default());
    }
    put(&mut all, "key_period", json!(key_period));
    for (name, words) in [
        ("vehicle", vehicle),
        ("display_text", display_text),
        ("operator_words", operator_words),
        ("line_words", line_words),
        ("direction_words", direction_words),
        ("stop_words", stop_words),
        ("note", note),
    ] {
        put(&mut all, name, json!(words.as_str()));
    }
    put(&mut all, "note_to_operator", json!(note_to_operator));
    let lines = line_candidates.iter().map(ToString::to_string);
    put(&mut all, "line_candidates", lines.collect());
    let stops = stop_candidates.iter().map(ToString::to_string);
    put(&mut all, "stop_candidates", stops.collect());
    put(&mut all, "words_removed", json!(words_removed));
    let digest = digest.as_ref().map(|digest| &digest.0);
    put(&mut all, "content_digest", hexadecimal(digest));
    Value::Object(all)
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

#[cfg(test)]
mod tests {
    use crate::auth::key_period;
    use crate::domain::incident::CauseClaims;
    use crate::domain::taxonomy::{
        CalledBack, CardKind, Cause, ClaimSource, ExtraCost, Mode, OthersGotThrough, Outcome,
        ReaderKind, ReporterKind, Resolution, Signal, StaffMinutes, StaffPresence, TapKind,
        TimePrecision, WorkedLater,
    };
    use crate::domain::testing::{blank_facts, personal};
    use crate::domain::{ContentDigest, Pseudonym, SecretHash};

    use super::*;

    /// What tells of others.
    const KEPT_BACK: [&str; 1] = ["is_uncountable"];

    /// What is told of a value, each with the field it is told of, beginning with the name of
    /// the field unless it stands here.
    fn is_told(json: &Value, debug: &str, told_as: &[(&str, &str)]) {
        let fields = debug.lines().filter_map(|line| {
            let field = line.strip_prefix("    ")?;
            let (name, _) = field.split_once(": ")?;
            (!name.starts_with([' ', '}'])).then_some(name)
        });
        let fields: Vec<_> = fields.collect();
        assert!(!fields.is_empty());
        for field in fields {
            let mut other = told_as.iter().filter(|(own, _)| *own == field);
            let name = other.next().map_or(field, |(_, name)| name);
            let is_told = json.get(name).is_some();
            assert_eq!(is_told, !KEPT_BACK.contains(&field), "{field}: {json}");
        }
    }

    #[test]
    fn every_field_that_is_kept_of_a_report_is_told_to_whoever_made_it() {
        let at = UtcMillis(1_795_442_400_000);
        let id: IncidentId = "01932b6c-0000-7000-8000-000000000000"
            .parse()
            .expect("an id");
        let hour = RowTime::Hour(at.hour().expect("an hour"));
        let claim = CauseClaim {
            cause: Cause::ALL[0],
            source: ClaimSource::ALL[0],
        };
        let facts = Facts {
            digest: Some(ContentDigest([6; 16])),
            secret_hash: Some(SecretHash([7; 16])),
            reporter: ReporterKind::ALL[0],
            mode: Some(Mode::Tram),
            tap_kind: Some(TapKind::CheckIn),
            operator: Some("GVB".parse().expect("a code")),
            line: Some("GVB:10".parse().expect("an id")),
            line_resolution: Some(Resolution::ALL[0]),
            stop: Some("GVB:05095".parse().expect("an id")),
            stop_resolution: Some(Resolution::ALL[0]),
            reader_kind: Some(ReaderKind::ALL[0]),
            signal: Some(Signal::RedBeep),
            attempts: 2,
            others_got_through: Some(OthersGotThrough::ALL[0]),
            worked_later: Some(WorkedLater::ALL[0]),
            cause_claims: [claim].into_iter().collect::<CauseClaims>(),
            card_kind: Some(CardKind::Student),
            staff_present: Some(StaffPresence::Yes),
            staff_acts: [StaffAct::LetRideFree].into_iter().collect(),
            staff_minutes: Some(StaffMinutes::ALL[0]),
            outcomes: [Outcome::FreeRide].into_iter().collect(),
            extra_cost: Some(ExtraCost::ALL[0]),
            called_back: Some(CalledBack::No),
            told_again: Some(Position(7)),
            is_uncountable: true,
            ..blank_facts(id, hour, TimePrecision::Exact)
        };
        let told_as = [
            ("id", "incident_id"),
            ("digest", "content_digest"),
            ("time", "hour"),
            ("told_again", "tells_again"),
            ("is_told_again_by_card", "tells_again"),
        ];
        is_told(&facts_json(&facts), &format!("{facts:#?}"), &told_as);
        let with_other_neighbours = Facts {
            is_uncountable: false,
            ..facts.clone()
        };
        assert_eq!(facts_json(&with_other_neighbours), facts_json(&facts));

        let words = || "woorden".into();
        let personal = Personal {
            card: Some(Pseudonym([1; 16])),
            installation: Some(Pseudonym([2; 16])),
            vehicle: words(),
            display_text: words(),
            operator_words: words(),
            line_words: words(),
            direction_words: words(),
            stop_words: words(),
            note: words(),
            line_candidates: vec!["GVB:10".parse().expect("an id")],
            stop_candidates: vec!["GVB:05095".parse().expect("an id")],
            words_removed: true,
            digest: Some(ContentDigest([3; 16])),
            key_period: key_period(hour.day()),
            ..personal(at)
        };
        let told_as = [
            ("occurred", "occurred_at"),
            ("card", "card_pseudonym"),
            ("installation", "installation_pseudonym"),
            ("digest", "content_digest"),
        ];
        is_told(
            &personal_json(&personal),
            &format!("{personal:#?}"),
            &told_as,
        );
        assert_eq!(personal_json(&personal)["words_removed"], true);
    }
}
