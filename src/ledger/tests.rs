//! The fold as a whole: against a recount by brute force, in any batching, with withdrawals.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::testing::{EPOCH, Maker, NOON, entries, operator_code};
use super::*;
use crate::domain::limits::{BLOCK_ROWS, OPERATORS_MAX, RECENT_MINUTES};
use crate::domain::taxonomy::{Cause, Outcome, SetOf, StaffAct, Taxonomy, TimePrecision};
use crate::domain::testing::personal;
use crate::domain::{Basis, Entry, Facts, Hour, Minute, Record, RowTime, UtcMillis};
use crate::store::block::Block;

fn fold(entries: &[Record]) -> State {
    let mut state = State::new(EPOCH);
    for record in entries {
        state.apply(record.position, record.stamp, &record.entry);
    }
    state
}

/// Rows that count after all entries, in the order of their positions.
fn counting_rows(entries: &[Record]) -> Vec<Row> {
    let mut state = State::new(EPOCH);
    let mut rows = BTreeMap::new();
    for record in entries {
        match state.apply(record.position, record.stamp, &record.entry) {
            Applied::Recorded { row } => {
                rows.insert(row.position, row);
            }
            Applied::Withdrawn { row } => {
                let recorded = rows.remove(&row.position);
                assert_eq!(recorded, Some(row), "a withdrawn row was recorded as such");
            }
            Applied::Amended { before, after } => {
                let recorded = rows.remove(&before.position);
                assert_eq!(
                    recorded,
                    Some(before),
                    "an amended row was recorded as such"
                );
                assert_eq!((before.line, before.time), (after.line, after.time));
                rows.insert(after.position, after);
            }
            Applied::Repeated { .. }
            | Applied::ToldAgain { .. }
            | Applied::Erased { .. }
            | Applied::Answered
            | Applied::Nothing
            | Applied::Outdated
            | Applied::Noted
            | Applied::Taps(_) => {}
        }
    }
    rows.into_values().collect()
}

fn cells(cube: &Cube) -> BTreeMap<(u32, u32), u32> {
    let mut counted = BTreeMap::new();
    for (bucket, cells) in cube.rows() {
        cells.for_each_nonzero(|column, count| {
            counted.insert((bucket, column), count);
        });
    }
    counted
}

/// Counts the keys of each row.
fn recount(rows: &[&Row], keys: impl Fn(&Row) -> Vec<(u32, u32)>) -> BTreeMap<(u32, u32), u32> {
    let mut counted = BTreeMap::new();
    for key in rows.iter().flat_map(|row| keys(row)) {
        *counted.entry(key).or_default() += 1;
    }
    counted
}

fn hour(row: &Row) -> Option<u32> {
    match row.time {
        RowTime::Hour(hour) => Some(hour.0),
        RowTime::Day(_) => None,
    }
}

fn day(row: &Row) -> u32 {
    day_bucket(row.time.day())
}

fn set_numbers<T: Taxonomy>(bits: u16) -> Vec<u32> {
    let set = SetOf::<T>::from_bits(bits);
    if set.is_empty() {
        vec![0]
    } else {
        set.iter().map(|value| value.number().into()).collect()
    }
}

fn values(attribute: Attribute, row: &Row) -> Vec<u32> {
    match attribute {
        Attribute::Total => vec![0],
        Attribute::Mode => vec![row.mode.into()],
        Attribute::Cause => set_numbers::<Cause>(row.causes),
        Attribute::CardKind => vec![row.card_kind.into()],
        Attribute::Signal => vec![row.signal.into()],
        Attribute::StaffAct => set_numbers::<StaffAct>(row.staff_acts),
        Attribute::Outcome => set_numbers::<Outcome>(row.outcomes),
        Attribute::TapKind => vec![row.tap_kind.into()],
    }
}

fn check_timed(timed: &Timed, rows: &[&Row], columns: impl Fn(&Row) -> Vec<u32>) {
    let count = |bucket: &dyn Fn(&Row) -> Option<u32>| {
        recount(rows, |row| {
            let bucket = bucket(row).into_iter();
            let cells = |bucket| columns(row).into_iter().map(move |column| (bucket, column));
            bucket.flat_map(cells).collect()
        })
    };
    assert_eq!(cells(&timed.hour), count(&hour));
    assert_eq!(cells(&timed.day), count(&|row| Some(day(row))));
    let month_hour = count(&|row| {
        let hour = Hour(hour(row)?);
        let month = hour.local_day().month();
        Some(month_hour_bucket(month, hour.hour_of_day()))
    });
    assert_eq!(cells(&timed.month_hour), month_hour);
}

fn check_scopes(tallies: &Tallies, rows: &[&Row]) {
    check_timed(&tallies.line, rows, |row| vec![row.line]);
    let stop_day = recount(rows, |row| vec![(day(row), row.stop)]);
    assert_eq!(cells(&tallies.stop_day), stop_day);
}

