//! Reports as an operator works through them: the latest first, page by page, and how long
//! answers took.
//!
//! All pages of one list are as of the position of the first: what is recorded, withdrawn or
//! amended later changes none of them. Only how a report stands with its operator is told as
//! it is now. Rows are read from the store from the end backwards, as many as a page takes; a
//! page that would have to look at too many ends early, and the next goes on. So whoever pages
//! through a list that is nearly empty can tell how many reports of all operators there are, to within
//! `LISTED_ROWS_LOOKED_AT_MAX`: at what the Netherlands are planned for, about those of a year. To
//! hide that as well, a call would have to look at everything, which would take as much longer.

use std::collections::{BTreeMap, BTreeSet};

use super::budget;
use super::check_kept;
use super::{Order, QueryError, answer, answer_as_of};
use crate::domain::limits::{LISTED_BLOCKS_AT_ONCE, LISTED_ROWS_LOOKED_AT_MAX, OPERATORS_MAX};
use crate::domain::question::Breakdown;
use crate::domain::taxonomy::{CaseState, SetOf};
use crate::domain::{
    Basis, Dimension, Filter, LineId, OperatorCode, Position, Question, Row, RowTime, Stamp,
    StopId, Window,
};
use crate::ledger::{About, Cases, Dictionary, Ledger, LedgerError, Reply, ScanView, Withdrawal};
use crate::store::{Block, Columns, StoreError};

/// Which reports. An empty list does not restrict; all must be met.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaseFilter {
    /// Operators.
    pub operators: Vec<OperatorCode>,
    /// Lines.
    pub lines: Vec<LineId>,
    /// Stops.
    pub stops: Vec<StopId>,
    /// What the operator said last.
    pub states: SetOf<CaseState>,
    /// Only those without an answer.
    pub is_unanswered: bool,
    /// When they happened.
    pub window: Option<Window>,
}

/// Where a page begins: after the row at `before`, going backwards, as of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CasePlace {
    /// As of.
    pub as_of: Position,
    /// Rows at or after this were told.
    pub before: Position,
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CasePage {
    /// Where the reports were recorded, the latest first.
    pub incidents: Vec<Position>,
    /// As of which position.
    pub as_of: Position,
    /// Where the next page begins; `None` if there is none.
    pub next: Option<CasePlace>,
}

/// A page of at most so many reports. Blocking, as any scan; few run at once.
pub fn list(
    ledger: &Ledger,
    filter: &CaseFilter,
    place: Option<CasePlace>,
    rows_max: usize,
) -> Result<CasePage, QueryError> {
    let bounds = PageBounds {
        incidents: rows_max,
        looked_at: LISTED_ROWS_LOOKED_AT_MAX,
    };
    list_within(ledger, filter, place, bounds)
}

/// What one page may take.
#[derive(Clone, Copy)]
struct PageBounds {
    incidents: usize,
    /// Rows, wanted or not.
    looked_at: usize,
}

fn list_within(
    ledger: &Ledger,
    filter: &CaseFilter,
    place: Option<CasePlace>,
    bounds: PageBounds,
) -> Result<CasePage, QueryError> {
    let _turn = budget::scan_place(ledger)?;
    let now = ledger.read().position();
    let place = place.unwrap_or(CasePlace {
        as_of: now,
        before: now.next(),
    });
    let empty = CasePage {
        incidents: Vec::new(),
        as_of: place.as_of,
        next: None,
    };
    let first = ledger.read().first_kept();
    if now < place.as_of || place.as_of.next() < place.before {
        return Err(QueryError::PageToken);
    }
    if first == Position(0) || place.before <= first {
        return Ok(empty);
    }
    let view = ledger.scan_view_as_of(Position(place.before.0 - 1))?;
    let (struck, cases) = {
        let state = ledger.read();
        let cases = std::sync::Arc::clone(state.cases());
        let withdrawals = std::sync::Arc::clone(state.withdrawals());
        drop(state);
        (withdrawn_by(&withdrawals, place.as_of), cases)
    };
    let past = PastRows {
        struck: &struck,
        as_of: place.as_of,
    };
    let matcher = CaseMatcher::new(filter, &view.dictionary, &cases, past);
    let mut page = Page {
        matcher,
        bounds,
        incidents: Vec::new(),
        looked_at: 0,
        last: place.before,
    };
    let is_done = page.fill(&view).map_err(LedgerError::from)?;
    let next = (!is_done && first < page.last).then_some(CasePlace {
        as_of: place.as_of,
        before: page.last,
    });
    Ok(CasePage {
        incidents: page.incidents,
        next,
        ..empty
    })
}

