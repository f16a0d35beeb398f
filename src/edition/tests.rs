//! Tests of closing: what counts for which month, and that an edition never changes.

mod ended;
mod late;
mod missing;
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
    DayBegin, Refusals, TapBatch, TapCount, TapFeed, TapGrain, TapInterval, TapKinds, TapScope,
    TapSlot, Taps,
};
use crate::domain::taxonomy::{
    CardKind, Cause, ClaimSource, Outcome, ReporterKind, StaffAct, StaffPresence, TapKind,
    TimePrecision,
};
use crate::domain::testing::{blank_facts, personal};
use crate::domain::{
    Entry, Facts, IncidentId, LocalDay, LocalMonth, Outage, OutageChange, Personal, Position,
    Pseudonym, RowTime, UtcMillis,
};
use crate::journal::{self, Reader, SEGMENT_BYTES_MIN, Settings, Writer, encode};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

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
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.made.to_be_bytes());
        bytes[6] = 0x70;
        bytes[8] = 0x80;
        bytes[9..].copy_from_slice(&self.made.to_be_bytes()[1..]);
        let id = IncidentId::from_bytes(bytes).expect("version 7");
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

fn total(edition: &Edition, operator: &str) -> Option<u64> {
    let is_total = |row: &&Row| {
        row.basis == "self-reported" && row.dimension == "total" && row.operator_code == operator
    };
    edition.rows.iter().find(is_total).map(|row| row.count)
}

#[test]
fn month_is_closed_only_when_the_journal_has_passed_its_closing() {
    let mut record = Record::new();
    for _ in 0..12 {
        record.tell_of_gvb(amsterdam("2026-10-31T23:30"));
    }
    record.append(amsterdam("2026-11-21T23:59"), &Entry::Tick);
    assert!(record.make("2026-10").is_none());
    assert!(record.library().due().expect("readable").is_empty());
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    assert_eq!(record.library().due().expect("readable"), [of("2026-10")]);
    let edition = record.make("2026-10").expect("over");
    assert_eq!(total(&edition, ""), Some(12));
    assert_eq!(total(&edition, "GVB"), Some(12));
    // The record began on the last day of the month.
    assert_eq!(
        edition.counted_since.as_deref(),
        Some("2026-10-31T22:30:00Z")
    );
}

#[test]
fn journal_that_is_empty_has_no_editions() {
    let record = Record::new();
    assert!(record.library().due().expect("readable").is_empty());
    assert!(record.make("2026-10").is_none());
}

#[test]
fn what_comes_on_day_22_is_too_late_and_counted_as_such() {
    let mut record = Record::new();
    let tapped = amsterdam("2026-10-31T12:00");
    for _ in 0..15 {
        record.tell_of_gvb(tapped);
    }
    let late = |record: &mut Record, at, count| {
        for _ in 0..count {
            let facts = record.facts(tapped);
            let installation = 1_000 + u32::try_from(record.made).expect("few");
            record.tell(at, facts, installation);
        }
    };
    late(&mut record, amsterdam("2026-11-21T23:59"), 3);
    late(&mut record, amsterdam("2026-11-22T00:00"), 11);
    // Devices are no people, and never added to them.
    for _ in 0..12 {
        let facts = Facts {
            reporter: ReporterKind::Device,
            ..record.facts(tapped)
        };
        record.tell(amsterdam("2026-11-22T00:00"), facts, 5_000);
    }
    record.append(amsterdam("2026-12-22T00:00"), &Entry::Tick);
    let october = record.make("2026-10").expect("over");
    assert_eq!((total(&october, ""), october.too_late), (Some(18), Some(0)));
    let november = record.make("2026-11").expect("over");
    assert_eq!((total(&november, ""), november.too_late), (None, Some(11)));
}

#[test]
fn surplus_reports_of_one_reporter_are_left_out_and_told() {
    let mut record = Record::new();
    let at = amsterdam("2026-10-05T12:00");
    for _ in 0..15 {
        record.tell_of_gvb(at);
    }
    let surplus = |record: &mut Record, people: u32| {
        for (day, person) in (0..25).flat_map(|day| (0..people).map(move |one| (day, one))) {
            let at = UtcMillis(at.0 + day * DAY_MS);
            let facts = record.facts(at);
            record.tell(at, facts, 77_777 + person);
        }
    };
    surplus(&mut record, 1);
    let mut other = Record::new();
    surplus(&mut other, 10);
    for record in [&mut record, &mut other] {
        record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    }
    let figures = |record: &Record| {
        let edition = record.make("2026-10").expect("over");
        (total(&edition, ""), edition.left_out)
    };
    // Whoever told too much alone is not told of.
    assert_eq!(figures(&record), (Some(25), None));
    assert_eq!(figures(&other), (Some(100), Some(150)));
}

