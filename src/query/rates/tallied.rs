//! Counts the reports of a question, and those of them that are matched, from tallies: day by
//! day, or by the hour where hours matter or were told only in part.
//!
//! All reports of a column and hour are matched or none is, but for those set apart. Days of
//! which that cannot be said are handed back, to be scanned.

use hashbrown::HashMap;

use crate::domain::limits::DIMENSIONS_MAX;
use crate::domain::{Calendar, Dimension, Hour, LocalDay, Question};
use crate::ledger::{Attribute, Reason};

use super::super::axis::is_time;
use super::super::plan::{self, Source};
use super::super::row_filter::{self, RowFilter};
use super::book::{Columns, RateBook, take, take_where};
use super::days::{ALL, Days, Rule, Verdict, hours_of, is_told};
use super::inputs::RateJob;
use super::keys::{Numbers, RowKeys, date_number};
use super::matched::Matches;

/// Counts what it can, and gives the days that it cannot, rising. Days of the window that do
/// not lie wholly inside are among them.
pub(super) fn count(
    book: &RateBook,
    job: &RateJob<'_>,
    days: &mut Days<'_>,
) -> (Matches, Vec<LocalDay>) {
    let RateJob { question, keys, .. } = *job;
    let mut counter = Counter::new(book, question, keys);
    counter.need_scope = need_scope(&days.rules);
    let mut unclear = Vec::new();
    for day in question.window.days() {
        if !question.filter.takes_day(day) {
            continue;
        }
        let verdict = match question.window.contains_day(day) {
            true => days.take(day),
            false => Verdict::Unclear,
        };
        match verdict {
            Verdict::Unclear => unclear.push(day),
            Verdict::Whole if !counter.needs_hours => counter.count_day(day, days),
            Verdict::Whole | Verdict::ByHour => counter.count_hours(day, days),
        }
    }
    (counter.matches, unclear)
}

/// Which columns count, and in which rows.
struct Picked {
    /// Whether all columns count.
    is_all: bool,
    /// Those that count.
    columns: Vec<u32>,
    /// Those that count in rows, with their group: what rows tell of them beside time.
    grouped: Vec<(u32, u32)>,
    groups: usize,
    /// Where all operators count alike: columns of each, and how many of `grouped` are the
    /// first's. Then they are added up many at a time.
    alike: Option<(usize, usize)>,
}

struct Counter<'a> {
    book: &'a RateBook,
    question: &'a Question,
    /// The dimensions of time, with their places in the breakdown.
    times: Vec<(usize, Dimension)>,
    picked: Picked,
    /// Columns of the tally of every report, by operator, that count; where the total is not
    /// the sum of the columns.
    totals: Option<Vec<u32>>,
    /// Whether the tally of every report also tells how many are matched.
    matches_totals: bool,
    /// Groups and rows by the numbers of time.
    rows: HashMap<Numbers, Vec<(u32, u32)>>,
    needs_hours: bool,
    /// By column every bit, if the line must be known for a report to be matched.
    need_scope: Vec<u32>,
    matches: Matches,
    total: usize,
    // Reports and matched ones by column, then by group.
    reports: Vec<u32>,
    matched: Vec<u32>,
    group_reports: Vec<u32>,
    group_matched: Vec<u32>,
    /// Counts by value, of all operators.
    values: Vec<u32>,
    /// Reports of the hours of a day, by column.
    of_hours: Vec<u32>,
    all_reports: Vec<u32>,
    all_matched: Vec<u32>,
}

/// When reports are counted.
#[derive(Clone, Copy)]
enum When {
    Day(LocalDay),
    /// The hour of day is known.
    Hour(LocalDay, Hour),
    /// Reports of the day whose hour is not known.
    Rest(LocalDay),
}

impl When {
    fn day(self) -> LocalDay {
        match self {
            Self::Day(day) | Self::Hour(day, ..) | Self::Rest(day) => day,
        }
    }
}

