//! Who told what, as far as it is known, and which reports count.
//!
//! Cards and installations are joined into one reporter where one report names both. All
//! reports that name neither are of one reporter together. The numbers that come out mean
//! nothing outside one call, and nothing in here is kept.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::gather::Report;
use crate::domain::limits::COUNTED_REPORTS_PER_MONTH_MAX;
use crate::domain::{LineId, LocalDay, OperatorCode, Pseudonym, StopId};

/// The reporter of whoever names neither a card nor an installation.
const NOBODY: u32 = 0;

/// Whom a report names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Names {
    /// Pseudonym of the card.
    pub card: Option<Pseudonym>,
    /// Pseudonym of the installation.
    pub installation: Option<Pseudonym>,
}

/// The number of each report's reporter.
pub fn number(reports: impl Iterator<Item = Names> + Clone) -> Vec<u32> {
    let mut people = People::default();
    for names in reports.clone() {
        people.meet(names);
    }
    reports.map(|names| people.number(names)).collect()
}

/// Of a reporter's reports that are alike in this, one counts.
#[derive(PartialEq, Eq, Hash)]
struct CountedOnce<'a> {
    reporter: u32,
    day: LocalDay,
    /// That of the line, if there is one.
    operator: Option<&'a OperatorCode>,
    line: Option<&'a LineId>,
    /// Where there is no line.
    station: Option<&'a StopId>,
}

/// Which reports count: of each reporter, the first for each line and day, and at most ten a
/// month; none that were flagged when they came in. Those without a line are told apart by operator
/// and, where tables do so, by station. Reports are in the order of the journal, and of one month,
/// each with the number of its reporter.
pub fn are_counted(reports: &[&Report], numbers: &[u32]) -> Vec<bool> {
    let mut seen: HashSet<CountedOnce<'_>> = HashSet::new();
    let mut counted: HashMap<u32, usize> = HashMap::new();
    let mut are_counted = Vec::with_capacity(reports.len());
    for (report, reporter) in reports.iter().zip(numbers.iter().copied()) {
        let told = counted.entry(reporter).or_default();
        let is_counted = !report.is_uncountable
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
            station: match report.line {
                Some(_) => None,
                None => report.station(),
            },
        }
    }
}

/// Cards and installations, joined.
#[derive(Default)]
struct People {
    places: BTreeMap<(bool, [u8; 16]), usize>,
    parents: Vec<usize>,
}

impl People {
    fn meet(&mut self, names: Names) {
        let card = names.card.map(|card| self.place(true, card));
        let installation = names.installation.map(|id| self.place(false, id));
        if let (Some(card), Some(installation)) = (card, installation) {
            let (card, installation) = (self.root(card), self.root(installation));
            self.parents[card] = installation;
        }
    }

    fn place(&mut self, is_card: bool, pseudonym: Pseudonym) -> usize {
        let next = self.parents.len();
        let place = *self.places.entry((is_card, pseudonym.0)).or_insert(next);
        if place == next {
            self.parents.push(next);
        }
        place
    }

    fn root(&mut self, mut place: usize) -> usize {
        while self.parents[place] != place {
            self.parents[place] = self.parents[self.parents[place]];
            place = self.parents[place];
        }
        place
    }

    fn number(&mut self, names: Names) -> u32 {
        let named = names.card.map(|card| (true, card));
        let named = named.or(names.installation.map(|id| (false, id)));
        let Some((is_card, pseudonym)) = named else {
            return NOBODY;
        };
        let place = self.place(is_card, pseudonym);
        let root = self.root(place);
        u32::try_from(root + 1).expect("fewer reports than that in a quarter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::taxonomy::Mode;
    use crate::edition::gather::testing::report;

    fn told(card: u8, installation: u8) -> Report {
        let pseudonym = |number: u8| (0 < number).then_some(Pseudonym([number; 16]));
        Report {
            card: pseudonym(card),
            installation: pseudonym(installation),
            ..report()
        }
    }

    fn different(reports: &[Report]) -> usize {
        let names = reports.iter().map(Report::names);
        number(names).into_iter().collect::<HashSet<_>>().len()
    }

    #[test]
    fn card_and_installation_of_one_report_are_one_reporter() {
        assert_eq!(different(&[told(1, 0), told(0, 1)]), 2);
        assert_eq!(different(&[told(1, 0), told(0, 1), told(1, 1)]), 1);
        assert_eq!(
            different(&[told(1, 1), told(2, 1), told(2, 2), told(0, 2)]),
            1
        );
        assert_eq!(different(&[told(1, 1), told(2, 2)]), 2);
    }

    #[test]
    fn reports_that_name_nobody_are_of_one_reporter() {
        assert_eq!(different(&[told(0, 0), told(0, 0), told(1, 0)]), 2);
    }

    fn counted(reports: &[Report]) -> Vec<bool> {
        let numbers = number(reports.iter().map(Report::names));
        are_counted(&reports.iter().collect::<Vec<_>>(), &numbers)
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
}
