//! Makes the edition of a month out of the journal. The same journal gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::denominators::Denominators;
use super::format::{self, Edition, FORMAT, LICENCE, METHOD, Row};
use super::gather::{self, Gathered, Report, first_at, gather};
use super::matched::{Matched, Tells};
use super::missing::{Erased, Missing, MissingBefore, Most};
use super::month;
use super::reporters;
use super::rows::{basis_key, largest_rows, month_rows, quarter_rows};
use super::tables::{self, LINE};
use super::taps::{Scopes, Taps};
use crate::domain::{Basis, LocalMonth, OperatorCode, OutageDay, UtcMillis};
use crate::journal::{JournalError, Reader};
use crate::stats::screening::{Group, Published, screen, screen_count, screen_quarter};

/// Both, in the order of rows.
const BASES: [Basis; 2] = [Basis::SelfReported, Basis::Observed];

/// An edition, and what is known of how well it can be made again.
#[derive(Clone, Debug)]
pub struct Made {
    /// The edition.
    pub edition: Edition,
    /// What of all that it was made of is known no longer. If nothing is, it can be made again, to
    /// the byte.
    pub missing: Missing,
}

/// A month, counted.
struct Counted {
    gathered: Gathered,
    /// Places of all self-reports, rising, and whether each counts.
    all_told: Vec<(usize, bool)>,
    /// Places of those that count, and of what devices observed.
    told: Vec<usize>,
    observed: Vec<usize>,
    /// The key under which those count that name somebody, if any does.
    key: Option<u32>,
    /// Reports that do not count; `None` if few people told them.
    left_out: Option<u64>,
    published: [Option<Published>; 2],
    /// What is known no longer of self-reports.
    erased: Erased,
}

/// Makes the edition of a month; `None` if the month is not over yet as far as the journal
/// knows, or if the journal no longer holds it. `earlier` gives the edition of an earlier
/// month, as it was published.
pub fn make(
    reader: &Reader,
    month: LocalMonth,
    earlier: impl Fn(LocalMonth) -> Option<Edition>,
) -> Result<Option<Made>, JournalError> {
    let Some(counted) = count(reader, month)? else {
        return Ok(None);
    };
    let mut rows = counted.counts();
    let mut ladder = Vec::new();
    let mut before = None;
    let mut missing = counted.missing();
    if let Some(months) = month::quarter_ending(month) {
        let first = earlier_month(reader, months[0], &earlier)?;
        let second = earlier_month(reader, months[1], &earlier)?;
        let is_gone = |month, counted: &Option<_>| counted.is_none() && earlier(month).is_some();
        let missing_before = missing.before.insert(MissingBefore {
            is_gone: is_gone(months[0], &first) || is_gone(months[1], &second),
            ..MissingBefore::default()
        });
        if let (Some(first), Some(second)) = (first, second) {
            missing_before.erased = first.gathered.erased + second.gathered.erased;
            missing_before.gone = first.gathered.gone + second.gathered.gone;
            let is_published = [&first, &second]
                .iter()
                .zip(months)
                .all(|(counted, month)| {
                    earlier(month).is_some_and(|edition| counted.is_as_published(&edition))
                });
            // What a quarter is measured against must be what has been published: a month
            // that comes out differently now, because of erasures, has no ladder.
            if is_published {
                ladder = self::ladder(months, [&first, &second, &counted]);
                before = Some([first, second]);
            }
        }
    }
    let taps = counted.taps(reader, rows.iter().chain(&ladder))?;
    counted.rate(&mut rows, &taps);
    if let Some([first, second]) = before {
        let earlier = [
            first.taps(reader, ladder.iter())?,
            second.taps(reader, ladder.iter())?,
        ];
        let taps = [&earlier[0], &earlier[1], &taps];
        rate_ladder(&mut ladder, [&first, &second, &counted], taps);
        rows.extend(ladder);
    }
    Ok(Some(Made {
        edition: counted.edition(rows),
        missing,
    }))
}

/// An earlier month of the quarter, if it has an edition and the journal still holds it.
fn earlier_month(
    reader: &Reader,
    month: LocalMonth,
    earlier: &impl Fn(LocalMonth) -> Option<Edition>,
) -> Result<Option<Counted>, JournalError> {
    match earlier(month) {
        Some(_) => count(reader, month),
        None => Ok(None),
    }
}

