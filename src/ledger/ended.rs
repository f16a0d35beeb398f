//! Where months of receipt end, and through where single incidents are kept no longer.
//!
//! A block never holds rows of two months of receipt (local months of entries' stamps), so that
//! all rows of a month can go at once. When they do, what was counted of them stays in the
//! tallies, and everything that the state knows of each of them alone goes: ids that are too
//! old to be sent again, cases, withdrawals. An incident that was amended later goes with its
//! amendment.

use std::collections::BTreeSet;

use super::state::State;
use crate::domain::limits::ID_DAYS_KEPT;
use crate::domain::time::FIRST_DAY;
use crate::domain::{Calendar, LocalMonth, Position, Stamp, UtcMillis};

/// The end of a month of receipt: where blocks were cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthEnd {
    /// The last position of the month.
    pub through: Position,
    /// The first instant after the month.
    pub until: UtcMillis,
    /// How many blocks had been closed.
    pub blocks: u32,
    /// The checksum of all of them, see `block::chain`.
    pub blocks_crc: u32,
}

/// The months of receipt so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Months {
    /// The first instant that is not in the month of the last entry; `None` before the first.
    pub(super) current_ends: Option<UtcMillis>,
    /// Ends of the months whose incidents are kept, rising.
    pub(super) ends: Vec<MonthEnd>,
    /// The end of the last month whose incidents are not.
    pub(super) ended: Option<MonthEnd>,
}

impl Months {
    /// Through where single incidents are kept no longer; 0 if nowhere.
    pub fn ended_through(&self) -> Position {
        self.ended.map_or(Position(0), |end| end.through)
    }

    /// Where single incidents ended last.
    pub fn ended(&self) -> Option<MonthEnd> {
        self.ended
    }

    /// Ends of the months whose incidents are kept, rising. The month that is under way has none.
    pub fn ends(&self) -> &[MonthEnd] {
        &self.ends
    }

    /// Begins again after the entry with this stamp.
    pub(super) fn resume(&mut self, stamp: Stamp) {
        self.current_ends = Some(month_end(stamp));
    }
}

/// Whether another month begins with an entry of this stamp. For whoever cuts blocks as the
/// fold does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MonthWatch(Option<UtcMillis>);

impl MonthWatch {
    /// Looks at the next stamp.
    pub(super) fn turns(&mut self, stamp: Stamp) -> bool {
        let turns = self.0.is_some_and(|ends| ends <= stamp);
        if turns || self.0.is_none() {
            self.0 = Some(month_end(stamp));
        }
        turns
    }
}

/// The first instant after the local month that an instant lies in. All before the supported
/// years, and all after them, count as one month.
fn month_end(stamp: Stamp) -> UtcMillis {
    let first = FIRST_DAY.start().start();
    let Some(hour) = stamp.hour() else {
        return if stamp < first {
            first
        } else {
            UtcMillis(i64::MAX)
        };
    };
    let month = Calendar::get().month(Calendar::get().day(hour));
    LocalMonth(month.0 + 1).first_day().start().start()
}

impl State {
    /// The months of receipt so far.
    pub fn months(&self) -> &Months {
        &self.months
    }

    /// Number of the first block whose rows are kept.
    pub fn first_block(&self) -> u32 {
        self.first_block
    }

    /// The first position whose incident is kept; 0 if nothing was applied.
    pub fn first_kept(&self) -> Position {
        match self.first {
            Position(0) => Position(0),
            first => first.max(self.months.ended_through().next()),
        }
    }

    /// The checksum of all blocks before the first that is kept.
    pub(super) fn first_block_crc(&self) -> u32 {
        match self.months.ended {
            Some(end) if end.blocks == self.first_block => end.blocks_crc,
            _ if self.first_block == 0 => 0,
            _ => self.blocks_crc,
        }
    }

    /// Whether the incident recorded at a position is kept in tallies alone.
    pub fn has_ended(&self, incident: Position) -> bool {
        has_ended(self.months.ended_through(), self.cases.row_of(incident))
    }

    /// Cuts the blocks if the next entry, of this stamp, is of a later month than the last.
    pub(super) fn turn_month(&mut self, stamp: Stamp) {
        let ends = self.months.current_ends;
        if ends.is_some_and(|ends| stamp < ends) {
            return;
        }
        self.months.current_ends = Some(month_end(stamp));
        let last = self.months.ends.last();
        let is_cut = last.is_some_and(|last| last.through == self.position);
        let Some(until) = ends.filter(|_| !is_cut) else {
            return;
        };
        if !self.open.is_empty() {
            self.close_block();
        }
        self.months.ends.push(MonthEnd {
            through: self.position,
            until,
            blocks: self.blocks,
            blocks_crc: self.blocks_crc,
        });
    }

