//! Power cuts: what was answered survives the loss of everything that was not yet on the
//! disk. A control that answers before it syncs must lose, or this test proves nothing.
//!
//! The disk is an ext4 image; its shutdown call drops every page that was not flushed, the
//! file system's own journal included. Needs root, and loop devices that can be mounted: where
//! they are not, nothing is done, which is said. Runs as many rounds as
//! `MISTAP_POWER_CUT_ROUNDS` says, and a few without it; with it, they must be possible.

#[allow(dead_code, reason = "each test program uses its part")]
#[path = "it/child.rs"]
mod child;
mod load;
#[path = "it/reports.rs"]
mod reports;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use child::Server;
use load::{Trial, teller};
use mistap::api::convert::incident::parse_incident;
use mistap::api::convert::taps::{Taken, parse_count, parse_feed};
use mistap::api::convert::violation::Path as FieldPath;
use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::reporting_service_client::ReportingServiceClient;
use mistap::domain::UtcMillis;
use mistap::ingest::{self, Options};
use mistap::journal::SEGMENT_BYTES_MIN;
use mistap::network::Network;
use rand::Rng;
use reports::{Reporter, feed_of_stops};
use tempfile::TempDir;

const ROUNDS: &str = "MISTAP_POWER_CUT_ROUNDS";
/// Rounds where nobody says how many.
const ROUNDS_DEFAULT: u64 = 2;
/// Tells the writer its folder, its seed, its time and whether it syncs.
const WRITER: &str = "MISTAP_POWER_CUT_WRITER";
const WRITER_TEST: &str = "writer_reports_until_it_is_killed";
const ANSWER: &str = "answered";
const TAPS_ANSWER: &str = "taps answered";

const DISK_BYTES: u64 = 768 * 1024 * 1024;
/// Most answers in one round before the power is cut.
const ANSWERS_MAX: u64 = 300;
/// Rounds over one data folder; then a new one, so that its beginning is cut, too.
const ROUNDS_PER_FOLDER: u64 = 4;
/// Incidents that the writer hands over at once.
const PER_BATCH: usize = 20;

/// A disk whose power can be cut. Taken apart when dropped.
struct Disk {
    folder: TempDir,
    device: String,
}

