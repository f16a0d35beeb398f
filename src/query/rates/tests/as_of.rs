//! As of position N, rates are those of a record that ended at N: whatever was reported late,
//! corrected, withdrawn or told again since.

use std::cell::RefCell;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::domain::taxonomy::{CaseState, Taxonomy};
use crate::domain::time::HOUR_MS;
use crate::domain::{Amendment, Answer, Position, Record, Stamp, UtcMillis};
use crate::journal::JournalError;
use crate::ledger::Ledger;
use crate::ledger::testing::{Maker, ledger_of};
use crate::query::cases::reply_times;

const QUESTIONS_EACH: usize = 12;
/// Rankings, comparisons and times to reply.
const COMPARISONS_EACH: usize = 4;

/// A report that was made: where, where it was amended last, and what counts of it.
#[derive(Clone)]
struct Recorded {
    facts: Facts,
    incident: Position,
    row: Position,
}

/// Reports around both changes of the clock and a month's end, late ones among them; some
/// withdrawn, some amended, erased or answered, some corrected, which is a withdrawal and another
/// report; taps told, told again and let go.
fn journal(seed: u64, count: usize) -> Vec<Record> {
    let mut maker = Maker::new(seed);
    let mut random = StdRng::seed_from_u64(seed);
    let mut recorded: Vec<Recorded> = Vec::new();
    let mut placed: Vec<Record> = Vec::new();
    let feeds = overlapping_feeds(seed);
    while placed.len() < count {
        let around = day(DAYS[random.random_range(0..DAYS.len())]);
        let shift_ms = random.random_range(-40 * HOUR_MS..64 * HOUR_MS);
        let here = Position(placed.len() as u64 + 1);
        let entry = match random.random_range(0..13) {
            0..6 => {
                let facts = maker.facts(UtcMillis(around.start().start().0 + shift_ms));
                recorded.push(Recorded {
                    facts: facts.clone(),
                    incident: here,
                    row: here,
                });
                Entry::Incident {
                    facts: Box::new(facts),
                    personal: None,
                }
            }
            6 if 2 < recorded.len() => {
                let index = random.random_range(0..recorded.len());
                let Recorded { facts, row, .. } = recorded.swap_remove(index);
                Entry::Withdrawn {
                    id: facts.id,
                    facts: Box::new(facts),
                    row,
                }
            }
            10 if 2 < recorded.len() => {
                let index = random.random_range(0..recorded.len());
                let before = recorded[index].clone();
                let after = Facts {
                    staff_acts: maker.facts(around.start().start()).staff_acts,
                    ..before.facts.clone()
                };
                recorded[index].facts = after.clone();
                recorded[index].row = here;
                Entry::Amended(Box::new(Amendment {
                    id: after.id,
                    row: before.row,
                    before: before.facts,
                    after,
                }))
            }
            11 if 2 < recorded.len() => {
                let index = random.random_range(0..recorded.len());
                afterword(&recorded[index], &mut random)
            }
            8 if random.random_range(0..8) == 0 => maker.outage_around(around),
            7 if random.random_range(0..20) == 0 => Entry::TapCountsRemoved {
                before: LocalDay(around.0 - 2),
            },
            _ => told(&mut random, &feeds, around),
        };
        placed.push(maker.place(entry, 1));
    }
    placed
}

/// One more by line, which tells some lines of another. Of every other seed the days of both begin
/// at midnight: then it is known of whole days, without reading any counts, which lines they tell.
fn overlapping_feeds(seed: u64) -> Vec<TapFeed> {
    let mut all = feeds();
    if seed & 1 == 0 {
        all[1].day_begin = DayBegin::default();
    }
    all.push(TapFeed {
        id: "feed-1-too".parse().expect("a name"),
        interval: TapInterval::Hour,
        ..all[1].clone()
    });
    all
}

