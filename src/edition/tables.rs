//! The one-way tables of an edition, and what everybody knows of their classes.
//!
//! A table whose name has two parts, as in `staff-act/let-ride-free`, is one of several of
//! a kind. The classes of one report are the same whatever else is told, and every report
//! that a table divides is in exactly one of its classes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::gather::Report;
use crate::domain::taxonomy::{CardKind, Cause, ClaimSource, Outcome, StaffAct, Taxonomy};
use crate::domain::{LineId, StopId};
use crate::stats::screening::{ClassName, Group, Logic, Name, Sheet};
use crate::stats::staff::{HARMFUL, HELPING};

/// The table of lines and stations, which alone has a quarter ladder.
pub const LINE: &str = "line";
/// The table of kinds of taps.
pub const TAP_KIND: &str = "tap-kind";
/// The table of days.
pub const DAY: &str = "day";
/// The table of parts of the day, in which the time of day is known or not said.
pub const PART_OF_DAY: &str = "part-of-day";
/// Class of reports that do not tell.
pub const NOT_SAID: &str = "not-said";
/// Class of reports with several causes of one source.
pub const SEVERAL: &str = "several";
/// Class of reports recorded after their day's part had closed.
pub const LATER: &str = "recorded-later";
/// Before the key of a class that is a line.
pub const LINE_PREFIX: &str = "line/";
/// Before the key of a class that is a station.
pub const STATION_PREFIX: &str = "station/";
/// A class of two, and the table of whether a question was answered.
pub const YES: &str = "yes";
/// The other class.
pub const NO: &str = "no";
/// In place of an act: whether there was any that helped the traveller on.
const ANY_HELP: &str = "staff-act/any-that-helps";
/// In place of an outcome: whether there was any that cost money or the ride.
const ANY_HARM: &str = "outcome/any-that-harms";
const STAFF_ANSWERED: &str = "staff-answered";
const OUTCOME_ANSWERED: &str = "outcome-answered";
/// Of those who told what staff did: whether they told how it ended. The base of what helped
/// and of what harmed.
const BOTH_ANSWERED: &str = "outcome-answered/with-staff";

/// Parts of a day: the first local hour of each, and its key.
const PARTS_OF_DAY: [(u8, &str); 5] = [
    (20, "20-24"),
    (16, "16-20"),
    (10, "10-16"),
    (6, "06-10"),
    (0, "00-06"),
];

/// The reports of each operator, with all tables. Reporters are numbered alike.
pub fn groups(reports: &[&Report], reporters: &[u32]) -> Vec<Group> {
    by_operator(reports, reporters, sheet)
}

/// The same with the table of lines and stations only, which is all that a quarter needs.
pub fn line_groups(reports: &[&Report], reporters: &[u32]) -> Vec<Group> {
    by_operator(reports, reporters, |reports, reporters| {
        let mut sheet = Sheet::new(reporters);
        sheet.divide(LINE, None, |row| place(reports[row]));
        sheet
    })
}

fn by_operator(
    reports: &[&Report],
    reporters: &[u32],
    sheet: impl Fn(&[&Report], Vec<u32>) -> Sheet,
) -> Vec<Group> {
    let mut by_operator: BTreeMap<Name, (Vec<&Report>, Vec<u32>)> = BTreeMap::new();
    for (report, reporter) in reports.iter().zip(reporters) {
        let key = match &report.operator {
            Some(operator) => Cow::Owned(operator.as_str().to_owned()),
            None => Cow::Borrowed(NOT_SAID),
        };
        let (reports, reporters) = by_operator.entry(key).or_default();
        reports.push(report);
        reporters.push(*reporter);
    }
    let group = |(key, (reports, reporters)): (Name, (Vec<&Report>, Vec<u32>))| Group {
        key,
        sheet: sheet(&reports, reporters),
    };
    by_operator.into_iter().map(group).collect()
}

fn sheet(reports: &[&Report], reporters: Vec<u32>) -> Sheet {
    let mut sheet = Sheet::new(reporters);
    let mut divide = |name: Name, base: Option<&ClassName>, key_of: &dyn Fn(&Report) -> Name| {
        sheet.divide(name, base, |row| key_of(reports[row]));
    };
    divide(LINE.into(), None, &place);
    for source in ClaimSource::ALL {
        let table = format!("cause/{}", source.key());
        divide(table.into(), None, &|report| cause(report, *source));
    }
    divide("card-kind".into(), None, &|report| said(report.card_kind));
    divide("signal".into(), None, &|report| said(report.signal));
    divide(TAP_KIND.into(), None, &|report| said(report.tap_kind));
    divide(DAY.into(), None, &day);
    divide(PART_OF_DAY.into(), None, &part_of_day);
    let staff = ClassName::new(STAFF_ANSWERED, YES);
    let outcome = ClassName::new(OUTCOME_ANSWERED, YES);
    divide(STAFF_ANSWERED.into(), None, &|report| {
        answer(!report.staff_acts.is_empty())
    });
    for act in StaffAct::ALL {
        divide(act_table(*act), Some(&staff), &|report| {
            answer(report.staff_acts.contains(*act))
        });
    }
    divide(OUTCOME_ANSWERED.into(), None, &|report| {
        answer(!report.outcomes.is_empty())
    });
    for ending in Outcome::ALL {
        divide(outcome_table(*ending), Some(&outcome), &|report| {
            answer(report.outcomes.contains(*ending))
        });
    }
    divide(BOTH_ANSWERED.into(), Some(&staff), &|report| {
        answer(!report.outcomes.is_empty())
    });
    let both = ClassName::new(BOTH_ANSWERED, YES);
    divide(ANY_HELP.into(), Some(&both), &|report| {
        answer(HELPING.iter().any(|act| report.staff_acts.contains(*act)))
    });
    divide(ANY_HARM.into(), Some(&both), &|report| {
        answer(HARMFUL.iter().any(|one| report.outcomes.contains(*one)))
    });
    know(&mut sheet);
    sheet
}

