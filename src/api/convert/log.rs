//! Watches of incidents, and what they bring.

use super::figures::{check_token, parse_ids};
use super::recorded::{begin, to_claim};
use super::violation::{Path, Violations};
use super::{parse_millis, to_number, to_numbers, to_timestamp};
use crate::api::pb::v1 as pb;
use crate::auth::CaseNumbers;
use crate::domain::incident::CauseClaim;
use crate::domain::taxonomy::{ClaimSource, ReporterKind, TimePrecision};
use crate::domain::{Facts, Position, RowTime};
use crate::live::log::{Change, Event, LogFilter, LogMessage, Start};

/// What `WatchIncidents` asks, a token not yet judged.
#[derive(Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// Which incidents.
    pub filter: LogFilter,
    /// From where on.
    pub start: Start,
}

/// Checks what to watch.
pub fn parse_log(request: pb::WatchIncidentsRequest) -> Result<LogRequest, Violations> {
    let mut found = Violations::default();
    let filter = LogFilter {
        operators: parse_ids(Path::root("operators"), &request.operators, &mut found),
        lines: parse_ids(Path::root("lines"), &request.lines, &mut found),
        // Who asks decides; see `Sight`.
        without_amendments: false,
    };
    let start = parse_start(request.start, &mut found);
    found.finish(start.map(|start| LogRequest { filter, start }))
}

fn parse_start(
    start: Option<pb::watch_incidents_request::Start>,
    found: &mut Violations,
) -> Option<Start> {
    use pb::watch_incidents_request::Start as In;
    match start {
        None => Some(Start::Now),
        // What a client has that has not heard anything yet.
        Some(In::ResumeToken(token)) if token.is_empty() => Some(Start::Now),
        Some(In::ResumeToken(token)) => {
            check_token(Path::root("resume_token"), token.len(), found);
            Some(Start::Token(token))
        }
        Some(In::FromTime(time)) => {
            let at = Path::root("from_time");
            let time = found.some(at, parse_millis(&time), "must be a valid point in time");
            time.map(Start::Time)
        }
    }
}

/// What a watcher is told of incidents; `auth::table` has the fields.
pub struct Sight {
    /// All of it. Else neither what staff did and what shows it, nor places in the journal.
    pub is_whole: bool,
    /// Gives each incident its case number.
    pub cases: CaseNumbers,
}

/// A message to a watcher.
pub fn to_log_message(message: &LogMessage, sight: &Sight) -> pb::WatchIncidentsResponse {
    use pb::watch_incidents_response::Update as Out;
    let events = message.events.iter();
    let events: Vec<_> = events.map(|event| to_event(event, sight)).collect();
    let update = if events.is_empty() {
        Out::Heartbeat(pb::Heartbeat {})
    } else {
        Out::Events(pb::IncidentEvents { events })
    };
    pb::WatchIncidentsResponse {
        resume_token: message.resume_token.to_vec(),
        position: sight.place(message.position),
        update: Some(update),
    }
}

impl Sight {
    fn place(&self, position: Position) -> u64 {
        if self.is_whole { position.0 } else { 0 }
    }

    /// What is told of who reported: an operator learns only whether a device did.
    fn reporter(&self, reporter: ReporterKind) -> Option<ReporterKind> {
        (self.is_whole || reporter == ReporterKind::Device).then_some(reporter)
    }

    /// What is told of claims. That staff said something shows that they were there: an
    /// operator cannot tell their claims from the traveller's, nor one of both from one.
    fn claims(&self, claims: &[CauseClaim]) -> Vec<pb::CauseClaim> {
        let mut told = Vec::with_capacity(claims.len());
        for claim in claims {
            let is_said = matches!(claim.source, ClaimSource::Staff | ClaimSource::Traveller);
            let mut claim = to_claim(claim);
            if is_said && !self.is_whole {
                claim.source = 0;
            }
            if !told.contains(&claim) {
                told.push(claim);
            }
        }
        told
    }
}

