//! Editions on disk: one file each, kept for ever, and only what the journal says is one.
//!
//! A file is written whole before its hash goes into the journal, and counts only once it is
//! there: until then it has another name, and one that a crash left behind is made again. So a
//! file under its own name was published, and is never written over, also where the journal came
//! back from a copy that does not know of it. Beside it lies a note of where in the journal the
//! hash is, so that nobody has to look for it; without the note it is looked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::close::{self, Made};
use super::download::Operators;
use super::format::{Edition, FormatError, Hash, LICENCE, METHOD, citation};
use super::gather::first_at;
use super::month;
use crate::domain::entry::ClosedEdition;
use crate::domain::limits::{EDITION_BYTES_MAX, EDITIONS_HELD_MAX};
use crate::domain::{Entry, LocalMonth, Position};
use crate::journal::{JournalError, Reader, Wanted};

const FOLDER: &str = "editions";
const EDITION_EXTENSION: &str = "json";
const NOTE_EXTENSION: &str = "note";
const ASIDE_EXTENSION: &str = "new";
/// Of a file whose hash is not in the journal yet.
const READY_EXTENSION: &str = "ready";

/// Why an edition cannot be closed, read or checked.
#[derive(Debug, thiserror::Error)]
pub enum EditionError {
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Its bytes are not those whose hash the journal holds.
    #[error("{path} is not the edition that was closed; restore this file from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Closed before, but its file is gone, and what it was made of has been erased since.
    #[error(
        "the edition of {month} was closed, but its file {path} is gone; restore it from a backup"
    )]
    Lost {
        /// As in `2026-10`.
        month: LocalMonth,
        /// The file.
        path: PathBuf,
    },
    /// There is a file of a month, and nothing says whether it was published.
    #[error(
        "{path} is not in the journal, and is not what the journal gives; it is kept as it is: if \
         the journal is a copy that was brought back, run `mistap restore`; if it was never \
         published, move it away"
    )]
    Unnoted {
        /// The file.
        path: PathBuf,
    },
    /// Its bytes are not of the form.
    #[error("an edition cannot be read")]
    Format(#[from] FormatError),
}

/// An edition in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The month that it covers.
    pub month: LocalMonth,
    /// Of its bytes.
    pub hash: Hash,
    /// Version of the method by which it was made.
    pub method: u32,
    /// Where in the journal that is said.
    pub position: Position,
}

/// One line that names the source of figures of one edition or of several, at least one, in
/// their order. Of several the hash is that of the lines of their hashes.
pub fn citation_of(closed: &[Closed], path: &str) -> String {
    let (first, last) = (closed[0], closed[closed.len() - 1]);
    if closed.len() == 1 {
        return citation(&last.month.to_string(), last.method, last.hash, path);
    }
    let lines: String = closed.iter().map(|one| format!("{}\n", one.hash)).collect();
    let (hash, count) = (Hash::of(lines.as_bytes()), closed.len());
    let methods = if first.method == last.method {
        format!("method {}", last.method)
    } else {
        format!("methods {} to {}", first.method, last.method)
    };
    format!(
        "mistap, editions {} to {} ({count}): failed check-ins as reported or observed, {methods}, \
         {LICENCE}, sha256 of their sha256 lines {hash}, {path}",
        first.month, last.month
    )
}

/// An edition that was read and is whole.
#[derive(Debug)]
pub struct Held {
    /// What the journal says of it.
    pub closed: Closed,
    /// What it says.
    pub edition: Edition,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
}

/// What came of making an edition ready.
#[derive(Debug)]
pub enum Prepared {
    /// Its file is there: made now, or published before the journal was restored from a copy that
    /// does not know of it. Its hash must go into the journal, and then `keep` be called.
    Ready(ClosedEdition),
    /// It had been closed before, and its file was made again.
    Restored(Closed),
    /// The month is not over yet, as far as the journal knows.
    NotNow,
    /// It must not be closed any more: the journal no longer holds all that it would be made of.
    Cut,
}

