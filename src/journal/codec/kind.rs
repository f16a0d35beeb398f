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
const WIRE_TYPE_BITS: u32 = 3;

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
        let Some(kind) = kind_of(facts) else {
            // It cannot be decoded, which is to be told.
            return true;
        };
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

/// The kind of an entry, by its encoded facts; `None` if they are empty. An entry is one field,
/// whose number is its kind, and only the first byte of the field's key is read:
///
/// ```text
/// 1 to 15    0 k k k k w w w
/// 16 to 31   1 k k k k w w w   0 0 0 0 0 0 0 1
/// ```
///
/// `k` are the low bits of the number, `w` the type on the wire. The first bit says that another
/// byte follows, as it does from 16 on; without the type's bits it stands where the 16 does.
pub(super) fn kind_of(facts: &[u8]) -> Option<u32> {
    let first = facts.first()?;
    Some(u32::from(*first) >> WIRE_TYPE_BITS)
}

/// Whether an entry is about one incident, by its encoded facts: such an entry goes when single
/// incidents are kept no longer.
pub(in crate::journal) fn is_of_incident(facts: &[u8]) -> bool {
    let of_incidents = [INCIDENT, WITHDRAWN, AMENDED, ERASED, ANSWERED];
    kind_of(facts).is_some_and(|kind| of_incidents.contains(&kind))
}
