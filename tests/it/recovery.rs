//! What a start makes of a damaged folder: all but the journal is made again; damage to the
//! journal is refused, and nothing is touched; a tail that was cut short is cut off.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mistap::api::pb::v1 as pb;
use mistap::api::pb::v1::reporting_service_client::ReportingServiceClient;
use mistap::domain::taxonomy::Signal;
use mistap::domain::{Entry, IncidentId, IncidentSecret, UtcMillis};
use mistap::ingest::repair;
use mistap::ledger::{State, checkpoint};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tonic::Code;

use crate::child::{self, End, Server, until_so};
use crate::reports::{self, Reporter, ask};
use crate::support::{START, Service, files_with, report_all};
use crate::taps;

/// Two closed blocks, and an open one.
const INCIDENTS: usize = 1_100;
const WITHDRAWN: usize = 20;
/// How often a bit is flipped, each time another one.
const FLIPS: usize = 3;
const PER_CALL: usize = 550;

/// How a command ends that finds damage.
const DAMAGE: i32 = 7;

const SEGMENT: &str = "journal/00000000000000000001.segment";
/// Where the first record of a segment begins.
const SEGMENT_HEADER_BYTES: usize = 4_096;

/// A folder at rest, and what must be counted in it.
struct Record {
    folder: TempDir,
    counted: Vec<pb::Incident>,
    /// One more, that was not sent.
    unsent: pb::Incident,
    rng: StdRng,
}

impl Record {
    async fn new() -> Self {
        let seed = reports::seed();
        let mut reporter = Reporter::new(seed, START);
        let mut counted: Vec<_> = (0..INCIDENTS).map(|_| reporter.next()).collect();
        let service = Service::start().await;
        let channel = service.connect().await;
        for some in counted.chunks(PER_CALL) {
            report_all(&channel, some.to_vec()).await;
        }
        for incident in counted.drain(..WITHDRAWN) {
            let id: IncidentId = incident.incident_id.parse().expect("an id");
            let secret = IncidentSecret::parse(&incident.incident_secret);
            let secret = secret.expect("32 bytes").expect("not empty");
            let withdrawn = service.ingest().withdraw(id, &secret).await;
            withdrawn.expect("it can be withdrawn");
        }
        assert_eq!(ask(&channel, START).await, reports::count(counted.iter()));
        drop(channel);
        Self {
            folder: service.stop().await,
            counted,
            unsent: reporter.next(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn copy(&self) -> TempDir {
        copy_of(self.folder.path())
    }

    /// After the damage every figure is as before, the next report counts, and the folder
    /// is whole again.
    async fn recovers_from(&mut self, what: &str, damage: impl FnOnce(&Path, &mut StdRng)) {
        reports::tell(what);
        let copy = self.copy();
        damage(copy.path(), &mut self.rng);
        let service = Service::start_in(copy).await;
        let channel = service.connect().await;
        assert_eq!(
            ask(&channel, START).await,
            reports::count(self.counted.iter())
        );
        report_all(&channel, [self.unsent.clone()]).await;
        let counted = self.counted.iter().chain([&self.unsent]);
        assert_eq!(ask(&channel, START).await, reports::count(counted));
        drop(channel);
        let folder = service.stop().await;
        let report = repair::verify(folder.path(), &mut |_, _| {}).expect("it can be read");
        assert!(report.is_clean(), "{report:?}");
    }
}

/// What a copy of a record is gone on with.
#[derive(Clone, Copy)]
struct GoesOn {
    later_ms: i64,
    incidents: usize,
}

impl Record {
    /// Goes on with a copy of this one, by itself.
    async fn goes_on(&mut self, with: GoesOn) -> Self {
        let seed = self.rng.random();
        let now = UtcMillis(START.0 + with.later_ms);
        let mut reporter = Reporter::new(seed, START);
        let service = Service::start_with(self.copy(), |settings| {
            settings.clock = std::sync::Arc::new(move || now);
        })
        .await;
        let more: Vec<_> = (0..with.incidents).map(|_| reporter.next()).collect();
        let channel = service.connect().await;
        for some in more.chunks(PER_CALL) {
            report_all(&channel, some.to_vec()).await;
        }
        // So that the store is open, and takes what is closed.
        ask(&channel, START).await;
        drop(channel);
        Self {
            folder: service.stop().await,
            counted: self.counted.iter().cloned().chain(more).collect(),
            unsent: reporter.next(),
            rng: StdRng::seed_from_u64(seed),
        }
    }
}

/// Copies a folder with all that is in it.
pub fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).expect("a folder");
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}

pub fn copy_of(folder: &Path) -> TempDir {
    let copy = TempDir::new().expect("a folder");
    copy_all(folder, copy.path());
    copy
}

/// What docs/operating.md tells to back up.
const BACKED_UP: [&str; 3] = ["journal", "editions", "network"];

#[tokio::test]
async fn backup_as_it_is_told_holds_no_keys_and_gives_every_figure_back() {
    let record = Record::new().await;
    let page = include_str!("../../docs/operating.md");
    let told = page.split("**Back up**").nth(1).expect("it is told");
    let told = told.split(';').next().expect("a list");
    let named: Vec<_> = told.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, BACKED_UP.map(|name| format!("DIR/{name}")));

