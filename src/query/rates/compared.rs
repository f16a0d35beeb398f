//! Whether two periods differ: one filter over two windows, as of one position.
//!
//! Over taps, where both periods have a rate, made of the same feeds, line by line, and lie in the
//! record from their first hour on; else over time, which says nothing of how much was travelled. Of
//! a period, only hours count then in which something could be recorded: none from before the record
//! began, and none that is not over. One comparison
//! at a time: of many lines compared at once, some would differ by chance alone.

use std::collections::BTreeSet;

use super::super::{Order, Page, QueryError, Recorded, plan};
use super::record::{Opened, RecordAsOf, Tallied};
use super::{Asked, RateFigure, RatedAnswer, RatesWanted, Rows, all_rows, put_together, rows};
use crate::domain::question::Breakdown;
use crate::domain::{
    Calendar, Dimension, FeedId, Filter, LocalDay, OutageDay, Position, Question, Stamp, TapFeed,
    Window,
};
use crate::ledger::ScanView;
use crate::stats::comparison::RateRatio;
use crate::stats::dispersion::{Day, Dispersion};
use crate::stats::interval::{EventRate, Level};
use crate::stats::rate::Rate;

/// What is to be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareWanted {
    /// Which incidents count.
    pub filter: Filter,
    /// The period that is asked about, and the one that it is compared with. They share no hour.
    pub windows: [Window; 2],
    /// How rates are to be made.
    pub rates: RatesWanted,
    /// Whether days of declared outages are left out. Feeds are chosen by all days.
    pub leaves_out_outages: bool,
}

/// One of the two periods.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// Distinct incidents.
    pub count: u64,
    /// Set against taps, or why there is no rate.
    pub rate: RateFigure,
    /// The feeds whose taps were used, with the number of service days each told.
    pub feeds: Vec<(TapFeed, u64)>,
    /// Days on which an outage was declared, rising.
    pub outages: Vec<OutageDay>,
    /// What stands in the ratio.
    pub compared: Exposed,
    /// Incidents by day, over the hours that count.
    days: Vec<Day>,
}

/// Events and what they are set against. Over taps these are matched reports or refusals, and
/// taps or attempts; over time, incidents of the hours that count, and those hours: none if none
/// does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposed {
    /// How many.
    pub events: u64,
    /// Set against so much.
    pub exposure: u64,
}

impl Exposed {
    #[expect(clippy::cast_precision_loss, reason = "taps stay below 2^53")]
    fn rate(self) -> Option<EventRate> {
        EventRate::new(self.events, self.exposure as f64)
    }
}

/// Over what the two are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Matched reports over taps, or refusals over attempts.
    Taps,
    /// Incidents over hours.
    Time,
}

/// Two periods, compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The one asked about, and the one that it is compared with.
    pub periods: [Period; 2],
    /// Over what.
    pub over: Over,
    /// The first rate over the second; `None` if no hour of a period counts.
    pub ratio: Option<RateRatio>,
    /// The last position that is counted.
    pub position: Position,
}

/// What tallies tell of one of the periods, and what is to be asked of it.
struct AskedPeriod {
    /// With all its days: by these feeds are chosen.
    whole: Question,
    question: Question,
    books: Tallied,
    /// By day, of the hours that count; `None` if none does.
    by_day: Option<(Question, Tallied)>,
    outages: Vec<OutageDay>,
}

impl AskedPeriod {
    fn new(
        opened: &Opened<'_>,
        began: Option<Stamp>,
        wanted: &CompareWanted,
        window: Window,
    ) -> Self {
        let whole = Question {
            filter: wanted.filter.clone(),
            by: Breakdown::default(),
            window,
        };
        let out = opened.outage_days(&whole);
        let (days, less) = out.map(|out| (out.days, out.question)).unzip();
        let less = less.filter(|_| wanted.leaves_out_outages);
        let question = less.unwrap_or_else(|| whole.clone());
        let counted = counted_part(&question, began, opened.recorded.until);
        let by_day = counted.map(|window| {
            let by_day = Question {
                by: Breakdown::new(vec![Dimension::Day]).expect("one dimension"),
                window,
                ..question.clone()
            };
            let books = opened.tallied(&by_day);
            (by_day, books)
        });
        Self {
            books: opened.tallied(&question),
            whole,
            question,
            by_day,
            outages: days.unwrap_or_default(),
        }
    }

    /// Its reports: all of them, and by day.
    fn count(self, at: (&ScanView, Recorded)) -> Result<CountedPeriod, QueryError> {
        let page = Page {
            rows: 1,
            order: Order::Key,
            after: None,
        };
        let asked = Asked {
            books: self.books,
            out: None,
        };
        Ok(CountedPeriod {
            rows: rows(at, asked, &self.question, &page)?,
            whole: self.whole,
            question: self.question,
            outages: self.outages,
            days: match self.by_day {
                Some((by_day, books)) => by_hours(at, &by_day, books)?,
                None => Vec::new(),
            },
        })
    }
}

/// One of the periods, before it is set against taps.
struct CountedPeriod {
    whole: Question,
    question: Question,
    rows: Rows,
    outages: Vec<OutageDay>,
    days: Vec<Day>,
}