fn check_attribute(tallies: &Tallies, attribute: Attribute, rows: &[&Row]) {
    let slots = u32::try_from(attribute.slots()).expect("few");
    check_timed(tallies.attribute(attribute), rows, |row| {
        let first = u32::from(row.operator) * slots;
        let columns = values(attribute, row).into_iter();
        columns.map(|value| first + value).collect()
    });
}

fn incident(facts: Facts) -> Entry {
    Entry::Incident {
        facts: Box::new(facts),
        personal: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_tally_equals_a_recount_of_the_rows(entries in entries(0..600)) {
        let state = fold(&entries);
        let rows = counting_rows(&entries);
        for basis in [Basis::SelfReported, Basis::Observed] {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.basis == basis).collect();
            let tallies = state.tallies(basis);
            check_scopes(tallies, &rows);
            for attribute in Attribute::ALL {
                check_attribute(tallies, attribute, &rows);
            }
        }
    }

    #[test]
    fn batching_changes_nothing(entries in entries(1..700), size in 1usize..300) {
        let ledger = Ledger::new(State::new(EPOCH));
        for batch in entries.chunks(size) {
            ledger.apply(batch);
        }
        let folded = fold(&entries);
        let batched = ledger.read().clone();
        prop_assert_eq!(batched.digest(), folded.digest());
        prop_assert_eq!(batched.recent(), folded.recent());
    }

    #[test]
    fn blocks_and_open_rows_hold_every_recorded_row(seed in any::<u64>()) {
        let entries = Maker::new(seed).entries(1_500);
        let mut state = State::new(EPOCH);
        let mut recorded = Vec::new();
        for record in &entries {
            match state.apply(record.position, record.stamp, &record.entry) {
                Applied::Recorded { row } | Applied::Amended { after: row, .. } => {
                    recorded.push(row);
                }
                _ => {}
            }
        }
        let mut rows = Vec::new();
        for (number, bytes) in state.take_closed() {
            prop_assert_eq!(number as usize, rows.len() / BLOCK_ROWS);
            rows.extend(Block::unpack(number, &bytes).expect("just packed").rows());
        }
        prop_assert_eq!(state.blocks() as usize, rows.len() / BLOCK_ROWS);
        rows.extend(state.open_rows());
        prop_assert_eq!(rows, recorded);
    }

    #[test]
    fn recent_holds_what_counts_in_the_last_25_hours(seed in any::<u64>()) {
        let entries = Maker::new(seed).entries(3_000);
        let state = fold(&entries);
        let minutes = entries.iter().filter_map(|record| {
            let Entry::Incident { facts, personal: Some(personal) } = &record.entry else {
                return None;
            };
            let is_exact = facts.precision == TimePrecision::Exact;
            let minute = personal.occurred.minute().filter(|_| is_exact)?;
            let oldest = record.stamp.minute().expect("after 1970").0 - RECENT_MINUTES;
            (oldest <= minute.0).then_some((record.position, minute))
        });
        let minutes: BTreeMap<Position, Minute> = minutes.collect();
        let from = Minute(state.stamp().minute().expect("after 1970").0 - RECENT_MINUTES);
        let counting = counting_rows(&entries).into_iter().filter(|row| {
            let incident = state.cases().incident_of(row.position);
            let minute = minutes.get(&incident).filter(|_| !state.cases().is_erased(incident));
            minute.is_some_and(|minute| from <= *minute)
        });
        let mut expected: Vec<Row> = counting.collect();
        expected.sort_by_key(|row| {
            let incident = state.cases().incident_of(row.position);
            (minutes[&incident], row.position)
        });
        let all = state.recent().rows(from, Minute(u32::MAX)).copied();
        prop_assert_eq!(all.collect::<Vec<_>>(), expected);
        prop_assert_eq!(state.recent().complete_from(), from);
    }
}

/// What stands in the windows: rows known to the minute, and the others, each with its minute.
fn windows(state: &State) -> [Vec<(Minute, Row)>; 2] {
    [state.recent(), state.untimed()].map(|recent| {
        let rows = recent.rows_by_minute(Minute(0), Minute(u32::MAX));
        rows.map(|(minute, row)| (minute, *row)).collect()
    })
}

