//! Reads what an edition is made of from the journal.
//!
//! A month's reports lie between the entry with which the month began and the instant at
//! which its edition closes, so that nothing else is read. Its tap counts lie there, too, and
//! are read after it is known what is published. Stamps only rise: once an entry at
//! or after that instant is there, a later reading finds the same.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use super::keys::KeysOfQuarters;
use super::month;
use super::reporters::{self, Names};
use crate::domain::entry::Removal;
use crate::domain::incident::{CauseClaim, is_observed};
use crate::domain::limits::TAP_AHEAD_MS_MAX;
use crate::domain::taxonomy::{
    CardKind, Mode, Outcome, SetOf, Signal, StaffAct, StaffPresence, TapKind,
};
use crate::domain::{
    Amendment, Basis, Entry, Facts, IncidentId, LineId, LocalDay, LocalMonth, OperatorCode,
    OutageDay, OutageTold, Outages, Personal, Position, Pseudonym, RowTime, StopId, UtcMillis,
};
use crate::journal::{JournalError, Reader, Record, Wanted};
use crate::stats::screening::screen_count;

/// What of an incident an edition needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Whether a device observed it, or somebody told it.
    pub basis: Basis,
    /// The local day.
    pub day: LocalDay,
    /// The local hour of day; `None` if only the day is known.
    pub hour_of_day: Option<u8>,
    /// Whether it was recorded before the day's part closed.
    pub is_in_time: bool,
    /// The operator, if known.
    pub operator: Option<OperatorCode>,
    /// The line, if known.
    pub line: Option<LineId>,
    /// The stop, if known.
    pub stop: Option<StopId>,
    /// What the traveller was on.
    pub mode: Option<Mode>,
    /// What the tap was meant to do.
    pub tap_kind: Option<TapKind>,
    /// What was held to the reader.
    pub card_kind: Option<CardKind>,
    /// What the reader showed.
    pub signal: Option<Signal>,
    /// Claimed causes.
    pub cause_claims: Vec<CauseClaim>,
    /// What staff did; empty if they were not there or nobody said.
    pub staff_acts: SetOf<StaffAct>,
    /// How it ended; empty if nobody said.
    pub outcomes: SetOf<Outcome>,
    /// Pseudonym of the card.
    pub card: Option<Pseudonym>,
    /// Pseudonym of the installation.
    pub installation: Option<Pseudonym>,
    /// Whether it named a card or an installation, also where it is no longer known which.
    pub is_named: bool,
    /// Under which of the keys of its quarter it was told, see `keys`.
    pub key: u32,
    /// Whether it was flagged when it came in, and counts in no edition.
    pub is_uncountable: bool,
    /// What of its names has been erased.
    pub erased: NamesErased,
}

/// Whether it is still known who told a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamesErased {
    /// As well as ever.
    #[default]
    No,
    /// No longer.
    Yes,
    /// No longer, and it named both a card and an installation: that they are of one reporter may
    /// be known from nothing else.
    WithLink,
}

/// A month's reports, in the order of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Gathered {
    /// The month.
    pub month: LocalMonth,
    /// Reports of the month, without those withdrawn in time.
    pub reports: Vec<Report>,
    /// Reports of months before that came after those had closed, and before this one did.
    pub too_late: TooLate,
    /// The last position that is counted.
    pub through: Position,
    /// The first position that was read.
    pub from: Position,
    /// When the record began, if that was in this month or later.
    pub since: Option<UtcMillis>,
    /// Versions of the network that matched lines and stops.
    pub networks: BTreeSet<u32>,
    /// Days of the month on which an outage was declared between the beginning of the month and
    /// the closing, rising.
    pub outages: Vec<OutageDay>,
    /// Reports whose personal parts have been erased: who told them is no longer known.
    pub erased: u64,
    /// The same of those that came too late.
    pub erased_late: u64,
    /// Entries of the last day before the month of which only the place is left, as single
    /// incidents end right before it: each may have told of a tap of the month, ahead of its stamp.
    pub gone: u64,
}

/// Reports that came after the edition of their month had closed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TooLate(HashMap<IncidentId, LateReport>);

/// What is known of one of them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct LateReport {
    /// The quarter of its tap, and under which of its keys it was told.
    key: (i32, u32),
    names: Names,
}

