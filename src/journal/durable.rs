//! A write that is on stable storage when it returns.
//!
//! Where the system has it, that is one system call in place of two: the write carries the
//! wish to be durable, and only what it wrote is waited for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Writes all of it at a place, and makes that durable. After an error any part of it may be
/// there, durable or not.
pub fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    let written = match write_durably(file, bytes, at) {
        Err(error) if is_not_there(&error) => {
            file.write_all_at(bytes, at)?;
            file.sync_data()
        }
        written => written,
    };
    #[cfg(test)]
    counted::note(&written);
    written
}

/// How many writes of a thread were made durable, for tests of whoever must make them so.
#[cfg(test)]
pub(super) mod counted {
    use std::cell::Cell;

    thread_local! {
        static WRITES: Cell<u64> = const { Cell::new(0) };
    }

    /// Those of this thread so far.
    pub fn writes() -> u64 {
        WRITES.get()
    }

    pub(super) fn note(written: &std::io::Result<()>) {
        WRITES.set(writes() + u64::from(written.is_ok()));
    }
}

/// Whether the system, or the file system, does not know such writes.
fn is_not_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput
    )
}

#[cfg(target_os = "linux")]
fn write_durably(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};

    while !bytes.is_empty() {
        let parts = [io::IoSlice::new(bytes)];
        match pwritev2(file, &parts, at, ReadWriteFlags::DSYNC) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn write_durably(_file: &File, _bytes: &[u8], _at: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn all_of_it_is_where_it_was_to_be() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let large = vec![7; 3 * 1024 * 1024];
        write_all_at(file.as_file(), b"before", 0).expect("room");
        write_all_at(file.as_file(), &large, 3).expect("room");
        write_all_at(file.as_file(), b"", 9).expect("nothing to do");
        let mut read = Vec::new();
        file.read_to_end(&mut read).expect("readable");
        assert_eq!(&read[..3], b"bef");
        assert!(read[3..] == large);
    }

    #[test]
    fn error_is_told() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let file = File::open(file.path()).expect("readable");
        assert!(write_all_at(&file, b"entry", 0).is_err());
    }
}
