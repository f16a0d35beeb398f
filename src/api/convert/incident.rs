//! An incident as a client tells it, checked and corrected for the client's clock.
//!
//! Every field is checked, whatever others broke, so that a client is told all at once.

use smol_str::SmolStr;
use zeroize::Zeroize;

use super::violation::{Path, Violations};
use crate::api::pb::v1 as pb;
use crate::domain::incident::{CauseClaim, CauseClaims, Occurred};
use crate::domain::limits::{
    ATTEMPTS_MAX, CAUSE_CLAIMS_MAX, CLOCK_AHEAD_MS_MAX, CLOCK_CORRECTION_MS_MAX,
    CLOCK_CORRECTION_MS_MIN, DIRECTION_CHARS_MAX, DISPLAY_CHARS_MAX, INCIDENT_AGE_DAYS_MAX,
    LINE_CHARS_MAX, NOTE_CHARS_MAX, OPERATOR_CHARS_MAX, STOP_CHARS_MAX, VEHICLE_CHARS_MAX,
};
use crate::domain::taxonomy::{
    CardKind, ExtraCost, Mode, OthersGotThrough, Outcome, ReaderKind, ReporterKind, SetOf, Signal,
    StaffAct, StaffMinutes, StaffPresence, TapKind, Taxonomy, TimePrecision, WorkedLater,
};
use crate::domain::text::{CardNumber, InstallationId};
use crate::domain::time::{DAY_MS, MINUTE_MS};
use crate::domain::{Hour, Incident, IncidentId, IncidentSecret, ServerTime, UtcMillis};

const HALF_HOUR_MS: i64 = 30 * MINUTE_MS;
const INCIDENT_AGE_MS_MAX: i64 = INCIDENT_AGE_DAYS_MAX * DAY_MS;

/// A remark that does not stop a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Path of the field.
    pub field: String,
    /// A fixed word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub description: &'static str,
}

/// A checked incident, and what there is to remark about it.
#[derive(Debug)]
pub struct Parsed {
    /// The incident, in a box: it is passed on many times.
    pub incident: Box<Incident>,
    /// At most one for each field.
    pub remarks: Vec<Remark>,
}

/// Checks an incident. `at` is its own path in the request; `time` is the server's. What leads
/// back to a person is taken out of the message.
///
/// While the server's clock is disputed, a time is allowed that either of the two allows, and a
/// device's clock that agrees with either is right.
pub fn parse_incident(
    at: Path<'_>,
    message: Option<&mut pb::Incident>,
    time: impl Into<ServerTime>,
) -> Result<Parsed, Violations> {
    let Some(message) = message else {
        return Err(Violations::one(at, "must be given"));
    };
    let mut found = Violations::default();
    let clock = parse_clock(at, message, time.into(), &mut found);
    let id = parse_id(at, message, clock, &mut found);
    let occurred = parse_occurred(at, message, clock, &mut found);
    let ways_back = parse_ways_back(at, message, &mut found);
    let place = parse_place(at, message, &mut found);
    let seen = parse_seen(at, message, &mut found);
    let ending = parse_ending(at, message, &mut found);
    let made = id.zip(occurred).map(|(id, occurred)| {
        let remarks = remark(at, ways_back.card_number.as_ref(), clock);
        let incident = assemble(id, occurred, clock, ways_back, place, seen, ending);
        Parsed { incident, remarks }
    });
    found.finish(made)
}

/// Checks the two fields that lead back to an incident.
pub fn parse_key(id: &str, secret: &[u8]) -> Result<(IncidentId, IncidentSecret), Violations> {
    let mut found = Violations::default();
    let key = find_key(id, secret, &mut found);
    found.finish(key)
}

/// As `parse_key`, among other fields.
pub fn find_key(
    id: &str,
    secret: &[u8],
    found: &mut Violations,
) -> Option<(IncidentId, IncidentSecret)> {
    let id = found.ok(Path::root("incident_id"), id.parse());
    let at = Path::root("incident_secret");
    let secret = match found.ok(at, IncidentSecret::parse(secret)) {
        Some(secret) => found.some(at, secret, "must be given"),
        None => None,
    };
    id.zip(secret)
}

/// The server's time, and what to add to times of the device's clock.
#[derive(Clone, Copy)]
struct Clock {
    server: ServerTime,
    correction_ms: i64,
}

