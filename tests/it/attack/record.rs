//! A data set as a journal, and the editions that the service makes of it.

use std::collections::BTreeSet;

use mistap::domain::entry::Personal;
use mistap::domain::taps::{
    DayBegin, Refusals, TapBatch, TapCount, TapFeed, TapGrain, TapInterval, TapKinds, TapScope,
    TapSlot, Taps,
};
use mistap::domain::taxonomy::{Mode, ReporterKind, SetOf, StaffPresence, TapKind, TimePrecision};
use mistap::domain::time::{DAY_MS, HOUR_MS};
use mistap::domain::{
    Amendment, Entry, Facts, LineId, LocalDay, LocalMonth, OperatorCode, Position, Pseudonym,
    RowTime, StopId, UtcMillis,
};
use mistap::edition::format::Hash;
use mistap::edition::library::{Closed, Library, Prepared};
use mistap::edition::month;
use mistap::journal::{self, SEGMENT_BYTES_MIN, Settings, Writer, encode};
use serde_json::Value;
use tempfile::TempDir;

use super::data::{DAYS_LATE, Data, Fate, Feed, MONTHS, NOT_SAID, Told};
use super::profile::{Attributes, Place};
use crate::support::id_made_at;

/// The months of every data set.
pub const NAMES: [&str; MONTHS] = ["2026-07", "2026-08", "2026-09"];
/// Taps in each interval of a feed, at least.
const TAPS: u64 = 30_000;
/// As many more on each day of a week than on the day before.
const TAPS_MORE: u64 = 5_000;
const WEEK: usize = 7;
const HOURS: u64 = 24;

/// What is told of one report, and when: by time, and by its place in the data set.
type Event = (UtcMillis, usize, What);

enum What {
    Report(Facts, u32),
    Withdrawal(Facts),
    Amendment(Facts, Facts),
    Taps(Entry),
}

/// The bytes of the editions of a data set, as they are published; for the control, of one in
/// which nobody named an operator.
pub fn publish(data: &Data, with_operators: bool) -> Vec<Value> {
    let folder = TempDir::new().expect("a folder");
    let settings = Settings {
        segment_bytes: SEGMENT_BYTES_MIN,
        sync: false,
    };
    let (mut writer, reader, _) =
        journal::open(&folder.path().join("journal"), settings).expect("a journal");
    // The record began before the quarter did.
    writer
        .append(&[encode(&Entry::Tick)], noon(0, -40))
        .expect("room");
    let mut events = events(data, with_operators);
    events.sort_by_key(|(at, place, _)| (*at, *place));
    let mut rows = vec![Position(0); data.told.len()];
    for (at, place, what) in events {
        let row = rows.get(place).copied().unwrap_or(Position(0));
        let is_row = matches!(what, What::Report(..) | What::Amendment(..));
        let position = append(&mut writer, at, &entry(at, row, what));
        if is_row {
            rows[place] = position;
        }
    }
    append(&mut writer, closing(MONTHS - 1), &Entry::Tick);
    let library = Library::open(folder.path(), reader).expect("readable");
    NAMES
        .map(|name| close(&mut writer, &library, name))
        .to_vec()
}

fn append(writer: &mut Writer, at: UtcMillis, entry: &Entry) -> Position {
    let at = at.max(writer.last_stamp());
    writer.append(&[encode(entry)], at).expect("room").0
}

/// Closes a month as the service does, and reads it as everybody can.
fn close(writer: &mut Writer, library: &Library, name: &str) -> Value {
    let month = month::parse(name).expect("a month");
    let Prepared::Ready(ready) = library.prepare(month).expect("readable") else {
        panic!("{name} is due");
    };
    let at = writer.last_stamp();
    let closed = Closed {
        month,
        hash: Hash(ready.sha256),
        method: ready.method,
        position: append(writer, at, &Entry::EditionClosed(ready)),
    };
    library.keep(closed).expect("written");
    let held = library.get(month).expect("whole").expect("closed");
    serde_json::from_slice(&held.bytes).expect("JSON")
}

