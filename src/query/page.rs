//! Pages: which rows of an answer, and the token with which the next page goes on.
//!
//! A token holds the keys and the count of the last row, as texts and not as numbers of any
//! table, so it stays valid while incidents arrive: the next page begins with the first row
//! after that one, whether or not it still exists.

use std::borrow::Cow;

use siphasher::sip::SipHasher13;

use crate::domain::limits::QUESTION_ROWS_MAX;
use crate::domain::{Basis, Dimension, LineId, OperatorCode, Question, StopId};
use crate::ledger::Dictionary;

use super::axis::{Axis, Places};
use super::few_days::RecordedDays;
use super::grid::{self, Entry};
use super::{Cells, Counts, Figure, QueryError, Recorded};

/// The order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By key, rising, byte by byte.
    Key,
    /// By count, falling; ties by key.
    Count,
}

/// Which rows of the answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// How many, from 1 to `QUESTION_ROWS_MAX`; a number beyond is taken as the nearest.
    pub rows: usize,
    /// In which order.
    pub order: Order,
    /// After which row; `None` for the first page.
    pub after: Option<PageToken>,
}

/// Where a page ended. Opaque outside; stays valid while incidents arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken {
    text: String,
    cursor: Cursor,
}

/// The last row of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) keys: Vec<String>,
    pub(super) count: u64,
}

const VERSION: u8 = 1;
const COUNT_BYTES: usize = 8;
const SEAL_BYTES: usize = 8;
/// Tells our seals from other uses of the hash; it is no secret.
const SEAL_KEY: (u64, u64) = (0x6d69_7374_6170_0001, 0x7061_6765_0000_0001);

// === impl PageToken ===

impl PageToken {
    /// Reads a token that an answer to the same question, in the same order, ended with.
    pub fn parse(text: &str, question: &Question, order: Order) -> Result<Self, QueryError> {
        let cursor = read_token(text, question, order).ok_or(QueryError::PageToken)?;
        Ok(Self {
            text: text.to_owned(),
            cursor,
        })
    }

    /// The token as text: digits and letters.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn new(cursor: Cursor, question: &Question, order: Order) -> Self {
        let mut bytes = vec![VERSION];
        bytes.extend(cursor.count.to_be_bytes());
        for key in &cursor.keys {
            bytes.push(u8::try_from(key.len()).expect("keys are bounded, see limits"));
            bytes.extend(key.as_bytes());
        }
        bytes.extend(seal(&bytes, question, order));
        let text = base16ct::lower::encode_string(&bytes);
        Self { text, cursor }
    }
}

fn read_token(text: &str, question: &Question, order: Order) -> Option<Cursor> {
    let bytes = base16ct::lower::decode_vec(text).ok()?;
    let (body, sealed) = bytes.split_at_checked(bytes.len().checked_sub(SEAL_BYTES)?)?;
    if sealed != seal(body, question, order) {
        return None;
    }
    let (version, rest) = body.split_first()?;
    let (count, mut rest) = rest.split_first_chunk::<COUNT_BYTES>()?;
    let mut keys = Vec::new();
    while let Some((length, tail)) = rest.split_first() {
        let (key, tail) = tail.split_at_checked(usize::from(*length))?;
        keys.push(String::from_utf8(key.to_vec()).ok()?);
        rest = tail;
    }
    let is_ours = *version == VERSION && keys.len() == question.by.dimensions().len();
    is_ours.then(|| Cursor {
        keys,
        count: u64::from_be_bytes(*count),
    })
}

fn seal(body: &[u8], question: &Question, order: Order) -> [u8; SEAL_BYTES] {
    let mut bytes = Vec::new();
    put_question(&mut bytes, question);
    bytes.push(match order {
        Order::Key => 1,
        Order::Count => 2,
    });
    bytes.extend(body);
    let hasher = SipHasher13::new_with_keys(SEAL_KEY.0, SEAL_KEY.1);
    hasher.hash(&bytes).to_be_bytes()
}

/// The question in bytes that no other question has, and that stay the same for whatever
/// program this becomes.
fn put_question(out: &mut Vec<u8>, question: &Question) {
    let filter = &question.filter;
    out.push(match filter.basis {
        Basis::SelfReported => 1,
        Basis::Observed => 2,
    });
    put_texts(out, filter.operators.iter().map(OperatorCode::as_str));
    put_texts(out, filter.lines.iter().map(LineId::as_str));
    put_texts(out, filter.stops.iter().map(StopId::as_str));
    for bits in [
        filter.modes.bits(),
        filter.causes.bits(),
        filter.card_kinds.bits(),
        filter.signals.bits(),
        filter.staff_acts.bits(),
        filter.outcomes.bits(),
        filter.tap_kinds.bits(),
    ] {
        out.extend(bits.to_be_bytes());
    }
    out.extend(filter.hours_of_day.to_be_bytes());
    out.push(filter.weekdays);
    let dimensions = question.by.dimensions().iter().copied();
    put_texts(out, dimensions.map(Dimension::key));
    for hour in [question.window.start(), question.window.end()] {
        out.extend(hour.0.to_be_bytes());
    }
}

fn put_texts<'a>(out: &mut Vec<u8>, texts: impl ExactSizeIterator<Item = &'a str>) {
    out.extend((texts.len() as u64).to_be_bytes());
    for text in texts {
        out.extend((text.len() as u64).to_be_bytes());
        out.extend(text.as_bytes());
    }
}

// === Cutting ===

