//! The commands as their users type them: the real program, its output and its exit codes.

#[path = "it/child.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod child;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use child::{PATIENCE, Server};
use mistap::domain::method::METHOD;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

const STORY: [&str; 20] = [
    "--mode",
    "tram",
    "--line",
    "10",
    "--tap",
    "check-in",
    "--card",
    "student",
    "--signal",
    "red-beep",
    "--staff-present",
    "yes",
    "--staff-act",
    "waited-or-helped,sympathised,knew-the-problem,let-ride-free",
    "--staff-minutes",
    "1-5",
    "--outcome",
    "free-ride",
    "--day",
    "today",
];

/// Commands against one server.
struct User {
    server: String,
}

impl User {
    fn of(server: &Server) -> Self {
        Self {
            server: server.address.to_string(),
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        mistap()
            .args(arguments)
            .env("MISTAP_SERVER", &self.server)
            .output()
            .expect("the program can be run")
    }

    /// Standard output of a command that must succeed.
    fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("commands print text")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--format", "json"]].concat());
        serde_json::from_str(&text).expect("valid JSON")
    }

    /// Exit code and standard error of a command that must fail.
    fn failure(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let errors = String::from_utf8(output.stderr).expect("errors are text");
        (output.status.code().expect("it was not killed"), errors)
    }
}

fn mistap() -> Command {
    child::mistap().into_std()
}

fn text_of<'a>(card: &'a Value, field: &str) -> &'a str {
    card[field].as_str().expect("a text")
}

#[tokio::test]
async fn founding_story_is_told_shown_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::over(&folder.path().join("data")).await;
    let user = User::of(&server);

    let told = user.json(&[&["report"][..], &STORY].concat());
    assert_eq!(told["status"], "recorded");
    assert!(
        text_of(&told, "line").starts_with("Ambiguous: GVB:10, HTM:10"),
        "{told}"
    );
    let (id, secret) = (text_of(&told, "incident_id"), text_of(&told, "secret"));
    let again = ["--id", id, "--secret", secret];
    let again = user.json(&[&["report"][..], &STORY, &again].concat());
    assert_eq!(again["status"], "recorded before");

    let kept = user.json(&["get", id, secret]);
    assert_eq!(kept["line"], "10");
    assert_eq!(kept["precision"], "day");
    assert_eq!(kept["staff_acts"].as_array().map(Vec::len), Some(4));
    assert!(kept["operator"].is_null() && kept["stop"].is_null());

    let counted = user.json(&["stats", "--by", "staff-act", "--from", "today"]);
    assert_eq!(counted["total"], 1);
    assert_eq!(counted["figures"].as_array().map(Vec::len), Some(4));

    let with_operator = [&["report"][..], &STORY, &["--operator", "GVB"]].concat();
    let told = user.json(&with_operator);
    assert!(
        text_of(&told, "line").starts_with("Unique match: GVB:10"),
        "{told}"
    );
    let csv = user.text(&["stats", "--by", "line", "--from", "today", "-f", "csv"]);
    let (columns, row) = csv.split_once('\n').expect("a heading");
    assert!(columns.starts_with("basis,period_start,period_end,line,flag,count,taps,"));
    assert!(row.starts_with("self-reported,2"), "{row}");
    assert!(row.contains(",GVB:10,exact,1,,,,"), "{row}");
    let end = format!(",,{METHOD},,,,,,,,,,\n");
    assert!(row.ends_with(&end), "{row}");

    let before = counted["position"].as_str().expect("a text").to_owned();
    let then = ["stats", "--by", "staff-act", "--from", "today", "--as-of"];
    let again = user.json(&[&then[..], &[&before]].concat());
    assert_eq!(again, counted, "the second report came later");
    let rated = ["stats", "--rate", "--from", "today", "--as-of", &before];
    assert_eq!(user.json(&rated)["total"], 1, "asked with progress");
    let (code, errors) = user.failure(&[&then[..], &["0"]].concat());
    assert!(errors.contains("must be 1 to "), "{code}: {errors}");

    let staff = user.json(&["staff", "--from", "today"]);
    let help = &staff["figures"][0];
    assert_eq!(
        (&help["figure"], &help["flag"]),
        (&"help".into(), &"exact".into())
    );
    assert_eq!(
        (&help["count"], &help["base"], &help["share"]),
        (&2.into(), &2.into(), &1.0.into())
    );
    let promises = &staff["figures"][2];
    assert_eq!(promises["figure"], "promises-kept");
    assert!(
        promises["count"].is_null() && promises["share"].is_null(),
        "{promises}"
    );
    let then = user.json(&["staff", "--from", "today", "--as-of", &before]);
    assert_eq!(then["figures"][0]["base"], 1);
    let csv = user.text(&["staff", "--from", "today", "-f", "csv"]);
    assert!(
        csv.starts_with("basis,period_start,period_end,figure,flag,count,base,share,"),
        "{csv}"
    );

    let compared = user.json(&["compare", "today", "yesterday"]);
    assert_eq!(compared["verdict"], "no-hours", "it began today");
    assert_eq!(compared["periods"][0]["count"], 2);
    assert_eq!(compared["periods"][0]["compared_over"], "time");
    assert_eq!(compared["periods"][1]["count"], 0);
    assert_eq!(compared["periods"][1]["exposure"], 0);
    assert!(
        compared["periods"][0]["ratio"].is_null(),
        "nothing came yesterday"
    );
    let then = user.json(&["compare", "today", "yesterday", "--as-of", &before]);
    assert_eq!(then["periods"][0]["count"], 1, "asked with progress");
    assert_eq!(then["position"], counted["position"]);
    let today = ["--from", "today", "--to", "today"];
    let rank = [&["rank", "line"][..], &today, &["--as-of"]].concat();
    let ranked = user.json(&[&rank[..], &[&before]].concat());
    assert_eq!(ranked["position"], counted["position"]);
    let (code, errors) = user.failure(&[&rank[..], &["0"]].concat());
    assert!(errors.contains("must be 1 to "), "{code}: {errors}");
    let times = ["cases", "times", "--from", "today", "-f", "csv"];
    let reports = |table: &str| table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let now = reports(&user.text(&times));
    assert!(now[0].starts_with("GVB,1,0,"), "{now:?}");
    let then = reports(&user.text(&[&times[..], &["--as-of", &before]].concat()));
    assert!(then.is_empty(), "its operator was not known: {then:?}");
    let told = user.text(&["compare", "today", "yesterday"]);
    // None of the two reports, while the hour in which the record began is not over.
    assert!(told.contains(" against 0, over time"), "{told}");
    assert!(told.contains("compared: 0 in 0 hours that count"), "{told}");
    assert!(told.contains(": nothing can be said, "), "{told}");
    let (code, errors) = user.failure(&["compare", "today", "today"]);
    assert_eq!(code, 3);
    assert!(
        errors.contains("the second period: must share no hour"),
        "{errors}"
    );
    server.kill().await;
}

