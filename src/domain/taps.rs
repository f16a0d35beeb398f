//! Tap counts: how many taps an operator, line or stop had in an interval, told by its
//! operator. They are the denominators of rates.
//!
//! A feed says once what its counts are; every count then stands at a scope and in a slot of
//! a service day. A later count at the same place replaces the earlier one. An interval for
//! which no count came is not known, which is another thing than no taps.

use std::fmt;
use std::str::FromStr;

use super::calendar::Calendar;
use super::id::{LineId, OperatorCode, StopId};
use super::limits::{FEED_ID_BYTES_MAX, TAP_BATCH_BYTES_MAX, TAPS_PER_COUNT_MAX};
use super::taxonomy::{SetOf, TapKind};
use super::time::{END_DAY, FIRST_DAY, HOUR_MS, Hour, LocalDay, UtcMillis};

/// Latest local hour at which a service day may begin.
pub const DAY_BEGIN_MAX: u8 = 11;
const QUARTER_MS: i64 = HOUR_MS / 4;
const QUARTERS_PER_HOUR: u8 = 4;
/// Most hours of a service day: clocks go back in one.
const HOURS_PER_DAY_MAX: u8 = 25;

/// Why a feed or a count is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTaps {
    /// Not a feed's name.
    #[error("must be 1 to 32 small letters, digits, dots or hyphens, a letter first")]
    FeedId,
    /// No kind, or one that is no tap.
    #[error("must have at least one of check-in, check-out and transfer, and no other")]
    Kinds,
    /// Too late in the day.
    #[error("must be 0 to 11")]
    DayBegin,
    /// More than anybody counts.
    #[error("must be at most 1,000,000,000")]
    Taps,
}

/// A feed's name: 1 to 32 small letters, digits, dots or hyphens, a letter first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId(Box<str>);

impl FeedId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FeedId {
    type Err = InvalidTaps;

    fn from_str(text: &str) -> Result<Self, InvalidTaps> {
        let is_inner = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
        };
        let is_valid = text.len() <= FEED_ID_BYTES_MAX
            && text
                .bytes()
                .next()
                .is_some_and(|byte| byte.is_ascii_lowercase())
            && text.bytes().all(is_inner);
        is_valid
            .then(|| Self(text.into()))
            .ok_or(InvalidTaps::FeedId)
    }
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! stored {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $number:literal, $key:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$value_doc])* $value = $number,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The stored number, from 1 up.
            pub fn number(self) -> u8 {
                self as u8
            }

            /// Short name on the command line and in downloads.
            pub fn key(self) -> &'static str {
                match self { $(Self::$value => $key,)+ }
            }

            /// The value with this stored number.
            pub fn from_number(number: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.number() == number)
            }

            /// The value with this key.
            pub fn from_key(key: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.key() == key)
            }
        }
    };
}

stored! {
    /// Whose taps a count of a feed tells.
    TapGrain {
        /// All taps of the operator.
        Operator = 1, "operator";
        /// Those on one line.
        Line = 2, "line";
        /// Those at one stop.
        Stop = 3, "stop";
        /// Those on one line at one stop.
        LineStop = 4, "line-stop";
    }
}

stored! {
    /// How long the intervals of a feed are.
    TapInterval {
        /// A quarter of an hour.
        Quarter = 1, "quarter";
        /// An hour.
        Hour = 2, "hour";
        /// A service day.
        Day = 3, "day";
    }
}

stored! {
    /// Whether refused taps are among the taps of a feed.
    Refusals {
        /// They are: a count tells attempts.
        Included = 1, "included";
        /// They are not: a count tells successes.
        Excluded = 2, "excluded";
        /// Nobody knows.
        Unknown = 3, "unknown";
    }
}

impl TapInterval {
    /// Most intervals of a service day: 1, 25 or 100.
    pub fn slots_max(self) -> u8 {
        match self {
            Self::Quarter => HOURS_PER_DAY_MAX * QUARTERS_PER_HOUR,
            Self::Hour => HOURS_PER_DAY_MAX,
            Self::Day => 1,
        }
    }
}

/// The kinds of tap that a feed counts together: at least one, and no inspections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapKinds(SetOf<TapKind>);

