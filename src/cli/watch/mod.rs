//! `mistap watch`: counts and rates over a sliding window as they change, drawn on a terminal or
//! printed line by line. It reconnects by itself and says since when it has heard nothing.

mod board;
mod cited;
mod lines;
mod screen;

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::client::ServerArgs;
use super::failure::{Failure, Kind};
use super::notice::{self, Notices};
use super::output::Format;
use super::question::{ByArgs, FilterArgs};
use super::serve::Signals;
use super::{unknown, values};
use crate::api::pb::v1 as pb;
use crate::client::{Follower, Heard, Lost, Moment, Rates};
use crate::domain::limits::{
    WATCH_PACE_MS_DEFAULT, WATCH_PACE_MS_MAX, WATCH_PACE_MS_MIN, WATCH_WINDOW_MINUTES_DEFAULT,
    WATCH_WINDOW_MINUTES_MAX, WATCH_WINDOW_MINUTES_MIN,
};
use board::Board;
use lines::{Lines, Watched};
use screen::{Done, Screen};

/// How often the screen is drawn again when nothing arrives.
const REDRAW_EVERY: Duration = Duration::from_secs(1);

/// Window where rates are watched and none is asked for, in minutes: an hour that was told lies in
/// it, also where it is told within the hour after it.
const RATED_MINUTES_DEFAULT: u32 = 180;

/// What to watch.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    #[command(flatten)]
    by: ByArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// How far back the window reaches, in minutes: 5 to 1440; 60 if left out, and 180 with --rate,
    /// since most feeds tell the taps of an hour when it is over
    #[arg(long, value_parser = values::whole(WATCH_WINDOW_MINUTES_MIN, WATCH_WINDOW_MINUTES_MAX))]
    minutes: Option<u32>,
    /// Set the counts against taps, for the part of the window of which an operator told them
    #[arg(long)]
    rate: bool,
    /// Only against the taps of these feeds
    #[arg(long, value_delimiter = ',', requires = "rate")]
    feed: Vec<String>,
    /// The shortest time between two updates, in milliseconds: 100 to 60000
    #[arg(
        long,
        default_value_t = WATCH_PACE_MS_DEFAULT,
        value_parser = values::whole(WATCH_PACE_MS_MIN, WATCH_PACE_MS_MAX)
    )]
    pace_ms: u64,
    /// End after so many messages
    #[arg(long)]
    messages: Option<u64>,
}

impl WatchArgs {
    /// How far back the window reaches.
    fn minutes(&self) -> u32 {
        self.minutes.unwrap_or(match self.rate {
            true => RATED_MINUTES_DEFAULT,
            false => WATCH_WINDOW_MINUTES_DEFAULT,
        })
    }

    fn watched(&self) -> Watched {
        Watched {
            basis: self.filter.basis(),
            by: self.by.dimensions().to_vec(),
            columns: self.by.columns(),
            minutes: self.minutes(),
            has_rates: self.rate,
        }
    }
}

/// Where it is shown.
enum Output {
    Drawn(Box<Drawn>),
    Lines { lines: Lines, notices: Notices },
}

/// A watch on a terminal.
struct Drawn {
    screen: Screen,
    board: Board,
    /// Why nothing arrives, if there is a reason.
    trouble: Option<String>,
}

/// Runs `mistap watch`.
pub async fn watch(args: &WatchArgs, server: &ServerArgs, format: Format) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    unknown::warn(args.filter.places(), server).await?;
    let mut follower = Follower::<Rates>::new(server.endpoint()?, server.bearer()?, request(args)?);
    let mut output = Output::open(args, format)?;
    let mut left = args.messages.unwrap_or(u64::MAX);
    while 0 < left {
        let before = follower.heard();
        tokio::select! {
            heard = follower.next() => {
                match heard.map_err(|error| notice::failure(error, server))? {
                    Heard::Message(message) => {
                        output.heard(&message, before)?;
                        left -= 1;
                    }
                    Heard::Lost(lost) => output.lost(&lost, before)?,
                }
            }
            is_end = output.pass_time(before) => {
                if is_end? {
                    break;
                }
            }
            () = signals.next() => break,
        }
    }
    output.end();
    Ok(())
}

