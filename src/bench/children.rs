//! Processes that a bench starts, and ends again whatever happens; and the throw-away
//! folders they work in.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::crowd::Subject;
use super::wire::Wire;
use crate::app::cork::Corked;
use crate::cli::{Failure, Kind};

/// How long a process may take until it says where it listens.
const ANNOUNCE_WAIT: Duration = Duration::from_secs(120);
const ANNOUNCEMENT: &str = "listening on ";
/// Lines of a program's complaint that are passed on.
const ERROR_LINES_MAX: usize = 5;
const LOG_FILE: &str = "server.log";

/// A process that is killed and waited for when it is dropped.
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn spawn(command: &mut Command) -> Result<Self, Failure> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn();
        child
            .map(Self)
            .map_err(|error| Failure::unexpected(format!("{name} cannot be started"), &error))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// As by `kill -9`; waits until it is gone.
    pub fn kill(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits until it ends by itself, up to so long.
    pub fn wait(&mut self, longest: Duration) -> bool {
        const LOOKS: u32 = 200;
        (0..LOOKS).any(|_| {
            let has_ended = matches!(self.0.try_wait(), Ok(Some(_)));
            if !has_ended {
                std::thread::sleep(longest / LOOKS);
            }
            has_ended
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something answers at a port of this machine.
pub fn wait_for_port(port: u16, name: &str) -> Result<(), Failure> {
    const LOOKS: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(50);
    let is_ready = (0..LOOKS).any(|_| {
        std::thread::sleep(PAUSE);
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    });
    if is_ready {
        return Ok(());
    }
    let message = format!("{name} does not answer");
    Err(Failure::new(Kind::Unexpected, message))
}

/// A server of this program, as a process of its own.
pub struct Server {
    /// The process.
    pub process: Process,
    address: String,
}

impl Server {
    /// `mistap serve` on a data folder, which may have been kept for long. Returns when it
    /// listens.
    pub fn serve(data: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(data)?;
        let data_text = data.to_string_lossy();
        let listen = ["--listen", "127.0.0.1:0", "--trust-clock"];
        let args = [&["serve", "--data", &*data_text][..], &listen].concat();
        Self::spawn(&args, Some(&data.with_extension(LOG_FILE)))
    }

    /// The no-op server.
    pub fn echo() -> Result<Self, Failure> {
        Self::spawn(&["bench", "echo-server"], None)
    }

    /// A server that sends an update to its watchers for each line.
    pub fn broadcast(what: &str) -> Result<(Self, ChildStdin), Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["bench", what])
            .stdin(Stdio::piped())
            .stderr(Stdio::null());
        let mut server = Self::start(command)?;
        let lines = server.process.0.stdin.take();
        Ok((server, lines.expect("it is piped")))
    }

    fn spawn(args: &[&str], log: Option<&Path>) -> Result<Self, Failure> {
        let log = match log {
            Some(path) => Stdio::from(File::create(path)?),
            None => Stdio::null(),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).stdin(Stdio::null()).stderr(log);
        Self::start(command)
    }

    fn start(mut command: Command) -> Result<Self, Failure> {
        command.stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command)?;
        let address = announced(&mut process).ok_or_else(|| {
            Failure::new(Kind::Unexpected, "a server did not say where it listens")
        })?;
        Ok(Self { process, address })
    }

    /// So many connections.
    pub async fn connect(&self, connections: usize) -> Result<Vec<Channel>, Failure> {
        let mut channels = Vec::with_capacity(connections);
        for _ in 0..connections {
            let endpoint = Endpoint::from_shared(self.address.clone())
                .map_err(|error| Failure::unexpected("a server's address is none", &error))?;
            let channel = endpoint.connect_with_connector(service_fn(dial)).await;
            channels.push(
                channel
                    .map_err(|error| Failure::unexpected("a server cannot be reached", &error))?,
            );
        }
        Ok(channels)
    }

    /// So many connections for single calls.
    pub async fn wires(&self, connections: usize) -> Result<Vec<Wire>, Failure> {
        let mut wires = Vec::with_capacity(connections);
        for _ in 0..connections {
            wires.push(self.wire().await?);
        }
        Ok(wires)
    }

    /// A connection for single calls.
    pub async fn wire(&self) -> Result<Wire, Failure> {
        Wire::connect(&self.address).await
    }

    /// A call whose answer is a stream, to be watched.
    pub fn subject(&self, path: &'static str, request: Vec<u8>) -> Subject {
        Subject::Grpc {
            address: self.address.clone(),
            path,
            request: request.into(),
        }
    }

    /// Processor time so far, in seconds; `None` where the system does not tell.
    pub fn cpu_seconds(&self) -> Option<f64> {
        cpu_seconds(&self.process.id().to_string())
    }

    /// Resident memory, in bytes; `None` where the system does not tell.
    pub fn resident_bytes(&self) -> Option<u64> {
        resident_bytes(self.process.id())
    }
}

/// Resident memory of a process, in bytes; `None` where the system does not tell.
pub fn resident_bytes(process: u32) -> Option<u64> {
    memory_bytes(process, "VmRSS:")
}

/// The most that it has been, in bytes; `None` where the system does not tell.
pub fn resident_bytes_most(process: u32) -> Option<u64> {
    memory_bytes(process, "VmHWM:")
}

/// Takes what it is now for the most that it has been; without effect where the system does not
/// do that.
pub fn forget_most(process: u32) {
    const PEAK: &str = "5";
    let _ = fs::write(format!("/proc/{process}/clear_refs"), PEAK);
}

fn memory_bytes(process: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// A connection that sends the requests of several tasks at once, as the server does with its
/// answers: the client takes less of the cores that it shares with the server.
async fn dial(address: Uri) -> io::Result<TokioIo<Corked<TcpStream>>> {
    let authority = address.authority().map_or("", Authority::as_str);
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(Corked::new(stream)))
}

/// The address that a process prints; `None` if it ends or takes too long.
fn announced(process: &mut Process) -> Option<String> {
    let stdout = process.0.stdout.take()?;
    let (sender, lines) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix(ANNOUNCEMENT) {
                // Nobody waits any more: no matter.
                let _ = sender.send(address.to_owned());
            }
        }
    });
    lines.recv_timeout(ANNOUNCE_WAIT).ok()
}

/// Processor time of a process, by its number or as `self`.
pub fn cpu_seconds(process: &str) -> Option<f64> {
    // Not those of the machine: the system tells all processes 100 ticks a second.
    const TICKS_PER_SECOND: f64 = 100.0;
    let told = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name in brackets; user and system time are fields 14 and 15.
    let (_, fields) = told.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse);
    let ticks: Vec<f64> = ticks.collect::<Result<_, _>>().ok()?;
    Some(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// A folder that is removed when it is dropped.
pub fn throw_away(prefix: &str) -> Result<TempDir, Failure> {
    let made = tempfile::Builder::new().prefix(prefix).tempdir();
    made.map_err(|error| Failure::unexpected("no throw-away folder could be made", &error))
}

/// A port of this machine that nobody listens at now.
pub fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// Where a program is: on the path, or else in one of these folders.
pub fn program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut places = on_path
        .iter()
        .chain(folders)
        .map(|folder| folder.join(name));
    places.find(|place| place.is_file())
}

/// What a command prints, if it succeeds.
pub fn output(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::unexpected(format!("{name} cannot be started"), &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let failure = Failure::new(Kind::Unexpected, format!("{name} failed"));
    let lines = told.lines().take(ERROR_LINES_MAX);
    Err(lines.fold(failure, Failure::with_detail))
}
