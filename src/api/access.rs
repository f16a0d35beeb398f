//! What a caller may ask and tell, beyond which methods it may call: devices and operators only
//! of the operators that their token is bound to, and not everybody everything. `auth::table`
//! has the rules that depend on the role alone.

use super::convert::violation::{Path, Violations};
use super::status::Problem;
use crate::auth::{Gate, Principal, Role, Scope};
use crate::domain::question::Breakdown;
use crate::domain::taxonomy::ReporterKind;
use crate::domain::{Dimension, Filter, Incident, LineId, OperatorCode, TapFeed};

/// A rule about the operators that somebody asks about.
const OWN_OPERATORS: &str = "must name at least one operator, and none but the token's own";
/// A rule about whose taps somebody tells.
const OWN_OPERATOR: &str = "must be an operator of the token";
/// A rule about what shows what staff did.
const STAFF: &str = "must be left out: exact figures show no operator what staff did; editions do";
/// A rule about observations.
const NO_DEVICE: &str = "must not be DEVICE without a token of a device";
/// A rule about reports of devices.
const DEVICE: &str = "must be DEVICE with a token of a device";
/// A rule about lines that devices tell.
const OWN_LINE: &str = "must be empty, or the identifier of a line of an operator of the token";

/// Checks a question, or a watch of counts; `at` is the message that holds both.
pub fn check_question(
    caller: &Principal,
    filter_at: Path<'_>,
    filter: &Filter,
    by_at: Path<'_>,
    by: &Breakdown,
) -> Result<(), Problem> {
    let mut found = Violations::default();
    let operators = filter_at.field("operators");
    check_operators(caller, operators, &filter.operators, &mut found);
    if !caller.sees_staff() {
        if !filter.staff_acts.is_empty() {
            found.add(filter_at.field("staff_acts"), STAFF);
        }
        if !filter.outcomes.is_empty() {
            found.add(filter_at.field("outcomes"), STAFF);
        }
        for (index, dimension) in by.dimensions().iter().enumerate() {
            if matches!(dimension, Dimension::StaffAct | Dimension::Outcome) {
                found.add(by_at.at(index), STAFF);
            }
        }
    }
    allowed(found)
}

/// Checks the operators whose incidents somebody asks for.
pub fn check_asked(
    caller: &Principal,
    at: Path<'_>,
    operators: &[OperatorCode],
) -> Result<(), Problem> {
    let mut found = Violations::default();
    check_operators(caller, at, operators, &mut found);
    allowed(found)
}

/// Checks whose taps somebody tells.
pub fn check_told_feed(caller: &Principal, at: Path<'_>, feed: &TapFeed) -> Result<(), Problem> {
    if caller.scope().holds(Some(&feed.operator)) {
        return Ok(());
    }
    Err(Problem::not_allowed(Violations::one(at, OWN_OPERATOR)))
}

/// Checks who says that an incident happened: devices tell of their own operators, and nobody
/// else tells for a device. What a device tells is found by identifiers alone, so that no words
/// lead to another operator.
pub fn check_incident(
    caller: &Principal,
    at: Path<'_>,
    incident: &Incident,
) -> Result<(), Problem> {
    let is_observed = incident.reporter == ReporterKind::Device;
    let mut found = Violations::default();
    match caller.role() {
        Role::Steward => {}
        Role::Public | Role::Traveller | Role::Operator if is_observed => {
            found.add(at.field("reporter"), NO_DEVICE);
        }
        Role::Public | Role::Traveller | Role::Operator => {}
        Role::Device if !is_observed => found.add(at.field("reporter"), DEVICE),
        Role::Device => check_place(caller.scope(), at, incident, &mut found),
    }
    allowed(found)
}

/// Whether there is an operator that no network knows: by the word of a steward, who calls, or who
/// bound a token to it.
pub fn is_operator_vouched_for(gate: &Gate, caller: &Principal, incident: &Incident) -> bool {
    if caller.scope() == Scope::Everything {
        return true;
    }
    let operator = incident.operator_words.trim().parse().ok();
    operator.is_some_and(|operator| gate.knows_operator(&operator))
}

fn check_place(scope: Scope<'_>, at: Path<'_>, incident: &Incident, found: &mut Violations) {
    let operator = incident.operator_words.parse::<OperatorCode>().ok();
    if !scope.holds(operator.as_ref()) {
        found.add(at.field("operator"), OWN_OPERATOR);
    }
    let line = incident.line_words.parse::<LineId>().ok();
    let is_own = scope.holds(line.as_ref().map(LineId::operator).as_ref());
    if !incident.line_words.is_empty() && !is_own {
        found.add(at.field("line"), OWN_LINE);
    }
}

fn check_operators(
    caller: &Principal,
    at: Path<'_>,
    operators: &[OperatorCode],
    found: &mut Violations,
) {
    let scope = caller.scope();
    let is_named = scope == Scope::Everything || !operators.is_empty();
    if !is_named || !operators.iter().all(|operator| scope.holds(Some(operator))) {
        found.add(at, OWN_OPERATORS);
    }
}

fn allowed(found: Violations) -> Result<(), Problem> {
    if found.count() == 0 {
        return Ok(());
    }
    Err(Problem::not_allowed(found))
}
