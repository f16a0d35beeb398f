//! From the lines of a table to tap counts, each line by itself; what is wrong is told with
//! line, column and reason.

use std::collections::HashSet;
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

use super::super::failure::{Failure, Kind};
use super::source::Source;
use crate::api::pb::v1 as pb;
use crate::domain::limits::TAPS_PER_COUNT_MAX;
use crate::domain::taps::TapInterval;
use crate::domain::{LineId, StopId};
use crate::network::RowReader;

static AMSTERDAM: TimeZone = jiff::tz::get!("Europe/Amsterdam");

/// Latest hour of a service day that is written as one: the night after it ends before.
const HOUR_MAX: u32 = 47;
const HOURS_PER_DAY: u32 = 24;
/// What a number with a separator in it, not quoted, comes to: its first part would be taken for
/// all of it.
const TOO_MANY_CELLS: &str = "has more cells than the header: is a separator not quoted?";

/// Which columns there are, and how to read them.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The service day.
    pub date: String,
    /// How it is written.
    pub date_format: String,
    /// The local hour.
    pub hour: Option<String>,
    /// The local time.
    pub time: Option<String>,
    /// The stop.
    pub stop: Option<String>,
    /// The line.
    pub line: Option<String>,
    /// The number of taps.
    pub count: String,
    /// What to write in place of blanks in codes.
    pub blanks_as: Option<String>,
    /// Whose lines they are.
    pub operator: String,
    /// How long the intervals are.
    pub interval: TapInterval,
    /// When the service day begins.
    pub day_begins: u32,
}

/// A line that is a count.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its number in the file, from 1.
    pub line: u64,
    /// What it tells.
    pub count: pb::TapCount,
}

/// A line that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its number in the file, from 1.
    pub line: u64,
    /// The column; empty if it is none of them.
    pub column: String,
    /// Why.
    pub reason: String,
}

/// The columns' places in a line.
struct Places {
    date: usize,
    hour: Option<usize>,
    time: Option<usize>,
    stop: Option<usize>,
    line: Option<usize>,
    count: usize,
    /// How many cells a line may have, but for empty ones after them: up to the last heading.
    cells: usize,
}

/// The lines of a table, one by one.
pub struct Rows {
    reader: csv::Reader<RowReader<Box<dyn Read + Send>>>,
    record: csv::StringRecord,
    columns: Columns,
    places: Places,
    /// Hashes of scope and start of each count before, so that none is told twice.
    seen: HashSet<u64>,
}

