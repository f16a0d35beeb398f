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
use crate::domain::{Entry, LocalDay, Position, Stamp, UtcMillis};
use crate::store::{TapBlocks, TapChange, TapReader};

/// Nothing that is made here goes into a store, where alone the stamp matters.
const UNSTAMPED: Stamp = UtcMillis(0);

/// What was told of some days by a position.
pub struct PastTaps {
    dictionary: Arc<Dictionary>,
    days: Vec<RangeInclusive<LocalDay>>,
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
    /// Where the first entry may lie that changed tap counts; `None` if there is none. Where days
    /// were let go, that may have been said before the first feed was declared, and then what is
    /// told of such days later is not taken.
    pub fn first_change(&self) -> Option<Position> {
        let declared = self.feeds.first()?.declared();
        Some(match self.kept_from {
            Some(_) => Position(1),
            None => declared,
        })
    }

    /// The book as it was at a position, as far as these days matter; `None` if what was told of
    /// them by then is not in the store any more.
    pub fn unchanged_since(&self, at: Position, days: &[RangeInclusive<LocalDay>]) -> Option<Self> {
        let may_lack = |from: LocalDay| days.iter().any(|days| days.start() < &from);
        if self.kept_from.is_some_and(may_lack) {
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

/// Whether a day is one of those.
fn is_within(ranges: &[RangeInclusive<LocalDay>], day: LocalDay) -> bool {
    ranges.iter().any(|days| days.contains(&day))
}

impl FeedBook {
    fn is_unchanged_since(&self, at: Position, days: &[RangeInclusive<LocalDay>]) -> bool {
        let ranges = days.iter();
        let mut told = ranges.flat_map(|days| self.days().range(days.clone()));
        told.all(|(_, TapDay { changed, .. })| *changed <= at)
    }

    /// Whether the store has a day as it was at a position, if anything was told of it by then.
    fn has_day_of(&self, at: Position, day: LocalDay) -> bool {
        self.days().get(&day).is_some_and(|told| told.changed <= at)
    }
}

impl PastTaps {
    /// Before the first entry. Names have the numbers of the dictionary, which may be a later
    /// one, as numbers are given out once. So have the scopes of feeds those of a later book,
    /// which are the store's: what first told of a scope may have gone from the journal since.
    pub fn unread(
        dictionary: Arc<Dictionary>,
        days: Vec<RangeInclusive<LocalDay>>,
        later: &TapBook,
        at: Position,
    ) -> Self {
        let declared = later.feeds.iter().take_while(|book| book.declared() <= at);
        let book = TapBook {
            feeds: declared.map(|book| Arc::new(book.without_days())).collect(),
            ..TapBook::default()
        };
        Self {
            dictionary,
            days,
            book,
            spans: BTreeMap::new(),
            is_known: false,
        }
    }

    /// Of a book that tells already what was told.
    pub fn known(
        dictionary: Arc<Dictionary>,
        days: Vec<RangeInclusive<LocalDay>>,
        book: TapBook,
    ) -> Self {
        Self {
            dictionary,
            days,
            book,
            spans: BTreeMap::new(),
            is_known: true,
        }
    }

    /// Takes the next entry, as the fold took it.
    pub fn apply(&mut self, position: Position, entry: &Entry) {
        match entry {
            Entry::TapCounts(batch) => {
                let (_, change) =
                    self.book
                        .tell((position, UNSTAMPED), batch, &mut self.dictionary);
                if let Some(TapChange::Counts { feed, counts, .. }) = change {
                    let days = counts.iter().map(|count| count.day);
                    for day in days.filter(|day| is_within(&self.days, *day)) {
                        let span = self.spans.entry((day, feed));
                        span.or_insert((position, position)).1 = position;
                    }
                }
            }
            Entry::TapCountsRemoved { before } => {
                self.book.remove((position, UNSTAMPED), *before);
                self.spans.retain(|(day, _), _| before <= day);
            }
            _ => {}
        }
    }

    /// Feeds, scopes and days.
    pub fn book(&self) -> &TapBook {
        &self.book
    }

    /// The days that matter.
    pub fn days(&self) -> &[RangeInclusive<LocalDay>] {
        &self.days
    }

    /// Numbers of names.
    pub fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
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
        let Some(change) = past
            .book
            .again((position, UNSTAMPED), batch, &past.dictionary)
        else {
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