/// What checking an edition found. Its hash is right in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The journal gives the same, to the byte.
    Recomputed,
    /// So many reports have been erased since: it cannot be made again. Whatever they cannot have
    /// touched comes out as it was.
    Erased(u64),
    /// The journal no longer holds its incidents, or not all of them: the same.
    Gone,
    /// It was made by this version of the method, and this program makes another.
    OtherMethod(u32),
    /// The journal gives another, and nothing that is missing can be why.
    Differs,
}

/// Why no edition comes of a month.
#[derive(Clone, Copy, Debug)]
enum Hopeless {
    /// It had been closed, and cannot be made as it was.
    Lost,
    /// It must not be closed any more.
    Cut,
}

/// The editions of a data folder.
pub struct Library {
    folder: PathBuf,
    reader: Reader,
    closed: RwLock<BTreeMap<LocalMonth, Closed>>,
    /// Those that were asked for last, newest last.
    held: Mutex<Vec<Arc<Held>>>,
    /// The operators that each tells of, of those that were asked for once.
    operators: Mutex<BTreeMap<LocalMonth, Arc<Operators>>>,
    /// Months of which no edition comes any more, as was found by making it. So it stays until there is
    /// a file of theirs again, or another edition, which they may rest on.
    hopeless: Mutex<BTreeMap<LocalMonth, Hopeless>>,
    /// `EDITION_BYTES_MAX`, but in tests.
    pub(super) bytes_max: u64,
}

impl Library {
    /// Of a data folder, with its journal.
    pub fn open(data: &Path, reader: Reader) -> Result<Self, EditionError> {
        let (library, looked_for) = Self::find(data, reader)?;
        for closed in looked_for {
            library.write_note(closed)?;
        }
        Ok(library)
    }

    /// The same, of a folder in which nothing may be written.
    pub fn open_reading(data: &Path, reader: Reader) -> Result<Self, EditionError> {
        Ok(Self::find(data, reader)?.0)
    }

    /// With those that have no note.
    fn find(data: &Path, reader: Reader) -> Result<(Self, Vec<Closed>), EditionError> {
        let library = Self {
            folder: data.join(FOLDER),
            reader,
            closed: RwLock::default(),
            held: Mutex::default(),
            operators: Mutex::default(),
            hopeless: Mutex::default(),
            bytes_max: EDITION_BYTES_MAX,
        };
        let mut unknown = BTreeSet::new();
        for month in months_on_disk(&library.folder)? {
            match library.noted(month)? {
                Some(closed) => library.add(closed),
                None => {
                    unknown.insert(month);
                }
            }
        }
        let mut looked_for = Vec::new();
        if let Some(first) = unknown.first() {
            looked_for = library.marks_from(*first)?;
            looked_for.retain(|closed| unknown.contains(&closed.month));
        }
        for closed in &looked_for {
            library.add(*closed);
        }
        Ok((library, looked_for))
    }

    /// All editions, by month.
    pub fn list(&self) -> Vec<Closed> {
        let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
        closed.values().copied().collect()
    }

    /// Editions of which the journal has the hash, and of which there is no file. Reads the whole
    /// journal.
    pub fn lost(&self) -> Result<Vec<Closed>, EditionError> {
        let here = self.list().into_iter().map(|closed| closed.month);
        let here: BTreeSet<_> = here.collect();
        let mut lost = BTreeMap::new();
        for closed in self.marks(self.reader.begin())? {
            if !here.contains(&closed.month) {
                lost.insert(closed.month, closed);
            }
        }
        Ok(lost.into_values().collect())
    }

