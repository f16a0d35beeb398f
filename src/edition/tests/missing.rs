//! Editions of which something is missing: what that can explain, and what it cannot.

use super::ended::{closed_months, end_before};
use super::*;

/// What is found of an edition that was closed otherwise: as `change` has it.
fn otherwise(
    record: &mut Record,
    library: &Library,
    month: &str,
    change: impl FnOnce(&mut Edition),
) -> Option<Verdict> {
    let held = library.get(of(month)).expect("whole").expect("closed");
    let (before, mut other) = (held.closed, held.edition.clone());
    change(&mut other);
    assert_ne!(other, held.edition, "nothing was changed");
    let path = record.folder.path().join(format!("editions/{month}.json"));
    let bytes = other.to_bytes();
    let mark = ClosedEdition {
        month: of(month),
        through: other.through(),
        sha256: Hash::of(&bytes).0,
        method: other.method,
    };
    let at = UtcMillis(record.writer.last_stamp().0 + 1);
    let position = record.append(at, &Entry::EditionClosed(mark));
    std::fs::write(&path, bytes).expect("written");
    let closed = Closed {
        month: of(month),
        hash: Hash(mark.sha256),
        method: mark.method,
        position,
    };
    library.keep(closed).expect("written");
    let verdict = library.verify(of(month)).expect("whole");
    std::fs::write(&path, &held.bytes).expect("written");
    library.keep(before).expect("written");
    verdict
}

/// Adds to the count of the first row that is about this.
fn add(edition: &mut Edition, operator: &str, dimension: &str, period: &str, reports: i64) {
    let mut rows = edition.rows.iter_mut();
    let row = rows.find(|row| {
        let about = (row.operator_code.as_str(), row.dimension.as_str());
        about == (operator, dimension) && row.period_start == period
    });
    let count = &mut row.expect("published").count;
    *count = count.checked_add_signed(reports).expect("a count");
}

const OCTOBER: &str = "2026-10-01";

/// A closed edition with twelve reports of each of two lines of GVB, and then as many of HTM.
fn closed_of_two() -> (Record, Library) {
    let mut record = Record::new();
    let at = amsterdam("2026-10-20T10:00");
    for _ in 0..12 {
        record.tell_of_gvb(at);
    }
    for line in ["GVB:2", "HTM:3"].into_iter().flat_map(|line| [line; 12]) {
        let line: crate::domain::LineId = line.parse().expect("a line");
        let facts = Facts {
            operator: Some(line.operator()),
            line: Some(line),
            ..record.facts(at)
        };
        let installation = u32::try_from(record.made).expect("few");
        record.tell(at, facts, installation);
    }
    let taps = taps_of_line("GVB:10", "2026-10", 1_000, 0..31);
    record.append(amsterdam("2026-11-01T12:00"), &taps);
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let library = record.library();
    record.close(&library, "2026-10");
    (record, library)
}

#[test]
fn erased_report_explains_only_what_it_can_have_touched() {
    let (mut record, library) = closed_of_two();
    record.writer.erase_personal(Position(3)).expect("erased");
    record.writer.erase_personal(Position(4)).expect("erased");
    let mut check = |expected: Verdict, change: &dyn Fn(&mut Edition)| {
        let found = otherwise(&mut record, &library, "2026-10", change);
        assert_eq!(found, Some(expected));
    };
    check(Verdict::Erased(2), &|edition| {
        add(edition, "GVB", "total", OCTOBER, -1);
    });
    check(Verdict::Differs, &|edition| {
        add(edition, "GVB", "total", OCTOBER, 1);
    });
    check(Verdict::Differs, &|edition| {
        add(edition, "GVB", "total", OCTOBER, 100);
    });
    check(Verdict::Differs, &|edition| {
        add(edition, "", "total", OCTOBER, 100);
    });
    for dimension in ["total", "line", "day", "operator"] {
        check(Verdict::Differs, &|edition| {
            let rows = edition
                .rows
                .iter()
                .any(|row| row.operator_code == "HTM" && row.dimension == dimension);
            // Of one class there is no table.
            let dimension = if rows { dimension } else { "total" };
            add(edition, "HTM", dimension, OCTOBER, 1);
        });
    }
    check(Verdict::Differs, &|edition| edition.through += 1);
    check(Verdict::Differs, &|edition| edition.networks.push(99));
    check(Verdict::Differs, &|edition| edition.too_late = Some(10));
    check(Verdict::Differs, &|edition| edition.counted_since = None);
    check(Verdict::Differs, &|edition| {
        edition.outages.push(crate::edition::format::OutageDay {
            day: "2026-10-03".into(),
            operator_code: "GVB".into(),
        });
    });
    check(Verdict::Differs, &|edition| {
        edition.rows.push(Row {
            period_start: "2026-08-01".into(),
            ..edition.rows[0].clone()
        });
    });
}

