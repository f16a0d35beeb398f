//! Editions of a journal that came back from a copy, and files that its crash left.

use super::*;
use crate::domain::entry::Epoch;

const MONTH: &str = "2026-10";

fn file(record: &Record, extension: &str) -> std::path::PathBuf {
    let folder = record.folder.path().join("editions");
    folder.join(format!("{MONTH}.{extension}"))
}

/// A copy of a record that ends with fewer reports, beside the edition that was published of all.
fn copy_beside_its_edition() -> (Record, Vec<u8>) {
    let (published, _, _) = closed();
    let bytes = std::fs::read(file(&published, "json")).expect("there");
    let mut copy = Record::new();
    for _ in 0..5 {
        copy.tell_of_gvb(amsterdam("2026-10-20T10:00"));
    }
    copy.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    std::fs::create_dir(copy.folder.path().join("editions")).expect("a folder");
    for extension in ["json", "note"] {
        std::fs::copy(file(&published, extension), file(&copy, extension)).expect("copied");
    }
    (copy, bytes)
}

#[test]
fn edition_published_before_a_restore_is_never_written_over_and_noted_again() {
    let (mut copy, bytes) = copy_beside_its_edition();
    let refused = copy.library().prepare(of(MONTH));
    assert!(
        matches!(refused, Err(EditionError::Unnoted { .. })),
        "{refused:?}"
    );
    assert_eq!(std::fs::read(file(&copy, "json")).expect("there"), bytes);
    copy.append(
        amsterdam("2026-11-25T10:00"),
        &Entry::Restored(Epoch([7; 16])),
    );
    let library = copy.library();
    let closed = copy.close(&library, MONTH);
    assert_eq!(closed.hash, Hash::of(&bytes));
    for library in [library, copy.library()] {
        assert_eq!(library.list(), [closed]);
        let held = library.get(of(MONTH)).expect("whole").expect("closed");
        assert_eq!(held.bytes, bytes);
        let verdict = library.verify(of(MONTH)).expect("whole");
        assert_eq!(verdict, Some(Verdict::Gone), "what it counts is lost");
    }
}

#[test]
fn file_that_is_no_edition_of_its_month_is_neither_taken_in_nor_written_over() {
    for other in ["{}", "", "something else"] {
        let (mut copy, _) = copy_beside_its_edition();
        copy.append(
            amsterdam("2026-11-25T10:00"),
            &Entry::Restored(Epoch([7; 16])),
        );
        std::fs::write(file(&copy, "json"), other).expect("written");
        let refused = copy.library().prepare(of(MONTH));
        assert!(
            matches!(refused, Err(EditionError::Unnoted { .. })),
            "{refused:?}"
        );
        let there = std::fs::read_to_string(file(&copy, "json")).expect("there");
        assert_eq!(there, other);
    }
}

/// A record of which an edition is ready, and was not closed.
fn ready() -> (Record, ClosedEdition) {
    let mut record = Record::new();
    for _ in 0..12 {
        record.tell_of_gvb(amsterdam("2026-10-20T10:00"));
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    match record.library().prepare(of(MONTH)).expect("made") {
        Prepared::Ready(ready) => (record, ready),
        other => panic!("{other:?}"),
    }
}

#[test]
fn file_that_a_crash_left_before_its_hash_was_noted_is_no_edition_and_is_made_again() {
    let (mut record, first) = ready();
    assert!(!file(&record, "json").exists());
    assert_eq!(record.library().list(), []);
    // Somebody erased a report meanwhile, so that it comes out otherwise.
    for position in 3..6 {
        record
            .writer
            .erase_personal(Position(position))
            .expect("erased");
    }
    let library = record.library();
    let closed = record.close(&library, MONTH);
    assert_ne!(closed.hash, Hash(first.sha256));
    let bytes = std::fs::read(file(&record, "json")).expect("there");
    assert_eq!(Hash::of(&bytes), closed.hash);
    assert!(!file(&record, "ready").exists());
}

#[test]
fn file_that_a_crash_left_after_its_hash_was_noted_is_the_edition() {
    let (mut record, ready) = ready();
    let at = UtcMillis(record.writer.last_stamp().0 + 1);
    record.append(at, &Entry::EditionClosed(ready));
    for position in 3..6 {
        record
            .writer
            .erase_personal(Position(position))
            .expect("erased");
    }
    let again = record.library().prepare(of(MONTH)).expect("it is there");
    assert!(matches!(again, Prepared::Restored(_)), "{again:?}");
    let held = record.library().get(of(MONTH)).expect("whole");
    assert_eq!(held.expect("closed").closed.hash, Hash(ready.sha256));
}

#[test]
fn reading_library_finds_what_has_no_note_and_writes_none() {
    let (record, _, closed) = closed();
    std::fs::remove_file(file(&record, "note")).expect("there");
    let reading = Library::open_reading(record.folder.path(), record.reader.clone());
    assert_eq!(reading.expect("readable").list(), [closed]);
    assert!(!file(&record, "note").exists());
    record.library();
    assert!(file(&record, "note").exists());
}

#[test]
fn month_whose_file_is_gone_is_due_but_was_closed() {
    let (mut record, _, _) = closed();
    std::fs::remove_dir_all(record.folder.path().join("editions")).expect("removed");
    record.append(amsterdam("2026-12-22T00:00"), &Entry::Tick);
    let library = record.library();
    assert_eq!(library.due().expect("read"), [of(MONTH), of("2026-11")]);
    assert_eq!(library.never_closed().expect("read"), [of("2026-11")]);
}

#[test]
fn edition_closed_while_an_earlier_one_of_its_quarter_was_gone_is_proved_when_that_is_back() {
    let (mut record, library) = told_quarter_after(&[]);
    record.close(&library, "2026-07");
    record.close(&library, "2026-08");
    let file = record.folder.path().join("editions/2026-07.json");
    let kept = std::fs::read(&file).expect("there");
    std::fs::remove_file(&file).expect("there");
    let library = record.library();
    record.close(&library, "2026-09");
    std::fs::write(&file, kept).expect("written");
    let verdict = record.library().verify(of("2026-09")).expect("whole");
    assert_eq!(verdict, Some(Verdict::Recomputed));
}
