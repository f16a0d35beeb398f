//! The journal as a whole: what it promises across crashes, flipped bits and reopening.

use std::fs;
use std::os::unix::fs::FileExt;

use tempfile::TempDir;

use super::*;
use crate::domain::entry::ClosedEdition;
use crate::domain::taps::{
    DayBegin, Refusals, TapBatch, TapCount, TapFeed, TapGrain, TapInterval, TapKinds, TapScope,
    TapSlot, Taps,
};
use crate::domain::taxonomy::{Signal, TapKind, TimePrecision};
use crate::domain::testing::{blank_facts, id_made_at, personal};
use crate::domain::{
    ContentDigest, Entry, Facts, Fingerprint, Hour, KeysTold, LocalDay, LocalMonth, Personal,
    RowTime, SecretHash, UtcMillis,
};

const SMALL: Settings = Settings {
    segment_bytes: 64 * 1024,
    sync: true,
};
/// For tests that open a journal very often, and pull no plug.
const UNSYNCED: Settings = Settings {
    sync: false,
    ..SMALL
};
const NOW: UtcMillis = UtcMillis(1_800_000_000_000);

fn incident(number: u64) -> Entry {
    let time = RowTime::Hour(Hour(500_000));
    let facts = Facts {
        digest: Some(ContentDigest([3; 16])),
        secret_hash: Some(SecretHash([4; 16])),
        operator: Some("GVB".parse().expect("an operator")),
        line: Some("GVB:10".parse().expect("a line")),
        stop: Some("30000123".parse().expect("a stop")),
        signal: Some(Signal::RedBeep),
        attempts: 2,
        ..blank_facts(id_made_at(NOW, number), time, TimePrecision::Exact)
    };
    let personal = Personal {
        key_period: 7,
        vehicle: "2043".into(),
        operator_words: "gvb".into(),
        line_words: "tram 10".into(),
        stop_words: "Leidseplein".into(),
        note: "ach, meisje".into(),
        ..personal(NOW)
    };
    Entry::Incident {
        facts: Box::new(facts),
        personal: Some(Box::new(personal)),
    }
}

fn without_personal(entry: Entry) -> Entry {
    match entry {
        Entry::Incident { facts, .. } => Entry::Incident {
            facts,
            personal: None,
        },
        other => other,
    }
}

/// Removes all segments.
fn remove_segments(dir: &Path) {
    for (_, path) in segment::list(dir).expect("a folder") {
        fs::remove_file(path).expect("removed");
    }
}

#[test]
fn every_batch_is_made_durable_before_it_is_answered() {
    let dir = TempDir::new().expect("a folder");
    let settings = Settings {
        segment_bytes: SMALL.segment_bytes,
        ..Settings::default()
    };
    let (mut writer, _, _) = open(dir.path(), settings).expect("new");
    for number in 0..20 {
        let before = durable::counted::writes();
        let entries = [encode(&incident(number)), encode(&Entry::Tick)];
        writer.append(&entries, NOW).expect("room");
        assert_eq!(durable::counted::writes(), before + 1, "batch {number}");
    }
}

#[test]
fn segment_that_cannot_be_prepared_can_be_tried_again() {
    let dir = folder();
    let (mut writer, reader, _) = open(dir.path(), SMALL).expect("new");
    // What the next segment is prepared in is taken, by a folder.
    let spare = dir.path().join("spare.tmp");
    fs::create_dir(&spare).expect("made");
    let mut next = 1;
    let error = loop {
        match writer.append(&batch(next..next + 20), NOW) {
            Ok((first, _)) => assert_eq!(first, Position(next)),
            Err(error) => break error,
        }
        next += 20;
    };
    assert!(matches!(error, JournalError::NoSegment { .. }));
    assert_eq!(
        (writer.last(), reader.last()),
        (Position(next - 1), Position(next - 1))
    );
    assert!(writer.append(&batch(next..next + 20), NOW).is_err());
    fs::remove_dir(&spare).expect("removed");
    writer.append(&batch(next..next + 20), NOW).expect("room");
    drop(writer);
    assert_eq!(segment::list(dir.path()).expect("a folder").len(), 2);
    let (writer, reader, _) = open(dir.path(), SMALL).expect("whole");
    assert_eq!(writer.last(), Position(next + 19));
    assert_eq!(
        reader.facts_from(Position(1)).expect("read").count() as u64,
        next + 19
    );
}