impl<'a> Counter<'a> {
    fn new(book: &'a RateBook, question: &'a Question, keys: &RowKeys) -> Self {
        let by = question.by.dimensions();
        let row_filter = RowFilter::new(&question.filter, &book.dictionary);
        let times = by.iter().copied().enumerate();
        let times: Vec<_> = times.filter(|(_, dimension)| is_time(*dimension)).collect();
        let mut groups = HashMap::new();
        let mut rows = HashMap::<Numbers, Vec<(u32, u32)>>::new();
        for (row, numbers) in (0..).zip(keys.rows()) {
            let (mut of_time, mut rest) = (Numbers::default(), *numbers);
            for (place, _) in &times {
                of_time[*place] = std::mem::take(&mut rest[*place]);
            }
            let next = u32::try_from(groups.len()).expect("a page is bounded");
            let group = *groups.entry(rest).or_insert(next);
            rows.entry(of_time).or_default().push((group, row));
        }
        let width = book.width(book.source);
        let picked = Picked::new(book, question, &row_filter, &groups);
        let (totals, matches_totals) = totals(book, question, &row_filter);
        let total_width = book.width(Source::Attribute(Attribute::Total));
        Self {
            book,
            question,
            times,
            totals,
            matches_totals,
            rows,
            needs_hours: plan::needs_hours_of_day(question),
            need_scope: Vec::new(),
            matches: Matches::new(keys.total() + 1),
            total: keys.total(),
            reports: vec![0; width],
            matched: vec![0; width],
            group_reports: vec![0; picked.groups],
            group_matched: vec![0; picked.groups],
            values: vec![0; picked.alike.map_or(0, |(slots, _)| slots)],
            of_hours: vec![0; width.max(total_width)],
            all_reports: vec![0; total_width],
            all_matched: vec![0; total_width],
            picked,
        }
    }

    fn count_day(&mut self, day: LocalDay, days: &Days<'_>) {
        let book = self.book;
        let when = When::Day(day);
        self.reports.fill(0);
        book.own.add_day(day, &mut self.reports);
        self.matched.copy_from_slice(&self.reports);
        take_of_day(&book.own, day, &days.rules, &mut self.matched);
        mask(&mut self.matched, &days.told, |hours| hours == ALL);
        self.put_own(when);
        if self.totals.is_some() {
            let rules = self.total_rules(days);
            self.all_reports.fill(0);
            book.own_total.add_day(day, &mut self.all_reports);
            self.all_matched.copy_from_slice(&self.all_reports);
            take_of_day(&book.own_total, day, &rules.0, &mut self.all_matched);
            mask(&mut self.all_matched, &rules.1, |hours| hours == ALL);
            self.put_total(when);
        }
        if !self.has_others(day) {
            return;
        }
        self.reports.fill(0);
        book.others.add_day(day, &mut self.reports);
        self.all_reports.fill(0);
        if self.totals.is_some() {
            book.others_total.add_day(day, &mut self.all_reports);
        }
        self.put_others(when);
    }

    fn count_hours(&mut self, day: LocalDay, days: &Days<'_>) {
        let calendar = Calendar::get();
        let wanted = self.question.filter.hours_of_day;
        for (place, hour) in hours_of(day) {
            let hour_of_day = calendar.hour_of_day(day, hour);
            if wanted == 0 || wanted >> hour_of_day & 1 == 1 {
                self.count_hour(When::Hour(day, hour), hour, place, days);
            }
        }
        // With hours of day asked for, those known only to the day do not count.
        if wanted == 0 {
            self.count_rest(day, days);
        }
    }

    fn count_hour(&mut self, when: When, hour: Hour, place: usize, days: &Days<'_>) {
        let book = self.book;
        self.reports.fill(0);
        book.own.add_hour(hour, &mut self.reports);
        self.matched.copy_from_slice(&self.reports);
        take_of_hour(&book.own, hour, &self.need_scope, &mut self.matched);
        mask(&mut self.matched, &days.told, |hours| is_told(hours, place));
        self.put_own(when);
        if self.totals.is_some() {
            let (rules, told) = self.total_rules(days);
            self.all_reports.fill(0);
            book.own_total.add_hour(hour, &mut self.all_reports);
            self.all_matched.copy_from_slice(&self.all_reports);
            take_of_hour(
                &book.own_total,
                hour,
                &need_scope(&rules),
                &mut self.all_matched,
            );
            mask(&mut self.all_matched, &told, |hours| is_told(hours, place));
            self.put_total(when);
        }
        if !self.has_others(when.day()) {
            return;
        }
        self.reports.fill(0);
        book.others.add_hour(hour, &mut self.reports);
        self.all_reports.fill(0);
        if self.totals.is_some() {
            book.others_total.add_hour(hour, &mut self.all_reports);
        }
        self.put_others(when);
    }

