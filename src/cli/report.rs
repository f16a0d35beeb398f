//! `mistap report` tells of one failed tap, `mistap get` shows it again.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::ValueHint;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::json;

use super::choices::{choice, key, label, number, numbers};
use super::client::ServerArgs;
use super::failure::{Failure, Kind};
use super::output::{Card, Format, Sheet, file_name, place};
use super::sending::{self, WayBack};
use super::values;
use super::when::{self, Day};
use crate::api::pb::v1 as pb;
use crate::domain::limits::ATTEMPTS_MAX;
use crate::domain::taxonomy::{
    CalledBack, CardKind, CaseState, Cause, ClaimSource, ClosedReason, ExtraCost, Mode,
    OthersGotThrough, Outcome, ReaderKind, ReporterKind, Resolution, Signal, StaffAct,
    StaffMinutes, StaffPresence, TapKind, Taxonomy, TimePrecision, WorkedLater,
};

/// What happened, as flags. Everything may be left out: what is not said is not counted.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// When, in local time: `2026-11-23T08:15`; now if left out
    #[arg(long, conflicts_with_all = ["hour", "day"], value_parser = when::instant)]
    at: Option<Timestamp>,
    /// When, if only the hour is known: `2026-11-23T08`
    #[arg(long, conflicts_with = "day", value_parser = when::hour)]
    hour: Option<Timestamp>,
    /// When, if only the day is known: `2026-11-23`, `today` or `yesterday`; the last one counts
    // What is to be added to repeat a report names the day again, as a date.
    #[arg(long, overrides_with = "day")]
    day: Option<Day>,
    /// Who reports
    #[arg(long, value_parser = choice::<ReporterKind>(), hide_possible_values = true)]
    reporter: Option<ReporterKind>,
    /// What you were on
    #[arg(long, value_parser = choice::<Mode>())]
    mode: Option<Mode>,
    /// What the tap was meant to do
    #[arg(long, visible_alias = "tap-kind", value_parser = choice::<TapKind>())]
    tap: Option<TapKind>,
    /// The operator, by code or name: `GVB`
    #[arg(long, default_value = "", hide_default_value = true)]
    operator: String,
    /// The line as shown on the vehicle, `10`, or its identifier, `GVB:10`
    #[arg(long, default_value = "", hide_default_value = true)]
    line: String,
    /// The direction as shown on the vehicle
    #[arg(long, default_value = "", hide_default_value = true)]
    direction: String,
    /// The stop, by name or code
    #[arg(long, default_value = "", hide_default_value = true)]
    stop: String,
    /// The number painted in the vehicle
    #[arg(long, default_value = "", hide_default_value = true)]
    vehicle: String,
    /// The device that the card was held to
    #[arg(long, visible_alias = "reader-kind", value_parser = choice::<ReaderKind>())]
    reader: Option<ReaderKind>,
    /// What the reader showed or sounded
    #[arg(long, value_parser = choice::<Signal>())]
    signal: Option<Signal>,
    /// With `--signal green`: found later that the tap was not registered
    #[arg(long)]
    found_later: bool,
    /// The words on the display
    #[arg(long, default_value = "", hide_default_value = true)]
    display_text: String,
    /// How many times you tried, 20 at most
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_parser = values::whole(0, u32::from(ATTEMPTS_MAX))
    )]
    attempts: u32,
    /// Did others get through?
    #[arg(long, value_parser = choice::<OthersGotThrough>())]
    others: Option<OthersGotThrough>,
    /// Did the card work elsewhere or later?
    #[arg(long, value_parser = choice::<WorkedLater>())]
    worked_later: Option<WorkedLater>,
    /// A claimed cause and whose word it is: `card-unreadable:staff` (see `mistap choices`)
    #[arg(
        long,
        value_parser = parse_claim,
        value_name = "CAUSE:SOURCE",
        value_delimiter = ',',
        value_hint = ValueHint::Other
    )]
    cause: Vec<(Cause, ClaimSource)>,
    /// What you held to the reader
    #[arg(long, visible_alias = "card-kind", value_parser = choice::<CardKind>())]
    card: Option<CardKind>,
    /// Ask for the card's number on standard input; it is never kept
    #[arg(long)]
    card_number_stdin: bool,
    /// Were staff there?
    #[arg(long, value_parser = choice::<StaffPresence>())]
    staff_present: Option<StaffPresence>,
    /// What staff did; may be given several times
    #[arg(long, value_parser = choice::<StaffAct>(), value_delimiter = ',')]
    staff_act: Vec<StaffAct>,
    /// Minutes that staff gave
    #[arg(long, value_parser = choice::<StaffMinutes>())]
    staff_minutes: Option<StaffMinutes>,
    /// How it ended; may be given several times
    #[arg(long, value_parser = choice::<Outcome>(), value_delimiter = ',')]
    outcome: Vec<Outcome>,
    /// What it cost you on top of the fare, in euro
    #[arg(long, value_parser = choice::<ExtraCost>())]
    extra_cost: Option<ExtraCost>,
    /// A private note
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    /// The operator may read the note
    #[arg(long)]
    note_to_operator: bool,
    /// Write the receipt to this file
    #[arg(long, value_name = "FILE")]
    receipt: Option<std::path::PathBuf>,
    /// The id of an earlier try that you repeat
    #[arg(long, requires = "secret")]
    id: Option<String>,
    /// The secret of an earlier try that you repeat, in hexadecimal
    // Not from MISTAP_SECRET, which is there for the commands that lead back to a report: with it
    // every new report would be taken for a repeat.
    #[arg(long, requires = "id")]
    secret: Option<String>,
}

