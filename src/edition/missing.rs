//! What of all that an edition was made of is known no longer, and what that can explain.
//!
//! Names are erased and single incidents end, so that an edition may come out otherwise later
//! than it was closed. Facts of reports stay where names go, and of what ended it is known where it
//! was: so little can be missing, and whatever that cannot have touched must come out as it was.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{Edition, Row};
use super::gather::{NamesErased, Report};
use super::reporters::Names;
use super::rows::{OPERATOR, basis_key};
use super::tables::NOT_SAID;
use crate::domain::Basis;
use crate::domain::limits::COUNTED_REPORTS_PER_MONTH_MAX;

const EXACT: &str = "exact";

/// By how many reports a count can differ because one report is missing or has lost its names:
/// itself, and another of the same reporter that counts in its place.
const SHIFT_OF_ONE: u64 = 1;
/// The same where that report may have said that a card and an installation are of one reporter,
/// who has become two: each of them has its reports of the month counted.
const SHIFT_OF_LINK: u64 = COUNTED_REPORTS_PER_MONTH_MAX as u64 + 2;

/// What is known no longer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Missing {
    /// Entries right before the month of which only the place is left. Each may have told of one
    /// tap of the month's first day.
    pub gone: u64,
    /// Reports of the month whose names are erased, observed ones included.
    pub erased: u64,
    /// The same of reports that came too late for the months before.
    pub erased_late: u64,
    /// The same of the month's self-reports.
    pub self_reports: Erased,
    /// Of self-reports and of observed ones, how many there are; empty if nothing is missing.
    pub most: BTreeMap<Basis, Most>,
    /// What is missing of the earlier months of the quarter that the month ends; `None` if it
    /// ends none.
    pub before: Option<MissingBefore>,
}

/// How many reports of one basis there are that tell something, whether they count or not: facts
/// stay where names go, so that no edition can have counted more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Most(BTreeMap<[String; 5], u64>);

/// What is known no longer of earlier months of a quarter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MissingBefore {
    /// As of the month.
    pub gone: u64,
    /// As of the month.
    pub erased: u64,
    /// Whether the journal no longer holds one of them.
    pub is_gone: bool,
}

/// Self-reports whose names are erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// How many.
    reports: u64,
    /// Of them, those that named both a card and an installation.
    links: u64,
    /// Operators of which another report may count than did, as editions call them.
    operators: BTreeSet<String>,
}

// === impl Most ===

impl Most {
    /// By what rows are about that have all reports.
    pub fn of(rows: &[Row]) -> Self {
        Self(rows.iter().map(|row| (told(row), row.count)).collect())
    }

    fn reports(&self, row: &Row) -> u64 {
        self.0.get(&told(row)).copied().unwrap_or(0)
    }
}

/// What the reports of a row tell.
fn told(row: &Row) -> [String; 5] {
    let all = [
        &row.operator_code,
        &row.dimension,
        &row.source,
        &row.key,
        &row.answer,
    ];
    all.map(String::clone)
}

// === impl Erased ===

impl Erased {
    /// Of all self-reports of a month, in the order of the journal, with the numbers of their
    /// reporters and whether they count.
    pub fn of(reports: &[&Report], numbers: &[u32], are_counted: &[bool]) -> Self {
        let is_erased = |report: &Report| report.erased != NamesErased::No;
        let erased = reports.iter().filter(|report| is_erased(report));
        let erased: Vec<&Report> = erased.copied().collect();
        let mut counted = BTreeMap::<u32, usize>::new();
        for (number, _) in numbers
            .iter()
            .zip(are_counted)
            .filter(|(_, counts)| **counts)
        {
            *counted.entry(*number).or_default() += 1;
        }
        // Reports of one reporter are counted in their order, one for each line and day, to a
        // limit; so one that is another's no more lets a later one count, and takes its place
        // among those of nobody. Only the limit reaches from one operator to another.
        let may_shift = |place: usize| {
            let report = reports[place];
            if report.is_uncountable {
                return false;
            }
            if report.names() == Names::default() {
                return !are_counted[place];
            }
            let told = counted.get(&numbers[place]).copied().unwrap_or(0) + erased.len();
            are_counted[place] && COUNTED_REPORTS_PER_MONTH_MAX < told
        };
        let touched = (0..reports.len()).filter(|place| {
            let report = reports[*place];
            !erased.is_empty() && (is_erased(report) || may_shift(*place))
        });
        let operator = |place: usize| {
            let operator = reports[place].operator.as_ref();
            operator
                .map_or(NOT_SAID, |operator| operator.as_str())
                .to_owned()
        };
        let links = erased
            .iter()
            .filter(|one| one.erased == NamesErased::WithLink);
        Self {
            reports: erased.len() as u64,
            links: links.count() as u64,
            operators: touched.map(operator).collect(),
        }
    }

    /// Whether figures of an operator may be others for it.
    fn may_touch(&self, operator: &str) -> bool {
        // Who has become two people may be so anywhere.
        0 < self.links || self.operators.contains(operator)
    }
}

// === impl Missing ===

impl Missing {
    /// Reports whose names are erased, those of earlier months that it was made of included.
    pub fn erased(&self) -> u64 {
        let before = self.before.map_or(0, |before| before.erased);
        self.erased + self.erased_late + before
    }

    /// Whether reports may be missing that a clock that was fast told before a month began.
    pub fn is_cut(&self) -> bool {
        0 < self.gone || self.before.is_some_and(|before| 0 < before.gone)
    }