#[test]
fn no_room_for_a_segment_is_told_before_any_is_taken() {
    let dir = folder();
    let error = segment::prepare(dir.path(), u64::MAX, false).expect_err("refused");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
}

#[test]
fn batch_that_is_half_written_when_there_is_no_segment_poisons() {
    let dir = folder();
    let (mut writer, reader, _) = open(dir.path(), SMALL).expect("new");
    fs::create_dir(dir.path().join("spare.tmp")).expect("made");
    // More than a segment holds.
    let error = writer.append(&batch(1..1_001), NOW).expect_err("no room");
    assert!(matches!(error, JournalError::Io { .. }));
    assert!(Position(0) < reader.last());
    let error = writer.append(&batch(1..2), NOW).expect_err("refused");
    assert!(matches!(error, JournalError::Poisoned));
}

#[test]
fn journal_that_lost_all_segments_is_refused() {
    let dir = journal_of(1, 3);
    assert!(exists(dir.path()).expect("known") && has_begun(dir.path()).expect("known"));
    remove_segments(dir.path());
    assert!(!exists(dir.path()).expect("known") && has_begun(dir.path()).expect("known"));
    for _ in 0..2 {
        let error = open(dir.path(), UNSYNCED).map(|_| ()).expect_err("refused");
        let first = Position(1);
        assert!(
            matches!(error, JournalError::MissingSegment { position, .. } if position == first)
        );
    }
}

#[test]
fn creation_that_was_cut_short_is_begun_again() {
    let dir = folder();
    assert!(!has_begun(&dir.path().join("none")).expect("known"));
    assert!(!exists(&dir.path().join("none")).expect("known"));
    // What a kill leaves before the first segment has its name.
    drop(segment::lock(dir.path(), segment::LOCK_WAIT).expect("free"));
    drop(segment::prepare(dir.path(), SMALL.segment_bytes, false).expect("made"));
    assert!(!has_begun(dir.path()).expect("known"));
    open(dir.path(), UNSYNCED).expect("new");
    assert!(has_begun(dir.path()).expect("known"));
}

