//! The taps of an edition's month, as the journal had them when it closed: those of what is
//! published, and of nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::format::Row;
use super::month;
use crate::domain::limits::EDITION_TAP_CELLS_MAX;
use crate::domain::taps::{TapBatch, TapFeed, TapGrain, TapScope};
use crate::domain::{Entry, FeedId, LocalDay, LocalMonth, OperatorCode, Position};
use crate::journal::{JournalError, Reader, Wanted};

/// In place of a slot for which no count came.
const NOT_TOLD: u32 = u32::MAX;

/// What taps are wanted of: the operators and lines that rows are about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scopes(HashSet<(OperatorCode, TapScope)>);

impl Scopes {
    /// What these rows are about.
    pub fn of<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        let scope = |row: &Row| Some((row.operator_code.parse().ok()?, scope(row)?));
        Self(rows.filter_map(scope).collect())
    }

    fn has(&self, operator: &OperatorCode, scope: &TapScope) -> bool {
        // Codes share their text: a clone is a counter.
        self.0.contains(&(operator.clone(), scope.clone()))
    }
}

/// The feeds of a month, with their counts of what is published and of nothing else: of a
/// country's taps that is a small part.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    days: Vec<LocalDay>,
    scopes: Scopes,
    feeds: BTreeMap<FeedId, Feed>,
    /// Slots that are kept, over all feeds of an operator.
    cells: BTreeMap<OperatorCode, usize>,
    /// Those of which there were more than could be kept: they have no rates.
    let_go: BTreeSet<OperatorCode>,
}

/// The counts of one feed, the last that was told for each slot.
#[derive(Clone, Debug, PartialEq)]
struct Feed {
    declared: TapFeed,
    /// For each day of the month the place of its first slot, and then the end of the last.
    starts: Vec<usize>,
    /// The slots of the month.
    told: HashMap<TapScope, Vec<u32>>,
}

/// Taps of one scope by day; days for which none were told are not there.
pub(super) type ByDay = BTreeMap<LocalDay, u64>;

impl Taps {
    /// Of a month, as yet without any.
    pub fn new(month: LocalMonth, scopes: Scopes) -> Self {
        let (first, end) = (
            month::first_day(month),
            month::first_day(month::next(month)),
        );
        Self {
            days: (first.0..end.0).map(LocalDay).collect(),
            scopes,
            feeds: BTreeMap::new(),
            cells: BTreeMap::new(),
            let_go: BTreeSet::new(),
        }
    }

    /// Reads those of a month from the journal, within the positions of its edition.
    pub fn read(
        reader: &Reader,
        (from, through): (Position, Position),
        month: LocalMonth,
        scopes: Scopes,
    ) -> Result<Self, JournalError> {
        let mut taps = Self::new(month, scopes);
        for record in reader.wanted_from(from, Wanted::Taps) {
            let record = record?;
            if through < record.position {
                break;
            }
            if let Entry::TapCounts(batch) = record.entry {
                taps.add(&batch);
            }
        }
        Ok(taps)
    }

    /// The days of the month.
    pub(super) fn days(&self) -> &[LocalDay] {
        &self.days
    }

    /// Whether there were more of an operator than could be kept.
    pub(super) fn has_let_go(&self, operator: &str) -> bool {
        let mut let_go = self.let_go.iter();
        let_go.any(|code| code.as_str() == operator)
    }

    /// What its feeds are.
    pub(super) fn declared(&self) -> impl Iterator<Item = &TapFeed> {
        self.feeds.values().map(|feed| &feed.declared)
    }

    /// Taps of a scope by one feed, if it was declared so.
    pub(super) fn by_day(&self, declared: &TapFeed, scope: &TapScope) -> ByDay {
        match self.feeds.get(&declared.id) {
            Some(feed) if feed.declared == *declared => feed.by_day(&self.days, scope),
            _ => ByDay::new(),
        }
    }

