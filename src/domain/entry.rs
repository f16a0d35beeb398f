//! What the journal holds: entries, each with its place and its stamp, split into facts
//! (what is counted) and a personal part (all else, which can be erased).

use smol_str::SmolStr;

use super::id::{ContentDigest, IncidentId, LineId, OperatorCode, Pseudonym, SecretHash, StopId};
use super::incident::CauseClaims;
use super::keys_told::KeysTold;
use super::outage::OutageChange;
use super::row::RowTime;
use super::taps::TapBatch;
use super::taxonomy::{
    CalledBack, CardKind, CaseState, ClosedReason, ExtraCost, Mode, OthersGotThrough, Outcome,
    ReaderKind, ReporterKind, Resolution, SetOf, Signal, StaffAct, StaffMinutes, StaffPresence,
    TapKind, TimePrecision, WorkedLater,
};
use super::time::{LocalDay, LocalMonth, UtcMillis};

/// An entry's place in the journal, from 1 up. 0 stands before the first entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The next place.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// When an entry was committed: the later of the clock and the stamp before it.
pub type Stamp = UtcMillis;

/// The journal's identity: 16 random bytes, new at creation and at restore. Its files are made
/// out under that of its creation for ever; what callers are given, under that of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub [u8; 16]);

/// An entry where it stands in the journal, as it is written, applied and read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place.
    pub position: Position,
    /// When it was committed.
    pub stamp: Stamp,
    /// What happened.
    pub entry: Entry,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// An incident was reported.
    Incident {
        /// What is counted.
        facts: Box<Facts>,
        /// All else; `None` if it was erased.
        personal: Option<Box<Personal>>,
    },
    /// An incident was withdrawn by its reporter.
    Withdrawn {
        /// Which.
        id: IncidentId,
        /// Its facts, as they were recorded, so that what was counted can be taken away
        /// without looking it up.
        facts: Box<Facts>,
        /// Where the row lies that counted: where it was recorded, or amended last. 0 in
        /// entries from before incidents could be amended: where it was recorded.
        row: Position,
    },
    /// The reporter of an incident told what came later.
    Amended(Box<Amendment>),
    /// The personal part of an incident was erased, and the words of its answers.
    Erased {
        /// Which.
        id: IncidentId,
        /// Where it was recorded.
        incident: Position,
    },
    /// An operator answered a report.
    Answered(Box<Answer>),
    /// A minute passed.
    Tick,
    /// Another version of the network came into use.
    NetworkChanged {
        /// The version.
        version: u32,
        /// SHA-256 of its canonical bytes.
        sha256: [u8; 32],
    },
    /// An operator told how many taps there were.
    TapCounts(Box<TapBatch>),
    /// Tap counts of service days before this one are kept no longer.
    TapCountsRemoved {
        /// The first day that is kept.
        before: LocalDay,
    },
    /// The edition of a month was closed.
    EditionClosed(ClosedEdition),
    /// Something is taken away from the personal parts of all entries through a position.
    PersonalRemoved {
        /// What.
        removal: Removal,
        /// The last entry from which it is.
        through: Position,
    },
    /// Days of an outage were declared, or withdrawn.
    OutageChanged(OutageChange),
    /// Single incidents whose entries lie at or before a position are kept no longer: from
    /// here on they count in tallies alone. Told twice: when it begins, and when the base is
    /// durable that their entries will be replaced by.
    IncidentsEnded {
        /// The last position of a month of receipt.
        through: Position,
        /// SHA-256 of the base: the fold through that position, without single incidents.
        base: Option<[u8; 32]>,
    },
    /// Other keys of pseudonyms are in use: these are all of them.
    KeysChanged(KeysTold),
    /// The record goes on from a copy: what came after the copy is gone, and its positions are
    /// given out again. The journal has this identity from here on.
    Restored(Epoch),
    /// In the place of an entry about an incident that is kept in tallies alone.
    Gone,
}