impl TapKinds {
    /// From a set.
    pub fn new(kinds: SetOf<TapKind>) -> Result<Self, InvalidTaps> {
        // An inspection is recorded, but is no tap.
        let is_valid = !kinds.is_empty() && !kinds.contains(TapKind::Inspection);
        is_valid.then_some(Self(kinds)).ok_or(InvalidTaps::Kinds)
    }

    /// The set.
    pub fn set(self) -> SetOf<TapKind> {
        self.0
    }
}

/// The local hour at which a service day begins, 0 to 11.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayBegin(u8);

impl DayBegin {
    /// From an hour of day.
    pub fn new(hour: u32) -> Result<Self, InvalidTaps> {
        let hour = u8::try_from(hour).ok();
        let hour = hour.filter(|hour| *hour <= DAY_BEGIN_MAX);
        hour.map(Self).ok_or(InvalidTaps::DayBegin)
    }

    /// The hour of day.
    pub fn hour(self) -> u8 {
        self.0
    }
}

/// What the counts of a feed are, as its operator declares it. It never changes: another
/// declaration needs another feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapFeed {
    /// Its name.
    pub id: FeedId,
    /// Whose taps are counted.
    pub operator: OperatorCode,
    /// What one count is about.
    pub grain: TapGrain,
    /// How long the interval of one count is.
    pub interval: TapInterval,
    /// Which taps are counted together.
    pub kinds: TapKinds,
    /// Whether refused taps are among them.
    pub refusals: Refusals,
    /// When its service day begins.
    pub day_begin: DayBegin,
}

impl TapFeed {
    /// Which fields of two declarations under one name differ.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let fields = [
            ("operator_code", self.operator != other.operator),
            ("grain", self.grain != other.grain),
            ("interval", self.interval != other.interval),
            ("tap_kinds", self.kinds != other.kinds),
            ("refusals", self.refusals != other.refusals),
            ("day_begins", self.day_begin != other.day_begin),
        ];
        let differs = fields.into_iter().filter(|(_, differs)| *differs);
        differs.map(|(field, _)| field).collect()
    }

    /// The hours of a service day, half-open: 23, 24 or 25 of them.
    pub fn hours(&self, day: LocalDay) -> (u32, u32) {
        let begin = |day: LocalDay| day.hour_at(self.day_begin.0).0;
        (begin(day), begin(day.next()))
    }

    /// How many intervals a service day has.
    pub fn slots(&self, day: LocalDay) -> u8 {
        let (start, end) = self.hours(day);
        let hours = u8::try_from(end - start).expect("23 to 25");
        match self.interval {
            TapInterval::Quarter => hours * QUARTERS_PER_HOUR,
            TapInterval::Hour => hours,
            TapInterval::Day => 1,
        }
    }

    /// The service day that an hour lies in.
    pub fn day_of(&self, hour: Hour) -> LocalDay {
        let day = Calendar::get().day(hour);
        if self.day_begin.0 != 0 && hour < day.hour_at(self.day_begin.0) {
            LocalDay(day.0 - 1)
        } else {
            day
        }
    }

    /// The slot of an interval that begins at this instant; `None` if none does, or if it
    /// lies outside the supported years.
    pub fn slot_at(&self, start: UtcMillis) -> Option<TapSlot> {
        let hour = start.hour()?;
        let day = self.day_of(hour);
        if !is_supported(day) {
            return None;
        }
        let offset_ms = start.0 - i64::from(self.hours(day).0) * HOUR_MS;
        let slot = match self.interval {
            TapInterval::Quarter => whole(offset_ms, QUARTER_MS)?,
            TapInterval::Hour => whole(offset_ms, HOUR_MS)?,
            TapInterval::Day => (offset_ms == 0).then_some(0)?,
        };
        Some(TapSlot { day, slot })
    }

    /// The instant at which a slot ends.
    pub fn end(&self, slot: TapSlot) -> UtcMillis {
        let (start, end) = self.hours(slot.day);
        let after = i64::from(slot.slot) + 1;
        UtcMillis(match self.interval {
            TapInterval::Quarter => i64::from(start) * HOUR_MS + after * QUARTER_MS,
            TapInterval::Hour => i64::from(start) * HOUR_MS + after * HOUR_MS,
            TapInterval::Day => i64::from(end) * HOUR_MS,
        })
    }
}

