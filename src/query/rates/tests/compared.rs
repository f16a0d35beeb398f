//! Whether a month differs from the one before: the worked example, what widens it, and what it
//! is compared over.

use super::super::{CompareWanted, Compared, Exposed, Over, Period, compare};
use super::*;
use crate::domain::taxonomy::ReporterKind;
use crate::ledger::testing::{NOON, stop_id};

/// A record of one line.
struct Record {
    book: Book,
    feed: TapFeed,
    reports: u32,
    /// When the first entry came.
    began: UtcMillis,
}

fn october() -> (LocalDay, LocalDay) {
    (day("2026-10-01"), day("2026-10-31"))
}

fn september() -> (LocalDay, LocalDay) {
    (day("2026-09-01"), day("2026-09-30"))
}

fn window((first, last): (LocalDay, LocalDay)) -> Window {
    Window::new(first.start(), last.next().start()).expect("not empty")
}

/// From `NOON`, in October, into November.
const UNTIL_BOTH_ARE_OVER_MS: i64 = 10 * 24 * 3_600_000;

impl Record {
    /// After both months.
    fn new() -> Self {
        let mut record = Self::in_october();
        record.book.wait(UNTIL_BOTH_ARE_OVER_MS);
        record
    }

    /// At `NOON`.
    fn in_october() -> Self {
        Self {
            book: Book::new(1),
            feed: TapFeed {
                grain: TapGrain::Line,
                interval: TapInterval::Day,
                day_begin: DayBegin::default(),
                ..tap_feed(0)
            },
            reports: 0,
            began: day("2026-08-01").start().start(),
        }
    }

    /// So many taps in a month, as even as can be.
    fn taps(&mut self, (first, last): (LocalDay, LocalDay), all: u32) {
        let days = u32::try_from(last.0 - first.0 + 1).expect("few");
        let mut told = Told::new();
        for (number, day) in (0..days).zip(window((first, last)).days()) {
            let taps = all / days + u32::from(number < all % days);
            told.insert((TapScope::Line(line_id(1)), TapSlot { day, slot: 0 }), taps);
        }
        assert_eq!(told.values().sum::<u32>(), all);
        tell(&mut self.book, &self.feed, &told);
    }

    /// So many reports, one a day, or all on the fifth.
    fn reports(&mut self, (first, last): (LocalDay, LocalDay), count: u32, are_spread: bool) {
        let days = last.0 - first.0 + 1;
        for number in 0..count {
            self.reports += 1;
            let shift = if are_spread {
                i32::try_from(number).expect("few") % days
            } else {
                4
            };
            let noon = LocalDay(first.0 + shift).noon();
            self.book.record(Facts {
                stop: Some(stop_id(1)),
                reporter: ReporterKind::Traveller,
                ..check_in(line_id(1), noon, (0, self.reports))
            });
        }
    }

    fn compared(&self, change: impl FnOnce(&mut CompareWanted)) -> Compared {
        let mut asked = CompareWanted {
            filter: Filter {
                lines: vec![line_id(1)],
                ..Filter::all(Basis::SelfReported)
            },
            windows: [window(october()), window(september())],
            rates: wanted(&[]),
            leaves_out_outages: false,
        };
        change(&mut asked);
        let compared = compare(&self.book.ledger, Some(self.began), &asked).expect("an answer");
        check_ratio(&compared);
        compared
    }
}

/// Whoever reads an answer can compute its ratio from it.
fn check_ratio(compared: &Compared) {
    let rate = |period: &Period| {
        let Exposed { events, exposure } = period.compared;
        (exposure != 0).then(|| events as f64 / exposure as f64)
    };
    let [one, other] = compared.periods.each_ref().map(rate);
    match &compared.ratio {
        Some(ratio) => {
            let (one, other) = (one.expect("exposed"), other.expect("exposed"));
            match ratio.estimate {
                Some(estimate) => assert!((estimate - one / other).abs() <= 1e-12 * estimate),
                None => assert_eq!(other, 0.0),
            }
        }
        None => assert!(one.is_none() || other.is_none()),
    }
}

fn ratio(compared: &Compared) -> RateRatio {
    compared.ratio.expect("hours count in both")
}

fn is_close(value: f64, expected: f64) {
    assert!(
        (value - expected).abs() < 1e-12 * expected,
        "{value} for {expected}"
    );
}