impl Disk {
    /// Or why there can be none here.
    fn new() -> Result<Self, String> {
        let folder = TempDir::new().expect("a folder");
        let image = folder.path().join("image");
        let file = fs::File::create(&image).expect("an image");
        file.set_len(DISK_BYTES).expect("room");
        let image = image.to_str().expect("a plain path");
        // It cuts the power.
        try_run("python3", &["--version"])?;
        try_run("mkfs.ext4", &["-q", "-F", image])?;
        let device = try_run("losetup", &["--find", "--show", image])?;
        let device = device.trim().to_owned();
        let disk = Self { folder, device };
        fs::create_dir(disk.path()).expect("a folder");
        try_run("mount", &[&disk.device, &disk.text()])?;
        Ok(disk)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn text(&self) -> String {
        self.path().to_str().expect("a plain path").to_owned()
    }

    /// From here on nothing reaches the disk, what waits for it included.
    fn cut(&self) {
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
        let script = "import fcntl, os, struct, sys\n\
            disk = os.open(sys.argv[1], os.O_RDONLY)\n\
            fcntl.ioctl(disk, 0x8004587D, struct.pack('I', 2))";
        run("python3", &["-c", script, &self.text()]);
    }

    /// Power comes back. Nobody may have a file open.
    fn restore(&self) {
        run("umount", &[&self.text()]);
        run("mount", &[&self.device, &self.text()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whatever can be taken apart is; a failed test may have left any part of it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
        let _ = Command::new("losetup").args(["-d", &self.device]).output();
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    try_run(program, arguments).unwrap_or_else(|error| panic!("{error}"))
}

fn try_run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {output:?}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A disk, and how many rounds are to be done with it; `None`, and why is said, if none are.
fn disk_and_rounds() -> Option<(Disk, u64)> {
    let asked = std::env::var(ROUNDS).ok();
    let asked: Option<u64> = asked.map(|rounds| rounds.parse().expect("a number of rounds"));
    let why = match (asked, Disk::new()) {
        (Some(0), _) => format!("{ROUNDS} says so"),
        (_, Ok(disk)) => return Some((disk, asked.unwrap_or(ROUNDS_DEFAULT))),
        (None, Err(why)) => why,
        (Some(_), Err(why)) => panic!("the power cannot be cut here: {why}"),
    };
    child::skip(&format!("no power is cut: {why}"));
    None
}

/// The whole service, under load through its API.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_has_all_that_it_answered_before_the_power_was_cut() {
    let Some((disk, rounds)) = disk_and_rounds() else {
        return;
    };
    let seed = reports::seed();
    let begun = Instant::now();
    let (mut answered, mut unanswered, mut tellings) = (0, 0, 0);
    for first in (0..rounds).step_by(usize::try_from(ROUNDS_PER_FOLDER).expect("small")) {
        let folder = disk.path().join(format!("data-{first}"));
        let mut trial = Trial::new(&folder, seed.wrapping_add(first));
        for _ in first..rounds.min(first + ROUNDS_PER_FOLDER) {
            let (server, channel) = trial.start().await;
            trial.crowd.look_back(&channel, 1).await;
            trial.teller.look_back(&channel, 1).await;
            trial.check_total(&channel).await;
            trial.verify().await;
            let target = trial.rng.random_range(0..=ANSWERS_MAX);
            let end = async || {
                disk.cut();
                server.kill().await;
            };
            let Trial { crowd, teller, .. } = &mut trial;
            tokio::join!(
                crowd.report_until(&channel, target, end),
                teller.go_on(&channel)
            );
            drop(channel);
            disk.restore();
            if trial.rng.random() {
                tokio::task::block_in_place(|| trial.teller.check_taps(&folder));
            }
        }
        answered += trial.crowd.answered().count();
        unanswered += trial.crowd.sent().count() - trial.crowd.answered().count();
        tellings += trial.teller.tellings();
        trial.settle().await;
        trial.verify().await;
        tokio::task::block_in_place(|| trial.teller.check_taps(&folder));
        fs::remove_dir_all(&folder).expect("it is not needed any more");
    }
    reports::tell(&format!(
        "server: {rounds} rounds in {:?}, {answered} answered before a cut, none lost; \
         {unanswered} had no answer; taps were told {tellings} times",
        begun.elapsed()
    ));
}

/// What became of the reports and the tap counts that a writer answered.
#[derive(Clone, Copy, Debug, Default)]
struct Toll {
    answered: usize,
    lost: usize,
    taps_answered: u64,
    taps_lost: u64,
}

/// What a writer said that it answered.
#[derive(Default)]
struct Heard {
    reports: usize,
    taps: u64,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        match line {
            ANSWER => self.reports += 1,
            TAPS_ANSWER => self.taps += 1,
            _ => {}
        }
    }
}

/// A writer with tiny segments, so that cuts meet their changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journal_has_all_that_was_answered_whatever_segment_was_being_made() {
    let Some((disk, rounds)) = disk_and_rounds() else {
        return;
    };
    let toll = cut_writers(&disk, rounds, true).await;
    assert!(toll.answered > 0 && toll.taps_answered > 0);
    assert_eq!((toll.lost, toll.taps_lost), (0, 0), "{toll:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_that_answers_before_it_syncs_loses_what_it_answered() {
    let Some((disk, rounds)) = disk_and_rounds() else {
        return;
    };
    let toll = cut_writers(&disk, rounds.div_ceil(ROUNDS_PER_FOLDER), false).await;
    assert!(
        toll.lost > 0 && toll.taps_lost > 0,
        "{toll:?}: these cuts would prove nothing"
    );
}

async fn cut_writers(disk: &Disk, rounds: u64, is_synced: bool) -> Toll {
    let seed = reports::seed();
    let begun = Instant::now();
    let mut toll = Toll::default();
    for round in 0..rounds {
        let writer = Writer {
            folder: disk.path().join(format!("data-{round}")),
            seed: seed.wrapping_add(round),
            now: mistap::app::system_clock()(),
            is_synced,
        };
        let more = writer.cut(disk).await;
        toll.answered += more.answered;
        toll.lost += more.lost;
        toll.taps_answered += more.taps_answered;
        toll.taps_lost += more.taps_lost;
    }
    reports::tell(&format!(
        "writer (synced: {is_synced}): {rounds} rounds in {:?}, {toll:?}",
        begun.elapsed()
    ));
    toll
}

/// A process that is gone when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that reports to a record of its own, and tells which were answered.
struct Writer {
    folder: PathBuf,
    seed: u64,
    now: UtcMillis,
    is_synced: bool,
}

impl Writer {
    async fn cut(&self, disk: &Disk) -> Toll {
        let target = 1 + usize::try_from(self.seed % ANSWERS_MAX).expect("small");
        let mut process = self.spawn();
        let output = process.0.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let mut heard = Heard::default();
        while heard.reports < target
            && let Some(line) = lines.next()
        {
            heard.hear(&line);
        }
        disk.cut();
        process.0.kill().expect("it can be killed");
        // What it told before it died was answered, too.
        lines.for_each(|line| heard.hear(&line));
        drop(process);
        disk.restore();
        assert!(heard.reports >= target, "it ended by itself");
        let (lost, taps_lost) = self.lost(&heard).await;
        Toll {
            answered: heard.reports,
            lost,
            taps_answered: heard.taps,
            taps_lost,
        }
    }

    fn spawn(&self) -> Killed {
        let (folder, seed, now) = (self.folder.display(), self.seed, self.now.0);
        let program = std::env::current_exe().expect("this program");
        let process = Command::new(program)
            .args(["--exact", WRITER_TEST, "--nocapture"])
            .env(WRITER, format!("{seed} {now} {} {folder}", self.is_synced))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Killed(process.expect("it can be run"))
    }

    /// Reports all that was answered again: what is not known as repeated was lost. So are tap
    /// counts that are not there.
    async fn lost(&self, heard: &Heard) -> (usize, u64) {
        let answered = heard.reports;
        let Ok(server) = Server::start(child::serve(&self.folder)).await else {
            return (answered, heard.taps);
        };
        let mut client = ReportingServiceClient::new(server.connect().await);
        let mut reporter = Reporter::new(self.seed, self.now);
        let incidents: Vec<_> = (0..answered).map(|_| reporter.next()).collect();
        let mut repeated = 0;
        for incidents in incidents.chunks(PER_BATCH) {
            let incidents = incidents.to_vec();
            let request = pb::ReportIncidentsRequest { incidents };
            let response = client.report_incidents(request).await.expect("answered");
            let results = response.into_inner().results;
            repeated += results.iter().filter(|result| is_repeated(result)).count();
        }
        let figures = reports::ask(&server.connect().await, self.now).await;
        let total = reports::total(&figures);
        // Some of the last batch may have been recorded without having been answered.
        let most = answered + PER_BATCH;
        assert!(
            (answered as u64..=most as u64).contains(&total),
            "{total} counted"
        );
        load::stop(server).await;
        let kept = tokio::task::block_in_place(|| teller::kept_taps(&self.folder, self.now));
        let taps_lost = (1..=heard.taps)
            .filter(|step| {
                // A later step of the same place has a higher number.
                let kept = kept.get(&teller::place_of_step(*step, self.now));
                kept.is_none_or(|taps| taps < step)
            })
            .count();
        (answered - repeated, taps_lost as u64)
    }
}

fn is_repeated(result: &pb::Result) -> bool {
    match &result.outcome {
        Some(pb::result::Outcome::Accepted(accepted)) => accepted.repeated,
        _ => false,
    }
}

/// Does nothing, unless one of the tests above starts it as a process of its own.
#[tokio::test]
async fn writer_reports_until_it_is_killed() {
    let Ok(order) = std::env::var(WRITER) else {
        return;
    };
    let order: Vec<_> = order.splitn(4, ' ').collect();
    let &[seed, now, is_synced, folder] = &order[..] else {
        panic!("four words");
    };
    let now = UtcMillis(now.parse().expect("a time"));
    let mut reporter = Reporter::new(seed.parse().expect("a seed"), now);
    let options = Options {
        segment_bytes: SEGMENT_BYTES_MIN,
        sync: is_synced.parse().expect("yes or no"),
        ..Options::default()
    };
    let network = Arc::new(Network::built_in());
    let running = ingest::start_with(Path::new(folder), network, move || now, options);
    let running = running.expect("it starts");
    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(now.0.unsigned_abs());
    let feed = parse_feed(FieldPath::root("feed"), Some(&feed_of_stops()));
    let feed = feed.expect("a good feed");
    let taken = Taken {
        now,
        from: running.ingest.taps_kept_from(now),
    };
    let mut step = 0;
    loop {
        let count = rng.random_range(1..=PER_BATCH);
        let incidents = (0..count).map(|_| {
            let mut incident = Some(reporter.next());
            let parsed = parse_incident(FieldPath::root("incident"), incident.as_mut(), now);
            *parsed.expect("a good report").incident
        });
        for result in running.ingest.submit(incidents.collect()).await {
            if result.is_err() {
                return;
            }
            println!("{ANSWER}");
        }
        step += 1;
        let count = teller::count(teller::place_of_step(step, now), step);
        let count = parse_count(FieldPath::root("count"), &count, &feed, taken);
        let count = count.expect("a good count");
        if running
            .ingest
            .record_taps(&feed, vec![count])
            .await
            .is_err()
        {
            return;
        }
        println!("{TAPS_ANSWER}");
        std::io::stdout().flush().expect("somebody listens");
    }
}
