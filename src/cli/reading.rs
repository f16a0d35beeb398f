//! Reading a data folder beside a server that has it open, or as a crash left it.
//!
//! When single incidents end, a server puts segments that it wrote anew in the place of others. Whoever
//! opened the journal before, and reads one of them after, takes it for damaged. So does whoever reads what
//! a crash left in the middle of a removal, which the next start finishes.

use std::path::Path;

use super::failure::{Failure, Kind};
use crate::journal;

/// Reads a data folder. What looks like damage while a server has the folder is looked at once more,
/// with all that is read opened anew, and told as what may be over in a moment; where no server has it, it
/// may be over with the next start.
pub(super) fn read_folder<T>(
    dir: &Path,
    read: impl Fn() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let is_damage =
        |found: &Result<T, Failure>| found.as_ref().is_err_and(|failure| failure.is_of_damage());
    let found = read();
    if !is_damage(&found) {
        return found;
    }
    let journal = dir.join("journal");
    if !matches!(journal::is_in_use(&journal), Ok(true)) {
        return match journal::is_removal_cut_short(&journal) {
            true => Err(cut_short(dir)),
            false => found,
        };
    }
    read().map_err(|failure| match failure.is_of_damage() {
        true => Failure::new(
            Kind::TryAgain,
            format!(
                "{} cannot be read now: a server has it open, and may be writing a part of it anew",
                dir.display()
            ),
        )
        .with_hint("try again; if it stays so, `mistap verify` lists what is damaged"),
        false => failure,
    })
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
    use crate::journal::Settings;

    /// Reads a folder that looks damaged so many times, with a server or without. Gives what was said,
    /// and how often it was read.
    fn read(damaged: u32, is_served: bool) -> (Result<(), Kind>, u32) {
        let folder = tempfile::tempdir().expect("a folder");
        read_in(folder.path(), damaged, is_served)
    }

    fn read_in(dir: &Path, damaged: u32, is_served: bool) -> (Result<(), Kind>, u32) {
        let opened = journal::open(&dir.join("journal"), Settings::default());
        let (writer, ..) = opened.expect("new");
        let _server = is_served.then_some(writer);
        let reads = Cell::new(0);
        let read = || {
            reads.set(reads.get() + 1);
            match damaged < reads.get() {
                true => Ok(()),
                false => Err(Failure::new(Kind::Damage, "a record is not whole")),
            }
        };
        let found = read_folder(dir, read);
        (found.map_err(|failure| failure.kind()), reads.get())
    }

    #[test]
    fn what_looks_damaged_beside_a_server_is_read_again_before_it_is_told() {
        assert_eq!(read(0, true), (Ok(()), 1));
        assert_eq!(read(1, true), (Ok(()), 2));
        assert_eq!(read(2, true), (Err(Kind::TryAgain), 2));
        assert_eq!(read(1, false), (Err(Kind::Damage), 1));
    }
}