/// What an entry says of one incident.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum IncidentEvent<'a> {
    /// It was reported.
    Reported {
        /// What is counted.
        facts: &'a Facts,
        /// All else; `None` if it was erased.
        personal: Option<&'a Personal>,
    },
    /// Its reporter withdrew it.
    Withdrawn {
        /// Which.
        id: IncidentId,
        /// Its facts, as they were recorded.
        facts: &'a Facts,
    },
    /// Its reporter told what came later.
    Amended(&'a Amendment),
    /// Its personal part was erased.
    Erased {
        /// Which.
        id: IncidentId,
        /// Where it was recorded.
        incident: Position,
    },
    /// Its operator answered.
    Answered(&'a Answer),
}

impl Entry {
    /// What is said of one incident; `None` of an entry that is about none, or has gone.
    pub fn incident_event(&self) -> Option<IncidentEvent<'_>> {
        match self {
            Self::Incident { facts, personal } => Some(IncidentEvent::Reported {
                facts,
                personal: personal.as_deref(),
            }),
            Self::Withdrawn { id, facts, row: _ } => {
                Some(IncidentEvent::Withdrawn { id: *id, facts })
            }
            Self::Amended(amendment) => Some(IncidentEvent::Amended(amendment)),
            Self::Erased { id, incident } => Some(IncidentEvent::Erased {
                id: *id,
                incident: *incident,
            }),
            Self::Answered(answer) => Some(IncidentEvent::Answered(answer)),
            Self::Tick
            | Self::NetworkChanged { .. }
            | Self::TapCounts(_)
            | Self::TapCountsRemoved { .. }
            | Self::EditionClosed(_)
            | Self::PersonalRemoved { .. }
            | Self::OutageChanged(_)
            | Self::IncidentsEnded { .. }
            | Self::KeysChanged(_)
            | Self::Restored(_)
            | Self::Gone => None,
        }
    }
}

/// What is taken away from personal parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// What travellers wrote: words, texts of displays, notes.
    Words,
    /// Pseudonyms of a key period, and of all before it. Its key is destroyed.
    Pseudonyms {
        /// As of `auth::key_period`.
        key_period: u32,
    },
    /// Everything.
    All,
}

/// What the journal knows of an edition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedEdition {
    /// The month that it covers.
    pub month: LocalMonth,
    /// The last position that it counts.
    pub through: Position,
    /// SHA-256 of its canonical bytes.
    pub sha256: [u8; 32],
    /// Version of the method by which it was made, from 1 up.
    pub method: u32,
}

/// What came later of an incident. Counts instead of what counted before, if that still does
/// when this is applied; else it changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Amendment {
    /// Which incident.
    pub id: IncidentId,
    /// Where the row lies that it replaces: where it was recorded, or amended last.
    pub row: Position,
    /// What counted, so that it can be taken away without looking it up.
    pub before: Facts,
    /// What counts from now on; of the same time, operator, line and stop.
    pub after: Facts,
}

/// What an operator answered to a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which incident.
    pub id: IncidentId,
    /// Where it was recorded.
    pub incident: Position,
    /// Who answers: the incident's operator.
    pub operator: OperatorCode,
    /// When the incident was received.
    pub received: Stamp,
    /// The hour or day of the incident.
    pub time: RowTime,
    /// What it says.
    pub state: CaseState,
    /// Why, if it is closed without a repair.
    pub reason: Option<ClosedReason>,
    /// What it says to the reporter; empty if nothing, or if it is gone. A personal part.
    pub message: Box<str>,
    /// Whether it said something that is kept no longer, was erased, or was not read.
    pub is_message_gone: bool,
}

