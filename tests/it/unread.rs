//! An output that nobody reads: what is found, refused or made is told all the same, by the exit
//! code and on standard error, and nothing is left undone for it.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::child::{self, Said, Server};
use crate::commands::damage_journal;

const UNEXPECTED: i32 = 1;
const USAGE: i32 = 2;
const REFUSED: i32 = 3;
const NOT_FOUND: i32 = 4;
const TAKEN: i32 = 5;
const DAMAGE: i32 = 7;

/// An output whose reader is gone.
fn nobody() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// A command whose output nobody reads.
pub fn unread(arguments: &[&str]) -> Said {
    let mut command = child::mistap().into_std();
    command.args(arguments).stdout(nobody());
    Said::of(command.output().expect("it runs"))
}

/// A command whose words on standard error nobody reads.
fn unheard(arguments: &[&str]) -> Said {
    let mut command = child::mistap().into_std();
    command.args(arguments).stderr(nobody());
    Said::of(command.output().expect("it runs"))
}

fn plain(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[tokio::test]
async fn damage_is_told_though_nobody_reads_what_was_found() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::over(folder.path()).await;
    let address = server.address.to_string();
    for mode in ["tram", "bus"] {
        let told = unheard(&["report", "--mode", mode, "--server", &address]);
        assert_eq!(told.code, 0, "{}", told.out);
    }
    server.kill().await;
    let verify = ["verify", "--data", plain(folder.path())];
    let whole = unread(&verify);
    assert_eq!((whole.code, whole.errors.as_str()), (0, ""));
    damage_journal(folder.path());
    let damaged = unread(&verify);
    assert_eq!(damaged.code, DAMAGE, "{}", damaged.errors);
    let told = "not as the journal says";
    assert!(damaged.errors.contains(told), "{}", damaged.errors);
}

#[test]
fn token_that_nobody_saw_is_to_be_revoked() {
    let folder = TempDir::new().expect("a temporary folder");
    let data = plain(folder.path());
    let new = ["token", "new", "--role", "steward", "--label", "Ans"];
    let new = [&new[..], &["--data", data]].concat();
    for (number, format) in [(1, "table"), (2, "json")] {
        let made = unread(&[&new[..], &["--format", format]].concat());
        assert_eq!(made.code, UNEXPECTED, "{}", made.errors);
        let revoke = format!("`mistap token revoke --data {data} {number}`");
        let is_told = made.errors.contains("shown to nobody") && made.errors.contains(&revoke);
        assert!(is_told, "{}", made.errors);
    }
    let number = "2";
    let revoked = unread(&["token", "revoke", "--data", data, number]);
    assert_eq!(revoked.code, 0, "{}", revoked.errors);
    // That there is no record yet is said beside it.
    let made = unheard(&new);
    assert_eq!(made.code, 0);
    assert!(made.out.starts_with("mistap_"), "{}", made.out);
}

#[tokio::test]
async fn taps_that_are_not_recorded_are_told_though_nobody_reads_which() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::over(&folder.path().join("data")).await;
    let address = server.address.to_string();
    let table = folder.path().join("taps.csv");
    let day = jiff::Zoned::now()
        .date()
        .saturating_sub(jiff::Span::new().days(20));
    std::fs::write(&table, format!("day,taps\n{day},12\nno day,3\n")).expect("room");
    let import = ["taps", "import", plain(&table), "--feed", "gvb.days"];
    let import = [&import[..], &["--operator", "GVB", "--date", "day"]].concat();
    let import = [&import[..], &["--count", "taps", "--server", &address]].concat();
    let refused = unread(&import);
    assert_eq!(refused.code, REFUSED, "{}", refused.errors);
    let told = "nothing is imported";
    assert!(refused.errors.contains(told), "{}", refused.errors);
    let some = [&import[..], &["--skip-refused"]].concat();
    let imported = unread(&some);
    assert_eq!(imported.code, 0, "{}", imported.errors);
    let other = unread(&[&some[..], &["--refusals", "included"]].concat());
    assert_eq!(other.code, TAKEN, "{}", other.errors);
    let told = "0 of 1 counts recorded";
    assert!(other.errors.contains(told), "{}", other.errors);
    server.kill().await;
}

#[tokio::test]
async fn keys_that_are_changed_and_not_noted_are_told_though_nobody_reads_which() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::over(folder.path()).await;
    let address = server.address.to_string();
    unheard(&["report", "--mode", "tram", "--server", &address]);
    server.kill().await;
    // What the note would be written to is taken, by a folder.
    let aside = folder.path().join("retention.new");
    std::fs::create_dir(&aside).expect("room");
    let rotate = ["keys", "rotate", "--data", plain(folder.path())];
    let unnoted = unread(&rotate);
    assert_eq!(unnoted.code, UNEXPECTED, "{}", unnoted.errors);
    let told = "is not noted beside it";
    assert!(unnoted.errors.contains(told), "{}", unnoted.errors);
    std::fs::remove_dir(&aside).expect("empty");
    let rotated = unread(&rotate);
    assert_eq!(rotated.code, 0, "{}", rotated.errors);
}

#[test]
fn editions_of_history_are_closed_though_nobody_reads_how_much_was_written() {
    let folder = TempDir::new().expect("a temporary folder");
    let little = ["simulate", "--days", "60", "--per-day", "1", "--into"];
    let written = unread(&[&little[..], &[plain(folder.path())]].concat());
    assert_eq!(written.code, 0, "{}", written.errors);
    let editions = std::fs::read_dir(folder.path().join("editions"));
    assert_ne!(editions.expect("a folder").count(), 0);
}

#[tokio::test]
async fn command_whose_words_nobody_hears_does_the_same_and_ends_the_same() {
    assert_eq!(unheard(&["report", "--mode", "zeppelin"]).code, USAGE);
    let number = "3528 0160 4471 9359";
    assert_eq!(unheard(&["report", "--mode", number]).code, USAGE);
    let folder = TempDir::new().expect("a temporary folder");
    let missing = folder.path().join("nothing");
    let missing = unheard(&["verify", "--data", plain(&missing)]);
    assert_eq!(missing.code, NOT_FOUND);
    let server = Server::over(folder.path()).await;
    let address = server.address.to_string();
    let tomorrow = jiff::Zoned::now()
        .date()
        .saturating_add(jiff::Span::new().days(2))
        .to_string();
    let declare = ["outage", "declare", &tomorrow, "--server", &address];
    let declared = unheard(&declare);
    assert_eq!(declared.code, 0);
    assert!(declared.out.contains("declared"), "{}", declared.out);
    server.kill().await;
}
