//! The attack on editions: whoever holds all tables of successive editions cannot find out
//! the size of any crossed group of one to nine reports, within less than ten.
//!
//! `MISTAP_ATTACK_SETS` sets how many random data sets are attacked.

mod bounds;
mod data;

use mistap::stats::screening::{
    Published, PublishedPart, PublishedQuarter, PublishedTable, screen, screen_quarter,
};

use bounds::{Attacker, Statement};
use data::{Class, Data, MONTHS, Profile};

const SETS_VARIABLE: &str = "MISTAP_ATTACK_SETS";
const SETS_DEFAULT: u64 = 250;
/// Data sets of the control.
const CONTROL_SETS: u64 = 8;
/// Tables whose classes are crossed.
const TABLES: [&str; 14] = [
    "line",
    "card-kind",
    "cause",
    "staff",
    "act-1",
    "act-2",
    "act-3",
    "act-4",
    "outcome",
    "end-1",
    "end-2",
    "both",
    "help",
    "harm",
];
const WIDTH: f64 = 10.0;
/// Classes in one crossed cell.
const CROSSED_MAX: usize = 3;

/// One data set, published.
struct Editions {
    data: Data,
    months: Vec<Option<Published>>,
    quarter: Vec<PublishedQuarter>,
}

/// Crossed cells: the sum of those of one operator in some months.
struct Crossed {
    name: String,
    cells: Vec<usize>,
    reports: u64,
}

impl Editions {
    fn publish(seed: u64) -> Self {
        let data = Data::random(seed);
        let groups: Vec<_> = (0..MONTHS).map(|month| data.groups(month)).collect();
        let months: Vec<_> = groups.iter().map(|groups| screen(groups)).collect();
        let quarter = match &months[..] {
            [Some(first), Some(second), Some(third)] => screen_quarter(
                "line",
                [
                    (&groups[0], first),
                    (&groups[1], second),
                    (&groups[2], third),
                ],
            ),
            _ => Vec::new(),
        };
        Self {
            data,
            months,
            quarter,
        }
    }

    /// Cells are by month, operator and profile.
    fn cell(&self, month: usize, operator: usize, profile: usize) -> usize {
        let operators = self.data.operators.len();
        (month * operators + operator) * self.data.profiles.len() + profile
    }

    fn truth(&self) -> Vec<u64> {
        let mut truth = vec![0; self.cell(MONTHS, 0, 0)];
        for (month, reports) in self.data.months.iter().enumerate() {
            for report in reports {
                truth[self.cell(month, report.operator, report.profile)] += 1;
            }
        }
        truth
    }

    /// The cells of some operators in one month whose profile fits.
    fn cells(
        &self,
        month: usize,
        is_operator: impl Fn(&str) -> bool,
        fits: impl Fn(&Profile) -> bool,
    ) -> Vec<usize> {
        let mut cells = Vec::new();
        for (operator, code) in self.data.operators.iter().enumerate() {
            for (profile, classes) in self.data.profiles.iter().enumerate() {
                if is_operator(code) && fits(classes) {
                    cells.push(self.cell(month, operator, profile));
                }
            }
        }
        cells
    }

    /// All that the editions say.
    fn statements(&self) -> Vec<Statement> {
        let mut statements = Vec::new();
        for (month, published) in self.months.iter().enumerate() {
            let Some(published) = published else { continue };
            let division = published.division();
            let mut say = |cells, sum| statements.push(Statement { cells, sum });
            for part in division.parts() {
                say(
                    self.cells(month, |code| code == part.key(), |_| true),
                    part.reports(),
                );
            }
            let is_joined = |code: &str| division.part(code).is_none();
            say(self.cells(month, is_joined, |_| true), division.rest());
            for group in published.groups() {
                for table in group.tables() {
                    let is_group = |code: &str| code == group.key();
                    self.tell_table(month, &is_group, table, &mut say);
                }
            }
        }
        for quarter in &self.quarter {
            for part in quarter.parts() {
                let cells = (0..MONTHS).flat_map(|month| {
                    let is_part = |profile: &Profile| profile.is_in("line", part.key());
                    self.cells(month, |code| code == quarter.group(), is_part)
                });
                statements.push(Statement {
                    cells: cells.collect(),
                    sum: part.reports(),
                });
            }
        }
        statements.retain(|statement| !statement.cells.is_empty());
        statements
    }

    /// All that one table says.
    fn tell_table(
        &self,
        month: usize,
        is_group: &impl Fn(&str) -> bool,
        table: &PublishedTable,
        say: &mut impl FnMut(Vec<usize>, u64),
    ) {
        let is_divided = |profile: &Profile| {
            let base = table.base();
            base.is_none_or(|base| profile.is_in(&base.table, &base.key))
        };
        for part in table.parts() {
            let fits = |profile: &Profile| profile.is_in(table.name(), part.key());
            say(self.cells(month, is_group, fits), part.reports());
        }
        let fits = |profile: &Profile| {
            let class = profile.class(table.name());
            is_divided(profile) && class.is_some_and(|class| table.part(class).is_none())
        };
        say(self.cells(month, is_group, fits), table.rest());
    }

