//! The denominators of an edition: tap counts of its month, as the journal had them when it
//! closed.
//!
//! Rates are drawn from what is published and from taps, and from nothing else, so that they
//! tell no more of anybody than the counts do: the numerator is the published count, the
//! scatter of days is that of the published days, and whether enough reports could be matched with
//! taps is judged for the operator as a whole (`matched`), and told by whether there is a rate.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::format::Row;
use super::matched::Matched;
use super::month;
use crate::domain::limits::EDITION_TAP_CELLS_MAX;
use crate::domain::taps::{TapBatch, TapFeed, TapGrain, TapScope};
use crate::domain::{Entry, FeedId, LocalDay, LocalMonth, OperatorCode, Position};
use crate::journal::{JournalError, Reader, Wanted};
use crate::stats::dispersion::{Day, Dispersion};
use crate::stats::interval::{Interval, Level};
use crate::stats::rate::{Estimator, Matching, NoRate, Numerator, Rate, dispersion, rate};

/// In place of a slot for which no count came.
const NOT_TOLD: u32 = u32::MAX;

/// Why an operator has no rates, besides the reasons of `stats::rate`.
const TOO_FEW_REPORTS: &str = "too-few-reports";
/// Why nobody has any.
const TOO_MANY_TAP_COUNTS: &str = "too-many-tap-counts";

/// What taps are wanted of: the operators, lines and stations that rows are about.
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
    /// Slots that are kept, over all feeds.
    cells: usize,
    /// Whether there were more than could be kept: then there are no rates.
    is_full: bool,
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
type ByDay = BTreeMap<LocalDay, u64>;

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
            cells: 0,
            is_full: false,
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
            if through < record.position || taps.is_full {
                break;
            }
            if let Entry::TapCounts(batch) = record.entry {
                taps.add(&batch);
            }
        }
        Ok(taps)
    }

    /// Takes in what an operator told. Later counts replace earlier ones; another declaration
    /// under the same name counts nothing.
    fn add(&mut self, batch: &TapBatch) {
        let declared = batch.feed();
        // Nothing is set against pairs of a line and a stop.
        if declared.grain == TapGrain::LineStop {
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
            let slot = feed.starts[day] + usize::from(cell.slot.slot);
            let Some(slots) = feed.slots_of(&batch.scopes()[place], &mut self.cells) else {
                self.is_full = true;
                self.feeds.clear();
                return;
            };
            slots[slot] = cell.taps.get();
        }
    }
}

/// The feeds of a month, or of the three of a quarter, in order.
pub struct Denominators<'a>(Vec<&'a Taps>);

impl<'a> Denominators<'a> {
    /// Of these months.
    pub fn new(months: Vec<&'a Taps>) -> Self {
        Self(months)
    }

    /// Gives rows their rates. `published` are the rows that hold the days, `matched` says how
    /// many of an operator's counted reports a feed matches, month by month.
    pub fn rate(
        &self,
        rows: &mut [Row],
        published: &[Row],
        matched: impl Fn(&Row, &TapFeed) -> Vec<Matched>,
    ) {
        if self.0.iter().any(|month| month.is_full) {
            for row in rows.iter_mut().filter(|row| row.no_rate.is_some()) {
                row.no_rate = Some(TOO_MANY_TAP_COUNTS.to_owned());
            }
            return;
        }
        let days = published_days(published);
        let mut known = BTreeMap::new();
        for row in rows.iter_mut() {
            let Some((feed, taps)) = self.denominator(row) else {
                continue;
            };
            let months = known
                .entry((row.basis.clone(), feed.id.clone()))
                .or_insert_with(|| matched(row, feed));
            let made = self.made(row, feed, &taps, months, &days);
            row.taps = Some(taps.values().sum());
            row.denominator_source = Some(source(feed));
            row.coverage = Some(rounded(taps.len() as f64 / self.days() as f64));
            match made {
                Ok((value, unit, interval, scatter)) => {
                    row.rate = Some(rounded(value));
                    row.unit = Some(unit.to_owned());
                    row.low = Some(rounded(interval.low()));
                    row.high = Some(rounded(interval.high()));
                    row.interval_method = Some(method(&interval, scatter));
                    row.no_rate = None;
                }
                Err(reason) => row.no_rate = Some(reason.to_owned()),
            }
        }
    }

    fn days(&self) -> u64 {
        self.0.iter().map(|month| month.days.len() as u64).sum()
    }