/// What changes no count: an erasure, or an answer. What was erased is amended no more.
fn afterword(of: &Recorded, random: &mut StdRng) -> Entry {
    let (id, incident) = (of.facts.id, of.incident);
    if random.random() {
        return Entry::Erased { id, incident };
    }
    Entry::Answered(Box::new(Answer {
        id,
        incident,
        operator: operator_code(1),
        received: UtcMillis(0),
        time: of.facts.time,
        state: CaseState::ALL[random.random_range(0..CaseState::ALL.len())],
        reason: None,
        message: "".into(),
        is_message_gone: false,
    }))
}

fn told(random: &mut StdRng, feeds: &[TapFeed], around: LocalDay) -> Entry {
    let feed = &feeds[random.random_range(0..feeds.len())];
    let scope = tap_scope(feed.grain, random.random_range(0..SCOPES));
    let mut counts = Vec::new();
    for shift in -2..4 {
        let day = LocalDay(around.0 + shift);
        for slot in 0..feed.slots(day) {
            counts.push(TapCount {
                scope: scope.clone(),
                slot: TapSlot { day, slot },
                taps: Taps::new(random.random_range(0..40)).expect("few"),
            });
        }
    }
    Entry::TapCounts(Box::new(TapBatch::pack(feed, counts).remove(0)))
}

/// A journal in memory.
pub(super) struct Kept<'a> {
    pub entries: Vec<(Position, Stamp, &'a Entry)>,
    /// From where each pass over it begins.
    begun: RefCell<Vec<u64>>,
}

impl<'a> Kept<'a> {
    pub fn new(entries: &'a [Record]) -> Self {
        let entries = entries.iter();
        Self {
            entries: entries
                .map(|record| (record.position, record.stamp, &record.entry))
                .collect(),
            begun: RefCell::new(Vec::new()),
        }
    }

    /// As of a position, when so many bytes of tap counts are made again at once.
    pub fn then<'b>(&'b self, ledger: &'b Ledger, at: Position, bytes_max: u64) -> RecordAsOf<'b> {
        let past = Past {
            entries: self,
            tell: &|_| true,
            bytes_max,
        };
        RecordAsOf::Then(ledger, past, at)
    }
}

impl Entries for Kept<'_> {
    fn tap_changes(&self, from: Position) -> TapChanges<'_> {
        self.begun.borrow_mut().push(from.0);
        let rest = self.entries.iter().filter(move |(at, ..)| from <= *at);
        Box::new(rest.map(|(at, _, entry)| Ok((*at, (*entry).clone()))))
    }

    fn stamp(&self, of: Position) -> Result<Option<Stamp>, JournalError> {
        let mut entries = self.entries.iter();
        Ok(entries
            .find(|(at, ..)| *at == of)
            .map(|(_, stamp, _)| *stamp))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn rates_as_of_a_position_are_those_of_a_record_that_ended_there(
        seed: u64,
        size in 1..1_200_usize,
        // One day of one feed at a time, some, and all.
        bytes_max in prop::sample::select(vec![0, 400_000, u64::MAX]),
        is_put: bool,
    ) {
        check_record(seed, size, bytes_max, is_put)?;
    }
}

