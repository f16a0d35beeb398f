//! From which address prefix the latest reports of people came, as far as it takes to tell those
//! behind one prefix from others.
//!
//! Kept beside the ledger's last 25 hours, in memory alone and only as a hash under a key of the
//! process: after a restart nobody knows where the reports of before came from. Devices have tokens
//! and are no reporters; where they are is not remembered.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, PoisonError};

use crate::domain::limits::{ORIGINS_REMEMBERED_MAX, RECENT_MINUTES};
use crate::domain::time::MINUTE_MS;
use crate::domain::{AddressPrefix, Position, UtcMillis};

/// How long it is remembered, in milliseconds: as long as others' reports are looked at.
const REMEMBERED_MS: i64 = MINUTE_MS * RECENT_MINUTES as i64;

/// Where a report came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Neighbourhood {
    /// It is not known, or no longer.
    Unknown,
    /// From this machine itself: a tool on it, or a proxy that the instance was not told of.
    Here,
    /// From an address prefix, of which this is the hash.
    Prefix(u64),
}

/// Where the latest reports came from. Shared by all tasks.
#[derive(Default)]
pub(super) struct Origins {
    key: RandomState,
    /// Rising by position.
    latest: Mutex<VecDeque<Remembered>>,
}

struct Remembered {
    position: Position,
    received: UtcMillis,
    from: Neighbourhood,
}

impl Origins {
    /// Remembers where reports of one call came from that were just recorded, rising by
    /// position; `None` for this machine.
    pub fn remember(
        &self,
        reports: impl IntoIterator<Item = (Position, UtcMillis, Option<AddressPrefix>)>,
    ) {
        let remembered = |(position, received, prefix): (_, _, Option<_>)| Remembered {
            position,
            received,
            from: prefix.map_or(Neighbourhood::Here, |prefix| {
                Neighbourhood::Prefix(self.key.hash_one(prefix))
            }),
        };
        let mut reports = reports.into_iter().map(remembered).peekable();
        let Some(first) = reports.peek().map(|report| report.position) else {
            return;
        };
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        // Hardly ever many: calls end in about the order of their entries.
        let is_later = |known: &&Remembered| first < known.position;
        let later = latest.iter().rev().take_while(is_later).count();
        let place = latest.len() - later;
        let later = latest.split_off(place);
        if later.is_empty() {
            latest.extend(reports);
        } else {
            let mut rest: Vec<_> = reports.chain(later).collect();
            rest.sort_by_key(|report| report.position);
            latest.extend(rest);
        }
        // Stamps rise with positions.
        let newest = latest.back().map(|report| report.received);
        let is_over = |oldest: &mut Remembered| {
            newest.is_some_and(|newest| oldest.received.0 + REMEMBERED_MS < newest.0)
        };
        while latest.pop_front_if(is_over).is_some() {}
        let too_many = latest.len().saturating_sub(ORIGINS_REMEMBERED_MAX);
        latest.drain(..too_many);
    }

    /// Where the reports at these places came from, in their order.
    pub fn of(&self, places: &[Position]) -> Vec<Neighbourhood> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |position: &Position| {
            let found = latest.binary_search_by_key(position, |known| known.position);
            found.map_or(Neighbourhood::Unknown, |place| latest[place].from)
        };
        places.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: Option<AddressPrefix> = Some(AddressPrefix::V4([192, 0, 2]));
    const ANOTHER: Option<AddressPrefix> = Some(AddressPrefix::V4([198, 51, 100]));

    fn of(origins: &Origins, position: u64) -> Neighbourhood {
        origins.of(&[Position(position)])[0]
    }

    #[test]
    fn reports_of_one_prefix_are_told_from_others_in_whatever_order_they_end() {
        let origins = Origins::default();
        let at = |position, prefix| (Position(position), UtcMillis(0), prefix);
        origins.remember([at(3, PREFIX), at(6, ANOTHER)]);
        origins.remember([at(1, PREFIX)]);
        origins.remember([at(2, ANOTHER), at(5, None)]);
        origins.remember([]);
        assert_eq!(of(&origins, 1), of(&origins, 3));
        assert_ne!(of(&origins, 1), of(&origins, 2));
        assert_eq!(of(&origins, 4), Neighbourhood::Unknown);
        assert_eq!(of(&origins, 5), Neighbourhood::Here);
        assert!(matches!(of(&origins, 2), Neighbourhood::Prefix(_)));
        assert_eq!(of(&origins, 6), of(&origins, 2));
    }

    #[test]
    fn what_is_too_old_or_too_much_is_forgotten() {
        let origins = Origins::default();
        let remember = |position, received_ms, prefix| {
            origins.remember([(Position(position), UtcMillis(received_ms), prefix)]);
        };
        remember(1, 0, PREFIX);
        remember(2, REMEMBERED_MS, PREFIX);
        assert_ne!(of(&origins, 1), Neighbourhood::Unknown);
        remember(3, REMEMBERED_MS + 1, PREFIX);
        assert_eq!(of(&origins, 1), Neighbourhood::Unknown);
        let received = UtcMillis(REMEMBERED_MS + 1);
        let positions = (4..).take(ORIGINS_REMEMBERED_MAX - 1);
        origins.remember(positions.map(|position| (Position(position), received, ANOTHER)));
        assert_eq!(of(&origins, 2), Neighbourhood::Unknown);
        assert_ne!(of(&origins, 3), Neighbourhood::Unknown);
    }
}
