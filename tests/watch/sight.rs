//! What an operator may see, each rule by its name. Each takes one message and the operators that
//! it is bound to.

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::incident_event::Change;
use mistap::api::pb::v1::watch_incidents_response::Update;
use mistap::api::pb::v1::watch_rates_response::Update as Rates;

use crate::validators::Verdict;

/// From here on numbers stand for places, and are none.
const FIRST_CITATION: u64 = 1 << 60;

/// A rule with its name.
pub type Rule<M> = (&'static str, fn(&M, &[String]) -> Verdict);

/// Of incidents.
pub const OF_INCIDENTS: [Rule<pb::WatchIncidentsResponse>; 3] = [
    ("own", own),
    ("without places", without_places),
    ("without staff", without_staff),
];

/// Of rates.
pub const OF_RATES: [Rule<pb::WatchRatesResponse>; 2] =
    [("own", own_rows), ("without places", rates_without_places)];

/// Holds a message to all rules.
pub fn hold<M>(rules: &[Rule<M>], message: &M, operators: &[String]) -> Verdict {
    let broken = rules.iter().find_map(|(name, rule)| {
        let verdict = rule(message, operators);
        verdict.err().map(|why| format!("{name}: {why}"))
    });
    broken.map_or(Ok(()), Err)
}

fn check(holds: bool, broken: &str) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(broken.to_owned())
    }
}

fn events(message: &pb::WatchIncidentsResponse) -> impl Iterator<Item = &pb::IncidentEvent> {
    let events = match &message.update {
        Some(Update::Events(events)) => events.events.as_slice(),
        Some(Update::Heartbeat(_)) | None => &[],
    };
    events.iter()
}

fn facts(message: &pb::WatchIncidentsResponse) -> impl Iterator<Item = &pb::IncidentFacts> {
    events(message).filter_map(|event| event.incident.as_ref())
}

/// Every incident is of an own operator.
fn own(message: &pb::WatchIncidentsResponse, operators: &[String]) -> Verdict {
    let is_own = |it: &pb::IncidentFacts| operators.contains(&it.operator);
    let told = facts(message).count() == events(message).count();
    check(told && facts(message).all(is_own), "another's incident")
}

/// Case numbers, and no place in the journal.
fn without_places(message: &pb::WatchIncidentsResponse, _operators: &[String]) -> Verdict {
    check(message.position == 0, "the place of a message")?;
    for event in events(message) {
        let recorded = match event.change.as_ref().ok_or("no change")? {
            Change::Recorded(_) => 0,
            Change::Withdrawn(it) => it.recorded_position,
            Change::Answered(it) => it.recorded_position,
            Change::Amended(it) => it.recorded_position,
        };
        check(
            (event.position, recorded) == (0, 0),
            "the place of an event",
        )?;
        check(!event.case_number.is_empty(), "no case number")?;
    }
    Ok(())
}

/// Neither what staff did nor what shows it.
fn without_staff(message: &pb::WatchIncidentsResponse, _operators: &[String]) -> Verdict {
    let is_amended = |it: &pb::IncidentEvent| matches!(it.change, Some(Change::Amended(_)));
    check(!events(message).any(is_amended), "an amendment")?;
    for it in facts(message) {
        let staff = [it.staff_present, it.staff_minutes, it.extra_cost];
        let is_empty = it.staff_acts.is_empty() && it.outcomes.is_empty();
        check(staff == [0; 3] && is_empty, "what staff did")?;
        let of_people = [pb::ReporterKind::Traveller, pb::ReporterKind::Staff];
        check(!of_people.contains(&it.reporter()), "who reported")?;
        let of_people = [pb::ClaimSource::Traveller, pb::ClaimSource::Staff];
        let is_told = |claim: &pb::CauseClaim| of_people.contains(&claim.source());
        check(
            !it.cause_claims.iter().any(is_told),
            "whose word a cause is",
        )?;
    }
    Ok(())
}

/// Every row is of an own operator, where it is by operator or line.
fn own_rows(message: &pb::WatchRatesResponse, operators: &[String]) -> Verdict {
    let figures = match &message.update {
        Some(Rates::Snapshot(all)) => all.figures.as_slice(),
        Some(Rates::Changes(some)) => some.figures.as_slice(),
        Some(Rates::Resumed(_) | Rates::Heartbeat(_)) | None => &[],
    };
    for key in figures.iter().flat_map(|figure| &figure.keys) {
        let operator = match key.dimension() {
            pb::Dimension::Operator => key.value.as_str(),
            pb::Dimension::Line => key.value.split(':').next().unwrap_or_default(),
            _ => continue,
        };
        let is_own = operators.iter().any(|own| own == operator);
        check(is_own, "another's row")?;
    }
    Ok(())
}

