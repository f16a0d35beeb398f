//! The text of a table on its way to a CSV parser, one line after the other.
//!
//! A parser says where a row begins only as far as it counts lines: not where they end with
//! `\r\n`, and not after blank ones. What is read here is handed on line by line, so that it is
//! known on which one the row's first character stands, and that no row is longer than may be.

use std::io::{self, BufRead, BufReader, Read};

use memchr::memchr2;

use crate::domain::limits::TABLE_ROW_BYTES_MAX;

const BUFFER_BYTES: usize = 64 * 1024;

/// Reads the text of a table. Every line ends with `\n`, whatever it ended with. Fails with
/// `RowTooLong`.
pub struct RowReader<R> {
    inner: BufReader<R>,
    read_bytes: u64,
    /// The line that is read next, from 1.
    line: u64,
    /// The line that the row begins on; `None` before its first character.
    row_line: Option<u64>,
    row_bytes: usize,
    /// Whether a `\r` was read last. A `\n` after it ends no other line.
    is_after_return: bool,
}

/// A row does not end where it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the row from line {line} on is longer than {max} bytes; a quotation mark may be missing",
    max = TABLE_ROW_BYTES_MAX
)]
pub struct RowTooLong {
    /// The line that it begins on, from 1.
    pub line: u64,
}

impl<R: Read> RowReader<R> {
    /// From the beginning of a text.
    pub fn new(inner: R) -> Self {
        Self {
            inner: BufReader::with_capacity(BUFFER_BYTES, inner),
            read_bytes: 0,
            line: 1,
            row_line: None,
            row_bytes: 0,
            is_after_return: false,
        }
    }

    /// What is read from now on is the next row. To be called before the parser reads each one.
    pub fn begin_row(&mut self) {
        self.row_line = None;
        self.row_bytes = 0;
    }

    /// The line on which the row's first character stands, from 1; the next one before it is read.
    pub fn row_line(&self) -> u64 {
        self.row_line.unwrap_or(self.line)
    }

    /// Bytes read so far.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    fn consume(&mut self, length: usize) {
        self.inner.consume(length);
        self.read_bytes += length as u64;
    }

    /// Goes past the second half of a `\r\n`.
    fn end_return(&mut self) -> io::Result<()> {
        if self.inner.fill_buf()?.starts_with(b"\n") {
            self.consume(1);
        }
        self.is_after_return = false;
        Ok(())
    }
}

impl<R: Read> Read for RowReader<R> {
    /// Reads one line or a part of it.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_after_return {
            self.end_return()?;
        }
        let ahead = self.inner.fill_buf()?;
        let ahead = &ahead[..ahead.len().min(buffer.len())];
        let end = memchr2(b'\n', b'\r', ahead);
        let length = end.map_or(ahead.len(), |end| end + 1);
        buffer[..length].copy_from_slice(&ahead[..length]);
        self.consume(length);
        let is_blank = end == Some(0) && self.row_line.is_none();
        if 0 < length && !is_blank {
            let line = *self.row_line.get_or_insert(self.line);
            self.row_bytes += length;
            if TABLE_ROW_BYTES_MAX < self.row_bytes {
                return Err(io::Error::other(RowTooLong { line }));
            }
        }
        if let Some(end) = end {
            self.is_after_return = buffer[end] == b'\r';
            buffer[end] = b'\n';
            self.line += 1;
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands on so many bytes at a time.
    struct Slowly<'t>(&'t [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(buffer.len());
            self.0.read(&mut buffer[..length])
        }
    }

    /// The first field of each row, and the line that it begins on.
    fn rows(text: &str, bytes_at_once: usize) -> csv::Result<Vec<(String, u64)>> {
        let reader = RowReader::new(Slowly(text.as_bytes(), bytes_at_once));
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(reader);
        let mut record = csv::StringRecord::new();
        let mut rows = Vec::new();
        loop {
            reader.get_mut().begin_row();
            if !reader.read_record(&mut record)? {
                assert_eq!(reader.get_ref().read_bytes(), text.len() as u64);
                return Ok(rows);
            }
            rows.push((record[0].to_owned(), reader.get_ref().row_line()));
        }
    }

    #[test]
    fn row_begins_on_the_line_of_its_first_character_whatever_ends_lines() {
        let text = "\n\na,1\nb,2\n\n\n\"c\nd\n\n\",3\n\"\n\",4\n  \n\ne,5";
        let expected = [
            ("a", 3),
            ("b", 4),
            ("c\nd\n\n", 7),
            ("\n", 11),
            ("  ", 13),
            ("e", 15),
        ]
        .map(|(field, line)| (field.to_owned(), line));
        for ends in ["\n", "\r\n", "\r"] {
            for end in ["", ends] {
                let text = text.replace('\n', ends) + end;
                for bytes_at_once in [1, 2, 3, 7, BUFFER_BYTES] {
                    let rows = rows(&text, bytes_at_once).expect("short rows");
                    assert_eq!(rows, expected, "{text:?}, {bytes_at_once} at once");
                }
            }
        }
    }

    #[test]
    fn row_that_is_longer_than_may_be_fails_naming_its_line() {
        let long = |length| format!("a\n\n{}\nb\n", "x".repeat(length));
        let longest = long(TABLE_ROW_BYTES_MAX - 1);
        assert_eq!(rows(&longest, BUFFER_BYTES).expect("not longer").len(), 3);
        let blank = format!("a{}b\n", "\r\n".repeat(TABLE_ROW_BYTES_MAX));
        assert_eq!(rows(&blank, BUFFER_BYTES).expect("no row").len(), 2);

        let unquoted = format!("a\n\n\"x\n{}", "y\n".repeat(TABLE_ROW_BYTES_MAX / 2));
        for text in [long(TABLE_ROW_BYTES_MAX), unquoted] {
            let error = rows(&text, BUFFER_BYTES).expect_err("too long");
            assert!(error.to_string().contains("from line 3 on"), "{error}");
        }
    }
}
