//! Reads timetable feeds: zip archives of GTFS, the format of OVapi and most of the world.
//!
//! A feed is taken whole or refused whole, naming file, line, column and reason. It may lie
//! in one folder or in several, one for each operator; a folder may hold stops alone. Files
//! are streamed, so that the largest (`stop_times.txt` of a country has more than a
//! gigabyte) needs memory for its trips and not for its rows.

mod archive;
mod error;
mod lines;
mod stops;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use archive::Archive;
pub use archive::Progress;
pub use error::{FeedError, Reason as FeedReason};

use super::builtin;
use super::model::{Feed, Operator};
use crate::domain::OperatorCode;

const TIMETABLE_FILES: [&str; 4] = ["agency.txt", "routes.txt", "trips.txt", "stop_times.txt"];

/// Reads the feed in a file. Tells how far it is as it goes.
pub fn import_gtfs(path: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Feed, FeedError> {
    let file = File::open(path).map_err(FeedError::Open)?;
    read_gtfs(BufReader::new(file), progress)
}

/// Reads a feed. Tells how far it is as it goes.
pub fn read_gtfs<R: Read + Seek>(
    reader: R,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Feed, FeedError> {
    let mut archive = Archive::open(reader, progress)?;
    let folders = archive.folders_with("stops.txt");
    if folders.is_empty() {
        return Err(FeedError::FileMissing {
            file: "stops.txt".into(),
        });
    }
    let mut feed = Feed::default();
    let mut names = BTreeMap::new();
    let (mut used_stops, mut used_lines) = (BTreeSet::new(), BTreeSet::new());
    for (count, folder) in folders.iter().enumerate() {
        let places = stops::read(&mut archive, folder, &mut used_stops)?;
        names.extend(places.operators().map(|code| (code, None)));
        if TIMETABLE_FILES.iter().any(|file| archive.has(folder, file)) {
            let timetable = lines::read(&mut archive, folder, &places, &mut used_lines)?;
            names.extend(timetable.operators);
            feed.lines.extend(timetable.lines);
            feed.validity = match count {
                0 => timetable.validity,
                _ => feed.validity.union(timetable.validity),
            };
        }
        feed.stops.extend(places.stops);
    }
    feed.operators = names.into_iter().map(operator).collect();
    Ok(feed)
}

fn operator((code, name): (OperatorCode, Option<Box<str>>)) -> Operator {
    let name = builtin::operator_name(&code)
        .map(Into::into)
        .or(name)
        .unwrap_or_else(|| code.as_str().into());
    Operator {
        code,
        name,
        lines: 0,
    }
}

/// A code out of any text: visible ASCII, at most `bytes_max`; what is not becomes `_`.
fn visible(text: &str, bytes_max: usize) -> String {
    text.chars()
        .map(|character| {
            if character.is_ascii_graphic() {
                character
            } else {
                '_'
            }
        })
        .take(bytes_max)
        .collect()
}
