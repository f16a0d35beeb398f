//! `mistap tail`: incidents as they are recorded, a line for each. It connects again by itself,
//! goes on where it was, and says since when it has heard nothing. The token of the last
//! message that was printed whole can be kept in a file, so that the next `tail` goes on there.

mod bookmark;
mod object;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::pin::pin;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::client::ServerArgs;
use super::failure::{Failure, Kind};
use super::notice::{self, LOOK_EVERY, Notices};
use super::output::{Format, csv_line, file_name};
use super::serve::Signals;
use super::{say_aside, values, when};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::watch_incidents_request::Start;
use crate::api::pb::v1::watch_incidents_response::Update;
use crate::client::{FollowError, Follower, Heard, Incidents};
use crate::domain::text::without_controls;
use bookmark::Bookmark;
use object::to_json;

/// What a line shows, but of JSON, which has more.
const COLUMNS: [&str; 10] = [
    "position",
    "received_at",
    "change",
    "operator",
    "line",
    "stop",
    "mode",
    "signal",
    "card_kind",
    "case_number",
];
/// What a line shows people, how wide it is there, and how many columns a terminal must have: cut
/// short it would tell little, or the wrong thing. A line's identifier names its operator.
const FOR_PEOPLE: [(&str, usize, usize); 8] = [
    ("case_number", 14, 0),
    ("received_at", 0, 0),
    ("change", 9, 0),
    ("line", 10, 0),
    ("signal", 15, 0),
    ("card_kind", 12, DAYS_WIDTH_MIN),
    ("mode", 7, SECONDS_WIDTH_MIN),
    ("stop", 0, DAYS_WIDTH_MIN),
];
/// A terminal with fewer columns shows no days, and one with still fewer no seconds.
const DAYS_WIDTH_MIN: usize = 113;
const SECONDS_WIDTH_MIN: usize = 74;
/// The reasons for which a token to go on from is good no more, and what it is called wherever it
/// stands. That a token to call with is not known is none of them: the place is still good.
const GONE: [&str; 3] = ["TOKEN_OF_OTHER_JOURNAL", "TOKEN_TOO_OLD", "TOKEN_AHEAD"];
const TOKEN: &str = "resume_token";

/// Which incidents to tell.
#[derive(Debug, clap::Args)]
pub struct TailArgs {
    /// Only of these operators, by code
    #[arg(long, value_delimiter = ',', value_parser = values::operator)]
    operator: Vec<String>,
    /// Only on these lines, by identifier: `GVB:10`
    #[arg(long, value_delimiter = ',', value_parser = values::line)]
    line: Vec<String>,
    /// Begin with what was recorded at this time: 2026-11-23T08:15, local
    #[arg(long, value_parser = when::instant)]
    from: Option<Timestamp>,
    /// Go on after the message that brought this token
    #[arg(long, value_name = "TOKEN", conflicts_with = "from")]
    resume: Option<String>,
    /// Keep the token in this file, and go on from it where it is there
    #[arg(long, value_name = "FILE")]
    bookmark: Option<PathBuf>,
    /// End after so many incidents; with --bookmark, when the message that the last of them came
    /// in is printed whole: up to 255 more
    #[arg(long)]
    events: Option<u64>,
}

/// Where lines go.
struct Output {
    format: Format,
    /// Columns of the terminal; `None` if it is none, or does not tell.
    width: Option<usize>,
    left: u64,
    /// Whether tokens are kept: none leads into the middle of a message, which is printed whole
    /// then.
    has_bookmark: bool,
}

