//! What an attacker can calculate: the bounds of any sum of cells, given statements about
//! sums of cells, by linear programming.

use std::collections::BTreeMap;

use microlp::{ComparisonOp, OptimizationDirection, Problem};

const ROUNDING: f64 = 1e-6;

/// How a sum is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is this.
    Exactly,
    /// It is this or less.
    AtMost,
    /// It is this or more.
    AtLeast,
}

/// Cells of whose sum something is known.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Numbers of the cells.
    pub cells: Vec<usize>,
    /// What.
    pub known: Known,
    /// Of their sum.
    pub sum: u64,
}

/// All that is known. What no statement joins is solved apart.
pub struct Attacker {
    /// For each cell its part, and its place in there.
    places: Vec<(usize, usize)>,
    parts: Vec<Part>,
    /// Linear programs that were solved.
    pub solved: usize,
}

/// Cells that statements join.
#[derive(Default)]
struct Part {
    /// Places of cells, and what is known of their sum.
    statements: Vec<(Vec<usize>, Known, f64)>,
    /// Contents that fit. The first is the truth.
    fitting: Vec<Vec<f64>>,
}

impl Attacker {
    /// Knows these statements. The truth is used only to save work: a width that two fitting
    /// contents show need not be calculated.
    pub fn new(statements: &[Statement], truth: &[u64]) -> Self {
        let mut numbers = BTreeMap::new();
        let mut parts: Vec<Part> = Vec::new();
        let mut places = Vec::new();
        for (root, count) in roots(statements, truth.len()).into_iter().zip(truth) {
            let part = *numbers.entry(root).or_insert(parts.len());
            if part == parts.len() {
                parts.push(Part {
                    fitting: vec![Vec::new()],
                    ..Part::default()
                });
            }
            places.push((part, parts[part].fitting[0].len()));
            parts[part].fitting[0].push(*count as f64);
        }
        for statement in statements {
            let (part, _) = places[statement.cells[0]];
            let cells: Vec<_> = statement.cells.iter().map(|cell| places[*cell].1).collect();
            let sum = statement.sum as f64;
            let true_sum: f64 = cells.iter().map(|cell| parts[part].fitting[0][*cell]).sum();
            let is_true = match statement.known {
                Known::Exactly => (true_sum - sum).abs() < ROUNDING,
                Known::AtMost => true_sum <= sum,
                Known::AtLeast => sum <= true_sum,
            };
            assert!(is_true, "{statement:?}: {true_sum}");
            parts[part].statements.push((cells, statement.known, sum));
        }
        Self {
            places,
            parts,
            solved: 0,
        }
    }

    /// Whether the sum of some cells can take values that are at least so far apart.
    pub fn is_wide(&mut self, cells: &[usize], width: f64) -> bool {
        let mut by_part: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for cell in cells {
            let (part, place) = self.places[*cell];
            by_part.entry(part).or_default().push(place);
        }
        // Parts vary independently of each other, so their widths add up.
        let seen = |parts: &[Part]| {
            let widths = by_part
                .iter()
                .map(|(part, cells)| parts[*part].width_seen(cells));
            width <= widths.sum::<f64>() + ROUNDING
        };
        if seen(&self.parts) {
            return true;
        }
        for (part, cells) in &by_part {
            for direction in [
                OptimizationDirection::Maximize,
                OptimizationDirection::Minimize,
            ] {
                self.solved += 1;
                let Some(found) = self.parts[*part].solve(cells, direction) else {
                    // Not bounded at all.
                    return true;
                };
                self.parts[*part].fitting.push(found);
                if seen(&self.parts) {
                    return true;
                }
            }
        }
        false
    }
}

impl Part {
    fn width_seen(&self, cells: &[usize]) -> f64 {
        let mut low = f64::MAX;
        let mut high = f64::MIN;
        for contents in &self.fitting {
            let sum: f64 = cells.iter().map(|cell| contents[*cell]).sum();
            low = low.min(sum);
            high = high.max(sum);
        }
        high - low
    }

    /// Contents that fit and make the sum of some cells as large or as small as can be;
    /// `None` if there is no end to that.
    fn solve(&self, cells: &[usize], direction: OptimizationDirection) -> Option<Vec<f64>> {
        let mut problem = Problem::new(direction);
        let variables: Vec<_> = (0..self.fitting[0].len())
            .map(|cell| {
                let weight = f64::from(u8::from(cells.contains(&cell)));
                problem.add_var(weight, (0.0, f64::INFINITY))
            })
            .collect();
        for (cells, known, sum) in &self.statements {
            let terms: Vec<_> = cells.iter().map(|cell| (variables[*cell], 1.0)).collect();
            let comparison = match known {
                Known::Exactly => ComparisonOp::Eq,
                Known::AtMost => ComparisonOp::Le,
                Known::AtLeast => ComparisonOp::Ge,
            };
            problem.add_constraint(terms, comparison, *sum);
        }
        let solution = match problem.solve() {
            Ok(outcome) => outcome.into_solution().expect("there is no limit of time"),
            Err(microlp::Error::Unbounded) => return None,
            Err(error) => panic!("the truth fits, but the solver fails: {error}"),
        };
        Some(
            variables
                .iter()
                .map(|variable| solution.var_value(*variable))
                .collect(),
        )
    }
}

/// For each cell one that stands for all those that statements join it with.
fn roots(statements: &[Statement], cells: usize) -> Vec<usize> {
    fn root(parents: &mut [usize], mut cell: usize) -> usize {
        while parents[cell] != cell {
            parents[cell] = parents[parents[cell]];
            cell = parents[cell];
        }
        cell
    }
    let mut parents: Vec<usize> = (0..cells).collect();
    for statement in statements {
        for pair in statement.cells.windows(2) {
            let (left, right) = (root(&mut parents, pair[0]), root(&mut parents, pair[1]));
            parents[left] = right;
        }
    }
    (0..cells).map(|cell| root(&mut parents, cell)).collect()
}
