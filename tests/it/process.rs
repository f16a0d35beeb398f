//! The program as whoever runs it meets it: signals, exit codes, and an output that nobody
//! reads.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::child::{PATIENCE, Server, again, mistap, serve, signal};

const TRY_AGAIN: i32 = 6;

async fn output(command: &mut Command) -> Output {
    let running = tokio::time::timeout(PATIENCE, command.output());
    running.await.expect("it ends in time").expect("it runs")
}

#[tokio::test]
async fn folder_and_port_in_use_are_worth_another_try() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::start(serve(folder.path())).await;
    let server = server.expect("it starts");
    let second = output(&mut serve(folder.path())).await;
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(TRY_AGAIN), "{told}");
    assert!(
        told.contains("hint: another mistap uses the folder"),
        "{told}"
    );

    let other = TempDir::new().expect("a temporary folder");
    let listen = server.address.to_string();
    let mut command = mistap();
    command.args(["serve", "--listen", &listen, "--data"]);
    let second = output(command.arg(other.path())).await;
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(TRY_AGAIN), "{told}");
    assert!(told.contains("hint: another program listens"), "{told}");
    server.kill().await;
}

#[tokio::test]
async fn output_that_nobody_reads_does_not_end_the_server() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut command = serve(folder.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.kill_on_drop(true).spawn().expect("it runs");
    drop(process.stdout.take());
    let mut log = process.stderr.take().expect("it is piped");
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains("serving") {
        let read = tokio::time::timeout(PATIENCE, log.read_buf(&mut told));
        assert_ne!(read.await.expect("in time").expect("text"), 0, "{told:?}");
    }
    // The word to the user comes right after, and before it looks whether it is told to stop.
    signal(process.id(), "TERM").await;
    let ended = tokio::time::timeout(PATIENCE, process.wait()).await;
    assert!(ended.expect("in time").expect("it ends").success());
    log.read_to_end(&mut told).await.expect("text");
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("stopping"), "it ended by itself: {told}");
}

/// A request whose body does not come, and which says so when it is waited for.
const UNFINISHED: &[u8] = b"POST /mistap.v1.ReportingService/ReportIncident HTTP/1.1\r\n\
    host: localhost\r\ncontent-type: application/grpc-web+proto\r\ncontent-length: 99\r\n\
    expect: 100-continue\r\n\r\n";
const WAITED_FOR: &[u8] = b"HTTP/1.1 100";
/// A server waits longer than this for requests to end when it stops.
const DRAIN_MIN: Duration = Duration::from_secs(2);

/// Starts a server with a request that does not end, so that stopping takes its time.
/// Sends it signals, and tells how it ended and how long that took.
async fn stopped_by(signals: &[&str]) -> (ExitStatus, Duration) {
    let folder = TempDir::new().expect("a temporary folder");
    let mut command = serve(folder.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.kill_on_drop(true).spawn().expect("it runs");
    let mut output = process.stdout.take().expect("it is piped");
    let mut told = String::new();
    while !told.ends_with('\n') {
        let mut byte = [0];
        let read = output.read_exact(&mut byte).await;
        assert_eq!(read.expect("it says where it listens"), 1);
        told.push(char::from(byte[0]));
    }
    let address = told.trim().rsplit('/').next().expect("an address");
    let address: SocketAddr = address.parse().expect("an address");
    let mut held = TcpStream::connect(address).await.expect("it listens");
    held.write_all(UNFINISHED).await.expect("sent");
    let mut answer = [0; WAITED_FOR.len()];
    let read = tokio::time::timeout(PATIENCE, held.read_exact(&mut answer)).await;
    read.expect("in time").expect("it is waited for");
    assert_eq!(answer, WAITED_FOR);
    let log = process.stderr.take().expect("it is piped");
    let mut log = BufReader::new(log).lines();
    let begun = tokio::time::Instant::now();
    for name in signals {
        signal(process.id(), name).await;
        // Until the first is taken. Another comes after it, then, and is the second.
        while let Ok(Some(line)) = log.next_line().await {
            if line.contains("stopping") {
                break;
            }
        }
    }
    let ended = tokio::time::timeout(PATIENCE, process.wait()).await;
    drop(held);
    (ended.expect("in time").expect("it ends"), begun.elapsed())
}

#[tokio::test]
async fn second_signal_ends_at_once() {
    let (status, took) = stopped_by(&["TERM"]).await;
    assert!(status.success(), "{status}");
    assert!(DRAIN_MIN < took, "{took:?}");
    let (status, took) = stopped_by(&["INT", "TERM"]).await;
    assert_eq!(status.code(), Some(1), "{status}");
    assert!(took < DRAIN_MIN, "{took:?}");
}

/// As no developer has it, and as no program takes it.
const FORMAT: (&str, &str) = ("MISTAP_LOG_FORMAT", "nonsense");
const FORMAT_TEST: &str = "process::variables_of_whoever_runs_the_tests_are_not_the_programs";
const LEFT_OUT: &str = "left out";

#[tokio::test]
async fn variables_of_whoever_runs_the_tests_are_not_the_programs() {
    let (variable, value) = FORMAT;
    if std::env::var_os(variable).is_some_and(|set| set == value) {
        let output = output(mistap().args(["completions", "bash"])).await;
        assert!(output.status.success(), "{output:?}");
        println!("{LEFT_OUT}");
        return;
    }
    let (mut test, _output) = again(FORMAT_TEST, (variable, Path::new(value)), LEFT_OUT);
    assert!(test.wait().expect("it ends").success());
}
