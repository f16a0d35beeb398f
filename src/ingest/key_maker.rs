//! Makes keys of pseudonyms ahead, so that no report waits for a disk to get one.

use std::sync::Arc;

use crate::auth::{KeyError, Keys, key_period, period_begins, period_ends_at};
use crate::domain::limits::{INCIDENT_AGE_DAYS_MAX, KEY_AHEAD_DAYS};
use crate::domain::time::DAY_MS;
use crate::domain::{LocalDay, Minute, UtcMillis};

/// Keeps a key for every quarter that a report may lie in.
pub(super) struct KeyMaker {
    keys: Arc<Keys>,
    /// The day for which all are made.
    made: Option<LocalDay>,
    /// When making them failed.
    failed: Option<Minute>,
}

impl KeyMaker {
    /// Makes all that are missing.
    pub fn start(keys: Arc<Keys>, now: UtcMillis) -> Result<Self, KeyError> {
        let mut maker = Self {
            keys,
            made: None,
            failed: None,
        };
        maker.make(now)?;
        Ok(maker)
    }

    /// Makes what is missing on a new day; after a failure again each minute.
    pub fn keep(&mut self, now: UtcMillis) {
        if self.failed.is_some() && self.failed == now.minute() {
            return;
        }
        self.failed = None;
        if let Err(error) = self.make(now) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                error,
                "keys of coming quarters cannot be made; reports from them will be refused"
            );
            self.failed = now.minute();
        }
    }

    fn make(&mut self, now: UtcMillis) -> Result<(), KeyError> {
        let Some(today) = day(now, 0) else {
            return Ok(());
        };
        if self.made == Some(today) {
            return Ok(());
        }
        // A day more, because days of the clocks' change have 23 hours.
        let oldest = day(now, -INCIDENT_AGE_DAYS_MAX - 1).unwrap_or(today);
        let mut period = key_period(oldest);
        // What comes later of a quarter whose last edition has closed counts in none.
        while period_ends_at(period) <= now {
            period += 1;
        }
        let from = period_begins(period).min(today);
        let through = day(now, KEY_AHEAD_DAYS).unwrap_or(today);
        self.keys.make(from, through)?;
        self.made = Some(today);
        Ok(())
    }
}

/// The day so many days from now; `None` outside the supported years.
fn day(now: UtcMillis, days: i64) -> Option<LocalDay> {
    let then = UtcMillis(now.0.saturating_add(days * DAY_MS));
    Some(then.hour()?.local_day())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::CardNumber;

    fn at(text: &str) -> UtcMillis {
        let day = LocalDay::parse(text).expect("a date");
        UtcMillis(day.start().start().0 + DAY_MS / 2)
    }

    #[test]
    fn there_is_a_key_for_each_day_of_a_report_and_the_next_quarters_a_month_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Arc::new(Keys::open(folder.path()).expect("made"));
        let card = CardNumber::parse("3528 0000 0000 0007").expect("valid");
        let card = card.expect("not empty");
        let has = |text| {
            let day = LocalDay::parse(text).expect("a date");
            keys.card(&card, day).is_ok()
        };
        let mut maker = KeyMaker::start(Arc::clone(&keys), at("2026-11-23")).expect("made");
        assert!(has("2026-10-01") && has("2026-11-24") && has("2026-12-31"));
        // The last edition of September's quarter closed on day 22 of October.
        assert!(!has("2026-09-30") && !has("2025-10-19") && !has("2027-01-01"));
        maker.keep(at("2026-11-29"));
        assert!(!has("2027-01-01"));
        maker.keep(at("2026-12-01"));
        assert!(has("2027-01-01"));
    }
}