/// The entries that belong at these positions.
fn batch(positions: std::ops::Range<u64>) -> Vec<Encoded> {
    positions
        .map(|position| encode(&incident(position)))
        .collect()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

/// A journal of as many batches of as many entries.
fn journal_of(batches: u64, entries: u64) -> TempDir {
    let dir = folder();
    let (mut writer, _, _) = open(dir.path(), UNSYNCED).expect("new");
    for number in 0..batches {
        let first = number * entries + 1;
        writer
            .append(&batch(first..first + entries), NOW)
            .expect("appended");
    }
    dir
}

fn first_file(dir: &TempDir) -> PathBuf {
    segment::path_of(dir.path(), Position(1))
}

/// Offsets at which the records of the first segment begin, and where the last one ends.
fn offsets(bytes: &[u8]) -> Vec<usize> {
    let mut offsets = vec![format::SEGMENT_HEADER_BYTES];
    let mut end = format::SEGMENT_HEADER_BYTES;
    while let Some(header) = format::RecordHeader::parse(&bytes[end..]) {
        end += header.record_bytes();
        offsets.push(end);
    }
    offsets
}

/// Opens a journal and demands that it holds the entries up to `last`, whole.
fn check_whole(dir: &Path, last: u64) -> Opening {
    let (writer, reader, opening) = open(dir, UNSYNCED).expect("opens");
    assert_eq!(
        (writer.last(), reader.last()),
        (Position(last), Position(last))
    );
    assert_eq!(opening.records, last);
    let records: Vec<_> = reader
        .entries_from(Position(1))
        .expect("reads")
        .map(|record| record.expect("whole"))
        .collect();
    assert_eq!(records.len() as u64, last);
    for (number, record) in (1..).zip(records) {
        assert_eq!(record.position, Position(number));
        assert_eq!(record.entry, incident(number));
    }
    opening
}

/// Opens a journal and demands that it is refused at this record of the first segment.
fn check_damaged(dir: &TempDir, at: usize, expected_position: u64) {
    match open(dir.path(), UNSYNCED).map(|_| ()) {
        Err(error @ JournalError::Damaged { .. }) => {
            let text = error.to_string();
            let JournalError::Damaged {
                file,
                offset,
                position,
                ..
            } = error
            else {
                unreachable!("matched above");
            };
            assert_eq!(file, first_file(dir));
            assert_eq!(
                (offset, position),
                (at as u64, Position(expected_position)),
                "{text}"
            );
            assert!(text.contains(&file.display().to_string()), "{text}");
            assert!(text.contains(&offset.to_string()), "{text}");
        }
        other => panic!("damage at {at} was not refused: {other:?}"),
    }
}

#[test]
fn new_journal_is_empty_and_takes_entries() {
    let dir = folder();
    let (mut writer, reader, opening) = open(dir.path(), SMALL).expect("new");
    assert_eq!((opening.records, writer.last()), (0, Position(0)));
    assert_eq!(reader.entry(Position(1)).expect("reads"), None);
    let (first, stamp) = writer.append(&batch(1..4), NOW).expect("appended");
    assert_eq!((first, stamp), (Position(1), NOW));
    let record = reader.entry(Position(2)).expect("reads").expect("there");
    assert_eq!(record.entry, incident(2));
    let epoch = writer.epoch();
    drop(writer);
    let (writer, reader, _) = open(dir.path(), SMALL).expect("opens");
    assert_eq!((writer.epoch(), reader.epoch()), (epoch, epoch));
    drop(writer);
    check_whole(dir.path(), 3);
}

#[test]
fn stamps_never_go_back() {
    let dir = folder();
    let (mut writer, _, _) = open(dir.path(), SMALL).expect("new");
    let later = UtcMillis(NOW.0 + 5);
    writer.append(&batch(1..2), later).expect("appended");
    assert_eq!(writer.append(&batch(2..3), NOW).expect("appended").1, later);
    drop(writer);
    let (mut writer, reader, _) = open(dir.path(), SMALL).expect("opens");
    assert_eq!(writer.last_stamp(), later);
    assert_eq!(writer.append(&batch(3..4), NOW).expect("appended").1, later);
    let record = reader.entry(Position(3)).expect("reads").expect("there");
    assert_eq!(record.stamp, later);
}

#[test]
fn torn_tail_is_cut_wherever_it_tore() {
    let dir = journal_of(3, 3);
    let file = first_file(&dir);
    let whole = fs::read(&file).expect("reads");
    let offsets = offsets(&whole);
    let (start, end) = (offsets[6], offsets[9]);
    for cut in start..end {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        fs::write(&file, &torn).expect("writes");
        let last = offsets.iter().filter(|offset| **offset <= cut).count() as u64 - 1;
        check_whole(dir.path(), last);
        assert_eq!(check_whole(dir.path(), last).torn_bytes, 0, "cut for good");
    }
    let (mut writer, _, _) = open(dir.path(), UNSYNCED).expect("opens");
    let last = writer.last().0;
    writer.append(&batch(last + 1..12), NOW).expect("appended");
    drop(writer);
    check_whole(dir.path(), 11);
}

#[test]
fn last_batch_is_written_again_as_it_may_have_been_refused_by_the_disk() {
    let dir = journal_of(3, 3);
    let file = first_file(&dir);
    let before = fs::read(&file).expect("reads");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    let handle = fs::File::options().write(true).open(&file).expect("opens");
    handle.set_modified(long_ago).expect("set");
    drop(open(dir.path(), SMALL).expect("opens"));
    let modified = fs::metadata(&file).and_then(|told| told.modified());
    assert_ne!(modified.expect("known"), long_ago);
    assert!(fs::read(&file).expect("reads") == before);
}

#[test]
fn zeros_that_the_disk_may_have_refused_are_written_again_if_asked() {
    let dir = journal_of(3, 3);
    let file = first_file(&dir);
    let (mut writer, _, _) = open(dir.path(), SMALL).expect("opens");
    let places = [Position(2)];
    writer.erase_all_personal(&places).expect("erased");
    let before = fs::read(&file).expect("reads");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    let handle = fs::File::options().write(true).open(&file).expect("opens");
    handle.set_modified(long_ago).expect("set");
    let modified = || fs::metadata(&file).and_then(|told| told.modified());
    writer.erase_all_personal(&places).expect("nothing to do");
    assert_eq!(modified().expect("known"), long_ago);
    writer.erase_all_personal_again(&places).expect("erased");
    assert_ne!(modified().expect("known"), long_ago);
    assert!(fs::read(&file).expect("reads") == before);
}

#[test]
fn segments_that_are_smaller_by_now_take_no_more_than_they_hold() {
    let dir = folder();
    let larger = Settings {
        segment_bytes: 4 * SMALL.segment_bytes,
        ..SMALL
    };
    let (mut writer, _, _) = open(dir.path(), larger).expect("new");
    writer.append(&batch(1..901), NOW).expect("room");
    drop(writer);
    let (mut writer, _, _) = open(dir.path(), SMALL).expect("whole");
    writer.append(&batch(901..2_001), NOW).expect("room");
    drop(writer);
    check_whole(dir.path(), 2_000);
}

#[test]
fn segment_that_is_larger_by_now_does_not_take_the_place_of_an_empty_one() {
    let dir = folder();
    drop(open(dir.path(), SMALL).expect("new"));
    let larger = Settings {
        segment_bytes: 4 * SMALL.segment_bytes,
        ..SMALL
    };
    let (mut writer, _, _) = open(dir.path(), larger).expect("empty");
    let many: Vec<_> = (1..=600).map(|number| encode(&incident(number))).collect();
    writer.append(&many, NOW).expect("room");
    drop(writer);
    check_whole(dir.path(), 600);
}

#[test]
fn file_that_was_cut_short_is_torn_too_and_gets_its_size_back() {
    let dir = journal_of(3, 3);
    let file = first_file(&dir);
    let whole = fs::read(&file).expect("reads");
    let end = offsets(&whole)[9];
    fs::write(&file, &whole[..end - 1]).expect("writes");
    assert!(0 < check_whole(dir.path(), 8).torn_bytes);
    let bytes = fs::metadata(&file).expect("there").len();
    assert_eq!(bytes, SMALL.segment_bytes);
}

#[test]
fn batch_that_reached_the_disk_out_of_order_is_a_torn_tail() {
    let dir = journal_of(3, 32);
    let file = first_file(&dir);
    let whole = fs::read(&file).expect("reads");
    let offsets = offsets(&whole);
    let (start, end) = (offsets[64], offsets[96]);
    // The batch begins within a sector that was there before, and ends within another.
    for sector in start.div_ceil(512)..end / 512 {
        let mut torn = whole.clone();
        torn[sector * 512..(sector + 1) * 512].fill(0);
        fs::write(&file, &torn).expect("writes");
        let last = offsets
            .iter()
            .filter(|offset| **offset <= sector * 512)
            .count() as u64
            - 1;
        assert!(0 < check_whole(dir.path(), last).torn_bytes);
        check_whole(dir.path(), last);
    }
    let mut torn = whole.clone();
    torn[start..start.div_ceil(512) * 512].fill(0);
    fs::write(&file, &torn).expect("writes");
    check_whole(dir.path(), 64);
}

#[test]
fn same_hole_in_a_batch_that_was_acknowledged_is_damage() {
    let dir = journal_of(3, 32);
    let file = first_file(&dir);
    let whole = fs::read(&file).expect("reads");
    let offsets = offsets(&whole);
    for sector in offsets[32].div_ceil(512)..offsets[64] / 512 {
        let mut holed = whole.clone();
        holed[sector * 512..(sector + 1) * 512].fill(0);
        fs::write(&file, &holed).expect("writes");
        let last = offsets
            .iter()
            .filter(|offset| **offset <= sector * 512)
            .count()
            - 1;
        check_damaged(&dir, offsets[last], last as u64 + 1);
        assert_eq!(fs::read(&file).expect("reads"), holed, "left as it was");
    }
}

#[test]
fn flipped_bit_before_the_last_record_is_refused_naming_file_and_offset() {
    let dir = journal_of(3, 3);
    let file = first_file(&dir);
    let whole = fs::read(&file).expect("reads");
    let offsets = offsets(&whole);
    for byte in offsets[0]..offsets[8] {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << (byte % 8);
        fs::write(&file, &flipped).expect("writes");
        let last = offsets.iter().filter(|offset| **offset <= byte).count() - 1;
        check_damaged(&dir, offsets[last], last as u64 + 1);
    }
}

#[test]
fn damage_since_the_opening_is_an_error_for_who_reads_past_it() {
    let dir = journal_of(3, 3);
    let (_writer, reader, _) = open(dir.path(), UNSYNCED).expect("opens");
    let file = first_file(&dir);
    let whole = fs::read(&file).expect("reads");
    let offsets = offsets(&whole);
    let mut refused = 0;
    for byte in offsets[2]..offsets[2] + format::RECORD_HEADER_BYTES {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << bit;
            fs::write(&file, &flipped).expect("writes");
            for position in 3..=9 {
                let read = reader.stamp(Position(position));
                refused += usize::from(matches!(read, Err(JournalError::Damaged { .. })));
            }
        }
    }
    assert!(0 < refused);
}

