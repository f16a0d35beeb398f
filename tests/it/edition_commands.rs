//! `mistap edition` as it is typed: closing, listing, showing and proving editions, and what is
//! said where one is damaged, gone, not there yet, or made of what is kept no longer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mistap::api::pb::v1 as pb;
use mistap::app::Settings;
use mistap::domain::limits::TAP_DAYS_MAX;
use mistap::domain::time::{DAY_MS, HOUR_MS};
use mistap::domain::{Entry, Position, UtcMillis};
use mistap::edition::download::{self, Selection};
use mistap::edition::format::{Edition, Hash};
use mistap::edition::library::{Closed, Held};
use mistap::edition::month;
use mistap::journal;
use serde_json::Value;

use crate::child::{self, Said, Server};
use crate::editions::{history, history_until};
use crate::support::{START, Service, feed_of_gvb, taps_of_line, tell_taps, until_removed};
use crate::unread::unread;

const NOT_FOUND: i32 = 4;
const REFUSED: i32 = 3;
const USAGE: i32 = 2;
const DAMAGE: i32 = 7;
/// Columns of a narrow terminal.
const NARROW: usize = 80;
/// What of the record's two months is closed by the day on which it ends.
const MONTHS: [&str; 2] = ["2026-09", "2026-10"];

/// `mistap edition` over a folder that no server uses.
fn of_folder(folder: &Path, arguments: &[&str]) -> Said {
    let mut command = child::mistap().into_std();
    command.args(["edition"]).args(arguments);
    command.args(["--data"]).arg(folder);
    Said::of(command.output().expect("it runs"))
}

/// `mistap edition` against a server.
fn of_server(server: &Server, arguments: &[&str]) -> Said {
    let mut command = child::mistap().into_std();
    command.args(["edition"]).args(arguments);
    command.args(["--server", &server.address.to_string()]);
    command.env("COLUMNS", NARROW.to_string());
    Said::of(command.output().expect("it runs"))
}

/// Closes what is due, and gives the hash that was told of a month. Its clock may be any time past
/// the end of the record.
fn closed(folder: &Path) -> impl Fn(&str) -> String + use<> {
    let said = of_folder(folder, &["close", "--trust-clock"]);
    assert_eq!(said.code, 0, "{}", said.errors);
    move |month| {
        let mut lines = said.out.lines();
        let told = format!("{month} closed, sha256 ");
        let hash = lines.find_map(|line| line.strip_prefix(&told));
        hash.unwrap_or_else(|| panic!("{month}: {}", said.out))
            .to_owned()
    }
}

/// What `verify` finds of a month, and with which exit code.
fn verified(folder: &Path, month: &str) -> (i32, String) {
    let said = of_folder(folder, &["verify", "--format", "json", "--month", month]);
    let rows: Value = serde_json::from_str(&said.out).unwrap_or_default();
    assert_eq!(rows.as_array().map_or(0, Vec::len), 1, "{}", said.errors);
    assert_eq!(rows[0]["edition"], month);
    let found = rows[0]["found"].as_str().expect("a finding").to_owned();
    (said.code, found)
}

fn file(folder: &Path, month: &str) -> PathBuf {
    folder.join(format!("editions/{month}.json"))
}

#[tokio::test]
async fn closing_by_command_removes_no_tap_counts_however_long_a_server_keeps_them() {
    const DAYS: i64 = 600;
    let long = |settings: &mut Settings| settings.tap_days = TAP_DAYS_MAX;
    let service = Service::start_with(history().await, long).await;
    let feed = feed_of_gvb("gvb.lines", pb::TapGrain::Line, pb::TapInterval::Day);
    // In summer.
    let midnight = UtcMillis(START.0 - 16 * HOUR_MS - DAYS * DAY_MS);
    let taps = taps_of_line("GVB:12", midnight, 1_000);
    tell_taps(&service.connect().await, feed, [taps]).await;
    let folder = service.stop().await;
    drop(closed(folder.path()));
    let (reader, _) = journal::open_reader(&folder.path().join("journal")).expect("whole");
    let of_taps: Vec<_> = reader
        .tap_changes_from(Position(1))
        .map(|record| record.expect("whole").entry)
        .collect();
    let [Entry::TapCounts(told)] = &of_taps[..] else {
        panic!("{of_taps:?}");
    };
    assert_eq!(told.cells().iter().len(), 1);
}