fn check_record(seed: u64, size: usize, bytes_max: u64, is_put: bool) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let entries = journal(seed, size);
    let kept = Kept::new(&entries);
    let whole = ledger_of(&entries, &dir.path().join("whole"));
    if is_put {
        // Else some counts are still on their way to the store.
        whole.flush_blocks().expect("the store is attached");
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut asker = Asker(StdRng::seed_from_u64(seed));
    for round in 0..3 {
        let end = match round {
            0 => size,
            _ => random.random_range(1..=size),
        };
        let stopped = ledger_of(&entries[..end], &dir.path().join(round.to_string()));
        let at = entries[end - 1].position;
        let page = all_in(Order::Key);
        for _ in 0..QUESTIONS_EACH {
            let question = asker.question();
            let wanted = wanted(&[]);
            let expected = answer_with_rates(&stopped, &question, &page, &wanted);
            let expected = expected.expect("an answer");
            let then = kept.then(&whole, at, bytes_max);
            let found = answer_with_rates(then, &question, &page, &wanted);
            let found = found.expect("an answer");
            prop_assert_eq!(found.answer.position, at);
            prop_assert_eq!(found.answer.figures, expected.answer.figures);
            prop_assert_eq!(found.feeds, expected.feeds);
            prop_assert_eq!(found.without, expected.without);
            prop_assert_eq!(found.total, expected.total, "{} {:?}", at, &question);
            prop_assert_eq!(found.rates, expected.rates, "{} {:?}", at, &question);
        }
        for _ in 0..COMPARISONS_EACH {
            check_ranking(&kept, (&whole, &stopped), &mut asker, (at, bytes_max))?;
            check_comparison(&kept, (&whole, &stopped), &mut asker, (at, bytes_max))?;
            let window = asker.question().window;
            let found = reply_times(&whole, &[], window, Some(at)).expect("an answer");
            let expected = reply_times(&stopped, &[], window, None);
            prop_assert_eq!(found.position, at);
            prop_assert_eq!(found, expected.expect("an answer"));
        }
    }
    Ok(())
}

fn check_ranking(
    kept: &Kept<'_>,
    (whole, stopped): (&Ledger, &Ledger),
    asker: &mut Asker,
    (at, bytes_max): (Position, u64),
) -> Result<(), TestCaseError> {
    let Question { filter, window, .. } = asker.question();
    let by = [RankBy::Operator, RankBy::Line, RankBy::Stop];
    let wanted = RankWanted {
        by: by[asker.0.random_range(0..by.len())],
        filter,
        window,
        feeds: Vec::new(),
        level: Level::P95,
        leaves_out_outages: asker.0.random(),
    };
    let expected = rank_scopes(stopped, &wanted).expect("an answer");
    let found = rank_scopes(kept.then(whole, at, bytes_max), &wanted).expect("an answer");
    prop_assert_eq!(found, expected, "{} {:?}", at, &wanted);
    Ok(())
}

fn check_comparison(
    kept: &Kept<'_>,
    (whole, stopped): (&Ledger, &Ledger),
    asker: &mut Asker,
    (at, bytes_max): (Position, u64),
) -> Result<(), TestCaseError> {
    let Question { filter, window, .. } = asker.question();
    let other = asker.question().window;
    let wanted = CompareWanted {
        filter,
        windows: [window, other],
        rates: wanted(&[]),
        leaves_out_outages: asker.0.random(),
    };
    // Within the window, before it or after it.
    let days = (window.end().0 - window.start().0) / 24;
    let after = asker.0.random_range(0..2 + days) * 24 + asker.0.random_range(0..24);
    let began = Some(Hour(window.start().0 + after - 24).start());
    let expected = compare(stopped, began, &wanted).expect("an answer");
    let then = kept.then(whole, at, bytes_max);
    let found = compare(then, began, &wanted).expect("an answer");
    prop_assert_eq!(found, expected, "{} {:?}", at, &wanted);
    Ok(())
}

/// Counts of a line for all of a day, by quarters.
fn all_day(at: LocalDay, taps: u64) -> Entry {
    all_day_of(&tap_feed(1), at, taps)
}

/// The same by another feed.
fn all_day_of(feed: &TapFeed, at: LocalDay, taps: u64) -> Entry {
    let counts = (0..feed.slots(at)).map(|slot| TapCount {
        scope: TapScope::Line(line_id(1)),
        slot: TapSlot { day: at, slot },
        taps: Taps::new(taps).expect("few"),
    });
    Entry::TapCounts(Box::new(TapBatch::pack(feed, counts).remove(0)))
}

fn placed(entries: impl IntoIterator<Item = Entry>) -> Vec<Record> {
    let mut maker = Maker::new(1);
    let entries = entries.into_iter();
    entries.map(|entry| maker.place(entry, 1)).collect()
}