impl Rows {
    /// Reads the header.
    pub fn open(source: &Source, columns: &Columns) -> Result<Self, Failure> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(source.delimiter())
            .trim(csv::Trim::All)
            .flexible(true)
            .from_reader(RowReader::new(source.open()?));
        let header = reader.headers().map_err(|error| unreadable(&error))?;
        let places = Places::find(header, columns)?;
        Ok(Self {
            reader,
            record: csv::StringRecord::new(),
            columns: columns.clone(),
            places,
            seen: HashSet::new(),
        })
    }

    /// How far the table has been read, in bytes.
    pub fn bytes(&self) -> u64 {
        self.reader.get_ref().read_bytes()
    }

    /// The next line; `None` after the last.
    pub fn next(&mut self) -> Result<Option<Result<Row, Refused>>, Failure> {
        self.reader.get_mut().begin_row();
        let read = self.reader.read_record(&mut self.record);
        let line = self.reader.get_ref().row_line();
        match read {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return not_text(line, &error).map(|refused| Some(Err(refused))),
        }
        let row = self.row(line).map_err(|(column, reason)| Refused {
            line,
            column,
            reason,
        });
        Ok(Some(row))
    }

    fn row(&mut self, line: u64) -> Result<Row, (String, String)> {
        let columns = &self.columns;
        let mut beyond = self.record.iter().skip(self.places.cells);
        if beyond.any(|cell| !cell.is_empty()) {
            return Err((String::new(), TOO_MANY_CELLS.to_owned()));
        }
        let cell = |column: &str, place: usize| {
            let cell = self.record.get(place);
            cell.ok_or_else(|| (column.to_owned(), "is missing".to_owned()))
        };
        let refuse = |column: &str| {
            let column = column.to_owned();
            move |reason: String| (column.clone(), reason)
        };
        let date = cell(&columns.date, self.places.date)?;
        let date = Date::strptime(&columns.date_format, date)
            .map_err(|_| refuse(&columns.date)("is no day of this format".into()))?;
        let stop_id = match (&columns.stop, self.places.stop) {
            (Some(column), Some(place)) => {
                let code = columns.code(cell(column, place)?);
                code.parse::<StopId>()
                    .map_err(|error| refuse(column)(error.to_string()))?;
                code
            }
            _ => String::new(),
        };
        let line_id = match (&columns.line, self.places.line) {
            (Some(column), Some(place)) => {
                let id = columns.line_id(cell(column, place)?);
                id.parse::<LineId>()
                    .map_err(|error| refuse(column)(error.to_string()))?;
                id
            }
            _ => String::new(),
        };
        let taps =
            parse_taps(cell(&columns.count, self.places.count)?).map_err(refuse(&columns.count))?;
        let (column, local) = match (self.places.hour, self.places.time) {
            (Some(place), _) => {
                let column = columns.hour.as_deref().unwrap_or_default();
                let hour = parse_hour(cell(column, place)?);
                (column, hour.map_err(refuse(column))?)
            }
            (None, Some(place)) => {
                let column = columns.time.as_deref().unwrap_or_default();
                let time = parse_time(cell(column, place)?);
                (column, time.map_err(refuse(column))?)
            }
            (None, None) => (&*columns.date, (columns.day_begins, 0)),
        };
        let local = columns.local(date, local).map_err(refuse(column))?;
        let scope = (&line_id, &stop_id);
        let starts = columns.starts(local).map_err(refuse(column))?;
        let start = once(&mut self.seen, &scope, starts).map_err(refuse(column))?;
        let count = pb::TapCount {
            line_id,
            stop_id,
            start: Some(super::super::when::to_wire(start)),
            taps,
        };
        Ok(Row { line, count })
    }
}

impl Places {
    fn find(header: &csv::StringRecord, columns: &Columns) -> Result<Self, Failure> {
        if header.is_empty() {
            return Err(Failure::new(Kind::Refused, "the table is empty"));
        }
        let place = |column: &str| place(header, column);
        let optional = |column: &Option<String>| column.as_deref().map(place).transpose();
        let mut places = Self {
            date: place(&columns.date)?,
            hour: optional(&columns.hour)?,
            time: optional(&columns.time)?,
            stop: optional(&columns.stop)?,
            line: optional(&columns.line)?,
            count: place(&columns.count)?,
            cells: 0,
        };
        let headed = (0..header.len()).rfind(|place| !header[*place].is_empty());
        places.cells = headed.max(places.last()).map_or(0, |last| last + 1);
        Ok(places)
    }

    /// The last place that is read.
    fn last(&self) -> Option<usize> {
        let optional = [self.hour, self.time, self.stop, self.line];
        let all = [self.date, self.count].into_iter();
        all.chain(optional.into_iter().flatten()).max()
    }
}

/// Where a column is, by its heading or by its number from 1.
fn place(header: &csv::StringRecord, column: &str) -> Result<usize, Failure> {
    let is_called = |place: &usize| header[*place].eq_ignore_ascii_case(column);
    let by_name: Vec<usize> = (0..header.len()).filter(is_called).collect();
    let by_number = || column.parse::<usize>().ok()?.checked_sub(1);
    let place = match by_name[..] {
        [] => by_number(),
        [place] => Some(place),
        [..] => return Err(ambiguous(column, &by_name)),
    };
    place.filter(|place| *place < header.len()).ok_or_else(|| {
        let there: Vec<&str> = header.iter().collect();
        Failure::new(Kind::Refused, format!("there is no column {column:?}"))
            .with_detail(format!("the columns are: {}", there.join(", ")))
            .with_hint("is --delimiter right?")
    })
}

