//! A resume token in a file, and as people copy it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::failure::{Failure, Kind};

/// A file that holds a token. It is never seen half written, nor after a power cut.
pub struct Bookmark {
    path: PathBuf,
    token: Option<Vec<u8>>,
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
        Ok(Self { path, token })
    }

    /// The token that is kept; `None` at the first time.
    pub fn token(&self) -> Option<&[u8]> {
        self.token.as_deref()
    }

    /// Keeps a token in place of the one before.
    pub fn keep(&mut self, token: &[u8]) -> Result<(), Failure> {
        if self.token.as_deref() == Some(token) {
            return Ok(());
        }
        let kept = replace(&self.path, &(written(token) + "\n"));
        kept.map_err(|error| Failure::unexpected("the bookmark cannot be written", &error))?;
        self.token = Some(token.to_vec());
        Ok(())
    }
}

/// Puts a file with this text in the place of another. It is on the disk before it has the name, or
/// a file system may have the name alone after a power cut.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let mut file = File::create(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&aside, path)
}

fn no_bookmark() -> Failure {
    Failure::new(Kind::Refused, "the bookmark holds no token").with_hint(
        "remove the file, and begin with `--from` and the time of what was printed last: nothing is \
         missed then, and some of it may come again",
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
        bookmark.keep(&[1, 2]).expect("kept");
        bookmark.keep(&[3, 4]).expect("kept");
        let again = Bookmark::open(path.clone()).expect("there");
        assert_eq!(again.token(), Some(&[3, 4][..]));
        fs::write(&path, "nonsense").expect("written");
        assert!(Bookmark::open(path).is_err());
    }
}
