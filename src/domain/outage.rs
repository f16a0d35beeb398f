//! Declared outages: local days on which the service of an operator, or of the whole network,
//! was down, so that figures of those days say little about readers.
//!
//! Days are declared and withdrawn, both of them in the journal; what holds as of a position
//! is what was told last by then. Nothing is inferred from reports: somebody who runs the
//! instance declares it.

use std::collections::BTreeSet;

use super::entry::{Position, Stamp};
use super::id::OperatorCode;
use super::limits::{OUTAGE_CHANGES_MAX, OUTAGE_DAYS_MAX};
use super::time::{END_DAY, FIRST_DAY, LocalDay};

/// Why days are no outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOutage {
    /// The last day comes before the first.
    #[error("must not come before the first day")]
    Order,
    /// Too many days, see `OUTAGE_DAYS_MAX`.
    #[error("must be at most 92 days after the first")]
    TooLong,
    /// Days that nothing can be recorded of.
    #[error("must lie in the years 2000 to 2099")]
    Unsupported,
}

/// Whose outage it is, and on which days. Invariant: the first day is not after the last, and
/// there are at most `OUTAGE_DAYS_MAX` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    operator: Option<OperatorCode>,
    first: LocalDay,
    last: LocalDay,
}

impl Outage {
    /// An outage of an operator, or of the whole network (`None`), from the first day through
    /// the last.
    pub fn new(
        operator: Option<OperatorCode>,
        first: LocalDay,
        last: LocalDay,
    ) -> Result<Self, InvalidOutage> {
        if first < FIRST_DAY || END_DAY <= last {
            return Err(InvalidOutage::Unsupported);
        }
        if last < first {
            return Err(InvalidOutage::Order);
        }
        if OUTAGE_DAYS_MAX < last.0 - first.0 + 1 {
            return Err(InvalidOutage::TooLong);
        }
        Ok(Self {
            operator,
            first,
            last,
        })
    }

    /// Whose it is; `None` for the whole network.
    pub fn operator(&self) -> Option<&OperatorCode> {
        self.operator.as_ref()
    }

    /// The first day.
    pub fn first(&self) -> LocalDay {
        self.first
    }

    /// The last day.
    pub fn last(&self) -> LocalDay {
        self.last
    }

    fn days(&self) -> impl Iterator<Item = LocalDay> + use<> {
        (self.first.0..=self.last.0).map(LocalDay)
    }
}

/// What is done about an outage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutageChange {
    /// Whose, and which days.
    pub outage: Outage,
    /// Whether the days are declared no longer. Days that never were stay as they are.
    pub is_withdrawal: bool,
}

/// A change in its place in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutageTold {
    /// Its place.
    pub at: Position,
    /// When it was committed.
    pub stamp: Stamp,
    /// What it says.
    pub change: OutageChange,
}

/// One day of an outage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutageDay {
    /// The day.
    pub day: LocalDay,
    /// Whose; `None` for the whole network, which comes first.
    pub operator: Option<OperatorCode>,
}

/// All that was told about outages, in the order of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outages {
    told: Vec<OutageTold>,
}

impl Outages {
    /// Adds the next change. `false`, and nothing is added, if there are `OUTAGE_CHANGES_MAX`.
    pub fn tell(&mut self, told: OutageTold) -> bool {
        let has_room = self.has_room();
        if has_room {
            self.told.push(told);
        }
        has_room
    }

    /// Whether another change can be told.
    pub fn has_room(&self) -> bool {
        self.told.len() < OUTAGE_CHANGES_MAX
    }

    /// Every change, in the order of the journal.
    pub fn told(&self) -> &[OutageTold] {
        &self.told
    }

