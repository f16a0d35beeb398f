//! Takes words, pseudonyms or all away from the personal parts of many entries.
//!
//! The rest of each part stays where it is, with a checksum of its own again, so that lengths
//! and positions stay. Taking the same away twice changes nothing the second time.

use std::sync::Arc;

use super::codec;
use super::format::{PersonalPart, erased_personal, whole_personal};
use super::reader::{Cursor, Reader};
use super::redo::{self, Rewrite};
use super::{JournalError, Shared};
use crate::domain::Position;
use crate::domain::entry::Removal;
use crate::domain::limits::REMOVED_AT_ONCE_MAX;

/// Bytes of the last entries of a segment that are looked at for what was put back: those of hundreds of
/// reports, or of some days with few.
const LOOKED_AT_BYTES: u64 = 256 * 1024;

/// Takes personal data away, in the process that has the journal open for writing. Several threads
/// may: one waits for the other.
#[derive(Clone, Debug)]
pub struct Remover {
    pub(super) shared: Arc<Shared>,
}

impl Remover {
    /// Of a reader's journal.
    pub fn new(reader: &Reader) -> Self {
        Self {
            shared: reader.shared(),
        }
    }

    /// Takes something away from all entries from one position through another, but for those below
    /// the horizon, which go whole. Returns from how many. Durable when it returns; after an
    /// error it may be done in part, and can be done again.
    pub fn remove(
        &self,
        from: Position,
        through: Position,
        removal: Removal,
    ) -> Result<u64, JournalError> {
        let mut removed = 0;
        let mut next = from;
        while next <= through {
            let last = Position((next.0 + REMOVED_AT_ONCE_MAX - 1).min(through.0));
            removed += self.remove_some(next, last, removal)?;
            next = last.next();
        }
        Ok(removed)
    }

    /// Whether any segment holds what was taken away through an entry, as one does that was put back
    /// from a backup by itself. What is taken away goes in the order of entries, so that of each segment
    /// the last entries are looked at, at that one or before it. What cannot be read is passed over,
    /// and told where nothing is back elsewhere.
    pub fn is_any_back(&self, through: Position, removal: Removal) -> Result<bool, JournalError> {
        self.any_segment(through, |from, last| {
            Ok(!self.rewrites(from, last, removal)?.is_empty())
        })
    }

    /// The same of single incidents that have ended.
    pub fn is_any_incident_back(&self, through: Position) -> Result<bool, JournalError> {
        self.any_segment(through, |from, last| {
            let mut cursor = Cursor::some(Arc::clone(&self.shared), from, last);
            while let Some(header) = cursor.advance()? {
                let raw = cursor.record();
                if raw.is_some_and(|raw| codec::is_of_incident(raw.facts)) {
                    return Ok(true);
                }
                cursor.step(header);
            }
            Ok(false)
        })
    }

    /// Whether it is so for the last entries of any segment. Nothing is written anew meanwhile.
    fn any_segment(
        &self,
        through: Position,
        is_so: impl Fn(Position, Position) -> Result<bool, JournalError>,
    ) -> Result<bool, JournalError> {
        let mut failure = None;
        for (from, last) in self.last_of_segments(through) {
            let _alone = self.shared.rewriting();
            match is_so(from, last) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(false), Err)
    }

    /// The last entries of each segment, some `LOOKED_AT_BYTES`, as far as it lies at a position or
    /// before it.
    fn last_of_segments(&self, through: Position) -> Vec<(Position, Position)> {
        let segments = self.shared.segments();
        let firsts = segments.iter().map(|segment| segment.header.first);
        let ends = firsts.skip(1).map(|next| Position(next.0 - 1));
        let all = segments.iter().zip(ends.chain([through]));
        let all = all.take_while(|(segment, _)| segment.header.first <= through);
        all.map(|(segment, end)| {
            let last = end.min(through);
            let marked = segment.extent().marked_before(last, LOOKED_AT_BYTES);
            (marked.unwrap_or(segment.header.first), last)
        })
        .collect()
    }

