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
    /// Upper end of its interval; `None`: no bound, when the second counted nothing.
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
        let to_ratio = |share: f64| share / (1.0 - share) * odds_to_ratio;
        let low = match first.events() {
            0 => 0.0,
            _ => to_ratio(distribution::beta_lower(events, others + 1.0, level.tail())),
        };
        let high = (0 < second.events())
            .then(|| to_ratio(distribution::beta_upper(events + 1.0, others, level.tail())));
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

/// Twice the smaller of the tails of Binomial(events + others, share), at most 1.
fn p_value(events: f64, others: f64, exposure_ratio: f64) -> f64 {
    let share = exposure_ratio / (1.0 + exposure_ratio);
    let at_least = match events {
        0.0 => 1.0,
        _ => distribution::beta_below(events, others + 1.0, share),
    };
    let at_most = match others {
        0.0 => 1.0,
        _ => distribution::beta_below(others, events + 1.0, 1.0 - share),
    };
    (2.0 * at_least.min(at_most)).min(1.0)
}

#[cfg(test)]
mod tests {
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

    /// How often chance alone would give an outcome at most as likely as the one at hand, if
    /// the rates had this ratio: another exact test than ours, whose tails are central.
    fn at_most_as_likely(first: (u64, f64), second: (u64, f64), ratio: f64) -> f64 {
        let odds = ratio * first.1 / second.1;
        let share = odds / (1.0 + odds);
        let all = first.0 + second.0;
        let log_factorial = |n: u64| (1..=n).map(|n| (n as f64).ln()).sum::<f64>();
        let likelihood = |events: u64| {
            let ways = log_factorial(all) - log_factorial(events) - log_factorial(all - events);
            let (events, others) = (events as f64, (all - events) as f64);
            (ways + events * share.ln() + others * (1.0 - share).ln()).exp()
        };
        let most = likelihood(first.0) * (1.0 + 1e-7);
        let all = (0..=all).map(likelihood);
        all.filter(|likelihood| *likelihood <= most).sum()
    }

    /// R's p-value and interval of the same two rates, as DOMAIN §5.7 C prints them. They are
    /// of the test by likelihood: its p-value agrees to all digits, and its interval as far as
    /// R looks for the ends, to four in ten thousand. Ours is central, because it then agrees
    /// with the interval of a rate, each of whose tails holds the same; it is the wider.
    #[test]
    fn rate_ratio_of_the_other_exact_test_has_the_printed_digits() {
        let (first, second) = ((60, 51_477.5), (30, 54_308.7));
        let p_value = at_most_as_likely(first, second, 1.0);
        assert!(
            (p_value - 0.000_675_182_658_686_321).abs() < 1e-15,
            "{p_value}"
        );
        let end = |mut inside: f64, mut outside: f64| {
            for _ in 0..100 {
                let middle = f64::midpoint(inside, outside);
                match at_most_as_likely(first, second, middle) < 0.05 {
                    true => outside = middle,
                    false => inside = middle,
                }
            }
            inside
        };
        let (low, high) = (end(2.0, 1.0), end(2.2, 4.0));
        assert!((low - 1.349_830_906_115_67).abs() < 4e-4, "{low}");
        assert!((high - 3.277_645_098_629_14).abs() < 4e-4, "{high}");
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
