//! Over-dispersion: how much more daily counts scatter than chance alone would have them.
//!
//! Outages cluster, so that a month of reports varies more than a Poisson count does. The
//! dispersion parameter φ = max(1, Pearson's X² / degrees of freedom) of the daily counts
//! (McCullagh and Nelder 1989, *Generalized Linear Models*, §4.5 and §6.2) says how much
//! more; intervals are as wide as if there had been φ times fewer events.

/// The dispersion parameter φ of an interval. Invariant: the ratio is finite and at least 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dispersion {
    ratio: f64,
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
        ratio: 1.0,
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

    /// φ of several scopes or periods together, each against its own rate: ΣX² / Σdf.
    pub fn pooled(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut statistic = 0.0;
        let mut degrees_of_freedom = 0_u32;
        for part in parts {
            statistic += part.ratio * f64::from(part.degrees_of_freedom);
            degrees_of_freedom = degrees_of_freedom.saturating_add(part.degrees_of_freedom);
        }
        if degrees_of_freedom == 0 {
            return Self::NONE;
        }
        Self {
            ratio: statistic / f64::from(degrees_of_freedom),
            degrees_of_freedom,
        }
    }

    /// φ of a part that has a share, 0 to 1, of what this is of: 1 + (φ − 1) · share. What days
    /// scatter beyond chance grows with the square of the count (McCullagh and Nelder 1989,
    /// §6.2.3), so that φ − 1 grows with the count, if good and bad days are so for all parts.
    pub fn of_part(self, share: f64) -> Self {
        Self {
            ratio: (self.factor() - 1.0).mul_add(share.clamp(0.0, 1.0), 1.0),
            ..self
        }
    }

    /// φ where some of the days that were given stand for several, whose sums alone are known: so
    /// many days in all. Each sum is as if it were divided by exposure, which of all divisions gives
    /// the least X² (Cauchy and Schwarz), so that this is at most the φ of all days apart.
    pub fn over_days(self, days: u32) -> Self {
        let given = self.degrees_of_freedom;
        let degrees_of_freedom = given.max(days.saturating_sub(1));
        if given == 0 {
            return self;
        }
        Self {
            ratio: self.ratio * f64::from(given) / f64::from(degrees_of_freedom),
            degrees_of_freedom,
        }
    }

    /// That of the more dispersed of the two; this one if they are equal.
    #[must_use]
    pub fn or_wider(self, other: Self) -> Self {
        if self.factor() < other.factor() {
            other
        } else {
            self
        }
    }

    /// φ, at least 1.
    pub fn factor(self) -> f64 {
        self.ratio.max(1.0)
    }

    /// Days it was estimated from. 0: it was not.
    pub fn days(self) -> u32 {
        match self.degrees_of_freedom {
            0 => 0,
            degrees => degrees.saturating_add(1),
        }
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
        let ratio = statistic / f64::from(degrees_of_freedom);
        if !ratio.is_finite() {
            return Self::NONE;
        }
        Self {
            ratio,
            degrees_of_freedom,
        }
    }
}

