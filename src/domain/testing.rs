//! Facts and personal parts for tests, of which next to nothing is told.

use super::entry::{Facts, Personal};
use super::id::{ContentDigest, IncidentId};
use super::row::RowTime;
use super::taxonomy::{ReporterKind, SetOf, TimePrecision};
use super::time::UtcMillis;

/// Facts of which only id and time are told.
pub(crate) fn blank_facts(id: IncidentId, time: RowTime, precision: TimePrecision) -> Facts {
    Facts {
        id,
        digest: ContentDigest([0; 16]),
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
    }
}