/// Runs `mistap tail`.
pub async fn tail(
    args: &TailArgs,
    server: &ServerArgs,
    format: Format,
    now: Timestamp,
) -> Result<(), Failure> {
    if args.from.is_some_and(|from| now < from) {
        let message = "--from lies in the future: leave it out to begin with what happens next";
        return Err(Failure::new(Kind::Refused, message));
    }
    let mut signals = Signals::listen()?;
    let mut bookmark = args.bookmark.clone().map(Bookmark::open).transpose()?;
    let request = pb::WatchIncidentsRequest {
        operators: args.operator.clone(),
        lines: args.line.clone(),
        start: start(args, bookmark.as_ref())?,
    };
    let mut follower = Follower::<Incidents>::new(server.endpoint()?, server.bearer()?, request);
    let mut output = Output::new(format, args)?;
    let mut notices = Notices::default();
    let mut token = Vec::new();
    let mut is_cut = false;
    let mut ended = pin!(signals.next());
    while 0 < output.left {
        let before = follower.heard();
        let heard = tokio::select! {
            heard = follower.next() => heard,
            () = sleep(LOOK_EVERY) => {
                notices.quiet(before);
                continue;
            }
            () = &mut ended => break,
        };
        match heard.map_err(|error| failure(error, args, server))? {
            Heard::Message(message) => {
                notices.heard(before, "nothing was missed");
                if output.print(&message)? {
                    if let Some(bookmark) = &mut bookmark {
                        keep(bookmark, &message)?;
                    }
                    token = message.resume_token;
                } else {
                    is_cut = true;
                }
            }
            Heard::Lost(lost) => notices.lost(&lost, follower.heard()),
        }
    }
    if bookmark.is_none() && !token.is_empty() && io::stderr().is_terminal() {
        let token = bookmark::written(&token);
        say_aside(&match is_cut {
            true => format!("to go on: --resume {token}; some of what was printed comes again"),
            false => format!("to go on from here: --resume {token}"),
        });
    }
    Ok(())
}

/// Keeps the place after a message that was printed.
fn keep(bookmark: &mut Bookmark, message: &pb::WatchIncidentsResponse) -> Result<(), Failure> {
    let (token, now) = (&message.resume_token, Instant::now());
    match message.update {
        Some(Update::Events(_)) => bookmark.keep(token, now),
        Some(Update::Heartbeat(_)) | None => bookmark.keep_sometimes(token, now),
    }
}

/// Why it cannot go on, and how it begins anew where the token is good no more.
fn failure(error: FollowError, args: &TailArgs, server: &ServerArgs) -> Failure {
    let details = match &error {
        FollowError::Refused(status) => status.get_error_details(),
        FollowError::NoServer(_) => ErrorDetails::new(),
    };
    let failure = notice::failure(error, server);
    let info = details.error_info();
    let is_gone = info.is_some_and(|info| GONE.contains(&&*info.reason));
    let violations = details.bad_request().map(|bad| &bad.field_violations[..]);
    let is_none = |violations: &[FieldViolation]| violations.iter().any(|one| one.field == TOKEN);
    if !is_gone && !violations.is_some_and(is_none) {
        return failure;
    }
    let anew = match (&args.bookmark, &args.resume) {
        (Some(file), _) => format!("remove the bookmark {}", file_name(file)),
        (None, Some(_)) => "leave out --resume".to_owned(),
        (None, None) => "repeat the command".to_owned(),
    };
    let oldest = info.and_then(|info| info.metadata.get(TOKEN));
    let oldest = oldest.map_or_else(String::new, |token| {
        let also = args.bookmark.as_ref().map_or("", |_| "also ");
        format!("; to begin with the oldest that there is, {also}say --resume {token}")
    });
    failure.with_hint(format!(
        "{anew} to begin with what happens from now on{oldest}"
    ))
}

/// What is kept goes before what is said: the file is there to be found again.
fn start(args: &TailArgs, bookmark: Option<&Bookmark>) -> Result<Option<Start>, Failure> {
    if let Some(token) = bookmark.and_then(Bookmark::token) {
        return Ok(Some(Start::ResumeToken(token.to_vec())));
    }
    if let Some(token) = &args.resume {
        let token = bookmark::read(token).ok_or_else(|| {
            Failure::new(Kind::Refused, "--resume is no token")
                .with_hint("a token is what `mistap tail` printed when it ended: digits and a to f")
        })?;
        return Ok(Some(Start::ResumeToken(token)));
    }
    Ok(args.from.map(|from| Start::FromTime(when::to_wire(from))))
}

