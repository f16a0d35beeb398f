//! Ids, a feed and a log for tests, and facts, personal parts and rows of which next to nothing is
//! told.

use std::io;
use std::sync::{Arc, Mutex};

use super::entry::{Facts, Personal, Position};
use super::id::IncidentId;
use super::question::Basis;
use super::row::{Row, RowTime};
use super::taps::{DayBegin, Refusals, TapFeed, TapGrain, TapInterval, TapKinds};
use super::taxonomy::{ReporterKind, SetOf, TapKind, TimePrecision};
use super::time::UtcMillis;

/// Bytes as an id: the version and the variant of one are put in.
pub(crate) fn id_of(mut bytes: [u8; 16]) -> IncidentId {
    bytes[6] = 0x70 | bytes[6] & 0x0f;
    bytes[8] = 0x80 | bytes[8] & 0x3f;
    IncidentId::from_bytes(bytes).expect("a UUID of version 7")
}

/// The id with a number, below 2^56, among those that were made then.
pub(crate) fn id_made_at(made: UtcMillis, number: u64) -> IncidentId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&made.0.to_be_bytes()[2..]);
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    id_of(bytes)
}

/// Facts of which only id and time are told.
pub(crate) fn blank_facts(id: IncidentId, time: RowTime, precision: TimePrecision) -> Facts {
    Facts {
        id,
        digest: None,
        secret_hash: None,
        time,
        precision,
        reporter: ReporterKind::Traveller,
        mode: None,
        tap_kind: None,
        operator: None,
        line: None,
        line_resolution: None,
        line_outside_validity: false,
        stop: None,
        stop_resolution: None,
        network_version: 1,
        reader_kind: None,
        signal: None,
        found_later: false,
        attempts: 0,
        others_got_through: None,
        worked_later: None,
        cause_claims: Default::default(),
        card_kind: None,
        staff_present: None,
        staff_acts: SetOf::EMPTY,
        staff_minutes: None,
        outcomes: SetOf::EMPTY,
        extra_cost: None,
        card_given: false,
        installation_given: false,
        is_uncountable: false,
        called_back: None,
        told_again: None,
        is_told_again_by_card: false,
    }
}

/// A row of which only the position and the time are told.
pub(crate) fn blank_row(position: Position, time: RowTime) -> Row {
    Row {
        position,
        time,
        basis: Basis::SelfReported,
        operator: 0,
        line: 0,
        stop: 0,
        mode: 0,
        tap_kind: 0,
        card_kind: 0,
        signal: 0,
        causes: 0,
        staff_acts: 0,
        outcomes: 0,
    }
}

/// A feed of GVB's check-ins by line and day.
pub(crate) fn feed_of_gvb(name: &str) -> TapFeed {
    TapFeed {
        id: name.parse().expect("a name"),
        operator: "GVB".parse().expect("a code"),
        grain: TapGrain::Line,
        interval: TapInterval::Day,
        kinds: TapKinds::new([TapKind::CheckIn].into_iter().collect()).expect("a tap"),
        refusals: Refusals::Excluded,
        day_begin: DayBegin::default(),
    }
}

/// A personal part of which only the time is told.
pub(crate) fn personal(occurred: UtcMillis) -> Personal {
    Personal {
        occurred,
        clock_correction_ms: 0,
        card: None,
        installation: None,
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

/// A log that is kept. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// What was written to it.
    pub(crate) fn text(&self) -> String {
        let bytes = self.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("text")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