    /// Whether it can be for this that the edition that was closed is made otherwise now.
    pub fn explains(&self, closed: &Edition, made: &Edition) -> bool {
        let is_any = 0 < self.erased() || self.is_cut();
        let is_any = is_any || self.before.is_some_and(|before| before.is_gone);
        let [closed_rows, made_rows] = [closed, made].map(Rows::of);
        is_any
            && closed != made
            && self.explains_head(closed, made)
            && self.explains_month(&closed_rows.of_month, &made_rows.of_month)
            && (closed_rows.of_quarter == made_rows.of_quarter || self.touches_quarter())
    }

    fn touches_quarter(&self) -> bool {
        let is_any = |before: MissingBefore| before.is_gone || 0 < before.gone || 0 < before.erased;
        self.before
            .is_some_and(|before| is_any(before) || 0 < self.gone || 0 < self.erased)
    }

    fn explains_head(&self, closed: &Edition, made: &Edition) -> bool {
        let blank = |edition: &Edition| Edition {
            networks: Vec::new(),
            left_out: None,
            too_late: None,
            rows: Vec::new(),
            ..edition.clone()
        };
        let networks: BTreeSet<_> = closed.networks.iter().collect();
        let are_networks_left = made
            .networks
            .iter()
            .all(|version| networks.contains(version));
        let has_lost = 0 < self.gone || 0 < self.self_reports.reports;
        // The number is of reports, and only whether it may be told is of their names.
        let is_late_told = closed.too_late.is_none() || made.too_late.is_none();
        blank(closed) == blank(made)
            && (closed.networks == made.networks || (0 < self.gone && are_networks_left))
            && (closed.left_out == made.left_out || has_lost)
            && (closed.too_late == made.too_late || (0 < self.erased_late && is_late_told))
    }

    /// Rows of the month, without those of its quarter.
    fn explains_month(&self, closed: &[&Row], made: &[&Row]) -> bool {
        [Basis::Observed, Basis::SelfReported]
            .into_iter()
            .all(|basis| {
                let [closed, made] = [closed, made].map(|rows| {
                    let rows = rows.iter().copied();
                    let rows = rows.filter(|row| row.basis == basis_key(basis));
                    rows.collect::<Vec<_>>()
                });
                match (basis, self.gone, self.self_reports.reports) {
                    (Basis::Observed, 0, _) | (Basis::SelfReported, 0, 0) => closed == made,
                    _ => self.explains_rows(basis, &closed, &made),
                }
            })
    }

    /// Rows of one basis.
    fn explains_rows(&self, basis: Basis, closed: &[&Row], made: &[&Row]) -> bool {
        let shift = self.shift(basis);
        let may_be_other = |operator: &str| {
            operator.is_empty() || 0 < self.gone || self.self_reports.may_touch(operator)
        };
        let by_key: BTreeMap<_, &Row> = made.iter().map(|row| (key(row), *row)).collect();
        let is_near = |row: &&Row| {
            // What is not published apart any more is in the rest.
            let Some(now) = by_key.get(&key(row)).filter(|_| row.flag == EXACT) else {
                return true;
            };
            // Taps are not of reporters.
            let has_taps = 0 == self.gone && row.taps.is_some() && now.taps.is_some();
            let are_taps = |row: &Row| (row.taps, row.denominator_source.clone(), row.coverage);
            let shift = if may_be_other(&row.operator_code) {
                shift
            } else {
                0
            };
            row.count.abs_diff(now.count) <= shift && (!has_taps || are_taps(row) == are_taps(now))
        };
        let most = |row: &Row| self.most.get(&basis).map_or(0, |most| most.reports(row));
        // Each entry that is gone may have been one more.
        let is_possible = |row: &&Row| row.flag != EXACT || row.count <= most(row) + self.gone;
        let [closed_by, made_by] = [closed, made].map(by_operator);
        let is_as_it_was = |(operator, rows): (&&str, &Vec<&Row>)| {
            // Whether an operator stands alone depends on the others.
            may_be_other(operator) || made_by.get(operator).is_none_or(|made| made == rows)
        };
        closed.iter().all(is_possible)
            && closed.iter().all(is_near)
            && closed_by.iter().all(is_as_it_was)
    }

    /// By how many reports any count of one basis may differ.
    fn shift(&self, basis: Basis) -> u64 {
        let Erased { reports, links, .. } = self.self_reports;
        match basis {
            // Each is its own reporter.
            Basis::Observed => self.gone,
            Basis::SelfReported => {
                (reports - links) * SHIFT_OF_ONE + (links + self.gone) * SHIFT_OF_LINK
            }
        }
    }
}

/// The rows of an edition.
struct Rows<'a> {
    of_month: Vec<&'a Row>,
    of_quarter: Vec<&'a Row>,
}

impl<'a> Rows<'a> {
    fn of(edition: &'a Edition) -> Self {
        let begin = format!("{}-01", edition.month);
        let is_of_month = |row: &&Row| row.period_start == begin;
        let (of_month, of_quarter) = edition.rows.iter().partition(is_of_month);
        Self {
            of_month,
            of_quarter,
        }
    }
}

/// What a row is about.
fn key(row: &Row) -> [&str; 7] {
    [
        &row.operator_code,
        &row.dimension,
        &row.source,
        &row.key,
        &row.answer,
        &row.flag,
        &row.period_end,
    ]
}

/// The tables of each operator that stands alone, without its row in the table of operators.
fn by_operator<'a>(rows: &[&'a Row]) -> BTreeMap<&'a str, Vec<&'a Row>> {
    let mut by_operator = BTreeMap::<&str, Vec<&Row>>::new();
    for row in rows {
        if !row.operator_code.is_empty() && row.dimension != OPERATOR {
            by_operator.entry(&row.operator_code).or_default().push(row);
        }
    }
    by_operator
}