/// The incident to show.
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// The incident's id
    id: String,
    /// The incident's secret, in hexadecimal
    #[arg(env = "MISTAP_SECRET", hide_env_values = true)]
    secret: String,
    /// Print everything that is kept about it, as JSON, but for what would tell of others: whether
    /// editions leave it out
    #[arg(long)]
    everything: bool,
}

fn parse_claim(text: &str) -> Result<(Cause, ClaimSource), String> {
    let (cause, source) = text
        .split_once(':')
        .unwrap_or((text, ClaimSource::Traveller.key()));
    let keys = |all: Vec<&str>| all.join(", ");
    let cause = Cause::from_key(cause).ok_or_else(|| {
        format!(
            "the cause is one of {}",
            keys(Cause::ALL.iter().map(|c| c.key()).collect())
        )
    })?;
    let source = ClaimSource::from_key(source).ok_or_else(|| {
        format!(
            "the source is one of {}",
            keys(ClaimSource::ALL.iter().map(|s| s.key()).collect())
        )
    })?;
    Ok((cause, source))
}

/// Runs `mistap report`.
pub async fn report(
    args: &ReportArgs,
    server: &ServerArgs,
    format: Format,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut incident = to_incident(args, now)?;
    if args.card_number_stdin {
        incident.card_number = read_card_number()?;
    }
    let way_back = WayBack {
        id: incident.incident_id.clone(),
        secret: base16ct::lower::encode_string(&incident.incident_secret),
        time: time_of_now(args, now)?,
        server: server.flag(),
    };
    let request = pb::ReportIncidentRequest {
        incident: Some(incident),
        want_receipt: true,
        want_advice: true,
    };
    let response = sending::send(&request, &way_back, server).await?;
    // Before anything that may fail: it is recorded, and this is the only way back to it.
    let printed = print_accepted(args, &response, &way_back, format)
        .map_err(|failure| way_back.told_of_recorded(failure));
    if let Some(path) = &args.receipt {
        let written = std::fs::write(path, format!("{}\n", response.receipt));
        written.map_err(|error| {
            let message = format!(
                "the receipt cannot be written to the file {}",
                file_name(path)
            );
            Failure::unexpected(message, &error).with_hint(format!(
                "the report is recorded; have its receipt with `{}`",
                way_back.command("receipt get")
            ))
        })?;
    }
    printed
}

