//! The rules of a rate: when there is one, of what kind, and what it covers.
//!
//! Self-reports over taps are reports per 100,000 taps; only observed refusals give a failure
//! rate. A rate says what it was made of and how much of the period and of the reports it
//! covers; where it may not be made there is a count, and the reason. More failures than taps
//! are told as the contradiction they are, never cut down to fit.

use super::comparison::RateRatio;
use super::dispersion::{Day, Dispersion};
use super::interval::{EventRate, Interval, Level, Proportion};
use crate::domain::limits::{COVERED_DAYS_PERCENT_MIN, MATCHED_REPORTS_PERCENT_MIN};
use crate::domain::taps::Refusals;

/// Taps that reports are told per.
pub const REPORTS_PER_TAPS: f64 = 100_000.0;

/// What is counted over taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numerator {
    /// Told by travellers and staff: a rate of reporting, never of failing.
    SelfReports,
    /// Refusals that devices observed.
    ObservedRefusals,
}

/// Reports set against taps, interval by interval of the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// Days of the period.
    pub days: u64,
    /// Of them, days for which any taps were told.
    pub days_with_taps: u64,
    /// Reports of the period.
    pub reports: u64,
    /// Of them, those in an interval for which taps were told.
    pub matched: u64,
    /// Where reports are refusals: all in such an interval, of which those may be some, as one signal
    /// or cause. With the taps they are the attempts, where a feed leaves refused taps out.
    pub refused: u64,
    /// Taps of all intervals for which they were told.
    pub taps: u64,
    /// Days with more matched reports than taps. Only where refused taps are among the taps does it say
    /// that one of the two counts is wrong; elsewhere it is to be left 0.
    pub contradictions: u64,
}

/// Of what taps must have been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Of 90 % of the days.
    OfDays,
    /// Of something else, and of enough of it or not.
    Judged(bool),
}

/// Why there is a count and no rate. Where several hold, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoRate {
    /// No taps were told for any day.
    NoTaps,
    /// Taps were told for fewer than 90 % of the days, or for too little of what else was to be
    /// covered.
    DaysNotCovered,
    /// Fewer than 80 % of the reports fell into an interval with taps.
    ReportsNotMatched,
    /// Taps were told, and were none.
    ZeroTaps,
    /// Observed refusals over a feed that does not say whether its taps include them.
    RefusalsUnknown,
    /// More reports or failures than the attempts they are part of: one of the two counts is
    /// wrong.
    MoreThanTaps,
}

impl NoRate {
    /// Short name in answers and downloads, as in `no-taps`.
    pub fn key(self) -> &'static str {
        match self {
            Self::NoTaps => "no-taps",
            Self::DaysNotCovered => "days-not-covered",
            Self::ReportsNotMatched => "reports-not-matched",
            Self::ZeroTaps => "zero-taps",
            Self::RefusalsUnknown => "refusals-unknown",
            Self::MoreThanTaps => "more-than-taps",
        }
    }
}

/// Which interval a rate is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Estimator {
    /// Garwood for reports per 100,000 taps, Wilson for a failure rate.
    #[default]
    Standard,
    /// Jeffreys for both.
    Jeffreys,
}

/// A rate with what it was made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Self-reports per 100,000 taps.
    Reports {
        /// Matched reports per 100,000 taps.
        per_100_000: f64,
        /// In the same unit.
        interval: Interval,
    },
    /// Observed refusals out of attempts.
    Failures {
        /// Matched refusals over attempts, from 0 to 1.
        share: f64,
        /// In the same unit.
        interval: Interval,
        /// The attempts: the taps, and all refusals where the feed leaves them out.
        attempts: u64,
    },
}

/// The rate of the numerator over the taps of a feed, or why there is none.
///
/// Self-reports s over taps t give s / t per 100,000. Refusals f give f / (t + r) where the
/// feed counts successes only, with r refusals in all, and f / t where it counts attempts. The
/// matching tells what the rate covers and belongs beside it.
///
/// # Errors
///
/// The first reason that holds of [`NoRate`], in its order.
pub fn rate(
    numerator: Numerator,
    refusals: Refusals,
    (matching, coverage): (&Matching, Coverage),
    estimator: Estimator,
    level: Level,
    dispersion: Dispersion,
) -> Result<Rate, NoRate> {
    check_coverage(matching, coverage)?;
    match numerator {
        Numerator::SelfReports => reports(refusals, matching, estimator, level, dispersion),
        Numerator::ObservedRefusals => failures(refusals, matching, estimator, level, dispersion),
    }
}