fn count(reader: &Reader, month: LocalMonth) -> Result<Option<Counted>, JournalError> {
    Ok(gather(reader, month)?.map(Counted::new))
}

impl Counted {
    fn new(gathered: Gathered) -> Self {
        let places = 0..gathered.reports.len();
        let (observed, told): (Vec<_>, Vec<_>) =
            places.partition(|place| gathered.reports[*place].basis == Basis::Observed);
        let all_told: Vec<_> = told.iter().map(|place| &gathered.reports[*place]).collect();
        // A report that does not count may still say that a card and an installation are one
        // reporter's.
        let numbers = reporters::number(all_told.iter().map(|report| report.names()));
        let key = reporters::counted_key(&all_told);
        let are_counted = reporters::are_counted(&all_told, &numbers, key);
        let erased = Erased::of(&all_told, &numbers, &are_counted);
        let left_out = (0..all_told.len()).filter(|place| !are_counted[*place]);
        let left_out: Vec<_> = left_out
            .map(|place| (all_told[place].key, numbers[place]))
            .collect();
        let places = told.iter().copied().zip(numbers).zip(&are_counted);
        let places = places.filter(|(_, counts)| **counts);
        let (counted, numbers): (Vec<_>, Vec<_>) = places.map(|(one, _)| one).unzip();
        let mut counted = Self {
            gathered,
            all_told: told.into_iter().zip(are_counted).collect(),
            told: counted,
            observed,
            key,
            left_out: screen_count(
                left_out.len() as u64,
                reporters::at_least(left_out.into_iter()),
            ),
            published: [None, None],
            erased,
        };
        counted.published = [
            screen(&counted.groups(Basis::SelfReported, &numbers)),
            screen(&counted.groups(Basis::Observed, &counted.refused(0))),
        ];
        counted
    }

    /// What is known no longer, earlier months of its quarter left aside.
    fn missing(&self) -> Missing {
        Missing {
            gone: self.gathered.gone,
            erased: self.gathered.erased,
            erased_late: self.gathered.erased_late,
            self_reports: self.erased.clone(),
            most: if 0 < self.gathered.erased + self.gathered.gone {
                BASES.map(|basis| (basis, self.most(basis))).into()
            } else {
                BTreeMap::new()
            },
            before: None,
        }
    }

    /// All reports of one basis, whether they count or not.
    fn most(&self, basis: Basis) -> Most {
        let reports = self.gathered.reports.iter();
        let reports: Vec<_> = reports.filter(|report| report.basis == basis).collect();
        let each: Vec<u32> = (0..).take(reports.len()).collect();
        Most::of(&largest_rows(&tables::groups(&reports, &each)))
    }

    fn reports(&self, basis: Basis) -> Vec<&Report> {
        let places = match basis {
            Basis::SelfReported => &self.told,
            Basis::Observed => &self.observed,
        };
        let report = |place: &usize| &self.gathered.reports[*place];
        places.iter().map(report).collect()
    }

    /// A number for each tap that a device refused: all different.
    fn refused(&self, first: u32) -> Vec<u32> {
        (first..).take(self.observed.len()).collect()
    }

    fn groups(&self, basis: Basis, reporters: &[u32]) -> Vec<Group> {
        tables::groups(&self.reports(basis), reporters)
    }

