//! Who was measured, in which rounds, and how that compares: medians with their range, and
//! the ratio of ours to each peer within the same rounds.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::children::{self, Server};
use crate::cli::{Failure, Format, Sheet};

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More, as of reports a second. The ratio is ours divided by the peer's.
    More,
    /// Less, as of milliseconds. The ratio is the peer's divided by ours.
    Less,
}

/// One comparison. The first contestant is ours.
pub struct Contest {
    title: String,
    unit: &'static str,
    better: Better,
    with_targets: bool,
    contestants: Vec<Contestant>,
}

struct Contestant {
    name: String,
    /// Why it was not measured.
    skipped: Option<&'static str>,
    /// The least ratio of ours to it that is aimed at.
    target: Option<f64>,
    rounds: Vec<f64>,
}

/// A contestant's place in its contest.
#[derive(Clone, Copy, Debug)]
pub struct Place(usize);

impl Contest {
    /// Without contestants.
    pub fn new(title: impl Into<String>, unit: &'static str, better: Better) -> Self {
        Self {
            title: title.into(),
            unit,
            better,
            with_targets: true,
            contestants: Vec::new(),
        }
    }

    /// Leaves targets untold if they mean nothing.
    #[must_use]
    pub fn with_targets(mut self, with_targets: bool) -> Self {
        self.with_targets = with_targets;
        self
    }

    /// Adds a contestant; a target is the least ratio of ours to it.
    pub fn enter(&mut self, name: impl Into<String>, target: Option<f64>) -> Place {
        self.contestants.push(Contestant {
            name: name.into(),
            skipped: None,
            target,
            rounds: Vec::new(),
        });
        Place(self.contestants.len() - 1)
    }

    /// Says why a contestant is not measured.
    pub fn skip(&mut self, place: Place, why: &'static str) {
        self.contestants[place.0].skipped = Some(why);
    }

    /// Notes what a contestant reached in the round at hand.
    pub fn note(&mut self, place: Place, value: f64) {
        self.contestants[place.0].rounds.push(value);
    }

    /// Whom a place is of.
    pub fn name(&self, place: Place) -> &str {
        &self.contestants[place.0].name
    }

    /// The greatest value of a contestant; `None` if it was not measured.
    pub fn most(&self, place: Place) -> Option<f64> {
        let rounds = self.contestants[place.0].rounds.iter().copied();
        rounds.max_by(f64::total_cmp)
    }

    /// Prints a table.
    pub fn print(&self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "\n{} ({})", self.title, self.unit)?;
        let columns = ["", "median", "least", "most", "ratio of ours", "target", ""];
        let mut sheet = Sheet::new(columns);
        for place in 0..self.contestants.len() {
            sheet.push(self.row(place));
        }
        sheet.print(Format::Table, &mut out)
    }

    fn row(&self, place: usize) -> Vec<Value> {
        let contestant = &self.contestants[place];
        let name = json!(contestant.name);
        let (Some(middle), None) = (median(&contestant.rounds), contestant.skipped) else {
            let why = contestant.skipped.unwrap_or("not measured");
            let mut row = vec![name, json!(format!("skipped: {why}"))];
            row.resize(7, Value::Null);
            return row;
        };
        let least = contestant.rounds.iter().copied().fold(f64::MAX, f64::min);
        let most = contestant.rounds.iter().copied().fold(0.0, f64::max);
        let ratio = self.ratio(place);
        let target = contestant.target.filter(|_| self.with_targets);
        let verdict = ratio.zip(target).map(
            |(ratio, target)| {
                if target <= ratio { "met" } else { "MISSED" }
            },
        );
        vec![
            name,
            json!(shown(middle)),
            json!(shown(least)),
            json!(shown(most)),
            json!(ratio.map(shown)),
            json!(target.map(|target| format!("≥ {}", shown(target)))),
            json!(verdict),
        ]
    }

    /// The median, over rounds, of ours to this one's; `None` for ours itself.
    fn ratio(&self, place: usize) -> Option<f64> {
        if place == 0 {
            return None;
        }
        let pairs = self.contestants[0]
            .rounds
            .iter()
            .zip(&self.contestants[place].rounds);
        let ratios: Vec<f64> = pairs
            .map(|(ours, theirs)| match self.better {
                Better::More => ours / theirs,
                Better::Less => theirs / ours,
            })
            .collect();
        median(&ratios)
    }
}