#[test]
fn erased_report_stays_in_the_windows_as_one_known_to_the_hour_and_a_replay_has_it_there_too() {
    let mut maker = Maker::new(11);
    let mut entries = Vec::new();
    let mut told = Vec::new();
    let noon = NOON.hour().expect("a supported year");
    let hour = Hour(noon.0 + 1);
    for number in 1..=3_i64 {
        let stamp = UtcMillis(NOON.0 + 90 * 60_000 + number);
        let mut facts = maker.facts(stamp);
        facts.time = RowTime::Hour(hour);
        facts.precision = TimePrecision::Exact;
        told.push(facts.clone());
        let occurred = UtcMillis(hour.start().0 + number * 60_000);
        entries.push(Record {
            position: Position(number.unsigned_abs()),
            stamp,
            entry: Entry::Incident {
                facts: Box::new(facts),
                personal: Some(Box::new(personal(occurred))),
            },
        });
    }
    let before = fold(&entries);
    assert_eq!(windows(&before).map(|rows| rows.len()), [3, 0]);
    // The second first, so that one that was recorded before it comes after it.
    for (position, of) in [(4, 2), (5, 1)] {
        let id = told[of - 1].id;
        let incident = Position(of as u64);
        let stamp = entries[2].stamp;
        let entry = Entry::Erased { id, incident };
        entries.push(Record {
            position: Position(position),
            stamp,
            entry,
        });
    }
    let state = fold(&entries);
    let [timed, untimed] = windows(&state);
    assert_eq!(timed, windows(&before)[0][2..]);
    let began = hour.first_minute();
    let rows: Vec<_> = untimed
        .iter()
        .map(|(minute, row)| (*minute, row.position.0))
        .collect();
    assert_eq!(rows, [(began, 1), (began, 2)]);
    // What the journal says once the personal parts are gone.
    for record in &mut entries[..2] {
        if let Entry::Incident { personal, .. } = &mut record.entry {
            *personal = None;
        }
    }
    assert_eq!(windows(&fold(&entries)), [timed, untimed]);
    let withdrawn = Entry::Withdrawn {
        id: told[0].id,
        facts: Box::new(told[0].clone()),
        row: Position(1),
    };
    let mut state = state;
    state.apply(Position(6), entries[2].stamp, &withdrawn);
    assert_eq!(windows(&state)[1].len(), 1);
}

#[test]
fn row_with_a_line_is_of_the_operator_of_the_line() {
    let mut maker = Maker::new(9);
    let mut state = State::new(EPOCH);
    let mut with_line = 0;
    for position in (1..500).map(Position) {
        let applied = state.apply(position, UtcMillis(0), &maker.incident());
        let Applied::Recorded { row } = applied else {
            panic!("ids of the maker are all different");
        };
        if row.line != 0 {
            with_line += 1;
            assert_eq!(row.operator, state.dictionary().operator_of_line(row.line));
        }
    }
    assert_ne!(with_line, 0);
}

#[test]
fn repeated_ids_count_once() {
    let mut maker = Maker::new(3);
    let entry = maker.incident();
    let mut state = State::new(EPOCH);
    assert!(matches!(
        state.apply(Position(1), UtcMillis(0), &entry),
        Applied::Recorded { .. }
    ));
    let digest = |state: &State| {
        state
            .tallies
            .each_ref()
            .map(|tallies| tallies.cubes().map(cells).collect::<Vec<_>>())
    };
    let before = digest(&state);
    let again = state.apply(Position(2), UtcMillis(0), &entry);
    assert_eq!(again, Applied::Repeated { first: Position(1) });
    assert_eq!(digest(&state), before);
    assert_eq!(state.open_rows().len(), 1);
}

#[test]
fn withdrawal_leaves_the_tallies_as_if_nothing_had_been_told() {
    let mut maker = Maker::new(4);
    let kept: Vec<Record> = (0..200)
        .map(|_| {
            let entry = maker.incident();
            maker.place(entry, 0)
        })
        .collect();
    let mut state = fold(&kept);
    let counts = |state: &State| -> Vec<_> {
        state
            .tallies
            .iter()
            .flat_map(|tallies| tallies.cubes().map(cells))
            .collect()
    };
    let (before, recent) = (counts(&state), state.recent().clone());
    let Entry::Incident { facts, personal } = maker.incident() else {
        panic!("an incident");
    };
    let id = facts.id;
    let told = Entry::Incident {
        facts: facts.clone(),
        personal,
    };
    state.apply(Position(201), UtcMillis(0), &told);
    assert_ne!(counts(&state), before);
    let withdrawn = Entry::Withdrawn {
        id,
        facts,
        row: Position(0),
    };
    let first = state.apply(Position(202), UtcMillis(0), &withdrawn);
    assert!(matches!(first, Applied::Withdrawn { row } if row.position == Position(201)));
    assert_eq!(counts(&state), before);
    assert_eq!(*state.recent(), recent);
    assert!(state.is_withdrawn(Position(201)));
    assert_eq!(state.find(&id), Some(Position(201)));
    let second = state.apply(Position(203), UtcMillis(0), &withdrawn);
    assert_eq!(second, Applied::Nothing);
    let repeat = state.apply(Position(204), UtcMillis(0), &told);
    assert_eq!(
        repeat,
        Applied::Repeated {
            first: Position(201)
        }
    );
}

