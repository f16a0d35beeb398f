//! Confidence intervals of proportions and of rates of counts over an exposure.
//!
//! Wilson for proportions, Garwood for counts over an exposure, Jeffreys where asked for; never
//! Wald. Clopper-Pearson is only there to be compared with. Each stays inside what is possible,
//! holds its estimate, ends at exactly 0 when nothing was counted and at exactly 1 when everything
//! was. Dispersion above 1 widens them. Quantiles come from a library, behind `distribution`.

use std::hash::{Hash, Hasher};

use super::dispersion::Dispersion;
use super::distribution;

/// How sure an interval is: the share of such intervals that hold the truth, from 0.5 to
/// 0.999999.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Level(f64);

/// Never not a number.
impl Eq for Level {}

impl Hash for Level {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl Level {
    /// 95 %, what every figure is printed with unless told otherwise.
    pub const P95: Self = Self(0.95);
    /// Lowest level: below it an interval more often misses than holds.
    pub const MIN: f64 = 0.5;
    /// Highest level: above it the tails of real counts follow no model.
    pub const MAX: f64 = 0.999_999;

    /// `None` outside 0.5 to 0.999999.
    pub fn new(level: f64) -> Option<Self> {
        (Self::MIN..=Self::MAX)
            .contains(&level)
            .then_some(Self(level))
    }

    /// The level, as in 0.95.
    pub fn get(self) -> f64 {
        self.0
    }

    /// What lies outside on each side, as in 0.025.
    pub(super) fn tail(self) -> f64 {
        (1.0 - self.0) / 2.0
    }
}

/// How an interval was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// The score interval of a proportion (Wilson 1927).
    Wilson,
    /// The exact interval of a proportion (Clopper and Pearson 1934).
    ClopperPearson,
    /// The exact interval of a Poisson count (Garwood 1936).
    Garwood,
    /// The central interval of the posterior under Jeffreys' prior, of a proportion or of a
    /// Poisson count (Brown, Cai and DasGupta 2001 and 2003).
    Jeffreys,
}

impl Method {
    /// Short name in answers and downloads, as in `clopper-pearson`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Wilson => "wilson",
            Self::ClopperPearson => "clopper-pearson",
            Self::Garwood => "garwood",
            Self::Jeffreys => "jeffreys",
        }
    }
}

/// A confidence interval with how it was made. Invariant: `0 <= low <= high`, finite; what
/// it was made for lies inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    low: f64,
    high: f64,
    method: Method,
    level: Level,
    dispersion: Dispersion,
}

impl Interval {
    /// Lower end, in the unit of the estimate.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// Upper end, in the unit of the estimate.
    pub fn high(&self) -> f64 {
        self.high
    }

    /// How it was computed.
    pub fn method(&self) -> Method {
        self.method
    }

    /// How sure it is.
    pub fn level(&self) -> Level {
        self.level
    }

    /// What it was widened by.
    pub fn dispersion(&self) -> Dispersion {
        self.dispersion
    }

    /// Whether the value lies inside, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// So many successes out of so many trials. Invariant: `successes <= trials`, `0 < trials`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proportion {
    successes: u64,
    trials: u64,
}

impl Proportion {
    /// `None` without trials or with more successes than trials.
    pub fn new(successes: u64, trials: u64) -> Option<Self> {
        if trials == 0 || trials < successes {
            return None;
        }
        Some(Self { successes, trials })
    }

    /// How many succeeded.
    pub fn successes(&self) -> u64 {
        self.successes
    }

    /// Out of how many.
    pub fn trials(&self) -> u64 {
        self.trials
    }

    /// Successes over trials, from 0 to 1.
    pub fn estimate(&self) -> f64 {
        self.successes as f64 / self.trials as f64
    }

    /// The score interval (Wilson 1927, *JASA* 22:209): with p = x/n and the quantile z, the
    /// ends are (p + z²/2n ± z·√(p(1 − p)/n + z²/4n²)) / (1 + z²/n).
    pub fn wilson(&self, level: Level, dispersion: Dispersion) -> Interval {
        let estimate = self.estimate();
        let trials = self.trials as f64 / dispersion.factor();
        let z = distribution::standard_normal_upper(level.tail());
        let shift = z * z / trials;
        let centre = estimate + shift / 2.0;
        let half = z * (estimate * (1.0 - estimate) / trials + shift / (4.0 * trials)).sqrt();
        let low = (centre - half) / (1.0 + shift);
        let high = (centre + half) / (1.0 + shift);
        self.interval(low, high, Method::Wilson, level, dispersion)
    }