fn to_event(event: &Event, sight: &Sight) -> pb::IncidentEvent {
    use pb::incident_event::Change as Out;
    let (recorded, change) = match event.change {
        Change::Recorded => (event.position, Out::Recorded(pb::IncidentRecorded {})),
        Change::Withdrawn { recorded } => {
            let recorded_position = sight.place(recorded);
            let withdrawn = pb::IncidentWithdrawn { recorded_position };
            (recorded, Out::Withdrawn(withdrawn))
        }
        Change::Answered {
            recorded,
            state,
            reason,
        } => {
            let answered = pb::IncidentAnswered {
                recorded_position: sight.place(recorded),
                state: to_number(Some(state)),
                reason: to_number(reason),
            };
            (recorded, Out::Answered(answered))
        }
        Change::Amended { recorded } => {
            let recorded_position = sight.place(recorded);
            let amended = pb::IncidentAmended { recorded_position };
            (recorded, Out::Amended(amended))
        }
    };
    pb::IncidentEvent {
        position: sight.place(event.position),
        case_number: sight.cases.of(recorded).to_string(),
        received_at: Some(to_timestamp(event.stamp)),
        incident: Some(to_facts(&event.facts, sight)),
        change: Some(change),
    }
}

/// Every field of the facts that is not an identifier, a digest or a hash, as far as the
/// watcher is told them.
pub fn to_facts(facts: &Facts, sight: &Sight) -> pb::IncidentFacts {
    let seen = to_seen(facts, sight);
    if !sight.is_whole {
        return seen;
    }
    pb::IncidentFacts {
        staff_present: to_number(facts.staff_present),
        staff_acts: to_numbers(facts.staff_acts),
        staff_minutes: to_number(facts.staff_minutes),
        outcomes: to_numbers(facts.outcomes),
        extra_cost: to_number(facts.extra_cost),
        ..seen
    }
}

/// What everybody is told who watches.
fn to_seen(facts: &Facts, sight: &Sight) -> pb::IncidentFacts {
    let text = |id: Option<&str>| id.unwrap_or_default().to_owned();
    pb::IncidentFacts {
        occurred_at: Some(to_timestamp(begin(facts.time))),
        precision: to_number(Some(precision(facts.time))),
        reporter: to_number(sight.reporter(facts.reporter)),
        mode: to_number(facts.mode),
        tap_kind: to_number(facts.tap_kind),
        operator: text(facts.operator.as_ref().map(|code| code.as_str())),
        line: text(facts.line.as_ref().map(|line| line.as_str())),
        line_resolution: to_number(facts.line_resolution),
        stop: text(facts.stop.as_ref().map(|stop| stop.as_str())),
        stop_resolution: to_number(facts.stop_resolution),
        reader_kind: to_number(facts.reader_kind),
        signal: to_number(facts.signal),
        found_later: facts.found_later,
        attempts: u32::from(facts.attempts),
        others_got_through: to_number(facts.others_got_through),
        worked_later: to_number(facts.worked_later),
        cause_claims: sight.claims(&facts.cause_claims),
        card_kind: to_number(facts.card_kind),
        ..pb::IncidentFacts::default()
    }
}

