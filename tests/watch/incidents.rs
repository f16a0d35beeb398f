//! A watcher of incidents that keeps all that it saw.

use std::time::Duration;

use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::incident_event::Change;
use mistap::api::pb::v1::live_service_client::LiveServiceClient;
use mistap::api::pb::v1::watch_incidents_request::Start;
use mistap::api::pb::v1::watch_incidents_response::Update;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::callers::Caller;
use crate::history::{Happening, History, Kind, Seen, Stream};
use crate::sight;
use crate::unsealed::Unsealed;

/// One watcher.
pub struct Watcher {
    pub caller: Caller,
    /// What it asks for; empty for all.
    pub operators: Vec<String>,
    /// What it saw since its newest beginning.
    pub history: History,
    /// What it saw before, each to where a token was refused.
    pub earlier: Vec<History>,
    unsealed: Unsealed,
    /// Where it is, as its newest message or the server says.
    token: Vec<u8>,
    messages: Option<Streaming<pb::WatchIncidentsResponse>>,
    /// How often it was told that it fell behind.
    pub lags: u64,
}

impl Watcher {
    /// One that begins with the oldest entry of the journal.
    pub fn new(caller: &Caller, operators: &[&str], unsealed: &Unsealed) -> Self {
        Self {
            caller: caller.clone(),
            operators: operators.iter().map(|&code| code.to_owned()).collect(),
            history: History::default(),
            earlier: Vec::new(),
            unsealed: unsealed.clone(),
            token: Vec::new(),
            messages: None,
            lags: 0,
        }
    }

    /// Breaks off, if it watches.
    pub fn disconnect(&mut self) {
        self.messages = None;
    }

    /// Goes on where it was. A first beginning is refused, as the oldest incidents have ended, and
    /// says where to begin.
    pub async fn connect(&mut self, channel: Channel) -> Result<(), Status> {
        if self.token.is_empty() {
            let start = Start::FromTime(prost_types::Timestamp::default());
            let refused = self.open(channel.clone(), start).await;
            self.begin_anew(&refused.expect_err("too old"), "TOKEN_TOO_OLD");
        }
        let start = Start::ResumeToken(self.token.clone());
        self.messages = Some(self.open(channel, start).await?);
        self.history.streams.push(Stream {
            after: self.place(),
            seen: Vec::new(),
        });
        Ok(())
    }

    /// Offers a token that leads nowhere, is told so for this reason, and begins anew with the one
    /// that it is told instead.
    pub async fn offer(&mut self, channel: Channel, token: &[u8], reason: &str) {
        self.disconnect();
        let start = Start::ResumeToken(token.to_vec());
        let refused = self.open(channel.clone(), start).await;
        self.begin_anew(&refused.expect_err("it leads nowhere"), reason);
        self.connect(channel).await.expect("the server runs");
    }

    fn begin_anew(&mut self, refused: &Status, reason: &str) {
        self.token = oldest_token(refused, reason);
        let history = std::mem::take(&mut self.history);
        if !history.streams.is_empty() {
            self.earlier.push(history);
        }
    }

    async fn open(
        &self,
        channel: Channel,
        start: Start,
    ) -> Result<Streaming<pb::WatchIncidentsResponse>, Status> {
        let request = pb::WatchIncidentsRequest {
            operators: self.operators.clone(),
            lines: Vec::new(),
            start: Some(start),
        };
        let mut client = LiveServiceClient::new(self.caller.over(channel));
        Ok(client.watch_incidents(request).await?.into_inner())
    }

    pub fn is_connected(&self) -> bool {
        self.messages.is_some()
    }

    /// Everything through here was told.
    pub fn place(&self) -> u64 {
        match self.token.as_slice() {
            [] => 0,
            token => self.unsealed.place(token),
        }
    }

    /// Takes one message, if one comes in time. A stream that ended is given up.
    pub async fn read(&mut self, patience: Duration) -> bool {
        let Some(messages) = &mut self.messages else {
            return false;
        };
        match tokio::time::timeout(patience, messages.message()).await {
            Err(_) => false,
            Ok(Ok(Some(message))) => {
                self.take(message);
                true
            }
            Ok(Ok(None)) => {
                self.messages = None;
                false
            }
            Ok(Err(status)) => {
                self.ended(&status);
                false
            }
        }
    }

    fn take(&mut self, message: pb::WatchIncidentsResponse) {
        let position = self.unsealed.place(&message.resume_token);
        if self.caller.is_operator() {
            let own = &self.caller.operators;
            let verdict = sight::hold(&sight::OF_INCIDENTS, &message, own);
            assert_eq!(verdict, Ok(()), "{message:?}");
        } else {
            assert_eq!(message.position, position, "the token is of another place");
        }
        let events = match &message.update {
            Some(Update::Events(events)) => {
                let events = events.events.iter();
                events.map(|event| self.happening(event)).collect()
            }
            Some(Update::Heartbeat(_)) | None => Vec::new(),
        };
        self.token = message.resume_token;
        let stream = self.history.streams.last_mut().expect("it is connected");
        stream.seen.push(Seen { position, events });
    }

    fn happening(&self, event: &pb::IncidentEvent) -> Happening {
        let recorded = self.unsealed.recorded(&event.case_number);
        let kind = match event.change.as_ref().expect("always there") {
            Change::Recorded(_) => Kind::Recorded,
            Change::Withdrawn(_) => Kind::Withdrawn(recorded),
            Change::Answered(_) => Kind::Answered(recorded),
            Change::Amended(_) => Kind::Amended(recorded),
        };
        let told = match (kind, event.change.as_ref()) {
            (_, Some(Change::Withdrawn(it))) => it.recorded_position,
            (_, Some(Change::Answered(it))) => it.recorded_position,
            (_, Some(Change::Amended(it))) => it.recorded_position,
            _ => event.position,
        };
        let is_told = !self.caller.is_operator();
        assert_eq!(told, if is_told { recorded } else { 0 }, "{event:?}");
        let at = event.received_at.expect("always there");
        Happening {
            position: match kind {
                Kind::Recorded => recorded,
                _ => event.position,
            },
            stamp: at.seconds * 1_000 + i64::from(at.nanos) / 1_000_000,
            kind,
        }
    }

    fn ended(&mut self, status: &Status) {
        self.messages = None;
        check_end(status);
        if let Some(info) = status.get_details_error_info()
            && info.reason == "WATCHER_LAGGED"
        {
            let told = info.metadata.get("resume_token").expect("always told");
            self.lags += 1;
            // What it did not take is not lost: it goes on from the token that it is told, which
            // is of the same place as its own, and is held to the promises from there on.
            let token = bytes_of(told);
            assert_eq!(self.unsealed.place(&token), self.place());
            self.token = token;
        }
    }
}

/// A stream ends with its connection, or because its server stops or its client was too slow.
pub fn check_end(status: &Status) {
    let is_local = std::error::Error::source(status).is_some();
    let code = status.code();
    let is_told = matches!(code, Code::Unavailable | Code::ResourceExhausted);
    assert!(is_local || is_told, "{status:?}");
}

/// The token that a refusal tells, which must be for this reason.
pub fn oldest_token(refused: &Status, reason: &str) -> Vec<u8> {
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    let info = refused.get_details_error_info().expect("always there");
    assert_eq!(info.reason, reason);
    bytes_of(info.metadata.get("resume_token").expect("always told"))
}

/// The bytes of hexadecimal digits.
fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16);
    pairs.map(|pair| byte(pair).expect("digits")).collect()
}
