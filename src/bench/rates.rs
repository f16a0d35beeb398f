//! The second part of `mistap bench query`: the same questions with rates and intervals, over
//! the taps of a whole country. DuckDB joins the same incidents with the same taps.

use super::Plan;
use super::contest::{self, Better, Contest};
use super::durable::missing;
use super::peers::duckdb::{Asked, DuckDb};
use super::query::{CHECKED_ROWS, FEW_TARGET, WEEK_DAYS, YEAR_DAYS, median_of, page, question};
use crate::cli::{Failure, Kind};
use crate::domain::question::Filter;
use crate::domain::{Basis, Dimension, LocalDay, Question};
use crate::ledger::Ledger;
use crate::query::rates::{RatedAnswer, answer_with_rates_by_scan};
use crate::query::{Effort, Order, Page, QueryError, RatesWanted, answer_with_rates};
use crate::stats::interval::Level;
use crate::stats::rate::Estimator;

/// Tables of taps, with the column of their scopes and the interval.
const LINE_TAPS: (&str, &str, &str) = ("taps_lines", "line", "hour");
const STOP_TAPS: (&str, &str, &str) = ("taps_stops", "stop", "day");
/// Operators of the question that only a scan answers.
const OPERATORS: [&str; 3] = ["OP00", "OP01", "OP02"];

/// A question in both languages.
struct Named {
    name: &'static str,
    question: Question,
    page: Page,
    by_scan: bool,
    /// Gives columns `reports`, `matched` and `taps`, a row for each of ours.
    sql: String,
    /// Gives one number each: all matched reports, and all taps.
    totals: [String; 2],
    target: f64,
}

/// Asks, compares every number with DuckDB's, and measures.
pub fn compare(
    plan: &Plan,
    (many, few): (&Ledger, &Ledger),
    duckdb: Option<&DuckDb>,
    today: LocalDay,
) -> Result<(), Failure> {
    contest::say("\nthe same with rates and intervals, over taps of every line and stop")?;
    let named = questions(plan, many, today)?;
    for one in &named {
        // What is read of taps once is kept, by both.
        let answer = ask(one, many)?;
        ask(one, few)?;
        // Where operators share stops, tallies cannot tell whose taps a report is set against.
        if let Effort::Scan { blocks } = answer.answer.effort {
            contest::say(&format!("{}: {blocks} blocks scanned", one.name))?;
        }
    }
    if let Some(duckdb) = duckdb {
        // A tiny record may have no report where there are taps.
        check(&named, many, duckdb, plan.with_targets)?;
    }
    let mut contests = Vec::new();
    for one in &named {
        let mut contest =
            Contest::new(one.name, "milliseconds", Better::Less).with_targets(plan.with_targets);
        let ours = contest.enter("mistap", None);
        let few_target = (!one.by_scan).then_some(FEW_TARGET);
        let small = contest.enter("mistap, the small record", few_target);
        let peer = contest.enter("DuckDB", Some(one.target));
        contests.push((contest, ours, small, peer));
    }
    let timed = |one: &Named| match one.page.order {
        Order::Count => format!("{} ORDER BY reports DESC LIMIT {}", one.sql, one.page.rows),
        Order::Key => format!(
            "SELECT count(*), sum(reports), sum(matched), sum(taps) FROM ({})",
            one.sql
        ),
    };
    let asked = Asked {
        timed: named.iter().map(timed).collect(),
        checks: Vec::new(),
    };
    for _ in 0..plan.rounds {
        for (one, (contest, ours, small, _)) in named.iter().zip(&mut contests) {
            let median = |ledger| median_of(plan.span, one.name, || answer(one, ledger).map(Some));
            contest.note(*ours, median(many)?);
            contest.note(*small, median(few)?);
        }
        let answered = duckdb.map(|duckdb| duckdb.ask(&asked)).transpose()?;
        for (place, (contest, _, _, peer)) in contests.iter_mut().enumerate() {
            match &answered {
                Some(answered) => contest.note(*peer, answered.times_ms[place]),
                None => contest.skip(*peer, missing(plan)),
            }
        }
    }
    for (contest, ..) in &contests {
        contest.print()?;
    }
    Ok(())
}

