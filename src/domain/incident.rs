//! One failed tap, checked, before it is resolved against the network.

use smallvec::SmallVec;
use smol_str::SmolStr;

use super::address::Origin;
use super::entry::Facts;
use super::id::{IncidentId, IncidentSecret};
use super::limits::{CANDIDATES_MAX, CAUSE_CLAIMS_MAX};
use super::taxonomy::{
    CardKind, Cause, ClaimSource, ExtraCost, Mode, OthersGotThrough, Outcome, ReaderKind,
    ReporterKind, Resolution, SetOf, Signal, StaffAct, StaffMinutes, StaffPresence, TapKind,
    WorkedLater,
};
use super::text::{CardNumber, InstallationId};
use super::time::{LocalDay, UtcMillis};

/// A cause and whose word it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CauseClaim {
    /// The cause.
    pub cause: Cause,
    /// Whose word it is.
    pub source: ClaimSource,
}

/// Claimed causes of one incident, in place.
pub type CauseClaims = SmallVec<[CauseClaim; CAUSE_CLAIMS_MAX]>;

/// When a tap happened, as finely as its reporter knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurred {
    /// To within a minute or two.
    Exact(UtcMillis),
    /// The hour in which this instant lies.
    Hour(UtcMillis),
    /// Only the day; the instant is what was sent, or noon.
    Day(LocalDay),
}

/// A checked incident as a client told it. Every field is within its bounds (see
/// `limits`), and the time is corrected for the device's clock.
#[derive(Debug)]
pub struct Incident {
    /// Made by the client.
    pub id: IncidentId,
    /// Made by the client, if it wants a way back.
    pub secret: Option<IncidentSecret>,
    /// When it happened.
    pub occurred: Occurred,
    /// Milliseconds that were added for a wrong device clock.
    pub clock_correction_ms: i64,
    /// Who reports.
    pub reporter: ReporterKind,
    /// What the traveller was on.
    pub mode: Option<Mode>,
    /// What the tap was meant to do.
    pub tap_kind: Option<TapKind>,
    /// The operator as written; may be empty.
    pub operator_words: SmolStr,
    /// The line as written; may be empty.
    pub line_words: SmolStr,
    /// The direction as written; may be empty.
    pub direction_words: SmolStr,
    /// The stop as written; may be empty.
    pub stop_words: SmolStr,
    /// The vehicle number; may be empty.
    pub vehicle: SmolStr,
    /// The device that the card was held to.
    pub reader_kind: Option<ReaderKind>,
    /// What the reader showed or sounded.
    pub signal: Option<Signal>,
    /// Green, but found later not to be registered.
    pub found_later: bool,
    /// Words on the display; may be empty.
    pub display_text: SmolStr,
    /// Attempts; 0 is "not said".
    pub attempts: u8,
    /// Whether others got through.
    pub others_got_through: Option<OthersGotThrough>,
    /// Whether the card worked elsewhere or later.
    pub worked_later: Option<WorkedLater>,
    /// Claimed causes, no pair twice.
    pub cause_claims: CauseClaims,
    /// What was held to the reader.
    pub card_kind: Option<CardKind>,
    /// Lives until the pseudonym is made.
    pub card_number: Option<CardNumber>,
    /// Random identifier of the client, if it has one. Lives until the pseudonym is made.
    pub installation_id: Option<InstallationId>,
    /// Whether staff were there.
    pub staff_present: Option<StaffPresence>,
    /// What staff did.
    pub staff_acts: SetOf<StaffAct>,
    /// Minutes that staff gave.
    pub staff_minutes: Option<StaffMinutes>,
    /// How it ended.
    pub outcomes: SetOf<Outcome>,
    /// What it cost on top of the fare.
    pub extra_cost: Option<ExtraCost>,
    /// Private note; may be empty.
    pub note: SmolStr,
    /// Whether the operator may read the note.
    pub note_to_operator: bool,
    /// Whether the operator's code is taken also if no network knows it: a steward told it, or a
    /// token is bound to it. Any other is words, because every operator that is counted takes a
    /// place for ever.
    pub is_operator_vouched_for: bool,
    /// Where it came from; `None` if from this machine. Goes no further than the queue.
    pub origin: Option<Origin>,
}

/// How something that a reporter wrote was matched to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match<T> {
    /// The result; `None` if nothing was written.
    pub resolution: Option<Resolution>,
    /// The identifier, if there is exactly one.
    pub id: Option<T>,
    /// Name for display; may be empty.
    pub name: SmolStr,
    /// Those that fit, in order, if there are several; at most `CANDIDATES_MAX`.
    pub candidates: Vec<T>,
    /// Whether the match lies outside the dates for which the network lists it.
    pub outside_validity: bool,
}

impl<T> Match<T> {
    /// Nothing was written.
    pub fn nothing() -> Self {
        Self {
            resolution: None,
            id: None,
            name: SmolStr::default(),
            candidates: Vec::new(),
            outside_validity: false,
        }
    }

    /// Nothing fits.
    pub fn unresolved() -> Self {
        Self {
            resolution: Some(Resolution::Unresolved),
            ..Self::nothing()
        }
    }

    /// Exactly one fits.
    pub fn one(resolution: Resolution, id: T, name: SmolStr) -> Self {
        Self {
            resolution: Some(resolution),
            id: Some(id),
            name,
            ..Self::nothing()
        }
    }

    /// Several fit.
    pub fn ambiguous(mut candidates: Vec<T>) -> Self
    where
        T: Ord,
    {
        candidates.sort();
        candidates.truncate(CANDIDATES_MAX);
        Self {
            resolution: Some(Resolution::Ambiguous),
            candidates,
            ..Self::nothing()
        }
    }
}

/// Whether the incident with these facts was observed by a device rather than told.
pub fn is_observed(facts: &Facts) -> bool {
    facts.reporter == ReporterKind::Device
}