impl Output {
    fn new(format: Format, args: &TailArgs) -> Result<Self, Failure> {
        let is_terminal = format == Format::Table && io::stdout().is_terminal();
        let output = Self {
            format,
            width: match is_terminal {
                true => known_width(crossterm::terminal::size()?.0),
                false => None,
            },
            left: args.events.unwrap_or(u64::MAX),
            has_bookmark: args.bookmark.is_some(),
        };
        if format == Format::Csv {
            writeln!(io::stdout(), "{}", COLUMNS.join(","))?;
        }
        Ok(output)
    }

    /// Prints a message; says whether all of it.
    fn print(&mut self, message: &pb::WatchIncidentsResponse) -> Result<bool, Failure> {
        let Some(Update::Events(events)) = &message.update else {
            return Ok(true);
        };
        let mut out = io::stdout().lock();
        for event in &events.events {
            if self.left == 0 && !self.has_bookmark {
                return Ok(false);
            }
            writeln!(out, "{}", self.line(event))?;
            self.left = self.left.saturating_sub(1);
        }
        out.flush()?;
        Ok(true)
    }

    fn line(&self, event: &pb::IncidentEvent) -> String {
        let object = to_json(event);
        match self.format {
            Format::Json => object.to_string(),
            Format::Csv => csv_line(COLUMNS.map(|column| cell(&object[column]))),
            Format::Table => for_people(event, &object, self.width),
        }
    }
}