/// As finely as facts know it.
fn precision(time: RowTime) -> TimePrecision {
    match time {
        RowTime::Hour(_) => TimePrecision::Hour,
        RowTime::Day(_) => TimePrecision::Day,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prost::Message;

    use super::*;
    use crate::auth::Keys;
    use crate::domain::limits::{
        CAUSE_CLAIMS_MAX, LINE_ID_BYTES_MAX, LOG_EVENT_BYTES_MAX, OPERATOR_CODE_BYTES_MAX,
        STOP_ID_BYTES_MAX,
    };
    use crate::domain::taxonomy::{
        CaseState, Cause, ClosedReason, Outcome, Resolution, StaffAct, Taxonomy,
    };
    use crate::domain::{ContentDigest, Restores, SecretHash, UtcMillis};
    use crate::ledger::testing::Maker;
    use crate::live::log::bytes_max;

    fn sight(is_whole: bool) -> Sight {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Keys::open(folder.path()).expect("made");
        Sight {
            is_whole,
            cases: keys.case_numbers(&Restores::default()),
        }
    }

    #[test]
    fn operator_cannot_tell_staff_from_travellers_by_what_was_claimed() {
        let claim = |cause, source| CauseClaim { cause, source };
        let told = |claims: &[CauseClaim]| sight(false).claims(claims);
        let traveller = claim(Cause::ReaderFault, ClaimSource::Traveller);
        let staff = claim(Cause::ReaderFault, ClaimSource::Staff);
        let display = claim(Cause::ReaderFault, ClaimSource::Display);
        assert_eq!(told(&[traveller]), told(&[staff]));
        assert_eq!(told(&[traveller]), told(&[traveller, staff]));
        assert_ne!(told(&[traveller]), told(&[display]));
        assert_eq!(sight(true).claims(&[traveller, staff]).len(), 2);
    }

    fn contains(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn event_is_never_larger_than_the_room_that_it_takes() {
        let stamp = UtcMillis(1_795_442_400_999);
        let mut maker = Maker::new(7);
        let at = Position(1 << 59);
        let check = |facts: Facts, change| {
            let room = bytes_max(&facts);
            let event = Event {
                position: at,
                stamp,
                facts: Box::new(facts),
                change,
            };
            let events = vec![to_event(&event, &sight(true))];
            let length = pb::IncidentEvents { events }.encoded_len();
            assert!(length <= room, "{length} of {room}");
            assert!(room <= LOG_EVENT_BYTES_MAX);
            (length, room)
        };
        for _ in 0..100 {
            check(maker.facts(stamp), Change::Recorded);
        }
        let claim = CauseClaim {
            cause: *Cause::ALL.last().expect("some"),
            source: ClaimSource::Staff,
        };
        let line = format!("{:1<1$}", "GVB:10", LINE_ID_BYTES_MAX);
        let largest = Facts {
            operator: Some("O".repeat(OPERATOR_CODE_BYTES_MAX).parse().expect("valid")),
            line: Some(line.parse().expect("valid")),
            stop: Some("s".repeat(STOP_ID_BYTES_MAX).parse().expect("valid")),
            line_resolution: Resolution::ALL.last().copied(),
            stop_resolution: Resolution::ALL.last().copied(),
            found_later: true,
            attempts: u8::MAX,
            cause_claims: [claim; CAUSE_CLAIMS_MAX].into_iter().collect(),
            staff_acts: StaffAct::ALL.iter().copied().collect(),
            outcomes: Outcome::ALL.iter().copied().collect(),
            ..maker.facts(stamp)
        };
        let answered = Change::Answered {
            recorded: at,
            state: *CaseState::ALL.last().expect("some"),
            reason: ClosedReason::ALL.last().copied(),
        };
        let (length, room) = check(largest, answered);
        assert!(room < 2 * length, "not much more than it needs");
    }

    #[test]
    fn every_wrong_field_of_a_watch_is_told() {
        let request = pb::WatchIncidentsRequest {
            operators: vec!["GVB".into(), "no operator".into()],
            lines: vec!["x".repeat(65)],
            start: Some(pb::watch_incidents_request::Start::FromTime(
                prost_types::Timestamp {
                    seconds: i64::MAX,
                    nanos: 0,
                },
            )),
        };
        let violations = parse_log(request).expect_err("refused").into_told();
        let fields: Vec<_> = violations.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["operators[1]", "lines[0]", "from_time"]);
    }

    #[test]
    fn watch_begins_now_if_nothing_is_said_or_the_token_is_empty() {
        let empty = pb::watch_incidents_request::Start::ResumeToken(Vec::new());
        for start in [None, Some(empty)] {
            let request = pb::WatchIncidentsRequest {
                start,
                ..pb::WatchIncidentsRequest::default()
            };
            let asked = parse_log(request).expect("valid");
            assert_eq!(asked.start, Start::Now);
        }
    }

    #[test]
    fn neither_id_nor_digest_nor_hash_is_told() {
        let stamp = UtcMillis(1_795_442_400_000);
        let mut maker = Maker::new(7);
        for number in 1..=100 {
            let facts = Facts {
                digest: Some(ContentDigest([0xab; 16])),
                secret_hash: Some(SecretHash([0xcd; 16])),
                ..maker.facts(stamp)
            };
            let id = facts.id;
            let event = Event {
                position: Position(number),
                stamp,
                facts: Box::new(facts),
                change: Change::Recorded,
            };
            let message = LogMessage {
                resume_token: vec![1].into(),
                position: Position(number),
                events: vec![Arc::new(event)],
            };
            let message = to_log_message(&message, &sight(true));
            let bytes = message.encode_to_vec();
            assert!(!contains(&bytes, id.as_bytes()));
            assert!(!contains(&bytes, id.to_string().as_bytes()));
            assert!(!contains(&bytes, &[0xab; 16]));
            assert!(!contains(&bytes, &[0xcd; 16]));
        }
    }
}