    /// Taps of the month, of what these rows are about.
    fn taps<'a>(
        &self,
        reader: &Reader,
        rows: impl Iterator<Item = &'a Row>,
    ) -> Result<Taps, JournalError> {
        let positions = (self.gathered.from, self.gathered.through);
        Taps::read(reader, positions, self.gathered.month, Scopes::of(rows))
    }

    /// Sets the rows of the month against its taps.
    fn rate(&self, rows: &mut [Row], taps: &Taps) {
        let published = rows.to_vec();
        let taps = Denominators::new(vec![taps]);
        taps.rate(rows, &published, |basis, tells| {
            vec![self.matched(basis, tells)]
        });
    }

    /// All rows, without rates.
    fn counts(&self) -> Vec<Row> {
        let published = BASES.into_iter().zip(&self.published);
        published
            .filter_map(|(basis, published)| Some((basis, published.as_ref()?)))
            .flat_map(|(basis, published)| month_rows(basis, self.gathered.month, published))
            .collect()
    }

    /// How many of an operator's counted reports feeds match.
    fn matched(&self, basis: &str, tells: &Tells) -> Matched {
        let (basis, place) = if basis == basis_key(Basis::Observed) {
            (Basis::Observed, 1)
        } else {
            (Basis::SelfReported, 0)
        };
        let reports = self.reports(basis).into_iter();
        let reports: Vec<_> = reports
            .filter(|report| report.operator.as_ref() == Some(&tells.operator))
            .collect();
        let published = self.published[place].as_ref();
        let published = published.and_then(|published| published.group(tells.operator.as_str()));
        Matched::new(tells, &reports, published)
    }

    /// Whether the month is still what its edition says. Figures of quarters are not looked
    /// at.
    fn is_as_published(&self, edition: &Edition) -> bool {
        let rows = self.counts();
        let day = month::first_day(self.gathered.month).to_string();
        let end = crate::domain::LocalDay(month::first_day(month::next(self.gathered.month)).0 - 1);
        let of_month = |row: &&Row| row.period_start == day && row.period_end == end.to_string();
        let as_counted = |row: &Row| Row {
            taps: None,
            denominator_source: None,
            coverage: None,
            rate: None,
            unit: None,
            low: None,
            high: None,
            interval_method: None,
            no_rate: None,
            ..row.clone()
        };
        let published = edition.rows.iter().filter(of_month).map(as_counted);
        published.eq(rows.iter().map(as_counted))
    }

    fn edition(self, rows: Vec<Row>) -> Edition {
        Edition {
            format: FORMAT,
            method: METHOD,
            month: self.gathered.month.to_string(),
            closed_at: to_text(month::closes_at(self.gathered.month)),
            licence: LICENCE.to_owned(),
            through: self.gathered.through.0,
            networks: self.gathered.networks.into_iter().collect(),
            counted_since: self.gathered.since.map(to_text),
            left_out: self.left_out,
            too_late: self.gathered.too_late.screened(),
            outages: self.gathered.outages.iter().map(to_outage).collect(),
            rows,
        }
    }
}

fn to_outage(one: &OutageDay) -> format::OutageDay {
    let operator = one.operator.as_ref();
    format::OutageDay {
        day: one.day.to_string(),
        operator_code: operator.map_or_else(String::new, OperatorCode::to_string),
    }
}

fn to_text(at: UtcMillis) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0);
    at.expect("a supported year").to_string()
}

/// Sets the quarter ladder against the taps of its three months.
fn rate_ladder(ladder: &mut [Row], counted: [&Counted; 3], taps: [&Taps; 3]) {
    let published: Vec<_> = counted.iter().flat_map(|month| month.counts()).collect();
    Denominators::new(taps.to_vec()).rate(ladder, &published, |basis, tells| {
        let months = counted.iter();
        months.map(|month| month.matched(basis, tells)).collect()
    });
}

/// The quarter ladder of both bases.
fn ladder(months: [LocalMonth; 3], counted: [&Counted; 3]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (place, basis) in BASES.into_iter().enumerate() {
        let [Some(first), Some(second), Some(third)] =
            counted.map(|month| month.published[place].as_ref())
        else {
            continue;
        };
        let numbers = match basis {
            // Who told something in two months would be two people.
            Basis::SelfReported if !is_one_key(counted) => continue,
            Basis::SelfReported => self_reporters(counted),
            Basis::Observed => {
                let taps = counted.map(|month| month.observed.len());
                (0..).take(taps.iter().sum()).collect()
            }
        };
        let mut rest = &numbers[..];
        let groups = counted.map(|month| {
            let (own, after) = rest.split_at(month.reports(basis).len());
            rest = after;
            tables::line_groups(&month.reports(basis), own)
        });
        let [a, b, c] = &groups;
        let quarters = screen_quarter(LINE, [(a, first), (b, second), (c, third)]);
        rows.extend(quarter_rows(basis, months, &quarters));
    }
    rows
}

/// Whether the self-reports that name somebody count under one key in three months of a quarter.
fn is_one_key(counted: [&Counted; 3]) -> bool {
    let mut keys = counted.iter().filter_map(|month| month.key);
    let first = keys.next();
    keys.all(|key| Some(key) == first)
}