/// One day of a rate: what is matched of it, all refusals among which those are, and its taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchedDay {
    /// Reports in an interval for which taps were told.
    pub matched: u64,
    /// As in [`Matching`].
    pub refused: u64,
    /// Taps of all intervals for which they were told.
    pub taps: u64,
}

/// The dispersion of a rate's days: against a Poisson count for self-reports, against a binomial one
/// of the day's attempts for observed refusals.
pub fn dispersion(
    numerator: Numerator,
    refusals: Refusals,
    days: impl Iterator<Item = MatchedDay>,
) -> Dispersion {
    let is_added = numerator == Numerator::ObservedRefusals && refusals == Refusals::Excluded;
    let day = |day: MatchedDay| Day {
        count: day.matched,
        exposure: match is_added {
            true => day.taps.saturating_add(day.refused),
            false => day.taps,
        },
    };
    let days: Vec<Day> = days.map(day).collect();
    match numerator {
        Numerator::SelfReports => Dispersion::of_counts(&days),
        Numerator::ObservedRefusals => Dispersion::of_proportions(&days),
    }
}

/// Self-reports per refusal that devices observed, where both exist over the same scope and
/// period: the only measure there is of how readily failures are reported. `None` without
/// observed refusals.
pub fn reports_per_observed_failure(
    self_reports: u64,
    observed_refusals: u64,
    level: Level,
    dispersion: Dispersion,
) -> Option<RateRatio> {
    if observed_refusals == 0 {
        return None;
    }
    let over_the_same = |events| EventRate::new(events, 1.0);
    Some(RateRatio::new(
        over_the_same(self_reports)?,
        over_the_same(observed_refusals)?,
        level,
        dispersion,
    ))
}

fn check_coverage(matching: &Matching, coverage: Coverage) -> Result<(), NoRate> {
    let is_at_least = |part: u64, whole: u64, percent: u64| {
        u128::from(whole) * u128::from(percent) <= u128::from(part) * 100
    };
    if matching.days_with_taps == 0 {
        return Err(NoRate::NoTaps);
    }
    let is_covered = match coverage {
        Coverage::Judged(is_covered) => is_covered,
        Coverage::OfDays => is_at_least(
            matching.days_with_taps,
            matching.days,
            COVERED_DAYS_PERCENT_MIN,
        ),
    };
    if !is_covered {
        return Err(NoRate::DaysNotCovered);
    }
    if !is_at_least(
        matching.matched,
        matching.reports,
        MATCHED_REPORTS_PERCENT_MIN,
    ) {
        return Err(NoRate::ReportsNotMatched);
    }
    Ok(())
}

fn reports(
    refusals: Refusals,
    matching: &Matching,
    estimator: Estimator,
    level: Level,
    dispersion: Dispersion,
) -> Result<Rate, NoRate> {
    let rate = EventRate::new(matching.matched, matching.taps as f64 / REPORTS_PER_TAPS)
        .ok_or(NoRate::ZeroTaps)?;
    // Where refused taps are left out, an outage may have more reports than taps.
    if refusals == Refusals::Included && matching.taps < matching.matched {
        return Err(NoRate::MoreThanTaps);
    }
    Ok(Rate::Reports {
        per_100_000: rate.estimate(),
        interval: match estimator {
            Estimator::Standard => rate.garwood(level, dispersion),
            Estimator::Jeffreys => rate.jeffreys(level, dispersion),
        },
    })
}