fn events(data: &Data, with_operators: bool) -> Vec<Event> {
    let mut events = Vec::new();
    for (place, told) in data.told.iter().enumerate() {
        let facts = |profile: usize| facts(data, place, told, profile, with_operators);
        let attributes = &data.universe.profiles[told.profile].attributes;
        let late = if attributes.is_in_time { 0 } else { DAYS_LATE };
        let day = i32::try_from(data.day(told) + late).expect("few");
        let at = UtcMillis(noon(told.month, day).0 + 6 * HOUR_MS);
        let closes = closing(told.month);
        let before = UtcMillis(closes.0 - DAY_MS);
        let after = UtcMillis(closes.0 + DAY_MS);
        let mut report = (at, facts(told.profile));
        match told.fate {
            Fate::Told => {}
            Fate::Withdrawn => {
                events.push((before, place, What::Withdrawal(facts(told.profile))));
            }
            Fate::WithdrawnLater => {
                events.push((after, place, What::Withdrawal(facts(told.profile))));
            }
            Fate::Amended(first) => {
                report.1 = facts(first);
                let what = What::Amendment(facts(first), facts(told.profile));
                events.push((before, place, what));
            }
            Fate::AmendedLater(later) => {
                let what = What::Amendment(facts(told.profile), facts(later));
                events.push((after, place, what));
            }
            Fate::TooLate => report.0 = after,
        }
        let (at, facts) = report;
        events.push((at, place, What::Report(facts, told.reporter)));
    }
    if with_operators {
        for (feed, month) in data
            .feeds
            .iter()
            .flat_map(|feed| (0..MONTHS).map(move |month| (feed, month)))
        {
            let at = noon(month, 28);
            let batches = taps(data, feed, month).into_iter();
            let entries = batches.map(|batch| Entry::TapCounts(Box::new(batch)));
            events.extend(entries.map(|entry| (at, usize::MAX, What::Taps(entry))));
        }
    }
    events
}

fn entry(at: UtcMillis, row: Position, what: What) -> Entry {
    match what {
        What::Report(facts, reporter) => {
            let mut pseudonym = [0; 16];
            pseudonym[..4].copy_from_slice(&reporter.to_be_bytes());
            Entry::Incident {
                facts: Box::new(facts),
                personal: Some(Box::new(personal(at, Pseudonym(pseudonym)))),
            }
        }
        What::Withdrawal(facts) => Entry::Withdrawn {
            id: facts.id,
            facts: Box::new(facts),
            row,
        },
        What::Amendment(before, after) => Entry::Amended(Box::new(Amendment {
            id: before.id,
            row,
            before,
            after,
        })),
        What::Taps(entry) => entry,
    }
}

/// Taps of each whole day of a month, without those that are missed.
fn taps(data: &Data, feed: &Feed, month: usize) -> Vec<TapBatch> {
    let scopes: Vec<_> = match feed.is_of_lines {
        true => lines(data, feed).into_iter().map(TapScope::Line).collect(),
        false => vec![TapScope::Operator],
    };
    let mut batches = Vec::new();
    for (part, kinds) in feed.kinds.iter().enumerate() {
        let declared = declared(data, feed, part, *kinds);
        let is_told = |place, day| !feed.missed_by(month, part, place).contains(&day);
        let (first, end) = (first_day(month), first_day(month + 1));
        let mut counts = Vec::new();
        for (of_month, day) in (first.0..end.0).map(LocalDay).enumerate() {
            let scopes = scopes.iter().enumerate();
            for (_, scope) in scopes.filter(|(place, _)| is_told(*place, of_month)) {
                counts.extend((0..declared.slots(day)).map(|slot| TapCount {
                    scope: scope.clone(),
                    slot: TapSlot { day, slot },
                    taps: Taps::new(in_interval(of_month)).expect("not many"),
                }));
            }
        }
        batches.extend(TapBatch::pack(&declared, counts));
    }
    batches
}

fn in_interval(day: usize) -> u64 {
    TAPS + TAPS_MORE * (day % WEEK) as u64
}

/// Taps that all parts of a feed tell of one scope and day, counted from the first of its month.
pub fn taps_on(feed: &Feed, day: usize) -> u64 {
    // No clock changes in the quarter.
    let intervals = if feed.is_of_lines { 1 } else { HOURS };
    feed.kinds.len() as u64 * intervals * in_interval(day)
}

/// How many days a month has.
pub fn days_of(month: usize) -> usize {
    let days = first_day(month + 1).0 - first_day(month).0;
    usize::try_from(days).expect("it ends after it begins")
}

fn declared(data: &Data, feed: &Feed, part: usize, kinds: SetOf<TapKind>) -> TapFeed {
    let (grain, interval) = match feed.is_of_lines {
        true => (TapGrain::Line, TapInterval::Day),
        false => (TapGrain::Operator, TapInterval::Hour),
    };
    TapFeed {
        id: feed_id(data, feed, part).parse().expect("a name"),
        operator: code(data, feed.operator).expect("nobody tells taps of an operator unknown"),
        grain,
        interval,
        kinds: TapKinds::new(kinds).expect("a tap"),
        refusals: Refusals::Included,
        day_begin: DayBegin::new(feed.day_begins).expect("early"),
    }
}

/// The lines of an operator, as a feed of lines tells them.
pub fn lines(data: &Data, feed: &Feed) -> BTreeSet<LineId> {
    let places = data.universe.profiles.iter();
    let lines = places.filter_map(|profile| line(data, feed.operator, &profile.attributes));
    lines.collect()
}

