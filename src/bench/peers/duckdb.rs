//! DuckDB by way of its Python module: the same rows in a table of its own, and how long its
//! queries take inside it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::super::children;
use super::super::taps::{LINE_TAPS, STOP_TAPS};
use crate::cli::{Failure, Kind};
use crate::domain::taps::TapGrain;
use crate::domain::{Row, RowTime};
use crate::ledger::Ledger;
use crate::store::{Block, Columns};

const PYTHON: &str = "python3";
/// Asked for on the command line as JSON; answers as JSON.
const SCRIPT: &str = r#"
import duckdb, json, sys, time
ask = json.loads(sys.argv[1])
db = duckdb.connect(ask["file"], config={"threads": ask["threads"]})
db.execute("SET enable_progress_bar = false")
if ask["load"]:
    db.execute(ask["load"])
times = []
for query in ask["timed"]:
    taken = []
    for run in range(ask["runs"] + 1):
        begun = time.perf_counter()
        db.execute(query).fetchall()
        taken.append((time.perf_counter() - begun) * 1000)
    taken = sorted(taken[1:])
    times.append(taken[len(taken) // 2])
checks = [[int(row[0]) for row in db.execute(query).fetchall()] for query in ask["checks"]]
print(json.dumps({"times": times, "checks": checks}))
"#;
/// Runs of a query, after one that does not count.
const RUNS: u32 = 7;

/// A database file.
pub struct DuckDb {
    file: PathBuf,
    threads: usize,
}

/// What is asked of DuckDB.
pub struct Asked {
    /// What is timed.
    pub timed: Vec<String>,
    /// What gives one column of whole numbers to compare.
    pub checks: Vec<String>,
}

/// What DuckDB answered.
pub struct Answered {
    /// Medians, in milliseconds.
    pub times_ms: Vec<f64>,
    /// The numbers of each check.
    pub checks: Vec<Vec<u64>>,
}

impl DuckDb {
    /// A table `incidents` with every row of the ledger's blocks; `None` if DuckDB is not
    /// installed. The file is used again if it is there from an earlier run.
    pub fn of_ledger(ledger: &Ledger, folder: &Path) -> Result<Option<Self>, Failure> {
        let is_there = Command::new(PYTHON).args(["-c", "import duckdb"]).output();
        if !is_there.is_ok_and(|output| output.status.success()) {
            return Ok(None);
        }
        let position = ledger.read().position();
        let file = folder.join(format!("incidents-taps-{position}.duckdb"));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let duckdb = Self { file, threads };
        if !duckdb.file.exists() {
            let aside = folder.join("loading.duckdb");
            let rows = folder.join("rows");
            if aside.exists() {
                fs::remove_file(&aside)?;
            }
            fs::create_dir_all(&rows)?;
            export(ledger, &rows)?;
            export_taps(ledger, &rows)?;
            let loading = Self {
                file: aside,
                threads,
            };
            let asked = Asked {
                timed: Vec::new(),
                checks: Vec::new(),
            };
            loading.call(&load(&rows), &asked)?;
            fs::remove_dir_all(&rows)?;
            fs::rename(&loading.file, &duckdb.file)?;
        }
        Ok(Some(duckdb))
    }

    /// Times and checks queries.
    pub fn ask(&self, asked: &Asked) -> Result<Answered, Failure> {
        self.call("", asked)
    }

    fn call(&self, load: &str, asked: &Asked) -> Result<Answered, Failure> {
        let ask = json!({
            "file": self.file.to_string_lossy(),
            "threads": self.threads,
            "load": load,
            "runs": RUNS,
            "timed": asked.timed,
            "checks": asked.checks,
        });
        let text = children::output(Command::new(PYTHON).args(["-c", SCRIPT, &ask.to_string()]))?;
        answered(&text).ok_or_else(|| Failure::new(Kind::Unexpected, "DuckDB told no times"))
    }
}

fn answered(text: &str) -> Option<Answered> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let times = answer["times"].as_array()?.iter().map(Value::as_f64);
    let numbers = |check: &Value| -> Option<Vec<u64>> {
        check.as_array()?.iter().map(Value::as_u64).collect()
    };
    Some(Answered {
        times_ms: times.collect::<Option<_>>()?,
        checks: answer["checks"]
            .as_array()?
            .iter()
            .map(numbers)
            .collect::<Option<_>>()?,
    })
}

/// Numbers instead of codes, which is what suits DuckDB best.
fn load(rows: &Path) -> String {
    let columns = "{'hour': 'UINTEGER', 'day': 'INTEGER', 'hour_of_day': 'UTINYINT', 'weekday': 'UTINYINT', \
                   'basis': 'UTINYINT', 'operator': 'USMALLINT', 'line': 'UINTEGER', \
                   'stop': 'UINTEGER', 'mode': 'UTINYINT', 'tap_kind': 'UTINYINT', \
                   'card_kind': 'UTINYINT', 'signal': 'UTINYINT'}";
    format!(
        "CREATE TABLE incidents AS SELECT * FROM read_csv('{}/*.csv', header = false, auto_detect = false, delim = ',', \
         columns = {columns}) ORDER BY day; {}",
        rows.display(),
        load_taps(rows)
    )
}

/// Taps by the formula that ours were made with, sorted as incidents are.
fn load_taps(rows: &Path) -> String {
    let rows = rows.display();
    let read = |name: &str, columns: &str| {
        format!(
            "read_csv('{rows}/{name}.taps', header = false, auto_detect = false, delim = ',', columns = {columns})"
        )
    };
    let scopes = "{'operator': 'USMALLINT', 'number': 'UINTEGER'}";
    let hours = "{'hour': 'UINTEGER', 'day': 'INTEGER', 'hour_of_day': 'UTINYINT'}";
    let formula = |[first, second, modulo]: [u32; 3], time: &str| {
        format!("(number::BIGINT * {first} + {time} * {second}) % {modulo}")
    };
    format!(
        "CREATE TABLE taps_lines AS SELECT number AS line, operator, hour, day, hour_of_day,          ({})::UINTEGER AS taps FROM {} CROSS JOIN {} ORDER BY hour, line;          CREATE TABLE taps_stops AS SELECT number AS stop, operator, day,          ({})::UINTEGER AS taps FROM {} CROSS JOIN (SELECT DISTINCT day FROM {})          ORDER BY day, stop;",
        formula(LINE_TAPS, "hour"),
        read("lines", scopes),
        read("hours", hours),
        formula(STOP_TAPS, "day"),
        read("stops", scopes),
        read("hours", hours),
    )
}

/// Which lines and stops have taps, and of which hours.
fn export_taps(ledger: &Ledger, folder: &Path) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::unexpected("taps cannot be read", error);
    let (view, ()) = ledger.tap_view(|_| ()).map_err(|error| failed(&error))?;
    let open = |name: &str| fs::File::create(folder.join(name)).map(BufWriter::new);
    let (mut lines, mut stops) = (open("lines.taps")?, open("stops.taps")?);
    let mut days = BTreeSet::new();
    for book in view.book.feeds() {
        let operator = view
            .dictionary
            .operator_number(book.feed().operator.as_str());
        let operator = operator.unwrap_or(0);
        days.extend(book.days().keys().copied());
        for (line, stop) in book.scopes() {
            match book.feed().grain {
                TapGrain::Line => writeln!(lines, "{operator},{line}")?,
                _ => writeln!(stops, "{operator},{stop}")?,
            }
        }
    }
    let mut hours = open("hours.taps")?;
    for day in days {
        for hour in day.window().hours() {
            writeln!(hours, "{},{},{}", hour.0, day.0, hour.hour_of_day())?;
        }
    }
    lines.flush()?;
    stops.flush()?;
    hours.flush()?;
    Ok(())
}

