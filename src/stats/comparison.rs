//! Whether two periods or two scopes differ.
//!
//! Given how many events both had together, how many fell to the first is binomial: exact
//! for Poisson counts, whatever their common rate (Przyborowski and Wilenski 1940,
//! *Biometrika* 31:313). The interval is the exact one of that share, turned into a ratio.

use super::dispersion::Dispersion;
use super::distribution;
use super::interval::{EventRate, Level};

/// One rate against another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateRatio {
    /// First rate over second; `None` when the second counted nothing.
    pub estimate: Option<f64>,
    /// Lower end of its interval; 0 when the first counted nothing.
    pub low: f64,
    /// Upper end of its interval; `None`: no bound, when the second counted nothing, or so little
    /// next to its dispersion that the end is too large for a number.
    pub high: Option<f64>,
    /// How often chance alone would set two equal rates at least this far apart, from 0 to 1:
    /// twice the smaller tail.
    pub p_value: f64,
    /// How sure the interval is.
    pub level: Level,
    /// What it was widened by.
    pub dispersion: Dispersion,
}

impl RateRatio {
    /// The first rate against the second. Both count the same kind of event; the dispersion
    /// is that of the more dispersed.
    pub fn new(first: EventRate, second: EventRate, level: Level, dispersion: Dispersion) -> Self {
        let events = first.events() as f64 / dispersion.factor();
        let others = second.events() as f64 / dispersion.factor();
        let odds_to_ratio = second.exposure() / first.exposure();
        let (low, high) = odds(events, others, level.tail());
        let low = match first.events() {
            0 => 0.0,
            _ => low() * odds_to_ratio,
        };
        let high = (0 < second.events()).then(|| high() * odds_to_ratio);
        let high = high.filter(|high| high.is_finite());
        Self {
            estimate: (0 < second.events()).then(|| first.estimate() / second.estimate()),
            low,
            high,
            p_value: p_value(events, others, first.exposure() / second.exposure()),
            level,
            dispersion,
        }
    }

    /// Whether a difference can be shown: the interval leaves 1 out. Otherwise "no difference
    /// can be shown", which is not to say that there is none.
    pub fn shows_a_difference(&self) -> bool {
        1.0 < self.low || self.high.is_some_and(|high| high < 1.0)
    }
}

/// The ends of the exact interval of the first's share, as odds. Of the two shares the smaller is
/// asked for, as nothing would be left of 1 less a share that is almost 1.
fn odds(events: f64, others: f64, tail: f64) -> (impl FnOnce() -> f64, impl FnOnce() -> f64) {
    let of_own = |share: f64| share / (1.0 - share);
    let of_other = |share: f64| (1.0 - share) / share;
    let low = move || {
        if events < others {
            of_own(distribution::beta_lower(events, others + 1.0, tail))
        } else {
            of_other(distribution::beta_upper(others + 1.0, events, tail))
        }
    };
    let high = move || {
        if events < others {
            of_own(distribution::beta_upper(events + 1.0, others, tail))
        } else {
            of_other(distribution::beta_lower(others, events + 1.0, tail))
        }
    };
    (low, high)
}

