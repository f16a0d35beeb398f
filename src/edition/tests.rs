//! Tests of editions, each on a journal with made-up entries.

mod any_order;
mod counted;
mod ended;
mod kept;
mod late;
mod missing;
mod placed;
mod quarter;
mod rated;
mod rekeyed;
mod restored;
mod staff;
mod twice;

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;

use super::format::{Edition, Hash, METHOD, Row};
use super::library::{Closed, EditionError, Library, Prepared, Verdict};
use super::{close, month};
use crate::domain::entry::ClosedEdition;
use crate::domain::incident::CauseClaim;
use crate::domain::taps::{
    TapBatch, TapCount, TapFeed, TapGrain, TapKinds, TapScope, TapSlot, Taps,
};
use crate::domain::taxonomy::{
    CardKind, Cause, ClaimSource, Outcome, ReporterKind, StaffAct, StaffPresence, TapKind,
    TimePrecision,
};
use crate::domain::testing::{blank_facts, feed_of_gvb, id_made_at, personal};
use crate::domain::time::{DAY_MS, HOUR_MS};
use crate::domain::{
    Entry, Facts, LocalDay, LocalMonth, Outage, OutageChange, Personal, Position, Pseudonym,
    RowTime, UtcMillis,
};
use crate::journal::{self, Reader, SEGMENT_BYTES_MIN, Settings, Writer, encode};

/// A journal with made-up entries.
struct Record {
    folder: tempfile::TempDir,
    writer: Writer,
    reader: Reader,
    made: u64,
}

impl Record {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            segment_bytes: SEGMENT_BYTES_MIN,
            sync: false,
        };
        let (writer, reader, _) =
            journal::open(&folder.path().join("journal"), settings).expect("a journal");
        Self {
            folder,
            writer,
            reader,
            made: 0,
        }
    }

    fn library(&self) -> Library {
        Library::open(self.folder.path(), self.reader.clone()).expect("readable")
    }

    fn append(&mut self, at: UtcMillis, entry: &Entry) -> Position {
        self.writer.append(&[encode(entry)], at).expect("room");
        self.reader.last()
    }

    /// Facts of a tap, with an id of its own.
    fn facts(&mut self, tapped: UtcMillis) -> Facts {
        self.made += 1;
        let id = id_made_at(UtcMillis(0), self.made);
        let time = RowTime::Hour(tapped.hour().expect("a supported year"));
        blank_facts(id, time, TimePrecision::Exact)
    }

    /// Records a report of an installation.
    fn tell(&mut self, at: UtcMillis, facts: Facts, installation: u32) -> Position {
        let mut pseudonym = [0; 16];
        pseudonym[..4].copy_from_slice(&installation.to_be_bytes());
        let personal = Personal {
            installation: Some(Pseudonym(pseudonym)),
            ..personal(at)
        };
        let entry = Entry::Incident {
            facts: Box::new(facts),
            personal: Some(Box::new(personal)),
        };
        self.append(at, &entry)
    }

    /// A report of GVB, told at once by an installation of its own.
    fn tell_of_gvb(&mut self, at: UtcMillis) {
        let facts = Facts {
            operator: Some("GVB".parse().expect("a code")),
            line: Some("GVB:10".parse().expect("a line")),
            ..self.facts(at)
        };
        let installation = u32::try_from(self.made).expect("few");
        self.tell(at, facts, installation);
    }

    fn make(&self, month: &str) -> Option<Edition> {
        let made = close::make(&self.reader, of(month), |_| None).expect("readable");
        made.map(|made| made.edition)
    }

    /// Closes a month as the service does.
    fn close(&mut self, library: &Library, month: &str) -> Closed {
        match library.prepare(of(month)).expect("prepared") {
            Prepared::Ready(ready) => {
                let at = UtcMillis(self.writer.last_stamp().0 + 1);
                let closed = Closed {
                    month: ready.month,
                    hash: Hash(ready.sha256),
                    method: ready.method,
                    position: self.append(at, &Entry::EditionClosed(ready)),
                };
                library.keep(closed).expect("written");
                closed
            }
            other => panic!("{other:?}"),
        }
    }
}

fn of(text: &str) -> LocalMonth {
    month::parse(text).expect("a month")
}

