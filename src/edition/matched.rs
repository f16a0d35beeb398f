//! Of how many reports feeds tell the kind, the time and the day, as far as an edition may tell.
//!
//! That an operator has rates tells that few of its reports could not be matched. Beside
//! published kinds of taps or parts of days this could tell of fewer than ten which those are.
//! So what those tables tell is taken from them, as everybody can read it there, their rests
//! counting as not matched; and of what no table tells, fewer than ten count as ten.
//!
//! Days without taps are read from what is published of days, and from nothing else. They stand
//! in a rule of their own: each line may lack other days, and if these were added to what no table
//! tells, each line would ask of that with another bound, and two bounds close together would tell
//! it.

use std::collections::BTreeMap;

use crate::domain::limits::{
    EDITION_RATED_REPORTS_MIN, MATCHED_REPORTS_PERCENT_MIN, PUBLISHED_GROUP_MIN,
};
use crate::domain::taps::{TapFeed, TapInterval};
use crate::domain::taxonomy::{SetOf, TapKind, Taxonomy as _};
use crate::domain::{LocalDay, OperatorCode};
use crate::stats::screening::{PublishedGroup, PublishedTable};

use super::gather::Report;
use super::tables::{DAY, LATER, NOT_SAID, PART_OF_DAY, TAP_KIND};

/// What some feeds of one operator tell taps of, together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tells {
    /// Whose they are.
    pub operator: OperatorCode,
    kinds: SetOf<TapKind>,
    /// Whether a report must be known to the hour to be told of.
    is_by_time: bool,
}

/// The counted reports of an operator in one month, against some feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// All of them.
    reports: u64,
    /// Those of which it is not published that their kind and time are told.
    not_told: u64,
    /// Those of which no table says whether they are, ten at least; `None` if tables say it of all.
    hidden: Option<u64>,
    days: Days,
}

/// What is published of the days of a month's reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Days {
    parts: BTreeMap<LocalDay, u64>,
    /// Recorded too late for the part of their day.
    later: u64,
    /// In no part.
    rest: u64,
    /// The smallest part; `None` if there is none.
    smallest: Option<u64>,
}

/// What feeds have to tell of a report.
#[derive(Clone, Copy)]
enum Aspect {
    Kind,
    Time,
}

// === impl Tells ===

impl Tells {
    /// Of one feed at least.
    pub fn of(feeds: &[&TapFeed]) -> Self {
        // As in exact figures, which add quarters up to hours.
        let is_by_time =
            |feed: &&TapFeed| feed.interval != TapInterval::Day || feed.day_begin.hour() != 0;
        Self {
            operator: feeds[0].operator.clone(),
            kinds: feeds
                .iter()
                .flat_map(|feed| feed.kinds.set().iter())
                .collect(),
            is_by_time: feeds.iter().any(is_by_time),
        }
    }
}

// === impl Matched ===

impl Matched {
    /// Of an operator's counted reports, with what is published of them.
    pub fn new(tells: &Tells, reports: &[&Report], published: Option<&PublishedGroup>) -> Self {
        let mut not_told = 0;
        let mut hidden = Vec::new();
        for aspect in [Aspect::Kind, Aspect::Time] {
            if !aspect.matters(tells) {
                continue;
            }
            match published.and_then(|group| aspect.table(group)) {
                Some(table) => not_told += aspect.not_told(tells, table),
                None => hidden.push(aspect),
            }
        }
        let is_not_told =
            |report: &&&Report| !hidden.iter().all(|aspect| aspect.is_told(tells, report));
        let unknown = reports.iter().filter(is_not_told).count();
        let reports = reports.len() as u64;
        Self {
            reports,
            not_told,
            hidden: (!hidden.is_empty()).then(|| unknown.max(PUBLISHED_GROUP_MIN) as u64),
            days: Days::of(reports, published.and_then(|group| group.table(DAY))),
        }
    }

    /// Whether there are too few reports for a rate to be asked for at all.
    pub fn is_too_few(&self) -> bool {
        self.reports < EDITION_RATED_REPORTS_MIN
    }

    /// Whether enough are matched for a rate over taps that these days of the month lack.
    pub fn is_enough(&self, without_taps: &[LocalDay]) -> bool {
        let is_enough = |not_matched: u64| {
            let matched = self.reports.saturating_sub(not_matched);
            MATCHED_REPORTS_PERCENT_MIN * self.reports <= 100 * matched
        };
        // What is hidden decides by one bound, whatever days lack taps.
        let at_least = self.hidden.map_or(0, |_| PUBLISHED_GROUP_MIN as u64);
        is_enough(self.not_told + self.hidden.unwrap_or(0))
            && is_enough(self.not_told + at_least + self.days.of_some(self.reports, without_taps))
    }
}

// === impl Days ===

impl Days {
    fn of(reports: u64, table: Option<&PublishedTable>) -> Self {
        let Some(table) = table.filter(|table| !table.parts().is_empty()) else {
            return Self {
                rest: reports,
                ..Self::default()
            };
        };
        let parts = table.parts().iter();
        let parts = parts.filter_map(|part| Some((LocalDay::parse(part.key())?, part.reports())));
        Self {
            parts: parts.collect(),
            later: table.part(LATER).map_or(0, |part| part.reports()),
            rest: table.rest(),
            smallest: table.parts().iter().map(|part| part.reports()).min(),
        }
    }

