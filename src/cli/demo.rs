//! `mistap demo`: a throw-away record on the built-in network, with months of simulated
//! history and live traffic, and the commands to try next.

use std::fs::Permissions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::client::ServerArgs;
use super::failure::{Failure, Kind};
use super::serve::Signals;
use super::simulate::{per_day, rate};
use super::{progress, when};
use crate::api::Clock;
use crate::api::pb::v1 as pb;
use crate::app::{self, AppError};
use crate::client::Connection;
use crate::config::parse_loopback;
use crate::domain::UtcMillis;
use crate::domain::time::DAY_MS;
use crate::network::Network;
use crate::simulate::drive::{Bounds, Pace, Progress, drive, tell};
use crate::simulate::history::{self, Until};
use crate::simulate::taps::Taps;
use crate::simulate::world::World;
use crate::simulate::{Scenario, Simulation};

/// For nobody else.
const FOLDER_MODE: u32 = 0o700;
const SEED_OF_HISTORY: u64 = 1;
const SEED_OF_LIVE: u64 = 2;
/// Most reports that the live traffic of one demo sends.
const REPORTS_MAX: u64 = 10_000_000;
const TOP_ROWS: usize = 5;

/// How the demo runs.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Where to listen; another free port is taken if this one is in use
    #[arg(
        long,
        env = "MISTAP_LISTEN",
        default_value = "127.0.0.1:7070",
        value_parser = parse_loopback
    )]
    listen: SocketAddr,
    /// Days of history
    #[arg(long, default_value_t = 120)]
    days: u32,
    /// Reports on an average day of history
    #[arg(long, default_value_t = 800.0, value_parser = per_day)]
    per_day: f64,
    /// Live reports a second
    #[arg(long, default_value_t = 2.0, value_parser = rate)]
    rate: f64,
    /// End after so many seconds; runs until Ctrl-C if left out
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// A folder that is removed when the demo ends.
struct ThrowAway(tempfile::TempDir);

/// Runs `mistap demo` until it is told to stop; then it stops in order. Told so a second time, it
/// ends at once.
pub async fn demo(args: DemoArgs, now: Clock) -> Result<(), Failure> {
    // Before there is anything to remove, so that no signal leaves it behind.
    let [stop, end] = told_to_stop()?;
    tokio::select! {
        biased;
        ended = run(args, now, stop) => ended,
        () = end.cancelled() => Err(Failure::new(
            Kind::Unexpected,
            "told to stop a second time: ended at once",
        )),
    }
}

async fn run(args: DemoArgs, now: Clock, stop: CancellationToken) -> Result<(), Failure> {
    let folder = tempfile::Builder::new()
        .prefix("mistap-demo-")
        .permissions(Permissions::from_mode(FOLDER_MODE))
        .tempdir()
        .map_err(|error| Failure::unexpected("no throw-away folder could be made", &error))?;
    let folder = ThrowAway(folder);
    let network = Arc::new(Network::built_in());
    let world = World::from_network(&network)
        .ok_or_else(|| Failure::new(Kind::Unexpected, "the built-in network has no lines"))?;
    let begun = now();
    write_history(&args, &folder, &network, &world, begun, &stop).await?;
    if stop.is_cancelled() {
        return say_removed();
    }
    let handle = serve(args.listen, &folder, Arc::clone(&now)).await?;
    let server = ServerArgs::at(format!("http://{}", handle.address));
    print_tour(&server, args.listen)?;
    let channel = server.connect().await?;
    let scenario = Scenario {
        seed: SEED_OF_LIVE,
        start: now(),
        reports_per_day: args.per_day,
    };
    // Lines are tapped on as often as before.
    let taps = Taps::new(history_of(&args, begun), &world);
    let telling = tokio::spawn(tell(channel.clone(), taps, begun, Arc::clone(&now)));
    let live_channel = channel.clone();
    let bounds = Bounds {
        reports_max: REPORTS_MAX,
        duration_max: args.seconds.map_or(Duration::MAX / 8, Duration::from_secs),
    };
    let pace = Pace::Rate(args.rate);
    let traffic = tokio::spawn(async move {
        let mut simulation = Simulation::new(scenario, world);
        drive(
            live_channel,
            &mut simulation,
            pace,
            bounds,
            now,
            Arc::<Progress>::default(),
        )
        .await;
    });
    tokio::select! {
        _ = traffic => {}
        result = show(channel) => result?,
        () = stop.cancelled() => {}
    }
    telling.abort();
    say_removed()?;
    handle
        .stop()
        .await
        .map_err(|error| Failure::unexpected("the server did not end well", &error))
}

/// Cancelled by the first and by the second Ctrl-C or SIGTERM.
fn told_to_stop() -> Result<[CancellationToken; 2], Failure> {
    let mut signals = Signals::listen()?;
    let told = [CancellationToken::new(), CancellationToken::new()];
    let telling = told.clone();
    tokio::spawn(async move {
        for told in telling {
            signals.next().await;
            told.cancel();
        }
    });
    Ok(told)
}