#[tokio::test]
async fn editions_are_closed_listed_shown_and_proved_by_command() {
    let dir = history().await;
    let none = of_folder(dir.path(), &["verify"]);
    assert_eq!((none.code, none.out.as_str()), (NOT_FOUND, ""));
    assert!(
        none.errors.contains("there are no editions yet"),
        "{}",
        none.errors
    );
    let nowhere = of_folder(&dir.path().join("nowhere"), &["close"]);
    assert_eq!(nowhere.code, NOT_FOUND);
    assert!(
        nowhere.errors.contains("there is no journal"),
        "{}",
        nowhere.errors
    );

    let hash = closed(dir.path());
    let again = of_folder(dir.path(), &["close", "--trust-clock"]);
    assert_eq!(again.code, 0, "{}", again.errors);
    // Later ones may be due by now.
    assert!(MONTHS.iter().all(|month| !again.out.contains(month)));
    assert!(again.out == "no edition is due\n" || again.out.contains(" closed, sha256 "));
    for month in MONTHS {
        let bytes = std::fs::read(file(dir.path(), month)).expect("there");
        assert_eq!(hash(month), Hash::of(&bytes).to_string());
        let (code, found) = verified(dir.path(), month);
        assert_eq!(
            (code, found.as_str()),
            (0, "made again from the journal, to the byte")
        );
    }
    let other = of_folder(dir.path(), &["verify", "--month", "2026-08"]);
    assert_eq!(other.code, NOT_FOUND);
    let wrong = of_folder(dir.path(), &["verify", "--month", "October"]);
    assert_eq!(wrong.code, USAGE);
    assert!(
        wrong.errors.contains("must be a month, as in 2026-10"),
        "{}",
        wrong.errors
    );

    let server = Server::over(dir.path()).await;
    let list = of_server(&server, &["list", "--format", "json"]);
    let list: Value = serde_json::from_str(&list.out).expect("JSON");
    for (month, listed) in MONTHS.iter().zip(list.as_array().expect("a list")) {
        assert_eq!(listed["edition"], *month);
        assert_eq!(listed["sha256"], hash(month));
        assert_eq!(listed["path"], format!("/editions/{month}.json"));
    }

    let bytes = std::fs::read(file(dir.path(), "2026-10")).expect("there");
    let edition = Edition::from_bytes(&bytes).expect("an edition");
    let is_asked =
        |row: &&mistap::edition::format::Row| row.operator_code == "GVB" && row.dimension == "line";
    let expected: Vec<_> = edition.rows.iter().filter(is_asked).collect();
    let asked = [
        "show",
        "2026-10",
        "--operator",
        "GVB",
        "--dimension",
        "line",
    ];
    let shown = of_server(&server, &[&asked[..], &["--format", "json"]].concat());
    let rows: Value = serde_json::from_str(&shown.out).expect("JSON");
    let rows = rows.as_array().expect("rows");
    assert!(2 < rows.len());
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(expected) {
        // Empty is null, as in downloads.
        assert_eq!(row["key"].as_str().unwrap_or_default(), expected.key);
        assert_eq!(row["count"], expected.count);
        assert_eq!(row["flag"], expected.flag);
    }
    // As downloaded, to the byte.
    let selection = Selection::parse("gvb", "line").expect("a table");
    let held = Held {
        closed: Closed {
            month: month::parse("2026-10").expect("a month"),
            hash: Hash::of(&bytes),
            method: edition.method,
            position: Position(0),
        },
        edition: edition.clone(),
        bytes,
    };
    let mut downloaded = download::csv_header();
    downloaded.extend(download::csv_rows(&held, &selection));
    let csv = of_server(&server, &[&asked[..], &["--format", "csv"]].concat());
    assert_eq!(csv.out, String::from_utf8(downloaded).expect("text"));
    // Whoever copies it has its source, and a file of rows has only rows.
    let cites = format!("sha256 {}", hash("2026-10"));
    assert!(shown.errors.contains(&cites), "{}", shown.errors);
    let table = of_server(&server, &asked);
    assert!(table.out.contains(&cites), "{}", table.out);
    // Each rate stands with what it is of, and it all fits.
    let acts = [
        "show",
        "2026-10",
        "--operator",
        "GVB",
        "--dimension",
        "staff-act",
    ];
    let acts = of_server(&server, &acts).out;
    let lines = || acts.lines().filter(|line| !line.contains(&cites));
    assert!(
        lines().all(|line| line.trim_end().chars().count() <= NARROW),
        "{acts}"
    );
    let mut shares = lines().filter(|line| line.contains(" to "));
    let is_of = |line: &str| line.contains(" % (") && line.contains(") of ");
    assert!(shares.next().is_some_and(is_of), "{acts}");
    assert!(shares.all(is_of), "{acts}");
    assert!(acts.contains("intervals: wilson 0.95"), "{acts}");

    for (arguments, code) in [
        (["show", "2026-08"], NOT_FOUND),
        (["show", "2026-11"], NOT_FOUND),
        (["show", "October"], REFUSED),
    ] {
        let said = of_server(&server, &arguments);
        assert_eq!(
            (said.code, said.out.as_str()),
            (code, ""),
            "{}",
            said.errors
        );
    }
    // Nobody closes what a server has open; whoever only reads may.
    let refused = of_folder(dir.path(), &["close"]);
    assert_ne!(refused.code, 0);
    assert_eq!(verified(dir.path(), "2026-10").0, 0);
    server.terminate().await;
}

