//! Over-dispersion: how much more daily counts scatter than chance alone would have them.
//!
//! Outages cluster, so that a month of reports varies more than a Poisson count does. The
//! dispersion parameter φ = max(1, Pearson's X² / degrees of freedom) of the daily counts
//! (McCullagh and Nelder 1989, *Generalized Linear Models*, §4.5 and §6.2) says how much
//! more; intervals are as wide as if there had been φ times fewer events.

/// The dispersion parameter φ of an interval. Invariant: finite, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Dispersion {
    factor: f64,
    degrees_of_freedom: u32,
}

/// What was counted on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Events of the day: reports, failures, or successes of a proportion.
    pub count: u64,
    /// What they are out of: the day's taps or trials; 1 for each day where there are none
    /// and days count as equal.
    pub exposure: u64,
}

impl Dispersion {
    /// No more scatter than chance: φ = 1, not estimated.
    pub const NONE: Self = Self {
        factor: 1.0,
        degrees_of_freedom: 0,
    };

    /// φ of daily counts over daily exposure, against a Poisson count with the same rate on
    /// every day: X² = Σ (cᵢ − eᵢr)² / (eᵢr) with r = Σc / Σe, over the days less one.
    ///
    /// Days without exposure are left out, with what was counted on them: no count can be
    /// expected there. With fewer than two days left, or nothing
    /// counted, φ cannot be estimated and is 1 with no degrees of freedom.
    pub fn of_counts(days: &[Day]) -> Self {
        Self::pearson(days, |expected, _| expected)
    }

    /// φ of daily proportions, against a binomial count with the same share on every day:
    /// X² = Σ (cᵢ − eᵢp)² / (eᵢp(1 − p)), over the days less one. As
    /// [`of_counts`](Self::of_counts); also not estimated when everything succeeded.
    pub fn of_proportions(days: &[Day]) -> Self {
        Self::pearson(days, |expected, share| expected * (1.0 - share))
    }

    /// φ, at least 1.
    pub fn factor(self) -> f64 {
        self.factor
    }

    /// Days it was estimated from, less one. 0: it was not estimated.
    pub fn degrees_of_freedom(self) -> u32 {
        self.degrees_of_freedom
    }

    fn pearson(days: &[Day], variance: impl Fn(f64, f64) -> f64) -> Self {
        let exposed = || days.iter().filter(|day| 0 < day.exposure);
        let count: f64 = exposed().map(|day| day.count as f64).sum();
        let exposure: f64 = exposed().map(|day| day.exposure as f64).sum();
        let Some(degrees_of_freedom) = u32::try_from(exposed().count())
            .ok()
            .and_then(|days| days.checked_sub(1))
            .filter(|&degrees| 0 < degrees)
        else {
            return Self::NONE;
        };
        let rate = count / exposure;
        let statistic: f64 = exposed()
            .map(|day| {
                let expected = day.exposure as f64 * rate;
                let difference = day.count as f64 - expected;
                difference * difference / variance(expected, rate)
            })
            .sum();
        let factor = statistic / f64::from(degrees_of_freedom);
        if !factor.is_finite() {
            return Self::NONE;
        }
        Self {
            factor: factor.max(1.0),
            degrees_of_freedom,
        }
    }
}
