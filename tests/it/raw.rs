//! Calls of methods by name, with bytes for messages.

use bytes::{Buf, BufMut, Bytes};
use futures_util::stream;
use mistap::client::Connection;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status, Streaming};

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}

async fn stream_of(
    connection: Connection,
    path: String,
    message: Vec<u8>,
) -> Result<Streaming<Bytes>, Status> {
    let mut client = tonic::client::Grpc::new(connection);
    let ready = client.ready().await;
    ready.map_err(|_| Status::unavailable("not connected"))?;
    let path = path.parse().expect("a path");
    let request = Request::new(stream::iter([message]));
    Ok(client.streaming(request, path, Raw).await?.into_inner())
}

/// Calls a method with an empty message, and tells whether an answer begins.
pub async fn call(connection: Connection, package: &str, method: &str) -> Result<(), Status> {
    let path = format!("/{package}.{method}");
    stream_of(connection, path, Vec::new()).await.map(drop)
}

/// A call under way, of which answers are taken one by one.
pub struct Call(Streaming<Bytes>);

impl Call {
    /// Calls a method, named as in `LiveService/WatchRates`.
    pub async fn open(
        connection: Connection,
        method: &str,
        request: Vec<u8>,
    ) -> Result<Self, Status> {
        let path = format!("/mistap.v1.{method}");
        stream_of(connection, path, request).await.map(Self)
    }

    /// The next answer; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        self.0.message().await
    }
}