#[test]
fn withdrawal_of_an_unknown_incident_changes_nothing() {
    let mut maker = Maker::new(5);
    let facts = Box::new(maker.facts(NOON));
    let entry = Entry::Withdrawn {
        id: facts.id,
        facts,
        row: Position(0),
    };
    let mut state = State::new(EPOCH);
    let applied = state.apply(Position(1), UtcMillis(0), &entry);
    assert_eq!(applied, Applied::Nothing);
}

#[test]
fn operators_beyond_the_bound_are_counted_as_not_known_and_can_be_withdrawn() {
    let mut maker = Maker::new(6);
    let mut state = State::new(EPOCH);
    let mut facts_of = |number| Facts {
        operator: Some(operator_code(number)),
        line: None,
        ..maker.facts(NOON)
    };
    let operators = u32::try_from(OPERATORS_MAX).expect("fits");
    let mut rows = Vec::new();
    for number in 0..=operators {
        let entry = incident(facts_of(number));
        let position = state.position().next();
        if let Applied::Recorded { row } = state.apply(position, UtcMillis(0), &entry) {
            rows.push((row.operator, entry));
        }
    }
    assert_eq!(rows[0].0, 1);
    let Some((0, Entry::Incident { facts, .. })) = rows.pop() else {
        panic!("the last operator has no number");
    };
    let entry = Entry::Withdrawn {
        id: facts.id,
        facts,
        row: Position(0),
    };
    let applied = state.apply(state.position().next(), UtcMillis(0), &entry);
    assert!(matches!(applied, Applied::Withdrawn { row } if row.operator == 0));
}

#[test]
fn network_in_use_is_remembered() {
    let entry = Entry::NetworkChanged {
        version: 9,
        sha256: [5; 32],
    };
    let state = fold(&[Record {
        position: Position(1),
        stamp: UtcMillis(0),
        entry,
    }]);
    assert_eq!(state.network(), Some((9, [5; 32])));
}

/// What waits for the store may be so many.
const FEW: PendingBounds = PendingBounds {
    blocks: 2,
    tap_changes: 5,
};

/// Blocks and changes of tap counts that are not in the store.
fn pending(ledger: &Ledger) -> (usize, usize) {
    let taps = ledger.store_writer.kept_taps();
    (
        ledger.blocks_pending(),
        taps.map_or(0, |(_, taps)| taps.len()),
    )
}

/// Folds entries one after the other until so many wait as may, and then no further before
/// `make_room` has been called.
fn fold_beside(ledger: &Ledger, entries: &[Record], make_room: impl FnOnce()) {
    let is_full = |(blocks, taps)| FEW.blocks <= blocks || FEW.tap_changes <= taps;
    let expected = std::thread::scope(|scope| {
        let folding = scope.spawn(|| {
            let waiting = entries.iter().map(|entry| {
                ledger.apply(std::slice::from_ref(entry));
                pending(ledger)
            });
            waiting.max()
        });
        while !folding.is_finished() && !is_full(pending(ledger)) {
            std::thread::yield_now();
        }
        // As long as the other thread would take for all of them, if it did not wait.
        let expected = fold(entries).digest();
        assert!(!folding.is_finished(), "it waits");
        make_room();
        let most = folding.join().expect("no panic").expect("some entries");
        assert!(
            most.0 <= FEW.blocks && most.1 <= FEW.tap_changes,
            "{most:?}"
        );
        expected
    });
    ledger.flush_blocks().expect("a working store");
    assert_eq!(pending(ledger), (0, 0));
    assert_eq!(ledger.read().digest(), expected);
}

#[test]
fn fold_waits_while_as_many_blocks_as_may_wait_for_a_store_that_opens() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::create(&dir.path().join("store"), EPOCH).expect("new");
    let mut maker = Maker::new(8);
    let incidents = (0..6 * BLOCK_ROWS).map(|_| {
        let entry = maker.incident();
        maker.place(entry, 0)
    });
    let incidents: Vec<Record> = incidents.collect();
    let ledger = Ledger::with_bounds(State::new(EPOCH), FEW);
    fold_beside(&ledger, &incidents, || ledger.attach_store(store));
}

#[test]
fn fold_waits_while_as_many_tap_counts_as_may_wait_for_a_store_that_is_slow() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::create(&dir.path().join("store"), EPOCH).expect("new");
    let mut maker = Maker::new(8);
    let told = (0..60).map(|_| {
        let entry = maker.tap_counts();
        maker.place(entry, 0)
    });
    let told: Vec<Record> = told.collect();
    let ledger = Ledger::with_bounds(State::new(EPOCH), FEW);
    ledger.attach_store(store);
    let held = ledger.store_writer.hold_taps();
    fold_beside(&ledger, &told, || drop(held));
}
