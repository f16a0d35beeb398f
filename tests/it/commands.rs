//! The commands of whoever reports, tries and looks, as they are typed: what is said when
//! something fails on the way, and that nothing is lost by it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::child::{self, PATIENCE, Said, Server, said, signal, until_so};
use crate::support::Service;

const UNEXPECTED: i32 = 1;
const USAGE: i32 = 2;
const REFUSED: i32 = 3;
const NOT_FOUND: i32 = 4;
const TAKEN: i32 = 5;
const TRY_AGAIN: i32 = 6;
const DAMAGE: i32 = 7;
const SEGMENT_HEADER_BYTES: usize = 4_096;
/// How every receipt begins, and nothing else in the answer to a report.
const RECEIPT: &[u8] = b"eyJ";

fn mistap(arguments: &[&str]) -> Command {
    let mut command = child::mistap();
    command.args(arguments);
    command
}

/// A command against a server.
async fn ask(address: SocketAddr, arguments: &[&str]) -> Said {
    said(mistap(arguments).args(["--server", &address.to_string()])).await
}

/// How many reports a server counts.
async fn counted(server: &Server) -> Value {
    let said = ask(server.address, &["stats", "-f", "json"]).await;
    let figures: Value = serde_json::from_str(&said.out).expect("valid JSON");
    figures["total"].clone()
}

/// A way to a server on which the first so many connections are cut when a report has been
/// recorded, before its answer is through.
async fn cutting(server: SocketAddr, cuts: u32) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let left = Arc::new(AtomicU32::new(cuts));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let to_server = TcpStream::connect(server).await.expect("it listens");
            tokio::spawn(pass_on(client, to_server, Arc::clone(&left)));
        }
    });
    address
}

async fn pass_on(client: TcpStream, server: TcpStream, cuts_left: Arc<AtomicU32>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let mut bytes = vec![0; 1 << 16];
    loop {
        let read = match from_server.read(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        let has_answer = bytes[..read].windows(RECEIPT.len()).any(|at| at == RECEIPT);
        let take_one = |left: u32| left.checked_sub(1);
        let relaxed = Ordering::Relaxed;
        if has_answer && cuts_left.fetch_update(relaxed, relaxed, take_one).is_ok() {
            break;
        }
        if to_client.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
    asking.abort();
}

#[tokio::test]
async fn report_whose_answer_is_cut_off_is_sent_again_and_counts_once() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::over(folder.path()).await;
    let way = cutting(server.address, 1).await;
    let told = ask(way, &["report", "--mode", "tram", "-f", "json"]).await;
    assert_eq!(told.code, 0, "{}", told.errors);
    let told: Value = serde_json::from_str(&told.out).expect("valid JSON");
    assert_eq!(told["status"], "recorded before");
    assert_eq!(counted(&server).await, 1);
    server.kill().await;
}

#[tokio::test]
async fn report_that_stays_without_an_answer_says_how_it_is_repeated_and_counts_once() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::over(folder.path()).await;
    let way = cutting(server.address, u32::MAX).await;
    for when in [&[][..], &["--day", "today"]] {
        let report = [&["report", "--mode", "tram"][..], when].concat();
        let told = ask(way, &report).await;
        assert_eq!(told.code, TRY_AGAIN, "{}", told.errors);
        assert!(
            told.errors.contains("may have been recorded"),
            "{}",
            told.errors
        );
        let hint = told.errors.split('`').nth(1).expect("a command to repeat");
        let again = [&report[..], &hint.split(' ').collect::<Vec<_>>()].concat();
        let told = ask(server.address, &again).await;
        assert_eq!(told.code, 0, "{again:?} {}", told.errors);
        assert!(told.out.contains("recorded before"), "{}", told.out);
    }
    assert_eq!(counted(&server).await, 2);
    server.kill().await;
}

#[tokio::test]
async fn way_back_is_printed_though_the_receipt_cannot_be_written() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::over(folder.path()).await;
    let nowhere = "/nonexistent/receipt.jws";
    let told = ask(server.address, &["report", "--receipt", nowhere]).await;
    assert_eq!(told.code, UNEXPECTED);
    assert!(told.errors.contains(nowhere), "{}", told.errors);
    let get = told
        .out
        .lines()
        .find(|line| line.starts_with("  mistap get "));
    let get = get.unwrap_or_else(|| panic!("no way back: {}", told.out));
    // As it stands there: it names the server.
    let words: Vec<_> = get.split_whitespace().skip(1).collect();
    let shown = said(&mut mistap(&words)).await;
    assert_eq!(shown.code, 0, "{}", shown.errors);
    server.kill().await;
}

