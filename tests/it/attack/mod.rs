//! The attack on editions: whoever holds all that is published of successive months and of
//! their quarter cannot find out the size of any crossed group of one to nine reports, within
//! less than ten.
//!
//! Reports, withdrawals, amendments and taps go into a journal, months are closed as the service
//! closes them, and the attacker reads the bytes that everybody can. `MISTAP_ATTACK_SETS` sets
//! how many random data sets are attacked, and `MISTAP_ATTACK_FIRST` with which it begins.

mod bounds;
mod data;
mod profile;
mod published;
mod rated;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde_json::Value;

use bounds::{Attacker, Known, Statement};
use data::{Data, Fate, MONTHS, NOT_SAID};
use published::{Cells, Key, Row};

const SETS_VARIABLE: &str = "MISTAP_ATTACK_SETS";
const SETS_DEFAULT: u64 = 250;
const FIRST_VARIABLE: &str = "MISTAP_ATTACK_FIRST";
/// Data sets of each control, at most.
const CONTROL_SETS: u64 = 200;
const WIDTH: f64 = 10.0;
/// Classes in one crossed cell.
const CROSSED_MAX: usize = 3;
const REPORTERS_MIN: usize = 10;

/// One data set, published and read.
struct Attack {
    data: Data,
    editions: Vec<Value>,
    rows: Vec<Row>,
    truth: Vec<u64>,
}

/// Crossed cells: the sum of those of one operator in some months.
struct Crossed {
    name: String,
    cells: Vec<usize>,
    reports: u64,
}

/// What came of all data sets.
#[derive(Default)]
struct Seen {
    groups: AtomicUsize,
    programs: AtomicUsize,
    quarters: AtomicUsize,
    rates: AtomicUsize,
    for_days: AtomicUsize,
    of_several: AtomicUsize,
    bounds: AtomicUsize,
    shares: AtomicUsize,
    widened: AtomicUsize,
    of_unknown: AtomicUsize,
    left_out: AtomicUsize,
    too_late: AtomicUsize,
}

impl Attack {
    fn new(seed: u64) -> Self {
        let data = Data::random(seed);
        let editions = record::publish(&data, true);
        let rows = published::rows(&data, &editions);
        let cells = Cells(&data);
        let mut truth = vec![0; cells.count()];
        for month in 0..MONTHS {
            for told in data.counted(month).0 {
                truth[cells.cell(month, told.operator, told.profile)] += 1;
            }
        }
        Self {
            data,
            editions,
            rows,
            truth,
        }
    }

    /// All that the editions say.
    fn statements(&self) -> Vec<Statement> {
        let exactly = |(cells, sum)| Statement {
            cells,
            known: Known::Exactly,
            sum,
        };
        let said = published::statements(&self.data, &self.rows);
        let mut statements: Vec<_> = said.into_iter().map(exactly).collect();
        for (feed, month) in self.feeds() {
            let judged = rated::judge(&self.data, &self.rows, &self.truth, feed, month);
            statements.extend(judged.told);
        }
        statements
    }

    fn feeds(&self) -> impl Iterator<Item = (&data::Feed, usize)> {
        let feeds = self.data.feeds.iter();
        feeds.flat_map(|feed| (0..MONTHS).map(move |month| (feed, month)))
    }

