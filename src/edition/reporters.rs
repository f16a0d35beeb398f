//! Which reports of a reporter count. Who a reporter is, `domain::reporters` says.
//!
//! Nobody can be recognised under two keys of pseudonyms. So the reports of a month that name
//! somebody count under one of them alone: else a key that is replaced would make two reporters of
//! one person.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::gather::Report;
use crate::domain::LocalDay;
use crate::domain::limits::COUNTED_REPORTS_PER_MONTH_MAX;
use crate::domain::{LineId, OperatorCode, StopId};
use crate::stats::screening::distinct;

pub use crate::domain::reporters::{Names, number};

/// Of a reporter's reports that are alike in this, one counts.
#[derive(PartialEq, Eq, Hash)]
struct CountedOnce<'a> {
    reporter: u32,
    day: LocalDay,
    /// That of the line, if there is one.
    operator: Option<&'a OperatorCode>,
    line: Option<&'a LineId>,
    station: Option<&'a StopId>,
}

/// The key under which reports of a month count that name somebody: that of most of them, of
/// equals the first; `None` if none names anybody. Names that are erased later change nothing of
/// it.
pub fn counted_key(reports: &[&Report]) -> Option<u32> {
    let mut told: BTreeMap<u32, usize> = BTreeMap::new();
    for report in reports {
        if report.is_named && !report.is_uncountable {
            *told.entry(report.key).or_default() += 1;
        }
    }
    let most = told.iter().map(|(key, reports)| (*reports, Reverse(*key)));
    most.max().map(|(_, Reverse(key))| key)
}

/// How many reporters there are at least, of reports with their keys and numbers: those of one
/// key, as those of another may be the same people.
pub fn at_least<K: Ord>(reports: impl Iterator<Item = (K, u32)>) -> usize {
    let mut by_key: BTreeMap<K, Vec<u32>> = BTreeMap::new();
    for (key, number) in reports {
        by_key.entry(key).or_default().push(number);
    }
    let reporters = by_key.into_values().map(|own| distinct(own.into_iter()));
    reporters.max().unwrap_or(0)
}

/// Which reports count: of each reporter, the first for each line and day, and at most ten a
/// month; none that were flagged when they came in, and none that name somebody under another key
/// than `key`. Those without a line are told apart by operator and, where tables do so, by station.
/// Reports are in the order of the journal, and of one month, each with the number of its reporter.
pub fn are_counted(reports: &[&Report], numbers: &[u32], key: Option<u32>) -> Vec<bool> {
    let mut seen: HashSet<CountedOnce<'_>> = HashSet::new();
    let mut counted: HashMap<u32, usize> = HashMap::new();
    let mut are_counted = Vec::with_capacity(reports.len());
    for (report, reporter) in reports.iter().zip(numbers.iter().copied()) {
        let told = counted.entry(reporter).or_default();
        let is_other_key = report.is_named && key != Some(report.key);
        let is_counted = !report.is_uncountable
            && !is_other_key
            && *told < COUNTED_REPORTS_PER_MONTH_MAX
            && seen.insert(CountedOnce::new(reporter, report));
        *told += usize::from(is_counted);
        are_counted.push(is_counted);
    }
    are_counted
}

