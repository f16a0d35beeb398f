//! How much an operator's days scatter, as far as it is published.
//!
//! An edition tells apart only days with ten reporters or more, and of all others how many reports
//! they have together. Read from the days apart alone, a month with a few bad days would seem to
//! have no calm ones. So the days of the rest are counted, too, as if each had its share of it by
//! its taps: no way of dividing the rest scatters less, so that the dispersion is at most that of
//! all days told apart. Nothing but published rows and taps is read.

use std::collections::BTreeMap;

use super::format::Row;
use super::rows::REST;
use super::tables::DAY;
use super::taps::ByDay;
use crate::domain::taps::Refusals;
use crate::domain::{LocalDay, LocalMonth};
use crate::stats::dispersion::{Day, Dispersion};
use crate::stats::rate::{MatchedDay, Numerator, dispersion};

/// The published counts of days, by basis and operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishedDays(BTreeMap<(String, String), BTreeMap<LocalMonth, Days>>);

/// What is published of the days of one operator's month.
#[derive(Clone, Debug, Default, PartialEq)]
struct Days {
    /// Reports of each day that stands apart.
    parts: BTreeMap<LocalDay, u64>,
    /// Those of all other days together, and of what was recorded later where that has no part.
    rest: u64,
}

/// The days of some months against taps.
#[derive(Debug, Default)]
struct Exposed {
    /// A day each, and for each month one that stands for all days of its rest.
    days: Vec<Day>,
    /// How many days these stand for.
    days_exposed: u32,
}

// === impl PublishedDays ===

impl PublishedDays {
    /// What these rows say.
    pub fn of(rows: &[Row]) -> Self {
        let mut all = Self::default();
        for row in rows.iter().filter(|row| row.dimension == DAY) {
            let day = LocalDay::parse(&row.key);
            let Some(month) = LocalDay::parse(&row.period_start).map(LocalDay::month) else {
                continue;
            };
            let key = (row.basis.clone(), row.operator_code.clone());
            let days = all.0.entry(key).or_default().entry(month).or_default();
            match day {
                Some(day) => {
                    days.parts.insert(day, row.count);
                }
                None if row.flag == REST => days.rest = row.count,
                // What came later is of no day.
                None => {}
            }
        }
        all
    }

    /// The dispersion of a row's interval, over these taps of its period: that of its operator's
    /// days, as far as it is the row's by its share of their reports. Months of which no day is
    /// published tell of no scatter and are left out, of the share as well. Not estimated where
    /// nothing is left.
    pub fn dispersion(
        &self,
        row: &Row,
        numerator: Numerator,
        refusals: Refusals,
        taps: &ByDay,
    ) -> Dispersion {
        let key = (row.basis.clone(), row.operator_code.clone());
        let mut exposed = Exposed::default();
        let months = self.0.get(&key).into_iter().flatten();
        for (month, days) in months.filter(|(_, days)| !days.parts.is_empty()) {
            let of_month = taps.iter().filter(|(day, _)| day.month() == *month);
            exposed.add(days, of_month.map(|(day, taps)| (*day, *taps)));
        }
        let days = exposed.days.iter().map(|day| MatchedDay {
            matched: day.count,
            refused: day.count,
            taps: day.exposure,
        });
        let of_operator = dispersion(numerator, refusals, days);
        of_operator
            .over_days(exposed.days_exposed)
            .of_part(exposed.share(row.count, taps.values().sum()))
    }
}

// === impl Exposed ===

impl Exposed {
    fn add(&mut self, days: &Days, taps: impl Iterator<Item = (LocalDay, u64)>) {
        let mut joined = Day {
            count: days.rest,
            exposure: 0,
        };
        // Without taps no report is to be expected of a day.
        for (day, exposure) in taps.filter(|(_, taps)| 0 < *taps) {
            self.days_exposed += 1;
            match days.parts.get(&day) {
                Some(&count) => self.days.push(Day { count, exposure }),
                None => joined.exposure += exposure,
            }
        }
        self.days.extend((0 < joined.exposure).then_some(joined));
    }