fn answer(named: &Named, ledger: &Ledger) -> Result<RatedAnswer, QueryError> {
    let wanted = RatesWanted {
        feeds: Vec::new(),
        estimator: Estimator::Standard,
        level: Level::P95,
    };
    if named.by_scan {
        return answer_with_rates_by_scan(ledger, &named.question, &named.page, &wanted);
    }
    answer_with_rates(ledger, &named.question, &named.page, &wanted)
}

fn ask(named: &Named, ledger: &Ledger) -> Result<RatedAnswer, Failure> {
    let answer = answer(named, ledger);
    answer.map_err(|error| Failure::unexpected("a question was not answered", &error))
}

/// Matched reports and taps in all have to be those of DuckDB, and so have those of each row
/// where all rows are on the page.
fn check(
    named: &[Named],
    ledger: &Ledger,
    duckdb: &DuckDb,
    must_match: bool,
) -> Result<(), Failure> {
    let checks = named.iter().flat_map(|named| {
        let [matched, taps] = named.totals.clone();
        let largest = |column: &str| {
            let sql = &named.sql;
            format!("SELECT {column} FROM ({sql}) ORDER BY {column} DESC LIMIT {CHECKED_ROWS}")
        };
        [matched, taps, largest("matched"), largest("taps")]
    });
    let asked = Asked {
        timed: Vec::new(),
        checks: checks.collect(),
    };
    let answered = duckdb.ask(&asked)?;
    for (named, theirs) in named.iter().zip(answered.checks.chunks(4)) {
        let ours = ask(named, ledger)?;
        let total = &ours.total.matching;
        let column = |of: fn(&RatedAnswer, usize) -> u64| {
            let all = (0..ours.rates.len()).map(|row| of(&ours, row));
            // Theirs has no rows without taps.
            let mut all: Vec<u64> = all.filter(|number| 0 < *number).collect();
            all.sort_unstable_by(|one, other| other.cmp(one));
            all
        };
        let is_whole = ours.answer.next.is_none() && named.page.order == Order::Key;
        let is_same = vec![total.matched] == theirs[0]
            && vec![total.taps] == theirs[1]
            && (!is_whole
                || column(|ours, row| ours.rates[row].matching.matched) == positive(&theirs[2])
                    && column(|ours, row| ours.rates[row].matching.taps) == positive(&theirs[3]));
        if !is_same || (must_match && total.matched == 0) {
            let text = format!(
                "DuckDB counts otherwise: {}: matched {} of ours and {:?}, taps {} and {:?}",
                named.name, total.matched, theirs[0], total.taps, theirs[1]
            );
            return Err(Failure::new(Kind::Damage, text));
        }
    }
    contest::say("every number of rates compared equals DuckDB's")
}

fn positive(numbers: &[u64]) -> Vec<u64> {
    let numbers = numbers.iter().copied();
    numbers.filter(|number| 0 < *number).collect()
}

fn questions(plan: &Plan, ledger: &Ledger, today: LocalDay) -> Result<Vec<Named>, Failure> {
    let mut all = tallied(plan, today)?;
    all.push(scanned(plan, ledger, today)?);
    Ok(all)
}

/// Those that tallies answer.
fn tallied(plan: &Plan, today: LocalDay) -> Result<Vec<Named>, Failure> {
    use Dimension::{Day, HourOfDay, Line, Signal, Stop};
    let all = || Filter::all(Basis::SelfReported);
    let year = YEAR_DAYS.min(plan.tap_days);
    Ok(vec![
        Named {
            name: "by line and day, over a year, with rates",
            question: question(all(), &[Line, Day], today, year)?,
            page: page(Order::Key, 1_000),
            by_scan: false,
            sql: joined(
                "line, day",
                "line, day",
                LINE_TAPS,
                "line <> 0",
                today,
                year,
            ),
            totals: totals(LINE_TAPS, "true", today, year),
            target: 10.0,
        },
        Named {
            name: "top 20 stops in a week, with rates",
            question: question(all(), &[Stop], today, WEEK_DAYS)?,
            page: page(Order::Count, 20),
            by_scan: false,
            sql: joined("stop", "stop", STOP_TAPS, "stop <> 0", today, WEEK_DAYS),
            totals: totals(STOP_TAPS, "true", today, WEEK_DAYS),
            target: 2.0,
        },
        Named {
            name: "signal by hour of day, over 18 months, with rates",
            question: question(all(), &[Signal, HourOfDay], today, plan.tap_days)?,
            page: page(Order::Key, 1_000),
            by_scan: false,
            sql: joined(
                "signal, hour_of_day",
                "hour_of_day",
                LINE_TAPS,
                "signal <> 0 AND i.hour IS NOT NULL",
                today,
                plan.tap_days,
            ),
            totals: totals(LINE_TAPS, "true", today, plan.tap_days),
            target: 10.0,
        },
    ])
}