/// A page on its way.
struct Page<'a> {
    matcher: CaseMatcher<'a>,
    bounds: PageBounds,
    incidents: Vec<Position>,
    looked_at: usize,
    /// The row that was looked at last.
    last: Position,
}

impl Page<'_> {
    /// Looks at rows from the end backwards. Returns whether there are no more.
    fn fill(&mut self, view: &ScanView) -> Result<bool, StoreError> {
        if !self.take(&view.open) {
            return Ok(false);
        }
        for (number, bytes) in view.pending.iter().rev() {
            let block = Block::unpack(*number, bytes).map_err(|source| {
                let number = *number;
                StoreError::BlockInvalid { number, source }
            })?;
            if !self.take(&block.rows().collect::<Vec<_>>()) {
                return Ok(false);
            }
        }
        let mut end = view.stored.end;
        while view.stored.start < end {
            let start = end
                .saturating_sub(LISTED_BLOCKS_AT_ONCE)
                .max(view.stored.start);
            let rows = view.store.scan(
                start..end,
                Columns::all(),
                |_| true,
                Vec::new,
                |rows: &mut Vec<Row>, _, block| rows.extend(block.rows()),
            )?;
            let mut rows = rows.concat();
            rows.sort_unstable_by_key(|row| row.position);
            if !self.take(&rows) {
                return Ok(false);
            }
            end = start;
        }
        Ok(true)
    }

    /// Takes what fits of some rows, which rise. Returns whether there is room for more.
    fn take(&mut self, rows: &[Row]) -> bool {
        for row in rows.iter().rev() {
            let PageBounds {
                incidents,
                looked_at,
            } = self.bounds;
            if incidents <= self.incidents.len() || looked_at <= self.looked_at {
                return false;
            }
            self.looked_at += 1;
            self.last = row.position;
            let incident = self.matcher.incident(row);
            self.incidents.extend(incident);
        }
        true
    }
}

/// A filter in the ledger's numbers.
struct CaseMatcher<'a> {
    filter: &'a CaseFilter,
    operators: Vec<u16>,
    lines: Vec<u32>,
    stops: Vec<u32>,
    cases: &'a Cases,
    past: PastRows<'a>,
}

/// Which rows counted as of a position.
struct PastRows<'a> {
    /// Those that counted no more.
    struck: &'a BTreeSet<Position>,
    as_of: Position,
}

impl<'a> CaseMatcher<'a> {
    fn new(
        filter: &'a CaseFilter,
        dictionary: &Dictionary,
        cases: &'a Cases,
        past: PastRows<'a>,
    ) -> Self {
        let operators = filter.operators.iter();
        let lines = filter.lines.iter();
        let stops = filter.stops.iter();
        Self {
            filter,
            operators: operators
                .filter_map(|code| dictionary.operator_number(code.as_str()))
                .collect(),
            lines: lines
                .filter_map(|line| dictionary.line_number(line.as_str()))
                .collect(),
            stops: stops
                .filter_map(|stop| dictionary.stop_number(stop.as_str()))
                .collect(),
            cases,
            past,
        }
    }

