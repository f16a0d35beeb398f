//! What people mistype, leave out or pipe away: it is refused with the rule or told, and nothing
//! is recorded, counted or lost without a word.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::child::{PATIENCE, Said, Server, mistap, said, serve};

const USAGE: i32 = 2;
const REFUSED: i32 = 3;
const NOT_FOUND: i32 = 4;

/// A server with a command line of its own.
struct Desk {
    server: Server,
    _folder: TempDir,
}

impl Desk {
    async fn open() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let started = Server::start(serve(folder.path())).await;
        Self {
            server: started.unwrap_or_else(|end| panic!("the server did not start: {end:?}")),
            _folder: folder,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = mistap();
        command
            .args(arguments)
            .env("MISTAP_SERVER", self.server.address.to_string());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments)).await
    }

    /// How many reports there are.
    async fn counted(&self) -> Value {
        let output = self
            .run(&["stats", "--from", "400-days-ago", "-f", "json"])
            .await;
        let figures: Value = serde_json::from_str(&output.out).expect("valid JSON");
        figures["total"].clone()
    }
}

/// The words of a command that is printed between backquotes, without the program.
fn command_in(text: &str) -> Vec<&str> {
    let command = text.split('`').find(|part| part.starts_with("mistap "));
    let command = command.unwrap_or_else(|| panic!("no command in {text}"));
    command.split_whitespace().skip(1).collect()
}

#[tokio::test]
async fn time_that_cannot_have_been_meant_is_refused_with_the_rule_and_not_recorded() {
    let desk = Desk::open().await;
    for (arguments, code, rule) in [
        (["--day", "2099-01-01"], REFUSED, "in the future"),
        (["--at", "2026-11-28"], USAGE, "2026-11-23T08:15"),
        (["--at", "2026-11-28T08"], USAGE, "2026-11-23T08:15"),
        (["--day", "2026-11-27T23:50"], USAGE, "yesterday"),
        (["--at", "2026-03-29T02:30"], USAGE, "did not exist"),
        (["--at", "2026-10-25T02:30"], USAGE, "came twice"),
        (["--at", "23-11-2026 08:15"], USAGE, "2026-11-23T08:15"),
    ] {
        let output = desk.run(&[&["report"][..], &arguments].concat()).await;
        let told = &output.errors;
        assert_eq!(output.code, code, "{arguments:?}: {told}");
        assert!(told.contains(rule), "{arguments:?}: {told}");
    }
    assert_eq!(desk.counted().await, 0);
    desk.server.kill().await;
}

#[tokio::test]
async fn report_whose_answer_cannot_be_printed_tells_the_way_back_beside_it() {
    let desk = Desk::open().await;
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let mut command = desk.command(&["report", "--mode", "bus"]);
    command
        .stdin(Stdio::null())
        .stdout(full.expect("a device"))
        .stderr(Stdio::piped());
    let child = command.kill_on_drop(true).spawn().expect("it runs");
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = Said::of(output.expect("it ends in time").expect("it ends"));
    let told = &output.errors;
    assert!(output.code != 0, "{told}");
    assert!(told.contains("the report is recorded"), "{told}");

    // As it stands there: it names the server.
    let mut get = mistap();
    get.args(command_in(told));
    let shown = said(&mut get).await;
    assert!(shown.out.contains("bus"), "{}", shown.errors);
    desk.server.kill().await;
}

#[tokio::test]
async fn secret_in_the_environment_is_for_reports_that_are_there() {
    let desk = Desk::open().await;
    let secret = "7f".repeat(32);
    let mut report = desk.command(&["report", "--mode", "tram", "-f", "json"]);
    let output = said(report.env("MISTAP_SECRET", &secret)).await;
    assert!(output.code == 0, "{}", output.errors);
    let told: Value = serde_json::from_str(&output.out).expect("valid JSON");
    assert_ne!(told["secret"], secret);
    let id = told["incident_id"].as_str().expect("an id");
    let mut get = desk.command(&["get", id]);
    let output = said(get.env("MISTAP_SECRET", told["secret"].as_str().expect("a secret"))).await;
    assert!(output.out.contains("tram"), "{}", output.errors);

    let amend = ["amend", id, told["secret"].as_str().expect("a secret")];
    let nothing = desk.run(&amend).await;
    assert_eq!(nothing.code, USAGE, "{}", nothing.errors);
    let cost = desk
        .run(&[&amend[..], &["--extra-cost", "under-5"]].concat())
        .await;
    assert!(cost.out.contains("under-5"), "{}", cost.errors);
    desk.server.kill().await;
}

#[tokio::test]
async fn card_number_that_does_not_come_is_not_taken_for_none() {
    let desk = Desk::open().await;
    let output = desk.run(&["report", "--card-number-stdin"]).await;
    let told = &output.errors;
    assert_eq!(output.code, REFUSED, "{told}");
    assert!(told.contains("no card number came"), "{told}");
    assert_eq!(desk.counted().await, 0);
    desk.server.kill().await;
}

