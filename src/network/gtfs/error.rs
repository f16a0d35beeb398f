//! Why a feed is refused: always whole, and naming the place.

use std::io;

use crate::domain::limits::TABLE_ROW_BYTES_MAX;

/// Why a feed is refused. Never repeats what the feed says.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The archive cannot be opened.
    #[error("cannot open the feed")]
    Open(#[source] io::Error),
    /// It is no zip archive, or a broken one.
    #[error("the feed is no readable zip archive")]
    Zip(#[source] zip::result::ZipError),
    /// A file that must be there is not.
    #[error("{file} is missing")]
    FileMissing {
        /// Its name.
        file: Box<str>,
    },
    /// Too much of something.
    #[error("{what} is larger than {max}")]
    TooLarge {
        /// Of what: a file (then in bytes), or things of a kind.
        what: Box<str>,
        /// The bound.
        max: u64,
    },
    /// A file cannot be read to its end.
    #[error("{file} cannot be read; the archive may be damaged")]
    Unreadable {
        /// Its name.
        file: Box<str>,
        /// Why.
        source: io::Error,
    },
    /// Something in a file is wrong.
    #[error("{file}, line {line}, column {column}: {reason}")]
    Refused {
        /// The file.
        file: Box<str>,
        /// The line, from 1, the names of the columns included.
        line: u64,
        /// The column's name, or its number from 1 where it has none.
        column: Box<str>,
        /// What is wrong.
        reason: Reason,
    },
}

/// What is wrong with a value in a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The file has no such column.
    #[error("the column is missing")]
    ColumnMissing,
    /// More or fewer columns than names.
    #[error("the row has more or fewer columns than the first line")]
    WrongColumnCount,
    /// Nothing where something must be.
    #[error("must not be empty")]
    Empty,
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Too long.
    #[error("is longer than a name or code may be")]
    TooLong,
    /// Not a number.
    #[error("must be a number")]
    NotANumber,
    /// Not a day.
    #[error("must be a day, written as 20170212")]
    NotADay,
    /// Not degrees.
    #[error("must be degrees, -90 to 90 north and -180 to 180 east")]
    OffTheEarth,
    /// Already used.
    #[error("is there twice")]
    Twice,
    /// Refers to nothing.
    #[error("refers to something that is not in the feed")]
    Unknown,
    /// Refers to a stop that is no station.
    #[error("must refer to a stop of location type 1")]
    NotAStation,
    /// Not one of the values that GTFS knows.
    #[error("must be one of the values of the GTFS reference")]
    NotAValue,
    /// No operator code can be made of it.
    #[error("names no operator that a code can be made for")]
    NoOperator,
    /// The code that is made of it is made of another name as well.
    #[error(
        "makes the code of another operator, too; an agency_id with a letter in it is taken instead"
    )]
    OperatorTwice,
    /// Longer than a row may be.
    #[error(
        "the row is longer than {max} bytes; a quotation mark may be missing",
        max = TABLE_ROW_BYTES_MAX
    )]
    RowTooLong,
}

impl FeedError {
    pub(super) fn refused(file: &str, line: u64, column: &str, reason: Reason) -> Self {
        Self::Refused {
            file: file.into(),
            line,
            column: column.into(),
            reason,
        }
    }
}