#[test]
fn flipped_bit_in_the_last_record_is_cut_and_reported() {
    let dir = journal_of(3, 3);
    let file = first_file(&dir);
    let whole = fs::read(&file).expect("reads");
    let offsets = offsets(&whole);
    for byte in offsets[8]..offsets[9] {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << (byte % 8);
        fs::write(&file, &flipped).expect("writes");
        assert!(0 < check_whole(dir.path(), 8).torn_bytes);
    }
}

#[test]
fn segments_follow_each_other_and_survive_reopening() {
    let dir = journal_of(60, 32);
    let files = segment::list(dir.path()).expect("lists");
    assert!(3 < files.len());
    let opening = check_whole(dir.path(), 60 * 32);
    assert_eq!(opening.segments, files.len() as u64);
    let report = verify(dir.path()).expect("verifies");
    assert!(report.problems.is_empty());
    assert_eq!(report.records, 60 * 32);
    assert_eq!(report.segments.len(), files.len());
    let (_writer, reader, _) = open(dir.path(), SMALL).expect("opens");
    assert_eq!(reader.bytes(), files.len() as u64 * SMALL.segment_bytes);
    for from in [1, 2, 300, 301, 1_919, 1_920] {
        let record = reader.entry(Position(from)).expect("reads").expect("there");
        assert_eq!(record.entry, incident(from));
        let mut expected = from;
        for record in reader.facts_from(Position(from)).expect("reads") {
            let record = record.expect("whole");
            assert_eq!(record.position, Position(expected));
            assert_eq!(record.entry, without_personal(incident(expected)));
            expected += 1;
        }
        assert_eq!(expected, 1_921);
    }
    assert_eq!(reader.entry(Position(1_921)).expect("reads"), None);
    assert_eq!(reader.entry(Position(0)).expect("reads"), None);
}

