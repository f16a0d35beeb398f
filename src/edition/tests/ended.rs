//! Editions of which single incidents are kept no longer: made again as long as theirs are there,
//! and proved by their hash after that.

use super::*;
use crate::domain::entry::Removal;
use crate::edition::gather::first_at;
use crate::journal::Remover;

/// Lets single incidents end through the month of receipt before an instant, as retention does.
pub(super) fn end_before(record: &mut Record, instant: &str) {
    let first = first_at(&record.reader, amsterdam(instant)).expect("readable");
    let through = Position(first.0 - 1);
    record.writer.leave_segment_of(through).expect("room");
    let replaced = Remover::new(&record.reader).end_incidents(through, None);
    assert_ne!(replaced.expect("written"), 0);
}

/// What checking finds, here and where the journal is opened anew: whoever has not folded it finds
/// the same.
fn verdict(record: &Record, library: &Library, month: &str) -> Option<Verdict> {
    let found = library.verify(of(month)).expect("whole");
    let (reader, _) = journal::open_reader(&record.folder.path().join("journal")).expect("whole");
    let anew = Library::open(record.folder.path(), reader).expect("readable");
    assert_eq!(anew.verify(of(month)).expect("whole"), found);
    found
}

/// Closed editions of three months, each with twelve reports at its noon, and with reports that
/// came at other times: when they came, and when their taps were.
pub(super) fn closed_months(others: &[(&str, &str)]) -> (Record, Library) {
    let mut record = Record::new();
    let mut told: Vec<_> = ["2026-09-10T12:00", "2026-10-10T12:00", "2026-11-10T12:00"]
        .into_iter()
        .flat_map(|at| std::iter::repeat_n((at, at), 12))
        .chain(others.iter().copied())
        .collect();
    told.sort_unstable();
    for (at, tapped) in told {
        let facts = record.facts(amsterdam(tapped));
        let installation = u32::try_from(record.made).expect("few");
        record.tell(amsterdam(at), facts, installation);
    }
    record.append(amsterdam("2026-12-22T00:00"), &Entry::Tick);
    let library = record.library();
    for month in ["2026-09", "2026-10", "2026-11"] {
        record.close(&library, month);
        assert_eq!(
            verdict(&record, &library, month),
            Some(Verdict::Recomputed),
            "{month}"
        );
    }
    (record, library)
}

#[test]
fn edition_is_made_again_after_the_month_before_it_has_ended() {
    // Somebody told of September in the last minute before October.
    let (mut record, library) = closed_months(&[("2026-09-30T23:59", "2026-09-30T23:50")]);
    end_before(&mut record, "2026-10-01T00:00");
    for (month, expected) in [
        ("2026-09", Verdict::Gone),
        ("2026-10", Verdict::Recomputed),
        ("2026-11", Verdict::Recomputed),
    ] {
        assert_eq!(verdict(&record, &library, month), Some(expected), "{month}");
    }
    end_before(&mut record, "2026-11-01T00:00");
    for (month, expected) in [("2026-10", Verdict::Gone), ("2026-11", Verdict::Recomputed)] {
        assert_eq!(verdict(&record, &library, month), Some(expected), "{month}");
    }
}

#[test]
fn edition_with_the_first_report_of_its_month_is_gone_when_that_is() {
    let first = ("2026-10-01T00:00", "2026-10-01T00:00");
    let (mut record, library) = closed_months(&[first]);
    // Everything through the first instant of October, which is no end of a month of receipt.
    end_before(&mut record, "2026-10-01T00:01");
    assert_eq!(verdict(&record, &library, "2026-10"), Some(Verdict::Gone));
}

#[test]
fn edition_that_misses_a_report_told_ahead_of_the_clock_does_not_differ() {
    // A tap of the first minute of October, told in September by a clock that is fast.
    let (mut record, library) = closed_months(&[("2026-09-30T23:57", "2026-10-01T00:01")]);
    end_before(&mut record, "2026-10-01T00:00");
    assert_eq!(verdict(&record, &library, "2026-10"), Some(Verdict::Gone));
    // Erased reports are told of before that: they are there.
    let erased = first_at(&record.reader, amsterdam("2026-10-10T12:00")).expect("readable");
    record.writer.erase_personal(erased).expect("erased");
    assert_eq!(
        verdict(&record, &library, "2026-10"),
        Some(Verdict::Erased(1))
    );
}

