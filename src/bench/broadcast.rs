//! Servers that hand one message to all who watch, each time a line comes in: tonic as it
//! comes, and the h2 crate with one task for each connection. What a watcher costs by itself.

use std::convert::Infallible;
use std::io::{self, BufRead, Write};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use h2::SendStream;
use http::header::CONTENT_TYPE;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

use crate::api::frames::framed;
use crate::api::pb::v1 as pb;
use crate::cli::Failure;
use pb::live_service_server::SERVICE_NAME;

/// Messages that wait for a stream that takes none.
const BACKLOG: usize = 16;
/// Accepted streams of one connection.
const STREAMS_MAX: u32 = 16_384;

type Update = pb::WatchIncidentsResponse;

/// About what one report makes of a message of `WatchIncidents`.
pub fn update() -> Update {
    use pb::incident_event::Change;
    use pb::watch_incidents_response::Update as Out;
    let now = Some(prost_types::Timestamp {
        seconds: 1_795_442_400,
        nanos: 123_000_000,
    });
    let incident = pb::IncidentFacts {
        occurred_at: now,
        precision: pb::TimePrecision::Hour.into(),
        mode: pb::Mode::Tram.into(),
        tap_kind: pb::TapKind::CheckIn.into(),
        operator: "OP01".to_owned(),
        line: "OP01:123".to_owned(),
        line_resolution: pb::Resolution::Exact.into(),
        stop: "NL:S:00012345".to_owned(),
        stop_resolution: pb::Resolution::Exact.into(),
        signal: pb::Signal::RedBeep.into(),
        attempts: 2,
        card_kind: pb::CardKind::Student.into(),
        ..Default::default()
    };
    let event = pb::IncidentEvent {
        position: 1_000_000,
        case_number: "1234-5678-9012".to_owned(),
        received_at: now,
        incident: Some(incident),
        change: Some(Change::Recorded(pb::IncidentRecorded {})),
    };
    Update {
        resume_token: vec![7; 29],
        position: 1_000_000,
        update: Some(Out::Events(pb::IncidentEvents {
            events: vec![event],
        })),
    }
}

/// Sends an update for each line that comes in.
fn updates<T: Clone + Send + 'static>(update: T) -> broadcast::Sender<T> {
    let (sender, _) = broadcast::channel(BACKLOG);
    let updates = sender.clone();
    std::thread::spawn(move || {
        for _line in io::stdin().lock().lines().map_while(Result::ok) {
            // Nobody watches yet: no matter.
            let _ = updates.send(update.clone());
        }
    });
    sender
}

fn announce(address: std::net::SocketAddr) -> Result<(), Failure> {
    Ok(writeln!(io::stdout(), "listening on http://{address}")?)
}

// === tonic as it comes ===

/// As the generated server, without calls that nobody makes here.
#[derive(Clone)]
struct Broadcast(broadcast::Sender<Update>);

/// Serves until it is killed.
pub async fn serve_tonic() -> Result<(), Failure> {
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let incoming = incoming.with_nodelay(Some(true));
    announce(incoming.local_addr()?)?;
    let server = Server::builder().add_service(Broadcast(updates(update())));
    let served = server.serve_with_incoming(incoming).await;
    served.map_err(|error| Failure::unexpected("the server failed", &error))
}

impl NamedService for Broadcast {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for Broadcast {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Update, pb::WatchIncidentsRequest>::default());
            Ok(grpc.server_streaming(service, request).await)
        })
    }
}

impl ServerStreamingService<pb::WatchIncidentsRequest> for Broadcast {
    type Response = Update;
    type ResponseStream = BoxStream<'static, Result<Update, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _request: Request<pb::WatchIncidentsRequest>) -> Self::Future {
        let updates = BroadcastStream::new(self.0.subscribe());
        let lagged = |_| Status::resource_exhausted("too slow");
        let updates = updates.map(move |update| update.map_err(lagged));
        std::future::ready(Ok(Response::new(updates.boxed())))
    }
}

// === One task for each connection ===

/// Serves until it is killed.
pub async fn serve_connections() -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    announce(listener.local_addr()?)?;
    let updates = updates(framed(&update()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let updates = updates.subscribe();
        tokio::spawn(async move {
            // A connection that is lost is the client's affair.
            let _ = serve_connection(stream, updates).await;
        });
    }
}

async fn serve_connection(
    stream: TcpStream,
    mut updates: broadcast::Receiver<Bytes>,
) -> Result<(), h2::Error> {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(STREAMS_MAX)
        .handshake(stream)
        .await?;
    let mut watches: Vec<SendStream<Bytes>> = Vec::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some((_, mut respond)) = accepted.transpose()? else {
                    return Ok(());
                };
                let response = http::Response::builder().header(CONTENT_TYPE, "application/grpc");
                let response = response.body(()).expect("a header that is well formed");
                watches.push(respond.send_response(response, false)?);
            }
            Ok(update) = updates.recv() => {
                for watch in &mut watches {
                    watch.send_data(update.clone(), false)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn update_is_as_large_as_a_real_one() {
        let bytes = update().encoded_len();
        assert!((100..250).contains(&bytes), "{bytes}");
    }
}