/// Whether a service day lies in the supported years, whenever it begins.
fn is_supported(day: LocalDay) -> bool {
    FIRST_DAY < day && day.0 < END_DAY.0 - 1
}

fn whole(ms: i64, unit_ms: i64) -> Option<u8> {
    (ms % unit_ms == 0).then(|| u8::try_from(ms / unit_ms).ok())?
}

/// One interval of a feed: a service day, and its place in it from 0 up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TapSlot {
    /// The service day.
    pub day: LocalDay,
    /// The interval's number in the service day.
    pub slot: u8,
}

/// Whose taps one count tells; which of these is the feed's grain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TapScope {
    /// The operator's.
    Operator,
    /// A line's.
    Line(LineId),
    /// A stop's.
    Stop(StopId),
    /// A line's at a stop.
    LineStop(LineId, StopId),
}

impl TapScope {
    /// The grain of feeds with such counts.
    pub fn grain(&self) -> TapGrain {
        match self {
            Self::Operator => TapGrain::Operator,
            Self::Line(_) => TapGrain::Line,
            Self::Stop(_) => TapGrain::Stop,
            Self::LineStop(..) => TapGrain::LineStop,
        }
    }

    /// The line, if it is of one.
    pub fn line(&self) -> Option<&LineId> {
        match self {
            Self::Line(line) | Self::LineStop(line, _) => Some(line),
            Self::Operator | Self::Stop(_) => None,
        }
    }

