//! Editions on disk: found again, proved, and never shown where they are damaged.

use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::domain::limits::EDITIONS_HELD_MAX;
use crate::edition::download::Selection;
use crate::edition::library::newest_network;

#[test]
fn closed_edition_is_there_after_a_restart_with_and_without_its_note() {
    let (record, library, closed) = closed();
    assert_eq!(library.list(), [closed]);
    assert_eq!(record.library().list(), [closed]);
    let editions = record.folder.path().join("editions");
    std::fs::remove_file(editions.join("2026-10.note")).expect("there");
    assert_eq!(record.library().list(), [closed]);
    std::fs::write(editions.join("2026-10.note"), "1\n").expect("written");
    assert_eq!(record.library().list(), [closed]);
    let held = library.get(of("2026-10")).expect("whole").expect("closed");
    assert_eq!(Hash::of(&held.bytes), closed.hash);
    assert_eq!(held.edition.to_bytes(), held.bytes);
    assert!(library.get(of("2026-09")).expect("none").is_none());
}

#[test]
fn note_of_an_edition_holds_also_once_the_months_before_have_ended() {
    let (mut record, library, closed) = closed();
    let later = UtcMillis(record.writer.last_stamp().0 + 1);
    let again = ClosedEdition {
        month: of("2026-11"),
        through: closed.position,
        sha256: closed.hash.0,
        method: closed.method,
    };
    record.append(later, &Entry::EditionClosed(again));
    drop(library);
    record.reader.raise_horizon(record.reader.last());
    let note = record.folder.path().join("editions/2026-10.note");
    // Written anew, it is another file.
    let written = || std::fs::metadata(&note).expect("there").ino();
    let before = written();
    assert_eq!(record.library().list(), [closed]);
    assert_eq!(written(), before);
    // What stands after it is no edition of its month.
    std::fs::write(&note, format!("{}\n", closed.position.0 - 1)).expect("written");
    let before = std::fs::read(&note).expect("there");
    assert_eq!(record.library().list(), [closed]);
    assert_ne!(std::fs::read(&note).expect("there"), before);
}

#[test]
fn newest_network_of_editions_is_known_from_their_files_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let newest = || newest_network(folder.path()).expect("readable");
    assert_eq!(newest(), 0);
    let (record, library, _) = closed();
    let held = library.get(of("2026-10")).expect("whole").expect("closed");
    assert_eq!(newest_network(record.folder.path()).expect("readable"), 1);
    let editions = folder.path().join("editions");
    std::fs::create_dir(&editions).expect("made");
    for (month, networks) in [("2026-10", vec![3, 8]), ("2026-11", vec![7])] {
        let edition = Edition {
            networks,
            ..held.edition.clone()
        };
        let file = editions.join(format!("{month}.json"));
        std::fs::write(file, edition.to_bytes()).expect("written");
    }
    assert_eq!(newest(), 8);
    std::fs::write(editions.join("2026-12.json"), "no edition").expect("written");
    assert_eq!(newest(), 8);
}

#[test]
fn edition_that_is_lost_is_not_made_once_more_until_its_file_is_there_again() {
    let (mut record, _, closed) = closed();
    for place in 3..6 {
        let erased = record.writer.erase_personal(Position(place));
        erased.expect("erased");
    }
    let file = record.folder.path().join("editions/2026-10.json");
    let elsewhere = record.folder.path().join("2026-10.json");
    std::fs::rename(&file, &elsewhere).expect("there");
    let library = record.library();
    let is_lost = || {
        let prepared = library.prepare(of("2026-10"));
        matches!(prepared, Err(EditionError::Lost { .. }))
    };
    assert!(is_lost());
    let journal = record.folder.path().join("journal");
    let aside = record.folder.path().join("journal.aside");
    std::fs::rename(&journal, &aside).expect("there");
    assert!(is_lost(), "without a look at the journal");
    std::fs::rename(&aside, &journal).expect("there");
    std::fs::rename(&elsewhere, &file).expect("there");
    let again = library.prepare(of("2026-10")).expect("readable");
    assert!(
        matches!(again, Prepared::Restored(found) if found == closed),
        "{again:?}"
    );
}

#[test]
fn file_without_its_hash_in_the_journal_is_no_edition() {
    let (record, _, _) = closed();
    let editions = record.folder.path().join("editions");
    std::fs::copy(editions.join("2026-10.json"), editions.join("2026-09.json")).expect("copied");
    std::fs::write(editions.join("2026-09.note"), "13\n").expect("written");
    let months: Vec<_> = record
        .library()
        .list()
        .into_iter()
        .map(|closed| closed.month)
        .collect();
    assert_eq!(months, [of("2026-10")]);
}