    /// Of all reports, those that are taken to be of some days: as published; as ten of a day that
    /// has no part, which has fewer reporters. But while a rest had fewer than ten, the smallest
    /// part joined it: where the rest may be of this and a few others, all of it is taken, and so
    /// is everything where nothing is published. What was recorded later lies on days as all else.
    fn of_some(&self, reports: u64, days: &[LocalDay]) -> u64 {
        const ALONE_MIN: u64 = PUBLISHED_GROUP_MIN as u64;
        let (apart, joined): (Vec<_>, Vec<_>) =
            days.iter().partition(|day| self.parts.contains_key(day));
        let in_parts: u64 = apart.iter().map(|day| self.parts[day]).sum();
        let in_rest = match (joined.len() as u64, self.smallest) {
            (0, _) => 0,
            (days, Some(smallest)) if smallest + ALONE_MIN <= self.rest => {
                self.rest.min(days * ALONE_MIN)
            }
            _ => self.rest,
        };
        let in_time = reports.saturating_sub(self.later).max(1);
        ((in_parts + in_rest) * reports).div_ceil(in_time)
    }
}

impl Aspect {
    /// Whether a report can fail to be told in this.
    fn matters(self, tells: &Tells) -> bool {
        match self {
            Self::Kind => true,
            Self::Time => tells.is_by_time,
        }
    }

    /// What is published of it; `None` if nothing is.
    fn table(self, group: &PublishedGroup) -> Option<&PublishedTable> {
        let table = group.table(match self {
            Self::Kind => TAP_KIND,
            Self::Time => PART_OF_DAY,
        });
        table.filter(|table| !table.parts().is_empty())
    }

    /// Reports of which it is not published that they are told in this.
    fn not_told(self, tells: &Tells, table: &PublishedTable) -> u64 {
        let is_told = |key: &str| match self {
            Self::Kind => TapKind::from_key(key).is_some_and(|kind| tells.kinds.contains(kind)),
            Self::Time => key != NOT_SAID,
        };
        let told = table.parts().iter().filter(|part| is_told(part.key()));
        table.reports() - told.map(|part| part.reports()).sum::<u64>()
    }

    fn is_told(self, tells: &Tells, report: &Report) -> bool {
        match self {
            Self::Kind => report
                .tap_kind
                .is_some_and(|kind| tells.kinds.contains(kind)),
            Self::Time => report.hour_of_day.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::feed_of_gvb;
    use crate::edition::gather::testing::report;
    use crate::edition::tables;
    use crate::stats::screening::screen;

    const REPORTS: usize = 150;
    /// Of all, so many may be unmatched.
    const BOUND: usize = REPORTS / 5;

    fn day(number: i32) -> LocalDay {
        LocalDay(report().day.0 + number)
    }

    /// 10 reports of one day, 12 of the next and all others of a third; of so many, told by nine
    /// people, the kind is not known.
    fn matched(without_kind: usize) -> Matched {
        let feed = feed_of_gvb("gvb");
        let told = |number: usize| Report {
            operator: Some(feed.operator.clone()),
            day: match number {
                0..10 => day(0),
                10..22 => day(1),
                _ => day(2),
            },
            tap_kind: (number + without_kind < REPORTS).then_some(TapKind::CheckIn),
            ..report()
        };
        let reports: Vec<_> = (0..REPORTS).map(told).collect();
        let reports: Vec<_> = reports.iter().collect();
        let reporter = |number: usize| {
            if number + without_kind < REPORTS {
                number
            } else {
                REPORTS + number % 9
            }
        };
        let reporters = (0..REPORTS).map(|number| u32::try_from(reporter(number)).expect("few"));
        let groups = tables::groups(&reports, &reporters.collect::<Vec<_>>());
        let published = screen(&groups).expect("enough");
        let group = published.group("GVB");
        let table = group.and_then(|group| group.table(TAP_KIND));
        assert!(table.is_none_or(|table| table.parts().is_empty()));
        Matched::new(&Tells::of(&[&feed]), &reports, group)
    }

    #[test]
    fn what_no_table_tells_decides_by_one_bound_whatever_days_have_no_taps() {
        let most_of = |days: &[LocalDay]| {
            let is_enough = |hidden: &usize| matched(*hidden).is_enough(days);
            let enough: Vec<_> = (0..=2 * BOUND).filter(is_enough).collect();
            let is_all_below = enough.last().is_none_or(|most| enough.len() == most + 1);
            assert!(is_all_below, "{enough:?}");
            enough.last().copied()
        };
        assert_eq!(most_of(&[]), Some(BOUND));
        assert_eq!(most_of(&[day(0)]), Some(BOUND));
        assert_eq!(most_of(&[day(1)]), Some(BOUND));
        // Ten may be hidden, and 22 are of days without taps.
        assert_eq!(most_of(&[day(0), day(1)]), None);
    }
}
