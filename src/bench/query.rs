//! `mistap bench query`: exact figures over many incidents, measured in the query, against the
//! same rows in DuckDB, whose counts have to be ours; and against a small record, because a
//! question that tallies answer must not cost more the more there is.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::contest::{self, Better, Bound, Contest};
use super::durable::missing;
use super::peers::duckdb::{Asked, DuckDb};
use super::world;
use super::{Plan, asked, rates};
use crate::cli::{Failure, Kind};
use crate::domain::question::{Breakdown, Filter};
use crate::domain::taxonomy::{Mode, SetOf, Taxonomy};
use crate::domain::{Basis, Dimension, LocalDay, Question, Window};
use crate::ingest::{self, ClockCheck, Options, Running};
use crate::ledger::Ledger;
use crate::query::{self, Order, Page, QueryError};

pub(super) const YEAR_DAYS: i32 = 365;
pub(super) const WEEK_DAYS: i32 = 7;
const RUNS_MIN: usize = 7;
const RUNS_MAX: usize = 1_000;
/// Rows whose counts are compared with DuckDB's.
pub(super) const CHECKED_ROWS: usize = 1_000;
const STOP_WAIT: Duration = Duration::from_secs(120);
const MIB: f64 = 1_048_576.0;

/// The least ratio of a small record to a large one that is aimed at: the large one costs at
/// most 1.2 times as much.
pub(super) const FEW_TARGET: f64 = 1.0 / 1.2;

/// A question in both languages.
struct Named {
    name: &'static str,
    question: Question,
    page: Page,
    by_scan: bool,
    /// Gives a column `n` of counts.
    sql: String,
    target: f64,
}

/// Runs it.
pub async fn run(plan: &Plan) -> Result<(), Failure> {
    let now = (plan.now)();
    let many = world::record(&plan.dir, plan.size, plan.incidents, now).await?;
    let few = world::record(&plan.dir, plan.size, plan.few_incidents, now).await?;
    super::taps::tell(&many, plan.size, plan.tap_days).await?;
    super::taps::tell(&few, plan.size, plan.tap_days).await?;
    // Everything below blocks, and nothing else runs.
    tokio::task::block_in_place(|| compare(plan, &many, &few))
}

