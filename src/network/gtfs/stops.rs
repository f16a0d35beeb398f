//! Stops of a feed: its platforms, gathered into places with one name.
//!
//! Platforms belong to the station (stop area) that they name as their parent; those that
//! bear another name than most there are a place of their own. Of one operator, places with
//! the same name close together are one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read, Seek};

use super::archive::Archive;
use super::error::{FeedError, Reason};
use super::visible;
use crate::domain::limits::STOP_ID_BYTES_MAX;
use crate::domain::{OperatorCode, StopId};
use crate::network::model::Stop;
use crate::network::names;
use crate::network::near::distance;

const FILE: &str = "stops.txt";
const COLUMNS: [&str; 7] = [
    "stop_id",
    "stop_name",
    "stop_lat",
    "stop_lon",
    "stop_code",
    "location_type",
    "parent_station",
];
const REQUIRED: usize = 4;
const ID: usize = 0;
const NAME: usize = 1;
const LATITUDE: usize = 2;
const LONGITUDE: usize = 3;
const CODE: usize = 4;
const KIND: usize = 5;
const PARENT: usize = 6;

/// How far apart two stops with one name may lie and be one place, in metres.
const SAME_PLACE_METRES: f64 = 400.0;
/// What OVapi puts before the code of an area.
const AREA_PREFIX: &str = "stoparea:";

/// The places of a feed.
pub(super) struct Places {
    /// In no certain order; no code twice.
    pub stops: Vec<Stop>,
    /// The place of each row, by the feed's identifier.
    by_row: HashMap<Box<str>, u32>,
}

/// What `location_type` says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Platform,
    Station,
    /// Entrances and nodes of walkways: no stops.
    Other,
    BoardingArea,
}

struct Row {
    line: u64,
    id: Box<str>,
    code: Box<str>,
    name: Box<str>,
    latitude: f64,
    longitude: f64,
    kind: Kind,
    parent: Box<str>,
}

impl Places {
    /// The stop that a row of the feed belongs to.
    pub(super) fn place(&self, row_id: &str) -> Option<u32> {
        self.by_row.get(row_id).copied()
    }

    /// The stop at a place.
    pub(super) fn stop(&self, place: u32) -> &Stop {
        &self.stops[place as usize]
    }

    /// The operators that codes of stops name.
    pub(super) fn operators(&self) -> impl Iterator<Item = OperatorCode> {
        let codes: BTreeSet<_> = self
            .stops
            .iter()
            .filter_map(|stop| operator_of(stop.id.as_str())?.parse().ok())
            .collect();
        codes.into_iter()
    }
}

/// Reads the stops in a folder. `used` holds the codes of stops that are taken.
pub(super) fn read<R: Read + Seek>(
    archive: &mut Archive<'_, R>,
    folder: &str,
    used: &mut BTreeSet<Box<str>>,
) -> Result<Places, FeedError> {
    let file = format!("{folder}{FILE}");
    let rows = read_rows(archive, folder)?;
    let by_id: HashMap<&str, usize> = (0..).zip(&rows).map(|(row, of)| (&*of.id, row)).collect();
    let mut leads = Vec::with_capacity(rows.len());
    for row in 0..rows.len() {
        leads.push(lead(&rows, &by_id, row).map_err(|(column, reason)| {
            FeedError::refused(&file, rows[row].line, COLUMNS[column], reason)
        })?);
    }
    let mut members = BTreeMap::<usize, Vec<usize>>::new();
    for (row, lead) in leads.iter().enumerate() {
        if let Some(lead) = lead {
            members.entry(*lead).or_default().push(row);
        }
    }
    let places = together(&rows, apart(&rows, members));
    let mut stops = Vec::with_capacity(places.len());
    for (lead, members) in &places {
        let id = code(&rows[*lead], used).ok_or_else(|| {
            FeedError::refused(&file, rows[*lead].line, COLUMNS[ID], Reason::Twice)
        })?;
        stops.push(stop(&rows, id, *lead, members));
    }
    for stop in &mut stops {
        stop.platforms.retain(|platform| !used.contains(platform));
    }
    let by_row = (0..)
        .zip(&places)
        .flat_map(|(place, (_, members))| members.iter().map(move |row| (*row, place)))
        .map(|(row, place)| (rows[row].id.clone(), place))
        .collect();
    Ok(Places { stops, by_row })
}

