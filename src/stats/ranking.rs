//! Rankings that do not mistake chance for difference: gamma-Poisson shrinkage.
//!
//! A scope's count is Poisson with mean exposure × λ, and the λ of all scopes are drawn from
//! one gamma distribution with mean m and squared coefficient of variation τ (Clayton and
//! Kaldor 1987, *Biometrics* 43:671). m and τ are those of maximum likelihood of the negative
//! binomial counts; a scope's λ then has the posterior Gamma(1/τ + x, 1/τm + e). Counts and
//! exposures are first divided by the dispersion of the scope's days, or of all scopes' days
//! where that is larger, so that outages do not pass for a difference between scopes.
//!
//! Where the likelihood-ratio test of τ = 0 finds nothing, no difference can be shown and
//! there is no ranking. Self-reports are never ranked by rate, because nobody knows how
//! readily each line's travellers report.

use super::dispersion::Dispersion;
use super::distribution;
use super::interval::{EventRate, Level};
use crate::domain::limits::{RANKED_EXPECTED_MIN, RANKED_SCOPES_MIN};

mod prior;

use prior::Effective;
pub use prior::Prior;

/// Points of a scope's posterior at which its rank is taken, on each side of the median.
const RANK_NODES_PER_SIDE: i32 = 20;
/// Their distance, in standard deviations of a normal variable.
const RANK_NODE_STEP: f64 = 0.25;
/// Points at which the scopes lying above are counted; between them it is read off linearly.
const ABOVE_NODES: usize = 1_024;

/// What is known of one scope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scope {
    /// Its events over its exposure, all in the same unit.
    pub rate: EventRate,
    /// The dispersion of its days.
    pub dispersion: Dispersion,
}

/// What a ranking can say of its scopes.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<T> {
    /// Too few scopes have enough data: no ranking.
    TooFewScopes,
    /// The counts scatter no more than chance has them: no difference can be shown.
    NoDifference,
    /// The scopes differ.
    Shown {
        /// How their true rates are spread.
        prior: Prior,
        /// The scopes with enough data, in their order.
        scopes: Vec<T>,
    },
}

/// A ranking, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking<T> {
    /// Events over exposure of all scopes together; `None` without scopes.
    pub network_rate: Option<f64>,
    /// How sure its intervals and its test are.
    pub level: Level,
    /// The dispersion of all scopes together, the least that each was given.
    pub dispersion: Dispersion,
    /// What can be said.
    pub verdict: Verdict<T>,
    /// Scopes with too little data, by their place in the input, ascending.
    pub too_little: Vec<usize>,
}

/// A scope's place among scopes with observed failures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Its place in the input.
    pub scope: usize,
    /// Mean of its rate's posterior: its rate, drawn towards all others.
    pub shrunken_rate: f64,
    /// Lower end of the central interval of the posterior.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Probability that its rate lies above the network's, from 0 to 1.
    pub probability_above: f64,
    /// Expected rank: 1 for a scope that is surely the worst.
    pub expected_rank: f64,
}

/// What can be said of a scope with self-reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspected {
    /// Its place in the input.
    pub scope: usize,
    /// Probability that it is reported more often than the network, from 0 to 1.
    pub probability_above: f64,
    /// How many times as readily as elsewhere its travellers would have to report for it to
    /// fail as often as the network: the median of its posterior over the network's rate.
    /// Past this ratio the statement turns round.
    pub reversing_ratio: f64,
}

/// Ranks scopes by observed failures, worst first: by expected rank (Laird and Louis 1989,
/// *Journal of Educational Statistics* 14:29).
pub fn rank_observed(scopes: &[Scope], level: Level) -> Ranking<Ranked> {
    rank(scopes, level, |posteriors, network_rate| {
        let ranks = expected_ranks(posteriors);
        let mut ranked: Vec<Ranked> = posteriors
            .iter()
            .zip(ranks)
            .map(|(posterior, expected_rank)| Ranked {
                scope: posterior.scope,
                shrunken_rate: posterior.shape / posterior.rate,
                low: posterior.lower(level.tail()),
                high: posterior.upper(level.tail()),
                probability_above: posterior.above(network_rate),
                expected_rank,
            })
            .collect();
        ranked.sort_by(|a, b| a.expected_rank.total_cmp(&b.expected_rank));
        ranked
    })
}

