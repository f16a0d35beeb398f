//! What published counts are set against, and where there is no rate.

use super::*;

/// What a feed of GVB's check-ins by line and day tells of line 10.
fn taps_of_line_10(per_day: u64, days: std::ops::Range<i32>) -> Entry {
    taps_of_line("GVB:10", "2026-10", per_day, days)
}

/// 40 reports of line 10, by 27 installations, and others of line 1, set against taps; the row
/// of line 10.
fn row_of_line_10(kind: Option<TapKind>, others: u32, taps: &[Entry]) -> Row {
    let edition = edition_with_line_10(kind, others, taps, |number| number % 31);
    let mut rows = edition.rows.into_iter();
    rows.find(|row| row.key == "GVB:10").expect("published")
}

/// The same with a day for each report, counted from the first of the month.
fn edition_with_line_10(
    kind: Option<TapKind>,
    others: u32,
    taps: &[Entry],
    day: impl Fn(u32) -> u32,
) -> Edition {
    let mut record = Record::new();
    let mut numbers: Vec<u32> = (0..40 + others).collect();
    numbers.sort_by_key(|number| day(*number));
    for number in numbers {
        let at = UtcMillis(amsterdam("2026-10-01T12:00").0 + i64::from(day(number)) * DAY_MS);
        let installation = if number < 40 { number % 27 } else { number };
        let line = if number < 40 { "GVB:10" } else { "GVB:1" };
        let facts = Facts {
            operator: Some("GVB".parse().expect("a code")),
            line: Some(line.parse().expect("a line")),
            tap_kind: kind,
            ..record.facts(at)
        };
        record.tell(at, facts, installation);
    }
    for taps in taps {
        record.append(amsterdam("2026-11-02T12:00"), taps);
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    record.make("2026-10").expect("over")
}

#[test]
fn interval_of_a_line_is_widened_by_its_share_of_the_days_scatter() {
    let taps = [taps_of_line_10(10_000, 0..30)];
    // Every eighth report of line 1 is of one bad day.
    let day = |number: u32| match number {
        0..40 => number % 30,
        _ if number.is_multiple_of(8) => 5,
        _ => number / 2 % 30,
    };
    let edition = edition_with_line_10(Some(TapKind::CheckIn), 1_200, &taps, day);
    let days = edition.rows.iter();
    let days = days.filter(|row| row.dimension == "day" && row.key.starts_with("2026"));
    let counts: Vec<f64> = days.map(|row| row.count as f64).collect();
    assert!(20 < counts.len(), "{counts:?}");
    let (sum, mean) = (
        counts.iter().sum::<f64>(),
        counts.iter().sum::<f64>() / counts.len() as f64,
    );
    let scatter = counts.iter().map(|count| (count - mean).powi(2) / mean);
    let of_all = scatter.sum::<f64>() / (counts.len() as f64 - 1.0);
    let of_line = 1.0 + (of_all - 1.0) * 40.0 / sum;
    let row = edition.rows.iter().find(|row| row.key == "GVB:10");
    let row = row.expect("published");
    let method = row.interval_method.as_deref();
    assert_eq!(
        method,
        Some(&*format!("garwood 0.95 dispersion {of_line:.2}"))
    );
    assert!(
        1.3 < of_line && of_line < of_all / 5.0,
        "{of_line} {of_all}"
    );
    let ends = (row.low.expect("a rate"), row.high.expect("a rate"));
    // Alone it would be 9.5 to 18.2, and far wider with the operator's dispersion.
    assert!(
        5.0 < ends.0 && ends.0 < 9.5 && 18.2 < ends.1 && ends.1 < 27.0,
        "{ends:?}"
    );
}

/// Taps of all of GVB, as often on each day of November.
fn taps_of_gvb(per_day: u64) -> Entry {
    let feed = TapFeed {
        grain: TapGrain::Operator,
        ..feed_of_gvb("gvb")
    };
    let first = month::first_day(of("2026-11")).0;
    let counts = (first..first + 30).map(|day| TapCount {
        scope: TapScope::Operator,
        slot: TapSlot {
            day: LocalDay(day),
            slot: 0,
        },
        taps: Taps::new(per_day).expect("few"),
    });
    Entry::TapCounts(Box::new(TapBatch::pack(&feed, counts).remove(0)))
}

#[test]
fn interval_of_a_month_with_an_outage_is_as_wide_as_its_calm_days_make_it() {
    let mut record = Record::new();
    // Only the three days of forty have a part of their own.
    for day in 0..30 {
        for _ in 0..if (10..13).contains(&day) { 40 } else { 4 } {
            let at = UtcMillis(amsterdam("2026-11-01T12:00").0 + day * DAY_MS);
            let facts = Facts {
                operator: Some("GVB".parse().expect("a code")),
                tap_kind: Some(TapKind::CheckIn),
                ..record.facts(at)
            };
            let installation = u32::try_from(record.made).expect("few");
            record.tell(at, facts, installation);
        }
    }
    record.append(amsterdam("2026-12-02T12:00"), &taps_of_gvb(10_000));
    record.append(amsterdam("2026-12-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-11").expect("over");
    let days = edition.rows.iter().filter(|row| row.dimension == "day");
    let days: Vec<_> = days.map(|row| row.count).collect();
    assert_eq!(days, [40, 40, 40, 108]);
    let is_whole = |row: &&Row| row.operator_code == "GVB" && row.dimension == "total";
    let row = edition.rows.iter().find(is_whole).expect("the whole");
    let method = row.interval_method.as_deref();
    assert_eq!(method, Some("garwood 0.95 dispersion 15.88"));
    // Per 100,000 of 300,000 taps. As if only chance were at work, it would be 199 to 260.
    let reports = |value: Option<f64>| (3.0 * value.expect("a rate")).round();
    let told = [row.rate, row.low, row.high].map(reports);
    assert_eq!(told, [228.0, 126.0, 380.0]);
}

#[test]
fn line_of_the_worked_example_has_the_rate_and_interval_of_the_literature() {
    // 31 days of 10,000 taps, of which the last is told again: 300,000.
    let taps = [taps_of_line_10(10_000, 0..31), taps_of_line_10(0, 30..31)];
    let row = row_of_line_10(Some(TapKind::CheckIn), 20, &taps);
    assert_eq!(
        (row.count, row.taps, row.coverage),
        (40, Some(300_000), Some(1.0))
    );
    assert_eq!(row.no_rate, None);
    let printed = |value: Option<f64>| format!("{:.1}", value.expect("a rate"));
    let figures = [row.rate, row.low, row.high].map(printed);
    assert_eq!(figures, ["13.3", "9.5", "18.2"]);
    assert_eq!(row.unit.as_deref(), Some("per-100000-taps"));
    assert_eq!(
        row.interval_method.as_deref(),
        Some("garwood 0.95 dispersion not estimated")
    );
    let source = row.denominator_source.expect("taps");
    assert_eq!(source, "feed gvb: check-in by line and day");
}

#[test]
fn row_without_a_rate_says_why() {
    let reason = |kind, taps: &[Entry]| row_of_line_10(kind, 20, taps).no_rate;
    let check_in = Some(TapKind::CheckIn);
    let whole = taps_of_line_10(10_000, 0..31);
    assert_eq!(reason(check_in, &[]).as_deref(), Some("no denominator"));
    let half = taps_of_line_10(10_000, 0..15);
    assert_eq!(
        reason(check_in, &[half]).as_deref(),
        Some("days-not-covered")
    );
    let none = taps_of_line_10(0, 0..31);
    assert_eq!(reason(check_in, &[none]).as_deref(), Some("zero-taps"));
    assert_eq!(
        reason(None, &[whole]).as_deref(),
        Some("reports-not-matched")
    );
}

#[test]
fn operator_with_fewer_than_fifty_reports_has_counts_and_no_rates() {
    let mut record = Record::new();
    for number in 0..49 {
        let at = amsterdam("2026-10-05T12:00");
        let facts = Facts {
            operator: Some("GVB".parse().expect("a code")),
            line: Some(
                ["GVB:10", "GVB:1"][usize::from(number % 2 == 1)]
                    .parse()
                    .expect("a line"),
            ),
            tap_kind: Some(TapKind::CheckIn),
            ..record.facts(at)
        };
        record.tell(at, facts, number);
    }
    record.append(
        amsterdam("2026-11-02T12:00"),
        &taps_of_line_10(10_000, 0..31),
    );
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    let mut rows = edition.rows.iter();
    let whole = rows
        .find(|row| row.operator_code == "GVB")
        .expect("the whole");
    // Taps of one line are not those of the operator.
    assert_eq!(whole.no_rate.as_deref(), Some("no denominator"));
    let row = rows.find(|row| row.key == "GVB:10").expect("published");
    assert_eq!(
        (row.rate, row.no_rate.as_deref()),
        (None, Some("too-few-reports"))
    );
    assert_eq!(row.taps, Some(310_000));
}

/// Taps of all days of October but one, counted from 0.
fn taps_without(day: i32) -> [Entry; 2] {
    [0..day, day + 1..31].map(|days| taps_of_line_10(10_000, days))
}

#[test]
fn reports_of_a_day_without_taps_are_not_matched() {
    // 31 of 147 reports are of one bad day, and four of each other.
    let day = |number: u32| if number < 40 { 4 } else { number / 2 % 30 };
    let reason = |missed: i32| {
        let taps = taps_without(missed);
        let edition = edition_with_line_10(Some(TapKind::CheckIn), 120, &taps, day);
        let row = edition.rows.into_iter().find(|row| row.key == "GVB:10");
        let row = row.expect("published");
        assert_eq!((row.count, row.taps), (27, Some(300_000)));
        assert_eq!(row.rate.is_some(), row.no_rate.is_none());
        row.no_rate
    };
    assert_eq!(reason(4).as_deref(), Some("reports-not-matched"));
    assert_eq!(reason(9), None);
}

#[test]
fn day_without_taps_that_is_not_published_may_be_all_that_there_is() {
    // Four reports of other days hide in no rest of ten: nothing of days is published.
    let day = |number: u32| if 96 <= number { number % 30 } else { 4 };
    let reason = |taps: &[Entry]| {
        let edition = edition_with_line_10(Some(TapKind::CheckIn), 60, taps, day);
        assert!(edition.rows.iter().all(|row| row.dimension != "day"));
        let row = edition.rows.into_iter().find(|row| row.key == "GVB:10");
        row.expect("published").no_rate
    };
    let not_matched = Some("reports-not-matched".to_owned());
    assert_eq!(reason(&taps_without(4)), not_matched);
    // Nobody is told which.
    assert_eq!(reason(&taps_without(9)), not_matched);
    assert_eq!(reason(&[taps_of_line_10(10_000, 0..31)]), None);
}

/// Taps of line 10 by a feed of one kind, for the first days of October.
fn taps_of_kind(id: &str, kind: TapKind, per_day: u64, days: i32) -> Entry {
    let feed = TapFeed {
        kinds: TapKinds::new([kind].into_iter().collect()).expect("a tap"),
        ..feed_of_gvb(id)
    };
    taps(&feed, "GVB:10", "2026-10", per_day, 0..days)
}

#[test]
fn feeds_of_different_kinds_of_tap_are_added_up() {
    let rated = |taps: &[Entry]| {
        let row = row_of_line_10(Some(TapKind::CheckIn), 20, taps);
        let source = row.denominator_source.expect("taps");
        (row.taps, source, row.no_rate)
    };
    let ins = taps_of_kind("b-in", TapKind::CheckIn, 6_000, 31);
    let outs = |days| taps_of_kind("a-out", TapKind::CheckOut, 4_000, days);
    let both = "feed a-out: check-out by line and day; feed b-in: check-in by line and day";
    assert_eq!(
        rated(&[outs(31), ins.clone()]),
        (Some(310_000), both.to_owned(), None)
    );
    // Days that only one of them tells do not count.
    assert_eq!(rated(&[outs(30), ins.clone()]).0, Some(300_000));
    // One that would leave too few days is left out.
    let alone = "feed b-in: check-in by line and day".to_owned();
    assert_eq!(rated(&[outs(20), ins]), (Some(186_000), alone, None));
}

#[test]
fn feeds_that_share_a_kind_of_tap_are_not_added_up() {
    let ins = taps_of_kind("b-in", TapKind::CheckIn, 6_000, 31);
    let again = taps_of_kind("a-in", TapKind::CheckIn, 4_000, 31);
    let row = row_of_line_10(Some(TapKind::CheckIn), 20, &[again, ins]);
    assert_eq!(row.taps, Some(124_000));
}
