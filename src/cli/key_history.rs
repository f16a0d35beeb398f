//! What the journal tells about the keys of pseudonyms: when each was made, when it was replaced,
//! when it was destroyed, and when the file of all of them was lost. The file itself tells nothing of that: a new one
//! takes the place of one that is gone.

use std::collections::BTreeSet;
use std::path::Path;

use crate::auth::{Keys, period_ends_at};
use crate::domain::entry::Removal;
use crate::domain::{Entry, KeysTold, LocalDay, UtcMillis};
use crate::journal::{self, JournalError, Reader, Wanted};

/// What it means that a key file is gone, wherever it is said.
pub(super) const LOSS_MEANS: &str = "cards and installations of before cannot be joined with later ones, reports of before that \
     are sent again are refused, and case numbers, tokens and citations of before lead nowhere";

/// What the journal was told, in its order, and on which days.
#[derive(Debug, Default)]
pub(super) struct KeyHistory {
    told: Vec<(LocalDay, KeysTold)>,
    /// Through which quarter keys and pseudonyms were destroyed.
    destroyed: Vec<(LocalDay, u32)>,
}

impl KeyHistory {
    /// Of a data folder; nothing if it has no journal.
    pub fn of_folder(dir: &Path) -> Result<Self, JournalError> {
        let journal_dir = dir.join("journal");
        if !journal::exists(&journal_dir)? {
            return Ok(Self::default());
        }
        Self::read(&journal::open_reader(&journal_dir)?.0)
    }

    /// Reads a journal for it.
    pub fn read(reader: &Reader) -> Result<Self, JournalError> {
        let mut history = Self::default();
        let day = |stamp: UtcMillis| stamp.hour().map(|hour| hour.local_day());
        for record in reader.wanted_from(reader.horizon(), Wanted::Keys) {
            let record = record?;
            if let Entry::KeysChanged(keys) = record.entry {
                history
                    .told
                    .extend(day(record.stamp).map(|day| (day, keys)));
            }
        }
        for record in reader.wanted_from(reader.horizon(), Wanted::Removals) {
            let record = record?;
            if let Entry::PersonalRemoved {
                removal: Removal::Pseudonyms { key_period },
                ..
            } = record.entry
            {
                let destroyed = day(record.stamp).map(|day| (day, key_period));
                history.destroyed.extend(destroyed);
            }
        }
        Ok(history)
    }

    /// The quarters whose keys were destroyed, rising, and on which day each was: those of which
    /// the journal was told a key, and the last ones that it says so of.
    pub fn destroyed(&self) -> Vec<(u32, LocalDay)> {
        let known = self.told.iter().flat_map(|(_, told)| told.periods.keys());
        let named = self.destroyed.iter().map(|(_, period)| period);
        let periods: BTreeSet<u32> = known.chain(named).copied().collect();
        let on = |period| {
            let mut destroyed = self.destroyed.iter();
            let first = destroyed.find(|(_, through)| period <= *through);
            first.map(|(day, _)| (period, *day))
        };
        periods.into_iter().filter_map(on).collect()
    }

    /// When the key of a quarter that a file has was told of first, and as what.
    pub fn since(&self, file: &KeysTold, period: u32) -> Option<String> {
        let of_file = self
            .told
            .iter()
            .filter(|(_, told)| told.digest == file.digest);
        let keys = of_file.filter_map(|(day, told)| Some((*day, *told.periods.get(&period)?)));
        let keys: Vec<_> = keys.collect();
        let key = file.periods.get(&period)?;
        let (day, _) = keys.iter().find(|(_, told)| told == key)?;
        let is_first = keys.first().is_some_and(|(_, told)| told == key);
        let what = if is_first { "made" } else { "replaced" };
        Some(format!("{what} by {day}"))
    }

    /// Every time at which another file took the place of the one before, the file that is there
    /// now included; `None` where there is none.
    pub fn losses(&self, file: Option<&KeysTold>) -> Vec<String> {
        let mut losses = Vec::new();
        for (index, (day, told)) in self.told.iter().enumerate().skip(1) {
            let before = &self.told[..index];
            if before[index - 1].1.digest == told.digest {
                continue;
            }
            let came_back = before.iter().any(|(_, one)| one.digest == told.digest);
            losses.push(if came_back {
                format!("the file of before came back by {day}")
            } else {
                format!("LOST by {day}, and new ones made: {LOSS_MEANS}")
            });
        }
        if let (Some(file), Some((_, last))) = (file, self.told.last())
            && file.digest != last.digest
        {
            losses.push(format!(
                "LOST: the file is another one than the journal was told of last; {LOSS_MEANS}"
            ));
        }
        losses
    }

    /// Quarters of which the journal knows a key that should live and that the file does not
    /// have.
    pub fn missing(&self, file: &KeysTold, now: UtcMillis) -> Vec<u32> {
        let last = self
            .told
            .last()
            .filter(|(_, last)| last.digest == file.digest);
        let periods = last.into_iter().flat_map(|(_, last)| last.periods.keys());
        let is_missing =
            |period: &&u32| !file.periods.contains_key(period) && now < period_ends_at(**period);
        periods.filter(is_missing).copied().collect()
    }
}