/// Sets scopes with self-reports in order of how likely they lie above the network's rate.
pub fn rank_self_reported(scopes: &[Scope], level: Level) -> Ranking<Suspected> {
    rank(scopes, level, |posteriors, network_rate| {
        let mut suspected: Vec<Suspected> = posteriors
            .iter()
            .map(|posterior| Suspected {
                scope: posterior.scope,
                probability_above: posterior.above(network_rate),
                reversing_ratio: posterior.lower(0.5) / network_rate,
            })
            .collect();
        suspected.sort_by(|a, b| {
            (b.probability_above.total_cmp(&a.probability_above))
                .then(b.reversing_ratio.total_cmp(&a.reversing_ratio))
        });
        suspected
    })
}

/// A scope's rate after shrinkage: Gamma(shape, rate).
struct Posterior {
    scope: usize,
    shape: f64,
    rate: f64,
}

impl Posterior {
    fn lower(&self, tail: f64) -> f64 {
        distribution::gamma_lower(self.shape, tail) / self.rate
    }

    fn upper(&self, tail: f64) -> f64 {
        distribution::gamma_upper(self.shape, tail) / self.rate
    }

    /// The value at the same quantile as the given one of a standard normal variable.
    fn at_normal(&self, z: f64) -> f64 {
        let tail = distribution::standard_normal_below(-z.abs());
        if z < 0.0 {
            self.lower(tail)
        } else {
            self.upper(tail)
        }
    }

    fn above(&self, value: f64) -> f64 {
        distribution::gamma_above(self.shape, value * self.rate)
    }
}

fn rank<T>(
    scopes: &[Scope],
    level: Level,
    order: impl FnOnce(&[Posterior], f64) -> Vec<T>,
) -> Ranking<T> {
    let events: f64 = scopes.iter().map(|scope| scope.rate.events() as f64).sum();
    let exposure: f64 = scopes.iter().map(|scope| scope.rate.exposure()).sum();
    let network_rate = (!scopes.is_empty()).then(|| events / exposure);
    let dispersion = Dispersion::pooled(scopes.iter().map(|scope| scope.dispersion));
    let effective: Vec<Effective> = scopes
        .iter()
        .map(|scope| {
            let factor = scope.dispersion.factor().max(dispersion.factor());
            Effective {
                events: scope.rate.events() as f64 / factor,
                exposure: scope.rate.exposure() / factor,
            }
        })
        .collect();
    let rate = network_rate.unwrap_or(0.0);
    let (enough, too_little): (Vec<usize>, Vec<usize>) = (0..scopes.len())
        .partition(|&index| RANKED_EXPECTED_MIN <= effective[index].exposure * rate);
    Ranking {
        network_rate,
        level,
        dispersion,
        verdict: verdict(&effective, &enough, level, |posteriors| {
            order(posteriors, rate)
        }),
        too_little,
    }
}

fn verdict<T>(
    effective: &[Effective],
    enough: &[usize],
    level: Level,
    order: impl FnOnce(&[Posterior]) -> Vec<T>,
) -> Verdict<T> {
    if enough.len() < RANKED_SCOPES_MIN {
        return Verdict::TooFewScopes;
    }
    let fitted: Vec<Effective> = enough.iter().map(|&index| effective[index]).collect();
    let Some(prior) = Prior::fit(&fitted, level) else {
        return Verdict::NoDifference;
    };
    let posteriors: Vec<Posterior> = enough
        .iter()
        .zip(&fitted)
        .map(|(&scope, fitted)| Posterior {
            scope,
            shape: prior.shape() + fitted.events,
            rate: prior.rate() + fitted.exposure,
        })
        .collect();
    Verdict::Shown {
        prior,
        scopes: order(&posteriors),
    }
}

