//! Reads the parts of a checkpoint back into a state. Nothing in a file is believed: a number
//! that does not fit, a name that is none, a row that names what is not there is an error, and
//! no room is made for what a file only claims to hold.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use super::cases::{About, Case, Cases, Reply};
use super::cube::Cube;
use super::dictionary::Dictionary;
use super::ended::{MonthEnd, Months};
use super::ids::{ENTRY_BYTES, IdEntry};
use super::parts::{
    CASES, COUNTS, END, HEAD, IDS, MONTHS, NAMES, OPEN, OUTAGES, PART_BUCKETS, RECENT, RESTORES,
    TAPS, WITHDRAWN,
};
use super::recent::Recent;
use super::state::{State, Withdrawal};
use super::taps::{FeedBook, TapBook, TapDay};
use crate::domain::entry::Epoch;
use crate::domain::limits::{BLOCK_ROWS, STOPS_MAX, TAP_FEEDS_MAX, TAP_SCOPES_MAX};
use crate::domain::taps::{DayBegin, Refusals, TapGrain, TapInterval, TapKinds};
use crate::domain::taxonomy::{CaseState, SetOf, Taxonomy};
use crate::domain::time::{END_DAY, FIRST_DAY};
use crate::domain::{
    Basis, Hour, LocalDay, Minute, Outage, OutageChange, OutageTold, Outages, Position, Restore,
    Restores, Row, RowTime, TapFeed, UtcMillis,
};

/// Most columns of a cube: beyond the stops and beyond the values of all operators.
const COLUMNS_MAX: usize = STOPS_MAX + 1;
/// Ids for which room is made at once when a file claims them: 240 MB.
const ROOM_IDS_MAX: usize = 20_000_000;

/// What is wrong with a part that cannot be read.
pub(super) type Unreadable = &'static str;

/// A part, read.
pub(super) enum Read {
    /// Read when it is put in place.
    Whole { kind: u8, bytes: Vec<u8> },
    /// Rows of a cube.
    Counts { basis: u8, cube: u8, counts: Cube },
}

/// Reads a part as far as can be done without the others.
pub(super) fn read(kind: u8, bytes: Vec<u8>) -> Result<Read, Unreadable> {
    if kind != COUNTS {
        return Ok(Read::Whole { kind, bytes });
    }
    let mut input = Input(&bytes);
    let [basis, cube] = input.take()?;
    let counts = input.counts()?;
    Ok(Read::Counts {
        basis,
        cube,
        counts,
    })
}

/// Builds a state from its parts, in their order.
pub(super) struct Builder {
    state: State,
    /// The day whose ids are being read.
    day: Option<(u32, Vec<IdEntry>)>,
    /// Kinds of the parts put, without counts and ids.
    kinds: Vec<u8>,
    parts: u64,
}

