//! Of how many reports a feed tells the interval and the kind, as far as an edition may tell.
//!
//! That an operator has rates tells that few of its reports could not be matched. Beside
//! published kinds of taps or parts of days this could tell of fewer than ten which those are.
//! So what those tables tell is taken from them, as everybody can read it there, their rests
//! counting as not matched; and of what no table tells, fewer than ten count as ten.

use crate::domain::limits::{
    EDITION_RATED_REPORTS_MIN, MATCHED_REPORTS_PERCENT_MIN, PUBLISHED_GROUP_MIN,
};
use crate::domain::taps::{TapFeed, TapInterval};
use crate::domain::taxonomy::{TapKind, Taxonomy as _};
use crate::stats::screening::{PublishedGroup, PublishedTable};

use super::gather::Report;
use super::tables::{NOT_SAID, PART_OF_DAY, TAP_KIND};

/// The counted reports of an operator in one month, against one feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// All of them.
    pub reports: u64,
    /// Those that are taken as matched.
    pub matched: u64,
}

/// What a feed has to tell of a report.
#[derive(Clone, Copy)]
enum Aspect {
    Kind,
    Time,
}

impl Matched {
    /// Of an operator's counted reports, with what is published of them.
    pub fn new(feed: &TapFeed, reports: &[&Report], published: Option<&PublishedGroup>) -> Self {
        let mut not_told = 0;
        let mut hidden = Vec::new();
        for aspect in [Aspect::Kind, Aspect::Time] {
            if !aspect.matters(feed) {
                continue;
            }
            match published.and_then(|group| aspect.table(group)) {
                Some(table) => not_told += aspect.not_told(feed, table),
                None => hidden.push(aspect),
            }
        }
        if !hidden.is_empty() {
            let is_not_told =
                |report: &&&Report| !hidden.iter().all(|aspect| aspect.is_told(feed, report));
            let unknown = reports.iter().filter(is_not_told).count();
            not_told += unknown.max(PUBLISHED_GROUP_MIN) as u64;
        }
        let reports = reports.len() as u64;
        Self {
            reports,
            matched: reports.saturating_sub(not_told),
        }
    }

    /// Whether there are too few reports for a rate to be asked for at all.
    pub fn is_too_few(self) -> bool {
        self.reports < EDITION_RATED_REPORTS_MIN
    }

    /// Whether enough are matched for a rate.
    pub fn is_enough(self) -> bool {
        MATCHED_REPORTS_PERCENT_MIN * self.reports <= 100 * self.matched
    }
}

impl Aspect {
    /// Whether a report can fail to be told in this.
    fn matters(self, feed: &TapFeed) -> bool {
        match self {
            Self::Kind => true,
            // As in exact figures, which add quarters up to hours.
            Self::Time => feed.interval != TapInterval::Day || feed.day_begin.hour() != 0,
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
    fn not_told(self, feed: &TapFeed, table: &PublishedTable) -> u64 {
        let is_told = |key: &str| match self {
            Self::Kind => {
                TapKind::from_key(key).is_some_and(|kind| feed.kinds.set().contains(kind))
            }
            Self::Time => key != NOT_SAID,
        };
        let told = table.parts().iter().filter(|part| is_told(part.key()));
        table.reports() - told.map(|part| part.reports()).sum::<u64>()
    }

    fn is_told(self, feed: &TapFeed, report: &Report) -> bool {
        match self {
            Self::Kind => report
                .tap_kind
                .is_some_and(|kind| feed.kinds.set().contains(kind)),
            Self::Time => report.hour_of_day.is_some(),
        }
    }
}
