//! Which reports tell an incident again: of one reporter, at one reader, of taps that lie no
//! further apart than two minutes.
//!
//! Decided by the committer, one report after the other, so that two that come at the same
//! moment cannot both pass, and written into the report's entry, so that whoever folds the
//! journal later decides nothing. Reports are compared with those that count, never with ones
//! told again: taps a minute apart for an hour are not one incident. What is remembered is
//! bounded, and read back from the journal at each start; who reported is kept only as a hash
//! under a key of the process.
//!
//! One reporter are those who share what nobody else can know: an installation, or a secret
//! beside the card. The card alone does not do: many know another's number, and whoever reported
//! with it first would silence its holder, or see by a report that is not counted that the
//! holder's was. Both count, then; editions take them for those of one reporter.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::prepare::Pending;
use crate::domain::incident::is_observed;
use crate::domain::limits::{TOLD_AGAIN_MS_MAX, TOLD_AGAIN_PER_READER_MAX, TOLD_AGAIN_REPORTS_MAX};
use crate::domain::taxonomy::TimePrecision;
use crate::domain::{Entry, Facts, Personal, Position, Record, RowTime, Stamp};
use crate::journal::{JournalError, Reader};
use crate::ledger::{Applied, State};

/// The latest reports that count.
pub(super) struct Duplicates {
    reports_max: usize,
    per_reader_max: usize,
    hasher: DefaultHashBuilder,
    /// In the order in which they came, numbered from `first` on.
    told: VecDeque<RememberedReport>,
    first: u64,
    /// Number of the latest of each reporter and reader. Found by their hash, which
    /// `told` has; its order is never looked at.
    latest: HashTable<u64>,
}

/// A report that counts.
#[derive(Clone, Copy)]
struct RememberedReport {
    /// Hash of reporter and reader.
    key: u64,
    /// Number of the one before of the same key; it may be forgotten by now.
    before: Option<u64>,
    report: Report,
}

/// Where a report lies, and of when it is.
#[derive(Clone, Copy)]
struct Report {
    at: Position,
    tap: Tap,
}

/// When a tap was.
#[derive(Clone, Copy)]
enum Tap {
    /// Told exactly.
    At(i64),
    /// Told only by its hour or day; it counts when that was told.
    Within(RowTime, i64),
}

impl Default for Duplicates {
    fn default() -> Self {
        Self::new(TOLD_AGAIN_REPORTS_MAX, TOLD_AGAIN_PER_READER_MAX)
    }
}

impl Duplicates {
    /// Of so many reports, and of each reporter and reader of so many.
    fn new(reports_max: usize, per_reader_max: usize) -> Self {
        Self {
            reports_max,
            per_reader_max,
            hasher: DefaultHashBuilder::default(),
            told: VecDeque::new(),
            first: 0,
            latest: HashTable::new(),
        }
    }

    /// Where the latest entries of a journal begin, of which all reports may be remembered.
    pub fn begins(last: Position) -> Position {
        Position(last.0.saturating_sub(TOLD_AGAIN_REPORTS_MAX as u64) + 1)
    }

    /// With what the journal has, as far as it is applied.
    pub fn read_back(reader: &Reader, state: &State) -> Result<Self, JournalError> {
        let mut again = Self::default();
        let begins = Self::begins(reader.last());
        if state.position() < begins {
            return Ok(again);
        }
        for record in reader.entries_from(begins.max(reader.horizon()))? {
            let record = record?;
            if state.position() < record.position {
                break;
            }
            if let Entry::Incident { facts, personal } = &record.entry
                && facts.told_again.is_none()
                && state.find(&facts.id) == Some(record.position)
            {
                let told = again.told(facts, personal.as_deref(), record.position, record.stamp);
                again.remember(told);
            }
        }
        Ok(again)
    }

    /// Goes on with entries that were just applied, from a place on.
    pub fn follow(&mut self, from: Position, batch: &[Record], applied: &[Applied]) {
        for (record, applied) in batch.iter().zip(applied) {
            let (position, stamp) = (record.position, record.stamp);
            if let Entry::Incident { facts, personal } = &record.entry
                && from <= position
                && matches!(applied, Applied::Recorded { .. })
            {
                let told = self.told(facts, personal.as_deref(), position, stamp);
                self.remember(told);
            }
        }
    }

    /// What is to be written of a report that would lie at a place: that it tells an incident
    /// again, if it does. Else it is remembered.
    pub fn mark(
        &mut self,
        mut pending: Pending,
        at: Position,
        received: Stamp,
        state: &State,
    ) -> Pending {
        let Entry::Incident { facts, personal } = &mut pending.entry else {
            return pending;
        };
        let (keys, told) = self.told(facts, personal.as_deref(), at, received);
        match self.earlier(&keys, told, state) {
            Some(first) => {
                facts.told_again = Some(first);
                Pending::new(pending.entry)
            }
            None => {
                self.remember((keys, told));
                pending
            }
        }
    }