#[tokio::test]
async fn edition_that_is_not_there_is_looked_for_in_the_list() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::over(folder.path()).await;
    let said = ask(server.address, &["edition", "show", "2020-01"]).await;
    assert_eq!(said.code, NOT_FOUND, "{}", said.errors);
    assert!(
        said.errors.contains("hint: `mistap edition list`"),
        "{}",
        said.errors
    );
    server.kill().await;
}

#[tokio::test]
async fn feed_that_was_declared_otherwise_is_to_have_another_name() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::over(folder.path()).await;
    let table = folder.path().join("taps.csv");
    let day = jiff::Zoned::now()
        .date()
        .saturating_sub(jiff::Span::new().days(20));
    std::fs::write(&table, format!("day,taps\n{day},1200\n")).expect("room");
    let table = table.to_str().expect("a plain path");
    let import = [
        "taps",
        "import",
        table,
        "--feed",
        "gvb.days",
        "--operator",
        "GVB",
    ];
    let import = [&import[..], &["--date", "day", "--count", "taps"]].concat();
    let said = ask(server.address, &import).await;
    assert_eq!(said.code, 0, "{}", said.errors);
    let said = ask(
        server.address,
        &[&import[..], &["--refusals", "included"]].concat(),
    )
    .await;
    assert_eq!(said.code, TAKEN, "{}", said.errors);
    assert!(
        said.errors.contains("hint: name another feed"),
        "{}",
        said.errors
    );
    server.kill().await;
}

#[tokio::test]
async fn folder_in_use_or_damaged_has_its_own_code_whatever_the_command() {
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().to_str().expect("a plain path");
    let commands = [
        &["edition", "close", "--data", data][..],
        &["simulate", "--days", "1", "--per-day", "50", "--into", data],
    ];
    let server = Server::over(folder.path()).await;
    for command in commands {
        let told = said(&mut mistap(command)).await;
        assert_eq!(told.code, TRY_AGAIN, "{}", told.errors);
        assert!(
            told.errors.contains("hint: another mistap"),
            "{}",
            told.errors
        );
    }
    ask(server.address, &["report", "--mode", "tram"]).await;
    ask(server.address, &["report", "--mode", "bus"]).await;
    let verified = async || {
        let told = said(&mut mistap(&["verify", "--data", data, "-f", "json"])).await;
        let object: Value = serde_json::from_str(&told.out).expect("one object");
        (told.code, object)
    };
    let (code, in_use) = verified().await;
    assert_eq!(code, 0, "{in_use}");
    assert_eq!(in_use["is_clean"], Value::Null, "{in_use}");
    let told = said(&mut mistap(&["verify", "--data", data])).await;
    let last = told.out.lines().last().unwrap_or_default();
    assert!(last.starts_with("NOT COMPARED"), "{}", told.out);
    server.kill().await;
    let journal = folder.path().join("journal");
    let network = folder.path().join("network");
    let feed = folder.path().join("feed.zip");
    write_feed(&feed, "NEW", 1);
    let feed = feed.to_str().expect("a plain path");
    let is_damage = async |command: &[&str]| {
        let told = said(&mut mistap(command)).await;
        assert_eq!(told.code, DAMAGE, "{command:?}: {}", told.errors);
    };
    std::fs::create_dir_all(&network).expect("room");
    std::fs::write(network.join("000001.network"), "none").expect("room");
    for command in commands {
        is_damage(command).await;
    }
    is_damage(&["network", "import", feed, "--data", data]).await;
    std::fs::remove_dir_all(&network).expect("removed");
    let keys = std::fs::read(folder.path().join("keys")).expect("keys");
    std::fs::write(folder.path().join("keys"), "none").expect("room");
    is_damage(&["keys", "list", "--data", data]).await;
    is_damage(&["status", "--data", data]).await;
    std::fs::write(folder.path().join("keys"), keys).expect("room");
    let (code, whole) = verified().await;
    assert_eq!(code, 0, "{whole}");
    assert_eq!(whole["is_clean"], true);
    damage_journal(folder.path());
    let (code, damaged) = verified().await;
    assert_eq!(code, DAMAGE, "{damaged}");
    assert_eq!(damaged["is_clean"], false);
    assert!(damaged["digest"].is_null() && damaged["problems"].is_array());
    for command in commands {
        is_damage(command).await;
    }
    for command in [
        &["edition", "verify", "--data", data][..],
        &["status", "--data", data],
        &["keys", "list", "--data", data],
    ] {
        is_damage(command).await;
    }
    assert!(journal.exists(), "left as it is");
}