    /// Nobody reads a part again, or erases one, until all is written.
    fn remove_some(
        &self,
        from: Position,
        last: Position,
        removal: Removal,
    ) -> Result<u64, JournalError> {
        let _alone = self.shared.rewriting();
        let dir = &self.shared.dir;
        redo::finish(dir, true)?;
        let rewrites = self.rewrites(from, last, removal)?;
        redo::apply(dir, self.shared.epoch, &rewrites, true)
            .map_err(|source| JournalError::io("take personal data out of", dir, source))?;
        Ok(rewrites.len() as u64)
    }

    /// What is to be written where. For whoever holds `Shared::rewriting`.
    fn rewrites(
        &self,
        from: Position,
        last: Position,
        removal: Removal,
    ) -> Result<Vec<Rewrite>, JournalError> {
        // Below the horizon segments are written anew without the lock (`end_incidents`): a place
        // in the one before may be anything in the one after.
        let from = from.max(Reader::new(Arc::clone(&self.shared)).horizon());
        let mut rewrites = Vec::new();
        let mut cursor = Cursor::some(Arc::clone(&self.shared), from, last);
        while let Some(header) = cursor.advance()? {
            let position = header.position;
            let raw = cursor
                .record()
                .ok_or_else(|| cursor.damaged("a record is not whole"))?;
            let left = match raw.personal() {
                PersonalPart::Absent | PersonalPart::Erased { finished: true } => None,
                PersonalPart::Erased { finished: false } => Some(None),
                PersonalPart::Bad => {
                    return Err(cursor.damaged("its personal part is not whole"));
                }
                PersonalPart::Whole(_) if removal == Removal::All => Some(None),
                PersonalPart::Whole(content) => codec::without(raw.facts, content, removal)
                    .map_err(|source| JournalError::Undecodable { position, source })?
                    .map(Some),
            };
            if let Some(left) = left {
                let bytes = header.record_bytes() - header.personal_at();
                rewrites.push(Rewrite {
                    path: cursor.path(),
                    offset: cursor.offset() + header.personal_at() as u64,
                    bytes: match left {
                        Some(content) => whole_personal(&content, header.crc),
                        None => erased_personal(bytes),
                    },
                });
            }
            cursor.step(header);
        }
        Ok(rewrites)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt as _;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::domain::taxonomy::TimePrecision;
    use crate::domain::testing::{blank_facts, id_made_at, personal};
    use crate::domain::{Entry, Hour, Personal, Pseudonym, RowTime, UtcMillis};
    use crate::journal::{SEGMENT_BYTES_MIN, Settings, Writer, encode, open, verify};

    const NOW: UtcMillis = UtcMillis(1_800_000_000_000);
    const NOTE: &str = "ach, meisje";
    const CARD: Pseudonym = Pseudonym([0xC5; 16]);
    /// Some fill more than one chunk and segment.
    const COUNT: u64 = REMOVED_AT_ONCE_MAX + 100;
    const SETTINGS: Settings = Settings {
        segment_bytes: SEGMENT_BYTES_MIN,
        sync: false,
    };

    fn incident(number: u64) -> Entry {
        let personal = Personal {
            card: Some(CARD),
            key_period: 8_107,
            vehicle: "2203".into(),
            note: NOTE
                .repeat(usize::try_from(number % 20 + 1).expect("few"))
                .into(),
            ..personal(NOW)
        };
        Entry::Incident {
            facts: Box::new(blank_facts(
                id_made_at(NOW, number),
                RowTime::Hour(Hour(500_000)),
                TimePrecision::Exact,
            )),
            personal: Some(Box::new(personal)),
        }
    }

    fn journal() -> (TempDir, Writer, Reader) {
        let dir = TempDir::new().expect("a folder");
        let (mut writer, reader, _) = open(dir.path(), SETTINGS).expect("new");
        for number in 1..=COUNT {
            writer
                .append(&[encode(&incident(number))], NOW)
                .expect("room");
        }
        (dir, writer, reader)
    }

    fn left(reader: &Reader, position: u64) -> Option<Personal> {
        let record = reader.entry(Position(position)).expect("readable");
        match record.expect("there").entry {
            Entry::Incident { personal, .. } => personal.map(|personal| *personal),
            other => panic!("{other:?}"),
        }
    }

    /// In how many files of the folder these bytes are.
    fn files_with(dir: &Path, bytes: &[u8]) -> usize {
        let files = fs::read_dir(dir).expect("a folder");
        let contents = files.map(|file| fs::read(file.expect("a file").path()).expect("read"));
        contents
            .filter(|content| content.windows(bytes.len()).any(|window| window == bytes))
            .count()
    }

    #[test]
    fn words_pseudonyms_and_all_else_go_one_after_the_other_and_nothing_else_does() {
        let (dir, writer, reader) = journal();
        let remover = Remover::new(&reader);
        let remove = |removal| remover.remove(Position(1), Position(COUNT - 1), removal);
        assert_eq!(remove(Removal::Words).expect("written"), COUNT - 1);
        // Only the last has its note, and the others have all else.
        assert_eq!(remove(Removal::Words).expect("written"), 0);
        assert!(left(&reader, COUNT).is_some_and(|left| left.note.starts_with(NOTE)));
        let kept = left(&reader, 7).expect("there");
        assert_eq!(
            (&*kept.note, &*kept.vehicle, kept.card),
            ("", "2203", Some(CARD))
        );
        let through = |key_period| Removal::Pseudonyms { key_period };
        assert_eq!(remove(through(8_106)).expect("written"), 0);
        assert_eq!(remove(through(8_107)).expect("written"), COUNT - 1);
        let kept = left(&reader, 7).expect("there");
        assert_eq!((&*kept.vehicle, kept.card), ("2203", None));
        assert_eq!(remove(Removal::All).expect("written"), COUNT - 1);
        assert_eq!(left(&reader, 7), None);
        remover
            .remove(Position(1), Position(COUNT), Removal::All)
            .expect("written");
        for bytes in [NOTE.as_bytes(), &CARD.0, b"2203"] {
            assert_eq!(files_with(dir.path(), bytes), 0);
        }
        assert!(verify(dir.path()).expect("readable").problems.is_empty());
        drop(writer);
        let (_, reader, opening) = open(dir.path(), SETTINGS).expect("whole");
        assert_eq!((opening.records, opening.erasures_finished), (COUNT, 0));
        assert_eq!(left(&reader, COUNT), None);
    }

    #[test]
    fn removal_below_the_horizon_changes_nothing() {
        let (_dir, _writer, reader) = journal();
        reader.raise_horizon(Position(5));
        let remover = Remover::new(&reader);
        let remove = |through| remover.remove(Position(1), Position(through), Removal::All);
        assert_eq!(remove(5).expect("nothing to do"), 0);
        assert_eq!(remove(7).expect("written"), 2);
    }

    #[test]
    fn what_was_taken_away_last_of_a_segment_is_noticed_when_it_is_back() {
        let (dir, _writer, reader) = journal();
        let remover = Remover::new(&reader);
        let all = remover.rewrites(Position(1), Position(COUNT), Removal::Words);
        let all = all.expect("readable");
        let mut first_segment = all.iter().filter(|one| one.path == all[0].path);
        let last = first_segment.next_back().expect("it has some");
        let mut before = vec![0; last.bytes.len()];
        let segment = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&last.path);
        let segment = segment.expect("there");
        let read = segment.read_exact_at(&mut before, last.offset);
        read.expect("it was there");
        let is_back = |through| {
            let is_back = remover.is_any_back(Position(through), Removal::Words);
            is_back.expect("readable")
        };
        assert!(is_back(COUNT));
        remover
            .remove(Position(1), Position(COUNT), Removal::Words)
            .expect("written");
        assert!(!is_back(COUNT));
        segment.write_all_at(&before, last.offset).expect("written");
        assert!(is_back(COUNT));
        // Nothing was taken away of what came later.
        assert!(!is_back(1));
        assert!(!remover.is_any_incident_back(Position(0)).expect("readable"));
        assert!(remover.is_any_incident_back(Position(1)).expect("readable"));
        drop(dir);
    }

