//! Closes editions when they are due.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::domain::LocalMonth;
use crate::edition::format::Hash;
use crate::edition::library::{Closed, EditionError, Library, Prepared};
use crate::ingest::{Ingest, SubmitError};

/// Why an edition that is due is not closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// It cannot be made or written.
    #[error("an edition cannot be made")]
    Edition(#[from] EditionError),
    /// Its hash cannot be noted.
    #[error("an edition cannot be noted in the journal")]
    Note(#[from] SubmitError),
    /// A bug.
    #[error("making an edition ended in a panic")]
    Panic,
}

impl From<JoinError> for CloseError {
    /// Without its message, which may hold a client's text.
    fn from(_: JoinError) -> Self {
        Self::Panic
    }
}

/// What came of closing editions that are due.
#[derive(Debug, Default)]
pub struct Closing {
    /// Those that are closed now.
    pub closed: Vec<Closed>,
    /// Those that cannot be, and why.
    pub failed: Vec<(LocalMonth, CloseError)>,
    /// The months of those that must not be closed any more, rising.
    pub cut: Vec<LocalMonth>,
}

/// Why an edition that is due must not be closed any more, after its month.
pub const CUT_MEANS: &str = "is due and can be closed no more: the journal no longer holds all that \
                             it would be made of";

/// Closes all editions that are due, in the order of their months. One that cannot be closed, as its
/// file is gone, holds up no other.
pub async fn close_due(library: &Arc<Library>, ingest: &Ingest) -> Result<Closing, CloseError> {
    let mut closing = Closing::default();
    let looking = Arc::clone(library);
    let due = tokio::task::spawn_blocking(move || looking.due()).await??;
    for month in due {
        if let Err(error) = close(library, ingest, month, &mut closing).await {
            closing.failed.push((month, error));
        }
    }
    Ok(closing)
}

async fn close(
    library: &Arc<Library>,
    ingest: &Ingest,
    month: LocalMonth,
    closing: &mut Closing,
) -> Result<(), CloseError> {
    let making = Arc::clone(library);
    let closed = match tokio::task::spawn_blocking(move || making.prepare(month)).await?? {
        Prepared::NotNow => return Ok(()),
        Prepared::Cut => {
            closing.cut.push(month);
            return Ok(());
        }
        Prepared::Restored(closed) => closed,
        Prepared::Ready(ready) => {
            let position = ingest.note_edition(ready).await?;
            let hash = Hash(ready.sha256);
            let closed = Closed {
                month,
                hash,
                method: ready.method,
                position,
            };
            let keeping = Arc::clone(library);
            tokio::task::spawn_blocking(move || keeping.keep(closed)).await??;
            closed
        }
    };
    tracing::info!(%month, sha256 = %closed.hash, "edition closed");
    closing.closed.push(closed);
    Ok(())
}

/// Looks whether editions are due, until the service stops. What fails is told once, until
/// something else fails or it works again, and tried again. An edition that can be closed no more
/// is told once.
pub struct Closer {
    /// Where they are kept.
    pub library: Arc<Library>,
    /// What notes them.
    pub ingest: Ingest,
    /// Between two looks.
    pub every: Duration,
}

impl Closer {
    /// Looks until the service stops.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.look_again_and_again()).await;
    }

    async fn look_again_and_again(&self) {
        let mut looks = tokio::time::interval(self.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = BTreeSet::new();
        let mut told_cut = BTreeSet::new();
        loop {
            looks.tick().await;
            let failures = match close_due(&self.library, &self.ingest).await {
                Ok(closing) => {
                    for month in news(closing.cut, &mut told_cut) {
                        tracing::warn!(%month, "an edition is due and can be closed no more");
                    }
                    let failed = closing.failed.into_iter();
                    failed.map(|(month, error)| (Some(month), error)).collect()
                }
                Err(error) => vec![(None, error)],
            };
            let mut failing = BTreeSet::new();
            for (month, error) in failures {
                let what = (month, format!("{error:?}"));
                if !told.contains(&what) {
                    let error = &error as &dyn Error;
                    tracing::error!(
                        error,
                        month = month.map(tracing::field::display),
                        "an edition is due and cannot be closed"
                    );
                }
                failing.insert(what);
            }
            told = failing;
        }
    }
}

/// Those that were not told yet, which are told from here on.
fn news(months: Vec<LocalMonth>, told: &mut BTreeSet<LocalMonth>) -> Vec<LocalMonth> {
    let months = months.into_iter();
    months.filter(|month| told.insert(*month)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entry::ClosedEdition;
    use crate::domain::{Entry, LocalDay, UtcMillis};
    use crate::edition::month;
    use crate::journal::{self, Settings};
    use crate::network::Network;

    fn at(day: &str) -> UtcMillis {
        let day = LocalDay::parse(day).expect("a date");
        day.start().start()
    }

    #[tokio::test]
    async fn edition_that_cannot_be_made_again_holds_up_no_later_month() {
        let folder = tempfile::tempdir().expect("a folder");
        let gone = month::parse("2026-09").expect("a month");
        let mark = ClosedEdition {
            month: gone,
            through: crate::domain::Position(1),
            sha256: [7; 32],
            method: 1,
        };
        let opened = journal::open(&folder.path().join("journal"), Settings::default());
        let (mut writer, ..) = opened.expect("new");
        for (day, entry) in [
            ("2026-09-10", Entry::Tick),
            ("2026-10-23", Entry::EditionClosed(mark)),
            ("2026-12-23", Entry::Tick),
        ] {
            let written = writer.append(&[journal::encode(&entry)], at(day));
            written.expect("room");
        }
        drop(writer);
        let now = || at("2026-12-23");
        let network = Arc::new(Network::built_in());
        let running = crate::ingest::start(folder.path(), network, now).expect("started");
        let library = Library::open(folder.path(), running.reader.clone()).expect("readable");
        let library = Arc::new(library);
        let closing = close_due(&library, &running.ingest).await.expect("read");
        let closed = closing.closed.iter().map(|closed| closed.month.to_string());
        assert_eq!(closed.collect::<Vec<_>>(), ["2026-10", "2026-11"]);
        assert_eq!(closing.failed.len(), 1);
        let (month, error) = &closing.failed[0];
        assert_eq!(*month, gone);
        assert!(
            matches!(error, CloseError::Edition(EditionError::Lost { .. })),
            "{error}"
        );
        assert!(library.never_closed().expect("read").is_empty());
        let stopping = tokio::task::spawn_blocking(move || running.stop(Duration::from_secs(60)));
        stopping.await.expect("no panic").expect("stopped");
    }

    #[test]
    fn month_that_can_be_closed_no_more_is_told_once() {
        let mut told = BTreeSet::new();
        let [one, other] = [LocalMonth(24_321), LocalMonth(24_322)];
        assert_eq!(news(vec![one], &mut told), [one]);
        assert_eq!(news(vec![one, other], &mut told), [other]);
        assert_eq!(news(vec![one, other], &mut told), []);
    }
}