impl<'a> CountedOnce<'a> {
    fn new(reporter: u32, report: &'a Report) -> Self {
        Self {
            reporter,
            day: report.day,
            operator: report.operator.as_ref(),
            line: report.line.as_ref(),
            station: report.station(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Pseudonym;
    use crate::domain::taxonomy::Mode;
    use crate::edition::gather::testing::report;

    fn told(card: u8, installation: u8) -> Report {
        let pseudonym = |number: u8| (0 < number).then_some(Pseudonym([number; 16]));
        Report {
            card: pseudonym(card),
            installation: pseudonym(installation),
            is_named: 0 < card.max(installation),
            ..report()
        }
    }

    fn counted(reports: &[Report]) -> Vec<bool> {
        let numbers = number(reports.iter().map(Report::names));
        let reports: Vec<_> = reports.iter().collect();
        are_counted(&reports, &numbers, counted_key(&reports))
    }

    #[test]
    fn one_report_counts_for_each_reporter_line_and_day() {
        let on = |line: &str, day| Report {
            line: Some(line.parse().expect("a line")),
            day: LocalDay(20_000 + day),
            ..told(1, 0)
        };
        let reports = [
            on("GVB:1", 1),
            on("GVB:1", 1),
            on("GVB:2", 1),
            on("GVB:1", 2),
        ];
        assert_eq!(counted(&reports), [true, false, true, true]);
    }

    #[test]
    fn reports_without_a_line_count_once_for_each_operator_and_station() {
        let on = |operator: &str, mode: Mode, stop: &str| Report {
            operator: Some(operator.parse().expect("a code")),
            mode: Some(mode),
            stop: Some(stop.parse().expect("a stop")),
            ..told(1, 0)
        };
        let reports = [
            on("NS", Mode::Train, "NS:asd"),
            on("GVB", Mode::Metro, "GVB:cs"),
            on("NS", Mode::Train, "NS:ut"),
            on("NS", Mode::Train, "NS:asd"),
            // No table tells stops of trams apart.
            on("HTM", Mode::Tram, "HTM:1"),
            on("HTM", Mode::Tram, "HTM:2"),
        ];
        assert_eq!(counted(&reports), [true, true, true, false, true, false]);
        let with_line = |stop| Report {
            line: Some("NS:ic".parse().expect("a line")),
            ..on("NS", Mode::Train, stop)
        };
        let of_one_line = [with_line("NS:asd"), with_line("NS:ut")];
        assert_eq!(counted(&of_one_line), [true, false]);
    }

    #[test]
    fn flagged_report_does_not_count_and_takes_no_place() {
        let on = |day, is_uncountable| Report {
            day: LocalDay(20_000 + day),
            is_uncountable,
            ..told(0, 1)
        };
        let reports = [on(0, true), on(0, false), on(1, true), on(2, false)];
        assert_eq!(counted(&reports), [false, true, false, true]);
    }

    #[test]
    fn ten_reports_count_for_each_reporter() {
        let on = |card, day| Report {
            day: LocalDay(20_000 + day),
            ..told(card, 0)
        };
        let mut reports: Vec<_> = (0..15).map(|day| on(1, day)).collect();
        reports.push(on(2, 0));
        let counted = counted(&reports);
        assert_eq!(counted.iter().filter(|counted| **counted).count(), 11);
        assert!(counted[9] && !counted[10] && counted[15]);
    }

    #[test]
    fn reports_that_name_somebody_count_under_the_key_of_most() {
        let under = |key, card| Report {
            key,
            ..told(card, 0)
        };
        let reports = [under(0, 1), under(1, 2), under(1, 3), under(0, 0)];
        assert_eq!(counted(&reports), [false, true, true, true]);
        // Of equals the first; those that are flagged are not asked.
        let flagged = Report {
            is_uncountable: true,
            ..under(1, 4)
        };
        let reports = [under(1, 2), under(0, 1), flagged];
        assert_eq!(counted(&reports), [false, true, false]);
        // Who told them is known no longer: the others do not count for that.
        let erased = Report {
            card: None,
            ..under(0, 1)
        };
        let reports = [erased.clone(), erased, under(1, 2)];
        assert_eq!(counted(&reports), [true, false, false]);
    }

    #[test]
    fn reporters_of_two_keys_may_be_the_same_people() {
        let told = [(0, 1), (0, 2), (0, 2), (1, 3), (1, 4), (1, 5)];
        assert_eq!(at_least(told.into_iter()), 3);
        assert_eq!(at_least(std::iter::empty::<(u32, u32)>()), 0);
    }
}