    /// An edition, read and checked; `None` if there is none of the month.
    pub fn get(&self, month: LocalMonth) -> Result<Option<Arc<Held>>, EditionError> {
        let closed = {
            let all = self.closed.read().unwrap_or_else(PoisonError::into_inner);
            all.get(&month).copied()
        };
        // Nothing is locked while the file is read.
        let Some(closed) = closed else {
            return Ok(None);
        };
        if let Some(held) = self.held_again(closed) {
            return Ok(Some(held));
        }
        let bytes = self.read(month)?;
        if Hash::of(&bytes) != closed.hash {
            return Err(EditionError::Damaged {
                path: self.path(month),
            });
        }
        let edition = Edition::from_bytes(&bytes)?;
        let read = Arc::new(Held {
            closed,
            edition,
            bytes,
        });
        let mut held = self.held();
        if EDITIONS_HELD_MAX <= held.len() {
            held.remove(0);
        }
        held.push(Arc::clone(&read));
        Ok(Some(read))
    }

    /// The operators that an edition tells of; `None` if there is none of the month. Of each it is
    /// read once, since it never changes.
    pub fn operators(&self, month: LocalMonth) -> Result<Option<Arc<Operators>>, EditionError> {
        let known = self.known_operators().get(&month).cloned();
        if known.is_some() {
            return Ok(known);
        }
        // Nothing is locked while the file is read.
        let Some(held) = self.get(month)? else {
            return Ok(None);
        };
        let operators = Arc::new(Operators::of(&held.edition));
        let again = Arc::clone(&operators);
        self.known_operators().insert(month, again);
        Ok(Some(operators))
    }

    fn known_operators(&self) -> MutexGuard<'_, BTreeMap<LocalMonth, Arc<Operators>>> {
        self.operators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One of those that were read last, which is the newest of them from now on.
    fn held_again(&self, closed: Closed) -> Option<Arc<Held>> {
        let mut held = self.held();
        let place = held.iter().position(|held| held.closed == closed)?;
        let again = held.remove(place);
        held.push(Arc::clone(&again));
        Some(again)
    }

    /// The months whose editions are due, as far as the journal knows.
    pub fn due(&self) -> Result<Vec<LocalMonth>, EditionError> {
        let closed = self.list().into_iter().map(|closed| closed.month);
        Ok(close::due(&self.reader, &closed.collect())?)
    }

    /// The months whose editions are due, and of which the journal has never had one.
    pub fn never_closed(&self) -> Result<Vec<LocalMonth>, EditionError> {
        let mut due = self.due()?;
        if let Some(first) = due.first() {
            let marks = self.marks_from(*first)?.into_iter();
            let closed: BTreeSet<_> = marks.map(|closed| closed.month).collect();
            due.retain(|month| !closed.contains(month));
        }
        Ok(due)
    }

    /// Of those, the months whose editions must not be closed any more.
    pub fn cut(&self) -> Result<Vec<LocalMonth>, EditionError> {
        let mut cut = Vec::new();
        for month in self.never_closed()? {
            if self.is_cut(month)? {
                cut.push(month);
            }
        }
        Ok(cut)
    }

    /// Of those, the months whose editions are still to be closed.
    pub fn awaited(&self) -> Result<Vec<LocalMonth>, EditionError> {
        let mut awaited = Vec::new();
        for month in self.never_closed()? {
            if !self.is_cut(month)? {
                awaited.push(month);
            }
        }
        Ok(awaited)
    }

    /// Whether the edition of a month that was never closed must not be any more.
    fn is_cut(&self, month: LocalMonth) -> Result<bool, EditionError> {
        // A file that is there may have been published before a restore.
        if self.path(month).exists() {
            return Ok(false);
        }
        let closed: BTreeSet<_> = self.list().into_iter().map(|one| one.month).collect();
        let is_closed = |month| closed.contains(&month);
        Ok(close::is_cut(&self.reader, month, is_closed)?)
    }

    /// Makes the edition of a due month, and writes its file. One that was found to be lost or cut is not
    /// made once more: that reads much of the journal, and whoever closes editions looks again each
    /// minute.
    pub fn prepare(&self, month: LocalMonth) -> Result<Prepared, EditionError> {
        let has_file = self.path(month).exists() || self.ready_path(month).exists();
        if let Some(found) = self.hopeless().get(&month).filter(|_| !has_file) {
            return match found {
                Hopeless::Cut => Ok(Prepared::Cut),
                Hopeless::Lost => Err(EditionError::Lost {
                    month,
                    path: self.path(month),
                }),
            };
        }
        let prepared = self.prepare_anew(month);
        let found = match &prepared {
            Ok(Prepared::Cut) => Some(Hopeless::Cut),
            Err(EditionError::Lost { .. }) => Some(Hopeless::Lost),
            _ => None,
        };
        if let Some(found) = found {
            self.hopeless().insert(month, found);
        }
        prepared
    }

