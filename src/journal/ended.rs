//! Replaces entries about single incidents that are kept no longer, and entries of tap counts of
//! days that are kept no longer.
//!
//! A segment is written anew, aside, with something empty in the place of each such entry, so
//! that every position stays what it was. Of the entry that declared a feed the declaration
//! stays, so that feeds have the same numbers whoever reads them. It is synced and renamed over the
//! one before: a crash leaves either. It is as long as what is in it, and gives its room back.
//!
//! Of a segment all of whose entries are old enough no personal part is left. Only one that holds
//! later entries, too, has copies of personal parts in the file aside: that one is written while
//! nobody erases anything, and is there for no longer.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::format::{self, Frame, PersonalPart, RawRecord, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::segment::{self, Extent, Segment};
use super::{Encoded, JournalError, Remover, codec, redo};
use crate::domain::{Entry, LocalDay, Position};

/// A segment that holds entries that stay, with what is personal in them.
const ASIDE_NAME: &str = "segment.new";
/// A segment of whose personal parts all go.
const ASIDE_OF_WHOLE_NAME: &str = "segment.ended";

/// Tap counts that are kept no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedTaps {
    /// Those of earlier service days.
    pub before: LocalDay,
    /// Where feeds were declared.
    pub declared: BTreeSet<Position>,
}

/// Which entries go.
struct Ends<'a> {
    through: Position,
    taps: Option<&'a EndedTaps>,
}

impl Remover {
    /// Replaces the entries about single incidents at a position and before it, and those of tap
    /// counts that are kept no longer. Returns how many.
    /// Those in the segment that is being written to stay, see `Writer::leave_segment_of`.
    /// Durable when it returns; after an error it is done in part, and can be done again.
    pub fn end_incidents(
        &self,
        through: Position,
        taps: Option<&EndedTaps>,
    ) -> Result<u64, JournalError> {
        self.shared
            .ended
            .fetch_max(through.0, std::sync::atomic::Ordering::AcqRel);
        // Whoever erases what goes has ended when this is held, and nobody begins to any more: it
        // is below the horizon.
        let alone = self.shared.rewriting();
        redo::finish(&self.shared.dir, true)?;
        drop(alone);
        self.rewrite_all(&Ends { through, taps })
    }

    /// Whether the segment that is being written to holds entries at a position or before it, which
    /// `end_incidents` would leave there.
    pub fn is_written_to(&self, through: Position) -> bool {
        let segments = self.shared.segments();
        let first = segments.last().map(|segment| segment.header.first);
        first.is_some_and(|first| first <= through)
    }

    /// Writes all segments anew that entries go from, but for the one that is being written to.
    fn rewrite_all(&self, ends: &Ends<'_>) -> Result<u64, JournalError> {
        let mut replaced = 0;
        let segments = self.shared.segments().clone();
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            if ends.through < segment.header.first {
                break;
            }
            replaced += if next.header.first <= ends.through.next() {
                self.rewrite(segment, ends, ASIDE_OF_WHOLE_NAME)?
            } else {
                let _alone = self.shared.rewriting();
                redo::finish(&self.shared.dir, true)?;
                self.rewrite(segment, ends, ASIDE_NAME)?
            };
        }
        Ok(replaced)
    }

    fn rewrite(
        &self,
        segment: &Segment,
        ends: &Ends<'_>,
        aside_name: &str,
    ) -> Result<u64, JournalError> {
        let failed = |source| JournalError::io("read", &segment.path, source);
        let bytes = fs::read(&segment.path).map_err(failed)?;
        let Some(anew) = anew(segment, &bytes, ends)? else {
            return Ok(0);
        };
        let dir = &self.shared.dir;
        let aside = dir.join(aside_name);
        let write = || {
            let mut file = segment::create(&aside)?;
            file.write_all(&anew.bytes)?;
            file.sync_all()
        };
        let replacing = Segment::new(segment.path.clone(), anew.header, anew.extent);
        let rename = || fs::rename(&aside, &segment.path);
        let replace = || self.shared.replace_segment(Arc::new(replacing), rename);
        let written = write().map_err(|source| JournalError::io("write", &aside, source));
        let replaced = written.and_then(|()| {
            replace().map_err(|source| JournalError::io("replace", &segment.path, source))
        });
        if let Err(error) = replaced {
            // Else an erased word could outlive its erasure in it. What cannot be removed now is
            // by the next erasure, or that is refused.
            let _ = remove(&aside);
            return Err(error);
        }
        segment::sync_dir(dir)
            .map_err(|source| JournalError::io("replace", &segment.path, source))?;
        Ok(anew.replaced)
    }
}

