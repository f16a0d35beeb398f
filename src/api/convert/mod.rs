//! Between API messages and domain types, in two families: `parse_*` may fail and then
//! tells every violation with its path; `to_*` cannot fail.

pub mod case;
pub mod choices;
pub mod compare;
pub mod edition;
pub mod figures;
pub mod incident;
pub mod log;
pub mod method;
pub mod network;
pub mod outage;
pub mod rank;
pub mod rates;
pub mod recorded;
pub mod staff;
pub mod taps;
pub mod violation;
pub mod way_back;

use prost_types::{Duration, Timestamp};

use crate::domain::UtcMillis;
use crate::domain::taxonomy::{SetOf, Taxonomy};

const NANOS_PER_MS: i32 = 1_000_000;
const NANOS_END: i32 = 1_000_000_000;
const MS_PER_SECOND: i64 = 1_000;

/// The API's number of a value; 0 if it was not said.
pub fn to_number<T: Taxonomy>(value: Option<T>) -> i32 {
    value.map_or(0, |value| i32::from(value.number()))
}

/// The API's numbers of a set.
pub fn to_numbers<T: Taxonomy>(set: SetOf<T>) -> Vec<i32> {
    set.iter().map(|value| to_number(Some(value))).collect()
}

/// A point in time as the API writes it.
pub fn to_timestamp(at: UtcMillis) -> Timestamp {
    let nanos = at.0.rem_euclid(MS_PER_SECOND) * i64::from(NANOS_PER_MS);
    Timestamp {
        seconds: at.0.div_euclid(MS_PER_SECOND),
        nanos: i32::try_from(nanos).expect("below a thousand million"),
    }
}

/// A length of time as the API writes it.
pub fn to_duration(length: std::time::Duration) -> Duration {
    Duration {
        seconds: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(length.subsec_nanos()).expect("below a thousand million"),
    }
}

/// A point in time, cut to milliseconds; `None` if it is out of any range.
fn parse_millis(timestamp: &Timestamp) -> Option<UtcMillis> {
    if !(0..NANOS_END).contains(&timestamp.nanos) {
        return None;
    }
    let ms = timestamp.seconds.checked_mul(MS_PER_SECOND)?;
    ms.checked_add(i64::from(timestamp.nanos / NANOS_PER_MS))
        .map(UtcMillis)
}

/// A length of time in milliseconds; `None` if it is negative, finer than that or out of
/// any range.
fn parse_duration_ms(duration: &Duration) -> Option<u64> {
    if !(0..NANOS_END).contains(&duration.nanos) || duration.nanos % NANOS_PER_MS != 0 {
        return None;
    }
    let ms = duration.seconds.checked_mul(MS_PER_SECOND)?;
    u64::try_from(ms.checked_add(i64::from(duration.nanos / NANOS_PER_MS))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_survive_both_ways_to_the_millisecond() {
        for ms in [0, 1, -1, 999, -1_001, 1_795_000_000_123] {
            let there = to_timestamp(UtcMillis(ms));
            assert_eq!(parse_millis(&there), Some(UtcMillis(ms)), "{ms}");
        }
    }

    #[test]
    fn timestamps_and_durations_out_of_range_are_none() {
        let at = |seconds, nanos| parse_millis(&Timestamp { seconds, nanos });
        assert_eq!(at(i64::MAX, 0), None);
        assert_eq!(at(i64::MIN, 0), None);
        assert_eq!(at(0, -1), None);
        assert_eq!(at(0, NANOS_END), None);
        let lasts = |seconds, nanos| parse_duration_ms(&Duration { seconds, nanos });
        assert_eq!(lasts(-1, 0), None);
        assert_eq!(lasts(i64::MAX, 0), None);
        assert_eq!(lasts(0, 1), None);
        assert_eq!(lasts(1, 500 * NANOS_PER_MS), Some(1_500));
    }
}
