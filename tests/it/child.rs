//! The real program as a process of its own, which can be killed.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

/// How long anything may take that should come at once, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether something has come.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const ANNOUNCEMENT: &str = "listening on http://";

/// A running server. Dropped, it is killed.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
    log: JoinHandle<String>,
}

/// How a process ended.
#[derive(Debug)]
pub struct End {
    /// With what code, or by which signal.
    pub status: ExitStatus,
    /// All that it wrote to standard error.
    pub log: String,
}

/// The program, with nothing said yet, and nothing to read.
///
/// What whoever runs the tests has set for the program itself is left out: a token, a folder or
/// a server of theirs would change what is tested.
pub fn mistap() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mistap"));
    for (name, _) in std::env::vars_os() {
        if is_for_the_program(&name) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn is_for_the_program(variable: &OsStr) -> bool {
    variable == "COLUMNS" || variable.to_string_lossy().starts_with("MISTAP_")
}

/// `mistap serve` over a data folder, at any free port.
pub fn serve(folder: &Path) -> Command {
    let mut command = mistap();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder)
        .env("MISTAP_LOG", "info")
        .env("MISTAP_LOG_FORMAT", "text");
    command
}

impl Server {
    /// Starts the command and waits until it listens; else tells how it ended.
    pub async fn start(mut command: Command) -> Result<Self, End> {
        let mut process = spawn(&mut command);
        let log = read_all(process.stderr.take().expect("it is piped"));
        let output = process.stdout.take().expect("it is piped");
        let mut output = BufReader::new(output).lines();
        let first = tokio::time::timeout(PATIENCE, output.next_line()).await;
        let first = first.expect("a word in time").expect("it is text");
        let Some(address) = first.as_deref().and_then(announced) else {
            return Err(end(process, log).await);
        };
        Ok(Self {
            address,
            process,
            output,
            log,
        })
    }

    /// Starts over a data folder.
    pub async fn over(folder: &Path) -> Self {
        let started = Self::start(serve(folder)).await;
        started.unwrap_or_else(|end| panic!("the server did not start: {end:?}"))
    }

    /// A new connection.
    pub async fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address));
        let endpoint = endpoint.expect("a valid address");
        endpoint.connect().await.expect("the server listens")
    }

    /// Kills it with -9, and waits until it is gone.
    pub async fn kill(mut self) -> End {
        self.process.start_kill().expect("it can be killed");
        end(self.process, self.log).await
    }

    /// Sends SIGTERM, and waits until it has ended.
    pub async fn terminate(mut self) -> End {
        signal(self.process.id(), "TERM").await;
        // Read to its end, so that the process never waits for a reader.
        while let Ok(Some(_)) = self.output.next_line().await {}
        end(self.process, self.log).await
    }
}

/// Looks again and again until there is what is awaited, which must come in time.
pub async fn until<T>(awaited: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            match look().await {
                Some(found) => return found,
                // Not for time to pass, but to leave it to those who are waited for.
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    found.unwrap_or_else(|_| panic!("it must come in time: {awaited}"))
}

/// The same of what is or is not so.
pub async fn until_so(awaited: &str, mut is_so: impl AsyncFnMut() -> bool) {
    until(awaited, async || is_so().await.then_some(())).await;
}

/// Says that a test is not done here, even where it passes: what is printed is shown only of a test
/// that fails.
pub fn skip(what: &str) {
    // Nobody may be reading.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("skipped, {what}\n"));
}

/// Sends bytes over a plain connection, and reads the answer to its end.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let exchanging = async {
        let mut connection = TcpStream::connect(address).await.expect("it listens");
        connection.write_all(request).await.expect("sent");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.expect("answered");
        answer
    };
    let exchanged = tokio::time::timeout(PATIENCE, exchanging).await;
    exchanged.expect("an answer in time")
}

/// Sends a signal to a process that runs.
pub async fn signal(process: Option<u32>, name: &str) {
    let kill = format!("kill -{name} {}", process.expect("it runs"));
    let sent = Command::new("sh").args(["-c", &kill]).status();
    assert!(sent.await.expect("a shell").success());
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub errors: String,
}

impl Said {
    pub fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().expect("it was not killed"),
            out: String::from_utf8(output.stdout).expect("text"),
            errors: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

/// Runs a command to its end.
pub async fn said(command: &mut Command) -> Said {
    command.kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("it ends in time").expect("it runs");
    Said::of(output)
}

/// Starts the command, and kills it when it has logged some lines, or at once for none; when
/// it listens at the latest.
pub async fn kill_while_starting(mut command: Command, lines: usize) {
    let mut process = spawn(&mut command);
    let log = process.stderr.take().expect("it is piped");
    let mut log = BufReader::new(log).lines();
    let output = process.stdout.take().expect("it is piped");
    let mut output = BufReader::new(output).lines();
    let logged = async {
        for _ in 0..lines {
            if let Ok(None) | Err(_) = log.next_line().await {
                break;
            }
        }
    };
    tokio::select! {
        () = logged => {}
        _ = output.next_line() => {}
    }
    process.start_kill().expect("it can be killed");
    process.wait().await.expect("it ends");
}

/// What a test of this program prints.
pub type Output = std::io::Lines<std::io::BufReader<std::process::ChildStdout>>;

/// Runs a test of this program in a process of its own, which finds a folder in a variable, and
/// waits until it says that it is ready.
pub fn again(
    test: &str,
    (variable, folder): (&str, &Path),
    ready: &str,
) -> (std::process::Child, Output) {
    let program = std::env::current_exe().expect("this program");
    let mut command = std::process::Command::new(program);
    command.args(["--exact", test, "--nocapture"]);
    command.env(variable, folder).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().expect("it runs");
    let output = std::io::BufReader::new(child.stdout.take().expect("piped"));
    let mut lines = std::io::BufRead::lines(output);
    let told = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(ready)));
    assert!(told.is_some(), "it starts");
    (child, lines)
}

fn spawn(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program can be run")
}

fn announced(line: &str) -> Option<SocketAddr> {
    line.strip_prefix(ANNOUNCEMENT)?.parse().ok()
}

fn read_all(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).await.expect("it can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

async fn end(mut process: Child, log: JoinHandle<String>) -> End {
    let status = tokio::time::timeout(PATIENCE, process.wait()).await;
    End {
        status: status.expect("it ends in time").expect("it ends"),
        log: log.await.expect("it is only read"),
    }
}