#[tokio::test]
async fn folder_that_rested_for_long_is_closed_only_by_whoever_says_that_the_clock_is_right() {
    // Two months before, so that one is due that was not when it came to rest.
    let end = UtcMillis(mistap::app::system_clock()().0 - 61 * DAY_MS);
    let dir = history_until(end).await;
    let refused = of_folder(dir.path(), &["close"]);
    assert_eq!((refused.code, refused.out.as_str()), (REFUSED, ""));
    assert!(
        refused.errors.contains("more than 35 days") && refused.errors.contains("--trust-clock"),
        "{}",
        refused.errors
    );
    assert!(!dir.path().join("editions").exists());
    let said = of_folder(dir.path(), &["close", "--trust-clock"]);
    assert_eq!(said.code, 0, "{}", said.errors);
    // The month it came to rest in has been over for three weeks, whatever day it is.
    let day = end.hour().expect("a supported year").local_day();
    let told = format!("{} closed, sha256 ", &day.to_string()[..7]);
    assert!(said.out.contains(&told), "{}", said.out);
}

#[tokio::test]
async fn edition_that_was_changed_or_is_gone_is_found_and_made_again_where_it_can_be() {
    let dir = history().await;
    let hash = closed(dir.path());
    let path = file(dir.path(), "2026-10");
    let whole = std::fs::read(&path).expect("there");
    let mut changed = whole.clone();
    let digit = changed
        .iter()
        .rposition(u8::is_ascii_digit)
        .expect("a number");
    changed[digit] = if changed[digit] == b'1' { b'2' } else { b'1' };
    let other = std::fs::read(file(dir.path(), "2026-09")).expect("there");
    for content in [changed.as_slice(), &other, &whole[..whole.len() - 1], b""] {
        std::fs::write(&path, content).expect("written");
        let (code, found) = verified(dir.path(), "2026-10");
        assert_eq!(code, DAMAGE);
        assert!(found.starts_with("DAMAGED: "), "{found}");
        assert_eq!(verified(dir.path(), "2026-09").0, 0);
    }
    let all = of_folder(dir.path(), &["verify"]);
    assert_eq!(all.code, DAMAGE);
    assert!(all.errors.contains("not what was closed"), "{}", all.errors);
    let data = dir.path().to_str().expect("a plain path");
    let nobody_reads_it = unread(&["edition", "verify", "--data", data]);
    assert_eq!(nobody_reads_it.code, DAMAGE);
    assert_eq!(nobody_reads_it.errors, all.errors);
    // What is damaged is not shown, and the others are.
    let server = Server::over(dir.path()).await;
    assert_ne!(of_server(&server, &["show", "2026-10"]).code, 0);
    assert_eq!(of_server(&server, &["show", "2026-09"]).code, 0);
    server.terminate().await;

    std::fs::remove_file(&path).expect("removed");
    let (code, found) = verified(dir.path(), "2026-10");
    assert_eq!((code, found.as_str()), (DAMAGE, "GONE"));
    let again = closed(dir.path());
    assert_eq!(again("2026-10"), hash("2026-10"));
    assert_eq!(std::fs::read(&path).expect("made again"), whole);
    assert_eq!(verified(dir.path(), "2026-10").0, 0);
}

#[tokio::test]
async fn edition_whose_incidents_are_kept_no_longer_is_proved_by_its_hash() {
    let dir = history().await;
    let hash = closed(dir.path());
    let service = Service::start_with(dir, |settings| {
        // The months of the record have been over for eleven others.
        settings.clock = Arc::new(|| UtcMillis(START.0 + 400 * DAY_MS));
        settings.edition_look = Duration::from_millis(1);
        settings.retention_look = Duration::from_millis(1);
    })
    .await;
    until_removed(&service, |done| done.incidents != Position(0)).await;
    let dir = service.stop().await;
    let all = of_folder(dir.path(), &["verify"]);
    assert_eq!(all.code, 0, "{}{}", all.out, all.errors);
    for month in MONTHS {
        let (_, found) = verified(dir.path(), month);
        assert_eq!(
            found,
            "hash as in the journal, which no longer holds its reports"
        );
        let bytes = std::fs::read(file(dir.path(), month)).expect("there");
        assert_eq!(hash(month), Hash::of(&bytes).to_string());
    }
    let path = file(dir.path(), "2026-10");
    let text = std::fs::read_to_string(&path).expect("there");
    std::fs::write(&path, text.replacen("\"count\":", "\"count\":1", 1)).expect("written");
    let (code, found) = verified(dir.path(), "2026-10");
    assert_eq!(code, DAMAGE);
    assert!(found.starts_with("DAMAGED: "), "{found}");
    // Nothing makes it again any more, and nothing else takes its place.
    std::fs::remove_file(&path).expect("removed");
    of_folder(dir.path(), &["close"]);
    assert!(!path.exists());
    assert_eq!(verified(dir.path(), "2026-10"), (DAMAGE, "GONE".to_owned()));
}