#[test]
fn file_of_an_edition_is_made_again_only_where_nothing_of_it_is_missing() {
    for (told, is_whole) in [
        (("2026-09-30T23:57", "2026-09-30T23:50"), true),
        (("2026-09-30T23:57", "2026-10-01T00:01"), false),
    ] {
        let (mut record, library) = closed_months(&[told]);
        end_before(&mut record, "2026-10-01T00:00");
        let path = record.folder.path().join("editions/2026-10.json");
        let bytes = std::fs::read(&path).expect("there");
        std::fs::remove_file(&path).expect("removed");
        match library.prepare(of("2026-10")) {
            Ok(Prepared::Restored(_)) if is_whole => {
                assert_eq!(std::fs::read(&path).expect("there"), bytes);
            }
            Err(EditionError::Lost { .. }) if !is_whole => {}
            other => panic!("{told:?}: {other:?}"),
        }
    }
}

#[test]
fn edition_is_not_closed_first_when_what_came_before_it_has_gone() {
    let mut record = Record::new();
    for at in ["2026-09-30T23:57", "2026-10-10T12:00"] {
        for _ in 0..12 {
            record.tell_of_gvb(amsterdam(at));
        }
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let library = record.library();
    end_before(&mut record, "2026-10-01T00:00");
    let prepared = library.prepare(of("2026-10")).expect("readable");
    assert!(matches!(prepared, Prepared::Cut), "{prepared:?}");
    assert_eq!(library.cut().expect("readable"), [of("2026-10")]);
    // What waits for editions waits for those that can come.
    assert_eq!(library.due().expect("readable"), [of("2026-10")]);
    assert!(library.awaited().expect("readable").is_empty());
}

#[test]
fn edition_is_not_closed_first_when_it_is_not_known_any_more_who_told_its_reports() {
    for (through, is_cut) in [("2026-10-01T00:00", false), ("2026-11-01T00:00", true)] {
        let mut record = Record::new();
        for at in ["2026-09-20T12:00", "2026-10-10T12:00"] {
            for _ in 0..12 {
                record.tell_of_gvb(amsterdam(at));
            }
        }
        let first = first_at(&record.reader, amsterdam(through)).expect("readable");
        let (removal, through) = (Removal::All, Position(first.0 - 1));
        let removed = Entry::PersonalRemoved { removal, through };
        record.append(amsterdam("2026-11-21T00:00"), &removed);
        let remover = Remover::new(&record.reader);
        let count = remover.remove(Position(1), through, removal);
        assert_ne!(count.expect("written"), 0);
        record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
        let library = record.library();
        let prepared = library.prepare(of("2026-10")).expect("readable");
        assert_eq!(matches!(prepared, Prepared::Cut), is_cut, "{prepared:?}");
        // The first month of the record has lost its names in both.
        let [cut, awaited] = [library.cut(), library.awaited()].map(|one| one.expect("readable"));
        assert_eq!(cut[0], of("2026-09"));
        assert_eq!(cut.contains(&of("2026-10")), is_cut);
        assert_eq!(awaited.contains(&of("2026-10")), !is_cut);
    }
}

#[test]
fn quarter_whose_first_month_is_kept_no_longer_is_proved_by_its_hash() {
    let (mut record, library) = closed_quarter();
    for month in ["2026-07", "2026-08", "2026-09"] {
        assert_eq!(verdict(&record, &library, month), Some(Verdict::Recomputed));
    }
    end_before(&mut record, "2026-08-01T00:00");
    // Its own reports are there, but not those that its quarter was made of.
    for (month, expected) in [
        ("2026-07", Verdict::Gone),
        ("2026-08", Verdict::Recomputed),
        ("2026-09", Verdict::Gone),
    ] {
        assert_eq!(verdict(&record, &library, month), Some(expected), "{month}");
    }
}

#[test]
fn quarter_is_made_again_when_only_the_month_before_it_has_ended() {
    for (tapped, expected) in [
        ("2026-06-30T23:50", Verdict::Recomputed),
        ("2026-07-01T00:01", Verdict::Gone),
    ] {
        let (mut record, library) = closed_quarter_after(&[("2026-06-30T23:58", tapped)]);
        end_before(&mut record, "2026-07-01T00:00");
        for month in ["2026-07", "2026-09"] {
            let found = verdict(&record, &library, month);
            assert_eq!(found, Some(expected), "{tapped} {month}");
        }
        let august = verdict(&record, &library, "2026-08");
        assert_eq!(august, Some(Verdict::Recomputed));
    }
}
