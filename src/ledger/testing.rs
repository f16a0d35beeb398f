//! Random entries for tests: few different names, so that they meet often, and times within
//! a few days, some of them known only to the day.

use std::path::Path;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Ledger, State};
use crate::domain::entry::Epoch;
use crate::domain::incident::CauseClaim;
use crate::domain::taps::{
    DayBegin, Refusals, TapBatch, TapCount, TapFeed, TapGrain, TapInterval, TapKinds, TapScope,
    TapSlot, Taps,
};
use crate::domain::taxonomy::{
    CardKind, CaseState, Cause, ClaimSource, Mode, Outcome, ReporterKind, SetOf, Signal, StaffAct,
    TapKind, Taxonomy, TimePrecision,
};
use crate::domain::testing::{blank_facts, id_of, personal};
use crate::domain::time::HOUR_MS;
use crate::domain::{
    Amendment, Answer, Entry, Facts, IncidentId, LineId, LocalDay, OperatorCode, Outage,
    OutageChange, Position, Record, RowTime, Stamp, StopId, UtcMillis,
};
use crate::store::Store;

/// The epoch of test journals.
pub(crate) const EPOCH: Epoch = Epoch([7; 16]);
/// 2026-10-25T12:00Z, the day on which clocks go back.
pub(crate) const NOON: UtcMillis = UtcMillis(1_792_929_600_000);
/// What `Made` draws from: how many different operators, lines and stops.
const OPERATORS: u32 = 4;
const LINES: u32 = 24;
const STOPS: u32 = 60;

/// What these entries give, with a new store in a folder.
pub(crate) fn ledger_of(entries: &[Record], dir: &Path) -> Ledger {
    let store = Store::create(dir, EPOCH).expect("a new store");
    let ledger = Ledger::new(State::new(EPOCH));
    ledger.attach_store(store);
    for batch in entries.chunks(50) {
        ledger.apply(batch);
    }
    ledger
}

/// A maker of entries: equal seeds make equal entries.
pub(crate) struct Maker {
    random: StdRng,
    position: Position,
    stamp: Stamp,
    recorded: Vec<Recorded>,
}

/// An incident that was made: where, where it was amended last, and what counts of it.
#[derive(Clone)]
struct Recorded {
    incident: Position,
    row: Position,
    facts: Facts,
}