    #[test]
    fn removal_that_a_crash_cut_short_is_finished_by_the_next_opening() {
        let (dir, writer, reader) = journal();
        let remover = Remover::new(&reader);
        let rewrites = remover
            .rewrites(Position(1), Position(9), Removal::Words)
            .expect("readable");
        assert_eq!(rewrites.len(), 9);
        drop(writer);
        let segment = &rewrites[0].path;
        let before = fs::read(segment).expect("read");
        // Of the first place all is written, of the second a half, of the others nothing.
        let file = fs::OpenOptions::new()
            .write(true)
            .open(segment)
            .expect("there");
        let half = rewrites[1].bytes.len() / 2;
        let (first, second) = (&rewrites[0], &rewrites[1]);
        file.write_all_at(&first.bytes, first.offset)
            .expect("written");
        file.write_all_at(&second.bytes[..half], second.offset)
            .expect("written");
        let half_written = fs::read(segment).expect("read");
        assert!(!verify(dir.path()).expect("readable").problems.is_empty());

        let redo = dir.path().join("redo");
        let content = redo::encode(reader.epoch(), &rewrites);
        // A file that is not whole is older than any writing in place, and does nothing.
        fs::write(segment, &before).expect("written");
        fs::write(&redo, &content[..content.len() - 1]).expect("written");
        let (writer, again, opening) = open(dir.path(), SETTINGS).expect("whole");
        assert_eq!(opening.erasures_finished, 0);
        assert!(left(&again, 3).is_some_and(|left| left.note.starts_with(NOTE)));
        drop(writer);

        fs::write(segment, half_written).expect("written");
        fs::write(&redo, &content).expect("written");
        let (_writer, again, opening) = open(dir.path(), SETTINGS).expect("whole");
        assert_eq!(opening.erasures_finished, 9);
        for position in 1..=9 {
            let left = left(&again, position).expect("there");
            assert_eq!((&*left.note, &*left.vehicle), ("", "2203"));
        }
        assert!(left(&again, 10).is_some_and(|left| left.note.starts_with(NOTE)));
        assert_eq!(fs::metadata(&redo).expect("there").len(), 0);
        assert!(verify(dir.path()).expect("readable").problems.is_empty());
    }