/// The flag that says the same time later, where the command line says it as of now or not at
/// all.
fn time_of_now(args: &ReportArgs, now: Timestamp) -> Result<Option<String>, Failure> {
    Ok(match (args.day, args.hour.or(args.at)) {
        (Some(day), _) => Some(format!("--day {}", day.date(now)?)),
        (None, Some(_)) => None,
        (None, None) => Some(format!("--at {now}")),
    })
}

/// Runs `mistap get`.
pub async fn get(args: GetArgs, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let request = pb::GetIncidentRequest {
        incident_id: args.id,
        incident_secret: unhex(&args.secret)?.to_vec(),
        everything: args.everything,
    };
    let channel = server.connect().await?;
    let mut client = pb::reporting_service_client::ReportingServiceClient::new(channel);
    let response = client.get_incident(request).await?.into_inner();
    if args.everything {
        return print_everything(&response.everything_json);
    }
    let recorded = response.recorded.unwrap_or_default();
    to_card(&recorded).print(format, &mut io::stdout().lock())
}

fn print_everything(json: &str) -> Result<(), Failure> {
    let all: serde_json::Value = serde_json::from_str(json)
        .map_err(|error| Failure::unexpected("the answer is no JSON", &error))?;
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &all).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// Runs `mistap choices`.
pub async fn choices(server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let channel = server.connect().await?;
    let mut client = pb::reporting_service_client::ReportingServiceClient::new(channel);
    let response = client
        .list_choices(pb::ListChoicesRequest {})
        .await?
        .into_inner();
    let mut sheet = Sheet::new(["taxonomy", "choice", "dutch", "english"]);
    for taxonomy in response.taxonomies {
        for choice in taxonomy.choices {
            sheet.push(vec![
                json!(taxonomy.name),
                json!(choice.key),
                json!(choice.label_nl),
                json!(choice.label_en),
            ]);
        }
    }
    sheet.print(format, &mut io::stdout().lock())
}

fn to_incident(args: &ReportArgs, now: Timestamp) -> Result<pb::Incident, Failure> {
    let (occurred_at, precision) = occurred(args, now)?;
    let (incident_id, incident_secret) = identity(args, now)?;
    let claims = args.cause.iter().map(|(cause, source)| pb::CauseClaim {
        cause: i32::from(cause.number()),
        source: i32::from(source.number()),
    });
    Ok(pb::Incident {
        incident_id,
        incident_secret,
        occurred_at: Some(when::to_wire(occurred_at)),
        precision: i32::from(precision.number()),
        device_time: None,
        reporter: number(args.reporter),
        mode: number(args.mode),
        tap_kind: number(args.tap),
        operator: args.operator.clone(),
        line: args.line.clone(),
        direction: args.direction.clone(),
        stop: args.stop.clone(),
        vehicle: args.vehicle.clone(),
        reader_kind: number(args.reader),
        signal: number(args.signal),
        found_later: args.found_later,
        display_text: args.display_text.clone(),
        attempts: args.attempts,
        others_got_through: number(args.others),
        worked_later: number(args.worked_later),
        cause_claims: claims.collect(),
        card_kind: number(args.card),
        card_number: String::new(),
        installation_id: String::new(),
        staff_present: number(args.staff_present),
        staff_acts: numbers(&args.staff_act),
        staff_minutes: number(args.staff_minutes),
        outcomes: numbers(&args.outcome),
        extra_cost: number(args.extra_cost),
        note: args.note.clone(),
        note_to_operator: args.note_to_operator,
    })
}

fn occurred(args: &ReportArgs, now: Timestamp) -> Result<(Timestamp, TimePrecision), Failure> {
    if let Some(day) = args.day {
        return Ok((time_in(day.date(now)?, now)?, TimePrecision::Day));
    }
    if let Some(hour) = args.hour {
        return Ok((hour, TimePrecision::Hour));
    }
    Ok((args.at.unwrap_or(now), TimePrecision::Exact))
}