fn compare(plan: &Plan, many: &Path, few: &Path) -> Result<(), Failure> {
    let folder = many.parent().map(PathBuf::from).unwrap_or_default();
    let many = open(plan, many)?;
    let few = open(plan, few)?;
    let duckdb = if plan.with_peers {
        DuckDb::of_ledger(&many.ledger, &folder)?
    } else {
        None
    };
    let (incidents, fewer) = (
        many.ledger.read().incidents(),
        few.ledger.read().incidents(),
    );
    contest::say(&format!(
        "\nfigures over {incidents} incidents, measured in the query"
    ))?;
    // A kept record may end before now, and the small one before the large.
    let today = day_after(&many.ledger)?.min(day_after(&few.ledger)?);
    let named = questions(today)?;
    if let Some(duckdb) = &duckdb {
        check(&named, &many.ledger, duckdb)?;
    }
    let mut contests = Vec::new();
    for one in &named {
        let mut contest =
            Contest::new(one.name, "milliseconds", Better::Less).with_targets(plan.with_targets);
        let ours = contest.enter("mistap", None);
        let few_target = (!one.by_scan).then_some(FEW_TARGET);
        let small = contest.enter(format!("mistap, {fewer} incidents"), few_target);
        let peer = contest.enter("DuckDB", Some(one.target));
        contests.push((contest, ours, small, peer));
    }
    let asked = Asked {
        timed: named.iter().map(timed_sql).collect(),
        checks: Vec::new(),
    };
    for _ in 0..plan.rounds {
        for (one, (contest, ours, small, _)) in named.iter().zip(&mut contests) {
            contest.note(*ours, median_ms(one, &many.ledger, plan.span)?);
            contest.note(*small, median_ms(one, &few.ledger, plan.span)?);
        }
        let answered = duckdb
            .as_ref()
            .map(|duckdb| duckdb.ask(&asked))
            .transpose()?;
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
    rates::compare(plan, (&many.ledger, &few.ledger), duckdb.as_ref(), today)?;
    asked::measure(plan, (&many, &few), today)?;
    print_memory(&many.ledger)?;
    close(many)?;
    close(few)
}

fn open(plan: &Plan, data: &Path) -> Result<Running, Failure> {
    let network = world::network(plan.size)?;
    let clock = Arc::clone(&plan.now);
    // A kept record may be of long ago.
    let options = Options {
        clock_check: ClockCheck::AfterStart,
        ..Options::default()
    };
    let running = ingest::start_with(data, network, move || clock(), options);
    let running =
        running.map_err(|error| Failure::unexpected("the record cannot be opened", &error))?;
    running.wait_for_store();
    Ok(running)
}

/// The day after a record's last with reports: a history may end days before the clock goes on.
fn day_after(ledger: &Ledger) -> Result<LocalDay, Failure> {
    let stamp = ledger.read().stamp();
    let today = stamp.hour().map(|hour| hour.local_day());
    let today = today.ok_or_else(|| Failure::new(Kind::Refused, "the clock is out of range"))?;
    let all = Filter::all(Basis::SelfReported);
    let days = question(all, &[Dimension::Day], today, YEAR_DAYS)?;
    let answer = query::answer(ledger, &days, &page(Order::Key, CHECKED_ROWS))
        .map_err(|error| Failure::unexpected("a question was not answered", &error))?;
    let last = answer.figures.last().map(|figure| figure.keys.concat());
    let last = last.and_then(|day| LocalDay::parse(&day));
    Ok(last.map_or(today, LocalDay::next))
}

fn close(running: Running) -> Result<(), Failure> {
    let stopped = running.stop(STOP_WAIT);
    stopped.map_err(|error| Failure::unexpected("the record cannot be closed", &error))
}

/// The three questions that have targets, and one that only a scan answers, about the days
/// before the end of the record.
fn questions(today: LocalDay) -> Result<Vec<Named>, Failure> {
    let history = i32::try_from(world::HISTORY_DAYS).unwrap_or(i32::MAX);
    let mut trams = Filter::all(Basis::SelfReported);
    trams.modes = SetOf::from_iter([Mode::Tram]);
    let tram = Mode::Tram.number();
    let all = || Filter::all(Basis::SelfReported);
    use Dimension::{CardKind, Day, HourOfDay, Line, Signal, Stop, Weekday};
    let by_signal_and_hour = "signal <> 0 AND hour_of_day IS NOT NULL";
    let of_trams = format!("mode = {tram} AND signal <> 0 AND card_kind <> 0");
    Ok(vec![
        Named {
            name: "by line and day, over a year",
            question: question(all(), &[Line, Day], today, YEAR_DAYS)?,
            page: page(Order::Key, 1_000),
            by_scan: false,
            sql: sql("line, day", "line <> 0", today, YEAR_DAYS),
            target: 10.0,
        },
        Named {
            name: "top 20 stops in a week",
            question: question(all(), &[Stop], today, WEEK_DAYS)?,
            page: page(Order::Count, 20),
            by_scan: false,
            sql: sql("stop", "stop <> 0", today, WEEK_DAYS),
            target: 2.0,
        },
        Named {
            name: "signal by hour of day, over two years",
            question: question(all(), &[Signal, HourOfDay], today, history)?,
            page: page(Order::Key, 1_000),
            by_scan: false,
            sql: sql("signal, hour_of_day", by_signal_and_hour, today, history),
            target: 10.0,
        },
        Named {
            name: "signal by card kind and weekday, trams only, over two years (block scan)",
            question: question(trams, &[Signal, CardKind, Weekday], today, history)?,
            page: page(Order::Key, 1_000),
            by_scan: true,
            sql: sql("signal, card_kind, weekday", &of_trams, today, history),
            target: 0.1,
        },
    ])
}

pub(super) fn page(order: Order, rows: usize) -> Page {
    Page {
        rows,
        order,
        after: None,
    }
}

/// The days before today.
pub(super) fn question(
    filter: Filter,
    by: &[Dimension],
    today: LocalDay,
    days: i32,
) -> Result<Question, Failure> {
    let wrong = || Failure::new(Kind::Unexpected, "a question of the bench is none");
    let first = LocalDay(today.0 - days);
    Ok(Question {
        filter,
        by: Breakdown::new(by.to_vec()).ok_or_else(wrong)?,
        window: Window::new(first.start(), today.start()).ok_or_else(wrong)?,
    })
}

fn sql(by: &str, filter: &str, today: LocalDay, days: i32) -> String {
    format!(
        "SELECT {by}, count(*) AS n FROM incidents WHERE basis = 0 AND {filter} \
         AND {} <= day AND day < {} GROUP BY ALL",
        today.0 - days,
        today.0
    )
}

/// What DuckDB is timed with: it need not hand over more rows than a page of ours.
fn timed_sql(named: &Named) -> String {
    match named.page.order {
        Order::Count => format!("{} ORDER BY n DESC LIMIT {}", named.sql, named.page.rows),
        Order::Key => format!("SELECT count(*), sum(n), max(n) FROM ({})", named.sql),
    }
}

/// The largest counts and their sum have to be those of DuckDB.
fn check(named: &[Named], ledger: &Ledger, duckdb: &DuckDb) -> Result<(), Failure> {
    let checks = named.iter().flat_map(|named| {
        let sql = &named.sql;
        let largest = format!("SELECT n FROM ({sql}) ORDER BY n DESC LIMIT {CHECKED_ROWS}");
        [
            largest,
            format!("SELECT coalesce(sum(n), 0)::BIGINT FROM ({sql})"),
        ]
    });
    let asked = Asked {
        timed: Vec::new(),
        checks: checks.collect(),
    };
    let answered = duckdb.ask(&asked)?;
    for (named, theirs) in named.iter().zip(answered.checks.chunks(2)) {
        let page = page(Order::Count, CHECKED_ROWS);
        let ours = query::answer(ledger, &named.question, &page)
            .map_err(|error| Failure::unexpected("a question was not answered", &error))?;
        let largest: Vec<u64> = ours.figures.iter().map(|figure| figure.count).collect();
        if largest.is_empty()
            || largest != theirs[0]
            || vec![ours.total - ours.left_out] != theirs[1]
        {
            let text = format!("DuckDB counts otherwise: {}", named.name);
            return Err(Failure::new(Kind::Damage, text));
        }
    }
    contest::say("every count compared equals DuckDB's")
}

/// The median of as many runs as the time allows.
fn median_ms(named: &Named, ledger: &Ledger, span: Duration) -> Result<f64, Failure> {
    median_of(span, named.name, || {
        if named.by_scan {
            query::answer_by_scan(ledger, &named.question, &named.page).map(Some)
        } else {
            query::answer_by_tallies(ledger, &named.question, &named.page)
        }
    })
}

/// The same of any question; `None` is an answer that tallies do not give.
pub(super) fn median_of<T>(
    span: Duration,
    name: &str,
    ask: impl Fn() -> Result<Option<T>, QueryError>,
) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < RUNS_MIN || (times.len() < RUNS_MAX && begun.elapsed() < span / 4) {
        let asked = Instant::now();
        let answer =
            ask().map_err(|error| Failure::unexpected("a question was not answered", &error))?;
        let answer = black_box(answer);
        times.push(asked.elapsed().as_secs_f64() * 1_000.0);
        if answer.is_none() {
            let text = format!("tallies do not answer: {name}");
            return Err(Failure::new(Kind::Unexpected, text));
        }
    }
    Ok(contest::median(&times).unwrap_or(0.0))
}

/// What the ledger holds in memory, by part.
fn print_memory(ledger: &Arc<Ledger>) -> Result<(), Failure> {
    let mut parts = ledger.read().memory();
    parts.push(("days of tap counts, read", ledger.heads_bytes()));
    let sum: usize = parts.iter().map(|(_, bytes)| bytes).sum();
    let all = parts.into_iter().chain([("all of it", sum)]);
    let bounds: Vec<Bound> = all
        .map(|(name, bytes)| {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let bytes = bytes as f64;
            Bound {
                name: name.to_owned(),
                value: bytes / MIB,
                most: None,
            }
        })
        .collect();
    contest::print_bounds("what the ledger holds in memory", "MiB", &bounds, false)
}