/// Removes what a crash left of a segment that was being written anew. For whoever has the journal
/// alone.
pub fn remove_aside(dir: &Path) -> Result<(), JournalError> {
    remove(&dir.join(ASIDE_OF_WHOLE_NAME))?;
    remove_aside_with_words(dir)
}

/// Removes what a full disk left of a segment with personal parts in it. For whoever holds
/// `Shared::rewriting`.
pub fn remove_aside_with_words(dir: &Path) -> Result<(), JournalError> {
    remove(&dir.join(ASIDE_NAME))
}

fn remove(path: &Path) -> Result<(), JournalError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(JournalError::io("remove", path, source))
        }
        _ => Ok(()),
    }
}

/// A segment, written anew.
struct Anew {
    header: SegmentHeader,
    extent: Extent,
    bytes: Vec<u8>,
    replaced: u64,
}

/// A segment without the entries that go; `None` if there are none.
fn anew(segment: &Segment, bytes: &[u8], ends: &Ends<'_>) -> Result<Option<Anew>, JournalError> {
    let end = segment.extent().end;
    let (before, seed) = (segment.header, segment.header.seed());
    let mut extent = Extent::default();
    let mut records = Vec::new();
    let (mut at, mut replaced) = (SEGMENT_HEADER_BYTES, 0);
    let (mut last_crc, mut last_crc_before) = (before.previous_crc, before.previous_crc);
    let damaged = |at: usize, position, what| JournalError::Damaged {
        file: segment.path.clone(),
        offset: at as u64,
        position,
        what,
    };
    let mut position = before.first;
    while (at as u64) < end {
        let raw = bytes
            .get(at..)
            .and_then(|rest| RawRecord::parse(rest, seed));
        let raw = raw
            .filter(|raw| raw.header.position == position)
            .ok_or_else(|| damaged(at, position, "a record is not whole"))?;
        let left = ends.left(&raw)?;
        replaced += u64::from(left.is_some());
        let encoded = match left {
            Some(entry) => codec::encode(&entry),
            None => {
                copy(&raw).ok_or_else(|| damaged(at, position, "its personal part is not whole"))?
            }
        };
        let frame = Frame {
            seed,
            previous_crc: last_crc,
            position,
            stamp: raw.header.stamp,
            batch_offset: raw.header.batch_offset,
        };
        last_crc = format::push_record(&mut records, frame, &encoded);
        last_crc_before = raw.header.crc;
        extent.push(position, encoded.record_bytes());
        at += raw.header.record_bytes();
        position = position.next();
    }
    if replaced == 0 {
        return Ok(None);
    }
    let header = SegmentHeader {
        segment_bytes: extent.end,
        sealed_crc: Some(before.sealed_crc.unwrap_or(last_crc_before)),
        ..before
    };
    let mut bytes = header.to_bytes();
    bytes.resize(SEGMENT_HEADER_BYTES, 0);
    bytes.append(&mut records);
    Ok(Some(Anew {
        header,
        extent,
        bytes,
        replaced,
    }))
}

impl Ends<'_> {
    /// What stands in the place of a record; `None` if it stays.
    fn left(&self, raw: &RawRecord<'_>) -> Result<Option<Entry>, JournalError> {
        let position = raw.header.position;
        if self.through < position {
            return Ok(None);
        }
        if codec::is_of_incident(raw.facts) {
            return Ok(Some(Entry::Gone));
        }
        let Some(taps) = self.taps else {
            return Ok(None);
        };
        let declares_feed = taps.declared.contains(&position);
        codec::without_taps(raw.facts, taps.before, declares_feed)
            .map_err(|source| JournalError::Undecodable { position, source })
    }
}

