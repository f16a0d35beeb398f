//! The tour of the README, typed as it stands there against a small demo: a line that fails, or
//! finds nothing where it promises something, fails here. So do the lines that the demo itself
//! says to try.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::child::{PATIENCE, mistap};

/// As long as that of the demo, so that its editions are there; and far fewer reports.
const HISTORY: [&str; 4] = ["--days", "120", "--per-day", "20"];
/// The place in the README's figures as of a position, which only a whole demo reaches, and how
/// far that has come then.
const AS_OF: &str = "--as-of 95000";
const AS_OF_PERCENT: u64 = 92;
const NOTHING: [&str; 3] = [
    "nothing found",
    "nothing was reported in either",
    "no ranking",
];

/// A demo that runs. Dropped, it is killed; its folder lies in one of ours.
struct Demo {
    _process: Child,
    _place: TempDir,
    server: String,
    /// What it says to try.
    told: Vec<String>,
}

impl Demo {
    async fn start() -> Self {
        let place = TempDir::new().expect("a temporary folder");
        let mut command = mistap();
        command
            .arg("demo")
            .args(HISTORY)
            .args(["--listen", "127.0.0.1:0"]);
        command.env("TMPDIR", place.path()).kill_on_drop(true);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().expect("the program can be run");
        let output = process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines();
        let mut told = Vec::new();
        let mut server = String::new();
        let tour = async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if let Some(rest) = line.strip_prefix("mistap listens on ") {
                    server = rest.split(". ").next().expect("an address").to_owned();
                }
                told.extend(line.strip_prefix("  ").map(str::to_owned));
                if line.starts_with("Everything here is simulated") {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, tour)
            .await
            .expect("it begins");
        // Its further lines are read, so that it never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            _process: process,
            _place: place,
            server,
            told,
        }
    }

    /// What a command prints, which has to succeed.
    async fn run(&self, words: &[String], folder: &Path) -> String {
        let mut command = mistap();
        command.args(words).env("MISTAP_SERVER", &self.server);
        command
            .current_dir(folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output.expect("it ends in time").expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// The lines of a text's code blocks that call us, each whole and without what is said of it.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2);
    let joined = blocks.map(|block| block.replace("\\\n", " "));
    let lines: Vec<String> = joined
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let commands = lines.iter().filter_map(|line| {
        let line = line.split(" # ").next().unwrap_or_default().trim();
        line.starts_with("mistap ").then(|| line.to_owned())
    });
    commands.collect()
}

/// A command's words, without its name. A word in quotes is one.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in command.split('"').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words.remove(0);
    words
}

#[tokio::test]
async fn every_line_of_the_tour_holds_whenever_it_is_typed() {
    let readme = include_str!("../../README.md");
    let (_, tour) = readme.split_once("## Five minutes").expect("a tour");
    let (tour, _) = tour.split_once("\n## ").expect("its end");
    let demo = Demo::start().await;
    let folder = TempDir::new().expect("a temporary folder");
    let day = jiff::Zoned::now()
        .date()
        .saturating_sub(jiff::Span::new().days(20));
    let taps = format!("day,hour,line,taps\n{day},7,10,1200\n{day},8,10,900\n");
    fs::write(folder.path().join("TAPS.csv"), taps).expect("room");
    let json = async |words: &[&str]| -> Value {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        serde_json::from_str(&demo.run(&words, folder.path()).await).expect("valid JSON")
    };
    let figures = json(&["stats", "-f", "json"]).await;
    let last = figures["position"].as_str().expect("a place");
    let last: u64 = last.parse().expect("a number");
    let as_of = format!("--as-of {}", last * AS_OF_PERCENT / 100);
    let ours = commands(tour);
    assert!(20 < ours.len(), "{ours:?}");
    for command in ours.iter().chain(&demo.told) {
        // Needs a timetable of one's own.
        if command.starts_with("mistap network import FEED.zip") {
            continue;
        }
        let mut command = command.replace(AS_OF, &as_of);
        if command.contains(" CASE ") {
            let cases = json(&["cases", "list", "--operator", "GVB", "-f", "json"]).await;
            let case = cases[0]["case_number"].as_str().expect("a case");
            command = command.replace(" CASE ", &format!(" {case} "));
        }
        if command.starts_with("mistap watch ") {
            command.push_str(" --messages 1");
        }
        let printed = demo.run(&words(&command), folder.path()).await;
        let is_nothing = NOTHING.iter().any(|nothing| printed.contains(nothing));
        assert!(
            !printed.trim().is_empty() && !is_nothing,
            "{command}: {printed}"
        );
    }
}
