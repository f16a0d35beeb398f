//! Networks on disk: one checksummed file for each version, `network/000001.network` in
//! the data folder.
//!
//! A file is written aside, synced and renamed, so it is there whole or not at all. Reports and
//! editions name the version that they were made with, so that none is given twice: beside the
//! files it is noted which were, and stays so where a file is removed. What is read is checked as
//! if it were a stranger's: checksum, codes, references and bounds.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use prost::Message;
use sha2::{Digest, Sha256};

use super::model::{Direction, Feed, Line, Operator, Stop, Validity};
use super::{InvalidNetwork, Network};
use crate::domain::LocalDay;
use crate::domain::taxonomy::{Mode, Taxonomy};
use crate::domain::time::{END_DAY, FIRST_DAY};

/// First bytes of a file; the last one is the format's version.
const MAGIC: &[u8; 8] = b"MISTAPN\x01";
const SHA256_BYTES: usize = 32;
const FOLDER: &str = "network";
const ENDING: &str = "network";
/// How the name of an empty file ends that says that a version was given, `000001.given`.
const ENDING_GIVEN: &str = "given";
/// Largest file that is read, in bytes. Larger: refused.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Why a network cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    /// The file system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not as it was written.
    #[error("{path} is damaged: {reason}; remove it and import the feed again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What the file holds is no network.
    #[error("{path} holds no network")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InvalidNetwork,
    },
    /// The version was given already, by another import at the same time.
    #[error("version {0} is there already; import the feed again")]
    VersionTaken(u32),
}

impl Network {
    /// The same under the next version that was never given in a data folder, as its files show and
    /// what was published, which names versions through `cited`.
    #[must_use]
    pub fn numbered_for(self, data_folder: &Path, cited: u32) -> Self {
        let given = newest(data_folder, &[ENDING, ENDING_GIVEN]).unwrap_or(0);
        Self {
            version: self.version.max(given.max(cited).saturating_add(1)),
            ..self
        }
    }

    /// Where a data folder has a version.
    pub fn file_of(data_folder: &Path, version: u32) -> PathBuf {
        data_folder
            .join(FOLDER)
            .join(format!("{version:06}.{ENDING}"))
    }

    /// Writes this version into a data folder. Returns its file.
    pub fn save(&self, data_folder: &Path) -> Result<PathBuf, PersistError> {
        let folder = data_folder.join(FOLDER);
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        let path = Self::file_of(data_folder, self.version());
        let aside = folder.join(format!("{:06}.{}.tmp", self.version(), std::process::id()));
        let saved = self.write_and_name(&aside, &path);
        if saved.is_err() {
            // Nobody would use it again, and each is as large as a network.
            let _ = fs::remove_file(&aside);
        }
        saved?;
        let synced = File::open(&folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed("sync", &folder))?;
        Ok(path)
    }

    fn write_and_name(&self, aside: &Path, path: &Path) -> Result<(), PersistError> {
        let written = write_synced(aside, &self.file_bytes());
        written.map_err(failed("write", aside))?;
        match give(path).and_then(|()| name_once(aside, path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(PersistError::VersionTaken(self.version()))
            }
            named => named.map_err(failed("name", path)),
        }
    }

    /// Reads the newest version in a data folder; `None` if there is none.
    pub fn load_latest(data_folder: &Path) -> Result<Option<Self>, PersistError> {
        let Some(version) = latest_on_disk(data_folder) else {
            return Ok(None);
        };
        let path = Self::file_of(data_folder, version);
        let file = File::open(&path).map_err(failed("open", &path))?;
        let mut bytes = Vec::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(failed("read", &path))?;
        let damaged = |reason| PersistError::Damaged {
            path: path.clone(),
            reason,
        };
        let content = checked_content(&bytes, version).map_err(damaged)?;
        let content = wire::Content::decode(content).map_err(|_| damaged("not readable"))?;
        let content = from_wire(content).ok_or_else(|| damaged("a value that is none"))?;
        let network = Self::assemble(version, content);
        let network = network.map_err(|source| PersistError::Invalid { path, source })?;
        Ok(Some(network))
    }

