//! The state and the fold: what each entry of the journal changes.
//!
//! `apply` is a pure function of state and entry: no clock, no randomness, no look-up
//! elsewhere, no iteration order of a map. An incident id counts once, however often it
//! arrives. The minute of a tap is a personal part; all else is made from facts alone.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use super::cases::Cases;
use super::dictionary::{Dictionary, Numbers};
use super::ended::Months;
use super::ids::IdIndex;
use super::parts;
use super::recent::Recent;
use super::tallies::Tallies;
use super::taps::{TapBook, TapsApplied};
use crate::domain::entry::Epoch;
use crate::domain::incident::is_observed;
use crate::domain::limits::BLOCK_ROWS;
use crate::domain::taxonomy::{Taxonomy, TimePrecision, number_of};
use crate::domain::{
    Amendment, Answer, Basis, Entry, Facts, IncidentId, Minute, OutageChange, OutageTold, Outages,
    Personal, Position, Record, Restore, Restores, Row, RowTime, Stamp, UtcMillis,
};
use crate::store::TapChange;
use crate::store::block::{self, Block};

/// Raised whenever equal entries make another state than before: an older checkpoint is then
/// not used.
pub const FOLD_VERSION: u32 = 7;
/// Entries whose ids and names are looked up together before they are applied: what that
/// brings near must still be there when its turn comes.
const AHEAD_ENTRIES: usize = 64;

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Counted.
    Recorded {
        /// What was counted.
        row: Row,
    },
    /// The id had been recorded before; nothing was counted. (Whether the content is the same
    /// is decided by comparing digests in the journal.)
    Repeated {
        /// Where it was recorded.
        first: Position,
    },
    /// Tells an incident again that was told before; nothing was counted.
    ToldAgain {
        /// Whether its reporter may know; see [`Facts::own_earlier`].
        is_own: bool,
    },
    /// Withdrawn: counts no more.
    Withdrawn {
        /// What counts no more, with the position at which it was recorded.
        row: Row,
    },
    /// Amended: another row counts.
    Amended {
        /// What counts no more.
        before: Row,
        /// What counts instead.
        after: Row,
    },
    /// A personal part was erased; the minute of the tap is not known any more.
    Erased {
        /// What has no minute any more in the sliding windows.
        row: Option<Row>,
    },
    /// An answer to a report.
    Answered,
    /// A withdrawal of an incident that is unknown or withdrawn already: nothing changed.
    Nothing,
    /// Made of what had changed meanwhile, or of what had gone: nothing changed.
    Outdated,
    /// A tick, a change of network, an outage, the end of some tap counts, or what came after a
    /// report that counts nothing.
    Noted,
    /// Tap counts.
    Taps(TapsApplied),
}

/// That a row ceased to count: its incident was withdrawn, or amended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// The position at which it did.
    pub at: Position,
    /// The position of the row.
    pub of: Position,
}

/// A closed block: its number and the bytes of `Block::pack`.
pub type ClosedBlock = (u32, Arc<[u8]>);

/// The state: a pure function of the entries applied. Cloning is cheap (rows are shared).
#[derive(Clone, Debug)]
pub struct State {
    pub(super) epoch: Epoch,
    /// The first position applied; 0 if none was.
    pub(super) first: Position,
    pub(super) position: Position,
    pub(super) stamp: Stamp,
    pub(super) network: Option<(u32, [u8; 32])>,
    pub(super) dictionary: Arc<Dictionary>,
    pub(super) ids: IdIndex,
    /// Without what waits in `uncounted`, while a batch is applied.
    pub(super) tallies: [Tallies; 2],
    /// Rows of the batch that is being applied, to be counted together. Empty between batches.
    uncounted: Vec<Row>,
    pub(super) recent: Recent,
    /// Incidents not known to the minute, by minute of the entry's stamp.
    pub(super) untimed: Recent,
    pub(super) withdrawn: Arc<BTreeSet<Position>>,
    /// In the order in which they came.
    pub(super) withdrawals: Arc<Vec<Withdrawal>>,
    pub(super) cases: Arc<Cases>,
    pub(super) outages: Arc<Outages>,
    pub(super) restores: Arc<Restores>,
    pub(super) open: Vec<Row>,
    /// How many blocks were closed.
    pub(super) blocks: u32,
    /// The checksum of all closed blocks, see `block::chain`.
    pub(super) blocks_crc: u32,
    /// Months of receipt; blocks never hold rows of two.
    pub(super) months: Months,
    /// Number of the first block whose rows are kept. Not part of the fold: where it began.
    pub(super) first_block: u32,
    /// Rows of this position and of those before it are not in it, nor in any later one.
    pub(super) rows_after: Position,
    /// Blocks closed since `take_closed` was last called.
    pub(super) closed: Vec<ClosedBlock>,
    pub(super) taps: Arc<TapBook>,
    /// Changes of tap counts since `take_tap_changes` was last called.
    pub(super) tap_changes: Vec<Arc<TapChange>>,
}