#[test]
fn forty_reports_show_no_difference_against_fifty_two_the_month_before() {
    let mut record = Record::new();
    for (month, count) in [(october(), 40), (september(), 52)] {
        record.taps(month, 300_000);
        record.reports(month, count, true);
    }
    let compared = record.compared(|_| ());
    assert_eq!(compared.over, Over::Taps);
    let counts = compared.periods.each_ref().map(|period| period.count);
    assert_eq!(counts, [40, 52]);
    let found = ratio(&compared);
    // As scipy has it; see `stats::comparison`.
    is_close(found.estimate.expect("some"), 40.0 / 52.0);
    is_close(found.low, 0.496_302_742_614_960_7);
    is_close(found.high.expect("some"), 1.184_338_522_373_712_4);
    is_close(found.p_value, 0.251_322_103_474_854_34);
    assert!(!found.shows_a_difference());
    // The other way round.
    let back = ratio(&record.compared(|asked| asked.windows.reverse()));
    is_close(back.low, 1.0 / 1.184_338_522_373_712_4);
    assert!(!back.shows_a_difference());
}

#[test]
fn twice_as_many_reports_show_a_difference_unless_the_days_scatter() {
    let made = |are_spread| {
        let mut record = Record::new();
        for (month, count) in [(october(), 80), (september(), 40)] {
            record.taps(month, 300_000);
            record.reports(month, count, are_spread || month == september());
        }
        ratio(&record.compared(|_| ()))
    };
    let even = made(true);
    assert!(even.shows_a_difference() && 1.0 < even.low);
    // All eighty came on one day: an outage, perhaps, and no word about the others.
    let burst = made(false);
    assert!(10.0 < burst.dispersion.factor(), "{burst:?}");
    assert!(!burst.shows_a_difference());
    assert_eq!(burst.estimate, even.estimate);
}

#[test]
fn taps_make_the_difference_between_counts_and_rates() {
    let mut record = Record::new();
    record.taps(october(), 600_000);
    record.taps(september(), 300_000);
    record.reports(october(), 104, true);
    record.reports(september(), 52, true);
    let over_taps = record.compared(|_| ());
    assert_eq!(over_taps.over, Over::Taps);
    is_close(ratio(&over_taps).estimate.expect("some"), 1.0);
    assert!(!ratio(&over_taps).shows_a_difference());
}

#[test]
fn periods_without_taps_for_both_are_compared_over_their_hours() {
    let mut record = Record::new();
    record.taps(october(), 300_000);
    record.reports(october(), 62, true);
    record.reports(september(), 30, true);
    let compared = record.compared(|_| ());
    assert_eq!(compared.over, Over::Time);
    let [_, before] = &compared.periods;
    let missing = before.rate.rate.map_err(Missing::key);
    assert_eq!(missing.err(), Some("no-taps"));
    // The clock goes back in October, which has 745 hours.
    let found = ratio(&compared);
    is_close(found.estimate.expect("some"), 62.0 / 745.0 / (30.0 / 720.0));
    assert!(found.shows_a_difference());
    // Only mornings: as many of them as days.
    let mornings = record.compared(|asked| asked.filter.hours_of_day = 1 << 12 | 1 << 13 | 1 << 14);
    assert_eq!(mornings.over, Over::Time);
    assert_eq!(mornings.periods[1].count, 30);
    is_close(
        ratio(&mornings).estimate.expect("some"),
        62.0 / 93.0 / (30.0 / 90.0),
    );
}

#[test]
fn of_a_month_that_runs_only_the_hours_that_are_over_count() {
    let mut record = Record::in_october();
    let so_far = (october().0, day("2026-10-24"));
    record.reports(so_far, 240, true);
    record.reports(september(), 300, true);
    let compared = record.compared(|_| ());
    assert_eq!(compared.over, Over::Time);
    let counts = compared.periods.each_ref().map(|period| period.count);
    assert_eq!(counts, [240, 300]);
    // As many a day in both, and no fewer for the days to come.
    let now = NOON.hour().expect("a supported hour");
    let hours = f64::from(now.0 - window(october()).start().0);
    let found = ratio(&compared);
    is_close(
        found.estimate.expect("some"),
        240.0 / hours / (300.0 / 720.0),
    );
    assert!(!found.shows_a_difference());
    // Of a month that has not begun there is nothing to say.
    let december = (day("2026-12-01"), day("2026-12-31"));
    let ahead = record.compared(|asked| asked.windows[0] = window(december));
    assert_eq!(ahead.ratio, None);
}