    fn file_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.version().to_be_bytes());
        let content = to_wire(self.operators(), self.all_lines(), self.all_stops());
        bytes.extend(content.encode_to_vec());
        let sha256 = Sha256::digest(&bytes);
        bytes.extend(sha256);
        bytes
    }
}

/// The newest version in a data folder, by the names of its files; `None` if there is none
/// or the folder cannot be read. Cheap: a running server asks now and then.
pub fn latest_on_disk(data_folder: &Path) -> Option<u32> {
    newest(data_folder, &[ENDING])
}

/// The newest version that a file with one of these endings is named by.
fn newest(data_folder: &Path, endings: &[&str]) -> Option<u32> {
    let entries = fs::read_dir(data_folder.join(FOLDER)).ok()?;
    let versions = entries.filter_map(|entry| {
        let path = PathBuf::from(entry.ok()?.file_name());
        let stem = path.file_stem()?.to_str()?;
        let ending = path.extension()?.to_str()?;
        let is_ours = endings.contains(&ending) && stem.bytes().all(|byte| byte.is_ascii_digit());
        stem.parse().ok().filter(|_| is_ours)
    });
    versions.max()
}

/// SHA-256 of a network's content in its canonical form: what a file holds between its
/// head and its checksum.
pub(super) fn content_sha256(operators: &[Operator], lines: &[Line], stops: &[Stop]) -> [u8; 32] {
    Sha256::digest(to_wire(operators, lines, stops).encode_to_vec()).into()
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PersistError {
    let path = path.to_owned();
    move |source| PersistError::Io {
        action,
        path,
        source,
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Notes that the version of a file is given. Of several who do at the same moment, one can.
fn give(path: &Path) -> io::Result<()> {
    File::create_new(path.with_extension(ENDING_GIVEN))?.sync_all()
}

/// Gives a file its name. Unlike a rename, a link never takes the place of what another import put
/// there at the same moment; where the file system has none, it has to be a rename.
fn name_once(aside: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(aside, path) {
        Ok(()) => fs::remove_file(aside),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) if path.exists() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(aside, path),
    }
}

/// The content of a file's bytes, if head and checksum are right.
fn checked_content(bytes: &[u8], version: u32) -> Result<&[u8], &'static str> {
    if FILE_BYTES_MAX < bytes.len() as u64 {
        return Err("too large");
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or("another format")?;
    let checked_bytes = bytes.len().saturating_sub(SHA256_BYTES);
    let (head, rest) = rest.split_at_checked(4).ok_or("cut short")?;
    let content_bytes = rest.len().checked_sub(SHA256_BYTES).ok_or("cut short")?;
    let (content, sha256) = rest.split_at(content_bytes);
    if Sha256::digest(&bytes[..checked_bytes])[..] != *sha256 {
        return Err("wrong checksum");
    }
    if *head != version.to_be_bytes() {
        return Err("another version than its name says");
    }
    Ok(content)
}

/// The form on disk. Numbers of fields are never used again.
mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Content {
        #[prost(message, repeated, tag = "1")]
        pub operators: Vec<Operator>,
        #[prost(message, repeated, tag = "2")]
        pub lines: Vec<Line>,
        #[prost(message, repeated, tag = "3")]
        pub stops: Vec<Stop>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Operator {
        #[prost(string, tag = "1")]
        pub code: String,
        #[prost(string, tag = "2")]
        pub name: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Line {
        #[prost(string, tag = "1")]
        pub id: String,
        #[prost(string, tag = "2")]
        pub number: String,
        #[prost(string, tag = "3")]
        pub name: String,
        #[prost(uint32, tag = "4")]
        pub mode: u32,
        /// Days since 1970-01-01.
        #[prost(sint32, optional, tag = "5")]
        pub from: Option<i32>,
        /// Days since 1970-01-01.
        #[prost(sint32, optional, tag = "6")]
        pub until: Option<i32>,
        #[prost(message, repeated, tag = "7")]
        pub directions: Vec<Direction>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Direction {
        #[prost(string, tag = "1")]
        pub headsign: String,
        #[prost(string, repeated, tag = "2")]
        pub stops: Vec<String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Stop {
        #[prost(string, tag = "1")]
        pub id: String,
        #[prost(string, tag = "2")]
        pub name: String,
        #[prost(string, tag = "3")]
        pub town: String,
        #[prost(double, tag = "4")]
        pub latitude: f64,
        #[prost(double, tag = "5")]
        pub longitude: f64,
        #[prost(string, repeated, tag = "6")]
        pub platforms: Vec<String>,
    }
}

fn to_wire(operators: &[Operator], lines: &[Line], stops: &[Stop]) -> wire::Content {
    wire::Content {
        operators: operators.iter().map(to_wire_operator).collect(),
        lines: lines.iter().map(to_wire_line).collect(),
        stops: stops.iter().map(to_wire_stop).collect(),
    }
}

fn to_wire_operator(operator: &Operator) -> wire::Operator {
    wire::Operator {
        code: operator.code.to_string(),
        name: operator.name.to_string(),
    }
}

fn to_wire_line(line: &Line) -> wire::Line {
    let to_direction = |direction: &Direction| wire::Direction {
        headsign: direction.headsign.to_string(),
        stops: direction.stops.iter().map(ToString::to_string).collect(),
    };
    wire::Line {
        id: line.id.to_string(),
        number: line.number.to_string(),
        name: line.name.to_string(),
        mode: line.mode.number().into(),
        from: line.validity.from.map(|day| day.0),
        until: line.validity.until.map(|day| day.0),
        directions: line.directions.iter().map(to_direction).collect(),
    }
}

fn to_wire_stop(stop: &Stop) -> wire::Stop {
    wire::Stop {
        id: stop.id.to_string(),
        name: stop.name.to_string(),
        town: stop.town.to_string(),
        latitude: stop.latitude,
        longitude: stop.longitude,
        platforms: stop.platforms.iter().map(ToString::to_string).collect(),
    }
}

fn from_wire(content: wire::Content) -> Option<Feed> {
    let operators = content.operators.into_iter().map(from_wire_operator);
    let lines = content.lines.into_iter().map(from_wire_line);
    let stops = content.stops.into_iter().map(from_wire_stop);
    Some(Feed {
        operators: operators.collect::<Option<_>>()?,
        lines: lines.collect::<Option<_>>()?,
        stops: stops.collect::<Option<_>>()?,
    })
}

fn from_wire_operator(operator: wire::Operator) -> Option<Operator> {
    Some(Operator {
        code: operator.code.parse().ok()?,
        name: operator.name.into(),
        lines: 0,
    })
}

fn from_wire_line(line: wire::Line) -> Option<Line> {
    let from_direction = |direction: wire::Direction| {
        let stops = direction.stops.iter().map(|stop| stop.parse().ok());
        Some(Direction {
            headsign: direction.headsign.into(),
            stops: stops.collect::<Option<_>>()?,
        })
    };
    let directions = line.directions.into_iter().map(from_direction);
    Some(Line {
        id: line.id.parse().ok()?,
        number: line.number.into(),
        name: line.name.into(),
        mode: Mode::from_number(u8::try_from(line.mode).ok()?)?,
        validity: Validity {
            from: from_wire_day(line.from)?,
            until: from_wire_day(line.until)?,
        },
        directions: directions.collect::<Option<_>>()?,
    })
}

/// A day that has a date. Lines may end on the day before the first supported one.
fn from_wire_day(day: Option<i32>) -> Option<Option<LocalDay>> {
    let has_date = |day: i32| (FIRST_DAY.0 - 1..END_DAY.0).contains(&day);
    day.is_none_or(has_date).then(|| day.map(LocalDay))
}

fn from_wire_stop(stop: wire::Stop) -> Option<Stop> {
    let is_on_earth = stop.latitude.abs() <= 90.0 && stop.longitude.abs() <= 180.0;
    if !is_on_earth {
        return None;
    }
    Some(Stop {
        id: stop.id.parse().ok()?,
        name: stop.name.into(),
        town: stop.town.into(),
        latitude: stop.latitude,
        longitude: stop.longitude,
        platforms: stop.platforms.into_iter().map(Into::into).collect(),
        lines: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_version() -> Network {
        Network::overlay(&Network::built_in(), Vec::new()).expect("nothing new is wrong")
    }

    #[test]
    fn network_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(latest_on_disk(folder.path()), None);
        assert!(Network::load_latest(folder.path()).expect("none").is_none());
        let network = next_version();
        network.save(folder.path()).expect("saved");
        assert_eq!(latest_on_disk(folder.path()), Some(1));
        let read = Network::load_latest(folder.path())
            .expect("whole")
            .expect("there");
        assert_eq!((read.version(), read.sha256()), (1, network.sha256()));
        assert_eq!(read.all_lines(), network.all_lines());
        assert_eq!(read.all_stops(), network.all_stops());
        assert_eq!(read.operators(), network.operators());
    }

    #[test]
    fn newest_version_is_the_latest_and_none_is_written_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = next_version();
        let second = Network::overlay(&first, Vec::new()).expect("nothing new is wrong");
        second.save(folder.path()).expect("saved");
        first.save(folder.path()).expect("saved");
        fs::write(folder.path().join("network/000009.12.tmp"), b"half").expect("written");
        assert_eq!(latest_on_disk(folder.path()), Some(2));
        assert!(matches!(
            first.save(folder.path()),
            Err(PersistError::VersionTaken(1))
        ));
        assert_eq!(first.sha256(), second.sha256());
    }

    #[test]
    fn version_whose_file_was_removed_is_not_given_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let numbered = || next_version().numbered_for(folder.path(), 0);
        assert_eq!(numbered().version(), 1);
        let file = numbered().save(folder.path()).expect("saved");
        fs::remove_file(file).expect("removed");
        assert_eq!(latest_on_disk(folder.path()), None);
        let taken = next_version().save(folder.path());
        assert!(matches!(taken, Err(PersistError::VersionTaken(1))));
        assert_eq!(numbered().version(), 2);
        // One that was put there by hand.
        fs::write(Network::file_of(folder.path(), 7), b"").expect("written");
        assert_eq!(numbered().version(), 8);
    }

    #[test]
    fn version_that_was_published_is_not_given_again_though_nothing_else_is_left_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let numbered = |cited| next_version().numbered_for(folder.path(), cited).version();
        assert_eq!([numbered(0), numbered(8)], [1, 9]);
        fs::create_dir(folder.path().join(FOLDER)).expect("made");
        fs::write(Network::file_of(folder.path(), 9), b"").expect("written");
        assert_eq!(numbered(8), 10);
    }

    #[test]
    fn damaged_file_is_refused_wherever_the_damage_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = next_version().save(folder.path()).expect("saved");
        let whole = fs::read(&path).expect("there");
        let mut wrong: Vec<_> = [0, 7, 9, 40, whole.len() / 2, whole.len() - 1]
            .map(|place| {
                let mut bytes = whole.clone();
                bytes[place] ^= 1;
                bytes
            })
            .to_vec();
        wrong.extend([0, 8, 20, whole.len() - 1].map(|length| whole[..length].to_vec()));
        wrong.push([&whole[..], b"x"].concat());
        for bytes in wrong {
            fs::write(&path, bytes).expect("written");
            let read = Network::load_latest(folder.path());
            assert!(
                matches!(read, Err(PersistError::Damaged { .. })),
                "{read:?}"
            );
        }
    }
}