/// No place in the journal; what is cited shows none.
fn rates_without_places(message: &pb::WatchRatesResponse, _operators: &[String]) -> Verdict {
    check(message.position == 0, "the place of a message")?;
    let place = cited_place(message).unwrap_or(FIRST_CITATION);
    let is_cited = FIRST_CITATION <= place.min(message.cited_position);
    check(is_cited, "the place in a citation")
}

/// The number in a citation, if there is one.
pub fn cited_place(message: &pb::WatchRatesResponse) -> Option<u64> {
    let (_, from) = message.citation.split_once(" as of position ")?;
    from.split(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incidents() -> pb::WatchIncidentsResponse {
        let event = pb::IncidentEvent {
            case_number: "7H2K-9QWM-3XVT".into(),
            incident: Some(pb::IncidentFacts {
                operator: "GVB".into(),
                cause_claims: vec![pb::CauseClaim::default()],
                ..pb::IncidentFacts::default()
            }),
            change: Some(Change::Withdrawn(pb::IncidentWithdrawn::default())),
            ..pb::IncidentEvent::default()
        };
        let events = vec![event];
        pb::WatchIncidentsResponse {
            update: Some(Update::Events(pb::IncidentEvents { events })),
            ..pb::WatchIncidentsResponse::default()
        }
    }

    #[test]
    fn what_an_operator_may_not_see_of_incidents_breaks_the_rule_of_its_name() {
        let check = |name: &str, forge: fn(&mut pb::IncidentEvent, &mut pb::IncidentFacts)| {
            let mut message = incidents();
            let Some(Update::Events(all)) = &mut message.update else {
                panic!("they are events");
            };
            let mut facts = all.events[0].incident.take().expect("there");
            forge(&mut all.events[0], &mut facts);
            all.events[0].incident = Some(facts);
            let told = hold(&OF_INCIDENTS, &message, &["GVB".to_owned()]);
            let broken = told.err().unwrap_or_default();
            let broken = broken.split(':').next().unwrap_or_default();
            assert_eq!(broken, name);
        };
        check("", |_, _| ());
        check("own", |_, it| it.operator = "RET".into());
        check("own", |_, it| it.operator.clear());
        check("without places", |it, _| it.position = 7);
        check("without places", |it, _| it.case_number.clear());
        check("without places", |it, _| {
            it.change = Some(Change::Withdrawn(pb::IncidentWithdrawn {
                recorded_position: 7,
            }));
        });
        check("without staff", |it, _| {
            it.change = Some(Change::Amended(pb::IncidentAmended::default()));
        });
        check("without staff", |_, it| it.staff_present = 1);
        check("without staff", |_, it| it.staff_acts.push(1));
        check("without staff", |_, it| it.staff_minutes = 1);
        check("without staff", |_, it| it.outcomes.push(1));
        check("without staff", |_, it| it.extra_cost = 1);
        check("without staff", |_, it| {
            it.reporter = pb::ReporterKind::Staff.into();
        });
        check("without staff", |_, it| {
            it.cause_claims[0].source = pb::ClaimSource::Traveller.into();
        });
    }

    #[test]
    fn what_an_operator_may_not_see_of_rates_breaks_the_rule_of_its_name() {
        let check = |name: &str, forge: fn(&mut pb::WatchRatesResponse, &mut pb::Key)| {
            let mut message = pb::WatchRatesResponse {
                citation: format!("figures as of position {FIRST_CITATION}: "),
                cited_position: FIRST_CITATION,
                ..pb::WatchRatesResponse::default()
            };
            let mut key = pb::Key {
                dimension: pb::Dimension::Line.into(),
                value: "GVB:10".into(),
            };
            forge(&mut message, &mut key);
            let figure = pb::Figure {
                keys: vec![key],
                ..pb::Figure::default()
            };
            let figures = vec![figure];
            message.update = Some(Rates::Changes(pb::Changes { figures }));
            let told = hold(&OF_RATES, &message, &["GVB".to_owned()]);
            let broken = told.err().unwrap_or_default();
            assert_eq!(broken.split(':').next().unwrap_or_default(), name);
        };
        check("", |_, _| ());
        check("own", |_, key| key.value = "RET:1".into());
        check("own", |_, key| {
            key.dimension = pb::Dimension::Operator.into();
            key.value = "GVBX".into();
        });
        check("without places", |it, _| it.position = 1);
        check("without places", |it, _| {
            it.citation = "figures as of position 12: ".into();
        });
        check("without places", |it, _| it.cited_position = 12);
    }
}