    /// What a disk that failed half-way leaves to a process that goes on.
    fn fail_half_way(dir: &Path, reader: &Reader, through: u64) {
        let remover = Remover::new(reader);
        let rewrites = remover.rewrites(Position(1), Position(through), Removal::Words);
        let rewrites = rewrites.expect("readable");
        fs::write(dir.join("redo"), redo::encode(reader.epoch(), &rewrites)).expect("written");
        let segment = fs::OpenOptions::new().write(true).open(&rewrites[1].path);
        let half = &rewrites[1].bytes[..rewrites[1].bytes.len() / 2];
        let written = segment
            .expect("there")
            .write_all_at(half, rewrites[1].offset);
        written.expect("written");
    }

    #[test]
    fn erasure_is_not_undone_by_a_removal_that_failed_before_it() {
        let (dir, mut writer, reader) = journal();
        fail_half_way(dir.path(), &reader, 9);
        writer.erase_personal(Position(7)).expect("erased");
        drop((writer, reader));
        let (_writer, reader, _) = open(dir.path(), SETTINGS).expect("whole");
        assert_eq!(left(&reader, 7), None);
        assert!(left(&reader, 9).is_some_and(|left| left.note.is_empty()));
        assert!(verify(dir.path()).expect("readable").problems.is_empty());
    }

    #[test]
    fn removal_that_failed_is_finished_before_records_move() {
        let (dir, writer, reader) = journal();
        fail_half_way(dir.path(), &reader, 9);
        Remover::new(&reader)
            .end_incidents(Position(5), None)
            .expect("the segments are whole");
        check_finished(&dir, writer, reader);
    }

    #[test]
    fn removal_that_failed_is_finished_before_other_parts_are_rewritten() {
        let (dir, writer, reader) = journal();
        fail_half_way(dir.path(), &reader, 9);
        Remover::new(&reader)
            .remove(Position(11), Position(12), Removal::All)
            .expect("written");
        check_finished(&dir, writer, reader);
    }

    fn check_finished(dir: &TempDir, writer: Writer, reader: Reader) {
        let check = |reader: &Reader| {
            assert!(left(reader, 9).is_some_and(|left| left.note.is_empty()));
            assert!(left(reader, 10).is_some_and(|left| left.note.starts_with(NOTE)));
            assert!(verify(dir.path()).expect("readable").problems.is_empty());
        };
        check(&reader);
        drop((writer, reader));
        let (_writer, reader, _) = open(dir.path(), SETTINGS).expect("whole");
        check(&reader);
    }
}