    fn hopeless(&self) -> MutexGuard<'_, BTreeMap<LocalMonth, Hopeless>> {
        self.hopeless.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare_anew(&self, month: LocalMonth) -> Result<Prepared, EditionError> {
        let before = self.mark_of(month)?;
        if let Some(closed) = before
            && self.is_there(closed)?
        {
            self.keep(closed)?;
            return Ok(Prepared::Restored(closed));
        }
        // It stays so, and is looked at again and again: nothing is made of it.
        if before.is_none() && close::is_over(&self.reader, month)? && self.is_cut(month)? {
            return Ok(Prepared::Cut);
        }
        let path = self.path(month);
        let Some(made) = self.make(month)? else {
            let is_over = close::is_over(&self.reader, month)?;
            return match before {
                Some(_) => Err(EditionError::Lost { month, path }),
                None if is_over && !path.exists() => Ok(Prepared::Cut),
                None => Ok(Prepared::NotNow),
            };
        };
        let bytes = made.edition.to_bytes();
        let hash = Hash::of(&bytes);
        match before {
            Some(closed) if closed.hash == hash => {
                self.write(&path, &bytes)?;
                self.keep(closed)?;
                Ok(Prepared::Restored(closed))
            }
            Some(_) => Err(EditionError::Lost { month, path }),
            None if path.exists() => {
                let published = self.read(month)?;
                if published == bytes {
                    Ok(Prepared::Ready(mark(&made.edition, hash)))
                } else {
                    self.take_in(month, &published)
                }
            }
            // What it was made of decides; the look before only saves making it.
            None if made.missing.is_cut() => Ok(Prepared::Cut),
            None => {
                self.check_size(month, &bytes)?;
                self.write(&self.ready_path(month), &bytes)?;
                Ok(Prepared::Ready(mark(&made.edition, hash)))
            }
        }
    }

    /// Takes in an edition whose hash is in the journal and whose file is there.
    pub fn keep(&self, closed: Closed) -> Result<(), EditionError> {
        let (path, ready) = (self.path(closed.month), self.ready_path(closed.month));
        if has_hash(&ready, closed.hash)? {
            let rename = || {
                fs::rename(&ready, &path)?;
                File::open(&self.folder)?.sync_all()
            };
            rename().map_err(|source| io_error("write", &path, source))?;
        }
        self.write_note(closed)?;
        self.add(closed);
        Ok(())
    }

    /// Whether the file of an edition that was closed before is there after all: brought back, or
    /// not yet under its own name.
    fn is_there(&self, closed: Closed) -> Result<bool, EditionError> {
        Ok(has_hash(&self.path(closed.month), closed.hash)?
            || has_hash(&self.ready_path(closed.month), closed.hash)?)
    }

    /// What was published of a month before its journal was lost, and restored from a copy that
    /// does not know of it: never revised, so that its hash goes into the journal as it is.
    fn take_in(&self, month: LocalMonth, bytes: &[u8]) -> Result<Prepared, EditionError> {
        let unnoted = || EditionError::Unnoted {
            path: self.path(month),
        };
        let edition = Edition::from_bytes(bytes).map_err(|_| unnoted())?;
        if edition.local_month() != month || self.restores_after(month)?.is_empty() {
            return Err(unnoted());
        }
        tracing::warn!(%month, "edition was published before a restore; kept as it was");
        Ok(Prepared::Ready(mark(&edition, Hash::of(bytes))))
    }