/// What is counted of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Made by the client.
    pub id: IncidentId,
    /// Keyed digest of what the client sent, if there was a secret, which is in it: without the
    /// secret nobody can try out what it is of.
    pub digest: Option<ContentDigest>,
    /// Hash of the secret, if there was one.
    pub secret_hash: Option<SecretHash>,
    /// The hour, or the day if only that is known.
    pub time: RowTime,
    /// How finely the time is known.
    pub precision: TimePrecision,
    /// Who reported.
    pub reporter: ReporterKind,
    /// What the traveller was on.
    pub mode: Option<Mode>,
    /// What the tap was meant to do.
    pub tap_kind: Option<TapKind>,
    /// The operator, where it could be found.
    pub operator: Option<OperatorCode>,
    /// The line, if exactly one was found.
    pub line: Option<LineId>,
    /// How the line was matched; `None` if nothing was written.
    pub line_resolution: Option<Resolution>,
    /// Whether that match lies outside the line's dates of validity.
    pub line_outside_validity: bool,
    /// The stop, if exactly one was found.
    pub stop: Option<StopId>,
    /// How the stop was matched; `None` if nothing was written.
    pub stop_resolution: Option<Resolution>,
    /// Version of the network that matched them.
    pub network_version: u32,
    /// The device that the card was held to.
    pub reader_kind: Option<ReaderKind>,
    /// What the reader showed or sounded.
    pub signal: Option<Signal>,
    /// Green, but found later not to be registered.
    pub found_later: bool,
    /// Attempts; 0 is "not said".
    pub attempts: u8,
    /// Whether others got through.
    pub others_got_through: Option<OthersGotThrough>,
    /// Whether the card worked elsewhere or later.
    pub worked_later: Option<WorkedLater>,
    /// Claimed causes.
    pub cause_claims: CauseClaims,
    /// What was held to the reader.
    pub card_kind: Option<CardKind>,
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
    /// Whether a card number came with it.
    pub card_given: bool,
    /// Whether an installation identifier came with it.
    pub installation_given: bool,
    /// Whether an edition must leave it out: it came from one of more new installations
    /// without a card than an address prefix may have for an operator in a day.
    pub is_uncountable: bool,
    /// Whether staff who promised to call back did; told later.
    pub called_back: Option<CalledBack>,
    /// Where the incident was recorded that this tells again, if it does; see
    /// `limits::TOLD_AGAIN_MS_MAX`. Then it is kept, and counts nothing.
    pub told_again: Option<Position>,
    /// Whether nothing but the card tells that; see [`Facts::own_earlier`]. Of old entries: such
    /// a report counts now.
    pub is_told_again_by_card: bool,
}

/// What an entry tells of staff, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldOfStaff {
    /// Whether staff were there.
    pub present: Option<StaffPresence>,
    /// What they did.
    pub acts: SetOf<StaffAct>,
    /// How it ended.
    pub outcomes: SetOf<Outcome>,
    /// Whether staff who promised to call back did; told later.
    pub called_back: Option<CalledBack>,
}

impl Facts {
    /// What they tell of staff.
    pub fn of_staff(&self) -> ToldOfStaff {
        ToldOfStaff {
            present: self.staff_present,
            acts: self.staff_acts,
            outcomes: self.outcomes,
            called_back: self.called_back,
        }
    }

    /// Where the incident was recorded that this tells again, as far as its reporter may know:
    /// only if that came from the same installation, or with the same secret. Whoever knows
    /// another's card number could else ask what was reported with it.
    pub fn own_earlier(&self) -> Option<Position> {
        self.told_again.filter(|_| !self.is_told_again_by_card)
    }
}

/// What else was told about an incident. Never enters the store, logs or default backups.
#[derive(Clone, Debug, PartialEq)]
pub struct Personal {
    /// When it happened; for an incident known to the day, noon of that day.
    pub occurred: UtcMillis,
    /// Milliseconds that were added for a wrong device clock.
    pub clock_correction_ms: i64,
    /// Pseudonym of the card.
    pub card: Option<Pseudonym>,
    /// Pseudonym of the installation.
    pub installation: Option<Pseudonym>,
    /// Key period of the pseudonyms.
    pub key_period: u32,
    /// Vehicle number; may be empty.
    pub vehicle: SmolStr,
    /// Words on the display; may be empty.
    pub display_text: SmolStr,
    /// The operator as written; may be empty.
    pub operator_words: SmolStr,
    /// The line as written; may be empty.
    pub line_words: SmolStr,
    /// The direction as written; may be empty.
    pub direction_words: SmolStr,
    /// The stop as written; may be empty.
    pub stop_words: SmolStr,
    /// Private note; may be empty.
    pub note: SmolStr,
    /// Whether the operator may read the note.
    pub note_to_operator: bool,
    /// Lines that fit, if several did.
    pub line_candidates: Vec<LineId>,
    /// Stops that fit, if several did.
    pub stop_candidates: Vec<StopId>,
    /// Whether there were words that have been taken away since. Never so when it is recorded.
    pub words_removed: bool,
    /// Keyed digest of what the client sent, if there was no secret. Whoever has the key can try
    /// out what it is of, so that it goes with the words.
    pub digest: Option<ContentDigest>,
}