    /// Forgets reports from a place on: they were not written after all.
    pub fn forget_from(&mut self, first: Position) {
        while let Some(told) = self.told.pop_back_if(|told| first <= told.report.at) {
            let number = self.first + self.told.len() as u64;
            let before = told.before.filter(|before| self.first <= *before);
            self.replace(told.key, number, before);
        }
    }

    /// By installation, and by card and secret, if a reader can be told from others.
    fn told(
        &self,
        facts: &Facts,
        personal: Option<&Personal>,
        at: Position,
        received: Stamp,
    ) -> ([Option<u64>; 2], Report) {
        let tap = match (facts.precision, personal) {
            (TimePrecision::Exact, Some(personal)) => Tap::At(personal.occurred.0),
            _ => Tap::Within(facts.time, received.0),
        };
        let keys = personal
            .filter(|_| !is_observed(facts))
            .filter(|personal| is_reader_known(facts, personal))
            .map(|personal| {
                let hash = |name: &[u8], secret: Option<&[u8]>| {
                    let reporter = (name, secret);
                    self.hasher.hash_one((reporter, reader_of(facts, personal)))
                };
                let installation = personal.installation.map(|name| hash(&name.0, None));
                let card = personal.card.zip(facts.secret_hash);
                let card = card.map(|(card, secret)| hash(&card.0, Some(&secret.0)));
                [installation, card]
            });
        (keys.unwrap_or_default(), Report { at, tap })
    }

    /// The report that is told again.
    fn earlier(&self, keys: &[Option<u64>; 2], report: Report, state: &State) -> Option<Position> {
        let known = keys.iter().flatten().flat_map(|key| self.of(*key));
        let mut same = known
            .filter(|first| first.tap.is_one_with(report.tap) && !state.is_withdrawn(first.at));
        same.next().map(|first| first.at)
    }

    /// What is known of a reporter and reader, the latest first.
    fn of(&self, key: u64) -> impl Iterator<Item = Report> {
        let mut next = self.latest(key);
        let reports = std::iter::from_fn(move || {
            let told = self.numbered(next?)?;
            next = told.before;
            Some(told.report)
        });
        reports.take(self.per_reader_max)
    }

    fn latest(&self, key: u64) -> Option<u64> {
        let is_same = |number: &u64| self.numbered(*number).is_some_and(|told| told.key == key);
        self.latest.find(key, is_same).copied()
    }

    /// None if it is forgotten by now.
    fn numbered(&self, number: u64) -> Option<&RememberedReport> {
        let place = number.checked_sub(self.first)?;
        self.told.get(usize::try_from(place).ok()?)
    }

    fn remember(&mut self, (keys, report): ([Option<u64>; 2], Report)) {
        for key in keys.into_iter().flatten() {
            if self.told.len() == self.reports_max
                && let Some(oldest) = self.told.front().copied()
            {
                self.replace(oldest.key, self.first, None);
                self.told.pop_front();
                self.first += 1;
            }
            let before = self.latest(key);
            let number = self.first + self.told.len() as u64;
            self.told.push_back(RememberedReport {
                key,
                before,
                report,
            });
            match before {
                Some(before) => self.replace(key, before, Some(number)),
                None => {
                    let (told, first) = (&self.told, self.first);
                    let place =
                        |number: u64| usize::try_from(number - first).expect("as many as fit");
                    let key_of = |number: &u64| told[place(*number)].key;
                    self.latest.insert_unique(key, number, key_of);
                }
            }
        }
    }

    /// Lets another number be the latest of a key, or none, if it is this one.
    fn replace(&mut self, key: u64, number: u64, by: Option<u64>) {
        if let Ok(mut latest) = self.latest.find_entry(key, |latest| *latest == number) {
            match by {
                Some(by) => *latest.get_mut() = by,
                None => drop(latest.remove()),
            }
        }
    }
}

impl Tap {
    fn is_one_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::At(one), Self::At(other)) => {
                one.abs_diff(other) <= TOLD_AGAIN_MS_MAX.cast_unsigned()
            }
            (Self::Within(one, told), Self::Within(other, told_again)) => {
                one == other && told.abs_diff(told_again) <= TOLD_AGAIN_MS_MAX.cast_unsigned()
            }
            _ => false,
        }
    }
}

/// Whether anything tells the reader from those of other lines and stops.
fn is_reader_known(facts: &Facts, personal: &Personal) -> bool {
    let is_placed = facts.line.is_some() || facts.stop.is_some();
    let words = [
        &personal.line_words,
        &personal.stop_words,
        &personal.vehicle,
    ];
    is_placed || words.iter().any(|words| !words.is_empty())
}