/// Twice the smaller of the tails of Binomial(events + others, share), at most 1.
fn p_value(events: f64, others: f64, exposure_ratio: f64) -> f64 {
    let share = exposure_ratio / (1.0 + exposure_ratio);
    let rest = 1.0 / (1.0 + exposure_ratio);
    let at_least = match events {
        0.0 => 1.0,
        _ => distribution::beta_below(events, others + 1.0, share, rest),
    };
    let at_most = match others {
        0.0 => 1.0,
        _ => distribution::beta_below(others, events + 1.0, rest, share),
    };
    (2.0 * at_least.min(at_most)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::dispersion::Day;
    use super::*;

    fn ratio(first: (u64, f64), second: (u64, f64), dispersion: Dispersion) -> RateRatio {
        let rate = |(events, exposure)| EventRate::new(events, exposure).expect("an exposure");
        RateRatio::new(rate(first), rate(second), Level::P95, dispersion)
    }

    fn is_close(value: f64, expected: f64) {
        let difference = (value - expected).abs();
        assert!(
            difference <= 1e-12 * expected.abs(),
            "{value} for {expected}"
        );
    }

    #[test]
    fn few_events_next_to_their_dispersion_have_no_bound_above() {
        // 800 on one day of seven: φ is 800, and one event counts as 0.00125.
        let mut days = [Day {
            count: 0,
            exposure: 1,
        }; 7];
        days[0].count = 800;
        let outage = Dispersion::of_counts(&days);
        assert!((outage.factor() - 800.0).abs() < 1e-9);
        let found = ratio((800, 1.0), (1, 1.0), outage);
        assert_eq!(found.high, None);
        assert!((0.0..1.0).contains(&found.low), "{found:?}");
        assert!(!found.shows_a_difference());
        let back = ratio((1, 1.0), (800, 1.0), outage);
        assert_eq!(back.low, 0.0);
    }

    /// With scipy 1.17.1: beta quantiles for the ends, binomial tails for the p-value.
    #[test]
    fn ratios_are_as_computed_elsewhere() {
        let found = ratio((60, 51_477.5), (30, 54_308.7), Dispersion::NONE);
        is_close(
            found.estimate.expect("the second counted"),
            2.109_997_571_754_65,
        );
        is_close(found.low, 1.339_735_721_772_652_2);
        is_close(
            found.high.expect("the second counted"),
            3.388_365_573_616_251_7,
        );
        is_close(found.p_value, 0.000_856_105_388_100_248_8);
        assert!(found.shows_a_difference());
    }

    /// How often chance alone would give an outcome at most as likely as the one at hand, if this
    /// were the share of all events that falls to the first: another exact test than ours, whose
    /// tails are central.
    fn at_most_as_likely(events: u32, others: u32, share: f64) -> f64 {
        let all = events + others;
        // A product that stays near 1, so that its digits are right to the last few.
        let likelihood = |events: u32| -> f64 {
            let rest = all - events;
            let chosen = (1..=events).map(|n| f64::from(rest + n) / f64::from(n) * share);
            let both = chosen.chain((0..rest).map(|_| 1.0 - share));
            both.product()
        };
        let most = likelihood(events) * (1.0 + 1e-7);
        let all = (0..=all).map(likelihood);
        all.filter(|likelihood| *likelihood <= most).sum()
    }

    /// R's p-value and interval of the same two rates, to all digits that DOMAIN §5.7 C prints.
    /// They are of the test by likelihood, and R looks for its ends among ten-thousandths of the
    /// share: they are the nearest of those that are rejected. (The p-value's last digit is off
    /// by one there: it is 6.751826586863217e-4, as exact fractions have it.) Ours is central,
    /// because it then agrees with the interval of a rate, each of whose tails holds the same,
    /// and because the other may leave gaps; it is the wider.
    #[test]
    fn rate_ratio_of_the_other_exact_test_has_the_printed_digits() {
        let (first, second) = ((60, 51_477.5), (30, 54_308.7));
        let p_value = at_most_as_likely(60, 30, 51_477.5 / (51_477.5 + 54_308.7));
        assert_eq!(format!("{p_value:.17}"), "0.00067518265868632");
        assert!(
            (p_value - 0.000_675_182_658_686_321).abs() < 2e-18,
            "{p_value}"
        );
        let share = |ten_thousandths: u32| f64::from(ten_thousandths) / 10_000.0;
        let is_rejected = |number: &u32| at_most_as_likely(60, 30, share(*number)) < 0.05;
        let ratio_of = |number: u32| share(number) / (1.0 - share(number)) * second.1 / first.1;
        let low = (0..6_667).rev().find(is_rejected).map(ratio_of);
        let high = (6_667..10_000).find(is_rejected).map(ratio_of);
        let (low, high) = (low.expect("an end"), high.expect("an end"));
        assert_eq!(format!("{low:.14}"), "1.34983090611567");
        assert_eq!(format!("{high:.14}"), "3.27764509862914");
        let ours = ratio(first, second, Dispersion::NONE);
        assert!(ours.low < low && ours.high.is_some_and(|end| high < end));
        assert!(p_value < ours.p_value);
    }

    #[test]
    fn forty_reports_after_fifty_two_show_no_difference() {
        let found = ratio((40, 300_000.0), (52, 300_000.0), Dispersion::NONE);
        is_close(found.low, 0.496_302_742_614_960_7);
        is_close(
            found.high.expect("the second counted"),
            1.184_338_522_373_712_4,
        );
        is_close(found.p_value, 0.251_322_103_474_854_34);
        assert!(!found.shows_a_difference());
    }

    /// With mpmath 1.3, to 30 digits: where one of the shares is almost 1, and where the p-value
    /// is far below any that matters.
    #[test]
    fn hard_ratios_are_as_computed_elsewhere() {
        let ratio = |first: (u64, f64), second: (u64, f64), level| {
            let rate = |(events, exposure)| EventRate::new(events, exposure).expect("an exposure");
            let level = Level::new(level).expect("a level that is allowed");
            RateRatio::new(rate(first), rate(second), level, Dispersion::NONE)
        };
        let is_near = |value: f64, expected: f64| {
            let difference = (value - expected).abs();
            assert!(difference <= 1e-11 * expected, "{value} for {expected}");
        };
        let first = (29_226_352, 154_006.996_051_216_93);
        let high = ratio(first, (1, 0.565_264_211_618_456_3), 0.999_99).high;
        is_near(high.expect("the second counted"), 21_454_311.179_531_704);
        let first = (64_342_428, 1_615_709.240_707_379_5);
        let low = ratio(first, (0, 3.215_215_772_729_014_7), 0.8).low;
        is_near(low, 55.606_897_326_129_555);
        let second = (15, 0.033_583_688_811_919_74);
        let p_value = ratio((0, 2_377_975.653_278_656), second, 0.95).p_value;
        is_near(p_value, 3.546_866_172_997_255e-118);
    }

    #[test]
    fn nothing_counted_leaves_an_end_open() {
        let none_first = ratio((0, 10.0), (5, 10.0), Dispersion::NONE);
        assert_eq!((none_first.estimate, none_first.low), (Some(0.0), 0.0));
        is_close(
            none_first.high.expect("the second counted"),
            1.091_279_105_182_546,
        );
        is_close(none_first.p_value, 0.0625);
        let none_second = ratio((5, 10.0), (0, 10.0), Dispersion::NONE);
        assert_eq!((none_second.estimate, none_second.high), (None, None));
        is_close(none_second.low, 0.916_355_857_315_459_5);
        let none = ratio((0, 10.0), (0, 10.0), Dispersion::NONE);
        assert_eq!((none.low, none.high, none.p_value), (0.0, None, 1.0));
        assert!(!none.shows_a_difference());
    }

    proptest::proptest! {
        #[test]
        fn the_interval_holds_the_ratio_and_agrees_with_the_test(
            first in 0..2_000_u64, second in 1..2_000_u64, exposure in 0.1..10.0_f64,
        ) {
            let found = ratio((first, exposure), (second, 1.0), Dispersion::NONE);
            let estimate = found.estimate.expect("the second counted");
            let high = found.high.expect("the second counted");
            proptest::prop_assert!(found.low <= estimate && estimate <= high);
            if (found.p_value - 0.05).abs() > 1e-9 {
                proptest::prop_assert_eq!(found.shows_a_difference(), found.p_value < 0.05);
            }
        }
    }
}