impl Maker {
    /// Begins at position 1 and `NOON`.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            position: Position(0),
            stamp: NOON,
            recorded: Vec::new(),
        }
    }

    /// The next entry: mostly new incidents, some repeats, withdrawals and ticks.
    pub(crate) fn entry(&mut self) -> Record {
        let entry = match self.random.random_range(0..20) {
            0 if !self.recorded.is_empty() => self.withdrawal(),
            1 if !self.recorded.is_empty() => self.repeat(),
            2 if self.random.random() => self.outage(),
            2 => Entry::Tick,
            3 => Entry::NetworkChanged {
                version: 1,
                sha256: [0; 32],
            },
            4 => self.tap_counts(),
            5 if !self.recorded.is_empty() => self.amendment(),
            6 if !self.recorded.is_empty() => self.afterword(),
            _ => self.incident(),
        };
        let pause_ms = self.random.random_range(0..90_000);
        self.place(entry, pause_ms)
    }

    /// Many entries.
    pub(crate) fn entries(&mut self, count: usize) -> Vec<Record> {
        (0..count).map(|_| self.entry()).collect()
    }

    /// Gives an entry the next position and a stamp that much later than the one before.
    pub(crate) fn place(&mut self, entry: Entry, pause_ms: i64) -> Record {
        self.position = self.position.next();
        self.stamp = UtcMillis(self.stamp.0 + pause_ms);
        Record {
            position: self.position,
            stamp: self.stamp,
            entry,
        }
    }

    /// A new incident of the last three days, as an entry.
    pub(crate) fn incident(&mut self) -> Entry {
        let ago_ms = match self.random.random_range(0..3) {
            0 => self.random.random_range(0..72 * HOUR_MS),
            _ => self.random.random_range(-300_000..HOUR_MS),
        };
        let occurred = UtcMillis(self.stamp.0 - ago_ms);
        let facts = self.facts(occurred);
        let next = self.position.next();
        self.recorded.push(Recorded {
            incident: next,
            row: next,
            facts: facts.clone(),
        });
        Entry::Incident {
            personal: Some(Box::new(personal(occurred))),
            facts: Box::new(facts),
        }
    }

    /// Counts of one of four feeds, within a few days, so that they often replace others;
    /// now and then the end of some.
    pub(crate) fn tap_counts(&mut self) -> Entry {
        let today = self.stamp.hour().expect("a supported year").local_day();
        if self.random.random_range(0..20) == 0 {
            let before = LocalDay(today.0 - self.random.random_range(2..5));
            return Entry::TapCountsRemoved { before };
        }
        let feed = tap_feed(self.random.random_range(0..4));
        let some = self.random.random_range(1..40);
        let count = |_| {
            let day = LocalDay(today.0 - self.random.random_range(0..4));
            let slot = self.random.random_range(0..feed.slots(day));
            TapCount {
                scope: tap_scope(feed.grain, self.random.random_range(0..STOPS)),
                slot: TapSlot { day, slot },
                taps: Taps::new(self.random.random_range(0..70_000)).expect("few"),
            }
        };
        let counts: Vec<TapCount> = (0..some).map(count).collect();
        let batch = TapBatch::pack(&feed, counts).remove(0);
        Entry::TapCounts(Box::new(batch))
    }

    /// Random facts of an incident that happened then.
    pub(crate) fn facts(&mut self, occurred: UtcMillis) -> Facts {
        let hour = occurred.hour().expect("a supported year");
        let precision = match self.random.random_range(0..10) {
            0..7 => TimePrecision::Exact,
            7..9 => TimePrecision::Hour,
            _ => TimePrecision::Day,
        };
        let time = match precision {
            TimePrecision::Day => RowTime::Day(hour.local_day()),
            _ => RowTime::Hour(hour),
        };
        let line = self.some(LINES).map(line_id);
        let operator = line.as_ref().map(LineId::operator);
        Facts {
            operator: operator.or_else(|| self.some(OPERATORS).map(operator_code)),
            line,
            stop: self.some(STOPS).map(stop_id),
            mode: self.value::<Mode>(),
            tap_kind: self.value::<TapKind>(),
            signal: self.value::<Signal>(),
            card_kind: self.value::<CardKind>(),
            cause_claims: self.claims().into(),
            staff_acts: self.set::<StaffAct>(),
            outcomes: self.set::<Outcome>(),
            reporter: match self.random.random_range(0..4) {
                0 => ReporterKind::Device,
                1 => ReporterKind::Staff,
                _ => ReporterKind::Traveller,
            },
            ..blank_facts(self.id(), time, precision)
        }
    }

    fn id(&mut self) -> IncidentId {
        let mut bytes: [u8; 16] = self.random.random();
        let made_ms = self.stamp.0 - self.random.random_range(0..48 * HOUR_MS);
        bytes[..6].copy_from_slice(&made_ms.to_be_bytes()[2..]);
        id_of(bytes)
    }

    fn withdrawal(&mut self) -> Entry {
        let index = self.one_recorded();
        let Recorded { row, facts, .. } = self.recorded[index].clone();
        Entry::Withdrawn {
            id: facts.id,
            facts: Box::new(facts),
            row,
        }
    }

    /// Other acts and outcomes; now and then made of what had been amended meanwhile.
    fn amendment(&mut self) -> Entry {
        let index = self.one_recorded();
        let Recorded { row, facts, .. } = self.recorded[index].clone();
        let after = Facts {
            staff_acts: self.set::<StaffAct>(),
            outcomes: self.set::<Outcome>(),
            ..facts.clone()
        };
        // One that is withdrawn or erased already changes nothing, and is not taken over.
        if 0 < self.random.random_range(0..8) {
            self.recorded[index].row = self.position.next();
            self.recorded[index].facts = after.clone();
        }
        Entry::Amended(Box::new(Amendment {
            id: facts.id,
            row,
            before: facts,
            after,
        }))
    }

    /// An erasure, or an answer.
    fn afterword(&mut self) -> Entry {
        let index = self.one_recorded();
        let Recorded {
            incident, facts, ..
        } = self.recorded[index].clone();
        let id = facts.id;
        if self.random.random_range(0..3) == 0 {
            return Entry::Erased { id, incident };
        }
        Entry::Answered(Box::new(Answer {
            id,
            incident,
            operator: facts.operator.unwrap_or_else(|| operator_code(1)),
            received: self.stamp,
            time: facts.time,
            state: self.value().unwrap_or(CaseState::Received),
            reason: None,
            message: "".into(),
            is_message_gone: false,
        }))
    }

    /// An outage of some days, declared or withdrawn.
    fn outage(&mut self) -> Entry {
        let today = self.stamp.hour().expect("a supported year").local_day();
        self.outage_around(today)
    }

    /// An outage of some days about one, declared or withdrawn.
    pub(crate) fn outage_around(&mut self, day: LocalDay) -> Entry {
        let first = LocalDay(day.0 - self.random.random_range(0..4));
        let last = LocalDay(first.0 + self.random.random_range(0..3));
        let operator = self.some(OPERATORS).map(operator_code);
        Entry::OutageChanged(OutageChange {
            outage: Outage::new(operator, first, last).expect("few days in order"),
            is_withdrawal: self.random.random_range(0..3) == 0,
        })
    }

    fn repeat(&mut self) -> Entry {
        let index = self.one_recorded();
        Entry::Incident {
            facts: Box::new(self.recorded[index].facts.clone()),
            personal: None,
        }
    }

    fn one_recorded(&mut self) -> usize {
        self.random.random_range(0..self.recorded.len())
    }

    fn some(&mut self, below: u32) -> Option<u32> {
        (0 < self.random.random_range(0..5)).then(|| self.random.random_range(0..below))
    }

    fn value<T: Taxonomy>(&mut self) -> Option<T> {
        let count = u32::try_from(T::ALL.len()).expect("a short list");
        self.some(count).map(|index| T::ALL[index as usize])
    }

    fn set<T: Taxonomy>(&mut self) -> SetOf<T> {
        let count = self.random.random_range(0..3);
        (0..count).filter_map(|_| self.value::<T>()).collect()
    }

    fn claims(&mut self) -> Vec<CauseClaim> {
        let claim = |cause| CauseClaim {
            cause,
            source: ClaimSource::Traveller,
        };
        self.set::<Cause>().iter().map(claim).collect()
    }
}

