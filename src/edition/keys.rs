//! Under which key of pseudonyms a report was told.
//!
//! Each quarter has a key, and may have several, one after the other: keys are replaced, and their
//! file can be lost and come back. The journal is told of each by a fingerprint before anything is
//! reported under it. A quarter's keys are numbered in the order in which they were told of first, so
//! that one that came back has its number again.

use std::collections::BTreeMap;

use super::gather::first_at;
use super::month;
use crate::domain::limits::KEY_AHEAD_DAYS;
use crate::domain::time::DAY_MS;
use crate::domain::{Entry, Fingerprint, KeysTold, LocalMonth, Position, UtcMillis};
use crate::journal::{JournalError, Reader, Wanted};

/// The keys of quarters, as the journal was told of them so far.
#[derive(Debug, Default)]
pub struct KeysOfQuarters(BTreeMap<i32, KeysOfQuarter>);

/// The keys that one quarter has had.
#[derive(Debug, Default)]
struct KeysOfQuarter {
    known: Vec<Fingerprint>,
    in_use: u32,
}

impl KeysOfQuarters {
    /// As they were known to an entry, for reports of a month. None was made earlier than so many
    /// days before its quarter began.
    pub fn told_before(
        reader: &Reader,
        month: LocalMonth,
        before: Position,
    ) -> Result<Self, JournalError> {
        let begins = month::first_day(month::quarter_begins(month))
            .start()
            .start();
        // A day more, because days of the clocks' change have 23 hours.
        let made = UtcMillis(begins.0 - (KEY_AHEAD_DAYS + 1) * DAY_MS);
        let mut keys = Self::default();
        for record in reader.wanted_from(first_at(reader, made)?, Wanted::Keys) {
            let record = record?;
            if before <= record.position {
                break;
            }
            if let Entry::KeysChanged(told) = record.entry {
                keys.tell(&told);
            }
        }
        Ok(keys)
    }

    /// Takes in which keys are used from here on. A quarter that is not named has none any more, and
    /// nothing can be told under one.
    pub fn tell(&mut self, told: &KeysTold) {
        for (period, fingerprint) in &told.periods {
            let Ok(quarter) = i32::try_from(*period) else {
                continue;
            };
            self.0.entry(quarter).or_default().tell(*fingerprint);
        }
    }

    /// The number of the key under which a report of a month is told here. Before the first was
    /// told of, it was in use already.
    pub fn in_use(&self, month: LocalMonth) -> u32 {
        let keys = self.0.get(&month::quarter(month));
        keys.map_or(0, |keys| keys.in_use)
    }
}

impl KeysOfQuarter {
    fn tell(&mut self, fingerprint: Fingerprint) {
        let known = self.known.iter().position(|known| *known == fingerprint);
        let place = known.unwrap_or(self.known.len());
        if known.is_none() {
            self.known.push(fingerprint);
        }
        self.in_use = u32::try_from(place).expect("fewer keys than entries of a quarter");
    }
}