/// The rows of a page, and the token for the next one.
pub(super) fn cut(
    counts: &Counts,
    (question, recorded): (&Question, Recorded),
    page: &Page,
    dictionary: &Dictionary,
) -> (Vec<Figure>, Option<PageToken>) {
    let rows = page.rows.clamp(1, QUESTION_ROWS_MAX);
    let after = page.after.as_ref().map(|token| &token.cursor);
    // One row more than asked for tells whether there is a next page.
    let entries = match (&counts.cells, page.order) {
        (Cells::Sparse(entries), _) => Cow::Borrowed(entries.as_slice()),
        (Cells::Dense(cells), Order::Key) => {
            grid::first_by_key(cells, &counts.axes, after, rows + 1, dictionary).into()
        }
        (Cells::Dense(cells), Order::Count) => grid::first_by_count(cells, after, rows + 1).into(),
    };
    let placed = || {
        let places = |(cell, count): &Entry| (counts.axes.places(*cell), *count);
        entries.iter().map(places)
    };
    let rankings: Vec<Ranking> = counts
        .axes
        .asked
        .iter()
        .enumerate()
        .map(|(index, axis)| {
            let used = placed().map(|(places, _)| places[index]);
            Ranking::new(axis, used, dictionary)
        })
        .collect();
    let mut ranked = rank(placed(), &rankings, page.order, after);
    if rows + 1 < ranked.len() {
        ranked.select_nth_unstable(rows);
        ranked.truncate(rows + 1);
    }
    ranked.sort_unstable();
    let has_more = rows < ranked.len();
    ranked.truncate(rows);
    let days = RecordedDays::of(question, recorded);
    let of_line = |row: &Ranked| {
        let (line_days, lines) = counts.line_days.as_ref().zip(rankings.first())?;
        Some(line_days.rests_on_few(lines.place(row.ranks[0]), &days))
    };
    let figures: Vec<Figure> = ranked
        .iter()
        .map(|row| Figure {
            keys: (0..)
                .zip(&rankings)
                .map(|(axis, ranking)| ranking.key(row.ranks[axis]))
                .collect(),
            count: row.count.into(),
            rests_on_few_days: of_line(row),
        })
        .collect();
    let last = figures.last().filter(|_| has_more).map(|figure| Cursor {
        keys: figure.keys.clone(),
        count: figure.count,
    });
    let next = last.map(|cursor| PageToken::new(cursor, question, page.order));
    (figures, next)
}

/// A row in the order of the page: falling counts as rising numbers, then the keys' ranks.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ranked {
    first: u64,
    ranks: Places,
    count: u32,
}

fn rank(
    placed: impl Iterator<Item = (Places, u32)>,
    rankings: &[Ranking],
    order: Order,
    after: Option<&Cursor>,
) -> Vec<Ranked> {
    let first = |count: u64| match order {
        Order::Key => 0,
        Order::Count => u64::MAX - count,
    };
    let after = after.map(|cursor| {
        let mut ranks = Places::default();
        for (rank, (ranking, key)) in ranks.iter_mut().zip(rankings.iter().zip(&cursor.keys)) {
            *rank = ranking.rank_of_key(key);
        }
        (first(cursor.count), ranks)
    });
    let row = |(places, count): (Places, u32)| {
        let mut ranks = Places::default();
        for (rank, (ranking, place)) in ranks.iter_mut().zip(rankings.iter().zip(places)) {
            *rank = ranking.ranks[place as usize];
        }
        Ranked {
            first: first(u64::from(count)),
            ranks,
            count,
        }
    };
    placed
        .map(row)
        .filter(|row| after.is_none_or(|after| after < (row.first, row.ranks)))
        .collect()
}

/// The places in use on one axis, in the order of their keys. Ranks of places are odd, so
/// that a key between two of them has an even one.
struct Ranking<'a> {
    axis: &'a Axis,
    dictionary: &'a Dictionary,
    sorted: Vec<u32>,
    ranks: Vec<u32>,
}

impl<'a> Ranking<'a> {
    fn new(axis: &'a Axis, used: impl Iterator<Item = u32>, dictionary: &'a Dictionary) -> Self {
        let mut ranks = vec![0; axis.size as usize];
        let mut sorted = Vec::new();
        for place in used {
            let seen = &mut ranks[place as usize];
            if *seen == 0 {
                *seen = 1;
                sorted.push(place);
            }
        }
        if axis.is_sorted() {
            sorted.sort_unstable();
        } else {
            let mut keyed: Vec<_> = sorted
                .iter()
                .map(|place| (axis.key(*place, dictionary), *place))
                .collect();
            keyed.sort_unstable();
            sorted = keyed.into_iter().map(|(_, place)| place).collect();
        }
        for (rank, place) in (0..).zip(&sorted) {
            ranks[*place as usize] = 2 * rank + 1;
        }
        Self {
            axis,
            dictionary,
            sorted,
            ranks,
        }
    }

    fn key(&self, rank: u32) -> String {
        self.axis
            .key(self.place(rank), self.dictionary)
            .into_owned()
    }

    fn place(&self, rank: u32) -> u32 {
        self.sorted[(rank / 2) as usize]
    }

    fn rank_of_key(&self, key: &str) -> u32 {
        let key_at = |place: &u32| self.axis.key(*place, self.dictionary);
        let before = self.sorted.partition_point(|place| *key_at(place) < *key);
        let is_here = self
            .sorted
            .get(before)
            .is_some_and(|place| key_at(place) == key);
        2 * u32::try_from(before).expect("axes are bounded") + u32::from(is_here)
    }
}
