//! What staff did after a failed check-in: help, harm, promises kept, and each act's share.
//!
//! All shares stand on what was answered. A report counts where staff were present and the
//! question was answered; a missing answer is never a "no".

use super::dispersion::{Day, Dispersion};
use super::interval::{Interval, Level, Proportion};
use crate::domain::taxonomy::{CalledBack, Outcome, SetOf, StaffAct, StaffPresence, Taxonomy};

/// Acts that helped the traveller on.
pub const HELPING: [StaffAct; 3] = [
    StaffAct::LetRideFree,
    StaffAct::WaitedOrHelped,
    StaffAct::LetTryAgain,
];
/// Outcomes that cost the traveller money or the ride.
pub const HARMFUL: [Outcome; 4] = [
    Outcome::PaidAgain,
    Outcome::Surcharged,
    Outcome::Refused,
    Outcome::MissedRide,
];

/// What one report says of staff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaffAnswer {
    /// Whether staff were there; `None`: not answered.
    pub present: Option<StaffPresence>,
    /// What they did; empty: not answered.
    pub acts: SetOf<StaffAct>,
    /// How it ended; empty: not answered.
    pub outcomes: SetOf<Outcome>,
    /// Whether staff who promised to call back did; `None`: not answered.
    pub called_back: Option<CalledBack>,
}

/// What many reports say of staff. The counts of two windows merge into those of both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaffCounts {
    acts_answered: u64,
    both_answered: u64,
    helped: u64,
    harmed: u64,
    promised: u64,
    promise_answered: u64,
    kept: u64,
    acts: [u64; StaffAct::ALL.len()],
}

impl StaffCounts {
    /// Counts one report, where staff were present and what they did was answered.
    pub fn add(&mut self, answer: StaffAnswer) {
        if answer.present != Some(StaffPresence::Yes) || answer.acts.is_empty() {
            return;
        }
        let has = |act| answer.acts.contains(act);
        self.acts_answered += 1;
        for (count, act) in self.acts.iter_mut().zip(StaffAct::ALL) {
            *count += u64::from(has(*act));
        }
        if has(StaffAct::PromisedToCallBack) {
            let is_kept = has(StaffAct::CalledBack);
            self.promised += 1;
            self.promise_answered += u64::from(is_kept || answer.called_back.is_some());
            self.kept += u64::from(is_kept);
        }
        if !answer.outcomes.is_empty() {
            let is_harmful = |outcome| answer.outcomes.contains(outcome);
            self.both_answered += 1;
            self.helped += u64::from(HELPING.into_iter().any(has));
            self.harmed += u64::from(HARMFUL.into_iter().any(is_harmful));
        }
    }

    /// Adds the counts of other reports.
    pub fn merge(&mut self, other: &Self) {
        self.acts_answered += other.acts_answered;
        self.both_answered += other.both_answered;
        self.helped += other.helped;
        self.harmed += other.harmed;
        self.promised += other.promised;
        self.promise_answered += other.promise_answered;
        self.kept += other.kept;
        for (count, more) in self.acts.iter_mut().zip(other.acts) {
            *count += more;
        }
    }

    /// Help rate: reports with an act that helped the traveller on, of those that answered
    /// what staff did and how it ended. `None` without such reports, here and below.
    pub fn help(&self) -> Option<Proportion> {
        Proportion::new(self.helped, self.both_answered)
    }

    /// Harm rate: reports that ended in cost, refusal or a missed ride, on the same base as
    /// the help rate. A report can count in both.
    pub fn harm(&self) -> Option<Proportion> {
        Proportion::new(self.harmed, self.both_answered)
    }

    /// Promises kept: reports that say staff called back, of those that were promised it and
    /// came back to tell whether it happened. Who never came back is left out of the base: a
    /// missing answer is never a "no".
    pub fn promises_kept(&self) -> Option<Proportion> {
        Proportion::new(self.kept, self.promise_answered)
    }

    /// Reports that were promised a call, whether they told later what became of it or not.
    pub fn promised(&self) -> u64 {
        self.promised
    }

    /// Reports that tell what staff did, staff having been there.
    pub fn acts_answered(&self) -> u64 {
        self.acts_answered
    }

    /// Of them, those that tell how it ended as well.
    pub fn both_answered(&self) -> u64 {
        self.both_answered
    }

    /// Share of an act, of the reports that answered what staff did.
    pub fn share(&self, act: StaffAct) -> Option<Proportion> {
        let index = StaffAct::ALL.iter().position(|other| *other == act)?;
        Proportion::new(self.acts[index], self.acts_answered)
    }
}

/// A share of many days with its interval (Wilson), as wide as its days scatter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StaffShare {
    /// So many of so many.
    pub share: Proportion,
    /// From 0 to 1.
    pub interval: Interval,
}

