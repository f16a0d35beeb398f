//! Tap counts as they stood at an earlier position, remade from the journal's entries: what
//! replaced them later, and what was let go since, does not matter.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::dictionary::Dictionary;
use super::taps::TapBook;
use crate::domain::limits::PAST_TAP_COUNTS_MAX;
use crate::domain::{Entry, LocalDay, Position};
use crate::store::{TapChange, TapReader};

/// More counts than are held at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are too many tap counts")]
pub struct TooManyTaps;

/// The tap counts of some days.
pub struct PastTaps {
    dictionary: Arc<Dictionary>,
    days: RangeInclusive<LocalDay>,
    book: TapBook,
    /// Of the days wanted, by the place of their entry.
    changes: BTreeMap<Position, Arc<TapChange>>,
    counts: usize,
}

impl PastTaps {
    /// Before the first entry. Names have the numbers of the dictionary, which may be a later
    /// one: numbers are given out once.
    pub fn new(dictionary: Arc<Dictionary>, days: RangeInclusive<LocalDay>) -> Self {
        Self {
            dictionary,
            days,
            book: TapBook::default(),
            changes: BTreeMap::new(),
            counts: 0,
        }
    }

    /// Takes the next entry, as the fold took it.
    pub fn apply(&mut self, position: Position, entry: &Entry) -> Result<(), TooManyTaps> {
        match entry {
            Entry::TapCounts(batch) => {
                let (_, change) = self.book.tell(position, batch, &mut self.dictionary);
                self.keep(change);
            }
            Entry::TapCountsRemoved { before } => {
                self.book.remove(position, *before);
            }
            _ => {}
        }
        match self.counts <= PAST_TAP_COUNTS_MAX {
            true => Ok(()),
            false => Err(TooManyTaps),
        }
    }

    fn keep(&mut self, change: Option<TapChange>) {
        let Some(TapChange::Counts {
            position,
            feed,
            interval,
            mut counts,
        }) = change
        else {
            return;
        };
        counts.retain(|count| self.days.contains(&count.day));
        if counts.is_empty() {
            return;
        }
        counts.shrink_to_fit();
        self.counts += counts.len();
        let change = TapChange::Counts {
            position,
            feed,
            interval,
            counts,
        };
        self.changes.insert(position, Arc::new(change));
    }

    /// Feeds, scopes and days.
    pub fn book(&self) -> &TapBook {
        &self.book
    }

    /// Reads the counts of the days wanted.
    pub fn reader(&self) -> TapReader<'static> {
        let changes: Vec<_> = self.changes.values().cloned().collect();
        TapReader::of_changes(&changes)
    }
}
