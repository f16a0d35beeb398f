//! Quantiles of the distributions that intervals are made of: the one place that names the
//! numerical library.
//!
//! The library is a port of CDFLIB (DiDonato and Morris 1986 for the gamma, 1992 for the
//! beta, Cody 1969 for the normal distribution).

use cdflib::special::{beta_inc, dinvnr};
use cdflib::{Beta, Continuous, ContinuousCdf, Gamma};

/// Steps that take the library's beta quantile, right to some 1e-8, to the last digits.
const POLISHING_STEPS: usize = 3;

/// The value that a standard normal variable exceeds with this probability, above 0 and
/// below 1.
pub(super) fn standard_normal_upper(probability: f64) -> f64 {
    dinvnr(1.0 - probability, probability)
}

/// The value that a Gamma(shape, 1) variable stays below with this probability, above 0 and
/// at most ½.
pub(super) fn gamma_lower(shape: f64, probability: f64) -> f64 {
    Gamma::new(shape, 1.0)
        .inverse_cdf(probability)
        .expect("a gamma distribution has every quantile")
}

/// The value that a Gamma(shape, 1) variable exceeds with this probability, above 0 and at
/// most ½.
pub(super) fn gamma_upper(shape: f64, probability: f64) -> f64 {
    Gamma::new(shape, 1.0)
        .inverse_ccdf(probability)
        .expect("a gamma distribution has every quantile")
}

/// The value that a Beta(a, b) variable stays below with this probability, above 0 and at
/// most ½.
pub(super) fn beta(a: f64, b: f64, probability: f64) -> f64 {
    let distribution = Beta::new(a, b);
    let mut quantile = distribution
        .inverse_cdf(probability)
        .expect("a beta distribution has every quantile");
    for _ in 0..POLISHING_STEPS {
        let (below, _) = beta_inc(a, b, quantile, 1.0 - quantile);
        let next = quantile - (below - probability) / distribution.pdf(quantile);
        if !(0.0 < next && next < 1.0) {
            break;
        }
        quantile = next;
    }
    quantile
}
