//! One file of a feed, read row by row, with the place of whatever is wrong in it.

use std::io::{self, Read};

use csv::ByteRecord;
use jiff::civil::Date;

use super::error::{FeedError, Reason};
use crate::domain::LocalDay;
use crate::domain::limits::FEED_TEXT_CHARS_MAX;
use crate::domain::text::without_controls;
use crate::domain::time::{END_DAY, FIRST_DAY};
use crate::network::row_reader::{RowReader, RowTooLong};

/// The last supported day.
pub(super) const LAST_DAY: LocalDay = LocalDay(END_DAY.0 - 1);

/// A file with named columns. Columns are asked for by their place in the list that it was
/// opened with.
pub(super) struct Table<R: Read> {
    file: Box<str>,
    bytes_max: u64,
    columns: &'static [&'static str],
    /// For each of `columns`, its place in the file.
    places: Vec<Option<usize>>,
    reader: csv::Reader<RowReader<Bounded<R>>>,
    record: ByteRecord,
}

/// Fails when more is read than a file may hold, whatever its archive says of its size.
pub(super) struct Bounded<R> {
    inner: R,
    bytes_max: u64,
    read_bytes: u64,
}

impl<R> Bounded<R> {
    pub(super) fn new(inner: R, bytes_max: u64) -> Self {
        Self {
            inner,
            bytes_max,
            read_bytes: 0,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read_bytes += count as u64;
        if self.bytes_max < self.read_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(count)
    }
}

impl<R: Read> Table<R> {
    /// Reads the names of the columns, of which the first `required` must be there.
    pub(super) fn open(
        file: &str,
        bounded: Bounded<R>,
        columns: &'static [&'static str],
        required: usize,
    ) -> Result<Self, FeedError> {
        let bytes_max = bounded.bytes_max;
        let mut reader = csv::Reader::from_reader(RowReader::new(bounded));
        let header = reader.byte_headers().cloned();
        let line = reader.get_ref().row_line();
        let header = header.map_err(|error| broken((file, bytes_max), line, error))?;
        let places: Vec<_> = columns
            .iter()
            .map(|column| {
                header
                    .iter()
                    .position(|name| trimmed(name) == column.as_bytes())
            })
            .collect();
        for (column, place) in columns.iter().zip(&places).take(required) {
            if place.is_none() {
                return Err(FeedError::refused(
                    file,
                    line,
                    column,
                    Reason::ColumnMissing,
                ));
            }
        }
        Ok(Self {
            file: file.into(),
            bytes_max,
            columns,
            places,
            reader,
            record: ByteRecord::new(),
        })
    }

    /// Moves to the next row; false after the last.
    pub(super) fn next(&mut self) -> Result<bool, FeedError> {
        self.reader.get_mut().begin_row();
        let read = self.reader.read_byte_record(&mut self.record);
        if !read.map_err(|error| broken((&self.file, self.bytes_max), self.line(), error))? {
            return Ok(false);
        }
        // As nearly all rows are.
        if self
            .record
            .as_slice()
            .iter()
            .all(|byte| matches!(byte, b' '..=b'~'))
        {
            return Ok(true);
        }
        let Ok(text) = std::str::from_utf8(self.record.as_slice()) else {
            return Err(self.not_utf8());
        };
        if text.contains(char::is_control) {
            self.record = self.record.iter().map(in_one_line).collect();
        }
        Ok(true)
    }

    /// Bytes read so far, uncompressed.
    pub(super) fn read_bytes(&self) -> u64 {
        self.reader.get_ref().read_bytes()
    }

    /// The text in a column, without spaces around; empty if there is no such column.
    pub(super) fn text(&self, column: usize) -> Result<&str, FeedError> {
        let field = self.places[column].and_then(|place| self.record.get(place));
        let text = std::str::from_utf8(field.unwrap_or_default())
            .map_err(|_| self.refused(column, Reason::NotUtf8))?
            .trim();
        if FEED_TEXT_CHARS_MAX < text.len() && FEED_TEXT_CHARS_MAX < text.chars().count() {
            return Err(self.refused(column, Reason::TooLong));
        }
        Ok(text)
    }

