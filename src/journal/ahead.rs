//! Decodes entries in a thread of their own, so that whoever folds them has a processor to
//! itself.
//!
//! The thread ends when the entries do, or when nobody takes them any more. If a bug makes it
//! panic, so does whoever takes the next: what was read until then is not all there is.

use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use super::{JournalError, Record};

/// Entries that are handed over at a time.
const CHUNK_ENTRIES: usize = 1_024;
/// Chunks that may wait to be taken. Reached: the thread waits.
const CHUNKS_MAX: usize = 4;

type Read = Result<Record, JournalError>;

/// Entries that another thread decodes.
pub(super) struct Ahead {
    chunks: Receiver<Vec<Read>>,
    chunk: std::vec::IntoIter<Read>,
    /// `None` once it has ended.
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Begins to decode.
    pub fn start(mut entries: impl Iterator<Item = Read> + Send + 'static) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(CHUNKS_MAX);
        let decode = move || {
            loop {
                let chunk: Vec<_> = entries.by_ref().take(CHUNK_ENTRIES).collect();
                if chunk.is_empty() || sender.send(chunk).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("journal-ahead".into());
        Ok(Self {
            chunks,
            chunk: Vec::new().into_iter(),
            thread: Some(thread.spawn(decode)?),
        })
    }
}

impl Iterator for Ahead {
    type Item = Read;

    fn next(&mut self) -> Option<Read> {
        loop {
            if let Some(read) = self.chunk.next() {
                return Some(read);
            }
            let Ok(chunk) = self.chunks.recv() else {
                break;
            };
            self.chunk = chunk.into_iter();
        }
        match self.thread.take()?.join() {
            Ok(()) => None,
            Err(panic) => resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::domain::{Entry, Position, UtcMillis};

    const COUNT: u64 = 3 * CHUNK_ENTRIES as u64 + 1;

    fn ticks(through: u64) -> impl Iterator<Item = Read> {
        (1..=through).map(|position| {
            Ok(Record {
                position: Position(position),
                stamp: UtcMillis(0),
                entry: Entry::Tick,
            })
        })
    }

    #[test]
    fn entries_come_in_their_order_and_end_where_they_end() {
        let mut ahead = Ahead::start(ticks(COUNT)).expect("a thread");
        let read = ahead.by_ref().map(|read| read.expect("whole").position.0);
        assert!(read.eq(1..=COUNT));
        assert!(ahead.next().is_none());
    }

    #[test]
    fn thread_that_panics_is_not_taken_for_the_end_of_the_entries() {
        let broken = ticks(COUNT).inspect(|read| {
            let position = read.as_ref().expect("whole").position.0;
            assert!(position < COUNT, "a bug");
        });
        let mut ahead = Ahead::start(broken).expect("a thread");
        let read = catch_unwind(AssertUnwindSafe(|| ahead.by_ref().count()));
        assert!(read.is_err());
    }
}
