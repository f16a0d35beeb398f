//! What staff did after a failed check-in: help, harm, promises kept, and each act's share.
//!
//! All shares stand on what was answered. A report counts where staff were present and the
//! question was answered; a missing answer is never a "no".

use super::interval::Proportion;
use crate::domain::taxonomy::{Outcome, SetOf, StaffAct, StaffPresence, Taxonomy};

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
}

/// What many reports say of staff. The counts of two windows merge into those of both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaffCounts {
    acts_answered: u64,
    both_answered: u64,
    helped: u64,
    harmed: u64,
    promised: u64,
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
        self.promised += u64::from(has(StaffAct::PromisedToCallBack));
        self.kept += u64::from(has(StaffAct::PromisedToCallBack) && has(StaffAct::CalledBack));
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

    /// Promises kept: reports that say staff called back, of those that were promised it. Who
    /// never came back to say so is not known to have been called, so that this is the least
    /// it can be.
    pub fn promises_kept(&self) -> Option<Proportion> {
        Proportion::new(self.kept, self.promised)
    }

    /// Share of an act, of the reports that answered what staff did.
    pub fn share(&self, act: StaffAct) -> Option<Proportion> {
        let index = StaffAct::ALL.iter().position(|other| *other == act)?;
        Proportion::new(self.acts[index], self.acts_answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(
        present: Option<StaffPresence>,
        acts: &[StaffAct],
        outcomes: &[Outcome],
    ) -> StaffAnswer {
        StaffAnswer {
            present,
            acts: acts.iter().copied().collect(),
            outcomes: outcomes.iter().copied().collect(),
        }
    }

    fn counts() -> StaffCounts {
        let there = Some(StaffPresence::Yes);
        let mut counts = StaffCounts::default();
        for answer in [
            answer(
                there,
                &[StaffAct::LetRideFree, StaffAct::Sympathised],
                &[Outcome::FreeRide],
            ),
            answer(there, &[StaffAct::CouldNotHelp], &[Outcome::Surcharged]),
            answer(
                there,
                &[StaffAct::WaitedOrHelped, StaffAct::PromisedToCallBack],
                &[Outcome::PaidAgain, Outcome::TravelledOn],
            ),
            answer(
                there,
                &[StaffAct::PromisedToCallBack, StaffAct::CalledBack],
                &[],
            ),
            answer(there, &[], &[Outcome::Refused]),
            answer(None, &[StaffAct::LetRideFree], &[Outcome::FreeRide]),
            answer(Some(StaffPresence::No), &[], &[Outcome::Surcharged]),
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
        assert_eq!(counts.promises_kept(), Proportion::new(1, 2));
        assert_eq!(counts.share(StaffAct::LetRideFree), Proportion::new(1, 4));
        assert_eq!(counts.share(StaffAct::Referred), Proportion::new(0, 4));
        assert_eq!(StaffCounts::default().help(), None);
    }

    #[test]
    fn merged_windows_equal_the_whole() {
        let mut merged = counts();
        merged.merge(&counts());
        assert_eq!(merged.help(), Proportion::new(4, 6));
        assert_eq!(merged.promises_kept(), Proportion::new(2, 4));
        assert_eq!(merged.share(StaffAct::Sympathised), Proportion::new(2, 8));
        merged.merge(&StaffCounts::default());
        assert_eq!(merged.harm(), Proportion::new(4, 6));
    }
}
