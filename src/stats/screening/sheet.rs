//! The exact counts of one group of reports: who told each, and where it stands in every
//! table.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// A table or a class in it, as in `card-kind` and `student`.
pub type Name = Cow<'static, str>;

/// Where a report stands that a table does not divide.
const OUTSIDE: u32 = u32::MAX;

/// A class of a table, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassName {
    /// The table.
    pub table: Name,
    /// The class in it.
    pub key: Name,
}

impl ClassName {
    /// By its two names.
    pub fn new(table: impl Into<Name>, key: impl Into<Name>) -> Self {
        Self {
            table: table.into(),
            key: key.into(),
        }
    }
}

/// What everybody knows of how classes lie in each other, without a single figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logic {
    /// Every report of one class is also of another, as a refused barcode is of a barcode
    /// ticket. Of one table, at most one class lies inside the same other.
    Inside {
        /// The smaller class.
        inner: ClassName,
        /// The larger class.
        outer: ClassName,
    },
    /// Every report of a class is of at least one of others, as somebody who says what staff
    /// did names at least one act. The others may reach further than the class.
    Covered {
        /// The class that is covered.
        outer: ClassName,
        /// Those that cover it.
        by: Vec<ClassName>,
    },
}

/// The reports of one group, such as an operator's month, divided in several ways. Every
/// table divides all of them, or all that are in one class of a table before it, and puts
/// each of those into exactly one class.
#[derive(Clone, Debug)]
pub struct Sheet {
    reporters: Vec<u32>,
    pub(super) tables: Vec<Table>,
    pub(super) logic: Vec<Logic>,
}

/// One division.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub name: Name,
    pub base: Option<Class>,
    /// Names of the classes, rising; only classes that some report is in.
    pub keys: Vec<Name>,
    /// For each report the place of its class in `keys`, or `OUTSIDE`.
    of: Vec<u32>,
}

/// A class, by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub table: usize,
    pub class: usize,
}

/// How much is in a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub reports: u64,
    pub reporters: usize,
}

impl Sheet {
    /// One report for each number. Equal numbers are the same reporter, here and in every
    /// other sheet that is screened with this one. Where each report counts for itself, as
    /// taps that devices refused do, they are all different.
    pub fn new(reporters: Vec<u32>) -> Self {
        Self {
            reporters,
            tables: Vec::new(),
            logic: Vec::new(),
        }
    }

    /// Adds a table of all reports, or of those in the class `base` of a table that was added
    /// before; of none, if no report is in that class. `key_of` names the class of a report,
    /// by its place, and is asked once for each report that is divided.
    pub fn divide(
        &mut self,
        name: impl Into<Name>,
        base: Option<&ClassName>,
        mut key_of: impl FnMut(usize) -> Name,
    ) {
        let base = match base {
            None => None,
            Some(name) => match self.find(name) {
                None => return,
                found => found,
            },
        };
        let mut places = BTreeMap::new();
        let mut of = vec![OUTSIDE; self.reporters.len()];
        for (row, place) in of.iter_mut().enumerate() {
            if base.is_none_or(|base| self.is_in(base, row)) {
                let next = u32::try_from(places.len()).expect("a class has a report");
                *place = *places.entry(key_of(row)).or_insert(next);
            }
        }
        let mut rank = vec![0; places.len()];
        for (place, (_, first)) in (0_u32..).zip(&places) {
            rank[*first as usize] = place;
        }
        for place in of.iter_mut().filter(|place| **place != OUTSIDE) {
            *place = rank[*place as usize];
        }
        self.tables.push(Table {
            name: name.into(),
            base,
            keys: places.into_keys().collect(),
            of,
        });
    }

    /// Adds what everybody knows of some classes. Those that no report is in do not matter.
    pub fn know(&mut self, logic: Logic) {
        self.logic.push(logic);
    }

    /// How many reports are in each class of each table: the names of both, and the number. Nothing
    /// of it is screened: it is for checking what was published, and for nothing else.
    pub fn counts(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.tables.iter().flat_map(|table| {
            let mut counts = vec![0; table.keys.len()];
            for place in table.of.iter().filter(|place| **place != OUTSIDE) {
                counts[*place as usize] += 1;
            }
            let keys = table.keys.iter().zip(counts);
            keys.map(|(key, count)| (&*table.name, &**key, count))
        })
    }

    /// Reports.
    pub fn reports(&self) -> usize {
        self.reporters.len()
    }

    /// The places of all reports.
    pub(super) fn rows(&self) -> std::ops::Range<usize> {
        0..self.reporters.len()
    }

    /// Who told each report.
    pub(super) fn reporters(&self) -> &[u32] {
        &self.reporters
    }

    /// A class that some report is in.
    pub(super) fn find(&self, name: &ClassName) -> Option<Class> {
        let table = self.table(&name.table)?;
        let class = self.tables[table].keys.binary_search(&name.key).ok()?;
        Some(Class { table, class })
    }

    /// A table.
    pub(super) fn table(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.name == name)
    }

    /// The class of a report in a table; `None` if the table does not divide it.
    pub(super) fn class_of(&self, table: usize, row: usize) -> Option<usize> {
        let place = self.tables[table].of[row];
        (place != OUTSIDE).then_some(place as usize)
    }

    /// Whether a report is in a class.
    pub(super) fn is_in(&self, class: Class, row: usize) -> bool {
        self.class_of(class.table, row) == Some(class.class)
    }

    /// Different reporters of some reports.
    pub(super) fn distinct(&self, rows: impl Iterator<Item = usize>) -> usize {
        distinct(rows.map(|row| self.reporters[row]))
    }

    /// What is in each class of a table.
    pub(super) fn sizes(&self, table: usize) -> Vec<Size> {
        let mut sizes = vec![Size::default(); self.tables[table].keys.len()];
        let class_of = |row| Some((self.class_of(table, row)?, self.reporters[row]));
        let mut pairs: Vec<_> = self.rows().filter_map(class_of).collect();
        for (class, _) in &pairs {
            sizes[*class].reports += 1;
        }
        pairs.sort_unstable();
        pairs.dedup();
        for (class, _) in pairs {
            sizes[class].reporters += 1;
        }
        sizes
    }
}

/// Different numbers among some.
pub fn distinct(numbers: impl Iterator<Item = u32>) -> usize {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len()
}
