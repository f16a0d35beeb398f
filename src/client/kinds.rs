//! The streams that can be followed, and how each is resumed.

use tonic::{Status, Streaming};

use super::bearer::Connection;
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::live_service_client::LiveServiceClient;
use crate::api::pb::v1::reporting_service_client::ReportingServiceClient;
use crate::api::pb::v1::watch_incidents_request::Start;

/// A stream whose messages carry tokens, or tell a state.
pub trait Kind {
    /// Asks for it.
    type Request: Clone + Send + 'static;
    /// One message.
    type Message: Send + 'static;
    /// Whether its messages tell a state, so that it can begin anew where it cannot be resumed.
    /// A log cannot without a gap.
    const IS_STATE: bool;

    /// Opens a stream.
    fn open(
        connection: Connection,
        request: Self::Request,
    ) -> impl Future<Output = Result<Streaming<Self::Message>, Status>> + Send;

    /// Resumes after a message.
    fn token(message: &Self::Message) -> &[u8];

    /// Makes the request begin after the message with a token; an empty one begins anew.
    fn resume(request: &mut Self::Request, token: Vec<u8>);
}

/// `WatchIncidents`.
pub enum Incidents {}

/// `WatchRates`.
pub enum Rates {}

/// `FollowIncident`, which always begins with the state.
pub enum Report {}

impl Kind for Incidents {
    type Request = pb::WatchIncidentsRequest;
    type Message = pb::WatchIncidentsResponse;
    const IS_STATE: bool = false;

    async fn open(
        connection: Connection,
        request: Self::Request,
    ) -> Result<Streaming<Self::Message>, Status> {
        let mut client = LiveServiceClient::new(connection);
        Ok(client.watch_incidents(request).await?.into_inner())
    }

    fn token(message: &Self::Message) -> &[u8] {
        &message.resume_token
    }

    fn resume(request: &mut Self::Request, token: Vec<u8>) {
        request.start = Some(Start::ResumeToken(token));
    }
}

impl Kind for Rates {
    type Request = pb::WatchRatesRequest;
    type Message = pb::WatchRatesResponse;
    const IS_STATE: bool = true;

    async fn open(
        connection: Connection,
        request: Self::Request,
    ) -> Result<Streaming<Self::Message>, Status> {
        let mut client = LiveServiceClient::new(connection);
        Ok(client.watch_rates(request).await?.into_inner())
    }

    fn token(message: &Self::Message) -> &[u8] {
        &message.resume_token
    }

    fn resume(request: &mut Self::Request, token: Vec<u8>) {
        request.resume_token = token;
    }
}

impl Kind for Report {
    type Request = pb::FollowIncidentRequest;
    type Message = pb::FollowIncidentResponse;
    const IS_STATE: bool = true;

    async fn open(
        connection: Connection,
        request: Self::Request,
    ) -> Result<Streaming<Self::Message>, Status> {
        let mut client = ReportingServiceClient::new(connection);
        Ok(client.follow_incident(request).await?.into_inner())
    }

    fn token(_: &Self::Message) -> &[u8] {
        &[]
    }

    fn resume(_: &mut Self::Request, _: Vec<u8>) {}
}