    /// Lets single incidents go whose rows lie at or before the end of a month. Their counts
    /// stay. Does nothing unless a month that is kept ended there.
    pub(super) fn end_incidents(&mut self, through: Position) {
        let ends = &mut self.months.ends;
        let Some(place) = ends.iter().position(|end| end.through == through) else {
            return;
        };
        let end = ends.drain(..=place).next_back();
        let Some(end) = end else {
            return;
        };
        self.months.ended = Some(end);
        self.first_block = self.first_block.max(end.blocks);
        self.rows_after = self.rows_after.max(end.through);
        let cases = std::sync::Arc::clone(&self.cases);
        let goes = |incident: Position| has_ended(through, cases.row_of(incident));
        self.ids.forget(oldest_id_day(self.stamp), goes);
        std::sync::Arc::make_mut(&mut self.cases).forget(goes);
        std::sync::Arc::make_mut(&mut self.withdrawn).retain(|of| through < *of);
        std::sync::Arc::make_mut(&mut self.withdrawals).retain(|one| through < one.of);
    }

    /// Makes a base of the state at the end of a month: leaves of single incidents only what
    /// later entries, up to one of this stamp, are about.
    pub(super) fn forget_all_but(&mut self, kept: &BTreeSet<Position>, stamp: Stamp) {
        let goes = |incident: Position| !kept.contains(&incident);
        self.ids.forget(oldest_id_day(stamp), goes);
        let cases = std::sync::Arc::make_mut(&mut self.cases);
        let of_kept: BTreeSet<Position> = self
            .withdrawn
            .iter()
            .copied()
            .filter(|row| !goes(cases.incident_of(*row)))
            .collect();
        cases.forget(goes);
        let withdrawals = std::sync::Arc::make_mut(&mut self.withdrawals);
        withdrawals.retain(|one| of_kept.contains(&one.of));
        self.withdrawn = std::sync::Arc::new(of_kept);
        self.recent = Default::default();
        self.untimed = Default::default();
        self.closed.clear();
        self.tap_changes.clear();
    }

    /// Begins a fold from this state as a base: blocks of before are not there.
    pub(super) fn begin_as_base(&mut self) {
        self.first_block = self.blocks;
        self.rows_after = self.position;
    }
}

fn has_ended(through: Position, row: Position) -> bool {
    row <= through
}

/// Ids made on earlier days of UTC are refused, and so need not be known.
fn oldest_id_day(stamp: Stamp) -> u32 {
    const DAY_MINUTES: u32 = 24 * 60;
    let day = stamp.minute().map_or(0, |minute| minute.0 / DAY_MINUTES);
    day.saturating_sub(ID_DAYS_KEPT)
}

