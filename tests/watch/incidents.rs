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

use crate::history::{Happening, History, Kind, Seen, Stream};

/// One watcher.
pub struct Watcher {
    /// Empty for all.
    pub operators: Vec<String>,
    pub history: History,
    /// Where it is, as its newest message or the server says.
    token: Vec<u8>,
    messages: Option<Streaming<pb::WatchIncidentsResponse>>,
    /// How often it was told that it fell behind.
    pub lags: u64,
}

impl Watcher {
    /// One that begins with the first entry of the journal.
    pub fn new(operators: &[&str]) -> Self {
        Self {
            operators: operators.iter().map(|&code| code.to_owned()).collect(),
            history: History::default(),
            token: Vec::new(),
            messages: None,
            lags: 0,
        }
    }

    /// Breaks off, if it watches.
    pub fn disconnect(&mut self) {
        self.messages = None;
    }

    /// Goes on where it was.
    pub async fn connect(&mut self, channel: Channel) -> Result<(), Status> {
        let start = match self.token.is_empty() {
            true => Start::FromTime(prost_types::Timestamp::default()),
            false => Start::ResumeToken(self.token.clone()),
        };
        let request = pb::WatchIncidentsRequest {
            operators: self.operators.clone(),
            lines: Vec::new(),
            start: Some(start),
        };
        let mut client = LiveServiceClient::new(channel);
        self.messages = Some(client.watch_incidents(request).await?.into_inner());
        self.history.streams.push(Stream {
            after: self.history.end(),
            seen: Vec::new(),
        });
        Ok(())
    }

    pub fn is_connected(&self) -> bool {
        self.messages.is_some()
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
        let events = match &message.update {
            Some(Update::Events(events)) => events.events.iter().map(happening).collect(),
            Some(Update::Heartbeat(_)) | None => Vec::new(),
        };
        self.token = message.resume_token;
        let stream = self.history.streams.last_mut().expect("it is connected");
        stream.seen.push(Seen {
            position: message.position,
            events,
        });
    }

    fn ended(&mut self, status: &Status) {
        self.messages = None;
        let is_local = std::error::Error::source(status).is_some();
        let code = status.code();
        let is_told = matches!(code, Code::Unavailable | Code::ResourceExhausted);
        assert!(is_local || is_told, "{status:?}");
        if let Some(info) = status.get_details_error_info()
            && info.reason == "WATCHER_LAGGED"
        {
            let told = info.metadata.get("resume_token").expect("always told");
            self.lags += 1;
            // What it did not take is not lost: it goes on from the token that it is told, which
            // is of the same place as its own, and is held to the promises from there on.
            self.token = bytes_of(told);
        }
    }
}

/// The bytes of hexadecimal digits.
fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16);
    pairs.map(|pair| byte(pair).expect("digits")).collect()
}

fn happening(event: &pb::IncidentEvent) -> Happening {
    let kind = match event.change.as_ref().expect("always there") {
        Change::Recorded(_) => Kind::Recorded,
        Change::Withdrawn(withdrawn) => Kind::Withdrawn(withdrawn.recorded_position),
        Change::Answered(answered) => Kind::Answered(answered.recorded_position),
        Change::Amended(amended) => Kind::Amended(amended.recorded_position),
    };
    Happening {
        position: event.position,
        kind,
    }
}
