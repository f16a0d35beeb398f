//! Reading a data folder beside a server that has it open, or as a crash left it.
//!
//! When single incidents end, a server puts segments that it wrote anew in the place of others. Whoever
//! opened the journal before, and reads one of them after, takes it for damaged. So does whoever reads what
//! a crash left in the middle of a removal, which the next start finishes.

use std::path::Path;

use super::failure::{Failure, Kind};
use super::serve;
use crate::journal;

/// Reads a data folder. What looks like damage of its journal while a server has the folder is looked at
/// once more, with all that is read opened anew, and told as what may be over in a moment; where no server
/// has it, it may be over with the next start. What was found is told in any case.
pub(super) fn read_folder<T>(
    dir: &Path,
    read: impl Fn() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let found = read();
    let failure = match found {
        Err(failure) if failure.is_of_damaged_journal() => failure,
        found => return found,
    };
    let journal = dir.join("journal");
    if !matches!(journal::is_in_use(&journal), Ok(true)) {
        return Err(match journal::is_removal_cut_short(&journal) {
            true => cut_short(dir).with_details_of(failure),
            false => failure,
        });
    }
    read().map_err(|failure| match failure.is_of_damaged_journal() {
        true => written_anew(dir).with_details_of(failure),
        false => failure,
    })
}

/// What looks like damage may be a part that a server is writing.
fn written_anew(dir: &Path) -> Failure {
    let message = format!(
        "{} cannot be read now: a server has it open, and may be writing a part of it anew",
        dir.display()
    );
    Failure::new(Kind::TryAgain, message)
        .with_hint("try again; if it stays so, `mistap verify` lists what is damaged")
}

/// Refuses a data folder without a journal. One that cannot be looked into may have one, and why it
/// cannot is told.
pub(super) fn check_journal(dir: &Path) -> Result<(), Failure> {
    let exists = journal::exists(&dir.join("journal"));
    if exists.map_err(|error| serve::unusable_folder(dir, &error))? {
        return Ok(());
    }
    let message = format!("there is no journal in {}", dir.display());
    Err(Failure::new(Kind::NotFound, message))
}

/// What looks like damage was left by a removal.
pub(super) fn cut_short(dir: &Path) -> Failure {
    let message = format!(
        "{} cannot be read now: personal data was being removed in it when the server or the power \
         was cut off",
        dir.display()
    );
    Failure::new(Kind::TryAgain, message).with_hint("start the server, which finishes it first")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::auth::KeyError;
    use crate::cli::serve::{FolderError, unusable};
    use crate::domain::Position;
    use crate::journal::{JournalError, Settings};

    fn damaged_journal() -> JournalError {
        JournalError::Damaged {
            file: "00000000000000000001.segment".into(),
            offset: 4_242,
            position: Position(7),
            what: "a record is not whole",
        }
    }

    /// Reads a folder that looks damaged so many times, with a server or without. Gives what was said,
    /// and how often it was read.
    fn read(damaged: u32, is_served: bool) -> (Result<(), Kind>, u32) {
        let folder = tempfile::tempdir().expect("a folder");
        read_in(folder.path(), damaged, is_served)
    }

    fn read_in(dir: &Path, damaged: u32, is_served: bool) -> (Result<(), Kind>, u32) {
        let _server = served(dir).filter(|_| is_served);
        let reads = Cell::new(0);
        let read = || {
            reads.set(reads.get() + 1);
            match damaged < reads.get() {
                true => Ok(()),
                false => Err(unusable("it cannot be read", &damaged_journal())),
            }
        };
        let found = read_folder(dir, read);
        (found.map_err(|failure| failure.kind()), reads.get())
    }

    /// A journal that a server has open.
    fn served(dir: &Path) -> Option<journal::Writer> {
        let opened = journal::open(&dir.join("journal"), Settings::default());
        let (writer, ..) = opened.expect("new");
        Some(writer)
    }

    /// What is said beside a server of what is found each time.
    fn said_beside_a_server(error: &dyn FolderError) -> Failure {
        let folder = tempfile::tempdir().expect("a folder");
        let _server = served(folder.path());
        let read = || Err::<(), _>(unusable("it cannot be read", error));
        read_folder(folder.path(), read).expect_err("it is damaged")
    }

    #[test]
    fn damage_beside_a_server_is_told_with_its_file_and_place() {
        let failure = said_beside_a_server(&damaged_journal());
        assert_eq!(failure.kind(), Kind::TryAgain);
        let told = failure.to_string();
        for part in ["00000000000000000001.segment", "byte 4242", "try again"] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn damaged_keys_beside_a_server_are_told_as_without_it() {
        let keys = KeyError::Malformed {
            path: "keys".into(),
            line: 1,
        };
        let failure = said_beside_a_server(&keys);
        assert_eq!(failure.kind(), Kind::Damage);
        assert!(failure.to_string().contains("hint: keys are in no backup"));
    }

    #[test]
    fn what_looks_damaged_beside_a_server_is_read_again_before_it_is_told() {
        assert_eq!(read(0, true), (Ok(()), 1));
        assert_eq!(read(1, true), (Ok(()), 2));
        assert_eq!(read(2, true), (Err(Kind::TryAgain), 2));
        assert_eq!(read(1, false), (Err(Kind::Damage), 1));
    }
}