/// Each scope's expected rank, 1 + Σ P(λⱼ > λᵢ) over the others, by quadrature: the number
/// of scopes expected above a value, averaged over the scope's posterior by the trapezium
/// rule in normal scores, which is exact to many digits for so smooth a bell.
fn expected_ranks(posteriors: &[Posterior]) -> Vec<f64> {
    let curves: Vec<Curve> = posteriors.iter().map(Curve::of).collect();
    let weights: Vec<f64> = rank_scores().map(|z| (-z * z / 2.0).exp()).collect();
    let weight: f64 = weights.iter().sum();
    let table = scopes_above(&curves);
    let expected_rank = |curve: &Curve| {
        let roots = curve.roots.iter().zip(&weights);
        let sum: f64 = roots
            .map(|(&root, weight)| others_above(&table, curve, root) * weight)
            .sum();
        1.0 + sum / weight
    };
    curves.iter().map(expected_rank).collect()
}

/// The normal scores at which a posterior is known, rising.
fn rank_scores() -> impl Iterator<Item = f64> {
    (-RANK_NODES_PER_SIDE..=RANK_NODES_PER_SIDE).map(|node| f64::from(node) * RANK_NODE_STEP)
}

/// A scope's posterior as the cube roots of its values at `rank_scores`. The normal score of a
/// gamma variable is almost linear in its cube root (Wilson and Hilferty 1931, *PNAS* 17:684), so
/// that between them it is read off; a tail of the gamma distribution itself costs ten times as
/// much, and a ranking of many scopes needs some ten million.
struct Curve {
    /// Rising.
    roots: Vec<f64>,
    /// Whether it is of a shape below 1, as of scopes without events: then nearly all lies close to
    /// 0, and the score is smoother in the logarithm.
    is_steep: bool,
}

impl Curve {
    fn of(posterior: &Posterior) -> Self {
        let root = |z| posterior.at_normal(z).cbrt();
        Self {
            roots: rank_scores().map(root).collect(),
            is_steep: posterior.shape < 1.0,
        }
    }

    /// Probability of a value above that with this cube root.
    fn above(&self, root: f64) -> f64 {
        self.above_from(self.roots.partition_point(|&known| known < root), root)
    }

    /// The same, with how many of its roots are smaller.
    fn above_from(&self, smaller: usize, root: f64) -> f64 {
        let next = self.roots.get(smaller);
        let (Some(place), Some(&next)) = (smaller.checked_sub(1), next) else {
            // Beyond the last score lies less than a millionth.
            return if smaller == 0 { 1.0 } else { 0.0 };
        };
        let known = self.roots[place];
        let part = if self.is_steep && 0.0 < known {
            (root / known).ln() / (next / known).ln()
        } else {
            (root - known) / (next - known)
        };
        let steps = f64::from(RANK_NODES_PER_SIDE) - place as f64 - part;
        distribution::standard_normal_below(steps * RANK_NODE_STEP)
    }
}

/// How many scopes are expected above a value, by its cube root, at points chosen evenly from
/// those that will be asked for.
fn scopes_above(curves: &[Curve]) -> Vec<(f64, f64)> {
    let mut asked: Vec<f64> = curves
        .iter()
        .flat_map(|curve| curve.roots.iter().copied())
        .collect();
    asked.sort_by(f64::total_cmp);
    let last = asked.len() - 1;
    let mut table: Vec<(f64, f64)> = (0..ABOVE_NODES)
        .map(|node| (asked[node * last / (ABOVE_NODES - 1)], 0.0))
        .collect();
    for curve in curves {
        let mut smaller = 0;
        for (root, above) in &mut table {
            while curve.roots.get(smaller).is_some_and(|known| known < root) {
                smaller += 1;
            }
            if smaller == curve.roots.len() {
                break;
            }
            *above += curve.above_from(smaller, *root);
        }
    }
    table
}

