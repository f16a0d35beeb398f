//! What lies where in a data folder. Nobody but its owner may look into it.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const FOLDER_MODE: u32 = 0o700;
const MODE_OTHERS: u32 = 0o077;

/// Where the journal lies.
pub(super) fn journal(folder: &Path) -> PathBuf {
    folder.join("journal")
}

/// Where the store lies.
pub(super) fn store(folder: &Path) -> PathBuf {
    folder.join("store")
}

/// Makes the folder if there is none, and shuts it to everybody else.
pub(super) fn prepare(folder: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)?;
    let mode = std::fs::metadata(folder)?.mode() & 0o777;
    if mode & MODE_OTHERS != 0 {
        std::fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))?;
        tracing::warn!(
            mode = format!("{mode:o}"),
            "data folder was open to other users; now shut"
        );
    }
    Ok(())
}