#[tokio::test]
async fn token_that_is_typed_goes_before_a_variable_and_two_variables_are_no_mistake() {
    let token = format!("mistap_{}", "0".repeat(64));
    let nowhere = ["choices", "--server", "127.0.0.1:1"];
    let ask = async |typed: &[&str], variables: &[(&str, &str)]| {
        let mut command = mistap(&[&nowhere[..], typed].concat());
        let told = said(command.envs(variables.iter().copied())).await;
        (told.code, told.errors)
    };
    let file = ("MISTAP_TOKEN_FILE", "missing");
    let variable = ("MISTAP_TOKEN", &*token);
    for (typed, variables, code) in [
        (&["--token-file", "missing"][..], &[variable][..], REFUSED),
        (&["--token", &token], &[file], TRY_AGAIN),
        (&["--token", &token], &[file, variable], TRY_AGAIN),
        (&[], &[file, variable], REFUSED),
        (&["--token", &token, "--token-file", "x"], &[], USAGE),
    ] {
        let (found, errors) = ask(typed, variables).await;
        assert_eq!(found, code, "{typed:?} {variables:?}: {errors}");
    }
    let mut other = mistap(&["method"]);
    let other = said(other.envs([file, variable])).await;
    assert_eq!(other.code, 0, "{}", other.errors);
}

#[tokio::test]
async fn import_of_taps_prints_one_object_or_one_table_whatever_is_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::over(&folder.path().join("data")).await;
    let table = folder.path().join("taps.csv");
    let day = jiff::Zoned::now()
        .date()
        .saturating_sub(jiff::Span::new().days(20));
    std::fs::write(&table, format!("day,taps\n{day},12\nno day,3\n")).expect("room");
    let table = table.to_str().expect("a plain path");
    let import = ["taps", "import", table, "--feed", "gvb.days"];
    let import = [&import[..], &["--operator", "GVB", "--date", "day"]].concat();
    let import = [&import[..], &["--count", "taps", "-f"]].concat();
    for (is_skipped, recorded, code) in [(false, 0, REFUSED), (true, 1, 0)] {
        let skip: &[&str] = if is_skipped { &["--skip-refused"] } else { &[] };
        let json = ask(server.address, &[&import[..], &["json"], skip].concat()).await;
        assert_eq!(json.code, code, "{}", json.errors);
        let object: Value = serde_json::from_str(&json.out).expect("one object");
        assert_eq!(object["recorded"], recorded);
        assert_eq!(object["refused_lines"][0]["line"], 3);
        let csv = ask(server.address, &[&import[..], &["csv"], skip].concat()).await;
        assert_eq!(csv.code, code, "{}", csv.errors);
        let lines: Vec<_> = csv.out.lines().collect();
        assert_eq!(lines[0], "line,column,reason");
        assert_eq!(lines.len(), 2, "{}", csv.out);
        assert!(csv.errors.contains("recorded"), "{}", csv.errors);
    }
    server.kill().await;
}

/// Flips a bit in the first entry of a journal that fits into one file.
pub fn damage_journal(folder: &Path) {
    let files = std::fs::read_dir(folder.join("journal")).expect("a folder");
    let paths = files.map(|file| file.expect("a file").path());
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "segment");
    let segment = paths.into_iter().find(is_segment).expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("a file");
    bytes[SEGMENT_HEADER_BYTES + 20] ^= 1;
    std::fs::write(&segment, bytes).expect("room");
}

#[tokio::test]
async fn feed_that_is_not_there_is_named() {
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().to_str().expect("a plain path");
    let told = said(&mut mistap(&[
        "network",
        "import",
        "MISSING.zip",
        "--data",
        data,
    ]))
    .await;
    assert_eq!(told.code, NOT_FOUND, "{}", told.errors);
    assert!(told.errors.contains("MISSING.zip"), "{}", told.errors);
}

