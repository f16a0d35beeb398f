//! The journal as the fold wants it: in order, in batches, read ahead on a thread of its own,
//! with personal parts only where the sliding windows need them.

use std::sync::mpsc;

use crate::domain::limits::{
    BATCH_ENTRIES_MAX, RECENT_MINUTES, REPLAY_BATCHES_AHEAD, TAP_AHEAD_MS_MAX,
};
use crate::domain::time::MINUTE_MS;
use crate::domain::{Position, Stamp, UtcMillis};
use crate::journal::{JournalError, Reader, Record};

type Records = Box<dyn Iterator<Item = Result<Record, JournalError>> + Send>;

/// Entries of the journal in order, from a place on.
pub(super) struct History {
    reader: Reader,
    records: Records,
    /// The first entry.
    from: Position,
    /// The last that there was when this began; those after it may be read, too.
    through: Position,
    /// From this stamp or place on with personal parts, whichever comes first; `None` if they
    /// are read already, or not wanted.
    personal_from: Option<(Stamp, Position)>,
}

impl History {
    /// All that the fold needs, if it goes on through the last stamp, and all there is of the
    /// latest entries.
    pub fn for_fold(
        reader: &Reader,
        from: Position,
        last: Stamp,
        latest: Position,
    ) -> Result<Self, JournalError> {
        // What was committed before cannot lie in the sliding windows: no tap is further ahead of its
        // entry.
        let span_ms = i64::from(RECENT_MINUTES) * MINUTE_MS + TAP_AHEAD_MS_MAX;
        Ok(Self {
            from,
            through: reader.last(),
            records: reader.facts_from(from)?,
            reader: reader.clone(),
            personal_from: Some((UtcMillis(last.0 - span_ms), latest)),
        })
    }

    /// Everything, each checked.
    pub fn whole(reader: &Reader, from: Position) -> Result<Self, JournalError> {
        Ok(Self {
            from,
            through: reader.last(),
            records: reader.entries_from(from)?,
            reader: reader.clone(),
            personal_from: None,
        })
    }

    /// The facts alone.
    pub fn facts(reader: &Reader, from: Position) -> Result<Self, JournalError> {
        Ok(Self {
            from,
            through: reader.last(),
            records: reader.facts_from(from)?,
            reader: reader.clone(),
            personal_from: None,
        })
    }

    /// Calls `each` for every batch, while the next are read. Returns how many entries. Panics
    /// if the entries end before the journal does: whoever goes on would leave a gap.
    pub fn for_each_batch<E: From<JournalError>>(
        self,
        mut each: impl FnMut(&[Record]) -> Result<(), E>,
    ) -> Result<u64, E> {
        let (sender, batches) = mpsc::sync_channel(REPLAY_BATCHES_AHEAD);
        let (mut reached, through) = (self.from, self.through);
        std::thread::scope(|scope| {
            scope.spawn(move || self.read_ahead(&sender));
            let mut entries = 0;
            for batch in batches {
                let batch: Vec<Record> = batch?;
                entries += batch.len() as u64;
                reached = batch
                    .last()
                    .map_or(reached, |record| record.position.next());
                each(&batch)?;
            }
            assert!(through < reached, "the fold ends where the journal does");
            Ok(entries)
        })
    }

    /// Until the end, an error, or nobody listens any more.
    fn read_ahead(mut self, sender: &mpsc::SyncSender<Result<Vec<Record>, JournalError>>) {
        loop {
            let batch: Result<Vec<_>, _> = self.by_ref().take(BATCH_ENTRIES_MAX).collect();
            let is_last = match &batch {
                Ok(batch) => batch.len() < BATCH_ENTRIES_MAX,
                Err(_) => true,
            };
            if sender.send(batch).is_err() || is_last {
                return;
            }
        }
    }
}

impl Iterator for History {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let is_wanted = |(from, latest)| from <= record.stamp || latest <= record.position;
        if self.personal_from.is_some_and(is_wanted) {
            self.personal_from = None;
            match self.reader.entries_from(record.position) {
                Ok(records) => self.records = records,
                Err(error) => return Some(Err(error)),
            }
            return self.next();
        }
        Some(Ok(record))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::domain::Entry;
    use crate::journal::{self, Settings};

    #[test]
    fn fold_that_ends_before_the_journal_does_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            segment_bytes: journal::SEGMENT_BYTES_MIN,
            sync: false,
        };
        let (mut writer, reader, _) = journal::open(folder.path(), settings).expect("new");
        let ticks = vec![journal::encode(&Entry::Tick); 9];
        writer.append(&ticks, UtcMillis(0)).expect("room");
        let fold = |from, entries| {
            let mut history = History::facts(&reader, Position(from)).expect("readable");
            history.records = Box::new(history.records.take(entries));
            let each = |_: &[Record]| Ok::<_, JournalError>(());
            let fold = AssertUnwindSafe(|| history.for_each_batch(each));
            catch_unwind(fold)
                .ok()
                .map(|folded| folded.expect("readable"))
        };
        assert_eq!(fold(1, 9), Some(9));
        assert_eq!(fold(1, 8), None);
        assert_eq!(fold(1, 0), None);
        assert_eq!(fold(8, 9), Some(2));
        assert_eq!(fold(10, 9), Some(0));
    }
}