    /// Reports of a day of which only the day is known: what the day has beyond its hours.
    fn count_rest(&mut self, day: LocalDay, days: &Days<'_>) {
        let book = self.book;
        let when = When::Rest(day);
        rest(&book.own, day, &mut self.reports, &mut self.of_hours);
        self.matched.fill(0);
        add_rest(&book.own, day, &days.rules, &days.told, &mut self.matched);
        self.put_own(when);
        if self.totals.is_some() {
            let (rules, told) = self.total_rules(days);
            rest(
                &book.own_total,
                day,
                &mut self.all_reports,
                &mut self.of_hours,
            );
            self.all_matched.fill(0);
            add_rest(&book.own_total, day, &rules, &told, &mut self.all_matched);
            self.put_total(when);
        }
        if !self.has_others(day) {
            return;
        }
        rest(&book.others, day, &mut self.reports, &mut self.of_hours);
        self.all_reports.fill(0);
        if self.totals.is_some() {
            let total = &book.others_total;
            rest(total, day, &mut self.all_reports, &mut self.of_hours);
        }
        self.put_others(when);
    }

    /// Whether the other basis has anything of a day. Most often it has not.
    fn has_others(&self, day: LocalDay) -> bool {
        self.book.others.has_day(day) || self.book.others_total.has_day(day)
    }

    /// What was told by operator, where the tally has several values for each.
    fn total_rules(&self, days: &Days<'_>) -> (Vec<Rule>, Vec<u32>) {
        let Source::Attribute(attribute) = self.book.source else {
            return (
                vec![Rule::default(); self.all_reports.len()],
                vec![0; self.all_reports.len()],
            );
        };
        let step = attribute.slots();
        (
            days.rules.iter().step_by(step).copied().collect(),
            days.told.iter().step_by(step).copied().collect(),
        )
    }

    /// Puts reports and matched ones into rows, and into the total if it is their sum.
    fn put_own(&mut self, when: When) {
        let picked = &self.picked;
        picked.add_up(&self.reports, &mut self.values, &mut self.group_reports);
        picked.add_up(&self.matched, &mut self.values, &mut self.group_matched);
        let day = when.day();
        if let Some(rows) = self.rows.get(&self.numbers(when)) {
            for (group, row) in rows {
                let reports = self.group_reports[*group as usize];
                let matched = self.group_matched[*group as usize];
                self.matches.rows[*row as usize].add_many(day, reports, matched);
            }
        }
        let reports = match self.totals {
            Some(_) => 0,
            None => self.picked.sum(&self.reports),
        };
        let matched = match self.matches_totals {
            true => 0,
            false => self.picked.sum(&self.matched),
        };
        self.matches.rows[self.total].add_sums(day, reports, matched);
    }

    fn put_total(&mut self, when: When) {
        let Some(columns) = &self.totals else { return };
        let sum = |of: &[u32]| {
            columns
                .iter()
                .map(|column| u64::from(of[*column as usize]))
                .sum()
        };
        let matched = match self.matches_totals {
            true => sum(&self.all_matched),
            false => 0,
        };
        let reports = sum(&self.all_reports);
        self.matches.rows[self.total].add_sums(when.day(), reports, matched);
    }

    fn put_others(&mut self, when: When) {
        let picked = &self.picked;
        picked.add_up(&self.reports, &mut self.values, &mut self.group_reports);
        if let Some(rows) = self.rows.get(&self.numbers(when)) {
            for (group, row) in rows {
                let others = self.group_reports[*group as usize];
                self.matches.rows[*row as usize].add_others(when.day(), others.into());
            }
        }
        let all = &self.all_reports;
        let others = match &self.totals {
            Some(columns) => columns
                .iter()
                .map(|column| u64::from(all[*column as usize]))
                .sum(),
            None => self.picked.sum(&self.reports),
        };
        self.matches.rows[self.total].add_others(when.day(), others);
    }