    /// Taps of a scope by one feed, over all months in which it was declared alike.
    fn by_day(&self, declared: &TapFeed, scope: &TapScope) -> ByDay {
        let of_month = |month: &&Taps| {
            let feed = month.feeds.get(&declared.id)?;
            (feed.declared == *declared).then(|| feed.by_day(&month.days, scope))
        };
        self.0.iter().filter_map(of_month).flatten().collect()
    }

    /// The feed that a row is set against, with its taps by day.
    fn denominator(&self, row: &Row) -> Option<(&TapFeed, ByDay)> {
        let scope = scope(row)?;
        let feeds = self.0.iter().flat_map(|month| month.feeds.values());
        let feeds = feeds.map(|feed| &feed.declared).filter(|declared| {
            declared.operator.as_str() == row.operator_code && declared.grain == scope.grain()
        });
        let with_taps = feeds.map(|declared| (declared, self.by_day(declared, &scope)));
        let with_taps = with_taps.filter(|(_, taps)| !taps.is_empty());
        // The most days, then the coarsest interval, then the first by name.
        with_taps.min_by_key(|(declared, taps)| {
            (
                usize::MAX - taps.len(),
                u8::MAX - declared.interval.number(),
                declared.id.clone(),
            )
        })
    }

    fn made(
        &self,
        row: &Row,
        feed: &TapFeed,
        taps: &ByDay,
        months: &[Matched],
        days: &BTreeMap<(String, String), BTreeMap<String, u64>>,
    ) -> Result<(f64, &'static str, Interval, Dispersion), &'static str> {
        // Below this, that a rate is there would tell of fewer than ten reports that they
        // could not be matched.
        if months.iter().any(|month| month.is_too_few()) {
            return Err(TOO_FEW_REPORTS);
        }
        let numerator = match row.basis.as_str() {
            "observed" => Numerator::ObservedRefusals,
            _ => Numerator::SelfReports,
        };
        let key = (row.basis.clone(), row.operator_code.clone());
        let published = days.get(&key);
        let by_day = |(day, count): (&String, &u64)| {
            let day = LocalDay::parse(day)?;
            let exposure = *taps.get(&day)?;
            let count = *count;
            Some(Day { count, exposure })
        };
        let by_day: Vec<Day> = published.into_iter().flatten().filter_map(by_day).collect();
        let of_days: u64 = by_day.iter().map(|day| day.count).sum();
        let share = row.count as f64 / of_days.max(1) as f64;
        // The days are the operator's.
        let scatter = dispersion(numerator, feed.refusals, &by_day).of_part(share);
        // What is published is a count of reports, all of which are matched or none is.
        let matching = Matching {
            days: self.days(),
            days_with_taps: taps.len() as u64,
            reports: row.count,
            matched: row.count,
            taps: taps.values().sum(),
            contradictions: 0,
        };
        let (estimator, level) = (Estimator::Standard, Level::P95);
        let made = rate(
            numerator,
            feed.refusals,
            &matching,
            estimator,
            level,
            scatter,
        );
        // Each month of a quarter by itself: all together would tell of one month beside the
        // others.
        let is_matched = months.iter().all(|month| month.is_enough());
        let made = match made {
            Err(NoRate::NoTaps | NoRate::DaysNotCovered) => made,
            _ if !is_matched => Err(NoRate::ReportsNotMatched),
            made => made,
        };
        match made.map_err(NoRate::key)? {
            Rate::Reports {
                per_100_000,
                interval,
            } => Ok((per_100_000, "per-100000-taps", interval, scatter)),
            Rate::Failures {
                share, interval, ..
            } => Ok((share, "share-of-attempts", interval, scatter)),
        }
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

    /// The slots of a scope; `None` if there is no room for more.
    fn slots_of(&mut self, scope: &TapScope, cells: &mut usize) -> Option<&mut Vec<u32>> {
        if !self.told.contains_key(scope) {
            let slots = self.starts.last().copied().unwrap_or(0);
            *cells += slots;
            if EDITION_TAP_CELLS_MAX < *cells {
                return None;
            }
            self.told.insert(scope.clone(), vec![NOT_TOLD; slots]);
        }
        self.told.get_mut(scope)
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
fn scope(row: &Row) -> Option<TapScope> {
    match row.dimension.as_str() {
        // Only what is told of the whole: parts that were told may not be all there are.
        "total" | "operator" => Some(TapScope::Operator),
        "line" => row.key.parse().ok().map(TapScope::Line),
        "station" => row.key.parse().ok().map(TapScope::Stop),
        _ => None,
    }
}

/// The published counts of days, by basis and operator.
fn published_days(rows: &[Row]) -> BTreeMap<(String, String), BTreeMap<String, u64>> {
    let mut days: BTreeMap<_, BTreeMap<String, u64>> = BTreeMap::new();
    for row in rows
        .iter()
        .filter(|row| row.dimension == "day" && !row.key.is_empty())
    {
        let key = (row.basis.clone(), row.operator_code.clone());
        days.entry(key)
            .or_default()
            .insert(row.key.clone(), row.count);
    }
    days
}

fn source(feed: &TapFeed) -> String {
    let kinds: Vec<_> = feed
        .kinds
        .set()
        .iter()
        .map(crate::domain::taxonomy::Taxonomy::key)
        .collect();
    let (id, grain, interval) = (&feed.id, feed.grain.key(), feed.interval.key());
    format!(
        "feed {id}: {} by {grain} and {interval}",
        kinds.join(" and ")
    )
}

fn method(interval: &Interval, scatter: Dispersion) -> String {
    let (method, level) = (interval.method().key(), interval.level().get());
    if scatter.degrees_of_freedom() == 0 {
        return format!("{method} {level} dispersion not estimated");
    }
    format!("{method} {level} dispersion {:.2}", scatter.factor())
}

/// To six digits, so that the last bits of a machine's arithmetic do not show.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.5e}")
        .parse()
        .expect("a number that was printed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::taps::{DayBegin, Refusals, TapCount, TapInterval, TapKinds, TapSlot};
    use crate::domain::taxonomy::TapKind;

    const MONTH: &str = "2026-10";

    fn row(dimension: &str, key: &str) -> Row {
        Row {
            operator_code: "GVB".into(),
            dimension: dimension.into(),
            key: key.into(),
            ..Row::default()
        }
    }

    /// Ten taps in each hour of the first of October, on each of so many lines.
    fn batches(lines: u32) -> Vec<TapBatch> {
        let feed = TapFeed {
            id: "gvb.lines".parse().expect("a name"),
            operator: "GVB".parse().expect("a code"),
            grain: TapGrain::Line,
            interval: TapInterval::Hour,
            kinds: TapKinds::new([TapKind::CheckIn].into_iter().collect()).expect("a tap"),
            refusals: Refusals::Excluded,
            day_begin: DayBegin::default(),
        };
        let day = LocalDay::parse("2026-10-01").expect("a date");
        let count = |line, slot| TapCount {
            scope: TapScope::Line(format!("GVB:{line}").parse().expect("a line")),
            slot: TapSlot { day, slot },
            taps: crate::domain::taps::Taps::new(10).expect("few"),
        };
        let counts = (0..lines).flat_map(|line| (0..24).map(move |slot| count(line, slot)));
        TapBatch::pack(&feed, counts)
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
        assert_eq!(taps.cells, 31 * 24 + 1);
        let scope = |line: &str| TapScope::Line(line.parse().expect("a line"));
        let feed = taps.feeds.values().next().expect("one feed");
        let by_day = feed.by_day(&taps.days, &scope("GVB:7"));
        assert_eq!(by_day.values().copied().collect::<Vec<_>>(), [240]);
        assert!(feed.by_day(&taps.days, &scope("GVB:8")).is_empty());
    }

    #[test]
    fn more_taps_than_are_held_give_no_rates_and_say_so() {
        let per_line = 31 * 24 + 1;
        let lines = u32::try_from(EDITION_TAP_CELLS_MAX / per_line + 1).expect("some");
        let rows: Vec<_> = (0..lines)
            .map(|line| Row {
                no_rate: Some("no denominator".into()),
                ..row("line", &format!("GVB:{line}"))
            })
            .collect();
        let mut taps = held(&rows[..1], 1);
        taps.scopes = Scopes::of(rows.iter());
        taps.cells = EDITION_TAP_CELLS_MAX - per_line;
        for batch in batches(3) {
            taps.add(&batch);
        }
        let mut rated = rows[..2].to_vec();
        Denominators::new(vec![&taps]).rate(&mut rated, &[], |_, _| Vec::new());
        assert!(
            rated
                .iter()
                .all(|row| row.no_rate.as_deref() == Some(TOO_MANY_TAP_COUNTS))
        );
    }
}