    /// The incident of a row, if it is wanted.
    fn incident(&self, row: &Row) -> Option<Position> {
        let filter = self.filter;
        let is_of = |is_free: bool, is_among: bool| is_free || is_among;
        let is_placed = is_of(
            filter.operators.is_empty(),
            self.operators.contains(&row.operator),
        ) && is_of(filter.lines.is_empty(), self.lines.contains(&row.line))
            && is_of(filter.stops.is_empty(), self.stops.contains(&row.stop));
        // An amendment changes neither place nor time, and is nearly always about staff: a
        // report stands where it came in, so that its operator does not see that there is one.
        let incident = row.position;
        let is_amendment = self.cases.incident_of(incident) != incident;
        if !is_placed || is_amendment || !self.is_timely(row.time) {
            return None;
        }
        let counts = self.cases.row_as_of(incident, self.past.as_of);
        if self.past.struck.contains(&counts) {
            return None;
        }
        let state = self.cases.get(incident).and_then(|case| case.state());
        let is_state =
            filter.states.is_empty() || state.is_some_and(|state| filter.states.contains(state));
        let is_answer = !filter.is_unanswered || state.is_none();
        (is_state && is_answer).then_some(incident)
    }

    fn is_timely(&self, time: RowTime) -> bool {
        self.filter
            .window
            .is_none_or(|window| is_within(window, time))
    }
}

fn is_within(window: Window, time: RowTime) -> bool {
    match time {
        RowTime::Hour(hour) => window.start() <= hour && hour < window.end(),
        RowTime::Day(day) => window.contains_day(day),
    }
}

/// How long operators took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTable {
    /// In the order of their codes.
    pub operators: Vec<ReplyTimes>,
    /// The last position that is counted.
    pub position: Position,
}

/// How long an operator took to answer self-reports. Observed incidents are no part of any of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTimes {
    /// Who.
    pub operator: OperatorCode,
    /// Reports, answered or not.
    pub reports: u64,
    /// Reports with an answer.
    pub answered: u64,
    /// From being received to the first answer, in seconds: the median and the ninetieth
    /// percentile of those answered.
    pub first_reply: Quantiles,
    /// Reports of which something was repaired.
    pub repaired: u64,
    /// From being received to the first repair.
    pub repair: Quantiles,
    /// Reports that are closed without a repair now.
    pub closed_unfixed: u64,
    /// Reports that the operator disputed.
    pub disputed: u64,
}

/// The median and the ninetieth percentile, in seconds: of the sorted values, the one at the
/// rank that is the share of their number, rounded up. `None` of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// Half are at most this.
    pub median: Option<u64>,
    /// Nine of ten are at most this.
    pub p90: Option<u64>,
}

impl Quantiles {
    fn of(mut seconds: Vec<u64>) -> Self {
        seconds.sort_unstable();
        let at = |percent: usize| {
            let rank = (seconds.len() * percent).div_ceil(100);
            seconds.get(rank.checked_sub(1)?).copied()
        };
        Self {
            median: at(50),
            p90: at(90),
        }
    }
}

/// Self-reports that were answered, before it is asked which of them were observed.
struct AnsweredReport<'a> {
    incident: Position,
    about: About,
    /// By a position; at least one.
    replies: &'a [Reply],
}

