//! The store's folder: moving it aside, and making its names survive a power cut.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;

/// Stores set aside that are kept. The oldest beyond it are removed.
const ASIDE_MAX: usize = 2;
const ASIDE_MARK: &str = ".aside-";

/// Renames the folder to `<folder>.aside-N`, N rising, unless it is missing or empty.
pub(super) fn set_aside(dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    if !has_content(dir)? {
        return Ok(None);
    }
    let mut before = asides(dir)?;
    let number = before.last().map_or(1, |(number, _)| number + 1);
    let aside = aside_path(dir, number);
    fs::rename(dir, &aside).map_err(|source| StoreError::io("set aside", dir, source))?;
    sync_folder(&parent(dir))?;
    before.push((number, aside.clone()));
    for (_, path) in &before[..before.len().saturating_sub(ASIDE_MAX)] {
        fs::remove_dir_all(path).map_err(|source| StoreError::io("remove", path, source))?;
    }
    Ok(Some(aside))
}

/// Removes what was set aside.
pub(super) fn remove_set_aside(dir: &Path) -> Result<(), StoreError> {
    for (_, path) in asides(dir)? {
        fs::remove_dir_all(&path).map_err(|source| StoreError::io("remove", &path, source))?;
    }
    Ok(())
}

/// Makes the folder's own name and the names in it survive a power cut.
pub(super) fn sync_names(dir: &Path) -> Result<(), StoreError> {
    sync_folder(dir)?;
    sync_folder(&parent(dir))
}

fn has_content(dir: &Path) -> Result<bool, StoreError> {
    match fs::read_dir(dir) {
        Ok(mut names) => Ok(names.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StoreError::io("read", dir, source)),
    }
}

/// What was set aside before, by rising number.
fn asides(dir: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let parent = parent(dir);
    let failed = |source| StoreError::io("read", &parent, source);
    let prefix = format!("{}{ASIDE_MARK}", folder_name(dir));
    let mut found = Vec::new();
    for entry in fs::read_dir(&parent).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn aside_path(dir: &Path, number: u64) -> PathBuf {
    dir.with_file_name(format!("{}{ASIDE_MARK}{number}", folder_name(dir)))
}

fn folder_name(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn parent(dir: &Path) -> PathBuf {
    match dir.parent() {
        Some(parent) if parent != Path::new("") => parent.into(),
        _ => PathBuf::from("."),
    }
}

fn sync_folder(dir: &Path) -> Result<(), StoreError> {
    let synced = File::open(dir).and_then(|folder| folder.sync_all());
    synced.map_err(|source| StoreError::io("sync", dir, source))
}
