//! Lines of a feed, and the stops of each direction in order.
//!
//! Of all the trips of a line and direction, one stands for them: the longest among the
//! ways it usually goes. `stop_times.txt` is read twice: once to see which ways there are,
//! and once to keep the stops of the chosen trips; so its rows may come in any order and
//! never lie in memory together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read, Seek};

use super::archive::Archive;
use super::error::{FeedError, Reason};
use super::stops::Places;
use super::table::{LAST_DAY, Table};
use super::visible;
use crate::domain::limits::{
    LINE_CHARS_MAX, LINE_ID_BYTES_MAX, LINES_MAX, OPERATOR_CODE_BYTES_MAX,
};
use crate::domain::taxonomy::Mode;
use crate::domain::time::FIRST_DAY;
use crate::domain::{LineId, LocalDay, OperatorCode};
use crate::network::builtin;
use crate::network::model::{Direction, Line, Validity};

const STOP_TIMES: &str = "stop_times.txt";
/// A way counts as usual if it has at least one of so many trips of the most used one.
const USUAL_SHARE: u32 = 10;

/// What a feed says about lines.
pub(super) struct Timetable {
    /// Operators and the names that the feed has for them.
    pub operators: Vec<(OperatorCode, Option<Box<str>>)>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// What the folders of a feed that were read before took.
#[derive(Default)]
pub(super) struct Taken {
    lines: BTreeSet<LineId>,
    /// Codes that were made of names of operators, with those names.
    made_codes: BTreeMap<OperatorCode, Box<str>>,
}

struct Agency {
    id: Box<str>,
    code: OperatorCode,
    name: Box<str>,
}

struct Route {
    line: u64,
    id: Box<str>,
    operator: OperatorCode,
    number: Box<str>,
    name: Box<str>,
    mode: Mode,
}

/// All trips of a feed.
#[derive(Default)]
struct Trips {
    by_id: HashMap<Box<str>, u32>,
    trips: Vec<Trip>,
    headsigns: Vec<Box<str>>,
}

struct Trip {
    /// Place of its route.
    route: u32,
    is_back: bool,
    /// Place among the headsigns.
    headsign: u32,
    /// How many stops it has.
    stops: u32,
    /// The same for trips with the same stops in the same order.
    way: u64,
}

/// The stops of a chosen trip, by their numbers in it.
type Stops = BTreeMap<u32, u32>;

/// Reads the lines in a folder.
pub(super) fn read<R: Read + Seek>(
    archive: &mut Archive<'_, R>,
    folder: &str,
    places: &Places,
    taken: &mut Taken,
) -> Result<Timetable, FeedError> {
    let agencies = read_agencies(archive, folder, &mut taken.made_codes)?;
    let routes = read_routes(archive, folder, &agencies)?;
    let mut trips = read_trips(archive, folder, &routes)?;
    read_ways(archive, folder, places, &mut trips)?;
    let chosen = trips.choose();
    let stops = read_stops(archive, folder, places, &trips, &chosen)?;
    let validity = read_validity(archive, folder)?;
    let ids = line_ids(&routes);
    let mut lines = Vec::with_capacity(routes.len());
    for (place, (route, id)) in (0..).zip(routes.into_iter().zip(ids)) {
        if !taken.lines.insert(id.clone()) {
            let file = format!("{folder}routes.txt");
            return Err(FeedError::refused(
                &file,
                route.line,
                "route_id",
                Reason::Twice,
            ));
        }
        let directions = [false, true]
            .into_iter()
            .filter_map(|is_back| chosen.get(&(place, is_back)))
            .map(|trip| direction(&trips, *trip, &stops, places))
            .collect();
        lines.push(Line {
            id,
            number: route.number,
            name: route.name,
            mode: route.mode,
            validity,
            directions,
        });
    }
    let operators = agencies
        .into_iter()
        .map(|agency| (agency.code, Some(agency.name)));
    Ok(Timetable {
        operators: operators.collect(),
        lines,
    })
}

fn read_agencies<R: Read + Seek>(
    archive: &mut Archive<'_, R>,
    folder: &str,
    made_codes: &mut BTreeMap<OperatorCode, Box<str>>,
) -> Result<Vec<Agency>, FeedError> {
    const COLUMNS: [&str; 2] = ["agency_name", "agency_id"];
    const NAME: usize = 0;
    const ID: usize = 1;
    let mut agencies = Vec::<Agency>::new();
    archive.rows(folder, "agency.txt", &COLUMNS, 1, |table| {
        let name = table.filled(NAME)?;
        let id = table.text(ID)?;
        if agencies.iter().any(|agency| *agency.id == *id) {
            return Err(table.refused(ID, Reason::Twice));
        }
        let known = known_code(id, name).map(Ok);
        let code = known.unwrap_or_else(|| made_code(name, made_codes));
        agencies.push(Agency {
            id: id.into(),
            code: code.map_err(|reason| table.refused(NAME, reason))?,
            name: name.into(),
        });
        Ok(())
    })?;
    Ok(agencies)
}

/// The code of an agency: its identifier, if that is a code with a letter in it (also after
/// a colon, as in `IFF:NS`); else what the table says of its name.
fn known_code(id: &str, name: &str) -> Option<OperatorCode> {
    let end = id.rsplit(':').next().unwrap_or(id);
    let has_letter = end.bytes().any(|byte| byte.is_ascii_alphabetic());
    let own = end.parse().ok().filter(|_| has_letter);
    own.or_else(|| builtin::operator_by_name(name))
}

/// A code made of a name. It is never made of another one as well: nothing would tell the two
/// operators apart.
fn made_code(
    name: &str,
    made_codes: &mut BTreeMap<OperatorCode, Box<str>>,
) -> Result<OperatorCode, Reason> {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let code: String = letters.take(OPERATOR_CODE_BYTES_MAX).collect();
    let code: OperatorCode = code
        .to_ascii_uppercase()
        .parse()
        .map_err(|_| Reason::NoOperator)?;
    let of = made_codes
        .entry(code.clone())
        .or_insert_with(|| name.into());
    if **of != *name {
        return Err(Reason::OperatorTwice);
    }
    Ok(code)
}

fn read_routes<R: Read + Seek>(
    archive: &mut Archive<'_, R>,
    folder: &str,
    agencies: &[Agency],
) -> Result<Vec<Route>, FeedError> {
    const COLUMNS: [&str; 5] = [
        "route_id",
        "route_type",
        "route_short_name",
        "route_long_name",
        "agency_id",
    ];
    const ID: usize = 0;
    const TYPE: usize = 1;
    const SHORT: usize = 2;
    const LONG: usize = 3;
    const AGENCY: usize = 4;
    let mut routes = Vec::new();
    let mut ids = BTreeSet::<Box<str>>::new();
    archive.rows(folder, "routes.txt", &COLUMNS, 2, |table| {
        let id = table.filled(ID)?;
        if !ids.insert(id.into()) {
            return Err(table.refused(ID, Reason::Twice));
        }
        if LINES_MAX <= routes.len() {
            return Err(FeedError::TooLarge {
                what: "the number of lines".into(),
                max: LINES_MAX as u64,
            });
        }
        let agency = match (table.text(AGENCY)?, agencies) {
            ("", [only]) => only,
            (id, all) => all
                .iter()
                .find(|agency| *agency.id == *id)
                .ok_or_else(|| table.refused(AGENCY, Reason::Unknown))?,
        };
        let (short, long) = (table.text(SHORT)?, table.text(LONG)?);
        if short.is_empty() && long.is_empty() {
            return Err(table.refused(SHORT, Reason::Empty));
        }
        let number = if short.is_empty() { long } else { short };
        routes.push(Route {
            line: table.line(),
            id: id.into(),
            operator: agency.code.clone(),
            number: number.chars().take(LINE_CHARS_MAX).collect(),
            name: long.into(),
            mode: mode(table.number(TYPE)?),
        });
        Ok(())
    })?;
    Ok(routes)
}

/// The mode of a route type, the extended ones included.
fn mode(route_type: u32) -> Mode {
    match route_type {
        0 | 5 | 900..=999 => Mode::Tram,
        1 | 12 | 400..=499 => Mode::Metro,
        2 | 100..=199 => Mode::Train,
        714 => Mode::ReplacementBus,
        3 | 11 | 200..=299 | 700..=799 | 800 => Mode::Bus,
        4 | 1_000..=1_099 | 1_200..=1_299 => Mode::Ferry,
        _ => Mode::Unknown,
    }
}

/// The identifiers of lines: as they stand if they are ones; else operator and number, and
/// where several lines of an operator have one number, the feed's identifier as well. Those that are
/// still alike, as too long or of letters that an identifier has not, have a hash of the feed's
/// identifier, which is the same in the next feed, whatever stands beside them.
fn line_ids(routes: &[Route]) -> Vec<LineId> {
    let own = |route: &Route| {
        let own = route.id.parse::<LineId>().ok();
        own.filter(|own| own.operator() == route.operator)
    };
    let made = |text: &str| -> LineId {
        let made = visible(text, LINE_ID_BYTES_MAX).parse();
        made.expect("operator, colon and visible text are an identifier")
    };
    let mut counts = BTreeMap::<(&OperatorCode, &str), u32>::new();
    for route in routes {
        *counts.entry((&route.operator, &*route.number)).or_default() += 1;
    }
    let usual = |route: &Route| {
        let (operator, number) = (&route.operator, &*route.number);
        match counts.get(&(operator, number)) {
            Some(1) => made(&format!("{operator}:{number}")),
            _ => made(&format!("{operator}:{number}.{}", route.id)),
        }
    };
    let ids: Vec<_> = routes
        .iter()
        .map(|route| own(route).ok_or_else(|| usual(route)))
        .collect();
    let mut alike = BTreeMap::<&LineId, u32>::new();
    for id in &ids {
        *alike
            .entry(id.as_ref().unwrap_or_else(|id| id))
            .or_default() += 1;
    }
    let id = |(route, id): (&Route, &Result<LineId, LineId>)| match id {
        Ok(own) => own.clone(),
        Err(usual) if alike.get(usual) == Some(&1) => usual.clone(),
        Err(_) => {
            let hash = crc32c::crc32c(route.id.as_bytes());
            made(&format!("{}:{hash:08x}.{}", route.operator, route.number))
        }
    };
    routes.iter().zip(&ids).map(id).collect()
}

fn read_trips<R: Read + Seek>(
    archive: &mut Archive<'_, R>,
    folder: &str,
    routes: &[Route],
) -> Result<Trips, FeedError> {
    const COLUMNS: [&str; 4] = ["route_id", "trip_id", "trip_headsign", "direction_id"];
    const ROUTE: usize = 0;
    const ID: usize = 1;
    const HEADSIGN: usize = 2;
    const DIRECTION: usize = 3;
    let by_id: HashMap<&str, u32> = routes.iter().map(|route| &*route.id).zip(0..).collect();
    let mut headsigns = HashMap::<Box<str>, u32>::new();
    let mut trips = Trips::default();
    let trips_max = archive.bounds().trips;
    archive.rows(folder, "trips.txt", &COLUMNS, 2, |table| {
        let route = by_id.get(table.filled(ROUTE)?);
        let route = *route.ok_or_else(|| table.refused(ROUTE, Reason::Unknown))?;
        let is_back = match table.text(DIRECTION)? {
            "" | "0" => false,
            "1" => true,
            _ => return Err(table.refused(DIRECTION, Reason::NotAValue)),
        };
        let headsign = intern(&mut headsigns, &mut trips.headsigns, table.text(HEADSIGN)?);
        let id = table.filled(ID)?.into();
        let place = trips.trips.len();
        let number = u32::try_from(place).ok().filter(|_| place < trips_max);
        let number = number.ok_or_else(|| FeedError::TooLarge {
            what: "the number of trips".into(),
            max: trips_max as u64,
        })?;
        if trips.by_id.insert(id, number).is_some() {
            return Err(table.refused(ID, Reason::Twice));
        }
        trips.trips.push(Trip {
            route,
            is_back,
            headsign,
            stops: 0,
            way: 0,
        });
        Ok(())
    })?;
    Ok(trips)
}

/// The place of a text in a list, to which it is added if it is not there.
fn intern(places: &mut HashMap<Box<str>, u32>, texts: &mut Vec<Box<str>>, text: &str) -> u32 {
    if let Some(place) = places.get(text) {
        return *place;
    }
    let place = u32::try_from(texts.len()).expect("no more headsigns than trips");
    texts.push(text.into());
    places.insert(text.into(), place);
    place
}

/// Calls `each` with trip, number and stop of every row of `stop_times.txt` that has a stop:
/// where a vehicle comes on demand, it has an area. What it returns is what is wrong with the
/// number.
fn read_stop_times<R: Read + Seek>(
    archive: &mut Archive<'_, R>,
    folder: &str,
    places: &Places,
    by_id: &HashMap<Box<str>, u32>,
    mut each: impl FnMut(u32, u32, u32) -> Result<(), Reason>,
) -> Result<(), FeedError> {
    const COLUMNS: [&str; 5] = [
        "trip_id",
        "stop_sequence",
        "stop_id",
        "location_group_id",
        "location_id",
    ];
    const REQUIRED: usize = 3;
    const TRIP: usize = 0;
    const NUMBER: usize = 1;
    const STOP: usize = 2;
    const AREA_GROUP: usize = 3;
    const AREA: usize = 4;
    // Rows of one trip mostly follow one another.
    let (mut last_id, mut last_trip) = (String::new(), None);
    archive.rows(folder, STOP_TIMES, &COLUMNS, REQUIRED, |table| {
        let id = table.filled(TRIP)?;
        if last_trip.is_none() || id != last_id {
            last_trip = by_id.get(id).copied();
            id.clone_into(&mut last_id);
        }
        let trip = last_trip.ok_or_else(|| table.refused(TRIP, Reason::Unknown))?;
        let number = table.number(NUMBER)?;
        let stop = table.text(STOP)?;
        if stop.is_empty() {
            return match (table.text(AREA_GROUP)?, table.text(AREA)?) {
                ("", "") => Err(table.refused(STOP, Reason::Empty)),
                _ => Ok(()),
            };
        }
        let stop = places.place(stop);
        let stop = stop.ok_or_else(|| table.refused(STOP, Reason::Unknown))?;
        each(trip, number, stop).map_err(|reason| table.refused(NUMBER, reason))
    })
}

/// First reading: how many stops each trip has, and which way it goes.
fn read_ways<R: Read + Seek>(
    archive: &mut Archive<'_, R>,
    folder: &str,
    places: &Places,
    trips: &mut Trips,
) -> Result<(), FeedError> {
    let Trips { by_id, trips, .. } = trips;
    read_stop_times(archive, folder, places, by_id, |trip, number, stop| {
        let trip = &mut trips[trip as usize];
        trip.stops += 1;
        // A sum, so that the order of rows does not matter.
        trip.way = trip
            .way
            .wrapping_add(mixed(u64::from(number) << 32 | u64::from(stop)));
        Ok(())
    })
}

/// Second reading: the stops of the chosen trips.
fn read_stops<R: Read + Seek>(
    archive: &mut Archive<'_, R>,
    folder: &str,
    places: &Places,
    trips: &Trips,
    chosen: &BTreeMap<(u32, bool), u32>,
) -> Result<BTreeMap<u32, Stops>, FeedError> {
    let mut stops: BTreeMap<u32, Stops> =
        chosen.values().map(|trip| (*trip, Stops::new())).collect();
    read_stop_times(
        archive,
        folder,
        places,
        &trips.by_id,
        |trip, number, stop| {
            let Some(stops) = stops.get_mut(&trip) else {
                return Ok(());
            };
            match stops.insert(number, stop) {
                None => Ok(()),
                Some(_) => Err(Reason::Twice),
            }
        },
    )?;
    Ok(stops)
}

impl Trips {
    /// The trip that stands for each route and direction that has trips with stops.
    fn choose(&self) -> BTreeMap<(u32, bool), u32> {
        // By route, direction and way: how many trips go it, and the first of them.
        let mut ways = BTreeMap::<(u32, bool), BTreeMap<(u32, u64), (u32, u32)>>::new();
        for (place, trip) in (0..).zip(&self.trips).filter(|(_, trip)| 0 < trip.stops) {
            let ways = ways.entry((trip.route, trip.is_back)).or_default();
            ways.entry((trip.stops, trip.way)).or_insert((0, place)).0 += 1;
        }
        let chosen = ways.into_iter().filter_map(|(direction, ways)| {
            let most = ways.values().map(|(trips, _)| *trips).max()?;
            let usual = ways
                .into_iter()
                .filter(|(_, (trips, _))| most <= trips.saturating_mul(USUAL_SHARE));
            let best = usual.max_by_key(|((stops, _), (trips, first))| {
                (*stops, *trips, std::cmp::Reverse(*first))
            });
            best.map(|(_, (_, first))| (direction, first))
        });
        chosen.collect()
    }
}

/// Spreads the bits of a number (the finaliser of SplitMix64; Steele and others 2014).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn direction(trips: &Trips, trip: u32, stops: &BTreeMap<u32, Stops>, places: &Places) -> Direction {
    let mut stops: Vec<u32> = stops
        .get(&trip)
        .map(|stops| stops.values().copied().collect())
        .unwrap_or_default();
    stops.dedup();
    let headsign = &trips.headsigns[trips.trips[trip as usize].headsign as usize];
    let last = || stops.last().map(|place| places.stop(*place).name.clone());
    let headsign = if headsign.is_empty() {
        last().unwrap_or_default()
    } else {
        headsign.clone()
    };
    Direction {
        headsign,
        stops: stops
            .iter()
            .map(|place| places.stop(*place).id.clone())
            .collect(),
    }
}

