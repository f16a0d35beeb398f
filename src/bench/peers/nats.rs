//! NATS, its core: messages go to whoever is there, and nothing is kept.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use tokio::io::AsyncWriteExt;

use super::super::children::{self, Process};
use super::super::crowd::Subject;
use crate::cli::Failure;

/// A running server, and a connection to publish with.
pub struct Nats {
    port: u16,
    process: Process,
    publisher: tokio::net::TcpStream,
    message: Vec<u8>,
}

impl Nats {
    /// Starts one, whose messages are so large; `None` if it is not installed.
    pub async fn start(payload_bytes: usize) -> Result<Option<Self>, Failure> {
        let Some(program) = children::program("nats-server", &["/usr/sbin".into()]) else {
            return Ok(None);
        };
        let port = children::free_port()?;
        let mut command = Command::new(program);
        command
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::spawn(&mut command)?;
        children::wait_for_port(port, "NATS")?;
        let mut publisher = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        publisher.set_nodelay(true)?;
        publisher
            .write_all(b"CONNECT {\"verbose\":false}\r\n")
            .await?;
        let payload = "x".repeat(payload_bytes);
        let subject = super::super::crowd::NATS_SUBJECT;
        let message = format!("PUB {subject} {payload_bytes}\r\n{payload}\r\n").into_bytes();
        Ok(Some(Self {
            port,
            process,
            publisher,
            message,
        }))
    }

    /// What to watch.
    pub fn subject(&self) -> Subject {
        Subject::Nats(self.port)
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Publishes one message.
    pub async fn publish(&mut self) -> Result<(), Failure> {
        self.publisher.write_all(&self.message).await?;
        Ok(())
    }
}