impl TooLate {
    /// How many; `None` if they may be of few people.
    pub fn screened(&self) -> Option<u64> {
        let late = self.0.values();
        let numbers = reporters::number(late.clone().map(|report| report.names));
        let reporters = reporters::at_least(late.map(|report| report.key).zip(numbers));
        screen_count(self.0.len() as u64, reporters)
    }
}

/// Reads a month. `None` if it is not over yet as far as the journal knows, or if the journal
/// no longer holds it.
pub fn gather(reader: &Reader, month: LocalMonth) -> Result<Option<Gathered>, JournalError> {
    let begins = month::first_day(month).start().start();
    // No tap is further ahead of its stamp.
    let from = first_at(reader, UtcMillis(begins.0 - TAP_AHEAD_MS_MAX))?;
    let end = first_at(reader, month::closes_at(month))?;
    if reader.last() < end || has_gone(reader, from) {
        return Ok(None);
    }
    let keys = KeysOfQuarters::told_before(reader, month, from)?;
    let mut gatherer = Gatherer::new(month, keys);
    for record in reader.wanted_from(from, Wanted::AllButTaps) {
        let record = record?;
        if end <= record.position {
            break;
        }
        // Where single incidents of the month before have ended, only what was told ahead of the
        // clock can be missing.
        if record.entry == Entry::Gone {
            if begins <= record.stamp {
                return Ok(None);
            }
            gatherer.gone += 1;
            continue;
        }
        gatherer.add(record);
    }
    let first = reader.stamp(Position(1))?;
    let since = first.filter(|first| begins < *first);
    Ok(Some(Gathered {
        since,
        ..gatherer.finish(from, Position(end.0 - 1))
    }))
}

/// What `gather` finds gone right before a month, without reading the month; `None` if the journal
/// no longer holds it.
pub fn gone_before(reader: &Reader, month: LocalMonth) -> Result<Option<u64>, JournalError> {
    let begins = month::first_day(month).start().start();
    let from = first_at(reader, UtcMillis(begins.0 - TAP_AHEAD_MS_MAX))?;
    if has_gone(reader, from) {
        return Ok(None);
    }
    let kept_from = reader.horizon();
    let mut gone = 0;
    for record in reader.wanted_from(from, Wanted::AllButTaps) {
        let record = record?;
        if kept_from <= record.position {
            break;
        }
        if record.entry == Entry::Gone {
            if begins <= record.stamp {
                return Ok(None);
            }
            gone += 1;
        }
    }
    Ok(Some(gone))
}

/// Whether personal parts of a month were taken away because their time had come: who told its
/// reports is not known any more, and each would count as told by nobody. Reads the month only where
/// that was done to entries of it.
pub fn lacks_names(reader: &Reader, month: LocalMonth) -> Result<bool, JournalError> {
    let begins = month::first_day(month).start().start();
    let from = first_at(reader, UtcMillis(begins.0 - TAP_AHEAD_MS_MAX))?;
    for record in reader.wanted_from(from, Wanted::Removals) {
        if let Entry::PersonalRemoved {
            removal: Removal::All,
            through,
        } = record?.entry
            && from <= through
        {
            let gathered = gather(reader, month)?;
            return Ok(gathered.is_some_and(|gathered| 0 < gathered.erased));
        }
    }
    Ok(false)
}

/// Whether the journal begins after what would have to be read from here on.
fn has_gone(reader: &Reader, from: Position) -> bool {
    from == reader.begin() && Position(1) < from
}

