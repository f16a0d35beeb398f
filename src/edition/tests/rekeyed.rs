//! Keys of pseudonyms that are replaced, or lost, within a quarter: one person is never two
//! reporters.

use super::*;
use crate::domain::{Fingerprint, KeysTold, LineId};

/// The last quarter of 2026.
const QUARTER: u32 = 2026 * 4 + 3;

impl Record {
    /// Says that these keys are used from here on.
    fn tell_keys(&mut self, at: &str, periods: &[(u32, u8)]) {
        let print = |byte| Fingerprint([byte; 8]);
        let periods = periods.iter().map(|(period, key)| (*period, print(*key)));
        let told = KeysTold {
            digest: print(0),
            periods: periods.collect(),
        };
        self.append(amsterdam(at), &Entry::KeysChanged(told));
    }

    /// Each of some installations reports a line.
    fn tell_line(&mut self, at: &str, line: &str, installations: std::ops::Range<u32>) {
        self.tell_line_late(at, at, line, installations);
    }

    /// The same, after the tap.
    fn tell_line_late(
        &mut self,
        at: &str,
        tapped: &str,
        line: &str,
        installations: std::ops::Range<u32>,
    ) {
        let line: LineId = line.parse().expect("a line");
        for installation in installations {
            let facts = Facts {
                operator: Some(line.operator()),
                line: Some(line.clone()),
                installation_given: true,
                ..self.facts(amsterdam(tapped))
            };
            self.tell(amsterdam(at), facts, installation);
        }
    }
}

/// The lines that have a row of their own, with its first day and its count.
fn lines(edition: &Edition) -> Vec<(String, String, u64)> {
    let rows = edition.rows.iter();
    let of_lines = rows.filter(|row| row.dimension == "line" && !row.key.is_empty());
    let row = |row: &Row| (row.period_start.clone(), row.key.clone(), row.count);
    of_lines.map(row).collect()
}

/// Five people report line 10 under one key, and under another; twenty others report line 1, and
/// twelve line 2. What is told of keys, by day.
fn november(keys: &[(&str, &[(u32, u8)])]) -> Record {
    let mut record = Record::new();
    let mut keys = keys.iter().peekable();
    for (at, line, installations) in [
        ("2026-11-03T12:00", "GVB:1", 100..120),
        ("2026-11-03T12:00", "GVB:2", 200..212),
        ("2026-11-03T12:00", "GVB:10", 0..5),
        ("2026-11-12T12:00", "GVB:10", 1_000..1_005),
    ] {
        while let Some((day, periods)) = keys.next_if(|(day, _)| *day < at) {
            record.tell_keys(day, periods);
        }
        record.tell_line(at, line, installations);
    }
    record.append(amsterdam("2026-12-22T00:00"), &Entry::Tick);
    record
}

fn row(month: &str, line: &str, count: u64) -> (String, String, u64) {
    (format!("{month}-01"), line.to_owned(), count)
}

#[test]
fn five_people_under_two_keys_are_not_ten() {
    let [first, both, replaced] = [
        &[(QUARTER, 1)][..],
        &[(QUARTER, 1), (QUARTER + 1, 2)],
        &[(QUARTER, 3), (QUARTER + 1, 4)],
    ];
    // Told a month before the quarter, and a moment after the record began.
    for told in ["2026-09-01T12:00", "2026-11-01T00:01", "2026-11-09T00:00"] {
        let record = november(&[(told, first), ("2026-11-10T12:00", replaced)]);
        let edition = record.make("2026-11").expect("over");
        assert_eq!(total(&edition, "GVB"), Some(37), "{told}");
        assert_eq!(lines(&edition), [row("2026-11", "GVB:1", 20)], "{told}");
        // Whether those of before are others, nobody knows.
        assert_eq!(edition.left_out, None, "{told}");
    }
    // Nothing is another where no key was replaced.
    let without = november(&[]).make("2026-11").expect("over");
    assert_eq!(total(&without, "GVB"), Some(42));
    assert_eq!(lines(&without).len(), 3);
    let same = [("2026-09-01T12:00", first), ("2026-11-10T12:00", both)];
    let same = november(&same).make("2026-11").expect("over");
    assert_eq!(same.rows, without.rows);
    assert_eq!(same.left_out, without.left_out);
}

