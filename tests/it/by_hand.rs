//! Dispersions and intervals computed apart from the program: sums as they stand in books, and
//! ends found by halving on distribution functions written here.

/// 97.5 % of a standard normal variable lie below.
const Z: f64 = 1.959_963_984_540_054;
const TAIL: f64 = 0.025;

/// Counts of days and what they are out of.
pub type Days = [(f64, f64)];

fn pearson(days: &Days, variance: impl Fn(f64, f64) -> f64) -> f64 {
    let days: Vec<_> = days
        .iter()
        .filter(|(_, exposure)| 0.0 < *exposure)
        .collect();
    let count: f64 = days.iter().map(|(count, _)| count).sum();
    let exposure: f64 = days.iter().map(|(_, exposure)| exposure).sum();
    if days.len() < 2 || count == 0.0 {
        return 1.0;
    }
    let share = count / exposure;
    let mut sum = 0.0;
    for (count, exposure) in &days {
        sum += (count - exposure * share).powi(2) / variance(*exposure, share);
    }
    (sum / (days.len() as f64 - 1.0)).max(1.0)
}

/// How much more counts scatter than Poisson's.
pub fn scatter_of_counts(days: &Days) -> f64 {
    pearson(days, |exposure, rate| exposure * rate)
}

/// How much more shares scatter than binomial ones.
pub fn scatter_of_shares(days: &Days) -> f64 {
    pearson(days, |exposure, share| exposure * share * (1.0 - share))
}

/// Garwood's ends of a count, as if it were so many times less.
pub fn garwood(count: f64, scatter: f64) -> (f64, f64) {
    let events = count / scatter;
    let low = match count {
        0.0 => 0.0,
        _ => root(|mean| gamma_below(events, mean), TAIL, events.max(1.0)),
    };
    let above = |mean: f64| gamma_below(events + 1.0, mean);
    let high = root(above, 1.0 - TAIL, events.max(1.0) * 2.0);
    (low * scatter, high * scatter)
}

/// Wilson's ends: where the normal test of the share just keeps it, found as roots of
/// (p − s)² = z² s (1 − s) / n.
pub fn wilson(count: f64, trials: f64, scatter: f64) -> (f64, f64) {
    let (share, trials) = (count / trials, trials / scatter);
    let z = Z * Z / trials;
    let (a, b, c) = (1.0 + z, -(2.0 * share + z), share * share);
    // The greater root without cancellation, and the other as their product is c / a.
    let high = (-b + (b * b - 4.0 * a * c).max(0.0).sqrt()) / (2.0 * a);
    (c / a / high, high)
}

/// The ends of the ratio of two counts of the same exposure, by the exact interval of the first's
/// share of both.
pub fn ratio(count: f64, other: f64, scatter: f64) -> (f64, f64) {
    let (a, b) = (count / scatter, other / scatter);
    let odds = |share: f64| share / (1.0 - share);
    let low = share_below(a, b + 1.0, TAIL);
    let high = share_below(a + 1.0, b, 1.0 - TAIL);
    (odds(low), odds(high))
}

/// The share of Beta(a, b) with so much below it.
fn share_below(a: f64, b: f64, tail: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if beta_below(a, b, middle) < tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Where a rising function of what is above 0 reaches a value.
fn root(of: impl Fn(f64) -> f64, value: f64, guess: f64) -> f64 {
    let (mut low, mut high) = (0.0, guess);
    while of(high) < value {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if of(middle) < value {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Stirling's series, from where it has all digits.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut less) = (x, 0.0);
    while x < 16.0 {
        less += x.ln();
        x += 1.0;
    }
    let terms = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1_260.0,
        -1.0 / 1_680.0,
        1.0 / 1_188.0,
        -691.0 / 360_360.0,
    ];
    let series: f64 = (0..)
        .zip(terms)
        .map(|(n, term)| term / x.powi(2 * n + 1))
        .sum();
    (x - 0.5) * x.ln() - x + (2.0 * std::f64::consts::PI).ln() / 2.0 + series - less
}

/// How much of Gamma(shape, 1) lies below x: Σ xⁿ / (shape … (shape + n)), times the density.
fn gamma_below(shape: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let (mut term, mut sum, mut n) = (1.0 / shape, 1.0 / shape, 1.0);
    while sum * 1e-18 < term {
        term *= x / (shape + n);
        sum += term;
        n += 1.0;
    }
    (sum.ln() + shape * x.ln() - x - ln_gamma(shape))
        .exp()
        .min(1.0)
}

/// How much of Beta(a, b) lies below x: the same kind of series in x, or from the other end.
fn beta_below(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || 1.0 <= x {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    if a / (a + b) < x {
        return 1.0 - beta_below(b, a, 1.0 - x);
    }
    // Abramowitz and Stegun 26.5.4.
    let (mut term, mut sum, mut n) = (1.0, 1.0, 0.0);
    while sum * 1e-18 < term {
        term *= x * (a + b + n) / (a + 1.0 + n);
        sum += term;
        n += 1.0;
    }
    let front = a * x.ln() + b * (1.0 - x).ln() - a.ln();
    (front + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() * sum
}

#[test]
fn ends_by_hand_are_those_of_books() {
    let check = |(low, high): (f64, f64), expected: (f64, f64)| {
        for (found, expected) in [(low, expected.0), (high, expected.1)] {
            assert!((found - expected).abs() < 1e-10 * expected, "{found}");
        }
    };
    // DescTools: 15 events over 400. statsmodels: 4 of 20. scipy: 60 against 30.
    let (low, high) = garwood(15.0, 1.0);
    check(
        (low / 400.0, high / 400.0),
        (0.020_988_465_331_958_3, 0.061_850_547_178_714_6),
    );
    check(
        wilson(4.0, 20.0, 1.0),
        (0.080_657_662_579_8, 0.416_017_432_251_9),
    );
    check(
        garwood(10_000.0, 1.0),
        (9_804.952_467_260_184, 10_197.951_624_661_473),
    );
    assert_eq!(garwood(0.0, 3.0).0, 0.0);
    check(
        ratio(40.0, 52.0, 1.0),
        (0.496_302_742_614_960_7, 1.184_338_522_373_712_4),
    );
    // Two days of 3 and 9 over the same: (3² + 3²) / 6.
    assert_eq!(scatter_of_counts(&[(3.0, 7.0), (9.0, 7.0)]), 3.0);
}