    /// Takes in what an operator told. Later counts replace earlier ones; another declaration
    /// under the same name counts nothing.
    fn add(&mut self, batch: &TapBatch) {
        let declared = batch.feed();
        // Nothing is set against stops, nor against pairs of a line and a stop.
        let is_wanted = matches!(declared.grain, TapGrain::Operator | TapGrain::Line);
        if !is_wanted || self.let_go.contains(&declared.operator) {
            return;
        }
        let feed = self.feeds.entry(declared.id.clone());
        let feed = feed.or_insert_with(|| Feed::new(declared, &self.days));
        if feed.declared != *declared {
            return;
        }
        let is_wanted = |scope: &TapScope| self.scopes.has(&declared.operator, scope);
        let are_wanted: Vec<bool> = batch.scopes().iter().map(is_wanted).collect();
        let first = self.days.first().map_or(0, |day| day.0);
        for cell in batch.cells() {
            let place = usize::from(cell.scope);
            let day = usize::try_from(cell.slot.day.0 - first).ok();
            let (Some(day), true) = (day.filter(|day| *day < self.days.len()), are_wanted[place])
            else {
                continue;
            };
            let Some(feed) = self.with_room(declared, &batch.scopes()[place]) else {
                return;
            };
            feed.tell(&batch.scopes()[place], day, cell.slot.slot, cell.taps.get());
        }
    }

    /// A feed that has slots for a scope; `None` if its operator was let go. Where there are too
    /// many in all, the operator that has most is: none loses its rates to another that has more.
    fn with_room(&mut self, declared: &TapFeed, scope: &TapScope) -> Option<&mut Feed> {
        let feed = self.feeds.get(&declared.id)?;
        if !feed.told.contains_key(scope) {
            let own = self.cells.entry(declared.operator.clone()).or_default();
            *own += feed.slots();
            while EDITION_TAP_CELLS_MAX < self.cells.values().sum() {
                self.let_go_of_the_largest();
            }
            self.feeds.get_mut(&declared.id)?.make_slots(scope);
        }
        self.feeds.get_mut(&declared.id)
    }

    fn let_go_of_the_largest(&mut self) {
        let largest = self.cells.iter().max_by_key(|(_, cells)| **cells);
        let (operator, cells) = largest.expect("some have too many");
        let (operator, cells) = (operator.clone(), *cells);
        tracing::warn!(
            %operator,
            cells,
            "more tap counts than an edition holds; it has no rates of the operator that told most"
        );
        self.cells.remove(&operator);
        self.feeds
            .retain(|_, feed| feed.declared.operator != operator);
        self.let_go.insert(operator);
    }
}

impl Feed {
    fn new(declared: &TapFeed, days: &[LocalDay]) -> Self {
        let mut starts = vec![0];
        for (place, day) in days.iter().enumerate() {
            starts.push(starts[place] + usize::from(declared.slots(*day)));
        }
        Self {
            declared: declared.clone(),
            starts,
            told: HashMap::new(),
        }
    }

