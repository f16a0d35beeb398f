//! Reports whose id came twice in one batch, as journals of earlier versions have them.

use super::*;

#[test]
fn report_that_was_refused_for_its_id_is_counted_in_no_month() {
    let mut record = Record::new();
    let (october, november) = (amsterdam("2026-10-31T12:00"), amsterdam("2026-11-01T12:00"));
    for _ in 0..12 {
        record.tell_of_gvb(october);
    }
    for _ in 0..12 {
        record.tell_of_gvb(november);
    }
    let at = UtcMillis(november.0 + HOUR_MS);
    for installation in 100..110 {
        let first = record.facts(november);
        let time = RowTime::Hour(october.hour().expect("a supported year"));
        let refused = Facts {
            time,
            ..first.clone()
        };
        let at = UtcMillis(at.0 + i64::from(installation));
        record.tell(at, first, installation);
        record.tell(at, refused, installation);
    }
    record.append(amsterdam("2026-12-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    assert_eq!(total(&edition, ""), Some(12));
    let edition = record.make("2026-11").expect("over");
    assert_eq!((total(&edition, ""), edition.too_late), (Some(22), Some(0)));
}
