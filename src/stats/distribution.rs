//! The distributions that figures are made of, and their quantiles: the one place that names
//! the numerical library.
//!
//! The library is a port of CDFLIB (DiDonato and Morris 1986 for the gamma and 1992 for the
//! beta distribution, Cody 1969 for the normal). Every quantile is asked for by its smaller
//! tail, so that none is lost in 1 − p.

use cdflib::special::{beta_inc, cumnor, dinvnr, gamma_inc, gamma_log};
use cdflib::{Beta, Continuous, ContinuousCdf, Gamma};

/// Most steps from the library's beta quantile to the last digits.
const POLISHING_STEPS_MAX: usize = 48;
/// Relative change of a quantile that counts as none.
const POLISHED: f64 = 1e-14;

/// The value that a standard normal variable exceeds with this probability, above 0 and
/// at most ½.
pub(super) fn standard_normal_upper(tail: f64) -> f64 {
    dinvnr(1.0 - tail, tail)
}

/// The probability that a standard normal variable stays below this value.
pub(super) fn standard_normal_below(value: f64) -> f64 {
    cumnor(value).0
}

/// The value that a Gamma(shape, 1) variable stays below with this probability, above 0 and
/// at most ½. 0 when it is too small for a number, as with shapes below 0.02.
pub(super) fn gamma_lower(shape: f64, tail: f64) -> f64 {
    Gamma::new(shape, 1.0).inverse_cdf(tail).unwrap_or(0.0)
}

/// The value that a Gamma(shape, 1) variable exceeds with this probability, above 0 and at
/// most ½. 0 when it is too small for a number.
pub(super) fn gamma_upper(shape: f64, tail: f64) -> f64 {
    Gamma::new(shape, 1.0).inverse_ccdf(tail).unwrap_or(0.0)
}

/// The value that a Beta(a, b) variable stays below with this probability, above 0 and at
/// most ½. 0 when it is too small for a number, as with an `a` below 0.005.
pub(super) fn beta_lower(a: f64, b: f64, tail: f64) -> f64 {
    let distribution = Beta::new(a, b);
    let rough = distribution
        .inverse_cdf(tail)
        .expect("a beta distribution has every quantile");
    polish(rough, tail, |x| {
        (beta_inc(a, b, x, 1.0 - x).0, distribution.pdf(x))
    })
}

/// The value that a Beta(a, b) variable exceeds with this probability, above 0 and at most
/// ½.
pub(super) fn beta_upper(a: f64, b: f64, tail: f64) -> f64 {
    let distribution = Beta::new(a, b);
    let rough = distribution
        .inverse_ccdf(tail)
        .expect("a beta distribution has every quantile");
    polish(rough, tail, |x| {
        (beta_inc(a, b, x, 1.0 - x).1, -distribution.pdf(x))
    })
}

/// The probability that a Gamma(shape, 1) variable exceeds this value, at least 0.
pub(super) fn gamma_above(shape: f64, value: f64) -> f64 {
    gamma_inc(shape, value).1
}

/// ln Γ(x) for x above 0.
pub(super) fn ln_gamma(x: f64) -> f64 {
    gamma_log(x)
}

/// The probability that a Beta(a, b) variable stays below this value, from 0 to 1; `rest` is 1
/// less the value, known as well as the value is.
pub(super) fn beta_below(a: f64, b: f64, value: f64, rest: f64) -> f64 {
    beta_inc(a, b, value, rest).0
}

/// From a rough beta quantile to one right to the last digits. CDFLIB searches it only to
/// some 1e-8, and far less in a small tail, while its distribution function is right to
/// 1e-13. These are Newton's steps on ln tail over ln x, which is almost straight in a tail.
/// `at` gives the tail and its slope.
fn polish(rough: f64, tail: f64, at: impl Fn(f64) -> (f64, f64)) -> f64 {
    let mut x = rough;
    for _ in 0..POLISHING_STEPS_MAX {
        let (reached, slope) = at(x);
        let step = (reached / tail).ln() * reached / (slope * x);
        let next = x * (-step).exp();
        if next <= 0.0 && is_below_all(tail, &at) {
            return 0.0;
        }
        if !next.is_finite() || next <= 0.0 {
            return x;
        }
        let next = if next < 1.0 { next } else { x.midpoint(1.0) };
        if (next - x).abs() <= POLISHED * x {
            return next;
        }
        x = next;
    }
    x
}

/// Whether a quantile is smaller than the smallest number.
fn is_below_all(tail: f64, at: impl Fn(f64) -> (f64, f64)) -> bool {
    let (reached, slope) = at(f64::MIN_POSITIVE);
    if slope < 0.0 {
        reached <= tail
    } else {
        tail <= reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With mpmath 1.3 to 40 digits: upper Clopper-Pearson ends of few of very many, of which scipy
    /// 1.17.1 has eight.
    #[test]
    fn small_upper_quantiles_are_right_to_the_last_digits() {
        let check = |successes: f64, trials: f64, tail, expected: f64| {
            let found = beta_upper(successes + 1.0, trials - successes, tail);
            assert!((found - expected).abs() < 1e-14 * expected, "{found:e}");
        };
        check(6.0, 944_422_701.0, 0.05, 1.253_929_580_817_067_4e-8);
        check(11.0, 746_177_778.0, 0.25, 1.892_387_497_934_533e-8);
        check(5.0, 591_351_937.0, 0.05, 1.777_796_638_845_922_6e-8);
    }

    #[test]
    fn quantile_below_the_smallest_number_is_none() {
        assert_eq!(beta_lower(0.001, 1.0, 0.025), 0.0);
        // 0.025 to the hundredth power is a number.
        let small = beta_lower(0.01, 1.0, 0.025);
        let expected = (0.025_f64.ln() * 100.0).exp();
        assert!((small - expected).abs() < 1e-9 * expected, "{small:e}");
    }
}
