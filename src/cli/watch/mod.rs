//! `mistap watch`: counts over a sliding window as they change, drawn on a terminal or
//! printed line by line. It reconnects by itself and says since when it has heard nothing.

mod board;
mod screen;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;
use tonic_types::StatusExt;

use super::client::ServerArgs;
use super::failure::{Failure, Kind};
use super::output::Format;
use super::stats::{ByArgs, FilterArgs};
use super::when;
use crate::api::pb::v1 as pb;
use board::Board;
use screen::Screen;

/// Longest wait before another try to connect.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Without a message for so long, the connection is taken for dead: two heartbeats missed.
const SILENCE_MAX: Duration = Duration::from_secs(35);
/// How often the screen is drawn again when nothing arrives.
const REDRAW_EVERY: Duration = Duration::from_secs(1);

/// What to watch.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    #[command(flatten)]
    by: ByArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// How far back the window reaches, in minutes: 5 to 1440
    #[arg(long, default_value_t = 60)]
    minutes: u32,
    /// The shortest time between two updates, in milliseconds: 100 to 60000
    #[arg(long, default_value_t = 1_000)]
    pace_ms: u64,
    /// End after so many messages
    #[arg(long)]
    messages: Option<u64>,
}

/// What became of one connection.
enum Ended {
    /// Whoever watches wants no more.
    Done,
    /// The connection is gone; another try after so long.
    Lost { wait: Option<Duration> },
}

/// One watch: the board, and where it is drawn.
struct Watching {
    board: Board,
    token: Vec<u8>,
    messages_left: u64,
    /// Why nothing arrives, if there is a reason.
    trouble: Option<&'static str>,
    output: Output,
}

enum Output {
    Screen(Screen),
    Lines(Format),
}

/// Runs `mistap watch`.
pub async fn watch(args: &WatchArgs, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let output = if format == Format::Table && io::stdout().is_terminal() {
        Output::Screen(Screen::open()?)
    } else {
        Output::Lines(format)
    };
    let mut watching = Watching {
        board: Board::new(args.by.columns(), args.minutes),
        token: Vec::new(),
        messages_left: args.messages.unwrap_or(u64::MAX),
        trouble: None,
        output,
    };
    if let Output::Lines(Format::Csv) = watching.output {
        print_header(&watching.board)?;
    }
    let mut backoff = BACKOFF_FIRST;
    loop {
        let wait = match connect(args, server, &watching.token).await {
            Ok(stream) => {
                backoff = BACKOFF_FIRST;
                match watching.follow(stream).await? {
                    Ended::Done => return Ok(()),
                    Ended::Lost { wait } => wait,
                }
            }
            Err(failure) if failure.is_worth_another_try() && watching.has_begun() => None,
            Err(failure) => return Err(failure),
        };
        let wait = wait.unwrap_or(backoff).min(BACKOFF_MAX);
        backoff = (backoff * 2).min(BACKOFF_MAX);
        if watching.idle(wait).await? {
            return Ok(());
        }
    }
}

async fn connect(
    args: &WatchArgs,
    server: &ServerArgs,
    token: &[u8],
) -> Result<Streaming<pb::WatchRatesResponse>, Failure> {
    let request = pb::WatchRatesRequest {
        filter: Some(args.filter.to_wire()),
        by: args.by.to_wire(),
        window: Some(prost_types::Duration {
            seconds: i64::from(args.minutes) * 60,
            nanos: 0,
        }),
        pace: Some(to_wire_millis(args.pace_ms)?),
        resume_token: token.to_vec(),
        rates: None,
    };
    let channel = server.connect().await?;
    let mut client = pb::live_service_client::LiveServiceClient::new(channel);
    Ok(client.watch_rates(request).await?.into_inner())
}

fn to_wire_millis(millis: u64) -> Result<prost_types::Duration, Failure> {
    prost_types::Duration::try_from(Duration::from_millis(millis))
        .map_err(|_| Failure::new(Kind::Refused, "--pace-ms is too large"))
}

impl Watching {
    fn has_begun(&self) -> bool {
        !self.token.is_empty()
    }