    let backup = TempDir::new().expect("a folder");
    for name in BACKED_UP {
        let from = record.folder.path().join(name);
        if from.is_dir() {
            fs::create_dir(backup.path().join(name)).expect("a folder");
            copy_all(&from, &backup.path().join(name));
        }
    }
    let mut secrets = Vec::new();
    for file in ["keys", "receipt-keys"] {
        let text = fs::read_to_string(record.folder.path().join(file)).expect("keys");
        let words = text.split_whitespace().filter(|word| 32 <= word.len());
        secrets.extend(words.map(str::to_owned));
    }
    assert!(3 <= secrets.len(), "a digest's, a quarter's, a receipt's");
    for secret in &secrets {
        let bytes = URL_SAFE_NO_PAD.decode(secret).expect("a key");
        for form in [secret.as_bytes(), &bytes] {
            assert_eq!(files_with(backup.path(), form), 0);
        }
    }
    let id: IncidentId = record.counted[0].incident_id.parse().expect("an id");
    assert_ne!(
        files_with(backup.path(), id.as_bytes()),
        0,
        "the search finds what is there"
    );

    let service = Service::start_in(backup).await;
    let channel = service.connect().await;
    let counted = reports::count(record.counted.iter());
    assert_eq!(ask(&channel, START).await, counted);
    drop(channel);
    service.stop().await;
}

/// Changes the content of a file.
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

fn halve(path: &Path) {
    change(path, |bytes| bytes.truncate(bytes.len() / 2));
}

fn flip_one(path: &Path, rng: &mut StdRng) {
    change(path, |bytes| {
        let places: Vec<_> = (0..bytes.len())
            .filter(|&place| bytes[place] != 0)
            .collect();
        let place = places[rng.random_range(0..places.len())];
        bytes[place] ^= 1 << rng.random_range(0..8);
    });
}

/// One in each piece that is shorter than a block.
fn flip_some(path: &Path, rng: &mut StdRng) {
    const PIECE_BYTES: usize = 2_048;
    change(path, |bytes| {
        let used = used(bytes);
        for piece in bytes[..used].chunks_mut(PIECE_BYTES) {
            let place = rng.random_range(0..piece.len());
            piece[place] ^= 1 << rng.random_range(0..8);
        }
    });
}

/// Bytes before the zeros at the end.
fn used(bytes: &[u8]) -> usize {
    let last = bytes.iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| last + 1)
}