impl Clock {
    /// The rule that a time breaks, if it does. Bounds are inclusive.
    fn broken_by(self, at: i64) -> Option<&'static str> {
        let ServerTime { now, disputed } = self.server;
        let disputed = disputed.unwrap_or(now);
        if at < now.min(disputed).0 - INCIDENT_AGE_MS_MAX {
            return Some("must be at most 400 days back");
        }
        (now.max(disputed).0 + CLOCK_AHEAD_MS_MAX < at).then_some("must be at most 5 minutes ahead")
    }
}

/// Where, as it was written.
struct Place {
    mode: Option<Mode>,
    operator: SmolStr,
    line: SmolStr,
    direction: SmolStr,
    stop: SmolStr,
    vehicle: SmolStr,
}

/// What was seen of the tap.
struct Seen {
    reporter: ReporterKind,
    tap_kind: Option<TapKind>,
    reader_kind: Option<ReaderKind>,
    signal: Option<Signal>,
    found_later: bool,
    display_text: SmolStr,
    attempts: u8,
    others_got_through: Option<OthersGotThrough>,
    worked_later: Option<WorkedLater>,
    cause_claims: CauseClaims,
    card_kind: Option<CardKind>,
}

/// What people did, and how it ended.
struct Ending {
    staff_present: Option<StaffPresence>,
    staff_acts: SetOf<StaffAct>,
    staff_minutes: Option<StaffMinutes>,
    outcomes: SetOf<Outcome>,
    extra_cost: Option<ExtraCost>,
    note: SmolStr,
}

/// What leads back to a person.
struct WaysBack {
    secret: Option<IncidentSecret>,
    card_number: Option<CardNumber>,
    installation_id: Option<InstallationId>,
    note_to_operator: bool,
}

fn parse_clock(
    at: Path<'_>,
    message: &pb::Incident,
    server: ServerTime,
    found: &mut Violations,
) -> Clock {
    let unchanged = Clock {
        server,
        correction_ms: 0,
    };
    let at = at.field("device_time");
    let Some(device_time) = found.timestamp(at, message.device_time.as_ref()) else {
        return unchanged;
    };
    let correction_ms = server.now.0.saturating_sub(device_time.0);
    let agrees = |clock: UtcMillis| {
        clock.0.saturating_sub(device_time.0).saturating_abs() < CLOCK_CORRECTION_MS_MIN
    };
    if agrees(server.now) || server.disputed.is_some_and(agrees) {
        return unchanged;
    }
    if CLOCK_CORRECTION_MS_MAX < correction_ms.saturating_abs() {
        found.add(at, "must be within 400 days of the server's clock");
        return unchanged;
    }
    Clock {
        server,
        correction_ms,
    }
}

/// The id was made by the same clock as `occurred_at`, so it is judged as corrected.
fn parse_id(
    at: Path<'_>,
    message: &pb::Incident,
    clock: Clock,
    found: &mut Violations,
) -> Option<IncidentId> {
    let at = at.field("incident_id");
    let id: IncidentId = found.ok(at, message.incident_id.parse())?;
    match clock.broken_by(id.made_at().0 + clock.correction_ms) {
        Some(rule) => {
            found.add(at, format_args!("its time of making {rule}"));
            None
        }
        None => Some(id),
    }
}

fn parse_occurred(
    at: Path<'_>,
    message: &pb::Incident,
    clock: Clock,
    found: &mut Violations,
) -> Option<Occurred> {
    let precision = found.choice(at.field("precision"), message.precision);
    let at = at.field("occurred_at");
    if message.occurred_at.is_none() {
        found.add(at, "must be given");
    }
    let told = found.timestamp(at, message.occurred_at.as_ref())?;
    match check_occurred(told, precision, clock) {
        Ok(occurred) => Some(occurred),
        Err(rule) => {
            found.add(at, rule);
            None
        }
    }
}

