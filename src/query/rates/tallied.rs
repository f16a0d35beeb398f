//! Counts the reports of a question, and those of them that are matched, from tallies: day by
//! day, or by the hour where hours matter or were told only in part.
//!
//! All reports of a column and hour are matched or none is, but for those set apart. Days of
//! which that cannot be said are handed back, to be scanned.

use hashbrown::HashMap;

use crate::domain::limits::DIMENSIONS_MAX;
use crate::domain::{Calendar, Dimension, Hour, LocalDay, Question};
use crate::ledger::{Attribute, Reason};

use super::super::QueryError;
use super::super::axis::is_time;
use super::super::plan::{self, Source};
use super::super::row_filter::RowFilter;
use super::book::{Columns, RateBook, take, take_where};
use super::days::{ALL, Days, Rule, Told, Verdict, hours_of, is_told};
use super::inputs::RateJob;
use super::keys::{Numbers, RowKeys, date_number};
use super::matched::{Counted, Matches};
use super::picked::Picked;
use super::sums::DaySums;

/// Counts what it can, and gives the days that it cannot, rising. Days of the window that do
/// not lie wholly inside are among them. Of all days it adds up what feeds told as wholes.
pub(super) fn count(
    book: &RateBook,
    job: &RateJob<'_>,
    days: &mut Days<'_>,
    sums: &mut DaySums<'_>,
) -> Result<(Matches, Vec<LocalDay>), QueryError> {
    let RateJob { question, keys, .. } = *job;
    let mut counter = Counter::new(book, question, keys, &days.told);
    let all = job.all_refusals();
    let of_all = all.map(|all| (all, book.of_operators()));
    // Who asks for some refusals asks for values of an attribute, of which each operator has as many.
    let columns = book.width(book.source) / book.dictionary.operators().max(1);
    let mut refusals = of_all.as_ref().map(|(all, book)| {
        let told = days.told.by_operator(columns);
        Counter::new(book, &all.question, &all.keys, &told)
    });
    let mut unclear = Vec::new();
    for day in question.window.days() {
        if !question.filter.takes_day(day) {
            continue;
        }
        days.read(day)?;
        sums.add_day(day, days.heads(day));
        let verdict = if question.window.contains_day(day) {
            days.take(day)
        } else {
            Verdict::Unclear
        };
        match verdict {
            Verdict::Unclear => unclear.push(day),
            Verdict::Whole | Verdict::ByHour => {
                counter.count(day, verdict, &days.told);
                if let Some(refusals) = &mut refusals {
                    refusals.count(day, verdict, &days.told.by_operator(columns));
                }
            }
        }
    }
    let matches = Matches {
        rows: counter.rows.reports,
        refusals: refusals.map(|refusals| refusals.rows.reports),
    };
    Ok((matches, unclear))
}

/// Reports, and those of them that are matched: by column, or by group of columns.
struct Sums {
    reports: Vec<u32>,
    matched: Vec<u32>,
}

/// The tally of every report, by operator, where the total is not the sum of the columns.
struct Every {
    /// Those of its columns that count.
    columns: Vec<u32>,
    /// Whether it also tells how many are matched.
    tells_matched: bool,
    sums: Sums,
}

/// The rows that are counted into.
struct Rows {
    /// The dimensions of time, with their places in the breakdown.
    times: Vec<(usize, Dimension)>,
    /// Groups and rows by the numbers of time.
    by_time: HashMap<Numbers, Vec<(u32, u32)>>,
    /// By row; those of all rows, and of none, come last.
    reports: Vec<Counted>,
    /// The place of the total.
    total: usize,
}