/// A timetable feed of many lines of one operator, each through the same two stops.
fn write_feed(path: &Path, operator: &str, lines: usize) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).expect("room"));
    let mut file = |name: &str, head: &str, rows: &[String]| {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(name, options).expect("a new file");
        let text = [&[head.to_owned()][..], rows].concat().join("\n");
        archive.write_all(text.as_bytes()).expect("room");
    };
    let each = |row: &dyn Fn(usize) -> String| (1..=lines).map(row).collect::<Vec<_>>();
    file(
        "agency.txt",
        "agency_id,agency_name,agency_url,agency_timezone",
        &[format!(
            "{operator},{operator},http://example.org,Europe/Amsterdam"
        )],
    );
    file(
        "stops.txt",
        "stop_id,stop_name,stop_lat,stop_lon",
        &["a,Begin,52.1,5.1".into(), "b,Eind,52.2,5.2".into()],
    );
    file(
        "routes.txt",
        "route_id,agency_id,route_short_name,route_long_name,route_type",
        &each(&|line| format!("{line},{operator},{line},,3")),
    );
    file(
        "trips.txt",
        "route_id,service_id,trip_id",
        &each(&|line| format!("{line},1,{line}")),
    );
    let times = |line: usize| format!("{line},08:00:00,08:00:00,a,1\n{line},08:09:00,08:09:00,b,2");
    file(
        "stop_times.txt",
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence",
        &each(&times),
    );
    file(
        "calendar.txt",
        "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date",
        &["1,1,1,1,1,1,1,1,20260101,20351231".into()],
    );
    archive.finish().expect("room");
}

/// Makes a feed of lines of an operator the next version of a folder's network.
async fn import(folder: &Path, operator: &str, lines: usize) -> String {
    let place = TempDir::new().expect("a temporary folder");
    let feed = place.path().join("feed.zip");
    write_feed(&feed, operator, lines);
    let [feed, data] = [&feed, folder].map(|path| path.to_str().expect("a plain path"));
    let told = said(&mut mistap(&["network", "import", feed, "--data", data])).await;
    assert_eq!(told.code, 0, "{}", told.errors);
    told.out
}

#[tokio::test]
async fn lines_are_listed_as_far_as_is_asked_and_that_there_are_more_is_said() {
    const LINES: usize = 1_100;
    let folder = TempDir::new().expect("a temporary folder");
    import(folder.path(), "NEW", LINES).await;
    let server = Server::over(folder.path()).await;
    let list = ["network", "lines", "--operator", "NEW", "-f", "csv"];
    let list = async |arguments: &[&str]| {
        let told = ask(server.address, &[&list[..], arguments].concat()).await;
        assert_eq!(told.code, 0, "{}", told.errors);
        let rows: BTreeSet<_> = told.out.lines().skip(1).map(str::to_owned).collect();
        assert_eq!(rows.len() + 1, told.out.lines().count(), "none twice");
        (rows.len(), told.errors)
    };
    let more = "more lines: raise --limit or narrow it\n";
    assert_eq!(list(&[]).await, (50, more.to_owned()));
    assert_eq!(list(&["--limit", "1050"]).await, (1_050, more.to_owned()));
    for enough in ["1100", "5000"] {
        assert_eq!(list(&["--limit", enough]).await, (LINES, String::new()));
    }
    assert_eq!(list(&["--number", "7"]).await, (1, String::new()));
    // Two stops each.
    let limit = ["--stops", "--limit", "120"];
    assert_eq!(list(&limit).await, (240, more.to_owned()));
    server.kill().await;
}

#[tokio::test]
async fn stops_and_reports_that_are_left_out_of_a_list_are_said_to_be() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::over(folder.path()).await;
    let list = async |arguments: &[&str]| {
        let told = ask(server.address, &[arguments, &["-f", "csv"]].concat()).await;
        assert_eq!(told.code, 0, "{}", told.errors);
        (told.out.lines().count() - 1, told.errors)
    };
    let near = ["network", "near", "52.3791", "4.9003", "--radius", "800"];
    let more = "there may be more stops: raise --limit or lower --radius\n";
    let (all, told) = list(&[&near[..], &["--limit", "50"]].concat()).await;
    assert!((2..50).contains(&all) && told.is_empty(), "{all} {told}");
    for (limit, found, told) in [(all + 1, all, ""), (all, all, more), (1, 1, more)] {
        let limit = limit.to_string();
        let listed = list(&[&near[..], &["--limit", &limit]].concat()).await;
        assert_eq!(listed, (found, told.to_owned()));
    }
    for _ in 0..3 {
        ask(
            server.address,
            &["report", "--mode", "tram", "--operator", "GVB"],
        )
        .await;
    }
    let more = "more reports: raise --rows or narrow it\n";
    for (rows, found, told) in [("2", 2, more), ("3", 3, ""), ("4", 3, "")] {
        let listed = list(&["cases", "list", "--rows", rows]).await;
        assert_eq!(listed, (found, told.to_owned()));
    }
    server.kill().await;
}