/// Random entries, from an empty journal on.
pub(crate) fn entries(
    count: impl Into<proptest::collection::SizeRange>,
) -> impl Strategy<Value = Vec<Record>> {
    let count = count.into();
    let (start, end) = (count.start(), count.end_excl());
    (any::<u64>(), start..end).prop_map(|(seed, count)| Maker::new(seed).entries(count))
}

/// One of four feeds, of all grains and intervals.
pub(crate) fn tap_feed(number: u8) -> TapFeed {
    let (grain, interval) = match number {
        0 => (TapGrain::Operator, TapInterval::Day),
        1 => (TapGrain::Line, TapInterval::Quarter),
        2 => (TapGrain::Stop, TapInterval::Hour),
        _ => (TapGrain::LineStop, TapInterval::Hour),
    };
    let kinds = [TapKind::CheckIn].into_iter().collect();
    TapFeed {
        id: format!("feed-{number}").parse().expect("a name"),
        operator: operator_code(1),
        grain,
        interval,
        kinds: TapKinds::new(kinds).expect("a tap"),
        refusals: Refusals::Excluded,
        day_begin: DayBegin::new(number.into()).expect("early"),
    }
}

/// A scope of a grain: of the lines of operator 1 and of all stops.
pub(crate) fn tap_scope(grain: TapGrain, number: u32) -> TapScope {
    let line = || line_id(number / OPERATORS * OPERATORS + 1);
    match grain {
        TapGrain::Operator => TapScope::Operator,
        TapGrain::Line => TapScope::Line(line()),
        TapGrain::Stop => TapScope::Stop(stop_id(number)),
        TapGrain::LineStop => TapScope::LineStop(line(), stop_id(number)),
    }
}

/// `OP0` and so on.
pub(crate) fn operator_code(number: u32) -> OperatorCode {
    format!("OP{number}").parse().expect("a code")
}

/// `OP2:6` and so on: lines are shared out among the operators.
pub(crate) fn line_id(number: u32) -> LineId {
    let operator = number % OPERATORS;
    format!("OP{operator}:{number}").parse().expect("a line")
}

/// `stop:17` and so on.
pub(crate) fn stop_id(number: u32) -> StopId {
    format!("stop:{number}").parse().expect("a stop")
}

/// Counts one incident in the table of lines that was never told.
pub(crate) fn miscount(state: &mut State) {
    let cube = &mut state.tallies[0].line.day;
    let bucket = cube.used().start;
    cube.add(bucket, 0);
}
