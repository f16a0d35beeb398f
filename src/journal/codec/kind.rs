//! The kinds of entries, told without decoding them.

/// Kinds of entries that are many, by their numbers in the schema.
pub(super) const INCIDENT: u32 = 1;
pub(super) const WITHDRAWN: u32 = 2;
pub(super) const AMENDED: u32 = 8;
pub(super) const TAP_COUNTS: u32 = 5;
pub(super) const TAP_COUNTS_REMOVED: u32 = 6;
pub(super) const EDITION_CLOSED: u32 = 7;
pub(super) const ERASED: u32 = 9;
pub(super) const ANSWERED: u32 = 10;
pub(super) const PERSONAL_REMOVED: u32 = 11;
pub(super) const KEYS_CHANGED: u32 = 15;
pub(super) const RESTORED: u32 = 16;
/// Bits of a field's key below its number.
pub(super) const WIRE_TYPE_BITS: u32 = 3;

/// Which entries are read. Of the others it is proved that they are whole, and they are passed
/// over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every entry.
    All,
    /// Every entry but tap counts.
    AllButTaps,
    /// Tap counts.
    Taps,
    /// Tap counts, and what says that some are kept no longer.
    TapChanges,
    /// What says that an edition was closed.
    Editions,
    /// What tells which keys are in use.
    Keys,
    /// What says that the record goes on from a copy.
    Restores,
    /// What says that personal data was taken away.
    Removals,
}

impl Wanted {
    /// Whether an entry is read, by its encoded facts.
    pub(in crate::journal) fn is_met_by(self, facts: &[u8]) -> bool {
        let Some(first) = facts.first() else {
            // It cannot be decoded, which is to be told.
            return true;
        };
        let kind = kind_of(*first);
        match self {
            Self::All => true,
            Self::AllButTaps => kind != TAP_COUNTS,
            Self::Taps => kind == TAP_COUNTS,
            Self::TapChanges => kind == TAP_COUNTS || kind == TAP_COUNTS_REMOVED,
            Self::Editions => kind == EDITION_CLOSED,
            Self::Keys => kind == KEYS_CHANGED,
            Self::Restores => kind == RESTORED,
            Self::Removals => kind == PERSONAL_REMOVED,
        }
    }
}

/// The kind of an entry, by the first byte of its facts. An entry is one field, whose number is
/// its kind. From 16 on, where a second byte follows, the mark of that stands for the 16; so it
/// tells kinds up to 31.
fn kind_of(first: u8) -> u32 {
    u32::from(first) >> WIRE_TYPE_BITS
}

/// Whether an entry is about one incident, by its encoded facts: such an entry goes when single
/// incidents are kept no longer.
pub(in crate::journal) fn is_of_incident(facts: &[u8]) -> bool {
    let kind = facts.first().map_or(0, |first| kind_of(*first));
    [INCIDENT, WITHDRAWN, AMENDED, ERASED, ANSWERED].contains(&kind)
}
