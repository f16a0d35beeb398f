//! Sends one report. It is sent again with the same id where the server asks for patience or the
//! connection breaks, which counts once; and whoever is left without an answer is told the way
//! back to what may have been recorded.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::client::ServerArgs;
use super::failure::{Failure, Kind};
use super::say_aside;
use super::serve::Signals;
use crate::api::pb::v1 as pb;
use crate::client::{Backoff, advice, chance, is_local};
use pb::reporting_service_client::ReportingServiceClient;

/// How often a report is sent at most.
const TRIES_MAX: u32 = 5;
/// How long an answer is waited for before it is sent again. The server is not told: what it does
/// until then it does.
const TRY_MAX: Duration = Duration::from_secs(10);
/// Longest wait that is sat out; where the server asks for more, the command ends and says so.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Why a server takes nothing in yet.
const CLOCK_UNSURE: &str = "CLOCK_UNSURE";

/// What leads back to a report, and makes a repeat of the command tell the same.
pub(super) struct WayBack {
    /// The id.
    pub id: String,
    /// The secret, in hexadecimal.
    pub secret: String,
    /// The flag that says the time, unless the command line says it already.
    pub time: Option<String>,
    /// The flag that names the server, with a space before it; nothing for the usual one.
    pub server: String,
}

impl WayBack {
    /// A command about the report, to be typed as it is.
    pub fn command(&self, name: &str) -> String {
        let Self {
            id, secret, server, ..
        } = self;
        format!("mistap {name} {id} {secret}{server}")
    }

    /// Says the way back to a report that was recorded where it could not be printed: also where
    /// whoever read the output went away, since the secret is nowhere else.
    pub fn told_of_recorded(&self, failure: Failure) -> Failure {
        let get = self.command("get");
        failure
            .said_in_any_case()
            .with_detail("the report is recorded")
            .with_hint(format!("keep the way back to it: `{get}`"))
    }

    /// Says how to repeat a report that may have been recorded.
    fn told_with(&self, failure: Failure) -> Failure {
        let time = self.time.as_ref().map(|flag| format!(" {flag}"));
        failure
            .with_detail("the report may have been recorded all the same")
            .with_hint(format!(
                "repeat the command with `--id {} --secret {}{}`: it counts once",
                self.id,
                self.secret,
                time.unwrap_or_default()
            ))
    }
}

/// Sends a report, and gives the answer.
pub(super) async fn send(
    request: &pb::ReportIncidentRequest,
    way_back: &WayBack,
    server: &ServerArgs,
) -> Result<pb::ReportIncidentResponse, Failure> {
    let client = ReportingServiceClient::new(server.connect().await?);
    let mut signals = Signals::listen()?;
    let answered = until_answered(async || {
        let answer = client.clone().report_incident(request.clone()).await?;
        Ok(answer.into_inner())
    });
    tokio::select! {
        answered = answered => answered.map_err(|unanswered| {
            let failure = Failure::from(unanswered.status);
            if unanswered.may_be_recorded {
                way_back.told_with(failure)
            } else {
                failure
            }
        }),
        () = signals.next() => {
            let failure = Failure::new(Kind::Unexpected, "ended before the answer came");
            Err(way_back.told_with(failure))
        }
    }
}

/// The last of some tries.
struct Unanswered {
    status: Status,
    /// Whether one of them may have reached the record.
    may_be_recorded: bool,
}

async fn until_answered<T>(
    mut send: impl AsyncFnMut() -> Result<T, Status>,
) -> Result<T, Unanswered> {
    let mut backoff = Backoff::new();
    let mut may_be_recorded = false;
    let mut tries_left = TRIES_MAX;
    let mut is_told = false;
    loop {
        let status = match tokio::time::timeout(TRY_MAX, send()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => status,
            Err(elapsed) => {
                if !std::mem::replace(&mut is_told, true) {
                    say_aside(&"no answer yet; trying again, which counts once");
                }
                unanswered(elapsed)
            }
        };
        may_be_recorded |= leaves_open(&status);
        tries_left -= 1;
        let is_tried_again = 0 < tries_left && (advice(&status).is_some() || is_local(&status));
        let wait = backoff.wait(advice(&status), chance());
        if !is_tried_again || WAIT_MAX < wait {
            return Err(Unanswered {
                status,
                may_be_recorded,
            });
        }
        tokio::time::sleep(wait).await;
    }
}

/// As a connection that broke: nothing came of a try in its time.
fn unanswered(elapsed: Elapsed) -> Status {
    let mut status = Status::deadline_exceeded("no answer came");
    status.set_source(Arc::new(elapsed));
    status
}

/// Whether the report may have been recorded though this was answered.
fn leaves_open(status: &Status) -> bool {
    let info = status.get_details_error_info();
    if info.is_some_and(|info| info.reason == CLOCK_UNSURE) {
        return false;
    }
    match status.code() {
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => false,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn later(code: Code, seconds: u64) -> Status {
        let wait = Some(Duration::from_secs(seconds));
        Status::with_error_details(code, "later", ErrorDetails::with_retry_info(wait))
    }

    /// How often it is sent where each try is answered so, and what is left open then.
    async fn sent(answers: &[Result<(), Status>]) -> (usize, Option<bool>) {
        let mut tries = 0;
        let answered = until_answered(async || {
            tries += 1;
            answers[(tries - 1).min(answers.len() - 1)].clone()
        });
        let left = answered.await.err().map(|end| end.may_be_recorded);
        (tries, left)
    }

    #[tokio::test(start_paused = true)]
    async fn report_that_nobody_answers_is_sent_again_and_given_up_within_two_minutes() {
        let begun = tokio::time::Instant::now();
        let mut tries = 0;
        let answered = until_answered(async || {
            tries += 1;
            std::future::pending::<Result<(), Status>>().await
        });
        let unanswered = answered.await.expect_err("nobody answers");
        assert!(unanswered.may_be_recorded);
        assert!(begun.elapsed() < Duration::from_secs(120));
        assert_eq!(tries, TRIES_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn report_is_sent_again_only_where_the_server_asks_for_a_short_wait() {
        let unavailable = Err(later(Code::Unavailable, 1));
        let busy = Err(later(Code::ResourceExhausted, 1));
        assert_eq!(sent(&[unavailable.clone(), Ok(())]).await, (2, None));
        assert_eq!(sent(&[unavailable]).await, (5, Some(true)));
        assert_eq!(sent(std::slice::from_ref(&busy)).await, (5, Some(false)));
        let long = Err(later(Code::ResourceExhausted, 3_600));
        assert_eq!(sent(&[long]).await, (1, Some(false)));
        let refused = Err(Status::invalid_argument("1 field breaks a rule"));
        assert_eq!(sent(&[refused]).await, (1, Some(false)));
        let late = Err(Status::deadline_exceeded("the call took too long"));
        assert_eq!(sent(&[late]).await, (1, Some(true)));
        // It was refused before it could be.
        let mut details = ErrorDetails::with_error_info(CLOCK_UNSURE, "mistap", []);
        details.set_retry_info(Some(Duration::from_secs(1)));
        let unsure = Status::with_error_details(Code::Unavailable, "later", details);
        assert_eq!(sent(&[Err(unsure)]).await, (5, Some(false)));
        let unknown_then_busy = [Err(later(Code::Unavailable, 1)), busy];
        assert_eq!(sent(&unknown_then_busy).await, (5, Some(true)));
    }
}