    /// The numbers of time of rows; of none where one of them is not known.
    fn numbers(&self, when: When) -> Numbers {
        let mut numbers = [0; DIMENSIONS_MAX];
        for (place, dimension) in &self.times {
            numbers[*place] = match (dimension, when) {
                (Dimension::HourOfDay, When::Hour(day, hour)) => {
                    u32::from(Calendar::get().hour_of_day(day, hour)) + 1
                }
                (Dimension::HourOfDay, _) => 0,
                (dimension, when) => date_number(*dimension, when.day()),
            };
        }
        numbers
    }
}

impl Picked {
    fn new(
        book: &RateBook,
        question: &Question,
        row_filter: &RowFilter,
        groups: &HashMap<Numbers, u32>,
    ) -> Self {
        let width = u32::try_from(book.width(book.source)).expect("tallies are bounded");
        let columns: Vec<u32> = (0..width)
            .filter(|column| takes(book, question, row_filter, *column))
            .collect();
        let by = question.by.dimensions();
        let group = |column: u32| {
            let mut numbers = Numbers::default();
            for (number, dimension) in numbers.iter_mut().zip(by) {
                if !is_time(*dimension) {
                    *number = book.number(column, *dimension);
                    if *number == 0 {
                        return None;
                    }
                }
            }
            groups.get(&numbers).copied()
        };
        let grouped = columns.iter();
        let grouped: Vec<_> = grouped
            .filter_map(|column| Some((*column, group(*column)?)))
            .collect();
        Self {
            is_all: columns.len() == width as usize,
            alike: alike(book, &grouped),
            grouped,
            columns,
            groups: groups.len(),
        }
    }

    /// Adds up columns by group. `values` is as wide as the columns of an operator.
    fn add_up(&self, of: &[u32], values: &mut [u32], sums: &mut [u32]) {
        sums.fill(0);
        let (of, grouped) = match self.alike {
            None => (of, &self.grouped[..]),
            Some((slots, first)) => {
                values.fill(0);
                for operator in of.chunks_exact(slots) {
                    for (value, count) in values.iter_mut().zip(operator) {
                        *value += count;
                    }
                }
                (&*values, &self.grouped[..first])
            }
        };
        for (column, group) in grouped {
            sums[*group as usize] += of[*column as usize];
        }
    }

    fn sum(&self, of: &[u32]) -> u64 {
        if self.is_all {
            return of.iter().map(|count| u64::from(*count)).sum();
        }
        let columns = self.columns.iter();
        columns.map(|column| u64::from(of[*column as usize])).sum()
    }
}

/// See `Picked::alike`. Columns rise.
fn alike(book: &RateBook, grouped: &[(u32, u32)]) -> Option<(usize, usize)> {
    let Source::Attribute(attribute) = book.source else {
        return None;
    };
    let slots = u32::try_from(attribute.slots()).expect("taxonomies are short");
    let first = grouped.partition_point(|(column, _)| *column < slots);
    if first == 0 || grouped.len() != first * book.dictionary.operators() {
        return None;
    }
    let mut operators = (0..).zip(grouped.chunks_exact(first));
    let are_alike = operators.all(|(operator, columns): (u32, _)| {
        let mut pairs = columns.iter().zip(grouped);
        pairs.all(|((column, group), one)| (*column, *group) == (operator * slots + one.0, one.1))
    });
    are_alike.then_some((attribute.slots(), first))
}

/// Whether the filter takes a column.
fn takes(book: &RateBook, question: &Question, row_filter: &RowFilter, column: u32) -> bool {
    match book.source {
        Source::Line => {
            row_filter.takes_line(column)
                && row_filter.takes_operator(book.operator(Source::Line, column))
        }
        Source::Stop => row_filter.takes_stop(column),
        Source::Attribute(attribute) => {
            let slots = u32::try_from(attribute.slots()).expect("taxonomies are short");
            let value = u8::try_from(column % slots).expect("taxonomies are short");
            row_filter.takes_operator(column / slots)
                && row_filter::takes_one(plan::mask(&question.filter, attribute), value)
        }
    }
}