/// A time in a day of which no more is known: noon, or now where it is not noon yet.
fn time_in(day: Date, now: Timestamp) -> Result<Timestamp, Failure> {
    let today = Day::TODAY.date(now)?;
    if today < day {
        let message = "--day lies in the future: write the day on which it happened";
        return Err(Failure::new(Kind::Refused, message));
    }
    let noon = when::noon_of(day)?;
    Ok(if day == today { noon.min(now) } else { noon })
}

fn identity(args: &ReportArgs, now: Timestamp) -> Result<(String, Vec<u8>), Failure> {
    if let (Some(id), Some(secret)) = (&args.id, &args.secret) {
        return Ok((id.clone(), unhex(secret)?.to_vec()));
    }
    let mut random = [0; 42];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(Kind::Unexpected, format!("no random bytes: {error}")))?;
    let (id_bytes, secret) = random.split_at(10);
    let id_bytes = id_bytes.try_into().expect("split at ten bytes");
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, id_bytes).into_uuid();
    Ok((id.to_string(), secret.to_vec()))
}

/// From a terminal without showing it, else the first line of standard input.
fn read_card_number() -> Result<String, Failure> {
    let line = if io::stdin().is_terminal() {
        rpassword::prompt_password("card number (not shown): ")?
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        line
    };
    match line.trim() {
        "" => Err(
            Failure::new(Kind::Refused, "no card number came on standard input")
                .with_hint("leave out --card-number-stdin to report without one"),
        ),
        number => Ok(number.to_owned()),
    }
}

/// In words, for the command line: Dutch or English stand side by side in the table.
fn others(others: &pb::OthersReported) -> String {
    let place = match others.place() {
        pb::others_reported::Place::Reader => "at this reader",
        pb::others_reported::Place::Stop => "at this stop",
        pb::others_reported::Place::Line => "on this line",
        pb::others_reported::Place::Operator => "with this operator",
        pb::others_reported::Place::Everywhere | pb::others_reported::Place::Unspecified => {
            "somewhere"
        }
    };
    let hours = others.hours;
    format!("ten or more others reported a failed tap {place} in the last {hours} h")
}

fn advised(advice: &pb::Advice) -> String {
    let deadline = match advice.deadline.as_str() {
        "" => String::new(),
        deadline => format!(" (until {deadline})"),
    };
    format!(
        "{}{deadline} [{}, read on {}]",
        advice.text_en, advice.source, advice.as_of
    )
}

fn print_accepted(
    args: &ReportArgs,
    response: &pb::ReportIncidentResponse,
    way_back: &WayBack,
    format: Format,
) -> Result<(), Failure> {
    let default = pb::Accepted::default();
    let accepted = response.accepted.as_ref().unwrap_or(&default);
    let mut out = io::stdout().lock();
    let received = when::from_wire(accepted.received_at.as_ref()).map(when::written);
    let status = if accepted.erased {
        "recorded before, and erased since"
    } else if accepted.repeated {
        "recorded before"
    } else if accepted.same_as_earlier {
        "recorded, and taken together with an earlier report of the same tap"
    } else {
        "recorded"
    };
    let warnings = accepted.warnings.iter();
    let mut card = Card::default();
    card.push("status", status);
    card.push("received_at", received);
    card.push("position", place(accepted.position));
    card.push("operator", operator(&args.operator, accepted));
    card.push("line", matched(accepted.line_match.as_ref()));
    card.push("stop", matched(accepted.stop_match.as_ref()));
    card.push(
        "warnings",
        warnings
            .map(|told| told.description.clone())
            .collect::<Vec<_>>(),
    );
    card.push("others", response.others.as_ref().map(others));
    if format != Format::Table {
        card.push("what_now", each(&response.advice, advised));
        card.push("receipt", response.receipt.clone());
        card.push("incident_id", accepted.incident_id.clone());
        card.push("secret", way_back.secret.clone());
        return card.print(format, &mut out);
    }
    card.print(format, &mut out)?;
    for advice in &response.advice {
        writeln!(out, "\n{}", advised(advice))?;
    }
    // Below the table, where no narrow terminal cuts them in pieces.
    writeln!(out, "\nid      {}", way_back.id)?;
    writeln!(out, "secret  {}", way_back.secret)?;
    writeln!(out, "Keep both: they are the only way back.")?;
    writeln!(out, "\n  {}", way_back.command("get"))?;
    writeln!(out, "  {}", way_back.command("receipt get"))?;
    Ok(())
}

