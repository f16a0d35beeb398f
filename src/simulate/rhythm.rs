//! How busy an hour is: the rhythm of a weekday with two peaks, a quieter weekend, and a
//! night almost without taps. The share of the busiest hour, a tenth of a day's taps, is
//! that of Dutch check-ins in 2019.

use crate::domain::UtcMillis;

/// Weight of each local hour of a weekday; they add up to 240, ten an hour.
const WEEKDAY: [u8; 24] = [
    2, 1, 1, 1, 1, 3, 9, 19, 23, 14, 10, 10, 11, 11, 11, 13, 19, 22, 15, 11, 10, 9, 8, 6,
];
/// Weight of each local hour of a Saturday or Sunday.
const WEEKEND: [u8; 24] = [
    4, 3, 2, 1, 1, 1, 2, 3, 5, 7, 9, 10, 11, 11, 11, 11, 11, 10, 8, 7, 6, 6, 6, 5,
];

/// How many times as busy as an average hour of a weekday the hour at this instant is.
pub fn weight(at: UtcMillis) -> f32 {
    let Some(hour) = at.hour() else { return 0.0 };
    let is_weekend = 6 <= hour.local_day().weekday();
    let hours = if is_weekend { WEEKEND } else { WEEKDAY };
    f32::from(hours[usize::from(hour.hour_of_day())]) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_hour_of_a_weekday_weighs_one() {
        assert_eq!(
            WEEKDAY.iter().map(|hour| u32::from(*hour)).sum::<u32>(),
            240
        );
    }

    #[test]
    fn weekend_is_quieter() {
        let sum = |hours: [u8; 24]| hours.iter().map(|hour| u32::from(*hour)).sum::<u32>();
        assert!(sum(WEEKEND) < sum(WEEKDAY));
    }
}