#[tokio::test]
async fn code_that_no_network_has_is_told_and_one_written_small_is_understood() {
    let desk = Desk::open().await;
    let report = [
        "report",
        "--mode",
        "tram",
        "--operator",
        "GVB",
        "--line",
        "10",
    ];
    let output = desk.run(&report).await;
    assert!(output.code == 0, "{}", output.errors);
    let small = desk
        .run(&["stats", "--from", "yesterday", "--operator", "gvb"])
        .await;
    assert!(small.out.contains("1 reported"), "{}", small.out);
    assert!(!small.errors.contains("warning"), "{}", small.errors);
    for (flag, code, what) in [
        ("--operator", "GVBX", "the network has no operator"),
        ("--line", "GVB:99999", "the network has no line"),
        ("--stop", "NOWHERE", "no line of the network serves stop"),
    ] {
        let output = desk
            .run(&["stats", "--from", "yesterday", flag, code])
            .await;
        let told = &output.errors;
        assert!(told.contains(&format!("warning: {what}")), "{code}: {told}");
        assert!(told.contains(code), "{code}: {told}");
    }
    for command in [
        &["cases", "list"][..],
        &["compare", "last-month", "2-months-ago"],
        &["rank", "line"],
        &["staff"],
    ] {
        let asked = [command, &["--operator", "GVBX"]].concat();
        let told = desk.run(&asked).await.errors;
        assert!(told.contains("has no operator GVBX"), "{asked:?}: {told}");
    }
    for format in ["csv", "json"] {
        let times = desk.run(&["cases", "times", "-f", format]).await;
        assert!(times.errors.contains("mistap"), "{}", times.errors);
    }
    let unnamed = desk
        .run(&["stats", "--from", "yesterday", "--line", "10"])
        .await;
    let told = &unnamed.errors;
    assert_eq!(unnamed.code, USAGE, "{told}");
    assert!(told.contains("mistap network lines --number 10"), "{told}");
    desk.server.kill().await;
}

#[tokio::test]
async fn refusal_names_flags_where_the_server_names_fields() {
    let desk = Desk::open().await;
    let output = desk
        .run(&["report", "--signal", "red-beep", "--found-later"])
        .await;
    let told = &output.errors;
    assert_eq!(output.code, REFUSED, "{told}");
    assert!(
        told.contains("--found-later: needs --signal green"),
        "{told}"
    );
    let output = desk.run(&["stats", "--as-of", "99999999"]).await;
    assert!(
        output.errors.contains("--as-of must be 1 to"),
        "{}",
        output.errors
    );
    desk.server.kill().await;
}

#[tokio::test]
async fn receipt_that_is_not_there_is_named() {
    let mut command = mistap();
    command.args(["receipt", "verify", "MISSING.jws", "--keys", "MISSING.json"]);
    let output = said(&mut command).await;
    assert_eq!(output.code, NOT_FOUND, "{}", output.errors);
    assert!(output.errors.contains("MISSING.json"), "{}", output.errors);
}

#[tokio::test]
async fn address_where_no_mistap_answers_is_said_to_be_that() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            use tokio::io::AsyncWriteExt as _;
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let mut command = mistap();
    let server = address.to_string();
    command.args(["stats", "--server", &server]);
    let output = said(&mut command).await;
    let told = &output.errors;
    assert!(output.code != 0, "{told}");
    let first = told.lines().next().unwrap_or_default();
    assert!(
        first.contains("no mistap") || first.contains("no server answers"),
        "{told}"
    );
}

#[tokio::test]
async fn folder_without_a_record_is_named_before_tokens_are_looked_for_in_it() {
    let place = TempDir::new().expect("a temporary folder");
    let folder: &Path = &place.path().join("not-there");
    let data = folder.to_str().expect("a plain path");
    let run = async |arguments: &[&str]| {
        let mut command = mistap();
        command
            .args(["token"])
            .args(arguments)
            .args(["--data", data]);
        said(&mut command).await
    };
    let none = run(&["list"]).await;
    assert_eq!(none.code, NOT_FOUND, "{}", none.errors);
    assert!(!folder.exists());
    // The first token may be made before the server ever ran, and that is said.
    let new = run(&["new", "--role", "steward", "--label", "desk"]).await;
    assert!(new.code == 0, "{}", new.errors);
    assert!(new.errors.contains("no record in"), "{}", new.errors);
    assert!(run(&["list"]).await.out.contains("desk"));
}

#[tokio::test]
async fn variable_that_is_blank_is_as_one_that_is_not_set() {
    let desk = Desk::open().await;
    let address = desk.server.address.to_string();
    let mut command = mistap();
    command.args(["choices", "--server", &address]);
    for variable in [
        "MISTAP_TOKEN",
        "MISTAP_TOKEN_FILE",
        "MISTAP_LOG",
        "MISTAP_LOG_FORMAT",
        "MISTAP_TRUST_CLOCK",
    ] {
        command.env(variable, " ");
    }
    let output = said(&mut command).await;
    assert!(output.code == 0, "{}", output.errors);
    desk.server.kill().await;
}

#[tokio::test]
async fn demo_where_others_could_reach_it_is_refused_before_it_writes_anything() {
    let place = TempDir::new().expect("a temporary folder");
    let mut command = mistap();
    command
        .args(["demo", "--listen", "0.0.0.0:0"])
        .env("TMPDIR", place.path());
    let output = said(&mut command).await;
    assert_eq!(output.code, USAGE, "{}", output.errors);
    assert!(!output.out.contains("history"), "{}", output.out);
}