    /// The exact interval (Clopper and Pearson 1934, *Biometrika* 26:404), which holds the
    /// truth at least as often as the level says: quantiles of Beta(x, n − x + 1) and
    /// Beta(x + 1, n − x).
    pub fn clopper_pearson(&self, level: Level, dispersion: Dispersion) -> Interval {
        let (successes, failures) = self.effective(dispersion);
        let low = match self.successes {
            0 => 0.0,
            _ => distribution::beta_lower(successes, failures + 1.0, level.tail()),
        };
        let high = match self.trials - self.successes {
            0 => 1.0,
            _ => distribution::beta_upper(successes + 1.0, failures, level.tail()),
        };
        self.interval(low, high, Method::ClopperPearson, level, dispersion)
    }

    /// The central interval of the posterior Beta(x + ½, n − x + ½) (Brown, Cai and DasGupta
    /// 2001, *Statistical Science* 16:101). As they advise, the lower end is 0 when nothing
    /// succeeded and the upper end 1 when everything did.
    pub fn jeffreys(&self, level: Level, dispersion: Dispersion) -> Interval {
        let (successes, failures) = self.effective(dispersion);
        let low = match self.successes {
            0 => 0.0,
            _ => distribution::beta_lower(successes + 0.5, failures + 0.5, level.tail()),
        };
        let high = match self.trials - self.successes {
            0 => 1.0,
            _ => distribution::beta_upper(successes + 0.5, failures + 0.5, level.tail()),
        };
        self.interval(low, high, Method::Jeffreys, level, dispersion)
    }

    /// Successes and failures, each divided by the dispersion: the effective sample of Kish
    /// (1965, *Survey Sampling*, §8.2), as Korn and Graubard (1998, *Survey Methodology*
    /// 24:193) put it into the exact interval.
    fn effective(&self, dispersion: Dispersion) -> (f64, f64) {
        let failures = self.trials - self.successes;
        (
            self.successes as f64 / dispersion.factor(),
            failures as f64 / dispersion.factor(),
        )
    }

    /// Ends set to 0 and 1 where they must be, and never past the estimate.
    fn interval(
        &self,
        low: f64,
        high: f64,
        method: Method,
        level: Level,
        dispersion: Dispersion,
    ) -> Interval {
        let estimate = self.estimate();
        Interval {
            low: low.max(0.0).min(estimate),
            high: high.min(1.0).max(estimate),
            method,
            level,
            dispersion,
        }
    }
}

/// So many events over so much exposure (taps, hours, days). Invariant: the exposure is
/// finite and above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventRate {
    events: u64,
    exposure: f64,
}

impl EventRate {
    /// `None` unless the exposure is finite and above 0.
    pub fn new(events: u64, exposure: f64) -> Option<Self> {
        if !exposure.is_finite() || exposure <= 0.0 {
            return None;
        }
        Some(Self { events, exposure })
    }

    /// How many events.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Over how much.
    pub fn exposure(&self) -> f64 {
        self.exposure
    }

    /// Events per unit of exposure.
    pub fn estimate(&self) -> f64 {
        self.events as f64 / self.exposure
    }

    /// The exact interval of a Poisson mean (Garwood 1936, *Biometrika* 28:437), over the
    /// exposure: quantiles of Gamma(x, 1) and Gamma(x + 1, 1), which are half those of
    /// chi-squared with 2x and 2x + 2 degrees of freedom.
    pub fn garwood(&self, level: Level, dispersion: Dispersion) -> Interval {
        let events = self.events as f64 / dispersion.factor();
        let low = match self.events {
            0 => 0.0,
            _ => distribution::gamma_lower(events, level.tail()),
        };
        let high = distribution::gamma_upper(events + 1.0, level.tail());
        self.interval(low, high, Method::Garwood, level, dispersion)
    }