    /// Whether an edition was published before a restore, and counts what came after the copy.
    fn is_taken_in(&self, edition: &Edition) -> Result<bool, EditionError> {
        let restores = self.restores_after(edition.local_month())?;
        let counts_later = |restored: &Position| *restored <= edition.through().next();
        Ok(restores.iter().any(counts_later))
    }

    /// Where the record went on from a copy after the edition of a month had closed. That is never
    /// taken from the journal.
    fn restores_after(&self, month: LocalMonth) -> Result<Vec<Position>, EditionError> {
        let from = first_at(&self.reader, month::closes_at(month))?;
        let records = self.reader.wanted_from(from, Wanted::Restores);
        records.map(|record| Ok(record?.position)).collect()
    }

    /// Checks an edition: its file against the hash in the journal, and all of it against
    /// the journal. `None` if there is none of the month.
    pub fn verify(&self, month: LocalMonth) -> Result<Option<Verdict>, EditionError> {
        let Some(held) = self.get(month)? else {
            return Ok(None);
        };
        if held.closed.method != METHOD {
            return Ok(Some(Verdict::OtherMethod(held.closed.method)));
        }
        Ok(Some(match self.make(month)? {
            None => Verdict::Gone,
            Some(made) if made.edition.to_bytes() == held.bytes => Verdict::Recomputed,
            Some(made) if made.missing.explains(&held.edition, &made.edition) => {
                let is_quarter_gone = made.missing.before.is_some_and(|before| before.is_gone);
                match made.missing.erased() {
                    erased if 0 < erased && !is_quarter_gone => Verdict::Erased(erased),
                    _ => Verdict::Gone,
                }
            }
            Some(_) if self.is_taken_in(&held.edition)? => Verdict::Gone,
            // Closed while an earlier one of its quarter was not there.
            Some(_) if self.gives_alone(month, &held.bytes)? => Verdict::Recomputed,
            Some(_) => Verdict::Differs,
        }))
    }

    /// Whether the journal gives these bytes of a month without the others of its quarter.
    fn gives_alone(&self, month: LocalMonth, bytes: &[u8]) -> Result<bool, EditionError> {
        let made = close::make(&self.reader, month, |_| None)?;
        Ok(made.is_some_and(|made| made.edition.to_bytes() == bytes))
    }

    fn make(&self, month: LocalMonth) -> Result<Option<Made>, EditionError> {
        let earlier = |month| {
            let held = self.get(month).ok().flatten()?;
            Some(held.edition.clone())
        };
        Ok(close::make(&self.reader, month, earlier)?)
    }

    fn add(&self, closed: Closed) {
        let mut all = self.closed.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(closed.month, closed);
        self.hopeless().clear();
    }

    fn held(&self) -> MutexGuard<'_, Vec<Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the journal says of an edition.
    fn mark_of(&self, month: LocalMonth) -> Result<Option<Closed>, EditionError> {
        let marks = self.marks_from(month)?;
        Ok(marks.into_iter().find(|closed| closed.month == month))
    }

    /// What the journal says of editions that closed no earlier than a month's.
    fn marks_from(&self, month: LocalMonth) -> Result<Vec<Closed>, EditionError> {
        self.marks(first_at(&self.reader, month::closes_at(month))?)
    }

    fn marks(&self, from: Position) -> Result<Vec<Closed>, EditionError> {
        let mut marks = Vec::new();
        for record in self.reader.wanted_from(from, Wanted::Editions) {
            let record = record?;
            if let Entry::EditionClosed(closed) = record.entry {
                marks.push(Closed {
                    month: closed.month,
                    hash: Hash(closed.sha256),
                    method: closed.method,
                    position: record.position,
                });
            }
        }
        Ok(marks)
    }
}

// === Files ===

impl Library {
    fn path(&self, month: LocalMonth) -> PathBuf {
        edition_path(&self.folder, month)
    }

    fn ready_path(&self, month: LocalMonth) -> PathBuf {
        self.path(month).with_extension(READY_EXTENSION)
    }