/// One that needs a scan of blocks.
fn scanned(plan: &Plan, ledger: &Ledger, today: LocalDay) -> Result<Named, Failure> {
    let mut filter = Filter::all(Basis::SelfReported);
    let operators = OPERATORS.iter().map(|code| code.parse());
    filter.operators = operators
        .collect::<Result<_, _>>()
        .map_err(|_| Failure::new(Kind::Unexpected, "an operator of the bench is none"))?;
    let numbers: Vec<String> = OPERATORS
        .iter()
        .filter_map(|code| ledger.read().dictionary().operator_number(code))
        .map(|number| number.to_string())
        .collect();
    let of_some = format!("operator IN ({})", numbers.join(", "));
    let by = [Dimension::Signal, Dimension::Line];
    Ok(Named {
        name: "signal by line, of three operators, over 18 months, with rates (block scan)",
        question: question(filter, &by, today, plan.tap_days)?,
        page: page(Order::Key, 1_000),
        by_scan: true,
        sql: joined(
            "signal, line",
            "line",
            LINE_TAPS,
            &format!("signal <> 0 AND line <> 0 AND i.{of_some}"),
            today,
            plan.tap_days,
        ),
        totals: {
            let of_reports = format!("i.{of_some}");
            let [matched, taps] = totals(LINE_TAPS, &of_reports, today, plan.tap_days);
            [matched, format!("{taps} AND {of_some}")]
        },
        target: 0.1,
    })
}

fn within(table: &str, today: LocalDay, days: i32) -> String {
    let (first, end) = (today.0 - days, today.0);
    format!("{table}day >= {first} AND {table}day < {end}")
}

/// Reports with the taps of their scope and interval: incidents `i`, left joined with taps.
fn matching((taps, scope, time): (&str, &str, &str), filter: &str) -> String {
    format!(
        "FROM incidents i LEFT JOIN {taps} t ON i.{scope} = t.{scope} AND i.{time} = t.{time} \
         AND i.operator = t.operator AND i.tap_kind BETWEEN 1 AND 3 \
         WHERE i.basis = 0 AND i.tap_kind <> 4 AND {filter}"
    )
}

fn joined(
    keys: &str,
    taps_by: &str,
    told: (&str, &str, &str),
    filter: &str,
    today: LocalDay,
    days: i32,
) -> String {
    let of_reports = |keys: &str| {
        let keys: Vec<String> = keys.split(", ").map(|key| format!("i.{key}")).collect();
        keys.join(", ")
    };
    let matching = matching(told, &qualified(filter));
    format!(
        "WITH n AS (SELECT {}, count(*) AS reports, count(t.taps) AS matched {matching} \
         AND {} GROUP BY ALL), \
         d AS (SELECT {taps_by}, sum(taps)::BIGINT AS taps FROM {} WHERE {} GROUP BY ALL) \
         SELECT {keys}, reports, matched, taps FROM n JOIN d USING ({taps_by})",
        of_reports(keys),
        within("i.", today, days),
        told.0,
        within("", today, days),
    )
}

/// The columns of a filter that stand in both tables are those of the incidents.
fn qualified(filter: &str) -> String {
    let qualify = |part: &str| {
        if part.starts_with("i.") || part == "true" {
            part.to_owned()
        } else {
            format!("i.{part}")
        }
    };
    let parts: Vec<String> = filter.split(" AND ").map(qualify).collect();
    parts.join(" AND ")
}

/// All matched reports of the question, and all taps.
fn totals(told: (&str, &str, &str), filter: &str, today: LocalDay, days: i32) -> [String; 2] {
    let matching = matching(told, filter);
    [
        format!(
            "SELECT count(t.taps) {matching} AND {}",
            within("i.", today, days)
        ),
        format!(
            "SELECT coalesce(sum(taps), 0)::BIGINT FROM {} WHERE {}",
            told.0,
            within("", today, days)
        ),
    ]
}