    /// The central interval of the posterior Gamma(x + ½, 1) (Brown, Cai and DasGupta 2003,
    /// *Statistica Sinica* 13:19), over the exposure. The lower end is 0 when nothing was
    /// counted.
    pub fn jeffreys(&self, level: Level, dispersion: Dispersion) -> Interval {
        let shape = self.events as f64 / dispersion.factor() + 0.5;
        let low = match self.events {
            0 => 0.0,
            _ => distribution::gamma_lower(shape, level.tail()),
        };
        let high = distribution::gamma_upper(shape, level.tail());
        self.interval(low, high, Method::Jeffreys, level, dispersion)
    }

    /// From effective events to events over the exposure, and never past the estimate. With
    /// dispersion φ a count scales as φ times a Poisson count of x/φ (Bohm and Zech 2014,
    /// *Nuclear Instruments and Methods A* 748:1).
    fn interval(
        &self,
        low: f64,
        high: f64,
        method: Method,
        level: Level,
        dispersion: Dispersion,
    ) -> Interval {
        let estimate = self.estimate();
        let scale = dispersion.factor() / self.exposure;
        Interval {
            low: (low * scale).min(estimate),
            high: (high * scale).max(estimate),
            method,
            level,
            dispersion,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::dispersion::Day;
    use super::*;

    type OfProportion = fn(&Proportion, Level, Dispersion) -> Interval;
    type OfRate = fn(&EventRate, Level, Dispersion) -> Interval;

    const OF_PROPORTIONS: [OfProportion; 3] = [
        Proportion::wilson,
        Proportion::clopper_pearson,
        Proportion::jeffreys,
    ];
    const OF_RATES: [OfRate; 2] = [EventRate::garwood, EventRate::jeffreys];

    fn proportion(successes: u64, trials: u64) -> Proportion {
        Proportion::new(successes, trials).expect("successes among some trials")
    }

    fn event_rate(events: u64, exposure: f64) -> EventRate {
        EventRate::new(events, exposure).expect("an exposure above 0")
    }

    /// Of two equal days: X² = (a − b)² / (a + b).
    fn dispersion(first: u64, second: u64) -> Dispersion {
        Dispersion::of_counts(&[first, second].map(|count| Day { count, exposure: 1 }))
    }

    fn check_printed(interval: Interval, digits: usize, low: &str, high: &str) {
        assert_eq!(format!("{:.digits$}", interval.low()), low);
        assert_eq!(format!("{:.digits$}", interval.high()), high);
    }

    fn check_close(interval: Interval, expected: (f64, f64), relative: f64) {
        for (found, expected) in [(interval.low(), expected.0), (interval.high(), expected.1)] {
            let difference = (found - expected).abs();
            assert!(
                difference <= relative * expected,
                "{found} for {expected}, {:?}",
                interval.method()
            );
        }
    }

    /// R's `binom.confint`, as kept in the tests of statsmodels, to all digits they print.
    #[test]
    fn proportions_are_as_published() {
        let check = |successes, trials, digits, expected: [(&str, &str); 2]| {
            let proportion = proportion(successes, trials);
            let methods: [OfProportion; 2] = [Proportion::wilson, Proportion::clopper_pearson];
            for (method, (low, high)) in methods.into_iter().zip(expected) {
                let interval = method(&proportion, Level::P95, Dispersion::NONE);
                check_printed(interval, digits, low, high);
            }
        };
        check(
            18,
            20,
            13,
            [
                ("0.6989663547715", "0.9721335187862"),
                ("0.6830172859809", "0.9876514728297"),
            ],
        );
        check(
            4,
            20,
            13,
            [
                ("0.0806576625798", "0.4160174322519"),
                ("0.0573339970500", "0.4366140029967"),
            ],
        );
        check(
            4,
            200,
            13,
            [
                ("0.0078044264163", "0.0502870869058"),
                ("0.0054755658796", "0.0504136090899"),
            ],
        );
        check(
            190,
            200,
            13,
            [
                ("0.9104218518612", "0.9726173543992"),
                ("0.9099724622986", "0.9757658345279"),
            ],
        );
        check(
            1,
            30,
            8,
            [("0.00590859", "0.16670391"), ("0.00084357", "0.17216946")],
        );
        let one = proportion(1, 30).clopper_pearson(Level::P95, Dispersion::NONE);
        assert_eq!(format!("{:.10}", one.low()), "0.0008435709");
        check(
            0,
            30,
            8,
            [("0.00000000", "0.11351339"), ("0.00000000", "0.11570331")],
        );
        let half = proportion(19, 38).wilson(Level::P95, Dispersion::NONE);
        check_printed(half, 15, "0.348499283643951", "0.651500716356049");
    }

    /// R's `binom.confint`, with the last digits of scipy 1.17.1: R's search ends at the tenth
    /// digit, did not converge at 190 of 200, and is not the central one of 1 and 0 of 30.
    #[test]
    fn jeffreys_proportions_are_as_published() {
        let check = |successes, trials, digits, low, high| {
            let interval = proportion(successes, trials).jeffreys(Level::P95, Dispersion::NONE);
            check_printed(interval, digits, low, high);
        };
        check(18, 20, 13, "0.7161467426957", "0.9786275119775");
        check(4, 20, 13, "0.0715200524787", "0.4082257625169");
        check(4, 200, 13, "0.0067875988001", "0.0468465669668");
        check(190, 200, 13, "0.9131249118774", "0.9740066027646");
        check(1, 30, 6, "0.003620", "0.145418");
        check(0, 30, 6, "0.000000", "0.079678");
        let central = distribution::beta_lower(0.5, 30.5, 0.025);
        assert_eq!(format!("{central:.6}"), "0.000016");
    }

    /// R's DescTools and ratesci, as kept in the tests of statsmodels. (Their score and Byar's
    /// intervals approximate the exact one, and are not offered.)
    #[test]
    fn rates_are_as_published() {
        let rate = event_rate(15, 400.0);
        let exact = rate.garwood(Level::P95, Dispersion::NONE);
        check_close(
            exact,
            (0.020_988_465_331_958_3, 0.061_850_547_178_714_6),
            1e-14,
        );
        let jeffreys = rate.jeffreys(Level::P95, Dispersion::NONE);
        check_close(
            jeffreys,
            (0.021_923_423_226_844_4, 0.060_289_861_993_064_9),
            1e-14,
        );
        let check = |events, digits, low, high| {
            let interval = event_rate(events, 1.0).garwood(Level::P95, Dispersion::NONE);
            check_printed(interval, digits, low, high);
        };
        check(0, 4, "0.0000", "3.6889");
        check(1, 4, "0.0253", "5.5716");
        check(5, 4, "1.6235", "11.6683");
        check(10, 4, "4.7954", "18.3904");
        check(100, 3, "81.364", "121.627");
    }

    /// Wilson, Clopper-Pearson and Jeffreys of statsmodels 0.15.0 with scipy 1.17.1 where they
    /// are hard: one of very many, all but one, and large numbers. The Jeffreys ends of 1 of 1
    /// and 0 of 1 are set to 1 and 0.
    #[test]
    fn hard_proportions_are_as_computed_elsewhere() {
        type Ends = (f64, f64);
        let check = |successes, trials, expected: [Ends; 3], relative| {
            let proportion = proportion(successes, trials);
            for (method, ends) in OF_PROPORTIONS.into_iter().zip(expected) {
                check_close(
                    method(&proportion, Level::P95, Dispersion::NONE),
                    ends,
                    relative,
                );
            }
        };
        check(
            1,
            1_000_000,
            [
                (1.765_245_767_453_717_6e-7, 5.664_911_804_311_445e-6),
                (2.531_780_766_379_417_8e-8, 5.571_630_655_166_941e-6),
                (1.078_976_624_654_186_7e-7, 4.674_192_046_729_829e-6),
            ],
            1e-9,
        );
        check(
            999_999,
            1_000_000,
            [
                (0.999_994_335_088_195_7, 0.999_999_823_475_423_3),
                (0.999_994_428_369_344_8, 0.999_999_974_682_192_4),
                (0.999_995_325_807_953_3, 0.999_999_892_102_337_5),
            ],
            1e-14,
        );
        check(
            10_000_000,
            1_000_000_000,
            [
                (0.009_993_834_999_332_15, 0.010_006_168_765_297_48),
                (0.009_993_834_035_566_898, 0.010_006_168_801_159_336),
                (0.009_993_834_535_414_282, 0.010_006_168_301_006_722),
            ],
            1e-11,
        );
        check(
            5_000_000,
            10_000_000,
            [
                (0.499_690_102_543_370_65, 0.500_309_897_456_629_3),
                (0.499_690_052_521_371_1, 0.500_309_947_478_628_9),
                (0.499_690_102_521_356_6, 0.500_309_897_478_643_4),
            ],
            1e-12,
        );
        check(
            3,
            1_000_000_000,
            [
                (1.020_270_728_876_922_8e-9, 8.821_188_054_011_642e-9),
                (6.186_721_233_228_957e-10, 8.767_273_088_677_563e-9),
                (8.449_345_910_378_884e-10, 8.006_382_115_271_564e-9),
            ],
            1e-7,
        );
        check(
            1,
            1,
            [
                (0.206_549_314_377_237_4, 1.0),
                (0.025, 1.0),
                (0.146_746_316_309_575_13, 1.0),
            ],
            1e-13,
        );
        check(
            0,
            1,
            [
                (0.0, 0.793_450_685_622_762_7),
                (0.0, 0.975),
                (0.0, 0.853_253_683_690_424_9),
            ],
            1e-13,
        );
    }

    /// Garwood and Jeffreys of statsmodels 0.15.0 with scipy 1.17.1.
    #[test]
    fn hard_rates_are_as_computed_elsewhere() {
        let check = |events, garwood, jeffreys| {
            let rate = event_rate(events, 1.0);
            check_close(rate.garwood(Level::P95, Dispersion::NONE), garwood, 1e-12);
            check_close(rate.jeffreys(Level::P95, Dispersion::NONE), jeffreys, 1e-12);
        };
        check(
            1,
            (0.025_317_807_984_289_876, 5.571_643_390_938_898),
            (0.107_897_641_311_949_3, 4.674_201_802_248_073),
        );
        check(
            10_000,
            (9_804.952_467_260_184, 10_197.951_624_661_473),
            (9_805.447_567_368_823, 10_197.446_724_891_925),
        );
        check(
            10_000_000,
            (9_993_802.996_884_268, 10_006_199.897_731_498),
            (9_993_803.496_729_318, 10_006_199.397_576_548),
        );
    }

    /// scipy's `gammaincinv` is 1.8e-6 off here, as mpmath 1.3 shows: the lower quantile of
    /// 5e-7 of Gamma(9182310) is 9167494.839258488.
    #[test]
    fn far_tails_of_large_counts_are_right() {
        let level = Level::new(1.0 - 1e-6).expect("a level that is allowed");
        let low = distribution::gamma_lower(9_182_310.0, 5e-7);
        assert!((low - 9_167_494.839_258_488).abs() < 1e-6, "{low}");
        let interval = event_rate(9_182_310, 1.0).garwood(level, Dispersion::NONE);
        assert!((interval.low() - low).abs() < 1e-3);
    }

    /// GVB line 10: 40 reports over 300,000 taps are 13.3 per 100,000 (9.5 to 18.2).
    #[test]
    fn the_month_of_line_ten_is_as_worked_out() {
        let rate = event_rate(40, 3.0);
        check_printed(rate.garwood(Level::P95, Dispersion::NONE), 1, "9.5", "18.2");
        assert_eq!(format!("{:.1}", rate.estimate()), "13.3");
        // Of 25 and 15 reports in two halves: φ = 2.5.
        let wider = rate.garwood(Level::P95, dispersion(25, 15));
        check_close(wider, (7.621_152_044_701_27, 21.652_497_997_967_455), 1e-13);
    }

    #[test]
    fn dispersion_makes_fewer_trials_of_a_proportion() {
        let wider = proportion(18, 20).wilson(Level::P95, dispersion(25, 15));
        check_close(
            wider,
            (0.555_679_001_124_975, 0.984_794_946_967_920_7),
            1e-13,
        );
    }

    #[test]
    fn ends_are_exact_where_nothing_or_everything_counted() {
        for trials in [1, 2, 38, 77, 1_000_000_000] {
            for method in OF_PROPORTIONS {
                let none = method(&proportion(0, trials), Level::P95, Dispersion::NONE);
                let all = method(&proportion(trials, trials), Level::P95, Dispersion::NONE);
                assert_eq!((none.low(), all.high()), (0.0, 1.0));
                assert!(0.0 < none.high() && all.low() < 1.0);
            }
        }
        for method in OF_RATES {
            assert_eq!(
                method(&event_rate(0, 5.0), Level::P95, Dispersion::NONE).low(),
                0.0
            );
        }
    }

    #[test]
    fn what_is_no_rate_or_level_is_refused() {
        assert_eq!(Proportion::new(0, 0), None);
        assert_eq!(Proportion::new(3, 2), None);
        for exposure in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(EventRate::new(1, exposure), None);
        }
        for level in [0.0, 0.49, 1.0, f64::NAN] {
            assert_eq!(Level::new(level), None);
        }
        assert_eq!(Level::new(0.95), Some(Level::P95));
    }

    fn levels() -> impl Strategy<Value = Level> {
        (Level::MIN..Level::MAX).prop_map(|level| Level::new(level).expect("inside the range"))
    }

    fn width(interval: Interval) -> f64 {
        interval.high() - interval.low()
    }

    proptest! {
        #[test]
        fn a_proportion_lies_inside_its_interval_and_that_within_0_and_1(
            successes in 0..3_000_u64, failures in 0..3_000_u64, level in levels(),
            days in (0..100_u64, 0..100_u64),
        ) {
            prop_assume!(0 < successes + failures);
            let proportion = proportion(successes, successes + failures);
            for method in OF_PROPORTIONS {
                let interval = method(&proportion, level, dispersion(days.0, days.1));
                prop_assert!(interval.contains(proportion.estimate()), "{interval:?}");
                prop_assert!(0.0 <= interval.low() && interval.high() <= 1.0, "{interval:?}");
                prop_assert!(0.0 < width(interval), "{interval:?}");
            }
        }

        #[test]
        fn a_rate_lies_inside_its_interval(
            events in 0..100_000_u64, exposure in 1e-3..1e9_f64, level in levels(),
            days in (0..100_u64, 0..100_u64),
        ) {
            let rate = event_rate(events, exposure);
            for method in OF_RATES {
                let interval = method(&rate, level, dispersion(days.0, days.1));
                prop_assert!(interval.contains(rate.estimate()), "{interval:?}");
                prop_assert!(0.0 <= interval.low() && interval.high().is_finite());
            }
        }

        #[test]
        fn more_attempts_at_the_same_rate_narrow_it(
            successes in 0..200_u64, failures in 0..200_u64, times in 2..50_u64,
        ) {
            prop_assume!(0 < successes + failures);
            let few = proportion(successes, successes + failures);
            let many = proportion(successes * times, (successes + failures) * times);
            for method in OF_PROPORTIONS {
                let of = |proportion| width(method(proportion, Level::P95, Dispersion::NONE));
                prop_assert!(of(&many) < of(&few));
            }
            let few = event_rate(successes, 1.0);
            let many = event_rate(successes * times, times as f64);
            for method in OF_RATES {
                let of = |rate| width(method(rate, Level::P95, Dispersion::NONE));
                prop_assert!(of(&many) < of(&few));
            }
        }

        #[test]
        fn a_surer_level_and_more_dispersion_widen_it(
            successes in 0..500_u64, failures in 1..500_u64, level in levels(),
            days in (60..100_u64, 0..30_u64),
        ) {
            let proportion = proportion(successes, successes + failures);
            let rate = event_rate(successes, 7.0);
            let surer = Level::new(level.get().midpoint(Level::MAX)).expect("inside the range");
            let more = dispersion(days.0, days.1);
            for method in OF_PROPORTIONS {
                let base = width(method(&proportion, level, Dispersion::NONE));
                prop_assert!(base < width(method(&proportion, surer, Dispersion::NONE)));
                prop_assert!(base < width(method(&proportion, level, more)));
            }
            for method in OF_RATES {
                let base = width(method(&rate, level, Dispersion::NONE));
                prop_assert!(base < width(method(&rate, surer, Dispersion::NONE)));
                prop_assert!(base < width(method(&rate, level, more)));
            }
        }
    }
}