struct Counter<'a> {
    book: &'a RateBook,
    question: &'a Question,
    needs_hours: bool,
    /// By column every bit, if the line must be known for a report to be matched.
    need_scope: Vec<u32>,
    picked: Picked,
    rows: Rows,
    by_column: Sums,
    by_group: Sums,
    every: Option<Every>,
    /// Counts by value, of all operators.
    values: Vec<u32>,
    /// Reports of the hours of a day, by column.
    of_hours: Vec<u32>,
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
    fn new(book: &'a RateBook, question: &'a Question, keys: &RowKeys, told: &Told) -> Self {
        let by = question.by.dimensions();
        let row_filter = RowFilter::new(&question.filter, &book.dictionary);
        let (rows, groups) = Rows::new(by, keys);
        let width = book.width(book.source);
        let picked = Picked::new(book, question, &row_filter, &groups);
        let every = every(book, question, &row_filter);
        let every_width = every.as_ref().map_or(0, |every| every.sums.reports.len());
        Self {
            book,
            question,
            needs_hours: plan::needs_hours_of_day(question),
            need_scope: need_scope(&told.rules),
            rows,
            by_column: Sums::new(width),
            by_group: Sums::new(picked.groups),
            every,
            values: vec![0; picked.alike.map_or(0, |(slots, _)| slots)],
            of_hours: vec![0; width.max(every_width)],
            picked,
        }
    }

    /// Counts a day of which all or nothing was told of each column, or of some columns some hours.
    fn count(&mut self, day: LocalDay, verdict: Verdict, told: &Told) {
        match self.needs_hours || verdict == Verdict::ByHour {
            true => self.count_hours(day, told),
            false => self.count_day(day, told),
        }
    }

    fn count_day(&mut self, day: LocalDay, told: &Told) {
        let book = self.book;
        let when = When::Day(day);
        let Sums { reports, matched } = &mut self.by_column;
        reports.fill(0);
        book.own.add_day(day, reports);
        matched.copy_from_slice(reports);
        take_of_day(&book.own, day, &told.rules, matched);
        mask(matched, &told.hours, |hours| hours == ALL);
        self.put_own(when);
        if let Some(every) = &mut self.every {
            let told = every.told(book, told);
            let Sums { reports, matched } = &mut every.sums;
            reports.fill(0);
            book.own_total.add_day(day, reports);
            matched.copy_from_slice(reports);
            take_of_day(&book.own_total, day, &told.rules, matched);
            mask(matched, &told.hours, |hours| hours == ALL);
            self.put_every(when);
        }
        if !self.has_others(day) {
            return;
        }
        self.by_column.reports.fill(0);
        book.others.add_day(day, &mut self.by_column.reports);
        if let Some(every) = &mut self.every {
            every.sums.reports.fill(0);
            book.others_total.add_day(day, &mut every.sums.reports);
        }
        self.put_others(when);
    }

    fn count_hours(&mut self, day: LocalDay, told: &Told) {
        let calendar = Calendar::get();
        let wanted = self.question.filter.hours_of_day;
        for (place, hour) in hours_of(day) {
            let hour_of_day = calendar.hour_of_day(day, hour);
            if wanted == 0 || wanted >> hour_of_day & 1 == 1 {
                self.count_hour(When::Hour(day, hour), hour, place, told);
            }
        }
        // With hours of day asked for, those known only to the day do not count.
        if wanted == 0 {
            self.count_rest(day, told);
        }
    }

    fn count_hour(&mut self, when: When, hour: Hour, place: usize, told: &Told) {
        let book = self.book;
        let Sums { reports, matched } = &mut self.by_column;
        reports.fill(0);
        book.own.add_hour(hour, reports);
        matched.copy_from_slice(reports);
        take_of_hour(&book.own, hour, &self.need_scope, matched);
        mask(matched, &told.hours, |hours| is_told(hours, place));
        self.put_own(when);
        if let Some(every) = &mut self.every {
            let told = every.told(book, told);
            let Sums { reports, matched } = &mut every.sums;
            reports.fill(0);
            book.own_total.add_hour(hour, reports);
            matched.copy_from_slice(reports);
            take_of_hour(&book.own_total, hour, &need_scope(&told.rules), matched);
            mask(matched, &told.hours, |hours| is_told(hours, place));
            self.put_every(when);
        }
        if !self.has_others(when.day()) {
            return;
        }
        self.by_column.reports.fill(0);
        book.others.add_hour(hour, &mut self.by_column.reports);
        if let Some(every) = &mut self.every {
            every.sums.reports.fill(0);
            book.others_total.add_hour(hour, &mut every.sums.reports);
        }
        self.put_others(when);
    }

    /// Reports of a day of which only the day is known: what the day has beyond its hours.
    fn count_rest(&mut self, day: LocalDay, told: &Told) {
        let book = self.book;
        let when = When::Rest(day);
        let Sums { reports, matched } = &mut self.by_column;
        rest(&book.own, day, reports, &mut self.of_hours);
        matched.fill(0);
        add_rest(&book.own, day, told, matched);
        self.put_own(when);
        if let Some(every) = &mut self.every {
            let told = every.told(book, told);
            let Sums { reports, matched } = &mut every.sums;
            rest(&book.own_total, day, reports, &mut self.of_hours);
            matched.fill(0);
            add_rest(&book.own_total, day, &told, matched);
            self.put_every(when);
        }
        if !self.has_others(day) {
            return;
        }
        let others = &mut self.by_column.reports;
        rest(&book.others, day, others, &mut self.of_hours);
        if let Some(every) = &mut self.every {
            let others = &mut every.sums.reports;
            rest(&book.others_total, day, others, &mut self.of_hours);
        }
        self.put_others(when);
    }

    /// Whether the other basis has anything of a day. Most often it has not.
    fn has_others(&self, day: LocalDay) -> bool {
        self.book.others.has_day(day) || self.book.others_total.has_day(day)
    }

    /// Puts reports and matched ones into rows, and into the total if it is their sum.
    fn put_own(&mut self, when: When) {
        let Self {
            picked,
            rows,
            by_column,
            by_group,
            every,
            values,
            ..
        } = self;
        picked.add_up(&by_column.reports, values, &mut by_group.reports);
        picked.add_up(&by_column.matched, values, &mut by_group.matched);
        let day = when.day();
        if let Some(groups) = rows.by_time.get(&rows.numbers(when)) {
            for (group, row) in groups {
                let reports = by_group.reports[*group as usize];
                let matched = by_group.matched[*group as usize];
                rows.reports[*row as usize].add_many(day, reports, matched);
            }
        }
        let (reports, matched) = match every {
            None => (
                picked.sum(&by_column.reports),
                picked.sum(&by_column.matched),
            ),
            Some(every) if every.tells_matched => (0, 0),
            Some(_) => (0, picked.sum(&by_column.matched)),
        };
        rows.reports[rows.total].add_sums(day, reports, matched);
    }

    fn put_every(&mut self, when: When) {
        let Some(every) = &self.every else { return };
        let reports = every.sum(&every.sums.reports);
        let matched = if every.tells_matched {
            every.sum(&every.sums.matched)
        } else {
            0
        };
        let total = self.rows.total;
        self.rows.reports[total].add_sums(when.day(), reports, matched);
    }

    fn put_others(&mut self, when: When) {
        let Self {
            picked,
            rows,
            by_column,
            by_group,
            every,
            values,
            ..
        } = self;
        picked.add_up(&by_column.reports, values, &mut by_group.reports);
        if let Some(groups) = rows.by_time.get(&rows.numbers(when)) {
            for (group, row) in groups {
                let others = by_group.reports[*group as usize];
                rows.reports[*row as usize].add_others(when.day(), others.into());
            }
        }
        let others = match every {
            Some(every) => every.sum(&every.sums.reports),
            None => picked.sum(&by_column.reports),
        };
        rows.reports[rows.total].add_others(when.day(), others);
    }
}

