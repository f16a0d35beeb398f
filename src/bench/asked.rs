//! The third part of `mistap bench query`: what is asked less often, and has no peer. What staff
//! did is read from the journal, report by report; two periods are compared by tallies.

use std::time::Duration;

use super::Plan;
use super::contest::{self, Better, Contest};
use super::query::{YEAR_DAYS, median_of, question};
use super::world::HISTORY_DAYS;
use crate::cli::{Failure, Kind};
use crate::domain::question::Filter;
use crate::domain::{Basis, LocalDay, Question, Window};
use crate::ingest::Running;
use crate::query::rates::{CompareWanted, compare};
use crate::query::staff::staff_figures;
use crate::query::{QueryError, RatesWanted};
use crate::stats::interval::Level;
use crate::stats::rate::Estimator;

const MONTH_DAYS: i32 = 30;

/// Asks of either record, and prints how long it took.
pub fn measure(
    plan: &Plan,
    (many, few): (&Running, &Running),
    today: LocalDay,
) -> Result<(), Failure> {
    contest::say("\nwhat is asked less often")?;
    let history = i32::try_from(HISTORY_DAYS).unwrap_or(i32::MAX);
    let half_year = YEAR_DAYS.min(plan.tap_days) / 2;
    for (name, days) in [
        ("what staff did, over two years", history),
        ("what staff did, in a month", MONTH_DAYS),
    ] {
        let asked = question(Filter::all(Basis::SelfReported), &[], today, days)?;
        run(plan, name, (many, few), |record| staff(record, &asked))?;
    }
    for (name, days) in [
        ("half a year compared with the one before", half_year),
        (
            "a month compared with the one before",
            MONTH_DAYS.min(half_year),
        ),
    ] {
        let wanted = compared(today, days)?;
        // All hours of both count.
        let began = wanted.windows.iter().map(|window| window.start().start());
        let began = began.min();
        run(plan, name, (many, few), |record| {
            compare(&*record.ledger, began, &wanted).map(drop)
        })?;
    }
    Ok(())
}

fn run(
    plan: &Plan,
    name: &str,
    (many, few): (&Running, &Running),
    ask: impl Fn(&Running) -> Result<(), QueryError>,
) -> Result<(), Failure> {
    let mut contest = Contest::new(name, "milliseconds", Better::Less);
    let ours = contest.enter("mistap", None);
    let small = contest.enter("mistap, the small record", None);
    // What is read of taps once is kept.
    for record in [many, few] {
        median_of(Duration::ZERO, name, || ask(record).map(Some))?;
    }
    for _ in 0..plan.rounds {
        contest.note(ours, median_of(plan.span, name, || ask(many).map(Some))?);
        contest.note(small, median_of(plan.span, name, || ask(few).map(Some))?);
    }
    contest.print()
}

fn staff(record: &Running, asked: &Question) -> Result<(), QueryError> {
    let reader = &record.reader;
    let told = |positions| reader.told_of_staff(positions);
    staff_figures(&record.ledger, told, asked, None).map(drop)
}

/// So many days before today, compared with as many before them.
fn compared(today: LocalDay, days: i32) -> Result<CompareWanted, Failure> {
    let window = |end: LocalDay| {
        let window = Window::new(LocalDay(end.0 - days).start(), end.start());
        window.ok_or_else(|| Failure::new(Kind::Unexpected, "a window of the bench is none"))
    };
    Ok(CompareWanted {
        filter: Filter::all(Basis::SelfReported),
        windows: [window(today)?, window(LocalDay(today.0 - days))?],
        rates: RatesWanted {
            feeds: Vec::new(),
            estimator: Estimator::Standard,
            level: Level::P95,
        },
        leaves_out_outages: false,
    })
}