    /// Every crossed cell of one to nine reports, by month and for the quarter.
    fn small_groups(&self) -> Vec<Crossed> {
        let (data, cells) = (&self.data, Cells(&self.data));
        let mut small = Vec::new();
        for crossing in self.crossings() {
            let fits = |profile: usize| {
                let classes = &data.universe.profiles[profile].classes;
                crossing.iter().all(|class| classes.contains(class))
            };
            for (operator, code) in data.operators.iter().enumerate() {
                let by_month: Vec<_> = (0..MONTHS)
                    .map(|month| cells.find(month, |found| found == operator, fits))
                    .collect();
                for cells in by_month.iter().cloned().chain([by_month.concat()]) {
                    let reports = cells.iter().map(|cell| self.truth[*cell]).sum();
                    if (1..10).contains(&reports) {
                        let classes = crossing.iter().map(|class| &data.universe.classes[*class]);
                        let name = format!("{code} {:?}", classes.collect::<Vec<_>>());
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

    /// Every choice of one to three classes that some can be in and others not; of those that
    /// the same profiles lie in, one.
    fn crossings(&self) -> Vec<Vec<usize>> {
        let profiles = &self.data.universe.profiles;
        let members = |crossing: &[usize]| -> BTreeSet<usize> {
            let fits = |profile: &usize| {
                let classes = &profiles[*profile].classes;
                crossing.iter().all(|class| classes.contains(class))
            };
            (0..profiles.len()).filter(fits).collect()
        };
        let mut all: BTreeMap<BTreeSet<usize>, Vec<usize>> = BTreeMap::new();
        for class in 0..self.data.universe.classes.len() {
            all.entry(members(&[class])).or_insert(vec![class]);
        }
        let single: Vec<Vec<usize>> = all.values().cloned().collect();
        for _ in 1..CROSSED_MAX {
            let shorter: Vec<Vec<usize>> = all.values().cloned().collect();
            for (short, one) in shorter
                .iter()
                .flat_map(|short| single.iter().map(move |one| (short, one)))
            {
                let crossing: Vec<usize> = short.iter().chain(one).copied().collect();
                let members = members(&crossing);
                if !members.is_empty() {
                    all.entry(members).or_insert(crossing);
                }
            }
        }
        all.into_values().collect()
    }

    /// Attacks with all that is known; returns the groups whose size is found out, how many were
    /// attacked, and how many linear programs it took.
    fn run(&self, statements: &[Statement]) -> (Vec<String>, usize, usize) {
        let small = self.small_groups();
        let mut attacker = Attacker::new(statements, &self.truth);
        let found = small
            .iter()
            .filter(|crossed| !attacker.is_wide(&crossed.cells, WIDTH))
            .map(|crossed| format!("{}: {} reports", crossed.name, crossed.reports));
        (found.collect(), small.len(), attacker.solved)
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let wanted = std::env::var(variable);
    wanted.map_or(default, |wanted| wanted.parse().expect("a number"))
}

/// Looks at each data set, several at once.
fn each(look: impl Fn(u64, &Attack) + Sync) {
    let first = number(FIRST_VARIABLE, 0);
    let next = AtomicU64::new(first);
    let end = first + number(SETS_VARIABLE, SETS_DEFAULT);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if end <= seed {
                        return;
                    }
                    look(seed, &Attack::new(seed));
                }
            });
        }
    });
}