impl State {
    /// The state before the first entry.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            first: Position(0),
            position: Position(0),
            stamp: UtcMillis(0),
            network: None,
            dictionary: Arc::default(),
            ids: IdIndex::new(epoch),
            tallies: Default::default(),
            uncounted: Vec::new(),
            recent: Recent::default(),
            untimed: Recent::default(),
            withdrawn: Arc::default(),
            withdrawals: Arc::default(),
            cases: Arc::default(),
            outages: Arc::default(),
            restores: Arc::default(),
            open: Vec::with_capacity(BLOCK_ROWS),
            blocks: 0,
            blocks_crc: 0,
            months: Months::default(),
            first_block: 0,
            rows_after: Position(0),
            closed: Vec::new(),
            taps: Arc::default(),
            tap_changes: Vec::new(),
        }
    }

    /// Applies the entry at the next position. Panics if it is not later than the one before.
    pub fn apply(&mut self, position: Position, stamp: Stamp, entry: &Entry) -> Applied {
        let applied = self.fold(position, stamp, entry);
        self.count_waiting();
        applied
    }

    /// As `apply`, of one entry after the other; what they count is counted together.
    pub fn apply_all(&mut self, batch: &[Record]) -> Vec<Applied> {
        let mut applied = Vec::with_capacity(batch.len());
        for some in batch.chunks(AHEAD_ENTRIES) {
            self.look_ahead(some.iter().map(|record| &record.entry));
            let fold = |record: &Record| self.fold(record.position, record.stamp, &record.entry);
            applied.extend(some.iter().map(fold));
        }
        self.count_waiting();
        applied
    }

    fn fold(&mut self, position: Position, stamp: Stamp, entry: &Entry) -> Applied {
        assert!(self.position < position, "entries come in their order");
        if self.first == Position(0) {
            self.first = position;
        }
        self.turn_month(stamp.max(self.stamp));
        self.position = position;
        self.stamp = self.stamp.max(stamp);
        self.recent.advance(self.stamp);
        self.untimed.advance(self.stamp);
        match entry {
            Entry::Incident { facts, personal } => {
                self.record(position, facts, personal.as_deref())
            }
            Entry::Withdrawn { id, facts, row } => self.withdraw(position, id, facts, *row),
            Entry::Amended(amendment) => self.amend(position, amendment),
            Entry::Erased { id, incident } => self.erase(position, id, *incident),
            Entry::Answered(answer) => self.answer(position, answer),
            Entry::Tick => {
                self.ids.settle_days_before(last_day(self.stamp));
                Applied::Noted
            }
            Entry::NetworkChanged { version, sha256 } => {
                self.network = Some((*version, *sha256));
                Applied::Noted
            }
            Entry::TapCounts(batch) => {
                let taps = Arc::make_mut(&mut self.taps);
                let (applied, change) = taps.tell((position, stamp), batch, &mut self.dictionary);
                self.tap_changes.extend(change.map(Arc::new));
                Applied::Taps(applied)
            }
            Entry::TapCountsRemoved { before } => {
                let change = Arc::make_mut(&mut self.taps).remove((position, stamp), *before);
                self.tap_changes.extend(change.map(Arc::new));
                Applied::Noted
            }
            Entry::OutageChanged(change) => self.note_outage(position, change),
            Entry::IncidentsEnded { through, .. } => {
                self.end_incidents(*through);
                Applied::Noted
            }
            Entry::Restored(epoch) => {
                let restore = Restore {
                    at: position,
                    epoch: *epoch,
                };
                Arc::make_mut(&mut self.restores).tell(restore);
                Applied::Noted
            }
            Entry::EditionClosed(_)
            | Entry::PersonalRemoved { .. }
            | Entry::KeysChanged(_)
            | Entry::Gone => Applied::Noted,
        }
    }

    /// Looks up what the fold of these entries will look up, one after the other with nothing
    /// between, so that they wait for memory together. Changes nothing.
    fn look_ahead<'e>(&self, entries: impl Iterator<Item = &'e Entry> + Clone) {
        let facts = entries.filter_map(|entry| match entry {
            Entry::Incident { facts, .. } => Some(facts),
            _ => None,
        });
        for facts in facts.clone() {
            black_box(self.ids.find(&facts.id));
        }
        for facts in facts {
            black_box(self.dictionary.look_up(facts));
        }
    }

    fn note_outage(&mut self, at: Position, change: &OutageChange) -> Applied {
        let told = OutageTold {
            at,
            stamp: self.stamp,
            change: change.clone(),
        };
        match Arc::make_mut(&mut self.outages).tell(told) {
            true => Applied::Noted,
            false => Applied::Outdated,
        }
    }

    fn record(
        &mut self,
        position: Position,
        facts: &Facts,
        personal: Option<&Personal>,
    ) -> Applied {
        if let Err(first) = self.ids.insert(&facts.id, position) {
            return Applied::Repeated { first };
        }
        if facts.told_again.is_some() {
            let is_own = facts.own_earlier().is_some();
            return Applied::ToldAgain { is_own };
        }
        let mut numbers = self.dictionary.look_up(facts);
        if numbers.miss(facts) && self.dictionary.lacks(facts) {
            Arc::make_mut(&mut self.dictionary).learn(facts);
            numbers = self.dictionary.look_up(facts);
        }
        let row = row(position, facts, numbers);
        debug_assert!(
            row.line == 0 || row.operator == self.dictionary.operator_of_line(row.line),
            "an incident with a line is of the line's operator"
        );
        if let Some(minute) = minute(facts, personal) {
            self.recent.add(minute, row);
        } else if facts.precision == TimePrecision::Exact {
            // It was erased.
            self.forget_minute(row);
        } else if let Some(minute) = self.stamp.minute() {
            self.untimed.add(minute, row);
        }
        self.count(row);
        Applied::Recorded { row }
    }

    fn count(&mut self, row: Row) {
        self.tallies[row.basis as usize].add_apart(&row);
        self.uncounted.push(row);
        self.open.push(row);
        if self.open.len() == BLOCK_ROWS {
            self.close_block();
        }
    }

    /// Counts the rows that wait, those of one hour together: the order in which rows are counted
    /// changes no tally.
    fn count_waiting(&mut self) {
        let place = |row: &Row| (row.basis as usize, row.time);
        self.uncounted.sort_unstable_by_key(place);
        for rows in self
            .uncounted
            .chunk_by(|one, next| place(one) == place(next))
        {
            self.tallies[rows[0].basis as usize].add_all(rows);
        }
        self.uncounted.clear();
    }

    /// Takes away what was counted. The row is made again from the facts: numbers, once given,
    /// never change.
    fn withdraw(
        &mut self,
        at: Position,
        id: &IncidentId,
        facts: &Facts,
        told: Position,
    ) -> Applied {
        let Some(first) = self.ids.find(id) else {
            return Applied::Nothing;
        };
        let counting = self.cases.row_of(first);
        if self.withdrawn.contains(&counting) || self.has_ended(first) {
            return Applied::Nothing;
        }
        let told = if told == Position(0) { first } else { told };
        if told != counting {
            return Applied::Outdated;
        }
        if facts.told_again.is_some() {
            self.note_struck(at, counting);
            return Applied::Noted;
        }
        let row = self.strike(at, counting, facts);
        self.recent.remove(&row);
        self.untimed.remove_wherever(counting);
        Applied::Withdrawn { row }
    }

    /// Lets a row count no more. It is made again from the facts: numbers, once given, never
    /// change.
    fn strike(&mut self, at: Position, of: Position, facts: &Facts) -> Row {
        self.note_struck(at, of);
        // It may be one of them.
        self.count_waiting();
        let row = row(of, facts, self.dictionary.look_up(facts));
        self.tallies[row.basis as usize].take(&row);
        row
    }

    fn note_struck(&mut self, at: Position, of: Position) {
        Arc::make_mut(&mut self.withdrawn).insert(of);
        Arc::make_mut(&mut self.withdrawals).push(Withdrawal { at, of });
    }

    /// Lets other facts count, in a row of their own: blocks never change.
    fn amend(&mut self, at: Position, amendment: &Amendment) -> Applied {
        let Some(first) = self.ids.find(&amendment.id) else {
            return Applied::Outdated;
        };
        let counting = self.cases.row_of(first);
        let is_current = amendment.row == counting
            && !self.has_ended(first)
            && !self.withdrawn.contains(&counting)
            && !self.cases.is_erased(first);
        if !is_current {
            return Applied::Outdated;
        }
        if amendment.before.told_again.is_some() {
            self.note_struck(at, counting);
            Arc::make_mut(&mut self.cases).amend(first, at);
            return Applied::Noted;
        }
        let before = self.strike(at, counting, &amendment.before);
        let after = row(
            at,
            &amendment.after,
            self.dictionary.look_up(&amendment.after),
        );
        if let Some((minute, _)) = self.recent.remove(&before) {
            self.recent.add(minute, after);
        }
        if let Some((minute, _)) = self.untimed.remove_wherever(counting) {
            self.untimed.add(minute, after);
        }
        self.count(after);
        Arc::make_mut(&mut self.cases).amend(first, at);
        Applied::Amended { before, after }
    }

    fn erase(&mut self, at: Position, id: &IncidentId, incident: Position) -> Applied {
        let is_known = self.ids.find(id) == Some(incident) && !self.has_ended(incident);
        if !is_known || !Arc::make_mut(&mut self.cases).erase(incident, at) {
            return Applied::Outdated;
        }
        let counting = self.cases.row_of(incident);
        let row = self.recent.remove_wherever(counting).map(|(_, row)| row);
        row.into_iter().for_each(|row| self.forget_minute(row));
        Applied::Erased { row }
    }

    /// Lets a row go on as one that is known to the hour alone. It stands where its hour begins,
    /// whether its minute was ever known here or not.
    fn forget_minute(&mut self, row: Row) {
        if let RowTime::Hour(hour) = row.time {
            self.untimed.add(hour.first_minute(), row);
        }
    }

    fn answer(&mut self, at: Position, answer: &Answer) -> Applied {
        let incident = answer.incident;
        let is_known = self.ids.find(&answer.id) == Some(incident) && !self.has_ended(incident);
        if !is_known || self.cases.is_erased(incident) || self.is_withdrawn(incident) {
            return Applied::Outdated;
        }
        let operator = self.dictionary.operator_number(answer.operator.as_str());
        let operator = operator.unwrap_or(0);
        let stamp = self.stamp;
        Arc::make_mut(&mut self.cases).answer(at, stamp, answer, operator);
        Applied::Answered
    }

    pub(super) fn close_block(&mut self) {
        let bytes: Arc<[u8]> = Block::pack(self.blocks, &self.open).into();
        self.blocks_crc = block::chain(self.blocks_crc, &bytes);
        self.closed.push((self.blocks, bytes));
        self.blocks += 1;
        self.open.clear();
    }

    /// The blocks closed since this was last called, to be put into the store.
    pub fn take_closed(&mut self) -> Vec<ClosedBlock> {
        std::mem::take(&mut self.closed)
    }

    /// The changes of tap counts since this was last called, to be put into the store.
    pub fn take_tap_changes(&mut self) -> Vec<Arc<TapChange>> {
        std::mem::take(&mut self.tap_changes)
    }

    /// Feeds of tap counts, and which days were told.
    pub fn taps(&self) -> &Arc<TapBook> {
        &self.taps
    }

    /// The row of an incident that the fold counted when it applied the entry at this
    /// position; `None` if the entry repeated an id. `forgotten` remembers, from call to
    /// call, ids that this state has dropped; entries must be asked for in their order.
    pub(super) fn counted_row(
        &self,
        position: Position,
        facts: &Facts,
        forgotten: &mut IdIndex,
    ) -> Option<Row> {
        if facts.told_again.is_some() || position <= self.rows_after {
            return None;
        }
        let is_first = match self.ids.find(&facts.id) {
            Some(first) if first <= position => first == position,
            // Dropped since, and perhaps recorded again later.
            Some(_) | None => forgotten.insert(&facts.id, position).is_ok(),
        };
        is_first.then(|| row(position, facts, self.dictionary.look_up(facts)))
    }

    /// The row of an amendment that the fold counted when it applied the entry at this
    /// position; `None` if it changed nothing.
    pub(super) fn amended_row(&self, at: Position, after: &Facts) -> Option<Row> {
        let is_counted =
            self.cases.is_amendment(at) && after.told_again.is_none() && self.rows_after < at;
        is_counted.then(|| row(at, after, self.dictionary.look_up(after)))
    }

    /// Forgets ids made before a day of UTC (days since 1970-01-01): they are then refused
    /// elsewhere. Never called by the fold itself.
    pub fn drop_ids_before(&mut self, day: u32) {
        self.ids.drop_days_before(day);
    }

    /// The identity of the journal that is folded, as of its creation: that of its files, and of
    /// what is kept beside them.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The same as of now: of the last restore, if there was one. What callers are given to come
    /// back with stands on it.
    pub fn epoch_now(&self) -> Epoch {
        self.restores.epoch().unwrap_or(self.epoch)
    }

    /// Where the record went on from a copy.
    pub fn restores(&self) -> &Arc<Restores> {
        &self.restores
    }

    /// The first position applied; 0 if none was.
    pub fn first(&self) -> Position {
        self.first
    }

    /// The last position applied; 0 if none was.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The stamp of the last entry; 0 if there is none.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The network last noted in the journal: its version and SHA-256.
    pub fn network(&self) -> Option<(u32, [u8; 32])> {
        self.network
    }

    /// Where an incident was recorded, withdrawn or not.
    pub fn find(&self, id: &IncidentId) -> Option<Position> {
        self.ids.find(id)
    }

    /// How many incidents were recorded, withdrawn ones included.
    pub fn incidents(&self) -> usize {
        self.ids.count()
    }

    /// Whether the incident recorded at a position was withdrawn.
    pub fn is_withdrawn(&self, position: Position) -> bool {
        self.withdrawn.contains(&self.cases.row_of(position))
    }

    /// What came after reports.
    pub fn cases(&self) -> &Arc<Cases> {
        &self.cases
    }

    /// What was told about outages.
    pub fn outages(&self) -> &Arc<Outages> {
        &self.outages
    }

    /// The tallies of a basis.
    pub fn tallies(&self, basis: Basis) -> &Tallies {
        &self.tallies[basis as usize]
    }

    /// Numbers of operators, lines and stops.
    pub fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// Closed blocks so far: numbers 0..n.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Rows of the open block, withdrawn ones included.
    pub fn open_rows(&self) -> &[Row] {
        &self.open
    }

    /// Places of rows that count no more, rising: withdrawn, or amended.
    pub fn withdrawn(&self) -> &Arc<BTreeSet<Position>> {
        &self.withdrawn
    }

    /// Which row ceased to count when, in the order in which it did.
    pub fn withdrawals(&self) -> &Arc<Vec<Withdrawal>> {
        &self.withdrawals
    }

    /// Rows of the last 25 hours known at least to the minute, by minute, withdrawn ones left out.
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Rows of the last 25 hours that are not known to the minute, by the minute in which
    /// they were recorded or, of those whose minute was erased, in which their hour began,
    /// withdrawn ones left out.
    pub fn untimed(&self) -> &Recent {
        &self.untimed
    }

    /// Digest of everything that the fold makes of facts, for `verify`: equal entries have
    /// equal digests, however they were batched and wherever a checkpoint came between.
    /// `recent` is left out, because it rests on minutes, which can be erased. Costs about
    /// as much as writing a checkpoint.
    pub fn digest(&self) -> [u8; 32] {
        parts::digest(self)
    }
}