/// The operators whose reports make the total, where it is not the sum of the columns: with
/// sets a report stands in several, and a report may have an operator and no line. And
/// whether what is matched is told so as well.
fn totals(
    book: &RateBook,
    question: &Question,
    row_filter: &RowFilter,
) -> (Option<Vec<u32>>, bool) {
    let filter = &question.filter;
    let (is_needed, is_of_sets) = match book.source {
        Source::Line => (
            filter.lines.is_empty() && !filter.operators.is_empty(),
            false,
        ),
        Source::Stop => (false, false),
        Source::Attribute(attribute) => {
            let is = plan::is_set(attribute) && plan::mask(filter, attribute) == 0;
            (is, is)
        }
    };
    let operators = 0..u32::try_from(book.dictionary.operators()).expect("few");
    let taken = operators.filter(|operator| row_filter.takes_operator(*operator));
    (is_needed.then(|| taken.collect()), is_of_sets)
}

/// Takes away what of a day's reports is not matched even if the day was told.
fn take_of_day(columns: &Columns, day: LocalDay, rules: &[Rule], matched: &mut [u32]) {
    let mut take = |reason, counts: &dyn Fn(Rule) -> bool| {
        let row = columns.less_of_day(reason, day);
        take_where(row, matched, |column| {
            rules.get(column).is_some_and(|rule| counts(*rule))
        });
    };
    take(Reason::KindUnknown, &|_| true);
    take(Reason::ScopeUnknown, &|rule| rule.needs_scope);
    take(Reason::ScopeAndHourUnknown, &|rule| {
        rule.needs_scope || !rule.is_by_day
    });
    take(Reason::HourUnknown, &|rule| !rule.is_by_day);
}

/// The same of an hour.
fn take_of_hour(columns: &Columns, hour: Hour, need_scope: &[u32], matched: &mut [u32]) {
    take(columns.less_of_hour(Reason::KindUnknown, hour), matched);
    if let Some(row) = columns.less_of_hour(Reason::ScopeUnknown, hour) {
        row.take_masked(matched, need_scope);
    }
}

/// By column every bit, or none.
fn need_scope(rules: &[Rule]) -> Vec<u32> {
    let mask = |rule: &Rule| if rule.needs_scope { u32::MAX } else { 0 };
    rules.iter().map(mask).collect()
}

/// Reports of which only the day is known.
fn rest(columns: &Columns, day: LocalDay, reports: &mut [u32], of_hours: &mut [u32]) {
    let reports = &mut reports[..];
    reports.fill(0);
    columns.add_day(day, reports);
    let of_hours = &mut of_hours[..reports.len()];
    of_hours.fill(0);
    for (_, hour) in hours_of(day) {
        columns.add_hour(hour, of_hours);
    }
    for (reports, of_hours) in reports.iter_mut().zip(of_hours) {
        *reports -= *of_hours;
    }
}

/// Those of them that are matched: where the feed tells by days.
fn add_rest(columns: &Columns, day: LocalDay, rules: &[Rule], told: &[u32], matched: &mut [u32]) {
    let mut add = |reason, counts: &dyn Fn(Rule) -> bool| {
        let Some(row) = columns.less_of_day(reason, day) else {
            return;
        };
        row.for_each_nonzero(|column, count| {
            let column = column as usize;
            let is_told = told.get(column) == Some(&ALL);
            if is_told && rules.get(column).is_some_and(|rule| counts(*rule)) {
                matched[column] += count;
            }
        });
    };
    add(Reason::HourUnknown, &|rule| rule.is_by_day);
    add(Reason::ScopeAndHourUnknown, &|rule| {
        rule.is_by_day && !rule.needs_scope
    });
}

fn mask(matched: &mut [u32], told: &[u32], is_told: impl Fn(u32) -> bool) {
    for (matched, hours) in matched.iter_mut().zip(told) {
        if !is_told(*hours) {
            *matched = 0;
        }
    }
}
