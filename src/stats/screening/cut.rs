//! Decides which classes of a sheet stand alone, and which are joined.

use super::sheet::{Class, Logic, Sheet, Size};
use crate::domain::limits::PUBLISHED_GROUP_MIN;

/// What is shown of one table.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// Whether anything is: false if the class that it divides is not shown itself.
    pub is_open: bool,
    /// Which classes stand alone; all others are joined. None: only the parent is shown.
    pub alone: Vec<bool>,
    sizes: Vec<Size>,
}

/// Cuts every table of a sheet, so that whatever is shown, and every difference that the
/// sheet's logic allows to draw, is of enough reporters.
pub(super) fn cut(sheet: &Sheet) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::with_capacity(sheet.tables.len());
    for (table, divided) in sheet.tables.iter().enumerate() {
        let sizes = sheet.sizes(table);
        let mut cut = Cut {
            is_open: divided.base.is_none_or(|base| is_shown(sheet, &cuts, base)),
            alone: sizes
                .iter()
                .map(|size| PUBLISHED_GROUP_MIN <= size.reporters)
                .collect(),
            sizes,
        };
        cut.settle(sheet, table);
        cuts.push(cut);
    }
    // Each round joins one more class, so this ends.
    while let Some(class) = disclosing(sheet, &cuts) {
        cuts[class.table].alone[class.class] = false;
        cuts[class.table].settle(sheet, class.table);
        for table in 0..cuts.len() {
            if let Some(base) = sheet.tables[table].base {
                cuts[table].is_open = is_shown(sheet, &cuts, base);
            }
        }
    }
    cuts
}

/// Whether the count of a class is shown, or is that of all reports.
pub(super) fn is_shown(sheet: &Sheet, cuts: &[Cut], class: Class) -> bool {
    let cut = &cuts[class.table];
    let is_all = cut.sizes.len() == 1 && sheet.tables[class.table].base.is_none();
    cut.is_open && (cut.alone[class.class] || is_all)
}

impl Cut {
    /// Reports in a class.
    pub fn reports(&self, class: usize) -> u64 {
        self.sizes[class].reports
    }

    /// Lets the smallest classes join the rest for as long as it has too few reporters, or is
    /// only one class, which would then be told under another name.
    fn settle(&mut self, sheet: &Sheet, table: usize) {
        loop {
            let is_joined = |row: &usize| {
                let class = sheet.class_of(table, *row);
                class.is_some_and(|class| !self.alone[class])
            };
            let reporters = sheet.distinct(sheet.rows().filter(is_joined));
            let parts = self.alone.iter().filter(|alone| **alone).count();
            let joined = self.alone.len() - parts;
            if joined == 0 || (PUBLISHED_GROUP_MIN <= reporters && 2 <= joined) {
                if parts + joined.min(1) < 2 {
                    self.alone.fill(false);
                }
                return;
            }
            match self.smallest() {
                Some(class) => self.alone[class] = false,
                None => return,
            }
        }
    }

    /// The class with the fewest reports among those that stand alone; the first by key, if
    /// there are several. Which of equals it is then tells nothing of their reports: whatever
    /// else would set them apart is not published, and would be told by being asked.
    fn smallest(&self) -> Option<usize> {
        (0..self.alone.len())
            .filter(|class| self.alone[*class])
            .min_by_key(|class| self.sizes[*class].reports)
    }
}

/// A class that must not stand alone, because a difference of shown figures would be of too
/// few reporters.
fn disclosing(sheet: &Sheet, cuts: &[Cut]) -> Option<Class> {
    sheet.logic.iter().find_map(|logic| match logic {
        Logic::Inside { inner, outer } => {
            let (inner, outer) = (sheet.find(inner)?, sheet.find(outer)?);
            let is_between =
                |row: &usize| is_in_block(sheet, cuts, outer, *row) && !sheet.is_in(inner, *row);
            let is_disclosing = stands_alone(cuts, inner)
                && sheet.distinct(sheet.rows().filter(is_between)) < PUBLISHED_GROUP_MIN;
            is_disclosing.then_some(inner)
        }
        Logic::Covered { outer, by } => {
            let outer = sheet.find(outer)?;
            // A class that nobody is in covers nothing, and some may know that nobody is.
            let by: Vec<_> = by.iter().filter_map(|class| sheet.find(class)).collect();
            let is_known =
                is_shown(sheet, cuts, outer) && by.iter().all(|class| stands_alone(cuts, *class));
            // What the covering classes hold more than the class, all together.
            let surplus_of = |row: usize| {
                let classes = by.iter().filter(|class| sheet.is_in(**class, row));
                let classes = classes.count();
                classes.saturating_sub(usize::from(sheet.is_in(outer, row)))
            };
            let of_reporters = || sheet.distinct(sheet.rows().filter(|row| 0 < surplus_of(*row)));
            let surplus = || sheet.rows().map(surplus_of).sum::<usize>();
            // Whoever is in all of them is so many times in the surplus, which bounds how many
            // can be.
            let times = by.len().saturating_sub(1);
            let is_disclosing = is_known
                && (of_reporters() < PUBLISHED_GROUP_MIN
                    || surplus() < PUBLISHED_GROUP_MIN * times);
            // Of equals the first that the sheet names, for the same reason as in `smallest`.
            let smallest = by
                .into_iter()
                .min_by_key(|class| cuts[class.table].reports(class.class));
            smallest.filter(|_| is_disclosing)
        }
    })
}

fn stands_alone(cuts: &[Cut], class: Class) -> bool {
    cuts[class.table].is_open && cuts[class.table].alone[class.class]
}

/// Whether a report is in the published part that holds a class: the class itself, or the
/// rest that it is joined in; everything, if nothing of its table is shown.
fn is_in_block(sheet: &Sheet, cuts: &[Cut], class: Class, row: usize) -> bool {
    let cut = &cuts[class.table];
    match sheet.class_of(class.table, row) {
        _ if !cut.is_open => true,
        None => false,
        Some(found) if cut.alone[class.class] => found == class.class,
        Some(found) => !cut.alone[found],
    }
}
