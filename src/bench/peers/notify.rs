//! A connection to PostgreSQL that inserts reports and notifies of each, in one transaction.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::broadcast;
use super::super::crowd::notify::{self, CHANNEL};
use crate::cli::{Failure, Kind};
use prost::Message;

const ERROR: u8 = b'E';
const READY: u8 = b'Z';
/// A report without a roll-up: the least that makes it durable.
const INSERT: &str = "INSERT INTO bulk VALUES (gen_random_uuid(), \
    '\\x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', now(), 1, 2, 1, \
    'OP01', 'OP01:123', 'NL:S:00012345', '1234', 1, 3, 2, 1, 1, '1:2', 3, \
    'simulated-installation-000001', 1, '1,2', 2, '5', 1)";

/// A connection.
pub struct Notifier {
    stream: UnixStream,
    input: BytesMut,
    query: Bytes,
}

impl Notifier {
    /// To a server's socket.
    pub async fn connect(socket: &Path) -> Result<Self, Failure> {
        let payload = "x".repeat(broadcast::update().encoded_len());
        let mut query = BytesMut::new();
        notify::put_query(
            &mut query,
            &format!("{INSERT}; NOTIFY {CHANNEL}, '{payload}'"),
        );
        let mut notifier = Self {
            stream: UnixStream::connect(socket).await?,
            input: BytesMut::new(),
            query: query.freeze(),
        };
        notifier.stream.write_all(&notify::startup()).await?;
        notifier.wait_until_ready().await?;
        Ok(notifier)
    }

    /// Inserts a report. It is durable, and told, when this returns.
    pub async fn insert(&mut self) -> Result<(), Failure> {
        self.stream.write_all(&self.query).await?;
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&mut self) -> Result<(), Failure> {
        loop {
            while let Some(kind) = notify::next_kind(&mut self.input) {
                match kind {
                    READY => return Ok(()),
                    ERROR => {
                        let text = "PostgreSQL refused an insert";
                        return Err(Failure::new(Kind::Unexpected, text));
                    }
                    _ => {}
                }
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(Failure::new(
                    Kind::Unexpected,
                    "PostgreSQL closed a connection",
                ));
            }
        }
    }
}