#[test]
fn hours_of_before_the_record_began_are_no_hours_without_reports() {
    let mut record = Record::new();
    record.began = UtcMillis(day("2026-09-16").noon().start().0 + 59_000);
    record.reports((day("2026-09-17"), september().1), 140, true);
    record.reports(october(), 310, true);
    // Told late, of a time in which others were not: it stands in no hour that counts.
    record.reports((day("2026-09-02"), day("2026-09-02")), 1, true);
    let compared = record.compared(|_| ());
    assert_eq!(compared.over, Over::Time);
    let counts = compared.periods.each_ref().map(|period| period.count);
    assert_eq!(counts, [310, 141]);
    // Ten a day in both: fourteen days, and the hours from noon to midnight.
    let hours = 14.0 * 24.0 + 12.0;
    let told = Exposed {
        events: 140,
        exposure: 348,
    };
    assert_eq!(compared.periods[1].compared, told);
    let found = ratio(&compared);
    is_close(
        found.estimate.expect("some"),
        310.0 / 745.0 / (140.0 / hours),
    );
    assert!(!found.shows_a_difference(), "{found:?}");
    // Of stops whole days are known, so that the first that is whole comes first.
    let of_stops = record.compared(|asked| {
        asked.filter.lines.clear();
        asked.filter.stops = vec![stop_id(1)];
    });
    is_close(
        ratio(&of_stops).estimate.expect("some"),
        310.0 / 745.0 / (140.0 / (14.0 * 24.0)),
    );
}

#[test]
fn rates_over_taps_of_before_the_record_began_are_not_compared() {
    let mut record = Record::new();
    for month in [october(), september()] {
        record.taps(month, 300_000);
    }
    record.began = day("2026-09-29").start().start();
    // Of all that failed in September, what was told of its last two days.
    record.reports((day("2026-09-29"), september().1), 20, true);
    record.reports(october(), 310, true);
    let compared = record.compared(|_| ());
    let has_rate = |period: &Period| period.rate.rate.is_ok();
    assert!(compared.periods.iter().all(has_rate));
    assert_eq!(compared.over, Over::Time);
    assert!(!ratio(&compared).shows_a_difference());
    record.began = window(september()).start().start();
    assert_eq!(record.compared(|_| ()).over, Over::Taps);
}

#[test]
fn of_stops_no_hour_of_today_counts() {
    let mut record = Record::in_october();
    record.reports(october(), 20, true);
    record.reports(september(), 30, true);
    let exposure = |stops| {
        let compared = record.compared(|asked| {
            asked.filter.lines.clear();
            asked.filter.stops = stops;
        });
        assert_eq!(compared.over, Over::Time);
        compared.periods[0].compared.exposure
    };
    let (hour, start) = (NOON.hour().expect("a supported year"), october().0.start());
    assert_eq!(exposure(Vec::new()), u64::from(hour.0 - start.0));
    let today = hour.local_day().start();
    assert!(today < hour);
    assert_eq!(exposure(vec![stop_id(1)]), u64::from(today.0 - start.0));
}

#[test]
fn nothing_is_said_of_a_period_of_which_no_hour_is_in_the_record() {
    let mut record = Record::new();
    record.reports(october(), 310, true);
    let check = |record: &Record, expected: bool| {
        let compared = record.compared(|_| ());
        assert_eq!(compared.over, Over::Time);
        assert_eq!(compared.ratio.is_some(), expected);
        let back = record.compared(|asked| asked.windows.reverse());
        assert_eq!(back.ratio.is_some(), expected);
    };
    let end = window(september()).end();
    record.began = UtcMillis(end.start().0 - 1);
    check(&record, true);
    record.began = end.start();
    check(&record, false);
    let [of_october, of_september] = record.compared(|_| ()).periods.map(|one| one.compared);
    assert_eq!((of_october.events, of_october.exposure), (310, 745));
    assert_eq!(of_september, Exposed::default());
}

#[test]
fn days_of_outages_are_listed_and_left_out_where_asked_to() {
    let mut record = Record::new();
    for month in [october(), september()] {
        record.taps(month, 300_000);
    }
    record.reports(october(), 60, false);
    record.reports(september(), 30, true);
    let fifth = day("2026-10-05");
    record.book.apply(Entry::OutageChanged(OutageChange {
        outage: Outage::new(None, fifth, fifth).expect("a day"),
        is_withdrawal: false,
    }));
    let with = record.compared(|_| ());
    assert_eq!(with.periods[0].outages.len(), 1);
    assert_eq!(with.periods[1].outages, []);
    assert_eq!(with.periods[0].count, 60);
    let without = record.compared(|asked| asked.leaves_out_outages = true);
    assert_eq!(without.periods[0].outages.len(), 1);
    assert_eq!(
        without.periods.each_ref().map(|period| period.count),
        [0, 30]
    );
    assert_eq!(without.over, Over::Taps);
    let found = ratio(&without);
    assert_eq!((found.estimate, found.low), (Some(0.0), 0.0));
    assert!(found.high.is_some_and(|high| high < 1.0) && found.shows_a_difference());
}

