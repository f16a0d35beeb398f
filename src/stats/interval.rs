//! Confidence intervals of proportions and of rates of counts over an exposure.
//!
//! Wilson for proportions, Garwood for counts over an exposure, Jeffreys and Clopper-Pearson
//! where asked for; never Wald. Each stays inside what is possible, holds its estimate, ends
//! at exactly 0 when nothing was counted and at exactly 1 when everything was. Dispersion
//! above 1 widens them. Quantiles come from a library, behind `distribution`.

use super::dispersion::Dispersion;
use super::distribution;

/// How sure an interval is: the share of such intervals that hold the truth, from 0.5 to
/// 0.999999.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Level(f64);

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
    use super::*;

    /// GVB line 10: 40 reports over 300,000 taps are 13.3 per 100,000 (9.5 to 18.2).
    #[test]
    fn the_month_of_line_ten_is_as_worked_out() {
        let rate = EventRate::new(40, 300_000.0).expect("an exposure above 0");
        let interval = rate.garwood(Level::P95, Dispersion::NONE);
        assert_eq!(format!("{:.1}", rate.estimate() * 1e5), "13.3");
        assert_eq!(format!("{:.1}", interval.low() * 1e5), "9.5");
        assert_eq!(format!("{:.1}", interval.high() * 1e5), "18.2");
    }
}