#[test]
fn method_is_the_page_in_docs() {
    let output = mistap().arg("method").output().expect("it runs");
    assert!(output.status.success());
    let page = include_str!("../docs/method.md");
    assert!(output.stdout == page.as_bytes(), "run `mistap method`");
}

#[tokio::test]
async fn watch_shows_a_report_arrive() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::over(&folder.path().join("data")).await;
    let user = User::of(&server);
    let mut watch = mistap()
        .args(["watch", "--by", "mode", "--messages", "2", "-f", "json"])
        .env("MISTAP_SERVER", &user.server)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be run");
    let output = watch.stdout.take().expect("it is piped");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(output));
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("text");
        serde_json::from_str(&line).expect("valid JSON")
    };
    assert_eq!(next()["update"], "snapshot");
    user.text(&["report", "--mode", "tram"]);
    let change = next();
    assert_eq!(change["figures"][0]["mode"], "tram");
    assert_eq!(change["total"], 1);
    assert!(watch.wait().expect("it ends").success());
    server.kill().await;
}

#[tokio::test]
async fn failures_have_exit_codes_and_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::over(&data).await;
    let user = User::of(&server);

    let card_like = "mijn kaart is 3528 0000 0000 0007";
    let (code, errors) = user.failure(&["report", "--note", card_like, "--found-later"]);
    assert_eq!(code, 3);
    assert!(
        errors.contains("--note: ") && errors.contains("--found-later: needs --signal green"),
        "{errors}"
    );
    assert!(!errors.contains("3528"), "{errors}");

    let id = "01939d3e-7b3c-7a1e-8b2d-0123456789ab";
    let (code, errors) = user.failure(&["get", id, &"0".repeat(64)]);
    assert_eq!(code, 4);
    assert!(errors.contains("hint:"), "{errors}");

    let told = user.json(&["report", "--mode", "tram", "--day", "today"]);
    let again = [
        "--id",
        text_of(&told, "incident_id"),
        "--secret",
        text_of(&told, "secret"),
    ];
    let other = [&["report", "--mode", "bus", "--day", "today"][..], &again].concat();
    assert_eq!(user.failure(&other).0, 5);

    assert_eq!(user.failure(&["report", "--mode", "zeppelin"]).0, 2);
    let (code, errors) = user.failure(&["stats", "--from", "tomorrow"]);
    assert_eq!(code, 2);
    assert!(
        errors.contains("--from") && errors.contains("write 2026"),
        "{errors}"
    );
    let data = data.to_str().expect("temporary folders have plain names");
    assert_eq!(user.failure(&["rebuild", "--data", data]).0, 6);
    server.kill().await;
    let (code, errors) = user.failure(&["stats"]);
    assert_eq!(code, 6);
    assert!(errors.contains("mistap serve"), "{errors}");
    let missing = folder.path().join("nothing");
    let missing = missing
        .to_str()
        .expect("temporary folders have plain names");
    assert_eq!(user.failure(&["verify", "--data", missing]).0, 4);
}