fn say_removed() -> Result<(), Failure> {
    Ok(writeln!(
        io::stdout(),
        "ending; the throw-away folder is removed"
    )?)
}

fn history_of(args: &DemoArgs, now: UtcMillis) -> Scenario {
    Scenario {
        seed: SEED_OF_HISTORY,
        start: UtcMillis(now.0 - i64::from(args.days) * DAY_MS),
        reports_per_day: args.per_day,
    }
}

async fn write_history(
    args: &DemoArgs,
    folder: &ThrowAway,
    network: &Arc<Network>,
    world: &World,
    now: UtcMillis,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let scenario = history_of(args, now);
    let taps = Taps::new(scenario, world);
    let mut simulation = Simulation::new(scenario, world.clone());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    let expected = (args.per_day * f64::from(args.days)) as u64;
    let bar = progress::bar(expected, "reports", "simulating history");
    let until = Until {
        end: now,
        reports_max: REPORTS_MAX,
    };
    let written = history::write(
        folder.0.path(),
        Arc::clone(network),
        &mut simulation,
        Some(&taps),
        until,
        |written| {
            bar.set_position(written.reports);
            if stop.is_cancelled() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    )
    .await
    .map_err(|error| Failure::unexpected("history could not be written", &error))?;
    bar.finish_and_clear();
    if stop.is_cancelled() {
        return Ok(());
    }
    let closed = history::close_editions(folder.0.path(), Arc::clone(network), now)
        .await
        .map_err(|error| Failure::unexpected("editions could not be closed", &error))?;
    writeln!(
        io::stdout(),
        "{} days of history: {} reports, {closed} editions",
        args.days,
        written.reports
    )?;
    Ok(())
}

/// Starts the service, at any free port if the one asked for is in use.
async fn serve(
    listen: SocketAddr,
    folder: &ThrowAway,
    clock: Clock,
) -> Result<app::Handle, Failure> {
    let dir = folder.0.path();
    let settings = |listen| app::Settings::new(dir.to_path_buf(), listen, Arc::clone(&clock));
    let handle = match app::spawn(settings(listen)).await {
        Err(AppError::Listen { .. }) => app::spawn(settings(SocketAddr::new(listen.ip(), 0))).await,
        other => other,
    };
    handle.map_err(|error| Failure::unexpected("the service cannot start", &error))
}

fn print_tour(server: &ServerArgs, asked: SocketAddr) -> Result<(), Failure> {
    let flag = if server.server == format!("http://{asked}") && asked.port() == 7070 {
        String::new()
    } else {
        format!(" --server {}", server.server)
    };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "\nmistap listens on {}. Try in another terminal:\n",
        server.server
    )?;
    for command in [
        "watch --by line",
        "stats --by line --order count --limit 10",
        "stats --by signal,hour-of-day --from yesterday",
        "stats --by staff-act",
        "stats --by line --rate --limit 10",
        "rank line --operator GVB --limit 10",
        "edition list",
        "network search centraal",
        "network lines --number 10 --stops",
        "report --mode tram --line 10 --tap check-in --card student --signal red-beep --day today",
    ] {
        writeln!(out, "  mistap {command}{flag}")?;
    }
    writeln!(out, "\nEverything here is simulated. Ctrl-C ends it.\n")?;
    Ok(())
}

/// Prints the busiest lines of the last hour whenever they change, at most every 5 seconds.
async fn show(channel: Connection) -> Result<(), Failure> {
    let mut client = pb::live_service_client::LiveServiceClient::new(channel);
    let request = pb::WatchRatesRequest {
        by: vec![pb::Dimension::Line.into()],
        window: Some(prost_types::Duration {
            seconds: 3_600,
            nanos: 0,
        }),
        pace: Some(prost_types::Duration {
            seconds: 5,
            nanos: 0,
        }),
        ..Default::default()
    };
    let mut stream = client.watch_rates(request).await?.into_inner();
    let mut counts = std::collections::BTreeMap::new();
    while let Some(message) = stream.message().await? {
        use pb::watch_rates_response::Update;
        let figures = match message.update {
            Some(Update::Snapshot(all)) => {
                counts.clear();
                all.figures
            }
            Some(Update::Changes(some)) => some.figures,
            Some(Update::Resumed(_) | Update::Heartbeat(_)) | None => continue,
        };
        for figure in figures {
            let key = figure
                .keys
                .into_iter()
                .next()
                .map(|key| key.value)
                .unwrap_or_default();
            counts.insert(key, figure.count);
        }
        let as_of = when::from_wire(message.as_of.as_ref()).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut top: Vec<_> = counts.iter().filter(|(_, count)| 0 < **count).collect();
        top.sort_by(|left, right| right.1.cmp(left.1).then(left.0.cmp(right.0)));
        let top: Vec<_> = top
            .iter()
            .take(TOP_ROWS)
            .map(|(line, count)| format!("{line} {count}"))
            .collect();
        let as_of = when::shown(as_of);
        writeln!(
            io::stdout(),
            "{as_of}  {} reported in the last hour: {}",
            message.total,
            top.join(", ")
        )?;
    }
    Ok(())
}
