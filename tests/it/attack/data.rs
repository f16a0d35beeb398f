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
/// How it ended. The first harms.
const OUTCOMES: [&str; 2] = ["end-1", "end-2"];
const HARMFUL: u8 = 0b01;

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
        let ended = ClassName::new("outcome", "told");
        let both = ClassName::new("both", "yes");
        for (table, base) in [
            ("line", None),
            ("card-kind", None),
            ("cause", None),
            ("staff", None),
            ("act-1", Some(&told)),
            ("act-2", Some(&told)),
            ("act-3", Some(&told)),
            ("act-4", Some(&told)),
            ("outcome", None),
            ("end-1", Some(&ended)),
            ("end-2", Some(&ended)),
            ("both", Some(&told)),
            ("help", Some(&both)),
            ("harm", Some(&both)),
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
        let yes = |tables: &[&'static str]| -> Vec<ClassName> {
            let class = |table: &&'static str| ClassName::new(*table, "yes");
            tables.iter().map(class).collect()
        };
        let both_not = ClassName::new("both", "no");
        for (inner, outer) in [
            (both.clone(), ended.clone()),
            (both_not, ClassName::new("outcome", "not-told")),
            (ClassName::new("help", "no"), ClassName::new("act-1", "no")),
            (ClassName::new("help", "no"), ClassName::new("act-2", "no")),
            (ClassName::new("harm", "no"), ClassName::new("end-1", "no")),
        ] {
            sheet.know(Logic::Inside { inner, outer });
        }
        for (outer, by) in [
            (told, &ACTS[..]),
            (ended, &OUTCOMES[..]),
            (ClassName::new("help", "yes"), &ACTS[..2]),
            (ClassName::new("help", "no"), &ACTS[2..]),
            (ClassName::new("harm", "yes"), &OUTCOMES[..1]),
            (ClassName::new("harm", "no"), &OUTCOMES[1..]),
        ] {
            let by = yes(by);
            sheet.know(Logic::Covered { outer, by });
        }
        sheet
    }
}

/// Every profile that the logic of the classes allows.
fn profiles(random: &mut StdRng) -> Vec<Profile> {
    // What staff did makes many profiles, and how it ended more: then there are fewer of
    // everything else.
    let has_acts = random.random_bool(0.35);
    let has_outcomes = has_acts && random.random_bool(0.5);
    let lines_max = if has_acts { 2 } else { LINES.len() };
    let lines = &LINES[..random.random_range(2..=lines_max)];
    let lines = if has_outcomes { &lines[..1] } else { lines };
    let cards = &CARDS[random.random_range(0..2)..];
    let causes = &CAUSES[random.random_range(0..2)..];
    let (cards, causes) = match (has_acts, has_outcomes) {
        (true, true) => (&cards[..1], &causes[causes.len() - 1..]),
        (true, false) => (&cards[..2], &causes[..2]),
        _ => (cards, causes),
    };
    // 0 if nobody said, else a bit for each act and outcome: whoever says names at least one.
    let acts = if has_acts { 0..16_u8 } else { 0..1 };
    let outcomes = if has_outcomes { 0..4_u8 } else { 0..1 };
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
                for outcome in outcomes.clone() {
                    let mut classes =
                        vec![("line", *line), ("card-kind", *card), ("cause", *cause)];
                    classes.extend(endings(act, outcome));
                    profiles.push(Profile { classes });
                }
            }
        }
    }
    profiles
}

/// The classes of what staff did and how it ended.
fn endings(act: u8, outcome: u8) -> Vec<Class> {
    let answer = |is_yes| if is_yes { "yes" } else { "no" };
    let told = |bits| if bits == 0 { "not-told" } else { "told" };
    let mut classes = vec![("staff", told(act)), ("outcome", told(outcome))];
    if act != 0 {
        let acts = ACTS.into_iter().enumerate();
        classes.extend(acts.map(|(place, table)| (table, answer(act >> place & 1 == 1))));
        classes.push(("both", answer(outcome != 0)));
    }
    if outcome != 0 {
        let ends = OUTCOMES.into_iter().enumerate();
        classes.extend(ends.map(|(place, table)| (table, answer(outcome >> place & 1 == 1))));
    }
    if act != 0 && outcome != 0 {
        classes.push(("help", answer(act & HELPING != 0)));
        classes.push(("harm", answer(outcome & HARMFUL != 0)));
    }
    classes
}

fn pick(random: &mut StdRng, weights: &[f64]) -> usize {
    let mut left = random.random::<f64>() * weights.iter().sum::<f64>();
    let chosen = weights.iter().position(|weight| {
        left -= weight;
        left <= 0.0
    });
    chosen.unwrap_or(weights.len() - 1)
}
