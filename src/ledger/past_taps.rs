//! Tap counts as they stood at an earlier position: what replaced them later, and what was let
//! go since, does not matter.
//!
//! A day of a feed that no entry after the position told of lies in the store as it was then.
//! Where that holds of all days, nothing is read from the journal. Else one pass over it finds
//! what was told of which day, and where; the days that cannot be read from the store are then
//! made again in parts that fit in memory, each from no more entries than told of its days.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::dictionary::Dictionary;
use super::taps::{FeedBook, TapBook, TapDay};
use crate::domain::{Entry, LocalDay, Position};
use crate::store::{TapBlocks, TapChange, TapReader};

/// What was told of some days by a position.
pub struct PastTaps {
    dictionary: Arc<Dictionary>,
    days: RangeInclusive<LocalDay>,
    book: TapBook,
    /// The first and the last entry that told of a feed's day.
    spans: BTreeMap<(LocalDay, u16), (Position, Position)>,
    /// Whether the book was taken over, and no entry was read.
    is_known: bool,
}

/// Days of feeds that are made again together.
pub struct PastPart<'a> {
    past: &'a PastTaps,
    days: BTreeSet<(LocalDay, u16)>,
    /// The first entry that tells of any of them.
    pub from: Position,
    /// The last.
    pub through: Position,
    blocks: TapBlocks,
}

impl TapBook {
    /// The book as it was at a position, as far as these days matter; `None` if what was told of
    /// them by then is not in the store any more.
    pub fn unchanged_since(&self, at: Position, days: &RangeInclusive<LocalDay>) -> Option<Self> {
        if self.kept_from.is_some_and(|from| days.start() < &from) {
            return None;
        }
        let declared = |book: &&Arc<FeedBook>| book.declared() <= at;
        let mut feeds = self.feeds.iter().take_while(declared);
        let is_unchanged = |book: &Arc<FeedBook>| book.is_unchanged_since(at, days);
        feeds.all(is_unchanged).then(|| Self {
            feeds: self.feeds.iter().take_while(declared).cloned().collect(),
            ..self.clone()
        })
    }
}

impl FeedBook {
    fn is_unchanged_since(&self, at: Position, days: &RangeInclusive<LocalDay>) -> bool {
        let mut told = self.days().range(days.clone());
        told.all(|(_, TapDay { changed, .. })| *changed <= at)
    }

    /// Whether the store has a day as it was at a position, if anything was told of it by then.
    fn has_day_of(&self, at: Position, day: LocalDay) -> bool {
        self.days().get(&day).is_some_and(|told| told.changed <= at)
    }
}

impl PastTaps {
    /// Before the first entry. Names have the numbers of the dictionary, which may be a later
    /// one: numbers are given out once.
    pub fn new(dictionary: Arc<Dictionary>, days: RangeInclusive<LocalDay>) -> Self {
        Self {
            dictionary,
            days,
            book: TapBook::default(),
            spans: BTreeMap::new(),
            is_known: false,
        }
    }

    /// With the feeds that were declared by a position, and the numbers that a later book gave to
    /// their scopes: those are the numbers of the store, and what first told of a scope may have
    /// gone from the journal since.
    pub fn numbered_as(mut self, later: &TapBook, at: Position) -> Self {
        let declared = later.feeds.iter().take_while(|book| book.declared() <= at);
        self.book.feeds = declared.map(|book| Arc::new(book.without_days())).collect();
        self
    }

    /// Of a book that tells already what was told.
    pub fn known(
        dictionary: Arc<Dictionary>,
        days: RangeInclusive<LocalDay>,
        book: TapBook,
    ) -> Self {
        Self {
            book,
            is_known: true,
            ..Self::new(dictionary, days)
        }
    }