/// Fingerprints of the keys of a folder; `None` if it has no key file.
pub(super) fn file(dir: &Path) -> Result<Option<KeysTold>, crate::auth::KeyError> {
    if Keys::exist(dir) {
        Ok(Some(Keys::open(dir)?.told()))
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Fingerprint;

    fn day(text: &str) -> LocalDay {
        LocalDay::parse(text).expect("a date")
    }

    fn told(digest: u8, periods: &[(u32, u8)]) -> KeysTold {
        let print = |byte| Fingerprint([byte; 8]);
        let periods = periods.iter().map(|(period, key)| (*period, print(*key)));
        KeysTold {
            digest: print(digest),
            periods: periods.collect(),
        }
    }

    fn history(notes: &[(&str, KeysTold)]) -> KeyHistory {
        let notes = notes.iter().map(|(text, told)| (day(text), told.clone()));
        KeyHistory {
            told: notes.collect(),
            destroyed: Vec::new(),
        }
    }

    #[test]
    fn key_was_made_when_it_was_told_of_first_and_replaced_where_another_was_before() {
        let first = told(1, &[(8_107, 1)]);
        let both = told(1, &[(8_107, 1), (8_108, 2)]);
        let rotated = told(1, &[(8_107, 3), (8_108, 4)]);
        let history = history(&[
            ("2026-10-01", first),
            ("2026-12-01", both),
            ("2026-12-05", rotated.clone()),
        ]);
        let since = |file, period| history.since(file, period);
        assert_eq!(
            since(&rotated, 8_107).as_deref(),
            Some("replaced by 2026-12-05")
        );
        let kept = told(1, &[(8_107, 1), (8_108, 2)]);
        assert_eq!(since(&kept, 8_107).as_deref(), Some("made by 2026-10-01"));
        assert_eq!(since(&kept, 8_108).as_deref(), Some("made by 2026-12-01"));
        assert_eq!(
            since(&told(1, &[(8_107, 9)]), 8_107),
            None,
            "not told of yet"
        );
        assert!(history.losses(Some(&rotated)).is_empty());
    }

    #[test]
    fn lost_file_stays_in_sight_and_one_that_came_back_is_told_as_that() {
        let (old, new) = (told(1, &[(8_107, 1)]), told(2, &[(8_107, 2)]));
        let lost = history(&[("2026-10-01", old.clone()), ("2026-11-03", new.clone())]);
        let losses = lost.losses(Some(&new));
        assert_eq!(losses.len(), 1);
        assert!(losses[0].starts_with("LOST by 2026-11-03"), "{losses:?}");
        assert!(losses[0].contains("case numbers"), "{losses:?}");
        // Months later, too, and where the file is gone again.
        assert_eq!(lost.losses(None), losses);
        let back = history(&[
            ("2026-10-01", old.clone()),
            ("2026-11-03", new.clone()),
            ("2026-11-04", old.clone()),
        ]);
        let told = back.losses(Some(&old));
        assert_eq!(told[0], losses[0]);
        assert_eq!(told[1..], ["the file of before came back by 2026-11-04"]);
        // Before the next start has noted it.
        let unnoted = history(&[("2026-10-01", old)]);
        assert!(unnoted.losses(Some(&new))[0].starts_with("LOST: the file is another"));
        assert!(unnoted.losses(None).is_empty());
    }

    #[test]
    fn destroyed_quarter_has_the_day_on_which_the_journal_says_so_first() {
        let mut history = history(&[
            ("2026-06-01", told(1, &[(8_104, 1), (8_105, 2)])),
            ("2026-12-01", told(1, &[(8_106, 3), (8_107, 4)])),
        ]);
        assert_eq!(history.destroyed(), []);
        history.destroyed = vec![
            (day("2026-07-22"), 8_105),
            (day("2026-10-22"), 8_106),
            // Once more, after the journal came back from a copy.
            (day("2026-11-02"), 8_106),
        ];
        let days = [
            (8_104, "2026-07-22"),
            (8_105, "2026-07-22"),
            (8_106, "2026-10-22"),
        ];
        assert_eq!(history.destroyed(), days.map(|(one, on)| (one, day(on))));
    }

    #[test]
    fn key_that_should_live_and_is_not_there_is_missing() {
        let history = history(&[("2026-12-01", told(1, &[(8_106, 1), (8_107, 2)]))]);
        let at = |text| day(text).start().start();
        let missing = |file: &KeysTold, text| history.missing(file, at(text));
        let left = told(1, &[(8_107, 2)]);
        // The third quarter of 2026 ends on day 22 of October.
        assert_eq!(missing(&left, "2026-10-10"), [8_106]);
        assert!(missing(&left, "2026-12-01").is_empty());
        assert_eq!(missing(&told(1, &[]), "2026-12-01"), [8_107]);
        assert!(
            missing(&told(2, &[]), "2026-12-01").is_empty(),
            "told of as a whole"
        );
    }
}
