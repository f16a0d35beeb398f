//! Whatever is told late, again, otherwise or taken back: an edition is that of a record which
//! holds nothing but what counted when it closed.

use std::collections::BTreeMap;

use super::*;
use crate::domain::taxonomy::CaseState;
use crate::domain::time::MINUTE_MS;
use crate::domain::{Amendment, Answer};

/// Both clock changes of a winter lie in the first and the fourth, and the months after them
/// count what came too late.
const MONTHS: [&str; 4] = ["2026-10", "2026-11", "2027-03", "2027-04"];
const LINES: [&str; 3] = ["GVB:1", "GVB:2", "GVB:3"];
/// Hours in which taps are: around both changes of the clock, at the ends of their months in
/// local time, and at noon.
const AROUND: [&str; 7] = [
    "2026-10-25T00:00",
    "2026-10-31T22:00",
    "2026-10-12T12:00",
    "2026-09-30T22:00",
    "2027-03-28T00:00",
    "2027-03-31T22:00",
    "2027-03-10T12:00",
];

/// One report, and what came of it.
#[derive(Clone, Debug)]
struct Told {
    tapped: UtcMillis,
    is_day_only: bool,
    line: usize,
    /// `None`: it names nobody.
    reporter: Option<u32>,
    at: UtcMillis,
    later: Vec<(UtcMillis, Later)>,
}

/// What came later of a report.
#[derive(Clone, Copy, Debug)]
enum Later {
    Withdrawn,
    /// Staff did this, too; by whoever saw the report as it was told at first, if the second is
    /// true.
    Amended(StaffAct, bool),
    Erased,
    Answered,
    ToldAgain,
}

/// Taps of a line on a day, from the first of October, told then.
#[derive(Clone, Copy, Debug)]
struct Taps10 {
    line: usize,
    month: usize,
    day: i32,
    taps: u64,
    at: UtcMillis,
}

/// When something is told that was tapped then: soon, after days, or within a minute of the
/// instant at which the edition of its month closes.
fn delayed(tapped: UtcMillis) -> impl Strategy<Value = UtcMillis> {
    let closes = closing(month_of(tapped)).0;
    prop_oneof![
        4 => (0..HOUR_MS).prop_map(move |after| UtcMillis(tapped.0 + after)),
        2 => (0..52 * DAY_MS).prop_map(move |after| UtcMillis(tapped.0 + after)),
        1 => (-1..=1_i64).prop_map(move |after| UtcMillis(closes + after)),
        1 => (-MINUTE_MS..MINUTE_MS).prop_map(move |after| UtcMillis(closes + after)),
        1 => (closes - 2 * DAY_MS..closes + 2 * DAY_MS).prop_map(UtcMillis),
    ]
}

fn later() -> impl Strategy<Value = Later> {
    let act = prop_oneof![
        Just(StaffAct::LetRideFree),
        Just(StaffAct::CouldNotHelp),
        Just(StaffAct::CalledBack),
    ];
    prop_oneof![
        3 => Just(Later::Withdrawn),
        4 => (act, any::<bool>()).prop_map(|(act, is_stale)| Later::Amended(act, is_stale)),
        1 => Just(Later::Erased),
        1 => Just(Later::Answered),
        1 => Just(Later::ToldAgain),
    ]
}

fn told() -> impl Strategy<Value = Told> {
    let tapped = (0..AROUND.len(), 0..5_i64)
        .prop_map(|(around, hours)| UtcMillis(amsterdam(AROUND[around]).0 + hours * HOUR_MS));
    let reporter = proptest::option::weighted(0.95, 0..90_u32);
    let about = (0..10_u32, 0..LINES.len(), reporter);
    (tapped, about).prop_flat_map(|(tapped, (day_only, line, reporter))| {
        let later = proptest::collection::vec((delayed(tapped), later()), 0..3);
        let often = prop_oneof![2 => Just(Vec::new()), 1 => later];
        (delayed(tapped), often).prop_map(move |(at, later)| {
            let after = |(then, what): (UtcMillis, Later)| (UtcMillis(then.0.max(at.0 + 1)), what);
            let mut later: Vec<_> = later.into_iter().map(after).collect();
            later.sort_by_key(|(at, _)| *at);
            Told {
                tapped,
                is_day_only: day_only == 0,
                line,
                reporter,
                at,
                later,
            }
        })
    })
}