    /// The text in a column that may not be empty.
    pub(super) fn filled(&self, column: usize) -> Result<&str, FeedError> {
        let text = self.text(column)?;
        if text.is_empty() {
            return Err(self.refused(column, Reason::Empty));
        }
        Ok(text)
    }

    /// The whole number in a column.
    pub(super) fn number(&self, column: usize) -> Result<u32, FeedError> {
        let number = self.filled(column)?.parse();
        number.map_err(|_| self.refused(column, Reason::NotANumber))
    }

    /// The degrees in a column, at most `max` either way.
    pub(super) fn degrees(&self, column: usize, max: f64) -> Result<f64, FeedError> {
        let degrees: f64 = self
            .filled(column)?
            .parse()
            .map_err(|_| self.refused(column, Reason::NotANumber))?;
        if !(-max..=max).contains(&degrees) {
            return Err(self.refused(column, Reason::OffTheEarth));
        }
        Ok(degrees)
    }

    /// The day in a column, written as `20170212`; `None` if it is empty. One outside the
    /// supported years is the nearest inside.
    pub(super) fn day(&self, column: usize) -> Result<Option<LocalDay>, FeedError> {
        let text = self.text(column)?;
        if text.is_empty() {
            return Ok(None);
        }
        let has_digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
        let date = text.parse::<Date>().ok().filter(|_| has_digits);
        match date {
            Some(date) => Ok(Some(LocalDay::of(date).clamp(FIRST_DAY, LAST_DAY))),
            None => Err(self.refused(column, Reason::NotADay)),
        }
    }

    /// What is wrong with a column of this row.
    pub(super) fn refused(&self, column: usize, reason: Reason) -> FeedError {
        FeedError::refused(&self.file, self.line(), self.columns[column], reason)
    }

    /// The line that the row begins on, from 1.
    pub(super) fn line(&self) -> u64 {
        self.reader.get_ref().row_line()
    }

    /// Which column holds what is no UTF-8.
    fn not_utf8(&self) -> FeedError {
        let is_broken = |field: &[u8]| std::str::from_utf8(field).is_err();
        let place = self.record.iter().position(is_broken);
        let column = self
            .places
            .iter()
            .position(|known| place.is_some() && *known == place);
        let column = match (column, place) {
            (Some(column), _) => self.columns[column].to_owned(),
            (None, place) => format!("{}", place.map_or(0, |place| place + 1)),
        };
        FeedError::refused(&self.file, self.line(), &column, Reason::NotUtf8)
    }
}

/// A field with a blank in place of each control character: no name has one that means anything, and
/// a terminal would obey it.
fn in_one_line(field: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(field).map(without_controls);
    text.map_or_else(|_| field.to_vec(), |text| text.into_owned().into_bytes())
}

fn trimmed(name: &[u8]) -> &[u8] {
    name.strip_prefix("\u{feff}".as_bytes())
        .unwrap_or(name)
        .trim_ascii()
}

fn broken((file, bytes_max): (&str, u64), line: u64, error: csv::Error) -> FeedError {
    match error.into_kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => FeedError::refused(
            file,
            line,
            &expected_len.min(len).saturating_add(1).to_string(),
            Reason::WrongColumnCount,
        ),
        csv::ErrorKind::Io(source) if source.kind() == io::ErrorKind::FileTooLarge => {
            FeedError::TooLarge {
                what: file.into(),
                max: bytes_max,
            }
        }
        csv::ErrorKind::Io(source) if is_row_too_long(&source) => {
            FeedError::refused(file, line, "1", Reason::RowTooLong)
        }
        csv::ErrorKind::Io(source) => FeedError::Unreadable {
            file: file.into(),
            source,
        },
        _ => FeedError::refused(file, line, "1", Reason::NotUtf8),
    }
}

fn is_row_too_long(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|error| error.is::<RowTooLong>())
}