    /// The days, rising, that were declared through a position and not withdrawn by then. Only
    /// days of the range, and of operators that `wants` (always those of the whole network).
    pub fn days(
        &self,
        through: Position,
        range: std::ops::RangeInclusive<LocalDay>,
        wants: impl Fn(&OperatorCode) -> bool,
    ) -> Vec<OutageDay> {
        let by_then = self.told.iter().take_while(|told| told.at <= through);
        let mut days = BTreeSet::new();
        for told in by_then {
            let OutageChange {
                outage,
                is_withdrawal,
            } = &told.change;
            if !outage.operator().is_none_or(&wants) {
                continue;
            }
            for day in outage.days().filter(|day| range.contains(day)) {
                let day = OutageDay {
                    day,
                    operator: outage.operator.clone(),
                };
                if *is_withdrawal {
                    days.remove(&day);
                } else {
                    days.insert(day);
                }
            }
        }
        days.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UtcMillis;

    fn day(number: i32) -> LocalDay {
        LocalDay(20_000 + number)
    }

    fn told(at: u64, operator: Option<&str>, days: (i32, i32), is_withdrawal: bool) -> OutageTold {
        let operator = operator.map(|code| code.parse().expect("a code"));
        OutageTold {
            at: Position(at),
            stamp: UtcMillis(0),
            change: OutageChange {
                outage: Outage::new(operator, day(days.0), day(days.1)).expect("sound"),
                is_withdrawal,
            },
        }
    }

    fn days_of(outages: &Outages, through: u64, wanted: &str) -> Vec<(i32, Option<String>)> {
        let range = day(0)..=day(9);
        let days = outages.days(Position(through), range, |code| code.as_str() == wanted);
        days.into_iter()
            .map(|one| {
                let operator = one.operator.map(|code| code.to_string());
                (one.day.0 - 20_000, operator)
            })
            .collect()
    }

    #[test]
    fn days_hold_from_the_entry_that_declares_them_to_the_one_that_withdraws_them() {
        let mut outages = Outages::default();
        for change in [
            told(5, None, (1, 3), false),
            told(7, Some("GVB"), (3, 4), false),
            told(9, None, (2, 2), true),
            told(11, Some("RET"), (8, 20), false),
        ] {
            assert!(outages.tell(change));
        }
        let gvb = || Some("GVB".to_owned());
        assert_eq!(days_of(&outages, 4, "GVB"), []);
        assert_eq!(
            days_of(&outages, 5, "GVB"),
            [(1, None), (2, None), (3, None)]
        );
        let all = [(1, None), (3, None), (3, gvb()), (4, gvb())];
        assert_eq!(days_of(&outages, 9, "GVB"), all);
        let ret = || Some("RET".to_owned());
        let others = [(1, None), (3, None), (8, ret()), (9, ret())];
        assert_eq!(days_of(&outages, 99, "RET"), others);
    }

    #[test]
    fn days_out_of_order_too_many_or_of_no_calendar_are_no_outage() {
        let check = |first, last, expected| {
            let outage = Outage::new(None, LocalDay(first), LocalDay(last));
            assert_eq!(outage.err(), expected);
        };
        check(20_000, 20_000, None);
        check(20_000, 20_091, None);
        check(20_000, 20_092, Some(InvalidOutage::TooLong));
        check(20_000, 19_999, Some(InvalidOutage::Order));
        check(i32::MIN, i32::MAX, Some(InvalidOutage::Unsupported));
        check(
            FIRST_DAY.0 - 1,
            FIRST_DAY.0,
            Some(InvalidOutage::Unsupported),
        );
        check(END_DAY.0 - 1, END_DAY.0, Some(InvalidOutage::Unsupported));
    }

    #[test]
    fn outages_beyond_the_bound_are_refused() {
        let mut outages = Outages::default();
        for at in 0..OUTAGE_CHANGES_MAX as u64 {
            assert!(outages.tell(told(at + 1, None, (1, 1), at % 2 == 1)));
        }
        assert!(!outages.tell(told(u64::MAX, None, (1, 1), false)));
        assert_eq!(outages.told().len(), OUTAGE_CHANGES_MAX);
    }
}
