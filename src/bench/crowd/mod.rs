//! Many watchers in this process that take as little of the cores as they can: a task for each
//! connection that counts what arrives in the bytes of the protocol, and decodes nothing.
//!
//! A client that costs as much as the server would measure itself.

mod http2;
mod nats;
pub mod notify;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::cli::{Failure, Kind};

pub use nats::SUBJECT as NATS_SUBJECT;

/// Name of these watchers, for reports.
pub const NAME: &str = "this process, frames counted and not decoded, one task a connection";
/// Room for what is read at once.
const READ_BYTES: usize = 64 * 1024;
/// Connections that are made at once.
const DIALS_MAX: usize = 128;
/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// Without a message for so long, nothing more is on its way.
const QUIET: Duration = Duration::from_millis(300);
/// A slow watcher reads a message this often.
const SLOW_READ: Duration = Duration::from_secs(1);

/// What is watched.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A call of gRPC whose answer is a stream.
    Grpc {
        /// As `http://127.0.0.1:7070`.
        address: String,
        /// The method.
        path: &'static str,
        /// The request, encoded.
        request: Bytes,
    },
    /// A subject of NATS at a port of this machine.
    Nats(u16),
    /// A channel of PostgreSQL, at a socket.
    Notify(PathBuf),
}

/// How many watchers, and how they read.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// In all.
    pub watchers: usize,
    /// That they are spread over.
    pub connections: usize,
    /// `None`: they read at once.
    pub slow: Option<Slow>,
}

/// How slow watchers read, of which they tell the server.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// How many bytes each lets it send before it reads.
    pub window: u32,
    /// What it reads.
    pub reads: Reads,
}

/// What slow watchers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// One message a second.
    OneASecond,
    /// No message, while the connection is well.
    Nothing,
    /// Once all watches are open, not even their socket.
    NotTheSocket,
}

/// Open watches. Dropped, they end.
pub struct Crowd {
    shared: Arc<Shared>,
    watchers: usize,
    /// Connections, which end only by a failure.
    tasks: JoinSet<Failure>,
}

/// What the connections of a crowd share.
#[derive(Default)]
struct Shared {
    /// Watches that are open.
    opened: AtomicUsize,
    /// Messages so far.
    messages: AtomicU64,
    /// Bytes of the largest.
    largest: AtomicU32,
    /// Watches whose window was full when something was read last.
    full: AtomicUsize,
    /// The update that is waited for, from 1 up.
    round: AtomicU64,
    /// Watchers that have not got it.
    left: AtomicUsize,
    /// Told when all watches are open, and when all have got an update.
    all: Notify,
    /// When each watcher got it.
    arrived: Mutex<Vec<Instant>>,
}

/// Finds messages in what a connection reads.
trait Parser: Send + 'static {
    /// What is written first.
    fn hello(&mut self) -> Bytes;

    /// Takes whole parts off the front of `input`, tells what it finds, and adds to `output`
    /// what is to be answered.
    fn parse(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
        found: &mut Found,
    ) -> Result<(), &'static str>;

    /// Reads a message of each watch; `output` gets what tells the server.
    fn read_one(&mut self, _output: &mut BytesMut) {}

    /// Watches of slow readers whose window is full.
    fn full(&self) -> usize {
        0
    }
}

/// What was found in a connection.
struct Found {
    /// Watches that opened.
    opened: usize,
    /// Messages.
    messages: u64,
    /// Bytes of the largest.
    largest: u32,
    /// The update that is waited for.
    round: u64,
    /// For each watch, the last update of which it got a message.
    rounds_seen: Vec<u64>,
    /// Watches that have got it since the last look.
    arrived: usize,
}

// === impl Crowd ===

impl Crowd {
    /// Opens watches; all are when this returns.
    pub async fn open(subject: &Subject, shape: Shape) -> Result<Self, Failure> {
        let mut crowd = Self {
            shared: Arc::default(),
            watchers: shape.watchers,
            tasks: JoinSet::new(),
        };
        let connections = shape.connections.min(shape.watchers);
        for index in 0..connections {
            let begin = shape.watchers * index / connections;
            let end = shape.watchers * (index + 1) / connections;
            crowd.connect(subject, end - begin, shape.slow).await?;
            // Servers have room for some thousand connections that they have not accepted.
            let is_pause = index % DIALS_MAX == DIALS_MAX - 1;
            if is_pause || index + 1 == connections {
                crowd.wait_until_open(end).await?;
            }
        }
        Ok(crowd)
    }

    async fn connect(
        &mut self,
        subject: &Subject,
        watches: usize,
        slow: Option<Slow>,
    ) -> Result<(), Failure> {
        let reads = slow.map(|slow| slow.reads);
        let shared = Arc::clone(&self.shared);
        match subject {
            Subject::Grpc {
                address,
                path,
                request,
            } => {
                let host = address.trim_start_matches("http://");
                let parser =
                    http2::Http2::new(host, path, request, watches, slow.map(|slow| slow.window));
                let stream = dial(host).await?;
                self.tasks
                    .spawn(run(stream, parser, watches, reads, shared));
            }
            Subject::Nats(port) => {
                let stream = dial(&format!("127.0.0.1:{port}")).await?;
                let parser = nats::Nats::new(watches);
                self.tasks.spawn(run(stream, parser, watches, None, shared));
            }
            Subject::Notify(path) => {
                let stream = UnixStream::connect(path).await?;
                self.tasks.spawn(run(
                    stream,
                    notify::Notifications::default(),
                    1,
                    None,
                    shared,
                ));
            }
        }
        Ok(())
    }

    /// Begins to wait for an update, which must not have been sent yet.
    pub fn begin(&self) {
        self.shared.arrived().clear();
        self.shared.left.store(self.watchers, Ordering::Release);
        self.shared.round.fetch_add(1, Ordering::AcqRel);
    }

