//! What lies where in a data folder. Nobody but its owner may look into it.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::auth::Keys;
use crate::journal::{self, JournalError};
use crate::ledger::{CHECKPOINT_FILE, LOST_CHECKPOINT_FILE, SET_ASIDE_CHECKPOINT_FILE};

const FOLDER_MODE: u32 = 0o700;
const MODE_OTHERS: u32 = 0o077;

/// Where the journal lies.
pub(super) fn journal(folder: &Path) -> PathBuf {
    folder.join("journal")
}

/// Where the checkpoint lies.
pub(super) fn checkpoint(folder: &Path) -> PathBuf {
    folder.join(CHECKPOINT_FILE)
}

/// Where a checkpoint lies that counts entries which the journal has lost, until the journal says so.
pub(super) fn lost_checkpoint(folder: &Path) -> PathBuf {
    folder.join(LOST_CHECKPOINT_FILE)
}

/// Where that lies once the journal says so.
pub(super) fn checkpoint_set_aside(folder: &Path) -> PathBuf {
    folder.join(SET_ASIDE_CHECKPOINT_FILE)
}

/// Where the store lies.
pub(super) fn store(folder: &Path) -> PathBuf {
    folder.join("store")
}

/// What shows that reports were recorded in this folder although its journal is gone;
/// `None` if the journal is there, or never was. A first start that was cut short leaves
/// nothing of the kind: everything else is made after the journal.
pub(super) fn trace_of_lost_journal(folder: &Path) -> Result<Option<&'static str>, JournalError> {
    // In this order: another process may be making a new record at this moment.
    let trace = if journal::has_begun(&journal(folder))? {
        Some("journal/LOCK")
    } else if checkpoint(folder).exists() {
        Some("checkpoint")
    } else if lost_checkpoint(folder).exists() {
        Some(LOST_CHECKPOINT_FILE)
    } else if store(folder).exists() {
        Some("store")
    } else if Keys::exist(folder) {
        Some("keys")
    } else {
        None
    };
    let is_lost = trace.is_some() && !journal::exists(&journal(folder))?;
    Ok(trace.filter(|_| is_lost))
}

/// Makes the folder if there is none, durably, and shuts it to everybody else.
pub(super) fn prepare(folder: &Path) -> io::Result<()> {
    let named_in = parents_of_new(folder);
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)?;
    for parent in named_in {
        File::open(parent)?.sync_all()?;
    }
    if let Some(mode) = shut(folder)? {
        tracing::warn!(
            mode = format!("{mode:o}"),
            "data folder was open to other users; now shut"
        );
    }
    // Earlier versions left it open in a folder that is shut. A copy of it alone is not in there.
    match shut(&journal(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "folder of the journal cannot be shut to other users");
        }
        _ => {}
    }
    Ok(())
}

/// Shuts a folder to everybody but its owner. Returns which mode it had if it was open.
fn shut(folder: &Path) -> io::Result<Option<u32>> {
    let mode = std::fs::metadata(folder)?.mode() & 0o777;
    if mode & MODE_OTHERS == 0 {
        return Ok(None);
    }
    std::fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))?;
    Ok(Some(mode))
}

/// The folders that get a new name when this one is made, the outermost first.
fn parents_of_new(folder: &Path) -> Vec<PathBuf> {
    let new = folder.ancestors().take_while(|path| !path.exists());
    let parents = new.filter_map(Path::parent);
    let mut parents: Vec<_> = parents
        .map(|parent| {
            if parent.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                parent.to_owned()
            }
        })
        .collect();
    parents.reverse();
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_that_gets_a_new_name_is_synced() {
        let dir = tempfile::tempdir().expect("a folder");
        let there = dir.path();
        let check = |folder: &Path, expected: &[PathBuf]| {
            assert_eq!(parents_of_new(folder), expected);
        };
        check(there, &[]);
        check(&there.join("a"), &[there.to_owned()]);
        let all = [there.to_owned(), there.join("a"), there.join("a/b")];
        check(&there.join("a/b/c"), &all);
        prepare(&there.join("a/b")).expect("made");
        check(&there.join("a/b/c"), &all[2..]);
        check(Path::new("no-such-folder"), &[PathBuf::from(".")]);
    }
}
