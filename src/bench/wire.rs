//! A connection for calls of one answer each, many at once, that takes as little of the cores
//! as it can: HTTP/2 as it is, one task for all calls, their bytes made beforehand.
//!
//! The peers' own load clients are as small; a client that costs as much as the server would
//! measure itself.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::client::{ResponseFuture, SendRequest};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, Method, Request, Version};
use prost::Message;
use tokio::net::TcpStream;

use crate::app::cork::Corked;
use crate::cli::{Failure, Kind};

/// Bytes of answers that the server may send ahead.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
const STATUS: &str = "grpc-status";
const WELL: &str = "0";

/// A connection. Ends with the last handle.
#[derive(Clone)]
pub struct Wire {
    requests: SendRequest<Bytes>,
    address: String,
}

impl Wire {
    /// To an address such as `http://127.0.0.1:7070`.
    pub async fn connect(address: &str) -> Result<Self, Failure> {
        let host = address.trim_start_matches("http://");
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(Corked::new(stream))
            .await
            .map_err(|error| lost(&error))?;
        tokio::spawn(async move {
            // Those who wait for answers get the error, too.
            let _ = connection.await;
        });
        Ok(Self {
            requests,
            address: address.to_owned(),
        })
    }

    /// Calls a method with one message after the other, `in_flight` at once, for as long as
    /// there are any. Tells each answer.
    pub async fn call<R: Message + Default>(
        &self,
        path: &str,
        in_flight: usize,
        mut messages: impl Iterator<Item = Bytes>,
        mut told: impl FnMut(R),
    ) -> Result<(), Failure> {
        let head = self.head(path)?;
        let mut requests = self.requests.clone();
        let mut answers = FuturesUnordered::new();
        for message in messages.by_ref().take(in_flight) {
            answers.push(answer(send(&mut requests, &head, &message)?));
        }
        while let Some(answered) = answers.next().await {
            told(answered?);
            if let Some(message) = messages.next() {
                requests = requests.ready().await.map_err(|error| lost(&error))?;
                answers.push(answer(send(&mut requests, &head, &message)?));
            }
        }
        Ok(())
    }

    fn head(&self, path: &str) -> Result<Request<()>, Failure> {
        let request = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!("{}{path}", self.address))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers");
        let request = request.body(());
        request.map_err(|error| Failure::unexpected("a server's address is none", &error))
    }
}

fn send(
    requests: &mut SendRequest<Bytes>,
    head: &Request<()>,
    message: &[u8],
) -> Result<ResponseFuture, Failure> {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    let length = u32::try_from(message.len()).expect("a message of some hundred bytes");
    framed.put_u32(length);
    framed.put_slice(message);
    let sent = requests.send_request(head.clone(), false);
    let (response, mut body) = sent.map_err(|error| lost(&error))?;
    let sent = body.send_data(framed.freeze(), true);
    sent.map_err(|error| lost(&error))?;
    Ok(response)
}

/// Reads the one message of an answer.
async fn answer<R: Message + Default>(response: ResponseFuture) -> Result<R, Failure> {
    let response = response.await.map_err(|error| lost(&error))?;
    check_status(response.headers(), false)?;
    let mut body = response.into_body();
    let mut framed = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| lost(&error))?;
        let released = body.flow_control().release_capacity(data.len());
        released.map_err(|error| lost(&error))?;
        framed.extend_from_slice(&data);
    }
    let trailers = body.trailers().await.map_err(|error| lost(&error))?;
    check_status(&trailers.unwrap_or_default(), true)?;
    let message = framed.get(PREFIX_BYTES..).unwrap_or_default();
    R::decode(message).map_err(|error| Failure::unexpected("an answer cannot be read", &error))
}

/// A refusal has its status in front, anything else after the message.
fn check_status(headers: &HeaderMap, must_be_there: bool) -> Result<(), Failure> {
    match headers.get(STATUS) {
        Some(status) if status == WELL => Ok(()),
        None if !must_be_there => Ok(()),
        _ => Err(Failure::new(Kind::Unexpected, "a report was refused")),
    }
}

fn lost(error: &h2::Error) -> Failure {
    Failure::unexpected("a connection was lost", error)
}