/// A record as it is, without what was erased of it; `None` if its personal part is not whole.
fn copy(raw: &RawRecord<'_>) -> Option<Encoded> {
    let facts = Encoded::of_facts(raw.facts.to_vec());
    match raw.personal() {
        PersonalPart::Absent | PersonalPart::Erased { .. } => Some(facts),
        PersonalPart::Whole(content) => Some(facts.with_personal(content)),
        PersonalPart::Bad => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;
    use crate::domain::taps::{TapBatch, TapCount, TapScope, TapSlot, Taps};
    use crate::domain::taxonomy::TimePrecision;
    use crate::domain::testing::{blank_facts, feed_of_gvb, id_made_at, personal};
    use crate::domain::{Hour, IncidentId, RowTime, UtcMillis};
    use crate::journal::{
        Reader, SEGMENT_BYTES_MIN, Settings, Writer, encode, open, open_reader, verify,
    };

    const NOW: UtcMillis = UtcMillis(1_800_000_000_000);
    const NOTE: &str = "ach, meisje";
    /// A day in the supported years.
    const FIRST_DAY: i32 = 20_000;
    /// Several segments.
    const COUNT: u64 = 1_500;
    const SETTINGS: Settings = Settings {
        segment_bytes: SEGMENT_BYTES_MIN,
        sync: false,
    };

    fn id(number: u64) -> IncidentId {
        id_made_at(NOW, number)
    }

    /// Each fifth is a tick.
    fn entry(number: u64) -> Entry {
        if number.is_multiple_of(5) {
            return Entry::Tick;
        }
        let facts = blank_facts(
            id(number),
            RowTime::Hour(Hour(500_000)),
            TimePrecision::Exact,
        );
        let personal = crate::domain::Personal {
            note: NOTE.into(),
            ..personal(NOW)
        };
        Entry::Incident {
            facts: Box::new(facts),
            personal: Some(Box::new(personal)),
        }
    }

    fn journal() -> (TempDir, Writer, Reader) {
        let dir = TempDir::new().expect("a folder");
        let (mut writer, reader, _) = open(dir.path(), SETTINGS).expect("new");
        for number in 1..=COUNT {
            writer.append(&[encode(&entry(number))], NOW).expect("room");
        }
        (dir, writer, reader)
    }

    /// What is there of everything, after `through` was ended.
    fn check(reader: &Reader, through: u64) {
        let mut number = 0;
        for record in reader.entries_from(Position(1)).expect("readable") {
            let record = record.expect("whole");
            number += 1;
            let goes = number <= through && !number.is_multiple_of(5);
            let expected = if goes { Entry::Gone } else { entry(number) };
            assert_eq!((record.position, record.stamp), (Position(number), NOW));
            assert_eq!(record.entry, expected);
        }
        assert_eq!(number, COUNT);
    }

    fn has(dir: &Path, bytes: &[u8]) -> bool {
        let mut files = fs::read_dir(dir).expect("a folder");
        files.any(|file| {
            let content = fs::read(file.expect("a file").path()).expect("read");
            content.windows(bytes.len()).any(|window| window == bytes)
        })
    }

    #[test]
    fn entries_that_ended_are_gone_and_all_else_stays_where_it_was() {
        let (dir, mut writer, reader) = journal();
        let through = Position(COUNT / 2 + 1);
        let bytes = reader.bytes();
        let before = reader.entries_from(Position(1)).expect("readable");
        assert_eq!(reader.horizon(), Position(1));
        writer.erase_personal(Position(COUNT - 1)).expect("erased");
        let remover = Remover::new(&reader);
        let replaced = remover.end_incidents(through, None).expect("written");
        assert_eq!(replaced, through.0 - through.0 / 5);
        assert_eq!(
            remover.end_incidents(through, None).expect("nothing to do"),
            0
        );
        assert_eq!(reader.horizon(), through.next());
        assert_eq!(reader.begin(), Position(1));
        assert!(reader.entry(Position(1)).expect("readable").is_none());
        assert!(reader.bytes() < bytes);
        assert!(!has(dir.path(), id(1).as_bytes()));
        assert!(has(dir.path(), id(COUNT - 2).as_bytes()));
        // Whoever was reading goes on.
        assert_eq!(before.filter(Result::is_ok).count() as u64, COUNT);
        check_but_erased(&reader, through);
        assert!(verify(dir.path()).expect("readable").problems.is_empty());
        // And goes on after a start, with more entries behind it.
        writer.append(&[encode(&Entry::Tick)], NOW).expect("room");
        drop(writer);
        let (_writer, reader, opening) = open(dir.path(), SETTINGS).expect("whole");
        assert_eq!((opening.records, opening.torn_bytes), (COUNT + 1, 0));
        assert_eq!(reader.last(), Position(COUNT + 1));
    }

    fn check_but_erased(reader: &Reader, through: Position) {
        let records = reader.entries_from(Position(1)).expect("readable");
        for (number, record) in (1..).zip(records) {
            let record = record.expect("whole");
            assert_eq!((record.position, record.stamp), (Position(number), NOW));
            let goes = number <= through.0 && !number.is_multiple_of(5);
            match record.entry {
                Entry::Gone => assert!(goes),
                Entry::Incident { facts, personal } => {
                    assert!(!goes);
                    assert_eq!(facts.id, id(number));
                    assert_eq!(personal.is_none(), number == COUNT - 1);
                }
                other => assert_eq!(other, entry(number)),
            }
        }
    }

    /// Counts of a feed for some days.
    fn taps(feed: &str, days: &[i32]) -> Entry {
        let counts = days.iter().map(|day| TapCount {
            scope: TapScope::Line("GVB:10".parse().expect("a line")),
            slot: TapSlot {
                day: LocalDay(FIRST_DAY + *day),
                slot: 0,
            },
            taps: Taps::new(7).expect("few"),
        });
        Entry::TapCounts(Box::new(
            TapBatch::pack(&feed_of_gvb(feed), counts).remove(0),
        ))
    }

    #[test]
    fn tap_counts_of_days_that_are_kept_no_longer_go_and_declarations_stay() {
        let dir = TempDir::new().expect("a folder");
        let (mut writer, reader, _) = open(dir.path(), SETTINGS).expect("new");
        let told = [
            taps("one", &[100, 101]),
            taps("one", &[102]),
            // A day of it is kept.
            taps("one", &[109, 110]),
            taps("two", &[103]),
            entry(1),
            taps("two", &[104]),
            // Told when single incidents were kept still.
            taps("two", &[105]),
        ];
        for entry in &told {
            writer.append(&[encode(entry)], NOW).expect("room");
        }
        let through = Position(6);
        writer.leave_segment_of(through).expect("room");
        let ended = EndedTaps {
            before: LocalDay(FIRST_DAY + 110),
            declared: [Position(1), Position(4)].into(),
        };
        let remover = Remover::new(&reader);
        let end = || remover.end_incidents(through, Some(&ended));
        assert_eq!(end().expect("written"), 5);
        assert_eq!(end().expect("nothing to do"), 0);
        let declaration = |entry: &Entry| match entry {
            Entry::TapCounts(batch) => {
                let scopes = batch.scopes().to_vec();
                let batch = TapBatch::new(batch.feed().clone(), scopes, Vec::new());
                Entry::TapCounts(Box::new(batch.expect("of its grain")))
            }
            other => panic!("{other:?}"),
        };
        let left = reader.entries_from(Position(1)).expect("readable");
        let left: Vec<_> = left.map(|record| record.expect("whole").entry).collect();
        assert_eq!(
            left,
            [
                declaration(&told[0]),
                Entry::Gone,
                told[2].clone(),
                declaration(&told[3]),
                Entry::Gone,
                Entry::Gone,
                told[6].clone(),
            ]
        );
        assert!(verify(dir.path()).expect("readable").problems.is_empty());
    }

    #[test]
    fn segment_that_is_written_to_is_left_before_its_entries_go() {
        let (dir, mut writer, reader) = journal();
        let remover = Remover::new(&reader);
        let through = Position(COUNT);
        let some = remover.end_incidents(through, None).expect("written");
        assert!(some < COUNT - COUNT / 5, "the last segment stays");
        assert!(remover.is_written_to(through) && !remover.is_written_to(Position(1)));
        writer.leave_segment_of(through).expect("room");
        assert!(!remover.is_written_to(through));
        let rest = remover.end_incidents(through, None).expect("written");
        assert_eq!(some + rest, COUNT - COUNT / 5);
        writer.leave_segment_of(through).expect("nothing to leave");
        check(&reader, COUNT);
        let (seen, _) = open_reader(dir.path()).expect("whole");
        check(&seen, COUNT);
        drop(writer);
        let (mut writer, reader, _) = open(dir.path(), SETTINGS).expect("whole");
        let (position, _) = writer.append(&[encode(&Entry::Tick)], NOW).expect("room");
        assert_eq!(position, Position(COUNT + 1));
        assert_eq!(reader.last(), position);
        assert!(verify(dir.path()).expect("readable").problems.is_empty());
    }

    #[test]
    fn segment_that_is_written_anew_is_its_owners_alone() {
        let (dir, _writer, reader) = journal();
        // As an earlier version left them.
        let segments = || segment::list(dir.path()).expect("readable");
        for (_, path) in segments() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("set");
        }
        let remover = Remover::new(&reader);
        remover
            .end_incidents(Position(COUNT / 2), None)
            .expect("written");
        let (_, first) = &segments()[0];
        let mode = fs::metadata(first).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn crash_while_a_segment_is_written_anew_leaves_the_one_before() {
        let (dir, writer, reader) = journal();
        let aside = dir.path().join(ASIDE_NAME);
        fs::write(&aside, NOTE).expect("written");
        drop((writer, reader));
        let (_writer, reader, _) = open(dir.path(), SETTINGS).expect("whole");
        assert!(!aside.exists());
        check(&reader, 0);
    }

    #[test]
    fn segment_that_cannot_be_written_anew_leaves_no_file_behind() {
        let (dir, _writer, reader) = journal();
        let remover = Remover::new(&reader);
        let aside = |name| dir.path().join(name);
        let is_there = |name| fs::symlink_metadata(aside(name)).is_ok();
        // A disk that is full from the first byte on.
        let fill = |name| std::os::unix::fs::symlink("/dev/full", aside(name)).expect("made");
        // Of the first segment some entries stay, and then none does.
        for (name, through) in [(ASIDE_NAME, 9), (ASIDE_OF_WHOLE_NAME, COUNT - 1)] {
            fill(name);
            let error = remover.end_incidents(Position(through), None);
            assert!(matches!(error, Err(JournalError::Io { .. })), "{error:?}");
            assert!(!is_there(name), "{name}");
        }
        remover
            .end_incidents(Position(COUNT / 2), None)
            .expect("there is room again");
        check(&reader, COUNT / 2);
    }

    #[test]
    fn word_that_is_erased_is_in_no_file_that_a_failure_left() {
        let (dir, mut writer, _reader) = journal();
        let aside = dir.path().join(ASIDE_NAME);
        fs::write(&aside, NOTE).expect("written");
        writer.erase_personal(Position(COUNT)).expect("erased");
        assert!(!aside.exists());
    }

    #[test]
    fn segments_of_which_nothing_personal_stays_are_written_while_others_erase() {
        let (_dir, mut writer, reader) = journal();
        let through = Position(COUNT);
        writer.leave_segment_of(through).expect("room");
        let remover = Remover::new(&reader);
        let shared = Arc::clone(&remover.shared);
        let _erasing = shared.rewriting();
        let (done, is_done) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let taps = None;
            // Nobody may be waiting.
            let _ = done.send(remover.rewrite_all(&Ends { through, taps }));
        });
        let replaced = is_done.recv_timeout(std::time::Duration::from_secs(60));
        let replaced = replaced.expect("it waits for nobody").expect("written");
        assert_eq!(replaced, COUNT - COUNT / 5);
        check(&reader, COUNT);
    }

    #[test]
    fn entry_that_is_lost_from_a_segment_written_anew_is_damage() {
        let (dir, writer, reader) = journal();
        Remover::new(&reader)
            .end_incidents(Position(9), None)
            .expect("written");
        let path = segment::path_of(dir.path(), Position(1));
        drop((writer, reader));
        let content = fs::read(&path).expect("read");
        for cut in [1, 40, 400] {
            fs::write(&path, &content[..content.len() - cut]).expect("written");
            let error = open(dir.path(), SETTINGS).map(|_| ()).expect_err("refused");
            assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
        }
        for at in [5_000, 8_192, content.len() - 1] {
            let mut content = content.clone();
            content[at] ^= 1;
            fs::write(&path, content).expect("written");
            assert!(open(dir.path(), SETTINGS).is_err(), "byte {at}");
        }
    }
}