/// The operator that a report is counted for, or that what was told of it is not known.
fn operator(told: &str, accepted: &pb::Accepted) -> String {
    match (accepted.operator_code.as_str(), told.trim()) {
        ("", "") => String::new(),
        ("", _) => label::<Resolution>(Resolution::Unresolved.number().into()),
        (code, _) => code.to_owned(),
    }
}

fn matched(matched: Option<&pb::Match>) -> String {
    let Some(matched) = matched.filter(|matched| matched.resolution != 0) else {
        return String::new();
    };
    let mut text = label::<Resolution>(matched.resolution);
    if !matched.id.is_empty() {
        text.push_str(&format!(": {} {}", matched.id, matched.name));
    }
    if !matched.candidates.is_empty() {
        text.push_str(&format!(": {}", matched.candidates.join(", ")));
    }
    if matched.outside_validity {
        text.push_str(" (outside its dates of validity)");
    }
    text
}

pub(super) fn to_card(recorded: &pb::RecordedIncident) -> Card {
    let default = pb::Incident::default();
    let told = recorded.incident.as_ref().unwrap_or(&default);
    let instant = |at| when::from_wire(at).map(when::written);
    let nonzero = |value: i64| (value != 0).then_some(value);
    let said = |said: bool| said.then_some(true);
    let mut card = Card::default();
    card.push("incident_id", told.incident_id.clone());
    push_time(&mut card, told, recorded);
    card.push(
        "clock_correction_seconds",
        nonzero(recorded.clock_correction_seconds),
    );
    card.push("received_at", instant(recorded.received_at.as_ref()));
    card.push("withdrawn", said(recorded.withdrawn));
    card.push("same_as_earlier", said(recorded.same_as_earlier));
    card.push("erased_at", instant(recorded.erased_at.as_ref()));
    let amended = recorded.amended_at.iter();
    let amended = amended.filter_map(|at| instant(Some(at)));
    card.push("amended_at", amended.collect::<Vec<_>>());
    card.push("position", place(recorded.position));
    push_place(&mut card, told, recorded);
    card.push("reader_kind", key::<ReaderKind>(told.reader_kind));
    card.push("signal", key::<Signal>(told.signal));
    card.push("found_later", said(told.found_later));
    card.push("display_text", told.display_text.clone());
    card.push("attempts", nonzero(i64::from(told.attempts)));
    card.push(
        "others_got_through",
        key::<OthersGotThrough>(told.others_got_through),
    );
    card.push("worked_later", key::<WorkedLater>(told.worked_later));
    card.push("cause_claims", each(&told.cause_claims, claim));
    card.push("card_kind", key::<CardKind>(told.card_kind));
    card.push("card_number_given", said(recorded.card_given));
    card.push("staff_present", key::<StaffPresence>(told.staff_present));
    card.push(
        "staff_acts",
        each(&told.staff_acts, |act| key::<StaffAct>(*act)),
    );
    card.push("staff_minutes", key::<StaffMinutes>(told.staff_minutes));
    card.push(
        "outcomes",
        each(&told.outcomes, |outcome| key::<Outcome>(*outcome)),
    );
    card.push("extra_cost", key::<ExtraCost>(told.extra_cost));
    card.push("note", told.note.clone());
    card.push("note_to_operator", said(told.note_to_operator));
    card.push("called_back", key::<CalledBack>(recorded.called_back));
    card.push("replies", each(&recorded.replies, reply));
    card.push("disputed", said(recorded.disputed));
    let asked = "did they call back? tell it with `mistap amend --called-back`";
    card.push("question", recorded.call_back_asked.then_some(asked));
    card
}