fn failures(
    refusals: Refusals,
    matching: &Matching,
    estimator: Estimator,
    level: Level,
    dispersion: Dispersion,
) -> Result<Rate, NoRate> {
    let attempts = match refusals {
        Refusals::Included | Refusals::Unknown => matching.taps,
        Refusals::Excluded => matching.taps.saturating_add(matching.refused),
    };
    if attempts == 0 {
        return Err(NoRate::ZeroTaps);
    }
    if refusals == Refusals::Unknown {
        return Err(NoRate::RefusalsUnknown);
    }
    let share = Proportion::new(matching.matched, attempts).ok_or(NoRate::MoreThanTaps)?;
    Ok(Rate::Failures {
        share: share.estimate(),
        interval: match estimator {
            Estimator::Standard => share.wilson(level, dispersion),
            Estimator::Jeffreys => share.jeffreys(level, dispersion),
        },
        attempts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A month of line 10: 40 reports matched to 300,000 taps.
    fn month() -> Matching {
        Matching {
            days: 30,
            days_with_taps: 30,
            reports: 40,
            matched: 40,
            refused: 40,
            taps: 300_000,
            contradictions: 0,
        }
    }

    fn made(numerator: Numerator, refusals: Refusals, matching: Matching) -> Result<Rate, NoRate> {
        rate(
            numerator,
            refusals,
            (&matching, Coverage::OfDays),
            Estimator::Standard,
            Level::P95,
            Dispersion::NONE,
        )
    }

    fn self_reports(matching: Matching) -> Result<Rate, NoRate> {
        made(Numerator::SelfReports, Refusals::Unknown, matching)
    }

    #[test]
    fn self_reports_are_told_per_100_000_taps() {
        let Ok(Rate::Reports {
            per_100_000,
            interval,
        }) = self_reports(month())
        else {
            panic!("a covered month has a rate");
        };
        let printed = format!(
            "{per_100_000:.1} ({:.1}–{:.1})",
            interval.low(),
            interval.high()
        );
        assert_eq!(printed, "13.3 (9.5–18.2)");
    }

    #[test]
    fn refusals_are_over_attempts_as_the_feed_counts_them() {
        let attempts_of = |refusals| match made(Numerator::ObservedRefusals, refusals, month()) {
            Ok(Rate::Failures {
                share, attempts, ..
            }) => {
                assert!((share - 40.0 / attempts as f64).abs() < 1e-15);
                Ok(attempts)
            }
            Ok(Rate::Reports { .. }) => panic!("refusals give a failure rate"),
            Err(reason) => Err(reason),
        };
        assert_eq!(attempts_of(Refusals::Included), Ok(300_000));
        assert_eq!(attempts_of(Refusals::Excluded), Ok(300_040));
        assert_eq!(attempts_of(Refusals::Unknown), Err(NoRate::RefusalsUnknown));
    }

    #[test]
    fn a_rate_needs_nine_days_of_ten_and_four_reports_of_five() {
        let check = |days_with_taps, matched, expected: Result<(), NoRate>| {
            let matching = Matching {
                days_with_taps,
                matched,
                refused: matched,
                ..month()
            };
            assert_eq!(self_reports(matching).map(|_| ()), expected);
        };
        check(27, 40, Ok(()));
        check(26, 40, Err(NoRate::DaysNotCovered));
        check(0, 0, Err(NoRate::NoTaps));
        check(30, 32, Ok(()));
        check(30, 31, Err(NoRate::ReportsNotMatched));
        check(26, 31, Err(NoRate::DaysNotCovered));
    }

    #[test]
    fn no_reports_are_a_rate_of_nothing_and_no_taps_are_no_rate() {
        let quiet = Matching {
            reports: 0,
            matched: 0,
            refused: 0,
            ..month()
        };
        let Ok(Rate::Reports { interval, .. }) = self_reports(quiet) else {
            panic!("nothing reported over taps is a rate");
        };
        assert_eq!(interval.low(), 0.0);
        assert!((interval.high() - 3.688_879_454_113_936 / 3.0).abs() < 1e-12);
        let closed = Matching { taps: 0, ..quiet };
        assert_eq!(self_reports(closed), Err(NoRate::ZeroTaps));
    }

    #[test]
    fn where_several_reasons_hold_the_first_is_told() {
        let all = |days_with_taps, matched, taps| Matching {
            days_with_taps,
            matched,
            refused: matched,
            taps,
            ..month()
        };
        let check = |refusals, matching, expected| {
            let found = made(Numerator::ObservedRefusals, refusals, matching);
            assert_eq!(found.err(), Some(expected), "{refusals:?} {matching:?}");
        };
        for refusals in [Refusals::Included, Refusals::Unknown] {
            check(refusals, all(0, 31, 0), NoRate::NoTaps);
            check(refusals, all(26, 31, 0), NoRate::DaysNotCovered);
            check(refusals, all(27, 31, 0), NoRate::ReportsNotMatched);
            check(refusals, all(27, 32, 0), NoRate::ZeroTaps);
        }
        check(Refusals::Unknown, all(27, 32, 31), NoRate::RefusalsUnknown);
        check(Refusals::Included, all(27, 32, 31), NoRate::MoreThanTaps);
    }

    #[test]
    fn what_was_judged_otherwise_goes_before_days() {
        let made = |days_with_taps, coverage| {
            let matching = Matching {
                days_with_taps,
                ..month()
            };
            let (numerator, refusals) = (Numerator::SelfReports, Refusals::Unknown);
            let (estimator, level) = (Estimator::Standard, Level::P95);
            let of = (&matching, coverage);
            rate(numerator, refusals, of, estimator, level, Dispersion::NONE).map(|_| ())
        };
        assert_eq!(made(15, Coverage::Judged(true)), Ok(()));
        assert_eq!(
            made(30, Coverage::Judged(false)),
            Err(NoRate::DaysNotCovered)
        );
        assert_eq!(made(0, Coverage::Judged(false)), Err(NoRate::NoTaps));
    }

    #[test]
    fn more_than_taps_is_told_and_not_cut_down() {
        let broken = Matching {
            taps: 39,
            contradictions: 1,
            ..month()
        };
        let check = |numerator, refusals, expected| {
            assert_eq!(made(numerator, refusals, broken).err(), expected);
        };
        check(
            Numerator::ObservedRefusals,
            Refusals::Included,
            Some(NoRate::MoreThanTaps),
        );
        check(
            Numerator::SelfReports,
            Refusals::Included,
            Some(NoRate::MoreThanTaps),
        );
        check(Numerator::ObservedRefusals, Refusals::Excluded, None);
        check(Numerator::SelfReports, Refusals::Excluded, None);
    }

    #[test]
    fn reports_per_observed_failure_need_a_failure() {
        let none = reports_per_observed_failure(5, 0, Level::P95, Dispersion::NONE);
        assert_eq!(none, None);
        let ratio = reports_per_observed_failure(40, 52, Level::P95, Dispersion::NONE)
            .expect("failures were observed");
        assert_eq!(ratio.estimate, Some(40.0 / 52.0));
        assert!((ratio.low - 0.496_302_742_614_960_7).abs() < 1e-12);
    }

    #[test]
    fn some_of_the_refusals_are_over_all_attempts() {
        let some = Matching {
            refused: 90,
            ..month()
        };
        let attempts_of = |refusals| match made(Numerator::ObservedRefusals, refusals, some) {
            Ok(Rate::Failures { attempts, .. }) => attempts,
            other => panic!("{other:?}"),
        };
        assert_eq!(attempts_of(Refusals::Included), 300_000);
        assert_eq!(attempts_of(Refusals::Excluded), 300_090);
    }

    #[test]
    fn dispersion_is_taken_over_what_the_rate_is_over() {
        let day = |matched, refused, taps| MatchedDay {
            matched,
            refused,
            taps,
        };
        let told = [day(1, 4, 3), day(3, 3, 3), day(2, 5, 2)];
        let days = |exposure: fn(&MatchedDay) -> u64| {
            told.each_ref().map(|day| Day {
                count: day.matched,
                exposure: exposure(day),
            })
        };
        let of = |numerator, refusals| dispersion(numerator, refusals, told.into_iter());
        let failures = Numerator::ObservedRefusals;
        assert_eq!(
            of(Numerator::SelfReports, Refusals::Excluded),
            Dispersion::of_counts(&days(|day| day.taps))
        );
        assert_eq!(
            of(failures, Refusals::Included),
            Dispersion::of_proportions(&days(|day| day.taps))
        );
        assert_eq!(
            of(failures, Refusals::Excluded),
            Dispersion::of_proportions(&days(|day| day.taps + day.refused))
        );
    }
}