/// Compares two periods, as of now or of a position, in a record that `began` with an entry of this
/// stamp. Blocking, up to some seconds, or as long as it takes to read the journal: call it off the
/// async threads.
pub fn compare<'a>(
    of: impl Into<RecordAsOf<'a>>,
    began: Option<Stamp>,
    wanted: &CompareWanted,
) -> Result<Compared, QueryError> {
    let (ground, asked) = of.into().open(&wanted.windows, |opened| {
        wanted
            .windows
            .map(|window| AskedPeriod::new(opened, began, wanted, window))
    })?;
    let position = ground.view.position;
    let feeds = ground.feeds();
    super::check_feeds(&wanted.rates, &feeds)?;
    let recorded = ground.recorded;
    let counted = ground.scan(|view| {
        let counted = asked
            .into_iter()
            .map(|period| period.count((view, recorded)));
        counted.collect::<Result<Vec<_>, _>>()
    })?;
    let questions: Vec<_> = counted.iter().map(|period| &period.whole).collect();
    let choices = ground.choose(&questions, &wanted.rates, &feeds)?;
    let jobs = counted.iter().zip(&choices);
    let jobs = jobs.flat_map(|(one, choice)| one.rows.jobs(&one.question, choice));
    let made = ground.make(&jobs.collect::<Vec<_>>())?;
    let periods = counted.into_iter().zip(&choices).zip(&made);
    let periods: Vec<_> = periods
        .map(|((counted, choice), made)| {
            let RatedAnswer {
                answer,
                total,
                feeds,
                ..
            } = put_together(
                counted.rows,
                (&counted.question, recorded),
                &wanted.rates,
                choice,
                made,
                None,
            );
            Period {
                count: answer.total,
                rate: total,
                feeds,
                outages: counted.outages,
                compared: Exposed::default(),
                days: counted.days,
            }
        })
        .collect();
    let mut periods: [Period; 2] = periods.try_into().expect("two windows");
    // Of taps before the record began it is not known how many failed.
    let is_before = |window: &Window| began.is_some_and(|began| window.start().start() < began);
    let is_recorded = !wanted.windows.iter().any(is_before);
    let is_alike = is_recorded && choices[0].agrees_with(&choices[1]);
    let (over, sides) = over(&periods, is_alike);
    let ratio = ratio(&sides, wanted.rates.level);
    for (period, (compared, _)) in periods.iter_mut().zip(sides) {
        period.compared = compared;
    }
    Ok(Compared {
        periods,
        over,
        ratio,
        position,
    })
}

/// The hours of a question's window from that on in which the record began, and that are over.
/// What was before it and what has not been yet is no time without reports. `None` if there is
/// none.
fn counted_part(question: &Question, began: Option<Stamp>, now: Stamp) -> Option<Window> {
    let (mut began, mut end) = (began?.hour()?, now.hour()?);
    let filter = &question.filter;
    if !filter.stops.is_empty() || plan::has(question, Dimension::Stop) {
        // Of stops, months whose incidents have ended are known by whole days alone.
        let first = began.local_day();
        if first.start() < began {
            began = first.next().start();
        }
        end = end.local_day().start();
    }
    let window = question.window;
    Window::new(window.start().max(began), window.end().min(end))
}

/// Incidents of each day of the question, over the hours that count of it.
fn by_hours(
    at: (&ScanView, Recorded),
    by_day: &Question,
    books: Tallied,
) -> Result<Vec<Day>, QueryError> {
    let found = all_rows(at, by_day, books.counts)?;
    let of_day = |day: LocalDay| {
        let key = day.to_string();
        let place = found.binary_search_by(|figure| figure.keys[0].cmp(&key));
        place.map_or(0, |place| found[place].count)
    };
    let days = by_day.window.days();
    let days = days.filter(|day| by_day.filter.takes_day(*day));
    Ok(days
        .map(|day| Day {
            count: of_day(day),
            exposure: hours_of(by_day, day),
        })
        .collect())
}

/// Hours of a day that count.
fn hours_of(question: &Question, day: LocalDay) -> u64 {
    let wanted = question.filter.hours_of_day;
    let calendar = Calendar::get();
    let takes = |hour: &crate::domain::Hour| {
        question.window.contains(*hour)
            && (wanted == 0 || wanted >> calendar.hour_of_day(day, *hour) & 1 == 1)
    };
    day.window().hours().filter(takes).count() as u64
}

/// One of the periods as it is compared, with how its days scatter.
type Side = (Exposed, Dispersion);

/// Over taps where both periods have a rate of the same feeds, and are alike otherwise; else over
/// time.
fn over(periods: &[Period; 2], is_alike: bool) -> (Over, [Side; 2]) {
    let [first, second] = periods;
    // Whichever of them told more days.
    let names = |period: &Period| -> BTreeSet<FeedId> {
        let feeds = period.feeds.iter();
        feeds.map(|(feed, _)| feed.id.clone()).collect()
    };
    match (over_taps(&first.rate), over_taps(&second.rate)) {
        (Some(one), Some(other)) if is_alike && names(first) == names(second) => {
            (Over::Taps, [one, other])
        }
        _ => (Over::Time, periods.each_ref().map(over_time)),
    }
}

/// `None` if nothing is set against anything in one of the two.
fn ratio(sides: &[Side; 2], level: Level) -> Option<RateRatio> {
    let [(first, scatter), (second, scatters)] = sides;
    Some(RateRatio::new(
        first.rate()?,
        second.rate()?,
        level,
        scatter.or_wider(*scatters),
    ))
}

/// `None` if there is no rate.
fn over_taps(figure: &RateFigure) -> Option<Side> {
    let exposure = match figure.rate {
        Ok(Rate::Reports { .. }) => figure.matching.taps,
        Ok(Rate::Failures { attempts, .. }) => attempts,
        Err(_) => return None,
    };
    let exposed = Exposed {
        events: figure.matching.matched,
        exposure,
    };
    Some((exposed, figure.dispersion))
}

fn over_time(period: &Period) -> Side {
    let exposed = Exposed {
        events: period.days.iter().map(|day| day.count).sum(),
        exposure: period.days.iter().map(|day| day.exposure).sum(),
    };
    (exposed, Dispersion::of_counts(&period.days))
}