pub(super) fn reply(reply: &pb::Reply) -> String {
    let when = when::from_wire(reply.replied_at.as_ref()).map(when::written);
    let mut text = format!(
        "{} {}: {}",
        when.unwrap_or_default(),
        reply.operator,
        label::<CaseState>(reply.state)
    );
    if reply.reason != 0 {
        text.push_str(&format!(" ({})", label::<ClosedReason>(reply.reason)));
    }
    if reply.message_kept_no_longer {
        text.push_str("; its message is kept no longer");
    } else if !reply.message.is_empty() {
        text.push_str(&format!(": {}", reply.message));
    }
    text
}

/// When it was. Of an erased report no more than the day is left, whose noon the server tells.
fn push_time(card: &mut Card, told: &pb::Incident, recorded: &pb::RecordedIncident) {
    let time = when::from_wire(told.occurred_at.as_ref());
    let (time, precision) = match recorded.erased_at {
        Some(_) => (
            time.map(when::shown_day),
            TimePrecision::Day.key().to_owned(),
        ),
        None => (
            time.map(when::written),
            key::<TimePrecision>(told.precision),
        ),
    };
    card.push("occurred_at", time);
    card.push("precision", precision);
}

fn push_place(card: &mut Card, told: &pb::Incident, recorded: &pb::RecordedIncident) {
    card.push("reporter", key::<ReporterKind>(told.reporter));
    card.push("mode", key::<Mode>(told.mode));
    card.push("tap_kind", key::<TapKind>(told.tap_kind));
    card.push("operator", told.operator.clone());
    card.push("operator_code", recorded.operator_code.clone());
    card.push("line", told.line.clone());
    card.push("line_match", matched(recorded.line_match.as_ref()));
    card.push("direction", told.direction.clone());
    card.push("stop", told.stop.clone());
    card.push("stop_match", matched(recorded.stop_match.as_ref()));
    card.push("vehicle", told.vehicle.clone());
}

fn each<T>(items: &[T], text: impl Fn(&T) -> String) -> Vec<String> {
    items.iter().map(text).collect()
}

fn claim(claim: &pb::CauseClaim) -> String {
    format!(
        "{}:{}",
        key::<Cause>(claim.cause),
        key::<ClaimSource>(claim.source)
    )
}

pub(super) fn unhex(text: &str) -> Result<[u8; 32], Failure> {
    let bytes = base16ct::mixed::decode_vec(text).ok();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Failure::new(Kind::Refused, "the secret must be 64 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_survives_being_printed_and_typed() {
        let secret: [u8; 32] = std::array::from_fn(|index| u8::try_from(index * 8).unwrap_or(255));
        assert_eq!(
            unhex(&base16ct::lower::encode_string(&secret)).expect("64 digits"),
            secret
        );
        for wrong in ["", "00", &"0".repeat(63), &"g".repeat(64), &"é".repeat(32)] {
            assert!(unhex(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn day_is_told_by_its_noon_or_by_now_and_not_at_all_where_it_is_still_to_come() {
        let now: Timestamp = "2026-11-23T08:15:00Z".parse().expect("a time");
        let time_in = |day: &str| time_in(day.parse().expect("a day"), now);
        assert_eq!(time_in("2026-11-23").expect("today"), now);
        let noon = time_in("2026-11-22").expect("yesterday");
        assert_eq!(noon.to_string(), "2026-11-22T11:00:00Z");
        for day in ["2026-11-24", "2027-01-01", "9999-12-31"] {
            let refused = time_in(day).expect_err(day);
            assert_eq!(refused.kind(), Kind::Refused, "{day}");
        }
    }

    #[test]
    fn cause_without_a_source_is_the_travellers_belief() {
        assert_eq!(
            parse_claim("card-unreadable"),
            Ok((Cause::CardUnreadable, ClaimSource::Traveller))
        );
        assert_eq!(
            parse_claim("unknown:staff"),
            Ok((Cause::Unknown, ClaimSource::Staff))
        );
        assert!(parse_claim("gremlins").is_err());
    }
}