/// A terminal that tells no size says that it has no columns.
fn known_width(columns: u16) -> Option<usize> {
    (columns != 0).then_some(columns.into())
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Aligned, without what is always the same, and cut where the terminal ends.
fn for_people(event: &pb::IncidentEvent, object: &Value, width: Option<usize>) -> String {
    let received = when::from_wire(event.received_at.as_ref());
    let received = |shown: fn(Timestamp) -> String| received.map(shown).unwrap_or_default();
    let end = width.unwrap_or(usize::MAX);
    let gap = if end < SECONDS_WIDTH_MIN { " " } else { "  " };
    let mut line = String::new();
    for (column, wide, width_min) in FOR_PEOPLE {
        if end < width_min {
            continue;
        }
        let mut text = match column {
            "received_at" if end < SECONDS_WIDTH_MIN => received(when::shown_minute),
            "received_at" if end < DAYS_WIDTH_MIN => received(when::shown_time),
            "received_at" => received(when::shown),
            "line" if object["line"].is_null() => cell(&object["operator"]),
            column => cell(&object[column]),
        };
        if text.is_empty() {
            text.push('-');
        }
        let text = without_controls(&text);
        line.push_str(&format!("{text:<wide$}{gap}"));
    }
    line.trim_end().chars().take(end).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::api::pb::v1::incident_event::Change;
    use crate::api::status::Problem;
    use crate::live::Gone;
    use crate::live::log::LogError;

    #[derive(Debug, clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: TailArgs,
    }

    /// What is said of a refusal.
    fn told(problem: Problem, typed: &[&str]) -> String {
        let words = ["tail"].iter().chain(typed);
        let args = Typed::try_parse_from(words).expect("flags").args;
        let error = FollowError::Refused(Box::new(problem.into()));
        let server = ServerArgs::at("http://127.0.0.1:1".to_owned());
        failure(error, &args, &server).to_string()
    }

    #[test]
    fn token_to_call_with_that_is_not_known_leaves_the_bookmark_alone() {
        let place = [&["--bookmark", "here"][..], &["--resume", "01"]];
        for typed in place {
            let told = told(Problem::unknown_token(), typed);
            assert!(told.contains("is not known, or was revoked"), "{told}");
            assert!(!told.contains("to begin with"), "{told}");
            assert!(!told.contains("the bookmark"), "{told}");
        }
    }

    #[test]
    fn token_that_is_good_no_more_is_told_with_the_oldest_that_is() {
        let gone = |why| {
            let oldest_token = vec![0x0a, 0xbc];
            Problem::from(LogError::Gone { why, oldest_token })
        };
        for why in [Gone::OtherJournal, Gone::TooOld, Gone::Ahead] {
            let resumed = told(gone(why), &["--resume", "01"]);
            let kept = told(gone(why), &["--bookmark", "here"]);
            let lost = told(gone(why), &[]);
            assert!(lost.contains("repeat the command to begin"), "{lost}");
            assert!(resumed.contains("leave out --resume"), "{resumed}");
            assert!(kept.contains("remove the bookmark here"), "{kept}");
            for told in [resumed, kept] {
                assert!(told.ends_with("say --resume 0abc"), "{told}");
            }
        }
        let none = told(LogError::Token.into(), &["--resume", "01"]);
        assert!(none.contains("--resume: must come"), "{none}");
        assert!(none.ends_with("from now on"), "{none}");
        let stopping = told(LogError::Stopping.into(), &["--resume", "01"]);
        assert!(!stopping.contains("--resume"), "{stopping}");
    }

    #[test]
    fn terminal_that_tells_no_width_cuts_nothing() {
        assert_eq!(known_width(0), None);
        assert_eq!(known_width(80), Some(80));
    }

    fn event() -> pb::IncidentEvent {
        pb::IncidentEvent {
            position: 12,
            received_at: Some(prost_types::Timestamp::default()),
            case_number: "7H2K-9QWM-3XVT".into(),
            incident: Some(pb::IncidentFacts {
                operator: "GVB".into(),
                line: "GVB:10".into(),
                mode: pb::Mode::Tram.into(),
                ..pb::IncidentFacts::default()
            }),
            change: Some(Change::Recorded(pb::IncidentRecorded {})),
        }
    }

    #[test]
    fn line_fits_a_narrow_terminal_and_is_whole_elsewhere() {
        let object = to_json(&event());
        for width in [0, 1, 20] {
            let line = for_people(&event(), &object, Some(width));
            assert_eq!(line.chars().count(), width);
        }
        let event = || pb::IncidentEvent {
            incident: Some(pb::IncidentFacts {
                signal: pb::Signal::RedBeep.into(),
                stop: "NL:S:30001234".into(),
                ..event().incident.expect("there")
            }),
            ..event()
        };
        let check = |width, expected: &str| {
            let object = to_json(&event());
            let line = for_people(&event(), &object, Some(width));
            assert_eq!(line, expected);
        };
        // Nothing is cut in the middle.
        check(50, "7H2K-9QWM-3XVT 01:00 recorded  GVB:10     red-beep");
        check(
            80,
            "7H2K-9QWM-3XVT  01:00:00  recorded   GVB:10      red-beep         tram",
        );
        check(
            120,
            "7H2K-9QWM-3XVT  1970-01-01 01:00:00  recorded   GVB:10      red-beep         -             \
             tram     NL:S:30001234",
        );
        let line = for_people(&event(), &object, None);
        assert!(
            line.starts_with("7H2K-9QWM-3XVT  ") && line.ends_with("-"),
            "{line}"
        );
        assert!(line.contains("  GVB:10 "), "{line}");
    }

    #[test]
    fn time_that_was_not_told_is_none() {
        let event = pb::IncidentEvent {
            received_at: None,
            ..event()
        };
        let object = to_json(&event);
        assert!(object["received_at"].is_null());
        for width in [Some(50), Some(80), Some(120), None] {
            let line = for_people(&event, &object, width);
            let mut cells = line.split_whitespace();
            assert_eq!(cells.nth(1), Some("-"), "{line}");
        }
    }

    #[test]
    fn message_is_cut_short_by_the_number_of_events_only_where_no_token_is_kept() {
        for has_bookmark in [false, true] {
            let mut output = Output {
                format: Format::Json,
                width: None,
                left: 1,
                has_bookmark,
            };
            let message = |events| pb::WatchIncidentsResponse {
                update: Some(Update::Events(pb::IncidentEvents { events })),
                ..pb::WatchIncidentsResponse::default()
            };
            let print = output.print(&message(vec![event(), event()]));
            assert_eq!(print.expect("printed"), has_bookmark);
            assert_eq!(output.left, 0);
        }
    }
}
