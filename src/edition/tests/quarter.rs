//! Lines that are published in no month of a quarter.

use super::*;

#[test]
fn line_of_no_month_appears_in_the_edition_that_ends_the_quarter() {
    let (record, library) = closed_quarter();
    let edition = &library
        .get(of("2026-09"))
        .expect("whole")
        .expect("closed")
        .edition;
    let rows = edition.rows.iter().filter(|row| row.dimension == "line");
    let rows: Vec<_> = rows
        .map(|row| {
            (
                row.period_start.as_str(),
                row.key.as_str(),
                row.flag.as_str(),
                row.count,
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("2026-09-01", "GVB:1", "exact", 40),
            ("2026-09-01", "", "rest", 17),
            ("2026-07-01", "GVB:3", "exact", 27),
            ("2026-07-01", "", "rest", 24),
        ]
    );
    let mut of_line = edition.rows.iter().filter(|row| row.key == "GVB:3");
    let quarter = of_line.next().expect("published");
    assert_eq!((quarter.taps, quarter.coverage), (Some(92_000), Some(1.0)));
    assert_eq!(quarter.rate, Some(29.3478));
    assert_eq!(
        library.verify(of("2026-09")).expect("whole"),
        Some(Verdict::Recomputed)
    );
    // Without the editions before there is nothing to measure the quarter against.
    let alone = record.make("2026-09").expect("over");
    assert!(
        alone
            .rows
            .iter()
            .all(|row| row.period_start == "2026-09-01")
    );
}