impl Builder {
    /// Begins with an empty state.
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            day: None,
            kinds: Vec::new(),
            parts: 0,
        }
    }

    /// Puts the next part in place.
    pub(super) fn put(&mut self, part: Read) -> Result<(), Unreadable> {
        if self.kinds.last() == Some(&END) {
            return Err("a part comes after the end");
        }
        match part {
            Read::Counts {
                basis,
                cube,
                counts,
            } => {
                let tallies = self.state.tallies.get_mut(usize::from(basis));
                let cube = tallies.and_then(|tallies| tallies.cube_mut(cube.into()));
                cube.ok_or("no such cube")?.absorb(counts);
            }
            Read::Whole { kind: IDS, bytes } => self.put_ids(&bytes)?,
            Read::Whole { kind, bytes } => {
                self.kinds.push(kind);
                let mut input = Input(&bytes);
                self.put_small(kind, &mut input)?;
                input.end()?;
            }
        }
        self.parts += 1;
        Ok(())
    }

    /// The state, when all parts are in place.
    pub(super) fn finish(mut self) -> Result<State, Unreadable> {
        self.end_day()?;
        self.kinds
            .retain(|kind| ![OUTAGES, RESTORES].contains(kind));
        if self.kinds
            != [
                HEAD, NAMES, OPEN, WITHDRAWN, RECENT, TAPS, CASES, MONTHS, END,
            ]
        {
            return Err("parts are missing");
        }
        Ok(self.state)
    }

    fn put_small(&mut self, kind: u8, input: &mut Input) -> Result<(), Unreadable> {
        let state = &mut self.state;
        match kind {
            HEAD => input.head(state)?,
            NAMES => state.dictionary = Arc::new(input.dictionary()?),
            OPEN => state.open.extend(input.rows(&state.dictionary)?),
            WITHDRAWN => {
                let withdrawals = input.withdrawals()?;
                let withdrawn: BTreeSet<Position> = withdrawals.iter().map(|one| one.of).collect();
                if withdrawn.len() != withdrawals.len() {
                    return Err("an incident is withdrawn twice");
                }
                state.withdrawn = Arc::new(withdrawn);
                state.withdrawals = Arc::new(withdrawals);
            }
            RECENT => {
                state.recent = input.recent(&state.dictionary)?;
                state.untimed = input.recent(&state.dictionary)?;
            }
            TAPS => state.taps = Arc::new(input.taps(&state.dictionary)?),
            CASES => state.cases = Arc::new(input.cases(&state.dictionary)?),
            OUTAGES => state.outages = Arc::new(input.outages()?),
            RESTORES => state.restores = Arc::new(input.restores()?),
            MONTHS => {
                state.months = input.months()?;
                if state.position != Position(0) {
                    state.months.resume(state.stamp);
                }
                state.first_block = state.months.ended().map_or(0, |end| end.blocks);
                state.rows_after = state.months.ended_through();
            }
            END if u64::from_le_bytes(input.take()?) == self.parts => {}
            END => return Err("parts are missing"),
            _ => return Err("a part is of unknown kind"),
        }
        if BLOCK_ROWS <= state.open.len() {
            return Err("the open block is full");
        }
        Ok(())
    }

    fn put_ids(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let mut input = Input(bytes);
        let day_ids = u64::from_le_bytes(input.take()?);
        let day = u32::from_le_bytes(input.take()?);
        let (entries, rest) = input.0.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() || day_ids < entries.len() as u64 {
            return Err("a part of the ids is too long");
        }
        if self.day.as_ref().is_none_or(|(other, _)| *other != day) {
            self.end_day()?;
            // Claimed, not proven: room for more is made as it is needed.
            let claimed = usize::try_from(day_ids).unwrap_or(0).min(ROOM_IDS_MAX);
            self.day = Some((day, Vec::with_capacity(claimed)));
        }
        if let Some((_, ids)) = &mut self.day {
            ids.extend_from_slice(entries);
        }
        Ok(())
    }

    fn end_day(&mut self) -> Result<(), Unreadable> {
        let is_sorted = self
            .day
            .take()
            .is_none_or(|(day, ids)| self.state.ids.put_day(day, ids));
        if is_sorted {
            Ok(())
        } else {
            Err("the ids are out of order")
        }
    }
}

/// Any text.
struct Text(String);