/// Processor time of whoever takes part in a measurement, which a busy machine changes less
/// than the rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    /// Of the server, in seconds.
    pub server_seconds: f64,
    /// Of this process, in seconds.
    pub client_seconds: f64,
    /// Reports.
    pub reports: u64,
}

impl Effort {
    /// So far: to be taken away from what is looked at later.
    pub fn so_far(server: &Server) -> Self {
        Self {
            server_seconds: server.cpu_seconds().unwrap_or(0.0),
            client_seconds: children::cpu_seconds("self").unwrap_or(0.0),
            reports: 0,
        }
    }

    /// Adds what has gone by since, for so many reports.
    pub fn add_since(&mut self, before: Self, server: &Server, reports: u64) {
        let now = Self::so_far(server);
        self.server_seconds += now.server_seconds - before.server_seconds;
        self.client_seconds += now.client_seconds - before.client_seconds;
        self.reports += reports;
    }

    /// Says it, for one report.
    pub fn say(self, who: &str) -> Result<(), Failure> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let reports = self.reports.max(1) as f64;
        let micros = |seconds: f64| shown(seconds * 1e6 / reports);
        let server = micros(self.server_seconds);
        let client = micros(self.client_seconds);
        say(&format!(
            "processor time of {who}, microseconds a report: {server} server, {client} client"
        ))
    }
}

/// A figure that is compared with a bound instead of a peer.
pub struct Bound {
    /// What.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// The greatest that is aimed at.
    pub most: Option<f64>,
}

/// Prints figures with their bounds.
pub fn print_bounds(
    title: &str,
    unit: &str,
    bounds: &[Bound],
    with_targets: bool,
) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "\n{title} ({unit})")?;
    let mut sheet = Sheet::new(["", "figure", "target", ""]);
    for bound in bounds {
        let most = bound.most.filter(|_| with_targets);
        let verdict = most.map(|most| if bound.value <= most { "met" } else { "MISSED" });
        sheet.push(vec![
            json!(bound.name),
            json!(shown(bound.value)),
            json!(most.map(|most| format!("≤ {}", shown(most)))),
            json!(verdict),
        ]);
    }
    sheet.print(Format::Table, &mut out)
}

/// Says something above or below a table.
pub fn say(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

/// The middle one, or the mean of the two in the middle; `None` of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper))
}

/// What so many percent of the delays do not exceed, by the nearest rank; 0 of none.
pub fn percentile(delays: &mut [Duration], percent: usize) -> Duration {
    delays.sort_unstable();
    let rank = (delays.len() * percent).div_ceil(100);
    delays
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

/// Three digits that count, or all before the point.
fn shown(value: f64) -> String {
    let decimals = match value.abs() {
        size if 100.0 <= size => 0,
        size if 10.0 <= size => 1,
        size if 1.0 <= size => 2,
        size if 0.1 <= size => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_is_that_of_the_middle_round() {
        let mut contest = Contest::new("reports", "1/s", Better::More);
        let ours = contest.enter("ours", None);
        let peer = contest.enter("peer", Some(2.0));
        for (mine, theirs) in [(10.0, 5.0), (30.0, 10.0), (4.0, 4.0)] {
            contest.note(ours, mine);
            contest.note(peer, theirs);
        }
        assert_eq!(contest.ratio(0), None);
        assert_eq!(contest.ratio(1), Some(2.0));
        assert_eq!(contest.most(ours), Some(30.0));
        assert_eq!(contest.row(1)[6], json!("met"));
    }

    #[test]
    fn time_is_better_the_less_it_is() {
        let mut contest = Contest::new("question", "ms", Better::Less);
        let ours = contest.enter("ours", None);
        let peer = contest.enter("peer", Some(10.0));
        contest.note(ours, 2.0);
        contest.note(peer, 8.0);
        assert_eq!(contest.ratio(1), Some(4.0));
        assert_eq!(contest.row(1)[6], json!("MISSED"));
    }

    #[test]
    fn percentile_is_that_of_the_nearest_rank() {
        let mut delays: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut delays, 50).as_millis(), 100);
        assert_eq!(percentile(&mut delays, 99).as_millis(), 198);
        assert_eq!(percentile(&mut delays[..1], 99).as_millis(), 1);
        assert_eq!(percentile(&mut [], 99), Duration::ZERO);
    }

    #[test]
    fn who_is_skipped_has_no_figures() {
        let mut contest = Contest::new("reports", "1/s", Better::More);
        let peer = contest.enter("peer", None);
        contest.skip(peer, "not installed");
        assert_eq!(contest.row(0)[1], json!("skipped: not installed"));
    }
}
