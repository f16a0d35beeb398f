//! Whether others reported the same: what a reporter is told at once.
//!
//! The answer is of the narrowest place and time of which ten or more other reporters told
//! something. About fewer nothing is said, so that nobody learns of a single one. Whoever
//! reports with several installations counts as several; of those that are too many and too
//! new for where they come from, as editions leave them out, all count as one.

use std::collections::{HashMap, HashSet};

use super::{GetError, Ingest};
use crate::domain::limits::{OTHERS_LOOKED_AT_MAX, PUBLISHED_GROUP_MIN};
use crate::domain::{Basis, Entry, Minute, Position, Pseudonym, Row};
use crate::journal::{JournalError, Reader};
use crate::ledger::{Ledger, Recent};

const HOUR: u32 = 60;
const DAY: u32 = 24 * HOUR;

/// Of what others reported something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The same stop.
    Stop,
    /// The same line.
    Line,
    /// The same operator.
    Operator,
    /// Anywhere.
    Everywhere,
}

/// That ten or more others reported something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Others {
    /// Of what.
    pub place: Place,
    /// In how many hours until now: 1 or 24.
    pub hours: u32,
}

/// From the narrowest to the widest.
const LADDER: [(Place, u32); 7] = [
    (Place::Stop, HOUR),
    (Place::Line, HOUR),
    (Place::Stop, DAY),
    (Place::Line, DAY),
    (Place::Operator, HOUR),
    (Place::Operator, DAY),
    (Place::Everywhere, DAY),
];

impl Ingest {
    /// Whether others reported the same as the report at a place lately; `None` if too few
    /// reported anything.
    pub async fn others(&self, incident: Position) -> Result<Option<Others>, GetError> {
        let (ledger, reader) = (self.ledger(), self.reader().clone());
        let look = move || find(&ledger, &reader, incident).map_err(GetError::Journal);
        self.read(look).await.unwrap_or(Err(GetError::Busy))
    }
}

fn find(
    ledger: &Ledger,
    reader: &Reader,
    incident: Position,
) -> Result<Option<Others>, JournalError> {
    let Some(facts) = facts_at(reader, incident)? else {
        return Ok(None);
    };
    let (recent, row, now) = {
        let state = ledger.read();
        let numbers = state.dictionary().look_up(&facts);
        let scope = (numbers.operator, numbers.line, numbers.stop);
        (state.recent().clone(), scope, state.stamp().minute())
    };
    let Some(now) = now else {
        return Ok(None);
    };
    let mut people = People::new(reader, incident)?;
    for (place, minutes) in LADDER {
        let Some(is_same) = same(place, row) else {
            continue;
        };
        let places = latest(&recent, now, minutes, incident, is_same);
        if people.are_enough(&places)? {
            let hours = minutes / HOUR;
            return Ok(Some(Others { place, hours }));
        }
    }
    Ok(None)
}

fn facts_at(
    reader: &Reader,
    incident: Position,
) -> Result<Option<Box<crate::domain::Facts>>, JournalError> {
    let record = reader.entry(incident)?;
    Ok(record.and_then(|record| match record.entry {
        Entry::Incident { facts, .. } => Some(facts),
        _ => None,
    }))
}

type Scope = (u16, u32, u32);

/// What tells rows of the same place; `None` if it is not known.
fn same(place: Place, (operator, line, stop): Scope) -> Option<impl Fn(&Row) -> bool> {
    let is_known = match place {
        Place::Stop => stop != 0,
        Place::Line => line != 0,
        Place::Operator => operator != 0,
        Place::Everywhere => true,
    };
    is_known.then_some(move |row: &Row| match place {
        Place::Stop => row.stop == stop,
        Place::Line => row.line == line,
        Place::Operator => row.operator == operator,
        Place::Everywhere => true,
    })
}

/// Places of the latest self-reports of the same place but this one, the latest first.
fn latest(
    recent: &Recent,
    now: Minute,
    minutes: u32,
    incident: Position,
    is_same: impl Fn(&Row) -> bool,
) -> Vec<Position> {
    let (from, to) = (Minute(now.0.saturating_sub(minutes)), Minute(now.0 + 1));
    let rows = recent
        .rows(from, to)
        .filter(|row| row.basis == Basis::SelfReported && row.position != incident && is_same(row));
    let mut places: Vec<Position> = rows.map(|row| row.position).collect();
    places.sort_unstable();
    places.reverse();
    places.truncate(OTHERS_LOOKED_AT_MAX);
    places
}

/// Card and installation of whoever reported; `None` where they are not told or not kept.
type Names = [Option<Pseudonym>; 2];

/// Who reported, as far as it had to be looked up.
struct People<'a> {
    reader: &'a Reader,
    own: Names,
    known: HashMap<Position, Names>,
}

impl<'a> People<'a> {
    fn new(reader: &'a Reader, incident: Position) -> Result<Self, JournalError> {
        let mut people = Self {
            reader,
            own: [None; 2],
            known: HashMap::new(),
        };
        people.own = people.names(incident)?;
        Ok(people)
    }

    /// Whether ten or more others are behind these reports. Those that name nobody are of one
    /// reporter together; one that shares a name with another is of the same.
    fn are_enough(&mut self, places: &[Position]) -> Result<bool, JournalError> {
        if places.len() < PUBLISHED_GROUP_MIN {
            return Ok(false);
        }
        let mut seen: HashSet<(usize, [u8; 16])> = HashSet::new();
        remember(&mut seen, &self.own);
        let (mut count, mut has_nobody) = (0, false);
        for place in places {
            let names = self.names(*place)?;
            let is_nobody = names.iter().all(Option::is_none);
            let is_new = match is_nobody {
                true => !std::mem::replace(&mut has_nobody, true),
                false => remember(&mut seen, &names),
            };
            count += usize::from(is_new);
            if PUBLISHED_GROUP_MIN <= count {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn names(&mut self, place: Position) -> Result<Names, JournalError> {
        if let Some(names) = self.known.get(&place) {
            return Ok(*names);
        }
        let record = self.reader.entry(place)?;
        let names = match record.map(|record| record.entry) {
            Some(Entry::Incident {
                facts,
                personal: Some(personal),
            }) if !facts.is_uncountable => [personal.card, personal.installation],
            // An amendment has none of its own: its incident's is not looked up, which
            // counts too few and never too many. So it is with installations of nobody.
            _ => [None; 2],
        };
        self.known.insert(place, names);
        Ok(names)
    }
}

/// Whether none of the names was seen before. All are from now on.
fn remember(seen: &mut HashSet<(usize, [u8; 16])>, names: &Names) -> bool {
    let mut is_new = true;
    for (kind, name) in names.iter().enumerate() {
        if let Some(name) = name {
            is_new &= seen.insert((kind, name.0));
        }
    }
    is_new
}
