//! Whether others reported the same: what a reporter is told at once.
//!
//! The answer is of the narrowest reader, place and time of which ten or more other reporters told
//! something. About fewer nothing is said, so that nobody learns of a single one. Whoever
//! reports with several installations counts as several; of those that are too many and too
//! new for where they come from, as editions leave them out, all count as one.

use std::collections::{HashMap, HashSet};

use smol_str::SmolStr;

use super::{GetError, Ingest};
use crate::domain::limits::{OTHERS_LOOKED_AT_MAX, PUBLISHED_GROUP_MIN};
use crate::domain::taxonomy::ReaderKind;
use crate::domain::{
    Basis, Entry, Facts, Minute, OperatorCode, Personal, Position, Pseudonym, Row, StopId,
};
use crate::journal::{JournalError, Reader};
use crate::ledger::{Ledger, Recent};

const HOUR: u32 = 60;
const DAY: u32 = 24 * HOUR;

/// Of what others reported something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The same reader: in the same vehicle, or of the same kind at the same stop.
    Reader,
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
pub struct Corroboration {
    /// Of what.
    pub place: Place,
    /// In how many hours until now: 1 or 24.
    pub hours: u32,
}

/// From the narrowest to the widest.
const LADDER: [(Place, u32); 9] = [
    (Place::Reader, HOUR),
    (Place::Stop, HOUR),
    (Place::Line, HOUR),
    (Place::Reader, DAY),
    (Place::Stop, DAY),
    (Place::Line, DAY),
    (Place::Operator, HOUR),
    (Place::Operator, DAY),
    (Place::Everywhere, DAY),
];

impl Ingest {
    /// Whether others reported the same as the report at a place lately; `None` if too few
    /// reported anything.
    pub async fn others(&self, incident: Position) -> Result<Option<Corroboration>, GetError> {
        let (ledger, reader) = (self.ledger(), self.reader().clone());
        let look = move || find(&ledger, &reader, incident).map_err(GetError::Journal);
        self.read(look).await.unwrap_or(Err(GetError::Busy))
    }
}

fn find(
    ledger: &Ledger,
    reader: &Reader,
    incident: Position,
) -> Result<Option<Corroboration>, JournalError> {
    let mut people = Reporters::new(reader);
    let Some(own) = people.look_up(incident)? else {
        return Ok(None);
    };
    let (recent, row, now) = {
        let state = ledger.read();
        let numbers = state.dictionary().look_up(&own.facts);
        let scope = (numbers.operator, numbers.line, numbers.stop);
        (state.recent().clone(), scope, state.stamp().minute())
    };
    let Some(now) = now else {
        return Ok(None);
    };
    for (place, minutes) in LADDER {
        let at = own.told.at.as_ref().filter(|_| place == Place::Reader);
        if place == Place::Reader && at.is_none() {
            continue;
        }
        let Some(is_same) = same(around(place, at), row) else {
            continue;
        };
        let places = latest(&recent, now, minutes, incident, is_same);
        if people.are_enough(&places, own.told.names, at)? {
            let hours = minutes / HOUR;
            return Ok(Some(Corroboration { place, hours }));
        }
    }
    Ok(None)
}

/// Where reports of the same reader are found: rows do not tell vehicles or kinds of readers.
fn around(place: Place, at: Option<&At>) -> Place {
    match at {
        Some(At::Vehicle(..)) => Place::Operator,
        Some(At::Stop(..)) => Place::Stop,
        None => place,
    }
}

type Scope = (u16, u32, u32);

/// What tells rows of the same place; `None` if it is not known.
fn same(place: Place, (operator, line, stop): Scope) -> Option<impl Fn(&Row) -> bool> {
    let is_known = match place {
        Place::Reader | Place::Stop => stop != 0,
        Place::Line => line != 0,
        Place::Operator => operator != 0,
        Place::Everywhere => true,
    };
    is_known.then_some(move |row: &Row| match place {
        Place::Reader | Place::Stop => row.stop == stop,
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

/// A reader, as far as reports tell it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    /// In a vehicle of an operator.
    Vehicle(OperatorCode, SmolStr),
    /// Of a kind at a stop.
    Stop(StopId, ReaderKind),
}

/// Who reported, and which reader.
#[derive(Clone, Default)]
struct ReporterAtReader {
    names: Names,
    at: Option<At>,
}

/// The report that others are looked for of.
struct Own {
    facts: Box<Facts>,
    told: ReporterAtReader,
}

/// Who reported, as far as it had to be looked up.
struct Reporters<'a> {
    reader: &'a Reader,
    known: HashMap<Position, ReporterAtReader>,
}

impl At {
    fn of(facts: &Facts, personal: &Personal) -> Option<Self> {
        let vehicle = Some(&personal.vehicle).filter(|vehicle| !vehicle.is_empty());
        match (facts.operator.clone(), vehicle) {
            (Some(operator), Some(vehicle)) => Some(Self::Vehicle(operator, vehicle.clone())),
            _ => Some(Self::Stop(facts.stop.clone()?, facts.reader_kind?)),
        }
    }
}

impl<'a> Reporters<'a> {
    fn new(reader: &'a Reader) -> Self {
        Self {
            reader,
            known: HashMap::new(),
        }
    }

    /// The report at a place, if there is one.
    fn look_up(&self, place: Position) -> Result<Option<Own>, JournalError> {
        let record = self.reader.entry(place)?;
        Ok(record.and_then(|record| match record.entry {
            Entry::Incident { facts, personal } => {
                // Installations of nobody are of one reporter together.
                let told =
                    personal.map_or_else(ReporterAtReader::default, |personal| ReporterAtReader {
                        names: match facts.is_uncountable {
                            true => [None; 2],
                            false => [personal.card, personal.installation],
                        },
                        at: At::of(&facts, &personal),
                    });
                Some(Own { facts, told })
            }
            _ => None,
        }))
    }

    /// Whether ten or more others than `own` are behind these reports, or behind those of them
    /// that are of a reader. Those that name nobody are of one reporter together; one that
    /// shares a name with another is of the same.
    fn are_enough(
        &mut self,
        places: &[Position],
        own: Names,
        at: Option<&At>,
    ) -> Result<bool, JournalError> {
        if places.len() < PUBLISHED_GROUP_MIN {
            return Ok(false);
        }
        let mut seen: HashSet<(usize, [u8; 16])> = HashSet::new();
        remember(&mut seen, &own);
        let (mut count, mut has_nobody) = (0, false);
        for place in places {
            let told = self.told(*place)?;
            if at.is_some_and(|at| told.at.as_ref() != Some(at)) {
                continue;
            }
            let is_nobody = told.names.iter().all(Option::is_none);
            let is_new = match is_nobody {
                true => !std::mem::replace(&mut has_nobody, true),
                false => remember(&mut seen, &told.names),
            };
            count += usize::from(is_new);
            if PUBLISHED_GROUP_MIN <= count {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Of an amendment nothing is known: its incident's is not looked up, which counts too few
    /// and never too many.
    fn told(&mut self, place: Position) -> Result<ReporterAtReader, JournalError> {
        if let Some(told) = self.known.get(&place) {
            return Ok(told.clone());
        }
        let told = self.look_up(place)?.map(|own| own.told).unwrap_or_default();
        self.known.insert(place, told.clone());
        Ok(told)
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
