//! A resume token in a file, and as people copy it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::failure::{Failure, Kind};

/// How often a token of a heartbeat is kept: the disk is waited for each time.
const SOMETIMES: Duration = Duration::from_secs(60);

/// A file that holds a token. It is never seen half written.
pub struct Bookmark {
    path: PathBuf,
    token: Option<Vec<u8>>,
    /// When it was written last.
    kept: Option<Instant>,
}

impl Bookmark {
    /// Reads the file, if it is there.
    pub fn open(path: PathBuf) -> Result<Self, Failure> {
        let token = match fs::read_to_string(&path) {
            Ok(text) => Some(read(text.trim()).ok_or_else(no_bookmark)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Failure::caused(
                    Kind::Refused,
                    "the bookmark cannot be read",
                    &error,
                ));
            }
        };
        Ok(Self {
            path,
            token,
            kept: None,
        })
    }

    /// The token that is kept; `None` at the first time.
    pub fn token(&self) -> Option<&[u8]> {
        self.token.as_deref()
    }

    /// Keeps a token that came without anything else, which nothing is lost without: now and then.
    pub fn keep_sometimes(&mut self, token: &[u8], now: Instant) -> Result<(), Failure> {
        match self.kept {
            Some(kept) if now - kept < SOMETIMES => Ok(()),
            _ => self.keep(token, now),
        }
    }

    /// Keeps a token in place of the one before.
    pub fn keep(&mut self, token: &[u8], now: Instant) -> Result<(), Failure> {
        if self.token.as_deref() == Some(token) {
            return Ok(());
        }
        let mut aside = self.path.clone().into_os_string();
        aside.push(".new");
        let kept = write_synced(Path::new(&aside), &(written(token) + "\n"));
        let kept = kept.and_then(|()| fs::rename(&aside, &self.path));
        kept.map_err(|error| Failure::unexpected("the bookmark cannot be written", &error))?;
        self.token = Some(token.to_vec());
        self.kept = Some(now);
        Ok(())
    }
}

/// Writes a file that is whole on the disk before it takes another's place.
fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

fn no_bookmark() -> Failure {
    Failure::new(Kind::Refused, "the bookmark holds no token").with_hint(
        "remove the file, and say with --from since when you may have missed any; without that, it \
         begins with what happens from now on",
    )
}

/// A token in hexadecimal digits.
pub fn written(token: &[u8]) -> String {
    base16ct::lower::encode_string(token)
}

/// A token from hexadecimal digits; `None` if they are none, or not of whole bytes.
pub fn read(text: &str) -> Option<Vec<u8>> {
    let token = base16ct::mixed::decode_vec(text).ok();
    token.filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_survives_being_written_and_read() {
        let token: Vec<u8> = (0..=255).collect();
        assert_eq!(read(&written(&token)), Some(token));
        for wrong in ["", "0", "0g", "+1", "é"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bookmark_is_found_again_and_a_broken_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bookmark");
        let mut bookmark = Bookmark::open(path.clone()).expect("not there yet");
        assert_eq!(bookmark.token(), None);
        let now = Instant::now();
        bookmark.keep(&[1, 2], now).expect("kept");
        bookmark.keep(&[3, 4], now).expect("kept");
        let again = Bookmark::open(path.clone()).expect("there");
        assert_eq!(again.token(), Some(&[3, 4][..]));
        fs::write(&path, "nonsense").expect("written");
        let broken = Bookmark::open(path).err().expect("it is refused");
        assert!(broken.to_string().contains("--from"), "{broken}");
    }

    #[test]
    fn what_only_a_heartbeat_brought_is_kept_once_a_minute() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bookmark");
        let mut bookmark = Bookmark::open(path.clone()).expect("not there yet");
        let begun = Instant::now();
        let kept = || read(fs::read_to_string(&path).expect("there").trim()).expect("a token");
        let mut pass = |token: u8, seconds| {
            let now = begun + Duration::from_secs(seconds);
            bookmark.keep_sometimes(&[token], now).expect("kept");
            kept()
        };
        assert_eq!(pass(1, 0), [1]);
        assert_eq!(pass(2, 15), [1]);
        assert_eq!(pass(3, 60), [3]);
        assert_eq!(pass(4, 119), [3]);
        bookmark.keep(&[5], begun).expect("kept");
        assert_eq!(kept(), [5], "what brought incidents is kept at once");
    }
}