    /// Every crossed cell of one to nine reports, by month and for the quarter.
    fn small_groups(&self, truth: &[u64]) -> Vec<Crossed> {
        let mut classes: Vec<Class> = Vec::new();
        for profile in &self.data.profiles {
            for table in TABLES {
                let class = profile.class(table).map(|key| (table, key));
                classes.extend(class.filter(|class| !classes.contains(class)));
            }
        }
        let mut small = Vec::new();
        for crossing in crossings(&classes) {
            let fits = |profile: &Profile| {
                crossing
                    .iter()
                    .all(|(table, key)| profile.is_in(table, key))
            };
            for code in &self.data.operators {
                let by_month: Vec<_> = (0..MONTHS)
                    .map(|month| self.cells(month, |found| found == *code, fits))
                    .collect();
                for cells in by_month.iter().cloned().chain([by_month.concat()]) {
                    let reports = cells.iter().map(|cell| truth[*cell]).sum();
                    if (1..10).contains(&reports) {
                        let name = format!("{code} {crossing:?}");
                        small.push(Crossed {
                            name,
                            cells,
                            reports,
                        });
                    }
                }
            }
        }
        small
    }
}

/// Every choice of one to three classes of different tables.
fn crossings(classes: &[Class]) -> Vec<Vec<Class>> {
    let mut all: Vec<Vec<Class>> = vec![Vec::new()];
    for class in classes {
        let longer: Vec<_> = all
            .iter()
            .filter(|chosen| chosen.len() < CROSSED_MAX)
            .filter(|chosen| chosen.iter().all(|(table, _)| *table != class.0))
            .map(|chosen| chosen.iter().copied().chain([*class]).collect())
            .collect();
        all.extend(longer);
    }
    all.retain(|chosen| !chosen.is_empty());
    all
}

/// Attacks; returns the groups whose size is found out, how many were attacked, and how many
/// linear programs it took.
fn attack(editions: &Editions, statements: &[Statement]) -> (Vec<String>, usize, usize) {
    let truth = editions.truth();
    let small = editions.small_groups(&truth);
    let mut attacker = Attacker::new(statements, &truth);
    let found = small
        .iter()
        .filter(|crossed| !attacker.is_wide(&crossed.cells, WIDTH))
        .map(|crossed| format!("{}: {} reports", crossed.name, crossed.reports));
    (found.collect(), small.len(), attacker.solved)
}

fn sets() -> u64 {
    let wanted = std::env::var(SETS_VARIABLE);
    wanted.map_or(SETS_DEFAULT, |wanted| {
        wanted.parse().expect("a number of data sets")
    })
}

#[test]
fn no_crossed_group_of_one_to_nine_is_found_out_within_less_than_ten() {
    let (mut groups, mut programs, mut quarters) = (0, 0, 0);
    for seed in 0..sets() {
        let editions = Editions::publish(seed);
        let (found, attacked, solved) = attack(&editions, &editions.statements());
        assert!(found.is_empty(), "data set {seed}: {found:#?}");
        groups += attacked;
        programs += solved;
        quarters += usize::from(!editions.quarter.is_empty());
    }
    println!(
        "{groups} groups attacked, {programs} linear programs, {quarters} quarters with lines"
    );
    assert!(
        0 < groups && 0 < programs && 0 < quarters,
        "there was nothing to attack"
    );
}

#[test]
fn control_with_independent_national_tables_is_broken() {
    let mut broken = 0;
    for seed in 0..CONTROL_SETS {
        let editions = Editions::publish(seed);
        let mut statements = editions.statements();
        for month in 0..MONTHS {
            let national = screen(&editions.data.national(month));
            for table in national.iter().flat_map(|month| month.groups()[0].tables()) {
                let mut say = |cells, sum| statements.push(Statement { cells, sum });
                editions.tell_table(month, &|_| true, table, &mut say);
            }
        }
        statements.retain(|statement| !statement.cells.is_empty());
        let (found, _, _) = attack(&editions, &statements);
        broken += usize::from(!found.is_empty());
    }
    println!("{broken} of {CONTROL_SETS} data sets broken");
    assert!(
        0 < broken,
        "the attack would find nothing whatever was published"
    );
}

#[test]
fn parts_and_rests_sum_to_the_parent() {
    for seed in 0..sets() {
        let editions = Editions::publish(seed);
        for published in editions.months.iter().flatten() {
            let sum = |table: &PublishedTable| {
                let parts = table.parts().iter().map(PublishedPart::reports);
                parts.sum::<u64>() + table.rest()
            };
            let month = published.division();
            assert_eq!(sum(month), month.reports(), "data set {seed}");
            for group in published.groups() {
                for table in group.tables() {
                    let parent = match table.base() {
                        None => Some(group.reports()),
                        Some(base) => {
                            let outer = group.table(&base.table);
                            outer.and_then(|outer| Some(outer.part(&base.key)?.reports()))
                        }
                    };
                    let parent = parent.unwrap_or(group.reports());
                    assert_eq!(sum(table), table.reports(), "data set {seed}");
                    assert_eq!(table.reports(), parent, "data set {seed}");
                }
            }
        }
    }
}

#[test]
fn each_report_stands_in_at_most_one_published_line_part() {
    for seed in 0..sets() {
        let editions = Editions::publish(seed);
        for quarter in &editions.quarter {
            let mut in_parts = 0;
            let mut in_rests = 0;
            for month in editions.months.iter().flatten() {
                let group = month.group(quarter.group()).expect("published each month");
                let lines = group.table("line").expect("divides every report");
                for part in quarter.parts() {
                    assert!(lines.part(part.key()).is_none(), "data set {seed}");
                }
                in_rests += lines.rest();
                in_parts += lines
                    .parts()
                    .iter()
                    .map(PublishedPart::reports)
                    .sum::<u64>();
            }
            let in_quarter: u64 = quarter.parts().iter().map(PublishedPart::reports).sum();
            assert_eq!(in_quarter + quarter.rest(), in_rests, "data set {seed}");
            let code = quarter.group();
            let all = editions.data.months.iter().flatten();
            let all = all.filter(|report| editions.data.operators[report.operator] == code);
            assert_eq!(in_parts + in_rests, all.count() as u64, "data set {seed}");
        }
    }
}