/// How long operators took to answer self-reports of a window, as of a given position, or of now.
/// Withdrawn reports are left out, and so are observed ones and what came after the position.
/// Operators of which nothing was reported by then are left out as well; those that answered
/// nothing are not. Blocking, as any scan.
pub fn reply_times(
    ledger: &Ledger,
    operators: &[OperatorCode],
    window: Window,
    at: Option<Position>,
) -> Result<ReplyTable, QueryError> {
    if let Some(at) = at {
        ledger.read().check_as_of(at)?;
    }
    let (reports, at) = reports_by_operator(ledger, operators, window, at)?;
    let (cases, dictionary, withdrawn) = {
        let state = ledger.read();
        check_kept(state.months().ended(), window)?;
        let cases = std::sync::Arc::clone(state.cases());
        let dictionary = std::sync::Arc::clone(state.dictionary());
        let withdrawals = std::sync::Arc::clone(state.withdrawals());
        drop(state);
        (cases, dictionary, withdrawn_by(&withdrawals, at))
    };
    let answered = cases.iter().filter_map(|(incident, case)| {
        let (about, replies) = (case.about?, case.replies_by(at));
        let counts = !replies.is_empty()
            && is_within(window, about.time)
            && !withdrawn.contains(&cases.row_as_of(incident, at));
        counts.then_some(AnsweredReport {
            incident,
            about,
            replies,
        })
    });
    let mut answered: Vec<_> = answered.collect();
    let places = answered.iter().map(|report| report.incident).collect();
    let observed = observed_among(ledger, &places)?;
    answered.retain(|report| !observed.contains(&report.incident));
    let mut found: BTreeMap<OperatorCode, ReplyTimes> = BTreeMap::new();
    for (number, code) in (1..).zip(dictionary.operator_names()) {
        if !operators.is_empty() && !operators.contains(code) {
            continue;
        }
        let own = answered
            .iter()
            .filter(|report| report.about.operator == number);
        let own: Vec<_> = own.collect();
        if !own.is_empty() {
            found.insert(code.clone(), ReplyTimes::of(code.clone(), &own));
        }
    }
    for counted in reports {
        let code = counted.operator;
        let times = found.entry(code.clone());
        let times = times.or_insert_with(|| ReplyTimes::of(code, &[]));
        times.reports = counted.reports;
    }
    Ok(ReplyTable {
        operators: found.into_values().collect(),
        position: at,
    })
}