/// How an interval is told in one cell of a table: its method, its level and the dispersion that
/// widens it; `None` if that was not estimated.
pub fn interval_told(method: &str, level: f64, dispersion: Option<f64>) -> String {
    match dispersion {
        Some(factor) => format!("{method} {level} dispersion {factor:.2}"),
        None => format!("{method} {level} dispersion not estimated"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(counts: &[(u64, u64)]) -> Vec<Day> {
        counts
            .iter()
            .map(|&(count, exposure)| Day { count, exposure })
            .collect()
    }

    #[test]
    fn part_scatters_less_beyond_chance_by_its_share() {
        // Ten times as many events on good and bad days alike.
        let (part, whole) = (
            Dispersion::of_counts(&days(&[(40, 100), (160, 100)])),
            Dispersion::of_counts(&days(&[(400, 100), (1_600, 100)])),
        );
        let scaled = whole.of_part(0.1);
        assert!((part.factor() - 72.0).abs() < 1e-9 && (whole.factor() - 720.0).abs() < 1e-9);
        assert!((scaled.factor() - 72.9).abs() < 1e-9, "{scaled:?}");
        assert_eq!(scaled.degrees_of_freedom(), 1);
        assert_eq!(whole.of_part(1.0).factor(), whole.factor());
        assert_eq!(Dispersion::NONE.of_part(0.5), Dispersion::NONE);
        let even = Dispersion::of_counts(&days(&[(5, 100), (5, 100)]));
        assert_eq!(even.of_part(0.5).factor(), 1.0, "never below chance");
    }

    #[test]
    fn days_known_by_their_sum_scatter_at_most_as_they_do_apart() {
        let apart = days(&[(1, 100), (9, 100), (4, 200), (40, 100)]);
        let joined = days(&[(14, 400), (40, 100)]);
        for of in [Dispersion::of_counts, Dispersion::of_proportions] {
            let (apart, joined) = (of(&apart), of(&joined).over_days(4));
            assert!(joined.factor() < apart.factor(), "{joined:?} {apart:?}");
            assert_eq!(joined.degrees_of_freedom(), 3);
        }
        let even = days(&[(4, 100), (4, 100), (8, 200), (40, 100)]);
        let joined = Dispersion::of_counts(&days(&[(16, 400), (40, 100)])).over_days(4);
        assert!((joined.factor() - Dispersion::of_counts(&even).factor()).abs() < 1e-12);
        assert_eq!(Dispersion::NONE.over_days(30), Dispersion::NONE);
    }

    fn week() -> Vec<Day> {
        days(&[
            (3, 1_000),
            (0, 900),
            (5, 1_100),
            (1, 1_200),
            (0, 800),
            (12, 1_000),
            (2, 500),
        ])
    }

    /// Poisson and binomial regressions on a constant, with scale X2, of statsmodels 0.15.0.
    #[test]
    fn dispersion_is_as_computed_elsewhere() {
        let counts = Dispersion::of_counts(&week());
        assert!((counts.factor() - 4.859_738_691_260_43).abs() < 1e-12);
        assert_eq!(counts.degrees_of_freedom(), 6);
        let proportions = Dispersion::of_proportions(&week());
        assert!((proportions.factor() - 4.876_995_753_156_213).abs() < 1e-12);
    }

    #[test]
    fn without_enough_days_it_is_not_estimated() {
        for told in [
            days(&[]),
            days(&[(5, 100)]),
            days(&[(5, 100), (7, 0), (0, 0)]),
            days(&[(0, 100), (0, 50)]),
        ] {
            assert_eq!(Dispersion::of_counts(&told), Dispersion::NONE, "{told:?}");
        }
        let all_succeeded = days(&[(100, 100), (50, 50)]);
        assert_eq!(Dispersion::of_proportions(&all_succeeded), Dispersion::NONE);
        assert_eq!(Dispersion::NONE.factor(), 1.0);
        assert_eq!(Dispersion::NONE.degrees_of_freedom(), 0);
    }

    #[test]
    fn days_without_taps_are_left_out() {
        let mut with_closed_days = week();
        with_closed_days.extend(days(&[(0, 0), (4, 0)]));
        let of_both = [with_closed_days, week()].map(|days| Dispersion::of_counts(&days));
        assert_eq!(of_both[0], of_both[1]);
    }

    #[test]
    fn counts_that_follow_the_taps_are_not_dispersed() {
        let followed = days(&[(10, 1_000), (20, 2_000), (40, 4_000)]);
        let dispersion = Dispersion::of_counts(&followed);
        assert_eq!(dispersion.factor(), 1.0);
        assert_eq!(dispersion.degrees_of_freedom(), 2);
        let equal_days: Vec<Day> = followed
            .iter()
            .map(|day| Day {
                exposure: 1,
                ..*day
            })
            .collect();
        assert!(5.0 < Dispersion::of_counts(&equal_days).factor());
    }

    #[test]
    fn pooling_weighs_by_degrees_of_freedom() {
        let calm = Dispersion::of_counts(&days(&[(10, 100), (10, 100), (10, 100)]));
        let one = Dispersion::of_counts(&week());
        let pooled = Dispersion::pooled([one, calm, Dispersion::NONE]);
        assert!((pooled.factor() - one.factor() * 6.0 / 8.0).abs() < 1e-12);
        assert_eq!(pooled.degrees_of_freedom(), 8);
        assert_eq!(Dispersion::pooled([]), Dispersion::NONE);
        assert_eq!(Dispersion::pooled([calm]).factor(), 1.0);
    }
}