/// The day of UTC before the stamp's: ids of earlier days are rare.
fn last_day(stamp: Stamp) -> u32 {
    const DAY_MINUTES: u32 = 24 * 60;
    let minute = stamp.minute().unwrap_or(Minute(0));
    (minute.0 / DAY_MINUTES).saturating_sub(1)
}

/// The minute of a tap, if it is known.
fn minute(facts: &Facts, personal: Option<&Personal>) -> Option<Minute> {
    let is_exact = facts.precision == TimePrecision::Exact;
    personal.filter(|_| is_exact)?.occurred.minute()
}

/// The row of an incident.
fn row(position: Position, facts: &Facts, numbers: Numbers) -> Row {
    let causes = facts.cause_claims.iter();
    Row {
        position,
        time: facts.time,
        basis: match is_observed(facts) {
            true => Basis::Observed,
            false => Basis::SelfReported,
        },
        operator: numbers.operator,
        line: numbers.line,
        stop: numbers.stop,
        mode: number_of(facts.mode),
        tap_kind: number_of(facts.tap_kind),
        card_kind: number_of(facts.card_kind),
        signal: number_of(facts.signal),
        causes: causes.fold(0, |bits, claim| bits | 1 << claim.cause.number()),
        staff_acts: facts.staff_acts.bits(),
        outcomes: facts.outcomes.bits(),
    }
}
