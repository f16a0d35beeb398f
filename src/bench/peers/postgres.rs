//! PostgreSQL with its own settings, those for durability included, reached over a socket in its folder. It
//! refuses to run as root, so root starts it as the user `postgres`.

use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngCore;
use tempfile::TempDir;

use super::super::children::{self, Process};
use super::super::durable::{check_count, rate};
use super::super::load::seeded;
use crate::api::pb::v1 as pb;
use crate::cli::{Failure, Kind};
use crate::domain::UtcMillis;

const FOLDER: &str = "/usr/lib/postgresql";
const USER: &str = "postgres";
/// Of the usual port.
const SOCKET: &str = ".s.PGSQL.5432";
const CLIENTS: &str = "64";
const THREADS: &str = "2";
const STOP_WAIT: Duration = Duration::from_secs(20);
const READY_LOOKS: u32 = 200;
const READY_PAUSE: Duration = Duration::from_millis(50);

/// The roll-ups of a statement are put in their order, so that two at once never wait for each other
/// in a circle. What a report has, in four tables: counted by line and hour one by one; counted for the
/// three questions of `bench query`, one by one and a statement at a time; not counted.
const SCHEMA: &str = "
CREATE TABLE incidents (
  id uuid PRIMARY KEY, secret bytea, at timestamptz NOT NULL, precision smallint,
  mode smallint, tap_kind smallint, operator text, line text, stop text, vehicle text,
  reader_kind smallint, signal smallint, attempts smallint, others smallint, later smallint,
  causes text, card_kind smallint, installation text, staff smallint, acts text,
  minutes smallint, outcomes text, cost smallint);
CREATE TABLE asked (LIKE incidents INCLUDING ALL);
CREATE TABLE bulk (LIKE incidents INCLUDING ALL);
CREATE TABLE bulk_asked (LIKE incidents INCLUDING ALL);
CREATE TABLE line_hours (
  line text, hour timestamptz, n bigint NOT NULL, PRIMARY KEY (line, hour));
CREATE TABLE line_days (line text, day date, n bigint NOT NULL, PRIMARY KEY (line, day));
CREATE TABLE stop_days (stop text, day date, n bigint NOT NULL, PRIMARY KEY (stop, day));
CREATE TABLE signal_hours (
  signal smallint, hour timestamptz, n bigint NOT NULL, PRIMARY KEY (signal, hour));
CREATE FUNCTION count_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO line_hours VALUES (NEW.line, date_trunc('hour', NEW.at), 1)
  ON CONFLICT (line, hour) DO UPDATE SET n = line_hours.n + 1;
  RETURN NULL;
END $$;
CREATE FUNCTION count_one() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO line_days VALUES (NEW.line, (NEW.at AT TIME ZONE 'Europe/Amsterdam')::date, 1)
  ON CONFLICT (line, day) DO UPDATE SET n = line_days.n + 1;
  INSERT INTO stop_days VALUES (NEW.stop, (NEW.at AT TIME ZONE 'Europe/Amsterdam')::date, 1)
  ON CONFLICT (stop, day) DO UPDATE SET n = stop_days.n + 1;
  INSERT INTO signal_hours VALUES (NEW.signal, date_trunc('hour', NEW.at), 1)
  ON CONFLICT (signal, hour) DO UPDATE SET n = signal_hours.n + 1;
  RETURN NULL;
END $$;
CREATE FUNCTION count_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO line_days
  SELECT coalesce(line, ''), (at AT TIME ZONE 'Europe/Amsterdam')::date AS day, count(*) FROM new GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (line, day) DO UPDATE SET n = line_days.n + excluded.n;
  INSERT INTO stop_days
  SELECT coalesce(stop, ''), (at AT TIME ZONE 'Europe/Amsterdam')::date AS day, count(*) FROM new GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (stop, day) DO UPDATE SET n = stop_days.n + excluded.n;
  INSERT INTO signal_hours
  SELECT coalesce(signal, 0), date_trunc('hour', at) AS hour, count(*) FROM new GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (signal, hour) DO UPDATE SET n = signal_hours.n + excluded.n;
  RETURN NULL;
END $$;
CREATE TRIGGER counted AFTER INSERT ON incidents FOR EACH ROW EXECUTE FUNCTION count_line();
CREATE TRIGGER counted AFTER INSERT ON asked FOR EACH ROW EXECUTE FUNCTION count_one();
CREATE TRIGGER counted AFTER INSERT ON bulk_asked
  REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION count_all();
";