#[tokio::test]
async fn network_of_planning_size_is_given_to_no_folder_that_has_a_record() {
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().to_str().expect("a plain path");
    let planned = ["simulate", "--planning-size", "--days", "1", "--into", data];
    let mut server = Some(Server::over(folder.path()).await);
    for is_served in [true, false] {
        if let Some(server) = server.take_if(|_| !is_served) {
            server.kill().await;
        }
        let refused = said(&mut mistap(&planned)).await;
        assert!(!folder.path().join("network").exists(), "{is_served}");
        assert_eq!(refused.code, REFUSED, "{is_served}: {}", refused.errors);
        let hint = "hint: name a new folder";
        assert!(refused.errors.contains(hint), "{}", refused.errors);
    }
}

#[tokio::test]
async fn network_that_is_imported_anew_after_its_file_was_removed_is_used_under_a_new_number() {
    let dir = TempDir::new().expect("a temporary folder");
    let often = Duration::from_millis(20);
    let service = Service::start_with(dir, |settings| settings.network_look = often).await;
    let folder = service.folder().to_owned();
    let used = async |version: u32| {
        until_so("it is used", async || service.network_version() == version).await;
    };
    let file = |version: u32| folder.join(format!("network/{version:06}.network"));
    assert!(import(&folder, "NEW", 1).await.starts_with("version 1: "));
    used(1).await;
    // The feed was the wrong one.
    std::fs::remove_file(file(1)).expect("removed");
    assert!(import(&folder, "OTHER", 2).await.starts_with("version 2: "));
    used(2).await;
    let network = service.ingest().network();
    let lines = |code: &str| network.operator(code).map_or(0, |operator| operator.lines);
    assert_eq!((lines("NEW"), lines("OTHER")), (0, 2));
    service.stop().await;
}

#[tokio::test]
async fn demo_of_nothing_is_refused_and_history_of_almost_nothing_ends() {
    for nothing in [["demo", "--rate", "0"], ["demo", "--per-day", "0"]] {
        let told = said(&mut mistap(&nothing)).await;
        assert_eq!(told.code, USAGE, "{}", told.errors);
        assert!(
            told.errors.contains("must be a number, 0."),
            "{}",
            told.errors
        );
    }
    let folder = TempDir::new().expect("a temporary folder");
    let data = folder.path().to_str().expect("a plain path");
    let little = [
        "simulate",
        "--days",
        "1",
        "--per-day",
        "0.1",
        "--into",
        data,
    ];
    let told = said(&mut mistap(&little)).await;
    assert_eq!(told.code, 0, "{}", told.errors);
}

#[tokio::test]
async fn demo_that_is_told_to_stop_while_it_writes_history_leaves_nothing() {
    let place = TempDir::new().expect("a temporary folder");
    let mut command = mistap(&["demo", "--days", "370", "--per-day", "5000"]);
    command
        .args(["--listen", "127.0.0.1:0"])
        .env("TMPDIR", place.path());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let process = command.kill_on_drop(true).spawn().expect("it runs");
    let id = process.id();
    until_so("it begins, and makes keys", async || {
        let mut folders = std::fs::read_dir(place.path()).expect("a folder");
        folders.any(|one| one.expect("a folder").path().join("keys").exists())
    })
    .await;
    signal(id, "TERM").await;
    let ended = tokio::time::timeout(PATIENCE, process.wait_with_output()).await;
    let ended = ended.expect("it ends in time").expect("it ends");
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{ended:?}");
    assert!(
        !told.contains("days of history"),
        "it was not so far: {told}"
    );
    let left = std::fs::read_dir(place.path()).expect("a folder").count();
    assert_eq!(left, 0, "something is left");
}
