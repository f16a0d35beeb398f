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
/// Acts of staff. The first two help.
const ACTS: [&str; 4] = ["act-1", "act-2", "act-3", "act-4"];
const HELPING: u8 = 0b0011;

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
            ("act-3", Some(&told)),
            ("act-4", Some(&told)),
            ("help", Some(&told)),
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
        let yes = |acts: &[&'static str]| -> Vec<ClassName> {
            acts.iter().map(|act| ClassName::new(*act, "yes")).collect()
        };
        for inner in yes(&ACTS[..2]) {
            let outer = ClassName::new("help", "yes");
            sheet.know(Logic::Inside { inner, outer });
        }
        for (outer, acts) in [
            (told, &ACTS[..]),
            (ClassName::new("help", "yes"), &ACTS[..2]),
            (ClassName::new("help", "no"), &ACTS[2..]),
        ] {
            let by = yes(acts);
            sheet.know(Logic::Covered { outer, by });
        }
        sheet
    }
}

/// Every profile that the logic of the classes allows.
fn profiles(random: &mut StdRng) -> Vec<Profile> {
    // What staff did makes many profiles: then there are fewer of everything else.
    let has_acts = random.random_bool(0.35);
    let lines_max = if has_acts { 2 } else { LINES.len() };
    let lines = &LINES[..random.random_range(2..=lines_max)];
    let cards = &CARDS[random.random_range(0..2)..];
    let causes = &CAUSES[random.random_range(0..2)..];
    let (cards, causes) = if has_acts {
        (&cards[..2], &causes[..2])
    } else {
        (cards, causes)
    };
    // 0 if nobody said, else a bit for each act: whoever says names at least one.
    let acts = if has_acts { 0..16_u8 } else { 0..1 };
    let mut profiles = Vec::new();
    for line in lines {
        for (card, cause) in cards
            .iter()
            .flat_map(|card| causes.iter().map(move |cause| (card, cause)))
        {
            if *cause == "barcode-rejected" && *card != "barcode-ticket" {
                continue;
            }
            for act in acts.clone() {
                let mut classes = vec![("line", *line), ("card-kind", *card), ("cause", *cause)];
                classes.push(("staff", if act == 0 { "not-told" } else { "told" }));
                let answer = |is_yes| if is_yes { "yes" } else { "no" };
                if act != 0 {
                    for (place, table) in ACTS.into_iter().enumerate() {
                        classes.push((table, answer(act >> place & 1 == 1)));
                    }
                    classes.push(("help", answer(act & HELPING != 0)));
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