/// A correction of taps, on the day after or around the closing.
fn corrected() -> impl Strategy<Value = Taps10> {
    (0..LINES.len(), 0..MONTHS.len(), 0..28, 0..9_000_u64).prop_flat_map(
        |(line, month, day, taps)| {
            let first = month::first_day(of(MONTHS[month]));
            let after = LocalDay(first.0 + day + 1).start().start();
            delayed(UtcMillis(after.0 - HOUR_MS)).prop_map(move |at| Taps10 {
                line,
                month,
                day,
                taps,
                at: UtcMillis(at.0.max(after.0)),
            })
        },
    )
}

fn facts_of(one: &Told, number: usize) -> Facts {
    let id = id_made_at(UtcMillis(0), number as u64);
    let hour = one.tapped.hour().expect("a supported year");
    let (time, precision) = if one.is_day_only {
        (RowTime::Day(hour.local_day()), TimePrecision::Day)
    } else {
        (RowTime::Hour(hour), TimePrecision::Exact)
    };
    Facts {
        operator: Some("GVB".parse().expect("a code")),
        line: Some(LINES[one.line].parse().expect("a line")),
        tap_kind: Some(TapKind::CheckIn),
        staff_present: Some(StaffPresence::Yes),
        staff_acts: [StaffAct::Sympathised].into_iter().collect(),
        outcomes: [Outcome::TravelledOn].into_iter().collect(),
        installation_given: one.reporter.is_some(),
        ..blank_facts(id, time, precision)
    }
}

fn amended(facts: &Facts, act: StaffAct) -> Facts {
    let acts = facts.staff_acts.iter().chain([act]);
    Facts {
        staff_acts: acts.collect(),
        ..facts.clone()
    }
}

fn names_of(one: &Told) -> Personal {
    let pseudonym = |reporter: u32| {
        let mut bytes = [7; 16];
        bytes[..4].copy_from_slice(&reporter.to_be_bytes());
        Pseudonym(bytes)
    };
    Personal {
        installation: one.reporter.map(pseudonym),
        ..personal(one.tapped)
    }
}

fn taps_entry(told: impl IntoIterator<Item = Taps10>) -> Entry {
    let Entry::TapCounts(blank) = taps_of_line(LINES[0], MONTHS[0], 0, 0..1) else {
        unreachable!("it makes tap counts");
    };
    let counts = told.into_iter().map(|one| TapCount {
        scope: TapScope::Line(LINES[one.line].parse().expect("a line")),
        slot: TapSlot {
            day: LocalDay(month::first_day(of(MONTHS[one.month])).0 + one.day),
            slot: 0,
        },
        taps: Taps::new(one.taps).expect("few"),
    });
    Entry::TapCounts(Box::new(TapBatch::pack(blank.feed(), counts).remove(0)))
}

/// Taps of every day of every month, each month's told on its last day.
fn all_taps() -> Vec<Taps10> {
    let mut all = Vec::new();
    for (month, name) in MONTHS.iter().enumerate() {
        let (first, end) = (of(name), month::next(of(name)));
        let (first, end) = (month::first_day(first).0, month::first_day(end).0);
        for (line, day) in
            (0..LINES.len()).flat_map(|line| (0..end - first).map(move |d| (line, d)))
        {
            all.push(Taps10 {
                line,
                month,
                day,
                taps: 1_000,
                at: LocalDay(end - 1).noon().start(),
            });
        }
    }
    all
}

fn begun() -> Record {
    let mut record = Record::new();
    record.append(amsterdam("2026-08-01T00:00"), &Entry::Tick);
    record
}