fn of_days(first: LocalDay, days: i32) -> Question {
    let last = LocalDay(first.0 + days - 1);
    Question {
        filter: Filter::all(Basis::SelfReported),
        by: Breakdown::default(),
        window: Window::new(first.start(), last.next().start()).expect("not empty"),
    }
}

#[test]
fn counts_told_later_and_feeds_declared_later_do_not_matter_as_of_a_position() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let at = day("2026-10-25");
    let entries = placed([Entry::Tick, all_day(at, 5), all_day(at, 7)]);
    let ledger = ledger_of(&entries, dir.path());
    let question = of_days(at, 1);
    let kept = Kept::new(&entries);
    let taps = |position: u64| {
        let then = kept.then(&ledger, Position(position), u64::MAX);
        let answer = answer_with_rates(then, &question, &all_in(Order::Key), &wanted(&[]));
        answer.expect("an answer").total.matching.taps
    };
    // A service day of this feed begins at one, and an hour of it lies in the next day.
    assert_eq!(taps(1), 0);
    assert_eq!(taps(2) * 7, taps(3) * 5);
    assert!(0 < taps(2));
}

/// How many passes over the journal an answer takes, from where each begins, and what it tells of
/// how far it is.
fn passes(entries: &[Record], question: &Question, at: u64, bytes_max: u64) -> Passed {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ledger = ledger_of(entries, dir.path());
    let (kept, told) = (Kept::new(entries), RefCell::new(Vec::new()));
    let past = Past {
        entries: &kept,
        tell: &|progress: Progress| {
            told.borrow_mut().push((progress.read, progress.to_read));
            true
        },
        bytes_max,
    };
    let then = RecordAsOf::Then(&ledger, past, Position(at));
    let found = answer_with_rates(then, question, &all_in(Order::Key), &wanted(&[]));
    Passed {
        taps: found.expect("an answer").total.matching.taps,
        begun: kept.begun.into_inner(),
        told: told.into_inner(),
    }
}

struct Passed {
    taps: u64,
    begun: Vec<u64>,
    told: Vec<(u64, u64)>,
}

#[test]
fn journal_is_read_only_for_days_that_were_told_again_and_only_where_they_were_told() {
    let first = day("2026-09-01");
    let days = (0..10).map(|number| all_day(LocalDay(first.0 + number), 3));
    // The fourth day is told again at the very end.
    let again = all_day(LocalDay(first.0 + 3), 100);
    let entries = placed(days.chain([again]));
    let question = of_days(first, 10);
    // As of the last entry, and of days that nobody told of since: all is in the store.
    assert!(passes(&entries, &question, 11, 0).begun.is_empty());
    assert!(passes(&entries, &of_days(first, 2), 10, 0).begun.is_empty());
    // As of the one before: one pass over all, and one for the fourth day, from where it was told.
    let found = passes(&entries, &question, 10, 0);
    assert_eq!(found.begun, [1, 4]);
    assert_eq!(found.taps, passes(&entries[..10], &question, 10, 0).taps);
    assert_eq!(found.told.last(), Some(&(11, 11)));
    let rises = |pair: &[(u64, u64)]| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1;
    assert!(found.told.windows(2).all(rises), "{:?}", found.told);
}