    /// Waits until every watcher has got a message since `begin`. Tells when each got it, in
    /// order.
    pub async fn all(&mut self) -> Result<Vec<Instant>, Failure> {
        self.wait(|shared| shared.left.load(Ordering::Acquire) == 0)
            .await?;
        let mut arrived = std::mem::take(&mut *self.shared.arrived());
        arrived.sort_unstable();
        Ok(arrived)
    }

    /// Waits until nothing more is on its way.
    pub async fn settle(&mut self) -> Result<(), Failure> {
        loop {
            let before = self.messages();
            tokio::time::sleep(QUIET).await;
            self.check()?;
            if before == self.messages() {
                return Ok(());
            }
        }
    }

    /// Messages so far.
    pub fn messages(&self) -> u64 {
        self.shared.messages.load(Ordering::Relaxed)
    }

    /// Bytes of the largest message so far; 0 where the protocol is not looked at so closely.
    pub fn largest_bytes(&self) -> u32 {
        self.shared.largest.load(Ordering::Relaxed)
    }

    /// Watches of slow readers for whom the server may send nothing more before they read.
    pub fn full(&self) -> usize {
        self.shared.full.load(Ordering::Relaxed)
    }

    async fn wait_until_open(&mut self, watches: usize) -> Result<(), Failure> {
        self.wait(|shared| watches <= shared.opened.load(Ordering::Acquire))
            .await
    }

    async fn wait(&mut self, is_done: impl Fn(&Shared) -> bool) -> Result<(), Failure> {
        let waiting = async {
            loop {
                let told = self.shared.all.notified();
                if is_done(&self.shared) {
                    return Ok(());
                }
                tokio::select! {
                    () = told => {}
                    Some(ended) = self.tasks.join_next() => return Err(failure(ended)),
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| Err(Failure::new(Kind::Unexpected, "watchers wait in vain")))
    }

    fn check(&mut self) -> Result<(), Failure> {
        self.tasks
            .try_join_next()
            .map_or(Ok(()), |ended| Err(failure(ended)))
    }
}

impl Shared {
    fn arrived(&self) -> std::sync::MutexGuard<'_, Vec<Instant>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, found: &mut Found, now: Instant) {
        self.messages.fetch_add(found.messages, Ordering::Relaxed);
        found.messages = 0;
        self.largest.fetch_max(found.largest, Ordering::Relaxed);
        if 0 < found.opened {
            self.opened.fetch_add(found.opened, Ordering::AcqRel);
            found.opened = 0;
            self.all.notify_one();
        }
        if 0 < found.arrived {
            self.arrived().resize_with_more(found.arrived, now);
            let left = self.left.fetch_sub(found.arrived, Ordering::AcqRel);
            if left == found.arrived {
                self.all.notify_one();
            }
            found.arrived = 0;
        }
    }
}

/// Adds the same element several times.
trait ResizeWithMore {
    fn resize_with_more(&mut self, count: usize, now: Instant);
}

impl ResizeWithMore for Vec<Instant> {
    fn resize_with_more(&mut self, count: usize, now: Instant) {
        self.resize(self.len() + count, now);
    }
}

impl Found {
    fn new(watches: usize) -> Self {
        Self {
            opened: 0,
            messages: 0,
            largest: 0,
            round: 0,
            rounds_seen: vec![0; watches],
            arrived: 0,
        }
    }

    /// Messages of a watch, which are counted from 0 up.
    fn messages_of(&mut self, watch: usize, messages: u64) -> Result<(), &'static str> {
        self.messages += messages;
        let seen = self.rounds_seen.get_mut(watch).ok_or("of no watch")?;
        if *seen < self.round && 0 < messages {
            *seen = self.round;
            self.arrived += 1;
        }
        Ok(())
    }
}

fn failure(ended: Result<Failure, tokio::task::JoinError>) -> Failure {
    ended.unwrap_or_else(|error| Failure::unexpected("a part of the client ended", &error))
}

async fn dial(host: &str) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads until something fails.
async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    mut parser: impl Parser,
    watches: usize,
    reads: Option<Reads>,
    shared: Arc<Shared>,
) -> Failure {
    let is_slow = reads == Some(Reads::OneASecond);
    let mut opened = 0;
    let mut found = Found::new(watches);
    let mut output = BytesMut::from(&parser.hello()[..]);
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let mut reading = tokio::time::interval(SLOW_READ);
    let mut full = 0;
    loop {
        if !output.is_empty()
            && let Err(error) = stream.write_all_buf(&mut output).await
        {
            return Failure::unexpected("a watcher cannot write", &error);
        }
        input.reserve(READ_BYTES / 2);
        let read = tokio::select! {
            read = stream.read_buf(&mut input) => read,
            _ = reading.tick(), if is_slow => {
                parser.read_one(&mut output);
                continue;
            }
        };
        match read {
            Ok(0) => return Failure::new(Kind::Unexpected, "a watch was closed"),
            Ok(_) => {}
            Err(error) => return Failure::unexpected("a watcher cannot read", &error),
        }
        found.round = shared.round.load(Ordering::Acquire);
        if let Err(why) = parser.parse(&mut input, &mut output, &mut found) {
            let text = format!("a watch was ended: {why}");
            return Failure::new(Kind::Unexpected, text);
        }
        opened += found.opened;
        shared.add(&mut found, Instant::now());
        if reads == Some(Reads::NotTheSocket) && opened == watches {
            std::future::pending::<()>().await;
        }
        shared.full.fetch_sub(full, Ordering::Relaxed);
        full = parser.full();
        shared.full.fetch_add(full, Ordering::Relaxed);
    }
}