impl FromStr for Text {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// What is left to read of a part.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn end(&self) -> Result<(), Unreadable> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("a part is too long")
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("a part is too short")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn slice(&mut self, len: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("a part is too short")?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn long(&mut self) -> Result<u64, Unreadable> {
        if let [byte, rest @ ..] = self.0
            && *byte < 0x80
        {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        self.long_bytes()
    }

    /// A number of more than one byte.
    fn long_bytes(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.take()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number is too long")
    }

    #[inline]
    fn number<T: TryFrom<u64>>(&mut self) -> Result<T, Unreadable> {
        T::try_from(self.long()?).map_err(|_| "a number is too great")
    }

    fn head(&mut self, state: &mut State) -> Result<(), Unreadable> {
        state.first = Position(self.long()?);
        state.position = Position(self.long()?);
        state.stamp = UtcMillis(self.long()?.cast_signed());
        state.blocks = self.number()?;
        state.blocks_crc = self.number()?;
        if !self.0.is_empty() {
            state.network = Some((self.number()?, self.take()?));
        }
        Ok(())
    }

    fn months(&mut self) -> Result<Months, Unreadable> {
        let [ended, kept]: [u64; 2] = [self.long()?, self.long()?];
        let mut months = Months::default();
        let mut before = Position(0);
        for place in 0..ended.saturating_add(kept) {
            let end = MonthEnd {
                through: Position(self.long()?),
                until: UtcMillis(self.long()?.cast_signed()),
                blocks: self.number()?,
                blocks_crc: self.number()?,
            };
            if end.through <= before {
                return Err("months are out of order");
            }
            before = end.through;
            if place < ended {
                months.ended = Some(end);
            } else {
                months.ends.push(end);
            }
        }
        Ok(months)
    }

    fn dictionary(&mut self) -> Result<Dictionary, Unreadable> {
        let (operators, lines, stops) = (self.names()?, self.names()?, self.names()?);
        Dictionary::from_names(&operators, &lines, &stops).ok_or("a name stands twice")
    }

    fn names<T: FromStr>(&mut self) -> Result<Vec<T>, Unreadable> {
        let count: u32 = self.number()?;
        let mut names = Vec::new();
        for _ in 0..count {
            let len = self.number()?;
            let text = str::from_utf8(self.slice(len)?).map_err(|_| "a name is no text")?;
            names.push(text.parse().map_err(|_| "a name is no identifier")?);
        }
        Ok(names)
    }

    fn taps(&mut self, dictionary: &Dictionary) -> Result<TapBook, Unreadable> {
        let mut taps = TapBook {
            last: Position(self.long()?),
            crc: self.number()?,
            kept_from: match self.number::<i32>()? {
                0 => None,
                day => Some(LocalDay(day)),
            },
            feeds: Vec::new(),
        };
        let count: usize = self.number()?;
        for _ in 0..count {
            let book = self.feed_book(dictionary)?;
            if taps.find(&book.feed.id).is_some() || TAP_FEEDS_MAX <= taps.feeds.len() {
                return Err("a feed stands twice, or there are too many");
            }
            taps.feeds.push(Arc::new(book));
        }
        Ok(taps)
    }

    fn feed_book(&mut self, dictionary: &Dictionary) -> Result<FeedBook, Unreadable> {
        let mut book = FeedBook::new(self.feed()?, Position(self.long()?));
        let scopes: u32 = self.number()?;
        for _ in 0..scopes {
            let numbers = (self.number()?, self.number()?);
            let (line, stop): (u32, u32) = numbers;
            let is_known = (line as usize) < dictionary.lines()
                && (stop as usize) < dictionary.stops()
                && book.scopes.len() < TAP_SCOPES_MAX;
            if !is_known || !book.add(numbers) {
                return Err("a scope is unknown or stands twice");
            }
        }
        let days: u32 = self.number()?;
        for _ in 0..days {
            let day = LocalDay(self.number()?);
            let changed = Position(self.long()?);
            let chunks: u32 = self.number()?;
            let chunks = (0..chunks)
                .map(|_| self.number())
                .collect::<Result<Vec<u16>, _>>()?;
            let is_sound = FIRST_DAY < day && day < END_DAY && chunks.is_sorted();
            if !is_sound || book.days.insert(day, TapDay { chunks, changed }).is_some() {
                return Err("a day of tap counts is unsound");
            }
        }
        Ok(book)
    }

    fn feed(&mut self) -> Result<TapFeed, Unreadable> {
        const UNSOUND: Unreadable = "a feed is unsound";
        let texts: Vec<Text> = self.names()?;
        let [id, operator] = &texts[..] else {
            return Err(UNSOUND);
        };
        let [grain, interval, refusals, begin] = self.take()?;
        let kinds = SetOf::from_bits(u16::from_le_bytes(self.take()?));
        Ok(TapFeed {
            id: id.0.parse().map_err(|_| UNSOUND)?,
            operator: operator.0.parse().map_err(|_| UNSOUND)?,
            grain: TapGrain::from_number(grain).ok_or(UNSOUND)?,
            interval: TapInterval::from_number(interval).ok_or(UNSOUND)?,
            kinds: TapKinds::new(kinds).map_err(|_| UNSOUND)?,
            refusals: Refusals::from_number(refusals).ok_or(UNSOUND)?,
            day_begin: DayBegin::new(begin.into()).map_err(|_| UNSOUND)?,
        })
    }

    fn rows(&mut self, dictionary: &Dictionary) -> Result<Vec<Row>, Unreadable> {
        let count: u32 = self.number()?;
        (0..count).map(|_| self.row(dictionary)).collect()
    }

    fn row(&mut self, dictionary: &Dictionary) -> Result<Row, Unreadable> {
        let position = Position(self.long()?);
        let time: u32 = self.number()?;
        let (operator, line, stop) = (self.number()?, self.number()?, self.number()?);
        let [flags, mode, tap_kind, card_kind, signal] = self.take()?;
        let mut set = || self.take().map(u16::from_le_bytes);
        let row = Row {
            position,
            time: row_time(flags & 1 != 0, time)?,
            basis: match flags & 2 {
                0 => Basis::SelfReported,
                _ => Basis::Observed,
            },
            operator,
            line,
            stop,
            mode,
            tap_kind,
            card_kind,
            signal,
            causes: set()?,
            staff_acts: set()?,
            outcomes: set()?,
        };
        let is_sound = usize::from(operator) < dictionary.operators()
            && (line as usize) < dictionary.lines()
            && (stop as usize) < dictionary.stops()
            && [mode, tap_kind, card_kind, signal]
                .iter()
                .all(|value| *value < 16);
        if is_sound {
            Ok(row)
        } else {
            Err("a row names what is not there")
        }
    }

    fn withdrawals(&mut self) -> Result<Vec<Withdrawal>, Unreadable> {
        let count: u64 = self.long()?;
        let mut before = 0u64;
        (0..count)
            .map(|_| {
                before = before
                    .checked_add(self.long()?)
                    .ok_or("a number is too great")?;
                let of = before.checked_sub(self.long()?);
                Ok(Withdrawal {
                    at: Position(before),
                    of: Position(of.ok_or("a number is too great")?),
                })
            })
            .collect()
    }

    fn cases(&mut self, dictionary: &Dictionary) -> Result<Cases, Unreadable> {
        let count: u64 = self.long()?;
        let mut cases = Cases::default();
        let mut before = Position(0);
        for _ in 0..count {
            let incident = Position(self.long()?);
            let case = self.case(dictionary)?;
            let mut places = case.amendments.iter();
            if incident <= before || places.any(|at| *at <= incident) {
                return Err("a case is out of order");
            }
            before = incident;
            cases.put(incident, case);
        }
        Ok(cases)
    }

    fn case(&mut self, dictionary: &Dictionary) -> Result<Case, Unreadable> {
        let mut case = Case::default();
        let amendments: u32 = self.number()?;
        for _ in 0..amendments {
            case.amendments.push(Position(self.long()?));
        }
        if !case.amendments.is_sorted_by(|a, b| a < b) {
            return Err("a case is out of order");
        }
        case.erased = Some(Position(self.long()?)).filter(|at| *at != Position(0));
        case.about = match self.take()? {
            [0] => None,
            [_] => Some(self.about(dictionary)?),
        };
        let replies: u32 = self.number()?;
        for _ in 0..replies {
            let at = Position(self.long()?);
            let stamp = UtcMillis(self.long()?.cast_signed());
            let [state] = self.take()?;
            let state = CaseState::from_number(state).ok_or("a case has an unknown state")?;
            case.replies.push(Reply { at, stamp, state });
        }
        Ok(case)
    }

    fn outages(&mut self) -> Result<Outages, Unreadable> {
        let mut outages = Outages::default();
        let mut before = Position(0);
        while !self.0.is_empty() {
            let at = Position(self.long()?);
            let stamp = UtcMillis(self.long()?.cast_signed());
            let operator = self.names()?.pop();
            let (first, last): (u32, u32) = (self.number()?, self.number()?);
            let days = [first, last].map(|day| LocalDay(day.cast_signed()));
            let outage = Outage::new(operator, days[0], days[1]);
            let change = OutageChange {
                outage: outage.map_err(|_| "an outage is none")?,
                is_withdrawal: self.take()? == [1],
            };
            if at <= before || !outages.tell(OutageTold { at, stamp, change }) {
                return Err("an outage is out of order");
            }
            before = at;
        }
        Ok(outages)
    }

    fn restores(&mut self) -> Result<Restores, Unreadable> {
        let mut restores = Restores::default();
        while !self.0.is_empty() {
            let at = Position(self.long()?);
            let epoch = Epoch(self.take()?);
            if !restores.tell(Restore { at, epoch }) {
                return Err("a restore is out of order");
            }
        }
        Ok(restores)
    }

    fn about(&mut self, dictionary: &Dictionary) -> Result<About, Unreadable> {
        let operator: u16 = self.number()?;
        if dictionary.operators() <= usize::from(operator) {
            return Err("a case names what is not there");
        }
        let received = UtcMillis(self.long()?.cast_signed());
        let [is_day] = self.take()?;
        let time = row_time(is_day == 1, self.number()?)?;
        Ok(About {
            operator,
            received,
            time,
        })
    }

    fn recent(&mut self, dictionary: &Dictionary) -> Result<Recent, Unreadable> {
        let mut recent = Recent::begin(Minute(self.number()?));
        let count: u32 = self.number()?;
        for _ in 0..count {
            let minute = Minute(self.number()?);
            for row in self.rows(dictionary)? {
                recent.add(minute, row);
            }
        }
        Ok(recent)
    }

    fn counts(&mut self) -> Result<Cube, Unreadable> {
        let start: u32 = self.number()?;
        // Later than any supported hour, so that room for a few rows is not room for all.
        if END_DAY.start().0 < start {
            return Err("a bucket is too late");
        }
        let mut cube = Cube::default();
        let mut row = Vec::new();
        while !self.0.is_empty() {
            let offset: u32 = self.number()?;
            if PART_BUCKETS <= offset {
                return Err("a bucket is too late");
            }
            self.row_counts(&mut row)?;
            cube.put_row(start + offset, &row);
        }
        Ok(cube)
    }

    fn row_counts(&mut self, row: &mut Vec<u32>) -> Result<(), Unreadable> {
        let cells: u32 = self.number()?;
        row.clear();
        for _ in 0..cells {
            let token = self.long()?;
            let gap = usize::try_from(token >> 1).unwrap_or(COLUMNS_MAX);
            let column = row.len() + gap;
            if COLUMNS_MAX <= column {
                return Err("a column is too far");
            }
            row.resize(column, 0);
            let more = if token & 1 == 1 {
                self.number::<u32>()?
            } else {
                0
            };
            let count = if token & 1 == 1 {
                more.saturating_add(2)
            } else {
                1
            };
            row.push(count);
        }
        Ok(())
    }
}

fn row_time(is_day: bool, time: u32) -> Result<RowTime, Unreadable> {
    let time = if is_day {
        RowTime::Day(LocalDay(time.cast_signed()))
    } else {
        RowTime::Hour(Hour(time))
    };
    let is_supported = match time {
        RowTime::Hour(hour) => FIRST_DAY.start() <= hour && hour < END_DAY.start(),
        RowTime::Day(day) => FIRST_DAY <= day && day < END_DAY,
    };
    if is_supported {
        Ok(time)
    } else {
        Err("a time is outside the supported years")
    }
}
