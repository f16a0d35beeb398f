//! The quarter ladder: classes that are published in no month of a quarter, for the quarter.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::sheet::{Name, distinct};
use super::{Group, Published, PublishedPart};
use crate::domain::limits::PUBLISHED_GROUP_MIN;

/// Classes of one table of one group that are published for a quarter, and for no month of
/// it. With the parts of the three months, and with the rest, they make up the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedQuarter {
    group: Name,
    parts: Vec<PublishedPart>,
    rest: u64,
}

impl PublishedQuarter {
    /// The group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The classes, by key.
    pub fn parts(&self) -> &[PublishedPart] {
        &self.parts
    }

    /// Reports of the quarter that are in no published part, of a month or of the quarter.
    pub fn rest(&self) -> u64 {
        self.rest
    }
}

/// What may be published of one table for a quarter, after its three months, in order. The
/// groups hold the reports that the months were screened from, but their reporters are numbered
/// alike in all three. Only groups that are published in all three months are looked at.
pub fn screen_quarter(table: &str, months: [(&[Group], &Published); 3]) -> Vec<PublishedQuarter> {
    let (_, first) = months[0];
    let groups = first.groups.iter().map(|group| &group.key);
    groups
        .filter_map(|group| screen_group(table, group, &months))
        .collect()
}

fn screen_group(
    table: &str,
    key: &Name,
    months: &[(&[Group], &Published); 3],
) -> Option<PublishedQuarter> {
    let mut told: BTreeMap<&Name, [Vec<u32>; 3]> = BTreeMap::new();
    let mut published = BTreeSet::new();
    for (place, (groups, month)) in months.iter().enumerate() {
        let shown = month.group(key)?.table(table)?;
        let sheet = &groups.iter().find(|group| group.key == *key)?.sheet;
        let table = sheet.table(table)?;
        published.extend(shown.parts.iter().map(|part| &part.key));
        for row in sheet.rows() {
            let Some(class) = sheet.class_of(table, row) else {
                continue;
            };
            let class = &sheet.tables[table].keys[class];
            if shown.part(class).is_none() {
                told.entry(class).or_default()[place].push(sheet.reporters()[row]);
            }
        }
    }
    let (mut parts, mut rest): (Vec<_>, Vec<_>) = told.into_iter().partition(|(class, told)| {
        !published.contains(class) && PUBLISHED_GROUP_MIN <= reporters(told)
    });
    // The fewest reports last, and of those the first by key.
    parts.sort_by_key(|(class, told)| (Reverse(reports(told)), Reverse(*class)));
    while !hides(&parts, &rest) {
        rest.push(parts.pop()?);
    }
    if parts.is_empty() {
        return None;
    }
    parts.sort();
    let part = |(class, told): (&Name, [Vec<u32>; 3])| PublishedPart {
        key: class.clone(),
        reports: reports(&told),
    };
    Some(PublishedQuarter {
        group: key.clone(),
        rest: rest.iter().map(|(_, told)| reports(told)).sum(),
        parts: parts.into_iter().map(part).collect(),
    })
}

/// What of one class is in no published part, by month: who told it.
type UnpublishedClass<'a> = (&'a Name, [Vec<u32>; 3]);

/// Whether the rest hides enough. It must have enough reporters, and a report in each month
/// in which any part has one: if everybody knew that all other classes of a month are
/// published, its rest would be known to be of the parts alone, and the difference would
/// tell of the other months.
fn hides(parts: &[UnpublishedClass<'_>], rest: &[UnpublishedClass<'_>]) -> bool {
    let in_rest = rest.iter().flat_map(|(_, told)| told.iter().flatten());
    let is_hidden = |month: usize| {
        let is_told = |(_, told): &UnpublishedClass<'_>| !told[month].is_empty();
        rest.iter().any(is_told) || !parts.iter().any(is_told)
    };
    PUBLISHED_GROUP_MIN <= distinct(in_rest.copied()) && (0..3).all(is_hidden)
}

fn reporters(told: &[Vec<u32>; 3]) -> usize {
    distinct(told.iter().flatten().copied())
}

fn reports(told: &[Vec<u32>; 3]) -> u64 {
    told.iter().map(|month| month.len() as u64).sum()
}