/// The second column at this value of the first, which ascends, without the scope's own
/// part: linearly between rows.
fn others_above(table: &[(f64, f64)], own: &Curve, root: f64) -> f64 {
    let next = table.partition_point(|&(at, _)| at < root);
    let others = |row: usize| {
        let (at, above) = table[row];
        (at, above - own.above(at))
    };
    let (high_at, high) = others(next.min(table.len() - 1));
    let (low_at, low) = others(next.saturating_sub(1));
    if high_at <= low_at {
        return high;
    }
    low + (high - low) * ((root - low_at) / (high_at - low_at)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use rand_distr::{Distribution, Gamma, Poisson};

    use super::super::dispersion::Day;
    use super::*;

    fn scope(events: u64, exposure: f64) -> Scope {
        Scope {
            rate: EventRate::new(events, exposure).expect("an exposure above 0"),
            dispersion: Dispersion::NONE,
        }
    }

    /// Thirty lines with drawn rates, and the fourth six times as bad.
    fn thirty_lines() -> Vec<Scope> {
        [
            (18, 60_256.0),
            (27, 199_062.0),
            (88, 276_756.0),
            (52, 43_668.0),
            (10, 64_135.0),
            (193, 793_406.0),
            (10, 49_956.0),
            (6, 60_490.0),
            (55, 846_564.0),
            (48, 295_554.0),
            (47, 130_795.0),
            (48, 206_988.0),
            (94, 337_272.0),
            (21, 96_701.0),
            (2, 62_109.0),
            (95, 504_958.0),
            (54, 345_545.0),
            (45, 207_652.0),
            (148, 553_900.0),
            (62, 233_725.0),
            (278, 940_327.0),
            (10, 76_969.0),
            (76, 237_259.0),
            (11, 189_267.0),
            (30, 124_333.0),
            (29, 268_061.0),
            (9, 85_001.0),
            (172, 528_547.0),
            (111, 652_029.0),
            (15, 60_293.0),
        ]
        .map(|(events, exposure)| scope(events, exposure))
        .to_vec()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a Poisson count is whole and not negative"
    )]
    fn drawn(random: &mut StdRng, mean: f64) -> u64 {
        let count = Poisson::new(mean).expect("a mean above 0");
        count.sample(random) as u64
    }

    fn is_within(value: f64, expected: f64, relative: f64) {
        let difference = (value - expected).abs();
        assert!(difference <= relative * expected, "{value} for {expected}");
    }

    fn shown<T>(ranking: Ranking<T>) -> (Prior, Vec<T>) {
        match ranking.verdict {
            Verdict::Shown { prior, scopes } => (prior, scopes),
            Verdict::TooFewScopes | Verdict::NoDifference => panic!("a difference is there"),
        }
    }

    /// Against scipy 1.17.1: negative binomial likelihood maximised by Nelder and Mead,
    /// posteriors from gamma quantiles, ranks from the beta distribution pair by pair.
    #[test]
    fn ranking_is_as_computed_elsewhere() {
        let ranking = rank_observed(&thirty_lines(), Level::P95);
        let network_rate = ranking.network_rate.expect("there are scopes");
        is_within(network_rate, 0.000_218_482_442_521_184_23, 1e-14);
        let (prior, ranked) = shown(ranking);
        is_within(prior.mean(), 0.000_232_261_551_799_625_68, 1e-7);
        is_within(
            prior.coefficient_of_variation(),
            0.574_385_751_172_974_4,
            1e-6,
        );
        is_within(prior.statistic(), 309.583_534_533_088_77, 1e-10);
        let check = |place: usize, scope, rate: f64, low, high, above, rank| {
            let found = ranked[place];
            assert_eq!(found.scope, scope);
            is_within(found.shrunken_rate, rate, 1e-6);
            is_within(found.low, low, 1e-6);
            is_within(found.high, high, 1e-6);
            is_within(found.probability_above, above, 1e-4);
            is_within(found.expected_rank, rank, 2e-4);
        };
        check(
            0,
            3,
            9.702_546_935_976e-4,
            7.309_912_158_192e-4,
            1.242_872_836_916_0e-3,
            1.0,
            1.000_000_31,
        );
        check(
            1,
            10,
            3.478_118_559_082_8e-4,
            2.581_783_478_967_5e-4,
            4.505_953_665_537_2e-4,
            0.998_666_301_022,
            3.786_265_18,
        );
        check(
            2,
            27,
            3.231_757_192_212_6e-4,
            2.770_705_276_422_3e-4,
            3.727_771_000_974_8e-4,
            0.999_999_339_04,
            4.431_802_40,
        );
        check(
            27,
            14,
            6.693_858_808_204e-5,
            2.183_152_719_304_2e-5,
            1.368_632_248_070_9e-4,
            3.020_575_989_38e-4,
            28.615_846_1,
        );
        check(
            29,
            8,
            6.750_825_051_552e-5,
            5.126_588_378_296_4e-5,
            8.595_154_002_783_8e-5,
            3.989_481_690_8e-29,
            28.803_571_2,
        );
    }

    /// Scopes of all sizes, some without any event: of their own rates and of many.
    fn some_posteriors(count: u32) -> Vec<Posterior> {
        let mut random = StdRng::seed_from_u64(5);
        let rates = Gamma::new(1.5, 2e-4).expect("shape and scale are above 0");
        let scopes = 0..count;
        let posterior = |number: u32| {
            let exposure = 500.0 * f64::from(number % 40 + 1).powi(2);
            let rate: f64 = rates.sample(&mut random);
            let events = drawn(&mut random, exposure * rate + 1e-9);
            Posterior {
                scope: 0,
                shape: if number.is_multiple_of(9) { 0.3 } else { 1.5 } + events as f64,
                rate: 5e3 + exposure,
            }
        };
        scopes.map(posterior).collect()
    }

    #[test]
    fn expected_ranks_are_those_of_every_pair_of_scopes() {
        let posteriors = some_posteriors(120);
        let found = expected_ranks(&posteriors);
        let weights: Vec<f64> = rank_scores().map(|z| (-z * z / 2.0).exp()).collect();
        for (place, (own, found)) in posteriors.iter().zip(found).enumerate() {
            let others_above = |value: f64| -> f64 {
                let others = posteriors.iter().enumerate();
                let others = others.filter(|(other, _)| *other != place);
                others.map(|(_, other)| other.above(value)).sum()
            };
            let scores = rank_scores().zip(&weights);
            let sum: f64 = scores
                .map(|(z, weight)| others_above(own.at_normal(z)) * weight)
                .sum();
            let expected = 1.0 + sum / weights.iter().sum::<f64>();
            assert!((found - expected).abs() < 0.01, "{found} for {expected}");
        }
    }

    #[test]
    fn tails_are_read_off_as_the_distribution_has_them() {
        for shape in [0.1, 0.5, 2.0, 30.0, 1e4, 1e7] {
            let posterior = Posterior {
                scope: 0,
                shape,
                rate: 3.0,
            };
            let curve = Curve::of(&posterior);
            // Of the steepest, as of scopes without events, less is almost linear.
            let most = if shape < 1.0 { 3e-3 } else { 5e-4 };
            for step in -60..=60 {
                let value = posterior.at_normal(f64::from(step) * 0.1);
                let (found, expected) = (curve.above(value.cbrt()), posterior.above(value));
                assert!(
                    (found - expected).abs() < most,
                    "{found} for {expected} of {shape} at {value}"
                );
            }
        }
    }

    #[test]
    fn self_reports_tell_what_would_reverse_them() {
        let (_, suspected) = shown(rank_self_reported(&thirty_lines(), Level::P95));
        assert_eq!(suspected[0].scope, 3);
        is_within(suspected[0].reversing_ratio, 4.414_011_666_742_936, 1e-6);
        let last = suspected[29];
        assert_eq!(last.scope, 8);
        is_within(last.reversing_ratio, 0.307_214_059_556_922_4, 1e-6);
    }

    #[test]
    fn equal_rates_show_no_difference_as_often_as_the_level_says() {
        let mut random = StdRng::seed_from_u64(7);
        let mut found = 0;
        for _ in 0..200 {
            let scopes: Vec<Scope> = (0..40)
                .map(|index| {
                    let exposure = 20_000.0 * f64::from(index + 1);
                    scope(drawn(&mut random, exposure * 3e-4), exposure)
                })
                .collect();
            match rank_observed(&scopes, Level::P95).verdict {
                Verdict::NoDifference => {}
                Verdict::Shown { .. } => found += 1,
                Verdict::TooFewScopes => panic!("forty scopes with data are enough"),
            }
        }
        // 5 % of 200 are expected; more than 20 have a probability of 0.0009.
        assert!((1..=20).contains(&found), "{found} of 200");
    }

    #[test]
    fn one_really_bad_line_stands_first() {
        let mut random = StdRng::seed_from_u64(8);
        let scopes: Vec<Scope> = (0..40)
            .map(|index| {
                let rate = if index == 11 { 9e-4 } else { 3e-4 };
                scope(drawn(&mut random, 100_000.0 * rate), 100_000.0)
            })
            .collect();
        let (_, ranked) = shown(rank_observed(&scopes, Level::P95));
        assert_eq!(ranked[0].scope, 11);
        assert!(0.999 < ranked[0].probability_above);
        assert!(ranked[0].expected_rank < 1.05);
        let others_above = ranked[1..]
            .iter()
            .filter(|other| 0.975 < other.probability_above);
        assert_eq!(others_above.count(), 0);
    }

    /// Forty lines with one rate, from 2,000 to 80,000 taps a day for a month, on days that
    /// differ by outages: gamma with a coefficient of variation of √2.
    fn equal_lines_with_outages(random: &mut StdRng) -> Vec<Vec<Day>> {
        let rate_of_a_day = Gamma::new(0.5, 6e-4).expect("shape and scale are above 0");
        let mut day = |taps: u32| {
            let mean = f64::from(taps) * rate_of_a_day.sample(random) + 1e-9;
            Day {
                count: drawn(random, mean),
                exposure: u64::from(taps),
            }
        };
        (1..=40)
            .map(|line| (0..30).map(|_| day(2_000 * line)).collect())
            .collect()
    }

    #[test]
    fn outages_of_equal_lines_are_no_difference_between_them() {
        let mut random = StdRng::seed_from_u64(9);
        let (mut shown, mut shown_without_dispersion) = (0, 0);
        for _ in 0..100 {
            let mut scopes: Vec<Scope> = equal_lines_with_outages(&mut random)
                .iter()
                .map(|days| Scope {
                    dispersion: Dispersion::of_counts(days),
                    ..scope(
                        days.iter().map(|day| day.count).sum(),
                        days.iter().map(|day| day.exposure as f64).sum(),
                    )
                })
                .collect();
            let is_shown = |scopes: &[Scope]| {
                let verdict = rank_observed(scopes, Level::P95).verdict;
                u32::from(matches!(verdict, Verdict::Shown { .. }))
            };
            shown += is_shown(&scopes);
            for scope in &mut scopes {
                scope.dispersion = Dispersion::NONE;
            }
            shown_without_dispersion += is_shown(&scopes);
        }
        assert!(shown <= 10, "{shown} of 100");
        assert_eq!(shown_without_dispersion, 100);
    }

    #[test]
    fn small_scopes_are_listed_apart_and_few_scopes_are_not_ranked() {
        let mut scopes = thirty_lines();
        scopes.insert(2, scope(3, 10_000.0));
        let ranking = rank_observed(&scopes, Level::P95);
        assert_eq!(ranking.too_little, [2]);
        let (_, ranked) = shown(ranking);
        assert!(ranked.iter().all(|scope| scope.scope != 2));
        let check = |count: usize, expected| {
            let verdict = rank_observed(&thirty_lines()[..count], Level::P95).verdict;
            assert_eq!(
                matches!(verdict, Verdict::TooFewScopes),
                expected,
                "{count}"
            );
        };
        check(0, true);
        check(19, true);
        check(20, false);
        let silent: Vec<Scope> = (0..30).map(|_| scope(0, 1e6)).collect();
        let ranking = rank_self_reported(&silent, Level::P95);
        assert_eq!(ranking.verdict, Verdict::TooFewScopes);
        assert_eq!(ranking.too_little.len(), 30);
    }
}