#[test]
fn rates_over_different_feeds_are_not_compared() {
    let mut record = Record::new();
    record.taps(september(), 300_000);
    record.feed = TapFeed {
        id: "feed-later".parse().expect("a name"),
        ..record.feed.clone()
    };
    record.taps(october(), 300_000);
    for month in [october(), september()] {
        record.reports(month, 40, true);
    }
    let compared = record.compared(|_| ());
    let feeds = compared
        .periods
        .each_ref()
        .map(|period| period.feeds[0].0.id.to_string());
    assert_ne!(feeds[0], feeds[1]);
    assert!(
        compared
            .periods
            .iter()
            .all(|period| period.rate.rate.is_ok())
    );
    assert_eq!(compared.over, Over::Time);
}

#[test]
fn rates_over_a_line_that_is_another_feeds_in_the_other_period_are_not_compared() {
    let compared = |days_of_the_first_in_october: i32| {
        let mut record = Record::new();
        let first = record.feed.clone();
        let second = TapFeed {
            id: "feed-0-too".parse().expect("a name"),
            ..first.clone()
        };
        // Both tell lines 1 and 5, and each is the better one of one of them.
        let mut tell_days = |feed: &TapFeed, line: u32, (start, _): (LocalDay, LocalDay), days| {
            let days = (0..days).map(|shift| LocalDay(start.0 + shift));
            let told = days.map(|day| {
                let slot = TapSlot { day, slot: 0 };
                ((TapScope::Line(line_id(line)), slot), 10_000)
            });
            tell(&mut record.book, feed, &told.collect());
        };
        for month in [october(), september()] {
            tell_days(&first, 5, month, 30);
            tell_days(&second, 5, month, 2);
        }
        tell_days(&first, 1, september(), 30);
        tell_days(&second, 1, september(), 2);
        tell_days(&first, 1, october(), days_of_the_first_in_october);
        tell_days(&second, 1, october(), 31);
        // Another of its own, so that it is always used.
        for month in [october(), september()] {
            tell_days(&second, 9, month, 30);
        }
        for month in [october(), september()] {
            record.reports(month, 40, true);
        }
        record.compared(|asked| asked.filter.lines = [1, 5, 9].map(line_id).into())
    };
    let alike = compared(31);
    let names = |compared: &Compared| {
        compared.periods.each_ref().map(|period| {
            let feeds = period.feeds.iter();
            feeds
                .map(|(feed, _)| feed.id.to_string())
                .collect::<BTreeSet<_>>()
        })
    };
    assert_eq!(alike.over, Over::Taps);
    let moved = compared(3);
    assert_eq!(names(&moved), names(&alike));
    let has_rate = |period: &Period| period.rate.rate.is_ok();
    assert!(moved.periods.iter().all(has_rate));
    assert_eq!(moved.over, Over::Time);
}

#[test]
fn rates_of_the_same_feeds_are_compared_whichever_of_them_told_more_days() {
    let mut record = Record::new();
    let check_ins = record.feed.clone();
    let check_outs = TapFeed {
        id: "feed-0-outs".parse().expect("a name"),
        kinds: TapKinds::new([TapKind::CheckOut].into_iter().collect()).expect("a tap"),
        ..check_ins.clone()
    };
    for (month, days) in [(october(), [31, 30]), (september(), [29, 30])] {
        for (feed, days) in [&check_ins, &check_outs].into_iter().zip(days) {
            let days = (0..days).map(|shift| LocalDay(month.0.0 + shift));
            let told = days.map(|day| {
                let slot = TapSlot { day, slot: 0 };
                ((TapScope::Line(line_id(1)), slot), 10_000)
            });
            tell(&mut record.book, feed, &told.collect());
        }
        record.reports(month, 40, true);
    }
    let compared = record.compared(|_| ());
    let days = compared.periods.each_ref().map(|period| {
        let feeds = period.feeds.iter();
        feeds.map(|(_, days)| *days).collect::<Vec<_>>()
    });
    assert_eq!(days, [[31, 30], [30, 29]]);
    assert_eq!(compared.over, Over::Taps);
}