#[tokio::test]
async fn server_that_is_told_to_stop_leaves_a_folder_that_verifies() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::over(&data).await;
    let user = User::of(&server);
    let simulated = [
        "simulate",
        "--rate",
        "200",
        "--reports",
        "100",
        "--for",
        "30",
    ];
    assert!(user.text(&simulated).contains(" 0 refused, 0 given up"));
    let end = server.terminate().await;
    assert!(end.status.success(), "{end:?}");
    let data = data.to_str().expect("temporary folders have plain names");
    let verified = user.text(&["verify", "--data", data]);
    assert!(verified.contains("equal to the fold"), "{verified}");
    user.text(&["rebuild", "--data", data]);
    let digest = |text: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix("digest"))
            .map(|hex| hex.trim().to_owned())
    };
    assert_eq!(
        digest(&user.text(&["verify", "--data", data])),
        digest(&verified)
    );
}

#[tokio::test]
async fn demo_shows_live_figures_and_removes_its_folder() {
    let place = tempfile::tempdir().expect("a folder");
    let output = mistap()
        .args([
            "demo",
            "--days",
            "20",
            "--per-day",
            "100",
            "--rate",
            "20",
            "--for",
            "2",
        ])
        .args(["--listen", "127.0.0.1:0"])
        .env("TMPDIR", place.path())
        .output()
        .expect("the program can be run");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("20 days of history") && text.contains("reported in the last hour"),
        "{text}"
    );
    let left = std::fs::read_dir(place.path()).expect("a folder").count();
    assert_eq!(left, 0, "the demo left something");
}

#[test]
fn closed_pipe_is_no_failure() {
    let mut child = mistap()
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be run");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn history_is_written_whole_and_verifies() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("data");
    let run = |arguments: &[&str]| {
        let output = mistap().args(arguments).arg(&folder).output();
        let output = output.expect("the program can be run");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).expect("text")
    };
    let written = run(&[
        "simulate",
        "--taps",
        "--days",
        "3",
        "--per-day",
        "50",
        "--into",
    ]);
    assert!(written.contains(" reports written, 0 refused"), "{written}");
    let verified = run(&["verify", "--data"]);
    assert!(verified.contains("equal to the fold"), "{verified}");
}

