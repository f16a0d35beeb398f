//! `mistap bench` measures what it says: a tiny run of all of it ends well, and finds every
//! incident that it sent.

use crate::child::mistap;

#[test]
fn quick_run_of_every_bench_finds_its_results_right() {
    let output = mistap()
        .into_std()
        .args(["bench", "all", "--quick", "--no-peers"])
        .output()
        .expect("the program was built for this test");
    let told = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{complained}");
    let titles = [
        "durable reports",
        "bulk reports",
        "by line and day",
        "top 20 stops",
        "signal by hour of day",
        "block scan",
        "start after kill -9",
        "resident memory",
        "bytes an incident",
        "one update to 40 watchers on 16 connections",
        "one update to 40 watchers on 40 connections",
        "memory of a watcher",
        "20 watchers that read one message a second",
        "a report until its watcher has it",
        "closing a month",
        "importing a timetable",
        "a search among its stops",
    ];
    for title in titles {
        assert!(told.contains(title), "{title} is missing:\n{told}");
    }
    assert!(told.contains("skipped: left out"), "{told}");
}
