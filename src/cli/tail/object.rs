//! An event as an object of JSON: all that was told of it, by the names of the API. Pure.

use serde_json::{Value, json};

use super::super::output::place;
use super::super::when;
use crate::api::pb::v1::incident_event::Change;
use crate::api::pb::v1::{IncidentAnswered, IncidentEvent, IncidentFacts};
use crate::domain::taxonomy::{
    CardKind, CaseState, Cause, ClaimSource, ClosedReason, ExtraCost, Mode, OthersGotThrough,
    Outcome, ReaderKind, ReporterKind, Resolution, Signal, StaffAct, StaffMinutes, StaffPresence,
    TapKind, Taxonomy, TimePrecision, WorkedLater,
};

/// One object of what happened and of the incident that it happened to, without what was not said.
/// Choices are told by their keys, and places in the journal as text, which no number rounds.
pub fn to_json(event: &IncidentEvent) -> Value {
    let facts = event.incident.clone().unwrap_or_default();
    let parts = [happened(event), places(&facts), told(&facts), ended(&facts)];
    let parts = parts.into_iter().filter_map(|part| match part {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    parts
        .flatten()
        .filter(|(_, value)| is_said(value))
        .collect()
}

/// What happened, when and to which.
fn happened(event: &IncidentEvent) -> Value {
    let received = when::from_wire(event.received_at.as_ref());
    let (change, recorded_position) = match &event.change {
        Some(Change::Answered(answered)) => ("answered", answered.recorded_position),
        Some(Change::Amended(amended)) => ("amended", amended.recorded_position),
        Some(Change::Withdrawn(withdrawn)) => ("withdrawn", withdrawn.recorded_position),
        Some(Change::Recorded(_)) => ("recorded", 0),
        None => ("unknown", 0),
    };
    let answered = match &event.change {
        Some(Change::Answered(answered)) => *answered,
        _ => IncidentAnswered::default(),
    };
    json!({
        "position": place(event.position),
        "case_number": event.case_number,
        "received_at": received.map(when::written),
        "change": change,
        "recorded_position": place(recorded_position),
        "answer": key::<CaseState>(answered.state),
        "reason": key::<ClosedReason>(answered.reason),
    })
}

/// When and where it was.
fn places(facts: &IncidentFacts) -> Value {
    let occurred = when::from_wire(facts.occurred_at.as_ref());
    json!({
        "occurred_at": occurred.map(when::written),
        "precision": key::<TimePrecision>(facts.precision),
        "operator": facts.operator,
        "line": facts.line,
        "line_resolution": key::<Resolution>(facts.line_resolution),
        "stop": facts.stop,
        "stop_resolution": key::<Resolution>(facts.stop_resolution),
        "mode": key::<Mode>(facts.mode),
        "reader_kind": key::<ReaderKind>(facts.reader_kind),
    })
}

/// Who tells it, and what was seen.
fn told(facts: &IncidentFacts) -> Value {
    let claims = facts.cause_claims.iter();
    let claims = claims.map(|claim| {
        json!({
            "cause": key::<Cause>(claim.cause),
            "source": key::<ClaimSource>(claim.source),
        })
    });
    json!({
        "reporter": key::<ReporterKind>(facts.reporter),
        "tap_kind": key::<TapKind>(facts.tap_kind),
        "signal": key::<Signal>(facts.signal),
        "found_later": facts.found_later,
        "attempts": facts.attempts,
        "others_got_through": key::<OthersGotThrough>(facts.others_got_through),
        "worked_later": key::<WorkedLater>(facts.worked_later),
        "cause_claims": claims.collect::<Vec<_>>(),
        "card_kind": key::<CardKind>(facts.card_kind),
    })
}

/// What staff did, and how it ended.
fn ended(facts: &IncidentFacts) -> Value {
    json!({
        "staff_present": key::<StaffPresence>(facts.staff_present),
        "staff_acts": keys::<StaffAct>(&facts.staff_acts),
        "staff_minutes": key::<StaffMinutes>(facts.staff_minutes),
        "outcomes": keys::<Outcome>(&facts.outcomes),
        "extra_cost": key::<ExtraCost>(facts.extra_cost),
    })
}

/// No field says anything by nothing, by 0 or by `false`.
fn is_said(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) | Value::Object(_) => true,
        Value::Number(number) => number.as_u64() != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
    }
}