#[tokio::test]
async fn tap_counts_are_imported_whole_or_with_a_list_of_what_is_left_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::over(&folder.path().join("data")).await;
    let user = User::of(&server);
    let table = folder.path().join("taps.csv");
    // Days of the last month are taken whenever this runs.
    let day = jiff::Zoned::now()
        .date()
        .saturating_sub(jiff::Span::new().days(20));
    let lines = format!(
        "Day;Hour;Line;Taps\n{day};7;10;1200\n{day};8;10;900\n{day};9;no line;3\n{day};99;10;3\n"
    );
    std::fs::write(&table, lines).expect("room");
    let import = [
        "taps",
        "import",
        table.to_str().expect("a plain path"),
        "--feed",
        "gvb.lines",
        "--operator",
        "GVB",
        "--delimiter",
        ";",
        "--date",
        "day",
        "--hour",
        "hour",
        "--line",
        "line",
        "--count",
        "taps",
    ];
    let (code, told) = user.failure(&import);
    assert_eq!(code, 3, "{told}");
    assert!(
        told.contains("2 of 4 lines are refused; nothing is imported"),
        "{told}"
    );
    let summary = user.json(&[&import[..], &["--skip-refused"]].concat());
    assert_eq!(summary["recorded"], 2);
    assert_eq!(summary["taps"], 2_100);
    assert_eq!(summary["refused"], 2);
    assert_eq!(summary["refused_lines"][0]["line"], 4);
    assert_eq!(summary["refused_lines"][0]["column"], "line");
    assert_eq!(summary["refused_lines"][1]["column"], "hour");
    let day = day.to_string();
    let rates = user.json(&[
        "stats", "--by", "line", "--rate", "--from", &day, "--to", &day,
    ]);
    assert_eq!(rates["feeds"][0]["feed"], "gvb.lines");
    assert_eq!(rates["total_rate"]["taps"], 2_100);
    assert_eq!(rates["total_rate"]["rate"], 0.0);
    let ranking = user.json(&["rank", "line", "--from", &day, "--to", &day]);
    assert_eq!(ranking["verdict"], "too-few-scopes");
    assert_eq!(ranking["scopes"][0]["line"], "GVB:10");
    assert!(ranking["scopes"][0]["place"].is_null());
    assert_eq!(ranking["scopes"][0]["unranked"], "too-little-data");
    assert_eq!(ranking["scopes"][0]["taps"], 2_100);
    let csv = user.text(&["rank", "line", "--from", &day, "--to", &day, "-f", "csv"]);
    let (columns, row) = csv.split_once('\n').expect("a heading");
    assert!(
        columns.starts_with("basis,period_start,period_end,line,flag,count,taps,"),
        "{columns}"
    );
    assert!(
        row.starts_with(&format!("self-reported,{day},{day},GVB:10,exact,0,2100,")),
        "{row}"
    );
    let told = user.text(&["rank", "line", "--from", &day, "--to", &day]);
    assert!(told.contains("no ranking: too few scopes"), "{told}");
    let (code, told) = user.failure(&["rank", "line", "--feed", "other"]);
    assert_eq!(code, 3, "{told}");
    let (code, told) = user.failure(&["stats", "--rate", "--feed", "other"]);
    assert_eq!(code, 3, "{told}");
    assert!(
        told.contains("--feed (number 1): must be the name of a feed"),
        "{told}"
    );
    let other = [&import[..], &["--skip-refused", "--refusals", "included"]].concat();
    let (code, told) = user.failure(&other);
    assert_eq!(code, 5, "{told}");
    assert!(told.contains("feed.refusals: must be unknown"), "{told}");
    assert!(told.contains("0 of 2 counts recorded"), "{told}");
    let (code, told) = user.failure(&[
        "taps",
        "import",
        "missing.csv",
        "--feed",
        "a",
        "--operator",
        "GVB",
        "--date",
        "a",
        "--count",
        "b",
    ]);
    assert_eq!(code, 4, "{told}");
}

/// Before everything that is recorded here.
const LONG_AGO: &str = "2026-01-01T00:00";

/// A command that goes on until it is told to end.
struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(server: &Server, arguments: &[&str]) -> Self {
        let mut command = child::mistap();
        let process = command
            .args(arguments)
            .env("MISTAP_SERVER", server.address.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut process = process.expect("the program can be run");
        let output = process.stdout.take().expect("it is piped");
        Self {
            process,
            lines: BufReader::new(output).lines(),
        }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("a line in time").expect("it is text");
        line.expect("it goes on")
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.line().await).expect("valid JSON")
    }

    /// As Ctrl-C does; gives what was said on standard error.
    async fn interrupt(mut self) -> String {
        child::signal(self.process.id(), "INT").await;
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        assert!(ended.expect("in time").expect("it ends").success());
        let mut said = String::new();
        let mut errors = self.process.stderr.take().expect("it is piped");
        errors.read_to_string(&mut said).await.expect("it is text");
        said
    }
}

/// A server over the same folder, where the one before was.
async fn serve_again(folder: &Path, address: SocketAddr) -> Server {
    let mut command = child::mistap();
    command
        .args(["serve", "--listen", &address.to_string(), "--data"])
        .arg(folder)
        .env("MISTAP_LOG", "info");
    let started = Server::start(command).await;
    started.unwrap_or_else(|end| panic!("the server did not start again: {end:?}"))
}