impl StaffShare {
    /// The share that `of` takes of each day's counts, over all days; `None` if no day has any.
    pub fn over<'a>(
        days: impl Iterator<Item = &'a StaffCounts>,
        of: impl Fn(&StaffCounts) -> Option<Proportion>,
        level: Level,
    ) -> Option<Self> {
        let days: Vec<Day> = days
            .filter_map(of)
            .map(|day| Day {
                count: day.successes(),
                exposure: day.trials(),
            })
            .collect();
        let sum = |of: fn(&Day) -> u64| days.iter().map(of).sum();
        let share = Proportion::new(sum(|day| day.count), sum(|day| day.exposure))?;
        let dispersion = Dispersion::of_proportions(&days);
        Some(Self {
            share,
            interval: share.wilson(level, dispersion),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(
        present: Option<StaffPresence>,
        acts: &[StaffAct],
        outcomes: &[Outcome],
        called_back: Option<CalledBack>,
    ) -> StaffAnswer {
        StaffAnswer {
            present,
            acts: acts.iter().copied().collect(),
            outcomes: outcomes.iter().copied().collect(),
            called_back,
        }
    }

    fn counts() -> StaffCounts {
        let there = Some(StaffPresence::Yes);
        let mut counts = StaffCounts::default();
        let promised = StaffAct::PromisedToCallBack;
        for answer in [
            answer(
                there,
                &[StaffAct::LetRideFree, StaffAct::Sympathised],
                &[Outcome::FreeRide],
                None,
            ),
            answer(
                there,
                &[StaffAct::CouldNotHelp],
                &[Outcome::Surcharged],
                None,
            ),
            answer(
                there,
                &[StaffAct::WaitedOrHelped, promised],
                &[Outcome::PaidAgain, Outcome::TravelledOn],
                None,
            ),
            answer(there, &[promised, StaffAct::CalledBack], &[], None),
            answer(there, &[promised], &[], Some(CalledBack::No)),
            answer(there, &[], &[Outcome::Refused], None),
            answer(
                None,
                &[StaffAct::LetRideFree],
                &[Outcome::FreeRide],
                Some(CalledBack::Yes),
            ),
            answer(Some(StaffPresence::No), &[], &[Outcome::Surcharged], None),
        ] {
            counts.add(answer);
        }
        counts
    }

    #[test]
    fn a_missing_answer_is_never_a_no() {
        let counts = counts();
        assert_eq!(counts.help(), Proportion::new(2, 3));
        assert_eq!(counts.harm(), Proportion::new(2, 3));
        // Of three who were promised a call, one never told what became of it.
        assert_eq!(counts.promised(), 3);
        assert_eq!(counts.promises_kept(), Proportion::new(1, 2));
        assert_eq!(counts.share(StaffAct::LetRideFree), Proportion::new(1, 5));
        assert_eq!(counts.share(StaffAct::Referred), Proportion::new(0, 5));
        assert_eq!((counts.acts_answered(), counts.both_answered()), (5, 3));
        assert_eq!(StaffCounts::default().help(), None);
    }

    #[test]
    fn merged_windows_equal_the_whole() {
        let mut merged = counts();
        merged.merge(&counts());
        assert_eq!(merged.help(), Proportion::new(4, 6));
        assert_eq!(merged.promises_kept(), Proportion::new(2, 4));
        assert_eq!(merged.share(StaffAct::Sympathised), Proportion::new(2, 10));
        merged.merge(&StaffCounts::default());
        assert_eq!(merged.harm(), Proportion::new(4, 6));
    }

    #[test]
    fn share_of_days_is_of_all_of_them_and_the_wider_the_more_they_scatter() {
        let day = |helped: usize, others: usize| {
            let mut counts = StaffCounts::default();
            let helping = answer(
                Some(StaffPresence::Yes),
                &[StaffAct::LetRideFree],
                &[Outcome::FreeRide],
                None,
            );
            let other = answer(
                Some(StaffPresence::Yes),
                &[StaffAct::CouldNotHelp],
                &[Outcome::TravelledOn],
                None,
            );
            (0..helped).for_each(|_| counts.add(helping));
            (0..others).for_each(|_| counts.add(other));
            counts
        };
        let over = |days: &[StaffCounts]| {
            StaffShare::over(days.iter(), StaffCounts::help, Level::P95).expect("a base")
        };
        let even = over(&[day(5, 5), StaffCounts::default(), day(5, 5)]);
        assert_eq!(even.share, Proportion::new(10, 20).expect("a share"));
        let plain = even.share.wilson(Level::P95, Dispersion::NONE);
        assert_eq!(
            (even.interval.low(), even.interval.high()),
            (plain.low(), plain.high())
        );
        let uneven = over(&[day(10, 0), day(0, 10)]);
        // Two days of all and of none: chi-squared is 20 with one degree of freedom.
        let wide = uneven
            .share
            .wilson(Level::P95, uneven.interval.dispersion());
        assert!((uneven.interval.dispersion().factor() - 20.0).abs() < 1e-9);
        assert_eq!(uneven.interval, wide);
        assert!(uneven.interval.low() < plain.low() && plain.high() < uneven.interval.high());
        let none = [StaffCounts::default()];
        assert_eq!(
            StaffShare::over(none.iter(), StaffCounts::help, Level::P95),
            None
        );
    }
}