#[test]
fn days_that_do_not_fit_in_memory_together_take_a_pass_each_and_give_the_same() {
    let first = day("2026-09-01");
    let days = |taps| (0..10).map(move |number| all_day(LocalDay(first.0 + number), taps));
    let entries = placed(days(3).chain(days(50)));
    let question = of_days(first, 10);
    let at_once = passes(&entries, &question, 10, u64::MAX);
    assert_eq!(at_once.begun.len(), 2);
    let one_by_one = passes(&entries, &question, 10, 0);
    assert_eq!(one_by_one.begun, [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(one_by_one.taps, at_once.taps);
    assert_eq!(
        one_by_one.taps,
        passes(&entries[..10], &question, 10, 0).taps
    );
    assert!(0 < one_by_one.taps);
}

#[test]
fn nothing_to_make_is_made_without_a_pass() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let at = day("2026-10-25");
    let entries = placed([all_day(at, 5), all_day(at, 7)]);
    let ledger = ledger_of(&entries, dir.path());
    let kept = Kept::new(&entries);
    let then = kept.then(&ledger, Position(1), u64::MAX);
    let opened = then.open(&[of_days(at, 1).window], |_| ());
    let (ground, ()) = opened.expect("it is there");
    let made = ground.make(&[]).expect("nothing");
    assert!(made.is_empty());
}

#[test]
fn reading_ends_when_nobody_waits_for_the_answer() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let at = day("2026-10-25");
    let entries = placed([all_day(at, 5), all_day(at, 7)]);
    let ledger = ledger_of(&entries, dir.path());
    let kept = Kept::new(&entries);
    let past = Past {
        entries: &kept,
        tell: &|_| false,
        bytes_max: u64::MAX,
    };
    let then = RecordAsOf::Then(&ledger, past, Position(1));
    let found = answer_with_rates(then, &of_days(at, 1), &all_in(Order::Key), &wanted(&[]));
    assert!(matches!(found, Err(QueryError::Abandoned)));
}

#[test]
fn days_that_were_let_go_before_any_feed_was_declared_are_not_taken_either() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let first = day("2026-09-01");
    let before = LocalDay(first.0 + 2);
    let told = (0..4).map(|number| all_day(LocalDay(first.0 + number), 5));
    let again = all_day(LocalDay(first.0 + 3), 7);
    let removed = Entry::TapCountsRemoved { before };
    let entries = placed(
        [Entry::Tick, removed]
            .into_iter()
            .chain(told)
            .chain([again]),
    );
    let (kept, whole) = (
        Kept::new(&entries),
        ledger_of(&entries, &dir.path().join("whole")),
    );
    let stopped = ledger_of(&entries[..6], &dir.path().join("stopped"));
    let (question, page, wanted) = (of_days(first, 4), all_in(Order::Key), wanted(&[]));
    let then = kept.then(&whole, Position(6), u64::MAX);
    let found = answer_with_rates(then, &question, &page, &wanted).expect("an answer");
    let expected = answer_with_rates(&stopped, &question, &page, &wanted).expect("an answer");
    assert_eq!(found.feeds, expected.feeds);
    assert_eq!(found.feeds[0].1, 2);
    assert_eq!(found.total, expected.total);
}

#[test]
fn journal_is_read_once_to_choose_feeds_for_both_periods_of_a_comparison() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let first = day("2026-09-01");
    // Of both feeds, which tell a line in common, and all of it told again later.
    let feeds = ["feed-1", "feed-1-too"].map(|name| TapFeed {
        id: name.parse().expect("a name"),
        ..tap_feed(1)
    });
    let told = |taps: u64| {
        let days = (0..10).map(|number| LocalDay(first.0 + number));
        days.flat_map(move |at| [0, 1].map(|feed| (feed, at, taps)))
    };
    let told = told(3).chain(told(50));
    let told = told.map(|(feed, at, taps)| all_day_of(&feeds[feed], at, taps));
    let entries = placed(told);
    let ledger = ledger_of(&entries, dir.path());
    let kept = Kept::new(&entries);
    let compared = CompareWanted {
        filter: Filter::all(Basis::SelfReported),
        windows: [0, 5].map(|shift| of_days(LocalDay(first.0 + shift), 5).window),
        rates: wanted(&[]),
        leaves_out_outages: false,
    };
    let then = kept.then(&ledger, Position(20), u64::MAX);
    let found = compare(then, None, &compared).expect("an answer");
    assert!(
        found
            .periods
            .iter()
            .all(|period| 0 < period.rate.matching.taps)
    );
    // What was told of which day, then by whom, then how much.
    assert_eq!(kept.begun.into_inner().len(), 3);
}