/// The middle of the told hour is corrected, so that a few seconds do not move it into
/// another. What is known only to the hour or the day lies ahead only if its beginning does, and too
/// far back only if its end does.
fn check_occurred(
    told: UtcMillis,
    precision: Option<TimePrecision>,
    clock: Clock,
) -> Result<Occurred, &'static str> {
    let corrected = UtcMillis(told.0.saturating_add(clock.correction_ms));
    let hour = |at: UtcMillis| at.hour().ok_or("must be in the years 2000 to 2099");
    let (occurred, begin, end) = match precision.unwrap_or(TimePrecision::Exact) {
        TimePrecision::Exact => {
            hour(corrected)?;
            (Occurred::Exact(corrected), corrected, corrected)
        }
        TimePrecision::Hour => {
            let corrected = match clock.correction_ms {
                0 => told,
                ms => UtcMillis(hour(told)?.start().0 + HALF_HOUR_MS + ms),
            };
            let hour = hour(corrected)?;
            let end = Hour(hour.0 + 1).start();
            (Occurred::Hour(corrected), hour.start(), end)
        }
        TimePrecision::Day => {
            let day = hour(told)?.local_day();
            let window = day.window();
            let (begin, end) = (window.start().start(), window.end().start());
            (Occurred::Day(day), begin, end)
        }
    };
    let now = clock.server.now;
    let broken = clock.broken_by(begin.max(now).0);
    match broken.or(clock.broken_by(end.min(now).0)) {
        Some(rule) => Err(rule),
        None => Ok(occurred),
    }
}

fn parse_ways_back(at: Path<'_>, message: &mut pb::Incident, found: &mut Violations) -> WaysBack {
    let parsed = CardNumber::parse(&message.card_number);
    message.card_number.zeroize();
    let card_number = found.ok(at.field("card_number"), parsed).flatten();
    let parsed = IncidentSecret::parse(&message.incident_secret);
    let secret = found.ok(at.field("incident_secret"), parsed).flatten();
    message.incident_secret.zeroize();
    let parsed = InstallationId::parse(&message.installation_id);
    message.installation_id.zeroize();
    let installation_id = found.ok(at.field("installation_id"), parsed).flatten();
    WaysBack {
        secret,
        card_number,
        installation_id,
        note_to_operator: message.note_to_operator,
    }
}

fn parse_place(at: Path<'_>, message: &pb::Incident, found: &mut Violations) -> Place {
    Place {
        mode: found.choice(at.field("mode"), message.mode),
        operator: found.text(at.field("operator"), &message.operator, OPERATOR_CHARS_MAX),
        line: found.text(at.field("line"), &message.line, LINE_CHARS_MAX),
        direction: found.text(
            at.field("direction"),
            &message.direction,
            DIRECTION_CHARS_MAX,
        ),
        stop: found.text(at.field("stop"), &message.stop, STOP_CHARS_MAX),
        vehicle: parse_vehicle(at.field("vehicle"), &message.vehicle, found),
    }
}

fn parse_vehicle(at: Path<'_>, text: &str, found: &mut Violations) -> SmolStr {
    let vehicle = found.text(at, text, VEHICLE_CHARS_MAX);
    let is_allowed = |character: char| character.is_alphanumeric() || character == '-';
    if !vehicle.chars().all(is_allowed) {
        found.add(at, "must be letters, digits and hyphens");
    }
    vehicle
}

fn parse_seen(at: Path<'_>, message: &pb::Incident, found: &mut Violations) -> Seen {
    let signal = found.choice(at.field("signal"), message.signal);
    if message.found_later && signal != Some(Signal::Green) {
        found.add(at.field("found_later"), "needs signal to be GREEN");
    }
    let attempts = u8::try_from(message.attempts).unwrap_or(u8::MAX);
    if ATTEMPTS_MAX < attempts {
        found.add(
            at.field("attempts"),
            format_args!("must be 0 to {ATTEMPTS_MAX}"),
        );
    }
    let reporter = found.choice(at.field("reporter"), message.reporter);
    Seen {
        reporter: reporter.unwrap_or(ReporterKind::Traveller),
        tap_kind: found.choice(at.field("tap_kind"), message.tap_kind),
        reader_kind: found.choice(at.field("reader_kind"), message.reader_kind),
        signal,
        found_later: message.found_later,
        display_text: found.text(
            at.field("display_text"),
            &message.display_text,
            DISPLAY_CHARS_MAX,
        ),
        attempts,
        others_got_through: found
            .choice(at.field("others_got_through"), message.others_got_through),
        worked_later: found.choice(at.field("worked_later"), message.worked_later),
        cause_claims: parse_claims(at, &message.cause_claims, found),
        card_kind: found.choice(at.field("card_kind"), message.card_kind),
    }
}