#[test]
fn batch_larger_than_a_segment_is_taken_in_parts() {
    let dir = folder();
    let (mut writer, reader, _) = open(dir.path(), UNSYNCED).expect("new");
    writer.append(&batch(1..2_000), NOW).expect("appended");
    assert_eq!(reader.last(), Position(1_999));
    drop(writer);
    check_whole(dir.path(), 1_999);
}

#[test]
fn missing_segment_is_refused_wherever_it_was() {
    let check = |missing: usize| {
        let dir = journal_of(60, 32);
        let files = segment::list(dir.path()).expect("lists");
        let (first, path) = &files[missing];
        fs::remove_file(path).expect("removes");
        let error = open(dir.path(), UNSYNCED).map(|_| ()).expect_err("refused");
        assert!(
            matches!(&error, JournalError::MissingSegment { position, .. } if position == first),
            "{error}"
        );
    };
    check(0);
    check(2);
}

#[test]
fn entries_missing_at_the_end_of_an_earlier_segment_are_damage() {
    let dir = journal_of(60, 32);
    let file = first_file(&dir);
    let mut bytes = fs::read(&file).expect("reads");
    let offsets = offsets(&bytes);
    let last = offsets.len() - 2;
    bytes[offsets[last]..].fill(0);
    fs::write(&file, &bytes).expect("writes");
    check_damaged(&dir, offsets[last], last as u64 + 1);
}

#[test]
fn segment_of_another_journal_is_refused() {
    let (dir, other) = (journal_of(60, 32), journal_of(60, 32));
    let files = segment::list(dir.path()).expect("lists");
    let (first, path) = &files[1];
    fs::copy(segment::path_of(other.path(), *first), path).expect("copies");
    let error = open(dir.path(), UNSYNCED).map(|_| ()).expect_err("refused");
    assert!(matches!(error, JournalError::WrongEpoch { file } if &file == path));
}

