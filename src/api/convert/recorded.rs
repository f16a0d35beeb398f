//! What became of incidents, and incidents as they are kept.

use std::borrow::Borrow;

use smol_str::SmolStr;

use super::incident::Remark;
use super::{to_number, to_numbers, to_timestamp};
use crate::api::pb::v1 as pb;
use crate::domain::incident::{CauseClaim, Match};
use crate::domain::{Facts, OperatorCode, Personal, RowTime, UtcMillis};
use crate::ingest::{Accepted, StoredIncident};

const MS_PER_SECOND: i64 = 1_000;

/// An accepted report, and what there is to remark.
#[derive(Debug)]
pub struct Recorded {
    /// What became of it.
    pub accepted: Accepted,
    /// Of what was sent.
    pub remarks: Vec<Remark>,
}

impl Recorded {
    /// As a message.
    pub fn into_accepted(self) -> pb::Accepted {
        let mut told = pb::Accepted::default();
        self.write(&mut told);
        told
    }

    /// Into a message that told of another before: its texts keep their memory.
    pub fn write(self, told: &mut pb::Accepted) {
        let Self { accepted, remarks } = self;
        accepted.id.write(&mut told.incident_id);
        told.position = accepted.position.0;
        told.received_at = Some(to_timestamp(accepted.received));
        told.repeated = accepted.repeated;
        told.erased = accepted.erased;
        told.same_as_earlier = accepted.told_again;
        let operator = accepted.operator.as_ref().map_or("", OperatorCode::as_str);
        write_text(operator, &mut told.operator_code);
        write_match(&accepted.line, told.line_match.get_or_insert_default());
        write_match(&accepted.stop, told.stop_match.get_or_insert_default());
        told.warnings = remarks.into_iter().map(to_warning).collect();
    }
}

/// Names of what an incident was matched to, for display; empty where not known.
#[derive(Debug, Default)]
pub struct Names {
    /// Of the line.
    pub line: SmolStr,
    /// Of the stop.
    pub stop: SmolStr,
}

/// An incident as it is kept. Of an erased one, what is counted remains.
pub fn to_recorded(kept: &StoredIncident, names: Names) -> pb::RecordedIncident {
    let facts = &kept.facts;
    let personal = kept.personal.as_ref();
    let line_match = Match {
        resolution: facts.line_resolution,
        id: facts.line.clone(),
        name: names.line,
        candidates: personal.map_or(Vec::new(), |personal| personal.line_candidates.clone()),
        outside_validity: facts.line_outside_validity,
    };
    let stop_match = Match {
        resolution: facts.stop_resolution,
        id: facts.stop.clone(),
        name: names.stop,
        candidates: personal.map_or(Vec::new(), |personal| personal.stop_candidates.clone()),
        outside_validity: false,
    };
    let operator = facts.operator.as_ref().map(ToString::to_string);
    let correction_ms = personal.map_or(0, |personal| personal.clock_correction_ms);
    pb::RecordedIncident {
        incident: Some(to_incident(facts, personal)),
        received_at: Some(to_timestamp(kept.received)),
        position: kept.position.0,
        line_match: Some(to_match(&line_match)),
        stop_match: Some(to_match(&stop_match)),
        operator_code: operator.unwrap_or_default(),
        clock_correction_seconds: correction_ms / MS_PER_SECOND,
        withdrawn: kept.withdrawn,
        same_as_earlier: facts.own_earlier().is_some(),
        card_given: facts.card_given,
        installation_given: facts.installation_given,
        ..pb::RecordedIncident::default()
    }
}

fn to_warning(remark: Remark) -> pb::Warning {
    pb::Warning {
        field: remark.field,
        reason: remark.reason.to_owned(),
        description: remark.description.to_owned(),
    }
}

fn to_match<T: Borrow<str>>(found: &Match<T>) -> pb::Match {
    let mut told = pb::Match::default();
    write_match(found, &mut told);
    told
}

fn write_match<T: Borrow<str>>(found: &Match<T>, told: &mut pb::Match) {
    told.resolution = to_number(found.resolution);
    write_text(found.id.as_ref().map_or("", Borrow::borrow), &mut told.id);
    write_text(&found.name, &mut told.name);
    let candidates = found.candidates.iter();
    told.candidates = candidates.map(|id| id.borrow().to_owned()).collect();
    told.outside_validity = found.outside_validity;
}

fn write_text(text: &str, told: &mut String) {
    told.clear();
    told.push_str(text);
}

fn to_incident(facts: &Facts, personal: Option<&Personal>) -> pb::Incident {
    let counted = pb::Incident {
        incident_id: facts.id.to_string(),
        occurred_at: Some(to_timestamp(begin(facts.time))),
        precision: to_number(Some(facts.precision)),
        reporter: to_number(Some(facts.reporter)),
        mode: to_number(facts.mode),
        tap_kind: to_number(facts.tap_kind),
        reader_kind: to_number(facts.reader_kind),
        signal: to_number(facts.signal),
        found_later: facts.found_later,
        attempts: u32::from(facts.attempts),
        others_got_through: to_number(facts.others_got_through),
        worked_later: to_number(facts.worked_later),
        cause_claims: facts.cause_claims.iter().map(to_claim).collect(),
        card_kind: to_number(facts.card_kind),
        staff_present: to_number(facts.staff_present),
        staff_acts: to_numbers(facts.staff_acts),
        staff_minutes: to_number(facts.staff_minutes),
        outcomes: to_numbers(facts.outcomes),
        extra_cost: to_number(facts.extra_cost),
        ..pb::Incident::default()
    };
    match personal {
        Some(personal) => with_personal(counted, personal),
        None => counted,
    }
}

fn with_personal(counted: pb::Incident, personal: &Personal) -> pb::Incident {
    pb::Incident {
        occurred_at: Some(to_timestamp(personal.occurred)),
        operator: personal.operator_words.to_string(),
        line: personal.line_words.to_string(),
        direction: personal.direction_words.to_string(),
        stop: personal.stop_words.to_string(),
        vehicle: personal.vehicle.to_string(),
        display_text: personal.display_text.to_string(),
        note: personal.note.to_string(),
        note_to_operator: personal.note_to_operator,
        ..counted
    }
}

/// A claimed cause.
pub fn to_claim(claim: &CauseClaim) -> pb::CauseClaim {
    pb::CauseClaim {
        cause: to_number(Some(claim.cause)),
        source: to_number(Some(claim.source)),
    }
}

/// The instant to tell where only the hour or the day is left: its beginning, or noon.
pub fn begin(time: RowTime) -> UtcMillis {
    match time {
        RowTime::Hour(hour) => hour.start(),
        RowTime::Day(day) => day.noon().start(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LocalDay;

    #[test]
    fn day_is_told_by_its_noon_also_when_clocks_change() {
        for (text, utc_hour) in [("2026-03-29", 10), ("2026-10-25", 11), ("2026-11-23", 11)] {
            let day = LocalDay::parse(text).expect("a date");
            let hour = begin(RowTime::Day(day)).hour().expect("supported");
            assert_eq!((hour.0 % 24, hour.local_day()), (utc_hour, day));
        }
    }
}
