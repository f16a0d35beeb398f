//! How the true rates of all scopes are spread: the gamma prior of maximum likelihood.

use super::super::distribution;
use super::super::interval::Level;

/// Spreads looked at before the best is narrowed down, as ln τ from first to last.
const GRID_NODES: usize = 57;
const LN_SPREAD_MIN: f64 = -18.0;
const LN_SPREAD_MAX: f64 = 10.0;
/// Steps that narrow the best spread down, each to 0.618 of the width before.
const NARROWING_STEPS: usize = 48;
/// Steps that find the mean that fits a spread, each halving the width before.
const HALVING_STEPS: usize = 200;
/// Relative width at which the mean counts as found.
const MEAN_FOUND: f64 = 1e-13;

/// Events and exposure after division by the dispersion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effective {
    pub(super) events: f64,
    pub(super) exposure: f64,
}

/// A gamma distribution of true rates. Invariant: finite, above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    mean: f64,
    spread: f64,
    statistic: f64,
}

impl Prior {
    /// Mean of the true rates, in events per unit of exposure.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Standard deviation of the true rates over their mean.
    pub fn coefficient_of_variation(&self) -> f64 {
        self.spread.sqrt()
    }

    /// The likelihood-ratio statistic against equal rates.
    pub fn statistic(&self) -> f64 {
        self.statistic
    }

    pub(super) fn shape(&self) -> f64 {
        1.0 / self.spread
    }

    pub(super) fn rate(&self) -> f64 {
        1.0 / (self.spread * self.mean)
    }

    /// The prior of maximum likelihood; `None` if equal rates explain the counts. Under equal
    /// rates the statistic is 0 or chi-squared with one degree of freedom, half of the time
    /// each (Self and Liang 1987, *JASA* 82:605), so that it exceeds z² with probability
    /// P(Z > z): z is the quantile of 1 − level.
    pub(super) fn fit(scopes: &[Effective], level: Level) -> Option<Self> {
        let events: f64 = scopes.iter().map(|scope| scope.events).sum();
        let exposure: f64 = scopes.iter().map(|scope| scope.exposure).sum();
        if events <= 0.0 {
            return None;
        }
        let equal = likelihood(scopes, events / exposure, 0.0);
        let spread = best_spread(|spread| likelihood(scopes, best_mean(scopes, spread), spread));
        let mean = best_mean(scopes, spread);
        let statistic = 2.0 * (likelihood(scopes, mean, spread) - equal);
        let z = distribution::standard_normal_upper(1.0 - level.get());
        (z * z < statistic).then_some(Self {
            mean,
            spread,
            statistic,
        })
    }
}

/// ln of the likelihood, up to a constant: negative binomial counts with mean μ = m·e and
/// variance μ + τμ², Σ ln Γ(x + 1/τ) − ln Γ(1/τ) + x ln(τμ / (1 + τμ)) − ln(1 + τμ) / τ, and
/// its limit Σ x ln μ − μ at τ = 0.
fn likelihood(scopes: &[Effective], mean: f64, spread: f64) -> f64 {
    let of = |scope: &Effective| {
        let expected = mean * scope.exposure;
        if spread == 0.0 {
            return scope.events * expected.ln() - expected;
        }
        let shape = 1.0 / spread;
        let growth = distribution::ln_gamma(scope.events + shape) - distribution::ln_gamma(shape);
        let excess = (spread * expected).ln_1p();
        growth + scope.events * ((spread * expected).ln() - excess) - shape * excess
    };
    scopes.iter().map(of).sum()
}

/// The mean of maximum likelihood for a spread: where Σ (x − μ) / (1 + τμ) is 0, which
/// descends in the mean.
fn best_mean(scopes: &[Effective], spread: f64) -> f64 {
    let score = |mean: f64| -> f64 {
        let of = |scope: &Effective| {
            let expected = mean * scope.exposure;
            (scope.events - expected) / (1.0 + spread * expected)
        };
        scopes.iter().map(of).sum()
    };
    let rates = || scopes.iter().map(|scope| scope.events / scope.exposure);
    let mut low = rates().fold(f64::INFINITY, f64::min);
    let mut high = rates().fold(0.0, f64::max);
    for _ in 0..HALVING_STEPS {
        let middle = low.midpoint(high);
        if high - low <= MEAN_FOUND * high {
            break;
        }
        if 0.0 < score(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low.midpoint(high)
}

/// The spread with the largest value: the best of a grid of ln τ, then golden sections
/// around it (Kiefer 1953).
fn best_spread(value: impl Fn(f64) -> f64) -> f64 {
    let at = |ln_spread: f64| value(ln_spread.exp());
    let width = (LN_SPREAD_MAX - LN_SPREAD_MIN) / (GRID_NODES - 1) as f64;
    let best = (0..GRID_NODES)
        .map(|node| LN_SPREAD_MIN + width * node as f64)
        .map(|ln_spread| (at(ln_spread), ln_spread))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(LN_SPREAD_MIN, |(_, ln_spread)| ln_spread);
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (best - width, best + width);
    for _ in 0..NARROWING_STEPS {
        let left = high - golden * (high - low);
        let right = low + golden * (high - low);
        if at(left) < at(right) {
            low = left;
        } else {
            high = right;
        }
    }
    low.midpoint(high).exp()
}