/// The list of implications: which classes lie inside others by their meaning.
fn know(sheet: &mut Sheet) {
    for source in ClaimSource::ALL {
        let cause = format!("cause/{}", source.key());
        sheet.know(Logic::Inside {
            inner: ClassName::new(cause, Cause::BarcodeRejected.key()),
            outer: ClassName::new("card-kind", CardKind::BarcodeTicket.key()),
        });
    }
    // Who answers names at least one: there is no other way to answer.
    let acts = yes(StaffAct::ALL, act_table);
    let outcomes = yes(Outcome::ALL, outcome_table);
    covered(sheet, ClassName::new(STAFF_ANSWERED, YES), acts);
    covered(sheet, ClassName::new(OUTCOME_ANSWERED, YES), outcomes);
    // Whether both questions were answered lies inside whether the other was, either way.
    for key in [YES, NO] {
        let outer = ClassName::new(OUTCOME_ANSWERED, key);
        inside(sheet, ClassName::new(BOTH_ANSWERED, key), outer);
    }
    know_any(sheet, ANY_HELP, &HELPING, act_table);
    know_any(sheet, ANY_HARM, &HARMFUL, outcome_table);
}

/// What is known of a table of whether there was any of some values: "no" lies inside the "no"
/// of each; "yes" is covered by their "yes", and "no" by that of all others.
fn know_any<T: Taxonomy + PartialEq>(
    sheet: &mut Sheet,
    table: &'static str,
    some: &[T],
    name: fn(T) -> Name,
) {
    for value in some {
        let outer = ClassName::new(name(*value), NO);
        inside(sheet, ClassName::new(table, NO), outer);
    }
    let others = T::ALL.iter().copied().filter(|value| !some.contains(value));
    covered(sheet, ClassName::new(table, YES), yes(some, name));
    let others: Vec<T> = others.collect();
    covered(sheet, ClassName::new(table, NO), yes(&others, name));
}

fn inside(sheet: &mut Sheet, inner: ClassName, outer: ClassName) {
    sheet.know(Logic::Inside { inner, outer });
}

fn covered(sheet: &mut Sheet, outer: ClassName, by: Vec<ClassName>) {
    sheet.know(Logic::Covered { outer, by });
}

fn act_table(act: StaffAct) -> Name {
    format!("staff-act/{}", act.key()).into()
}

fn outcome_table(outcome: Outcome) -> Name {
    format!("outcome/{}", outcome.key()).into()
}

/// The classes of all that name one of some values.
fn yes<T: Taxonomy>(values: &[T], name: fn(T) -> Name) -> Vec<ClassName> {
    let class = |value: &T| ClassName::new(name(*value), YES);
    values.iter().map(class).collect()
}

fn said<T: Taxonomy>(value: Option<T>) -> Name {
    Cow::Borrowed(value.map_or(NOT_SAID, T::key))
}

fn answer(is_yes: bool) -> Name {
    Cow::Borrowed(if is_yes { YES } else { NO })
}

/// The line, whatever the mode, so that its class has every report that names it; the station for
/// trains and the metro without a line: one geography for each report.
fn place(report: &Report) -> Name {
    let of_line = |line: &LineId| format!("{LINE_PREFIX}{}", line.as_str());
    let of_station = |station: &StopId| format!("{STATION_PREFIX}{}", station.as_str());
    let line = report.line.as_ref().map(of_line);
    let key = line.or_else(|| report.station().map(of_station));
    key.map_or(Cow::Borrowed(NOT_SAID), Cow::Owned)
}

fn cause(report: &Report, source: ClaimSource) -> Name {
    let claims = report.cause_claims.iter();
    let mut causes = claims.filter(|claim| claim.source == source);
    Cow::Borrowed(match (causes.next(), causes.next()) {
        (None, _) => NOT_SAID,
        (Some(claim), None) => claim.cause.key(),
        (Some(_), Some(_)) => SEVERAL,
    })
}

fn day(report: &Report) -> Name {
    if report.is_in_time {
        Cow::Owned(report.day.to_string())
    } else {
        Cow::Borrowed(LATER)
    }
}

fn part_of_day(report: &Report) -> Name {
    let part = report.hour_of_day.and_then(|hour| {
        let mut parts = PARTS_OF_DAY.iter();
        parts.find(|(first, _)| *first <= hour)
    });
    Cow::Borrowed(part.map_or(NOT_SAID, |(_, key)| key))
}