fn ambiguous(column: &str, places: &[usize]) -> Failure {
    let numbers: Vec<String> = places.iter().map(|place| (place + 1).to_string()).collect();
    let message = format!("several columns are called {column:?}");
    Failure::new(Kind::Refused, message)
        .with_detail(format!("their numbers: {}", numbers.join(", ")))
        .with_hint("name the one that is meant by its number")
}

impl Columns {
    fn code(&self, text: &str) -> String {
        match &self.blanks_as {
            Some(other) => text.replace(' ', other),
            None => text.to_owned(),
        }
    }

    fn line_id(&self, text: &str) -> String {
        let code = self.code(text);
        if code.contains(':') {
            code
        } else {
            format!("{}:{code}", self.operator)
        }
    }

    /// The local time of an hour and minute of a service day.
    fn local(&self, date: Date, (hour, minute): (u32, i8)) -> Result<DateTime, String> {
        let is_next = HOURS_PER_DAY <= hour || hour < self.day_begins;
        let date = match is_next {
            true => date
                .checked_add(1.day())
                .map_err(|_| "is no day".to_owned())?,
            false => date,
        };
        let hour = i8::try_from(hour % HOURS_PER_DAY).expect("0 to 23");
        let is_quarter = minute % 15 == 0;
        match self.interval {
            TapInterval::Quarter if !is_quarter => return Err("is no whole quarter".into()),
            TapInterval::Hour if minute != 0 => return Err("is no whole hour".into()),
            TapInterval::Quarter | TapInterval::Hour | TapInterval::Day => {}
        }
        let time = Time::new(hour, minute, 0, 0).map_err(|_| "is no time".to_owned())?;
        Ok(date.to_datetime(time))
    }

    /// When an interval of this local time may begin. Where clocks go back, the second of two equal
    /// lines is of the second hour. A service day that would begin in an hour that clocks skip, or
    /// show twice, begins after the gap, or the first time.
    fn starts(&self, local: DateTime) -> Result<[Timestamp; 2], String> {
        let ambiguous = AMSTERDAM.to_ambiguous_timestamp(local);
        let starts = match (self.interval, ambiguous.offset()) {
            (TapInterval::Day, _) | (_, AmbiguousOffset::Unambiguous { .. }) => {
                [ambiguous.compatible(), ambiguous.compatible()]
            }
            (_, AmbiguousOffset::Gap { .. }) => {
                return Err("does not exist: clocks skip it".into());
            }
            (_, AmbiguousOffset::Fold { .. }) => [ambiguous.earlier(), ambiguous.later()],
        };
        let [first, second] = starts.map(|start| start.map_err(|_| "is out of range".to_owned()));
        Ok([first?, second?])
    }
}

/// The first of the times at which an interval may begin that was not told before.
fn once<S: Hash>(
    seen: &mut HashSet<u64>,
    scope: &S,
    starts: [Timestamp; 2],
) -> Result<Timestamp, String> {
    for start in starts {
        let mut hasher = DefaultHasher::new();
        scope.hash(&mut hasher);
        start.as_second().hash(&mut hasher);
        if seen.insert(hasher.finish()) {
            return Ok(start);
        }
    }
    Err("was told for the same line and stop before".into())
}

fn parse_taps(text: &str) -> Result<u64, String> {
    let taps = text.parse::<u64>().ok();
    let taps = taps.filter(|taps| *taps <= u64::from(TAPS_PER_COUNT_MAX));
    taps.ok_or_else(|| "must be a whole number, 0 to 1000000000".to_owned())
}

fn parse_hour(text: &str) -> Result<(u32, i8), String> {
    let hour = text.parse::<u32>().ok().filter(|hour| *hour <= HOUR_MAX);
    let hour = hour.ok_or_else(|| format!("must be an hour, 0 to {HOUR_MAX}"))?;
    Ok((hour, 0))
}