/// The first position whose stamp is at or after an instant, also where no single incidents are
/// kept; the one after the last, if there is none.
pub fn first_at(reader: &Reader, instant: UtcMillis) -> Result<Position, JournalError> {
    let (mut low, mut high) = (reader.begin().0, reader.last().0 + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let stamp = reader.stamp(Position(middle))?;
        if stamp.is_some_and(|stamp| stamp < instant) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(Position(low))
}

struct Gatherer {
    month: LocalMonth,
    begins: UtcMillis,
    /// When the edition of the month before closed.
    closed_before: UtcMillis,
    /// By place: `None` once withdrawn.
    reports: Vec<Option<Report>>,
    /// By place: where what counts of it was told.
    rows: Vec<Position>,
    places: HashMap<IncidentId, usize>,
    /// One of each code, so that all reports of a line share its text.
    codes: Codes,
    /// Ids of the latest reports, all with this stamp. Of two with one id only the first counts;
    /// in journals of earlier versions both may be there, and then in one batch.
    latest: (UtcMillis, HashSet<IncidentId>),
    /// Nothing is amended any more.
    erased_ids: HashSet<IncidentId>,
    keys: KeysOfQuarters,
    too_late: TooLate,
    networks: BTreeSet<u32>,
    outages: Outages,
    erased: u64,
    erased_late: u64,
    gone: u64,
}

impl Gatherer {
    fn new(month: LocalMonth, keys: KeysOfQuarters) -> Self {
        Self {
            month,
            begins: month::first_day(month).start().start(),
            keys,
            closed_before: month::closes_at(LocalMonth(month.0 - 1)),
            reports: Vec::new(),
            rows: Vec::new(),
            places: HashMap::new(),
            codes: Codes::default(),
            latest: (UtcMillis(0), HashSet::new()),
            erased_ids: HashSet::new(),
            too_late: TooLate::default(),
            networks: BTreeSet::new(),
            outages: Outages::default(),
            erased: 0,
            erased_late: 0,
            gone: 0,
        }
    }

    fn add(&mut self, record: Record) {
        match record.entry {
            Entry::Incident { facts, .. } if self.is_repeat(record.stamp, facts.id) => {}
            // Tells an incident again.
            Entry::Incident { facts, .. } if facts.told_again.is_some() => {}
            Entry::Incident { facts, personal } => {
                let month = facts.time.day().month();
                if month == self.month {
                    self.networks.insert(facts.network_version);
                    self.places.insert(facts.id, self.reports.len());
                    self.rows.push(record.position);
                    let mut report = Report {
                        key: self.keys.in_use(month),
                        ..Report::new(&facts, personal.as_deref(), record.stamp)
                    };
                    self.erased += u64::from(report.erased != NamesErased::No);
                    self.codes.share(&mut report);
                    self.reports.push(Some(report));
                } else if month < self.month
                    && self.closed_before <= record.stamp
                    && !is_observed(&facts)
                {
                    let personal = personal.as_deref();
                    let erased = names_erased(&facts, personal);
                    self.erased_late += u64::from(erased != NamesErased::No);
                    let report = LateReport {
                        key: (month::quarter(month), self.keys.in_use(month)),
                        names: names(personal),
                    };
                    self.too_late.0.insert(facts.id, report);
                }
            }
            Entry::Withdrawn { id, row, .. } => {
                self.too_late.0.remove(&id);
                if let Some(place) = self.places.get(&id)
                    && (row == Position(0) || row == self.rows[*place])
                {
                    self.reports[*place] = None;
                }
            }
            Entry::Erased { id, .. } => {
                self.erased_ids.insert(id);
            }
            Entry::Amended(amendment) => self.amend(record.position, &amendment),
            Entry::OutageChanged(change) if self.begins <= record.stamp => {
                // As the fold, which takes no more than there is room for.
                self.outages.tell(OutageTold {
                    at: record.position,
                    stamp: record.stamp,
                    change,
                });
            }
            Entry::KeysChanged(told) => self.keys.tell(&told),
            Entry::OutageChanged(_)
            | Entry::TapCounts(_)
            | Entry::Answered(_)
            | Entry::Tick
            | Entry::NetworkChanged { .. }
            | Entry::TapCountsRemoved { .. }
            | Entry::EditionClosed(_)
            | Entry::PersonalRemoved { .. }
            | Entry::IncidentsEnded { .. }
            | Entry::Restored(_)
            | Entry::Gone => {}
        }
    }

    /// Whether there was a report with this id.
    fn is_repeat(&mut self, stamp: UtcMillis, id: IncidentId) -> bool {
        let (of, ids) = &mut self.latest;
        if *of != stamp {
            ids.clear();
            *of = stamp;
        }
        !ids.insert(id) || self.places.contains_key(&id)
    }

    /// As the fold: what was made of something that had changed meanwhile changes nothing.
    fn amend(&mut self, at: Position, amendment: &Amendment) {
        let Some(place) = self.places.get(&amendment.id).copied() else {
            return;
        };
        let is_current =
            self.rows[place] == amendment.row && !self.erased_ids.contains(&amendment.id);
        if let Some(report) = self.reports[place].as_mut().filter(|_| is_current) {
            self.rows[place] = at;
            *report = Report {
                is_in_time: report.is_in_time,
                card: report.card,
                installation: report.installation,
                is_named: report.is_named,
                key: report.key,
                erased: report.erased,
                ..Report::new(&amendment.after, None, UtcMillis(0))
            };
        }
    }

    fn finish(self, from: Position, through: Position) -> Gathered {
        Gathered {
            month: self.month,
            reports: self.reports.into_iter().flatten().collect(),
            too_late: self.too_late,
            outages: {
                let next = month::first_day(LocalMonth(self.month.0 + 1));
                let days = month::first_day(self.month)..=LocalDay(next.0 - 1);
                self.outages.days(through, days, |_| true)
            },
            from,
            through,
            since: None,
            networks: self.networks,
            erased: self.erased,
            erased_late: self.erased_late,
            gone: self.gone,
        }
    }
}

/// Codes that reports have in common.
#[derive(Default)]
struct Codes {
    operators: HashSet<OperatorCode>,
    lines: HashSet<LineId>,
    stops: HashSet<StopId>,
}

impl Codes {
    fn share(&mut self, report: &mut Report) {
        shared(&mut self.operators, &mut report.operator);
        shared(&mut self.lines, &mut report.line);
        shared(&mut self.stops, &mut report.stop);
    }
}

/// Puts the first that was met in the place of one that is equal.
fn shared<T: Clone + Eq + Hash>(met: &mut HashSet<T>, code: &mut Option<T>) {
    let Some(code) = code else {
        return;
    };
    match met.get(code) {
        Some(first) => *code = first.clone(),
        None => {
            met.insert(code.clone());
        }
    }
}

impl Report {
    fn new(facts: &Facts, personal: Option<&Personal>, recorded: UtcMillis) -> Self {
        let day = facts.time.day();
        let has_staff = facts.staff_present == Some(StaffPresence::Yes);
        Self {
            basis: if is_observed(facts) {
                Basis::Observed
            } else {
                Basis::SelfReported
            },
            day,
            hour_of_day: match facts.time {
                RowTime::Hour(hour) => Some(hour.hour_of_day()),
                RowTime::Day(_) => None,
            },
            is_in_time: recorded < month::day_closes_at(day),
            operator: facts.operator.clone(),
            line: facts.line.clone(),
            stop: facts.stop.clone(),
            mode: facts.mode,
            tap_kind: facts.tap_kind,
            card_kind: facts.card_kind,
            signal: facts.signal,
            cause_claims: facts.cause_claims.to_vec(),
            staff_acts: if has_staff {
                facts.staff_acts
            } else {
                SetOf::EMPTY
            },
            outcomes: facts.outcomes,
            card: names(personal).card,
            installation: names(personal).installation,
            is_named: facts.card_given
                || facts.installation_given
                || names(personal) != Names::default(),
            key: 0,
            is_uncountable: facts.is_uncountable,
            erased: names_erased(facts, personal),
        }
    }

    /// Whom it names.
    pub fn names(&self) -> Names {
        Names {
            card: self.card,
            installation: self.installation,
        }
    }

    /// The station, if tables place it by that: of trains and the metro, where no line is known.
    pub fn station(&self) -> Option<&StopId> {
        let is_by_station = matches!(self.mode, Some(Mode::Train | Mode::Metro));
        let stop = self.stop.as_ref();
        stop.filter(|_| is_by_station && self.line.is_none())
    }
}

fn names(personal: Option<&Personal>) -> Names {
    Names {
        card: personal.and_then(|personal| personal.card),
        installation: personal.and_then(|personal| personal.installation),
    }
}

/// Whether it is no longer known who told it, although it was.
fn names_erased(facts: &Facts, personal: Option<&Personal>) -> NamesErased {
    let names = names(personal);
    let is_card_gone = facts.card_given && names.card.is_none();
    let is_installation_gone = facts.installation_given && names.installation.is_none();
    if personal.is_some() && !is_card_gone && !is_installation_gone {
        return NamesErased::No;
    }
    if facts.card_given && facts.installation_given {
        NamesErased::WithLink
    } else {
        NamesErased::Yes
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A report of which only the day is told.
    pub(crate) fn report() -> Report {
        Report {
            basis: Basis::SelfReported,
            day: LocalDay(20_000),
            hour_of_day: None,
            is_in_time: true,
            operator: None,
            line: None,
            stop: None,
            mode: None,
            tap_kind: None,
            card_kind: None,
            signal: None,
            cause_claims: Vec::new(),
            staff_acts: SetOf::EMPTY,
            outcomes: SetOf::EMPTY,
            card: None,
            installation: None,
            is_named: false,
            key: 0,
            is_uncountable: false,
            erased: NamesErased::No,
        }
    }
}