/// All that is told of a reader: names where they were found, else the words.
fn reader_of<'a>(facts: &'a Facts, personal: &'a Personal) -> impl std::hash::Hash + 'a {
    let line = facts.line.as_ref().map(|line| line.as_str());
    let stop = facts.stop.as_ref().map(|stop| stop.as_str());
    (
        facts.operator.as_ref().map(|operator| operator.as_str()),
        line.unwrap_or(&personal.line_words),
        stop.unwrap_or(&personal.stop_words),
        &personal.vehicle,
        facts.reader_kind,
    )
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::domain::testing::{blank_facts, id_made_at, personal};
    use crate::domain::{Pseudonym, SecretHash, UtcMillis};
    use crate::ledger::testing::{EPOCH, NOON};

    const REPORTS_MAX: usize = 8;
    const PER_READER_MAX: usize = 2;
    /// One by an installation, one by a card, and one by both.
    const REPORTERS: u8 = 3;
    const READERS: u8 = 2;

    /// Whose tap, at which reader, how many seconds after noon.
    #[derive(Clone, Copy, Debug)]
    struct Told {
        reporter: u8,
        reader: u8,
        seconds: i64,
    }

    impl Told {
        fn random(random: &mut StdRng) -> Self {
            Self {
                reporter: random.random_range(0..REPORTERS),
                reader: random.random_range(0..READERS),
                seconds: random.random_range(0..1_800),
            }
        }

        /// Whether an installation is told, and a card.
        fn has(self) -> [bool; 2] {
            [[true, false], [false, true], [true, true]][usize::from(self.reporter)]
        }

        fn pending(self, at: Position) -> Pending {
            let occurred = UtcMillis(NOON.0 + self.seconds * 1_000);
            let hour = RowTime::Hour(occurred.hour().expect("supported"));
            let id = id_made_at(NOON, at.0);
            let name = |kind: u8| Pseudonym([kind + self.reporter; 16]);
            let [has_installation, has_card] = self.has();
            let facts = Facts {
                secret_hash: Some(SecretHash([self.reporter; 16])),
                ..blank_facts(id, hour, TimePrecision::Exact)
            };
            let personal = Personal {
                installation: has_installation.then(|| name(0)),
                card: has_card.then(|| name(100)),
                vehicle: self.reader.to_string().into(),
                ..personal(occurred)
            };
            Pending::new(Entry::Incident {
                facts: Box::new(facts),
                personal: Some(Box::new(personal)),
            })
        }
    }

    /// What is remembered, as a plain list: of each report once for what each of its reporter
    /// can be known by.
    #[derive(Default)]
    struct List(VecDeque<(usize, Told, Position)>);

    impl List {
        fn mark(&mut self, told: Told, at: Position) -> Option<Position> {
            let names = (0..2).filter(|name| told.has()[*name]);
            let first = names.clone().find_map(|name| self.earlier(name, told));
            if first.is_none() {
                self.0.extend(names.map(|name| (name, told, at)));
                let more = self.0.len().saturating_sub(REPORTS_MAX);
                self.0.drain(..more);
            }
            first
        }

        fn earlier(&self, name: usize, told: Told) -> Option<Position> {
            let is_same = |(other, first, _): &&(usize, Told, Position)| {
                (*other, first.reporter, first.reader) == (name, told.reporter, told.reader)
            };
            let mut latest = self.0.iter().rev().filter(is_same).take(PER_READER_MAX);
            let first = latest.find(|(_, first, _)| first.seconds.abs_diff(told.seconds) <= 120);
            first.map(|(.., at)| *at)
        }
    }

    #[test]
    fn oldest_reports_are_forgotten_as_a_plain_list_would_forget_them() {
        for seed in 0..40 {
            let random = &mut StdRng::seed_from_u64(seed);
            let mut duplicates = Duplicates::new(REPORTS_MAX, PER_READER_MAX);
            let mut list = List::default();
            let state = State::new(EPOCH);
            let mut next = Position(1);
            for _ in 0..300 {
                if random.random_range(0..20) == 0 {
                    next = Position(next.0.saturating_sub(random.random_range(0..6)).max(1));
                    duplicates.forget_from(next);
                    list.0.retain(|(.., at)| *at < next);
                }
                let told = Told::random(random);
                let marked = duplicates.mark(told.pending(next), next, NOON, &state);
                let Entry::Incident { facts, .. } = marked.entry else {
                    panic!("an incident");
                };
                let expected = list.mark(told, next);
                assert_eq!(facts.told_again, expected, "seed {seed}, {next}: {told:?}");
                assert_eq!(duplicates.told.len(), list.0.len());
                assert!(duplicates.latest.len() <= REPORTS_MAX);
                next = next.next();
            }
        }
    }
}
