//! Follows a stream of incidents across lost connections, as every client should.
//!
//! It keeps the token of the newest message, connects again when the connection or the server
//! is gone, waits as long as the server says, and tells since when nothing was heard. What it
//! brings, pieced together, has no gap and no repeat.

mod bearer;

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

pub use bearer::{Bearer, Connection, InvalidToken};

use crate::api::pb::v1 as pb;
use crate::api::pb::v1::live_service_client::LiveServiceClient;
use crate::api::pb::v1::watch_incidents_request::Start;

/// First wait before another try to connect, where the server does not say how long.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Longest wait before another try to connect.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Without a message for so long, the connection is taken for dead: two heartbeats missed.
const SILENCE_MAX: Duration = Duration::from_secs(35);

/// Follows incidents.
pub struct Follower {
    endpoint: Endpoint,
    bearer: Bearer,
    request: pb::WatchIncidentsRequest,
    messages: Option<Streaming<pb::WatchIncidentsResponse>>,
    /// When the next try to connect is due.
    due: Instant,
    backoff: Duration,
    heard: Option<Instant>,
}

/// What a follower brings.
#[derive(Debug)]
pub enum Heard {
    /// A message.
    Message(pb::WatchIncidentsResponse),
    /// The connection is lost; the next call tries again.
    Lost,
}

impl Follower {
    /// Follows from where the request says. Connects at the first call of `next`.
    pub fn new(endpoint: Endpoint, bearer: Bearer, request: pb::WatchIncidentsRequest) -> Self {
        Self {
            endpoint,
            bearer,
            request,
            messages: None,
            due: Instant::now(),
            backoff: BACKOFF_FIRST,
            heard: None,
        }
    }

    /// When the last message came; `None` before the first.
    pub fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// The next message, or that the connection was lost. An error is final: another try
    /// would not help, or nothing was ever heard. Dropped while it waits, it loses nothing.
    pub async fn next(&mut self) -> Result<Heard, Status> {
        let silent_at = Instant::now() + SILENCE_MAX;
        if self.messages.is_none() {
            sleep_until(self.due).await;
            match timeout_at(silent_at, self.connect()).await {
                Ok(Ok(messages)) => self.messages = Some(messages),
                Ok(Err(status)) => return self.lost(Some(status)),
                Err(_) => return self.lost(None),
            }
        }
        let Some(messages) = &mut self.messages else {
            return self.lost(None);
        };
        match timeout_at(silent_at, messages.message()).await {
            Ok(Ok(Some(message))) => {
                self.request.start = Some(Start::ResumeToken(message.resume_token.clone()));
                self.backoff = BACKOFF_FIRST;
                self.heard = Some(Instant::now());
                Ok(Heard::Message(message))
            }
            Ok(Ok(None)) | Err(_) => self.lost(None),
            Ok(Err(status)) => self.lost(Some(status)),
        }
    }

    async fn connect(&self) -> Result<Streaming<pb::WatchIncidentsResponse>, Status> {
        let channel = self.endpoint.connect().await;
        let channel = channel.map_err(|error| Status::from_error(Box::new(error)))?;
        let connection = self.bearer.clone().over(channel);
        let mut client = LiveServiceClient::new(connection);
        let response = client.watch_incidents(self.request.clone()).await?;
        Ok(response.into_inner())
    }

    fn lost(&mut self, status: Option<Status>) -> Result<Heard, Status> {
        self.messages = None;
        if let Some(status) = &status
            && (self.heard.is_none() || !is_worth_another_try(status))
        {
            return Err(status.clone());
        }
        let advice = status
            .and_then(|status| status.get_details_retry_info())
            .and_then(|info| info.retry_delay);
        self.due = Instant::now() + advice.unwrap_or(self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        Ok(Heard::Lost)
    }
}

/// Whether the same may succeed later: the server says so, or never said anything.
fn is_worth_another_try(status: &Status) -> bool {
    let is_local = std::error::Error::source(status).is_some();
    let code = status.code();
    is_local
        || matches!(
            code,
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded
        )
}