#[test]
fn changed_file_is_damage_and_never_shown() {
    let (record, _, _) = closed();
    let path = record.folder.path().join("editions/2026-10.json");
    let text = std::fs::read_to_string(&path).expect("there");
    std::fs::write(&path, text.replace("\"count\":12", "\"count\":13")).expect("written");
    let library = record.library();
    for result in [
        library.get(of("2026-10")).map(drop),
        library.verify(of("2026-10")).map(drop),
    ] {
        assert!(
            matches!(result, Err(EditionError::Damaged { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn lost_file_is_made_again_from_the_journal() {
    let (record, library, closed) = closed();
    let path = record.folder.path().join("editions/2026-10.json");
    let bytes = std::fs::read(&path).expect("there");
    std::fs::remove_dir_all(record.folder.path().join("editions")).expect("removed");
    drop(library);
    let library = record.library();
    assert_eq!(library.list(), []);
    let again = library.prepare(of("2026-10")).expect("made");
    assert!(
        matches!(again, Prepared::Restored(found) if found == closed),
        "{again:?}"
    );
    assert_eq!(std::fs::read(&path).expect("there"), bytes);
}

#[test]
fn edition_is_proved_by_the_journal_or_by_its_hash() {
    let (mut record, library, _) = closed();
    let verify = |library: &Library| library.verify(of("2026-10")).expect("whole");
    assert_eq!(verify(&library), Some(Verdict::Recomputed));
    assert_eq!(library.verify(of("2026-09")).expect("none"), None);
    record.writer.erase_personal(Position(3)).expect("erased");
    record.writer.erase_personal(Position(4)).expect("erased");
    record.writer.erase_personal(Position(5)).expect("erased");
    // Those who told are no longer known to be different.
    assert_eq!(verify(&record.library()), Some(Verdict::Erased(3)));
}

#[test]
fn edition_that_the_journal_does_not_give_differs() {
    let (mut record, library, _) = closed();
    let other = Edition {
        too_late: Some(10),
        ..library
            .get(of("2026-10"))
            .expect("whole")
            .expect("closed")
            .edition
            .clone()
    };
    let bytes = other.to_bytes();
    let hash = Hash::of(&bytes);
    let mark = ClosedEdition {
        month: of("2026-10"),
        through: other.through(),
        sha256: hash.0,
        method: other.method,
    };
    let at = UtcMillis(record.writer.last_stamp().0 + 1);
    let position = record.append(at, &Entry::EditionClosed(mark));
    std::fs::write(record.folder.path().join("editions/2026-10.json"), bytes).expect("written");
    let month = of("2026-10");
    library
        .keep(Closed {
            month,
            hash,
            method: mark.method,
            position,
        })
        .expect("written");
    assert_eq!(
        library.verify(month).expect("whole"),
        Some(Verdict::Differs)
    );
}

#[test]
fn edition_of_another_method_is_not_made_again() {
    let (mut record, library, closed) = closed();
    let edition = Edition {
        method: METHOD + 1,
        ..library
            .get(closed.month)
            .expect("whole")
            .expect("closed")
            .edition
            .clone()
    };
    let bytes = edition.to_bytes();
    let mark = ClosedEdition {
        month: closed.month,
        through: edition.through(),
        sha256: Hash::of(&bytes).0,
        method: edition.method,
    };
    let at = UtcMillis(record.writer.last_stamp().0 + 1);
    let position = record.append(at, &Entry::EditionClosed(mark));
    let folder = record.folder.path().join("editions");
    std::fs::write(folder.join("2026-10.json"), bytes).expect("written");
    std::fs::write(folder.join("2026-10.note"), format!("{position}\n")).expect("written");
    let verdict = record.library().verify(closed.month).expect("whole");
    assert_eq!(verdict, Some(Verdict::OtherMethod(METHOD + 1)));
}

#[test]
fn operators_of_an_edition_are_read_once() {
    let (mut record, library, closed) = closed();
    let selection = |operator| Selection::parse(operator, "line").expect("known");
    let is_known = |operator| {
        let operators = library.operators(closed.month).expect("readable");
        operators.is_some_and(|operators| selection(operator).is_known(&operators))
    };
    assert!(is_known("gvb") && is_known("all") && !is_known("ret"));
    // So many others are read that it is held no more.
    for months in 1..=EDITIONS_HELD_MAX {
        let months = i32::try_from(months).expect("few");
        let month = LocalMonth(closed.month.0 + months);
        record.append(month::closes_at(month), &Entry::Tick);
        record.close(&library, &month.to_string());
        library.get(month).expect("whole").expect("closed");
    }
    std::fs::remove_file(record.folder.path().join("editions/2026-10.json")).expect("there");
    library.get(closed.month).expect_err("it is read again");
    assert!(is_known("gvb") && !is_known("ret"));
    assert_eq!(library.operators(of("2026-09")).expect("none"), None);
}

#[test]
fn edition_that_is_larger_than_what_is_read_is_not_noted() {
    let mut record = Record::new();
    for _ in 0..12 {
        record.tell_of_gvb(amsterdam("2026-10-20T10:00"));
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let mut library = record.library();
    let bytes = record.make("2026-10").expect("over").to_bytes().len() as u64;
    library.bytes_max = bytes - 1;
    let refused = library.prepare(of("2026-10"));
    assert!(
        matches!(refused, Err(EditionError::Io { .. })),
        "{refused:?}"
    );
    library.bytes_max = bytes;
    record.close(&library, "2026-10");
}