impl Sums {
    fn new(width: usize) -> Self {
        Self {
            reports: vec![0; width],
            matched: vec![0; width],
        }
    }
}

impl Every {
    /// What was told by operator, where the tally of columns has several values for each.
    fn told(&self, book: &RateBook, told: &Told) -> Told {
        match book.source {
            Source::Attribute(attribute) => told.by_operator(attribute.slots()),
            Source::Line | Source::Stop => Told::none(self.sums.reports.len()),
        }
    }

    fn sum(&self, of: &[u32]) -> u64 {
        let columns = self.columns.iter();
        columns.map(|column| u64::from(of[*column as usize])).sum()
    }
}

impl Rows {
    /// The rows of a page, and the groups of columns that they tell apart.
    fn new(by: &[Dimension], keys: &RowKeys) -> (Self, HashMap<Numbers, u32>) {
        let times = by.iter().copied().enumerate();
        let times: Vec<_> = times.filter(|(_, dimension)| is_time(*dimension)).collect();
        let mut groups = HashMap::new();
        let mut by_time = HashMap::<Numbers, Vec<(u32, u32)>>::new();
        for (row, numbers) in (0..).zip(keys.rows()) {
            let (mut of_time, mut rest) = (Numbers::default(), *numbers);
            for (place, _) in &times {
                of_time[*place] = std::mem::take(&mut rest[*place]);
            }
            let next = u32::try_from(groups.len()).expect("a page is bounded");
            let group = *groups.entry(rest).or_insert(next);
            by_time.entry(of_time).or_default().push((group, row));
        }
        let rows = Self {
            times,
            by_time,
            reports: vec![Counted::default(); keys.total() + 1],
            total: keys.total(),
        };
        (rows, groups)
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

/// The tally of the operators whose reports make the total, where that is not the sum of the
/// columns: with sets a report stands in several, and a report may have an operator and no line.
fn every(book: &RateBook, question: &Question, row_filter: &RowFilter) -> Option<Every> {
    let filter = &question.filter;
    let (is_needed, tells_matched) = match book.source {
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
    is_needed.then(|| Every {
        columns: taken.collect(),
        tells_matched,
        sums: Sums::new(book.width(Source::Attribute(Attribute::Total))),
    })
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
fn add_rest(columns: &Columns, day: LocalDay, told: &Told, matched: &mut [u32]) {
    let mut add = |reason, counts: &dyn Fn(Rule) -> bool| {
        let Some(row) = columns.less_of_day(reason, day) else {
            return;
        };
        row.for_each_nonzero(|column, count| {
            let column = column as usize;
            let is_told = told.hours.get(column) == Some(&ALL);
            if is_told && told.rules.get(column).is_some_and(|rule| counts(*rule)) {
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