    /// What part of the operator's reports these are, 0 and up, were the operator reported over
    /// all these taps as over those of its days.
    fn share(&self, reports: u64, taps: u64) -> f64 {
        let count: u64 = self.days.iter().map(|day| day.count).sum();
        let exposure: u64 = self.days.iter().map(|day| day.exposure).sum();
        let expected = count as f64 * taps as f64 / exposure.max(1) as f64;
        if 0.0 < expected {
            reports as f64 / expected
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edition::month;

    const TAPS: u64 = 100;

    /// Rows of a month of GVB whose days apart and rest these are.
    fn rows(month: &str, apart: &[(i32, u64)], rest: u64) -> Vec<Row> {
        let first = month::first_day(month::parse(month).expect("a month"));
        let row = |key: String, flag: &str, count| Row {
            basis: "self-reported".into(),
            period_start: first.to_string(),
            operator_code: "GVB".into(),
            dimension: DAY.into(),
            key,
            flag: flag.into(),
            count,
            ..Row::default()
        };
        let apart = apart.iter();
        let apart = apart.map(|(day, count)| {
            let day = LocalDay(first.0 + day);
            row(day.to_string(), "exact", *count)
        });
        let rest = (0 < rest).then(|| row(String::new(), REST, rest));
        apart.chain(rest).collect()
    }

    fn taps(month: &str, per_day: impl Fn(i32) -> u64) -> ByDay {
        let first = month::first_day(month::parse(month).expect("a month"));
        let taps = (0..30).map(|day| (LocalDay(first.0 + day), per_day(day)));
        taps.collect()
    }

    fn of(rows: &[Row], count: u64, taps: &ByDay) -> Dispersion {
        let row = Row {
            basis: "self-reported".into(),
            operator_code: "GVB".into(),
            count,
            ..Row::default()
        };
        let (numerator, refusals) = (Numerator::SelfReports, Refusals::Included);
        PublishedDays::of(rows).dispersion(&row, numerator, refusals, taps)
    }

    /// 27 days of four reports, and three of forty.
    fn month_with_an_outage() -> Vec<Row> {
        rows("2026-06", &[(3, 40), (4, 40), (5, 40)], 27 * 4)
    }

    #[test]
    fn days_of_the_rest_are_counted_beside_the_bad_days_that_are_published() {
        let whole = of(&month_with_an_outage(), 228, &taps("2026-06", |_| TAPS));
        // Over all thirty days as they were.
        let days = (0..30).map(|day| if day < 3 { 40 } else { 4 });
        let days = days.map(|count| Day { count, exposure: 1 });
        let known = Dispersion::of_counts(&days.collect::<Vec<_>>());
        assert!((whole.factor() - known.factor()).abs() < 1e-9, "{whole:?}");
        assert_eq!(format!("{:.1}", whole.factor()), "15.9");
        assert_eq!(whole.days(), 30);
        let of_line = of(&month_with_an_outage(), 57, &taps("2026-06", |_| TAPS));
        let expected = 1.0 + (known.factor() - 1.0) / 4.0;
        assert!((of_line.factor() - expected).abs() < 1e-9, "{of_line:?}");
    }

    #[test]
    fn rest_is_divided_as_taps_are_so_that_quiet_days_do_not_scatter() {
        // A tenth of the taps at week-ends, and of the reports; two days are published.
        let weekend = |day: i32| day % 7 < 2;
        let taps = taps("2026-06", |day| if weekend(day) { 10 } else { 100 });
        let days = (0..30).filter(|day| !weekend(*day));
        let days = days.count() as u64 * 10 + 10;
        let rows = rows("2026-06", &[(2, 10), (3, 10)], days - 20);
        assert_eq!(of(&rows, days, &taps).factor(), 1.0);
    }

    #[test]
    fn days_with_taps_and_no_report_are_counted() {
        let all_on_two = rows("2026-06", &[(3, 30), (4, 30)], 0);
        let whole = of(&all_on_two, 60, &taps("2026-06", |_| TAPS));
        assert_eq!(whole.days(), 30);
        assert!(28.0 < whole.factor(), "{whole:?}");
        let two_days_of_taps = taps("2026-06", |day| u64::from((3..5).contains(&day)));
        let whole = of(&all_on_two, 60, &two_days_of_taps);
        assert_eq!((whole.days(), whole.factor()), (2, 1.0));
    }

    #[test]
    fn month_of_which_no_day_is_published_is_left_out() {
        let none = of(&[], 228, &taps("2026-06", |_| TAPS));
        assert_eq!(none, Dispersion::NONE);
        // Of a quarter's 228 reports of a line, 76 are to be expected in the month.
        let quarter: ByDay = ["2026-04", "2026-05", "2026-06"]
            .into_iter()
            .flat_map(|month| taps(month, |_| TAPS))
            .collect();
        let line = of(&month_with_an_outage(), 228, &quarter);
        let alone = of(&month_with_an_outage(), 76, &taps("2026-06", |_| TAPS));
        assert!((line.factor() - alone.factor()).abs() < 1e-9, "{line:?}");
        assert_eq!(line.days(), 30);
    }

    #[test]
    fn each_month_of_a_quarter_has_a_rest_of_its_own() {
        let calm = rows("2026-05", &[(1, 10), (2, 10)], 28 * 10);
        let both = [calm, month_with_an_outage()].concat();
        let taps = [taps("2026-05", |_| TAPS), taps("2026-06", |_| TAPS)];
        let taps: ByDay = taps.into_iter().flatten().collect();
        let days = (0..60).map(|day| match day {
            0..30 => 10,
            30..33 => 40,
            _ => 4,
        });
        let days = days.map(|count| Day { count, exposure: 1 });
        let known = Dispersion::of_counts(&days.collect::<Vec<_>>());
        let found = of(&both, 528, &taps);
        assert!((found.factor() - known.factor()).abs() < 1e-9, "{found:?}");
        assert_eq!(found.days(), 60);
    }
}