fn read_rows<R: Read + Seek>(
    archive: &mut Archive<'_, R>,
    folder: &str,
) -> Result<Vec<Row>, FeedError> {
    let mut rows = Vec::new();
    let mut ids = BTreeSet::<Box<str>>::new();
    let rows_max = archive.bounds().stop_rows;
    archive.rows(folder, FILE, &COLUMNS, REQUIRED, |table| {
        let kind = match table.text(KIND)? {
            "" | "0" => Kind::Platform,
            "1" => Kind::Station,
            "2" | "3" => Kind::Other,
            "4" => Kind::BoardingArea,
            _ => return Err(table.refused(KIND, Reason::NotAValue)),
        };
        let is_stop = matches!(kind, Kind::Platform | Kind::Station);
        let id: Box<str> = table.filled(ID)?.into();
        if !ids.insert(id.clone()) {
            return Err(table.refused(ID, Reason::Twice));
        }
        if rows_max <= rows.len() {
            return Err(FeedError::TooLarge {
                what: "the number of stops".into(),
                max: rows_max as u64,
            });
        }
        let degrees = |column, max| {
            if is_stop || !table.text(column)?.is_empty() {
                table.degrees(column, max)
            } else {
                Ok(0.0)
            }
        };
        rows.push(Row {
            line: table.line(),
            id,
            code: table.text(CODE)?.into(),
            name: if is_stop {
                table.filled(NAME)?
            } else {
                table.text(NAME)?
            }
            .into(),
            latitude: degrees(LATITUDE, 90.0)?,
            longitude: degrees(LONGITUDE, 180.0)?,
            kind,
            parent: table.text(PARENT)?.into(),
        });
        Ok(())
    })?;
    Ok(rows)
}

/// The row that stands for the place of a row: its station, or itself; `None` if it is no
/// stop.
fn lead(
    rows: &[Row],
    by_id: &HashMap<&str, usize>,
    row: usize,
) -> Result<Option<usize>, (usize, Reason)> {
    let of = &rows[row];
    if of.parent.is_empty() {
        return match of.kind {
            Kind::Platform | Kind::Station => Ok(Some(row)),
            Kind::Other => Ok(None),
            Kind::BoardingArea => Err((PARENT, Reason::Empty)),
        };
    }
    let parent = *by_id.get(&*of.parent).ok_or((PARENT, Reason::Unknown))?;
    match (of.kind, rows[parent].kind) {
        (Kind::Platform, Kind::Station) => Ok(Some(parent)),
        (Kind::Other, Kind::Station) => Ok(None),
        // Platforms have no platforms as parents, so this goes one step and ends.
        (Kind::BoardingArea, Kind::Platform) => lead(rows, by_id, parent),
        _ => Err((PARENT, Reason::NotAStation)),
    }
}

/// Takes platforms with another name than their station's out of it. If no platform has the
/// station's name, the name that most have is taken for it.
fn apart(rows: &[Row], members: BTreeMap<usize, Vec<usize>>) -> BTreeMap<usize, Vec<usize>> {
    let mut places = BTreeMap::new();
    for (lead, members) in members {
        let mut by_name = BTreeMap::<String, Vec<usize>>::new();
        for row in members.into_iter().filter(|row| *row != lead) {
            let name = names::key(&rows[row].name);
            by_name.entry(name).or_default().push(row);
        }
        let own = names::key(&rows[lead].name);
        let most = by_name.values().map(Vec::len).max();
        let first_of_most = || {
            let mut names = by_name.iter();
            let found = names.find(|(_, members)| Some(members.len()) == most);
            found.map(|(name, _)| name.clone())
        };
        let own = if by_name.contains_key(&own) || rows[lead].kind != Kind::Station {
            own
        } else {
            first_of_most().unwrap_or(own)
        };
        let mut station = by_name.remove(&own).unwrap_or_default();
        station.push(lead);
        places.insert(lead, station);
        for members in by_name.into_values() {
            let first = members.iter().min_by_key(|row| &rows[**row].id);
            places.extend(first.copied().map(|first| (first, members)));
        }
    }
    places
}

