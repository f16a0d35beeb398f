//! Whether others reported the same: what a reporter is told at once.
//!
//! The answer is of the narrowest reader, place and time of which ten or more other reporters told
//! something. About fewer nothing is said, so that nobody learns of a single one. Who invents cards
//! and installations could be nine of the ten, and learn by the tenth whether somebody reported, as
//! a conductor may wish to know of a passenger. Addresses are harder to come by: of one address
//! prefix three reporters count at most, whatever they name, and none of the asker's own, so that
//! nine takes three prefixes beside the one that asks. What an instance does not know the origin of,
//! as after a restart, is of one reporter together. Installations that are too many and too new for
//! where they come from, as editions leave them out, are of one reporter as well.
//!
//! Cards and installations are joined as in editions, as far as the reports that are looked at name
//! both.

use std::collections::{HashMap, HashSet};
use std::iter;
use std::sync::Arc;

use smol_str::SmolStr;

use super::origins::{Neighbourhood, Origins};
use super::{GetError, Ingest};
use crate::domain::limits::{
    OTHERS_LOOKED_AT_MAX, OTHERS_LOOKED_AT_PER_PREFIX_MAX, OTHERS_PER_PREFIX_MAX,
    OTHERS_SEARCHED_MAX, PUBLISHED_GROUP_MIN,
};
use crate::domain::reporters::{self, Names};
use crate::domain::taxonomy::ReaderKind;
use crate::domain::{Basis, Entry, Facts, Minute, OperatorCode, Personal, Position, Row, StopId};
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
        let (ledger, shared) = (self.ledger(), Arc::clone(&self.shared));
        let look = move || {
            let people = Reporters::new(&shared.reader, &shared.origins);
            find(&ledger, people, incident).map_err(GetError::Journal)
        };
        self.read(look).await.unwrap_or(Err(GetError::Busy))
    }
}

fn find(
    ledger: &Ledger,
    mut people: Reporters<'_>,
    incident: Position,
) -> Result<Option<Corroboration>, JournalError> {
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
    let from = people.origins.of(&[incident])[0];
    for (place, minutes) in LADDER {
        let at = own.told.at.as_ref().filter(|_| place == Place::Reader);
        if place == Place::Reader && at.is_none() {
            continue;
        }
        let Some(is_same) = same(around(place, at), row) else {
            continue;
        };
        let places = people.looked_at(&latest(&recent, now, minutes, incident, is_same), from);
        if people.are_enough(&places, &own.told, from, at)? {
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
    places
}

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

/// A report's reporter, and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Teller {
    /// Number of the reporter.
    reporter: u32,
    from: Neighbourhood,
}

/// Who reported, as far as it had to be looked up.
struct Reporters<'a> {
    reader: &'a Reader,
    origins: &'a Origins,
    /// By place; `None` for what is no report.
    known: HashMap<Position, Option<ReporterAtReader>>,
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
    fn new(reader: &'a Reader, origins: &'a Origins) -> Self {
        Self {
            reader,
            origins,
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
                            true => Names::default(),
                            false => Names {
                                card: personal.card,
                                installation: personal.installation,
                            },
                        },
                        at: At::of(&facts, &personal),
                    });
                Some(Own { facts, told })
            }
            _ => None,
        }))
    }

    /// Of the latest reports those that are looked at: some of each address prefix, and none of the
    /// asker's own, so that a flood from one address leaves room for all others.
    fn looked_at(&self, latest: &[Position], own: Neighbourhood) -> Vec<(Position, Neighbourhood)> {
        let mut chosen = Vec::new();
        let mut by_origin: HashMap<Neighbourhood, usize> = HashMap::new();
        let searched = &latest[..latest.len().min(OTHERS_SEARCHED_MAX)];
        for places in searched.chunks(OTHERS_LOOKED_AT_MAX) {
            for (place, from) in iter::zip(places, self.origins.of(places)) {
                let taken = by_origin.entry(from).or_default();
                let most = match from {
                    Neighbourhood::Prefix(_) if from == own => 0,
                    Neighbourhood::Prefix(_) => OTHERS_LOOKED_AT_PER_PREFIX_MAX,
                    Neighbourhood::Unknown | Neighbourhood::Here => OTHERS_LOOKED_AT_MAX,
                };
                if *taken < most {
                    *taken += 1;
                    chosen.push((*place, from));
                }
                if OTHERS_LOOKED_AT_MAX <= chosen.len() {
                    return chosen;
                }
            }
        }
        chosen
    }

    /// Whether ten or more others than whoever reported `own` are behind these reports, or behind
    /// those of them that are of a reader. Names are joined over all of them first.
    fn are_enough(
        &mut self,
        places: &[(Position, Neighbourhood)],
        own: &ReporterAtReader,
        own_from: Neighbourhood,
        at: Option<&At>,
    ) -> Result<bool, JournalError> {
        if places.len() < PUBLISHED_GROUP_MIN {
            return Ok(false);
        }
        let mut told = Vec::with_capacity(places.len());
        for (place, from) in places {
            told.extend(self.told(*place)?.map(|told| (told, *from)));
        }
        let names = iter::once(own.names).chain(told.iter().map(|(told, _)| told.names));
        let numbers = reporters::number(names);
        let is_of_reader =
            |told: &ReporterAtReader| at.is_none_or(|at| told.at.as_ref() == Some(at));
        let tellers = iter::zip(&told, &numbers[1..]);
        let tellers = tellers.filter(|((told, _), _)| is_of_reader(told));
        let tellers = tellers.map(|((_, from), reporter)| Teller {
            reporter: *reporter,
            from: *from,
        });
        let own = Teller {
            reporter: numbers[0],
            from: own_from,
        };
        Ok(PUBLISHED_GROUP_MIN <= others(own, tellers))
    }

    /// Who reported at a place; `None` for an amendment: its incident's reporter is not looked up,
    /// which counts too few and never too many.
    fn told(&mut self, place: Position) -> Result<Option<ReporterAtReader>, JournalError> {
        if let Some(told) = self.known.get(&place) {
            return Ok(told.clone());
        }
        let told = self.look_up(place)?.map(|own| own.told);
        self.known.insert(place, told.clone());
        Ok(told)
    }
}