    /// Takes messages until the connection or the wish to watch ends.
    async fn follow(
        &mut self,
        mut stream: Streaming<pb::WatchRatesResponse>,
    ) -> Result<Ended, Failure> {
        let mut silent_at = Instant::now() + SILENCE_MAX;
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                () = sleep_until(silent_at) => return Ok(Ended::Lost { wait: Some(Duration::ZERO) }),
                done = self.until_redraw(REDRAW_EVERY) => {
                    if done? {
                        return Ok(Ended::Done);
                    }
                    continue;
                }
            };
            match message {
                Ok(Some(message)) => {
                    silent_at = Instant::now() + SILENCE_MAX;
                    if self.take(&message)? {
                        return Ok(Ended::Done);
                    }
                }
                Ok(None) => return Ok(Ended::Lost { wait: None }),
                Err(status) => {
                    let wait = status
                        .get_details_retry_info()
                        .and_then(|info| info.retry_delay);
                    let failure = Failure::from(status);
                    if !failure.is_worth_another_try() {
                        return Err(failure);
                    }
                    return Ok(Ended::Lost { wait });
                }
            }
        }
    }

    /// Takes one message; says whether it was the last wanted.
    fn take(&mut self, message: &pb::WatchRatesResponse) -> Result<bool, Failure> {
        self.trouble = None;
        self.token.clone_from(&message.resume_token);
        self.board.heard(message, Instant::now());
        if let Output::Lines(format) = self.output {
            print_line(message, &self.board, format)?;
        }
        self.draw()?;
        self.messages_left -= 1;
        Ok(self.messages_left == 0)
    }

    /// Waits while there is no connection; says whether to end.
    async fn idle(&mut self, wait: Duration) -> Result<bool, Failure> {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.trouble = Some("no connection, trying again");
            self.draw()?;
            if self.until_redraw(left.min(REDRAW_EVERY)).await? {
                return Ok(true);
            }
        }
    }

    /// Waits a little, then draws; says whether a key was pressed that ends the watch.
    async fn until_redraw(&mut self, wait: Duration) -> Result<bool, Failure> {
        let Output::Screen(screen) = &mut self.output else {
            tokio::time::sleep(wait).await;
            return Ok(false);
        };
        let done = screen.wait_for_key(wait).await?;
        self.draw()?;
        Ok(done)
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let Output::Screen(screen) = &mut self.output else {
            return Ok(());
        };
        screen.draw(|columns, lines| {
            self.board
                .lines(columns, lines, self.trouble, Instant::now())
        })
    }
}

fn print_header(board: &Board) -> Result<(), Failure> {
    let keys = board.columns().iter().map(String::as_str);
    let columns = ["as_of", "update"]
        .into_iter()
        .chain(keys)
        .chain(["count", "total"]);
    writeln!(io::stdout(), "{}", columns.collect::<Vec<_>>().join(","))?;
    Ok(())
}

fn print_line(
    message: &pb::WatchRatesResponse,
    board: &Board,
    format: Format,
) -> Result<(), Failure> {
    let Some(update) = &message.update else {
        return Ok(());
    };
    let as_of = when::from_wire(message.as_of.as_ref()).unwrap_or(Timestamp::UNIX_EPOCH);
    let (kind, figures) = match update {
        pb::watch_rates_response::Update::Snapshot(all) => ("snapshot", all.figures.as_slice()),
        pb::watch_rates_response::Update::Changes(some) => ("changes", some.figures.as_slice()),
        pb::watch_rates_response::Update::Resumed(_) => ("resumed", [].as_slice()),
        pb::watch_rates_response::Update::Heartbeat(_) => ("heartbeat", [].as_slice()),
    };
    let mut out = io::stdout().lock();
    if format == Format::Json {
        let rows: Vec<Value> = figures
            .iter()
            .map(|figure| json_row(board, figure))
            .collect();
        let line = json!({
            "update": kind,
            "as_of": as_of.to_string(),
            "position": message.position,
            "total": message.total,
            "untimed": message.untimed,
            "complete_from": when::from_wire(message.complete_from.as_ref())
                .map(|from| from.to_string()),
            "figures": rows,
        });
        writeln!(out, "{line}")?;
    } else {
        write_rows(
            &mut out,
            &[&as_of.to_string(), kind],
            message,
            board,
            figures,
            format,
        )?;
    }
    out.flush()?;
    Ok(())
}

/// A line for each row, or one with empty keys where a message has none.
fn write_rows(
    out: &mut impl Write,
    head: &[&str],
    message: &pb::WatchRatesResponse,
    board: &Board,
    figures: &[pb::Figure],
    format: Format,
) -> Result<(), Failure> {
    let separator = if format == Format::Csv { "," } else { "  " };
    let mut line = |keys: Vec<&str>, count: String| {
        let total = message.total.to_string();
        let cells = head
            .iter()
            .copied()
            .chain(keys)
            .chain([count.as_str(), total.as_str()]);
        writeln!(out, "{}", cells.collect::<Vec<_>>().join(separator))
    };
    for figure in figures {
        let keys = figure.keys.iter().map(|key| key.value.as_str());
        line(keys.collect(), figure.count.to_string())?;
    }
    if figures.is_empty() {
        line(vec![""; board.columns().len()], String::new())?;
    }
    Ok(())
}

fn json_row(board: &Board, figure: &pb::Figure) -> Value {
    let keys = board.columns().iter().cloned();
    let mut row: serde_json::Map<_, _> = keys
        .zip(figure.keys.iter().map(|key| json!(key.value)))
        .collect();
    row.insert("count".to_owned(), json!(figure.count));
    Value::Object(row)
}