/// The first instant at which a month of receipt has been over for so many whole months.
pub fn ends_at(end: &MonthEnd, months: u32) -> UtcMillis {
    let month = end.until.hour().map(|hour| hour.local_day().month());
    let months = i32::try_from(months).unwrap_or(i32::MAX);
    let due = month.and_then(|month| month.0.checked_add(months));
    due.map_or(UtcMillis(i64::MAX), |month| {
        LocalMonth(month).first_day().start().start()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::base::{self, BaseMaker};
    use super::super::testing::{EPOCH, Maker, NOON};
    use super::*;
    use crate::domain::taxonomy::TimePrecision;
    use crate::domain::testing::{blank_facts, id_made_at};
    use crate::domain::time::DAY_MS;
    use crate::domain::{Entry, IncidentId, Record, RowTime};
    use crate::ledger::parts::{self, Part};
    use crate::ledger::{Applied, ClosedBlock};

    /// About half a year of random entries, with the end of single incidents noted at some.
    struct History {
        maker: Maker,
        entries: Vec<Record>,
        /// The fold of all of them, and the blocks that it closed.
        state: State,
        closed: Vec<ClosedBlock>,
    }

    impl History {
        fn new(seed: u64) -> Self {
            Self {
                maker: Maker::new(seed),
                entries: Vec::new(),
                state: State::new(EPOCH),
                closed: Vec::new(),
            }
        }

        fn push(&mut self, mut record: Record) -> Applied {
            // So that some thousand entries take half a year.
            record.stamp = UtcMillis(NOON.0 + (record.stamp.0 - NOON.0) * 120);
            let applied = self
                .state
                .apply(record.position, record.stamp, &record.entry);
            self.closed.extend(self.state.take_closed());
            self.state.take_tap_changes();
            self.entries.push(record);
            applied
        }

        fn go_on(&mut self, count: usize) {
            for _ in 0..count {
                let entry = self.maker.entry();
                self.push(entry);
            }
        }

        fn end(&mut self, through: Position) -> Applied {
            let entry = Entry::IncidentsEnded {
                through,
                base: None,
            };
            let entry = self.maker.place(entry, 0);
            self.push(entry)
        }

        /// The base through a position, made of the one before.
        fn base(&self, before: Option<&State>, through: Position) -> State {
            let before = before.cloned().unwrap_or_else(|| State::new(EPOCH));
            let mut maker = BaseMaker::new(before, through);
            let from = maker.next();
            let mut rest = self.entries.iter().filter(|record| from <= record.position);
            rest.find_map(|record| maker.take(record.position, record.stamp, &record.entry))
                .expect("the end was noted")
        }

        /// What is folded from a base on, once the entries it stands for have gone.
        fn replayed(&self, base: State, through: Position) -> (State, Vec<ClosedBlock>) {
            let mut state = base;
            let mut closed = Vec::new();
            for record in &self.entries {
                if through < record.position {
                    state.apply(record.position, record.stamp, &record.entry);
                    closed.extend(state.take_closed());
                    state.take_tap_changes();
                }
            }
            (state, closed)
        }
    }

    /// All tallies.
    fn counts(state: &State) -> Vec<Vec<u8>> {
        let parts = parts::parts(state).into_iter();
        let counts = parts.filter(|part| matches!(part, Part::Counts { .. }));
        counts.map(|part| part.encode(state)).collect()
    }

    /// As it comes back from the disk.
    fn stored(base: &State) -> State {
        let dir = tempfile::tempdir().expect("a folder");
        base::write(base, dir.path()).expect("written");
        base::read(dir.path(), EPOCH)
            .expect("whole")
            .expect("there")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn fold_from_a_base_equals_the_fold_of_everything(seed in any::<u64>(), pick in any::<prop::sample::Index>()) {
            let mut history = History::new(seed);
            history.go_on(2_500);
            let ends = history.state.months().ends().to_vec();
            let through = ends[pick.index(ends.len())].through;
            let before = history.state.clone();
            history.end(through);
            prop_assert_eq!(counts(&history.state), counts(&before));
            prop_assert_eq!(history.state.months().ended_through(), through);
            // Withdrawals, amendments and answers of what has gone are among these.
            history.go_on(1_200);
            let base = history.base(None, through);
            let (state, closed) = history.replayed(stored(&base), through);
            prop_assert_eq!(state.digest(), history.state.digest());
            let first = history.state.first_block();
            prop_assert_eq!(state.first_block(), first);
            let kept: Vec<_> = history.closed.iter().filter(|(number, _)| first <= *number).collect();
            prop_assert_eq!(closed.iter().collect::<Vec<_>>(), kept);

            // And once more, from that base.
            let ends = history.state.months().ends().to_vec();
            let later = ends[pick.index(ends.len())].through;
            history.end(later);
            history.go_on(300);
            let again = history.base(Some(&stored(&base)), later);
            let (state, _) = history.replayed(stored(&again), later);
            prop_assert_eq!(state.digest(), history.state.digest());
        }
    }

    #[test]
    fn base_holds_no_incident_but_those_that_later_entries_are_about() {
        let mut history = History::new(7);
        history.go_on(3_000);
        let through = history.state.months().ends()[2].through;
        history.end(through);
        let base = history.base(None, through);
        assert!(base.open_rows().is_empty());
        assert!(base.recent().is_empty() && base.untimed().is_empty());
        let about = |record: &Record| match &record.entry {
            Entry::Withdrawn { id, .. } | Entry::Erased { id, .. } => Some(*id),
            Entry::Amended(amendment) => Some(amendment.id),
            Entry::Answered(answer) => Some(answer.id),
            _ => None,
        };
        let later = history
            .entries
            .iter()
            .filter(|record| through < record.position);
        let later: Vec<_> = later.filter_map(about).collect();
        assert_ne!(base.cases().iter().len(), 0, "some are");
        let ids = history
            .entries
            .iter()
            .filter_map(|record| match &record.entry {
                Entry::Incident { facts, .. } if record.position <= through => Some(facts.id),
                _ => None,
            });
        let mut gone = 0;
        for id in ids {
            let Some(first) = history.state.find(&id) else {
                continue;
            };
            let is_kept = base.cases().get(first).is_some();
            assert!(!is_kept || later.contains(&id));
            gone += usize::from(!is_kept);
        }
        assert_ne!(gone, 0, "most have gone");
    }

    #[test]
    fn incident_that_has_ended_is_neither_withdrawn_nor_amended_any_more_and_its_id_counts_once() {
        let mut history = History::new(11);
        history.go_on(2_000);
        let through = history.state.months().ends()[1].through;
        let told = history
            .entries
            .iter()
            .find_map(|record| match &record.entry {
                Entry::Incident { facts, .. } => Some(facts.clone()),
                _ => None,
            });
        let facts = told.expect("an incident");
        let first = history.state.find(&facts.id).expect("recorded");
        history.end(through);
        let before = counts(&history.state);
        let withdrawn = Entry::Withdrawn {
            id: facts.id,
            facts: facts.clone(),
            row: history.state.cases().row_of(first),
        };
        let entry = history.maker.place(withdrawn, 0);
        assert_eq!(history.push(entry), Applied::Nothing);
        let again = Entry::Incident {
            facts,
            personal: None,
        };
        let entry = history.maker.place(again, 0);
        assert_eq!(history.push(entry), Applied::Repeated { first });
        assert_eq!(counts(&history.state), before);
    }

    /// An incident with an id made so many days before a time.
    fn incident_with_id(before: Stamp, days: i64) -> (IncidentId, Entry) {
        let id = id_made_at(UtcMillis(before.0 - days * DAY_MS), 1);
        let hour = RowTime::Hour(NOON.hour().expect("supported"));
        let facts = Box::new(blank_facts(id, hour, TimePrecision::Exact));
        let personal = None;
        (id, Entry::Incident { facts, personal })
    }

    #[test]
    fn id_of_an_incident_that_has_ended_is_known_for_as_long_as_it_may_be_sent_again() {
        const KEPT: i64 = ID_DAYS_KEPT as i64;
        let ending = UtcMillis(NOON.0 + 340 * DAY_MS);
        let ages = [399, KEPT - 1, KEPT, KEPT + 1, 2 * KEPT];
        let incidents = ages.map(|days| incident_with_id(ending, days));
        let (late, told_late) = incident_with_id(ending, KEPT + 2);
        let through = Position(incidents.len() as u64);
        let mut maker = BaseMaker::new(State::new(EPOCH), through);
        let mut state = State::new(EPOCH);
        let mut base = None;
        let mut tell = |stamp: Stamp, entry: &Entry| {
            let position = state.position().next();
            state.apply(position, stamp, entry);
            base = maker.take(position, stamp, entry);
            state.clone()
        };
        for (_, entry) in &incidents {
            tell(NOON, entry);
        }
        // In the next month: what it is about is kept, be its id as old as it may.
        tell(UtcMillis(NOON.0 + 30 * DAY_MS), &told_late);
        let ended = Entry::IncidentsEnded {
            through,
            base: None,
        };
        let state = tell(ending, &ended);
        assert_eq!(state.months().ended_through(), through);
        let base = base.expect("the end was noted");
        for state in [&state, &base] {
            let is_known = incidents.each_ref().map(|(id, _)| state.find(id).is_some());
            assert_eq!(is_known, [true, true, true, false, false], "{ages:?}");
        }
        assert_eq!(state.find(&late), Some(through.next()));
    }

    #[test]
    fn only_the_end_of_a_month_ends_incidents() {
        let mut history = History::new(3);
        history.go_on(1_500);
        let end = history.state.months().ends()[0];
        let before = history.state.clone();
        history.end(Position(end.through.0 - 1));
        assert_eq!(history.state.months().ended_through(), Position(0));
        assert_eq!(history.state.withdrawals(), before.withdrawals());
        assert_eq!(history.state.months().ends(), before.months().ends());
    }

    #[test]
    fn months_end_at_local_midnight_and_are_due_after_whole_months() {
        let at = |text: &str| {
            let day = crate::domain::LocalDay::parse(text).expect("a day");
            day.start().start()
        };
        let march = month_end(UtcMillis(at("2026-03-29").0 + 5 * 3_600_000));
        assert_eq!(march, at("2026-04-01"));
        let end = MonthEnd {
            through: Position(1),
            until: march,
            blocks: 0,
            blocks_crc: 0,
        };
        assert_eq!(ends_at(&end, 11), at("2027-03-01"));
        assert_eq!(month_end(UtcMillis(i64::MIN)), at("2000-01-01"));
        assert_eq!(month_end(UtcMillis(i64::MAX)), UtcMillis(i64::MAX));
    }
}