/// What happens, in the order of time and, within an instant, of this list.
enum Event {
    Tell(usize),
    Later(usize, Later),
    Taps(Vec<Taps10>),
    Close(&'static str),
}

fn events(all: &[Told], corrections: &[Taps10]) -> Vec<(UtcMillis, Event)> {
    let mut events: Vec<(UtcMillis, Event)> = Vec::new();
    for name in MONTHS {
        // Before anything that is told at the instant of closing.
        let month: Date = format!("{name}-01").parse().expect("a date");
        events.push((closing(month), Event::Close(name)));
    }
    for (number, one) in all.iter().enumerate() {
        events.push((one.at, Event::Tell(number)));
        let later = one.later.iter();
        events.extend(later.map(|(at, what)| (*at, Event::Later(number, *what))));
    }
    for taps in all_taps().chunk_by(|one, next| one.month == next.month) {
        events.push((taps[0].at, Event::Taps(taps.to_vec())));
    }
    events.extend(
        corrections
            .iter()
            .map(|one| (one.at, Event::Taps(vec![*one]))),
    );
    events.sort_by_key(|(at, _)| *at);
    events
}

/// What a plain map knows of the reports as they stand.
#[derive(Default)]
struct Model {
    /// In the order in which they were told: when, what counts, and who told it, if it is known.
    live: BTreeMap<usize, (Facts, Option<Personal>)>,
    order: Vec<(UtcMillis, usize)>,
    erased: Vec<usize>,
    taps: BTreeMap<(usize, usize, i32), Taps10>,
}

impl Model {
    fn take(&mut self, at: UtcMillis, event: &Event, all: &[Told]) {
        match event {
            Event::Tell(number) => {
                let one = &all[*number];
                let told = (facts_of(one, *number), Some(names_of(one)));
                self.live.insert(*number, told);
                self.order.push((at, *number));
            }
            Event::Later(number, Later::Withdrawn) => {
                self.live.remove(number);
            }
            Event::Later(number, Later::Amended(act, is_stale)) => {
                let first = facts_of(&all[*number], *number);
                if !self.erased.contains(number)
                    && let Some((facts, _)) = self.live.get_mut(number)
                    && (!is_stale || *facts == first)
                {
                    *facts = amended(facts, *act);
                }
            }
            Event::Later(number, Later::Erased) => {
                self.erased.push(*number);
                if let Some((_, names)) = self.live.get_mut(number) {
                    *names = None;
                }
            }
            Event::Later(_, Later::Answered | Later::ToldAgain) | Event::Close(_) => {}
            Event::Taps(told) => {
                for one in told {
                    self.taps.insert((one.line, one.month, one.day), *one);
                }
            }
        }
    }

    /// The edition of a record that holds nothing else.
    fn edition(&self, name: &str) -> Edition {
        let mut record = begun();
        let mut taps = vec![self.taps.values().copied().collect::<Vec<_>>()];
        for (at, number) in &self.order {
            if let Some((facts, names)) = self.live.get(number) {
                let entry = Entry::Incident {
                    facts: Box::new(facts.clone()),
                    personal: names.clone().map(Box::new),
                };
                record.append(*at, &entry);
            }
        }
        // All of this was told before the month closed.
        let closes = month::closes_at(of(name));
        let at = UtcMillis(closes.0 - 1);
        for taps in taps.pop().into_iter().filter(|taps| !taps.is_empty()) {
            for some in taps.chunks(200) {
                record.append(at, &taps_entry(some.iter().copied()));
            }
        }
        record.append(closes, &Entry::Tick);
        record.make(name).expect("over")
    }
}

/// A record in which all of it is told as it comes.
struct Telling<'a> {
    record: Record,
    all: &'a [Told],
    /// Where each was told, where what counts of it was, and what that is.
    told: BTreeMap<usize, (Position, Position, Facts)>,
}