fn parse_claims(at: Path<'_>, claims: &[pb::CauseClaim], found: &mut Violations) -> CauseClaims {
    let at = at.field("cause_claims");
    let mut parsed = CauseClaims::new();
    if !found.bounded(at, claims.len(), CAUSE_CLAIMS_MAX) {
        return parsed;
    }
    for (index, claim) in claims.iter().enumerate() {
        let at = at.at(index);
        let cause = found.required_choice(at.field("cause"), claim.cause);
        let source = found.required_choice(at.field("source"), claim.source);
        let Some((cause, source)) = cause.zip(source) else {
            continue;
        };
        let claim = CauseClaim { cause, source };
        if parsed.contains(&claim) {
            found.add(at, "must not come twice");
        }
        parsed.push(claim);
    }
    parsed
}

fn parse_ending(at: Path<'_>, message: &pb::Incident, found: &mut Violations) -> Ending {
    let staff_present = found.choice(at.field("staff_present"), message.staff_present);
    if staff_present == Some(StaffPresence::No) {
        let rule = "needs staff_present not to be NO";
        if !message.staff_acts.is_empty() {
            found.add(at.field("staff_acts"), rule);
        }
        if message.staff_minutes != 0 {
            found.add(at.field("staff_minutes"), rule);
        }
    }
    Ending {
        staff_present,
        staff_acts: found.choices(
            at.field("staff_acts"),
            &message.staff_acts,
            StaffAct::ALL.len(),
            true,
        ),
        staff_minutes: found.choice(at.field("staff_minutes"), message.staff_minutes),
        outcomes: found.choices(
            at.field("outcomes"),
            &message.outcomes,
            Outcome::ALL.len(),
            true,
        ),
        extra_cost: found.choice(at.field("extra_cost"), message.extra_cost),
        note: found.text(at.field("note"), &message.note, NOTE_CHARS_MAX),
    }
}

fn remark(at: Path<'_>, card_number: Option<&CardNumber>, clock: Clock) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if card_number.is_some_and(|number| !number.has_valid_check_digit()) {
        remarks.push(Remark {
            field: at.field("card_number").to_string(),
            reason: "CARD_NUMBER_CHECK_DIGIT",
            description: "The last digit is not the check digit that most cards have. \
                          Look whether the number was typed correctly.",
        });
    }
    if clock.correction_ms != 0 {
        remarks.push(Remark {
            field: at.field("device_time").to_string(),
            reason: "CLOCK_CORRECTED",
            description: "The device's clock is wrong; times known finer than to the day \
                          were corrected.",
        });
    }
    remarks
}

