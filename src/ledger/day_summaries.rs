//! What a feed told on each service day, in short: its taps by the hour over all scopes, and
//! which hours of which scopes were told. Made from the counts when first asked for, and kept
//! until they change, so that a question about two years need not read them all again.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use super::taps::FeedBook;
use super::{LedgerError, TapView};
use crate::domain::limits::DAY_HEADS_BYTES_MAX;
use crate::domain::taps::TapInterval;
use crate::domain::{LocalDay, Position};

const QUARTERS: u8 = 4;
/// What a head takes beside its taps and scopes, with its place in the cache.
const HEAD_BYTES: usize = 128;

/// One service day of a feed, in short. Hours are numbered from the begin of the day; of a
/// feed of days the whole day is hour 0. An hour of which not all quarters were told is not
/// told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaySummary {
    /// Place of the last entry that told any of it.
    changed: Position,
    /// Taps of all scopes, by hour.
    pub taps: Box<[u64]>,
    /// Hours that were told of any scope, as bits.
    pub told: u32,
    /// Hours that were told of each scope.
    pub scopes: ToldScopes,
}

/// Which hours were told of which scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToldScopes {
    /// All hours of the scopes with numbers below this one, and none of others.
    All(u32),
    /// By number of scope the hours as bits; of scopes beyond the end nothing was told.
    Each(Box<[u32]>),
}

/// A feed's heads of some days, rising.
pub type DaySummaries = Vec<(LocalDay, Arc<DaySummary>)>;

/// Heads that were made.
#[derive(Debug, Default)]
pub(super) struct SummaryCache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    feeds: HashMap<u16, BTreeMap<LocalDay, Arc<DaySummary>>>,
    bytes: usize,
}

impl ToldScopes {
    /// The hours told of a scope, as bits; `all` are those of the day.
    pub fn hours(&self, scope: u32, all: u32) -> u32 {
        match self {
            Self::All(end) if scope < *end => all,
            Self::All(_) => 0,
            Self::Each(scopes) => scopes.get(scope as usize).copied().unwrap_or(0),
        }
    }
}

impl DaySummary {
    /// The hours of the day, as bits.
    pub fn all(&self) -> u32 {
        all_bits(self.taps.len())
    }

    /// Whether anything was told of a scope.
    pub fn tells(&self, scope: u32) -> bool {
        self.scopes.hours(scope, self.all()) != 0
    }

    /// The scopes of which anything was told, rising.
    pub fn told_scopes(&self) -> impl Iterator<Item = u32> {
        let (end, each) = match &self.scopes {
            ToldScopes::All(end) => (*end, &[][..]),
            ToldScopes::Each(scopes) => (0, &scopes[..]),
        };
        let told = (0..).zip(each).filter(|(_, hours)| **hours != 0);
        (0..end).chain(told.map(|(scope, _)| scope))
    }

    fn bytes(&self) -> usize {
        let scopes = match &self.scopes {
            ToldScopes::All(_) => 0,
            ToldScopes::Each(scopes) => scopes.len() * size_of::<u32>(),
        };
        HEAD_BYTES + self.taps.len() * size_of::<u64>() + scopes
    }
}

impl SummaryCache {
    /// The heads of these days as far as they are kept and still hold.
    fn get(
        &self,
        feed: u16,
        book: &FeedBook,
        days: Range<LocalDay>,
    ) -> Vec<Option<Arc<DaySummary>>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.feeds.get(&feed);
        let mut known = known.into_iter().flat_map(|days| days.iter()).peekable();
        let head = |(day, told): (&LocalDay, &super::TapDay)| {
            while known.next_if(|(other, _)| *other < day).is_some() {}
            let (_, head) = known.next_if(|(other, _)| *other == day)?;
            (head.changed == told.changed).then(|| Arc::clone(head))
        };
        book.days().range(days).map(head).collect()
    }

    /// Keeps heads. Where they are too many, all others are let go.
    fn put(&self, feed: u16, heads: &[(LocalDay, Arc<DaySummary>)]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (day, head) in heads {
            let bytes = head.bytes();
            if DAY_HEADS_BYTES_MAX < kept.bytes + bytes {
                *kept = Kept::default();
            }
            let days = kept.feeds.entry(feed).or_default();
            let before = days.insert(*day, Arc::clone(head));
            kept.bytes += bytes;
            kept.bytes -= before.map_or(0, |before| before.bytes());
        }
    }

    /// About how much memory is taken, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

impl TapView<'_> {
    /// The heads of a feed's service days within these, as far as anything was told of them.
    pub fn heads(&self, number: u16, days: Range<LocalDay>) -> Result<DaySummaries, LedgerError> {
        let Some(book) = self.book.feeds().get(usize::from(number)) else {
            return Ok(Vec::new());
        };
        let kept = self.heads.get(number, book, days.clone());
        let mut heads = Vec::with_capacity(kept.len());
        let mut made = Vec::new();
        let mut reader = None;
        for ((day, told), kept) in book.days().range(days).zip(kept) {
            let head = match kept {
                Some(head) => head,
                None => {
                    let reader = reader.get_or_insert_with(|| self.reader());
                    let head = Arc::new(make(reader, number, book, *day, told)?);
                    made.push((*day, Arc::clone(&head)));
                    head
                }
            };
            heads.push((*day, head));
        }
        if !made.is_empty() {
            self.heads.put(number, &made);
        }
        Ok(heads)
    }
}

fn make(
    reader: &super::TapReader<'_>,
    number: u16,
    book: &FeedBook,
    day: LocalDay,
    told: &super::TapDay,
) -> Result<DaySummary, LedgerError> {
    let feed = book.feed();
    let per_hour = match feed.interval {
        TapInterval::Quarter => QUARTERS,
        TapInterval::Hour | TapInterval::Day => 1,
    };
    let hours = usize::from(feed.slots(day) / per_hour);
    let mut taps = vec![0u64; hours].into_boxed_slice();
    let mut scopes: Vec<u32> = Vec::new();
    // Quarters of one scope and hour, which come one after the other.
    let (mut place, mut quarters, mut sum) = ((0, 0), 0, 0u64);
    let each = |scope: u32, slot: u8, count: u32| {
        let hour = slot / per_hour;
        if place != (scope, hour) {
            (place, quarters, sum) = ((scope, hour), 0, 0);
        }
        quarters += 1;
        sum += u64::from(count);
        if quarters < per_hour {
            return;
        }
        if scopes.len() <= scope as usize {
            scopes.resize(scope as usize + 1, 0);
        }
        scopes[scope as usize] |= 1 << hour;
        taps[usize::from(hour)] += sum;
        quarters = 0;
        sum = 0;
    };
    reader.each_count(number, feed.interval, day, &told.chunks, each)?;
    let all = all_bits(hours);
    Ok(DaySummary {
        changed: told.changed,
        taps,
        told: scopes.iter().fold(0, |bits, scope| bits | scope),
        scopes: match u32::try_from(scopes.len()) {
            Ok(end) if scopes.iter().all(|bits| *bits == all) => ToldScopes::All(end),
            _ => ToldScopes::Each(scopes.into()),
        },
    })
}

fn all_bits(hours: usize) -> u32 {
    u32::MAX >> (u32::BITS as usize - hours.clamp(1, 25))
}