/// Reporters of the self-reports that count in three months, in their order, numbered alike
/// over all that were told.
fn self_reporters(counted: [&Counted; 3]) -> Vec<u32> {
    let of_month = |month: &'_ Counted| {
        let told = month.all_told.iter();
        let told = told.map(|(place, counts)| (month.gathered.reports[*place].names(), *counts));
        told.collect::<Vec<_>>()
    };
    let all: Vec<_> = counted.iter().flat_map(|month| of_month(month)).collect();
    let numbers = reporters::number(all.iter().map(|(names, _)| *names));
    let numbered = numbers.into_iter().zip(&all);
    numbered
        .filter_map(|(number, (_, counts))| counts.then_some(number))
        .collect()
}

/// Whether something of what the edition of a month would be made of is missing already, so that
/// it must not be closed any more. Reads no month, unless personal parts of it were taken away.
/// `is_closed` says so of an earlier month.
pub fn is_cut(
    reader: &Reader,
    month: LocalMonth,
    is_closed: impl Fn(LocalMonth) -> bool,
) -> Result<bool, JournalError> {
    if gather::gone_before(reader, month)? != Some(0) || gather::lacks_names(reader, month)? {
        return Ok(true);
    }
    let quarter = month::quarter_ending(month);
    let Some([first, second, _]) = quarter.filter(|[a, b, _]| is_closed(*a) && is_closed(*b))
    else {
        return Ok(false);
    };
    let first = gather::gone_before(reader, first)?;
    let second = gather::gone_before(reader, second)?;
    // Of a month that the journal no longer holds there is no quarter.
    let gone = first.zip(second).map(|(first, second)| first + second);
    Ok(gone.is_some_and(|gone| 0 < gone))
}

/// Whether the journal has passed the closing of a month's edition.
pub fn is_over(reader: &Reader, month: LocalMonth) -> Result<bool, JournalError> {
    Ok(first_at(reader, month::closes_at(month))? <= reader.last())
}

/// The months whose editions are due, as far as the journal knows, and are not `closed`:
/// from the month of its first entry on.
pub fn due(
    reader: &Reader,
    closed: &BTreeSet<LocalMonth>,
) -> Result<Vec<LocalMonth>, JournalError> {
    let stamp = |position| Ok(reader.entry(position)?.map(|record| record.stamp));
    let (Some(first), Some(last)) = (stamp(reader.horizon())?, stamp(reader.last())?) else {
        return Ok(Vec::new());
    };
    let month_of = |stamp: UtcMillis| Some(stamp.hour()?.local_day().month());
    let Some(first) = month_of(first) else {
        return Ok(Vec::new());
    };
    let months = (first.0..).map(LocalMonth);
    Ok(months
        .take_while(|month| month::closes_at(*month) <= last)
        .filter(|month| !closed.contains(month))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{LocalDay, Position, Pseudonym};
    use crate::edition::gather::{TooLate, testing::report};

    #[test]
    fn link_in_a_report_that_does_not_count_still_joins_card_and_installation() {
        let person = |number: u8, first_day: LocalDay| {
            let (card, installation) = (Pseudonym([number; 16]), Pseudonym([number; 16]));
            let told = |day: i32, has_card: bool, has_installation: bool| Report {
                card: has_card.then_some(card),
                installation: has_installation.then_some(installation),
                is_named: true,
                day: LocalDay(first_day.0 + day),
                ..report()
            };
            // The second names both, and is left out: the same line on the same day.
            [
                told(0, false, true),
                told(0, true, true),
                told(1, true, false),
            ]
        };
        let month = report().day.month();
        let first_day = month::first_day(month);
        let reporters = |people: u8| {
            let reports = (1..=people).flat_map(|number| person(number, first_day));
            let counted = Counted::new(Gathered {
                month,
                reports: reports.collect(),
                too_late: TooLate::default(),
                outages: Vec::new(),
                through: Position(1),
                from: Position(1),
                since: None,
                networks: BTreeSet::new(),
                erased: 0,
                erased_late: 0,
                gone: 0,
            });
            assert_eq!(counted.told.len(), 2 * usize::from(people));
            counted.published[0].is_some()
        };
        assert!(!reporters(9), "eighteen reports of nine people");
        assert!(reporters(10), "twenty reports of ten people");
    }
}