/// Brings places of one operator together that have one name and lie close together. A
/// station stands for the place if there is one, of several the largest; of equals the first
/// by code.
fn together(rows: &[Row], members: BTreeMap<usize, Vec<usize>>) -> Vec<(usize, Vec<usize>)> {
    let mut by_name = BTreeMap::<(&str, String), Vec<(usize, Vec<usize>)>>::new();
    for (lead, members) in members {
        let row = &rows[lead];
        let operator = operator_of(bare(&row.id)).unwrap_or_default();
        let name = names::key(common_name(rows, lead, &members));
        by_name
            .entry((operator, name))
            .or_default()
            .push((lead, members));
    }
    let mut places = Vec::new();
    for ((_, name), mut group) in by_name {
        group.sort_by_key(|(lead, members)| {
            let row = &rows[*lead];
            (row.kind != Kind::Station, Reverse(members.len()), &row.id)
        });
        let mut found: Vec<(usize, Vec<usize>)> = Vec::new();
        for (lead, mut members) in group {
            let row = &rows[lead];
            let near = found.iter_mut().find(|(other, _)| {
                let other = &rows[*other];
                let metres = distance(row.latitude, row.longitude, other.latitude, other.longitude);
                metres <= SAME_PLACE_METRES && !name.is_empty()
            });
            match near {
                Some((_, all)) => all.append(&mut members),
                None => found.push((lead, members)),
            }
        }
        places.append(&mut found);
    }
    // Platforms first: their codes are what they are, stations have a second choice.
    places.sort_by_key(|(lead, _)| (rows[*lead].kind == Kind::Station, &rows[*lead].id));
    places
}

/// What most platforms of a place are called; stations in some feeds have makeshift names.
fn common_name<'a>(rows: &'a [Row], lead: usize, members: &[usize]) -> &'a str {
    let mut counts = BTreeMap::<&str, usize>::new();
    for row in members
        .iter()
        .filter(|row| rows[**row].kind == Kind::Platform)
    {
        *counts.entry(&rows[*row].name).or_default() += 1;
    }
    let total: usize = counts.values().sum();
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.filter(|(_, count)| total < 2 * count)
        .map_or(&*rows[lead].name, |(name, _)| name)
}

/// The code of a place, which is then taken: the area's or the stop's own, with its
/// operator if the feed's identifier names one; else the code on the stop.
fn code(row: &Row, used: &mut BTreeSet<Box<str>>) -> Option<StopId> {
    let own = bare(&row.id);
    let is_code_better = operator_of(own).is_none() && !row.code.is_empty();
    let choices = if is_code_better {
        [&*row.code, own, &*row.id]
    } else {
        [own, &*row.id, &*row.code]
    };
    let choices = choices.iter().filter(|choice| !choice.is_empty());
    choices
        .map(|choice| visible(choice, STOP_ID_BYTES_MAX))
        .find(|choice| used.insert(choice.as_str().into()))
        .and_then(|choice| choice.parse().ok())
}

fn stop(rows: &[Row], id: StopId, lead: usize, members: &[usize]) -> Stop {
    let name = common_name(rows, lead, members);
    let (town, name) = match name.split_once(", ") {
        Some((town, name)) if !town.is_empty() && !name.is_empty() => (town, name),
        _ => ("", name),
    };
    let platforms: BTreeSet<Box<str>> = members
        .iter()
        .map(|row| &rows[*row])
        .filter(|row| row.kind != Kind::Station)
        .flat_map(|row| [&row.id, &row.code])
        .filter(|code| !code.is_empty())
        .map(|code| visible(code, STOP_ID_BYTES_MAX).into())
        .collect();
    Stop {
        id,
        name: name.trim().into(),
        town: town.trim().into(),
        latitude: rows[lead].latitude,
        longitude: rows[lead].longitude,
        platforms: platforms.into_iter().collect(),
        lines: Vec::new(),
    }
}

/// An identifier without what says that it is an area.
fn bare(id: &str) -> &str {
    match id.strip_prefix(AREA_PREFIX) {
        Some(rest) if !rest.is_empty() => rest,
        _ => id,
    }
}

/// The operator that a code begins with, as in `GVB:00001`.
fn operator_of(code: &str) -> Option<&str> {
    let (operator, rest) = code.split_once(':')?;
    let is_code = operator.parse::<OperatorCode>().is_ok();
    (is_code && !rest.is_empty()).then_some(operator)
}