    /// The stop, if it is of one.
    pub fn stop(&self) -> Option<&StopId> {
        match self {
            Self::Stop(stop) | Self::LineStop(_, stop) => Some(stop),
            Self::Operator | Self::Line(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        let line = self.line().map_or(0, |line| line.as_str().len());
        line + self.stop().map_or(0, |stop| stop.as_str().len())
    }
}

/// A number of taps, at most 1,000,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taps(u32);

impl Taps {
    /// From a number.
    pub fn new(taps: u64) -> Result<Self, InvalidTaps> {
        let taps = u32::try_from(taps).ok();
        let taps = taps.filter(|taps| *taps <= TAPS_PER_COUNT_MAX);
        taps.map(Self).ok_or(InvalidTaps::Taps)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// One count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapCount {
    /// Whose taps.
    pub scope: TapScope,
    /// When.
    pub slot: TapSlot,
    /// How many.
    pub taps: Taps,
}

/// Counts of one feed, packed: as one entry of the journal holds them. Invariant: every cell
/// has a scope, every scope the feed's grain, and every slot lies in its day.
#[derive(Clone, Debug, PartialEq)]
pub struct TapBatch {
    feed: TapFeed,
    scopes: Vec<TapScope>,
    cells: Vec<TapCell>,
}

/// One count of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapCell {
    /// Place among the scopes of the batch.
    pub scope: u16,
    /// When.
    pub slot: TapSlot,
    /// How many.
    pub taps: Taps,
}

impl TapBatch {
    /// Bytes of a feed's declaration in the journal, at most.
    const FEED_BYTES: usize = 96;
    /// Bytes of a scope in the journal beside its texts, at most.
    const SCOPE_BYTES: usize = 8;
    /// Bytes of a cell: the scope's place, the slot and the number.
    const CELL_BYTES: usize = 3 + 1 + 5;
    /// Bytes that a run of cells of one day adds.
    const DAY_BYTES: usize = 24;

    /// From its parts; `None` if they do not fit together.
    pub fn new(feed: TapFeed, scopes: Vec<TapScope>, cells: Vec<TapCell>) -> Option<Self> {
        let is_of_feed = |scope: &TapScope| scope.grain() == feed.grain;
        let fits = |run: &[TapCell]| {
            let day = run.first().map_or(FIRST_DAY, |cell| cell.slot.day);
            is_supported(day) && {
                let slots = feed.slots(day);
                let mut cells = run.iter();
                cells.all(|cell| usize::from(cell.scope) < scopes.len() && cell.slot.slot < slots)
            }
        };
        let mut runs = cells.chunk_by(|one, next| one.slot.day == next.slot.day);
        let is_whole = scopes.iter().all(is_of_feed) && runs.all(fits);
        is_whole.then_some(Self {
            feed,
            scopes,
            cells,
        })
    }

    /// Packs counts in their order into as few batches as fit in the journal's entries.
    /// Counts whose scope is not of the feed's grain must not be given.
    pub fn pack(feed: &TapFeed, counts: impl IntoIterator<Item = TapCount>) -> Vec<Self> {
        let mut packer = Packer::default();
        for count in counts {
            packer.push(feed, count);
        }
        packer.finish(feed)
    }

    /// The feed, as it is declared.
    pub fn feed(&self) -> &TapFeed {
        &self.feed
    }

    /// The scopes.
    pub fn scopes(&self) -> &[TapScope] {
        &self.scopes
    }

    /// The counts, in the order in which they were told.
    pub fn cells(&self) -> &[TapCell] {
        &self.cells
    }
}

/// Fills one batch after another.
#[derive(Default)]
struct Packer {
    made: Vec<TapBatch>,
    scopes: Vec<TapScope>,
    places: std::collections::BTreeMap<TapScope, u16>,
    cells: Vec<TapCell>,
    bytes: usize,
}

impl Packer {
    fn push(&mut self, feed: &TapFeed, count: TapCount) {
        let mut bytes = TapBatch::CELL_BYTES;
        if !self.places.contains_key(&count.scope) {
            bytes += TapBatch::SCOPE_BYTES + count.scope.bytes();
        }
        if self.cells.last().map(|cell| cell.slot.day) != Some(count.slot.day) {
            bytes += TapBatch::DAY_BYTES;
        }
        if TAP_BATCH_BYTES_MAX < TapBatch::FEED_BYTES + self.bytes + bytes {
            self.close(feed);
            bytes = TapBatch::CELL_BYTES
                + TapBatch::DAY_BYTES
                + TapBatch::SCOPE_BYTES
                + count.scope.bytes();
        }
        self.bytes += bytes;
        let next = u16::try_from(self.scopes.len()).expect("a batch is bounded in bytes");
        let scope = *self.places.entry(count.scope.clone()).or_insert(next);
        if scope == next {
            self.scopes.push(count.scope);
        }
        self.cells.push(TapCell {
            scope,
            slot: count.slot,
            taps: count.taps,
        });
    }

    fn close(&mut self, feed: &TapFeed) {
        self.places.clear();
        self.bytes = 0;
        self.made.push(TapBatch {
            feed: feed.clone(),
            scopes: std::mem::take(&mut self.scopes),
            cells: std::mem::take(&mut self.cells),
        });
    }

    fn finish(mut self, feed: &TapFeed) -> Vec<TapBatch> {
        if !self.cells.is_empty() {
            self.close(feed);
        }
        self.made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(interval: TapInterval, day_begin: u32) -> TapFeed {
        let kinds = [TapKind::CheckIn].into_iter().collect();
        TapFeed {
            id: "gvb.stops".parse().expect("a name"),
            operator: "GVB".parse().expect("a code"),
            grain: TapGrain::Stop,
            interval,
            kinds: TapKinds::new(kinds).expect("a tap"),
            refusals: Refusals::Unknown,
            day_begin: DayBegin::new(day_begin).expect("early"),
        }
    }

    fn day(text: &str) -> LocalDay {
        LocalDay::parse(text).expect("a date")
    }

    #[test]
    fn names_of_feeds_are_short_and_plain() {
        for good in ["a", "gvb.tram-2", "metro"] {
            assert!(good.parse::<FeedId>().is_ok(), "{good}");
        }
        let long = "a".repeat(FEED_ID_BYTES_MAX + 1);
        for bad in ["", "GVB", "1a", ".a", "a b", "a_b", "é", &long] {
            assert_eq!(bad.parse::<FeedId>(), Err(InvalidTaps::FeedId), "{bad}");
        }
    }

    #[test]
    fn inspections_are_no_taps() {
        let set = |kinds: &[TapKind]| kinds.iter().copied().collect();
        assert!(TapKinds::new(set(&[TapKind::CheckIn, TapKind::Transfer])).is_ok());
        assert!(TapKinds::new(set(&[])).is_err());
        assert!(TapKinds::new(set(&[TapKind::CheckIn, TapKind::Inspection])).is_err());
    }

    #[test]
    fn slots_follow_service_days_across_both_clock_changes() {
        for begin in [0, 2, 4] {
            for (interval, per_hour) in [(TapInterval::Hour, 1), (TapInterval::Quarter, 4)] {
                let feed = feed(interval, begin);
                let unit_ms = HOUR_MS / per_hour;
                for text in [
                    "2026-03-28",
                    "2026-03-29",
                    "2026-10-24",
                    "2026-10-25",
                    "2026-11-23",
                ] {
                    let (start, end) = feed.hours(day(text));
                    let slots = i64::from(feed.slots(day(text)));
                    assert_eq!(i64::from(end - start) * per_hour, slots);
                    for slot in 0..slots {
                        let at = UtcMillis(i64::from(start) * HOUR_MS + slot * unit_ms);
                        let found = feed.slot_at(at).expect("an interval begins here");
                        assert_eq!((found.day, i64::from(found.slot)), (day(text), slot));
                        assert_eq!(feed.end(found), UtcMillis(at.0 + unit_ms));
                        assert_eq!(feed.slot_at(UtcMillis(at.0 + 1)), None);
                    }
                }
            }
        }
    }

    #[test]
    fn service_day_that_begins_at_four_holds_the_night_before_it_ends() {
        let feed = feed(TapInterval::Day, 4);
        let night = Hour(day("2026-11-24").start().0 + 3);
        assert_eq!(feed.day_of(night), day("2026-11-23"));
        assert_eq!(feed.day_of(Hour(night.0 + 1)), day("2026-11-24"));
        let begin = Hour(feed.hours(day("2026-11-23")).0).start();
        assert_eq!(
            feed.slot_at(begin).map(|slot| slot.day),
            Some(day("2026-11-23"))
        );
        assert_eq!(feed.slot_at(UtcMillis(begin.0 + HOUR_MS)), None);
    }

    #[test]
    fn counts_are_packed_in_order_and_within_bytes() {
        let feed = feed(TapInterval::Hour, 0);
        let count = |number: u32| TapCount {
            scope: TapScope::Stop(format!("{:0>60}", number / 3).parse().expect("a code")),
            slot: TapSlot {
                day: day("2026-11-23"),
                slot: u8::try_from(number % 3).expect("small"),
            },
            taps: Taps::new(number.into()).expect("few"),
        };
        let batches = TapBatch::pack(&feed, (0..1_000).map(count));
        assert!(1 < batches.len());
        let mut unpacked = Vec::new();
        for batch in &batches {
            assert!(
                TapBatch::new(feed.clone(), batch.scopes.clone(), batch.cells.clone()).is_some()
            );
            unpacked.extend(batch.cells().iter().map(|cell| TapCount {
                scope: batch.scopes()[usize::from(cell.scope)].clone(),
                slot: cell.slot,
                taps: cell.taps,
            }));
        }
        assert_eq!(unpacked, (0..1_000).map(count).collect::<Vec<_>>());
        assert!(TapBatch::pack(&feed, []).is_empty());
    }

    #[test]
    fn batch_whose_parts_do_not_fit_together_is_none() {
        let feed = feed(TapInterval::Hour, 0);
        let scope = || TapScope::Stop("00001".parse().expect("a code"));
        let cell = |scope, slot| TapCell {
            scope,
            slot: TapSlot {
                day: day("2026-03-29"),
                slot,
            },
            taps: Taps::default(),
        };
        let new = |scope, cell| TapBatch::new(feed.clone(), vec![scope], vec![cell]).is_some();
        assert!(new(scope(), cell(0, 22)));
        assert!(!new(scope(), cell(0, 23)), "this day has 23 hours");
        assert!(!new(scope(), cell(1, 0)));
        assert!(!new(TapScope::Operator, cell(0, 0)));
    }
}