    /// How many slots a scope has in the month.
    fn slots(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    fn make_slots(&mut self, scope: &TapScope) {
        let slots = vec![NOT_TOLD; self.slots()];
        self.told.insert(scope.clone(), slots);
    }

    /// Takes in one count of a scope that has slots, on a day of the month.
    fn tell(&mut self, scope: &TapScope, day: usize, slot: u8, taps: u32) {
        if let Some(slots) = self.told.get_mut(scope) {
            slots[self.starts[day] + usize::from(slot)] = taps;
        }
    }

    /// Taps of a scope, by day. A day counts if all of it was told: of no other is it known
    /// how many taps its reports stand against.
    fn by_day(&self, days: &[LocalDay], scope: &TapScope) -> ByDay {
        let Some(slots) = self.told.get(scope) else {
            return ByDay::new();
        };
        let bounds = self.starts.iter().zip(self.starts.iter().skip(1));
        let of_days = bounds.map(|(start, end)| &slots[*start..*end]);
        let told = days.iter().zip(of_days);
        let whole = told.filter(|(_, slots)| !slots.contains(&NOT_TOLD));
        whole
            .map(|(day, slots)| (*day, slots.iter().copied().map(u64::from).sum()))
            .collect()
    }
}

/// Whose taps a row is set against; `None` if it has no rate.
pub(super) fn scope(row: &Row) -> Option<TapScope> {
    match row.dimension.as_str() {
        // Only what is told of the whole: parts that were told may not be all there are.
        "total" | "operator" => Some(TapScope::Operator),
        "line" => row.key.parse().ok().map(TapScope::Line),
        // Nor a station: its row has only reports of trains and the metro, and of these only those
        // that name no line, while its taps are of all modes.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::taps::{DayBegin, Refusals, TapCount, TapInterval, TapKinds, TapSlot};
    use crate::domain::taxonomy::TapKind;
    use crate::edition::denominators::{Denominators, TOO_MANY_TAP_COUNTS};

    const MONTH: &str = "2026-10";

    fn row(dimension: &str, key: &str) -> Row {
        Row {
            operator_code: "GVB".into(),
            dimension: dimension.into(),
            key: key.into(),
            ..Row::default()
        }
    }

    fn feed() -> TapFeed {
        TapFeed {
            id: "gvb.lines".parse().expect("a name"),
            operator: "GVB".parse().expect("a code"),
            grain: TapGrain::Line,
            interval: TapInterval::Hour,
            kinds: TapKinds::new([TapKind::CheckIn].into_iter().collect()).expect("a tap"),
            refusals: Refusals::Excluded,
            day_begin: DayBegin::default(),
        }
    }

    /// Ten taps in each hour of the first of October, on each of so many lines.
    fn batches(lines: u32) -> Vec<TapBatch> {
        batches_of(&feed(), lines)
    }

    fn batches_of(feed: &TapFeed, lines: u32) -> Vec<TapBatch> {
        let day = LocalDay::parse("2026-10-01").expect("a date");
        let count = |line, slot| TapCount {
            scope: TapScope::Line(format!("GVB:{line}").parse().expect("a line")),
            slot: TapSlot { day, slot },
            taps: crate::domain::taps::Taps::new(10).expect("few"),
        };
        let counts = (0..lines).flat_map(|line| (0..24).map(move |slot| count(line, slot)));
        TapBatch::pack(feed, counts)
    }

    fn held(rows: &[Row], lines: u32) -> Taps {
        let month = month::parse(MONTH).expect("a month");
        let mut taps = Taps::new(month, Scopes::of(rows.iter()));
        for batch in batches(lines) {
            taps.add(&batch);
        }
        taps
    }

    #[test]
    fn only_taps_of_what_is_published_are_held() {
        let rows = [row("line", "GVB:7"), row("line", ""), row("day", "GVB:8")];
        let taps = held(&rows, 1_000);
        // 31 days, of which one has 25 hours.
        assert_eq!(taps.cells.values().sum::<usize>(), 31 * 24 + 1);
        let scope = |line: &str| TapScope::Line(line.parse().expect("a line"));
        let feed = taps.feeds.values().next().expect("one feed");
        let by_day = feed.by_day(&taps.days, &scope("GVB:7"));
        assert_eq!(by_day.values().copied().collect::<Vec<_>>(), [240]);
        assert!(feed.by_day(&taps.days, &scope("GVB:8")).is_empty());
    }

    #[test]
    fn operator_with_most_of_too_many_taps_has_no_rates_and_takes_them_from_no_other() {
        let per_line = 31 * 24 + 1;
        let no_rate = Some("no denominator".to_owned());
        let of = |operator: &str, key: &str| Row {
            operator_code: operator.into(),
            no_rate: no_rate.clone(),
            ..row("line", key)
        };
        let mut rows = [
            of("GVB", "GVB:0"),
            of("GVB", "GVB:1"),
            of("RET", "GVB:0"),
            of("GVB", ""),
        ];
        let mut taps = held(&rows, 0);
        let code = |operator: &str| operator.parse().expect("a code");
        let other = TapFeed {
            id: "ret.lines".parse().expect("a name"),
            operator: code("RET"),
            ..feed()
        };
        for batch in batches_of(&other, 1) {
            taps.add(&batch);
        }
        // Room for one more line, and GVB has most.
        let room = EDITION_TAP_CELLS_MAX - 2 * per_line;
        taps.cells.insert(code("GVB"), room);
        for batch in batches(2) {
            taps.add(&batch);
        }
        assert_eq!(taps.cells.values().sum::<usize>(), per_line);
        Denominators::new(vec![&taps]).rate(&mut rows, &[], |_, _| Vec::new());
        let reasons = rows.map(|row| (row.no_rate, row.taps));
        let too_many = (Some(TOO_MANY_TAP_COUNTS.to_owned()), None);
        assert_eq!(reasons[..2], [too_many.clone(), too_many]);
        assert_eq!(reasons[2].1, Some(240), "its taps are there");
        assert_eq!(reasons[3], (no_rate, None));
        // What comes later of it is passed over.
        for batch in batches(1) {
            taps.add(&batch);
        }
        assert_eq!(taps.cells.values().sum::<usize>(), per_line);
    }
}