    /// Takes the next entry, as the fold took it.
    pub fn apply(&mut self, position: Position, entry: &Entry) {
        match entry {
            Entry::TapCounts(batch) => {
                let (_, change) = self.book.tell(position, batch, &mut self.dictionary);
                if let Some(TapChange::Counts { feed, counts, .. }) = change {
                    let days = counts.iter().map(|count| count.day);
                    for day in days.filter(|day| self.days.contains(day)) {
                        let span = self.spans.entry((day, feed));
                        span.or_insert((position, position)).1 = position;
                    }
                }
            }
            Entry::TapCountsRemoved { before } => {
                self.book.remove(position, *before);
                self.spans.retain(|(day, _), _| before <= day);
            }
            _ => {}
        }
    }

    /// Feeds, scopes and days.
    pub fn book(&self) -> &TapBook {
        &self.book
    }

    /// Before the first entry, of the same days.
    pub fn anew(&self) -> Self {
        Self::new(Arc::clone(&self.dictionary), self.days.clone())
    }

    /// Whether everything can be read that was told: from entries, or from the store of a later
    /// book.
    pub fn is_whole_with(&self, later: &TapBook, at: Position) -> bool {
        !self.is_known || later.unchanged_since(at, &self.days).is_some()
    }

    /// Whether a day of a feed can be read from the store of a later book.
    pub fn is_stored(later: &TapBook, at: Position, feed: u16, day: LocalDay) -> bool {
        let book = later.feeds.get(usize::from(feed));
        book.is_some_and(|book| book.has_day_of(at, day))
    }

    /// The days of these feeds that are not taken from a store, in parts that take so much
    /// memory at most, or one day of one feed.
    pub fn parts(
        &self,
        feeds: &BTreeSet<u16>,
        bytes_max: u64,
        is_stored: impl Fn(u16, LocalDay) -> bool,
    ) -> Vec<PastPart<'_>> {
        let mut parts: Vec<PastPart<'_>> = Vec::new();
        let mut bytes = 0;
        for (&(day, feed), &(first, last)) in &self.spans {
            if !feeds.contains(&feed) || is_stored(feed, day) {
                continue;
            }
            let weight = self.bytes_of(feed, day);
            let part = match parts.last_mut() {
                Some(part) if bytes + weight <= bytes_max => part,
                _ => {
                    bytes = 0;
                    parts.push(self.part(first));
                    parts.last_mut().expect("pushed just now")
                }
            };
            bytes += weight;
            part.days.insert((day, feed));
            part.from = part.from.min(first);
            part.through = part.through.max(last);
        }
        parts
    }

    fn part(&self, from: Position) -> PastPart<'_> {
        PastPart {
            past: self,
            days: BTreeSet::new(),
            from,
            through: from,
            blocks: TapBlocks::default(),
        }
    }

    /// About how much memory a day of a feed takes at most.
    fn bytes_of(&self, feed: u16, day: LocalDay) -> u64 {
        let book = self.book.feeds.get(usize::from(feed));
        book.map_or(0, |book| {
            let chunks = book.days().get(&day).map_or(0, |told| told.chunks.len());
            chunks as u64 * TapBlocks::block_bytes_max(book.feed().interval)
        })
    }
}

impl PastPart<'_> {
    /// Takes the next entry that may tell of its days.
    pub fn apply(&mut self, position: Position, entry: &Entry) {
        let Entry::TapCounts(batch) = entry else {
            return;
        };
        let past = self.past;
        let Some(change) = past.book.again(position, batch, &past.dictionary) else {
            return;
        };
        if let TapChange::Counts { feed, .. } = change {
            let days = &self.days;
            self.blocks
                .apply(&change, |day| days.contains(&(day, feed)));
        }
    }

    /// Whether it is about a day of a feed.
    pub fn has(&self, feed: u16, day: LocalDay) -> bool {
        self.days.contains(&(day, feed))
    }

    /// Reads the counts of its days.
    pub fn reader(&self) -> TapReader<'_> {
        TapReader::of_blocks(&self.blocks)
    }
}
