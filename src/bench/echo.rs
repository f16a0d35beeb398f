//! A gRPC server that does nothing: it takes a report and answers at once, with the same
//! words each time. What tonic costs by itself.

use std::io::Write;
use std::net::Ipv4Addr;

use tokio_stream::Empty;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::api::pb::v1 as pb;
use crate::cli::Failure;
use pb::reporting_service_server::{ReportingService, ReportingServiceServer};

struct Echo;

/// Serves until it is killed.
pub async fn serve() -> Result<(), Failure> {
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let incoming = incoming.with_nodelay(Some(true));
    writeln!(
        std::io::stdout(),
        "listening on http://{}",
        incoming.local_addr()?
    )?;
    let server = Server::builder().add_service(ReportingServiceServer::new(Echo));
    let served = server.serve_with_incoming(incoming).await;
    served.map_err(|error| Failure::unexpected("the server failed", &error))
}

fn accepted() -> pb::Accepted {
    let matched = |id: &str| pb::Match {
        resolution: pb::Resolution::Exact.into(),
        id: id.to_owned(),
        ..Default::default()
    };
    pb::Accepted {
        incident_id: "00000000-0000-7000-8000-000000000000".to_owned(),
        position: 1,
        received_at: Some(prost_types::Timestamp::default()),
        line_match: Some(matched("OP00:1")),
        stop_match: Some(matched("NL:S:00000001")),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl ReportingService for Echo {
    type StreamIncidentsStream = Empty<Result<pb::StreamIncidentsResponse, Status>>;
    type FollowIncidentStream = Empty<Result<pb::FollowIncidentResponse, Status>>;

    async fn report_incident(
        &self,
        request: Request<pb::ReportIncidentRequest>,
    ) -> Result<Response<pb::ReportIncidentResponse>, Status> {
        drop(request);
        Ok(Response::new(pb::ReportIncidentResponse {
            accepted: Some(accepted()),
            ..pb::ReportIncidentResponse::default()
        }))
    }

    async fn report_incidents(
        &self,
        _request: Request<pb::ReportIncidentsRequest>,
    ) -> Result<Response<pb::ReportIncidentsResponse>, Status> {
        Err(Status::unimplemented("only a measure"))
    }

    async fn stream_incidents(
        &self,
        _request: Request<Streaming<pb::StreamIncidentsRequest>>,
    ) -> Result<Response<Self::StreamIncidentsStream>, Status> {
        Err(Status::unimplemented("only a measure"))
    }

    async fn get_incident(
        &self,
        _request: Request<pb::GetIncidentRequest>,
    ) -> Result<Response<pb::GetIncidentResponse>, Status> {
        Err(Status::unimplemented("only a measure"))
    }

    async fn amend_incident(
        &self,
        _request: Request<pb::AmendIncidentRequest>,
    ) -> Result<Response<pb::AmendIncidentResponse>, Status> {
        Err(Status::unimplemented("only a measure"))
    }

    async fn withdraw_incident(
        &self,
        _request: Request<pb::WithdrawIncidentRequest>,
    ) -> Result<Response<pb::WithdrawIncidentResponse>, Status> {
        Err(Status::unimplemented("only a measure"))
    }

    async fn erase_incident(
        &self,
        _request: Request<pb::EraseIncidentRequest>,
    ) -> Result<Response<pb::EraseIncidentResponse>, Status> {
        Err(Status::unimplemented("only a measure"))
    }

    async fn follow_incident(
        &self,
        _request: Request<pb::FollowIncidentRequest>,
    ) -> Result<Response<Self::FollowIncidentStream>, Status> {
        Err(Status::unimplemented("only a measure"))
    }

    async fn get_receipt(
        &self,
        _request: Request<pb::GetReceiptRequest>,
    ) -> Result<Response<pb::GetReceiptResponse>, Status> {
        Err(Status::unimplemented("only a measure"))
    }

    async fn list_choices(
        &self,
        _request: Request<pb::ListChoicesRequest>,
    ) -> Result<Response<pb::ListChoicesResponse>, Status> {
        Err(Status::unimplemented("only a measure"))
    }
}
