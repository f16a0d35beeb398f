//! Declared outages.

use super::to_timestamp;
use super::violation::{Path, Violations};
use crate::api::pb::v1 as pb;
use crate::domain::outage::InvalidOutage;
use crate::domain::{LocalDay, OperatorCode, Outage, OutageDay, OutageTold};

/// Checks an outage.
pub fn parse_outage(outage: Option<&pb::Outage>) -> Result<Outage, Violations> {
    let mut found = Violations::default();
    let at = Path::root("outage");
    let parsed = found
        .some(at, outage, "must be given")
        .and_then(|outage| parse_days(at, outage, &mut found));
    found.finish(parsed)
}

fn parse_days(at: Path<'_>, outage: &pb::Outage, found: &mut Violations) -> Option<Outage> {
    const DAY: &str = "must be a day of the years 2000 to 2099, as in 2026-10-03";
    let code = &outage.operator_code;
    let operator = match code.as_str() {
        "" => Some(None),
        code => found.ok(at.field("operator_code"), code.parse()).map(Some),
    };
    let first_at = at.field("first_day");
    let first = found.some(first_at, LocalDay::parse(&outage.first_day), DAY);
    let last = match outage.last_day.as_str() {
        "" => first,
        day => found.some(at.field("last_day"), LocalDay::parse(day), DAY),
    };
    let (operator, first, last) = (operator?, first?, last?);
    let outage: Result<Outage, InvalidOutage> = Outage::new(operator, first, last);
    found.ok(at.field("last_day"), outage)
}

/// An outage.
pub fn to_outage(outage: &Outage) -> pb::Outage {
    pb::Outage {
        operator_code: code(outage.operator()),
        first_day: outage.first().to_string(),
        last_day: outage.last().to_string(),
    }
}

/// What was told about outages, with its place or without.
pub fn to_change(told: &OutageTold, sees_places: bool) -> pb::OutageChange {
    pb::OutageChange {
        position: if sees_places { told.at.0 } else { 0 },
        told_at: Some(to_timestamp(told.stamp)),
        outage: Some(to_outage(&told.change.outage)),
        withdrawn: told.change.is_withdrawal,
    }
}

/// Days of outages.
pub fn to_days(days: &[OutageDay]) -> Vec<pb::OutageDay> {
    let to_day = |one: &OutageDay| pb::OutageDay {
        day: one.day.to_string(),
        operator_code: code(one.operator.as_ref()),
    };
    days.iter().map(to_day).collect()
}

fn code(operator: Option<&OperatorCode>) -> String {
    operator.map_or_else(String::new, OperatorCode::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_of_an_outage_is_told() {
        let check = |outage: Option<[&str; 3]>, expected: &[&str]| {
            let outage = outage.map(|[operator, first, last]| pb::Outage {
                operator_code: operator.into(),
                first_day: first.into(),
                last_day: last.into(),
            });
            let parsed = parse_outage(outage.as_ref());
            let told = parsed.as_ref().err().cloned().map(Violations::into_told);
            let fields = told.into_iter().flatten().map(|one| one.field);
            assert_eq!(fields.collect::<Vec<_>>(), expected);
            parsed.ok()
        };
        check(None, &["outage"]);
        let wrong = ["g v b", "2026-13-01", "tomorrow"];
        let fields = ["operator_code", "first_day", "last_day"];
        check(
            Some(wrong),
            &fields
                .map(|field| format!("outage.{field}"))
                .each_ref()
                .map(|field| &**field),
        );
        check(
            Some(["GVB", "2026-10-03", "2026-10-02"]),
            &["outage.last_day"],
        );
        check(Some(["", "2026-10-03", "2027-10-03"]), &["outage.last_day"]);
        let one = check(Some(["GVB", "2026-10-03", ""]), &[]).expect("sound");
        assert_eq!(
            (one.first(), one.operator().map(OperatorCode::as_str)),
            (one.last(), Some("GVB"))
        );
        assert_eq!(to_outage(&one).last_day, "2026-10-03");
    }
}
