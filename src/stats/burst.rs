//! Whether a figure rests on few days: what it would be if no day counted for more than three
//! times the median day.
//!
//! A line that is talked about, or that somebody wants to be talked about, has many reports on
//! one day. They may all be true, but a figure that rests on them says little of the other
//! days, and is to be marked. Here are only counts of days: what they are of is no concern of
//! this module.

/// How many times the median day a day counts, at most.
const MEDIANS: u64 = 3;
/// What a day counts in any case.
const DAY_MIN: u64 = 3;
/// A figure rests on few days if capping takes more than one of so many parts of it.
const PART: u64 = 5;

/// Whether capping each day at three times the median day, but at no less than three, changes
/// the sum by more than a fifth. `counts` are those of the days that have any, of so many days;
/// all others have none. False if there are no days.
pub fn rests_on_few_days(counts: &[u64], days: usize) -> bool {
    // Twice of everything, as the median of an even number of days may lie between two.
    let cap = (MEDIANS * twice_the_median(counts, days)).max(2 * DAY_MIN);
    let all: u64 = counts.iter().map(|count| 2 * count).sum();
    let capped: u64 = counts.iter().map(|count| (2 * count).min(cap)).sum();
    all < PART * (all - capped)
}

/// Twice the median of all days, those without any included.
fn twice_the_median(counts: &[u64], days: usize) -> u64 {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    let without = days.saturating_sub(sorted.len());
    let all = without + sorted.len();
    let of_rank = |rank: usize| {
        let place = rank.checked_sub(without);
        place.and_then(|place| sorted.get(place)).copied()
    };
    match all {
        0 => 0,
        _ => of_rank((all - 1) / 2).unwrap_or(0) + of_rank(all / 2).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Counted by hand.
    #[test]
    fn figure_is_marked_when_capping_changes_it_by_more_than_a_fifth() {
        let check = |counts: &[u64], days, expected| {
            assert_eq!(rests_on_few_days(counts, days), expected, "{counts:?}");
        };
        // Nothing to cap.
        check(&[], 0, false);
        check(&[], 31, false);
        check(&[3], 31, false);
        // Median 0, so a day counts 3: of 4 one is lost, a quarter; of 8 one, an eighth.
        check(&[4], 31, true);
        check(&[4, 2, 2], 31, false);
        // Of 15 and of 5 one fifth is lost, which is not more than a fifth.
        check(&[6, 3, 3, 3], 31, false);
        check(&[4, 1], 31, false);
        check(&[7, 3, 3, 3], 31, true);
        // Median 2 of five days, so a day counts 6: of 28 in all 14 are lost.
        check(&[2, 2, 2, 2, 20], 5, true);
        // The same reports among 31 days: the median day has none.
        check(&[2, 2, 2, 2, 20], 31, true);
        // Median 10, so a day counts 30: 10 of 80 are lost.
        check(&[10, 10, 10, 10, 40], 5, false);
        // Of 96 in all 26 are lost.
        check(&[10, 10, 10, 10, 56], 5, true);
        // Four days, median 1.5, so a day counts 4.5: of 9 in all 1.5 are lost, of 10 2.5.
        check(&[1, 1, 2, 6], 4, false);
        check(&[0, 1, 2, 7], 4, true);
    }

    proptest! {
        #[test]
        fn equal_days_are_never_marked(count in 0_u64..1_000, days in 0_usize..100) {
            prop_assert!(!rests_on_few_days(&vec![count; days], days));
        }

        #[test]
        fn days_without_any_count_as_days_in_either_form(
            counts in prop::collection::vec(0_u64..12, 0..40)
        ) {
            let told: Vec<_> = counts.iter().copied().filter(|count| 0 < *count).collect();
            prop_assert_eq!(
                rests_on_few_days(&counts, counts.len()),
                rests_on_few_days(&told, counts.len())
            );
        }
    }
}