#[test]
fn published_editions_tell_nothing_of_crossed_groups_of_one_to_nine() {
    let seen = Seen::default();
    each(|seed, attack| {
        sums_are_right(seed, attack);
        each_report_is_in_one_line_part_at_most(seed, attack);
        what_is_left_out_or_late_is_of_ten_people(seed, attack, &seen);
        let statements = attack.statements();
        let Attack {
            data,
            editions,
            rows,
            truth,
        } = attack;
        let rated = rated::check_rates(data, editions, rows, truth);
        let shares = rated::check_shares(&attack.rows);
        let (found, groups, programs) = attack.run(&statements);
        assert!(found.is_empty(), "data set {seed}: {found:#?}");
        let is_quarter = attack.rows.iter().any(|row| row.month.is_none());
        let has_unknown = attack
            .rows
            .iter()
            .any(|row| row.value["operator_code"] == NOT_SAID && row.key == Key::Total);
        let bounds = statements.iter().filter(|one| one.known != Known::Exactly);
        for (counter, more) in [
            (&seen.groups, groups),
            (&seen.programs, programs),
            (&seen.quarters, usize::from(is_quarter)),
            (&seen.rates, rated.rates),
            (&seen.for_days, rated.for_days),
            (&seen.of_several, rated.of_several),
            (&seen.shares, shares),
            (&seen.widened, rated.widened),
            (&seen.of_unknown, usize::from(has_unknown)),
            (&seen.bounds, bounds.count()),
        ] {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    });
    for (name, counter) in [
        ("groups", seen.groups),
        ("linear programs", seen.programs),
        ("quarters with lines", seen.quarters),
        ("rates", seen.rates),
        ("rates withheld for days without taps", seen.for_days),
        ("rows set against several feeds", seen.of_several),
        ("bounds told by rates", seen.bounds),
        ("shares", seen.shares),
        ("intervals widened by days", seen.widened),
        ("data sets with an operator unknown", seen.of_unknown),
        ("counts of what was left out", seen.left_out),
        ("counts of what came too late", seen.too_late),
    ] {
        let count = counter.into_inner();
        println!("{count} {name}");
        assert!(0 < count, "there were no {name} to attack");
    }
}

/// Parts and rests sum to their parent, whether it is a month, an operator or an answer.
fn sums_are_right(seed: u64, attack: &Attack) {
    let rows = &attack.rows;
    let of_table = |row: &Row| (row.month, row.operator, row.table.clone());
    let tables: BTreeSet<_> = rows.iter().map(of_table).collect();
    let count = |month, operator, table: &str, key: &Key| {
        let found = rows.iter().find(|row| {
            (row.month, row.operator, row.table.as_str(), &row.key) == (month, operator, table, key)
        });
        found.map(|row| row.count)
    };
    for (month, operator, table) in tables.into_iter().filter(|table| table.0.is_some()) {
        let in_table = rows
            .iter()
            .filter(|row| (row.month, row.operator, &row.table) == (month, operator, &table));
        let sum: u64 = in_table.map(|row| row.count).sum();
        let answered = match table.split_once('/') {
            Some(("staff-act", _) | ("outcome-answered", "with-staff")) => Some("staff-answered"),
            Some(("outcome", "any-that-harms")) => Some("staff-answered"),
            Some(("outcome", _)) => Some("outcome-answered"),
            _ => None,
        };
        let total = count(month, operator, "", &Key::Total).expect("a total");
        let yes = answered.and_then(|answered| {
            let yes = attack.data.universe.find(answered, "yes")?;
            count(month, operator, answered, &Key::Class(yes))
        });
        if table.ends_with("any-that-helps") || table.ends_with("any-that-harms") {
            // Of those who answered both, which is published in its turn.
            let both = attack
                .data
                .universe
                .find("outcome-answered/with-staff", "yes");
            let both = both.and_then(|both| {
                count(
                    month,
                    operator,
                    "outcome-answered/with-staff",
                    &Key::Class(both),
                )
            });
            assert_eq!(sum, both.unwrap_or(sum), "data set {seed}: {table}");
            continue;
        }
        assert_eq!(sum, yes.unwrap_or(total), "data set {seed}: {table}");
    }
}

/// No line of a quarter is one of its months, and what is in no part is in the rest.
fn each_report_is_in_one_line_part_at_most(seed: u64, attack: &Attack) {
    let lines = |operator| {
        let rows = attack.rows.iter();
        rows.filter(move |row: &&Row| row.table == "line" && row.operator == operator)
    };
    for rest in attack
        .rows
        .iter()
        .filter(|row| row.month.is_none() && row.key == Key::Rest)
    {
        let rest_of = rest.operator;
        let of_months = || lines(rest.operator).filter(|row| row.month.is_some());
        let of_quarter = || lines(rest.operator).filter(|row| row.month.is_none());
        for part in of_quarter().filter(|row| row.key != Key::Rest) {
            assert!(
                of_months().all(|row| row.key != part.key),
                "data set {seed}: {part:?}"
            );
        }
        let in_no_part = |month: usize| {
            let mut lines = of_months().filter(|row| row.month == Some(month));
            let is_shown = lines.clone().next().is_some();
            let rest = lines.find(|row| row.key == Key::Rest);
            let all = attack.rows.iter().find(|row| {
                let is_total = row.key == Key::Total && row.operator == rest_of;
                is_total && row.month == Some(month)
            });
            rest.or(all.filter(|_| !is_shown))
                .map_or(0, |row| row.count)
        };
        let rests: u64 = (0..MONTHS).map(in_no_part).sum();
        let quarter: u64 = of_quarter().map(|row| row.count).sum();
        assert_eq!(quarter, rests, "data set {seed}");
    }
}

/// What an edition says of reports that it does not count, and of outages.
fn what_is_left_out_or_late_is_of_ten_people(seed: u64, attack: &Attack, seen: &Seen) {
    let reporters = |told: &[&data::Told]| {
        let reporters: BTreeSet<_> = told.iter().map(|told| told.reporter).collect();
        reporters.len()
    };
    let shown = |told: &[&data::Told]| {
        let is_shown = told.is_empty() || REPORTERS_MIN <= reporters(told);
        is_shown.then_some(told.len() as u64)
    };
    for (month, edition) in attack.editions.iter().enumerate() {
        let (_, left_out) = attack.data.counted(month);
        let expected = shown(&left_out);
        assert_eq!(edition["left_out"].as_u64(), expected, "data set {seed}");
        let told = attack.data.told.iter().filter(|told| {
            told.fate == Fate::TooLate && told.month + 1 == month && !attack.data.are_observed
        });
        let too_late = shown(&told.collect::<Vec<_>>());
        assert_eq!(edition["too_late"].as_u64(), too_late, "data set {seed}");
        assert_eq!(edition["outages"], Value::Null, "none was declared");
        let counted = |value: Option<u64>| usize::from(value.is_some_and(|count| 0 < count));
        seen.left_out
            .fetch_add(counted(expected), Ordering::Relaxed);
        seen.too_late
            .fetch_add(counted(too_late), Ordering::Relaxed);
    }
}

/// The first data set that is broken by what one more thing tells.
fn first_broken(more: impl Fn(&Attack) -> Vec<Statement>) -> Option<u64> {
    let is_broken = |seed: &u64| {
        let attack = Attack::new(*seed);
        let mut statements = attack.statements();
        statements.extend(more(&attack));
        !attack.run(&statements).0.is_empty()
    };
    (0..CONTROL_SETS).find(is_broken)
}

#[test]
fn control_with_independent_national_tables_is_broken() {
    let broken = first_broken(|attack| {
        let national = record::publish(&attack.data, false);
        let rows = published::rows(&attack.data, &national);
        // A line is of one operator.
        let rows = rows.into_iter().filter(|row| row.table != "line");
        // Of all, whose operators nobody named.
        let rows = rows.map(|row| Row {
            operator: None,
            ..row
        });
        let rows: Vec<_> = rows.collect();
        let said = published::statements(&attack.data, &rows).into_iter();
        let exactly = |(cells, sum)| Statement {
            cells,
            known: Known::Exactly,
            sum,
        };
        said.map(exactly).collect()
    });
    println!("broken first: {broken:?}");
    assert!(
        broken.is_some(),
        "the attack would find nothing whatever was published"
    );
}

#[test]
fn control_with_rates_that_ask_the_record_who_is_matched_is_broken() {
    let broken = first_broken(|attack| {
        let judge =
            |(feed, month)| rated::judge_by_record(&attack.data, &attack.truth, feed, month);
        attack.feeds().filter_map(judge).collect()
    });
    println!("broken first: {broken:?}");
    assert!(
        broken.is_some(),
        "rates would tell nothing whatever they asked"
    );
}