impl ReplyTimes {
    /// Of answered reports of an operator; how many there are besides is not known here.
    fn of(operator: OperatorCode, own: &[&AnsweredReport<'_>]) -> Self {
        let since = |received: Stamp, at: Stamp| u64::try_from((at.0 - received.0) / 1_000).ok();
        let first_replies = own
            .iter()
            .filter_map(|report| since(report.about.received, report.replies.first()?.stamp));
        let repairs: Vec<u64> = own
            .iter()
            .filter_map(|report| since(report.about.received, repaired(report.replies)?))
            .collect();
        let count = |is: &dyn Fn(&[Reply]) -> bool| {
            own.iter().filter(|report| is(report.replies)).count() as u64
        };
        Self {
            operator,
            reports: 0,
            answered: own.len() as u64,
            first_reply: Quantiles::of(first_replies.collect()),
            repaired: repairs.len() as u64,
            repair: Quantiles::of(repairs),
            closed_unfixed: count(&|replies| is(replies.last(), CaseState::ClosedUnfixed)),
            disputed: count(&|replies| {
                replies.iter().any(|one| is(Some(one), CaseState::Disputed))
            }),
        }
    }
}

/// How many self-reports there are of an operator.
struct OperatorCount {
    operator: OperatorCode,
    reports: u64,
}

/// Self-reports of each operator in a window, as of a position or of now, and the position.
fn reports_by_operator(
    ledger: &Ledger,
    operators: &[OperatorCode],
    window: Window,
    at: Option<Position>,
) -> Result<(Vec<OperatorCount>, Position), QueryError> {
    let mut filter = Filter::all(Basis::SelfReported);
    filter.operators = operators.to_vec();
    let by = Breakdown::new(vec![Dimension::Operator]).expect("one dimension");
    let question = Question { filter, by, window };
    let page = super::Page {
        rows: OPERATORS_MAX,
        order: Order::Key,
        after: None,
    };
    let mut found = answer(ledger, &question, &page)?;
    // What is as of now is so as of this answer, as one of another position may take a scan.
    let at = at.unwrap_or(found.position);
    if found.position != at {
        // Of rows by operator nothing is told that depends on it.
        let stamp = |_| Ok(Some(ledger.read().stamp()));
        found = answer_as_of(ledger, &question, &page, at, stamp)?;
    }
    let counts = found.figures.iter().filter_map(|figure| {
        Some(OperatorCount {
            operator: figure.keys.first()?.parse().ok()?,
            reports: figure.count,
        })
    });
    Ok((counts.collect(), at))
}

/// Which of the incidents recorded at these places were observed.
fn observed_among(
    ledger: &Ledger,
    places: &BTreeSet<Position>,
) -> Result<BTreeSet<Position>, QueryError> {
    let mut observed = BTreeSet::new();
    if places.is_empty() {
        return Ok(observed);
    }
    let _turn = budget::scan_place(ledger)?;
    let view = ledger.scan_view()?;
    let mut take = |row: &Row| {
        if row.basis == Basis::Observed && places.contains(&row.position) {
            observed.insert(row.position);
        }
    };
    view.open.iter().for_each(&mut take);
    for (number, bytes) in &view.pending {
        let block = Block::unpack(*number, bytes).map_err(|source| {
            let number = *number;
            LedgerError::from(StoreError::BlockInvalid { number, source })
        })?;
        block.rows().for_each(|row| take(&row));
    }
    let stored = view.store.scan(
        view.stored.clone(),
        Columns::POSITION | Columns::BASIS,
        |summary| {
            let asked = places.range(summary.first..=summary.last);
            summary.has(Basis::Observed) && 0 < asked.count()
        },
        Vec::new,
        |found: &mut Vec<Position>, _, block| {
            let rows = block.positions().iter().zip(block.bases());
            let rows = rows.filter(|(_, basis)| **basis == Basis::Observed);
            let asked = rows.filter(|(position, _)| places.contains(position));
            found.extend(asked.map(|(position, _)| *position));
        },
    );
    observed.extend(stored.map_err(LedgerError::from)?.into_iter().flatten());
    Ok(observed)
}

/// Rows that were struck out by a position.
fn withdrawn_by(withdrawals: &[Withdrawal], at: Position) -> BTreeSet<Position> {
    let by_then = withdrawals.partition_point(|one| one.at <= at);
    withdrawals[..by_then].iter().map(|one| one.of).collect()
}

fn is(reply: Option<&Reply>, state: CaseState) -> bool {
    reply.is_some_and(|reply| reply.state == state)
}

/// When something was repaired first.
fn repaired(replies: &[Reply]) -> Option<Stamp> {
    let repaired = replies
        .iter()
        .find(|one| is(Some(one), CaseState::Repaired));
    repaired.map(|reply| reply.stamp)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Book;
    use super::*;
    use crate::ledger::testing::line_id;

    #[test]
    fn page_ends_early_once_enough_rows_were_looked_at_and_the_next_goes_on() {
        const REPORTS: usize = 1_500;
        const LOOKED_AT: usize = 64;
        let mut book = Book::new(5);
        book.grow(REPORTS);
        let filter = CaseFilter {
            lines: vec![line_id(1)],
            ..CaseFilter::default()
        };
        let page = |place, looked_at| {
            let bounds = PageBounds {
                incidents: 10,
                looked_at,
            };
            list_within(&book.ledger, &filter, place, bounds).expect("a store")
        };
        let all = |looked_at| {
            let (mut pages, mut found, mut place) = (0, Vec::new(), None);
            loop {
                let page = page(place, looked_at);
                pages += 1;
                found.extend(page.incidents);
                place = page.next;
                if place.is_none() {
                    return (pages, found);
                }
            }
        };
        let (full_pages, expected) = all(usize::MAX);
        assert_eq!(full_pages, expected.len() / 10 + 1);
        let (pages, found) = all(LOOKED_AT);
        assert_eq!(found, expected);
        assert!(REPORTS / LOOKED_AT <= pages, "{pages}");
    }

    #[test]
    fn quantiles_are_values_that_were_there() {
        let of = |values: &[u64]| {
            let found = Quantiles::of(values.to_vec());
            (found.median, found.p90)
        };
        assert_eq!(of(&[]), (None, None));
        assert_eq!(of(&[7]), (Some(7), Some(7)));
        assert_eq!(of(&[4, 1, 3, 2]), (Some(2), Some(4)));
        let ten: Vec<u64> = (1..=10).collect();
        assert_eq!(of(&ten), (Some(5), Some(9)));
    }
}
