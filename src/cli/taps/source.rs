//! A table that can be read several times: a file, or one file of a zip archive.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::super::failure::{Failure, Kind};

/// How every zip archive begins.
const ZIP_MAGIC: [u8; 4] = *b"PK\x03\x04";
/// Largest zipped table, uncompressed, in bytes. A larger one is refused: not before it is read so
/// far if the archive tells a smaller size.
const TABLE_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
const TOO_LARGE: &str = "the zipped table is larger than 16 GiB";

/// Where the table is.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    entry: Option<String>,
    delimiter: u8,
    bytes: u64,
}

impl Source {
    /// Looks into the file. An archive must hold one table, or `entry` says which.
    pub fn find(path: &Path, entry: Option<&str>, delimiter: u8) -> Result<Self, Failure> {
        check_is_file(path)?;
        let mut magic = [0; 4];
        let mut file = open(path)?;
        let is_zip = file.read_exact(&mut magic).is_ok() && magic == ZIP_MAGIC;
        if !is_zip {
            if entry.is_some() {
                return Err(Failure::new(Kind::Refused, "--entry is for zip archives"));
            }
            return Ok(Self {
                path: path.to_owned(),
                entry: None,
                delimiter,
                bytes: file.metadata()?.len(),
            });
        }
        let mut archive = archive(path)?;
        let name = choose(&archive, entry)?;
        let bytes = archive
            .by_name(&name)
            .map_err(|error| broken(&error))?
            .size();
        if TABLE_BYTES_MAX < bytes {
            return Err(Failure::new(Kind::Refused, TOO_LARGE));
        }
        Ok(Self {
            path: path.to_owned(),
            entry: Some(name),
            delimiter,
            bytes,
        })
    }

    /// How large the table is, as far as the archive tells.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What stands between columns.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The table from its beginning.
    pub fn open(&self) -> Result<Box<dyn Read + Send>, Failure> {
        self.open_within(TABLE_BYTES_MAX)
    }

    /// Its reader fails where a zipped table goes beyond so many bytes.
    fn open_within(&self, bytes_max: u64) -> Result<Box<dyn Read + Send>, Failure> {
        let Some(entry) = &self.entry else {
            return Ok(Box::new(BufReader::new(open(&self.path)?)));
        };
        let mut archive = archive(&self.path)?;
        let place = archive.index_for_name(entry);
        let place = place.ok_or_else(|| Failure::new(Kind::Refused, "the archive has changed"))?;
        // The archive is read on a thread of its own, which ends when nobody listens.
        let (sender, chunks) = std::sync::mpsc::sync_channel(CHUNKS_AHEAD);
        std::thread::spawn(move || {
            let mut read = || -> io::Result<()> {
                let file = archive.by_index(place).map_err(io::Error::other)?;
                let mut file = Bounded {
                    inner: file,
                    bytes_left: bytes_max,
                };
                loop {
                    let mut chunk = vec![0; CHUNK_BYTES];
                    let length = file.read(&mut chunk)?;
                    chunk.truncate(length);
                    if length == 0 || sender.send(Ok(chunk)).is_err() {
                        return Ok(());
                    }
                }
            };
            if let Err(error) = read() {
                // Nobody may be listening.
                let _ = sender.send(Err(error));
            }
        });
        Ok(Box::new(Chunks {
            chunks,
            rest: Vec::new(),
            read: 0,
        }))
    }
}

/// Reads to the end, or fails where more is there than may be.
struct Bounded<R> {
    inner: R,
    bytes_left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let left = self.bytes_left.checked_sub(length as u64);
        self.bytes_left = left.ok_or_else(|| io::Error::other(TOO_LARGE))?;
        Ok(length)
    }
}

const CHUNKS_AHEAD: usize = 4;
const CHUNK_BYTES: usize = 64 * 1024;

/// What the archive's thread reads.
struct Chunks {
    chunks: std::sync::mpsc::Receiver<io::Result<Vec<u8>>>,
    rest: Vec<u8>,
    read: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.rest.len() {
            self.rest = self.chunks.recv().unwrap_or(Ok(Vec::new()))?;
            self.read = 0;
        }
        let length = buffer.len().min(self.rest.len() - self.read);
        buffer[..length].copy_from_slice(&self.rest[self.read..self.read + length]);
        self.read += length;
        Ok(length)
    }
}

/// Refuses what can be read only once, before any of it is read.
fn check_is_file(path: &Path) -> Result<(), Failure> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if metadata.is_file() {
        return Ok(());
    }
    let message = format!("{} must be a file, as it is read twice", path.display());
    Err(Failure::new(Kind::Refused, message))
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        _ => Kind::Unexpected,
    };
    Failure::caused(kind, format!("{} cannot be read", path.display()), error)
}

fn archive(path: &Path) -> Result<zip::ZipArchive<BufReader<File>>, Failure> {
    zip::ZipArchive::new(BufReader::new(open(path)?)).map_err(|error| broken(&error))
}

fn broken(error: &zip::result::ZipError) -> Failure {
    Failure::caused(Kind::Refused, "the archive cannot be read", error)
}

fn choose<R>(archive: &zip::ZipArchive<R>, entry: Option<&str>) -> Result<String, Failure>
where
    R: Read + io::Seek,
{
    let names: Vec<&str> = archive
        .file_names()
        .filter(|name| !name.ends_with('/'))
        .collect();
    let chosen = match (entry, &names[..]) {
        (Some(entry), names) => names.iter().find(|name| **name == entry),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    match chosen {
        Some(name) => Ok((*name).to_owned()),
        None => {
            let message = match entry {
                Some(_) => "the archive has no such file",
                None => "the archive holds several files; choose one with --entry",
            };
            let failure = Failure::new(Kind::Refused, message);
            Err(names.into_iter().fold(failure, Failure::with_detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn table_that_can_be_read_only_once_is_refused_before_it_is_read() {
        let (mut pipe, mut writer) = io::pipe().expect("a pipe");
        let table = b"Date;Hour\n";
        writer.write_all(table).expect("room");
        drop(writer);
        let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
        let refused = Source::find(Path::new(&path), None, b';').expect_err("no file");
        assert_eq!(refused.kind(), Kind::Refused);
        let told = refused.to_string();
        assert!(
            told.contains("must be a file, as it is read twice"),
            "{told}"
        );
        let mut unread = Vec::new();
        pipe.read_to_end(&mut unread).expect("readable");
        assert_eq!(unread, table);
        let folder = tempfile::tempdir().expect("a folder");
        let missing = Source::find(&folder.path().join("none"), None, b';');
        assert_eq!(missing.expect_err("none").kind(), Kind::NotFound);
    }

    #[test]
    fn zipped_table_that_is_too_large_fails_and_is_not_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("taps.zip");
        let mut archive = zip::ZipWriter::new(File::create(&path).expect("room"));
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file("taps.csv", options).expect("a new file");
        let table = b"Date;Ridership\n".repeat(10_000);
        archive.write_all(&table).expect("room");
        archive.finish().expect("room");
        let source = Source::find(&path, None, b';').expect("one table");
        let size = table.len() as u64;
        assert_eq!(source.bytes(), size);
        let read = |bytes_max| {
            let mut bytes = Vec::new();
            let mut reader = source.open_within(bytes_max).expect("it is there");
            reader.read_to_end(&mut bytes).map(|_| bytes)
        };
        assert_eq!(read(size).expect("all of it"), table);
        let error = read(size - 1).expect_err("one byte too many");
        assert_eq!(error.to_string(), TOO_LARGE);
    }
}
