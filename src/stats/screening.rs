//! Which exact counts of a month may be published: *parts and rests*.
//!
//! The reports of a month fall into groups (operators), and each group is divided by several
//! one-way tables. A class with fewer than ten reporters joins the rest of its table; while
//! the rest is not empty and has fewer than ten, the class with the fewest reports joins it,
//! too; and if fewer than two parts are left, only the parent is shown. So every part and its
//! complement have ten reporters or more, and every crossed cell can be anything within a
//! width of ten or more: the width of its Fréchet bounds is the smallest of the parts that it
//! lies in and of their complements. Where classes lie inside each other by their meaning, the
//! differences have ten reporters, too.
//!
//! Nothing else makes a `Published`, and nothing else may be shown to the public. Here are
//! only counts: names of people, times and rates are no concern of this module.

mod cut;
mod quarter;
mod sheet;

pub use quarter::{PublishedQuarter, screen_quarter};
pub use sheet::{ClassName, Logic, Name, Sheet};

use crate::domain::limits::PUBLISHED_GROUP_MIN;
use cut::{Cut, cut};
pub use sheet::distinct;

/// Name of the table that divides a month into groups.
const GROUPS: &str = "group";

/// The reports of one group, exact.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub key: Name,
    /// Its reports.
    pub sheet: Sheet,
}

/// What may be published of a month: the groups, and of each that stands alone its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    division: PublishedTable,
    groups: Vec<PublishedGroup>,
}

/// What may be published of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedGroup {
    key: Name,
    reports: u64,
    tables: Vec<PublishedTable>,
}

/// What may be published of one table: its parts, what is joined in the rest, and the sum of
/// both. Without parts there is only the sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedTable {
    name: Name,
    base: Option<ClassName>,
    reports: u64,
    parts: Vec<PublishedPart>,
    rest: u64,
}

/// A class that stands alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPart {
    key: Name,
    reports: u64,
}

/// What may be published of a month; nothing, if all its reports have fewer than ten
/// reporters. Keys of groups are different.
pub fn screen(groups: &[Group]) -> Option<Published> {
    let reporters = groups.iter().flat_map(|group| group.sheet.reporters());
    let reporters: Vec<u32> = reporters.copied().collect();
    if distinct(reporters.iter().copied()) < PUBLISHED_GROUP_MIN {
        return None;
    }
    let names = groups
        .iter()
        .flat_map(|group| std::iter::repeat_n(&group.key, group.sheet.reports()));
    let names: Vec<&Name> = names.collect();
    let mut whole = Sheet::new(reporters);
    whole.divide(GROUPS, None, |row| names[row].clone());
    let cuts = cut(&whole);
    let is_shown = |key: &Name| {
        let found = whole.find(&ClassName::new(GROUPS, key.clone()));
        found.is_some_and(|class| cut::is_shown(&whole, &cuts, class))
    };
    let mut shown: Vec<_> = groups
        .iter()
        .filter(|group| is_shown(&group.key))
        .map(PublishedGroup::new)
        .collect();
    shown.sort_by(|left, right| left.key.cmp(&right.key));
    Some(Published {
        division: PublishedTable::new(&whole, 0, &cuts[0]),
        groups: shown,
    })
}

/// A count of reports that no table divides, such as those left out: none, or of ten or more
/// reporters, or withheld.
pub fn screen_count(reports: u64, reporters: usize) -> Option<u64> {
    (reports == 0 || PUBLISHED_GROUP_MIN <= reporters).then_some(reports)
}

// === impl Published ===

impl Published {
    /// How the month's reports are divided into groups.
    pub fn division(&self) -> &PublishedTable {
        &self.division
    }

    /// The groups that stand alone, by key. If there is only one group, it is the whole.
    pub fn groups(&self) -> &[PublishedGroup] {
        &self.groups
    }

    /// A group that stands alone.
    pub fn group(&self, key: &str) -> Option<&PublishedGroup> {
        self.groups.iter().find(|group| group.key == key)
    }
}

impl PublishedGroup {
    fn new(group: &Group) -> Self {
        let cuts = cut(&group.sheet);
        let open = cuts.iter().enumerate().filter(|(_, cut)| cut.is_open);
        Self {
            key: group.key.clone(),
            reports: group.sheet.reports() as u64,
            tables: open
                .map(|(table, cut)| PublishedTable::new(&group.sheet, table, cut))
                .collect(),
        }
    }

    /// Its name.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its reports.
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// Its tables, in the order in which they were added.
    pub fn tables(&self) -> &[PublishedTable] {
        &self.tables
    }

    /// One of its tables.
    pub fn table(&self, name: &str) -> Option<&PublishedTable> {
        self.tables.iter().find(|table| table.name == name)
    }
}

impl PublishedTable {
    fn new(sheet: &Sheet, table: usize, cut: &Cut) -> Self {
        let divided = &sheet.tables[table];
        let part = |(class, key): (usize, &Name)| PublishedPart {
            key: key.clone(),
            reports: cut.reports(class),
        };
        let classes = divided.keys.iter().enumerate();
        let parts: Vec<_> = classes
            .filter(|(class, _)| cut.alone[*class])
            .map(part)
            .collect();
        let reports = (0..divided.keys.len())
            .map(|class| cut.reports(class))
            .sum();
        let in_parts = parts.iter().map(|part| part.reports).sum::<u64>();
        Self {
            name: divided.name.clone(),
            base: divided.base.map(|base| ClassName {
                table: sheet.tables[base.table].name.clone(),
                key: sheet.tables[base.table].keys[base.class].clone(),
            }),
            reports,
            rest: reports - in_parts,
            parts,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The class that it divides; `None` if it divides the whole group.
    pub fn base(&self) -> Option<&ClassName> {
        self.base.as_ref()
    }

    /// Reports that it divides: the sum of parts and rest.
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// The classes that stand alone, by key. Empty: only the parent is shown.
    pub fn parts(&self) -> &[PublishedPart] {
        &self.parts
    }

    /// One of them.
    pub fn part(&self, key: &str) -> Option<&PublishedPart> {
        self.parts.iter().find(|part| part.key == key)
    }

    /// Reports of all other classes together.
    pub fn rest(&self) -> u64 {
        self.rest
    }
}

impl PublishedPart {
    /// The class.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its reports.
    pub fn reports(&self) -> u64 {
        self.reports
    }
}

#[cfg(test)]
mod tests;