#[test]
fn day_parts_hold_only_what_was_recorded_by_noon_of_the_next() {
    let mut record = Record::new();
    // The clock changes in the night between.
    let tapped = amsterdam("2026-10-24T18:00");
    for (at, count) in [("2026-10-25T11:59", 12), ("2026-10-25T12:00", 14)] {
        for _ in 0..count {
            let facts = record.facts(tapped);
            let installation = u32::try_from(record.made).expect("few");
            record.tell(amsterdam(at), facts, installation);
        }
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    // Nobody named an operator, so that "not said" is the whole.
    let days = edition.rows.iter().filter(|row| row.dimension == "day");
    let days: Vec<_> = days.map(|row| (row.key.as_str(), row.count)).collect();
    assert_eq!(days, [("2026-10-24", 12), ("recorded-later", 14)]);
}

#[test]
fn staff_figures_are_shares_of_those_who_answered() {
    let mut record = Record::new();
    let at = amsterdam("2026-10-05T12:00");
    for place in 0..120 {
        let facts = record.facts(at);
        let (act, ending) = match place {
            0..40 => (Some(StaffAct::LetRideFree), Outcome::FreeRide),
            40..80 => (Some(StaffAct::CouldNotHelp), Outcome::Surcharged),
            _ => (None, Outcome::TravelledOn),
        };
        let facts = Facts {
            operator: Some("GVB".parse().expect("a code")),
            staff_present: (place < 100).then_some(StaffPresence::Yes),
            staff_acts: act.into_iter().collect(),
            outcomes: (place % 2 == 0).then_some(ending).into_iter().collect(),
            ..facts
        };
        record.tell(at, facts, place);
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    let share = |key: &str, answer: &str| {
        let mut rows = edition.rows.iter();
        let row = rows.find(|row| row.key == key && row.answer == answer)?;
        Some((row.count, row.rate, row.low, row.high))
    };
    // Forty of the eighty who answered: those who did not are no "no".
    let (count, rate, low, high) = share("could-not-help", "yes").expect("published");
    assert_eq!((count, rate), (40, Some(0.5)));
    // By Wilson, z = 1.959964.
    assert_eq!((low, high), (Some(0.392974), Some(0.607026)));
    // Help and harm stand on those who answered both.
    for key in ["any-that-helps", "any-that-harms"] {
        let found = share(key, "yes").map(|found| (found.0, found.1));
        assert_eq!(found, Some((20, Some(0.5))), "{key}");
    }
    assert_eq!(share("with-staff", "no").map(|found| found.0), Some(40));
}

#[test]
fn causes_stand_by_their_source_and_refused_barcodes_within_their_tickets() {
    let mut record = Record::new();
    let at = amsterdam("2026-10-05T12:00");
    for place in 0..60 {
        let facts = record.facts(at);
        let is_barcode = place < 20;
        let cause = if place < 14 {
            Cause::BarcodeRejected
        } else {
            Cause::ReaderFault
        };
        let facts = Facts {
            operator: Some("NS".parse().expect("a code")),
            card_kind: Some(if is_barcode {
                CardKind::BarcodeTicket
            } else {
                CardKind::Student
            }),
            cause_claims: [CauseClaim {
                cause,
                source: ClaimSource::Display,
            }]
            .into_iter()
            .collect(),
            outcomes: [Outcome::TravelledOn].into_iter().collect(),
            ..facts
        };
        record.tell(at, facts, place);
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    let of = |dimension: &str| {
        let rows = edition
            .rows
            .iter()
            .filter(move |row| row.dimension == dimension);
        rows.map(|row| (row.key.clone(), row.count))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("card-kind"),
        [("barcode-ticket".into(), 20), ("student".into(), 40)]
    );
    // Six barcode tickets failed for another reason: causes would tell so.
    assert_eq!(of("cause"), []);
}

#[test]
fn what_devices_observed_is_counted_apart_and_by_taps() {
    let mut record = Record::new();
    let at = amsterdam("2026-10-05T12:00");
    for _ in 0..30 {
        let facts = record.facts(at);
        let facts = Facts {
            reporter: ReporterKind::Device,
            operator: Some("RET".parse().expect("a code")),
            ..facts
        };
        // One card, thirty times.
        record.tell(at, facts, 1);
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    assert_eq!(total(&edition, ""), None);
    let observed = edition.rows.iter().find(|row| row.basis == "observed");
    assert_eq!(observed.map(|row| row.count), Some(30));
    assert_eq!(edition.left_out, Some(0));
}

/// A feed of GVB's check-ins by line and day, and what it tells of line 10.
fn taps_of_line_10(per_day: u64, days: std::ops::Range<i32>) -> Entry {
    taps_of_line("GVB:10", "2026-10", per_day, days)
}

/// The same of any line, for days of a month from 0 up.
fn taps_of_line(line: &str, month: &str, per_day: u64, days: std::ops::Range<i32>) -> Entry {
    let feed = TapFeed {
        id: "gvb".parse().expect("a name"),
        operator: "GVB".parse().expect("a code"),
        grain: TapGrain::Line,
        interval: TapInterval::Day,
        kinds: TapKinds::new([TapKind::CheckIn].into_iter().collect()).expect("a tap"),
        refusals: Refusals::Excluded,
        day_begin: DayBegin::new(0).expect("midnight"),
    };
    let first = month::first_day(of(month)).0;
    let counts = days.map(|day| TapCount {
        scope: TapScope::Line(line.parse().expect("a line")),
        slot: TapSlot {
            day: LocalDay(first + day),
            slot: 0,
        },
        taps: Taps::new(per_day).expect("few"),
    });
    let batch = TapBatch::pack(&feed, counts).remove(0);
    Entry::TapCounts(Box::new(batch))
}

/// 40 reports of line 10, by 27 installations, and others of line 1, set against taps; the row
/// of line 10.
fn row_of_line_10(kind: Option<TapKind>, others: u32, taps: &[Entry]) -> Row {
    let edition = edition_with_line_10(kind, others, taps, |number| number % 31);
    let mut rows = edition.rows.into_iter();
    rows.find(|row| row.key == "GVB:10").expect("published")
}

/// The same with a day for each report, counted from the first of the month.
fn edition_with_line_10(
    kind: Option<TapKind>,
    others: u32,
    taps: &[Entry],
    day: impl Fn(u32) -> u32,
) -> Edition {
    let mut record = Record::new();
    let mut numbers: Vec<u32> = (0..40 + others).collect();
    numbers.sort_by_key(|number| day(*number));
    for number in numbers {
        let at = UtcMillis(amsterdam("2026-10-01T12:00").0 + i64::from(day(number)) * DAY_MS);
        let installation = if number < 40 { number % 27 } else { number };
        let line = if number < 40 { "GVB:10" } else { "GVB:1" };
        let facts = Facts {
            operator: Some("GVB".parse().expect("a code")),
            line: Some(line.parse().expect("a line")),
            tap_kind: kind,
            ..record.facts(at)
        };
        record.tell(at, facts, installation);
    }
    for taps in taps {
        record.append(amsterdam("2026-11-02T12:00"), taps);
    }
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    record.make("2026-10").expect("over")
}

#[test]
fn interval_of_a_line_is_widened_by_its_share_of_the_days_scatter() {
    let taps = [taps_of_line_10(10_000, 0..30)];
    // Every eighth report of line 1 is of one bad day.
    let day = |number: u32| match number {
        0..40 => number % 30,
        _ if number.is_multiple_of(8) => 5,
        _ => number / 2 % 30,
    };
    let edition = edition_with_line_10(Some(TapKind::CheckIn), 1_200, &taps, day);
    let days = edition.rows.iter();
    let days = days.filter(|row| row.dimension == "day" && row.key.starts_with("2026"));
    let counts: Vec<f64> = days.map(|row| row.count as f64).collect();
    assert!(20 < counts.len(), "{counts:?}");
    let (sum, mean) = (
        counts.iter().sum::<f64>(),
        counts.iter().sum::<f64>() / counts.len() as f64,
    );
    let scatter = counts.iter().map(|count| (count - mean).powi(2) / mean);
    let of_all = scatter.sum::<f64>() / (counts.len() as f64 - 1.0);
    let of_line = 1.0 + (of_all - 1.0) * 40.0 / sum;
    let row = edition.rows.iter().find(|row| row.key == "GVB:10");
    let row = row.expect("published");
    let method = row.interval_method.as_deref();
    assert_eq!(
        method,
        Some(&*format!("garwood 0.95 dispersion {of_line:.2}"))
    );
    assert!(
        1.3 < of_line && of_line < of_all / 5.0,
        "{of_line} {of_all}"
    );
    let ends = (row.low.expect("a rate"), row.high.expect("a rate"));
    // Alone it would be 9.5 to 18.2, and far wider with the operator's dispersion.
    assert!(
        5.0 < ends.0 && ends.0 < 9.5 && 18.2 < ends.1 && ends.1 < 27.0,
        "{ends:?}"
    );
}

#[test]
fn line_of_the_worked_example_has_the_rate_and_interval_of_the_literature() {
    // 31 days of 10,000 taps, of which the last is told again: 300,000.
    let taps = [taps_of_line_10(10_000, 0..31), taps_of_line_10(0, 30..31)];
    let row = row_of_line_10(Some(TapKind::CheckIn), 20, &taps);
    assert_eq!(
        (row.count, row.taps, row.coverage),
        (40, Some(300_000), Some(1.0))
    );
    assert_eq!(row.no_rate, None);
    let printed = |value: Option<f64>| format!("{:.1}", value.expect("a rate"));
    let figures = [row.rate, row.low, row.high].map(printed);
    assert_eq!(figures, ["13.3", "9.5", "18.2"]);
    assert_eq!(row.unit.as_deref(), Some("per-100000-taps"));
    assert_eq!(
        row.interval_method.as_deref(),
        Some("garwood 0.95 dispersion not estimated")
    );
    let source = row.denominator_source.expect("taps");
    assert_eq!(source, "feed gvb: check-in by line and day");
}

#[test]
fn row_without_a_rate_says_why() {
    let reason = |kind, taps: &[Entry]| row_of_line_10(kind, 20, taps).no_rate;
    let check_in = Some(TapKind::CheckIn);
    let whole = taps_of_line_10(10_000, 0..31);
    assert_eq!(reason(check_in, &[]).as_deref(), Some("no denominator"));
    let half = taps_of_line_10(10_000, 0..15);
    assert_eq!(
        reason(check_in, &[half]).as_deref(),
        Some("days-not-covered")
    );
    let none = taps_of_line_10(0, 0..31);
    assert_eq!(reason(check_in, &[none]).as_deref(), Some("zero-taps"));
    assert_eq!(
        reason(None, &[whole]).as_deref(),
        Some("reports-not-matched")
    );
}

#[test]
fn operator_with_fewer_than_fifty_reports_has_counts_and_no_rates() {
    let mut record = Record::new();
    for number in 0..49 {
        let at = amsterdam("2026-10-05T12:00");
        let facts = Facts {
            operator: Some("GVB".parse().expect("a code")),
            line: Some(
                ["GVB:10", "GVB:1"][usize::from(number % 2 == 1)]
                    .parse()
                    .expect("a line"),
            ),
            tap_kind: Some(TapKind::CheckIn),
            ..record.facts(at)
        };
        record.tell(at, facts, number);
    }
    record.append(
        amsterdam("2026-11-02T12:00"),
        &taps_of_line_10(10_000, 0..31),
    );
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    let edition = record.make("2026-10").expect("over");
    let mut rows = edition.rows.iter();
    let whole = rows
        .find(|row| row.operator_code == "GVB")
        .expect("the whole");
    // Taps of one line are not those of the operator.
    assert_eq!(whole.no_rate.as_deref(), Some("no denominator"));
    let row = rows.find(|row| row.key == "GVB:10").expect("published");
    assert_eq!(
        (row.rate, row.no_rate.as_deref()),
        (None, Some("too-few-reports"))
    );
    assert_eq!(row.taps, Some(310_000));
}

// === The library ===

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

#[test]
fn closed_edition_is_there_after_a_restart_with_and_without_its_note() {
    let (record, library, closed) = closed();
    assert_eq!(library.list(), [closed]);
    assert_eq!(record.library().list(), [closed]);
    let editions = record.folder.path().join("editions");
    std::fs::remove_file(editions.join("2026-10.note")).expect("there");
    assert_eq!(record.library().list(), [closed]);
    std::fs::write(editions.join("2026-10.note"), "1\n").expect("written");
    assert_eq!(record.library().list(), [closed]);
    let held = library.get(of("2026-10")).expect("whole").expect("closed");
    assert_eq!(Hash::of(&held.bytes), closed.hash);
    assert_eq!(held.edition.to_bytes(), held.bytes);
    assert!(library.get(of("2026-09")).expect("none").is_none());
}

#[test]
fn file_without_its_hash_in_the_journal_is_no_edition() {
    let (record, _, _) = closed();
    let editions = record.folder.path().join("editions");
    std::fs::copy(editions.join("2026-10.json"), editions.join("2026-09.json")).expect("copied");
    std::fs::write(editions.join("2026-09.note"), "13\n").expect("written");
    let months: Vec<_> = record
        .library()
        .list()
        .into_iter()
        .map(|closed| closed.month)
        .collect();
    assert_eq!(months, [of("2026-10")]);
}

#[test]
fn changed_file_is_damage_and_never_shown() {
    let (record, _, _) = closed();
    let path = record.folder.path().join("editions/2026-10.json");
    let text = std::fs::read_to_string(&path).expect("there");
    std::fs::write(&path, text.replace("\"count\":12", "\"count\":13")).expect("written");
    let library = record.library();
    for result in [
        library.get(of("2026-10")).map(drop),
        library.verify(of("2026-10")).map(drop),
    ] {
        assert!(
            matches!(result, Err(EditionError::Damaged { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn lost_file_is_made_again_from_the_journal() {
    let (record, library, closed) = closed();
    let path = record.folder.path().join("editions/2026-10.json");
    let bytes = std::fs::read(&path).expect("there");
    std::fs::remove_dir_all(record.folder.path().join("editions")).expect("removed");
    drop(library);
    let library = record.library();
    assert_eq!(library.list(), []);
    let again = library.prepare(of("2026-10")).expect("made");
    assert!(
        matches!(again, Prepared::Restored(found) if found == closed),
        "{again:?}"
    );
    assert_eq!(std::fs::read(&path).expect("there"), bytes);
}

#[test]
fn edition_is_proved_by_the_journal_or_by_its_hash() {
    let (mut record, library, _) = closed();
    let verify = |library: &Library| library.verify(of("2026-10")).expect("whole");
    assert_eq!(verify(&library), Some(Verdict::Recomputed));
    assert_eq!(library.verify(of("2026-09")).expect("none"), None);
    record.writer.erase_personal(Position(3)).expect("erased");
    record.writer.erase_personal(Position(4)).expect("erased");
    record.writer.erase_personal(Position(5)).expect("erased");
    // Those who told are no longer known to be different.
    assert_eq!(verify(&record.library()), Some(Verdict::Erased(3)));
}

#[test]
fn edition_that_the_journal_does_not_give_differs() {
    let (mut record, library, _) = closed();
    let other = Edition {
        too_late: Some(10),
        ..library
            .get(of("2026-10"))
            .expect("whole")
            .expect("closed")
            .edition
            .clone()
    };
    let bytes = other.to_bytes();
    let hash = Hash::of(&bytes);
    let mark = ClosedEdition {
        month: of("2026-10"),
        through: other.through(),
        sha256: hash.0,
        method: other.method,
    };
    let at = UtcMillis(record.writer.last_stamp().0 + 1);
    let position = record.append(at, &Entry::EditionClosed(mark));
    std::fs::write(record.folder.path().join("editions/2026-10.json"), bytes).expect("written");
    let month = of("2026-10");
    library
        .keep(Closed {
            month,
            hash,
            method: mark.method,
            position,
        })
        .expect("written");
    assert_eq!(
        library.verify(month).expect("whole"),
        Some(Verdict::Differs)
    );
}

#[test]
fn edition_of_another_method_is_not_made_again() {
    let (mut record, library, closed) = closed();
    let edition = Edition {
        method: METHOD + 1,
        ..library
            .get(closed.month)
            .expect("whole")
            .expect("closed")
            .edition
            .clone()
    };
    let bytes = edition.to_bytes();
    let mark = ClosedEdition {
        month: closed.month,
        through: edition.through(),
        sha256: Hash::of(&bytes).0,
        method: edition.method,
    };
    let at = UtcMillis(record.writer.last_stamp().0 + 1);
    let position = record.append(at, &Entry::EditionClosed(mark));
    let folder = record.folder.path().join("editions");
    std::fs::write(folder.join("2026-10.json"), bytes).expect("written");
    std::fs::write(folder.join("2026-10.note"), format!("{position}\n")).expect("written");
    let verdict = record.library().verify(closed.month).expect("whole");
    assert_eq!(verdict, Some(Verdict::OtherMethod(METHOD + 1)));
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

#[test]
fn line_of_no_month_appears_in_the_edition_that_ends_the_quarter() {
    let (record, library) = closed_quarter();
    let edition = &library
        .get(of("2026-09"))
        .expect("whole")
        .expect("closed")
        .edition;
    let rows = edition.rows.iter().filter(|row| row.dimension == "line");
    let rows: Vec<_> = rows
        .map(|row| {
            (
                row.period_start.as_str(),
                row.key.as_str(),
                row.flag.as_str(),
                row.count,
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("2026-09-01", "GVB:1", "exact", 40),
            ("2026-09-01", "", "rest", 17),
            ("2026-07-01", "GVB:3", "exact", 27),
            ("2026-07-01", "", "rest", 24),
        ]
    );
    let mut of_line = edition.rows.iter().filter(|row| row.key == "GVB:3");
    let quarter = of_line.next().expect("published");
    assert_eq!((quarter.taps, quarter.coverage), (Some(92_000), Some(1.0)));
    assert_eq!(quarter.rate, Some(29.3478));
    assert_eq!(
        library.verify(of("2026-09")).expect("whole"),
        Some(Verdict::Recomputed)
    );
    // Without the editions before there is nothing to measure the quarter against.
    let alone = record.make("2026-09").expect("over");
    assert!(
        alone
            .rows
            .iter()
            .all(|row| row.period_start == "2026-09-01")
    );
}

// === Any order of late reports and withdrawals ===

/// One report: when the tap was, how long after it was told, and how long after that it was
/// withdrawn, if it was.
#[derive(Clone, Debug)]
struct Told {
    tapped: UtcMillis,
    delay_ms: i64,
    withdrawn_ms: Option<i64>,
}

fn told() -> impl Strategy<Value = Told> {
    // Around month ends and both changes of the clock.
    let around = prop_oneof![
        Just("2026-09-30T22:00"),
        Just("2026-10-24T22:00"),
        Just("2026-10-31T22:00"),
        Just("2026-03-28T22:00"),
        Just("2026-03-31T22:00"),
    ];
    let delay = prop_oneof![0..HOUR_MS, 0..2 * DAY_MS, 18 * DAY_MS..56 * DAY_MS];
    let withdrawn = proptest::option::weighted(0.3, 0..40 * DAY_MS);
    (around, 0..4 * HOUR_MS, delay, withdrawn).prop_map(|(around, plus, delay_ms, withdrawn_ms)| {
        let tapped = UtcMillis(amsterdam(around).0 + plus);
        Told {
            tapped,
            delay_ms,
            withdrawn_ms,
        }
    })
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn edition_counts_what_was_told_and_not_withdrawn_before_it_closed(
        all in proptest::collection::vec(told(), 1..120),
    ) {
        let mut record = Record::new();
        let mut events: BTreeMap<(i64, usize), Entry> = BTreeMap::new();
        for (number, one) in all.iter().enumerate() {
            let facts = record.facts(one.tapped);
            let mut pseudonym = [1; 16];
            pseudonym[..8].copy_from_slice(&number.to_be_bytes());
            let personal = Personal {
                installation: Some(Pseudonym(pseudonym)),
                ..personal(one.tapped)
            };
            let at = one.tapped.0 + one.delay_ms;
            if let Some(after) = one.withdrawn_ms {
                let (id, facts) = (facts.id, Box::new(facts.clone()));
                events.insert((at + 1 + after, number), Entry::Withdrawn { id, facts, row: Position(0) });
            }
            let (facts, personal) = (Box::new(facts), Some(Box::new(personal)));
            events.insert((at, number), Entry::Incident { facts, personal });
        }
        for ((at, _), entry) in &events {
            record.append(UtcMillis(*at), entry);
        }
        record.append(amsterdam("2027-03-01T00:00"), &Entry::Tick);
        let mut late = 0;
        for month in ["2026-03-01", "2026-04-01", "2026-09-01", "2026-10-01", "2026-11-01"] {
            let month: Date = month.parse().expect("a date");
            let closes = closing(month);
            let is_live = |one: &&Told, at: UtcMillis| {
                let told = one.tapped.0 + one.delay_ms;
                let withdrawn = one.withdrawn_ms.map(|after| told + 1 + after);
                told < at.0 && withdrawn.is_none_or(|withdrawn| at.0 <= withdrawn)
            };
            let of_month = all.iter().filter(|one| month_of(one.tapped) == month);
            let expected = of_month.filter(|one| is_live(one, closes)).count() as u64;
            let text = month.strftime("%Y-%m").to_string();
            let edition = record.make(&text).expect("over");
            let shown = (10 <= expected).then_some(expected);
            prop_assert_eq!(total(&edition, ""), shown, "{}", text);
            prop_assert_eq!(edition.left_out, Some(0));

            let before = closing(month.checked_sub(1.month()).expect("a date"));
            let too_late = all.iter().filter(|one| {
                let told = one.tapped.0 + one.delay_ms;
                month_of(one.tapped) < month && before.0 <= told && is_live(one, closes)
            });
            // All are of different reporters, who are known to be so within a quarter only.
            let mut by_quarter = BTreeMap::<_, u64>::new();
            for one in too_late {
                let month = month_of(one.tapped);
                let quarter = (month.year(), (month.month() - 1) / 3);
                *by_quarter.entry(quarter).or_default() += 1;
            }
            let too_late: u64 = by_quarter.values().sum();
            late += too_late;
            let is_shown = too_late == 0 || by_quarter.values().any(|count| 10 <= *count);
            let shown = is_shown.then_some(too_late);
            prop_assert_eq!(edition.too_late, shown, "{}", text);

            // What comes afterwards changes nothing.
            let bytes = edition.to_bytes();
            let facts = record.facts(amsterdam(&format!("{month}T12:00")));
            let at = record.writer.last_stamp();
            record.tell(at, facts, 1);
            prop_assert_eq!(record.make(&text).expect("over").to_bytes(), bytes);
        }
        prop_assert!(late <= all.len() as u64);
    }
}

#[test]
fn days_of_outages_are_listed_as_they_were_declared_when_the_edition_closed() {
    let mut record = Record::new();
    let change = |operator: Option<&str>, days: [&str; 2], is_withdrawal| {
        let operator = operator.map(|code| code.parse().expect("a code"));
        let [first, last] = days.map(|day| LocalDay::parse(day).expect("a date"));
        Entry::OutageChanged(OutageChange {
            outage: Outage::new(operator, first, last).expect("sound"),
            is_withdrawal,
        })
    };
    for _ in 0..12 {
        record.tell_of_gvb(amsterdam("2026-10-20T10:00"));
    }
    let told = [
        // The last two days belong to the next month.
        (
            "2026-11-02T09:00",
            change(None, ["2026-10-30", "2026-11-02"], false),
        ),
        (
            "2026-11-03T09:00",
            change(Some("GVB"), ["2026-10-20", "2026-10-20"], false),
        ),
        (
            "2026-11-04T09:00",
            change(None, ["2026-10-30", "2026-10-30"], true),
        ),
    ];
    for (at, entry) in told {
        record.append(amsterdam(at), &entry);
    }
    let late = change(None, ["2026-10-05", "2026-10-05"], false);
    record.append(amsterdam("2026-11-22T00:00"), &Entry::Tick);
    record.append(amsterdam("2026-11-22T00:01"), &late);
    let library = record.library();
    let closed = record.close(&library, "2026-10");
    let held = library.get(of("2026-10")).expect("whole").expect("closed");
    let days = held.edition.outages.iter();
    let days: Vec<_> = days.map(|one| (&*one.day, &*one.operator_code)).collect();
    assert_eq!(days, [("2026-10-20", "GVB"), ("2026-10-31", "")]);
    // They count all the same.
    assert_eq!(held.edition.rows[0].count, 12);
    assert_eq!(Hash::of(&held.edition.to_bytes()), closed.hash);
    let verdict = library.verify(of("2026-10")).expect("whole");
    assert_eq!(verdict, Some(Verdict::Recomputed));
}