/// How many others than `own` count among these. One that came from several places counts at the
/// first that has room.
fn others(own: Teller, tellers: impl Iterator<Item = Teller>) -> usize {
    let mut counted = HashSet::new();
    let mut by_origin: HashMap<Neighbourhood, usize> = HashMap::new();
    for Teller { reporter, from } in tellers {
        let room = match from {
            Neighbourhood::Unknown => 1,
            // As among the newcomers of editions: nobody but the instance's own tools is there.
            Neighbourhood::Here => usize::MAX,
            Neighbourhood::Prefix(_) if from == own.from => 0,
            Neighbourhood::Prefix(_) => OTHERS_PER_PREFIX_MAX,
        };
        let taken = by_origin.entry(from).or_default();
        if reporter != own.reporter && *taken < room && counted.insert(reporter) {
            *taken += 1;
        }
    }
    counted.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AddressPrefix, UtcMillis};

    fn teller(reporter: u32, from: Neighbourhood) -> Teller {
        Teller { reporter, from }
    }

    fn prefix(number: u64) -> Neighbourhood {
        Neighbourhood::Prefix(number)
    }

    /// How many count, of reporters numbered from 1 up, to one who asks from prefix 0.
    fn check(froms: &[Neighbourhood], expected: usize) {
        let tellers = (1..).zip(froms).map(|(number, from)| teller(number, *from));
        assert_eq!(others(teller(0, prefix(0)), tellers), expected, "{froms:?}");
    }

    #[test]
    fn flood_of_one_prefix_leaves_room_for_what_others_reported_before_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let opened = crate::journal::open(folder.path(), crate::journal::Settings::default());
        let (_writer, reader, _) = opened.expect("new");
        let origins = Origins::default();
        let flood = Some(AddressPrefix::V4([192, 0, 2]));
        let other = Some(AddressPrefix::V4([198, 51, 100]));
        for position in 1..=2_000 {
            let from = if position <= 10 { other } else { flood };
            origins.remember([(Position(position), UtcMillis(0), from)]);
        }
        let latest: Vec<_> = (1..=2_000).rev().map(Position).collect();
        let people = Reporters::new(&reader, &origins);
        let looked_at = people.looked_at(&latest, Neighbourhood::Here);
        assert_eq!(looked_at.len(), OTHERS_LOOKED_AT_PER_PREFIX_MAX + 10);
        let own = origins.of(&[Position(2_000)])[0];
        assert_eq!(people.looked_at(&latest, own).len(), 10);
    }

    #[test]
    fn three_of_each_prefix_count_and_none_of_the_askers_own() {
        check(&[prefix(1); 9], 3);
        check(&[prefix(0); 9], 0);
        check(
            &[[prefix(1); 4], [prefix(2); 4], [prefix(3); 4]].concat(),
            9,
        );
        check(&[Neighbourhood::Unknown; 9], 1);
        check(&[Neighbourhood::Here; 9], 9);
    }

    #[test]
    fn reporter_counts_once_and_where_there_is_room() {
        let own = teller(0, prefix(0));
        let full = (1..=3).map(|number| teller(number, prefix(1)));
        let moved = [
            teller(4, prefix(1)),
            teller(4, prefix(2)),
            teller(4, prefix(3)),
        ];
        assert_eq!(others(own, full.chain(moved)), 4);
        let away = [
            teller(0, prefix(1)),
            teller(5, prefix(0)),
            teller(5, prefix(1)),
        ];
        assert_eq!(others(own, away.into_iter()), 1);
    }
}
