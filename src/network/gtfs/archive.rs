//! The zip archive that a feed comes in.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use zip::ZipArchive;
use zip::read::ZipFile;

use super::error::FeedError;
use super::table::{Bounded, Table};
use crate::domain::limits::{
    FEED_FILE_BYTES_MAX, FEED_FILES_MAX, FEED_STOP_ROWS_MAX, FEED_TRIPS_MAX,
};

/// The files that are read, and how many times.
const READ_FILES: [(&str, u64); 8] = [
    ("agency.txt", 1),
    ("stops.txt", 1),
    ("routes.txt", 1),
    ("trips.txt", 1),
    ("stop_times.txt", 2),
    ("feed_info.txt", 1),
    ("calendar.txt", 1),
    ("calendar_dates.txt", 1),
];
/// How many rows are read between two tellings of progress.
const ROWS_PER_PROGRESS: u32 = 1 << 14;

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file that is being read.
    pub file: &'a str,
    /// Uncompressed bytes read so far, of all files.
    pub bytes_done: u64,
    /// Uncompressed bytes to read, of all files, as the archive tells.
    pub bytes_total: u64,
}

/// How large a feed may be.
#[derive(Clone, Copy)]
pub(super) struct FeedBounds {
    pub(super) files: usize,
    /// Of one file, uncompressed.
    pub(super) file_bytes: u64,
    pub(super) trips: usize,
    pub(super) stop_rows: usize,
}

impl Default for FeedBounds {
    fn default() -> Self {
        Self {
            files: FEED_FILES_MAX,
            file_bytes: FEED_FILE_BYTES_MAX,
            trips: FEED_TRIPS_MAX,
            stop_rows: FEED_STOP_ROWS_MAX,
        }
    }
}

/// An open archive.
pub(super) struct Archive<'p, R> {
    bounds: FeedBounds,
    zip: ZipArchive<R>,
    /// Name, place in the archive and size of each file.
    files: BTreeMap<Box<str>, (usize, u64)>,
    progress: &'p mut dyn FnMut(Progress<'_>),
    bytes_done: u64,
    bytes_total: u64,
}

/// A table in an archive.
pub(super) type ZipTable<'a, R> = Table<ZipFile<'a, R>>;

impl<'p, R: Read + Seek> Archive<'p, R> {
    pub(super) fn open(
        reader: R,
        bounds: FeedBounds,
        progress: &'p mut dyn FnMut(Progress<'_>),
    ) -> Result<Self, FeedError> {
        let mut zip = ZipArchive::new(reader).map_err(FeedError::Zip)?;
        if bounds.files < zip.len() {
            return Err(FeedError::TooLarge {
                what: "the number of files".into(),
                max: bounds.files as u64,
            });
        }
        let mut files = BTreeMap::new();
        for place in 0..zip.len() {
            let file = zip.by_index_raw(place).map_err(FeedError::Zip)?;
            let is_hidden = file.name().starts_with("__MACOSX");
            if file.is_file() && !is_hidden {
                files.insert(file.name().into(), (place, file.size()));
            }
        }
        Ok(Self {
            bounds,
            zip,
            files,
            progress,
            bytes_done: 0,
            bytes_total: 0,
        })
    }

    /// How large the feed may be.
    pub(super) fn bounds(&self) -> FeedBounds {
        self.bounds
    }

    /// The folders that have this file, each ending with `/` unless it is the outermost.
    pub(super) fn folders_with(&mut self, file: &str) -> Vec<String> {
        let folders: Vec<_> = self
            .files
            .keys()
            .filter_map(|name| name.strip_suffix(file))
            .filter(|folder| folder.is_empty() || folder.ends_with('/'))
            .map(str::to_owned)
            .collect();
        self.bytes_total = folders
            .iter()
            .flat_map(|folder| READ_FILES.map(|(file, times)| (format!("{folder}{file}"), times)))
            .filter_map(|(name, times)| {
                Some(self.files.get(name.as_str())?.1.saturating_mul(times))
            })
            .fold(0, u64::saturating_add);
        folders
    }

    /// Whether a folder has this file.
    pub(super) fn has(&self, folder: &str, file: &str) -> bool {
        self.files.contains_key(format!("{folder}{file}").as_str())
    }

    /// Calls `each` with every row of a file, of whose columns the first `required` must be
    /// there.
    pub(super) fn rows(
        &mut self,
        folder: &str,
        file: &str,
        columns: &'static [&'static str],
        required: usize,
        mut each: impl FnMut(&ZipTable<'_, R>) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        let name = format!("{folder}{file}");
        let Some(&(place, size)) = self.files.get(name.as_str()) else {
            return Err(FeedError::FileMissing { file: name.into() });
        };
        let bytes_max = self.bounds.file_bytes;
        if bytes_max < size {
            return Err(FeedError::TooLarge {
                what: name.into(),
                max: bytes_max,
            });
        }
        let before = self.bytes_done;
        let entry = self.zip.by_index(place).map_err(FeedError::Zip)?;
        let bounded = Bounded::new(entry, bytes_max);
        let mut table = Table::open(&name, bounded, columns, required)?;
        let mut rows = 0_u32;
        while table.next()? {
            each(&table)?;
            rows = rows.wrapping_add(1);
            if rows.is_multiple_of(ROWS_PER_PROGRESS) {
                tell(
                    self.progress,
                    &name,
                    before + table.read_bytes(),
                    self.bytes_total,
                );
            }
        }
        self.bytes_done = before + table.read_bytes();
        tell(self.progress, &name, self.bytes_done, self.bytes_total);
        Ok(())
    }
}

fn tell(progress: &mut dyn FnMut(Progress<'_>), file: &str, bytes_done: u64, bytes_total: u64) {
    progress(Progress {
        file,
        bytes_done,
        bytes_total,
    });
}