fn request(args: &WatchArgs) -> Result<pb::WatchRatesRequest, Failure> {
    let pace = prost_types::Duration::try_from(Duration::from_millis(args.pace_ms));
    let pace = pace.map_err(|_| Failure::new(Kind::Refused, "--pace-ms is too large"))?;
    Ok(pb::WatchRatesRequest {
        filter: Some(args.filter.to_wire()),
        by: args.by.to_wire(),
        window: Some(prost_types::Duration {
            seconds: i64::from(args.minutes()) * 60,
            nanos: 0,
        }),
        pace: Some(pace),
        resume_token: Vec::new(),
        rates: args.rate.then(|| pb::RatesRequest {
            feeds: args.feed.clone(),
            ..pb::RatesRequest::default()
        }),
    })
}

impl Output {
    fn open(args: &WatchArgs, format: Format) -> Result<Self, Failure> {
        if format == Format::Table && io::stdout().is_terminal() {
            return Ok(Self::Drawn(Box::new(Drawn {
                screen: Screen::open()?,
                board: Board::new(args.by.columns(), args.minutes(), args.rate),
                trouble: None,
            })));
        }
        Ok(Self::Lines {
            lines: Lines::begin(args.watched(), format)?,
            notices: Notices::default(),
        })
    }

    /// Takes a message in; the one before came at `before`.
    fn heard(
        &mut self,
        message: &pb::WatchRatesResponse,
        before: Option<Moment>,
    ) -> Result<(), Failure> {
        match self {
            Self::Drawn(drawn) => {
                drawn.trouble = None;
                drawn.board.heard(message, Instant::now());
                drawn.draw()
            }
            Self::Lines { lines, notices } => {
                notices.heard(before, "the state is the newest");
                lines.print(message)
            }
        }
    }

    fn lost(&mut self, lost: &Lost, heard: Option<Moment>) -> Result<(), Failure> {
        match self {
            Self::Drawn(drawn) => {
                drawn.trouble = Some(notice::reason(lost.status.as_ref()));
                drawn.draw()
            }
            Self::Lines { notices, .. } => {
                notices.lost(lost, heard);
                Ok(())
            }
        }
    }

    /// Says how the last figures are cited, where they stay to be read.
    fn end(self) {
        if let Self::Lines { lines, .. } = self {
            lines.end();
        }
    }

    /// Waits a little, or for a key, and shows how long nothing was heard; says whether to end.
    async fn pass_time(&mut self, heard: Option<Moment>) -> Result<bool, Failure> {
        match self {
            Self::Drawn(drawn) => {
                tokio::select! {
                    done = drawn.screen.done() => {
                        if done? == Done::End {
                            return Ok(true);
                        }
                    }
                    () = sleep(REDRAW_EVERY) => {}
                }
                drawn.draw()?;
            }
            Self::Lines { notices, .. } => {
                sleep(REDRAW_EVERY).await;
                notices.quiet(heard);
            }
        }
        Ok(false)
    }
}

impl Drawn {
    fn draw(&mut self) -> Result<(), Failure> {
        let Self {
            screen,
            board,
            trouble,
        } = self;
        screen
            .draw(|columns, lines| board.lines(columns, lines, trouble.as_deref(), Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: WatchArgs,
    }

    #[test]
    fn window_reaches_further_back_where_rates_are_watched_unless_it_is_asked_for() {
        let check = |typed: &[&str], minutes: i64| {
            let typed = Typed::try_parse_from(["watch"].iter().chain(typed)).expect("understood");
            let window = request(&typed.args).expect("a request").window;
            assert_eq!(window.map(|window| window.seconds), Some(minutes * 60));
        };
        check(&[], 60);
        check(&["--rate"], 180);
        check(&["--rate", "--minutes", "30"], 30);
    }
}