fn amsterdam(text: &str) -> UtcMillis {
    let local: jiff::civil::DateTime = text.parse().expect("a local time");
    let zone = TimeZone::get("Europe/Amsterdam").expect("bundled");
    let at = zone
        .to_ambiguous_timestamp(local)
        .compatible()
        .expect("a time");
    UtcMillis(at.as_millisecond())
}

/// When a month closes, and which month a tap lies in, by the calendar alone.
fn closing(month: Date) -> UtcMillis {
    let day = month
        .checked_add(1.month())
        .expect("a date")
        .with()
        .day(22)
        .build();
    amsterdam(&format!("{}T00:00", day.expect("a date")))
}

fn month_of(tapped: UtcMillis) -> Date {
    let at = Timestamp::from_millisecond(tapped.0).expect("a time");
    let zone = TimeZone::get("Europe/Amsterdam").expect("bundled");
    at.to_zoned(zone).date().first_of_month()
}

fn total(edition: &Edition, operator: &str) -> Option<u64> {
    let is_total = |row: &&Row| {
        row.basis == "self-reported" && row.dimension == "total" && row.operator_code == operator
    };
    edition.rows.iter().find(is_total).map(|row| row.count)
}

/// What it tells of a line, for days of a month from 0 up.
fn taps_of_line(line: &str, month: &str, per_day: u64, days: std::ops::Range<i32>) -> Entry {
    taps(&feed_of_gvb("gvb"), line, month, per_day, days)
}

/// The same of any feed of lines.
fn taps(
    feed: &TapFeed,
    line: &str,
    month: &str,
    per_day: u64,
    days: std::ops::Range<i32>,
) -> Entry {
    let first = month::first_day(of(month)).0;
    let counts = days.map(|day| TapCount {
        scope: TapScope::Line(line.parse().expect("a line")),
        slot: TapSlot {
            day: LocalDay(first + day),
            slot: 0,
        },
        taps: Taps::new(per_day).expect("few"),
    });
    let batch = TapBatch::pack(feed, counts).remove(0);
    Entry::TapCounts(Box::new(batch))
}

/// A record with one closed edition.
fn closed() -> (Record, Library, Closed) {
    let mut record = Record::new();
    for _ in 0..12 {
        record.tell_of_gvb(amsterdam("2026-10-20T10:00"));
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let library = record.library();
    let closed = record.close(&library, "2026-10");
    (record, library, closed)
}

/// A record of a quarter with three closed editions, and with a line that stands in no month.
fn closed_quarter() -> (Record, Library) {
    closed_quarter_after(&[])
}

/// The same after reports of GVB: when they came, and when their taps were.
fn closed_quarter_after(before: &[(&str, &str)]) -> (Record, Library) {
    let (mut record, library) = told_quarter_after(before);
    for month in ["2026-07", "2026-08", "2026-09"] {
        record.close(&library, month);
    }
    (record, library)
}

/// The same with no edition closed.
fn told_quarter_after(before: &[(&str, &str)]) -> (Record, Library) {
    let mut record = Record::new();
    for (at, tapped) in before {
        let facts = Facts {
            operator: Some("GVB".parse().expect("a code")),
            ..record.facts(amsterdam(tapped))
        };
        record.tell(amsterdam(at), facts, 90_000);
    }
    let tell = |record: &mut Record, at: &str, line: &str, count: u32, first: u32| {
        let at = amsterdam(at);
        for place in 0..count {
            let facts = record.facts(at);
            let line: crate::domain::LineId = line.parse().expect("a line");
            let facts = Facts {
                operator: Some(line.operator()),
                line: Some(line),
                tap_kind: Some(TapKind::CheckIn),
                ..facts
            };
            record.tell(at, facts, first + place);
        }
    };
    let library = record.library();
    for (number, month) in ["2026-07", "2026-08", "2026-09"].into_iter().enumerate() {
        let day = format!("{month}-10T12:00");
        let first = 1_000 * u32::try_from(number).expect("three");
        tell(&mut record, &day, "GVB:1", 40, first);
        tell(&mut record, &day, "GVB:2", 8, first + 100);
        tell(&mut record, &day, "GVB:3", 9, first + 200);
        let days = [31, 31, 30][number];
        let taps = taps_of_line("GVB:3", month, 1_000, 0..days);
        record.append(amsterdam(&format!("{month}-28T12:00")), &taps);
    }
    record.append(amsterdam("2026-10-22T00:00"), &Entry::Tick);
    (record, library)
}