/// For which days the feed was made: as `feed_info.txt` says, or else from the first day of
/// a service to the last. The first and last supported day, and those beyond them, stand for an
/// open end: feeds write 19700101 or 99991231 for it.
fn read_validity<R: Read + Seek>(
    archive: &mut Archive<'_, R>,
    folder: &str,
) -> Result<Validity, FeedError> {
    const TOLD: [&str; 2] = ["feed_start_date", "feed_end_date"];
    const SERVICES: [&str; 2] = ["start_date", "end_date"];
    const CHANGES: [&str; 2] = ["date", "exception_type"];
    const REMOVED: &str = "2";
    let mut told = Validity::default();
    if archive.has(folder, "feed_info.txt") {
        archive.rows(folder, "feed_info.txt", &TOLD, 0, |table| {
            told = Validity {
                from: table.day(0)?,
                until: table.day(1)?,
            };
            Ok(())
        })?;
    }
    let mut days = BTreeSet::<LocalDay>::new();
    if archive.has(folder, "calendar.txt") {
        archive.rows(folder, "calendar.txt", &SERVICES, SERVICES.len(), |table| {
            days.extend([filled_day(table, 0)?, filled_day(table, 1)?]);
            Ok(())
        })?;
    }
    if archive.has(folder, "calendar_dates.txt") {
        archive.rows(folder, "calendar_dates.txt", &CHANGES, 1, |table| {
            let changed = filled_day(table, 0)?;
            // A day on which a service does not run says nothing of how far it reaches.
            if table.text(1)? != REMOVED {
                days.insert(changed);
            }
            Ok(())
        })?;
    }
    let from = told.from.or(days.first().copied());
    let until = told.until.or(days.last().copied());
    Ok(Validity {
        from: from.filter(|day| FIRST_DAY < *day),
        until: until.filter(|day| *day < LAST_DAY),
    })
}

fn filled_day<R: Read>(table: &Table<R>, column: usize) -> Result<LocalDay, FeedError> {
    let day = table.day(column)?;
    day.ok_or_else(|| table.refused(column, Reason::Empty))
}