fn report(user: &User) -> String {
    let told = user.json(&[&["report"][..], &STORY, &["--operator", "GVB"]].concat());
    told["position"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn tail_goes_on_from_a_bookmark_without_a_gap_or_a_repeat() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::over(&folder.path().join("data")).await;
    let user = User::of(&server);
    let bookmark = folder.path().join("bookmark");
    let bookmark = bookmark.to_str().expect("a plain path");
    let positions = [report(&user), report(&user)];
    let next = |count: &str| {
        let of = ["tail", "--from", LONG_AGO, "--bookmark", bookmark];
        let text = user.text(&[&of[..], &["--events", count, "--format", "json"]].concat());
        let position = |line: &str| {
            let event: Value = serde_json::from_str(line).expect("valid JSON");
            assert_eq!(event["line"], "GVB:10");
            event["position"].as_str().expect("a text").to_owned()
        };
        text.lines().map(position).collect::<Vec<_>>()
    };
    assert_eq!(next("2"), positions);
    let third = report(&user);
    assert_eq!(next("1"), [third]);

    let table = user.text(&["tail", "--from", LONG_AGO, "--events", "1"]);
    assert!(
        table.contains("recorded") && !table.contains('\u{1b}'),
        "{table}"
    );
    let csv = user.text(&["tail", "--from", LONG_AGO, "--events", "1", "-f", "csv"]);
    assert!(csv.starts_with("position,received_at,change,"), "{csv}");
    for wrong in ["nonsense", "00", ""] {
        let (code, errors) = user.failure(&["tail", "--resume", wrong]);
        assert_eq!(code, 3, "{errors}");
    }
    server.kill().await;
    let (code, errors) = user.failure(&["tail"]);
    assert_eq!(code, 6);
    assert!(errors.contains("no server answers at "), "{errors}");
}

#[tokio::test]
async fn tail_of_fewer_events_than_a_message_holds_goes_on_from_its_bookmark() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::over(&folder.path().join("data")).await;
    let user = User::of(&server);
    let bookmark = folder.path().join("bookmark");
    let bookmark = bookmark.to_str().expect("a plain path");
    let mut told = Vec::new();
    let mut seen = Vec::new();
    for _ in 0..2 {
        // After a pause, the server tells all of them in one message.
        told.extend([report(&user), report(&user), report(&user)]);
        while seen.len() < told.len() {
            let of = ["tail", "--from", LONG_AGO, "--bookmark", bookmark];
            let text = user.text(&[&of[..], &["--events", "1", "-f", "json"]].concat());
            for line in text.lines() {
                let event: Value = serde_json::from_str(line).expect("valid JSON");
                seen.push(event["position"].as_str().expect("a text").to_owned());
            }
        }
        assert_eq!(seen, told);
    }
    server.kill().await;
}

#[tokio::test]
async fn tail_and_watch_go_on_after_the_server_was_killed_and_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::over(&data).await;
    let user = User::of(&server);
    let first = report(&user);
    let mut tail = Running::start(&server, &["tail", "--from", LONG_AGO, "-f", "json"]);
    assert_eq!(tail.json().await["position"], first);
    let of = ["watch", "--by", "line", "--minutes", "1440", "-f", "json"];
    let mut watch = Running::start(&server, &of);
    let state = watch.json().await;
    assert_eq!(state["update"], "snapshot");
    assert!(state["total_rate"].is_null(), "no rates were asked for");

    let address = server.address;
    server.kill().await;
    let server = serve_again(&data, address).await;
    let second = report(&user);
    assert_eq!(tail.json().await["position"], second);
    while watch.json().await["untimed"] != 2 {}

    for said in [tail.interrupt().await, watch.interrupt().await] {
        assert!(said.contains("trying again"), "{said}");
        assert!(said.contains("heard again after "), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
    }
    server.kill().await;
}

#[tokio::test]
async fn watch_with_rates_prints_them_or_why_there_are_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::over(&folder.path().join("data")).await;
    let user = User::of(&server);
    let of = ["watch", "--by", "line", "--rate", "--messages", "1", "-f"];
    let text = user.text(&[&of[..], &["json"]].concat());
    let state: Value = serde_json::from_str(&text).expect("valid JSON");
    assert_eq!(state["total_rate"]["no_rate"], "no-taps");
    let csv = user.text(&[&of[..], &["csv"]].concat());
    let (head, row) = csv.split_once('\n').expect("two lines");
    let asked = user.text(&["stats", "--by", "line", "--rate", "-f", "csv"]);
    let columns = asked.lines().next().expect("a header");
    assert!(
        head.starts_with(&format!("as_of,update,{columns},")),
        "{head}"
    );
    let commas = |line: &str| line.matches(',').count();
    assert_eq!(commas(head), commas(row.trim_end()), "{csv}");
    let (code, errors) = user.failure(&[&of[..4], &["--feed", "none"]].concat());
    assert_eq!(code, 3);
    assert!(errors.contains("--feed (number 1): "), "{errors}");
    server.kill().await;
}