/// What one of the feeds is called, as published rows call it.
pub fn feed_id(data: &Data, feed: &Feed, part: usize) -> String {
    let operator = data.operators[feed.operator].to_lowercase();
    let grain = if feed.is_of_lines { "lines" } else { "all" };
    format!("{operator}-{grain}-{part}")
}

/// When the edition of a month of the quarter closes.
fn closing(month: usize) -> UtcMillis {
    LocalDay(first_day(month + 1).0 + 21).start().start()
}

/// Noon of a day, counted from the first of a month.
fn noon(month: usize, day: i32) -> UtcMillis {
    LocalDay(first_day(month).0 + day).noon().start()
}

fn first_day(month: usize) -> LocalDay {
    let first = month::parse(NAMES[0]).expect("a month");
    let month = i32::try_from(month).expect("few");
    month::first_day(LocalMonth(first.0 + month))
}

/// `None` if it is not known.
fn code(data: &Data, operator: usize) -> Option<OperatorCode> {
    let code = data.operators[operator];
    (code != NOT_SAID).then(|| code.parse().expect("a code"))
}

/// What stands before its lines and stops.
fn prefix(data: &Data, operator: usize) -> &'static str {
    match data.operators[operator] {
        NOT_SAID => "QBZ",
        code => code,
    }
}

fn line(data: &Data, operator: usize, attributes: &Attributes) -> Option<LineId> {
    let Place::Line(line) = attributes.place else {
        return None;
    };
    let id = format!("{}:{line}", prefix(data, operator));
    Some(id.parse().expect("a line"))
}

fn nameless_line(data: &Data, operator: usize) -> LineId {
    let id = format!("{}:none", prefix(data, operator));
    id.parse().expect("a line")
}

fn stop(data: &Data, operator: usize, attributes: &Attributes) -> Option<StopId> {
    let Place::Station(station) = attributes.place else {
        return None;
    };
    let id = format!("{}:{station}", prefix(data, operator));
    Some(id.parse().expect("a stop"))
}

fn facts(data: &Data, place: usize, told: &Told, profile: usize, with_operator: bool) -> Facts {
    let attributes = &data.universe.profiles[profile].attributes;
    let day = LocalDay(first_day(told.month).0 + i32::try_from(data.day(told)).expect("few"));
    let id = id_made_at(UtcMillis(i64::try_from(place).expect("few")), [0; 10]);
    let is_station = matches!(attributes.place, Place::Station(_));
    Facts {
        id: id.parse().expect("version 7"),
        digest: None,
        secret_hash: None,
        time: match attributes.hour {
            Some(hour) => RowTime::Hour(day.hour_at(hour)),
            None => RowTime::Day(day),
        },
        precision: match attributes.hour {
            Some(_) => TimePrecision::Hour,
            None => TimePrecision::Day,
        },
        reporter: match data.are_observed {
            true => ReporterKind::Device,
            false => ReporterKind::Traveller,
        },
        mode: Some(if is_station { Mode::Train } else { Mode::Tram }),
        tap_kind: attributes.tap_kind,
        operator: code(data, told.operator).filter(|_| with_operator),
        line: match attributes.place {
            // So that as many count as do with operators.
            Place::NotSaid if !with_operator => Some(nameless_line(data, told.operator)),
            _ => line(data, told.operator, attributes),
        },
        line_resolution: None,
        line_outside_validity: false,
        stop: stop(data, told.operator, attributes),
        stop_resolution: None,
        network_version: 1,
        reader_kind: None,
        signal: attributes.signal,
        found_later: false,
        attempts: 0,
        others_got_through: None,
        worked_later: None,
        cause_claims: attributes.causes.clone().into(),
        card_kind: attributes.card,
        staff_present: Some(StaffPresence::Yes),
        staff_acts: attributes.acts,
        staff_minutes: None,
        outcomes: attributes.outcomes,
        extra_cost: None,
        card_given: false,
        installation_given: true,
        is_uncountable: false,
        called_back: None,
        told_again: None,
        is_told_again_by_card: false,
    }
}

fn personal(occurred: UtcMillis, installation: Pseudonym) -> Personal {
    Personal {
        occurred,
        clock_correction_ms: 0,
        card: None,
        installation: Some(installation),
        key_period: 0,
        vehicle: "".into(),
        display_text: "".into(),
        operator_words: "".into(),
        line_words: "".into(),
        direction_words: "".into(),
        stop_words: "".into(),
        note: "".into(),
        note_to_operator: false,
        line_candidates: Vec::new(),
        stop_candidates: Vec::new(),
        words_removed: false,
        digest: None,
    }
}