/// One report, as pgbench sends it, into `TABLE`.
const INSERT: &str = "
\\set line random(1, 3400)
\\set stop random(1, 45000)
\\set hours random(0, 47)
\\set signal random(1, 8)
INSERT INTO TABLE VALUES (
  gen_random_uuid(), '\\x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
  now() - make_interval(hours => :hours::int), 1, 2, 1, 'OP01', 'line-' || :line::text,
  'stop-' || :stop::text, '1234', 1, :signal::smallint, 2, 1, 1, '1:2', 3, 'simulated-installation-000001',
  1, '1,2', 2, '5', 1);
";

/// What PostgreSQL counts of the reports that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollUp {
    /// Nothing.
    None,
    /// By line and hour.
    LineHours,
    /// What the three questions of `bench query` need: by line and day, by stop and day, by
    /// signal and hour. Less than mistap counts.
    Questions,
}

/// A running server.
pub struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    user: Option<User>,
    process: Process,
}

/// Whom to be.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Starts one; `None` if it is not installed.
    pub fn start() -> Result<Option<Self>, Failure> {
        let (Some(programs), Some(user)) = (programs(), user()) else {
            return Ok(None);
        };
        let folder = children::throw_away("mistap-bench-postgres-")?;
        if let Some(user) = user {
            chown(folder.path(), Some(user.uid), Some(user.gid))?;
        }
        let data = folder.path().join("data");
        let mut initdb = as_user(&programs.join("initdb"), user);
        initdb
            .args(["-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data);
        children::output(&mut initdb)?;
        let mut server = as_user(&programs.join("postgres"), user);
        server
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::spawn(&mut server)?;
        let postgres = Self {
            programs,
            folder,
            user,
            process,
        };
        postgres.wait_until_ready()?;
        postgres.sql(SCHEMA)?;
        Ok(Some(postgres))
    }

    /// Where it can be reached.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Inserts a second, each a transaction of its own.
    pub fn inserts(&mut self, roll_up: RollUp, span: Duration) -> Result<f64, Failure> {
        let table = match roll_up {
            RollUp::None => "bulk",
            RollUp::LineHours => "incidents",
            RollUp::Questions => "asked",
        };
        let script = self.folder.path().join("insert.sql");
        fs::write(&script, INSERT.replace("TABLE", table))?;
        let seconds = span.as_secs().max(1).to_string();
        let mut command = self.client("pgbench");
        command.args([
            "-n", "-M", "prepared", "-c", CLIENTS, "-j", THREADS, "-T", &seconds, "-f",
        ]);
        let text = children::output(command.arg(&script).arg(USER))?;
        let told = text.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = told.and_then(|rest| rest.split(' ').next()?.parse().ok());
        rate.ok_or_else(|| Failure::new(Kind::Unexpected, "pgbench told no rate"))
    }

    /// Whether the roll-ups count what was inserted.
    pub fn check_counts(&self) -> Result<(), Failure> {
        let count = |sql: &str| -> Result<u64, Failure> {
            let text = self.sql(sql)?;
            let none = |_| Failure::new(Kind::Unexpected, "psql told no count");
            text.trim().parse().map_err(none)
        };
        let counted =
            |table: &str| count(&format!("SELECT coalesce(sum(n), 0)::bigint FROM {table}"));
        let inserted = count("SELECT count(*) FROM incidents")?;
        check_count("PostgreSQL", inserted, counted("line_hours")?)?;
        let asked =
            count("SELECT (SELECT count(*) FROM asked) + (SELECT count(*) FROM bulk_asked)")?;
        for table in ["line_days", "stop_days", "signal_hours"] {
            check_count("PostgreSQL", asked, counted(table)?)?;
        }
        Ok(())
    }

    /// Rows copied a second, out of files with these reports in turn, one for each connection and
    /// each in one transaction. The connections are there before.
    pub fn copy(
        &mut self,
        roll_up: RollUp,
        connections: u64,
        incidents: &[pb::Incident],
        count: u64,
        now: UtcMillis,
    ) -> Result<f64, Failure> {
        let table = match roll_up {
            RollUp::None => "bulk",
            RollUp::LineHours => "incidents",
            RollUp::Questions => "bulk_asked",
        };
        let mut copies = Vec::new();
        for part in 0..connections {
            let path = self.folder.path().join(format!("reports-{part}.csv"));
            let rows = count / connections + u64::from(part < count % connections);
            write_csv(&path, incidents, rows, now)?;
            let copy = format!("\\copy {table} from '{}' csv", path.display());
            copies.push((Session::start(&mut self.client("psql"))?, copy));
        }
        let begun = Instant::now();
        for (session, copy) in &mut copies {
            session.say(copy)?;
        }
        let mut copied = 0;
        for (session, _) in &mut copies {
            let answer = session.answer()?;
            let told = answer.strip_prefix("COPY ");
            copied += told.and_then(|count| count.parse().ok()).unwrap_or(0);
        }
        let seconds = begun.elapsed().as_secs_f64();
        check_count("PostgreSQL", count, copied)?;
        Ok(rate(count, seconds))
    }

    /// What psql prints.
    fn sql(&self, sql: &str) -> Result<String, Failure> {
        children::output(self.client("psql").args([
            "-X",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ]))
    }

    fn client(&self, name: &str) -> Command {
        let folders = [self.programs.clone()];
        let program = children::program(name, &folders).unwrap_or_else(|| self.programs.join(name));
        let mut command = Command::new(program);
        command.arg("-h").arg(self.folder.path()).args(["-U", USER]);
        command
    }

    fn wait_until_ready(&self) -> Result<(), Failure> {
        for _ in 0..READY_LOOKS {
            if self.sql("SELECT 1").is_ok() {
                return Ok(());
            }
            std::thread::sleep(READY_PAUSE);
        }
        Err(Failure::new(Kind::Unexpected, "PostgreSQL does not answer"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = as_user(&self.programs.join("pg_ctl"), self.user);
        stop.args(["stop", "-m", "immediate", "-D"])
            .arg(self.folder.path().join("data"));
        // What cannot be stopped is killed.
        let _ = children::output(&mut stop);
        self.process.wait(STOP_WAIT);
    }
}

/// A psql that is connected, and takes one command after the other.
struct Session {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Session {
    fn start(psql: &mut Command) -> Result<Self, Failure> {
        psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        let piped = psql.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = piped.spawn()?;
        let (Some(commands), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Failure::new(Kind::Unexpected, "psql has no pipes"));
        };
        let mut session = Self {
            process,
            commands,
            answers: BufReader::new(answers),
        };
        session.say("SELECT 1;")?;
        match session.answer()?.as_str() {
            "1" => Ok(session),
            _ => Err(Failure::new(Kind::Unexpected, "psql does not answer")),
        }
    }

    fn say(&mut self, command: &str) -> Result<(), Failure> {
        Ok(writeln!(self.commands, "{command}")?)
    }

    /// The next line that it prints; an empty one if it has ended.
    fn answer(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // One that has ended already, too, is waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the newest version's programs are.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(FOLDER).ok()?.filter_map(Result::ok);
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .map(|(version, path)| (version, path.join("bin")))
        .filter(|(_, bin)| {
            ["initdb", "postgres", "pg_ctl", "pgbench"]
                .iter()
                .all(|name| bin.join(name).is_file())
        })
        .collect();
    versions.sort();
    Some(versions.pop()?.1)
}

/// Whom the server runs as: ourselves, or `postgres` if we are root. `None` if we are root
/// and there is no such user.
fn user() -> Option<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Some(None);
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(USER))?;
    let mut numbers = line.split(':').skip(2).map(str::parse);
    let (uid, gid) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Some(User { uid, gid }))
}

fn as_user(program: &Path, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn write_csv(
    path: &Path,
    incidents: &[pb::Incident],
    count: u64,
    now: UtcMillis,
) -> Result<(), Failure> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    let mut random = seeded();
    let millis = u64::try_from(now.0).unwrap_or(0);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    for incident in incidents.iter().cycle().take(count) {
        let mut bytes = [0; 10];
        random.fill_bytes(&mut bytes);
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
        write_row(&mut file, id, incident)?;
    }
    file.flush()?;
    Ok(())
}

/// The columns of `SCHEMA`. No text in simulated reports needs quotes.
fn write_row(out: &mut impl Write, id: uuid::Uuid, incident: &pb::Incident) -> Result<(), Failure> {
    let one = incident;
    let secret = base16ct::lower::encode_string(&one.incident_secret);
    let at = one.occurred_at.as_ref().map_or(0, |at| at.seconds);
    let at = jiff::Timestamp::from_second(at).unwrap_or_default();
    let causes: Vec<String> = one
        .cause_claims
        .iter()
        .map(|claim| format!("{}:{}", claim.cause, claim.source))
        .collect();
    let list = |values: &[i32]| {
        values
            .iter()
            .map(i32::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    writeln!(
        out,
        "{id},\\x{secret},{at},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
        one.precision,
        one.mode,
        one.tap_kind,
        one.operator,
        one.line,
        one.stop,
        one.vehicle,
        one.reader_kind,
        one.signal,
        one.attempts,
        one.others_got_through,
        one.worked_later,
        causes.join(" "),
        one.card_kind,
        one.installation_id,
        one.staff_present,
        list(&one.staff_acts),
        one.staff_minutes,
        list(&one.outcomes),
        one.extra_cost,
    )?;
    Ok(())
}