#[test]
fn erased_report_that_named_a_card_and_an_installation_may_have_touched_every_operator() {
    let mut record = Record::new();
    let at = amsterdam("2026-10-20T10:00");
    for operator in ["GVB", "HTM"] {
        for _ in 0..12 {
            let facts = Facts {
                operator: Some(operator.parse().expect("a code")),
                card_given: true,
                installation_given: true,
                ..record.facts(at)
            };
            let name = u32::try_from(record.made).expect("few").to_be_bytes();
            let mut pseudonym = [0; 16];
            pseudonym[..4].copy_from_slice(&name);
            let personal = Personal {
                card: Some(Pseudonym(pseudonym)),
                installation: Some(Pseudonym(pseudonym)),
                ..personal(at)
            };
            let entry = Entry::Incident {
                facts: Box::new(facts),
                personal: Some(Box::new(personal)),
            };
            record.append(at, &entry);
        }
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let library = record.library();
    record.close(&library, "2026-10");
    record.writer.erase_personal(Position(3)).expect("erased");
    for (more, expected) in [(-1, Verdict::Erased(1)), (1, Verdict::Differs)] {
        let found = otherwise(&mut record, &library, "2026-10", |edition| {
            add(edition, "HTM", "total", OCTOBER, more);
        });
        assert_eq!(found, Some(expected), "{more}");
    }
}

#[test]
fn no_count_exceeds_the_reports_that_tell_it_however_many_are_erased() {
    let (mut record, library) = closed_of_two();
    for position in 1..=36 {
        let erased = record.writer.erase_personal(Position(position));
        erased.expect("erased");
    }
    let verify = library.verify(of("2026-10")).expect("whole");
    assert_eq!(verify, Some(Verdict::Erased(36)));
    for (operator, dimension) in [
        ("", "total"),
        ("GVB", "operator"),
        ("GVB", "total"),
        ("GVB", "line"),
        ("HTM", "total"),
    ] {
        for (more, expected) in [(-1, Verdict::Erased(36)), (1, Verdict::Differs)] {
            let found = otherwise(&mut record, &library, "2026-10", |edition| {
                add(edition, operator, dimension, OCTOBER, more);
            });
            assert_eq!(found, Some(expected), "{operator} {dimension} {more}");
        }
    }
}

#[test]
fn taps_come_out_as_they_were_whoever_is_erased() {
    let (mut record, library) = closed_of_two();
    record.writer.erase_personal(Position(3)).expect("erased");
    let edition = library.get(of("2026-10")).expect("whole").expect("closed");
    let with_taps = edition
        .edition
        .rows
        .iter()
        .position(|row| row.taps.is_some());
    let place = with_taps.expect("the line has taps");
    let found = otherwise(&mut record, &library, "2026-10", |edition| {
        edition.rows[place].taps = Some(1);
    });
    assert_eq!(found, Some(Verdict::Differs));
}

#[test]
fn late_report_that_is_erased_makes_no_difference_that_is_damage() {
    let mut record = Record::new();
    for day in ["2026-09-10T12:00", "2026-10-10T12:00"] {
        for _ in 0..12 {
            record.tell_of_gvb(amsterdam(day));
        }
    }
    let mut late = Vec::new();
    for _ in 0..12 {
        let facts = record.facts(amsterdam("2026-09-10T12:00"));
        let installation = u32::try_from(record.made).expect("few");
        late.push(record.tell(amsterdam("2026-10-25T12:00"), facts, installation));
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let library = record.library();
    for month in ["2026-09", "2026-10"] {
        record.close(&library, month);
    }
    let october = library.get(of("2026-10")).expect("whole").expect("closed");
    assert_eq!(october.edition.too_late, Some(12));
    for position in &late[..4] {
        record.writer.erase_personal(*position).expect("erased");
    }
    let verify = library.verify(of("2026-10")).expect("whole");
    assert_eq!(verify, Some(Verdict::Erased(4)));
    let found = otherwise(&mut record, &library, "2026-10", |edition| {
        edition.too_late = None;
        add(edition, "GVB", "total", OCTOBER, 1);
    });
    assert_eq!(
        found,
        Some(Verdict::Differs),
        "no report of the month is erased"
    );
}

#[test]
fn entry_that_is_gone_explains_no_more_than_a_report_of_the_first_minutes() {
    let (mut record, library) = closed_months(&[("2026-09-30T23:57", "2026-10-01T00:01")]);
    end_before(&mut record, "2026-10-01T00:00");
    let mut check = |expected: Verdict, change: &dyn Fn(&mut Edition)| {
        let found = otherwise(&mut record, &library, "2026-10", change);
        assert_eq!(found, Some(expected));
    };
    check(Verdict::Gone, &|edition| {
        add(edition, "", "total", OCTOBER, -1);
    });
    check(Verdict::Differs, &|edition| {
        add(edition, "", "total", OCTOBER, 100);
    });
    check(Verdict::Differs, &|edition| {
        edition.counted_since = Some(edition.closed_at.clone());
    });
    check(Verdict::Differs, &|edition| edition.too_late = Some(10));
    // Nothing is missing of the month after.
    let found = otherwise(&mut record, &library, "2026-11", |edition| {
        add(edition, "", "total", "2026-11-01", 1);
    });
    assert_eq!(found, Some(Verdict::Differs));
}

#[test]
fn month_that_ends_a_quarter_comes_out_as_it_was_although_an_earlier_one_is_gone() {
    const SEPTEMBER: &str = "2026-09-01";
    for (before, end) in [
        (&[][..], "2026-08-01T00:00"),
        (
            &[("2026-06-30T23:58", "2026-07-01T00:01")],
            "2026-07-01T00:00",
        ),
    ] {
        let (mut record, library) = closed_quarter_after(before);
        end_before(&mut record, end);
        let verify = library.verify(of("2026-09")).expect("whole");
        assert_eq!(verify, Some(Verdict::Gone));
        for (period, expected) in [(SEPTEMBER, Verdict::Differs), ("2026-07-01", Verdict::Gone)] {
            let found = otherwise(&mut record, &library, "2026-09", |edition| {
                add(edition, "GVB", "line", period, 1);
            });
            assert_eq!(found, Some(expected), "{period}");
        }
    }
}