impl Telling<'_> {
    fn take(&mut self, at: UtcMillis, event: &Event) {
        match event {
            Event::Tell(number) => {
                let facts = facts_of(&self.all[*number], *number);
                let entry = Entry::Incident {
                    facts: Box::new(facts.clone()),
                    personal: Some(Box::new(names_of(&self.all[*number]))),
                };
                let position = self.record.append(at, &entry);
                self.told.insert(*number, (position, position, facts));
            }
            Event::Later(number, what) => self.follow(at, *number, *what),
            Event::Taps(told) => {
                for some in told.chunks(200) {
                    self.record.append(at, &taps_entry(some.iter().copied()));
                }
            }
            Event::Close(_) => {
                self.record.append(at, &Entry::Tick);
            }
        }
    }

    fn follow(&mut self, at: UtcMillis, number: usize, what: Later) {
        let (first, row, facts) = self.told[&number].clone();
        let id = facts.id;
        match what {
            Later::Withdrawn => {
                let facts = Box::new(facts);
                self.record.append(at, &Entry::Withdrawn { id, facts, row });
            }
            Later::Amended(act, is_stale) => {
                let row = if is_stale { first } else { row };
                let after = amended(&facts, act);
                let amendment = Amendment {
                    id,
                    row,
                    before: facts,
                    after: after.clone(),
                };
                let position = self.record.append(at, &Entry::Amended(Box::new(amendment)));
                let told = self.told.get_mut(&number).expect("told");
                let is_erased = self
                    .record
                    .reader
                    .entry(first)
                    .expect("readable")
                    .is_some_and(|record| {
                        matches!(record.entry, Entry::Incident { personal: None, .. })
                    });
                if told.1 == row && !is_erased {
                    (told.1, told.2) = (position, after);
                }
            }
            Later::Erased => {
                let entry = Entry::Erased {
                    id,
                    incident: first,
                };
                self.record.append(at, &entry);
                self.record.writer.erase_personal(first).expect("erased");
            }
            Later::Answered => {
                let answer = Answer {
                    id,
                    incident: first,
                    operator: "GVB".parse().expect("a code"),
                    received: at,
                    time: facts.time,
                    state: CaseState::Repaired,
                    reason: None,
                    message: "de lezer is vervangen".into(),
                    is_message_gone: false,
                };
                self.record.append(at, &Entry::Answered(Box::new(answer)));
            }
            Later::ToldAgain => {
                let again = self.record.facts(self.all[number].tapped);
                let facts = Facts {
                    told_again: Some(first),
                    ..facts
                };
                let facts = Facts {
                    id: again.id,
                    ..facts
                };
                let entry = Entry::Incident {
                    facts: Box::new(facts),
                    personal: Some(Box::new(names_of(&self.all[number]))),
                };
                self.record.append(at, &entry);
            }
        }
    }
}

/// All that an edition says but where in the journal.
fn said(edition: &Edition) -> Edition {
    Edition {
        through: 0,
        networks: Vec::new(),
        ..edition.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn edition_is_that_of_a_record_which_holds_only_what_counted_when_it_closed(
        all in proptest::collection::vec(told(), 1..420),
        corrections in proptest::collection::vec(corrected(), 0..40),
    ) {
        let mut telling = Telling {
            record: begun(),
            all: &all,
            told: BTreeMap::new(),
        };
        let mut model = Model::default();
        let mut closed = BTreeMap::new();
        let mut names_known = BTreeMap::new();
        for (at, event) in events(&all, &corrections) {
            telling.take(at, &event);
            model.take(at, &event, &all);
            if let Event::Close(name) = event {
                let edition = telling.record.make(name).expect("over");
                prop_assert_eq!(said(&edition), said(&model.edition(name)), "{}", name);
                closed.insert(name, edition);
                names_known.insert(name, model.erased.len());
            }
        }
        let library = telling.record.library();
        for (name, edition) in &closed {
            // What came afterwards changes nothing, unless who told something was erased.
            let made = close::make(&telling.record.reader, of(name), |_| None);
            let made = made.expect("readable").expect("over");
            let are_known = made.missing.erased() == 0;
            prop_assert!(!are_known || made.edition == *edition, "{}", name);
            let is_explained = made.missing.explains(edition, &made.edition);
            prop_assert!(made.edition == *edition || is_explained, "{}", name);
            if names_known[name] == model.erased.len() {
                prop_assert_eq!(&made.edition, edition);
            }
            prop_assert!(library.get(of(name)).expect("none").is_none());
        }
    }
}