fn assemble(
    id: IncidentId,
    occurred: Occurred,
    clock: Clock,
    ways_back: WaysBack,
    place: Place,
    seen: Seen,
    ending: Ending,
) -> Box<Incident> {
    let clock_correction_ms = match occurred {
        Occurred::Exact(_) | Occurred::Hour(_) => clock.correction_ms,
        Occurred::Day(_) => 0,
    };
    Box::new(Incident {
        id,
        secret: ways_back.secret,
        occurred,
        clock_correction_ms,
        reporter: seen.reporter,
        mode: place.mode,
        tap_kind: seen.tap_kind,
        operator_words: place.operator,
        line_words: place.line,
        direction_words: place.direction,
        stop_words: place.stop,
        vehicle: place.vehicle,
        reader_kind: seen.reader_kind,
        signal: seen.signal,
        found_later: seen.found_later,
        display_text: seen.display_text,
        attempts: seen.attempts,
        others_got_through: seen.others_got_through,
        worked_later: seen.worked_later,
        cause_claims: seen.cause_claims,
        card_kind: seen.card_kind,
        card_number: ways_back.card_number,
        installation_id: ways_back.installation_id,
        staff_present: ending.staff_present,
        staff_acts: ending.staff_acts,
        staff_minutes: ending.staff_minutes,
        outcomes: ending.outcomes,
        extra_cost: ending.extra_cost,
        note: ending.note,
        note_to_operator: ways_back.note_to_operator,
        is_operator_vouched_for: false,
        origin: None,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use proptest::test_runner::{TestCaseResult, TestRunner};
    use prost::Message;
    use prost_types::Timestamp;

    use super::*;
    use crate::api::convert::to_timestamp;
    use crate::domain::LocalDay;
    use crate::domain::taxonomy::Cause;
    use crate::domain::testing;
    use crate::domain::time::{END_DAY, FIRST_DAY, HOUR_MS, MINUTE_MS};

    const NOW: UtcMillis = UtcMillis(1_795_442_400_000); // 2026-11-23T14:00Z
    const AT: Path<'static> = Path::root("incident");
    const SECOND_MS: i64 = 1_000;

    fn id_made_at(at: i64) -> String {
        testing::id_made_at(UtcMillis(at), 7).to_string()
    }

    fn at(ms: i64) -> Option<Timestamp> {
        Some(to_timestamp(UtcMillis(ms)))
    }

    fn least() -> pb::Incident {
        pb::Incident {
            incident_id: id_made_at(NOW.0),
            occurred_at: at(NOW.0 - HOUR_MS),
            ..pb::Incident::default()
        }
    }

    fn parse(mut message: pb::Incident) -> Result<Parsed, Violations> {
        parse_incident(AT, Some(&mut message), NOW)
    }

    fn accepted(message: pb::Incident) -> Parsed {
        parse(message).expect("nothing is violated")
    }

    /// Fields that are refused, without `incident.`.
    fn refused(message: pb::Incident) -> Vec<String> {
        let told = parse(message).expect_err("refused").into_told();
        let fields = told.iter().map(|one| one.field.strip_prefix("incident."));
        fields
            .map(|field| field.expect("below the incident").to_owned())
            .collect()
    }

    #[test]
    fn least_incident_is_accepted_as_told_by_a_traveller() {
        let parsed = accepted(least());
        assert_eq!(parsed.incident.reporter, ReporterKind::Traveller);
        let expected = Occurred::Exact(UtcMillis(NOW.0 - HOUR_MS));
        assert_eq!(parsed.incident.occurred, expected);
        assert_eq!(parsed.remarks, []);
    }

    #[test]
    fn missing_incident_and_empty_message_name_what_is_missing() {
        let missing = parse_incident(AT, None, NOW).expect_err("refused");
        assert_eq!(missing.into_told()[0].field, "incident");
        let fields = refused(pb::Incident::default());
        assert_eq!(fields, ["incident_id", "occurred_at"]);
    }

    #[test]
    fn every_violation_comes_back_together_with_its_path() {
        let message = pb::Incident {
            incident_id: "not an id".into(),
            incident_secret: vec![1; 31],
            occurred_at: at(NOW.0 - 401 * DAY_MS),
            precision: 9,
            device_time: Some(Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            reporter: -1,
            mode: 99,
            operator: "x".repeat(65),
            line: "x".repeat(33),
            direction: "a\u{0}b".into(),
            stop: "3528 0000 0000 0007".into(),
            vehicle: "20 43".into(),
            signal: 11,
            attempts: 21,
            cause_claims: vec![
                pb::CauseClaim {
                    cause: 3,
                    source: 1,
                },
                pb::CauseClaim {
                    cause: 0,
                    source: 77,
                },
                pb::CauseClaim {
                    cause: 3,
                    source: 1,
                },
            ],
            card_number: "4111 1111 1111 1111".into(),
            installation_id: "too short".into(),
            staff_present: 2,
            staff_acts: vec![1, 1],
            staff_minutes: 2,
            outcomes: vec![1, 77, 1],
            note: "x".repeat(501),
            ..pb::Incident::default()
        };
        let mut fields = refused(message);
        fields.sort();
        let mut expected = vec![
            "device_time",
            "incident_id",
            "precision",
            "occurred_at",
            "card_number",
            "incident_secret",
            "installation_id",
            "mode",
            "operator",
            "line",
            "direction",
            "stop",
            "vehicle",
            "attempts",
            "reporter",
            "cause_claims[1].cause",
            "cause_claims[1].source",
            "cause_claims[2]",
            "staff_acts",
            "staff_acts[1]",
            "staff_minutes",
            "outcomes[1]",
            "outcomes[2]",
            "note",
        ];
        expected.sort_unstable();
        assert_eq!(fields, expected);
    }

    #[test]
    fn violations_never_hold_what_the_client_wrote() {
        let number = "3528 0000 0000 0007";
        let message = pb::Incident {
            incident_id: number.into(),
            operator: number.into(),
            stop: number.into(),
            note: number.into(),
            installation_id: number.into(),
            vehicle: number.into(),
            ..least()
        };
        let told = parse(message).expect_err("refused").into_told();
        assert_eq!(told.len(), 6);
        for one in told {
            assert!(!format!("{one:?}").contains("0000"), "{one:?}");
        }
    }

    #[test]
    fn times_and_ids_are_bounded_on_both_sides() {
        let check = |offset_ms: i64, precision: i32, fields: &[&str]| {
            let message = pb::Incident {
                occurred_at: at(NOW.0 + offset_ms),
                precision,
                ..least()
            };
            let found = parse(message).map(|_| ()).map_err(|found| {
                let told = found.into_told();
                told.into_iter().map(|one| one.field).collect::<Vec<_>>()
            });
            assert_eq!(
                found.err().unwrap_or_default(),
                fields,
                "{offset_ms} {precision}"
            );
        };
        let (exact, hour, day) = (1, 2, 3);
        let late = &["incident.occurred_at"][..];
        check(CLOCK_AHEAD_MS_MAX, exact, &[]);
        check(CLOCK_AHEAD_MS_MAX + 1, exact, late);
        check(-400 * DAY_MS, exact, &[]);
        check(-400 * DAY_MS - 1, exact, late);
        // 14:59 of the hour that has begun, and 15:00 of the one that has not.
        check(59 * 60 * SECOND_MS, hour, &[]);
        check(HOUR_MS, hour, late);
        // 23:00 in Amsterdam today, and midnight of tomorrow.
        check(8 * HOUR_MS, day, &[]);
        check(9 * HOUR_MS, day, late);
        check(-400 * DAY_MS - HOUR_MS, day, &[]);
        check(-402 * DAY_MS, day, late);
        for offset_ms in [-400 * DAY_MS - 1, CLOCK_AHEAD_MS_MAX + 1] {
            let incident_id = id_made_at(NOW.0 + offset_ms);
            let message = pb::Incident {
                incident_id,
                ..least()
            };
            assert_eq!(refused(message), ["incident_id"], "{offset_ms}");
        }
    }

    #[test]
    fn wrong_device_clock_is_corrected_and_told() {
        let ahead_ms = 3 * DAY_MS;
        let message = pb::Incident {
            incident_id: id_made_at(NOW.0 + ahead_ms),
            occurred_at: at(NOW.0 + ahead_ms - HOUR_MS),
            device_time: at(NOW.0 + ahead_ms),
            ..least()
        };
        let parsed = accepted(message.clone());
        let expected = Occurred::Exact(UtcMillis(NOW.0 - HOUR_MS));
        assert_eq!(parsed.incident.occurred, expected);
        assert_eq!(parsed.incident.clock_correction_ms, -ahead_ms);
        assert_eq!(parsed.remarks[0].reason, "CLOCK_CORRECTED");
        assert_eq!(parsed.remarks[0].field, "incident.device_time");

        let parsed = accepted(pb::Incident {
            precision: 3,
            occurred_at: at(NOW.0 - HOUR_MS),
            ..message
        });
        let day = LocalDay::parse("2026-11-23").expect("a day");
        assert_eq!(parsed.incident.occurred, Occurred::Day(day));
        assert_eq!(parsed.incident.clock_correction_ms, 0);
    }

    #[test]
    fn hour_is_corrected_by_its_middle() {
        let check = |ahead_ms: i64, expected: i64| {
            for told_ms in [0, HOUR_MS - 1] {
                let message = pb::Incident {
                    incident_id: id_made_at(NOW.0 + ahead_ms),
                    occurred_at: at(NOW.0 - 6 * HOUR_MS + told_ms), // 08:00Z
                    precision: 2,
                    device_time: at(NOW.0 + ahead_ms),
                    ..least()
                };
                let parsed = accepted(message);
                let Occurred::Hour(corrected) = parsed.incident.occurred else {
                    panic!("{:?}", parsed.incident.occurred);
                };
                let hour = corrected.hour().expect("supported").0 % 24;
                assert_eq!(i64::from(hour), expected, "{ahead_ms} {told_ms}");
                assert_eq!(parsed.incident.clock_correction_ms, -ahead_ms);
            }
        };
        check(3 * SECOND_MS, 8);
        check(-3 * SECOND_MS, 8);
        check(40 * 60 * SECOND_MS, 7);
        check(-40 * 60 * SECOND_MS, 9);
    }

    #[test]
    fn small_difference_of_clocks_is_left_as_it_is() {
        let message = pb::Incident {
            device_time: at(NOW.0 - CLOCK_CORRECTION_MS_MIN + 1),
            ..least()
        };
        let parsed = accepted(message);
        assert_eq!(parsed.incident.clock_correction_ms, 0);
        assert_eq!(parsed.remarks, []);
    }

    #[test]
    fn device_that_agrees_with_a_disputed_clock_is_left_as_it_is() {
        let time = ServerTime {
            now: NOW,
            disputed: Some(UtcMillis(NOW.0 + DAY_MS)),
        };
        let check = |device: i64, expected_ms: i64| {
            let mut message = pb::Incident {
                occurred_at: at(device),
                device_time: at(device),
                ..least()
            };
            let parsed = parse_incident(AT, Some(&mut message), time).expect("allowed");
            let found_ms = parsed.incident.clock_correction_ms;
            assert_eq!(found_ms, expected_ms, "{device}");
        };
        check(NOW.0, 0);
        check(NOW.0 + DAY_MS, 0);
        check(NOW.0 + DAY_MS / 2, -DAY_MS / 2);
        let ahead = |offset_ms: i64| {
            let mut message = pb::Incident {
                occurred_at: at(NOW.0 + DAY_MS + offset_ms),
                ..least()
            };
            parse_incident(AT, Some(&mut message), time).is_err()
        };
        assert!(!ahead(CLOCK_AHEAD_MS_MAX) && ahead(CLOCK_AHEAD_MS_MAX + 1));
    }

    #[test]
    fn unlikely_card_number_is_a_remark_and_no_violation() {
        let message = pb::Incident {
            card_number: "3528 0000 0000 0004".into(),
            ..least()
        };
        let parsed = accepted(message);
        assert_eq!(parsed.remarks[0].reason, "CARD_NUMBER_CHECK_DIGIT");
        assert!(parsed.incident.card_number.is_some());
    }

    #[test]
    fn fields_that_contradict_each_other_are_refused() {
        let check = |message, expected: &[&str]| assert_eq!(refused(message), expected);
        let not_green = pb::Incident {
            found_later: true,
            signal: 1,
            ..least()
        };
        check(not_green, &["found_later"]);
        let nobody_there = pb::Incident {
            staff_present: 2,
            staff_acts: vec![1],
            staff_minutes: 1,
            ..least()
        };
        check(nobody_there, &["staff_acts", "staff_minutes"]);
        let not_seen = pb::Incident {
            staff_present: 3,
            staff_acts: vec![10],
            signal: 11,
            found_later: true,
            ..least()
        };
        assert!(accepted(not_seen).incident.found_later);
    }

    #[test]
    fn lists_past_their_bounds_are_one_violation_each() {
        let message = pb::Incident {
            cause_claims: vec![pb::CauseClaim::default(); 100_000],
            staff_acts: vec![1; 100_000],
            outcomes: vec![1; 100_000],
            ..least()
        };
        assert_eq!(refused(message), ["cause_claims", "staff_acts", "outcomes"]);
    }

    #[test]
    fn same_cause_from_two_sources_is_no_repeat() {
        let claim = |source| pb::CauseClaim { cause: 2, source };
        let parsed = accepted(pb::Incident {
            cause_claims: vec![claim(1), claim(2)],
            ..least()
        });
        let causes = parsed.incident.cause_claims.iter().map(|claim| claim.cause);
        assert_eq!(causes.collect::<Vec<_>>(), [Cause::ReaderFault; 2]);
    }

    fn any_timestamp() -> impl Strategy<Value = Option<Timestamp>> {
        let near = (-500 * DAY_MS..500 * DAY_MS).prop_map(|offset| at(NOW.0 + offset));
        let any = (any::<i64>(), any::<i32>());
        prop_oneof![
            Just(None),
            near,
            any.prop_map(|(seconds, nanos)| Some(Timestamp { seconds, nanos })),
        ]
    }

    fn any_incident() -> impl Strategy<Value = pb::Incident> {
        let texts = prop::collection::vec(any::<String>(), 8);
        let numbers = prop::collection::vec(prop_oneof![-1..20_i32, any::<i32>()], 14);
        let lists = prop::collection::vec(prop::collection::vec(-1..20_i32, 0..6), 3);
        let times = (any_timestamp(), any_timestamp());
        let id = prop_oneof![any::<String>(), any::<i64>().prop_map(id_made_at)];
        let bytes = prop::collection::vec(any::<u8>(), 0..40);
        (texts, numbers, lists, times, id, bytes, any::<u32>()).prop_map(
            |(texts, numbers, lists, (occurred_at, device_time), incident_id, secret, attempts)| {
                let claim = |(cause, source): (&i32, &i32)| pb::CauseClaim {
                    cause: *cause,
                    source: *source,
                };
                pb::Incident {
                    incident_id,
                    incident_secret: secret,
                    occurred_at,
                    precision: numbers[0],
                    device_time,
                    reporter: numbers[1],
                    mode: numbers[2],
                    tap_kind: numbers[3],
                    operator: texts[0].clone(),
                    line: texts[1].clone(),
                    direction: texts[2].clone(),
                    stop: texts[3].clone(),
                    vehicle: texts[4].clone(),
                    reader_kind: numbers[4],
                    signal: numbers[5],
                    found_later: numbers[6] % 2 == 0,
                    display_text: texts[5].clone(),
                    attempts,
                    others_got_through: numbers[7],
                    worked_later: numbers[8],
                    cause_claims: lists[0].iter().zip(&lists[1]).map(claim).collect(),
                    card_kind: numbers[9],
                    card_number: texts[6].clone(),
                    installation_id: texts[7].clone(),
                    staff_present: numbers[10],
                    staff_acts: lists[1].clone(),
                    staff_minutes: numbers[11],
                    outcomes: lists[2].clone(),
                    extra_cost: numbers[12],
                    note: texts[0].clone(),
                    note_to_operator: numbers[13] % 2 == 0,
                }
            },
        )
    }

    /// What a client may well send, but for two fields at most.
    fn near_incident() -> impl Strategy<Value = pb::Incident> {
        let minutes_ago = (0..60 * 24 * 60_i64, 0..60 * 24 * 60_i64);
        let wild = prop::collection::vec(0..8_usize, 0..3);
        let words = "[a-z0-9 ]{0,40}";
        (
            any_incident(),
            minutes_ago,
            0..u32::from(ATTEMPTS_MAX) + 5,
            words,
            wild,
        )
            .prop_map(|(any, (made_ago, occurred_ago), attempts, note, wild)| {
                let mut near = pb::Incident {
                    incident_id: id_made_at(NOW.0 - made_ago * MINUTE_MS),
                    occurred_at: at(NOW.0 - occurred_ago * MINUTE_MS),
                    attempts,
                    note,
                    ..pb::Incident::default()
                };
                for field in wild {
                    match field {
                        0 => near.incident_id.clone_from(&any.incident_id),
                        1 => near.occurred_at = any.occurred_at,
                        2 => near.device_time = any.device_time,
                        3 => near.attempts = any.attempts,
                        4 => near.note.clone_from(&any.note),
                        5 => near.precision = any.precision,
                        6 => near.staff_acts.clone_from(&any.staff_acts),
                        _ => near.cause_claims.clone_from(&any.cause_claims),
                    }
                }
                near
            })
    }

    fn check_bounds(message: &pb::Incident, incident: &Incident) -> TestCaseResult {
        prop_assert_eq!(message.attempts, u32::from(incident.attempts));
        prop_assert!(incident.attempts <= ATTEMPTS_MAX);
        prop_assert!(incident.note.chars().count() <= NOTE_CHARS_MAX);
        let day = match incident.occurred {
            Occurred::Exact(at) | Occurred::Hour(at) => {
                at.hour().expect("a supported hour").local_day()
            }
            Occurred::Day(day) => day,
        };
        prop_assert!(FIRST_DAY <= day && day < END_DAY);
        Ok(())
    }

    #[test]
    fn incident_is_accepted_within_bounds_or_refused() {
        let (tried, taken) = (Cell::new(0_u32), Cell::new(0_u32));
        let checked = TestRunner::default().run(&near_incident(), |message| {
            tried.set(tried.get() + 1);
            match parse(message.clone()) {
                Ok(parsed) => {
                    taken.set(taken.get() + 1);
                    check_bounds(&message, &parsed.incident)
                }
                Err(_) => Ok(()),
            }
        });
        checked.expect("within bounds");
        let (tried, taken) = (tried.get(), taken.get());
        assert!(tried <= 10 * taken, "{taken} of {tried} are accepted");
    }

    proptest! {
        #[test]
        fn any_incident_is_refused_or_parsed_without_a_panic(message in any_incident()) {
            let _ = parse(message);
        }

        #[test]
        fn any_bytes_are_refused_or_parsed_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            now in any::<i32>(),
        ) {
            if let Ok(mut message) = pb::Incident::decode(&bytes[..]) {
                let now = UtcMillis(i64::from(now) * SECOND_MS);
                let _ = parse_incident(AT, Some(&mut message), now);
            }
        }
    }
}