fn store_files(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder.join("store")).expect("a store");
    let paths = names.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.is_file()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_that_is_gone_or_damaged_is_made_again_and_every_figure_is_as_before() {
    let mut record = Record::new().await;
    record
        .recovers_from("store deleted", |folder, _| {
            fs::remove_dir_all(folder.join("store")).expect("deleted");
        })
        .await;
    record
        .recovers_from("store replaced by an empty folder", |folder, _| {
            fs::remove_dir_all(folder.join("store")).expect("deleted");
            fs::create_dir(folder.join("store")).expect("made");
        })
        .await;
    record
        .recovers_from("store replaced by an empty one", |folder, _| {
            let (journal, _) =
                mistap::journal::open_reader(&folder.join("journal")).expect("whole");
            fs::remove_dir_all(folder.join("store")).expect("deleted");
            let empty = mistap::store::Store::create(&folder.join("store"), journal.epoch());
            drop(empty.expect("made"));
        })
        .await;
    record
        .recovers_from("store truncated", |folder, _| {
            for path in store_files(folder) {
                halve(&path);
            }
        })
        .await;
    for _ in 0..FLIPS {
        record
            .recovers_from(
                "one bit of each file of the store flipped",
                |folder, rng| {
                    for path in store_files(folder) {
                        flip_one(&path, rng);
                    }
                },
            )
            .await;
        record
            .recovers_from("many bits of the store flipped", |folder, rng| {
                for path in store_files(folder) {
                    flip_some(&path, rng);
                }
            })
            .await;
    }
    record
        .recovers_from("store overwritten with noise", |folder, rng| {
            for path in store_files(folder) {
                change(&path, |bytes| rng.fill(&mut bytes[..]));
            }
        })
        .await;
    let other = Record::new().await;
    record
        .recovers_from("store of another record", |folder, _| {
            fs::remove_dir_all(folder.join("store")).expect("deleted");
            fs::create_dir(folder.join("store")).expect("made");
            copy_all(&other.folder.path().join("store"), &folder.join("store"));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoint_that_is_gone_or_damaged_is_made_again_and_every_figure_is_as_before() {
    let mut record = Record::new().await;
    let checkpoint = |folder: &Path| folder.join("checkpoint");
    record
        .recovers_from("checkpoint deleted", |folder, _| {
            fs::remove_file(checkpoint(folder)).expect("deleted");
        })
        .await;
    record
        .recovers_from("checkpoint truncated", |folder, _| {
            halve(&checkpoint(folder));
        })
        .await;
    for _ in 0..FLIPS {
        record
            .recovers_from("one bit of the checkpoint flipped", |folder, rng| {
                flip_one(&checkpoint(folder), rng);
            })
            .await;
    }
    record
        .recovers_from("checkpoint and store deleted", |folder, _| {
            fs::remove_file(checkpoint(folder)).expect("deleted");
            fs::remove_dir_all(folder.join("store")).expect("deleted");
        })
        .await;
    let other = Record::new().await;
    record
        .recovers_from("checkpoint of another record", |folder, _| {
            let other = checkpoint(other.folder.path());
            fs::copy(other, checkpoint(folder)).expect("replaced");
        })
        .await;
}

/// The end of a server that must not start over this folder.
async fn refusal(folder: &Path) -> End {
    let started = Server::start(child::serve(folder)).await;
    let end = started.err().expect("it must not start");
    assert!(!end.status.success(), "{end:?}");
    assert!(!end.log.contains("panic"), "{}", end.log);
    end
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bit_in_the_journal_is_refused_with_file_offset_and_the_way_out() {
    let mut record = Record::new().await;
    let folder = record.copy();
    let segment = folder.path().join(SEGMENT);
    let good = fs::read(&segment).expect("a segment");
    for _ in 0..FLIPS {
        let mut bad = good.clone();
        // In the first half: acknowledged entries lie behind it.
        let place = record
            .rng
            .random_range(SEGMENT_HEADER_BYTES..used(&good) / 2);
        bad[place] ^= 1 << record.rng.random_range(0..8);
        fs::write(&segment, &bad).expect("written");
        let end = refusal(folder.path()).await;
        assert_eq!(end.status.code(), Some(DAMAGE));
        reports::tell(&format!("byte {place}: {}", end.log));
        let file = segment.to_str().expect("a plain path");
        for word in [file, "damaged at byte", "mistap verify", "backup"] {
            assert!(end.log.contains(word), "no {word:?} in: {}", end.log);
        }
        assert!(offset(&end.log) <= place, "{place}: {}", end.log);
        assert!(
            fs::read(&segment).expect("a segment") == bad,
            "it was changed"
        );
        let verified = verify(folder.path()).await;
        assert_eq!(verified.status.code(), Some(DAMAGE));
        let found = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(
            found.contains(file) && found.contains("damaged at byte"),
            "{found}"
        );
    }
    // With the file of the backup all is as before.
    fs::write(&segment, &good).expect("written");
    let service = Service::start_in(folder).await;
    let channel = service.connect().await;
    assert_eq!(
        ask(&channel, START).await,
        reports::count(record.counted.iter())
    );
}

/// The number in `damaged at byte N`.
fn offset(log: &str) -> usize {
    let (_, rest) = log.split_once("damaged at byte ").expect("it is told");
    let digits = rest.chars().take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().expect("a number")
}

async fn verify(folder: &Path) -> std::process::Output {
    let mut command = child::mistap();
    command.arg("verify").arg("--data").arg(folder);
    command.output().await.expect("the program can be run")
}

/// Puts a checkpoint into a folder in which the last incident has another signal.
fn count_otherwise(folder: &Path) {
    let (reader, _) = mistap::journal::open_reader(&folder.join("journal")).expect("whole");
    let entries = reader.entries_from(reader.begin()).expect("readable");
    let mut entries: Vec<_> = entries.map(|record| record.expect("whole")).collect();
    let last = entries
        .iter_mut()
        .rev()
        .find_map(|record| match &mut record.entry {
            Entry::Incident { facts, .. } => Some(facts),
            _ => None,
        });
    let facts = last.expect("there are some");
    facts.signal = match facts.signal {
        Some(Signal::RedBeep) => None,
        _ => Some(Signal::RedBeep),
    };
    let mut state = State::new(reader.epoch());
    for record in entries {
        state.apply(record.position, record.stamp, &record.entry);
    }
    checkpoint::write(&state, folder).expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_tells_a_checkpoint_that_counts_otherwise_than_the_journal() {
    let folder = Record::new().await.copy();
    let verified = verify(folder.path()).await;
    assert!(verified.status.success(), "{verified:?}");
    count_otherwise(folder.path());
    let verified = verify(folder.path()).await;
    assert_eq!(verified.status.code(), Some(DAMAGE), "{verified:?}");
    let told = String::from_utf8_lossy(&verified.stdout);
    assert!(told.contains("checkpoint  DIFFERS from the fold"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torn_tail_is_cut_off_and_told_and_nothing_answered_is_lost() {
    let mut record = Record::new().await;
    let folder = record.copy();
    let torn_bytes = record.rng.random_range(1..3_000);
    change(&folder.path().join(SEGMENT), |bytes| {
        let end = used(bytes);
        record.rng.fill(&mut bytes[end..end + torn_bytes]);
        // So that the last of them is seen.
        bytes[end + torn_bytes - 1] |= 1;
    });
    let server = Server::start(child::serve(folder.path())).await;
    let server = server.expect("it starts");
    let channel = server.connect().await;
    assert_eq!(
        ask(&channel, START).await,
        reports::count(record.counted.iter())
    );
    drop(channel);
    let end = server.terminate().await;
    assert!(end.status.success(), "{end:?}");
    let opened = end.log.lines().find(|line| line.contains("torn_bytes"));
    let opened = opened.expect("it is told");
    assert!(!opened.contains("torn_bytes=0"), "{opened}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_entry_cut_short_can_be_reported_again() {
    let mut record = Record::new().await;
    record.counted.push(record.unsent.clone());
    let (last, rest) = record.counted.split_last().expect("many");
    let service = Service::start_in(record.copy()).await;
    report_all(&service.connect().await, [last.clone()]).await;
    // As a crash leaves it, with the checkpoint of the start.
    let crashed = TempDir::new().expect("a folder");
    copy_all(service.folder(), crashed.path());
    change(&crashed.path().join(SEGMENT), |bytes| cut_last(bytes));
    let again = Service::start_in(crashed).await;
    let channel = again.connect().await;
    assert_eq!(ask(&channel, START).await, reports::count(rest.iter()));
    report_all(&channel, [last.clone()]).await;
    let counted = record.counted.iter();
    assert_eq!(ask(&channel, START).await, reports::count(counted));

    // The checkpoint of a stop proves that the entry was there.
    let stopped = service.stop().await;
    change(&stopped.path().join(SEGMENT), |bytes| cut_last(bytes));
    let end = refusal(stopped.path()).await;
    assert_eq!(end.status.code(), Some(DAMAGE));
    let journal = stopped.path().join("journal");
    let journal = journal.to_str().expect("a plain path");
    for word in [journal, "backup", "mistap restore"] {
        assert!(end.log.contains(word), "no {word:?} in: {}", end.log);
    }
    let mut rebuild = child::mistap();
    rebuild.arg("rebuild").arg("--data").arg(stopped.path());
    let rebuilt = rebuild.output().await.expect("the program can be run");
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    let rebuilt = Service::start_in(stopped).await;
    let channel = rebuilt.connect().await;
    assert_eq!(ask(&channel, START).await, reports::count(rest.iter()));
}

fn cut_last(bytes: &mut [u8]) {
    const CUT_BYTES: usize = 40;
    let end = used(bytes);
    bytes[end - CUT_BYTES..end].fill(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_that_another_server_uses_is_refused() {
    let service = Service::start().await;
    let end = refusal(service.folder()).await;
    assert!(
        end.log.contains("another process has this journal open"),
        "{}",
        end.log
    );
    let verified = verify(service.folder()).await;
    assert!(
        verified.status.success(),
        "verify runs beside a server: {verified:?}"
    );
}

/// A file system of its own, in memory. Unmounted when dropped.
struct Small(TempDir);

impl Small {
    /// `None`, and why is said, where nothing can be mounted and nothing has to be.
    fn new(mebibytes: u32) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]);
        match mount.arg(folder.path()).output() {
            Ok(output) if output.status.success() => Some(Self(folder)),
            refused => {
                let why = format!("nothing can be mounted here: {refused:?}");
                let required = std::env::var("MISTAP_DISKS").is_ok_and(|value| value == "required");
                assert!(!required, "{why}");
                child::skip(&why);
                None
            }
        }
    }

    fn remount(&self, option: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{option}")]);
        let output = mount.arg(self.0.path()).output().expect("mount");
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a failed test may have left files open.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_reports_and_takes_them_again_when_there_is_room() {
    const DISK_MIB: u32 = 192;
    const FILLER_BYTES: usize = 110 * 1024 * 1024;
    const MANY: usize = 1_000;
    let Some(disk) = Small::new(DISK_MIB) else {
        return;
    };
    let now = mistap::app::system_clock()();
    let mut reporter = Reporter::new(reports::seed(), now);
    let folder = disk.0.path().join("data");
    let server = Server::start(child::serve(&folder)).await.expect("room");
    let channel = server.connect().await;
    let mut counted = vec![reporter.next()];
    report_all(&channel, counted.clone()).await;

    let filler = disk.0.path().join("filler");
    fs::write(&filler, vec![1; FILLER_BYTES]).expect("it fits");
    let mut client = ReportingServiceClient::new(channel.clone());
    let refused = loop {
        assert!(
            counted.len() < MANY,
            "the disk is full, and reports are taken"
        );
        let incident = reporter.next();
        let request = pb::ReportIncidentRequest {
            incident: Some(incident.clone()),
            ..pb::ReportIncidentRequest::default()
        };
        match client.report_incident(request).await {
            Ok(_) => counted.push(incident),
            Err(status) => break (incident, status),
        }
    };
    let (incident, status) = refused;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("disk"), "{status:?}");
    assert_eq!(ask(&channel, now).await, reports::count(counted.iter()));

    fs::remove_file(&filler).expect("removed");
    let request = pb::ReportIncidentRequest {
        incident: Some(incident.clone()),
        ..pb::ReportIncidentRequest::default()
    };
    until_so("there is room, and reports are taken again", async || {
        client.report_incident(request.clone()).await.is_ok()
    })
    .await;
    counted.push(incident);
    assert_eq!(ask(&channel, now).await, reports::count(counted.iter()));
    drop((channel, client));
    assert!(server.terminate().await.status.success());

    disk.remount("ro");
    let end = refusal(&folder).await;
    reports::tell(&end.log);
    assert!(end.log.contains("Read-only file system"), "{}", end.log);
    assert!(
        end.log.contains(folder.to_str().expect("plain")),
        "{}",
        end.log
    );
    disk.remount("rw");
    let server = Server::start(child::serve(&folder))
        .await
        .expect("it starts again");
    let channel = server.connect().await;
    assert_eq!(ask(&channel, now).await, reports::count(counted.iter()));
}

/// Taps of one stop, so many hours ago.
fn taps_of_hour(hours_ago: i64, taps: u64) -> taps::Told {
    taps::Told::from([(("stop".to_owned(), hours_ago), taps)])
}

/// Of the day before, and of today.
const DAY_ONE: i64 = 30;
const DAY_TWO: i64 = 2;

/// Records taps, and stops. A later clock stamps entries with another time.
async fn tell_taps(folder: TempDir, told: &taps::Told, later_ms: i64) -> TempDir {
    let service = Service::start_with(folder, |settings| {
        settings.clock = std::sync::Arc::new(move || UtcMillis(START.0 + later_ms));
    })
    .await;
    taps::stream(&service.connect().await, told).await;
    taps::kept(&service).await;
    service.stop().await
}

/// Replaces a folder by a copy of another.
fn put_back(from: &Path, to: &Path) {
    fs::remove_dir_all(to).expect("deleted");
    fs::create_dir(to).expect("made");
    copy_all(from, to);
}

/// A folder has exactly these taps, goes on to take others, and is whole.
async fn has_taps(folder: TempDir, told: &taps::Told) {
    let service = Service::start_in(folder).await;
    let next = taps_of_hour(DAY_TWO, 5);
    assert_eq!(taps::kept(&service).await, *told, "after the start");
    taps::stream(&service.connect().await, &next).await;
    let mut told = told.clone();
    told.extend(next);
    assert_eq!(taps::kept(&service).await, told, "what is told next counts");
    let folder = service.stop().await;
    let report = repair::verify(folder.path(), &mut |_, _| {}).expect("readable");
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taps_of_an_entry_that_was_cut_off_are_forgotten_and_those_told_in_its_place_count() {
    let told = taps_of_hour(DAY_ONE, 7);
    let folder = tell_taps(TempDir::new().expect("a folder"), &told, 0).await;
    let service = Service::start_in(folder).await;
    let lost = taps_of_hour(DAY_TWO, 999);
    taps::stream(&service.connect().await, &lost).await;
    taps::kept(&service).await;
    service.ledger().flush_blocks().expect("a working store");
    // As a crash leaves it, with the checkpoint of the start and all that the store had.
    let crashed = TempDir::new().expect("a folder");
    copy_all(service.folder(), crashed.path());
    change(&crashed.path().join(SEGMENT), |bytes| {
        let end = used(bytes);
        bytes[end - 1] ^= 1;
    });
    has_taps(crashed, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_and_no_checkpoint_beside_an_older_journal_have_only_the_taps_of_that() {
    let told = taps_of_hour(DAY_ONE, 7);
    let folder = tell_taps(TempDir::new().expect("a folder"), &told, 0).await;
    let older = TempDir::new().expect("a folder");
    copy_all(&folder.path().join("journal"), older.path());
    let folder = tell_taps(folder, &taps_of_hour(DAY_TWO, 999), 0).await;
    put_back(older.path(), &folder.path().join("journal"));
    fs::remove_file(folder.path().join("checkpoint")).expect("deleted");
    has_taps(folder, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_of_entries_in_whose_place_others_stand_is_not_taken_for_theirs() {
    const LATER_MS: i64 = 60_000;
    let told = taps_of_hour(DAY_ONE, 7);
    let folder = tell_taps(TempDir::new().expect("a folder"), &told, 0).await;
    let older = TempDir::new().expect("a folder");
    copy_all(folder.path(), older.path());
    let folder = tell_taps(folder, &taps_of_hour(DAY_TWO, 999), 0).await;
    // The journal that lost it grew as long again before anybody looked at the store.
    let mut told = told;
    let other = taps_of_hour(DAY_TWO + 1, 8);
    let grown = tell_taps(older, &other, LATER_MS).await;
    told.extend(other);
    put_back(&folder.path().join("store"), &grown.path().join("store"));
    fs::remove_file(grown.path().join("checkpoint")).expect("deleted");
    has_taps(grown, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_store_is_made_again_and_has_the_taps_that_were_told_since() {
    let folder = TempDir::new().expect("a folder");
    let folder = tell_taps(folder, &taps_of_hour(DAY_ONE, 100), 0).await;
    let older = TempDir::new().expect("a folder");
    copy_all(&folder.path().join("store"), older.path());
    let told = taps_of_hour(DAY_ONE, 200);
    let folder = tell_taps(folder, &told, 0).await;
    put_back(older.path(), &folder.path().join("store"));
    has_taps(folder, &told).await;
}

/// Enough for another block.
const SHORTER: GoesOn = GoesOn {
    later_ms: 60_000,
    incidents: 600,
};
const LONGER: GoesOn = GoesOn {
    later_ms: 120_000,
    incidents: 700,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_and_checkpoint_of_another_past_of_the_same_journal_are_made_again() {
    let mut before = Record::new().await;
    let other = before.goes_on(SHORTER).await;
    let mut record = before.goes_on(LONGER).await;
    let take = |folder: &Path, name: &str| {
        let (from, to) = (other.folder.path().join(name), folder.join(name));
        if from.is_dir() {
            put_back(&from, &to);
        } else {
            fs::copy(from, to).expect("replaced");
        }
    };
    record
        .recovers_from("store of another past", |folder, _| take(folder, "store"))
        .await;
    record
        .recovers_from("checkpoint of another past", |folder, _| {
            take(folder, "checkpoint");
        })
        .await;
    record
        .recovers_from("store and checkpoint of another past", |folder, _| {
            take(folder, "store");
            take(folder, "checkpoint");
        })
        .await;
    record
        .recovers_from("store of another past, and no checkpoint", |folder, _| {
            take(folder, "store");
            fs::remove_file(folder.join("checkpoint")).expect("deleted");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_store_and_one_of_entries_that_were_lost_are_not_taken_for_the_journals() {
    let mut older = Record::new().await;
    let mut newer = older.goes_on(LONGER).await;
    let store = |record: &Record| {
        let copy = TempDir::new().expect("a folder");
        copy_all(&record.folder.path().join("store"), copy.path());
        copy
    };
    let (of_older, of_newer) = (store(&older), store(&newer));
    newer
        .recovers_from("older store", |folder, _| {
            put_back(of_older.path(), &folder.join("store"));
        })
        .await;
    older
        .recovers_from("store of entries that were lost", |folder, _| {
            put_back(of_newer.path(), &folder.join("store"));
        })
        .await;
    // All but the journal: it ends before what is known of it.
    let folder = newer.copy();
    let journal = folder.path().join("journal");
    put_back(&older.folder.path().join("journal"), &journal);
    let end = refusal(folder.path()).await;
    assert_eq!(end.status.code(), Some(DAMAGE));
    assert!(end.log.contains("mistap restore"), "{}", end.log);
}