#[test]
fn newer_format_is_refused_as_such() {
    let dir = journal_of(1, 3);
    let file = first_file(&dir);
    let mut bytes = fs::read(&file).expect("reads");
    bytes[8..12].copy_from_slice(&3_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(&file, &bytes).expect("writes");
    let error = open(dir.path(), UNSYNCED).map(|_| ()).expect_err("refused");
    assert!(matches!(error, JournalError::NewerFormat { found: 3, .. }));
}

#[test]
fn damaged_or_renamed_header_is_refused() {
    let dir = journal_of(1, 3);
    let file = first_file(&dir);
    let renamed = segment::path_of(dir.path(), Position(2));
    fs::rename(&file, &renamed).expect("renames");
    let error = open(dir.path(), UNSYNCED).map(|_| ()).expect_err("refused");
    assert!(
        matches!(error, JournalError::Damaged { offset: 0, .. }),
        "{error}"
    );
    fs::rename(&renamed, &file).expect("renames");
    let mut bytes = fs::read(&file).expect("reads");
    bytes[20] ^= 1;
    fs::write(&file, &bytes).expect("writes");
    check_damaged(&dir, 0, 1);
}

#[test]
fn verify_lists_damage_and_changes_nothing() {
    let dir = journal_of(60, 32);
    for (_, path) in &segment::list(dir.path()).expect("lists")[..2] {
        let mut bytes = fs::read(path).expect("reads");
        bytes[30_000] ^= 1;
        fs::write(path, &bytes).expect("writes");
    }
    let third = &segment::list(dir.path()).expect("lists")[2].1;
    let mut bytes = fs::read(third).expect("reads");
    bytes[0] ^= 1;
    fs::write(third, &bytes).expect("writes");
    let report = verify(dir.path()).expect("verifies");
    assert_eq!(report.problems.len(), 3, "{:?}", report.problems);
    assert_eq!(fs::read(third).expect("reads"), bytes);
    let empty = folder();
    assert_eq!(verify(empty.path()).expect("verifies").problems.len(), 1);
}

#[test]
fn failed_write_poisons_the_writer_and_shows_nothing() {
    let dir = folder();
    let (mut writer, reader, _) = open(dir.path(), SMALL).expect("new");
    writer.append(&batch(1..4), NOW).expect("appended");
    writer.use_read_only_file();
    let failed = writer.append(&batch(4..5), NOW);
    assert!(matches!(failed, Err(JournalError::Io { .. })), "{failed:?}");
    assert_eq!((reader.last(), writer.last()), (Position(3), Position(3)));
    let refused = writer.append(&batch(4..5), NOW);
    assert!(matches!(refused, Err(JournalError::Poisoned)));
    let refused = writer.erase_personal(Position(1));
    assert!(matches!(refused, Err(JournalError::Poisoned)));
    drop(writer);
    check_whole(dir.path(), 3);
}

#[test]
fn entry_that_is_too_large_is_refused_and_poisons_nothing() {
    let dir = folder();
    let (mut writer, _, _) = open(dir.path(), SMALL).expect("new");
    let large = Encoded::of_facts(vec![1; RECORD_BYTES_MAX]);
    let refused = writer.append(&[large], NOW);
    assert!(matches!(refused, Err(JournalError::TooLarge { .. })));
    writer.append(&batch(1..2), NOW).expect("appended");
}

#[test]
fn erased_personal_part_stays_erased() {
    let dir = journal_of(2, 3);
    let (mut writer, reader, _) = open(dir.path(), SMALL).expect("opens");
    for _ in 0..2 {
        writer.erase_personal(Position(2)).expect("erases");
    }
    writer.erase_personal(Position(99)).expect("nothing to do");
    let entry = |reader: &Reader, position| {
        let record = reader.entry(Position(position)).expect("reads");
        record.expect("there").entry
    };
    assert_eq!(entry(&reader, 2), without_personal(incident(2)));
    drop(writer);
    let bytes = fs::read(first_file(&dir)).expect("reads");
    let meisje = |bytes: &[u8]| bytes.windows(6).filter(|word| word == b"meisje").count();
    assert_eq!(meisje(&bytes), 5);
    let (_writer, reader, opening) = open(dir.path(), SMALL).expect("opens");
    assert_eq!((opening.records, opening.torn_bytes), (6, 0));
    assert_eq!(entry(&reader, 2), without_personal(incident(2)));
    assert_eq!(entry(&reader, 3), incident(3));
    assert_eq!(verify(dir.path()).expect("verifies").segments[0].erased, 1);
}

#[test]
fn erasure_that_was_cut_short_is_finished_at_opening() {
    let dir = journal_of(2, 3);
    let file = first_file(&dir);
    let bytes = fs::read(&file).expect("reads");
    let record = offsets(&bytes)[1];
    let header = format::RecordHeader::parse(&bytes[record..]).expect("a record");
    let state = (record + header.personal_at()) as u64;
    fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .and_then(|file| file.write_all_at(&[format::PERSONAL_ERASED], state))
        .expect("writes");
    let (writer, _, opening) = open(dir.path(), SMALL).expect("opens");
    assert_eq!(opening.erasures_finished, 1);
    drop(writer);
    let (_writer, reader, opening) = open(dir.path(), SMALL).expect("opens");
    assert_eq!(opening.erasures_finished, 0);
    let record = reader.entry(Position(2)).expect("reads").expect("there");
    assert_eq!(record.entry, without_personal(incident(2)));
}

#[test]
fn journal_that_another_has_open_is_refused() {
    let dir = folder();
    let held = segment::lock(dir.path(), segment::LOCK_WAIT).expect("free");
    let refused = segment::lock(dir.path(), std::time::Duration::ZERO);
    assert!(matches!(refused, Err(JournalError::Locked { .. })));
    drop(held);
    segment::lock(dir.path(), std::time::Duration::ZERO).expect("free again");
}

#[test]
fn asking_whether_a_journal_is_in_use_writes_nothing() {
    let dir = folder();
    let lock = dir.path().join("LOCK");
    let (writer, ..) = open(dir.path(), SMALL).expect("new");
    assert!(is_in_use(dir.path()).expect("readable"));
    drop(writer);
    assert!(!is_in_use(dir.path()).expect("readable"));
    fs::remove_file(&lock).expect("removed");
    assert!(!is_in_use(dir.path()).expect("readable"));
    assert!(!lock.exists());
}

#[test]
fn reader_follows_the_writer_and_sees_whole_entries_only() {
    const BATCHES: u64 = 200;
    let dir = folder();
    let (mut writer, reader, _) = open(dir.path(), UNSYNCED).expect("new");
    let follower = std::thread::spawn(move || {
        let mut next = 1;
        while next <= BATCHES * 10 {
            for record in reader.entries_from(Position(next)).expect("reads") {
                let record = record.expect("whole");
                assert_eq!((record.position.0, record.entry), (next, incident(next)));
                next += 1;
            }
            let last = reader.last();
            assert!(last == Position(0) || reader.entry(last).expect("reads").is_some());
            std::thread::yield_now();
        }
    });
    for first in (0..BATCHES).map(|number| number * 10 + 1) {
        writer
            .append(&batch(first..first + 10), NOW)
            .expect("appended");
    }
    follower.join().expect("the follower saw all of them");
}

#[test]
fn reader_without_a_lock_reads_beside_a_writer() {
    let dir = folder();
    let (mut writer, _, _) = open(dir.path(), SMALL).expect("new");
    writer.append(&batch(1..4), NOW).expect("appended");
    let (reader, opening) = open_reader(dir.path()).expect("opens");
    assert_eq!((opening.records, reader.last()), (3, Position(3)));
    writer.append(&batch(4..5), NOW).expect("appended");
    let records = reader.entries_from(Position(2)).expect("reads");
    assert_eq!(
        records
            .map(|record| record.expect("whole").position.0)
            .sum::<u64>(),
        5
    );
}

#[test]
fn only_entries_that_are_wanted_are_read() {
    let dir = folder();
    let (mut writer, reader, _) = open(dir.path(), UNSYNCED).expect("new");
    let closed = ClosedEdition {
        month: LocalMonth(24_321),
        through: Position(1),
        sha256: [7; 32],
        method: 1,
    };
    let feed = TapFeed {
        id: "gvb.lines".parse().expect("a name"),
        operator: "GVB".parse().expect("a code"),
        grain: TapGrain::Operator,
        interval: TapInterval::Day,
        kinds: TapKinds::new([TapKind::CheckIn].into_iter().collect()).expect("a tap"),
        refusals: Refusals::Excluded,
        day_begin: DayBegin::default(),
    };
    let slot = TapSlot {
        day: LocalDay(20_000),
        slot: 0,
    };
    let keys = KeysTold {
        digest: Fingerprint([7; 8]),
        periods: [(8_107, Fingerprint([8; 8]))].into(),
    };
    let taps = TapBatch::pack(
        &feed,
        [TapCount {
            scope: TapScope::Operator,
            slot,
            taps: Taps::new(5).expect("few"),
        }],
    );
    let entries = [
        encode(&incident(1)),
        encode(&Entry::TapCounts(Box::new(taps[0].clone()))),
        encode(&Entry::Tick),
        encode(&Entry::EditionClosed(closed)),
        encode(&incident(5)),
        encode(&Entry::KeysChanged(keys)),
        encode(&Entry::TapCountsRemoved { before: slot.day }),
        encode(&Entry::Restored(Epoch([7; 16]))),
    ];
    writer.append(&entries, NOW).expect("appended");
    let check = |wanted, expected: &[u64]| {
        let records = reader.wanted_from(Position(1), wanted);
        let positions: Vec<_> = records
            .map(|record| record.expect("whole").position.0)
            .collect();
        assert_eq!(positions, expected, "{wanted:?}");
    };
    check(Wanted::All, &[1, 2, 3, 4, 5, 6, 7, 8]);
    check(Wanted::AllButTaps, &[1, 3, 4, 5, 6, 7, 8]);
    check(Wanted::Keys, &[6]);
    check(Wanted::Restores, &[8]);
    check(Wanted::Taps, &[2]);
    check(Wanted::TapChanges, &[2, 7]);
    check(Wanted::Editions, &[4]);
}

#[test]
fn what_is_told_of_staff_is_read_at_the_places_asked_for_and_only_above_the_horizon() {
    let dir = folder();
    let (mut writer, reader, _) = open(dir.path(), UNSYNCED).expect("new");
    let entries = [
        encode(&incident(1)),
        encode(&Entry::Tick),
        encode(&incident(3)),
        encode(&incident(4)),
    ];
    writer.append(&entries, NOW).expect("appended");
    let read = |places: &[u64]| -> Vec<u64> {
        let places = places.iter().map(|place| Position(*place)).collect();
        let told = reader.told_of_staff(places);
        told.map(|told| told.expect("whole").0.0).collect()
    };
    assert_eq!(read(&[]), [0; 0]);
    assert_eq!(read(&[1, 4]), [1, 4]);
    // One that is about something else, and one that is not there.
    assert_eq!(read(&[1, 2, 3, 9]), [1, 3]);
    reader.raise_horizon(Position(1));
    assert_eq!(read(&[1, 3]), [3]);
    // When it was recorded stays known.
    assert_eq!(reader.stamp(Position(1)).expect("whole"), Some(NOW));
    assert_eq!(reader.entry(Position(1)).expect("whole"), None);
    for none in [0, 5] {
        assert_eq!(reader.stamp(Position(none)).expect("whole"), None);
    }
}

#[test]
fn many_facts_are_decoded_ahead_and_can_be_left_half_way() {
    let dir = folder();
    let (mut writer, reader, _) = open(dir.path(), UNSYNCED).expect("new");
    let ticks = vec![encode(&Entry::Tick); 20_000];
    writer.append(&ticks, NOW).expect("appended");
    let facts = || reader.facts_from(Position(2)).expect("reads");
    let sum: u64 = facts()
        .map(|record| record.expect("whole").position.0)
        .sum();
    assert_eq!(sum, (2..=20_000).sum::<u64>());
    let first = facts().next().expect("there").expect("whole");
    assert_eq!((first.position, first.entry), (Position(2), Entry::Tick));
}

#[test]
fn entry_of_a_newer_version_is_an_error_that_names_its_position() {
    let dir = folder();
    let (mut writer, reader, _) = open(dir.path(), UNSYNCED).expect("new");
    let newer = Encoded::of_facts(vec![0x7a, 0]);
    writer
        .append(&[encode(&Entry::Tick), newer], NOW)
        .expect("appended");
    let mut facts = reader.facts_from(Position(1)).expect("reads");
    assert!(facts.next().expect("there").is_ok());
    let error = facts.next().expect("there").expect_err("unknown");
    assert!(matches!(
        error,
        JournalError::Undecodable {
            position: Position(2),
            ..
        }
    ));
    assert!(facts.next().is_none());
}