fn parse_time(text: &str) -> Result<(u32, i8), String> {
    let parse = || {
        let (hour, rest) = text.split_once(':')?;
        let (minute, second) = rest.split_once(':').unwrap_or((rest, "0"));
        let hour = hour.parse::<u32>().ok().filter(|hour| *hour <= HOUR_MAX)?;
        let minute = minute
            .parse::<i8>()
            .ok()
            .filter(|minute| (0..60).contains(minute))?;
        (second.parse::<u32>() == Ok(0)).then_some((hour, minute))
    };
    parse().ok_or_else(|| "must be a time, as 07:15".to_owned())
}

fn unreadable(error: &csv::Error) -> Failure {
    let cause: &dyn Error = match error.kind() {
        csv::ErrorKind::Io(cause) => cause,
        _ => error,
    };
    Failure::caused(Kind::Refused, "the table cannot be read", cause)
}

/// A line that is no text is refused like any other that is wrong; all else ends the reading.
fn not_text(line: u64, error: &csv::Error) -> Result<Refused, Failure> {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => Ok(Refused {
            line,
            column: String::new(),
            reason: "is no UTF-8 text".into(),
        }),
        _ => Err(unreadable(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::domain::limits::TABLE_ROW_BYTES_MAX;

    fn columns() -> Columns {
        Columns {
            date: "Date".into(),
            date_format: "%Y-%m-%d".into(),
            hour: Some("hour".into()),
            time: None,
            stop: Some("Station".into()),
            line: None,
            count: "4".into(),
            blanks_as: Some("_".into()),
            operator: "BMRCL".into(),
            interval: TapInterval::Hour,
            day_begins: 0,
        }
    }

    fn open(table: &[u8], columns: &Columns) -> Result<Rows, Failure> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(table).expect("room");
        let source = Source::find(file.path(), None, b';').expect("a table");
        Rows::open(&source, columns)
    }

    fn read(table: &str, columns: &Columns) -> Vec<Result<Row, Refused>> {
        let mut rows = open(table.as_bytes(), columns).expect("all columns");
        std::iter::from_fn(|| rows.next().expect("readable")).collect()
    }

    fn start(row: &Result<Row, Refused>) -> String {
        let row = row.as_ref().expect("a count");
        let start = row.count.start.expect("always there");
        Timestamp::from_second(start.seconds)
            .expect("in range")
            .to_string()
    }

    #[test]
    fn each_wrong_line_is_told_with_column_and_reason() {
        let table = "Date;Hour;Station;Ridership\n\
                     2025-08-01;7;South End Circle;12\n\
                     2025-08-32;7;Trinity;12\n\
                     2025-08-01;48;Trinity;12\n\
                     2025-08-01;7;Trinity;-1\n\
                     2025-08-01;7;;1\n\
                     2025-08-01;7\n\
                     2025-08-01;7;South End Circle;13\n\
                     2025-08-01;7;Tr\u{ed}nity;1\n\
                     2025-08-01;8;Trinity;0\n";
        let rows = read(table, &columns());
        let good: Vec<_> = rows.iter().filter_map(|row| row.as_ref().ok()).collect();
        assert_eq!(good.len(), 2);
        assert_eq!(
            (good[0].line, &*good[0].count.stop_id),
            (2, "South_End_Circle")
        );
        assert_eq!(start(&rows[0]), "2025-08-01T05:00:00Z");
        let wrong: Vec<_> = rows
            .iter()
            .filter_map(|row| row.as_ref().err())
            .map(|refused| (refused.line, refused.column.as_str()))
            .collect();
        let expected = [
            (3, "Date"),
            (4, "hour"),
            (5, "4"),
            (6, "Station"),
            (7, "Station"),
            (8, "hour"),
            (9, "Station"),
        ];
        assert_eq!(wrong, expected);
    }

    #[test]
    fn wrong_line_has_its_number_whatever_ends_lines() {
        let table = "Date;Hour;Station;Ridership\n\
                     2025-08-01;7;\"South\nEnd\";1\n\n\n\
                     2025-08-32;7;Trinity;1\n\
                     2025-08-01;7;\"Trinity\n;1\n\";1";
        for ends in ["\n", "\r\n", "\r"] {
            let rows = read(&table.replace('\n', ends), &columns());
            let wrong = rows.iter().filter_map(|row| row.as_ref().err());
            let lines: Vec<_> = wrong.map(|refused| refused.line).collect();
            assert_eq!(lines, [2, 6, 7], "{ends:?}");
        }
    }

    #[test]
    fn line_that_is_no_text_is_told_with_its_number() {
        let table = b"Date;Hour;Station;Ridership\r\n\r\n2025-08-01;7;\xe9;1\r\n";
        let mut rows = open(table, &columns()).expect("all columns");
        let row = rows.next().expect("readable").expect("a line");
        assert_eq!(row.expect_err("no text").line, 3);
        assert_eq!(rows.next().expect("readable"), None);
        assert_eq!(rows.bytes(), table.len() as u64);
    }

    #[test]
    fn line_that_never_ends_ends_the_reading_naming_where_it_begins() {
        let mut table =
            "Date;Hour;Station;Ridership\r\n\r\n2025-08-01;7;\"Trinity;1\r\n".to_owned();
        table.push_str(&"2025-08-01;7;Trinity;1\r\n".repeat(TABLE_ROW_BYTES_MAX / 20));
        let mut rows = open(table.as_bytes(), &columns()).expect("all columns");
        let failure = rows.next().expect_err("too long").to_string();
        assert_eq!(failure.matches("from line 3 on").count(), 1, "{failure}");
    }

    #[test]
    fn service_day_begins_after_an_hour_that_clocks_skip_and_once_in_one_that_they_show_twice() {
        let columns = Columns {
            hour: None,
            interval: TapInterval::Day,
            day_begins: 2,
            ..columns()
        };
        let table = "Date;hour;Station;4\n2026-03-28;;A;1\n2026-03-29;;A;1\n2026-10-25;;A;1\n\
                     2026-10-25;;A;1\n";
        let rows = read(table, &columns);
        let starts: Vec<_> = rows[..3].iter().map(start).collect();
        let expected = [
            "2026-03-28T01:00:00Z",
            "2026-03-29T01:00:00Z",
            "2026-10-25T00:00:00Z",
        ];
        assert_eq!(starts, expected);
        assert!(rows[3].is_err(), "told twice");
    }

    #[test]
    fn hours_of_service_days_lie_in_the_night_after() {
        let columns = Columns {
            day_begins: 4,
            ..columns()
        };
        let table =
            "date;hour;station;taps\n2026-11-23;4;A;1\n2026-11-23;1;A;1\n2026-11-23;27;A;1\n";
        let starts: Vec<_> = read(table, &columns).iter().map(start).collect();
        let expected = [
            "2026-11-23T03:00:00Z",
            "2026-11-24T00:00:00Z",
            "2026-11-24T02:00:00Z",
        ];
        assert_eq!(starts, expected);
    }

    #[test]
    fn repeated_hour_of_october_is_told_twice_and_the_skipped_one_of_march_never() {
        let table = "date;hour;station;taps\n\
                     2026-10-25;2;A;1\n2026-10-25;2;A;2\n2026-10-25;2;A;3\n2026-03-29;2;A;1\n";
        let rows = read(table, &columns());
        assert_eq!(start(&rows[0]), "2026-10-25T00:00:00Z");
        assert_eq!(start(&rows[1]), "2026-10-25T01:00:00Z");
        assert!(rows[2].is_err() && rows[3].is_err());
    }

    #[test]
    fn times_must_be_whole_intervals() {
        let check = |time: &str, interval, expected: Option<&str>| {
            let columns = Columns {
                hour: None,
                time: Some("hour".into()),
                interval,
                ..columns()
            };
            let table = format!("date;hour;station;taps\n2026-11-23;{time};A;1\n");
            let rows = read(&table, &columns);
            match expected {
                Some(expected) => assert_eq!(start(&rows[0]), expected, "{time}"),
                None => assert!(rows[0].is_err(), "{time}"),
            }
        };
        check("07:15", TapInterval::Quarter, Some("2026-11-23T06:15:00Z"));
        check(
            "07:15:00",
            TapInterval::Quarter,
            Some("2026-11-23T06:15:00Z"),
        );
        check("7:00", TapInterval::Hour, Some("2026-11-23T06:00:00Z"));
        check("24:30", TapInterval::Quarter, Some("2026-11-23T23:30:00Z"));
        for wrong in ["07:10", "7", "07:60", "07:15:30", "-1:15", "48:00", ""] {
            check(wrong, TapInterval::Quarter, None);
        }
        check("07:15", TapInterval::Hour, None);
    }

    #[test]
    fn lines_get_their_operator_in_front() {
        let columns = Columns {
            stop: None,
            line: Some("station".into()),
            hour: None,
            interval: TapInterval::Day,
            operator: "GVB".into(),
            ..columns()
        };
        let table = "date;hour;station;taps\n2026-11-23;;10;1\n2026-11-23;;GVB:12;1\n";
        let rows = read(table, &columns);
        let ids: Vec<_> = rows
            .iter()
            .map(|row| row.as_ref().expect("a count").count.line_id.as_str())
            .collect();
        assert_eq!(ids, ["GVB:10", "GVB:12"]);
        assert_eq!(start(&rows[0]), "2026-11-22T23:00:00Z");
    }

    #[test]
    fn line_with_more_cells_than_the_header_is_refused_unless_they_are_empty() {
        let check = |header: &str, line: &str, is_taken: bool| {
            let columns = Columns {
                count: "taps".into(),
                ..columns()
            };
            let rows = read(&format!("{header}\n{line}\n"), &columns);
            let refused = rows[0].as_ref().err();
            let said = refused.map(|refused| (refused.column.as_str(), refused.reason.as_str()));
            let expected = (
                "",
                "has more cells than the header: is a separator not quoted?",
            );
            assert_eq!(said, (!is_taken).then_some(expected), "{line}");
        };
        let header = "date;hour;station;taps";
        check(header, "2026-11-05;10;A;1;000", false);
        check(header, "2026-11-05;10;A;1;;0", false);
        check(header, "2026-11-05;10;A;\"1000\";; ;", true);
        check("date;hour;station;taps;;", "2026-11-05;10;A;1;000;", false);
        check(
            "date;hour;station;taps;;note",
            "2026-11-05;10;A;1;x;y",
            true,
        );
        check("date;hour;station;;taps", "2026-11-05;10;A;x;1;000", false);
    }

    #[test]
    fn column_that_two_headings_name_is_refused_and_its_number_is_not() {
        let table = b"date;hour;station;taps;Taps\n2026-11-05;10;A;1;2\n";
        let taps = |count: &str| {
            let columns = Columns {
                count: count.into(),
                ..columns()
            };
            let mut rows = open(table, &columns)?;
            let row = rows.next()?.expect("a line").expect("a count");
            Ok::<_, Failure>(row.count.taps)
        };
        let refused = taps("taps").expect_err("either of two").to_string();
        assert!(refused.contains("several columns are called"), "{refused}");
        assert!(refused.contains("numbers: 4, 5"), "{refused}");
        assert_eq!(taps("5").expect("one of them"), 2);
    }

    #[test]
    fn empty_table_is_told_as_empty() {
        for table in ["", "\n\r\n"] {
            let refused = open(table.as_bytes(), &columns()).err().expect("no header");
            assert_eq!(refused.kind(), Kind::Refused);
            assert!(
                refused.to_string().contains("the table is empty"),
                "{refused}"
            );
        }
    }

    #[test]
    fn missing_column_is_told_with_those_that_are_there() {
        let refused = open(b"a,b\n1,2\n", &columns())
            .err()
            .expect("no such column");
        assert!(refused.to_string().contains("a,b"), "{refused}");
    }
}