/// The key of a choice; `None` if it was not made or is not known here.
fn key<T: Taxonomy>(number: i32) -> Option<&'static str> {
    let value = u8::try_from(number).ok().and_then(T::from_number);
    value.map(Taxonomy::key)
}

fn keys<T: Taxonomy>(numbers: &[i32]) -> Vec<&'static str> {
    numbers
        .iter()
        .filter_map(|number| key::<T>(*number))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::pb::{self, v1};

    /// Of which everything was said.
    fn full() -> IncidentEvent {
        let facts = IncidentFacts {
            occurred_at: Some(prost_types::Timestamp::default()),
            precision: 2,
            reporter: 1,
            mode: 3,
            tap_kind: 1,
            operator: "GVB".into(),
            line: "GVB:10".into(),
            line_resolution: 1,
            stop: "NL:S:30001234".into(),
            stop_resolution: 2,
            reader_kind: 1,
            signal: 11,
            found_later: true,
            attempts: 3,
            others_got_through: 1,
            worked_later: 1,
            cause_claims: vec![v1::CauseClaim {
                cause: 2,
                source: 1,
            }],
            card_kind: 7,
            staff_present: 1,
            staff_acts: vec![1, 5],
            staff_minutes: 1,
            outcomes: vec![2],
            extra_cost: 2,
        };
        IncidentEvent {
            position: 12,
            received_at: Some(prost_types::Timestamp::default()),
            incident: Some(facts),
            case_number: "7H2K-9QWM-3XVT".into(),
            change: Some(Change::Answered(IncidentAnswered {
                recorded_position: 7,
                state: 4,
                reason: 1,
            })),
        }
    }

    #[test]
    fn object_has_all_that_the_api_tells() {
        let object = to_json(&full());
        let set = pb::descriptors();
        let messages = set.file.iter().flat_map(|file| &file.message_type);
        let mut seen = 0;
        for message in messages {
            let names = ["IncidentFacts", "IncidentEvent", "IncidentAnswered"];
            if !names.contains(&message.name()) {
                continue;
            }
            for field in &message.field {
                let name = match field.name() {
                    // Its fields stand beside those of the event.
                    "incident" => continue,
                    "recorded" | "withdrawn" | "amended" | "answered" => "change",
                    "state" => "answer",
                    name => name,
                };
                assert!(!object[name].is_null(), "{name} of {object}");
                seen += 1;
            }
        }
        assert!(30 < seen, "{seen}");
    }

    #[test]
    fn what_was_not_said_is_not_there() {
        let event = IncidentEvent {
            change: Some(Change::Recorded(v1::IncidentRecorded {})),
            incident: Some(IncidentFacts {
                operator: "GVB".into(),
                ..IncidentFacts::default()
            }),
            ..IncidentEvent::default()
        };
        assert_eq!(
            to_json(&event),
            json!({"change": "recorded", "operator": "GVB"})
        );
    }

    #[test]
    fn choices_are_told_by_their_keys() {
        let object = to_json(&full());
        assert_eq!(object["recorded_position"], "7");
        assert_eq!(object["answer"], "closed-unfixed");
        assert_eq!(object["reason"], "no-fault-found");
        assert_eq!(
            object["staff_acts"],
            json!(["let-ride-free", "let-try-again"])
        );
        let claim = json!([{"cause": "reader-fault", "source": "traveller"}]);
        assert_eq!(object["cause_claims"], claim);
    }
}