/// One of several files of rows, and the first error in writing it.
struct Sink {
    file: BufWriter<fs::File>,
    failed: Option<std::io::Error>,
}

impl Sink {
    fn put(&mut self, row: &Row) {
        if self.failed.is_none() {
            self.failed = put(&mut self.file, row).err();
        }
    }
}

/// Writes every row that a scan would see into files, one for each thread.
fn export(ledger: &Ledger, folder: &Path) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::unexpected("rows cannot be read", error);
    ledger.flush_blocks().map_err(|error| failed(&error))?;
    let view = ledger.scan_view().map_err(|error| failed(&error))?;
    let files = AtomicU32::new(0);
    let open = || -> std::io::Result<Sink> {
        let number = files.fetch_add(1, Ordering::Relaxed);
        let file = fs::File::create(folder.join(format!("{number}.csv")))?;
        Ok(Sink {
            file: BufWriter::new(file),
            failed: None,
        })
    };
    let each = |sink: &mut std::io::Result<Sink>, _number: u32, block: &Block| {
        if let Ok(sink) = sink {
            block.rows().for_each(|row| sink.put(&row));
        }
    };
    let mut sinks = view
        .store
        .scan(view.stored.clone(), Columns::all(), |_| true, open, each)
        .map_err(|error| failed(&error))?;
    let mut last = open()?;
    for (number, bytes) in &view.pending {
        let block = Block::unpack(*number, bytes).map_err(|error| failed(&error))?;
        block.rows().for_each(|row| last.put(&row));
    }
    view.open.iter().for_each(|row| last.put(row));
    sinks.push(Ok(last));
    for sink in sinks {
        let mut sink = sink?;
        if let Some(error) = sink.failed {
            return Err(error.into());
        }
        sink.file.flush()?;
    }
    Ok(())
}

fn put(out: &mut impl Write, row: &Row) -> std::io::Result<()> {
    let day = row.time.day();
    if let RowTime::Hour(hour) = row.time {
        write!(out, "{}", hour.0)?;
    }
    write!(out, ",{},", day.0)?;
    if let RowTime::Hour(hour) = row.time {
        write!(out, "{}", hour.hour_of_day())?;
    }
    writeln!(
        out,
        ",{},{},{},{},{},{},{},{},{}",
        day.weekday(),
        row.basis as u8,
        row.operator,
        row.line,
        row.stop,
        row.mode,
        row.tap_kind,
        row.card_kind,
        row.signal
    )
}