#[test]
fn reports_of_most_count_whichever_of_two_keys_they_are_under() {
    let mut record = Record::new();
    record.tell_keys("2026-11-01T00:01", &[(QUARTER, 1)]);
    record.tell_line("2026-11-03T12:00", "GVB:10", 0..11);
    record.tell_keys("2026-11-04T00:00", &[(QUARTER, 2)]);
    record.tell_line("2026-11-05T12:00", "GVB:10", 100..112);
    // The key of before is back.
    record.tell_keys("2026-11-06T00:00", &[(QUARTER, 1)]);
    record.tell_line("2026-11-07T12:00", "GVB:10", 0..2);
    record.append(amsterdam("2026-12-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-11").expect("over");
    assert_eq!(total(&edition, "GVB"), Some(13));
    assert_eq!(edition.left_out, Some(12));
}

#[test]
fn late_reporters_under_two_keys_may_be_the_same_people() {
    let too_late = |second: u8| {
        let mut record = Record::new();
        record.tell_line("2026-10-03T12:00", "GVB:10", 0..12);
        record.tell_keys("2026-11-01T00:01", &[(QUARTER, 1)]);
        let tapped = "2026-10-31T12:00";
        record.tell_line_late("2026-11-23T12:00", tapped, "GVB:10", 0..5);
        record.tell_keys("2026-11-24T12:00", &[(QUARTER, second)]);
        record.tell_line_late("2026-11-25T12:00", tapped, "GVB:10", 100..105);
        record.append(amsterdam("2026-12-22T00:00"), &Entry::Tick);
        record.make("2026-11").expect("over").too_late
    };
    assert_eq!(too_late(1), Some(10));
    assert_eq!(too_late(2), None);
}

#[test]
fn line_appears_for_a_quarter_only_if_its_months_count_under_one_key() {
    let of_quarter = |second: u8| {
        let mut record = Record::new();
        let library = record.library();
        record.tell_keys("2026-10-01T00:01", &[(QUARTER, 1)]);
        for (number, day) in ["2026-10-03", "2026-11-03", "2026-12-03"]
            .iter()
            .enumerate()
        {
            let first = 1_000 * u32::try_from(number).expect("three");
            if number == 2 {
                record.tell_keys("2026-12-01T12:00", &[(QUARTER, second)]);
            }
            let at = format!("{day}T12:00");
            record.tell_line(&at, "GVB:1", first..first + 40);
            record.tell_line(&at, "GVB:2", first + 100..first + 108);
            record.tell_line(&at, "GVB:3", first + 200..first + 209);
        }
        record.append(amsterdam("2027-01-22T00:00"), &Entry::Tick);
        for month in ["2026-10", "2026-11", "2026-12"] {
            record.close(&library, month);
        }
        let edition = library.get(of("2026-12")).expect("whole").expect("closed");
        let verdict = library.verify(of("2026-12")).expect("whole");
        assert_eq!(verdict, Some(Verdict::Recomputed));
        lines(&edition.edition)
    };
    let of_month = row("2026-12", "GVB:1", 40);
    assert_eq!(
        of_quarter(1),
        [of_month.clone(), row("2026-10", "GVB:3", 27)]
    );
    assert_eq!(of_quarter(2), [of_month]);
}

#[test]
fn edition_whose_names_are_erased_is_not_told_from_the_other_key() {
    let mut record = Record::new();
    let library = record.library();
    record.tell_keys("2026-11-01T00:01", &[(QUARTER, 1)]);
    record.tell_line("2026-11-03T12:00", "GVB:10", 0..20);
    record.tell_keys("2026-11-04T00:00", &[(QUARTER, 2)]);
    record.tell_line("2026-11-05T12:00", "GVB:10", 100..118);
    record.append(amsterdam("2026-12-22T00:00"), &Entry::Tick);
    record.close(&library, "2026-11");
    // Three of the key that counts: fewer are known of it now than of the other.
    for position in 2..5 {
        record
            .writer
            .erase_personal(Position(position))
            .expect("erased");
    }
    let verdict = record.library().verify(of("2026-11")).expect("whole");
    assert_eq!(verdict, Some(Verdict::Erased(3)));
}
