//! Small random data sets, as they are before screening.

use std::borrow::Cow;

use mistap::stats::screening::{ClassName, Group, Logic, Sheet};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Months of one data set: a quarter.
pub const MONTHS: usize = 3;
const OPERATORS: [&str; 4] = ["ARR", "GVB", "HTM", "NS"];
const LINES: [&str; 5] = ["1", "10", "14", "26", "4"];
const CARDS: [&str; 3] = ["barcode-ticket", "personal", "student"];
const CAUSES: [&str; 3] = ["barcode-rejected", "reader-fault", "unknown"];
/// What staff did: `None` if nobody said, else each act yes or no, and at least one yes.
const ACTS: [Option<[bool; 2]>; 4] = [
    None,
    Some([true, false]),
    Some([false, true]),
    Some([true, true]),
];

/// A class that a report can be in.
pub type Class = (&'static str, &'static str);

/// All classes that one report is in, one of each table that divides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    classes: Vec<Class>,
}

/// One report.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of `Data::operators`.
    pub operator: usize,
    /// Of `Data::profiles`.
    pub profile: usize,
    reporter: u32,
}

/// Three months of reports.
#[derive(Debug)]
pub struct Data {
    /// Codes.
    pub operators: Vec<&'static str>,
    /// Every profile that can be.
    pub profiles: Vec<Profile>,
    /// The reports of each month.
    pub months: Vec<Vec<Report>>,
}

impl Profile {
    /// Whether reports with this profile are in a class.
    pub fn is_in(&self, table: &str, key: &str) -> bool {
        self.classes.contains(&(table, key))
    }

    /// The class in a table; `None` if the table does not divide such reports.
    pub fn class(&self, table: &str) -> Option<&'static str> {
        let mut classes = self.classes.iter();
        Some(classes.find(|(name, _)| *name == table)?.1)
    }
}

impl Data {
    /// The data set of a seed.
    pub fn random(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let operators = OPERATORS[..random.random_range(1..=OPERATORS.len())].to_vec();
        let profiles = profiles(&mut random);
        // Reporters tell several times, and the smaller their number, the more often.
        let reporters = random.random_range(12..120);
        let sizes: Vec<u32> = operators
            .iter()
            .map(|_| {
                if random.random_bool(0.3) {
                    14
                } else {
                    random.random_range(20..110)
                }
            })
            .collect();
        let weights: Vec<f64> = (0..profiles.len())
            .map(|_| random.random::<f64>().powi(3))
            .collect();
        let months = (0..MONTHS).map(|_| {
            let mut month = Vec::new();
            for (operator, size) in sizes.iter().enumerate() {
                for _ in 0..random.random_range(0..=*size) {
                    month.push(Report {
                        operator,
                        profile: pick(&mut random, &weights),
                        reporter: random.random_range(0..reporters),
                    });
                }
            }
            month
        });
        Self {
            months: months.collect(),
            operators,
            profiles,
        }
    }

    /// A month as it is screened.
    pub fn groups(&self, month: usize) -> Vec<Group> {
        let of = |operator| {
            let reports = self.months[month].iter();
            let reports = reports.filter(move |report| report.operator == operator);
            self.sheet(&reports.collect::<Vec<_>>())
        };
        let operators = self.operators.iter().enumerate();
        operators
            .map(|(place, code)| Group {
                key: Cow::Borrowed(*code),
                sheet: of(place),
            })
            .collect()
    }

    /// A month, not split into operators: what the control publishes besides.
    pub fn national(&self, month: usize) -> Vec<Group> {
        vec![Group {
            key: Cow::Borrowed("national"),
            sheet: self.sheet(&self.months[month].iter().collect::<Vec<_>>()),
        }]
    }

    fn sheet(&self, reports: &[&Report]) -> Sheet {
        let mut sheet = Sheet::new(reports.iter().map(|report| report.reporter).collect());
        let told = ClassName::new("staff", "told");
        for (table, base) in [
            ("line", None),
            ("card-kind", None),
            ("cause", None),
            ("staff", None),
            ("act-1", Some(&told)),
            ("act-2", Some(&told)),
        ] {
            sheet.divide(table, base, |row| {
                let class = self.profiles[reports[row].profile].class(table);
                Cow::Borrowed(class.expect("a table that divides the report"))
            });
        }
        sheet.know(Logic::Inside {
            inner: ClassName::new("cause", "barcode-rejected"),
            outer: ClassName::new("card-kind", "barcode-ticket"),
        });
        sheet.know(Logic::Covered {
            outer: told,
            by: vec![
                ClassName::new("act-1", "yes"),
                ClassName::new("act-2", "yes"),
            ],
        });
        sheet
    }
}

/// Every profile that the logic of the classes allows.
fn profiles(random: &mut StdRng) -> Vec<Profile> {
    let lines = &LINES[..random.random_range(2..=LINES.len())];
    let cards = &CARDS[random.random_range(0..2)..];
    let causes = &CAUSES[random.random_range(0..2)..];
    let acts = if random.random_bool(0.5) {
        &ACTS[..]
    } else {
        &ACTS[..1]
    };
    let mut profiles = Vec::new();
    for line in lines {
        for (card, cause) in cards
            .iter()
            .flat_map(|card| causes.iter().map(move |cause| (card, cause)))
        {
            if *cause == "barcode-rejected" && *card != "barcode-ticket" {
                continue;
            }
            for act in acts {
                let mut classes = vec![("line", *line), ("card-kind", *card), ("cause", *cause)];
                classes.push(("staff", if act.is_some() { "told" } else { "not-told" }));
                for (table, yes) in ["act-1", "act-2"].into_iter().zip(act.iter().flatten()) {
                    classes.push((table, if *yes { "yes" } else { "no" }));
                }
                profiles.push(Profile { classes });
            }
        }
    }
    profiles
}

fn pick(random: &mut StdRng, weights: &[f64]) -> usize {
    let mut left = random.random::<f64>() * weights.iter().sum::<f64>();
    let chosen = weights.iter().position(|weight| {
        left -= weight;
        left <= 0.0
    });
    chosen.unwrap_or(weights.len() - 1)
}
