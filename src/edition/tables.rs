//! The one-way tables of an edition, and what everybody knows of their classes.
//!
//! A table whose name has two parts, as in `staff-act/let-ride-free`, is one of several of
//! a kind. The classes of one report are the same whatever else is told, and every report
//! that a table divides is in exactly one of its classes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::gather::Report;
use crate::domain::taxonomy::{CardKind, Cause, ClaimSource, Mode, Outcome, StaffAct, Taxonomy};
use crate::stats::screening::{ClassName, Group, Logic, Name, Sheet};
use crate::stats::staff::HELPING;

/// The table of lines and stations, which alone has a quarter ladder.
pub const LINE: &str = "line";
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
const STAFF_ANSWERED: &str = "staff-answered";
const OUTCOME_ANSWERED: &str = "outcome-answered";

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
    divide("tap-kind".into(), None, &|report| said(report.tap_kind));
    divide("day".into(), None, &day);
    divide("part-of-day".into(), None, &part_of_day);
    let staff = ClassName::new(STAFF_ANSWERED, YES);
    let outcome = ClassName::new(OUTCOME_ANSWERED, YES);
    divide(STAFF_ANSWERED.into(), None, &|report| {
        answer(!report.staff_acts.is_empty())
    });
    for act in StaffAct::ALL {
        let table = format!("staff-act/{}", act.key());
        divide(table.into(), Some(&staff), &|report| {
            answer(report.staff_acts.contains(*act))
        });
    }
    divide(ANY_HELP.into(), Some(&staff), &|report| {
        answer(HELPING.iter().any(|act| report.staff_acts.contains(*act)))
    });
    divide(OUTCOME_ANSWERED.into(), None, &|report| {
        answer(!report.outcomes.is_empty())
    });
    for ending in Outcome::ALL {
        let table = format!("outcome/{}", ending.key());
        divide(table.into(), Some(&outcome), &|report| {
            answer(report.outcomes.contains(*ending))
        });
    }
    know(&mut sheet, staff, outcome);
    sheet
}

/// The list of implications: which classes lie inside others by their meaning.
fn know(sheet: &mut Sheet, staff: ClassName, outcome: ClassName) {
    for source in ClaimSource::ALL {
        sheet.know(Logic::Inside {
            inner: ClassName::new(
                format!("cause/{}", source.key()),
                Cause::BarcodeRejected.key(),
            ),
            outer: ClassName::new("card-kind", CardKind::BarcodeTicket.key()),
        });
    }
    let help = |answer| ClassName::new(ANY_HELP, answer);
    let acts = StaffAct::ALL.iter().copied();
    let (helping, other): (Vec<StaffAct>, Vec<StaffAct>) =
        acts.partition(|act| HELPING.contains(act));
    for inner in yes("staff-act", &helping) {
        let outer = help(YES);
        sheet.know(Logic::Inside { inner, outer });
    }
    // Who answers names at least one: there is no other way to answer.
    for (outer, by) in [
        (staff, yes("staff-act", StaffAct::ALL)),
        (help(YES), yes("staff-act", &helping)),
        (help(NO), yes("staff-act", &other)),
        (outcome, yes("outcome", Outcome::ALL)),
    ] {
        sheet.know(Logic::Covered { outer, by });
    }
}

/// The classes of all that name one of some values.
fn yes<T: Taxonomy>(dimension: &str, values: &[T]) -> Vec<ClassName> {
    let class = |value: &T| ClassName::new(format!("{dimension}/{}", value.key()), YES);
    values.iter().map(class).collect()
}

fn said<T: Taxonomy>(value: Option<T>) -> Name {
    Cow::Borrowed(value.map_or(NOT_SAID, T::key))
}

fn answer(is_yes: bool) -> Name {
    Cow::Borrowed(if is_yes { YES } else { NO })
}

/// The station for trains and the metro, the line for all else: one geography for each
/// report.
fn place(report: &Report) -> Name {
    let is_by_station = matches!(report.mode, Some(Mode::Train | Mode::Metro));
    let key = if is_by_station {
        let stop = report.stop.as_ref();
        stop.map(|stop| format!("{STATION_PREFIX}{}", stop.as_str()))
    } else {
        let line = report.line.as_ref();
        line.map(|line| format!("{LINE_PREFIX}{}", line.as_str()))
    };
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
