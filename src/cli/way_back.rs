//! `mistap amend`, `withdraw`, `erase` and `follow`: what a reporter does later, with the id and
//! the secret of the report.

use std::io::{self, Write};

use clap::ArgGroup;
use tokio::time::sleep;

use super::choices::{choice, number, numbers};
use super::client::ServerArgs;
use super::failure::Failure;
use super::notice::{self, LOOK_EVERY, Notices};
use super::output::Format;
use super::report::{to_card, unhex};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::reporting_service_client::ReportingServiceClient;
use crate::client::{Connection, Follower, Heard, Report};
use crate::domain::taxonomy::{CalledBack, ExtraCost, StaffAct, WorkedLater};

/// Which incident, and the way to it.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// The incident's id
    pub(super) id: String,
    /// The incident's secret, in hexadecimal
    #[arg(env = "MISTAP_SECRET", hide_env_values = true)]
    secret: String,
}

/// What came later, one thing at least. What is left out stays as it is.
#[derive(Debug, clap::Args)]
#[command(group(
    ArgGroup::new("later")
        .args(["called_back", "staff_act", "worked_later", "extra_cost"])
        .required(true)
        .multiple(true)
))]
pub struct AmendArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Did staff call back?
    #[arg(long, value_parser = choice::<CalledBack>())]
    called_back: Option<CalledBack>,
    /// What staff did, besides what was told; may be given several times
    #[arg(long, value_parser = choice::<StaffAct>(), value_delimiter = ',')]
    staff_act: Vec<StaffAct>,
    /// Did the card work elsewhere or later?
    #[arg(long, value_parser = choice::<WorkedLater>())]
    worked_later: Option<WorkedLater>,
    /// What it cost you on top of the fare, in euro
    #[arg(long, value_parser = choice::<ExtraCost>())]
    extra_cost: Option<ExtraCost>,
}

/// Which incident to follow.
#[derive(Debug, clap::Args)]
pub struct FollowArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// End after so many changes, beside how it is at first
    #[arg(long)]
    changes: Option<u64>,
}

impl KeyArgs {
    pub(super) fn secret(&self) -> Result<Vec<u8>, Failure> {
        Ok(unhex(&self.secret)?.to_vec())
    }
}

pub(super) async fn client(
    server: &ServerArgs,
) -> Result<ReportingServiceClient<Connection>, Failure> {
    Ok(ReportingServiceClient::new(server.connect().await?))
}

fn print(recorded: Option<pb::RecordedIncident>, format: Format) -> Result<(), Failure> {
    to_card(&recorded.unwrap_or_default()).print(format, &mut io::stdout().lock())
}

/// Runs `mistap amend`.
pub async fn amend(args: AmendArgs, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let request = pb::AmendIncidentRequest {
        incident_secret: args.key.secret()?,
        incident_id: args.key.id,
        called_back: number(args.called_back),
        staff_acts: numbers(&args.staff_act),
        worked_later: number(args.worked_later),
        extra_cost: number(args.extra_cost),
    };
    let answer = client(server).await?.amend_incident(request).await?;
    print(answer.into_inner().recorded, format)
}

/// Runs `mistap withdraw`.
pub async fn withdraw(key: KeyArgs, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let request = pb::WithdrawIncidentRequest {
        incident_secret: key.secret()?,
        incident_id: key.id,
    };
    let answer = client(server).await?.withdraw_incident(request).await?;
    print(answer.into_inner().recorded, format)
}

/// Runs `mistap erase`.
pub async fn erase(key: KeyArgs, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let request = pb::EraseIncidentRequest {
        incident_secret: key.secret()?,
        incident_id: key.id,
    };
    let answer = client(server).await?.erase_incident(request).await?;
    print(answer.into_inner().recorded, format)
}

/// Runs `mistap follow`. It connects again by itself, and says since when it has heard nothing.
pub async fn follow(args: FollowArgs, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let request = pb::FollowIncidentRequest {
        incident_secret: args.key.secret()?,
        incident_id: args.key.id,
    };
    let mut follower = Follower::<Report>::new(server.endpoint()?, server.bearer()?, request);
    let mut notices = Notices::default();
    let mut states = States::new(format, args.changes);
    while 0 < states.changes_left {
        let before = follower.heard();
        let heard = tokio::select! {
            heard = follower.next() => heard,
            () = sleep(LOOK_EVERY) => {
                notices.quiet(before);
                continue;
            }
        };
        match heard.map_err(|error| notice::failure(error, server))? {
            Heard::Message(message) => {
                notices.heard(before, "the state is the newest");
                states.print(message.recorded, &mut io::stdout().lock())?;
            }
            Heard::Lost(lost) => notices.lost(&lost, follower.heard()),
        }
    }
    Ok(())
}

/// A report as it is at first, and after each change.
struct States {
    format: Format,
    changes_left: u64,
    last: Option<pb::RecordedIncident>,
}

impl States {
    fn new(format: Format, changes: Option<u64>) -> Self {
        Self {
            format,
            changes_left: changes.unwrap_or(u64::MAX),
            last: None,
        }
    }

    /// Prints a state that is not the one before, which comes again over a new connection.
    fn print(
        &mut self,
        state: Option<pb::RecordedIncident>,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let Some(state) = state.filter(|state| self.last.as_ref() != Some(state)) else {
            return Ok(());
        };
        let is_first = self.last.is_none();
        to_card(&state).print_next(is_first, self.format, out)?;
        if !is_first {
            self.changes_left -= 1;
        }
        self.last = Some(state);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn state_at_first_and_one_that_comes_again_are_no_changes_and_have_one_header() {
        let printed = |format| {
            let mut states = States::new(format, Some(2));
            let mut out = Vec::new();
            let mut state = |withdrawn| {
                let state = pb::RecordedIncident {
                    withdrawn,
                    ..pb::RecordedIncident::default()
                };
                states.print(Some(state), &mut out).expect("memory");
                states.changes_left
            };
            let left = [false, false, true, true, false].map(&mut state);
            assert_eq!(left, [2, 2, 1, 1, 0]);
            states.print(None, &mut out).expect("nothing");
            String::from_utf8(out).expect("text")
        };
        let csv = printed(Format::Csv);
        assert_eq!(csv.lines().count(), 4, "{csv}");
        let json = printed(Format::Json);
        assert_eq!(json.lines().count(), 3, "{json}");
        for line in json.lines() {
            serde_json::from_str::<serde_json::Value>(line).expect("an object");
        }
    }

    #[derive(Debug, clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: AmendArgs,
    }

    #[test]
    fn amendment_says_one_thing_at_least() {
        let typed = |flags: &[&str]| {
            let words = ["amend", "an-id", "a-secret"].iter().chain(flags);
            Typed::try_parse_from(words).map(|typed| typed.args)
        };
        let nothing = typed(&[]).expect_err("nothing to amend").to_string();
        assert!(nothing.contains("--called-back"), "{nothing}");
        assert!(typed(&["--extra-cost", "under-5"]).is_ok());
        let two = typed(&["--called-back", "yes", "--staff-act", "waited-or-helped"]);
        assert_eq!(two.expect("two things").staff_act.len(), 1);
    }
}