    fn note_path(&self, month: LocalMonth) -> PathBuf {
        self.folder.join(format!("{month}.{NOTE_EXTENSION}"))
    }

    /// Refuses what could never be read: before its hash is noted, for good.
    fn check_size(&self, month: LocalMonth, bytes: &[u8]) -> Result<(), EditionError> {
        if bytes.len() as u64 <= self.bytes_max {
            return Ok(());
        }
        let source = io::Error::from(io::ErrorKind::FileTooLarge);
        Err(io_error("write", &self.path(month), source))
    }

    /// What the note beside a file says, if the journal says the same there.
    fn noted(&self, month: LocalMonth) -> Result<Option<Closed>, EditionError> {
        let Ok(text) = fs::read_to_string(self.note_path(month)) else {
            return Ok(None);
        };
        let Ok(position) = text.trim().parse().map(Position) else {
            return Ok(None);
        };
        // The months before may have ended: editions stay where they are.
        let record = self.reader.wanted_from(position, Wanted::Editions).next();
        let record = record
            .transpose()?
            .filter(|record| record.position == position);
        Ok(record.and_then(|record| match record.entry {
            Entry::EditionClosed(closed) if closed.month == month => Some(Closed {
                month,
                hash: Hash(closed.sha256),
                method: closed.method,
                position,
            }),
            _ => None,
        }))
    }

    fn write_note(&self, closed: Closed) -> Result<(), EditionError> {
        let text = format!("{}\n", closed.position);
        self.write(&self.note_path(closed.month), text.as_bytes())
    }

    fn read(&self, month: LocalMonth) -> Result<Vec<u8>, EditionError> {
        let path = self.path(month);
        read(&path).map_err(|source| io_error("read", &path, source))
    }

    /// Aside, synced, and renamed.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), EditionError> {
        let aside = path.with_extension(ASIDE_EXTENSION);
        let write = || {
            fs::create_dir_all(&self.folder)?;
            let mut file = File::create(&aside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&aside, path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| io_error("write", path, source))
    }
}

/// The newest version of the network that a published edition of a data folder was made with; 0 if
/// there is none. What is no edition, or is damaged, names none.
pub fn newest_network(data: &Path) -> Result<u32, EditionError> {
    let folder = data.join(FOLDER);
    let mut newest = 0;
    for month in months_on_disk(&folder)? {
        let path = edition_path(&folder, month);
        let bytes = read(&path).map_err(|source| io_error("read", &path, source))?;
        let networks = Edition::from_bytes(&bytes).map_or(Vec::new(), |edition| edition.networks);
        newest = networks.into_iter().fold(newest, u32::max);
    }
    Ok(newest)
}

fn edition_path(folder: &Path, month: LocalMonth) -> PathBuf {
    folder.join(format!("{month}.{EDITION_EXTENSION}"))
}

fn months_on_disk(folder: &Path) -> Result<Vec<LocalMonth>, EditionError> {
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.map_err(|source| io_error("list", folder, source))?,
    };
    let mut months = Vec::new();
    for file in files {
        let file = file.map_err(|source| io_error("list", folder, source))?;
        let path = file.path();
        let is_edition = path
            .extension()
            .is_some_and(|found| found == EDITION_EXTENSION);
        let name = path.file_stem().and_then(|name| name.to_str());
        months.extend(name.filter(|_| is_edition).and_then(month::parse));
    }
    months.sort();
    Ok(months)
}

/// What the journal is told of an edition.
fn mark(edition: &Edition, hash: Hash) -> ClosedEdition {
    ClosedEdition {
        month: edition.local_month(),
        through: edition.through(),
        sha256: hash.0,
        method: edition.method,
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(EDITION_BYTES_MAX + 1);
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether there is a file with these bytes.
fn has_hash(path: &Path, hash: Hash) -> Result<bool, EditionError> {
    match read(path) {
        Ok(bytes) => Ok(Hash::of(&bytes) == hash),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(io_error("read", path, source)),
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> EditionError {
    EditionError::Io {
        action,
        path: path.into(),
        source,
    }
}
